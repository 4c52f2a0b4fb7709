// Rings when no page is open: shows what a push says, and sends the answer.
import * as config from "./config.js";
import {
  describeDevice, dropDevice, inTurn, keepSession, post, readSession, renew, subscribe,
} from "./device.js";
import { Failure, explain, wordOf } from "./favorites_priority.js";

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

// --- Calls as whoever lets this device ring ---

async function call(name, args) {
  const session = await readSession();
  if (!session) throw new Failure({ word: "not_signed_in" });
  try {
    return await post(name, args, session.access_token);
  } catch (error) {
    // Expired, by the server's clock: this device's may be wrong.
    if (wordOf(error) !== "not_signed_in") throw error;
    return post(name, args, (await renewed(session)).access_token);
  }
}

const renewed = (refused) =>
  inTurn(async () => {
    const kept = await readSession();
    if (!kept) throw new Failure({ word: "not_signed_in" });
    if (kept.access_token !== refused.access_token) return kept; // meanwhile, by another
    const session = await renew(kept);
    await keepSession(session);
    // Theirs is used up with it.
    for (const page of await openPages()) page.postMessage({ session });
    return session;
  });

// --- Pages ---

const openPages = () => clients.matchAll({ type: "window", includeUncontrolled: true });
const MECHANICS = new URL("mechanic.html", location).href;

// Whether it is on the screen anyway, so that nobody need hear of it twice.
async function isWatched(audience) {
  const isTheirs = (page) => page.url.startsWith(MECHANICS) === (audience === "mechanic");
  return (await openPages()).some((page) => page.focused && isTheirs(page));
}

async function openPage({ audience, request_id }) {
  const url =
    audience === "mechanic" ? MECHANICS : new URL(`request.html?id=${request_id}`, location).href;
  const page = (await openPages()).find((each) => each.url.startsWith(url));
  await (page ? page.focus() : clients.openWindow(url));
}

// --- Notifications, one for each request ---

const ACTIONS = {
  mechanic: [
    { action: "accept", title: "Accept" },
    { action: "decline", title: "Decline" },
  ],
  customer: [{ action: "open", title: "Open" }],
};

const show = (title, { data, ...options }) =>
  registration.showNotification(title, {
    tag: data.request_id,
    data,
    icon: "icon-192.png",
    lang: "en",
    ...options,
  });

// By a push, or by a page that nobody looks at (`fromPage`): who is told by both hears it once.
async function tellNews({ title, body, ...data }) {
  const { request_id, event, audience, fromPage } = data;
  const [before] = await registration.getNotifications({ tag: request_id });
  const isSame = before?.data.event === event;
  if (fromPage && isSame) return;
  const isQuiet = (isSame && before.data.fromPage) || (await isWatched(audience));
  await show(title, {
    body,
    data: { ...data, title, body },
    actions: (await readSession()) ? ACTIONS[audience] : [],
    requireInteraction: event === "priority_request",
    renotify: !isQuiet,
    silent: isQuiet,
  });
}

// What was offered and is not open any more: taken, withdrawn, or answered elsewhere.
async function closeAllBut(openIds) {
  for (const notification of await registration.getNotifications()) {
    const { audience, event } = notification.data;
    const isOffer = audience === "mechanic" && event;
    if (isOffer && !openIds.includes(notification.tag)) notification.close();
  }
}

async function close(which) {
  const shown = await registration.getNotifications(which);
  shown.forEach((notification) => notification.close());
}

// --- What comes from the sender, the browser and the pages ---

async function receive(news) {
  // First of all: a browser takes the permission away from those who show nothing.
  await tellNews(news);
  if (!(await readSession())) return dropDevice(registration);
  await call("acknowledge_notice", { event_id: news.event_id });
  if (news.audience !== "mechanic") return;
  const open = await call("list_open_session_requests", {});
  await closeAllBut(open.map(({ request_id }) => request_id));
}

async function answer(action, news) {
  const { request_id, audience } = news;
  const done = { request_id, audience };
  try {
    await call(`${action}_session_request`, { request_id });
    if (action === "accept") {
      await show("It is yours", { body: "Your customer waits for you. Open it.", data: done });
    }
  } catch (error) {
    const mayPass = ["away", "late", "busy"].includes(wordOf(error));
    await show(explain(error), {
      data: mayPass ? news : done,
      actions: mayPass ? ACTIONS[audience] : [],
    });
  }
}

async function resubscribe() {
  const subscription = await subscribe(registration, config.VAPID_PUBLIC_KEY);
  await call("register_device", describeDevice(subscription));
}

const when = (kind, act) =>
  addEventListener(kind, (event) => event.waitUntil(act(event).catch(console.debug)));

when("push", async ({ data }) => receive(data.json()));
when("pushsubscriptionchange", async () => (await readSession()) && resubscribe());
when("message", async ({ data }) => {
  if (data.news) await tellNews(data.news);
  if (data.open) await closeAllBut(data.open);
  if (data.seen) await close({ tag: data.seen });
  if (data.over) await close();
});
when("notificationclick", async ({ notification, action }) => {
  notification.close();
  if (["accept", "decline"].includes(action)) await answer(action, notification.data);
  else await openPage(notification.data);
});
