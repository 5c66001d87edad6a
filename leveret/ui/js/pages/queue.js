/** One queue: state, rates, messages, consumers, bindings, dead-lettering and settings. */
import { useState } from "preact/hooks";
import { may, path, put } from "../api.js";
import { Allowed, Empty, Facts, Fault, Heading, Name, Section, Tabs, Tag, Waiting } from "../components/basic.js";
import { Chart } from "../components/chart.js";
import { ActDialog, Field } from "../components/dialog.js";
import { Table, useOrder } from "../components/table.js";
import { brief, count, exchangeName, plural, rate, size, span } from "../format.js";
import { html, classes } from "../html.js";
import { deathOf, flow, judgeQueue } from "../judge.js";
import { useLive } from "../live.js";
import { href } from "../router.js";
import { history, levels, rates } from "../samples.js";
import { useWays } from "../ways.js";
import { Messages } from "./messages.js";
import { DeadLetters } from "./redrive.js";
import { ChangeArguments, QueueActions } from "./queue-forms.js";

export function Queue({ vhost, name, query }) {
  const tab = query.tab ?? "";
  const queue = useLive(path("queues", vhost, name), history());
  const bindings = useLive(path("queues", vhost, name, "bindings"));
  const ages = useLive(`leveret/${path("ages", vhost)}`, { name: `^${escape(name)}$`, use_regex: true, page: 1, page_size: 5 });
  const from = useWays(vhost).get(`${vhost} ${name}`) ?? [];
  if (!queue.data) {
    return queue.error
      ? html`<${Heading} kind="Queue" title=${name} /><${Fault} error=${queue.error} what=${queue.error.status === 404 ? "This queue no longer exists." : "The queue could not be read."} again=${queue.reload} />`
      : html`<${Waiting} />`;
  }
  const data = queue.data;
  const age = (ages.data?.items ?? []).find((each) => each.name === name);
  const judged = judgeQueue(data, age, from.length > 0);
  const tabs = [["", "Overview"], ["messages", "Messages", data.messages], ["consumers", "Consumers", data.consumers], ["bindings", "Bindings", bindings.data?.length], ["settings", "Settings"]];

  return html`
    <${Heading} kind=${html`<a href=${href("queues")}>Queues</a> in ${vhost}`} title=${name} tags=${html`<${Tags} queue=${data} />`}>
      <${QueueActions} queue=${data} reload=${queue.reload} />
    <//>
    ${queue.error && html`<${Fault} error=${queue.error} what="These numbers are out of date." />`}
    <${Tabs} tabs=${tabs} current=${tab} to=${(id) => href("queues", vhost, name, { tab: id })} />
    ${tab === "" && html`<${Story} queue=${data} age=${age} judged=${judged} from=${from} bindings=${bindings.data ?? []} reload=${queue.reload} />`}
    ${tab === "messages" && html`<${Messages} vhost=${vhost} name=${name} queue=${data} query=${query} reload=${queue.reload} />`}
    ${tab === "consumers" && html`<${Consumers} queue=${data} reload=${queue.reload} />`}
    ${tab === "bindings" && html`<${Bindings} bindings=${bindings} vhost=${vhost} name=${name} />`}
    ${tab === "settings" && html`<${Settings} queue=${data} reload=${queue.reload} />`}`;
}

function escape(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function Tags({ queue }) {
  return html`<${Tag}>${queue.type}<//>
    ${queue.durable ? html`<${Tag}>durable<//>` : html`<${Tag} title="Deleted when the broker restarts">transient<//>`}
    ${queue.exclusive && html`<${Tag}>exclusive<//>`}
    ${queue.auto_delete && html`<${Tag} title="Deleted with its last consumer">auto-delete<//>`}
    ${queue.policy && html`<${Tag}>policy ${queue.policy}<//>`}
    ${queue.state !== "running" && html`<${Tag} of="trouble">${queue.state}<//>`}
    ${queue.paused && html`<${Tag} of="ready" title="It delivers nothing until it is resumed">paused<//>`}
    ${queue.delivery_rate && html`<${Tag} title="It delivers no faster">at most ${rate(queue.delivery_rate)}<//>`}`;
}

/** The state of the queue in a sentence, in numbers, and over time. */
function Story({ queue, age, judged, from, bindings, reload }) {
  const worst = judged[0];
  const stats = queue.message_stats;
  return html`
    <p class=${classes("verdict", worst ? (worst.level === "trouble" ? "of-trouble" : "watch") : "calm")}>
      <i class="dot" aria-hidden="true"></i>${worst ? `It ${worst.text}` : drains(queue)}
    </p>
    ${from.length > 0 && html`<${DeadLetters} queue=${queue} from=${from} reload=${reload} />`}
    <dl class="figures">
      <div><dt>Ready</dt><dd class="of-ready">${brief(queue.messages_ready)}<small>${queue.messages_ready && age?.oldest_ready_s ? `the oldest for ${span(age.oldest_ready_s)}` : "in the queue"}</small></dd></div>
      <div><dt>Unacknowledged</dt><dd class="of-unacked">${brief(queue.messages_unacknowledged)}<small>${age?.oldest_unacked_s ? `the oldest for ${span(age.oldest_unacked_s)}` : "held by consumers"}</small></dd></div>
      ${age?.delayed > 0 && html`<div><dt>Delayed</dt><dd>${brief(age.delayed)}<small>the next in ${span(age.next_delayed_s)}</small></dd></div>`}
      <div><dt>Incoming</dt><dd class="of-in">${rate(flow(queue, "publish"))}<small>${count(stats.publish)} in total</small></dd></div>
      <div><dt>Outgoing</dt><dd class="of-out">${rate(flow(queue, "deliver_get"))}<small>${count(stats.ack)} acknowledged</small></dd></div>
      <div><dt>Consumers</dt><dd>${queue.consumers}<small>${queue.consumers ? plural(new Set(queue.consumer_details?.map((each) => each.channel_details.connection_name)).size, "connection") : "none"}</small></dd></div>
      <div><dt>Size</dt><dd>${size(queue.message_bytes)}<small>${size(queue.memory)} in memory</small></dd></div>
    </dl>
    <div class="charts">
      <${Chart} title="Queued messages" format=${brief} series=${[
        { label: "ready", of: "ready", points: levels(queue.messages_ready_details), isFilled: true },
        { label: "unacknowledged", of: "unacked", points: levels(queue.messages_unacknowledged_details) },
      ]} />
      <${Chart} title="Messages per second" format=${rate} series=${[
        { label: "in", of: "in", points: rates(stats.publish_details) },
        { label: "out", of: "out", points: rates(stats.deliver_get_details) },
        { label: "acked", of: "accent", points: rates(stats.ack_details), isDashed: true },
        { label: "redelivered", of: "trouble", points: rates(stats.redeliver_details) },
      ]} />
    </div>
    <div class="ways">
      <${Section} title="Sources of messages"><${Sources} queue=${queue} bindings=${bindings} from=${from} /><//>
      <${Section} title="Dead letters"><${Death} queue=${queue} /><//>
    </div>`;
}

function drains(queue) {
  const [came, went] = [flow(queue, "publish"), flow(queue, "deliver_get")];
  if (!queue.messages && came < 0.05) return "Empty and idle";
  if (came >= 0.05 && went >= 0.05) return "Consumers keep up with incoming messages";
  return queue.messages_unacknowledged ? "Consumers are processing the remaining messages" : "Idle";
}

function Sources({ queue, bindings, from }) {
  const shown = bindings.filter(({ source }) => source);
  return html`<ul class="plain">
    ${shown.map(
      ({ source, routing_key: key, properties_key: id }) => html`<li key=${`${source} ${id}`}>from <${Name} name=${exchangeName(source)} to=${href("exchanges", queue.vhost, source)} />${key ? html` with <code>${key}</code>` : ""}</li>`,
    )}
    <li>from the default exchange, with the queue name as routing key</li>
    ${from.map((name) => html`<li key=${name}>dead letters of <${Name} name=${name} to=${href("queues", queue.vhost, name)} /></li>`)}
  </ul>`;
}

function Death({ queue }) {
  const death = deathOf(queue);
  if (!death) return html`<p class="faint">Rejected and expired messages are dropped: the queue has no dead-letter exchange. Set one with a policy or the argument <code>x-dead-letter-exchange</code>.</p>`;
  const { exchange, key } = death;
  return html`<p>Dead letters go to <${Name} name=${exchangeName(exchange)} to=${href("exchanges", queue.vhost, exchange || "amq.default")} />${key === undefined ? " with their own routing keys" : html` with <code>${key}</code>`}.</p>`;
}

const consumerColumns = (queue, change) => [
  { id: "tag", label: "Consumer", isWide: true, value: (each) => each.consumer_tag, cell: (each) => html`<${Name} name=${each.consumer_tag} to=${href("connections", each.channel_details.connection_name)} />` },
  { id: "user", label: "User", value: (each) => each.channel_details.user, narrow: "hide" },
  { id: "connection", label: "Connection", value: (each) => each.channel_details.connection_name, cell: (each) => html`<a class="mono" href=${href("connections", each.channel_details.connection_name)}>${each.channel_details.connection_name}</a>`, narrow: "hide" },
  { id: "prefetch", label: "Prefetch", isNumber: true, value: (each) => each.prefetch_count, cell: (each) => (each.prefetch_count ? count(each.prefetch_count) : html`<span title="No prefetch limit">no limit</span>`) },
  { id: "ack", label: "Acknowledgement", value: (each) => (each.ack_required ? "yes" : "no"), cell: (each) => (each.ack_required ? "manual" : "automatic"), narrow: "hide" },
  { id: "active", label: "State", value: (each) => each.activity_status, cell: (each) => (each.active ? "active" : html`<span class="faint">${each.activity_status === "waiting" ? "standby" : each.activity_status}</span>`) },
];

function Consumers({ queue, reload }) {
  const order = useOrder("tag", false);
  const [isOpen, setOpen] = useState(false);
  const consumers = queue.consumer_details ?? [];
  async function change(data) {
    const { consumers: changed } = (await put(`leveret/${path("queues", queue.vhost, queue.name, "consumers", "prefetch")}`, { prefetch: Number(data.get("prefetch")) })) ?? {};
    reload();
    return changed === undefined ? "The prefetch was changed." : `The prefetch of ${plural(changed, "consumer")} was changed.`;
  }
  if (!consumers.length) return html`<${Empty} title="No consumers" command=${`leveret messages consume ${queue.name}`}>A consumer receives messages as they arrive. ${queue.messages_ready ? `${plural(queue.messages_ready, "message")} ${queue.messages_ready === 1 ? "is" : "are"} ready.` : ""}<//>`;
  return html`<${Section} title=${plural(consumers.length, "consumer")} actions=${html`<${Allowed} tag="policymaker"><button type="button" onClick=${() => setOpen(true)}>Change prefetch</button><//>`}>
      <${Table} name="Consumers" rows=${consumers} keyOf=${(each) => `${each.channel_details.name} ${each.consumer_tag}`} columns=${consumerColumns()} order=${order} />
    <//>
    ${isOpen && html`<${ActDialog} title="Change the prefetch of all consumers" verb="Change" act=${change} close=${() => setOpen(false)}>
      <${Field} label="Maximum unacknowledged messages of a consumer" hint="0: no limit. Applies until the consumer ends."><input name="prefetch" type="number" min="0" max="65535" required autofocus /><//>
    <//>`}`;
}

function Bindings({ bindings, vhost, name }) {
  const order = useOrder("source", false);
  const columns = [
    { id: "source", label: "From", value: (each) => each.source, cell: (each) => (each.source ? html`<${Name} name=${each.source} to=${href("exchanges", vhost, each.source)} />` : html`<span class="faint">default exchange</span>`) },
    { id: "key", label: "Routing key", isWide: true, value: (each) => each.routing_key, cell: (each) => html`<code>${each.routing_key}</code>` },
    { id: "arguments", label: "Arguments", isWide: true, cell: (each) => (Object.keys(each.arguments).length ? html`<code>${JSON.stringify(each.arguments)}</code>` : "") },
  ];
  if (!bindings.data) return html`<${Waiting} />`;
  return html`<${Table} name=${`Bindings of ${name}`} rows=${bindings.data} keyOf=${(each) => `${each.source} ${each.properties_key}`} columns=${columns} order=${order} />
    <p class="faint small">Add bindings on the page of an exchange. Clients can add them as well.</p>`;
}

function Settings({ queue, reload }) {
  const found = useLive(`leveret/${path("queues", queue.vhost, queue.name, "arguments")}`);
  const [isOpen, setOpen] = useState(false);
  return html`
    <${Section} title="Arguments" note="as declared, and changes since then" actions=${may("policymaker") && html`<button type="button" onClick=${() => setOpen(true)}>Change</button>`}>
      <${Pairs} of=${found.data ?? queue.arguments} />
    <//>
    <${Section} title="Policies" note="that apply to this queue"><${Pairs} of=${{ policy: queue.policy, "operator policy": queue.operator_policy, ...queue.effective_policy_definition }} /><//>
    <${Section} title="Facts"><${Facts} rows=${[["Storage", queue.type], ["Node", queue.node], ["In memory", `${plural(queue.messages_ram, "message")}, ${size(queue.message_bytes_ram)}`], ["Persistent", `${plural(queue.messages_persistent, "message")}, ${size(queue.message_bytes_persistent)}`], ["Single active consumer", queue.single_active_consumer_tag], ["Exclusive to", queue.owner_pid_details?.name]]} /><//>
    ${isOpen && html`<${ChangeArguments} vhost=${queue.vhost} name=${queue.name} close=${() => setOpen(false)} reload=${() => (reload(), found.reload())} />`}`;
}

function Pairs({ of }) {
  const rows = Object.entries(of ?? {}).filter(([, value]) => value !== null && value !== undefined);
  if (!rows.length) return html`<p class="faint">None.</p>`;
  return html`<${Facts} rows=${rows.map(([key, value]) => [key, html`<code>${typeof value === "object" ? JSON.stringify(value) : String(value)}</code>`])} />`;
}
