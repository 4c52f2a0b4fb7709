"""What the webhook's tests share: Stripe-shaped events, real signatures, a proxy to cut."""

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

from flask.testing import FlaskClient
from psycopg.conninfo import conninfo_to_dict, make_conninfo
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


def client_for(dsn: str, db_timeout: int = 2) -> FlaskClient:
    return create_app(Config(dsn, (SECRET, OLD_SECRET), db_timeout=db_timeout)).test_client()


def post(client: FlaskClient, body: Event | str) -> TestResponse:
    data, headers = signed(body)
    return client.post(PATH, data=data, headers=headers)


class Proxy:
    """A TCP way to the database that can be cut (a restart) or closed (the database is away)."""

    def __init__(self, dsn: str) -> None:
        params = conninfo_to_dict(dsn)
        self._host = str(params.get("host") or params.get("hostaddr") or "127.0.0.1")
        self._upstream_port = int(params.get("port") or 5432)
        self._port = 0
        self._sockets: list[socket.socket] = []
        self.open()
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=self._port, sslmode="disable")

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = self._connect()
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=pair, daemon=True).start()

    def _connect(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._upstream_port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self._host}/.s.PGSQL.{self._upstream_port}")
        return server


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
