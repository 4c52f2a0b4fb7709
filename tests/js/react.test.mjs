// The hooks of docs/react.md in React's StrictMode, which starts, stops and starts everything again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Window } from "happy-dom";
import { StrictMode, createElement as h } from "react";
import { explain } from "./page.mjs";
import { book, call, carla, frank, goOnline, mona, signedIn } from "./people.mjs";
import { useMyRequests, useOpenRequests, usePresence } from "./react.mjs";

const window = new Window();
const { document, navigator } = window;
// Node has a navigator of its own from 21 on, which no assignment replaces.
for (const [name, value] of Object.entries({ window, document, navigator })) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
const { createRoot } = await import("react-dom/client");

async function until(condition) {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(10)) {
    const found = await condition();
    if (found) return found;
  }
  throw new Error(`did not happen in time: ${condition}`);
}

function makeStorage() {
  const kept = {};
  return {
    getItem: async (key) => kept[key] ?? null,
    setItem: async (key, value) => void (kept[key] = value),
  };
}

// Renders a component whose hook is called with these props; what the hook last returned.
function show(t, hook, props) {
  const root = createRoot(document.createElement("div"));
  const seen = { renders: [] };
  function Shown(given) {
    seen.now = hook(given);
    seen.renders.push(seen.now);
  }
  seen.give = (next) => root.render(h(StrictMode, null, h(Shown, next)));
  seen.remove = () => root.unmount();
  seen.give(props);
  t.after(seen.remove);
  return seen;
}

const joined = (supabase) =>
  supabase.getChannels().length > 0 &&
  supabase.getChannels().every((channel) => channel.state === "joined");

test("a customer's requests: their own, kept up to date by one channel, gone with the component", async (t) => {
  goOnline();
  const { supabase } = signedIn(carla);
  const [storage, news] = [makeStorage(), []];
  const onNews = (requestId, words) => news.push([requestId, words]);
  const page = show(t, ({ userId }) => useMyRequests(supabase, userId, { storage, onNews }), {
    userId: carla.id,
  });
  await until(() => page.now?.isLoading === true);
  await until(() => page.now.isLoading === false && joined(supabase));
  assert.equal(supabase.getChannels().length, 1);

  const booked = await book(carla);
  await until(() => page.now.requests.some(({ id }) => id === booked));
  await until(() => news.length > 0);
  assert.deepEqual(news, [[booked, "Every mechanic is being asked."]]);

  // Signed out, nothing of hers is shown, not even for a moment.
  const before = page.renders.length;
  page.give({ userId: null });
  await until(() => page.renders.length > before);
  for (const render of page.renders.slice(before)) {
    assert.deepEqual([render.requests, render.isLoading, render.error], [[], false, undefined]);
  }
  await until(() => supabase.getChannels().length === 0);
});

test("a mechanic's list beside the customer's on one client; what fails is said and mended", async (t) => {
  let isDown = true;
  const global = {
    fetch: async (url, init) =>
      isDown ? new Response("<html>", { status: 503 }) : fetch(url, init),
  };
  const { supabase } = signedIn(mona, { global });
  const storage = makeStorage();
  const rings = [];
  const page = show(
    t,
    ({ userId }) => [
      useOpenRequests(supabase, userId, { storage, onRing: (each) => rings.push(each) }),
      useMyRequests(supabase, userId, { storage }),
    ],
    { userId: mona.id },
  );
  await until(() => page.now?.[0].error);
  assert.match(explain(page.now[0].error), /^The service does not answer as it should/);
  isDown = false;
  await page.now[0].catchUp();
  await until(() => page.now[0].error === undefined && !page.now[0].isLoading);
  const reserved = await book(carla, mona);
  await until(() => rings.some(({ request_id }) => request_id === reserved));
  await until(() => page.now[0].open.some(({ request_id }) => request_id === reserved));
});

test("presence: said once more by the component that stays, offline in all", async (t) => {
  const status = () => call(carla, "get_mechanic_status", { mechanic_id: frank.id });
  const hook = ({ userId }) => usePresence(frank.supabase, userId, "online");
  const [page, other] = [show(t, hook, { userId: frank.id }), show(t, hook, { userId: frank.id })];
  await until(async () => (await status()).is_online);
  await page.now.setStatus("offline");
  await until(() => other.now.status === "offline");
  // What another had on its way may come after it, and each says the last word once more.
  await until(async () => !(await status()).is_online);
  await page.now.setStatus("online");
  page.remove();
  await until(async () => (await status()).is_online);
});

test("presence: what one said, the next who signs in has not", async (t) => {
  const page = show(t, ({ who }) => usePresence(who.supabase, who.id, "offline"), { who: frank });
  await until(() => page.now?.status === "offline");
  await page.now.setStatus("online");
  await until(() => page.now.status === "online");
  const before = page.renders.length;
  page.give({ who: mona });
  await until(() => page.renders.length > before);
  assert.deepEqual([...new Set(page.renders.slice(before).map(({ status }) => status))], ["offline"]);
});
