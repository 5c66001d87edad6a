/** The search field for all objects and pages (/), and the list of keyboard shortcuts (?). */
import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, may } from "../api.js";
import { breakable, exchangeName } from "../format.js";
import { html } from "../html.js";
import { go, href, route } from "../router.js";
import { Dialog, hasDialog } from "./dialog.js";

/** The open dialog: "search", "keys" or null. */
export const palette = signal(null);

const MOST = 40;
const PAGES = [
  ["Overview", href(), "o"],
  ["Topology", href("topology"), "t"],
  ["Queues", href("queues"), "q"],
  ["Exchanges", href("exchanges"), "e"],
  ["Connections", href("connections"), "c"],
  ["Consumers", href("consumers"), "u"],
  ["Publish a message", href("publish"), "p"],
  ["Explain a message", href("explain"), "x"],
  ["Refused and unroutable messages", href("refused"), "r"],
  ["Trace messages", href("trace"), ""],
  ["Channels", href("channels"), ""],
  ["Node", href("node"), "n"],
  ["Playground", href("playground"), "l"],
  ["Users and permissions", href("admin", "users"), "a"],
  ["Virtual hosts", href("admin", "vhosts"), "v"],
  ["Policies", href("admin", "policies"), ""],
  ["Operator policies", href("admin", "operator-policies"), ""],
  ["Limits", href("admin", "limits"), ""],
  ["Definitions", href("admin", "definitions"), ""],
];

/** All objects and pages: [kind, name, where, address]. */
async function everything() {
  const [queues, exchanges, connections, vhosts, users] = await Promise.all([
    get("queues", { columns: "name,vhost" }),
    get("exchanges", { columns: "name,vhost" }),
    get("connections", { columns: "name,user,client_properties" }),
    get("vhosts", { columns: "name" }),
    may("administrator") ? get("users", { columns: "name" }) : [],
  ]);
  return [
    ...PAGES.map(([name, address]) => ["page", name, "", address]),
    ...queues.map(({ name, vhost }) => ["queue", name, vhost, href("queues", vhost, name)]),
    ...exchanges.map(({ name, vhost }) => ["exchange", exchangeName(name), vhost, href("exchanges", vhost, name || "amq.default")]),
    ...connections.map((each) => ["connection", connectionName(each), each.user, href("connections", each.name)]),
    ...vhosts.map(({ name }) => ["virtual host", name, "", href("topology", name)]),
    ...users.map(({ name }) => ["user", name, "", href("admin", "users", name)]),
  ];
}

/** The name that the client set, or its address. */
export function connectionName(connection) {
  return connection.client_properties?.connection_name || connection.user_provided_name || connection.name;
}

function matches(all, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return all.filter(([kind]) => kind === "page");
  const found = [];
  for (const each of all) {
    const [kind, name, where] = each;
    const hay = `${name} ${where} ${kind}`.toLowerCase();
    if (!words.every((word) => hay.includes(word))) continue;
    const at = name.toLowerCase().indexOf(words[0]);
    found.push([at === 0 ? 0 : at > 0 ? 1 : 2, name.length, each]);
  }
  return found.sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, MOST).map(([, , each]) => each);
}

function Search({ close }) {
  const [all, setAll] = useState(PAGES.map(([name, address]) => ["page", name, "", address]));
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef(null);
  const found = useMemo(() => matches(all, text), [all, text]);

  useEffect(() => {
    everything().then(setAll, () => {});
  }, []);
  useEffect(() => list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }), [at]);

  function press(event) {
    if (event.key === "ArrowDown") setAt(Math.min(found.length - 1, at + 1));
    else if (event.key === "ArrowUp") setAt(Math.max(0, at - 1));
    else if (event.key === "Enter" && found[at]) {
      close();
      location.hash = found[at][3];
    } else return;
    event.preventDefault();
  }

  return html`<${Dialog} title="Find anything" close=${close}>
    <input
      class="palette-input"
      type="search"
      autofocus
      placeholder="A queue, an exchange, a client, a user, a page"
      aria-label="Find anything"
      role="combobox"
      aria-expanded="true"
      aria-controls="found"
      aria-activedescendant=${found[at] ? `found-${at}` : undefined}
      value=${text}
      onInput=${(event) => (setText(event.target.value), setAt(0))}
      onKeyDown=${press}
    />
    <ul class="palette" id="found" role="listbox" aria-label="Found" ref=${list}>
      ${found.map(
        ([kind, name, where, address], index) => html`<li key=${`${kind}${address}`} id=${`found-${index}`} role="option" aria-selected=${index === at}>
          <a href=${address} tabindex="-1" onClick=${close}><span class="kind">${kind}</span><span class=${kind === "page" ? "" : "mono"}>${breakable(name)}</span><span class="faint">${where}</span></a>
        </li>`,
      )}
      ${!found.length && html`<li class="faint">Nothing found.</li>`}
    </ul>
  <//>`;
}

const KEYS = [
  ["/", "Find anything"],
  ["?", "Show keyboard shortcuts"],
  ...PAGES.filter(([, , key]) => key).map(([name, , key]) => [`g ${key}`, `Go to: ${name}`]),
  ["↑ ↓", "Move through the rows of a table"],
  ["Enter", "Open the row"],
  ["Escape", "Close the dialog or message"],
];

function Keys({ close }) {
  return html`<${Dialog} title="Keyboard shortcuts" close=${close}>
    <dl class="facts keys">${KEYS.map(([key, what]) => html`<div key=${key}><dt>${key.split(" ").map((each) => html`<kbd key=${each}>${each}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
  <//>`;
}

export function Palette() {
  const close = () => (palette.value = null);
  if (palette.value === "search") return html`<${Search} close=${close} />`;
  if (palette.value === "keys") return html`<${Keys} close=${close} />`;
  return null;
}

let isGoing = 0;  // until when a second key after g is accepted

/** Listen for keyboard shortcuts on all pages, except in input fields. */
export function listenForKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]") || hasDialog()) return;
    const target = isGoing > event.timeStamp && PAGES.find(([, , key]) => key === event.key);
    isGoing = event.key === "g" ? event.timeStamp + 1200 : 0;
    if (target) location.hash = target[1];
    else if (event.key === "/") palette.value = "search";
    else if (event.key === "?") palette.value = "keys";
    else if (event.key === "Escape" && route.value.names.length > 2) go(...route.value.names.slice(0, 1));
    else return;
    event.preventDefault();
  });
}
