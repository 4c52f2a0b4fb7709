// The button that lets this device ring, and what stands beside it.
import { Failure } from "./favorites_priority.js";
import { fill, find, part, run } from "./page.js";
import { keepRinging, letRing, phoneState, silence } from "./phone.js";

const CANNOT = {
  uninstalled:
    "To be told on this device, add this page to your Home Screen (Share, then Add to Home " +
    "Screen), and open it from there.",
  unsupported: "This browser cannot tell you once this page is closed.",
  denied:
    "Notifications are turned off for this page. Allow them in your browser's settings for this " +
    "site, then load the page again.",
};
const FAILED = "This browser could not set it up. Please try again, or use another one.";

const box = find("#phone");
const turn = part(box, "turn");

const reason = (error) => (console.debug(error), error instanceof Failure ? error.message : FAILED);

// With the words of the page: `offer`, `on` and `stop`. Returns whether this device can ring.
export async function offerPhone(words) {
  async function draw(failure) {
    const state = await phoneState();
    const isOn = state === "on";
    fill(box, { says: failure ?? (isOn ? words.on : CANNOT[state] ?? "") });
    turn.hidden = state in CANNOT;
    turn.textContent = isOn ? words.stop : words.offer;
    turn.onclick = () => press(isOn ? silence : letRing);
    box.hidden = state === "absent";
    return isOn || state === "off";
  }

  async function press(action) {
    let failure;
    await run(turn, "One moment…", () => action().catch((error) => (failure = reason(error))));
    await draw(failure);
  }

  let failure;
  await keepRinging().catch((error) => {
    // What the database was not told now, it knows from before.
    const words = reason(error);
    if (words === FAILED) failure = words;
  });
  return draw(failure);
}
