"""A heartbeat, `set_presence`, beside a plain UPDATE that no index lets be HOT.

Two lines, as a heartbeat sooner than 20 seconds after the last writes nothing. Apps send one each
30 to 60 seconds, so it is the second line that most heartbeats are like; the first is a client that
sends too many.
"""

from bench.database import Database
from bench.measure import Subject, pgbench, ratio, rounds

# Enough that nobody's turn comes twice in a round. Their numbers begin behind the customers'.
MECHANICS, FIRST = 200_000, 20_001
AUTHENTICATED = "-c role=authenticated"


def measure(db: Database) -> Subject:
    db.prepare()
    count = db.size.of(MECHANICS)
    for table in ("public", "bench"):
        db.fill(
            f"insert into {table}.mechanics (id, status, is_online, updated_at)"
            " select bench.user_id(n), 'approved', true, now() - interval '1 minute'"
            " from generate_series(%s::integer, %s) as n",
            FIRST,
            FIRST + count - 1,
        )
    db.vacuum()

    def due() -> float:
        db.fill("update public.mechanics set updated_at = now() - interval '1 minute'")
        db.vacuum()
        return pgbench(
            db.dsn,
            "presence_due.sql",
            db.size,
            options=AUTHENTICATED,
            first=FIRST,
            mechanics=count,
        )

    rates = rounds(
        db.size,
        {
            "plain UPDATE": lambda: pgbench(db.dsn, "presence_bare.sql", db.size),
            "soon again": lambda: pgbench(db.dsn, "presence.sql", db.size, options=AUTHENTICATED),
            "due": due,
        },
    )
    for name, goal, side in (
        ("heartbeat, seen less than 20 seconds ago", ">= 2.4", "soon again"),
        ("heartbeat, due", "-", "due"),
    ):
        yield ratio(name, goal, rates[side], rates["plain UPDATE"], "a plain non-HOT UPDATE")
