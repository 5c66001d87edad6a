/** Virtual hosts with their message rates and users. */
import { useMemo, useState } from "preact/hooks";
import { may, path, put } from "../api.js";
import { Count, Fault, Name, Rate, Tag, Waiting } from "../components/basic.js";
import { ActDialog, Field } from "../components/dialog.js";
import { Filter, Table, useOrder } from "../components/table.js";
import { plural, size } from "../format.js";
import { html } from "../html.js";
import { flow } from "../judge.js";
import { useLive } from "../live.js";
import { go, href } from "../router.js";

const bytes = (value) => (value >= 1 ? `${size(value)}/s` : html`<span class="faint">0</span>`);

const columns = [
  { id: "name", label: "Virtual host", isWide: true, value: ({ vhost }) => vhost.name, cell: ({ vhost }) => html`<${Name} name=${vhost.name} to=${href("admin", "vhosts", vhost.name)} title=${vhost.description || vhost.name} /><${Marks} vhost=${vhost} />` },
  { id: "about", label: "Description", value: ({ vhost }) => vhost.description, cell: ({ vhost }) => html`<span class="faint cut" title=${vhost.description}>${vhost.description}</span>`, narrow: "hide-1200" },
  { id: "users", label: "Users", value: ({ users }) => users.length, cell: ({ users }) => html`<span class="cut" title=${users.join(", ")}>${users.join(", ") || html`<span class="faint">none</span>`}</span>`, narrow: "hide" },
  { id: "ready", label: "Ready", isNumber: true, value: ({ vhost }) => vhost.messages_ready, cell: ({ vhost }) => html`<${Count} value=${vhost.messages_ready} of="ready" />` },
  { id: "unacked", label: "Unacked", isNumber: true, value: ({ vhost }) => vhost.messages_unacknowledged, cell: ({ vhost }) => html`<${Count} value=${vhost.messages_unacknowledged} of="unacked" />`, narrow: "hide" },
  { id: "in", label: "In", isNumber: true, value: ({ vhost }) => flow(vhost, "publish"), cell: ({ vhost }) => html`<${Rate} value=${flow(vhost, "publish")} of="in" />` },
  { id: "out", label: "Out", isNumber: true, value: ({ vhost }) => flow(vhost, "deliver_get"), cell: ({ vhost }) => html`<${Rate} value=${flow(vhost, "deliver_get")} of="out" />` },
  { id: "recv", label: "From clients", isNumber: true, value: ({ vhost }) => vhost.recv_oct_details.rate, cell: ({ vhost }) => bytes(vhost.recv_oct_details.rate), narrow: "hide" },
  { id: "send", label: "To clients", isNumber: true, value: ({ vhost }) => vhost.send_oct_details.rate, cell: ({ vhost }) => bytes(vhost.send_oct_details.rate), narrow: "hide" },
];

function Marks({ vhost }) {
  const stopped = Object.values(vhost.cluster_state).some((state) => state !== "running");
  return html`<span class="marks">
    ${vhost.default_queue_type !== "classic" && html`<${Tag} title="Type of queues that are declared without a type">${vhost.default_queue_type}<//>`}
    ${vhost.protected_from_deletion && html`<${Tag}>protected<//>`}
    ${vhost.tracing && html`<${Tag} of="ready" title="Every message is copied to amq.rabbitmq.trace">traced<//>`}
    ${stopped && html`<${Tag} of="trouble">not running<//>`}
  </span>`;
}

export function Vhosts({ query }) {
  const vhosts = useLive("vhosts");
  const permissions = useLive(may("administrator") ? "permissions" : null);
  const order = useOrder("name", false);
  const [isOpen, setOpen] = useState(false);
  const rows = useMemo(() => {
    const users = new Map();
    for (const { vhost, user } of permissions.data ?? []) users.set(vhost, [...(users.get(vhost) ?? []), user]);
    return (vhosts.data ?? []).map((vhost) => ({ vhost, users: users.get(vhost.name) ?? [] }));
  }, [vhosts.data, permissions.data]);
  const shownColumns = may("administrator") ? columns : columns.filter(({ id }) => id !== "users");
  const shown = rows.filter(({ vhost }) => `${vhost.name} ${vhost.description} ${vhost.tags.join(" ")}`.toLowerCase().includes((query.q ?? "").toLowerCase()));
  if (!vhosts.data) return vhosts.error ? html`<${Fault} error=${vhosts.error} what="The virtual hosts could not be read." again=${vhosts.reload} />` : html`<${Waiting} />`;
  return html`
    <${Filter} what="virtual hosts"><span class="faint" role="status">${plural(shown.length, "virtual host")}</span><span class="grow"></span>${may("administrator") && html`<button type="button" class="primary" onClick=${() => setOpen(true)}>Add a virtual host</button>`}<//>
    <${Table} name="Virtual hosts" rows=${shown} keyOf=${({ vhost }) => vhost.name} columns=${shownColumns} order=${order} about=${query.q} openAt=${({ vhost }) => href("admin", "vhosts", vhost.name)} />
    ${isOpen && html`<${Make} known=${rows.map(({ vhost }) => vhost.name)} close=${() => setOpen(false)} done=${vhosts.reload} />`}`;
}

/** Fields for the metadata of a virtual host. */
export function About({ vhost }) {
  return html`
    <${Field} label="Description"><input name="description" defaultValue=${vhost?.description ?? ""} /><//>
    <${Field} label="Tags" hint="Separated by commas. For information only."><input name="tags" defaultValue=${vhost?.tags.join(", ") ?? ""} /><//>
    <${Field} label="Default queue type" hint="Type of queues that are declared without a type. Existing queues do not change.">
      <select name="default_queue_type">${["classic", "quorum"].map((type) => html`<option key=${type} selected=${type === (vhost?.default_queue_type ?? "classic")}>${type}</option>`)}</select>
    <//>`;
}

export function aboutOf(data) {
  const tags = data.get("tags").split(",").map((tag) => tag.trim()).filter(Boolean);
  return { description: data.get("description"), tags, default_queue_type: data.get("default_queue_type") };
}

function Make({ known, close, done }) {
  async function act(data) {
    const name = data.get("name");
    if (known.includes(name)) throw new Error(`the virtual host ${name} already exists`);
    await put(path("vhosts", name), aboutOf(data));
    done();
    go("admin", "vhosts", name);
    return `The virtual host ${name} was added. You have all permissions in it.`;
  }
  return html`<${ActDialog} title="Add a virtual host" verb="Add" act=${act} close=${close}>
    <p class="faint">A virtual host has its own queues, exchanges, permissions and policies, isolated from those of other virtual hosts.</p>
    <${Field} label="Name"><input name="name" required autofocus class="mono" autocomplete="off" /><//>
    <${About} />
  <//>`;
}
