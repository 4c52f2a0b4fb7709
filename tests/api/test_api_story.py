"""The story of a booking as supabase-py tells it to a customer and to mechanics."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from supabase import PostgrestAPIError

from stack.clients import paid_checkout, post_event
from tests.api.world import Person, World, refused

HIDDEN = ("PT404", "request_not_found")


def timeline(customer: Person, request_id: str) -> list[str]:
    """The transitions in short: `new_request:declined by mechanic`."""
    return [
        f"{step['event']}{':' + step['reason'] if step['reason'] else ''} by {step['actor']}"
        for step in customer.rpc("get_session_request_timeline", request_id=request_id)
    ]


def test_favourite_accepts(world: World) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    favourite = {"customer_id": carla.id, "mechanic_id": frank.id}
    carla.client.table("customer_favorites").insert(favourite).execute()
    frank.rpc("set_presence", status="online")
    (listed,) = carla.rpc("list_favorite_mechanics")
    assert (listed["mechanic_id"], listed["is_online"]) == (frank.id, True)
    status = carla.rpc("get_mechanic_status", mechanic_id=frank.id)
    assert status == {"is_online": True, "last_seen": listed["last_seen"]}

    checkout = carla.rpc(
        "prepare_checkout",
        plan_code="quick-chat",
        preferred_mechanic_id=frank.id,
        routing_type="priority_broadcast",
        skip_if_offline=True,
    )
    assert checkout["banner"] == "Booking with Mia (Priority)"
    assert checkout["metadata"] == {
        "customer_id": carla.id,
        "plan_code": "quick-chat",
        "session_type": "chat",
        "routing_type": "priority_broadcast",
        "preferred_mechanic_id": frank.id,
        "priority_window_minutes": "10",
        "skip_if_offline": "true",
    }
    request_id = world.deliver(paid_checkout(checkout["metadata"]))

    (opened,) = frank.rpc("list_open_session_requests")[:1]
    assert (opened["request_id"], opened["is_priority"]) == (request_id, True)
    assert opened["window_ends_at"] and opened["match_reasons"] == ["Available now"]
    assert not {"customer_name", "customer_email", "notes"} & set(opened)
    assert frank.may_take(request_id) and not mona.may_take(request_id)
    with refused(*HIDDEN):
        mona.rpc("accept_session_request", request_id=request_id)

    taken = frank.rpc("accept_session_request", request_id=request_id)
    assert (taken["status"], taken["mechanic_id"]) == ("accepted", frank.id)
    assert taken["customer_name"] == "Carla Customer"
    assert frank.rpc("accept_session_request", request_id=request_id) == taken
    with refused(*HIDDEN):
        mona.rpc("accept_session_request", request_id=request_id)
    assert not mona.sees(request_id) and frank.sees(request_id) and carla.sees(request_id)

    done = frank.rpc("complete_session_request", request_id=request_id)
    assert done["status"] == "completed"
    assert frank.rpc("complete_session_request", request_id=request_id) == done
    assert timeline(carla, request_id) == [
        "priority_request by system",
        "request_accepted by mechanic",
        "request_completed by mechanic",
    ]


def test_favourite_declines(world: World) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    request_id = world.book(carla, frank)
    first = frank.rpc("decline_session_request", request_id=request_id, reason="on holiday")
    assert first["request_id"] == request_id and first["declined_at"]
    assert frank.rpc("decline_session_request", request_id=request_id) == first
    assert not frank.may_take(request_id) and mona.may_take(request_id)
    mona.rpc("accept_session_request", request_id=request_id)
    assert timeline(carla, request_id) == [
        "priority_request by system",
        "request_declined by mechanic",
        "new_request:declined by mechanic",
        "request_accepted by mechanic",
    ]
    for person in (carla, frank, mona):
        assert all("holiday" not in str(event) for event in person.events())


def test_the_winner_gives_it_back_and_the_next_does_not_come(world: World) -> None:
    carla, frank, mona, rita = world.customer(), *(world.mechanic() for _ in range(3))
    request_id = world.book(carla, frank)
    frank.rpc("accept_session_request", request_id=request_id)
    first = frank.rpc("release_session_request", request_id=request_id, reason="on holiday")
    assert first["request_id"] == request_id and first["released_at"]
    assert frank.rpc("release_session_request", request_id=request_id) == first
    for person in (frank, mona, rita):
        assert person.may_take(request_id) == person.sees(request_id) == (person is not frank)
    with refused("PT404", "request_not_found"):
        frank.rpc("accept_session_request", request_id=request_id)

    mona.rpc("accept_session_request", request_id=request_id)
    with refused("PT409", "too_early"):
        carla.rpc("reopen_session_request", request_id=request_id)
    world.sql(
        "update public.session_requests set accepted_at = now() - interval '10 minutes'"
        " where id = %s",
        request_id,
    )
    closed = carla.rpc("reopen_session_request", request_id=request_id)
    assert (closed["id"], closed["status"]) == (request_id, "cancelled")
    for person in (frank, mona, rita):
        assert not person.may_take(request_id) and not person.sees(request_id)
    (paid,) = carla.rpc("list_session_request_payments", request_ids=[request_id])
    assert paid["status"] == "refund_due"
    assert timeline(carla, request_id) == [
        "priority_request by system",
        "request_accepted by mechanic",
        "request_released:released by mechanic",
        "new_request by mechanic",
        "request_accepted by mechanic",
        "request_released:no_show by customer",
        "request_cancelled:cancelled by customer",
    ]
    for person in (carla, frank, mona, rita):
        assert all("holiday" not in str(event) for event in person.events())


def test_window_over_before_the_sweep_came(world: World) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    request_id = world.book(carla, frank)
    with world.owner.transaction():  # no sweep between these two
        world.end_window(request_id)
        assert world.request(request_id)["notification_sent_at"] is None
    assert mona.may_take(request_id) and frank.may_take(request_id)
    assert mona.rpc("accept_session_request", request_id=request_id)["mechanic_id"] == mona.id
    with refused("PT409", "request_taken"):
        frank.rpc("accept_session_request", request_id=request_id)


def test_customer_broadcasts_or_cancels(world: World) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    request_id = world.book(carla, frank)
    shown = carla.rpc("broadcast_session_request_now", request_id=request_id)
    assert shown["notification_sent_at"] and shown["status"] == "pending"
    assert carla.rpc("broadcast_session_request_now", request_id=request_id) == shown
    assert mona.may_take(request_id) and frank.may_take(request_id)
    assert carla.rpc("cancel_session_request", request_id=request_id)["status"] == "cancelled"
    assert not mona.sees(request_id)
    assert timeline(carla, request_id)[1:] == [
        "new_request:customer by customer",
        "request_cancelled:cancelled by customer",
    ]
    with refused("PT410", "request_cancelled"):
        mona.rpc("accept_session_request", request_id=request_id)


def test_free_session(world: World) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    wish = {"preferred_mechanic_id": frank.id, "routing_type": "priority_broadcast"}
    booked = carla.rpc("request_free_session", plan_code="free-diagnostic", **wish)
    assert (booked["priority_window_minutes"], booked["customer_id"]) == (10, carla.id)
    assert frank.may_take(booked["id"]) and not mona.may_take(booked["id"])


def test_presence(world: World) -> None:
    carla, frank = world.customer(), world.mechanic()
    for status in ("online", "busy", "away", "offline", "online"):
        assert frank.rpc("set_presence", status=status)["is_online"] == (status == "online")
        seen = carla.rpc("get_mechanic_status", mechanic_id=frank.id)
        assert seen["is_online"] == (status == "online") and seen["last_seen"]
    world.sql(
        "update public.mechanics set updated_at = now() - interval '2 minutes' where id = %s",
        frank.id,
    )
    assert carla.rpc("get_mechanic_status", mechanic_id=frank.id)["is_online"] is False
    unknown = carla.rpc("get_mechanic_status", mechanic_id=carla.id)
    assert unknown == {"is_online": False, "last_seen": None}


def test_race(world: World) -> None:
    """Twenty accepts at once by ten mechanics, each asking twice: one has it."""
    mechanics = [world.mechanic() for _ in range(10)]
    request_id = world.book(world.customer())
    start = threading.Barrier(20)

    def accept(mechanic: Person) -> str:
        start.wait()
        try:
            mechanic.rpc("accept_session_request", request_id=request_id)
        except PostgrestAPIError as error:
            return f"{error.code} {error.details}"
        return mechanic.id

    for mechanic in mechanics:
        assert mechanic.client
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(accept, mechanics * 2))
    winner = str(world.request(request_id)["mechanic_id"])
    assert sorted(answers) == sorted([winner] * 2 + ["PT409 request_taken"] * 18)


@pytest.mark.parametrize("asked", [True, False])
def test_flag_off(world: World, asked: bool, flag_off: None) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    with refused("PT404", "feature_disabled"):
        carla.rpc("get_mechanic_status", mechanic_id=frank.id)
    metadata = world.metadata(carla, frank)
    assert metadata["routing_type"] == "broadcast" and "preferred_mechanic_id" not in metadata
    if asked:  # a Checkout Session that was made before
        metadata |= {"routing_type": "priority_broadcast", "preferred_mechanic_id": frank.id}
    request_id = world.deliver(paid_checkout(metadata))
    row = world.request(request_id)
    names = ("preferred_mechanic_id", "priority_window_minutes", "priority_notified_at")
    assert [row[name] for name in names] == [None] * 3 and row["notification_sent_at"]
    assert mona.may_take(request_id) and frank.may_take(request_id)


def test_flag_turned_off_in_the_window(world: World) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    request_id = world.book(carla, frank)
    assert not mona.may_take(request_id)
    try:
        world.turn(False)
        assert mona.may_take(request_id)
        assert timeline(carla, request_id)[1:] == ["new_request:flag_off by system"]
    finally:
        world.turn(True)
    assert mona.may_take(request_id)


def test_paid_twice_and_refunded(world: World) -> None:
    carla, mona = world.customer(), world.mechanic()
    event = paid_checkout(world.metadata(carla))
    request_id = world.deliver(event)
    again = post_event(world.env, event | {"id": event["id"] + "_other"})
    for status, answer in (post_event(world.env, event), again):
        assert (status, answer) == (200, {"outcome": "duplicate", "request_id": request_id})
    payment = event["data"]["object"]["payment_intent"]
    refund = {"object": "charge", "payment_intent": payment, "refunded": True}
    charge = {"id": "evt_" + payment, "type": "charge.refunded", "data": {"object": refund}}
    assert post_event(world.env, charge)[1]["outcome"] == "refunded"
    assert timeline(carla, request_id)[-1] == "request_cancelled:refunded by system"
    with refused("PT410", "request_cancelled"):
        mona.rpc("accept_session_request", request_id=request_id)
