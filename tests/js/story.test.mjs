// The story of a booking as supabase-js tells it to a customer and to mechanics.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  book, call, carla, deliver, frank, mayTake, metadataFor, mona, paidCheckout, refused, service,
} from "./people.mjs";

const steps = async (requestId) =>
  (await call(carla, "get_session_request_timeline", { request_id: requestId })).map(
    ({ event, reason, actor }) => `${event}${reason ? `:${reason}` : ""} by ${actor}`,
  );

const lastEvent = async (person, after = 0) => {
  const page = await call(person, "list_session_request_events", { after, max_rows: 1000 });
  return page.length ? lastEvent(person, page.at(-1).event_id) : after;
};

test("favourites and presence", async () => {
  const favourites = carla.supabase.from("customer_favorites");
  const pair = { customer_id: carla.id, mechanic_id: frank.id };
  assert.equal((await favourites.insert(pair)).status, 201);
  assert.equal((await favourites.insert(pair)).error.code, "23505");
  for (const status of ["online", "busy", "away", "offline", "online"]) {
    const present = await call(frank, "set_presence", { status });
    assert.equal(present.is_online, status === "online");
    const seen = await call(carla, "get_mechanic_status", { mechanic_id: frank.id });
    assert.deepEqual(seen, present);
  }
  const [favourite] = await call(carla, "list_favorite_mechanics");
  assert.deepEqual([favourite.mechanic_id, favourite.is_online], [frank.id, true]);
  assert.equal((await favourites.delete().eq("mechanic_id", frank.id)).status, 204);
  assert.deepEqual(await call(carla, "list_favorite_mechanics"), []);
});

test("the favourite accepts", async () => {
  const metadata = await metadataFor(carla, frank);
  assert.deepEqual(metadata, {
    customer_id: carla.id,
    plan_code: "quick-chat",
    session_type: "chat",
    routing_type: "priority_broadcast",
    preferred_mechanic_id: frank.id,
    priority_window_minutes: "10",
  });
  const start = await lastEvent(frank);
  const event = paidCheckout(metadata);
  const { request_id } = await deliver(event);
  assert.deepEqual(await deliver(event), { outcome: "duplicate", request_id });

  const open = await call(frank, "list_open_session_requests");
  const offered = open.find((row) => row.request_id === request_id);
  assert.ok(offered.is_priority && offered.window_ends_at > offered.created_at);
  assert.ok(await mayTake(frank, request_id));
  assert.ok(!(await mayTake(mona, request_id)));
  await refused(
    mona.supabase.rpc("accept_session_request", { request_id }), 404, "request_not_found",
  );

  const taken = await call(frank, "accept_session_request", { request_id });
  assert.deepEqual([taken.status, taken.mechanic_id], ["accepted", frank.id]);
  assert.equal(taken.customer_name, "Carla Customer");
  assert.deepEqual(await call(frank, "accept_session_request", { request_id }), taken);
  const done = await call(frank, "complete_session_request", { request_id });
  assert.equal(done.status, "completed");
  assert.deepEqual(await steps(request_id), [
    "priority_request by system",
    "request_accepted by mechanic",
    "request_completed by mechanic",
  ]);

  const events = await call(frank, "list_session_request_events", { after: start });
  const names = ["priority_request", "request_accepted", "request_completed"];
  assert.deepEqual(events.map((row) => row.event), names);
  assert.ok(events.every((row) => row.payload.event_id === row.event_id));
  const [, ...rest] = events;
  const page = { after: events[0].event_id, max_rows: 2 };
  assert.deepEqual(await call(frank, "list_session_request_events", page), rest);
});

test("the favourite declines, another accepts", async () => {
  const start = await lastEvent(mona);
  const request_id = await book(carla, frank);
  const declined = await call(frank, "decline_session_request", { request_id, reason: "holiday" });
  assert.ok(declined.declined_at);
  assert.deepEqual(await call(frank, "decline_session_request", { request_id }), declined);
  assert.ok(!(await mayTake(frank, request_id)));
  assert.ok(await mayTake(mona, request_id));
  await call(mona, "accept_session_request", { request_id });
  assert.deepEqual(await steps(request_id), [
    "priority_request by system",
    "request_declined by mechanic",
    "new_request:declined by mechanic",
    "request_accepted by mechanic",
  ]);
  const heard = await call(mona, "list_session_request_events", { after: start });
  assert.deepEqual(heard.map((row) => row.event), ["new_request", "request_accepted"]);
  assert.deepEqual(
    [heard[0].payload.is_fallback_broadcast, heard[0].payload.reason], [true, "declined"],
  );
});

test("the customer broadcasts, and cancels", async () => {
  const request_id = await book(carla, frank);
  const shown = await call(carla, "broadcast_session_request_now", { request_id });
  assert.ok(shown.notification_sent_at);
  assert.ok(await mayTake(mona, request_id));
  const cancelled = await call(carla, "cancel_session_request", { request_id });
  assert.equal(cancelled.status, "cancelled");
  assert.ok(!(await mayTake(mona, request_id)));
  assert.deepEqual((await steps(request_id)).slice(1), [
    "new_request:customer by customer",
    "request_cancelled:cancelled by customer",
  ]);
});

test("a free session", async () => {
  const booked = await call(carla, "request_free_session", {
    plan_code: "free-diagnostic",
    preferred_mechanic_id: frank.id,
    routing_type: "priority_broadcast",
  });
  assert.equal(booked.priority_window_minutes, 10);
  assert.ok(await mayTake(frank, booked.id));
  assert.ok(!(await mayTake(mona, booked.id)));
});

test("service_role passes on a Stripe event", async () => {
  const event = paidCheckout(await metadataFor(carla));
  const { data: made } = await service.rpc("process_stripe_event", { event }).throwOnError();
  assert.deepEqual([made.outcome, made.created], ["request_created", true]);
  assert.ok(await mayTake(mona, made.request_id));
  const { data: again } = await service.rpc("process_stripe_event", { event }).throwOnError();
  assert.deepEqual(again, { ...made, outcome: "duplicate", created: false });
  const { status, error } = await carla.supabase.rpc("process_stripe_event", { event });
  assert.deepEqual([status, error.code], [403, "42501"]);
});
