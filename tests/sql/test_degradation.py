"""With a part missing or stuck: what goes on, what waits, and what comes of it afterwards."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stack import ROOT
from stack.install import install
from tests.database import Database, checkout, eventually, rows, rpc

USAGE = "create or replace function pg_catalog.pg_notification_queue_usage() returns float8"


def undelivered(db: Database) -> int:
    return int(db.value("select count(*) from dispatch.request_events where delivered_at is null"))


def fill_the_queue(db: Database, usage: float) -> None:
    """As if so much of it were full: the real one takes 8 GB of notices."""
    superuser = db.superuser()
    if not db.sql("select 1 from pg_proc where proname = 'really'"):
        superuser.execute("alter function pg_notification_queue_usage() rename to really")
    superuser.execute(f"{USAGE} language sql as 'select {usage}::float8'".encode())


# Without pg_cron.


def test_without_pg_cron_the_install_says_what_to_run_instead(empty_db: Database) -> None:
    """Its words are run as they stand: a window that is over is announced."""
    install(empty_db.dsn())
    said: list[tuple[str, str]] = []
    empty_db.owner.add_notice_handler(
        lambda each: said.append((each.message_primary or "", each.message_hint or ""))
    )
    schedule = (ROOT / "sql/engine/schedule.sql").read_text()
    empty_db.sql(schedule)
    ((warning, hint),) = said
    assert "nothing is announced by itself" in warning
    found = empty_db.sql("select check_name from dispatch.health() where not ok")
    assert {"sweep_scheduled", "sweep_runs"} <= {row["check_name"] for row in found}

    empty_db.sql("select dispatch.set_favorites_priority(true)")
    request = empty_db.make_request(preferred=empty_db.make_mechanic())
    empty_db.end_window(request)
    sweep, retention = re.findall(r"^do .*?^\$loop\$$", hint, re.M | re.S)
    once, replaced = re.subn(r"(v_until constant timestamptz :=) [^;]+;", r"\1 now();", sweep)
    assert replaced == 1
    empty_db.owner.execute(once.encode())
    empty_db.owner.execute(retention.encode())
    assert empty_db.log(request) == ["priority_request", "new_request:window_ended"]


def test_with_pg_cron_stopped_the_clock_still_decides(shared: Database) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    shared.end_window(request, -6)
    listed = rpc(shared.connect(other), "list_open_session_requests")
    assert [row["request_id"] for row in listed] == [request]
    found = shared.sql("select check_name from dispatch.health() where not ok")
    assert "windows_announced" in {row["check_name"] for row in found}
    rpc(shared.connect(other), "accept_session_request", request_id=request)
    assert shared.log(request) == ["priority_request", "request_accepted"]


# With a full queue of notices.


def test_a_listener_that_never_ends_its_transaction_holds_the_queue(shared: Database) -> None:
    """The real queue: it grows while that one sleeps, and is empty once it is gone."""
    usage = "select pg_notification_queue_usage()"
    listener = shared.open()
    listener.execute("listen session_requests_feed")
    listener.execute("begin")
    listener.execute("select")
    shared.sql(
        "select pg_notify('session_requests_feed', repeat('x', 7000) || n)"
        " from generate_series(1, 200) as n"
    )
    assert shared.value(usage) > 0
    listener.close()
    shared.sql("listen session_requests_feed")

    def is_read() -> bool:
        # The tail of the queue is moved on by whoever reads it.
        shared.sql("notify session_requests_feed")
        return bool(shared.value(usage) == 0)

    eventually(is_read)


@pytest.mark.parametrize(("usage", "is_swept"), [(0.51, True), (0.91, False)])
def test_with_a_full_queue_bookings_and_the_event_log_go_on(
    db: Database, usage: float, is_swept: bool
) -> None:
    """From one half on only the sweep's loop notifies, from nine tenths on nobody; the rest waits
    in the log, where clients find it, and is sent once there is room."""
    fill_the_queue(db, usage)
    mechanic, customer = db.make_mechanic(), db.make_customer()
    ears = db.open()
    ears.execute(f'listen "mechanic:{mechanic}"'.encode())
    event = checkout(customer, mechanic)
    answer = rpc(db.connect(role="service_role"), "process_stripe_event", event=event)
    assert answer["created"] and undelivered(db) == 1
    listed = rpc(db.connect(mechanic), "list_session_request_events")
    assert [row["event"] for row in listed] == ["priority_request"]
    rpc(db.connect(mechanic), "accept_session_request", request_id=answer["request_id"])
    db.value("select dispatch.deliver_events()")
    assert undelivered(db) == (0 if is_swept else 2)
    fill_the_queue(db, 0)
    db.value("select dispatch.deliver_events()")
    assert undelivered(db) == 0
    assert len(list(ears.notifies(timeout=60, stop_after=2))) == 2


# With the event log locked, as by a DBA.


def writing(db: Database) -> dict[str, Callable[[], Any]]:
    """What waits for the log, and is done when the lock is gone."""
    mechanic, customer = db.make_mechanic(), db.make_customer()
    accepted, declined, cancelled, shown = (db.make_request(customer) for _ in range(4))
    return {
        "a payment": lambda: rpc(
            db.connect(role="service_role"), "process_stripe_event", event=checkout(customer)
        ),
        "a booking": lambda: db.make_request(customer, connection=db.open()),
        "an accept": lambda: rpc(
            db.connect(mechanic), "accept_session_request", request_id=accepted
        ),
        "a decline": lambda: rpc(
            db.connect(mechanic), "decline_session_request", request_id=declined
        ),
        "a cancellation": lambda: rpc(
            db.connect(customer), "cancel_session_request", request_id=cancelled
        ),
        "the timeline": lambda: rpc(
            db.connect(customer), "get_session_request_timeline", request_id=shown
        ),
        "the catch-up": lambda: rpc(db.connect(customer), "list_session_request_events"),
    }


def waiting(db: Database) -> int:
    return int(
        db.value(
            "select count(*) from pg_locks where not granted"
            " and relation = 'dispatch.request_events'::regclass"
        )
    )


def test_with_the_event_log_locked_writes_wait_and_are_done_then(shared: Database) -> None:
    calls = writing(shared)
    dba = shared.open()
    with ThreadPoolExecutor(len(calls)) as pool:
        with dba.transaction():
            dba.execute("lock table dispatch.request_events in access exclusive mode")
            running = {name: pool.submit(call) for name, call in calls.items()}
            eventually(lambda: waiting(shared) == len(calls))
        for name, each in running.items():
            assert each.result(), name
    accepted = "select count(*) from session_requests where status = 'accepted'"
    assert shared.value(accepted) == 1


def test_with_the_event_log_locked_what_does_not_need_it_goes_on(shared: Database) -> None:
    mechanic, customer = shared.make_mechanic(), shared.make_customer()
    as_customer, as_mechanic, dba = (
        shared.connect(customer),
        shared.connect(mechanic),
        shared.open(),
    )
    with dba.transaction():
        dba.execute("lock table dispatch.request_events in access exclusive mode")
        assert rpc(as_customer, "get_mechanic_status", mechanic_id=mechanic)["is_online"]
        assert rpc(as_customer, "prepare_checkout", plan_code="quick-chat")["metadata"]
        assert rpc(as_customer, "list_favorite_mechanics") == []
        assert rpc(as_mechanic, "set_presence", status="online")
        event = checkout(customer, kind="checkout.session.expired")
        answer = rpc(shared.connect(role="service_role"), "process_stripe_event", event=event)
        assert answer["outcome"] == "ignored"
        assert rows(as_customer, "select code from public.service_plans")
