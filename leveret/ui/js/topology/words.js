/** Sentences that describe nodes and edges. */
import { count, exchangeName, plural, rate } from "../format.js";

const ROUTING = {
  direct: "to queues whose binding key equals the routing key",
  fanout: "to all bound queues",
  topic: "by patterns of the routing key",
  headers: "by headers",
};

/** The letter for the type of an exchange. */
export function letterOf({ type, isMissing }) {
  if (isMissing) return "?";
  return (type.replace(/^x-/, "")[0] ?? "?").toUpperCase();
}

export function sayPublisher(node, numbers) {
  const who = node.name || plural(node.connections.length, "connection");
  const many = node.name && node.connections.length > 1 ? `${node.connections.length} connections named ${who} publish` : node.name ? `${who} publishes` : `${who} publish`;
  const where = node.exchanges.map(exchangeName).join(", ");
  return `${many} to ${where}${numbers.rate === null || numbers.rate === undefined ? "" : `: ${sayRate(numbers.rate)}`}.`;
}

export function sayExchange(node, { rate: now, unroutable, unroutableRate }) {
  if (node.isMissing) return `The exchange ${node.name} does not exist: dead letters to it are lost.`;
  const lost = unroutable ? ` ${plural(unroutable, "message")} ${unroutable === 1 ? "was" : "were"} unroutable${unroutableRate > 0 ? `, now ${rate(unroutableRate)}` : ""}.` : "";
  const how = ROUTING[node.type] ? ` It routes ${ROUTING[node.type]}.` : "";
  const gets = now === null || now === undefined ? "" : ` receives ${sayRate(now)} from publishers`;
  return `Exchange ${exchangeName(node.name)} (${node.type})${gets}.${how}${lost}`;
}

export function sayQueue(node, { queue, judged, consumers }) {
  if (!queue) return `Queue ${node.name}.`;
  const waits = `${count(queue.messages_ready)} ready, ${count(queue.messages_unacknowledged)} unacknowledged`;
  const judgement = judged.length ? ` It ${judged[0].text}.` : "";
  const numbers = queue.message_stats ?? {};
  return `Queue ${node.name}: ${waits}; ${rate(numbers.publish_details?.rate ?? 0)} in, ${rate(numbers.deliver_get_details?.rate ?? 0)} out; ${plural(consumers.length || queue.consumers, "consumer")}.${judgement}`;
}

export function sayConsumer({ queue, consumer_tag: tag, rate: now, is_active: isActive }) {
  return `Consumer ${tag} of ${queue} ${!isActive ? "is on standby" : now === null ? "is connected" : now > 0 ? `receives ${rate(now)}` : "is idle"}.`;
}

const WAYS = { publish: "publishes to", binding: "routes to", default: "routes to", alternate: "routes messages without a matching binding to", dead: "sends its dead letters to" };

/** nodes: Map of ids to nodes. flow: {rate, isAtMost}. reason: why a message goes that way. */
export function sayEdge(edge, nodes, flow, reason) {
  const name = (id) => nodes.get(id).name || (id.startsWith("x:") ? exchangeName("") : "Some connections");
  const keys = edge.keys.filter(Boolean);
  const by = keys.length ? ` with ${keys.slice(0, 6).join(", ")}${keys.length > 6 ? ` and ${keys.length - 6} more` : ""}` : "";
  const flows = flow ? `: ${flow.isAtMost ? "at most " : ""}${sayRate(flow.rate)}` : "";
  return `${name(edge.from)} ${WAYS[edge.kind]} ${name(edge.to)}${by}${flows}.${reason ? ` ${reason[0].toUpperCase()}${reason.slice(1)}.` : ""}`;
}

function sayRate(value) {
  return value < 0.05 ? "nothing now" : rate(value);
}
