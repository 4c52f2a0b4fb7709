// Tells a mechanic who looks elsewhere: a sound, the tab's title, a notification of the system.
import { find, tell } from "./page.js";
import { tellWorker } from "./phone.js";
import { offerPhone } from "./phone_button.js";
import { device } from "./storage.js";

const isSupported = "Notification" in globalThis;

// --- Sound, for which browsers want a press first ---

const KEY = "sound";
let speaker;

const wantsSound = () => device.getItem(KEY) !== "off";

function wake() {
  if (!wantsSound()) return;
  speaker ??= new AudioContext();
  speaker.resume().catch(console.debug);
}
addEventListener("click", wake); // a finger that was only put down is none to Safari
addEventListener("keydown", wake);

find("#sound").checked = wantsSound();
find("#sound").onchange = ({ target }) => {
  device.setItem(KEY, target.checked ? "on" : "off");
  wake();
  if (target.checked) chime();
};

// Two notes, a fourth apart.
function chime() {
  if (!wantsSound() || speaker?.state !== "running") return;
  [660, 880].forEach((pitch, at) => {
    const [note, volume] = [speaker.createOscillator(), speaker.createGain()];
    const start = speaker.currentTime + at * 0.18;
    note.frequency.value = pitch;
    volume.gain.setValueAtTime(0.2, start);
    volume.gain.exponentialRampToValueAtTime(0.001, start + 0.4);
    note.connect(volume).connect(speaker.destination);
    note.start(start);
    note.stop(start + 0.4);
  });
}

// --- Notifications, asked for at a press only ---

const canRing = offerPhone({
  offer: "Let your phone ring",
  on: "This device rings when a customer asks for you, with this page closed too.",
  stop: "Stop ringing",
});

// The next best, where this device cannot ring once the page is closed.
async function offerNotifications() {
  const isOpen = isSupported && Notification.permission === "default";
  find("#notify").hidden = (await canRing) || !isOpen;
}
offerNotifications();

find("#notify").onclick = async () => {
  const answer = await Notification.requestPermission();
  offerNotifications();
  if (answer === "granted") tell("You are told of new requests also when you look elsewhere.");
  else if (answer === "denied") tell("Your browser keeps notifications off for this page.");
};

function notify({ id, title, about, event }) {
  if (!isSupported || Notification.permission !== "granted" || document.hasFocus()) return;
  const news = { title, body: about, request_id: id, event, audience: "mechanic", fromPage: true };
  if (tellWorker({ news })) return;
  try {
    // Of one request once, from however many tabs.
    const shown = new Notification(title, { body: about, tag: id });
    shown.onclick = () => (window.focus(), shown.close());
  } catch (error) {
    console.debug(error); // Chrome on Android wants a service worker for it
  }
}

// --- The tab's title ---

let unseen = new Set();
let listed = 0;

// How many are open; with a sign while there are new ones that nobody has looked at.
export function drawTitle(open) {
  listed = open;
  const title = unseen.size ? "New request" : "Open requests";
  document.title = `${unseen.size ? "● " : ""}${open ? `(${open}) ` : ""}${title}`;
  if (open) navigator.setAppBadge?.(open).catch(console.debug);
  else navigator.clearAppBadge?.().catch(console.debug);
}

function see() {
  if (!document.hasFocus()) return;
  unseen = new Set();
  drawTitle(listed);
}
addEventListener("focus", see);
document.addEventListener("visibilitychange", see);

// These have come: `id`, `title`, `about` and the `event` of each.
export function ring(requests) {
  if (requests.length === 0) return;
  chime();
  requests.forEach(notify);
  if (!document.hasFocus()) requests.forEach(({ id }) => unseen.add(id));
}

// What is not open any more need not be seen.
export function forget(openIds) {
  unseen = new Set([...unseen].filter((id) => openIds.has(id)));
  tellWorker({ open: [...openIds] });
}
