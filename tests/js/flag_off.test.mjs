// With the flag off: nobody comes first, and no one's status is told.
import assert from "node:assert/strict";
import { test } from "node:test";
import { book, call, carla, frank, mayTake, metadataFor, mona, refused } from "./people.mjs";

test("feature_disabled", async () => {
  const asked = carla.supabase.rpc("get_mechanic_status", { mechanic_id: frank.id });
  await refused(asked, 404, "feature_disabled");
});

test("a favourite is booked like anyone", async () => {
  const metadata = await metadataFor(carla, frank);
  assert.equal(metadata.routing_type, "broadcast");
  assert.ok(!("preferred_mechanic_id" in metadata));
  const request_id = await book(carla, frank);
  assert.ok(await mayTake(mona, request_id));
  const [first] = await call(carla, "get_session_request_timeline", { request_id });
  assert.deepEqual([first.event, first.reason], ["new_request", null]);
});
