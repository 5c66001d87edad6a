/** Dead letters: send them home. */
import { html } from "../html.js";

export function DeadLetters() {
  return html`<p></p>`;
}
