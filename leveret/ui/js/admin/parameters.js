/** Runtime parameters, which are stored for other programs, and the cluster name. */
import { useState } from "preact/hooks";
import { may, path, put, remove } from "../api.js";
import { Allowed, Empty, Fault, Section, Waiting } from "../components/basic.js";
import { ActDialog, DoneButton, Field } from "../components/dialog.js";
import { Table, useOrder } from "../components/table.js";
import { useVhosts } from "../components/vhosts.js";
import { html } from "../html.js";
import { useLive } from "../live.js";

/** A value from typed JSON. Raises: Error. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('the value is not valid JSON; for example {"uri": "amqp://"}, "text" or 12');
  }
}

export function Parameters() {
  return html`
    <${Allowed} tag="administrator"><${ClusterName} /><//>
    <${OfVhosts} />
    <${Allowed} tag="administrator"><${Globals} /><//>`;
}

function ClusterName() {
  const found = useLive("cluster-name");
  async function act(data) {
    await put("cluster-name", { name: data.get("name") });
    found.reload();
    return "The cluster name was changed.";
  }
  if (!found.data) return null;
  return html`<${Section} title="Cluster name" note="visible to clients and in exported definitions" actions=${html`<${DoneButton} label="Change the name" title="Change the name of the broker" verb="Change" act=${act}><${Field} label="Name"><input name="name" required class="mono" defaultValue=${found.data.name} /><//><//>`}>
    <p class="mono">${found.data.name}</p>
  <//>`;
}

const value = { id: "value", label: "Value", isWide: true, cell: (each) => html`<code title=${JSON.stringify(each.value, null, 2)}>${JSON.stringify(each.value)}</code>` };
const deleting = (set) => ({ id: "act", label: "", isNumber: true, cell: (each) => (isOwn(each) ? null : html`<button type="button" class="quiet" aria-label=${`Delete ${each.name}`} onClick=${() => set(each)}>Delete</button>`) });
const isOwn = ({ component }) => component === "operator_policy" || component === "vhost-limits";

function OfVhosts() {
  const found = useLive("parameters");
  const order = useOrder("component", false, "parameters");
  const vhosts = useVhosts();
  const [gone, setGone] = useState(null);
  async function act(data) {
    await put(path("parameters", data.get("component"), data.get("vhost") ?? "/", data.get("name")), { value: parse(data.get("value")) });
    found.reload();
    return `The parameter ${data.get("name")} was saved.`;
  }
  async function drop() {
    await remove(path("parameters", gone.component, gone.vhost, gone.name));
    found.reload();
    return `The parameter ${gone.name} was deleted.`;
  }
  const columns = [
    { id: "name", label: "Name", value: (each) => each.name, cell: (each) => html`<span class="mono cut" title=${each.name}>${each.name}</span>` },
    { id: "component", label: "Component", value: (each) => each.component, cell: (each) => html`<code>${each.component}</code>`, narrow: "hide" },
    { id: "vhost", label: "Virtual host", value: (each) => each.vhost, cell: (each) => html`<span class="mono faint cut">${each.vhost}</span>`, narrow: "hide" },
    value,
    deleting(setGone),
  ];
  if (!found.data) return found.error ? html`<${Fault} error=${found.error} what="The parameters could not be read." again=${found.reload} />` : html`<${Waiting} />`;
  return html`<${Section} title="Parameters of virtual hosts" note="stored for other programs, such as RabbitMQ shovels; the broker does not use them" actions=${html`<${DoneButton} label="Add a parameter" verb="Save" act=${act}>
      ${vhosts.length > 1 && html`<${Field} label="Virtual host"><select name="vhost">${vhosts.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select><//>`}
      <${Field} label="Component" hint="The program that uses it, for example shovel."><input name="component" required class="mono" /><//>
      <${Field} label="Name"><input name="name" required class="mono" /><//>
      <${Field} label="Value" hint="As JSON."><textarea name="value" required spellcheck="false"></textarea><//>
    <//>`}>
    ${found.data.length
      ? html`<${Table} name="Parameters" rows=${found.data} keyOf=${(each) => `${each.component} ${each.vhost} ${each.name}`} columns=${columns} order=${order} />`
      : html`<${Empty} title="No parameters">Definitions from RabbitMQ may contain some. They are stored, and exported again.<//>`}
    ${gone && html`<${ActDialog} title="Delete the parameter" verb=${`Delete ${gone.name}`} isDanger act=${drop} close=${() => setGone(null)}><p>The parameter <code>${gone.name}</code> of <code>${gone.component}</code> in <code>${gone.vhost}</code> will be deleted.</p><//>`}
  <//>`;
}

function Globals() {
  const found = useLive("global-parameters");
  const order = useOrder("name", false, "globals");
  const [gone, setGone] = useState(null);
  async function act(data) {
    await put(path("global-parameters", data.get("name")), { value: parse(data.get("value")) });
    found.reload();
    return `The parameter ${data.get("name")} was saved.`;
  }
  async function drop() {
    await remove(path("global-parameters", gone.name));
    found.reload();
    return `The parameter ${gone.name} was deleted.`;
  }
  const columns = [{ id: "name", label: "Name", value: (each) => each.name, cell: (each) => html`<span class="mono cut" title=${each.name}>${each.name}</span>` }, value, deleting(setGone)];
  return html`<${Section} title="Global parameters" actions=${html`<${DoneButton} label="Add a global parameter" verb="Save" act=${act}>
      <${Field} label="Name"><input name="name" required class="mono" /><//>
      <${Field} label="Value" hint="As JSON."><textarea name="value" required spellcheck="false"></textarea><//>
    <//>`}>
    ${found.data?.length ? html`<${Table} name="Global parameters" rows=${found.data} keyOf=${(each) => each.name} columns=${columns} order=${order} />` : html`<p class="faint">No global parameters.</p>`}
    ${gone && html`<${ActDialog} title="Delete the global parameter" verb=${`Delete ${gone.name}`} isDanger act=${drop} close=${() => setGone(null)}><p>The global parameter <code>${gone.name}</code> will be deleted.</p><//>`}
  <//>`;
}
