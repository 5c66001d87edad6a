/** The place of the playground: its own virtual host, or prefixed names in another one. */
import { get, may, path, put, remove, session } from "../api.js";

export const VHOST = "playground";
export const PREFIX = "playground.";
const OLD_MS = 3600000;  // age after which leftovers of a page are deleted

async function ownVhost(names) {
  if (!names.includes(VHOST)) await put(path("vhosts", VHOST), { description: "Queues and exchanges of the web UI's playground" });
  const permissions = await get(path("users", session.value.name, "permissions"));
  if (!permissions.some(({ vhost }) => vhost === VHOST)) {
    await put(path("permissions", VHOST, session.value.name), { configure: ".*", write: ".*", read: ".*" });
  }
  return VHOST;
}

/**
 * The virtual host for the playground: created for an administrator. Others use it if they have access, otherwise the
 * preferred one, or another of theirs. Raises: ApiError, or Error if there is none.
 */
export async function findVhost(preferred) {
  const names = (await get("vhosts", { columns: "name" })).map(({ name }) => name);
  if (may("administrator")) return ownVhost(names);
  const found = [VHOST, preferred, "/", ...names].find((name) => names.includes(name));
  if (found === undefined) throw new Error("you have no access to any virtual host");
  return found;
}

/** A unique part of names: the time and a random number. */
export function uniquePart() {
  const random = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  return `${Date.now().toString(36)}-${random}`;
}

function madeAt(name) {
  return parseInt(name.split(".").at(-1), 36);
}

/** Delete unbound exchanges that closed pages left behind. Queues expire automatically. */
export async function sweep(vhost) {
  const [exchanges, bindings] = await Promise.all([
    get(path("exchanges", vhost), { columns: "name" }),
    get(path("bindings", vhost), { columns: "source" }),
  ]);
  const used = new Set(bindings.map(({ source }) => source));
  const left = exchanges.filter(({ name }) => name.startsWith(PREFIX) && !used.has(name) && Date.now() - madeAt(name) > OLD_MS);
  await Promise.all(left.map(({ name }) => remove(path("exchanges", vhost, name)).catch(() => {})));
}
