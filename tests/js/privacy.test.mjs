// Who may read what of a customer: nobody before the accept, and then the winner only.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  anon, book, call, carla, denied, frank, mayTake, mona, pending, service, stranger,
} from "./people.mjs";

const PRIVATE = ["customer_name", "customer_email", "notes", "metadata"];
const everyone = [frank, mona, pending, stranger];
const table = (supabase) => supabase.from("session_requests");

async function bookWithNotes() {
  const request_id = await book(carla, frank);
  const { data: row } = await table(service).select("*").eq("id", request_id).single();
  const metadata = { ...row.metadata, door: "door code" };
  const written = table(service).update({ notes: "blue van", metadata }).eq("id", request_id);
  await written.throwOnError();
  const { stripe_checkout_session_id, stripe_payment_intent } = metadata;
  return { request_id, row, payment: [stripe_checkout_session_id, stripe_payment_intent] };
}

test("no private column by the table, as any role", async () => {
  const { request_id: taken } = await bookWithNotes();
  await call(frank, "accept_session_request", { request_id: taken });
  await book(carla, frank);
  await book(carla);
  for (const column of PRIVATE) {
    for (const { supabase } of [carla, ...everyone]) {
      await denied(table(supabase).select(column));
      await denied(table(supabase).select(`id, ${column}`));
      await denied(table(supabase).select("id").not(column, "is", null));
      await denied(table(supabase).select("id").order(column));
      await denied(supabase.from("mechanics").select(`id, session_requests (${column})`));
    }
    await denied(table(anon).select(column), 401);
    const { data } = await table(service).select(column).eq("id", taken).single();
    assert.ok(data[column]);
  }
  for (const { supabase } of [carla, ...everyone]) {
    await denied(table(supabase).select());
  }
  await denied(table(anon).select(), 401);
});

test("nothing personal by any column or RPC before the accept", async () => {
  const { request_id, row, payment } = await bookWithNotes();
  const shownToWinner = ["Carla Customer", "carla@mail.example", "blue van", "door code"];
  const personal = (answers) =>
    [...shownToWinner, ...payment].filter((thing) => JSON.stringify(answers).includes(thing));

  const knownTo = async ({ supabase }) =>
    personal(
      await Promise.all([
        ...Object.keys(row).map((column) => table(supabase).select(column)),
        supabase.rpc("list_open_session_requests"),
        supabase.rpc("list_session_request_events", { max_rows: 1000 }),
        supabase.rpc("list_favorite_mechanics"),
        supabase.rpc("get_session_request_timeline", { request_id }),
        supabase.rpc("cancel_session_request", { request_id }),
      ]),
    );
  const knownToEveryone = async () => (await Promise.all(everyone.map(knownTo))).flat();

  assert.ok(await mayTake(frank, request_id));
  assert.deepEqual(await knownToEveryone(), []);
  assert.deepEqual(personal(await call(frank, "decline_session_request", { request_id })), []);
  assert.ok(await mayTake(mona, request_id));
  assert.deepEqual(await knownToEveryone(), []);
  assert.deepEqual(await knownTo({ supabase: anon }), []);
  const accepted = await call(mona, "accept_session_request", { request_id });
  assert.deepEqual(personal(accepted), shownToWinner);
  assert.deepEqual(await knownToEveryone(), []);
});
