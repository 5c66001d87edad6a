/** The HTTP API, the only way to the broker. Every failure is an ApiError with the reason. */
import { signal } from "@preact/signals";

const PREFIX = document.querySelector('meta[name="leveret-prefix"]').content;
const API = `${PREFIX}/api/`;

/** The logged-in user: {name, tags, csrf_token, permissions}; null without a login; undefined until it is known. */
export const session = signal(undefined);

/** Whether the session ended while the user was logged in. */
export const hasExpired = signal(false);

/** status: HTTP status, or 0 if the broker cannot be reached. */
export class ApiError extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** A path below /api with encoded names: path("queues", "/", "orders"). */
export function path(...names) {
  return names.map((name) => encodeURIComponent(name)).join("/");
}

function address(where, query) {
  const wanted = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null);
  return API + where + (wanted.length ? `?${new URLSearchParams(wanted)}` : "");
}

/** The URL of an event stream, or of another resource that the browser reads itself. */
export function addressOf(where, query) {
  return address(where, query);
}

/** The error in an answer: {error, reason}. */
async function failureOf(response) {
  try {
    const { reason, error } = await response.json();
    return { error, reason: String(reason ?? error ?? response.statusText) };
  } catch {
    return { reason: response.statusText || `the broker answered with status ${response.status}` };
  }
}

const FORBIDDEN = "not_authorised";  // with status 401, as in RabbitMQ: the login is valid, but a permission is missing

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
 * Send a request, and read the JSON of the answer; null if it has no body.
 * options: query, body (an object is sent as JSON, a string or bytes as they are), headers, signal, media.
 */
export async function call(method, where, options) {
  const response = await ask(method, where, options);
  const text = await response.text().catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "the broker's answer was cut off");
  });
  return text && response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text || null;
}

export const get = (where, query, signal) => call("GET", where, { query, signal });
export const put = (where, body, options) => call("PUT", where, { body, ...options });
export const post = (where, body, options) => call("POST", where, { body, ...options });
export const remove = (where, options) => call("DELETE", where, options);

/** Send a request, and yield the lines of the answer as texts as they arrive. */
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
    throw new ApiError(0, "the broker's answer was cut off");
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Send a request, and yield the lines of the answer, parsed as JSON, as they arrive. */
export async function* lines(method, where, options) {
  for await (const text of texts(method, where, options)) {
    let line;
    try {
      line = JSON.parse(text);
    } catch {
      throw new ApiError(0, "the broker's answer was cut off");
    }
    yield line;
  }
}

let early = window.early;  // what the page requested before this module was loaded
let overview = null;  // {url, data} of the overview that the page requested

/** Read the session of the logged-in user. Raises: ApiError with status 0. */
export async function resume() {
  const answer = await early?.session;
  try {
    session.value = answer?.ok ? await answer.json() : await get("leveret/session");
    const first = await early?.overview;
    if (first?.ok) overview = { url: address("overview", early.query), data: await first.json() };
  } catch (error) {
    if (error.status === 0) throw error;
    session.value = null;
  } finally {
    early = null;
  }
}

/** The answer to a path if the page requested it before its modules were loaded, else undefined. Each is given once. */
export function foreseen(where, query) {
  if (overview?.url !== address(where, query)) return undefined;
  const { data } = overview;
  overview = null;
  return data;
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

/** Whether a permission pattern allows a name. An empty one allows none; if the browser cannot parse it, the broker decides. */
function allows(pattern, name) {
  try {
    return pattern !== "" && new RegExp(pattern, "u").test(name);
  } catch {
    return true;
  }
}

/**
 * Whether the user has a permission on this name, according to its permissions at login. act: "configure", "write" or
 * "read". If nothing is known about the virtual host, the broker decides.
 */
export function mayDo(act, vhost, name) {
  const found = permissions().find((each) => each.vhost === vhost);
  return !found || allows(found[act], name);
}

/** Whether the user has this permission on any name. vhost: undefined for all virtual hosts. */
export function mayAny(act, vhost) {
  const found = permissions().filter((each) => vhost === undefined || each.vhost === vhost);
  return !found.length || found.some((each) => !["", "^$"].includes(each[act]));
}

/** Whether the user may send messages from one queue to another: this uses the default exchange. */
export const maySend = (vhost) => mayDo("write", vhost, "amq.default");

/** The default virtual host: "/", or the first one in which the user has permissions. */
export function usualVhost() {
  const known = permissions().map(({ vhost }) => vhost);
  return known.length && !known.includes("/") ? known[0] : "/";
}

/** A virtual host for addresses, which omit the default one. */
export function spokenVhost(vhost) {
  return vhost === usualVhost() ? undefined : vhost;
}
