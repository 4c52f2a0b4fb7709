"""The second way: the sender as it is, examples/push_by_mail.py, and a mail server."""

import base64
import email
import hashlib
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import Message

import http_ece
import httpx
import pytest

from push_app.keys import new_keys, public_key, read_key
from stack import ROOT
from stack.network import free_ports, listens
from tests.database import Database, eventually

_, SENDER_KEY = new_keys()
_, MAIL_KEY = new_keys()
(PORT,) = free_ports(0)


class MailServer(socketserver.ThreadingTCPServer):
    """SMTP, as far as a mail needs it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.mails: list[tuple[str, Message]] = []
        self.recipient = "250 ok"
        self.reached = threading.Event()
        self.takes = threading.Event()
        self.takes.set()


class Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.say("220 here")
        to = ""
        for line in self.rfile:
            command = line[:4].upper()
            if command == b"RCPT":
                to = line.decode().strip()
                self.say(self.server.recipient)
            elif command == b"DATA":
                self.say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.reached.set()
                self.server.takes.wait()
                self.server.mails.append((to, email.message_from_bytes(b"".join(lines))))
                self.say("250 ok")
            elif command == b"QUIT":
                self.say("421 too late")  # which changes nothing
                return
            else:
                self.say("250 ok")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture(scope="module")
def _mail() -> Iterator[MailServer]:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def mail(_mail: MailServer) -> MailServer:
    _mail.mails.clear()
    _mail.recipient = "250 ok"
    return _mail


def environment(smtp_port: int = 0) -> dict[str, str]:
    return {
        "MAIL_PRIVATE_KEY": MAIL_KEY,
        "MAIL_PORT": str(PORT),
        "MAIL_FROM": "dispatch@example.com",
        "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        "APP_URL": "https://app.example/mechanic.html",
    }


@contextmanager
def running(module: str, settings: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def bridge(_mail: MailServer) -> Iterator[str]:
    with running("examples.push_by_mail", environment(_mail.server_address[1])):
        eventually(lambda: listens(PORT))
        yield f"http://127.0.0.1:{PORT}/"


@pytest.fixture
def _sender(db: Database, bridge: str) -> Iterator[None]:
    settings = {"DATABASE_URL": db.dsn("push_app"), "VAPID_PRIVATE_KEY": SENDER_KEY}
    with running("push_app", settings | {"VAPID_SUBJECT": "mailto:ops@example.com"}):
        yield


def told_by_mail(db: Database, address: str) -> str:
    """As docs/push.md has it; the request that their favourite books."""
    mechanic = db.make_mechanic(online=False)
    db.sql("update auth.users set email = %s where id = %s", address, mechanic)
    script = [sys.executable, "-m", "examples.push_by_mail", "device"]
    device = subprocess.run(
        script, cwd=ROOT, env=os.environ | environment(), stdout=subprocess.PIPE, check=True
    ).stdout
    psql = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", f"email={address}", "-d", db.dsn()]
    for _ in range(2):
        subprocess.run(psql, input=device, check=True)
    request = db.make_request(preferred=mechanic)
    db.sql("select dispatch.deliver_events()")
    return request


def first_push(db: Database) -> dict[str, object]:
    (push,) = db.sql("select * from dispatch.pushes where not is_reminder")
    return push


@pytest.mark.usefixtures("_sender")
def test_a_favourite_is_told_by_mail_as_soon_as_the_server_takes_it(
    db: Database, mail: MailServer
) -> None:
    mail.recipient = "451 later"
    request = told_by_mail(db, "frank+jobs@mail.example")
    eventually(lambda: first_push(db)["status"] == 503)
    assert first_push(db)["outcome"] is None
    mail.recipient = "250 ok"
    db.sql("update dispatch.pushes set due_at = now() where not is_reminder")
    eventually(lambda: first_push(db)["outcome"] == "sent")
    ((to, message),) = mail.mails
    assert to.lower() == "rcpt to:<frank+jobs@mail.example>"
    assert message["Subject"] == "A customer asks for you"
    assert message.get_payload() == (
        "Chat session, yours alone for 10 minutes.\r\n\r\nhttps://app.example/mechanic.html\r\n"
    )
    assert db.log(request) == ["priority_request"]


@pytest.mark.usefixtures("_sender")
def test_an_address_that_is_none_is_forgotten_and_its_window_ends(
    db: Database, mail: MailServer
) -> None:
    mail.recipient = "550 no such user"
    request = told_by_mail(db, "gone@mail.example")
    eventually(lambda: db.log(request) == ["priority_request", "new_request:unreachable"])
    assert db.sql("select * from dispatch.devices") == []
    assert mail.mails == []


def pushed(text: bytes) -> bytes:
    """As the sender encrypts it, with another salt each time."""
    device = read_key(MAIL_KEY)
    encrypted: bytes = http_ece.encrypt(
        text,
        private_key=read_key(new_keys()[1]).private_key,
        dh=base64.urlsafe_b64decode(public_key(device) + "=="),
        auth_secret=hashlib.sha256(b"auth" + MAIL_KEY.encode()).digest()[:16],
        version="aes128gcm",
    )
    return encrypted


def test_a_push_that_comes_again_is_no_second_mail(bridge: str, mail: MailServer) -> None:
    """Nor while the mail server has not said that it took the first."""
    address = bridge + b"frank@mail.example".hex()
    text = b'{"title": "A customer is waiting", "body": "Chat session."}'
    mail.takes.clear()
    mail.reached.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.post, address, content=pushed(text))
        mail.reached.wait()
        assert httpx.post(address, content=pushed(text)).status_code == 503
        mail.takes.set()
        assert first.result().status_code == 201
    assert httpx.post(address, content=pushed(text)).status_code == 201
    assert len(mail.mails) == 1
    assert httpx.post(address, content=pushed(text.replace(b"Chat", b"Video"))).status_code == 201
    assert len(mail.mails) == 2


def test_nobody_else_sends_mail_by_it(bridge: str, mail: MailServer) -> None:
    address = bridge + b"frank@mail.example".hex()
    assert httpx.post(address, content=b"x" * 200).status_code == 400
    assert httpx.post(bridge + "x", content=b"").status_code == 400
    assert httpx.post(address, content=b"x" * 5000).status_code == 413
    assert mail.mails == []


def test_its_devices_are_the_owners_to_make(db: Database, bridge: str) -> None:
    """Else anybody could have anybody else told."""
    assert db.value("select dispatch.is_push_endpoint(%s)", bridge + "66") is False
