"""The mechanic's page: what decides, what rings, and what can be taken back."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.dashboard.conftest import PHONE, Stage, configure
from tests.dashboard.test_dashboard import offer
from tests.database import eventually

# What an app that is looked at elsewhere does, written down: Chromium shows no notifications here.
# As a browser has it that cannot ring with the page closed.
LISTEN = """
    window.heard = [];
    delete window.PushManager;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...when) {
        heard.push("chime");
        return start.apply(this, when);
    };
    window.Notification = class {
        static permission = sessionStorage.permission ?? "default";
        static async requestPermission() {
            heard.push("asked");
            return (this.permission = sessionStorage.permission = "granted");
        }
        constructor(title, { body, tag }) {
            heard.push([title, body, tag]);
        }
    };
"""

# Firefox waits for a sound card, which a machine of tests has not.
SOUND_CARD = "Object.defineProperty(AudioContext.prototype, 'state', { get: () => 'running' })"


def read_now(page: Page) -> None:
    """Rather than in two seconds."""
    page.evaluate("dispatchEvent(new Event('online'))")


def open_mechanic(stage: Stage) -> Page:
    page = stage.open(stage.frank, "mechanic.html")
    expect(page.get_by_text("Nothing at the moment")).to_be_visible()
    return page


def test_a_request_shows_what_decides(stage: Stage) -> None:
    earlier = stage.world.book(stage.carla)
    stage.frank.rpc("accept_session_request", request_id=earlier)
    stage.frank.rpc("complete_session_request", request_id=earlier)
    page = open_mechanic(stage)
    booked = stage.world.book(stage.carla)
    stage.world.sql(
        "update public.session_requests set requested_brand = 'Saab', customer_city = 'Malmö',"
        " is_urgent = true, created_at = now() - interval '7 minutes' where id = %s",
        booked,
    )
    read_now(page)
    card = offer(page)
    expect(card.get_by_role("heading")).to_have_text("Quick chat $9.99")
    expect(card).to_contain_text("Asked 7 minutes ago")
    facts = card.get_by_role("list").get_by_role("listitem")
    expect(facts).to_have_text(["Urgent", "Was your customer before", "Saab", "Malmö"])
    expect(page.get_by_text("Carla")).to_have_count(0)
    # What is not known is left out.
    stage.world.sql("update public.session_requests set requested_brand = null, is_urgent = false")
    stage.world.sql("update public.session_requests set customer_city = null, plan_code = 'gone'")
    read_now(page)
    expect(card.get_by_role("heading")).to_have_text("Session")
    expect(facts).to_have_text(["Was your customer before"])


def test_a_new_request_is_heard_seen_and_told(stage: Stage) -> None:
    page = stage.open(stage.frank, "mechanic.html")
    page.add_init_script(LISTEN)
    if stage.browser.browser_type.name == "firefox":
        page.add_init_script(SOUND_CARD)
    there = stage.world.book(stage.carla)
    page.reload()
    expect(offer(page)).to_have_count(1)
    assert page.evaluate("heard") == []

    notify = page.get_by_role("button", name="Notify me")
    notify.click()
    expect(notify).to_be_hidden()
    assert page.evaluate("heard") == ["asked"]
    page.evaluate("document.hasFocus = () => false")
    reserved = stage.world.book(stage.carla, stage.frank)
    read_now(page)
    expect(page).to_have_title("● (2) New request")
    page.wait_for_function("heard.length > 3")
    told = ["You first: Quick chat", "$9.99", reserved]
    assert page.evaluate("heard") == ["asked", "chime", "chime", told]

    # Looked at; and what has gone again is no news either.
    page.evaluate("document.hasFocus = () => true; dispatchEvent(new Event('focus'))")
    expect(page).to_have_title("(2) Open requests")
    page.evaluate("document.hasFocus = () => false")
    another = stage.world.book(stage.carla)
    read_now(page)
    expect(page).to_have_title("● (3) New request")
    for request in (there, reserved, another):
        stage.carla.rpc("cancel_session_request", request_id=request)
    read_now(page)
    expect(page).to_have_title("Open requests")

    page.get_by_role("switch", name="Sound").uncheck()
    page.reload()
    expect(page.get_by_text("Nothing at the moment")).to_be_visible()
    expect(page.get_by_role("switch", name="Sound")).not_to_be_checked()
    expect(notify).to_be_hidden()
    stage.world.book(stage.carla)
    read_now(page)
    expect(offer(page)).to_have_count(1)
    assert "chime" not in page.evaluate("heard")


def accepted(stage: Stage) -> tuple[Page, str]:
    booked = stage.world.book(stage.carla)
    stage.frank.rpc("accept_session_request", request_id=booked)
    page = stage.open(stage.frank, "mechanic.html")
    expect(page.locator("#accepted > li")).to_have_count(1)
    return page, booked


@pytest.mark.further
def test_the_mechanic_joins_the_session_too(stage: Stage) -> None:
    page, booked = accepted(stage)
    join = page.get_by_role("link", name="Join the session")
    join.click()
    expect(page).to_have_url(re.compile(f"session.html\\?id={booked}$"))
    page.get_by_role("link", name="Back").click()
    expect(join).to_be_visible()
    configure(page, stage, SESSION_URL="")
    page.reload()
    expect(page.get_by_role("button", name="Session complete")).to_be_visible()
    expect(join).to_be_hidden()


def test_complete_can_be_taken_back_for_some_seconds(stage: Stage) -> None:
    page, booked = accepted(stage)
    page.clock.install()
    complete = page.get_by_role("button", name="Session complete")
    complete.click()
    expect(page.get_by_text(re.compile(r"Complete in \d s"))).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    page.clock.run_for(20_000)
    expect(complete).to_be_visible()
    assert stage.world.request(booked)["status"] == "accepted"

    complete.click()
    page.clock.run_for(7_000)
    assert stage.world.request(booked)["status"] == "accepted"
    page.clock.run_for(2_000)
    expect(page.locator("#jobs")).to_be_hidden()
    assert stage.world.request(booked)["status"] == "completed"


def test_who_leaves_meant_it(stage: Stage) -> None:
    page, booked = accepted(stage)
    page.get_by_role("button", name="Session complete").click()
    page.goto("/sign-in/")
    eventually(lambda: stage.world.request(booked)["status"] == "completed")


def test_offline_in_one_tab_is_offline_in_all(stage: Stage) -> None:
    here = open_mechanic(stage)
    there = here.context.new_page()
    stage.sign_in(there, stage.frank)
    there.clock.install()
    there.goto("/mechanic.html")
    switches = [page.get_by_role("switch", name="Online") for page in (here, there)]
    expect(switches[1]).to_be_enabled()
    switches[0].check()
    expect(switches[1]).to_be_checked()
    # The other tab's heartbeat is under way, and arrives last.
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    there.route("**/rpc/set_presence", hold_the_first)
    with there.expect_request("**/rpc/set_presence"):
        there.clock.run_for(31_000)
    switches[0].uncheck()
    expect(switches[1]).not_to_be_checked()
    status = {"mechanic_id": stage.frank.id}
    eventually(lambda: not stage.carla.rpc("get_mechanic_status", **status)["is_online"])
    with there.expect_request("**/rpc/set_presence") as last:
        held[0].continue_()
    assert last.value.response()
    assert not stage.carla.rpc("get_mechanic_status", **status)["is_online"]


def test_an_empty_list_says_what_to_do(stage: Stage) -> None:
    page = open_mechanic(stage)
    expect(page.get_by_text("Your customers see that you are offline.")).to_be_visible()
    page.get_by_role("button", name="Go online").click()
    switch = page.get_by_role("switch", name="Online")
    expect(switch).to_be_checked()
    expect(switch).to_be_focused()
    expect(page.get_by_role("button", name="Go online")).to_be_hidden()
    status = {"mechanic_id": stage.frank.id}
    eventually(lambda: stage.carla.rpc("get_mechanic_status", **status)["is_online"])
    switch.uncheck()
    expect(page.get_by_role("button", name="Go online")).to_be_visible()


def test_a_key_held_down_declines_nothing(stage: Stage) -> None:
    booked = stage.world.book(stage.carla, stage.frank)
    page = stage.open(stage.frank, "mechanic.html", viewport=PHONE)
    card = offer(page)
    expect(card).to_have_count(1)
    heights = [
        button.bounding_box()["height"]  # type: ignore[index]
        for button in card.get_by_role("button").all()
    ]
    assert heights == [44, 44]  # a thumb's, and no more
    decline = card.get_by_role("button", name="Decline")
    decline.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Decline this request?")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(decline).to_be_focused()
    open_now = stage.frank.rpc("list_open_session_requests")
    assert [each["request_id"] for each in open_now] == [booked]


@pytest.mark.further
def test_two_customers_wait_in_vain_and_the_page_says_that_they_are_away(stage: Stage) -> None:
    page = stage.open(stage.frank, "mechanic.html")
    switch = page.get_by_role("switch", name="Online")
    page.clock.install()
    page.reload()
    with page.expect_response("**/rpc/set_presence"):
        switch.check()
    for _ in range(2):
        stage.world.end_window(stage.world.book(stage.carla, stage.frank))
    expect(page.get_by_role("alert")).to_contain_text("two customers waited in vain")
    status = {"mechanic_id": stage.frank.id}
    assert not stage.carla.rpc("get_mechanic_status", **status)["is_online"]
    # The page's own heartbeat does not undo it; one press does.
    page.clock.run_for(31_000)
    expect(switch).not_to_be_checked()
    assert not stage.carla.rpc("get_mechanic_status", **status)["is_online"]
    switch.check()
    eventually(lambda: stage.carla.rpc("get_mechanic_status", **status)["is_online"])
