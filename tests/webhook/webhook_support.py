"""What the webhook's tests share: Stripe-shaped events, real signatures."""

import json
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from stripe import WebhookSignature
from werkzeug.test import TestResponse

from webhook_app.app import create_app
from webhook_app.config import Config

SECRET = "whsec_current"
OLD_SECRET = "whsec_previous"
PATH = "/stripe/webhook"
NAME, EMAIL = "Zoë Quill-Nightingale", "zoe.quill@mail.example"

Event = dict[str, Any]
Metadata = dict[str, str]
Sql = Callable[..., list[dict[str, Any]]]
Requests = Callable[[str], list[dict[str, Any]]]
Ledger = Callable[[str], dict[str, Any]]
Blocked = Callable[[], AbstractContextManager[Callable[[], int]]]


def checkout(
    metadata: dict[str, str],
    kind: str = "checkout.session.completed",
    payment_status: str = "paid",
    session_id: str | None = None,
    name: str = NAME,
) -> Event:
    """An event of a Checkout Session, with the fields Stripe sends that matter here."""
    session = {
        "id": session_id or f"cs_test_{uuid.uuid4().hex}",
        "object": "checkout.session",
        "client_reference_id": None,
        "customer_details": {"name": name, "email": EMAIL, "phone": "+1 555 0199"},
        "metadata": metadata,
        "mode": "payment",
        "payment_intent": f"pi_{uuid.uuid4().hex}",
        "payment_status": payment_status,
        "status": "complete",
    }
    return event(kind, session)


def event(kind: str, data: Event) -> Event:
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "api_version": "2026-10-28",
        "created": int(time.time()),
        "data": {"object": data},
        "livemode": False,
        "type": kind,
    }


def session_id(event: Event) -> str:
    return str(event["data"]["object"]["id"])


def signed(body: Event | str, secret: str = SECRET, age: int = 0) -> tuple[bytes, dict[str, str]]:
    """The body and its headers, as Stripe would post them `age` seconds ago."""
    text = body if isinstance(body, str) else json.dumps(body)
    stamp = int(time.time()) - age
    header = WebhookSignature.generate_signature_header(text, secret, stamp)
    return text.encode(), {"Stripe-Signature": header, "Content-Type": "application/json"}


# The apps of a test, whose connections conftest closes: the server has 300 for all tests.
APPS: list[Flask] = []


def client_for(dsn: str, db_timeout: int = 2) -> FlaskClient:
    APPS.append(create_app(Config(dsn, (SECRET, OLD_SECRET), db_timeout=db_timeout)))
    return APPS[-1].test_client()


def post(client: FlaskClient, body: Event | str) -> TestResponse:
    data, headers = signed(body)
    return client.post(PATH, data=data, headers=headers)
