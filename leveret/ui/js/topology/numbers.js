/** The changing numbers: contents and rates of nodes, and rates of edges. */
import { deadLetterWays, judgeQueue } from "../judge.js";
import { exchangeId, flowsOf, queueId } from "./model.js";

const key = ({ vhost, name }) => `${vhost} ${name}`;

/**
 * answers: {exchanges, queues, bindings, flows, ages} of the API. rates: Rates of model.js.
 * Returns: {nodes, edges}: maps of ids to what scene.js draws.
 */
export function numbersOf(shape, { exchanges, queues, bindings, flows, ages }, rates) {
  const nodes = new Map();
  for (const node of shape.nodes.filter(({ kind }) => kind === "publisher")) {
    nodes.set(node.id, { rate: total(node.exchanges.flatMap((exchange) => node.connections.map((each) => rates.of("publish", each, exchange)))) });
  }
  for (const { exchange, unroutable } of flows.exchanges) {
    nodes.set(exchangeId(exchange), { rate: rates.of("published", exchange), unroutable, unroutableRate: rates.of("unroutable", exchange) });
  }
  const dead = deadLetterWays(queues, bindings, exchanges);
  const ageOf = new Map((ages ?? []).map((age) => [age.name, age]));
  const consumersOf = Map.groupBy(flows.consumers, ({ queue }) => queue);
  for (const queue of queues) {
    const consumers = (consumersOf.get(queue.name) ?? []).map((each) => ({ ...each, rate: rates.of("consumer", each.queue, each.connection, each.consumer_tag) }));
    nodes.set(queueId(queue.name), { queue, judged: judgeQueue(queue, ageOf.get(queue.name), dead.has(key(queue))), consumers });
  }
  return { nodes, edges: flowsOf(shape, flows, rates) };
}

function total(values) {
  const known = values.filter((each) => each !== null);
  return known.length ? known.reduce((sum, each) => sum + each, 0) : null;
}

