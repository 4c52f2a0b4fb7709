"""Two connections at once: exactly one outcome, no deadlock, no serialization failure."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest

from tests.database import Connection, Database, at_once, checkout, refund, refused, rows, rpc
from tests.sql.test_chain import book

CLEAN = {"PT403", "PT404", "PT409", "PT410"}  # PT403: suspended meanwhile


def failures(answers: list[Any]) -> list[psycopg.Error]:
    failed = [answer for answer in answers if isinstance(answer, psycopg.Error)]
    assert {error.sqlstate for error in failed} <= CLEAN, failed
    return failed


def test_of_twenty_accepts_one_wins(shared: Database) -> None:
    connections = [shared.connect(shared.make_mechanic()) for _ in range(20)]
    for preferred in (None, shared.make_mechanic()):
        request = shared.make_request(preferred=preferred)
        if preferred:
            shared.end_window(request)
        accept = partial(rpc, function="accept_session_request", request_id=request)
        answers = at_once(*(partial(accept, each) for each in connections))
        lost = failures(answers)
        assert len(lost) == 19
        assert {error.diag.message_detail for error in lost} == {"request_taken"}
        assert shared.log(request)[1:] == ["request_accepted"]


def test_who_waits_for_an_accept_that_is_rolled_back_wins(shared: Database) -> None:
    one, two = (shared.connect(shared.make_mechanic()) for _ in range(2))
    request = shared.make_request()
    with ThreadPoolExecutor() as pool:
        with one.transaction(force_rollback=True):
            rpc(one, "accept_session_request", request_id=request)
            later = pool.submit(rpc, two, "accept_session_request", request_id=request)
            shared.wait_until_blocked(two)
        assert later.result()["status"] == "accepted"
    assert shared.log(request) == ["new_request", "request_accepted"]


class Race:
    """What may happen to a request whose window has ended, each in a connection of its own."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.customer, self.favourite, other = (
            db.make_customer(),
            db.make_mechanic(),
            db.make_mechanic(),
        )
        self.request = db.make_request(
            self.customer,
            self.favourite,
            metadata={"stripe_payment_intent": "pi_race"},
            expires_at="2999-01-01",
        )
        self.connections = {
            "accept": db.connect(other),
            "favourite": db.connect(self.favourite),
            "customer": db.connect(self.customer),
            "backend": db.connect(role="service_role"),
            "owner": db.open(),
        }

    def actions(self) -> dict[str, Callable[[], Any]]:
        def client(who: str, function: str) -> Callable[[], Any]:
            return lambda: rpc(self.connections[who], function, request_id=self.request)

        def owner(query: str) -> Callable[[], Any]:
            return lambda: rows(self.connections["owner"], query)

        refunded = refund("pi_race")
        return {
            "accept": client("accept", "accept_session_request"),
            "accept by favourite": client("favourite", "accept_session_request"),
            "decline by favourite": client("favourite", "decline_session_request"),
            "cancel": client("customer", "cancel_session_request"),
            "broadcast now": client("customer", "broadcast_session_request_now"),
            "refund": lambda: rpc(
                self.connections["backend"], "process_stripe_event", event=refunded
            ),
            "fallback": owner("select dispatch.sweep()"),
            "expiry": owner("select dispatch.sweep(1000, '2999-01-02')"),
            "suspend": owner(
                f"update mechanics set status = 'suspended' where id = '{self.favourite}'"
            ),
        }

    def connection_of(self, action: str) -> Connection:
        return self.connections[
            {
                "accept": "accept",
                "accept by favourite": "favourite",
                "decline by favourite": "favourite",
                "cancel": "customer",
                "broadcast now": "customer",
                "refund": "backend",
            }.get(action, "owner")
        ]

    def check(self) -> None:
        """Each transition is logged once, in an order that makes sense, and fits the row."""
        events = [line.split(":")[0] for line in self.db.log(self.request)]
        assert len(events) == len(set(events)), events
        assert events[0] == "priority_request"
        if "request_refunded" in events:  # after the accept, which it leaves
            assert "request_accepted" in events[:-1] and events.pop() == "request_refunded"
        ends = [each for each in events if each in ("request_accepted", "request_cancelled")]
        status = self.db.request(self.request)["status"]
        assert len(ends) == (status != "pending"), (events, status)
        if ends:
            assert events[-1] == ends[0], events
        accepted = self.db.request(self.request)["mechanic_id"] is not None
        assert accepted == (status == "accepted")


ACCEPTS = ("accept", "accept by favourite")
AGAINST = [
    "cancel",
    "broadcast now",
    "refund",
    "fallback",
    "expiry",
    "suspend",
    "decline by favourite",
]
PAIRS = [
    (accept, against)
    for accept in ACCEPTS
    for against in AGAINST
    if (accept, against) != ("accept by favourite", "decline by favourite")
]


@pytest.mark.parametrize("order", [1, -1], ids=["first", "second"])
@pytest.mark.parametrize(
    ("accept", "against"), [*PAIRS, ("cancel", "fallback"), ("cancel", "expiry")]
)
def test_the_one_who_waits_finds_what_the_other_did(
    shared: Database, accept: str, against: str, order: int
) -> None:
    """One transaction is held open until the other waits for it, or has stepped aside."""
    race = Race(shared)
    shared.end_window(race.request, -1)
    actions = race.actions()
    first, second = (accept, against)[::order]
    with ThreadPoolExecutor() as pool:
        with race.connection_of(first).transaction():
            actions[first]()
            later = pool.submit(at_once, actions[second])
            waiting = race.connection_of(second)
            # A sweep skips what is locked; everything else waits.
            if second in ("fallback", "expiry"):
                later.result(10)
            elif not (first == "broadcast now" and second == "suspend"):
                shared.wait_until_blocked(waiting)
        failures(later.result())
    race.check()


@pytest.mark.parametrize(("accept", "against"), PAIRS)
def test_at_the_very_same_moment(shared: Database, accept: str, against: str) -> None:
    for _ in range(3):
        race = Race(shared)
        shared.end_window(race.request)
        actions = race.actions()
        failures(at_once(actions[accept], actions[against]))
        race.check()
        shared.sql("update mechanics set status = 'approved'")
        shared.sql("update session_requests set metadata = '{}'")


def test_two_declines_of_one_mechanic_at_once_are_one(shared: Database) -> None:
    mechanic = shared.make_mechanic()
    request = shared.make_request(preferred=mechanic)
    one, two = shared.connect(mechanic), shared.connect(mechanic)
    with ThreadPoolExecutor() as pool:
        with one.transaction():
            first = rpc(one, "decline_session_request", request_id=request)
            later = pool.submit(rpc, two, "decline_session_request", request_id=request)
            shared.wait_until_blocked(two)
        assert later.result() == first
    assert shared.log(request) == ["priority_request", "request_declined", "new_request:declined"]


def test_two_sweeps_at_once_announce_each_request_once(shared: Database) -> None:
    favourite = shared.make_mechanic(online=False)
    requests = [shared.make_request(preferred=favourite) for _ in range(200)]
    shared.sql("update session_requests set priority_notified_at = now() - interval '1 hour'")
    connections = [shared.open() for _ in range(4)]
    answers = at_once(*(partial(rows, each, "select dispatch.sweep(150)") for each in connections))
    assert failures(answers) == []
    counts = [answer[0]["sweep"] for answer in answers]
    while (more := shared.sweep()) > 0:
        counts.append(more)
    assert sum(counts) == len(requests)
    assert len(shared.log()) == 400


def test_the_same_event_twice_at_once_books_once(shared: Database) -> None:
    event = checkout(shared.make_customer(), shared.make_mechanic())
    connections = [shared.connect(role="service_role") for _ in range(8)]
    process = partial(rpc, function="process_stripe_event", event=event)
    answers = at_once(*(partial(process, each) for each in connections))
    assert failures(answers) == []
    assert sorted(answer["outcome"] for answer in answers) == ["duplicate"] * 7 + [
        "request_created"
    ]
    assert len({answer["request_id"] for answer in answers}) == 1
    assert shared.log() == ["priority_request"]
    assert len(shared.sql("select 1 from dispatch.stripe_events")) == 1


@pytest.mark.parametrize("payment", ["pi_same", None])
def test_two_events_of_one_checkout_at_once_book_once(
    shared: Database, payment: str | None
) -> None:
    customer = shared.make_customer()
    events = [
        checkout(customer, kind=kind, session="cs_same", payment=payment)
        for kind in ("checkout.session.completed", "checkout.session.async_payment_succeeded")
    ]
    for event in events:
        if payment is None:
            event["data"]["object"]["payment_intent"] = None
    connections = [shared.connect(role="service_role") for _ in events]
    one, two = connections
    with ThreadPoolExecutor() as pool:
        with one.transaction():
            first = rpc(one, "process_stripe_event", event=events[0])
            later = pool.submit(rpc, two, "process_stripe_event", event=events[1])
            shared.wait_until_blocked(two)
        second = later.result()
    assert (first["outcome"], second["outcome"]) == ("request_created", "duplicate")
    assert first["request_id"] == second["request_id"]
    assert shared.log() == ["new_request"]


@pytest.mark.parametrize("rolled_back", [False, True])
@pytest.mark.parametrize("order", [1, -1], ids=["payment first", "refund first"])
def test_payment_and_refund_at_once(shared: Database, order: int, rolled_back: bool) -> None:
    events = [checkout(shared.make_customer(), payment="pi_both"), refund("pi_both")][::order]
    one, two = (shared.connect(role="service_role") for _ in events)
    with ThreadPoolExecutor() as pool:
        with one.transaction(force_rollback=rolled_back):
            rpc(one, "process_stripe_event", event=events[0])
            later = pool.submit(rpc, two, "process_stripe_event", event=events[1])
            shared.wait_until_blocked(two)
        later.result()
    if rolled_back:
        rpc(one, "process_stripe_event", event=events[0])
    (request,) = shared.sql("select * from session_requests")
    assert request["status"] == "cancelled" and "refunded_at" in request["metadata"]
    assert shared.log()[-1] == "request_cancelled:refunded"
    offered = [event for event in shared.events() if event["event"] == "new_request"]
    assert bool(offered) == ((order == 1) != rolled_back)


LEAVING = {
    "suspended": "update mechanics set status = 'suspended' where id = %s",
    "deleted": "delete from auth.users where id = %s",
}


@pytest.mark.parametrize("leaving", LEAVING)
def test_the_favourite_leaves_while_being_booked(shared: Database, leaving: str) -> None:
    """The booking comes first: whoever leaves waits for it, and the request is announced."""
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    backend, superuser = shared.connect(role="service_role"), shared.superuser()
    with ThreadPoolExecutor() as pool:
        with backend.transaction():
            request = shared.make_request(customer, mechanic, connection=backend)
            gone = pool.submit(superuser.execute, LEAVING[leaving].encode(), (mechanic,))
            shared.wait_until_blocked(superuser)
        gone.result()
    assert shared.log(request) == ["priority_request", "new_request:mechanic_gone"]


@pytest.mark.parametrize("leaving", LEAVING)
def test_a_favourite_who_is_leaving_is_booked(shared: Database, leaving: str) -> None:
    """The booking waits, and finds that there is nobody to reserve it for."""
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    backend, superuser = shared.connect(role="service_role"), shared.superuser()
    with ThreadPoolExecutor() as pool:
        with superuser.transaction():
            superuser.execute(LEAVING[leaving].encode(), (mechanic,))
            booking = pool.submit(shared.make_request, customer, mechanic, connection=backend)
            shared.wait_until_blocked(backend)
        request = booking.result()
    reason = {"suspended": "not_approved", "deleted": "unknown_mechanic"}[leaving]
    assert shared.log(request) == [f"priority_skipped:{reason}", "new_request"]


def test_a_customer_who_is_leaving_books_nothing(shared: Database) -> None:
    """Both bookings wait, and find nobody: refused, or kept in the ledger with its error."""
    customer = shared.make_customer()
    app, stripe = shared.connect(customer), shared.connect(role="service_role")
    superuser = shared.superuser()
    with ThreadPoolExecutor() as pool:
        with superuser.transaction():
            superuser.execute(LEAVING["deleted"].encode(), (customer,))
            free = pool.submit(rpc, app, "request_free_session", plan_code="free-diagnostic")
            paid = pool.submit(rpc, stripe, "process_stripe_event", event=checkout(customer))
            shared.wait_until_blocked(app, stripe)
        with refused("PT401", "not_signed_in"):
            free.result()
        assert paid.result()["outcome"] == "error"
    (event,) = shared.sql("select * from dispatch.stripe_events")
    assert event["processed_at"] is None and event["error"].startswith("missing_customer")


def test_one_attempt_twice_at_once_is_one_free_booking(shared: Database) -> None:
    """The second waits, and finds what the first has booked."""
    customer = shared.make_customer()
    first, second = shared.connect(customer), shared.connect(customer)
    wish = {"plan_code": "free-diagnostic", "attempt": str(uuid.uuid4())}
    with ThreadPoolExecutor() as pool:
        with first.transaction():
            booked = rpc(first, "request_free_session", **wish)
            again = pool.submit(rpc, second, "request_free_session", **wish)
            shared.wait_until_blocked(second)
        assert again.result() == booked
    assert shared.value("select count(*) from session_requests") == 1


def test_a_mechanic_who_is_leaving_accepts_nothing(shared: Database) -> None:
    mechanic, request = shared.make_mechanic(), shared.make_request()
    app, superuser = shared.connect(mechanic), shared.superuser()
    with ThreadPoolExecutor() as pool:
        with superuser.transaction():
            superuser.execute(LEAVING["deleted"].encode(), (mechanic,))
            accept = pool.submit(rpc, app, "accept_session_request", request_id=request)
            shared.wait_until_blocked(app)
        with refused("PT403", "not_a_mechanic"):
            accept.result()


def test_a_mechanic_who_is_leaving_waits_for_no_accept_of_theirs(shared: Database) -> None:
    """Both lock the account before a request: the accept finds no account."""
    mechanic = shared.make_mechanic()
    first, second = (shared.make_request(preferred=mechanic) for _ in range(2))
    app, superuser, holder = shared.connect(mechanic), shared.superuser(), shared.open()
    with ThreadPoolExecutor() as pool:
        with holder.transaction():
            rows(holder, "select from session_requests where id = %s for update", first)
            gone = pool.submit(superuser.execute, LEAVING["deleted"].encode(), (mechanic,))
            shared.wait_until_blocked(superuser)
            accept = pool.submit(rpc, app, "accept_session_request", request_id=second)
            shared.wait_until_blocked(app)
        gone.result()
        with refused("PT403", "not_a_mechanic"):
            accept.result()
    for request in (first, second):
        assert shared.log(request) == ["priority_request", "new_request:mechanic_gone"]


@pytest.mark.parametrize("leaving", LEAVING)
def test_who_comes_online_while_they_are_leaving(shared: Database, leaving: str) -> None:
    """Both lock the mechanic's row before a request, which the sweep has yet to announce."""
    mechanic = shared.make_mechanic(online=False)
    request = shared.make_request(preferred=mechanic)
    shared.end_window(request, -1)
    app, superuser = shared.connect(mechanic), shared.superuser()
    with ThreadPoolExecutor() as pool:
        with superuser.transaction():
            superuser.execute("select from mechanics where id = %s for update", (mechanic,))
            online = pool.submit(rpc, app, "set_presence", status="online")
            shared.wait_until_blocked(app)
            superuser.execute(LEAVING[leaving].encode(), (mechanic,))
        online.result()
    assert shared.log(request)[0] == "priority_request" and len(shared.log(request)) == 2


@pytest.mark.parametrize("leaving", LEAVING)
def test_two_who_come_after_each_other_leave_at_once(shared: Database, leaving: str) -> None:
    """Each holds their own row, and their request comes to the other next."""
    people = [shared.make_mechanic() for _ in range(2)]
    requests = [book(shared, *people), book(shared, *people[::-1])]
    leavers, holder = [shared.superuser() for _ in people], shared.open()
    query = "select from session_requests where id = any(%s::uuid[]) for update"
    with ThreadPoolExecutor() as pool:
        with holder.transaction():
            rows(holder, query, requests)
            gone = [
                pool.submit(each.execute, LEAVING[leaving].encode(), (person,))
                for each, person in zip(leavers, people, strict=True)
            ]
            shared.wait_until_blocked(*leavers)
        for each in gone:
            each.result()
    shared.sql("select dispatch.follow_sessions()")
    for request in requests:
        assert shared.log(request)[-1] == "new_request:mechanic_gone"


@pytest.mark.parametrize("leaving", LEAVING)
def test_an_answer_waits_for_nobody_who_comes_next(shared: Database, leaving: str) -> None:
    """One who is being suspended is asked, and told that they went; one who is being deleted is
    passed over."""
    first, second = (shared.make_mechanic() for _ in range(2))
    request, superuser = book(shared, first, second), shared.superuser()
    app = shared.connect(first)
    app.execute("set lock_timeout = '5s'")
    with superuser.transaction():
        superuser.execute(LEAVING[leaving].encode(), (second,))
        rpc(app, "decline_session_request", request_id=request)
    shared.sql("select dispatch.follow_sessions()")
    assert (
        shared.log(request)[2:]
        == {
            "suspended": ["priority_request:declined", "new_request:mechanic_gone"],
            "deleted": ["priority_skipped:unknown_mechanic", "new_request:declined"],
        }[leaving]
    )
