/** Limits of users and of virtual hosts. */
import { useState } from "preact/hooks";
import { may, path, put, remove } from "../api.js";
import { Allowed, Empty, Fault, Name, Section, Waiting } from "../components/basic.js";
import { ActDialog, Field, say } from "../components/dialog.js";
import { Table, useOrder } from "../components/table.js";
import { useVhosts } from "../components/vhosts.js";
import { count } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { href } from "../router.js";

export const USER_LIMITS = { "max-connections": "connections", "max-channels": "channels" };
export const VHOST_LIMITS = { "max-connections": "connections", "max-queues": "queues", "max-exchanges": "exchanges", "max-bindings": "bindings", "max-consumers": "consumers" };

const WHERE = { user: "user-limits", vhost: "vhost-limits" };
const WORDS = { user: "user", vhost: "virtual host" };
const KNOWN = { user: USER_LIMITS, vhost: VHOST_LIMITS };

/** A limit in words. */
function means(name, value, known) {
  if (value < 0) return "no limit";
  return value === 0 ? `no ${known[name] ?? name} at all` : `at most ${count(value)} ${known[name] ?? name}`;
}

/** The limits of one user or virtual host, with buttons to change them. what: "user" or "vhost". */
export function LimitsOf({ what, name, limits, known, done }) {
  const [isOpen, setOpen] = useState(false);
  const found = Object.entries(limits);
  return html`<${Section} title="Limits" actions=${may("administrator") && html`<button type="button" onClick=${() => setOpen(true)}>Set a limit</button>`}>
    ${found.length
      ? html`<ul class="plain">${found.map(([limit, value]) => html`<li key=${limit}>${means(limit, value, known)} ${may("administrator") && html`<button type="button" class="quiet" aria-label=${`Remove ${limit}`} onClick=${() => lift(what, name, limit, done)}>Remove</button>`}</li>`)}</ul>`
      : html`<p class="faint">No limits.</p>`}
    ${isOpen && html`<${SetLimit} what=${what} name=${name} close=${() => setOpen(false)} done=${done} />`}
  <//>`;
}

async function lift(what, name, limit, done) {
  try {
    await remove(path(WHERE[what], name, limit));
    say(`The limit ${limit} of ${name} was removed.`);
    done();
  } catch (error) {
    say(error.message, "trouble");
  }
}

function SetLimit({ what, name, names, close, done }) {
  const known = KNOWN[what];
  async function act(data) {
    const whose = name ?? data.get("name");
    await put(path(WHERE[what], whose, data.get("limit")), { value: Number(data.get("value")) });
    done();
    return `${whose} may now have ${means(data.get("limit"), Number(data.get("value")), known)}.`;
  }
  return html`<${ActDialog} title=${name ? `Set a limit of ${name}` : `Set a limit of a ${WORDS[what]}`} verb="Set the limit" act=${act} close=${close}>
    ${!name && html`<${Field} label=${what === "user" ? "User" : "Virtual host"}><select name="name" autofocus>${names.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select><//>`}
    <${Field} label="Limit"><select name="limit">${Object.entries(known).map(([id, word]) => html`<option key=${id} value=${id}>${word}</option>`)}</select><//>
    <${Field} label="Maximum" hint="0 allows none. Existing ones stay."><input name="value" type="number" min="0" step="1" required /><//>
  <//>`;
}

function Several({ what, rows, names, done, keyName }) {
  const order = useOrder("name", false, what);
  const [isOpen, setOpen] = useState(false);
  const known = KNOWN[what];
  const flat = rows.flatMap((each) => Object.entries(each.value).map(([limit, value]) => ({ name: each[keyName], limit, value })));
  const columns = [
    { id: "name", label: what === "user" ? "User" : "Virtual host", isWide: true, value: (each) => each.name, cell: (each) => html`<${Name} name=${each.name} to=${href("admin", `${what}s`, each.name)} />` },
    { id: "limit", label: "Limit", value: (each) => each.limit, cell: (each) => html`<span title=${each.limit}>${means(each.limit, each.value, known)}</span>` },
    { id: "act", label: "", isNumber: true, cell: (each) => may("administrator") && html`<button type="button" class="quiet" aria-label=${`Remove ${each.limit} of ${each.name}`} onClick=${() => lift(what, each.name, each.limit, done)}>Remove</button>` },
  ];
  const title = what === "user" ? "Limits of users" : "Limits of virtual hosts";
  return html`<${Section} title=${title} actions=${may("administrator") && names.length > 0 && html`<button type="button" onClick=${() => setOpen(true)}>Set a limit</button>`}>
    ${flat.length
      ? html`<${Table} name=${title} rows=${flat} keyOf=${(each) => `${each.name} ${each.limit}`} columns=${columns} order=${order} />`
      : html`<${Empty} title=${`No ${WORDS[what]} has limits`}>${what === "user" ? "A limit keeps one user from opening too many connections or channels." : "A limit keeps one virtual host from using too many connections, queues, exchanges, bindings or consumers."}<//>`}
    ${isOpen && html`<${SetLimit} what=${what} names=${names} close=${() => setOpen(false)} done=${done} />`}
  <//>`;
}

export function Limits() {
  const vhosts = useLive("vhost-limits");
  const users = useLive(may("administrator") ? "user-limits" : null);
  const names = useLive(may("administrator") ? "users" : null, { columns: "name" });
  const vhostNames = useVhosts();
  if (!vhosts.data) return vhosts.error ? html`<${Fault} error=${vhosts.error} what="The limits could not be read." again=${vhosts.reload} />` : html`<${Waiting} />`;
  return html`
    <${Several} what="vhost" keyName="vhost" rows=${vhosts.data} names=${vhostNames} done=${vhosts.reload} />
    <${Allowed} tag="administrator"><${Several} what="user" keyName="user" rows=${users.data ?? []} names=${(names.data ?? []).map(({ name }) => name)} done=${users.reload} /><//>`;
}
