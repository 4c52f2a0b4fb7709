"""Web Push: from a booking's commit to the push service's door, and how many a sender sends."""

import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.database import CUSTOMER, Database, user_id
from bench.measure import Subject, median, percentile, say
from push_app.keys import new_keys
from stack import ROOT
from stack.install import install_push_role
from stack.network import free_ports
from stack.push_service import Device
from stack.services import Service

# Each samples another mechanic.
BOOKINGS = 300
EVERY = 0.05
# For a second and more of sending.
QUEUED = 3_000


def measure(db: Database) -> Subject:
    db.prepare(history=100_000)
    install_push_role(db.dsn)
    with tempfile.TemporaryDirectory() as name, db.sweeping():
        directory = Path(name)
        (port,) = free_ports(0)
        origin = f"http://127.0.0.1:{port}"
        db.run("select dispatch.set_push_services(%s)", [origin])
        count = db.size.of(BOOKINGS)
        for number in range(1, count + 1):
            add_device(db, origin, number)
        with running(door(directory, port)):
            with running(sender(directory, db)):
                say(f"{count} bookings, one each {EVERY * 1000:.0f} ms")
                late = idle(db, origin, count)
            groups = [late[start :: db.size.rounds] for start in range(db.size.rounds)]
            what = "Web Push, from the booking's commit to the push service's door, idle"
            yield percentile(f"{what}, p50", "-", 50, groups, "ms")
            yield percentile(f"{what}, p99", "<= 150", 99, groups, "ms")
            rates = [rate(db, directory, origin, count) for _ in range(db.size.rounds)]
    yield median("pushes of one sender, encrypted, signed and answered", ">= 500", rates, "/s")


def add_device(db: Database, origin: str, number: int) -> None:
    device = Device(f"{origin}/{number}").subscription()
    db.run(
        "insert into dispatch.devices (endpoint, user_id, p256dh, auth) values (%s, %s, %s, %s)",
        device["endpoint"],
        user_id(number),
        device["p256dh"],
        device["auth"],
    )


def idle(db: Database, origin: str, count: int) -> list[float]:
    """Milliseconds, booking by booking."""
    told(origin)
    committed: dict[str, float] = {}
    for number in range(1, count + 1):
        db.run(
            "insert into public.session_requests"
            " (customer_id, session_type, plan_code, preferred_mechanic_id)"
            " values (%s, 'chat', 'quick-chat', %s)",
            CUSTOMER,
            user_id(number),
        )
        committed[str(number)] = time.time()
        time.sleep(EVERY)
    arrived = until(origin, count)
    return [(arrived[number] - at) * 1000 for number, at in committed.items()]


def rate(db: Database, directory: Path, origin: str, devices: int) -> float:
    """Pushes a second, from the first that arrives to the last."""
    told(origin)
    count = db.size.of(QUEUED)
    db.run("delete from dispatch.pushes")
    # As one event for each would be: its request still open to that mechanic.
    db.run(
        "insert into dispatch.pushes (event_id, request_id, user_id, endpoint, due_at, expires_at)"
        " select e.id, e.request_id, d.user_id, d.endpoint, now(), now() + interval '9 minutes'"
        " from generate_series(1, %s) as n"
        " inner join dispatch.devices as d on d.endpoint = %s || (1 + n %% %s)"
        " inner join lateral ("
        "  select e.id, e.request_id from dispatch.request_events as e"
        "  inner join public.session_requests as r on r.id = e.request_id"
        "  where e.event = 'priority_request' and r.status = 'pending'"
        "  and r.preferred_mechanic_id = d.user_id order by e.id desc limit 1"
        " ) as e on true",
        count,
        f"{origin}/",
        devices,
    )
    count = int(db.value("select count(*) from dispatch.pushes"))
    say(f"{count} pushes are due")
    with running(sender(directory, db)):
        times: list[float] = []
        while len(times) < count:
            times += [at for _, at in told(origin)]
            time.sleep(0.1)
    return (count - 1) / (max(times) - min(times))


def until(origin: str, count: int) -> dict[str, float]:
    arrived: dict[str, float] = {}
    deadline = time.monotonic() + 30
    while len(arrived) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {len(arrived)} of {count} pushes arrived")
        arrived |= dict(told(origin))
        time.sleep(0.1)
    return arrived


def told(origin: str) -> list[tuple[str, float]]:
    with urllib.request.urlopen(f"{origin}/") as answer:
        lines = answer.read().decode().splitlines()
    return [(device, float(at)) for device, _, at in (line.partition(" ") for line in lines)]


@contextmanager
def running(service: Service) -> Iterator[None]:
    service.start()
    try:
        service.wait_ready()
        yield
    finally:
        service.stop()


def door(directory: Path, port: int) -> Service:
    def ready() -> bool:
        try:
            told(f"http://127.0.0.1:{port}")
        except OSError:
            return False
        return True

    argv = [sys.executable, "-m", "bench.push_door", str(port)]
    return Service("door", directory, argv, ready, {"PYTHONPATH": str(ROOT)})


def sender(directory: Path, db: Database) -> Service:
    settings = {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": db.cluster.dsn("push_app", db.name),
        "VAPID_PRIVATE_KEY": new_keys()[1],
        "VAPID_SUBJECT": "mailto:bench@example.com",
    }
    listening = "select 1 from pg_stat_activity where query = 'listen dispatch_pushes'"
    return Service(
        "sender",
        directory,
        [sys.executable, "-m", "push_app"],
        lambda: bool(db.run(listening, as_superuser=True)),
        settings,
    )
