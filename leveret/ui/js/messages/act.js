/** What is done with messages of a queue: first a dry run that counts, then the deed, with its progress. */
import { ApiError, lines, texts } from "../api.js";
import { plural } from "../format.js";
import { placeOf } from "./hunt.js";

/**
 * Do something with messages, or count with dry_run. request: of the API. tell(progress): called with how far it is.
 * Returns: the last progress; isStopped in it says that somebody has stopped it. Raises: ApiError, which has `progress`
 * where something was done before.
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

/** What became of those that were not done, in sentences. */
export function leftovers({ gone = 0, refused = 0, skipped = {}, unsafe = 0 }) {
  const said = [];
  if (gone) said.push(`${plural(gone, "message")} had gone meanwhile: a consumer has taken ${gone === 1 ? "it" : "them"}.`);
  if (refused) said.push(`${plural(refused, "message")} ${refused === 1 ? "was" : "were"} refused, since the queue is full, and stayed where ${refused === 1 ? "it was" : "they were"}.`);
  for (const [reason, number] of Object.entries(skipped)) said.push(`${plural(number, "message")} ${number === 1 ? "is" : "are"} left alone: ${reason}.`);
  if (unsafe) said.push(`${plural(unsafe, "message")} could not be written to the disk: ${unsafe === 1 ? "it is" : "they are"} in the queue as long as the broker runs.`);
  return said;
}

/** Messages as `leveret messages import` reads them. tell(number, bytes). Returns: {blob, number}. */
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
    const line = text.slice(begin.length, -1);  // as it came: numbers of 64 bits stay as they are
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

/** Let the browser save a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
