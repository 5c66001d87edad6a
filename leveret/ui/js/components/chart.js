/** Charts: lines with their latest values in the legend; the pointer shows the values of one time in all charts. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { together } from "../samples.js";

const HEIGHT = 120;
let plotting = null;  // promise of uPlot, loaded for the first chart

function load() {
  plotting ??= import("uplot").then((module) => module.default);
  return plotting;
}

/** A design token as a colour for a canvas. */
function colour(token) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${token})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** A number that increases when the theme changes. */
function useTheme() {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const change = () => setTurn((old) => old + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    window.addEventListener("theme", change);
    system.addEventListener("change", change);
    return () => {
      window.removeEventListener("theme", change);
      system.removeEventListener("change", change);
    };
  }, []);
  return turn;
}

/** Labels of times on the axis, with seconds if they are close together. */
function clock(plot, times) {
  if (!plot.data[0].length) return times.map(() => "");
  const isClose = times.length > 1 && times[1] - times[0] < 60;
  const shown = { hour: "2-digit", minute: "2-digit", ...(isClose && { second: "2-digit" }) };
  return times.map((at) => new Date(at * 1000).toLocaleTimeString([], shown));
}

/** Steps of an axis of whole numbers. */
const WHOLE = Array.from({ length: 15 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

function options(uPlot, width, height, series, format, max, read) {
  const faint = colour("text-3");
  const line = colour("line");
  const axis = { stroke: faint, font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: line, width: 1 } };
  return {
    width,
    height,
    padding: [8, 32, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: "time" },
      drag: { x: false, y: false },
      points: { size: 6 },
      y: false,
    },
    scales: { y: { range: (_, __, top) => [0, Math.max(max ?? 0, top > 0 ? top * 1.1 : 1)] } },
    axes: [
      { ...axis, grid: { show: false }, space: 90, size: 22, values: clock },
      { ...axis, size: 58, gap: 4, space: 30, values: (_, all) => all.map(format), ...(format(0.5) === format(1) && { incrs: WHOLE }) },
    ],
    series: [
      {},
      ...series.map((each) => ({
        stroke: colour(each.of),
        width: 1.5,
        dash: each.isDashed ? [4, 3] : undefined,
        fill: each.isFilled ? colour(`${each.of}-soft`) : undefined,
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: { setCursor: [(plot) => read(plot.cursor.idx)] },
  };
}

/**
 * series: [{label, of, points: [[seconds, value], …], isDashed, isFilled}], where of is the token of a colour.
 * format(value): for the axis and the values. max: minimum upper end of the axis.
 */
export function Chart({ title, series, format, max, height = HEIGHT }) {
  const box = useRef(null);
  const plot = useRef(null);
  const theme = useTheme();
  const [at, setAt] = useState(null);
  const data = useMemo(() => together(series.map((each) => each.points)), [series]);
  const shape = series.map((each) => `${each.label}${each.of}`).join();

  useEffect(() => {
    let isGone = false;
    let sizes = null;
    load().then((uPlot) => {
      if (isGone || !box.current) return;
      const width = box.current.clientWidth;
      plot.current = new uPlot(options(uPlot, width, height, series, format, max, (index) => setAt(index ?? null)), data, box.current);
      sizes = new ResizeObserver(() => box.current && plot.current?.setSize({ width: box.current.clientWidth, height }));
      sizes.observe(box.current);
    });
    return () => {
      isGone = true;
      sizes?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [theme, shape]);

  useEffect(() => plot.current?.setData(data), [data]);

  const last = data[0].length - 1;
  const shown = at === null || at > last ? last : at;
  return html`<figure class="chart">
    <figcaption>
      <h3>${title}</h3>
      ${at !== null && last >= 0 && html`<time class="faint">${new Date(data[0][shown] * 1000).toLocaleTimeString()}</time>`}
      <span class="grow"></span>
      ${series.map(
        (each, index) => html`<span key=${each.label} class="legend"><i class=${`line of-${each.of}${each.isDashed ? " dashed" : ""}`}></i>${each.label} <b>${shown < 0 ? "–" : format(data[index + 1][shown] ?? null)}</b></span>`,
      )}
    </figcaption>
    <div ref=${box} class="plot" style=${{ height: `${height}px` }}></div>
  </figure>`;
}

/** A small line chart without axes, for a row of a table. points: [[seconds, value], …]. of: the token of its colour. */
export function Sparkline({ points, of, label, width = 72, height = 18 }) {
  if (points.length < 2) return html`<svg width=${width} height=${height} aria-hidden="true"></svg>`;
  const top = Math.max(...points.map(([, value]) => value), 1);
  const [from, to] = [points[0][0], points.at(-1)[0]];
  const path = points
    .map(([at, value]) => `${(((at - from) / (to - from || 1)) * (width - 2) + 1).toFixed(1)},${(height - 2 - (value / top) * (height - 4)).toFixed(1)}`)
    .join(" ");
  return html`<svg class=${`spark of-${of}`} width=${width} height=${height} role="img" aria-label=${label}>
    <polyline points=${path} fill="none" stroke="currentColor" stroke-width="1.25" vector-effect="non-scaling-stroke" />
  </svg>`;
}
