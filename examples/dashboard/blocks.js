// Whom the customer does not ask again. The database tells nobody of a block, not even whose it is;
// so that it can be undone, this device keeps the name.
import { blockMechanic, unblockMechanic } from "./favorites_priority.js";
import { confirm, fill, find, me, run, supabase } from "./page.js";
import { device } from "./storage.js";

const KEY = `blocked:${me.id}`;
const readNames = () => JSON.parse(device.getItem(KEY) ?? "{}");
const keepNames = (names) => device.setItem(KEY, JSON.stringify(names));

// None for whoever is not blocked here.
export const blockedName = (mechanicId) => readNames()[mechanicId];

// Whether the customer says so.
export async function askToBlock(button, mechanicId, name) {
  fill(find("#block"), { name });
  if (!(await confirm("#block"))) return false;
  return run(button, "Noting…", async () => {
    await blockMechanic(supabase, mechanicId);
    keepNames({ ...readNames(), [mechanicId]: name });
    return true;
  });
}

export async function askAgain(mechanicId) {
  await unblockMechanic(supabase, mechanicId);
  const { [mechanicId]: _, ...others } = readNames();
  keepNames(others);
}
