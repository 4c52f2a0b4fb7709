"""Up to three favourites in turn: whose turn it is by the clock, and how it moves on."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.database import Connection, Database, Row, at_once, checkout, refused, rows, rpc, value

NOBODY = "00000000-0000-4000-8000-000000000000"


def book(db: Database, *favourites: str, customer: str | None = None, **wish: object) -> str:
    """Paid, as Stripe tells it."""
    event = checkout(
        customer or db.make_customer(),
        favourites[0],
        preferred_mechanic_ids=",".join(favourites),
        **wish,  # type: ignore[arg-type]
    )
    return str(
        rpc(db.connect(role="service_role"), "process_stripe_event", event=event)["request_id"]
    )


def array(*ids: str | None) -> str:
    return "{" + ",".join(each or "null" for each in ids) + "}"


def pass_time(db: Database, request: str, minutes: float) -> None:
    """Its window began so many minutes earlier than it did."""
    db.sql(
        "update session_requests set priority_notified_at = priority_notified_at"
        " - make_interval(secs => %s) where id = %s",
        minutes * 60,
        request,
    )


def at(db: Database, request: str, *mechanics: str, minutes: float = 0) -> list[bool]:
    """Who of them may see and accept it, so many minutes from now."""
    return [
        db.value(
            "select dispatch.refusal(r, %s, %s, now() + make_interval(secs => %s)) is null"
            " from dispatch.requests as r where r.id = %s",
            *(mechanic, mechanic, minutes * 60, request),
        )
        for mechanic in mechanics
    ]


def listed(db: Database, mechanic: str) -> dict[str, bool]:
    found = rpc(db.connect(mechanic), "list_open_session_requests")
    return {row["request_id"]: row["is_priority"] for row in found}


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


@pytest.fixture
def people(shared: Database) -> list[str]:
    return [shared.make_mechanic() for _ in range(4)]


ONE, TWO, THREE, OTHER = range(4)


def test_a_sweep_waits_for_no_mechanic(shared: Database, people: list[str]) -> None:
    """Whoever holds them may be waiting for a request that the sweep holds."""
    request = book(shared, *people[:2])
    pass_time(shared, request, 10)
    holder = shared.superuser()
    with holder.transaction():
        holder.execute("update mechanics set city = 'Turku' where id = %s", [people[TWO]])
        shared.sql("set lock_timeout = '5s'")
        assert shared.sweep() == 1
        assert shared.log(request)[-1] == "priority_request:window_ended"
        assert at(shared, request, *people[:2]) == [False, True]


def test_each_is_asked_in_turn_by_the_clock_alone(shared: Database, people: list[str]) -> None:
    request = book(shared, *people[:3], priority_window_minutes="20")
    row = shared.request(request)
    assert str(row["preferred_mechanic_id"]) == people[ONE]
    assert row["priority_window_minutes"] == 20
    assert told(shared, request) == [("priority_request", None, f"mechanic:{people[ONE]}")]
    for minutes, whose in ((0, ONE), (19.99, ONE), (20, TWO), (39.99, TWO), (40, THREE)):
        expected = [number == whose for number in range(4)]
        assert at(shared, request, *people, minutes=minutes) == expected, minutes
    assert at(shared, request, *people, minutes=59.99) == [False, False, True, False]
    assert at(shared, request, *people, minutes=60) == [True] * 4
    # Nothing of it was written.
    assert shared.request(request) == row


def test_it_is_counted_as_one_request(shared: Database, people: list[str]) -> None:
    request = book(shared, *people[:3], priority_window_minutes="10")
    for _ in range(3):
        pass_time(shared, request, 10)
        assert shared.sweep() == 1
    (today,) = shared.sql(
        "select * from dispatch.metrics where day = (now() at time zone 'UTC')::date"
    )
    names = ("requests_total", "priority_requests_total", "fallbacks_total", "fallback_ratio")
    assert [today[name] for name in names] == [1, 1, 1, 1]


@pytest.mark.parametrize(("minutes", "whose"), [(11, TWO), (21, THREE), (31, None)])
def test_however_long_the_sweep_slept_each_is_told_once(
    shared: Database, people: list[str], minutes: float, whose: int | None
) -> None:
    request = book(shared, *people[:3])
    pass_time(shared, request, minutes)
    for number, mechanic in enumerate(people):
        can = whose is None or number == whose
        assert (request in listed(shared, mechanic)) == can
        recipients = shared.sql("select * from dispatch.choose_recipients(%s)", request)
        assert (mechanic in [str(row["mechanic_id"]) for row in recipients]) == can
    assert shared.sweep() == 1
    why: list[str | None] = [None, "window_ended", "window_ended"]
    turns = list(zip(why, people[:3], strict=True))[: 3 if whose is None else whose + 1]
    told_late: list[tuple[str, str | None, str | None]] = []
    told_late += (("priority_request", reason, f"mechanic:{person}") for reason, person in turns)
    if whose is None:
        told_late.append(("new_request", "window_ended", "session_requests_feed"))
    assert told(shared, request) == told_late
    assert shared.sweep() == 0
    row = shared.request(request)
    if whose is None:
        assert row["notification_sent_at"] is not None
    else:
        assert str(row["preferred_mechanic_id"]) == people[whose]
        window = shared.value(
            "select now() - priority_notified_at from session_requests where id = %s", request
        )
        assert abs(window.total_seconds() / 60 - minutes % 10) < 1
    for number, mechanic in enumerate(people):
        assert (request in listed(shared, mechanic)) == (whose is None or number == whose)


@pytest.mark.parametrize("swept", [True, False])
def test_who_accepts_in_turn_wins_and_nobody_else_does(
    shared: Database, people: list[str], swept: bool
) -> None:
    request = book(shared, *people[:3])
    pass_time(shared, request, 11)
    if swept:
        shared.sweep()
    for number in (ONE, THREE, OTHER):
        with refused("PT404", "request_not_found"):
            rpc(shared.connect(people[number]), "accept_session_request", request_id=request)
        with refused("PT404", "request_not_found"):
            shared.connect(role="service_role").execute(
                "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
                [people[number], request],
            )
    accepted = rpc(shared.connect(people[TWO]), "accept_session_request", request_id=request)
    assert accepted["preferred_mechanic_id"] == people[TWO]
    assert told(shared, request) == [
        ("priority_request", None, f"mechanic:{people[ONE]}"),
        ("priority_request", "window_ended", f"mechanic:{people[TWO]}"),
        ("request_accepted", None, f"mechanic:{people[TWO]}"),
    ]
    # What ended in a window stays hidden from those whose turn it never was.
    for number in (THREE, OTHER):
        with refused("PT404", "request_not_found"):
            rpc(shared.connect(people[number]), "accept_session_request", request_id=request)


@pytest.mark.parametrize("late", [False, True])
def test_a_decline_moves_on_at_once(shared: Database, people: list[str], late: bool) -> None:
    request = book(shared, *people[:3])
    first, second = (TWO, THREE) if late else (ONE, TWO)
    if late:
        pass_time(shared, request, 12)
    rpc(shared.connect(people[first]), "decline_session_request", request_id=request)
    assert told(shared, request)[-1] == (
        "priority_request",
        "declined",
        f"mechanic:{people[second]}",
    )
    assert at(shared, request, *people) == [number == second for number in range(4)]
    assert at(shared, request, people[second], minutes=9.99) == [True]  # a window of their own
    rpc(shared.connect(people[second]), "decline_session_request", request_id=request)
    if not late:
        rpc(shared.connect(people[THREE]), "decline_session_request", request_id=request)
    assert told(shared, request)[-1] == ("new_request", "declined", "session_requests_feed")
    assert at(shared, request, people[OTHER], people[THREE]) == [True, False]


def suspend(db: Database, mechanic: str) -> None:
    db.sql("update mechanics set status = 'suspended' where id = %s", mechanic)


def delete_account(db: Database, mechanic: str) -> None:
    db.sql("delete from auth.users where id = %s", mechanic)


@pytest.mark.parametrize("go", [suspend, delete_account])
@pytest.mark.parametrize("late", [False, True])
def test_who_goes_is_followed_by_the_next_at_once(
    shared: Database, people: list[str], go: Any, late: bool
) -> None:
    request = book(shared, *people[:3])
    first, second = (TWO, THREE) if late else (ONE, TWO)
    if late:
        pass_time(shared, request, 12)
    go(shared, people[first])
    assert at(shared, request, *people) == [number == second for number in range(4)]
    events = told(shared, request)
    assert events[-1] == ("priority_request", "mechanic_gone", f"mechanic:{people[second]}")
    assert at(shared, request, people[second], minutes=9.99) == [True]
    # Who is to come is passed over when the turn comes; nobody hears of it before.
    go(shared, people[THREE])
    if not late:
        assert told(shared, request) == events
        pass_time(shared, request, 10)
        assert shared.sweep() == 1
    reason = {suspend: "not_approved", delete_account: "unknown_mechanic"}[go]
    assert told(shared, request)[len(events) :] == (
        [("priority_skipped", reason, None)] if not late else []
    ) + [("new_request", "mechanic_gone" if late else "window_ended", "session_requests_feed")]


def test_what_was_by_the_clock_stays_so_when_somebody_comes_back(
    shared: Database, people: list[str]
) -> None:
    """Their turn passed while they were suspended, and no sweep had noted it."""
    request = book(shared, *people[:3])
    suspend(shared, people[TWO])
    pass_time(shared, request, 12)
    assert at(shared, request, *people) == [False, False, True, False]
    shared.sql("update mechanics set status = 'approved' where id = %s", people[TWO])
    assert at(shared, request, *people) == [False, False, True, False]
    assert told(shared, request)[1:] == [
        ("priority_skipped", "not_approved", None),
        ("priority_request", "window_ended", f"mechanic:{people[THREE]}"),
    ]


def test_the_customer_ends_all_of_it(shared: Database, people: list[str]) -> None:
    customer = shared.make_customer()
    for late in (0, 12):
        request = book(shared, *people[:3], customer=customer)
        pass_time(shared, request, late)
        rpc(shared.connect(customer), "broadcast_session_request_now", request_id=request)
        assert told(shared, request)[-1] == ("new_request", "customer", "session_requests_feed")
        assert at(shared, request, *people) == [True] * 4
    request = book(shared, *people[:3], customer=customer)
    rpc(shared.connect(customer), "cancel_session_request", request_id=request)
    assert told(shared, request)[-1] == (
        "request_cancelled",
        "cancelled",
        f"mechanic:{people[ONE]}",
    )


def test_turned_off_it_is_over_at_once(db: Database) -> None:
    people = [db.make_mechanic() for _ in range(4)]
    request = book(db, *people[:3])
    db.sql("select dispatch.set_favorites_priority(false)")
    assert told(db, request)[-1] == ("new_request", "flag_off", "session_requests_feed")
    db.sql("select dispatch.set_favorites_priority(true)")
    assert at(db, request, *people) == [True] * 4


def test_who_cannot_be_asked_is_passed_over_at_the_booking(shared: Database) -> None:
    customer = shared.make_mechanic()
    pending, good = shared.make_mechanic("pending"), shared.make_mechanic()
    request = book(shared, NOBODY, "gibberish", customer, pending, good, customer=customer)
    # Of five the first three are looked at.
    assert [event[:2] for event in told(shared, request)] == [
        ("priority_skipped", "unknown_mechanic"),
        ("priority_skipped", "unknown_mechanic"),
        ("priority_skipped", "own_request"),
        ("priority_skipped", "too_many"),
        ("priority_skipped", "too_many"),
        ("new_request", None),
    ]
    request = book(shared, pending, good, pending, customer=customer)
    assert told(shared, request) == [
        ("priority_skipped", "not_approved", None),
        ("priority_request", None, f"mechanic:{good}"),
    ]
    assert shared.events(request)[0]["payload"]["mechanic_id"] == pending
    away, here = shared.make_mechanic(online=False), shared.make_mechanic()
    request = book(shared, away, here, away, skip_if_offline="true")
    assert told(shared, request) == [
        ("priority_skipped", "offline", None),
        ("priority_request", None, f"mechanic:{here}"),
    ]
    assert shared.sql("select * from dispatch.steps where request_id = %s", request) == []


@pytest.mark.parametrize(
    ("count", "minutes", "granted"), [(2, "30", 30), (3, "20", 20), (3, "21", 10), (2, "31", 10)]
)
def test_sixty_minutes_in_all(
    shared: Database, people: list[str], count: int, minutes: str, granted: int
) -> None:
    request = book(shared, *people[:count], priority_window_minutes=minutes)
    assert shared.request(request)["priority_window_minutes"] == granted
    reason = None if str(granted) == minutes else "invalid_window"
    assert told(shared, request)[0][1] == reason
    steps = shared.sql("select * from dispatch.steps where request_id = %s", request)
    assert {step["window_minutes"] for step in steps} == {granted}


def test_the_rpcs_take_them_in_order(shared: Database, people: list[str]) -> None:
    customer = shared.make_customer()
    client = shared.connect(customer)

    def prepare(*favourites: str | None, **given: object) -> Row:
        return rpc(  # type: ignore[no-any-return]
            client,
            "prepare_checkout",
            plan_code="quick-chat",
            routing_type="priority_broadcast",
            preferred_mechanic_ids=array(*favourites),
            **given,
        )

    shared.sql("update mechanics set display_name = 'Mo' where id = %s", people[TWO])
    answer = prepare(*people[:2], priority_window_minutes=30)
    assert answer["banner"] == "Booking with Mia, then Mo (Priority)"
    assert answer["metadata"]["preferred_mechanic_ids"] == ",".join(people[:2])
    assert answer["metadata"]["preferred_mechanic_id"] == people[ONE]
    assert "preferred_mechanic_ids" not in prepare(people[ONE])["metadata"]
    with refused("PT422", "invalid_window"):
        prepare(*people[:2], priority_window_minutes=31)
    for wrong in ([], people, [people[ONE]] * 2, [people[ONE], None]):
        with refused("PT422", "invalid_mechanics"):
            prepare(*wrong)
    # An array that begins elsewhere has no first one.
    with refused("PT422", "invalid_mechanics"):
        rpc(
            client,
            "prepare_checkout",
            plan_code="quick-chat",
            routing_type="priority_broadcast",
            preferred_mechanic_ids="[5:5]=" + array(people[ONE]),
        )
    free = {"plan_code": "free-diagnostic", "routing_type": "priority_broadcast"}
    two = array(*people[:2])
    request = rpc(client, "request_free_session", preferred_mechanic_ids=two, **free)
    assert str(request["preferred_mechanic_id"]) == people[ONE]
    assert at(shared, str(request["id"]), *people, minutes=10) == [False, True, False, False]


def test_no_writer_hands_it_on_before_its_time(shared: Database, people: list[str]) -> None:
    request = book(shared, *people[:3])
    writer = shared.connect(role="service_role")
    for number in (TWO, THREE, OTHER):
        for began in ("priority_notified_at", "now()", "now() + interval '10 minutes'"):
            with refused("PT403", "not_yours"):
                writer.execute(
                    "update session_requests set preferred_mechanic_id = %s,"
                    f" priority_notified_at = {began} where id = %s",
                    [people[number], request],
                )
    pass_time(shared, request, 11)
    shared.sweep()
    for number in (ONE, THREE, OTHER):  # nor back
        with refused("PT403", "not_yours"):
            writer.execute(
                "update session_requests set preferred_mechanic_id = %s where id = %s",
                [people[number], request],
            )
    # What is written while it is late is written to the one whose turn it is.
    pass_time(shared, request, 10)
    writer.execute("update session_requests set notes = 'red' where id = %s", [request])
    assert str(shared.request(request)["preferred_mechanic_id"]) == people[THREE]
    assert told(shared, request)[-1] == (
        "priority_request",
        "window_ended",
        f"mechanic:{people[THREE]}",
    )


@pytest.mark.parametrize("asked", ["in turn", "alone", "nobody"])
def test_no_upsert_gives_anybody_a_turn(shared: Database, people: list[str], asked: str) -> None:
    wish = {"preferred_mechanic_ids": ",".join(people[:3]), "routing_type": "priority_broadcast"}
    first = {"in turn": people[:2], "alone": people[:1], "nobody": []}[asked]
    request = book(shared, *first) if first else shared.make_request()
    steps = shared.sql("select * from dispatch.steps")
    for metadata in (wish, {"checkout": wish}):
        shared.connect(role="service_role").execute(
            "insert into session_requests (id, customer_id, session_type, metadata)"
            " values (%s, %s, 'chat', %s)"
            " on conflict (id) do update set metadata = excluded.metadata",
            [request, shared.request(request)["customer_id"], Jsonb(metadata)],
        )
        assert shared.sql("select * from dispatch.steps") == steps


@pytest.mark.parametrize("conflict", ["nothing", "update set notes = excluded.notes"])
def test_one_upsert_twice_at_once_is_one_booking(
    shared: Database, people: list[str], conflict: str
) -> None:
    """A press repeated: neither sees the row of the other before it is there."""
    wish = {"preferred_mechanic_ids": ",".join(people[:3]), "routing_type": "priority_broadcast"}
    request, customer = str(uuid.uuid4()), shared.make_customer()

    def upsert(connection: Connection) -> None:
        connection.execute(
            "insert into session_requests (id, customer_id, session_type, metadata)"
            f" values (%s, %s, 'chat', %s) on conflict (id) do {conflict}".encode(),
            [request, customer, Jsonb(wish)],
        )

    one, two = (shared.connect(role="service_role") for _ in range(2))
    with ThreadPoolExecutor() as pool:
        with one.transaction():
            upsert(one)
            other = pool.submit(upsert, two)
            shared.wait_until_blocked(two)
        other.result()
    assert shared.log(request) == ["priority_request"]
    steps = shared.sql("select mechanic_id::text from dispatch.steps order by turn")
    assert [each["mechanic_id"] for each in steps] == people[1:3]


@pytest.mark.parametrize("ends", ["in time", "late", "accepted", "cancelled"])
def test_nobody_has_a_turn_in_another_request_of_the_same_id(
    shared: Database, people: list[str], ends: str
) -> None:
    request = book(shared, *people[:3])
    if ends == "late":
        pass_time(shared, request, 11)
    elif ends == "accepted":
        rpc(shared.connect(people[0]), "accept_session_request", request_id=request)
    elif ends == "cancelled":
        shared.sql("update session_requests set status = 'cancelled' where id = %s", request)
    shared.sql("delete from session_requests where id = %s", request)
    shared.sql(
        "insert into session_requests (id, customer_id, session_type, preferred_mechanic_id)"
        " values (%s, %s, 'chat', %s)",
        request,
        shared.make_customer(),
        people[0],
    )
    pass_time(shared, request, 11)
    shared.sweep()
    assert shared.request(request)["notification_sent_at"]


def test_a_sweep_and_an_answer_at_once_move_on_once(db: Database) -> None:
    people = [db.make_mechanic(online=False) for _ in range(3)]
    requests = [book(db, *people) for _ in range(5)]
    for request in requests:
        pass_time(db, request, 11)
    client = db.connect(people[TWO])

    def decline() -> None:
        for request in requests:
            rpc(client, "decline_session_request", request_id=request)

    at_once(decline, db.sweep)
    db.sweep()
    for request in requests:
        assert [event[:2] for event in told(db, request)] == [
            ("priority_request", None),
            ("priority_request", "window_ended"),
            ("request_declined", None),
            ("priority_request", "declined"),
        ] or [event[:2] for event in told(db, request)] == [
            ("priority_request", None),
            ("request_declined", None),
            ("priority_request", "window_ended"),
            ("priority_request", "declined"),
        ]
        assert at(db, request, *people) == [False, False, True]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_two_sweeps_at_once_end_one_window(
    shared: Database, people: list[str], one_by_one: bool
) -> None:
    """The one found it to be over before the other opened the next one's."""
    request = book(shared, *people[:2])
    pass_time(shared, request, 10)
    assert shared.sweep_around(shared.sweep, one_by_one) == (0, 1)
    assert at(shared, request, *people[:2]) == [False, True]
    assert told(shared, request)[1:] == [
        ("priority_request", "window_ended", f"mechanic:{people[TWO]}")
    ]


def test_who_is_suspended_while_the_sweep_ends_their_turn_ends_no_other(
    shared: Database, people: list[str]
) -> None:
    request = book(shared, *people[:2])
    pass_time(shared, request, 10)
    sweep, owner = shared.superuser(), shared.open()
    with ThreadPoolExecutor() as pool:
        with sweep.transaction():
            assert value(sweep, "select dispatch.sweep()") == 1
            query = "update mechanics set status = 'suspended' where id = %s"
            suspended = pool.submit(rows, owner, query, people[ONE])
            shared.wait_until_blocked(owner)
        suspended.result()
    assert at(shared, request, *people[:2]) == [False, True]


def test_what_nobody_will_take_any_more_is_pruned(shared: Database, people: list[str]) -> None:
    gone, open_ = book(shared, *people[:3]), book(shared, *people[:3])
    rpc(shared.connect(people[ONE]), "accept_session_request", request_id=gone)
    shared.sql("select dispatch.prune_windows('1 day')")
    left = {str(row["request_id"]) for row in shared.sql("select * from dispatch.steps")}
    assert gone not in left and open_ in left


def test_explained(shared: Database, people: list[str]) -> None:
    away = shared.make_mechanic("pending")
    request = book(shared, people[ONE], away, people[TWO])

    def why(mechanic: str) -> str:
        explained = "select why from dispatch.explain_routing(%s) where mechanic_id = %s"
        return str(shared.value(explained, request, mechanic))

    assert "was told first" in why(people[ONE]) and "theirs alone until" in why(people[ONE])
    assert "is to be asked in turn 3" in why(people[TWO])
    assert "was passed over: not_approved" in why(away)
    rpc(shared.connect(people[ONE]), "decline_session_request", request_id=request)
    assert "was told first; it went on: declined" in why(people[ONE])
    assert "was told in turn 2" in why(people[TWO]) and "it went on" not in why(people[TWO])
    assert "reserved for another mechanic" in why(people[OTHER])


def test_the_customer_reads_each_turn(shared: Database, people: list[str]) -> None:
    customer = shared.make_customer()
    request = book(shared, *people[:3], customer=customer)
    pass_time(shared, request, 21)
    shared.sweep()
    timeline = rpc(shared.connect(customer), "get_session_request_timeline", request_id=request)
    assert [(event["event"], event["reason"]) for event in timeline] == [
        ("priority_request", None),
        ("priority_request", "window_ended"),
        ("priority_request", "window_ended"),
    ]
    listed = rpc(shared.connect(customer), "list_session_request_mechanics", request_id=request)
    assert [row["event_id"] for row in listed] == [event["event_id"] for event in timeline]
    assert [row["mechanic_id"] for row in listed] == people[:3]


def test_the_customer_reads_who_comes_next_by_the_clock(
    shared: Database, people: list[str]
) -> None:
    customer = shared.make_customer()
    request = book(shared, *people[:3], NOBODY, customer=customer)

    def turns() -> list[tuple[bool, str, float, float]]:
        found = rpc(shared.connect(customer), "list_session_request_mechanics", request_id=request)
        began = datetime.fromisoformat(next(row["starts_at"] for row in found if row["starts_at"]))
        return [
            (
                row["event_id"] is not None,
                row["mechanic_id"],
                (datetime.fromisoformat(row["starts_at"]) - began).total_seconds() / 60,
                (datetime.fromisoformat(row["ends_at"]) - began).total_seconds() / 60,
            )
            for row in found
            if row["starts_at"]
        ]

    one, two, three, _ = people
    planned = [(True, one, 0, 10), (False, two, 10, 20), (False, three, 20, 30)]
    assert turns() == planned
    with shared.unchanged():
        assert turns() == planned
    # No sweep has told Two that it is theirs; who is gone by then is not promised.
    suspend(shared, two)
    assert turns() == [(True, one, 0, 10), (False, three, 10, 20)]
    rpc(shared.connect(one), "decline_session_request", request_id=request)
    assert [(told, who) for told, who, *_ in turns()] == [(True, one), (True, three)]
    rpc(shared.connect(three), "accept_session_request", request_id=request)
    rpc(shared.connect(three), "release_session_request", request_id=request)
    listed = rpc(shared.connect(customer), "list_session_request_mechanics", request_id=request)
    timeline = rpc(shared.connect(customer), "get_session_request_timeline", request_id=request)
    events = {event["event_id"]: event["event"] for event in timeline}
    assert [(events[row["event_id"]], row["mechanic_id"]) for row in listed] == [
        ("priority_skipped", NOBODY),
        ("priority_request", one),
        ("priority_skipped", two),
        ("priority_request", three),
        ("request_accepted", three),
        ("request_released", three),
    ]
