"""What the clients did, were answered and heard, and what was done to them.

Times are Unix times; the clients and the database share one machine's clock.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = Mapping[str, Any]

OK = "ok"
# No answer, or one that says that the server is in trouble: it may have been done, or not.
LOST = "lost"


@dataclass(frozen=True)
class Answer:
    """What a user was answered: OK, LOST, the contract's word, or else the answer itself."""

    user: str
    action: str
    outcome: str
    began: float
    ended: float
    request: str | None = None
    shown: frozenset[str] = frozenset()  # the requests in the answer
    trouble: str = ""  # the SQLSTATE, or PostgREST's code, of what was LOST


@dataclass(frozen=True)
class Posting:
    """One delivery of an event to the webhook; `outcome` as in Answer."""

    event: str
    kind: str
    customer: str
    plan: str | None
    checkout: str | None
    payment: str
    outcome: str
    began: float
    ended: float


@dataclass(frozen=True)
class Notice:
    """What a listener heard by NOTIFY, on which of its connections."""

    user: str
    connection: str
    topic: str
    event: int
    request: str
    at: float


@dataclass(frozen=True)
class Push:
    """What came to a person's device at the push service's door, and whether it was taken."""

    user: str
    request: str
    event: int
    at: float
    taken: bool


@dataclass
class Listening:
    """A connection that listened from `began`; if it was never cut, it had read all at `ended`."""

    user: str
    connection: str
    began: float
    ended: float | None = None


@dataclass(frozen=True)
class Intervention:
    """What an operator did; if it failed, it may have been done all the same."""

    kind: str  # flag off, flag on, suspended, deleted, plan added, blocked, limited, unlimited
    subject: str | None
    began: float
    ended: float
    done: bool = True


@dataclass
class Record:
    """Filled by many threads: appending to a list is atomic."""

    answers: list[Answer] = field(default_factory=list)
    postings: list[Posting] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)
    unsound_pushes: list[str] = field(default_factory=list)  # what was wrong with them
    listening: dict[str, Listening] = field(default_factory=dict)  # by connection
    interventions: list[Intervention] = field(default_factory=list)
    # For each listener the topics it may hear, and the ids of the events it was listed.
    topics: dict[str, tuple[str, ...]] = field(default_factory=dict)
    listed: dict[str, list[int]] = field(default_factory=dict)
    # By request or by Checkout Session: which favourites it was booked with, in order.
    wishes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def operations(self) -> int:
        return len(self.answers) + len(self.postings)

    @property
    def limits(self) -> Iterator[tuple[Intervention, Intervention]]:
        """Of open sessions: how each was set, and taken away again."""
        limited: Intervention | None = None
        for each in sorted(self.interventions, key=lambda each: each.began):
            if each.kind == "limited":
                limited = each
            elif each.kind == "unlimited" and limited and each.done:
                yield limited, each
                limited = None

    def subjects(self, kind: str) -> set[str]:
        """Those to whom this was done, perhaps."""
        return {each.subject for each in self.interventions if each.kind == kind and each.subject}


@dataclass
class Database:
    """What is in the database when all is quiet."""

    requests: Mapping[str, Row]
    events: Mapping[str, list[Row]]  # of each request, oldest first
    ledger: Mapping[str, Row]
    approved: frozenset[str]  # mechanics
    now: float
    pushes: Sequence[Row] = ()
    with_device: frozenset[str] = frozenset()  # users

    @classmethod
    def read(cls, dsn: str) -> "Database":
        with psycopg.connect(dsn, row_factory=dict_row) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            events: dict[str, list[Row]] = {}
            # The last to write an event's row was the delivery, with which its notices left.
            for row in connection.execute(
                "select id, request_id::text, event, actor_id::text, topics, payload,"
                " date_part('epoch', delivered_at) as delivered_at,"
                " case when current_setting('track_commit_timestamp') = 'on'"
                " then date_part('epoch', pg_xact_commit_timestamp(xmin)) end as committed,"
                " date_part('epoch', created_at) as at,"
                " date_part('epoch', (payload ->> 'window_ends_at')::timestamptz) as window_ends,"
                " date_part('epoch', (payload ->> 'window_ends_at')::timestamptz"
                " - make_interval(mins => (payload ->> 'window_minutes')::integer)) as window_began"
                " from dispatch.request_events order by id"
            ):
                events.setdefault(row["request_id"], []).append(row)
            requests = connection.execute(
                "select id::text, customer_id::text, mechanic_id::text, status::text,"
                " preferred_mechanic_id::text, notification_sent_at,"
                " metadata ->> 'stripe_checkout_session_id' as checkout,"
                " metadata ->> 'stripe_payment_intent' as payment from public.session_requests"
            ).fetchall()
            ledger = connection.execute(
                "select id, outcome, processed_at from dispatch.stripe_events"
            ).fetchall()
            approved = connection.execute(
                "select id::text from public.mechanics where status = 'approved'"
            ).fetchall()
            pushes = connection.execute(
                "select id, event_id, request_id::text, user_id::text, is_reminder, outcome,"
                " date_part('epoch', due_at) as due, date_part('epoch', expires_at) as expires"
                " from dispatch.pushes order by id"
            ).fetchall()
            devices = connection.execute("select user_id::text as id from dispatch.devices")
            with_device = frozenset(row["id"] for row in devices)
            (now,) = connection.execute("select date_part('epoch', now()) as now").fetchall()
        return cls(
            {row["id"]: row for row in requests},
            events,
            {row["id"]: row for row in ledger},
            frozenset(row["id"] for row in approved),
            now["now"],
            pushes,
            with_device,
        )
