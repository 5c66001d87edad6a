/** Queues: lengths, rates and problems. Sorted by problems, not by name. */
import { useMemo } from "preact/hooks";
import { Count, Empty, Fault, Heading, Name, Rate, Span, Tag, Waiting } from "../components/basic.js";
import { Choice, Filter, Table, useOrder } from "../components/table.js";
import { plural, size } from "../format.js";
import { html, classes } from "../html.js";
import { FIELDS, flow, judgeQueue, troubleOf } from "../judge.js";
import { useLive } from "../live.js";
import { href } from "../router.js";
import { useWays } from "../ways.js";
import { DeclareQueue } from "./queue-forms.js";
import { Queue } from "./queue.js";
import { VhostChoice } from "../components/vhosts.js";

const COLUMNS = FIELDS.join(",");

export default function Queues({ names, query }) {
  return names.length >= 2 ? html`<${Queue} vhost=${names[0]} name=${names[1]} query=${query} />` : html`<${List} query=${query} />`;
}

const keyOf = ({ queue }) => `${queue.vhost} ${queue.name}`;

const columns = [
  { id: "name", label: "Queue", value: ({ queue }) => queue.name, isWide: true, cell: ({ queue }) => html`<${Name} name=${queue.name} to=${href("queues", queue.vhost, queue.name)} /><${Marks} queue=${queue} />` },
  { id: "vhost", label: "Virtual host", value: ({ queue }) => queue.vhost, narrow: "hide-1200", cell: ({ queue }) => html`<span class="mono faint">${queue.vhost}</span>` },
  { id: "trouble", label: "State", title: "Sorted by problems", value: ({ weight }) => weight, cell: ({ judged, queue }) => html`<${Judged} judged=${judged} queue=${queue} />`, narrow: "hide" },
  { id: "ready", label: "Ready", isNumber: true, title: "Ready messages", value: ({ queue }) => queue.messages_ready, cell: ({ queue }) => html`<${Count} value=${queue.messages_ready} of="ready" />` },
  { id: "unacked", label: "Unacked", isNumber: true, title: "Unacknowledged messages", narrow: "hide", value: ({ queue }) => queue.messages_unacknowledged, cell: ({ queue }) => html`<${Count} value=${queue.messages_unacknowledged} of="unacked" />` },
  { id: "oldest", label: "Oldest", isNumber: true, title: "Age of the oldest ready message", value: ({ age }) => age?.oldest_ready_s ?? -1, cell: ({ age }) => html`<${Span} seconds=${age?.oldest_ready_s} />` },
  { id: "in", label: "In", isNumber: true, title: "Incoming messages per second", narrow: "hide", value: ({ queue }) => flow(queue, "publish"), cell: ({ queue }) => html`<${Rate} value=${flow(queue, "publish")} of="in" />` },
  { id: "out", label: "Out", isNumber: true, title: "Delivered messages per second", narrow: "hide", value: ({ queue }) => flow(queue, "deliver_get"), cell: ({ queue }) => html`<${Rate} value=${flow(queue, "deliver_get")} of="out" />` },
  { id: "consumers", label: "Consumers", isNumber: true, value: ({ queue }) => queue.consumers, cell: ({ queue }) => html`<${Count} value=${queue.consumers} />`, narrow: "hide-1200" },
  { id: "bytes", label: "Size", isNumber: true, title: "Bytes of all message bodies", value: ({ queue }) => queue.message_bytes, cell: ({ queue }) => (queue.message_bytes ? size(queue.message_bytes) : html`<span class="faint">0</span>`), narrow: "hide-1200" },
];

function List({ query }) {
  const queues = useLive(query.vhost ? `queues/${encodeURIComponent(query.vhost)}` : "queues", { columns: COLUMNS });
  const ways = useWays();
  const ages = useLive("leveret/ages");
  const order = useOrder("trouble");

  const rows = useMemo(() => {
    const ageOf = new Map((ages.data ?? []).map((age) => [`${age.vhost} ${age.name}`, age]));
    return (queues.data ?? []).map((queue) => {
      const age = ageOf.get(`${queue.vhost} ${queue.name}`);
      const judged = judgeQueue(queue, age, ways.has(`${queue.vhost} ${queue.name}`));
      return { queue, age, judged, weight: troubleOf(queue, judged) };
    });
  }, [queues.data, ways, ages.data]);

  const shown = useMemo(() => {
    const wanted = (query.q ?? "").toLowerCase();
    return rows.filter(({ queue, judged }) => {
      if (query.only === "busy" && !queue.messages && flow(queue, "publish") < 0.05) return false;
      if (query.only === "trouble" && !judged.length) return false;
      return !wanted || queue.name.toLowerCase().includes(wanted);
    });
  }, [rows, query.q, query.only]);

  const heading = html`<${Heading} title="Queues"><${DeclareQueue} vhost=${query.vhost} done=${queues.reload} /><//>`;
  if (!queues.data) return html`${heading}${queues.error ? html`<${Fault} error=${queues.error} what="The queues could not be read." again=${queues.reload} />` : html`<${Waiting} />`}`;
  const judged = rows.filter((each) => each.judged.length).length;
  return html`
    ${heading}
    <${Filter} what="queues">
      <${Choice} name="only" label="Which queues" choices=${[["", "All", rows.length], ["busy", "Not empty", rows.filter(({ queue }) => queue.messages).length], ["trouble", "Needs attention", judged]]} />
      <${VhostChoice} />
      <span class="faint" role="status">${plural(shown.length, "queue")}</span>
    <//>
    ${queues.error && html`<${Fault} error=${queues.error} what="These numbers are out of date." />`}
    ${!rows.length
      ? html`<${Empty} title="No queues yet" command="leveret queues declare orders">A queue stores messages until they are consumed. Clients declare the queues that they need; you can declare one too.<//>`
      : !shown.length
        ? html`<${Empty} title="No matching queues">${query.only === "trouble" ? "No queue needs attention." : "Change the filter to see other queues."}<//>`
        : html`<${Table} name="Queues" rows=${shown} keyOf=${keyOf} columns=${columns} order=${order} about=${`${query.q} ${query.only} ${query.vhost}`} openAt=${({ queue }) => href("queues", queue.vhost, queue.name)} />`}`;
}

/** The state of a queue in a few words. */
function Judged({ judged, queue }) {
  const worst = judged[0];
  if (worst) return html`<span class=${classes("judged", worst.level)} title=${judged.map(({ text }) => text).join("; ")}><i class="sign"></i><span class="cut">${worst.text}</span></span>`;
  const isMoving = flow(queue, "publish") >= 0.05 || flow(queue, "deliver_get") >= 0.05;
  return html`<span class="judged calm">${isMoving ? "keeps up" : queue.messages ? "idle" : "empty"}</span>`;
}

/** Properties of a queue, beside its name. */
function Marks({ queue }) {
  const marks = [];
  if (queue.type === "quorum") marks.push("quorum");
  if (queue.paused) marks.push("paused");
  if (!queue.durable) marks.push("transient");
  if (queue.exclusive) marks.push("exclusive");
  return marks.length ? html`<span class="marks">${marks.map((mark) => html`<${Tag} key=${mark}>${mark}<//>`)}</span>` : null;
}
