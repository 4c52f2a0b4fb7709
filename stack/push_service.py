"""A push service that speaks the standard, and the devices that subscribe there: for tests, the
benchmark and `make chaos`.

RFC 8030 (the request), 8188 and 8291 (its body), 8292 (who sends it).
"""

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import http_ece
import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Database(Protocol):
    def connect(self, user_id: object) -> psycopg.Connection[Any]:
        """A connection that acts as PostgREST's does for a token of this user."""


@dataclass
class Device:
    """A browser's subscription, with the keys that it keeps to itself."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    secret: bytes = field(default_factory=lambda: os.urandom(16))

    def subscription(self) -> dict[str, str]:
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {
            "endpoint": self.endpoint,
            "p256dh": base64url(point),
            "auth": base64url(self.secret),
        }

    def register(self, db: Database, user: str) -> "Device":
        with db.connect(user) as connection:
            connection.execute(
                "select public.register_device(%(endpoint)s, %(p256dh)s, %(auth)s)",
                self.subscription(),
            )
        return self

    def read(self, body: bytes) -> Any:
        return json.loads(
            http_ece.decrypt(
                body, private_key=self.key, auth_secret=self.secret, version="aes128gcm"
            )
        )


@dataclass(frozen=True)
class Received:
    path: str
    headers: Message  # whose names are of any case
    message: Any
    at: float
    status: int | None  # that it was answered


# A status and headers; None: nothing, until the sender gives up.
Answer = tuple[int, dict[str, str]] | None


def taken(_: str) -> Answer:
    return 201, {}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # A sender comes with many connections at once; who is not let in waits for a second.
    request_queue_size = 1024


class PushService:
    def __init__(self, vapid_public_key: str) -> None:
        self.received: list[Received] = []
        self.faults: list[str] = []
        # To a request, by its path.
        self.answer: Callable[[str], Answer] = taken
        self.devices: dict[str, Device] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    message = service.check(self.path, self.headers, body, vapid_public_key)
                except Exception as error:  # noqa: BLE001  # told by the test
                    service.faults.append(repr(error))
                    self.respond(400, {})
                    return
                answer = service.answer(self.path)
                status = answer[0] if answer else None
                service.received.append(
                    Received(self.path, self.headers, message, time.time(), status)
                )
                if answer is None:
                    time.sleep(3)
                    self.close_connection = True
                else:
                    self.respond(*answer)

            def respond(self, status: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def device(self) -> Device:
        path = f"/send/{base64url(os.urandom(24))}"
        self.devices[path] = Device(self.origin + path)
        return self.devices[path]

    def check(self, path: str, headers: Message, body: bytes, public_key: str) -> Any:
        """As a push service and the browser behind it would; what the message says."""
        scheme, _, rest = headers["Authorization"].partition(" ")
        token, key = (part.split("=", 1)[1] for part in rest.split(","))
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(key))
        claims = jwt.decode(token, point, algorithms=["ES256"], audience=self.origin)
        sound = {
            "who sends it": (scheme, key) == ("vapid", public_key),
            "exp": 0 < claims["exp"] - time.time() <= 24 * 3600,
            "sub": claims["sub"].startswith("mailto:"),
            "Content-Encoding": headers["Content-Encoding"] == "aes128gcm",
            "TTL": int(headers["TTL"]) > 0,
            "Urgency": headers["Urgency"] in ("high", "normal"),
            "Topic": len(headers["Topic"]) <= 32 and headers["Topic"].isalnum(),
            "length": len(body) <= 4096,
        }
        if not all(sound.values()):
            raise ValueError(
                f"not as the standard says: {[n for n, ok in sound.items() if not ok]}"
            )
        return self.devices[path].read(body)

    def paths(self) -> list[str]:
        return [each.path for each in self.received]


@contextmanager
def push_service(vapid_public_key: str) -> Iterator[PushService]:
    service = PushService(vapid_public_key)
    thread = threading.Thread(target=service.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.server.shutdown()
        service.server.server_close()
