/**
 * The network as a program for jax-js: one compiled training step (forward, backward, Adam) and one compiled evaluation.
 *
 * jax-js counts references: a function *consumes* the arrays that it is given, and `.ref` keeps one for later use.
 * Its own convolution is slow on WebAssembly, so a convolution here is three shifted copies side by side and one matrix
 * product, which is ten times faster.
 */
import { CHANNELS, CLASSES, EPS, FILTERS, LENGTHS, MOMENTUM, POSITIONS, STATISTICS, weightShapes } from "./shapes.js";

const BETA1 = 0.9, BETA2 = 0.999, ADAM_EPS = 1e-8; // PyTorch's
const EVALUATED_AT_ONCE = 250; // more is no faster, and memory grows

/** @typedef {import("./shapes.js").State} State */

/**
 * @param {any} jax the library @param {"wasm" | "webgpu"} device
 * @param {import("./shapes.js").Head} [head] what the head reads
 */
export function compile(jax, device, head = "positions") {
  const shapes = weightShapes(head);
  const { numpy: np, nn, jit, valueAndGrad, tree } = jax;
  const zeros = (/** @type {number[]} */ shape) => np.zeros(shape, { device });

  /** Neighbours side by side: (B, L, C) to (B * L, 3 C). */
  function neighbours(x, batch, length, channels) {
    const edge = zeros([batch, 1, channels]);
    const padded = np.concatenate([edge.ref, x, edge], 1); // (B, L + 2, C)
    const at = (/** @type {any} */ array, /** @type {number} */ from) => array.slice([], [from, from + length]);
    return np.concatenate([at(padded.ref, 0), at(padded.ref, 1), at(padded, 2)], 2).reshape([batch * length, 3 * channels]);
  }

  /** The same for stride 2: (B, L, C) to (B * L / 2, 3 C). */
  function everySecond(x, batch, length, channels) {
    const pairs = x.reshape([batch, length / 2, 2, channels]);
    const even = pairs.ref.slice([], [], 0), odd = pairs.slice([], [], 1);
    const before = np.concatenate([zeros([batch, 1, channels]), odd.ref.slice([], [0, length / 2 - 1])], 1);
    return np.concatenate([before, even, odd], 2).reshape([(batch * length) / 2, 3 * channels]);
  }

  /** From the output of convolution i to the input of the next, or of the head. */
  function onwards(a, i, batch) {
    const shaped = a.reshape([batch, LENGTHS[i], CHANNELS[i]]);
    if (i === 4) return head === "averages" ? shaped.mean(1) : shaped.reshape([batch, POSITIONS * FILTERS]);
    return (LENGTHS[i + 1] < LENGTHS[i] ? everySecond : neighbours)(shaped, batch, LENGTHS[i], CHANNELS[i]);
  }

  /** Mean cross-entropy, and the mean and variance of every layer in this batch. */
  function loss(weights, patches, y, mask) {
    const batch = patches.shape[0], statistics = {};
    let h = patches.reshape([batch * LENGTHS[1], 3]);
    for (let i = 1; i <= 4; i++) {
      const z = np.matmul(h, weights[`w${i}`]);
      const mean = z.ref.mean(0), centred = z.sub(mean.ref), variance = np.square(centred.ref).mean(0);
      const scale = weights[`g${i}`].mul(np.reciprocal(np.sqrt(variance.ref.add(EPS))));
      let a = np.maximum(centred.mul(scale).add(weights[`b${i}`]), 0);
      if (i === 4) a = a.mul(mask);
      statistics[`m${i}`] = mean;
      statistics[`v${i}`] = variance;
      h = onwards(a, i, batch);
    }
    const logits = np.matmul(h, weights.wh).add(weights.bh); // (B, 10)
    return [nn.logSoftmax(logits, 1).mul(y).sum().mul(-1 / batch), statistics];
  }
  const gradients = valueAndGrad(loss, { hasAux: true });

  /**
   * `scalars` are [learning rate / (1 - beta1^t), sqrt(1 - beta2^t), penalty, kept]: arrays, so that nothing recompiles.
   * Weight decay is either a penalty, added to the gradient (Adam), or leaves the share `kept` of every weight (AdamW).
   */
  const step = jit(function step(weights, m, v, statistics, patches, y, mask, scalars) {
    const batch = patches.shape[0];
    const [[value, seen], gradient] = gradients(tree.ref(weights), patches, y, mask);
    const [rate, correction, penalty, kept] = scalars;
    const next = { weights: {}, m: {}, v: {}, statistics: {} };
    for (const name of Object.keys(shapes)) {
      const g = gradient[name].add(weights[name].ref.mul(penalty.ref));
      next.m[name] = m[name].mul(BETA1).add(g.ref.mul(1 - BETA1));
      next.v[name] = v[name].mul(BETA2).add(np.square(g).mul(1 - BETA2));
      const length = np.sqrt(next.v[name].ref).div(correction.ref).add(ADAM_EPS);
      next.weights[name] = weights[name].mul(kept.ref).sub(rate.ref.mul(next.m[name].ref).div(length));
    }
    for (const array of scalars) array.dispose();
    for (const name of Object.keys(STATISTICS)) {
      const n = batch * LENGTHS[Number(name[1])];
      const unbiased = name[0] === "v" ? seen[name].mul(n / (n - 1)) : seen[name];
      next.statistics[name] = statistics[name].mul(1 - MOMENTUM).add(unbiased.mul(MOMENTUM));
    }
    return [next, value];
  });

  const evaluate = jit(function evaluate(weights, statistics, mask, patches) {
    const batch = patches.shape[0];
    let h = patches.reshape([batch * LENGTHS[1], 3]);
    for (let i = 1; i <= 4; i++) {
      const scale = weights[`g${i}`].mul(np.reciprocal(np.sqrt(statistics[`v${i}`].add(EPS))));
      const z = np.matmul(h, weights[`w${i}`]).sub(statistics[`m${i}`]);
      let a = np.maximum(z.mul(scale).add(weights[`b${i}`]), 0);
      if (i === 4) a = a.mul(mask);
      h = onwards(a, i, batch);
    }
    return np.matmul(h, weights.wh).add(weights.bh);
  });

  return { jax, device, shapes, step, evaluate };
}

/** Inputs of the first convolution: (n, 40) signals to (n, 20, 3) patches. @param {Float32Array} signals */
export function patchesOf(signals) {
  const n = signals.length / LENGTHS[0], patches = new Float32Array(n * LENGTHS[1] * 3);
  for (let s = 0; s < n; s++) {
    for (let j = 0; j < LENGTHS[1]; j++) {
      for (let tap = 0; tap < 3; tap++) {
        const at = 2 * j + tap - 1; // -1 is padding, which is zero
        if (at >= 0) patches[(s * LENGTHS[1] + j) * 3 + tap] = signals[s * LENGTHS[0] + at];
      }
    }
  }
  return patches;
}

/** A network in training: holds its arrays, and gives them up in `dispose`. */
export class Network {
  /** @param {ReturnType<typeof compile>} program @param {State} state */
  constructor(program, state) {
    this.program = program;
    this.steps = 0;
    this.arrays = this.upload(state);
    const empty = () => Object.fromEntries(Object.entries(program.shapes).map(([name, shape]) => [name, this.array(null, shape)]));
    this.arrays.m = empty();
    this.arrays.v = empty();
  }

  /** @param {Float32Array | null} values null: zeros @param {number[]} shape */
  array(values, shape) {
    const { jax: { numpy: np }, device } = this.program;
    return values ? np.array(values, { device, shape }) : np.zeros(shape, { device });
  }

  /** @param {State} state */
  upload(state) {
    const table = (/** @type {Record<string, Float32Array>} */ values, /** @type {Record<string, number[]>} */ shapes) =>
      Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, this.array(values[name].slice(), shape)]));
    return {
      weights: table(state.weights, this.program.shapes),
      statistics: table(state.statistics, STATISTICS),
      mask: this.array(state.mask.slice(), [FILTERS]),
    };
  }

  /**
   * One step of Adam or AdamW on one batch. @param {Float32Array} patches @param {Float32Array} y one-hot
   * @param {number} learningRate @param {number} weightDecay @param {"adam" | "adamw"} [optimizer] @returns {Promise<number>} loss
   */
  async step(patches, y, learningRate, weightDecay, optimizer = "adam") {
    this.steps++;
    const { step } = this.program, { weights, m, v, statistics, mask } = this.arrays, n = y.length / CLASSES;
    const decay = optimizer === "adamw" ? [0, 1 - learningRate * weightDecay] : [weightDecay, 1];
    const scalars = [learningRate / (1 - BETA1 ** this.steps), Math.sqrt(1 - BETA2 ** this.steps), ...decay];
    const [next, value] = step(
      weights, m, v, statistics, this.array(patches, [n, LENGTHS[1], 3]), this.array(y, [n, CLASSES]), mask.ref,
      scalars.map((scalar) => this.array(new Float32Array([scalar]), [1])),
    );
    this.arrays = { ...next, mask };
    return (await value.data())[0];
  }

  /** Logits in evaluation mode, (n, 10). @param {Float32Array} patches @returns {Promise<Float32Array>} */
  async logits(patches) {
    const { jax: { tree }, evaluate } = this.program, { weights, statistics, mask } = this.arrays;
    const each = LENGTHS[1] * 3, n = patches.length / each, out = new Float32Array(n * CLASSES);
    for (let from = 0; from < n; from += EVALUATED_AT_ONCE) {
      const to = Math.min(n, from + EVALUATED_AT_ONCE);
      const batch = this.array(patches.slice(from * each, to * each), [to - from, LENGTHS[1], 3]);
      const result = evaluate(tree.ref(weights), tree.ref(statistics), mask.ref, batch);
      out.set(await result.data(), from * CLASSES);
    }
    return out;
  }

  /** A copy as plain arrays. @returns {Promise<State>} */
  async read() {
    const table = async (/** @type {Record<string, any>} */ arrays) =>
      Object.fromEntries(await Promise.all(Object.entries(arrays).map(async ([name, array]) => [name, await array.ref.data()])));
    const { weights, statistics, mask } = this.arrays;
    return { weights: await table(weights), statistics: await table(statistics), mask: await mask.ref.data() };
  }

  /** Replace everything but Adam's moments, which an event leaves alone. @param {State} state */
  write(state) {
    const { weights, statistics, mask, ...moments } = this.arrays;
    this.program.jax.tree.dispose([weights, statistics, mask]);
    this.arrays = { ...this.upload(state), ...moments };
  }

  dispose() {
    this.program.jax.tree.dispose(this.arrays);
  }
}
