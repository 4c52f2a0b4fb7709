"""A test's own database: who acts in it, what they book, and what must be refused."""

import json
import re
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from stack.clients import stripe_event
from stack.install import cron_command
from stack.postgres import SUPERUSER, Cluster, binary

Connection = psycopg.Connection[Any]
Row = dict[str, Any]
# The databases that the tests' own are copied from; conftest makes them.
ENGINE_TEMPLATE, TEMPLATE = "engine_template", "feature_template"
SETS = {
    "claim_pushes",
    "list_favorite_mechanics",
    "list_open_session_requests",
    "list_session_request_events",
    "list_session_request_payments",
    "get_session_request_timeline",
    "list_session_request_mechanics",
}

# A trigger of the marketplace's own that raises at some rows.
POISON = """
    create function public.poison() returns trigger language plpgsql
    as $$ begin if new.notes = 'poison' then raise exception 'no'; end if; return new; end $$;
    create trigger poison before update on public.session_requests
    for each row execute function public.poison()
"""
# The same by an ASSERT, which "others" does not catch.
POISON_BY_ASSERT = POISON.replace("raise exception 'no'", "assert false, 'no'")
# The same, asked at the commit.
POISON_AT_COMMIT = POISON.replace(
    "create trigger poison before update on public.session_requests",
    "create constraint trigger poison after update on public.session_requests"
    " deferrable initially deferred",
)
# Each way, for a test that tries them all.
EACH_POISON = [
    pytest.param(POISON, id="at once"),
    pytest.param(POISON_BY_ASSERT, id="by assert"),
    pytest.param(POISON_AT_COMMIT, id="at the commit"),
]

# For the rest of a transaction pg_cron has run nothing: its launcher waits to write what begins.
WITHOUT_RUNS = "lock table cron.job_run_details in exclusive mode; delete from cron.job_run_details"


def rows(connection: Connection, query: str, *params: object) -> list[Row]:
    cursor = connection.cursor(row_factory=dict_row)
    cursor.execute(query.encode(), params or None)
    return cursor.fetchall() if cursor.description else []


def value(connection: Connection, query: str, *params: object) -> Any:
    """The first column of the only row."""
    (row,) = rows(connection, query, *params)
    return next(iter(row.values()))


def rpc(connection: Connection, function: str, **arguments: object) -> Any:
    """Call a function of public by its arguments' names, as PostgREST does; JSON comes back."""
    query = sql.SQL("select to_jsonb(f) from public.{}({}) as f").format(
        sql.Identifier(function),
        sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder())
            for name in arguments
        ),
    )
    given = [Jsonb(each) if isinstance(each, dict | list) else each for each in arguments.values()]
    answer = [row[0] for row in connection.execute(query, given)]
    return answer if function in SETS else answer[0]


@contextmanager
def refused(sqlstate: str, detail: str | None = None) -> Iterator[None]:
    """What is inside fails with this SQLSTATE; one of the contract's says all that it must."""
    with pytest.raises(psycopg.Error) as raised:
        yield
    error = raised.value
    assert error.sqlstate == sqlstate, error
    if sqlstate.startswith("PT"):
        assert error.diag.message_detail == detail
        assert error.diag.message_hint and error.diag.message_primary


# What "discard all" does, but for the plans: to make them anew is most of what a first call takes.
AS_NEW = (
    "close all; set session authorization default; reset all; unlisten *;"
    " select pg_advisory_unlock_all(); discard temp; discard sequences"
)


class Idle:
    """Connections that one test after another may use, each as if it were new, but for its plans.

    To connect takes a process, and its first call reads the catalogue: together 10 ms or more.
    """

    def __init__(self) -> None:
        self._connections: dict[str, list[Connection]] = {}

    def take(self, dsn: str) -> Connection | None:
        waiting = self._connections.get(dsn)
        return waiting.pop() if waiting else None

    def give(self, dsn: str, connection: Connection) -> None:
        try:
            connection.rollback()
            connection.autocommit, connection.isolation_level = True, None
            connection.execute(AS_NEW)
            list(connection.notifies(timeout=0))
        except psycopg.Error:  # closed, by the test or by the server, or in the midst of a query
            connection.close()
        else:
            self._connections.setdefault(dsn, []).append(connection)

    def close(self) -> None:
        for waiting in self._connections.values():
            for connection in waiting:
                connection.close()


class Database:
    """A database with the project installed; everything opened here is closed by `close`."""

    def __init__(self, cluster: Cluster, name: str, idle: Idle | None = None) -> None:
        self.cluster, self.name, self._idle = cluster, name, idle
        self._connections: list[tuple[str, Connection]] = []
        self._emptier: Connection | None = None
        self.owner = self.open("postgres")

    def dsn(self, user: str = "postgres") -> str:
        return self.cluster.dsn(user, self.name)

    def open(self, user: str = "postgres") -> Connection:
        dsn = self.dsn(user)
        connection: Connection | None = self._idle.take(dsn) if self._idle else None
        if connection is None:
            # A test that waits for a lock for ever fails instead. Nothing is prepared, as the next
            # test could not know of it.
            connection = psycopg.connect(
                dsn, autocommit=True, options="-c statement_timeout=20s", prepare_threshold=None
            )
        self._connections.append((dsn, connection))
        return connection

    def superuser(self) -> Connection:
        return self.open(SUPERUSER)

    def connect(
        self, user_id: object = None, role: str = "authenticated", **claims: object
    ) -> Connection:
        """A connection that acts as PostgREST's does for a token of this user and role."""
        connection = self.open("postgres")
        become(connection, user_id, role, **claims)
        return connection

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for dsn, connection in self._connections:
            if self._idle:
                self._idle.give(dsn, connection)
            else:
                connection.close()

    def empty(self) -> None:
        """Delete every row but the seed, without a trigger."""
        connection = self._emptier = self._emptier or self.superuser()
        with connection.transaction():
            connection.execute("set local session_replication_role = replica")
            for table in (
                "public.session_requests",
                "public.customer_favorites",
                "public.mechanics",
                "dispatch.request_events",
                "dispatch.stripe_events",
                "dispatch.windows",
                "dispatch.steps",
                "dispatch.blocks",
                "dispatch.presence",
                "dispatch.unanswered",
                "dispatch.devices",
                "dispatch.pushes",
                "auth.users",
                "realtime.messages",
            ):
                connection.execute(f"delete from {table}".encode())
            connection.execute(
                "delete from public.service_plans as p where to_jsonb(p) ->> 'code' not in "
                "('free-diagnostic', 'quick-chat', 'expert-video')"
            )
            connection.execute("select setval('dispatch.last_delivery', 0, false)")

    def sql(self, query: str, *params: object) -> list[Row]:
        return rows(self.owner, query, *params)

    def value(self, query: str, *params: object) -> Any:
        return value(self.owner, query, *params)

    def wait_until_blocked(self, *connections: Connection) -> None:
        """Until each of these waits for a lock that another holds."""
        pids = [connection.info.backend_pid for connection in connections]
        query = (
            "select count(*) from pg_stat_activity"
            " where pid = any(%s) and wait_event_type = 'Lock' and state = 'active'"
        )
        eventually(lambda: self.value(query, pids) == len(pids))

    def sweep_around(
        self, meanwhile: Callable[[], Any], one_by_one: bool = False
    ) -> tuple[int, Any]:
        """Sweep a chain; when it has found what is due, something happens before it goes on."""
        connection, holder = self.open(), self.superuser()
        name = "dispatch.pending_windows(timestamptz, integer)"
        real = value(connection, f"select pg_get_functiondef('{name}'::regprocedure)")
        # One by one it goes once the batch has failed.
        stop = (
            f"if {one_by_one} and nextval('calls') = 1 then raise 'no'; end if;"
            " perform pg_advisory_xact_lock(7);\nend;\n$function$"
        )

        def sweep() -> int:
            with connection.transaction():  # nobody else sees the changed function
                connection.execute("create temporary sequence calls")
                connection.execute(real.replace("end;\n$function$", stop).encode())
                swept = value(connection, "select dispatch.sweep()")
                connection.execute(real.encode())
            return int(swept)

        with ThreadPoolExecutor() as pool:
            with holder.transaction():
                holder.execute("select pg_advisory_xact_lock(7)")
                swept = pool.submit(sweep)
                self.wait_until_blocked(connection)
                what = meanwhile()
            return swept.result(), what

    def stop_jobs(self) -> None:
        """pg_cron begins none from now on, and what it has begun is over."""
        self.sql("select cron.alter_job(jobid, active := false) from cron.job")
        end = (
            "select count(pg_terminate_backend(pid)) = 0 from pg_stat_activity"
            " where application_name = 'pg_cron'"
        )
        superuser = self.superuser()
        eventually(lambda: value(superuser, end))

    def stuck_listener(self) -> Connection:
        """Its socket is full of notices that it does not read."""
        listener = self.open()
        listener.execute("listen noise")
        noise = "select pg_notify('noise', repeat('x', 7900) || n) from generate_series(1, 500) n"
        waits = "select wait_event = 'ClientWrite' from pg_stat_activity where pid = %s"
        eventually(lambda: (self.sql(noise), self.value(waits, listener.info.backend_pid))[1])
        return listener

    # Who and what there is.

    def make_customer(self, email: str | None = None) -> str:
        user_id = str(uuid.uuid4())
        self.sql(
            "insert into auth.users (id, email) values (%s, %s)",
            user_id,
            email or f"{user_id}@mail.example",
        )
        return user_id

    def make_mechanic(
        self, status: str | None = "approved", online: bool = True, **columns: object
    ) -> str:
        user_id = self.make_customer()
        self._insert(
            "mechanics",
            {"id": user_id, "display_name": "Mia", "status": status, "is_online": online} | columns,
        )
        return user_id

    def make_request(
        self,
        customer: str | None = None,
        preferred: str | None = None,
        minutes: int | None = None,
        connection: Connection | None = None,
        **columns: object,
    ) -> str:
        """A plain INSERT, as the marketplace's own backend would write it."""
        columns = {
            "customer_id": customer or self.make_customer(),
            "session_type": "chat",
            "plan_code": "quick-chat",
            "customer_name": "Zoe Quill",
            "customer_email": "zoe.quill@mail.example",
            "notes": "the blue one",
        } | columns
        if preferred:
            columns["preferred_mechanic_id"] = preferred
        if minutes is not None:
            columns["priority_window_minutes"] = minutes
        return str(self._insert("session_requests", columns, connection))

    def _insert(self, table: str, row: Row, connection: Connection | None = None) -> Any:
        query = sql.SQL("insert into public.{} ({}) values ({}) returning id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        )
        given = [Jsonb(each) if isinstance(each, dict) else each for each in row.values()]
        (answer,) = (connection or self.owner).execute(query, given).fetchall()
        return answer[0]

    def end_window(self, request_id: str, in_seconds: float = 0) -> None:
        """Move the window into the past, so that it ends (or ended) at this time."""
        self.sql(
            "update public.session_requests set priority_notified_at = clock_timestamp()"
            " + make_interval(secs => %s) - make_interval(mins => priority_window_minutes)"
            " where id = %s",
            in_seconds,
            request_id,
        )

    # What became of it.

    def request(self, request_id: str) -> Row:
        (row,) = self.sql("select * from public.session_requests where id = %s", request_id)
        return row

    def events(self, request_id: str | None = None) -> list[Row]:
        return self.sql(
            "select * from dispatch.request_events where request_id = coalesce(%s, request_id)"
            " order by id",
            request_id,
        )

    def log(self, request_id: str | None = None) -> list[str]:
        """The events in short: `new_request:window_ended`."""
        return [
            ":".join(filter(None, (event["event"], event["payload"].get("reason"))))
            for event in self.events(request_id)
        ]

    def snapshot(self) -> list[Row]:
        tables = ("session_requests", "mechanics", "customer_favorites")
        query = " union all ".join(
            [f"select to_jsonb(t)::text as row from public.{table} as t" for table in tables]
            + ["select to_jsonb(e)::text from dispatch.stripe_events as e"]
            + ["select (to_jsonb(e) - 'delivered_at')::text from dispatch.request_events as e"]
        )
        return self.sql(f"{query} order by 1")

    def snapshot_of_marketplace(self) -> list[Row]:
        """Its rows alone, while there is no engine."""
        tables = ("session_requests", "mechanics", "customer_favorites", "service_plans")
        query = " union all ".join(
            f"select to_jsonb(t)::text as row from public.{table} as t" for table in tables
        )
        return self.sql(f"{query} order by 1")

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        before = self.snapshot()
        yield
        assert self.snapshot() == before

    @contextmanager
    def unchanged_row(self, request_id: str) -> Iterator[None]:
        before = self.request(request_id)
        yield
        assert self.request(request_id) == before

    def sweep(self) -> int:
        return int(self.value("select dispatch.sweep()"))

    def run_sweep(self, seconds: float, connection: Connection | None = None) -> None:
        """Run what pg_cron runs, for this long instead of the rest of the minute."""
        until = f"clock_timestamp() + interval '{seconds} seconds'"
        command, replaced = re.subn(
            r"(v_until constant timestamptz :=) [^;]+;",
            rf"\1 {until};",
            cron_command(self.cluster.dsn(), "dispatch-sweep"),
        )
        assert replaced == 1
        (connection or self.owner).execute(command.encode())


def newest_of(*catalogues: str) -> str:
    """A query for what changes with each write to these."""
    return "select " + ", ".join(
        f"(select row(count(*), max(xmin::text::bigint)) from {each}) as {each}"
        for each in catalogues
    )


CATALOGUES = (
    "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_default_acl", "pg_description",
    "pg_enum", "pg_extension", "pg_index", "pg_inherits", "pg_namespace", "pg_policy", "pg_proc",
    "pg_publication", "pg_publication_rel", "pg_rewrite", "pg_statistic_ext", "pg_trigger",
    "pg_type",
)  # fmt: skip


def catalogue(database: "Database") -> list[Row]:
    """The same as long as no object is made, changed or dropped, in a tenth of dump()'s time."""
    return database.sql(newest_of(*CATALOGUES))


class Kept:
    """A copy of a template for one test after another, each of which finds it as the first did:
    what it holds more is deleted, and once anything else was changed it is copied anew.

    A copy for each takes 75 ms of processor time, and as much again in connections that read the
    catalogue and compile the functions.
    """

    def __init__(self, cluster: Cluster, template: str) -> None:
        self._cluster, self._template = cluster, template
        self._idle = Idle()
        self._name = self._seed_query = self._empty_query = ""
        self._state: list[list[Row]] = []

    @contextmanager
    def emptied(self) -> Iterator[Database]:
        if self._name and not self._is_as_it_was():
            self.drop()
        if not self._name:
            self._copy()
        with Database(self._cluster, self._name, self._idle) as database:
            yield database

    def drop(self) -> None:
        self._idle.close()
        if self._name:
            self._cluster.drop_database(self._name)
            self._name = ""

    def _copy(self) -> None:
        self._name, self._state = f"kept_{uuid.uuid4().hex}", []
        self._cluster.create_database(self._name, self._template)
        with Database(self._cluster, self._name, self._idle) as database:
            superuser = database.superuser()
            tables = self._names(superuser, "c.relkind in ('r', 'p') and not c.relispartition")
            seeded = [each for each in tables if rows(superuser, f"select 1 from {each} limit 1")]
            sequences = {
                each: rows(superuser, f"select last_value, is_called from {each}")[0]
                for each in self._names(superuser, "c.relkind = 'S'")
            }
            self._empty_query = "; ".join(
                [
                    "set local session_replication_role = replica",
                    *(f"delete from {each}" for each in tables if each not in seeded),
                    *(
                        f"select setval('{each}', {last['last_value']}, {last['is_called']})"
                        for each, last in sequences.items()
                    ),
                ]
            )
            self._seed_query = "select " + ", ".join(
                f"(select md5(string_agg(t::text, ' ' order by t::text)) from {each} as t) as t{n}"
                for n, each in enumerate(seeded)
            )
            self._state = self._read(superuser)

    def _is_as_it_was(self) -> bool:
        """Once the rows are deleted, which this does."""
        with Database(self._cluster, self._name, self._idle) as database:
            superuser = database.superuser()
            if self._read(superuser) != self._state:
                return False
            with superuser.transaction():
                superuser.execute(self._empty_query.encode())
            return True

    def _read(self, superuser: Connection) -> list[list[Row]]:
        """All but the rows that a test may leave."""
        # Statistics too, as plans follow them.
        catalogues = rows(superuser, newest_of(*CATALOGUES, "pg_statistic"))
        # Without the same tables the seed is not looked for.
        is_known = not self._state or catalogues == self._state[0]
        return [catalogues, rows(superuser, self._seed_query) if is_known else []]

    @staticmethod
    def _names(connection: Connection, condition: str) -> list[str]:
        query = f"""
            select c.oid::regclass::text as name
            from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
            where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and {condition}
            order by c.oid
        """
        return [row["name"] for row in rows(connection, query)]


@contextmanager
def fresh_database(cluster: Cluster, template: str = TEMPLATE) -> Iterator[Database]:
    name = f"test_{uuid.uuid4().hex}"
    cluster.create_database(name, template)
    with Database(cluster, name) as database:
        yield database
    cluster.drop_database(name)


def dump(database: Database, *options: str) -> str:
    """The schema as pg_dump writes it; newer versions add a random key to it."""
    command = [binary("pg_dump"), "-d", database.dsn(), "--schema-only", *options]
    command += ["-n", "public", "-n", "dispatch"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def listen(db: Database, *topics: str) -> Connection:
    connection = db.open()
    for topic in topics:
        connection.execute(f'listen "{topic}"'.encode())
    return connection


def heard(connection: Connection, expected: int) -> list[tuple[str, Any]]:
    found = [
        (each.channel, json.loads(each.payload))
        for each in connection.notifies(timeout=60, stop_after=expected)
    ]
    found += [(e.channel, json.loads(e.payload)) for e in connection.notifies(timeout=0)]
    assert len(found) == expected, found
    return found


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """The first truthy answer of the condition."""
    began = now = time.monotonic()
    while now < began + seconds:
        if answer := condition():
            return answer
        # Who waits long asks seldom: the processor is the other tests', too.
        time.sleep(min(max((now - began) / 20, 0.005), 0.1))
        now = time.monotonic()
    raise AssertionError("did not happen in time")


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Start the calls together; their answers, or the errors they failed with."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        except psycopg.Error as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def become(
    connection: Connection, user_id: object = None, role: str = "authenticated", **claims: object
) -> None:
    claims = {"role": role} | ({"sub": str(user_id)} if user_id else {}) | claims
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        cursor.execute(
            "select set_config('request.jwt.claims', to_jsonb(%s::jsonb)::text, false)",
            (Jsonb(claims),),
        )


def checkout(
    customer: str | None = None,
    preferred: str | None = None,
    *,
    kind: str = "checkout.session.completed",
    payment_status: str = "paid",
    session: str | None = None,
    payment: str | None = None,
    plan: str | None = "quick-chat",
    reference: str | None = None,
    **metadata: object,
) -> Row:
    """An event of a Checkout Session, with the fields Stripe sends that matter here."""
    metadata = {
        "customer_id": customer,
        "plan_code": plan,
        "routing_type": "priority_broadcast" if preferred else "broadcast",
        "preferred_mechanic_id": preferred,
    } | metadata
    return stripe_event(
        kind,
        id=session or f"cs_test_{uuid.uuid4().hex}",
        object="checkout.session",
        client_reference_id=reference,
        customer_details={"name": "Zoe Quill", "email": "zoe.quill@mail.example"},
        metadata={name: text for name, text in metadata.items() if text is not None},
        payment_intent=payment or f"pi_{uuid.uuid4().hex}",
        payment_status=payment_status,
    )


def refund(payment: str, full: bool = True) -> Row:
    return stripe_event(
        "charge.refunded", id=f"ch_{uuid.uuid4().hex}", payment_intent=payment, refunded=full
    )
