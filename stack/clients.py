"""Those who talk to the stack, as in production: people through supabase-py, and Stripe."""

import json
import uuid
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
from stripe import WebhookSignature
from supabase import Client, ClientOptions, create_client

from stack.tokens import sign

Env = Mapping[str, str]
Event = dict[str, Any]
# A client would else read all certificates anew, which takes 20 ms; the stack itself has none.
TLS = httpx.create_ssl_context()


def add_user(connection: psycopg.Connection[Any]) -> str:
    """A new user's id."""
    user_id = str(uuid.uuid4())
    connection.execute(
        "insert into auth.users (id, email) values (%s, %s)",
        (user_id, f"{user_id}@mail.example"),
    )
    return user_id


def add_mechanic(
    connection: psycopg.Connection[Any], name: str, status: str | None = "approved"
) -> str:
    """A new mechanic's id."""
    user_id = add_user(connection)
    connection.execute(
        "insert into public.mechanics (id, display_name, status) values (%s, %s, %s)",
        (user_id, name, status),
    )
    return user_id


def client(env: Env, token: str) -> Client:
    """supabase-py with the anon key and this token."""
    options = ClientOptions(
        headers={"Authorization": f"Bearer {token}"},
        auto_refresh_token=False,
        # As it makes its own.
        httpx_client=httpx.Client(verify=TLS, http2=True, follow_redirects=True, timeout=120),
    )
    return create_client(env["SUPABASE_URL"], env["SUPABASE_ANON_KEY"], options)


def sign_in(env: Env, user_id: str) -> Client:
    """supabase-py as a signed-in user has it."""
    return client(env, sign("authenticated", user_id, secret=env["JWT_SECRET"]))


def stripe_event(kind: str, **data: object) -> Event:
    """An event of Stripe's about the object `data`."""
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "type": kind,
        "data": {"object": data},
    }


def paid_checkout(metadata: Mapping[str, str], **session: object) -> Event:
    """What Stripe sends when a Checkout Session is paid; `session` overrides its fields."""
    paid = {
        "id": f"cs_test_{uuid.uuid4().hex}",
        "object": "checkout.session",
        "payment_intent": f"pi_{uuid.uuid4().hex}",
        "payment_status": "paid",
        "customer_details": {"name": "Carla Customer", "email": "carla@mail.example"},
        "metadata": dict(metadata),
    }
    return stripe_event("checkout.session.completed", **(paid | session))


def post_event(env: Env, event: Event, timeout: float = 15) -> tuple[int, dict[str, Any]]:
    """Post an event to the webhook as Stripe does, signed; the status and the answer."""
    body = json.dumps(event)
    secret = env["STRIPE_WEBHOOK_SECRET"]
    signature = WebhookSignature.generate_signature_header(body, secret)
    headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
    connection = HTTPConnection(urlsplit(env["WEBHOOK_URL"]).netloc, timeout=timeout)
    with closing(connection):
        connection.request("POST", "/stripe/webhook", body, headers)
        response = connection.getresponse()
        return response.status, json.load(response)
