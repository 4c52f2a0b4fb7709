"""What old requests cost: a tick of the sweep, a mechanic's list, a booking."""

import statistics

from bench.database import MECHANIC, Database, acting_as
from bench.measure import Curve, Result, Subject, median, pgbench, say

SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
# The goals are for these.
LARGE = SIZES[2:]
OPEN, LISTED = 10_000, 100
TICKS = {
    "sweep with nothing due": "select dispatch.sweep()",
    "round of pg_cron's loop with nothing due": "select dispatch.sweep_round('-infinity')",
}


def measure(db: Database) -> Subject:
    db.prepare()
    open_requests(db)
    with db.pg_cron_paused():  # a round of its own would be in the counts
        yield from grown(db)


def grown(db: Database) -> Subject:
    curves: dict[str, list[tuple[float, float]]] = {}
    for size in SIZES:
        count = db.size.of(size)
        say(f"growing to {count:,} old requests")
        grow(db, count)
        buffers = {name: ticked(db, query) for name, query in TICKS.items()}
        listed = list_open(db)
        points = {
            **{f"{name}, buffers": value for name, value in buffers.items()},
            "list of open requests, ms": statistics.median(listed),
            "booking, ms": booking(db),
        }
        for name, value in points.items():
            say(f"{name}: {value:.2f}")
            curves.setdefault(name, []).append((float(count), value))
        if size in LARGE:
            for name, value in buffers.items():
                yield Result(f"{name}, {count:,} requests", value, "buffers", "<= 10")
    name = f"list of open requests, {db.size.of(OPEN):,} open and {count:,} old, under RLS"
    yield median(f"{name}, {LISTED} of them this mechanic's to take", "<= 2", listed, "ms")
    db.fill(
        "update public.session_requests set notification_sent_at = now() where status = 'pending'"
    )
    db.vacuum()
    yield median(f"{name}, all of them broadcast", "-", list_open(db), "ms")
    for name, series in curves.items():
        what, unit = name.rsplit(", ", 1)
        yield Curve(what, "requests", unit, series)


def open_requests(db: Database) -> None:
    """Most are reserved for others; half of the rest is for this mechanic, half for everyone."""
    db.fill(
        "insert into public.session_requests (customer_id, session_type, plan_code,"
        " preferred_mechanic_id, priority_window_minutes, priority_notified_at,"
        " notification_sent_at, expires_at)"
        " select bench.user_id(1001 + n), 'chat', 'quick-chat',"
        " case when n > %s then bench.user_id(2 + n %% 999) else %s end, 60, now(),"
        " case when n <= %s then now() end, now() + interval '1 day'"
        " from generate_series(1, %s) as n",
        LISTED,
        MECHANIC,
        LISTED // 2,
        db.size.of(OPEN),
    )


def grow(db: Database, count: int) -> None:
    """So many requests that are over."""
    db.fill(
        "insert into public.session_requests (id, created_at, customer_id, mechanic_id,"
        " session_type, plan_code, status, notification_sent_at, metadata)"
        " select bench.request_id(n), now() - n * interval '10 seconds',"
        " bench.user_id(1001 + n % 10000), bench.user_id(1 + n % 1000), 'chat', 'quick-chat',"
        " 'completed', now() - n * interval '10 seconds',"
        " jsonb_build_object('stripe_checkout_session_id', 'old_' || n,"
        " 'stripe_payment_intent', 'paid_' || n)"
        " from generate_series("
        "(select count(*) + 1 from public.session_requests where status = 'completed'),"
        f" {count}) as n"
    )
    db.vacuum()


def ticked(db: Database, query: str) -> float:
    """Pages that it reads."""
    for _ in range(6):  # the first calls also read the catalogue
        plan = db.value(f"explain (analyze, buffers, format json) {query}")[0]["Plan"]
    return float(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def booking(db: Database) -> float:
    """Milliseconds for each; they are gone afterwards, so that what is open stays the same."""
    milliseconds = 1000 / pgbench(db.dsn, "intake.sql", db.size, clients=1)
    db.fill("delete from public.session_requests where customer_name = 'Ada'")
    db.run("truncate dispatch.request_events, dispatch.stripe_events")
    return milliseconds


def list_open(db: Database) -> list[float]:
    """Milliseconds for each call, round by round."""
    mechanic = acting_as(MECHANIC)
    return [
        1000 / pgbench(db.dsn, "list_open.sql", db.size, clients=1, options=mechanic)
        for _ in range(db.size.rounds)
    ]
