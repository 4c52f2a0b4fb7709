"""What an answer says of its connection, and the app behind the nginx.conf that ships."""

import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest
from test_webhook_gunicorn import MIB, Served, serving
from webhook_support import PATH, Metadata, checkout, signed

from stack.network import free_ports, listens
from stack.services import webhook_front
from tests.database import eventually

# As many connections as nginx has by default, so that the tests can come near it.
NGINX = """\
{user}
daemon off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{front}
}}
"""
ASKED_AGAIN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LONG = MIB + 1


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers, "", ""]).encode() + body


CHUNKED = "Transfer-Encoding: chunked"
REFUSED = {
    "too large": (413, request(f"POST {PATH}", f"Content-Length: {LONG}", body=b"x" * LONG)),
    "too large, in chunks": (
        413,
        request(
            f"POST {PATH}", CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (2 * LONG, b"x" * 2 * LONG)
        ),
    ),
    "another method": (405, request(f"PUT {PATH}", f"Content-Length: {MIB}", body=b"x" * MIB)),
    "another path": (404, request("POST /x", f"Content-Length: {MIB}", body=b"x" * MIB)),
    "no signature": (400, request(f"POST {PATH}", "Content-Length: 2", body=b"{}")),
    "a broken chunk": (400, request(f"POST {PATH}", CHUNKED, body=b"zz\r\nnonsense\r\n")),
    "a long line": (414, request(f"GET /{'x' * 2000}")),
    "no request": (400, b"x\r\n\r\n"),
}


@contextmanager
def nginx(directory: Path, app: Served) -> Iterator[int]:
    """nginx in front of it, as shipped; its port."""
    (port,) = free_ports(0)
    user = "user root;" if os.geteuid() == 0 else ""
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(user=user, front=webhook_front(port, app.port)))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    with (directory / "nginx.log").open("w") as log:
        process = subprocess.Popen(
            [program, "-e", "stderr", "-p", f"{directory}/", "-c", str(config)], stderr=log
        )
    try:
        eventually(lambda: listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, shared_dsn: str) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("app"), shared_dsn, preload=True) as app:
        yield app


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, app: Served) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("nginx"), app) as port:
        yield port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def answer(connection: socket.socket) -> HTTPResponse:
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response


def keeps_its_word(port: int, sent: bytes, status: int) -> None:
    """An answer says that the connection ends, and it does; or the next request is answered."""
    with connect(port) as connection:
        with suppress(OSError):  # refused before all was sent: the answer is there
            connection.sendall(sent)
        response = answer(connection)
        assert response.status == status
        if response.getheader("Connection") == "close":
            return
        connection.sendall(ASKED_AGAIN)
        assert answer(connection).status in (200, 503)


@pytest.mark.parametrize("name", REFUSED)
def test_gunicorn_keeps_its_word(app: Served, name: str) -> None:
    status, sent = REFUSED[name]
    keeps_its_word(app.port, sent, status)


@pytest.mark.parametrize("name", REFUSED)
def test_nginx_keeps_its_word(front: int, name: str) -> None:
    status, sent = REFUSED[name]
    keeps_its_word(front, sent, status)


def test_without_a_database_it_keeps_its_word(tmp_path: Path) -> None:
    away = "postgresql://app@127.0.0.1:1/none"
    app = Served(
        tmp_path / "output",
        DATABASE_URL=away,
        STRIPE_WEBHOOK_SECRET="whsec_x",
        WEBHOOK_DB_TIMEOUT="1",
    )
    try:
        eventually(lambda: listens(app.port))
        with nginx(tmp_path, app) as port:
            for each in (app.port, port):
                keeps_its_word(each, ASKED_AGAIN, 503)
    finally:
        app.process.terminate()
        app.process.wait(60)


def test_through_nginx_an_event_is_taken(app: Served, front: int, metadata: Metadata) -> None:
    body, headers = signed(checkout(metadata))
    lines = [f"{name}: {text}" for name, text in headers.items()]
    with connect(front) as connection:
        for _ in range(2):  # on one connection
            sent = request(f"POST {PATH}", *lines, f"Content-Length: {len(body)}", body=body)
            connection.sendall(sent)
            assert answer(connection).status == 200


def test_who_has_sent_all_and_closes_that_half_is_answered(
    app: Served, front: int, metadata: Metadata
) -> None:
    for port in (app.port, front):
        body, headers = signed(checkout(metadata))
        lines = [f"{name}: {text}" for name, text in headers.items()]
        with connect(port) as connection:
            connection.sendall(
                request(f"POST {PATH}", *lines, f"Content-Length: {len(body)}", body=body)
            )
            connection.shutdown(socket.SHUT_WR)
            assert answer(connection).status == 200


def test_far_too_large_is_said_by_nginx_as_by_the_app(front: int) -> None:
    with connect(front) as connection:
        connection.sendall(request(f"POST {PATH}", f"Content-Length: {3 * MIB}"))
        response = HTTPResponse(connection)
        response.begin()
        assert response.status == 413 and b'{"error": "too_large"' in response.read()


def test_without_the_app_stripe_is_asked_to_send_it_again(tmp_path: Path) -> None:
    (unused,) = free_ports(0)
    nobody = Served.__new__(Served)
    nobody.port = unused
    with nginx(tmp_path, nobody) as port, connect(port) as connection:
        connection.sendall(ASKED_AGAIN)
        response = answer(connection)
        assert response.status == 503 and response.getheader("Retry-After")


def test_silent_and_slow_clients_delay_no_event(
    front: int, metadata: Metadata, shared_dsn: str
) -> None:
    """They are all still connected when it is answered: none had to go for it."""
    body, headers = signed(checkout(metadata))
    lines = [f"{name}: {text}" for name, text in headers.items()]
    whole = request(f"POST {PATH}", *lines, f"Content-Length: {len(body)}", body=body)
    with ExitStack() as held:
        others = [held.enter_context(connect(front)) for _ in range(400)]
        for slow, part in zip(others[200:], [len(whole) - 1, 20] * 100, strict=True):
            slow.sendall(whole[:part])
        with connect(front) as connection:
            connection.sendall(whole)
            assert answer(connection).status == 200
        gone, _, _ = select.select(others, [], [], 0)
        assert not gone


def test_one_address_does_not_hold_all_connections(front: int, metadata: Metadata) -> None:
    """By bodies of which a byte comes now and then, which nothing ends."""
    body, headers = signed(checkout(metadata))
    lines = [f"{name}: {text}" for name, text in headers.items()]
    whole = request(f"POST {PATH}", *lines, f"Content-Length: {len(body)}", body=body)
    begun = request(f"POST {PATH}", f"Content-Length: {MIB}", body=b"{")
    with ExitStack() as held:
        slow: list[socket.socket] = []
        for count in (460, 60, 60, 60):
            for _ in range(count):
                slow.append(held.enter_context(connect(front)))
                slow[-1].sendall(begun)
            time.sleep(1.2)
            for each in slow:
                with suppress(OSError):  # refused
                    each.sendall(b"x")
            with socket.create_connection(("127.0.0.1", front), 60, ("127.0.0.2", 0)) as connection:
                connection.sendall(whole)
                assert answer(connection).status == 200
