"""What a person feels: from a payment, a deadline or an accept until those it concerns are told.

Work comes at its own rate, whether or not what came before is done, and a wait is counted from
when the work came, not from when a connection was free for it: a stall is felt by all that come
during it.
"""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bench import accept, lateness
from bench.database import MECHANIC, Connection, Database, acting_as, user_id
from bench.measure import SQL, Result, Subject, percentile, say
from stack.postgres import binary

# A second.
RATES = (1, 100, 1_000)
SECONDS = 30
CLIENTS = 16
MECHANICS = 1_000
FEED = "session_requests_feed"

# Of each connection, when its first, second ... transaction came.
Came = dict[int, list[float]]


def measure(db: Database) -> Subject:
    db.prepare(history=100_000)
    db.run(
        "insert into auth.users (id, email) values (%s, 'listened@example.com')", lateness.LISTENED
    )
    accept.fill(db, sum(max(rate * SECONDS, 2 * CLIENTS) for rate in RATES))
    with db.sweeping():
        first = 1_000_001
        for rate in RATES:
            yield from felt("payment to the favourite's notice", rate, paid(db, rate))
            yield from felt("deadline to everyone's notice", rate, ended(db, rate))
            yield from felt("accept to all who saw it", rate, taken(db, rate, first))
            first += max(rate * SECONDS, 2 * CLIENTS)


def felt(what: str, rate: int, waits: list[float]) -> Iterator[Result]:
    for percent in (50, 99):
        name = f"{what}, {rate:,} a second, p{percent}"
        yield percentile(name, "-", percent, [waits[0::2], waits[1::2]], "ms")


def paid(db: Database, rate: int) -> list[float]:
    """Each notice goes to one of many favourites."""
    listener = db.connect()
    for number in range(1, MECHANICS + 1):
        listener.execute(f'listen "mechanic:{user_id(number)}"'.encode())
    script = (SQL / "intake.sql").read_text()
    script = script.replace("\\set n random(1, 2000000000)", "\\set n :n + 1")
    first = rate * 1_000_000
    came, told = run(db, script, rate, listener, "priority_request", n=first)
    booked = db.run(
        "select id::text, metadata ->> 'stripe_checkout_session_id' from public.session_requests"
        " where starts_with(metadata ->> 'stripe_checkout_session_id', 'cs_')"
    )
    waits = []
    for request, session in booked:
        _, client, n = session.split("_")
        if request in told and int(n) > first:
            waits.append((told[request] - came[int(client)][int(n) - first - 1]) * 1000)
    return waits


def ended(db: Database, rate: int) -> list[float]:
    """So many windows end in a second, each at its own moment."""
    return lateness.waits(db, max(db.size.of(rate * SECONDS), 4), SECONDS / db.size.divisor)


def taken(db: Database, rate: int, first: int) -> list[float]:
    """The feed is told, as the requests were broadcast."""
    listener = db.connect()
    listener.execute(f"listen {FEED}".encode())
    script = (SQL / "felt_accept.sql").read_text()
    came, told = run(
        db, script, rate, listener, "request_accepted", acting_as(MECHANIC), n=-1, first=first
    )
    ids = [(client, n) for client, times in came.items() for n in range(len(times))]
    clients = len(came)
    return [
        (told[request_id(first + n * clients + client)] - came[client][n]) * 1000
        for client, n in ids
    ]


def request_id(number: int) -> str:
    """As bench.request_id has it."""
    return f"00000000-0000-4000-9000-{number:012x}"


def run(
    db: Database,
    script: str,
    rate: int,
    listener: Connection,
    event: str,
    options: str = "",
    **variables: int,
) -> tuple[Came, dict[str, float]]:
    """When the work came, and when each request's notice was heard."""
    clients = min(CLIENTS, rate)
    each = max(db.size.of(rate * SECONDS) // clients, 2)
    told: dict[str, float] = {}

    def hear() -> None:
        for notice in listener.notifies(timeout=10 * SECONDS):
            payload = json.loads(notice.payload)
            if payload["event"] == event:
                told[payload["request_id"]] = time.time()
                if len(told) == clients * each:
                    return

    thread = threading.Thread(target=hear)
    thread.start()
    say(f"{clients * each} times {event}, {rate} a second")
    with tempfile.TemporaryDirectory() as logs:
        given = [f"-D{name}={value}" for name, value in {"clients": clients, **variables}.items()]
        process = subprocess.run(
            [binary("pgbench"), "-n", "-M", "prepared", "-c", str(clients),
             "-j", str(min(clients, 2)), "-R", str(rate), "-t", str(each), *given,
             "-l", f"--log-prefix={logs}/log", "-f", "-", db.dsn],
            input=script,
            env=os.environ | {"PGOPTIONS": options},
            capture_output=True,
            text=True,
        )  # fmt: skip
        came = arrivals(Path(logs))
    if process.returncode or "failed transactions: 0 " not in process.stdout:
        raise RuntimeError(f"pgbench failed:\n{process.stdout}{process.stderr}")
    thread.join()
    listener.close()
    if len(told) < clients * each:
        raise RuntimeError(f"only {len(told)} of {clients * each} were told of")
    return came, told


def arrivals(logs: Path) -> Came:
    """pgbench logs each end, and how long it took from when the transaction was to begin."""
    logged = defaultdict(list)
    for log in logs.iterdir():
        for line in log.read_text().splitlines():
            client, number, micros, _, second, microsecond, *_ = map(int, line.split())
            logged[client].append((number, second + (microsecond - micros) / 1_000_000))
    return {client: [came for _, came in sorted(each)] for client, each in logged.items()}
