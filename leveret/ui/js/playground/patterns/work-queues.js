/** Work queues: slow tasks, distributed among workers, which may die. */
import { signal } from "@preact/signals";
import { plural } from "../../format.js";
import { html } from "../../html.js";
import { numberOf } from "../stage.js";
import { Worker } from "../worker.js";

const QUICK_MS = 1500;
const SLOW_MS = 6000;
const GREEDY = 10;
const MOST_WORKERS = 3;
const MOST_TASKS = 60;

async function begin(stage) {
  const play = { prefetch: signal(1), hired: 0 };
  await stage.declareQueue("tasks");
  await hire(stage, play);
  await hire(stage, play);
  return play;
}

async function hire(stage, play) {
  play.hired += 1;
  await new Worker(stage, "tasks", { name: `Worker ${play.hired}`, prefetch: play.prefetch.value, ms: QUICK_MS, onTaken: (message, worker) => begun(stage, message, worker), onDone: (message, worker) => done(stage, message, worker) }).start();
}

function begun(stage, message, worker) {
  const number = numberOf(message.properties.message_id);
  const more = worker.held.value.length - 1;
  if (message.redelivered) stage.say(`${worker.name} has started task #${number} again. It is marked as redelivered: part of it may already be done.`, "again");
  else if (more > 0) stage.say(`${worker.name} works on #${number} and holds ${plural(more, "more task")}, which no other worker can get.`, "greedy");
  else stage.say(`${worker.name} works on task #${number}. The broker keeps the task until it is acknowledged.`, "begun", { isRoutine: true });
}

function done(stage, message, worker) {
  stage.say(`${worker.name} has finished task #${numberOf(message.properties.message_id)} and acknowledged it. The broker deletes it.`, "acked", { isRoutine: true });
}

async function publish(stage, number) {
  const texts = Array.from({ length: number }, (_, at) => JSON.stringify({ title: `wash the dishes #${stage.sent + at + 1}`, seconds: QUICK_MS / 1000 }));
  const { first } = await stage.sendMany("tasks", texts);
  stage.say(number === 1 ? `Task #${first} is in the queue.` : `${number} tasks are in the queue, #${first} to #${first + number - 1}.`, "queued");
  stage.poke("tasks");
}

async function kill(stage, worker) {
  const held = await worker.kill();
  await stage.refresh();
  if (!held.length) stage.say(`${worker.name} was killed. It had no task, so nothing was requeued.`, "killed-idle");
  else {
    const which = held.map(({ properties }) => `#${numberOf(properties.message_id)}`).join(", ");
    stage.say(`${worker.name} died while it held ${which}. ${held.length === 1 ? "It was" : "They were"} not acknowledged, so the broker requeued ${held.length === 1 ? "it" : "them"}.`, "killed");
  }
  stage.poke("tasks");
}

async function setPrefetch(stage, play, prefetch) {
  play.prefetch.value = prefetch;
  await Promise.all(stage.workers.value.map((worker) => worker.restart(prefetch)));
  stage.say(prefetch === 1 ? "The workers have restarted with prefetch 1: each gets one task at a time." : `The workers have restarted with prefetch ${prefetch}: each gets up to ${prefetch} tasks before it acknowledges one.`, "prefetch");
}

function Controls({ stage, play }) {
  const isFull = (stage.queues.value.tasks?.ready ?? 0) >= MOST_TASKS;
  const workers = stage.workers.value;
  return html`
    <button type="button" class="primary" disabled=${isFull} onClick=${() => stage.act(() => publish(stage, 1))}>Publish a task</button>
    <button type="button" disabled=${isFull} onClick=${() => stage.act(() => publish(stage, 10))}>Publish 10</button>
    <button type="button" disabled=${workers.length >= MOST_WORKERS} onClick=${() => stage.act(() => hire(stage, play))}>Add a worker</button>
    <span class="choice" role="group" aria-label="Prefetch">
      ${[1, GREEDY].map((each) => html`<button key=${each} type="button" aria-pressed=${play.prefetch.value === each} onClick=${() => play.prefetch.value === each || stage.act(() => setPrefetch(stage, play, each))}>Prefetch ${each}</button>`)}
    </span>`;
}

function handControls(stage, play, worker) {
  const isSlow = worker.ms.value === SLOW_MS;
  function pace() {
    worker.ms.value = isSlow ? QUICK_MS : SLOW_MS;
    stage.say(isSlow ? `${worker.name} is fast again, from its next task on.` : `${worker.name} needs ${SLOW_MS / 1000} seconds for each task, from its next one on. With prefetch 1, the others do more.`, "paced");
  }
  return html`<button type="button" disabled=${worker.isOver.value} aria-label=${`${isSlow ? "Speed up" : "Slow down"} ${worker.name}`} onClick=${pace}>${isSlow ? "Speed up" : "Slow down"}</button>
    <button type="button" class="danger" disabled=${worker.isOver.value} aria-label=${`Kill ${worker.name}`} onClick=${() => stage.act(() => kill(stage, worker))}>Kill</button>`;
}

function picture(stage) {
  const workers = stage.workers.value;
  const middle = (MOST_WORKERS - 1) / 2;
  const first = (MOST_WORKERS - workers.length) / 2;
  return {
    rows: MOST_WORKERS,
    nodes: [
      { id: "publisher", kind: "producer", row: middle, label: "publisher" },
      { id: "exchange", kind: "exchange", row: middle, label: "default", type: "default" },
      { id: "tasks", kind: "queue", row: middle, label: "tasks" },
      ...workers.map((worker, at) => ({ id: worker.node, kind: "consumer", row: first + at, label: worker.name, worker })),
    ],
    edges: [
      { from: "publisher", to: "exchange" },
      { from: "exchange", to: "tasks", label: "tasks" },
      ...workers.map((worker) => ({ from: "tasks", to: worker.node })),
    ],
  };
}

export default {
  id: "work-queues",
  title: "Work queues",
  sentence: "Slow tasks are distributed among workers, and none is lost when a worker dies.",
  more: "A worker acknowledges a task when it has finished it, not when it receives it.",
  folder: "work_queues",
  thumb: { nodes: { p: 1, x: 1, q: 1, c1: 0, c2: 1, c3: 2 }, edges: ["p>x", "x>q", "q>c1", "q>c2", "q>c3"] },
  start: "Two workers wait for tasks. Publish ten.",
  files: [
    { file: "new_task.py", title: "The publisher", first: "queue_declare(", marks: { queued: ["basic_publish("] } },
    {
      file: "worker.py",
      title: "A worker",
      first: "def on_task",
      marks: {
        begun: ["def on_task", "channel.connection.sleep"],
        again: ["method.redelivered"],
        acked: ["basic_ack("],
        killed: ["basic_ack(", "# Last of all"],
        greedy: ["basic_qos(", "# Without this limit"],
        prefetch: ["basic_qos("],
        paced: ["channel.connection.sleep", "basic_qos("],
        "killed-idle": ["basic_consume("],
      },
    },
  ],
  commands: ["python worker.py", 'python new_task.py "paint a door" --count 10 --seconds 2'],
  tries: [
    ["acked", "Publish ten tasks. The workers share them."],
    ["killed", "Kill a worker while it works. Its task is requeued."],
    ["again", "See which worker repeats that task, and how it is marked."],
    ["paced", "Slow a worker down. The other does more."],
    ["greedy", "Set prefetch 10 and publish ten. One worker takes more tasks than it can do at once."],
  ],
  begin,
  picture,
  Controls,
  handControls,
};
