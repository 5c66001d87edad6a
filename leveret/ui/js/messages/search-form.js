/** The search form for messages. Submitting it changes the address. */
import { useEffect, useState } from "preact/hooks";
import { Choice } from "../components/table.js";
import { count } from "../format.js";
import { html } from "../html.js";
import { setQuery } from "../router.js";
import { KINDS, OPS, PROPERTIES, SUSPECTS, inWords, kindOf, readQuestion, writeQuestion } from "./question.js";
import { Saved } from "./saved.js";

/** question: the current search. queue: for the numbers of messages in each state. error: what is wrong with the search. */
export function SearchForm({ question, queue, delayed, error }) {
  const [draft, setDraft] = useState(question);
  const [isOpen, setOpen] = useState(question.where.length > 0);
  const key = JSON.stringify(question);
  useEffect(() => {
    setDraft(question);
    if (question.where.length) setOpen(true);
  }, [key]);

  const ask = (next) => {
    setDraft(next);
    setQuery({ ...writeQuestion(next), open: undefined }, true);
  };
  function send(event) {
    event.preventDefault();
    ask({ ...draft, where: draft.where.filter(isComplete) });
  }
  const setWhere = (where) => setDraft({ ...draft, where });
  const states = [
    ["ready", "Ready", count(queue.messages_ready)],
    ["unacked", "Unacknowledged", count(queue.messages_unacknowledged)],
    ["delayed", "Delayed", delayed === undefined ? undefined : count(delayed)],
    ["all", "All"],
  ];
  const isPlain = !question.text && !question.where.length;

  return html`<form class="hunt" role="search" onSubmit=${send}>
    <div class="row">
      <input type="search" class="wide" aria-label="Text in message bodies" placeholder="Search message bodies" value=${draft.text} onInput=${(event) => setDraft({ ...draft, text: event.target.value })} />
      <button type="submit" class="primary">Search</button>
      <button type="button" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOpen ? "Fewer conditions" : "More conditions"}</button>
      ${!isPlain && html`<button type="button" class="quiet" onClick=${() => ask({ ...draft, text: "", where: [] })}>Clear</button>`}
      <${Saved} kind="searches" what="search" canSave=${!isPlain} current=${() => writeQuestion(question)} use=${(kept) => ask(readQuestion(kept))} />
    </div>
    ${isOpen && html`<div class="conditions">
      ${draft.where.map((each, at) => html`<${Condition} key=${at} condition=${each}
        change=${(next) => setWhere(draft.where.map((old, index) => (index === at ? next : old)))}
        drop=${() => setWhere(draft.where.filter((_, index) => index !== at))} />`)}
      <div class="row" role="group" aria-label="Add a condition">
        <span class="faint">Add:</span>
        ${KINDS.map((kind) => html`<button key=${kind.id} type="button" class="chip" onClick=${() => setWhere([...draft.where, fresh(kind)])}>${kind.label}</button>`)}
      </div>
      <div class="row">
        <span class="faint">Suggestions:</span>
        ${SUSPECTS.map(([label, where]) => html`<button key=${label} type="button" class="chip" onClick=${() => ask({ ...draft, where })}>${label}</button>`)}
      </div>
    </div>`}
    ${error && html`<p class="fault" role="alert">${error}</p>`}
    <div class="row">
      <${Choice} name="state" label="Which messages" choices=${states} />
      <${Choice} name="order" label="Order" choices=${[["", "Oldest first"], ["newest", "Newest first"]]} />
      <label class="row small">Per page <select aria-label="Messages per page" value=${String(question.page)} onChange=${(event) => ask({ ...question, page: Number(event.target.value) })}>
        ${[50, 200, 1000].map((number) => html`<option key=${number} value=${String(number)} selected=${number === question.page}>${count(number)}</option>`)}
      </select></label>
      ${!isOpen && question.where.map((each) => html`<span key=${inWords(each)} class="tag">${inWords(each)}</span>`)}
    </div>
  </form>`;
}

/** Whether a condition is complete. */
function isComplete([field, op, value]) {
  if (kindOf(field).prefix === field) return false;
  return op === "exists" || op === "missing" || op === "=" || op === "!=" || value !== "";
}

function fresh(kind) {
  const field = kind.prefix ?? (kind.id === "property" ? "message_id" : kind.id);
  return [field, kind.ops[0], kind.choices?.[0] ?? ""];
}

/** One condition: a field, an operator and a value. */
function Condition({ condition, change, drop }) {
  const [field, op, value] = condition;
  const kind = kindOf(field);
  const needsValue = op !== "exists" && op !== "missing";
  return html`<div class="condition">
    <span class="label">${kind.label}</span>
    ${kind.prefix && html`<input class="mono" aria-label=${kind.label} placeholder=${kind.example} value=${field.slice(kind.prefix.length)} onInput=${(event) => change([kind.prefix + event.target.value, op, value])} spellcheck="false" />`}
    ${kind.id === "property" && html`<select aria-label="Property" value=${field} onChange=${(event) => change([event.target.value, op, value])}>${PROPERTIES.map((name) => html`<option key=${name} selected=${name === field}>${name}</option>`)}</select>`}
    <select aria-label=${`${kind.label}: operator`} value=${op} onChange=${(event) => change([field, event.target.value, value])}>${kind.ops.map((each) => html`<option key=${each} value=${each} selected=${each === op}>${OPS[each]}</option>`)}</select>
    ${needsValue && (kind.choices
      ? html`<select aria-label=${`${kind.label}: value`} value=${value} onChange=${(event) => change([field, op, event.target.value])}>${kind.choices.map((each) => html`<option key=${each} selected=${each === value}>${each}</option>`)}</select>`
      : html`<input class="mono" aria-label=${`${kind.label}: value`} placeholder=${kind.hint ?? "value"} value=${value} onInput=${(event) => change([field, op, event.target.value])} spellcheck="false" />`)}
    <button type="button" class="quiet" aria-label=${`Remove the condition on ${kind.label}`} onClick=${drop}>✕</button>
  </div>`;
}
