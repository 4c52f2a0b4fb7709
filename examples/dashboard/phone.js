// Whether this device rings when no page is open: the permission, the push subscription, and who is
// told of it.
import * as config from "./config.js";
import { describeDevice, dropDevice, keepSession, readSession, subscribe } from "./device.js";
import { call } from "./favorites_priority.js";
import { me, supabase } from "./session.js";

const KEY = config.VAPID_PUBLIC_KEY;
const isPossible =
  "serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis;
// An iPad says that it is a Mac.
const isIos =
  /iPhone|iPad|iPod/.test(navigator.userAgent) ||
  (navigator.platform === "MacIntel" && navigator.maxTouchPoints > 1);

let worker; // while this device rings for whoever is signed in here

const isOurs = async () =>
  isPossible && (await readSession().catch(console.debug))?.user.id === me.id;

async function readSubscription() {
  const registration = await navigator.serviceWorker.getRegistration();
  return registration?.pushManager.getSubscription();
}

// off, on, denied; or why it cannot be.
export async function phoneState() {
  if (!KEY) return "absent";
  if (!isPossible) return isIos && !navigator.standalone ? "uninstalled" : "unsupported";
  if (Notification.permission === "denied") return "denied";
  return (await isOurs()) && (await readSubscription()) ? "on" : "off";
}

// To be called at a press: browsers ask for nothing before one.
export async function letRing() {
  if ((await Notification.requestPermission()) === "granted") await register();
}

async function register() {
  await navigator.serviceWorker.register("service_worker.js", { type: "module" });
  const registration = await navigator.serviceWorker.ready;
  const subscription = await subscribe(registration, KEY);
  await call(supabase, "register_device", describeDevice(subscription));
  await keepSession((await supabase.auth.getSession()).data.session);
  worker = registration.active;
}

// Again whenever a page opens: subscriptions change, and so do keys. What the browser has taken
// away, be it the permission, is over.
export async function keepRinging() {
  if (!(await isOurs())) return;
  if (KEY && Notification.permission === "granted") await register();
  else await silence();
}

export async function silence() {
  if (!(await isOurs())) return;
  worker = undefined;
  const { endpoint } = (await readSubscription()) ?? {};
  // Unheard it is gone nevertheless, as the push service will say.
  if (endpoint) await call(supabase, "unregister_device", { endpoint }).catch(console.debug);
  const registration = await navigator.serviceWorker.getRegistration();
  await dropDevice(registration);
  registration?.active?.postMessage({ over: true });
}

// The service worker has the notifications; false: it is not there, this device does not ring.
export function tellWorker(message) {
  worker?.postMessage(message);
  return Boolean(worker);
}
