"""The app as it is served: gunicorn with the settings that ship, started for real."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from webhook_support import (
    EMAIL,
    NAME,
    PATH,
    SECRET,
    Blocked,
    Event,
    Metadata,
    checkout,
    signed,
)

from stack.network import free_ports
from tests.database import eventually
from tests.further import further_but

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "webhook_app" / "gunicorn.conf.py"
MIB = 1024 * 1024


class Served:
    """gunicorn on a port of its own, its output in a file."""

    def __init__(self, output: Path, settings: Path = SETTINGS, **environ: str) -> None:
        (self.port,) = free_ports(0)
        self.output = output
        command = ["-m", "gunicorn", "-c", str(settings), "-b", f"127.0.0.1:{self.port}"]
        with output.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **environ},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            # A body that is no bytes goes out in chunks, without its length.
            with suppress(BrokenPipeError):  # refused before all was sent: the answer is there
                connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def post(self, event: Event) -> tuple[int, Any]:
        return self.send("POST", PATH, *signed(event))

    def healthy(self) -> bool:
        try:
            return self.send("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def workers(self) -> set[int]:
        pid = self.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@pytest.fixture(
    scope="module", params=further_but(["preload"], {"preload": True, "no preload": False})
)
def preload(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@contextmanager
def serving(directory: Path, dsn: str, preload: bool) -> Iterator[Served]:
    settings = directory / "gunicorn.conf.py"
    settings.write_text(f"{SETTINGS.read_text()}\npreload_app = {preload}\n")
    environ = {"DATABASE_URL": dsn, "STRIPE_WEBHOOK_SECRET": SECRET}
    served = Served(directory / "output", settings, **environ)
    try:
        eventually(served.healthy)
        yield served
    finally:
        served.process.terminate()
        served.process.wait(60)
    assert "Traceback" not in served.output.read_text()


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, shared_dsn: str, preload: bool
) -> Iterator[Served]:
    """For those who leave it as it is."""
    with serving(tmp_path_factory.mktemp("served"), shared_dsn, preload) as served:
        yield served


@pytest.fixture
def doomed(tmp_path: Path, webhook_dsn: str, preload: bool) -> Iterator[Served]:
    with serving(tmp_path, webhook_dsn, preload) as served:
        yield served


def test_takes_an_event(served: Served, metadata: Metadata) -> None:
    before = len(served.output.read_text())
    paid = checkout(metadata)
    status, answer = served.post(paid)
    assert (status, answer["outcome"]) == (200, "request_created")
    output = served.output.read_text()
    lines = [json.loads(line) for line in output[before:].splitlines() if line.startswith("{")]
    assert [line["event_id"] for line in lines] == [paid["id"]]
    assert NAME not in output and EMAIL not in output and SECRET not in output


def test_oversized(served: Served) -> None:
    body, headers = signed("x" * (MIB + 1))
    assert served.send("POST", PATH, body, headers)[0] == 413
    assert served.send("POST", PATH, iter([body]), headers)[0] == 413
    body, headers = signed("x" * MIB)
    assert served.send("POST", PATH, iter([body]), headers)[1]["error"] == "invalid_event"
    # Far over, and without an end.
    assert served.send("POST", PATH, iter([body] * 3), headers)[0] == 413
    assert served.healthy()


def test_broken_chunk(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"zz\r\nnonsense\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_sigterm_finishes_what_was_begun(
    doomed: Served,
    metadata: Metadata,
    blocked: Blocked,
) -> None:
    answers: list[tuple[int, Any]] = []
    with blocked() as waiting:
        thread = threading.Thread(target=lambda: answers.append(doomed.post(checkout(metadata))))
        thread.start()
        eventually(lambda: waiting() == 1)
        doomed.process.send_signal(signal.SIGTERM)
        eventually(lambda: "Handling signal: term" in doomed.output.read_text())
    thread.join(60)
    assert answers[0][0] == 200
    assert doomed.process.wait(60) == 0


def test_workers_told_to_stop_while_they_start_stop(tmp_path: Path) -> None:
    """They have no signal handlers yet. A stop that waited for them would wait for a day."""
    settings, starting = tmp_path / "gunicorn.conf.py", tmp_path / "starting"
    settings.write_text(
        f"{SETTINGS.read_text()}\n"
        "import pathlib, time\n"
        "graceful_timeout = 86400\n"
        "remember = post_fork\n"
        "def post_fork(server, worker):\n"
        "    remember(server, worker)\n"
        f"    pathlib.Path({str(starting)!r}).touch()\n"
        "    while server.SIG_QUEUE.empty():\n"
        "        time.sleep(0.01)\n"
    )
    away = "postgresql://app@127.0.0.1:1/none"
    served = Served(tmp_path / "output", settings, DATABASE_URL=away, STRIPE_WEBHOOK_SECRET=SECRET)
    try:
        eventually(starting.exists)
        served.process.terminate()
        assert served.process.wait(60) == 0
    finally:
        if served.process.poll() is None:
            for worker in served.workers():
                os.kill(worker, signal.SIGKILL)
            served.process.kill()


def test_killed_worker_is_replaced(doomed: Served, metadata: Metadata) -> None:
    eventually(lambda: len(doomed.workers()) == 2)
    victim = doomed.workers().pop()
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: victim not in doomed.workers() and len(doomed.workers()) == 2)
    assert doomed.post(checkout(metadata))[0] == 200


def test_refuses_to_start(tmp_path: Path) -> None:
    served = Served(tmp_path / "output", DATABASE_URL="postgresql://app:hunter2@db/x")
    assert served.process.wait(60) == 3
    output = served.output.read_text()
    assert output.count("STRIPE_WEBHOOK_SECRET is missing") == 1
    assert "Traceback" not in output and "hunter2" not in output


def test_starts_without_database(tmp_path: Path) -> None:
    away = "postgresql://app@127.0.0.1:1/none"
    served = Served(tmp_path / "output", DATABASE_URL=away, STRIPE_WEBHOOK_SECRET=SECRET)
    try:

        def answer() -> Any:
            try:
                return served.send("GET", "/healthz")
            except OSError:
                return None

        assert eventually(answer, 60)[0] == 503
    finally:
        served.process.terminate()
        served.process.wait(60)
