// A customer's page: favourites, `Book again`, the launcher and the sessions that are under way.
import {
  call, followAs, listFavourites, listMyRequests, openCheckout, requestFreeSession,
} from "./favorites_priority.js";
import {
  ago, drawList, fill, find, initials, keepUp, lastSeen, me, money, part, run, showConnected,
  showReadError, supabase, tell, tellError,
} from "./page.js";

const ABOUT = {
  diagnostic: "Describe the trouble and hear what it may be.",
  chat: "Write with a mechanic, photos included.",
  video: "Show it on video and be talked through the repair.",
};
const STATUS = { pending: "Waiting", accepted: "Accepted" };

let plans = [];

// --- Favourites, and booking one again ---

function drawFavourite(card, { mechanic_id, display_name, is_online, last_seen }) {
  fill(card, {
    face: initials(display_name),
    name: display_name ?? "Not available any more",
    presence: is_online ? "Online now" : capitalised(lastSeen(last_seen)),
  });
  part(card, "presence").classList.toggle("online", is_online);
  const book = part(card, "book");
  book.setAttribute("aria-label", `Book again: ${display_name}`);
  book.onclick = () => bookAgain(book, mechanic_id, display_name);
}

const capitalised = (text) => text[0].toUpperCase() + text.slice(1);

async function bookAgain(button, mechanicId, name) {
  const status = await run(button, "Checking…", () => readStatus(mechanicId));
  if (!status) return;
  const answer = status.isOff ? "anyone" : await ask(name, status);
  if (!answer) return;
  await run(button, "Checking…", () => setFavourite(answer === "continue" ? mechanicId : null));
  goToLauncher();
}

async function readStatus(mechanicId) {
  try {
    return await call(supabase, "get_mechanic_status", { mechanic_id: mechanicId });
  } catch (error) {
    if (error.cause.details === "feature_disabled") return { isOff: true };
    throw error;
  }
}

function ask(name, { is_online, last_seen }) {
  const dialog = find("#rebook");
  find("#rebook-title").textContent = `Book ${name} again`;
  find("#rebook-continue").textContent = `Continue with ${name}`;
  find("#rebook-status").textContent = is_online
    ? "Available now"
    : `Currently offline (${lastSeen(last_seen)})`;
  find("#rebook-status").classList.toggle("online", is_online);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

function goToLauncher() {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  find("#launcher").scrollIntoView({ behavior: isStill ? "auto" : "smooth" });
  find("#launcher-title").focus({ preventScroll: true });
}

// --- The favourite who is to be asked first; kept while the customer is away at Stripe ---

const favourite = () => sessionStorage.getItem("favourite");

async function setFavourite(mechanicId) {
  if (mechanicId) sessionStorage.setItem("favourite", mechanicId);
  else sessionStorage.removeItem("favourite");
  await drawBanner();
}

// The banner's words are the database's, which has none when the favourite cannot be asked.
async function drawBanner() {
  const banner = favourite() && plans.length ? await readBanner() : null;
  if (!banner) sessionStorage.removeItem("favourite");
  drawList(find("#banner"), "priority", banner ? [banner] : [], String, (box, headline) => {
    fill(box, { headline });
    part(box, "dismiss").onclick = async () => {
      await setFavourite(null);
      find("#launcher-title").focus();
    };
  });
}

async function readBanner() {
  const checkout = await call(supabase, "prepare_checkout", {
    plan_code: plans[0].code,
    preferred_mechanic_id: favourite(),
    routing_type: "priority_broadcast",
  });
  return checkout.banner;
}

// --- The launcher ---

function drawPlan(card, { code, title, session_type, price_cents, currency }) {
  fill(card, {
    title,
    about: ABOUT[session_type],
    price: money(price_cents, currency),
    start: price_cents === 0 ? "Start now" : "Continue to payment",
  });
  const start = part(card, "start");
  start.setAttribute("aria-label", `${start.textContent}: ${title}`);
  const [busy, action] = price_cents === 0 ? ["Starting…", startFree] : ["Opening…", pay];
  start.onclick = () => run(start, busy, () => action(code));
}

async function startFree(planCode) {
  const request = await requestFreeSession(supabase, planCode, favourite() ?? undefined);
  sessionStorage.removeItem("favourite");
  location.assign(`request.html?id=${request.id}`);
}

async function pay(planCode) {
  // The same attempt until it is paid: pressing the button twice must not make two payments.
  const attempt = sessionStorage.getItem("attempt") ?? crypto.randomUUID();
  sessionStorage.setItem("attempt", attempt);
  const favouriteId = favourite() ?? undefined;
  const checkout = await openCheckout(supabase, { planCode, favouriteId, attempt });
  location.assign(checkout.url);
}

async function readPlans() {
  const { data } = await supabase
    .from("service_plans")
    .select("code, title, session_type, price_cents, currency")
    .order("price_cents")
    .throwOnError();
  return data;
}

// --- Sessions under way ---

function drawRequest(row, { id, plan_code, created_at, status }) {
  fill(row, {
    plan: plans.find((plan) => plan.code === plan_code)?.title ?? "Session",
    when: ago(created_at),
    status: STATUS[status],
  });
  part(row, "status").classList.toggle("accepted", status === "accepted");
  part(row, "link").href = `request.html?id=${id}`;
}

async function draw() {
  if (!plans.length) {
    plans = await readPlans();
    drawList(find("#plans"), "plan", plans, (plan) => plan.code, drawPlan);
    await drawBanner();
  }
  const [favourites, requests] = await Promise.all([
    listFavourites(supabase),
    listMyRequests(supabase, me.id),
  ]);
  drawList(find("#favourites"), "favourite", favourites, (each) => each.mechanic_id, drawFavourite);
  find("#no-favourites").hidden = favourites.length > 0;
  const live = requests.filter((request) => request.status in STATUS);
  drawList(find("#requests"), "request", live, (request) => request.id, drawRequest);
  find("#live").hidden = live.length === 0;
  showConnected();
}

if (new URLSearchParams(location.search).has("cancelled")) {
  tell("Nothing was paid. Choose again when you are ready.");
  history.replaceState(null, "", location.pathname);
}
keepUp(
  followAs(supabase, localStorage, (userId) => [`customer:${userId}`], {
    handle: draw,
    onError: showReadError,
  }),
).catch(tellError);
