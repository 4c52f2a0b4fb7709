// A customer's page: favourites, `Book again`, the launcher, what is under way and what was.
import {
  WORDS, addFavourite, call, followAs, listFavourites, listMyRequests, openCheckout, readCheckout,
  removeFavourite, requestFreeSession,
} from "./favorites_priority.js";
import { askAgain, askToBlock, blockedName } from "./blocks.js";
import {
  amountOf, attemptAt, forgetAttempt, forgetCheckout, isForgotten, isLate, keepBooked, listCheckouts,
  readPayments, rememberCheckout,
} from "./bookings.js";
import { drawOrder, sayOrder } from "./order.js";
import {
  LANGUAGE, ago, drawList, fill, find, initials, keepUp, lastSeen, leave, me, money, nameIn, part, run,
  showConnected, showReadError, signOut, supabase, tell, tellError,
} from "./page.js";
import { keepRinging } from "./phone.js";
import { device, tab } from "./storage.js";

const ABOUT = {
  diagnostic: "Describe the trouble and hear what it may be.",
  chat: "Write with a mechanic, photos included.",
  video: "Show it on video and be talked through the repair.",
};
const STATUS = { pending: "Waiting", accepted: "Accepted" };
const CLOSED = { completed: "Completed", cancelled: "Cancelled", expired: "Nobody could take it" };
const UNDER_WAY = {
  null: "Confirming your payment",
  late: "Your payment is not here yet",
  waiting_for_payment: "Waiting for your bank",
  error: "Paid; we see to your booking",
};
const ENDED = {
  payment_failed: "A payment failed. Nothing was booked.",
  removed: "A session that you had paid was taken off. If your money is not back soon, write to us.",
};
const MOST = 3; // as many favourites as can be asked one after the other
const PLACE = ["first", "second", "third"];
// As many as leave the launcher on the screen.
const FEW = matchMedia("(max-width: 30rem)").matches ? 2 : 3;

let plans = [];
let favourites = [];
let past = [];
// What stands in the rows of mechanics besides; of one who is not approved (any more) nothing.
const profiles = new Map();
const removed = new Set(); // shown until the page is left, so that it can be undone

const nameOf = ({ mechanic_id, display_name }) =>
  blockedName(mechanic_id) ??
  (nameIn(display_name) || (profiles.has(mechanic_id) ? "A mechanic" : "Not available any more"));

// --- Favourites ---

// A profile that is new was written when it was made: nobody was seen then.
function seenAt(mechanicId, lastSeenAt) {
  return lastSeenAt === profiles.get(mechanicId)?.created_at ? null : lastSeenAt;
}

function describePresence({ mechanic_id, is_online, last_seen }) {
  if (!profiles.has(mechanic_id)) return "Takes no bookings at the moment";
  return is_online ? "Online now" : capitalised(lastSeen(seenAt(mechanic_id, last_seen)));
}

const capitalised = (text) => text[0].toUpperCase() + text.slice(1);

function drawFavourite(card, favourite) {
  const { mechanic_id, is_online } = favourite;
  const name = nameOf(favourite);
  const isRemoved = removed.has(mechanic_id);
  const isBlocked = Boolean(blockedName(mechanic_id));
  const isThere = !isRemoved && !isBlocked;
  fill(card, {
    face: initials(blockedName(mechanic_id) ?? favourite.display_name),
    name,
    presence: isBlocked
      ? "Not asked again, and not told so"
      : isRemoved ? "Not a favourite any more" : describePresence(favourite),
  });
  part(card, "presence").classList.toggle("online", is_online && isThere);
  const [book, remove] = [part(card, "book"), part(card, "remove")];
  const [block, undo] = [part(card, "block"), part(card, "undo")];
  book.hidden = !isThere || !profiles.has(mechanic_id);
  remove.hidden = isBlocked;
  block.hidden = isBlocked || !profiles.has(mechanic_id);
  block.setAttribute("aria-label", `Do not ask again: ${name}`);
  block.onclick = () => stopAsking(block, mechanic_id, name);
  undo.hidden = !isBlocked;
  undo.setAttribute("aria-label", `Undo: ${name} may be asked again`);
  undo.onclick = () => run(undo, "Undoing…", async () => {
    await askAgain(mechanic_id);
    await readFavourites();
    drawAll();
    (book.hidden ? find("#favourites-title") : book).focus();
  });
  book.setAttribute("aria-label", `Book again: ${name}`);
  const planCode = past.find((session) => session.mechanic_id === mechanic_id)?.plan_code;
  book.onclick = () => bookAgain(book, mechanic_id, name, { planCode });
  remove.classList.toggle("off", isRemoved);
  remove.title = isRemoved ? "Add again" : "Remove";
  remove.setAttribute("aria-pressed", String(!isRemoved));
  remove.setAttribute("aria-label", `Favourite: ${name}`);
  remove.onclick = () => setKept(mechanic_id, isRemoved);
}

async function setKept(mechanicId, isKept) {
  try {
    await (isKept
      ? addFavourite(supabase, me.id, mechanicId)
      : removeFavourite(supabase, mechanicId));
    if (isKept) removed.delete(mechanicId);
    else removed.add(mechanicId);
    drawFavourites();
  } catch (error) {
    tellError(error);
  }
}

async function stopAsking(button, mechanicId, name) {
  const isDone = await askToBlock(button, mechanicId, name);
  if (!isDone) return;
  const wish = chosen();
  await setChosen({ ...wish, favourites: wish.favourites.filter(({ id }) => id !== mechanicId) });
  drawAll();
  part(find(`#favourites > [data-key="${mechanicId}"]`), "undo").focus();
}

// As a person types it: without accents, and in any case.
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase(LANGUAGE);

function drawFavourites() {
  const isMany = favourites.length > 3;
  const typed = isMany ? plain(find("#filter").value.trim()) : "";
  const isAll = find("#all").dataset.isOpen || typed;
  const matching = favourites.filter((each) => plain(nameOf(each)).includes(typed));
  const shown = isAll ? matching : matching.slice(0, FEW);
  drawList(find("#favourites"), "favourite", shown, (each) => each.mechanic_id, drawFavourite);
  find("#filter").hidden = !isMany;
  find("#all").hidden = shown.length === matching.length;
  find("#all").textContent = `Show all ${favourites.length}`;
  find("#no-favourites").hidden = favourites.length > 0;
  find("#no-match").hidden = favourites.length === 0 || matching.length > 0;
  find("#find").hidden = favourites.length === 0;
}

find("#filter").oninput = drawFavourites;
find("#all").onclick = () => {
  find("#all").dataset.isOpen = "yes";
  drawFavourites();
  find("#favourites-title").focus();
};

async function readFavourites() {
  const [listed, { data }] = await Promise.all([
    listFavourites(supabase),
    supabase
      .from("customer_favorites")
      .select("mechanic_id, mechanics(id, display_name, created_at)")
      .throwOnError(),
  ]);
  for (const { mechanics } of data) if (mechanics) profiles.set(mechanics.id, mechanics);
  // Whom the customer has just removed stays where they were.
  const gone = favourites.filter(({ mechanic_id }) => removed.has(mechanic_id));
  listed.forEach(({ mechanic_id }) => removed.delete(mechanic_id));
  favourites = [...listed, ...gone.filter(({ mechanic_id }) => removed.has(mechanic_id))];
}

// --- Finding one by name ---

let searches = 0;

async function search() {
  const search = ++searches;
  const name = find("#finder-name").value.trim().replace(/[\\%_]/g, "\\$&");
  const { data } = await supabase
    .from("mechanics")
    .select("id, display_name, city, brands, created_at")
    .eq("status", "approved")
    .neq("id", me.id)
    .ilike("display_name", `%${name}%`)
    .order("display_name")
    .limit(20)
    .throwOnError();
  if (search !== searches) return; // another was typed meanwhile
  for (const mechanic of data) profiles.set(mechanic.id, mechanic);
  drawList(find("#found"), "mechanic", data, (mechanic) => mechanic.id, drawFound);
  find("#nobody").hidden = data.length > 0;
}

function drawFound(row, mechanic) {
  const { id, display_name, city, brands } = mechanic;
  const isKept = favourites.some((each) => each.mechanic_id === id) && !removed.has(id);
  const name = nameIn(display_name) || "A mechanic";
  fill(row, {
    face: initials(display_name),
    name,
    about: [city, brands.slice(0, 3).join(", ")].filter(Boolean).join(" · "),
    keep: isKept ? "Added" : "Add",
  });
  const keep = part(row, "keep");
  keep.setAttribute("aria-pressed", String(isKept));
  keep.setAttribute("aria-label", `${isKept ? "Added" : "Add"}: ${name}`);
  keep.onclick = async () => {
    await setKept(id, !isKept);
    await readFavourites().catch(tellError);
    drawFavourites();
    drawFound(row, mechanic);
  };
}

const orClose = (error) => {
  find("#finder").close(); // behind it nothing is heard or seen
  tellError(error);
};

for (const button of [find("#find"), find("#find-first")]) {
  button.onclick = () => {
    find("#finder").showModal();
    find("#finder-name").value = "";
    search().catch(orClose);
  };
}
find("#finder-name").oninput = () => search().catch(orClose);
find("#finder").onclose = () => {
  // The button that opened it may be gone: with the first favourite the other takes its place.
  find(favourites.length > 0 ? "#find" : "#find-first").focus();
};

// --- Booking one again ---

async function bookAgain(button, mechanicId, name, { planCode, isOneTap = false } = {}) {
  const status = await run(button, "Checking…", () => readStatus(mechanicId));
  if (!status) return;
  const isSure = isOneTap && status.is_online;
  const answer = status.isOff ? "anyone" : isSure ? "continue" : await ask(mechanicId, name, status);
  if (!answer) return;
  const favourites = answer === "continue" ? [{ id: mechanicId, name }] : [];
  const skipIfOffline = find("#rebook-skip").checked;
  await run(button, "Checking…", () => setChosen({ favourites, skipIfOffline }));
  goToLauncher(planCode);
}

async function readStatus(mechanicId) {
  try {
    return await call(supabase, "get_mechanic_status", { mechanic_id: mechanicId });
  } catch (error) {
    if (error.cause?.details === "feature_disabled") return { isOff: true };
    throw error;
  }
}

// As skip_if_offline takes it: their phone rings. Of one who is no favourite it is not known.
const isReachable = (mechanicId, { is_online }) =>
  is_online || favourites.some((each) => each.mechanic_id === mechanicId && each.is_reachable);

function ask(mechanicId, name, status) {
  const { is_online, last_seen } = status;
  const dialog = find("#rebook");
  find("#rebook-title").textContent = `Book ${name} again`;
  find("#rebook-continue").textContent = `Continue with ${name}`;
  find("#rebook-status").textContent = is_online
    ? "Available now"
    : `Currently offline (${lastSeen(seenAt(mechanicId, last_seen))})` +
      (isReachable(mechanicId, status) ? "; their phone will ring" : "");
  find("#rebook-status").classList.toggle("online", is_online);
  find("#rebook-offline").hidden = isReachable(mechanicId, status);
  find("#rebook-skip").checked = false;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

// With the plan that was booked the last time, where there was one.
function goToLauncher(planCode = "") {
  find("#launcher").dataset.plan = planCode;
  drawPlans();
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  find("#launcher").scrollIntoView({ behavior: isStill ? "auto" : "smooth" });
  find("#launcher-title").focus({ preventScroll: true });
}

// --- The favourites who are to be asked first; kept while the customer is away at Stripe ---

const NOBODY = { favourites: [], skipIfOffline: false };

function chosen() {
  const wish = JSON.parse(tab.getItem("wish"));
  return wish?.favourites ? wish : NOBODY;
}

async function setChosen(wish) {
  if (wish.favourites.length > 0) tab.setItem("wish", JSON.stringify(wish));
  else tab.removeItem("wish");
  await drawBanner();
}

// The banner's words are the database's, which has none when no favourite can be asked.
async function drawBanner() {
  const wish = chosen();
  if (wish.favourites.length > 0 && plans.length > 0) {
    const { names, checkout } = await prepare(wish);
    if (JSON.stringify(chosen()) !== JSON.stringify(wish)) return; // changed meanwhile
    const isOff = checkout.metadata.routing_type === "broadcast";
    const gone = wish.favourites.filter(({ id }) => !(id in names));
    const left = wish.favourites.filter(({ id }) => id in names && checkout.banner);
    if (left.length === 0) {
      const who = gone.map(({ name }) => name).join(" and ") || wish.favourites[0].name;
      const why = isOff ? WORDS.feature_disabled : `${who} cannot be booked any more.`;
      tell(`${why} Every mechanic will be asked instead.`);
    } else if (gone.length > 0) {
      tell(`${gone.map(({ name }) => name).join(" and ")} cannot be booked any more.`);
    }
    if (left.length < wish.favourites.length) return setChosen({ ...wish, favourites: left });
    drawChosen(wish, checkout);
  } else drawChosen(NOBODY);
}

function drawChosen(wish, checkout) {
  const { favourites: asked } = wish;
  find("#launcher").classList.toggle("chosen", asked.length > 0);
  drawList(find("#banner"), "priority", asked.length > 0 ? ["wish"] : [], String, (box) => {
    const isOne = asked.length === 1;
    fill(box, {
      headline: checkout.banner,
      about: isOne
        ? "They'll be notified first. If unavailable, we'll find you another mechanic."
        : "They are asked one after the other. If none can, we'll find you another mechanic.",
      minutes: describeMinutes(wish, Number(checkout.metadata.priority_window_minutes)),
    });
    part(box, "order").hidden = isOne;
    drawOrder(part(box, "order"), isOne ? [] : asked, changeOrder);
    part(box, "then").onclick = () => run(part(box, "then"), "Checking…", askWhoIsNext);
    part(box, "dismiss").onclick = async () => {
      await setChosen(NOBODY);
      find("#launcher-title").focus();
    };
  });
  drawThen();
}

// Again when the favourites have been read, which are not there yet when the page is loaded.
function drawThen() {
  const then = part(find("#banner"), "then");
  if (then) then.hidden = chosen().favourites.length === MOST || others().length === 0;
}

function focusThen() {
  const then = part(find("#banner"), "then");
  (then && !then.hidden ? then : find("#launcher-title")).focus();
}

function describeMinutes({ favourites: asked, skipIfOffline }, minutes) {
  if (asked.length === 1) {
    return skipIfOffline
      ? `They have up to ${minutes} minutes to answer, if they are online when you book.`
      : `They have up to ${minutes} minutes to answer; then everyone is asked.`;
  }
  const [first, ...then] = asked.map(({ name }) => name);
  const order = [
    `${first} first for ${minutes} minutes`, ...then.map((name) => `then ${name} for ${minutes}`),
  ];
  return (
    `${order.join(", ")}, then everyone: up to ${asked.length * minutes} minutes.` +
    (skipIfOffline ? " Whoever is offline when you book is passed over." : "")
  );
}

async function changeOrder(order, moved) {
  const wish = chosen();
  const byId = Object.fromEntries(wish.favourites.map((each) => [each.id, each]));
  const asked = order.map(({ id }) => byId[id]).filter(Boolean);
  await setChosen({ ...wish, favourites: asked }).catch(tellError);
  if (moved) {
    return sayOrder(`${moved.name} is asked ${PLACE[asked.findIndex(({ id }) => id === moved.id)]}.`);
  }
  sayOrder(`${asked.map(({ name }) => name).join(", then ")}, then everyone.`);
  focusThen(); // the button is gone
}

// Their names as they are now, of those who can be booked; and what the booking would be.
async function prepare({ favourites: asked, skipIfOffline }) {
  const preferred_mechanic_ids = asked.map(({ id }) => id);
  const [names, checkout] = await Promise.all([
    readProfiles(preferred_mechanic_ids),
    call(supabase, "prepare_checkout", {
      plan_code: plans[0].code,
      preferred_mechanic_ids,
      routing_type: "priority_broadcast",
      skip_if_offline: skipIfOffline,
    }),
  ]);
  return { names, checkout };
}

// --- Who is asked next, if the first cannot ---

const others = () =>
  favourites.filter(
    ({ mechanic_id: id }) =>
      profiles.has(id) && !blockedName(id) && !removed.has(id) &&
      !chosen().favourites.some((each) => each.id === id),
  );

async function askWhoIsNext() {
  await readFavourites();
  const wish = chosen();
  const isAway = ({ is_online, is_reachable }) => !is_online && !is_reachable;
  const isAsked = ({ mechanic_id }) => wish.favourites.some(({ id }) => id === mechanic_id);
  drawList(find("#others"), "other", others(), (each) => each.mechanic_id, drawOther);
  find("#then-offline").hidden = ![...others(), ...favourites.filter(isAsked)].some(isAway);
  find("#then-skip").checked = wish.skipIfOffline;
  find("#then").showModal();
  find("#others button").focus();
}

function drawOther(row, favourite) {
  const { mechanic_id: id, display_name, is_online } = favourite;
  const name = nameOf(favourite);
  fill(row, { face: initials(display_name), name, presence: describePresence(favourite) });
  part(row, "presence").classList.toggle("online", is_online);
  part(row, "choose").setAttribute("aria-label", `Then ask ${name}`);
  part(row, "choose").onclick = () => {
    const wish = chosen();
    find("#then").close();
    const asked = [...wish.favourites, { id, name }];
    const skipIfOffline = find("#then-skip").checked;
    setChosen({ favourites: asked, skipIfOffline }).then(() => {
      sayOrder(`${name} is asked ${PLACE[asked.length - 1]}.`);
      focusThen();
    }, tellError);
  };
}

// --- The launcher ---

const notes = find("#notes");
notes.value = tab.getItem("notes") ?? "";
notes.oninput = () => {
  tab.setItem("notes", notes.value);
  const left = notes.maxLength - notes.value.length;
  find("#notes-left").textContent = `${left} left`;
  find("#notes-left").hidden = left > 100;
};

function drawPlans() {
  drawList(find("#plans"), "plan", plans, (plan) => plan.code, drawPlan);
  find("#no-plans").hidden = plans.length > 0;
}

function drawPlan(card, { code, title, session_type, price_cents, currency }) {
  fill(card, {
    title,
    about: ABOUT[session_type] ?? "",
    price: money(price_cents, currency),
  });
  card.classList.toggle("like-before", find("#launcher").dataset.plan === code);
  const start = part(card, "start");
  const [label, busy, action] =
    price_cents === 0
      ? ["Start now", "Starting…", startFree]
      : ["Continue to payment", "Opening…", pay];
  if (start.getAttribute("aria-busy") !== "true") {
    start.textContent = label;
    start.setAttribute("aria-label", `${label}: ${title}`);
  }
  start.onclick = () => run(start, busy, () => action(code));
}

async function startFree(planCode) {
  const asked = await whoIsThere(chosen());
  const book = () =>
    requestFreeSession(supabase, planCode, asked, {
      notes: notes.value,
      attempt: attemptAt(planCode),
    });
  let request = await book();
  // Booked by an earlier try whose answer was lost, and over by now: this is another one.
  if (!(request.status in STATUS)) {
    forgetAttempt(planCode);
    request = await book();
  }
  keepBooked(request.id);
  await leave(`request.html?id=${request.id}`);
}

// Whether to wait for who is offline is the page's to see to, where Stripe does not come between.
async function whoIsThere({ favourites: asked, skipIfOffline }) {
  const ids = asked.map(({ id }) => id);
  if (!skipIfOffline) return ids;
  const statuses = await Promise.all(ids.map(readStatus));
  return ids.filter((id, at) => isReachable(id, statuses[at]));
}

async function pay(planCode) {
  const { favourites: asked, skipIfOffline } = chosen();
  try {
    const checkout = await openCheckout(supabase, {
      planCode,
      favouriteIds: asked.length > 0 ? asked.map(({ id }) => id) : undefined,
      skipIfOffline: skipIfOffline || undefined,
      notes: notes.value || undefined,
      attempt: attemptAt(planCode),
    });
    if (checkout.checkout_session_id) rememberCheckout(checkout.checkout_session_id, { planCode });
    await leave(checkout.url);
  } catch (error) {
    // Nobody has seen that Checkout: the next try may as well be another.
    forgetAttempt(planCode);
    throw error;
  }
}

async function readPlans() {
  const { data } = await supabase
    .from("service_plans")
    .select("code, title, session_type, price_cents, currency")
    .order("price_cents")
    .throwOnError();
  return data;
}

const titleOf = (planCode) => plans.find((plan) => plan.code === planCode)?.title ?? "Session";

// --- Sessions under way ---

function drawRequest(row, { id, plan_code, created_at, status, mechanic_id }) {
  const winner = blockedName(mechanic_id) ?? nameIn(profiles.get(mechanic_id)?.display_name);
  fill(row, {
    plan: titleOf(plan_code),
    when: [status === "accepted" && winner && `With ${winner}`, `asked ${ago(created_at)}`]
      .filter(Boolean)
      .join(", "),
    status: STATUS[status],
  });
  part(row, "status").classList.toggle("accepted", status === "accepted");
  part(row, "link").href = `request.html?id=${id}`;
}

// Payments whose request is not there yet, as far as this device knows of them.
async function readUnderWay() {
  const found = [];
  for (const checkout of listCheckouts()) {
    const { request, status } = await readCheckout(supabase, checkout.id);
    if (ENDED[status]) tell(ENDED[status]);
    if (request || isForgotten(checkout, status)) forgetCheckout(checkout.id);
    else if (status || checkout.returnedAt) found.push({ ...checkout, status });
  }
  return found;
}

function drawUnderWay(row, checkout) {
  const { id, planCode, openedAt, status } = checkout;
  fill(row, {
    plan: planCode ? titleOf(planCode) : "Session",
    when: ago(new Date(openedAt)),
    status: UNDER_WAY[isLate(checkout, status) ? "late" : status],
  });
  part(row, "link").href = `request.html?checkout=${encodeURIComponent(id)}`;
}

// --- Past sessions ---

const date = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium" });

// Whom it was for, if nobody came.
const wanted = ({ mechanic_id, preferred_mechanic_id }) => mechanic_id ?? preferred_mechanic_id;

function drawPast(row, session) {
  const { id, plan_code, created_at, status, mechanic_id, payment } = session;
  const mechanicId = wanted(session);
  const mechanic = blockedName(mechanicId) ? undefined : profiles.get(mechanicId);
  const name = blockedName(mechanicId) ?? (mechanic && nameOf({ mechanic_id: mechanicId, ...mechanic }));
  const when = date.format(new Date(created_at));
  const refund = {
    refund_due: `${amountOf(payment ?? {}) ?? "refund"} on its way back`,
    refunded: `${amountOf(payment ?? {}) ?? "payment"} refunded`,
  }[payment?.status];
  fill(row, {
    plan: titleOf(plan_code) + (name && mechanic_id ? ` with ${name}` : ""),
    when: [when, CLOSED[status], refund].filter(Boolean).join(" · "),
  });
  part(row, "link").href = `request.html?id=${id}`;
  const book = part(row, "book");
  const whom = mechanic ? name : titleOf(plan_code);
  book.setAttribute("aria-label", `Book again as on ${when}: ${whom}`);
  const again = { planCode: plan_code, isOneTap: true };
  book.onclick = () => (mechanic ? bookAgain(book, mechanicId, name, again) : goToLauncher(plan_code));
}

function drawHistory() {
  const isAll = find("#older").dataset.isOpen;
  const shown = isAll ? past : past.slice(0, FEW);
  drawList(find("#history"), "session", shown, (request) => request.id, drawPast);
  find("#past").hidden = past.length === 0;
  find("#older").hidden = Boolean(isAll) || past.length <= FEW;
}

find("#older").onclick = () => {
  find("#older").dataset.isOpen = "yes";
  drawHistory();
  find("#history").children[FEW].querySelector("a").focus();
};

async function readProfiles(ids) {
  const { data } = await supabase
    .from("mechanics")
    .select("id, display_name, created_at")
    .in("id", ids)
    .throwOnError();
  for (const mechanic of data) profiles.set(mechanic.id, mechanic);
  return Object.fromEntries(data.map(({ id, display_name }) => [id, nameIn(display_name)]));
}

// --- All of it ---

function drawAll() {
  drawFavourites();
  drawHistory();
  drawThen();
}

async function draw() {
  if (!plans.length) {
    plans = await readPlans();
    drawPlans();
    await drawBanner();
  }
  const [requests, underWay] = await Promise.all([
    listMyRequests(supabase, me.id),
    readUnderWay(),
    readFavourites(),
  ]);
  past = requests.filter((request) => request.status in CLOSED);
  const unknown = requests.map(wanted).filter((id) => !profiles.has(id));
  const [payments] = await Promise.all([
    readPayments(past.map((request) => request.id)),
    readProfiles([...new Set(unknown.filter(Boolean))]),
  ]);
  past = past.map((request) => ({ ...request, payment: payments[request.id] }));
  const live = requests.filter((request) => request.status in STATUS);
  drawList(find("#payments"), "request", underWay, (checkout) => checkout.id, drawUnderWay);
  drawList(find("#requests"), "request", live, (request) => request.id, drawRequest);
  find("#live").hidden = live.length + underWay.length === 0;
  drawAll();
  showConnected();
  await followLink();
}

// From a session's page: book that mechanic, or that plan, again.
async function followLink() {
  const asked = new URLSearchParams(location.search);
  if (!asked.has("plan")) return;
  history.replaceState(null, "", location.pathname);
  const [mechanicId, planCode] = [asked.get("book"), asked.get("plan")];
  if (mechanicId && !profiles.has(mechanicId)) await readProfiles([mechanicId]);
  const profile = profiles.get(mechanicId);
  if (!profile || blockedName(mechanicId)) return goToLauncher(planCode);
  const name = nameOf({ mechanic_id: mechanicId, ...profile });
  const options = { planCode, isOneTap: true };
  // Not waited for: the customer may take their time over the dialog.
  bookAgain(find("#find"), mechanicId, name, options).catch(tellError);
}

find("#who").textContent = me.user_metadata?.full_name ?? me.user_metadata?.name ?? me.email ?? "";
find("#sign-out").onclick = () => run(find("#sign-out"), "Signing out…", signOut);
if (new URLSearchParams(location.search).has("cancelled")) {
  tell("Nothing was paid. Choose again when you are ready.");
  history.replaceState(null, "", location.pathname);
}
keepRinging().catch(console.debug);

await keepUp(
  followAs(supabase, device, (userId) => [`customer:${userId}`], {
    handle: draw,
    onError: showReadError,
  }),
).catch(tellError);
