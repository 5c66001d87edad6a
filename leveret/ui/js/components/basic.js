/** Small things that stand everywhere: names, ages, numbers, signs, and what is said when there is nothing. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html, classes } from "../html.js";
import { ago, breakable, count, exact, rate, span } from "../format.js";
import { lostAt, now } from "../live.js";
import { may } from "../api.js";

/** The name of a thing, in mono, which breaks at dots. to: where it leads. */
export function Name({ name, to, title }) {
  const text = breakable(name);
  return to
    ? html`<a class="name mono row-link" href=${to} title=${title ?? name}>${text}</a>`
    : html`<span class="name mono" title=${title ?? name}>${text}</span>`;
}

/** When something was, told as an age that grows; exact on hover. at: in milliseconds. */
export function Ago({ at }) {
  if (!at) return html`<span class="faint">–</span>`;
  return html`<time datetime=${new Date(at).toISOString()} title=${exact(at)}>${ago(at, now.value)}</time>`;
}

/** How long something has been so, in seconds. */
export function Span({ seconds, title }) {
  return seconds === null || seconds === undefined
    ? html`<span class="faint">–</span>`
    : html`<span title=${title}>${span(seconds)}</span>`;
}

/** A number with the hue of what it counts; faint when it is 0. of: ready, unacked, in, out, dead, trouble. */
export function Count({ value, of }) {
  return html`<span class=${classes("number", value ? of && `of-${of}` : "faint")}>${count(value)}</span>`;
}

/** A rate, faint when nothing flows. */
export function Rate({ value, of }) {
  return html`<span class=${classes("number", value >= 0.05 ? of && `of-${of}` : "faint")}>${rate(value)}</span>`;
}

/** A word in a soft box. of: as with Count. */
export function Tag({ of, title, children }) {
  return html`<span class=${classes("tag", of && `soft-${of}`)} title=${title}>${children}</span>`;
}

/** A command that can be copied. */
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

/** What stands where there is nothing: what this is, why it is empty, and what fills it. */
export function Empty({ title, command, children }) {
  return html`<div class="empty">
    <h2>${title}</h2>
    ${children && html`<p>${children}</p>`}
    ${command && html`<${Command} text=${command} />`}
  </div>`;
}

/** Something that could not be had: what happened, and what to do. What was known before stays on the page. */
export function Fault({ error, what, again }) {
  if (!error || (error.status === 0 && lostAt.value)) return null;  // that the broker is gone is told above the page
  const advice = {
    0: "The page tries again by itself.",
    401: "Log in again.",
    403: "Ask an administrator for the tag or the permission.",
    404: "It may have been deleted.",
    503: "The broker is busy. The page tries again by itself.",
  }[error.status];
  return html`<div class="fault" role="alert">
    <strong>${what}</strong>
    <span>${sentence(error.message)} ${advice}</span>
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

/** With a capital at its beginning and a full stop. */
export function sentence(text) {
  if (!text) return "";
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** Shown until the first answer is there, but not at once, since most come at once. */
export function Waiting({ what = "Loading" }) {
  return html`<p class="waiting" role="status">${what}…</p>`;
}

/** Children for whoever has a tag; a word about who may for all others. */
export function Allowed({ tag, what, children }) {
  if (may(tag)) return children;
  return what ? html`<p class="faint small">${what} needs the tag <b>${tag}</b>.</p>` : null;
}

/** Names with values beneath each other. rows: [[name, value], …]; those without a value are left out. */
export function Facts({ rows }) {
  const shown = rows.filter((row) => row && row[1] !== undefined && row[1] !== null && row[1] !== "");
  return html`<dl class="facts">
    ${shown.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** Places on one page that have an address each: tabs=${[["", "Overview"], ["messages", "Messages", 12]]}. */
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

/** The heading of a page: a sign for the kind of thing, its name, and what can be done with it. */
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

/** A part of a page. */
export function Section({ title, note, actions, children }) {
  return html`<section class="section">
    ${title && html`<header><h2>${title}</h2>${note && html`<span class="faint">${note}</span>`}<span class="grow"></span>${actions}</header>`}
    ${children}
  </section>`;
}
