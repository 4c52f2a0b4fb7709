"""A block: neither of the two hears of the other again, and nobody can tell that there is one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from stack.push_service import Device
from tests.database import (
    Connection,
    Database,
    checkout,
    heard,
    listen,
    refused,
    rows,
    rpc,
)

UNKNOWN = "00000000-0000-4000-8000-000000000000"
FEED = "session_requests_feed"


def block_mechanic(db: Database, customer: str, mechanic: str) -> None:
    rpc(db.connect(customer), "block_mechanic", mechanic_id=mechanic)


def block_customer(db: Database, customer: str, mechanic: str) -> None:
    """By a request that they accepted once."""
    request = db.make_request(customer)
    rpc(db.connect(mechanic), "accept_session_request", request_id=request)
    rpc(db.connect(mechanic), "complete_session_request", request_id=request)
    rpc(db.connect(mechanic), "block_customer", request_id=request)


def unblock_customer(db: Database, customer: str, mechanic: str) -> None:
    request = db.value(
        "select id from session_requests where customer_id = %s and mechanic_id = %s",
        *(customer, mechanic),
    )
    rpc(db.connect(mechanic), "unblock_customer", request_id=request)


Block = Callable[[Database, str, str], None]
EITHER_WAY = pytest.mark.parametrize("block", [block_mechanic, block_customer])


def answer(connection: Connection, function: str, **arguments: object) -> Any:
    """All that a caller can learn of a call: what it returns, or its error word by word."""
    try:
        return rpc(connection, function, **arguments)
    except psycopg.Error as error:
        found = error.diag
        return (
            error.sqlstate,
            found.message_primary,
            found.message_detail,
            found.message_hint,
        )


def book(db: Database, customer: str, *favourites: str, **wish: object) -> str:
    event = checkout(
        customer,
        favourites[0],
        preferred_mechanic_ids=",".join(favourites),
        **wish,  # type: ignore[arg-type]
    )
    return str(
        rpc(db.connect(role="service_role"), "process_stripe_event", event=event)["request_id"]
    )


def pass_time(db: Database, request: str, minutes: float) -> None:
    db.sql(
        "update session_requests set priority_notified_at = priority_notified_at"
        " - make_interval(secs => %s) where id = %s",
        *(minutes * 60, request),
    )


def told(db: Database, request: str) -> list[tuple[str, str | None, str | None]]:
    """What was told, why, and to whom besides the customer."""
    return [
        (
            event["event"],
            event["payload"].get("reason"),
            next((topic for topic in event["topics"] if not topic.startswith("customer:")), None),
        )
        for event in db.events(request)
    ]


def listed(db: Database, mechanic: str) -> list[str]:
    found = rpc(db.connect(mechanic), "list_open_session_requests")
    return [str(row["request_id"]) for row in found]


def in_table(db: Database, mechanic: str) -> list[str]:
    found = rows(db.connect(mechanic), "select id from session_requests")
    return [str(row["id"]) for row in found]


def caught_up(db: Database, mechanic: str, after: int | None = 0) -> list[tuple[str, str]]:
    found = rpc(db.connect(mechanic), "list_session_request_events", after=after)
    return [(row["event"], row["request_id"]) for row in found]


def recipients(db: Database, request: str, limit: int | None) -> list[str]:
    found = db.sql("select mechanic_id from dispatch.choose_recipients(%s, %s)", request, limit)
    return [str(row["mechanic_id"]) for row in found]


@pytest.fixture
def people(shared: Database) -> tuple[str, str, str]:
    """A customer, the mechanic of the block, another."""
    return shared.make_customer(), shared.make_mechanic(), shared.make_mechanic()


# --- The mechanic: there is no such request ---


@EITHER_WAY
@pytest.mark.parametrize("earlier", [False, True])
def test_the_mechanic_does_not_see_the_customers_requests(
    shared: Database, people: tuple[str, str, str], block: Block, earlier: bool
) -> None:
    """Those of before the block neither."""
    customer, mechanic, other = people
    shared.make_request()
    if earlier:
        request = shared.make_request(customer)
        block(shared, customer, mechanic)
    else:
        block(shared, customer, mechanic)
        request = shared.make_request(customer)
    past = in_table(shared, mechanic)
    assert request not in past and request in in_table(shared, other)
    assert request not in listed(shared, mechanic) and request in listed(shared, other)
    for limit in (None, 10):
        found = recipients(shared, request, limit)
        assert other in found and mechanic not in found
    assert ("new_request", request) in caught_up(shared, other)
    assert ("new_request", request) not in caught_up(shared, mechanic)
    # What became of them is told to the others alone, and the last one alone is what it was.
    rpc(shared.connect(other), "accept_session_request", request_id=request)
    rpc(
        shared.connect(customer), "cancel_session_request", request_id=shared.make_request(customer)
    )
    assert caught_up(shared, other)[-3:] != caught_up(shared, mechanic)[-3:]
    assert caught_up(shared, mechanic, after=None) == caught_up(shared, mechanic)[-1:]


@EITHER_WAY
@pytest.mark.parametrize(
    "state", ["open", "reserved", "stale", "accepted", "completed", "cancelled", "expired"]
)
@pytest.mark.parametrize(
    "function",
    [
        "accept_session_request",
        "decline_session_request",
        "complete_session_request",
        "cancel_session_request",
        "broadcast_session_request_now",
        "get_session_request_timeline",
        "block_customer",
        "unblock_customer",
    ],
)
def test_every_answer_is_that_of_an_unknown_request(
    shared: Database, people: tuple[str, str, str], block: Block, state: str, function: str
) -> None:
    customer, mechanic, other = people
    request = shared.make_request(
        customer,
        other if state == "reserved" else None,
        expires_at="2020-01-01" if state == "stale" else None,
    )
    block(shared, customer, mechanic)
    if state in ("accepted", "completed"):
        rpc(shared.connect(other), "accept_session_request", request_id=request)
    if state in ("completed", "cancelled", "expired"):
        shared.sql(
            "update session_requests set status = %s::session_request_status where id = %s",
            *(state, request),
        )
    as_mechanic = shared.connect(mechanic)
    assert answer(as_mechanic, function, request_id=request) == answer(
        as_mechanic, function, request_id=UNKNOWN
    )


def test_their_own_accept_by_update_is_refused_in_the_same_words(
    shared: Database, people: tuple[str, str, str]
) -> None:
    customer, mechanic, _ = people
    request = shared.make_request(customer)
    block_mechanic(shared, customer, mechanic)
    with shared.unchanged(), refused("PT404", "request_not_found"):
        shared.connect(role="service_role").execute(
            "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
            [mechanic, request],
        )


# --- The channel ---


@EITHER_WAY
@pytest.mark.parametrize("later", [False, True])
def test_what_is_on_the_feed_reaches_all_others_by_name(
    shared: Database, people: tuple[str, str, str], block: Block, later: bool
) -> None:
    customer, mechanic, other = people
    third, applicant = shared.make_mechanic(), shared.make_mechanic("pending")
    block(shared, customer, mechanic)
    shared.sql("select dispatch.deliver_events()")
    topics = [FEED, f"customer:{customer}"]
    topics += [f"mechanic:{each}" for each in (mechanic, other, third, applicant)]
    listener = listen(shared, *topics)
    shared.sql("delete from realtime.messages")
    shared.sql("select setval('dispatch.last_delivery', 0, false)")
    if later:
        shared.sql("select set_config('dispatch.delivery', 'later', false)")
    request = shared.make_request(customer)
    shared.sql(
        "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
        *(other, request),
    )
    unwanted = shared.make_request(customer)
    shared.sql("update session_requests set status = 'cancelled' where id = %s", unwanted)
    ordinary = shared.make_request()
    while shared.value("select dispatch.deliver_events()"):
        pass
    shared.sql("select set_config('dispatch.delivery', '', false)")
    expected = [(FEED, "new_request", ordinary)]
    for topic in (f"customer:{customer}", f"mechanic:{other}", f"mechanic:{third}"):
        expected += [
            (topic, "new_request", request),
            (topic, "request_accepted", request),
            (topic, "new_request", unwanted),
            (topic, "request_cancelled", unwanted),
        ]
    notices = heard(listener, len(expected))
    found = [(topic, notice["event"], notice["request_id"]) for topic, notice in notices]
    assert sorted(found) == sorted(expected)
    sent = shared.sql("select topic, event, payload ->> 'request_id' as id from realtime.messages")
    broadcast = sorted((row["topic"], row["event"], row["id"]) for row in sent)
    ours = [each for each in broadcast if each[0] in topics]
    assert ours == sorted(expected)


def test_what_goes_to_each_by_name_holds_up_no_announcement(
    shared: Database, people: tuple[str, str, str]
) -> None:
    """It is as many notices as there are mechanics, and one customer may have many."""
    customer, mechanic, other = people
    shared.sql("update mechanics set is_online = false")
    block_mechanic(shared, customer, mechanic)
    shared.sql("select dispatch.deliver_events()")
    many = [shared.make_request(customer, other) for _ in range(3)]
    ordinary = [shared.make_request(preferred=other) for _ in range(3)]
    while shared.value("select dispatch.deliver_events()"):
        pass
    for request in (*many, *ordinary):
        shared.end_window(request)
    listener = listen(shared, FEED, f"customer:{customer}", f"mechanic:{other}")

    def told() -> list[str]:
        listener.execute("select 1")
        return [each.channel for each in listener.notifies(timeout=0)]

    assert shared.sweep() == 6
    assert told() == [FEED] * 3
    for _ in many:
        assert shared.value("select dispatch.deliver_events()") == 1
        assert sorted(told()) == [f"customer:{customer}", f"mechanic:{other}"]
    # Nor does one that fails to go out first.
    for request in many:
        shared.sql("update session_requests set status = 'cancelled' where id = %s", request)
    shared.sql("update dispatch.request_events set delivered_at = null where event = 'new_request'")
    assert shared.value("select dispatch.deliver_events(4)") == 4
    assert told().count(FEED) == 3


def test_no_push_for_what_was_broadcast(shared: Database, people: tuple[str, str, str]) -> None:
    customer, mechanic, other = people
    for person in (mechanic, other):
        shared.sql("update mechanics set is_online = false where id = %s", person)
        device = Device(f"https://web.push.apple.com/{person}")
        rpc(shared.connect(person), "register_device", **device.subscription())
    block_mechanic(shared, customer, mechanic)
    shared.make_request(customer)
    shared.sql("select dispatch.deliver_events()")
    found = rpc(shared.connect(role="service_role"), "claim_pushes", max_rows=10)
    assert [row["endpoint"].rpartition("/")[2] for row in found] == [other]


@EITHER_WAY
def test_a_push_that_waits_does_not_leave(
    shared: Database, people: tuple[str, str, str], block: Block
) -> None:
    customer, mechanic, _ = people
    device = Device(f"https://web.push.apple.com/{mechanic}")
    rpc(shared.connect(mechanic), "register_device", **device.subscription())
    shared.make_request(customer, mechanic)
    shared.sql("select dispatch.deliver_events()")
    assert shared.value("select count(*) from dispatch.pushes where finished_at is null") == 2
    block(shared, customer, mechanic)
    shared.sql("update dispatch.pushes set due_at = now() - interval '1 second'")
    found = rpc(shared.connect(role="service_role"), "claim_pushes", max_rows=10)
    assert [row for row in found if row["endpoint"].endswith(mechanic)] == []


# --- A window ---


@EITHER_WAY
@pytest.mark.parametrize("chain", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_window_moves_on_at_once(
    shared: Database, people: tuple[str, str, str], block: Block, chain: bool, late: bool
) -> None:
    """With a reason for the customer, by nobody; the mechanic hears no word of it."""
    customer, mechanic, other = people
    first = shared.make_mechanic()
    asked = ([first] if late else []) + [mechanic] + ([other] if chain else [])
    request = book(shared, customer, *asked)
    if late:
        pass_time(shared, request, 12)
    block(shared, customer, mechanic)
    reason = "customer" if block is block_mechanic else "mechanic_gone"
    expected: list[tuple[str, str | None, str | None]] = [
        ("priority_request", None, f"mechanic:{asked[0]}")
    ]
    if late:
        expected.append(("priority_request", "window_ended", f"mechanic:{mechanic}"))
    expected.append(
        ("priority_request", reason, f"mechanic:{other}")
        if chain
        else ("new_request", reason, FEED)
    )
    assert told(shared, request) == expected
    assert {event["actor_id"] for event in shared.events(request)} == {None}
    assert request in listed(shared, other)
    assert (request in listed(shared, first)) == (not chain)
    assert request not in listed(shared, mechanic)
    row = shared.request(request)
    assert (row["notification_sent_at"] is None) == chain
    if chain:  # a window of their own, of full length
        assert str(row["preferred_mechanic_id"]) == other
        assert shared.value(
            "select priority_notified_at > now() - interval '1 minute' from session_requests"
            " where id = %s",
            request,
        )
    timeline = rpc(shared.connect(customer), "get_session_request_timeline", request_id=request)
    assert {each["actor"] for each in timeline} == {"system"}


@EITHER_WAY
def test_whose_turn_is_to_come_is_passed_over(
    shared: Database, people: tuple[str, str, str], block: Block
) -> None:
    customer, mechanic, other = people
    request = book(shared, customer, other, mechanic)
    block(shared, customer, mechanic)
    assert told(shared, request) == [("priority_request", None, f"mechanic:{other}")]
    pass_time(shared, request, 11)
    assert request in listed(shared, shared.make_mechanic())
    assert request not in listed(shared, mechanic)
    shared.sweep()
    assert told(shared, request)[1:] == [
        ("priority_skipped", "not_approved", None),
        ("new_request", "window_ended", FEED),
    ]


@EITHER_WAY
def test_what_was_by_the_clock_stays_so_when_a_block_is_taken_back(
    shared: Database, people: tuple[str, str, str], block: Block
) -> None:
    """Their turn passed while they were blocked, and no sweep had noted it."""
    customer, mechanic, other = people
    third = shared.make_mechanic()
    request = book(shared, customer, other, mechanic, third)
    block(shared, customer, mechanic)
    pass_time(shared, request, 12)
    assert request in listed(shared, third)
    if block is block_mechanic:
        rpc(shared.connect(customer), "unblock_mechanic", mechanic_id=mechanic)
    else:
        unblock_customer(shared, customer, mechanic)
    assert request in listed(shared, third)
    assert request not in listed(shared, mechanic)
    assert told(shared, request)[1:] == [
        ("priority_skipped", "not_approved", None),
        ("priority_request", "window_ended", f"mechanic:{third}"),
    ]


def test_the_end_of_a_block_opens_what_is_everyones(
    shared: Database, people: tuple[str, str, str]
) -> None:
    customer, mechanic, _ = people
    request = shared.make_request(customer)
    block_mechanic(shared, customer, mechanic)
    block_customer_too = shared.make_request(customer)
    rpc(shared.connect(customer), "unblock_mechanic", mechanic_id=mechanic)
    assert {request, block_customer_too} <= set(listed(shared, mechanic))
    assert shared.sql("select * from dispatch.blocks") == []


def test_each_takes_back_their_own_alone(shared: Database, people: tuple[str, str, str]) -> None:
    customer, mechanic, _ = people
    block_customer(shared, customer, mechanic)
    block_mechanic(shared, customer, mechanic)
    request = shared.make_request(customer)
    rpc(shared.connect(customer), "unblock_mechanic", mechanic_id=mechanic)
    assert request not in listed(shared, mechanic)
    unblock_customer(shared, customer, mechanic)
    assert request in listed(shared, mechanic)


# --- The customer: as one who is not approved ---


@EITHER_WAY
def test_to_the_customer_the_mechanic_is_as_one_who_is_not_approved(
    shared: Database, people: tuple[str, str, str], block: Block
) -> None:
    """Each answer is compared with the one about a mechanic who was suspended."""
    customer, mechanic, _ = people
    suspended = shared.make_mechanic()
    as_customer = shared.connect(customer)

    def answers(about: str) -> dict[str, Any]:
        wish = {"routing_type": "priority_broadcast", "preferred_mechanic_id": about}
        found: dict[str, Any] = {
            "status": answer(as_customer, "get_mechanic_status", mechanic_id=about),
            "checkout": answer(as_customer, "prepare_checkout", plan_code="quick-chat", **wish),
            "free": answer(
                as_customer, "request_free_session", plan_code="free-diagnostic", **wish
            ),
            "row": rows(as_customer, "select * from mechanics where id = %s", about),
            "favourites": [
                row
                for row in answer(as_customer, "list_favorite_mechanics")
                if row["mechanic_id"] == about
            ],
        }
        request = found["free"]["id"]
        found["timeline"] = answer(as_customer, "get_session_request_timeline", request_id=request)
        found["events"] = [
            row
            for row in answer(as_customer, "list_session_request_events", max_rows=1000)
            if row["request_id"] == request
        ]
        return found

    def neutral(found: Any, *names: str) -> Any:
        """Without what is another in every call."""
        if isinstance(found, dict):
            return {
                key: neutral(value, *names)
                for key, value in found.items()
                if key not in ("id", "event_id", "request_id", "expires_at")
                and not key.endswith("_at")
            }
        if isinstance(found, list):
            return [neutral(each, *names) for each in found]
        return "whom" if found in names else found

    for each in (mechanic, suspended):
        as_customer.execute("insert into customer_favorites values (%s, %s)", [customer, each])
    before = neutral(answers(mechanic), mechanic)
    block(shared, customer, mechanic)
    shared.sql("update mechanics set status = 'suspended' where id = %s", suspended)
    found = neutral(answers(mechanic), mechanic)
    assert found != before
    assert found == neutral(answers(suspended), suspended)
    assert found["row"] == [] and found["checkout"]["banner"] is None

    refusals = []
    for each in (mechanic, suspended):
        as_customer.execute("delete from customer_favorites where mechanic_id = %s", [each])
        with pytest.raises(psycopg.Error) as raised:
            as_customer.execute("insert into customer_favorites values (%s, %s)", [customer, each])
        refusals.append((raised.value.sqlstate, str(raised.value).replace(each, "whom")))
    assert refusals[0] == refusals[1]


def test_to_others_the_mechanic_is_as_ever(shared: Database, people: tuple[str, str, str]) -> None:
    customer, mechanic, other = people
    block_mechanic(shared, customer, mechanic)
    as_other = shared.connect(shared.make_customer())
    assert rpc(as_other, "get_mechanic_status", mechanic_id=mechanic)["is_online"]
    found = rows(as_other, "select id from mechanics order by id")
    assert sorted(str(row["id"]) for row in found) == sorted([mechanic, other])
    # And to themselves.
    assert len(rows(shared.connect(mechanic), "select id from mechanics")) == 2
    request = book(shared, shared.make_customer(), mechanic)
    assert request in listed(shared, mechanic)


def test_between_two_who_are_both_it_holds_both_ways(shared: Database) -> None:
    """A mechanic may book, too: neither hears of what the other books."""
    one, two, third = (shared.make_mechanic() for _ in range(3))
    window = book(shared, two, one, third)
    block_mechanic(shared, one, two)
    for booker, hidden in ((one, two), (two, one)):
        request = shared.make_request(booker)
        assert request not in listed(shared, hidden) and request in listed(shared, third)
    assert told(shared, window)[-1] == (
        "priority_request",
        "mechanic_gone",
        f"mechanic:{third}",
    )
    assert {event["actor_id"] for event in shared.events(window)} == {None}


# --- What is accepted stays ---


@pytest.mark.parametrize("by", ["customer", "mechanic"])
def test_an_accepted_request_is_not_undone(
    shared: Database, people: tuple[str, str, str], by: str
) -> None:
    customer, mechanic, other = people
    request = shared.make_request(customer)
    as_customer, as_mechanic = shared.connect(customer), shared.connect(mechanic)
    accepted = rpc(as_mechanic, "accept_session_request", request_id=request)
    events = caught_up(shared, mechanic)
    with shared.unchanged():
        if by == "customer":
            rpc(as_customer, "block_mechanic", mechanic_id=mechanic)
        else:
            rpc(as_mechanic, "block_customer", request_id=request)
    assert rpc(as_mechanic, "accept_session_request", request_id=request) == accepted
    assert request in in_table(shared, mechanic)
    assert caught_up(shared, mechanic) == events
    assert rpc(as_customer, "get_session_request_timeline", request_id=request)
    assert rpc(as_mechanic, "complete_session_request", request_id=request)["status"] == "completed"
    assert caught_up(shared, mechanic) == [*events, ("request_completed", request)]
    assert request in in_table(shared, mechanic) and request in in_table(shared, customer)
    assert other not in (customer, mechanic)


# --- The calls ---


def test_again_is_once_and_an_unknown_one_is_no_error(
    shared: Database, people: tuple[str, str, str]
) -> None:
    customer, mechanic, _ = people
    applicant, not_one = shared.make_mechanic("pending"), shared.make_customer()
    as_customer = shared.connect(customer)
    found = [
        answer(as_customer, function, mechanic_id=each)
        for function in ("block_mechanic", "unblock_mechanic", "block_mechanic", "block_mechanic")
        for each in (mechanic, applicant, not_one, customer, UNKNOWN, None)
    ]
    assert set(found) == {""} or set(found) == {None}
    blocked = shared.sql("select user_id::text, other_id::text, is_theirs from dispatch.blocks")
    assert sorted(tuple(row.values()) for row in blocked) == sorted(
        each
        for other in (mechanic, applicant)
        for each in ((customer, other, True), (other, customer, False))
    )
    # Who is approved later is blocked, too.
    shared.sql("update mechanics set status = 'approved' where id = %s", applicant)
    assert shared.make_request(customer) not in listed(shared, applicant)


def test_who_may_block_a_customer(shared: Database, people: tuple[str, str, str]) -> None:
    customer, mechanic, other = people
    request = shared.make_request(customer)
    for function in ("block_customer", "unblock_customer"):
        with refused("PT403", "not_yours"):
            rpc(shared.connect(mechanic), function, request_id=request)
        with refused("PT403", "not_a_mechanic"):
            rpc(shared.connect(customer), function, request_id=request)
    rpc(shared.connect(mechanic), "accept_session_request", request_id=request)
    for function in ("block_customer", "unblock_customer"):
        with refused("PT403", "not_yours"):
            rpc(shared.connect(other), function, request_id=request)
    reserved = shared.make_request(customer, mechanic)
    with refused("PT404", "request_not_found"):
        rpc(shared.connect(other), "block_customer", request_id=reserved)
    assert shared.sql("select * from dispatch.blocks") == []
    # Once is enough, though it is theirs no more.
    shared.sql("update session_requests set status = 'cancelled' where id = %s", request)
    shared.sql("alter table session_requests disable trigger user")
    shared.sql("update session_requests set mechanic_id = null where id = %s", request)
    shared.sql("alter table session_requests enable trigger user")
    rpc(shared.connect(mechanic), "block_customer", request_id=request)
    assert shared.make_request(customer) not in listed(shared, mechanic)


def test_the_owner_is_told_why(shared: Database, people: tuple[str, str, str]) -> None:
    customer, mechanic, other = people
    block_mechanic(shared, customer, mechanic)
    request = shared.make_request(customer)
    found = {
        str(row["mechanic_id"]): row
        for row in shared.sql("select * from dispatch.explain_routing(%s)", request)
    }
    assert found[mechanic]["why"].startswith("blocked at ")
    assert not found[mechanic]["may_accept"] and found[mechanic]["told_at"] is None
    assert found[other]["may_accept"] and found[other]["told_at"] is not None


def test_with_an_account_its_blocks_go(shared: Database, people: tuple[str, str, str]) -> None:
    customer, mechanic, other = people
    block_mechanic(shared, customer, mechanic)
    block_mechanic(shared, shared.make_customer(), other)
    assert shared.value("select dispatch.prune_pushes('30 days')") == 0
    shared.sql("delete from auth.users where id = %s", mechanic)
    assert shared.value("select dispatch.prune_pushes('30 days')") == 2
    assert shared.value("select count(*) from dispatch.blocks") == 2


# --- At once ---


@pytest.mark.parametrize("first", ["booking", "block"])
def test_a_booking_and_a_block_at_once(
    shared: Database, people: tuple[str, str, str], first: str
) -> None:
    """Whichever comes first, no window for one who is blocked stays open."""
    customer, mechanic, _ = people
    as_customer, backend = shared.connect(customer), shared.connect(role="service_role")
    calls: list[tuple[Connection, Callable[[], Any]]] = [
        (backend, lambda: shared.make_request(customer, mechanic, connection=backend)),
        (as_customer, lambda: rpc(as_customer, "block_mechanic", mechanic_id=mechanic)),
    ]
    if first == "block":
        calls.reverse()
    (holder, hold), (waiter, wait) = calls
    with ThreadPoolExecutor(1) as pool:
        with holder.transaction():
            hold()
            later = pool.submit(wait)
            shared.wait_until_blocked(waiter)
        later.result()
    (row,) = shared.sql("select * from session_requests")
    assert row["notification_sent_at"] is not None
    events = [each[:2] for each in told(shared, str(row["id"]))]
    assert events == (
        [("priority_request", None), ("new_request", "customer")]
        if first == "booking"
        else [("priority_skipped", "not_approved"), ("new_request", None)]
    )


def test_an_accept_and_a_block_at_once(shared: Database, people: tuple[str, str, str]) -> None:
    """The accept came first, and stays."""
    customer, mechanic, _ = people
    request = shared.make_request(customer, mechanic)
    as_customer, as_mechanic = shared.connect(customer), shared.connect(mechanic)
    with ThreadPoolExecutor(1) as pool:
        with as_mechanic.transaction():
            rpc(as_mechanic, "accept_session_request", request_id=request)
            later = pool.submit(rpc, as_customer, "block_mechanic", mechanic_id=mechanic)
            shared.wait_until_blocked(as_customer)
        later.result()
    assert shared.log(request) == ["priority_request", "request_accepted"]
    assert request in in_table(shared, mechanic)
