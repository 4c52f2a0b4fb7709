"""Whom the database names for an event: those for whom the catch-up would list it, no other."""

import random

import pytest
from psycopg import IsolationLevel
from psycopg.errors import FeatureNotSupported, InsufficientPrivilege

from tests.database import Database, rpc

HEAR = """
    select event_id, payload, user_ids::text[], is_on_feed, hidden_from::text[]
    from dispatch.hear_events(%s, %s)
"""
HEAR_FEED = "select dispatch.hear_feed(%s)"


def test_many_at_once_hear_what_each_would_list(shared: Database) -> None:
    db, chance = shared, random.Random(18)
    customers = [db.make_customer() for _ in range(4)]
    states = ["approved"] * 5 + ["pending", "suspended", None]
    mechanics = [db.make_mechanic(status=each) for each in states]
    approved = mechanics[:5]
    # A mechanic books, too.
    for number in range(40):
        customer = chance.choice([*customers, approved[0]])
        if number % 8 == 5:
            blocker, name = chance.choice(customers), chance.choice(approved)
            rpc(db.connect(blocker), "block_mechanic", mechanic_id=name)
        wished = chance.choice([None, *approved])
        request = db.make_request(customer, preferred=wished)
        doing = chance.choice(["wait", "accept", "fallback", "cancel"])
        if doing == "accept":
            if wished and db.request(request)["priority_notified_at"]:
                rpc(db.connect(wished), "accept_session_request", request_id=request)
        elif doing == "fallback" and db.request(request)["priority_notified_at"]:
            db.end_window(request)
            db.sweep()
        elif doing == "cancel":
            rpc(db.connect(customer), "cancel_session_request", request_id=request)
    db.sql("update mechanics set status = 'suspended' where id = %s", approved[4])

    people = [*customers, *mechanics]
    heard = db.sql(HEAR, 0, 1000)
    assert len(heard) == len(db.events()) > 40
    on_feed = {people[position - 1] for position in db.value(HEAR_FEED, people)}
    assert on_feed == set(approved[:4])
    told: dict[str, list[int]] = {each: [] for each in people}
    for event in heard:
        users = set(event["user_ids"])
        assert len(event["user_ids"]) == len(users)
        if event["is_on_feed"]:
            users |= on_feed - set(event["hidden_from"])
        for user_id in users:
            told[user_id].append(event["event_id"])
    assert any(each["hidden_from"] for each in heard)
    for user_id in people:
        listed = rpc(db.connect(user_id), "list_session_request_events", after=0, max_rows=1000)
        assert told[user_id] == [each["event_id"] for each in listed]
    assert db.value("select count(*) from dispatch.blocks") > 0


def test_it_stops_where_lower_events_may_still_come(shared: Database) -> None:
    db, customer = shared, shared.make_customer()
    (last,) = db.sql("select max(id) as id from dispatch.request_events")
    slow = db.open()
    slow.execute("begin")
    db.make_request(customer, connection=slow)
    db.make_request(customer)
    assert db.sql(HEAR, last["id"] or 0, 10) == []
    slow.execute("commit")
    found = db.sql(HEAR, last["id"] or 0, 10)
    assert len(found) == 2
    assert db.sql(HEAR, None, 10) == found[1:]
    assert db.sql(HEAR, found[0]["event_id"], 10) == found[1:]


def test_it_hears_in_read_committed_only(shared: Database) -> None:
    """An older snapshot could skip an event, and the hub's cursor would be past it."""
    hub = shared.open()
    hub.isolation_level = IsolationLevel.REPEATABLE_READ
    with hub.transaction(), pytest.raises(FeatureNotSupported):
        hub.execute(HEAR.encode(), (0, 10))


def test_each_commit_that_tells_anybody_wakes_the_hub_once(shared: Database) -> None:
    db = shared
    listener = db.open()
    listener.execute("listen dispatch_events")
    for _ in range(3):
        db.make_request()
    db.sql("select dispatch.deliver_events()")
    notices = list(listener.notifies(timeout=60, stop_after=1))
    notices += listener.notifies(timeout=0)
    assert {each.payload for each in notices} == {""}  # whoever else listens learns nothing
    assert 1 <= len(notices) <= 4


@pytest.mark.parametrize(
    "statement",
    [
        "select * from dispatch.request_events",
        "select * from dispatch.list_request_events(0, 1)",
        "select * from public.list_session_request_events()",
        "select * from public.session_requests",
        "select dispatch.sweep()",
        "set role authenticated",
    ],
)
def test_the_hub_s_role_may_no_more(shared: Database, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        shared.open("hub_app").execute(statement.encode())
