// What the pages share: drawing, words, and staying up to date.
import * as config from "./config.js";
import { WORDS, explain, wordOf } from "./favorites_priority.js";
import { silence } from "./phone.js";
import { serverNow } from "./server_clock.js";
import {
  isSignedOut, keptSession, showBroken, showSignedOut, showTold, supabase,
} from "./session.js";

export { keptSession, me, supabase } from "./session.js";

export const find = (selector) => document.querySelector(selector);
for (const link of document.querySelectorAll("#account")) link.href = config.SIGN_IN_URL;

// A page kept for the back button would show what was true when it was left.
addEventListener("pageshow", (event) => event.persisted && location.reload());

// --- Drawing ---

export const part = (node, name) => node.querySelector(`[data-part="${name}"]`);

// Fills the parts of a node, named by data-part. What has not changed stays untouched, so that a
// screen reader says only what is new.
export function fill(node, texts) {
  for (const [name, text] of Object.entries(texts)) {
    if (part(node, name).textContent !== text) part(node, name).textContent = text;
  }
}

export const make = (template) => find(`#${template}`).content.cloneNode(true).children[0];

// One node for each item, kept as long as its item is there: whoever is about to press a button
// does not lose it.
export function drawList(list, template, items, keyOf, draw) {
  const focused = list.contains(document.activeElement) && document.activeElement;
  const before = new Map([...list.children].map((node) => [node.dataset.key, node]));
  items.forEach((item, at) => {
    const key = String(keyOf(item));
    const node = before.get(key) ?? make(template);
    before.delete(key);
    node.dataset.key = key;
    draw(node, item);
    if (list.children[at] !== node) list.insertBefore(node, list.children[at]);
  });
  before.forEach((node) => node.remove());
  list.querySelectorAll(":scope > :not([data-key])").forEach((node) => node.remove());
  if (focused?.isConnected) focused.focus();
  list.removeAttribute("aria-busy");
}

// --- Words ---

// Numbers and dates are in the language of the words around them, not in the device's.
export const LANGUAGE = document.documentElement.lang || "en";

// What somebody calls themselves, if anything, without what turns the words around it.
export const nameIn = (text) => text?.replace(/[\u202a-\u202e\u2066-\u2069]/g, "").trim() || null;

// A letter as it is seen: one of "é" or of a family's emoji may be several characters.
const letters = new Intl.Segmenter(LANGUAGE, { granularity: "grapheme" });
const firstLetter = (word) => letters.segment(word)[Symbol.iterator]().next().value.segment;

export function initials(name) {
  const words = (nameIn(name) ?? "").split(/\s+/).filter(Boolean).slice(0, 2);
  return words.map(firstLetter).join("").toLocaleUpperCase(LANGUAGE) || "?";
}

// Where Stripe's smallest unit is another than ISO 4217's (docs.stripe.com/currencies).
const STRIPE_DIGITS = { ISK: 2, MGA: 0, UGX: 2 };

export function money(cents, currency) {
  if (cents === 0) return "Free";
  const code = currency.toUpperCase();
  let format;
  try {
    format = new Intl.NumberFormat(LANGUAGE, { style: "currency", currency: code });
  } catch {
    return `${new Intl.NumberFormat(LANGUAGE).format(cents / 100)} ${code}`; // no such currency
  }
  // The smallest unit is not a hundredth of every currency: yen have none.
  const digits = STRIPE_DIGITS[code] ?? format.resolvedOptions().maximumFractionDigits;
  return format.format(cents / 10 ** digits);
}

const relative = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: "auto" });

export function ago(date) {
  const seconds = Math.max(0, (serverNow() - Date.parse(date)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86_400), "day");
}

export const lastSeen = (date) => (date ? `last seen ${ago(date)}` : "not seen yet");

// --- News and errors ---

export function tell(text, kind = "news") {
  const box = find(kind === "error" ? "#errors" : "#news");
  if ([...box.children].some((note) => part(note, "text").textContent === text)) return;
  const note = make("note");
  fill(note, { text });
  note.classList.add(kind);
  part(note, "close").onclick = () => note.remove();
  // Errors stay until they are read.
  if (kind === "news") setTimeout(() => note.remove(), 8000);
  box.append(note);
}

// Whoever is signed in as far as this device knows has no token only because it could not be
// renewed: that is no reason to send them away. Unless one was sent that does not hold, or whose
// account is gone (PT401).
function wordFor(error) {
  const word = wordOf(error);
  if (!navigator.onLine) return "away";
  if (word !== "not_signed_in" || !keptSession()) return word;
  const isRefused = /^(PGRST30|PT401)/.test((error.cause ?? error).code);
  return isRefused ? word : "away";
}

export function tellError(error) {
  const word = wordFor(error);
  if (word === "unknown") console.error(error);
  showTold();
  if (word === "not_signed_in") showSignedOut();
  else tell(explain({ word }), "error");
}

// What a dialog is left by: the value of the button, or nothing.
export function confirm(selector) {
  const dialog = find(selector);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue);
  });
}

// Runs what a button does; meanwhile it says so and cannot be pressed again.
export async function run(button, busy, action) {
  if (button.getAttribute("aria-busy") === "true") return;
  find("#errors").replaceChildren();
  const { textContent, ariaLabel } = button;
  button.textContent = busy;
  button.ariaLabel = null;
  // Not `disabled`, which would take the focus away from whoever uses a keyboard.
  button.setAttribute("aria-busy", "true");
  try {
    return await action();
  } catch (error) {
    tellError(error);
  } finally {
    button.textContent = textContent;
    button.ariaLabel = ariaLabel;
    button.removeAttribute("aria-busy");
  }
}

// --- Staying up to date ---

const AWAY = find("#away").textContent;
const MAY_BE_OLD = "What you see may be old; we keep trying.";
const UNREAD = {
  busy: `The service does not answer as it should. ${MAY_BE_OLD}`,
  forbidden: `You may not see this. ${MAY_BE_OLD}`,
  unknown: `Something is wrong here. ${MAY_BE_OLD}`,
};

// Until it is read again, no clock may run as if all were well: see isCurrent.
export function showReadError(error) {
  const word = wordFor(error);
  if (isSignedOut()) return;
  if (word === "not_signed_in") return showSignedOut();
  showTold();
  const text = UNREAD[word] ?? (word in WORDS ? explain({ word }) : AWAY);
  if (find("#away").textContent !== text) find("#away").textContent = text;
  find("#away").hidden = false;
  if (word !== "unknown") return;
  console.error(error);
  showBroken();
}

export const isCurrent = () => find("#away").hidden;

export function showConnected() {
  find("#away").hidden = true;
  showTold();
}

// Keeps up to date what `follow` follows, which reads every few seconds while it hears nothing.
export async function keepUp(following) {
  const { catchUp } = await following;
  const sayAway = () => showReadError({ word: "away" });
  if (!navigator.onLine) sayAway(); // before a new token has been waited for
  addEventListener("online", catchUp);
  addEventListener("offline", sayAway);
  document.addEventListener("visibilitychange", () => !document.hidden && catchUp());
  await catchUp();
  return catchUp;
}

// --- Leaving ---

// To where the two talk; no link where the marketplace names no such place.
export function drawJoin(link, requestId) {
  link.hidden = !requestId || !config.SESSION_URL;
  if (!link.hidden) link.href = config.SESSION_URL.replace("{id}", requestId);
}

// To another page. The button that leads there stays busy until this one is gone: it must not be
// pressed again.
export function leave(url) {
  location.assign(url);
  return new Promise(() => {});
}

// On this device alone, and whether or not the server hears of it.
export async function signOut() {
  const isHeard = silence()
    .catch(console.debug)
    .then(() => supabase.auth.signOut({ scope: "local" }))
    .catch(console.debug);
  await Promise.race([isHeard, new Promise((resolve) => setTimeout(resolve, 3000))]);
  (config.OPTIONS.auth?.storage ?? localStorage).removeItem(supabase.auth.storageKey);
  await leave(config.SIGN_IN_URL);
}
