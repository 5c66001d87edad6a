/** One queue: is it draining, who consumes, who holds what, where do messages come from and where do they go when they die. */
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
      ? html`<${Heading} kind="Queue" title=${name} /><${Fault} error=${queue.error} what=${queue.error.status === 404 ? "There is no such queue any more." : "The queue could not be read."} again=${queue.reload} />`
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
    ${queue.error && html`<${Fault} error=${queue.error} what="These numbers are old." />`}
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
    ${queue.durable ? html`<${Tag}>durable<//>` : html`<${Tag} title="It is gone after a restart">transient<//>`}
    ${queue.exclusive && html`<${Tag}>exclusive<//>`}
    ${queue.auto_delete && html`<${Tag} title="It is deleted with its last consumer">auto-delete<//>`}
    ${queue.policy && html`<${Tag}>policy ${queue.policy}<//>`}
    ${queue.state !== "running" && html`<${Tag} of="trouble">${queue.state}<//>`}
    ${queue.paused && html`<${Tag} of="ready" title="It delivers nothing until it is resumed">paused<//>`}
    ${queue.delivery_rate && html`<${Tag} title="It delivers no faster">at most ${rate(queue.delivery_rate)}<//>`}`;
}

/** What happens in it, in a sentence, in numbers, and over time. */
function Story({ queue, age, judged, from, bindings, reload }) {
  const worst = judged[0];
  const stats = queue.message_stats;
  return html`
    <p class=${classes("verdict", worst ? (worst.level === "trouble" ? "of-trouble" : "watch") : "calm")}>
      <i class="dot" aria-hidden="true"></i>${worst ? `It ${worst.text}` : drains(queue)}
    </p>
    ${from.length > 0 && html`<${DeadLetters} queue=${queue} from=${from} reload=${reload} />`}
    <dl class="figures">
      <div><dt>Ready</dt><dd class="of-ready">${brief(queue.messages_ready)}<small>${queue.messages_ready && age?.oldest_ready_s ? `the oldest for ${span(age.oldest_ready_s)}` : "wait in the queue"}</small></dd></div>
      <div><dt>Unacknowledged</dt><dd class="of-unacked">${brief(queue.messages_unacknowledged)}<small>${age?.oldest_unacked_s ? `the oldest for ${span(age.oldest_unacked_s)}` : "held by consumers"}</small></dd></div>
      ${age?.delayed > 0 && html`<div><dt>Delayed</dt><dd>${brief(age.delayed)}<small>the next in ${span(age.next_delayed_s)}</small></dd></div>`}
      <div><dt>Flows in</dt><dd class="of-in">${rate(flow(queue, "publish"))}<small>${count(stats.publish)} in all</small></dd></div>
      <div><dt>Flows out</dt><dd class="of-out">${rate(flow(queue, "deliver_get"))}<small>${count(stats.ack)} acknowledged</small></dd></div>
      <div><dt>Consumers</dt><dd>${queue.consumers}<small>${queue.consumers ? plural(new Set(queue.consumer_details?.map((each) => each.channel_details.connection_name)).size, "connection") : "nobody consumes"}</small></dd></div>
      <div><dt>Size</dt><dd>${size(queue.message_bytes)}<small>${size(queue.memory)} in memory</small></dd></div>
    </dl>
    <div class="charts">
      <${Chart} title="Messages that wait" format=${brief} series=${[
        { label: "ready", of: "ready", points: levels(queue.messages_ready_details), isFilled: true },
        { label: "unacknowledged", of: "unacked", points: levels(queue.messages_unacknowledged_details) },
      ]} />
      <${Chart} title="Messages in a second" format=${rate} series=${[
        { label: "in", of: "in", points: rates(stats.publish_details) },
        { label: "out", of: "out", points: rates(stats.deliver_get_details) },
        { label: "acked", of: "accent", points: rates(stats.ack_details), isDashed: true },
        { label: "redelivered", of: "trouble", points: rates(stats.redeliver_details) },
      ]} />
    </div>
    <div class="ways">
      <${Section} title="Where messages come from"><${Sources} queue=${queue} bindings=${bindings} from=${from} /><//>
      <${Section} title="Where they go when they die"><${Death} queue=${queue} /><//>
    </div>`;
}

function drains(queue) {
  const [came, went] = [flow(queue, "publish"), flow(queue, "deliver_get")];
  if (!queue.messages && came < 0.05) return "It is empty and nothing comes";
  if (came >= 0.05 && went >= 0.05) return "It keeps up with what comes";
  return queue.messages_unacknowledged ? "Consumers work on what is left" : "It is quiet";
}

function Sources({ queue, bindings, from }) {
  const shown = bindings.filter(({ source }) => source);
  return html`<ul class="plain">
    ${shown.map(
      ({ source, routing_key: key, properties_key: id }) => html`<li key=${`${source} ${id}`}>from <${Name} name=${exchangeName(source)} to=${href("exchanges", queue.vhost, source)} />${key ? html` with <code>${key}</code>` : ""}</li>`,
    )}
    <li>from the default exchange, with its own name as the routing key</li>
    ${from.map((name) => html`<li key=${name}>dead letters of <${Name} name=${name} to=${href("queues", queue.vhost, name)} /></li>`)}
  </ul>`;
}

function Death({ queue }) {
  const death = deathOf(queue);
  if (!death) return html`<p class="faint">Rejected and expired messages are thrown away: it has no dead-letter exchange. A policy or the argument <code>x-dead-letter-exchange</code> gives it one.</p>`;
  const { exchange, key } = death;
  return html`<p>To <${Name} name=${exchangeName(exchange)} to=${href("exchanges", queue.vhost, exchange || "amq.default")} />${key === undefined ? " with their own routing keys" : html` with <code>${key}</code>`}.</p>`;
}

const consumerColumns = (queue, change) => [
  { id: "tag", label: "Consumer", isWide: true, value: (each) => each.consumer_tag, cell: (each) => html`<${Name} name=${each.consumer_tag} to=${href("connections", each.channel_details.connection_name)} />` },
  { id: "user", label: "User", value: (each) => each.channel_details.user, narrow: "hide" },
  { id: "connection", label: "Connection", value: (each) => each.channel_details.connection_name, cell: (each) => html`<a class="mono" href=${href("connections", each.channel_details.connection_name)}>${each.channel_details.connection_name}</a>`, narrow: "hide" },
  { id: "prefetch", label: "Prefetch", isNumber: true, value: (each) => each.prefetch_count, cell: (each) => (each.prefetch_count ? count(each.prefetch_count) : html`<span title="Any number of messages">no limit</span>`) },
  { id: "ack", label: "Acknowledges", value: (each) => (each.ack_required ? "yes" : "no"), cell: (each) => (each.ack_required ? "itself" : "automatically"), narrow: "hide" },
  { id: "active", label: "State", value: (each) => each.activity_status, cell: (each) => (each.active ? "gets messages" : html`<span class="faint">${each.activity_status === "waiting" ? "waits for its turn" : each.activity_status}</span>`) },
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
  if (!consumers.length) return html`<${Empty} title="Nobody consumes from this queue" command=${`leveret messages consume ${queue.name}`}>A consumer gets messages as they come. ${queue.messages_ready ? `${plural(queue.messages_ready, "message")} wait.` : ""}<//>`;
  return html`<${Section} title=${plural(consumers.length, "consumer")} actions=${html`<${Allowed} tag="policymaker"><button type="button" onClick=${() => setOpen(true)}>Change prefetch</button><//>`}>
      <${Table} name="Consumers" rows=${consumers} keyOf=${(each) => `${each.channel_details.name} ${each.consumer_tag}`} columns=${consumerColumns()} order=${order} />
    <//>
    ${isOpen && html`<${ActDialog} title="Change the prefetch of all consumers" verb="Change" act=${change} close=${() => setOpen(false)}>
      <${Field} label="Messages that a consumer may hold at once" hint="0: any number. It holds until the consumer ends."><input name="prefetch" type="number" min="0" max="65535" required autofocus /><//>
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
    <p class="faint small">Bindings are made on the page of an exchange, or by the clients.</p>`;
}

function Settings({ queue, reload }) {
  const found = useLive(`leveret/${path("queues", queue.vhost, queue.name, "arguments")}`);
  const [isOpen, setOpen] = useState(false);
  return html`
    <${Section} title="Arguments" note="as it was declared, and as they were changed since" actions=${may("policymaker") && html`<button type="button" onClick=${() => setOpen(true)}>Change</button>`}>
      <${Pairs} of=${found.data ?? queue.arguments} />
    <//>
    <${Section} title="Policies" note="what applies to it"><${Pairs} of=${{ policy: queue.policy, "operator policy": queue.operator_policy, ...queue.effective_policy_definition }} /><//>
    <${Section} title="Facts"><${Facts} rows=${[["Storage", queue.type], ["Node", queue.node], ["In memory", `${plural(queue.messages_ram, "message")}, ${size(queue.message_bytes_ram)}`], ["Persistent", `${plural(queue.messages_persistent, "message")}, ${size(queue.message_bytes_persistent)}`], ["Single active consumer", queue.single_active_consumer_tag], ["Exclusive to", queue.owner_pid_details?.name]]} /><//>
    ${isOpen && html`<${ChangeArguments} vhost=${queue.vhost} name=${queue.name} close=${() => setOpen(false)} reload=${() => (reload(), found.reload())} />`}`;
}

function Pairs({ of }) {
  const rows = Object.entries(of ?? {}).filter(([, value]) => value !== null && value !== undefined);
  if (!rows.length) return html`<p class="faint">None.</p>`;
  return html`<${Facts} rows=${rows.map(([key, value]) => [key, html`<code>${typeof value === "object" ? JSON.stringify(value) : String(value)}</code>`])} />`;
}
