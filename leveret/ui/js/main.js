/** The entry point: reads the session, and shows the page for the address. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { resume, session } from "./api.js";
import { Empty, Fault, Waiting } from "./components/basic.js";
import { listenForKeys } from "./components/palette.js";
import { Login, Shell } from "./components/shell.js";
import { html } from "./html.js";
import { follow } from "./live.js";
import { route } from "./router.js";

/** Pages by the first part of their addresses; each is loaded on demand. */
const PAGES = {
  "": () => import("./pages/overview.js"),
  topology: () => import("./pages/topology.js"),
  queues: () => import("./pages/queues.js"),
  exchanges: () => import("./pages/exchanges.js"),
  connections: () => import("./pages/connections.js"),
  channels: () => import("./pages/channels.js"),
  consumers: () => import("./pages/consumers.js"),
  publish: () => import("./pages/publish.js"),
  explain: () => import("./pages/explain.js"),
  refused: () => import("./pages/refused.js"),
  trace: () => import("./pages/trace.js"),
  playground: () => import("./pages/playground.js"),
  node: () => import("./pages/node.js"),
  admin: () => import("./pages/admin.js"),
};

/** Addresses of RabbitMQ's UI that have another place here. */
const ELSEWHERE = {
  nodes: () => ["node"],
  users: (names) => ["admin", "users", ...names],
  vhosts: (names) => ["admin", "vhosts", ...names],
  policies: (names) => ["admin", "policies", ...names],
  limits: () => ["admin", "limits"],
};

/** The pages that are loaded, by the same parts. */
const pages = {};

function Page() {
  const { names, query } = route.value;
  const elsewhere = ELSEWHERE[names[0]];
  const [kind = "", ...rest] = elsewhere ? elsewhere(names.slice(1)) : names;
  const [loaded, setLoaded] = useState(pages);
  const [error, setError] = useState(null);
  const load = PAGES[kind];

  useEffect(() => {
    setError(null);
    if (load && !loaded[kind]) {
      load().then(
        (module) => setLoaded((old) => ({ ...old, [kind]: module.default })),
        () => setError(new Error("this page could not be loaded; the broker may be down")),
      );
    }
  }, [kind]);
  useEffect(() => {
    window.scrollTo(0, 0);
    document.title = [...rest.slice().reverse(), kind && kind[0].toUpperCase() + kind.slice(1), "Leveret"].filter(Boolean).join(" · ");
  }, [names.join("/")]);

  if (!load) return html`<${Empty} title="Page not found">The address may be from another version. Press / to search.<//>`;
  if (error) return html`<${Fault} error=${error} what="Nothing to show." again=${() => location.reload()} />`;
  if (!loaded[kind]) return html`<${Waiting} />`;
  return html`<${loaded[kind]} key=${kind} names=${rest} query=${query} />`;
}

function App() {
  const [error, setError] = useState(null);
  useEffect(() => {
    const start = () => resume().then(() => setError(null), (problem) => (setError(problem), setTimeout(start, 2000)));
    if (session.value === undefined) start();
  }, []);
  if (error) return html`<p class="starting">The broker cannot be reached. Trying again…</p>`;
  if (session.value === undefined) return html`<p class="starting">Leveret</p>`;
  if (session.value === null) return html`<${Login} />`;
  return html`<${Shell}><${Page} /><//>`;
}

/** Load the first page and read the session at the same time, so that the first drawing shows the page. */
async function begin() {
  const first = route.value.names[0] ?? "";
  const nothing = () => {};  // App and Page try again, and say what is wrong
  await Promise.all([resume().catch(nothing), PAGES[first]?.().then((module) => (pages[first] = module.default), nothing)]);
  const place = document.getElementById("app");
  place.replaceChildren();
  render(html`<${App} />`, place);
}

follow();
listenForKeys();
begin();
