/** Overview: problems, message rates and totals. */
import { useMemo } from "preact/hooks";
import { may } from "../api.js";
import { Command, Empty, Fault, Section, Waiting } from "../components/basic.js";
import { Chart } from "../components/chart.js";
import { brief, breakable, count, plural, rate, size, span } from "../format.js";
import { html, classes } from "../html.js";
import { FIELDS, flow, judgeNode, judgeQueue, troubleOf } from "../judge.js";
import { useLive } from "../live.js";
import { href } from "../router.js";
import { useWays } from "../ways.js";
import { history, levels, rates } from "../samples.js";

const MOST = 8;  // problems that are listed before "All of them"
const COLUMNS = FIELDS.join(",");
const NODE = "name,uptime,mem_used,mem_used_details,mem_limit,mem_alarm,disk_free,disk_free_limit,disk_free_alarm";

/** Problems, worst first: [{level, text, name, to}]. */
function attention(queues, ways, ages, node, status, refused) {
  const found = judgeNode(node, status).map((each) => ({ ...each, to: href("node") }));
  const ageOf = new Map(ages.map((age) => [`${age.vhost} ${age.name}`, age]));
  for (const queue of queues) {
    const key = `${queue.vhost} ${queue.name}`;
    const judged = judgeQueue(queue, ageOf.get(key), ways.has(key));
    for (const each of judged.slice(0, 1)) {
      found.push({ ...each, name: queue.name, vhost: queue.vhost, weight: troubleOf(queue, judged), to: href("queues", queue.vhost, queue.name) });
    }
  }
  const lately = refused.filter((each) => each.last_at > Date.now() - 600000);
  if (lately.length) {
    const total = lately.reduce((sum, each) => sum + each.count, 0);
    const last = Math.max(...lately.map((each) => each.last_at));
    const text = `${plural(total, "message")} refused or unroutable, the last one ${span(Math.max(0, Date.now() - last) / 1000)} ago`;
    found.push({ level: "watch", text, to: href("refused"), weight: 0 });
  }
  return found.sort((a, b) => (a.level === b.level ? (b.weight ?? 3e12) - (a.weight ?? 3e12) : a.level === "trouble" ? -1 : 1));
}

/** The overall state in one sentence. */
function verdict(found) {
  const trouble = found.filter(({ level }) => level === "trouble");
  const unconsumed = trouble.filter(({ text }) => text.includes("has no consumers"));
  if (unconsumed.length && unconsumed.length === trouble.length) return `${plural(trouble.length, "queue")} ${trouble.length === 1 ? "grows" : "grow"} without consumers`;
  if (trouble.length === 1) return trouble[0].name ? `${trouble[0].name} ${trouble[0].text}` : trouble[0].text;
  if (trouble.length) return `${trouble.length} problems need attention now`;
  if (found.length) return found.length === 1 ? "No serious problems, one thing to check" : `No serious problems, ${found.length} things to check`;
  return "No problems";
}

export default function Overview() {
  const overview = useLive("overview", window.early.query);
  const queues = useLive("queues", { columns: COLUMNS });
  const ways = useWays();
  const ages = useLive("leveret/ages");
  const nodes = useLive(may("monitoring") ? "nodes" : null, { columns: NODE, ...history() });
  const status = useLive(may("monitoring") ? "leveret/status" : null);
  const refused = useLive("leveret/refused", { limit: 200 });
  const node = nodes.data?.[0];

  const found = useMemo(
    () => attention(queues.data ?? [], ways, ages.data ?? [], node, status.data?.result, refused.data?.refused ?? []),
    [queues.data, ways, ages.data, node, status.data, refused.data],
  );

  if (!overview.data) return overview.error ? html`<${Fault} error=${overview.error} what="The overview could not be read." again=${overview.reload} />` : html`<${Waiting} />`;
  const { message_stats: stats, queue_totals: waiting, object_totals: objects } = overview.data;
  const level = found.some((each) => each.level === "trouble") ? "trouble" : found.length ? "watch" : "calm";
  const isNew = !objects.connections && !objects.queues;

  return html`
    <h1 class=${classes("verdict", level === "trouble" ? "of-trouble" : level)}><i class="dot" aria-hidden="true"></i>${queues.data ? verdict(found) : "Checking…"}</h1>
    ${overview.error && html`<${Fault} error=${overview.error} what="These numbers are out of date." />`}
    <${Attention} found=${found} />
    ${isNew && html`<${Welcome} />`}

    <dl class="figures">
      <${Figure} label="Incoming" value=${rate(flow(overview.data, "publish"))} of="in" note=${`${count(stats.publish ?? 0)} since the start`} />
      <${Figure} label="Outgoing" value=${rate(flow(overview.data, "deliver_get"))} of="out" note=${`${count(stats.ack ?? 0)} acknowledged`} />
      <${Figure} label="Ready" value=${brief(waiting.messages_ready ?? 0)} of="ready" note="in queues" />
      <${Figure} label="Unacknowledged" value=${brief(waiting.messages_unacknowledged ?? 0)} of="unacked" note="held by consumers" />
      ${node && html`
        <${Figure} label="Memory" value=${size(node.mem_used)} note=${`of ${size(node.mem_limit)}`} title="Publishers are blocked above this limit" share=${node.mem_used / node.mem_limit} />
        <${Figure} label="Free disk space" value=${size(node.disk_free)} note=${`limit ${size(node.disk_free_limit)}`} title="Publishers are blocked below this limit" />`}
      ${status.data && html`<${Figure} label="Event loop delay" value=${`${Math.round(status.data.result.loop_longest_ms_recent)} ms`} note="longest in the last minute" />`}
    </dl>

    <div class="charts">
      <${Chart} title="Messages per second" format=${rate} series=${[
        { label: "in", of: "in", points: rates(stats.publish_details) },
        { label: "out", of: "out", points: rates(stats.deliver_get_details) },
        { label: "acked", of: "accent", points: rates(stats.ack_details), isDashed: true },
      ]} />
      <${Chart} title="Queued messages" format=${brief} series=${[
        { label: "ready", of: "ready", points: levels(waiting.messages_ready_details), isFilled: true },
        { label: "unacknowledged", of: "unacked", points: levels(waiting.messages_unacknowledged_details) },
      ]} />
      ${node && html`
        <${Chart} title="Memory" format=${size} series=${[{ label: "used", of: "accent", points: levels(node.mem_used_details) }]} />
        <${Chart} title="Unroutable messages per second" format=${rate} series=${[
          { label: "returned", of: "trouble", points: rates(stats.return_unroutable_details) },
          { label: "dropped", of: "dead", points: rates(stats.drop_unroutable_details), isDashed: true },
        ]} />`}
    </div>

    <${Section} title="Broker">
      <p class="faint">${overview.data.product_name} ${overview.data.product_version} on ${overview.data.node}${node && html`, up for ${span(node.uptime / 1000)}`}.
      ${" "}${plural(objects.connections, "connection")}, ${plural(objects.channels, "channel")}, ${plural(objects.consumers, "consumer")}, ${plural(objects.exchanges, "exchange")}, ${plural(objects.queues, "queue")}.</p>
    <//>`;
}

function Figure({ label, value, of, note, share, title }) {
  return html`<div title=${title}>
    <dt>${label}</dt>
    <dd class=${of && `of-${of}`}>${value}${share !== undefined && html`<div class=${classes("meter", { trouble: share > 0.9 })}><i style=${{ width: `${Math.min(100, share * 100)}%` }}></i></div>`}<small>${note}</small></dd>
  </div>`;
}

function Attention({ found }) {
  if (!found.length) return null;
  return html`<ul class="attention" aria-label="What needs attention">
    ${found.slice(0, MOST).map(
      ({ level, text, name, to }) => html`<li key=${`${to}${name}`} class=${level}>
        <i class="sign" role="img" aria-label=${level === "trouble" ? "Problem" : "Warning"}></i>
        <span>${name ? html`<a class="name mono" href=${to}>${breakable(name)}</a> ${text}` : text}</span>
        <a href=${to}>Show</a>
      </li>`,
    )}
    ${found.length > MOST && html`<li><i></i><span class="faint">and ${plural(found.length - MOST, "more queue")}</span><a href=${href("queues", { only: "trouble" })}>All of them</a></li>`}
  </ul>`;
}

function Welcome() {
  return html`<${Empty} title="No connections yet">
    Any AMQP 0-9-1 client can connect to this broker. The <a href=${href("playground")}>playground</a> shows seven messaging patterns without installing anything. Or run the first example:
    <p><${Command} text="python examples/pika/hello/receive.py" /></p>
  <//>`;
}
