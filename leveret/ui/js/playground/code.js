/** The Python source of an example, with the lines highlighted that belong to the last step. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { html, classes } from "../html.js";

const TOKENS = /("""[\s\S]*?"""|f?b?"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(#[^\n]*)|\b(def|class|return|if|elif|else|for|while|with|as|in|not|and|or|is|import|from|raise|try|except|finally|None|True|False|lambda|pass|continue|break|self)\b/g;

/** The text as lines, each a list of [kind, text]. kind: string, comment, word, or empty. */
export function tokens(text) {
  const rows = [[]];
  const add = (kind, part) => {
    part.split("\n").forEach((piece, at) => {
      if (at) rows.push([]);
      if (piece) rows.at(-1).push([kind, piece]);
    });
  };
  let end = 0;
  for (const match of text.matchAll(TOKENS)) {
    add("", text.slice(end, match.index));
    add(match[1] ? "string" : match[2] ? "comment" : "word", match[0]);
    end = match.index + match[0].length;
  }
  add("", text.slice(end).trimEnd());
  return rows;
}

/** The numbers, from 0, of the lines that contain one of these texts. */
export function linesWith(text, wanted) {
  return text.split("\n").flatMap((line, at) => (wanted.some((part) => line.includes(part)) ? [at] : []));
}

/** The URL of an example file. */
export function addressOfExample(folder, file) {
  return new URL(`../../examples/${folder}/${file}`, import.meta.url).href;
}

/** marks: texts of lines by step. steps: completed steps, latest first; highlights the latest one that has marks. */
export function Code({ folder, file, title, marks, steps, first }) {
  const [text, setText] = useState(null);
  const [isLost, setLost] = useState(false);
  const box = useRef(null);
  useEffect(() => {
    fetch(addressOfExample(folder, file)).then(async (answer) => (answer.ok ? setText(await answer.text()) : setLost(true)), () => setLost(true));
  }, [folder, file]);

  const step = steps.find((each) => marks[each]);
  const rows = useMemo(() => (text ? tokens(text) : []), [text]);
  const lit = useMemo(() => new Set(text ? linesWith(text, marks[step] ?? []) : []), [text, step]);
  const start = useMemo(() => (text ? linesWith(text, [first])[0] : 0), [text]);
  useEffect(() => {
    if (!rows.length) return;
    const at = lit.size ? Math.min(...lit) - 3 : start;
    box.current.scrollTop = box.current.children[Math.max(0, at)].offsetTop;
  }, [rows, lit]);

  return html`<section class=${classes("code", { speaks: step && step === steps[0] })}>
    <header><h3>${title}</h3><span class="mono faint">${file}</span></header>
    ${isLost
      ? html`<p class="faint">The file could not be loaded. It is <code>examples/pika/${folder}/${file}</code> in the source of Leveret.</p>`
      : html`<pre ref=${box} tabindex="0" role="region" aria-label=${`Python: ${file}`}>${rows.map(
          (row, at) => html`<span key=${at} class=${classes("row", { lit: lit.has(at) })}>${row.map(([kind, part]) => (kind ? html`<span class=${kind}>${part}</span>` : part))}${"\n"}</span>`,
        )}</pre>`}
  </section>`;
}
