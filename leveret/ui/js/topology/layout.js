/**
 * The layout: columns from left to right: publishers, exchanges by the number of exchanges before them, queues with their
 * consumers, dead-letter exchanges and their queues.
 *
 * A general layered layout (dagre) is not used: it puts all queues into one column, five screens high for two hundred
 * queues; it moves everything when a node is added; and it is slow: with 500 nodes it takes one to three seconds if most
 * queues have one exchange, and fifteen if most have two (dagre 3.1.3 in Node on a slow machine; this one takes some
 * tenths of a second). A broker's graph is layered by nature, and only the order within layers is open: exchanges are
 * placed near their queues, and queues of the same exchanges together.
 */
import { LETTER, lettersOf } from "./text.js";

export const RADIUS = 14;  // of an exchange
export const BAR = { width: 156, height: 16 };  // of a queue; its name is above
const ROW = 48;
const GROUP_GAP = 14;  // between queues of different exchanges
const EXCHANGE_GAP = 64;
const PUBLISHER_GAP = 28;
const PUBLISHER_ROOM = 134;  // between publishers and exchanges
const PORT_GAP = 13;  // between edges into the same queue: room for a line of text
const PUBLISHER_NAME = 26;  // letters at most
const CURVE = 64;  // width in which edges change their height
const CONSUMERS = 122;  // width right of a queue for its consumers
const FLAT = { min: 46, max: 210 };  // width before a queue for the key and the rate
const RATE = 46;  // part of it for the rate
const SHAPE = 1.5;  // desired ratio of width to height
const FOLDED = 24;  // more queues than this are placed in several columns
const PASSES = 8;
const LOOKS = 50_000;  // limit of edges examined while swapping exchanges

/**
 * graph: {nodes, edges} of model.js. before: the previous layout, whose order is kept, or null.
 * Returns: {nodes: {id: {x, y}}, edges: {id: {path, label}}, box: {x, y, width, height}, queuesAt}; queuesAt is the left
 * edge of the queues with their keys, to show first on small screens.
 */
export function layOut(graph, before) {
  const plan = new Plan(graph);
  const order = orderOf(plan, before);
  const at = place(plan, order);
  const edges = Object.fromEntries(routes(plan, at));
  return { nodes: Object.fromEntries(at.nodes), edges, box: boxOf(at), queuesAt: at.queuesAt - at.flat };
}

/** The neighbours and the column of each node. */
class Plan {
  constructor({ nodes, edges }) {
    this.nodes = new Map(nodes.map((node) => [node.id, node]));
    this.edges = edges;
    this.into = Map.groupBy(edges, ({ to }) => to);
    this.outOf = Map.groupBy(edges, ({ from }) => from);
    this.publishers = nodes.filter(({ kind }) => kind === "publisher").map(({ id }) => id).sort();
    const exchanges = nodes.filter(({ kind }) => kind === "exchange").map(({ id }) => id).sort();
    const queues = nodes.filter(({ kind }) => kind === "queue").map(({ id }) => id).sort();
    this.dead = this.#deadOnes(exchanges, queues);
    this.exchanges = exchanges.filter((id) => !this.dead.has(id));
    this.deadExchanges = exchanges.filter((id) => this.dead.has(id));
    this.queues = queues.filter((id) => !this.dead.has(id));
    this.deadQueues = queues.filter((id) => this.dead.has(id));
    this.depth = new Map();
    this.reached = new Map();  // of neighbours()
    this.grouped = Map.groupBy(this.queues, (id) => groupOf(this, id));
    for (const id of exchanges) this.#depthOf(id, new Set());
  }

  /** The nodes that only dead letters reach; they are placed on the right. */
  #deadOnes(exchanges, queues) {
    const found = new Set(exchanges.filter((id) => this.#edgesInto(id).some(({ kind }) => kind === "dead")));
    const isAlive = (id) => this.#edgesInto(id).some(({ kind, from }) => kind !== "dead" && !found.has(from));
    for (let isChanging = true; isChanging; ) {
      isChanging = false;
      for (const id of exchanges) {
        const edges = this.#edgesInto(id);
        const isDead = edges.length > 0 && !isAlive(id);
        if (isDead !== found.has(id)) {
          if (isDead) found.add(id);
          else found.delete(id);
          isChanging = true;
        }
      }
    }
    for (const id of queues) if (this.#edgesInto(id).length && !isAlive(id)) found.add(id);
    return found;
  }

  #edgesInto(id) {
    return this.into.get(id) ?? [];
  }

  #depthOf(id, seen) {
    if (this.depth.has(id) || seen.has(id)) return this.depth.get(id) ?? 0;
    seen.add(id);
    const before = this.#edgesInto(id).filter(({ from, kind }) => from.startsWith("x:") && kind !== "dead" && this.dead.has(from) === this.dead.has(id));
    const depth = before.length ? Math.max(...before.map(({ from }) => this.#depthOf(from, seen))) + 1 : 0;
    this.depth.set(id, depth);
    return depth;
  }

  /** The source exchanges of a queue on the same side. */
  sourcesOf(id) {
    return this.#edgesInto(id).filter(({ kind }) => kind !== "dead" || this.dead.has(id)).map(({ from }) => from);
  }
}

/**
 * The order of exchanges. With a previous layout, its order stays, and new ones are placed near their queues. Otherwise
 * each moves to the mean position of its queues, several times, and the order with the fewest crossings wins.
 */
function orderOf(plan, before) {
  const known = (before && plan.exchanges.filter((id) => before.nodes[id])) ?? [];
  let order = plan.exchanges;
  if (known.length >= plan.exchanges.length / 2 && known.length) {
    const wanted = (id) => before.nodes[id]?.y ?? mean(neighbours(plan, id).map((other) => before.nodes[other]?.y).filter((y) => y !== undefined)) ?? Infinity;
    return [...order].sort((a, b) => compare(wanted(a), wanted(b)));
  }
  let best = order;
  let fewest = crossings(plan, order);
  for (let pass = 0; pass < PASSES && fewest > 0; pass += 1) {
    const rank = ranksOf(groupsOf(plan.grouped, order).flatMap(({ queues }) => queues));
    const place = ranksOf(order);
    const wanted = new Map(order.map((id) => [id, mean(neighbours(plan, id).map((other) => rank.get(other)).filter((each) => each !== undefined)) ?? place.get(id)]));
    order = [...order].sort((a, b) => compare(wanted.get(a), wanted.get(b)) || compare(a, b));
    const number = crossings(plan, order);
    if (number < fewest) [best, fewest] = [order, number];
  }
  return swapped(plan, best, fewest);
}

/** Swap neighbours as long as that reduces crossings, within a limit. */
function swapped(plan, order, fewest) {
  let looks = LOOKS;
  for (let isChanging = fewest > 0; isChanging; ) {
    isChanging = false;
    for (let at = 0; at + 1 < order.length && looks > 0; at += 1) {
      looks -= plan.edges.length;
      const next = [...order.slice(0, at), order[at + 1], order[at], ...order.slice(at + 2)];
      const number = crossings(plan, next);
      if (number < fewest) {
        [order, fewest] = [next, number];
        isChanging = true;
      }
    }
  }
  return order;
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const ranksOf = (ids) => new Map(ids.map((id, at) => [id, at]));

function mean(values) {
  return values.length ? values.reduce((sum, each) => sum + each, 0) / values.length : null;
}

/** The queues that an exchange reaches, directly or through other exchanges. */
function neighbours(plan, id) {
  const known = plan.reached.get(id);
  if (known) return known;
  const seen = new Set([id]);
  const found = [];
  for (const each of seen) {
    for (const { to, kind } of plan.outOf.get(each) ?? []) {
      if (kind === "dead") continue;
      if (to.startsWith("q:")) found.push(to);
      else seen.add(to);
    }
  }
  plan.reached.set(id, found);
  return found;
}

/** The number of crossings of edges from exchanges to queues. */
function crossings(plan, order) {
  const rank = ranksOf(groupsOf(plan.grouped, order).flatMap(({ queues }) => queues));
  const seen = new Array(rank.size).fill(0);  // a Fenwick tree
  let total = 0;
  let found = 0;
  for (const id of order) {
    const ends = neighbours(plan, id).map((to) => rank.get(to)).filter((each) => each !== undefined);
    for (const end of ends) {
      let before = 0;
      for (let at = end; at >= 0; at = (at & (at + 1)) - 1) before += seen[at];
      found += total - before;
    }
    for (const end of ends) for (let at = end; at < seen.length; at |= at + 1) seen[at] += 1;
    total += ends.length;
  }
  return found;
}

/** The group of a queue: its sources. */
function groupOf(plan, id) {
  return JSON.stringify([...new Set(plan.sourcesOf(id))].sort());
}

/** Queues grouped by their sources, in the order of these: [{queues, sources}]. Queues without sources come last. */
function groupsOf(groups, order) {
  const rank = ranksOf(order);
  return [...groups]
    .map(([key, members]) => {
      const sources = JSON.parse(key);
      const middle = mean(sources.map((id) => rank.get(id)).filter((each) => each !== undefined));
      return { key, sources, middle: middle ?? Infinity, queues: members };
    })
    .sort((a, b) => compare(a.middle, b.middle) || compare(a.sources.length, b.sources.length) || compare(a.key, b.key));
}

/** Place groups of queues below each other, in several columns. Returns: Map of id to {x, y, fold, block}. */
function stack(groups, columns, x, pitch) {
  const found = new Map();
  let y = 0;
  for (const queues of shelvesOf(groups, columns)) {
    const wide = Math.min(columns, queues.length);
    const high = Math.ceil(queues.length / wide);
    queues.forEach((id, at) => {
      const fold = Math.floor(at / high);
      found.set(id, { x: x + fold * pitch, y: y + (at % high) * ROW, fold, block: x });
    });
    y += high * ROW + GROUP_GAP;
  }
  return found;
}

/** Groups that do not fill a row share one with the following groups. */
function shelvesOf(groups, columns) {
  const shelves = [];
  let isOpen = false;
  for (const { queues } of groups) {
    const isSmall = queues.length < columns;
    if (isSmall && isOpen && shelves.at(-1).length + queues.length <= columns) shelves.at(-1).push(...queues);
    else shelves.push([...queues]);
    isOpen = isSmall;
  }
  return shelves;
}

/** The number of columns of queues that gives about the desired ratio of width to height. */
function columnsFor(count, rest, pitch) {
  if (count <= FOLDED) return 1;
  let columns = 1;
  while ((rest + columns * pitch) / ((count * ROW) / columns) < SHAPE) columns += 1;
  return columns;
}

/** Width for the longest key before a queue. */
function flatFor(plan, ids) {
  const longest = Math.max(0, ...ids.flatMap((id) => (plan.into.get(id) ?? []).filter(({ kind }) => kind === "binding").map(({ keys }) => lettersOf(labelOf(keys)))));
  return Math.min(FLAT.max, Math.max(FLAT.min, longest * LETTER + RATE + 16));
}

/** The label of an edge of bindings with these keys. */
export function labelOf(keys) {
  const shown = keys.filter(Boolean);
  if (!shown.length) return "";
  return shown.length > 1 ? `${shown[0]} +${shown.length - 1}` : shown[0];
}

/** Values as near as possible to the wanted ones, in the same order, at least a gap apart: touching blocks move together. */
function spread(wanted, gap) {
  const blocks = [];
  for (const value of wanted) {
    blocks.push({ sum: value, count: 1 });
    while (blocks.length > 1) {
      const [one, other] = blocks.slice(-2);
      const end = one.sum / one.count + ((one.count - 1) / 2) * gap;
      const start = other.sum / other.count - ((other.count - 1) / 2) * gap;
      if (start - end >= gap) break;
      blocks.splice(-2, 2, { sum: one.sum + other.sum, count: one.count + other.count });
    }
  }
  return blocks.flatMap(({ sum, count }) => Array.from({ length: count }, (_, at) => sum / count + (at - (count - 1) / 2) * gap));
}

function spreadNodes(nodes, ids, wantedOf, gap, x) {
  const wanted = new Map(ids.map((id) => [id, wantedOf(id)]));
  const sorted = [...ids].sort((a, b) => compare(wanted.get(a), wanted.get(b)) || compare(a, b));
  spread(sorted.map((id) => wanted.get(id)), gap).forEach((y, at) => nodes.set(sorted[at], { x, y }));
}

function place(plan, order) {
  const nodes = new Map();
  const deepest = Math.max(-1, ...plan.exchanges.map((id) => plan.depth.get(id)));
  const names = plan.publishers.map((id) => Math.max(12, lettersOf(plan.nodes.get(id).name) + 4));
  const hop = CURVE + 92;
  const first = 0;  // publishers are left of it: they come and go without moving other nodes
  const left = names.length ? -PUBLISHER_ROOM - Math.min(PUBLISHER_NAME, Math.max(...names)) * LETTER : -60;
  const flat = flatFor(plan, plan.queues);
  const queuesAt = deepest < 0 ? first : first + deepest * hop + CURVE + flat;
  const pitch = BAR.width + CONSUMERS + FLAT.min;
  const columns = columnsFor(plan.queues.length, queuesAt + 400, pitch);

  const groups = groupsOf(plan.grouped, order);
  for (const [id, at] of stack(groups, columns, queuesAt, pitch)) nodes.set(id, at);
  const rank = ranksOf(order);
  const bottom = Math.max(0, ...[...nodes.values()].map(({ y }) => y));
  for (let depth = deepest; depth >= 0; depth -= 1) {
    const here = plan.exchanges.filter((id) => plan.depth.get(id) === depth);
    const wanted = (id) =>
      mean((plan.outOf.get(id) ?? []).filter(({ kind }) => kind !== "dead").map(({ to }) => nodes.get(to)?.y).filter((y) => y !== undefined)) ??
      bottom + ROW + rank.get(id);
    spreadNodes(nodes, here, wanted, EXCHANGE_GAP, first + depth * hop);
  }
  const wantedByTargets = (id) => mean((plan.outOf.get(id) ?? []).map(({ to }) => nodes.get(to)?.y).filter((y) => y !== undefined)) ?? 0;
  const wide = Math.max(queuesAt, ...plan.queues.map((id) => nodes.get(id).x)) + BAR.width + CONSUMERS;
  placeDead(plan, nodes, wide);
  spreadNodes(nodes, plan.publishers, wantedByTargets, PUBLISHER_GAP, -PUBLISHER_ROOM);
  return { nodes, flat, left, queuesAt };
}

/** Place dead-letter exchanges near their source queues, and dead-letter queues around them. */
function placeDead(plan, nodes, x) {
  const { deadExchanges, deadQueues } = plan;
  if (!deadExchanges.length && !deadQueues.length) return;
  const sources = (id) => (plan.into.get(id) ?? []).map(({ from }) => nodes.get(from)?.y).filter((y) => y !== undefined);
  const deepest = Math.max(-1, ...deadExchanges.map((id) => plan.depth.get(id)));
  for (let depth = 0; depth <= deepest; depth += 1) {
    const here = deadExchanges.filter((id) => plan.depth.get(id) === depth);
    spreadNodes(nodes, here, (id) => mean(sources(id)) ?? 0, EXCHANGE_GAP, x + 40 + depth * (CURVE + 60));
  }
  const queuesAt = deepest < 0 ? x + 40 : x + 40 + deepest * (CURVE + 60) + CURVE + flatFor(plan, deadQueues);
  const order = [...deadExchanges, ...plan.queues].sort((a, b) => compare(nodes.get(a).y, nodes.get(b).y));
  const groups = groupsOf(Map.groupBy(deadQueues, (id) => groupOf(plan, id)), order);
  const columns = columnsFor(deadQueues.length, 0, BAR.width + CONSUMERS + FLAT.min);
  const places = stack(groups, columns, queuesAt, BAR.width + CONSUMERS + FLAT.min);
  const wanted = mean(deadQueues.flatMap((id) => sources(id))) ?? 0;
  const now = mean([...places.values()].map(({ y }) => y)) ?? 0;
  for (const [id, at] of places) nodes.set(id, { ...at, y: at.y + wanted - now });
}

// -- edges

const middleOf = (node) => node.y + BAR.height / 2;

function* routes(plan, { nodes, flat }) {
  const ports = portsOf(plan, nodes);
  for (const edge of plan.edges) {
    const [from, to] = [nodes.get(edge.from), nodes.get(edge.to)];
    if (edge.kind === "dead") yield [edge.id, deadWay(edge, from, to)];
    else if (edge.kind === "publish") yield [edge.id, publishWay(from, to)];
    else if (edge.to.startsWith("x:")) yield [edge.id, exchangeWay(edge, from, to)];
    else yield [edge.id, queueWay(edge, from, to, ports.get(edge.id), plan.dead.has(edge.to) ? flatFor(plan, plan.deadQueues) : flat)];
  }
}

/** The height at which each edge reaches its queue, and whether there is room for text on it. */
function portsOf(plan, nodes) {
  const found = new Map();
  for (const [id, edges] of plan.into) {
    if (!id.startsWith("q:")) continue;
    const coming = edges.filter(({ kind }) => kind !== "dead").sort((a, b) => nodes.get(a.from).y - nodes.get(b.from).y);
    const gap = Math.min(PORT_GAP, 30 / Math.max(1, coming.length - 1));
    coming.forEach((edge, at) => found.set(edge.id, { y: middleOf(nodes.get(id)) + (at - (coming.length - 1) / 2) * gap, hasRoom: gap >= PORT_GAP || coming.length === 1 }));
  }
  return found;
}

const n = (value) => Math.round(value * 10) / 10;

function curve(x1, y1, x2, y2) {
  const pull = Math.max(24, Math.abs(x2 - x1) * 0.5);
  return `C${n(x1 + pull)},${n(y1)} ${n(x2 - pull)},${n(y2)} ${n(x2)},${n(y2)}`;
}

function publishWay(from, to) {
  const start = from.x + 8;
  const flat = start + 52;
  return { path: `M${n(start)},${n(from.y)}H${n(flat)}${curve(flat, from.y, to.x - RADIUS, to.y)}`, label: { x: start + 2, y: from.y - 4, anchor: "start", room: 8 } };
}

function exchangeWay(edge, from, to) {
  if (to.x <= from.x) return { path: `M${n(from.x)},${n(from.y + RADIUS)}C${n(from.x)},${n(from.y + 60)} ${n(to.x)},${n(to.y + 60)} ${n(to.x)},${n(to.y + RADIUS)}`, label: null };
  const [start, end] = [from.x + RADIUS, to.x - RADIUS];
  const flat = end - 70;
  return {
    path: `M${n(start)},${n(from.y)}${curve(start, from.y, flat, to.y)}H${n(end)}`,
    label: { x: end - 6, y: to.y - 4, anchor: "end", room: 16 },
  };
}

function queueWay(edge, from, to, port, flat) {
  const start = from.x + RADIUS;
  const end = to.x;
  const middle = middleOf(to);
  const turn = Math.abs(port.y - middle) < 0.5 ? `H${n(end)}` : `H${n(end - 10)}L${n(end)},${n(middle)}`;
  if (to.fold > 0) {  // the edge runs below its row to its column
    const lane = to.y + BAR.height + 9;
    const [enter, leave] = [to.block - 12, end - 34];
    return { path: `M${n(start)},${n(from.y)}${curve(start, from.y, enter, lane)}H${n(leave)}${curve(leave, lane, end, middle)}`, label: null };
  }
  const level = end - flat;
  return {
    path: `M${n(start)},${n(from.y)}${curve(start, from.y, level, port.y)}${turn}`,
    label: port.hasRoom ? { x: end - 12, y: port.y - 4, anchor: "end", room: Math.floor((flat - 12) / LETTER) } : null,
  };
}

/** The path of dead letters: below the consumers and then to the right; or back, below the row. */
function deadWay(edge, from, to) {
  const [x, y] = [from.x + BAR.width, from.y + BAR.height - 1];
  const isExchange = edge.to.startsWith("x:");
  const [end, height] = isExchange ? [to.x - RADIUS, to.y] : [to.x, middleOf(to)];
  if (end > x + 40) {
    const flat = Math.min(x + CONSUMERS - 10, end - 40);
    return { path: `M${n(x)},${n(y)}C${n(x + 10)},${n(y + 7)} ${n(x + 12)},${n(y + 7)} ${n(x + 22)},${n(y + 7)}H${n(flat)}${curve(flat, y + 7, end, height)}`, label: { x: x + 26, y: y + 18, anchor: "start", room: 16 } };
  }
  const lane = y + 11;
  const [endX, endY] = isExchange ? [to.x, to.y + RADIUS] : [to.x + 12, to.y + BAR.height];
  const turn = Math.max(endX + 30, Math.min(from.x - 20, endX + 120));
  return {
    path: `M${n(x - 16)},${n(y + 1)}C${n(x - 16)},${n(lane)} ${n(x - 22)},${n(lane)} ${n(x - 30)},${n(lane)}H${n(turn)}C${n(endX + 10)},${n(lane)} ${n(endX)},${n(lane)} ${n(endX)},${n(endY)}`,
    label: null,
  };
}

function boxOf({ nodes, left }) {
  const all = [...nodes.entries()];
  const right = all.map(([id, { x }]) => (id.startsWith("q:") ? x + BAR.width + CONSUMERS : x + 60));
  const ys = all.map(([, { y }]) => y);
  const y = Math.min(0, ...ys) - 44;
  return { x: left, y, width: Math.max(300, ...right) - left, height: Math.max(0, ...ys) + 64 - y };
}

