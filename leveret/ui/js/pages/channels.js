/** Channels: their rates, unacknowledged and unconfirmed messages. */
import { useMemo } from "preact/hooks";
import { path } from "../api.js";
import { Count, Empty, Facts, Fault, Heading, Name, Rate, Section, Tag, Waiting } from "../components/basic.js";
import { Chart } from "../components/chart.js";
import { Choice, Filter, Table, useOrder } from "../components/table.js";
import { VhostChoice } from "../components/vhosts.js";
import { CHANNEL_COLUMNS, clientName } from "../clients.js";
import { breakable, brief, count, exact, exchangeName, plural, rate } from "../format.js";
import { html } from "../html.js";
import { flow } from "../judge.js";
import { useLive } from "../live.js";
import { href } from "../router.js";
import { history, rates } from "../samples.js";
import { consumerColumns } from "./consumers.js";

export default function Channels({ names, query }) {
  return names.length ? html`<${Channel} name=${names[0]} />` : html`<${List} query=${query} />`;
}

const lost = (channel) => flow(channel, "return_unroutable") + flow(channel, "drop_unroutable");

/** Columns of a table of channels. withConnection: whether it shows the connections; otherwise all belong to one. */
export function channelColumns(withConnection) {
  return [
    withConnection
      ? { id: "client", label: "Client", isWide: true, value: (each) => each.client ?? each.name, cell: (each) => html`<a class="name mono" href=${href("connections", each.connection_details.name)} title=${each.name}>${breakable(each.client ?? each.connection_details.name)}</a>` }
      : null,
    { id: "number", label: "Channel", isNumber: withConnection, value: (each) => each.number, cell: (each) => html`<a class="row-link" href=${href("channels", each.name)}>${each.number}</a>` },
    { id: "mode", label: "Mode", value: mode, cell: (each) => html`<span class=${mode(each) ? "" : "faint"}>${mode(each) || "no confirms"}</span>`, narrow: "hide" },
    { id: "publish", label: "Publishes", isNumber: true, title: "Published messages per second", value: (each) => flow(each, "publish"), cell: (each) => html`<${Rate} value=${flow(each, "publish")} of="in" />` },
    { id: "unconfirmed", label: "Unconfirmed", isNumber: true, title: "Published messages that are not confirmed yet", value: (each) => each.messages_unconfirmed, cell: (each) => html`<${Count} value=${each.messages_unconfirmed} />`, narrow: "hide" },
    { id: "lost", label: "Unroutable", isNumber: true, title: "Unroutable messages per second, returned or dropped", value: lost, cell: (each) => html`<${Rate} value=${lost(each)} of="trouble" />`, narrow: "hide" },
    { id: "deliver", label: "Gets", isNumber: true, title: "Messages per second, by consumers and by basic.get", value: (each) => flow(each, "deliver_get"), cell: (each) => html`<${Rate} value=${flow(each, "deliver_get")} of="out" />` },
    { id: "ack", label: "Acks", isNumber: true, title: "Acknowledgements per second", value: (each) => flow(each, "ack"), cell: (each) => html`<${Rate} value=${flow(each, "ack")} />`, narrow: "hide-1200" },
    { id: "redeliver", label: "Redelivered", isNumber: true, title: "Redelivered messages per second", value: (each) => flow(each, "redeliver"), cell: (each) => html`<${Rate} value=${flow(each, "redeliver")} of="trouble" />`, narrow: "hide-1200" },
    { id: "unacked", label: "Unacked", isNumber: true, title: "Unacknowledged messages", value: (each) => each.messages_unacknowledged, cell: (each) => html`<${Count} value=${each.messages_unacknowledged} of="unacked" />` },
    { id: "prefetch", label: "Prefetch", isNumber: true, title: "Maximum unacknowledged messages of each consumer", value: (each) => each.prefetch_count, cell: (each) => prefetch(each), narrow: "hide" },
    { id: "consumers", label: "Consumers", isNumber: true, value: (each) => each.consumer_count, cell: (each) => html`<${Count} value=${each.consumer_count} />`, narrow: "hide-1200" },
    withConnection ? { id: "user", label: "User", value: (each) => each.user, cell: (each) => html`<span class="cut">${each.user}</span>`, narrow: "hide-1200" } : null,
    withConnection ? { id: "vhost", label: "Virtual host", value: (each) => each.vhost, cell: (each) => html`<span class="mono faint cut">${each.vhost}</span>`, narrow: "hide-1200" } : null,
  ].filter(Boolean);
}

function mode(channel) {
  return [channel.confirm && "confirms", channel.transactional && "transactions"].filter(Boolean).join(", ");
}

function prefetch(channel) {
  const each = channel.prefetch_count ? count(channel.prefetch_count) : html`<span class="faint">no limit</span>`;
  return channel.global_prefetch_count ? html`${each}, ${count(channel.global_prefetch_count)} together` : each;
}

const BUSY = (channel) => flow(channel, "publish") >= 0.05 || flow(channel, "deliver_get") >= 0.05;

function List({ query }) {
  const channels = useLive(query.vhost ? path("vhosts", query.vhost, "channels") : "channels", { columns: CHANNEL_COLUMNS });
  const connections = useLive("connections", { columns: "name,user_provided_name" });
  const order = useOrder("publish");
  const columns = useMemo(() => channelColumns(true), []);
  const rows = useMemo(() => {
    const called = new Map((connections.data ?? []).map((each) => [each.name, clientName(each)]));
    return (channels.data ?? []).map((each) => ({ ...each, client: called.get(each.connection_details.name) ?? each.connection_details.name }));
  }, [channels.data, connections.data]);
  const shown = useMemo(() => {
    const wanted = (query.q ?? "").toLowerCase();
    return rows.filter((each) => (query.only !== "busy" || BUSY(each)) && `${each.client} ${each.name} ${each.user}`.toLowerCase().includes(wanted));
  }, [rows, query.q, query.only]);
  const heading = html`<${Heading} kind=${html`<a href=${href("connections")}>Connections</a>`} title=${html`<span class="plain-title">Channels</span>`} />`;
  if (!channels.data) return html`${heading}${channels.error ? html`<${Fault} error=${channels.error} what="The channels could not be read." again=${channels.reload} />` : html`<${Waiting} />`}`;
  return html`
    ${heading}
    <${Filter} what="channels">
      <${Choice} name="only" label="Which channels" choices=${[["", "All", rows.length], ["busy", "Busy", rows.filter(BUSY).length]]} />
      <${VhostChoice} />
      <span class="faint" role="status">${plural(shown.length, "channel")}</span>
    <//>
    ${channels.error && html`<${Fault} error=${channels.error} what="These numbers are out of date." />`}
    ${shown.length
      ? html`<${Table} name="Channels" rows=${shown} keyOf=${(each) => each.name} columns=${columns} order=${order} about=${`${query.q} ${query.only} ${query.vhost}`} openAt=${(each) => href("channels", each.name)} />`
      : html`<${Empty} title=${rows.length ? "No matching channels" : "No channels"}>Clients publish and consume over channels. A connection may have many.<//>`}`;
}

function Channel({ name }) {
  const channel = useLive(path("channels", name), history());
  const publishes = useLive("leveret/publishers");
  const connection = useLive(channel.data ? path("connections", channel.data.connection_details.name) : null, { columns: "name,user_provided_name" }, { isStill: true });
  const order = useOrder("queue", false, "consumers");
  if (!channel.data) {
    return channel.error
      ? html`<${Heading} kind=${html`<a href=${href("channels")}>Channels</a>`} title=${name} /><${Fault} error=${channel.error} what=${channel.error.status === 404 ? "This channel is closed." : "The channel could not be read."} again=${channel.reload} />`
      : html`<${Waiting} />`;
  }
  const data = channel.data;
  const stats = data.message_stats;
  const series = (of, label, what, isDashed) => ({ label, of, isDashed, points: rates(stats[`${what}_details`]) });
  const flows = (publishes.data ?? []).filter((each) => each.channel_details.name === name);
  return html`
    <${Heading}
      kind=${html`<a href=${href("connections", data.connection_details.name)}>${breakable(connection.data ? clientName(connection.data) : data.connection_details.name)}</a>`}
      title=${`Channel ${data.number}`}
      tags=${html`<${Tag}>user ${data.user}<//><${Tag}>${data.vhost}<//>${data.confirm && html`<${Tag}>confirms<//>`}${data.transactional && html`<${Tag}>transactions<//>`}${data.state !== "running" && html`<${Tag} of="ready">${data.state}<//>`}`}
    />
    ${channel.error && html`<${Fault} error=${channel.error} what=${channel.error.status === 404 ? "This channel is closed. You see its last known state." : "These numbers are out of date."} />`}
    <dl class="figures">
      <div><dt>Publishes</dt><dd class=${flow(data, "publish") >= 0.05 ? "of-in" : "faint"}>${rate(flow(data, "publish"))}<small>${count(stats.publish)} in all</small></dd></div>
      <div><dt>Unconfirmed</dt><dd class=${data.messages_unconfirmed ? "" : "faint"}>${brief(data.messages_unconfirmed)}<small>${data.confirm ? "waiting for a confirm" : "not in confirm mode"}</small></dd></div>
      <div><dt>Receives</dt><dd class=${flow(data, "deliver_get") >= 0.05 ? "of-out" : "faint"}>${rate(flow(data, "deliver_get"))}<small>${count(stats.ack)} acknowledged</small></dd></div>
      <div><dt>Unacknowledged</dt><dd class=${data.messages_unacknowledged ? "of-unacked" : "faint"}>${brief(data.messages_unacknowledged)}<small>held by its consumers</small></dd></div>
      <div><dt>Unroutable</dt><dd class=${stats.return_unroutable + stats.drop_unroutable ? "of-trouble" : "faint"}>${brief(stats.return_unroutable + stats.drop_unroutable)}<small>${count(stats.return_unroutable)} of them returned</small></dd></div>
    </dl>
    <div class="charts">
      ${(stats.publish > 0 || !stats.deliver_get) && html`<${Chart} title="Publishes per second" format=${rate} series=${[series("in", "published", "publish"), series("accent", "confirmed", "confirm", true), series("trouble", "returned", "return_unroutable"), series("dead", "dropped", "drop_unroutable", true)]} />`}
      ${(stats.deliver_get > 0 || !stats.publish) && html`<${Chart} title="Deliveries per second" format=${rate} series=${[series("out", "manual acknowledgement", "deliver"), series("in", "automatic acknowledgement", "deliver_no_ack", true), series("accent", "acknowledged", "ack", true), series("trouble", "redelivered", "redeliver")]} />`}
    </div>
    <${Section} title="Exchanges it publishes to">
      ${flows.length
        ? html`<ul class="plain">${flows.map((each) => html`<li key=${each.exchange}><${Name} name=${exchangeName(each.exchange)} to=${href("exchanges", each.vhost, each.exchange || "amq.default")} />: ${plural(each.published, "message")}${each.returned + each.dropped > 0 && html`, <span class="of-trouble">${count(each.returned + each.dropped)} of them unroutable</span>`}</li>`)}</ul>`
        : html`<p class="faint">It has not published anything.</p>`}
    <//>
    <${Section} title=${plural(data.consumer_details.length, "consumer")}>
      ${data.consumer_details.length
        ? html`<${Table} name="Consumers" rows=${data.consumer_details} keyOf=${(each) => each.consumer_tag} columns=${consumerColumns({ ofConnection: true })} order=${order} />`
        : html`<p class="faint">It consumes from no queue.</p>`}
    <//>
    <${Section} title="Facts">
      <${Facts} rows=${[
        ["Prefetch of each consumer", data.prefetch_count ? count(data.prefetch_count) : "no limit"],
        ["Prefetch of the channel", data.global_prefetch_count ? count(data.global_prefetch_count) : "no limit"],
        ["Received by basic.get", `${count(stats.get + stats.get_no_ack)} messages, ${count(stats.get_empty)} empty answers`],
        ["Uncommitted messages", data.transactional ? count(data.messages_uncommitted) : null],
        ["Uncommitted acknowledgements", data.transactional ? count(data.acks_uncommitted) : null],
        ["Idle since", data.idle_since ? exact(Date.parse(data.idle_since)) : null],
        ["Node", data.node],
      ]} />
    <//>`;
}
