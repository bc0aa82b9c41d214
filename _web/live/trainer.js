/**
 * The page's side of training: two workers, one for the network that is hit and one for its twin, started when they are
 * first needed. A twin does not depend on the events, so it is trained once and then remembered.
 *
 * @typedef {import("./training.js").Settings} Settings
 * @typedef {{accuracy: number, instability: number, events: number, stepMilliseconds: number}} End
 * @typedef {{hit: End, twin: End}} Pair
 * @typedef {(who: "hit" | "twin", message: any) => void} Listener
 */

/** The reader stopped it. */
export class Stopped extends Error {}

class Learner {
  constructor() {
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.id = 0;
  }

  /** @param {any} order @param {(message: any) => void} listen @returns {Promise<End>} */
  train(order, listen) {
    const id = ++this.id;
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.worker.removeEventListener("message", hear);
        this.worker.removeEventListener("error", fail);
      };
      const fail = (/** @type {any} */ event) => { stop(); reject(new Error(event.message || "a file did not arrive")); };
      const hear = (/** @type {MessageEvent} */ { data }) => {
        if (data.id !== id) return;
        listen(data);
        if (data.kind === "epoch" || data.kind === "event") return;
        stop();
        if (data.kind === "end") resolve(data);
        else if (data.kind === "stopped") reject(new Stopped("stopped"));
        else if (data.kind === "diverged") reject(new Error(`training diverged in epoch ${data.epoch + 1}: the loss is no longer a number`));
        else reject(new Error(data.message));
      };
      this.worker.addEventListener("message", hear);
      this.worker.addEventListener("error", fail);
      this.worker.postMessage({ kind: "train", id, ...order });
    });
  }
}

export class Trainer {
  constructor() {
    /** @type {Learner[]} */
    this.learners = [];
    /** @type {Map<string, any[]>} */
    this.twins = new Map();
  }

  /** Whether this browser has what training needs. */
  static possible() {
    return typeof Worker === "function" && typeof WebAssembly === "object" && typeof DecompressionStream === "function" &&
      location.protocol !== "file:";
  }

  start() {
    while (this.learners.length < 2) this.learners.push(new Learner());
  }

  /**
   * Train the hit network and its twin, at the same time.
   * @param {Settings} settings @param {Listener} listen
   * @param {{from?: any, hitFrom?: any, startEpoch?: number, quick?: boolean}} [options] `from` for both; `hitFrom` another for the hit one
   * @returns {Promise<Pair>}
   */
  async pair(settings, listen, { from, hitFrom, startEpoch, quick } = {}) {
    this.start();
    const [a, b] = this.learners;
    const order = { settings, startEpoch, quick };
    const { seed, learningRate, weightDecay, optimizer, head, epochs } = settings;
    const key = JSON.stringify([seed, learningRate, weightDecay, optimizer, head, epochs, startEpoch, quick]);
    const known = this.twins.get(key);
    const twin = known
      ? this.replay(known, listen)
      : this.remember(key, b, { ...order, twin: true, from }, listen);
    // `hitFrom` is hit already, by the reader's own hand.
    const hit = a.train({ ...order, twin: Boolean(hitFrom), from: hitFrom ?? from }, (message) => listen("hit", message));
    const [first, second] = await Promise.allSettled([hit, twin]);
    for (const each of [first, second]) {
      if (each.status !== "rejected") continue;
      // A worker whose script did not arrive stays broken, so the next attempt starts with new ones.
      if (!(each.reason instanceof Stopped)) this.restart();
      throw each.reason;
    }
    return { hit: /** @type {any} */ (first).value, twin: /** @type {any} */ (second).value };
  }

  /** @param {any[]} messages @param {Listener} listen @returns {Promise<End>} */
  async replay(messages, listen) {
    messages.forEach((message) => listen("twin", message));
    return messages[messages.length - 1];
  }

  async remember(/** @type {string} */ key, /** @type {Learner} */ learner, /** @type {any} */ order, /** @type {Listener} */ listen) {
    /** @type {any[]} */
    const messages = [];
    const end = await learner.train(order, (message) => { messages.push(message); listen("twin", message); });
    this.twins.set(key, messages);
    return end;
  }

  restart() {
    this.learners.forEach(({ worker }) => worker.terminate());
    this.learners = [];
  }

  tell(/** @type {"pause" | "go on" | "stop"} */ kind) {
    this.learners.forEach(({ worker }) => worker.postMessage({ kind }));
  }
}

/** One for the page, whatever figures it has. */
export const trainer = new Trainer();
