/** Permissions as sentences, and the forms that set them. */
import { useState } from "preact/hooks";
import { path, put, remove } from "../api.js";
import { ActDialog, Field } from "../components/dialog.js";
import { html } from "../html.js";
import { useLive } from "../live.js";

const NOTHING = ["", "^$"];
const EVERYTHING = [".*"];

/** Presets of permissions: [name, configure, write, read, explanation]. */
export const PRESETS = {
  read: ["Only read", "^$", "^$", ".*", "The user may browse, consume, purge and delete messages, but not publish, declare or bind anything."],
  write: ["Only publish", "^$", ".*", "^$", "The user may publish to exchanges, but not consume or change anything."],
  use: ["Read and publish", "^$", ".*", ".*", "The user may publish and consume, but not declare or delete queues and exchanges."],
  everything: ["Everything", ".*", ".*", ".*", "The user may declare, delete, publish and consume."],
  nothing: ["Nothing", "^$", "^$", "^$", "The user may connect to the virtual host, but do nothing there."],
};

const isNothing = (pattern) => NOTHING.includes(pattern);
const isEverything = (pattern) => EVERYTHING.includes(pattern);

/** The names that a pattern allows, in words. */
function reach(pattern) {
  return isNothing(pattern) ? "nothing" : isEverything(pattern) ? "everything" : html`names that match <code>${pattern}</code>`;
}

/** Permissions as a sentence. */
export function Sentence({ configure, write, read }) {
  const all = [configure, write, read];
  if (all.every(isEverything)) return "may do everything";
  if (all.every(isNothing)) return "may do nothing";
  if (isNothing(configure) && isNothing(write)) return html`may only read from ${reach(read)}`;
  if (isNothing(configure) && isNothing(read)) return html`may only write to ${reach(write)}`;
  return html`may configure ${reach(configure)}, write to ${reach(write)}, read from ${reach(read)}`;
}

/** The preset that equals these permissions, or "own". */
function presetOf(found) {
  if (!found) return "read";
  const same = (one, other) => one === other || (isNothing(one) && isNothing(other));
  const known = Object.entries(PRESETS).find(([, [, ...patterns]]) => [found.configure, found.write, found.read].every((each, at) => same(each, patterns[at])));
  return known?.[0] ?? "own";
}

/** The patterns chosen in a form with the fields of Choosing. */
export function patternsOf(data) {
  const preset = PRESETS[data.get("preset")];
  if (preset) return { configure: preset[1], write: preset[2], read: preset[3] };
  return { configure: data.get("configure"), write: data.get("write"), read: data.get("read") };
}

/** Fields of a form that choose permissions. found: the current permissions. */
export function Choosing({ found, label = "Permissions" }) {
  const [preset, setPreset] = useState(presetOf(found));
  return html`
    <${Field} label=${label} hint=${PRESETS[preset]?.[4] ?? "Regular expressions, searched in names: ^orders matches all names that begin with orders, ^$ nothing, .* everything."}>
      <select name="preset" onChange=${(event) => setPreset(event.target.value)}>
        ${Object.entries(PRESETS).map(([id, [name]]) => html`<option key=${id} value=${id} selected=${id === preset}>${name}</option>`)}
        <option value="own" selected=${preset === "own"}>Custom patterns…</option>
      </select>
    <//>
    ${preset === "own" && html`<div class="form columns narrow">
      <${Field} label="Configure" hint="Declare and delete."><input name="configure" class="mono" defaultValue=${found?.configure ?? "^$"} /><//>
      <${Field} label="Write" hint="Publish, bind a queue."><input name="write" class="mono" defaultValue=${found?.write ?? "^$"} /><//>
      <${Field} label="Read" hint="Consume, get, purge, bind to an exchange."><input name="read" class="mono" defaultValue=${found?.read ?? ".*"} /><//>
    </div>`}`;
}

/** A dialog that sets permissions. It asks for the user or the virtual host if it is not given. */
export function SetPermissions({ user, vhost, found, users, vhosts, close, done }) {
  async function act(data) {
    const [who, where] = [user ?? data.get("user"), vhost ?? data.get("vhost")];
    await put(path("permissions", where, who), patternsOf(data));
    done();
    return `The permissions of ${who} in ${where} were set.`;
  }
  return html`<${ActDialog} title=${found ? `Permissions of ${user} in ${vhost}` : "Set permissions"} verb="Set permissions" act=${act} close=${close}>
    ${!vhost && html`<${Field} label="Virtual host"><select name="vhost" autofocus>${vhosts.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select><//>`}
    ${!user && html`<${Field} label="User"><select name="user" autofocus>${users.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select><//>`}
    <${Choosing} found=${found} />
  <//>`;
}

/** A dialog that removes all permissions of a user in a virtual host. */
export function ClearPermissions({ user, vhost, close, done }) {
  async function act() {
    await remove(path("permissions", vhost, user));
    done();
    return `${user} no longer has access to ${vhost}.`;
  }
  return html`<${ActDialog} title="Remove permissions" verb="Remove permissions" isDanger act=${act} close=${close}>
    <p>The user <code>${user}</code> loses access to the virtual host <code>${vhost}</code>. Open connections stay open but can do nothing.</p>
  <//>`;
}

/** A dialog that restricts the routing keys that a user may use. */
export function SetTopic({ user, vhosts, close, done }) {
  const [vhost, setVhost] = useState(vhosts[0]);
  const exchanges = useLive(vhost ? path("exchanges", vhost) : null, { columns: "name,type" }, { isStill: true });
  async function act(data) {
    await put(path("topic-permissions", vhost, user), { exchange: data.get("exchange"), write: data.get("write"), read: data.get("read") });
    done();
    return `The routing keys of ${user} for ${data.get("exchange")} are restricted.`;
  }
  const topics = (exchanges.data ?? []).filter(({ type }) => type === "topic").sort((one, other) => one.name.startsWith("amq.") - other.name.startsWith("amq."));
  return html`<${ActDialog} title=${`Restrict the routing keys of ${user}`} verb="Restrict" act=${act} close=${close}>
    <${Field} label="Virtual host"><select name="vhost" onChange=${(event) => setVhost(event.target.value)}>${vhosts.map((name) => html`<option key=${name} value=${name} selected=${name === vhost}>${name}</option>`)}</select><//>
    <${Field} label="Topic exchange"><select name="exchange" required>${topics.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select><//>
    <${Field} label="May publish with matching keys" hint="A regular expression, for example ^order\\.de\\."><input name="write" class="mono" defaultValue=".*" /><//>
    <${Field} label="May bind with matching keys"><input name="read" class="mono" defaultValue=".*" /><//>
  <//>`;
}
