/** Formats numbers, sizes and times for people. */
const PLAIN = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 12,345 */
export function count(value) {
  return value === undefined || value === null ? "–" : PLAIN.format(value);
}

/** 12.3K: short form of large numbers. */
export function brief(value) {
  return value === undefined || value === null ? "–" : Math.abs(value) < 10000 ? PLAIN.format(value) : SHORT.format(value);
}

/** 4.2/s */
export function rate(value) {
  if (value === undefined || value === null) return "–";
  if (value < 0.05) return value > 0 ? "<0.1/s" : "0/s";
  return value < 10 ? `${value.toFixed(1)}/s` : `${brief(Math.round(value))}/s`;
}

/** 1.5 MiB */
export function size(bytes) {
  if (bytes === undefined || bytes === null || typeof bytes !== "number") return "–";
  let at = 0;
  while (bytes >= 1024 && at < UNITS.length - 1) {
    bytes /= 1024;
    at += 1;
  }
  return `${at && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[at]}`;
}

/** A duration: 350 ms, 12 s, 3 min, 2 h 5 min, 4 d. */
export function span(seconds) {
  if (seconds === undefined || seconds === null) return "–";
  if (seconds < 0.0005) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 10 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** The age of a time: "3 min ago". at, now: in milliseconds. */
export function ago(at, now) {
  const seconds = (now - at) / 1000;
  if (seconds < -1) return `in ${span(-seconds)}`;
  return seconds < 2 ? "just now" : `${span(seconds)} ago`;
}

/** A local time with seconds. */
export function exact(at) {
  return EXACT.format(at);
}

/** "1 queue", "3 queues". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A name with optional line breaks after dots, slashes, underscores and the like. */
export function breakable(name) {
  return name.replace(/([._/:@-]+)/g, "$1\u200b");
}

/** The displayed name of an exchange: the default exchange has an empty name. */
export function exchangeName(name) {
  return name === "" ? "(default exchange)" : name;
}
