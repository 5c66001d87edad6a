/** The messages of a queue. */
import { html } from "../html.js";

export function Messages() {
  return html`<p>…</p>`;
}
