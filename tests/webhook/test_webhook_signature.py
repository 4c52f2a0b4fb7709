"""The signature: only a fresh one by a known secret passes; nothing else does more than refuse."""

import time
from collections.abc import Callable

import pytest
from stripe import WebhookSignature
from webhook_support import OLD_SECRET, SECRET

from webhook_app.signature import BadSignature, verify

BODY = '{"id": "evt_1", "name": "Zoë 🚗"}'
SECRETS = (SECRET, OLD_SECRET)


def header(secret: str = SECRET, age: int = 0, body: str = BODY) -> str:
    stamp = int(time.time()) - age
    return str(WebhookSignature.generate_signature_header(body, secret, stamp))


@pytest.mark.parametrize(
    "given",
    [
        lambda: header(),
        lambda: header(OLD_SECRET),
        lambda: header(age=290),
        lambda: header(age=-290),
        lambda: header().replace(",", f",v1={'0' * 64},") + ",v0=abc,unknown=1",
    ],
    ids=["current", "rotated", "almost stale", "clock a little ahead", "several"],
)
def test_passes(given: Callable[[], str]) -> None:
    verify(BODY, given(), SECRETS)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (lambda: None, "no_signature"),
        (lambda: "", "no_signature"),
        (lambda: header("whsec_other"), "wrong_signature"),
        (lambda: header(body=BODY + " "), "wrong_signature"),
        (lambda: header().replace("v1=", "v0="), "wrong_signature"),
        (lambda: header().split(",")[0], "wrong_signature"),
        (lambda: header()[:-1], "wrong_signature"),
        (lambda: header(age=310), "stale_signature"),
        (lambda: header(age=-310), "future_signature"),
        (lambda: header().split(",")[1], "malformed_signature"),
        (lambda: "t=soon,v1=abc", "malformed_signature"),
        (lambda: f"t={'9' * 5000},v1=abc", "malformed_signature"),
        (lambda: "t=-1,v1=abc", "malformed_signature"),
        (lambda: header() + ",t=1", "malformed_signature"),
        (lambda: header() + ",v1=ü", "malformed_signature"),
        (lambda: ",,=,==,", "malformed_signature"),
        (lambda: "t=1" + ",v1=abc" * 1000, "stale_signature"),
    ],
)
def test_refused(given: Callable[[], str | None], reason: str) -> None:
    with pytest.raises(BadSignature, match=reason):
        verify(BODY, given(), SECRETS)
