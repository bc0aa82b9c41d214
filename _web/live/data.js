/**
 * MNIST-1D (`gst.load()`), written by tools/pages/live.py: signals in 128 levels, each sample as the difference from the
 * one before, deflated. The same signals in the same order as in Python, up to half a level.
 *
 * @typedef {{signals: Float32Array, labels: Uint8Array, n: number}} Signals
 */
import { LENGTHS, STATISTICS, FILTERS, size, weightShapes } from "./shapes.js";

const LENGTH = LENGTHS[0];
const LEVELS = 128;
const folder = new URL("./made/", import.meta.url);
/** @type {Map<string, Promise<any>>} */
const asked = new Map();

/** Fetch once, however often it is asked for; a failure is not remembered. */
function once(/** @type {string} */ name, /** @type {(answer: Response) => Promise<any>} */ read) {
  if (!asked.has(name)) {
    const answer = fetch(new URL(name, folder)).then((response) => {
      if (!response.ok) throw new Error(`${name}: ${response.status}`);
      return read(response);
    });
    answer.catch(() => asked.delete(name));
    asked.set(name, answer);
  }
  return asked.get(name);
}

const inflated = async (/** @type {Response} */ answer) =>
  new Response(answer.body.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();

/** @param {string} name @returns {Promise<any>} */
export const loadJson = (name) => once(name, (answer) => answer.json());

/**
 * @param {"train" | "test" | "test-more"} part 1,000 to train on, the first 1,000 of the test set, its other 3,000
 * @returns {Promise<Signals>}
 */
export async function loadSignals(part) {
  const [{ low, step }, buffer] = await Promise.all([
    loadJson("levels.json"),
    once(`${part}.bin`, inflated),
  ]);
  const bytes = new Uint8Array(buffer), n = bytes.length / (LENGTH + 1);
  const signals = new Float32Array(n * LENGTH);
  for (let s = 0; s < n; s++) {
    let level = 0;
    for (let i = 0; i < LENGTH; i++) {
      level = (level + bytes[s * LENGTH + i]) % LEVELS;
      signals[s * LENGTH + i] = low + step * level;
    }
  }
  return { signals, labels: bytes.slice(n * LENGTH), n };
}

/**
 * A trained network: 16-bit weights with one scale for each tensor.
 * @param {string} name
 * @returns {Promise<{state: import("./shapes.js").State, about: any}>}
 */
export async function loadState(name) {
  const [about, buffer] = await Promise.all([loadJson(`${name}.json`), once(`${name}.bin`, inflated)]);
  const integers = new Int16Array(buffer);
  /** @type {import("./shapes.js").State} */
  const state = { weights: {}, statistics: {}, mask: new Float32Array(FILTERS).fill(1) };
  let at = 0;
  const take = (/** @type {string} */ tensor, /** @type {number[]} */ shape) => {
    const values = integers.subarray(at, (at += size(shape)));
    return Float32Array.from(values, (value) => value * about.scales[tensor]);
  };
  for (const [tensor, shape] of Object.entries(weightShapes(about.head ?? "positions"))) state.weights[tensor] = take(tensor, shape);
  for (const [tensor, shape] of Object.entries(STATISTICS)) state.statistics[tensor] = take(tensor, shape);
  return { state, about };
}
