/**
 * Routing: every page has an address after the #, in the format of RabbitMQ's UI, so that links to that UI work here. An
 * address is a list of names and some parameters: #/queues/%2F/orders?tab=messages
 */
import { signal } from "@preact/signals";

function parse() {
  const [where, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const names = where.split("/").filter((part, at) => part || at).map(decode);
  return { names: names.length === 1 && !names[0] ? [] : names, query: Object.fromEntries(new URLSearchParams(query)) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** names: the parts of the path. query: the parameters behind it. */
export const route = signal(parse());

window.addEventListener("hashchange", () => {
  route.value = parse();
});

/** The address of a page: href("queues", "/", "orders") or href("queues", {q: "ord"}). */
export function href(...names) {
  const query = typeof names.at(-1) === "object" ? names.pop() : {};
  const wanted = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#/${names.map(encodeURIComponent).join("/")}${wanted.length ? `?${new URLSearchParams(wanted)}` : ""}`;
}

export function go(...names) {
  location.hash = href(...names);
}

/** Change parameters of the current address; undefined removes one. isNew: whether "back" returns to the old address. */
export function setQuery(changes, isNew = false) {
  const next = href(...route.value.names, { ...route.value.query, ...changes });
  if (next === location.hash) return;
  history[isNew ? "pushState" : "replaceState"](null, "", next);
  route.value = parse();
}
