"""The rules stand at the table: a direct UPDATE breaks none, and a deletion leaves none waiting."""

import pytest

from tests.database import Database, refused, rpc

WRITERS = ["postgres", "service_role"]
STATES = ["pending", "accepted", "cancelled", "expired", "completed"]
ALLOWED = {
    ("pending", "accepted"),
    ("pending", "cancelled"),
    ("pending", "expired"),
    ("accepted", "completed"),
    ("accepted", "cancelled"),
}


def reach(db: Database, state: str, winner: str) -> str:
    request = db.make_request()
    if state in ("accepted", "completed"):
        rpc(db.connect(winner), "accept_session_request", request_id=request)
    if state not in ("pending", "accepted"):
        db.sql(
            "update session_requests set status = %s::session_request_status where id = %s",
            state,
            request,
        )
    return request


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("preferred", [True, False], ids=["in a window", "broadcast"])
@pytest.mark.parametrize(
    "change",
    [
        "status = 'accepted', mechanic_id = {other}",
        "mechanic_id = {other}",
        "status = 'accepted', mechanic_id = {other}, notification_sent_at = now()",
        "status = 'accepted', mechanic_id = {other}, preferred_mechanic_id = {other}",
        "status = 'accepted', mechanic_id = {other}, priority_window_minutes = 0",
        "status = 'accepted', mechanic_id = {other}, priority_notified_at = null",
        "preferred_mechanic_id = {other}",
    ],
)
def test_a_reserved_request_is_not_handed_to_another(
    shared: Database, writer: str, change: str, preferred: bool
) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite if preferred else None)
    query = f"update public.session_requests set {change.format(other=f'{other!r}')} where id = %s"
    connection = shared.connect(role=writer)
    if not preferred:
        connection.execute(query.encode(), (request,))
        return
    with (
        shared.unchanged(),
        refused(
            *(
                ("PT403", "not_yours")
                if change.startswith("preferred")
                else ("PT404", "request_not_found")
            )
        ),
    ):
        connection.execute(query.encode(), (request,))


@pytest.mark.parametrize(
    "first", ["priority_notified_at", "priority_window_minutes", "preferred_mechanic_id"]
)
def test_a_reservation_is_not_handed_on_in_two_steps(shared: Database, first: str) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    shared.sql(f"update session_requests set {first} = null where id = %s", request)
    shared.sql(
        "update session_requests set preferred_mechanic_id = %s, priority_notified_at = now(),"
        " priority_window_minutes = 10 where id = %s",
        other,
        request,
    )
    found = shared.sql("select mechanic_id::text from dispatch.choose_recipients(%s)", request)
    assert {row["mechanic_id"] for row in found} == {favourite, other}
    assert "session_requests_feed" in shared.events(request)[1]["topics"]


@pytest.mark.parametrize(
    "change",
    [
        "priority_window_minutes = 2147483647",
        "priority_window_minutes = 61",
        "priority_window_minutes = 11",
        "priority_notified_at = 'infinity'",
        "priority_notified_at = '-infinity'",
        "priority_notified_at = '2130-01-01'",
        "priority_notified_at = priority_notified_at + interval '1 second'",
    ],
)
def test_a_window_is_not_made_longer(shared: Database, change: str) -> None:
    request = shared.make_request(preferred=shared.make_mechanic())
    backend = shared.connect(role="service_role")
    for connection in (backend, shared.owner):
        with shared.unchanged(), refused("PT422", "invalid_window"):
            query = f"update session_requests set {change} where id = %s"
            connection.execute(query.encode(), (request,))
    shared.sql("update session_requests set priority_window_minutes = 9 where id = %s", request)
    assert shared.request(request)["priority_window_minutes"] == 9


def test_a_broadcast_is_not_taken_back(shared: Database) -> None:
    """By an upsert of the row as it was read before, or to reserve it for another."""
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    read = shared.request(request)
    rpc(shared.connect(favourite), "decline_session_request", request_id=request)
    announced = shared.request(request)["notification_sent_at"]
    shared.sql(
        "insert into session_requests (id, customer_id, session_type, notification_sent_at)"
        " values (%s, %s, 'chat', null) on conflict (id) do update"
        " set notification_sent_at = excluded.notification_sent_at",
        request,
        read["customer_id"],
    )
    shared.sql(
        "update session_requests set notification_sent_at = null, preferred_mechanic_id = %s,"
        " priority_notified_at = now(), priority_window_minutes = 60 where id = %s",
        other,
        request,
    )
    assert shared.request(request)["notification_sent_at"] == announced
    third = shared.make_mechanic()
    assert rpc(shared.connect(third), "accept_session_request", request_id=request)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("new", STATES)
@pytest.mark.parametrize("old", STATES)
def test_only_the_state_changes_there_are(
    shared: Database, writer: str, old: str, new: str
) -> None:
    winner = shared.make_mechanic()
    request = reach(shared, old, winner)
    query = (
        "update public.session_requests set status = %s::public.session_request_status,"
        " mechanic_id = coalesce(mechanic_id, %s) where id = %s"
    )
    connection = shared.connect(role=writer)
    if (old, new) in ALLOWED:
        connection.execute(query.encode(), (new, winner, request))
        assert shared.request(request)["status"] == new
    elif old == new:
        return
    else:
        with shared.unchanged(), refused("PT409", "request_not_pending"):
            connection.execute(query.encode(), (new, winner, request))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("pending", ("PT403", "not_a_mechanic")),
        ("suspended", ("PT403", "not_a_mechanic")),
        (None, ("PT403", "not_a_mechanic")),
        ("no mechanic", ("PT403", "not_a_mechanic")),
        ("the customer", ("PT404", "request_not_found")),
        ("nobody", ("PT409", "request_not_pending")),
    ],
)
def test_a_job_goes_only_to_an_approved_mechanic_other_than_the_customer(
    shared: Database, status: str | None, error: tuple[str, str]
) -> None:
    customer = shared.make_mechanic()
    request = shared.make_request(customer)
    if status == "no mechanic":
        mechanic: str | None = shared.make_customer()
    elif status == "the customer":
        mechanic = customer
    elif status == "nobody":
        mechanic = None
    else:
        mechanic = shared.make_mechanic(status)
    with shared.unchanged(), refused(*error):
        shared.sql(
            "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
            mechanic,
            request,
        )


@pytest.mark.parametrize("state", ["accepted", "completed", "cancelled"])
def test_a_finished_job_is_not_handed_on(shared: Database, state: str) -> None:
    winner, other = shared.make_mechanic(), shared.make_mechanic()
    request = reach(shared, state, winner)
    sqlstate = (
        ("PT410", "request_cancelled")
        if state == "cancelled"
        else (
            "PT409",
            "request_taken",
        )
    )
    with shared.unchanged(), refused(*sqlstate):
        shared.sql("update session_requests set mechanic_id = %s where id = %s", other, request)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update mechanics set status = 'suspended' where id = %s", "mechanic_gone"),
        ("update mechanics set status = 'pending' where id = %s", "mechanic_gone"),
        ("update mechanics set status = null where id = %s", "mechanic_gone"),
        ("delete from mechanics where id = %s", "mechanic_gone"),
        ("delete from auth.users where id = %s", "mechanic_gone"),
    ],
)
def test_a_favourite_who_is_gone_ends_the_window_at_once(
    shared: Database, change: str, reason: str
) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    before = shared.make_request(preferred=favourite)
    rpc(shared.connect(favourite), "accept_session_request", request_id=before)
    shared.sql(change, favourite)
    assert shared.log(request) == ["priority_request", f"new_request:{reason}"]
    assert shared.events(request)[1]["payload"]["is_fallback_broadcast"] is True
    assert shared.request(request)["expires_at"] is not None
    assert rpc(shared.connect(other), "accept_session_request", request_id=request)
    # What was accepted stays, with or without its mechanic.
    assert shared.request(before)["status"] == "accepted"
    assert shared.log(before) == ["priority_request", "request_accepted"]


def test_a_mechanic_deleted_after_the_accept_leaves_the_request_to_the_customer(
    shared: Database,
) -> None:
    customer, winner, other = (
        shared.make_customer(),
        shared.make_mechanic(),
        shared.make_mechanic(),
    )
    request = shared.make_request(customer)
    rpc(shared.connect(winner), "accept_session_request", request_id=request)
    shared.sql("delete from auth.users where id = %s", winner)
    assert shared.request(request)["mechanic_id"] is None
    with shared.unchanged(), refused("PT409", "request_taken"):
        rpc(shared.connect(other), "accept_session_request", request_id=request)
    timeline = rpc(shared.connect(customer), "get_session_request_timeline", request_id=request)
    assert [each["event"] for each in timeline] == ["new_request", "request_accepted"]


@pytest.mark.parametrize("preferred", [True, False], ids=["in a window", "broadcast"])
def test_a_deleted_customer_takes_the_request_along_and_whoever_was_told_hears(
    shared: Database, preferred: bool
) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    request = shared.make_request(customer, mechanic if preferred else None)
    shared.sql("delete from auth.users where id = %s", customer)
    assert shared.sql("select 1 from session_requests") == []
    (_, event) = shared.events(request)
    assert event["event"] == "request_cancelled" and event["payload"]["reason"] == "cancelled"
    told = f"mechanic:{mechanic}" if preferred else "session_requests_feed"
    assert event["topics"] == [f"customer:{customer}", told]


@pytest.mark.parametrize("preferred", [True, False], ids=["in a window", "broadcast"])
def test_a_customer_deleted_after_the_accept_tells_the_winner_alone(
    shared: Database, preferred: bool
) -> None:
    customer, winner = shared.make_customer(), shared.make_mechanic()
    request = shared.make_request(customer, winner if preferred else None)
    rpc(shared.connect(winner), "accept_session_request", request_id=request)
    shared.sql("delete from auth.users where id = %s", customer)
    assert shared.log(request)[1:] == ["request_accepted", "request_cancelled:cancelled"]
    topics = shared.events(request)[2]["topics"]
    assert topics == [f"customer:{customer}", f"mechanic:{winner}"]


def test_a_deleted_customers_finished_requests_tell_nobody(shared: Database) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    completed, cancelled = shared.make_request(customer), shared.make_request(customer)
    for function in ("accept_session_request", "complete_session_request"):
        rpc(shared.connect(mechanic), function, request_id=completed)
    rpc(shared.connect(customer), "cancel_session_request", request_id=cancelled)
    shared.sql("delete from auth.users where id = %s", customer)
    assert shared.log(completed) == ["new_request", "request_accepted", "request_completed"]
    assert shared.log(cancelled) == ["new_request", "request_cancelled:cancelled"]


def test_two_accounts_deleted_at_once(shared: Database) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    request = shared.make_request(customer, mechanic)
    shared.sql("delete from auth.users")
    assert shared.sql("select 1 from session_requests") == []
    assert "request_cancelled:cancelled" in shared.log(request)


def test_an_accept_that_a_trigger_of_theirs_prevents_is_refused(db: Database) -> None:
    db.sql(
        "create function public.keep() returns trigger language plpgsql as"
        " 'begin return null; end';"
        " create trigger keep before update on public.session_requests"
        " for each row execute function public.keep()"
    )
    request = db.make_request()
    connection = db.connect(db.make_mechanic())
    with db.unchanged(), refused("PT409", "request_not_pending"):
        rpc(connection, "accept_session_request", request_id=request)
