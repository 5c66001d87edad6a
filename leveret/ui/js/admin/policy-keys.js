/** The keys of policies: what each of them does, and which values it takes. */

/** By key: {about, kind, unit, choices, of, operator}; of: "queues" or "exchanges"; operator: whether operators may set it. */
export const KEYS = {
  "message-ttl": { about: "Messages expire after so long.", kind: "number", unit: "ms", operator: true },
  expires: { about: "A queue that nobody uses is deleted after so long.", kind: "number", unit: "ms", operator: true },
  "max-length": { about: "So many messages wait at most.", kind: "number", unit: "messages", operator: true },
  "max-length-bytes": { about: "So many bytes wait at most.", kind: "number", unit: "bytes", operator: true },
  overflow: { about: "What a full queue does.", kind: "choice", choices: ["drop-head", "reject-publish", "reject-publish-dlx"], operator: true },
  "dead-letter-exchange": { about: "Where messages go that are rejected, expired, or too many.", kind: "text" },
  "dead-letter-routing-key": { about: "With this routing key instead of their own.", kind: "text" },
  "dead-letter-strategy": { about: "Whether dead letters may get lost.", kind: "choice", choices: ["at-most-once", "at-least-once"] },
  "delivery-limit": { about: "A message is a dead letter after so many failed deliveries.", kind: "number", unit: "deliveries", operator: true },
  "consumer-timeout": { about: "A consumer must acknowledge within this time.", kind: "number", unit: "ms" },
  "delayed-retry-type": { about: "Which messages wait before they are delivered again.", kind: "choice", choices: ["failed", "returned", "all", "disabled"], operator: true },
  "delayed-retry-min": { about: "How long they wait at least, more with each failure.", kind: "number", unit: "ms", operator: true },
  "delayed-retry-max": { about: "How long they wait at most.", kind: "number", unit: "ms", operator: true },
  "delivery-rate": { about: "So many messages go out in a second at most.", kind: "number", unit: "in a second", operator: true },
  "delivery-burst": { about: "So many may go out at once after a rest.", kind: "number", unit: "messages", operator: true },
  "max-prefetch": { about: "A consumer holds so many messages at most.", kind: "number", unit: "messages", operator: true },
  "consumer-order": { about: "Which consumer gets the next message.", kind: "choice", choices: ["round-robin", "least-loaded"] },
  paused: { about: "The queue delivers nothing.", kind: "choice", choices: ["true", "false"], operator: true },
  "hold-until-header": { about: "Messages wait until the time in this header.", kind: "text" },
  "deduplicate-by": { about: "A message with a value that came before is dropped: message-id, or a header.", kind: "text" },
  "alternate-exchange": { about: "Where an exchange sends what no binding fits.", kind: "text", of: "exchanges" },
};

/** What a policy may apply to: [value, what it is called, which things that are]. */
export const TARGETS = [
  ["all", "Queues and exchanges", () => true],
  ["queues", "Queues", ({ kind }) => kind === "queue"],
  ["classic_queues", "Classic queues", ({ kind, type }) => kind === "queue" && type === "classic"],
  ["quorum_queues", "Quorum queues", ({ kind, type }) => kind === "queue" && type === "quorum"],
  ["exchanges", "Exchanges", ({ kind }) => kind === "exchange"],
];

/** A value as the definition of a policy has it, of what was typed. */
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

/** Of things [{name, kind, type}], those that a policy applies to; null where the pattern cannot be tried here. */
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
