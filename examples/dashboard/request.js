// A customer's request while it lives: who is told, how long they have, and who accepted.
import {
  askEveryoneNow, cancelRequest, followAs, readCheckout, readTimeline, timeLeft, windowEndsAt,
} from "./favorites_priority.js";
import {
  drawList, fill, find, keepUp, me, part, run, showConnected, showReadError, supabase,
  tellError,
} from "./page.js";

const address = new URLSearchParams(location.search);
let requestId = address.get("id");
let catchUp;
let asking;

// --- Reading ---

// After a payment Stripe sends the customer here, and the webhook makes the request: whichever
// comes first. Returns what can be said while there is none.
async function findPaid(checkoutId) {
  const { request, status } = await readCheckout(supabase, checkoutId);
  // That payment is made, or failed for good: the next one is another.
  if (status) sessionStorage.removeItem("attempt");
  if (request) {
    requestId = request.id;
    sessionStorage.removeItem("favourite");
    history.replaceState(null, "", `request.html?id=${requestId}`);
  }
  return status;
}

async function readRequest() {
  const { data } = await supabase
    .from("session_requests")
    .select(
      "id, status, mechanic_id, notification_sent_at, preferred_mechanic_id, " +
        "priority_notified_at, priority_window_minutes",
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
  return Object.fromEntries(data.map(({ id, display_name }) => [id, display_name]));
}

// --- Drawing ---

const CONFIRMING = {
  null: ["Confirming your payment…", "This takes a few seconds. You need not pay again."],
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
};
const SKIPPED = {
  offline: (favourite) => `${favourite} is offline.`,
  own_request: () => "That would have been yourself.",
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

function headline(request, endsAt, favourite, winner) {
  if (endsAt) {
    return [`Waiting for ${favourite}`, "Nobody else sees your request while they decide."];
  }
  if (isStranded(request)) {
    return ["Your mechanic is not here any more", "Cancel it, and your payment is returned."];
  }
  return {
    pending: ["Asking every mechanic", "The first to accept takes your session."],
    accepted: [`${winner} accepted`, "They will be with you in a moment."],
    completed: ["Session complete", "Thank you for being here."],
    cancelled: ["Request closed", "No mechanic is being asked any more."],
    expired: ["Request expired", "Nobody could take it in time. Please try again."],
  }[request.status];
}

function drawStep(step, { what, why, at }) {
  const when = new Date(at);
  const time = when.toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
  fill(step, { what, why, when: time });
  part(step, "why").hidden = !why;
  part(step, "when").dateTime = when.toISOString();
}

// The favourite's window as it was last read.
let clock = null;

function drawClock() {
  find("#clock").hidden = !clock;
  if (!clock) return;
  const left = clock.endsAt - Date.now();
  find("#clock").style.setProperty("--left", Math.max(0, left / clock.length));
  fill(find("#clock"), { time: timeLeft(clock.endsAt), label: `left for ${clock.favourite}` });
}
setInterval(drawClock, 1000);

function show(title, about) {
  fill(find("#session"), { title, about });
  document.title = title;
  find("#session").removeAttribute("aria-busy");
}

async function draw() {
  const checkoutId = address.get("checkout");
  const status = requestId || !checkoutId ? null : await findPaid(checkoutId);
  if (!requestId && checkoutId) {
    showConnected();
    // Nobody tells of a request that is not there yet.
    clearTimeout(asking);
    if (!status) asking = setTimeout(() => catchUp?.(), 2000);
    find("#again").hidden = !status;
    return show(...CONFIRMING[status]);
  }
  const request = requestId && (await readRequest());
  if (!request) {
    find("#again").hidden = false;
    return show("We cannot find this session", "It may belong to another account.");
  }
  const [timeline, names] = await Promise.all([
    readTimeline(supabase, requestId),
    readNames([request.preferred_mechanic_id, request.mechanic_id]),
  ]);
  const favourite = names[request.preferred_mechanic_id] ?? "Your favourite";
  const winner = names[request.mechanic_id] ?? "A mechanic";
  const endsAt = windowEndsAt(request);
  const steps = timeline.flatMap((event) => {
    const [what, why] = describe(event, favourite, winner) ?? [];
    return what ? [{ id: event.event_id, what, why, at: event.created_at }] : [];
  });

  show(...headline(request, endsAt, favourite, winner));
  clock = endsAt && { endsAt, favourite, length: request.priority_window_minutes * 60_000 };
  drawClock();
  drawList(find("#steps"), "step", steps, (step) => step.id, drawStep);
  find("#session").dataset.status = request.status;
  find("#everyone").hidden = !endsAt;
  find("#cancel").hidden = request.status !== "pending" && !isStranded(request);
  find("#again").hidden = !["cancelled", "expired", "completed"].includes(request.status);
  showConnected();
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

catchUp = await keepUp(
  followAs(supabase, localStorage, (userId) => [`customer:${userId}`], {
    handle: draw,
    onError: showReadError,
  }),
).catch(tellError);
