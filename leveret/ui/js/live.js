/**
 * What changes: one stream of events tells when the broker has looked at its numbers again, and pages ask anew then.
 * A hidden tab asks nothing. When the broker is gone, what is known stays, and `contact` says since when.
 */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, addressOf, get, hasExpired, resume, session } from "./api.js";

const AGAIN_MS = 2000;  // after which it tries again to reach the broker
const SHARE = 25;  // a page may keep the broker busy for one part in so many of the time
const QUIET_MS = 15000;  // a hidden tab goes on for so long

/** A number that grows each time the broker has new numbers. */
export const pulse = signal(0);

/** What the last event said of everything: {timestamp, connections, queues, message_stats, queue_totals}. */
export const totals = signal(null);

/** Since when the broker cannot be reached, in milliseconds; null while it can. */
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
    else hasExpired.value = true;  // a broker that has started anew knows no sessions
  } catch {
    setTimeout(again, AGAIN_MS);
  }
}

function close() {
  source?.close();
  source = null;
}

/** Follow the broker while somebody has logged in. */
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
 * What the API answers to a path, asked again whenever there are new numbers; null as a path asks nothing.
 * Returns: {data, error, at, isLoading, reload}. data stays when a later answer fails, and at says how old it is.
 * With isStill, it is asked once only.
 */
export function useLive(where, query, { isStill = false } = {}) {
  const key = where === null ? null : `${where}?${JSON.stringify(query ?? {})}`;
  const [state, setState] = useState({ key: null, where: null, data: undefined, error: null, at: 0 });
  const asked = useRef({ reload: () => {} });

  useEffect(() => {
    if (key === null) return undefined;
    const abort = new AbortController();
    let isAsking = false;
    let notBefore = 0;

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
    load();
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

/** A number that changes every second, for times that are told as ages. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
