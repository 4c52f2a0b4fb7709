"""The hub: from the commit to each of 10,000 clients, and what intake keeps beside 300 of them."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.database import Database, user_id
from bench.intake import intake, listeners
from bench.measure import NO_GOAL, Subject, median, percentile, processor_seconds, say
from stack import ROOT
from stack.install import install_hub_role
from stack.network import answers, free_ports
from stack.services import Service
from stack.tokens import sign

CLIENTS = 10_000
LISTENERS = 300
# Notices a second, and for how long in each round.
RATE = 20
SECONDS = 5
SECRET = "a-secret-of-this-benchmark-alone-0123456789"
ONE, EVERYONE = "mechanic:", "session_requests_feed"


def measure(db: Database) -> Subject:
    db.prepare(history=100_000)
    install_hub_role(db.dsn)
    count, few = db.size.of(CLIENTS), db.size.of(LISTENERS)
    people = mechanics(db, count)
    record(db, EVERYONE)  # where who has no cursor begins
    with tempfile.TemporaryDirectory() as name, db.sweeping():
        directory = Path(name)
        with hub(directory, db) as service, clients(directory, service, people) as process:
            for topic, whom in ((ONE, "one of them"), (EVERYONE, "all of them")):
                rounds = [
                    deliveries(db, process, service, topic, people) for _ in range(db.size.rounds)
                ]
                what = f"hub on one processor, {count:,} clients, {RATE} notices a second to {whom}"
                times = [each for each, _ in rounds]
                yield percentile(f"{what}, commit to arrival, p50", NO_GOAL, 50, times, "ms")
                yield percentile(f"{what}, commit to arrival, p99", "<= 250", 99, times, "ms")
                busy = [each for _, each in rounds]
                yield median(f"{what}, of the processor's time", NO_GOAL, busy, "%")
            size = Path(f"/proc/{pid(service)}/status").read_text().partition("VmRSS:")[2].split()
            yield median(
                f"hub with {count:,} clients, memory", NO_GOAL, [int(size[0]) / 1024], "MB"
            )
        with hub(directory, db) as service, clients(directory, service, people[:few]):
            yield from intake(db, 8, f", {few} clients of the hub", beside_three=">= 0.6")
        with listeners(db, few):
            yield from intake(db, 8, f", {few} connections that listen", beside_three=">= 0.6")


def mechanics(db: Database, count: int) -> list[str]:
    """So many approved ones, those of the history among them."""
    people = [user_id(100_000 + number) for number in range(count)]
    db.fill(
        "insert into auth.users (id, email)"
        " select id, id || '@example.com' from unnest(%s::uuid[]) as id",
        people,
    )
    db.fill(
        "insert into public.mechanics (id, display_name, status)"
        " select id, 'Mia', 'approved' from unnest(%s::uuid[]) as id",
        people,
    )
    db.vacuum()
    return people


def deliveries(
    db: Database,
    process: subprocess.Popen[str],
    service: Service,
    topic: str,
    people: list[str],
) -> tuple[list[float], float]:
    """Milliseconds from each commit to each arrival, and how busy the hub was, in per cent."""
    events = db.size.of(RATE * SECONDS)
    expected = events * (1 if topic == ONE else len(people))
    say(f"{events} notices, {expected:,} deliveries")
    answer: list[str] = []
    assert process.stdin and process.stdout
    process.stdin.write(f"{expected} 120\n")
    process.stdin.flush()
    output = process.stdout
    reader = threading.Thread(target=lambda: answer.append(output.readline()))
    reader.start()
    busy, began = processor_seconds(pid(service)), time.monotonic()
    committed = {}
    for number in range(events):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        where = topic if topic == EVERYONE else topic + people[number * 37 % len(people)]
        at = time.time()
        committed[str(record(db, where))] = at
    reader.join()
    busy = (processor_seconds(pid(service)) - busy) / (time.monotonic() - began) * 100
    arrived = json.loads(answer[0])
    late = [(each - at) * 1000 for event_id, at in committed.items() for each in arrived[event_id]]
    if len(late) != expected:
        raise RuntimeError(f"{len(late)} of {expected} deliveries came")
    return late, busy


def record(db: Database, topic: str) -> int:
    return int(
        db.value(
            "select dispatch.record_event("
            "  gen_random_uuid(), 'chat', 'quick-chat', now(), 'new_request', array[%s])",
            topic,
        )
    )


@contextmanager
def hub(directory: Path, db: Database) -> Iterator[Service]:
    (port,) = free_ports(0)
    settings = {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": db.cluster.dsn("hub_app", db.name),
        "PGRST_JWT_SECRET": SECRET,
        "HUB_PORT": str(port),
    }
    argv = ["taskset", "-c", "0", sys.executable, "-m", "hub_app"]
    health = f"http://127.0.0.1:{port}/healthz"
    service = Service("hub", directory, argv, lambda: answers(health), settings)
    service.start()
    try:
        service.wait_ready()
        yield service
    finally:
        service.stop()


@contextmanager
def clients(
    directory: Path, service: Service, people: list[str]
) -> Iterator[subprocess.Popen[str]]:
    tokens = directory / "tokens"
    tokens.write_text(
        "\n".join(sign("authenticated", each, secret=SECRET, seconds=36_000) for each in people)
    )
    say(f"{len(people):,} clients join")
    # They read as fast as the hub writes: beside it they would have half of its processor.
    elsewhere = ["taskset", "-c", f"1-{os.cpu_count() or 2}"]
    process = subprocess.Popen(
        [*elsewhere, sys.executable, "-m", "bench.hub_clients", service.env["HUB_PORT"], tokens],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        if process.stdout.readline() != "joined\n":
            raise RuntimeError("the clients did not join")
        yield process
    finally:
        process.kill()
        process.wait()


def pid(service: Service) -> int:
    assert service.process
    return service.process.pid
