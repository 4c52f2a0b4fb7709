"""What each hot path costs, without a clock: statements run, rows and pages read, indexes used."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from stack.postgres import Cluster
from tests.database import TEMPLATE, Database, become, checkout, fresh_database

MECHANIC = "c4ca4238-a0b9-2382-0dcc-509a6f75849b"  # the first: md5 of 1
CUSTOMER = "00000000-0000-4000-8000-0000000f0001"
SOUGHT = "10000000-0000-4000-8000-000000000001"
FAVOURITE = "c81e728d-9d4c-2f63-6f06-7f89cc14862c"  # the second: 200 windows are theirs
RESERVED = "10000000-0000-4000-8000-0000000000c9"
# 500 mechanics, 50 of them online.
PEOPLE = """
    insert into auth.users (id)
    select md5(n::text)::uuid
    from generate_series(1, 500) as n
    union all select '00000000-0000-4000-8000-0000000f0001';
    insert into public.mechanics (id, status, is_online, brands, city, country, updated_at)
    select
        md5(n::text)::uuid, 'approved', n % 10 = 1,
        array['Brand ' || n % 7, 'Brand ' || n % 11], 'City ' || n % 200, 'Country ' || n % 20,
        now()
    from generate_series(1, 500) as n;
"""
PHONE = (
    "insert into dispatch.devices (endpoint, user_id, p256dh, auth)"
    " values ('phone', md5('3')::uuid, '', '')"
)
# Each window has a next one. Nothing is known yet of a table that was empty.
STEPS = """
    insert into dispatch.steps (request_id, turn, mechanic_id, window_minutes)
    select id, 2, md5('3')::uuid, 10 from public.session_requests where notification_sent_at is null
"""
# 10,000 requests, of which the first 200 are open and the next 200 in the window of another
# mechanic; an event of each, delivered.
REQUESTS = """
    insert into public.session_requests (
        id, customer_id, session_type, plan_code, status, notification_sent_at, expires_at,
        requested_brand, customer_city, customer_country,
        preferred_mechanic_id, priority_notified_at, priority_window_minutes
    )
    select
        ('10000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
        '00000000-0000-4000-8000-0000000f0001', 'chat', 'quick-chat',
        case when n > 400 then 'completed' else 'pending' end::public.session_request_status,
        case when n not between 201 and 400 then now() end, now() + interval '1 day',
        'Brand 3', 'City 7', 'Country 7',
        case when n between 201 and 400 then md5('2')::uuid end,
        case when n between 201 and 400 then now() end,
        case when n between 201 and 400 then 60 end
    from generate_series({}, {}) as n;
    insert into dispatch.request_events (request_id, event, topics, payload, delivered_at)
    select id, 'new_request', array['customer:' || gen_random_uuid(), 'elsewhere'], '{{}}', now()
    from public.session_requests
    where id not in (select e.request_id from dispatch.request_events as e);
"""
# Pushes of the first request to a mechanic's phone: of 10,000 the last 1,000 are due.
PUSHES = """
    insert into dispatch.pushes (
        event_id, request_id, user_id, endpoint, due_at, expires_at, finished_at
    )
    select
        coalesce((select id from dispatch.request_events where request_id = r.id), 0), r.id,
        md5('3')::uuid, 'phone', now(), now() + interval '1 day',
        case when n <= 9000 then now() end
    from generate_series({}, {}) as n,
    (values ('10000000-0000-4000-8000-000000000001'::uuid)) as r (id);
"""
ANALYZE = (
    "vacuum analyze public.session_requests, public.mechanics, dispatch.request_events,"
    " dispatch.devices, dispatch.pushes"
)


@dataclass
class Cost:
    """What one call did, as auto_explain tells of it and of every statement within it."""

    plans: list[Any] = field(default_factory=list)

    @property
    def statements(self) -> int:
        return len(self.plans)

    @property
    def notifying(self) -> int:
        """Statements that send notices."""
        return sum(
            "dispatch.send_notices(" in plan["Query Text"] and plan["Plan"]["Actual Rows"] > 0
            for plan in self.plans
        )

    @property
    def buffers(self) -> int:
        plan = self.plans[-1]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    @property
    def nodes(self) -> list[Any]:
        """The nodes of all plans."""
        found, waiting = [], [plan["Plan"] for plan in self.plans]
        while waiting:
            found.append(node := waiting.pop())
            waiting += node.get("Plans", [])
        return found

    @property
    def rows(self) -> int:
        """Rows read from tables, those thrown away included."""
        return sum(
            node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            for node in self.nodes
            if "Relation Name" in node and node["Node Type"].endswith("Scan")
        )

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}


class Watched:
    """A connection that is told what its statements cost."""

    def __init__(self, db: Database, *, surprised: bool) -> None:
        self.db, self.surprised = db, surprised
        self.connection = db.superuser()
        self.connection.execute(
            "load 'auto_explain';"
            " set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;"
            " set auto_explain.log_analyze = on; set auto_explain.log_buffers = on;"
            " set auto_explain.log_timing = off; set auto_explain.log_format = json;"
            " set auto_explain.log_level = notice"
        )
        self.connection.add_notice_handler(self._hear)
        self._plans: list[Any] = []

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        before, _, plan = (notice.message_primary or "").partition("  plan:\n")
        if before.startswith("duration: "):
            self._plans.append(json.loads(plan))

    def faults(self, path: "Path") -> list[str]:
        return path.faults(self.cost(path), surprised=self.surprised)

    def cost(self, path: "Path") -> Cost:
        """The second time; the first also reads the catalogue. Both are undone."""
        for _ in range(2):
            # No delivery was made in the last 20 ms.
            self.db.sql("select setval('dispatch.last_delivery', 0, false)")
            self.connection.execute("reset role")
            with self.connection.transaction(force_rollback=True):
                self.connection.execute(path.before.encode())
                become(self.connection, path.user, path.role)
                with self.connection.transaction():
                    self._plans.clear()
                    self.connection.execute(path.call.encode(), path.given)
                    cost = Cost([*self._plans])
        return cost


@dataclass
class Path:
    """A hot path, and the most that it may cost."""

    name: str
    call: str
    role: str
    user: str | None
    statements: int
    rows: int
    buffers: int
    indexes: set[str]
    notifying: int = 0
    given: list[object] | None = None
    # Where every pending row is read if few were when the table was last analyzed.
    rows_when_surprised: int = 0
    before: str = ""

    def faults(self, cost: Cost, *, surprised: bool) -> list[str]:
        most = {
            "statements": self.statements,
            "rows": max(self.rows, self.rows_when_surprised if surprised else 0),
            "buffers": self.buffers,
            "notifying": self.notifying,
        }
        found = [
            f"{what}: {getattr(cost, what)}, at most {limit}"
            for what, limit in most.items()
            if getattr(cost, what) > limit
        ]
        return found + [f"does not use {index}" for index in self.indexes - cost.indexes]


PATHS = [
    Path(
        "recipients",
        f"select * from dispatch.choose_recipients('{SOUGHT}', 10)",
        *("postgres", None, 23, 20, 80, {"mechanics_matches_idx"}),
    ),
    Path(
        "more recipients than are online",
        f"select * from dispatch.choose_recipients('{SOUGHT}', 60)",
        # By the same index; without it every look-up would make the words of all mechanics.
        *("postgres", None, 47, 250, 220, set[str]()),
    ),
    Path(
        "list",
        "select * from public.list_open_session_requests()",
        *("authenticated", MECHANIC, 10, 220, 240, {"request_events_excluded_idx"}),
        rows_when_surprised=820,
    ),
    Path(
        "a tick with nothing due",
        "select dispatch.sweep()",
        *("postgres", None, 6, 0, 10, {"session_requests_priority_deadline_idx"}),
    ),
    Path(
        "a tick with one due",
        "select dispatch.sweep(1, now() + interval '61 minutes')",
        *("postgres", None, 23, 9, 80, {"session_requests_priority_deadline_idx"}),
        notifying=1,
    ),
    Path(
        "a tick with one whose next favourite is asked",
        "select dispatch.sweep(1, now() + interval '61 minutes')",
        *("postgres", None, 30, 20, 120, {"steps_pkey"}),
        notifying=1,
        before=STEPS,
    ),
    Path(
        "the next deadline",
        "select dispatch.next_deadline()",
        "postgres",
        *(None, 3, 2, 12),
        {"session_requests_priority_deadline_idx", "session_requests_expiry_idx"},
    ),
    Path(
        "nothing to deliver",
        "select dispatch.deliver_events()",
        *("postgres", None, 3, 0, 10, {"request_events_undelivered_idx"}),
    ),
    Path(
        "catch-up",
        "select * from public.list_session_request_events(9990)",
        *("authenticated", MECHANIC, 6, 20, 22, {"request_events_pkey"}),
    ),
    Path(
        "a heartbeat too many",
        "select public.set_presence('online')",
        *("authenticated", MECHANIC, 2, 1, 6, {"mechanics_pkey"}),
    ),
    Path(
        "accept",
        "select public.accept_session_request(%s)",
        *("authenticated", MECHANIC, 18, 12, 100, {"request_events_excluded_idx"}),
        notifying=1,
        given=[SOUGHT],
    ),
    Path(
        "accept by the favourite",
        "select public.accept_session_request(%s)",
        *("authenticated", FAVOURITE, 23, 12, 100, {"request_events_excluded_idx"}),
        notifying=1,
        given=[RESERVED],
        rows_when_surprised=420,
    ),
    Path(
        "intake",
        "select public.process_stripe_event(%s)",
        *("service_role", None, 20, 12, 120, {"request_events_undelivered_idx"}),
        notifying=1,
        given=[Jsonb(checkout(CUSTOMER))],
    ),
    Path(
        "a sender takes ten pushes",
        "select * from public.claim_pushes(10)",
        *("service_role", None, 68, 64, 280, {"pushes_due_idx"}),
        before=PHONE,
    ),
    Path(
        "a sender says what came of one",
        "select public.finish_pushes(%s)",
        *("service_role", None, 4, 3, 40, {"pushes_pkey"}),
        given=[Jsonb([{"push_id": 9_500, "status": 201}])],
    ),
]


QUIET, NOW, BUSY = "analyzed when nothing was open", "analyzed", "analyzed when all was open"
# Of the 10,000 requests, their events and pushes; and back again.
ALL_OPEN = """
    create temporary table closed as
    select id, status, notification_sent_at from public.session_requests
    where status <> 'pending';
    update public.session_requests set status = 'pending', notification_sent_at = null;
    update dispatch.request_events set delivered_at = null;
    update dispatch.pushes set finished_at = null;
"""
AS_BEFORE = """
    update public.session_requests as r
    set status = c.status, notification_sent_at = c.notification_sent_at
    from closed as c where c.id = r.id;
    update public.session_requests set notification_sent_at = now()
    where status = 'pending' and preferred_mechanic_id is null;
    update dispatch.request_events set delivered_at = now();
    update dispatch.pushes set finished_at = now() where id <= 9000;
"""


@pytest.fixture(scope="module", params=[NOW, QUIET, BUSY])
def watched(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Statistics are of a quiet hour, of now, or of a busy one; plans must be good whichever."""
    with fresh_database(cluster, TEMPLATE) as db:
        superuser = db.superuser()
        superuser.execute("set session_replication_role = replica")
        superuser.execute(PEOPLE)
        superuser.execute(REQUESTS.format(401, 10000).encode())
        superuser.execute(PUSHES.format(1, 9000).encode())
        superuser.execute(ANALYZE)
        superuser.execute(REQUESTS.format(1, 400).encode())
        superuser.execute(PUSHES.format(9001, 10000).encode())
        if request.param == NOW:
            superuser.execute(ANALYZE)
        elif request.param == BUSY:
            superuser.execute(ALL_OPEN)
            superuser.execute(ANALYZE)
            superuser.execute(AS_BEFORE)
            superuser.execute(ANALYZE.replace("vacuum analyze", "vacuum"))
        yield Watched(db, surprised=request.param == QUIET)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_hot_path_costs_no_more(watched: Watched, path: Path) -> None:
    assert watched.faults(path) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_without_its_index_it_would_be_noticed(watched: Watched, path: Path) -> None:
    for index in path.indexes:
        schema = "dispatch" if index.startswith(("pushes", "request_events", "steps")) else "public"
        table = f"{schema}.{index.removesuffix('_pkey')}"
        drop = (
            f"alter table {table} drop constraint {index} cascade"
            if index.endswith("_pkey")
            else f"drop index {table}"
        )
        with watched.connection.transaction(force_rollback=True):
            watched.connection.execute("reset role")
            watched.connection.execute(drop.encode())
            assert watched.faults(path)


# The sweep always sends its own.
CALLS = [path for path in PATHS if path.notifying and path.role != "postgres"]


@pytest.mark.parametrize("path", CALLS, ids=lambda path: path.name)
def test_only_one_at_a_time_notifies(watched: Watched, path: Path) -> None:
    """NOTIFY stops all commits meanwhile: the rest leave it to the loop."""
    assert watched.cost(path).notifying == 1
    with watched.db.owner.transaction():
        watched.db.sql("select pg_advisory_xact_lock(1178687058, -1)")
        assert watched.cost(path).notifying == 0


def test_vacuum_takes_what_was_delivered_out_of_the_loops_way(db: Database) -> None:
    """The loop reads past each dead entry; without the table's setting vacuum leaves them there."""
    superuser = db.superuser()
    log = (
        "insert into dispatch.request_events (request_id, event, payload, delivered_at)"
        " select gen_random_uuid(), 'x', '{}', %s from generate_series(1, %s)"
    )
    look = (
        "explain (analyze, buffers, format json) select from dispatch.request_events"
        " where delivered_at is null order by delivered_at, id limit 1"
    )

    def pages_read() -> int:
        db.sql(log, None, 2_000)
        db.sql("update dispatch.request_events set delivered_at = now() where delivered_at is null")
        superuser.execute("vacuum dispatch.request_events")
        return int(db.value(look)[0]["Plan"]["Shared Hit Blocks"])

    db.sql(log, "now", 100_000)
    superuser.execute("vacuum analyze dispatch.request_events")
    assert pages_read() <= 3
    db.sql("alter table dispatch.request_events reset (vacuum_index_cleanup)")
    assert pages_read() > 3


def test_a_log_that_was_vacuumed_while_empty_is_not_read_for_each_event(db: Database) -> None:
    """Then a sequential scan seems to cost nothing, and a session keeps its plan."""
    superuser = db.superuser()
    superuser.execute("set session_replication_role = replica")
    superuser.execute((PEOPLE + REQUESTS.format(201, 300)).encode())
    superuser.execute("truncate dispatch.request_events")
    superuser.execute("vacuum dispatch.request_events")
    superuser.execute("set session_replication_role = origin")
    with superuser.transaction():
        swept = "select dispatch.sweep(1000, now() + interval '61 minutes')"
        assert superuser.execute(swept).fetchone() == (100,)
        read = superuser.execute(
            "select seq_tup_read from pg_stat_xact_user_tables"
            " where relid = 'dispatch.request_events'::regclass"
        ).fetchone()
    assert read and read[0] <= 100


def test_that_nothing_is_left_is_seen_by_an_index_however_much_is_open(db: Database) -> None:
    """Of so many a sequential scan seems to find one at once, and finds none in all of them."""
    superuser = db.superuser()
    superuser.execute("set session_replication_role = replica")
    superuser.execute((PEOPLE + REQUESTS.format(201, 10_000)).encode())
    superuser.execute(
        "update public.session_requests set status = 'pending', notification_sent_at = null,"
        " preferred_mechanic_id = md5('3')::uuid, priority_notified_at = now(),"
        " priority_window_minutes = 60 where preferred_mechanic_id is null"
    )
    superuser.execute("update dispatch.request_events set delivered_at = null")
    superuser.execute(ANALYZE)
    superuser.execute("update dispatch.request_events set delivered_at = now()")
    db.sql("select setval('dispatch.last_delivery', 0, false)")
    favourite = db.connect(FAVOURITE)
    with favourite.transaction():
        favourite.execute("select public.accept_session_request(%s)", [RESERVED])
        favourite.execute("reset role")
        read = favourite.execute(
            "select relname, seq_tup_read from pg_stat_xact_user_tables where relid in"
            " ('public.session_requests'::regclass, 'dispatch.request_events'::regclass)"
        ).fetchall()
    assert len(read) == 2 and all(rows <= 100 for _, rows in read), read
