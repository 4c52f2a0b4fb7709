// How an app uses the modules: read by `tsc --strict` alone. Each line after a @ts-expect-error must
// not be possible.
import { createClient } from "@supabase/supabase-js";
import * as page from "./favorites_priority.js";
import { useMyRequests, useOpenRequests, usePresence } from "./react.js";
import type { Database } from "./database.types.js";

const typed = createClient<Database>("https://x.supabase.co", "key");
const untyped = createClient("https://x.supabase.co", "key");

// The interfaces have the columns that the database answers, no more and no fewer.
type Answer<Name extends keyof Database["public"]["Functions"]> =
  Database["public"]["Functions"][Name]["Returns"] extends (infer Row)[] ? Row : never;
type Same<One, Other> = [keyof One, keyof Other] extends [keyof Other, keyof One] ? true : false;
export const same: true[] = [
  true satisfies Same<page.OpenRequest, Answer<"list_open_session_requests">>,
  true satisfies Same<page.RequestEvent, Answer<"list_session_request_events">>,
  true satisfies Same<page.Favourite, Answer<"list_favorite_mechanics">>,
  true satisfies Same<page.Transition, Answer<"get_session_request_timeline">>,
];
type Row = Database["public"]["Tables"]["session_requests"]["Row"];
export const columns: (keyof Row)[] = [] as (keyof page.AcceptedRequest)[];

export async function use(storage: page.CursorStorage): Promise<string> {
  for (const supabase of [typed, untyped]) {
    const following = page.followAs(supabase, storage, page.mechanicTopics, {
      handle: (events) => events.map((event) => event.event_id.toFixed()),
    });
    await following.catchUp();
    await following.stop();
    const presence = page.keepPresence(supabase, { status: "busy" });
    await presence.setStatus("away");
    // @ts-expect-error
    await presence.setStatus("asleep");
    // @ts-expect-error
    await page.acceptRequest(supabase, 7);
    // @ts-expect-error
    await page.openCheckout(supabase, { planCode: "quick-chat" });
    const [open] = await page.listOpenRequests(supabase);
    // @ts-expect-error
    open.request_id;
    // @ts-expect-error
    open?.customer_name;
  }
  const request = await page.acceptRequest(typed, "id");
  return page.timeLeft(page.windowEndsAt(request) ?? new Date()) + request.customer_name;
}

export function said(error: unknown): string {
  if (error instanceof page.Failure && error.word === "request_taken") return error.message;
  // @ts-expect-error
  if (page.wordOf(error) === "no_such_word") return "";
  return page.explain(error);
}

export function Shown(userId: string | null) {
  const { requests, isLoading } = useMyRequests(typed, userId);
  const { open, error } = useOpenRequests(untyped, userId, { onRing: (each) => each.created_at });
  const { status, setStatus } = usePresence(typed, userId, "online");
  return { ids: requests.map(({ id }) => id), open, isLoading, error, status, setStatus };
}
