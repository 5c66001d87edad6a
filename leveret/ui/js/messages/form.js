/** Form fields of a message: exchange, routing key, properties, headers, body. */
import { path } from "../api.js";
import { Field } from "../components/dialog.js";
import { exchangeName } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";

const TYPES = ["application/json", "text/plain", "text/xml", "application/octet-stream"];
const NUMBERS = ["delivery_mode", "priority", "timestamp"];
const MORE = [
  ["message_id", "Message id"],
  ["correlation_id", "Correlation id"],
  ["reply_to", "Reply to"],
  ["type", "Type"],
  ["expiration", "Expiration (ms)"],
  ["priority", "Priority"],
  ["timestamp", "Timestamp (s since 1970)"],
  ["user_id", "User id"],
  ["app_id", "Application id"],
  ["content_encoding", "Content encoding"],
];

/** An empty message. */
export const BLANK = { exchange: "", key: "", properties: { content_type: "application/json", delivery_mode: "2" }, headers: [], payload: "" };

/** The value of a typed header: parsed if it is JSON, otherwise a text. */
export function headerValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A header value as editable text. A text that would parse as JSON is quoted. */
export function headerText(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  return typeof headerValue(value) === "string" && !/^\s*"/.test(value) ? value : JSON.stringify(value);
}

/** Properties in the format of the API, from texts. Raises: Error. */
export function propertiesOf({ properties, headers }) {
  const found = {};
  for (const [name, text] of Object.entries(properties)) {
    if (text === "" || text === undefined) continue;
    if (!NUMBERS.includes(name)) found[name] = text;
    else if (/^\d+$/.test(text.trim())) found[name] = Number(text);
    else throw new Error(`${name} must be a number, not “${text}”`);
  }
  const named = headersOf(headers);
  if (Object.keys(named).length) found.headers = named;
  return found;
}

/** Headers from rows of names and texts. */
export function headersOf(rows) {
  return Object.fromEntries(rows.filter(([name]) => name).map(([name, text]) => [name, headerValue(text)]));
}

/** Headers in which the broker records the deaths of a message. They are not editable. */
export const OF_DEATH = /^x-(death|(first|last)-death-.*|redrive-death|redrive-count)$/;

/** A message from the API as form values, without the headers about its deaths. */
export function writtenOf(message, payload) {
  const { headers, ...properties } = message.properties;
  return {
    exchange: message.exchange,
    key: message.routing_key,
    properties: Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, String(value)])),
    headers: Object.entries(headers ?? {}).filter(([name]) => !OF_DEATH.test(name)).map(([name, value]) => [name, headerText(value)]),
    payload,
  };
}

/** Fields for an exchange and a routing key, with suggestions. change({exchange, key}). */
export function Where({ vhost, exchange, routingKey, change, isKeyOpen }) {
  const exchanges = useLive(path("exchanges", vhost), { columns: "name,type,internal" }, { isStill: true });
  const queues = useLive(exchange ? null : path("queues", vhost), { columns: "name" }, { isStill: true });
  const bindings = useLive(exchange ? path("exchanges", vhost, exchange, "bindings", "source") : null, { columns: "routing_key" }, { isStill: true });
  const keys = exchange ? [...new Set((bindings.data ?? []).map((each) => each.routing_key).filter(Boolean))] : (queues.data ?? []).map(({ name }) => name);
  const known = (exchanges.data ?? []).filter(({ internal }) => !internal);
  const kind = known.find(({ name }) => name === exchange)?.type;
  return html`
    <${Field} label="Exchange" hint=${kind && exchange ? `a ${kind} exchange` : exchange ? "" : "The default exchange routes to the queue that is named by the routing key."}>
      <input class="mono" list="exchanges-known" value=${exchange} placeholder=${exchangeName("")} onInput=${(event) => change({ exchange: event.target.value })} autocomplete="off" spellcheck="false" />
      <datalist id="exchanges-known">${known.filter(({ name }) => name).map(({ name, type }) => html`<option key=${name} value=${name}>${type}</option>`)}</datalist>
    <//>
    <${Field} label="Routing key" hint=${isKeyOpen ? "Empty: each message keeps its own." : exchange ? (keys.length ? "Suggestions are the binding keys of the exchange." : "") : "The name of a queue."}>
      <input class="mono" list="keys-known" value=${routingKey} onInput=${(event) => change({ key: event.target.value })} autocomplete="off" spellcheck="false" />
      <datalist id="keys-known">${keys.slice(0, 500).map((key) => html`<option key=${key} value=${key}></option>`)}</datalist>
    <//>`;
}

/** Rows of names and values of headers. */
export function Headers({ rows, change }) {
  const set = (at, next) => change(rows.map((row, index) => (index === at ? next : row)));
  return html`<fieldset class="headers">
    <legend>Headers</legend>
    ${rows.map(
      ([name, value], at) => html`<div key=${at} class="header-row">
        <input class="mono" aria-label="Name of the header" placeholder="name" value=${name} onInput=${(event) => set(at, [event.target.value, value])} />
        <input class="mono" aria-label=${`Value of ${name || "the header"}`} placeholder="value" value=${value} onInput=${(event) => set(at, [name, event.target.value])} />
        <button type="button" class="quiet" aria-label=${`Remove ${name || "the header"}`} onClick=${() => change(rows.filter((_, index) => index !== at))}>✕</button>
      </div>`,
    )}
    <div class="row">
      <button type="button" onClick=${() => change([...rows, ["", ""]])}>Add a header</button>
      ${rows.length > 0 && html`<small class="faint">Values are parsed as JSON if possible: 3, true, {"a": 1}. Quotes make a text: "3".</small>`}
    </div>
  </fieldset>`;
}

/** Fields of properties. Less common ones are under "More properties". */
export function PropertyFields({ properties, change }) {
  const set = (name) => (event) => change({ ...properties, [name]: event.target.value });
  const isOpen = MORE.some(([name]) => properties[name] && !(name === "priority" && properties[name] === "0"));
  return html`
    <div class="form columns">
      <${Field} label="Content type">
        <input class="mono" list="types-known" value=${properties.content_type ?? ""} onInput=${set("content_type")} autocomplete="off" />
        <datalist id="types-known">${TYPES.map((type) => html`<option key=${type} value=${type}></option>`)}</datalist>
      <//>
      <${Field} label="Delivery mode">
        <select value=${properties.delivery_mode ?? ""} onChange=${set("delivery_mode")}>
          ${[["", "Not set"], ["2", "Persistent: survives a restart"], ["1", "Transient"]].map(([value, label]) => html`<option key=${value} value=${value} selected=${value === (properties.delivery_mode ?? "")}>${label}</option>`)}
        </select>
      <//>
    </div>
    <details open=${isOpen}>
      <summary>More properties</summary>
      <div class="form columns tight">
        ${MORE.map(([name, label]) => html`<${Field} key=${name} label=${label}><input class="mono" value=${properties[name] ?? ""} onInput=${set(name)} autocomplete="off" /><//>`)}
      </div>
    </details>`;
}

/** The field of the body, with a warning about invalid JSON. note: a hint. */
export function BodyField({ payload, type, change, note, disabled }) {
  return html`<${Field} label="Body" hint=${note}>
    <textarea rows="8" value=${payload} disabled=${disabled} spellcheck="false" onInput=${(event) => change(event.target.value)}></textarea>
    <${JsonCheck} payload=${payload} type=${type} />
  <//>`;
}

function JsonCheck({ payload, type }) {
  if (!/json/.test(type ?? "") || !payload.trim() || payload.length > 1 << 20) return null;
  try {
    JSON.parse(payload);
    return null;
  } catch (error) {
    return html`<small class="of-ready" role="status">The content type is JSON, but the body is not valid JSON: ${error.message}</small>`;
  }
}
