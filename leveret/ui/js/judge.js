/**
 * Judgements: what numbers mean. A judgement is {level, text}: level is "trouble" (needs attention now), "watch" (may
 * become trouble) or "calm" (for information).
 */
import { count, plural, rate, size, span } from "./format.js";

const OLD_S = 60;  // waiting time of a message that is suspicious in a queue with consumers
const HELD_S = 600;  // time without an acknowledgement that is suspicious
const GROWING = 0.5;  // messages per second
const ORDER = { trouble: 0, watch: 1, calm: 2 };

export const FIELDS = [
  "name", "vhost", "type", "durable", "auto_delete", "exclusive", "arguments", "state", "paused", "policy", "consumers",
  "messages", "messages_ready", "messages_unacknowledged", "messages_ready_details.rate", "message_bytes",
  "messages_held", "effective_policy_definition",
  "message_stats.publish_details.rate", "message_stats.deliver_get_details.rate", "message_stats.ack_details.rate",
];

/** The rate of one number of message_stats. */
export function flow(thing, what) {
  return thing?.message_stats?.[`${what}_details`]?.rate ?? 0;
}

/** Judgements of a queue, worst first. age: from /leveret/ages. isDead: whether it receives dead letters. */
export function judgeQueue(queue, age, isDead = false) {
  const found = [];
  const say = (level, text) => found.push({ level, text });
  const ready = queue.messages_ready ?? 0;
  const growth = queue.messages_ready_details?.rate ?? 0;
  const oldest = age?.oldest_ready_s ?? 0;
  if (!["running", "idle", "flow"].includes(queue.state)) say("trouble", `is ${queue.state}`);
  if (queue.paused) {
    say("watch", ready ? `is paused, with ${plural(ready, "ready message")}` : "is paused");
  } else if (isDead) {
    if (ready) say("watch", `contains ${plural(ready, "dead letter")}`);
  } else if (ready && !queue.consumers) {
    if (growth > GROWING) say("trouble", `grows by ${rate(growth)} and has no consumers`);
    else say("watch", `has ${plural(ready, "message")} and no consumers`);
  } else if (ready && growth > GROWING) {
    say(oldest > OLD_S ? "trouble" : "watch", `grows by ${rate(growth)}, faster than it is consumed`);
  } else if (ready && oldest > OLD_S && flow(queue, "deliver_get") < 0.05) {
    say("trouble", `is stuck: its oldest message has waited ${span(oldest)}`);
  } else if (ready && oldest > OLD_S * 10) {
    say("watch", `is behind: its oldest message has waited ${span(oldest)}`);
  }
  if ((age?.oldest_unacked_s ?? 0) > HELD_S) say("watch", `has a message that is unacknowledged for ${span(age.oldest_unacked_s)}`);
  return found.sort((one, other) => ORDER[one.level] - ORDER[other.level]);
}

/** The weight for sorting queues: larger is worse. Queues without judgements are sorted by their messages. */
export function troubleOf(queue, judged) {
  const worst = judged[0]?.level;
  const weight = worst === "trouble" ? 2e12 : worst === "watch" ? 1e12 : 0;
  return weight + (queue.messages ?? 0);
}

/** The target of a queue's dead letters: {exchange, key}, or null. */
export function deathOf(queue) {
  const policy = queue.effective_policy_definition ?? {};
  const exchange = queue.arguments?.["x-dead-letter-exchange"] ?? policy["dead-letter-exchange"];
  const key = queue.arguments?.["x-dead-letter-routing-key"] ?? policy["dead-letter-routing-key"];
  return exchange === undefined ? null : { exchange, key };
}

/** Whether a routing key exists that matches both binding keys of a topic exchange. */
function meet(one, other) {
  if (!one.length && !other.length) return true;
  if (one[0] === "#") return meet(one.slice(1), other) || (other.length > 0 && meet(one, other.slice(1)));
  if (other[0] === "#") return meet(other, one);
  if (!one.length || !other.length) return false;
  return (one[0] === other[0] || one[0] === "*" || other[0] === "*") && meet(one.slice(1), other.slice(1));
}

/**
 * Where dead letters may go: a Map from "vhost name" of the queue that receives them to the names of their source
 * queues. A message keeps its routing key unless the queue sets another one.
 */
export function deadLetterWays(queues, bindings = [], exchanges = []) {
  const found = new Map();
  const typeOf = new Map(exchanges.map(({ vhost, name, type }) => [`${vhost} ${name}`, type]));
  const ofQueues = bindings.filter((each) => each.destination_type === "queue");
  const add = (queue, name) => {
    const key = `${queue.vhost} ${name}`;
    found.set(key, [...(found.get(key) ?? []), queue.name]);
  };
  for (const queue of queues) {
    const death = deathOf(queue);
    if (!death) continue;
    const { exchange, key } = death;
    if (exchange === "") {
      if (key !== undefined) add(queue, key);
      continue;
    }
    const own = ofQueues.filter((each) => each.vhost === queue.vhost && each.destination === queue.name);
    const keys = key === undefined ? own.map((each) => each.routing_key) : [key];
    const hasKeys = ["direct", "topic"].includes(typeOf.get(`${queue.vhost} ${exchange}`) ?? "topic");
    for (const each of ofQueues) {
      if (each.vhost !== queue.vhost || each.source !== exchange) continue;
      if (!hasKeys || keys.some((wanted) => meet(wanted.split("."), each.routing_key.split(".")))) add(queue, each.destination);
    }
  }
  return found;
}

/** Judgements of the node. */
export function judgeNode(node, status) {
  const found = [];
  if (!node) return found;
  if (node.mem_alarm) found.push({ level: "trouble", text: `Memory is low: ${size(node.mem_used)} of ${size(node.mem_limit)} in use. Publishers are blocked.` });
  if (node.disk_free_alarm) found.push({ level: "trouble", text: `Disk space is low: ${size(node.disk_free)} free, ${size(node.disk_free_limit)} required. Publishers are blocked.` });
  if (status?.loop_longest_ms_recent > 250) found.push({ level: "watch", text: `The event loop was delayed by up to ${Math.round(status.loop_longest_ms_recent)} ms in the last minute.` });
  if (status?.set_aside?.length) found.push({ level: "trouble", text: `${count(status.set_aside.length)} damaged files were set aside at the start.` });
  return found;
}
