/** The node: health, resources, settings, log levels and features. */
import { useEffect, useState } from "preact/hooks";
import { may, path, post, remove } from "../api.js";
import { Allowed, Facts, Fault, Heading, Section, Tabs, Tag, Waiting } from "../components/basic.js";
import { Chart } from "../components/chart.js";
import { DoneButton, say } from "../components/dialog.js";
import { Filter, Table, useOrder } from "../components/table.js";
import { brief, count, plural, rate, size, span } from "../format.js";
import { html, classes } from "../html.js";
import { judgeNode } from "../judge.js";
import { useLive } from "../live.js";
import { href } from "../router.js";
import { history, levels, rates } from "../samples.js";
import { Checks } from "./node-checks.js";

const AREAS = { "": "Overview", settings: "Settings", log: "Log", features: "Features" };

export default function Node({ query }) {
  const isAllowed = may("monitoring");
  const nodes = useLive(isAllowed ? "nodes" : null, history());
  const status = useLive(isAllowed ? "leveret/status" : null);
  const overview = useLive("overview", history());
  const tab = query.tab in AREAS ? query.tab : "";
  if (!isAllowed) return html`<${Heading} title="Node" /><${Allowed} tag="monitoring" what="to view the node" />`;
  const node = nodes.data?.[0];
  if (!node || !overview.data) {
    return nodes.error ? html`<${Heading} title="Node" /><${Fault} error=${nodes.error} what="The node could not be read." again=${nodes.reload} />` : html`<${Waiting} />`;
  }
  const tabs = Object.entries(AREAS).filter(([id]) => !["log", "settings"].includes(id) || may("administrator"));
  return html`
    <${Heading} kind="Node" title=${node.name} tags=${html`<${Tag}>Leveret ${overview.data.product_version}<//><${Tag}>API of RabbitMQ ${node.rabbitmq_version}<//><${Tag}>${node.erlang_full_version}<//>`}>
      <${Reset} node=${node.name} />
    <//>
    ${nodes.error && html`<${Fault} error=${nodes.error} what="These numbers are out of date." />`}
    <${Tabs} tabs=${tabs} current=${tab} to=${(id) => href("node", { tab: id })} />
    ${tab === "" && html`<${Health} node=${node} status=${status.data?.result} overview=${overview.data} />`}
    ${tab === "settings" && html`<${Allowed} tag="administrator" what="to view the settings"><${Settings} query=${query} /><//>`}
    ${tab === "log" && html`<${Allowed} tag="administrator" what="to change log levels"><${LogLevels} /><//>`}
    ${tab === "features" && html`<${Features} node=${node} />`}`;
}

function Reset({ node }) {
  async function reset() {
    await remove(path("reset", node));
    return "The statistics were reset.";
  }
  return html`<${Allowed} tag="administrator">
    <${DoneButton} label="Reset statistics" title="Reset the statistics" verb="Reset statistics" act=${reset}>
      <p>Deletes the history of charts and rates of all queues, exchanges and connections. Messages, queues and settings do not change.</p>
    <//>
  <//>`;
}

function Health({ node, status, overview }) {
  const judged = judgeNode(node, status);
  const worst = judged[0];
  return html`
    <p class=${classes("verdict", worst ? (worst.level === "trouble" ? "of-trouble" : "watch") : "calm")}><i class="dot" aria-hidden="true"></i>${worst ? worst.text : "The broker is healthy"}</p>
    ${judged.slice(1).map(({ text }) => html`<p key=${text}>${text}</p>`)}
    <dl class="figures">
      <${Used} label="Memory" used=${node.mem_used} most=${node.mem_limit} show=${size} note="before publishers are blocked" />
      <div><dt>Free disk space</dt><dd class=${node.disk_free_alarm ? "of-trouble" : ""}>${size(node.disk_free)}<small>publishers are blocked below ${size(node.disk_free_limit)}</small></dd></div>
      <${Used} label="Open files" used=${node.fd_used} most=${node.fd_total} show=${brief} />
      <${Used} label="Sockets" used=${node.sockets_used} most=${node.sockets_total} show=${brief} />
      <${Used} label="Threads" used=${node.proc_used} most=${node.proc_total} show=${brief} />
      ${status && html`<div><dt>Event loop delay</dt><dd class=${status.loop_longest_ms_recent > 250 ? "of-ready" : ""}>${Math.round(status.loop_longest_ms_recent)} ms<small>longest in the last ${span(status.recent_s)}</small></dd></div>`}
      <div><dt>Uptime</dt><dd>${span(node.uptime / 1000)}<small>process ${node.os_pid}</small></dd></div>
    </dl>
    <div class="charts">
      <${Chart} title="Memory" format=${size} series=${[{ label: "used", of: "accent", points: levels(node.mem_used_details) }]} />
      <${Chart} title="Free disk space" format=${size} series=${[{ label: "free", of: "accent", points: levels(node.disk_free_details) }]} />
      <${Chart} title="Open files and sockets" format=${brief} series=${[
        { label: "files", of: "accent", points: levels(node.fd_used_details) },
        { label: "sockets", of: "in", points: levels(node.sockets_used_details), isDashed: true },
      ]} />
      <${Churn} title="Connections" of=${overview.churn_rates} made="connection_created" gone="connection_closed" words=${["opened", "closed"]} />
      <${Churn} title="Channels" of=${overview.churn_rates} made="channel_created" gone="channel_closed" words=${["opened", "closed"]} />
      <${Churn} title="Queues" of=${overview.churn_rates} made="queue_created" gone="queue_deleted" words=${["created", "deleted"]} also="queue_declared" />
    </div>
    <${Memory} node=${node.name} status=${status} />
    <${Checks} node=${node} listeners=${overview.listeners} />
    <${Listeners} listeners=${overview.listeners} />
    <${Attempts} node=${node.name} />
    <${Details} node=${node} status=${status} overview=${overview} />`;
}

function Used({ label, used, most, show, note }) {
  const share = most ? used / most : 0;
  return html`<div>
    <dt>${label}</dt>
    <dd class=${share > 0.9 ? "of-trouble" : ""}>${show(used)}<div class=${classes("meter", { trouble: share > 0.9 })}><i style=${{ width: `${Math.min(100, share * 100)}%` }}></i></div><small>of ${show(most)} ${note ?? ""}</small></dd>
  </div>`;
}

/** Objects created and closed per second: high churn is expensive. */
function Churn({ title, of, made, gone, words, also }) {
  const series = [
    { label: words[0], of: "in", points: rates(of[`${made}_details`]) },
    { label: words[1], of: "out", points: rates(of[`${gone}_details`]), isDashed: true },
  ];
  if (also) series.push({ label: "declared", of: "accent", points: rates(of[`${also}_details`]) });
  return html`<${Chart} title=${`${title} per second`} format=${rate} series=${series} />`;
}

function Memory({ node, status }) {
  const { data } = useLive(path("nodes", node, "memory"));
  const memory = data?.memory;
  if (!memory) return null;
  const parts = [
    ["messages", memory.binary, "ready"],
    ["everything else", memory.other_system, "accent"],
  ];
  const total = memory.total.rss || 1;
  return html`<${Section} title="Memory use" note=${`${size(total)} in total (resident)`}>
    <div class="parts" role="img" aria-label=${parts.map(([name, value]) => `${name}: ${size(value)}`).join(", ")}>
      ${parts.map(([name, value, of]) => html`<i key=${name} style=${{ flexGrow: value, background: `var(--${of})` }}></i>`)}
    </div>
    <${Facts} rows=${[
      ...parts.map(([name, value]) => [name[0].toUpperCase() + name.slice(1), `${size(value)}, ${Math.round((value / total) * 100)} %`]),
      status && ["Bytes in queues", size(status.waiting_bytes)],
    ]} />
  <//>`;
}

const LISTENERS = { amqp: "AMQP 0-9-1", "amqp/ssl": "AMQP 0-9-1", http: "web UI and HTTP API", https: "web UI and HTTP API", "http/prometheus": "Prometheus metrics" };

function Listeners({ listeners }) {
  const order = useOrder("port", false, "listeners");
  const columns = [
    { id: "port", label: "Port", isNumber: true, value: (each) => each.port, cell: (each) => html`<span class="mono">${each.port}</span>` },
    { id: "protocol", label: "Protocol", isWide: true, value: (each) => each.protocol, cell: (each) => html`${LISTENERS[each.protocol] ?? each.protocol}` },
    { id: "address", label: "Address", value: (each) => each.ip_address, cell: (each) => html`<span class="mono">${each.ip_address}</span>${["127.0.0.1", "::1"].includes(each.ip_address) ? html` <span class="faint">this machine only</span>` : ""}` },
    { id: "tls", label: "Encrypted", value: (each) => (each.tls ? "TLS" : "no"), cell: (each) => (each.tls ? "TLS" : html`<span class="faint">no</span>`) },
  ];
  return html`<${Section} title="Listeners"><${Table} name="Listeners" rows=${listeners} keyOf=${(each) => `${each.ip_address} ${each.port}`} columns=${columns} order=${order} /><//>`;
}

const PROTOCOLS = { amqp091: "AMQP 0-9-1", http: "HTTP" };

function Attempts({ node }) {
  const where = `auth/attempts/${path(node)}`;
  const attempts = useLive(where);
  async function forget() {
    try {
      await remove(where);
      attempts.reload();
      say("The counters of login attempts were reset.");
    } catch (error) {
      say(error.message, "trouble");
    }
  }
  if (!attempts.data) return null;
  return html`<${Section} title="Login attempts" note="since the start or the last reset" actions=${may("administrator") && html`<button type="button" class="quiet" onClick=${forget}>Reset</button>`}>
    <dl class="figures">
      ${attempts.data.map((each) => html`<div key=${each.protocol}><dt>${PROTOCOLS[each.protocol] ?? each.protocol}</dt><dd>${brief(each.auth_attempts)}<small class=${each.auth_attempts_failed ? "of-trouble" : ""}>${each.auth_attempts_failed ? `${count(each.auth_attempts_failed)} failed` : "none failed"}</small></dd></div>`)}
    </dl>
  <//>`;
}

function Details({ node, status, overview }) {
  return html`<${Section} title="Facts">
    <${Facts} rows=${[
      ["Version", `Leveret ${overview.product_version}`],
      ["Python", node.erlang_full_version],
      ["TLS library", node.crypto_lib_version],
      ["Cluster name", overview.cluster_name],
      ["Data directory", html`<span class="mono">${node.db_dir}</span>`],
      ["Log", node.log_files.join(", ")],
      ["Processors", count(node.processors)],
      ["SASL mechanisms", node.auth_mechanisms.map(({ name }) => name).join(", ")],
      ["Plugins reported to clients", node.enabled_plugins.join(", ")],
      ["Rates", node.rates_mode],
      ["Context switches", count(node.context_switches)],
      status && ["Event loop stalls since the start", `${count(status.loop_stalls)}, the longest ${Math.round(status.loop_longest_ms)} ms`],
      status && ["Held messages", count(status.held)],
      status && ["Messages waiting for a retry", count(status.retries)],
      status && ["Blocked publishers", count(status.publishers_held)],
      status && ["Faulty queues", status.faulty_queues.length ? status.faulty_queues.map((each) => (typeof each === "string" ? each : each.name)).join(", ") : "none"],
    ]} />
  <//>`;
}

function Settings({ query }) {
  const found = useLive("config/effective", null, { isStill: true });
  const order = useOrder("name", false);
  if (!found.data) return found.error ? html`<${Fault} error=${found.error} what="The settings could not be read." again=${found.reload} />` : html`<${Waiting} />`;
  const wanted = (query.q ?? "").toLowerCase();
  const settings = typeof found.data === "string" ? JSON.parse(found.data) : found.data;  // the API sends it as text
  const rows = Object.entries(settings).map(([name, value]) => ({ name, value })).filter(({ name }) => name.includes(wanted.replaceAll("-", "_")));
  const columns = [
    { id: "name", label: "Setting", value: (each) => each.name, cell: (each) => html`<code>${each.name}</code>` },
    { id: "value", label: "Value", isWide: true, value: (each) => JSON.stringify(each.value), cell: (each) => html`<${Value} value=${each.value} name=${each.name} />` },
    { id: "option", label: "Command-line option", value: (each) => each.name, cell: (each) => html`<code class="faint">--${each.name.replaceAll("_", "-")}</code>`, narrow: "hide" },
  ];
  return html`
    <p class="faint">The settings with which the broker was started. Changes need a restart, except for <a href=${href("node", { tab: "log" })}>log levels</a>.</p>
    <${Filter} what="settings" />
    <${Table} name="Settings" rows=${rows} keyOf=${(each) => each.name} columns=${columns} order=${order} about=${wanted} />`;
}

function Value({ value, name }) {
  if (value === "" || value === null || (Array.isArray(value) && !value.length)) return html`<span class="faint">not set</span>`;
  if (typeof value === "boolean") return value ? "yes" : html`<span class="faint">no</span>`;
  if (Array.isArray(value)) return html`<code>${value.join(", ")}</code>`;
  const more = typeof value === "number" && /(size|limit|budget)$/.test(name) && value >= 1024 ? size(value) : name.endsWith("_ms") && value >= 1000 ? span(value / 1000) : "";
  return html`<code>${String(value)}</code>${more && html` <span class="faint">${more}</span>`}`;
}

const LEVELS = ["debug", "info", "warning", "error"];

function LogLevels() {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const order = useOrder("area", false);
  async function load() {
    try {
      setFound((await post("leveret/verbs/show_log_levels", {})).result);
    } catch (problem) {
      setError(problem);
    }
  }
  useEffect(() => {
    load();
  }, []);
  async function change(area, level) {
    try {
      await post("leveret/verbs/set_log_level", { area, level });
      say(level === "default" ? `The area ${area} now has the default level.` : `The log level of ${area === "all" ? "all areas" : `the area ${area}`} is now ${level}.`);
    } catch (problem) {
      say(problem.message, "trouble");
    }
    load();
  }
  if (error) return html`<${Fault} error=${error} what="The log levels could not be read." again=${load} />`;
  if (!found) return html`<${Waiting} />`;
  const columns = [
    { id: "area", label: "Area", value: (each) => (each.area === "all" ? "" : each.area), cell: (each) => html`<code>${each.area}</code>` },
    { id: "about", label: "Description", isWide: true, value: (each) => each.about, cell: (each) => html`<span title=${each.about}>${each.about}</span>`, narrow: "hide" },
    {
      id: "level",
      label: "Level",
      value: (each) => LEVELS.indexOf(each.level),
      cell: (each) => html`<select class="short" aria-label=${`Level of ${each.area}`} value=${each.own ? each.level : "default"} onChange=${(event) => change(each.area, event.target.value)}>
        ${each.area !== "all" && html`<option value="default" selected=${!each.own}>as all (${each.own ? "…" : each.level})</option>`}
        ${LEVELS.map((level) => html`<option key=${level} value=${level} selected=${each.own && each.level === level}>${level}</option>`)}
      </select>`,
    },
  ];
  return html`
    <p class="faint">A change takes effect at once and lasts until the broker stops. <code>debug</code> logs the most.</p>
    <${Table} name="Log levels" rows=${found} keyOf=${(each) => each.area} columns=${columns} order=${order} />`;
}

function Features({ node }) {
  const flags = useLive("feature-flags", null, { isStill: true });
  const deprecated = useLive(may("monitoring") ? "deprecated-features" : null, null, { isStill: true });
  const byName = useOrder("name", false, "flags");
  const byType = useOrder("name", false, "types");
  const columns = [
    { id: "name", label: "Feature", value: (each) => each.name, cell: (each) => html`<code>${each.name}</code>` },
    { id: "state", label: "State", value: (each) => each.state, cell: (each) => html`<${Tag} of=${each.state === "enabled" ? "out" : undefined}>${each.state}<//>` },
    { id: "about", label: "Description", isWide: true, value: (each) => each.desc, cell: (each) => html`<span title=${each.desc}>${each.desc}</span>`, narrow: "hide" },
  ];
  const types = [
    { id: "name", label: "Type", value: (each) => each.name, cell: (each) => html`<code>${each.name}</code>` },
    { id: "about", label: "Description", isWide: true, value: (each) => each.description, cell: (each) => html`<span title=${each.description}>${each.description}</span>` },
  ];
  const plain = [
    { id: "name", label: "Feature", value: (each) => each.name, cell: (each) => html`<code>${each.name}</code>` },
    { id: "state", label: "State", isWide: true, value: (each) => each.state, cell: (each) => each.state.replaceAll("_", " ") },
  ];
  return html`
    <${Section} title="Exchange types" note=${plural(node.exchange_types.length, "type")}><${Table} name="Exchange types" rows=${node.exchange_types} keyOf=${(each) => each.name} columns=${types} order=${byType} /><//>
    <${Section} title="Feature flags" note="all are enabled; RabbitMQ clients and tools check them"><${Table} name="Feature flags" rows=${flags.data ?? []} keyOf=${(each) => each.name} columns=${columns} order=${byName} /><//>
    ${deprecated.data?.length > 0 && html`<${Section} title="Features deprecated by RabbitMQ" note="permitted ones work here"><${Table} name="Deprecated features" rows=${deprecated.data} keyOf=${(each) => each.name} columns=${plain} order=${byName} /><//>`}`;
}
