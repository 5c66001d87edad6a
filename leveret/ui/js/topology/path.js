/** The route of a message: explained by the broker, shown in words, and highlighted in the graph. */
import { useEffect, useState } from "preact/hooks";
import { ApiError, path, post } from "../api.js";
import { sentence } from "../components/basic.js";
import { exchangeName } from "../format.js";
import { classes, html } from "../html.js";
import { href, setQuery } from "../router.js";

const PAUSE_MS = 200;  // delay after the last key before a request

/** Headers from typed JSON: {headers, problem}. */
function readHeaders(text) {
  if (!text?.trim()) return { headers: undefined };
  try {
    const headers = JSON.parse(text);
    if (headers && typeof headers === "object" && !Array.isArray(headers)) return { headers };
  } catch {
    // reported below
  }
  return { problem: 'Headers must be a JSON object, for example {"region": "eu"}.' };
}

/** The broker's explanation of the message in the query: {explained, problem}. */
export function useExplained(vhost, { exchange, key, headers: text }) {
  const [found, setFound] = useState({ explained: null, problem: null });
  const isAsked = exchange !== undefined;
  useEffect(() => {
    if (!isAsked) {
      setFound({ explained: null, problem: null });
      return undefined;
    }
    const { headers, problem } = readHeaders(text);
    if (problem) {
      setFound({ explained: null, problem });
      return undefined;
    }
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const name = exchange === "amq.default" ? "" : exchange;
        const explained = await post(`leveret/explain/${path(vhost)}`, { exchange: name, routing_key: key ?? "", headers }, { signal: abort.signal });
        setFound({ explained, problem: null });
      } catch (error) {
        if (error.name === "AbortError") return;
        if (!(error instanceof ApiError)) throw error;
        setFound({ explained: null, problem: sentence(error.message) });
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [vhost, exchange, key, text]);
  return found;
}

/** The form for the message, and the result. exchanges: names. */
export function PathForm({ query, exchanges, found: { explained, problem } }) {
  const names = [...new Set([...exchanges, ...(query.exchange && query.exchange !== "amq.default" ? [query.exchange] : [])])];
  const change = (name) => (event) => setQuery({ [name]: event.target.value || undefined });
  const isOn = query.exchange !== undefined;
  return html`
    <form class="light" onSubmit=${(event) => event.preventDefault()} aria-label="Show a route">
      <select aria-label="Publish to" value=${query.exchange ?? ""} onChange=${(event) => setQuery(event.target.value ? { exchange: event.target.value } : { exchange: undefined, key: undefined, headers: undefined })}>
        <option value="">Show a route from…</option>
        ${names.map((name) => html`<option key=${name} value=${name || "amq.default"} selected=${(name || "amq.default") === query.exchange}>${exchangeName(name)}</option>`)}
      </select>
      ${isOn && html`
        <input class="mono" aria-label="Routing key" placeholder="routing key" value=${query.key ?? ""} onInput=${change("key")} autocomplete="off" spellcheck=${false} />
        <input class="mono" aria-label="Headers as JSON" placeholder='headers: {"region": "eu"}' value=${query.headers ?? ""} onInput=${change("headers")} autocomplete="off" spellcheck=${false} />
        <button type="button" class="quiet" onClick=${() => setQuery({ exchange: undefined, key: undefined, headers: undefined })}>Clear route</button>`}
    </form>
    ${isOn && html`<p class=${classes("way-said", { "of-trouble": problem || (explained && explained.outcome !== "routed") })} role="status">
      ${problem ?? (explained ? sentence(explained.conclusion) : "Explaining…")}
      ${explained?.hints.map((hint) => html` <span key=${hint} class="hint">${hint}</span>`)}
      ${explained && html` <a href=${href("explain", { exchange: query.exchange, key: query.key, headers: query.headers })}>Show each step</a>`}
    </p>`}`;
}
