// What `follow` and the calls of docs/supabase.md do when something is missing, late or gone.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as page from "./page.mjs";
import {
  Transport, anon, book, call, carla, connect, frank, goOffline, goOnline, nobody, receive, sessionOf,
  signedIn,
} from "./people.mjs";
import { clientOf } from "./sign_in.mjs";

async function until(condition) {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(10)) {
    const found = await condition();
    if (found) return found;
  }
  throw new Error(`did not happen in time: ${condition}`);
}

// While time flies, the module's seconds (a time limit, a channel that is joined again) are few.
let swift = [];
const [LIMIT, HANDLING, RETRY] = [10_000, 60_000, 5_000];
const later = globalThis.setTimeout;
globalThis.setTimeout = (done, ms, ...rest) => later(done, swift.includes(ms) ? 20 : ms, ...rest);

const hour = { every: 3_600_000, meanwhile: 3_600_000 };
const soon = { every: 3_600_000, meanwhile: 20 };

// Follows a customer's topic; what is heard, and what went wrong.
function follow(t, supabase, { storage = makeStorage(), ...options } = {}) {
  const heard = { ids: [], handled: 0, errors: [], storage };
  const followed = page.followAs(supabase, storage, (userId) => [`customer:${userId}`], {
    handle(events) {
      heard.handled += 1;
      heard.ids.push(...events.map((event) => event.request_id));
    },
    onError: (error) => heard.errors.push(error),
    ...hour,
    ...options,
  });
  t.after(followed.stop);
  return Object.assign(heard, followed);
}

function makeStorage(kept = {}) {
  return {
    kept,
    getItem: (key) => kept[key] ?? null,
    setItem: (key, value) => void (kept[key] = value),
  };
}

const cursorOf = ({ id }) => `session-request-events:customer:${id}`;
const hears = (supabase) =>
  supabase.getChannels().length > 0 &&
  supabase.getChannels().every((channel) => channel.state === "joined");

// One that has never run begins at the log's end, once that is read, and a channel may hear before.
const follows = (supabase, ...all) => all.every(({ handled }) => handled > 0) && hears(supabase);

// A client of hers whose requests go through this function first.
const through = (person, before) =>
  signedIn(person, { global: { fetch: async (url, init) => (await before(url, init)) ?? fetch(url, init) } });

const never = ({ signal }) =>
  new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));

test("an answer that never comes stops neither the reading nor what is read", async (t) => {
  let isSwallowed = false;
  const { supabase } = through(carla, (_, init) => (isSwallowed ? never(init) : null));
  const heard = follow(t, supabase, soon);
  await until(() => heard.handled > 0);
  [isSwallowed, swift] = [true, [LIMIT]];
  await heard.catchUp();
  [isSwallowed, swift] = [false, []];
  assert.equal(heard.errors[0].message, "The answer did not come in time. Please try again.");
  const booked = await book(carla);
  await until(() => heard.ids.includes(booked));
});

test("a token or a handler that never comes stops nothing either", async (t) => {
  let isStuck = true;
  swift = [LIMIT];
  const supabase = clientOf(carla.id, {
    accessToken: () => (isStuck ? new Promise(() => {}) : carla.token),
    realtime: { transport: Transport },
  });
  const heard = follow(t, supabase, { ...soon, userId: carla.id });
  await until(() => heard.errors.some((error) => error.word === "late"));
  [isStuck, swift] = [false, [HANDLING]];
  await until(() => heard.handled > 0);

  let handling = 0;
  const handle = () => (handling++, new Promise(() => {}));
  follow(t, carla.supabase, { ...soon, handle });
  await until(() => handling > 1);
  swift = [];
});

test("the heartbeat goes on after one that got no answer", async (t) => {
  let isSwallowed = true;
  swift = [LIMIT];
  const { supabase } = through(frank, (_, init) => (isSwallowed ? never(init) : null));
  const errors = [];
  const presence = page.keepPresence(supabase, {
    onError: (error) => errors.push(error.word),
    every: 20,
  });
  t.after(presence.stop);
  await until(() => errors.includes("late"));
  [isSwallowed, swift] = [false, []];
  const status = () => call(carla, "get_mechanic_status", { mechanic_id: frank.id });
  await until(async () => (await status()).is_online);
});

test("when Realtime closes the channel for good, reading takes over and it is joined again", async (t) => {
  const { supabase } = signedIn(carla);
  const heard = follow(t, supabase, soon);
  await until(() => follows(supabase, heard));
  const [{ topic }] = supabase.getChannels();
  goOffline();
  swift = [RETRY];
  receive([null, null, topic, "phx_close", {}]);
  swift = [];
  assert.deepEqual(supabase.getChannels(), []);
  const booked = await book(carla);
  await until(() => heard.ids.includes(booked));
  goOnline();
  await until(() => hears(supabase));
});

test("a new device without Realtime shows the present at once, and hears what comes", async (t) => {
  const past = await book(carla);
  goOffline();
  t.after(goOnline);
  const heard = follow(t, signedIn(carla).supabase, soon);
  await until(() => heard.handled > 0);
  const present = await book(carla);
  await until(() => heard.ids.includes(present));
  assert.ok(!heard.ids.includes(past));
});

test("a server that gives fewer rows than were asked for does not end the catch-up", async (t) => {
  const [{ event_id: after }] = (await call(carla, "list_session_request_events")).slice(-1);
  const booked = [];
  while (booked.length < 5) booked.push(await book(carla));
  // As PostgREST's db-max-rows, which Supabase calls Max rows.
  const { supabase } = signedIn(carla, {
    global: {
      fetch: (url, init) =>
        fetch(`${url}`.replace(/(list_session_request_events)$/, "$1?limit=2"), init),
    },
  });
  const storage = makeStorage({ [cursorOf(carla)]: String(after) });
  const heard = follow(t, supabase, { storage });
  await heard.catchUp();
  assert.deepEqual([heard.ids, heard.errors], [booked, []]);
});

test("a cursor above a log that was put back is noticed", async (t) => {
  const past = await book(carla);
  const [{ event_id: end }] = await call(carla, "list_session_request_events", { after: null });
  const storage = makeStorage({ [cursorOf(carla)]: String(end + 1_000_000) });
  const heard = follow(t, carla.supabase, { storage, ...soon });
  await heard.catchUp();
  assert.equal(storage.kept[cursorOf(carla)], String(end));
  const present = await book(carla);
  await heard.catchUp();
  assert.deepEqual([heard.ids.includes(past), heard.ids.includes(present)], [false, true]);

  // While it runs, the failing reads of the time between are what is noticed.
  let isDown = false;
  const running = through(carla, () => (isDown ? new Response("<html>", { status: 503 }) : null));
  const kept = makeStorage();
  const other = follow(t, running.supabase, { ...hour, storage: kept });
  await other.catchUp();
  isDown = true;
  await other.catchUp();
  isDown = false;
  assert.deepEqual(other.errors.map((error) => error.word), ["busy"]);
  await other.catchUp();
  assert.ok(Number(kept.kept[cursorOf(carla)]) > 0);
});

test("a cursor that is kept elsewhere, or cannot be kept", async (t) => {
  const kept = makeStorage();
  const storage = {
    getItem: async (key) => (await sleep(1), kept.getItem(key)),
    setItem: async (key, value) => (await sleep(1), kept.setItem(key, value)),
  };
  const first = follow(t, carla.supabase, { storage });
  await first.catchUp();
  await first.stop();
  const missed = await book(carla);
  const second = follow(t, carla.supabase, { storage });
  await second.catchUp();
  assert.deepEqual([second.ids, second.errors], [[missed], []]);

  const full = { ...makeStorage({ [cursorOf(carla)]: "no number" }), setItem: () => { throw new Error("full"); } };
  const third = follow(t, carla.supabase, { storage: full, ...soon });
  const present = await until(() => third.handled > 0 && book(carla));
  await until(() => third.ids.includes(present));
});

test("a client with a token of its own, as on one's machine", async (t) => {
  const supabase = clientOf(carla.id, { realtime: { transport: Transport } });
  const heard = follow(t, supabase);
  await until(() => follows(supabase, heard));
  const booked = await book(carla);
  await until(() => heard.ids.includes(booked));
  assert.deepEqual(heard.errors, []);
});

test("started twice, and stopped and started again as React's StrictMode does", async (t) => {
  const { supabase } = signedIn(carla);
  const [first, second] = [follow(t, supabase), follow(t, supabase)];
  await until(() => follows(supabase, first, second));
  const heardByBoth = await book(carla);
  await until(() => first.ids.includes(heardByBoth) && second.ids.includes(heardByBoth));

  // One leaves: the other still hears.
  await first.stop();
  const heardByOne = await book(carla);
  await until(() => second.ids.includes(heardByOne));
  assert.ok(!first.ids.includes(heardByOne));

  const leaving = second.stop();
  const third = follow(t, supabase);
  await leaving;
  await until(() => follows(supabase, third));
  const heardAgain = await book(carla);
  await until(() => third.ids.includes(heardAgain));
  assert.equal(supabase.getChannels().length, 1);
  assert.ok(!second.ids.includes(heardAgain));

  // Stopped before it began: nothing is handled any more, and no channel is left.
  const fourth = signedIn(carla).supabase;
  const stopped = follow(t, fourth);
  await stopped.stop();
  assert.deepEqual([stopped.handled, fourth.getChannels()], [0, []]);
});

test("nobody signed in is an error with words; whoever signs in then is followed", async (t) => {
  const { supabase, kept } = signedIn(carla);
  kept.session = null;
  const heard = follow(t, supabase, soon);
  await until(() => heard.errors.length > 0);
  assert.deepEqual(
    [heard.errors[0].message, heard.errors[0].word, heard.handled],
    ["Please sign in first.", "not_signed_in", 0],
  );
  kept.session = sessionOf(carla);
  await until(() => heard.handled > 0);

  // Somebody else in the same app: their events, and their cursor.
  const booked = await book(frank);
  kept.session = sessionOf(frank);
  await heard.catchUp();
  assert.ok(cursorOf(frank) in heard.storage.kept);
  const later = await book(frank);
  await until(() => heard.ids.includes(later));
  assert.ok(!heard.ids.includes(booked));
});

test("offline in one tab is offline in all, whatever is on its way", async (t) => {
  const status = () => call(carla, "get_mechanic_status", { mechanic_id: frank.id });
  let letGo;
  const held = through(frank, (url) =>
    letGo === undefined && `${url}`.endsWith("set_presence") ? new Promise((go) => (letGo = go)) : null,
  );
  const says = [];
  const here = page.keepPresence(frank.supabase, { every: 3_600_000 });
  const there = page.keepPresence(held.supabase, {
    every: 3_600_000,
    onStatus: (said) => says.push(said),
    onError: assert.ifError,
  });
  t.after(() => (here.pause(), there.pause()));
  await here.started;
  await until(() => letGo);
  await here.setStatus("offline");
  await until(() => says.includes("offline"));
  letGo(null);
  await there.setStatus("offline");
  assert.equal((await status()).is_online, false);
  await here.setStatus("online");
  await until(() => says.includes("online"));
  assert.deepEqual(says, ["offline", "online"]);
});

test("one that was let go says nothing any more", async () => {
  const said = [];
  const { supabase } = through(frank, (url) => {
    if (`${url}`.endsWith("set_presence")) said.push(url);
  });
  const gone = page.keepPresence(supabase, { every: 3_600_000, onError: assert.ifError });
  gone.pause();
  await gone.started;
  assert.deepEqual(said, []);
});

test("offline on another device is not undone by the next heartbeat", async (t) => {
  let tell;
  const said = new Promise((resolve) => (tell = resolve));
  const says = [];
  // The first heartbeat asks nothing; those after it begin once the other device has said so.
  const { supabase } = through(frank, async (url) => {
    if (`${url}`.endsWith("get_mechanic_status")) await said;
  });
  const there = page.keepPresence(supabase, { every: 20, onStatus: (word) => says.push(word) });
  t.after(there.pause);
  await there.started;
  await call(frank, "set_presence", { status: "offline" });
  tell();
  await until(() => says.length > 0);
  const seen = await call(carla, "get_mechanic_status", { mechanic_id: frank.id });
  assert.deepEqual([says, seen.is_online], [["offline"], false]);
});

test("whatever goes wrong is a sentence, and never the database's or a proxy's", async (t) => {
  const server = createServer((_, answer) => {
    answer.writeHead(503, { "Content-Type": "text/html" }).end("<html><h1>503</h1></html>");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  const { port } = server.address();
  const at = (url) =>
    signedIn(carla, { global: { fetch: (_, init) => fetch(url, init) } }).supabase;
  const says = async (calling) => {
    const error = await calling.then(() => assert.fail("was not refused"), (refused) => refused);
    assert.ok(error instanceof page.Failure);
    return [error.word, error.message];
  };
  const asked = { mechanic_id: frank.id };
  const ask = (supabase, args = asked) => says(page.call(supabase, "get_mechanic_status", args));

  assert.deepEqual(await ask(at(`http://127.0.0.1:${port}`)), ["busy", page.FAULTS.busy]);
  assert.deepEqual(await ask(at("http://127.0.0.1:1")), ["away", page.FAULTS.away]);
  assert.deepEqual(await ask(anon), ["not_signed_in", page.WORDS.not_signed_in]);
  assert.deepEqual(await ask(nobody), ["not_signed_in", page.WORDS.not_signed_in]);
  const expired = connect(process.env.SUPABASE_ANON_KEY, { accessToken: async () => "no.token.atall" });
  assert.deepEqual(await ask(expired), ["not_signed_in", page.WORDS.not_signed_in]);
  const garbage = { mechanic_id: "x" };
  assert.deepEqual(await ask(carla.supabase, garbage), ["unknown", page.FAULTS.unknown]);
  const event = says(page.call(carla.supabase, "process_stripe_event", { event: {} }));
  assert.deepEqual(await event, ["forbidden", page.FAULTS.forbidden]);
  const wish = { planCode: "quick-chat", attempt: crypto.randomUUID() };
  const checkout = (supabase) => says(page.openCheckout(supabase, wish));
  assert.deepEqual(await checkout(at(`http://127.0.0.1:${port}`)), ["busy", page.FAULTS.busy]);
  assert.deepEqual(await checkout(at("http://127.0.0.1:1")), ["away", page.FAULTS.away]);

  // As PostgreSQL and PostgREST report them.
  for (const [code, word] of Object.entries({ "57014": "busy", PGRST003: "busy", "22P02": "unknown" })) {
    assert.equal(page.wordOf({ code, message: "canceling statement", details: null }), word);
  }
  for (const strange of [null, undefined, "text", 7, new TypeError("x is not a function")]) {
    assert.equal(page.explain(strange), page.FAULTS.unknown);
  }
});
