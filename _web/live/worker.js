/**
 * Trains in a thread of its own, so that the page stays free to draw. Messages to it:
 *   {kind: "train", id, settings, twin, from?, startEpoch?, quick?}   {kind: "pause"}   {kind: "go on"}   {kind: "stop"}
 * Messages from it carry the id: epoch, event, end, stopped, diverged (see training.js), failed {message}.
 */
import { compile, patchesOf, Network } from "./network.js";
import { initialState } from "./shapes.js";
import { batchOf, train } from "./training.js";
import { loadSignals } from "./data.js";

const CURVE = 1000; // test signals behind every point of a curve; a run's last number is measured on all there are
let paused = false, stopped = false;
/** @type {(() => void) | null} */
let wake = null;
/** @type {Promise<any> | null} */
let ready = null;
/** @type {Map<boolean, Promise<any>>} */
const data = new Map();

// A turn of the event loop, at once: timers would wait at least 4 ms.
const channel = new MessageChannel();
/** @type {(() => void)[]} */
const turns = [];
channel.port1.onmessage = () => turns.shift()?.();
const turn = () => new Promise((done) => { turns.push(() => done(undefined)); channel.port2.postMessage(null); });

async function rest() {
  await turn(); // lets messages in
  while (paused && !stopped) await new Promise((done) => (wake = () => done(undefined)));
  return !stopped;
}

/** The compiled program on WebAssembly, or on WebGPU where that is there and faster on 20 steps. */
async function prepare() {
  const jax = await import("./vendor/jax/index.js");
  await jax.init("wasm");
  jax.defaultDevice("wasm");
  const program = compile(jax, "wasm");
  const gpu = await compiledForGpu(jax);
  if (!gpu) return program;
  const signals = await loadSignals("train");
  const part = { patches: patchesOf(signals.signals), labels: signals.labels, n: signals.n };
  return (await timed(gpu, part)) < (await timed(program, part)) ? gpu : program;
}

async function compiledForGpu(/** @type {any} */ jax) {
  if (!("gpu" in navigator)) return null;
  try {
    if (!(await (/** @type {any} */ (navigator).gpu.requestAdapter()))) return null;
    if (!(await jax.init("webgpu")).includes("webgpu")) return null;
    return compile(jax, "webgpu");
  } catch {
    return null; // some browsers have the name only
  }
}

async function timed(/** @type {any} */ program, /** @type {any} */ part) {
  const network = new Network(program, initialState(0));
  const { patches, y } = batchOf(part, Array.from({ length: 100 }, (_, i) => i));
  const step = () => network.step(patches.slice(), y.slice(), 1e-3, 0);
  try {
    await step(); // compiles
    const start = performance.now();
    for (let i = 0; i < 20; i++) await step();
    return performance.now() - start;
  } catch {
    return Infinity;
  } finally {
    network.dispose();
  }
}

/** @param {boolean} quick only the first 1,000 test signals */
function examples(quick) {
  if (!data.has(quick)) data.set(quick, load(quick));
  return data.get(quick);
}

async function load(/** @type {boolean} */ quick) {
  const parts = await Promise.all([loadSignals("train"), loadSignals("test"), ...(quick ? [] : [loadSignals("test-more")])]);
  const [training, ...tests] = parts.map((part) => ({ patches: patchesOf(part.signals), labels: part.labels, n: part.n }));
  const test = { patches: new Float32Array(tests.reduce((n, part) => n + part.patches.length, 0)), labels: new Uint8Array(tests.reduce((n, part) => n + part.n, 0)) };
  let at = 0;
  for (const part of tests) {
    test.patches.set(part.patches, at * (part.patches.length / part.n));
    test.labels.set(part.labels, at);
    at += part.n;
  }
  return { train: training, test, curve: CURVE };
}

addEventListener("message", async ({ data: message }) => {
  if (message.kind === "pause") paused = true;
  if (message.kind === "go on" || message.kind === "stop") {
    paused = false;
    stopped = message.kind === "stop" || stopped;
    wake?.();
    wake = null;
  }
  if (message.kind !== "train") return;
  const { id, settings, twin, from, startEpoch, quick } = message;
  const tell = (/** @type {any} */ news) => postMessage({ ...news, id });
  stopped = false;
  try {
    ready ??= prepare();
    const [program, examplesHere] = await Promise.all([ready, examples(Boolean(quick))]);
    if ((await train(program, examplesHere, settings, { twin, tell, rest, from, startEpoch })) === null) tell({ kind: "stopped" });
  } catch (error) {
    ready = null;
    tell({ kind: "failed", message: String(error instanceof Error ? error.message : error) });
  }
});
