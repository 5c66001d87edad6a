/** One user: tags, permissions, limits and connections. */
import { useState } from "preact/hooks";
import { path, post, remove, session } from "../api.js";
import { Empty, Facts, Fault, Heading, Section, Tag, Waiting } from "../components/basic.js";
import { ActDialog, Field, say } from "../components/dialog.js";
import { useVhosts } from "../components/vhosts.js";
import { breakable, plural } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { go, href } from "../router.js";
import { TypedName } from "../typed.js";
import { LimitsOf, USER_LIMITS } from "./limits.js";
import { ClearPermissions, Sentence, SetPermissions, SetTopic } from "./permissions.js";
import { TAGS } from "./users.js";

export function User({ name }) {
  const user = useLive(path("users", name));
  const permissions = useLive(path("users", name, "permissions"));
  const topics = useLive(path("users", name, "topic-permissions"));
  const connections = useLive(path("connections", "username", name), { columns: "name" });
  const [open, setOpen] = useState(null);
  const vhosts = useVhosts();
  const kind = html`<a href=${href("admin", "users")}>Users</a>`;
  if (!user.data) {
    return user.error
      ? html`<${Heading} kind=${kind} title=${name} /><${Fault} error=${user.error} what=${user.error.status === 404 ? "This user does not exist." : "The user could not be read."} again=${user.reload} />`
      : html`<${Waiting} />`;
  }
  const data = user.data;
  const close = () => setOpen(null);
  const isOneself = name === session.value.name;
  return html`
    <${Heading} kind=${kind} title=${name} tags=${data.tags.length ? data.tags.map((tag) => html`<${Tag} key=${tag}>${tag}<//>`) : html`<span class="faint">no tags: cannot log in here</span>`}>
      <button type="button" onClick=${() => setOpen("password")}>Set the password</button>
      <button type="button" onClick=${() => setOpen("tags")}>Change tags</button>
      <button type="button" class="danger" onClick=${() => setOpen("delete")}>Delete</button>
    <//>
    ${user.error && html`<${Fault} error=${user.error} what=${user.error.status === 404 ? "This user no longer exists." : "This data is out of date."} />`}
    <${Facts} rows=${[
      ["Password", data.password_hash ? "set" : "none: this user cannot log in with a password"],
      ["Open connections", connections.data && html`<a href=${href("connections", { user: name })}>${plural(connections.data.length, "connection")}</a>`],
    ]} />
    <${Section} title="Permissions" actions=${html`<button type="button" onClick=${() => setOpen("may")}>Add a virtual host</button>`}>
      <${Permissions} name=${name} found=${permissions.data ?? []} done=${permissions.reload} />
    <//>
    <${Section} title="Routing keys" note="restrictions for topic exchanges" actions=${vhosts.length > 0 && html`<button type="button" onClick=${() => setOpen("topic")}>Restrict</button>`}>
      <${Topics} name=${name} found=${topics.data ?? []} done=${topics.reload} />
    <//>
    <${LimitsOf} what="user" name=${name} limits=${data.limits} known=${USER_LIMITS} done=${user.reload} />
    ${open === "may" && html`<${SetPermissions} user=${name} vhosts=${vhosts} close=${close} done=${permissions.reload} />`}
    ${open === "topic" && html`<${SetTopic} user=${name} vhosts=${vhosts} close=${close} done=${topics.reload} />`}
    ${open === "password" && html`<${Password} name=${name} isOneself=${isOneself} close=${close} done=${user.reload} />`}
    ${open === "tags" && html`<${Tagging} user=${data} isOneself=${isOneself} close=${close} done=${user.reload} />`}
    ${open === "delete" && html`<${Delete} name=${name} connections=${connections.data?.length ?? 0} isOneself=${isOneself} close=${close} />`}`;
}

function Permissions({ name, found, done }) {
  const [changing, setChanging] = useState(null);
  const [clearing, setClearing] = useState(null);
  return html`
    ${found.length
      ? html`<ul class="sentences" aria-label=${`Permissions of ${name}`}>${found.map(
          (each) => html`<li key=${each.vhost}>
            <span title=${`configure ${each.configure}, write ${each.write}, read ${each.read}`}>In <a class="mono" href=${href("admin", "vhosts", each.vhost)}>${breakable(each.vhost)}</a>, the user <${Sentence} ...${each} />.</span>
            <span><button type="button" class="quiet" aria-label=${`Change in ${each.vhost}`} onClick=${() => setChanging(each)}>Change</button><button type="button" class="quiet" aria-label=${`Remove in ${each.vhost}`} onClick=${() => setClearing(each)}>Remove</button></span>
          </li>`,
        )}</ul>`
      : html`<${Empty} title="No access to any virtual host">The user has no access until you grant permissions, separately for each virtual host.<//>`}
    ${changing && html`<${SetPermissions} user=${name} vhost=${changing.vhost} found=${changing} close=${() => setChanging(null)} done=${done} />`}
    ${clearing && html`<${ClearPermissions} user=${name} vhost=${clearing.vhost} close=${() => setClearing(null)} done=${done} />`}`;
}

function Topics({ name, found, done }) {
  async function lift(each) {
    try {
      await remove(path("topic-permissions", each.vhost, name, each.exchange));
      say(`${name} may now use any routing key with ${each.exchange}.`);
      done();
    } catch (error) {
      say(error.message, "trouble");
    }
  }
  if (!found.length) return html`<p class="faint">No restrictions: any routing key is allowed.</p>`;
  return html`<ul class="sentences" aria-label=${`Topic permissions of ${name}`}>${found.map(
    (each) => html`<li key=${`${each.vhost} ${each.exchange}`}>
      <span>With <a class="mono" href=${href("exchanges", each.vhost, each.exchange)}>${breakable(each.exchange)}</a> in ${each.vhost}, the user may publish with keys that match <code>${each.write}</code>, and bind with keys that match <code>${each.read}</code>.</span>
      <span><button type="button" class="quiet" aria-label=${`Remove for ${each.exchange}`} onClick=${() => lift(each)}>Remove</button></span>
    </li>`,
  )}</ul>`;
}

function Password({ name, isOneself, close, done }) {
  const [isShown, setShown] = useState(false);
  async function act(data) {
    await post("leveret/verbs/change_password", { name, password: data.get("password") });
    done();
    return `The password of ${name} was set.`;
  }
  return html`<${ActDialog} title=${`Set the password of ${name}`} verb="Set the password" act=${act} close=${close}>
    <p>Existing connections stay open. New connections need the new password.${isOneself && " You have to log in again."}</p>
    <${Field} label="Password"><input name="password" type=${isShown ? "text" : "password"} required autofocus autocomplete="new-password" class="mono" /><//>
    <label class="check"><input type="checkbox" checked=${isShown} onChange=${() => setShown(!isShown)} /> Show the password</label>
  <//>`;
}

function Tagging({ user, isOneself, close, done }) {
  const known = TAGS.slice(1).map(([id]) => id);
  async function act(data) {
    const others = data.get("others").split(",").map((tag) => tag.trim()).filter(Boolean);
    await post("leveret/verbs/set_user_tags", { name: user.name, tags: [...data.getAll("tag"), ...others] });
    done();
    return `The tags of ${user.name} were changed.`;
  }
  return html`<${ActDialog} title=${`Tags of ${user.name}`} verb="Set tags" act=${act} close=${close}>
    ${isOneself && html`<p class="of-ready">This is your own user. Without the tag <code>administrator</code> you cannot undo this change.</p>`}
    <fieldset class="radios"><legend>Access to this UI and the API</legend>
      ${TAGS.slice(1).map(([id, name, about]) => html`<label key=${id} class="check"><input type="checkbox" name="tag" defaultValue=${id} checked=${user.tags.includes(id)} /> <span><b>${name}</b> <span class="faint">${about}</span></span></label>`)}
    </fieldset>
    <${Field} label="Other tags" hint="Separated by commas. The broker ignores them."><input name="others" class="mono" defaultValue=${user.tags.filter((tag) => !known.includes(tag)).join(", ")} /><//>
  <//>`;
}

function Delete({ name, connections, isOneself, close }) {
  async function act() {
    await remove(path("users", name));
    go("admin", "users");
    return `The user ${name} was deleted.`;
  }
  return html`<${ActDialog} title="Delete the user" verb="Delete the user" isDanger act=${act} close=${close}>
    <p>The user <code>${name}</code> and its permissions will be deleted${connections > 0 && html`, and its <b>${plural(connections, "connection")}</b> closed`}. Queues and messages stay.${isOneself && html` <b class="of-trouble">This is your own user.</b>`}</p>
    <${TypedName} what="user" name=${name} />
  <//>`;
}
