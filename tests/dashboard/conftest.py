"""A stack of its own, so that no other test's requests are on the screens; and the browsers."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from stack import ROOT
from stack.clients import Env, add_mechanic, add_user
from stack.demo_people import session_of
from stack.services import Stack
from stack.temporary import temporary_stack
from tests.api.realtime import realtime
from tests.api.world import Person, World

CHROMIUM = ROOT / "stack/node_modules/@sparticuz/chromium/bin/chromium"
FIREFOX = shutil.which("firefox-esr")
# Playwright cannot make a Firefox that it has not built itself look dark, still or in few colours,
# and must not be asked to.
MEDIA = ("color_scheme", "reduced_motion", "forced_colors", "contrast")
AXE = ROOT / "stack/node_modules/axe-core/axe.min.js"
SESSION_KEY = "sb-127-auth-token"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

# Realtime is not behind the stack's front door; and which channels the page has joined.
HEAR = """{
    const Socket = WebSocket;
    window.joined = [];
    window.WebSocket = class extends Socket {
        constructor(address, ...rest) {
            super(address.replace(/^.*?(?=\\/realtime\\/v1)/, "SERVER"), ...rest);
            this.addEventListener("message", ({ data }) => {
                const [, , topic, event, { status }] = JSON.parse(data);
                if (event === "phx_reply" && status === "ok") joined.push(topic);
            });
        }
    };
}"""
# What was sent and where to, for WebDriver BiDi does not tell; kept from one page to the next.
KEEP_SENT = """{
    const ask = fetch;
    window.fetch = (url, init) => {
        const sent = JSON.parse(sessionStorage.sent ?? "[]");
        if (init?.body) sessionStorage.sent = JSON.stringify([...sent, [url, init.body]]);
        return ask(url, init);
    };
}"""

# A journey that is made in Firefox too, whichever browser the others are made in.
in_firefox = pytest.param("firefox", id="firefox", marks=pytest.mark.further)
in_firefox_too = pytest.mark.parametrize(
    "browser", [pytest.param(None, id="here"), in_firefox], indirect=True
)

expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with temporary_stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def firefox(playwright: Playwright) -> Iterator[Browser]:
    """The distribution's, by WebDriver BiDi."""
    if not FIREFOX:
        pytest.skip("Firefox is not installed here: this distribution has no firefox-esr")
    browser = playwright.firefox.launch(
        channel="moz-firefox",
        executable_path=FIREFOX,
        # It draws by the processor, and nobody looks.
        firefox_user_prefs={"layout.frame_rate": 10},
    )
    yield browser
    browser.close()


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    name = getattr(request, "param", None) or request.config.getoption("--browser")
    browser: Browser = request.getfixturevalue(name)
    yield browser
    for context in browser.contexts:
        context.close()


@pytest.fixture(scope="session")
def _world(stack: Stack) -> Iterator[World]:
    with World(stack.env) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    """Nothing is left open from the test before, and the flag is on."""
    _world.sql("update public.session_requests set status = 'cancelled' where status = 'pending'")
    _world.sql("delete from dispatch.devices")
    _world.turn(True)
    return _world


@dataclass
class Stage:
    """Carla, whose favourites are Frank and Mona, each at a browser of their own."""

    env: Env
    world: World
    browser: Browser
    carla: Person
    frank: Person
    mona: Person
    realtime: str | None = None

    def open(self, person: Person, path: str = "", **context: Any) -> Page:
        page = self.device(**{"viewport": DESKTOP, **context}).new_page()
        self.sign_in(page, person)
        if self.realtime:
            page.add_init_script(HEAR.replace("SERVER", self.realtime))
        page.goto(f"/{path}")
        return page

    def device(self, **context: Any) -> BrowserContext:
        """Nobody is signed in there yet."""
        if self.browser.browser_type.name == "firefox":
            context |= dict.fromkeys(MEDIA, "null")
        return self.browser.new_context(base_url=self.env["DASHBOARD_URL"], **context)

    def session(self, person: Person) -> dict[str, Any]:
        names = {self.carla.id: "Carla", self.frank.id: "Frank", self.mona.id: "Mona"}
        email = f"{person.id}@mail.example"
        return session_of(self.env, person.id, email, names[person.id])

    def sign_in(self, page: Page, person: Person) -> None:
        stored = json.dumps(json.dumps(self.session(person)))
        page.add_init_script(f"sessionStorage['{SESSION_KEY}'] = {stored}")


@pytest.fixture
def stage(stack: Stack, world: World, browser: Browser) -> Stage:
    def mechanic(name: str) -> Person:
        user_id = add_mechanic(world.owner, name)
        return world.person(user_id, f"mechanic:{user_id}", "session_requests_feed")

    frank, mona = mechanic("Frank Öberg"), mechanic("Mona Ricci")
    carla = world.person(add_user(world.owner))
    for favourite in (frank, mona):
        world.sql(
            "insert into public.customer_favorites (customer_id, mechanic_id) values (%s, %s)",
            carla.id,
            favourite.id,
        )
    return Stage(stack.env, world, browser, carla, frank, mona)


@pytest.fixture
def hearing_stage(stage: Stage) -> Iterator[Stage]:
    """The same with Realtime: what a page shows then it was told, for it reads once a minute."""
    with realtime(stage.env) as stage.realtime:
        yield stage


def configure(page: Page, stage: Stage, **settings: str) -> None:
    """The page is as where config.js has these settings too."""
    config = httpx.get(f"{stage.env['DASHBOARD_URL']}/config.js").text
    for name, value in settings.items():
        config, count = re.subn(rf'{name} = ".*"', f'{name} = "{value}"', config)
        assert count == 1
    page.route(
        "**/config.js", lambda route: route.fulfill(body=config, content_type="text/javascript")
    )


def wait_to_hear(page: Page, *topics: str) -> None:
    """Until the page has joined these channels, which it does each time it is loaded."""
    names = [f"realtime:{topic}" for topic in topics]
    page.wait_for_function("names => names.every(name => joined.includes(name))", arg=names)


def sent(page: Page, name: str) -> list[Any]:
    """What the pages of this tab have sent to a function of that name; see KEEP_SENT."""
    kept = json.loads(page.evaluate("sessionStorage.sent ?? '[]'"))
    return [json.loads(body) for url, body in kept if url.endswith(f"/{name}")]
