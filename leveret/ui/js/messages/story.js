/** The history of a message, in sentences. */
import { Ago, Name } from "../components/basic.js";
import { exchangeName, span } from "../format.js";
import { html } from "../html.js";
import { now } from "../live.js";
import { href } from "../router.js";

/** Reasons of death, in words. */
export const REASONS = {
  rejected: "rejected by a consumer",
  expired: "expired",
  maxlen: "dropped from a full queue",
  delivery_limit: "exceeded the delivery limit",
};

/** The same in short, after numbers. */
export const BRIEF = { rejected: "rejected", expired: "expired", maxlen: "dropped from a full queue", delivery_limit: "over the delivery limit" };

/** The deaths of a message, latest first: [{reason, queue, exchange, keys, count, at}]. */
export function deathsOf(message) {
  const found = message.properties.headers?.["x-death"];
  if (!Array.isArray(found)) return [];
  return found
    .filter((each) => typeof each === "object" && each)
    .map((each) => ({
      reason: String(each.reason ?? ""),
      queue: String(each.queue ?? ""),
      exchange: String(each.exchange ?? ""),
      keys: Array.isArray(each["routing-keys"]) ? each["routing-keys"].map(String) : [],
      count: Number(each.count) || 1,
      at: typeof each.time === "number" ? each.time * 1000 : null,
    }));
}

function Exchange({ vhost, name }) {
  return html`<${Name} name=${exchangeName(name)} to=${href("exchanges", vhost, name || "amq.default")} />`;
}

function Keys({ keys }) {
  if (!keys.length || (keys.length === 1 && !keys[0])) return " with no routing key";
  return html` with ${keys.map((key, at) => html`${at ? ", " : ""}<code>${key}</code>`)}`;
}

function DeathStory({ vhost, death }) {
  const { reason, queue, exchange, keys, count, at } = death;
  return html`<li class="of-death">
    <b>${(REASONS[reason] ?? reason).replace(/^./, (first) => first.toUpperCase())}</b>${count > 1 ? ` ${count} times, ` : " "}${at ? html`${count > 1 ? "first " : ""}<${Ago} at=${at} />, ` : ""}in <${Name} name=${queue} to=${href("queues", vhost, queue)} />.
    It had arrived through <${Exchange} vhost=${vhost} name=${exchange} /><${Keys} keys=${keys} />.
  </li>`;
}

/** The state of a message, its consumer, and how it came here. */
export function Story({ message, vhost }) {
  const deaths = deathsOf(message);
  const redriven = message.death?.redriven ?? 0;
  return html`<ul class="story" aria-label="History">
    <${Now} message=${message} />
    <li>It arrived through <${Exchange} vhost=${vhost} name=${message.exchange} /><${Keys} keys=${[message.routing_key]} />${message.arrivedAt ? html`. The broker accepted it <${Ago} at=${message.arrivedAt} />` : ""}.</li>
    ${message.redelivered && html`<li>It was delivered before and requeued: it is marked as <b>redelivered</b>.</li>`}
    ${redriven > 0 && html`<li>It was sent back ${redriven === 1 ? "once" : `${redriven} times`}, and died again.</li>`}
    ${deaths.map((death, at) => html`<${DeathStory} key=${at} vhost=${vhost} death=${death} />`)}
  </ul>`;
}

function Now({ message }) {
  const { held } = message;
  if (held) {
    return html`<li class="of-unacked"><b>Unacknowledged.</b> <span class="plain-text">Held for ${span((now.value - message.heldAt) / 1000)} by
      ${held.consumer_tag ? html` consumer <code>${held.consumer_tag}</code>` : " basic.get"} of
      ${held.connection ? html` <a class="mono" href=${href("connections", held.connection)}>${held.label || held.connection}</a>` : ` ${held.label || "a client"}`},
      channel ${held.channel}, delivery tag ${held.delivery_tag}.</span></li>`;
  }
  if (message.state === "delayed") return html`<li><b>Delayed.</b> It waits for redelivery${message.dueAt ? html` in ${span(Math.max(0, message.dueAt - now.value) / 1000)}` : ""}.</li>`;
  return html`<li class="of-ready"><b>Ready.</b> <span class="plain-text">It waits for a consumer.</span></li>`;
}
