"""Ways around the signature: only a fresh signature of exactly these bytes gets anything stored."""

import base64
import gzip
import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from stripe import WebhookSignature
from webhook_support import (
    PATH,
    SECRET,
    Event,
    Ledger,
    Metadata,
    Requests,
    Sql,
    checkout,
    post,
    session_id,
    signed,
)

Headers = dict[str, str]
Forge = Callable[[Event], tuple[bytes, Headers]]


def body(change: Callable[[bytes], bytes]) -> Forge:
    """The bytes changed after they were signed."""

    def forge(event: Event) -> tuple[bytes, Headers]:
        data, headers = signed(event)
        return change(data), headers

    return forge


def header(change: Callable[[str], str]) -> Forge:
    """The header changed after the signing."""

    def forge(event: Event) -> tuple[bytes, Headers]:
        data, headers = signed(event)
        return data, headers | {"Stripe-Signature": change(headers["Stripe-Signature"])}

    return forge


def elsewhere(name: str) -> Forge:
    """The signature in another header."""

    def forge(event: Event) -> tuple[bytes, Headers]:
        data, headers = signed(event)
        return data, {name: headers["Stripe-Signature"]}

    return forge


def with_secret(secret: str) -> Forge:
    return lambda event: signed(event, secret)


def digest(write: Callable[[bytes], str]) -> Forge:
    """The right digest, written in another way."""

    def change(text: str) -> str:
        stamp, scheme, written = text.partition("v1=")
        return stamp + scheme + write(bytes.fromhex(written))

    return header(change)


def packed(event: Event) -> tuple[bytes, Headers]:
    data, headers = signed(event)
    return gzip.compress(data), headers | {"Content-Encoding": "gzip"}


def as_form(event: Event) -> tuple[bytes, Headers]:
    data, headers = signed(event)
    return urlencode({"payload": data}).encode(), headers | {
        "Content-Type": "application/x-www-form-urlencoded"
    }


FORGERIES: dict[str, Forge] = {
    "truncated": body(lambda data: data[:-1]),
    "prolonged": body(lambda data: data + b"\n"),
    "another customer": body(lambda data: data.replace(b'"plan_code"', b'"plan_cod3"')),
    "written again": body(lambda data: json.dumps(json.loads(data), indent=1).encode()),
    "a second event behind it": body(lambda data: data + data),
    "a key given twice": body(lambda data: data[:-1] + b', "id": "evt_other"}'),
    "byte order mark": body(lambda data: b"\xef\xbb\xbf" + data),
    "UTF-16": body(lambda data: data.decode().encode("utf-16")),
    "Latin-1": body(lambda data: data.replace(b"\\u00eb", "ë".encode("latin-1"))),
    "compressed": packed,
    "a form": as_form,
    "upper case": digest(lambda digest: digest.hex().upper()),
    "base64": digest(lambda digest: base64.b64encode(digest).decode()),
    "half of it": header(lambda text: text[:-32]),
    "empty": header(lambda text: text.partition("v1=")[0] + "v1="),
    "no scheme": header(lambda text: text.replace("v1=", "")),
    "capital scheme": header(lambda text: text.replace("v1=", "V1=")),
    "later by a second": header(lambda text: text.replace("t=1", "t=2", 1)),
    "twice, an old time first": header(lambda text: f"t=1,{text}"),
    "a header of a like name": elsewhere("X-Stripe-Signature"),
    "a cookie": elsewhere("Cookie"),
    "without a secret": with_secret(""),
    "the secret without its prefix": with_secret(SECRET.removeprefix("whsec_")),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_refused_and_nothing_is_stored(
    client: FlaskClient, metadata: Metadata, sql: Sql, forge: Forge
) -> None:
    data, headers = forge(checkout(metadata))
    response = client.post(PATH, data=data, headers=headers)
    assert response.status_code == 400, response.text
    assert response.json and response.json["error"] in ("bad_signature", "invalid_event")
    assert sql("select id from dispatch.stripe_events") == []
    assert sql("select id from public.session_requests") == []


def test_the_signature_does_not_come_by_the_address(
    client: FlaskClient, metadata: Metadata
) -> None:
    data, headers = signed(checkout(metadata))
    response = client.post(f"{PATH}?Stripe-Signature={headers['Stripe-Signature']}", data=data)
    assert response.status_code == 400


def test_signed_as_other_than_utf8_it_is_no_event(client: FlaskClient, metadata: Metadata) -> None:
    """Even a right signature, were it made, lets only UTF-8 in."""
    data = json.dumps(checkout(metadata)).encode("utf-16")
    header = WebhookSignature.generate_signature_header(data.decode("latin-1"), SECRET)
    response = client.post(PATH, data=data, headers={"Stripe-Signature": header})
    assert response.status_code == 400
    assert response.json and response.json["error"] == "invalid_event"


def test_replayed_it_books_once(
    client: FlaskClient, metadata: Metadata, requests_of: Requests, ledger: Ledger
) -> None:
    """The same bytes within the five minutes, and later under the same or a new signature."""
    paid = checkout(metadata)
    data, headers = signed(paid)
    answers = [client.post(PATH, data=data, headers=headers).json for _ in range(3)]
    assert [answer and answer["outcome"] for answer in answers] == [
        "request_created",
        "duplicate",
        "duplicate",
    ]
    before = ledger(paid["id"])
    old = client.post(PATH, data=data, headers=signed(paid, age=301)[1])
    assert old.status_code == 400
    assert (post(client, paid).json or {})["outcome"] == "duplicate"
    assert len(requests_of(session_id(paid))) == 1
    assert ledger(paid["id"]) == before
