/** Publish a message, and show which queues received it, or why none did. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, mayAny, path, post, spokenVhost, usualVhost } from "../api.js";
import { Heading, Name, sentence } from "../components/basic.js";
import { Field } from "../components/dialog.js";
import { useVhosts } from "../components/vhosts.js";
import { count, exchangeName, plural } from "../format.js";
import { html, classes } from "../html.js";
import { href, route, setQuery } from "../router.js";
import { BLANK, BodyField, Headers, PropertyFields, Where, propertiesOf } from "../messages/form.js";
import { Explanation, Hints } from "../messages/explanation.js";
import { Saved } from "../messages/saved.js";
import { explain } from "./explain.js";

const BATCH = 500;  // messages that are sent at once
const MOST = 100000;
const NUMBER = /\{\{n\}\}/g;  // replaced by the number of the message

let kept = null;  // the draft, kept while the user visits other pages

/** The question to explain() for a draft. */
function question(vhost, { exchange, key, headers, properties, payload }) {
  const { headers: _, ...plain } = propertiesOf({ properties, headers: [] });
  return { vhost, exchange, key, headers, size: new TextEncoder().encode(payload).length, properties: plain };
}

async function publishOne(vhost, { exchange, key, payload, ...rest }) {
  const { routed } = await post(`${path("exchanges", vhost, exchange || "amq.default")}/publish`, { routing_key: key, properties: propertiesOf(rest), payload: payload.replace(NUMBER, "1"), payload_encoding: "string" });
  return { published: routed ? 1 : 0, failed: routed ? 0 : 1, failures: [] };
}

/** Publish many messages in batches. tell(published). Raises: ApiError. */
async function publishMany(vhost, message, number, { abort, tell }) {
  const { exchange, key, payload, ...rest } = message;
  const properties = propertiesOf(rest);
  const total = { published: 0, failed: 0, failures: [] };
  for (let at = 0; at < number && !abort.aborted; at += BATCH) {
    const lines = [];
    for (let each = at + 1; each <= Math.min(number, at + BATCH); each += 1) lines.push(JSON.stringify({ routing_key: key, payload: payload.replace(NUMBER, String(each)), properties }));
    const answer = await post(`leveret/${path("exchanges", vhost, exchange || "amq.default")}/batch`, lines.join("\n"));
    total.published += answer.published;
    total.failed += answer.failed;
    if (!total.failures.length) total.failures = answer.failures.slice(0, 1);
    tell(total.published + total.failed);
    if (answer.failed && !answer.published) break;  // the others would fail as well
  }
  return total;
}

export default function Publish({ query }) {
  const vhosts = useVhosts();
  const vhost = query.vhost ?? usualVhost();
  const mayPublish = mayAny("write", vhost);
  const [draft, setDraft] = useState(() => ({ ...(kept ?? BLANK), exchange: query.exchange ?? "", key: query.key ?? "" }));
  const [number, setNumber] = useState("1");
  const [outcome, setOutcome] = useState(null);
  const [busy, setBusy] = useState(null);
  const abort = useRef(null);
  useEffect(() => () => abort.current?.abort(), []);
  useEffect(() => {
    const { exchange = "", key = "" } = route.peek().query;  // not from the last render: the user may have typed more since
    setDraft((old) => ({ ...old, exchange, key }));
  }, [query.exchange, query.key]);
  kept = draft;

  function change(next) {
    setDraft((old) => ({ ...old, ...next }));
    if ("exchange" in next) setQuery({ exchange: next.exchange || undefined });
    if ("key" in next) setQuery({ key: next.key || undefined });
  }

  async function run(what) {
    setBusy({ what, at: 0 });
    setOutcome(null);
    const mine = (abort.current = new AbortController());
    let found = null;
    try {
      found = await explain(question(vhost, draft), mine.signal);
      if (what === "explain") {
        setOutcome({ found });
        return;
      }
      const wanted = Number(number) || 1;
      const sent = wanted === 1 ? await publishOne(vhost, draft) : await publishMany(vhost, draft, wanted, { abort: mine.signal, tell: (at) => setBusy({ what, at, of: wanted }) });
      setOutcome({ sent, found, isStopped: mine.signal.aborted, where: { exchange: draft.exchange, key: draft.key } });
    } catch (error) {
      if (error.name !== "AbortError") setOutcome({ error, found, where: { exchange: draft.exchange, key: draft.key } });
    } finally {
      setBusy(null);
    }
  }

  function send(event) {
    event.preventDefault();
    run(event.submitter?.value === "explain" ? "explain" : "publish");
  }

  return html`
    <${Heading} title="Publish">
      <${Saved} kind="templates" what="template" label="Save as a template" current=${() => ({ ...draft, vhost })} use=${({ vhost: where, ...template }) => (setDraft({ ...BLANK, ...template }), setQuery({ vhost: where === undefined ? undefined : spokenVhost(where), exchange: template.exchange || undefined, key: template.key || undefined }))} />
    <//>
    <div class="beside wide-form">
      <form class="form" onSubmit=${send}>
        ${vhosts.length > 1 && html`<${Field} label="Virtual host"><select onChange=${(event) => setQuery({ vhost: spokenVhost(event.target.value) })}>${vhosts.map((name) => html`<option key=${name} value=${name} selected=${name === vhost}>${name}</option>`)}</select><//>`}
        <div class="form columns"><${Where} vhost=${vhost} exchange=${draft.exchange} routingKey=${draft.key} change=${change} /></div>
        <${BodyField} payload=${draft.payload} type=${draft.properties.content_type} change=${(payload) => change({ payload })} note=${Number(number) > 1 ? "{{n}} is replaced by the number of the message." : ""} />
        <${PropertyFields} properties=${draft.properties} change=${(properties) => change({ properties })} />
        <${Headers} rows=${draft.headers} change=${(headers) => change({ headers })} />
        <footer class="row">
          <label class="row">Messages <input type="number" class="short" min="1" max=${MOST} value=${number} onInput=${(event) => setNumber(event.target.value)} /></label>
          <span class="grow"></span>
          ${busy?.of && html`<button type="button" onClick=${() => abort.current.abort()}>Stop</button>`}
          <button type="submit" value="explain" disabled=${busy}>Explain first</button>
          ${mayPublish && html`<button type="submit" value="publish" class="primary" disabled=${busy}>${busy?.what === "publish" ? (busy.of ? `${count(busy.at)} of ${count(busy.of)}…` : "Publishing…") : Number(number) > 1 ? `Publish ${count(Number(number))} messages` : "Publish"}</button>`}
        </footer>
      </form>
      <div aria-live="polite">${outcome ? html`<${Outcome} vhost=${vhost} outcome=${outcome} />` : html`<${Intro} vhost=${vhost} mayPublish=${mayPublish} />`}</div>
    </div>`;
}

function Intro({ vhost, mayPublish }) {
  if (!mayPublish) return html`<p class="notice"><span>You may not publish in the virtual host <code>${vhost}</code>. An administrator can give you write permission.</span></p>`;
  return html`<p class="faint intro">After publishing, you see here which queues received the message, or why none did. “Explain first” shows how it would be routed, without publishing it.</p>`;
}

/** The result of publishing. */
function Outcome({ vhost, outcome }) {
  const { error, sent, found, where, isStopped } = outcome;
  const why = where && href("explain", { vhost: spokenVhost(vhost), exchange: where.exchange, key: where.key || undefined });
  if (error) {
    return html`<div class="outcome"><p class="verdict of-trouble"><i class="dot" aria-hidden="true"></i>Not published</p>
      <p>${sentence(found && found.outcome !== "routed" ? found.conclusion : error.message)} ${error.status === 403 ? "Ask an administrator for this permission." : ""}</p>
      ${error instanceof ApiError && error.status !== 0 && html`<p><a href=${why}>Why, step by step</a></p>`}<${Hints} found=${found} /></div>`;
  }
  if (!sent) return html`<p class="faint">Nothing was published.</p><${Explanation} vhost=${vhost} found=${found} />`;
  const isLost = !sent.published;
  return html`<div class="outcome">
    <p class=${classes("verdict", isLost ? "of-trouble" : "calm")}><i class="dot" aria-hidden="true"></i>${isLost ? "It reached no queue" : `${plural(sent.published, "message")} published`}</p>
    ${isStopped && html`<p>Stopped before all messages were sent.</p>`}
    ${!isLost && html`<p>Delivered to ${found.queues.slice(0, 8).map((name, at) => html`${at ? ", " : ""}<${Name} key=${name} name=${name} to=${href("queues", vhost, name, { tab: "messages", order: "newest" })} />`)}${found.queue_count > 8 ? ` and ${count(found.queue_count - 8)} more` : ""}. <a href=${why}>Show its route</a></p>`}
    ${sent.failed > 0 && !isLost && html`<p class="of-trouble">${plural(sent.failed, "message")} failed: ${sent.failures[0]?.reason}.</p>`}
    ${isLost && html`<p>${sent.failures[0] && sent.failures[0].error !== "unroutable" ? sentence(sent.failures[0].reason) : sentence(found.outcome === "routed" ? `no queue received it from ${exchangeName(where.exchange)}` : found.conclusion)} <a href=${why}>Why, step by step</a></p>
      <${Hints} found=${found} />`}
  </div>`;
}
