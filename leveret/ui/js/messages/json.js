/** JSON as a foldable tree. Only open parts are rendered, so that large documents do not slow the page down. */
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { plural } from "../format.js";

const FEW = 50;  // nested values with at most this many items are open at first
const PIECE = 100;  // items that are rendered at first
const LONG = 400;  // characters of a text that are shown at first

/** The source text of a number that JavaScript cannot represent. */
class Written {
  constructor(text) {
    this.text = text;
  }
}

/** Parse JSON without losing digits of large numbers. Raises: SyntaxError. */
export function parseJson(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && context?.source && String(value) !== context.source && !Number.isSafeInteger(value) ? new Written(context.source) : value,
  );
}

export function JsonTree({ value }) {
  return html`<div class="tree mono"><${Node} value=${value} depth=${0} /></div>`;
}

function entriesOf(value) {
  return Array.isArray(value) ? value.map((item, at) => [at, item]) : Object.entries(value);
}

function Node({ name, value, depth }) {
  const isBranch = typeof value === "object" && value !== null && !(value instanceof Written);
  if (!isBranch) return html`<div class="leaf"><${Key} name=${name} /><${Leaf} value=${value} /></div>`;
  return html`<${Branch} name=${name} value=${value} depth=${depth} />`;
}

function Key({ name }) {
  if (name === undefined) return null;
  return html`<span class=${typeof name === "number" ? "index" : "key"}>${name}</span><span class="faint">: </span>`;
}

function Branch({ name, value, depth }) {
  const number = Array.isArray(value) ? value.length : Object.keys(value).length;
  const [isOpen, setOpen] = useState(number > 0 && (depth === 0 || (depth < 4 && number <= FEW)));
  const [shown, setShown] = useState(PIECE);
  const told = Array.isArray(value) ? `[${plural(number, "item")}]` : `{${plural(number, "key")}}`;
  if (!number) return html`<div class="leaf"><${Key} name=${name} /><span class="faint">${Array.isArray(value) ? "[]" : "{}"}</span></div>`;
  return html`<div class="branch">
    <button type="button" class="fold" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>
      <span class="mark" aria-hidden="true"></span><${Key} name=${name} /><span class="faint">${told}</span>
    </button>
    ${isOpen && html`<div class="inside">
      ${entriesOf(value).slice(0, shown).map(([key, item]) => html`<${Node} key=${key} name=${key} value=${item} depth=${depth + 1} />`)}
      ${shown < number && html`<button type="button" class="link" onClick=${() => setShown(shown * 4)}>Show more of ${plural(number - shown, "further item")}</button>`}
    </div>`}
  </div>`;
}

function Leaf({ value }) {
  const [isWhole, setWhole] = useState(false);
  if (value instanceof Written) return html`<span class="of-in">${value.text}</span>`;
  if (typeof value !== "string") return html`<span class="of-in">${String(value)}</span>`;
  const isCut = value.length > LONG && !isWhole;
  return html`<span class="text">"${isCut ? value.slice(0, LONG) : value}${isCut ? "" : '"'}</span>
    ${isCut && html`<button type="button" class="link" onClick=${() => setWhole(true)}>… ${plural(value.length - LONG, "further character")}</button>`}`;
}
