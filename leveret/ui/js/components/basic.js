/** Small parts for all pages: names, ages, numbers, tags, empty states and errors. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html, classes } from "../html.js";
import { ago, breakable, count, exact, rate, span } from "../format.js";
import { lostAt, now } from "../live.js";
import { may } from "../api.js";

/** A name in a monospaced font that breaks at dots. to: its link. */
export function Name({ name, to, title }) {
  const text = breakable(name);
  return to
    ? html`<a class="name mono row-link" href=${to} title=${title ?? name}>${text}</a>`
    : html`<span class="name mono" title=${title ?? name}>${text}</span>`;
}

/** A time as a growing age, exact on hover. at: in milliseconds. */
export function Ago({ at }) {
  if (!at) return html`<span class="faint">–</span>`;
  return html`<time datetime=${new Date(at).toISOString()} title=${exact(at)}>${ago(at, now.value)}</time>`;
}

/** A duration. seconds: null or undefined if not known. */
export function Span({ seconds, title }) {
  return seconds === null || seconds === undefined
    ? html`<span class="faint">–</span>`
    : html`<span title=${title}>${span(seconds)}</span>`;
}

/** A number in the colour of what it counts; faint if 0. of: ready, unacked, in, out, dead, trouble. */
export function Count({ value, of }) {
  return html`<span class=${classes("number", value ? of && `of-${of}` : "faint")}>${count(value)}</span>`;
}

/** A rate, faint if 0. */
export function Rate({ value, of }) {
  return html`<span class=${classes("number", value >= 0.05 ? of && `of-${of}` : "faint")}>${rate(value)}</span>`;
}

/** A word in a box. of: as for Count. */
export function Tag({ of, title, children }) {
  return html`<span class=${classes("tag", of && `soft-${of}`)} title=${title}>${children}</span>`;
}

/** A command with a button to copy it. */
export function Command({ text }) {
  const [isCopied, setCopied] = useState(false);
  async function copy() {
    await navigator.clipboard?.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  }
  return html`<span class="command">
    <code>${text}</code>
    <button type="button" class="quiet" onClick=${copy} aria-label=${`Copy: ${text}`}>${isCopied ? "Copied" : "Copy"}</button>
  </span>`;
}

/** An empty state: what belongs here, why it is empty, and a command that fills it. */
export function Empty({ title, command, children }) {
  return html`<div class="empty">
    <h2>${title}</h2>
    ${children && html`<p>${children}</p>`}
    ${command && html`<${Command} text=${command} />`}
  </div>`;
}

/** An error: what happened, and what to do. Earlier data stays on the page. */
export function Fault({ error, what, again }) {
  if (!error || (error.status === 0 && lostAt.value)) return null;  // that the broker is gone is told above the page
  const advice = {
    0: "The page tries again automatically.",
    401: "Log in again.",
    403: "Ask an administrator for the tag or the permission.",
    404: "It may have been deleted.",
    503: "The broker is busy. The page tries again automatically.",
  }[error.status];
  return html`<div class="fault" role="alert">
    <strong>${what}</strong>
    <span>${sentence(error.message)} ${advice}</span>
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

/** A text with a capital at its beginning and a full stop at its end. */
export function sentence(text) {
  if (!text) return "";
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** Shown until the first answer arrives; CSS delays it, since most answers arrive at once. */
export function Waiting({ what = "Loading" }) {
  return html`<p class="waiting" role="status">${what}…</p>`;
}

/** Shows children to users with a tag, and to others which tag they need. what: the purpose, such as "to view users". */
export function Allowed({ tag, what, children }) {
  if (may(tag)) return children;
  return what ? html`<p class="faint small">You need the tag <b>${tag}</b> ${what}.</p>` : null;
}

/** A list of names with values. rows: [[name, value], …]; rows without a value are left out. */
export function Facts({ rows }) {
  const shown = rows.filter((row) => row && row[1] !== undefined && row[1] !== null && row[1] !== "");
  return html`<dl class="facts">
    ${shown.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** Tabs, each with its own address: tabs=${[["", "Overview"], ["messages", "Messages", 12]]}. */
export function Tabs({ tabs, current, to }) {
  const row = useRef(null);
  useEffect(() => row.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }), [current]);
  return html`<nav class="tabs" ref=${row} aria-label="Parts of this page">
    ${tabs.map(
      ([id, label, number]) => html`<a key=${id} href=${to(id)} aria-current=${id === current ? "page" : undefined}>
        ${label}${number !== undefined && html` <span class="count">${count(number)}</span>`}
      </a>`,
    )}
  </nav>`;
}

/** The heading of a page: the kind of object, its name, and its actions. */
export function Heading({ kind, title, tags, children }) {
  return html`<header class="heading">
    <div>
      ${kind && html`<p class="kind">${kind}</p>`}
      <h1 class=${classes({ mono: kind })}>${typeof title === "string" ? breakable(title) : title}</h1>
      ${tags && html`<p class="tags">${tags}</p>`}
    </div>
    <div class="actions">${children}</div>
  </header>`;
}

/** A section of a page. */
export function Section({ title, note, actions, children }) {
  return html`<section class="section">
    ${title && html`<header><h2>${title}</h2>${note && html`<span class="faint">${note}</span>`}<span class="grow"></span>${actions}</header>`}
    ${children}
  </section>`;
}
