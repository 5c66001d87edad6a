/** The picture itself: what of the graph is where, and how thick, full and bright it is. */
import { brief, exchangeName, plural, rate } from "../format.js";
import { classes, html } from "../html.js";
import { href } from "../router.js";
import { BAR, RADIUS, labelOf } from "./layout.js";
import { LETTER, fit } from "./text.js";
import { letterOf, sayConsumer, sayEdge, sayExchange, sayPublisher, sayQueue } from "./words.js";

const MOST_DOTS = 5;  // consumers, beyond which their number is told
const FULL = 6;  // a bar is full with ten to the power of this many messages
const NAME = Math.floor(BAR.width / LETTER);

/** How thick an edge is: 1 px for nothing, 4 px for a hundred in a second, 7 px for ten thousand. */
export function thickness(flow) {
  return Math.min(8, 1 + 1.6 * Math.log10(1 + (flow ?? 0)));
}

/** Whether nothing flows, as far as that is known. */
function isIdle(flow) {
  return flow !== null && flow !== undefined && flow < 0.05;
}

/** How much of a bar so many messages fill, from 0 to 1. */
export function fill(messages) {
  return messages ? Math.max(0.03, Math.min(1, Math.log10(1 + messages) / FULL)) : 0;
}

/**
 * shape, layout: what there is, and where. numbers: of Numbers in topology.js. isLit(id): whether something stands out from
 * what is dimmed; null where nothing is. point(what): the pointer or the focus is at something; null for no more.
 */
export function Scene({ vhost, shape, layout, numbers, isLit, reasons, point }) {
  const nodes = new Map(shape.nodes.map((node) => [node.id, node]));
  const dim = (id) => (isLit && !isLit(id) ? "is-dim" : isLit ? "is-lit" : "");
  const edges = shape.edges.filter(({ id }) => layout.edges[id]);
  const drawn = isLit ? [...edges].sort((a, b) => isLit(a.id) - isLit(b.id)) : edges;
  const parts = { publisher: Publisher, exchange: Exchange, queue: Queue };
  return html`
    <g class="edges">
      ${drawn.map((edge) => html`<${Edge} key=${edge.id} edge=${edge} layout=${layout.edges[edge.id]} flow=${numbers.edges.get(edge.id)} dim=${dim(edge.id)} point=${point} text=${() => sayEdge(edge, nodes, numbers.edges.get(edge.id), reasons?.get(edge.id))} />`)}
    </g>
    <g class="nodes">
      ${shape.nodes.map((node) => {
        const at = layout.nodes[node.id];
        return at && html`<${parts[node.kind]} key=${node.id} node=${node} at=${at} vhost=${vhost} numbers=${numbers} dim=${dim(node.id)} point=${point} />`;
      })}
    </g>`;
}

function Edge({ edge, layout: { path, label }, flow, dim, point, text }) {
  const isMoving = flow?.rate >= 0.05;
  const key = label && edge.kind !== "publish" ? labelOf(edge.keys) : "";
  const speed = isMoving ? rate(flow.rate) : "";
  const room = label ? label.room - (speed && edge.kind !== "publish" ? speed.length + 2 : 0) : 0;
  const show = (event) => point({ text: text(), at: event.currentTarget, x: event.clientX, y: event.clientY });
  return html`<g class=${classes("edge", `edge-${edge.kind}`, { moves: isMoving }, dim)} onPointerEnter=${show} onPointerLeave=${() => point(null)}>
    <path class="touch" d=${path} />
    <path class="way" d=${path} stroke-width=${thickness(flow?.rate).toFixed(1)} />
    ${label && (key || speed) && html`<text class="on-edge" x=${label.x} y=${label.y} text-anchor=${label.anchor}>
      ${key && room > 3 && html`<tspan class="key">${fit(key, room)}</tspan>`}
      ${speed && html`<tspan class="speed" dx=${key && room > 3 ? 6 : 0}>${speed}</tspan>`}
    </text>`}
  </g>`;
}

/** What leads to the page of something, and is explained under the pointer and by the focus. */
function Link({ id, to, text, point, className, children, x, y }) {
  const show = (event) => point({ text, at: event.currentTarget });
  return html`<a
    class=${className}
    data-id=${id}
    href=${to}
    aria-label=${text}
    transform=${`translate(${x} ${y})`}
    draggable="false"
    onPointerEnter=${show}
    onPointerLeave=${() => point(null)}
    onFocus=${(event) => point({ text, at: event.currentTarget, isFocus: true })}
    onBlur=${() => point(null)}
    >${children}</a
  >`;
}

function Publisher({ node, at, numbers, dim, point }) {
  const now = numbers.nodes.get(node.id) ?? {};
  const many = node.connections.length;
  const name = node.name ? `${fit(node.name, many > 1 ? 18 : 23)}${many > 1 ? ` ×${many}` : ""}` : plural(many, "publisher");
  const to = many === 1 ? href("connections", node.connections[0]) : href("connections", { q: node.name });
  return html`<${Link} id=${node.id} to=${to} text=${sayPublisher(node, now)} point=${point} x=${at.x} y=${at.y} className=${classes("node publisher", { idle: isIdle(now.rate) }, dim)}>
    <rect class="ground" x=${-172} y="-11" width="182" height="22" rx="4" />
    <circle r=${many > 1 ? 6 : 5} />
    ${many > 1 && html`<circle class="more" r="9" />`}
    <text x="-14" y="4" text-anchor="end">${name}</text>
  <//>`;
}

function Exchange({ node, at, vhost, numbers, dim, point }) {
  const now = numbers.nodes.get(node.id) ?? {};
  const to = node.isMissing ? href("exchanges", { vhost }) : href("exchanges", vhost, node.name || "amq.default");
  return html`<${Link} id=${node.id} to=${to} text=${sayExchange(node, now)} point=${point} x=${at.x} y=${at.y} className=${classes("node exchange", { missing: node.isMissing }, dim)}>
    <circle r=${RADIUS} />
    <text class="letter" y="4" text-anchor="middle">${letterOf(node)}</text>
    <text class="name" y=${-RADIUS - 6} text-anchor="middle">${fit(exchangeName(node.name), 24)}</text>
    ${now.unroutable > 0 && html`<${Lost} number=${now.unroutable} isNow=${now.unroutableRate > 0} />`}
  <//>`;
}

/** What no queue got leaves the picture downwards. */
function Lost({ number, isNow }) {
  return html`<g class=${classes("lost-way", { now: isNow })}>
    <path d=${`M0,${RADIUS}V${RADIUS + 18}m-4,-5l4,5l4,-5`} />
    <text x="8" y=${RADIUS + 17}>${brief(number)} nowhere</text>
  </g>`;
}

function Queue({ node, at, vhost, numbers, dim, point }) {
  const now = numbers.nodes.get(node.id) ?? { judged: [], consumers: [] };
  const { queue, judged, consumers } = now;
  const level = judged[0]?.level ?? "calm";
  const ready = queue?.messages_ready ?? 0;
  const unacked = queue?.messages_unacknowledged ?? 0;
  return html`<g transform=${`translate(${at.x} ${at.y})`} class=${classes("queue-with-consumers", dim)}>
    <${Consumers} vhost=${vhost} queue=${queue} consumers=${consumers} isWaiting=${ready > 0} point=${point} />
    <${Link} id=${node.id} to=${href("queues", vhost, node.name)} text=${sayQueue(node, now)} point=${point} x=${0} y=${0} className=${classes("node queue", level)}>
      <rect class="ground" x="-4" y="-20" width=${BAR.width + 8} height=${BAR.height + 24} rx="4" />
      ${level !== "calm" && html`<path class="sign" d=${level === "trouble" ? "M5,-14l5,5l-5,5l-5,-5z" : "M1,-13h8v8h-8z"} />`}
      <text class="name" x=${level === "calm" ? 0 : 14} y="-5">${fit(node.name, level === "calm" ? NAME : NAME - 2)}</text>
      <${Bar} ready=${ready} unacked=${unacked} />
    <//>
  </g>`;
}

/** How much waits: what is ready first, and what consumers hold behind it, on one logarithmic scale. */
function Bar({ ready, unacked }) {
  const total = fill(ready + unacked) * BAR.width;
  const front = ready + unacked ? (ready / (ready + unacked)) * total : 0;
  const isWide = total > BAR.width * 0.45;
  return html`
    <rect class="trough" width=${BAR.width} height=${BAR.height} rx="3" />
    ${front > 0 && html`<rect class="ready" width=${front.toFixed(1)} height=${BAR.height} rx="3" />`}
    ${unacked > 0 && html`<rect class="unacked" x=${front.toFixed(1)} width=${Math.max(2, total - front).toFixed(1)} height=${BAR.height} rx="3" />`}
    ${ready + unacked > 0 && html`<text class=${classes("waits", { inside: isWide })} x=${isWide ? total - 6 : total + 6} y="12" text-anchor=${isWide ? "end" : "start"}>${brief(ready + unacked)}</text>`}`;
}

function Consumers({ vhost, queue, consumers, isWaiting, point }) {
  const middle = BAR.height / 2;
  const number = consumers.length || queue?.consumers || 0;
  if (!number) return isWaiting ? html`<text class="none" x=${BAR.width + 10} y=${middle + 4}>no consumer</text>` : null;
  const speed = consumers.reduce((sum, each) => sum + (each.rate ?? 0), 0) || queue?.message_stats?.deliver_get_details?.rate || 0;
  const start = BAR.width + 62;
  const dots = number <= MOST_DOTS && consumers.length === number ? consumers : [];
  return html`
    <g class=${classes("edge edge-consume", { moves: speed >= 0.05 })}>
      <path class="way" d=${`M${BAR.width},${middle}H${start - 6}`} stroke-width=${thickness(speed).toFixed(1)} />
      ${speed >= 0.05 && html`<text class="on-edge speed" x=${BAR.width + 6} y=${middle - 5}>${rate(speed)}</text>`}
    </g>
    ${dots.map((each, at) => html`<${Link} key=${`${each.connection} ${each.consumer_tag}`} id=${`c:${each.connection} ${each.consumer_tag}`} to=${href("connections", each.connection)} text=${sayConsumer(each)} point=${point} x=${start + at * 13} y=${middle} className=${classes("node consumer", { idle: isIdle(each.rate) })}><circle class="ground" r="7" /><circle r="5" /><//>`)}
    ${!dots.length && html`<${Link} id=${`c:${queue.name}`} to=${href("queues", vhost, queue.name, { tab: "consumers" })} text=${`${plural(number, "consumer")} of ${queue.name}.`} point=${point} x=${start} y=${middle} className=${classes("node consumer", { idle: speed < 0.05 })}><circle r="5" /><circle class="more" r="8" /><text x="13" y="4">×${brief(number)}</text><//>`}`;
}
