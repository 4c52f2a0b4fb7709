"""Many windows end at once: the sweep, in its batches, beside one UPDATE of the same rows."""

import time

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
    and (
        (priority_notified_at at time zone 'UTC')
        + make_interval(mins => priority_window_minutes)
    ) at time zone 'UTC' <= now()
"""


def measure(db: Database) -> Subject:
    db.prepare()
    if db.has_pg_cron:
        db.run("select cron.unschedule('dispatch-sweep')")  # it would sweep them itself
    due = db.size.of(DUE)

    def side(table: str, statement: str) -> float:
        fill(db, table, due)
        began = time.perf_counter()
        db.run(statement)
        return due / (time.perf_counter() - began)

    rates = rounds(
        db.size,
        {
            "UPDATE": lambda: side("bench.session_requests", UPDATE),
            "sweep": lambda: side("public.session_requests", SWEEP),
        },
    )
    yield ratio(
        f"sweep of {due:,} due windows", ">= 0.75", rates["sweep"], rates["UPDATE"], "one UPDATE"
    )


def fill(db: Database, table: str, due: int) -> None:
    """So many windows that are over, and nothing else."""
    db.run(f"truncate {table}, dispatch.request_events")
    db.fill(
        f"insert into {table} (customer_id, session_type, plan_code, preferred_mechanic_id,"
        " priority_window_minutes, priority_notified_at)"
        " select %s, 'chat', 'quick-chat', %s, 10, now() - interval '11 minutes'"
        " from generate_series(1, %s)",
        CUSTOMER,
        MECHANIC,
        due,
    )
    db.run(f"vacuum analyze {table}, dispatch.request_events")
