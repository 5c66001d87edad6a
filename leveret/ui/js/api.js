/** The HTTP API: the only way to the broker. Every failure is an ApiError that says what happened. */
import { signal } from "@preact/signals";
import { whoHasLoggedIn } from "./early.js";

const PREFIX = document.querySelector('meta[name="leveret-prefix"]').content;
const API = `${PREFIX}/api/`;

/** Who has logged in: {name, tags, csrf_token}; null when nobody has; undefined until it is known. */
export const session = signal(undefined);

/** Whether a session ended while somebody was at work. */
export const hasExpired = signal(false);

/** status: of HTTP, 0 when the broker could not be reached. */
export class ApiError extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** A path below /api, of names with whatever is in them: path("queues", "/", "orders"). */
export function path(...names) {
  return names.map((name) => encodeURIComponent(name)).join("/");
}

function address(where, query) {
  const wanted = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null);
  return API + where + (wanted.length ? `?${new URLSearchParams(wanted)}` : "");
}

/** The address of the events of the broker, or of what else is read by the browser itself. */
export function addressOf(where, query) {
  return address(where, query);
}

/** What an answer says of a failure: {error, reason}. */
async function failureOf(response) {
  try {
    const { reason, error } = await response.json();
    return { error, reason: String(reason ?? error ?? response.statusText) };
  } catch {
    return { reason: response.statusText || `the broker answered with status ${response.status}` };
  }
}

const FORBIDDEN = "not_authorised";  // with status 401, as RabbitMQ has it: the login is good, and a permission is missing

async function ask(method, where, { query, body, headers, signal: abort, media } = {}) {
  const all = { "X-Requested-With": "leveret-ui", ...headers };
  if (session.value?.csrf_token) all["X-CSRF-Token"] = session.value.csrf_token;
  const isRaw = typeof body === "string" || body instanceof Blob || body instanceof Uint8Array;
  if (body !== undefined) all["Content-Type"] = media ?? (isRaw ? "application/octet-stream" : "application/json");
  let response;
  try {
    response = await fetch(address(where, query), {
      method,
      headers: all,
      body: body === undefined || isRaw ? body : JSON.stringify(body),
      signal: abort,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "the broker cannot be reached");
  }
  if (response.ok) return response;
  const { error, reason } = await failureOf(response);
  const status = error === FORBIDDEN ? 403 : response.status;
  if (status === 401 && session.value && !where.startsWith("leveret/session")) {
    hasExpired.value = true;
    session.value = null;
  }
  throw new ApiError(status, reason);
}

/**
 * Ask for something, and read the JSON of the answer; null for none.
 * options: query, body (an object becomes JSON, a string or bytes go as they are), headers, signal, media.
 */
export async function call(method, where, options) {
  const response = await ask(method, where, options);
  const text = await response.text().catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "the answer of the broker has ended too early");
  });
  return text && response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text || null;
}

export const get = (where, query, signal) => call("GET", where, { query, signal });
export const put = (where, body, options) => call("PUT", where, { body, ...options });
export const post = (where, body, options) => call("POST", where, { body, ...options });
export const remove = (where, options) => call("DELETE", where, options);

/** Ask for something that comes line by line, and take the lines as they come, as texts. */
export async function* texts(method, where, options) {
  const response = await ask(method, where, options);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) if (part) yield part;
    }
    if (rest) yield rest;
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiError) throw error;
    throw new ApiError(0, "the answer of the broker has ended too early");
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Ask for something that comes line by line, each of them JSON, and take them as they come. */
export async function* lines(method, where, options) {
  for await (const text of texts(method, where, options)) {
    let line;
    try {
      line = JSON.parse(text);
    } catch {
      throw new ApiError(0, "the answer of the broker has ended too early");
    }
    yield line;
  }
}

let early = whoHasLoggedIn;

/** Find out who has logged in. Raises: ApiError with status 0. */
export async function resume() {
  const answer = await early;
  early = null;
  try {
    session.value = answer?.ok ? await answer.json() : await get("leveret/session");
  } catch (error) {
    if (error.status === 0) throw error;
    session.value = null;
  }
}

/** Raises: ApiError. */
export async function logIn(username, password) {
  session.value = await post("leveret/session", { username, password });
  hasExpired.value = false;
}

export async function logOut() {
  await remove("leveret/session").catch(() => {});
  hasExpired.value = false;
  session.value = null;
}

const IMPLIED = {
  administrator: ["administrator", "monitoring", "policymaker", "management"],
  monitoring: ["monitoring", "management"],
  policymaker: ["policymaker", "management"],
  management: ["management"],
};

/** Whether the user has a tag, or one that implies it. */
export function may(tag) {
  return (session.value?.tags ?? []).some((own) => IMPLIED[own]?.includes(tag));
}

const permissions = () => session.value?.permissions ?? [];

/** Whether a pattern of a permission allows a name. An empty one allows none; one of another dialect is left to the broker. */
function allows(pattern, name) {
  try {
    return pattern !== "" && new RegExp(pattern, "u").test(name);
  } catch {
    return true;
  }
}

/**
 * Whether the user may do something with what has this name, as its permissions were when it logged in. act: "configure",
 * "write" or "read". Where nothing is known of a virtual host, the broker decides.
 */
export function mayDo(act, vhost, name) {
  const found = permissions().find((each) => each.vhost === vhost);
  return !found || allows(found[act], name);
}

/** Whether there is a name with which the user may do something. vhost: where; undefined for anywhere. */
export function mayAny(act, vhost) {
  const found = permissions().filter((each) => vhost === undefined || each.vhost === vhost);
  return !found.length || found.some((each) => !["", "^$"].includes(each[act]));
}

/** Whether the user may send messages of a queue to another: they go through the default exchange. */
export const maySend = (vhost) => mayDo("write", vhost, "amq.default");

/** The virtual host that is meant where nobody has said one: "/", or the first in which the user may do something. */
export function usualVhost() {
  const known = permissions().map(({ vhost }) => vhost);
  return known.length && !known.includes("/") ? known[0] : "/";
}

/** A virtual host as addresses have it, which leave out the usual one. */
export function spokenVhost(vhost) {
  return vhost === usualVhost() ? undefined : vhost;
}
