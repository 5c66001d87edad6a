/** Routing: each listener selects messages by exact routing keys. */
import { signal } from "@preact/signals";
import { html } from "../../html.js";
import { listen, listenersPicture, whose } from "../listeners.js";

const SEVERITIES = ["debug", "info", "warning", "error"];
const LINES = { debug: "the lid was opened", info: "all is well", warning: "the disk is almost full", error: "the disk is broken" };

async function begin(stage) {
  await stage.declareExchange("logs", "direct");
  for (const [number, keys] of [[1, ["warning", "error"]], [2, ["info", "warning", "error"]]]) {
    const listener = await listen(stage, "logs", number, keys);
    listener.bound = signal(keys);
  }
  return {};
}

async function publish(stage, severity) {
  const { number, isRouted, queues } = await stage.send("logs", severity, LINES[severity]);
  if (!isRouted) stage.say(`No queue is bound with ${severity}, so the broker dropped message #${number}.`, "dropped", { kind: "trouble" });
  else stage.say(`Message #${number} with the key ${severity} went to ${whose(stage, queues)}: ${queues.length === 1 ? "its queue is" : "their queues are"} bound with exactly this key.`, queues.length > 1 ? "both" : "routed");
  stage.poke();
}

async function toggle(stage, listener, severity) {
  const isBound = listener.bound.value.includes(severity);
  if (isBound) await stage.unbind("logs", listener.queue, severity);
  else await stage.bind("logs", listener.queue, severity);
  listener.bound.value = SEVERITIES.filter((each) => (each === severity ? !isBound : listener.bound.value.includes(each)));
  stage.say(isBound ? `${listener.name} no longer receives ${severity}: the binding was deleted.` : `${listener.name} now also receives ${severity}: its queue has one more binding.`, "bound");
}

function Controls({ stage }) {
  return html`<span class="small">Publish</span>
    ${SEVERITIES.map((severity) => html`<button key=${severity} type="button" class=${severity === "error" ? "primary" : ""} onClick=${() => stage.act(() => publish(stage, severity))}>${severity}</button>`)}`;
}

function handControls(stage, play, listener) {
  const bound = listener.bound?.value ?? [];
  return html`<span class="wants" role="group" aria-label=${`Bindings of ${listener.name}`}>
    ${SEVERITIES.map((severity) => html`<button key=${severity} type="button" aria-pressed=${bound.includes(severity)} aria-label=${`${severity} for ${listener.name}`} onClick=${() => stage.act(() => toggle(stage, listener, severity))}>${severity}</button>`)}
  </span>`;
}

export default {
  id: "routing",
  title: "Routing",
  sentence: "Each listener selects messages by their routing keys.",
  more: "A direct exchange compares the key of a message with the key of each binding; they must be equal.",
  folder: "routing",
  thumb: { notes: { c1: "error", c2: "info" }, nodes: { p: 1, x: 1, q1: 0.3, q2: 1.7, c1: 0.3, c2: 1.7 }, edges: ["p>x", "x>q1", "x>q2", "q1>c1", "q2>c2"] },
  start: "Listener 1 receives warnings and errors, listener 2 also infos. Publish something.",
  files: [
    { file: "emit_log.py", title: "The publisher", first: "def main", marks: { routed: ["basic_publish("], both: ["basic_publish("], dropped: ["# A direct exchange", "basic_publish("] } },
    { file: "receive_logs.py", title: "A listener", first: "def main", marks: { bound: ["queue_bind(", "for severity in"], both: ["queue_bind("], routed: ["queue_bind("] } },
  ],
  commands: ["python receive_logs.py warning error", "python receive_logs.py info warning error", "python emit_log.py error the disk is broken", "python emit_log.py info all is well"],
  tries: [
    ["both", "Publish an error. It reaches both listeners."],
    ["routed", "Publish an info. It reaches one listener."],
    ["dropped", "Publish a debug. No listener receives it."],
    ["bound", "Bind a listener to debug, and publish that again."],
  ],
  begin,
  picture: (stage) => listenersPicture(stage, "direct", "logs", (listener) => listener.bound?.value.join(" ")),
  Controls,
  handControls,
};
