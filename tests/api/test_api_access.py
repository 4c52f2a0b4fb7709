"""Who gets in: roles, tokens, row level security, and what the API shows of itself."""

import base64
import json
import socket
import uuid
from http.client import parse_headers

import httpx
import pytest
from postgrest.types import ReturnMethod

from stack.clients import paid_checkout
from stack.tokens import sign
from tests.api.test_api_errors import USER_RPCS
from tests.api.world import Person, Row, World, refused

TABLES = ("mechanics", "customer_favorites", "session_requests")
PRIVATE = ("customer_name", "customer_email", "notes", "metadata")


# --- Without a user ---


def test_anon_gets_nothing(world: World) -> None:
    for anon in (world.anyone(), Person(world.env, "", "")):
        for rpc, given in (USER_RPCS | {"process_stripe_event": {"event": {}}}).items():
            assert anon.post(rpc, **given).status_code == 401, rpc
        for table in TABLES:
            assert anon.http.get(f"/{table}").status_code == 401, table
            assert anon.http.post(f"/{table}", json={}).status_code == 401, table
            change = {"created_at": "2026-01-01"}
            assert anon.http.patch(f"/{table}", json=change).status_code == 401, table
            assert anon.http.delete(f"/{table}").status_code == 401, table
        plans = anon.http.get("/service_plans?select=code")
        assert plans.status_code == 200 and {"code": "quick-chat"} in plans.json()
        assert anon.http.delete("/service_plans").status_code == 401


def forged(user_id: str, secret: str) -> str:
    """A token without a signature, which says so itself."""
    parts = ({"alg": "none", "typ": "JWT"}, {"role": "service_role", "sub": user_id})
    head = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*head, b""]).decode()


@pytest.mark.parametrize(
    "make",
    [
        lambda user, secret: sign("authenticated", user, secret=secret, seconds=-60),
        lambda user, secret: sign("authenticated", user, secret="another " * 8),
        lambda user, secret: sign("service_role", secret="another " * 8),
        forged,
        lambda user, secret: sign("authenticated", user, secret=secret)[:-4] + "AAAA",
        lambda user, secret: sign("authenticated", user, secret=secret, nbf=4_000_000_000),
        lambda user, secret: "nonsense",
    ],
    ids=["expired", "other secret", "other secret, service", "unsigned", "cut", "future", "none"],
)
def test_bad_token(world: World, make: object) -> None:
    assert callable(make)
    person = Person(world.env, "", make(world.mechanic().id, world.env["JWT_SECRET"]))
    assert person.http.get("/service_plans").status_code == 401
    for rpc, given in USER_RPCS.items():
        assert person.post(rpc, **given).status_code == 401, rpc


@pytest.mark.parametrize("role", ["postgres", "supabase_admin", "authenticator", "webhook_app"])
def test_token_for_another_role(world: World, role: str) -> None:
    """A role that is signed for but not meant for the API."""
    assert world.anyone(role).http.get("/service_plans").status_code in (401, 403)


# --- Rows and columns ---


def test_rows(world: World) -> None:
    carla, frank, mona, other = (
        world.customer(),
        world.mechanic(),
        world.mechanic(),
        world.customer(),
    )
    pending = world.mechanic("pending")
    reserved, broadcast = world.book(carla, frank), world.book(carla)
    everyone = {"carla": carla, "frank": frank, "mona": mona, "other": other, "pending": pending}

    def who_sees(request_id: str) -> set[str]:
        return {name for name, person in everyone.items() if person.sees(request_id)}

    assert who_sees(reserved) == {"carla", "frank"}
    assert who_sees(broadcast) == {"carla", "frank", "mona"}
    world.end_window(reserved)
    assert who_sees(reserved) == {"carla", "frank", "mona"}
    mona.rpc("accept_session_request", request_id=reserved)
    frank.rpc("decline_session_request", request_id=broadcast)
    assert who_sees(reserved) == {"carla", "mona"}
    assert who_sees(broadcast) == {"carla", "mona"}
    assert len(carla.http.get("/session_requests?select=id").json()) == 2


@pytest.mark.parametrize("column", PRIVATE)
def test_private_columns(world: World, column: str) -> None:
    """Not even those who see the row get these of the table, whichever way they ask."""
    carla, frank = world.customer(), world.mechanic()
    taken, _reserved, _broadcast = (
        world.book(carla, frank),
        world.book(carla, frank),
        world.book(carla),
    )
    frank.rpc("accept_session_request", request_id=taken)
    others = (world.mechanic(), world.mechanic("pending"), world.customer())
    for person in (carla, frank, *others):
        table = person.client.table("session_requests")
        for columns in (column, f"id,{column}", "*"):
            with refused("42501"):
                table.select(columns).execute()
        for query in (
            "session_requests",  # that is, select=*
            f"session_requests?select=id&{column}=is.null",
            f"session_requests?select=id&order={column}",
            f"mechanics?select=id,session_requests({column})",
        ):
            assert person.http.get(f"/{query}").status_code == 403, query
    with refused("42501"):
        world.anyone().client.table("session_requests").select(column).execute()
    service = world.anyone("service_role").client.table("session_requests")
    (row,) = service.select(column).eq("id", taken).execute().data
    assert row == {column: world.request(taken)[column]}


def test_nothing_personal_before_the_accept(world: World) -> None:
    """Nothing that a mechanic can ask for names the customer; the accept does, to the winner."""
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    everyone = (frank, mona, world.mechanic("pending"), world.customer())
    request_id = world.book(carla, frank)
    world.sql(
        "update public.session_requests set notes = 'blue van',"
        """ metadata = metadata || '{"door": "door code"}' where id = %s""",
        request_id,
    )
    row = world.request(request_id)
    payment = [
        row["metadata"][f"stripe_{name}"] for name in ("checkout_session_id", "payment_intent")
    ]
    shown_to_winner = ["Carla Customer", "carla@mail.example", "blue van", "door code"]

    def personal(*answers: httpx.Response) -> list[str]:
        text = "".join(answer.text for answer in answers)
        return [thing for thing in (*shown_to_winner, *payment) if thing in text]

    def known_to(person: Person) -> list[str]:
        return personal(
            *(person.http.get(f"/session_requests?select={column}") for column in row),
            person.post("list_open_session_requests"),
            person.post("list_session_request_events", max_rows=1000),
            person.post("list_favorite_mechanics"),
            person.post("get_session_request_timeline", request_id=request_id),
            person.post("list_session_request_mechanics", request_id=request_id),
            person.post("cancel_session_request", request_id=request_id),
        )

    assert [known_to(person) for person in everyone] == [[]] * 4
    assert personal(frank.post("decline_session_request", request_id=request_id)) == []
    assert mona.may_take(request_id)
    assert [known_to(person) for person in everyone] == [[]] * 4
    accepted = mona.post("accept_session_request", request_id=request_id)
    assert personal(accepted) == shown_to_winner
    assert [known_to(person) for person in everyone] == [[]] * 4


def test_requests_are_written_through_rpcs_only(world: World) -> None:
    carla, frank = world.customer(), world.mechanic()
    request_id = world.book(carla, frank)
    for person in (carla, frank):
        table = person.client.table("session_requests")
        row = {"customer_id": person.id, "session_type": "chat"}
        with refused("42501"):
            table.insert(row, returning=ReturnMethod.minimal).execute()
        with refused("42501"):
            table.update({"status": "accepted"}, returning=ReturnMethod.minimal).eq(
                "id", request_id
            ).execute()
        with refused("42501"):
            table.delete(returning=ReturnMethod.minimal).eq("id", request_id).execute()
    assert world.request(request_id)["status"] == "pending"


def test_the_backend_takes_no_broadcast_back(world: World) -> None:
    """By an upsert of a row that it read before, nor by reserving it for another."""
    carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
    request = world.book(carla, frank)
    backend = world.anyone("service_role")
    (read,) = backend.http.get(f"/session_requests?id=eq.{request}").json()
    frank.rpc("decline_session_request", request_id=request)
    broadcast = world.request(request)
    merge = {"Prefer": "resolution=merge-duplicates"}
    assert backend.http.post("/session_requests", json=read, headers=merge).is_success
    taken_back: list[Row] = [
        {"notification_sent_at": None},
        {
            "notification_sent_at": None,
            "preferred_mechanic_id": mona.id,
            "priority_notified_at": "now",
            "priority_window_minutes": 60,
        },
    ]
    for change in taken_back:
        assert backend.http.patch(f"/session_requests?id=eq.{request}", json=change).is_success
    assert world.request(request) == broadcast | {
        "updated_at": world.request(request)["updated_at"]
    }
    assert world.mechanic().may_take(request)
    # Inside a window, the row as it was read changes nothing, and no change makes it longer.
    reserved = world.book(carla, frank)
    (read,) = backend.http.get(f"/session_requests?id=eq.{reserved}").json()
    before = world.request(reserved)
    assert backend.http.post("/session_requests", json=read, headers=merge).is_success
    longer: list[Row] = [
        {"priority_window_minutes": 2147483647},
        {"priority_notified_at": "infinity"},
        {"priority_notified_at": "2030-01-01"},
        {"preferred_mechanic_id": mona.id},
    ]
    for change in longer:
        assert backend.http.patch(f"/session_requests?id=eq.{reserved}", json=change).is_error
        upsert = backend.http.post("/session_requests", json=read | change, headers=merge)
        assert upsert.is_error
    assert world.request(reserved) == before
    assert not mona.may_take(reserved)


def test_favourites(world: World) -> None:
    carla, other, frank = world.customer(), world.customer(), world.mechanic()
    mine = {"customer_id": carla.id, "mechanic_id": frank.id}
    carla.client.table("customer_favorites").insert(mine).execute()
    with refused("23505"):
        carla.client.table("customer_favorites").insert(mine).execute()
    with refused("42501"):
        other.client.table("customer_favorites").insert(mine).execute()
    with refused("42501"):
        carla.client.table("customer_favorites").update(mine).eq("mechanic_id", frank.id).execute()
    # No mechanic, or one who has applied: the same answer.
    for hidden in (str(uuid.uuid4()), other.id, world.mechanic("pending").id):
        with refused("42501"):
            nobody = mine | {"mechanic_id": hidden}
            carla.client.table("customer_favorites").insert(nobody).execute()
    assert other.rpc("list_favorite_mechanics") == []
    assert frank.client.table("customer_favorites").select("*").execute().data == []
    other.client.table("customer_favorites").delete().eq("mechanic_id", frank.id).execute()
    assert [row["mechanic_id"] for row in carla.rpc("list_favorite_mechanics")] == [frank.id]
    carla.client.table("customer_favorites").delete().eq("mechanic_id", frank.id).execute()
    assert carla.rpc("list_favorite_mechanics") == []


def test_mechanics_do_not_approve_themselves(world: World) -> None:
    applicant, other = world.customer(), world.mechanic()
    table = applicant.client.table("mechanics")
    with refused("42501"):
        table.insert({"id": applicant.id, "status": "approved"}).execute()
    with refused("42501"):
        table.insert({"id": other.id, "display_name": "Not me"}).execute()
    table.insert({"id": applicant.id, "display_name": "Ann", "brands": ["Volvo"]}).execute()
    for change in ({"status": "approved"}, {"is_online": True}, {"updated_at": "now"}):
        with refused("42501"):
            table.update(change).eq("id", applicant.id).execute()
    table.update({"display_name": "Anna"}).eq("id", applicant.id).execute()
    table.update({"display_name": "Not me"}).eq("id", other.id).execute()
    names = world.sql(
        "select display_name, status from public.mechanics where id in (%s, %s)",
        applicant.id,
        other.id,
    )
    assert {(row["display_name"], row["status"]) for row in names} == {
        ("Anna", "pending"),
        ("Mia", "approved"),
    }
    seen = other.client.table("mechanics").select("id").eq("id", applicant.id).execute()
    assert seen.data == []
    with refused("PT403", "not_a_mechanic"):
        applicant.rpc("list_open_session_requests")


# --- The webhook's call, the API's own description, and GET ---


def test_stripe_events_are_for_service_role(world: World) -> None:
    carla = world.customer()
    event = paid_checkout(world.metadata(carla))
    for person in (carla, world.mechanic()):
        assert person.post("process_stripe_event", event=event).status_code == 403
        with refused("42501"):
            person.rpc("process_stripe_event", event=event)
    service = world.anyone("service_role")
    made = service.rpc("process_stripe_event", event=event)
    assert (made["outcome"], made["created"]) == ("request_created", True)
    again = service.rpc("process_stripe_event", event=event)
    assert again == {"outcome": "duplicate", "request_id": made["request_id"], "created": False}
    assert str(world.request(made["request_id"])["customer_id"]) == carla.id


def test_openapi(world: World) -> None:
    """At / each role finds what it may use, and nothing else."""

    def paths(person: Person) -> set[str]:
        return {path.removeprefix("/") for path in person.http.get("/").json()["paths"]} - {""}

    tables = {*TABLES, "service_plans"}
    assert paths(world.anyone()) == {"service_plans"}
    assert paths(world.customer()) == tables | {f"rpc/{rpc}" for rpc in USER_RPCS}
    assert paths(world.anyone("service_role")) == tables | {
        "rpc/process_stripe_event",
        "rpc/claim_pushes",
        "rpc/finish_pushes",
    }


def test_get(world: World) -> None:
    """Stable functions may be asked by GET; others, which write, may not."""
    carla, frank = world.customer(), world.mechanic()
    request_id = world.book(carla, frank)
    session = world.request(request_id)["metadata"]["stripe_checkout_session_id"]
    unknown = carla.rpc("get_session_request_by_checkout", checkout_session_id="cs_unknown")
    assert unknown is None  # and not a row of nulls
    for person, path in (
        (carla, f"get_mechanic_status?mechanic_id={frank.id}"),
        (carla, "list_favorite_mechanics"),
        (carla, "prepare_checkout?plan_code=quick-chat"),
        (carla, f"get_session_request_timeline?request_id={request_id}"),
        (carla, f"list_session_request_mechanics?request_id={request_id}"),
        (carla, f"get_session_request_by_checkout?checkout_session_id={session}"),
        (carla, "get_session_request_by_checkout?checkout_session_id=cs_unknown"),
        (carla, f"get_checkout_status?checkout_session_id={session}"),
        (frank, "list_open_session_requests"),
    ):
        answer = person.http.get(f"/rpc/{path}")
        rpc, _, query = path.partition("?")
        given = dict(part.split("=") for part in query.split("&") if part)
        assert answer.status_code == 200, path
        assert answer.json() == person.rpc(rpc, **given)
    for person, path in (
        (frank, f"accept_session_request?request_id={request_id}"),
        (frank, f"decline_session_request?request_id={request_id}"),
        (frank, "set_presence?status=online"),
        (carla, f"cancel_session_request?request_id={request_id}"),
        (carla, "request_free_session?plan_code=free-diagnostic"),
    ):
        assert person.http.get(f"/rpc/{path}").status_code == 405, path
    assert world.request(request_id)["status"] == "pending"


def test_what_comes_after_a_head_is_answered(world: World) -> None:
    """However PostgREST ends that connection, which nginx shares among its clients."""
    lines = f"\r\nHost: x\r\napikey: {world.env['SUPABASE_ANON_KEY']}\r\n"
    path = f"/rest/v1/rpc/cancel_session_request HTTP/1.1{lines}"
    head = f"HEAD /rest/v1/service_plans?select=code HTTP/1.1{lines}\r\n"
    post = f"POST {path}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    address = httpx.URL(world.env["SUPABASE_URL"])
    for _ in range(10):
        with socket.create_connection((address.host, address.port), timeout=60) as connection:
            answers = connection.makefile("rb")  # one reader: both may come in one packet
            connection.sendall(f"{head}{post}".encode())
            statuses = []
            for _method in ("HEAD", "POST"):
                statuses.append(int(answers.readline().split()[1]))
                parse_headers(answers)
            assert statuses == [200, 404]


@pytest.mark.parametrize("path", ["", "/rest/v1", "/auth/v1/token", "/rest/v2/", "/rpc/x"])
def test_nothing_else_is_served(world: World, path: str) -> None:
    anon = world.anyone().http
    answer = anon.get(f"{world.env['SUPABASE_URL']}{path}")
    assert answer.status_code in (301, 404), path


def test_internal_schema_is_not_exposed(world: World) -> None:
    service = world.anyone("service_role").http
    for profile in ("dispatch", "auth", "realtime", "cron"):
        answer = service.get("/request_events", headers={"Accept-Profile": profile})
        assert answer.status_code == 406, profile
