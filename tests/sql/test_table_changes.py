"""Whom Realtime tells of a change of session_requests, and of what in it."""

from collections.abc import Callable, Iterator

import pytest

from tests.database import Database, Row, rpc
from tests.further import further_but
from tests.realtime_rules import FEED, Changes, Client, access, broadcasts

PERSONAL = {"customer_name", "customer_email", "notes", "metadata"}
ELIGIBLE = {"favourite", "other", "customer"}


def everyone(db: Database) -> dict[str, Client]:
    return {
        "favourite": Client(db.make_mechanic()),
        "other": Client(db.make_mechanic()),
        "applicant": Client(db.make_mechanic("pending")),
        "suspended": Client(db.make_mechanic("suspended")),
        "customer": Client(db.make_customer()),
        "another customer": Client(db.make_customer()),
        "without a user": Client(),
        "of another issuer": Client("user_2abc"),
        "anon": Client(role="anon"),
    }


class Marketplace:
    """Everyone who may subscribe, what they are told, and a request that is changed."""

    def __init__(self, db: Database, clients: dict[str, Client], changes: Changes) -> None:
        self.db, self.clients, self.changes = db, clients, changes
        self.request = ""

    def book(self, **columns: object) -> None:
        self.request = self.db.make_request(str(self.clients["customer"].user_id), **columns)  # type: ignore[arg-type]

    def reserve(self) -> None:
        self.book(preferred=str(self.clients["favourite"].user_id))

    def call(self, name: str, function: str, **arguments: object) -> None:
        connection = self.db.connect(self.clients[name].user_id)
        rpc(connection, function, request_id=self.request, **arguments)

    def told(self) -> dict[str, list[str]]:
        """Who is told of what since the last time. anon's answer is an error, always."""
        told = {
            name: [message["type"] for message in messages]
            for name, messages in self.changes.poll().items()
        }
        told.pop("anon", None)
        return told

    def all_told(self, names: set[str], *kinds: str) -> bool:
        return self.told() == {name: list(kinds) for name in names}


@pytest.fixture
def market(shared: Database) -> Iterator[Marketplace]:
    clients = everyone(shared)
    with Changes(shared, clients) as changes:
        yield Marketplace(shared, clients, changes)


@pytest.fixture
def own_market(db: Database) -> Iterator[Marketplace]:
    """In a database of its own, for what changes its schema."""
    clients = everyone(db)
    with Changes(db, clients) as changes:
        yield Marketplace(db, clients, changes)


def test_inside_the_window_the_favourite_and_the_customer_alone(market: Marketplace) -> None:
    market.reserve()
    assert market.all_told({"favourite", "customer"}, "INSERT")
    market.db.sql("update session_requests set notes = 'the red one'")
    assert market.all_told({"favourite", "customer"}, "UPDATE")


def test_a_broadcast_reaches_every_eligible_mechanic(market: Marketplace) -> None:
    market.book()
    assert market.all_told(ELIGIBLE, "INSERT")


def test_a_row_is_judged_as_it_is_when_polled(market: Marketplace) -> None:
    market.reserve()
    market.call("customer", "broadcast_session_request_now")
    assert market.all_told(ELIGIBLE, "INSERT", "UPDATE")
    market.reserve()
    market.call("customer", "cancel_session_request")
    assert market.all_told({"customer"}, "INSERT", "UPDATE")


def swept(market: Marketplace) -> None:
    market.db.end_window(market.request)
    market.changes.poll()
    assert market.db.sweep() == 1


def given_back(market: Marketplace) -> None:
    market.call("favourite", "accept_session_request")
    market.changes.poll()
    market.call("favourite", "release_session_request")


def suspended(market: Marketplace) -> None:
    favourite = market.clients["favourite"].user_id
    market.db.sql("update mechanics set status = 'suspended' where id = %s", favourite)


@pytest.mark.parametrize(
    "ending",
    further_but(
        ["declined", "flag off", "swept", "accepted", "given back", "cancelled"],
        {
            "declined": (
                lambda m: m.call("favourite", "decline_session_request"),
                {"other", "customer"},
            ),
            "opened by the customer": (
                lambda m: m.call("customer", "broadcast_session_request_now"),
                ELIGIBLE,
            ),
            "flag off": (
                lambda m: m.db.sql("select dispatch.set_favorites_priority(false)"),
                ELIGIBLE,
            ),
            "over, not swept": (lambda m: m.db.end_window(m.request), ELIGIBLE),
            "swept": (swept, ELIGIBLE),
            "favourite suspended": (suspended, {"other", "customer"}),
            "accepted": (
                lambda m: m.call("favourite", "accept_session_request"),
                {"favourite", "customer"},
            ),
            "given back": (given_back, {"other", "customer"}),
            "cancelled": (lambda m: m.call("customer", "cancel_session_request"), {"customer"}),
            "expired": (
                lambda m: m.db.sql("update session_requests set status = 'expired'"),
                {"customer"},
            ),
        },
    ),
)
def test_how_a_window_ends(
    own_market: Marketplace, ending: tuple[Callable[[Marketplace], None], set[str]]
) -> None:
    change, told = ending
    own_market.reserve()
    own_market.changes.poll()
    change(own_market)
    assert own_market.all_told(told, "UPDATE")


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "over, not swept"])
def test_whoever_saw_a_request_learns_that_it_is_taken(
    market: Marketplace, announced: bool
) -> None:
    """The row leaves the others' view, so that the change cannot tell them: Broadcast does."""
    market.reserve()
    if announced:
        market.call("customer", "broadcast_session_request_now")
    else:
        market.db.end_window(market.request)
    saw = set(market.told())
    market.call("other", "accept_session_request")
    told = set(market.told())
    assert told == {"other", "customer"} and saw - told == {"favourite"}
    topics = {topic for topic, event, _ in broadcasts(market.db) if event == "request_accepted"}
    for name in saw:
        allowed = [access(market.db, topic, market.clients[name]) for topic in topics]
        assert {"broadcast read"} in allowed, name


def test_a_reserved_request_that_is_taken_stays_unknown_to_the_others(market: Marketplace) -> None:
    market.reserve()
    market.call("favourite", "accept_session_request")
    market.call("favourite", "complete_session_request")
    assert market.all_told({"favourite", "customer"}, "INSERT", "UPDATE", "UPDATE")
    assert FEED not in {topic for topic, _, _ in broadcasts(market.db)}


def test_a_deletion_carries_the_primary_key_alone(market: Marketplace) -> None:
    """Realtime sends it to every subscriber, as there is no row left to judge by."""
    market.reserve()
    market.changes.poll()
    market.db.sql("delete from session_requests")
    told = market.changes.poll()
    assert set(told) == set(market.clients)
    for name, messages in told.items():
        key = {} if name == "anon" else {"id": market.request}
        assert messages == [{"type": "DELETE", "old_record": key}]


def test_a_mechanic_receives_no_personal_column(own_market: Marketplace) -> None:
    def records() -> list[Row]:
        messages = own_market.changes.poll()["favourite"]
        return [message["record"] | message["old_record"] for message in messages]

    own_market.reserve()
    own_market.call("favourite", "accept_session_request")
    own_market.db.sql("update session_requests set notes = 'the red one'")
    found = records()
    assert len(found) == 3
    # Where every change carries the old row too.
    own_market.db.sql("alter table session_requests replica identity full")
    own_market.db.sql("update session_requests set notes = 'the blue one'")
    found += records()
    assert len(found) == 4
    for record in found:
        assert record["id"] == own_market.request and record["status"]
        assert not PERSONAL & set(record)
        assert not any(word in str(record) for word in ("Zoe", "zoe.quill", "the red", "the blue"))


@pytest.mark.parametrize("reserved", [True, False], ids=["in a window", "broadcast"])
def test_who_is_not_signed_in_gets_an_error_and_nothing_of_the_row(
    market: Marketplace, reserved: bool
) -> None:
    """The same whatever changed: docs/threat-model.md says what it tells."""
    (market.reserve if reserved else market.book)()
    assert market.changes.poll()["anon"] == [{"type": "INSERT", "error": "401"}]
    market.db.sql("update session_requests set notes = 'the red one'")
    assert market.changes.poll()["anon"] == [{"type": "UPDATE", "error": "401"}]


@pytest.mark.parametrize(
    "columns",
    [
        "priority_notified_at = 'infinity'",
        "priority_notified_at = '-infinity'",
        "priority_window_minutes = 2147483647",
        "priority_window_minutes = null",
        "priority_notified_at = null",
        "expires_at = 'infinity', notification_sent_at = '-infinity'",
        "status = 'accepted', accepted_at = null, mechanic_id = null",
        "status = 'expired', updated_at = 'infinity'",
        "metadata = '[]', plan_code = null",
    ],
)
def test_the_policy_never_raises(market: Marketplace, columns: str) -> None:
    """An error would cost every subscriber the whole batch. Whatever the row, whoever asks."""
    market.reserve()
    superuser = market.db.superuser()
    superuser.execute("set session_replication_role = replica")
    superuser.execute(f"update public.session_requests set {columns}".encode())
    subjects: list[object] = ["", "0", "user_2abc", 7, None, [], {}]
    odd = {str(subject): Client(claims={"sub": subject}) for subject in subjects}
    with Changes(market.db, market.clients | odd) as changes:
        superuser.execute("update public.session_requests set updated_at = updated_at")
        told = changes.poll()
    assert "customer" in told and not set(odd) & set(told)
