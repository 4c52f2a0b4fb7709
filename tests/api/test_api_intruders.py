"""By PostgREST's own means: embedding, counting, tokens that are not what they seem; the logs."""

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import jwt
import pytest

from stack.clients import paid_checkout, post_event
from stack.services import Stack
from stack.tokens import sign
from tests.api.test_api_errors import USER_RPCS
from tests.api.world import Person, World

EMBEDDINGS = [
    "session_requests?select=*,auth.users(*)",
    "session_requests?select=id,users(*)",
    "session_requests?select=id,users!customer_id(email)",
    "session_requests?select=id,customer_id(email)",
    "session_requests?select=id,...users(email)",
    "session_requests?select=id,request_events(*)",
    "session_requests?select=id,stripe_events(*)",
    "mechanics?select=id,users(*)",
    "mechanics?select=id,customer_favorites(*)",
    "mechanics?select=id,customer_favorites!inner(customer_id)",
    "mechanics?select=id,session_requests!inner(id)",
    "mechanics?select=id,session_requests!mechanic_id(id,customer_id)",
    "mechanics?select=id,session_requests!session_requests_preferred_mechanic_id_fkey(id)",
    "mechanics?select=id,session_requests(count)",
    "mechanics?select=id,session_requests(*)",
    "mechanics?select=id,session_requests(customer_name)",
    "mechanics?select=id,session_requests(mechanics(session_requests(notes)))",
    "mechanics?select=id&session_requests.notes=like.*",
    "mechanics?select=id,session_requests()&session_requests.order=customer_email",
    "customer_favorites?select=*,mechanics(*,session_requests(*))",
    "customer_favorites?select=customer_id,mechanic_id",
    "service_plans?select=*,session_requests(*)",
    "session_requests?select=id,status::text,customer_name::text",
    "session_requests?select=id,metadata->>stripe_payment_intent",
    "session_requests?select=count()",
    "session_requests?select=customer_name.max()",
    "session_requests?select=id&notes=fts.blue",
    "session_requests?select=id&or=(customer_email.like.c*,id.is.null)",
    "session_requests?select=id&metadata->>door=eq.x",
    "session_requests?select=id&order=metadata->door",
    "request_events",
    "dispatch.request_events",
    "stripe_events",
    "metrics",
    "users",
    "auth.users",
    "pg_roles",
    "rpc/list_open_session_requests?select=*,customer_name",
    "rpc/list_favorite_mechanics?select=*,session_requests(*)",
    "rpc/sweep",
    "rpc/health",
    "rpc/set_favorites_priority?enabled=false",
]


def intruders(world: World) -> dict[str, Person]:
    return {
        "anon": world.anyone(),
        "nobody": world.anyone("authenticated"),
        "customer": world.customer(),
        "applicant": world.mechanic("pending"),
        "suspended": world.mechanic("suspended"),
        "mechanic": world.mechanic(),
    }


def test_embedding_shows_no_row_and_no_text_of_others(world: World) -> None:
    carla, frank = world.customer(), world.mechanic()
    world.sql("insert into public.customer_favorites values (%s, %s)", carla.id, frank.id)
    reserved = world.book(carla, frank)
    world.sql(
        "update public.session_requests set notes = 'blue van' where id = %s",
        reserved,
    )
    row = world.request(reserved)
    secret = [reserved, carla.id, "Carla Customer", "carla@mail.example", "blue van"]
    secret.append(row["metadata"]["stripe_payment_intent"])
    for name, person in intruders(world).items():
        for query in EMBEDDINGS:
            for accept in ("application/json", "text/csv"):
                answer = person.http.get(f"/{query}", headers={"Accept": accept})
                assert answer.status_code < 500, (name, query, answer.text)
                shown = [text for text in secret if text in answer.text]
                assert shown == [], (name, query)
            counted = person.http.head(f"/{query}", headers={"Prefer": "count=exact"})
            assert counted.status_code < 500, (name, query)


def test_a_count_tells_of_no_row_that_is_not_shown(world: World) -> None:
    carla, frank = world.customer(), world.mechanic()
    reserved = world.book(carla, frank)
    for name, person in intruders(world).items():
        answer = person.http.get(
            f"/session_requests?select=id&id=eq.{reserved}", headers={"Prefer": "count=exact"}
        )
        assert answer.headers.get("Content-Range", "*/0") in ("*/0", "*/*"), name
    owner = carla.http.get(
        f"/session_requests?select=id&id=eq.{reserved}", headers={"Prefer": "count=exact"}
    )
    assert owner.headers["Content-Range"] == "0-0/1"


@pytest.mark.parametrize("count", ["planned", "estimated"])
def test_an_estimated_count_tells_nothing_of_a_person(world: World, count: str) -> None:
    carla, frank, idle = world.customer(), world.mechanic(), world.mechanic()
    for _ in range(30):
        world.book(carla, frank)
    world.sql("analyze public.session_requests")
    stranger = world.customer()

    for column, busy in (("preferred_mechanic_id", frank), ("customer_id", carla)):
        ranges = {
            stranger.http.get(
                f"/session_requests?select=id&{column}=eq.{person.id}",
                headers={"Prefer": f"count={count}"},
            ).headers["Content-Range"]
            for person in (busy, idle)
        }
        assert len(ranges) == 1, (column, ranges)


def part(claims: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def swap(token: str, number: int, change: dict[str, object]) -> str:
    """The token with a part changed, and its signature kept."""
    parts = token.split(".")
    padded = parts[number] + "=" * (-len(parts[number]) % 4)
    parts[number] = part(json.loads(base64.urlsafe_b64decode(padded)) | change)
    return ".".join(parts)


def token_of(world: World, claims: Mapping[str, object]) -> str:
    """Signed as the platform would, whatever it says."""
    return jwt.encode(dict(claims), world.env["JWT_SECRET"])


TAMPERED: dict[str, Callable[[str], str]] = {
    "another user's": lambda token: swap(token, 1, {"sub": str(uuid.UUID(int=7))}),
    "a higher role's": lambda token: swap(token, 1, {"role": "service_role"}),
    "for longer": lambda token: swap(token, 1, {"exp": 4_000_000_000}),
    "none": lambda token: swap(token, 0, {"alg": "none"}),
    "None": lambda token: swap(token, 0, {"alg": "None"}),
    "RS256": lambda token: swap(token, 0, {"alg": "RS256"}),
    "HS512": lambda token: swap(token, 0, {"alg": "HS512"}),
    "a key of its own": lambda token: swap(token, 0, {"jwk": {"kty": "oct", "k": "AA"}}),
    "a key id": lambda token: swap(token, 0, {"kid": "../../dev/null"}),
    "without a signature": lambda token: token.rpartition(".")[0] + ".",
    "two parts": lambda token: token.rpartition(".")[0],
    "four parts": lambda token: f"{token}.{token.rpartition('.')[2]}",
    "with a space": lambda token: token.replace(".", ". ", 1),
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_token_that_was_changed_is_refused(world: World, tamper: Callable[[str], str]) -> None:
    person = Person(world.env, "", tamper(world.mechanic().token))
    assert person.http.get("/service_plans").status_code in (400, 401)
    for rpc, given in USER_RPCS.items():
        assert person.post(rpc, **given).status_code in (400, 401), rpc


@pytest.mark.parametrize(
    "role",
    [
        'authenticated"; set role postgres; --',
        "authenticated', 'x",
        "AUTHENTICATED",
        "",
        None,
        ["service_role"],
        {"role": "service_role"},
        "pg_read_all_data",
        "supabase_admin",
        "no_such_role",
    ],
)
def test_a_role_that_is_none_gets_no_more_than_anon(world: World, role: object) -> None:
    """Even when the platform itself has signed it."""
    person = Person(world.env, "", token_of(world, {"role": role, "sub": str(uuid.uuid4())}))
    for rpc, given in USER_RPCS.items():
        assert person.post(rpc, **given).status_code in (400, 401, 403, 404), rpc
    for table in ("mechanics", "session_requests", "customer_favorites"):
        assert person.http.get(f"/{table}?select=*").status_code in (400, 401, 403), table


@pytest.mark.parametrize(
    "sub", ["auth0|7", "' or true --", "", 17, None, [str(uuid.uuid4())], {"x": 1}, "x" * 5000]
)
def test_a_subject_that_is_no_user_is_nobody(world: World, sub: object) -> None:
    reserved = world.book(world.customer(), world.mechanic())
    person = Person(world.env, "", token_of(world, {"role": "authenticated", "sub": sub}))
    for rpc, given in USER_RPCS.items():
        asked = {name: reserved if "request_id" in name else each for name, each in given.items()}
        answer = person.post(rpc, **asked)
        assert answer.status_code in (400, 401), (rpc, answer.text)
    answer = person.http.get(f"/session_requests?select=id&id=eq.{reserved}")
    assert answer.status_code >= 400 or answer.json() == []


def test_the_audience_is_the_platforms_to_check(world: World) -> None:
    """Supabase does not have PostgREST look at it: whoever has the secret signs for anyone. What a
    token may do follows from its role and subject alone."""
    carla, frank = world.customer(), world.mechanic()
    reserved = world.book(carla, frank)
    for person, sees in ((carla, True), (frank, True), (world.mechanic(), False)):
        claims = {"role": "authenticated", "sub": person.id, "aud": "elsewhere"}
        assert Person(world.env, person.id, token_of(world, claims)).sees(reserved) is sees


def test_no_log_has_a_secret_or_a_persons_text(stack: Stack, world: World) -> None:
    """After refusals, faults and bookings of all kinds, in every log of the stack."""
    carla, frank, other = world.customer(), world.mechanic(), world.customer()
    reserved = world.book(carla, frank)
    secret = world.env["JWT_SECRET"]
    bad = Person(world.env, "", sign("authenticated", carla.id, secret=secret, seconds=-60))
    mine = {"customer_id": carla.id, "mechanic_id": frank.id}
    for person in (carla, frank, other, world.anyone(), bad, world.anyone("service_role")):
        for rpc, given in USER_RPCS.items():
            person.post(rpc, **given)
        person.post("decline_session_request", request_id=reserved, reason="Carla Customer")
        person.post("prepare_checkout", plan_code="carla@mail.example")
        person.post("set_presence", status="carla@mail.example")
        person.http.get("/session_requests?select=customer_name&notes=eq.carla@mail.example")
        for _ in range(2):
            person.http.post("/customer_favorites", json=mine)
        person.http.post("/mechanics", json={"id": carla.id, "display_name": None})
        person.http.post(
            "/session_requests",
            json={
                "customer_id": str(uuid.UUID(int=0)),
                "session_type": "chat",
                "customer_name": "Carla Customer",
                "customer_email": "carla@mail.example",
            },
        )
    for metadata in ({"plan_code": "gold"}, {"customer_id": "Carla Customer"}, {}):
        post_event(world.env, paid_checkout(metadata))
    event = paid_checkout(world.metadata(carla))
    post_event({**world.env, "STRIPE_WEBHOOK_SECRET": "whsec_forged"}, event)
    event["data"]["object"]["amount"] = 10**400
    post_event(world.env, event)

    assert stack.cluster
    logs = [*stack.directory.glob("*.log"), *Path(stack.cluster.base_dir).glob("*.log")]
    assert {log.stem for log in logs} >= {"Cluster", "postgrest", "webhook", "nginx"}
    keys = ("JWT_SECRET", "STRIPE_WEBHOOK_SECRET", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY")
    hidden = [world.env[key] for key in keys]
    hidden += [person.token for person in (carla, frank, bad)]
    hidden += ["Carla Customer", "carla@mail.example"]
    for log in logs:
        text = log.read_text(errors="replace")
        found = [line for line in text.splitlines() if any(each in line for each in hidden)]
        assert found == [], log.name
    postgres = Path(stack.cluster.base_dir) / "Cluster.log"
    assert "not_a_mechanic" in postgres.read_text()  # the faults are logged, and without those
