/** Listeners: each has its own queue, bound to an exchange, which is deleted with it. Three patterns use them. */
import { Worker } from "./worker.js";

/** Declare a queue, bind it, and consume from it. keys: of its bindings. Returns: the worker, with `keys`. */
export async function listen(stage, exchange, number, keys) {
  const queue = `listener-${number}`;
  await stage.declareQueue(queue, { autoDelete: true });
  for (const key of keys) await stage.bind(exchange, queue, key);
  const listener = new Worker(stage, queue, { name: `Listener ${number}`, ms: 300 });
  listener.keys = keys;
  return listener.start();
}

/** Stop its consumer; its queue is deleted with its last consumer. */
export async function stopListening(stage, listener) {
  stage.forgetQueue(listener.queue);
  await listener.kill();
}

/** Nodes and edges of a publisher, an exchange and its listeners. keysOf: the label of a listener's edge. */
export function listenersPicture(stage, type, label, keysOf) {
  const listeners = stage.workers.value;
  const middle = Math.max(0, (listeners.length - 1) / 2);
  return {
    nodes: [
      { id: "publisher", kind: "producer", row: middle, label: "publisher" },
      { id: "exchange", kind: "exchange", row: middle, label, type },
      ...listeners.flatMap((worker, row) => [
        { id: worker.queue, kind: "queue", row, label: worker.queue, keys: keysOf(worker) },
        { id: worker.node, kind: "consumer", row, label: worker.name, worker },
      ]),
    ],
    edges: [
      { from: "publisher", to: "exchange" },
      ...listeners.flatMap((worker) => [
        { from: "exchange", to: worker.queue, label: keysOf(worker) },
        { from: worker.queue, to: worker.node },
      ]),
    ],
  };
}

/** The owners of queues: "Listener 1 and Listener 3". */
export function whose(stage, queues) {
  const names = stage.workers.value.filter(({ queue }) => queues.includes(queue)).map(({ name }) => name);
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
