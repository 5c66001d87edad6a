/** The thumbnail of a pattern on its card. */
import { html } from "../html.js";

const X = { p: 14, x: 62, q: 116, c: 184 };

/** shape: {nodes: {name: row}, edges: ["p>x", …], sign: of the exchange, notes: beside nodes}; the first letter of a name is its kind: p, x, q or c. */
export function Thumb({ shape }) {
  const at = (name) => ({ x: X[name[0]], y: 14 + shape.nodes[name] * 26 });
  const edge = (from, to) => {
    const isRight = at(from).x < at(to).x;
    const far = { p: 6, x: 10, q: 22, c: 8 };
    const [x1, x2] = [at(from).x + (isRight ? 1 : -1) * far[from[0]], at(to).x - (isRight ? 1 : -1) * far[to[0]]];
    return `M${x1} ${at(from).y} L${x2} ${at(to).y}`;
  };
  return html`<svg class="thumb" width="252" height="80" viewBox="0 0 252 80" aria-hidden="true">
    ${shape.edges.map((each) => html`<path class="edge" d=${edge(...each.split(">"))} />`)}
    ${Object.keys(shape.nodes).map((name) => {
      const { x, y } = at(name);
      const note = shape.notes?.[name] && html`<text class="note" x=${x + (name[0] === "q" ? 30 : 12)} y=${y + 4}>${shape.notes[name]}</text>`;
      if (name[0] === "q") return html`<g class="bar"><rect x=${x - 22} y=${y - 8} width="44" height="16" rx="4" />${[6, 15].map((dx) => html`<rect class="cell" x=${x + dx - 2} y=${y - 4} width="7" height="8" rx="1.5" />`)}${note}</g>`;
      const sign = name[0] === "x" && html`<text x=${x} y=${y + 4} text-anchor="middle">${shape.sign ?? "D"}</text>`;
      return html`<circle class=${{ p: "producer", x: "exchange", c: "consumer" }[name[0]]} cx=${x} cy=${y} r=${{ p: 5, x: 9, c: 7 }[name[0]]} />${sign}${note}`;
    })}
  </svg>`;
}
