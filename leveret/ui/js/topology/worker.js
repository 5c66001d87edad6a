/** Lays a graph out beside the page, which stays alive meanwhile. */
import { layOut } from "./layout.js";

self.onmessage = ({ data: { turn, graph, before } }) => self.postMessage({ turn, layout: layOut(graph, before) });
