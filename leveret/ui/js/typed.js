/** A confirmation by typing a name before something is deleted. */
import { Field } from "./components/dialog.js";
import { html } from "./html.js";

/** An input pattern that matches only this text. */
export function literally(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** A field for typing the name of an object. what: its kind. */
export function TypedName({ what, name }) {
  return html`<${Field} label=${`Type the name of the ${what} to confirm`} hint=${html`<code>${name}</code>`}><input name="typed" required autofocus pattern=${literally(name)} title=${`Type ${name}`} autocomplete="off" class="mono" /><//>`;
}
