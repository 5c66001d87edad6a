/** One virtual host: its message rates, users, limits and actions. */
import { useState } from "preact/hooks";
import { may, path, post, remove } from "../api.js";
import { Allowed, Empty, Facts, Fault, Heading, Section, Tag, Waiting } from "../components/basic.js";
import { Chart } from "../components/chart.js";
import { DoneButton, say } from "../components/dialog.js";
import { breakable, brief, plural, rate, size } from "../format.js";
import { html } from "../html.js";
import { flow } from "../judge.js";
import { useLive } from "../live.js";
import { go, href } from "../router.js";
import { history, levels, rates } from "../samples.js";
import { TypedName } from "../typed.js";
import { LimitsOf, VHOST_LIMITS } from "./limits.js";
import { ClearPermissions, Sentence, SetPermissions } from "./permissions.js";
import { About, aboutOf } from "./vhosts.js";

export function Vhost({ name }) {
  const isAdmin = may("administrator");
  const vhost = useLive(path("vhosts", name), history());
  const limits = useLive(path("vhost-limits", name));
  const connections = useLive(path("vhosts", name, "connections"), { columns: "name" });
  const queues = useLive(path("queues", name), { columns: "name" });
  const kind = html`<a href=${href("admin", "vhosts")}>Virtual hosts</a>`;
  if (!vhost.data) {
    return vhost.error
      ? html`<${Heading} kind=${kind} title=${name} /><${Fault} error=${vhost.error} what=${vhost.error.status === 404 ? "This virtual host does not exist." : "The virtual host could not be read."} again=${vhost.reload} />`
      : html`<${Waiting} />`;
  }
  const data = vhost.data;
  const stats = data.message_stats;
  return html`
    <${Heading} kind=${kind} title=${name} tags=${html`
      <${Tag} title="Type of queues that are declared without a type">${data.default_queue_type} queues<//>
      ${data.tags.map((tag) => html`<${Tag} key=${tag}>${tag}<//>`)}
      ${data.protected_from_deletion && html`<${Tag}>protected<//>`}${data.tracing && html`<${Tag} of="ready">traced<//>`}`}>
      ${isAdmin && html`<${Actions} vhost=${data} queues=${queues.data?.length ?? 0} connections=${connections.data?.length ?? 0} reload=${vhost.reload} />`}
    <//>
    ${vhost.error && html`<${Fault} error=${vhost.error} what=${vhost.error.status === 404 ? "This virtual host no longer exists." : "These numbers are out of date."} />`}
    ${data.description && html`<p>${data.description}</p>`}
    <dl class="figures">
      <div><dt>Ready</dt><dd class="of-ready">${brief(data.messages_ready)}<small>in <a href=${href("queues", { vhost: name })}>${plural(queues.data?.length ?? 0, "queue")}</a></small></dd></div>
      <div><dt>Unacknowledged</dt><dd class="of-unacked">${brief(data.messages_unacknowledged)}<small>held by consumers</small></dd></div>
      <div><dt>Incoming</dt><dd class="of-in">${rate(flow(data, "publish"))}<small>${size(data.recv_oct_details.rate)}/s</small></dd></div>
      <div><dt>Outgoing</dt><dd class="of-out">${rate(flow(data, "deliver_get"))}<small>${size(data.send_oct_details.rate)}/s</small></dd></div>
      <div><dt>Connections</dt><dd>${brief(connections.data?.length)}<small><a href=${href("connections", { vhost: name })}>show them</a></small></dd></div>
    </dl>
    <div class="charts">
      <${Chart} title="Queued messages" format=${brief} series=${[
        { label: "ready", of: "ready", points: levels(data.messages_ready_details), isFilled: true },
        { label: "unacknowledged", of: "unacked", points: levels(data.messages_unacknowledged_details) },
      ]} />
      <${Chart} title="Messages per second" format=${rate} series=${[
        { label: "in", of: "in", points: rates(stats.publish_details) },
        { label: "out", of: "out", points: rates(stats.deliver_get_details) },
        { label: "acknowledged", of: "accent", points: rates(stats.ack_details), isDashed: true },
      ]} />
    </div>
    <${Allowed} tag="administrator"><${Who} vhost=${name} /><//>
    <${LimitsOf} what="vhost" name=${name} limits=${limits.data?.[0]?.value ?? {}} known=${VHOST_LIMITS} done=${limits.reload} />
    <${Section} title="See also">
      <${Facts} rows=${[
        ["Policies", html`<a href=${href("admin", "policies", { vhost: name })}>policies of this virtual host</a>`],
        ["Topology", html`<a href=${href("topology", { vhost: name })}>topology of this virtual host</a>`],
        ["Exchanges", html`<a href=${href("exchanges", { vhost: name })}>exchanges of this virtual host</a>`],
      ]} />
    <//>`;
}

function Who({ vhost }) {
  const found = useLive(path("vhosts", vhost, "permissions"));
  const users = useLive("users", { columns: "name" }, { isStill: true });
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  const rows = found.data ?? [];
  return html`<${Section} title="Users with access" actions=${html`<button type="button" onClick=${() => setOpen({ add: true })}>Add a user</button>`}>
    ${rows.length
      ? html`<ul class="sentences" aria-label="Users of the virtual host">${rows.map(
          (each) => html`<li key=${each.user}>
            <span title=${`configure ${each.configure}, write ${each.write}, read ${each.read}`}><a class="mono" href=${href("admin", "users", each.user)}>${breakable(each.user)}</a> <${Sentence} ...${each} />.</span>
            <span><button type="button" class="quiet" aria-label=${`Change ${each.user}`} onClick=${() => setOpen({ change: each })}>Change</button><button type="button" class="quiet" aria-label=${`Remove ${each.user}`} onClick=${() => setOpen({ clear: each })}>Remove</button></span>
          </li>`,
        )}</ul>`
      : html`<${Empty} title="No user has access">Grant permissions to a user so that its clients can use this virtual host.<//>`}
    ${open?.add && html`<${SetPermissions} vhost=${vhost} users=${(users.data ?? []).map(({ name }) => name)} close=${close} done=${found.reload} />`}
    ${open?.change && html`<${SetPermissions} user=${open.change.user} vhost=${vhost} found=${open.change} close=${close} done=${found.reload} />`}
    ${open?.clear && html`<${ClearPermissions} user=${open.clear.user} vhost=${vhost} close=${close} done=${found.reload} />`}
  <//>`;
}

function Actions({ vhost, queues, connections, reload }) {
  const { name } = vhost;
  const verb = (which, more) => post(`leveret/verbs/${which}`, { name, ...more });

  async function change(data) {
    await verb("set_vhost", aboutOf(data));
    reload();
    return `${name} was changed.`;
  }
  async function protect() {
    const on = !vhost.protected_from_deletion;
    try {
      await verb("protect_vhost", { on });
      say(on ? `${name} is protected from deletion.` : `${name} is no longer protected from deletion.`);
      reload();
    } catch (error) {
      say(error.message, "trouble");
    }
  }
  async function trace() {
    await verb("trace_vhost", { on: !vhost.tracing });
    reload();
    return vhost.tracing ? "Tracing has stopped." : "Every message is now copied to amq.rabbitmq.trace.";
  }
  async function destroy() {
    await remove(path("vhosts", name));
    go("admin", "vhosts");
    return `The virtual host ${name} was deleted.`;
  }
  return html`
    <${DoneButton} label="Change" title=${`Change ${name}`} act=${change}><${About} vhost=${vhost} /><//>
    <button type="button" onClick=${protect}>${vhost.protected_from_deletion ? "Remove protection" : "Protect"}</button>
    <${DoneButton} label=${vhost.tracing ? "Stop tracing" : "Trace"} title=${vhost.tracing ? "Stop tracing" : "Trace all messages"} verb=${vhost.tracing ? "Stop tracing" : "Start tracing"} act=${trace}>
      ${vhost.tracing
        ? html`<p>Messages will no longer be copied to <code>amq.rabbitmq.trace</code>.</p>`
        : html`<p>Every message that is published or delivered in <code>${name}</code> is copied to the exchange <code>amq.rabbitmq.trace</code>, until you stop tracing or the broker restarts. This slows the broker down. To follow individual messages, use <a href=${href("trace", { vhost: name })}>the Trace page</a> instead.</p>`}
    <//>
    ${vhost.protected_from_deletion
      ? html`<button type="button" class="danger" disabled title="Remove the protection first">Delete</button>`
      : html`<${DoneButton} label="Delete" title="Delete the virtual host" verb="Delete everything in it" isDanger act=${destroy}>
          <p>The virtual host <code>${name}</code> will be deleted with everything in it: <b>${plural(queues, "queue")}</b> with <b>${plural(vhost.messages, "message")}</b>, exchanges, policies and permissions. <b>${plural(connections, "connection")}</b> will be closed. This cannot be undone.</p>
          <${TypedName} what="virtual host" name=${name} />
        <//>`}`;
}
