/** What can be done with an exchange: declare, delete, bind and unbind. */
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
  direct: "To the queues whose binding has the routing key of the message.",
  fanout: "To all that is bound, whatever the routing key.",
  topic: "To bindings whose pattern the routing key matches: * is one word, # any number of words.",
  headers: "To bindings whose arguments the headers of the message match.",
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
    return `The exchange ${data.get("name")} is there.`;
  }
  return html`<${ActDialog} title="Declare an exchange" verb="Declare" act=${declare} close=${close}>
    <${Field} label="Name"><input name="name" required autofocus class="mono" autocomplete="off" /><//>
    ${vhosts.length > 1 && html`<${Field} label="Virtual host"><select name="vhost">${vhosts.map((name) => html`<option key=${name} value=${name} selected=${name === (vhost ?? usualVhost())}>${name}</option>`)}</select><//>`}
    <${Field} label="Type" hint=${about}><select name="type" onChange=${(event) => setKind(event.target.value)}>${types.map(({ name }) => html`<option key=${name} selected=${name === kind}>${name}</option>`)}</select><//>
    <label class="check"><input type="checkbox" name="durable" defaultChecked /> Durable: it survives a restart of the broker</label>
    <label class="check"><input type="checkbox" name="auto_delete" /> Auto-delete: it goes with its last binding</label>
    <label class="check"><input type="checkbox" name="internal" /> Internal: only other exchanges may send to it</label>
    <${Field} label="Alternate exchange" hint="Gets what no binding leads to a queue. Empty: such messages are returned or dropped."><input name="alternate" class="mono" autocomplete="off" /><//>
    <${Field} label="Arguments" hint="As JSON."><textarea name="arguments" rows="2" spellcheck="false"></textarea><//>
  <//>`;
}

/** bindings: that lead from it; incoming: to it. */
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
      <p>The exchange <code>${name}</code> and its <b>${plural(bindings + incoming, "binding")}</b> will be deleted. Whoever publishes to it then loses the channel. No message in a queue is touched.</p>
      <label class="check"><input type="checkbox" name="unused" /> Only if nothing is bound to it</label>
      <${TypedName} what="exchange" name=${name} />
    <//>`}`;
}

const HINTS = {
  direct: "The routing key that messages must have.",
  fanout: "It does not count: all messages come.",
  topic: "A pattern: * is one word, # any number of words, as order.*.created or order.#",
  headers: "It does not count: the arguments are what the headers must have.",
  "x-consistent-hash": "The weight of what is bound, as a number from 1.",
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
    return `${name} leads to ${data.get("to")} now.`;
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
    <${Field} label="Routing key" hint=${HINTS[type] ?? "What it means depends on the type of the exchange."}><input name="key" class="mono" autocomplete="off" /><//>
    <${Field} label="Arguments" hint=${type === "headers" ? 'As JSON, for example {"x-match": "all", "country": "de"}' : "As JSON. Most bindings have none."}><textarea name="arguments" rows="2" spellcheck="false"></textarea><//>
  <//>`;
}

/** A button that undoes a binding, in a second step. */
export function Unbind({ binding, reload }) {
  const [isOpen, setOpen] = useState(false);
  const { vhost, source, destination, destination_type: type, routing_key: key, properties_key: id } = binding;
  async function unbind() {
    await remove(`${path("bindings", vhost, "e", source)}/${type[0]}/${path(destination, id)}`);
    reload();
    return `${source} no longer leads to ${destination}.`;
  }
  return html`<button type="button" class="quiet" aria-label=${`Unbind ${destination} from ${source} (${key})`} onClick=${() => setOpen(true)}>Unbind</button>
    ${isOpen && html`<${ActDialog} title="Unbind" verb="Unbind" isDanger act=${unbind} close=${() => setOpen(false)}>
      <p>Messages from <code>${exchangeName(source)}</code> ${key ? html`with the key <code>${key}</code>` : ""} will no longer go to the ${type} <code>${destination}</code>. What is in it stays.</p>
    <//>`}`;
}
