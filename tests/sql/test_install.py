"""Up, down and verify, and that the files and the installed functions are what they should be."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stack import ROOT
from stack.install import FEATURE, PLATFORM, install
from stack.postgres import SUPERUSER, Cluster
from tests.database import Database, dump, refused, rows, rpc

DOWN = "sql/favorites_priority/down.sql"
VERIFY = ROOT / "sql/favorites_priority/verify.sql"


def test_the_platform_twice_is_once(platform_db: Database) -> None:
    before, seed = dump(platform_db), platform_db.sql("select * from service_plans order by code")
    install(platform_db.dsn(), PLATFORM)
    assert dump(platform_db) == before
    assert platform_db.sql("select * from service_plans order by code") == seed


@pytest.mark.parametrize("enabled", [True, False])
def test_up_twice_is_up_once_and_keeps_the_flag(db: Database, enabled: bool) -> None:
    db.sql("select dispatch.set_favorites_priority(%s)", enabled)
    request = db.make_request(preferred=db.make_mechanic())
    # Another role's grants (the webhook's) may come to stand in another order.
    before = sorted(dump(db).splitlines())
    with db.unchanged():
        for files in ([FEATURE], [PLATFORM], [PLATFORM, FEATURE], [FEATURE]):
            install(db.dsn(), *files)
            assert sorted(dump(db).splitlines()) == before
    assert db.value("select dispatch.favorites_priority_enabled()") is enabled
    assert db.log(request) == ["priority_request" if enabled else "new_request"]


def test_the_flag_is_off_at_first(platform_db: Database) -> None:
    install(platform_db.dsn())
    assert platform_db.value("select dispatch.favorites_priority_enabled()") is False


def test_up_down_up_down_with_rows(platform_db: Database) -> None:
    db = platform_db
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
            while not db.value(waiting) and not running.done():
                pass
        running.result()
    assert db.log(request) == ["priority_request", "new_request:flag_off"]


def test_a_marketplace_that_was_there_first_keeps_its_own(empty_db: Database) -> None:
    """Its table keeps columns, constraints, policies and grants; nothing of it is dropped."""
    db = empty_db
    own = """
        create table public.mechanics (
            id uuid primary key references auth.users (id), display_name text not null,
            status text, is_online boolean, brands text[], country text, city text,
            created_at timestamptz default now(), updated_at timestamptz default now(), extra text
        );
        grant select on public.mechanics to anon;
        alter table public.mechanics enable row level security;
        create policy own on public.mechanics for select to anon using (true);
    """
    db.sql(own)
    before = dump(db, "-t", "public.mechanics")
    install(db.dsn(), PLATFORM)
    after = dump(db, "-t", "public.mechanics")
    added = set(after.splitlines()) - set(before.splitlines())
    assert set(before.splitlines()) <= set(after.splitlines())
    assert [line for line in added if line.startswith(("CREATE", "ALTER", "GRANT", "REVOKE"))] == [
        line for line in added if line.startswith("CREATE INDEX")
    ]
    install(db.dsn(), FEATURE)
    db.sql("select dispatch.set_favorites_priority(true)")
    mechanic, other = db.make_mechanic(), db.make_mechanic()
    assert db.log(db.make_request(preferred=mechanic)) == ["priority_request"]
    assert rows(db.connect(other), "select id from public.session_requests") == []


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


@pytest.mark.parametrize(
    "breakage",
    [
        "alter table session_requests drop column priority_notified_at cascade",
        "alter table session_requests drop column preferred_mechanic_id cascade",
        "alter table session_requests alter column priority_window_minutes set default 10",
        "select cron.unschedule('dispatch-sweep')",
        "select cron.unschedule('dispatch-retention')",
        *(
            f"select cron.alter_job(jobid, active := false) from cron.job where jobname = '{name}'"
            for name in ("dispatch-sweep", "dispatch-retention")
        ),
        "alter table session_requests drop constraint session_requests_preferred_mechanic_id_fkey",
        "alter table session_requests drop constraint session_requests_preferred_mechanic_id_fkey,"
        " add constraint session_requests_preferred_mechanic_id_fkey foreign key"
        " (preferred_mechanic_id) references mechanics (id) on delete cascade",
        "drop index session_requests_preferred_mechanic_idx",
        "drop index session_requests_priority_notified_idx",
        "drop index session_requests_priority_deadline_idx",
        "drop function dispatch.set_favorites_priority(boolean)",
        "drop function dispatch.release_windows() cascade",
        "drop trigger mechanics_release_windows on mechanics",
        "alter table mechanics disable trigger mechanics_release_windows",
        "drop trigger session_requests_route on session_requests",
        "drop trigger session_requests_guard on session_requests",
        "alter table session_requests disable trigger session_requests_guard",
        "create or replace function dispatch.priority_window(p_request session_requests,"
        " out mechanic_id uuid, out window_minutes integer, out ends_at timestamptz)"
        " language plpgsql stable as 'begin return; end'",
        "alter function dispatch.accept_request(uuid) security invoker",
        "alter function dispatch.sweep security definer",
        "alter function dispatch.guard_request() reset search_path",
        "grant execute on function dispatch.set_favorites_priority(boolean) to authenticated",
        "grant execute on function dispatch.health to public",
        "grant execute on function dispatch.accept_request to service_role",
        "grant execute on function dispatch.sweep_round to service_role",
        "revoke execute on function dispatch.may_see_request from authenticated",
        "revoke execute on function dispatch.process_stripe_event from service_role",
        "grant execute on function public.process_stripe_event(jsonb) to anon",
        "revoke execute on function public.accept_session_request(uuid) from authenticated",
        "alter table session_requests disable row level security",
        "alter publication supabase_realtime drop table session_requests",
        *(
            f"drop policy dispatch_topics_{name} on realtime.messages"
            for name in ("join", "send", "only", "not_anon")
        ),
        "alter policy dispatch_topics_join on realtime.messages using (true)",
        "alter policy dispatch_topics_send on realtime.messages to public",
        "alter policy dispatch_topics_only on realtime.messages with check (true)",
        "alter policy dispatch_topics_not_anon on realtime.messages using (true)",
    ],
)
def test_verify_fails_when_something_is_broken(cluster: Cluster, breakage: str) -> None:
    result = verify(cluster.dsn(), breakage)
    assert result.returncode != 0 and "verify failed: " in result.stderr, result.stdout
    assert "FAILED" in result.stdout


def test_verify_passes_without_realtime(cluster: Cluster) -> None:
    without = "drop schema realtime cascade; drop publication supabase_realtime"
    result = verify(cluster.dsn(SUPERUSER), without)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no realtime.messages in this database" in result.stdout


def test_verify_fails_on_the_platform_alone_and_after_down(
    platform_db: Database, db: Database
) -> None:
    install(db.dsn(), DOWN)
    for each in (platform_db, db):
        assert "column preferred_mechanic_id" in verify(each.dsn()).stderr


# Files and functions.

FILES = sorted((ROOT / "functions").glob("*.sql"))
HOOKS = {
    "priority_window",
    "route_request",
    "log_new_request",
    "pending_windows",
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
        assert 'search_path=""' in row["settings"], row["name"]


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
