"""On a marketplace that was there first: what the flag on changes there, and what it must not.

Each test runs on shapes that differ in all that the binding knows. What an untouched twin answers
to statements of its own is compared in tests/fuzz/test_fuzz_twins.py.
"""

import random
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from stack import ROOT
from stack.clients import stripe_event
from stack.install import DOWN, ENGINE, ENGINE_DOWN, MARKETPLACE, install, install_on_theirs
from stack.postgres import Cluster, run_psql
from tests.database import (
    Connection,
    Database,
    Kept,
    Row,
    at_once,
    become,
    checkout,
    dump,
    fresh_database,
    heard,
    listen,
    refund,
    refused,
    rows,
    rpc,
    value,
)
from tests.further import further_but

WINDOW = timedelta(minutes=10)


@dataclass(frozen=True)
class Shape:
    """A marketplace, and how one writes to it."""

    name: str
    mechanic: str  # an INSERT of an approved one: the mechanic's id and the user's
    suspend: str  # an UPDATE that ends the approval of this id
    plans: str  # two: 'chat10' costs 9.99, 'free' nothing
    favourite: str  # an INSERT: the customer's id, the mechanic's and its user's
    lives: timedelta | None  # without a favourite
    word: str  # a status of its own
    assigns_user: bool = True
    column: str = "accepted_at = now()"  # what its accept route also writes
    had_column: bool = False  # preferred_mechanic_id, with a foreign key

    def schema(self) -> str:
        return (ROOT / f"examples/marketplaces/{self.name}/schema.sql").read_text()


SHAPES = [
    Shape(
        "garage",
        "insert into mechanics (id, user_id, name, application_status)"
        " values (%(id)s, %(user)s, 'Mia', 'approved')",
        "update mechanics set application_status = 'rejected' where id = %s",
        "insert into service_plans (slug, name, price, duration_minutes, description)"
        " values ('chat10', 'Chat', 9.99, 10, ''), ('free', 'Free', 0, 10, '')",
        "insert into customer_favorites (customer_id, mechanic_id) values (%(customer)s, %(id)s)",
        timedelta(minutes=15),
        "unattended",
    ),
    Shape(
        "by_user",
        "insert into mechanics (id, full_name, status) values (%(user)s, 'Mia', 'approved')",
        "update mechanics set status = 'banned' where id = %s",
        "insert into service_plans (code, title, session_type, amount)"
        " values ('chat10', 'Chat', 'chat', 999), ('free', 'Free', 'chat', 0)",
        "insert into customer_favorites (user_id, mechanic_user_id)"
        " values (%(customer)s, %(user)s)",
        timedelta(minutes=20),
        "on_the_way",
    ),
    Shape(
        "enums",
        "insert into mechanics (id, profile_id, first_name, verified)"
        " values (%(id)s, %(user)s, 'Mia', true)",
        "update mechanics set verified = false where id = %s",
        "insert into plans (key, label, price_cents)"
        " values ('chat10', 'Chat', 999), ('free', 'Free', 0)",
        "insert into favorite_mechanics (customer_id, mechanic_id) values (%(customer)s, %(id)s)",
        None,
        "in_progress",
        assigns_user=False,
        column="notification_sent_at = now()",
    ),
    Shape(
        "camel_case",
        'insert into mechanics (id, "userId", "displayName", "isApproved")'
        " values (%(id)s, %(user)s, 'Mia', true)",
        'update mechanics set "isApproved" = false where id = %s',
        'insert into service_plans (code, "displayName", "sessionType", "priceCents")'
        " values ('chat10', 'Chat', 'chat', 999), ('free', 'Free', 'chat', 0)",
        'insert into customer_favorites ("customerId", "favoriteType", "favoriteId")'
        " values (%(customer)s, 'mechanic', %(id)s)",
        None,
        "noShow",
        had_column=True,
    ),
    Shape(
        "grown",
        "insert into mechanics (id, account, business_name, approved_at)"
        " values (%(id)s, %(user)s, 'Mia', now())",
        "update mechanics set suspended_at = now() where id = %s",
        "insert into service_plans (code, label, session_type, price_cents)"
        " values ('chat10', 'Chat', 'chat', 999), ('free', 'Free', 'chat', 0)",
        "insert into customer_favorites (customer_id, mechanic_id) values (%(customer)s, %(id)s)",
        None,
        "paused",
        assigns_user=False,
    ),
    Shape(
        "like_ours",
        "insert into mechanics (id, display_name, status) values (%(user)s, 'Mia', 'approved')",
        "update mechanics set status = 'suspended' where id = %s",
        "insert into service_plans (code, title, session_type, price_cents)"
        " values ('chat10', 'Chat', 'chat', 999), ('free', 'Free', 'chat', 0)",
        "insert into customer_favorites (customer_id, mechanic_id) values (%(customer)s, %(user)s)",
        None,
        "cancelled",
    ),
]
TABLES = ("mechanics", "customer_favorites", "service_plans", "session_requests")


@dataclass(frozen=True)
class Mechanic:
    id: str
    user: str
    assigned: str  # what goes into session_requests.mechanic_id


class Theirs:
    """A database of one shape, with the engine on it and the flag on."""

    def __init__(self, db: Database, shape: Shape) -> None:
        self.db, self.shape = db, shape
        self.backend = db.connect(role="service_role")
        self.customer = db.make_customer()
        self.favourite, self.other = self.mechanic(), self.mechanic()

    def mechanic(self) -> Mechanic:
        user, own = self.db.make_customer(), str(uuid.uuid4())
        self.db.owner.execute(self.shape.mechanic.encode(), {"id": own, "user": user})
        keyed_by_user = "%(id)s" not in self.shape.mechanic
        mechanic = user if keyed_by_user else own
        return Mechanic(mechanic, user, user if self.shape.assigns_user else mechanic)

    def as_(self, mechanic: Mechanic) -> Connection:
        return self.db.connect(mechanic.user)

    def book(self, connection: Connection | None = None, **columns: object) -> str:
        """As the plan's own INSERT does."""
        given = {
            "customer_id": self.customer,
            "session_type": "chat",
            "plan_code": "chat10",
            "preferred_mechanic_id": self.favourite.id,
            "priority_window_minutes": 10,
        } | columns
        given = {name: text for name, text in given.items() if text is not None}
        return str(self.db._insert("session_requests", given, connection or self.backend))

    def accept(self, mechanic: Mechanic, request: str, connection: Connection | None = None) -> Any:
        """Its accept route: a conditional UPDATE."""
        return rows(
            connection or self.backend,
            f"update session_requests set mechanic_id = %s, status = 'accepted',"
            f" {self.shape.column}"
            " where id = %s and status = 'pending' and mechanic_id is null returning id",
            mechanic.assigned,
            request,
        )

    def update(self, request: str, assignments: str, *values: object) -> list[Row]:
        query = f"update session_requests set {assignments} where id = %s returning id"
        return rows(self.backend, query, *values, request)

    def sees(self, mechanic: Mechanic, request: str) -> bool:
        query = "select id from session_requests where id = %s"
        return bool(rows(self.as_(mechanic), query, request))

    def gone(self, mechanic: Mechanic) -> None:
        """Their account is deleted."""
        rows(self.db.owner, "delete from auth.users where id = %s", mechanic.user)

    def listed(self, mechanic: Mechanic) -> list[str]:
        listed = rpc(self.as_(mechanic), "list_open_session_requests")
        return [each["request_id"] for each in listed]

    def sweep(self, minutes: int = 0) -> int:
        query = "select dispatch.sweep(1000, now() + make_interval(mins => %s))"
        return int(self.db.value(query, minutes))


# These differ most: in which id of a mechanic a request has, whether it has an end of theirs, and
# whether there was a column of the favourite's name.
FIRST = ["garage", "camel_case", "grown"]


@pytest.fixture(scope="module", params=further_but(FIRST, {shape.name: shape for shape in SHAPES}))
def installed(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[tuple[Kept, Shape]]:
    """A copy of each shape; the template's own connections must be gone before it is copied."""
    shape: Shape = request.param
    name = f"theirs_{shape.name}"
    dsn = cluster.create_database(name, "template1")
    with Database(cluster, name) as db:
        if shape.name == "like_ours":
            install(dsn, MARKETPLACE)
            db.sql("delete from service_plans")
            for table in TABLES:
                db.sql(f"comment on table {table} is null")
            db.sql("create policy open on session_requests for all to authenticated using (true)")
            db.sql("grant all on session_requests to authenticated")
        else:
            db.sql(shape.schema())
        db.sql(shape.plans)
        install_on_theirs(dsn)
        db.sql("select dispatch.set_favorites_priority(true)")
    kept = Kept(cluster, name)
    yield kept, shape
    kept.drop()
    cluster.drop_database(name)


@pytest.fixture
def theirs(installed: tuple[Kept, Shape]) -> Iterator[Theirs]:
    kept, shape = installed
    with kept.emptied() as db:
        yield Theirs(db, shape)


def heard_nothing(listener: Connection) -> bool:
    listener.execute("select 1")  # what was sent until now has arrived
    return not list(listener.notifies(timeout=0))


def test_a_favourite_is_told_first_and_alone(theirs: Theirs) -> None:
    topics = [f"mechanic:{theirs.favourite.user}", f"customer:{theirs.customer}"]
    listener = listen(theirs.db, *topics)
    elsewhere = listen(theirs.db, "session_requests_feed", f"mechanic:{theirs.other.user}")
    request = theirs.book()
    assert {channel for channel, _ in heard(listener, 2)} == set(topics)
    assert heard_nothing(elsewhere)

    assert theirs.listed(theirs.favourite) == [request]
    assert theirs.listed(theirs.other) == []
    assert theirs.sees(theirs.favourite, request)
    assert not theirs.sees(theirs.other, request)
    assert rows(theirs.db.connect(theirs.customer), "select id from session_requests")
    assert rows(theirs.backend, "select id from session_requests")
    assert rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    # Taken, it is theirs alone again, for whom their policies show it.
    row = theirs.db.request(request)
    assert str(row["mechanic_id"]) == theirs.favourite.assigned
    assert row.get("accepted_at", True)
    assert theirs.db.log(request) == ["priority_request", "request_accepted"]
    completed = rpc(theirs.as_(theirs.favourite), "complete_session_request", request_id=request)
    assert completed["status"] == "completed"
    assert theirs.db.log(request)[-1] == "request_completed"


def test_no_answer_shows_a_column_that_they_keep_from_their_clients(theirs: Theirs) -> None:
    theirs.db.sql(
        "alter table session_requests add margin text, add figures jsonb, add shown text;"
        "alter table session_requests alter margin set default 'the margin',"
        " alter figures set default '{\"of\": \"it\"}', alter shown set default 'for all'"
    )
    # A domain of theirs that wants a value has it. (None comes where rows are kept whole.)
    has_domain = theirs.shape.name != "grown"
    if has_domain:
        theirs.db.sql(
            "create domain word as text default 'a word' not null;"
            "create domain of_word as word default 'a word';"
            "create domain checked as text default 'a word' check (value is not null);"
            "create domain any_word as text default 'a word';"
            "alter table session_requests add said word, add of_said of_word, add checked checked,"
            " add any_said any_word"
        )
    theirs.db.sql("revoke all on session_requests from authenticated")
    theirs.db.sql("grant select (id, shown) on session_requests to authenticated")
    customer = theirs.db.connect(theirs.customer)

    def answer(who: Connection, function: str, **asked: object) -> None:
        told = rpc(who, function, **asked)
        assert told["id"] and told["status"] and told["shown"] == "for all"
        assert told["margin"] is None and told["figures"] is None
        for name in ("said", "of_said", "checked"):
            assert told.get(name) == ("a word" if has_domain else None)
        assert told.get("any_said") is None

    request = theirs.book()
    answer(customer, "broadcast_session_request_now", request_id=request)
    for _ in range(2):
        answer(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    answer(theirs.as_(theirs.favourite), "complete_session_request", request_id=request)
    answer(customer, "cancel_session_request", request_id=theirs.book())
    answer(customer, "request_free_session", plan_code="free")
    event = checkout(theirs.customer, session="cs_1", plan="chat10")
    rpc(theirs.backend, "process_stripe_event", event=event)
    answer(customer, "get_session_request_by_checkout", checkout_session_id="cs_1")

    # Whoever may read all of it is shown all of it.
    theirs.db.sql("grant select on session_requests to authenticated")
    told = rpc(customer, "cancel_session_request", request_id=theirs.book())
    assert told["margin"] == "the margin" and told["figures"] == {"of": "it"}


def test_a_view_in_the_place_of_a_table_that_was_renamed_is_as_the_table(theirs: Theirs) -> None:
    """As a migration does that lets nobody wait; verify and health ask to have it taken back."""
    db = theirs.db
    taken, done, given, cancelled, opened = (theirs.book() for _ in range(5))
    paid = checkout(theirs.customer, theirs.favourite.id, session="cs_1", plan="chat10")
    rpc(theirs.backend, "process_stripe_event", event=paid)
    db.sql("select dispatch.set_max_open_sessions(9)")
    db.sql(
        "alter table session_requests rename to bookings;"
        " create view session_requests with (security_invoker = true) as select * from bookings;"
        " grant all on session_requests to authenticated, service_role"
    )
    mechanic, customer = theirs.as_(theirs.favourite), db.connect(theirs.customer)
    for request in (done, given, taken, taken):
        answer = rpc(mechanic, "accept_session_request", request_id=request)
        assert (answer["id"], answer["status"]) == (request, "accepted")
    assert len(rpc(mechanic, "list_open_session_requests")) == 3
    assert rpc(mechanic, "complete_session_request", request_id=done)["status"] == "completed"
    rpc(mechanic, "release_session_request", request_id=given)
    assert db.request(given)["status"] == "pending"
    for function in ("block_customer", "unblock_customer"):
        rpc(mechanic, function, request_id=done)
    answer = rpc(customer, "cancel_session_request", request_id=cancelled)
    assert answer["status"] == "cancelled"
    rpc(customer, "broadcast_session_request_now", request_id=opened)
    with refused("PT409", "too_early"):
        rpc(customer, "reopen_session_request", request_id=taken)
    assert rpc(customer, "get_session_request_by_checkout", checkout_session_id="cs_1")["id"]
    if theirs.shape.name != "grown":  # a customer has no two of a plan there
        for wish in ({}, {"preferred_mechanic_id": str(uuid.uuid4())}):
            rpc(customer, "request_free_session", plan_code="free", **wish)
    late = theirs.book()
    assert theirs.sweep(minutes=11) == 1
    assert db.log(late)[-1] == "new_request:window_ended"
    assert not db.value("select ok from dispatch.health() where check_name = 'triggers_run'")


@pytest.mark.parametrize("expanded", [False, True])
def test_a_payment_whose_id_no_index_would_hold_is_booked_and_refunded(
    theirs: Theirs, expanded: bool
) -> None:
    one, another = (f"{random.randbytes(6000).hex()}" for _ in range(2))
    event = checkout(theirs.customer, payment=one, plan="chat10")
    if expanded:
        event["data"]["object"]["payment_intent"] = {"id": one, "object": "payment_intent"}
    booked = rpc(theirs.backend, "process_stripe_event", event=event)
    assert booked["created"]
    for kind in ("charge.dispute.created", "charge.dispute.closed", "refund.failed"):
        said = stripe_event(kind, payment_intent=another, status="failed")
        rpc(theirs.backend, "process_stripe_event", event=said)
    assert rpc(theirs.backend, "process_stripe_event", event=refund(another))["request_id"] is None
    refunded = rpc(theirs.backend, "process_stripe_event", event=refund(one))
    assert refunded["request_id"] == booked["request_id"]


def test_the_runbook_says_that_money_went_back_another_way(theirs: Theirs) -> None:
    """Where the request has no place for it, a refund of the ledger's own does."""
    page = (ROOT / "docs/runbook.md").read_text()
    (say_so,) = re.findall(r"^select dispatch.process_stripe_event\(.*?^}'\);", page, re.M | re.S)
    event = checkout(theirs.customer, payment="pi_3", plan="chat10")
    request = rpc(theirs.backend, "process_stripe_event", event=event)["request_id"]
    theirs.update(request, "status = 'cancelled'")
    # It was tried in Stripe, and the bank sent it back.
    rpc(theirs.backend, "process_stripe_event", event=refund("pi_3"))
    failed = stripe_event("refund.failed", id="re_3", payment_intent="pi_3", status="failed")
    rpc(theirs.backend, "process_stripe_event", event=failed)
    due = "select reason from dispatch.unsettled_requests()"
    assert theirs.db.sql(due) == [{"reason": "refund_failed"}]
    theirs.db.sql("select dispatch.expect_stripe(true)")
    theirs.db.sql(say_so)
    assert theirs.db.sql(due) == []
    theirs.db.sql("select dispatch.expect_stripe(null)")


def test_the_list_says_what_the_marketplace_keeps(theirs: Theirs) -> None:
    theirs.db.sql("alter table session_requests add if not exists requested_brand text")
    theirs.db.sql("select dispatch.bind_requests(true)")
    earlier = theirs.book()
    assert theirs.accept(theirs.favourite, earlier)
    kind = "select pg_typeof(requested_brand)::text from session_requests limit 1"
    is_json = theirs.db.value(kind).startswith("json")  # no word to show
    theirs.book(requested_brand='"Saab"' if is_json else "Saab")
    (listed,) = rpc(theirs.as_(theirs.favourite), "list_open_session_requests")
    assert (listed["plan_title"], listed["price_cents"]) == ("Chat", 999)
    assert (listed["requested_brand"], listed["is_returning_customer"]) == (
        None if is_json else "Saab",
        True,
    )
    assert not listed["is_urgent"] and not listed["customer_city"]


def test_how_urgent_it_is_in_words_of_theirs_is_no_error(theirs: Theirs) -> None:
    theirs.db.sql("alter table session_requests add if not exists is_urgent text")
    theirs.db.sql("select dispatch.bind_requests(true)")
    request = theirs.book()
    is_ours = isinstance(theirs.db.request(request)["is_urgent"], bool)
    theirs.update(request, "is_urgent = true" if is_ours else "is_urgent = 'high'")
    (listed,) = rpc(theirs.as_(theirs.favourite), "list_open_session_requests")
    assert listed["is_urgent"] == (True if is_ours else None)


def bind_taken_off(db: Database) -> None:
    """The binding says that what has a removed_at is taken off."""
    db.sql("alter table session_requests add removed_at timestamp")
    db.sql(
        "create or replace function dispatch.taken_off() returns text language sql immutable"
        " set search_path = pg_catalog, pg_temp as $$ select 'r.removed_at is not null' $$"
    )
    db.sql("select dispatch.bind_requests(true)")


def test_one_that_is_taken_off_is_cancelled(theirs: Theirs) -> None:
    bind_taken_off(theirs.db)
    listener = listen(theirs.db, "session_requests_feed")
    paid = checkout(theirs.customer, theirs.favourite.id, plan="chat10")
    request = rpc(theirs.backend, "process_stripe_event", event=paid)["request_id"]
    assert theirs.listed(theirs.favourite) == [request]
    assert theirs.update(request, "removed_at = now()")
    log = ["priority_request", "request_cancelled:cancelled"]
    assert theirs.db.log(request) == log
    # Nobody is offered it, told of it when the window ends, or can take it.
    assert theirs.sweep(11) == 0
    assert theirs.listed(theirs.favourite) == theirs.listed(theirs.other) == []
    with refused("PT410", "request_cancelled"):
        rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    with refused("PT404", "request_not_found"):
        rpc(theirs.as_(theirs.other), "accept_session_request", request_id=request)
    assert heard_nothing(listener)
    due = "select reason from dispatch.unsettled_requests() where request_id = %s"
    assert theirs.db.sql(due, request) == [{"reason": "cancelled"}]
    # Taken back, it is out again, as any other that is pending again.
    assert theirs.update(request, "removed_at = null")
    assert theirs.db.log(request) == [*log, "new_request"]
    assert theirs.listed(theirs.other) == [request]


def test_one_that_is_written_as_taken_off_has_no_window(theirs: Theirs) -> None:
    bind_taken_off(theirs.db)
    row = theirs.db.request(theirs.book(removed_at="2026-01-01"))
    assert row["priority_notified_at"] is None
    assert theirs.db.sql("select from dispatch.windows") == theirs.db.events() == []
    # Put in place later it is theirs alone, as any other that is written as something else first.
    assert theirs.update(str(row["id"]), "removed_at = null")
    assert theirs.db.events() == [] and theirs.sees(theirs.other, str(row["id"]))


def test_one_that_is_taken_off_after_the_accept_is_no_session_any_more(theirs: Theirs) -> None:
    bind_taken_off(theirs.db)
    theirs.db.sql("select dispatch.set_max_open_sessions(1)")
    paid = checkout(theirs.customer, theirs.favourite.id, plan="chat10")
    taken = rpc(theirs.backend, "process_stripe_event", event=paid)["request_id"]
    assert theirs.accept(theirs.favourite, taken)
    assert theirs.db.log(theirs.book()) == ["priority_skipped:at_capacity"]
    assert theirs.update(taken, "removed_at = now()")
    # What comes after the accept is theirs alone; but the money is to be given back.
    assert theirs.db.log(taken) == ["priority_request", "request_accepted"]
    due = "select reason from dispatch.unsettled_requests() where request_id = %s"
    assert theirs.db.sql(due, taken) == [{"reason": "cancelled"}]
    request = theirs.book()
    assert theirs.db.log(request) == ["priority_request"]
    # Back again, it is one.
    assert theirs.update(taken, "removed_at = null")
    with refused("PT409", "at_capacity"):
        rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)


def test_their_routes_find_no_row_and_the_rpc_says_why(theirs: Theirs) -> None:
    request, other = theirs.book(), theirs.other
    with theirs.db.unchanged_row(request):
        assert theirs.accept(other, request) == []
        assert theirs.accept(other, request, theirs.as_(other)) == []
        assert (
            rows(theirs.db.owner, "update session_requests set status = 'accepted' returning id")
            == []
        )
        assert theirs.update(request, "mechanic_id = %s", other.assigned) == []
        with_error = at_once(
            lambda: rpc(theirs.as_(other), "accept_session_request", request_id=request)
        )
        assert with_error[0].diag.message_detail == "request_not_found"
    # Its favourite's, by the same route.
    assert theirs.accept(theirs.favourite, request)
    assert theirs.db.log(request) == ["priority_request", "request_accepted"]


@pytest.mark.parametrize("deferred", ["", "deferrable initially deferred"])
def test_a_trigger_that_names_no_schema(theirs: Theirs, deferred: str) -> None:
    """As most are written: its names are looked up where the marketplace's own statements do."""
    db = theirs.db
    db.sql(
        "create table seen (request_id uuid, status text);"
        "create function see() returns trigger language plpgsql security definer"
        " as $$ begin insert into seen values (new.id, new.status); return null; end $$;"
        f"create {'constraint' if deferred else ''} trigger see after insert or update"
        f" on session_requests {deferred} for each row execute function see()"
    )
    one, two = theirs.as_(theirs.favourite), theirs.as_(theirs.other)
    customer = db.connect(theirs.customer)
    asked = f"{theirs.favourite.id},{theirs.other.id}"

    def book(payment: str) -> str:
        event = checkout(
            theirs.customer,
            theirs.favourite.id,
            plan="chat10",
            payment=payment,
            preferred_mechanic_ids=asked,
        )
        return str(db.value("select process_stripe_event(%s)", Jsonb(event))["request_id"])

    completed, cancelled, refunded, moved_on, reopened = (book(f"pi_{i}") for i in range(5))
    rpc(one, "accept_session_request", request_id=completed)
    rpc(one, "complete_session_request", request_id=completed)
    rpc(customer, "cancel_session_request", request_id=cancelled)
    db.value("select process_stripe_event(%s)", Jsonb(refund("pi_2")))
    for mechanic in (one, two):
        rpc(mechanic, "accept_session_request", request_id=reopened)
        rpc(mechanic, "release_session_request", request_id=reopened)
    rpc(one, "decline_session_request", request_id=moved_on)
    theirs.sweep(30)
    states = {
        request: [
            row["status"]
            for row in db.sql("select status from seen where request_id = %s", request)
        ]
        for request in (completed, cancelled, refunded, reopened)
    }
    assert states == {
        completed: ["pending", "accepted", "completed"],
        cancelled: ["pending", "cancelled"],
        refunded: ["pending", "cancelled"],
        reopened: states[reopened],
    }
    assert states[reopened][-1] == "cancelled"
    assert str(db.request(moved_on)["preferred_mechanic_id"]) == theirs.other.id
    assert db.log(moved_on)[-1] == "new_request:window_ended"
    assert rpc(customer, "request_free_session", plan_code="free")["status"] == "pending"


ASSIGNING = """
create table public.on_duty (mechanic_id uuid);
create function public.assign() returns trigger language plpgsql security definer
set search_path = public as $$
begin
    update session_requests set status = 'accepted', mechanic_id = (select mechanic_id from on_duty)
    where id = new.id and status = 'pending';
    return null;
end;
$$;
create trigger assign after insert on public.session_requests
for each row execute function public.assign();
create function public.finish() returns trigger language plpgsql security definer
set search_path = public as $$
begin
    update session_requests set status = 'completed' where id = new.id;
    return null;
end;
$$;
create trigger finish after update on public.session_requests
for each row when (new.status = 'accepted') execute function public.finish();
"""


def test_a_trigger_of_theirs_that_hands_out_each_new_request(theirs: Theirs) -> None:
    """It runs in the statement that books, and finds a window that is open."""
    theirs.db.sql(ASSIGNING)
    theirs.db.sql("insert into on_duty values (%s)", theirs.other.assigned)
    request = theirs.book()
    row = theirs.db.request(request)
    assert (row["status"], row["mechanic_id"]) == ("pending", None)
    assert theirs.db.log(request) == ["priority_request"]
    # A booking for nobody in particular is theirs to hand out, and so is one for who is on duty.
    plain = theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
    assert theirs.db.request(plain)["status"] == "completed"
    theirs.db.sql("update on_duty set mechanic_id = %s", theirs.favourite.assigned)
    request = theirs.book()
    assert theirs.db.request(request)["status"] == "completed"
    # What comes after the end is theirs alone.
    assert theirs.db.log(request) == ["priority_request", "request_accepted"]
    still_open = "select from dispatch.windows where request_id = %s and closed_at is null"
    assert not theirs.db.sql(still_open, request)


def test_a_customer_who_does_not_sign_in(theirs: Theirs) -> None:
    """Their request is reserved and listed as any other, also towards who is not signed in."""
    theirs.db.sql(
        "alter table session_requests alter customer_id drop not null;"
        "drop policy if exists only_signed_in on session_requests;"
        "create policy anyone on session_requests for select to anon using (true);"
        "grant usage on schema public to anon; grant select on session_requests to anon"
    )
    request = theirs.book(customer_id=None)
    anyone = theirs.db.connect(role="anon")
    assert theirs.listed(theirs.favourite) == [request]
    assert theirs.listed(theirs.other) == []
    assert rows(anyone, "select id from session_requests") == []
    rpc(theirs.as_(theirs.favourite), "decline_session_request", request_id=request)
    assert theirs.listed(theirs.other) == [request]
    assert rows(anyone, "select id from session_requests")


HANDED_ON = (
    "preferred_mechanic_id = '{other}'",
    "priority_window_minutes = 11",
    "priority_window_minutes = 2147483647",
    "priority_notified_at = 'infinity'",
    "priority_notified_at = now() + interval '1 minute'",
    "priority_notified_at = '294276-12-31 23:59+00'",
    "preferred_mechanic_id = '{other}', priority_notified_at = now()",
    "status = 'accepted', mechanic_id = '{assigned}', preferred_mechanic_id = '{other}'",
)


def test_a_reservation_is_not_handed_on_nor_made_longer(theirs: Theirs) -> None:
    request = theirs.book()
    columns = "id, customer_id, session_type, plan_code"
    given = f"'{request}', '{theirs.customer}', 'chat', 'chat10'"
    for template in HANDED_ON:
        assignment = template.format(other=theirs.other.id, assigned=theirs.other.assigned)
        names = re.findall(r"(\w+) =", assignment)
        values = ", ".join(re.split(r", \w+ = |^\w+ = ", assignment)[1:])
        merged = ", ".join(f"{name} = excluded.{name}" for name in names)
        with theirs.db.unchanged_row(request):
            for connection in (theirs.backend, theirs.db.owner):
                query = f"update session_requests set {assignment} returning id"
                assert rows(connection, query) == [], template
            rows(
                theirs.backend,
                f"insert into session_requests ({columns}, {', '.join(names)})"
                f" values ({given}, {values}) on conflict (id) do update set {merged}",
            )
            rows(
                theirs.db.owner,
                "merge into session_requests as r using (select 1) as one on true"
                f" when matched then update set {assignment}",
            )
    assert theirs.listed(theirs.favourite) == [request]
    assert theirs.db.log() == ["priority_request"]


def test_a_reservation_is_known_by_its_id(theirs: Theirs) -> None:
    request = theirs.book()
    assert theirs.update(request, "id = gen_random_uuid()") == []
    assert theirs.listed(theirs.favourite) == [request]


CLEARED = (
    "priority_notified_at = null",
    "preferred_mechanic_id = null, priority_window_minutes = null, priority_notified_at = null",
)


@pytest.mark.parametrize("change", CLEARED)
@pytest.mark.parametrize("stage", ["in the window", "declined", "given back"])
def test_a_request_whose_columns_are_cleared_is_still_followed(
    theirs: Theirs, stage: str, change: str
) -> None:
    request, favourite = theirs.book(), theirs.as_(theirs.favourite)
    if stage == "declined":
        rpc(favourite, "decline_session_request", request_id=request)
    if stage == "given back":  # and cleared at once, as one that is made anew
        assert theirs.accept(theirs.favourite, request)
        change = f"{change}, status = 'pending', mechanic_id = null"
    assert theirs.update(request, change)
    word = {
        # As when the foreign key takes the favourite out.
        "in the window": "mechanic_gone" if "preferred" in change else "customer",
        "declined": "declined",
    }
    assert theirs.db.log(request)[-1] == ":".join(["new_request", *filter(None, [word.get(stage)])])
    assert theirs.listed(theirs.other) == [request]
    assert theirs.accept(theirs.other, request)
    assert theirs.db.log(request)[-1] == "request_accepted"
    # What comes after the end is theirs alone.
    assert theirs.update(request, "priority_notified_at = null")
    assert theirs.db.request(request)["priority_notified_at"] is None


def test_a_request_that_gets_another_id_is_still_followed(theirs: Theirs) -> None:
    request = theirs.book()
    rpc(theirs.as_(theirs.favourite), "decline_session_request", request_id=request)
    assert theirs.update(request, "id = gen_random_uuid()")
    renamed = theirs.db.value("select id::text from session_requests")
    assert theirs.listed(theirs.other) == [renamed]
    assert rpc(theirs.as_(theirs.other), "accept_session_request", request_id=renamed)
    assert theirs.db.log(renamed) == ["request_accepted"]


def test_a_table_that_was_emptied_is_filled_again(theirs: Theirs) -> None:
    """As from a dump: "truncate" runs no trigger of ours, and the windows stay until retention."""
    columns = theirs.db.value(
        "select string_agg(quote_ident(attname), ', ') from pg_attribute"
        " where attrelid = 'session_requests'::regclass and attnum > 0"
        " and not attisdropped and attgenerated = ''"
    )
    request = theirs.book()
    with theirs.db.superuser() as superuser, superuser.transaction():
        superuser.execute("create temporary table kept on commit drop as table session_requests")
        superuser.execute("truncate session_requests cascade")
        superuser.execute(
            f"insert into session_requests ({columns}) select {columns} from kept".encode()
        )
    assert theirs.sees(theirs.favourite, request) and not theirs.sees(theirs.other, request)
    assert not theirs.accept(theirs.other, request)
    assert theirs.sweep(11) == 1
    assert theirs.sees(theirs.other, request)


def test_the_engine_installed_again_takes_nothing_from_their_clients(theirs: Theirs) -> None:
    """Alone, as where a job is missing, and as between the two files of an upgrade."""
    request = theirs.book()
    install(theirs.db.dsn(), ENGINE)
    assert theirs.sees(theirs.favourite, request) and not theirs.sees(theirs.other, request)


RESERVES = (
    "preferred_mechanic_id = '{other}', priority_notified_at = now(), priority_window_minutes = 60",
    "preferred_mechanic_id = '{other}', priority_notified_at = '294276-12-31 23:59+00'",
)


@pytest.mark.parametrize("change", RESERVES)
@pytest.mark.parametrize("fallback", [True, False], ids=["declined", "without a favourite"])
def test_a_request_of_everyones_is_not_reserved(
    theirs: Theirs, change: str, fallback: bool
) -> None:
    """What stands in the columns is theirs to write; a window is opened by a booking alone."""
    third = theirs.mechanic()
    request = theirs.book(
        preferred_mechanic_id=theirs.favourite.id if fallback else None,
        priority_window_minutes=None,
    )
    if fallback:
        rpc(theirs.as_(theirs.favourite), "decline_session_request", request_id=request)
    assert theirs.update(request, change.format(other=theirs.other.id))
    assert theirs.sees(third, request)
    assert theirs.accept(third, request)


@pytest.mark.parametrize(
    "change",
    [
        "priority_window_minutes = 5",
        "priority_window_minutes = -2147483648",
        "priority_notified_at = '2000-01-01'",
        "priority_notified_at = '-infinity'",
        "priority_notified_at = '4713-01-01 BC', priority_window_minutes = -2147483648",
        "priority_notified_at = null",
    ],
)
def test_a_window_that_is_made_shorter_takes_nothing_from_the_time_after_it(
    theirs: Theirs, change: str
) -> None:
    """Nor adds to it, however long before now it says that the window was over."""
    request = theirs.book()
    assert theirs.update(request, change)
    assert theirs.sweep(60) == (0 if change.endswith("null") else 1)
    announced = theirs.db.value("select announced_at from dispatch.windows")
    if lives := theirs.shape.lives:
        assert theirs.db.request(request)["expires_at"] - announced == lives
    assert theirs.accept(theirs.other, request)


def test_a_batch_passes_but_for_what_is_reserved(theirs: Theirs) -> None:
    reserved, plain = (
        theirs.book(),
        theirs.book(preferred_mechanic_id=None, priority_window_minutes=None),
    )
    done = rows(
        theirs.backend,
        "update session_requests set status = 'accepted', mechanic_id = %s returning id",
        theirs.other.assigned,
    )
    assert [str(each["id"]) for each in done] == [plain]
    # Everything else of a governed request is theirs to make.
    assert theirs.update(reserved, "status = 'cancelled'")
    assert theirs.update(reserved, "status = 'completed'")
    assert theirs.db.log(reserved) == ["priority_request", "request_cancelled:cancelled"]


def test_a_fallback_reaches_their_listeners(theirs: Theirs) -> None:
    db, feed = theirs.db, listen(theirs.db, "session_requests_feed")
    ends: dict[str, Callable[[Mechanic, str], object]] = {
        "declined": lambda favourite, request: rpc(
            theirs.as_(favourite), "decline_session_request", request_id=request
        ),
        "customer": lambda _, request: rpc(
            db.connect(theirs.customer), "broadcast_session_request_now", request_id=request
        ),
        "window_ended": lambda *_: theirs.sweep(10),
        "mechanic_gone": lambda favourite, _: db.sql(theirs.shape.suspend, favourite.id),
        "mechanic_gone ": lambda favourite, _: db.sql(
            "delete from mechanics where id = %s", favourite.id
        ),
        # Whose row may stay, with nobody's id (on delete set null).
        "mechanic_gone  ": lambda favourite, _: theirs.gone(favourite),
        "flag_off": lambda *_: db.sql("select dispatch.set_favorites_priority(false)"),
    }
    for reason, end in ends.items():
        favourite = theirs.mechanic()
        request = theirs.book(preferred_mechanic_id=favourite.id)
        before = db.request(request)
        end(favourite, request)
        db.sql("select dispatch.deliver_events()")
        ((_, payload),) = heard(feed, 1)
        assert payload["event"] == "new_request" and payload["reason"] == reason.strip()
        assert payload["is_fallback_broadcast"] is payload["isFallbackBroadcast"] is True
        assert payload["request"] == {"id": request} and payload["request_id"] == request
        assert theirs.sweep(60) == 0, "announced once"
        assert theirs.sees(theirs.other, request)
        if lives := theirs.shape.lives:
            announced = db.value(
                "select announced_at from dispatch.windows where request_id = %s", request
            )
            assert before["expires_at"] - before["created_at"] == lives + WINDOW
            assert db.request(request)["expires_at"] - announced == lives
        assert theirs.accept(theirs.other, request)
        db.sql("select dispatch.deliver_events()")
        if reason != "flag_off":
            assert db.log(request)[-1] == "request_accepted"
            heard(feed, 1)


def test_who_may_accept_does_not_wait_for_the_sweep(theirs: Theirs) -> None:
    request = theirs.book(priority_notified_at="2020-01-01")
    assert theirs.sees(theirs.other, request)
    assert theirs.listed(theirs.other) == [request]
    # What is over is not opened again.
    assert theirs.update(request, "priority_notified_at = now()") == []
    assert theirs.accept(theirs.other, request)


def test_back_again_it_is_everyones(theirs: Theirs) -> None:
    request = theirs.book()
    assert theirs.accept(theirs.favourite, request)
    feed = listen(theirs.db, "session_requests_feed")
    assert theirs.update(request, "status = 'pending', mechanic_id = null")
    theirs.db.sql("select dispatch.deliver_events()")
    ((_, payload),) = heard(feed, 1)
    assert payload["request"] == {"id": request}
    assert theirs.sees(theirs.other, request)
    assert theirs.accept(theirs.other, request)
    # It is the same one.
    (today,) = theirs.db.sql(
        "select * from dispatch.metrics where day = (now() at time zone 'UTC')::date"
    )
    assert (today["requests_total"], today["accepts_total"]) == (1, 2)


def test_who_holds_a_request_waits_for_no_call(theirs: Theirs) -> None:
    """Their route locks the row, then writes it: the call comes to the window after the row, too,
    though another table inherits theirs."""
    request = theirs.book()
    favourite = theirs.as_(theirs.favourite)
    with ThreadPoolExecutor() as pool:
        with theirs.backend.transaction():
            rows(theirs.backend, "select from session_requests where id = %s for update", request)
            waiting = pool.submit(rpc, favourite, "accept_session_request", request_id=request)
            theirs.db.wait_until_blocked(favourite)
            assert theirs.update(request, "status = 'cancelled'")
        with refused("PT410", "request_cancelled"):
            waiting.result()


def test_words_of_their_own(theirs: Theirs) -> None:
    request = theirs.book()
    assert theirs.update(request, f"status = '{theirs.shape.word}'")
    assert theirs.update(request, "status = 'pending'")
    assert theirs.update(request, "status = 'accepted', mechanic_id = %s", theirs.other.assigned)
    assert theirs.update(request, f"status = '{theirs.shape.word}'")
    assert theirs.db.sql("select * from dispatch.windows where closed_at is null") == []
    assert theirs.db.sql("delete from session_requests returning id")
    assert theirs.db.sql("select * from dispatch.windows") == []


def test_a_window_does_not_end_by_their_expiry(theirs: Theirs) -> None:
    request = theirs.book(priority_window_minutes=30)
    if theirs.shape.lives:
        row = theirs.db.request(request)
        assert row["expires_at"] - row["created_at"] == theirs.shape.lives + timedelta(minutes=30)
        # Theirs, moved by their own statement: counted from the window's end.
        theirs.update(request, "expires_at = now() + interval '1 minute'")
        assert theirs.db.value(
            "select expires_at > priority_notified_at + interval '30 minutes'"
            " from session_requests where id = %s",
            request,
        )
    else:
        assert theirs.update(request, "status = 'expired'") == []
        theirs.sweep(30)
    assert theirs.update(request, "status = 'expired'")


def test_a_window_that_is_over_did_not_end_at_no_time(theirs: Theirs) -> None:
    """Its broadcast and its release count from then on how long it lives."""
    swept, released = theirs.book(), theirs.book()
    for request in (swept, released):
        pass_time(theirs, request, 11)
        assert theirs.update(request, "priority_notified_at = '-infinity'")
    assert rpc(theirs.as_(theirs.other), "accept_session_request", request_id=released)
    assert rpc(theirs.as_(theirs.other), "release_session_request", request_id=released)
    assert theirs.sweep() == 1
    assert theirs.db.log(swept)[:2] == ["priority_request", "new_request:window_ended"]


@pytest.mark.parametrize(
    "expires", ["infinity", "-infinity", "294276-12-31 23:59+00", "4713-01-01 BC"]
)
def test_whenever_theirs_say_that_it_ends_nothing_fails(theirs: Theirs, expires: str) -> None:
    if not theirs.shape.lives:
        pytest.skip("its expiry is not moved")
    booked, updated, shortened = theirs.book(expires_at=expires), theirs.book(), theirs.book()
    assert theirs.update(updated, "expires_at = %s", expires)
    assert theirs.update(shortened, "expires_at = %s, priority_window_minutes = 1", expires)
    for request in (booked, updated, shortened):
        assert theirs.db.value(
            "select abs(extract(epoch from expires_at)) > 1e10 from session_requests where id = %s",
            request,
        )


def test_with_the_flag_off_a_favourite_is_as_if_not_named(theirs: Theirs) -> None:
    theirs.db.sql("select dispatch.set_favorites_priority(false)")
    everything = listen(
        theirs.db, "session_requests_feed", *(f"mechanic:{m.user}" for m in (theirs.favourite,))
    )
    row = theirs.db.request(theirs.book(priority_notified_at="2030-01-01"))
    kept = uuid.UUID(theirs.favourite.id) if theirs.shape.had_column else None
    assert row["preferred_mechanic_id"] == kept
    assert row["priority_window_minutes"] is row["priority_notified_at"] is None
    if theirs.shape.lives:
        assert row["expires_at"] - row["created_at"] == theirs.shape.lives
    assert theirs.accept(theirs.other, str(row["id"]))
    assert theirs.db.events() == [] and heard_nothing(everything)
    assert theirs.db.sql("select * from dispatch.windows") == []


def test_with_the_flag_off_their_clients_read_by_the_plans_they_had(theirs: Theirs) -> None:
    """A policy that is asked before theirs keeps an index from serving these."""
    db, reader = theirs.db, theirs.as_(theirs.other)
    query = "explain (costs off) select id, status from session_requests where created_at < now()"
    reader.execute("prepare seen as select id from session_requests")
    db.sql("select dispatch.set_favorites_priority(false)")
    plan = rows(reader, query)
    assert rows(reader, "execute seen") == []
    db.sql("select dispatch.set_favorites_priority(true)")
    with_policy = rows(reader, query)
    request = theirs.book()
    # What was planned while the flag was off is planned anew.
    assert rows(reader, "execute seen") == []
    db.sql("select dispatch.set_favorites_priority(false)")
    assert [str(row["id"]) for row in rows(reader, "execute seen")] == [request]
    db.sql("drop policy dispatch_reserved on session_requests")
    assert rows(reader, query) == plan != with_policy


@pytest.mark.parametrize("word", ["own_request", "invalid_window", "granted", "x"])
def test_a_forged_note_does_not_decide(theirs: Theirs, word: str) -> None:
    note = "select set_config('dispatch.routing_notes', %s, true)"
    request, refused_one = str(uuid.uuid4()), str(uuid.uuid4())
    suspended = theirs.mechanic()
    theirs.db.sql(theirs.shape.suspend, suspended.id)
    with theirs.backend.transaction():
        rows(theirs.backend, note, f"{request}={word};{refused_one}={word};")
        theirs.book(id=request)
        # Nor of a wish that is not granted.
        theirs.book(id=refused_one, preferred_mechanic_id=suspended.id)
    assert theirs.db.log(request) == ["priority_request"]
    assert not theirs.sees(theirs.other, request)
    assert theirs.db.log(refused_one) == ["priority_skipped:not_approved"]
    assert theirs.sees(theirs.other, refused_one)


def test_of_a_favourite_whom_nobody_may_book_nothing_is_told(theirs: Theirs) -> None:
    mechanic = theirs.mechanic()
    given = {"customer": theirs.customer, "id": mechanic.id, "user": mechanic.user}
    theirs.db.owner.execute(theirs.shape.favourite.encode(), given)
    customer = theirs.db.connect(theirs.customer)
    (found,) = rpc(customer, "list_favorite_mechanics")
    assert found["display_name"] == "Mia"
    theirs.db.sql(theirs.shape.suspend, mechanic.id)
    (found,) = rpc(customer, "list_favorite_mechanics")
    assert found["mechanic_id"] == mechanic.id
    assert (found["display_name"], found["is_online"], found["last_seen"]) == (None, False, None)


def test_of_one_whose_account_is_gone_nothing_is_told_or_promised(theirs: Theirs) -> None:
    """Their row may stay, and say that they are approved."""
    mechanic, request = theirs.mechanic(), theirs.book()
    given = {"customer": theirs.customer, "id": mechanic.id, "user": mechanic.user}
    theirs.db.owner.execute(theirs.shape.favourite.encode(), given)
    rpc(theirs.as_(mechanic), "set_presence", status="online")
    customer = theirs.db.connect(theirs.customer)
    checkout = {"plan_code": "chat10", "routing_type": "priority_broadcast"}
    checkout["preferred_mechanic_id"] = mechanic.id
    assert "Mia" in rpc(customer, "prepare_checkout", **checkout)["banner"]
    rpc(theirs.as_(theirs.favourite), "decline_session_request", request_id=request)

    theirs.gone(mechanic)
    for found in rpc(customer, "list_favorite_mechanics"):
        assert found["mechanic_id"] == mechanic.id
        assert (found["display_name"], found["is_online"], found["last_seen"]) == (
            None,
            False,
            None,
        )
    status = rpc(customer, "get_mechanic_status", mechanic_id=mechanic.id)
    assert status == {"is_online": False, "last_seen": None}
    assert rpc(customer, "prepare_checkout", **checkout)["banner"] is None
    recipients = "select mechanic_id::text from dispatch.choose_recipients(%s, 10)"
    found = {row["mechanic_id"] for row in theirs.db.sql(recipients, request)}
    assert found == {theirs.other.id}
    explained = "select * from dispatch.explain_routing(%s) where mechanic_id = %s"
    for row in theirs.db.sql(explained, request, mechanic.id):
        assert not row["may_accept"] and row["why"].startswith("has no account")


def test_a_text_of_theirs_makes_no_notice_and_no_list_too_long(theirs: Theirs) -> None:
    """It would fail the delivery of all that come after it, again and again."""
    if theirs.shape.name != "garage":
        pytest.skip("its session types are limited")
    rows(theirs.backend, "set dispatch.delivery = 'later'")
    theirs.book(session_type="x" * 9000, plan_code="\x01" * 9000)
    request = theirs.book()
    listener = listen(theirs.db, f"customer:{theirs.customer}")
    assert theirs.db.value("select dispatch.deliver_events()") == 2
    assert [payload["request_id"] for _, payload in heard(listener, 2)][1] == request
    # Nor the list that each mechanic asks for again and again.
    listed = rpc(theirs.as_(theirs.favourite), "list_open_session_requests")
    assert max(len(row[name]) for row in listed for name in ("session_type", "plan_code")) == 64


def test_an_estimate_does_not_tell_how_many_are_reserved_for_one(theirs: Theirs) -> None:
    """The planner's, which PostgREST gives for `Prefer: count=planned`; no policy is asked."""
    if theirs.shape.had_column:
        pytest.skip("of its own column it keeps its own statistics")
    for _ in range(30):
        theirs.book()
    theirs.db.sql("analyze session_requests")
    stranger = theirs.db.connect(theirs.db.make_customer())

    def estimate(mechanic: Mechanic) -> int:
        query = "select 1 from public.session_requests where preferred_mechanic_id = "
        (row,) = rows(stranger, f"explain (format json) {query} '{mechanic.id}'")
        return int(row["QUERY PLAN"][0]["Plan"]["Plan Rows"])

    assert estimate(theirs.favourite) == estimate(theirs.other)


@pytest.mark.parametrize("has_window", [True, False])
def test_a_paid_session_that_they_deleted_is_not_waited_for(
    theirs: Theirs, has_window: bool
) -> None:
    favourite = theirs.favourite.id if has_window else None
    event = checkout(theirs.customer, favourite, session="cs_1", plan="chat10")
    answer = rpc(theirs.backend, "process_stripe_event", event=event)
    if has_window:
        assert theirs.accept(theirs.favourite, answer["request_id"])
    theirs.db.sql("delete from session_requests where id = %s", answer["request_id"])
    theirs.db.sql("select dispatch.scrub_stripe_events('1 day')")
    asked = {"checkout_session_id": "cs_1"}
    assert rpc(theirs.db.connect(theirs.customer), "get_checkout_status", **asked) == "removed"


def test_a_wish_that_cannot_be_granted(theirs: Theirs) -> None:
    """Only the customer is told; who else hears of such a request is theirs to say."""
    suspended = theirs.mechanic()
    theirs.db.sql(theirs.shape.suspend, suspended.id)
    for reason, customer, preferred in (
        ("unknown_mechanic", theirs.customer, str(uuid.uuid4())),
        ("not_approved", theirs.customer, suspended.id),
        ("own_request", theirs.favourite.user, theirs.favourite.id),
    ):
        if theirs.shape.had_column and reason == "unknown_mechanic":
            with pytest.raises(psycopg.errors.ForeignKeyViolation):  # as before the install
                theirs.book(preferred_mechanic_id=preferred)
            continue
        request = theirs.book(preferred_mechanic_id=preferred, customer_id=customer)
        kept = uuid.UUID(preferred) if theirs.shape.had_column else None
        assert theirs.db.request(request)["preferred_mechanic_id"] == kept
        (event,) = theirs.db.events(request)
        assert event["event"] == "priority_skipped" and event["payload"]["reason"] == reason
        assert event["topics"] == [f"customer:{customer}"]
        assert theirs.accept(theirs.other, request)
        assert len(theirs.db.events(request)) == 1


def test_an_upsert_that_finds_its_row_opens_no_window(theirs: Theirs) -> None:
    request = theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
    before = theirs.db.request(request)
    query = (
        "insert into session_requests (id, customer_id, session_type, preferred_mechanic_id)"
        " values (%s, %s, 'chat', %s) on conflict (id) do update"
        " set customer_id = excluded.customer_id"
    )
    rows(theirs.backend, query, request, theirs.customer, theirs.favourite.id)
    assert theirs.db.request(request) | {"updated_at": 0} == before | {"updated_at": 0} or (
        "updated_at" not in before and theirs.db.request(request) == before
    )
    assert theirs.db.events(request) == []


def test_a_payment_books_once_and_is_refunded(theirs: Theirs) -> None:
    event = checkout(theirs.customer, theirs.favourite.id, plan="chat10", session="cs_theirs_1")
    payment = str(event["data"]["object"]["payment_intent"])
    first = rpc(theirs.backend, "process_stripe_event", event=event)
    assert first["outcome"] == "request_created"
    request = first["request_id"]
    assert theirs.listed(theirs.favourite) == [request]
    for repeated in (event, event | {"id": "evt_another"}):
        again = rpc(theirs.backend, "process_stripe_event", event=repeated)
        assert again == {"outcome": "duplicate", "request_id": request, "created": False}
    assert len(theirs.db.sql("select id from session_requests")) == 1
    assert (
        rpc(theirs.backend, "process_stripe_event", event=refund(payment))["request_id"] == request
    )
    assert theirs.db.request(request)["status"] == "cancelled"
    assert theirs.db.log(request) == ["priority_request", "request_cancelled:refunded"]

    # Refunded before it was booked: never offered to anyone.
    late = checkout(theirs.customer, theirs.favourite.id, plan="chat10", session="cs_theirs_2")
    rpc(
        theirs.backend,
        "process_stripe_event",
        event=refund(str(late["data"]["object"]["payment_intent"])),
    )
    booked = rpc(theirs.backend, "process_stripe_event", event=late)
    assert theirs.db.request(booked["request_id"])["status"] == "cancelled"
    assert theirs.db.events(booked["request_id"]) == []


@pytest.mark.parametrize("state", ["accepted", "completed", "a word of theirs"])
def test_a_refund_after_the_accept_is_told_once(theirs: Theirs, state: str) -> None:
    """Or the mechanic works on for what was paid back. The request is left as it is."""
    event = checkout(theirs.customer, theirs.favourite.id, plan="chat10", payment="pi_1")
    request = rpc(theirs.backend, "process_stripe_event", event=event)["request_id"]
    plain = checkout(theirs.customer, plan="chat10", payment="pi_2")
    others = rpc(theirs.backend, "process_stripe_event", event=plain)["request_id"]
    for each in (request, others):
        assert theirs.accept(theirs.favourite, each)
        if state != "accepted":
            word = state if state == "completed" else theirs.shape.word
            theirs.update(each, "status = %s", word)
    before = theirs.db.log(request)
    for _ in range(2):  # and what is not the engine's is told to nobody
        for payment in ("pi_1", "pi_2"):
            with theirs.db.unchanged_row(request), theirs.db.unchanged_row(others):
                rpc(theirs.backend, "process_stripe_event", event=refund(payment))
    if theirs.shape.word == "cancelled" and state == "a word of theirs":
        assert theirs.db.log(request) == before
    else:
        assert theirs.db.log(request) == [*before, "request_refunded"]
        topics = [f"customer:{theirs.customer}", f"mechanic:{theirs.favourite.user}"]
        assert theirs.db.events(request)[-1]["topics"] == topics
    assert theirs.db.events(others) == []


def test_with_the_flag_off_a_refund_of_theirs_is_told_to_nobody(theirs: Theirs) -> None:
    event = checkout(theirs.customer, theirs.favourite.id, plan="chat10", payment="pi_1")
    request = rpc(theirs.backend, "process_stripe_event", event=event)["request_id"]
    assert theirs.accept(theirs.favourite, request)
    before = theirs.db.log(request)
    theirs.db.sql("select dispatch.set_favorites_priority(false)")
    rpc(theirs.backend, "process_stripe_event", event=refund("pi_1"))
    assert theirs.db.log(request) == before


def test_a_payment_whose_request_is_gone_is_not_booked_again(theirs: Theirs) -> None:
    event = checkout(theirs.customer, theirs.favourite.id, plan="chat10")
    request = rpc(theirs.backend, "process_stripe_event", event=event)["request_id"]
    theirs.db.sql("delete from session_requests where id = %s", request)
    again = event | {"id": "evt_another", "type": "checkout.session.async_payment_succeeded"}
    answer = rpc(theirs.backend, "process_stripe_event", event=again)
    assert answer == {"outcome": "duplicate", "request_id": request, "created": False}
    assert theirs.db.sql("select id from session_requests") == []


def test_a_rule_of_theirs_is_no_obstacle(theirs: Theirs) -> None:
    """PostgreSQL knows some statements that a table with a rule is not for."""
    theirs.db.sql(
        "create table changed (status text); create rule changed as on update to session_requests"
        " do also insert into changed values (new.status)"
    )
    booking = checkout(theirs.customer, theirs.favourite.id, plan="chat10", payment="pi_1")
    request = rpc(theirs.backend, "process_stripe_event", event=booking)["request_id"]
    answer = rpc(theirs.backend, "process_stripe_event", event=refund("pi_1"))
    assert answer == {"outcome": "refunded", "request_id": request, "created": False}
    assert theirs.db.log(request) == ["priority_request", "request_cancelled:refunded"]
    request = theirs.book()
    assert rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    other = theirs.book()
    assert theirs.sweep(11) == 1
    assert theirs.db.log(other) == ["priority_request", "new_request:window_ended"]
    # But one by which no row that was written can be returned.
    theirs.db.sql(
        "create rule done as on update to session_requests where old.status = 'completed'"
        " do instead nothing"
    )
    with pytest.raises(RuntimeError, match="verify failed: columns of session_requests"):
        run_psql(theirs.db.dsn(), "-f", str(ROOT / "sql/favorites_priority/verify.sql"))


def test_a_booking_that_is_given_another_id_is_none(theirs: Theirs) -> None:
    """The page after the payment, and a refund, would look for it by the first."""
    theirs.db.sql(
        "create function renumber() returns trigger language plpgsql"
        " as 'begin new.id := gen_random_uuid(); return new; end';"
        " create trigger renumber before insert on session_requests"
        " for each row execute function renumber()"
    )
    booking = checkout(theirs.customer, theirs.favourite.id, plan="chat10", payment="pi_1")
    answer = rpc(theirs.backend, "process_stripe_event", event=booking)
    assert answer == {"outcome": "error", "request_id": None, "created": False}
    (event,) = theirs.db.sql("select error from dispatch.stripe_events")
    assert (
        "refused by the marketplace: 23000 a trigger gave the booking another id"
        in (event["error"])
    )
    customer = theirs.db.connect(theirs.customer)
    with refused("PT409", "booking_refused"):
        rpc(customer, "request_free_session", plan_code="free")
    assert theirs.db.sql("select id from session_requests") == []
    # Their own booking is theirs to number.
    assert theirs.db.log(theirs.book()) == ["priority_request"]
    theirs.db.sql("drop trigger renumber on session_requests")
    answer = theirs.db.value("select dispatch.replay_stripe_event(%s)", booking["id"])
    assert answer["created"] is True


def test_a_queue_of_theirs_can_leave_out_what_is_reserved(theirs: Theirs) -> None:
    """Past the policies the oldest may be reserved; then an UPDATE for another finds no row."""
    reserved, free = theirs.book(), theirs.book(preferred_mechanic_id=None)
    theirs.db.sql(
        "update session_requests set created_at = created_at - interval '1 h' where id = %s",
        reserved,
    )
    take = (
        "update session_requests set status = 'accepted', mechanic_id = %s where id = ("
        "select id from session_requests where status = 'pending' {} order by created_at"
        " for update skip locked limit 1) returning id::text"
    )
    assert rows(theirs.backend, take.format(""), theirs.other.assigned) == []
    unreserved = take.format("and not dispatch.is_reserved_for_another(id)")
    assert rows(theirs.backend, unreserved, theirs.other.assigned) == [{"id": free}]


def test_verify_passes(theirs: Theirs) -> None:
    run_psql(theirs.db.dsn(), "-f", str(ROOT / "sql/favorites_priority/verify.sql"))


# Of each kind one that forgets a word.
FORGETTING = {
    "enums": "alter type booking_state rename value 'completed' to 'done'",
    "grown": "delete from request_states where word = 'completed'",
    "camel_case": "alter domain request_state add check (value <> 'completed')",
}


def test_verify_says_which_word_of_a_status_is_gone(theirs: Theirs) -> None:
    forgetting = FORGETTING.get(
        theirs.shape.name,
        "alter table session_requests add constraint reworded check (status <> 'completed')",
    )
    theirs.db.sql(forgetting)
    with pytest.raises(RuntimeError, match="verify failed: words of a status"):
        run_psql(theirs.db.dsn(), "-f", str(ROOT / "sql/favorites_priority/verify.sql"))


def test_a_refund_that_they_refuse_is_in_error_until_it_is_replayed(theirs: Theirs) -> None:
    booking = checkout(theirs.customer, theirs.favourite.id, plan="chat10", payment="pi_1")
    request = rpc(theirs.backend, "process_stripe_event", event=booking)["request_id"]
    theirs.db.sql(
        "create function refuse() returns trigger language plpgsql as 'begin return null; end';"
        " create trigger refuse before update on session_requests"
        " for each row execute function refuse()"
    )
    event = refund("pi_1")
    answer = rpc(theirs.backend, "process_stripe_event", event=event)
    assert answer == {"outcome": "error", "request_id": None, "created": False}
    assert theirs.db.log(request) == ["priority_request"]
    theirs.db.sql("drop trigger refuse on session_requests")
    answer = theirs.db.value("select dispatch.replay_stripe_event(%s)", event["id"])
    assert answer == {"outcome": "refunded", "request_id": request, "created": False}
    assert theirs.db.log(request) == ["priority_request", "request_cancelled:refunded"]


def test_the_time_in_a_notice_is_not_by_the_writer_s_clock(theirs: Theirs) -> None:
    """Their column may have no time zone: it is UTC's, wherever the writer is."""
    theirs.backend.execute("set timezone = 'America/New_York'")
    event = checkout(theirs.customer, str(uuid.uuid4()), plan="chat10")
    request = rpc(theirs.backend, "process_stripe_event", event=event)["request_id"]
    (skipped,) = theirs.db.events(request)
    query = "select (dispatch.as_request(r)).created_at from session_requests as r"
    assert datetime.fromisoformat(skipped["payload"]["created_at"]) == theirs.db.value(query)


def test_whose_refund_is_due_and_who_waits_in_vain(theirs: Theirs) -> None:
    event = checkout(theirs.customer, theirs.favourite.id, plan="chat10", payment="pi_1")
    event["data"]["object"] |= {"amount_total": 1, "currency": "usd"}
    request = rpc(theirs.backend, "process_stripe_event", event=event)["request_id"]
    owed = "select reason, payment_intent from dispatch.unsettled_requests()"
    unwell = "select check_name from dispatch.payment_checks() where not ok order by 1"
    (priced,) = theirs.db.sql(unwell)
    assert priced["check_name"] == "payments_as_priced"
    theirs.db.sql("update dispatch.stripe_events set error = null")

    rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    customer = theirs.db.connect(theirs.customer)
    asked = {"checkout_session_id": event["data"]["object"]["id"]}
    assert rpc(customer, "get_session_request_by_checkout", **asked)["id"] == request
    assert rpc(customer, "get_checkout_status", **asked) == "booked"
    other = theirs.as_(theirs.other)
    assert rpc(other, "get_session_request_by_checkout", **asked) is None
    with refused("PT409", "request_not_pending"):
        rpc(customer, "cancel_session_request", request_id=request)
    assert theirs.db.sql(owed) == []

    mine = {"request_ids": f"{{{request}}}"}
    (payment,) = rpc(customer, "list_session_request_payments", **mine)
    assert payment == {
        "request_id": request,
        "status": "paid",
        "amount_total": 1,
        "currency": "usd",
    }
    assert rpc(other, "list_session_request_payments", **mine) == []
    theirs.gone(theirs.favourite)
    assert theirs.db.sql(owed) == [{"reason": "mechanic_gone", "payment_intent": "pi_1"}]
    rpc(customer, "cancel_session_request", request_id=request)
    (payment,) = rpc(customer, "list_session_request_payments", **mine)
    assert payment["status"] == "refund_due"
    assert theirs.db.log(request)[-1] == "request_cancelled:cancelled"
    assert theirs.db.sql(owed) == [{"reason": "cancelled", "payment_intent": "pi_1"}]

    failed = stripe_event("refund.failed", id="re_1", payment_intent="pi_1", status="failed")
    for sent, left in ((refund("pi_1"), []), (failed, ["refund_failed"]), (refund("pi_1"), [])):
        rpc(theirs.backend, "process_stripe_event", event=sent)
        assert [row["reason"] for row in theirs.db.sql(owed)] == left
    assert theirs.db.sql(unwell) == []


@pytest.mark.parametrize("is_paid_first", [True, False])
def test_a_refund_is_known_as_long_as_its_payment_is(theirs: Theirs, is_paid_first: bool) -> None:
    """The payment's event stays: another sum was paid. Or it goes a day later: it came later."""
    event = checkout(theirs.customer, theirs.favourite.id, plan="chat10", payment="pi_1")
    event["data"]["object"] |= {"amount_total": 1, "currency": "usd"}
    for sent in (event, refund("pi_1")) if is_paid_first else (refund("pi_1"), event):
        rpc(theirs.backend, "process_stripe_event", event=sent)
    theirs.db.sql(
        "update dispatch.stripe_events set received_at = now() - interval '181 days'"
        " where type = 'charge.refunded' or %s",
        is_paid_first,
    )
    prune = "select dispatch.prune_stripe_events('180 days')"
    theirs.db.value(prune)
    assert theirs.db.sql("select * from dispatch.unsettled_requests()") == []
    theirs.db.sql(
        "update dispatch.stripe_events set error = null, received_at = now() - interval '181 days'"
    )
    assert [theirs.db.value(prune) for _ in range(3)][-1] == 0
    assert theirs.db.sql("select id from dispatch.stripe_events") == []


@pytest.mark.parametrize("gone", ["auth.users where id = %(customer)s", "session_requests"])
@pytest.mark.parametrize("ending", ["pending", "given back", "cancelled", "accepted"])
def test_what_is_deleted_before_an_accept_has_a_refund_due(
    theirs: Theirs, ending: str, gone: str
) -> None:
    event = checkout(theirs.customer, theirs.favourite.id, plan="chat10", payment="pi_1")
    request = rpc(theirs.backend, "process_stripe_event", event=event)["request_id"]
    if ending == "cancelled":
        theirs.update(request, "status = 'cancelled'")
    elif ending != "pending":
        theirs.accept(theirs.favourite, request)
        if ending == "given back":
            favourite = theirs.as_(theirs.favourite)
            rpc(favourite, "release_session_request", request_id=request)
    theirs.db.owner.execute(f"delete from {gone}".encode(), {"customer": theirs.customer})
    assert theirs.db.sql("select id from session_requests where id = %s", request) == []
    # As the job does, and long after.
    theirs.db.sql("update dispatch.request_events set created_at = now() - interval '91 days'")
    theirs.db.sql("update dispatch.request_events set delivered_at = now()")
    theirs.db.sql(
        "select dispatch.prune_events('90 days'), dispatch.prune_stripe_events('180 days')"
    )
    owed = "select reason, payment_intent from dispatch.unsettled_requests()"
    due = {"reason": "request_gone", "payment_intent": "pi_1"}
    # What comes after an accept is theirs alone.
    assert theirs.db.sql(owed) == ([] if ending == "accepted" else [due])
    rpc(theirs.backend, "process_stripe_event", event=refund("pi_1"))
    assert theirs.db.sql(owed) == []


def test_a_free_booking_that_their_table_refuses_shows_no_row(theirs: Theirs) -> None:
    customer = theirs.db.connect(theirs.customer)
    for refuse in ("add vin text not null", "add constraint no check (false) not valid"):
        theirs.db.sql(f"alter table session_requests {refuse}")
        with refused("PT409", "booking_refused"):
            rpc(customer, "request_free_session", plan_code="free")
        theirs.db.sql("alter table session_requests drop column if exists vin")
    assert theirs.db.sql("select id from session_requests") == []


def test_metadata_that_asks_for_too_much_books_all_the_same(theirs: Theirs) -> None:
    wishes = {
        "nobody": ("priority_skipped:unknown_mechanic", {}),
        theirs.favourite.id: (
            "priority_request:invalid_window",
            {"priority_window_minutes": "a week"},
        ),
        theirs.other.id: ("priority_skipped:offline", {"skip_if_offline": "true"}),
    }
    theirs.db.sql(
        "insert into dispatch.presence values (%s, false, now())"
        " on conflict (mechanic_id) do update set is_online = false",
        theirs.other.id,
    )
    for preferred, (logged, metadata) in wishes.items():
        event = checkout(theirs.customer, preferred, plan="chat10", **metadata)
        booked = rpc(theirs.backend, "process_stripe_event", event=event)
        assert theirs.db.log(booked["request_id"]) == [logged]


def test_what_their_table_refuses_stays_in_the_ledger(theirs: Theirs) -> None:
    theirs.db.sql("alter table session_requests add vin text not null")
    event = checkout(theirs.customer, theirs.favourite.id, plan="chat10")
    assert rpc(theirs.backend, "process_stripe_event", event=event)["outcome"] == "error"
    (entry,) = theirs.db.sql("select * from dispatch.stripe_events")
    assert "23502" in entry["error"] and entry["request_id"] is None
    assert theirs.db.events() == []
    theirs.db.sql("alter table session_requests alter vin drop not null")
    replayed = theirs.db.value("select dispatch.replay_stripe_event(%s)", event["id"])
    assert replayed["outcome"] == "request_created"


def test_what_their_table_refuses_at_the_commit_is_refused_before(theirs: Theirs) -> None:
    """By a constraint trigger, or a foreign key, that is deferred: it would take all along."""
    db, customer, favourite = theirs.db, theirs.db.connect(theirs.customer), theirs.favourite
    paid = checkout(theirs.customer, favourite.id, plan="chat10", payment="pi_1")
    request = rpc(theirs.backend, "process_stripe_event", event=paid)["request_id"]
    refuse = (
        "create constraint trigger refuse after insert or update on session_requests"
        " deferrable initially deferred for each row execute function refuse()"
    )
    db.sql(
        "create function refuse() returns trigger language plpgsql"
        " as $$ begin raise exception 'of %', new.customer_id; end $$"
    )
    db.sql(refuse)
    late = checkout(theirs.customer, favourite.id, plan="chat10")
    for event in (late, refund("pi_1")):
        assert rpc(theirs.backend, "process_stripe_event", event=event)["outcome"] == "error"
        entry = db.sql("select error from dispatch.stripe_events where id = %s", event["id"])
        assert f"P0001 of {theirs.customer}" in entry[0]["error"]
        # A session with tables of its own is no other.
        theirs.backend.execute("create temporary table if not exists mine ()")
    with refused("PT409", "booking_refused"):
        rpc(customer, "request_free_session", plan_code="free")
    with refused("PT409", "request_not_pending"):
        rpc(theirs.as_(favourite), "accept_session_request", request_id=request)
    with refused("PT409", "request_not_pending"):
        rpc(customer, "cancel_session_request", request_id=request)
    db.sql("drop trigger refuse on session_requests")
    assert rpc(theirs.as_(favourite), "accept_session_request", request_id=request)
    db.sql(refuse)
    for call in ("complete_session_request", "release_session_request"):
        with refused("PT409", "request_not_pending"):
            rpc(theirs.as_(favourite), call, request_id=request)
    assert db.log(request) == ["priority_request", "request_accepted"]


def test_what_another_role_defers_is_not_run_as_the_owner(theirs: Theirs) -> None:
    """Of whoever may make a table somewhere: what is asked is what waits on the owner's tables."""
    theirs.db.sql(
        "create schema mine; grant usage, create on schema mine to authenticated;"
        "create table ran (as_role text); grant insert on ran to public"
    )
    # Nor if it has the name of what is asked.
    theirs.db.sql("create table mine.owners (id integer constraint run unique deferrable)")
    mechanic = theirs.as_(theirs.favourite)
    mechanic.execute(
        "create table mine.own ();"
        "create function mine.run() returns trigger language plpgsql"
        " as $$ begin insert into public.ran values (current_user); return null; end $$;"
        "create constraint trigger run after insert on mine.own deferrable initially deferred"
        " for each row execute function mine.run()"
    )
    request = theirs.book()
    with mechanic.transaction():
        mechanic.execute("insert into mine.own default values")
        rpc(mechanic, "accept_session_request", request_id=request)
    assert theirs.db.value("select array_agg(as_role) from ran") == ["authenticated"]


def test_what_waits_is_asked_where_the_tables_are_a_groups(theirs: Theirs) -> None:
    """Of which whoever installed is a member."""
    superuser = theirs.db.superuser()
    superuser.execute("create role their_group; grant their_group to postgres")
    try:
        superuser.execute(
            "grant all on schema public to their_group;"
            "alter table session_requests owner to their_group;"
            "create function refuse() returns trigger language plpgsql"
            " as $$ begin raise exception 'of %', new.customer_id; end $$"
        )
        request, other = theirs.book(), theirs.book()
        superuser.execute(
            "create constraint trigger refuse after insert or update on session_requests"
            " deferrable initially deferred for each row execute function refuse()"
        )
        event = checkout(theirs.customer, theirs.favourite.id, plan="chat10")
        assert rpc(theirs.backend, "process_stripe_event", event=event)["outcome"] == "error"
        with refused("PT409", "request_not_pending"):
            rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
        theirs.sweep(11)
        assert theirs.db.log(other)[:2] == ["priority_request", "new_request:window_ended"]
    finally:
        superuser.execute("reassign owned by their_group to postgres; drop owned by their_group")
        superuser.execute("drop role their_group")


def test_an_owner_whose_name_wants_quotes(theirs: Theirs) -> None:
    """Whose deferred triggers are asked as anybody's."""
    superuser = theirs.db.superuser()
    superuser.execute(
        'create role "Their-Owner";'
        'grant usage on schema dispatch to "Their-Owner";'
        "grant execute on function dispatch.ask_deferred(), dispatch.governs_all()"
        ' to "Their-Owner";'
        'create schema own authorization "Their-Owner";'
        # What stands where its owner may not look is not asked.
        "create schema hidden; create table hidden.rows (id integer primary key deferrable);"
        'alter table hidden.rows owner to "Their-Owner"'
    )
    try:
        superuser.execute(
            'set role "Their-Owner";'
            "create table own.rows ();"
            "create function own.refuse() returns trigger language plpgsql"
            " as $$ begin raise exception using errcode = 'P0042', message = 'no'; end $$;"
            "create constraint trigger refuse after insert on own.rows"
            " deferrable initially deferred for each row execute function own.refuse()"
        )
        with refused("P0042"), superuser.transaction():
            superuser.execute("insert into own.rows default values")
            superuser.execute("select dispatch.ask_deferred()")
            raise AssertionError("not asked")
    finally:
        superuser.execute("reset role")
        superuser.execute('drop owned by "Their-Owner" cascade; drop role "Their-Owner"')


def test_what_their_table_asks_at_the_commit_is_asked_of_each_row_alone(theirs: Theirs) -> None:
    """Not of all that one sweep has moved on already, for each that follows."""
    theirs.db.sql(
        "create sequence asked;"
        "create function ask() returns trigger language plpgsql security definer"
        " as $$ begin perform nextval('asked'); return null; end $$;"
        "create constraint trigger ask after update on session_requests"
        " deferrable initially deferred for each row execute function ask()"
    )
    requests = [theirs.book() for _ in range(20)]
    assert theirs.sweep(11) == len(requests)
    assert theirs.db.value("select last_value from asked") <= 2 * len(requests)


def test_the_customers_and_the_mechanics_calls(theirs: Theirs) -> None:
    customer, favourite = theirs.db.connect(theirs.customer), theirs.favourite
    given = {"customer": theirs.customer, "id": favourite.id, "user": favourite.user}
    theirs.db.owner.execute(theirs.shape.favourite.encode(), given)
    assert rpc(theirs.as_(favourite), "set_presence", status="online")["is_online"] is True
    status = rpc(customer, "get_mechanic_status", mechanic_id=favourite.id)
    assert status["is_online"] is True and status["last_seen"]
    (listed,) = rpc(customer, "list_favorite_mechanics")
    assert listed["mechanic_id"] == favourite.id and listed["is_online"]
    assert rpc(theirs.as_(favourite), "set_presence", status="busy")["is_online"] is False

    wish = {"preferred_mechanic_id": favourite.id, "routing_type": "priority_broadcast"}
    ready = rpc(customer, "prepare_checkout", plan_code="chat10", **wish)
    assert ready["plan"]["price_cents"] == 999
    assert ready["metadata"]["session_type"] == "chat"
    assert ready["banner"] and all(isinstance(text, str) for text in ready["metadata"].values())
    attempt = wish | {"plan_code": "free", "notes": "squeaks", "attempt": str(uuid.uuid4())}
    free = rpc(customer, "request_free_session", **attempt)
    assert rpc(customer, "request_free_session", **attempt) == free
    assert free.get("notes", "squeaks") == "squeaks"
    assert theirs.listed(favourite) == [free["id"]]
    (first,) = rpc(customer, "get_session_request_timeline", request_id=free["id"])
    assert first["event"] == "priority_request"
    assert rpc(customer, "cancel_session_request", request_id=free["id"])["status"] == "cancelled"
    events = rpc(theirs.as_(favourite), "list_session_request_events")
    assert [event["event"] for event in events] == ["priority_request", "request_cancelled"]
    recipients = theirs.db.sql("select * from dispatch.choose_recipients(%s)", theirs.book())
    assert [str(each["mechanic_id"]) for each in recipients] == [favourite.id]


def test_what_one_s_booking_meets_books_for_nobody_else(theirs: Theirs) -> None:
    """A trigger of theirs reads a text that is no number, as an id that is none is no uuid."""
    theirs.db.sql(
        "create function no_number() returns trigger language plpgsql"
        " as $$ begin perform 'x'::integer; return new; end $$"
    )
    theirs.db.sql(
        "create trigger no_number before insert on session_requests for each row"
        f" when (new.customer_id = '{theirs.customer}') execute function no_number()"
    )
    event = checkout(theirs.customer, plan="chat10", reference=theirs.db.make_customer())
    answer = rpc(theirs.backend, "process_stripe_event", event=event)
    assert (answer["outcome"], answer["request_id"]) == ("error", None)
    assert "22P02" in theirs.db.value("select error from dispatch.stripe_events")
    assert not theirs.db.sql("select from session_requests")
    theirs.db.sql("drop function no_number() cascade")
    assert rpc(theirs.backend, "process_stripe_event", event=event)["created"]


def test_what_is_hidden_from_the_owner_is_not_gone(theirs: Theirs) -> None:
    """A table of theirs whose security is forced hides its rows from its owner, too."""
    request = theirs.book()
    superuser = theirs.db.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute("alter role postgres nobypassrls")
        superuser.execute("alter table session_requests force row level security")
        superuser.execute("set local role postgres")
        assert value(superuser, "select dispatch.prune_windows('90 days')") == 0
        superuser.execute("reset role")
        (window,) = rows(superuser, "select request_id from dispatch.windows")
    assert str(window["request_id"]) == request


def test_where_their_security_binds_the_owner_too(theirs: Theirs) -> None:
    """It is forced, and a policy shows the owner all: ours must not be asked by itself."""
    superuser = theirs.db.superuser()
    with superuser.transaction(force_rollback=True):
        superuser.execute("alter role postgres nobypassrls")
        for table in ("session_requests", "mechanics"):
            superuser.execute(f"alter table {table} force row level security".encode())
            superuser.execute(f"create policy owners on {table} to postgres using (true)".encode())
        superuser.execute("create policy owners on auth.users to postgres using (true)")
        become(superuser, None, "service_role")
        first, second = theirs.book(superuser), theirs.book(superuser)
        listed = "select count(*) from session_requests where status = 'pending'"
        become(superuser, theirs.other.user)
        assert value(superuser, listed) == 0
        become(superuser, theirs.favourite.user)
        assert rpc(superuser, "accept_session_request", request_id=first)["status"] == "accepted"
        become(superuser, None, "postgres")
        assert value(superuser, "select dispatch.sweep(1000, now() + interval '11 minutes')") == 1
        superuser.execute("reset role")
        logged = rows(superuser, "select event, request_id::text from dispatch.request_events")
    assert [
        (row["event"], row["request_id"]) for row in logged if row["event"] != "priority_request"
    ] == [
        ("request_accepted", first),
        ("new_request", second),
    ]


def test_columns_of_theirs_may_have_the_names_of_our_variables(theirs: Theirs) -> None:
    """As p_id has; each that is there, so that no function reads theirs for its own."""
    names = theirs.db.sql(
        "select distinct found[1] as name from pg_proc as p cross join"
        " regexp_matches(p.prosrc, '\\m[pv]_[a-z_]+\\M', 'g') as m (found)"
        " where p.pronamespace = 'dispatch'::regnamespace order by 1"
    )
    assert len(names) > 100
    columns = ", ".join(f"add {row['name']} text" for row in names)
    for table in ("session_requests", "mechanics"):
        theirs.db.sql(f"alter table {table} {columns}")
    customer, favourite = theirs.db.connect(theirs.customer), theirs.favourite

    request = theirs.book()
    assert theirs.listed(favourite) == [request] and theirs.listed(theirs.other) == []
    rpc(theirs.as_(favourite), "decline_session_request", request_id=request)
    assert theirs.listed(theirs.other) == [request]
    assert rpc(theirs.as_(theirs.other), "accept_session_request", request_id=request)
    assert rpc(theirs.as_(theirs.other), "accept_session_request", request_id=request)
    assert rpc(theirs.as_(theirs.other), "release_session_request", request_id=request)
    request = theirs.book()
    assert rpc(theirs.as_(favourite), "accept_session_request", request_id=request)
    assert rpc(theirs.as_(favourite), "complete_session_request", request_id=request)
    assert rpc(customer, "broadcast_session_request_now", request_id=theirs.book())
    assert rpc(customer, "cancel_session_request", request_id=theirs.book())
    assert rpc(customer, "request_free_session", plan_code="free")["id"]
    event = checkout(theirs.customer, favourite.id, session="cs_1", payment="pi_1", plan="chat10")
    paid = rpc(theirs.backend, "process_stripe_event", event=event)["request_id"]
    by_checkout = "get_session_request_by_checkout"
    assert rpc(customer, by_checkout, checkout_session_id="cs_1")["id"] == paid
    assert rpc(theirs.backend, "process_stripe_event", event=refund("pi_1"))["request_id"] == paid
    theirs.book()
    assert theirs.sweep(11)
    theirs.db.sql("select dispatch.prune_windows('0 days'), dispatch.unsettled_requests()")
    theirs.db.sql("select dispatch.scrub_stripe_events('180 days')")
    theirs.db.sql("select * from dispatch.choose_recipients(%s)", theirs.book())

    # What reads these tables says that its variables come first.
    told = theirs.db.sql(
        "select p.proname from pg_proc as p"
        " where p.pronamespace = 'dispatch'::regnamespace"
        " and p.prosrc ~ '(from|join|update|into) public\\.(session_requests|mechanics)'"
        " and p.prosrc !~ '^\\s*#variable_conflict '"
        " and p.proname not in ('bind_requests', 'request_columns')"
    )
    assert told == []


def test_a_request_without_a_favourite_is_not_the_engines(theirs: Theirs) -> None:
    plain = theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
    assert theirs.listed(theirs.favourite) == []
    for caller, call in (
        (theirs.other.user, "accept_session_request"),
        (theirs.customer, "cancel_session_request"),
    ):
        (error,) = at_once(
            lambda caller=caller, call=call: rpc(  # type: ignore[misc]
                theirs.db.connect(caller), call, request_id=plain
            )
        )
        assert error.diag.message_detail == "request_not_found"
    assert theirs.db.events() == []


def test_the_loop_writes_nothing_of_theirs(theirs: Theirs) -> None:
    theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
    written = "select xmin::text, ctid::text from session_requests union all table pg_temp.m"
    theirs.db.sql("create temp view m as select xmin::text, ctid::text from public.mechanics")
    before = theirs.db.sql(written)
    assert theirs.sweep(24 * 60) == 0
    theirs.db.sql("select * from dispatch.sweep_round(now())")
    later = "now() + interval '1 day'"
    assert theirs.db.value(f"select dispatch.mark_silent_mechanics_offline(1000, {later})") == 0
    assert theirs.db.sql(written) == before
    assert theirs.db.sql("select * from dispatch.presence") == []


REFUSE_EXPIRY = """
    create function refuse() returns trigger language plpgsql
    as $$ begin raise exception 'no'; end $$;
    create trigger refuse before update of expires_at on session_requests
    for each row execute function refuse()
"""


def test_a_trigger_of_theirs_that_raises_does_not_hold_up_the_broadcast(theirs: Theirs) -> None:
    if theirs.shape.lives is None:
        pytest.skip("its expiry is not moved")
    request = theirs.book()
    theirs.db.sql(REFUSE_EXPIRY)
    assert theirs.sweep(10) == 1
    assert theirs.db.log(request) == ["priority_request", "new_request:window_ended"]


def test_a_suspension_and_an_accept_at_once_do_not_wait_for_each_other(theirs: Theirs) -> None:
    """Both lock the request before its window."""
    request, favourite = theirs.book(), theirs.favourite
    taker, boss = theirs.db.connect(role="service_role"), theirs.db.open()
    with ThreadPoolExecutor() as pool:
        with taker.transaction():
            rows(taker, "select from session_requests where id = %s for update", request)
            suspension = pool.submit(boss.execute, theirs.shape.suspend.encode(), (favourite.id,))
            theirs.db.wait_until_blocked(boss)
            assert theirs.accept(favourite, request, taker)
        suspension.result()
    assert theirs.db.log(request) == ["priority_request", "request_accepted"]


def test_of_theirs_an_answer_waits_for_no_other_favourite(theirs: Theirs) -> None:
    """Who is being suspended may wait for what the other holds."""
    second = theirs.mechanic()
    request = book_chain(theirs, theirs.favourite.id, second.id)
    owner, favourite = theirs.db.superuser(), theirs.as_(theirs.favourite)
    favourite.execute("set lock_timeout = '5s'")
    with owner.transaction():
        owner.execute(theirs.shape.suspend.encode(), (second.id,))
        rpc(favourite, "decline_session_request", request_id=request)
    theirs.db.sql("select dispatch.follow_sessions()")
    assert theirs.db.log(request)[1:] == [
        "request_declined",
        "priority_request:declined",
        "new_request:mechanic_gone",
    ]


def test_of_theirs_two_who_come_after_each_other_go_at_once(theirs: Theirs) -> None:
    """Each holds their own row, and their request comes to the other next."""
    people = [theirs.favourite, theirs.mechanic()]
    requests = [book_chain(theirs, *(m.id for m in each)) for each in (people, people[::-1])]
    leavers = [theirs.db.superuser() for _ in people]
    with ThreadPoolExecutor() as pool:
        with theirs.backend.transaction():
            query = "select from session_requests where id = any(%s::uuid[]) for update"
            rows(theirs.backend, query, requests)
            gone = [
                pool.submit(each.execute, theirs.shape.suspend.encode(), (person.id,))
                for each, person in zip(leavers, people, strict=True)
            ]
            theirs.db.wait_until_blocked(*leavers)
        for each in gone:
            each.result()
    theirs.db.sql("select dispatch.follow_sessions()")
    for request in requests:
        assert theirs.db.log(request)[-1] == "new_request:mechanic_gone"


def test_topics_of_these_names_are_theirs_while_the_flag_is_off(theirs: Theirs) -> None:
    db, topic = theirs.db, f"customer:{theirs.customer}"
    db.superuser().execute("create policy theirs on realtime.messages for all using (true)")
    stranger = theirs.as_(theirs.other)
    query = (
        "insert into realtime.messages (topic, extension, event, private)"
        " values (%s, 'broadcast', 'theirs', true)"
    )
    with refused("42501"):
        stranger.execute(query.encode(), (topic,))
    db.sql("select dispatch.set_favorites_priority(false)")
    stranger.execute(query.encode(), (topic,))


def test_it_leaves_no_trace(theirs: Theirs) -> None:
    """Down, with rows of all kinds in the tables."""
    columns = "preferred_mechanic_id", "priority_window_minutes", "priority_notified_at"
    theirs.accept(theirs.favourite, theirs.book())
    theirs.book()
    theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
    expired = [] if theirs.shape.lives is None else ["expires_at"]
    query = "select (to_jsonb(r) - %s::text[])::text as row from session_requests as r order by id"
    before = theirs.db.sql(query, [*columns, *expired])
    with Database(theirs.db.cluster, theirs.db.name) as db:
        install(db.dsn(), DOWN, ENGINE_DOWN)
        assert db.sql(query, [*columns, *expired]) == before
        assert "dispatch" not in dump(db)


FLOWS = ROOT / "examples/marketplaces/garage"


def garage_flows() -> list[str]:
    text = re.sub(r"(?m)^--.*$", "", (FLOWS / "flows.sql").read_text())
    return [each.strip() for each in text.split(";\n") if each.strip()]


def answers(db: Database, statements: list[str]) -> list[Any]:
    """Each statement's answer, ids that were drawn aside; then the rows, times as ages."""
    backend = db.connect(role="service_role")
    found: list[Any] = []
    for statement in statements:
        db.owner.execute("select 1")
        connection = db.owner if "auth.users" in statement else backend
        found.append([row for row in rows(connection, statement) if "id" not in row])
    found.append(
        db.sql(
            "select status, session_type, routing_type, mechanic_id, accepted_at is null as a,"
            " expires_at - created_at as lives from session_requests order by 1, 2, 3, 4, 5, 6"
        )
    )
    return found


def test_each_flow_of_the_garage_answers_as_before(cluster: Cluster) -> None:
    *flows, booking = garage_flows()
    found = {}
    for state in ("before", "off", "on"):
        with fresh_database(cluster, "template1") as db:
            db.sql((FLOWS / "schema.sql").read_text())
            if state != "before":
                install_on_theirs(db.dsn())
                db.sql("select dispatch.set_favorites_priority(%s)", state == "on")
            feed = listen(db, "session_requests_feed")
            found[state] = answers(db, flows)
            assert heard_nothing(feed)
            if state != "before":
                assert db.sql("select * from dispatch.request_events") == []
                assert db.sql("select * from dispatch.windows") == []
                assert db.sweep() == 0
                rows(db.connect(role="service_role"), booking)
                assert len(db.events()) == (state == "on")
    assert found["off"] == found["before"] and found["on"] == found["before"]


NARROW = {
    # Theirs name the policy that showed requests to each mechanic.
    "permissive": "drop policy mechanics_read_what_is_pending on session_requests;"
    " create policy shops on session_requests for select to authenticated using (status = 'pending'"
    " and shop in (select s.shop from staff as s where s.user_id = auth.uid()))",
    "restrictive": "create policy shops on session_requests as restrictive for select using"
    " (customer_id = auth.uid() or mechanic_id = auth.uid() or works_for(shop))",
    "update": "drop policy mechanics_take_what_is_pending on session_requests;"
    " create policy shops on session_requests for update to authenticated"
    " using (status = 'pending' and works_for(shop)) with check (mechanic_id = auth.uid())",
    "all": "drop policy mechanics_read_what_is_pending on session_requests;"
    " create policy shops on session_requests for all to authenticated using (works_for(shop))",
}


@pytest.mark.parametrize("policy", further_but(["permissive", "update"], NARROW))
def test_what_their_policies_show_to_some_mechanics_alone(cluster: Cluster, policy: str) -> None:
    garage = SHAPES[0]
    with fresh_database(cluster, "template1") as db:
        db.sql(garage.schema())
        db.sql(garage.plans)
        db.sql("create table staff (user_id uuid, shop text)")
        db.sql("grant select on staff to authenticated")
        # As most do it: no schema is named.
        db.sql(
            "create function works_for(shop text) returns boolean language plpgsql stable as $$"
            " begin return exists (select from staff as s where s.user_id = auth.uid()"
            " and s.shop = works_for.shop); end $$"
        )
        db.sql("alter table session_requests add shop text")
        db.sql(policy)
        install_on_theirs(db.dsn())
        db.sql("select dispatch.set_favorites_priority(true)")
        theirs = Theirs(db, garage)
        staff = theirs.mechanic()
        db.sql("insert into staff values (%s, 'north')", staff.user)
        request = theirs.book(shop="north")

        def recipients(minutes: int) -> set[str]:
            chosen = db.sql(
                "select mechanic_id from dispatch.choose_recipients("
                "%s, null, now() + make_interval(mins => %s))",
                request,
                minutes,
            )
            return {str(row["mechanic_id"]) for row in chosen}

        # The customer's favourite is theirs whatever the policies say of them.
        assert theirs.listed(theirs.favourite) == [request] and theirs.listed(staff) == []
        assert recipients(0) == {theirs.favourite.id} and recipients(11) == {staff.id}
        other = theirs.book(shop="north")
        assert rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=other)

        assert theirs.sweep(11) == 1
        assert recipients(0) == {staff.id}
        for outsider in (theirs.favourite, theirs.other):
            assert theirs.listed(outsider) == []
            for function in ("accept_session_request", "decline_session_request"):
                with refused("PT404", "request_not_found"):
                    rpc(theirs.as_(outsider), function, request_id=request)
        explained = db.sql("select * from dispatch.explain_routing(%s)", request)
        assert {str(row["mechanic_id"]) for row in explained if row["may_accept"]} == {staff.id}
        assert {row["why"] for row in explained if "not open to this one" not in row["why"]} == {
            next(row["why"] for row in explained if str(row["mechanic_id"]) == staff.id)
        }
        # Who asks for others has claims of their own, which stay.
        asking = theirs.as_(theirs.other)
        assert str(value(asking, "select auth.uid()")) == theirs.other.user
        assert theirs.listed(staff) == [request]
        assert rpc(theirs.as_(staff), "accept_session_request", request_id=request)
        with refused("PT409", "request_taken"):
            rpc(theirs.as_(theirs.other), "accept_session_request", request_id=request)

        # Where the rule fails nobody is shown anything; verify says why.
        request = theirs.book(shop="north")
        assert theirs.sweep(11) == 1
        assert theirs.listed(staff) == [request]
        db.sql("alter table session_requests rename shop to workshop")
        assert theirs.listed(staff) == []
        with pytest.raises(RuntimeError, match="verify failed: columns of session_requests"):
            run_psql(db.dsn(), "-f", str(ROOT / "sql/favorites_priority/verify.sql"))
        # A binding of before has no such rule, and is one.
        db.sql("drop function dispatch.open_to()")
        install(db.dsn(), ENGINE)
        assert set(theirs.listed(theirs.other)) == {request}


def test_what_a_policy_reads_of_a_token_their_account_says(cluster: Cluster) -> None:
    """For whoever is not the caller, as a push is addressed to them."""
    garage = SHAPES[0]
    with fresh_database(cluster, "template1") as db:
        db.sql(garage.schema())
        db.sql(garage.plans)
        db.sql(
            "alter table session_requests add shop text, alter accepted_at type timestamp;"
            "drop policy mechanics_read_what_is_pending on session_requests;"
            "create policy shops on session_requests for select using (status = 'pending'"
            " and shop = auth.jwt() -> 'app_metadata' ->> 'shop' and auth.email() like '%@shop'"
            " and auth.role() = 'authenticated');"
            "create policy mfa on session_requests as restrictive to authenticated"
            " using (auth.jwt() ->> 'aal' = 'aal2')"
        )
        install_on_theirs(db.dsn())
        db.sql("select dispatch.set_favorites_priority(true)")
        theirs = Theirs(db, garage)
        staff = theirs.mechanic()
        db.sql(
            """update auth.users set email = 'mia@shop', raw_app_meta_data = '{"shop": "north"}'"""
            " where id = %s",
            staff.user,
        )
        request = theirs.book(shop="north")
        assert theirs.sweep(11) == 1
        query = "select mechanic_id::text from dispatch.choose_recipients(%s)"
        assert rows(db.owner, query, request) == [{"mechanic_id": staff.id}]
        # Whoever asks may be anybody, in the older form too, and stays so.
        claimed = {"claims": "none", "claim": "{}", "claim.sub": "f", "claim.role": "service_role"}
        with db.owner.transaction():
            for name, text in claimed.items():
                value(db.owner, "select set_config(%s, %s, true)", f"request.jwt.{name}", text)
            assert rows(db.owner, query, request) == [{"mechanic_id": staff.id}]
            for name, text in claimed.items():
                assert value(db.owner, "select current_setting(%s)", f"request.jwt.{name}") == text
        claims: dict[str, Any] = {"app_metadata": {"shop": "north"}, "email": "mia@shop"}
        without, with_both = (db.connect(staff.user, aal=aal, **claims) for aal in ("aal1", "aal2"))
        assert rpc(without, "list_open_session_requests") == []
        (listed,) = rpc(with_both, "list_open_session_requests")
        assert listed["request_id"] == request
        # A time without a zone is UTC's, wherever it is written.
        with_both.execute("set timezone = 'Asia/Tokyo'")
        assert rpc(with_both, "accept_session_request", request_id=request)
        lately = "select now() at time zone 'UTC' - accepted_at < '1 minute' from session_requests"
        assert db.value(lately)
        assert rpc(with_both, "release_session_request", request_id=request)
        assert db.value("select accepted_at is null from session_requests")


def test_an_event_trigger_that_names_no_schema(cluster: Cluster) -> None:
    """As most are written: what the engine's own settings make anew is logged as anything else."""
    garage = SHAPES[0]
    with fresh_database(cluster, "template1") as db:
        db.sql(garage.schema())
        db.superuser().execute(
            "create table made (what text); create function note_made() returns event_trigger"
            " language plpgsql security definer as $$ begin insert into made"
            " select object_identity from pg_event_trigger_ddl_commands(); end $$;"
            "create event trigger note_made on ddl_command_end execute function note_made();"
            "grant select, delete on made to postgres"
        )
        before = dump(db)
        install_on_theirs(db.dsn())
        for setting, made in {
            "set_favorites_priority(true)": "favorites_priority_enabled()",
            "set_max_open_sessions(3)": "max_open_sessions()",
            "expect_stripe(true)": "expected_stripe_event()",
            "set_push_services('{push.example.com}')": "push_services()",
        }.items():
            db.sql("delete from made")
            db.sql(f"select dispatch.{setting}")
            assert db.value("select what from made") == f"dispatch.{made}"
        install(db.dsn(), DOWN, ENGINE_DOWN)
        assert dump(db) == before


def test_a_booking_that_a_key_of_theirs_keeps_out_leaves_no_more_than_is_said(
    theirs: Theirs,
) -> None:
    theirs.db.sql("create unique index on session_requests (customer_id)")
    theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
    query = (
        "insert into session_requests (customer_id, session_type, plan_code,"
        " preferred_mechanic_id) values (%s, 'chat', 'chat10', %s) on conflict do nothing"
        " returning id"
    )
    given = (theirs.customer, theirs.favourite.id)
    assert rows(theirs.backend, query, *given) == []
    assert theirs.db.events() == [] and theirs.db.sql("select * from dispatch.windows") == []
    theirs.db.sql(theirs.shape.suspend, theirs.favourite.id)
    assert rows(theirs.backend, query, *given) == []
    assert theirs.db.log() == ["priority_skipped:not_approved"]
    assert theirs.db.sql("select * from dispatch.windows") == []
    assert theirs.db.sql("select * from dispatch.steps") == []


# --- More favourites than one ---


def book_chain(theirs: Theirs, *favourites: str, **metadata: str) -> str:
    event = checkout(
        theirs.customer,
        favourites[0],
        plan="chat10",
        preferred_mechanic_ids=",".join(favourites),
        **metadata,
    )
    return str(rpc(theirs.backend, "process_stripe_event", event=event)["request_id"])


@pytest.mark.parametrize("status", ["accepted", "cancelled"])
def test_nobody_has_a_turn_in_another_request_of_the_same_id(theirs: Theirs, status: str) -> None:
    request = book_chain(theirs, theirs.favourite.id, theirs.other.id)
    if status == "accepted":
        theirs.accept(theirs.favourite, request)
    else:
        theirs.update(request, "status = 'cancelled'")
    theirs.db.sql("delete from session_requests where id = %s", request)
    theirs.book(id=request)
    theirs.sweep(11)
    assert theirs.db.log(request)[-2:] == ["priority_request", "new_request:window_ended"]


def test_of_theirs_what_is_deleted_and_put_back_is_not_kept_for_who_declined(
    theirs: Theirs,
) -> None:
    request = theirs.book()
    decline = "decline_session_request"
    rpc(theirs.as_(theirs.favourite), decline, request_id=request)
    theirs.db.sql("delete from session_requests where id = %s", request)
    theirs.book(id=request)
    assert theirs.db.log(request)[-1].startswith("priority_skipped")
    assert theirs.accept(theirs.other, request)


def pass_time(theirs: Theirs, request: str, minutes: int) -> None:
    theirs.update(
        request, "priority_notified_at = priority_notified_at - make_interval(mins => %s)", minutes
    )


@pytest.mark.parametrize("swept", [True, False])
def test_favourites_are_asked_in_turn_by_the_clock(theirs: Theirs, swept: bool) -> None:
    first, second, other = theirs.favourite, theirs.mechanic(), theirs.other
    request = book_chain(theirs, first.id, str(uuid.uuid4()), second.id)
    assert theirs.db.log(request) == ["priority_request", "priority_skipped:unknown_mechanic"]
    pass_time(theirs, request, 11)
    if swept:
        assert theirs.sweep() == 1 and theirs.sweep() == 0
    for mechanic in (first, other):
        assert theirs.listed(mechanic) == [] and not theirs.sees(mechanic, request)
        assert theirs.accept(mechanic, request) == []
        with refused("PT404", "request_not_found"):
            rpc(theirs.as_(mechanic), "accept_session_request", request_id=request)
    assert theirs.listed(second) == [request] and theirs.sees(second, request)
    if theirs.shape.lives and swept:
        window = theirs.db.sql(
            "select ends_at from dispatch.windows where request_id = %s", request
        )
        assert theirs.db.request(request)["expires_at"] - window[0]["ends_at"] == theirs.shape.lives
    assert theirs.accept(second, request)
    assert theirs.db.log(request)[2:] == ["priority_request:window_ended", "request_accepted"]


def test_of_theirs_a_sweep_waits_for_no_mechanic(theirs: Theirs) -> None:
    second = theirs.mechanic()
    request = book_chain(theirs, theirs.favourite.id, second.id)
    pass_time(theirs, request, 11)
    holder = theirs.db.superuser()
    with holder.transaction():
        holder.execute("select from mechanics where id = %s for no key update", [second.id])
        theirs.db.sql("set lock_timeout = '5s'")
        assert theirs.sweep() == 1
    assert theirs.db.log(request) == ["priority_request", "priority_request:window_ended"]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_of_theirs_two_sweeps_at_once_end_one_window(theirs: Theirs, one_by_one: bool) -> None:
    second = theirs.mechanic()
    request = book_chain(theirs, theirs.favourite.id, second.id)
    pass_time(theirs, request, 10)
    assert theirs.db.sweep_around(theirs.sweep, one_by_one) == (0, 1)
    assert theirs.listed(second) == [request] and theirs.listed(theirs.other) == []
    assert theirs.db.log(request)[1:] == ["priority_request:window_ended"]


def test_of_theirs_who_goes_while_the_sweep_ends_their_turn_ends_no_other(theirs: Theirs) -> None:
    second = theirs.mechanic()
    request = book_chain(theirs, theirs.favourite.id, second.id)
    pass_time(theirs, request, 10)
    sweep, owner = theirs.db.superuser(), theirs.db.open()
    with ThreadPoolExecutor() as pool:
        with sweep.transaction():
            assert value(sweep, "select dispatch.sweep()") == 1
            gone = pool.submit(rows, owner, theirs.shape.suspend, theirs.favourite.id)
            theirs.db.wait_until_blocked(owner)
        gone.result()
    assert theirs.listed(second) == [request] and theirs.listed(theirs.other) == []
    assert theirs.db.log(request)[1:] == ["priority_request:window_ended"]


def test_of_theirs_it_moves_on_in_the_transaction_that_booked_it(theirs: Theirs) -> None:
    """Whose window is opened begins when the one before began."""
    second = theirs.mechanic()
    with theirs.backend.transaction():
        request = book_chain(theirs, theirs.favourite.id, second.id)
        assert theirs.update(request, "preferred_mechanic_id = null")
    assert theirs.sees(second, request) and not theirs.sees(theirs.other, request)
    assert theirs.listed(second) == [request]
    assert not theirs.accept(theirs.other, request)
    assert theirs.accept(second, request)


def test_of_theirs_each_answer_moves_on(theirs: Theirs) -> None:
    first, second, third = theirs.favourite, theirs.mechanic(), theirs.mechanic()
    request = book_chain(theirs, first.id, second.id, third.id)
    rpc(theirs.as_(first), "decline_session_request", request_id=request)
    assert theirs.listed(second) == [request] and theirs.listed(third) == []
    theirs.db.sql(theirs.shape.suspend, second.id)
    assert theirs.listed(third) == [request] and theirs.listed(theirs.other) == []
    theirs.gone(third)
    assert theirs.listed(theirs.other) == [request]
    assert theirs.db.log(request) == [
        "priority_request",
        "request_declined",
        "priority_request:declined",
        "priority_request:mechanic_gone",
        "new_request:mechanic_gone",
    ]
    row = theirs.db.sql("select * from dispatch.windows where request_id = %s", request)
    assert row[0]["announced_at"] is not None
    assert theirs.db.sql("select * from dispatch.steps") == []


@pytest.mark.parametrize("how", ["declined", "suspended", "swept", "written"])
def test_of_theirs_it_moves_on_from_one_who_was_assigned_and_did_not_accept(
    theirs: Theirs, how: str
) -> None:
    first, second = theirs.favourite, theirs.mechanic()
    request = book_chain(theirs, first.id, second.id)
    assert theirs.update(request, "mechanic_id = %s", first.assigned)
    if how == "declined":
        rpc(theirs.as_(first), "decline_session_request", request_id=request)
    elif how == "suspended":
        theirs.db.sql(theirs.shape.suspend, first.id)
    else:
        pass_time(theirs, request, 11)
        assert theirs.sweep() if how == "swept" else theirs.update(request, "plan_code = plan_code")
    assert str(theirs.db.request(request)["preferred_mechanic_id"]) == second.id
    assert theirs.listed(second) == [request] and theirs.listed(theirs.other) == []
    assert not theirs.update(request, "status = 'accepted'")
    assert not theirs.update(request, "mechanic_id = %s", theirs.other.assigned)
    assert rpc(theirs.as_(second), "accept_session_request", request_id=request)


def test_of_theirs_the_turns_that_were_slept_through_are_told_once(theirs: Theirs) -> None:
    second = theirs.mechanic()
    request = book_chain(theirs, theirs.favourite.id, second.id)
    assert theirs.sweep(25) == 1
    assert theirs.db.log(request) == [
        "priority_request",
        "priority_request:window_ended",
        "new_request:window_ended",
    ]
    assert theirs.listed(theirs.other) == [request]
    if theirs.shape.lives:
        window = theirs.db.sql("select * from dispatch.windows where request_id = %s", request)
        announced = window[0]["announced_at"]
        assert theirs.db.request(request)["expires_at"] - announced == theirs.shape.lives


# --- Given back ---


def accepted_long_ago(theirs: Theirs, request: str) -> None:
    theirs.db.sql("update dispatch.windows set closed_at = now() - interval '10 minutes'")
    if "accepted_at" in theirs.db.request(request):
        theirs.db.sql("update session_requests set accepted_at = now() - interval '10 minutes'")


@pytest.mark.parametrize("how", ["released", "no_show"])
def test_given_back_it_is_everyones_but_theirs(theirs: Theirs, how: str) -> None:
    """Whether the accept came by the RPC or by their route."""
    customer, favourite = theirs.db.connect(theirs.customer), theirs.as_(theirs.favourite)
    request = theirs.book()
    born = theirs.db.request(request)

    def give_back(mechanic: Mechanic) -> Any:
        if how == "released":
            return rpc(theirs.as_(mechanic), "release_session_request", request_id=request)
        with refused("PT409", "too_early"):
            rpc(customer, "reopen_session_request", request_id=request)
        accepted_long_ago(theirs, request)
        return rpc(customer, "reopen_session_request", request_id=request)

    rpc(favourite, "accept_session_request", request_id=request)
    feed = listen(theirs.db, "session_requests_feed")
    answer = give_back(theirs.favourite)
    theirs.db.sql("select dispatch.deliver_events()")
    ((_, payload),) = heard(feed, 1)
    assert payload["request"] == {"id": request} and payload["isFallbackBroadcast"] is False
    assert theirs.db.log(request)[1:] == [
        "request_accepted",
        f"request_released:{how}",
        "new_request",
    ]
    row = theirs.db.request(request)
    assert (row["status"], row["mechanic_id"]) == ("pending", None)
    assert row.get("accepted_at") is None
    if theirs.shape.lives:
        (window,) = theirs.db.sql("select * from dispatch.windows")
        assert row["expires_at"] - window["announced_at"] == theirs.shape.lives
        assert row["expires_at"] < born["expires_at"]  # it was not waited for in its window
    if how == "released":
        assert rpc(favourite, "release_session_request", request_id=request) == answer
    else:
        assert rpc(customer, "reopen_session_request", request_id=request) == answer

    # By list, table, choice, RPC and their own route, as no row.
    chosen = {
        str(each["mechanic_id"])
        for each in theirs.db.sql("select mechanic_id from dispatch.choose_recipients(%s)", request)
    }
    assert chosen == {theirs.other.id}
    for mechanic, is_open in ((theirs.favourite, False), (theirs.other, True)):
        assert (request in theirs.listed(mechanic)) == is_open
        assert theirs.sees(mechanic, request) == is_open
    with refused("PT404", "request_not_found"):
        rpc(favourite, "accept_session_request", request_id=request)
    with theirs.db.unchanged_row(request):
        assert theirs.accept(theirs.favourite, request) == []
        assert theirs.update(request, "mechanic_id = %s", theirs.favourite.assigned) == []
    assert theirs.update(request, "session_type = session_type")

    # The next one, by their route; then it is over.
    assert theirs.accept(theirs.other, request)
    give_back(theirs.other)
    assert theirs.db.log(request)[4:] == [
        "request_accepted",
        f"request_released:{how}",
        "request_cancelled:cancelled",
    ]
    assert theirs.db.events(request)[-1]["topics"] == [
        f"customer:{theirs.customer}",
        f"mechanic:{theirs.other.user}",
    ]
    assert theirs.db.request(request)["status"] == "cancelled"
    assert theirs.listed(theirs.other) == []


def test_what_is_given_back_lives_as_long_as_after_its_broadcast(theirs: Theirs) -> None:
    if not theirs.shape.lives:
        pytest.skip("without an end")
    request = theirs.book()
    theirs.sweep(10)
    assert theirs.accept(theirs.other, request)
    # Long ago: it would have ended.
    theirs.db.sql("update dispatch.windows set announced_at = announced_at - interval '2 hours'")
    theirs.db.sql("update session_requests set expires_at = expires_at - interval '2 hours'")
    rpc(theirs.as_(theirs.other), "release_session_request", request_id=request)
    (window,) = theirs.db.sql("select * from dispatch.windows")
    assert theirs.db.request(request)["expires_at"] - window["announced_at"] == theirs.shape.lives
    assert request in theirs.listed(theirs.favourite)


def test_what_was_paid_is_given_back_twice(theirs: Theirs) -> None:
    """Its refund is due; and what was refunded before does not go out again."""
    wish = {"preferred_mechanic_id": theirs.favourite.id, "routing_type": "priority_broadcast"}
    for is_refunded in (False, True):
        paid = checkout(theirs.customer, plan="chat10", payment=f"pi_{is_refunded}", **wish)
        request = str(rpc(theirs.backend, "process_stripe_event", event=paid)["request_id"])
        for mechanic in (theirs.favourite, theirs.other):
            rpc(theirs.as_(mechanic), "accept_session_request", request_id=request)
            if is_refunded:
                rpc(theirs.backend, "process_stripe_event", event=refund("pi_True"))
            rpc(theirs.as_(mechanic), "release_session_request", request_id=request)
            if is_refunded:
                break
        reason = "refunded" if is_refunded else "cancelled"
        assert theirs.db.log(request)[-1] == f"request_cancelled:{reason}"
        due = theirs.db.sql(
            "select * from dispatch.unsettled_requests() where request_id = %s", request
        )
        assert bool(due) != is_refunded


def test_a_refund_of_what_is_being_given_back_cancels_it(theirs: Theirs) -> None:
    """Be it a moment before or after: or somebody would work for what was paid back."""
    wish = {"preferred_mechanic_id": theirs.favourite.id, "routing_type": "priority_broadcast"}
    paid = checkout(theirs.customer, plan="chat10", payment="pi_back", **wish)
    request = str(rpc(theirs.backend, "process_stripe_event", event=paid)["request_id"])
    favourite = theirs.as_(theirs.favourite)
    rpc(favourite, "accept_session_request", request_id=request)
    with ThreadPoolExecutor() as pool, favourite.transaction():
        rpc(favourite, "release_session_request", request_id=request)
        refunded = pool.submit(rpc, theirs.backend, "process_stripe_event", event=refund("pi_back"))
        theirs.db.wait_until_blocked(theirs.backend)
    assert refunded.result()["request_id"] == request
    assert theirs.db.request(request)["status"] == "cancelled"
    assert theirs.db.log(request)[-1] == "request_cancelled:refunded"


@pytest.mark.parametrize("how", ["released", "no_show"])
def test_whose_account_is_being_deleted_is_not_waited_for(theirs: Theirs, how: str) -> None:
    """Who deletes it waits for the request, or each would wait for the other."""
    request = theirs.book()
    rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    accepted_long_ago(theirs, request)
    back = {
        "released": (theirs.favourite.user, "release_session_request"),
        "no_show": (theirs.customer, "reopen_session_request"),
    }
    who, function = back[how]
    app, superuser = theirs.db.connect(who), theirs.db.superuser()
    app.execute("set lock_timeout = '5s'")
    with superuser.transaction():
        query = "select from auth.users where id = %s for update"
        superuser.execute(query.encode(), (theirs.customer,))
        rpc(app, function, request_id=request)
    assert theirs.db.request(request)["status"] == "pending"
    if theirs.shape.lives:
        (window,) = theirs.db.sql("select * from dispatch.windows")
        left = theirs.db.request(request)["expires_at"] - window["announced_at"]
        assert left == theirs.shape.lives


def test_a_trigger_of_theirs_that_raises_does_not_keep_it(theirs: Theirs) -> None:
    if theirs.shape.lives is None:
        pytest.skip("its expiry is not moved")
    request = theirs.book()
    rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    theirs.db.sql(REFUSE_EXPIRY)
    rpc(theirs.as_(theirs.favourite), "release_session_request", request_id=request)
    assert theirs.db.log(request)[1:] == [
        "request_accepted",
        "request_released:released",
        "new_request",
    ]


def test_what_is_theirs_alone_is_not_given_back(theirs: Theirs) -> None:
    """Without a window, or with the flag off: as if it were not there."""
    plain = theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
    assert theirs.accept(theirs.favourite, plain)
    governed = theirs.book()
    assert theirs.accept(theirs.favourite, governed)
    accepted_long_ago(theirs, governed)
    theirs.db.sql("select dispatch.set_favorites_priority(false)")
    callers = {
        "release": theirs.as_(theirs.favourite),
        "reopen": theirs.db.connect(theirs.customer),
    }
    for request in (plain, governed):
        logged = theirs.db.log(request)
        for function, connection in callers.items():
            with refused("PT404", "request_not_found"), theirs.db.unchanged_row(request):
                rpc(connection, f"{function}_session_request", request_id=request)
        assert theirs.db.log(request) == logged


def test_with_the_flag_off_who_gave_it_back_is_as_any_other(theirs: Theirs) -> None:
    """Their statements answer as before the install."""
    request = theirs.book()
    rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    rpc(theirs.as_(theirs.favourite), "release_session_request", request_id=request)
    theirs.db.sql("select dispatch.set_favorites_priority(false)")
    assert theirs.sees(theirs.favourite, request)
    assert theirs.accept(theirs.favourite, request)


def test_what_they_hand_out_again_is_given_back_again(theirs: Theirs) -> None:
    """What comes after an accept is theirs: also to give it to who gave it back before."""
    request = theirs.book()
    favourite = theirs.as_(theirs.favourite)
    rpc(favourite, "accept_session_request", request_id=request)
    rpc(favourite, "release_session_request", request_id=request)
    assert theirs.accept(theirs.other, request)
    assert theirs.update(request, "mechanic_id = %s", theirs.favourite.assigned)
    rpc(favourite, "release_session_request", request_id=request)
    assert theirs.db.log(request)[-1] == "request_cancelled:cancelled"
    assert theirs.db.request(request)["status"] == "cancelled"


def test_what_their_table_refuses_is_not_given_back(theirs: Theirs) -> None:
    request = theirs.book()
    rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    theirs.db.sql(
        "create function public.no_way_back() returns trigger language plpgsql as $$ begin"
        " if new.mechanic_id is null then raise exception 'no'; end if; return new; end $$"
    )
    theirs.db.sql(
        "create trigger no_way_back before update on session_requests"
        " for each row execute function public.no_way_back()"
    )
    with refused("PT409", "request_not_pending"), theirs.db.unchanged_row(request):
        rpc(theirs.as_(theirs.favourite), "release_session_request", request_id=request)
    assert theirs.db.log(request)[1:] == ["request_accepted"]


# --- A block ---


def block(theirs: Theirs, mechanic: Mechanic, by: str) -> None:
    if by == "customer":
        rpc(theirs.db.connect(theirs.customer), "block_mechanic", mechanic_id=mechanic.id)
    else:
        # By any of their requests, the engine's or not.
        plain = theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
        assert theirs.accept(mechanic, plain)
        rpc(theirs.as_(mechanic), "block_customer", request_id=plain)


@pytest.mark.parametrize("by", ["customer", "mechanic"])
def test_a_block_binds_their_own_accept_of_what_is_governed(theirs: Theirs, by: str) -> None:
    blocked, third = theirs.other, theirs.mechanic()
    block(theirs, blocked, by)
    request = theirs.book()
    feed = listen(theirs.db, "session_requests_feed")
    assert theirs.sweep(11) == 1
    # Theirs has one feed, and those who were there first hear the broadcast on it.
    ((_, notice),) = heard(feed, 1)
    assert notice["request_id"] == request
    assert theirs.listed(blocked) == [] and theirs.listed(third) == [request]
    assert not theirs.sees(blocked, request) and theirs.sees(third, request)
    assert theirs.accept(blocked, request) == []
    assert theirs.update(request, "mechanic_id = %s", blocked.assigned) == []
    for function in ("accept_session_request", "decline_session_request"):
        with refused("PT404", "request_not_found"):
            rpc(theirs.as_(blocked), function, request_id=request)
    events = rpc(theirs.as_(blocked), "list_session_request_events")
    assert request not in [each["request_id"] for each in events]
    assert theirs.accept(third, request)
    # From here on the request is theirs alone, and so are those that named no favourite.
    plain = theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
    assert theirs.sees(blocked, plain) and theirs.accept(blocked, plain)


@pytest.mark.parametrize("by", ["customer", "mechanic"])
def test_of_theirs_a_block_moves_on_at_once(theirs: Theirs, by: str) -> None:
    second = theirs.mechanic()
    request = book_chain(theirs, theirs.favourite.id, second.id)
    if by == "customer":
        block(theirs, theirs.favourite, by)
    else:
        # What was accepted before there was a window.
        plain = theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)
        assert theirs.accept(theirs.favourite, plain)
        rpc(theirs.as_(theirs.favourite), "block_customer", request_id=plain)
    assert theirs.db.log(request) == [
        "priority_request",
        f"priority_request:{'customer' if by == 'customer' else 'mechanic_gone'}",
    ]
    assert {each["actor_id"] for each in theirs.db.events(request)} == {None}
    assert theirs.listed(theirs.favourite) == [] and theirs.listed(second) == [request]
    assert not theirs.sees(theirs.favourite, request)
    assert theirs.accept(theirs.favourite, request) == []
    # A booking that names them is as if they were not approved.
    skipped = theirs.book()
    assert theirs.db.log(skipped) == ["priority_skipped:not_approved"]
    status = rpc(
        theirs.db.connect(theirs.customer),
        "get_mechanic_status",
        mechanic_id=theirs.favourite.id,
    )
    assert status == {"is_online": False, "last_seen": None}
    assert theirs.accept(second, request)


def test_with_the_flag_off_a_block_changes_nothing_of_theirs(theirs: Theirs) -> None:
    block(theirs, theirs.other, "customer")
    request = theirs.book()
    theirs.db.sql("select dispatch.set_favorites_priority(false)")
    assert theirs.sees(theirs.other, request) and theirs.accept(theirs.other, request)


def test_of_theirs_what_is_accepted_stays(theirs: Theirs) -> None:
    request = theirs.book()
    rpc(theirs.as_(theirs.favourite), "accept_session_request", request_id=request)
    before = theirs.db.request(request)
    rpc(theirs.as_(theirs.favourite), "block_customer", request_id=request)
    block(theirs, theirs.favourite, "customer")
    assert theirs.db.request(request) == before and theirs.sees(theirs.favourite, request)
    done = rpc(theirs.as_(theirs.favourite), "complete_session_request", request_id=request)
    assert done["status"] == "completed"
    assert theirs.db.log(request) == ["priority_request", "request_accepted", "request_completed"]


def test_a_chain_that_is_over_by_the_clock_is_everyones_by_their_update(theirs: Theirs) -> None:
    """All of it slept through: of the last one's window nothing was written yet."""
    request = book_chain(theirs, theirs.favourite.id, theirs.other.id)
    clock = theirs.db.superuser()
    clock.execute("set session_replication_role = replica")  # behind the guard's back
    for column in ("session_requests set priority_notified_at", "dispatch.windows set ends_at"):
        earlier = f"{column.split()[-1]} - interval '21 minutes'"
        clock.execute(f"update {column} = {earlier}".encode())
    assert theirs.accept(theirs.mechanic(), request)


# --- A limit, and who is away ---


def limit(theirs: Theirs, count: int | None) -> None:
    theirs.db.sql("select dispatch.set_max_open_sessions(%s)", count)


def plain(theirs: Theirs) -> str:
    """A request that the engine does not govern."""
    return theirs.book(preferred_mechanic_id=None, priority_window_minutes=None)


def test_a_limit_binds_their_own_update_of_what_is_governed(theirs: Theirs) -> None:
    full, other = theirs.favourite, theirs.other
    request, alone = book_chain(theirs, full.id, other.id), theirs.book()
    broadcast = theirs.book(preferred_mechanic_id=other.id)
    rpc(theirs.as_(other), "decline_session_request", request_id=broadcast)
    limit(theirs, 1)
    assert theirs.accept(full, broadcast)
    assert theirs.db.log(request)[1:] == ["priority_request:at_capacity"]
    assert theirs.db.log(alone)[1:] == ["new_request:at_capacity"]
    assert theirs.listed(full) == []
    assert not theirs.sees(full, request) and not theirs.sees(full, alone)
    with theirs.db.unchanged_row(alone):
        assert theirs.accept(full, alone) == []
        assert theirs.update(alone, "mechanic_id = %s", full.assigned) == []
    with refused("PT409", "at_capacity"):
        rpc(theirs.as_(full), "accept_session_request", request_id=alone)
    assert theirs.listed(other) == [request, alone] and theirs.sees(other, request)
    skipped = theirs.book()
    assert theirs.db.log(skipped) == ["priority_skipped:at_capacity"]
    # Complete, by a statement of theirs: there is room again.
    theirs.update(broadcast, "status = 'completed'")
    assert alone in theirs.listed(full) and theirs.sees(full, alone)
    assert theirs.accept(full, alone)


def test_a_limit_is_silent_for_all_else(theirs: Theirs) -> None:
    """What is not governed counts, and is not bound; while the flag is off nothing is."""
    full = theirs.favourite
    limit(theirs, 1)
    first, second, third = (plain(theirs) for _ in range(3))
    governed = theirs.book()
    assert theirs.accept(full, first) and theirs.accept(full, second)
    assert theirs.sees(full, third) == theirs.sees(theirs.other, third)
    assert not theirs.sees(full, governed) and theirs.listed(full) == []
    # Of that the engine saw nothing, and by the clock it is everyone's all the same.
    assert theirs.listed(theirs.other) == [governed] and theirs.sees(theirs.other, governed)
    assert theirs.accept(full, governed) == []
    # The sweep's job looks for such now and then, and tells.
    assert theirs.db.log(governed) == ["priority_request"]
    theirs.db.run_sweep(0.1)
    assert theirs.db.log(governed)[1:] == ["new_request:at_capacity"]
    # A word of their own is no session that is accepted.
    for request in (first, second):
        theirs.update(request, f"status = '{theirs.shape.word}'")
    assert theirs.listed(full) == [governed]
    assert theirs.accept(full, governed)
    theirs.db.sql("select dispatch.set_favorites_priority(false)")
    assert theirs.accept(full, third)


def test_of_theirs_a_turn_that_passed_at_capacity_does_not_come_back(theirs: Theirs) -> None:
    second, third = theirs.mechanic(), theirs.mechanic()
    limit(theirs, 1)
    taken = theirs.book(preferred_mechanic_id=second.id)
    request = book_chain(theirs, theirs.favourite.id, second.id, third.id)
    only = book_chain(theirs, theirs.favourite.id, second.id)
    assert theirs.accept(second, taken)
    for each in (request, only):
        pass_time(theirs, each, 11)
    assert theirs.listed(third) == [request, only] and theirs.listed(second) == []
    theirs.update(taken, "status = 'completed'")
    assert theirs.listed(third) == [request, only] and theirs.listed(second) == [only]
    theirs.sweep()
    assert theirs.db.log(request)[1:] == [
        "priority_skipped:at_capacity",
        "priority_request:window_ended",
    ]
    assert theirs.db.log(only)[1:3] == ["priority_skipped:at_capacity", "new_request:window_ended"]


def test_of_two_of_their_updates_at_once_one_is_within_the_limit(theirs: Theirs) -> None:
    requests = []
    for _ in range(4):
        requests.append(theirs.book())
        rpc(theirs.as_(theirs.favourite), "decline_session_request", request_id=requests[-1])
    limit(theirs, 1)
    connections = [theirs.db.connect(role="service_role") for _ in requests]
    won = at_once(
        *[
            lambda c=connection, r=request: theirs.accept(theirs.other, r, c)
            for connection, request in zip(connections, requests, strict=True)
        ]
    )
    assert sorted(len(each) for each in won) == [0, 0, 0, 1]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_of_theirs_each_who_let_a_chain_pass_is_counted_once(
    theirs: Theirs, is_deleted: bool
) -> None:
    """Though one sweep tells of all of it, and of another window of the first."""
    second = theirs.mechanic()
    for mechanic in (theirs.favourite, second):
        rpc(theirs.as_(mechanic), "set_presence", status="online")
    theirs.book()
    book_chain(theirs, theirs.favourite.id, second.id)
    passed = "- interval '20 minutes'"
    superuser = theirs.db.superuser()
    superuser.execute("set session_replication_role = replica")
    for query in (
        f"update session_requests set priority_notified_at = priority_notified_at {passed}",
        f"update dispatch.windows set ends_at = ends_at {passed}",
    ):
        rows(superuser, query)
    if is_deleted:
        theirs.db.sql("delete from session_requests")
    else:
        assert theirs.sweep() == 2
    away = theirs.db.sql("select topics from dispatch.request_events where event = 'mechanic_away'")
    assert away == [{"topics": [f"mechanic:{theirs.favourite.user}"]}]
    left = theirs.db.sql("select mechanic_id::text, windows from dispatch.unanswered")
    assert left == [{"mechanic_id": second.id, "windows": 1}]


def test_of_theirs_who_comes_back_at_this_moment_is_not_set_away(theirs: Theirs) -> None:
    mechanic = theirs.as_(theirs.favourite)
    rpc(mechanic, "set_presence", status="online")
    theirs.book()
    theirs.sweep(11)
    theirs.book()
    theirs.db.sql("set statement_timeout = '5s'")
    with mechanic.transaction():
        for status in ("busy", "online"):
            seen = rpc(mechanic, "set_presence", status=status)
        assert theirs.sweep(11) == 1  # which waits for nobody
    query = "select is_online, to_jsonb(last_seen_at) as last_seen from dispatch.presence"
    assert theirs.db.sql(query) == [seen]
    assert "mechanic_away" not in theirs.db.log()


def test_of_theirs_two_windows_without_an_answer_set_away(theirs: Theirs) -> None:
    mechanic = theirs.favourite
    rpc(theirs.as_(mechanic), "set_presence", status="online")

    def is_online() -> bool:
        query = "select dispatch.is_online(m, now()) from dispatch.mechanics as m where m.id = %s"
        return bool(theirs.db.value(query, mechanic.id))

    def is_told() -> int:
        return theirs.db.log().count("mechanic_away")

    for function in ("decline_session_request", None):
        theirs.book()
        theirs.sweep(11)
        assert is_online() and not is_told()
        if function:
            rpc(theirs.as_(mechanic), function, request_id=theirs.book())
    theirs.book()
    assert theirs.sweep(11) == 1
    assert not is_online() and is_told() == 1
    (event,) = [each for each in theirs.db.events() if each["event"] == "mechanic_away"]
    assert event["topics"] == [f"mechanic:{mechanic.user}"]
    rpc(theirs.as_(mechanic), "set_presence", status="online")
    assert is_online()
    rpc(theirs.as_(mechanic), "set_presence", status="busy")
    for _ in range(2):
        theirs.book()
    theirs.sweep(11)
    assert is_told() == 1
