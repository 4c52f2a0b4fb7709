"""What each RPC does and answers when it is used as it is meant to be."""

import uuid
from typing import Any

import psycopg
import pytest

from tests.database import Database, checkout, refused, rpc

SECRETS = {"stripe_checkout_session_id": "cs_1", "stripe_payment_intent": "pi_1", "kept": 1}


def test_accept_tells_the_winner_all_but_how_it_was_paid_and_again_the_same(
    shared: Database,
) -> None:
    winner = shared.make_mechanic()
    request = shared.make_request(metadata=SECRETS)
    connection = shared.connect(winner)
    answer = rpc(connection, "accept_session_request", request_id=request)
    assert answer["status"] == "accepted" and answer["mechanic_id"] == winner
    assert answer["customer_email"] == "zoe.quill@mail.example" and answer["notes"]
    assert answer["accepted_at"] and answer["metadata"] == {"kept": 1}
    with shared.unchanged():
        assert rpc(connection, "accept_session_request", request_id=request) == answer
    done = rpc(connection, "complete_session_request", request_id=request)
    assert done["status"] == "completed" and done["metadata"] == {"kept": 1}
    with shared.unchanged():
        assert rpc(connection, "complete_session_request", request_id=request) == done
        assert rpc(connection, "accept_session_request", request_id=request) == done
    assert shared.log(request) == ["new_request", "request_accepted", "request_completed"]
    customer = f"customer:{shared.request(request)['customer_id']}"
    _, accepted, completed = shared.events(request)
    assert accepted["topics"] == [customer, f"mechanic:{winner}", "session_requests_feed"]
    assert completed["topics"] == [customer, f"mechanic:{winner}"]
    assert str(accepted["actor_id"]) == winner


def test_the_favourite_declines_and_everyone_is_asked_at_once(shared: Database) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    connection = shared.connect(favourite)
    answer = rpc(connection, "decline_session_request", request_id=request, reason="secret " * 100)
    assert answer["request_id"] == request and answer["declined_at"]
    assert shared.log(request) == ["priority_request", "request_declined", "new_request:declined"]
    _, declined, broadcast = shared.events(request)
    assert declined["topics"] == [f"mechanic:{favourite}"]
    assert declined["payload"]["decline_reason"] == ("secret " * 100)[:100]
    assert broadcast["payload"]["is_fallback_broadcast"] is True
    with shared.unchanged():
        again = rpc(connection, "decline_session_request", request_id=request)
    assert again == answer
    assert rpc(connection, "list_open_session_requests") == []
    with refused("PT404", "request_not_found"):
        rpc(connection, "accept_session_request", request_id=request)
    # The reason is the operators' alone.
    for who in (favourite, other, str(shared.request(request)["customer_id"])):
        heard = rpc(shared.connect(who), "list_session_request_events")
        assert heard and "secret" not in str(heard)
    shared.sql("select dispatch.deliver_events()")
    messages = shared.sql("select event, payload from realtime.messages")
    assert "request_declined" in str(messages) and "secret" not in str(messages)
    assert rpc(shared.connect(other), "accept_session_request", request_id=request)


def test_a_decline_after_the_broadcast_is_one_mechanics_own(shared: Database) -> None:
    decliner, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request()
    rpc(shared.connect(decliner), "decline_session_request", request_id=request)
    assert shared.log(request) == ["new_request", "request_declined"]
    assert rpc(shared.connect(decliner), "list_open_session_requests") == []
    assert len(rpc(shared.connect(other), "list_open_session_requests")) == 1


def test_the_customer_ends_the_window_early_and_again_the_same(shared: Database) -> None:
    customer = shared.make_customer()
    request = shared.make_request(customer, shared.make_mechanic(), metadata=SECRETS)
    connection = shared.connect(customer)
    answer = rpc(connection, "broadcast_session_request_now", request_id=request)
    assert answer["notification_sent_at"] and answer["metadata"] == {"kept": 1}
    assert shared.log(request) == ["priority_request", "new_request:customer"]
    with shared.unchanged():
        again = rpc(connection, "broadcast_session_request_now", request_id=request)
    assert again == answer


def test_cancel_tells_whoever_had_been_told(shared: Database) -> None:
    customer = shared.make_customer()
    request = shared.make_request(customer)
    answer = rpc(shared.connect(customer), "cancel_session_request", request_id=request)
    assert answer["status"] == "cancelled"
    assert shared.log(request) == ["new_request", "request_cancelled:cancelled"]
    assert shared.events(request)[1]["topics"] == [f"customer:{customer}", "session_requests_feed"]


def test_the_timeline_names_no_person(shared: Database) -> None:
    customer, favourite = shared.make_customer(), shared.make_mechanic()
    request = shared.make_request(customer, favourite)
    rpc(shared.connect(favourite), "decline_session_request", request_id=request, reason="tired")
    rpc(shared.connect(customer), "cancel_session_request", request_id=request)
    timeline = rpc(shared.connect(customer), "get_session_request_timeline", request_id=request)
    assert [(row["event"], row["actor"], row["reason"]) for row in timeline] == [
        ("priority_request", "system", None),
        ("request_declined", "mechanic", None),
        ("new_request", "mechanic", "declined"),
        ("request_cancelled", "customer", "cancelled"),
    ]
    assert favourite not in str(timeline)


def test_the_list_has_each_request_once_while_the_feature_comes_or_goes(db: Database) -> None:
    """Between two queries of one call: to the first it is reserved, to the second it has no window.

    test_customers_book_while_it_comes_and_goes meets that by chance, once in a hundred runs.
    """
    mechanic = db.make_mechanic()
    mine, source = db.make_request(preferred=mechanic), "dispatch.unannounced_requests"
    (window,) = rpc(db.connect(mechanic), "list_open_session_requests")
    db.sql(f"alter function {source} rename to really_unannounced")
    again = "select request_id, null from dispatch.really_unannounced(p_mechanic_id)"
    db.sql(
        f"create function {source}(p_mechanic_id uuid)"
        " returns table (request_id uuid, window_ends_at timestamptz) language sql stable"
        f" as 'select * from dispatch.really_unannounced(p_mechanic_id) union all {again}'"
    )
    assert rpc(db.connect(mechanic), "list_open_session_requests") == [window]
    assert window["request_id"] == mine and window["is_priority"]


DECIDES = (
    "plan_title",
    "price_cents",
    "currency",
    "requested_brand",
    "customer_city",
    "is_urgent",
    "is_returning_customer",
)


def test_the_list_is_priority_first_then_the_best_match_and_names_nobody(shared: Database) -> None:
    mechanic = shared.make_mechanic(brands=["saab"])
    plain = shared.make_request()
    saab = shared.make_request(requested_brand="Saab")
    mine = shared.make_request(preferred=mechanic)
    shared.make_request(preferred=shared.make_mechanic())
    found = rpc(shared.connect(mechanic), "list_open_session_requests")
    assert [row["request_id"] for row in found] == [mine, saab, plain]
    assert [row["is_priority"] for row in found] == [True, False, False]
    assert [bool(row["window_ends_at"]) for row in found] == [True, False, False]
    assert set(found[0]) == {
        "request_id",
        "session_type",
        "plan_code",
        "is_priority",
        "window_ends_at",
        "created_at",
        "match_score",
        "match_reasons",
        *DECIDES,
    }
    assert "Zoe" not in str(found)


def test_the_list_has_what_a_mechanic_decides_by(shared: Database) -> None:
    mechanic, other = shared.make_mechanic(), shared.make_mechanic()
    customer, stranger = shared.make_customer(), shared.make_customer()
    asked: dict[str, Any] = {"requested_brand": "Saab", "customer_city": "Malmö", "is_urgent": True}
    earlier = shared.make_request(customer)
    rpc(shared.connect(mechanic), "accept_session_request", request_id=earlier)
    shared.make_request(customer, **asked)
    shared.make_request(stranger, plan_code="gone")

    def decided_by(who: str) -> list[list[object]]:
        found = rpc(shared.connect(who), "list_open_session_requests")
        by_age = sorted(found, key=lambda row: row["created_at"])
        return [[row[name] for name in DECIDES] for row in by_age]

    quick = ["Quick chat", 999, "usd", "Saab", "Malmö", True]
    unknown = [None, None, None, None, None, False]
    assert decided_by(mechanic) == [[*quick, True], [*unknown, False]]
    assert decided_by(other) == [[*quick, False], [*unknown, False]]
    # Nobody was here before whose session did not take place.
    shared.sql("update session_requests set status = 'cancelled' where id = %s", earlier)
    assert decided_by(mechanic) == [[*quick, False], [*unknown, False]]


def test_favourites_are_the_callers_own_those_available_first(shared: Database) -> None:
    customer, other = shared.make_customer(), shared.make_customer()
    away, here = shared.make_mechanic(online=False), shared.make_mechanic()
    gone = shared.make_mechanic()
    connection = shared.connect(customer)
    for mechanic in (away, here, gone):
        connection.execute(
            "insert into public.customer_favorites (customer_id, mechanic_id) values (%s, %s)",
            (customer, mechanic),
        )
    shared.sql("update mechanics set status = 'suspended' where id = %s", gone)
    found = rpc(connection, "list_favorite_mechanics")
    assert found[0]["mechanic_id"] == here and len(found) == 3
    assert [row["is_online"] for row in found] == [True, False, False]
    assert rpc(shared.connect(other), "list_favorite_mechanics") == []
    connection.execute("delete from public.customer_favorites where mechanic_id = %s", (away,))
    assert len(rpc(connection, "list_favorite_mechanics")) == 2


@pytest.mark.parametrize("status", ["pending", "suspended", None])
def test_of_a_favourite_whom_nobody_may_book_nothing_is_told(
    shared: Database, status: str | None
) -> None:
    """They stay in the list, to be taken off it."""
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    shared.sql("insert into customer_favorites values (%s, %s)", customer, mechanic)
    shared.sql("update mechanics set status = %s", status)
    connection = shared.connect(customer)
    (found,) = rpc(connection, "list_favorite_mechanics")
    assert found.pop("mechanic_id") == mechanic and found.pop("favorited_at")
    assert found == {
        "display_name": None,
        "is_online": False,
        "last_seen": None,
        "is_reachable": False,
    }
    assert connection.execute("delete from public.customer_favorites").rowcount == 1


def test_an_insert_of_a_favourite_does_not_tell_who_has_applied(shared: Database) -> None:
    connection = shared.connect(shared.make_customer())
    insert = "insert into public.customer_favorites values (auth.uid(), %s)"
    answers = set()
    for mechanic in (
        shared.make_mechanic("pending"),
        shared.make_mechanic("suspended"),
        shared.make_mechanic(None),
        shared.make_customer(),
        str(uuid.uuid4()),
    ):
        for conflict in ("", " on conflict do nothing"):
            with pytest.raises(psycopg.Error) as raised:
                connection.execute(f"{insert}{conflict}".encode(), (mechanic,))
            diag = raised.value.diag
            answers.add((diag.sqlstate, diag.message_primary, diag.message_detail))
    assert len(answers) == 1
    connection.execute(insert, (shared.make_mechanic(),))


@pytest.mark.parametrize("given", [None, 1, 60])
@pytest.mark.parametrize("skip", [True, False, None])
def test_a_checkout_is_prepared_as_stripe_wants_it(
    shared: Database, given: int | None, skip: bool | None
) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic(display_name="Ann O'Neil")
    answer = rpc(
        shared.connect(customer),
        "prepare_checkout",
        plan_code="expert-video",
        preferred_mechanic_id=mechanic,
        routing_type="priority_broadcast",
        priority_window_minutes=given,
        skip_if_offline=skip,
    )
    assert answer["plan"] == {
        "code": "expert-video",
        "title": "Expert video session",
        "session_type": "video",
        "price_cents": 2999,
        "currency": "usd",
    }
    assert answer["metadata"] == {
        "customer_id": customer,
        "plan_code": "expert-video",
        "session_type": "video",
        "routing_type": "priority_broadcast",
        "preferred_mechanic_id": mechanic,
        "priority_window_minutes": str(given or 10),
    } | ({"skip_if_offline": "true"} if skip else {})
    assert answer["banner"] == "Booking with Ann O'Neil (Priority)"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\u202eaiM\u202c", "aiM"),
        ("\u2067 Mia ", "Mia"),
        ("محمد", "محمد"),
        ("\u202e \u2069", "your favourite"),
    ],
)
def test_a_name_does_not_turn_the_banner_s_words(shared: Database, name: str, shown: str) -> None:
    answer = rpc(
        shared.connect(shared.make_customer()),
        "prepare_checkout",
        plan_code="quick-chat",
        preferred_mechanic_id=shared.make_mechanic(display_name=name),
        routing_type="priority_broadcast",
    )
    assert answer["banner"] == f"Booking with {shown} (Priority)"


@pytest.mark.parametrize("flag", [True, False])
def test_a_plain_checkout_has_no_wish(shared: Database, flag: bool) -> None:
    customer = shared.make_customer()
    arguments = {"plan_code": "quick-chat"} | (
        {} if flag else {"routing_type": "priority_broadcast"}
    )
    shared.sql("select dispatch.set_favorites_priority(%s)", flag)
    try:
        answer = rpc(shared.connect(customer), "prepare_checkout", **arguments)
    finally:
        shared.sql("select dispatch.set_favorites_priority(true)")
    assert answer["metadata"] == {
        "customer_id": customer,
        "plan_code": "quick-chat",
        "session_type": "chat",
        "routing_type": "broadcast",
    }
    assert answer["banner"] is None


def test_a_free_plan_is_booked_with_the_callers_name(shared: Database) -> None:
    customer = shared.make_customer()
    connection = shared.connect(
        customer, email="zoe@mail.example", user_metadata={"full_name": "Zoe"}
    )
    answer = rpc(connection, "request_free_session", plan_code="free-diagnostic")
    assert answer["customer_id"] == customer and answer["status"] == "pending"
    assert (answer["customer_name"], answer["customer_email"]) == ("Zoe", "zoe@mail.example")
    assert shared.log() == ["new_request"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [(" squeaks,\n left \n", "squeaks,\n left"), ("é" * 500 + " ", "é" * 500), (" \t\n", None)],
    ids=["trimmed", "500", "blank"],
)
def test_notes_reach_whoever_accepts(shared: Database, given: str, kept: str | None) -> None:
    customer, mechanic = shared.connect(shared.make_customer()), shared.make_mechanic()
    free = rpc(customer, "request_free_session", plan_code="free-diagnostic", notes=given)
    wish = rpc(customer, "prepare_checkout", plan_code="quick-chat", notes=given)["metadata"]
    assert ("notes" in wish) == (kept is not None)
    event = checkout(None)
    event["data"]["object"]["metadata"] = wish
    paid = rpc(shared.connect(role="service_role"), "process_stripe_event", event=event)
    for request in (free["id"], paid["request_id"]):
        answer = rpc(shared.connect(mechanic), "accept_session_request", request_id=request)
        assert answer["notes"] == kept


def test_a_free_attempt_is_one_booking(shared: Database) -> None:
    customer, stranger = shared.make_customer(), shared.make_customer()
    connection, mechanic = shared.connect(customer), shared.make_mechanic()
    wish = {"plan_code": "free-diagnostic", "attempt": str(uuid.uuid4())}
    first = rpc(connection, "request_free_session", **wish, notes="squeaks")
    with shared.unchanged():
        again = rpc(connection, "request_free_session", **wish, notes="squeaks a lot")
    assert again == first and uuid.UUID(first["id"]).version == 8
    favourite = {"preferred_mechanic_id": mechanic, "routing_type": "priority_broadcast"}
    reserved = rpc(connection, "request_free_session", **wish, **favourite)
    shared.sql("select dispatch.set_favorites_priority(false)")
    try:
        again = rpc(connection, "request_free_session", **wish, **favourite)
    finally:
        shared.sql("select dispatch.set_favorites_priority(true)")
    assert again["id"] == reserved["id"]
    others = [
        reserved,
        rpc(shared.connect(stranger), "request_free_session", **wish),
        rpc(connection, "request_free_session", plan_code="free-diagnostic"),
        rpc(connection, "request_free_session", plan_code="free-diagnostic"),
    ]
    assert len({first["id"]} | {other["id"] for other in others}) == 5
    rpc(connection, "cancel_session_request", request_id=first["id"])
    assert rpc(connection, "request_free_session", **wish)["status"] == "cancelled"


def test_each_hears_of_their_own_topics_from_a_cursor_on(shared: Database) -> None:
    customer, favourite, other = (
        shared.make_customer(),
        shared.make_mechanic(),
        shared.make_mechanic(),
    )
    reserved = shared.make_request(customer, favourite)
    rpc(shared.connect(favourite), "decline_session_request", request_id=reserved)
    shared.make_request()

    def heard(who: str, **arguments: int | None) -> list[str]:
        found = rpc(shared.connect(who), "list_session_request_events", **arguments)
        assert [row["event_id"] for row in found] == sorted(row["event_id"] for row in found)
        assert all(row["payload"]["event_id"] == row["event_id"] for row in found)
        return [row["event"] for row in found]

    assert heard(customer) == ["priority_request", "new_request"]
    assert heard(favourite) == [
        "priority_request",
        "request_declined",
        "new_request",
        "new_request",
    ]
    assert heard(other) == ["new_request", "new_request"]
    assert heard(shared.make_customer()) == []
    assert heard(shared.make_mechanic("pending")) == []
    assert heard(favourite, max_rows=1) == ["priority_request"]
    assert heard(favourite, max_rows=0) == heard(favourite, max_rows=-5) == []
    first = shared.events(reserved)[0]["id"]
    assert heard(favourite, after=first) == heard(favourite)[1:]
    assert heard(favourite, after=2**62) == []
    # Where a device begins that has no cursor.
    assert heard(customer, after=None) == heard(favourite, after=None) == ["new_request"]
    (last,) = rpc(shared.connect(customer), "list_session_request_events", after=None)
    assert last["event_id"] == shared.events(reserved)[-1]["id"]
    assert heard(shared.make_customer(), after=None) == []


@pytest.mark.parametrize("layer", ["engine_db", "db"])
def test_what_was_pending_before_the_install_is_listed(
    layer: str, request: pytest.FixtureRequest
) -> None:
    """Rows of a marketplace that had no triggers yet: pending, and told to nobody."""
    database: Database = request.getfixturevalue(layer)
    customer, mechanic = database.make_customer(), database.make_mechanic()
    superuser = database.superuser()
    superuser.execute("set session_replication_role = replica")
    superuser.execute(
        "insert into public.session_requests (customer_id, session_type) values (%s, 'chat')",
        (customer,),
    )
    listed = rpc(database.connect(mechanic), "list_open_session_requests")
    assert [row["is_priority"] for row in listed] == [False]
    accepted = rpc(
        database.connect(mechanic),
        "accept_session_request",
        request_id=listed[0]["request_id"],
    )
    assert accepted["status"] == "accepted"
