/** Topics: keys of several words, and listeners that select by patterns. */
import { useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { html } from "../../html.js";
import { listen, listenersPicture, whose } from "../listeners.js";

const KEYS = ["disk.sda.error", "network.eth0.error", "disk", "disk.sda.info", "network.eth0.info"];
const LINES = { "disk.sda.error": "it clicks", "network.eth0.error": "no link", disk: "it is there" };
const MOST_BYTES = 255;

async function begin(stage) {
  await stage.declareExchange("logs", "topic");
  for (const [number, pattern] of [[1, "*.*.error"], [2, "disk.#"]]) {
    const listener = await listen(stage, "logs", number, [pattern]);
    listener.pattern = signal(pattern);
  }
  return {};
}

async function publish(stage, key) {
  const { number, isRouted, queues } = await stage.send("logs", key, LINES[key] ?? "something happened");
  if (!isRouted) stage.say(`No pattern matches ${key}, so the broker dropped message #${number}.`, "dropped", { kind: "trouble" });
  else {
    const reached = stage.workers.value.filter(({ queue }) => queues.includes(queue));
    const patterns = reached.map(({ pattern }) => pattern.value).join(" and ");
    stage.say(`${key} matches ${patterns}, so message #${number} went to ${whose(stage, queues)}.`, key.includes(".") ? "matched" : "none");
  }
  stage.poke();
}

async function change(stage, listener, pattern) {
  const before = listener.pattern.value;
  if (pattern === before) return;
  await stage.bind("logs", listener.queue, pattern);
  await stage.unbind("logs", listener.queue, before);
  listener.pattern.value = pattern;
  const meaning = pattern === "#" ? " With this pattern, a topic exchange works like a fanout exchange." : /[*#]/.test(pattern) ? "" : " Without * and #, it must equal the key.";
  stage.say(`${listener.name} is now bound with ${pattern || "the empty key"}, and no longer with ${before}.${meaning}`, "bound");
}

/** Limit the bytes: the browser can only limit characters, but AMQP limits bytes. */
function checkLength(input) {
  const bytes = new TextEncoder().encode(input.value).length;
  input.setCustomValidity(bytes > MOST_BYTES ? `This has ${bytes} bytes, but AMQP allows at most ${MOST_BYTES}.` : "");
}

function Controls({ stage }) {
  const [key, setKey] = useState(KEYS[0]);
  return html`
    <form class="send" onSubmit=${(event) => (event.preventDefault(), stage.act(() => publish(stage, key)))}>
      <input aria-label="Routing key" class="mono" list="playground-keys" spellcheck="false" autocomplete="off" value=${key} onInput=${(event) => (checkLength(event.target), setKey(event.target.value))} />
      <datalist id="playground-keys">${KEYS.map((each) => html`<option value=${each} />`)}</datalist>
      <button type="submit" class="primary">Publish</button>
    </form>
    <span class="wants" role="group" aria-label="Routing keys to try">${KEYS.slice(0, 3).map((each) => html`<button key=${each} type="button" class="mono" aria-pressed=${key === each} onClick=${() => setKey(each)}>${each}</button>`)}</span>`;
}

function handControls(stage, play, listener) {
  return html`<${Pattern} stage=${stage} listener=${listener} />`;
}

function Pattern({ stage, listener }) {
  const [text, setText] = useState(null);
  const pattern = listener.pattern?.value ?? "";
  function send(event) {
    event.preventDefault();
    setText(null);
    stage.act(() => change(stage, listener, text ?? pattern));
  }
  return html`<form class="send" onSubmit=${send}>
    <input class="mono" aria-label=${`Pattern of ${listener.name}`} spellcheck="false" autocomplete="off" value=${text ?? pattern} onInput=${(event) => (checkLength(event.target), setText(event.target.value))} />
    <button type="submit" aria-label=${`Bind ${listener.name}`} disabled=${text === null || text === pattern}>Bind</button>
  </form>`;
}

export default {
  id: "topics",
  title: "Topics",
  sentence: "Routing keys have several words, and listeners select messages by pattern.",
  more: "* stands for exactly one word, # for any number of words, including none.",
  folder: "topics",
  thumb: { sign: "T", notes: { c1: "*.error", c2: "disk.#" }, nodes: { p: 1, x: 1, q1: 0.3, q2: 1.7, c1: 0.3, c2: 1.7 }, edges: ["p>x", "x>q1", "x>q2", "q1>c1", "q2>c2"] },
  start: "Listener 1 receives all errors, listener 2 everything about disks. Publish something.",
  files: [
    { file: "emit_log.py", title: "The publisher", first: "def main", marks: { matched: ["basic_publish("], none: ["basic_publish("], dropped: ["basic_publish("] } },
    { file: "receive_logs.py", title: "A listener", first: "def main", marks: { bound: ["queue_bind(", "for pattern in"], matched: ["queue_bind("], none: ["# `*` stands for"], dropped: ["# `*` stands for"] } },
  ],
  commands: ["python receive_logs.py '*.*.error'", "python receive_logs.py 'disk.#'", "python emit_log.py disk.sda.error it clicks", "python emit_log.py network.eth0.error no link", "python emit_log.py disk it is there"],
  tries: [
    ["matched", "Publish disk.sda.error. It matches both patterns."],
    ["none", "Publish disk. Here # stands for no word."],
    ["dropped", "Find a key that matches no pattern."],
    ["bound", "Change a pattern to # and publish that key again."],
  ],
  begin,
  picture: (stage) => listenersPicture(stage, "topic", "logs", (listener) => listener.pattern?.value),
  Controls,
  handControls,
};
