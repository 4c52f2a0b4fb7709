"""From a booking's commit to the notice's arrival at a listening client, beside raw `pg_notify`."""

import statistics
import time
from collections.abc import Callable

from bench.database import Connection, Database, user_id
from bench.intake import listeners
from bench.limits import LEAST_NOTICE
from bench.measure import NO_GOAL, Subject, load, percentile, ratio, say

IDLE_SAMPLES = 100
SATURATED_SAMPLES = 500
LISTENERS = 100
# A customer whom the load, which books for 1,001 to 11,000, leaves alone.
LISTENED = user_id(11_001)
BOOKING = """
    insert into public.session_requests (customer_id, session_type, preferred_mechanic_id)
    values (%s, 'chat', %s)
"""


def measure(db: Database) -> Subject:
    db.prepare(history=100_000)
    db.run("insert into auth.users (id, email) values (%s, 'listened@example.com')", LISTENED)
    writer, listener = db.connect(), db.connect()
    listener.execute(f'listen "customer:{LISTENED}"'.encode())

    def book() -> None:
        writer.execute(BOOKING, (LISTENED, user_id(1)))

    def notify() -> None:
        writer.execute("select pg_notify(%s, repeat('x', 300))", (f"customer:{LISTENED}",))

    def notify_and_write() -> None:
        writer.execute("insert into bench.log (request_id, event) values (gen_random_uuid(), 'x')")
        notify()

    with db.sweeping():
        raw, written, booked = [], [], []
        for _ in range(db.size.rounds):
            raw.append(arrivals(db, notify, writer, listener, IDLE_SAMPLES))
            written.append(arrivals(db, notify_and_write, writer, listener, IDLE_SAMPLES))
            booked.append(arrivals(db, book, writer, listener, IDLE_SAMPLES))
        name = "notice, commit to arrival, idle, p50"
        # Alone, pg_notify writes nothing, so that its commit waits for no flush; a booking's must.
        for line, goal, one, other, baseline in (
            (LEAST_NOTICE, NO_GOAL, written, raw, "raw pg_notify"),
            (name, "<= 2", booked, raw, "raw pg_notify"),
            (f"{name}, like with like", NO_GOAL, booked, written, "pg_notify and one narrow row"),
        ):
            ours, theirs = ([statistics.median(each) for each in side] for side in (one, other))
            yield ratio(line, goal, ours, theirs, baseline, "{:.2f} ms")
        yield percentile("notice, commit to arrival, idle, p99", "-", 99, booked, "ms")

        say("saturating")
        with listeners(db, db.size.of(LISTENERS)), load(db.dsn, "intake.sql"):
            saturated = [
                arrivals(db, book, writer, listener, SATURATED_SAMPLES // db.size.rounds)
                for _ in range(db.size.rounds)
            ]
        where = f"saturated, {db.size.of(LISTENERS)} listeners"
        yield percentile(f"notice, commit to arrival, {where}, p50", "-", 50, saturated, "ms")
        yield percentile(f"notice, commit to arrival, {where}, p99", "<= 30", 99, saturated, "ms")


def arrivals(
    db: Database,
    send: Callable[[], None],
    writer: Connection,
    listener: Connection,
    samples: int,
) -> list[float]:
    """Milliseconds from the commit to the arrival, of a few notices one after another."""
    times = []
    for _ in range(db.size.of(samples)):
        writer.execute("begin")
        send()
        began = time.perf_counter()
        writer.execute("commit")
        if not list(listener.notifies(timeout=10, stop_after=1)):
            raise RuntimeError("no notice came within ten seconds")
        times.append((time.perf_counter() - began) * 1000)
        # Others may have sent theirs inline less than 20 ms ago: wait until all is idle again.
        time.sleep(0.03)
    return times
