"""A push service that speaks the standard, and the devices that subscribe there.

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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.database import Database, rpc


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


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
        rpc(db.connect(user), "register_device", **self.subscription())
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
    headers: dict[str, str]
    message: Any
    at: float


# What the service answers to a request, by its path; None: nothing, until the sender gives up.
Answers = Callable[[str], tuple[int, dict[str, str]] | None]


class PushService:
    def __init__(self, vapid_public_key: str) -> None:
        self.received: list[Received] = []
        self.faults: list[str] = []
        self.answer: Answers = lambda _: (201, {})
        self.devices: dict[str, Device] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    message = service.check(self.path, dict(self.headers), body, vapid_public_key)
                except Exception as error:  # noqa: BLE001  # told by the test
                    service.faults.append(repr(error))
                    self.respond(400, {})
                    return
                service.received.append(
                    Received(self.path, dict(self.headers), message, time.monotonic())
                )
                answer = service.answer(self.path)
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

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def device(self) -> Device:
        path = f"/send/{base64url(os.urandom(24))}"
        self.devices[path] = Device(self.origin + path)
        return self.devices[path]

    def check(self, path: str, headers: dict[str, str], body: bytes, public_key: str) -> Any:
        """As a push service and the browser behind it would; what the message says."""
        scheme, _, rest = headers["Authorization"].partition(" ")
        token, key = (part.split("=", 1)[1] for part in rest.split(","))
        assert (scheme, key) == ("vapid", public_key)
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(key))
        claims = jwt.decode(token, point, algorithms=["ES256"], audience=self.origin)
        assert 0 < claims["exp"] - time.time() <= 24 * 3600
        assert claims["sub"].startswith("mailto:")
        assert headers["Content-Encoding"] == "aes128gcm"
        assert int(headers["TTL"]) > 0
        assert headers["Urgency"] in ("high", "normal")
        assert len(headers["Topic"]) <= 32 and headers["Topic"].isalnum()
        assert len(body) <= 4096
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
