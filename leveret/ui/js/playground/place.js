/** Where the playground is: a virtual host of its own, or names of its own in one that the user has. */
import { get, may, path, put, remove, session } from "../api.js";

export const VHOST = "playground";
export const PREFIX = "playground.";
const OLD_MS = 3600000;  // what a page has left behind for so long, nobody comes back to

async function ownVhost(names) {
  if (!names.includes(VHOST)) await put(path("vhosts", VHOST), { description: "What the playground of the web UI has made" });
  const permissions = await get(path("users", session.value.name, "permissions"));
  if (!permissions.some(({ vhost }) => vhost === VHOST)) {
    await put(path("permissions", VHOST, session.value.name), { configure: ".*", write: ".*", read: ".*" });
  }
  return VHOST;
}

/**
 * The virtual host to play in: an administrator gets one made. Others play in it where they may, and otherwise in the
 * one that they prefer, or in one of theirs. Raises: ApiError, and Error where there is none.
 */
export async function findVhost(preferred) {
  const names = (await get("vhosts", { columns: "name" })).map(({ name }) => name);
  if (may("administrator")) return ownVhost(names);
  const found = [VHOST, preferred, "/", ...names].find((name) => names.includes(name));
  if (found === undefined) throw new Error("you have no permission in any virtual host");
  return found;
}

/** A part of names that no other page has: the time, and something that cannot be guessed. */
export function uniquePart() {
  const random = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  return `${Date.now().toString(36)}-${random}`;
}

function madeAt(name) {
  return parseInt(name.split(".").at(-1), 36);
}

/** Delete exchanges that pages have left behind without a binding. Queues expire by themselves. */
export async function sweep(vhost) {
  const [exchanges, bindings] = await Promise.all([
    get(path("exchanges", vhost), { columns: "name" }),
    get(path("bindings", vhost), { columns: "source" }),
  ]);
  const used = new Set(bindings.map(({ source }) => source));
  const left = exchanges.filter(({ name }) => name.startsWith(PREFIX) && !used.has(name) && Date.now() - madeAt(name) > OLD_MS);
  await Promise.all(left.map(({ name }) => remove(path("exchanges", vhost, name)).catch(() => {})));
}
