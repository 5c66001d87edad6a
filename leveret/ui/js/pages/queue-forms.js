/** Forms for queues: declare, pause, limit the rate, purge, delete, change arguments. */
import { useState } from "preact/hooks";
import { mayAny, mayDo, path, put, remove, usualVhost } from "../api.js";
import { Allowed } from "../components/basic.js";
import { ActDialog, Field, say } from "../components/dialog.js";
import { useVhosts } from "../components/vhosts.js";
import { plural } from "../format.js";
import { html } from "../html.js";
import { go } from "../router.js";
import { TypedName } from "../typed.js";

const own = (vhost, name, ...rest) => `leveret/${path("queues", vhost, name, ...rest)}`;

/** Arguments from typed JSON. Raises: Error with the explanation. */
export function parseArguments(text) {
  if (!text.trim()) return {};
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Error('the arguments are not valid JSON; for example {"x-max-length": 1000}');
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) throw new Error("the arguments must be a JSON object");
  return found;
}

export function DeclareQueue({ vhost, done }) {
  const [isOpen, setOpen] = useState(false);
  const vhosts = useVhosts();
  async function declare(data) {
    const where = data.get("vhost") || vhost || usualVhost();
    const queueArguments = parseArguments(data.get("arguments"));
    if (data.get("type")) queueArguments["x-queue-type"] = data.get("type");
    await put(path("queues", where, data.get("name")), { durable: data.get("durable") === "on", arguments: queueArguments });
    done();
    go("queues", where, data.get("name"));
    return `The queue ${data.get("name")} was declared.`;
  }
  if (!mayAny("configure", vhost)) return null;
  return html`<button type="button" onClick=${() => setOpen(true)}>Declare a queue</button>
    ${isOpen && html`<${ActDialog} title="Declare a queue" verb="Declare" act=${declare} close=${() => setOpen(false)}>
      <${Field} label="Name"><input name="name" required autofocus class="mono" /><//>
      ${vhosts.length > 1 && html`<${Field} label="Virtual host"><select name="vhost">${vhosts.map((name) => html`<option selected=${name === (vhost ?? usualVhost())}>${name}</option>`)}</select><//>`}
      <${Field} label="Type" hint="Quorum queues count deliveries and store every message on disk.">
        <select name="type"><option value="">classic</option><option>quorum</option></select><//>
      <label class="check"><input type="checkbox" name="durable" defaultChecked /> Durable: it survives a restart of the broker</label>
      <${Field} label="Arguments" hint='As JSON, for example {"x-dead-letter-exchange": "dead", "x-message-ttl": 60000}'><textarea name="arguments" rows="3" spellcheck="false"></textarea><//>
    <//>`}`;
}

/** The action buttons on the page of a queue. */
export function QueueActions({ queue, reload }) {
  const [open, setOpen] = useState(null);
  const { vhost, name } = queue;
  const close = () => setOpen(null);
  const isPaused = Boolean(queue.paused);
  const mayConfigure = mayDo("configure", vhost, name);

  async function pause() {
    try {
      await put(own(vhost, name, isPaused ? "resume" : "pause"));
      say(isPaused ? `${name} was resumed.` : `${name} is paused: it delivers nothing until you resume it.`, "done", isPaused ? null : { label: "Resume", act: async () => (await put(own(vhost, name, "resume")), reload()) });
      reload();
    } catch (error) {
      say(error.message, "trouble");
    }
  }

  async function slow(data) {
    const rate = Number(data.get("rate"));
    if (rate) await put(own(vhost, name, "rate"), { rate });
    else await remove(own(vhost, name, "rate"));
    reload();
    return rate ? `${name} now delivers at most ${plural(rate, "message")} per second.` : `${name} has no rate limit now.`;
  }

  async function purge() {
    await remove(path("queues", vhost, name, "contents"));
    reload();
    return `${name} was purged.`;
  }

  async function destroy() {
    await remove(path("queues", vhost, name));
    go("queues");
    return `The queue ${name} was deleted.`;
  }

  return html`
    ${mayConfigure && html`<${Allowed} tag="policymaker">
      <button type="button" onClick=${pause}>${isPaused ? "Resume" : "Pause"}</button>
      <button type="button" onClick=${() => setOpen("rate")}>Limit rate</button>
    <//>`}
    ${mayDo("read", vhost, name) && html`<button type="button" class="danger" disabled=${!queue.messages_ready} onClick=${() => setOpen("purge")}>Purge</button>`}
    ${mayConfigure && html`<button type="button" class="danger" onClick=${() => setOpen("delete")}>Delete</button>`}
    ${open === "rate" && html`<${ActDialog} title=${`Limit the delivery rate of ${name}`} verb="Set limit" act=${slow} close=${close}>
      <${Field} label="Messages per second" hint="Empty or 0: no limit. Survives a restart."><input name="rate" type="number" min="0" step="any" defaultValue=${queue.delivery_rate ?? ""} autofocus /><//>
    <//>`}
    ${open === "purge" && html`<${ActDialog} title="Purge the queue" verb=${`Drop ${plural(queue.messages_ready, "message")}`} isDanger act=${purge} close=${close}>
      <p><b>${plural(queue.messages_ready, "message")}</b> in <code>${name}</code> will be dropped. This cannot be undone. ${queue.messages_unacknowledged > 0 && `The ${plural(queue.messages_unacknowledged, "unacknowledged message")} stay.`}</p>
    <//>`}
    ${open === "delete" && html`<${ActDialog} title="Delete the queue" verb="Delete the queue" isDanger act=${destroy} close=${close}>
      <p>The queue <code>${name}</code>, its <b>${plural(queue.messages, "message")}</b> and its bindings will be deleted${queue.consumers > 0 && html`, and its <b>${plural(queue.consumers, "consumer")}</b> cancelled`}. This cannot be undone.</p>
      <${TypedName} what="queue" name=${name} />
    <//>`}`;
}

/** The form that changes arguments of a live queue. */
export function ChangeArguments({ vhost, name, close, reload }) {
  async function change(data) {
    const changed = parseArguments(data.get("arguments"));
    await put(own(vhost, name, "arguments"), changed);
    reload();
    return "The arguments were changed.";
  }
  return html`<${ActDialog} title="Change arguments" verb="Change" act=${change} close=${close}>
    <${Field} label="Arguments" hint='As JSON. null removes an argument: {"x-max-length": 5000, "x-message-ttl": null}. Clients can still declare the queue with its old arguments.'><textarea name="arguments" rows="4" autofocus spellcheck="false"></textarea><//>
  <//>`;
}

