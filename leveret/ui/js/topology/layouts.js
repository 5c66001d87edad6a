/** Layouts from the web worker: requested when the shape changes; the old one stays until the new one arrives. */
import { useEffect, useRef, useState } from "preact/hooks";

/** The layout of a shape: {layout, shape, error}; shape is the one of this layout. id: the virtual host. */
export function useLayout(id, shape) {
  const [found, setFound] = useState({ id: null, shape: null, layout: null, error: null });
  const worker = useRef(null);
  const asked = useRef({ turn: 0 });

  useEffect(() => {
    worker.current = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.current.onmessage = ({ data: { turn, layout } }) => {
      const { turn: last, shape: of, id: where } = asked.current;
      if (turn === last) setFound({ id: where, shape: of, layout, error: null });
    };
    worker.current.onerror = () => setFound((old) => ({ ...old, error: new Error("the layout could not be computed") }));
    return () => worker.current.terminate();
  }, []);

  useEffect(() => {
    if (!shape) return;
    const before = found.id === id ? found.layout : null;
    asked.current = { turn: asked.current.turn + 1, shape, id };
    worker.current.postMessage({ turn: asked.current.turn, graph: { nodes: shape.nodes, edges: shape.edges }, before });
  }, [id, shape]);

  return found.id === id ? found : { shape: null, layout: null, error: found.error };
}
