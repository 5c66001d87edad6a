/** The dead letters in a queue: their number, source queues and reasons, and a button to send them back. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, lines, maySend } from "../api.js";
import { Name } from "../components/basic.js";
import { breakable, count, plural } from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { ActFlow, Result } from "../messages/flow.js";
import { placeOf } from "../messages/hunt.js";
import { BRIEF } from "../messages/story.js";

const LOOKED = 2000;  // dead letters that are examined for their reasons
const AGAIN_MS = 10000;  // time between two surveys
const MOST_REDRIVES = 3;  // default of the API

/** Reasons and places of death: {looked, total, reasons, homes, tired, others}. */
async function survey(vhost, name, abort) {
  const found = { looked: 0, total: 0, reasons: new Map(), homes: new Map(), tired: 0, others: 0 };
  const add = (map, key) => map.set(key, (map.get(key) ?? 0) + 1);
  for await (const line of lines("POST", placeOf(vhost, name, "search"), { body: { limit: LOOKED, truncate: 0 }, signal: abort })) {
    if (line.error) throw new ApiError(400, line.error);
    if (line.message) {
      const { death } = line.message;
      found.looked += 1;
      if (!death) {
        found.others += 1;
        continue;
      }
      add(found.reasons, death.reason);
      add(found.homes, death.queue);
      if (death.redriven >= MOST_REDRIVES) found.tired += 1;
    } else found.total = (line.progress ?? line.end).total;
  }
  return found;
}

function useSurvey(vhost, name, ready) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const last = useRef(0);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(
      () => {
        last.current = Date.now();
        survey(vhost, name, abort.signal).then(
          (next) => (setFound(next), setError(null)),
          (problem) => problem instanceof ApiError && setError(problem),
        );
      },
      Math.max(0, last.current + AGAIN_MS - Date.now()),
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [vhost, name, ready, turn]);
  function again() {
    last.current = 0;
    setTurn((old) => old + 1);
  }
  return { found, error, again };
}

const byNumber = (map) => [...map.entries()].sort((one, other) => other[1] - one[1]);

export function DeadLetters({ queue, from, reload }) {
  const { vhost, name, messages_ready: ready } = queue;
  const { found, error, again } = useSurvey(vhost, name, ready);
  const [isOpen, setOpen] = useState(false);
  const [result, setResult] = useState(null);
  const homes = found ? byNumber(found.homes) : [];
  const reasons = found ? byNumber(found.reasons) : [];
  const queues = homes.length ? homes.map(([home]) => home) : from;

  function done(text) {
    setResult(text);
    again();
    reload();
  }

  if (!ready && !result) return html`<p class="dead-letters faint">This queue receives the dead letters of ${named(vhost, from)}. There are none now.</p>`;
  return html`${ready > 0 && html`<section class="dead-letters" aria-label="Dead letters">
    <div class="row">
      <div class="said-of">
        <p><b class="of-dead">${plural(ready, "dead letter")}</b> from ${named(vhost, queues)}${reasons.length ? html`${found.looked < found.total ? `, of the oldest ${count(found.looked)}` : ""}: ${reasons.map(([reason, number]) => `${reasons.length === 1 && !found.others ? "all" : count(number)} ${BRIEF[reason] ?? reason}`).join(", ")}` : ""}.</p>
        ${found?.others > 0 && html`<p class="faint">${plural(found.others, "message")} ${found.others === 1 ? "is not a dead letter: it was" : "are not dead letters: they were"} published directly to this queue.</p>`}
        ${found?.tired > 0 && html`<p class="of-trouble">${plural(found.tired, "dead letter")} ${found.tired === 1 ? "was" : "were"} already sent back ${MOST_REDRIVES} times and will be skipped, to prevent endless loops. Fix the cause first.</p>`}
        ${!maySend(vhost) && html`<p class="faint">To send them back, you need write permission on the default exchange.</p>`}
        ${error && html`<p class="faint">The reasons could not be read: ${error.message}.</p>`}
      </div>
      <span class="grow"></span>
      <a class="button" href=${href("queues", vhost, name, { tab: "messages" })}>Show messages</a>
      ${maySend(vhost) && html`<button type="button" class="primary" onClick=${() => setOpen(true)}>Send all back</button>`}
    </div>
  </section>`}
    <${Result} result=${result} close=${() => setResult(null)} />
    ${isOpen && html`<${ActFlow} vhost=${vhost} name=${name} action="redrive" chosen=${{ states: ["ready"] }} told="All dead letters" homes=${queues}
      reasons=${reasons.map(([reason, number]) => [reason, `${BRIEF[reason] ?? reason} (${count(number)})`])} close=${() => setOpen(false)} done=${done} />`}`;
}

function named(vhost, names) {
  return names.slice(0, 4).map((each, at) => html`${at ? (at === names.length - 1 ? " and " : ", ") : ""}<${Name} key=${each} name=${breakable(each)} title=${each} to=${href("queues", vhost, each)} />`).concat(names.length > 4 ? ` and ${names.length - 4} more` : []);
}
