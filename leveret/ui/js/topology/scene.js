/**
 * Renders the graph: positions, thickness of edges, fill of queues, and highlighting.
 *
 * Large graphs are rendered over several frames, so that the page stays responsive, and later only changed nodes are
 * rendered again. Only the root has a transform or an opacity: if each node had one, the browser would make hundreds of
 * layers and process all of them at each move.
 */
import { Component } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { brief, exchangeName, plural, rate } from "../format.js";
import { classes, html } from "../html.js";
import { href } from "../router.js";
import { BAR, RADIUS, labelOf } from "./layout.js";
import { LETTER, fit } from "./text.js";
import { letterOf, sayConsumer, sayEdge, sayExchange, sayPublisher, sayQueue } from "./words.js";

const MOST_DOTS = 5;  // for more consumers than this, only their number is shown
const SLICE = 60;  // nodes and edges that are rendered in a frame
const FULL = 6;  // a bar is full at ten to the power of this many messages
const NAME = Math.floor(BAR.width / LETTER);

/** The thickness of an edge: 1 px for no messages, 4 px for a hundred per second, 7 px for ten thousand. */
export function thickness(flow) {
  return Math.min(8, 1 + 1.6 * Math.log10(1 + (flow ?? 0)));
}

/** Whether the known rate is 0. */
function isIdle(flow) {
  return flow !== null && flow !== undefined && flow < 0.05;
}

/** The filled part of a bar for a number of messages, from 0 to 1. */
export function fill(messages) {
  return messages ? Math.max(0.03, Math.min(1, Math.log10(1 + messages) / FULL)) : 0;
}

/**
 * numbers: of numbersOf(). isLit(id): whether an element is highlighted; null without highlighting. point(what): called
 * with the element at the pointer or with the focus, or null.
 */
export function Scene({ vhost, shape, layout, numbers, isLit, reasons, point }) {
  const nodes = useRef(null);
  nodes.current = new Map(shape.nodes.map((node) => [node.id, node]));
  const most = useSlices(shape.nodes.length + shape.edges.length);
  const made = useMemo(() => new Map(), [vhost, shape, layout, numbers, isLit, reasons, point]);
  const once = (id, make) => made.get(id) ?? made.set(id, make()).get(id);
  const dim = (id) => (isLit && !isLit(id) ? "is-dim" : isLit ? "is-lit" : "");
  const edges = shape.edges.filter(({ id }) => layout.edges[id]).slice(0, Math.max(0, most - shape.nodes.length));
  const drawn = isLit ? [...edges].sort((a, b) => isLit(a.id) - isLit(b.id)) : edges;
  const parts = { publisher: Publisher, exchange: Exchange, queue: Queue };
  return html`
    <g class="edges">
      ${drawn.map((edge) => once(edge.id, () => html`<${Edge} key=${edge.id} edge=${edge} layout=${layout.edges[edge.id]} flow=${numbers.edges.get(edge.id)} dim=${dim(edge.id)} point=${point} nodes=${nodes} reason=${reasons?.get(edge.id)} />`))}
    </g>
    <g class="nodes">
      ${shape.nodes.slice(0, most).map((node) => {
        const at = layout.nodes[node.id];
        return at && once(node.id, () => html`<${parts[node.kind]} key=${node.id} node=${node} x=${at.x} y=${at.y} vhost=${vhost} now=${numbers.nodes.get(node.id)} dim=${dim(node.id)} point=${point} />`);
      })}
    </g>`;
}

/** The number of elements to render: all if they are few, otherwise more with each frame. */
function useSlices(all) {
  const [most, setMost] = useState(all > 3 * SLICE ? 0 : 3 * SLICE);
  useEffect(() => {
    if (most >= all) return undefined;
    const frame = requestAnimationFrame(() => setMost(most + SLICE));
    return () => cancelAnimationFrame(frame);
  }, [most, most >= all]);
  return most;
}

/** A component that is rendered again only if its props have changed. */
function steady(draw) {
  return class extends Component {
    shouldComponentUpdate(next) {
      return !isSame(this.props, next);
    }

    render(given) {
      return draw(given);
    }
  };
}

function isSame(one, other) {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return false;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => isSame(one[name], other[name]));
}

const Edge = steady(({ edge, layout: { path, label }, flow, dim, point, nodes, reason }) => {
  const isMoving = flow?.rate >= 0.05;
  const key = label && edge.kind !== "publish" ? labelOf(edge.keys) : "";
  const speed = isMoving ? rate(flow.rate) : "";
  const room = label ? label.room - (speed && edge.kind !== "publish" ? speed.length + 2 : 0) : 0;
  const show = (event) => point({ text: sayEdge(edge, nodes.current, flow, reason), at: event.currentTarget, x: event.clientX, y: event.clientY });
  return html`<g class=${classes("edge", `edge-${edge.kind}`, { moves: isMoving }, dim)} onPointerEnter=${show} onPointerLeave=${() => point(null)}>
    <path class="touch" d=${path} />
    <path class="way" d=${path} stroke-width=${thickness(flow?.rate).toFixed(1)} />
    ${label && (key || speed) && html`<text class="on-edge" x=${label.x} y=${label.y} text-anchor=${label.anchor}>
      ${key && room > 3 && html`<tspan class="key">${fit(key, room)}</tspan>`}
      ${speed && html`<tspan class="speed" dx=${key && room > 3 ? 6 : 0}>${speed}</tspan>`}
    </text>`}
  </g>`;
});

/** A link to the page of an object, with a tooltip. */
function Link({ id, to, text, point, className, children }) {
  const show = (event) => point({ text, at: event.currentTarget });
  return html`<a
    class=${className}
    data-id=${id}
    href=${to}
    aria-label=${text}
    draggable="false"
    onPointerEnter=${show}
    onPointerLeave=${() => point(null)}
    onFocus=${(event) => point({ text, at: event.currentTarget, isFocus: true })}
    onBlur=${() => point(null)}
    >${children}</a
  >`;
}

const Publisher = steady(({ node, x, y, now = {}, dim, point }) => {
  const many = node.connections.length;
  const name = node.name ? `${fit(node.name, many > 1 ? 18 : 23)}${many > 1 ? ` ×${many}` : ""}` : plural(many, "publisher");
  const to = many === 1 ? href("connections", node.connections[0]) : href("connections", { q: node.name });
  return html`<${Link} id=${node.id} to=${to} text=${sayPublisher(node, now)} point=${point} className=${classes("node publisher", { idle: isIdle(now.rate) }, dim)}>
    <rect class="ground" x=${x - 172} y=${y - 11} width="182" height="22" rx="4" />
    <circle cx=${x} cy=${y} r=${many > 1 ? 6 : 5} />
    ${many > 1 && html`<circle class="more" cx=${x} cy=${y} r="9" />`}
    <text x=${x - 14} y=${y + 4} text-anchor="end">${name}</text>
  <//>`;
});

const Exchange = steady(({ node, x, y, vhost, now = {}, dim, point }) => {
  const to = node.isMissing ? href("exchanges", { vhost }) : href("exchanges", vhost, node.name || "amq.default");
  return html`<${Link} id=${node.id} to=${to} text=${sayExchange(node, now)} point=${point} className=${classes("node exchange", { missing: node.isMissing }, dim)}>
    <circle cx=${x} cy=${y} r=${RADIUS} />
    <text class="letter" x=${x} y=${y + 4} text-anchor="middle">${letterOf(node)}</text>
    <text class="name" x=${x} y=${y - RADIUS - 6} text-anchor="middle">${fit(exchangeName(node.name), 24)}</text>
    ${now.unroutable > 0 && html`<${Lost} x=${x} y=${y + RADIUS} number=${now.unroutable} isNow=${now.unroutableRate > 0} />`}
  <//>`;
});

/** Unroutable messages, as an arrow downwards. */
function Lost({ x, y, number, isNow }) {
  return html`<g class=${classes("lost-way", { now: isNow })}>
    <path d=${`M${x},${y}v18m-4,-5l4,5l4,-5`} />
    <text x=${x + 8} y=${y + 17}>${brief(number)} unroutable</text>
  </g>`;
}

const UNKNOWN = { judged: [], consumers: [] };

const Queue = steady(({ node, x, y, vhost, now = UNKNOWN, dim, point }) => {
  const { queue, judged, consumers } = now;
  const level = judged[0]?.level ?? "calm";
  const ready = queue?.messages_ready ?? 0;
  const unacked = queue?.messages_unacknowledged ?? 0;
  return html`<g class=${classes("queue-with-consumers", dim)}>
    <${Consumers} x=${x + BAR.width} y=${y + BAR.height / 2} vhost=${vhost} queue=${queue} consumers=${consumers} isWaiting=${ready > 0} point=${point} />
    <${Link} id=${node.id} to=${href("queues", vhost, node.name)} text=${sayQueue(node, now)} point=${point} className=${classes("node queue", level)}>
      <rect class="ground" x=${x - 4} y=${y - 20} width=${BAR.width + 8} height=${BAR.height + 24} rx="4" />
      ${level !== "calm" && html`<path class="sign" d=${level === "trouble" ? `M${x + 5},${y - 14}l5,5l-5,5l-5,-5z` : `M${x + 1},${y - 13}h8v8h-8z`} />`}
      <text class="name" x=${level === "calm" ? x : x + 14} y=${y - 5}>${fit(node.name, level === "calm" ? NAME : NAME - 2)}</text>
      <${Bar} x=${x} y=${y} ready=${ready} unacked=${unacked} />
    <//>
  </g>`;
});

/** Ready and unacknowledged messages in a bar with a logarithmic scale. */
function Bar({ x, y, ready, unacked }) {
  const total = fill(ready + unacked) * BAR.width;
  const front = ready + unacked ? (ready / (ready + unacked)) * total : 0;
  const isWide = total > BAR.width * 0.45;
  return html`
    <rect class="trough" x=${x} y=${y} width=${BAR.width} height=${BAR.height} rx="3" />
    ${front > 0 && html`<rect class="ready" x=${x} y=${y} width=${front.toFixed(1)} height=${BAR.height} rx="3" />`}
    ${unacked > 0 && html`<rect class="unacked" x=${(x + front).toFixed(1)} y=${y} width=${Math.max(2, total - front).toFixed(1)} height=${BAR.height} rx="3" />`}
    ${ready + unacked > 0 && html`<text class=${classes("waits", { inside: isWide })} x=${x + (isWide ? total - 6 : total + 6)} y=${y + 12} text-anchor=${isWide ? "end" : "start"}>${brief(ready + unacked)}</text>`}`;
}

/** The consumers, right of a queue. x, y: the middle of the queue's right edge. */
function Consumers({ x, y, vhost, queue, consumers, isWaiting, point }) {
  const number = consumers.length || queue?.consumers || 0;
  if (!number) return isWaiting ? html`<text class="none" x=${x + 10} y=${y + 4}>no consumer</text>` : null;
  const speed = consumers.reduce((sum, each) => sum + (each.rate ?? 0), 0) || queue?.message_stats?.deliver_get_details?.rate || 0;
  const start = x + 62;
  const dots = number <= MOST_DOTS && consumers.length === number ? consumers : [];
  return html`
    <g class=${classes("edge edge-consume", { moves: speed >= 0.05 })}>
      <path class="way" d=${`M${x},${y}H${start - 6}`} stroke-width=${thickness(speed).toFixed(1)} />
      ${speed >= 0.05 && html`<text class="on-edge speed" x=${x + 6} y=${y - 5}>${rate(speed)}</text>`}
    </g>
    ${dots.map((each, at) => html`<${Link} key=${`${each.connection} ${each.consumer_tag}`} id=${`c:${each.connection} ${each.consumer_tag}`} to=${href("connections", each.connection)} text=${sayConsumer(each)} point=${point} className=${classes("node consumer", { idle: isIdle(each.rate) })}><circle class="ground" cx=${start + at * 13} cy=${y} r="7" /><circle cx=${start + at * 13} cy=${y} r="5" /><//>`)}
    ${!dots.length && html`<${Link} id=${`c:${queue.name}`} to=${href("queues", vhost, queue.name, { tab: "consumers" })} text=${`${plural(number, "consumer")} of ${queue.name}.`} point=${point} className=${classes("node consumer", { idle: speed < 0.05 })}><circle cx=${start} cy=${y} r="5" /><circle class="more" cx=${start} cy=${y} r="8" /><text x=${start + 13} y=${y + 4}>×${brief(number)}</text><//>`}`;
}
