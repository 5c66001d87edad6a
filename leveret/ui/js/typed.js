/** What somebody has to type before something is destroyed. */
import { Field } from "./components/dialog.js";
import { html } from "./html.js";

/** A pattern of an input that only this text fits. */
export function literally(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** A field into which the name has to be typed. what: of which kind it is. */
export function TypedName({ what, name }) {
  return html`<${Field} label=${`Type the name of the ${what}`} hint=${html`It is <code>${name}</code>.`}><input name="typed" required autofocus pattern=${literally(name)} title=${`Type ${name}`} autocomplete="off" class="mono" /><//>`;
}
