/** Connections, channels and consumers in words, for the pages that show them. */
import { plural, rate, size } from "./format.js";
import { flow } from "./judge.js";

const SHARE = 0.5;  // a connection with at least this share of all publishes is highlighted
const BUSY = 20;  // messages per second in all, below which none is

/** Columns that the lists request. */
export const CONNECTION_COLUMNS = [
  "name", "user_provided_name", "user", "vhost", "state", "peer_host", "peer_port", "protocol", "ssl", "channels", "connected_at",
  "client_properties", "recv_oct_details.rate", "send_oct_details.rate", "send_pend",
].join(",");
export const CHANNEL_COLUMNS = [
  "name", "number", "user", "vhost", "connection_details.name", "state", "confirm", "transactional", "consumer_count", "prefetch_count",
  "global_prefetch_count", "messages_unacknowledged", "messages_unconfirmed", "messages_uncommitted", "acks_uncommitted", "idle_since",
  ...["publish", "confirm", "return_unroutable", "drop_unroutable", "deliver_get", "ack", "redeliver"].map((name) => `message_stats.${name}_details.rate`),
].join(",");

/** The name of a connection: the one that its client set, or its address. */
export function clientName(connection) {
  return connection.user_provided_name || connection.client_properties?.connection_name || connection.name;
}

/** The library of a client and its version: "pika 1.3.2". */
export function library(connection) {
  const { product, version } = connection.client_properties ?? {};
  return [product, version].filter((each) => typeof each === "string" && each).join(" ");
}

/** The machine of a client. */
export function machine(connection) {
  return connection.peer_host || connection.name.replace(/:\d+ -> .*/, "");
}

/** Sums over the channels of each connection, by its name. */
export function byConnection(channels) {
  const found = new Map();
  for (const channel of channels) {
    const name = channel.connection_details?.name;
    const sum = found.get(name) ?? { publish: 0, deliver: 0, lost: 0, unacked: 0, unconfirmed: 0, consumers: 0, window: 0, isUnlimited: false };
    sum.publish += flow(channel, "publish");
    sum.deliver += flow(channel, "deliver_get");
    sum.lost += flow(channel, "return_unroutable") + flow(channel, "drop_unroutable");
    sum.unacked += channel.messages_unacknowledged ?? 0;
    sum.unconfirmed += channel.messages_unconfirmed ?? 0;
    sum.consumers += channel.consumer_count ?? 0;
    sum.window += (channel.consumer_count ?? 0) * (channel.prefetch_count ?? 0);
    sum.isUnlimited ||= channel.consumer_count > 0 && !channel.prefetch_count;
    found.set(name, sum);
  }
  return found;
}

export const NOTHING = Object.freeze({ publish: 0, deliver: 0, lost: 0, unacked: 0, unconfirmed: 0, consumers: 0, window: 0, isUnlimited: false });

/**
 * Judgements of a connection, worst first: [{level, text}]. sum: of byConnection(). all: messages per second that all
 * connections publish.
 */
export function judgeConnection(connection, sum, all) {
  const found = [];
  if (connection.state === "blocked") found.push({ level: "trouble", text: "is blocked: memory or disk space is low" });
  else if (connection.state === "closing") found.push({ level: "watch", text: "is closing" });
  else if (connection.state === "flow") found.push({ level: "watch", text: "is throttled: it publishes faster than its queues accept" });
  if (connection.send_pend > 0) found.push({ level: "watch", text: `reads too slowly: ${size(connection.send_pend)} are waiting for it` });
  if (sum.lost >= 0.05) found.push({ level: "watch", text: `publishes ${rate(sum.lost)} unroutable messages` });
  if (sum.window > 0 && !sum.isUnlimited && sum.unacked >= sum.window) found.push({ level: "calm", text: `has used up its prefetch of ${sum.unacked}` });
  if (all >= BUSY && sum.publish >= all * SHARE) found.unshift({ level: found[0]?.level ?? "calm", text: `is the busiest publisher: ${Math.floor((sum.publish / all) * 100)} % of all messages`, isBusiest: true });
  return found;
}

/** The activity of a connection without judgements. */
export function does(sum) {
  if (sum.publish >= 0.05 && sum.deliver >= 0.05) return "publishes and consumes";
  if (sum.publish >= 0.05) return "publishes";
  if (sum.deliver >= 0.05) return "consumes";
  return sum.consumers ? `is waiting, with ${plural(sum.consumers, "consumer")}` : "is idle";
}

/** The state of a consumer. */
export function consumerState(consumer) {
  if (!consumer.active) return consumer.activity_status === "waiting" ? "standby" : consumer.activity_status;
  return consumer.activity_status === "single_active" ? "single active consumer" : "active";
}

/** Whether a consumer belongs to a connection; HTTP consumers do not. */
export function hasConnection(consumer) {
  return consumer.channel_details.number > 0;
}

/** The sum of several histories of rates(): [[seconds, value], …]. */
export function sumOf(histories) {
  const found = new Map();
  for (const history of histories) for (const [at, value] of history) found.set(at, (found.get(at) ?? 0) + value);
  return [...found].sort((one, other) => one[0] - other[0]);
}
