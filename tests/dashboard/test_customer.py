"""What a customer is told and can do: the money, the time, favourites, and what fails."""

import re
import uuid
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from stack.clients import add_mechanic, paid_checkout, post_event, stripe_event
from tests.api.world import Person
from tests.dashboard.conftest import KEEP_SENT, PHONE, Stage, configure, in_firefox_too, sent
from tests.dashboard.test_dashboard import (
    LEFT_OF_TEN,
    WAITING,
    banner,
    book_again,
    headline,
    request_id,
    start_free,
)

LONG_NAME = "Wolfeschlegelsteinhausenbergerdorff" * 2 + "und Söhne"
assert len(LONG_NAME) == 79
HELP = "mailto:help@marketplace.example"


def book_paid(
    stage: Stage, amount: int, currency: str, preferred: Person | None = None, **session: str
) -> str:
    metadata = stage.world.metadata(stage.carla, preferred)
    event = paid_checkout(metadata, amount_total=amount, currency=currency, **session)
    return stage.world.deliver(event)


def refund(stage: Stage, booked: str) -> None:
    payment = stage.world.request(booked)["metadata"]["stripe_payment_intent"]
    charge = stripe_event("charge.refunded", id="ch_1", payment_intent=payment, refunded=True)
    assert post_event(stage.env, charge)[0] == 200


def live_requests(stage: Stage) -> int:
    (found,) = stage.world.sql(
        "select count(*) as count from public.session_requests"
        " where customer_id = %s and status in ('pending', 'accepted')",
        stage.carla.id,
    )
    return int(found["count"])


def fits(page: Page) -> bool:
    root = "document.documentElement"
    return bool(page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"))


def start(page: Page, plan: str = "Quick chat") -> Locator:
    return page.get_by_role("button", name=re.compile(f"(Start now|Continue to payment): {plan}"))


def mechanic(stage: Stage, name: str | None, *, favourite: bool = True) -> str:
    mechanic_id = add_mechanic(stage.world.owner, "Somebody")
    stage.world.sql(
        "update public.mechanics set display_name = %s where id = %s", name, mechanic_id
    )
    if favourite:
        stage.world.sql(
            "insert into public.customer_favorites (customer_id, mechanic_id) values (%s, %s)",
            stage.carla.id,
            mechanic_id,
        )
    return mechanic_id


# --- The money ---


def test_a_closed_request_says_what_becomes_of_the_money(stage: Stage) -> None:
    booked = book_paid(stage, 1500, "jpy", stage.frank)
    page = stage.open(stage.carla, f"request.html?id={booked}")
    expect(page.locator("#summary")).to_have_text(re.compile(r"Quick chat\s+¥1,500 paid"))
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    cancel.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Cancel this request?")
    expect(dialog).to_contain_text("Your ¥1,500 goes back the way you paid.")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")  # as when the key is held down
    expect(dialog).to_be_hidden()
    expect(headline(page)).to_have_text(WAITING)
    assert stage.world.request(booked)["status"] == "pending"

    cancel.click()
    dialog.get_by_role("button", name="Cancel the request").click()
    expect(headline(page)).to_have_text("Request closed")
    expect(headline(page)).to_be_focused()
    card = page.locator("#session")
    expect(card).to_contain_text("Your ¥1,500 goes back the way you paid")
    refund(stage, booked)
    page.reload()
    expect(card).to_contain_text("Your ¥1,500 was refunded")

    expired = book_paid(stage, 2999, "usd")
    stage.world.expire(expired)
    free = stage.carla.rpc("request_free_session", plan_code="free-diagnostic")["id"]
    stage.carla.rpc("cancel_session_request", request_id=free)
    page.goto(f"/request.html?id={expired}")
    expect(headline(page)).to_have_text("Request expired")
    expect(card).to_contain_text("Your $29.99 goes back the way you paid")
    page.goto(f"/request.html?id={free}")
    expect(card).to_contain_text("It was free: nothing was charged.")
    page.get_by_role("link", name="Back to the start").click()
    expect(page.locator("#history")).to_contain_text("¥1,500 refunded")
    expect(page.locator("#history")).to_contain_text("$29.99 on its way back")


def test_prices_in_each_currency(stage: Stage) -> None:
    """Yen have no cents, and what is no currency at all is shown all the same."""
    stage.world.sql(
        "insert into public.service_plans values"
        " ('yen', 'Yen', 'chat', 1500, 'jpy'), ('points', 'Points', 'chat', 1500, 'points'),"
        " ('crowns', 'Crowns', 'chat', 150000, 'isk')"
    )
    try:
        page = stage.open(stage.carla, locale="de-DE")
        plans = page.locator("#plans > li")
        expect(plans).to_have_count(6)
        expect(plans.filter(has_text="Yen")).to_contain_text("¥1,500")
        expect(plans.filter(has_text="Points")).to_contain_text("15 POINTS")
        expect(plans.filter(has_text="Crowns")).to_contain_text("ISK 1,500")
    finally:
        stage.world.sql(
            "delete from public.service_plans where code in ('yen', 'points', 'crowns')"
        )


def test_the_page_after_a_checkout_waits_for_that_payment(stage: Stage) -> None:
    old = book_paid(stage, 999, "usd")
    stage.carla.rpc("cancel_session_request", request_id=old)
    session = f"cs_test_{uuid.uuid4().hex}"
    page = stage.open(stage.carla)
    expect(start(page)).to_be_visible()
    page.clock.install()
    configure(page, stage, HELP_URL=HELP)
    page.goto(f"/request.html?checkout={session}")
    expect(headline(page)).to_have_text("Confirming your payment…")
    page.clock.fast_forward(31_000)
    expect(headline(page)).to_have_text("Your payment is not here yet")
    expect(page.locator("#session")).to_contain_text(session)
    expect(page.get_by_role("link", name="Ask for help")).to_have_attribute("href", HELP)
    page.get_by_role("link", name="Back to the start").click()
    row = page.locator("#payments > li")
    expect(row).to_contain_text("Your payment is not here yet")
    booked = book_paid(stage, 999, "usd", id=session)
    expect(page.locator(f"#requests a[href$='{booked}']")).to_contain_text("Waiting")
    expect(row).to_have_count(0)
    page.goto(f"/request.html?checkout={session}")
    expect(headline(page)).to_have_text("Asking every mechanic")
    assert request_id(page) == booked


def test_a_paid_session_that_was_deleted_is_not_waited_for(stage: Stage) -> None:
    session = f"cs_test_{uuid.uuid4().hex}"
    booked = book_paid(stage, 999, "usd", id=session)
    stage.world.sql("delete from public.session_requests where id = %s", booked)
    stage.world.sql("select dispatch.scrub_stripe_events('180 days')")
    page = stage.open(stage.carla)
    configure(page, stage, HELP_URL=HELP)
    page.goto(f"/request.html?checkout={session}")
    expect(headline(page)).to_have_text("Your session was taken off")
    expect(page.locator("#session")).to_contain_text(session)
    expect(page.get_by_role("link", name="Ask for help")).to_have_attribute("href", HELP)
    page.get_by_role("link", name="Back to the start").click()
    expect(start(page)).to_be_visible()
    expect(page.locator("#payments > li")).to_have_count(0)


@pytest.mark.further
def test_paid_in_another_browser(stage: Stage) -> None:
    page = stage.open(stage.carla)
    start(page).click()
    page.wait_for_url("**/pay/**")
    checkout = page.url
    page.go_back()
    expect(start(page)).to_be_visible()
    assert httpx.post(checkout).status_code == 303
    start(page).click()
    expect(headline(page)).to_have_text("Asking every mechanic")
    request_id(page)
    page.get_by_role("link", name="All sessions").click()
    start(page).click()
    page.wait_for_url("**/pay/**")
    assert page.url != checkout
    expect(page.get_by_role("button", name="Pay", exact=True)).to_be_visible()


# --- Asked twice, booked once ---


def test_a_free_booking_whose_answer_is_lost_is_one(stage: Stage) -> None:
    if stage.browser.browser_type.name == "firefox":
        pytest.skip("WebDriver BiDi has no body to send in the page's place")
    page = stage.open(stage.carla)
    rpc = "**/rpc/request_free_session"

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route(rpc, lose)
    free = start(page, "Free")
    free.click()
    expect(page.get_by_role("alert")).to_contain_text("There is no connection.")
    expect(free).to_have_text("Start now")
    page.unroute(rpc)
    # The next page does not come, and whoever waits presses again.
    held: list[Route] = []
    page.route("**/request.html**", lambda route: held.append(route))
    press = "button => setInterval(() => (button.click(), console.log('pressed')), 20)"
    with page.expect_request("**/request.html**"):
        free.evaluate(press)
    for _ in range(10):
        page.wait_for_event("console", lambda message: message.text == "pressed")
    for each in held:
        each.continue_()
    page.unroute("**/request.html**")
    expect(headline(page)).to_have_text("Asking every mechanic")
    assert live_requests(stage) == 1

    # Booked by another try, and over by now: the customer means another one.
    stage.carla.rpc("cancel_session_request", request_id=request_id(page))
    page.goto("/")
    page.route(rpc, lose)
    free.click()
    expect(free).to_have_text("Start now")
    page.unroute(rpc)
    stage.world.sql(
        "update public.session_requests set status = 'cancelled' where status = 'pending'"
    )
    free.click()
    expect(headline(page)).to_have_text("Asking every mechanic")


def test_a_checkout_that_failed_is_another_the_next_time(stage: Stage) -> None:
    page = stage.open(stage.carla)
    page.add_init_script(KEEP_SENT)
    page.reload()
    function = "**/functions/v1/create-checkout"
    failed = {"message": "Stripe did not answer as it should"}
    page.route(function, lambda route: route.fulfill(status=502, json=failed))
    start(page).click()
    expect(page.get_by_role("alert")).to_contain_text("does not answer as it should")
    expect(start(page)).to_have_text("Continue to payment")
    page.unroute(function)
    start(page).click()
    page.wait_for_url("**/pay/**")
    page.go_back()
    first, second = sent(page, "create-checkout")
    assert first.pop("attempt") != second.pop("attempt")
    assert first == second


# --- The time ---


@pytest.mark.parametrize(
    ("hours", "browser"),
    [
        pytest.param(1, None, id="fast"),
        pytest.param(-3, None, id="slow", marks=pytest.mark.further),
        pytest.param(-3, "firefox", id="firefox", marks=pytest.mark.further),
    ],
    indirect=["browser"],
)
def test_a_device_s_clock_may_be_wrong(stage: Stage, hours: int) -> None:
    booked = stage.world.book(stage.carla, stage.frank)
    page = stage.open(stage.carla)
    (now,) = stage.world.sql("select extract(epoch from now()) + 3600 * %s as at", hours)
    page.clock.install(time=float(now["at"]))
    page.goto(f"/request.html?id={booked}")
    timer = page.get_by_role("timer")
    expect(timer).to_contain_text(re.compile(LEFT_OF_TEN))
    # Nothing can be read any more, and the time runs out: what is said then is still true.
    page.route("**/rest/v1/**", lambda route: route.abort())
    page.clock.fast_forward(601_000)
    expect(headline(page)).to_have_text("Asking every mechanic")
    expect(page.get_by_text("Nobody else sees your request")).to_be_hidden()
    expect(timer).to_be_hidden()


# --- Favourites ---


def test_favourites_are_found_added_and_removed(stage: Stage) -> None:
    stage.world.sql("delete from public.customer_favorites where customer_id = %s", stage.carla.id)
    mechanic(stage, "100% Émile 👨‍👩‍👧", favourite=False)
    page = stage.open(stage.carla)
    expect(page.get_by_text("No favourites yet")).to_be_visible()
    page.get_by_role("button", name="Find a mechanic by name").click()
    dialog = page.get_by_role("dialog", name="Find a mechanic")
    name = dialog.get_by_role("searchbox")
    expect(name).to_be_focused()
    name.fill("00% é")
    expect(dialog.get_by_role("listitem")).to_have_count(1)
    add = dialog.get_by_role("button", name="Add: 100% Émile")
    add.click()
    expect(dialog.get_by_role("button", name="Added: 100% Émile")).to_be_focused()
    expect(dialog.locator(".face")).to_have_text("1É")
    name.fill("nobody at all")
    expect(dialog.get_by_text("Nobody of that name.")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Find more mechanics")).to_be_focused()
    again = page.get_by_role("button", name="Book again: 100% Émile")
    expect(again).to_be_visible()

    heart = page.get_by_role("button", name="Favourite: 100% Émile")
    heart.click()
    expect(page.locator("#favourites")).to_contain_text("Not a favourite any more")
    expect(again).to_be_hidden()
    expect(heart).to_be_focused()
    assert stage.carla.rpc("list_favorite_mechanics") == []
    heart.click()
    expect(again).to_be_visible()
    assert len(stage.carla.rpc("list_favorite_mechanics")) == 1


@pytest.mark.further
@in_firefox_too
def test_fifty_favourites_leave_the_launcher_on_the_screen(stage: Stage) -> None:
    for number in range(48):
        mechanic(stage, f"Mechanic {number:02}")
    stage.world.sql(
        "update public.mechanics set display_name = %s where id = %s", LONG_NAME, stage.mona.id
    )
    page = stage.open(stage.carla, viewport=PHONE, forced_colors="active")
    expect(page.get_by_role("button", name="Show all 50")).to_be_visible()
    assert page.locator("#launcher").bounding_box()["y"] < PHONE["height"]  # type: ignore[index]
    page.get_by_role("searchbox", name="Find among my favourites").fill("oberg")
    expect(page.locator("#favourites > li")).to_have_count(1)
    expect(page.get_by_role("button", name="Book again: Frank Öberg")).to_be_visible()
    page.get_by_role("searchbox").fill("wolfe")
    long = page.locator("#favourites > li")
    expect(long).to_contain_text(LONG_NAME)
    assert fits(page)
    # The name does not lie over what stands beside it.
    edges = long.evaluate(
        "card => [card.querySelector('h3').getBoundingClientRect().right,"
        " card.querySelector('.icon-button').getBoundingClientRect().left]"
    )
    assert edges[0] <= edges[1]
    book_again(page, LONG_NAME, f"Continue with {LONG_NAME}")
    expect(page.get_by_text(f"Booking with {LONG_NAME} (Priority)")).to_be_visible()
    assert fits(page)
    start(page, "Free").click()
    expect(headline(page)).to_have_text(f"Waiting for {LONG_NAME}")
    assert fits(page)
    colours = page.evaluate(
        "['.clock .left', '.clock .track'].map(each =>"
        " getComputedStyle(document.querySelector(each)).stroke)"
    )
    assert len(set(colours)) == 2


def test_a_name_turns_no_words_around_it(stage: Stage) -> None:
    """What makes text run the other way is not part of a name; a name that does is."""
    mechanic(stage, "\u202eMia\u2067")
    stage.world.sql(
        "update public.mechanics set display_name = 'محمد' where id = %s", stage.mona.id
    )
    page = stage.open(stage.carla)
    expect(page.get_by_role("button", name="Book again: محمد")).to_be_visible()
    book_again(page, "Mia", "Continue with Mia")
    page.get_by_role("button", name="Then ask …").click()
    page.get_by_role("button", name="Then ask محمد").click()
    expect(page.get_by_text("Booking with Mia, then محمد (Priority)")).to_be_visible()
    start(page, "Free").click()
    expect(headline(page)).to_have_text("Waiting for Mia")
    expect(page.locator("body")).not_to_contain_text(re.compile("[\u202e\u2067]"))


def test_three_favourites_on_a_phone_are_all_within_reach(stage: Stage) -> None:
    mechanic(stage, "Aïcha Benali")
    page = stage.open(stage.carla, viewport=PHONE)
    cards = page.locator("#favourites > li")
    expect(cards).to_have_count(2)
    page.get_by_role("button", name="Show all 3").click()
    expect(cards).to_have_count(3)
    expect(page.get_by_role("button", name="Show all 3")).to_be_hidden()


def test_a_favourite_who_cannot_be_booked_is_not_dropped_without_a_word(stage: Stage) -> None:
    nameless, gone = mechanic(stage, None), mechanic(stage, "Gina")
    stage.world.sql("update public.mechanics set status = 'suspended' where id = %s", gone)
    page = stage.open(stage.carla)
    cards = page.locator("#favourites > li")
    page.get_by_role("button", name="Show all 4").click()
    suspended = cards.filter(has_text="Not available any more")
    expect(suspended).to_have_count(1)
    expect(suspended.get_by_role("button", name="Book again")).to_be_hidden()
    expect(suspended.get_by_role("button", name="Favourite: Not available")).to_be_visible()

    book_again(page, "A mechanic", "Continue with A mechanic")
    expect(page.get_by_text("Booking with your favourite (Priority)")).to_be_visible()
    stage.world.sql("update public.mechanics set status = 'suspended' where id = %s", nameless)
    page.get_by_role("button", name="Book again: Mona").click()
    stage.world.sql("update public.mechanics set status = 'suspended' where id = %s", stage.mona.id)
    page.get_by_role("dialog").get_by_role("button", name="Continue with Mona").click()
    expect(
        page.get_by_role("status").filter(has_text="Mona Ricci cannot be booked")
    ).to_be_visible()
    expect(banner(page)).to_have_count(0)


# --- Booking, with what the mechanic must know ---


def test_what_one_wrote_is_not_there_for_who_signs_in_next(stage: Stage) -> None:
    page = stage.open(stage.carla)
    book_again(page, "Mona", "Continue with Mona Ricci")
    expect(page.locator("#banner")).to_contain_text("Mona")
    notes = page.get_by_role("textbox", name="What is the trouble?")
    notes.fill("I am at 5 Elm Street.")
    page.reload()
    expect(notes).to_have_value("I am at 5 Elm Street.")
    expect(page.locator("#banner")).to_contain_text("Mona")
    stage.sign_in(page, stage.frank)
    page.reload()
    expect(page.locator("#who")).to_have_text("Frank")
    expect(page.get_by_role("heading", name="Start a session")).to_be_visible()
    expect(notes).to_have_value("")
    expect(page.locator("#banner")).to_be_empty()


@pytest.mark.further
def test_notes_and_skipping_an_offline_favourite_reach_the_booking(stage: Stage) -> None:
    page = stage.open(stage.carla)
    page.get_by_role("button", name="Book again: Mona").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("checkbox", name="Do not wait").check()
    dialog.get_by_role("button", name="Continue with Mona").click()
    expect(page.locator("#banner")).to_contain_text("up to 10 minutes")
    notes = page.get_by_role("textbox", name="What is the trouble?")
    notes.fill("It squeals. " + "x" * 480)
    notes.press_sequentially("x" * 20)
    expect(page.get_by_text("0 left")).to_be_visible()
    assert fits(page)
    start(page).click()
    page.get_by_role("link", name="Back").click()
    expect(notes).to_have_value(re.compile("^It squeals. x{488}$"))
    start(page).click()
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(headline(page)).to_have_text("Asking every mechanic")
    expect(page.locator("#steps")).to_contain_text("Mona Ricci is offline.")
    work = stage.open(stage.frank, "mechanic.html", viewport=PHONE)
    work.get_by_role("button", name="Accept").click()
    expect(work.locator("#accepted")).to_contain_text("It squeals. xxx")
    assert fits(work)
    page.goto("/")
    expect(notes).to_have_value("")

    # A free one, too.
    page.get_by_role("button", name="Book again: Mona").click()
    expect(dialog.get_by_role("checkbox", name="Do not wait")).not_to_be_checked()
    dialog.get_by_role("checkbox", name="Do not wait").check()
    dialog.get_by_role("button", name="Continue with Mona").click()
    expect(page.locator("#banner")).to_contain_text("Mona")
    start(page, "Free").click()
    expect(headline(page)).to_have_text("Asking every mechanic")


@pytest.mark.further
def test_accepted_and_booked_again(stage: Stage) -> None:
    """Who came, since when, the way to the session; and from there to the next one."""
    mia = stage.world.mechanic()
    mia.rpc("set_presence", status="online")
    page = stage.open(stage.carla)
    booked = start_free(stage, page)
    everyone = page.get_by_role("button", name="Ask everyone now")
    everyone.focus()
    page.keyboard.press("Enter")
    expect(headline(page)).to_have_text("Asking every mechanic")
    expect(headline(page)).to_be_focused()
    mia.rpc("accept_session_request", request_id=booked)
    expect(headline(page)).to_have_text("Mia accepted")
    expect(page.locator("#face")).to_have_text("M")
    expect(page.locator("#since")).to_contain_text("just now")
    join = page.get_by_role("link", name="Join the session")
    assert urlsplit(join.get_attribute("href") or "").query == f"id={booked}"
    page.get_by_role("button", name="Keep Mia as a favourite").click()
    expect(page.get_by_role("status").filter(has_text="among your favourites")).to_be_visible()
    expect(headline(page)).to_be_focused()
    mia.rpc("complete_session_request", request_id=booked)
    page.get_by_role("link", name="Book Mia again").click()
    chosen = page.get_by_text("Booking with Mia (Priority)")
    expect(chosen).to_be_visible()  # she is online: nothing to ask
    expect(page.get_by_role("heading", name="Start a session")).to_be_focused()
    page.get_by_role("button", name="Ask everyone instead").click()
    expect(chosen).to_have_count(0)

    past = page.locator("#history > li").first
    expect(past).to_contain_text("Free diagnostic with Mia")
    past.get_by_role("button", name="Book again as on").click()
    expect(chosen).to_be_visible()
    expect(page.locator(".like-before")).to_contain_text("Free diagnostic")
    page.get_by_role("button", name="Sign out").click()
    expect(headline(page)).to_have_text("Who are you?")


def primary(page: Page) -> Locator:
    """The buttons that stand out: filled, not outlined."""
    accent = page.evaluate(
        "() => {"
        " const probe = document.body.appendChild(document.createElement('i'));"
        " probe.style.background = 'var(--accent)';"
        " const found = getComputedStyle(probe).backgroundColor;"
        " probe.remove();"
        " return found;"
        "}"
    )
    page.evaluate(
        "accent => document.querySelectorAll('main :is(button, .button)').forEach(each =>"
        " each.toggleAttribute('data-primary', getComputedStyle(each).backgroundColor === accent))",
        accent,
    )
    return page.locator("[data-primary]:visible")


@pytest.mark.further
def test_each_past_session_can_be_booked_again_with_one_press(stage: Stage) -> None:
    """Also one that nobody took; and what was booked then is what stands out."""
    chat = book_paid(stage, 999, "usd", stage.mona)
    stage.mona.rpc("accept_session_request", request_id=chat)
    stage.mona.rpc("complete_session_request", request_id=chat)
    for preferred in (stage.frank, None):
        asked = book_paid(stage, 999, "usd", preferred)
        stage.carla.rpc("cancel_session_request", request_id=asked)
    stage.frank.rpc("set_presence", status="online")
    page = stage.open(stage.carla)
    past = page.locator("#history > li")
    expect(past).to_have_count(3)
    expect(primary(page)).to_have_text(["Book again"] * 2)  # the favourites' cards

    past.nth(0).get_by_role("button", name="Book again as on").click()
    expect(page.get_by_role("heading", name="Start a session")).to_be_focused()
    expect(page.locator(".like-before")).to_contain_text("Quick chat")
    expect(page.locator("#banner > *")).to_have_count(0)
    expect(primary(page)).to_have_text(["Continue to payment"])

    expect(past.nth(1)).not_to_contain_text("Frank")  # he did not come
    past.nth(1).get_by_role("button", name="Book again as on").click()
    expect(banner(page)).to_be_visible()  # he is online: nothing to ask
    expect(primary(page)).to_have_text(["Continue to payment"])

    # From the card, too, it is known what was booked with her.
    page.reload()
    book_again(page, "Mona", "Continue with Mona")
    expect(page.get_by_text("Booking with Mona Ricci (Priority)")).to_be_visible()
    expect(page.locator(".like-before")).to_contain_text("Quick chat")
    expect(primary(page)).to_have_text(["Continue to payment"])
