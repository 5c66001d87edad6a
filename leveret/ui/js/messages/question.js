/**
 * Questions: which messages of a queue are looked for. A question is in the address, so that it can be sent to somebody,
 * and becomes what the API is asked. A condition is a list of three texts: field, operator, value.
 */
export const STATES = ["ready", "unacked", "delayed"];
export const PAGE = 50;  // messages that are shown at once

const TEXT_OPS = ["contains", "=", "!=", "matches", "exists", "missing"];
const VALUE_OPS = ["=", "!=", "<", "<=", ">", ">=", "contains", "matches", "exists", "missing"];
const NUMBER_OPS = [">", "<", "=", ">=", "<="];

/** What operators are called. */
export const OPS = {
  contains: "contains",
  "=": "is",
  "!=": "is not",
  "<": "is less than",
  "<=": "is at most",
  ">": "is more than",
  ">=": "is at least",
  matches: "matches the pattern",
  exists: "is there",
  missing: "is missing",
};

/** Properties that can be compared. */
export const PROPERTIES = [
  "message_id", "correlation_id", "type", "content_type", "content_encoding", "delivery_mode", "priority",
  "timestamp", "expiration", "reply_to", "user_id", "app_id",
];
const NUMBERS = ["delivery_mode", "priority", "timestamp", "redriven"];

/** Kinds of conditions. prefix: of the fields whose names one writes. choices: of values. */
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
  { id: "death.reason", label: "Died because", ops: ["=", "!=", "exists", "missing"], choices: ["rejected", "expired", "maxlen", "delivery_limit"] },
  { id: "death.queue", label: "Died in queue", ops: TEXT_OPS },
  { id: "redriven", label: "Times sent home", ops: NUMBER_OPS, example: "0" },
  { id: "id", label: "Id", ops: ["="] },
];

/** The kind of a condition's field. */
export function kindOf(field) {
  return KINDS.find(({ id, prefix }) => (prefix ? field.startsWith(prefix) : id === field)) ?? KINDS.find(({ id }) => id === "property");
}

/** Things that are worth a look when nobody knows what is wrong. */
export const SUSPECTS = [
  ["Body is no JSON", [["json:$", "missing", ""]]],
  ["Redelivered", [["redelivered", "=", "true"]]],
  ["Larger than 100 KiB", [["size", ">", "100k"]]],
  ["Older than an hour", [["age", ">", "1h"]]],
];

/** A question from the parameters of an address. */
export function readQuestion(query) {
  let where = [];
  try {
    where = JSON.parse(query.where ?? "[]").filter((each) => Array.isArray(each) && each.length === 3 && each.every((part) => typeof part === "string"));
  } catch {
    // a damaged address asks for everything
  }
  return {
    text: query.text ?? "",
    state: query.state === "all" || STATES.includes(query.state) ? query.state : "ready",
    where,
    isNewest: query.order === "newest",
    page: Math.min(1000, Math.max(1, Number(query.n) || PAGE)),
  };
}

/** The parameters of a question; those of the plain one are undefined. */
export function writeQuestion({ text, state, where, isNewest, page }) {
  return {
    text: text || undefined,
    state: state === "ready" ? undefined : state,
    where: where.length ? JSON.stringify(where) : undefined,
    order: isNewest ? "newest" : undefined,
    n: page === PAGE ? undefined : page,
  };
}

/** What the API is asked: {where, states, newest_first}. Raises: Error that says which value is wrong. */
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
  if (!text.trim() || Number.isNaN(found)) throw new Error(`${field} is a number, not “${text}”`);
  return found;
}

/** What reads as a number, true, false, null or a quoted text is that; all else is a text. */
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
  if (!found) throw new Error(`an age is written as 30s, 5m, 2h or 1d, not “${text}”`);
  return Number(found[1]) * { "": 1, s: 1, m: 60, h: 3600, d: 86400 }[found[2]];
}

function bytes(text) {
  const found = /^\s*([\d.]+)\s*(k|m|g|)(i?b)?\s*$/i.exec(text);
  if (!found) throw new Error(`a size is written as 500, 10k or 2M, not “${text}”`);
  return Math.round(Number(found[1]) * { "": 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 }[found[2].toLowerCase()]);
}

/** A condition in words: "header x-tenant is t3". */
export function inWords([field, op, value]) {
  const kind = kindOf(field);
  const name = kind.prefix ? `${kind.label} ${field.slice(kind.prefix.length)}` : kind.id === "property" ? field : kind.label;
  return op === "exists" || op === "missing" ? `${name} ${OPS[op]}` : `${name} ${OPS[op]} ${value}`;
}
