// What the pages share: who is signed in, drawing, words, and staying up to date.
import { OPTIONS, SIGN_IN_URL, SUPABASE_ANON_KEY, SUPABASE_URL } from "./config.js";
import { timeLeft } from "./favorites_priority.js";

export const supabase = globalThis.supabase.createClient(SUPABASE_URL, SUPABASE_ANON_KEY, OPTIONS);

const { data } = await supabase.auth.getSession();
if (!data.session) {
  location.replace(SIGN_IN_URL);
  await new Promise(() => {}); // nothing of this page may run any more
}
export const me = data.session.user;

export const find = (selector) => document.querySelector(selector);
find("#account").href = SIGN_IN_URL;

// A page kept for the back button would show what was true when it was left.
addEventListener("pageshow", (event) => event.persisted && location.reload());

// --- Drawing ---

// A copy of a <template>, its parts named by data-part filled with text.
export function make(template, texts) {
  const [node] = find(`#${template}`).content.cloneNode(true).children;
  for (const [name, text] of Object.entries(texts)) part(node, name).textContent = text;
  return node;
}

export const part = (node, name) => node.querySelector(`[data-part="${name}"]`);

// Draws only what changed, so that whoever is about to press a button does not lose it.
export function drawList(list, items, keyOf, draw) {
  const before = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const nodes = items.map((item) => {
    const drawn = JSON.stringify(item);
    let node = before.get(keyOf(item));
    if (node?.dataset.drawn !== drawn) {
      const hadFocus = node?.contains(document.activeElement);
      node = draw(item);
      node.dataset.key = keyOf(item);
      node.dataset.drawn = drawn;
      node.dataset.hadFocus = hadFocus ?? false;
    }
    return node;
  });
  if (nodes.length !== before.size || nodes.some((node, at) => node !== list.children[at])) {
    list.replaceChildren(...nodes);
    list.querySelector("[data-had-focus=true] button")?.focus();
  }
  list.removeAttribute("aria-busy");
}

// Shows the time that is left in each <time data-ends-at>, each second.
export function drawTimes() {
  for (const time of document.querySelectorAll("time[data-ends-at]")) {
    time.textContent = timeLeft(time.dataset.endsAt);
  }
}
setInterval(drawTimes, 1000);

// --- Words ---

export function initials(name) {
  const words = (name ?? "?").split(/\s+/);
  return words.map((word) => word[0]).slice(0, 2).join("").toUpperCase();
}

export function money(cents, currency) {
  if (cents === 0) return "Free";
  return new Intl.NumberFormat("en", { style: "currency", currency }).format(cents / 100);
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function ago(date) {
  const seconds = Math.max(0, (Date.now() - Date.parse(date)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86_400), "day");
}

export const lastSeen = (date) => (date ? `last seen ${ago(date)}` : "not seen yet");

// --- News and errors ---

export function tell(text, kind = "news") {
  const note = make("note", { text });
  note.classList.add(kind);
  part(note, "close").onclick = () => note.remove();
  // Errors stay until they are read.
  if (kind === "news") setTimeout(() => note.remove(), 8000);
  find(kind === "error" ? "#errors" : "#news").append(note);
}

const causeOf = (error) => error.cause ?? error;
// PostgREST gives every error of its own a code.
const isAway = (error) => !navigator.onLine || causeOf(error).code === "";

export function tellError(error) {
  if (/^(not_signed_in|PGRST30\d)$/.test(causeOf(error).details || causeOf(error).code)) {
    location.replace(SIGN_IN_URL);
  }
  tell(isAway(error) ? "There is no connection. Please try again." : error.message, "error");
}

// Runs what a button does; meanwhile it says so and cannot be pressed again.
export async function run(button, busy, action) {
  if (button.getAttribute("aria-busy") === "true") return;
  find("#errors").replaceChildren();
  const text = button.textContent;
  button.textContent = busy;
  // Not `disabled`, which would take the focus away from whoever uses a keyboard.
  button.setAttribute("aria-busy", "true");
  try {
    await action();
  } catch (error) {
    tellError(error);
  } finally {
    button.textContent = text;
    button.removeAttribute("aria-busy");
  }
}

// --- Staying up to date ---

export function showReadError(error) {
  // Realtime's errors have no code: without it the state is read every few seconds.
  if (!("code" in causeOf(error))) console.debug(error);
  else if (isAway(error)) find("#away").hidden = false;
  else tellError(error);
}

// Keeps up to date what `follow` follows: by its notices, and by reading while there are none.
export async function keepUp(following, every = 2000) {
  const { catchUp } = await following;
  const hears = () => supabase.getChannels().every((channel) => channel.state === "joined");
  setInterval(() => !document.hidden && !hears() && catchUp(), every);
  addEventListener("online", catchUp);
  document.addEventListener("visibilitychange", () => !document.hidden && catchUp());
  await catchUp();
  return catchUp;
}

export const showConnected = () => (find("#away").hidden = true);
