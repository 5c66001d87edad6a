/** How the broker routes a message, step by step and with reasons. */
import { Name, Tag, sentence } from "../components/basic.js";
import { breakable, count, exchangeName, plural, span } from "../format.js";
import { html, classes } from "../html.js";
import { href } from "../router.js";
import { BRIEF } from "./story.js";

const OUTCOMES = {
  routed: ["of-out", "Routed"],
  unroutable: ["of-trouble", "Unroutable"],
  refused: ["of-trouble", "Refused"],
};
const QUEUE_OUTCOMES = { takes: null, drops_head: "ready", refuses: "trouble", duplicate: "ready" };

function Exchange({ vhost, name }) {
  return html`<${Name} name=${exchangeName(name)} to=${href("exchanges", vhost, name || "amq.default")} />`;
}

function Key({ text }) {
  return text === "" ? html`<span class="faint">an empty key</span>` : html`<code>${breakable(text)}</code>`;
}

/** found: the answer of the API. */
export function Explanation({ vhost, found }) {
  const [hue, word] = OUTCOMES[found.outcome] ?? ["", found.outcome];
  const [first, ...dead] = found.paths;
  return html`<div class="explanation">
    <p class=${classes("verdict", hue === "of-out" ? "calm" : hue)}><i class="dot" aria-hidden="true"></i>${word}${found.outcome === "routed" ? ` to ${plural(found.queue_count, "queue")}` : ""}</p>
    ${found.outcome !== "routed" && html`<p class="conclusion">${sentence(found.conclusion)}</p>`}
    ${found.queue_count > 0 && html`<p class="conclusion">${found.queues.slice(0, 12).map((name, at) => html`${at ? ", " : ""}<${Name} key=${name} name=${name} to=${href("queues", vhost, name)} />`)}${found.queue_count > 12 ? ` and ${count(found.queue_count - 12)} more` : ""}</p>`}
    <${Hints} found=${found} />
    ${found.checks.length > 0 && html`<${Checks} checks=${found.checks} />`}
    ${first && html`<section class="way" aria-label="Route"><h2>Route</h2><${Way} vhost=${vhost} path=${first} paths=${found.paths} /></section>`}
    ${dead.map((path, at) => html`<section class="way of-dying" key=${at} id=${`way-${at + 1}`} aria-label=${`Dead-letter route ${at + 1}`}>
      <h2>If it is dead-lettered: route ${at + 1}</h2>
      <p class="faint">Dead letters go to <${Exchange} vhost=${vhost} name=${path.exchange} /> with ${path.routing_keys.map((key, index) => html`${index ? ", " : ""}<${Key} text=${key} />`)}.</p>
      <${Way} vhost=${vhost} path=${path} paths=${found.paths} />
    </section>`)}
    ${!found.is_complete && html`<p class="faint">Not all steps are shown.</p>`}
    ${!found.is_exact && html`<p class="faint">The broker changed during the explanation. Explain again.</p>`}
  </div>`;
}

/** Hints about likely mistakes. found: an answer of the API, or null. */
export function Hints({ found }) {
  if (!found?.hints.length) return null;
  return html`<div class="notice hints"><div><b>Possible causes</b><ul>${found.hints.map((hint) => html`<li key=${hint}>${hint}</li>`)}</ul></div></div>`;
}

function Checks({ checks }) {
  return html`<ul class="passed" aria-label="Checks before routing">
    ${checks.map((check) => html`<li key=${check.what} class=${check.is_passed ? "" : "of-trouble"}><span class="sign" role="img" aria-label=${check.is_passed ? "Passed" : "Failed"}>${check.is_passed ? "✓" : "✕"}</span><span>${sentence(check.text)}${check.pattern ? html` Pattern: <code>${check.pattern}</code>` : ""}</span></li>`)}
  </ul>`;
}

/** The exchanges in the order of routing, each below the one before, and then the queues. */
function Way({ vhost, path, paths }) {
  const under = (at) => path.exchanges.map((step, index) => [step, index]).filter(([step]) => (step.came_from ?? null) === at);
  return html`<ol class="steps">
      ${under(null).map(([step, at]) => html`<${ExchangeStep} key=${at} vhost=${vhost} step=${step} at=${at} under=${under} />`)}
    </ol>
    ${path.queues.length > 0 && html`<ul class="arrivals" aria-label="Queues">
      ${path.queues.map((step) => html`<${QueueStep} key=${step.name} vhost=${vhost} step=${step} />`)}
      ${path.queue_count > path.queues.length && html`<li class="faint">and ${plural(path.queue_count - path.queues.length, "more queue")}</li>`}
    </ul>`}`;
}

function ExchangeStep({ vhost, step, at, under }) {
  return html`<li>
    <p><span class="faint">exchange</span> <${Exchange} vhost=${vhost} name=${step.name} /> <${Tag}>${step.type}<//>
      ${step.came_by === "alternate" && html` <${Tag}>alternate<//>`} ${step.text}</p>
    ${(step.interceptions ?? []).map((each) => html`<p key=${each.what} class="of-ready">${sentence(each.text)}</p>`)}
    ${step.matches?.length > 0 && html`<ul class="matches">
      ${step.matches.map((each, index) => html`<li key=${index}>
        <${Key} text=${each.routing_key} /> <span class="faint" role="img" aria-label="leads to">→</span> <span class="faint">${each.destination_type}</span>
        ${" "}<${Name} name=${each.destination || "(default exchange)"} to=${href(each.destination_type === "queue" ? "queues" : "exchanges", vhost, each.destination)} />
        <span class="reason">${each.reason}${each.is_by_chance ? ", one of several, chosen at random" : ""}${each.was_visited ? ", already visited" : ""}${each.arguments ? html` <code>${JSON.stringify(each.arguments)}</code>` : ""}</span>
      </li>`)}
      ${step.matched > step.matches.length && html`<li class="faint">and ${plural(step.matched - step.matches.length, "more binding")}</li>`}
    </ul>`}
    ${step.alternate && html`<p>${step.alternate.is_taken ? "Continues to the alternate exchange" : "The alternate exchange would be"} <${Exchange} vhost=${vhost} name=${step.alternate.exchange} /> <span class="faint">(${step.alternate.said_by})</span>${step.alternate.is_there ? "" : html`, <span class="of-trouble">which does not exist</span>`}.</p>`}
    ${under(at).length > 0 && html`<ol class="steps">${under(at).map(([next, index]) => html`<${ExchangeStep} key=${index} vhost=${vhost} step=${next} at=${index} under=${under} />`)}</ol>`}
  </li>`;
}

function QueueStep({ vhost, step }) {
  const hue = QUEUE_OUTCOMES[step.outcome];
  const dead = step.dead_letters;
  return html`<li>
    <p><span class="faint">queue</span> <${Name} name=${step.name} to=${step.type === "reply" ? undefined : href("queues", vhost, step.name)} />
      <${Tag}>${step.type}<//> <span class=${hue ? `of-${hue}` : ""}>${step.text}</span>${step.is_by_chance ? ", one of several, chosen at random" : ""}
      <span class="faint">${[`${count(step.ready ?? 0)} ready`, plural(step.consumers ?? 0, "consumer"), step.is_paused && "paused"].filter(Boolean).join(", ")}</span></p>
    <ul class="notes">
      ${step.ttl_ms !== undefined && html`<li>Expires after ${span(step.ttl_ms / 1000)} <span class="faint">(${step.ttl_said_by})</span>.</li>`}
      ${(step.notes ?? []).map((note) => html`<li key=${note}>${sentence(note)}</li>`)}
      ${dead && html`<li>If it is ${dead.reasons.map((reason) => BRIEF[reason] ?? reason).join(" or ")}: to <${Exchange} vhost=${vhost} name=${dead.exchange} /> with ${dead.routing_keys.map((key, at) => html`${at ? ", " : ""}<${Key} text=${key} />`)}
        ${" "}<span class="faint">(${dead.said_by})</span>${dead.is_there === false ? html`, <span class="of-trouble">which does not exist: the message is lost</span>` : ""}${dead.comes_back ? ", and back to this queue" : ""}${dead.path !== undefined && dead.path !== null ? `, see route ${dead.path}` : ""}.</li>`}
    </ul>
  </li>`;
}
