"""Favourites in an order, a job given back, nobody who came, and whom one does not want again."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from stack.clients import add_mechanic, paid_checkout
from tests.api.world import Person
from tests.dashboard.conftest import Stage, in_firefox_too
from tests.dashboard.test_customer import book_paid, start
from tests.dashboard.test_dashboard import (
    LEFT_OF_TEN,
    book_again,
    headline,
    offer,
    paid_metadata,
    request_id,
    steps,
)
from tests.database import eventually


@pytest.fixture
def nora(stage: Stage) -> Person:
    """A third favourite."""
    user_id = add_mechanic(stage.world.owner, "Nora Lind")
    stage.world.sql(
        "insert into public.customer_favorites (customer_id, mechanic_id) values (%s, %s)",
        stage.carla.id,
        user_id,
    )
    return stage.world.person(user_id, f"mechanic:{user_id}", "session_requests_feed")


def then_ask(page: Page, name: str) -> None:
    page.get_by_role("button", name="Then ask …").click()
    dialog = page.get_by_role("dialog", name="Then ask")
    dialog.get_by_role("button", name=f"Then ask {name}").click()
    expect(dialog).to_be_hidden()
    expect(order(page).filter(has_text=name)).to_have_count(1)


def order(page: Page) -> Locator:
    return page.get_by_role("list", name="Who is asked").get_by_role("listitem")


def names(page: Page) -> Locator:
    return order(page).locator("[data-part=name]")


def drag(page: Page, name: str, to: str) -> None:
    """By its grip, onto another's place."""
    ends = [
        order(page).filter(has_text=each).locator("[data-part=grip]").bounding_box()
        for each in (name, to)
    ]
    start, end = (each for each in ends if each)
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    past = 5 if end["y"] > start["y"] else -5
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2 + past)
    page.mouse.up()


def accepted(stage: Stage, minutes: float = 0, amount: int = 999) -> str:
    """Paid, and accepted by Frank so long ago."""
    booked = book_paid(stage, amount, "usd")
    accept(stage, booked, stage.frank, minutes)
    return booked


def accept(stage: Stage, booked: str, mechanic: Person, minutes: float = 0) -> None:
    mechanic.rpc("accept_session_request", request_id=booked)
    stage.world.sql(
        "update public.session_requests set accepted_at = now() - make_interval(secs => %s)"
        " where id = %s",
        minutes * 60,
        booked,
    )


# --- Up to three, in an order ---


@in_firefox_too
def test_three_favourites_are_chosen_ordered_paid_and_asked_in_turn(
    stage: Stage, nora: Person
) -> None:
    page = stage.open(stage.carla)
    book_again(page, "Frank", "Continue with Frank Öberg")
    expect(page.get_by_text("They have up to 10 minutes to answer; then everyone")).to_be_visible()
    then_ask(page, "Mona Ricci")
    then_ask(page, "Nora Lind")
    expect(page.get_by_role("button", name="Then ask …")).to_be_hidden()
    expect(page.get_by_role("heading", name="Start a session")).to_be_focused()

    # By keys: the button keeps the focus, and it is said what it did.
    earlier = page.get_by_role("button", name="Ask earlier: Nora Lind")
    earlier.focus()
    page.keyboard.press("Enter")
    expect(names(page)).to_have_text(["Frank Öberg", "Nora Lind", "Mona Ricci"])
    said = page.locator("#heard")
    expect(said).to_have_text("Nora Lind is asked second.")
    expect(earlier).to_be_focused()
    page.keyboard.press("Enter")
    expect(names(page)).to_have_text(["Nora Lind", "Frank Öberg", "Mona Ricci"])
    expect(said).to_have_text("Nora Lind is asked first.")
    expect(earlier).to_be_focused()
    expect(earlier).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Enter")  # there is nothing before the first
    # By dragging, up and down.
    drag(page, "Mona Ricci", "Nora Lind")
    expect(names(page)).to_have_text(["Mona Ricci", "Nora Lind", "Frank Öberg"])
    expect(said).to_have_text("Mona Ricci is asked first.")
    drag(page, "Mona Ricci", "Frank Öberg")
    expect(names(page)).to_have_text(["Nora Lind", "Frank Öberg", "Mona Ricci"])
    expect(said).to_have_text("Mona Ricci is asked third.")

    page.get_by_role("button", name="Do not ask first: Nora Lind").click()
    expect(names(page)).to_have_text(["Frank Öberg", "Mona Ricci"])
    expect(page.get_by_role("button", name="Then ask …")).to_be_focused()
    then_ask(page, "Nora Lind")
    page.reload()
    expect(names(page)).to_have_text(["Frank Öberg", "Mona Ricci", "Nora Lind"])
    expect(
        page.get_by_text(
            "Frank Öberg first for 10 minutes, then Mona Ricci for 10, then Nora Lind for 10,"
            " then everyone: up to 30 minutes."
        )
    ).to_be_visible()
    booking = "Booking with Frank Öberg, then Mona Ricci, then Nora Lind (Priority)"
    expect(page.get_by_text(booking)).to_be_visible()

    start(page).click()
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(headline(page)).to_have_text("Waiting for Frank Öberg")
    chain = ",".join((stage.frank.id, stage.mona.id, nora.id))
    assert paid_metadata(stage, page)["preferred_mechanic_ids"] == chain
    then = page.locator("#next")
    expect(then).to_have_text(re.compile("^Then Mona .* then Nora Lind from .* then everyone from"))
    stage.frank.rpc("decline_session_request", request_id=request_id(page))
    expect(headline(page)).to_have_text("Waiting for Mona Ricci")
    expect(page.get_by_role("timer", name="left for Mona Ricci")).to_contain_text(
        re.compile(LEFT_OF_TEN)
    )
    expect(then).to_have_text(re.compile("^Then Nora Lind from .* then everyone from"))
    stage.world.end_window(request_id(page))
    expect(headline(page)).to_have_text("Waiting for Nora Lind")
    stage.world.sql("update public.mechanics set status = 'suspended' where id = %s", nora.id)
    expect(headline(page)).to_have_text("Asking every mechanic")
    expect(then).to_be_hidden()
    expect(steps(page)).to_contain_text(
        [
            "Told first: Frank Öberg",
            "Then told: Mona Ricci Frank Öberg cannot take it.",
            "Mona Ricci did not answer in time.",
            "We asked everyone",
        ]
    )


def test_the_next_turn_comes_by_the_clock_alone(stage: Stage) -> None:
    chain = [stage.frank.id, stage.mona.id]
    booked = stage.carla.rpc(
        "request_free_session",
        plan_code="free-diagnostic",
        routing_type="priority_broadcast",
        preferred_mechanic_ids=chain,
    )["id"]
    page = stage.open(stage.carla)
    page.clock.install()
    page.goto(f"/request.html?id={booked}")
    expect(page.get_by_role("timer", name="left for Frank Öberg")).to_be_visible()
    # Nothing can be read any more; by the server's clock it goes on.
    page.route("**/rest/v1/**", lambda route: route.abort())
    page.clock.fast_forward(601_000)
    expect(headline(page)).to_have_text("Waiting for Mona Ricci")
    expect(page.locator("#next")).to_have_text(re.compile("^Then everyone from"))
    page.clock.fast_forward(600_000)
    expect(headline(page)).to_have_text("Asking every mechanic")
    expect(page.locator("#session")).to_contain_text("Mona Ricci did not answer in time.")


@pytest.mark.further
def test_a_free_chain_passes_over_who_is_away(stage: Stage, nora: Person) -> None:
    for there in (stage.frank, nora):
        there.rpc("set_presence", status="online")
    page = stage.open(stage.carla)
    book_again(page, "Frank", "Continue with Frank Öberg")
    page.get_by_role("button", name="Then ask …").click()
    dialog = page.get_by_role("dialog", name="Then ask")
    row = dialog.get_by_role("listitem")
    expect(row.filter(has_text="Nora")).to_contain_text("Online now")
    expect(row.filter(has_text="Mona")).to_contain_text("Not seen yet")
    dialog.get_by_label("Do not wait for whoever is still offline").check()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Then ask …")).to_be_focused()
    expect(page.get_by_text("if they are online when you book")).to_have_count(0)
    page.get_by_role("button", name="Then ask …").click()
    dialog.get_by_label("Do not wait for whoever is still offline").check()
    dialog.get_by_role("button", name="Then ask Mona Ricci").click()
    expect(page.get_by_text("Whoever is offline when you book is passed over.")).to_be_visible()
    then_ask(page, "Nora Lind")
    start(page, "Free").click()
    expect(headline(page)).to_have_text("Waiting for Frank Öberg")
    expect(page.locator("#next")).to_have_text(re.compile("^Then Nora Lind from"))
    booked = request_id(page)

    # From there, and from the history: book that one again, in one press.
    page.get_by_role("button", name="Ask everyone now").click()
    expect(headline(page)).to_have_text("Asking every mechanic")
    nora.rpc("accept_session_request", request_id=booked)
    nora.rpc("complete_session_request", request_id=booked)
    page.goto("/")
    page.locator("#history").get_by_role("button", name="Book again").click()
    expect(page.get_by_text("Booking with Nora Lind (Priority)")).to_be_visible()
    expect(names(page)).to_have_count(0)


@pytest.mark.further
def test_who_cannot_be_booked_any_more_leaves_the_order(stage: Stage, nora: Person) -> None:
    page = stage.open(stage.carla)
    book_again(page, "Frank", "Continue with Frank Öberg")
    then_ask(page, "Nora Lind")
    stage.world.sql("update public.mechanics set status = 'suspended' where id = %s", nora.id)
    page.reload()
    expect(page.get_by_text("Nora Lind cannot be booked any more.")).to_be_visible()
    expect(page.get_by_role("button", name="Then ask …")).to_be_visible()
    expect(page.get_by_text("Booking with Frank Öberg (Priority)")).to_be_visible()


def test_who_was_passed_over_is_named(stage: Stage, nora: Person) -> None:
    stage.world.sql("update public.mechanics set status = 'suspended' where id = %s", nora.id)
    metadata = stage.world.metadata(stage.carla, stage.frank)
    metadata["preferred_mechanic_ids"] = f"{stage.mona.id},{stage.frank.id}"
    metadata |= {"skip_if_offline": "true", "preferred_mechanic_id": stage.mona.id}
    stage.frank.rpc("set_presence", status="online")
    booked = stage.world.deliver(paid_checkout(metadata))
    page = stage.open(stage.carla, f"request.html?id={booked}")
    expect(headline(page)).to_have_text("Waiting for Frank Öberg")
    expect(steps(page)).to_contain_text(
        ["Mona Ricci cannot be asked Mona Ricci is offline.", "Told first: Frank Öberg"]
    )


# --- Given back, and nobody came ---


def test_a_mechanic_who_cannot_make_it_gives_it_back(stage: Stage) -> None:
    booked = accepted(stage)
    page = stage.open(stage.carla, f"request.html?id={booked}")
    expect(headline(page)).to_have_text("Frank Öberg accepted")
    work = stage.open(stage.frank, "mechanic.html")
    give = work.get_by_role("button", name="I can't make it: Carla Customer")
    give.focus()
    work.keyboard.press("Enter")
    dialog = work.get_by_role("dialog", name="Give this session back?")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    work.keyboard.press("Enter")  # as when the key is held down
    expect(dialog).to_be_hidden()
    expect(give).to_be_focused()
    assert stage.world.request(booked)["status"] == "accepted"

    give.click()
    dialog.get_by_role("textbox", name="Something else").fill("a flat tyre")
    dialog.get_by_role("button", name="Give it back").click()
    expect(work.locator("#jobs")).to_be_hidden()
    expect(offer(work)).to_have_count(0)
    expect(work.get_by_role("heading", name="You may take")).to_be_focused()
    expect(headline(page)).to_have_text("Finding another mechanic")
    card = page.locator("#session")
    expect(card).to_contain_text("Frank Öberg cannot come. Everyone else is asked")
    stage.mona.rpc("accept_session_request", request_id=booked)
    expect(headline(page)).to_have_text("Mona Ricci accepted")
    expect(steps(page)).to_contain_text(
        [
            "We asked everyone",
            "Frank Öberg accepted",
            "Finding another mechanic Frank Öberg cannot come.",
            "We asked everyone",
            "Mona Ricci accepted",
        ]
    )
    expect(page.get_by_text("flat tyre")).to_have_count(0)
    (event,) = stage.world.sql(
        "select payload ->> 'decline_reason' as reason from dispatch.request_events"
        " where request_id = %s and event = 'request_released'",
        booked,
    )
    assert event["reason"] == "a flat tyre"


def test_from_ten_minutes_on_the_customer_says_that_nobody_came(stage: Stage) -> None:
    booked = accepted(stage, minutes=9.5, amount=1500)
    page = stage.open(stage.carla)
    (now,) = stage.world.sql("select extract(epoch from now()) - 7200 as at")
    page.clock.install(time=float(now["at"]))  # the device's is two hours slow
    page.goto(f"/request.html?id={booked}")
    missing = page.get_by_role("button", name="They did not come")
    expect(page.get_by_text("If they do not come, you can say so here from")).to_be_visible()
    expect(missing).to_be_hidden()
    work = stage.open(stage.frank, "mechanic.html")
    expect(work.locator("#accepted")).to_contain_text("Carla Customer")
    accepted_at = "update public.session_requests set accepted_at = accepted_at - interval '1 min'"
    stage.world.sql(accepted_at)
    page.clock.fast_forward(31_000)
    expect(page.get_by_text("If they do not come")).to_be_hidden()
    missing.click()
    dialog = page.get_by_role("dialog", name="Did Frank Öberg not come?")
    expect(dialog).to_contain_text("You are not charged again.")
    expect(dialog.get_by_role("button", name="Wait a little longer")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    missing.click()
    dialog.get_by_role("button", name="They did not come").click()
    expect(headline(page)).to_have_text("Finding another mechanic")
    expect(headline(page)).to_be_focused()
    expect(missing).to_be_hidden()
    expect(page.locator("#session")).to_contain_text("Frank Öberg did not come. Everyone else")
    expect(work.locator("#jobs")).to_be_hidden()
    expect(work.get_by_text("Your customer says that you did not come.")).to_be_visible()

    # The second one: it is over, and what becomes of the money is said before and after.
    accept(stage, booked, stage.mona, minutes=11)
    page.reload()
    missing.click()
    dialog = page.get_by_role("dialog", name="Did Mona Ricci not come?")
    expect(dialog).to_contain_text("Your $15.00 goes back the way you paid.")
    dialog.get_by_role("button", name="They did not come").click()
    expect(headline(page)).to_have_text("Request closed")
    card = page.locator("#session")
    expect(card).to_contain_text("Mona Ricci did not come.")
    expect(card).to_contain_text("Your $15.00 goes back the way you paid; banks take")
    expect(missing).to_be_hidden()


# --- Not again ---


def blocks(stage: Stage, *people: Person) -> list[dict[str, Any]]:
    return stage.world.sql(
        "select user_id::text, other_id::text from dispatch.blocks"
        " where is_theirs and user_id = any(%s::uuid[])",
        [person.id for person in people],
    )


@pytest.mark.further
def test_a_customer_does_not_ask_again(stage: Stage) -> None:
    page = stage.open(stage.carla)
    book_again(page, "Mona", "Continue with Mona Ricci")
    then_ask(page, "Frank Öberg")
    block = page.get_by_role("button", name="Do not ask again: Frank Öberg")
    block.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Do not ask Frank Öberg again?")
    expect(dialog).to_contain_text("They are not told.")
    expect(dialog.get_by_role("button", name="Keep them")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(block).to_be_focused()
    assert blocks(stage, stage.carla) == []

    block.click()
    dialog.get_by_role("button", name="Do not ask again").click()
    card = page.locator("#favourites > li").filter(has_text="Frank")
    expect(card).to_contain_text("Not asked again, and not told so")
    undo = card.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    expect(page.get_by_text("Booking with Mona Ricci (Priority)")).to_be_visible()
    assert blocks(stage, stage.carla) == [{"user_id": stage.carla.id, "other_id": stage.frank.id}]
    page.reload()
    expect(card).to_contain_text("Not asked again, and not told so")
    expect(card).to_contain_text("Frank Öberg")
    undo.click()
    expect(page.get_by_role("button", name="Book again: Frank Öberg")).to_be_focused()
    assert blocks(stage, stage.carla) == []


@pytest.mark.further
def test_a_past_session_s_mechanic_is_not_asked_again(stage: Stage) -> None:
    booked = accepted(stage)
    page = stage.open(stage.carla, f"request.html?id={booked}")
    expect(headline(page)).to_have_text("Frank Öberg accepted")
    block = page.get_by_role("button", name="Do not ask Frank Öberg again")
    expect(block).to_be_hidden()
    stage.frank.rpc("complete_session_request", request_id=booked)
    block.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Do not ask again").click()
    expect(page.get_by_text("They are not asked again, and not told so.")).to_be_visible()
    expect(page.get_by_role("link", name="Book again")).to_have_attribute(
        "href", "index.html?plan=quick-chat"
    )
    page.get_by_role("button", name="Undo: Frank Öberg may be asked again").click()
    expect(page.get_by_role("link", name="Book Frank Öberg again")).to_be_visible()
    assert blocks(stage, stage.carla) == []


@pytest.mark.further
def test_a_mechanic_hears_no_more_of_a_customer(stage: Stage) -> None:
    accepted(stage)
    page = stage.open(stage.frank, "mechanic.html")
    block = page.get_by_role("button", name="Block this customer: Carla Customer")
    block.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Block this customer?")
    expect(dialog).to_contain_text("They are not told.")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    assert blocks(stage, stage.frank) == []
    block.click()
    dialog.get_by_role("button", name="Block", exact=True).click()
    card = page.locator("#accepted > li")
    expect(card).to_contain_text("You will not hear of each other again. They are not told.")
    assert blocks(stage, stage.frank) == [{"user_id": stage.frank.id, "other_id": stage.carla.id}]
    page.reload()
    page.get_by_role("button", name="Undo: hear of Carla Customer again").click()
    expect(block).to_be_visible()
    eventually(lambda: blocks(stage, stage.frank) == [])
