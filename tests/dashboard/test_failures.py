"""What the pages say when something fails: words a person reads, and a way on."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from stack.tokens import sign
from tests.api.world import Person
from tests.dashboard.conftest import SESSION_KEY, Stage
from tests.dashboard.test_dashboard import LEFT_OF_TEN, headline, offer
from tests.dashboard.test_mechanic import read_now

READS = re.compile(r"/rest/v1/")
# As a gateway, PostgREST and PostgreSQL say it; and what becomes of it.
BUSY = "The service does not answer as it should."
RAW = [
    (503, "<html><h1>503 Service Unavailable</h1></html>", BUSY),
    (
        403,
        '{"code": "42501", "message": "permission denied for table"}',
        "You may not see this.",
    ),
    (500, '{"code": "57014", "message": "canceling statement due to statement timeout"}', BUSY),
    (
        400,
        '{"code": "22P02", "message": "invalid input syntax for type uuid"}',
        "Something is wrong here.",
    ),
]
# Answers to a page of another origin.
OPEN = {"Access-Control-Allow-Origin": "*"}


def banner(page: Page) -> Locator:
    return page.locator("#away")


def late(page: Page) -> Locator:
    return page.get_by_text("This page does not work as it should.")


# Rather than in ten seconds.
FINISH = """
    for (const each of document.getAnimations()) if (each.animationName === "late") each.finish();
"""


def answering(status: int, body: str) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status, headers=OPEN, body=body)


def person_of(stage: Stage, path: str) -> Person:
    return stage.frank if "mechanic" in path else stage.carla


@pytest.mark.parametrize(
    ("path", "browser"),
    [
        pytest.param("index.html", None, marks=pytest.mark.further),
        ("request.html", None),
        ("mechanic.html", None),
        pytest.param("request.html", "firefox", marks=pytest.mark.further),
    ],
    indirect=["browser"],
)
def test_whatever_the_server_says_is_put_into_words(stage: Stage, path: str) -> None:
    booked = stage.world.book(stage.carla)
    page = stage.open(person_of(stage, path), f"{path}?id={booked}")
    expect(page.locator("main")).to_contain_text("Quick chat")
    raw = re.compile("permission|canceling|syntax|503|html", re.IGNORECASE)
    for status, body, words in RAW:
        page.route(READS, answering(status, body))
        read_now(page)
        expect(banner(page)).to_have_text(f"{words} What you see may be old; we keep trying.")
        assert not raw.search(page.locator("body").inner_text())
        page.unroute(READS)
    read_now(page)
    expect(banner(page)).to_be_hidden()
    expect(late(page)).to_be_hidden()


@pytest.mark.further
@pytest.mark.parametrize("missing", ["vendor/supabase.js", "favorites_priority.js", "page script"])
def test_a_missing_script_leaves_no_skeleton_without_a_word(stage: Stage, missing: str) -> None:
    name = "mechanic.js" if missing == "page script" else missing
    context = stage.device()
    page = context.new_page()
    stage.sign_in(page, stage.frank)
    page.route(f"**/{name}", lambda route: route.fulfill(status=404))
    page.goto("/mechanic.html")
    page.evaluate(FINISH)
    expect(late(page)).to_be_visible()
    page.unroute(f"**/{name}")
    page.get_by_role("link", name="Load it again").click()
    expect(page.get_by_text("Nothing at the moment")).to_be_visible()
    page.evaluate(FINISH)
    expect(late(page)).to_be_hidden()


def test_a_mistake_of_the_page_s_own_is_said(stage: Stage) -> None:
    page = stage.open(stage.frank, "mechanic.html")
    expect(page.get_by_text("Nothing at the moment")).to_be_visible()
    # A row as no page expects it.
    page.route(
        "**/rpc/list_open_session_requests",
        lambda route: route.fulfill(json=[None], headers=OPEN),
    )
    read_now(page)
    expect(banner(page)).to_contain_text("Something is wrong here.")
    expect(late(page)).to_be_visible()
    page.unroute("**/rpc/list_open_session_requests")
    read_now(page)
    expect(banner(page)).to_be_hidden()
    expect(late(page)).to_be_hidden()


# Everyone's but the sign-in's, which was there first.
FULL = """{
    const keep = Storage.prototype.setItem;
    Storage.prototype.setItem = function (key, value) {
        if (!key.startsWith("sb-")) throw new DOMException("full", "QuotaExceededError");
        keep.call(this, key, value);
    };
}"""


def test_a_device_without_room_forgets_and_does_all_else(stage: Stage) -> None:
    def open_full(person: Person, path: str) -> Page:
        page = stage.open(person, "icon.svg")
        page.add_init_script(FULL)
        page.goto(f"/{path}")
        return page

    booked = stage.world.book(stage.carla, stage.frank)
    customer = open_full(stage.carla, "")
    customer.get_by_label("What is the trouble?").fill("It rattles.")
    expect(customer.get_by_text("Waiting")).to_be_visible()
    customer.goto(f"/request.html?id={booked}")
    expect(customer.get_by_text("Waiting for Frank Öberg")).to_be_visible()
    mechanic = open_full(stage.frank, "mechanic.html")
    offer(mechanic).get_by_role("button", name="Accept").click()
    expect(mechanic.get_by_text("It is yours.")).to_be_visible()
    read_now(customer)
    expect(customer.get_by_role("heading", name="Frank Öberg accepted")).to_be_visible()
    customer.goto("/request.html?checkout=cs_test_of_nobody")
    expect(customer.get_by_text("Confirming your payment…")).to_be_visible()
    for page in (mechanic, customer):
        expect(banner(page)).to_be_hidden()
        expect(late(page)).to_be_hidden()


@pytest.mark.further
def test_no_countdown_runs_on_what_may_be_old(stage: Stage) -> None:
    booked = stage.world.book(stage.carla, stage.frank)
    page = stage.open(stage.frank, "mechanic.html")
    customer = stage.open(stage.carla, f"request.html?id={booked}")
    expect(offer(page)).to_contain_text(re.compile("You first, for " + LEFT_OF_TEN))
    expect(customer.get_by_role("timer")).to_be_visible()
    for each in (page, customer):
        each.route(READS, lambda route: route.abort())
        read_now(each)
    expect(banner(page)).to_contain_text("No connection.")
    expect(offer(page)).to_contain_text(re.compile(r"You first, until \d+:\d\d"))
    expect(customer.get_by_role("timer")).to_be_hidden()
    for each in (page, customer):
        each.unroute(READS)
        read_now(each)
    expect(offer(page)).to_contain_text(re.compile("You first, for " + LEFT_OF_TEN))
    expect(customer.get_by_role("timer")).to_be_visible()


def test_an_answer_that_never_comes_stops_nothing(stage: Stage) -> None:
    context = stage.device()
    page = context.new_page()
    stage.sign_in(page, stage.frank)
    page.clock.install()
    page.goto("/mechanic.html")
    expect(page.get_by_text("Nothing at the moment")).to_be_visible()
    held: list[Route] = []
    page.route("**/rpc/list_*", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/rpc/list_*"):
        read_now(page)
    stage.world.book(stage.carla)
    page.clock.run_for(11_000)
    expect(offer(page)).to_have_count(1)


def keep_session_for_all_tabs(stage: Stage, page: Page, person: Person, **session: Any) -> None:
    """As a real app has it; each tab of the local stack has a person of its own."""
    url = json.dumps(stage.env["SUPABASE_URL"])
    key = json.dumps(stage.env["SUPABASE_ANON_KEY"])
    config = f"export const SUPABASE_URL = {url}, SUPABASE_ANON_KEY = {key}, OPTIONS = {{}};"
    config += 'export const SIGN_IN_URL = "/sign-in/", SESSION_URL = "", HELP_URL = "";'
    page.context.route(
        "**/config.js", lambda route: route.fulfill(body=config, content_type="text/javascript")
    )
    page.goto("/icon.svg")
    kept = json.dumps(json.dumps(stage.session(person) | session))
    page.evaluate(f"localStorage['{SESSION_KEY}'] = {kept}")


@pytest.mark.further
def test_signed_out_in_another_tab_is_said_and_comes_back(stage: Stage) -> None:
    context = stage.device()
    page, other = context.new_page(), context.new_page()
    booked = stage.world.book(stage.carla)
    keep_session_for_all_tabs(stage, page, stage.carla)
    page.goto(f"/request.html?id={booked}")
    expect(headline(page)).to_have_text("Asking every mechanic")
    other.goto("/index.html")
    other.get_by_role("button", name="Sign out").click()
    expect(other).to_have_url(re.compile("/sign-in/"))

    signed_out = page.get_by_role("alert").filter(has_text="You are signed out")
    expect(signed_out).to_be_visible()
    expect(page.get_by_text("Asking every mechanic")).to_be_hidden()
    back = signed_out.get_by_role("link", name="Sign in").get_attribute("href") or ""
    assert back.endswith(f"/sign-in/?next=%2Frequest.html%3Fid%3D{booked}")
    # Signed in again in that other tab.
    kept = json.dumps(json.dumps(stage.session(stage.carla)))
    other.evaluate(f"localStorage['{SESSION_KEY}'] = {kept}")
    message = json.dumps({"event": "SIGNED_IN", "session": stage.session(stage.carla)})
    other.evaluate(f"new BroadcastChannel('{SESSION_KEY}').postMessage({message})")
    expect(headline(page)).to_have_text("Asking every mechanic")


def test_the_local_sign_in_leads_back_to_the_page_and_nowhere_else(stage: Stage) -> None:
    page = stage.device().new_page()
    session = stage.session(stage.frank)
    person = {"name": "Frank", "about": "mechanic", "page": "mechanic.html", "session": session}
    page.route("**/people.json", lambda route: route.fulfill(json=[person]))
    page.goto("/mechanic.html?from=mail")
    page.get_by_role("button", name="Frank").click()
    expect(page).to_have_url(re.compile(r"/mechanic\.html\?from=mail$"))
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"):
        page.goto("/sign-in/?next=" + elsewhere)
        page.get_by_role("button", name="Frank").click()
        expect(page).to_have_url(re.compile(r"127\.0\.0\.1:\d+/mechanic\.html$"))


def test_offline_with_an_expired_token_nobody_is_signed_out(stage: Stage) -> None:
    page = stage.device().new_page()
    keep_session_for_all_tabs(stage, page, stage.frank, expires_at=1)
    for service in ("rest", "auth"):
        page.route(f"**/{service}/v1/**", lambda route: route.abort())
    page.clock.install()
    page.goto("/mechanic.html")
    page.clock.run_for(11_000)
    expect(banner(page)).to_be_visible()
    expect(banner(page)).to_contain_text("No connection.")
    expect(page).to_have_url(re.compile(r"/mechanic\.html$"))
    assert page.evaluate(f"'{SESSION_KEY}' in localStorage")
    # With the network, the token can be renewed.
    page.unroute("**/auth/v1/**")
    renewed = stage.session(stage.frank)
    page.route("**/auth/v1/token*", lambda route: route.fulfill(json=renewed, headers=OPEN))
    page.unroute("**/rest/v1/**")
    page.reload()
    expect(page.get_by_text("Nothing at the moment")).to_be_visible()
    expect(banner(page)).to_be_hidden()


@pytest.mark.parametrize(
    "answer", ["renewed", pytest.param("lost", marks=pytest.mark.further), "refused"]
)
def test_a_token_that_is_over_by_the_server_s_clock_alone_is_renewed(
    stage: Stage, answer: str
) -> None:
    """A device's own may be slow, so that the client takes it for good."""
    page = stage.device().new_page()
    secret = stage.env["JWT_SECRET"]
    expired = sign("authenticated", stage.frank.id, secret=secret, seconds=-99)
    keep_session_for_all_tabs(stage, page, stage.frank, access_token=expired)
    asked: list[str] = []

    def renew(route: Route) -> None:
        asked.append(route.request.url)
        if answer == "renewed":
            renewed = stage.session(stage.frank) | {"refresh_token": "next"}
            route.fulfill(json=renewed, headers=OPEN)
        elif answer == "lost":
            route.abort()
        else:
            route.fulfill(status=400, json={"code": 400, "msg": "no such token"}, headers=OPEN)

    page.route("**/auth/v1/token*", renew)
    page.clock.install()
    page.goto("/mechanic.html")
    page.clock.run_for(5_000)
    if answer == "renewed":
        expect(page.get_by_text("Nothing at the moment")).to_be_visible()
        assert len(asked) == 1
        kept = page.evaluate(f"JSON.parse(localStorage['{SESSION_KEY}'])")
        assert kept["refresh_token"] == "next"
    elif answer == "lost":
        expect(banner(page)).to_be_visible()
        expect(banner(page)).to_contain_text("No connection.")
    else:
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


def test_what_one_asked_is_not_asked_again_as_another(stage: Stage) -> None:
    """Who signed in, in another tab, while it was asked with a token that is over."""
    page = stage.device().new_page()
    keep_session_for_all_tabs(stage, page, stage.frank)
    asked: list[Route] = []
    page.route("**/rest/v1/rpc/accept*", lambda route: asked.append(route))
    page.goto("/mechanic.html")
    expect(page.get_by_text("Nothing at the moment")).to_be_visible()
    with page.expect_request("**/rest/v1/rpc/accept*"):
        page.evaluate("""() => void import("/session.js").then(async ({ supabase }) => {
            window.answer = (await supabase.rpc("accept_session_request")).status;
        })""")
    kept = json.dumps(json.dumps(stage.session(stage.mona)))
    page.evaluate(f"localStorage['{SESSION_KEY}'] = {kept}")
    asked[0].fulfill(status=401, json={"message": "JWT expired"}, headers=OPEN)
    page.wait_for_function("window.answer === 401", timeout=5_000)
    assert len(asked) == 1


@pytest.mark.parametrize("button", ["Start now", "Continue to payment"])
def test_whose_account_is_gone_is_told_so_and_pays_nothing(stage: Stage, button: str) -> None:
    page = stage.open(stage.carla)
    press = page.get_by_role("button", name=button).first
    expect(press).to_be_visible()
    stage.world.sql("delete from auth.users where id = %s", stage.carla.id)
    press.click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
