/** What is said of a node or an edge, in a sentence. */
import { count, exchangeName, plural, rate } from "../format.js";

const ROUTING = {
  direct: "to queues bound with exactly the routing key",
  fanout: "to everything bound to it",
  topic: "by patterns of the routing key",
  headers: "by headers",
};

/** The letter that stands for the kind of an exchange. */
export function letterOf({ type, isMissing }) {
  if (isMissing) return "?";
  return (type.replace(/^x-/, "")[0] ?? "?").toUpperCase();
}

export function sayPublisher(node, numbers) {
  const who = node.name || plural(node.connections.length, "connection");
  const many = node.name && node.connections.length > 1 ? `${node.connections.length} connections called ${who} publish` : node.name ? `${who} publishes` : `${who} publish`;
  const where = node.exchanges.map(exchangeName).join(", ");
  return `${many} to ${where}${numbers.rate === null || numbers.rate === undefined ? "" : `: ${sayRate(numbers.rate)}`}.`;
}

export function sayExchange(node, { rate: now, unroutable, unroutableRate }) {
  if (node.isMissing) return `There is no exchange ${node.name}: dead letters that should go there are lost.`;
  const lost = unroutable ? ` ${plural(unroutable, "message")} arrived nowhere${unroutableRate > 0 ? `, now ${rate(unroutableRate)}` : ""}.` : "";
  const how = ROUTING[node.type] ? ` It hands on ${ROUTING[node.type]}.` : "";
  const gets = now === null || now === undefined ? "" : ` gets ${sayRate(now)} from publishers`;
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
  return `Consumer ${tag} of ${queue} ${!isActive ? "waits for its turn" : now === null ? "is there" : now > 0 ? `gets ${rate(now)}` : "is idle"}.`;
}

const WAYS = { publish: "publishes to", binding: "hands on to", default: "hands on to", alternate: "hands on what no binding takes to", dead: "sends its dead letters to" };

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
