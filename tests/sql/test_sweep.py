"""The sweep announces, expires and tidies: in batches, twice at once, past a row that raises."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from stack.install import install
from stack.postgres import Cluster
from tests.database import (
    EACH_POISON,
    POISON,
    Database,
    eventually,
    heard,
    listen,
    rows,
    rpc,
)

DUE = "update session_requests set priority_notified_at = now() - interval '1 hour'"


def requests(db: Database, count: int = 5, **columns: Any) -> list[str]:
    return [db.make_request(preferred=db.make_mechanic(), **columns) for _ in range(count)]


def test_it_announces_what_is_due_once_in_batches(shared: Database) -> None:
    waiting = requests(shared, 5)
    shared.sql(DUE)
    fresh = requests(shared, 1)[0]
    counts = [shared.value("select dispatch.sweep(2)") for _ in range(4)]
    assert counts == [2, 2, 1, 0]
    for request in waiting:
        assert shared.log(request) == ["priority_request", "new_request:window_ended"]
        event = shared.events(request)[1]
        assert "session_requests_feed" in event["topics"]
        assert event["payload"]["is_fallback_broadcast"] is True
        row = shared.request(request)
        assert row["expires_at"] - row["notification_sent_at"] == timedelta(hours=24)
    assert shared.log(fresh) == ["priority_request"]


def ends(db: Database) -> dict[str, str]:
    """Requests whose windows are over in each way that a sweep finds."""
    gone = db.make_mechanic()
    found = {
        "window_ended": db.make_request(preferred=db.make_mechanic()),
        "without a plan": db.make_request(preferred=db.make_mechanic(), plan_code=None),
        "mechanic_gone": db.make_request(preferred=gone),
    }
    for request in found.values():
        db.end_window(request)
    # Without its triggers, by which it is broadcast at once.
    with db.superuser() as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute("update mechanics set status = 'suspended' where id = %s", [gone])
    return found


def told(db: Database, request: str) -> dict[str, Any]:
    """What the log has of its end, but for what is another's in each."""
    event = db.events(request)[-1]
    payload = event["payload"]
    assert (payload["event_id"], payload["request_id"]) == (event["id"], request)
    return {
        "event": event["event"],
        "actor": event["actor_id"],
        "topics": [topic.partition(":")[0] for topic in event["topics"]],
        "delivered": event["delivered_at"] is not None,
        "payload": {
            key: key if value and (key.endswith("_at") or key.endswith("_id")) else value
            for key, value in payload.items()
        },
    }


@pytest.mark.parametrize("blocked", [False, True])
def test_many_are_logged_together_as_each_would_be_by_itself(
    shared: Database, *, blocked: bool
) -> None:
    """By the owner in one statement, by anybody else row by row: nobody can tell which."""
    first, second = ends(shared), ends(shared)
    if blocked:
        for each in (*first.values(), *second.values()):
            shared.sql(
                "insert into dispatch.blocks (user_id, other_id, is_theirs) values (%s, %s, true)",
                shared.request(each)["customer_id"],
                shared.make_mechanic(),
            )
    aside = list(second.values())
    holder = shared.open()
    with holder.transaction():
        holder.execute("select from session_requests where id = any(%s) for update", [aside])
        assert shared.sweep() == 3
    with shared.superuser() as superuser:
        row = superuser.execute("select dispatch.sweep()").fetchone()
    assert row == (3,)
    for kind, request in first.items():
        assert told(shared, request) == told(shared, second[kind])
    assert shared.log(first["mechanic_gone"])[-1] == "new_request:mechanic_gone"
    assert shared.log(first["window_ended"])[-1] == "new_request:window_ended"


def test_with_the_flag_off_many_are_logged_together_too(db: Database) -> None:
    open_windows = requests(db, 3)
    db.sql("select dispatch.set_favorites_priority(false)")
    for each in open_windows:
        assert db.log(each) == ["priority_request", "new_request:flag_off"]


@pytest.mark.parametrize("depth", ["0", "1", "2"])
def test_a_setting_does_not_keep_a_broadcast_out_of_the_log(shared: Database, depth: str) -> None:
    request = requests(shared, 1)[0]
    with shared.superuser() as other:
        other.execute("select set_config('dispatch.batch', %s, false)", [depth])
        other.execute("set role service_role")
        other.execute(
            "update session_requests set notification_sent_at = now() where id = %s", [request]
        )
    assert shared.log(request) == ["priority_request", "new_request:customer"]


def test_what_a_trigger_of_theirs_broadcasts_meanwhile_is_logged(db: Database) -> None:
    """Within the sweep's statement, and not by it."""
    due, other = requests(db, 2)
    db.end_window(due)
    db.sql(f"""
        create function public.also() returns trigger language plpgsql as $$
        begin
            update public.session_requests set notification_sent_at = now()
            where id = '{other}' and notification_sent_at is null;
            return null;
        end;
        $$;
        create trigger zz_also after update on public.session_requests
        for each row when (new.id = '{due}') execute function public.also();
    """)
    assert db.sweep() == 1
    assert db.log(due) == ["priority_request", "new_request:window_ended"]
    assert db.log(other) == ["priority_request", "new_request:customer"]


def test_what_a_trigger_of_theirs_ends_meanwhile_is_not_told_as_new(db: Database) -> None:
    due, other = requests(db, 2)
    db.end_window(due)
    db.end_window(other)
    db.sql(f"""
        create function public.ends() returns trigger language plpgsql as $$
        begin
            update public.session_requests set status = 'cancelled' where id = new.id;
            return null;
        end;
        $$;
        create trigger zz_ends after update of notification_sent_at on public.session_requests
        for each row when (new.id = '{due}' and new.status = 'pending')
        execute function public.ends();
    """)
    assert db.sweep() == 2
    assert db.log(due) == ["priority_request", "request_cancelled:cancelled"]
    assert db.log(other) == ["priority_request", "new_request:window_ended"]


def test_a_sweep_within_a_trigger_logs_once(db: Database) -> None:
    due = requests(db, 1)[0]
    db.end_window(due)
    db.sql("""
        create table public.bell (n integer);
        create function public.ring() returns trigger language plpgsql as $$
        begin
            perform dispatch.sweep();
            return null;
        end;
        $$;
        create trigger ring after insert on public.bell
        for each row execute function public.ring();
        insert into public.bell values (1);
    """)
    assert db.log(due) == ["priority_request", "new_request:window_ended"]


@pytest.mark.parametrize("name", ["aa_sweep", "zz_sweep"])
def test_a_sweep_within_a_sweep_leaves_the_outer_one_as_it_was(db: Database, name: str) -> None:
    """As where their trigger sweeps, and more is due than one sweep takes."""
    due = requests(db, 6)
    db.sql(DUE)
    db.sql(f"""
        create function public.sweeps() returns trigger language plpgsql as $$
        begin
            perform dispatch.sweep(2);
            return null;
        end;
        $$;
        create trigger {name} after update on public.session_requests
        for each row execute function public.sweeps();
    """)
    while db.value("select dispatch.sweep(2)"):
        pass
    for each in due:
        assert db.log(each) == ["priority_request", "new_request:window_ended"]


def test_a_sweep_sends_its_own_notices_and_leaves_the_others_to_the_loop(shared: Database) -> None:
    waiting = requests(shared, 3)
    shared.sql(DUE)
    shared.sql("update dispatch.request_events set delivered_at = null")
    ears = listen(shared, "session_requests_feed")
    with shared.owner.transaction():
        assert shared.sweep() == 3
        shared.value("select setval('dispatch.last_delivery', 1)")  # long ago
        events = [shared.events(request) for request in waiting]
        assert [[bool(e["delivered_at"]) for e in both] for both in events] == [[False, True]] * 3
        # What follows in the transaction sends its own again.
        (event,) = shared.events(shared.make_request())
        assert event["delivered_at"]
    assert {payload["request_id"] for _, payload in heard(ears, 4)} >= set(waiting)


def test_the_next_round_waits_for_more_to_deliver(shared: Database) -> None:
    """A round for each notice would take a processor and a flush for each."""
    shared.make_request()
    shared.sql("update dispatch.request_events set delivered_at = null")
    (round_,) = shared.sql(
        "select next_round - statement_timestamp() as pause from dispatch.sweep_round('-infinity')"
    )
    assert shared.sql("select from dispatch.request_events where delivered_at is null") == []
    assert round_["pause"] >= timedelta(milliseconds=20)


@pytest.mark.parametrize(("seconds", "pause"), [(None, 100), (11, 100), (9, 20), (-3600, 100)])
def test_at_rest_the_loop_looks_less_often(
    shared: Database, seconds: float | None, pause: int
) -> None:
    """Rest is ten seconds without a notice; the clock may have been set back since the last."""
    if seconds is not None:
        shared.sql(
            "select setval('dispatch.last_delivery', (1000 * extract(epoch from"
            " clock_timestamp() - make_interval(secs => %s)))::bigint)",
            seconds,
        )
    with shared.owner.transaction():
        (round_,) = shared.sql(
            "select next_round - clock_timestamp() as at_most, next_round - now() as at_least"
            " from dispatch.sweep_round('-infinity')"
        )
    assert round_["at_most"] <= timedelta(milliseconds=pause) <= round_["at_least"]


def test_a_sweep_that_told_something_ends_the_rest(shared: Database) -> None:
    at = "select last_value from dispatch.last_delivery"
    (request,) = requests(shared, 1)
    shared.sql("select setval('dispatch.last_delivery', 0, false)")
    assert shared.sweep() == 0 and shared.value(at) == 0
    shared.end_window(request)
    assert shared.sweep() == 1 and shared.value(at) > 0


def test_at_rest_a_deadline_is_kept(shared: Database) -> None:
    (request,) = requests(shared, 1)
    shared.sql("select setval('dispatch.last_delivery', 0, false)")
    shared.end_window(request, 0.05)
    (round_,) = shared.sql(
        "select next_round - r.priority_notified_at - interval '10 minutes' as late"
        " from dispatch.sweep_round('-infinity') cross join public.session_requests as r"
    )
    assert round_["late"] == timedelta(0) or shared.log(request)[-1] == "new_request:window_ended"


def test_the_next_round_comes_at_once_when_a_batch_was_full(shared: Database) -> None:
    request = shared.make_request()
    shared.sql(
        "insert into dispatch.request_events (request_id, event, topics, payload)"
        " select %s, 'test', '{test}', '{}' from generate_series(1, 1001)",
        request,
    )
    (round_,) = shared.sql(
        "select next_round - clock_timestamp() as pause from dispatch.sweep_round('-infinity')"
    )
    assert round_["pause"] <= timedelta(0)


def test_the_next_deadline_costs_the_same_however_many_wait(db: Database) -> None:
    """Even by a plan that was made while nothing waited."""
    superuser = db.superuser()
    superuser.execute("set session_replication_role = replica")
    for status, count in (("completed", 5000), ("pending", 3000)):
        superuser.execute(
            "insert into session_requests (customer_id, session_type, status,"
            " preferred_mechanic_id, priority_window_minutes, priority_notified_at, expires_at)"
            " select gen_random_uuid(), 'chat', %s, gen_random_uuid(), 10, now(), now()"
            " from generate_series(1, %s)",
            (status, count),
        )
        if status == "completed":
            superuser.execute("analyze session_requests")
    look = "explain (analyze, buffers, format json) select dispatch.next_deadline()"
    db.sql(look)
    (plan,) = db.value(look)
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] <= 20


def test_the_earliest_deadline_comes_first(shared: Database) -> None:
    late, early = requests(shared, 2)
    shared.end_window(late, -1)
    shared.end_window(early, -60)
    assert shared.value("select dispatch.sweep(1)") == 1
    assert len(shared.log(early)) == 2 and len(shared.log(late)) == 1


@pytest.mark.parametrize(("offset", "count"), [("- interval '1 microsecond'", 0), ("", 1)])
def test_by_the_clock_it_is_given(shared: Database, offset: str, count: int) -> None:
    request = requests(shared, 1)[0]
    at = f"(select priority_notified_at + interval '10 minutes' {offset} from session_requests)"
    assert shared.value(f"select dispatch.sweep(p_now => {at})") == count
    assert len(shared.log(request)) == 1 + count


@pytest.mark.parametrize("poison", EACH_POISON)
@pytest.mark.parametrize("when", ["priority_notified_at", "expires_at"])
def test_a_row_that_raises_does_not_stop_the_rest(db: Database, when: str, poison: str) -> None:
    preferred = db.make_mechanic(online=False) if when == "priority_notified_at" else None
    poisoned = db.make_request(preferred=preferred, notes="poison")
    others = [db.make_request(preferred=preferred) for _ in range(3)]
    db.sql(f"update session_requests set {when} = now() - interval '1 hour'")
    db.sql(poison)
    assert db.sweep() == 3
    assert all(len(db.log(each)) == 2 for each in others)
    assert len(db.log(poisoned)) == 1
    assert db.sweep() == 0
    db.sql("drop trigger poison on session_requests")
    assert db.sweep() == 1
    assert len(db.log(poisoned)) == 2


@pytest.mark.parametrize("poison", EACH_POISON)
def test_a_row_that_raises_keeps_its_favourite_from_nothing_else(db: Database, poison: str) -> None:
    """It is looked at again with each answer of theirs, and with what is done about them."""
    customer, mechanic = db.make_customer(), db.make_mechanic(online=False)
    poisoned, declined, accepted = (
        db.make_request(customer, mechanic, notes=notes) for notes in ("poison", None, None)
    )
    db.end_window(poisoned)
    db.sql(poison)
    caller = db.connect(mechanic)
    assert rpc(caller, "set_presence", status="online")["is_online"]
    rpc(caller, "decline_session_request", request_id=declined)
    assert rpc(caller, "accept_session_request", request_id=accepted)["status"] == "accepted"
    blocked = db.make_request(customer, db.make_mechanic(), notes="poison")
    rpc(
        db.connect(customer), "block_mechanic",
        mechanic_id=db.request(blocked)["preferred_mechanic_id"],
    )  # fmt: skip
    db.sql("update mechanics set status = 'suspended'")
    assert db.log(poisoned) == db.log(blocked) == ["priority_request"]
    db.sql("drop trigger poison on session_requests")
    db.sql("select dispatch.follow_sessions()")
    db.sweep()
    for request in (poisoned, blocked):
        assert db.log(request)[1:] == ["new_request:mechanic_gone"]


def test_what_a_statement_of_theirs_defers_stays_deferred(db: Database) -> None:
    """Their transaction suspends somebody while it lacks what it brings before its commit."""
    favourite = db.make_mechanic()
    request = db.make_request(preferred=favourite)
    db.sql("create table skills (id integer primary key)")
    db.sql("create table learnt (skill integer references skills deferrable initially deferred)")
    with db.owner.transaction():
        db.sql("insert into learnt values (1)")
        db.sql("update mechanics set status = 'suspended' where id = %s", favourite)
        db.sql("insert into learnt values (2)")
        db.sql("insert into skills values (1), (2)")
    db.sql("select dispatch.follow_sessions()")
    assert db.log(request)[1:] == ["new_request:mechanic_gone"]
    # It ends the second window in a row that nobody answered.
    silent = db.make_mechanic()
    windows = [db.make_request(preferred=silent) for _ in range(2)]
    for window in windows:
        db.end_window(window)
    with db.owner.transaction():
        for window in windows:
            db.sql("update session_requests set notification_sent_at = now() where id = %s", window)
        db.sql("insert into learnt values (3)")
        db.sql("insert into skills values (3)")
    assert db.log(windows[1])[1:] == ["new_request:window_ended", "mechanic_away"]


@pytest.mark.parametrize("poison", EACH_POISON)
def test_a_row_that_raises_does_not_stop_who_has_their_hands_full(
    db: Database, poison: str
) -> None:
    db.sql("select dispatch.set_max_open_sessions(1)")
    mechanic = db.make_mechanic()
    poisoned, other = (db.make_request(preferred=mechanic, notes=n) for n in ("poison", None))
    late = db.make_request(preferred=mechanic)
    db.sql(poison)
    accepted = rpc(db.connect(mechanic), "accept_session_request", request_id=other)
    assert accepted["status"] == "accepted"
    assert db.log(late)[1:] == ["new_request:at_capacity"]
    # Until the trigger lets it, the loop comes by, and goes on.
    db.run_sweep(0.2)
    assert db.log(poisoned) == ["priority_request"]
    db.sql("drop trigger poison on session_requests")
    db.run_sweep(0.2)
    assert db.log(poisoned)[1:] == ["new_request:at_capacity"]


@pytest.mark.parametrize("when", ["priority_notified_at", "expires_at"])
def test_as_many_that_raise_as_are_tried_at_once_keep_nothing_back(db: Database, when: str) -> None:
    """The oldest come first, and these raise each time."""
    due = f"update session_requests set {when} = now() - interval '{{}}' where id = any(%s::uuid[])"
    preferred = db.make_mechanic(online=False) if when == "priority_notified_at" else None
    poisoned = {db.make_request(preferred=preferred, notes="poison") for _ in range(3)}
    others = {db.make_request(preferred=preferred) for _ in range(3)}
    db.sql(due.format("2 hours"), list(poisoned))
    db.sql(due.format("1 hour"), list(others))
    db.sql(POISON)
    assert db.value("select dispatch.sweep(3)") == 3
    for request in poisoned | others:
        assert len(db.log(request)) == (2 if request in others else 1)


@pytest.mark.further
def test_those_that_raise_may_be_many_more(db: Database) -> None:
    """Each of the others gets its turn, by chance: one of 10 in each of many rounds."""
    for _ in range(12):
        db.make_request(notes="poison")
    db.sql("update session_requests set expires_at = now() - interval '2 hours'")
    other = db.make_request(expires_at="2020-01-01Z")
    db.sql(
        "update session_requests set expires_at = now() - interval '1 hour' where id = %s", other
    )
    db.sql(POISON)
    assert any(db.value("select dispatch.sweep(2)") for _ in range(500))
    assert db.request(other)["status"] == "expired"


@pytest.mark.parametrize(
    "lock",
    [
        "lock table session_requests in share mode",
        "lock table session_requests in access exclusive mode",
        # The view alone. Whoever has it comes to the table next (sql/engine/locks.sql): a round
        # that had the table and waited for the view would hold up an install while rounds come.
        "alter view dispatch.requests owner to current_user",
    ],
)
def test_while_the_table_is_locked_the_loop_delivers(shared: Database, lock: str) -> None:
    """It does not wait for that lock, and announces when it is gone."""
    (request,) = requests(shared, 1)
    shared.end_window(request)
    shared.sql("update dispatch.request_events set delivered_at = null")
    holder = shared.open()
    with holder.transaction():
        holder.execute(lock.encode())
        shared.sql("set statement_timeout = '3s'")
        shared.sql("select dispatch.sweep_round('-infinity')")
        assert [bool(each["delivered_at"]) for each in shared.events(request)] == [True]
    shared.sql("select dispatch.sweep_round('-infinity')")
    assert shared.log(request) == ["priority_request", "new_request:window_ended"]


@pytest.mark.parametrize("when", ["priority_notified_at", "expires_at"])
def test_the_loop_does_not_spin_on_a_row_that_raises(db: Database, when: str) -> None:
    preferred = db.make_mechanic(online=False) if when == "priority_notified_at" else None
    db.make_request(preferred=preferred, notes="poison")
    db.sql(f"update session_requests set {when} = now() - interval '1 hour'")
    db.sql(POISON)
    warnings: list[str] = []
    db.owner.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
    db.run_sweep(0.5)
    assert 0 < len([each for each in warnings if "could not be " in each]) <= 2


def test_past_a_row_that_raises_the_loop_announces_and_delivers(db: Database) -> None:
    """The others' windows are looked at once a second then, their notices at every round."""
    db.make_request(preferred=db.make_mechanic(), notes="poison")
    db.sql(DUE)
    db.sql(POISON)
    looping, holder = db.open(), db.open()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(db.run_sweep, 2.5, looping)
        late = db.make_request(preferred=db.make_mechanic())
        db.end_window(late, 0.5)
        with holder.transaction():
            # While this lock is held no transaction delivers its own.
            rows(holder, "select pg_advisory_xact_lock(1178687058, -1)")
            left = []
            for _ in range(12):
                left.append(db.make_request())
                time.sleep(0.1)
        running.result()
    (delivered,) = db.sql(
        "select count(delivered_at), count(distinct delivered_at) as rounds"
        " from dispatch.request_events where request_id = any(%s::uuid[])",
        left,
    )
    assert delivered["count"] == 12 and delivered["rounds"] > 4  # once a second would be three
    row = db.request(late)
    ends_at = row["priority_notified_at"] + timedelta(minutes=10)
    assert ends_at <= row["notification_sent_at"]


def test_what_nobody_took_expires_a_day_after_the_broadcast(shared: Database) -> None:
    request = shared.make_request()
    row = shared.request(request)
    assert row["expires_at"] - row["notification_sent_at"] == timedelta(hours=24)
    at = "now() + interval '24 hours'"
    assert shared.value(f"select dispatch.sweep(p_now => {at} - interval '1 minute')") == 0
    assert shared.value(f"select dispatch.sweep(p_now => {at})") == 1
    assert shared.request(request)["status"] == "expired"
    assert shared.log(request) == ["new_request", "request_cancelled:expired"]
    assert "session_requests_feed" in shared.events(request)[1]["topics"]


def test_an_expiry_given_by_the_writer_is_kept(shared: Database) -> None:
    given = datetime(2030, 1, 1, tzinfo=UTC)
    request = shared.make_request(preferred=shared.make_mechanic(), expires_at=given)
    shared.end_window(request)
    shared.sweep()
    assert shared.request(request)["expires_at"] == given


def test_what_expires_inside_its_window_is_told_to_the_favourite_alone(shared: Database) -> None:
    favourite = shared.make_mechanic()
    request = shared.make_request(preferred=favourite, expires_at="2020-01-01")
    assert shared.sweep() == 1
    assert shared.log(request) == ["priority_request", "request_cancelled:expired"]
    assert shared.events(request)[1]["topics"][1:] == [f"mechanic:{favourite}"]


def test_accepted_and_finished_requests_are_left_alone(shared: Database) -> None:
    favourite = shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    rpc(shared.connect(favourite), "accept_session_request", request_id=request)
    shared.sql(DUE + ", expires_at = now() - interval '1 hour'")
    with shared.unchanged():
        assert shared.sweep() == 0


def test_what_another_holds_is_skipped_and_done_later(shared: Database) -> None:
    held, free = requests(shared, 2)
    shared.sql(DUE)
    customer = shared.connect(shared.request(held)["customer_id"])
    with customer.transaction(force_rollback=True):
        rpc(customer, "cancel_session_request", request_id=held)
        assert shared.sweep() == 1
    assert len(shared.log(free)) == 2
    assert shared.sweep() == 1
    assert shared.log(held) == ["priority_request", "new_request:window_ended"]


def test_the_loop_announces_on_time_and_ends_on_time(shared: Database) -> None:
    request = requests(shared, 1)[0]
    shared.end_window(request, 0.3)
    began = time.monotonic()
    shared.run_sweep(0.6)
    assert 0.55 < time.monotonic() - began < 10  # the rest of the minute is what it has else
    row = shared.request(request)
    ends_at = row["priority_notified_at"] + timedelta(minutes=10)
    assert ends_at <= row["notification_sent_at"]


def test_the_loop_holds_no_snapshot(shared: Database) -> None:
    looping = shared.open()
    began = set()

    def begins_anew() -> bool:
        query = "select xact_start from pg_stat_activity where pid = %s"
        began.add(shared.value(query, looping.info.backend_pid))
        return len(began - {None}) > 3

    with ThreadPoolExecutor() as pool:
        running = pool.submit(shared.run_sweep, 15, looping)
        eventually(begins_anew)
        shared.superuser().execute("select pg_cancel_backend(%s)", (looping.info.backend_pid,))
        assert isinstance(running.exception(), psycopg.errors.QueryCanceled)


def test_the_loop_leaves_the_callers_search_path_alone(shared: Database) -> None:
    before = shared.value("show search_path")
    shared.run_sweep(0)
    assert shared.value("show search_path") == before


def test_after_a_crash_the_sweep_begins_at_once() -> None:
    """pg_cron begins the job of each minute at a full one; that is switched off here."""
    with Cluster() as cluster:
        install(cluster.dsn())
        with Database(cluster, "postgres") as db:
            db.sql("select dispatch.set_favorites_priority(true)")
            db.sql(
                "select cron.alter_job(jobid, active => false) from cron.job"
                " where jobname = 'dispatch-sweep'"
            )
            request = db.make_request(preferred=db.make_mechanic())
            db.end_window(request)
            # The server ends all the others then, and recovers.
            os.kill(db.owner.info.backend_pid, signal.SIGKILL)

        def is_announced() -> bool:
            with suppress(psycopg.OperationalError), Database(cluster, "postgres") as db:
                return db.log(request) == ["priority_request", "new_request:window_ended"]
            return False

        eventually(is_announced)


@pytest.mark.late
def test_pg_cron_announces_the_end_of_a_window_in_time(cron_db: Database) -> None:
    (job,) = cron_db.sql("select * from cron.job where jobname = 'dispatch-sweep'")
    assert job["active"] and job["schedule"] == "* * * * *" and job["username"] == "postgres"
    runs = "select count(*) from cron.job_run_details where status in ('running', 'succeeded')"
    eventually(lambda: cron_db.value(runs), 75)
    cron_db.sql("select dispatch.set_favorites_priority(true)")
    request = cron_db.make_request(preferred=cron_db.make_mechanic())
    cron_db.end_window(request, 1)
    eventually(lambda: len(cron_db.log(request)) == 2)
    row = cron_db.request(request)
    late = row["notification_sent_at"] - row["priority_notified_at"] - timedelta(minutes=10)
    assert timedelta(0) <= late < timedelta(seconds=10)
    eventually(lambda: all(event["delivered_at"] for event in cron_db.events(request)))
    health = {row["check_name"]: row for row in cron_db.sql("select * from dispatch.health()")}
    assert health["sweep_scheduled"]["ok"] and health["sweep_runs"]["ok"], health


@pytest.mark.late
def test_a_slow_job_of_others_does_not_stop_the_sweep(cron_db: Database) -> None:
    """pg_cron 1.4 with background workers waits for it, and no run of ours begins meanwhile."""
    running = (
        "select pid from pg_stat_activity"
        " where state = 'active' and pid <> pg_backend_pid() and query ~ %s"
    )
    ours, theirs = r"\mdispatch\.sweep_round\(", "pg_sleep.200.$"
    superuser = cron_db.superuser()

    def pid(query: str) -> int | None:
        found = rows(superuser, running, query)
        return found[0]["pid"] if found else None

    cron_db.sql("select cron.schedule('theirs', '* * * * *', 'select pg_sleep(200)')")
    try:
        neighbour = eventually(lambda: pid(theirs), 75)
        before = eventually(lambda: pid(ours), 75)
        superuser.execute("select pg_terminate_backend(%s, 5000)", [before])
        assert eventually(lambda: pid(ours), 75) != before
        assert pid(theirs) == neighbour
    finally:
        cron_db.sql("select cron.unschedule('theirs')")
        superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where query ~ %s"
            " and pid <> pg_backend_pid()",
            [theirs],
        )
