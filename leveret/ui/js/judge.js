/**
 * Judgements: what a number means. A judgement is {level, text, action}: level is "trouble" (somebody has to look), "watch"
 * (it may become one) or "calm" (said so that nobody wonders).
 */
import { count, plural, rate, size, span } from "./format.js";

const OLD_S = 60;  // a message that has waited for so long in a queue with consumers makes one wonder
const HELD_S = 600;  // one that a consumer has held for so long
const GROWING = 0.5;  // messages in a second
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

/** What is to be said of a queue, the worst first. age: of /leveret/ages. isDead: whether dead letters come here. */
export function judgeQueue(queue, age, isDead = false) {
  const found = [];
  const say = (level, text) => found.push({ level, text });
  const ready = queue.messages_ready ?? 0;
  const growth = queue.messages_ready_details?.rate ?? 0;
  const oldest = age?.oldest_ready_s ?? 0;
  if (!["running", "idle", "flow"].includes(queue.state)) say("trouble", `is ${queue.state}`);
  if (queue.paused) {
    say("watch", ready ? `is paused, with ${plural(ready, "message")} waiting` : "is paused");
  } else if (isDead) {
    if (ready) say("watch", `holds ${plural(ready, "dead letter")}`);
  } else if (ready && !queue.consumers) {
    if (growth > GROWING) say("trouble", `grows by ${rate(growth)} and nobody consumes`);
    else say("watch", `has ${plural(ready, "message")} and no consumer`);
  } else if (ready && growth > GROWING) {
    say(oldest > OLD_S ? "trouble" : "watch", `grows by ${rate(growth)}, faster than it is consumed`);
  } else if (ready && oldest > OLD_S && flow(queue, "deliver_get") < 0.05) {
    say("trouble", `is stuck: its oldest message has waited ${span(oldest)}`);
  } else if (ready && oldest > OLD_S * 10) {
    say("watch", `is behind: its oldest message has waited ${span(oldest)}`);
  }
  if ((age?.oldest_unacked_s ?? 0) > HELD_S) say("watch", `a consumer has held a message for ${span(age.oldest_unacked_s)}`);
  return found.sort((one, other) => ORDER[one.level] - ORDER[other.level]);
}

/** How much it needs somebody: larger is worse. Below all that is judged, it is by what waits. */
export function troubleOf(queue, judged) {
  const worst = judged[0]?.level;
  const weight = worst === "trouble" ? 2e12 : worst === "watch" ? 1e12 : 0;
  return weight + (queue.messages ?? 0);
}

/** Where the dead letters of a queue go: {exchange, key}, or null. */
export function deathOf(queue) {
  const policy = queue.effective_policy_definition ?? {};
  const exchange = queue.arguments?.["x-dead-letter-exchange"] ?? policy["dead-letter-exchange"];
  const key = queue.arguments?.["x-dead-letter-routing-key"] ?? policy["dead-letter-routing-key"];
  return exchange === undefined ? null : { exchange, key };
}

/** Whether some routing key matches both of two binding keys of a topic exchange. */
function meet(one, other) {
  if (!one.length && !other.length) return true;
  if (one[0] === "#") return meet(one.slice(1), other) || (other.length > 0 && meet(one, other.slice(1)));
  if (other[0] === "#") return meet(other, one);
  if (!one.length || !other.length) return false;
  return (one[0] === other[0] || one[0] === "*" || other[0] === "*") && meet(one.slice(1), other.slice(1));
}

/**
 * Where dead letters may go, of all queues, bindings and exchanges: a Map from "vhost name" of the queue that gets them
 * to the names of those that they come from. A message keeps its routing key, unless the queue says another one.
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

/** What is to be said of the node. */
export function judgeNode(node, status) {
  const found = [];
  if (!node) return found;
  if (node.mem_alarm) found.push({ level: "trouble", text: `Memory is short: ${size(node.mem_used)} of ${size(node.mem_limit)}. Publishers are held back.` });
  if (node.disk_free_alarm) found.push({ level: "trouble", text: `Disk space is short: ${size(node.disk_free)} are left, ${size(node.disk_free_limit)} are needed. Publishers are held back.` });
  if (status?.loop_longest_ms_recent > 250) found.push({ level: "watch", text: `The event loop was busy for ${Math.round(status.loop_longest_ms_recent)} ms at a time in the last minute.` });
  if (status?.set_aside?.length) found.push({ level: "trouble", text: `${count(status.set_aside.length)} damaged files were set aside at the start.` });
  return found;
}
