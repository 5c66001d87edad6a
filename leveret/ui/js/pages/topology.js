/** Topology: the graph of a virtual host, its message rates, and where messages pile up. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { path } from "../api.js";
import { Empty, Fault, Heading, Waiting } from "../components/basic.js";
import { useVhosts } from "../components/vhosts.js";
import { plural } from "../format.js";
import { classes, html } from "../html.js";
import { FIELDS } from "../judge.js";
import { useLive } from "../live.js";
import { go, href, setQuery } from "../router.js";
import { useLayout } from "../topology/layouts.js";
import { Rates, exchangeId, litBy, queueId, shapeOf } from "../topology/model.js";
import { numbersOf } from "../topology/numbers.js";
import { PathForm, useExplained } from "../topology/path.js";
import { asSvg, download } from "../topology/save.js";
import { Scene } from "../topology/scene.js";
import { useView } from "../topology/view.js";
import { sayEdge, sayExchange, sayPublisher, sayQueue } from "../topology/words.js";

const COLUMNS = FIELDS.join(",");
const FAR = 0.42;  // below this scale, text on edges is not legible
const SECOND_LOOK_MS = 900;  // rates need two answers; do not wait for the next sample
const FARTHEST = 0.2;  // below this scale, names are not legible

export default function Topology({ names: [wanted], query }) {
  const vhosts = useVhosts();
  const vhost = wanted ?? (vhosts.includes("/") ? "/" : vhosts[0]);
  return html`
    <${Heading} title="Topology">
      ${vhosts.length > 1 && html`<select aria-label="Virtual host" onChange=${(event) => go("topology", event.target.value)}>
        ${vhosts.map((name) => html`<option key=${name} value=${name} selected=${name === vhost}>${name}</option>`)}
      </select>`}
    <//>
    ${vhost === undefined ? html`<${Waiting} />` : html`<${Whole} key=${vhost} vhost=${vhost} query=${query} />`}`;
}

/** The current data for the graph. */
function useAnswers(vhost) {
  const asked = {
    exchanges: useLive(path("exchanges", vhost), { columns: "vhost,name,type,internal,arguments" }),
    queues: useLive(path("queues", vhost), { columns: COLUMNS }),
    bindings: useLive(path("bindings", vhost), { columns: "vhost,source,destination,destination_type,routing_key,arguments" }),
    flows: useLive(`leveret/flows/${path(vhost)}`),
    ages: useLive(`leveret/ages/${path(vhost)}`),
  };
  const isFirst = asked.flows.data !== undefined;
  useEffect(() => {
    if (!isFirst) return undefined;
    const timer = setTimeout(asked.flows.reload, SECOND_LOOK_MS);
    return () => clearTimeout(timer);
  }, [isFirst]);
  const data = Object.fromEntries(Object.entries(asked).map(([name, each]) => [name, each.data]));
  const first = Object.values(asked).find(({ error }) => error);
  return { data, isThere: data.exchanges && data.queues && data.bindings && data.flows, error: first?.error, reload: () => Object.values(asked).forEach((each) => each.reload()) };
}

/** The same shape object until its key changes. */
function useShape(data, isThere) {
  const last = useRef(null);
  return useMemo(() => {
    if (!isThere) return null;
    const shape = shapeOf(data);
    if (last.current?.key !== shape.key) last.current = shape;
    return last.current;
  }, [data.exchanges, data.queues, data.bindings, data.flows]);
}

function Whole({ vhost, query }) {
  const { data, isThere, error, reload } = useAnswers(vhost);
  const rates = useRef(new Rates());
  if (data.flows) rates.current.add(data.flows);
  const wanted = useShape(data, isThere);
  const { shape, layout, error: failure } = useLayout(vhost, wanted);
  const found = useExplained(vhost, query);
  const numbers = useMemo(() => shape && numbersOf(shape, data, rates.current), [shape, data.flows, data.queues, data.ages]);

  if (!isThere) return error ? html`<${Fault} error=${error} what=${error.status === 404 ? "This virtual host does not exist." : "The topology could not be read."} again=${reload} />` : html`<${Waiting} />`;
  if (!wanted.nodes.length) return html`<${Nothing} vhost=${vhost} />`;
  if (failure) return html`<${Fault} error=${failure} what="The topology could not be drawn." again=${() => location.reload()} />`;
  if (!layout || !shape.nodes.length) return html`<${Waiting} what="Computing the layout" />`;
  return html`
    ${error && html`<${Fault} error=${error} what="These numbers are out of date." />`}
    <${Board} vhost=${vhost} query=${query} shape=${shape} layout=${layout} numbers=${numbers} found=${found} />`;
}

function Nothing({ vhost }) {
  const option = vhost === "/" ? "" : ` --vhost ${/^[\w.-]+$/.test(vhost) ? vhost : `'${vhost.replaceAll("'", "'\\''")}'`}`;
  return html`<${Empty} title="Nothing to show yet" command=${`leveret queues declare orders${option}`}>
    This page shows how messages flow from publishers through exchanges and bindings to queues and consumers. This virtual host has no queues, and its exchanges are not used.
    Declare a queue from a client, in the <a href=${href("playground")}>playground</a>, or with this command:
  <//>`;
}

/** A function that returns whether an id is highlighted; null without highlighting. */
function litIn(shape, query, lit) {
  const text = query.q?.toLowerCase();
  if (!text && !lit) return null;
  if (lit) return (id) => lit.nodes.has(id) || lit.edges.has(id);
  const found = new Set(shape.nodes.filter(({ name }) => name.toLowerCase().includes(text)).map(({ id }) => id));
  for (const edge of shape.edges) {
    const isNamed = edge.keys.some((key) => key.toLowerCase().includes(text));
    if (isNamed || found.has(edge.from) || found.has(edge.to)) found.add(edge.id);
    if (isNamed) [edge.from, edge.to].forEach((id) => found.add(id));
  }
  return (id) => found.has(id);
}

/** The graph with its tools. */
function Board({ vhost, query, shape, layout, numbers, found }) {
  const frame = useRef(null);
  const moved = useRef(null);
  const scene = useRef(null);
  const [pointed, setPointed] = useState(null);
  const { scale, handlers, fit, zoom, reveal, step } = useView(vhost, frame, moved, layout);
  const lit = useMemo(() => found.explained && litBy(found.explained, shape), [found.explained, shape]);
  const isLit = useMemo(() => litIn(shape, query, lit), [shape, query.q, lit]);
  const matches = query.q && isLit ? shape.nodes.filter(({ id }) => isLit(id)).length : null;
  const point = useRef((what) => {
    if (what?.isFocus && what.at.matches(":focus-visible")) reveal(what.at);
    setPointed(what);
  });
  const drawn = useMemo(
    () => html`<${Scene} vhost=${vhost} shape=${shape} layout=${layout} numbers=${numbers} isLit=${isLit} reasons=${lit?.reasons} point=${point.current} />`,
    [shape, layout, numbers, isLit],
  );
  const exchanges = useMemo(() => shape.nodes.filter(({ kind, isMissing }) => kind === "exchange" && !isMissing).map(({ name }) => name).sort(), [shape]);

  return html`
    <div class="filter topology-tools">
      <input type="search" aria-label="Find in the topology" placeholder="Find in the topology" value=${query.q ?? ""} onInput=${(event) => setQuery({ q: event.target.value || undefined })} />
      ${matches !== null && html`<span class="faint">${matches ? plural(matches, "match", "matches") : "No matches"}</span>`}
      <${PathForm} query=${query} exchanges=${exchanges} found=${found} />
      <span class="grow"></span>
      <button type="button" class="quiet" onClick=${() => download(asSvg(scene.current, layout.box, `Topology of ${vhost}`), `topology-${vhost.replace(/[^\w.-]+/g, "_")}.svg`)}>Save as SVG</button>
    </div>
    <div class="topology" ref=${frame} tabindex="0" role="group" style=${{ "--wanted": `${Math.round(layout.box.height * 1.15 + 32)}px`, "--ratio": (layout.box.height / layout.box.width).toFixed(3) }} aria-label=${`Topology of ${vhost}: arrow keys move it, plus and minus zoom, 0 shows all`} data-zoom=${scale?.toFixed(3)} ...${handlers}>
      ${scale && html`<div class="moved" ref=${moved}>
        <svg class=${classes("canvas", { far: scale < FAR, farthest: scale < FARTHEST })} width="1" height="1">
          <g class="scene" ref=${scene} transform=${`scale(${scale})`}>${drawn}</g>
        </svg>
      </div>`}
      <${Said} pointed=${pointed} frame=${frame} />
      <div class="zoom">
        <button type="button" aria-label="Zoom out" title="Zoom out (-)" onClick=${() => zoom(1 / step)}>−</button>
        <button type="button" title="Show all (0)" onClick=${fit}>Fit</button>
        <button type="button" aria-label="Zoom in" title="Zoom in (+)" onClick=${() => zoom(step)}>+</button>
      </div>
    </div>
    <${Legend} />
    <${AsList} vhost=${vhost} shape=${shape} numbers=${numbers} isLit=${isLit} />`;
}

/** A tooltip that describes the element at the pointer or with the focus. */
function Said({ pointed, frame }) {
  if (!pointed || !frame.current || !pointed.at.isConnected) return null;
  const outer = frame.current.getBoundingClientRect();
  const inner = pointed.at.getBoundingClientRect();
  const x = (pointed.x ?? inner.left) - outer.left;
  const y = (pointed.y ?? inner.bottom) - outer.top + 10;
  const isLow = y > outer.height - 90;
  const place = { left: `${Math.max(8, Math.min(x, outer.width - 340))}px`, ...(isLow ? { bottom: `${outer.height - ((pointed.y ?? inner.top) - outer.top) + 8}px` } : { top: `${y}px` }) };
  return html`<p class="said-here" aria-hidden="true" style=${place}>${pointed.text}</p>`;
}

function Legend() {
  return html`<ul class="legend-line" aria-label="Legend">
    <li><svg width="12" height="12" aria-hidden="true"><circle class="of-in" cx="6" cy="6" r="4.5" fill="currentColor" /></svg>publisher</li>
    <li><b class="kind-sign" aria-hidden="true">T</b>exchange: direct, fanout, topic, headers</li>
    <li><svg width="34" height="12" aria-hidden="true"><rect width="34" height="12" rx="3" fill="var(--sunken)" /><rect class="of-ready" width="16" height="12" rx="3" fill="currentColor" /><rect class="of-unacked" x="16" width="6" height="12" fill="currentColor" /></svg>queue: ready and unacknowledged, on a logarithmic scale</li>
    <li><svg width="12" height="12" aria-hidden="true"><circle class="of-out" cx="6" cy="6" r="4.5" fill="currentColor" /></svg>consumer, hollow when idle</li>
    <li><svg width="24" height="12" aria-hidden="true"><path class="of-dead" d="M0,6H24" stroke="currentColor" stroke-width="2" stroke-dasharray="5 3" /></svg>dead letters</li>
    <li>Thicker lines mean higher rates.</li>
  </ul>`;
}

/** The topology as text, for screen readers and for copying. */
function AsList({ vhost, shape, numbers, isLit }) {
  const [isOpen, setOpen] = useState(false);
  const nodes = new Map(shape.nodes.map((node) => [node.id, node]));
  const say = { publisher: sayPublisher, exchange: sayExchange, queue: sayQueue };
  const shown = isOpen ? shape.nodes.filter(({ id }) => !isLit || isLit(id)) : [];
  return html`<details class="as-list" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>Topology as text</summary>
    ${isOpen && html`<ul class="plain" aria-label="Topology as text">
      ${shown.map((node) => html`<li key=${node.id}>
        <${Words} node=${node} vhost=${vhost} text=${say[node.kind](node, numbers.nodes.get(node.id) ?? { judged: [], consumers: [] })} />
        <ul>${shape.edges.filter(({ from }) => from === node.id).map((edge) => html`<li key=${edge.id} class="faint">${sayEdge(edge, nodes, numbers.edges.get(edge.id))}</li>`)}</ul>
      </li>`)}
    </ul>`}
  </details>`;
}

function Words({ node, vhost, text }) {
  if (node.id === exchangeId(node.name)) return html`<a href=${href("exchanges", vhost, node.name || "amq.default")}>${text}</a>`;
  if (node.id === queueId(node.name)) return html`<a href=${href("queues", vhost, node.name)}>${text}</a>`;
  return text;
}
