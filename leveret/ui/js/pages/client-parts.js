/** Shared parts of the pages of connections, channels and exchanges. */
import { Ago, Name } from "../components/basic.js";
import { Table, useOrder } from "../components/table.js";
import { count, exchangeName } from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";

/** A reason that is valid in a header. Raises: Error with the explanation. */
export function reasonText(text) {
  const reason = (text ?? "").trim();
  if (/[^\x20-\xff]/.test(reason)) throw new Error("the reason may contain only characters of Western European languages");
  return reason;
}

/** A table of refused and unroutable publishes. */
export function RefusedTable({ refused }) {
  const order = useOrder("last", true, "refused");
  const columns = [
    { id: "last", label: "When", value: (each) => each.last_at, cell: (each) => html`<${Ago} at=${each.last_at} />` },
    { id: "exchange", label: "Exchange", value: (each) => each.exchange, cell: (each) => html`<${Name} name=${exchangeName(each.exchange)} to=${href("exchanges", each.vhost, each.exchange || "amq.default")} />` },
    { id: "key", label: "Routing key", value: (each) => each.routing_key, cell: (each) => html`<code class="cut">${each.routing_key}</code>` },
    { id: "reason", label: "Reason", isWide: true, value: (each) => each.reason, cell: (each) => html`<span title=${each.reason}>${each.reason || each.kind.replaceAll("_", " ")}</span>` },
    { id: "count", label: "Messages", isNumber: true, value: (each) => each.count, cell: (each) => count(each.count) },
    { id: "explain", label: "", isNumber: true, cell: (each) => html`<a href=${href("explain", { vhost: each.vhost, exchange: each.exchange, routing_key: each.routing_key })}>Explain</a>` },
  ];
  return html`<${Table} name="Refused messages" rows=${refused} keyOf=${(each) => `${each.exchange} ${each.routing_key} ${each.kind} ${each.first_at} ${each.queue} ${each.connection}`} columns=${columns} order=${order} />`;
}
