"""Web Push: from a booking's commit to the push service's door, and how many a sender sends."""

import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bench.database import CUSTOMER, Database, user_id
from bench.measure import Subject, median, percentile, processor_seconds, say
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


# How long a push service takes to answer: at once, or as one that is some way off.
AT_ONCE, AFAR = 0.0, 0.1
CERTIFICATE = "door.crt"


def measure(db: Database) -> Subject:
    db.prepare(history=100_000)
    install_push_role(db.dsn)
    with tempfile.TemporaryDirectory() as name, db.sweeping():
        directory = Path(name)
        (port,) = free_ports(0)
        door = Door(directory, port)
        db.run("select dispatch.set_push_services(%s)", [door.origin])
        count = db.size.of(BOOKINGS)
        for number in range(1, count + 1):
            add_device(db, door.origin, number)
        with door.service(AT_ONCE).running():
            with sender(directory, db).running():
                say(f"{count} bookings, one each {EVERY * 1000:.0f} ms")
                late = idle(db, door, count)
            groups = [late[start :: db.size.rounds] for start in range(db.size.rounds)]
            what = "Web Push, from the booking's commit to the push service's door, idle"
            yield percentile(f"{what}, p50", "-", 50, groups, "ms")
            yield percentile(f"{what}, p99", "<= 150", 99, groups, "ms")
            near = [burst(db, directory, door, count) for _ in range(db.size.rounds)]
        with door.service(AFAR).running():
            far = [burst(db, directory, door, count) for _ in range(db.size.rounds)]
    what = "pushes of one sender, encrypted, signed, by TLS"
    rates = [each.rate for each in near]
    yield median(f"{what}, answered at once", ">= 500", rates, "/s")
    rates = [each.rate for each in far]
    yield median(f"{what}, answered after {AFAR * 1000:.0f} ms", ">= 500", rates, "/s")
    what = "processor time of a push, answered at once"
    yield median(f"{what}, the sender's", "-", [each.sender for each in near], "ms")
    yield median(f"{what}, the database's", "-", [each.database for each in near], "ms")


@dataclass(frozen=True)
class Burst:
    rate: float  # pushes a second, from the first that arrives to the last
    # Processor time of a push, in milliseconds.
    sender: float
    database: float


class Door:
    """A push service's, and the certificate by which the sender knows it."""

    def __init__(self, directory: Path, port: int) -> None:
        self.origin = f"https://127.0.0.1:{port}"
        self.certificate = directory / CERTIFICATE
        self._directory, self._port, self._key = directory, port, directory / "door.key"
        request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 1"
        subject = ["-subj", "/CN=door", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-out", str(self.certificate), "-keyout", str(self._key)]
        subprocess.run(
            ["openssl", *request.split(), *subject, *files], check=True, capture_output=True
        )
        self._tls = ssl.create_default_context(cafile=self.certificate)

    def told(self) -> list[tuple[str, float]]:
        """Which devices' pushes came since it was last asked, and when."""
        with urllib.request.urlopen(f"{self.origin}/", context=self._tls) as answer:
            lines = answer.read().decode().splitlines()
        return [(device, float(at)) for device, _, at in (line.partition(" ") for line in lines)]

    def service(self, seconds: float) -> Service:
        def ready() -> bool:
            try:
                self.told()
            except OSError:
                return False
            return True

        argv = [sys.executable, "-m", "bench.push_door", str(self._port), str(seconds),
                str(self.certificate), str(self._key)]  # fmt: skip
        return Service("door", self._directory, argv, ready, {"PYTHONPATH": str(ROOT)})


def add_device(db: Database, origin: str, number: int) -> None:
    device = Device(f"{origin}/{number}").subscription()
    db.run(
        "insert into dispatch.devices (endpoint, user_id, p256dh, auth) values (%s, %s, %s, %s)",
        device["endpoint"],
        user_id(number),
        device["p256dh"],
        device["auth"],
    )


def idle(db: Database, door: Door, count: int) -> list[float]:
    """Milliseconds, booking by booking."""
    door.told()
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
    arrived = dict(until(door, count))
    return [(arrived[number] - at) * 1000 for number, at in committed.items()]


def burst(db: Database, directory: Path, door: Door, devices: int) -> Burst:
    """So many are due when the sender starts."""
    door.told()
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
        f"{door.origin}/",
        devices,
    )
    count = int(db.value("select count(*) from dispatch.pushes"))
    say(f"{count} pushes are due")
    process = sender(directory, db)
    with process.running():
        assert process.process
        began = processor_seconds(process.process.pid)
        times = [at for _, at in until(door, count)]
        # The sender is done when the database knows of all.
        while db.value("select count(*) from dispatch.pushes where finished_at is null"):
            time.sleep(0.1)
        spent = processor_seconds(process.process.pid) - began
        sessions = "select pid from pg_stat_activity where usename = 'push_app'"
        spent_there = sum(processor_seconds(pid) for (pid,) in db.run(sessions, as_superuser=True))
    return Burst(
        (count - 1) / (max(times) - min(times)), spent / count * 1000, spent_there / count * 1000
    )


def until(door: Door, count: int) -> list[tuple[str, float]]:
    arrived: list[tuple[str, float]] = []
    deadline = time.monotonic() + 60
    while len(arrived) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {len(arrived)} of {count} pushes arrived")
        time.sleep(0.1)
        arrived += door.told()
    return arrived


def sender(directory: Path, db: Database) -> Service:
    settings = {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": db.cluster.dsn("push_app", db.name),
        "VAPID_PRIVATE_KEY": new_keys()[1],
        "VAPID_SUBJECT": "mailto:bench@example.com",
        "SSL_CERT_FILE": str(directory / CERTIFICATE),
    }
    listening = "select 1 from pg_stat_activity where query = 'listen dispatch_pushes'"
    return Service(
        "sender",
        directory,
        [sys.executable, "-m", "push_app"],
        lambda: bool(db.run(listening, as_superuser=True)),
        settings,
    )
