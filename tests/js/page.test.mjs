// The code of docs/supabase.md, run as two apps with two users, on the real database.
//
// The Broadcasts are the rows that the database wrote for Realtime. The websocket that brings them
// is a stand-in (tests/api/realtime.py, which says what that leaves unproven).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as page from "./page.mjs";
import {
  book, call, carla, frank, goOffline, goOnline, mona, nobody, receive, service,
} from "./people.mjs";

async function until(condition) {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(10)) {
    const found = await condition();
    if (found) return found;
  }
  throw new Error(`did not happen in time: ${condition}`);
}

// What a browser's localStorage does.
function makeStorage() {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, String(value)),
    cursor: () => Number([...kept.values()].at(-1)),
  };
}

class Screen {
  requests = [];
  open = [];
  drawn = 0;
  news = [];
  rings = [];
  errors = [];
  showRequests = (requests) => ((this.requests = requests), this.drawn++);
  showOpenRequests = (open) => ((this.open = open), this.drawn++);
  notify = (requestId, words) => this.news.push([requestId, words]);
  ring = (request) => this.rings.push(request.request_id);
  showError = (error) => this.errors.push(error);
  newsOf = (requestId) => this.news.filter(([id]) => id === requestId).map(([, words]) => words);
}

const running = [];
const hour = { every: 3_600_000, meanwhile: 3_600_000 };

async function start(app, person, { screen = new Screen(), storage = makeStorage(), ...options }) {
  const followed = app(person.supabase, screen, storage, { ...hour, ...options });
  running.push(followed);
  await until(() => joined(person));
  await followed.catchUp();
  return { screen, storage, ...followed };
}

const joined = ({ supabase }) =>
  supabase.getChannels().length > 0 &&
  supabase.getChannels().every((channel) => channel.state === "joined");

beforeEach(async () => {
  goOnline();
  await Promise.all(running.splice(0).map((app) => app.stop()));
});

test("each error has words of its own", async () => {
  assert.deepEqual(Object.keys(page.WORDS).sort(), JSON.parse(process.env.ERRORS));
  assert.equal(new Set(Object.values(page.WORDS)).size, Object.keys(page.WORDS).length);
  await assert.rejects(page.call(nobody, "list_favorite_mechanics"), {
    message: "Please sign in first.",
  });
  assert.match(page.explain(new TypeError("fetch failed")), /^There is no connection/);
});

test("a checkout that cannot be opened has words too", async () => {
  const open = (wish) => page.openCheckout(carla.supabase, wish);
  await assert.rejects(open({ planCode: "unknown", attempt: randomUUID() }), {
    message: "This plan cannot be booked. Please choose another.",
  });
  await assert.rejects(open({ planCode: "quick-chat" }), { message: /^Something went wrong/ });
});

test("favourites", async () => {
  await page.addFavourite(carla.supabase, carla.id, frank.id);
  await page.addFavourite(carla.supabase, carla.id, frank.id);
  const [favourite, ...more] = await page.listFavourites(carla.supabase);
  assert.deepEqual([favourite.mechanic_id, more], [frank.id, []]);
  await page.removeFavourite(carla.supabase, frank.id);
  assert.deepEqual(await page.listFavourites(carla.supabase), []);
});

test("from the checkout to the end of the session, on both screens", async () => {
  const customer = await start(page.startCustomerApp, carla, {});
  const mechanic = await start(page.startMechanicApp, frank, {});
  const channels = [carla, frank].flatMap(({ supabase }) => supabase.getChannels());
  assert.deepEqual(
    channels.map((channel) => [channel.subTopic, channel.private]),
    [
      [`customer:${carla.id}`, true],
      [`mechanic:${frank.id}`, true],
      ["session_requests_feed", true],
    ],
  );

  const wish = { planCode: "quick-chat", favouriteId: frank.id, attempt: randomUUID() };
  const { url, banner } = await page.openCheckout(carla.supabase, wish);
  assert.equal(banner, "Booking with Mia (Priority)");
  await fetch(url, { method: "POST", redirect: "manual" });
  const request_id = await until(() => customer.screen.requests.at(0)?.id);

  await until(() => mechanic.screen.rings.includes(request_id));
  const offered = mechanic.screen.open.find((each) => each.request_id === request_id);
  assert.match(page.timeLeft(offered.window_ends_at), /^(10:00|9:5\d)$/);
  await until(() => customer.screen.newsOf(request_id).length === 1);
  const shown = customer.screen.requests.find((each) => each.id === request_id);
  assert.deepEqual(page.windowEndsAt(shown), new Date(offered.window_ends_at));

  const accepted = await page.acceptRequest(frank.supabase, request_id);
  assert.equal(accepted.customer_name, "Carla Customer");
  assert.deepEqual(await page.acceptRequest(frank.supabase, request_id), accepted);
  await page.completeRequest(frank.supabase, request_id);
  await until(() => customer.screen.newsOf(request_id).length === 3);
  assert.deepEqual(customer.screen.newsOf(request_id), [
    "Your favourite is being asked.",
    "A mechanic has taken your request.",
    "Your session is complete.",
  ]);
  await until(() => !mechanic.screen.open.some((each) => each.request_id === request_id));
  const timeline = await page.readTimeline(carla.supabase, request_id);
  assert.equal(timeline.length, 3);
  assert.deepEqual([...customer.screen.errors, ...mechanic.screen.errors], []);
});

test("the favourite declines; the customer changes their mind", async () => {
  const { screen } = await start(page.startCustomerApp, carla, {});
  const [declined, opened] = [await book(carla, frank), await book(carla, frank)];
  await page.declineRequest(frank.supabase, declined, "on holiday");
  await page.askEveryoneNow(carla.supabase, opened);
  for (const requestId of [declined, opened]) {
    await page.cancelRequest(carla.supabase, requestId);
    await until(() => screen.newsOf(requestId).length === 3);
    assert.deepEqual(screen.newsOf(requestId), [
      "Your favourite is being asked.",
      "Every mechanic is being asked.",
      "Your request is closed.",
    ]);
    await assert.rejects(page.acceptRequest(mona.supabase, requestId), {
      message: "This request has been cancelled.",
    });
  }
  assert.ok(screen.requests.every((request) => page.windowEndsAt(request) === null));
});

test("a free session, for the favourite or for everyone", async () => {
  const plan = "free-diagnostic";
  const reserved = await page.requestFreeSession(carla.supabase, plan, frank.id);
  assert.equal(page.windowEndsAt(reserved) - new Date(reserved.priority_notified_at), 600_000);
  assert.equal(page.windowEndsAt(await page.requestFreeSession(carla.supabase, plan)), null);
});

test("favourites in turn", async () => {
  const favourites = [mona.id, frank.id];
  const wish = { planCode: "quick-chat", favouriteIds: favourites, attempt: randomUUID() };
  const { banner } = await page.openCheckout(carla.supabase, wish);
  assert.equal(banner, "Booking with Mia, then Mia (Priority)");
  const plan = "free-diagnostic";
  const { id } = await page.requestFreeSession(carla.supabase, plan, favourites);
  const [first, second, ...more] = await page.readTurns(carla.supabase, id);
  assert.deepEqual([first, second, ...more].map((turn) => turn.mechanic_id), favourites);
  assert.equal(first.ends_at, second.starts_at);
  const [told] = await page.readTimeline(carla.supabase, id);
  assert.deepEqual([first.event_id, second.event_id], [told.event_id, null]);
});

test("what happens during a lost connection is caught up with, in order", async () => {
  const { screen, storage } = await start(page.startCustomerApp, carla, {});
  const seen = await book(carla, frank);
  await until(() => screen.newsOf(seen).length === 1);

  goOffline();
  await until(() => !joined(carla));
  await page.askEveryoneNow(carla.supabase, seen);
  const missed = await book(carla);
  await page.cancelRequest(carla.supabase, missed);
  goOnline();

  await until(() => screen.newsOf(missed).length === 2);
  const ours = screen.news.filter(([id]) => [seen, missed].includes(id));
  assert.deepEqual(ours, [
    [seen, "Your favourite is being asked."],
    [seen, "Every mechanic is being asked."],
    [missed, "Every mechanic is being asked."],
    [missed, "Your request is closed."],
  ]);
  const events = await call(carla, "list_session_request_events", { after: storage.cursor() });
  assert.deepEqual(events, []);
});

test("a notice that is lost while the connection holds is found by the timer", async () => {
  const storage = makeStorage();
  const first = await start(page.startCustomerApp, carla, { storage });
  const before = await book(carla);
  await until(() => first.screen.newsOf(before).length === 1);
  await first.stop();

  // Nothing is heard any more; only the timer is left.
  goOffline();
  const screen = new Screen();
  running.push(page.startCustomerApp(carla.supabase, screen, storage, { meanwhile: 20 }));
  const lost = await book(carla);
  await until(() => screen.newsOf(lost).length === 1);
  assert.deepEqual(screen.newsOf(before), []);
});

test("events whose handling failed come again", async () => {
  const screen = new Screen();
  const draw = screen.showRequests;
  const { storage, catchUp } = await start(page.startCustomerApp, carla, { screen });
  const first = await book(carla);
  await until(() => screen.newsOf(first).length === 1);
  const cursor = storage.cursor();

  screen.showRequests = () => {
    throw new Error("no room on the screen");
  };
  const second = await book(carla);
  await until(() => screen.errors.some((error) => error.message === "no room on the screen"));
  assert.deepEqual([screen.newsOf(second), storage.cursor()], [[], cursor]);
  screen.showRequests = draw;
  await catchUp();
  assert.deepEqual(screen.newsOf(second), ["Every mechanic is being asked."]);
});

test("a new device shows the present, and none of the past as news", async (t) => {
  const noticed = [];
  const channel = carla.supabase
    .channel(`customer:${carla.id}`, { config: { private: true } })
    .on("broadcast", { event: "*" }, ({ payload }) => noticed.push(payload.request_id))
    .subscribe();
  t.after(() => carla.supabase.removeChannel(channel));
  await until(() => joined(carla));
  const past = await book(carla, frank);
  await until(() => noticed.includes(past));

  const { screen } = await start(page.startMechanicApp, frank, {});
  assert.ok(screen.open.some((request) => request.request_id === past));
  const present = await book(carla, frank);
  await until(() => screen.rings.length > 0);
  assert.deepEqual(screen.rings, [present]);
});

test("more events than a page holds are handled once each, though asked for twice", async () => {
  const [{ event_id: after }] = (await call(carla, "list_session_request_events")).slice(-1);
  for (let booked = 0; booked < 5; booked++) await book(carla);
  const batches = [];
  const followed = page.follow(carla.supabase, [], {
    after,
    handle: (events) => events.length && batches.push(events.map((event) => event.event_id)),
    save: () => {},
    onError: assert.ifError,
    pageSize: 2,
    ...hour,
  });
  await Promise.all([followed.catchUp(), followed.catchUp()]);
  await followed.stop();
  const events = await call(carla, "list_session_request_events", { after });
  assert.deepEqual(batches.map((batch) => batch.length), [2, 2, 1]);
  assert.deepEqual(batches.flat(), events.map((event) => event.event_id));
});

test("what an approval opens is history, and not read", async (t) => {
  const approve = (status) =>
    service.from("mechanics").update({ status }).eq("id", mona.id).throwOnError();
  await approve("pending");
  t.after(() => approve("approved"));
  const storage = makeStorage();
  const handled = [];
  const followed = page.followAs(mona.supabase, storage, () => [], {
    handle: (events) => handled.push(...events.map((event) => event.request_id)),
    onError: assert.ifError,
    pageSize: 2,
    ...hour,
  });
  t.after(() => followed.stop());
  await followed.catchUp();
  assert.equal(storage.cursor(), 0);
  for (let booked = 0; booked < 3; booked++) await book(carla);
  await approve("approved");
  await followed.catchUp();
  assert.deepEqual(handled, []);
  const present = await book(carla);
  await followed.catchUp();
  assert.deepEqual(handled, [present]);
});

test("what one has read as a customer, one has not read as a mechanic", async (t) => {
  const storage = makeStorage();
  const open = (topicsOf) => {
    const handled = [];
    const handle = (events) => handled.push(...events.map((event) => event.request_id));
    const options = { handle, onError: assert.ifError, ...hour };
    const followed = page.followAs(frank.supabase, storage, topicsOf, options);
    t.after(() => followed.stop());
    return { handled, ...followed };
  };
  const before = open(page.mechanicTopics);
  const customer = open((id) => [`customer:${id}`]);
  await Promise.all([before.catchUp(), customer.catchUp()]);
  await before.stop();
  const booked = await book(carla, frank);
  await customer.catchUp();
  const again = open(page.mechanicTopics);
  await again.catchUp();
  assert.deepEqual([customer.handled, again.handled], [[booked], [booked]]);
});

test("the time that is left", () => {
  const now = new Date("2026-01-01T12:00:00Z");
  const left = (endsAt) => page.timeLeft(endsAt, now);
  assert.equal(left("2026-01-01T12:10:00+00:00"), "10:00");
  assert.equal(left("2026-01-01T12:00:59.1Z"), "1:00");
  assert.equal(left("2026-01-01T13:00:09+01:00"), "0:09");
  assert.equal(left("2026-01-01T11:00:00Z"), "0:00");
});

test("the heartbeat", async (t) => {
  const isOnline = async () => {
    const { is_online } = await call(carla, "get_mechanic_status", { mechanic_id: frank.id });
    return is_online;
  };
  const errors = [];
  const presence = page.keepPresence(frank.supabase, {
    onError: (error) => errors.push(error),
    every: 20,
  });
  t.after(() => presence.stop());
  await presence.started;
  assert.ok(await isOnline());
  // As if silent for two minutes: the next beat mends it.
  const silent = { updated_at: new Date(Date.now() - 130_000) };
  await service.from("mechanics").update(silent).eq("id", frank.id).throwOnError();
  await until(isOnline);
  await presence.setStatus("busy");
  assert.ok(!(await isOnline()));
  await presence.setStatus("asleep");
  assert.equal(errors[0].message, "Please choose online, busy, away or offline.");
  await presence.setStatus("online");
  await presence.stop();
  assert.ok(!(await isOnline()));
});

test("Realtime's Presence: joined privately, tracked under the user's id", async (t) => {
  let here = [];
  const channel = page.showWhoIsHere(frank.supabase, (ids) => (here = ids), frank.id);
  t.after(() => frank.supabase.removeChannel(channel));
  assert.deepEqual([channel.subTopic, channel.private], ["online_mechanics", true]);
  await until(() => here.includes(frank.id));

  let seen;
  const looking = page.showWhoIsHere(carla.supabase, (ids) => (seen = ids));
  t.after(() => carla.supabase.removeChannel(looking));
  await until(() => seen);
  assert.deepEqual(seen, []);
});

test("table changes: on a private channel, and the handler called for a change", async (t) => {
  const changes = [];
  await mona.supabase.realtime.setAuth();
  const channel = page.watchTable(
    mona.supabase.channel(`customer:${mona.id}`, { config: { private: true } }),
    (change) => changes.push(change),
  );
  channel.subscribe();
  t.after(() => mona.supabase.removeChannel(channel));
  await until(() => joined(mona));
  tellChange(channel);
  await until(() => changes.length === 1);
  assert.deepEqual([changes[0].eventType, changes[0].new.status], ["UPDATE", "accepted"]);
});

test("table changes: they knock where Broadcasts are followed", async (t) => {
  let readings = 0;
  const followed = page.followAs(carla.supabase, makeStorage(), (id) => [`customer:${id}`], {
    handle: () => void (readings += 1),
    onError: assert.fail,
    watch: page.watchTable,
    ...hour,
  });
  t.after(followed.stop);
  await until(() => joined(carla));
  await followed.catchUp();
  const before = readings;
  tellChange(carla.supabase.getChannels()[0]);
  await until(() => readings > before);
});

test("a channel that is not private is refused, as by a project without public ones", async (t) => {
  const channel = carla.supabase.channel("my-session-requests");
  t.after(() => carla.supabase.removeChannel(channel));
  const [status, error] = await new Promise((resolve) =>
    channel.subscribe((...answer) => resolve(answer)),
  );
  assert.equal(status, "CHANNEL_ERROR");
  assert.match(error.message, /only allows private channels/);
});

// No server decodes the table's changes here, so one is put on the wire by hand.
function tellChange(channel) {
  const data = {
    type: "UPDATE",
    schema: "public",
    table: "session_requests",
    commit_timestamp: "2026-01-01T12:00:00Z",
    columns: [{ name: "status", type: "text" }],
    record: { status: "accepted" },
    old_record: {},
    errors: null,
  };
  receive([null, null, channel.topic, "postgres_changes", { ids: [1], data }]);
}
