// A mechanic's page: be seen online, and take or decline what is offered.
import {
  WORDS, acceptRequest, blockCustomer, completeRequest, declineRequest, followAs, keepPresence,
  listOpenRequests, mechanicTopics, releaseRequest, timeLeft, unblockCustomer,
} from "./favorites_priority.js";
import {
  LANGUAGE, ago, confirm, drawJoin, drawList, fill, find, isCurrent, keepUp, me, money, nameIn, part,
  run, showConnected, showReadError, signOut, supabase, tell, tellError,
} from "./page.js";
import { drawTitle, forget, ring } from "./ring.js";
import { serverNow } from "./server_clock.js";
import { sendOnLeaving } from "./session.js";
import { device } from "./storage.js";

const LEFT = {
  request_accepted: "Another mechanic has taken a request.",
  request_cancelled: "A request has been withdrawn.",
};

const AWAY = "You are away: two customers waited in vain. Switch to online when you are back.";

const titles = new Map();
const jobs = new Map(); // what was accepted, with the customer's name
const mine = new Set(); // what this mechanic answered: no news when it leaves the list
let mechanic;
let shown; // the ids that were last seen open; none before the first reading
let catchUp;

find("#sign-out").onclick = () => run(find("#sign-out"), "Signing out…", signOut);

// --- Presence ---

let presence;

function beginPresence(isOnline) {
  presence = keepPresence(supabase, {
    userId: me.id,
    status: isOnline ? "online" : "offline",
    onStatus: (status) => drawPresence(status === "online"),
    onError: showReadError,
  });
  drawPresence(isOnline);
  find("#online").disabled = false;
}

function drawPresence(isOnline) {
  find("#online").checked = isOnline;
  find("#go-online").hidden = find("#unseen").hidden = isOnline;
}

function setOnline(isOnline) {
  presence.setStatus(isOnline ? "online" : "offline");
  drawPresence(isOnline);
}

find("#online").onchange = ({ target }) => setOnline(target.checked);
find("#go-online").onclick = () => {
  setOnline(true);
  find("#online").focus(); // the button is gone
};

// --- Open requests ---

const titleOf = ({ plan_code, plan_title }) => plan_title ?? titles.get(plan_code) ?? "Session";

// Reasons of the match that are not among these say more: "Available now" is known to whoever reads.
function factsOf(request) {
  return [
    request.is_urgent && "Urgent",
    request.is_returning_customer && "Was your customer before",
    request.requested_brand,
    request.customer_city,
  ].filter(Boolean);
}

const priceOf = ({ price_cents, currency }) =>
  price_cents === null || !(price_cents === 0 || currency) ? "" : money(price_cents, currency);

function drawOpen(card, request) {
  const { request_id, is_priority, window_ends_at, created_at } = request;
  const title = titleOf(request);
  fill(card, { plan: title, price: priceOf(request), about: `Asked ${ago(created_at)}` });
  drawList(part(card, "facts"), "fact", factsOf(request), String, (fact, text) => {
    fact.textContent = text;
    fact.classList.toggle("urgent", text === "Urgent");
  });
  part(card, "first").hidden = !is_priority;
  card.classList.toggle("mine", is_priority);
  if (is_priority) part(card, "left").dataset.endsAt = window_ends_at;
  const [accept, decline] = [part(card, "accept"), part(card, "decline")];
  accept.setAttribute("aria-label", `Accept: ${title}`);
  decline.setAttribute("aria-label", `Decline: ${title}`);
  accept.onclick = () => answer(accept, "Accepting…", request_id, async () => {
    jobs.set(request_id, await acceptRequest(supabase, request_id));
    tell("It is yours.");
  });
  decline.onclick = async () => {
    const reason = await askWhy("#declining");
    if (reason === null) return;
    answer(decline, "Declining…", request_id, () =>
      declineRequest(supabase, request_id, reason || undefined),
    );
  };
}

const clock = new Intl.DateTimeFormat(LANGUAGE, { timeStyle: "short" });

// A countdown is for what was read just now; else the time that it ends at still holds.
function drawTimes() {
  for (const time of document.querySelectorAll("[data-ends-at]")) {
    const { endsAt } = time.dataset;
    const left = isCurrent()
      ? `for ${timeLeft(endsAt, serverNow())}`
      : `until ${clock.format(new Date(endsAt))}`;
    fill(time.parentElement, { left });
  }
  for (const [id, at] of ending) {
    const card = find(`#accepted > [data-key="${id}"]`);
    if (card) drawEnding(card, id);
    if (at <= Date.now()) complete(id);
  }
}
setInterval(drawTimes, 1000);

async function answer(button, busy, requestId, action) {
  mine.add(requestId);
  await run(button, busy, action);
  await catchUp?.();
  find("#open-title").focus();
}

// The reason, or null when the mechanic thinks better of it.
async function askWhy(selector) {
  if (!(await confirm(selector))) return null;
  const { value } = find(`${selector} [name=reason]:checked`);
  return value || find(`${selector} input:not([type])`).value;
}

for (const other of document.querySelectorAll("dialog input:not([type])")) {
  other.onfocus = () => {
    other.closest("fieldset").querySelector("[name=reason][value='']").checked = true;
  };
}

// Whoever looks at a request that leaves the list is told why, as far as the events say it.
function tellWhatLeft(openIds, events) {
  for (const id of shown ?? []) {
    if (mine.has(id) || openIds.has(id)) continue;
    const last = events.findLast((event) => event.request_id === id);
    // Answered by this mechanic elsewhere: in another tab, or on a notification.
    if (jobs.has(id) || last?.event === "request_declined") continue;
    tell(LEFT[last?.event] ?? "A request is no longer open: taken or withdrawn.");
  }
}

// What is in the list for the first time, notice or none: nobody need hear of it to be told.
function ringFor(open) {
  const isNew = ({ request_id }) => shown && !shown.has(request_id);
  ring(
    open.filter(isNew).map((request) => ({
      id: request.request_id,
      event: request.is_priority ? "priority_request" : "new_request",
      title: `${request.is_priority ? "You first" : "New request"}: ${titleOf(request)}`,
      about: [priceOf(request), ...factsOf(request)].filter(Boolean).join(" · "),
    })),
  );
}

// --- Accepted sessions ---

// Sessions said to be complete, and until when that can be taken back: nobody has been told yet.
const ending = new Map();
const SECONDS_TO_UNDO = 8;

function drawEnding(card, id) {
  const isEnding = ending.has(id);
  const left = isEnding ? Math.max(0, Math.ceil((ending.get(id) - Date.now()) / 1000)) : 0;
  fill(card, { ending: isEnding ? `Complete in ${left} s` : "" });
  const button = part(card, "complete");
  if (button.getAttribute("aria-busy") === "true") return;
  fill(card, { complete: isEnding ? "Undo" : "Session complete" });
  button.onclick = () => {
    if (ending.has(id)) ending.delete(id);
    else ending.set(id, Date.now() + SECONDS_TO_UNDO * 1000);
    drawEnding(card, id);
  };
}

function complete(id) {
  ending.delete(id);
  const card = find(`#accepted > [data-key="${id}"]`);
  const button = card ? part(card, "complete") : document.createElement("button");
  answer(button, "Completing…", id, () => completeRequest(supabase, id));
}

// Whoever leaves meant it. If that does not arrive either, the session is still in the list when
// they come back, and the customer has been told nothing that is not so.
addEventListener("pagehide", () => {
  for (const id of ending.keys()) sendOnLeaving("complete_session_request", { request_id: id });
  ending.clear();
});

function drawJob(card, job) {
  const { id, customer_name, customer_email, notes } = job;
  fill(card, {
    customer: nameIn(customer_name) || "Your customer",
    plan: titleOf(job),
    notes: notes ?? "",
    email: customer_email ?? "",
  });
  part(card, "email").href = `mailto:${customer_email ?? ""}`;
  part(card, "email").hidden = !customer_email;
  drawJoin(part(card, "join"), id);
  drawEnding(card, id);
  const release = part(card, "release");
  const whom = nameIn(customer_name) || "your customer";
  release.setAttribute("aria-label", `I can't make it: ${whom}`);
  release.onclick = async () => {
    const reason = await askWhy("#releasing");
    if (reason !== null) answer(release, "Giving it back…", id, () => giveBack(id, reason));
  };
  drawBlock(card, id, whom);
}

async function giveBack(id, reason) {
  await releaseRequest(supabase, id, reason || undefined);
  jobs.delete(id);
  ending.delete(id);
  tell("It is not yours any more. Your customer is told that you cannot come.");
}

// Which customers this mechanic does not want to hear of, by the sessions that are still in the list:
// the database tells nobody.
const BLOCKED = `blocked-customers:${me.id}`;
const readBlocked = () => JSON.parse(device.getItem(BLOCKED) ?? "[]");

function drawBlock(card, id, whom) {
  const isBlocked = readBlocked().includes(id);
  const button = part(card, "block");
  fill(card, { blocked: isBlocked ? "You will not hear of each other again. They are not told." : "" });
  if (button.getAttribute("aria-busy") === "true") return;
  fill(card, { block: isBlocked ? "Undo" : "Block this customer" });
  button.setAttribute(
    "aria-label", isBlocked ? `Undo: hear of ${whom} again` : `Block this customer: ${whom}`,
  );
  button.onclick = async () => {
    if (!isBlocked && !(await confirm("#blocking"))) return;
    await run(button, "Noting…", async () => {
      await (isBlocked ? unblockCustomer : blockCustomer)(supabase, id);
      const others = readBlocked().filter((each) => each !== id).slice(-20);
      device.setItem(BLOCKED, JSON.stringify(isBlocked ? others : [...others, id]));
    });
    drawBlock(card, id, whom);
  };
}

async function readJobs() {
  const { data } = await supabase
    .from("session_requests")
    .select("id")
    .eq("mechanic_id", me.id)
    .eq("status", "accepted")
    .order("accepted_at")
    .throwOnError();
  // To accept again is the same answer, with the customer's name, which the table does not show.
  for (const { id } of data) {
    if (!jobs.has(id)) jobs.set(id, await acceptRequest(supabase, id));
  }
  return data.map(({ id }) => jobs.get(id));
}

// --- Reading ---

async function readMechanic() {
  const { data } = await supabase
    .from("mechanics")
    .select("display_name, status, is_online")
    .eq("id", me.id)
    .maybeSingle()
    .throwOnError();
  const isApproved = data?.status === "approved";
  find("#hello").textContent = isApproved
    ? `Hello ${nameIn(data.display_name) ?? ""}`
    : WORDS.not_a_mechanic;
  document
    .querySelectorAll("main section, .switches")
    .forEach((node) => (node.hidden = !isApproved));
  if (!isApproved) return null;
  beginPresence(data.is_online);
  return data;
}

async function draw(events) {
  mechanic ??= await readMechanic();
  if (!mechanic) return showConnected();
  if (titles.size === 0) {
    const { data } = await supabase.from("service_plans").select("code, title").throwOnError();
    data.forEach(({ code, title }) => titles.set(code, title));
  }
  const open = await listOpenRequests(supabase);
  const accepted = await readJobs();
  const openIds = new Set(open.map((request) => request.request_id));
  tellWhatLeft(openIds, events);
  if (events.some(({ event }) => event === "mechanic_away") && find("#online").checked) {
    tell(AWAY, "error"); // it stays until it is read; the switch is off with the next heartbeat
  }
  if (events.some(({ event, request_id }) => event === "request_refunded" && jobs.has(request_id))) {
    tell("The payment for your session was refunded. Talk to your customer.");
  }
  for (const { event, request_id, payload } of events) {
    if (event === "request_released" && payload.reason === "no_show" && jobs.delete(request_id)) {
      tell("Your customer says that you did not come. The session is not yours any more.");
    }
  }
  forget(openIds);
  ringFor(open);
  shown = openIds;
  drawList(find("#open"), "request", open, (request) => request.request_id, drawOpen);
  find("#none").hidden = open.length > 0;
  drawList(find("#accepted"), "job", accepted, (job) => job.id, drawJob);
  find("#jobs").hidden = accepted.length === 0;
  drawTitle(open.length);
  showConnected();
  drawTimes();
}

catchUp = await keepUp(
  followAs(supabase, device, mechanicTopics, {
    userId: me.id,
    handle: draw,
    onError: showReadError,
  }),
).catch(tellError);
