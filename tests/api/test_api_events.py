"""Notices and the catch-up: together they miss nothing, whatever becomes of the connection."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from stack.clients import paid_checkout, post_event
from tests.api.world import Person, Row, World
from tests.database import eventually


def listen(world: World, person: Person) -> psycopg.Connection[Any]:
    connection: psycopg.Connection[Any] = psycopg.connect(
        world.env["DATABASE_URL"], autocommit=True
    )
    for topic in person.topics:
        connection.execute(sql.SQL("listen {}").format(sql.Identifier(topic)))
    return connection


def hear(world: World, person: Person, connection: psycopg.Connection[Any]) -> list[Row]:
    """Every notice up to now, and so up to one that is sent now."""
    world.sql("select pg_notify(%s, 'now')", person.topics[0])
    heard: list[Row] = []
    for notice in connection.notifies(timeout=20):
        if notice.payload == "now":
            return heard
        heard.append(json.loads(notice.payload))
    raise AssertionError("the last notice did not come")


def about(request_id: str, payloads: list[Row]) -> list[Row]:
    """Each event of a request once, in order: some come on two topics."""
    found = {row["event_id"]: row for row in payloads if row["request_id"] == request_id}
    return [found[event_id] for event_id in sorted(found)]


def test_notices_and_catch_up_agree(world: World) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    ears = {person.id: listen(world, person) for person in (carla, frank, mona)}
    request_id = world.book(carla, frank)
    frank.rpc("decline_session_request", request_id=request_id, reason="on holiday")
    mona.rpc("accept_session_request", request_id=request_id)
    mona.rpc("complete_session_request", request_id=request_id)
    world.deliver_notices()  # what the sweep does on a busy system

    expected = {
        carla.id: ["priority_request", "new_request", "request_accepted", "request_completed"],
        frank.id: ["priority_request", "request_declined", "new_request", "request_accepted"],
        mona.id: ["new_request", "request_accepted", "request_completed"],
    }
    for person in (carla, frank, mona):
        with ears[person.id] as connection:
            heard = about(request_id, hear(world, person, connection))
        assert [each["event"] for each in heard] == expected[person.id]
        listed = person.events()
        assert about(request_id, [row["payload"] for row in listed]) == heard
        for row in listed:
            assert row["event_id"] == row["payload"]["event_id"]
            assert len(json.dumps(row["payload"])) < 1024
        text = json.dumps(heard)
        assert "holiday" not in text and "Carla" not in text and "mail.example" not in text


def test_cursor_and_page(world: World) -> None:
    carla = world.customer()
    ids = [world.book(carla) for _ in range(3)]
    first = carla.rpc("list_session_request_events", max_rows=2)
    assert [row["request_id"] for row in first] == ids[:2]
    rest = carla.rpc("list_session_request_events", after=first[-1]["event_id"])
    assert [row["request_id"] for row in rest] == ids[2:]
    assert carla.rpc("list_session_request_events", after=rest[-1]["event_id"]) == []
    assert carla.rpc("list_session_request_events", max_rows=0) == []
    assert world.customer().rpc("list_session_request_events") == []


def test_reconnecting_misses_nothing(world: World) -> None:
    """A listener is killed again and again while bookings come in on eight connections."""
    frank, carla = world.mechanic(), world.customer()
    frank_connections: list[int] = []
    paid, over = threading.Event(), threading.Event()
    start = max((row["event_id"] for row in frank.events()), default=0)
    seen: list[int] = []

    def follow() -> None:
        """Listen first, then catch up, then act; after a lost connection the same again."""
        last = False
        while not last:
            last = over.is_set()
            try:
                with listen(world, frank) as connection:
                    frank_connections.append(connection.info.backend_pid)
                    while True:
                        listed = frank.events(seen[-1] if seen else start)
                        seen.extend(row["event_id"] for row in listed)
                        if last or not any(connection.notifies(timeout=1, stop_after=1)):
                            break
            except psycopg.OperationalError:
                continue

    def pay() -> None:
        while not paid.wait(0.02):  # else thousands stay open for the tests that come after
            post_event(world.env, paid_checkout(metadata))

    def has_followed(times: int) -> bool:
        return len(frank_connections) >= times and len(seen) >= 40 * times

    metadata = world.metadata(carla)
    with ThreadPoolExecutor(9) as pool:
        following, *paying = [pool.submit(each) for each in (follow, *[pay] * 8)]
        for times in range(1, 6):
            eventually(partial(has_followed, times))
            world.sql("select pg_terminate_backend(%s)", frank_connections[-1])
        paid.set()
        for each in paying:
            each.result()
        over.set()
    following.result()
    written = world.sql(
        "select id from dispatch.request_events"
        " where 'session_requests_feed' = any(topics) and id > %s order by id",
        start,
    )
    assert seen == [row["id"] for row in written]
