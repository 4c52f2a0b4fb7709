"""Stripe's signature on a webhook's body."""

import re
import time
from collections.abc import Iterable

from stripe import SignatureVerificationError, WebhookSignature

TOLERANCE = 300


class BadSignature(Exception):
    """The text is a word for the log: why the signature was refused."""


def verify(body: str, header: str | None, secrets: Iterable[str]) -> None:
    """Return if one of the secrets signed this body just now, else raise BadSignature."""
    if not header:
        raise BadSignature("no_signature")
    stamps = [item[2:] for item in header.split(",") if item.startswith("t=")]
    # Stripe's library compares header values as text, which fails on other than ASCII.
    if not header.isascii() or len(stamps) != 1 or not re.fullmatch(r"[0-9]{1,12}", stamps[0]):
        raise BadSignature("malformed_signature")
    # The library lets any timestamp in the future pass.
    if int(stamps[0]) > time.time() + TOLERANCE:
        raise BadSignature("future_signature")
    for secret in secrets:
        try:
            WebhookSignature.verify_header(body, header, secret, TOLERANCE)
        except SignatureVerificationError:
            continue
        return
    stale = int(stamps[0]) < time.time() - TOLERANCE
    raise BadSignature("stale_signature" if stale else "wrong_signature")
