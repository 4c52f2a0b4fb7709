"""What the owner watches: each check of dispatch.health() fails and passes; the day's numbers."""

from datetime import date, timedelta

from stack.postgres import Cluster
from tests.database import Connection, Database, checkout, rows, rpc

# Without pg_cron (only one database of a cluster has it) these two always fail.
SCHEDULE = {"sweep_scheduled", "sweep_runs"}
CHECKS = SCHEDULE | {
    "windows_announced",
    "events_delivered",
    "stripe_events_processed",
    "requests_accepted",
    "refunds_due",
}
MOMENT = timedelta(microseconds=1)


def failing(connection: Connection, at: object = None) -> dict[str, str]:
    """What fails at this time, and its detail."""
    found = rows(connection, "select * from dispatch.health(coalesce(%s, now()))", at)
    assert {row["check_name"] for row in found} == CHECKS and len(found) == len(CHECKS)
    assert all(row["detail"] for row in found)
    return {row["check_name"]: row["detail"] for row in found if not row["ok"]}


def test_the_schedule_and_its_last_run(cluster: Cluster) -> None:
    with Database(cluster, "postgres") as db:
        superuser = db.superuser()
        with superuser.transaction(force_rollback=True):
            superuser.execute("delete from cron.job_run_details")
            assert failing(superuser)["sweep_runs"] == "never ran"
            (run,) = rows(
                superuser,
                "insert into cron.job_run_details (jobid, runid, status, start_time)"
                " select jobid, -1, 'failed', now() from cron.job"
                " where jobname = 'dispatch-sweep' returning start_time",
            )
            assert "sweep_runs" in failing(superuser)
            for status in ("running", "succeeded"):
                superuser.execute("update cron.job_run_details set status = %s", (status,))
                late = run["start_time"] + timedelta(minutes=3)
                assert not SCHEDULE & set(failing(superuser, late - MOMENT))
                assert SCHEDULE & set(failing(superuser, late)) == {"sweep_runs"}

            superuser.execute("update cron.job set active = false")
            assert "no active job" in failing(superuser)["sweep_scheduled"]
            superuser.execute("delete from cron.job")
            assert "no active job" in failing(superuser)["sweep_scheduled"]


def test_without_pg_cron_it_says_so(shared: Database) -> None:
    found = failing(shared.owner)
    assert set(found) == SCHEDULE
    assert found["sweep_scheduled"] == "pg_cron is not in this database"


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
    late = shared.request(request)["notification_sent_at"] + timedelta(minutes=15)
    assert set(failing(shared.owner, late)) == SCHEDULE
    found = failing(shared.owner, late + MOMENT)
    assert set(found) == SCHEDULE | {"requests_accepted"}
    assert found["requests_accepted"].startswith("1 requests")
    rpc(shared.connect(shared.make_mechanic()), "accept_session_request", request_id=request)
    shared.value("select dispatch.deliver_events()")
    assert set(failing(shared.owner, late + MOMENT)) == SCHEDULE


def test_a_refund_that_is_due(shared: Database) -> None:
    """Only what was paid, and only once it has expired (its end: test_stripe)."""
    shared.make_request()
    shared.make_request(metadata={"stripe_payment_intent": "pi_1"})
    assert set(failing(shared.owner)) == SCHEDULE
    assert shared.value("select dispatch.sweep(p_now => now() + interval '2 days')") == 2
    found = failing(shared.owner)
    assert set(found) == SCHEDULE | {"refunds_due"}
    assert found["refunds_due"].startswith("1 paid requests")


def test_a_day_in_numbers(shared: Database) -> None:
    customer, favourite, other = (
        shared.make_customer(),
        shared.make_mechanic(),
        shared.make_mechanic(),
    )

    def accept(mechanic: str, request: str, after: int) -> None:
        rpc(shared.connect(mechanic), "accept_session_request", request_id=request)
        accepted_after[request] = after

    accepted_after: dict[str, int] = {}
    kept, ended, declined = (shared.make_request(customer, favourite) for _ in range(3))
    accept(favourite, kept, 10)
    shared.end_window(ended)
    assert shared.sweep() == 1
    accept(favourite, ended, 20)  # no longer as the favourite
    rpc(shared.connect(favourite), "decline_session_request", request_id=declined)
    accept(other, shared.make_request(customer), 40)
    skipped = shared.make_request(customer, shared.make_mechanic("pending"))
    rpc(shared.connect(customer), "cancel_session_request", request_id=skipped)

    # All of it on one day, booked two minutes before its end; the day before there was one booking.
    shared.sql(
        "update dispatch.request_events set created_at = '2026-03-14 23:58:00Z',"
        ' payload = payload || \'{"created_at": "2026-03-14T23:58:00Z"}\''
    )
    for request, seconds in accepted_after.items():
        shared.sql(
            "update dispatch.request_events set created_at = created_at + make_interval(secs => %s)"
            " where request_id = %s and event = 'request_accepted'",
            seconds,
            request,
        )
    (before,) = shared.events(shared.make_request(customer))
    shared.sql(
        "update dispatch.request_events set created_at = '2026-03-13 00:00:00Z' where id = %s",
        before["id"],
    )

    shared.sql("set time zone 'Asia/Tokyo'")  # days are UTC's whoever asks
    none = {
        "priority_requests": 0,
        "accepted_by_favourite": 0,
        "fallbacks": 0,
        "skipped": 0,
        "accepted": 0,
        "cancelled": 0,
        "seconds_to_accept_p50": None,
        "seconds_to_accept_p95": None,
    }
    assert shared.sql("select * from dispatch.metrics order by day") == [
        {"day": date(2026, 3, 13), "requests": 1} | none,
        {
            "day": date(2026, 3, 14),
            "requests": 5,
            "priority_requests": 3,
            "accepted_by_favourite": 1,
            "fallbacks": 2,
            "skipped": 1,
            "accepted": 3,
            "cancelled": 1,
            "seconds_to_accept_p50": 20,
            "seconds_to_accept_p95": 38,
        },
    ]
