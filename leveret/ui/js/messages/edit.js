/** Edit and republish: changes a message and moves it to the end of its queue or to another target. */
import { useState } from "preact/hooks";
import { ApiError, path, post } from "../api.js";
import { sentence } from "../components/basic.js";
import { Dialog } from "../components/dialog.js";
import { exchangeName, size } from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { leftovers, perform } from "./act.js";
import { BodyField, Headers, PropertyFields, Where, headersOf, propertiesOf, writtenOf } from "./form.js";

/** The changes in the format of the API: {payload, properties, headers}. Raises: Error. */
export function changesOf(before, after, isText) {
  const edit = { properties: changed(propertiesOf({ ...before, headers: [] }), propertiesOf({ ...after, headers: [] })), headers: changed(headersOf(before.headers), headersOf(after.headers)) };
  if (isText && before.payload !== after.payload) edit.payload = after.payload;
  return edit;
}

function changed(old, fresh) {
  const found = {};
  for (const [name, value] of Object.entries(fresh)) if (JSON.stringify(old[name]) !== JSON.stringify(value)) found[name] = value;
  for (const name of Object.keys(old)) if (!(name in fresh)) found[name] = null;
  return found;
}

/** message: with its whole body. done(result): called afterwards. */
export function EditMessage({ vhost, name, message, close, done }) {
  const isText = message.payload_encoding === "string" && !message.is_truncated;
  const before = writtenOf(message, isText ? message.payload : "");
  const origin = message.death;
  const [after, setAfter] = useState(origin ? { ...before, exchange: origin.exchange, key: origin.routing_keys[0] ?? "" } : before);
  const home = origin && origin.queue !== name ? origin.queue : null;
  const [goes, setGoes] = useState(home ? "home" : "queue");
  const canTake = message.state === "ready";
  const [keeps, setKeeps] = useState(!canTake);
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const change = (next) => setAfter((old) => ({ ...old, ...next }));

  const target = { queue: name, home }[goes];  // a queue; undefined for an exchange

  /** Publish a changed copy. */
  async function publish() {
    const exchange = target ? "amq.default" : after.exchange || "amq.default";
    const routing_key = target ?? after.key;
    const body = { routing_key, properties: propertiesOf(after), payload: isText ? after.payload : message.payload, payload_encoding: isText ? "string" : message.payload_encoding };
    const { routed } = await post(`${path("exchanges", vhost, exchange)}/publish`, body);
    if (!routed) throw new ApiError(422, `the message reaches no queue: nothing is bound to ${exchangeName(target ? "" : after.exchange)} for ${routing_key || "an empty routing key"}`);
  }

  /** Replace the message with a changed one. */
  async function replace() {
    const where = target ? { to_queue: target } : { to_exchange: after.exchange, routing_key: after.key };
    const edit = changesOf(before, after, isText);
    const last = await perform(vhost, name, { action: "republish", ids: [message.id], limit: 1, place: message.from, ...where, edit });
    if (last.done) return;
    throw new ApiError(409, leftovers(last)[0] ?? "the message left the queue in the meantime, so nothing was changed");
  }

  async function send(event) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await (keeps ? publish() : replace());
      const what = keeps ? "A changed copy was published" : "The message was changed";
      const where = target ? `to the end of ${target}` : `through ${exchangeName(after.exchange)} with ${after.key || "an empty routing key"}`;
      done({ text: `${what} and sent ${where}.`, more: [], to: target ? href("queues", vhost, target, { tab: "messages", order: "newest" }) : href("explain", { vhost, exchange: after.exchange, key: after.key }), label: target ? "Show it" : "Explain its route" }, keeps ? null : message.id);
      close();
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  }

  return html`<${Dialog} title="Edit and republish" close=${close} isWide>
    <form class="form" onSubmit=${send}>
      <fieldset class="choices"><legend>Target</legend>
        ${home && html`<label class="check"><input type="radio" name="goes" checked=${goes === "home"} onChange=${() => setGoes("home")} /> <span>Back to the end of <code>${home}</code>, where it died</span></label>`}
        <label class="check"><input type="radio" name="goes" checked=${goes === "queue"} onChange=${() => setGoes("queue")} /> <span>To the end of <code>${name}</code></span></label>
        <label class="check"><input type="radio" name="goes" checked=${goes === "exchange"} onChange=${() => setGoes("exchange")} /> Through an exchange</label>
      </fieldset>
      ${goes === "exchange" && html`<div class="form columns"><${Where} vhost=${vhost} exchange=${after.exchange} routingKey=${after.key} change=${change} /></div>`}
      <${BodyField} payload=${isText ? after.payload : ""} disabled=${!isText} type=${after.properties.content_type} change=${(payload) => change({ payload })} note=${isText ? "" : `The body is binary: its ${size(message.payload_bytes)} do not change.`} />
      <${PropertyFields} properties=${after.properties} change=${(properties) => change({ properties })} />
      <${Headers} rows=${after.headers} change=${(headers) => change({ headers })} />
      ${origin && html`<p class="faint">${keeps ? "The copy is a new message, without the broker's headers about its deaths." : "The broker's headers about its deaths stay."}</p>`}
      <label class="check"><input type="checkbox" checked=${keeps} disabled=${!canTake} onChange=${(event) => setKeeps(event.target.checked)} /> <span>Keep the original message${canTake ? "" : ": a consumer holds it"}</span></label>
      ${error && html`<p class="fault" role="alert">${sentence(error.message)}</p>`}
      <footer>
        <button type="button" onClick=${close}>Cancel</button>
        <button type="submit" class="primary" disabled=${isBusy}>${isBusy ? "Working…" : keeps ? "Publish a changed copy" : "Republish the changed message"}</button>
      </footer>
    </form>
  <//>`;
}
