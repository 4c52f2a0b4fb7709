"""Any body and any headers: the webhook answers what the contract names, and books what is paid."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stripe import WebhookSignature

from chaos import checks, record
from stack.clients import stripe_event
from tests.database import Database, Row
from webhook_app.app import create_app
from webhook_app.config import Config

SECRET, PATH = "whsec_fuzz", "/stripe/webhook"
# What must not come back, however it was sent.
CANARY = "Zoe Quill"
KINDS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "charge.refunded",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.closed",
    "invoice.paid",
)

text = st.text(max_size=20)
# Numbers that are JSON to Python and not to PostgreSQL are among them.
awkward = st.sampled_from([CANARY, float("nan"), float("inf"), 10**400, "\x00", "\ud800", ""])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text | awkward
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


def objects(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Objects with these fields; in one of four, one is left out, is anything, or is one more."""
    whole = st.fixed_dictionaries(fields)
    names = st.sampled_from(sorted(fields))
    without = names.flatmap(
        lambda name: st.fixed_dictionaries({k: v for k, v in fields.items() if k != name})
    )
    other = st.builds(lambda each, name, any_: each | {name: any_}, whole, names | text, anything)
    return st.integers(0, 15).flatmap(lambda n: without if n == 0 else other if n < 4 else whole)


def ids(prefix: str) -> st.SearchStrategy[str]:
    """Ids of which some meet again."""
    numbers = st.one_of(st.uuids(), st.uuids(), st.integers(1, 20))
    return numbers.map(lambda number: f"{prefix}_{number}")


def events(customers: list[str], mechanics: list[str]) -> st.SearchStrategy[Any]:
    """Events like Stripe's, with nonsense anywhere now and then."""
    users = st.sampled_from([*customers, *mechanics, "00000000-0000-0000-0000-000000000000"])
    metadata = objects(
        {
            "customer_id": users,
            "plan_code": st.sampled_from(["quick-chat"] * 4 + ["no-such-plan"]),
            "routing_type": st.sampled_from(["broadcast", "priority_broadcast"]),
            "preferred_mechanic_id": users,
            "priority_window_minutes": st.integers(-1, 100).map(str),
            "skip_if_offline": st.sampled_from(["true", "false"]),
            "notes": st.just(CANARY),
        }
    )
    data = objects(
        {
            "id": ids("cs"),
            "payment_status": st.sampled_from(["paid", "unpaid", "no_payment_required"]),
            "payment_intent": ids("pi"),
            "client_reference_id": users,
            "customer_details": objects({"name": st.just(CANARY), "email": text}),
            "refunded": st.booleans(),
            "status": st.sampled_from(["failed", "lost", "won"]),
            "amount_total": st.sampled_from([999, 1]),
            "currency": st.sampled_from(["usd", "jpy"]),
            "metadata": metadata,
        }
    )
    return objects(
        {
            "id": ids("evt"),
            "type": st.sampled_from(KINDS),
            "data": objects({"object": data}),
        }
    )


@pytest.fixture
def client(db: Database) -> FlaskClient:
    return create_app(Config(db.dsn("webhook_app"), (SECRET,))).test_client()


def signed(body: str) -> dict[str, str]:
    return {"Stripe-Signature": WebhookSignature.generate_signature_header(body, SECRET)}


def kept(db: Database, event: Any) -> Row:
    """The ledger's row. What PostgreSQL cannot keep stands there as U+FFFD."""
    event_id = re.sub("[\0\ud800-\udfff]", "\ufffd", event["id"])
    (row,) = db.sql("select * from dispatch.stripe_events where id = %s", event_id)
    return row


def test_any_event(
    db: Database, client: FlaskClient, inputs: int, tried: Callable[[], int]
) -> None:
    customers = [db.make_customer() for _ in range(2)]
    mechanics = [db.make_mechanic(), db.make_mechanic("suspended")]
    refunded: set[str] = set()
    answers: Counter[str] = Counter()

    @settings(max_examples=inputs)
    @given(events(customers, mechanics))
    @example({"id": "\x00", "type": "invoice.paid", "data": {"object": {}}})
    @example({"id": "\ud800", "type": "invoice.paid", "data": {"object": {}}})
    def post(event: Any) -> None:
        tried()
        body = json.dumps(event)
        response = client.post(PATH, data=body.encode(), headers=signed(body))
        assert response.status_code in (200, 400, 500), response.text
        assert CANARY not in response.text
        if response.status_code == 500:
            # The one that the contract names: kept with its error. Another is not there.
            row = kept(db, event)
            assert row["outcome"] == "error" and row["error"] and row["processed_at"] is None
        if response.status_code == 200:
            row = kept(db, event)
            assert row["processed_at"]
            assert row["error"] is None or row["error"].startswith("price_difference: ")
        answer = json.loads(response.text)
        answers[answer.get("outcome") or answer["error"]] += 1
        payment = event["data"]["object"].get("payment_intent") if "outcome" in answer else None
        if isinstance(payment, str) and answer["outcome"] == "refunded":
            refunded.add(payment)
        if isinstance(payment, str) and answer["outcome"] == "refund_failed":
            refunded.discard(payment)

    post()
    # The inputs are worth something.
    assert answers["request_created"] and answers["invalid_event"], answers
    found = record.Database.read(db.dsn())
    assert list(checks.transitions_make_sense(record.Record(), found)) == []
    assert list(checks.each_paid_session_has_one_request(record.Record(), found)) == []
    assert not [
        row
        for row in found.requests.values()
        if row["payment"] in refunded and row["status"] == "pending"
    ]
    assert CANARY not in str(found.events)


@pytest.mark.parametrize("place", ["body", "headers"])
def test_any_body_and_headers(
    client: FlaskClient, inputs: int, place: str, tried: Callable[[], int]
) -> None:
    known = json.dumps(stripe_event("invoice.paid", id="in_1"))
    header = signed(known)["Stripe-Signature"]
    bodies: dict[str, st.SearchStrategy[bytes]] = {
        "headers": st.just(known.encode()),
        "body": st.binary(max_size=200)
        | anything.map(lambda each: json.dumps(each).encode())
        | st.tuples(st.integers(0, len(known)), text).map(
            lambda cut: (known[: cut[0]] + cut[1] + known[cut[0] :]).encode(errors="replace")
        ),
    }
    stamps = st.integers() | st.integers(-400, 400).map(lambda age: int(time.time()) - age) | text
    letters = st.characters(min_codepoint=32, max_codepoint=255)
    headers = st.one_of(
        st.text(letters, max_size=100),
        st.tuples(st.integers(0, len(header)), st.text(letters, max_size=3)).map(
            lambda cut: header[: cut[0]] + cut[1] + header[cut[0] :]
        ),
        stamps.map(lambda stamp: f"t={stamp},{header.partition(',')[2]}").filter(is_header),
    )

    @settings(max_examples=inputs)
    @given(bodies[place], headers if place == "headers" else st.none())
    def post(body: bytes, header: str | None) -> None:
        tried()
        if header is None:
            header = signed(body.decode(errors="replace"))["Stripe-Signature"]
        response = client.post(PATH, data=body, headers={"Stripe-Signature": header})
        assert response.status_code in (200, 400), response.text
        if response.status_code == 200 and place == "headers":
            WebhookSignature.verify_header(known, header, SECRET, 300)

    post()


def is_header(value: str) -> bool:
    return all(32 <= ord(letter) <= 255 for letter in value)
