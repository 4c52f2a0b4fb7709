"""What the daily job deletes, and what it must never delete."""

from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from stack import ROOT
from stack.install import ENGINE, cron_command, install
from stack.postgres import Cluster
from stack.push_service import Device
from tests.database import (
    WITHOUT_RUNS,
    Database,
    checkout,
    refund,
    refused,
    rows,
    rpc,
    value,
)

AGE = timedelta(days=90)
MOMENT = timedelta(microseconds=1)


def age_events(db: Database, *ids: int) -> None:
    db.sql(
        "update dispatch.request_events set created_at = now() - %s"
        " where id = any(%s) or cardinality(%s::bigint[]) = 0",
        AGE + MOMENT,
        list(ids),
        list(ids),
    )


def prune_events(db: Database, limit: int = 1000) -> int:
    return int(db.value("select dispatch.prune_events(%s, %s)", AGE, limit))


def test_old_events_go_in_batches_and_young_ones_stay(shared: Database) -> None:
    requests = [shared.make_request() for _ in range(3)]
    shared.sql("update session_requests set status = 'cancelled'")
    shared.sql("select dispatch.deliver_events()")
    assert prune_events(shared) == 0
    before = [event["id"] for event in shared.events()]
    assert len(before) == 6
    age_events(shared, *before[:5])
    assert [prune_events(shared, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert [event["id"] for event in shared.events()] == before[5:]
    assert shared.request(requests[0])["status"] == "cancelled"


def test_whoever_is_shown_no_account_takes_nobody_for_gone(shared: Database) -> None:
    """The owner was made anew for a restore, and is not exempt from row level security."""
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    process = "select public.process_stripe_event(%s)"
    shared.sql(process, Jsonb(checkout(customer, session="cs_1", payment="pi_1")))
    device = Device("https://web.push.apple.com/1").subscription()
    rpc(shared.connect(mechanic), "register_device", **device)
    rpc(shared.connect(customer), "block_mechanic", mechanic_id=mechanic)
    left = (
        "select (select count(*) from dispatch.devices), (select count(*) from dispatch.blocks),"
        " (select count(*) from dispatch.stripe_events where scrubbed_at is null)"
    )
    superuser = shared.superuser()
    with superuser.transaction(force_rollback=True):
        before = rows(superuser, left)
        superuser.execute("alter role postgres nobypassrls; set local role postgres")
        jobs = "select dispatch.prune_stripe_events('180 days') + dispatch.prune_pushes('30 days')"
        assert value(superuser, jobs) == 0
        superuser.execute("reset role")
        assert rows(superuser, left) == before and all(before[0].values())


def test_the_age_is_exact(shared: Database) -> None:
    shared.make_request(status="completed")
    (event,) = shared.sql(
        "insert into dispatch.request_events (request_id, event, payload, delivered_at)"
        " values (gen_random_uuid(), 'x', '{}', now()) returning created_at"
    )
    prune = "select dispatch.prune_events(%s, p_now => %s)"
    assert shared.value(prune, AGE, event["created_at"] + AGE) == 0
    assert shared.value(prune, AGE, event["created_at"] + AGE + MOMENT) == 1


def test_a_young_event_below_an_old_one_stays(shared: Database) -> None:
    """A transaction that takes long writes events as old as itself."""
    shared.sql(
        "insert into dispatch.request_events (request_id, event, payload, delivered_at)"
        " select gen_random_uuid(), 'x', '{}', now() from generate_series(1, 2)"
    )
    young, old = shared.events()
    age_events(shared, old["id"])
    assert prune_events(shared) == 1
    assert [event["id"] for event in shared.events()] == [young["id"]]


def test_what_was_not_delivered_stays(shared: Database) -> None:
    shared.sql(
        "insert into dispatch.request_events (request_id, event, payload)"
        " values (gen_random_uuid(), 'x', '{}')"
    )
    age_events(shared)
    assert prune_events(shared) == 0
    shared.sql("update dispatch.request_events set delivered_at = now()")
    assert prune_events(shared) == 1


def test_who_declined_is_not_asked_again_while_the_request_is_pending(shared: Database) -> None:
    decliner = shared.connect(shared.make_mechanic())
    request = shared.make_request()
    rpc(decliner, "decline_session_request", request_id=request)
    shared.sql("update dispatch.request_events set delivered_at = now()")
    age_events(shared)
    assert prune_events(shared) == 0
    assert rpc(decliner, "list_open_session_requests") == []
    shared.sql("update session_requests set status = 'expired'")
    assert prune_events(shared) == 2
    assert rpc(decliner, "list_open_session_requests") == []


def test_a_cursor_older_than_the_log_goes_on_with_what_is_left(shared: Database) -> None:
    customer = shared.make_customer()
    connection = shared.connect(customer)
    for _ in range(2):
        shared.make_request(customer)
    shared.sql("update session_requests set status = 'cancelled'")
    shared.sql("update dispatch.request_events set delivered_at = now()")
    listed = rpc(connection, "list_session_request_events")
    age_events(shared, listed[0]["event_id"], listed[1]["event_id"])
    assert prune_events(shared) == 2
    assert rpc(connection, "list_session_request_events", after=0) == listed[2:]
    for event in listed[2:]:
        age_events(shared, event["event_id"])
    assert prune_events(shared) == 2
    # The log is empty, and the next id is still above every cursor.
    shared.make_request(customer)
    (event,) = rpc(connection, "list_session_request_events", after=listed[-1]["event_id"])
    assert event["event"] == "new_request"


# The Stripe ledger.


def process(db: Database, event: object) -> str:
    answer = rpc(db.connect(role="service_role"), "process_stripe_event", event=event)
    return str(answer["outcome"])


def prune_ledger(db: Database, limit: int = 1000) -> int:
    db.sql("update dispatch.stripe_events set received_at = now() - interval '181 days'")
    return int(db.value("select dispatch.prune_stripe_events('180 days', %s)", limit))


def test_old_stripe_events_go_in_batches_and_a_replay_books_nothing(shared: Database) -> None:
    events = [checkout(shared.make_customer()) for _ in range(3)]
    assert {process(shared, event) for event in events} == {"request_created"}
    assert shared.value("select dispatch.prune_stripe_events('180 days')") == 0
    assert [prune_ledger(shared, 2) for _ in range(3)] == [2, 1, 0]
    # The Checkout Session is on the request, and that is what makes it unique.
    assert {process(shared, event) for event in events} == {"duplicate"}
    assert shared.value("select count(*) from session_requests") == 3


def test_a_stripe_event_in_error_stays_without_the_name(shared: Database) -> None:
    event = checkout(shared.make_customer(), plan="gold")
    assert process(shared, event) == "error"
    assert [prune_ledger(shared), prune_ledger(shared)] == [1, 0]
    assert "Zoe" not in str(shared.sql("select * from dispatch.stripe_events"))
    shared.sql("insert into service_plans values ('gold', 'Gold', 'video', 1)")
    assert shared.value("select dispatch.replay_stripe_event(%s)", event["id"])["created"]
    assert prune_ledger(shared) == 1


def test_a_refund_waits_for_its_payment_as_long_as_that_can_come(shared: Database) -> None:
    """Stripe repeats for 3 days, and resends for 30; an event in error can be replayed for ever."""
    assert process(shared, refund("pi_never")) == "refunded"
    assert process(shared, refund("pi_late")) == "refunded"
    late = checkout(shared.make_customer(), plan="gold", payment="pi_late")
    assert process(shared, late) == "error"
    # pi_never's refund; and the names in the other's payment and refund
    assert prune_ledger(shared) == 3
    shared.sql("insert into service_plans values ('gold', 'Gold', 'video', 1)")
    assert shared.value("select dispatch.replay_stripe_event(%s)", late["id"])["created"]
    assert shared.value("select status from session_requests") == "cancelled"
    assert prune_ledger(shared) == 2


# pg_cron: its runs and its job.


def test_old_runs_of_our_jobs_go_and_those_of_others_stay(cluster: Cluster) -> None:
    with Database(cluster, "postgres") as db:
        superuser = db.superuser()
        with superuser.transaction(force_rollback=True):
            for job in ("theirs", "dispatch-push"):
                superuser.execute("select cron.schedule(%s, '0 0 1 1 *', 'select 1')", [job])
            superuser.execute(WITHOUT_RUNS)
            superuser.execute(
                "insert into cron.job_run_details (jobid, runid, status, start_time, end_time)"
                " select jobid, -10 * jobid - age, 'succeeded', now() - age * interval '1 day',"
                " case when age < 9 then now() - age * interval '1 day' end"
                " from cron.job, unnest(array[6, 8, 9]) as age"
            )
            prune = "select dispatch.prune_cron_runs('7 days', 3)"
            assert [value(superuser, prune) for _ in range(4)] == [3, 3, 2, 0]
            left = rows(
                superuser,
                "select j.jobname, count(*) as runs from cron.job_run_details"
                " join cron.job as j using (jobid) group by 1 order by 1",
            )
            assert [tuple(row.values()) for row in left] == [
                ("dispatch-push", 1),
                ("dispatch-retention", 1),
                ("dispatch-start", 1),
                ("dispatch-sweep", 1),
                ("theirs", 3),
            ]


def test_without_pg_cron_there_are_no_runs_to_delete(shared: Database) -> None:
    assert shared.value("select dispatch.prune_cron_runs('0')") == 0


def test_two_at_once_share_the_work(shared: Database) -> None:
    shared.sql(
        "insert into dispatch.request_events"
        " (request_id, event, payload, created_at, delivered_at)"
        " select gen_random_uuid(), 'x', '{}', now() - interval '91 days', now()"
        " from generate_series(1, 10)"
    )
    one, two = shared.open(), shared.open()
    prune = "select dispatch.prune_events('90 days', 6)"
    with one.transaction():
        assert value(one, prune) == 6
        assert value(two, prune) == 4
    assert prune_events(shared) == 0


def test_the_job_deletes_all_that_is_old_and_commits_each_batch(
    cluster: Cluster, db: Database
) -> None:
    db.sql(
        "insert into dispatch.request_events"
        " (request_id, event, payload, created_at, delivered_at)"
        " select gen_random_uuid(), 'x', '{}', now() - d * interval '1 day', now()"
        " from generate_series(200, 1, -1) as d, generate_series(1, 20) order by d desc"
    )
    db.sql(
        "insert into dispatch.stripe_events (id, type, payload, received_at, processed_at)"
        " select d || '.' || n, 'x', '{}', now() - d * interval '1 day', now()"
        " from generate_series(200, 1, -1) as d, generate_series(1, 20) as n"
    )
    command = cron_command(cluster.dsn(), "dispatch-retention").encode()
    db.sql(
        "create function public.fail() returns trigger language plpgsql"
        " as 'begin raise exception ''not this one''; end'"
    )
    db.sql(
        "create trigger fail before delete on dispatch.request_events for each row"
        " when (old.id = 1500) execute function public.fail()"
    )
    with refused("P0001"):
        db.owner.execute(command)
    events = "select count(*) from dispatch.request_events"
    ledger = "select count(*) from dispatch.stripe_events"
    assert (db.value(events), db.value(ledger)) == (3000, 180 * 20 - 20)

    db.sql("drop trigger fail on dispatch.request_events")
    for _ in range(2):
        db.owner.execute(command)
        assert (db.value(events), db.value(ledger)) == (90 * 20 - 20, 180 * 20 - 20)


def test_the_ages_that_the_owner_set_survive_an_upgrade(cluster: Cluster) -> None:
    job = "select * from cron.job where jobname = 'dispatch-retention'"
    with Database(cluster, "postgres") as db:
        (before,) = db.sql(job)
        assert before["active"] and before["schedule"] == "17 3 * * *"
        assert before["username"] == "postgres"
        try:
            db.sql(
                "select cron.alter_job(jobid, command := replace(command, '90 days', '60 days'))"
                " from cron.job where jobname = 'dispatch-retention'"
            )
            (changed,) = db.sql(job)
            assert "'60 days'" in changed["command"]
            install(db.dsn(), ENGINE)
            assert db.sql(job) == [changed]
        finally:
            db.sql("select cron.alter_job(%s, command := %s)", before["jobid"], before["command"])


@pytest.mark.parametrize("left", ["nodeport = 1", "database = 'its_old_name'"])
def test_jobs_made_elsewhere_move_and_keep_what_the_owner_set(cluster: Cluster, left: str) -> None:
    """As in a restored or renamed database: pg_cron would connect to the old one."""
    jobs = (
        "select jobname, schedule, command, active, database, nodeport from cron.job"
        " order by jobname"
    )
    with Database(cluster, "postgres") as db:
        superuser = db.superuser()
        with superuser.transaction(force_rollback=True):
            superuser.execute(
                "update cron.job set schedule = '1 1 * * *', active = false"
                " where jobname = 'dispatch-retention'"
            )
            superuser.execute(  # sql/push_cron.sql's
                "set local role postgres;"
                " select cron.schedule('dispatch-push', '0 0 1 1 *', 'select 1');"
                " reset role"
            )
            wanted = rows(superuser, jobs)
            superuser.execute(f"update cron.job set {left}; set local role postgres".encode())
            made = "select pg_sequence_last_value('dispatch.scheduled_at')"
            before = value(superuser, made)
            schedule = (ROOT / "sql/engine/schedule.sql").read_bytes()
            superuser.execute(schedule)
            assert rows(superuser, jobs) == wanted
            moved = value(superuser, made)
            superuser.execute(schedule)
            assert value(superuser, made) == moved > before
