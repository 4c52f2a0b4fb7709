"""Many windows end at once: the sweep, in its batches, beside one UPDATE of the same rows.

And when each passes to the favourite who is asked next, beside when all go to everyone.
"""

import time
from functools import partial

from bench.database import CUSTOMER, MECHANIC, Database
from bench.measure import Subject, ratio, rounds

DUE = 100_000
# As pg_cron's loop does it: a batch, a commit, the next batch.
SWEEP = """
do $$
begin
    while dispatch.sweep(1000) > 0 loop
        commit;
    end loop;
end;
$$
"""
UPDATE = """
update bench.session_requests
set
    notification_sent_at = now(), updated_at = now(),
    expires_at = now() + interval '24 hours'
where
    status = 'pending' and notification_sent_at is null
    and case
        when (priority_notified_at at time zone 'UTC') between '2000-01-01' and '9999-12-31'
            then (
                (priority_notified_at at time zone 'UTC')
                + make_interval(mins => priority_window_minutes)
            ) at time zone 'UTC'
        else priority_notified_at
    end <= now()
"""

# Each has one who is asked next, another than the first.
CHAINS = (
    "insert into {schema}.steps (request_id, turn, mechanic_id, window_minutes)"
    " select r.id, 2, bench.user_id(2 + abs(hashtext(r.id::text)) % 900), 60"
    " from {table} as r where r.status = 'pending' and r.notification_sent_at is null"
    " and r.preferred_mechanic_id is not null on conflict do nothing"
)


def measure(db: Database) -> Subject:
    db.prepare()
    due = db.size.of(DUE)
    with db.pg_cron_paused():  # it would sweep them itself
        rates = rounds(
            db.size,
            {
                "UPDATE": partial(updated, db, due),
                "sweep": partial(swept, db, due),
                "sweep, to the next favourite": partial(swept, db, due, is_chain=True),
            },
        )
    sweep = rates["sweep"]
    yield ratio(f"sweep of {due:,} due windows", ">= 0.75", sweep, rates["UPDATE"], "one UPDATE")
    yield ratio(
        f"sweep of {due:,} windows that pass to the next favourite",
        ">= 1.0",
        rates["sweep, to the next favourite"],
        sweep,
        "of as many that go to everyone",
    )


def swept(db: Database, due: int, *, is_chain: bool = False) -> float:
    """Windows a second."""
    return timed(db, "public.session_requests", SWEEP, due, is_chain=is_chain)


def updated(db: Database, due: int) -> float:
    return timed(db, "bench.session_requests", UPDATE, due)


def timed(db: Database, table: str, statement: str, due: int, *, is_chain: bool = False) -> float:
    fill(db, table, due)
    waiting = f"select count(*) from {table} where notification_sent_at is null"
    while db.value(waiting) != due:  # pg_cron began a run after all
        db.end_pg_cron_runs()
        fill(db, table, due)
    if is_chain:
        db.run(CHAINS.format(schema="dispatch", table=table))
        db.run("vacuum analyze dispatch.steps")
    began = time.perf_counter()
    db.run(statement)
    return due / (time.perf_counter() - began)


def fill(db: Database, table: str, due: int) -> None:
    """So many windows that are over, and nothing else. Each has an end of its own, as in life."""
    db.run(f"truncate {table}, dispatch.request_events, dispatch.steps")
    add(db, table, due)
    db.run(f"vacuum analyze {table}, dispatch.request_events")


def add(db: Database, table: str, due: int) -> None:
    db.fill(
        f"insert into {table} (customer_id, session_type, plan_code, preferred_mechanic_id,"
        " priority_window_minutes, priority_notified_at)"
        " select %s, 'chat', 'quick-chat', %s, 10, clock_timestamp() - interval '11 minutes'"
        " from generate_series(1, %s)",
        CUSTOMER,
        MECHANIC,
        due,
    )
