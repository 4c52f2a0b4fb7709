// Sends the Web Push that is due, where no process of one's own can run (push_app/ where one can).
// pg_cron calls it while something is due (sql/push_cron.sql); calls that overlap share the work.
// RFC 8030 (the request), 8188 and 8291 (its body), 8292 (who sends it).
import { Buffer } from "node:buffer";
import { createECDH, createHash, timingSafeEqual } from "node:crypto";
import { createClient } from "npm:@supabase/supabase-js@2.109.0";

// A project has 2 s of processor time for a call, which is enough for twice as many.
const MOST = 500;
const AT_ONCE = 64;
// Together with the longest wait for an answer well below the 30 s that a push is this call's alone.
const CLAIM_SECONDS = 10;

const { subtle } = crypto;
const { faults, keys, supabase, vapid, seconds } = await readSettings();

Deno.serve(async (request) => {
  if (request.method !== "POST") return answer({ message: "only POST" }, 405);
  const given = request.headers.get("apikey") ??
    request.headers.get("Authorization")?.replace(/^Bearer /i, "");
  if (!keys.some((key) => isSame(key, given ?? ""))) {
    return answer({ message: "only with a secret key of this project, as apikey" }, 401);
  }
  if (faults.length > 0) return answer({ message: faults.join(" ") }, 500);
  try {
    return answer({ pushes: await sendWhatIsDue() });
  } catch (error) {
    return answer({ message: `the database: ${(error as Error).message}` }, 502);
  }
});

const answer = (body: unknown, status = 200) => Response.json(body, { status });

async function sendWhatIsDue() {
  const until = Date.now() + CLAIM_SECONDS * 1000;
  const sending = new Set<Promise<void>>();
  let count = 0;
  const answers: Answer[] = [];
  let telling = Promise.resolve();
  let untold: Error | undefined;

  // As many at once as there are. None waits for a push service that is silent with the others.
  function tell() {
    telling = telling.then(async () => {
      const these = [...answers];
      if (these.length === 0) return;
      try {
        await call("finish_pushes", { answers: these });
        answers.splice(0, these.length);
        untold = undefined;
      } catch (error) {
        untold = error as Error;
      }
    });
  }

  try {
    while (Date.now() < until && count < MOST) {
      const room = Math.min(AT_ONCE - sending.size, MOST - count);
      const pushes: Push[] = await call("claim_pushes", { max_rows: room });
      if (pushes.length === 0) break;
      count += pushes.length;
      for (const push of pushes) {
        const sent = send(push).then((answer) => {
          sending.delete(sent);
          answers.push(answer);
          tell();
        });
        sending.add(sent);
      }
      if (sending.size >= AT_ONCE) await Promise.race(sending);
    }
  } finally {
    await Promise.all(sending);
    await telling;
    if (untold) {
      await new Promise((done) => setTimeout(done, 1000));
      tell();
      await telling;
    }
  }
  // What the database has not heard of, another call sends again when the time is up.
  if (untold) throw untold;
  return count;
}

async function call(name: string, args: Record<string, unknown>) {
  const { data, error } = await supabase.rpc(name, args);
  if (!error) return data;
  log("database_away", { error: error.message });
  throw new Error(error.message);
}

async function send(push: Push): Promise<Answer> {
  const began = Date.now();
  let service: URL | undefined;
  let status: number | null = null;
  let retry_after: number | null = null;
  let error: string | undefined;
  try {
    service = new URL(push.endpoint);
    const agreed = await agree(push.p256dh).catch(() => null);
    if (agreed === null) {
      // No point of the curve: nobody can read it, as on a device that is gone.
      status = 410;
      error = "the device's keys";
    } else {
      const response = await fetch(push.endpoint, {
        method: "POST",
        body: await encrypt(push, agreed),
        headers: {
          "TTL": String(push.ttl),
          "Urgency": push.urgency,
          "Topic": push.topic,
          "Content-Encoding": "aes128gcm",
          "Content-Type": "application/octet-stream",
          "Authorization": await token(service.origin),
        },
        redirect: "manual", // the database knows these addresses alone
        signal: AbortSignal.timeout(seconds * 1000),
      });
      status = response.status;
      retry_after = readRetryAfter(response.headers.get("Retry-After"));
      await response.body?.cancel();
    }
  } catch (fault) {
    error = (fault as Error).name; // its message has the endpoint
  }
  log("push", {
    push_id: push.push_id,
    service: service?.hostname,
    status,
    milliseconds: Date.now() - began,
    error,
  });
  return { push_id: push.push_id, status, retry_after };
}

// Retry-After is seconds, or a date (RFC 9110).
function readRetryAfter(text: string | null) {
  if (text === null) return null;
  const wait = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isNaN(wait) ? null : Math.round(Math.min(Math.max(wait, 0), 86400));
}

// A secret that the device alone can work out, too (ECDH). Throws if its key is no point.
async function agree(p256dh: string) {
  const curve = { name: "ECDH", namedCurve: "P-256" };
  const theirPoint = Buffer.from(p256dh, "base64url");
  const theirs = await subtle.importKey("raw", theirPoint, curve, false, []);
  const ours = await subtle.generateKey(curve, true, ["deriveBits"]) as CryptoKeyPair;
  const ourPoint = Buffer.from(await subtle.exportKey("raw", ours.publicKey));
  const shared = await subtle.deriveBits({ name: "ECDH", public: theirs }, ours.privateKey, 256);
  return { theirPoint, ourPoint, shared };
}

async function encrypt({ payload, auth }: Push, agreed: Awaited<ReturnType<typeof agree>>) {
  const { theirPoint, ourPoint, shared } = agreed;
  const info = Buffer.concat([Buffer.from("WebPush: info\0"), theirPoint, ourPoint]);
  const secret = await derive(shared, Buffer.from(auth, "base64url"), info, 32);

  const salt = crypto.getRandomValues(new Uint8Array(16));
  const key = await derive(secret, salt, Buffer.from("Content-Encoding: aes128gcm\0"), 16);
  const iv = await derive(secret, salt, Buffer.from("Content-Encoding: nonce\0"), 12);
  const aes = await subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"]);
  const record = Buffer.concat([Buffer.from(payload), Buffer.of(2)]); // 2: the last one
  const sealed = await subtle.encrypt({ name: "AES-GCM", iv }, aes, record);
  const recordSize = Buffer.of(0, 0, 16, 0);
  return Buffer.concat([salt, recordSize, Buffer.of(65), ourPoint, Buffer.from(sealed)]);
}

async function derive(from: BufferSource, salt: BufferSource, info: BufferSource, bytes: number) {
  const key = await subtle.importKey("raw", from, "HKDF", false, ["deriveBits"]);
  return subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info }, key, bytes * 8);
}

// One signature for all pushes to a service, for an hour; it is good for twelve.
const tokens = new Map<string, { made: number; text: Promise<string> }>();
function token(origin: string) {
  const made = Math.floor(Date.now() / 1000);
  let found = tokens.get(origin);
  if (!found || made - found.made >= 3600) {
    found = { made, text: sign({ aud: origin, exp: made + 12 * 3600, sub: vapid!.subject }) };
    tokens.set(origin, found);
  }
  return found.text;
}

async function sign(claims: Record<string, unknown>) {
  const parts = [{ typ: "JWT", alg: "ES256" }, claims];
  const coded = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
  const text = coded.join(".");
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const signature = await subtle.sign(algorithm, vapid!.key, Buffer.from(text));
  return `vapid t=${text}.${Buffer.from(signature).toString("base64url")}, k=${vapid!.point}`;
}

// What is wrong with the settings is answered to who calls: a function that does not start says
// nothing.
async function readSettings() {
  const faults: string[] = [];
  const read = (name: string) => Deno.env.get(name)?.trim() ?? "";

  // Who may call it, and what it calls the database with. The legacy key is what older projects
  // have; those that switched it off have only the others, maybe several and none called default.
  const secrets: Record<string, string> = JSON.parse(read("SUPABASE_SECRET_KEYS") || "{}");
  const legacy = read("SUPABASE_SERVICE_ROLE_KEY");
  const keys = Object.values(secrets);
  if (keys.length === 0 && legacy) keys.push(legacy);
  const supabase = createClient(read("SUPABASE_URL"), secrets.default ?? keys[0], {
    auth: { persistSession: false, autoRefreshToken: false },
  });

  const seconds = Number(read("PUSH_TIMEOUT") || 10);
  if (!(seconds >= 1 && seconds <= 15)) faults.push("PUSH_TIMEOUT must be from 1 to 15.");

  const subject = read("VAPID_SUBJECT");
  if (!/^(mailto:[^\s@]+@[^\s@]+|https:\/\/[^\s/]+\S*)$/.test(subject)) {
    faults.push(
      "VAPID_SUBJECT must be a mailto: or https: address at which the push services reach you.",
    );
  }
  let vapid: Vapid | undefined;
  try {
    const d = Buffer.from(read("VAPID_PRIVATE_KEY"), "base64url");
    if (d.length !== 32) throw new Error();
    const curve = createECDH("prime256v1");
    curve.setPrivateKey(d);
    const point = curve.getPublicKey();
    const [x, y] = [point.subarray(1, 33), point.subarray(33)];
    const [jwk_d, jwk_x, jwk_y] = [d, x, y].map((part) => part.toString("base64url"));
    const jwk = { kty: "EC", crv: "P-256", d: jwk_d, x: jwk_x, y: jwk_y };
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const key = await subtle.importKey("jwk", jwk, algorithm, false, ["sign"]);
    vapid = { key, point: point.toString("base64url"), subject };
  } catch {
    faults.push(
      "VAPID_PRIVATE_KEY must be the private key that `python -m push_app keys` printed.",
    );
  }
  return { faults, keys, supabase, vapid, seconds };
}

// In the same time whatever is given.
function isSame(key: string, given: string) {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(key), hash(given));
}

function log(what: string, fields: Record<string, unknown>) {
  console.log(JSON.stringify({ at: new Date().toISOString(), what, ...fields }));
}

type Push = {
  push_id: number;
  endpoint: string;
  p256dh: string;
  auth: string;
  payload: string;
  ttl: number;
  urgency: string;
  topic: string;
};
type Answer = { push_id: number; status: number | null; retry_after: number | null };
type Vapid = { key: CryptoKey; point: string; subject: string };
