"""A hub that runs, and clients that listen to it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stack.network import free_ports
from stack.tokens import sign
from tests.database import Database, eventually

SECRET = "the-same-secret-as-postgrest-has-in-its-settings"


@dataclass(frozen=True)
class Told:
    id: int
    event: str
    data: dict[str, Any]


class Client:
    """One stream."""

    def __init__(self, port: int, token: str | None, after: object = None, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        given = dict(headers)
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        if after is not None:
            given["Last-Event-ID"] = str(after)
        self._connection.request("GET", "/events", headers=given)
        self.response = self._connection.getresponse()
        self.status = self.response.status
        # Why not.
        self.body: dict[str, Any] = json.loads(self.response.read()) if self.status != 200 else {}
        # When to come again, in milliseconds.
        self.retry = 0
        # Where the stream begins, once it is told.
        self.began = int(self._block()["id"]) if self.status == 200 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def next(self) -> Told:
        while "data" not in (fields := self._block()):
            pass
        return Told(int(fields["id"]), fields["event"], json.loads(fields["data"]))

    def rest(self) -> list[Told]:
        """What comes until the stream ends."""
        told = []
        try:
            while True:
                told.append(self.next())
        except (EOFError, ConnectionError, http.client.IncompleteRead):
            return told

    def _block(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        while True:
            line = self.response.readline()
            if not line:
                raise EOFError
            name, colon, value = line.decode().rstrip("\n").partition(": ")
            if colon and name:
                fields[name] = value
            elif fields and line == b"\n":
                self.retry = int(fields.get("retry", self.retry))
                return fields


class Hub:
    def __init__(self, dsn: str, output: Path, files: str = "", **settings: str) -> None:
        (self.port,) = free_ports(0)
        self.output = output
        environment = {
            "DATABASE_URL": dsn,
            "PGRST_JWT_SECRET": SECRET,
            "HUB_PORT": str(self.port),
        }
        limit = ["prlimit", f"--nofile={files}:{files}"] if files else []
        with output.open("w") as file:
            self.process = subprocess.Popen(
                [*limit, sys.executable, "-m", "hub_app"],
                env=os.environ | environment | settings,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self) -> None:
        eventually(lambda: self.health().get("listening"))

    def health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz") as answer:
                found: dict[str, Any] = json.load(answer)
        except OSError:
            assert self.process.poll() is None, self.output.read_text()
            return {}
        return found

    def listen(self, user_id: str, after: object = None) -> Client:
        client = Client(self.port, token(user_id), after)
        assert client.status == 200, client.body
        return client

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(15)


@contextmanager
def running(
    db: Database, directory: Path, dsn: str = "", files: str = "", **settings: str
) -> Iterator[Hub]:
    hub = Hub(dsn or db.dsn("hub_app"), directory / "hub.log", files, **settings)
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.process.kill()
        hub.process.wait()
    text = hub.output.read_text()
    assert "Traceback" not in text, text


def token(user_id: str | None, role: str = "authenticated", **claims: Any) -> str:
    return sign(role, user_id, secret=SECRET, **claims)


def expiring_token(user_id: str, seconds: int) -> str:
    """Expired already, but for what clocks may differ: it holds for so many seconds."""
    return token(user_id, exp=int(time.time()) - 30 + seconds)


def deaf_socket() -> socket.socket:
    """One that takes little and reads nothing."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return taken
