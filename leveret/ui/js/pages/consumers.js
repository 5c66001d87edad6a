/** Consumers with their queues, clients and prefetch. */
import { useMemo, useState } from "preact/hooks";
import { may, path, put } from "../api.js";
import { Ago, Empty, Fault, Heading, Name, Tag, Waiting } from "../components/basic.js";
import { ActDialog, Field } from "../components/dialog.js";
import { Choice, Filter, Table, useOrder } from "../components/table.js";
import { VhostChoice } from "../components/vhosts.js";
import { clientName, consumerState, hasConnection } from "../clients.js";
import { count, plural, span } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { href } from "../router.js";

const acks = (each) => (each.ack_required ? "manual" : "automatic");

/** Columns of a table of consumers. ofConnection: whether all belong to one. change(consumer): opens the prefetch dialog. */
export function consumerColumns({ ofConnection = false, change = null } = {}) {
  return [
    { id: "queue", label: "Queue", isWide: true, value: (each) => each.queue.name, cell: (each) => html`<${Name} name=${each.queue.name} to=${href("queues", each.queue.vhost, each.queue.name, { tab: "consumers" })} />` },
    { id: "tag", label: "Consumer tag", value: (each) => each.consumer_tag, cell: (each) => html`<span class="mono cut" title=${each.consumer_tag}>${each.consumer_tag}</span>${each.exclusive && html` <${Tag} title="No other consumer may use the queue">exclusive<//>`}`, narrow: "hide" },
    ofConnection ? null : { id: "client", label: "Client", value: (each) => each.client, cell: (each) => html`<${Client} consumer=${each} />` },
    { id: "channel", label: "Channel", isNumber: true, value: (each) => each.channel_details.number, cell: (each) => (hasConnection(each) ? html`<a href=${href("channels", each.channel_details.name)}>${each.channel_details.number}</a>` : html`<span class="faint">HTTP</span>`), narrow: "hide" },
    { id: "state", label: "State", value: consumerState, cell: (each) => html`<span class=${each.active ? "" : "faint"}>${consumerState(each)}</span>`, narrow: "hide" },
    { id: "prefetch", label: "Prefetch", isNumber: true, title: "Maximum unacknowledged messages", value: (each) => each.prefetch_count || Infinity, cell: (each) => html`<${Prefetch} consumer=${each} change=${change} />` },
    { id: "ack", label: "Acknowledgement", value: acks, cell: acks, narrow: "hide-1200" },
    { id: "timeout", label: "Ack timeout", isNumber: true, title: "Time to acknowledge a message before the channel is closed", value: (each) => each.consumer_timeout ?? Infinity, cell: (each) => (each.consumer_timeout ? span(each.consumer_timeout / 1000) : html`<span class="faint">no limit</span>`), narrow: "hide-1200" },
    ofConnection ? null : { id: "user", label: "User", value: (each) => each.channel_details.user, cell: (each) => html`<span class="cut">${each.channel_details.user}</span>`, narrow: "hide-1200" },
    ofConnection ? null : { id: "vhost", label: "Virtual host", value: (each) => each.queue.vhost, cell: (each) => html`<span class="mono faint cut">${each.queue.vhost}</span>`, narrow: "hide-1200" },
    ofConnection ? null : { id: "since", label: "Connected", isNumber: true, title: "Age of its connection", value: (each) => each.since ?? 0, cell: (each) => html`<${Ago} at=${each.since} />`, narrow: "hide-1200" },
  ].filter(Boolean);
}

function Client({ consumer }) {
  if (!hasConnection(consumer)) return html`<span class="cut" title=${consumer.client}>over HTTP</span>`;
  return html`<a class="mono cut" href=${href("connections", consumer.channel_details.connection_name)} title=${consumer.channel_details.connection_name}>${consumer.client}</a>`;
}

function Prefetch({ consumer, change }) {
  const text = consumer.prefetch_count ? count(consumer.prefetch_count) : "no limit";
  if (!change || !may("policymaker") || !consumer.ack_required) return html`<span class=${consumer.prefetch_count ? "" : "faint"}>${text}</span>`;
  return html`<button type="button" class="link" title="Change it" aria-label=${`Prefetch of ${consumer.consumer_tag}: ${text}. Change it`} onClick=${() => change(consumer)}>${text}</button>`;
}

const keyOf = (each) => `${each.channel_details.name} ${each.consumer_tag} ${each.queue.vhost} ${each.queue.name}`;

export default function Consumers({ query }) {
  const consumers = useLive(query.vhost ? path("consumers", query.vhost) : "consumers");
  const connections = useLive("connections", { columns: "name,user_provided_name,connected_at" });
  const order = useOrder("queue", false);
  const [changing, setChanging] = useState(null);
  const columns = useMemo(() => consumerColumns({ change: setChanging }), []);
  const rows = useMemo(() => {
    const known = new Map((connections.data ?? []).map((each) => [each.name, each]));
    return (consumers.data ?? []).map((each) => {
      const connection = known.get(each.channel_details.connection_name);
      return { ...each, client: connection ? clientName(connection) : each.channel_details.connection_name, since: connection?.connected_at };
    });
  }, [consumers.data, connections.data]);
  const shown = useMemo(() => {
    const wanted = (query.q ?? "").toLowerCase();
    return rows.filter((each) => {
      if (query.only === "waiting" && each.active) return false;
      if (query.only === "unlimited" && (each.prefetch_count || !each.ack_required)) return false;
      return `${each.queue.name} ${each.consumer_tag} ${each.client} ${each.channel_details.user}`.toLowerCase().includes(wanted);
    });
  }, [rows, query.q, query.only]);
  const heading = html`<${Heading} title="Consumers" />`;
  if (!consumers.data) return html`${heading}${consumers.error ? html`<${Fault} error=${consumers.error} what="The consumers could not be read." again=${consumers.reload} />` : html`<${Waiting} />`}`;
  const unlimited = rows.filter((each) => !each.prefetch_count && each.ack_required).length;
  return html`
    ${heading}
    <${Filter} what="consumers">
      <${Choice} name="only" label="Which consumers" choices=${[["", "All", rows.length], ["unlimited", "No prefetch limit", unlimited], ["waiting", "Not active", rows.filter((each) => !each.active).length]]} />
      <${VhostChoice} />
      <span class="faint" role="status">${plural(shown.length, "consumer")}</span>
    <//>
    ${consumers.error && html`<${Fault} error=${consumers.error} what="These numbers are out of date." />`}
    ${shown.length
      ? html`<${Table} name="Consumers" rows=${shown} keyOf=${keyOf} columns=${columns} order=${order} about=${`${query.q} ${query.only} ${query.vhost}`} openAt=${(each) => href("queues", each.queue.vhost, each.queue.name, { tab: "consumers" })} />`
      : html`<${Empty} title=${rows.length ? "No matching consumers" : "No consumers"} command=${rows.length ? undefined : "leveret messages consume orders"}>A consumer receives the messages of a queue as they arrive, up to its prefetch.<//>`}
    ${changing && html`<${ChangePrefetch} consumer=${changing} close=${() => setChanging(null)} reload=${consumers.reload} />`}`;
}

function ChangePrefetch({ consumer, close, reload }) {
  const { vhost, name } = consumer.queue;
  async function change(data) {
    const body = { prefetch: Number(data.get("prefetch")) };
    if (data.get("whom") === "one") Object.assign(body, { consumer_tag: consumer.consumer_tag, channel: consumer.channel_details.name });
    const { consumers } = await put(`leveret/${path("queues", vhost, name, "consumers", "prefetch")}`, body);
    reload();
    return `The prefetch of ${plural(consumers, "consumer")} was set to ${body.prefetch || "no limit"}.`;
  }
  return html`<${ActDialog} title="Change the prefetch" verb="Change" act=${change} close=${close}>
    <${Field} label="Maximum unacknowledged messages" hint="0: no limit. Applies until the consumer ends, without a change of the client."><input name="prefetch" type="number" min="0" max="65535" required autofocus defaultValue=${consumer.prefetch_count} /><//>
    <fieldset class="radios"><legend>Apply to</legend>
      <label class="check"><input type="radio" name="whom" value="one" defaultChecked /> <span><code>${consumer.consumer_tag}</code> only</span></label>
      <label class="check"><input type="radio" name="whom" value="all" /> <span>all consumers of <code>${name}</code></span></label>
    </fieldset>
  <//>`;
}
