// Those who use the stack in these tests: each with supabase-js, signed in as an app has it.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createClient } from "@supabase/supabase-js";
import Stripe from "stripe";
import ws from "ws";

const env = process.env;
const stripe = new Stripe("sk_test_unused");

const sockets = new Set();
let offline = false;

// Node 20 has no WebSocket of its own, and Realtime is not behind the stack's front door.
export class Transport extends ws {
  constructor(address, ...rest) {
    const server = offline ? "ws://127.0.0.1:1" : env.REALTIME_URL;
    super(address.replace(/^.*?(?=\/realtime\/v1)/, server), ...rest);
    sockets.add(this);
    this.on("close", () => sockets.delete(this));
  }
}

export function goOffline() {
  offline = true;
  sockets.forEach((socket) => socket.terminate());
}

export function goOnline() {
  offline = false;
}

// As if the server had sent it.
export function receive(frame) {
  const data = Buffer.from(JSON.stringify(frame));
  sockets.forEach((socket) => socket.emit("message", data, false));
}

export function connect(key, options = {}) {
  const realtime = { transport: Transport, reconnectAfterMs: () => 20 };
  return createClient(env.SUPABASE_URL, key, { realtime, ...options });
}

// A browser keeps the session of whoever signed in there; Supabase Auth is not part of the stack.
export function sessionOf({ id, token }) {
  return {
    access_token: token,
    refresh_token: "unused",
    token_type: "bearer",
    expires_in: 3600,
    expires_at: Math.floor(Date.now() / 1000) + 3600,
    user: { id },
  };
}

// `kept.session` is what the browser has; null once they have signed out.
export function signedIn(person, options = {}) {
  const kept = { session: sessionOf(person) };
  const storage = {
    getItem: () => kept.session && JSON.stringify(kept.session),
    setItem: () => {},
    removeItem: () => {},
  };
  const auth = { storage, autoRefreshToken: false };
  return { ...person, kept, supabase: connect(env.SUPABASE_ANON_KEY, { auth, ...options }) };
}

export const { carla, frank, mona, pending, stranger } = Object.fromEntries(
  Object.entries(JSON.parse(env.PEOPLE)).map(([name, person]) => [name, signedIn(person)]),
);
export const anon = connect(env.SUPABASE_ANON_KEY);
export const service = connect(env.SUPABASE_SERVICE_ROLE_KEY);
// A token that is valid and names nobody.
export const nobody = connect(env.SUPABASE_ANON_KEY, { accessToken: async () => env.NOBODY });

export async function call(person, name, args) {
  const { data } = await person.supabase.rpc(name, args).throwOnError();
  return data;
}

export async function refused(answer, status, details) {
  const { data, error, status: answered } = await answer;
  assert.deepEqual([data, answered, error.code, error.details], [
    null,
    status,
    `PT${status}`,
    details,
  ]);
  assert.ok(error.message && error.hint);
}

export async function denied(answer, status = 403) {
  const { data, error, status: answered } = await answer;
  assert.deepEqual([data, answered, error.code], [null, status, "42501"]);
}

export function paidCheckout(metadata) {
  const session = {
    id: `cs_test_${randomUUID()}`,
    object: "checkout.session",
    payment_intent: `pi_${randomUUID()}`,
    payment_status: "paid",
    customer_details: { name: "Carla Customer", email: "carla@mail.example" },
    metadata,
  };
  return {
    id: `evt_${randomUUID()}`,
    object: "event",
    type: "checkout.session.completed",
    data: { object: session },
  };
}

// Posts an event as Stripe does, signed by its own library.
export async function deliver(event) {
  const payload = JSON.stringify(event);
  const header = stripe.webhooks.generateTestHeaderString({
    payload,
    secret: env.STRIPE_WEBHOOK_SECRET,
  });
  const response = await fetch(`${env.WEBHOOK_URL}/stripe/webhook`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Stripe-Signature": header },
    body: payload,
  });
  assert.equal(response.status, 200);
  return response.json();
}

export async function metadataFor(customer, favourite) {
  const wish = { routing_type: "priority_broadcast", preferred_mechanic_id: favourite?.id };
  const checkout = await call(customer, "prepare_checkout", {
    plan_code: "quick-chat",
    ...(favourite && wish),
  });
  return checkout.metadata;
}

// A booking paid at Stripe; the request's id.
export async function book(customer, favourite) {
  const answer = await deliver(paidCheckout(await metadataFor(customer, favourite)));
  assert.equal(answer.outcome, "request_created");
  return answer.request_id;
}

// Whether the request is in the mechanic's list, which must agree with the table.
export async function mayTake(mechanic, requestId) {
  const open = await call(mechanic, "list_open_session_requests");
  const listed = open.some((row) => row.request_id === requestId);
  const { data } = await mechanic.supabase
    .from("session_requests")
    .select("id")
    .eq("id", requestId)
    .throwOnError();
  assert.equal(data.length === 1, listed);
  return listed;
}
