/**
 * A stage: the real exchanges, queues and workers of one page. It shows what the API reports. Names are short here, such as
 * "tasks"; on the broker they have a unique suffix.
 */
import { signal } from "@preact/signals";
import { ApiError, call, get, path, post, put, remove } from "../api.js";
import { PREFIX, uniquePart } from "./place.js";

const EXPIRES_MS = 600000;  // expiry of queues that a closed page left behind
const LOOK_MS = 2000;  // interval of checks for changes by others
const SHOWN = 100;  // maximum messages that are read from a queue
const REMEMBERED = 6;  // sentences that are kept
const READING_MS = 4000;  // minimum time that a sentence stays visible
const STAGGER_MS = 40;  // delay between messages that are sent together

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** Whether animations are disabled. */
export function isStill() {
  return document.hidden || matchMedia("(prefers-reduced-motion: reduce)").matches;
}

export class Stage {
  /** Signals. queues: by short name. told: sentences, newest first. lit: completed steps, latest first. */
  constructor(vhost) {
    this.vhost = vhost;
    this.run = uniquePart();
    this.queues = signal({});
    this.workers = signal([]);
    this.told = signal([]);
    this.steps = signal(new Set());
    this.lit = signal([]);
    this.flights = signal([]);
    this.fault = signal(null);
    this.places = new Map();  // of the picture, by the ids of nodes
    this.sent = 0;
    this.asks = new Set();  // pending calls of workers
    this.arrivals = new Set();  // publishes whose animation is running
    this.#ids = 0;
    this.#exchanges = new Map();
    this.#looking = setInterval(() => this.look(), LOOK_MS);
    this.#seen = () => document.hidden || this.look();
    document.addEventListener("visibilitychange", this.#seen);
  }

  #ids;
  #exchanges;
  #looking;
  #seen;
  #isClosed = false;

  /** The full name on the broker. The default exchange has an empty name. */
  nameOf(short) {
    return short === "" ? "" : `${PREFIX}${short}.${this.run}`;
  }

  // -- sentences

  /**
   * Show a sentence, and highlight the code of its step. kind: "trouble" for a problem. isRoutine: a frequent event; goes
   * only to the log while another sentence is still to be read.
   */
  say(text, step = null, { kind = "done", isRoutine = false } = {}) {
    this.#ids += 1;
    const said = { id: this.#ids, text, kind, isRoutine, at: Date.now() };
    const [now, ...before] = this.told.value;
    const isBehind = isRoutine && now && !now.isRoutine && said.at - now.at < READING_MS;
    this.told.value = (isBehind ? [now, said, ...before] : [said, ...this.told.value]).slice(0, REMEMBERED);
    if (!step) return;
    this.lit.value = [step, ...this.lit.value.filter((each) => each !== step)];
    this.steps.value = new Set([...this.steps.value, step]);
  }

  /** Run the action of a button, and show errors. */
  async act(deed) {
    try {
      await deed();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Handle an error: a missing queue ends the stage, other errors are shown. */
  fail(error) {
    if (this.#isClosed) return;
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 404) this.fault.value = error;
    else this.say(`The broker refused: ${error.message}.`, null, { kind: "trouble" });
  }

  // -- declarations

  async declareExchange(short, type) {
    this.#exchanges.set(short, type);
    await put(path("exchanges", this.vhost, this.nameOf(short)), { type, durable: true, auto_delete: true });
  }

  /** options: autoDelete, and arguments. */
  async declareQueue(short, { autoDelete = false, arguments: more = {} } = {}) {
    const queueArguments = { "x-expires": EXPIRES_MS, ...more };
    await put(path("queues", this.vhost, this.nameOf(short)), { durable: true, auto_delete: autoDelete, arguments: queueArguments });
    this.queues.value = { ...this.queues.value, [short]: { ready: 0, unacked: 0, messages: [], isThere: true, autoDelete } };
  }

  /** Remove a queue that the broker has deleted. */
  forgetQueue(short) {
    const { [short]: _, ...others } = this.queues.value;
    this.queues.value = others;
  }

  async bind(exchange, queue, key) {
    await put(path("exchanges", this.vhost, this.nameOf(exchange)), { type: this.#exchanges.get(exchange), durable: true, auto_delete: true });
    await post(path("bindings", this.vhost, "e", this.nameOf(exchange), "q", this.nameOf(queue)), { routing_key: key });
  }

  async unbind(exchange, queue, key) {
    const between = path("bindings", this.vhost, "e", this.nameOf(exchange), "q", this.nameOf(queue));
    const found = (await get(between)).find(({ routing_key: own }) => own === key);
    if (found) await remove(`${between}/${path(found.properties_key)}`);
  }

  // -- state

  async #browse(short) {
    const known = this.queues.value[short];
    try {
      const found = await get(`leveret/${path("queues", this.vhost, this.nameOf(short), "messages")}`, { count: SHOWN });
      return { ...known, isThere: true, ready: found.ready, unacked: found.unacknowledged, messages: found.messages };
    } catch (error) {
      if (error.status !== 404 || !known?.autoDelete) throw error;
      return { ...known, isThere: false, ready: 0, unacked: 0, messages: [] };
    }
  }

  #show(short, found) {
    if (this.queues.value[short]) this.queues.value = { ...this.queues.value, [short]: found };
  }

  /** Read the contents of the named queues, or of all, and show them. */
  async refresh(...shorts) {
    const known = this.queues.value;
    const wanted = shorts.length ? shorts.filter((short) => known[short]) : Object.keys(known).filter((short) => known[short].isThere);
    await Promise.all(wanted.map(async (short) => this.#show(short, await this.#browse(short))));
  }

  /** Refresh, to show changes by others, and renew leases. */
  async look() {
    if (document.hidden || this.#isClosed || this.fault.value) return;
    for (const worker of this.workers.value) worker.tick();
    if (!this.arrivals.size) await this.act(() => this.refresh());
  }

  /** Make workers request messages, the longest idle first. */
  poke(...shorts) {
    const idle = this.workers.value.filter(({ queue }) => !shorts.length || shorts.includes(queue));
    for (const worker of idle.sort((one, other) => one.idleSince - other.idleSince)) worker.ask();
  }

  // -- publishing

  /** The id of the next message. */
  #next() {
    this.sent += 1;
    return `${this.run}.${this.sent}`;
  }

  async #post(exchange, key, text, query) {
    const where = path("exchanges", this.vhost, this.nameOf(exchange) || "amq.default", "messages");
    return post(`leveret/${where}`, text, { media: "text/plain", query: { mandatory: false, routing_key: key, ...query } });
  }

  /**
   * Publish a message, and animate its route. options: properties, and the nodes on its way to the exchange (by).
   * Returns: {number, isRouted, queues, ms}: short names of the queues that received it, and the time of the confirm.
   * Raises: ApiError.
   */
  async send(exchange, key, text, { properties, by = ["publisher", "exchange"] } = {}) {
    const id = this.#next();
    return this.#arrive(async () => {
      if (exchange) await this.declareExchange(exchange, this.#exchanges.get(exchange));
      const began = performance.now();
      const { routed } = await this.#post(exchange, key, text, { message_id: id, ...properties });
      const ms = performance.now() - began;
      const queues = routed ? await this.#land([id], by) : [];
      if (!routed) await this.fly([...by, "nowhere"], "trouble");
      return { number: numberOf(id), isRouted: routed, queues, ms };
    });
  }

  /** Publish a batch to one queue through the default exchange. Returns: the broker's answer. */
  async sendMany(queue, texts) {
    const ids = texts.map(() => this.#next());
    const lines = texts.map((payload, at) => JSON.stringify({ routing_key: this.nameOf(queue), payload, properties: { message_id: ids[at] } }));
    return this.#arrive(async () => {
      const where = `leveret/${path("exchanges", this.vhost, "amq.default", "batch")}`;
      const began = performance.now();
      const answer = await call("POST", where, { body: lines.join("\n"), media: "application/x-ndjson" });
      const ms = performance.now() - began;
      const refused = new Set(answer.failures.map(({ line }) => line - 1));
      await this.#land(ids.filter((_, at) => !refused.has(at)), ["publisher", "exchange"]);
      return { ...answer, ms, refused, first: numberOf(ids[0]) };
    });
  }

  async #arrive(deed) {
    const arriving = deed();
    const settled = arriving.then(() => {}, () => {});
    this.arrivals.add(settled);
    try {
      return await arriving;
    } finally {
      this.arrivals.delete(settled);
    }
  }

  /** Find the queues that received the messages, animate the way there, and refresh. */
  async #land(ids, by) {
    const shorts = Object.keys(this.queues.value).filter((short) => this.queues.value[short].isThere);
    const found = await Promise.all(shorts.map(async (short) => [short, await this.#browse(short)]));
    await Promise.all(this.asks);
    const has = (short, id) => found.some(([name, { messages }]) => name === short && messages.some((each) => each.properties.message_id === id))
      || this.workers.value.some(({ queue, taken }) => queue === short && taken.has(id));
    const reached = shorts.filter((short) => ids.some((id) => has(short, id)));
    await Promise.all(
      ids.map(async (id, at) => {
        if (isStill()) return;
        await wait(at * STAGGER_MS);
        await this.fly(by, "in");
        await Promise.all(reached.filter((short) => has(short, id)).map((short) => this.fly([by.at(-1), short], "in")));
      }),
    );
    await this.refresh();
    return reached;
  }

  /** Animate a dot from node to node of the diagram. */
  async fly(nodes, kind) {
    const points = nodes.map((node, at) => this.#pointOf(node, nodes[at - 1] ?? nodes[at + 1]));
    if (isStill() || points.some((point) => !point)) return;
    this.#ids += 1;
    const id = this.#ids;
    await new Promise((done) => {
      this.flights.value = [...this.flights.value, { id, points, kind, done }];
      setTimeout(done, 1500);
    });
    this.flights.value = this.flights.value.filter((flight) => flight.id !== id);
  }

  /** The end of an edge to another node. */
  #pointOf(node, other) {
    const own = this.places.get(node);
    const far = this.places.get(other);
    if (!own || !far || own.left === undefined) return own;
    return { x: far.x < own.x ? own.left : own.right, y: own.y };
  }

  // -- closing

  /** Stop all workers, and delete everything that was declared. */
  async close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#looking);
    document.removeEventListener("visibilitychange", this.#seen);
    await Promise.all(this.workers.value.map((worker) => worker.stop().catch(() => {})));
    const queues = Object.keys(this.queues.value).filter((short) => !this.queues.value[short].autoDelete);
    await Promise.all(queues.map((short) => remove(path("queues", this.vhost, this.nameOf(short))).catch(() => {})));
    const left = await get(path("exchanges", this.vhost), { columns: "name" }).catch(() => []);
    const own = left.filter(({ name }) => name.startsWith(PREFIX) && name.endsWith(`.${this.run}`));
    await Promise.all(own.map(({ name }) => remove(path("exchanges", this.vhost, name)).catch(() => {})));
  }
}

/** The number of a message of this page; a dot for other messages. */
export function numberOf(id) {
  const found = /\.(\d+)$/.exec(id ?? "");
  return found ? Number(found[1]) : "·";
}
