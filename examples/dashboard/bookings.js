// What the customer's two pages share: attempts, Checkouts under way, and what becomes of the money.
import { call } from "./favorites_priority.js";
import { me, money, supabase } from "./page.js";
import { device, tab } from "./storage.js";

// --- Attempts, one for each plan, kept in this tab while the customer is away at Stripe ---

const readAttempts = () => JSON.parse(tab.getItem("attempts") ?? "{}");
const keepAttempts = (attempts) => tab.setItem("attempts", JSON.stringify(attempts));

// The same one until it is known what became of it: asked twice, it is booked once.
export function attemptAt(planCode) {
  const attempts = readAttempts();
  attempts[planCode] ??= crypto.randomUUID();
  keepAttempts(attempts);
  return attempts[planCode];
}

export function forgetAttempt(planCode) {
  const { [planCode]: _, ...others } = readAttempts();
  keepAttempts(others);
}

// What was wished for, until its own page is there; another session's page leaves it alone.
export const keepBooked = (requestId) => tab.setItem("booked", requestId);
export const wasBooked = (requestId) => tab.getItem("booked") === requestId;

export function forgetBooking() {
  ["attempts", "wish", "notes", "booked"].forEach((key) => tab.removeItem(key));
}

// What somebody else wrote and wished for in this tab is not shown to whoever signs in after them.
if (tab.getItem("booker") !== me.id) forgetBooking();
tab.setItem("booker", me.id);

// --- Checkouts that this device opened, until their request is there ---

const DAY = 86_400_000;
const PATIENCE = 30_000;
const KEY = `checkouts:${me.id}`;

export const listCheckouts = () => JSON.parse(device.getItem(KEY) ?? "[]");
const keepCheckouts = (checkouts) => device.setItem(KEY, JSON.stringify(checkouts.slice(0, 5)));

// Newest first; what is known of it stays as it was first told.
export function rememberCheckout(id, facts) {
  const { [id]: before, ...others } = Object.fromEntries(
    listCheckouts().map((checkout) => [checkout.id, checkout]),
  );
  const checkout = { openedAt: Date.now(), ...facts, ...before, id };
  keepCheckouts([checkout, ...Object.values(others)]);
  return checkout;
}

export const forgetCheckout = (id) =>
  keepCheckouts(listCheckouts().filter((checkout) => checkout.id !== id));

// There will be no request.
export const hasEnded = (status) => status === "payment_failed" || status === "removed";

// Stripe closes a Checkout after a day, and a bank may take weeks for one that was paid.
export const isForgotten = ({ openedAt, returnedAt }, status) =>
  hasEnded(status) || Date.now() - openedAt > (status || returnedAt ? 60 : 2) * DAY;

// Nothing was heard of it for so long that it must be said.
export const isLate = ({ returnedAt }, status) => !status && Date.now() - returnedAt > PATIENCE;

// --- Money ---

// By request; none for what was free, or was paid elsewhere.
export async function readPayments(requestIds) {
  if (requestIds.length === 0) return {};
  const asked = { request_ids: requestIds };
  const payments = await call(supabase, "list_session_request_payments", asked);
  return Object.fromEntries(payments.map((payment) => [payment.request_id, payment]));
}

export const amountOf = ({ amount_total, currency }) =>
  amount_total && currency ? money(amount_total, currency) : null;

const PAYMENT = { paid: "paid", refund_due: "refund on its way", refunded: "refunded" };

export const describePayment = (payment) =>
  [amountOf(payment), PAYMENT[payment.status]].filter(Boolean).join(" ");

// What a closed request says of the money.
export function whatBecameOf(payment) {
  const amount = amountOf(payment) ?? "payment";
  return {
    paid: "",
    refund_due: `Your ${amount} goes back the way you paid; banks take up to 10 days. You need not do anything.`,
    refunded: `Your ${amount} was refunded; banks take up to 10 days to show it.`,
  }[payment.status];
}
