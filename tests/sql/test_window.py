"""Who may see and accept is decided by the clock when asked, whether or not a sweep ran."""

import pytest

from tests.database import Connection, Database, refused, rpc

BOUNDARIES = [("- interval '1 microsecond'", True), ("", False), ("+ interval '1 hour'", False)]


def listed(connection: Connection) -> dict[str, bool]:
    return {
        row["request_id"]: row["is_priority"]
        for row in rpc(connection, "list_open_session_requests")
    }


def seen(connection: Connection) -> list[str]:
    """The requests that row level security shows."""
    return [str(row[0]) for row in connection.execute("select id from public.session_requests")]


@pytest.mark.parametrize(("offset", "reserved"), BOUNDARIES)
@pytest.mark.parametrize("minutes", [1, 60])
def test_the_window_is_over_exactly_at_its_end(
    shared: Database, offset: str, reserved: bool, minutes: int
) -> None:
    mechanic, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=mechanic, minutes=minutes)
    at = "priority_notified_at + make_interval(mins => priority_window_minutes)" + offset
    recipients = shared.sql(
        f"select c.mechanic_id::text as id from public.session_requests as r"
        f" cross join dispatch.choose_recipients(r.id, null, {at}) as c where r.id = %s",
        request,
    )
    assert {row["id"] for row in recipients} == ({mechanic} if reserved else {mechanic, other})
    refusals = shared.sql(
        f"select dispatch.refusal(r, %s, {at}) as one, dispatch.refusal(r, %s, {at}) as two"
        f" from public.session_requests as r where r.id = %s",
        mechanic,
        other,
        request,
    )
    assert refusals == [{"one": None, "two": "request_not_found" if reserved else None}]
    due = shared.value(
        f"select count(*) from public.session_requests as r"
        f" cross join dispatch.pending_windows({at}, 10) where r.id = %s",
        request,
    )
    assert due == (0 if reserved else 1)


def test_without_a_sweep_others_see_and_accept_after_the_end_and_not_before(
    shared: Database,
) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    one, two = shared.connect(favourite), shared.connect(other)
    assert listed(one) == {request: True} and seen(one) == [request]
    assert listed(two) == {} and seen(two) == []
    with shared.unchanged(), refused("PT404", "request_not_found"):
        rpc(two, "accept_session_request", request_id=request)

    shared.end_window(request)
    assert listed(one) == listed(two) == {request: False}
    assert seen(one) == seen(two) == [request]
    assert shared.request(request)["notification_sent_at"] is None
    accepted = rpc(two, "accept_session_request", request_id=request)
    assert accepted["mechanic_id"] == other
    (_, event) = shared.events(request)
    # It was open to everyone, so everyone hears that it is gone, and it was no priority any more.
    assert "session_requests_feed" in event["topics"]
    assert event["payload"]["priority"] is False
    with shared.unchanged(), refused("PT409", "request_taken"):
        rpc(one, "accept_session_request", request_id=request)
    assert shared.sweep() == 0


@pytest.mark.parametrize("swept", [False, True])
def test_a_late_sweep_changes_nothing_in_who_may_accept(shared: Database, swept: bool) -> None:
    mechanics = [shared.make_mechanic() for _ in range(3)]
    request = shared.make_request(preferred=mechanics[0])
    shared.end_window(request, -3600)
    if swept:
        assert shared.sweep() == 1
    recipients = shared.sql("select mechanic_id::text from dispatch.choose_recipients(%s)", request)
    assert {row["mechanic_id"] for row in recipients} == set(mechanics)
    assert all(listed(shared.connect(each)) == {request: False} for each in mechanics)


def test_an_early_sweep_broadcasts_nothing(shared: Database) -> None:
    request = shared.make_request(preferred=shared.make_mechanic())
    assert shared.sweep() == 0
    assert shared.log(request) == ["priority_request"]


def test_inside_the_window_nothing_reaches_anyone_else(shared: Database) -> None:
    customer, favourite, other = (
        shared.make_customer(),
        shared.make_mechanic(),
        shared.make_mechanic(),
    )
    stranger = shared.make_customer()
    request = shared.make_request(customer, favourite)
    own = {f"customer:{customer}", f"mechanic:{favourite}"}
    for who in (other, stranger, None):
        connection = shared.connect(who)
        assert seen(connection) == []
        if who:
            assert rpc(connection, "list_session_request_events") == []
    rpc(shared.connect(favourite), "accept_session_request", request_id=request)
    assert shared.log(request) == ["priority_request", "request_accepted"]
    assert all(set(event["topics"]) == own for event in shared.events(request))
    assert rpc(shared.connect(other), "list_session_request_events") == []
    messages = shared.sql("select distinct topic from realtime.messages")
    assert {row["topic"] for row in messages} == own


def test_cancelled_inside_the_window_only_the_favourite_hears(shared: Database) -> None:
    customer, favourite = shared.make_customer(), shared.make_mechanic()
    request = shared.make_request(customer, favourite)
    rpc(shared.connect(customer), "cancel_session_request", request_id=request)
    assert shared.log(request) == ["priority_request", "request_cancelled:cancelled"]
    assert {topic for event in shared.events(request) for topic in event["topics"]} == {
        f"customer:{customer}",
        f"mechanic:{favourite}",
    }


def test_recipients_are_ranked_and_leave_out_whom_they_must(shared: Database) -> None:
    customer = shared.make_mechanic()
    best = shared.make_mechanic(brands=["Saab"], city="Turku", country="FI")
    near = shared.make_mechanic(online=False, city="turku", country="fi")
    far = shared.make_mechanic(online=False, city="Turku", country="CA")
    decliner = shared.make_mechanic()
    for status in ("pending", "suspended", None):
        shared.make_mechanic(status)
    request = shared.make_request(
        customer, requested_brand="SAAB", customer_city="Turku", customer_country="FI"
    )
    rpc(shared.connect(decliner), "decline_session_request", request_id=request)
    found = shared.sql("select * from dispatch.choose_recipients(%s)", request)
    assert [str(row["mechanic_id"]) for row in found] == [best, near, far]
    assert [row["score"] for row in found] == [110, 30, 0]
    assert found[0]["reasons"][0] == "Available now"
    limited = shared.sql("select * from dispatch.choose_recipients(%s, 1)", request)
    assert limited == found[:1]
    assert shared.sql("select * from dispatch.choose_recipients(null)") == []


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("now()", {"favourite": "preferred, told first", "other": "reserved for another mechanic"}),
        ("now() + interval '1 hour'", {"favourite": "not announced", "other": "not announced"}),
    ],
)
def test_explain_routing_says_why(shared: Database, at: str, expected: dict[str, str]) -> None:
    people = {"favourite": shared.make_mechanic(), "other": shared.make_mechanic()}
    request = shared.make_request(preferred=people["favourite"])
    found = shared.sql(f"select * from dispatch.explain_routing(%s, {at})", request)
    why = {str(row["mechanic_id"]): row["why"] for row in found}
    assert all(words in why[people[who]] for who, words in expected.items())
    with refused("PT404", "request_not_found"):
        shared.sql("select * from dispatch.explain_routing(gen_random_uuid())")
