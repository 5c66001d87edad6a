/** Publish/subscribe: one message to all listeners. */
import { plural } from "../../format.js";
import { html } from "../../html.js";
import { listen, listenersPicture, stopListening, whose } from "../listeners.js";

const MOST = 4;
const LINES = ["the disk is full", "the disk is still full", "the disk was cleaned up", "all is well"];

async function begin(stage) {
  const play = { number: 0 };
  await stage.declareExchange("logs", "fanout");
  await add(stage, play, true);
  await add(stage, play, true);
  return play;
}

async function add(stage, play, isQuiet = false) {
  play.number += 1;
  const listener = await listen(stage, "logs", play.number, [""]);
  if (!isQuiet) stage.say(`${listener.name} now has its own queue. It receives messages published from now on, but no earlier ones.`, "joined");
}

async function publish(stage) {
  const { number, isRouted, queues } = await stage.send("logs", "", LINES[stage.sent % LINES.length]);
  if (!isRouted) stage.say(`There was no listener, so the broker dropped message #${number}. Exchanges do not store messages.`, "dropped", { kind: "trouble" });
  else if (queues.length === 1) stage.say(`The exchange put one copy of message #${number} into the queue of ${whose(stage, queues)}.`, "copied");
  else stage.say(`The exchange put ${plural(queues.length, "copy", "copies")} of message #${number} into ${queues.length} queues: those of ${whose(stage, queues)}.`, "copied");
  stage.poke();
}

async function stop(stage, listener) {
  await stopListening(stage, listener);
  stage.say(`${listener.name} has left, and its queue was deleted.`, "left");
}

function Controls({ stage, play }) {
  return html`
    <button type="button" class="primary" onClick=${() => stage.act(() => publish(stage))}>Publish a line</button>
    <button type="button" disabled=${stage.workers.value.length >= MOST} onClick=${() => stage.act(() => add(stage, play))}>Add a listener</button>`;
}

function handControls(stage, play, listener) {
  return html`<button type="button" disabled=${listener.isOver.value} aria-label=${`Stop ${listener.name}`} onClick=${() => stage.act(() => stop(stage, listener))}>Stop</button>`;
}

export default {
  id: "publish-subscribe",
  title: "Publish/subscribe",
  sentence: "One message goes to all listeners, and each gets a copy.",
  more: "The publisher knows only the exchange, not the listeners.",
  folder: "publish_subscribe",
  thumb: { sign: "F", nodes: { p: 1, x: 1, q1: 0, q2: 1, q3: 2, c1: 0, c2: 1, c3: 2 }, edges: ["p>x", "x>q1", "x>q2", "x>q3", "q1>c1", "q2>c2", "q3>c3"] },
  start: "There are two listeners. Publish a line.",
  files: [
    { file: "emit_log.py", title: "The publisher", first: "def main", marks: { copied: ["basic_publish(", "# A fanout exchange"], dropped: ["# With no queue bound", "basic_publish("] } },
    { file: "receive_logs.py", title: "A listener", first: "def main", marks: { joined: ["queue_declare(", "queue_bind("], left: ["queue_declare(", "# No name"] } },
  ],
  commands: ["python receive_logs.py", "python receive_logs.py | tee today.log", "python emit_log.py the disk is full"],
  tries: [
    ["copied", "Publish a line. Each listener gets a copy."],
    ["joined", "Add a listener. It gets no earlier messages."],
    ["left", "Stop a listener. Its queue is deleted."],
    ["dropped", "Stop all listeners, and publish. The line is lost."],
  ],
  begin,
  picture: (stage) => ({ rows: 2, ...listenersPicture(stage, "fanout", "logs", () => null) }),
  Controls,
  handControls,
};
