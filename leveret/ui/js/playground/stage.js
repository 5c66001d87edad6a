/**
 * A stage: the exchanges, queues and workers of one page, all of them real. What it shows is what the API has said.
 * Names are short here, as in "tasks"; on the broker they have a part that no other page has.
 */
import { signal } from "@preact/signals";
import { ApiError, call, get, path, post, put, remove } from "../api.js";
import { PREFIX, uniquePart } from "./place.js";

const EXPIRES_MS = 600000;  // a queue that a closed page has left behind
const LOOK_MS = 2000;  // how often it asks what others may have done
const SHOWN = 100;  // messages of a queue that are looked at
const REMEMBERED = 6;  // sentences
const READING_MS = 4000;  // a sentence stays for so long, whatever workers do
const STAGGER_MS = 40;  // between messages that leave together

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** Whether nothing may move. */
export function isStill() {
  return document.hidden || matchMedia("(prefers-reduced-motion: reduce)").matches;
}

export class Stage {
  /** Signals. queues: by short names. told: sentences, newest first. lit: steps that have happened, the last one first. */
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
    this.asks = new Set();  // calls of workers that are under way
    this.arrivals = new Set();  // messages that are on their way to a queue
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

  /** What something is called on the broker. The default exchange has no name. */
  nameOf(short) {
    return short === "" ? "" : `${PREFIX}${short}.${this.run}`;
  }

  // -- what is said

  /**
   * Tell what has happened, and light the code of its step. kind: "trouble" for what went wrong. isRoutine: what happens
   * all the time goes to the log alone while something else is to be read.
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

  /** Do something that a button asks for, and tell where it fails. */
  async act(deed) {
    try {
      await deed();
    } catch (error) {
      this.fail(error);
    }
  }

  /** What the page had made may be gone: then it is over. All else is told. */
  fail(error) {
    if (this.#isClosed) return;
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 404) this.fault.value = error;
    else this.say(`The broker refused: ${error.message}.`, null, { kind: "trouble" });
  }

  // -- what is declared

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

  /** A queue has gone by itself. */
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

  // -- what is there

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

  /** Ask the broker what is in queues, all of them unless some are named, and show it. */
  async refresh(...shorts) {
    const known = this.queues.value;
    const wanted = shorts.length ? shorts.filter((short) => known[short]) : Object.keys(known).filter((short) => known[short].isThere);
    await Promise.all(wanted.map(async (short) => this.#show(short, await this.#browse(short))));
  }

  /** See what has changed without this page, and keep leases. */
  async look() {
    if (document.hidden || this.#isClosed || this.fault.value) return;
    for (const worker of this.workers.value) worker.tick();
    if (!this.arrivals.size) await this.act(() => this.refresh());
  }

  /** Workers ask for messages, whoever has been idle longest first. */
  poke(...shorts) {
    const idle = this.workers.value.filter(({ queue }) => !shorts.length || shorts.includes(queue));
    for (const worker of idle.sort((one, other) => one.idleSince - other.idleSince)) worker.ask();
  }

  // -- what is published

  /** A number and an id for one more message. */
  #next() {
    this.sent += 1;
    return `${this.run}.${this.sent}`;
  }

  async #post(exchange, key, text, query) {
    const where = path("exchanges", this.vhost, this.nameOf(exchange) || "amq.default", "messages");
    return post(`leveret/${where}`, text, { media: "text/plain", query: { mandatory: false, routing_key: key, ...query } });
  }

  /**
   * Publish a message, and show where it goes. options: properties, and path of nodes to the exchange.
   * Returns: {number, isRouted, queues, ms}: short names of queues that got it, and how long the confirm took. Raises: ApiError.
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

  /** Publish many at once, through the default exchange to one queue. Returns: what the broker has answered. */
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

  /** Look which queues have messages now, fly there, and then show it. */
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

  /** A dot moves from node to node of the picture. */
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

  /** Where an edge to another node ends. */
  #pointOf(node, other) {
    const own = this.places.get(node);
    const far = this.places.get(other);
    if (!own || !far || own.left === undefined) return own;
    return { x: far.x < own.x ? own.left : own.right, y: own.y };
  }

  // -- the end

  /** Workers go, and everything that was declared is deleted. */
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

/** The number by which this page knows a message; a dot for one of somebody else. */
export function numberOf(id) {
  const found = /\.(\d+)$/.exec(id ?? "");
  return found ? Number(found[1]) : "·";
}
