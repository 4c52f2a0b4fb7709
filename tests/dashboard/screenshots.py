"""The pictures in docs/, from the pages on a real stack: python -m tests.dashboard.screenshots"""

import sys
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

from stack import ROOT
from stack.clients import add_mechanic, add_user, paid_checkout
from stack.temporary import temporary_stack
from tests.api.world import Person, World
from tests.dashboard.conftest import CHROMIUM, PHONE, Stage

SIZE: ViewportSize = {"width": 1280, "height": 720}
HOME: ViewportSize = {"width": 1280, "height": 1080}
NOTES = "Volvo V70, 2009. Squeals when it turns left, only when cold."


# The headless shell refuses what nobody was asked for.
UNASKED = "Object.defineProperty(Notification, 'permission', { get: () => 'default' })"


class PictureStage(Stage):
    def sign_in(self, page: Page, person: Person) -> None:
        super().sign_in(page, person)
        page.add_init_script(UNASKED)


def take(stage: Stage, mechanics: list[Person], directory: Path) -> None:
    def keep(page: Page, name: str) -> None:
        page.evaluate("document.activeElement.blur()")
        page.wait_for_function("() => document.getAnimations().every((each) => !each.pending)")
        page.screenshot(path=directory / f"{name}.png", animations="disabled")

    carla, (frank, *_) = stage.carla, mechanics
    page = stage.open(carla, viewport=HOME, reduced_motion="reduce")
    page.get_by_role("button", name="Book again: Frank").wait_for()
    page.get_by_role("link", name="Expert video session").wait_for()
    keep(page, "home")
    page.get_by_role("button", name="Book again: Mona").click()
    keep(page, "dialog")
    page.keyboard.press("Escape")

    choose(page)
    page.evaluate("scrollTo(0, 0)")
    keep(page, "launcher")
    phone = stage.open(carla, viewport=PHONE, device_scale_factor=2)
    page.get_by_role("button", name="Continue to payment: Quick chat").click()
    page.get_by_role("button", name="Pay", exact=True).click()
    page.get_by_role("heading", name="Waiting for Frank").wait_for()
    phone.get_by_role("link", name="Quick chat").filter(has_text="Waiting").click()
    phone.get_by_role("heading", name="Waiting for Frank").wait_for()
    keep(phone, "waiting")

    stage.world.book(carla)
    stage.world.sql(
        "update public.session_requests set requested_brand = 'Volvo', customer_city = 'Malmö',"
        " is_urgent = preferred_mechanic_id is null where status = 'pending'"
    )
    work = stage.open(frank, "mechanic.html", viewport=SIZE)
    work.get_by_role("button", name="Accept").nth(1).wait_for()
    keep(work, "mechanic")
    booked = page.url.partition("id=")[2]
    frank.rpc("accept_session_request", request_id=booked)
    page.set_viewport_size(SIZE)
    page.get_by_role("heading", name="Frank Öberg accepted").wait_for()
    keep(page, "accepted")

    dark = stage.open(
        carla,
        viewport=PHONE,
        color_scheme="dark",
        device_scale_factor=2,
        reduced_motion="reduce",
    )
    choose(dark)
    keep(dark, "phone-dark")


def choose(page: Page) -> None:
    page.get_by_role("button", name="Book again: Frank").click()
    page.get_by_role("button", name="Continue with Frank").click()
    page.get_by_text("Booking with Frank Öberg (Priority)").wait_for()
    page.get_by_role("textbox", name="What is the trouble?").fill(NOTES)


def main(directory: Path) -> None:
    with temporary_stack() as stack, World(stack.env) as world, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        carla = world.person(add_user(world.owner))
        mechanics = [
            world.person(add_mechanic(world.owner, name))
            for name in ("Frank Öberg", "Mona Ricci", "Aïcha Benali")
        ]
        for each in mechanics:
            world.sql(
                "insert into public.customer_favorites (customer_id, mechanic_id) values (%s, %s)",
                carla.id,
                each.id,
            )
        frank, mona, _ = mechanics
        for each in mechanics:
            each.rpc("set_presence", status="online")
        mona.rpc("set_presence", status="offline")
        world.sql(
            "update public.mechanics set created_at = created_at - interval '1 year',"
            " updated_at = updated_at - interval '3 hours' where not is_online"
        )
        world.sql("update public.mechanics set city = 'Malmö', brands = '{Volvo,Saab}'")
        metadata = world.metadata(carla) | {"plan_code": "expert-video"}
        past = world.deliver(paid_checkout(metadata, amount_total=2999, currency="usd"))
        mona.rpc("accept_session_request", request_id=past)
        mona.rpc("complete_session_request", request_id=past)
        take(PictureStage(stack.env, world, browser, carla, frank, mona), mechanics, directory)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs")
