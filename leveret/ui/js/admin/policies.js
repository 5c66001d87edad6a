/** Policies and operator policies: their definitions, and what they apply to. */
import { useMemo, useState } from "preact/hooks";
import { may, path, put, remove, usualVhost } from "../api.js";
import { Allowed, Empty, Fault, Waiting } from "../components/basic.js";
import { ActDialog, Field } from "../components/dialog.js";
import { Filter, Table, useOrder } from "../components/table.js";
import { VhostChoice, useVhosts } from "../components/vhosts.js";
import { plural } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { href, setQuery } from "../router.js";
import { KEYS, TARGETS, matching, valueOf } from "./policy-keys.js";

const SHOWN = 6;  // names shown of what a policy applies to
const UNITS = { ms: "In milliseconds.", bytes: "In bytes." };
const keyOf = (each) => `${each.vhost} ${each.name}`;

/** All queues and exchanges of a virtual host that policies may apply to: [{name, kind, type}]. */
function useThings(vhost) {
  const where = (what) => (vhost ? path(what, vhost) : what);
  const queues = useLive(where("queues"), { columns: "name,vhost,type" });
  const exchanges = useLive(where("exchanges"), { columns: "name,vhost,type" });
  return useMemo(() => {
    const told = (data, kind) => (data ?? []).filter(({ name }) => name).map((each) => ({ ...each, kind }));
    return [...told(queues.data, "queue"), ...told(exchanges.data, "exchange")];
  }, [queues.data, exchanges.data]);
}

export function Policies({ query, isOperator = false }) {
  const where = isOperator ? "operator-policies" : "policies";
  const policies = useLive(query.vhost ? path(where, query.vhost) : where);
  const things = useThings(query.vhost);
  const order = useOrder("name", false);
  const [changing, setChanging] = useState(null);
  const [deleting, setDeleting] = useState(null);
  const tag = isOperator ? "administrator" : "policymaker";
  const noun = isOperator ? "operator policy" : "policy";
  const rows = policies.data ?? [];
  const edited = query.policy !== undefined ? rows.find((each) => each.name === query.policy && each.vhost === (query.of ?? "/")) : null;
  const shown = rows.filter((each) => `${each.name} ${each.pattern}`.toLowerCase().includes((query.q ?? "").toLowerCase()));
  const ofVhost = (vhost) => things.filter((each) => each.vhost === vhost);
  const columns = [
    { id: "name", label: "Policy", value: (each) => each.name, cell: (each) => html`<a class="name mono row-link cut" title=${each.name} href=${href("admin", where, { vhost: query.vhost, policy: each.name, of: each.vhost })}>${each.name}</a>` },
    { id: "vhost", label: "Virtual host", value: (each) => each.vhost, cell: (each) => html`<span class="mono faint cut">${each.vhost}</span>`, narrow: "hide" },
    { id: "pattern", label: "Pattern", value: (each) => each.pattern, cell: (each) => html`<code class="cut" title=${each.pattern}>${each.pattern}</code>` },
    { id: "says", label: "Definition", isWide: true, cell: (each) => html`<${Says} definition=${each.definition} />`, narrow: "hide" },
    { id: "applies", label: "Applies to", value: (each) => matching(ofVhost(each.vhost), each.pattern, each["apply-to"])?.length ?? -1, cell: (each) => html`<${Applies} found=${matching(ofVhost(each.vhost), each.pattern, each["apply-to"])} target=${each["apply-to"]} />`, narrow: "hide" },
    { id: "priority", label: "Priority", isNumber: true, value: (each) => each.priority, cell: (each) => each.priority, narrow: "hide" },
    { id: "act", label: "", isNumber: true, cell: (each) => may(tag) && html`<button type="button" class="quiet" aria-label=${`Delete ${each.name}`} onClick=${() => setDeleting(each)}>Delete</button>`, narrow: "hide" },
  ];
  const close = () => (setChanging(null), query.policy !== undefined && setQuery({ policy: undefined, of: undefined }));
  if (!policies.data) return policies.error ? html`<${Fault} error=${policies.error} what="The policies could not be read." again=${policies.reload} />` : html`<${Waiting} />`;
  return html`
    <p class="faint about">${isOperator
      ? "An operator policy restricts what policies and clients may request: of two limits, the lower applies. It is for operators of the broker."
      : "A policy configures queues and exchanges without changing clients. One policy applies to each of them: the matching one with the highest priority."}</p>
    <${Filter} what="policies">
      <${VhostChoice} /><span class="faint" role="status">${plural(shown.length, noun, isOperator ? "operator policies" : "policies")}</span><span class="grow"></span>
      <${Allowed} tag=${tag}><button type="button" class="primary" onClick=${() => setChanging({})}>Add ${isOperator ? "an operator policy" : "a policy"}</button><//>
    <//>
    ${shown.length
      ? html`<${Table} name=${isOperator ? "Operator policies" : "Policies"} rows=${shown} keyOf=${keyOf} columns=${columns} order=${order} about=${`${query.q} ${query.vhost}`} openAt=${(each) => href("admin", where, { vhost: query.vhost, policy: each.name, of: each.vhost })} />`
      : html`<${Empty} title=${rows.length ? "No matching policies" : `No ${isOperator ? "operator policies" : "policies"}`}>${isOperator ? "For example, one can prevent clients from declaring queues that use all memory." : "For example, one can give a dead-letter exchange to all queues whose names begin with orders."}<//>`}
    ${(changing || edited) && html`<${Change} key=${edited?.name ?? ""} found=${edited ?? null} isOperator=${isOperator} vhost=${query.vhost} policies=${rows} isReadOnly=${!may(tag)} close=${close} done=${policies.reload} />`}
    ${deleting && html`<${Delete} policy=${deleting} where=${where} noun=${noun} applies=${matching(ofVhost(deleting.vhost), deleting.pattern, deleting["apply-to"])} close=${() => setDeleting(null)} done=${policies.reload} />`}`;
}

function Says({ definition }) {
  const found = Object.entries(definition);
  const text = found.map(([key, value]) => `${key} = ${typeof value === "object" ? JSON.stringify(value) : value}`);
  return html`<span class="mono small" title=${text.join("\n")}>${text.join(", ")}</span>`;
}

function counted(found) {
  const queues = found.filter(({ kind }) => kind === "queue").length;
  const exchanges = found.length - queues;
  return [queues && plural(queues, "queue"), exchanges && plural(exchanges, "exchange")].filter(Boolean).join(" and ") || "nothing";
}

function Applies({ found }) {
  if (!found) return html`<span class="faint" title="The pattern cannot be tested in a browser">–</span>`;
  return html`<span class=${found.length ? "" : "faint"} title=${found.map(({ name }) => name).slice(0, 40).join("\n")}>${counted(found)}</span>`;
}

/** What the typed pattern would apply to, and how much of it a policy with a higher priority covers. */
function Trial({ pattern, target, things, others, priority }) {
  if (!pattern) return html`<p class="faint small">Type a pattern to see what it matches.</p>`;
  const found = matching(things, pattern, target);
  if (!found) return html`<p class="of-ready small" role="status">This pattern cannot be tested here. The broker checks whether it is valid.</p>`;
  const names = found.slice(0, SHOWN).map(({ name }) => name);
  const above = others.filter((each) => each.priority > priority);
  const taken = found.filter((thing) => above.some((each) => matching([thing], each.pattern, each["apply-to"])?.length));
  return html`<p class="small trial" role="status">
    <span class=${found.length ? "of-out" : "of-ready"}>Applies to ${counted(found)}${found.length ? ": " : "."}</span>
    ${names.map((name, at) => html`<span key=${name} class="mono">${at ? ", " : ""}${name}</span>`)}${found.length > SHOWN ? ` and ${found.length - SHOWN} more` : ""}
    ${taken.length > 0 && html`<br /><span class="of-ready">${plural(taken.length, "of them follows", "of them follow")} a policy with a higher priority.</span>`}
  </p>`;
}

const rowsOf = (definition) => Object.entries(definition).map(([key, value], id) => ({ id, key, value: typeof value === "object" ? JSON.stringify(value) : String(value) }));

function Change({ found, isOperator, vhost, policies, isReadOnly, close, done }) {
  const vhosts = useVhosts();
  const [where, setWhere] = useState(found?.vhost ?? vhost ?? usualVhost());
  const [pattern, setPattern] = useState(found?.pattern ?? "");
  const [target, setTarget] = useState(found?.["apply-to"] ?? "queues");
  const [priority, setPriority] = useState(found?.priority ?? 0);
  const [rows, setRows] = useState(rowsOf(found?.definition ?? { "": "" }));
  const things = useThings(where);
  const others = policies.filter((each) => each.vhost === where && each.name !== found?.name);
  const kind = isOperator ? "operator-policies" : "policies";

  async function act(data) {
    const name = found?.name ?? data.get("name");
    if (!found && policies.some((each) => each.vhost === where && each.name === name)) throw new Error(`the policy ${name} already exists in ${where}`);
    const definition = {};
    for (const { key, value } of rows) {
      if (!key.trim()) continue;
      if (!value.trim() && KEYS[key]?.kind !== "text") throw new Error(`${key} has no value`);
      definition[key.trim()] = valueOf(key.trim(), value);
    }
    if (!Object.keys(definition).length) throw new Error("the definition is empty: choose a key and give it a value");
    await put(path(kind, where, name), { pattern, "apply-to": target, priority: Number(priority), definition });
    done();
    return `The policy ${name} was set.`;
  }
  const change = (id, changes) => setRows((old) => old.map((row) => (row.id === id ? { ...row, ...changes } : row)));
  const add = (key = "") => setRows((old) => [...old.filter((row) => row.key || row.value), { id: Date.now() + old.length, key, value: "" }]);
  const remaining = Object.entries(KEYS).filter(([key, { operator }]) => (!isOperator || operator) && !rows.some((row) => row.key === key));
  const title = isReadOnly ? `The policy ${found.name}` : found ? `Change ${found.name}` : isOperator ? "Add an operator policy" : "Add a policy";
  return html`<${ActDialog} title=${title} verb=${found ? "Change" : "Add"} act=${act} close=${close} isWide>
    <div class="form columns narrow">
      ${!found && html`<${Field} label="Name"><input name="name" required autofocus class="mono" autocomplete="off" /><//>`}
      ${!found && vhosts.length > 1 && html`<${Field} label="Virtual host"><select onChange=${(event) => setWhere(event.target.value)}>${vhosts.map((name) => html`<option key=${name} value=${name} selected=${name === where}>${name}</option>`)}</select><//>`}
      <${Field} label="Applies to"><select onChange=${(event) => setTarget(event.target.value)}>${TARGETS.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === target}>${text}</option>`)}${!TARGETS.some(([value]) => value === target) && html`<option selected>${target}</option>`}</select><//>
      <${Field} label="Priority" hint="The highest applies."><input type="number" step="1" value=${priority} onInput=${(event) => setPriority(event.target.value)} /><//>
    </div>
    <div>
      <${Field} label="Pattern" hint="A regular expression, searched in the name: ^orders matches names that begin with orders."><input name="pattern" required class="mono" value=${pattern} onInput=${(event) => setPattern(event.target.value)} autocomplete="off" spellcheck="false" /><//>
      <${Trial} pattern=${pattern} target=${target} things=${things} others=${others} priority=${Number(priority)} />
    </div>
    <fieldset class="definition">
      <legend>Definition</legend>
      ${rows.map((row) => html`<${Row} key=${row.id} row=${row} isOperator=${isOperator} change=${(changes) => change(row.id, changes)} remove=${() => setRows((old) => old.filter((each) => each.id !== row.id))} />`)}
      <datalist id="policy-keys">${remaining.map(([key, { about }]) => html`<option key=${key} value=${key}>${about}</option>`)}</datalist>
      <p class="suggestions">${remaining.filter(([, { of }]) => (target === "exchanges" ? of === "exchanges" : of !== "exchanges" || target === "all")).map(([key, { about }]) => html`<button key=${key} type="button" class="tag" title=${about} onClick=${() => add(key)}>${key}</button>`)}<button type="button" class="link small" onClick=${() => add()}>another key</button></p>
    </fieldset>
  <//>`;
}

function Row({ row, change, remove }) {
  const known = KEYS[row.key];
  const label = row.key || "the new key";
  return html`<div class="definition-row">
    <input class="mono" list="policy-keys" aria-label="Key" placeholder="Key" value=${row.key} onInput=${(event) => change({ key: event.target.value })} autocomplete="off" />
    ${known?.kind === "choice"
      ? html`<select aria-label=${`Value of ${label}`} onChange=${(event) => change({ value: event.target.value })}><option value="" selected=${!row.value}>Choose…</option>${known.choices.map((each) => html`<option key=${each} value=${each} selected=${each === row.value}>${each}</option>`)}</select>`
      : html`<input class="mono" aria-label=${`Value of ${label}`} placeholder=${known?.unit ?? "Value"} inputmode=${known?.kind === "number" ? "decimal" : undefined} value=${row.value} onInput=${(event) => change({ value: event.target.value })} autocomplete="off" />`}
    <button type="button" class="quiet" aria-label=${`Remove ${label}`} onClick=${remove}>✕</button>
    <small class="faint">${known ? [known.about, UNITS[known.unit]].filter(Boolean).join(" ") : row.key ? "Unknown here. The broker checks whether it is valid." : "Choose a key below, or type one."}</small>
  </div>`;
}

function Delete({ policy, where, noun, applies, close, done }) {
  async function act() {
    await remove(path(where, policy.vhost, policy.name));
    done();
    return `The ${noun} ${policy.name} was deleted.`;
  }
  return html`<${ActDialog} title=${`Delete the ${noun}`} verb=${`Delete ${policy.name}`} isDanger act=${act} close=${close}>
    <p><code>${policy.name}</code> will no longer apply to ${applies ? counted(applies) : "what matches its pattern"}, with immediate effect. The matching policy with the next lower priority takes its place, if there is one.</p>
  <//>`;
}
