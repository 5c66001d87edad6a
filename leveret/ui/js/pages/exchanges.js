/** Exchanges with their rates and bindings. */
import { useMemo } from "preact/hooks";
import { Count, Empty, Fault, Heading, Name, Rate, Tag, Waiting } from "../components/basic.js";
import { Choice, Filter, Table, useOrder } from "../components/table.js";
import { VhostChoice } from "../components/vhosts.js";
import { exchangeName, plural } from "../format.js";
import { html } from "../html.js";
import { flow } from "../judge.js";
import { useLive } from "../live.js";
import { href } from "../router.js";
import { DeclareExchange } from "./exchange-forms.js";
import { Exchange } from "./exchange.js";

const COLUMNS = [
  "name", "vhost", "type", "durable", "auto_delete", "internal", "arguments", "policy", "user_who_performed_action",
  "message_stats.publish_in", "message_stats.publish_in_details.rate", "message_stats.publish_out_details.rate",
].join(",");

export default function Exchanges({ names, query }) {
  return names.length >= 2 ? html`<${Exchange} vhost=${names[0]} name=${names[1] === "amq.default" ? "" : names[1]} />` : html`<${List} query=${query} />`;
}

const keyOf = ({ exchange }) => `${exchange.vhost} ${exchange.name}`;
const addressOf = ({ exchange }) => href("exchanges", exchange.vhost, exchange.name || "amq.default");

const columns = [
  { id: "name", label: "Exchange", isWide: true, value: ({ exchange }) => exchange.name, cell: (row) => html`<${Name} name=${exchangeName(row.exchange.name)} to=${addressOf(row)} /><${Marks} exchange=${row.exchange} />` },
  { id: "type", label: "Type", value: ({ exchange }) => exchange.type, cell: ({ exchange }) => exchange.type, narrow: "hide" },
  { id: "in", label: "In", isNumber: true, title: "Published messages per second", value: ({ exchange }) => flow(exchange, "publish_in"), cell: ({ exchange }) => html`<${Rate} value=${flow(exchange, "publish_in")} of="in" />` },
  { id: "out", label: "Out", isNumber: true, title: "Message copies routed to queues per second", value: ({ exchange }) => flow(exchange, "publish_out"), cell: ({ exchange }) => html`<${Rate} value=${flow(exchange, "publish_out")} of="out" />` },
  { id: "bindings", label: "Bindings", isNumber: true, title: "Bindings from this exchange to queues and exchanges", value: ({ bindings }) => bindings, cell: ({ bindings, exchange }) => (exchange.name === "" ? html`<span class="faint" title="Every queue is bound to it by its name">all queues</span>` : html`<${Count} value=${bindings} />`) },
  { id: "policy", label: "Policy", value: ({ exchange }) => exchange.policy ?? "", cell: ({ exchange }) => (exchange.policy ? html`<span class="cut">${exchange.policy}</span>` : html`<span class="faint">–</span>`), narrow: "hide" },
  { id: "vhost", label: "Virtual host", value: ({ exchange }) => exchange.vhost, cell: ({ exchange }) => html`<span class="mono faint cut">${exchange.vhost}</span>`, narrow: "hide-1200" },
];

/** Whether the exchange has bindings or publishes, or was declared by a client. */
function isUsed({ exchange, bindings }) {
  return bindings > 0 || exchange.message_stats.publish_in > 0 || !(exchange.name === "" || exchange.name.startsWith("amq."));
}

function List({ query }) {
  const exchanges = useLive(query.vhost ? `exchanges/${encodeURIComponent(query.vhost)}` : "exchanges", { columns: COLUMNS });
  const bindings = useLive(query.vhost ? `bindings/${encodeURIComponent(query.vhost)}` : "bindings", { columns: "source,vhost" });
  const order = useOrder("in");
  const rows = useMemo(() => {
    const counts = new Map();
    for (const { vhost, source } of bindings.data ?? []) {
      const key = `${vhost} ${source}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return (exchanges.data ?? []).map((exchange) => ({ exchange, bindings: counts.get(keyOf({ exchange })) ?? 0 }));
  }, [exchanges.data, bindings.data]);
  const shown = useMemo(() => {
    const wanted = (query.q ?? "").toLowerCase();
    return rows.filter((row) => (query.only === "all" || isUsed(row)) && exchangeName(row.exchange.name).toLowerCase().includes(wanted));
  }, [rows, query.q, query.only]);
  const heading = html`<${Heading} title="Exchanges"><${DeclareExchange} vhost=${query.vhost} done=${exchanges.reload} /><//>`;
  if (!exchanges.data) return html`${heading}${exchanges.error ? html`<${Fault} error=${exchanges.error} what="The exchanges could not be read." again=${exchanges.reload} />` : html`<${Waiting} />`}`;
  return html`
    ${heading}
    <${Filter} what="exchanges">
      <${Choice} name="only" label="Which exchanges" choices=${[["", "Used", rows.filter(isUsed).length], ["all", "All", rows.length]]} />
      <${VhostChoice} />
      <span class="faint" role="status">${plural(shown.length, "exchange")}</span>
    <//>
    ${exchanges.error && html`<${Fault} error=${exchanges.error} what="These numbers are out of date." />`}
    ${shown.length
      ? html`<${Table} name="Exchanges" rows=${shown} keyOf=${keyOf} columns=${columns} order=${order} about=${`${query.q} ${query.only} ${query.vhost}`} openAt=${addressOf} />`
      : html`<${Empty} title=${query.q ? "No matching exchanges" : "No exchange is used yet"} command="leveret exchanges declare events --type topic">Clients publish to exchanges, which route messages to the queues bound to them. Each virtual host has predeclared exchanges; the default exchange routes to any queue by its name.<//>`}`;
}

function Marks({ exchange }) {
  const marks = [];
  if (!exchange.durable) marks.push("transient");
  if (exchange.internal) marks.push("internal");
  if (exchange.auto_delete) marks.push("auto-delete");
  if (exchange.arguments?.["alternate-exchange"] !== undefined) marks.push("alternate");
  return marks.length ? html`<span class="marks">${marks.map((mark) => html`<${Tag} key=${mark}>${mark}<//>`)}</span>` : null;
}
