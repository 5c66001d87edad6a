/**
 * Live data: one event stream signals new samples of the broker, and pages then request their data again. A hidden tab
 * requests nothing. If the broker cannot be reached, old data stays, and `lostAt` has the time of the last contact.
 */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, addressOf, foreseen, get, hasExpired, resume, session } from "./api.js";

const AGAIN_MS = 2000;  // time before reconnecting to the broker
const FRESH_MS = 1000;  // data that the page requested itself is not requested again for this time
const SHARE = 25;  // requests of a page may take 1/SHARE of the time
const QUIET_MS = 15000;  // a hidden tab stays connected for this time

/** A number that increases with each new sample of the broker. */
export const pulse = signal(0);

/** The totals in the last event: {timestamp, connections, queues, message_stats, queue_totals}. */
export const totals = signal(null);

/** When the connection to the broker was lost, in milliseconds; null while it is connected. */
export const lostAt = signal(null);

let source = null;
let hiding = 0;

function open() {
  close();
  source = new EventSource(addressOf("leveret/events", { topics: "overview" }));
  source.addEventListener("overview", (event) => {
    lostAt.value = null;
    totals.value = JSON.parse(event.data);
    pulse.value += 1;
  });
  source.onerror = () => {
    lostAt.value ??= Date.now();
    close();
    setTimeout(again, AGAIN_MS);
  };
}

async function again() {
  if (source || document.hidden || !session.value) return;
  try {
    await resume();
    if (session.value) open();
    else hasExpired.value = true;  // sessions do not survive a restart of the broker
  } catch {
    setTimeout(again, AGAIN_MS);
  }
}

function close() {
  source?.close();
  source = null;
}

/** Stay connected to the broker while a user is logged in. */
export function follow() {
  session.subscribe((who) => {
    if (who && !source) open();
    if (!who) {
      close();
      lostAt.value = null;
    }
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(close, QUIET_MS);
    else if (!source) again();
  });
}

/**
 * The API's answer to a path, requested again with each new sample; a null path requests nothing.
 * Returns: {data, error, at, isLoading, reload}. data stays if a later request fails; at is the time of data.
 * With isStill, it is requested once.
 */
export function useLive(where, query, { isStill = false } = {}) {
  const key = where === null ? null : `${where}?${JSON.stringify(query ?? {})}`;
  const [state, setState] = useState(() => {
    const data = key === null ? undefined : foreseen(where, query);
    return data ? { key, where, data, error: null, at: Date.now() } : { key: null, where: null, data: undefined, error: null, at: 0 };
  });
  const asked = useRef({ reload: () => {} });

  useEffect(() => {
    if (key === null) return undefined;
    const abort = new AbortController();
    let isAsking = false;
    let notBefore = state.key === key ? performance.now() + FRESH_MS : 0;

    async function load() {
      if (isAsking || document.hidden) return;
      isAsking = true;
      const began = performance.now();
      try {
        const data = await get(where, query, abort.signal);
        setState({ key, where, data, error: null, at: Date.now() });
      } catch (error) {
        if (error.name === "AbortError") return;
        if (!(error instanceof ApiError)) throw error;
        setState((old) => ({ ...old, key, where, data: old.where === where ? old.data : undefined, error }));
      } finally {
        isAsking = false;
        notBefore = performance.now() + SHARE * (performance.now() - began);
      }
    }

    asked.current.reload = load;
    if (performance.now() >= notBefore) load();
    const stop = isStill ? () => {} : pulse.subscribe(() => performance.now() >= notBefore && load());
    return () => {
      abort.abort();
      stop();
    };
  }, [key]);

  const isOther = state.where !== where;
  return {
    data: isOther ? undefined : state.data,
    error: isOther ? null : state.error,
    at: state.at,
    isLoading: state.key !== key && key !== null,
    reload: () => asked.current.reload(),
  };
}

/** The current time, updated every second, for ages. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
