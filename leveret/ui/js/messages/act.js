/** Actions on the messages of a queue: a dry run that counts, then the action, with its progress. */
import { ApiError, lines, texts } from "../api.js";
import { plural } from "../format.js";
import { placeOf } from "./hunt.js";

/**
 * Run an action on messages, or count them with dry_run. request: for the API. tell(progress): called with each progress.
 * Returns: the last progress, with isStopped if the user stopped it. Raises: ApiError, with the last `progress`.
 */
export async function perform(vhost, name, request, { abort, tell } = {}) {
  let last = null;
  try {
    for await (const line of lines("POST", placeOf(vhost, name, "act"), { body: request, signal: abort })) {
      if (line.error) throw new ApiError(400, line.error);
      last = line.progress ?? line.end;
      tell?.(last);
    }
  } catch (error) {
    if (error.name === "AbortError") return { ...last, isStopped: true };
    error.progress = last;
    throw error;
  }
  return last;
}

/** Sentences about the messages that were not processed. */
export function leftovers({ gone = 0, refused = 0, skipped = {}, unsafe = 0 }) {
  const said = [];
  if (gone) said.push(`${plural(gone, "message")} ${gone === 1 ? "was" : "were"} consumed in the meantime.`);
  if (refused) said.push(`${plural(refused, "message")} ${refused === 1 ? "was" : "were"} refused because the queue is full, and ${refused === 1 ? "was" : "were"} not moved.`);
  for (const [reason, number] of Object.entries(skipped)) said.push(`${plural(number, "message")} skipped: ${reason}.`);
  if (unsafe) said.push(`${plural(unsafe, "message")} could not be written to the disk and will be lost when the broker stops.`);
  return said;
}

/** Messages in the format of `leveret messages import`. tell(number, bytes, progress). Returns: {blob, number}. */
export async function exported(vhost, name, request, { abort, tell } = {}) {
  const begin = '{"whole":';
  const pieces = [];
  let [held, size, number] = [[], 0, 0];
  for await (const text of texts("POST", placeOf(vhost, name, "search"), { body: { ...request, whole: true }, signal: abort })) {
    if (!text.startsWith(begin)) {
      const line = JSON.parse(text);
      if (line.error) throw new ApiError(400, line.error);
      tell?.(number, size, line.progress ?? line.end);
      continue;
    }
    const line = text.slice(begin.length, -1);  // unparsed, so that 64-bit numbers stay exact
    held.push(line, "\n");
    size += line.length + 1;
    number += 1;
    if (held.length > 2000) {
      pieces.push(new Blob(held));
      held = [];
    }
  }
  return { blob: new Blob([...pieces, ...held], { type: "application/x-ndjson" }), number };
}

/** Make the browser save a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
