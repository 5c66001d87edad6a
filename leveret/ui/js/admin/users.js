/** Users and their permissions. */
import { useMemo, useState } from "preact/hooks";
import { path, put } from "../api.js";
import { Empty, Fault, Name, Tag, Waiting } from "../components/basic.js";
import { ActDialog, Field } from "../components/dialog.js";
import { Filter, Table, useOrder } from "../components/table.js";
import { useVhosts } from "../components/vhosts.js";
import { plural } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { go, href } from "../router.js";
import { Choosing, Sentence, patternsOf } from "./permissions.js";

/** Tags, and the access to this UI and the API that they give. */
export const TAGS = [
  ["", "None", "Cannot log in here. Applications need no tag."],
  ["management", "management", "Can view and use the virtual hosts in which it has permissions."],
  ["policymaker", "policymaker", "The same, and can change policies and the settings of queues."],
  ["monitoring", "monitoring", "The same, and can view everything: all connections, the node."],
  ["administrator", "administrator", "Can view and change everything."],
];

export function Users({ query }) {
  const users = useLive("users");
  const permissions = useLive("permissions");
  const order = useOrder("name", false);
  const [isOpen, setOpen] = useState(false);
  const rows = useMemo(() => {
    const may = new Map();
    for (const each of permissions.data ?? []) may.set(each.user, [...(may.get(each.user) ?? []), each]);
    return (users.data ?? []).map((user) => ({ user, may: may.get(user.name) ?? [] }));
  }, [users.data, permissions.data]);
  const shown = rows.filter(({ user }) => user.name.toLowerCase().includes((query.q ?? "").toLowerCase()));
  const reload = () => (users.reload(), permissions.reload());
  const columns = [
    { id: "name", label: "User", value: ({ user }) => user.name, cell: ({ user }) => html`<span class="cut"><${Name} name=${user.name} to=${href("admin", "users", user.name)} /></span>` },
    { id: "tags", label: "Tags", value: ({ user }) => user.tags.join(), cell: ({ user }) => (user.tags.length ? user.tags.map((tag) => html`<${Tag} key=${tag}>${tag}<//> `) : html`<span class="faint">none</span>`), narrow: "hide" },
    { id: "may", label: "Permissions", isWide: true, value: (row) => row.may.length, cell: (row) => html`<${May} found=${row.may} />` },
    { id: "password", label: "Password", value: ({ user }) => Boolean(user.password_hash), cell: ({ user }) => (user.password_hash ? "set" : html`<span class="faint" title="This user cannot log in with a password">none</span>`), narrow: "hide" },
    { id: "limits", label: "Limits", value: ({ user }) => Object.keys(user.limits).length, cell: ({ user }) => limitsText(user.limits), narrow: "hide-1200" },
  ];
  if (!users.data) return users.error ? html`<${Fault} error=${users.error} what="The users could not be read." again=${users.reload} />` : html`<${Waiting} />`;
  return html`
    <${Filter} what="users"><span class="faint" role="status">${plural(shown.length, "user")}</span><span class="grow"></span><button type="button" class="primary" onClick=${() => setOpen(true)}>Add a user</button><//>
    ${users.error && html`<${Fault} error=${users.error} what="This data is out of date." />`}
    ${shown.length
      ? html`<${Table} name="Users" rows=${shown} keyOf=${({ user }) => user.name} columns=${columns} order=${order} about=${query.q} openAt=${({ user }) => href("admin", "users", user.name)} />`
      : html`<${Empty} title="No matching users">Change the filter to see other users.<//>`}
    ${isOpen && html`<${AddUser} known=${rows.map(({ user }) => user.name)} close=${() => setOpen(false)} done=${reload} />`}`;
}

/** Limits in a few words. */
export function limitsText(limits) {
  const found = Object.entries(limits);
  return found.length ? found.map(([name, value]) => `${name} ${value}`).join(", ") : html`<span class="faint">–</span>`;
}

/** The permissions of a user in all virtual hosts, in one line. */
function May({ found }) {
  if (!found.length) return html`<span class="faint">no access to any virtual host</span>`;
  return found.map((each, at) => html`<span key=${each.vhost} title=${`In ${each.vhost}: configure ${each.configure || "^$"}, write ${each.write || "^$"}, read ${each.read || "^$"}`}>${at > 0 ? "; " : ""}<${Sentence} ...${each} /> in <span class="mono">${each.vhost}</span></span>`);
}

function AddUser({ known, close, done }) {
  const vhosts = useVhosts();
  const [tag, setTag] = useState("");
  const [isShown, setShown] = useState(false);
  async function add(data) {
    const name = data.get("name");
    if (known.includes(name)) throw new Error(`the user ${name} already exists`);
    await put(path("users", name), { password: data.get("password"), tags: data.get("tag") });
    if (data.get("vhost")) await put(path("permissions", data.get("vhost"), name), patternsOf(data));
    done();
    go("admin", "users", name);
    return `The user ${name} was added.`;
  }
  return html`<${ActDialog} title="Add a user" verb="Add the user" act=${add} close=${close}>
    <${Field} label="Name"><input name="name" required autofocus autocomplete="off" class="mono" /><//>
    <${Field} label="Password"><input name="password" type=${isShown ? "text" : "password"} required autocomplete="new-password" class="mono" /><//>
    <label class="check"><input type="checkbox" checked=${isShown} onChange=${() => setShown(!isShown)} /> Show the password</label>
    <${Field} label="In the virtual host"><select name="vhost">${vhosts.map((name, at) => html`<option key=${name} value=${name} selected=${at === 0}>${name}</option>`)}<option key="" value="">none</option></select><//>
    <${Choosing} />
    <${Field} label="Tag" hint=${TAGS.find(([id]) => id === tag)[2]}><select name="tag" onChange=${(event) => setTag(event.target.value)}>${TAGS.map(([id, name]) => html`<option key=${id} value=${id}>${name}</option>`)}</select><//>
  <//>`;
}
