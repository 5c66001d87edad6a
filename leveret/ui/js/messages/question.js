/**
 * Questions: searches for messages of a queue. A question is stored in the address, so that it can be shared, and is
 * converted to a request to the API. A condition is a list of three texts: field, operator, value.
 */
export const STATES = ["ready", "unacked", "delayed"];
export const PAGE = 50;  // messages per page

const TEXT_OPS = ["contains", "=", "!=", "matches", "exists", "missing"];
const VALUE_OPS = ["=", "!=", "<", "<=", ">", ">=", "contains", "matches", "exists", "missing"];
const NUMBER_OPS = [">", "<", "=", ">=", "<="];

/** Labels of operators. */
export const OPS = {
  contains: "contains",
  "=": "is",
  "!=": "is not",
  "<": "is less than",
  "<=": "is at most",
  ">": "is more than",
  ">=": "is at least",
  matches: "matches the pattern",
  exists: "exists",
  missing: "is missing",
};

/** Properties for conditions. */
export const PROPERTIES = [
  "message_id", "correlation_id", "type", "content_type", "content_encoding", "delivery_mode", "priority",
  "timestamp", "expiration", "reply_to", "user_id", "app_id",
];
const NUMBERS = ["delivery_mode", "priority", "timestamp", "redriven"];

/** Kinds of conditions. prefix: of fields whose names the user types. choices: possible values. */
export const KINDS = [
  { id: "json", label: "JSON path", prefix: "json:", example: "$.order.id", ops: VALUE_OPS },
  { id: "headers", label: "Header", prefix: "headers.", example: "x-tenant", ops: VALUE_OPS },
  { id: "property", label: "Property", ops: VALUE_OPS },
  { id: "routing_key", label: "Routing key", ops: TEXT_OPS },
  { id: "exchange", label: "Exchange", ops: TEXT_OPS },
  { id: "body", label: "Body", ops: ["contains", "=", "!=", "matches"] },
  { id: "age", label: "Age", ops: [">", "<"], example: "5m", hint: "30s, 5m, 2h, 1d" },
  { id: "size", label: "Size", ops: [">", "<"], example: "10k", hint: "bytes, or 10k, 2M" },
  { id: "redelivered", label: "Redelivered", ops: ["="], choices: ["true", "false"] },
  { id: "death.reason", label: "Reason of death", ops: ["=", "!=", "exists", "missing"], choices: ["rejected", "expired", "maxlen", "delivery_limit"] },
  { id: "death.queue", label: "Died in queue", ops: TEXT_OPS },
  { id: "redriven", label: "Times sent back", ops: NUMBER_OPS, example: "0" },
  { id: "id", label: "Id", ops: ["="] },
];

/** The kind of a condition's field. */
export function kindOf(field) {
  return KINDS.find(({ id, prefix }) => (prefix ? field.startsWith(prefix) : id === field)) ?? KINDS.find(({ id }) => id === "property");
}

/** Suggested searches for unusual messages. */
export const SUSPECTS = [
  ["Body is not JSON", [["json:$", "missing", ""]]],
  ["Redelivered", [["redelivered", "=", "true"]]],
  ["Larger than 100 KiB", [["size", ">", "100k"]]],
  ["Older than an hour", [["age", ">", "1h"]]],
];

/** The question in the parameters of an address. */
export function readQuestion(query) {
  let where = [];
  try {
    where = JSON.parse(query.where ?? "[]").filter((each) => Array.isArray(each) && each.length === 3 && each.every((part) => typeof part === "string"));
  } catch {
    // ignore a damaged address
  }
  return {
    text: query.text ?? "",
    state: query.state === "all" || STATES.includes(query.state) ? query.state : "ready",
    where,
    isNewest: query.order === "newest",
    page: Math.min(1000, Math.max(1, Number(query.n) || PAGE)),
  };
}

/** The parameters of a question; defaults are undefined. */
export function writeQuestion({ text, state, where, isNewest, page }) {
  return {
    text: text || undefined,
    state: state === "ready" ? undefined : state,
    where: where.length ? JSON.stringify(where) : undefined,
    order: isNewest ? "newest" : undefined,
    n: page === PAGE ? undefined : page,
  };
}

/** The request to the API: {where, states, newest_first}. Raises: Error that names the wrong value. */
export function requestOf({ text, state, where, isNewest }) {
  const conditions = where.map(([field, op, value]) => {
    if (op === "exists" || op === "missing") return { field, op };
    return { field, op, value: valueOf(field, op, value) };
  });
  if (text) conditions.push({ field: "body", op: "contains", value: text });
  return { where: conditions, states: state === "all" ? STATES : [state], newest_first: isNewest };
}

function valueOf(field, op, text) {
  if (field === "age") return seconds(text);
  if (field === "size") return bytes(text);
  if (field === "redelivered") return text === "true";
  if (NUMBERS.includes(field)) return number(field, text);
  if (op === "contains" || op === "matches" || !kindOf(field).prefix) return text;
  return scalar(text);
}

function number(field, text) {
  const found = Number(text);
  if (!text.trim() || Number.isNaN(found)) throw new Error(`${field} must be a number, not “${text}”`);
  return found;
}

/** A typed value: parsed if it is a number, true, false, null or a quoted text; otherwise a text. */
export function scalar(text) {
  try {
    const found = JSON.parse(text);
    return typeof found === "object" && found !== null ? text : found;
  } catch {
    return text;
  }
}

function seconds(text) {
  const found = /^\s*([\d.]+)\s*(s|m|h|d|)\s*$/.exec(text);
  if (!found) throw new Error(`an age must be like 30s, 5m, 2h or 1d, not “${text}”`);
  return Number(found[1]) * { "": 1, s: 1, m: 60, h: 3600, d: 86400 }[found[2]];
}

function bytes(text) {
  const found = /^\s*([\d.]+)\s*(k|m|g|)(i?b)?\s*$/i.exec(text);
  if (!found) throw new Error(`a size must be like 500, 10k or 2M, not “${text}”`);
  return Math.round(Number(found[1]) * { "": 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 }[found[2].toLowerCase()]);
}

/** A condition in words: "header x-tenant is t3". */
export function inWords([field, op, value]) {
  const kind = kindOf(field);
  const name = kind.prefix ? `${kind.label} ${field.slice(kind.prefix.length)}` : kind.id === "property" ? field : kind.label;
  return op === "exists" || op === "missing" ? `${name} ${OPS[op]}` : `${name} ${OPS[op]} ${value}`;
}
