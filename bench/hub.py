"""The hub: from the commit to each of 10,000 clients, and what intake keeps beside 300 of them.

How often it can tell all of them is bound by what a write to a socket takes: `bench/bare_hub.py`
writes the same bytes to as many clients, and does nothing else.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.database import Database, user_id
from bench.intake import intake, listeners
from bench.measure import (
    NO_GOAL,
    Result,
    Subject,
    median,
    percentile,
    pgbench,
    processor_seconds,
    ratio,
    say,
)
from bench.measure import rounds as in_turns
from bench.webhook import OTHER_PROCESSORS, PROCESSOR
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
        bare = bare_writes(directory, db, people)
        yield median(
            f"bare write to each of {count:,} clients {RATE} times a second, of a processor's time",
            NO_GOAL,
            [each * count * RATE / 10_000 for each in bare],
            "%",
        )
        with hub(directory, db) as service, clients(directory, port(service), people) as process:
            for topic, whom in ((ONE, "one of them"), (EVERYONE, "all of them")):
                rounds = [
                    deliveries(db, process, service, topic, people) for _ in range(db.size.rounds)
                ]
                what = f"hub on one processor, {count:,} clients, {RATE} notices a second to {whom}"
                times = [each.late for each in rounds]
                yield percentile(f"{what}, commit to arrival, p50", NO_GOAL, 50, times, "ms")
                yield percentile(f"{what}, commit to arrival, p99", "<= 250", 99, times, "ms")
                busy = [each.hub_seconds / each.seconds * 100 for each in rounds]
                yield median(f"{what}, of the processor's time", NO_GOAL, busy, "%")
            # In the last rounds, to all.
            yield median(
                "hub, processor time of a delivery to all",
                NO_GOAL,
                [each.hub_seconds * 1e6 / len(each.late) for each in rounds],
                "µs",
                f"a bare write to each, {statistics.median(bare):.1f} µs",
            )
            yield median(
                "hub, processor time of a delivery to all, the clients' own",
                NO_GOAL,
                [each.clients_seconds * 1e6 / len(each.late) for each in rounds],
                "µs",
            )
            size = Path(f"/proc/{pid(service)}/status").read_text().partition("VmRSS:")[2].split()
            yield median(
                f"hub with {count:,} clients, memory", NO_GOAL, [int(size[0]) / 1024], "MB"
            )
        with hub(directory, db) as service, clients(directory, port(service), people[:few]):
            yield from intake(db, 8, f", {few} clients of the hub", beside_three=">= 0.6")
        yield from beside_itself_alone(directory, db, people[:few])


def beside_itself_alone(directory: Path, db: Database, people: list[str]) -> Iterator[Result]:
    """What intake loses by the hub, and by as many connections that listen."""
    few, connections = len(people), db.size.of(8)

    def alone() -> float:
        return pgbench(db.dsn, "intake.sql", db.size, clients=connections)

    def beside_hub() -> float:
        with hub(directory, db) as service, clients(directory, port(service), people):
            return alone()

    def beside_listeners() -> float:
        with listeners(db, few):
            return alone()

    rates = in_turns(
        db.size, {"alone": alone, "hub": beside_hub, "connections that listen": beside_listeners}
    )
    for which, goal, whom in (
        ("hub", ">= 0.6", f"{few} clients of the hub"),
        ("connections that listen", NO_GOAL, f"{few} connections that listen"),
    ):
        name = f"intake, {connections} connections, {whom}, beside intake without them"
        yield ratio(name, goal, rates[which], rates["alone"], "intake alone")


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


@dataclass(frozen=True)
class Round:
    # Milliseconds from each commit to each arrival.
    late: list[float]
    seconds: float
    # Of a processor's time.
    hub_seconds: float
    clients_seconds: float


def deliveries(
    db: Database,
    process: subprocess.Popen[str],
    service: Service,
    topic: str,
    people: list[str],
) -> Round:
    events = db.size.of(RATE * SECONDS)
    expected = events * (1 if topic == ONE else len(people))
    say(f"{events} notices, {expected:,} deliveries")
    busy = [-processor_seconds(each) for each in (pid(service), process.pid)]
    with arrivals(process, expected) as answer:
        began = time.monotonic()
        committed = {}
        for number in range(events):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            where = topic if topic == EVERYONE else topic + people[number * 37 % len(people)]
            at = time.time()
            committed[str(record(db, where))] = at
    seconds = time.monotonic() - began
    busy = [
        before + processor_seconds(each)
        for before, each in zip(busy, (pid(service), process.pid), strict=True)
    ]
    arrived = json.loads(answer[0])
    late = [(each - at) * 1000 for event_id, at in committed.items() for each in arrived[event_id]]
    if len(late) != expected:
        raise RuntimeError(f"{len(late)} of {expected} deliveries came")
    return Round(late, seconds, *busy)


@contextmanager
def arrivals(process: subprocess.Popen[str], expected: int) -> Iterator[list[str]]:
    """What is sent meanwhile, as the clients tell of it once they have it all."""
    assert process.stdin and process.stdout
    process.stdin.write(f"{expected} 120\n")
    process.stdin.flush()
    answer: list[str] = []
    output = process.stdout
    reader = threading.Thread(target=lambda: answer.append(output.readline()))
    reader.start()
    yield answer
    reader.join()


def bare_writes(directory: Path, db: Database, people: list[str]) -> list[float]:
    """Microseconds of the processor's time that a write to one client takes, of each round."""
    (number,) = free_ports(0)
    process = subprocess.Popen(
        [*PROCESSOR, sys.executable, "-m", "bench.bare_hub", str(number)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    event = db.value("select payload::text from dispatch.request_events order by id desc limit 1")
    found = []
    try:
        process.stdout.readline()  # it listens
        with clients(directory, number, people) as reading:
            for _ in range(db.size.rounds):
                events = db.size.of(RATE * SECONDS)
                seconds = 0.0
                with arrivals(reading, events * len(people)):
                    for _ in range(events):
                        process.stdin.write(f"{event}\n")
                        process.stdin.flush()
                        seconds += float(process.stdout.readline())
                found.append(seconds * 1e6 / events / len(people))
    finally:
        process.kill()
        process.wait()
    return found


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
    (number,) = free_ports(0)
    settings = {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": db.cluster.dsn("hub_app", db.name),
        "PGRST_JWT_SECRET": SECRET,
        "HUB_PORT": str(number),
    }
    argv = [*PROCESSOR, sys.executable, "-m", "hub_app"]
    health = f"http://127.0.0.1:{number}/healthz"
    with Service("hub", directory, argv, lambda: answers(health), settings).running() as service:
        yield service


@contextmanager
def clients(directory: Path, number: int, people: list[str]) -> Iterator[subprocess.Popen[str]]:
    tokens = directory / "tokens"
    tokens.write_text(
        "\n".join(sign("authenticated", each, secret=SECRET, seconds=36_000) for each in people)
    )
    say(f"{len(people):,} clients join")
    # They read as fast as the hub writes: beside it they would have half of its processor.
    process = subprocess.Popen(
        [*OTHER_PROCESSORS, sys.executable, "-m", "bench.hub_clients", str(number), tokens],
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


def port(service: Service) -> int:
    return int(service.env["HUB_PORT"])


def pid(service: Service) -> int:
    assert service.process
    return service.process.pid
