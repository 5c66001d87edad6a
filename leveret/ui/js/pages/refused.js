/** Refused: the latest refused and unroutable publishes, with publisher, time, reason and a suggested fix. */
import { useRef, useState } from "preact/hooks";
import { Ago, Empty, Fault, Heading, Name, Tag, Waiting, sentence } from "../components/basic.js";
import { Choice, Filter } from "../components/table.js";
import { VhostChoice } from "../components/vhosts.js";
import { count, exchangeName, plural } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { href } from "../router.js";

const LIMIT = 500;
const PIECE = 50;  // entries that are shown at first

/** The label, colour and suggested fix of each kind. */
const KINDS = {
  unroutable: ["unroutable", "dead", "Bind a queue to the exchange for this routing key, or correct the key. Publishers are notified only if they set mandatory."],
  returned: ["unroutable, returned", "trouble", "Bind a queue to the exchange for this routing key, or correct the key. The message was mandatory, so it was returned to the publisher."],
  no_exchange: ["no exchange", "trouble", "Declare the exchange, or correct its name. The channel of the publisher was closed."],
  no_permission: ["no permission", "trouble", "Give the user write permission on this exchange."],
  topic_forbidden: ["routing key not permitted", "trouble", "Change the topic permissions of the user, or publish with another routing key."],
  too_large: ["too large", "trouble", "Publish smaller messages, or raise --max-message-size."],
  invalid: ["invalid property", "trouble", "Correct the properties in the publisher."],
  queue_full: ["queue full", "ready", "Consume faster, or raise the limit of the queue. Publishers with confirms received a nack."],
  queue_faulty: ["faulty queue", "trouble", "Check the node: the queue accepts no messages until it is repaired."],
  not_written: ["not written", "trouble", "Check the disk of the node."],
  duplicate: ["duplicate", null, "Nothing to fix: the queue already had the message, and the publisher received a confirm."],
  observer: ["injected fault", null, "A test injected this fault."],
};

const keyOf = (each) => [each.kind, each.vhost, each.exchange, each.routing_key, each.queue, each.user, each.first_at].join("\n");

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** Rows in a fixed order while the pointer is on them. */
function useStill(rows) {
  const [isHeld, setHeld] = useState(false);
  const kept = useRef([]);
  if (!isHeld) kept.current = rows.map(keyOf);
  const byKey = new Map(rows.map((row) => [keyOf(row), row]));
  const shown = kept.current.map((key) => byKey.get(key)).filter(Boolean);
  return { shown, fresh: rows.length - shown.length, hold: setHeld };
}

export default function Refused({ query }) {
  const { data, error, reload } = useLive("leveret/refused", { limit: LIMIT, vhost: query.vhost });
  const [most, setMost] = useState(PIECE);
  const wanted = (query.q ?? "").toLowerCase();
  const all = data?.refused ?? [];
  const rows = all.filter((each) => (!query.kind || each.kind === query.kind) && (!wanted || [each.exchange, each.routing_key, each.user, each.queue, each.reason].some((text) => text?.toLowerCase().includes(wanted))));
  const { shown, fresh, hold } = useStill(rows);
  const kinds = [...new Set(all.map(({ kind }) => kind))].sort();

  return html`
    <${Heading} title="Refused"><a class="button" href=${href("explain")}>Explain a message</a><//>
    <p class="lead">The latest messages that reached no queue, or that the broker or a queue refused.</p>
    <${Filter} what="by exchange, key, user or reason">
      ${kinds.length > 1 && html`<${Choice} name="kind" label="Reason" choices=${[["", "All", all.length], ...kinds.map((kind) => [kind, capital(KINDS[kind]?.[0] ?? kind)])]} />`}
      <${VhostChoice} />
    <//>
    ${error && html`<${Fault} error=${error} what=${data ? "This list is out of date." : "The list could not be read."} again=${reload} />`}
    ${!data && !error && html`<${Waiting} />`}
    ${data && !all.length && html`<${Empty} title="No refused messages" command="leveret messages refused">Unroutable messages and refused publishes appear here with the reason. The list is cleared when the broker restarts.<//>`}
    ${all.length > 0 && !rows.length && html`<${Empty} title="No matching entries">Change the filter to see other entries.<//>`}
    ${fresh > 0 && html`<button type="button" class="fresh" onClick=${() => hold(false)}>${plural(fresh, "new entry", "new entries")}</button>`}
    <ul class="entries" aria-label="Refused publishes" onPointerEnter=${(event) => event.pointerType === "mouse" && hold(true)} onPointerLeave=${() => hold(false)}>
      ${shown.slice(0, most).map((each) => html`<${Entry} key=${keyOf(each)} entry=${each} />`)}
    </ul>
    ${shown.length > most && html`<button type="button" onClick=${() => setMost(most + PIECE)}>Show more of ${plural(shown.length - most, "further entry", "further entries")}</button>`}
    ${data?.left_out > 0 && html`<p class="faint">${plural(data.left_out, "further publish", "further publishes")} came too fast to be recorded individually.</p>`}`;
}

function Entry({ entry }) {
  const [word, hue, cure] = KINDS[entry.kind] ?? [entry.kind, null, ""];
  const { vhost, exchange, routing_key: key } = entry;
  const place = vhost === "/" ? undefined : vhost;
  return html`<li class="entry">
    <div class="what">
      <p>
        <${Tag} of=${hue}>${word}<//>
        <${Name} name=${exchangeName(exchange)} to=${href("exchanges", vhost, exchange || "amq.default")} />
        <span class="faint" role="img" aria-label="with the routing key">→</span>
        ${key ? html`<code class="key">${key}</code>` : html`<span class="faint">no routing key</span>`}
        ${place && html`<span class="faint">in ${place}</span>`}
      </p>
      <p>${sentence(entry.reason)} ${entry.hint ? sentence(entry.hint) : ""} <span class="faint">${cure}</span></p>
      <p class="small links">
        <a href=${href("explain", { vhost: place, exchange: exchange || undefined, key: key || undefined, user: entry.user ?? undefined })}>Explain</a>
        ${entry.queue && html`<a href=${href("queues", vhost, entry.queue)}>Queue ${entry.queue}</a>`}
        ${entry.connection && html`<${Publisher} entry=${entry} />`}
        ${entry.message_id && html`<span class="faint">message id <code>${entry.message_id}</code></span>`}
      </p>
    </div>
    <div class="when">
      <b>${count(entry.count)}${entry.count === 1 ? "" : "×"}</b>
      <span>last <${Ago} at=${entry.last_at} /></span>
      ${entry.count > 1 && html`<span class="faint">first <${Ago} at=${entry.first_at} /></span>`}
      ${entry.user && html`<span class="faint">by ${entry.user}</span>`}
    </div>
  </li>`;
}

/** The latest publisher. Publishes over HTTP have no connection to link to. */
function Publisher({ entry: { connection, count: number } }) {
  const which = number > 1 ? "the last from" : "from";
  if (!connection.includes(" -> ")) return html`<span class="faint">${which} the ${connection}</span>`;
  return html`<span class="faint">${which} <a href=${href("connections", connection)}>connection ${connection}</a></span>`;
}
