// A customer's request while it lives: who is told, how long they have, and who accepted.
import * as config from "./config.js";
import {
  addFavourite, askEveryoneNow, cancelRequest, followAs, readCheckout, readTimeline, readTurns,
  reopenRequest, timeLeft,
} from "./favorites_priority.js";
import { askAgain, askToBlock, blockedName } from "./blocks.js";
import {
  amountOf, describePayment, forgetBooking, forgetCheckout, hasEnded, isLate, readPayments,
  rememberCheckout, wasBooked, whatBecameOf,
} from "./bookings.js";
import {
  LANGUAGE, ago, confirm, drawJoin, drawList, fill, find, initials, isCurrent, keepUp, me, nameIn, part,
  run, showConnected, showReadError, signOut, supabase, tell, tellError,
} from "./page.js";
import { tellWorker } from "./phone.js";
import { offerPhone } from "./phone_button.js";
import { serverNow } from "./server_clock.js";
import { device } from "./storage.js";

const address = new URLSearchParams(location.search);
// A link that was cut off leads to no session; the database would call it a syntax error.
let requestId = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.exec(address.get("id"))?.[0] ?? null;
// What is no Checkout's is not shown as one: whoever makes the link would write on this page.
const checkoutId = /^cs_\w{1,250}$/.exec(address.get("checkout"))?.[0] ?? null;
let known;
let catchUp;
let asking;

// --- Reading ---

// After a payment Stripe sends the customer here, and the webhook makes the request: whichever
// comes first. Returns what can be said while there is none.
async function findPaid(checkoutId) {
  const { request, status } = await readCheckout(supabase, checkoutId);
  // That payment is made, or failed for good: the next one is another.
  if (status) forgetBooking();
  if (request) {
    forgetCheckout(checkoutId);
    requestId = request.id;
    history.replaceState(null, "", `request.html?id=${requestId}`);
  }
  return status;
}

async function readRequest() {
  const { data } = await supabase
    .from("session_requests")
    .select(
      "id, status, plan_code, mechanic_id, accepted_at, notification_sent_at, " +
        "preferred_mechanic_id, priority_notified_at, priority_window_minutes",
    )
    .eq("id", requestId)
    .eq("customer_id", me.id)
    .maybeSingle()
    .throwOnError();
  return data;
}

// Their names by id; a mechanic who is no longer approved has none.
async function readNames(ids) {
  const { data } = await supabase
    .from("mechanics")
    .select("id, display_name")
    .in("id", [...new Set(ids.filter(Boolean))])
    .throwOnError();
  return Object.fromEntries(data.map(({ id, display_name }) => [id, nameIn(display_name)]));
}

const plans = new Map();

async function readPlan(code) {
  if (!plans.has(code)) {
    const { data } = await supabase
      .from("service_plans")
      .select("title, price_cents")
      .eq("code", code)
      .maybeSingle()
      .throwOnError();
    plans.set(code, data);
  }
  return plans.get(code);
}

async function isFavourite(mechanicId) {
  const { data } = await supabase
    .from("customer_favorites")
    .select("mechanic_id")
    .eq("mechanic_id", mechanicId)
    .throwOnError();
  return data.length > 0;
}

// --- Words ---

const CONFIRMING = {
  null: ["Confirming your payment…", "This takes a few seconds. You need not pay again."],
  late: [
    "Your payment is not here yet",
    "Do not pay again. If you have paid, your session appears here and among your sessions by " +
      "itself; you may close this page. If you went back without paying, nothing was booked.",
  ],
  waiting_for_payment: [
    "Waiting for your bank",
    "Your payment is under way, which may take some days. We ask the mechanics once it is here.",
  ],
  payment_failed: ["Your payment failed", "Nothing was booked. Please try again."],
  removed: [
    "Your session was taken off",
    "It was booked, and is no longer among your sessions. If your money is not back in some days, " +
      "write to us.",
  ],
  error: [
    "Your payment is here",
    "Your session could not be booked yet. We have been told and see to it. You need not pay again.",
  ],
};

// Why the turn of a favourite ended.
const MOVED_ON = {
  window_ended: (favourite) => `${favourite} did not answer in time.`,
  declined: (favourite) => `${favourite} cannot take it.`,
  customer: () => "As you wished.",
  flag_off: () => "Favourites are not asked first at the moment.",
  mechanic_gone: (favourite) => `${favourite} is not available any more.`,
  unreachable: (favourite) => `${favourite} cannot be reached at the moment.`,
  at_capacity: (favourite) => `${favourite} has taken another session.`,
};
const SKIPPED = {
  offline: (favourite) => `${favourite} is offline.`,
  unreachable: (favourite) => `${favourite} cannot be reached at the moment.`,
  at_capacity: (favourite) => `${favourite} has no time just now.`,
  own_request: () => "That would have been yourself.",
  unknown_mechanic: () => "They are not available any more.",
  not_approved: () => "They are not available any more.",
  too_many: () => "Up to three are asked in turn.",
};
const GIVEN_BACK = {
  released: (mechanic) => `${mechanic} cannot come.`,
  no_show: (mechanic) => `${mechanic} did not come.`,
};
const CLOSED = {
  cancelled: "It was cancelled.",
  refunded: "Your payment was refunded.",
  expired: "Nobody could take it in time.",
};

// An event as [what happened, why]; null for what is nothing to the customer. `whose` is the name of
// whom it is about, `before` of whose turn it was until then, if it was anybody's.
function describe({ event, reason }, whose, before) {
  const why = before ? MOVED_ON[reason]?.(before) ?? "" : "";
  switch (event) {
    case "priority_request":
      return [`${before ? "Then told" : "Told first"}: ${whose ?? "your favourite"}`, why];
    case "priority_skipped": {
      const name = whose ?? "Your favourite";
      return [`${name} cannot be asked`, SKIPPED[reason]?.(name) ?? ""];
    }
    case "new_request":
      return ["We asked everyone", why];
    case "request_accepted":
      return [`${whose ?? "A mechanic"} accepted`, ""];
    case "request_released":
      return ["Finding another mechanic", GIVEN_BACK[reason]?.(whose ?? "Your mechanic") ?? ""];
    case "request_completed":
      return ["Session complete", ""];
    case "request_refunded":
      return ["Your payment was refunded", ""];
    case "request_cancelled":
      return ["Request closed", CLOSED[reason] ?? ""];
    default:
      return null;
  }
}

// The timeline in words.
function describeSteps({ timeline, turns, names }) {
  const whose = Object.fromEntries(
    turns.map(({ event_id, mechanic_id }) => [event_id, nameOf(mechanic_id, names)]),
  );
  let before;
  return timeline.flatMap((event) => {
    const name = whose[event.event_id];
    const [what, why] = describe(event, name, before) ?? [];
    if (event.event === "priority_request") before = name ?? "Your favourite";
    if (event.event === "request_accepted") before = undefined;
    return what ? [{ id: event.event_id, what, why, at: event.created_at }] : [];
  });
}

const nameOf = (mechanicId, names) => blockedName(mechanicId) ?? names[mechanicId];

// Accepted by one whose account is gone since.
const isStranded = ({ status, mechanic_id }) => status === "accepted" && !mechanic_id;

// How often it was given back, or nobody came; and the last time, unless somebody accepted since.
function readReleases({ timeline, turns, names }) {
  const released = timeline.filter(({ event }) => event === "request_released");
  const last = timeline.findLast(({ event }) => /^request_(accepted|released)$/.test(event));
  const whose = turns.find(({ event_id }) => event_id === last?.event_id)?.mechanic_id;
  const name = nameOf(whose, names) || "Your mechanic";
  const why = last?.event === "request_released" ? GIVEN_BACK[last.reason]?.(name) : null;
  return { count: released.length, why };
}

// Whose turn it is by the clock, be it announced or not, and whose turns are to come.
function readClock({ request, turns, names }, now) {
  if (request.status !== "pending" || request.notification_sent_at) return {};
  const windows = turns.filter(({ ends_at }) => ends_at).map((turn) => ({
    name: nameOf(turn.mechanic_id, names) || "Your favourite",
    startsAt: Date.parse(turn.starts_at),
    endsAt: Date.parse(turn.ends_at),
  }));
  return {
    open: windows.findLast(({ startsAt, endsAt }) => startsAt <= now && now < endsAt),
    next: windows.filter(({ startsAt }) => startsAt > now),
    last: windows.at(-1),
    isChain: windows.length > 1,
  };
}

// What can be said, and the sign that stands above it.
function headline(request, { open, last }, releases, winner) {
  const { status } = request;
  if (open) {
    return ["", `Waiting for ${open.name}`, "Nobody else sees your request while they decide."];
  }
  if (last) return ["asking", "Asking every mechanic", `${last.name} did not answer in time.`];
  if (isStranded(request)) {
    return ["over", "Your mechanic is not here any more", "Cancel it, and your payment is returned."];
  }
  if (status === "pending" && releases.why) {
    const more = "Everyone else is asked, and nothing is charged again.";
    return ["asking", "Finding another mechanic", `${releases.why} ${more}`];
  }
  return {
    pending: ["asking", "Asking every mechanic", "The first to accept takes your session."],
    accepted: ["", `${winner} accepted`, "They will be with you in a moment."],
    completed: ["done", "Session complete", "Thank you for being here."],
    cancelled: [
      "over", "Request closed", [releases.why, "No mechanic is being asked any more."]
        .filter(Boolean).join(" "),
    ],
    expired: ["over", "Request expired", "Nobody could take it in time."],
  }[status];
}

function whatOfTheMoney({ status }, payment, plan) {
  if (payment?.status === "refunded") return whatBecameOf(payment);
  if (!["cancelled", "expired"].includes(status)) return "";
  if (payment) return whatBecameOf(payment);
  return plan?.price_cents === 0 ? "It was free: nothing was charged." : "";
}

// --- Drawing ---

const time = new Intl.DateTimeFormat(LANGUAGE, { timeStyle: "short" });

function drawStep(step, { what, why, at }) {
  const when = new Date(at);
  fill(step, { what, why, when: time.format(when) });
  part(step, "why").hidden = !why;
  part(step, "when").dateTime = when.toISOString();
}

// The turn that is under way, and since when it is accepted, as they were last read.
let clock = null;
let acceptedAt = null;

function drawClock() {
  find("#since").hidden = !acceptedAt;
  if (acceptedAt) {
    find("#since").textContent = `Accepted at ${time.format(new Date(acceptedAt))}, ${ago(acceptedAt)}`;
  }
  drawMissing();
  find("#clock").hidden = !clock || !isCurrent();
  if (!clock) return;
  const left = clock.endsAt - serverNow();
  find("#clock").style.setProperty("--left", Math.max(0, left / (clock.endsAt - clock.startsAt)));
  fill(find("#clock"), {
    time: timeLeft(clock.endsAt, serverNow()),
    label: `left for ${clock.name}`,
  });
  if (left <= 0) {
    // The next one may take it from now on, be it announced or not, and be it read or not.
    drawRequest();
    catchUp?.();
  }
}
setInterval(drawClock, 1000);

const MINUTES_TO_COME = 10;

// Before that the database would say no: so does the page, by the same clock.
function drawMissing() {
  const from = acceptedAt && Date.parse(acceptedAt) + MINUTES_TO_COME * 60_000;
  const isTime = Boolean(from) && serverNow() >= from;
  const missing = find("#missing");
  const hadFocus = document.activeElement === missing;
  missing.hidden = !isTime;
  find("#missing-from").hidden = !from || isTime;
  if (from && !isTime) {
    find("#missing-from").textContent =
      `If they do not come, you can say so here from ${time.format(new Date(from))}.`;
  }
  if (hadFocus && missing.hidden) part(find("#session"), "title").focus();
}

function show(sign, title, about, money = "") {
  find("#sign").hidden = !sign;
  find("#sign").dataset.is = sign;
  fill(find("#session"), { title, about, money });
  document.title = title;
  find("#session").classList.remove("waiting");
  find("#session").removeAttribute("aria-busy");
  document.querySelectorAll(".skeleton").forEach((node) => node.remove());
}

function drawConfirming(checkoutId, status) {
  const checkout = rememberCheckout(checkoutId, { returnedAt: Date.now() });
  const isTooLate = isLate(checkout, status);
  find("#again").hidden = !status && !isTooLate;
  if (hasEnded(status)) forgetCheckout(checkoutId);
  const [title, about] = CONFIRMING[isTooLate ? "late" : status];
  const isStuck = isTooLate || status === "error" || status === "removed";
  show("paying", title, about, isStuck ? `Your payment's number: ${checkoutId}` : "");
  find("#help").hidden = !config.HELP_URL || !isStuck;
}

async function draw() {
  if (!requestId && checkoutId) {
    // Nobody tells of a request that is not there yet.
    clearTimeout(asking);
    asking = setTimeout(() => catchUp?.(), 2000);
    const status = await findPaid(checkoutId);
    if (!requestId) {
      showConnected();
      return drawConfirming(checkoutId, status);
    }
    clearTimeout(asking);
  }
  const request = requestId && (await readRequest());
  if (!request) {
    find("#again").hidden = false;
    return show("over", "We cannot find this session", "It may belong to another account.");
  }
  if (wasBooked(requestId)) forgetBooking();
  const { mechanic_id, preferred_mechanic_id, plan_code } = request;
  const [timeline, [turns, names], payments, plan, isKept] = await Promise.all([
    readTimeline(supabase, requestId),
    readTurns(supabase, requestId).then(async (turns) => {
      const theirs = turns.map((turn) => turn.mechanic_id);
      return [turns, await readNames([preferred_mechanic_id, mechanic_id, ...theirs])];
    }),
    readPayments([requestId]),
    readPlan(plan_code),
    mechanic_id ? isFavourite(mechanic_id) : false,
  ]);
  known = { request, timeline, turns, names, payment: payments[requestId], plan, isKept };
  drawRequest();
  showConnected();
}

// What was last read, as it is at this moment.
function drawRequest() {
  const { request, names, payment, plan } = known;
  const { status, mechanic_id } = request;
  const winner = nameOf(mechanic_id, names) || "A mechanic";
  const turns = readClock(known, serverNow());
  const releases = readReleases(known);

  acceptedAt = status === "accepted" && mechanic_id ? request.accepted_at : null;
  clock = turns.open ?? null;
  const [sign, title, about] = headline(request, turns, releases, winner);
  show(sign, title, about, whatOfTheMoney(request, payment, plan));
  drawNext(turns);
  drawClock();
  find("#face").hidden = !acceptedAt;
  find("#face").textContent = initials(names[mechanic_id]);
  drawSummary(plan, payment);
  drawList(find("#steps"), "step", describeSteps(known), (step) => step.id, drawStep);
  find("#session").dataset.status = status;
  drawButtons(Boolean(clock), winner);
  find("#telling").hidden = status !== "pending";
  if (document.hasFocus()) tellWorker({ seen: request.id });
  fill(find("#sure"), { money: wouldReturn(payment) });
  fill(find("#missed"), {
    name: winner,
    then: releases.count === 0
      ? "We ask everyone else at once. You are not charged again."
      : `This was the second mechanic: your request is closed. ${wouldReturn(payment)}`.trim(),
  });
}

// Who comes after the one whose turn it is; of one favourite it was said before.
function drawNext({ open, next, isChain }) {
  find("#next").hidden = !open || !isChain;
  if (find("#next").hidden) return;
  const at = (moment) => time.format(new Date(moment));
  const then = next.map(({ name, startsAt }) => `${name} from ${at(startsAt)}`);
  const everyone = `everyone from ${at((next.at(-1) ?? open).endsAt)}`;
  find("#next").textContent = `Then ${[...then, everyone].join(", then ")}.`;
}

function drawSummary(plan, payment) {
  const price = payment ? describePayment(payment) : plan?.price_cents === 0 ? "Free" : "";
  fill(find("#summary"), { plan: plan?.title ?? "Session", price });
  find("#summary").hidden = false;
}

function wouldReturn(payment) {
  if (!payment || payment.status === "refunded" || payment.amount_total === 0) return "";
  return `Your ${amountOf(payment) ?? "payment"} goes back the way you paid.`;
}

function drawButtons(isWindow, winner) {
  const focused = document.activeElement;
  const { request, names, isKept } = known;
  const { status, mechanic_id, preferred_mechanic_id, plan_code } = request;
  const isOver = ["cancelled", "expired", "completed"].includes(status);
  drawJoin(find("#join"), status === "accepted" && !isStranded(request) ? requestId : null);
  const blocked = blockedName(mechanic_id);
  const whom = blocked ? null : mechanic_id ?? preferred_mechanic_id;
  const again = new URLSearchParams({ plan: plan_code ?? "" });
  if (whom && names[whom]) again.set("book", whom);
  find("#rebook").hidden = !isOver;
  find("#rebook").href = `index.html?${again}`;
  find("#rebook").textContent = again.has("book") ? `Book ${names[whom]} again` : "Book again";
  find("#keep").hidden = isKept || blocked || !names[mechanic_id] || status === "cancelled";
  if (find("#keep").getAttribute("aria-busy") !== "true") {
    find("#keep").textContent = `Keep ${winner} as a favourite`;
  }
  find("#keep").onclick = () => change(find("#keep"), "Keeping…", async () => {
    await addFavourite(supabase, me.id, mechanic_id);
    tell(`${winner} is among your favourites now.`);
  });
  const block = find("#block-them");
  block.hidden = !isOver || !(blocked || names[mechanic_id]);
  if (block.getAttribute("aria-busy") !== "true") {
    block.textContent = blocked ? `Undo: ${blocked} may be asked again` : `Do not ask ${winner} again`;
  }
  block.onclick = () => blocked
    ? change(block, "Undoing…", () => askAgain(mechanic_id))
    : stopAsking(block, mechanic_id, winner);
  find("#blocked").hidden = block.hidden || !blocked;
  find("#everyone").hidden = !isWindow;
  find("#cancel").hidden = status !== "pending" && !isStranded(request);
  find("#again").hidden = !isOver;
  // Pressed a moment ago, perhaps, and gone now, whoever ended it: the headline says what is.
  if (focused?.hidden) part(find("#session"), "title").focus();
}

// --- Change of mind ---

// What can no longer be done is seen on the page itself, once it has been read again.
async function change(button, busy, action) {
  await run(button, busy, () => action(supabase, requestId));
  await catchUp?.();
}

async function stopAsking(button, mechanicId, name) {
  if (await askToBlock(button, mechanicId, name)) await catchUp?.();
}

find("#missing").onclick = async () => {
  if (await confirm("#missed")) await change(find("#missing"), "Asking…", reopenRequest);
};
find("#everyone").onclick = () => change(find("#everyone"), "Asking…", askEveryoneNow);
find("#cancel").onclick = async () => {
  if (await confirm("#sure")) await change(find("#cancel"), "Cancelling…", cancelRequest);
};
find("#sign-out").onclick = () => run(find("#sign-out"), "Signing out…", signOut);
find("#help").href = config.HELP_URL ?? "";

offerPhone({
  offer: "Tell me when somebody takes it",
  on: "You are told on this device, with this page closed too.",
  stop: "Stop telling me",
}).catch(tellError);

catchUp = await keepUp(
  followAs(supabase, device, (userId) => [`customer:${userId}`], {
    handle: draw,
    onError: showReadError,
  }),
).catch(tellError);
