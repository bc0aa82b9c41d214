/**
 * The book's network as numbers: four convolutions (kernel 3, padding 1, no bias), each followed by batch norm, mask and
 * relu, and a linear head. The same as `gst.conv1d_net()`, and with the head "averages" as `gst.conv1d_net(pooled=True)`.
 *
 * A state is plain typed arrays, so that events, files and tests need no library:
 *
 * @typedef {Object} State
 * @property {Record<string, Float32Array>} weights  see WEIGHTS; convolutions as (tap, channel in, channel out)
 * @property {Record<string, Float32Array>} statistics  batch norm's running mean (m1..m4) and variance (v1..v4)
 * @property {Float32Array} mask  1 for a kept filter of the last convolution, 0 for a pruned one
 *
 * @typedef {"positions" | "averages"} Head  the head reads every position of every filter, or each filter's mean
 */
import { stream } from "./random.js";

export const CHANNELS = [1, 32, 32, 32, 64];
export const LENGTHS = [40, 20, 10, 10, 10]; // of the signal, and after each convolution (strides 2 2 1 1)
export const CLASSES = 10;
export const FILTERS = 64; // of the last convolution, the layer that is pruned
export const POSITIONS = 10; // samples that each of them leaves
export const EPS = 1e-5; // batch norm's
export const MOMENTUM = 0.1; // of the running statistics

/** Shapes of everything that is trained but the head's weight, in the order of the exported files. @type {Record<string, number[]>} */
const TRAINED = {};
/** Shapes of batch norm's running statistics. @type {Record<string, number[]>} */
export const STATISTICS = {};
for (let i = 1; i <= 4; i++) {
  TRAINED[`w${i}`] = [3 * CHANNELS[i - 1], CHANNELS[i]];
  TRAINED[`g${i}`] = [CHANNELS[i]];
  TRAINED[`b${i}`] = [CHANNELS[i]];
  STATISTICS[`m${i}`] = [CHANNELS[i]];
  STATISTICS[`v${i}`] = [CHANNELS[i]];
}

/**
 * Shapes of everything that is trained. The rows of the head's weight are its inputs: all filters at the first position,
 * all filters at the second, and so on; or one mean for each filter.
 * @param {Head} head @returns {Record<string, number[]>}
 */
export const weightShapes = (head) => ({ ...TRAINED, wh: [head === "averages" ? FILTERS : POSITIONS * FILTERS, CLASSES], bh: [CLASSES] });

/** The head that a state belongs to. @param {State} state @returns {Head} */
export const headOf = (state) => (state.weights.wh.length === FILTERS * CLASSES ? "averages" : "positions");

/** @param {number[]} shape */
export const size = (shape) => shape.reduce((a, b) => a * b, 1);

/**
 * Weights before training, from the distributions that PyTorch uses: uniform within 1 / sqrt(inputs of a unit).
 * Another generator than PyTorch's, so seed 3 here and seed 3 there are different networks of the same kind.
 * @param {number} seed @param {Head} [head]
 * @returns {State}
 */
export function initialState(seed, head = "positions") {
  const random = stream(seed, "initialization");
  /** @type {State} */
  const state = { weights: {}, statistics: {}, mask: new Float32Array(FILTERS).fill(1) };
  const shapes = weightShapes(head);
  for (const [name, shape] of Object.entries(shapes)) {
    const values = new Float32Array(size(shape));
    const fanIn = name === "bh" ? shapes.wh[0] : shape[0];
    if (name[0] === "g") values.fill(1);
    else if (name[0] === "w" || name === "bh") {
      for (let i = 0; i < values.length; i++) values[i] = (2 * random() - 1) / Math.sqrt(fanIn);
    }
    state.weights[name] = values;
  }
  for (const [name, shape] of Object.entries(STATISTICS)) {
    state.statistics[name] = new Float32Array(size(shape)).fill(name[0] === "v" ? 1 : 0);
  }
  return state;
}

/** @param {State} state @returns {State} a copy that shares nothing */
export function copyState(state) {
  const copy = (/** @type {Record<string, Float32Array>} */ table) =>
    Object.fromEntries(Object.entries(table).map(([name, values]) => [name, values.slice()]));
  return { weights: copy(state.weights), statistics: copy(state.statistics), mask: state.mask.slice() };
}
