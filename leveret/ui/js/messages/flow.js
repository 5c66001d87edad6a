/**
 * The dialog of an action on messages: its options, a dry run that counts, a confirmation, and the progress. A change of
 * the options requires another dry run.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, path } from "../api.js";
import { Name, sentence } from "../components/basic.js";
import { Dialog, Field } from "../components/dialog.js";
import { count, exchangeName, plural } from "../format.js";
import { html, classes } from "../html.js";
import { useLive } from "../live.js";
import { href } from "../router.js";
import { leftovers, perform } from "./act.js";
import { Where } from "./form.js";

/** The actions. needsForm: whether the user must fill in a form before messages can be counted. verb(number): on the button. */
const ACTIONS = {
  delete: {
    title: "Delete messages",
    verb: (number) => `Delete ${plural(number, "message")}`,
    warns: "Deleted messages are not dead-lettered. This cannot be undone.",
    isDanger: true,
  },
  move: { title: "Move messages", verb: (number) => `Move ${plural(number, "message")}`, needsForm: true },
  copy: { title: "Copy messages", verb: (number) => `Copy ${plural(number, "message")}`, needsForm: true },
  publish: { title: "Republish messages", verb: (number) => `Republish ${plural(number, "message")}`, needsForm: true },
  requeue: { title: "Requeue messages", verb: (number) => `Requeue ${plural(number, "message")}` },
  redrive: { title: "Send dead letters back", verb: (number) => `Send back ${plural(number, "message")}` },
};

/** The initial values of the form. given: known values, such as {toQueue, exchange, key, reason}. */
function blank(action, given) {
  return { toQueue: "", exchange: "", key: "", keeps: action === "publish", isFront: true, rate: "", most: "3", reason: "", ...given };
}

/** The request to the API. chosen: the selected messages. */
function requestOf(action, chosen, values) {
  const request = { ...chosen };
  if (action === "requeue") return { ...request, action: "requeue", to_front: values.isFront };
  if (action === "redrive") {
    if (values.reason) request.where = [...(request.where ?? []), { field: "death.reason", op: "=", value: values.reason }];
    return { ...request, action: "redrive", max_redrives: Number(values.most) || 3, ...rateOf(values) };
  }
  if (action === "delete") return { ...request, action };
  const verb = action === "publish" ? (values.keeps ? "copy" : "move") : action;
  if (action === "publish") return { ...request, action: verb, to_exchange: values.exchange, ...(values.key ? { routing_key: values.key } : {}), ...rateOf(values) };
  return { ...request, action: verb, to_queue: values.toQueue, ...rateOf(values) };
}

function rateOf({ rate }) {
  return Number(rate) > 0 ? { rate: Number(rate) } : {};
}

/** The target as {words, to}: alternating words and names, and an address. */
function targetOf(action, vhost, name, values, homes) {
  if (action === "requeue") return { words: [values.isFront ? "to the front of the queue" : "to the end of the queue"] };
  if (action === "redrive") return homes?.length === 1 ? { words: ["back to", homes[0]], to: href("queues", vhost, homes[0]) } : { words: ["back to the queues in which they died"] };
  if (action === "delete") return { words: [] };
  if (action === "publish") return { words: ["through", exchangeName(values.exchange), ...(values.key ? ["with", values.key] : [])], to: href("exchanges", vhost, values.exchange || "amq.default") };
  return { words: ["to", values.toQueue], to: href("queues", vhost, values.toQueue, { tab: "messages" }) };
}

function Target({ target }) {
  return target.words.map((word, at) => html` ${at % 2 ? html`<code>${word}</code>` : word}`);
}

const DID = { delete: "Deleted", move: "Moved", copy: "Copied", publish: "Republished", requeue: "Requeued", redrive: "Sent" };

/** The result to show: {text, more, to, label, isTrouble, leaves}. leaves: whether messages have left their places. */
function resultOf(action, vhost, name, values, progress, homes) {
  const target = targetOf(action, vhost, name, values, homes);
  const number = progress?.done ?? 0;
  const text = `${DID[action]} ${[plural(number, "message"), ...target.words].join(" ")}`;
  const more = leftovers(progress ?? {});
  if (progress?.isStopped) more.unshift("Stopped. The other messages were not changed.");
  return { text: `${text}.`, more, to: number ? target.to : undefined, label: "Show them", isTrouble: !number, leaves: action !== "copy" && !(action === "publish" && values.keeps) };
}

/**
 * action: one of ACTIONS. chosen: the selected messages, in the format of the API. told: the same in words. given: initial
 * values. homes: names of the queues in which dead letters died. reasons: reasons of death to choose from.
 * done(result, progress).
 */
export function ActFlow({ vhost, name, action, chosen, told, given, homes, reasons, close, done }) {
  const kind = ACTIONS[action];
  const [values, setValues] = useState(() => blank(action, given));
  const [step, setStep] = useState({ at: "asked" });
  const abort = useRef(null);
  const change = (next) => {
    abort.current?.abort();
    setValues((old) => ({ ...old, ...next }));
    setStep({ at: "asked" });
  };

  async function run(isDry) {
    const mine = (abort.current = new AbortController());
    const isCurrent = () => abort.current === mine;
    const request = requestOf(action, chosen, values);
    if (!isDry) request.place = step.counted.begin;  // excludes messages that arrived since then
    const before = step.counted;
    setStep({ at: isDry ? "counting" : "acting", counted: before, progress: null });
    try {
      const tell = (progress) => isCurrent() && setStep((old) => ({ ...old, progress }));
      const last = await perform(vhost, name, { ...request, dry_run: isDry }, { abort: mine.signal, tell });
      if (!isDry) {
        done(resultOf(action, vhost, name, values, last, homes), last);
        close();
      } else if (isCurrent()) setStep(last.isStopped ? { at: "asked" } : { at: "counted", counted: last });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (isCurrent()) setStep({ at: "asked", error, isPartial: !isDry && error.progress?.done, progress: error.progress });
    }
  }

  useEffect(() => {
    if (step.at === "asked" && !kind.needsForm && !step.error) run(true);
  }, [step]);
  useEffect(() => () => step.at !== "acting" && abort.current?.abort(), []);

  function send(event) {
    event.preventDefault();
    run(step.at !== "counted");
  }

  const counted = step.at === "counted" ? step.counted : null;
  const isBusy = step.at === "counting" || step.at === "acting";
  const leave = () => (step.at === "acting" ? abort.current.abort() : close());
  return html`<${Dialog} title=${kind.title} close=${leave}>
    <form onSubmit=${send} class="form">
      <p>${told} in <code>${name}</code>.</p>
      ${step.at !== "acting" && html`<${Asked} action=${action} vhost=${vhost} name=${name} values=${values} change=${change} reasons=${reasons} />`}
      ${step.error && html`<p class="fault" role="alert">${step.isPartial ? html`<strong>${plural(step.progress.done, "message")} done before this error.</strong>` : ""} ${sentence(step.error.message)} ${step.error.status === 403 ? "Ask an administrator for this permission." : ""}</p>`}
      ${isBusy && html`<${HowFar} progress=${step.progress} isDry=${step.at === "counting"} total=${step.at === "acting" ? step.counted.done : undefined} />`}
      ${counted && html`<${Counted} action=${action} vhost=${vhost} name=${name} values=${values} counted=${counted} homes=${homes} warns=${kind.warns} />`}
      <footer>
        <button type="button" onClick=${leave}>${step.at === "acting" ? "Stop" : "Cancel"}</button>
        ${step.at !== "acting" && html`<button type="submit" class=${classes("primary", { danger: kind.isDanger && counted })} disabled=${isBusy || counted?.done === 0}>
          ${isBusy ? "Counting…" : counted ? kind.verb(counted.done) : "Count messages"}
        </button>`}
      </footer>
    </form>
  <//>`;
}

/** The options of an action. */
function Asked({ action, vhost, name, values, change, reasons }) {
  const queues = useLive(action === "move" || action === "copy" ? path("queues", vhost) : null, { columns: "name" }, { isStill: true });
  if (action === "move" || action === "copy") {
    return html`<${Field} label="To queue">
        <input class="mono" name="to" list="queues-known" required autofocus value=${values.toQueue} onInput=${(event) => change({ toQueue: event.target.value })} autocomplete="off" spellcheck="false" />
        <datalist id="queues-known">${(queues.data ?? []).filter((each) => each.name !== name || action === "copy").map((each) => html`<option key=${each.name} value=${each.name}></option>`)}</datalist>
      <//>
      <${Options} values=${values} change=${change} />`;
  }
  if (action === "publish") {
    return html`<${Where} vhost=${vhost} exchange=${values.exchange} routingKey=${values.key} change=${change} isKeyOpen />
      <label class="check"><input type="checkbox" checked=${values.keeps} onChange=${(event) => change({ keeps: event.target.checked })} /> Keep the originals here</label>
      <${Options} values=${values} change=${change} />`;
  }
  if (action === "requeue") {
    return html`<fieldset class="choices"><legend>Position in the queue</legend>
      <label class="check"><input type="radio" name="place" checked=${values.isFront} onChange=${() => change({ isFront: true })} /> Front: they are delivered next, unless the broker restarts first</label>
      <label class="check"><input type="radio" name="place" checked=${!values.isFront} onChange=${() => change({ isFront: false })} /> End</label>
    </fieldset>`;
  }
  if (action === "redrive") {
    return html`
      ${reasons?.length > 1 && html`<${Field} label="Reason">
        <select onChange=${(event) => change({ reason: event.target.value })}>
          <option value="">All reasons</option>
          ${reasons.map(([reason, text]) => html`<option key=${reason} value=${reason} selected=${reason === values.reason}>Only ${text}</option>`)}
        </select>
      <//>`}
      <${Options} values=${values} change=${change}>
        <${Field} label="Skip messages already sent back this often" hint="Prevents endless loops.">
          <input type="number" min="1" max="1000000" value=${values.most} onInput=${(event) => change({ most: event.target.value })} />
        <//>
      <//>`;
  }
  return null;
}

function Options({ values, change, children }) {
  return html`<details><summary>Options</summary>
    <div class="form columns tight">
      <${Field} label="Maximum messages per second" hint="Empty: no limit.">
        <input type="number" min="0" step="any" value=${values.rate} onInput=${(event) => change({ rate: event.target.value })} />
      <//>
      ${children}
    </div>
  </details>`;
}

/** A progress bar with the progress in words. */
export function HowFar({ progress, isDry, total }) {
  const looked = progress?.looked ?? 0;
  const all = total ?? progress?.total;
  const at = isDry ? looked : (progress?.done ?? 0);
  return html`<div role="status">
    <progress max=${all || 1} value=${all ? at : undefined} aria-label=${isDry ? "Checked" : "Done"}></progress>
    <small class="faint">${!progress ? "Starting…" : isDry ? `Checked ${count(looked)} of ${count(progress.total)}, ${count(progress.done)} selected` : `${count(progress.done)} of ${count(total)} done`}</small>
  </div>`;
}

/** The result of the dry run. */
function Counted({ action, vhost, name, values, counted, homes, warns }) {
  const target = targetOf(action, vhost, name, values, homes);
  const rest = leftovers(counted);
  const would = { delete: "deleted", move: "moved", copy: "copied", publish: values.keeps ? "copied and published" : "removed and published", requeue: "moved", redrive: "sent" }[action];
  return html`<div class="counted" role="status">
    ${counted.done
      ? html`<p><b>${plural(counted.done, "message")}</b>${counted.found > counted.done ? ` of ${count(counted.found)}` : ""} will be ${would}<${Target} target=${target} />. Nothing has changed yet.</p>`
      : html`<p><b>No message</b> ${counted.found ? `of ${count(counted.found)} ` : ""}can be ${would}<${Target} target=${target} />.${counted.found ? "" : ` They may have left the queue, or a consumer holds them${action === "requeue" && values.isFront ? ", or they are in front already" : ""}.`}</p>`}
    ${homes?.length > 1 && action === "redrive" && html`<p>Target queues: ${homes.map((home, at) => html`${at ? ", " : ""}<${Name} key=${home} name=${home} to=${href("queues", vhost, home)} />`)}.</p>`}
    ${rest.map((text) => html`<p key=${text}>${text}</p>`)}
    ${counted.done > 0 && warns && html`<p class="of-trouble">${warns}</p>`}
  </div>`;
}

/** The result of an action. result: from ActFlow. */
export function Result({ result, close }) {
  if (!result) return null;
  return html`<div class=${classes("result", { trouble: result.isTrouble })} role="status">
    <div>
      <p><b>${result.text}</b> ${result.to && html`<a href=${result.to}>${result.label}</a>`}</p>
      ${(result.more ?? []).map((text) => html`<p key=${text}>${text}</p>`)}
    </div>
    <button type="button" class="quiet" aria-label="Close this note" onClick=${close}>✕</button>
  </div>`;
}
