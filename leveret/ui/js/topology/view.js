/**
 * Panning and zooming with the pointer, two fingers, the wheel and keys. The graph is a layer of its own: during a movement,
 * the browser moves and scales the painted layer; afterwards the graph is rendered again at its scale.
 */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const ZOOM = { min: 0.08, max: 3, step: 1.25 };
const PAN = 80;  // pixels per key press
const DRAG = 4;  // pixels of movement that make a press a drag
const MARGIN = 16;
const NARROW = 700;
const LEGIBLE = 0.8;
const REST_MS = 150;  // pause without zooming before the graph is rendered again
const STRETCH = 2;  // maximum scale of the painted layer

const kept = new Map();  // the last view of each graph, restored when the user returns

const clamp = (value, min, max) => Math.min(max, Math.max(min, value));

/** The view that shows a whole box as large as possible, up to a maximum scale. */
function whole(box, { width, height }) {
  const k = clamp(Math.min((width - 2 * MARGIN) / box.width, (height - 2 * MARGIN) / box.height), ZOOM.min, 1.15);
  return { x: (width - box.width * k) / 2 - box.x * k, y: (height - box.height * k) / 2 - box.y * k, k };
}

/** The first view: everything, or the queues if everything would be too small to read on a narrow screen. */
function first(box, queuesAt, size) {
  const all = whole(box, size);
  if (size.width > NARROW || all.k > LEGIBLE) return all;
  const y = box.height * LEGIBLE > size.height ? MARGIN - box.y * LEGIBLE : (size.height - box.height * LEGIBLE) / 2 - box.y * LEGIBLE;
  return { x: MARGIN - queuesAt * LEGIBLE, y, k: LEGIBLE };
}

/**
 * The view of a graph with this box; queuesAt is of the layout. id: key for restoring it. frame: ref of the outer element.
 * moved: ref of the moved element in it.
 * Returns: {scale, handlers, fit, zoom(factor), reveal(element), step}; scale is the one to render at, null before the size
 * is known.
 */
export function useView(id, frame, moved, { box, queuesAt }) {
  const current = useRef(kept.get(id) ?? null);
  const [scale, setScale] = useState(current.current?.k ?? null);
  const drawn = useRef(scale);
  drawn.current = scale;
  const resting = useRef(0);
  const pointers = useRef(new Map());
  const pressed = useRef(null);

  const put = () => {
    const { x, y, k } = current.current;
    moved.current.style.transform = `translate(${x}px, ${y}px) scale(${k / drawn.current})`;
  };
  const draw = () => {
    clearTimeout(resting.current);
    setScale(current.current.k);
  };
  const set = (next) => {
    kept.set(id, next);
    current.current = next;
    if (moved.current) put();
  };
  const sizes = () => frame.current.getBoundingClientRect();
  const fit = () => {
    set(whole(box, sizes()));
    draw();
  };
  const zoomAt = (factor, x, y) => {
    const old = current.current;
    const k = clamp(old.k * factor, ZOOM.min, ZOOM.max);
    set({ k, x: x - ((x - old.x) * k) / old.k, y: y - ((y - old.y) * k) / old.k });
  };
  const zoom = (factor) => {
    zoomAt(factor, sizes().width / 2, sizes().height / 2);
    draw();
  };
  /** Zoom in many small steps, as with the wheel. */
  const stretch = (factor, x, y) => {
    zoomAt(factor, x, y);
    clearTimeout(resting.current);
    const stretched = current.current.k / drawn.current;
    if (stretched > STRETCH || stretched < 1 / STRETCH) draw();
    else resting.current = setTimeout(draw, REST_MS);
  };
  const pan = (dx, dy) => set({ ...current.current, x: current.current.x + dx, y: current.current.y + dy });

  useLayoutEffect(() => {
    if (!current.current) {
      set(first(box, queuesAt, sizes()));
      draw();
    }
    const element = frame.current;
    const turn = (event) => {
      event.preventDefault();
      const { left, top } = sizes();
      if (event.shiftKey) pan(-event.deltaY - event.deltaX, 0);
      else stretch(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX - left, event.clientY - top);
    };
    element.addEventListener("wheel", turn, { passive: false });
    return () => element.removeEventListener("wheel", turn);
  }, []);
  useLayoutEffect(() => {
    if (moved.current) put();
  }, [scale]);
  useEffect(() => () => clearTimeout(resting.current), []);

  function move(event) {
    const before = pointers.current.get(event.pointerId);
    if (!before) return;
    const here = { x: event.clientX, y: event.clientY };
    if (pointers.current.size === 2) {
      const other = [...pointers.current.entries()].find(([key]) => key !== event.pointerId)[1];
      const { left, top } = sizes();
      const distance = (one) => Math.hypot(one.x - other.x, one.y - other.y);
      stretch(distance(here) / (distance(before) || 1), (here.x + other.x) / 2 - left, (here.y + other.y) / 2 - top);
    } else if (pressed.current.isDrag || Math.hypot(here.x - pressed.current.x, here.y - pressed.current.y) > DRAG) {
      if (!pressed.current.isDrag) {
        frame.current.setPointerCapture(event.pointerId);
        frame.current.classList.add("dragged");
      }
      pan(here.x - before.x, here.y - before.y);
    } else return;
    pressed.current.isDrag = true;
    pointers.current.set(event.pointerId, here);
  }

  function release(event) {
    pointers.current.delete(event.pointerId);
    frame.current.classList.remove("dragged");
  }

  function press(event) {
    const keys = {
      ArrowLeft: () => pan(PAN, 0),
      ArrowRight: () => pan(-PAN, 0),
      ArrowUp: () => pan(0, PAN),
      ArrowDown: () => pan(0, -PAN),
      "+": () => zoom(ZOOM.step),
      "=": () => zoom(ZOOM.step),
      "-": () => zoom(1 / ZOOM.step),
      0: fit,
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  const handlers = {
    onKeyDown: press,
    onPointerDown: (event) => {
      if (event.button) return;
      pointers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
      pressed.current = { x: event.clientX, y: event.clientY, isDrag: false };
    },
    onPointerMove: move,
    onPointerUp: release,
    onPointerCancel: release,
    onPointerLeave: (event) => !pressed.current?.isDrag && pointers.current.delete(event.pointerId),
    onClickCapture: (event) => {
      if (!pressed.current?.isDrag) return;
      event.preventDefault();
      event.stopPropagation();
      pressed.current.isDrag = false;
    },
    onDragStart: (event) => event.preventDefault(),
  };

  /** Scroll an element into view. */
  const reveal = (element) => {
    const { left, top, right, bottom } = sizes();
    const here = element.getBoundingClientRect();
    const dx = here.left < left ? left - here.left + 40 : here.right > right ? right - here.right - 40 : 0;
    const dy = here.top < top ? top - here.top + 40 : here.bottom > bottom ? bottom - here.bottom - 40 : 0;
    if (dx || dy) pan(dx, dy);
  };

  return { scale, handlers, fit, zoom, reveal, step: ZOOM.step };
}
