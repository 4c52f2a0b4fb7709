"""A stack of its own, so that no other test's requests are on the screens; and the browsers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from stack import ROOT
from stack.clients import Env, add_mechanic, add_user
from stack.demo_people import session_of
from stack.services import Stack
from stack.temporary import temporary_stack
from tests.api.world import Person, World

CHROMIUM = ROOT / "stack/node_modules/@sparticuz/chromium/bin/chromium"
AXE = ROOT / "stack/node_modules/axe-core/axe.min.js"
SESSION_KEY = "sb-127-auth-token"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

expect.set_options(timeout=15_000)


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
def _world(stack: Stack) -> Iterator[World]:
    with World(stack.env) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    """Nothing is left open from the test before, and the flag is on."""
    _world.sql("update public.session_requests set status = 'cancelled' where status = 'pending'")
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

    def open(self, person: Person, path: str = "", **context: Any) -> Page:
        page = self.browser.new_context(
            base_url=self.env["DASHBOARD_URL"], **{"viewport": DESKTOP, **context}
        ).new_page()
        self.sign_in(page, person)
        page.goto(f"/{path}")
        return page

    def session(self, person: Person) -> dict[str, Any]:
        names = {self.carla.id: "Carla", self.frank.id: "Frank", self.mona.id: "Mona"}
        email = f"{person.id}@mail.example"
        return session_of(self.env, person.id, email, names[person.id])

    def sign_in(self, page: Page, person: Person) -> None:
        stored = json.dumps(json.dumps(self.session(person)))
        page.add_init_script(f"sessionStorage['{SESSION_KEY}'] = {stored}")


@pytest.fixture
def stage(stack: Stack, world: World, chromium: Browser) -> Iterator[Stage]:
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
    yield Stage(stack.env, world, chromium, carla, frank, mona)
    for context in chromium.contexts:
        context.close()
