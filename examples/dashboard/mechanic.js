// A mechanic's page: be seen online, and take or decline what is offered.
import {
  WORDS, acceptRequest, completeRequest, declineRequest, followAs, keepPresence, listOpenRequests,
  timeLeft,
} from "./favorites_priority.js";
import {
  ago, drawList, fill, find, keepUp, me, part, run, showConnected, showReadError, supabase, tell,
  tellError,
} from "./page.js";

const LEFT = {
  request_accepted: "Another mechanic has taken a request.",
  request_cancelled: "A request has been withdrawn.",
};

const titles = new Map();
const jobs = new Map(); // what was accepted, with the customer's name
const mine = new Set(); // what this mechanic answered: no news when it leaves the list
let shown = new Set();
let catchUp;

// --- Presence ---

let presence;

function setOnline(isOnline) {
  find("#online").checked = isOnline;
  if (isOnline) presence ??= keepPresence(supabase, showReadError);
  else {
    presence?.stop();
    presence = undefined;
  }
}

find("#online").onchange = (event) => setOnline(event.target.checked);

// --- Open requests ---

function drawOpen(card, request) {
  const { request_id, plan_code, is_priority, window_ends_at, match_reasons, created_at } = request;
  const title = titles.get(plan_code) ?? "Session";
  fill(card, {
    plan: title,
    about: [`Asked ${ago(created_at)}`, ...match_reasons].join(" · "),
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
    const reason = await askWhy();
    if (reason === null) return;
    answer(decline, "Declining…", request_id, () =>
      declineRequest(supabase, request_id, reason || undefined),
    );
  };
}

function drawTimesLeft() {
  for (const time of document.querySelectorAll("[data-ends-at]")) {
    fill(time.parentElement, { left: timeLeft(time.dataset.endsAt) });
  }
}
setInterval(drawTimesLeft, 1000);

async function answer(button, busy, requestId, action) {
  mine.add(requestId);
  await run(button, busy, action);
  await catchUp?.();
  find("#open-title").focus();
}

// The reason, or null when the mechanic thinks better of it.
function askWhy() {
  const dialog = find("#declining");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      const { value } = dialog.querySelector("[name=reason]:checked");
      resolve(dialog.returnValue ? value || find("#other").value : null);
    };
  });
}

find("#other").onfocus = () => (find("[name=reason][value='']").checked = true);

// Whoever looks at a request that leaves the list is told why, as far as the events say it.
function tellWhatLeft(open, events) {
  for (const id of shown) {
    if (mine.has(id) || open.some((request) => request.request_id === id)) continue;
    const last = events.findLast((event) => event.request_id === id);
    tell(LEFT[last?.event] ?? "A request is no longer open: taken or withdrawn.");
  }
  shown = new Set(open.map((request) => request.request_id));
}

// --- Accepted sessions ---

function drawJob(card, { id, customer_name, customer_email, notes, plan_code }) {
  fill(card, {
    customer: customer_name ?? "Your customer",
    plan: titles.get(plan_code) ?? "Session",
    notes: notes ?? "",
    email: customer_email ?? "",
  });
  part(card, "email").href = `mailto:${customer_email ?? ""}`;
  part(card, "email").hidden = !customer_email;
  const complete = part(card, "complete");
  complete.onclick = () => answer(complete, "Completing…", id, () => completeRequest(supabase, id));
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

async function draw(events) {
  if (titles.size === 0) {
    const { data } = await supabase.from("service_plans").select("code, title").throwOnError();
    data.forEach(({ code, title }) => titles.set(code, title));
  }
  const open = await listOpenRequests(supabase);
  const accepted = await readJobs();
  tellWhatLeft(open, events);
  if (events.some(({ event, request_id }) => event === "request_refunded" && jobs.has(request_id))) {
    tell("The payment for your session was refunded. Talk to your customer.");
  }
  drawList(find("#open"), "request", open, (request) => request.request_id, drawOpen);
  drawTimesLeft();
  find("#none").hidden = open.length > 0;
  drawList(find("#accepted"), "job", accepted, (job) => job.id, drawJob);
  find("#jobs").hidden = accepted.length === 0;
  document.title = open.length ? `(${open.length}) Open requests` : "Open requests";
  showConnected();
}

async function start() {
  const { data: mechanic } = await supabase
    .from("mechanics")
    .select("display_name, status, is_online")
    .eq("id", me.id)
    .maybeSingle()
    .throwOnError();
  if (mechanic?.status !== "approved") {
    find("#hello").textContent = WORDS.not_a_mechanic;
    document.querySelectorAll("main section, .switch").forEach((node) => (node.hidden = true));
    return;
  }
  find("#hello").textContent = `Hello ${mechanic.display_name}`;
  setOnline(mechanic.is_online);
  const topicsOf = (userId) => [`mechanic:${userId}`, "session_requests_feed"];
  catchUp = await keepUp(
    followAs(supabase, localStorage, topicsOf, { handle: draw, onError: showReadError }),
  );
}

start().catch(tellError);
