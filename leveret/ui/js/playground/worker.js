/**
 * A worker: an HTTP consumer with a lease. It polls instead of reading a stream, because a browser has only six
 * connections to a broker, for all of its tabs together.
 */
import { signal } from "@preact/signals";
import { path, post, remove } from "../api.js";
import { numberOf } from "./stage.js";

const LEASE_S = 30;
const RENEW_MS = 10000;

export class Worker {
  /**
   * options: name, prefetch; ms: time to process a message. work(message): its work, before the acknowledgement. onTaken,
   * onDone: called before and after each message. node: its node in the diagram.
   */
  constructor(stage, queue, { name, prefetch = 1, ms = 0, work = async () => {}, onTaken = () => {}, onDone = () => {}, node, isHidden = false }) {
    Object.assign(this, { stage, queue, name, prefetch, work, onTaken, onDone, isHidden });
    this.node = node ?? name;
    this.unsettled = [];  // unacknowledged messages, including those still animated
    this.taken = new Set();  // ids of received messages
    this.idleSince = performance.now();
    this.ms = signal(ms);
    this.held = signal([]);
    this.current = signal(null);  // {tag, ms} of the current message
    this.last = signal(null);  // the last processed message
    this.done = signal(0);
    this.isOver = signal(false);
  }

  #id = null;
  #isAsking = false;
  #isWorking = false;
  #receiving = null;
  #calledAt = 0;
  #life = 0;  // number of starts
  #wake = () => {};

  get #where() {
    return `leveret/${path("consumers", this.#id)}`;
  }

  async start() {
    const where = path("queues", this.stage.vhost, this.stage.nameOf(this.queue), "consumers");
    this.#id = (await post(`leveret/${where}`, { prefetch: this.prefetch, lease: LEASE_S })).id;
    this.#calledAt = performance.now();
    this.#life += 1;
    this.isOver.value = false;
    if (!this.stage.workers.value.includes(this)) this.stage.workers.value = [...this.stage.workers.value, this];
    this.ask();
    return this;
  }

  /** Receive messages, up to the prefetch. */
  async ask() {
    const room = this.prefetch - this.unsettled.length;
    if (this.isOver.value || this.#isAsking || document.hidden || room <= 0) return;
    this.#isAsking = true;
    try {
      await Promise.all(this.stage.arrivals);
      const messages = this.isOver.value ? [] : await this.#receive(room);
      if (!messages.length) return;
      this.unsettled.push(...messages);
      for (const { properties } of messages) this.taken.add(properties.message_id);
      await this.stage.refresh(this.queue);
      await Promise.all(messages.map(() => this.stage.fly([this.queue, this.node], "out")));
      this.held.value = [...this.held.value, ...messages].filter((message) => this.unsettled.includes(message));
      if (!this.isOver.value) this.#go();
    } catch (error) {
      this.#lost(error);
    } finally {
      this.#isAsking = false;
    }
  }

  async #receive(max) {
    const asking = post(`${this.#where}/receive`, undefined, { query: { max, wait: 0 } });
    const settled = asking.then(() => {}, () => {});
    this.#receiving = settled;
    this.stage.asks.add(settled);
    try {
      const { messages } = await asking;
      this.#calledAt = performance.now();
      return messages;
    } finally {
      this.stage.asks.delete(settled);
    }
  }

  /** Process its messages one by one. */
  async #go() {
    if (this.#isWorking) return;
    this.#isWorking = true;
    const life = this.#life;
    const isPast = () => this.isOver.value || life !== this.#life;
    try {
      while (this.held.value.length && !isPast()) {
        const message = this.held.value[0];
        this.current.value = { tag: message.tag, ms: this.ms.value };
        this.onTaken(message, this);
        await this.#rest(this.ms.value);
        if (isPast()) return;
        await this.work(message, this);
        if (isPast()) return;
        await post(`${this.#where}/acks`, { ack: [message.tag] });
        this.#calledAt = performance.now();
        this.unsettled = this.unsettled.filter((each) => each !== message);
        this.held.value = this.held.value.filter((each) => each !== message);
        this.current.value = null;
        this.last.value = message;
        this.done.value += 1;
        this.onDone(message, this);
        await this.stage.refresh(this.queue);
      }
    } catch (error) {
      if (!isPast()) this.#lost(error);
    } finally {
      this.#isWorking = false;
      this.idleSince = performance.now();
    }
    if (this.isOver.value) return;
    if (this.held.value.length) this.#go();
    else this.ask();
  }

  #rest(ms) {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.#wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }

  /** Poll for messages, and renew the lease while working. */
  async tick() {
    if (this.isOver.value) return;
    if (this.unsettled.length < this.prefetch) this.ask();
    else if (performance.now() - this.#calledAt > RENEW_MS) {
      this.#calledAt = performance.now();
      await post(`${this.#where}/acks`, {}).catch((error) => this.#lost(error));
    }
  }

  /** Kill it: its unacknowledged messages are requeued. Returns: these messages. */
  async kill() {
    await this.stop();
    const held = this.unsettled;
    this.unsettled = [];
    await Promise.all(held.map(() => this.stage.fly([this.node, this.queue], "trouble")));
    this.held.value = [];
    this.stage.workers.value = this.stage.workers.value.filter((worker) => worker !== this);
    return held;
  }

  /** Delete the consumer. */
  async stop() {
    this.isOver.value = true;
    this.#wake();
    this.current.value = null;
    await this.#receiving;
    await remove(this.#where);
  }

  /** Restart with another prefetch. */
  async restart(prefetch = this.prefetch) {
    await this.stop();
    this.prefetch = prefetch;
    await this.#again();
  }

  async #again() {
    this.unsettled = [];
    this.held.value = [];
    this.current.value = null;
    await this.start();
  }

  /** Restart after the lease has expired, for example in a hidden tab. */
  async #lost(error) {
    if (this.isOver.value) return;
    if (error.status !== 404) return this.stage.fail(error);
    this.isOver.value = true;
    this.#wake();
    this.stage.say(`${this.name} was disconnected: ${error.message}. It has restarted.`, null, { kind: "trouble" });
    await this.#again().catch((problem) => this.stage.fail(problem));
  }
}

/** The state of a worker in words. */
export function doing(worker) {
  const held = worker.held.value.length;
  const current = worker.held.value[0];
  if (worker.isOver.value) return "stopped";
  if (!current) return worker.done.value ? `idle, ${worker.done.value} done` : "idle";
  const again = current.redelivered ? ", redelivered" : "";
  return `works on #${numberOf(current.properties.message_id)}${again}${held > 1 ? `, holds ${held - 1} more` : ""}`;
}
