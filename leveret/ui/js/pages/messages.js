/** The messages of a queue: search, list and actions. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, mayAny, maySend } from "../api.js";
import { Ago, Empty, Fault } from "../components/basic.js";
import { Dialog, hasDialog, say } from "../components/dialog.js";
import { Table } from "../components/table.js";
import { breakable, count, plural, size, span } from "../format.js";
import { html, classes } from "../html.js";
import { now } from "../live.js";
import { href, route, setQuery } from "../router.js";
import { exported, save } from "../messages/act.js";
import { ActFlow, HowFar, Result } from "../messages/flow.js";
import { useHunt } from "../messages/hunt.js";
import { OpenMessage } from "../messages/open.js";
import { readQuestion, requestOf } from "../messages/question.js";
import { SearchForm } from "../messages/search-form.js";
import { BRIEF } from "../messages/story.js";

const LINE = 200;  // characters of a body in the list
const BEFORE = 12;  // characters before the text that was found
const NO_ORDER = { by: "", isDown: false, name: "sort" };

/** The parts of the address that select messages. */
function asked({ text, state, where, order, n }) {
  return JSON.stringify({ text, state, where, order, n });
}

export function Messages({ vhost, name, queue, query, reload }) {
  const question = useMemo(() => readQuestion(query), [asked(query)]);
  const [request, wrong] = useMemo(() => readable(question), [question]);
  const hunt = useHunt(vhost, name, request, question.page);
  const [chosen, setChosen] = useState(new Set());
  const [isAll, setAll] = useState(false);
  const [act, setAct] = useState(null);
  const [result, setResult] = useState(null);
  const open = query.open;
  const key = asked(query);

  useEffect(() => {
    setChosen(new Set());
    setAll(false);
  }, [key]);

  useEffect(() => {
    if (open) document.querySelector(".messages tr.is-open")?.scrollIntoView({ block: "nearest" });
  }, [open]);

  const at = hunt.rows.findIndex(({ id }) => id === open);
  const to = (id) => href(...route.value.names, { ...route.value.query, open: id });
  const leave = () => setQuery({ open: undefined }, true);
  const next = hunt.rows[at + 1] && at >= 0 ? to(hunt.rows[at + 1].id) : null;
  const previous = at > 0 ? to(hunt.rows[at - 1].id) : null;
  useKeys(Boolean(open), { next, previous, leave, hasMore: hunt.hasMore && at === hunt.rows.length - 1 ? hunt.more : null });

  /** A selection of messages in the format of the API. */
  function meant(ids) {
    const begin = (request.states.includes("ready") && hunt.begin) || undefined;
    if (!ids) return { ...request, states: ["ready"], place: begin, all: true };
    const first = hunt.rows.find(({ id, state }) => ids.has(id) && state === "ready");
    return { ids: [...ids], states: ["ready"], limit: ids.size, newest_first: question.isNewest, place: first?.from ?? begin };
  }
  const scope = isAll ? null : chosen;
  const free = scope && hunt.rows.filter(({ id, state }) => scope.has(id) && state === "ready").length;

  /** After an action. ids: of messages that have left their places, or null if they are not known. */
  function done(text, ids) {
    setResult(text);
    reload();
    if (!text.leaves) return;
    setChosen(new Set());
    setAll(false);
    if (!ids) {
      hunt.again();
      return;
    }
    hunt.forget(ids);
    if (ids.has(open)) setQuery({ open: undefined });
  }

  const begin = (action, ids, told) => setAct({ action, ids, told, given: givenFor(action, hunt.rows.filter(({ id }) => !ids || ids.has(id))) });
  const isBeginning = !hunt.rows.length && (hunt.isRunning || !hunt.at);
  const isOpenAlone = open && at < 0;

  return html`
    <${SearchForm} question=${question} queue=${queue} error=${wrong} />
    <${Result} result=${result} close=${() => setResult(null)} />
    <${Progress} hunt=${hunt} question=${question} />
    ${hunt.error && html`<${Fault} error=${hunt.error} what="The search failed." again=${hunt.rows.length ? hunt.more : hunt.again} />`}
    <div class=${classes("messages", { "has-open": open })}>
      <div class="list">
        ${hunt.rows.length > 0 && html`
          <${Toolbar} hunt=${hunt} chosen=${chosen} isAll=${isAll} setAll=${setAll} clear=${() => (setChosen(new Set()), setAll(false))} free=${free}
            begin=${(action) => begin(action, scope, scope ? plural(free, "selected message") : `All ready messages that match${question.text || question.where.length ? " this search" : ""}`)}
            request=${scope ? { ...meant(scope), states: request.states } : { ...request, place: hunt.begin ?? undefined, limit: null }} vhost=${vhost} name=${name} question=${question} />
          <${List} name=${name} rows=${hunt.rows} open=${open} to=${to} chosen=${chosen} choose=${(next) => (setChosen(next), setAll(false))} isAll=${isAll} question=${question} about=${`${key} ${hunt.rows.length}`} />
          ${hunt.hasMore && html`<button type="button" class="more" onClick=${hunt.more}>${hunt.isStopped ? "Continue" : "Show more"}</button>`}`}
        ${!hunt.rows.length && !isBeginning && !hunt.error && !wrong && html`<${Nothing} hunt=${hunt} question=${question} queue=${queue} hasLeft=${Boolean(result?.leaves)} />`}
      </div>
      ${open && html`<${OpenMessage} vhost=${vhost} name=${name} id=${open} known=${at >= 0 ? hunt.rows[at] : undefined} isNewest=${question.isNewest}
        at=${isOpenAlone ? -1 : at} of=${hunt.rows.length} next=${next} previous=${previous} close=${leave}
        act=${(action) => begin(action, new Set([open]), "This message")}
        edited=${(text, gone) => done({ ...text, leaves: Boolean(gone) }, gone && new Set([gone]))} />`}
    </div>
    ${act && html`<${ActFlow} vhost=${vhost} name=${name} action=${act.action} chosen=${meant(act.ids)} told=${act.told} given=${act.given} homes=${act.given.homes}
      close=${() => setAct(null)} done=${(text, progress) => done(text, act.ids && progress?.done === act.ids.size ? act.ids : null)} />`}`;
}

/** The request to the API, or the error in the question. */
function readable(question) {
  try {
    return [requestOf(question), null];
  } catch (error) {
    return [null, `The search is not valid: ${error.message}.`];
  }
}

/** The initial values of a form: for a dead letter, its exchange and routing key before it died. */
function givenFor(action, rows) {
  const homes = [...new Set(rows.map(({ death }) => death?.queue).filter(Boolean))];
  if (action === "redrive") return { homes };
  const [first] = rows;
  if (action !== "publish" || rows.length !== 1) return {};
  return first.death ? { exchange: first.death.exchange, key: first.death.routing_keys[0] ?? "" } : { exchange: first.exchange, key: first.routing_key };
}

/** Keyboard shortcuts while a message is open: arrows open its neighbours, Escape closes it. */
function useKeys(isOpen, does) {
  const current = useRef(does);
  current.current = does;
  useEffect(() => {
    if (!isOpen) return undefined;
    function press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), textarea, select, .raw") || hasDialog()) return;
      const { next, previous, leave, hasMore } = current.current;
      if (event.key === "Escape") leave();
      else if (event.key === "ArrowDown" && next) location.replace(next);
      else if (event.key === "ArrowDown" && hasMore) hasMore();
      else if (event.key === "ArrowUp" && previous) location.replace(previous);
      else if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      event.stopPropagation();
    }
    document.addEventListener("keydown", press, true);
    return () => document.removeEventListener("keydown", press, true);
  }, [isOpen]);
}

/** The progress of the search. */
function Progress({ hunt, question }) {
  const { progress, isRunning, isStopped, rows } = hunt;
  if (!progress && !isRunning) return null;
  const isPlain = !question.text && !question.where.length;
  const what = isPlain ? `${plural(rows.length, "message")} of ${count(progress?.total ?? 0)}` : `${isRunning || isStopped ? "searched" : "Searched"} ${count(progress?.looked ?? 0)} of ${count(progress?.total ?? 0)}, ${count(rows.length)} found`;
  const problems = [];
  if (progress?.missing) problems.push(`${plural(progress.missing, "message")} could not be read from the disk.`);
  if (progress?.undecided) problems.push(`The pattern took too long in ${plural(progress.undecided, "message")}, which count as not found.`);
  return html`<div class="progress">
    ${isRunning && progress && !isPlain && html`<progress max=${progress.total || 1} value=${progress.looked} aria-label="Searched"></progress>`}
    <span role="status">${isRunning ? "Searching: " : isStopped ? "Stopped: " : ""}${what}${!isRunning && !isPlain && !progress?.place ? ". Search complete" : ""}.</span>
    ${problems.map((text) => html`<span key=${text} class="of-trouble">${text}</span>`)}
    ${isRunning ? html`<button type="button" onClick=${hunt.stop}>Stop</button>` : html`
      ${isStopped && hunt.hasMore && html`<button type="button" onClick=${hunt.more}>Continue</button>`}
      <span class="faint">Loaded <${Ago} at=${hunt.at} />.</span>
      <button type="button" class="link" onClick=${hunt.again}>Refresh</button>`}
  </div>`;
}

function Nothing({ hunt, question, queue, hasLeft }) {
  if (hunt.progress?.place) {
    return html`<p class="notice">Nothing found yet. <button type="button" onClick=${hunt.more}>Continue</button></p>`;
  }
  if (question.text || question.where.length) {
    return html`<${Empty} title=${hasLeft ? "No other matching messages" : "No matching messages"}>Searched ${plural(hunt.progress?.looked ?? 0, `${{ ready: "ready ", unacked: "unacknowledged ", delayed: "delayed " }[question.state] ?? ""}message`)}. The search is case-sensitive and does not search compressed bodies.<//>`;
  }
  const held = queue.messages_unacknowledged;
  if (question.state === "ready" && held) {
    return html`<${Empty} title="No ready messages"><a href=${href(...route.value.names, { ...route.value.query, state: "unacked" })}>${plural(held, "message")} ${held === 1 ? "is" : "are"} held by consumers.</a><//>`;
  }
  if (question.state === "unacked") return html`<${Empty} title="No unacknowledged messages">Consumers hold no messages at the moment. Messages that are processed quickly rarely appear here.<//>`;
  if (question.state === "delayed") return html`<${Empty} title="No delayed messages">Messages that wait for a delayed retry appear here.<//>`;
  return html`<${Empty} title="No messages" command=${`leveret messages publish --key ${queue.name} hello`}>Messages that wait for a consumer appear here. <a href=${href("publish", { key: queue.name, vhost: queue.vhost })}>Publish one</a>.<//>`;
}

/** Actions on the selected messages. */
function Toolbar({ hunt, chosen, isAll, setAll, clear, free, begin, request, vhost, name, question }) {
  const number = isAll ? null : chosen.size;
  const hasDead = hunt.rows.some(({ death, id }) => death && (isAll || chosen.has(id)));
  const isFiltered = question.text || question.where.length;
  const canAct = isAll ? question.state === "ready" || question.state === "all" : free > 0;
  if (!isAll && !number) {
    return html`<div class="toolbar"><span class="faint">Select messages to ${maySend(vhost) ? "move, copy, " : ""}delete or export, or</span>
      <button type="button" class="link" onClick=${() => setAll(true)}>select all ${isFiltered ? "matches" : "in the queue"}</button></div>`;
  }
  return html`<div class="toolbar chosen" role="group" aria-label="Actions on the selected messages">
    <b>${isAll ? (isFiltered ? "All matches" : "All in the queue") : `${count(number)} selected`}</b>
    ${!isAll && html`<button type="button" class="link" onClick=${() => setAll(true)}>Select all ${isFiltered ? "matches" : "in the queue"}</button>`}
    <button type="button" class="link" onClick=${clear}>Clear selection</button>
    <span class="grow"></span>
    ${canAct && html`
      ${maySend(vhost) && html`
        ${hasDead && html`<button type="button" onClick=${() => begin("redrive")}>Send back</button>`}
        <button type="button" onClick=${() => begin("move")}>Move</button>
        <button type="button" onClick=${() => begin("copy")}>Copy</button>`}
      ${mayAny("write", vhost) && html`<button type="button" onClick=${() => begin("publish")}>Republish</button>`}
      <button type="button" onClick=${() => begin("requeue")}>Requeue</button>`}
    <${Export} vhost=${vhost} name=${name} request=${request} />
    ${canAct ? html`<button type="button" class="danger" onClick=${() => begin("delete")}>Delete</button>` : html`<small class="faint">Unacknowledged and delayed messages can only be exported.</small>`}
    ${canAct && !isAll && free < number && html`<small class="faint">${plural(number - free, "message")} ${number - free === 1 ? "is" : "are"} unacknowledged or delayed, and can only be exported.</small>`}
  </div>`;
}

function Export({ vhost, name, request }) {
  const [state, setState] = useState(null);
  const abort = useRef(null);
  async function run() {
    abort.current = new AbortController();
    setState({ number: 0, size: 0 });
    try {
      const { blob, number } = await exported(vhost, name, request, { abort: abort.current.signal, tell: (number, size, progress) => setState({ number, size, progress }) });
      save(blob, `${name.replace(/[^\w.-]+/g, "_").slice(0, 80) || "messages"}.ndjson`);
      say(`${plural(number, "message")} exported, ${size(blob.size)}. Import the file with: leveret messages import.`);
    } catch (error) {
      if (error.name !== "AbortError") {
        if (!(error instanceof ApiError)) throw error;
        say(`The export failed: ${error.message}.`, "trouble");
      }
    } finally {
      setState(null);
    }
  }
  return html`<button type="button" onClick=${run}>Export</button>
    ${state && html`<${Dialog} title="Export messages" close=${() => abort.current.abort()}>
      <p>${plural(state.number, "message")}, ${size(state.size)} so far.</p>
      <${HowFar} progress=${state.progress && { ...state.progress, done: state.number }} isDry />
      <div class="form"><footer><button type="button" onClick=${() => abort.current.abort()}>Stop</button></footer></div>
    <//>`}`;
}

/** The beginning of a body, or the part with the text that was found. */
function FirstLine({ message, text }) {
  const { payload, payload_encoding: encoding, payload_bytes: bytes, properties } = message;
  if (!bytes) return html`<span class="faint">no body</span>`;
  if (encoding === "base64") return html`<span class="faint">${properties.content_encoding ?? "binary"}, ${size(bytes)}</span>`;
  const found = text ? payload.indexOf(text) : -1;
  const from = found > BEFORE * 2 ? found - BEFORE : 0;
  const cut = (start, end) => payload.slice(start, end).replace(/\s+/g, " ");
  if (found < 0) return html`<code>${cut(0, LINE)}</code>`;
  return html`<code>${from ? "…" : ""}${cut(from, found)}<mark>${cut(found, found + text.length)}</mark>${cut(found + text.length, from + LINE)}</code>`;
}

/** The state of a message in a few words. */
function State({ message, hasDied }) {
  const { held, death, redelivered } = message;
  if (held) return html`<span class="of-unacked" title=${`${held.connection}, channel ${held.channel}`}>held by ${held.consumer_tag || held.label || "a client"} for ${span((now.value - message.heldAt) / 1000)}</span>`;
  const said = [];
  if (message.state === "delayed") said.push(html`<span>ready in ${span(Math.max(0, message.dueAt - now.value) / 1000)}</span>`);
  if (death && hasDied) said.push(html`<span class="of-dead">${BRIEF[death.reason] ?? death.reason} in ${death.queue}</span>`);
  if (death?.redriven) said.push(html`<span class="of-dead">sent back ${death.redriven === 1 ? "once" : `${death.redriven} times`}</span>`);
  if (redelivered) said.push(html`<span class="of-ready">redelivered</span>`);
  return html`<span class="states">${said}</span>`;
}

/** The common death of all messages, null if they differ. */
function sameDeath(rows) {
  const told = ({ death }) => death && `${BRIEF[death.reason] ?? death.reason} in ${death.queue}`;
  const first = rows.length > 1 ? told(rows[0]) : null;
  return first && rows.every((row) => told(row) === first) ? first : null;
}

function List({ name, rows, open, to, chosen, choose, isAll, question, about }) {
  const sameKey = rows.length > 1 && rows.every(({ routing_key: key }) => key === rows[0].routing_key);
  const died = sameDeath(rows);
  const hasStates = rows.some(({ held, death, redelivered, state }) => held || (death && (!died || death.redriven)) || redelivered || state === "delayed");
  const allShown = rows.length > 0 && rows.every(({ id }) => chosen.has(id));

  function toggle(id) {
    const next = new Set(isAll ? rows.map((row) => row.id) : chosen);
    if (!next.delete(id)) next.add(id);
    choose(next);
  }

  const columns = [
    {
      id: "chosen",
      narrow: "pick",
      label: html`<input type="checkbox" aria-label="Select all shown messages" checked=${isAll || allShown} onChange=${() => choose(isAll || allShown ? new Set() : new Set(rows.map(({ id }) => id)))} />`,
      cell: (row) => html`<label><input type="checkbox" aria-label=${`Select ${row.id}`} checked=${isAll || chosen.has(row.id)} onChange=${() => toggle(row.id)} /></label>`,
    },
    !sameKey && { id: "key", label: "Routing key", narrow: "of-key", cell: (row) => html`<a class="name mono row-link" href=${to(row.id)} title=${row.routing_key}>${breakable(row.routing_key) || "(none)"}</a>` },
    { id: "body", label: "Body", isWide: true, cell: (row) => (sameKey ? html`<a class="name row-link" href=${to(row.id)}><${FirstLine} message=${row} text=${question.text} /></a>` : html`<${FirstLine} message=${row} text=${question.text} />`) },
    hasStates && { id: "state", label: "State", narrow: "of-state", cell: (row) => html`<${State} message=${row} hasDied=${!died} />` },
    { id: "size", label: "Size", isNumber: true, narrow: "of-size", cell: (row) => size(row.payload_bytes) },
    { id: "age", label: "Age", isNumber: true, narrow: "of-age", title: "Time since the broker accepted the message", cell: (row) => html`<${Ago} at=${row.arrivedAt} />` },
  ].filter(Boolean);

  return html`${(sameKey || died) && html`<p class="faint small">All messages${sameKey ? html` have the routing key <code>${rows[0].routing_key || "(none)"}</code>` : ""}${sameKey && died ? " and were" : died ? " were" : ""}${died ? html` <span class="of-dead">${died}</span>` : ""}.</p>`}
    <${Table} name=${`Messages of ${name}`} rows=${rows} keyOf=${({ id }) => id} columns=${columns} order=${NO_ORDER} about=${about} openAt=${(row) => to(row.id)} mark=${(row) => (row.id === open ? "is-open" : "")} />`;
}
