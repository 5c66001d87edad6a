/**
 * Tables with thousands of rows, of which only visible ones are rendered. A click on a heading sorts, arrow keys move
 * through the rows. The order does not change while the pointer is on the table; new rows are counted above it.
 */
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { html, classes } from "../html.js";
import { plural } from "../format.js";
import { route, setQuery } from "../router.js";

const ROW = 32;  // pixels; --row in tokens.css
const MORE = 12;  // rows that are rendered above and below the visible ones
const FEW = 80;  // tables with at most this many rows are rendered completely
const STEP = 24;  // pixels in which a column grows
const NARROW = 900;  // pixels of a window, below which columns are left out

/** The order in the address: {by, isDown, name}. */
export function useOrder(by, isDown = true, name = "sort") {
  const wanted = route.value.query[name];
  if (!wanted) return { by, isDown, name };
  return { by: wanted.replace(/^-/, ""), isDown: wanted.startsWith("-"), name };
}

function compare(one, other) {
  if (typeof one === "number" || typeof other === "number") return (one ?? -Infinity) - (other ?? -Infinity);
  return String(one ?? "").localeCompare(String(other ?? ""), "en", { numeric: true });
}

/** Sorted rows. columns: as for Table. Equal rows are sorted by their keys. */
export function sorted(rows, columns, { by, isDown }, keyOf) {
  const column = columns.find((each) => each.id === by && each.value);
  if (!column) return rows;
  const values = new Map(rows.map((row) => [row, column.value(row)]));
  const way = isDown ? -1 : 1;
  return [...rows].sort((a, b) => way * compare(values.get(a), values.get(b)) || compare(keyOf(a), keyOf(b)));
}

/** The range of visible rows, updated as the window scrolls. */
function useSight(body, length) {
  const [sight, setSight] = useState([0, FEW]);
  useLayoutEffect(() => {
    if (length <= FEW) return undefined;
    function look() {
      const top = body.current?.getBoundingClientRect().top ?? 0;
      const first = Math.max(0, Math.floor(-top / ROW) - MORE);
      const last = Math.min(length, Math.ceil((window.innerHeight - top) / ROW) + MORE);
      setSight((old) => (old[0] === first && old[1] === last ? old : [first, Math.max(first, last)]));
    }
    look();
    window.addEventListener("scroll", look, { passive: true });
    window.addEventListener("resize", look);
    return () => {
      window.removeEventListener("scroll", look);
      window.removeEventListener("resize", look);
    };
  }, [length]);
  return length <= FEW ? [0, length] : sight;
}

/** Columns grow in steps when their content gets longer, and shrink no more: nothing moves to and fro with the numbers. */
function useSteadyColumns(head, columns) {
  const widths = useRef(new Map());
  useLayoutEffect(() => {
    const forget = () => {
      widths.current.clear();
      for (const cell of head.current.cells) cell.style.minWidth = "";
    };
    window.addEventListener("resize", forget);
    return () => window.removeEventListener("resize", forget);
  }, []);
  useLayoutEffect(() => {
    if (window.innerWidth < NARROW) return;  // there every pixel is needed
    const cells = [...head.current.cells].map((cell, at) => [cell, columns[at]]).filter(([, column]) => !column.isWide);
    const needed = cells.map(([cell]) => cell.offsetWidth);
    cells.forEach(([cell, { id }], at) => {
      const width = Math.max(widths.current.get(id) ?? 0, Math.ceil(needed[at] / STEP) * STEP);
      if (width === widths.current.get(id)) return;
      widths.current.set(id, width);
      cell.style.minWidth = `${width}px`;
    });
  });
}

/**
 * rows: of any type. keyOf(row): a unique key. columns: [{id, label, title, value, cell, isNumber, isWide, narrow}],
 * where value(row) is the sort key and cell(row) the content; narrow: "hide" on narrow screens. order: of useOrder().
 * name: for screen readers. openAt(row): the address of a row. about: identifies the query; a new one releases the held
 * order. after: shown after the last row.
 */
export function Table({ rows, keyOf, columns, order, name, openAt, about = "", mark, after }) {
  const body = useRef(null);
  const [isHeld, setHeld] = useState(false);
  const kept = useRef({ about: null, keys: [] });
  const wanted = useMemo(() => sorted(rows, columns, order, keyOf), [rows, order.by, order.isDown]);
  const question = `${about} ${order.by} ${order.isDown}`;
  let shown = wanted;
  if (isHeld && kept.current.about === question) {
    const byKey = new Map(wanted.map((row) => [keyOf(row), row]));
    shown = kept.current.keys.map((key) => byKey.get(key)).filter(Boolean);
  } else {
    kept.current = { about: question, keys: wanted.map(keyOf) };
  }
  const fresh = wanted.length - shown.length;
  const [first, last] = useSight(body, shown.length);
  const head = useRef(null);
  useSteadyColumns(head, columns);

  function sortBy(column) {
    const isDown = order.by === column.id ? !order.isDown : Boolean(column.isNumber);
    setQuery({ [order.name]: `${isDown ? "-" : ""}${column.id}` });
  }

  function walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    const row = event.target.closest("tr[data-at]");
    if (!step || !row || event.target.matches("input, select, textarea")) return;
    event.preventDefault();
    const at = Math.max(0, Math.min(shown.length - 1, Number(row.dataset.at) + step));
    const top = body.current.getBoundingClientRect().top + at * ROW;
    if (top < ROW * 3 || top > window.innerHeight - ROW * 3) window.scrollBy(0, top - window.innerHeight / 2);
    requestAnimationFrame(() =>
      requestAnimationFrame(() => body.current?.querySelector(`tr[data-at="${at}"] .row-link`)?.focus()),
    );
  }

  function open(event, row) {
    if (!openAt || event.defaultPrevented || event.target.closest("a, button, input, label, select, summary")) return;
    if (String(getSelection())) return;  // the user is selecting text
    location.hash = openAt(row);
  }

  const heading = (column) => html`<th
    key=${column.id}
    scope="col"
    title=${column.title}
    class=${classes({ end: column.isNumber, wide: column.isWide }, column.narrow)}
    aria-sort=${order.by === column.id ? (order.isDown ? "descending" : "ascending") : undefined}
  >
    ${column.value
      ? html`<button type="button" onClick=${() => sortBy(column)}>${column.label}<span class="arrow" aria-hidden="true"></span></button>`
      : column.label}
  </th>`;

  return html`<div class="table">
    ${fresh > 0 && html`<button type="button" class="fresh" onClick=${() => setHeld(false)}>${plural(fresh, "new row")}</button>`}
    <div class="scroll"><table aria-label=${name} aria-rowcount=${shown.length + 1}>
      <thead><tr ref=${head} aria-rowindex="1">${columns.map(heading)}</tr></thead>
      <tbody
        ref=${body}
        onPointerEnter=${(event) => event.pointerType === "mouse" && setHeld(true)}
        onPointerLeave=${() => setHeld(false)}
        onKeyDown=${walk}
      >
        ${first > 0 && html`<tr class="space" key="above" aria-hidden="true" style=${{ height: `${first * ROW}px` }}><td colspan=${columns.length}></td></tr>`}
        ${shown.slice(first, last).map(
          (row, at) => html`<tr
            key=${keyOf(row)}
            data-at=${first + at}
            aria-rowindex=${first + at + 2}
            class=${classes({ opens: openAt }, mark?.(row))}
            onClick=${(event) => open(event, row)}
          >
            ${columns.map(
              (column) => html`<td key=${column.id} class=${classes({ end: column.isNumber, wide: column.isWide }, column.narrow)}>${column.cell ? column.cell(row) : column.value(row)}</td>`,
            )}
          </tr>`,
        )}
        ${last < shown.length && html`<tr class="space" key="below" aria-hidden="true" style=${{ height: `${(shown.length - last) * ROW}px` }}><td colspan=${columns.length}></td></tr>`}
      </tbody>
    </table></div>
    ${after}
  </div>`;
}

/** A text field that filters rows by name; its text is in the address. */
export function Filter({ what, name = "q", children }) {
  const text = route.value.query[name] ?? "";
  return html`<div class="filter" role="search">
    <input
      type="search"
      placeholder=${`Filter ${what}`}
      aria-label=${`Filter ${what}`}
      value=${text}
      onInput=${(event) => setQuery({ [name]: event.target.value || undefined })}
    />
    ${children}
  </div>`;
}

/** A choice of one option, stored in the address: choices=${[["", "All"], ["busy", "Not empty"]]}. */
export function Choice({ name, choices, label }) {
  const chosen = route.value.query[name] ?? choices[0][0];
  return html`<div class="choice" role="group" aria-label=${label}>
    ${choices.map(
      ([value, text, number]) => html`<button
        key=${value}
        type="button"
        aria-pressed=${chosen === value}
        onClick=${() => setQuery({ [name]: value === choices[0][0] ? undefined : value })}
      >
        ${text}${number !== undefined && html` <span class="count">${number}</span>`}
      </button>`,
    )}
  </div>`;
}
