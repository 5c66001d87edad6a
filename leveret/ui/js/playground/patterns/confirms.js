/** Publisher confirms: how to know that the broker has a message, what that costs, and what a refusal looks like. */
import { signal } from "@preact/signals";
import { plural } from "../../format.js";
import { post, path } from "../../api.js";
import { html, classes } from "../../html.js";
import { isStill } from "../stage.js";

const ROOM = 10;  // maximum messages in the queue
const MANY = 15;
const KEPT = 45;  // publishes that are shown
const STATES = {
  outstanding: ["…", "no answer yet"],
  confirmed: ["✓", "confirmed"],
  refused: ["✗", "refused"],
  unknown: ["?", "unknown"],
};

async function begin(stage) {
  await stage.declareQueue("orders", { arguments: { "x-max-length": ROOM, "x-overflow": "reject-publish" } });
  return { ledger: signal([]), isBusy: signal(false) };
}

function note(play, number, state) {
  const others = play.ledger.value.filter((each) => each.number !== number);
  play.ledger.value = [...others, { number, state }].sort((one, other) => one.number - other.number).slice(-KEPT);
}

/** Publish one. Returns: "confirmed" or "refused". Raises: ApiError for anything else. */
async function publishOne(stage, play, isAsking) {
  const number = stage.sent + 1;
  note(play, number, isAsking ? "outstanding" : "unknown");
  let state = "confirmed";
  try {
    await stage.send("", stage.nameOf("orders"), `order ${number}`);
  } catch (error) {
    if (error.status !== 503 || !error.message.includes("did not accept")) throw error;
    state = "refused";
    await stage.fly(["publisher", "exchange", "orders"], "in");
  }
  if (isAsking) {
    await stage.fly(["orders", "exchange", "publisher"], state === "refused" ? "trouble" : "out");
    note(play, number, state);
  }
  return state;
}

async function single(stage, play) {
  const number = stage.sent + 1;
  const began = performance.now();
  const state = await publishOne(stage, play, true);
  const took = isStill() ? ` after ${Math.round(performance.now() - began)} ms` : "";
  if (state === "refused") stage.say(`basic.nack: the broker refused message #${number}, because the queue is full. The publisher must decide what to do.`, "nack", { kind: "trouble" });
  else stage.say(`basic.ack${took}: the broker has stored message #${number}. Only now may the publisher discard it.`, "ack");
}

async function oneByOne(stage, play) {
  const began = performance.now();
  let refused = 0;
  for (let at = 0; at < MANY; at += 1) if ((await publishQuietly(stage, play)) === "refused") refused += 1;
  await stage.refresh();
  tell(stage, "one by one, each after the confirm of the one before", performance.now() - began, refused, "one-by-one");
}

/** Publish one without animation, to measure the time of the broker. */
async function publishQuietly(stage, play) {
  stage.sent += 1;
  const number = stage.sent;
  note(play, number, "outstanding");
  let state = "confirmed";
  try {
    await post(`leveret/${path("queues", stage.vhost, stage.nameOf("orders"), "messages")}`, `order ${number}`, { media: "text/plain", query: { message_id: `${stage.run}.${number}` } });
  } catch (error) {
    if (error.status !== 503 || !error.message.includes("did not accept")) throw error;
    state = "refused";
  }
  note(play, number, state);
  return state;
}

async function batch(stage, play) {
  const first = stage.sent + 1;
  const numbers = Array.from({ length: MANY }, (_, at) => first + at);
  for (const number of numbers) note(play, number, "outstanding");
  const { ms, refused } = await stage.sendMany("orders", numbers.map((number) => `order ${number}`));
  numbers.forEach((number, at) => note(play, number, refused.has(at) ? "refused" : "confirmed"));
  await stage.fly(["orders", "exchange", "publisher"], refused.size ? "trouble" : "out");
  tell(stage, "in a batch, with one wait for all confirms", ms, refused.size, "batch");
}

function tell(stage, how, ms, refused, step) {
  const result = refused ? `${MANY - refused} were confirmed, and ${refused} were refused by the full queue.` : "All were confirmed.";
  stage.say(`${MANY} messages ${how}: ${Math.round(ms)} ms. ${result}`, refused ? "full" : step, { kind: refused ? "trouble" : "done" });
  if (refused) stage.steps.value = new Set([...stage.steps.value, step]);
}

async function blindly(stage, play) {
  const before = stage.queues.value.orders.ready;
  await Promise.all(Array.from({ length: 5 }, () => publishOne(stage, play, false)));
  await stage.refresh();
  const arrived = stage.queues.value.orders.ready - before;
  const text = `This page sent 5 messages and ignored the answers, like a publisher without confirms. ${arrived === 5 ? "All are in the queue" : `${plural(arrived, "message")} reached the queue`}, but the publisher does not know.`;
  stage.say(text, "blind", { kind: arrived === 5 ? "done" : "trouble" });
}

async function consume(stage) {
  const { messages } = await post(`leveret/${path("queues", stage.vhost, stage.nameOf("orders"), "receive")}`, undefined, { query: { max: 5, wait: 0 } });
  await stage.refresh();
  stage.say(messages.length ? `A consumer took ${plural(messages.length, "message")}. The queue has room again.` : "The queue is empty.", "room");
}

function Controls({ stage, play }) {
  const isBusy = play.isBusy.value;
  async function once(deed) {
    play.isBusy.value = true;
    await stage.act(() => deed(stage, play));
    play.isBusy.value = false;
  }
  const button = (label, deed, more = "") => html`<button type="button" class=${more} disabled=${isBusy} onClick=${() => once(deed)}>${label}</button>`;
  return html`
    ${button("Publish one", single, "primary")}
    ${button(`${MANY} one by one`, oneByOne)}
    ${button(`${MANY} in a batch`, batch)}
    ${button("5 without confirms", blindly)}
    ${button("Consume 5", consume)}
    <${Ledger} ledger=${play.ledger.value} />`;
}

/** What the publisher knows about each message that it sent. */
function Ledger({ ledger }) {
  if (!ledger.length) return null;
  const counts = Object.entries(STATES).map(([state, [sign, label]]) => [state, sign, label, ledger.filter((each) => each.state === state).length]);
  return html`<div class="ledger">
    <h2>What the publisher knows</h2>
    <p>${counts.filter(([, , , number]) => number).map(([state, sign, label, number]) => html`<span key=${state} class=${state}>${sign} ${number} ${label}</span> `)}</p>
    <ol>${ledger.map(({ number, state }) => html`<li key=${number} class=${classes(state)} title=${`#${number}: ${STATES[state][1]}`}>${number}<i>${STATES[state][0]}</i></li>`)}</ol>
  </div>`;
}

function picture() {
  return {
    nodes: [
      { id: "publisher", kind: "producer", row: 0, label: "publisher" },
      { id: "exchange", kind: "exchange", row: 0, label: "default", type: "default" },
      { id: "orders", kind: "queue", row: 0, label: "orders", limit: ROOM },
    ],
    edges: [
      { from: "publisher", to: "exchange" },
      { from: "exchange", to: "orders", label: "orders" },
    ],
  };
}

export default {
  id: "confirms",
  title: "Publisher confirms",
  sentence: "The broker confirms each message that it has stored.",
  more: "Sending alone does not guarantee that a message arrives. The queue here holds ten messages and refuses more.",
  folder: "confirms",
  thumb: { nodes: { p: 1, x: 1, q: 1 }, edges: ["p>x", "x>q"], notes: { q: "✓ or ✗" } },
  start: "The queue is empty. Publish one, and wait for the answer.",
  files: [
    {
      file: "publish.py",
      title: "The publisher",
      first: "def publish_one_by_one",
      marks: {
        ack: ["channel.confirm_delivery()", "# In confirm mode"],
        "one-by-one": ["channel.basic_publish(\"\", QUEUE"],
        nack: ["isinstance(answer, Basic.Nack)", "self.refused.append"],
        full: ["x-overflow", "FULL_QUEUE, 15"],
        batch: ["# multiple:", "answer.multiple", "takewhile(lambda"],
        blind: ["self.outstanding[self._published] = body"],
        room: ["x-overflow"],
      },
    },
  ],
  commands: ["python publish.py 2000"],
  tries: [
    ["ack", "Publish one. The answer comes back."],
    ["batch", "Publish 15 in a batch. At most ten fit."],
    ["nack", "Publish one into the full queue."],
    ["blind", "Publish 5 without confirms, and see what the publisher knows."],
    ["one-by-one", "Make room, and publish 15 one by one. Compare the times."],
  ],
  begin,
  picture,
  Controls,
};
