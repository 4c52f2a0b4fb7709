// Creates a Stripe Checkout Session for whoever is signed in. The price and the metadata are the
// database's, never the browser's.
import { createClient } from "npm:@supabase/supabase-js@2.109.0";
import Stripe from "npm:stripe@23.1.0";

const env = (name: string) => {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`${name} is not set`);
  return value;
};
const SUPABASE_URL = env("SUPABASE_URL");
// The legacy anon key is what older projects have; those that switched it off have only the others,
// which may be one for each app, and none called default.
const KEYS = JSON.parse(Deno.env.get("SUPABASE_PUBLISHABLE_KEYS") || "{}");
const API_KEY = KEYS.default ?? Object.values(KEYS)[0] ?? env("SUPABASE_ANON_KEY");
const SITE_URL = env("SITE_URL").replace(/\/+$/, "");
const SUCCESS_URL = `${SITE_URL}/request.html?checkout={CHECKOUT_SESSION_ID}`;

const api = new URL(Deno.env.get("STRIPE_API_URL") ?? "https://api.stripe.com");
const isHttp = api.protocol === "http:";
const stripe = new Stripe(env("STRIPE_SECRET_KEY"), {
  protocol: isHttp ? "http" : "https",
  host: api.hostname,
  port: api.port || (isHttp ? 80 : 443),
});

const CORS = {
  "Access-Control-Allow-Origin": new URL(SITE_URL).origin,
  // What supabase-js sends, its tracing and a choice of region included.
  "Access-Control-Allow-Headers": "authorization, apikey, content-type, x-client-info, " +
    "x-supabase-api-version, x-region, x-retry-count, traceparent, tracestate, baggage",
  "Access-Control-Allow-Methods": "POST",
};
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const answer = (body: unknown, status = 200) => Response.json(body, { status, headers: CORS });

Deno.serve(async (request) => {
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: CORS });
  if (request.method !== "POST") return answer({ message: "only POST" }, 405);
  const wish = await request.json().catch(() => null);
  if (!UUID.test(wish?.attempt)) return answer({ message: "attempt must be a UUID" }, 400);

  const Authorization = request.headers.get("Authorization") ?? `Bearer ${API_KEY}`;
  const supabase = createClient(SUPABASE_URL, API_KEY, {
    global: { headers: { Authorization } },
  });
  const favourites = [wish.preferred_mechanic_ids ?? wish.preferred_mechanic_id ?? []].flat();
  const { data: checkout, error, status } = await supabase.rpc("prepare_checkout", {
    plan_code: wish.plan_code,
    skip_if_offline: wish.skip_if_offline ?? false,
    ...(wish.notes && { notes: wish.notes }),
    ...(favourites.length > 0 && {
      preferred_mechanic_ids: favourites,
      routing_type: "priority_broadcast",
    }),
  });
  if (error?.code && status < 500) return answer(error, status);
  if (error) {
    // Not the database's own words, but those of what failed on the way: addresses, a trace, a page.
    console.error(error);
    return answer({ message: "The database did not answer as it should" }, status || 502);
  }

  try {
    const session = await openSession(checkout, await firstKey(checkout, wish.attempt));
    // One that is paid has no page any more: on to where the payment has led.
    const url = session.url ?? SUCCESS_URL.replace("{CHECKOUT_SESSION_ID}", session.id);
    return answer({ url, checkout_session_id: session.id, banner: checkout.banner });
  } catch (error) {
    console.error(error);
    return answer({ message: "Stripe did not answer as it should" }, 502);
  }
});

// Stripe repeats its first answer to a key for a day, be it a fault of its own, and whatever became
// of the session since. What is of no use any more is followed by another key.
async function openSession(checkout: Checkout, key: string): Promise<Stripe.Checkout.Session> {
  try {
    const session = await createSession(checkout, key);
    if (!isRepeated(session.lastResponse.headers)) return session;
    const current = await stripe.checkout.sessions.retrieve(session.id);
    if (current.status !== "expired") return current;
  } catch (error) {
    const { statusCode, headers } = error as Stripe.errors.StripeError;
    if (!(statusCode && statusCode >= 500 && isRepeated(headers))) throw error;
  }
  return await openSession(checkout, await digest([key, "again"]));
}

const isRepeated = (headers?: HeadersInit) =>
  new Headers(headers).get("Idempotent-Replayed") === "true";

async function createSession({ plan, metadata }: Checkout, idempotencyKey: string) {
  return await stripe.checkout.sessions.create(
    {
      mode: "payment",
      line_items: [
        {
          quantity: 1,
          price_data: {
            currency: plan.currency,
            unit_amount: plan.price_cents,
            product_data: { name: plan.title },
          },
        },
      ],
      metadata,
      success_url: SUCCESS_URL,
      cancel_url: `${SITE_URL}/index.html?cancelled`,
    },
    { idempotencyKey },
  );
}

// The same attempt at the same booking is the same session; Stripe refuses a key that comes again
// with another booking.
const firstKey = ({ plan, metadata }: Checkout, attempt: string) =>
  digest([attempt, plan, metadata]);

async function digest(value: unknown) {
  const text = new TextEncoder().encode(JSON.stringify(value));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

type Checkout = {
  plan: { code: string; title: string; price_cents: number; currency: string };
  metadata: Record<string, string>;
  banner: string | null;
};
