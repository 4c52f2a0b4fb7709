"""A mechanic takes a request: `accept_session_request`, notice included, beside an UPDATE by id."""

import selectors
import time
from collections.abc import Iterator

from bench.database import CUSTOMER, MECHANIC, Database, acting_as, user_id
from bench.measure import Result, Subject, median, pgbench, ratio, rounds, say

# As many as all the rounds can take.
PENDING = 600_000
RACERS = 200


def measure(db: Database) -> Subject:
    db.prepare(history=100_000)
    fill(db, db.size.of(PENDING))
    with db.sweeping():
        yield from accept(db, 8, goals=(">= 0.85", ">= 0.75"))
        yield from accept(db, 32, goals=(">= 0.85",))
        yield from race(db)
        db.slow_flush(True)
        yield from accept(db, 8, ", 1 ms flush", goals=(">= 0.75",))
        db.slow_flush(False)


def fill(db: Database, pending: int, favourite: str = "null::uuid") -> None:
    """Requests to accept: broadcast, or reserved for whom that SQL names for each number `n`."""
    say("adding pending requests")
    for table in ("bench", "public"):
        db.fill(
            f"insert into {table}.session_requests"
            " (id, customer_id, session_type, plan_code, notification_sent_at,"
            " preferred_mechanic_id, priority_window_minutes, priority_notified_at)"
            " select bench.request_id(n), %s, 'chat', 'quick-chat',"
            " case when f.id is null then now() end, f.id,"
            " case when f.id is not null then 60 end,"
            # Each has an end of its own, as in life.
            " case when f.id is not null then clock_timestamp() end"
            " from generate_series(1000001, 1000000 + %s) as n"
            f" cross join lateral (select {favourite} as id) as f",
            CUSTOMER,
            pending,
        )
    db.vacuum()


def accept(
    db: Database, clients: int, where: str = "", *, goals: tuple[str, ...]
) -> Iterator[Result]:
    clients = db.size.of(clients)

    def side(script: str, options: str = "") -> float:
        return pgbench(db.dsn, script, db.size, clients=clients, options=options)

    rates = rounds(
        db.size,
        {
            "accept_bare.sql": lambda: side("accept_bare.sql"),
            "accept.sql": lambda: side("accept.sql", acting_as(MECHANIC)),
        },
    )
    for goal, level in zip(goals, ("", ", at the least"), strict=False):
        yield ratio(
            f"accept, {clients} connections{where}, notice included{level}",
            goal,
            rates["accept.sql"],
            rates["accept_bare.sql"],
            "bare UPDATE by id",
        )


def race(db: Database) -> Iterator[Result]:
    """Many mechanics take one request at the same moment."""
    count = db.size.of(RACERS)
    racers = [db.connect(options=acting_as(user_id(number))) for number in range(1, count + 1)]
    where = f"accept, {count} at once on one request"
    winners = []
    with selectors.DefaultSelector() as selector:
        for racer in racers:
            racer.execute("select")
            selector.register(racer.pgconn.socket, selectors.EVENT_READ, racer.pgconn)

        def race_once() -> float:
            """Milliseconds until all have their answer."""
            request = db.value("select bench.request_id(nextval('bench.turn'))")
            query = f"select public.accept_session_request('{request}')".encode()
            began = time.perf_counter()
            # All questions are under way before the first answer is read.
            for racer in racers:
                racer.pgconn.send_query(query)
            answered = won = 0
            while answered < count:
                for key, _ in selector.select():
                    connection = key.data
                    connection.consume_input()
                    while not connection.is_busy():
                        result = connection.get_result()
                        if result is None:
                            answered += 1
                            break
                        won += result.ntuples
            winners.append(float(won))
            return (time.perf_counter() - began) * 1000

        first = race_once()
        # PostgreSQL plans a connection's first five anew.
        for _ in range(5):
            race_once()
        times = [race_once() for _ in range(db.size.rounds)]
    yield median(f"{where}, until all know", "<= 100", times, "ms")
    yield Result(f"{where}, until all know, each connection's first call", first, "ms")
    yield Result(where, next((won for won in winners if won != 1), 1), "winners", "= 1")
