"""A device that rings with no page open: asked at a press, answered on the notification.

Pushes come by DevTools, with what the database gave the sender, to the real service worker, which
calls the real API. Chromium's headless shell has no notifications (it denies them, whatever the
context grants) and reaches no push service. So these are replaced: the permission and the push
subscription on the page; in the worker showNotification, getNotifications, openWindow, focus, and
the press, which is an event of our own.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, CDPSession, Page, Route, Worker, expect

from push_app.keys import new_keys
from stack.push_service import Device, base64url
from stack.tokens import sign
from tests.api.world import Person
from tests.dashboard.conftest import SESSION_KEY, Stage, configure
from tests.dashboard.test_dashboard import offer
from tests.dashboard.test_mechanic import read_now
from tests.database import eventually

DEVICE = Device("https://fcm.googleapis.com/fcm/send/one")

ANYWHERE = {"Access-Control-Allow-Origin": "*"}

PAGE = """
    window.asked = [];
    Object.defineProperty(Notification, "permission", {
        get: () => localStorage.permission ?? "default",
    });
    Notification.requestPermission = async () => {
        asked.push(navigator.userActivation.isActive);
        return (localStorage.permission = "granted");
    };
    const fields = %s;
    const subscription = {
        endpoint: fields.endpoint,
        get options() {
            const bytes = atob(localStorage.subscribed.replace(/-/g, "+").replace(/_/g, "/"));
            return { applicationServerKey: Uint8Array.from(bytes, (c) => c.charCodeAt(0)).buffer };
        },
        toJSON: () => fields,
        unsubscribe: async () => {
            localStorage.removeItem("subscribed");
            localStorage.givenUp = 1 + Number(localStorage.givenUp ?? 0);
        },
    };
    PushManager.prototype.getSubscription = async () =>
        localStorage.subscribed ? subscription : null;
    PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
        if (!userVisibleOnly) throw new TypeError();
        localStorage.subscribed = applicationServerKey;
        return subscription;
    };
"""

WORKER = """() => {
    self.open = [];
    self.told = [];
    self.opened = [];
    registration.showNotification = async (title, options) => {
        const close = () => (open = open.filter((each) => each !== shown));
        const shown = { title, ...options, close };
        open = [...open.filter(({ tag }) => tag !== options.tag), shown];
        told.push(title);
    };
    registration.getNotifications = async ({ tag } = {}) =>
        open.filter((each) => !tag || each.tag === tag);
    clients.openWindow = async (url) => opened.push(url);
    WindowClient.prototype.focus = async function () { opened.push(`focus ${this.url}`); };
    self.press = async (action) => {
        const notification = open.at(-1);
        let done;
        const waitUntil = (promise) => (done = promise);
        const event = new ExtendableEvent("notificationclick");
        dispatchEvent(Object.assign(event, { notification, action, waitUntil }));
        await done;
    };
}"""


@pytest.fixture(autouse=True)
def _devtools(stage: Stage) -> None:
    if stage.browser.browser_type.name != "chromium":
        pytest.skip("pushes come by Chromium's DevTools")


def subscribed(device: Device) -> str:
    fields = device.subscription()
    return json.dumps({"endpoint": fields.pop("endpoint"), "keys": fields})


@dataclass
class Phone:
    """One person's browser: `page`, another that stays open for DevTools, the service worker."""

    stage: Stage
    page: Page
    devtools: CDPSession
    registration: str
    worker: Worker

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    def push(self, payload: str) -> None:
        self.devtools.send(
            "ServiceWorker.deliverPushMessage",
            {
                "origin": self.stage.env["DASHBOARD_URL"],
                "registrationId": self.registration,
                "data": payload,
            },
        )

    def shown(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.worker.evaluate(
            "open.map(({ close, ...rest }) => ({ ...rest }))"
        )
        return found

    def press(self, action: str = "") -> None:
        self.worker.evaluate("(action) => press(action)", action)


def claimed(stage: Stage) -> str:
    """What a sender is given: the payload of the one push that is due."""

    def take() -> list[Any]:
        stage.world.sql("select dispatch.deliver_events()")
        return stage.world.sql("select payload from dispatch.take_pushes()")

    (push,) = eventually(take)
    payload: str = push["payload"]
    return payload


def devices(stage: Stage) -> list[tuple[str, str]]:
    found = stage.world.sql("select endpoint, user_id::text as whose from dispatch.devices")
    return [(each["endpoint"], each["whose"]) for each in found]


def open_page(stage: Stage, person: Person, path: str) -> Page:
    stage.world.sql("delete from dispatch.devices; delete from dispatch.pushes")
    page = stage.open(person, "sign-in/")
    page.context.add_init_script(PAGE % subscribed(DEVICE))
    page.goto(f"/{path}")
    return page


def let_ring(stage: Stage, page: Page, start: str, stop: str) -> Phone:
    with page.context.expect_event("serviceworker") as started:
        page.get_by_role("button", name=start).click()
    expect(page.get_by_role("button", name=stop)).to_be_visible()
    started.value.evaluate(WORKER)
    aside = page.context.new_page()
    aside.goto("/sign-in/")
    page.bring_to_front()
    devtools = page.context.new_cdp_session(aside)
    found: list[str] = []
    devtools.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: found.extend(each["registrationId"] for each in event["registrations"]),
    )
    devtools.send("ServiceWorker.enable")
    eventually(lambda: aside.title() and found)
    return Phone(stage, page, devtools, found[-1], started.value)


def a_mechanic(stage: Stage) -> Phone:
    page = open_page(stage, stage.frank, "mechanic.html")
    return let_ring(stage, page, "Let your phone ring", "Stop ringing")


def look_elsewhere(phone: Phone) -> None:
    """The page stays open; Playwright lets no page lose the focus."""
    phone.worker.evaluate(
        "Object.defineProperty(WindowClient.prototype, 'focused', { get: () => false }), null"
    )


def look_away(phone: Phone) -> None:
    phone.page.goto("/sign-in/")


def test_asked_at_a_press_and_gone_with_the_sign_out(stage: Stage) -> None:
    page = open_page(stage, stage.frank, "mechanic.html")
    press = page.get_by_role("button", name="Let your phone ring")
    expect(press).to_be_visible()
    expect(page.get_by_role("button", name="Notify me")).to_be_hidden()
    assert page.evaluate("asked") == []
    assert page.evaluate("navigator.serviceWorker.getRegistrations()") == []
    assert (page.evaluate("localStorage.subscribed ?? null"), devices(stage)) == (None, [])

    press.click()
    expect(page.get_by_text("This device rings when a customer asks for you")).to_be_visible()
    assert page.evaluate("asked") == [True]
    assert page.evaluate("localStorage.subscribed") == stage.env["VAPID_PUBLIC_KEY"]
    assert devices(stage) == [(DEVICE.endpoint, stage.frank.id)]

    # Whenever the page opens it registers again, and asks nothing.
    stage.world.sql("delete from dispatch.devices")
    page.reload()
    expect(page.get_by_role("button", name="Stop ringing")).to_be_visible()
    assert devices(stage) == [(DEVICE.endpoint, stage.frank.id)]
    assert page.evaluate("asked") == []
    # The same subscription, until the sender has another key.
    assert page.evaluate("localStorage.givenUp ?? null") is None
    page.evaluate("(key) => (localStorage.subscribed = key)", new_keys()[0])
    page.reload()
    expect(page.get_by_role("button", name="Stop ringing")).to_be_visible()
    assert page.evaluate("localStorage.subscribed") == stage.env["VAPID_PUBLIC_KEY"]
    assert page.evaluate("localStorage.givenUp") == "1"

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in/**")
    assert devices(stage) == []
    assert page.evaluate("caches.keys()") == []
    assert page.evaluate("localStorage.subscribed ?? null") is None


def test_accepted_on_the_notification(stage: Stage) -> None:
    phone = a_mechanic(stage)
    look_away(phone)
    booked = stage.world.book(stage.carla, stage.frank)
    payload = claimed(stage)
    phone.push(payload)
    (shown,) = eventually(phone.shown)
    assert (shown["title"], shown["body"]) == (
        "A customer asks for you",
        "Chat session, yours alone for 10 minutes.",
    )
    assert [each["title"] for each in shown["actions"]] == ["Accept", "Decline"]
    assert (shown["tag"], shown["renotify"], shown["silent"]) == (booked, True, False)
    seen = "select id from dispatch.pushes where event_id = %s and outcome = 'acknowledged'"
    eventually(lambda: len(stage.world.sql(seen, json.loads(payload)["event_id"])) == 2)

    phone.press("accept")
    request = stage.world.request(booked)
    assert (request["status"], str(request["mechanic_id"])) == ("accepted", stage.frank.id)
    (shown,) = phone.shown()
    assert shown["title"] == "It is yours"
    phone.press()
    assert phone.worker.evaluate("opened") == [f"{stage.env['DASHBOARD_URL']}/mechanic.html"]
    assert phone.shown() == []


@pytest.mark.further
def test_declined_on_the_notification_and_the_loser_is_told_why(stage: Stage) -> None:
    phone = a_mechanic(stage)
    look_away(phone)
    booked = stage.world.book(stage.carla, stage.frank)
    phone.push(claimed(stage))
    eventually(phone.shown)
    phone.press("decline")
    assert stage.world.request(booked)["notification_sent_at"]
    assert phone.shown() == []

    late = stage.world.book(stage.carla, stage.frank)
    phone.push(claimed(stage))
    eventually(phone.shown)
    stage.carla.rpc("broadcast_session_request_now", request_id=late)
    stage.mona.rpc("accept_session_request", request_id=late)
    phone.press("accept")
    (shown,) = phone.shown()
    assert (shown["title"], shown["actions"]) == ("Another mechanic was faster.", [])
    assert "event" not in shown["data"]  # no offer that could be over
    assert str(stage.world.request(late)["mechanic_id"]) == stage.mona.id

    # What may pass can be tried again.
    again = stage.world.book(stage.carla, stage.frank)
    phone.push(claimed(stage))
    eventually(lambda: len(phone.shown()) == 2)
    phone.context.route("**/rpc/accept_session_request", lambda route: route.abort())
    phone.press("accept")
    shown = phone.shown()[-1]
    assert (shown["title"], len(shown["actions"])) == (
        "There is no connection. Please try again.",
        2,
    )
    assert shown["data"]["event"] == "priority_request"
    phone.context.unroute("**/rpc/accept_session_request")
    phone.page.goto("/mechanic.html")
    expect(offer(phone.page)).to_have_count(1)
    phone.press("accept")
    assert str(stage.world.request(again)["mechanic_id"]) == stage.frank.id
    read_now(phone.page)
    expect(phone.page.locator("#accepted")).to_contain_text("Carla Customer")
    expect(phone.page.locator("#news")).to_be_empty()


@pytest.mark.further
def test_a_session_that_expired_meanwhile_is_renewed_for_the_page_too(stage: Stage) -> None:
    phone = a_mechanic(stage)
    session = stage.session(stage.frank)
    expired = sign("authenticated", stage.frank.id, secret=stage.env["JWT_SECRET"], seconds=-99)
    keep = "(kept) => caches.open('device').then((all) => all.put('session', new Response(kept)))"
    asked: list[Any] = []

    def renew(route: Route) -> None:
        asked.append(route.request.post_data_json)
        renewed = {"refresh_token": "next", "expires_at": 2**31 + len(asked)}
        route.fulfill(json=session | renewed, headers=ANYWHERE)

    phone.context.route("**/auth/v1/token?grant_type=refresh_token", renew)
    kept = "() => caches.match('session').then((kept) => kept.json())"
    stored = f"JSON.parse(sessionStorage['{SESSION_KEY}']).refresh_token"
    phone.page.evaluate(keep, json.dumps(session | {"access_token": expired}))
    stage.world.book(stage.carla, stage.frank)
    payload = claimed(stage)
    phone.push(payload)
    seen = "select id from dispatch.pushes where event_id = %s and outcome = 'acknowledged'"
    event = json.loads(payload)["event_id"]
    eventually(lambda: phone.page.title() and stage.world.sql(seen, event))
    assert asked == [{"refresh_token": "unused"}]
    assert phone.page.evaluate(kept)["refresh_token"] == "next"
    # The page that is open; and, as the init script puts the old one back, the page that opens.
    phone.page.wait_for_function(f"() => {stored} === 'next'")
    phone.page.reload()
    expect(phone.page.get_by_role("button", name="Stop ringing")).to_be_visible()
    assert phone.page.evaluate(stored) == "next"

    # Signed out for good: it says so, and takes nobody's word.
    phone.context.route(
        "**/auth/v1/token?grant_type=refresh_token",
        lambda route: route.fulfill(status=400, headers=ANYWHERE),
    )
    phone.page.evaluate(keep, json.dumps(session | {"access_token": expired}))
    phone.press("accept")
    assert phone.shown()[-1]["title"] == "Please sign in first."


def test_who_looks_at_the_page_is_not_rung_and_what_is_over_is_closed(stage: Stage) -> None:
    phone = a_mechanic(stage)
    booked = stage.world.book(stage.carla, stage.frank)
    read_now(phone.page)
    expect(offer(phone.page)).to_have_count(1)
    payload = claimed(stage)
    phone.push(payload)
    (shown,) = eventually(phone.shown)
    assert (shown["silent"], shown["renotify"]) == (True, False)
    phone.press()
    assert phone.worker.evaluate("opened") == [f"focus {phone.page.url}"]

    # Looking elsewhere: told by the page and by the push, it is one notification that rings once.
    phone.page.evaluate("document.hasFocus = () => false")
    everyones = stage.world.book(stage.carla)
    read_now(phone.page)
    (shown,) = eventually(phone.shown)
    assert (shown["tag"], shown["title"]) == (everyones, "New request: Quick chat")
    news = json.loads(payload) | {"request_id": everyones, "event": "new_request"}
    look_elsewhere(phone)
    phone.push(json.dumps(news))
    eventually(lambda: phone.shown()[0]["title"] == news["title"])
    assert [each["silent"] for each in phone.shown()] == [True]
    phone.push(json.dumps(news))  # once more, as at half time
    eventually(lambda: phone.shown()[0]["renotify"])

    # Pushed first, the page has nothing to add.
    told = len(phone.worker.evaluate("told"))
    again = news | {"title": "By the page", "fromPage": True}
    post = "async (news) => (await navigator.serviceWorker.ready).active.postMessage({ news })"
    phone.page.evaluate(post, again)
    phone.push(json.dumps(news))
    eventually(lambda: len(phone.worker.evaluate("told")) > told)
    assert phone.worker.evaluate("told.at(-1)") == news["title"]
    assert len(phone.worker.evaluate("told")) == told + 1

    stage.mona.rpc("accept_session_request", request_id=everyones)
    read_now(phone.page)
    eventually(lambda: phone.page.title() and phone.shown() == [])
    # With no page open the next push finds what is over.
    phone.push(payload)
    eventually(phone.shown)
    look_away(phone)
    stage.carla.rpc("cancel_session_request", request_id=booked)
    phone.push(json.dumps(news | {"request_id": stage.world.book(stage.carla)}))
    eventually(lambda: booked not in [each["tag"] for each in phone.shown()] != [])


@pytest.mark.further
def test_a_customer_is_told_who_took_it(stage: Stage) -> None:
    booked = stage.world.book(stage.carla, stage.frank)
    page = open_page(stage, stage.carla, f"request.html?id={booked}")
    phone = let_ring(stage, page, "Tell me when somebody takes it", "Stop telling me")
    look_away(phone)
    stage.frank.rpc("accept_session_request", request_id=booked)
    payload = claimed(stage)
    phone.push(payload)
    (shown,) = eventually(phone.shown)
    assert shown["title"] == "A mechanic took your request"
    assert [each["title"] for each in shown["actions"]] == ["Open"]
    phone.press("open")
    url = f"{stage.env['DASHBOARD_URL']}/request.html?id={booked}"
    assert phone.worker.evaluate("opened") == [url]

    # Seen on the page, it need not stand on the lock screen too.
    phone.push(payload)
    eventually(phone.shown)
    phone.page.goto(url)
    expect(phone.page.get_by_role("heading", name="Frank Öberg accepted")).to_be_visible()
    eventually(lambda: phone.page.title() and phone.shown() == [])


def test_a_subscription_that_the_browser_changes_is_registered(stage: Stage) -> None:
    phone = a_mechanic(stage)
    other = Device(f"https://fcm.googleapis.com/fcm/send/{base64url(b'other')}")
    phone.worker.evaluate(
        """(json) => {
            PushManager.prototype.getSubscription = async () => null;
            PushManager.prototype.subscribe = async () => ({ toJSON: () => json });
            let done;
            const event = new ExtendableEvent("pushsubscriptionchange");
            dispatchEvent(Object.assign(event, { waitUntil: (promise) => (done = promise) }));
            return done;
        }""",
        json.loads(subscribed(other)),
    )
    assert (other.endpoint, stage.frank.id) in devices(stage)


def test_rings_for_nobody_who_is_not_signed_in_any_more(stage: Stage) -> None:
    """However they went: their session is gone, or somebody else's is there."""
    phone = a_mechanic(stage)
    phone.context.route(
        "**/rest/v1/**",
        lambda route: route.fulfill(status=401, json={"code": "PGRST301"}, headers=ANYWHERE),
    )
    read_now(phone.page)
    expect(phone.page.get_by_text("You are signed out")).to_be_visible()
    is_dropped = "caches.keys().then((all) => all.length === 0 && !localStorage.subscribed)"
    eventually(lambda: phone.page.evaluate(is_dropped))

    def with_one_session_for_all_tabs(route: Route) -> None:
        text = re.sub(r"storage: globalThis\.sessionStorage", "", route.fetch().text())
        route.fulfill(body=text, content_type="text/javascript")

    def sign_in(person: Person) -> None:
        page.goto("/sign-in/")
        session = json.dumps(stage.session(person))
        page.evaluate("([key, value]) => (localStorage[key] = value)", [SESSION_KEY, session])
        page.goto("/mechanic.html")

    page = stage.browser.new_context(base_url=stage.env["DASHBOARD_URL"]).new_page()
    page.context.add_init_script(PAGE % subscribed(DEVICE))
    page.context.route("**/config.js", with_one_session_for_all_tabs)
    sign_in(stage.frank)
    page.get_by_role("button", name="Let your phone ring").click()
    expect(page.get_by_role("button", name="Stop ringing")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Stop ringing")).to_be_visible()
    sign_in(stage.mona)
    expect(page.get_by_role("button", name="Let your phone ring")).to_be_visible()
    assert page.evaluate(is_dropped)


def test_the_customer_reads_that_a_phone_will_ring(stage: Stage) -> None:
    page = open_page(stage, stage.carla, "")
    stage.mona.rpc("register_device", **DEVICE.subscription())
    page.reload()
    for name, words in (("Mona", "their phone will ring"), ("Frank", "not seen yet)")):
        page.get_by_role("button", name=f"Book again: {name}").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.locator("#rebook-status")).to_have_text(re.compile(rf"{re.escape(words)}$"))
        # Who can be reached is waited for, whatever is ticked.
        expect(dialog.get_by_role("checkbox")).to_be_visible(visible=name == "Frank")
        page.keyboard.press("Escape")


@pytest.mark.further
def test_what_cannot_ring_says_why(stage: Stage) -> None:
    """Failing is Chromium's own: it refuses here."""
    denied = "Object.defineProperty(Notification, 'permission', { get: () => 'denied' });"
    allowed = denied.replace("denied", "granted")
    iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1"
    no_push = "delete window.PushManager;"
    stage.world.sql("delete from dispatch.devices")
    cases: list[tuple[str, dict[str, Any], str, Callable[[Page], None] | None]] = [
        (denied, {}, "Notifications are turned off for this page.", None),
        (no_push, {}, "This browser cannot tell you once this page is closed.", None),
        (no_push, {"user_agent": iphone}, "add this page to your Home Screen", None),
        (
            allowed,
            {"permissions": ["notifications"]},
            "This browser could not set it up.",
            lambda page: page.get_by_role("button", name="Let your phone ring").click(),
        ),
    ]
    for script, context, words, act in cases:
        page = stage.open(stage.frank, "sign-in/", **context)
        page.add_init_script(script)
        page.goto("/mechanic.html")
        if act:
            act(page)
        expect(page.locator("#phone")).to_contain_text(words)
        expect(page.locator("#phone button")).to_be_visible(visible=act is not None)
        assert devices(stage) == []
    # It rang once; the browser has lost the subscription, and gives no other.
    phone = a_mechanic(stage).page
    phone.add_init_script("PushManager.prototype.subscribe = () => Promise.reject(new Error())")
    phone.evaluate("localStorage.removeItem('subscribed')")
    phone.reload()
    expect(phone.locator("#phone")).to_contain_text("This browser could not set it up.")
    expect(phone.get_by_role("button", name="Let your phone ring")).to_be_visible()
    # Without the sender's key nothing is offered.
    page = stage.open(stage.frank, "sign-in/")
    page.route(
        "**/config.js",
        lambda route: route.fulfill(
            body=route.fetch().text().replace("VAPID_PUBLIC_KEY", "OTHER"),
            content_type="text/javascript",
        ),
    )
    page.goto("/mechanic.html")
    expect(page.get_by_text("Nothing at the moment")).to_be_visible()
    expect(page.locator("#phone")).to_be_hidden()


def test_can_be_installed(stage: Stage) -> None:
    for person, path, start in (
        (stage.carla, "", "index.html"),
        (stage.frank, "mechanic.html", "mechanic.html"),
    ):
        page = stage.open(person, path)
        found = page.context.new_cdp_session(page).send("Page.getAppManifest")
        manifest = json.loads(found["data"])
        assert (found["errors"], manifest["start_url"]) == ([], start)
        for icon in manifest["icons"]:
            answer = page.request.get(f"/{icon['src']}")
            assert answer.ok and answer.headers["content-type"] == icon["type"]
            size = page.evaluate(
                """async (src) => {
                    const image = Object.assign(new Image(), { src });
                    await image.decode();
                    return `${image.naturalWidth}x${image.naturalHeight}`;
                }""",
                icon["src"],
            )
            assert icon["sizes"] in (size, "any")


@pytest.mark.parametrize("call", ["post('list_favorite_mechanics', {}, 'x')", "renew({})"])
def test_a_slash_at_the_project_s_end_is_no_part_of_its_addresses(stage: Stage, call: str) -> None:
    page = stage.device().new_page()
    project = stage.env["SUPABASE_URL"]
    configure(page, stage, SUPABASE_URL=f"{project}/")
    page.goto("/sign-in/")
    with page.expect_request(re.compile("/v1/")) as asked:
        page.evaluate(f"import('/device.js').then(({{ post, renew }}) => {call}).catch(() => null)")
    assert re.match(f"{project}/(rest|auth)/v1/", asked.value.url)
