/** Remote procedure calls: a request, a reply, and what happens without a reply. */
import { signal } from "@preact/signals";
import { span } from "../../format.js";
import { html } from "../../html.js";
import { Worker } from "../worker.js";

const TIMEOUT_MS = 5000;
const QUICK_MS = 700;
const SLOW_MS = 7000;
const MOST_SERVERS = 2;
const NUMBERS = [10, 30, 50];

/** 0, 1, 1, 2, 3, 5, 8… */
export function fibonacci(number) {
  let [one, following] = [0, 1];
  for (let step = 0; step < number; step += 1) [one, following] = [following, one + following];
  return one;
}

async function begin(stage) {
  const play = { waiting: signal(null), started: 0 };
  await stage.declareQueue("replies");
  play.client = await new Worker(stage, "replies", { name: "The client", node: "publisher", isHidden: true, prefetch: 10, onDone: (message) => replied(stage, play, message) }).start();
  await startServer(stage, play, true);
  return play;
}

const servers = (stage) => stage.workers.value.filter(({ isHidden }) => !isHidden);

async function startServer(stage, play, isQuiet = false) {
  play.started += 1;
  await stage.declareQueue("fibonacci", { autoDelete: true });
  await stage.refresh("fibonacci");
  const server = await new Worker(stage, "fibonacci", { name: `Server ${play.started}`, ms: QUICK_MS, work: (message, worker) => answer(stage, message, worker), onTaken: (message, worker) => working(stage, message, worker) }).start();
  if (!isQuiet) stage.say(`${server.name} consumes from the queue fibonacci.`, "serves");
}

function working(stage, message, worker) {
  if (message.redelivered) stage.say(`${worker.name} works on fibonacci(${message.payload}), which was redelivered: the first server died.`, "redelivered");
  else stage.say(`${worker.name} works on fibonacci(${message.payload}).`, "working");
}

/** A server's work: reply to the client's reply queue, with the correlation id of the request. */
async function answer(stage, message, worker) {
  const { reply_to: queue, correlation_id: id } = message.properties;
  if (!/^\d+$/.test(message.payload) || !queue) return;
  const reply = String(fibonacci(Number(message.payload)));
  await stage.send("", queue, reply, { by: [worker.node], properties: { correlation_id: id } });
  stage.say(`${worker.name} replied ${reply}, with the correlation id of the request.`, "reply");
  stage.poke("replies");
}

async function call(stage, play, number) {
  const id = crypto.randomUUID?.() ?? stage.nameOf(`call-${stage.sent}`);
  const began = performance.now();
  play.waiting.value = { id, number };
  const timer = setTimeout(() => giveUp(stage, play, id), TIMEOUT_MS);
  play.waiting.value = { id, number, began, timer };
  try {
    const properties = { mandatory: true, reply_to: stage.nameOf("replies"), correlation_id: id, expiration: TIMEOUT_MS };
    await stage.send("", stage.nameOf("fibonacci"), String(number), { properties });
    stage.poke("fibonacci");
  } catch (error) {
    clearTimeout(timer);
    play.waiting.value = null;
    if (error.status !== 422) throw error;
    const took = span((performance.now() - began) / 1000);
    await stage.fly(["publisher", "exchange", "publisher"], "trouble");
    stage.say(`No server: the broker returned the request after ${took}. It was mandatory and reached no queue.`, "absent", { kind: "trouble" });
  }
}

function giveUp(stage, play, id) {
  if (play.waiting.value?.id !== id) return;
  const { number } = play.waiting.value;
  play.waiting.value = null;
  stage.say(`fibonacci(${number}): no reply in ${TIMEOUT_MS / 1000} s. The client cannot know whether the request was processed.`, "timeout", { kind: "trouble" });
}

function replied(stage, play, message) {
  const waiting = play.waiting.value;
  if (waiting?.id !== message.properties.correlation_id) {
    stage.say(`A late reply, ${message.payload}, was discarded: the client no longer waits for its correlation id.`, "late", { kind: "trouble" });
    return;
  }
  clearTimeout(waiting.timer);
  play.waiting.value = null;
  stage.say(`fibonacci(${waiting.number}) = ${message.payload}, after ${span((performance.now() - waiting.began) / 1000)}.`, "result");
}

async function kill(stage, play, server) {
  const held = await server.kill();
  await stage.refresh("fibonacci");
  const isGone = !stage.queues.value.fibonacci.isThere;
  if (isGone && held.length) stage.say(`${server.name} died during the call, and the queue was deleted with its last consumer: the request is lost. The client will time out.`, "lost", { kind: "trouble" });
  else if (isGone) stage.say(`${server.name} was killed. It was the last consumer, so the queue was deleted.`, "gone");
  else if (held.length) stage.say(`${server.name} died during the call. Its request was not acknowledged, so it goes to the other server.`, "passed");
  else stage.say(`${server.name} was killed. It had no request.`, "gone");
  stage.poke("fibonacci");
}

function Controls({ stage, play }) {
  const isWaiting = play.waiting.value !== null;
  return html`
    ${NUMBERS.map((number, at) => html`<button key=${number} type="button" class=${at ? "" : "primary"} disabled=${isWaiting} onClick=${() => stage.act(() => call(stage, play, number))}>Call fibonacci(${number})</button>`)}
    <button type="button" disabled=${servers(stage).length >= MOST_SERVERS} onClick=${() => stage.act(() => startServer(stage, play))}>Start a server</button>
    <span class="faint small" role="status">${isWaiting ? `The client waits for at most ${TIMEOUT_MS / 1000} s.` : ""}</span>`;
}

function handControls(stage, play, server) {
  const isSlow = server.ms.value === SLOW_MS;
  function pace() {
    server.ms.value = isSlow ? QUICK_MS : SLOW_MS;
    stage.say(isSlow ? `${server.name} is fast again.` : `${server.name} now needs ${SLOW_MS / 1000} s for a request. The client waits for ${TIMEOUT_MS / 1000} s.`, "paced");
  }
  return html`<button type="button" disabled=${server.isOver.value} aria-label=${`${isSlow ? "Speed up" : "Slow down"} ${server.name}`} onClick=${pace}>${isSlow ? "Speed up" : "Slow down"}</button>
    <button type="button" class="danger" disabled=${server.isOver.value} aria-label=${`Kill ${server.name}`} onClick=${() => stage.act(() => kill(stage, play, server))}>Kill</button>`;
}

function picture(stage) {
  const all = servers(stage);
  const middle = Math.max(0, (all.length - 1) / 2);
  const below = Math.max(1, all.length - 0.1);
  return {
    nodes: [
      { id: "publisher", kind: "producer", row: middle, label: "client" },
      { id: "exchange", kind: "exchange", row: middle, label: "default", type: "default" },
      { id: "fibonacci", kind: "queue", row: middle, label: "fibonacci" },
      { id: "replies", kind: "queue", row: below, label: "replies" },
      ...all.map((worker, row) => ({ id: worker.node, kind: "consumer", row, label: worker.name, worker })),
    ],
    edges: [
      { from: "publisher", to: "exchange" },
      { from: "exchange", to: "fibonacci", label: "fibonacci" },
      ...all.map((worker) => ({ from: "fibonacci", to: worker.node })),
      ...all.map((worker) => ({ from: worker.node, to: "replies", isBack: true })),
      { from: "replies", to: "publisher", isBack: true },
    ],
  };
}

export default {
  id: "rpc",
  title: "Remote calls",
  sentence: "A request goes to the queue of a server, and the reply to a queue of the client.",
  more: "The correlation id matches a reply to its call. Remote calls can fail in more ways than local ones.",
  folder: "rpc",
  thumb: { nodes: { p: 0.6, x: 0.6, q1: 0.6, q2: 1.8, c: 0.6 }, edges: ["p>x", "x>q1", "q1>c", "c>q2", "q2>p"] },
  start: "One server waits for requests. Call it.",
  files: [
    {
      file: "remote_fibonacci.py",
      title: "The client",
      first: "def call",
      marks: {
        result: ["properties.correlation_id == self._awaited_id", "self._reply = body"],
        absent: ["mandatory=True", "UnroutableError:", "raise ServerAbsent"],
        timeout: ["remaining_s <= 0", "raise ReplyTimeout", "self._awaited_id = None"],
        late: ["Late reply discarded", "# The reply to a call that timed out"],
        lost: ["raise ReplyTimeout"],
        working: ["reply_to=", "correlation_id=self._awaited_id"],
      },
    },
    {
      file: "server.py",
      title: "A server",
      first: "def serve",
      marks: {
        working: ["print(f\"Working on"],
        redelivered: ["method.redelivered"],
        reply: ["routing_key=properties.reply_to", "correlation_id=properties.correlation_id", "basic_publish("],
        passed: ["basic_ack(", "# Acknowledged after the reply"],
        gone: ["auto_delete=True", "# auto_delete:"],
        lost: ["auto_delete=True", "# auto_delete:"],
        serves: ["queue_declare(", "basic_consume("],
        paced: ["connection.sleep(delay_s)"],
      },
    },
  ],
  commands: ["python server.py", "python client.py 10 20", "python client_direct.py 10 20", "python server.py --delay 10", "python client.py 30 10 --timeout 7"],
  tries: [
    ["result", "Call fibonacci(10). The reply comes back."],
    ["timeout", "Slow the server down, and call. The client times out."],
    ["late", "Wait. The reply comes too late, and is discarded."],
    ["passed", "Start a second server, slow it down, and kill the busy one. The other answers."],
    ["absent", "Kill all servers, and call. The client gets an error at once."],
  ],
  begin,
  picture,
  Controls,
  handControls,
};
