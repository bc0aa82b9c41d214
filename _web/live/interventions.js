/**
 * What an event does to a network. Each intervention changes a state of plain arrays; none knows how training works. Names,
 * words and sentences are those of `gst_tutorial.interventions`; `tools/pages/live.py` writes them into `made/words.js`.
 *
 * @typedef {import("./shapes.js").State} State
 * @typedef {import("./random.js").Random} Random
 * @typedef {"smallest" | "largest" | "random"} Target
 * @typedef {{words: string, sentence: string, removes: boolean, act: (state: State, chosen: number[], random: Random) => void}} Intervention
 */
import { EPS, FILTERS, CLASSES, CHANNELS } from "./shapes.js";
import { normal, permutation } from "./random.js";
import { WORDS } from "./made/words.js";

const INPUTS = 3 * CHANNELS[3]; // weights of one filter
const SIZE = 0.25; // the package's usual one

/** Multiply the weights of some filters. @param {State} state @param {number[]} chosen @param {number} factor */
function scaleWeights(state, chosen, factor) {
  const w = state.weights.w4; // (INPUTS, FILTERS)
  for (let i = 0; i < INPUTS; i++) for (const c of chosen) w[i * FILTERS + c] *= factor;
}

/** How each changes a state. @type {Record<string, Intervention["act"]>} */
const ACTS = {
  prune: (state, chosen) => chosen.forEach((c) => (state.mask[c] = 0)),
  zero: (state, chosen) => scaleWeights(state, chosen, 0),
  scale: (state, chosen) => scaleWeights(state, chosen, SIZE),
  rescale: (state, chosen) => {
    scaleWeights(state, chosen, SIZE);
    const { m4, v4 } = state.statistics;
    for (const c of chosen) {
      m4[c] *= SIZE;
      // Batch norm divides by sqrt(variance + eps); only with this variance is the quotient what it was.
      v4[c] = SIZE ** 2 * (v4[c] + EPS) - EPS;
    }
  },
  redirect: (state, chosen, random) => {
    const w = state.weights.w4;
    for (const c of chosen) {
      const fresh = Array.from({ length: INPUTS }, () => normal(random));
      const factor = Math.sqrt(squares(w, c)) / Math.hypot(...fresh);
      for (let i = 0; i < INPUTS; i++) w[i * FILTERS + c] = factor * fresh[i];
    }
  },
  zero_inputs: (state, chosen) => {
    for (const row of chosen) state.weights.wh.fill(0, row * CLASSES, (row + 1) * CLASSES);
  },
};

/** @type {Record<string, Intervention>} */
export const INTERVENTIONS = Object.fromEntries(Object.entries(WORDS).map(([name, words]) => [name, { ...words, act: ACTS[name] }]));

/** Sum of the squared weights of filter c. @param {Float32Array} w @param {number} c */
function squares(w, c) {
  let sum = 0;
  for (let i = 0; i < INPUTS; i++) sum += w[i * FILTERS + c] ** 2;
  return sum;
}

/** The L2 norm of every filter's weights, the score by which targets are chosen. @param {State} state */
export function norms(state) {
  return Array.from({ length: FILTERS }, (_, c) => Math.sqrt(squares(state.weights.w4, c)));
}

/**
 * Choose n of the candidates: those with the smallest or the largest weights, or at random.
 * @param {number[]} scores @param {number[]} candidates @param {number} n @param {Target} target @param {Random} random
 */
export function choose(scores, candidates, n, target, random) {
  if (target === "random") return permutation(candidates.length, random).slice(0, n).map((i) => candidates[i]);
  const sign = target === "smallest" ? 1 : -1;
  return [...candidates].sort((a, b) => sign * (scores[a] - scores[b])).slice(0, n);
}

/**
 * Which filters (for `zero_inputs`: which inputs of the head) one event hits.
 * @param {State} state @param {string} name of the intervention @param {Target} target
 * @param {number} n how many filters @param {number} share of the head's inputs @param {Random} random
 */
export function targets(state, name, target, n, share, random) {
  if (name === "zero_inputs") {
    const inputs = state.weights.wh.length / CLASSES;
    return permutation(inputs, random).slice(0, Math.round(share * inputs));
  }
  const candidates = [...state.mask.keys()].filter((c) => state.mask[c] > 0);
  return choose(norms(state), candidates, n, target, random);
}
