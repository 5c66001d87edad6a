/** Trace: shows what happens to selected messages, live. It ends when the user leaves the page. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, lines, may, path, spokenVhost, usualVhost } from "../api.js";
import { Allowed, Empty, Heading, Name, sentence } from "../components/basic.js";
import { Field } from "../components/dialog.js";
import { useVhosts } from "../components/vhosts.js";
import { count, exchangeName, plural, size, span } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { href, setQuery } from "../router.js";

const KEPT = 2000;  // events that are kept
const PIECE = 200;  // events that are shown at first
const SHOW_MS = 200;
const FIELDS = [
  ["queue", "Queue", "messages routed to it, or in it"],
  ["exchange", "Exchange", "messages published to it"],
  ["key", "Routing key", "a topic pattern: order.*.de"],
  ["user", "User", "the publishing or consuming user"],
  ["id", "Message id", "the property message_id"],
];
const NAMES = { key: "routing_key", id: "message_id" };
const HUES = { publish: "in", deliver: "unacked", ack: "out", requeue: "ready", reject: "trouble", dead_letter: "dead", drop: "trouble" };
const WORDS = { publish: "published", deliver: "delivered", ack: "acknowledged", requeue: "requeued", reject: "rejected", dead_letter: "dead-lettered", drop: "dropped" };

/** A running trace: {events, progress, end, error, isOn, start, stop}. */
function useTrace() {
  const [state, setState] = useState({ events: [], progress: null, end: null, error: null, isOn: false, forgotten: 0 });
  const abort = useRef(null);
  useEffect(() => () => abort.current?.abort(), []);

  async function start(vhost, body) {
    abort.current?.abort();
    const mine = (abort.current = new AbortController());
    let fresh = { events: [], progress: null, end: null, error: null, isOn: true, forgotten: 0 };
    let timer = 0;
    const show = () => {
      timer = 0;
      if (abort.current === mine) setState({ ...fresh, events: [...fresh.events] });
    };
    show();
    try {
      for await (const line of lines("POST", `leveret/${path("traces", vhost)}`, { body, signal: mine.signal })) {
        if (line.event) {
          fresh.events.push({ ...line.event, at: fresh.events.length + fresh.forgotten });
          if (fresh.events.length > KEPT * 1.2) fresh.forgotten += fresh.events.splice(0, fresh.events.length - KEPT).length;
        } else fresh = { ...fresh, progress: line.progress ?? fresh.progress, end: line.end ?? fresh.end };
        timer ||= setTimeout(show, SHOW_MS);
      }
    } catch (error) {
      if (error.name === "AbortError") fresh = { ...fresh, end: "stopped" };
      else if (error instanceof ApiError) fresh = { ...fresh, error };
      else throw error;
    } finally {
      clearTimeout(timer);
      fresh = { ...fresh, isOn: false };
      show();
    }
  }

  return { ...state, start, stop: () => abort.current?.abort() };
}

export default function TracePage({ query }) {
  if (!may("administrator")) {
    return html`<${Heading} title="Trace" /><${Allowed} tag="administrator" what="to trace messages" />`;
  }
  return html`<${Traced} query=${query} />`;
}

function Traced({ query }) {
  const vhosts = useVhosts();
  const vhost = query.vhost ?? usualVhost();
  const queues = useLive(path("queues", vhost), { columns: "name" }, { isStill: true });
  const exchanges = useLive(path("exchanges", vhost), { columns: "name" }, { isStill: true });
  const trace = useTrace();
  const [only, setOnly] = useState(null);
  const known = { queue: queues.data, exchange: exchanges.data };

  function start(event) {
    event.preventDefault();
    const data = new FormData(event.target);
    const asked = Object.fromEntries(FIELDS.map(([name]) => [name, data.get(name).trim() || undefined]));
    setQuery({ ...asked, vhost: data.get("vhost") ? spokenVhost(data.get("vhost")) : undefined, seconds: data.get("seconds") === "60" ? undefined : data.get("seconds") });
    setOnly(null);
    const body = { events: 100000, seconds: Number(data.get("seconds")) };
    for (const [name, value] of Object.entries(asked)) if (value) body[NAMES[name] ?? name] = value;
    trace.start(data.get("vhost") || vhost, body);
  }

  return html`
    <${Heading} title="Trace" />
    <p class="lead">Shows what happens to messages, live, without their bodies. A trace costs the broker a few microseconds per message, and ends when you leave this page.</p>
    <form class="form trace-form" onSubmit=${start}>
      <div class="form columns tight">
        ${vhosts.length > 1 && html`<${Field} label="Virtual host"><select name="vhost">${vhosts.map((name) => html`<option key=${name} value=${name} selected=${name === vhost}>${name}</option>`)}</select><//>`}
        ${FIELDS.map(([name, label, hint]) => html`<${Field} key=${name} label=${label} hint=${hint}>
          <input class="mono" name=${name} defaultValue=${query[name] ?? ""} list=${known[name] ? `trace-${name}` : undefined} autocomplete="off" spellcheck="false" />
          ${known[name] && html`<datalist id=${`trace-${name}`}>${known[name].filter((each) => each.name).map((each) => html`<option key=${each.name} value=${each.name}></option>`)}</datalist>`}
        <//>`)}
      </div>
      <div class="row">
        <select name="seconds" aria-label="For how long">${[["60", "For a minute"], ["300", "For 5 minutes"], ["3600", "For an hour"]].map(([value, text]) => html`<option key=${value} value=${value} selected=${value === (query.seconds ?? "60")}>${text}</option>`)}</select>
        <button type="submit" class="primary">${trace.isOn ? "Restart" : "Start"}</button>
        ${trace.isOn && html`<button type="button" onClick=${trace.stop}>Stop</button>`}
        <span role="status" class="faint"><${Standing} trace=${trace} /></span>
      </div>
    </form>
    ${trace.error && html`<p class="fault" role="alert">${sentence(trace.error.message)}</p>`}
    <${Events} trace=${trace} vhost=${vhost} only=${only} setOnly=${setOnly} />`;
}

function Standing({ trace }) {
  const { isOn, progress, end, events, forgotten } = trace;
  const number = plural(events.length + forgotten, "event");
  const dropped = progress?.dropped ? `, and ${count(progress.dropped)} lost because they came too fast` : "";
  if (isOn) return html`${number}${dropped}. ${progress ? `Ends in ${span(progress.seconds)}.` : ""}`;
  return end ? html`${number}${dropped}. Trace ended: ${end}.` : null;
}

function Events({ trace, vhost, only, setOnly }) {
  const [most, setMost] = useState(PIECE);
  const [held, setHeld] = useState(null);  // the events shown while the pointer is on them
  const chosen = only === null ? trace.events : trace.events.filter(({ message }) => message === only);
  const latest = only === null ? chosen.slice(-most).reverse() : chosen;
  const shown = (only === null && trace.isOn && held) || latest;
  const fresh = shown === held && chosen.length ? chosen.at(-1).at - (held[0]?.at ?? 0) : 0;
  if (!trace.events.length) {
    if (trace.isOn) return html`<p class="faint">No events for matching messages yet.</p>`;
    return trace.end ? html`<${Empty} title="No events for matching messages">Use fewer conditions, or a longer duration.<//>` : null;
  }
  return html`
    ${only !== null && html`<p class="notice">Only message #${only}, oldest event first. <button type="button" onClick=${() => setOnly(null)}>Show all</button></p>`}
    ${fresh > 0 && html`<button type="button" class="fresh" onClick=${() => setHeld(null)}>${plural(fresh, "new event")}</button>`}
    <ol class="events" aria-label="Events" onPointerEnter=${(event) => event.pointerType === "mouse" && setHeld(latest)} onPointerLeave=${() => setHeld(null)}>
      ${shown.map((event) => html`<${Event} key=${event.at} event=${event} vhost=${vhost} follow=${() => setOnly(event.message)} />`)}
    </ol>
    ${only === null && chosen.length > most && html`<button type="button" onClick=${() => setMost(most + PIECE)}>Show older events</button>`}
    ${trace.forgotten > 0 && html`<p class="faint">Only the last ${count(KEPT)} events are kept; ${plural(trace.forgotten, "older event")} ${trace.forgotten === 1 ? "was" : "were"} dropped.</p>`}`;
}

function clock(ms) {
  return `${new Date(ms).toLocaleTimeString("en-GB")}.${String(ms % 1000).padStart(3, "0")}`;
}

function Event({ event, vhost, follow }) {
  return html`<li>
    <time class="mono faint">${clock(event.at_ms)}</time>
    <span class=${`word of-${HUES[event.event] ?? "accent"}`}>${WORDS[event.event] ?? event.event}</span>
    <button type="button" class="link mono" title="Show only this message" onClick=${follow}>#${event.message}</button>
    <span class="what">${toldOf(event, vhost)} <span class="faint">${[size(event.size ?? 0), event.message_id && `id ${event.message_id}`, event.redelivered && "redelivered", event.no_ack && "automatic acknowledgement"].filter(Boolean).join(", ")}</span></span>
  </li>`;
}

function toldOf(event, vhost) {
  const queue = (name) => html`<${Name} name=${name} to=${href("queues", vhost, name)} />`;
  const exchange = (name) => html`<${Name} name=${exchangeName(name)} to=${href("exchanges", vhost, name || "amq.default")} />`;
  const who = event.user && html`${event.connection ? html`<a href=${href("connections", event.connection)} title=${event.connection}>${event.user}</a>` : event.user}`;
  const consumer = event.consumer_tag && html` <code>${event.consumer_tag}</code>`;
  if (event.event === "publish") {
    const names = event.queues ?? [];
    const where = names.length ? html`→ ${names.map((name, at) => html`${at ? ", " : ""}${queue(name)}`)}${event.queue_count > names.length ? ` and ${event.queue_count - names.length} more` : ""}` : html`<span class="of-trouble">→ unroutable${event.outcome === "returned" ? ", returned" : ""}</span>`;
    return html`by ${who || "the broker"} to ${exchange(event.exchange)} with ${event.routing_key ? html`<code>${event.routing_key}</code>` : "no key"} ${where}`;
  }
  if (event.event === "deliver") return html`from ${queue(event.queue)} to ${who}${consumer}`;
  if (event.event === "dead_letter") return html`in ${queue(event.queue)}: ${event.reason} → ${exchange(event.dead_letter_exchange ?? "")} with <code>${event.dead_letter_routing_key}</code>`;
  if (event.event === "drop") return html`from ${queue(event.queue)}: ${event.reason}`;
  return html`in ${queue(event.queue)} by ${who || "the broker"}${consumer}`;
}
