"""A paid Checkout Session becomes a request: `process_stripe_event` beside bare INSERTs.

The goal's baseline is `bench/sql/intake_three_rows.sql`; a bare INSERT of the request's row
alone is `intake_bare.sql`.
"""

import os
import selectors
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bench.database import Connection, Database, user_id
from bench.measure import Curve, Result, Subject, pgbench, ratio, rounds

ROW = "bare INSERT of the row"
THREE_ROWS = "INSERT of the row, a narrow log row and a narrow ledger row"


def measure(db: Database) -> Subject:
    db.prepare(history=100_000, broadcast=True)
    with db.sweeping():
        # Where Supabase Realtime is, each notice is also written to realtime.messages.
        yield from intake(db, 8, " and Supabase Broadcast", beside_row=">= 0.5")
        yield broadcast_beside_none(db)
        db.drop_realtime()
        yield from intake(db, 8, beside_row=">= 0.5", beside_three=">= 0.8")
        yield from intake(db, 32, beside_three=">= 0.8")
        yield from with_listeners(db)
        db.slow_flush(True)
        yield from intake(db, 8, ", 1 ms flush", beside_row=">= 0.5", beside_three=">= 0.9")
        yield from intake(db, 32, ", 1 ms flush", beside_three=">= 0.9")
        db.slow_flush(False)


def intake(
    db: Database, clients: int, where: str = "", *, beside_row: str = "", beside_three: str = ""
) -> Iterator[Result]:
    """Both sides at so many connections; a line for each baseline that has a goal."""
    clients = db.size.of(clients)
    baselines = [
        (goal, script, baseline, beside)
        for goal, script, baseline, beside in (
            (beside_row, "intake_bare.sql", ROW, "a bare INSERT of the row"),
            (beside_three, "intake_three_rows.sql", THREE_ROWS, "INSERTs of row, log and ledger"),
        )
        if goal
    ]
    name = f"intake, {clients} connections{where}"

    def side(script: str) -> float:
        return pgbench(db.dsn, script, db.size, clients=clients)

    rates = rounds(
        db.size,
        {script: lambda script=script: side(script) for _, script, _, _ in baselines}
        | {"intake.sql": lambda: side("intake.sql")},
    )
    for goal, script, baseline, beside in baselines:
        yield ratio(f"{name}, beside {beside}", goal, rates["intake.sql"], rates[script], baseline)


def broadcast_beside_none(db: Database) -> Result:
    def side() -> float:
        return pgbench(db.dsn, "intake.sql", db.size, clients=db.size.of(8))

    def without() -> float:
        with db.realtime_hidden():
            return side()

    rates = rounds(db.size, {"without": without, "with": side})
    name = f"intake, {db.size.of(8)} connections and Supabase Broadcast, beside the same without it"
    return ratio(name, ">= 0.9", rates["with"], rates["without"], "intake without Broadcast")


def with_listeners(db: Database) -> Subject:
    """PostgreSQL 15 wakes every listening connection at each commit that notifies."""
    most = db.size.of(300)
    points = []
    for count in sorted({0, most // 6, most // 3, most}):
        with listeners(db, count):
            if count == most:
                yield from intake(db, 8, f", {most} listeners", beside_three=">= 0.6")
            rate = pgbench(db.dsn, "intake.sql", db.size)
        points.append((float(count), rate))
    yield Curve("intake, 8 connections", "listening connections", "bookings a second", points)


@contextmanager
def listeners(db: Database, count: int) -> Iterator[list[Connection]]:
    """Each listens to a mechanic's topic and throws away what it is sent."""
    opened = [db.connect() for _ in range(count)]
    over = threading.Event()

    def read() -> None:
        with selectors.DefaultSelector() as selector:
            for connection in opened:
                selector.register(connection.fileno(), selectors.EVENT_READ)
            while not over.is_set():
                for key, _ in selector.select(timeout=0.1):
                    os.read(key.fd, 65536)

    thread = threading.Thread(target=read)
    try:
        for number, connection in enumerate(opened, start=1):
            connection.execute(f'listen "mechanic:{user_id(number)}"'.encode())
        thread.start()
        yield opened
    finally:
        over.set()
        if thread.is_alive():
            thread.join()
        for connection in opened:
            connection.close()
