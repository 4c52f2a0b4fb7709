"""Every screen, light on a desktop and dark on a phone: axe finds nothing to say against it.

In Firefox both are light.

With SCREENSHOTS set to a directory, the screens are kept there to be looked at.
"""

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from stack import ROOT
from stack.demo_people import add_demo_people, write_demo_people
from stack.services import Stack
from tests.dashboard.conftest import AXE, DESKTOP, PHONE, Stage
from tests.dashboard.test_dashboard import (
    banner,
    book_again,
    headline,
    offer,
    request_id,
)

LOOKS = [
    pytest.param(
        {"viewport": DESKTOP, "color_scheme": "light"},
        id="desktop-light",
        marks=pytest.mark.further,
    ),
    pytest.param({"viewport": PHONE, "color_scheme": "dark"}, id="phone-dark"),
]
RUN_AXE = """async () => {
    const { violations } = await axe.run({ resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`);
}"""
Look = dict[str, Any]
PAGES = sorted((ROOT / "examples/dashboard").glob("*.html"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_each_button_says_whether_it_submits(path: Path) -> None:
    """One without a type submits the form that somebody puts around it."""
    buttons = re.findall(r"<button[^>]*>", path.read_text())
    assert buttons
    assert not [each for each in buttons if not re.search(r'\stype="(button|submit)"', each)]


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Whether a screen is accessible and fits; it is kept under its name."""

    def check(page: Page, name: str) -> None:
        page.wait_for_function("() => document.getAnimations().every((each) => !each.pending)")
        if directory := os.environ.get("SCREENSHOTS"):
            look = request.node.callspec.id
            page.screenshot(path=Path(directory) / f"{name}-{look}.png")
        if not page.evaluate('() => "axe" in window'):
            page.add_script_tag(path=AXE)
        assert page.evaluate(RUN_AXE) == []
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), "scrolls sideways"

    return check


@pytest.mark.parametrize("look", LOOKS)
def test_customer_s_screens(stage: Stage, look: Look, check: Callable[[Page, str], None]) -> None:
    stage.frank.rpc("set_presence", status="online")
    page = stage.open(stage.carla, **look)
    for name in ("Mona", "Frank"):  # who is offline, and who is not
        page.get_by_role("button", name=f"Book again: {name}").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        check(page, f"dialog-{name}")
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Find more mechanics").click()
    expect(page.locator("#found h3").first).to_be_visible()
    check(page, "finder")
    page.get_by_role("button", name="Close").click()
    book_again(page, "Frank", "Continue with Frank Öberg")
    expect(banner(page)).to_be_visible()
    check(page, "launcher")
    page.get_by_role("button", name="Then ask …").click()
    expect(page.get_by_role("dialog", name="Then ask")).to_be_visible()
    check(page, "then")
    page.get_by_role("button", name="Then ask Mona").click()
    expect(page.get_by_role("list", name="Who is asked").get_by_role("listitem")).to_have_count(2)
    check(page, "order")
    page.get_by_role("button", name="Start now").click()
    expect(page.get_by_text("Then Mona Ricci from")).to_be_visible()
    check(page, "waiting")
    page.get_by_role("button", name="Cancel").click()
    check(page, "cancel")
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Ask everyone now").click()
    expect(headline(page)).to_have_text("Asking every mechanic")
    check(page, "everyone")
    stage.frank.rpc("accept_session_request", request_id=request_id(page))
    expect(headline(page)).to_have_text("Frank Öberg accepted")
    check(page, "accepted")
    stage.world.sql("update public.session_requests set accepted_at = now() - interval '11 min'")
    page.reload()
    page.get_by_role("button", name="They did not come").click()
    check(page, "missed")
    page.get_by_role("dialog").get_by_role("button", name="They did not come").click()
    expect(headline(page)).to_have_text("Finding another mechanic")
    check(page, "finding")
    stage.mona.rpc("accept_session_request", request_id=request_id(page))
    stage.mona.rpc("complete_session_request", request_id=request_id(page))
    expect(headline(page)).to_have_text("Session complete")
    page.get_by_role("button", name="Do not ask Mona Ricci again").click()
    check(page, "block")
    page.get_by_role("button", name="Keep them").click()
    check(page, "complete")
    page.goto(f"/request.html?checkout=cs_test_{uuid.uuid4().hex}")
    expect(headline(page)).to_have_text("Confirming your payment…")
    check(page, "confirming")
    page.get_by_role("link", name="All sessions").click()
    expect(page.locator("#history")).to_contain_text("Free diagnostic")
    check(page, "home")
    page.get_by_role("button", name="Favourite: Frank").click()
    page.get_by_role("button", name="Favourite: Mona").click()
    expect(page.get_by_text("Not a favourite any more")).to_have_count(2)
    page.reload()
    expect(page.get_by_text("No favourites yet")).to_be_visible()
    check(page, "empty")
    page.context.set_offline(True)
    page.get_by_role("button", name="Start now").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no connection.")
    check(page, "offline")


@pytest.mark.parametrize("look", LOOKS)
def test_mechanic_s_screens(stage: Stage, look: Look, check: Callable[[Page, str], None]) -> None:
    page = stage.open(stage.frank, "mechanic.html", **look)
    expect(page.get_by_role("button", name="Go online")).to_be_visible()
    check(page, "nothing")
    stage.world.book(stage.carla)
    stage.world.book(stage.carla, stage.frank)
    page.get_by_role("switch", name="Online").check()
    expect(offer(page)).to_have_count(2)
    check(page, "offers")
    page.get_by_role("button", name="Decline").first.click()
    check(page, "decline")
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Accept").first.click()
    expect(page.locator("#accepted")).to_contain_text("Carla Customer")
    check(page, "accepted")
    page.get_by_role("button", name="I can't make it").click()
    check(page, "release")
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Block this customer").click()
    check(page, "block-customer")


@pytest.mark.parametrize("look", LOOKS)
def test_sign_in_page_of_the_local_stack(
    stack: Stack, stage: Stage, look: Look, check: Callable[[Page, str], None]
) -> None:
    add_demo_people(stack.env)
    write_demo_people(stack.env, stack.directory / "people.json")
    page = stage.device(**look).new_page()
    page.goto("/")
    expect(page.get_by_role("button", name="Carla")).to_be_visible()
    check(page, "sign-in")
    page.get_by_role("button", name="Carla").click()
    expect(page.get_by_role("button", name="Book again: Frank")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(headline(page)).to_have_text("Who are you?")
    page.goto("/")  # nobody is signed in any more
    expect(headline(page)).to_have_text("Who are you?")
    page.goto("/sign-in/")
    page.get_by_role("button", name="Frank").click()
    expect(headline(page)).to_have_text("Hello Frank")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Nina").click()
    expect(headline(page)).to_have_text("Only approved mechanics can do this.")
    expect(page.get_by_role("switch")).to_be_hidden()
    expect(page.locator("#phone")).to_be_hidden()
    check(page, "not-a-mechanic")
