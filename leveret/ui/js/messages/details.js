/** Properties and headers of a message, as tables. */
import { exact } from "../format.js";
import { html } from "../html.js";

/** Names and values in an accessible table. */
function Pairs({ name, pairs }) {
  return html`<div class="pairs"><table aria-label=${name}><tbody>
    ${pairs.map(([key, value]) => html`<tr key=${key}><th scope="row" class="mono">${key}</th><td class="mono">${value}</td></tr>`)}
  </tbody></table></div>`;
}

function written(value) {
  if (typeof value === "string") return value;
  return JSON.stringify(value, null, typeof value === "object" && value !== null ? 1 : undefined);
}

const SAID = {
  delivery_mode: (value) => (value === 2 ? "2, persistent" : value === 1 ? "1, transient" : String(value)),
  timestamp: (value) => `${value}, ${exact(value * 1000)}`,
  expiration: (value) => `${value} ms`,
};

export function Details({ message }) {
  const { headers, ...properties } = message.properties;
  const plain = Object.entries(properties).map(([key, value]) => [key, SAID[key]?.(value) ?? String(value)]);
  const kept = Object.entries(headers ?? {}).map(([key, value]) => [key, written(value)]);
  return html`
    <section><h3>Properties</h3><${Pairs} name="Properties" pairs=${[["exchange", message.exchange || "(default exchange)"], ["routing_key", message.routing_key], ...plain, ["id", message.id]]} /></section>
    <section><h3>Headers</h3>${kept.length ? html`<${Pairs} name="Headers" pairs=${kept} />` : html`<p class="faint">No headers.</p>`}</section>`;
}
