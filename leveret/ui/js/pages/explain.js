/** Explain: how the broker would route a message, without publishing it. */
import { useEffect, useState } from "preact/hooks";
import { ApiError, may, path, post, spokenVhost, usualVhost } from "../api.js";
import { Fault, Heading, Waiting } from "../components/basic.js";
import { Field } from "../components/dialog.js";
import { useVhosts } from "../components/vhosts.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { href, setQuery } from "../router.js";
import { Explanation } from "../messages/explanation.js";
import { Headers, Where, headersOf } from "../messages/form.js";

/** The message in the address. */
function readAsked(query) {
  let headers = [];
  try {
    headers = JSON.parse(query.headers ?? "[]").filter((each) => Array.isArray(each) && each.length === 2);
  } catch {
    // a damaged address has no headers
  }
  return { vhost: query.vhost ?? usualVhost(), exchange: query.exchange ?? "", key: query.key ?? "", user: query.user ?? "", size: query.size ?? "", headers };
}

/** Request the explanation of a message, which is persistent unless its properties say otherwise. */
export async function explain({ vhost, exchange, key, headers, user, size, properties }, signal) {
  const body = { exchange, routing_key: key, headers: headersOf(headers ?? []), properties: properties ?? { delivery_mode: 2 } };
  if (user) body.user = user;
  if (Number(size)) body.size = Number(size);
  return post(`leveret/${path("explain", vhost)}`, body, { signal });
}

export default function Explain({ query }) {
  const isAsked = query.exchange !== undefined || query.key !== undefined;
  const key = JSON.stringify(readAsked(query));
  const [draft, setDraft] = useState(() => readAsked(query));
  const [state, setState] = useState({ found: null, error: null });
  const [turn, setTurn] = useState(0);
  const vhosts = useVhosts();
  const users = useLive(may("administrator") ? "users" : null, { columns: "name" }, { isStill: true });
  const asked = readAsked(query);

  useEffect(() => {
    setDraft(asked);
    if (!isAsked) {
      setState({ found: null, error: null });
      return undefined;
    }
    const abort = new AbortController();
    explain(asked, abort.signal).then(
      (found) => setState({ found, error: null }),
      (error) => {
        if (error.name === "AbortError") return;
        if (!(error instanceof ApiError)) throw error;
        setState({ found: null, error });
      },
    );
    return () => abort.abort();
  }, [key, isAsked, turn]);

  const change = (next) => setDraft((old) => ({ ...old, ...next }));
  function send(event) {
    event.preventDefault();
    const { vhost, exchange, key: routing, user, size, headers } = draft;
    setQuery({ vhost: spokenVhost(vhost), exchange: exchange || undefined, key: routing || undefined, user: user || undefined, size: size || undefined, headers: headers.length ? JSON.stringify(headers) : undefined }, true);
    setTurn((old) => old + 1);
  }

  return html`
    <${Heading} title="Explain"><a class="button" href=${href("publish", { vhost: spokenVhost(draft.vhost), exchange: draft.exchange, key: draft.key })}>Publish this message</a><//>
    <p class="lead">See how the broker would route a message. Nothing is published, and nothing changes.</p>
    <div class="beside">
      <form class="form" onSubmit=${send}>
        ${vhosts.length > 1 && html`<${Field} label="Virtual host"><select onChange=${(event) => change({ vhost: event.target.value })}>${vhosts.map((name) => html`<option key=${name} value=${name} selected=${name === draft.vhost}>${name}</option>`)}</select><//>`}
        <${Where} vhost=${draft.vhost} exchange=${draft.exchange} routingKey=${draft.key} change=${change} />
        <${Headers} rows=${draft.headers} change=${(headers) => change({ headers })} />
        ${may("administrator") && html`<${Field} label="As user" hint="Empty: permissions are not checked.">
          <input class="mono" list="users-known" value=${draft.user} onInput=${(event) => change({ user: event.target.value })} autocomplete="off" />
          <datalist id="users-known">${(users.data ?? []).map(({ name }) => html`<option key=${name} value=${name}></option>`)}</datalist>
        <//>`}
        <footer><button type="submit" class="primary">Explain</button></footer>
      </form>
      <div aria-live="polite">
        ${state.error && html`<${Fault} error=${state.error} what="The message could not be explained." again=${() => setTurn(turn + 1)} />`}
        ${state.found && html`<${Explanation} vhost=${asked.vhost} found=${state.found} />`}
        ${!state.found && !state.error && (isAsked ? html`<${Waiting} what="Explaining" />` : html`<${Intro} />`)}
      </div>
    </div>`;
}

function Intro() {
  return html`<div class="intro">
    <p>Enter an exchange and a routing key. The answer shows each step: permissions, matching bindings with reasons, the queues that receive the message, when it expires, and where it goes if it is rejected.</p>
    <p>If the message reaches no queue, the answer suggests likely causes: a key that differs in case, a wildcard in a direct exchange, a queue of that name in another virtual host.</p>
    <p>Recent unroutable messages are on the page <a href=${href("refused")}>Refused</a>.</p>
  </div>`;
}
