// Each word of the errors, as supabase-js reports it: status, code and details.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { book, call, carla, frank, mona, nobody, pending, refused, service } from "./people.mjs";

const rpc = (person, name, args) => person.supabase.rpc(name, args);
const accept = (person, request_id) => rpc(person, "accept_session_request", { request_id });

async function change(request_id, values) {
  await service.from("session_requests").update(values).eq("id", request_id).throwOnError();
}

const cases = {
  not_signed_in: () => refused(nobody.rpc("list_favorite_mechanics"), 401, "not_signed_in"),

  async not_a_mechanic() {
    const request_id = await book(carla);
    for (const person of [carla, pending]) {
      await refused(accept(person, request_id), 403, "not_a_mechanic");
      const status = "online";
      await refused(rpc(person, "set_presence", { status }), 403, "not_a_mechanic");
    }
  },

  async not_yours() {
    const request_id = await book(carla);
    for (const name of ["cancel_session_request", "complete_session_request"]) {
      await refused(rpc(mona, name, { request_id }), 403, "not_yours");
    }
  },

  async request_not_found() {
    await refused(accept(mona, randomUUID()), 404, "request_not_found");
    await refused(accept(mona, await book(carla, frank)), 404, "request_not_found");
  },

  async request_taken() {
    const request_id = await book(carla);
    await call(frank, "accept_session_request", { request_id });
    await refused(accept(mona, request_id), 409, "request_taken");
  },

  async request_not_pending() {
    const request_id = await book(carla);
    await call(frank, "accept_session_request", { request_id });
    for (const [person, name] of [
      [carla, "cancel_session_request"],
      [carla, "broadcast_session_request_now"],
      [frank, "decline_session_request"],
    ]) {
      await refused(rpc(person, name, { request_id }), 409, "request_not_pending");
    }
  },

  async too_early() {
    const request_id = await book(carla);
    await call(frank, "accept_session_request", { request_id });
    await refused(rpc(carla, "reopen_session_request", { request_id }), 409, "too_early");
  },

  async request_cancelled() {
    const request_id = await book(carla);
    await call(carla, "cancel_session_request", { request_id });
    await refused(accept(mona, request_id), 410, "request_cancelled");
  },

  async request_expired() {
    const [swept, due] = [await book(carla), await book(carla)];
    await change(swept, { status: "expired" });
    await change(due, { expires_at: new Date(0) });
    await refused(accept(mona, swept), 410, "request_expired");
    await refused(accept(mona, due), 410, "request_expired");
  },

  async invalid_mechanics() {
    const twice = { preferred_mechanic_ids: [frank.id, frank.id], routing_type: "priority_broadcast" };
    const wish = { plan_code: "quick-chat", ...twice };
    await refused(rpc(carla, "prepare_checkout", wish), 422, "invalid_mechanics");
  },

  async invalid_plan() {
    const plan_code = "gold";
    await refused(rpc(carla, "prepare_checkout", { plan_code }), 422, "invalid_plan");
    const paid = { plan_code: "quick-chat" };
    await refused(rpc(carla, "request_free_session", paid), 422, "invalid_plan");
  },

  async invalid_routing_type() {
    for (const routing_type of ["first", "priority_broadcast"]) {
      const given = { plan_code: "quick-chat", routing_type };
      await refused(rpc(carla, "prepare_checkout", given), 422, "invalid_routing_type");
    }
  },

  async invalid_window() {
    for (const priority_window_minutes of [0, 61]) {
      const given = { plan_code: "quick-chat", priority_window_minutes };
      await refused(rpc(carla, "prepare_checkout", given), 422, "invalid_window");
    }
  },

  async invalid_notes() {
    const given = { notes: "x".repeat(501) };
    for (const [name, plan_code] of [
      ["prepare_checkout", "quick-chat"],
      ["request_free_session", "free-diagnostic"],
    ]) {
      await refused(rpc(carla, name, { plan_code, ...given }), 422, "invalid_notes");
    }
  },

  invalid_status: () =>
    refused(rpc(frank, "set_presence", { status: "asleep" }), 422, "invalid_status"),

  invalid_device: () => {
    const given = { endpoint: "https://push.example.com/x", p256dh: "x", auth: "x" };
    return refused(rpc(frank, "register_device", given), 422, "invalid_device");
  },

  async invalid_answers() {
    for (const answers of ["201", {}, [201], [{ push_id: "x" }], [{ push_id: 1, status: 2.5e9 }]]) {
      await refused(service.rpc("finish_pushes", { answers }), 422, "invalid_answers");
    }
  },

  async invalid_event() {
    for (const event of [{}, [], null, { id: "evt_1", type: "charge.refunded" }]) {
      await refused(service.rpc("process_stripe_event", { event }), 422, "invalid_event");
    }
  },
};

for (const [word, meet] of Object.entries(cases)) {
  test(word, meet);
}

test("no word is left out", () => {
  // In flag_off.test.mjs; two in tests/sql/test_payments.py, as it takes a marketplace that refuses; in
  // tests/push, as it takes eleven devices; in tests/sql/test_limit.py, as it takes the owner.
  const elsewhere = [
    "feature_disabled",
    "booking_refused",
    "presence_refused",
    "too_many_devices",
    "at_capacity",
  ];
  assert.deepEqual([...Object.keys(cases), ...elsewhere].sort(), JSON.parse(process.env.ERRORS));
});
