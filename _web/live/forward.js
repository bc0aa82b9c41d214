/** The network's predictions in plain JavaScript: all that the page itself needs, before anybody asks to train. */
import { CHANNELS, CLASSES, EPS, FILTERS, LENGTHS, POSITIONS } from "./shapes.js";

/**
 * Outputs of the last convolution (after batch norm and relu, before the mask), as (signal, position, filter).
 * A generator that pauses after every 20 signals, so that a page can draw in between.
 * @param {import("./shapes.js").State} state
 * @param {Float32Array} signals (n, 40)
 * @returns {Generator<void, Float32Array>}
 */
export function* activations(state, signals) {
  const n = signals.length / LENGTHS[0];
  const scales = [], shifts = [];
  for (let i = 1; i <= 4; i++) {
    const { [`g${i}`]: g, [`b${i}`]: b } = state.weights;
    const { [`m${i}`]: m, [`v${i}`]: v } = state.statistics;
    scales.push(g.map((value, c) => value / Math.sqrt(v[c] + EPS)));
    shifts.push(b.map((value, c) => value - (m[c] * g[c]) / Math.sqrt(v[c] + EPS)));
  }
  const out = new Float32Array(n * POSITIONS * FILTERS);
  for (let s = 0; s < n; s++) {
    let x = signals.subarray(s * LENGTHS[0], (s + 1) * LENGTHS[0]);
    for (let i = 1; i <= 4; i++) x = layer(x, state.weights[`w${i}`], i, scales[i - 1], shifts[i - 1]);
    out.set(x, s * x.length);
    if (s % 20 === 19) yield;
  }
  return out;
}

/** One convolution, batch norm and relu: (length, channels in) to (length, channels out). */
function layer(/** @type {Float32Array} */ x, /** @type {Float32Array} */ w, /** @type {number} */ i,
  /** @type {Float32Array} */ scale, /** @type {Float32Array} */ shift) {
  const nIn = CHANNELS[i - 1], nOut = CHANNELS[i], before = LENGTHS[i - 1], after = LENGTHS[i];
  const stride = before / after;
  const y = new Float32Array(after * nOut), sum = new Float32Array(nOut);
  for (let j = 0; j < after; j++) {
    sum.fill(0);
    for (let tap = 0; tap < 3; tap++) {
      const at = j * stride + tap - 1;
      if (at < 0 || at >= before) continue; // padding
      for (let c = 0; c < nIn; c++) {
        const value = x[at * nIn + c];
        if (value === 0) continue;
        const row = (tap * nIn + c) * nOut;
        for (let o = 0; o < nOut; o++) sum[o] += value * w[row + o];
      }
    }
    for (let o = 0; o < nOut; o++) y[j * nOut + o] = Math.max(0, sum[o] * scale[o] + shift[o]);
  }
  return y;
}

/**
 * What every filter adds to every logit, as (filter, signal, class). Cutting a filter takes its part away and changes
 * nothing else, so a click costs n * 10 subtractions.
 * @param {Float32Array} activations @param {Float32Array} wh the head's weight
 */
export function contributions(activations, wh) {
  const n = activations.length / (POSITIONS * FILTERS);
  const averages = wh.length === FILTERS * CLASSES; // one row a filter, for its mean over the positions
  const parts = new Float32Array(FILTERS * n * CLASSES);
  for (let s = 0; s < n; s++) {
    for (let p = 0; p < POSITIONS; p++) {
      for (let c = 0; c < FILTERS; c++) {
        const value = activations[(s * POSITIONS + p) * FILTERS + c] / (averages ? POSITIONS : 1);
        if (value === 0) continue;
        const to = (c * n + s) * CLASSES, from = ((averages ? 0 : p) * FILTERS + c) * CLASSES;
        for (let k = 0; k < CLASSES; k++) parts[to + k] += value * wh[from + k];
      }
    }
  }
  return parts;
}

/**
 * Logits (signal, class) with the filters of a mask.
 * @param {Float32Array} parts see `contributions` @param {ArrayLike<number>} mask @param {Float32Array} bias
 */
export function logits(parts, mask, bias) {
  const n = parts.length / (FILTERS * CLASSES), block = n * CLASSES;
  const out = new Float32Array(block);
  for (let i = 0; i < block; i++) out[i] = bias[i % CLASSES];
  for (let c = 0; c < FILTERS; c++) {
    if (mask[c]) for (let i = 0, at = c * block; i < block; i++) out[i] += parts[at + i];
  }
  return out;
}

/**
 * How many signals of each class are right, and how many there are.
 * @param {Float32Array} logits @param {Uint8Array} labels
 */
export function score(logits, labels) {
  const right = new Array(CLASSES).fill(0), all = new Array(CLASSES).fill(0);
  for (let s = 0; s < labels.length; s++) {
    let best = 0;
    for (let k = 1; k < CLASSES; k++) if (logits[s * CLASSES + k] > logits[s * CLASSES + best]) best = k;
    all[labels[s]]++;
    if (best === labels[s]) right[labels[s]]++;
  }
  return { right, all, accuracy: right.reduce((a, b) => a + b) / labels.length };
}
