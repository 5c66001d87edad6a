/** One exchange: its rates, publishers and bindings. */
import { useMemo, useRef, useState } from "preact/hooks";
import { mayAny, mayDo, path } from "../api.js";
import { Empty, Facts, Fault, Heading, Name, Rate, Section, Tag, Waiting } from "../components/basic.js";
import { Chart } from "../components/chart.js";
import { Table, useOrder } from "../components/table.js";
import { brief, count, exchangeName, plural, rate } from "../format.js";
import { html, classes } from "../html.js";
import { flow } from "../judge.js";
import { useLive } from "../live.js";
import { href } from "../router.js";
import { history, rates } from "../samples.js";
import { RefusedTable } from "./client-parts.js";
import { Bind, DeleteExchange, Unbind } from "./exchange-forms.js";

export function Exchange({ vhost, name }) {
  const known = name || "amq.default";
  const exchange = useLive(path("exchanges", vhost, known), history());
  const outgoing = useLive(path("exchanges", vhost, known, "bindings", "source"));
  const incoming = useLive(path("exchanges", vhost, known, "bindings", "destination"));
  const publishers = useLive("leveret/publishers", { vhost, exchange: known });
  const refused = useLive("leveret/refused", { vhost, limit: 1000 });
  const [isBinding, setBinding] = useState(false);
  const flows = useFlows(publishers.data);
  const kind = html`<a href=${href("exchanges")}>Exchanges</a> in ${vhost}`;
  if (!exchange.data) {
    return exchange.error
      ? html`<${Heading} kind=${kind} title=${exchangeName(name)} /><${Fault} error=${exchange.error} what=${exchange.error.status === 404 ? "This exchange no longer exists." : "The exchange could not be read."} again=${exchange.reload} />`
      : html`<${Waiting} />`;
  }
  const data = exchange.data;
  const lost = (refused.data?.refused ?? []).filter((each) => each.exchange === name);
  const reload = () => (outgoing.reload(), exchange.reload());
  const isOwn = name !== "" && !name.startsWith("amq.");
  return html`
    <${Heading} kind=${kind} title=${exchangeName(name)} tags=${html`<${Tags} exchange=${data} />`}>
      ${mayDo("write", vhost, name || "amq.default") && html`<a class="button" href=${href("publish", { vhost, exchange: name })}>Publish</a>`}
      <a class="button" href=${href("explain", { vhost, exchange: name })}>Explain</a>
      ${isOwn && mayDo("configure", vhost, name) && html`<${DeleteExchange} exchange=${data} bindings=${outgoing.data?.length ?? 0} incoming=${incoming.data?.length ?? 0} />`}
    <//>
    ${exchange.error && html`<${Fault} error=${exchange.error} what=${exchange.error.status === 404 ? "This exchange no longer exists. You see its last known state." : "These numbers are out of date."} />`}
    <${Story} exchange=${data} outgoing=${outgoing.data} flows=${flows} lost=${lost} />
    <div class="charts">
      <${Chart} title="Messages per second" format=${rate} series=${[
        { label: "in", of: "in", points: rates(data.message_stats.publish_in_details) },
        { label: "out", of: "out", points: rates(data.message_stats.publish_out_details) },
      ]} />
    </div>
    <${Outgoing} exchange=${data} bindings=${outgoing} reload=${reload} bind=${name !== "" && mayDo("read", vhost, name) && mayAny("write", vhost) && (() => setBinding(true))} />
    <${Incoming} name=${name} bindings=${incoming} />
    <${Publishers} flows=${flows} name=${name} />
    ${lost.length > 0 && html`<${Section} title="Refused and unroutable messages"><${RefusedTable} refused=${lost} /><//>`}
    <${Section} title="Facts">
      <${Facts} rows=${[
        ["Type", data.type],
        ["Declared by", data.user_who_performed_action === "rmq-internal" ? "the broker" : data.user_who_performed_action],
        ["Policy", data.policy],
        ["Published in total", plural(data.message_stats.publish_in, "message")],
        ["Routed to queues in total", plural(data.message_stats.publish_out, "copy", "copies")],
        ...Object.entries(data.arguments).map(([key, value]) => [key, html`<code>${typeof value === "object" ? JSON.stringify(value) : String(value)}</code>`]),
      ]} />
    <//>
    ${isBinding && html`<${Bind} exchange=${data} close=${() => setBinding(false)} reload=${reload} />`}`;
}

/** The publish rate of each channel, from one answer to the next: [{…, rate}]. */
function useFlows(publishers) {
  const before = useRef({ at: 0, counts: new Map() });
  return useMemo(() => {
    if (!publishers) return undefined;
    const at = Date.now();
    const old = before.current;
    const spent = (at - old.at) / 1000;
    const counts = new Map(publishers.map((each) => [each.channel_details.name, each.published]));
    const found = publishers.map((each) => ({ ...each, rate: old.counts.has(each.channel_details.name) ? Math.max(0, each.published - old.counts.get(each.channel_details.name)) / spent : 0 }));
    before.current = { at, counts };
    return found;
  }, [publishers]);
}

function Tags({ exchange }) {
  return html`<${Tag}>${exchange.type}<//>
    ${exchange.durable ? html`<${Tag}>durable<//>` : html`<${Tag} title="Deleted when the broker restarts">transient<//>`}
    ${exchange.internal && html`<${Tag} title="Clients cannot publish to it">internal<//>`}
    ${exchange.auto_delete && html`<${Tag} title="Deleted with its last binding">auto-delete<//>`}
    ${exchange.policy && html`<${Tag}>policy ${exchange.policy}<//>`}`;
}

function verdict(exchange, outgoing, lost) {
  const came = flow(exchange, "publish_in");
  if (exchange.name !== "" && outgoing && !outgoing.length && exchange.arguments["alternate-exchange"] === undefined) return came >= 0.05 ? ["trouble", "Nothing is bound to it: published messages are unroutable"] : ["watch", "Nothing is bound to it"];
  const lately = lost.filter((each) => each.last_at > Date.now() - 600000).length;
  if (lately) return ["watch", "Some published messages are unroutable"];
  return ["calm", came >= 0.05 ? "Messages are being routed" : "Idle"];
}

function Story({ exchange, outgoing, flows, lost }) {
  const [level, text] = verdict(exchange, outgoing, lost);
  const alternate = exchange.arguments["alternate-exchange"];
  const [came, went] = [flow(exchange, "publish_in"), flow(exchange, "publish_out")];
  return html`
    <p class=${classes("verdict", level === "trouble" ? "of-trouble" : level)}><i class="dot" aria-hidden="true"></i>${text}</p>
    <dl class="figures">
      <div><dt>Incoming</dt><dd class="of-in">${rate(came)}<small>${flows?.length ? `from ${plural(flows.length, "channel")}` : "published to it"}</small></dd></div>
      <div><dt>Outgoing</dt><dd class="of-out">${rate(went)}<small>${came >= 0.5 && went >= 0.5 ? `${(went / came).toFixed(1)} queues per message` : "copies routed to queues"}</small></dd></div>
      <div><dt>Bindings</dt><dd>${exchange.name === "" ? "all" : brief(outgoing?.length)}<small>${exchange.name === "" ? "queues, by name" : "from this exchange"}</small></dd></div>
      ${alternate !== undefined && html`<div><dt>Alternate exchange</dt><dd class="fits"><${Name} name=${exchangeName(alternate)} to=${href("exchanges", exchange.vhost, alternate || "amq.default")} /><small>receives messages that match no binding</small></dd></div>`}
    </dl>`;
}

function Arguments({ of }) {
  return Object.keys(of).length ? html`<code class="cut" title=${JSON.stringify(of)}>${JSON.stringify(of)}</code>` : null;
}

function Outgoing({ exchange, bindings, reload, bind }) {
  const order = useOrder("to", false, "to");
  const columns = [
    { id: "key", label: "Routing key", value: (each) => each.routing_key, cell: (each) => (each.routing_key ? html`<code class="cut" title=${each.routing_key}>${each.routing_key}</code>` : html`<span class="faint">none</span>`) },
    { id: "to", label: "To", isWide: true, value: (each) => each.destination, cell: (each) => html`<${Name} name=${each.destination} to=${href(`${each.destination_type}s`, each.vhost, each.destination)} />` },
    { id: "kind", label: "Kind", value: (each) => each.destination_type, cell: (each) => each.destination_type, narrow: "hide" },
    { id: "arguments", label: "Arguments", cell: (each) => html`<${Arguments} of=${each.arguments} />`, narrow: "hide" },
    bind ? { id: "act", label: "", isNumber: true, cell: (each) => html`<${Unbind} binding=${each} reload=${reload} />` } : null,
  ].filter(Boolean);
  const rows = bindings.data ?? [];
  return html`<${Section} title="Bindings from this exchange" note=${rows.length ? plural(rows.length, "binding") : ""} actions=${bind && html`<button type="button" onClick=${bind}>Bind</button>`}>
    ${bindings.error && html`<${Fault} error=${bindings.error} what="The bindings could not be read." />`}
    ${rows.length
      ? html`<${Table} name=${`Bindings from ${exchangeName(exchange.name)}`} rows=${rows} keyOf=${(each) => `${each.destination_type} ${each.destination} ${each.properties_key}`} columns=${columns} order=${order} />`
      : bindings.data && html`<${Empty} title="No bindings">A binding routes messages to a queue. Without bindings, messages published here are unroutable.<//>`}
  <//>`;
}

function Incoming({ name, bindings }) {
  const order = useOrder("from", false, "from");
  if (!bindings.data?.length) return null;
  const columns = [
    { id: "from", label: "From", isWide: true, value: (each) => each.source, cell: (each) => html`<${Name} name=${exchangeName(each.source)} to=${href("exchanges", each.vhost, each.source)} />` },
    { id: "key", label: "Routing key", value: (each) => each.routing_key, cell: (each) => (each.routing_key ? html`<code class="cut">${each.routing_key}</code>` : html`<span class="faint">none</span>`) },
    { id: "arguments", label: "Arguments", cell: (each) => html`<${Arguments} of=${each.arguments} />`, narrow: "hide" },
    { id: "act", label: "", isNumber: true, cell: (each) => html`<${Unbind} binding=${each} reload=${bindings.reload} />` },
  ];
  return html`<${Section} title="Bindings to this exchange" note=${plural(bindings.data.length, "binding")}>
    <${Table} name=${`Bindings to ${exchangeName(name)}`} rows=${bindings.data} keyOf=${(each) => `${each.source} ${each.properties_key}`} columns=${columns} order=${order} />
  <//>`;
}

function Publishers({ flows, name }) {
  const order = useOrder("rate", true, "who");
  const columns = [
    { id: "client", label: "Client", isWide: true, value: (each) => each.connection_label, cell: (each) => html`<${Name} name=${each.connection_label} to=${href("connections", each.channel_details.connection_name)} title=${each.channel_details.connection_name} />` },
    { id: "channel", label: "Channel", isNumber: true, value: (each) => each.channel_details.number, cell: (each) => html`<a href=${href("channels", each.channel_details.name)}>${each.channel_details.number}</a>`, narrow: "hide" },
    { id: "user", label: "User", value: (each) => each.channel_details.user, cell: (each) => html`<span class="cut">${each.channel_details.user}</span>`, narrow: "hide" },
    { id: "rate", label: "Publishes", isNumber: true, value: (each) => each.rate, cell: (each) => html`<${Rate} value=${each.rate} of="in" />` },
    { id: "published", label: "Total", isNumber: true, value: (each) => each.published, cell: (each) => count(each.published) },
    { id: "lost", label: "Unroutable", isNumber: true, value: (each) => each.returned + each.dropped, cell: (each) => html`<span class=${each.returned + each.dropped ? "of-trouble" : "faint"}>${count(each.returned + each.dropped)}</span>` },
  ];
  return html`<${Section} title="Publishers" note="connected clients">
    ${flows?.length
      ? html`<${Table} name=${`Publishers to ${exchangeName(name)}`} rows=${flows} keyOf=${(each) => each.channel_details.name} columns=${columns} order=${order} openAt=${(each) => href("connections", each.channel_details.connection_name)} />`
      : html`<p class="faint">No connected client has published to it.</p>`}
  <//>`;
}
