/** Computes layouts in a web worker, so that the page stays responsive. */
import { layOut } from "./layout.js";

self.onmessage = ({ data: { turn, graph, before } }) => self.postMessage({ turn, layout: layOut(graph, before) });
