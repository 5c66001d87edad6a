/** The keys of policies: what each of them does, and its values. */

/** By key: {about, kind, unit, choices, of, operator}; of: "queues" or "exchanges"; operator: whether operators may set it. */
export const KEYS = {
  "message-ttl": { about: "Messages expire after this time.", kind: "number", unit: "ms", operator: true },
  expires: { about: "An unused queue is deleted after this time.", kind: "number", unit: "ms", operator: true },
  "max-length": { about: "Maximum number of ready messages.", kind: "number", unit: "messages", operator: true },
  "max-length-bytes": { about: "Maximum bytes of ready messages.", kind: "number", unit: "bytes", operator: true },
  overflow: { about: "What a full queue does.", kind: "choice", choices: ["drop-head", "reject-publish", "reject-publish-dlx"], operator: true },
  "dead-letter-exchange": { about: "Exchange for messages that are rejected, expired or over the length limit.", kind: "text" },
  "dead-letter-routing-key": { about: "Routing key of dead letters, instead of their own.", kind: "text" },
  "dead-letter-strategy": { about: "Whether dead letters may be lost.", kind: "choice", choices: ["at-most-once", "at-least-once"] },
  "delivery-limit": { about: "A message is dead-lettered after this many failed deliveries.", kind: "number", unit: "deliveries", operator: true },
  "consumer-timeout": { about: "A consumer must acknowledge within this time.", kind: "number", unit: "ms" },
  "delayed-retry-type": { about: "Which messages wait before redelivery.", kind: "choice", choices: ["failed", "returned", "all", "disabled"], operator: true },
  "delayed-retry-min": { about: "Minimum wait, which grows with each failure.", kind: "number", unit: "ms", operator: true },
  "delayed-retry-max": { about: "Maximum wait.", kind: "number", unit: "ms", operator: true },
  "delivery-rate": { about: "Maximum deliveries per second.", kind: "number", unit: "per second", operator: true },
  "delivery-burst": { about: "Messages that may be delivered at once after a pause.", kind: "number", unit: "messages", operator: true },
  "max-prefetch": { about: "Maximum prefetch of a consumer.", kind: "number", unit: "messages", operator: true },
  "consumer-order": { about: "Which consumer receives the next message.", kind: "choice", choices: ["round-robin", "least-loaded"] },
  paused: { about: "The queue delivers no messages.", kind: "choice", choices: ["true", "false"], operator: true },
  "hold-until-header": { about: "Messages are held until the time in this header.", kind: "text" },
  "deduplicate-by": { about: "Drops messages with a repeated value of this: message-id, or a header.", kind: "text" },
  "alternate-exchange": { about: "Exchange for messages that match no binding.", kind: "text", of: "exchanges" },
};

/** What a policy may apply to: [value, label, test]. */
export const TARGETS = [
  ["all", "Queues and exchanges", () => true],
  ["queues", "Queues", ({ kind }) => kind === "queue"],
  ["classic_queues", "Classic queues", ({ kind, type }) => kind === "queue" && type === "classic"],
  ["quorum_queues", "Quorum queues", ({ kind, type }) => kind === "queue" && type === "quorum"],
  ["exchanges", "Exchanges", ({ kind }) => kind === "exchange"],
];

/** A value for the definition of a policy, from typed text. */
export function valueOf(key, text) {
  const trimmed = text.trim();
  if (KEYS[key]?.kind === "text") return trimmed;
  if (trimmed === "true" || trimmed === "false") return trimmed === "true";
  if (/^-?\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed);
  if (/^[[{"]/.test(trimmed)) {
    try {
      return JSON.parse(trimmed);
    } catch {
      return trimmed;
    }
  }
  return trimmed;
}

/** The things [{name, kind, type}] that a policy applies to; null if the pattern is not valid in a browser. */
export function matching(things, pattern, target) {
  const fits = TARGETS.find(([value]) => value === target)?.[2] ?? (() => true);
  let expression;
  try {
    expression = new RegExp(pattern, "u");
  } catch {
    return null;
  }
  return things.filter((each) => fits(each) && expression.test(each.name));
}
