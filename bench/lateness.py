"""How late the end of a window is announced: from its deadline to the notice at a client."""

import json
import time
from collections.abc import Iterator

from bench.database import Database, user_id
from bench.measure import Result, Subject, load, percentile, say

# Over a whole minute, so that a change from one of pg_cron's runs to the next is in it.
WINDOWS = 600
SECONDS = 60
LISTENED = user_id(11_001)


def measure(db: Database) -> Subject:
    db.prepare(history=100_000)
    db.run("insert into auth.users (id, email) values (%s, 'listened@example.com')", LISTENED)
    with db.sweeping():
        if db.has_pg_cron:
            say("waiting for pg_cron to end its first run")
            db.wait_for_pg_cron()
        yield from lateness(db, "idle", ("<= 50", "<= 10"))
        with load(db.dsn, "intake.sql"):
            yield from lateness(db, "under intake load", ("-", "<= 50"))


def lateness(db: Database, where: str, goals: tuple[str, str]) -> Iterator[Result]:
    say(f"windows end, {where}")
    count = db.size.of(WINDOWS)
    late = waits(db, count, SECONDS / WINDOWS * count)
    groups = [late[start :: db.size.rounds] for start in range(db.size.rounds)]
    name = f"fallback's notice after its deadline, pg_cron, {where}"
    yield percentile(f"{name}, p50", goals[0], 50, groups, "ms")
    yield percentile(f"{name}, p99", goals[1], 99, groups, "ms")
    yield Result(f"{name}, the latest", max(late), "ms")


def waits(db: Database, count: int, seconds: float) -> list[float]:
    """Milliseconds from each of so many deadlines, one after another, to its notice."""
    listener = db.connect()
    listener.execute(f'listen "customer:{LISTENED}"'.encode())
    # Without triggers, so that all are there before the first of them ends.
    db.fill(
        "insert into public.session_requests"
        " (customer_id, session_type, preferred_mechanic_id, priority_window_minutes,"
        " priority_notified_at)"
        " select %s, 'chat', %s, 1, now() - interval '1 minute'"
        " + (%s + n * %s::double precision) * interval '1 second'"
        " from generate_series(1, %s) as n",
        LISTENED,
        user_id(1),
        1 + count / 5_000,
        seconds / count,
        count,
    )
    rows = db.run(
        "select id, extract(epoch from priority_notified_at + interval '1 minute')::float8"
        " from public.session_requests where customer_id = %s and notification_sent_at is null",
        LISTENED,
    )
    deadlines = {str(request): deadline for request, deadline in rows}
    late: list[float] = []
    for notice in listener.notifies(timeout=seconds + 60):
        arrived = time.time()
        event = json.loads(notice.payload)
        if event["event"] == "new_request":
            late.append((arrived - deadlines[event["request_id"]]) * 1000)
        if len(late) == count:
            break
    else:
        raise RuntimeError(f"only {len(late)} of {count} windows were announced")
    listener.close()
    return late
