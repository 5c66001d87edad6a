/** The diagram of a stage: publishers, exchanges, queues, consumers, and messages moving between them. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { html, classes } from "../html.js";
import { href } from "../router.js";
import { numberOf } from "./stage.js";
import { doing } from "./worker.js";

const NARROW = 560;  // pixels; below this width, consumers' controls are shown under the diagram
const ROW = 88;
const TALL = 120;  // a row where keys stand under the bar of a queue, in up to two lines
const TOP = 48;
const BAR = 40;
const CELL = 26;
const LEG_MS = 200;  // time of the animation along one edge
const SIGNS = { direct: "D", fanout: "F", topic: "T", default: "D" };

/** Positions of nodes. keys: the longest label on an edge to a queue. height: of a row. Returns: a map of id to {x, y, left, right}. */
function layout(nodes, width, keys, height) {
  const isNarrow = width < NARROW;
  const columns = isNarrow
    ? { producer: 26, exchange: width * 0.27, consumer: width - 26 }
    : { producer: 44, exchange: Math.max(120, width * 0.2), consumer: width - 196 };
  const end = nodes.some(({ kind }) => kind === "consumer") ? columns.consumer - (isNarrow ? 58 : 72) : width - 24;
  const bar = [isNarrow ? width * 0.4 : columns.exchange + 64 + 7.3 * keys, end];
  const places = new Map();
  for (const { id, kind, row } of nodes) {
    const y = TOP + row * height;
    if (kind === "queue") places.set(id, { x: (bar[0] + bar[1]) / 2, y, left: bar[0], right: bar[1] });
    else places.set(id, { isProducer: kind === "producer", x: columns[kind], y, left: columns[kind] - 18, right: columns[kind] + 18 });
  }
  const exchange = nodes.find(({ kind }) => kind === "exchange");
  if (exchange) {
    const { x } = places.get(exchange.id);
    places.set("nowhere", { x, y: places.get(exchange.id).y + 74 });
  }
  return places;
}

/**
 * nodes: [{id, kind: producer | exchange | queue | consumer, row, label, type, worker, limit}].
 * edges: [{from, to, label, isBack}]. rows: minimum number of rows. controls: the controls of a worker.
 */
export function Picture({ stage, title, nodes, edges, rows = 1, controls }) {
  const box = useRef(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const isNarrow = width < NARROW;
  const row = isNarrow && nodes.some(({ keys }) => keys) ? TALL : ROW;
  const places = layout(nodes, width, Math.max(...edges.map(({ label }) => label?.length ?? 0)), row);
  stage.places = places;
  const height = TOP + Math.max(rows - 1, ...nodes.map((node) => node.row)) * row + row - 24;
  const consumers = nodes.filter(({ worker }) => worker);

  return html`<figure class=${classes("stage", { narrow: isNarrow })} ref=${box} aria-label=${title}>
    ${width > 0 && html`<svg width=${width} height=${height} viewBox="0 0 ${width} ${height}" aria-hidden="true">
      ${edges.map((edge) => html`<${Edge} key=${`${edge.from}>${edge.to}`} edge=${edge} places=${places} isNarrow=${isNarrow} />`)}
      ${nodes.map((node) => html`<${Node} key=${node.id} stage=${stage} node=${node} place=${places.get(node.id)} isNarrow=${isNarrow} />`)}
      ${stage.flights.value.map((flight) => html`<${Dot} key=${flight.id} flight=${flight} />`)}
    </svg>`}
    <ul class="in-words" aria-label="Queues">
      ${nodes.filter(({ kind }) => kind === "queue").map((node) => html`<${QueueWords} key=${node.id} stage=${stage} node=${node} place=${places.get(node.id)} />`)}
    </ul>
    <ul class="hands" aria-label="Consumers">
      ${consumers.map(({ id, worker, label }) => html`<li key=${id} class="hand" style=${isNarrow ? {} : { left: `${places.get(id).x + 30}px`, top: `${places.get(id).y - 20}px` }}>
        <b>${label}</b> <span class=${classes("doing", { "of-unacked": worker.held.value.length })}>${doing(worker)}</span>
        ${controls && html`<span class="hand-controls">${controls(worker)}</span>`}
      </li>`)}
    </ul>
  </figure>`;
}

function Edge({ edge, places, isNarrow }) {
  const from = places.get(edge.from);
  const to = places.get(edge.to);
  if (!from || !to) return null;
  const isRight = from.x < to.x;
  const [x1, x2] = isRight ? [from.right, to.left] : [from.left, to.right];
  const y2 = edge.isBack && !isRight ? to.y + (to.isProducer ? 36 : 0) : to.y;
  return html`<g class=${classes("edge", { back: edge.isBack })}>
    <path d="M${x1} ${from.y} L${x2} ${y2}" />
    <path class="arrow" d=${isRight ? `M${x2 - 6} ${y2 - 4} l6 4 l-6 4` : `M${x2 + 6} ${y2 - 4} l-6 4 l6 4`} />
    ${edge.label && !isNarrow && html`<text x=${x2 - 10} y=${to.y - 8} text-anchor="end" class="key">${edge.label}</text>`}
  </g>`;
}

function Node({ stage, node, place, isNarrow }) {
  if (node.kind === "queue") return html`<${Bar} queue=${stage.queues.value[node.id]} node=${node} place=${place} />`;
  if (node.kind === "consumer") return html`<${Consumer} worker=${node.worker} place=${place} label=${isNarrow ? node.label : null} />`;
  const { x, y } = place;
  if (node.kind === "producer") {
    return html`<g class="producer"><circle cx=${x} cy=${y} r="9" /><text x=${isNarrow ? 4 : x} y=${y + 30} text-anchor=${isNarrow ? "start" : "middle"}>${node.label}</text></g>`;
  }
  return html`<g class="exchange">
    <circle cx=${x} cy=${y} r="18" />
    <text x=${x} y=${y + 5} text-anchor="middle" class="sign">${SIGNS[node.type]}</text>
    <text x=${x} y=${y + 36} text-anchor="middle">${node.label}</text>
    ${isNarrow || html`<text x=${x} y=${y + 52} text-anchor="middle" class="faint">${node.type === "default" ? "exchange" : node.type}</text>`}
  </g>`;
}

/** A queue as a bar of messages in their order, with the next one at the right. */
function Bar({ queue, node, place }) {
  const { left, right, y } = place;
  const width = right - left;
  const room = Math.max(1, Math.floor((width - (node.limit ? 70 : 44)) / (CELL + 2)));
  const shown = (queue?.isThere ? queue.messages : []).slice(0, room);
  return html`<g class=${classes("bar", { absent: !queue?.isThere, empty: !queue?.ready })}>
    <rect x=${left} y=${y - BAR / 2} width=${width} height=${BAR} rx="6" />
    ${shown.map((message, at) => html`<${Cell} key=${message.position} message=${message} x=${right - 6 - (at + 1) * (CELL + 2)} y=${y} />`)}
    ${queue?.isThere && html`<text x=${left + 10} y=${y + 5} class="waits">${queue.ready}${node.limit ? `/${node.limit}` : ""}</text>`}
  </g>`;
}

function Cell({ message, x, y }) {
  return html`<g class=${classes("cell", { again: message.redelivered })}>
    <rect x=${x} y=${y - CELL / 2} width=${CELL} height=${CELL} rx="4" />
    <text x=${x + CELL / 2} y=${y + 4} text-anchor="middle">${numberOf(message.properties.message_id)}</text>
    ${message.redelivered && html`<text x=${x + CELL - 1} y=${y - CELL / 2 + 3} text-anchor="middle" class="mark">↻</text>`}
  </g>`;
}

/** A consumer as a circle; its ring fills while it works. */
function Consumer({ worker, place, label }) {
  const { x, y } = place;
  const current = worker.current.value;
  const message = worker.held.value[0];
  const style = current ? { animationDuration: `${Math.max(current.ms, 1)}ms` } : {};
  return html`<g class=${classes("consumer", { busy: current, gone: worker.isOver.value })}>
    <circle cx=${x} cy=${y} r="18" />
    ${current && html`<circle key=${`${current.tag}`} class="ring" cx=${x} cy=${y} r="18" pathLength="1" transform="rotate(-90 ${x} ${y})" style=${style} />`}
    ${message && html`<text x=${x} y=${y + 5} text-anchor="middle" class="of">${numberOf(message.properties.message_id)}</text>`}
    ${message?.redelivered && html`<text x=${x + 16} y=${y - 10} text-anchor="middle" class="mark">↻</text>`}
    ${worker.isOver.value && html`<path class="cross" d="M${x - 7} ${y - 7} l14 14 m0 -14 l-14 14" />`}
    ${label && html`<text x=${x} y=${y + 36} text-anchor="end" dx="22">${label}</text>`}
  </g>`;
}

/** The numbers of a queue, under its bar. */
function QueueWords({ stage, node, place }) {
  const queue = stage.queues.value[node.id];
  const style = { left: `${place.left}px`, top: `${place.y + BAR / 2 + 3}px`, width: `${place.right - place.left}px` };
  if (!queue?.isThere) return html`<li style=${style}><span class="mono">${node.label}</span> <span class="faint">deleted</span></li>`;
  return html`<li style=${style}>
    <a class="mono" href=${href("queues", stage.vhost, stage.nameOf(node.id))} title=${stage.nameOf(node.id)}>${node.label}</a><br />
    ${(queue.ready > 0 || !queue.unacked) && html`<span class=${queue.ready ? "of-ready" : "faint"}>${queue.ready} ready</span>`}${queue.ready > 0 && queue.unacked > 0 && ", "}
    ${queue.unacked > 0 && html`<span class="of-unacked">${queue.unacked} unacknowledged</span>`}
    ${node.keys && html`<span class="keys mono faint">${node.keys}</span>`}
  </li>`;
}

/** A moving message. */
function Dot({ flight }) {
  const dot = useRef(null);
  useEffect(() => {
    const frames = flight.points.map(({ x, y }) => ({ transform: `translate(${x}px, ${y}px)` }));
    const moving = dot.current.animate(frames, { duration: LEG_MS * (frames.length - 1), easing: "ease-in-out", fill: "both" });
    moving.onfinish = flight.done;
    return () => moving.cancel();
  }, []);
  return html`<circle ref=${dot} r="6" class=${`flight ${flight.kind}`} />`;
}
