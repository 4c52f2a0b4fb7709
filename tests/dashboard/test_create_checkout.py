"""The Edge Function under Deno: what it asks the database, and what it gives to Stripe."""

import tomllib
import uuid
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import httpx
import pytest

from stack import ROOT
from stack.network import free_ports
from stack.services import STRIPE_SECRET_KEY, create_checkout
from tests.api.world import Metadata, Person, World

PATH = "/functions/v1/create-checkout"


@pytest.fixture(scope="module")
def carla(_world: World) -> Person:
    return _world.customer()


@pytest.fixture(scope="module")
def frank(_world: World) -> Person:
    return _world.mechanic()


def ask(person: Person, **wish: object) -> httpx.Response:
    """As supabase-js calls it; a new attempt unless the wish names one."""
    headers = {"apikey": person.env["SUPABASE_ANON_KEY"]}
    if person.token:
        headers["Authorization"] = f"Bearer {person.token}"
    url = person.env["SUPABASE_URL"] + PATH
    wish = {"plan_code": "quick-chat", "attempt": str(uuid.uuid4())} | wish
    return httpx.post(url, json=wish, headers=headers)


def session_of(answer: httpx.Response) -> dict[str, object]:
    """The Checkout Session as Stripe has it."""
    assert answer.status_code == 200, answer.text
    page = urlsplit(answer.json()["url"])
    session_id = page.path.rpartition("/")[2]
    session: dict[str, object] = httpx.get(
        f"http://{page.netloc}/v1/checkout/sessions/{session_id}",
        headers={"Authorization": f"Bearer {STRIPE_SECRET_KEY}"},
    ).json()
    return session


def test_stripe_gets_the_database_s_price_and_metadata(
    world: World, carla: Person, frank: Person
) -> None:
    wish = {"preferred_mechanic_id": frank.id, "routing_type": "broadcast"}
    mine: Metadata = {"customer_id": frank.id, "plan_code": "free-diagnostic"}
    answer = ask(carla, **wish, metadata=mine, price_cents=1, customer_id=frank.id)
    session = session_of(answer)
    assert answer.json()["banner"] == "Booking with Mia (Priority)"
    assert session["metadata"] == world.metadata(carla, frank)
    assert (session["amount_total"], session["currency"]) == (999, "usd")
    dashboard = world.env["DASHBOARD_URL"]
    assert session["success_url"] == f"{dashboard}/request.html?checkout={{CHECKOUT_SESSION_ID}}"


def test_favourites_in_turn(world: World, carla: Person, frank: Person) -> None:
    mona = world.mechanic()
    answer = ask(carla, preferred_mechanic_ids=[mona.id, frank.id])
    assert answer.json()["banner"] == "Booking with Mia, then Mia (Priority)"
    chain = {"preferred_mechanic_ids": f"{mona.id},{frank.id}"}
    assert session_of(answer)["metadata"] == world.metadata(carla, mona) | chain
    one = session_of(ask(carla, preferred_mechanic_ids=[frank.id]))
    assert one["metadata"] == world.metadata(carla, frank)
    answer = ask(carla, preferred_mechanic_ids=[frank.id, frank.id])
    assert (answer.status_code, answer.json()["details"]) == (422, "invalid_mechanics")
    # What names nobody books nothing, for everyone, without a word.
    for odd in (5, True, {"id": frank.id}):
        answer = ask(carla, preferred_mechanic_ids=odd)
        assert answer.status_code == 400 and answer.json()["message"], odd


def test_offline_favourites_may_be_skipped(world: World, carla: Person, frank: Person) -> None:
    session = session_of(ask(carla, preferred_mechanic_id=frank.id, skip_if_offline=True))
    assert session["metadata"] == world.metadata(carla, frank) | {"skip_if_offline": "true"}


def test_without_a_favourite_or_with_the_flag_off(
    world: World, carla: Person, frank: Person
) -> None:
    plain = world.metadata(carla)
    assert session_of(ask(carla))["metadata"] == plain
    world.turn(False)
    answer = ask(carla, preferred_mechanic_id=frank.id)
    assert session_of(answer)["metadata"] == plain
    assert answer.json()["banner"] is None


def test_one_attempt_is_one_session(world: World, carla: Person, frank: Person) -> None:
    attempt = str(uuid.uuid4())
    first = ask(carla, attempt=attempt).json()["url"]
    assert ask(carla, attempt=attempt).json()["url"] == first
    others = [
        ask(carla, attempt=attempt, plan_code="expert-video"),
        ask(carla, attempt=attempt, preferred_mechanic_id=frank.id),
        ask(world.customer(), attempt=attempt),
        ask(carla),
    ]
    assert len({first} | {session_of(other)["url"] for other in others}) == 5


def test_refusals_keep_their_words(world: World, carla: Person) -> None:
    answer = ask(carla, plan_code="unknown")
    assert (answer.status_code, answer.json()["details"]) == (422, "invalid_plan")
    nobody = world.anyone("authenticated")
    answer = ask(nobody)
    assert (answer.status_code, answer.json()["details"]) == (401, "not_signed_in")
    assert ask(world.anyone()).status_code == 401
    assert ask(carla, attempt="again").status_code == 400
    assert httpx.get(world.env["SUPABASE_URL"] + PATH).status_code == 405


@pytest.mark.parametrize("status", [None, 403, 502])
def test_what_fails_on_the_way_tells_nothing_of_it(
    carla: Person, tmp_path: Path, status: int | None
) -> None:
    """Neither the trace of a call that reached nobody, nor a page of the proxy's own."""
    port, other = free_ports(0, 0)

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status or 500)
            self.end_headers()
            self.wfile.write(b"<html>upstream 10.0.0.7</html>")

        def log_message(self, *_: object) -> None: ...

    url = f"http://127.0.0.1:{other}"
    function = create_checkout(
        tmp_path, port, api_url=url, anon_key="key", site_url=url, stripe_url=url
    )
    with ExitStack() as stack:
        if status:
            proxy = stack.enter_context(HTTPServer(("127.0.0.1", other), Proxy))
            stack.callback(proxy.shutdown)
            Thread(target=proxy.serve_forever).start()
        stack.enter_context(function.running())
        wish = {"plan_code": "quick-chat", "attempt": str(uuid.uuid4())}
        answer = httpx.post(f"http://127.0.0.1:{port}/", json=wish, timeout=60)
    assert answer.status_code == (status or 502)
    assert answer.json() == {"message": "The database did not answer as it should"}


def test_the_gateway_looks_at_no_token() -> None:
    """It knows the legacy secret alone, and would refuse who has a token by a signing key."""
    functions = tomllib.loads((ROOT / "supabase/config.toml").read_text())["functions"]
    for name, page in [("create-checkout", "supabase"), ("send-pushes", "push")]:
        assert functions[name]["verify_jwt"] is False
        command = f"supabase functions deploy {name} --no-verify-jwt\n"
        assert command in (ROOT / f"docs/{page}.md").read_text()


def test_a_token_that_nobody_signed_opens_no_checkout(carla: Person) -> None:
    assert ask(replace(carla, token=carla.token[:-8] + "A" * 8)).status_code == 401


def test_a_slash_at_the_site_s_end_is_no_part_of_its_pages(carla: Person, tmp_path: Path) -> None:
    (port,) = free_ports(0)
    function = create_checkout(
        tmp_path,
        port,
        api_url=carla.env["SUPABASE_URL"],
        anon_key=carla.env["SUPABASE_ANON_KEY"],
        site_url="https://app.example/book/",
        stripe_url="http://" + urlsplit(ask(carla).json()["url"]).netloc,
    )
    with function.running():
        wish = {"plan_code": "quick-chat", "attempt": str(uuid.uuid4())}
        headers = {"Authorization": f"Bearer {carla.token}"}
        answer = httpx.post(f"http://127.0.0.1:{port}/", json=wish, headers=headers, timeout=60)
    session = session_of(answer)
    home = "https://app.example/book"
    assert session["success_url"] == f"{home}/request.html?checkout={{CHECKOUT_SESSION_ID}}"
    assert session["cancel_url"] == f"{home}/index.html?cancelled"


@pytest.mark.parametrize(
    "keys",
    [
        {"SUPABASE_PUBLISHABLE_KEYS": '{"web": "KEY"}'},
        {"SUPABASE_PUBLISHABLE_KEYS": '{"web": "no", "default": "KEY"}', "SUPABASE_ANON_KEY": "no"},
        {"SUPABASE_PUBLISHABLE_KEYS": "{}", "SUPABASE_ANON_KEY": "KEY"},
        {"SUPABASE_PUBLISHABLE_KEYS": "", "SUPABASE_ANON_KEY": "KEY"},
    ],
)
def test_it_takes_the_key_there_is(world: World, tmp_path: Path, keys: dict[str, str]) -> None:
    """Of a project with one for each of its apps, too, none of them called default."""
    (port,) = free_ports(0)
    url, key = world.env["SUPABASE_URL"], world.env["SUPABASE_ANON_KEY"]
    function = create_checkout(
        tmp_path, port, api_url=url, anon_key=key, site_url=url, stripe_url=url
    )
    given = {name: text.replace("KEY", key) for name, text in keys.items()}
    function.env = {**function.env, **given}
    with function.running():
        # Signed in by nobody, it asks with that key alone.
        wish = {"plan_code": "quick-chat", "attempt": str(uuid.uuid4())}
        answer = httpx.post(f"http://127.0.0.1:{port}/", json=wish, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (401, "42501"), answer.text


def test_only_the_site_may_call_it_from_a_browser(world: World) -> None:
    answer = httpx.options(world.env["SUPABASE_URL"] + PATH)
    assert answer.headers["Access-Control-Allow-Origin"] == world.env["DASHBOARD_URL"]
    allowed = answer.headers["Access-Control-Allow-Headers"]
    # As supabase-js 2.119 lists them, and with a region chosen.
    sent = "authorization x-client-info apikey content-type x-retry-count x-region"
    assert {*sent.split(), "traceparent", "tracestate", "baggage"} <= set(allowed.split(", "))


def test_a_session_that_is_over_is_not_offered_again(carla: Person) -> None:
    """Stripe repeats its first answer to a key, in which the session is still open."""
    attempt = str(uuid.uuid4())
    first = ask(carla, attempt=attempt).json()
    page = urlsplit(first["url"])
    stripe = httpx.Client(
        base_url=f"http://{page.netloc}",
        headers={"Authorization": f"Bearer {STRIPE_SECRET_KEY}"},
    )
    stripe.post(f"/v1/checkout/sessions/{first['checkout_session_id']}/expire").raise_for_status()
    second = ask(carla, attempt=attempt).json()
    assert second["url"] != first["url"]
    assert ask(carla, attempt=attempt).json() == second
    assert stripe.post(urlsplit(second["url"]).path).status_code == 303  # paid
    paid = ask(carla, attempt=attempt).json()
    assert paid["checkout_session_id"] == second["checkout_session_id"]
    assert paid["url"] == (
        f"{carla.env['DASHBOARD_URL']}/request.html?checkout={paid['checkout_session_id']}"
    )


def test_a_fault_of_stripe_s_is_not_repeated_for_a_day(carla: Person) -> None:
    first = urlsplit(ask(carla).json()["url"])
    assert httpx.post(f"http://{first.netloc}/faults").json()
    attempt = str(uuid.uuid4())
    url = ask(carla, attempt=attempt).json()["url"]
    assert ask(carla, attempt=attempt).json()["url"] == url


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [(1500, "jpy", "1500 JPY"), (1500, "kwd", "1.500 KWD"), (1500, "eur", "15.00 EUR")],
)
def test_the_stand_in_shows_what_would_be_charged(
    world: World, carla: Person, amount: int, currency: str, shown: str
) -> None:
    world.sql(
        "insert into public.service_plans values ('abroad', 'Abroad', 'chat', %s, %s)",
        amount,
        currency,
    )
    try:
        url = ask(carla, plan_code="abroad").json()["url"]
    finally:
        world.sql("delete from public.service_plans where code = 'abroad'")
    assert f"<p>{shown}</p>" in httpx.get(url).text


def test_notes_reach_stripe(carla: Person) -> None:
    session = session_of(ask(carla, notes=" squeaks "))
    assert session["metadata"]["notes"] == "squeaks"  # type: ignore[index]
    refused = ask(carla, notes="x" * 501)
    assert (refused.status_code, refused.json()["details"]) == (422, "invalid_notes")
