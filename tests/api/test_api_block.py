"""A block from outside: every answer is, byte for byte, one that there is without a block."""

import re
import uuid
from collections.abc import Callable

import httpx
import pytest

from tests.api.world import Person, World

HIDDEN = (200, "[]", "*/*")
Block = Callable[[World, Person, Person], None]


def by_customer(world: World, carla: Person, frank: Person) -> None:
    answer = carla.post("block_mechanic", mechanic_id=frank.id)
    assert (answer.status_code, answer.content) == (204, b"")


def by_mechanic(world: World, carla: Person, frank: Person) -> None:
    request = world.book(carla)
    frank.rpc("accept_session_request", request_id=request)
    frank.rpc("complete_session_request", request_id=request)
    answer = frank.post("block_customer", request_id=request)
    assert (answer.status_code, answer.content) == (204, b"")


EITHER_WAY = pytest.mark.parametrize("block", [by_customer, by_mechanic])


def seen(answer: httpx.Response, *ids: str) -> tuple[int, str, str | None]:
    """All that tells one answer from another, but for the ids asked about and the time."""
    text = answer.text
    for each in ids:
        text = text.replace(each, "whom")
    text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(\+[\d:]+)?", "when", text)
    return answer.status_code, text, answer.headers.get("content-range")


@EITHER_WAY
def test_the_mechanic_is_answered_as_if_there_were_no_such_request(
    world: World, block: Block
) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    block(world, carla, frank)
    before = seen(frank.http.get(f"/session_requests?select=id&customer_id=eq.{carla.id}"))
    latest = frank.rpc("list_session_request_events", after=None)
    requests = [world.book(carla), world.book(carla, mona)]
    rival = world.book(carla)
    mona.rpc("accept_session_request", request_id=rival)
    for request in (*requests, rival):
        unknown = str(uuid.uuid4())
        for function in (
            "accept_session_request",
            "decline_session_request",
            "complete_session_request",
            "cancel_session_request",
            "broadcast_session_request_now",
            "get_session_request_timeline",
            "block_customer",
            "unblock_customer",
        ):
            answers = [
                seen(frank.post(function, request_id=each), each) for each in (request, unknown)
            ]
            assert answers[0] == answers[1], function
        assert not frank.may_take(request)
        assert seen(frank.http.get(f"/session_requests?select=id&id=eq.{request}")) == HIDDEN
    assert mona.may_take(requests[0]) and mona.may_take(requests[1])
    exact = {"Prefer": "count=exact"}
    counted = frank.http.get("/session_requests?select=id&status=eq.pending", headers=exact)
    assert not set(requests) & {row["id"] for row in counted.json()}
    assert before == seen(frank.http.get(f"/session_requests?select=id&customer_id=eq.{carla.id}"))
    assert not {*requests, rival} & {row["request_id"] for row in frank.events()}
    assert frank.rpc("list_session_request_events", after=None) == latest


@EITHER_WAY
def test_the_customer_is_answered_as_of_one_who_is_not_approved(world: World, block: Block) -> None:
    carla, frank, sven = world.customer(), world.mechanic(), world.mechanic()
    for each in (frank, sven):
        each.rpc("set_presence", status="online")
        favourite = {"customer_id": carla.id, "mechanic_id": each.id}
        assert carla.http.post("/customer_favorites", json=favourite).is_success
    block(world, carla, frank)
    world.sql("update mechanics set status = 'suspended' where id = %s", sven.id)

    def answers(about: Person) -> list[tuple[int, str, str | None]]:
        wish = {"routing_type": "priority_broadcast", "preferred_mechanic_id": about.id}
        exact = {"Prefer": "count=exact"}
        favourite = {"customer_id": carla.id, "mechanic_id": about.id}
        mine = f"/customer_favorites?mechanic_id=eq.{about.id}"
        found = [
            carla.post("get_mechanic_status", mechanic_id=about.id),
            carla.post("prepare_checkout", plan_code="quick-chat", **wish),
            carla.http.get(f"/mechanics?id=eq.{about.id}", headers=exact),
            carla.http.get(f"{mine}&select=*,mechanics(*)"),
            carla.http.get(
                f"/rpc/list_favorite_mechanics?mechanic_id=eq.{about.id}", headers=exact
            ),
            carla.http.delete(mine),
            carla.http.post("/customer_favorites", json=favourite),
        ]
        booked = world.book(carla, about)
        timeline = carla.post("get_session_request_timeline", request_id=booked)
        words = [(row["event"], row["actor"], row["reason"]) for row in timeline.json()]
        return [*(seen(each, about.id) for each in found), (0, str(words), None)]

    assert answers(frank) == answers(sven)
    # To everyone else he is there.
    other = world.customer()
    assert len(other.http.get(f"/mechanics?id=eq.{frank.id}").json()) == 1
    assert other.rpc("get_mechanic_status", mechanic_id=frank.id)["is_online"]


def test_a_block_is_taken_back(world: World) -> None:
    carla, frank = world.customer(), world.mechanic()
    by_customer(world, carla, frank)
    request = world.book(carla)
    assert not frank.may_take(request)
    answer = carla.post("unblock_mechanic", mechanic_id=frank.id)
    assert (answer.status_code, answer.content) == (204, b"")
    assert frank.may_take(request)
    frank.rpc("accept_session_request", request_id=request)
    for function in ("block_customer", "block_customer", "unblock_customer"):
        frank.rpc(function, request_id=request)
    assert frank.may_take(world.book(carla))


def test_nobody_is_told_of_a_mechanic_who_is_none(world: World) -> None:
    """One who is approved, one who has applied, one who is no mechanic, nobody: one answer."""
    carla = world.customer()
    whom = [
        world.mechanic().id,
        world.mechanic("pending").id,
        world.customer().id,
        str(uuid.uuid4()),
        carla.id,
    ]
    for function in ("block_mechanic", "unblock_mechanic", "unblock_mechanic"):
        assert {seen(carla.post(function, mechanic_id=each)) for each in whom} == {
            (204, "", "0-0/*")
        }
