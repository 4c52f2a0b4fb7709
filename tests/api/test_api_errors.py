"""Every error of every RPC: its HTTP status, and what supabase-py makes of it; nothing changes."""

import re
import uuid
from collections.abc import Callable

import pytest

from stack.push_service import Device
from tests.api.world import Person, World, refused

Ask = Callable[[World], tuple[Person, dict[str, object]]]

MECHANIC_RPCS = (
    "set_presence",
    "list_open_session_requests",
    "accept_session_request",
    "decline_session_request",
    "complete_session_request",
    "release_session_request",
    "block_customer",
    "unblock_customer",
)
# Their parameter, and something to give for it.
USER_RPCS: dict[str, dict[str, object]] = {
    "acknowledge_notice": {"event_id": 1},
    "register_device": {**Device("https://web.push.apple.com/x").subscription()},
    "unregister_device": {"endpoint": "https://web.push.apple.com/x"},
    "get_mechanic_status": {"mechanic_id": str(uuid.uuid4())},
    "list_favorite_mechanics": {},
    "prepare_checkout": {"plan_code": "quick-chat"},
    "request_free_session": {"plan_code": "free-diagnostic"},
    "cancel_session_request": {"request_id": str(uuid.uuid4())},
    "broadcast_session_request_now": {"request_id": str(uuid.uuid4())},
    "get_session_request_timeline": {"request_id": str(uuid.uuid4())},
    "list_session_request_mechanics": {"request_id": str(uuid.uuid4())},
    "get_session_request_by_checkout": {"checkout_session_id": "cs_unknown"},
    "get_checkout_status": {"checkout_session_id": "cs_unknown"},
    "set_presence": {"status": "online"},
    "list_open_session_requests": {},
    "accept_session_request": {"request_id": str(uuid.uuid4())},
    "decline_session_request": {"request_id": str(uuid.uuid4())},
    "complete_session_request": {"request_id": str(uuid.uuid4())},
    "release_session_request": {"request_id": str(uuid.uuid4())},
    "reopen_session_request": {"request_id": str(uuid.uuid4())},
    "block_mechanic": {"mechanic_id": str(uuid.uuid4())},
    "unblock_mechanic": {"mechanic_id": str(uuid.uuid4())},
    "block_customer": {"request_id": str(uuid.uuid4())},
    "unblock_customer": {"request_id": str(uuid.uuid4())},
    "list_session_request_events": {},
    "list_session_request_payments": {"request_ids": []},
}
LEAKS = re.compile(r"(?i)\b(select|insert|update|dispatch\.|carla|mail\.example|PL/pgSQL)\b")


def is_refused(
    world: World, person: Person, rpc: str, code: str, detail: str, **given: object
) -> None:
    """The same refusal over HTTP and in supabase-py; nothing was written for it.

    The sweep is at work meanwhile: what it writes has no actor and accepts nothing.
    """
    counted = """
        select
            (select count(*) from dispatch.request_events where actor_id is not null) as acts,
            (select count(*) from dispatch.stripe_events) as stripe_events,
            md5(string_agg(concat_ws(',', r.id, r.mechanic_id, r.accepted_at), ';' order by r.id))
        from public.session_requests as r
    """
    before = world.sql(counted)
    response = person.post(rpc, **given)
    assert (response.status_code, response.json()["details"]) == (int(code[2:]), detail)
    error = response.json()
    assert set(error) == {"code", "message", "details", "hint"}
    assert error["code"] == code and error["message"] and error["hint"]
    assert not LEAKS.search(f"{error['message']} {error['hint']}".replace("service_plans", ""))
    with refused(code, detail):
        person.rpc(rpc, **given)
    assert world.sql(counted) == before


# --- Who asks ---


@pytest.mark.parametrize("rpc", USER_RPCS)
def test_no_user(world: World, rpc: str) -> None:
    """A token of the right role that names nobody."""
    nobody = world.anyone("authenticated")
    is_refused(world, nobody, rpc, "PT401", "not_signed_in", **USER_RPCS[rpc])


@pytest.mark.parametrize("rpc", MECHANIC_RPCS)
@pytest.mark.parametrize("status", ["no row", "pending", "suspended", None])
def test_no_mechanic(world: World, rpc: str, status: str | None) -> None:
    person = world.customer() if status == "no row" else world.mechanic(status)
    is_refused(world, person, rpc, "PT403", "not_a_mechanic", **USER_RPCS[rpc])


# --- What is given ---


@pytest.mark.parametrize(
    ("rpc", "given", "detail"),
    [
        ("prepare_checkout", {"plan_code": None}, "invalid_plan"),
        ("prepare_checkout", {"plan_code": ""}, "invalid_plan"),
        ("prepare_checkout", {"plan_code": "gold'; --"}, "invalid_plan"),
        ("prepare_checkout", {"routing_type": None}, "invalid_routing_type"),
        ("prepare_checkout", {"routing_type": "PRIORITY"}, "invalid_routing_type"),
        ("prepare_checkout", {"routing_type": "priority_broadcast"}, "invalid_routing_type"),
        ("prepare_checkout", {"priority_window_minutes": 0}, "invalid_window"),
        ("prepare_checkout", {"priority_window_minutes": 61}, "invalid_window"),
        ("prepare_checkout", {"priority_window_minutes": -10}, "invalid_window"),
        ("request_free_session", {"plan_code": None}, "invalid_plan"),
        ("request_free_session", {"plan_code": "quick-chat"}, "invalid_plan"),
        ("request_free_session", {"plan_code": "gold"}, "invalid_plan"),
        ("request_free_session", {"routing_type": None}, "invalid_routing_type"),
        ("request_free_session", {"routing_type": "x"}, "invalid_routing_type"),
        ("request_free_session", {"routing_type": "priority_broadcast"}, "invalid_routing_type"),
        ("set_presence", {"status": None}, "invalid_status"),
        ("set_presence", {"status": "Online"}, "invalid_status"),
        ("set_presence", {"status": ""}, "invalid_status"),
    ],
)
def test_bad_value(world: World, rpc: str, given: dict[str, object], detail: str) -> None:
    is_refused(world, world.mechanic(), rpc, "PT422", detail, **(USER_RPCS[rpc] | given))


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "evt_1",
        {},
        {"id": "evt_1", "type": "charge.refunded"},
        {"id": "", "type": "charge.refunded", "data": {"object": {}}},
        {"id": "evt_1", "type": "checkout.session.completed", "data": {"object": {}}},
    ],
)
def test_no_event(world: World, event: object) -> None:
    service = world.anyone("service_role")
    is_refused(world, service, "process_stripe_event", "PT422", "invalid_event", event=event)


@pytest.mark.parametrize(
    ("rpc", "given", "status"),
    [
        ("accept_session_request", {"request_id": "not a uuid"}, 400),
        ("accept_session_request", {"request_id": 17}, 400),
        ("accept_session_request", {}, 404),
        ("accept_session_request", {"id": str(uuid.uuid4())}, 404),
        ("prepare_checkout", {"plan_code": "quick-chat", "priority_window_minutes": "ten"}, 400),
        ("list_session_request_events", {"after": "first"}, 400),
        ("list_session_request_events", {"after": 10**30}, 400),
        ("no_such_function", {}, 404),
    ],
)
def test_wrong_type(world: World, rpc: str, given: dict[str, object], status: int) -> None:
    assert world.mechanic().post(rpc, **given).status_code == status


# --- In which state the request is ---

STATES = ("taken", "completed", "cancelled", "expired", "due")


def bring(world: World, state: str, customer: Person, frank: Person, *, reserved: bool) -> str:
    """A request in this state, reserved for Frank before or broadcast."""
    request_id = world.book(customer, frank if reserved else None)
    if state in ("taken", "completed"):
        frank.rpc("accept_session_request", request_id=request_id)
    if state == "completed":
        frank.rpc("complete_session_request", request_id=request_id)
    if state == "cancelled":
        customer.rpc("cancel_session_request", request_id=request_id)
    if state == "expired":
        world.expire(request_id)
    if state == "due":  # expired by the clock, whether or not a sweep has come by
        world.sql("update public.session_requests set expires_at = now() where id = %s", request_id)
    return request_id


@pytest.mark.parametrize("state", STATES)
def test_state_after_broadcast(world: World, state: str) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    request_id = bring(world, state, carla, frank, reserved=False)
    others = {"taken": ("PT409", "request_taken"), "cancelled": ("PT410", "request_cancelled")}
    others["completed"] = others["taken"]
    for rpc in ("accept_session_request", "decline_session_request"):
        answer = others.get(state, ("PT410", "request_expired"))
        is_refused(world, mona, rpc, *answer, request_id=request_id)
    own = {"cancelled": ("PT410", "request_cancelled")}
    own["taken"] = own["completed"] = ("PT409", "request_not_pending")
    for rpc in ("cancel_session_request", "broadcast_session_request_now"):
        answer = own.get(state, ("PT410", "request_expired"))
        is_refused(world, carla, rpc, *answer, request_id=request_id)
    if state in ("taken", "completed"):
        is_refused(world, frank, "decline_session_request", *own[state], request_id=request_id)
    for rpc in ("complete_session_request", "release_session_request"):
        is_refused(world, mona, rpc, "PT403", "not_yours", request_id=request_id)
    own["taken"] = ("PT409", "too_early")
    answer = own.get(state, ("PT410", "request_expired"))
    is_refused(world, carla, "reopen_session_request", *answer, request_id=request_id)


@pytest.mark.parametrize("state", ["open", *STATES])
def test_reserved_is_not_revealed(world: World, state: str) -> None:
    """Whatever became of it in its window: to others it never existed."""
    carla, frank = world.customer(), world.mechanic()
    request_id = bring(world, state, carla, frank, reserved=True)
    for stranger in (world.mechanic(), world.customer()):
        for rpc in USER_RPCS:
            if "request_id" not in USER_RPCS[rpc]:
                continue
            code, detail = "PT404", "request_not_found"
            if rpc in MECHANIC_RPCS and "feed" not in str(stranger.topics):
                code, detail = "PT403", "not_a_mechanic"
            is_refused(world, stranger, rpc, code, detail, request_id=request_id)


@pytest.mark.parametrize("request_id", [None, str(uuid.uuid4())], ids=["null", "nobody's"])
@pytest.mark.parametrize("rpc", [rpc for rpc in USER_RPCS if "request_id" in USER_RPCS[rpc]])
def test_unknown(world: World, rpc: str, request_id: str | None) -> None:
    is_refused(world, world.mechanic(), rpc, "PT404", "request_not_found", request_id=request_id)


def test_not_yours(world: World) -> None:
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    request_id = world.book(carla)
    for rpc in (
        "cancel_session_request",
        "broadcast_session_request_now",
        "get_session_request_timeline",
        "complete_session_request",
        "release_session_request",
        "reopen_session_request",
    ):
        is_refused(world, mona, rpc, "PT403", "not_yours", request_id=request_id)
    frank.rpc("accept_session_request", request_id=request_id)
    for rpc in ("cancel_session_request", "get_session_request_timeline"):
        is_refused(world, frank, rpc, "PT403", "not_yours", request_id=request_id)


def test_own_request(world: World) -> None:
    """A mechanic may book, and not take the booking."""
    both = world.mechanic()
    request_id = world.book(both, both)
    assert world.request(request_id)["notification_sent_at"]
    for rpc in ("accept_session_request", "decline_session_request"):
        is_refused(world, both, rpc, "PT404", "request_not_found", request_id=request_id)


def test_cancelled_after_accept(world: World) -> None:
    """The marketplace's backend may cancel a job that is being done."""
    carla, frank = world.customer(), world.mechanic()
    request_id = bring(world, "taken", carla, frank, reserved=True)
    service = world.anyone("service_role")
    service.client.table("session_requests").update({"status": "cancelled"}).eq(
        "id", request_id
    ).execute()
    gone = ("PT410", "request_cancelled")
    for rpc in ("complete_session_request", "accept_session_request"):
        is_refused(world, frank, rpc, *gone, request_id=request_id)


@pytest.mark.usefixtures("flag_off")
def test_flag_off(world: World) -> None:
    given = USER_RPCS["get_mechanic_status"]
    is_refused(world, world.customer(), "get_mechanic_status", "PT404", "feature_disabled", **given)


def test_direct_writes_meet_the_guard(world: World) -> None:
    """Even service_role hands a reserved request to nobody else."""
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    request_id = world.book(carla, frank)
    table = world.anyone("service_role").client.table("session_requests")
    wrong = {"status": "accepted", "mechanic_id": mona.id}
    with refused("PT404", "request_not_found"):
        table.update(wrong).eq("id", request_id).execute()
    with refused("PT409", "request_not_pending"):
        table.update({"status": "completed"}).eq("id", request_id).execute()
    assert world.request(request_id)["status"] == "pending"
