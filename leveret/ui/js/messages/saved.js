/** Named searches and message templates, saved in this browser. */
import { useState } from "preact/hooks";
import { ActDialog, Field, say } from "../components/dialog.js";
import { html } from "../html.js";

function read(kind) {
  try {
    const found = JSON.parse(localStorage.getItem(`leveret.${kind}`) ?? "{}");
    return typeof found === "object" && found ? found : {};
  } catch {
    return {};
  }
}

function write(kind, all) {
  try {
    localStorage.setItem(`leveret.${kind}`, JSON.stringify(all));
  } catch {
    say("This browser cannot save it: its storage is full or disabled.", "trouble");
  }
}

/**
 * kind: storage key. what: "search" or "template". current(): the value to save. use(kept): called with a saved value.
 * label: of the button, by default "Save search" or "Save template".
 */
export function Saved({ kind, what, current, use, label = `Save ${what}`, canSave = true }) {
  const [all, setAll] = useState(() => read(kind));
  const [isOpen, setOpen] = useState(false);
  const [chosen, setChosen] = useState("");
  const names = Object.keys(all).sort((one, other) => one.localeCompare(other));

  function keep(data) {
    const name = data.get("name").trim();
    const next = { ...read(kind), [name]: current() };
    write(kind, next);
    setAll(next);
    setChosen(name);
    return `The ${what} ${name} was saved in this browser.`;
  }

  function choose(name) {
    setChosen(name);
    if (name) use(all[name]);
  }

  function forget() {
    const { [chosen]: gone, ...next } = read(kind);
    write(kind, next);
    setAll(next);
    setChosen("");
    say(`The ${what} ${chosen} was deleted.`, "done", { label: "Undo", act: () => (write(kind, { ...read(kind), [chosen]: gone }), setAll(read(kind))) });
  }

  return html`<span class="saved">
    ${names.length > 0 && html`<select aria-label=${`Saved: ${what}`} value=${chosen} onChange=${(event) => choose(event.target.value)}>
      <option value="">Saved ${what === "search" ? "searches" : `${what}s`}…</option>
      ${names.map((name) => html`<option key=${name} value=${name} selected=${name === chosen}>${name}</option>`)}
    </select>`}
    ${chosen && html`<button type="button" class="quiet" onClick=${forget}>Delete</button>`}
    ${canSave && html`<button type="button" class="quiet" onClick=${() => setOpen(true)}>${label}</button>`}
    ${isOpen && html`<${ActDialog} title=${`Save this ${what}`} verb="Save" act=${keep} close=${() => setOpen(false)}>
      <${Field} label="Name" hint="Saved in this browser only."><input name="name" required maxlength="60" autofocus defaultValue=${chosen} autocomplete="off" /><//>
    <//>`}
  </span>`;
}
