/** The playground: seven messaging patterns to try with real queues. */
import { useEffect, useState } from "preact/hooks";
import { Ago, Allowed, Command, Empty, Fault, Heading, Section, Waiting } from "../components/basic.js";
import { ActDialog } from "../components/dialog.js";
import { get, path, remove, session } from "../api.js";
import { count, plural } from "../format.js";
import { html, classes } from "../html.js";
import { Code } from "../playground/code.js";
import { PATTERNS } from "../playground/patterns.js";
import { Picture } from "../playground/picture.js";
import { VHOST, findVhost, sweep } from "../playground/place.js";
import { Stage } from "../playground/stage.js";
import { Thumb } from "../playground/thumb.js";
import { href } from "../router.js";

export default function Playground({ names, query }) {
  if (!names.length) return html`<${Cards} />`;
  const pattern = PATTERNS.find(({ id }) => id === names[0]);
  if (!pattern) return html`<${Empty} title="This pattern does not exist">The <a href=${href("playground")}>playground</a> has seven.<//>`;
  return html`<${Pattern} key=${pattern.id} pattern=${pattern} preferred=${query.vhost} />`;
}

function Cards() {
  return html`
    <${Heading} title="Playground"><${CleanUp} /><//>
    <p class="lead">Seven patterns cover most uses of messaging. Each page is live: you publish real messages to real queues, and see what happens to them. All together take about ten minutes.</p>
    <ol class="cards">
      ${PATTERNS.map(({ id, title, sentence, thumb }, at) => html`<li key=${id}>
        <a href=${href("playground", id)}>
          <${Thumb} shape=${thumb} />
          <h2><span class="faint">${at + 1}</span> ${title}</h2>
          <p>${sentence}</p>
        </a>
      </li>`)}
    </ol>
    <p class="faint small">The pages declare their own queues and exchanges, and delete them when you leave. Leftovers of a closed tab expire within ten minutes.</p>`;
}

/** A button that deletes the virtual host of the playground, if it exists. */
function CleanUp() {
  const [found, setFound] = useState(null);
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    get("vhosts", { columns: "name" }).then((all) => setFound(all.some(({ name }) => name === VHOST)), () => {});
  }, []);
  async function look() {
    setFound(await get(path("queues", VHOST), { columns: "name" }));
    setOpen(true);
  }
  async function destroy() {
    await remove(path("vhosts", VHOST));
    setFound(null);
    return `The virtual host ${VHOST} was deleted. It is created again on the next visit.`;
  }
  if (!found) return null;
  return html`<${Allowed} tag="administrator"><button type="button" class="quiet" onClick=${look}>Clean up</button><//>
    ${isOpen && html`<${ActDialog} title="Delete the virtual host of the playground" verb="Delete it" isDanger act=${destroy} close=${() => setOpen(false)}>
      <p>The virtual host <code>${VHOST}</code> and its <b>${plural(found.length, "queue")}</b> will be deleted. Playground pages in other tabs stop working.</p>
    <//>`}`;
}

/** One pattern. Its stage is created when the page opens, and removed when the user leaves. */
function Pattern({ pattern, preferred }) {
  const [show, setShow] = useState(null);  // {stage, play}
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);

  useEffect(() => {
    let stage = null;
    let isOver = false;
    async function begin() {
      const vhost = await findVhost(preferred);
      stage = new Stage(vhost);
      try {
        if (isOver) return;
        sweep(vhost).catch(() => {});
        const play = await pattern.begin(stage);
        if (!isOver) setShow({ stage, play });
      } finally {
        if (isOver) stage.close();
      }
    }
    setShow(null);
    setError(null);
    begin().catch((problem) => {
      setError({ problem, vhost: stage?.vhost });
      stage?.close();
    });
    return () => {
      isOver = true;
      if (stage) stage.close();
    };
  }, [round]);

  const at = PATTERNS.indexOf(pattern);
  const next = PATTERNS[(at + 1) % PATTERNS.length];
  return html`
    <${Heading} title=${pattern.title} tags=${html`<span class="faint"><a href=${href("playground")}>Playground</a>, pattern ${at + 1} of ${PATTERNS.length}</span>`}>
      <button type="button" class="quiet" onClick=${() => setRound(round + 1)}>Start over</button>
    <//>
    <p class="lead">${pattern.sentence} ${pattern.more}</p>
    ${error ? html`<${Refused} problem=${error.problem} vhost=${error.vhost} again=${() => setRound(round + 1)} />` : !show ? html`<${Waiting} what="Preparing the pattern" />` : html`<${Live} pattern=${pattern} ...${show} again=${() => setRound(round + 1)} />`}
    <${Section} title="Try it in a terminal" note=${html`in <code>examples/pika/${pattern.folder}</code>`}>
      <ul class="commands">${pattern.commands.map((command) => html`<li key=${command}><${Command} text=${command} /></li>`)}</ul>
    <//>
    <nav class="next" aria-label="Patterns"><a class="button" href=${href("playground", next.id)}>${at + 1 < PATTERNS.length ? "Next pattern" : "The first pattern"}: ${next.title} →</a></nav>`;
}

/** The missing permissions, if the user may not use the playground. */
function Refused({ problem, vhost, again }) {
  if (problem.status !== 403 && problem.status !== 401) return html`<${Fault} error=${problem} what="The pattern could not be prepared." again=${again} />`;
  return html`<${Empty} title="Missing permissions">
    ${session.value.name} may not declare queues named <code>playground.…</code> in the virtual host <code>${vhost}</code>: ${problem.message}.
    An administrator can grant configure, write and read permissions in a virtual host <code>${VHOST}</code>, or for names that begin with <code>playground.</code> in this one.
  <//>`;
}

function Live({ pattern, stage, play, again }) {
  if (stage.fault.value) {
    return html`<${Empty} title="The queues of this page were deleted">
      ${`${stage.fault.value.message}. `}They expire after ten minutes without use, or another user may have cleaned up.
      <p><button type="button" class="primary" onClick=${again}>Start over</button></p>
    <//>`;
  }
  const [now, ...before] = stage.told.value;
  return html`<div class="play">
    <div>
      <${Picture} stage=${stage} title=${`Picture of ${pattern.title}`} ...${pattern.picture(stage, play)} controls=${pattern.handControls && ((worker) => pattern.handControls(stage, play, worker))} />
      <div class="buttons"><${pattern.Controls} stage=${stage} play=${play} /></div>
      <p class=${classes("told", now?.kind)} role="status">${now?.text ?? pattern.start}</p>
      ${before.length > 0 && html`<ol class="log" aria-label="What happened before">${before.map(({ id, text, at }) => html`<li key=${id}><span>${text}</span><${Ago} at=${at} /></li>`)}</ol>`}
      <${Tries} tries=${pattern.tries} steps=${stage.steps.value} />
    </div>
    <div class="codes">
      ${pattern.files.map(({ file, title, marks, first }) => html`<${Code} key=${file} folder=${pattern.folder} file=${file} title=${title} marks=${marks} first=${first} steps=${stage.lit.value} />`)}
    </div>
  </div>`;
}

/** Things to try, with a tick when done. */
function Tries({ tries, steps }) {
  const done = tries.filter(([step]) => steps.has(step)).length;
  return html`<section class="tries" aria-label="Things to try">
    <h2>Try this <span class="faint">${done ? `${count(done)} of ${tries.length} done` : ""}</span></h2>
    <ol>${tries.map(([step, text]) => html`<li key=${step} class=${classes({ done: steps.has(step) })}><i class="tick" aria-label=${steps.has(step) ? "Done" : "Not yet"} role="img">${steps.has(step) ? "✓" : "○"}</i><span>${text}</span></li>`)}</ol>
  </section>`;
}
