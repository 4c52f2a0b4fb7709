"""Up, down and verify, and that the files and the installed functions are what they should be."""

import os
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from stack import ROOT
from stack.install import DOWN, FEATURE, ENGINE, install
from stack.postgres import SUPERUSER, Cluster
from tests.database import (
    Database,
    checkout,
    dump,
    eventually,
    refused,
    rpc,
)

VERIFY = ROOT / "sql/favorites_priority/verify.sql"


def test_the_platform_twice_is_once(engine_db: Database) -> None:
    before, seed = dump(engine_db), engine_db.sql("select * from service_plans order by code")
    install(engine_db.dsn(), ENGINE)
    assert dump(engine_db) == before
    assert engine_db.sql("select * from service_plans order by code") == seed


@pytest.mark.parametrize("enabled", [True, False])
def test_up_twice_is_up_once_and_keeps_the_flag(db: Database, enabled: bool) -> None:
    db.sql("select dispatch.set_favorites_priority(%s)", enabled)
    request = db.make_request(preferred=db.make_mechanic())
    # Another role's grants (the webhook's) may come to stand in another order.
    before = sorted(dump(db).splitlines())
    with db.unchanged():
        for files in ([FEATURE], [ENGINE], [ENGINE, FEATURE], [FEATURE]):
            install(db.dsn(), *files)
            assert sorted(dump(db).splitlines()) == before
    assert db.value("select dispatch.favorites_priority_enabled()") is enabled
    assert db.log(request) == ["priority_request" if enabled else "new_request"]


def test_the_flag_is_off_at_first(engine_db: Database) -> None:
    install(engine_db.dsn())
    assert engine_db.value("select dispatch.favorites_priority_enabled()") is False


def test_up_down_up_down_with_rows(engine_db: Database) -> None:
    db = engine_db
    platform = dump(db)
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
        assert dump(db) == platform
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


def test_down_twice_fails_and_changes_nothing(db: Database) -> None:
    install(db.dsn(), DOWN)
    before = dump(db)
    with pytest.raises(RuntimeError):
        install(db.dsn(), DOWN)
    assert dump(db) == before


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
    before = dump(db)
    with db.unchanged(), pytest.raises(RuntimeError, match=r"1 session_requests of .* would lose"):
        install(db.dsn(), DOWN)
    assert dump(db) == before
    assert db.value("select dispatch.favorites_priority_enabled()") is True
    assert db.log(request) == ["priority_request"]


@pytest.mark.parametrize("file", [ENGINE, FEATURE, DOWN])
def test_while_it_waits_for_a_lock_everyone_else_gets_through(db: Database, file: str) -> None:
    """It does not queue in front of them, and gives up with nothing changed."""
    db.sql("select dispatch.set_favorites_priority(false)")
    before, reader, writer = dump(db), db.open(), db.connect(role="service_role")
    with ThreadPoolExecutor() as pool, reader.transaction():
        reader.execute("select from public.session_requests")
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


def test_customers_book_while_it_comes_and_goes(engine_db: Database) -> None:
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
            for _ in range(2):
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


def verify(dsn: str, breakage: str = "") -> subprocess.CompletedProcess[str]:
    """Run verify.sql after a breakage that ends with it: all is one transaction."""
    command = ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", dsn]
    command += ["-c", "begin", "-c", breakage, "-f", str(VERIFY)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ.copy())


@pytest.mark.parametrize("enabled", [True, False])
def test_verify_passes_on_an_installation_and_changes_nothing(
    cluster: Cluster, enabled: bool
) -> None:
    with Database(cluster, "postgres") as db:
        before = dump(db)
        with db.unchanged():
            flag = f"select dispatch.set_favorites_priority({enabled})"
            result = verify(db.dsn(), flag)
            assert result.returncode == 0, result.stdout + result.stderr
        assert dump(db) == before


def without(signature: str, word: str) -> str:
    """Replace a function by one that is the same but for this word."""
    return (
        f"do $$ begin execute replace(pg_get_functiondef('{signature}'::regprocedure),"
        f" '{word}', 'created_at'); end $$"
    )


REQUESTS = "alter table session_requests"
FOREIGN_KEY = "session_requests_preferred_mechanic_id_fkey"
ADD_KEY = (
    f"{REQUESTS} drop constraint {FOREIGN_KEY}, add constraint {FOREIGN_KEY}"
    " foreign key (preferred_mechanic_id) references mechanics (id)"
)
OPEN_POLICY = "create policy theirs on session_requests for select to authenticated using (true)"
# What is broken, and the checks that see it.
BREAKAGES: list[tuple[str, set[str]]] = [
    (
        f"{REQUESTS} drop column priority_notified_at cascade",
        {
            "column priority_notified_at",
            "index session_requests_priority_notified_idx",
            "index session_requests_priority_deadline_idx",
            "plan of the sweep",
        },
    ),
    *(
        (f"{REQUESTS} alter column {name} set default {value}", {f"column {name}"})
        for name, value in (
            ("preferred_mechanic_id", "gen_random_uuid()"),
            ("priority_window_minutes", "10"),
            ("priority_notified_at", "now()"),
        )
    ),
    (f"{REQUESTS} alter priority_notified_at set not null", {"column priority_notified_at"}),
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
    (
        "drop index session_requests_priority_deadline_idx",
        {"index session_requests_priority_deadline_idx", "plan of the sweep"},
    ),
    ("set enable_indexscan = off", {"plan of the sweep"}),
    *(
        (without(f"dispatch.{hook}", word), {f"hook dispatch.{hook.partition('(')[0]}"})
        for hook, word in (
            ("priority_window(session_requests)", "priority_notified_at"),
            ("route_request()", "priority_notified_at"),
            ("log_new_request()", "priority_notified_at"),
            ("pending_windows(timestamptz,integer)", "priority_notified_at"),
            ("unannounced_requests(uuid)", "priority_notified_at"),
            ("fallback_reason(session_requests,session_requests)", "priority_notified_at"),
            ("release_windows()", "preferred_mechanic_id"),
            ("set_favorites_priority(boolean)", "favorites_priority_enabled"),
        )
    ),
    (
        "drop function dispatch.set_favorites_priority(boolean)",
        {"hook dispatch.set_favorites_priority"},
    ),
    (
        "alter function dispatch.sweep owner to supabase_auth_admin",
        {"owner of the functions"},
    ),
    *(
        (f"alter function dispatch.guard_request() {path}", {"search_path of the functions"})
        for path in ("reset search_path", "set search_path = ''")
    ),
    (
        "alter function dispatch.accept_request(uuid) security invoker",
        {"security definer functions"},
    ),
    ("alter function dispatch.sweep security definer", {"security definer functions"}),
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
        "grant execute on function dispatch.health to public",
        {f"functions open to {role}" for role in ("anon", "authenticated", "service_role")},
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
        for path in sorted((ROOT / "functions").glob("public.*.sql"))
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
    (
        "alter table mechanics disable trigger mechanics_release_windows",
        {"trigger mechanics_release_windows"},
    ),
    *(
        (breakage, {"policies on the marketplace's tables"})
        for breakage in (
            f"{REQUESTS} disable row level security",
            OPEN_POLICY,
            "drop policy mechanics_select on mechanics",
            "alter policy service_plans_select on service_plans to public",
            "alter policy session_requests_select on session_requests using (true)",
            "comment on trigger mechanics_release_windows on mechanics is null",
        )
    ),
    ("create table dispatch.favorites ()", {"tables of dispatch"}),
    (
        "alter publication supabase_realtime drop table session_requests",
        {"table changes by Realtime"},
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
        for job in ("dispatch-sweep", "dispatch-retention")
        for change in (
            f"cron.unschedule('{job}')",
            f"cron.alter_job(jobid, active := false) from cron.job where jobname = '{job}'",
        )
    ),
    *(
        (
            "delete from cron.job_run_details; insert into cron.job_run_details"
            " (jobid, runid, status, start_time)"
            f" select jobid, 1, '{status}', now() - interval '{ago}' from cron.job"
            " where jobname = 'dispatch-sweep'",
            {"runs of dispatch-sweep"},
        )
        for status, ago in (("failed", "1 second"), ("succeeded", "4 minutes"))
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
        {"flag ENABLE_FAVORITES_PRIORITY"},
    ),
]


def failed(result: subprocess.CompletedProcess[str]) -> set[str]:
    """The checks that failed, as the table shows them; the error must name the same."""
    table = set(re.findall(r"^ FAILED \| (.+?) +\|", result.stdout, re.MULTILINE))
    error = re.search(r"verify failed: (.*)", result.stderr)
    assert table == set(error[1].split(", ") if error else ())
    assert result.returncode == (3 if error else 0), result.stderr
    return table


@pytest.mark.parametrize(("breakage", "checks"), BREAKAGES)
def test_verify_sees_what_is_broken_and_nothing_else(
    cluster: Cluster, breakage: str, checks: set[str]
) -> None:
    assert failed(verify(cluster.dsn(SUPERUSER), breakage)) == checks


def test_each_check_was_seen_to_fail(cluster: Cluster) -> None:
    table = verify(cluster.dsn()).stdout
    checks = set(re.findall(r"^ ok +\| (.+?) +\|", table, re.MULTILINE))
    assert checks == set().union(*(checks for _, checks in BREAKAGES))


def test_verify_passes_without_realtime(cluster: Cluster) -> None:
    without = "drop schema realtime cascade; drop publication supabase_realtime"
    result = verify(cluster.dsn(SUPERUSER), without)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no realtime.messages in this database" in result.stdout


def test_verify_fails_on_the_platform_alone_and_after_down(
    engine_db: Database, db: Database
) -> None:
    install(db.dsn(), DOWN)
    for each in (engine_db, db):
        assert "column preferred_mechanic_id" in verify(each.dsn()).stderr


# Files and functions.

FILES = sorted((ROOT / "functions").glob("*.sql"))
HOOKS = {
    "priority_window",
    "route_request",
    "log_new_request",
    "pending_windows",
    "unannounced_requests",
    "fallback_reason",
}
CREATED = re.compile(r"^create or replace (?:function|procedure) (\w+\.\w+)\s*\(", re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_one_function_with_its_comment_and_grants(path: Path) -> None:
    text, name = path.read_text(), path.stem
    assert CREATED.findall(text) == [name]
    if name.split(".")[1] in HOOKS:
        text = (ROOT / "sql/platform/hook_grants.sql").read_text()
    kind = r"(?:function|procedure|routine)"
    escaped = re.escape(name)
    assert re.search(rf"^comment on {kind} {escaped}\b", text, re.MULTILINE)
    assert re.search(
        rf"^revoke all on {kind} {escaped}\([^;]*from public, anon, authenticated, service_role;",
        text,
        re.MULTILINE,
    )


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
    # The flag has no file: its setter writes it.
    assert set(names) == {path.stem for path in FILES} | {"dispatch.favorites_priority_enabled"}
    for row in found:
        assert row["comment"], row["name"]
        assert "search_path=pg_catalog, pg_temp" in row["settings"], row["name"]


def test_every_table_and_view_of_the_product_has_its_comment(shared: Database) -> None:
    found = shared.sql(
        "select relname, obj_description(oid, 'pg_class') as comment from pg_class"
        " where relnamespace = 'dispatch'::regnamespace and relkind in ('r', 'v', 'S')"
        " and relname <> 'request_events_id_seq'"
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
