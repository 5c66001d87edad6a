/** Dialogs, confirmation steps and notices. */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { html, classes } from "../html.js";
import { sentence } from "./basic.js";

/** Whether a dialog is open. It then gets all keys, even if nothing in it has the focus, as after a button was disabled. */
export function hasDialog() {
  return document.querySelector("dialog[open]") !== null;
}

/** A modal dialog. Escape, a click outside and the browser's "back" close it. */
export function Dialog({ title, close, children, isWide }) {
  const box = useRef(null);
  const leave = useRef(close);
  leave.current = close;
  useEffect(() => {
    const before = document.activeElement;
    const goneBack = () => leave.current();
    box.current.showModal();
    if (document.activeElement?.matches(".dialog-body > header button")) box.current.focus();  // not first on what closes it
    window.addEventListener("popstate", goneBack);
    return () => {
      window.removeEventListener("popstate", goneBack);
      before?.focus?.();
    };
  }, []);
  return html`<dialog
    ref=${box}
    tabindex="-1"
    class=${classes("dialog", { wide: isWide })}
    aria-label=${title}
    onCancel=${(event) => {
      event.preventDefault();
      close();
    }}
    onPointerDown=${(event) => event.target === box.current && close()}
  >
    <div class="dialog-body">
      <header><h2>${title}</h2><button type="button" class="quiet" aria-label="Close" onClick=${close}>✕</button></header>
      ${children}
    </div>
  </dialog>`;
}

/**
 * A button that opens a form in a dialog. act(data) runs the action, and may return a sentence to show afterwards;
 * an error is shown in the dialog, which stays open.
 */
export function DoneButton({ label, title, verb, act, isDanger, children, className, disabled }) {
  const [isOpen, setOpen] = useState(false);
  return html`<button type="button" class=${classes(className, { danger: isDanger })} disabled=${disabled} onClick=${() => setOpen(true)}>${label}</button>
    ${isOpen && html`<${ActDialog} title=${title ?? label} verb=${verb ?? label} act=${act} isDanger=${isDanger} close=${() => setOpen(false)}>${children}<//>`}`;
}

/**
 * A dialog that runs an action when its form is submitted. act(data): data is the FormData of the form. verb: on the
 * button. children: the content of the form.
 */
export function ActDialog({ title, verb, act, isDanger, close, children, isWide }) {
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  async function send(event) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const said = await act(new FormData(event.target));
      close();
      if (said) say(said);
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  }
  return html`<${Dialog} title=${title} close=${close} isWide=${isWide}>
    <form onSubmit=${send} class="form">
      ${children}
      ${error && html`<p class="fault" role="alert">${sentence(error.message)}</p>`}
      <footer>
        <button type="button" onClick=${close}>Cancel</button>
        <button type="submit" class=${classes("primary", { danger: isDanger })} disabled=${isBusy}>${isBusy ? "Working…" : verb}</button>
      </footer>
    </form>
  <//>`;
}

/** A field of a form, with its label above and a hint below. */
export function Field({ label, hint, children }) {
  return html`<label class="field"><span>${label}</span>${children}${hint && html`<small>${hint}</small>`}</label>`;
}

/** Recent notices: shown at the edge of the page for a while, and read by screen readers. */
const said = signal([]);
let numbers = 0;

/** Show a notice. kind: "done" or "trouble". action: {label, act}, a button, for example to undo. */
export function say(text, kind = "done", action = null) {
  const id = (numbers += 1);
  said.value = [...said.value.slice(-2), { id, text, kind, action }];
  setTimeout(() => unsay(id), action ? 12000 : 6000);
}

function unsay(id) {
  said.value = said.value.filter((each) => each.id !== id);
}

export function Said() {
  return html`<div class="said" role="status" aria-live="polite">
    ${said.value.map(
      ({ id, text, kind, action }) => html`<div key=${id} class=${kind}>
        <span>${text}</span>
        ${action && html`<button type="button" onClick=${() => (unsay(id), action.act())}>${action.label}</button>`}
        <button type="button" class="quiet" aria-label="Close" onClick=${() => unsay(id)}>✕</button>
      </div>`,
    )}
  </div>`;
}
