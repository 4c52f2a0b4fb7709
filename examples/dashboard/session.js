// Who is signed in, and what the page says when nobody is any more.
import { OPTIONS, SIGN_IN_URL, SUPABASE_ANON_KEY, SUPABASE_URL } from "./config.js";
import { dropDevice, keepSession, readSession, send } from "./device.js";
import { watchClock } from "./server_clock.js";

const LIMIT = 15_000;

// --- What cannot be told by the page, as it does not run ---

// The pages have words for that, which show by themselves after some seconds: see .late.
export const showTold = () => (document.documentElement.dataset.says = "told");
export const showBroken = () => (document.documentElement.dataset.says = "broken");

// A mistake of the page's own. What a browser or an extension says besides is none.
function notice(error) {
  if (/^(Type|Reference|Range|Syntax)Error$/.test(error?.name)) showBroken();
}
addEventListener("error", (event) => notice(event.error));
addEventListener("unhandledrejection", (event) => notice(event.reason));

// --- The client ---

// No request waits for ever: a proxy may swallow its answer.
const inTime = (ask) => (url, init) =>
  ask(url, { ...init, signal: init?.signal ?? AbortSignal.timeout(LIMIT) });

const STORAGE = OPTIONS.auth?.storage ?? localStorage;
// The name that supabase-js gives it.
const KEY =
  OPTIONS.auth?.storageKey ?? `sb-${new URL(SUPABASE_URL).hostname.split(".")[0]}-auth-token`;

// The service worker renews the session while no page does. The page's own refresh token is used up
// then, so what was kept later counts.
function adopt(session) {
  const kept = keptSession();
  const isLater = kept?.user?.id === session?.user.id && kept?.expires_at < session?.expires_at;
  if (isLater) STORAGE.setItem(KEY, JSON.stringify(session));
}

// Before supabase-js looks. Where there are no service workers nothing is kept.
const device = await readSession().catch(console.debug);
if (device) adopt(device);
navigator.serviceWorker?.addEventListener("message", ({ data }) => adopt(data.session));

// A token may be over by the server's clock, and not by this device's, which supabase-js goes by: then
// it is renewed, once for all who ask, and they ask again.
let renewal;

async function renewed({ access_token }) {
  if (keptSession()?.access_token !== access_token) return keptSession(); // meanwhile
  renewal ??= supabase.auth.refreshSession().finally(() => (renewal = undefined));
  const { data, error } = await renewal;
  // Without a network nobody is signed out.
  if (error?.name === "AuthRetryableFetchError") throw error;
  return data.session;
}

// As PostgREST says it; one that does not hold for other reasons no new one makes good.
const isExpired = async (answer) =>
  answer.status === 401 && /JWT expired/.test(await answer.clone().text());

const renewing = (ask) => async (url, init) => {
  const session = keptSession();
  const answer = await ask(url, init);
  const headers = new Headers(init?.headers);
  const isTheirs = session && headers.get("Authorization") === `Bearer ${session.access_token}`;
  if (!isTheirs || !(await isExpired(answer))) return answer;
  const next = await renewed(session);
  // In another tab somebody else may have signed in meanwhile, for whom nothing is asked here.
  if (next?.user?.id !== session.user?.id) return answer;
  headers.set("Authorization", `Bearer ${next.access_token}`);
  return ask(url, { ...init, headers });
};

const ask = renewing(watchClock(inTime(OPTIONS.global?.fetch ?? fetch)));

export const supabase = globalThis.supabase.createClient(SUPABASE_URL, SUPABASE_ANON_KEY, {
  ...OPTIONS,
  global: { ...OPTIONS.global, fetch: ask },
});

// --- The session ---

// As it is kept, without asking whether it can be renewed: without a network it cannot, and is
// there again with it. Undefined where it is kept in a way of the app's own.
export function keptSession() {
  try {
    return JSON.parse(STORAGE.getItem(KEY));
  } catch {
    return undefined;
  }
}

// There one comes back to the page that one was on.
export function signInUrl() {
  const url = new URL(SIGN_IN_URL, location.href);
  url.searchParams.set("next", location.pathname + location.search);
  return url.href;
}

export const me = keptSession()?.user ?? (await supabase.auth.getSession()).data.session?.user;

// This device is to ring for nobody who is not signed in here any more, however that came.
async function dropIf(isGone) {
  const session = await readSession().catch(console.debug);
  if (!session || !isGone(session.user.id)) return;
  await dropDevice(await navigator.serviceWorker.getRegistration()).catch(console.debug);
}

// Where all tabs are one person's; else another tab may be that of whoever it rings for.
if (STORAGE === globalThis.localStorage) await dropIf((id) => id !== me?.id);
if (!me) {
  location.replace(signInUrl());
  await new Promise(() => {}); // nothing of this page may run any more
}

export const isSignedOut = () => document.querySelector("#signed-out") !== null;

// What was read belongs to whoever was signed in.
export function showSignedOut() {
  if (isSignedOut()) return;
  showTold();
  dropIf((id) => id === me.id);
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  document.querySelectorAll("main, .notes, .away").forEach((node) => (node.hidden = true));
  document.title = "Signed out";
  const box = document.createElement("main");
  box.className = "narrow";
  box.innerHTML = `<section id="signed-out" class="card session" role="alert">
    <h1 tabindex="-1">You are signed out</h1>
    <p>Sign in again to go on where you were.</p>
    <a class="button primary">Sign in</a>
  </section>`;
  box.querySelector("a").href = signInUrl();
  document.body.append(box);
  box.querySelector("h1").focus();
}

// In this tab or another. Each tab may have a person of its own, so what is kept here decides.
supabase.auth.onAuthStateChange((event, session) => {
  if (event === "INITIAL_SESSION") return;
  if (event === "TOKEN_REFRESHED") keepForDevice(session).catch(console.debug);
  const kept = keptSession();
  const user = kept === undefined ? session?.user : kept?.user;
  if (!user) showSignedOut();
  else if (user.id !== me.id || isSignedOut()) location.reload();
});

async function keepForDevice(session) {
  if ((await readSession())?.user.id === session.user.id) await keepSession(session);
}

// A last word from a page that goes away: no answer can be waited for, nor a token renewed.
export function sendOnLeaving(name, args) {
  const token = keptSession()?.access_token;
  if (!token) return;
  send(name, args, token, { keepalive: true }).catch(console.debug);
}
