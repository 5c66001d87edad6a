/** Forms for exchanges: declare, delete, bind and unbind. */
import { useState } from "preact/hooks";
import { mayAny, path, post, put, remove, usualVhost } from "../api.js";
import { ActDialog, Field } from "../components/dialog.js";
import { useVhosts } from "../components/vhosts.js";
import { exchangeName, plural } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { go } from "../router.js";
import { TypedName } from "../typed.js";
import { parseArguments } from "./queue-forms.js";

const KINDS = {
  direct: "Routes to queues whose binding key equals the routing key.",
  fanout: "Routes to all bound queues, whatever the routing key.",
  topic: "Routes to queues whose binding pattern matches the routing key: * is one word, # any number of words.",
  headers: "Routes to queues whose binding arguments match the headers of the message.",
};

export function DeclareExchange({ vhost, done }) {
  const [isOpen, setOpen] = useState(false);
  if (!mayAny("configure", vhost)) return null;
  return html`<button type="button" onClick=${() => setOpen(true)}>Declare an exchange</button>
    ${isOpen && html`<${Declaring} vhost=${vhost} done=${done} close=${() => setOpen(false)} />`}`;
}

function Declaring({ vhost, done, close }) {
  const vhosts = useVhosts();
  const overview = useLive("overview", { columns: "exchange_types" }, { isStill: true });
  const [kind, setKind] = useState("topic");
  const types = overview.data?.exchange_types ?? Object.keys(KINDS).map((name) => ({ name, description: KINDS[name] }));
  const about = KINDS[kind] ?? types.find(({ name }) => name === kind)?.description;
  async function declare(data) {
    const where = data.get("vhost") || vhost || usualVhost();
    const wanted = parseArguments(data.get("arguments"));
    if (data.get("alternate")) wanted["alternate-exchange"] = data.get("alternate");
    const is = (name) => data.get(name) === "on";
    await put(path("exchanges", where, data.get("name")), { type: data.get("type"), durable: is("durable"), auto_delete: is("auto_delete"), internal: is("internal"), arguments: wanted });
    done();
    go("exchanges", where, data.get("name"));
    return `The exchange ${data.get("name")} was declared.`;
  }
  return html`<${ActDialog} title="Declare an exchange" verb="Declare" act=${declare} close=${close}>
    <${Field} label="Name"><input name="name" required autofocus class="mono" autocomplete="off" /><//>
    ${vhosts.length > 1 && html`<${Field} label="Virtual host"><select name="vhost">${vhosts.map((name) => html`<option key=${name} value=${name} selected=${name === (vhost ?? usualVhost())}>${name}</option>`)}</select><//>`}
    <${Field} label="Type" hint=${about}><select name="type" onChange=${(event) => setKind(event.target.value)}>${types.map(({ name }) => html`<option key=${name} selected=${name === kind}>${name}</option>`)}</select><//>
    <label class="check"><input type="checkbox" name="durable" defaultChecked /> Durable: it survives a restart of the broker</label>
    <label class="check"><input type="checkbox" name="auto_delete" /> Auto-delete: it is deleted with its last binding</label>
    <label class="check"><input type="checkbox" name="internal" /> Internal: clients cannot publish to it, only other exchanges route to it</label>
    <${Field} label="Alternate exchange" hint="Receives messages that match no binding. Empty: such messages are returned or dropped."><input name="alternate" class="mono" autocomplete="off" /><//>
    <${Field} label="Arguments" hint="As JSON."><textarea name="arguments" rows="2" spellcheck="false"></textarea><//>
  <//>`;
}

/** bindings: number of bindings from the exchange. incoming: number of bindings to it. */
export function DeleteExchange({ exchange, bindings, incoming }) {
  const [isOpen, setOpen] = useState(false);
  const { vhost, name } = exchange;
  async function destroy(data) {
    await remove(path("exchanges", vhost, name), { query: data.get("unused") === "on" ? { "if-unused": true } : {} });
    go("exchanges");
    return `The exchange ${name} was deleted.`;
  }
  return html`<button type="button" class="danger" onClick=${() => setOpen(true)}>Delete</button>
    ${isOpen && html`<${ActDialog} title="Delete the exchange" verb="Delete the exchange" isDanger act=${destroy} close=${() => setOpen(false)}>
      <p>The exchange <code>${name}</code> and its <b>${plural(bindings + incoming, "binding")}</b> will be deleted. Clients that publish to it afterwards lose their channel. Messages in queues are not affected.</p>
      <label class="check"><input type="checkbox" name="unused" /> Only if nothing is bound to it</label>
      <${TypedName} what="exchange" name=${name} />
    <//>`}`;
}

const HINTS = {
  direct: "The routing key that messages must have.",
  fanout: "Ignored: all messages are routed.",
  topic: "A pattern: * is one word, # any number of words, for example order.*.created or order.#",
  headers: "Ignored: the headers must match the arguments.",
  "x-consistent-hash": "The weight of the binding, a number from 1.",
};

/** Bind a queue or an exchange to this one. */
export function Bind({ exchange, close, reload }) {
  const { vhost, name, type } = exchange;
  const [kind, setKind] = useState("q");
  const found = useLive(path(kind === "q" ? "queues" : "exchanges", vhost), { columns: "name" }, { isStill: true });
  async function bind(data) {
    const wanted = parseArguments(data.get("arguments"));
    await post(`${path("bindings", vhost, "e", name)}/${kind}/${path(data.get("to"))}`, { routing_key: data.get("key"), arguments: wanted });
    reload();
    return `${data.get("to")} was bound to ${name}.`;
  }
  return html`<${ActDialog} title=${`Bind to ${name}`} verb="Bind" act=${bind} close=${close}>
    <div class="choice" role="group" aria-label="What to bind">
      <button type="button" aria-pressed=${kind === "q"} onClick=${() => setKind("q")}>A queue</button>
      <button type="button" aria-pressed=${kind === "e"} onClick=${() => setKind("e")}>An exchange</button>
    </div>
    <${Field} label=${kind === "q" ? "Queue" : "Exchange"}>
      <input name="to" list="destinations" required autofocus class="mono" autocomplete="off" />
      <datalist id="destinations">${(found.data ?? []).filter((each) => each.name).map((each) => html`<option key=${each.name} value=${each.name} />`)}</datalist>
    <//>
    <${Field} label="Routing key" hint=${HINTS[type] ?? "Its meaning depends on the exchange type."}><input name="key" class="mono" autocomplete="off" /><//>
    <${Field} label="Arguments" hint=${type === "headers" ? 'As JSON, for example {"x-match": "all", "country": "de"}' : "As JSON. Most bindings have none."}><textarea name="arguments" rows="2" spellcheck="false"></textarea><//>
  <//>`;
}

/** A button that deletes a binding, after a confirmation. */
export function Unbind({ binding, reload }) {
  const [isOpen, setOpen] = useState(false);
  const { vhost, source, destination, destination_type: type, routing_key: key, properties_key: id } = binding;
  async function unbind() {
    await remove(`${path("bindings", vhost, "e", source)}/${type[0]}/${path(destination, id)}`);
    reload();
    return `${destination} was unbound from ${source}.`;
  }
  return html`<button type="button" class="quiet" aria-label=${`Unbind ${destination} from ${source} (${key})`} onClick=${() => setOpen(true)}>Unbind</button>
    ${isOpen && html`<${ActDialog} title="Unbind" verb="Unbind" isDanger act=${unbind} close=${() => setOpen(false)}>
      <p>Messages from <code>${exchangeName(source)}</code> ${key ? html`with the key <code>${key}</code>` : ""} will no longer be routed to the ${type} <code>${destination}</code>. Messages already there stay.</p>
    <//>`}`;
}
