/** Hello world: a sender, a queue and a receiver. */
import { useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { plural } from "../../format.js";
import { html } from "../../html.js";
import { Worker } from "../worker.js";

async function begin(stage) {
  const play = { receiver: signal(null) };
  await stage.declareQueue("hello");
  return play;
}

async function publish(stage, text) {
  const { number } = await stage.send("", stage.nameOf("hello"), text);
  const { ready } = stage.queues.value.hello;
  const hasReceiver = stage.workers.value.length > 0;
  if (hasReceiver) stage.say(`The exchange put message #${number} into the queue that has the routing key as its name.`, "sent");
  else stage.say(`Message #${number} waits in the queue, because there is no consumer: ${plural(ready, "message")} ${ready === 1 ? "is" : "are"} ready.`, "waits");
  stage.poke("hello");
}

async function startReceiver(stage, play) {
  const waiting = stage.queues.value.hello.ready;
  stage.say(waiting ? `A receiver has started. ${plural(waiting, "message")} had waited for it.` : "A receiver has started. It waits for messages.", waiting ? "waited" : "started");
  play.receiver.value = await new Worker(stage, "hello", {
    name: "Receiver",
    ms: 350,
    onDone: (message) => stage.say(`The receiver got “${message.payload}” and acknowledged it, so the broker deleted it.`, "received"),
  }).start();
}

async function stopReceiver(stage, play) {
  const receiver = play.receiver.value;
  play.receiver.value = null;
  await receiver.kill();
  await stage.refresh();
  stage.say("The receiver has stopped. The queue stays on the broker.", "stopped");
}

function Controls({ stage, play }) {
  const [text, setText] = useState("Good day");
  const receiver = play.receiver.value;
  return html`
    <form class="send" onSubmit=${(event) => (event.preventDefault(), stage.act(() => publish(stage, text || "Hello!")))}>
      <input aria-label="Message" value=${text} maxlength="60" onInput=${(event) => setText(event.target.value)} />
      <button type="submit" class="primary">Publish</button>
    </form>
    <button type="button" onClick=${() => stage.act(() => (receiver ? stopReceiver(stage, play) : startReceiver(stage, play)))}>${receiver ? "Stop the receiver" : "Start a receiver"}</button>`;
}

function picture(stage, play) {
  const receiver = play.receiver.value;
  return {
    nodes: [
      { id: "publisher", kind: "producer", row: 0, label: "sender" },
      { id: "exchange", kind: "exchange", row: 0, label: "default", type: "default" },
      { id: "hello", kind: "queue", row: 0, label: "hello" },
      ...(receiver ? [{ id: "Receiver", kind: "consumer", row: 0, label: "Receiver", worker: receiver }] : []),
    ],
    edges: [
      { from: "publisher", to: "exchange" },
      { from: "exchange", to: "hello", label: "hello" },
      ...(receiver ? [{ from: "hello", to: "Receiver" }] : []),
    ],
  };
}

export default {
  id: "hello-world",
  title: "Hello world",
  sentence: "One program sends a message to a queue, another receives it.",
  more: "The two are independent; each knows only the broker and the name of the queue.",
  folder: "hello",
  thumb: { nodes: { p: 1, x: 1, q: 1, c: 1 }, edges: ["p>x", "x>q", "q>c"] },
  start: "The queue exists and has no consumer. Publish a message.",
  files: [
    { file: "send.py", title: "The sender", first: "def main", marks: { sent: ["basic_publish("], waits: ["basic_publish(", "queue_declare("] } },
    { file: "receive.py", title: "The receiver", first: "def on_message", marks: { received: ["def on_message", "print(f\"Received"], waited: ["basic_consume("], started: ["basic_consume(", "start_consuming"], stopped: ["queue_declare("] } },
  ],
  commands: ["python receive.py", "python send.py Good day"],
  tries: [
    ["waits", "Publish twice without a receiver. The messages wait."],
    ["waited", "Start a receiver. It gets the waiting messages."],
    ["sent", "Publish again. The message leaves the queue at once."],
    ["stopped", "Stop the receiver, and publish once more."],
  ],
  begin,
  picture,
  Controls,
};
