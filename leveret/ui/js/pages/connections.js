/** Connections: client, activity and problems. Sorted by problems, then by publish rate. */
import { useMemo } from "preact/hooks";
import { Ago, Count, Empty, Fault, Heading, Name, Rate, Tag, Waiting } from "../components/basic.js";
import { Choice, Filter, Table, useOrder } from "../components/table.js";
import { VhostChoice, useVhosts } from "../components/vhosts.js";
import { CHANNEL_COLUMNS, CONNECTION_COLUMNS, NOTHING, byConnection, clientName, does, judgeConnection, library, machine } from "../clients.js";
import { plural, size } from "../format.js";
import { html, classes } from "../html.js";
import { useLive } from "../live.js";
import { href } from "../router.js";
import { Connection } from "./connection.js";

export default function Connections({ names, query }) {
  return names.length ? html`<${Connection} name=${names[0]} />` : html`<${List} query=${query} />`;
}

const keyOf = ({ connection }) => connection.name;
const bytes = (value) => (value >= 1 ? html`<span class="number">${size(value)}/s</span>` : html`<span class="faint">0</span>`);

const columnsOf = (hasVhosts) => [
  { id: "name", label: "Client", isWide: true, value: ({ called }) => called, cell: ({ connection, called }) => html`<${Name} name=${called} to=${href("connections", connection.name)} title=${connection.name} />` },
  { id: "state", label: "State", title: "Sorted by problems, then by publish rate", value: ({ weight }) => weight, cell: ({ judged, sum }) => html`<${Judged} judged=${judged} sum=${sum} />` },
  { id: "publish", label: "Publishes", isNumber: true, title: "Published messages per second", value: ({ sum }) => sum.publish, cell: ({ sum, share }) => html`<span class="share"><i style=${{ width: `${share * 48}px` }}></i></span><${Rate} value=${sum.publish} of="in" />` },
  { id: "deliver", label: "Gets", isNumber: true, title: "Delivered messages per second", value: ({ sum }) => sum.deliver, cell: ({ sum }) => html`<${Rate} value=${sum.deliver} of="out" />` },
  { id: "unacked", label: "Unacked", isNumber: true, title: "Unacknowledged messages", value: ({ sum }) => sum.unacked, cell: ({ sum }) => html`<${Count} value=${sum.unacked} of="unacked" />`, narrow: "hide" },
  { id: "recv", label: "From client", isNumber: true, title: "Bytes per second from the client", value: ({ connection }) => connection.recv_oct_details?.rate ?? 0, cell: ({ connection }) => bytes(connection.recv_oct_details?.rate), narrow: "hide-1200" },
  { id: "send", label: "To client", isNumber: true, title: "Bytes per second to the client", value: ({ connection }) => connection.send_oct_details?.rate ?? 0, cell: ({ connection }) => bytes(connection.send_oct_details?.rate), narrow: "hide-1200" },
  { id: "user", label: "User", value: ({ connection }) => connection.user, cell: ({ connection }) => html`<span class="cut">${connection.user}</span>`, narrow: "hide" },
  { id: "host", label: "Host", value: ({ connection }) => machine(connection), cell: ({ connection }) => html`<span class="mono" title=${connection.name}>${machine(connection)}</span>${connection.ssl && html` <${Tag}>TLS<//>`}`, narrow: "hide-1200" },
  hasVhosts && { id: "vhost", label: "Virtual host", value: ({ connection }) => connection.vhost, cell: ({ connection }) => html`<span class="mono faint cut">${connection.vhost}</span>`, narrow: "hide-1200" },
  { id: "library", label: "Library", value: ({ connection }) => library(connection), cell: ({ connection }) => html`<span class="cut">${library(connection) || "–"}</span>`, narrow: "hide-1200" },
  { id: "since", label: "Connected", isNumber: true, value: ({ connection }) => connection.connected_at, cell: ({ connection }) => html`<${Ago} at=${connection.connected_at} />`, narrow: "hide" },
].filter(Boolean);

function weigh(judged, sum) {
  const level = judged.reduce((most, each) => Math.max(most, { trouble: 2, watch: 1 }[each.level] ?? 0), 0);
  return level * 1e12 + sum.publish * 1000 + sum.deliver;
}

function rowsOf(connections, channels) {
  const sums = byConnection(channels);
  const all = [...sums.values()].reduce((total, { publish }) => total + publish, 0);
  const most = Math.max(1, ...[...sums.values()].map(({ publish }) => publish));
  return connections.map((connection) => {
    const sum = sums.get(connection.name) ?? NOTHING;
    const judged = judgeConnection(connection, sum, all);
    return { connection, sum, judged, called: clientName(connection), weight: weigh(judged, sum), share: sum.publish / most };
  });
}

const isJudged = ({ judged }) => judged.some(({ level }) => level !== "calm");

function matches({ connection, called }, words) {
  const hay = `${called} ${connection.name} ${connection.user} ${library(connection)}`.toLowerCase();
  return words.every((word) => hay.includes(word));
}

const KINDS = {
  publishing: ({ sum }) => sum.publish >= 0.05,
  consuming: ({ sum }) => sum.consumers > 0,
  trouble: isJudged,
};

function List({ query }) {
  const where = query.vhost ? `vhosts/${encodeURIComponent(query.vhost)}/` : "";
  const connections = useLive(`${where}connections`, { columns: CONNECTION_COLUMNS });
  const channels = useLive(`${where}channels`, { columns: CHANNEL_COLUMNS });
  const order = useOrder("state");
  const hasVhosts = useVhosts().length > 1;
  const columns = useMemo(() => columnsOf(hasVhosts), [hasVhosts]);
  const rows = useMemo(() => rowsOf(connections.data ?? [], channels.data ?? []), [connections.data, channels.data]);
  const shown = useMemo(() => {
    const words = (query.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter((row) => (!query.user || row.connection.user === query.user) && (!KINDS[query.only] || KINDS[query.only](row)) && matches(row, words));
  }, [rows, query.q, query.only, query.user]);

  const heading = html`<${Heading} title="Connections"><a class="button" href=${href("channels")}>All channels</a><//>`;
  if (!connections.data) return html`${heading}${connections.error ? html`<${Fault} error=${connections.error} what="The connections could not be read." again=${connections.reload} />` : html`<${Waiting} />`}`;
  const number = (kind) => rows.filter(KINDS[kind]).length;
  return html`
    ${heading}
    <${Filter} what="connections">
      <${Choice} name="only" label="Which connections" choices=${[["", "All", rows.length], ["publishing", "Publish", number("publishing")], ["consuming", "Consume", number("consuming")], ["trouble", "Needs attention", number("trouble")]]} />
      <${VhostChoice} />
      ${query.user && html`<a class="button" href=${href("connections", { ...query, user: "" })} title="Show the connections of all users">User ${query.user} ✕</a>`}
      <span class="faint" role="status">${plural(shown.length, "connection")}</span>
    <//>
    ${connections.error && html`<${Fault} error=${connections.error} what="These numbers are out of date." />`}
    ${!rows.length
      ? html`<${Empty} title="No connections" command="python examples/pika/hello/receive.py">Each connected client has a connection. Any AMQP 0-9-1 library can connect.<//>`
      : !shown.length
        ? html`<${Empty} title="No matching connections">${query.only === "trouble" ? "No connection is blocked or slow." : "Change the filter to see other connections."}<//>`
        : html`<${Table} name="Connections" rows=${shown} keyOf=${keyOf} columns=${columns} order=${order} about=${`${query.q} ${query.only} ${query.vhost} ${query.user}`} openAt=${({ connection }) => href("connections", connection.name)} />`}`;
}

function Judged({ judged, sum }) {
  const worst = judged[0];
  if (!worst) return html`<span class="judged calm">${does(sum)}</span>`;
  return html`<span class=${classes("judged", worst.level, { busiest: worst.isBusiest })} title=${judged.map(({ text }) => text).join("; ")}>${(worst.level !== "calm" || worst.isBusiest) && html`<i class="sign"></i>`}<span class="cut">${worst.text}</span></span>`;
}
