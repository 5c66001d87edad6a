/**
 * The graph of a virtual host. Its shape is {key, nodes, edges}; shapes with the same key have the same layout. Rates are
 * computed separately, so that they can change without a new layout.
 *
 * A node is {id, kind, name, …}, kind being "publisher", "exchange" or "queue". An edge is {id, from, to, kind, keys}, kind
 * being "publish", "binding", "default" (a queue by its own name), "alternate" or "dead".
 */
import { deathOf } from "../judge.js";

const MOST_PUBLISHERS = 6;  // more publishers to the same exchanges than this are drawn as one
const WINDOW_MS = 6000;  // period for rates

export const publisherId = (name, exchanges) => `p:${JSON.stringify([name, ...exchanges])}`;
export const exchangeId = (name) => `x:${name}`;
export const queueId = (name) => `q:${name}`;
export const edgeId = (kind, from, to) => `${kind} ${JSON.stringify([from, to])}`;

function isBuiltIn(name) {
  return name === "" || name.startsWith("amq.");
}

/** The name of a connection: the one that its client set, otherwise its user and address. */
function nameOf({ name, connection, user }) {
  return name !== connection ? name : `${user} at ${connection.split(" -> ")[0].replace(/:\d+$/, "")}`;
}

/** Publishers to draw: [{id, name, exchanges, connections}]; similar ones are combined. */
function publishersOf(flows) {
  const byConnection = new Map();
  for (const each of flows.publishers) {
    if (!each.published) continue;
    const found = byConnection.get(each.connection) ?? { connection: each.connection, name: nameOf(each), exchanges: [] };
    found.exchanges.push(each.exchange);
    byConnection.set(each.connection, found);
  }
  const byTargets = Map.groupBy(byConnection.values(), ({ exchanges }) => JSON.stringify(exchanges.sort()));
  return [...byTargets.values()].flatMap((all) => {
    const byName = Map.groupBy(all, ({ name }) => name);
    const groups = byName.size > MOST_PUBLISHERS ? [["", all]] : [...byName];
    return groups.map(([name, members]) => ({
      id: publisherId(name, members[0].exchanges),
      kind: "publisher",
      name,
      exchanges: members[0].exchanges,
      connections: members.map(({ connection }) => connection),
    }));
  });
}

class Builder {
  nodes = new Map();
  edges = new Map();

  add(node) {
    if (!this.nodes.has(node.id)) this.nodes.set(node.id, node);
  }

  join(kind, from, to, key) {
    if (!this.nodes.has(from) || !this.nodes.has(to)) return;
    const id = edgeId(kind, from, to);
    const edge = this.edges.get(id) ?? { id, from, to, kind, keys: [] };
    if (key !== undefined) edge.keys.push(key);
    this.edges.set(id, edge);
  }
}

/** The key of a binding as text, with arguments as name=value. */
function keyOf({ routing_key: key, arguments: given }) {
  const pairs = Object.entries(given ?? {}).map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`);
  return [key, ...pairs].filter(Boolean).join(" ");
}

/** The shape, from answers of the API. Unused predeclared exchanges are left out. */
export function shapeOf({ exchanges, queues, bindings, flows }) {
  const graph = new Builder();
  const explicit = bindings.filter(({ source }) => source);
  const deaths = queues.map((queue) => [queue, deathOf(queue)]).filter(([, death]) => death);
  const used = new Set([
    ...explicit.flatMap(({ source, destination, destination_type: type }) => (type === "exchange" ? [source, destination] : [source])),
    ...flows.exchanges.filter(({ published }) => published).map(({ exchange }) => exchange),
    ...deaths.map(([, { exchange }]) => exchange).filter(Boolean),
    ...exchanges.map((each) => each.arguments?.["alternate-exchange"]).filter(Boolean),
  ]);
  for (const { name, type, internal } of exchanges) {
    if (!isBuiltIn(name) || used.has(name)) graph.add({ id: exchangeId(name), kind: "exchange", name, type, internal });
  }
  for (const { name } of queues) graph.add({ id: queueId(name), kind: "queue", name });
  for (const [, { exchange }] of deaths) {
    if (exchange) graph.add({ id: exchangeId(exchange), kind: "exchange", name: exchange, type: "", isMissing: true });
  }
  for (const binding of explicit) {
    const to = binding.destination_type === "exchange" ? exchangeId(binding.destination) : queueId(binding.destination);
    graph.join("binding", exchangeId(binding.source), to, keyOf(binding));
  }
  for (const { exchange, queue } of flows.routes) if (exchange === "") graph.join("default", exchangeId(""), queueId(queue));
  for (const { name, arguments: given } of exchanges) {
    const other = given?.["alternate-exchange"];
    if (other) graph.join("alternate", exchangeId(name), exchangeId(other));
  }
  for (const [queue, { exchange, key }] of deaths) {
    if (exchange) graph.join("dead", queueId(queue.name), exchangeId(exchange), key);
    else if (key) graph.join("dead", queueId(queue.name), queueId(key));
  }
  const publishers = publishersOf(flows);
  for (const publisher of publishers) {
    graph.add(publisher);
    for (const exchange of publisher.exchanges) graph.join("publish", publisher.id, exchangeId(exchange));
  }
  const nodes = [...graph.nodes.values()];
  const edges = [...graph.edges.values()];
  return { key: JSON.stringify([nodes.map(({ id }) => id).sort(), edges.map(({ id, keys }) => [id, keys]).sort()]), nodes, edges };
}

/** A function that returns the ids of all exchanges reachable from an exchange, including itself. */
function reaching(shape) {
  const next = new Map();
  for (const { kind, from, to } of shape.edges) {
    if (kind !== "publish" && kind !== "dead" && to.startsWith("x:")) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const known = new Map();
  return (id) => {
    if (!known.has(id)) {
      const found = new Set([id]);
      for (const each of found) for (const to of next.get(each) ?? []) found.add(to);
      known.set(id, found);
    }
    return known.get(id);
  };
}

/** Rates of the counters in answers of /leveret/flows, of which it keeps some seconds. */
export class Rates {
  #answers = [];

  /** Add an answer. */
  add(flows) {
    if (this.#answers.at(-1)?.at_ms === flows.at_ms) return;
    if (flows.at_ms < this.#answers.at(-1)?.at_ms) this.#answers = [];  // the broker has restarted
    this.#answers.push({ at_ms: flows.at_ms, counts: counted(flows) });
    while (this.#answers.length > 2 && this.#answers[1].at_ms <= flows.at_ms - WINDOW_MS) this.#answers.shift();
  }

  /** The growth per second of the counter with this name; null while it is not known. */
  of(...name) {
    const [first, last] = [this.#answers[0], this.#answers.at(-1)];
    if (!first || first === last) return null;
    const key = JSON.stringify(name);
    return Math.max(0, (((last.counts.get(key) ?? 0) - (first.counts.get(key) ?? 0)) * 1000) / (last.at_ms - first.at_ms));
  }
}

function counted({ publishers, exchanges, routes, queues, consumers }) {
  const found = new Map();
  const note = (value, ...name) => found.set(JSON.stringify(name), value);
  for (const each of publishers) note(each.published, "publish", each.connection, each.exchange);
  for (const each of exchanges) {
    note(each.published, "published", each.exchange);
    note(each.unroutable, "unroutable", each.exchange);
  }
  for (const each of routes) note(each.routed, "route", each.exchange, each.queue);
  for (const each of queues) {
    note(each.taken, "taken", each.queue);
    note(each.dead_lettered, "dead", each.queue);
  }
  for (const each of consumers) note(each.delivered, "consumer", each.queue, each.connection, each.consumer_tag);
  return found;
}

/**
 * Messages per second on each edge: a map of ids to {rate, isAtMost}. The broker counts messages from an exchange to a
 * queue, even through other exchanges; if there are several paths, the rate is an upper limit for each.
 */
export function flowsOf(shape, flows, rates) {
  const found = new Map();
  const reach = reaching(shape);
  const intoQueue = Map.groupBy(shape.edges.filter(({ kind, to }) => (kind === "binding" || kind === "default") && to.startsWith("q:")), ({ to }) => to);
  const between = shape.edges.filter(({ kind, to }) => (kind === "binding" || kind === "alternate") && to.startsWith("x:"));
  const add = (id, rate, isAtMost = false) => {
    const old = found.get(id);
    found.set(id, { rate: (old?.rate ?? 0) + (rate ?? 0), isAtMost: isAtMost || Boolean(old?.isAtMost) });
  };

  for (const node of shape.nodes.filter(({ kind }) => kind === "publisher")) {
    for (const exchange of node.exchanges) {
      for (const connection of node.connections) add(edgeId("publish", node.id, exchangeId(exchange)), rates.of("publish", connection, exchange));
    }
  }

  const routed = new Map();  // published messages by queue; all others that a queue receives are dead letters
  const passed = new Map();  // between exchanges: [edge, exchange] to the highest rate of a queue
  for (const { exchange, queue } of flows.routes) {
    const rate = rates.of("route", exchange, queue) ?? 0;
    routed.set(queue, (routed.get(queue) ?? 0) + rate);
    const reached = reach(exchangeId(exchange));
    const last = (intoQueue.get(queueId(queue)) ?? []).filter(({ from }) => reached.has(from));
    for (const { id } of last) add(id, rate, last.length > 1 && rate > 0);
    if (!rate) continue;
    for (const edge of between) {
      if (!reached.has(edge.from) || !last.some(({ from }) => reach(edge.to).has(from))) continue;
      const key = JSON.stringify([edge.id, exchange]);
      passed.set(key, Math.max(passed.get(key) ?? 0, rate));
    }
  }
  for (const [key, rate] of passed) add(JSON.parse(key)[0], rate);

  const deadly = new Set(shape.edges.filter(({ kind, to }) => kind === "dead" && to.startsWith("x:")).flatMap(({ to }) => [...reach(to)]));
  for (const edge of shape.edges.filter(({ kind }) => kind === "dead")) add(edge.id, rates.of("dead", edge.from.slice(2)));
  for (const [to, edges] of intoQueue) {
    const name = to.slice(2);
    const rest = (rates.of("taken", name) ?? 0) - (routed.get(name) ?? 0);
    const ways = edges.filter(({ from }) => deadly.has(from));
    if (rest > 0.01) for (const { id } of ways) add(id, rest, ways.length > 1);
  }
  return found;
}

/** The nodes and edges on the route of an explained message: {nodes, edges, reasons}. */
export function litBy(explained, shape) {
  const nodes = new Set();
  const edges = new Set();
  const reasons = new Map();
  const between = Map.groupBy(shape.edges, ({ from, to }) => JSON.stringify([from, to]));
  const light = (from, to, reason) => {
    for (const { id } of between.get(JSON.stringify([from, to])) ?? []) {
      edges.add(id);
      if (reason) reasons.set(id, reason);
    }
  };
  for (const { exchanges, queues } of explained.paths) {
    for (const exchange of exchanges) {
      const here = exchangeId(exchange.name);
      nodes.add(here);
      if (exchange.came_from !== undefined) light(exchangeId(exchanges[exchange.came_from].name), here);
      for (const match of exchange.matches ?? []) {
        light(here, match.destination_type === "exchange" ? exchangeId(match.destination) : queueId(match.destination), match.reason);
      }
    }
    for (const { name, dead_letters: letters } of queues) {
      nodes.add(queueId(name));
      if (exchanges.length === 1 && exchanges[0].name === "") light(exchangeId(""), queueId(name));
      if (letters?.exchange) light(queueId(name), exchangeId(letters.exchange));
      else if (letters) for (const key of letters.routing_keys ?? []) light(queueId(name), queueId(key));
    }
  }
  return { nodes, edges, reasons };
}
