"""The flag: off is the platform's behaviour, event by event; turning it reaches all at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.database import Database, checkout, refund, refused, rows, rpc

SET = "select dispatch.set_favorites_priority(%s)"


def play(db: Database) -> list[Any]:
    """A day on the marketplace; the event log and the answers, with names for the ids."""
    customer, favourite, other = db.make_customer(), db.make_mechanic(), db.make_mechanic()
    act = {name: db.connect(name) for name in (customer, favourite, other)}
    backend = db.connect(role="service_role")
    answers: list[Any] = []
    requests: list[str] = []

    def book(request: object) -> str:
        requests.append(str(request))
        return requests[-1]

    for wish in ({}, {"priority_window_minutes": "99"}, {"skip_if_offline": "true"}):
        event = checkout(customer, favourite, payment=f"pi_{len(requests)}", **wish)
        book(rpc(backend, "process_stripe_event", event=event)["request_id"])
    free = rpc(
        act[customer],
        "request_free_session",
        plan_code="free-diagnostic",
        preferred_mechanic_id=favourite,
        routing_type="priority_broadcast",
    )
    book(free["id"])
    book(db.make_request(customer, connection=backend))
    listed = rpc(act[other], "list_open_session_requests")
    answers.append([sorted(requests) == sorted(row["request_id"] for row in listed)])
    answers.append([row["is_priority"] for row in listed])
    rpc(act[other], "accept_session_request", request_id=requests[0])
    rpc(act[other], "complete_session_request", request_id=requests[0])
    rpc(act[favourite], "decline_session_request", request_id=requests[1])
    answers.append(rpc(backend, "process_stripe_event", event=refund("pi_1"))["outcome"])
    rpc(act[customer], "broadcast_session_request_now", request_id=requests[2])
    rpc(act[customer], "cancel_session_request", request_id=requests[2])
    db.sql("update mechanics set status = 'suspended' where id = %s", favourite)
    db.sql("update session_requests set expires_at = now() where id = %s", requests[3])
    answers.append(db.sweep())
    for who, function in ((other, "accept"), (customer, "cancel")):
        with refused("PT410", "request_expired"):
            rpc(act[who], f"{function}_session_request", request_id=requests[3])
    with refused("PT404", "feature_disabled"):
        rpc(act[customer], "get_mechanic_status", mechanic_id=other)
    prepared = rpc(
        act[customer],
        "prepare_checkout",
        plan_code="quick-chat",
        preferred_mechanic_id=other,
        routing_type="priority_broadcast",
    )
    answers.append((sorted(prepared["metadata"]), prepared["banner"]))
    db.sql("delete from auth.users where id = %s", customer)

    names = {customer: "customer", favourite: "favourite", other: "other"}
    names |= {request: f"request {number}" for number, request in enumerate(requests)}

    def anonymous(thing: object) -> str:
        text = str(thing)
        for found, name in names.items():
            text = text.replace(found, name)
        return text

    for event in db.events():
        payload = {
            key: value
            for key, value in event["payload"].items()
            if key not in ("event_id", "created_at")
        }
        answers.append(
            anonymous((event["event"], event["actor_id"], event["topics"], sorted(payload.items())))
        )
    return answers


def test_off_is_the_platforms_behaviour_event_by_event(engine_db: Database, db: Database) -> None:
    db.sql(SET, False)
    expected = play(engine_db)
    assert play(db) == expected
    assert len(expected) > 10


@pytest.mark.parametrize("minutes", [None, 5, 99])
def test_off_stores_none_of_the_three_values(db: Database, minutes: int | None) -> None:
    db.sql(SET, False)
    request = db.make_request(preferred=db.make_mechanic(), minutes=minutes)
    row = db.request(request)
    assert row["preferred_mechanic_id"] is row["priority_window_minutes"] is None
    assert row["priority_notified_at"] is None and row["notification_sent_at"]
    assert db.log(request) == ["new_request"]


def test_turned_off_every_open_window_is_over_at_once(db: Database) -> None:
    favourite, other = db.make_mechanic(), db.make_mechanic()
    request, accepted = (db.make_request(preferred=favourite) for _ in range(2))
    rpc(db.connect(favourite), "accept_session_request", request_id=accepted)
    assert db.value(SET, False) is False
    assert db.log(request) == ["priority_request", "new_request:flag_off"]
    assert db.log(accepted) == ["priority_request", "request_accepted"]
    assert rpc(db.connect(other), "accept_session_request", request_id=request)
    with db.unchanged():
        db.sql(SET, False)
    db.sql(SET, True)
    assert db.log(db.make_request(preferred=favourite)) == ["priority_request"]


def test_it_reaches_connections_that_have_used_it_before(db: Database) -> None:
    mechanic = db.make_mechanic()
    connection = db.connect(db.make_customer())
    for enabled in (True, False, True):
        db.sql(SET, enabled)
        if enabled:
            assert rpc(connection, "get_mechanic_status", mechanic_id=mechanic)["is_online"]
        else:
            with refused("PT404", "feature_disabled"):
                rpc(connection, "get_mechanic_status", mechanic_id=mechanic)


def test_what_another_transaction_inserts_meanwhile_is_not_left_waiting(db: Database) -> None:
    """Inserted before the flag went off, committed after: the next sweep broadcasts it."""
    favourite, other = db.make_mechanic(), db.make_mechanic()
    writer = db.connect(role="service_role")
    with writer.transaction():
        before = db.make_request(preferred=favourite, connection=writer)
        db.sql(SET, False)
        after = db.make_request(preferred=favourite, connection=writer)
    assert db.log(after) == ["new_request"]
    assert db.log(before) == ["priority_request"]
    # Open to everyone from the first moment, announced by the sweep.
    assert len(rpc(db.connect(other), "list_open_session_requests")) == 2
    assert db.sweep() == 1
    assert db.log(before) == ["priority_request", "new_request:flag_off"]


def test_turned_on_while_another_transaction_inserts(db: Database) -> None:
    favourite = db.make_mechanic()
    db.sql(SET, False)
    writer = db.connect(role="service_role")
    with writer.transaction():
        before = db.make_request(preferred=favourite, connection=writer)
        db.sql(SET, True)
        after = db.make_request(preferred=favourite, connection=writer)
    assert db.log(before) == ["new_request"]
    assert db.log(after) == ["priority_request"]


def test_a_held_request_does_not_hold_up_the_flag(db: Database) -> None:
    favourite = db.make_mechanic()
    request = db.make_request(preferred=favourite)
    mechanic = db.connect(favourite)
    with mechanic.transaction():
        rpc(mechanic, "accept_session_request", request_id=request)
        db.sql(SET, False)
    assert db.log(request) == ["priority_request", "request_accepted"]


def test_two_who_turn_it_at_once_wait_for_each_other(db: Database) -> None:
    one, two = db.open(), db.open()
    with ThreadPoolExecutor() as pool:
        with one.transaction():
            rows(one, SET, False)
            later = pool.submit(rows, two, SET, True)
            db.wait_until_blocked(two)
        later.result()
    assert db.value("select dispatch.favorites_priority_enabled()") is True


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_only_the_owner_may_turn_it(db: Database, role: str) -> None:
    with refused("42501"):
        rows(db.connect(db.make_mechanic(), role), SET, False)


def test_null_is_no_setting(db: Database) -> None:
    with refused("22004"):
        db.sql(SET, None)


def test_what_was_open_to_all_is_not_reserved_again(db: Database) -> None:
    """The flag goes off and on again while another holds a request that was reserved."""
    request = db.make_request(preferred=db.make_mechanic())
    holder, operator = db.open(), db.open()
    with ThreadPoolExecutor() as pool:
        with holder.transaction():
            holder.execute("select from session_requests where id = %s for update", [request])
            db.sql(SET, False)
            turned = pool.submit(rows, operator, SET, True)
            db.wait_until_blocked(operator)
        turned.result()
    assert db.log(request) == ["priority_request", "new_request:flag_off"]


def test_turned_off_without_a_window_it_does_what_is_due_besides(shared: Database) -> None:
    request = shared.make_request(expires_at="2020-01-01Z")
    shared.sql(SET, False)
    assert shared.request(request)["status"] == "expired"
    shared.sql(SET, True)


def test_it_is_turned_off_however_fast_they_book(db: Database) -> None:
    """Until that is committed the others' bookings have windows, which it does not wait for."""
    customer, favourite = db.make_customer(), db.make_mechanic()
    db.sql(
        "create function public.slowly() returns trigger language plpgsql"
        " as $$ begin perform pg_sleep(0.05); return null; end $$;"
        "create trigger slowly after update on public.session_requests"
        " for each row execute function public.slowly()"
    )
    backend = db.connect(role="service_role")
    over = threading.Event()

    def book() -> None:
        while not over.is_set():
            rpc(backend, "process_stripe_event", event=checkout(customer, favourite))

    with ThreadPoolExecutor() as pool:
        booking = pool.submit(book)
        try:
            while not db.sql("select id from session_requests limit 1"):
                pass
            db.sql("set statement_timeout = '4s'")
            db.sql(SET, False)
        finally:
            over.set()
        booking.result()
    # What came meanwhile is open to all, and told by the next sweep.
    db.sql("drop trigger slowly on public.session_requests")
    db.sweep()
    requests = [str(row["id"]) for row in db.sql("select id from session_requests")]
    for request in requests:
        assert db.log(request)[-1] in ("new_request", "new_request:flag_off")
