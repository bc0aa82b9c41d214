/**
 * One network from its first step to its last, with events on the way: the loop that the worker runs. It is the same
 * loop as `gst.train`: an event happens after an epoch's last step and before the learning rate falls.
 *
 * @typedef {Object} Settings
 * @property {number} seed
 * @property {string} intervention  a name in INTERVENTIONS
 * @property {import("./interventions.js").Target} target
 * @property {number} dose  share: of the filters that are gone in the end (prune), or of what each event hits (all others)
 * @property {number} events
 * @property {number} first  epoch of the first event
 * @property {number} last  epoch of the last
 * @property {number} learningRate
 * @property {number} weightDecay
 * @property {"adam" | "adamw"} optimizer  weight decay as a penalty in the gradient, or decoupled from it, as in PyTorch
 * @property {import("./shapes.js").Head} head
 * @property {number} [epochs]
 *
 * @typedef {{right: Uint8Array, accuracy: number}} Seen
 * @typedef {{train: {patches: Float32Array, labels: Uint8Array, n: number}, test: {patches: Float32Array, labels: Uint8Array}, curve: number}} Data
 */
import { Network } from "./network.js";
import { CLASSES, FILTERS, LENGTHS, copyState, initialState } from "./shapes.js";
import { INTERVENTIONS, targets } from "./interventions.js";
import { EPOCHS, eventEpochs, keptFilters, learningRate } from "./schedule.js";
import { permutation, stream } from "./random.js";
import { score } from "./forward.js";

const BATCH = 100;
const EACH = LENGTHS[1] * 3; // numbers of one example, as patches

/** The examples `order` of a training set as one batch. */
export function batchOf(/** @type {Data["train"]} */ train, /** @type {number[]} */ order) {
  const patches = new Float32Array(order.length * EACH), y = new Float32Array(order.length * CLASSES);
  order.forEach((s, i) => {
    patches.set(train.patches.subarray(s * EACH, (s + 1) * EACH), i * EACH);
    y[i * CLASSES + train.labels[s]] = 1;
  });
  return { patches, y };
}

/**
 * Hit a state as the settings say. The state is changed.
 * @param {import("./shapes.js").State} state @param {Settings} settings @param {number} index of the event @param {number} events
 * @param {import("./random.js").Random} targetsFrom @param {import("./random.js").Random} directionsFrom
 */
export function hit(state, settings, index, events, targetsFrom, directionsFrom) {
  const { intervention: name, target, dose } = settings, intervention = INTERVENTIONS[name];
  const kept = state.mask.reduce((a, b) => a + b);
  const n = intervention.removes ? kept - keptFilters(FILTERS, dose, events)[index] : Math.round(dose * FILTERS);
  const chosen = targets(state, name, target, n, dose, targetsFrom);
  intervention.act(state, chosen, directionsFrom);
  return chosen;
}

/**
 * Train one network.
 * @param {ReturnType<typeof import("./network.js").compile>} program
 * @param {Data} data @param {Settings} settings
 * @param {Object} options
 * @param {boolean} options.twin  no event happens
 * @param {(message: any) => void} options.tell  called after every epoch and event
 * @param {() => Promise<boolean>} options.rest  called after every step; resolves when training may go on, to false when it must stop
 * @param {import("./shapes.js").State} [options.from]  another state than the seed's first weights
 * @param {number} [options.startEpoch]  with `from`: the epoch to begin with
 * @returns {Promise<any>} what is told in the end, or null if it was stopped
 */
export async function train(program, data, settings, { twin, tell, rest, from, startEpoch = 0 }) {
  const epochs = settings.epochs ?? EPOCHS;
  const when = twin ? [] : eventEpochs(settings.first, settings.last, settings.events).filter((epoch) => epoch < epochs);
  const order = stream(settings.seed, "batches");
  const targetsFrom = stream(settings.seed, "targets"), directionsFrom = stream(settings.seed, "directions");
  const network = new Network(program, from ? copyState(from) : initialState(settings.seed, settings.head));
  const drops = [];
  let stepTime = 0, steps = 0;
  const look = async () => {
    const logits = await network.logits(data.test.patches);
    return { all: score(logits, data.test.labels).accuracy, ...seen(logits) };
  };
  const seen = (/** @type {Float32Array} */ logits) => {
    const { accuracy, right, all } = score(logits, data.test.labels.subarray(0, data.curve));
    return { accuracy, classes: right.map((n, k) => n / all[k]) };
  };
  const glance = async () => seen(await network.logits(data.test.patches.subarray(0, data.curve * EACH)));
  try {
    for (let epoch = 0; epoch < epochs; epoch++) {
      const shuffled = permutation(data.train.n, order); // drawn also for epochs before `startEpoch`
      if (epoch < startEpoch) continue;
      let sum = 0;
      for (let at = 0; at < data.train.n; at += BATCH) {
        const { patches, y } = batchOf(data.train, shuffled.slice(at, at + BATCH));
        const start = performance.now();
        const loss = await network.step(patches, y, learningRate(epoch, settings.learningRate), settings.weightDecay, settings.optimizer);
        if (steps++ > 0) stepTime += performance.now() - start; // the first one compiles
        sum += (loss * y.length) / CLASSES;
        if (!(await rest())) return null;
      }
      if (!Number.isFinite(sum)) {
        // As the package does: training that diverged is named, not dropped.
        const told = { kind: "diverged", epoch };
        tell(told);
        return told;
      }
      const index = when.indexOf(epoch);
      if (index < 0) {
        tell({ kind: "epoch", epoch, loss: sum / data.train.n, ...(await glance()) });
        continue;
      }
      const before = await look();
      tell({ kind: "epoch", epoch, loss: sum / data.train.n, accuracy: before.accuracy, classes: before.classes });
      const state = await network.read();
      const chosen = hit(state, settings, index, when.length, targetsFrom, directionsFrom);
      network.write(state);
      const after = await look();
      const instability = before.all > 0 ? (before.all - after.all) / before.all : 0;
      drops.push(instability);
      tell({ kind: "event", epoch, index, hit: chosen.length, before: before.accuracy, after: after.accuracy, instability });
    }
    const end = await look();
    const told = {
      kind: "end",
      accuracy: end.all,
      curve: end.accuracy,
      instability: drops.length ? drops.reduce((a, b) => a + b) / drops.length : 0,
      events: drops.length,
      stepMilliseconds: stepTime / Math.max(1, steps - 1),
    };
    tell(told);
    return told;
  } finally {
    network.dispose();
  }
}
