"""What the owner watches: each check of dispatch.health() fails and passes; the day's numbers."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from stack import ROOT
from stack.install import install
from stack.postgres import Cluster, run_psql
from tests.database import (
    POISON,
    WITHOUT_RUNS,
    Connection,
    Database,
    checkout,
    eventually,
    refused,
    rows,
    rpc,
    value,
)
from tests.further import further_but

# Without pg_cron (only one database of a cluster has it) these always fail.
SCHEDULE = {"sweep_scheduled", "sweep_runs", "retention_scheduled", "retention_runs"}
CHECKS = SCHEDULE | {
    "launcher_free",
    "sweep_uncut",
    "sweep_may_write",
    "tables_readable",
    "notify_queue",
    "snapshots_recent",
    "slots_read",
    "output_plugins_allowed",
    "events_settled",
    "broadcast_partition",
    "rows_visible",
    "triggers_run",
    "windows_announced",
    "windows_on_time",
    "events_delivered",
    "stripe_events_processed",
    "payments_as_priced",
    "bookings_whole",
    "live_payments_booked",
    "requests_accepted",
    "requests_expired",
    "requests_routed",
    "requests_completed",
    "requests_have_mechanic",
    "refunds_due",
    "payments_undisputed",
    "marketplace_writes",
    "pushes_on_time",
    "pushes_accepted",
    "devices",
    "event_log_size",
    "stripe_ledger_size",
}
MOMENT = timedelta(microseconds=1)


def failing(connection: Connection, at: object = None) -> dict[str, str]:
    """What fails at this time, and its detail."""
    found = rows(connection, "select * from dispatch.health(coalesce(%s, now()))", at)
    assert {row["check_name"] for row in found} == CHECKS and len(found) == len(CHECKS)
    assert all(row["detail"] for row in found)
    return {row["check_name"]: row["detail"] for row in found if not row["ok"]}


@pytest.mark.parametrize(
    ("job", "max_age"), [("sweep", timedelta(minutes=3)), ("retention", timedelta(hours=26))]
)
def test_a_job_and_its_last_run(cron_db: Database, job: str, max_age: timedelta) -> None:
    superuser = cron_db.superuser()

    def failing_of_schedule(at: object = None) -> set[str]:
        return SCHEDULE & set(failing(superuser, at))

    with superuser.transaction(force_rollback=True):
        superuser.execute(WITHOUT_RUNS)
        (run,) = rows(
            superuser,
            "insert into cron.job_run_details (jobid, runid, status, start_time)"
            " select jobid, -1, 'running', now() from cron.job"
            " where jobname = %s returning start_time",
            f"dispatch-{job}",
        )
        late = run["start_time"] + max_age
        runs, scheduled = f"{job}_runs", f"{job}_scheduled"
        for status in ("running", "succeeded"):
            superuser.execute("update cron.job_run_details set status = %s", (status,))
            assert runs not in failing_of_schedule(late - MOMENT)
            assert runs in failing_of_schedule(late)

        # One that fails each time has always begun lately.
        superuser.execute(
            "insert into cron.job_run_details (jobid, runid, status, return_message)"
            " select jobid, -2, 'failed', 'disk full' from cron.job_run_details"
        )
        assert runs not in failing_of_schedule(run["start_time"])
        superuser.execute("update cron.job_run_details set status = 'running' where runid = -1")
        assert failing(superuser, run["start_time"])[runs].endswith("failed: disk full")

        superuser.execute(WITHOUT_RUNS)
        assert (runs in failing(superuser, late)) == (job == "sweep")
        # Of another's job one is kept from before it was due.
        superuser.execute(
            "insert into cron.job_run_details (jobid, runid, status, start_time)"
            " values (1000000, -3, 'succeeded', %s)",
            [run["start_time"]],
        )
        assert runs in failing(superuser, late)
        superuser.execute("delete from cron.job_run_details")

        superuser.execute(
            "update cron.job set active = false where jobname = %s", (f"dispatch-{job}",)
        )
        assert failing_of_schedule(late) == {scheduled, "sweep_runs"}
        superuser.execute("delete from cron.job where jobname = %s", (f"dispatch-{job}",))
        assert failing(superuser)[scheduled] == f"no active job dispatch-{job}"


def test_before_pg_cron_could_begin_nothing_is_wrong(cron_db: Database) -> None:
    """It begins at a full minute, and knows nothing of what was before its launcher."""
    launcher = "select backend_start from pg_stat_activity where backend_type = 'pg_cron launcher'"
    made = "select pg_sequence_last_value('dispatch.scheduled_at')"
    make = "select setval('dispatch.scheduled_at', %s)"
    superuser = cron_db.superuser()
    began = value(superuser, f"select greatest(pg_postmaster_start_time(), ({launcher}))")
    before = value(superuser, made)  # what a sequence was set to is not rolled back
    try:
        with superuser.transaction(force_rollback=True):
            superuser.execute(WITHOUT_RUNS)
            for at in (began, began.replace(microsecond=0) + timedelta(hours=1)):
                superuser.execute(make, [1 if at == began else int(at.timestamp() * 1000)])
                late = at + timedelta(minutes=3)
                assert "sweep_runs" not in failing(superuser, late - MOMENT)
                assert failing(superuser, late)["sweep_runs"] == "has not run yet"
    finally:
        superuser.execute(make, [before])


def test_runs_that_somebody_has_just_deleted(cron_db: Database) -> None:
    superuser, runner = cron_db.superuser(), cron_db.open()
    # As a run of the job, which may be between two of them.
    runner.pgconn.send_query(b"select pg_sleep(600) -- dispatch.sweep_round(")
    running = (
        "select state = 'active' and query ~ 'sweep_round' from pg_stat_activity where pid = %s"
    )
    eventually(lambda: value(superuser, running, runner.info.backend_pid))
    try:
        with superuser.transaction(force_rollback=True):
            # As if all had begun long ago.
            checks = "select pg_get_functiondef('dispatch.cron_checks'::regproc)"
            later = value(superuser, checks).replace("'3 minutes'", "'-1 second'")
            superuser.execute(later.encode())
            superuser.execute(WITHOUT_RUNS)
            superuser.execute(
                "insert into cron.job_run_details (jobid, runid, status, start_time)"
                " select jobid, -1, 'running', now() from cron.job where jobname = 'dispatch-sweep'"
            )
            assert "sweep_runs" in failing(superuser)
            superuser.execute("delete from cron.job_run_details")
            assert "sweep_runs" not in failing(superuser)
    finally:
        superuser.execute("select pg_terminate_backend(%s)", [runner.info.backend_pid])


def test_a_clock_that_was_set_back(cron_db: Database) -> None:
    """PostgreSQL sleeps by it, and the sweep until it is there again."""
    superuser, runner = cron_db.superuser(), cron_db.open()
    runner.pgconn.send_query(b"select pg_sleep(600) -- dispatch.sweep_round(")
    pid = runner.info.backend_pid
    eventually(
        lambda: value(superuser, "select query ~ 'r' from pg_stat_activity where pid = %s", pid)
    )
    with superuser.transaction(force_rollback=True):
        superuser.execute("set local allow_system_table_mods = on")
        superuser.execute("alter view pg_stat_activity rename to sessions")
        superuser.execute(
            "create view pg_catalog.pg_stat_activity as select (jsonb_populate_record(s,"
            f" case s.pid when {pid} then jsonb_build_object('xact_start', clock_timestamp()"
            " + interval '3 seconds') else '{}' end)).* from sessions as s"
        )
        superuser.execute("grant select on pg_catalog.pg_stat_activity to public")
        cure = f"select pg_terminate_backend({pid})"
        assert failing(superuser)["sweep_runs"] == (
            f"the clock was set back, and session {pid} sleeps until it is there again: {cure}"
        )
        superuser.execute(cure.encode())


@pytest.mark.parametrize(
    "message",
    [
        "server restarted",
        "FATAL:  terminating connection due to administrator command",
        "server closed the connection unexpectedly",
        "FATAL: terminating background worker due to administrator command",
    ],
)
def test_a_run_that_ended_with_the_server_is_no_fault(cron_db: Database, message: str) -> None:
    superuser = cron_db.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute(WITHOUT_RUNS)
        superuser.execute(
            "insert into cron.job_run_details"
            " (jobid, runid, status, return_message, start_time)"
            " select jobid, -1, 'failed', %s, now() from cron.job"
            " where jobname = 'dispatch-sweep'",
            [message],
        )
        assert "sweep_runs" not in failing(superuser)
        superuser.execute("update cron.job_run_details set return_message = 'connection failed'")
        found = failing(superuser)["sweep_runs"]
        port = value(superuser, "show port")
        assert found.endswith(f"failed: connection failed (to localhost:{port})")
        # As one that a group installed.
        superuser.execute("alter role postgres nologin")
        assert failing(superuser)["sweep_runs"].endswith(
            f"(to localhost:{port}, and postgres may not log in)"
        )


def test_a_job_of_others_that_the_launcher_waits_for(cron_db: Database) -> None:
    """As if it were theirs: pg_cron's sessions are known by this name."""
    superuser, neighbour = cron_db.superuser(), cron_db.open()
    active = "select cron.alter_job(jobid, active => {}) from cron.job where jobname ~ 'sweep'"
    cron_db.sql(active.format("false"))
    try:
        # What runs is not ended by that.
        superuser.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where query ~ '\\mdispatch\\.sweep_round' and pid <> pg_backend_pid()"
        )
        with superuser.transaction(force_rollback=True), neighbour.transaction():
            superuser.execute(active.format("true").encode())
            neighbour.execute("set application_name = 'pg_cron'")
            neighbour.execute("select 'a slow job'")
            began, pid = rows(
                superuser,
                "select query_start, pid from pg_stat_activity where pid = %s",
                neighbour.info.backend_pid,
            )[0].values()
            late = began + timedelta(minutes=1)
            assert "launcher_free" not in failing(superuser, late)
            found = failing(superuser, late + MOMENT)["launcher_free"]
            assert f"waits for session {pid}, since" in found
            assert found.endswith("select 'a slow job'")
            # While the sweep runs it holds up nothing.
            sweep = cron_db.open()
            with sweep.transaction():
                sweep.execute("select 'dispatch.sweep_round('")
                superuser.execute("select pg_stat_clear_snapshot()")
                assert "launcher_free" not in failing(superuser, late + MOMENT)
            superuser.execute("select pg_stat_clear_snapshot()")
            assert "launcher_free" in failing(superuser, late + MOMENT)
            # Nor does it, where the sweep is switched off.
            superuser.execute(active.format("false").encode())
            assert "launcher_free" not in failing(superuser, late + MOMENT)
    finally:
        cron_db.sql(active.format("true"))


def test_without_a_launcher_no_job_begins(cron_db: Database) -> None:
    """Before 1.6 one that was ended does not come back; here its sessions are somebody else's."""
    superuser = cron_db.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute("set local allow_system_table_mods = on")
        superuser.execute("alter view pg_stat_activity rename to sessions")
        superuser.execute(
            "create view pg_catalog.pg_stat_activity as select * from sessions"
            " where backend_type <> 'pg_cron launcher'"
        )
        superuser.execute("grant select on pg_catalog.pg_stat_activity to public")
        found = failing(superuser)["launcher_free"]
    assert found == "pg_cron's launcher is not there, and no job begins: restart the server"


@pytest.mark.parametrize(
    ("setting", "is_short"),
    [
        ("role postgres in database {} set statement_timeout = '90s'", True),
        ("role postgres in database {} set statement_timeout = 90000", True),
        ("role postgres in database {} set statement_timeout = '91s'", False),
        ("role postgres in database {} set statement_timeout = 0", False),
        ("role postgres set statement_timeout = '1min'", True),
        ("database {} set statement_timeout = 5000", True),
        ("role all set statement_timeout = 5000", True),
        ("role service_role set statement_timeout = 5000", False),
        ("database template1 set statement_timeout = 5000", False),
        # However it is written: what the server reads, it keeps as it was.
        ("role postgres set statement_timeout = '0x10000'", True),
        ("role postgres set statement_timeout = '9e4'", True),
        ("role postgres set statement_timeout = ' 90000 '", True),
        ("role postgres set statement_timeout = '+90000'", True),
        ("role postgres set statement_timeout = '90000.4'", True),
        ("role postgres set statement_timeout = '0x20000'", False),
        ("role postgres set statement_timeout = ' 1.6 min'", False),
    ],
)
def test_a_timeout_that_ends_each_run(shared: Database, setting: str, is_short: bool) -> None:
    superuser = shared.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute(f"alter {setting.format(shared.name)}".encode())
        found = failing(superuser)
        assert ("sweep_uncut" in found) == is_short
        if is_short:
            assert "alter role postgres in database shared set" in found["sweep_uncut"]
        # The nearer setting is the one that counts.
        for nearer, is_cut in (("'80s'", True), ("0", False)):
            superuser.execute(
                f"alter role postgres in database shared set statement_timeout = {nearer}".encode()
            )
            assert ("sweep_uncut" in failing(superuser)) == is_cut


def test_a_timeout_that_ends_each_batch(shared: Database) -> None:
    superuser = shared.superuser()
    with superuser.transaction(force_rollback=True):
        # PostgreSQL 15 and 16 know none.
        if not rows(superuser, "select name from pg_settings where name = 'transaction_timeout'"):
            pytest.skip("no such setting before PostgreSQL 17")
        for longest, is_cut in (("10s", True), (90, True), ("11s", False), (0, False)):
            setting = f"alter role postgres set transaction_timeout = '{longest}'"
            superuser.execute(setting.encode())
            found = failing(superuser)
            assert ("sweep_uncut" in found) == is_cut
            if is_cut:
                told = "transaction_timeout of postgres is 00:00:"
                assert found["sweep_uncut"].startswith(told)
                assert found["sweep_uncut"].endswith("set transaction_timeout = 0")


@pytest.mark.parametrize(
    "level", ["serializable", "REPEATABLE READ", "read committed", "READ UNCOMMITTED"]
)
def test_a_job_with_another_isolation_level(shared: Database, level: str) -> None:
    superuser = shared.superuser()
    with superuser.transaction(force_rollback=True):
        setting = f"alter database shared set default_transaction_isolation = '{level}'"
        superuser.execute(setting.encode())
        found = failing(superuser)
        is_other = level in ("serializable", "REPEATABLE READ")
        assert ("sweep_may_write" in found) == is_other
        if is_other:
            assert f"is {level.lower()} for postgres" in found["sweep_may_write"]


@pytest.mark.parametrize(
    ("setting", "is_read_only"),
    [
        ("role postgres set", True),
        ("database shared set", True),
        ("role all set", True),
        ("role service_role set", False),
    ],
)
def test_a_job_that_may_not_write(shared: Database, setting: str, is_read_only: bool) -> None:
    superuser = shared.superuser()
    name = "default_transaction_read_only"
    with superuser.transaction(force_rollback=True):
        superuser.execute(f"alter {setting} {name} = on".encode())
        assert ("sweep_may_write" in failing(superuser)) == is_read_only
        superuser.execute(f"alter role postgres in database shared set {name} = off".encode())
        assert "sweep_may_write" not in failing(superuser)
        # What this session may is not what the job may.
        assert value(superuser, f"show {name}") == "off"


@pytest.mark.parametrize("setting", ["statement_timeout", "default_transaction_read_only"])
def test_asking_for_a_setting_of_the_jobs_leaves_ones_own(shared: Database, setting: str) -> None:
    connection = shared.open()
    mine = {"statement_timeout": "17s", "default_transaction_read_only": "on"}[setting]
    connection.execute(f"set {setting} = '{mine}'".encode())
    failing(connection)
    assert value(connection, f"show {setting}") == mine


@pytest.mark.parametrize(
    "table",
    further_but(
        ["public.session_requests", "dispatch.request_events", "auth.users"],
        ["public.session_requests", "public.mechanics", "public.service_plans",
         "dispatch.request_events", "dispatch.stripe_events", "dispatch.windows",
         "dispatch.presence", "auth.users", "realtime.messages"],
    ),
)  # fmt: skip
def test_a_session_that_has_a_whole_table(shared: Database, table: str) -> None:
    """It would hold up whoever asks, too."""
    holder = shared.superuser()
    with holder.transaction(force_rollback=True):
        holder.execute(f"lock table {table} in access exclusive mode".encode())
        found = {
            row["check_name"]: row["detail"]
            for row in shared.sql("select * from dispatch.health() where not ok")
        }
        assert set(found) == SCHEDULE | {"tables_readable"}
        pid = holder.info.backend_pid
        assert (
            f"session {pid} (supabase_admin) has the whole of {table}" in found["tables_readable"]
        )
    assert set(failing(shared.owner)) == SCHEDULE
    assert shared.value("show lock_timeout") == "0"


@pytest.mark.parametrize(
    ("statement", "holds"),
    [
        # Whoever plans to read a table waits for each index of it.
        ("reindex table session_requests", r"has the whole of public\.session_requests_\w+"),
        (
            "create index on dispatch.request_events (event)",
            r"lets nobody write to dispatch\.request_events",
        ),
    ],
)
def test_a_session_that_makes_an_index(shared: Database, statement: str, holds: str) -> None:
    """It would hold up whoever asks, or every booking; and who asks holds up nobody."""
    holder = shared.superuser()
    with holder.transaction(force_rollback=True):
        holder.execute(statement.encode())
        query = "select * from dispatch.health() where not ok"
        found = {row["check_name"]: row["detail"] for row in shared.sql(query)}
        assert set(found) == SCHEDULE | {"tables_readable"}
        told = rf"session {holder.info.backend_pid} \(supabase_admin\) {holds} since "
        assert re.match(told, found["tables_readable"])
    with shared.owner.transaction():
        assert set(failing(shared.owner)) == SCHEDULE
        kept = (
            "select count(*) from pg_locks as l join pg_class as c on c.oid = l.relation"
            " where c.relkind = 'r' and l.mode <> 'AccessShareLock' and l.pid = pg_backend_pid()"
        )
        assert shared.value(kept) == 0


@pytest.mark.parametrize("table", ["cron.job", "cron.job_run_details"])
def test_a_session_that_has_a_table_of_pg_cron_s(cron_db: Database, table: str) -> None:
    """As `vacuum full` of its runs does, which it keeps for ever."""
    holder = cron_db.superuser()
    with holder.transaction(force_rollback=True):
        holder.execute(f"lock table {table} in access exclusive mode".encode())
        found = failing(cron_db.owner)
        pid = holder.info.backend_pid
        held = f"session {pid} has the whole of {table}, and pg_cron begins no job until it ends"
        assert found["launcher_free"].startswith(held)
    assert "launcher_free" not in failing(cron_db.owner)
    assert cron_db.value("show lock_timeout") == "0"


def test_however_many_runs_of_others_pg_cron_has_kept(cron_db: Database) -> None:
    superuser = cron_db.superuser()
    read = (
        "select coalesce(idx_tup_fetch, 0) + seq_tup_read from pg_stat_xact_user_tables"
        " where relid = 'cron.job_run_details'::regclass"
    )
    with superuser.transaction(force_rollback=True):
        superuser.execute(b"lock table cron.job_run_details in exclusive mode")
        # Of a thousand runs each thousandth is left, as if each had been somebody's.
        superuser.execute(
            b"insert into cron.job_run_details (jobid, runid, status, start_time)"
            b" select 1000000, l.runid + 1000 * n, 'succeeded', now()"
            b" from generate_series(1, 1000) as n,"
            b" (select coalesce(max(runid), 0) as runid from cron.job_run_details) as l;"
            b" analyze cron.job_run_details"
        )
        before = value(superuser, read)
        superuser.execute(b"select * from dispatch.cron_checks(now())")
        assert value(superuser, read) - before < 500


def test_names_in_quotes(shared: Database) -> None:
    shared.sql("set quote_all_identifiers = on")
    assert set(failing(shared.owner)) == SCHEDULE


def test_a_session_that_waits_for_a_whole_table(shared: Database) -> None:
    """Whoever comes after it waits as well, though the one that it waits for only reads."""
    reader, waiting = shared.open(), shared.superuser()
    with reader.transaction(force_rollback=True), ThreadPoolExecutor(1) as pool:
        rows(reader, "select from session_requests")
        lock = "begin; lock table session_requests in access exclusive mode; rollback"
        done = pool.submit(waiting.execute, lock.encode())
        shared.wait_until_blocked(waiting)
        (found,) = shared.sql("select * from dispatch.health() where check_name ~ 'readable'")
        assert not found["ok"]
        pid = waiting.info.backend_pid
        assert f"{pid} (supabase_admin) waits for the whole of" in found["detail"]
        reader.execute("rollback")
        done.result()


def test_a_prepared_transaction_that_somebody_forgot() -> None:
    """It has no session, and is named by health and by the install."""
    with (
        Cluster(settings={"max_prepared_transactions": "1"}) as cluster,
        Database(cluster, "postgres") as db,
    ):
        install(cluster.dsn())

        def detail(check: str) -> str:
            query = "select detail from dispatch.health() where check_name = %s and not ok"
            return str(db.value(query, check))

        customer = db.make_customer()
        db.sql("begin; set local dispatch.delivery = 'later'")  # a notice cannot be prepared
        db.make_request(customer)
        db.sql("prepare transaction 'forgotten'")
        in_two_minutes = "select * from dispatch.health(now() + interval '2 minutes')"
        (found,) = (r for r in db.sql(in_two_minutes) if r["check_name"] == "events_settled")
        assert "prepared transaction forgotten" in found["detail"] and not found["ok"]
        patience = "?options=-c%20favorites_priority.wait_for_locks%3D0"
        with pytest.raises(RuntimeError, match=r"Held by: the prepared transaction forgotten\n"):
            install(cluster.dsn() + patience)
        db.sql("rollback prepared 'forgotten'")

        db.sql("begin; lock table mechanics; prepare transaction 'whole'")
        held = "prepared transaction whole has the whole of public.mechanics"
        assert held in detail("tables_readable")
        db.sql("rollback prepared 'whole'")


def test_a_job_that_does_something_else(cron_db: Database) -> None:
    superuser = cron_db.superuser()
    for job in ("sweep", "retention"):
        with superuser.transaction(force_rollback=True):
            superuser.execute("alter table cron.job disable trigger all")
            superuser.execute(
                "update cron.job set command = 'select 1' where jobname = %s",
                [f"dispatch-{job}"],
            )
            found = failing(superuser)[f"{job}_scheduled"]
            assert (
                found == f"no active job dispatch-{job} that does its work: its command is another"
            )


def test_two_jobs_where_one_is_enough(cron_db: Database) -> None:
    """Both may run, and so it is told, and no fault."""
    superuser = cron_db.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute("alter table cron.job disable trigger all")
        superuser.execute(
            "insert into cron.job"
            " (schedule, command, nodename, nodeport, database, username, active, jobname)"
            " select schedule, command, nodename, nodeport, database, 'supabase_admin', true,"
            " jobname from cron.job where jobname = 'dispatch-sweep'"
        )
        (row,) = rows(
            superuser, "select * from dispatch.health() where check_name = 'sweep_scheduled'"
        )
        assert row["ok"] and row["detail"].endswith("2 of them where one is enough")


def test_without_pg_cron_it_says_so(shared: Database) -> None:
    found = failing(shared.owner)
    assert found == dict.fromkeys(SCHEDULE, "pg_cron is not in this database")


def test_another_scheduler_runs_the_jobs(shared: Database) -> None:
    worker = shared.open()
    worker.execute("set application_name = 'our_timer'")
    shared.make_request()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shared.run_sweep, 60, worker)
        eventually(lambda: failing(shared.owner) == {})
        query = "select detail from dispatch.health() where check_name = 'sweep_runs'"
        assert "our_timer" in shared.value(query)
        shared.superuser().execute("select pg_cancel_backend(%s)", (worker.info.backend_pid,))
        assert isinstance(running.exception(), psycopg.errors.QueryCanceled)
    assert set(failing(shared.owner)) == SCHEDULE


def test_a_pg_cron_that_keeps_no_runs() -> None:
    with (
        Cluster(settings={"cron.log_run": "off"}) as cluster,
        Database(cluster, "postgres") as db,
        ThreadPoolExecutor(1) as pool,
    ):
        install(cluster.dsn())
        db.stop_jobs()
        late = db.value("select now() + interval '1 day'")
        running = pool.submit(db.run_sweep, 3, db.open())
        eventually(lambda: "sweep_runs" not in failing(db.owner, late))
        running.result()
        assert failing(db.owner, late)["sweep_runs"].endswith("no session runs the sweep")
        assert "sweep_runs" not in failing(db.owner)  # so soon after the install


def test_a_full_queue_of_notices(db: Database) -> None:
    """To fill the real one takes 4 GB of notices that nobody reads."""
    superuser = db.superuser()
    superuser.execute("alter function pg_catalog.pg_notification_queue_usage() rename to really")
    usage = "create or replace function pg_catalog.pg_notification_queue_usage() returns float8"
    superuser.execute(f"{usage} language sql as 'select 0.5::float8'".encode())
    assert set(failing(db.owner)) == SCHEDULE
    superuser.execute(f"{usage} language sql as 'select 0.51::float8'".encode())
    found = failing(db.owner)
    assert set(found) == SCHEDULE | {"notify_queue"}
    assert found["notify_queue"].startswith("51 % full")


def test_a_snapshot_that_vacuum_waits_for(shared: Database) -> None:
    """Old in minutes and in transactions: a listener at rest has an old one for a moment."""
    listener = shared.stuck_listener()
    pid = listener.info.backend_pid
    since = "select xact_start + interval '5 minutes' from pg_stat_activity where pid = %s"
    old = shared.value(since, pid) + MOMENT
    assert "snapshots_recent" not in failing(shared.owner, old)

    xmin = "select age(backend_xmin) from pg_stat_activity where pid = %s"
    # Autovacuum and pg_cron, in other databases of this server, take some of their own.
    left = 9_900 - shared.value(xmin, pid)
    one_each = (
        "do $$ begin for n in 1..{} loop perform pg_current_xact_id(); commit; end loop; end $$"
    )
    shared.owner.execute("set synchronous_commit = off")
    shared.sql(one_each.format(left))
    assert 9_900 <= shared.value(xmin, pid) <= 10_000
    assert "snapshots_recent" not in failing(shared.owner, old)
    shared.sql(one_each.format(101))
    assert "snapshots_recent" not in failing(shared.owner, old - MOMENT)
    found = failing(shared.owner, old)["snapshots_recent"]
    assert found.startswith(f"session {pid} (client backend) keeps vacuum from removing")
    assert re.search(
        r"dead rows of the last 1\d{4} transactions: its client does not read what it is sent$",
        found,
    )
    listener.close()
    eventually(lambda: "snapshots_recent" not in failing(shared.owner, old))


def test_a_writer_that_vacuum_waits_for(shared: Database) -> None:
    """One that is idle has no snapshot, and holds it up all the same."""
    writer = shared.open()
    shared.owner.execute("set synchronous_commit = off")
    spend = (
        "do $$ begin for n in 1..10001 loop perform pg_current_xact_id(); commit; end loop; end $$"
    )
    with writer.transaction(force_rollback=True):
        rows(writer, "select pg_current_xact_id()")
        pid = writer.info.backend_pid
        since = "select xact_start from pg_stat_activity where pid = %s and backend_xmin is null"
        old = shared.value(since, pid) + timedelta(minutes=5)
        shared.sql(spend)
        assert "snapshots_recent" not in failing(shared.owner, old)
        found = failing(shared.owner, old + MOMENT)
        assert found["snapshots_recent"].startswith(f"session {pid} (client backend) keeps vacuum")


def test_what_has_no_session_and_vacuum_waits_for(shared: Database) -> None:
    """As if there were some: a server must be started for prepared transactions."""
    superuser = shared.superuser()
    shared.owner.execute("set synchronous_commit = off")
    xid = shared.value("select pg_current_xact_id()::xid")
    shared.sql(
        "do $$ begin for n in 1..10001 loop perform pg_current_xact_id(); commit; end loop; end $$"
    )
    for view, row, who in (
        (
            "pg_prepared_xacts",
            f"'{xid}'::xid as transaction, 'two'::text as gid, now() - interval '6 minutes' as"
            " prepared, current_database() as database",
            "prepared transaction two",
        ),
        (
            "pg_replication_slots",
            f"'away'::name as slot_name, '{xid}'::xid as xmin, false as active,"
            " 'reserved'::text as wal_status",
            "replication slot away",
        ),
    ):
        with superuser.transaction(force_rollback=True):
            superuser.execute("set local allow_system_table_mods = on")
            superuser.execute(f"alter view {view} rename to really".encode())
            superuser.execute(f"create view pg_catalog.{view} as select {row}".encode())
            superuser.execute(f"grant select on pg_catalog.{view} to public".encode())
            assert failing(superuser)["snapshots_recent"].startswith(f"{who} keeps vacuum from")


def test_a_slot_that_nobody_reads(db: Database) -> None:
    """Realtime is away: what it is to read is kept, until the disk is full."""
    superuser = db.superuser()
    size = db.value("select current_setting('max_wal_size')")
    superuser.execute("select pg_create_logical_replication_slot('away', 'pgoutput')")
    try:
        assert "slots_read" not in failing(db.owner)
        # As soon as more is kept than this; what is the least is two files of it.
        superuser.execute("alter system set max_wal_size = '32MB'")
        superuser.execute("select pg_reload_conf()")
        for _ in range(4):
            superuser.execute("create table if not exists public.written (); drop table written")
            superuser.execute("select pg_switch_wal()")
        eventually(lambda: "slots_read" in failing(db.owner))
        assert failing(db.owner)["slots_read"] == (
            "replication slot away keeps more than max_wal_size (32MB), and the disk fills: its"
            " reader is away"
        )
    finally:
        superuser.execute("select pg_drop_replication_slot('away')")
        superuser.execute("alter system reset max_wal_size")
        superuser.execute("select pg_reload_conf()")
    eventually(lambda: db.value("select current_setting('max_wal_size')") == size)
    assert "slots_read" not in failing(db.owner)


def test_who_may_not_see_other_sessions_is_told(shared: Database) -> None:
    superuser = shared.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute("revoke pg_monitor from postgres; set local role postgres")
        found = failing(superuser)
    for check in ("snapshots_recent", "events_settled"):
        assert (
            found[check] == "other sessions are not shown to postgres: grant it pg_read_all_stats"
        )


def test_a_server_that_does_not_say_what_sessions_do(cron_db: Database) -> None:
    """Who holds up the cursor would hold it up for ever, and nothing say so."""
    superuser = cron_db.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute("set local track_activities = off")
        found = failing(superuser)
    for check in ("launcher_free", "snapshots_recent", "events_settled"):
        assert found[check].startswith("track_activities is off, and what other sessions do is not")


def test_a_writer_that_does_not_commit(shared: Database) -> None:
    """Nobody catches up past its event, and all else is well."""
    writer = shared.open()
    with writer.transaction(force_rollback=True):
        shared.make_request(connection=writer)
        since = "select xact_start from pg_stat_activity where pid = %s"
        pid = writer.info.backend_pid
        late = shared.value(since, pid) + timedelta(minutes=1)
        assert "events_settled" not in failing(shared.owner, late - MOMENT)
        found = failing(shared.owner, late)
        assert set(found) == SCHEDULE | {"events_settled"}
        assert found["events_settled"].startswith(f"session {pid} (postgres, idle in transaction)")
    eventually(lambda: set(failing(shared.owner, late)) == SCHEDULE)


def test_no_partition_for_todays_broadcasts(db: Database) -> None:
    superuser = db.superuser()
    last = db.value("select date_trunc('day', now() at time zone 'UTC') + interval '8 days'")
    end = last.replace(tzinfo=UTC)
    assert set(failing(db.owner, end - MOMENT)) >= SCHEDULE
    assert "broadcast_partition" not in failing(db.owner, end - MOMENT)
    db.sql("set time zone 'Asia/Tokyo'; set datestyle = 'german'")
    assert "broadcast_partition" not in failing(db.owner, end - MOMENT)
    assert f"has none for {last:%d.%m.%Y}" in failing(db.owner, end)["broadcast_partition"]
    for bound in ("default", "for values from ('2000-01-01') to (maxvalue)"):
        with superuser.transaction(force_rollback=True):
            if bound != "default":
                for day in range(-1, 8):
                    name = f"messages_{last - timedelta(days=8 - day):%Y_%m_%d}"
                    superuser.execute(f"drop table realtime.{name}".encode())
            superuser.execute(
                f"create table realtime.rest partition of realtime.messages {bound}".encode()
            )
            assert "broadcast_partition" not in failing(superuser, end)
    superuser.execute("drop schema realtime cascade")
    assert "broadcast_partition" not in failing(db.owner, end)


def test_nobody_may_join_a_private_topic(shared: Database) -> None:
    superuser = shared.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute("revoke select on realtime.messages from authenticated")
        found = failing(superuser)
        assert set(found) == SCHEDULE | {"broadcast_partition"}
        assert found["broadcast_partition"].startswith("authenticated lacks usage on schema")


def test_requests_that_a_trigger_keeps_from_expiring(db: Database) -> None:
    db.make_request(notes="poison", expires_at="2030-01-01Z")
    db.sql(POISON)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    late = at + timedelta(seconds=5)
    assert db.value("select dispatch.sweep(p_now => %s)", at) == 0
    assert "requests_expired" not in failing(db.owner, late)
    assert failing(db.owner, late + MOMENT)["requests_expired"].startswith("1 requests")
    db.sql("drop function public.poison cascade")
    assert db.value("select dispatch.sweep(p_now => %s)", at) == 1
    assert "requests_expired" not in failing(db.owner, late + MOMENT)


@pytest.mark.parametrize(
    "table",
    ["public.session_requests", "public.mechanics", "dispatch.request_events",
     "dispatch.stripe_events", "dispatch.windows", "dispatch.pushes", "dispatch.devices",
     "auth.users"],
)  # fmt: skip
def test_rows_that_are_hidden_from_who_asks(shared: Database, table: str) -> None:
    """A table whose security is forced hides its rows from its owner too."""
    superuser = shared.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute("alter role postgres nobypassrls")
        superuser.execute(f"alter table {table} force row level security".encode())
        found = failing(superuser)
        assert set(found) == SCHEDULE | {"rows_visible"}
        assert found["rows_visible"].startswith("row level security hides rows from postgres")
        assert table in found["rows_visible"]
        # But where a policy of its own shows them.
        superuser.execute(f"create policy owners on {table} to postgres using (true)".encode())
        if table != "auth.users":
            superuser.execute("create policy owners on auth.users to postgres using (true)")
        assert set(failing(superuser)) == SCHEDULE


MONITORS = {
    "that of sql/monitor_role.sql": "set local role dispatch_monitor",
    "one that may call and read all, but sees no row": (
        "create role watcher;"
        " grant usage on schema dispatch to watcher; grant pg_monitor, pg_read_all_data to watcher;"
        " grant execute on all functions in schema dispatch to watcher; set local role watcher"
    ),
}


@pytest.mark.parametrize("monitor", MONITORS.values(), ids=MONITORS)
def test_an_exporters_role_sees_what_the_owner_sees(shared: Database, monitor: str) -> None:
    run_psql(shared.dsn(), "-f", str(ROOT / "sql/monitor_role.sql"))
    event = checkout(shared.make_customer(), plan="gold")
    rpc(shared.connect(role="service_role"), "process_stripe_event", event=event)
    shared.make_request(preferred=shared.make_mechanic())
    health = "select * from dispatch.health('2100-01-01Z')"
    metrics = "select * from dispatch.metrics"
    seen = shared.sql(health), shared.sql(metrics)
    assert {"windows_announced", "stripe_events_processed", "events_delivered"} & {
        row["check_name"] for row in seen[0] if not row["ok"]
    } == {"windows_announced", "stripe_events_processed"}
    assert any(row["requests_total"] for row in seen[1])
    exporter = shared.superuser()
    with exporter.transaction(force_rollback=True):
        exporter.execute(monitor.encode())
        assert (rows(exporter, health), rows(exporter, metrics)) == seen


@pytest.mark.parametrize("statement", ["table dispatch.request_events", "select dispatch.sweep()",
                                       "table public.session_requests"])  # fmt: skip
def test_an_exporters_role_may_do_nothing_else(shared: Database, statement: str) -> None:
    run_psql(shared.dsn(), "-f", str(ROOT / "sql/monitor_role.sql"))
    exporter = shared.superuser()
    with exporter.transaction(force_rollback=True):
        exporter.execute("set local role dispatch_monitor")
        with refused("42501"):
            exporter.execute(statement.encode())


@pytest.mark.parametrize("at", ["infinity", "-infinity", "294276-12-31Z", "4714-11-24Z BC"])
def test_times_that_are_none_break_nothing_that_looks_at_them(shared: Database, at: str) -> None:
    """Whatever time a row brings: written with it, changed to it, or logged with it before."""
    customer, mechanic, other = (
        shared.make_customer(),
        shared.make_mechanic(),
        shared.make_mechanic(),
    )
    times = ["created_at", "updated_at", "accepted_at", "expires_at", "notification_sent_at",
             "priority_notified_at"]  # fmt: skip
    requests = []
    for time in times:
        for status in ("pending", "accepted", "expired"):
            (row,) = shared.sql(
                "insert into session_requests"
                f" (customer_id, session_type, preferred_mechanic_id, status, {time})"
                " values (%s, 'chat', %s, %s, %s) returning id",
                customer,
                mechanic,
                status,
                at,
            )
            requests.append(row["id"])
        late = shared.make_request(customer, mechanic)
        with suppress(psycopg.Error):  # what is refused is well, too
            shared.sql(f"update session_requests set {time} = %s where id = %s", at, late)
    ended = shared.make_request(customer, mechanic)
    shared.end_window(ended)
    accepted = shared.make_request(customer, created_at=at)
    shared.sweep()
    shared.run_sweep(0)
    rpc(shared.connect(mechanic), "accept_session_request", request_id=accepted)
    # As the log has it of a release that let more through.
    shared.sql(
        "update dispatch.request_events set payload = payload || jsonb_build_object("
        "'window_ends_at', %s::timestamptz, 'created_at', %s::timestamptz)",
        at,
        at,
    )
    shared.sql("select * from dispatch.health()")
    shared.sql("select * from dispatch.metrics")
    shared.sql(
        "update dispatch.request_events set delivered_at = %s,"
        " payload = payload || jsonb_build_object('window_ends_at', now(), 'created_at', now())",
        at,
    )
    shared.sql("select * from dispatch.health()")
    shared.sql("select * from dispatch.metrics")
    for each in (mechanic, other):
        caller = shared.connect(each)
        rpc(caller, "list_open_session_requests")
        rpc(caller, "list_session_request_events")
    for request in requests:
        shared.sql("select * from dispatch.explain_routing(%s)", request)
        rpc(shared.connect(customer), "get_session_request_timeline", request_id=request)
    for function in ("prune_events", "prune_windows", "prune_stripe_events"):
        shared.value(f"select dispatch.{function}('1 day')")
    shared.value("select dispatch.set_favorites_priority(false)")
    shared.value("select dispatch.set_favorites_priority(true)")
    assert shared.sweep() == 0


PLUGINS = ["wal2json", "pgoutput"]


def loads(connection: Connection, plugin: str) -> bool:
    """Whether the server lets it be used."""
    try:
        with connection.transaction():
            create = "select pg_create_logical_replication_slot('probe', %s, true)"
            rows(connection, create, plugin)
            rows(connection, "select pg_drop_replication_slot('probe')")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@pytest.mark.parametrize(
    ("names", "unnamed"),
    [
        ("pgoutput, test_decoding, wal2json", []),
        ('"wal2json" ,pgoutput', []),
        ("pgoutput, test_decoding", ["wal2json"]),  # as a server has it after an update
        ("wal2json", ["pgoutput"]),
        ("WAL2JSON, my_wal2json, $libdir/wal2json, pgoutput", ["wal2json"]),
        ('"pgoutput, wal2json"', PLUGINS),  # as `set … = 'pgoutput, wal2json'` makes it
        ("", PLUGINS),
    ],
)
def test_a_server_that_refuses_an_output_plugin(
    shared: Database, names: str, unnamed: list[str]
) -> None:
    superuser = shared.superuser()
    if not rows(superuser, "select name from pg_settings where name = 'output_plugin_libraries'"):
        pytest.skip("this server refuses none")
    check = "output_plugins_allowed"
    with superuser.transaction(force_rollback=True):
        rows(superuser, "select set_config('output_plugin_libraries', %s, true)", names)
        assert [plugin for plugin in PLUGINS if not loads(superuser, plugin)] == unnamed
        superuser.execute("set local role postgres")
        found = failing(superuser)
        assert (check in found) == bool(unnamed)
        if unnamed:
            assert f"nothing by {' and '.join(unnamed)}: not named in" in found[check]
        # Realtime's own role may be allowed more.
        superuser.execute("reset role")
        superuser.execute(
            "alter role supabase_admin set output_plugin_libraries = wal2json, pgoutput"
        )
        assert check not in failing(superuser)


def test_who_may_not_see_settings_is_told(shared: Database) -> None:
    superuser = shared.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute("revoke pg_monitor from postgres; set local role postgres")
        found = failing(superuser)["output_plugins_allowed"]
        assert found == "settings are not shown to postgres: grant it pg_read_all_settings"
        # Where there is no Realtime, there is nothing to see.
        superuser.execute("reset role; drop schema realtime cascade")
        superuser.execute("drop publication supabase_realtime; set local role postgres")
        assert "output_plugins_allowed" not in failing(superuser)


def test_too_much_on_disk(db: Database) -> None:
    db.sql(
        "insert into dispatch.stripe_events (id, type, payload)"
        " select n::text, 'x', '{}' from generate_series(1, 1000) as n"
    )
    db.sql("update dispatch.stripe_events set processed_at = now()")
    sizes = {
        check: int(db.value(f"select pg_total_relation_size('dispatch.{table}')"))
        for check, table in (
            ("event_log_size", "request_events"),
            ("stripe_ledger_size", "stripe_events"),
        )
    }
    small, large = sorted(sizes, key=lambda check: sizes[check])
    assert sizes[small] < sizes[large]

    def too_large(limit: int) -> set[str]:
        found = db.sql("select * from dispatch.health(p_max_bytes => %s)", limit)
        return {row["check_name"] for row in found if not row["ok"]} - SCHEDULE

    assert too_large(sizes[large]) == set()
    assert too_large(sizes[large] - 1) == {large}
    assert too_large(sizes[small] - 1) == {small, large}
    (detail,) = (
        row["detail"]
        for row in db.sql("select * from dispatch.health()")
        if row["check_name"] == large
    )
    assert detail.endswith("on disk, 10 GB allowed")


def test_a_window_not_announced(shared: Database) -> None:
    row = shared.request(shared.make_request(preferred=shared.make_mechanic()))
    ends_at = row["priority_notified_at"] + timedelta(minutes=10)
    late = ends_at + timedelta(seconds=5)
    shared.sql("update dispatch.request_events set delivered_at = now()")
    assert set(failing(shared.owner, late - MOMENT)) == SCHEDULE
    found = failing(shared.owner, late)
    assert set(found) == SCHEDULE | {"windows_announced"}
    assert found["windows_announced"].startswith("1 requests")
    shared.value("select dispatch.sweep(p_now => %s)", ends_at)
    assert set(failing(shared.owner, late)) == SCHEDULE


def test_a_window_announced_late(shared: Database) -> None:
    for _ in range(2):
        shared.end_window(shared.make_request(preferred=shared.make_mechanic()))
    assert shared.sweep() == 2
    now = shared.value("select now()")
    assert set(failing(shared.owner, now)) == SCHEDULE
    late = (
        "update dispatch.request_events set delivered_at ="
        " (payload ->> 'window_ends_at')::timestamptz + %s"
        " where id = (select max(id) from dispatch.request_events)"
    )
    shared.sql(late, timedelta(seconds=5))
    assert set(failing(shared.owner, now)) == SCHEDULE
    shared.sql(late, timedelta(seconds=5.5))
    found = failing(shared.owner, now)
    assert set(found) == SCHEDULE | {"windows_on_time"}
    assert found["windows_on_time"].startswith("1 windows")
    assert found["windows_on_time"].endswith("at worst by 00:00:05.5")
    shared.sql("update session_requests set status = 'cancelled'")
    shared.sql("update dispatch.request_events set delivered_at = coalesce(delivered_at, now())")
    assert "windows_on_time" not in failing(shared.owner, now + timedelta(minutes=16))


def test_an_event_not_delivered(shared: Database) -> None:
    (event,) = shared.events(shared.make_request())
    shared.sql("update dispatch.request_events set delivered_at = null")
    late = event["created_at"] + timedelta(seconds=5)
    assert set(failing(shared.owner, late)) == SCHEDULE
    found = failing(shared.owner, late + MOMENT)
    assert set(found) == SCHEDULE | {"events_delivered"}
    assert found["events_delivered"].startswith("1 events")
    shared.value("select dispatch.deliver_events()")
    assert set(failing(shared.owner, late + MOMENT)) == SCHEDULE


def test_a_stripe_event_in_error(shared: Database) -> None:
    event = checkout(shared.make_customer(), plan="gold")
    rpc(shared.connect(role="service_role"), "process_stripe_event", event=event)
    found = failing(shared.owner)
    assert set(found) == SCHEDULE | {"stripe_events_processed"}
    assert found["stripe_events_processed"].startswith("1 Stripe events")
    shared.sql("insert into service_plans values ('gold', 'Gold', 'video', 1)")
    shared.value("select dispatch.replay_stripe_event(%s)", event["id"])
    assert set(failing(shared.owner)) == SCHEDULE


def test_a_request_that_nobody_accepts(shared: Database) -> None:
    request = shared.make_request()
    shared.sql("update dispatch.request_events set delivered_at = now()")
    # It had a window of an hour before.
    shared.sql("update session_requests set created_at = created_at - interval '1 hour'")
    late = shared.request(request)["notification_sent_at"] + timedelta(minutes=15)
    assert set(failing(shared.owner, late)) == SCHEDULE
    found = failing(shared.owner, late + MOMENT)
    assert set(found) == SCHEDULE | {"requests_accepted"}
    assert found["requests_accepted"].startswith("1 requests")
    rpc(shared.connect(shared.make_mechanic()), "accept_session_request", request_id=request)
    shared.value("select dispatch.deliver_events()")
    assert set(failing(shared.owner, late + MOMENT)) == SCHEDULE


def test_a_refund_that_is_due(shared: Database) -> None:
    """Only what was paid, and only once it has expired (more of it: test_payments)."""
    shared.make_request()
    shared.make_request(metadata={"stripe_payment_intent": "pi_1"})
    assert set(failing(shared.owner)) == SCHEDULE
    assert shared.value("select dispatch.sweep(p_now => now() + interval '2 days')") == 2
    found = failing(shared.owner)
    assert set(found) == SCHEDULE | {"refunds_due"}
    assert found["refunds_due"].startswith("1 paid requests")


def test_what_is_counted_stops_at_a_thousand(shared: Database) -> None:
    shared.sql(
        "insert into dispatch.stripe_events (id, type, payload)"
        " select n::text, 'x', '{}' from generate_series(1, 1001) as n"
    )
    shared.sql(
        "insert into dispatch.request_events (request_id, event, payload, created_at)"
        " select gen_random_uuid(), 'x', '{}', now() - interval '1 minute'"
        " from generate_series(1, 999)"
    )
    found = failing(shared.owner)
    assert found["stripe_events_processed"].startswith("1000 or more Stripe events")
    assert found["events_delivered"].startswith("999 events")


def buffers(db: Database, query: str) -> int:
    """Pages that a query reads once the catalogue is known."""
    for _ in range(3):
        (plan,) = db.value(f"explain (analyze, buffers, format json) {query}")
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


def test_health_and_a_day_of_metrics_cost_little_however_long_the_history(db: Database) -> None:
    customer = db.make_customer()
    superuser = db.superuser()
    superuser.execute("set session_replication_role = replica")
    superuser.execute(
        "insert into public.session_requests"
        " (customer_id, session_type, status, created_at, notification_sent_at, expires_at,"
        " metadata)"
        " select %s, 'chat', case n %% 2 when 0 then 'completed' else 'expired' end"
        "::session_request_status, at, at, at, jsonb_build_object('stripe_payment_intent', n)"
        " || case n %% 2 when 0 then '{}' else '{\"refunded_at\": 1}' end::jsonb"
        " from generate_series(1, 20000) as n"
        " cross join lateral (select now() - (20000 - n) * interval '5 minutes' as at) as t",
        (customer,),
    )
    superuser.execute(
        "insert into dispatch.request_events (request_id, event, payload, created_at, delivered_at)"
        " select id, 'request_completed', '{}', created_at, created_at"
        " from public.session_requests order by created_at"
    )
    superuser.execute(
        "insert into dispatch.stripe_events (id, type, payload, received_at, processed_at)"
        " select id::text, 'x', '{}', created_at, created_at from public.session_requests"
    )
    db.sql("analyze")
    pages = db.value("select pg_relation_size('session_requests') / 8192")
    assert pages > 300
    assert buffers(db, "select * from dispatch.health()") < 400  # most of them the catalogue's
    today = "select * from dispatch.metrics where day = (now() at time zone 'UTC')::date"
    assert buffers(db, today) < 200


def test_a_day_in_numbers(shared: Database) -> None:
    customer, favourite, other = (
        shared.make_customer(),
        shared.make_mechanic(),
        shared.make_mechanic(),
    )

    def accept(mechanic: str, request: str, after: int) -> None:
        rpc(shared.connect(mechanic), "accept_session_request", request_id=request)
        accepted_after[request] = after

    (before,) = shared.events(shared.make_request(customer))
    accepted_after: dict[str, int] = {}
    kept, ended, ended_too, declined = (shared.make_request(customer, favourite) for _ in range(4))
    accept(favourite, kept, 10)
    shared.end_window(ended)
    shared.end_window(ended_too)
    assert shared.sweep() == 2
    shared.sql("update session_requests set status = 'expired' where id = %s", ended_too)
    accept(favourite, ended, 20)  # no longer as the favourite
    rpc(shared.connect(favourite), "decline_session_request", request_id=declined)
    accept(other, shared.make_request(customer), 40)
    skipped = shared.make_request(customer, shared.make_mechanic("pending"))
    rpc(shared.connect(customer), "cancel_session_request", request_id=skipped)

    # All of it yesterday, booked two minutes before its end; the day before there was one booking.
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    late = today - timedelta(minutes=2)
    shared.sql(
        "update dispatch.request_events set created_at = %s,"
        " payload = payload || jsonb_build_object('created_at', %s::timestamptz)",
        late,
        late,
    )
    shared.sql(
        "update dispatch.request_events set created_at = %s where id = %s",
        today - timedelta(days=2),
        before["id"],
    )
    for request, seconds in accepted_after.items():
        shared.sql(
            "update dispatch.request_events set created_at = created_at + make_interval(secs => %s)"
            " where request_id = %s and event = 'request_accepted'",
            seconds,
            request,
        )
    for request, seconds in ((ended, 1), (ended_too, 3)):
        shared.sql(
            "update dispatch.request_events set"
            " delivered_at = (payload ->> 'window_ends_at')::timestamptz + %s"
            " where request_id = %s and event = 'new_request'",
            timedelta(seconds=seconds),
            request,
        )

    shared.sql("set time zone 'Asia/Tokyo'")  # days are UTC's whoever asks
    found = shared.sql("select * from dispatch.metrics order by day desc")
    assert [row.pop("day") for row in found] == [
        (today - timedelta(days=ago)).date() for ago in range(30)
    ]
    nothing = {name: 0 if name.endswith("_total") else None for name in found[0]}
    assert found[0] == found[3] == found[29] == nothing
    assert found[2] == nothing | {"requests_total": 1}
    assert found[1] == {
        "requests_total": 6,
        "priority_requests_total": 4,
        "favourite_accepts_total": 1,
        "fallbacks_total": 3,
        "skipped_total": 1,
        "accepts_total": 3,
        "cancelled_total": 1,
        "expired_total": 1,
        "pushes_sent_total": 0,
        "pushes_failed_total": 0,
        "favourite_acceptance_ratio": 0.25,
        "fallback_ratio": 0.75,
        "accept_p50_seconds": 20,
        "accept_p95_seconds": 38,
        "sweep_lateness_p50_seconds": 2,
        "sweep_lateness_p95_seconds": pytest.approx(2.9),
        "sweep_lateness_max_seconds": 3,
    }


def test_metrics_say_their_units(shared: Database) -> None:
    found = shared.sql(
        "select attname as name, col_description(attrelid, attnum) as comment from pg_attribute"
        " where attrelid = 'dispatch.metrics'::regclass and attnum > 0 and attname <> 'day'"
    )
    units = {"total": "Count: ", "ratio": "Ratio, ", "seconds": "Seconds "}
    assert len(found) == 17
    for row in found:
        assert row["comment"].startswith(units[row["name"].rpartition("_")[2]]), row


@pytest.mark.parametrize("hours_ago", [[], [1], [9, 7, 7, 5, 1], [*range(100, 0, -1)]])
def test_the_first_event_since_a_time(shared: Database, hours_ago: list[int]) -> None:
    """Whatever gaps the ids have."""
    for number, hours in enumerate(hours_ago):
        shared.sql(
            "insert into dispatch.request_events (id, request_id, event, payload, created_at)"
            " overriding system value values"
            " (%s, gen_random_uuid(), 'x', '{}', '2026-03-14Z'::timestamptz - %s::interval)",
            number * number,
            timedelta(hours=hours),
        )
    for since in range(11):
        first = shared.value(
            "select dispatch.first_event_id_since('2026-03-14Z'::timestamptz - %s::interval)",
            timedelta(hours=since),
        )
        assert (first is None) == (not hours_ago)
        for number, hours in enumerate(hours_ago):
            assert (number * number >= first) == (hours <= since)
