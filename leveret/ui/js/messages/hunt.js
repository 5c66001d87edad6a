/** A running search: results arrive one by one; it can be stopped and continued. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, lines, path } from "../api.js";

const SHOW_MS = 100;  // interval at which the page shows new results
export const CUT = 2000;  // bytes of a body for a list

/** The path of an operation on the messages of a queue. what: search or act. */
export function placeOf(vhost, name, what) {
  return `leveret/${path("queues", vhost, name, "messages", what)}`;
}

/** A message with absolute times, and a place near it for faster searches. */
function known(message, from) {
  const at = Date.now();
  return {
    ...message,
    arrivedAt: message.age_s === null || message.age_s === undefined ? null : at - message.age_s * 1000,
    heldAt: message.held ? at - message.held.since_s * 1000 : null,
    dueAt: message.ready_in_s === undefined ? null : at + message.ready_in_s * 1000,
    from,
  };
}

const NOTHING = { rows: [], progress: null, begin: null, error: null, isRunning: false, isStopped: false, at: 0 };

/**
 * Search messages. request: from requestOf(), or null for none yet. page: messages per page.
 * Returns: {rows, progress, begin, error, isRunning, isStopped, hasMore, at, more, stop, again, forget}.
 */
export function useHunt(vhost, name, request, page) {
  const [state, setState] = useState(NOTHING);
  const run = useRef({ abort: null, state: NOTHING, timer: 0 });
  const key = request && JSON.stringify([vhost, name, request, page]);

  function show() {
    clearTimeout(run.current.timer);
    run.current.timer = 0;
    setState({ ...run.current.state, rows: [...run.current.state.rows] });
  }

  function change(next, isSoon) {
    run.current.state = { ...run.current.state, ...next };
    if (isSoon) show();
    else run.current.timer ||= setTimeout(show, SHOW_MS);
  }

  async function look(place) {
    run.current.abort?.abort();
    const abort = (run.current.abort = new AbortController());
    const rows = [...run.current.state.rows];
    const ids = new Set(rows.map(({ id }) => id));
    let from = place ?? undefined;
    const before = place ? (run.current.state.progress?.looked ?? 0) : 0;
    change({ error: null, isRunning: true, isStopped: false, at: Date.now() }, rows.length > 0);
    const told = (progress) => ({ ...progress, looked: before + progress.looked, total: Math.max(run.current.state.progress?.total ?? 0, progress.total), found: rows.length });
    try {
      const body = { ...request, limit: page, truncate: CUT, ...(place ? { place } : {}) };
      for await (const line of lines("POST", placeOf(vhost, name, "search"), { body, signal: abort.signal })) {
        if (abort.signal.aborted) return;
        if (line.error) throw new ApiError(400, line.error);
        if (line.message) {
          if (!ids.has(line.message.id)) rows.push(known(line.message, from));
          ids.add(line.message.id);
          change({ rows });
        } else {
          const progress = line.progress ?? line.end;
          from = progress.place ?? undefined;
          change({ rows, progress: told(progress), begin: run.current.state.begin ?? progress.begin });
        }
      }
      change({ isRunning: false }, true);
    } catch (error) {
      if (run.current.abort !== abort || error.name === "AbortError") return;
      if (!(error instanceof ApiError)) throw error;
      change({ isRunning: false, error }, true);
    }
  }

  function again() {
    run.current.state = { ...NOTHING };
    look(null);
  }

  useEffect(() => {
    if (request) again();
    else change({ ...NOTHING }, true);
    return () => {
      run.current.abort?.abort();
      clearTimeout(run.current.timer);
      run.current.timer = 0;
    };
  }, [key]);

  return {
    ...(key ? state : NOTHING),
    hasMore: Boolean(state.progress?.place) && !state.isRunning,
    again,
    more: () => look(run.current.state.progress?.place ?? null),
    stop() {
      run.current.abort?.abort();
      change({ isRunning: false, isStopped: true }, true);
    },
    forget(gone) {
      change({ rows: run.current.state.rows.filter(({ id }) => !gone.has(id)) }, true);
    },
  };
}

/** One message, with at most `most` bytes of its body. Returns: null if it is no longer in the queue. */
export async function fetchMessage(vhost, name, { id, state, from, isNewest, most, abort }) {
  const ask = async (place, states) => {
    const body = { ids: [id], states, limit: 1, truncate: most, newest_first: isNewest, ...(place ? { place } : {}) };
    for await (const line of lines("POST", placeOf(vhost, name, "search"), { body, signal: abort })) {
      if (line.error) throw new ApiError(400, line.error);
      if (line.message) return known(line.message, place);
    }
    return null;
  };
  const all = ["ready", "unacked", "delayed"];
  return (from && (await ask(from, state ? [state] : all))) || ask(null, all);
}
