"""Who may see and accept is decided by the clock when asked, whether or not a sweep ran."""

import uuid

import pytest

from tests.database import Connection, Database, Row, refused, rpc

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
        f"select dispatch.refusal(dispatch.as_request(r), %s, %s, {at}) as one,"
        f" dispatch.refusal(dispatch.as_request(r), %s, %s, {at}) as two"
        f" from public.session_requests as r where r.id = %s",
        *(mechanic, mechanic, other, other, request),
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


def explain(db: Database, request: str, at: str = "now()") -> dict[str, Row]:
    """What is said of each mechanic."""
    found = db.sql(f"select * from dispatch.explain_routing(%s, {at})", request)
    return {str(row["mechanic_id"]): row for row in found}


def test_explain_routing_says_of_each_mechanic_why(shared: Database) -> None:
    customer = shared.make_mechanic()
    favourite, near, away = (
        shared.make_mechanic(city="Turku"),
        shared.make_mechanic(city="Turku", brands=["Saab"]),
        shared.make_mechanic(online=False),
    )
    applicant, unset = shared.make_mechanic("pending"), shared.make_mechanic(None)
    request = shared.make_request(
        customer, favourite, customer_city="Turku", requested_brand="Saab"
    )
    ends_at = "2026-03-14 12:10:00+00"
    shared.sql("update session_requests set priority_notified_at = '2026-03-14 12:00Z'")
    shared.sql("update dispatch.request_events set created_at = '2026-03-14 12:00Z'")

    inside = explain(shared, request, "'2026-03-14 12:09:59Z'")
    assert {who: row["why"].split("; ")[0] for who, row in inside.items()} == {
        favourite: f"preferred, it is theirs alone until {ends_at}",
        near: f"reserved for another mechanic until {ends_at}",
        away: f"reserved for another mechanic until {ends_at}",
        applicant: "not approved",
        unset: "not approved",
        customer: "is the customer",
    }
    assert {who for who, row in inside.items() if row["told_at"]} == {favourite}
    assert {who for who, row in inside.items() if row["may_accept"]} == {favourite}
    assert next(iter(inside)) == favourite
    assert inside[near]["why"].endswith("; Available now, Works on Saab, Same city")
    assert inside[near]["score"] == 100
    assert inside[away]["why"].endswith("; offline") and inside[away]["score"] == 0
    assert inside[favourite]["why"].endswith("; was told first; Available now, Same city")

    over = explain(shared, request, f"'{ends_at}'")
    assert {who for who, row in over.items() if row["may_accept"]} == {favourite, near, away}
    for who in (favourite, near, away):
        assert f"open to everyone since {ends_at}, not announced yet" in over[who]["why"]
    assert {who for who, row in over.items() if row["told_at"]} == {favourite}

    # Told, all of them; the favourite comes first, then the best.
    assert shared.sweep() == 1
    announced = explain(shared, request)
    assert list(announced)[:3] == [favourite, near, away]
    told = {who for who, row in announced.items() if row["told_at"]}
    assert told == {favourite, near, away}
    assert announced[near]["told_at"] > announced[favourite]["told_at"]
    assert "not announced" not in announced[near]["why"]
    assert "was told first" not in announced[near]["why"]

    rpc(shared.connect(near), "decline_session_request", request_id=request)
    declined = explain(shared, request)[near]
    assert declined["why"].startswith("declined at ") and not declined["may_accept"]


def test_explain_routing_of_what_is_over(shared: Database) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    accepted, cancelled, expired = (shared.make_request(preferred=favourite) for _ in range(3))
    rpc(shared.connect(favourite), "accept_session_request", request_id=accepted)
    shared.sql("update session_requests set status = 'cancelled' where id = %s", cancelled)
    shared.end_window(expired)
    assert shared.sweep() == 1
    late = explain(shared, expired, "now() + interval '25 hours'")
    assert all(row["why"].startswith("expired at ") for row in late.values())
    shared.sql("update session_requests set status = 'expired' where id = %s", expired)

    found = {each: explain(shared, each) for each in (accepted, cancelled, expired)}
    assert not any(row["may_accept"] for rows in found.values() for row in rows.values())
    assert found[accepted][favourite]["why"].startswith("took it at ")
    assert found[accepted][other]["why"].startswith("the request is accepted")
    for each in (accepted, cancelled):
        assert found[each][favourite]["told_at"] and not found[each][other]["told_at"]
    assert found[cancelled][favourite]["why"].startswith("the request is cancelled")
    assert found[expired][other]["why"].startswith("the request is expired")
    assert found[expired][other]["told_at"]


def test_explain_routing_says_that_a_favourite_was_skipped(shared: Database) -> None:
    other = shared.make_mechanic()
    request = shared.make_request(preferred=shared.make_mechanic("suspended"))
    why = explain(shared, request)[other]["why"]
    assert "a favourite was asked for and skipped: not_approved" in why


def test_explain_routing_of_no_request_and_of_many_mechanics(shared: Database) -> None:
    with refused("PT404", "request_not_found"):
        explain(shared, str(uuid.uuid4()))
    request = shared.make_request()
    shared.sql("insert into auth.users (id) select gen_random_uuid() from generate_series(1, 101)")
    shared.sql("insert into mechanics (id, status) select id, 'approved' from auth.users")
    assert len(explain(shared, request)) == 100
    assert len(explain(shared, request, "now(), p_limit => 3")) == 3
    assert len(explain(shared, request, "now(), p_limit => null")) == 102
