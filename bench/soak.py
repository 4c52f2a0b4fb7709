"""Steady load for long: bookings, accepts, heartbeats and fallbacks, with autovacuum at work.

What must not grow: the latency of a booking, the log's live set (what is not delivered yet), the
indexes of what is pending, and what vacuum has to clean up. "Early" is the second tenth of the run,
when caches are warm and the first windows end; "late" is its last tenth.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.database import MECHANIC, Database, acting_as
from bench.intake import listeners
from bench.measure import Curve, Result, Subject, load, say

RATE = 100
LISTENERS = 50
SAMPLES = 60
# Each row of these indexes is there until its request is taken or its notice sent.
LIVE_INDEXES = """
    select sum(pg_relation_size(i::regclass)) / 1024.0 from unnest(array[
        'public.session_requests_open_idx',
        'public.session_requests_expiry_idx',
        'public.session_requests_priority_notified_idx',
        'public.session_requests_priority_deadline_idx',
        'dispatch.request_events_undelivered_idx'
    ]) as i
"""
DEAD_SHARE = """
    select max(n_dead_tup / greatest(n_live_tup, 1)::float8) from pg_stat_user_tables
    where relid in ('public.session_requests'::regclass, 'dispatch.request_events'::regclass)
"""
UNDELIVERED = "select count(*) from dispatch.request_events where delivered_at is null"


def measure(db: Database) -> Subject:
    db.prepare(history=100_000)
    with tempfile.TemporaryDirectory() as logs, ExitStack() as stack:
        stack.enter_context(db.sweeping())
        stack.enter_context(listeners(db, db.size.of(LISTENERS)))
        began = time.time()
        for script, clients, rate, options in (
            ("soak_accept.sql", 2, 2 * RATE, acting_as(MECHANIC)),
            ("presence.sql", 1, RATE, "-c role=authenticated"),
        ):
            stack.enter_context(load(db.dsn, script, clients=clients, rate=rate, options=options))
        seconds = max(int(db.size.duration), 1)
        prefix = f"{logs}/bookings"
        with load(db.dsn, "soak_book.sql", clients=4, rate=RATE, log=prefix, seconds=seconds):
            states = [*watch(db, began)]
        bookings = latencies(Path(logs), began)
    yield from lines(db, states, bookings)


def watch(db: Database, began: float) -> Iterator[tuple[float, ...]]:
    """Seconds since the beginning, undelivered events, index kilobytes, share of dead rows."""
    for sample in range(1, SAMPLES + 1):
        time.sleep(max(began + sample * db.size.duration / SAMPLES - time.time(), 0))
        state = (
            time.time() - began,
            *(float(db.value(query)) for query in (UNDELIVERED, LIVE_INDEXES, DEAD_SHARE)),
        )
        if sample % (SAMPLES // 10) == 0:
            say(
                f"{state[0]:.0f} s: {state[1]:.0f} undelivered, indexes {state[2]:.0f} kB,"
                f" dead rows {state[3]:.2f}"
            )
        yield state


def latencies(logs: Path, began: float) -> list[tuple[float, float]]:
    """Of each booking, the second of its end and its milliseconds, as pgbench logged them."""
    ended = []
    for log in logs.iterdir():
        for line in log.read_text().splitlines():
            _, _, micros, _, second, microsecond, *_ = map(int, line.split())
            ended.append((second + microsecond / 1_000_000 - began, micros / 1000))
    return sorted(ended)


def lines(
    db: Database, states: list[tuple[float, ...]], bookings: list[tuple[float, float]]
) -> Subject:
    early, late = (states[part] for part in early_and_late(len(states)))
    early_ms, late_ms = ([ms for _, ms in bookings[part]] for part in early_and_late(len(bookings)))
    where = f"soak of {db.size.duration:.0f} s at {RATE} bookings a second"
    for percent, goal in ((50, "<= 1.5"), (99, "<= 2")):
        before, after = (
            statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
            for values in (early_ms, late_ms)
        )
        name = f"{where}, p{percent} of a booking, late beside early"
        yield Result(name, after / before, "ratio", goal, f"{before:.2f} ms early")
    yield Result(
        f"{where}, most events undelivered at once, late",
        max(row[1] for row in late),
        "events",
        f"<= {RATE}",
    )
    before, after = (max(row[2] for row in rows) for rows in (early, late))
    name = f"{where}, indexes of what is pending, late beside early"
    yield Result(name, after / before, "ratio", "<= 2", f"{before:.0f} kB early")
    yield Result(
        f"{where}, dead rows for each live one, late",
        max(row[3] for row in late),
        "ratio",
        "<= 0.3",
    )
    seconds = "seconds"
    yield Curve("booking", seconds, "ms, p99", per_sample(bookings, db.size.duration / SAMPLES))
    for column, (name, unit) in enumerate(
        (("undelivered events", "events"), ("indexes of what is pending", "kB")), start=1
    ):
        yield Curve(name, seconds, unit, [(row[0], row[column]) for row in states])


def early_and_late(count: int) -> tuple[slice, slice]:
    return slice(count // 10, count // 5), slice(-count // 10, None)


def per_sample(bookings: list[tuple[float, float]], width: float) -> list[tuple[float, float]]:
    groups: dict[int, list[float]] = {}
    for at, milliseconds in bookings:
        groups.setdefault(int(at / width), []).append(milliseconds)
    return [
        (number * width, statistics.quantiles(group, n=100, method="inclusive")[98])
        for number, group in sorted(groups.items())
        if len(group) > 1
    ]
