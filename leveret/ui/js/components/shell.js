/** The frame of all pages: the menu, the user, and the state of the connection to the broker. */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { hasExpired, logIn, logOut, may, mayAny, session } from "../api.js";
import { brief, span } from "../format.js";
import { html, classes } from "../html.js";
import { lostAt, now, totals } from "../live.js";
import { href, route } from "../router.js";
import { currentTheme, setTheme } from "../theme.js";
import { Said } from "./dialog.js";
import { Palette, palette } from "./palette.js";
import { sentence } from "./basic.js";

const isOpen = signal(false);  // the menu, on a small screen

const ICON = new URL("../../icon.svg", import.meta.url).href;

function places() {
  return [
    [null, [["", "Overview"], ["topology", "Topology"]]],
    [
      "Objects",
      [
        ["queues", "Queues", totals.value?.queues],
        ["exchanges", "Exchanges"],
        ["connections", "Connections", totals.value?.connections],
        ["consumers", "Consumers"],
      ],
    ],
    ["Messages", [mayAny("write") && ["publish", "Publish"], ["explain", "Explain"], ["refused", "Refused"], may("administrator") && ["trace", "Trace"]]],
    ["Learn", [["playground", "Playground"]]],
    ["Broker", [["node", "Node"], ["admin", "Admin"]]],
  ];
}

const PART_OF = { channels: "connections", users: "admin", vhosts: "admin", policies: "admin", limits: "admin" };

function Sidebar() {
  const here = PART_OF[route.value.names[0]] ?? route.value.names[0] ?? "";
  return html`<aside class=${classes("sidebar", { "is-open": isOpen.value })} id="menu">
    <a class="brand" href="#/"><img src=${ICON} alt="" />Leveret</a>
    <nav class="nav" aria-label="Pages" onClick=${() => (isOpen.value = false)}>
      ${places().map(
        ([title, links]) => html`<div key=${title}>
          ${title && html`<h2>${title}</h2>`}
          ${links.filter(Boolean).map(
            ([where, label, number]) => html`<a key=${where} href=${where ? href(where) : "#/"} aria-current=${here === where ? "page" : undefined}>
              ${label}${number !== undefined && html`<span class="count">${brief(number)}</span>`}
            </a>`,
          )}
        </div>`,
      )}
    </nav>
    <div class="bottom">
      <${Contact} />
      <${Theme} />
      <div class="line"><span title=${`Tags: ${session.value.tags.join(", ") || "none"}`}>${session.value.name}</span><span class="grow"></span>
        <button type="button" class="quiet" onClick=${logOut}>Log out</button></div>
    </div>
  </aside>`;
}

/** Whether the shown data is current. */
function Contact() {
  const lost = lostAt.value;
  if (lost) return html`<div class="line of-trouble" role="status"><i class="dot"></i>Disconnected ${span((now.value - lost) / 1000)} ago</div>`;
  return html`<div class="line"><i class=${classes("dot", { live: totals.value })}></i>${totals.value ? "Live" : "Connecting…"}</div>`;
}

function Theme() {
  const [theme, set] = useState(currentTheme());
  return html`<div class="line choice" role="group" aria-label="Theme">
    ${["system", "light", "dark"].map(
      (each) => html`<button key=${each} type="button" aria-pressed=${theme === each} onClick=${() => (setTheme(each), set(each))}>${each[0].toUpperCase() + each.slice(1)}</button>`,
    )}
  </div>`;
}

function Topbar() {
  return html`<div class="topbar">
    <button type="button" class="menu-button" aria-expanded=${isOpen.value} aria-controls="menu" onClick=${() => (isOpen.value = !isOpen.value)}>Menu</button>
    <button type="button" class="finder" onClick=${() => (palette.value = "search")}><span>Find anything</span><kbd>/</kbd></button>
    <span class="grow"></span>
    <button type="button" class="quiet" aria-label="Keyboard shortcuts" title="Keyboard shortcuts" onClick=${() => (palette.value = "keys")}><kbd>?</kbd></button>
  </div>`;
}

/** The frame with a page in it. */
export function Shell({ children }) {
  useEffect(() => {
    isOpen.value = false;
  }, [route.value.names.join("/")]);
  return html`<div class="shell">
      <a class="skip" href="#content" onClick=${(event) => (event.preventDefault(), document.querySelector("#content").focus())}>Skip to the page</a>
      <${Sidebar} />
      <div class="main">
        <${Topbar} />
        ${lostAt.value && html`<${Lost} />`}
        <main id="content" tabindex="-1">${children}</main>
      </div>
    </div>
    <${Palette} />
    <${Said} />`;
}

function Lost() {
  return html`<p class="lost" role="alert">
    <strong>The broker cannot be reached.</strong> This data is ${span((now.value - lostAt.value) / 1000)} old. The page tries again automatically.
  </p>`;
}

/** The login form, shown without a session and after a session has ended. */
export function Login() {
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const name = useRef(null);
  useEffect(() => name.current.focus(), []);  // autofocus works when a page loads, but not after a logout
  async function send(event) {
    event.preventDefault();
    const data = new FormData(event.target);
    setBusy(true);
    setError(null);
    try {
      await logIn(data.get("username"), data.get("password"));
    } catch (problem) {
      setError(
        problem.status === 401
          ? "The user name or the password is wrong, or this user may not log in from here."
          : problem.status === 403
            ? "This user may not use the web UI. An administrator can give it the tag management."
            : sentence(problem.message),
      );
    } finally {
      setBusy(false);
    }
  }
  return html`<main class="login">
    <form onSubmit=${send} class="form">
      <div class="brand"><img src=${ICON} alt="" />Leveret</div>
      ${hasExpired.value && html`<p class="lost" role="status">Your session has ended. Log in again to continue where you were.</p>`}
      <label class="field"><span>User name</span><input ref=${name} name="username" autocomplete="username" required /></label>
      <label class="field"><span>Password</span><input name="password" type="password" autocomplete="current-password" required /></label>
      ${error && html`<p class="fault" role="alert">${error}</p>`}
      <button type="submit" class="primary" disabled=${isBusy}>${isBusy ? "Checking…" : "Log in"}</button>
      <p class="faint small">A new broker has the user <code>guest</code> with the password <code>guest</code>, which can log in from this machine only.</p>
    </form>
  </main>`;
}
