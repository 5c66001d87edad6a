/** One connection: its client, rates, channels, consumers, refused messages, and how to close it. */
import { useMemo, useState } from "preact/hooks";
import { may, path, remove, session } from "../api.js";
import { Ago, Facts, Fault, Heading, Section, Tag, Waiting } from "../components/basic.js";
import { Chart } from "../components/chart.js";
import { ActDialog, Field } from "../components/dialog.js";
import { Table, useOrder } from "../components/table.js";
import { NOTHING, byConnection, clientName, does, judgeConnection, library, sumOf } from "../clients.js";
import { brief, count, exact, plural, rate, size, span } from "../format.js";
import { html, classes } from "../html.js";
import { useLive } from "../live.js";
import { go, href } from "../router.js";
import { history, rates } from "../samples.js";
import { channelColumns } from "./channels.js";
import { consumerColumns } from "./consumers.js";
import { RefusedTable, reasonText } from "./client-parts.js";

const REASON = "Closed by an operator";

export function Connection({ name }) {
  const connection = useLive(path("connections", name), history());
  const channels = useLive(path("connections", name, "channels"), history());
  const vhost = connection.data?.vhost;
  const consumers = useLive(vhost === undefined ? null : path("consumers", vhost));
  const refused = useLive("leveret/refused", { limit: 1000 });
  const own = useMemo(() => (consumers.data ?? []).filter((each) => each.channel_details.connection_name === name), [consumers.data]);
  const lost = (refused.data?.refused ?? []).filter((each) => each.connection === name);

  if (!connection.data) {
    return connection.error
      ? html`<${Heading} kind=${html`<a href=${href("connections")}>Connections</a>`} title=${name} />
          <${Fault} error=${connection.error} what=${connection.error.status === 404 ? "This connection is closed." : "The connection could not be read."} again=${connection.reload} />
          <${Lost} refused=${lost} />`
      : html`<${Waiting} />`;
  }
  const data = connection.data;
  const sum = byConnection(channels.data ?? []).get(name) ?? NOTHING;
  const judged = judgeConnection(data, sum, 0)[0];
  return html`
    <${Heading} kind=${html`<a href=${href("connections")}>Connections</a> to ${data.vhost}`} title=${clientName(data)} tags=${html`<${Tags} connection=${data} />`}>
      <${Closing} connection=${data} />
    <//>
    ${connection.error && html`<${Fault} error=${connection.error} what=${connection.error.status === 404 ? "This connection is closed. You see its last known state." : "These numbers are out of date."} />`}
    <p class=${classes("verdict", judged ? (judged.level === "trouble" ? "of-trouble" : judged.level) : "calm")}>
      <i class="dot" aria-hidden="true"></i>It ${judged ? judged.text : does(sum)}
    </p>
    <dl class="figures">
      <div><dt>Publishes</dt><dd class=${sum.publish >= 0.05 ? "of-in" : "faint"}>${rate(sum.publish)}<small>${size(data.recv_oct_details.rate)}/s from the client</small></dd></div>
      <div><dt>Receives</dt><dd class=${sum.deliver >= 0.05 ? "of-out" : "faint"}>${rate(sum.deliver)}<small>${size(data.send_oct_details.rate)}/s to the client</small></dd></div>
      <div><dt>Unacknowledged</dt><dd class=${sum.unacked ? "of-unacked" : "faint"}>${brief(sum.unacked)}<small>${sum.window && !sum.isUnlimited ? `of ${brief(sum.window)} allowed by prefetch` : sum.consumers ? "no prefetch limit" : "no consumers"}</small></dd></div>
      <div><dt>Unconfirmed</dt><dd class=${sum.unconfirmed ? "" : "faint"}>${brief(sum.unconfirmed)}<small>waiting for a confirm</small></dd></div>
      <div><dt>Send buffer</dt><dd class=${data.send_pend ? "of-trouble" : "faint"}>${size(data.send_pend)}<small>not read by the client yet</small></dd></div>
      <div><dt>Connected</dt><dd>${span((Date.now() - data.connected_at) / 1000)}<small>since ${exact(data.connected_at)}</small></dd></div>
    </dl>
    <${Charts} connection=${data} channels=${channels.data ?? []} />
    <${Channels} channels=${channels} />
    <${Consumers} consumers=${own} />
    <${Lost} refused=${lost} />
    <${Who} connection=${data} />`;
}

function Tags({ connection }) {
  return html`<${Tag}>user ${connection.user}<//>
    ${library(connection) && html`<${Tag}>${library(connection)}<//>`}
    <${Tag}>${connection.protocol}<//>
    ${connection.ssl ? html`<${Tag}>${connection.ssl_protocol}<//>` : html`<${Tag} title="Not encrypted">no TLS<//>`}
    ${connection.state !== "running" && html`<${Tag} of=${connection.state === "blocked" ? "trouble" : "ready"}>${connection.state}<//>`}`;
}

function Charts({ connection, channels }) {
  const over = (what) => sumOf(channels.map((channel) => rates(channel.message_stats[`${what}_details`])));
  return html`<div class="charts">
    <${Chart} title="Messages per second" format=${rate} series=${[
      { label: "published", of: "in", points: over("publish") },
      { label: "delivered", of: "out", points: over("deliver_get") },
      { label: "acknowledged", of: "accent", points: over("ack"), isDashed: true },
    ]} />
    <${Chart} title="Bytes per second" format=${size} series=${[
      { label: "from the client", of: "in", points: rates(connection.recv_oct_details) },
      { label: "to the client", of: "out", points: rates(connection.send_oct_details) },
    ]} />
  </div>`;
}

function Channels({ channels }) {
  const order = useOrder("number", false, "channels");
  const rows = channels.data ?? [];
  return html`<${Section} title=${plural(rows.length, "channel")}>
    ${rows.length
      ? html`<${Table} name="Channels" rows=${rows} keyOf=${(each) => each.name} columns=${channelColumns(false)} order=${order} openAt=${(each) => href("channels", each.name)} />`
      : html`<p class="faint">Without a channel, the client can neither publish nor consume.</p>`}
  <//>`;
}

function Consumers({ consumers }) {
  const order = useOrder("queue", false, "consumers");
  if (!consumers.length) return html`<${Section} title="Consumers"><p class="faint">No consumers.</p><//>`;
  return html`<${Section} title=${plural(consumers.length, "consumer")}>
    <${Table} name="Consumers" rows=${consumers} keyOf=${(each) => `${each.channel_details.name} ${each.consumer_tag}`} columns=${consumerColumns({ ofConnection: true })} order=${order} openAt=${(each) => href("queues", each.queue.vhost, each.queue.name, { tab: "consumers" })} />
  <//>`;
}

function Lost({ refused }) {
  return html`<${Section} title="Refused and unroutable messages" note=${refused.length ? "" : "none recorded"}>
    ${refused.length > 0 && html`<${RefusedTable} refused=${refused} />`}
  <//>`;
}

function Who({ connection }) {
  const told = Object.entries(connection.client_properties ?? {}).filter(([key]) => key !== "capabilities");
  const can = Object.entries(connection.client_properties?.capabilities ?? {}).filter(([, value]) => value === true).map(([key]) => key);
  return html`
    <${Section} title="Client">
      <${Facts} rows=${[
        ["User", html`<a href=${may("administrator") ? href("admin", "users", connection.user) : href("connections", { user: connection.user })}>${connection.user}</a>`],
        ["Authentication", connection.auth_mechanism],
        ["Virtual host", html`<span class="mono">${connection.vhost}</span>`],
        ["From", html`<span class="mono">${connection.peer_host}, port ${connection.peer_port}</span>`],
        ["To", html`<span class="mono">${connection.host}, port ${connection.port}</span>`],
        ["Since", html`${exact(connection.connected_at)} (<${Ago} at=${connection.connected_at} />)`],
        ["Heartbeat", connection.timeout ? `every ${span(connection.timeout)}` : "none: network failures are detected late"],
        ["Maximum frame size", connection.frame_max ? size(connection.frame_max) : "any size"],
        ["Channels", `${count(connection.channels)} of at most ${count(connection.channel_max)}`],
        ["Received in total", `${size(connection.recv_oct)} in ${plural(connection.recv_cnt, "read")}`],
        ["Sent in total", `${size(connection.send_oct)} in ${plural(connection.send_cnt, "write")}`],
      ]} />
    <//>
    <${Section} title="Client properties">
      <${Facts} rows=${[...told.map(([key, value]) => [key, String(typeof value === "object" ? JSON.stringify(value) : value)]), ["capabilities", can.join(", ")]]} />
    <//>
    ${connection.ssl && html`<${Section} title="TLS">
      <${Facts} rows=${[
        ["Version", connection.ssl_protocol],
        ["Cipher", connection.ssl_cipher],
        ["Key exchange", connection.ssl_key_exchange],
        ["Hash", connection.ssl_hash],
        ["Client certificate", connection.peer_cert_subject || "none"],
        ["Issued by", connection.peer_cert_issuer],
        ["Valid", connection.peer_cert_validity],
        ["Serial number", connection.peer_cert_serial_number],
      ]} />
    <//>`}`;
}

function Closing({ connection }) {
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  if (!may("administrator") && connection.user !== session.value.name) return null;
  const called = clientName(connection);
  async function end(data) {
    await remove(path("connections", connection.name), { headers: { "X-Reason": reasonText(data.get("reason")) || REASON } });
    go("connections");
    return `The connection of ${called} was closed.`;
  }
  async function endAll(data) {
    await remove(path("connections", "username", connection.user), { headers: { "X-Reason": reasonText(data.get("reason")) || REASON } });
    go("connections");
    return `All connections of ${connection.user} were closed.`;
  }
  return html`
    <button type="button" class="danger" onClick=${() => setOpen("one")}>Close</button>
    <button type="button" class="danger" onClick=${() => setOpen("all")}>Close all of ${connection.user}</button>
    ${open === "one" && html`<${ActDialog} title="Close the connection" verb="Close the connection" isDanger act=${end} close=${close}>
      <p><b>${called}</b> loses its ${connection.channels === 1 ? "channel" : plural(connection.channels, "channel")}. Its unacknowledged messages are requeued. Most clients reconnect automatically.</p>
      <${Why} />
    <//>`}
    ${open === "all" && html`<${CloseAll} user=${connection.user} act=${endAll} close=${close} />`}`;
}

function Why() {
  return html`<${Field} label="Reason" hint="Sent to the client with CONNECTION_FORCED, and logged."><input name="reason" placeholder=${REASON} maxlength="200" autofocus /><//>`;
}

function CloseAll({ user, act, close }) {
  const found = useLive(path("connections", "username", user), { columns: "name" }, { isStill: true });
  const number = found.data?.length;
  return html`<${ActDialog} title=${`Close all connections of ${user}`} verb=${number === undefined ? "Close all" : `Close ${plural(number, "connection")}`} isDanger act=${act} close=${close}>
    <p>${number === undefined ? "All connections" : html`<b>${plural(number, "connection")}</b>`} of the user <code>${user}</code> will be closed. To keep them from reconnecting, also change the password or the permissions.</p>
    <${Why} />
  <//>`;
}
