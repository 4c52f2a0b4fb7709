// A customer's request while it lives: who is told, how long they have, and who accepted.
import * as config from "./config.js";
import {
  addFavourite, askEveryoneNow, cancelRequest, followAs, readCheckout, readTimeline, timeLeft,
  windowEndsAt,
} from "./favorites_priority.js";
import {
  amountOf, describePayment, forgetBooking, forgetCheckout, isLate, readPayments, rememberCheckout,
  wasBooked, whatBecameOf,
} from "./bookings.js";
import {
  LANGUAGE, ago, drawJoin, drawList, fill, find, initials, isCurrent, keepUp, me, part, run,
  showConnected, showReadError, signOut, supabase, tell, tellError,
} from "./page.js";
import { tellWorker } from "./phone.js";
import { offerPhone } from "./phone_button.js";
import { serverNow } from "./server_clock.js";

const address = new URLSearchParams(location.search);
// A link that was cut off leads to no session; the database would call it a syntax error.
let requestId = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.exec(address.get("id"))?.[0] ?? null;
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
    .in("id", ids.filter(Boolean))
    .throwOnError();
  return Object.fromEntries(data.map(({ id, display_name }) => [id, display_name?.trim()]));
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
  error: [
    "Your payment is here",
    "Your session could not be booked yet. We have been told and see to it. You need not pay again.",
  ],
};

const ASKED_EVERYONE = {
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
};
const GIVEN_BACK = {
  released: "Your mechanic cannot come.",
  no_show: "Your mechanic did not come.",
};
const CLOSED = {
  cancelled: "It was cancelled.",
  refunded: "Your payment was refunded.",
  expired: "Nobody could take it in time.",
};

// An event as [what happened, why]; null for what is nothing to the customer.
function describe({ event, reason }, favourite, winner) {
  switch (event) {
    case "priority_request":
      return [`Told first: ${favourite}`, ""];
    case "priority_skipped":
      return ["Your favourite cannot be asked", SKIPPED[reason]?.(favourite) ?? ""];
    case "new_request":
      return ["We asked everyone", ASKED_EVERYONE[reason]?.(favourite) ?? ""];
    case "request_accepted":
      return [`${winner} accepted`, ""];
    case "request_released":
      return ["Finding another mechanic", GIVEN_BACK[reason] ?? ""];
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

// Accepted by one whose account is gone since.
const isStranded = ({ status, mechanic_id }) => status === "accepted" && !mechanic_id;

// What can be said, and the sign that stands above it.
function headline(request, endsAt, favourite, winner) {
  if (endsAt > serverNow()) {
    return ["", `Waiting for ${favourite}`, "Nobody else sees your request while they decide."];
  }
  if (endsAt) {
    return ["asking", "Asking every mechanic", `${favourite} did not answer in time.`];
  }
  if (isStranded(request)) {
    return ["over", "Your mechanic is not here any more", "Cancel it, and your payment is returned."];
  }
  return {
    pending: ["asking", "Asking every mechanic", "The first to accept takes your session."],
    accepted: ["", `${winner} accepted`, "They will be with you in a moment."],
    completed: ["done", "Session complete", "Thank you for being here."],
    cancelled: ["over", "Request closed", "No mechanic is being asked any more."],
    expired: ["over", "Request expired", "Nobody could take it in time."],
  }[request.status];
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

// The favourite's window, and since when it is accepted, as they were last read.
let clock = null;
let acceptedAt = null;

function drawClock() {
  find("#since").hidden = !acceptedAt;
  if (acceptedAt) {
    find("#since").textContent = `Accepted at ${time.format(new Date(acceptedAt))}, ${ago(acceptedAt)}`;
  }
  find("#clock").hidden = !clock || !isCurrent();
  if (!clock) return;
  const left = clock.endsAt - serverNow();
  find("#clock").style.setProperty("--left", Math.max(0, left / clock.length));
  fill(find("#clock"), {
    time: timeLeft(clock.endsAt, serverNow()),
    label: `left for ${clock.favourite}`,
  });
  if (left <= 0) {
    // Everyone may take it from now on, be it announced or not, and be it read or not.
    drawRequest();
    catchUp?.();
  }
}
setInterval(drawClock, 1000);

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
  if (status === "payment_failed") forgetCheckout(checkoutId);
  const [title, about] = CONFIRMING[isTooLate ? "late" : status];
  const isStuck = isTooLate || status === "error";
  show("paying", title, about, isStuck ? `Your payment's number: ${checkoutId}` : "");
  find("#help").hidden = !config.HELP_URL || !isStuck;
}

async function draw() {
  const checkoutId = address.get("checkout");
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
  const [timeline, names, payments, plan, isKept] = await Promise.all([
    readTimeline(supabase, requestId),
    readNames([preferred_mechanic_id, mechanic_id]),
    readPayments([requestId]),
    readPlan(plan_code),
    mechanic_id ? isFavourite(mechanic_id) : false,
  ]);
  known = { request, timeline, names, payment: payments[requestId], plan, isKept };
  drawRequest();
  showConnected();
}

// What was last read, as it is at this moment.
function drawRequest() {
  const { request, timeline, names, payment, plan } = known;
  const { status, mechanic_id } = request;
  const favourite = names[request.preferred_mechanic_id] || "Your favourite";
  const winner = names[mechanic_id] || "A mechanic";
  const endsAt = windowEndsAt(request);
  const isWindow = endsAt > serverNow();
  const steps = timeline.flatMap((event) => {
    const [what, why] = describe(event, favourite, winner) ?? [];
    return what ? [{ id: event.event_id, what, why, at: event.created_at }] : [];
  });

  acceptedAt = status === "accepted" && mechanic_id ? request.accepted_at : null;
  clock = isWindow ? { endsAt, favourite, length: request.priority_window_minutes * 60_000 } : null;
  const [sign, title, about] = headline(request, endsAt, favourite, winner);
  show(sign, title, about, whatOfTheMoney(request, payment, plan));
  drawClock();
  find("#face").hidden = !acceptedAt;
  find("#face").textContent = initials(names[mechanic_id]);
  drawSummary(plan, payment);
  drawList(find("#steps"), "step", steps, (step) => step.id, drawStep);
  find("#session").dataset.status = status;
  drawButtons(isWindow, winner);
  find("#telling").hidden = status !== "pending";
  if (document.hasFocus()) tellWorker({ seen: request.id });
  fill(find("#sure"), { money: wouldReturn(payment) });
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
  const whom = mechanic_id ?? preferred_mechanic_id;
  const again = new URLSearchParams({ plan: plan_code ?? "" });
  if (whom && names[whom]) again.set("book", whom);
  find("#rebook").hidden = !isOver;
  find("#rebook").href = `index.html?${again}`;
  find("#rebook").textContent = again.has("book") ? `Book ${names[whom]} again` : "Book again";
  find("#keep").hidden = isKept || !names[mechanic_id] || status === "cancelled";
  if (find("#keep").getAttribute("aria-busy") !== "true") {
    find("#keep").textContent = `Keep ${winner} as a favourite`;
  }
  find("#keep").onclick = () => change(find("#keep"), "Keeping…", async () => {
    await addFavourite(supabase, me.id, mechanic_id);
    tell(`${winner} is among your favourites now.`);
  });
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

find("#everyone").onclick = () => change(find("#everyone"), "Asking…", askEveryoneNow);
find("#cancel").onclick = () => {
  find("#sure").returnValue = "";
  find("#sure").showModal();
};
find("#sure").onclose = () => {
  if (find("#sure").returnValue) change(find("#cancel"), "Cancelling…", cancelRequest);
};
find("#sign-out").onclick = () => run(find("#sign-out"), "Signing out…", signOut);
find("#help").href = config.HELP_URL ?? "";

offerPhone({
  offer: "Tell me when somebody takes it",
  on: "You are told on this device, with this page closed too.",
  stop: "Stop telling me",
}).catch(tellError);

catchUp = await keepUp(
  followAs(supabase, localStorage, (userId) => [`customer:${userId}`], {
    handle: draw,
    onError: showReadError,
  }),
).catch(tellError);
