// What the pages and the service worker share: whose device this is, and calls of the database. A
// service worker has no localStorage and outlives the page, so the session is kept here once more.
import { SUPABASE_ANON_KEY, SUPABASE_URL } from "./config.js";
import { Failure } from "./favorites_priority.js";

const LIMIT = 10_000;
// As supabase-js takes it, with a slash at its end or without.
const PROJECT = SUPABASE_URL.replace(/\/+$/, "");
const NAME = "device";
const PATH = "session";

// --- The session of whoever lets this device ring; null when nobody does ---

export async function readSession() {
  const kept = await caches.match(PATH, { cacheName: NAME });
  return kept ? kept.json() : null;
}

export async function keepSession(session) {
  await (await caches.open(NAME)).put(PATH, new Response(JSON.stringify(session)));
}

// One change at a time: what is being renewed must not come back after it was forgotten.
export const inTurn = (change) => navigator.locks.request("device-session", change);

// Nobody's any more. The push service then says so to the sender, whatever the database was told.
export async function dropDevice(registration) {
  await inTurn(() => caches.delete(NAME));
  await (await registration?.pushManager.getSubscription())?.unsubscribe();
}

// --- Calls ---

export const send = (name, args, token, options) =>
  fetch(`${PROJECT}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      apikey: SUPABASE_ANON_KEY,
      Authorization: `Bearer ${token}`,
    },
    body: JSON.stringify(args),
    ...options,
  });

export async function post(name, args, token) {
  const answer = await send(name, args, token, { signal: AbortSignal.timeout(LIMIT) });
  const said = await answer.json().catch(() => null); // nothing, or a proxy's page
  if (!answer.ok) throw new Failure({ ...said, status: answer.status });
  return said;
}

export async function renew({ refresh_token }) {
  const answer = await fetch(`${PROJECT}/auth/v1/token?grant_type=refresh_token`, {
    method: "POST",
    headers: { "Content-Type": "application/json", apikey: SUPABASE_ANON_KEY },
    body: JSON.stringify({ refresh_token }),
    signal: AbortSignal.timeout(LIMIT),
  });
  if (answer.ok) return answer.json();
  const { status } = answer;
  throw new Failure(status === 429 || status >= 500 ? { status } : { word: "not_signed_in" });
}

// As register_device takes a push subscription.
export function describeDevice(subscription) {
  const { endpoint, keys } = subscription.toJSON();
  return { endpoint, p256dh: keys.p256dh, auth: keys.auth };
}

// The same again as long as the sender's key is the same; else a new one.
export async function subscribe({ pushManager }, key) {
  const before = await pushManager.getSubscription();
  const bytes = new Uint8Array(before?.options.applicationServerKey ?? []);
  const known = btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_");
  if (before && known.replace(/=+$/, "") !== key) await before.unsubscribe();
  return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}
