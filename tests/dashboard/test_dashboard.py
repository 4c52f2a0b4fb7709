"""The dashboard in a real browser: what a customer and a mechanic see, on the real stack."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from stack.clients import paid_checkout, post_event, stripe_event
from tests.api.world import Metadata
from tests.dashboard.conftest import KEEP_SENT, Stage, in_firefox_too, sent, wait_to_hear
from tests.database import eventually

WAITING = "Waiting for Frank Öberg"
LEFT_OF_TEN = r"\b(10:00|[5-9]:\d\d)"  # soon after the booking, on a slow machine too
# The list may be read a moment before the event that says why.
LEFT = re.compile("no longer open|Another mechanic has taken|has been withdrawn")


def book_again(page: Page, name: str, answer: str) -> Locator:
    """Press `Book again` and answer the dialog, which is returned as it was before."""
    page.get_by_role("button", name=f"Book again: {name}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name=answer).click()
    expect(dialog).to_be_hidden()
    return dialog


def start_free(stage: Stage, page: Page) -> str:
    """Book Frank again, free of charge; the request's id."""
    book_again(page, "Frank", "Continue with Frank Öberg")
    expect(banner(page)).to_be_visible()
    page.get_by_role("button", name="Start now").click()
    expect(page.get_by_role("heading", name=WAITING)).to_be_visible()
    return request_id(page)


def request_id(page: Page) -> str:
    found = re.search(r"request\.html\?id=([0-9a-f-]{36})$", page.url)
    assert found, page.url
    return found[1]


def banner(page: Page) -> Locator:
    return page.get_by_text("Booking with Frank Öberg (Priority)")


def paid_metadata(stage: Stage, page: Page) -> Metadata:
    """What Stripe was given for the request on the page, as it came back with the payment."""
    (found,) = stage.world.sql(
        "select e.payload #> '{data,object,metadata}' as metadata"
        " from dispatch.stripe_events as e inner join public.session_requests as r"
        " on r.metadata ->> 'stripe_checkout_session_id' = e.payload #>> '{data,object,id}'"
        " where r.id = %s",
        request_id(page),
    )
    metadata: Metadata = found["metadata"]
    return metadata


def headline(page: Page) -> Locator:
    return page.get_by_role("heading", level=1)


def steps(page: Page) -> Locator:
    return page.get_by_label("What happened").get_by_role("listitem")


def offer(page: Page) -> Locator:
    return page.locator("#open > [data-key]")


def is_online(stage: Stage) -> bool:
    return bool(stage.carla.rpc("get_mechanic_status", mechanic_id=stage.frank.id)["is_online"])


@contextmanager
def blind(page: Page) -> Iterator[None]:
    """The page cannot read the open requests meanwhile, as when its connection is slow."""
    pattern = "**/rpc/list_open_session_requests"
    page.route(pattern, lambda route: route.abort())
    yield
    page.unroute(pattern)


# --- Booking ---


def test_dialog_says_who_is_there_and_takes_no_for_an_answer(stage: Stage) -> None:
    stage.frank.rpc("set_presence", status="online")
    page = stage.open(stage.carla)
    frank, mona = page.locator("#favourites > li").all()
    expect(frank).to_contain_text("Online now")
    expect(mona).to_contain_text("Not seen yet")

    again = page.get_by_role("button", name="Book again: Mona")
    again.click()
    dialog = page.get_by_role("dialog", name="Book Mona Ricci again")
    expect(dialog).to_contain_text("Currently offline (not seen yet)")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(again).to_be_focused()
    expect(again).to_have_text("Book again")

    page.get_by_role("button", name="Book again: Frank").click()
    dialog = page.get_by_role("dialog", name="Book Frank Öberg again")
    expect(dialog).to_contain_text("Available now")
    dialog.get_by_role("button", name="Find available now").click()
    expect(page.get_by_role("heading", name="Start a session")).to_be_focused()
    expect(banner(page)).to_have_count(0)


@pytest.mark.further
def test_banner_stands_at_the_launcher_until_it_is_dismissed(stage: Stage) -> None:
    page = stage.open(stage.carla, viewport={"width": 390, "height": 500})
    expect(page.get_by_role("heading", name="Start a session")).not_to_be_in_viewport()
    book_again(page, "Frank", "Continue with Frank Öberg")
    expect(banner(page)).to_be_in_viewport()
    expect(page.get_by_role("heading", name="Start a session")).to_be_focused()
    words = "They'll be notified first. If unavailable, we'll find you another mechanic."
    expect(page.get_by_text(words)).to_be_visible()
    page.reload()
    expect(banner(page)).to_be_visible()
    page.get_by_role("button", name="Ask everyone instead").click()
    expect(banner(page)).to_have_count(0)

    page.get_by_role("button", name="Start now").click()
    expect(headline(page)).to_have_text("Asking every mechanic")
    expect(steps(page)).to_have_count(1)
    assert stage.world.request(request_id(page))["preferred_mechanic_id"] is None


@in_firefox_too
def test_paid_booking_from_the_favourite_s_card_to_the_end_of_the_session(
    hearing_stage: Stage,
) -> None:
    """By Realtime, which tells each of them."""
    stage = hearing_stage
    page = stage.open(stage.carla)
    mona = stage.open(stage.mona, "mechanic.html")
    frank = stage.open(stage.frank, "mechanic.html")
    wait_to_hear(mona, f"mechanic:{stage.mona.id}", "session_requests_feed")
    wait_to_hear(frank, f"mechanic:{stage.frank.id}", "session_requests_feed")
    book_again(page, "Frank", "Continue with Frank Öberg")
    expect(banner(page)).to_be_visible()
    page.get_by_role("button", name="Continue to payment: Quick chat").click()

    expect(page.get_by_text("9.99 USD")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_text("Nothing was paid.")).to_be_visible()
    expect(banner(page)).to_be_visible()
    page.get_by_role("button", name="Continue to payment: Quick chat").click()
    page.get_by_role("button", name="Pay", exact=True).click()

    expect(headline(page)).to_have_text(WAITING)
    expect(steps(page)).to_contain_text(["Told first: Frank Öberg"])
    expect(page.get_by_role("timer", name="left for Frank Öberg")).to_contain_text(
        re.compile(LEFT_OF_TEN)
    )
    assert paid_metadata(stage, page) == stage.world.metadata(stage.carla, stage.frank)
    expect(offer(frank)).to_contain_text("You first, for ")
    expect(mona.get_by_text("Nothing at the moment")).to_be_visible()

    wait_to_hear(page, f"customer:{stage.carla.id}")
    frank.get_by_role("button", name="Accept: Quick chat").click()
    expect(frank.locator("#accepted")).to_contain_text("Carla Customer")
    expect(headline(page)).to_have_text("Frank Öberg accepted")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    frank.reload()
    expect(frank.locator("#accepted")).to_contain_text("Carla Customer")
    frank.clock.install()
    frank.get_by_role("button", name="Session complete").click()
    frank.clock.run_for(9_000)  # rather than wait until it can no longer be undone
    expect(frank.locator("#jobs")).to_be_hidden()
    expect(headline(page)).to_have_text("Session complete")
    expect(steps(page)).to_contain_text(
        ["Told first: Frank Öberg", "Frank Öberg accepted", "Session complete"]
    )


def test_pressing_pay_twice_is_one_payment(stage: Stage) -> None:
    page = stage.open(stage.carla)
    page.get_by_role("button", name="Continue to payment: Quick chat").click()
    page.wait_for_url("**/pay/**")
    first = page.url
    page.go_back()
    page.get_by_role("button", name="Continue to payment: Quick chat").click()
    page.wait_for_url("**/pay/**")
    assert page.url == first
    page.go_back()
    page.get_by_role("button", name="Continue to payment: Expert").click()
    expect(page.get_by_text("29.99 USD")).to_be_visible()
    assert page.url != first


def test_flag_off_leaves_the_old_launcher(stage: Stage) -> None:
    page = stage.open(stage.carla)
    page.add_init_script(KEEP_SENT)
    book_again(page, "Frank", "Continue with Frank Öberg")
    expect(banner(page)).to_be_visible()
    stage.world.turn(False)
    page.reload()
    expect(page.get_by_role("button", name="Start now")).to_be_visible()
    expect(banner(page)).to_have_count(0)
    page.get_by_role("button", name="Continue to payment: Quick chat").click()
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(headline(page)).to_have_text("Asking every mechanic")
    (asked,) = sent(page, "create-checkout")
    assert asked.keys() == {"plan_code", "attempt"}
    stored = stage.world.request(request_id(page))
    assert paid_metadata(stage, page) == stage.world.metadata(stage.carla)
    assert (stored["preferred_mechanic_id"], stored["priority_notified_at"]) == (None, None)

    page.get_by_role("link", name="All sessions").click()
    page.get_by_role("button", name="Book again: Frank").click()
    expect(page.get_by_role("heading", name="Start a session")).to_be_focused()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(banner(page)).to_have_count(0)


# --- Waiting ---


@pytest.mark.further
def test_everyone_is_asked_when_the_customer_says_so(stage: Stage) -> None:
    page = stage.open(stage.carla)
    mona = stage.open(stage.mona, "mechanic.html")
    start_free(stage, page)
    page.get_by_role("button", name="Ask everyone now").click()
    expect(headline(page)).to_have_text("Asking every mechanic")
    expect(steps(page)).to_contain_text(["Told first: Frank", "We asked everyone As you wished."])
    expect(page.get_by_role("button", name="Ask everyone now")).to_be_hidden()
    expect(page.get_by_role("timer")).to_be_hidden()
    mona.get_by_role("button", name="Accept").click()
    expect(headline(page)).to_have_text("Mona Ricci accepted")


def test_everyone_is_asked_when_the_window_ends(stage: Stage) -> None:
    page = stage.open(stage.carla)
    stage.world.end_window(start_free(stage, page))
    expect(headline(page)).to_have_text("Asking every mechanic")
    expect(steps(page)).to_contain_text(
        ["Told first: Frank", "We asked everyone Frank Öberg did not answer in time."]
    )


def test_waiting_survives_reload_lost_connection_and_the_back_button(stage: Stage) -> None:
    page = stage.open(stage.carla)
    booked = start_free(stage, page)
    page.reload()
    expect(headline(page)).to_have_text(WAITING)

    page.go_back()
    session = page.get_by_role("link", name="Free diagnostic")
    expect(session).to_contain_text("Waiting")
    expect(banner(page)).to_have_count(0)
    session.click()
    expect(headline(page)).to_have_text(WAITING)

    page.context.set_offline(True)
    away = page.get_by_text("No connection. Your request is safe with us")
    expect(away).to_be_visible()
    page.get_by_role("button", name="Ask everyone now").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no connection.")
    stage.frank.rpc("accept_session_request", request_id=booked)
    page.context.set_offline(False)
    expect(headline(page)).to_have_text("Frank Öberg accepted")
    expect(away).to_be_hidden()


def test_cancel_asks_first(stage: Stage) -> None:
    page = stage.open(stage.carla)
    frank = stage.open(stage.frank, "mechanic.html")
    start_free(stage, page)
    expect(offer(frank)).to_have_count(1)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it").click()
    expect(headline(page)).to_have_text(WAITING)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the request").click()
    expect(headline(page)).to_have_text("Request closed")
    expect(page.get_by_role("link", name="Back to the start")).to_be_visible()
    expect(offer(frank)).to_have_count(0)
    expect(frank.get_by_role("status").filter(has_text=LEFT)).to_be_visible()


def post(stage: Stage, kind: str, payment_status: str, session: str, **metadata: str) -> int:
    """What Stripe sends of a Checkout Session of Carla's; how it is answered."""
    metadata = stage.world.metadata(stage.carla) | metadata
    event = paid_checkout(metadata, id=session, payment_status=payment_status)
    return post_event(stage.env, event | {"type": f"checkout.session.{kind}"})[0]


def test_confirming_ends_when_the_bank_says_so(stage: Stage) -> None:
    paid, unpaid = (f"cs_test_{uuid.uuid4().hex}" for _ in range(2))
    page = stage.open(stage.carla, f"request.html?checkout={paid}")
    expect(headline(page)).to_have_text("Confirming your payment…")
    expect(page.get_by_role("link", name="Back to the start")).to_be_hidden()
    post(stage, "completed", "unpaid", paid)
    expect(headline(page)).to_have_text("Waiting for your bank")
    page.reload()
    expect(headline(page)).to_have_text("Waiting for your bank")
    post(stage, "async_payment_succeeded", "paid", paid)
    expect(headline(page)).to_have_text("Asking every mechanic")
    request_id(page)

    page = stage.open(stage.carla, f"request.html?checkout={unpaid}")
    stranger = stage.open(stage.mona, f"request.html?checkout={unpaid}")
    page.evaluate("sessionStorage.setItem('attempts', '{}')")
    post(stage, "completed", "unpaid", unpaid)
    post(stage, "async_payment_failed", "unpaid", unpaid)
    expect(headline(page)).to_have_text("Your payment failed")
    page.get_by_role("link", name="Back to the start").click()
    expect(page.get_by_role("heading", name="Start a session")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('attempts')") is None
    expect(headline(stranger)).to_have_text("Confirming your payment…")


@pytest.mark.further
def test_confirming_ends_when_it_cannot_be_booked(stage: Stage) -> None:
    session = f"cs_test_{uuid.uuid4().hex}"
    page = stage.open(stage.carla, f"request.html?checkout={session}")
    expect(headline(page)).to_have_text("Confirming your payment…")
    assert post(stage, "completed", "paid", session, plan_code="gold") == 500
    expect(headline(page)).to_have_text("Your payment is here")


@pytest.mark.further
def test_a_session_that_was_neither_paid_nor_booked(stage: Stage) -> None:
    page = stage.open(stage.carla, "request.html")
    expect(headline(page)).to_have_text("We cannot find this session")
    page.goto("/request.html?id=0b5cbb4e-")
    expect(headline(page)).to_have_text("We cannot find this session")
    # Whoever makes the link would write here, and among the customer's sessions.
    page.goto("/request.html?checkout=refused: ring 555 0199 at once")
    expect(headline(page)).to_have_text("We cannot find this session")
    page.goto("/")
    expect(page.get_by_role("heading", name="Start a session")).to_be_visible()
    assert "555" not in page.evaluate("JSON.stringify(localStorage)")


@pytest.mark.further
def test_a_mechanic_who_is_gone_can_be_cancelled(stage: Stage) -> None:
    booked = stage.world.book(stage.carla)
    gone = stage.world.mechanic()
    gone.rpc("accept_session_request", request_id=booked)
    page = stage.open(stage.carla, f"request.html?id={booked}")
    expect(headline(page)).to_have_text("Mia accepted")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    stage.world.sql("delete from auth.users where id = %s", gone.id)
    expect(headline(page)).to_have_text("Your mechanic is not here any more")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the request").click()
    expect(headline(page)).to_have_text("Request closed")


@pytest.mark.further
def test_a_refund_after_the_accept_is_told(stage: Stage) -> None:
    booked = stage.world.book(stage.carla)
    stage.frank.rpc("accept_session_request", request_id=booked)
    page = stage.open(stage.carla, f"request.html?id={booked}")
    frank = stage.open(stage.frank, "mechanic.html")
    # A device that has run before has a cursor.
    key = f"session-request-events:mechanic:{stage.frank.id}"
    frank.evaluate(f"localStorage.setItem('{key}', 1)")
    frank.reload()
    expect(headline(page)).to_have_text("Frank Öberg accepted")
    expect(frank.locator("#accepted")).to_contain_text("Carla Customer")
    payment = stage.world.request(booked)["metadata"]["stripe_payment_intent"]
    charge = stripe_event("charge.refunded", id="ch_1", payment_intent=payment, refunded=True)
    assert post_event(stage.env, charge)[0] == 200
    expect(steps(page)).to_contain_text(["Your payment was refunded"])
    expect(frank.get_by_role("status").filter(has_text="was refunded")).to_be_visible()


def test_another_customer_s_request_is_not_shown(stage: Stage) -> None:
    booked = stage.world.book(stage.carla)  # Mona may take it, so she sees its row
    page = stage.open(stage.mona, f"request.html?id={booked}")
    expect(headline(page)).to_have_text("We cannot find this session")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


# --- The mechanic's page ---


def test_declined_with_a_reason_that_the_customer_does_not_see(stage: Stage) -> None:
    page = stage.open(stage.carla)
    frank = stage.open(stage.frank, "mechanic.html")
    booked = start_free(stage, page)
    decline = frank.get_by_role("button", name="Decline: Free diagnostic")
    decline.click()
    frank.keyboard.press("Escape")
    expect(decline).to_be_focused()
    decline.click()
    frank.get_by_role("textbox", name="Something else").fill("gone fishing")
    page.get_by_role("button", name="Ask everyone now").focus()
    frank.get_by_role("button", name="Decline", exact=True).click()
    expect(offer(frank)).to_have_count(0)
    expect(steps(page)).to_contain_text(
        ["Told first: Frank", "We asked everyone Frank Öberg cannot take it."]
    )
    page.bring_to_front()
    expect(headline(page)).to_be_focused()  # as the button that had it is gone
    expect(page.get_by_text("fishing")).to_have_count(0)
    (event,) = stage.world.sql(
        "select payload ->> 'decline_reason' as reason from dispatch.request_events"
        " where request_id = %s and event = 'request_declined'",
        booked,
    )
    assert event["reason"] == "gone fishing"


def test_reserved_requests_come_first_and_a_taken_one_leaves(stage: Stage) -> None:
    frank = stage.open(stage.frank, "mechanic.html")
    everyones = stage.world.book(stage.carla)
    reserved = stage.world.book(stage.carla, stage.frank)
    expect(offer(frank)).to_have_count(2)
    keys = [each.get_attribute("data-key") for each in offer(frank).all()]
    assert keys == [reserved, everyones]
    stage.mona.rpc("accept_session_request", request_id=everyones)
    expect(offer(frank)).to_have_count(1)
    expect(frank.get_by_role("status").filter(has_text=LEFT)).to_be_visible()


def test_a_loser_is_told_why(stage: Stage) -> None:
    booked = stage.world.book(stage.carla)
    frank = stage.open(stage.frank, "mechanic.html")
    expect(offer(frank)).to_have_count(1)
    with blind(frank):
        stage.mona.rpc("accept_session_request", request_id=booked)
        frank.get_by_role("button", name="Accept").click()
        expect(frank.get_by_role("alert")).to_contain_text("Another mechanic was faster.")
    expect(offer(frank)).to_have_count(0)


def test_online_switch_keeps_the_heart_beating(stage: Stage) -> None:
    page = stage.open(stage.frank, "mechanic.html")
    switch = page.get_by_role("switch", name="Online")
    page.clock.install()
    page.reload()
    expect(switch).not_to_be_checked()
    switch.check()
    eventually(lambda: is_online(stage))
    stage.world.sql(
        "update public.mechanics set updated_at = updated_at - interval '3 minutes' where id = %s",
        stage.frank.id,
    )
    assert not is_online(stage)
    page.clock.run_for(31_000)
    eventually(lambda: is_online(stage))
    page.reload()
    expect(switch).to_be_checked()
    switch.uncheck()
    eventually(lambda: not is_online(stage))


# --- Whoever uses it ---


def test_books_by_keyboard_alone(stage: Stage) -> None:
    page = stage.open(stage.carla)
    again = page.get_by_role("button", name="Book again: Frank")
    expect(again).to_be_visible()
    for _ in range(10):
        page.keyboard.press("Tab")
        if again.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Continue with Frank")).to_be_focused()
    page.keyboard.press("Enter")
    expect(banner(page)).to_be_visible()
    expect(page.get_by_role("heading", name="Start a session")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Then ask …")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Ask everyone instead")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("It squeals")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(headline(page)).to_have_text(WAITING)


def test_says_that_it_is_loading(stage: Stage) -> None:
    page = stage.open(stage.carla)
    again = page.locator("#favourites button").first
    expect(again).to_have_text("Book again")
    held: list[Route] = []
    page.route("**/rpc/get_mechanic_status", lambda route: held.append(route))
    again.click()
    expect(again).to_have_text("Checking…")
    expect(again).to_have_attribute("aria-busy", "true")
    again.click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    (asked,) = held
    asked.continue_()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(again).to_have_text("Book again")


def test_errors_are_words(stage: Stage) -> None:
    page = stage.open(stage.carla)
    pay = page.get_by_role("button", name="Continue to payment: Quick chat")
    expect(pay).to_be_visible()
    stage.world.sql("update public.service_plans set is_active = false where code = 'quick-chat'")
    try:
        pay.click()
        expect(page.get_by_role("alert")).to_contain_text(
            "This plan cannot be booked. Please choose another."
        )
    finally:
        stage.world.sql("update public.service_plans set is_active = true")
    expect(pay).to_have_text("Continue to payment")


def test_nobody_signed_in_is_sent_to_the_sign_in_page(stage: Stage) -> None:
    page = stage.device().new_page()
    page.goto("/mechanic.html")
    expect(page).to_have_url(re.compile(r"/sign-in/\?next=%2Fmechanic\.html$"))
