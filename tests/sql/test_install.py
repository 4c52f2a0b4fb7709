"""Up, down and verify, and that the files and the installed functions are what they should be."""

import itertools
import os
import pty
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from stack import ROOT
from stack.install import (
    DOWN,
    ENGINE,
    ENGINE_DOWN,
    FEATURE,
    MARKETPLACE,
    MARKETPLACE_DOWN,
    discover,
    install,
    install_hub_role,
    install_on_theirs,
    install_push_role,
    install_webhook_role,
)
from stack.postgres import SUPERUSER, Cluster, binary, output_plugins, run_psql
from tests.database import (
    TEMPLATE,
    WITHOUT_RUNS,
    Database,
    catalogue,
    checkout,
    dump,
    eventually,
    fresh_database,
    refused,
    rpc,
)
from tests.further import further_but

CONFIRM = "set favorites_priority.confirm_down = yes"


def test_marketplace_and_engine_twice_are_once(engine_db: Database) -> None:
    before, seed = dump(engine_db), engine_db.sql("select * from service_plans order by code")
    install(engine_db.dsn(), MARKETPLACE, ENGINE)
    assert dump(engine_db) == before
    assert engine_db.sql("select * from service_plans order by code") == seed


def test_each_layer_leaves_what_was_there_before_it(empty_db: Database) -> None:
    db = empty_db
    empty = dump(db)
    for _ in range(2):
        install(db.dsn(), MARKETPLACE)
        marketplace = dump(db)
        assert marketplace != empty
        customer, mechanic = db.make_customer(), db.make_mechanic()
        db.make_request(customer)
        rows = db.snapshot_of_marketplace()
        for _ in range(2):
            install(db.dsn(), ENGINE)
            engine = dump(db)
            assert engine != marketplace
            install(db.dsn(), FEATURE, DOWN)
            assert dump(db) == engine
            for install_role in (install_webhook_role, install_push_role, install_hub_role):
                install_role(db.dsn())
            install(db.dsn(), ENGINE_DOWN)
            assert dump(db) == marketplace
            assert db.snapshot_of_marketplace() == rows
        db.sql("delete from public.session_requests")
        db.sql("delete from public.mechanics where id = %s", mechanic)
        install(db.dsn(), MARKETPLACE_DOWN)
        assert dump(db) == empty


def test_each_file_ends_with_a_word_and_prints_no_more(empty_db: Database) -> None:
    def run(file: str, *options: str) -> tuple[int, str, str]:
        command = ["psql", "-X", "-At", *options, "-d", empty_db.dsn(), "-f", str(ROOT / file)]
        command += ["-c", "\\echo :QUIET", "-c", "show client_min_messages"]
        result = subprocess.run(command, capture_output=True, text=True)
        return result.returncode, result.stdout, result.stderr

    def word(file: str, *options: str, quiet: str = "off") -> str:
        status, said, warned = run(file, *options)
        assert status == 0 and "NOTICE" not in warned
        # pg_cron is not in this database.
        assert ("WARNING" in warned) is (file == ENGINE)
        left = f"{quiet}\nnotice\n"
        assert said.endswith(left)
        return said.removesuffix(left)

    assert run(FEATURE)[:2] == (3, "") and "sql/engine/up.sql" in run(FEATURE)[2]
    for _ in range(2):
        assert word(MARKETPLACE).startswith("The reference marketplace is installed.\n")
        assert word(ENGINE).startswith("The engine is installed on the reference marketplace.\n")
        said = word(FEATURE)
        assert said.startswith("Favorites Priority is installed. The flag is off:")
        assert said.count("\n") == 3 and "set_favorites_priority(true)" in said
    assert word(FEATURE, "-q", quiet="on") == ""
    empty_db.sql("select dispatch.set_favorites_priority(true)")
    assert "The flag is on, as it was." in word(FEATURE)
    for file in (DOWN, ENGINE_DOWN, MARKETPLACE_DOWN):
        assert "taken off" in word(file)


def test_no_layer_goes_from_under_another(db: Database, engine_db: Database) -> None:
    for database, file, said in (
        (db, ENGINE_DOWN, "the feature is installed on it"),
        (db, MARKETPLACE_DOWN, "the engine is installed on it"),
        (engine_db, MARKETPLACE_DOWN, "the engine is installed on it"),
    ):
        before = catalogue(database)
        with pytest.raises(RuntimeError, match=f"{said}, and nothing was changed"):
            install(database.dsn(), file)
        assert catalogue(database) == before


def test_what_stands_on_the_engine_is_told_before_it_goes(engine_db: Database) -> None:
    db = engine_db
    db.sql("create view public.their_report as select count(*) from dispatch.request_events")
    db.sql(
        "create policy theirs on public.mechanics for select to authenticated"
        " using (dispatch.caller_id() is not null)"
    )
    before = catalogue(db)
    with pytest.raises(RuntimeError, match="the engine is still used") as raised:
        install(db.dsn(), ENGINE_DOWN)
    assert "their_report" in str(raised.value) and "theirs" in str(raised.value)
    assert catalogue(db) == before


# What stands on it, and what the refusal names.
STANDS_ON_THE_ENGINE = {
    "key": (
        "create table reports (event_id bigint references dispatch.request_events (id))",
        "reports",
    ),
    "function": (
        "create function queue() returns bigint language sql begin atomic select count(*)"
        " from public.session_requests as r where not dispatch.is_reserved_for_another(r.id); end",
        "queue",
    ),
    "check": (
        "create table vans (id uuid check (dispatch.is_approved_mechanic(id)))",
        "vans_id_check",
    ),
    "value": ("create table vans (id bigint default dispatch.next_event_id())", "default value"),
    "index": (
        "create table vans (city text); create index vans_words on vans"
        " using gin (dispatch.mechanic_words(null, null, null, city, null))",
        "vans_words",
    ),
    # Of the types of rows.
    "column": ("create table reports (id integer, request dispatch.requests)", "request of table"),
    "list": (
        "create table reports (id integer, events dispatch.request_events[])",
        "events of table",
    ),
    "type": (
        "create type report as (at timestamptz, push dispatch.pushes)",
        "push of composite type",
    ),
    "domain": ("create domain report as dispatch.requests", "type public.report"),
    "argument": (
        "create function report(r dispatch.requests) returns uuid language sql as 'select r.id'",
        "function public.report",
    ),
    "cast": ("create cast (dispatch.requests as jsonb) with inout", "cast from dispatch.requests"),
    "publication": (
        "create publication report for table dispatch.request_events",
        "publication report",
    ),
    # What names it in a text.
    "text": (
        "create function queue() returns bigint language plpgsql as $$ begin return"
        " (select count(*) from session_requests as r"
        " where not dispatch.is_reserved_for_another(r.id)); end $$",
        "function public.queue()",
    ),
    "quoted": (
        "create schema api; create function api.log() returns setof bigint language sql"
        ' as $$ select id from "dispatch"."request_events" $$',
        "function api.log()",
    ),
    # In the schema itself.
    "table": (
        "create table dispatch.old_events (like dispatch.request_events)",
        "table dispatch.old_events",
    ),
}


@pytest.mark.parametrize(
    "stands",
    further_but(
        ["key", "function", "index", "type", "publication", "text", "table"], STANDS_ON_THE_ENGINE
    ),
)
def test_nothing_of_theirs_goes_with_the_engine(
    engine_db: Database, stands: tuple[str, str]
) -> None:
    db, (theirs, told) = engine_db, stands
    db.sql(theirs)
    before = catalogue(db)
    with pytest.raises(RuntimeError, match="the engine is still used") as raised:
        install(db.dsn(), ENGINE_DOWN)
    assert told in str(raised.value)
    assert catalogue(db) == before


def test_what_else_runs_on_the_engine_is_told_before_it_goes() -> None:
    """A job of theirs, and a publication of the whole schema. (Nothing is said of a word.)"""
    with Cluster() as cluster, Database(cluster, "postgres") as db:
        install(db.dsn(), MARKETPLACE, ENGINE)
        db.sql("select cron.schedule('alarm', '* * * * *', 'select * from dispatch.health()')")
        db.sql("create function vans() returns integer language sql as 'select 1 -- our dispatch.'")
        db.superuser().execute("create publication report for tables in schema dispatch")
        before = catalogue(db)
        with pytest.raises(RuntimeError, match="the engine is still used") as raised:
            install(db.dsn(), ENGINE_DOWN)
        for told in (
            "job alarm of pg_cron",
            "publication of schema dispatch in publication report",
        ):
            assert told in str(raised.value)
        assert "vans" not in str(raised.value)
        assert catalogue(db) == before
        db.sql("select cron.unschedule('alarm')")
        db.superuser().execute("drop publication report")
        install(db.dsn(), ENGINE_DOWN)


STANDS_ON_THE_COLUMNS = {
    "view": "create view report as select * from session_requests",
    "policy": "create policy report on session_requests for select to authenticated"
    " using (preferred_mechanic_id is null)",
    "column": "alter table session_requests add report boolean"
    " generated always as (preferred_mechanic_id is not null) stored",
    "function": "create function report() returns bigint language sql"
    " begin atomic select count(preferred_mechanic_id) from session_requests; end",
    "trigger": "create function report() returns trigger language plpgsql"
    " as $$ begin return new; end $$; create trigger report"
    " before update of priority_window_minutes on session_requests"
    " for each row execute function report()",
    "publication": "create publication report"
    " for table session_requests (id, priority_notified_at)",
    # What PostgreSQL would take along without a word.
    "index": "create index report on session_requests (customer_id, priority_notified_at)",
    "predicate": "create index report on session_requests (customer_id)"
    " where preferred_mechanic_id is null",
    "key": "alter table session_requests add constraint report"
    " unique (customer_id, preferred_mechanic_id, created_at)",
    "check": "alter table session_requests add constraint report"
    " check (plan_code is not null or priority_window_minutes < 30)",
    "statistics": "create statistics report on plan_code, preferred_mechanic_id"
    " from session_requests",
    "child": "create table old () inherits (session_requests);"
    " create view report as select priority_notified_at from old",
}


@pytest.mark.parametrize(
    "theirs",
    further_but(["policy", "function", "trigger", "index", "key"], STANDS_ON_THE_COLUMNS),
)
def test_what_stands_on_the_columns_keeps_the_feature_whole(db: Database, theirs: str) -> None:
    """Not the columns alone, which nobody would take off any more."""
    db.sql(theirs)
    before = catalogue(db)
    with pytest.raises(RuntimeError, match="columns of the feature are still used") as raised:
        run_psql(db.dsn(), "-c", CONFIRM, "-f", str(ROOT / DOWN))
    assert "report" in str(raised.value)
    assert catalogue(db) == before
    assert db.value("select dispatch.favorites_priority_enabled()")


def test_the_engine_goes_with_paid_events_in_error_only_if_confirmed(engine_db: Database) -> None:
    db = engine_db
    event = checkout(db.make_customer(), plan="unheard-of")
    answer = rpc(db.connect(role="service_role"), "process_stripe_event", event=event)
    assert answer["outcome"] == "error"
    before = catalogue(db)
    with pytest.raises(RuntimeError, match="1 Stripe events wait in the ledger"):
        install(db.dsn(), ENGINE_DOWN)
    assert catalogue(db) == before
    run_psql(db.dsn(), "-c", CONFIRM, "-f", str(ROOT / ENGINE_DOWN))
    assert db.value("select to_regnamespace('dispatch') is null")


def test_a_marketplace_with_rows_goes_only_if_confirmed(empty_db: Database) -> None:
    db = empty_db
    empty = dump(db)
    install(db.dsn(), MARKETPLACE)
    db.make_request()
    before = dump(db)
    with pytest.raises(RuntimeError, match="its tables hold 1 session_requests; nothing"):
        install(db.dsn(), MARKETPLACE_DOWN)
    assert dump(db) == before
    run_psql(db.dsn(), "-c", CONFIRM, "-f", str(ROOT / MARKETPLACE_DOWN))
    assert dump(db) == empty


def test_what_others_built_on_the_marketplace_keeps_it(empty_db: Database) -> None:
    db = empty_db
    install(db.dsn(), MARKETPLACE)
    db.sql("create table public.vans (mechanic_id uuid references public.mechanics (id))")
    before = catalogue(db)
    with pytest.raises(RuntimeError, match="because other objects depend on them"):
        install(db.dsn(), MARKETPLACE_DOWN)
    assert catalogue(db) == before


def test_types_that_were_there_before_stay(empty_db: Database) -> None:
    db = empty_db
    db.sql("create type public.session_type as enum ('diagnostic', 'chat', 'video', 'walk-in')")
    before = dump(db)
    install(db.dsn(), MARKETPLACE, MARKETPLACE_DOWN)
    assert dump(db) == before


@pytest.mark.parametrize("enabled", [True, pytest.param(False, marks=pytest.mark.further)])
def test_up_twice_is_up_once_and_keeps_the_flag(db: Database, enabled: bool) -> None:
    db.sql("select dispatch.set_favorites_priority(%s)", enabled)
    request = db.make_request(preferred=db.make_mechanic())
    # Another role's grants (the webhook's) may come to stand in another order.
    before = sorted(dump(db).splitlines())
    with db.unchanged():
        for files in ([FEATURE], [ENGINE], [MARKETPLACE, ENGINE, FEATURE], [FEATURE]):
            install(db.dsn(), *files)
            assert sorted(dump(db).splitlines()) == before
    assert db.value("select dispatch.favorites_priority_enabled()") is enabled
    assert db.log(request) == ["priority_request" if enabled else "new_request"]


def test_up_is_the_same_from_a_terminal_of_another_encoding(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(db, "--no-privileges")
    with monkeypatch.context() as terminal:
        terminal.setenv("PGCLIENTENCODING", "WIN1252")
        install(db.dsn())
    assert dump(db, "--no-privileges") == before


def test_an_engine_whose_list_has_fewer_columns_is_replaced(engine_db: Database) -> None:
    db = engine_db
    for name in (
        "public.list_open_session_requests()",
        "dispatch.list_open_requests()",
        "public.list_favorite_mechanics()",
        "dispatch.list_favorites()",
    ):
        db.sql(f"drop function {name}")
        body = "select dispatch.caller_id()"
        db.sql(f"create function {name} returns setof uuid language sql as '{body}'")
    install(db.dsn(), ENGINE)
    mechanic = db.connect(db.make_mechanic())
    assert rpc(mechanic, "list_open_session_requests") == []
    assert rpc(mechanic, "list_favorite_mechanics") == []


def test_an_engine_whose_names_and_results_are_others_is_replaced(engine_db: Database) -> None:
    for name, types, parameters, result in (
        (
            "dispatch.broadcast_refusal",
            "uuid, text, timestamptz, uuid, boolean, timestamptz",
            "a uuid, b text, c timestamptz, d uuid, p_has_declined boolean, f timestamptz",
            "text",
        ),
        (
            "dispatch.book_theirs",
            "uuid, uuid, jsonb, timestamptz",
            "p_id uuid, p_customer_id uuid, p_checkout jsonb, p_refunded_at timestamptz",
            "uuid",
        ),
    ):
        engine_db.sql(
            f"drop function {name}({types}); create function {name}({parameters})"
            f" returns {result} language sql as 'select null::{result}'"
        )
    install(engine_db.dsn(), ENGINE)
    assert verify(engine_db.dsn(), layer="engine").returncode == 0


def test_an_engine_of_fewer_parameters_is_replaced(engine_db: Database) -> None:
    """Else two of one name are there, and a call that leaves the new ones out means both."""
    db = engine_db
    for name, parameters in (
        ("public.prepare_checkout", "a text, b uuid, c text, d integer, e boolean"),
        ("public.request_free_session", "a text, b uuid, c text"),
        ("dispatch.make_checkout", "a text, b uuid, c text, d integer, e boolean"),
        ("dispatch.create_free_request", "a text, b uuid, c text"),
        ("dispatch.due_steps", "a dispatch.requests, b timestamptz, c timestamptz"),
        ("dispatch.why_not_asked", "a uuid, b boolean, c uuid"),
    ):
        db.sql(
            f"create function {name}({parameters}) returns text language sql"
            " as 'select dispatch.caller_id()::text'"
        )
    install(db.dsn(), ENGINE)
    twice = (
        "select pronamespace, proname from pg_proc where pronamespace in"
        " ('public'::regnamespace, 'dispatch'::regnamespace) group by 1, 2 having count(*) > 1"
    )
    assert db.sql(twice) == []


def test_another_role_than_the_owner_makes_nothing_beside_it(db: Database) -> None:
    """A superuser may: and the functions, which run as the owner, could not use a table of it."""
    before = catalogue(db)
    for file in (ENGINE, FEATURE, DOWN, ENGINE_DOWN):
        with pytest.raises(RuntimeError, match="the engine belongs to postgres, and nothing was"):
            install(db.dsn(SUPERUSER), file)
    assert catalogue(db) == before
    db.sql("drop table dispatch.unanswered")
    as_owner = ("-c", "set role postgres", "-f")
    run_psql(db.dsn(SUPERUSER), *as_owner, str(ROOT / ENGINE))
    assert db.value("select tableowner from pg_tables where tablename = 'unanswered'") == "postgres"
    for file in (DOWN, ENGINE_DOWN):
        run_psql(db.dsn(SUPERUSER), *as_owner, str(ROOT / file))


def test_the_flag_is_off_at_first(engine_db: Database) -> None:
    install(engine_db.dsn())
    assert engine_db.value("select dispatch.favorites_priority_enabled()") is False


def test_up_down_up_down_with_rows(engine_db: Database) -> None:
    db = engine_db
    engine = dump(db)
    mechanic, other, customer = db.make_mechanic(), db.make_mechanic(), db.make_customer()
    db.make_request(customer)
    for _ in range(2):
        install(db.dsn(), FEATURE)
        db.sql("select dispatch.set_favorites_priority(true)")
        accepted = db.make_request(customer, mechanic)
        rpc(db.connect(mechanic), "accept_session_request", request_id=accepted)
        waiting = db.make_request(customer, mechanic)
        count = db.value("select count(*) from session_requests")
        feature = dump(db)

        install(db.dsn(), DOWN)
        assert dump(db) == engine
        assert db.value("select count(*) from session_requests") == count
        # The open window was broadcast first; the rest is as it was.
        assert db.log(waiting) == ["priority_request", "new_request:flag_off"]
        assert db.log(accepted) == ["priority_request", "request_accepted"]
        assert rpc(db.connect(other), "accept_session_request", request_id=waiting)
        assert db.log(db.make_request(customer, connection=db.connect(role="service_role"))) == [
            "new_request"
        ]
        with refused("PT404", "feature_disabled"):
            rpc(db.connect(customer), "get_mechanic_status", mechanic_id=mechanic)
    install(db.dsn(), FEATURE)
    db.sql("select dispatch.set_favorites_priority(true)")
    assert dump(db) == feature


@pytest.mark.parametrize(
    "policy", ["session_requests_select on session_requests", "mechanics_select on mechanics"]
)
def test_the_engine_goes_without_a_policy_that_was_dropped_by_hand(
    engine_db: Database, policy: str
) -> None:
    engine_db.sql(f"drop policy {policy}")
    install(engine_db.dsn(), ENGINE_DOWN, MARKETPLACE_DOWN)
    assert "CREATE TABLE" not in dump(engine_db)


def test_down_twice_fails_and_changes_nothing(db: Database) -> None:
    install(db.dsn(), DOWN)
    before = catalogue(db)
    with pytest.raises(RuntimeError):
        install(db.dsn(), DOWN)
    assert catalogue(db) == before


def test_down_waits_for_who_is_booking_and_then_leaves_nothing_waiting(db: Database) -> None:
    writer = db.connect(role="service_role")
    with ThreadPoolExecutor() as pool:
        with writer.transaction():
            request = db.make_request(preferred=db.make_mechanic(), connection=writer)
            running = pool.submit(install, db.dsn(), DOWN)
            waiting = "select count(*) from pg_locks where not granted and relation is not null"
            eventually(lambda: db.value(waiting) or running.done())
        running.result()
    assert db.log(request) == ["priority_request", "new_request:flag_off"]


def test_a_down_that_would_lose_history_asks_first(db: Database) -> None:
    """What the event log has is not lost; here it was pruned."""
    request, pruned = (db.make_request(preferred=db.make_mechanic()) for _ in range(2))
    db.sql("delete from dispatch.request_events where request_id = %s", pruned)
    before = catalogue(db)
    with db.unchanged(), pytest.raises(RuntimeError, match=r"1 session_requests of .* would lose"):
        install(db.dsn(), DOWN)
    assert catalogue(db) == before
    assert db.value("select dispatch.favorites_priority_enabled()") is True
    assert db.log(request) == ["priority_request"]


@pytest.mark.parametrize(
    ("file", "held"),
    [
        *itertools.product((ENGINE, FEATURE, DOWN), ["public.session_requests"]),
        # It replaces these views.
        (ENGINE, "dispatch.metrics"),
        *(
            pytest.param(file, view, marks=pytest.mark.further)
            for file, view in (
                (ENGINE, "dispatch.plans"),
                (ENGINE, "dispatch.favorites"),
                *itertools.product((ENGINE, FEATURE, DOWN), ["dispatch.requests"]),
            )
        ),
    ],
)
def test_while_it_waits_for_a_lock_everyone_else_gets_through(
    db: Database, file: str, held: str
) -> None:
    """It does not queue in front of them, and gives up with nothing changed."""
    db.sql("select dispatch.set_favorites_priority(false)")
    before, reader, writer = dump(db), db.open(), db.connect(role="service_role")
    with ThreadPoolExecutor() as pool, reader.transaction():
        reader.execute(f"select from {held}".encode())
        patience = "?options=-c%20favorites_priority.wait_for_locks%3D1s"
        running = pool.submit(install, db.dsn() + patience, file)
        tried = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
        for _ in range(3):
            eventually(lambda: db.value(tried) or running.done())
            db.make_request(connection=writer)
        with pytest.raises(RuntimeError, match=rf"no lock on .*\n.*pid {reader.info.backend_pid} "):
            running.result()
    assert sorted(dump(db).splitlines()) == sorted(before.splitlines())
    install(db.dsn(), file)


def test_for_what_it_comes_to_later_it_waits_longer(engine_db: Database) -> None:
    """As for an autovacuum, which makes room, but not at once."""
    reader = engine_db.open()
    with ThreadPoolExecutor() as pool:
        with reader.transaction():
            reader.execute("select from dispatch.last_delivery")
            running = pool.submit(install, engine_db.dsn(), ENGINE_DOWN)
            waits = (
                "select count(*) from pg_locks"
                " where not granted and relation = 'dispatch.last_delivery'::regclass"
            )
            eventually(lambda: running.done() or engine_db.value(waits))
            # Longer than one try of those it asks for first.
            reader.execute("select pg_sleep(0.3)")
        running.result()


def test_a_second_session_installs_and_takes_off_nothing_meanwhile(empty_db: Database) -> None:
    db, reader = empty_db, empty_db.open()
    install(db.dsn(), MARKETPLACE)
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with ThreadPoolExecutor() as pool, reader.transaction():
        reader.execute("select from pg_class")  # an index that is built concurrently waits for it
        first = pool.submit(install, db.dsn(), ENGINE)
        building = "select pid from pg_stat_progress_create_index where phase like 'waiting%'"
        eventually(lambda: db.sql(building))
        told = rf"another session installs .* nothing was changed\n.*pid {db.value(building)} "
        for file in (MARKETPLACE, ENGINE, FEATURE, DOWN, ENGINE_DOWN, MARKETPLACE_DOWN):
            with pytest.raises(RuntimeError, match=told):
                install(db.dsn(), file)
    first.result()
    assert not db.sql("select from pg_index where not indisvalid")
    held = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
    assert run_psql(db.dsn(), "-At", "-f", str(ROOT / FEATURE), "-c", held) == "0\n"


def test_where_somebody_types_a_script_that_failed_leaves_nobody_out(db: Database) -> None:
    """psql stops the script, and the session goes on."""
    typed, terminal = pty.openpty()
    command = [binary("psql"), "-X", "-P", "pager=off", "-d", db.dsn()]
    psql = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    try:
        # The first is refused, as the feature is on it.
        for line in (
            rf"\i {ROOT / ENGINE_DOWN}",
            "rollback;",
            rf"\i {ROOT / ENGINE}",
            "select 'over' || 'all';",
        ):
            os.write(typed, f"{line}\n".encode())
        said = b""
        while b"overall" not in said:
            said += os.read(typed, 10_000)
        assert b"the feature is installed on it" in said and said.count(b"ERROR") == 1
        install(db.dsn(), ENGINE)
    finally:
        psql.kill()
        psql.wait()
        os.close(typed)


def test_through_a_pooler_that_changes_connections_it_says_which_lock_is_left(db: Database) -> None:
    """As to the script's end: the connection that it now has is not the one that it began with."""
    first = db.open()
    first.execute("select pg_advisory_lock(1178687058, -3)")
    files = [str(ROOT / f"sql/engine/{each}.sql") for each in ("quiet_begin", "alone_end")]
    command = ["psql", "-X", "-d", db.dsn(), "-v", "word=done", "-f", files[0], "-f", files[1]]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stdout == "done\n"
    (cure,) = re.findall(r"select pg_terminate_backend[^;]*;", ended.stderr)
    db.superuser().execute(cure.encode())
    with pytest.raises(psycopg.OperationalError):
        first.execute("select 1")


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.further)])
def test_customers_book_while_it_comes_and_goes(engine_db: Database, times: int) -> None:
    """None gets an error, none is lost, and none is left waiting for a favourite."""
    db, stop = engine_db, threading.Event()
    mechanics, customer = [db.make_mechanic() for _ in range(3)], db.make_customer()

    def book() -> int:
        connection, count = db.connect(role="service_role"), 0
        while not stop.is_set():
            event = checkout(customer, mechanics[count % 3])
            assert rpc(connection, "process_stripe_event", event=event)["created"]
            db.make_request(customer, connection=connection)
            count += 2
        return count

    def accept() -> int:
        connection, count = db.connect(mechanics[0]), 0
        while not stop.is_set():
            for request in rpc(connection, "list_open_session_requests"):
                try:
                    rpc(connection, "accept_session_request", request_id=request["request_id"])
                    count += 1
                # In the middle of it the request's columns changed: not done, asked again.
                except (psycopg.errors.DatatypeMismatch, psycopg.errors.InternalError_):
                    pass
        return count

    def suspend() -> int:
        connection, count = db.open(), 0
        while not stop.is_set():
            for status in ("suspended", "approved"):
                connection.execute(
                    "update public.mechanics set status = %s where id = %s", (status, mechanics[2])
                )
                count += 1
        return count

    before = dump(db)
    reserved = "select count(*) from session_requests where preferred_mechanic_id is not null"
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(work) for work in (book, accept, suspend)]
        try:
            for _ in range(times):
                install(db.dsn(), FEATURE)
                db.sql("select dispatch.set_favorites_priority(true)")
                eventually(lambda: db.value(reserved) > 5)
                install(db.dsn(), ENGINE)
                install(db.dsn(), DOWN)
        finally:
            stop.set()
        booked, accepted, suspended = (each.result() for each in running)
    assert min(booked, accepted, suspended) > 0
    assert dump(db) == before
    assert db.value("select count(*) from session_requests") == booked
    assert db.value("select count(*) from session_requests where status = 'accepted'") == accepted
    stranded = "select id from session_requests where notification_sent_at is null"
    assert not db.sql(f"{stranded} and status = 'pending'")
    told = "select count(distinct request_id) from dispatch.request_events"
    assert db.value(f"{told} where event in ('new_request', 'priority_request')") == booked


# Verify. pg_cron is part of what it checks, so this is in the one database that has it.


def verify(
    dsn: str, breakage: str = "", layer: str = "favorites_priority"
) -> subprocess.CompletedProcess[str]:
    """Run verify.sql after a breakage that ends with it: all is one transaction."""
    command = ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", dsn]
    command += ["-c", "begin", "-c", breakage, "-f", str(ROOT / f"sql/{layer}/verify.sql")]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ.copy())


@pytest.mark.parametrize("enabled", [True, False])
def test_verify_passes_on_an_installation_and_changes_nothing(
    cron_db: Database, enabled: bool
) -> None:
    before = catalogue(cron_db)
    with cron_db.unchanged():
        flag = f"select dispatch.set_favorites_priority({enabled})"
        result = verify(cron_db.dsn(), flag)
        assert result.returncode == 0, result.stdout + result.stderr
    assert catalogue(cron_db) == before


def test_verify_passes_whatever_the_session_writes_days_like(cluster: Cluster) -> None:
    breakage = "set datestyle = german; set timezone = 'Asia/Tokyo'; set intervalstyle = iso_8601"
    assert verify(cluster.dsn(), breakage).returncode == 0
    # Which it names <-03>+03.
    assert verify(cluster.dsn(), "set timezone = -3").returncode == 0
    assert verify(cluster.dsn(), "set timezone = 'CET-1CEST,M3.5.0,M10.5.0/3'").returncode == 0


def test_an_index_of_an_earlier_install_is_built_anew(db: Database) -> None:
    definition = f"select pg_get_indexdef('{DEADLINE}'::regclass)"
    now = db.value(definition)
    db.sql(f"drop index {DEADLINE}")
    db.sql(EARLIER_INDEX)
    assert db.value(definition) != now
    install(db.dsn(), FEATURE)
    assert db.value(definition) == now


def without(signature: str, word: str) -> str:
    """Replace a function by one that is the same but for this word."""
    return (
        f"do $$ begin execute replace(pg_get_functiondef('{signature}'::regprocedure),"
        f" '{word}', 'created_at'); end $$"
    )


# As if the server had been there for long.
LONG_AGO = (
    "alter function pg_catalog.pg_postmaster_start_time() rename to really;"
    " create function pg_catalog.pg_postmaster_start_time() returns timestamptz"
    " language sql as $$ select now() - interval '1 day' $$"
)
# A view of the server's that shows something else.
INSTEAD = (
    "set allow_system_table_mods = on; alter view pg_catalog.{0} rename to really_{0};"
    " create view pg_catalog.{0} as select {1} from pg_catalog.really_{0} {2}"
)
TABLE = "session_requests"
DEADLINE = "session_requests_priority_deadline_idx"
EARLIER_INDEX = (
    f"create index {DEADLINE} on session_requests (((priority_notified_at at time zone 'UTC'"
    " + make_interval(mins => priority_window_minutes)) at time zone 'UTC'))"
    " where status = 'pending' and notification_sent_at is null"
)
# The owner, as whom all runs, is not exempt, and is shown the platform's accounts by a policy.
NO_BYPASS = (
    "alter role postgres nobypassrls; create policy seen on auth.users to postgres using (true)"
)
REQUESTS = f"alter table {TABLE}"
CHECKOUT_KEY = "session_requests_stripe_checkout_session_id_key"
TABLES = (
    "request_events", "stripe_events", "windows", "presence", "found_before", "devices", "pushes",
    "steps", "blocks", "unanswered",
)  # fmt: skip
FOREIGN_KEY = "session_requests_preferred_mechanic_id_fkey"
ADD_KEY = (
    f"{REQUESTS} drop constraint {FOREIGN_KEY}, add constraint {FOREIGN_KEY}"
    " foreign key (preferred_mechanic_id) references mechanics (id)"
)
OPEN_POLICY = "create policy theirs on session_requests for select to authenticated using (true)"
POLICIES = {
    "mechanics": ("select", "insert", "update"),
    "customer_favorites": ("select", "insert", "delete"),
    "service_plans": ("select",),
    "session_requests": ("select",),
}
FUNCTIONS = "functions as in their files"
THEIRS = "create function theirs() returns trigger language plpgsql as 'begin return new; end'"
# Makes a trigger anew with something else in its definition.
ALTERED = """
create or replace function public.noop() returns trigger language plpgsql
as 'begin return null; end';
do $$ begin execute (
    select regexp_replace(
        regexp_replace(pg_get_triggerdef(oid), '{2}', '{3}'), '^CREATE', 'CREATE OR REPLACE'
    )
    from pg_trigger where tgname = '{0}' and tgrelid = '{1}'::regclass
); end $$
"""
FILLING = (
    "create trigger fills before insert on session_requests for each row execute function theirs()"
)
# Each view of ours, with a condition more.
REPLACED_VIEWS = [
    (
        "do $$ begin execute format('create or replace view dispatch.%1$I as select * from"
        f" (%2$s) as v where now() < %3$L', '{view}', rtrim("
        f"pg_get_viewdef('dispatch.{view}'::regclass), ';'), 'infinity'); end $$",
        {"views as they were made"},
    )
    for view in ("mechanics", "plans", "favorites", "requests", "payments", "exclusions", "metrics")
]
# What is broken, and the checks that see it. First the marketplace's, then the engine's, last the
# feature's.
BREAKAGES: list[tuple[str, set[str]]] = [
    ("alter type session_type rename value 'chat' to 'text'", {"type session_type"}),
    (
        "alter type session_request_status rename value 'completed' to 'done'",
        {"type session_request_status"},
    ),
    *(
        (f"alter table {table} rename column {column} to other", {f"table {table}"} | granted)
        for table, column, granted in (
            ("mechanics", "display_name", {"grants on mechanics", "views as they were made"}),
            ("customer_favorites", "created_at", {"views as they were made"}),
            ("service_plans", "title", {"views as they were made"}),
            (
                "session_requests",
                "is_urgent",
                {"grants on session_requests", "views as they were made"},
            ),
        )
    ),
    (
        f"{REQUESTS} alter column notes type varchar",
        {"table session_requests"},
    ),
    *(
        (f"alter table {table} alter {change}", {f"table {table}"})
        for table, change in (
            ("mechanics", "is_online drop not null"),
            ("mechanics", "updated_at drop default"),
            ("mechanics", "brands drop default"),
            ("customer_favorites", "created_at drop default"),
            ("service_plans", "price_cents drop not null"),
            ("session_requests", "id drop default"),
            ("session_requests", "metadata drop not null"),
            ("session_requests", "metadata set default '[]'"),
            ("session_requests", "status set default 'accepted'"),
            ("session_requests", "customer_id drop not null"),
        )
    ),
    (
        f"{REQUESTS} alter accepted_at set not null",
        {"table session_requests", "columns that a booking fills"},
    ),
    *(
        (f"{prepared}{REQUESTS} {change}", checks)
        for prepared, change, checks in (
            ("", "add mileage integer not null", {"columns that a booking fills"}),
            ("", "alter customer_name set not null", {"columns that a booking fills"}),
            (
                "create domain km as integer not null; ",
                "add mileage km",
                {"columns that a booking fills"},
            ),
            ("", "add mileage integer not null default 0", set[str]()),
            ("", "add mileage integer not null generated by default as identity", set[str]()),
            ("", "add mileage integer not null generated always as (1) stored", set[str]()),
            # It may fill it.
            (f"{THEIRS}; {FILLING}; ", "add mileage integer not null", set[str]()),
        )
    ),
    # What is the owner's to choose.
    ("alter table service_plans alter currency set default 'eur'", set()),
    ("alter table mechanics alter status set default 'approved'", set()),
    *(
        (f"alter table {table} drop constraint {name} cascade", {f"constraints of {table}"} | more)
        for table, name, more in (
            ("mechanics", "mechanics_brands_check", set[str]()),
            ("mechanics", "mechanics_id_fkey", set[str]()),
            ("mechanics", "mechanics_status_check", set[str]()),
            (
                "mechanics",
                "mechanics_pkey",
                {"constraints of customer_favorites", "foreign key preferred_mechanic_id"},
            ),
            ("customer_favorites", "customer_favorites_pkey", set[str]()),
            ("customer_favorites", "customer_favorites_mechanic_id_fkey", set[str]()),
            ("service_plans", "service_plans_pkey", set[str]()),
            ("service_plans", "service_plans_price_cents_check", set[str]()),
            ("session_requests", "session_requests_pkey", set[str]()),
            ("session_requests", "session_requests_customer_id_fkey", set[str]()),
            ("session_requests", "session_requests_mechanic_id_fkey", set[str]()),
        )
    ),
    *(
        (
            f"alter table {table} drop constraint {name}, add constraint {name} {other}",
            {f"constraints of {table}"},
        )
        for table, name, other in (
            ("mechanics", "mechanics_brands_check", "check (true)"),
            ("mechanics", "mechanics_city_check", "check (length(city) <= 100) not valid"),
            (
                "session_requests",
                "session_requests_mechanic_id_fkey",
                "foreign key (mechanic_id) references auth.users on delete cascade",
            ),
        )
    ),
    # More may be allowed.
    (
        "alter table mechanics drop constraint mechanics_status_check, add constraint"
        " mechanics_status_check check (status in ('pending', 'approved', 'suspended', 'away'))",
        set(),
    ),
    # As a load of data left it.
    ("alter table customer_favorites disable trigger all", {"constraints of customer_favorites"}),
    *(
        (breakage, {f"storage of {table}"})
        for table, breakage in (
            ("mechanics", "alter table mechanics owner to supabase_admin"),
            ("service_plans", "alter table service_plans owner to service_role"),
            ("customer_favorites", "alter table customer_favorites set unlogged"),
            ("service_plans", "create rule no as on update to service_plans do instead nothing"),
            ("session_requests", f"{REQUESTS} replica identity full"),
            ("session_requests", f"{REQUESTS} alter customer_id set statistics -1"),
            ("session_requests", f"{REQUESTS} set (autovacuum_enabled = off)"),
            ("mechanics", "alter table mechanics set (toast.autovacuum_enabled = off)"),
            ("mechanics", "alter table mechanics alter display_name set statistics 100"),
            (
                "customer_favorites",
                "alter table customer_favorites alter mechanic_id set statistics -1",
            ),
        )
    ),
    (
        f"{NO_BYPASS}; {REQUESTS} force row level security",
        {"row level security on session_requests", "rows of the marketplace"},
    ),
    # As one that was made anew for a restore.
    ("alter role postgres nobypassrls", {"rows of the marketplace"}),
    *(
        (f"alter table {table} disable row level security", {f"row level security on {table}"})
        for table in ("mechanics", "customer_favorites", "service_plans")
    ),
    (
        f"{REQUESTS} disable row level security",
        {"row level security on session_requests", "policies on the marketplace's tables"},
    ),
    *(
        (breakage, {f"grants on {table}"})
        for table, breakage in (
            ("mechanics", "grant update (status) on mechanics to authenticated"),
            ("mechanics", "grant update on mechanics to public"),
            ("mechanics", "revoke insert (city) on mechanics from authenticated"),
            ("customer_favorites", "revoke delete on customer_favorites from authenticated"),
            ("customer_favorites", "grant select on customer_favorites to anon"),
            ("service_plans", "revoke select on service_plans from anon"),
            ("session_requests", f"grant select on {TABLE} to authenticated"),
            ("session_requests", f"grant select (notes) on {TABLE} to authenticated"),
            ("session_requests", f"grant update (status) on {TABLE} to authenticated"),
            ("session_requests", f"revoke select (status) on {TABLE} from authenticated"),
            ("session_requests", f"revoke insert on {TABLE} from service_role"),
            ("session_requests", f"revoke all on {TABLE} from service_role"),
            ("mechanics", "revoke all on mechanics from service_role"),
            ("session_requests", f"grant truncate on {TABLE} to anon"),
        )
    ),
    *(
        (breakage, {"grants on session_requests", "grants on the columns"})
        for breakage in (
            f"grant update on {TABLE} to authenticated",
            f"revoke select on {TABLE} from authenticated",
        )
    ),
    *(
        (breakage, {f"policy {table}_{kind}", "policies on the marketplace's tables"})
        for table, kinds in POLICIES.items()
        for kind in kinds
        for breakage in (
            f"drop policy {table}_{kind} on {table}",
            f"alter policy {table}_{kind} on {table} to public",
            f"alter policy {table}_{kind} on {table}"
            f" {'with check' if kind == 'insert' else 'using'} (true)",
        )
    ),
    *(
        (f"drop index {name}; {again}", {f"index {name}"})
        for name in (
            "session_requests_stripe_checkout_session_id_key",
            "session_requests_stripe_payment_intent_idx",
            "session_requests_customer_id_idx",
            "session_requests_mechanic_id_idx",
            "session_requests_open_idx",
            "session_requests_expiry_idx",
            "session_requests_unsettled_idx",
        )
        for again in ("", f"create index {name} on session_requests (id)")
    ),
    (
        f"drop index {CHECKOUT_KEY}; create index {CHECKOUT_KEY} on session_requests"
        " ((metadata ->> 'stripe_checkout_session_id'))"
        " where (metadata ->> 'stripe_checkout_session_id') is not null",
        {f"index {CHECKOUT_KEY}"},
    ),
    ("drop index mechanics_online_idx", {"index mechanics_online_idx"}),
    ("drop index customer_favorites_mechanic_id_idx", {"index customer_favorites_mechanic_id_idx"}),
    *(
        (
            f"alter view dispatch.{view} rename column {column} to other",
            {f"binding dispatch.{view}"} | views,
        )
        for view, column, views in (
            ("mechanics", "city", {"views as they were made"}),
            ("plans", "title", {"views as they were made"}),
            ("favorites", "favorited_at", {"views as they were made"}),
            ("requests", "requested_brand", {"views as they were made"}),
            ("payments", "payment_intent", {"views as they were made"}),
        )
    ),
    *(
        (
            f"drop function dispatch.{name}()",
            {f"binding dispatch.{name}", "immutable functions", FUNCTIONS, *others},
        )
        for name, others in (
            ("assigns_user_id", ()),
            (
                "approval_columns",
                ("trigger mechanics_note_turns", "trigger mechanics_release_windows"),
            ),
            ("feed_is_private", ()),
            ("taken_off", ()),
            ("open_to", ()),
        )
    ),
    *(
        (
            f"alter function dispatch.{name}() volatile",
            {f"binding dispatch.{name}", "immutable functions"},
        )
        for name in (
            "assigns_user_id",
            "approval_columns",
            "feed_is_private",
            "taken_off",
            "open_to",
        )
    ),
    *(
        (
            f"create or replace function dispatch.{name}() returns boolean language sql immutable"
            f" set search_path = pg_catalog, pg_temp as 'select {value}'",
            {FUNCTIONS} | binding,
        )
        for name, value, binding in (
            ("governs_all", "null::boolean", {"binding dispatch.governs_all"}),
            ("assigns_user_id", "null::boolean", {"binding dispatch.assigns_user_id"}),
            ("assigns_user_id", "false", set[str]()),
            ("feed_is_private", "false", set[str]()),
        )
    ),
    (
        "alter view dispatch.metrics rename column requests_total to requests",
        {"sequences and views of dispatch", "views as they were made"},
    ),
    *REPLACED_VIEWS,
    ("comment on view dispatch.payments is null", {"views as they were made"}),
    (
        "alter function dispatch.governs_all() volatile",
        {"binding dispatch.governs_all", "immutable functions"},
    ),
    (
        "drop function dispatch.governs_all()",
        {
            "binding dispatch.governs_all",
            "immutable functions",
            FUNCTIONS,
            # As if there were no engine.
            "policy session_requests_select",
            "policy mechanics_select",
            "trigger mechanics_note_turns",
            "trigger mechanics_release_windows",
        },
    ),
    *(
        (breakage, {"schema dispatch"})
        for breakage in (
            "revoke usage on schema dispatch from authenticated",
            "revoke usage on schema dispatch from service_role",
            "grant usage on schema dispatch to anon",
            "grant create on schema dispatch to authenticated",
            "grant create on schema dispatch to anon",
        )
    ),
    (
        "create table dispatch.more ()",
        {"tables of dispatch", "row level security in dispatch", "storage of dispatch"},
    ),
    *(
        (
            f"alter table dispatch.{table} disable row level security",
            {"row level security in dispatch"},
        )
        for table in TABLES
    ),
    *(
        (f"grant {grant}", {"grants in dispatch"})
        for grant in (
            "select on dispatch.request_events to authenticated",
            "select (id) on dispatch.stripe_events to service_role",
            "delete on dispatch.windows to service_role",
            "usage on sequence dispatch.last_delivery to anon",
        )
    ),
    (
        "grant select on dispatch.mechanics to public",
        {"grants in dispatch", "role webhook_app", "role push_app", "role hub_app"},
    ),
    *(
        (breakage.format(f"dispatch.{table}"), {"row level security in dispatch"})
        for table in TABLES
        for breakage in (
            f"drop policy {table}_nobody on {{}}",
            f"alter policy {table}_nobody on {{}} using (true)",
            "create policy everyone on {} using (true)",
        )
    ),
    *(
        (breakage, {"storage of dispatch"})
        for breakage in (
            "alter table dispatch.windows owner to supabase_admin",
            "alter view dispatch.metrics owner to supabase_admin",
            "alter sequence dispatch.last_delivery owner to supabase_admin",
            "alter table dispatch.stripe_events set unlogged",
            "alter table dispatch.request_events set (autovacuum_enabled = off)",
            "alter table dispatch.stripe_events set (toast.autovacuum_enabled = off)",
            "alter sequence dispatch.request_events_id_seq set unlogged",
            "create rule r as on update to dispatch.requests do instead nothing",
            "create rule no as on insert to dispatch.request_events do instead nothing",
            "alter table dispatch.pushes add check (attempts < 5) not valid",
            "create unique index on dispatch.devices (user_id)",
            f"{THEIRS}; create trigger no before insert on dispatch.request_events"
            " for each row execute function theirs()",
            "alter view dispatch.metrics set (security_invoker = true)",
        )
    ),
    (
        f"{NO_BYPASS}; alter table dispatch.request_events force row level security",
        {"storage of dispatch"},
    ),
    # As "reindex … concurrently" has one meanwhile, and leaves it where it is stopped.
    ("create unique index on dispatch.request_events (id)", set()),
    *(
        (breakage, {"sequences and views of dispatch"})
        for breakage in (
            "drop sequence dispatch.scheduled_at",
            "drop sequence dispatch.last_delivery",
            "drop sequence dispatch.last_refusal",
            "drop view dispatch.metrics",
            "drop view dispatch.exclusions cascade",
            *(
                f"alter sequence dispatch.request_events_id_seq {change}"
                for change in ("cache 32", "increment 5", "cycle", "maxvalue 2147483647")
            ),
            "alter sequence dispatch.pushes_id_seq as integer",
        )
    ),
    *(
        (f"alter table dispatch.{table} alter {change}", {f"table dispatch.{table}"})
        for table, change in (
            ("request_events", "topics drop not null"),
            ("request_events", "topics drop default"),
            ("request_events", "created_at set default '2000-01-01'"),
            ("request_events", "actor_id set not null"),
            ("request_events", "id set generated by default"),
            ("stripe_events", "received_at drop default"),
            ("stripe_events", "error set default ''"),
            ("windows", "ends_at drop not null"),
            ("presence", "is_online drop not null"),
            ("steps", "turn set default 1"),
            ("unanswered", "windows drop not null"),
        )
    ),
    (
        "alter table dispatch.request_events alter id drop identity",
        {"table dispatch.request_events", "sequences and views of dispatch", "ids to come"},
    ),
    # As a copy by logical replication leaves it.
    *(
        (
            f"insert into dispatch.{table} ({columns}) overriding system value"
            f" select last_value + 2, {values} from dispatch.{table}_id_seq",
            {"ids to come"},
        )
        for table, columns, values in (
            ("request_events", "id, request_id, event, payload", "gen_random_uuid(), 'x', '{}'"),
            (
                "pushes",
                "id, event_id, request_id, due_at, expires_at",
                "1, gen_random_uuid(), now(), now()",
            ),
        )
    ),
    *(
        (f"alter table dispatch.{table} {change}", {f"table dispatch.{table}"})
        for table, change in (
            ("request_events", "rename column payload to other"),
            ("stripe_events", "rename column error to other"),
            ("windows", "alter column ends_at type timestamp"),
            ("windows", "alter column announced_at type timestamptz(0)"),
            ("presence", "rename column is_online to other"),
            ("found_before", "alter column what type varchar"),
            ("steps", "alter column window_minutes type bigint"),
            ("devices", "rename column auth to other"),
            ("pushes", "rename column status to other"),
            ("windows", "add column more integer not null"),
            ("blocks", "alter column created_at drop default"),
        )
    ),
    *(
        (
            f"alter table dispatch.{table} drop constraint {table}_pkey",
            {f"key of dispatch.{table}"},
        )
        for table in TABLES
    ),
    *(
        (f"drop index {name}", {f"index {name}"})
        for name in (
            "dispatch.request_events_excluded_idx",
            "dispatch.request_events_first_topic_idx",
            "dispatch.request_events_undelivered_idx",
            "dispatch.stripe_events_unprocessed_idx",
            "dispatch.stripe_events_received_at_idx",
            "dispatch.stripe_events_subject_idx",
            "dispatch.windows_ends_at_idx",
            "dispatch.steps_mechanic_id_idx",
            "dispatch.devices_user_id_idx",
            "dispatch.pushes_due_idx",
            "dispatch.pushes_event_id_idx",
            "dispatch.pushes_unaddressed_idx",
            "dispatch.pushes_finished_at_idx",
            "public.mechanics_matches_idx",
        )
    ),
    *(
        (breakage, {"role webhook_app"})
        for breakage in (
            "revoke execute on function process_stripe_event from webhook_app",
            "revoke execute on function dispatch.process_stripe_event from webhook_app",
            "revoke usage on schema dispatch from webhook_app",
            "grant execute on function dispatch.sweep to webhook_app",
            "grant select on dispatch.stripe_events to webhook_app",
            "grant service_role to webhook_app",
            "grant delete on dispatch.windows to webhook_app",
            "grant usage on sequence dispatch.last_delivery to webhook_app",
            f"grant select on {TABLE} to webhook_app",
            f"grant select (notes) on {TABLE} to webhook_app",
            "grant execute on function accept_session_request to webhook_app",
            "create table of_its_own (); alter table of_its_own owner to webhook_app",
            "grant all on database postgres to webhook_app",
            "alter role webhook_app bypassrls",
            "alter role webhook_app valid until '2020-01-01'",
            "alter role webhook_app connection limit 0",
        )
    ),
    *(
        (breakage, {"roles of clients", "role webhook_app", "role push_app", "role hub_app"})
        for breakage in (
            "revoke connect on database postgres from public",
            "alter database postgres connection limit 0",
        )
    ),
    # Who does not log in may use the service role instead.
    ("alter role webhook_app nologin", set()),
    # One that was made anew, as for another password; and who may not log in is no app.
    *(
        (f"alter role {role} rename to other_{role}; create role {role} {login}", checks)
        for role in ("webhook_app", "push_app", "hub_app")
        for login, checks in (("login", {f"role {role}"}), ("", set[str]()))
    ),
    *(
        (f"revoke usage on schema {schema} from {role}, public", {"schemas of clients"})
        for schema, role in (
            ("public", "authenticated"),
            ("public", "service_role"),
            ("auth", "authenticated"),
            ("auth", "postgres, authenticated"),
        )
    ),
    *(
        (breakage, {"roles of clients"})
        for breakage in (
            "alter role authenticated bypassrls",
            "alter role anon bypassrls",
            "alter role service_role nobypassrls",
            "grant supabase_admin to anon",
            "revoke authenticated from authenticator",
            "revoke anon, service_role from authenticator",
            "alter role authenticator valid until '2020-01-01'",
            "alter role authenticator nologin",
        )
    ),
    *(
        (f"alter role authenticator{of} set pgrst.db_schemas = {shown}", failing)
        for of, shown, failing in (
            ("", "'api, graphql_public'", {"schemas of PostgREST"}),
            (" in database postgres", "'public, dispatch'", {"schemas of PostgREST"}),
            (" in database template1", "'api'", set[str]()),
            ("", "'graphql_public, public'", set[str]()),
        )
    ),
    *(
        (breakage, {"rights of the owner"})
        for breakage in (
            "revoke usage on sequence dispatch.last_delivery from postgres",
            "revoke insert, update on dispatch.request_events from postgres",
            "revoke execute on function dispatch.record_event from postgres",
            "revoke update on auth.users from postgres",
            "drop function auth.jwt()",
            "revoke execute on function pg_advisory_xact_lock(int, int) from public",
            "revoke pg_read_all_data from postgres; revoke select on pg_locks from public",
        )
    ),
    *(
        (breakage, {"settings of roles"})
        for breakage in (
            "alter role postgres set session_replication_role = replica",
            "alter role authenticated set default_transaction_isolation = serializable",
            "alter role authenticated in database postgres set row_security = off",
            "alter role authenticator set pgrst.db_tx_end = 'rollback-allow-override'",
            "alter database postgres set role = 'anon'",
            # In other words.
            "alter role authenticated set row_security = false",
            "alter role service_role set default_transaction_isolation = 'REPEATABLE READ'",
            "alter role webhook_app set default_transaction_read_only = 1",
            "alter database postgres set standard_conforming_strings = no",
            "alter database postgres set track_counts = off",
            "alter role authenticator set pgrst.db_plan_enabled = 'true'",
            # As an app's login may set for itself.
            "alter role webhook_app set local_preload_libraries = 'none_such'",
            "alter role webhook_app set restrict_nonsystem_relation_kind = 'foreign-table, view'",
            "alter role authenticator set pgrst.db_pre_request = 'public.gone'",
        )
    ),
    # Hosted Supabase has the likes of these.
    (
        "alter role authenticated set statement_timeout = '8s';"
        " alter role postgres set search_path = 'public', 'extensions';"
        " create function public.\"Before\"() returns void language sql as '';"
        " alter role authenticator set pgrst.db_pre_request = 'public.\"Before\"'",
        set(),
    ),
    *(
        (breakage, {"grants of Realtime"})
        for breakage in (
            "revoke select on realtime.messages from authenticated",
            "revoke usage on schema realtime from authenticated, public",
            "revoke execute on function realtime.topic() from authenticated, public",
            "alter function realtime.send owner to supabase_admin;"
            " revoke execute on function realtime.send"
            " from postgres, anon, authenticated, service_role, public",
            "drop function realtime.send(jsonb, text, text, boolean)",
            "alter function realtime.send(jsonb, text, text, boolean) rename to send_one",
        )
    ),
    *(
        (breakage, {"role push_app"})
        for breakage in (
            "revoke execute on function claim_pushes from push_app",
            "revoke execute on function dispatch.record_answers from push_app",
            "revoke usage on schema dispatch from push_app",
            "grant execute on function dispatch.sweep to push_app",
            "grant select (id) on mechanics to push_app",
        )
    ),
    *(
        (breakage, {"role webhook_app", "role push_app", "role hub_app"})
        for breakage in (
            "grant create on schema public to public",
            "create schema another; grant create on schema another to public",
        )
    ),
    *(
        (breakage, {"role hub_app"})
        for breakage in (
            "revoke execute on function dispatch.hear_events from hub_app",
            "grant execute on function dispatch.list_request_events to hub_app",
            "grant select on dispatch.request_events to hub_app",
            "grant authenticated to hub_app",
        )
    ),
    (
        "do $$ begin if to_regrole('dispatch_monitor') is null then create role dispatch_monitor;"
        " end if; end $$; grant usage on schema dispatch to dispatch_monitor",
        {"role dispatch_monitor"},
    ),
    (
        f"{REQUESTS} rename column priority_notified_at to other",
        {
            "views as they were made",
            "column priority_notified_at",
            "index session_requests_priority_notified_idx",
            "index session_requests_priority_deadline_idx",
            "binding of the window",
            "grants on the columns",
        },
    ),
    (
        f"revoke select (priority_notified_at) on {TABLE} from authenticated",
        {"grants on the columns"},
    ),
    *(
        (f"{REQUESTS} alter column {name} set default {value}", {f"column {name}"})
        for name, value in (
            ("preferred_mechanic_id", "gen_random_uuid()"),
            ("priority_window_minutes", "10"),
            ("priority_notified_at", "now()"),
        )
    ),
    (
        f"{REQUESTS} alter priority_notified_at set not null",
        {"column priority_notified_at", "columns that a booking fills"},
    ),
    (
        f"{REQUESTS} alter preferred_mechanic_id set statistics 100",
        {"column preferred_mechanic_id"},
    ),
    (
        "comment on column dispatch.found_before.what is '{noted by up.sql,an index}';"
        " delete from dispatch.found_before",
        {"what was here before"},
    ),
    *(
        (breakage, {"foreign key preferred_mechanic_id"})
        for breakage in (
            f"{REQUESTS} drop constraint {FOREIGN_KEY}",
            f"{ADD_KEY} on delete cascade",
            f"{ADD_KEY} on delete set null not valid",
        )
    ),
    *(
        (f"drop index {name}; {again}", {f"index {name}"})
        for name in (
            "session_requests_preferred_mechanic_idx",
            "session_requests_priority_notified_idx",
        )
        for again in ("", f"create index {name} on session_requests (id)")
    ),
    *(
        (breakage, {"index session_requests_priority_deadline_idx", "plan of the sweep"})
        for breakage in (f"drop index {DEADLINE}", f"drop index {DEADLINE}; {EARLIER_INDEX}")
    ),
    ("select dispatch.bind_requests(false)", {"binding of the window", "plan of the sweep"}),
    ("drop function dispatch.set_favorites_priority(boolean)", {"setter of the flag"}),
    (
        without("dispatch.set_favorites_priority(boolean)", "favorites_priority_enabled"),
        {"setter of the flag", FUNCTIONS},
    ),
    *(
        (breakage, {FUNCTIONS})
        for breakage in (
            "drop function dispatch.record_event",
            "drop function dispatch.sweep",
            "drop function dispatch.insert_request",
            without("dispatch.sweep(integer, timestamptz)", "dispatch.last_delivery"),
            without("dispatch.guard_request()", "old.status"),
            # Those that are made for the columns that there are.
            without("dispatch.as_request(anyelement)", "window_minutes"),
            without("dispatch.assign_request(uuid, uuid)", "pending"),
            without("dispatch.unassign_request(uuid)", "mechanic_id"),
            without("dispatch.is_open_to(uuid, uuid)", "claim_to_be"),
            "comment on function dispatch.assign_request is null",
            "alter function dispatch.next_event_id strict",
            "alter function dispatch.deliver_events set role = 'anon'",
            "alter function dispatch.expire_requests reset enable_sort",
            "create or replace function dispatch.favorites_priority_enabled() returns boolean"
            " language plpgsql immutable set search_path = pg_catalog, pg_temp"
            " as 'begin return random() < 0.5; end'",
            "create or replace function dispatch.expected_stripe_event() returns jsonb"
            " language plpgsql immutable set search_path = pg_catalog, pg_temp"
            " as 'begin return null; end'",
            "create or replace function dispatch.push_services() returns text[]"
            " language plpgsql immutable set search_path = pg_catalog, pg_temp"
            " as 'begin return null; end'",
        )
    ),
    *(
        (
            f"do $$ begin execute replace(pg_get_functiondef('{name}'::regproc),"
            f" $q$DEFAULT {default}$q$, $q$DEFAULT {another}$q$); end $$",
            {FUNCTIONS},
        )
        for name, default, another in (
            ("public.prepare_checkout", "'broadcast'", "'priority_broadcast'"),
            ("dispatch.take_pushes", "'00:00:30'", "'00:30:00'"),
        )
    ),
    (
        "alter function dispatch.sweep owner to supabase_auth_admin",
        {"owner of the functions"},
    ),
    *(
        (f"alter function dispatch.{function} {path}", {"search_path of the functions"})
        for function, path in (
            ("guard_request()", "reset search_path"),
            ("guard_request()", "set search_path = ''"),
            ("guard_request()", "set search_path = pg_catalog, public, extensions, pg_temp"),
            ("live_on", "set search_path = public"),
        )
    ),
    (
        "alter function dispatch.accept_request(uuid) security invoker",
        {"security definer functions"},
    ),
    ("alter function dispatch.sweep security definer", {"security definer functions"}),
    # What sql/api_schema.sql would have made of an RPC that is no longer there.
    (
        "create schema api; create function api.list_requests() returns int language sql"
        " as 'select 1 -- sql/api_schema.sql'",
        {"RPCs in another schema"},
    ),
    ("grant execute on function dispatch.health to anon", {"functions open to anon"}),
    *(
        (f"grant execute on function {function} to {role}", {f"functions open to {role}"})
        for function, role in (
            ("dispatch.set_favorites_priority(boolean)", "authenticated"),
            ("dispatch.accept_request", "service_role"),
            ("dispatch.sweep_round", "service_role"),
        )
    ),
    (
        "do $$ begin if to_regrole('dispatch_monitor') is null then create role dispatch_monitor;"
        " end if; end $$; grant execute on function dispatch.health to public",
        {"role webhook_app", "role push_app", "role hub_app", "role dispatch_monitor"}
        | {f"functions open to {role}" for role in ("anon", "authenticated", "service_role")},
    ),
    (
        "revoke execute on function dispatch.may_see_request from authenticated",
        {"functions open to authenticated"},
    ),
    (
        "revoke execute on function dispatch.process_stripe_event from service_role",
        {"functions open to service_role"},
    ),
    ("alter function dispatch.refusal volatile", {"stable functions"}),
    ("alter function dispatch.sweep stable", {"stable functions"}),
    ("alter function dispatch.to_uuid volatile", {"immutable functions"}),
    *(
        (f"alter function public.{path.stem[7:]} security definer", {f"rpc {path.stem}"})
        for path in sorted((ROOT / "functions").glob("*/public.*.sql"))
    ),
    *(
        (breakage, {f"rpc public.{name}"})
        for name, breakage in (
            ("accept_session_request", "alter function accept_session_request stable"),
            ("get_mechanic_status", "alter function get_mechanic_status volatile"),
            ("set_presence", "revoke execute on function set_presence from authenticated"),
            ("set_presence", "alter function set_presence owner to supabase_auth_admin"),
            ("process_stripe_event", "grant execute on function process_stripe_event to anon"),
        )
    ),
    # PostgREST does not know which of two is meant.
    (
        "create function set_presence(status text, device text default null) returns text"
        " language sql as 'select status'",
        {"rpc public.set_presence", FUNCTIONS},
    ),
    *(
        (f"{REQUESTS} disable trigger {name}", {f"trigger {name}"})
        for name in (
            "session_requests_route",
            "session_requests_guard",
            "session_requests_log_insert",
            "session_requests_log_update",
            "session_requests_log_delete",
        )
    ),
    ("drop trigger session_requests_route on session_requests", {"trigger session_requests_route"}),
    *(
        (ALTERED.format(name, table, pattern, to), {f"trigger {name}"})
        for name, table in (
            ("session_requests_route", TABLE),
            ("session_requests_guard", TABLE),
            ("session_requests_log_insert", TABLE),
            ("session_requests_log_update", TABLE),
            ("session_requests_log_delete", TABLE),
            ("mechanics_release_windows", "mechanics"),
            ("mechanics_note_turns", "mechanics"),
            ("mechanics_note_last_turns", "mechanics"),
        )
        for pattern, to in (
            ("ROW (WHEN .* )?EXECUTE", "ROW WHEN (false) EXECUTE"),
            ("EXECUTE .*", "EXECUTE FUNCTION public.noop()"),
        )
    ),
    (
        ALTERED.format("session_requests_guard", TABLE, " UPDATE ON", " UPDATE OF notes ON"),
        {"trigger session_requests_guard"},
    ),
    (
        "alter table mechanics disable trigger mechanics_release_windows",
        {"trigger mechanics_release_windows"},
    ),
    (
        "drop trigger mechanics_release_windows on mechanics",
        {"trigger mechanics_release_windows", "policies on the marketplace's tables"},
    ),
    *(
        (breakage, {"policies on the marketplace's tables"})
        for breakage in (
            OPEN_POLICY,
            "comment on trigger mechanics_release_windows on mechanics is null",
        )
    ),
    *(
        (f"alter publication supabase_realtime {change}", {"table changes by Realtime"})
        for change in (
            "drop table session_requests",
            "set table session_requests where (false)",
            "set table session_requests (id, status)",
            "set (publish = 'insert')",
            "set (publish = 'update, delete')",
        )
    ),
    ("drop publication supabase_realtime", {"table changes by Realtime"}),
    # Each accept is refused, or no notice is ever noted as sent.
    (
        f"{REQUESTS} replica identity nothing",
        {"storage of session_requests", "publications of the tables"},
    ),
    *(
        (f"create publication report {tables}", checks)
        for tables, checks in (
            ("for table dispatch.request_events (event)", {"publications of the tables"}),
            ("for table mechanics where (status = 'approved')", {"publications of the tables"}),
            ("for table dispatch.request_events (id, event)", set[str]()),
            ("for all tables", set[str]()),
        )
    ),
    (
        "drop function dispatch.refused_output_plugins()",
        {"stable functions", "output plugins of Realtime", FUNCTIONS},
    ),
    *(
        (
            f"drop policy dispatch_topics_{name} on realtime.messages",
            {f"policy dispatch_topics_{name}"},
        )
        for name in ("join", "send", "only", "not_anon")
    ),
    *(
        (
            f"alter policy dispatch_topics_{name} on realtime.messages {to}",
            {f"policy dispatch_topics_{name}"},
        )
        for name, to in (
            ("join", "using (true)"),
            ("send", "to public"),
            ("only", "with check (true)"),
            ("not_anon", "using (true)"),
        )
    ),
    *(
        (f"set role postgres; select {change}", {f"cron job {job}"})
        for job in ("dispatch-sweep", "dispatch-start", "dispatch-retention")
        for change in (
            f"cron.unschedule('{job}')",
            f"cron.alter_job(jobid, active := false) from cron.job where jobname = '{job}'",
        )
    ),
    *(
        (
            "alter table cron.job disable trigger all;"
            f" update cron.job set {change} where jobname = '{job}'",
            {f"cron job {job}"},
        )
        for job in ("dispatch-sweep", "dispatch-start", "dispatch-retention")
        for change in (
            "username = 'anon'",
            "username = 'nobody_of_this_name'",
            "nodeport = 1",
            "database = 'template1'",
            "command = 'select 1'",
        )
    ),
    *(
        (
            "alter table cron.job disable trigger all; update cron.job"
            f" set command = replace(command, '90 seconds', '9 seconds') where jobname = '{job}'",
            {f"cron job {job}"},
        )
        for job in ("dispatch-sweep", "dispatch-start")
    ),
    (
        "insert into cron.job"
        " (schedule, command, nodename, nodeport, database, username, active, jobname)"
        " select schedule, command, nodename, nodeport, database, 'supabase_admin', true, jobname"
        " from cron.job where jobname = 'dispatch-sweep'",
        {"cron job dispatch-sweep"},
    ),
    *(
        (
            f"{LONG_AGO}; {WITHOUT_RUNS}; insert into cron.job_run_details"
            " (jobid, runid, status, start_time)"
            f" select jobid, 1, '{status}', now() - interval '{ago}' from cron.job"
            " where jobname = 'dispatch-sweep'",
            {"runs of dispatch-sweep"},
        )
        for status, ago in (("failed", "1 second"), ("succeeded", "4 minutes"))
    ),
    # None ever began, though the job is there for long; or this is a copy of where they are begun.
    (
        f"{LONG_AGO}; {WITHOUT_RUNS}; select setval('dispatch.scheduled_at', 1);"
        f" {INSTEAD.format('pg_stat_activity', '*', 'where query !~ $$sweep_round$$')}",
        {"runs of dispatch-sweep"},
    ),
    (
        INSTEAD.format(
            "pg_settings",
            "name, case name when 'cron.database_name' then 'original' else setting end as setting,"
            " source, boot_val",
            "",
        ),
        {"runs of dispatch-sweep"},
    ),
    (
        "update pg_database set datcollversion = '1' where datname = current_database()",
        {"order of texts"},
    ),
    (
        "insert into dispatch.request_events (request_id, event, payload, created_at)"
        " values (gen_random_uuid(), 'new_request', '{}', now() + interval '1 hour')",
        {"clock"},
    ),
    ("set timezone = 'UCT8'", {"time zone"}),
    (
        without("dispatch.favorites_priority_enabled()", "return false").replace(
            "'created_at'", "'return null'"
        ),
        {"flag ENABLE_FAVORITES_PRIORITY", FUNCTIONS},
    ),
]


TRIGGERS = (
    "00_dispatch_guard",
    "zzz_dispatch_guard",
    "zzz_dispatch_open_window",
    "00_dispatch_log_insert",
    "00_dispatch_log_update",
    "00_dispatch_log_delete",
)
WITHOUT_CONDITION = """
do $$ begin execute (
    select regexp_replace(pg_get_triggerdef(oid), 'CREATE (.*) WHEN .* EXECUTE',
    'CREATE OR REPLACE \\1 EXECUTE') from pg_trigger where tgname = '{}'
); end $$
"""
WRITES_AGAIN = THEIRS.replace("begin", "begin update session_requests set status = status;")
LATE = "create trigger zzzz before {} on session_requests for each row execute function theirs()"
# The same on a marketplace that was there first: what only such a one has.
BREAKAGES_ON_THEIRS: list[tuple[str, set[str]]] = [
    *REPLACED_VIEWS,
    *(
        (breakage, {f"trigger {name}"})
        for name, view in (
            ("mechanics_remember_presence", "mechanics"),
            ("requests_announce", "requests"),
        )
        for breakage in (
            f"drop trigger {name} on dispatch.{view}",
            ALTERED.format(name, f"dispatch.{view}", "EXECUTE .*", "EXECUTE FUNCTION noop()"),
        )
    ),
    (
        ALTERED.format("mechanics_release_windows", "mechanics", " WHEN .* EXEC", " EXEC"),
        {"trigger mechanics_release_windows"},
    ),
    *(
        (f"drop index dispatch.{name}", {f"index dispatch.{name}"})
        for name in (
            "stripe_events_checkout_key",
            "stripe_events_payment_idx",
            "stripe_events_request_id_idx",
        )
    ),
    (
        "drop index dispatch.stripe_events_checkout_key;"
        " create index stripe_events_checkout_key on dispatch.stripe_events"
        " ((payload #>> '{data,object,id}')) where outcome = 'request_created'",
        {"index dispatch.stripe_events_checkout_key"},
    ),
    (
        "drop index dispatch.windows_ends_at_idx",
        {"index dispatch.windows_ends_at_idx", "plan of the sweep"},
    ),
    *(
        (f"{REQUESTS} {change}", {"columns of session_requests"})
        for change in (
            "drop column customer_name",
            "rename customer_email to buyer",
            "alter customer_name type integer using null",
            "drop customer_name, add customer_name text generated always as ('x') stored",
            "drop customer_email, add customer_email text[]",
        )
    ),
    (
        f"create publication report for table {TABLE} where (status = 'accepted')",
        {"publications of the tables"},
    ),
    # Changed in the database, and up.sql not run.
    *(
        (
            f"create or replace function dispatch.{name}() returns {kind} language sql immutable"
            f" set search_path = pg_catalog, pg_temp as $$ select {other} $$",
            {"columns of session_requests"},
        )
        for name, kind, other in (
            ("taken_off", "text", "'r.is_urgent'"),
            ("open_to", "text", "'is_urgent'"),
            ("open_to", "text", "'is_gone'"),
            ("assigns_user_id", "boolean", "false"),
        )
    ),
    *(
        (f"{REQUESTS} {change}", {"columns of session_requests", "views as they were made"})
        for change in ("rename accepted_at to taken_at", "rename expires_at to ends_at")
    ),
    *(
        (
            f"{REQUESTS} drop constraint session_requests_status_check,"
            f" add constraint other check (status in ({words}))",
            {"words of a status"},
        )
        for words in (
            "'pending', 'taken', 'cancelled', 'expired', 'completed'",
            "'pending', 'accepted', 'canceled', 'expired', 'completed'",
        )
    ),
    (
        "revoke update on mechanics from postgres, authenticated, service_role",
        {"rights of the owner"},
    ),
    *(
        (
            "create role new_owner; grant all on schema public to new_owner;"
            f" alter table {table} owner to new_owner",
            {"rights of the owner"},
        )
        for table in ("mechanics", "session_requests")
    ),
    *(
        (f"drop index {name}; {again}", {f"index {name}"})
        for name in (
            "session_requests_preferred_mechanic_idx",
            "session_requests_priority_notified_idx",
        )
        for again in ("", f"create index {name} on session_requests (id)")
    ),
    *(
        (breakage, {f"trigger {name}"})
        for name in TRIGGERS
        for breakage in (
            f'drop trigger "{name}" on session_requests',
            f'{REQUESTS} disable trigger "{name}"',
            WITHOUT_CONDITION.format(name),
        )
    ),
    *(
        (f"{THEIRS}; {breakage}", checks)
        for breakage, checks in (
            (LATE.format("update"), {"order of the triggers"}),
            (LATE.format("insert"), {"order of the triggers"}),
            (LATE.format("insert or update of status"), {"order of the triggers"}),
            (LATE.format("update").replace("zzzz", '"00_cancel"'), {"order of the triggers"}),
            # These do not come between, by what they do or by when.
            (LATE.format("insert").replace("zzzz before", '"00_audit" after'), set[str]()),
            (LATE.format("delete"), set[str]()),
            (LATE.format("insert").replace("before", "after"), set[str]()),
            (LATE.format("insert").replace("zzzz", '"00_cancel"'), set[str]()),
            (LATE.format("update").replace("zzzz", "zzz"), set[str]()),
        )
    ),
    # What waits for the commit comes after ours by any name.
    (
        f"{WRITES_AGAIN};"
        ' create constraint trigger "00_cancel" after update on session_requests'
        " deferrable initially deferred for each row execute function theirs()",
        set[str](),
    ),
    *(
        (
            f"{THEIRS.replace('begin', f'begin {write};')};"
            f""" {LATE.format(moment).replace("zzzz before", '"00_assign" after')}""",
            {"order of the triggers"},
        )
        for moment, write in (
            ("insert", "update session_requests set status = status where id = new.id"),
            ("update", 'insert into "public"."session_requests" default values'),
            ("delete", "delete\n from only public.session_requests"),
        )
    ),
    *(
        (breakage, {"policy dispatch_reserved", "policies on the marketplace's tables"})
        for breakage in (
            "drop policy dispatch_reserved on session_requests",
            "alter policy dispatch_reserved on session_requests using (true)",
            # As it was once: where it binds the owner it was asked without an end.
            "alter policy dispatch_reserved on session_requests"
            " using (not dispatch.favorites_priority_enabled() or priority_notified_at is null"
            " or status <> 'pending' or not dispatch.is_reserved_for_another(id))",
            # And before that: with the flag off, too, it came before theirs in each plan.
            "alter policy dispatch_reserved on session_requests using (priority_notified_at is null"
            " or status <> 'pending' or not dispatch.is_reserved_for_another(id))",
            "alter policy dispatch_reserved on session_requests to authenticated",
        )
    ),
    ("alter role postgres nobypassrls", {"rows of the marketplace"}),
    *(
        (
            f"{NO_BYPASS}; alter table {table} force row level security",
            {"rows of the marketplace"},
        )
        for table in (TABLE, "mechanics")
    ),
    # Here the owner is told of all: by a policy of its own.
    (
        f"{NO_BYPASS}; {REQUESTS} force row level security;"
        " create policy owners on session_requests to postgres using (true)",
        {"policies on the marketplace's tables"},
    ),
    # But may write nothing.
    (
        f"{NO_BYPASS}; {REQUESTS} force row level security;"
        " create policy owners on session_requests for select to postgres using (true)",
        {"policies on the marketplace's tables", "rows of the marketplace"},
    ),
    *(
        (f"revoke execute on function dispatch.{name} from public", {f"grant on {name}"})
        for name in ("favorites_priority_enabled", "is_reserved_for_another")
    ),
    (f"{REQUESTS} disable row level security", {"policies on the marketplace's tables"}),
    (OPEN_POLICY, {"policies on the marketplace's tables"}),
    # What clients may do with their tables is theirs to say.
    (f"grant all on {TABLE} to authenticated", set()),
]


def failed(result: subprocess.CompletedProcess[str]) -> set[str]:
    """The checks that failed, as the table shows them; the error must name the same."""
    table = set(re.findall(r"^ FAILED \| (.+?) +\|", result.stdout, re.MULTILINE))
    error = re.search(r"verify failed: (.*)", result.stderr)
    assert table == set(error[1].split(", ") if error else ())
    assert result.returncode == (3 if error else 0), result.stderr
    return table


def passed(result: subprocess.CompletedProcess[str]) -> set[str]:
    assert result.returncode == 0, result.stdout + result.stderr
    return set(re.findall(r"^ ok +\| (.+?) +\|", result.stdout, re.MULTILINE))


@pytest.fixture(scope="module")
def theirs(cluster: Cluster) -> str:
    """The dsn of a database whose marketplace was there first, for a superuser."""
    dsn = cluster.create_database("theirs_of_install")
    run_psql(dsn, "-f", str(ROOT / "examples/marketplaces/garage/schema.sql"))
    install_on_theirs(dsn)
    return cluster.dsn(SUPERUSER, "theirs_of_install")


def groups(breakages: list[tuple[str, set[str]]]) -> list[list[tuple[str, set[str]]]]:
    """Of up to sixteen, in which no check stands twice."""
    found: list[list[tuple[str, set[str]]]] = []
    for breakage, checks in breakages:
        for group in found:
            if len(group) < 16 and all(checks.isdisjoint(others) for _, others in group):
                group.append((breakage, checks))
                break
        else:
            found.append([(breakage, checks)])
    return found


def sees(dsn: str, group: list[tuple[str, set[str]]]) -> None:
    """At once, as each takes its time; half by half where they get in each other's way."""
    breakages = "; ".join(breakage for breakage, _ in group)
    checks = set().union(*(checks for _, checks in group))
    if len(group) == 1:
        assert failed(verify(dsn, breakages)) == checks, breakages
        return
    try:
        found = failed(verify(dsn, breakages))
    except AssertionError:
        found = set()
    if found != checks:
        sees(dsn, group[::2])
        sees(dsn, group[1::2])


@pytest.mark.parametrize("group", groups(BREAKAGES), ids=itertools.count())
def test_verify_sees_what_is_broken_and_nothing_else(
    cluster: Cluster, group: list[tuple[str, set[str]]]
) -> None:
    sees(cluster.dsn(SUPERUSER), group)


@pytest.mark.parametrize("group", groups(BREAKAGES_ON_THEIRS), ids=itertools.count())
def test_verify_sees_what_is_broken_on_a_marketplace_that_was_there_first(
    theirs: str, group: list[tuple[str, set[str]]]
) -> None:
    sees(theirs, group)


def test_verify_knows_the_columns_that_a_binding_s_own_condition_names(theirs: str) -> None:
    named = f"""
        {REQUESTS} add stage2 text, add gelöscht_am date;
        create or replace function dispatch.taken_off() returns text language sql immutable
        set search_path = pg_catalog, pg_temp
        as $$ select 'r.stage2 = ''gone'' or r.gelöscht_am is not null' $$;
        select dispatch.bind_requests(true)
    """
    assert failed(verify(theirs, named)) == set()
    gone = f"{named}; {REQUESTS} rename stage2 to stage3"
    assert failed(verify(theirs, gone)) == {
        "columns of session_requests",
        "views as they were made",
    }


def test_a_rule_that_nobody_enforces_is_none(cluster: Cluster, theirs: str) -> None:
    with psycopg.connect(theirs) as connection:
        if connection.info.server_version < 180000:
            pytest.skip("each is enforced before PostgreSQL 18")
    rule = f"{REQUESTS} add constraint words check (status::text = 'never') not enforced"
    for dsn in (cluster.dsn(SUPERUSER), theirs):
        assert failed(verify(dsn, rule)) == set()


def test_each_check_was_seen_to_fail(cluster: Cluster, theirs: str) -> None:
    seen = set().union(*(checks for _, checks in BREAKAGES))
    # Told, not failed: who waits for other jobs, as not every DBA can change it; and policies of
    # which nobody can say by their text what they let through.
    told = {"other jobs of pg_cron", "other policies on realtime.messages"}
    assert passed(verify(cluster.dsn())) == seen | told
    seen = seen | told
    seen = seen.union(*(checks for _, checks in BREAKAGES_ON_THEIRS))
    assert passed(verify(theirs)) <= seen


@pytest.mark.parametrize(
    ("policy", "is_told"),
    [
        ("as restrictive for all to authenticated using (topic ~ '^room:')", True),
        ("as restrictive for select to public using (true)", True),
        ("as restrictive for select to service_role using (true)", False),
        ("for select to authenticated using (true)", False),
    ],
)
def test_another_s_restrictive_policy_on_realtime_is_told(
    cluster: Cluster, policy: str, is_told: bool
) -> None:
    result = verify(cluster.dsn(SUPERUSER), f"create policy rooms on realtime.messages {policy}")
    assert passed(result)
    assert ("NOTE: rooms (restrictive)" in result.stdout) == is_told


def test_whoever_has_pg_cron_wait_for_each_job_is_told() -> None:
    """By the install, by verify, and by health; from 1.5 on it does not wait."""
    with (
        Cluster(settings={"cron.use_background_workers": "on"}) as cluster,
        Database(cluster, "postgres") as db,
    ):
        install(cluster.dsn())
        version = db.value("select extversion from pg_extension where extname = 'pg_cron'")
        waits = [int(each) for each in version.split("-")[0].split(".")] < [1, 5]
        said: list[str] = []
        db.owner.add_notice_handler(lambda each: said.append(each.message_primary or ""))
        db.sql((ROOT / "sql/engine/schedule.sql").read_text())
        (health,) = db.sql("select * from dispatch.health() where check_name = 'launcher_free'")
        verified = verify(cluster.dsn())
        assert "other jobs of pg_cron" in passed(verified)
        unfolded = re.sub(r"\.\n +\| +\|\.", "", verified.stdout)
        for text in ("\n".join(said), unfolded, health["detail"]):
            assert ("cron.use_background_workers is" in text) == waits
        assert health["ok"]


@pytest.mark.parametrize(("message", "is_well"), [("server restarted", True), ("disk full", False)])
def test_verify_after_a_restart(cluster: Cluster, message: str, is_well: bool) -> None:
    """pg_cron begins again at the next full minute."""
    started = LONG_AGO.replace("interval '1 day'", "interval '2 minutes'")
    runs = (
        f"{started}; {WITHOUT_RUNS}; insert into cron.job_run_details"
        " (jobid, runid, status, return_message, start_time)"
        f" select jobid, 1, 'failed', '{message}', now() - interval '1 hour' from cron.job"
        " where jobname = 'dispatch-sweep'"
    )
    found = failed(verify(cluster.dsn(SUPERUSER), runs))
    assert found == (set() if is_well else {"runs of dispatch-sweep"})


def test_verify_says_what_to_rename(theirs: str) -> None:
    result = verify(theirs, f"{THEIRS}; {LATE.format('update')}")
    text = re.sub(r"\.\n +\| +\|\.", "", result.stdout)
    assert "alter trigger zzzz on public.session_requests rename to" in text


def test_verify_says_what_row_level_security_is_for(theirs: str) -> None:
    result = verify(theirs, f"{REQUESTS} disable row level security")
    text = re.sub(r"\.\n +\| +\|\.", "", result.stdout)
    assert "row level security is off on session_requests: all see reserved requests" in text


def test_verify_passes_where_no_client_may_read_requests(theirs: str) -> None:
    """Some marketplaces have their backend read them, and no row level security."""
    result = verify(
        theirs,
        f"{REQUESTS} disable row level security;"
        " revoke all on public.session_requests from anon, authenticated",
    )
    assert "row level security is off" not in result.stdout


FILL = """
set session_replication_role = replica;
insert into public.session_requests (customer_id, session_type, status, {columns})
select gen_random_uuid(), 'chat', '{status}', {values} from generate_series(1, {count}) as n;
"""
# How many requests there are, in which state, and how old.
FILLED = [
    pytest.param(0, "pending", "0", marks=pytest.mark.further),
    (49, "completed", "1 day"),
    (5000, "completed", "1 year"),
    pytest.param(20000, "pending", "0", marks=pytest.mark.further),
]


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize(("count", "status", "age"), FILLED)
def test_the_plan_of_the_sweep_goes_by_no_statistics(
    cluster: Cluster, theirs: str, count: int, status: str, age: str, analyzed: bool
) -> None:
    fill = FILL.format(
        columns="priority_window_minutes, priority_notified_at",
        values=f"1 + n % 60, now() - interval '{age}'",
        status=status,
        count=count,
    )
    windows = (
        "insert into dispatch.windows (request_id, ends_at, closed_at)"
        " select id, now(), case when status <> 'pending' then now() end from session_requests;"
    )
    analyze = "analyze session_requests, dispatch.windows;" if analyzed else ""
    # Nor by what whoever asks has set for themselves.
    mine = "set enable_indexscan = off; set enable_nestloop = off;"
    passed(verify(cluster.dsn(SUPERUSER), f"{fill}{analyze}{mine}"))
    passed(verify(theirs, f"{fill}{windows}{analyze}{mine}"))


@pytest.mark.parametrize(
    "revoked",
    [
        "usage on schema dispatch",
        "execute on function dispatch.health",
        "execute on function dispatch.first_event_id_since",
        "select on dispatch.metrics",
    ],
)
def test_verify_sees_what_an_exporter_lacks(db: Database, revoked: str) -> None:
    run_psql(db.dsn(), "-f", str(ROOT / "sql/monitor_role.sql"))
    breakage = f"revoke {revoked} from dispatch_monitor"
    assert failed(verify(db.dsn(), breakage)) == {"role dispatch_monitor"}


@pytest.mark.parametrize(
    "granted",
    [
        f"select on {TABLE}",
        "select (name) on vault",
        "pg_read_all_data",
        "delete on dispatch.windows",
        "usage on sequence dispatch.last_refusal",
        "execute on function accept_session_request",
    ],
)
def test_verify_sees_what_an_exporter_has_too_much(db: Database, granted: str) -> None:
    run_psql(db.dsn(), "-f", str(ROOT / "sql/monitor_role.sql"))
    breakage = f"create table vault (name text); grant {granted} to dispatch_monitor"
    assert failed(verify(db.cluster.dsn(SUPERUSER, db.name), breakage)) == {"role dispatch_monitor"}


def test_an_exporter_of_the_servers_own_figures_is_none_too_much(db: Database) -> None:
    run_psql(db.dsn(), "-f", str(ROOT / "sql/monitor_role.sql"))
    passed(verify(db.cluster.dsn(SUPERUSER, db.name), "grant pg_monitor to dispatch_monitor"))


FLAG = "dispatch.favorites_priority_enabled()"
EXPECTED = "dispatch.expected_stripe_event()"


def returning(signature: str, value: str) -> str:
    """Replace a function by one that does nothing but return this."""
    return (
        f"do $$ begin execute regexp_replace(pg_get_functiondef('{signature}'::regprocedure),"
        f" 'return [^;]*;', 'return {value};'); end $$"
    )


# What up.sql, run again, mends by itself.
MENDED = {
    "the flag is gone": f"drop function {FLAG}",
    "the flag is null": returning(FLAG, "null"),
    "the flag is no flag": returning(FLAG, "random() < 0.5"),
    "the flag is never folded": (
        f"alter function {FLAG} volatile security definer strict;"
        f" alter function {FLAG} reset search_path"
    ),
    "the expected mode is never folded": f"alter function {EXPECTED} stable security definer",
    "the expected mode is null": returning(EXPECTED, "null"),
    "a policy went with its function": "drop function dispatch.caller_id cascade",
    "the rules of the policies are gone": (
        "drop function dispatch.may_see_request cascade;"
        " drop function dispatch.may_use_topic cascade"
    ),
    "an older function": without("dispatch.sweep(integer, timestamptz)", "dispatch.last_delivery"),
    "a function is gone": "drop function dispatch.record_event",
    "a trigger does nothing": ALTERED.format(
        "session_requests_guard", TABLE, "ROW EXECUTE", "ROW WHEN (false) EXECUTE"
    ),
    "a sequence and the metrics are gone": (
        "drop sequence dispatch.last_refusal; drop view dispatch.metrics"
    ),
    "a view shows nothing": (
        "create or replace view dispatch.favorites as select customer_id, mechanic_id,"
        " created_at as favorited_at from customer_favorites where false"
    ),
}


@pytest.mark.parametrize(
    "breakage",
    further_but(["the flag is no flag", "a function is gone", "a trigger does nothing"], MENDED),
)
def test_up_again_mends_it(db: Database, breakage: str) -> None:
    db.sql(breakage)
    assert failed(verify(db.dsn()))
    install(db.dsn())
    passed(verify(db.dsn()))


def test_up_again_keeps_the_flag_though_its_function_was_altered(db: Database) -> None:
    db.sql(f"alter function {FLAG} volatile")
    install(db.dsn())
    passed(verify(db.dsn()))
    assert db.value(f"select {FLAG}")


def restore(db: Database, into: Database) -> None:
    dump = [binary("pg_dump"), "-d", db.dsn(SUPERUSER)]
    psql = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", into.dsn(SUPERUSER)]
    whole = subprocess.run(dump, capture_output=True, check=True)
    subprocess.run(psql, input=whole.stdout, capture_output=True, check=True)


def test_verify_passes_on_a_restored_database(cluster: Cluster, db: Database) -> None:
    mechanic = db.make_mechanic()
    for preferred in (None, mechanic):
        db.make_request(preferred=preferred)
    with fresh_database(cluster, "template0") as restored:
        restore(db, restored)
        passed(verify(restored.dsn()))


def test_verify_passes_on_a_restored_marketplace_that_was_there_first(cluster: Cluster) -> None:
    """A list of texts is written otherwise after a restore."""
    with fresh_database(cluster, "template1") as db, fresh_database(cluster, "template0") as copy:
        schema = (ROOT / "examples/marketplaces/garage/schema.sql").read_text()
        db.owner.execute(schema.encode())
        db.sql("alter table mechanics add level varchar(20), add size numeric")
        binding, count = re.subn(
            r"as m;",
            "as m where m.level in ('a', 'b') or m.size = any(array[1.5, 2]::float8[])"
            " or m.created_at < '2026-01-02 03:04+05';",
            discover(db.dsn()),
        )
        assert count == 1
        install_on_theirs(db.dsn(), binding)
        restore(db, copy)
        passed(verify(copy.dsn(), "set local datestyle = 'german'"))


def test_the_data_alone_go_into_a_new_install(cluster: Cluster, db: Database) -> None:
    """As docs/installing.md says."""
    mechanic, other = db.make_mechanic(), db.make_mechanic()
    request = db.make_request(preferred=mechanic)
    with fresh_database(cluster, TEMPLATE) as copy:
        command = [binary("pg_dump"), "-d", db.dsn(SUPERUSER), "--data-only", "--disable-triggers"]
        command += ["-n", "public", "-n", "dispatch"]
        command += ["--exclude-table-data=dispatch.found_before"]
        data = subprocess.run(command, capture_output=True, check=True)
        copy.sql("delete from service_plans")
        for user in db.sql("select id, email from auth.users"):
            copy.sql("insert into auth.users (id, email) values (%s, %s)", *user.values())
        psql = ["psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", copy.dsn(SUPERUSER)]
        subprocess.run(psql, input=data.stdout, capture_output=True, check=True)
        passed(verify(copy.dsn()))
        assert copy.events() == db.events()
        with refused("PT404", "request_not_found"):
            rpc(copy.connect(other), "accept_session_request", request_id=request)
        answer = rpc(copy.connect(mechanic), "accept_session_request", request_id=request)
        assert answer["status"] == "accepted"


def test_up_takes_back_what_a_restored_table_was_given(cluster: Cluster, db: Database) -> None:
    """pg_dump's grants come to those that the new database gives each table."""
    mechanic = db.make_mechanic("pending")
    granted = "grant select (nickname), update (nickname) on mechanics to authenticated"
    db.sql(f"alter table mechanics add nickname text; {granted}")
    options = ["-n", "public", "-n", "dispatch"]
    with fresh_database(cluster, "template1") as copy:
        run_psql(copy.dsn(), "-f", str(ROOT / "stack/supabase_old_grants.sql"))
        copy.sql("insert into auth.users (id) values (%s)", mechanic)
        whole = subprocess.run(
            [binary("pg_dump"), "-d", db.dsn(), *options], capture_output=True, check=True
        )
        psql = ["psql", "-X", "-q", "-d", copy.dsn()]
        subprocess.run(psql, input=whole.stdout, capture_output=True, check=True)
        as_mechanic = copy.connect(mechanic)
        approves = "update mechanics set status = 'approved' where id = %s"
        with as_mechanic.transaction(force_rollback=True):
            as_mechanic.execute(approves, [mechanic])
        assert {"grants on mechanics", "grants on session_requests"} <= failed(verify(copy.dsn()))
        copy.sql("alter table mechanics add gone text; grant select (gone) on mechanics to anon")
        copy.sql("alter table mechanics drop gone")
        install(copy.dsn())
        passed(verify(copy.dsn()))
        with refused("42501"):
            as_mechanic.execute(approves, [mechanic])
        as_mechanic.execute("update mechanics set nickname = 'Mo' where nickname is null")
        as_here, there = (
            {line for line in dump(each).splitlines() if line.startswith("GRANT ")}
            for each in (db, copy)
        )
        assert there == as_here


def test_verify_passes_whatever_other_ids_their_mechanics_have(theirs: str) -> None:
    """And none of these is held fast by a trigger of ours."""
    passed(verify(theirs, "alter table mechanics add invited_by uuid, drop workshop_id"))


TAKEN_OFF = f"""
{REQUESTS} add void2 boolean, add "goneAt" timestamptz;
create or replace function dispatch.taken_off() returns text
language sql immutable security invoker set search_path = pg_catalog, pg_temp
as $$ select $q$r.Void2 or r."goneAt" is not null and r.session_type <> 'see r.old'$q$ $$;
select dispatch.bind_requests(true)
"""


def test_verify_reads_what_takes_a_request_off(theirs: str) -> None:
    passed(verify(theirs, TAKEN_OFF))
    renamed = f'{TAKEN_OFF}; {REQUESTS} rename "goneAt" to gone_at'
    assert "columns of session_requests" in failed(verify(theirs, renamed))


def test_verify_notes_what_their_own_bookings_must_fill(theirs: str) -> None:
    result = verify(theirs, f"{REQUESTS} add mileage integer not null")
    assert "columns that a booking fills" in passed(result)
    assert "NOTE: not null, without a default: mileage" in result.stdout


def test_verify_notes_which_policies_no_index_serves(theirs: str) -> None:
    """Those that ask who it is for each row, and not once."""
    alter = "alter policy {} on session_requests using ({} = (select auth.uid()))".format
    one = alter("customers_read_their_own", "customer_id")
    both = f"{one}; {alter('mechanics_read_what_they_took', 'mechanic_id')}"
    for breakage, is_noted in ((one, True), (both, False)):
        result = verify(theirs, breakage)
        assert failed(result) == {"policies on the marketplace's tables"}
        assert ("NOTE: with the flag on no index serves" in result.stdout) is is_noted


def test_verify_says_which_view_is_another(theirs: str) -> None:
    found = verify(
        theirs,
        "create or replace view dispatch.exclusions as select * from"
        " (table dispatch.exclusions) as x where false",
    )
    assert "differ since sql/engine/up.sql (if meant, run it again): exclusions" in found.stdout
    # Written by another version of PostgreSQL it is not compared.
    elsewhere = 'comment on view dispatch.exclusions is \'No. {"body": "0", "server": 14}\''
    found = verify(theirs, elsewhere)
    assert "views as they were made" in passed(found) and "NOTE: not compared" in found.stdout


def test_verify_tells_of_a_trigger_that_only_audits(theirs: str) -> None:
    """It may come before ours, unless what it calls writes the request again."""
    audit = THEIRS.replace("begin", "begin insert into session_requests_audit values (new.id);")
    found = verify(
        theirs, audit + "; " + LATE.format("insert").replace("zzzz before", '"00_audit" after')
    )
    assert "order of the triggers" in passed(found)
    assert "NOTE: if what it calls writes to session_requests, rename 00_audit" in found.stdout


def test_verify_says_what_is_wrong_to_an_owner_whose_name_wants_quotes(theirs: str) -> None:
    renamed = 'create role "Shop-""Owner"; alter schema dispatch owner to "Shop-""Owner"'
    found = verify(theirs, renamed)
    assert failed(found) and 'to "Shop-""Owner"' in found.stdout


def test_verify_passes_without_realtime(cluster: Cluster) -> None:
    without = "drop schema realtime cascade; drop publication supabase_realtime"
    result = verify(cluster.dsn(SUPERUSER), without)
    assert passed(result)
    assert "no realtime.messages in this database" in result.stdout


def test_a_server_that_keeps_too_little_for_realtime_to_read() -> None:
    """As PostgreSQL by itself does."""
    with (
        Cluster(settings={"wal_level": "replica"}) as cluster,
        Database(cluster, "postgres") as db,
    ):
        install(cluster.dsn())
        result = verify(cluster.dsn())
        assert failed(result) == {"output plugins of Realtime"}
        told = re.sub(r"\.\n +\| +\|\.", "", result.stdout)
        assert "alter system set wal_level = logical" in told
        found = db.sql("select * from dispatch.health() where not ok")
        assert [row["check_name"] for row in found] == ["output_plugins_allowed"]
        assert found[0]["detail"].endswith(": wal_level is replica, and must be logical")
        # Where there is no Realtime nothing reads.
        without = "drop schema realtime cascade; drop publication supabase_realtime"
        passed(verify(cluster.dsn(SUPERUSER), without))


def test_verify_sees_that_the_server_refuses_an_output_plugin(cluster: Cluster) -> None:
    setting = "output_plugin_libraries"
    if setting not in output_plugins(binary("postgres")):
        pytest.skip("this server refuses none")
    dsn = cluster.dsn(SUPERUSER)
    result = verify(dsn, f"set local {setting} = pgoutput, test_decoding")
    assert failed(result) == {"output plugins of Realtime"}
    cure = re.search(
        r"alter system (set .*?wal2json)", re.sub(r"\.\n +\| +\|\.", "", result.stdout)
    )
    assert cure
    passed(verify(dsn, f"set local {setting} = pgoutput; {cure[1]}"))
    # By another role than Realtime's it may not be seen: no reason to fail.
    hidden = "revoke pg_monitor from postgres; set local role postgres"
    result = verify(dsn, f"set local {setting} = pgoutput; {hidden}")
    assert "output_plugin_libraries is not shown to postgres" in result.stdout


@pytest.mark.parametrize(
    "setting",
    [
        "default_transaction_isolation = serializable",
        "session_replication_role = replica",
        "autovacuum = off",
    ],
)
def test_verify_sees_what_the_server_is_set_to(cluster: Cluster, setting: str) -> None:
    name = setting.partition(" ")[0]
    with psycopg.connect(cluster.dsn(SUPERUSER), autocommit=True) as connection:
        try:
            connection.execute(f"alter system set {setting}".encode())
            connection.execute("select pg_reload_conf()")
            eventually(lambda: "FAILED" in verify(cluster.dsn()).stdout)
            result = verify(cluster.dsn())
        finally:
            connection.execute(f"alter system reset {name}".encode())
            connection.execute("select pg_reload_conf()")
    assert failed(result) == {"settings of roles"}
    assert f"alter system reset {name}" in result.stdout


def test_verify_says_whose_setting_it_is(cluster: Cluster) -> None:
    for whose in ("role all", "role anon", "role anon in database postgres"):
        result = verify(cluster.dsn(SUPERUSER), f"alter {whose} set row_security = off")
        assert failed(result) == {"settings of roles"}
        assert f"alter {whose} reset row_security" in result.stdout


def test_verify_says_so_where_patterns_mean_something_else(db: Database) -> None:
    db.superuser().execute(
        f'alter database "{db.name}" set standard_conforming_strings = off'.encode()
    )
    assert failed(verify(db.dsn())) == {"settings of roles"}


def test_up_says_so_where_patterns_mean_something_else(empty_db: Database) -> None:
    name = f'alter database "{empty_db.name}"'
    empty_db.superuser().execute(f"{name} set standard_conforming_strings = off".encode())
    with pytest.raises(RuntimeError, match=r"First:\n- standard_conforming_strings is off: .*\n"):
        run_psql(empty_db.dsn(), "-f", str(ROOT / MARKETPLACE))
    empty_db.superuser().execute(f"{name} reset standard_conforming_strings".encode())
    run_psql(empty_db.dsn(), "-f", str(ROOT / MARKETPLACE))


# From PostgreSQL 17 on: to lock a table, or to write all of it anew.
@pytest.mark.parametrize(
    ("table", "role", "checks"),
    [
        ("dispatch.windows", "authenticated", {"grants in dispatch"}),
        (
            "dispatch.windows",
            "public",
            {"grants in dispatch", "role webhook_app", "role push_app", "role hub_app"},
        ),
        (TABLE, "authenticated", {f"grants on {TABLE}"}),
    ],
)
def test_verify_sees_who_may_maintain_a_table(
    cluster: Cluster, table: str, role: str, checks: set[str]
) -> None:
    with psycopg.connect(cluster.dsn()) as connection:
        if connection.info.server_version < 170000:
            pytest.skip("no such privilege before PostgreSQL 17")
    breakage = f"grant maintain on {table} to {role}"
    assert failed(verify(cluster.dsn(SUPERUSER), breakage)) == checks


def test_verify_passes_without_pg_cron_and_says_so(db: Database) -> None:
    text = verify(db.dsn()).stdout
    assert re.search(r"ok +\| cron job dispatch-sweep +\| not in this database: run sweep", text)


def test_each_layer_is_verified_by_itself(empty_db: Database) -> None:
    dsn, there = empty_db.dsn(), set[str]()
    layers = {"marketplace": MARKETPLACE, "engine": ENGINE, "favorites_priority": FEATURE}
    for layer, up in layers.items():
        # Each check says what is missing, and none ends in an error of its own.
        assert len(failed(verify(dsn, layer=layer))) > 10 or layer == "favorites_priority"
        install(dsn, up)
        checks = passed(verify(dsn, layer=layer))
        there |= checks
    assert checks == there


@pytest.mark.parametrize("layer", ["marketplace", "engine", "favorites_priority"])
def test_verify_of_what_is_not_there_at_all(empty_db: Database, layer: str) -> None:
    assert len(failed(verify(empty_db.dsn(), layer=layer))) > 10


def test_verify_fails_on_the_engine_alone_and_after_down(engine_db: Database, db: Database) -> None:
    install(db.dsn(), DOWN)
    for each in (engine_db, db):
        assert "column preferred_mechanic_id" in failed(verify(each.dsn()))


# Files and functions.

FILES = sorted((ROOT / "functions").glob("*/*.*.sql"))
CREATED = re.compile(r"^ *create or replace function (\w+\.\w+)\s*\(", re.MULTILINE)
# What has no file: dispatch.bind_requests makes these, for the columns that there are.
GENERATED = {
    "dispatch.as_request",
    "dispatch.is_open_to",
    "dispatch.insert_request",
    "dispatch.assign_request",
    "dispatch.unassign_request",
}
BINDING = {
    f"dispatch.{name}"
    for name in (
        "governs_all",
        "assigns_user_id",
        "approval_columns",
        "feed_is_private",
        "taken_off",
        "open_to",
    )
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_one_function_with_its_comment_and_grants(path: Path) -> None:
    text, name = path.read_text(), path.stem
    first, *others = CREATED.findall(text)
    assert first == name
    assert set(others) == (GENERATED if name == "dispatch.bind_requests" else set())
    escaped = re.escape(name)
    assert re.search(rf"^comment on function {escaped}\b", text, re.MULTILINE)
    assert re.search(
        rf"^ *revoke all on function {escaped}\([^;]*"
        "from public, anon, authenticated, service_role;",
        text,
        re.MULTILINE,
    )


# Their triggers run with the search_path of what writes, and event triggers with that of what makes
# a function anew.
WRITES_TO_THEIRS = {
    "announce_window",
    "ask_deferred",
    "assign_request",
    "cancel_refunded",
    "cancel_request",
    "complete_request",
    "insert_request",
    "is_open_to",
    "live_on",
    "make_anew",
    "put_back",
    "unassign_request",
}


def test_every_installed_function_has_its_file_search_path_and_comment(shared: Database) -> None:
    found = shared.sql(
        """
        select
            p.pronamespace::regnamespace || '.' || p.proname as name,
            p.proconfig as settings,
            obj_description(p.oid, 'pg_proc') as comment
        from pg_proc as p
        where p.pronamespace in ('public'::regnamespace, 'dispatch'::regnamespace)
        """
    )
    names = [row["name"] for row in found]
    assert len(names) == len(set(names)), "overloads"
    assert set(names) == {path.stem for path in FILES} | GENERATED | BINDING
    for row in found:
        assert row["comment"], row["name"]
        writes = row["name"].removeprefix("dispatch.") in WRITES_TO_THEIRS
        path = "pg_catalog, public, extensions, pg_temp" if writes else "pg_catalog, pg_temp"
        assert f"search_path={path}" in row["settings"], row["name"]


def test_no_function_that_only_reads_calls_one_that_writes(shared: Database) -> None:
    """As plpgsql_check says from 2.10 on: it is told by the marks, which PostgreSQL trusts."""
    calls = shared.sql(
        r"""
        select p.proname as caller, c.name[1] as called
        from pg_proc as p
        -- Not what stands in comments and in texts.
        cross join regexp_replace(p.prosrc, '--[^\n]*|''[^'']*''', '', 'g') as s (source)
        cross join regexp_matches(s.source, '(\w+)\s*\(', 'g') as c (name)
        where
            p.pronamespace in ('public'::regnamespace, 'dispatch'::regnamespace)
            and p.provolatile <> 'v'
            -- Marked so because a size changes. It writes nothing.
            and c.name[1] <> 'pg_relation_size'
            -- What it sets is set back before the one that reads has its answer.
            and not (p.proname = 'claim_to_be' and c.name[1] = 'set_config')
            -- Of this name there are only such.
            and (
                select bool_and(f.provolatile = 'v') from pg_proc as f
                where
                    f.proname = c.name[1]
                    and f.pronamespace::regnamespace::text in ('pg_catalog', 'public', 'dispatch')
            )
        order by 1, 2
        """
    )
    assert calls == []


LISTS = re.compile(
    r"'(definer|stable|immutable|anon|authenticated|service_role)',\s+array\[(.*?)\]", re.DOTALL
)


def test_health_and_verify_ask_for_each_trigger_that_is_made(
    engine_db: Database, db: Database, theirs: str
) -> None:
    """What makes them, what verify expects, what health asks, and which names up.sql keeps free."""
    tables = ("session_requests", "mechanics")

    def made(connection: psycopg.Connection[tuple[str]]) -> set[str]:
        query = (
            "select t.tgname from pg_trigger as t join pg_proc as f on f.oid = t.tgfoid"
            " join pg_class as c on c.oid = t.tgrelid"
            " where c.relnamespace = 'public'::regnamespace and c.relname = any(%s)"
            " and f.pronamespace = 'dispatch'::regnamespace"
        )
        return {name for (name,) in connection.execute(query.encode(), [list(tables)])}

    everything: set[str] = set()
    for dsn, layer in (
        (engine_db.dsn(), "engine"),
        (db.dsn(), "favorites_priority"),
        (theirs, "favorites_priority"),
    ):
        asked = {
            check.removeprefix("trigger ")
            for check in passed(verify(dsn, layer=layer))
            if check.startswith("trigger ")
        }
        with psycopg.connect(dsn) as connection:
            triggers = made(connection)
            everything |= triggers
            for table in tables:
                connection.execute(f"alter table public.{table} disable trigger user".encode())
            ((stopped,),) = connection.execute("select dispatch.stopped_triggers()")
            connection.rollback()
        assert stopped.split(", ") == sorted(triggers)
        # (Those that write through the views are on no table.)
        assert triggers <= asked
        assert asked - triggers <= {"mechanics_remember_presence", "requests_announce"}
    text = (ROOT / "sql/engine/requirements.sql").read_text()
    (kept,) = re.findall(r"and t\.tgname in \((.*?)\)", text, re.DOTALL)
    assert set(re.findall(r"'(\w+)'", kept)) == everything


def test_verify_lists_the_functions_as_their_files_have_them() -> None:
    """So that a new one is told of here, and not only by a verify that fails."""
    lists = {
        kind: set(re.findall(r"'(\w+)'", names))
        for kind, names in LISTS.findall((ROOT / "sql/engine/checks.sql").read_text())
    }
    wanted: dict[str, set[str]] = {kind: set() for kind in lists}
    wanted["stable"] |= {"as_request", "is_open_to"}
    wanted["immutable"] |= {name.partition(".")[2] for name in BINDING}
    for path in (path for path in FILES if path.stem.startswith("dispatch.")):
        text, name = path.read_text(), path.stem.partition(".")[2]
        if re.search(r"^security definer$", text, re.MULTILINE):
            wanted["definer"].add(name)
        if volatility := re.search(r"^ *(stable|immutable|volatile)$", text, re.MULTILINE):
            wanted.get(volatility[1], set()).add(name)
        for role in re.findall(r"^grant execute on [^;]+\sto (\w+);", text, re.MULTILINE):
            roles = ("anon", "authenticated", "service_role") if role == "public" else (role,)
            for each in roles:
                wanted[each].add(name)
    assert lists == wanted


def test_the_rpcs_are_listed_as_their_files_have_them() -> None:
    text = (ROOT / "sql/engine/rpcs.sql").read_text()
    listed = re.findall(r"\w+(?=,?')", text.partition("'{'")[2].replace(",", ",'"))
    files = {path.stem.partition(".")[2] for path in FILES if path.stem.startswith("public.")}
    assert set(listed) == files and len(listed) == len(files)


def test_every_table_and_view_of_the_product_has_its_comment(shared: Database) -> None:
    found = shared.sql(
        "select relname, obj_description(oid, 'pg_class') as comment from pg_class"
        " where relnamespace = 'dispatch'::regnamespace and relkind in ('r', 'v', 'S')"
        " and relname not in ('request_events_id_seq', 'pushes_id_seq')"
    )
    assert found and all(row["comment"] for row in found), found


def test_a_tick_with_nothing_due_costs_the_same_however_many_wait(db: Database) -> None:
    customer, mechanic = db.make_customer(), db.make_mechanic()
    superuser = db.superuser()
    superuser.execute("set session_replication_role = replica")
    superuser.execute(
        "insert into public.session_requests (customer_id, session_type, preferred_mechanic_id,"
        " priority_window_minutes, priority_notified_at)"
        " select %s, 'chat', %s, 1 + n %% 60, now() from generate_series(1, 20000) as n",
        (customer, mechanic),
    )
    db.sql("analyze session_requests")
    tick = (
        "explain (analyze, buffers, format json) select * from dispatch.pending_windows(now(), 9)"
    )
    db.sql(tick)
    (plan,) = db.value(tick)
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] <= 10
