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
/** @typedef {import("./shapes.js").Head} Head */
/** The compiled programs, one for each head. @type {Map<Head, Promise<any>>} */
const programs = new Map();
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
async function prepare(/** @type {Head} */ head) {
  const jax = await import("./vendor/jax/index.js");
  await jax.init("wasm");
  jax.defaultDevice("wasm");
  const program = compile(jax, "wasm", head);
  const gpu = await compiledForGpu(jax, head);
  if (!gpu) return program;
  const signals = await loadSignals("train");
  const part = { patches: patchesOf(signals.signals), labels: signals.labels, n: signals.n };
  return (await timed(gpu, part, head)) < (await timed(program, part, head)) ? gpu : program;
}

async function compiledForGpu(/** @type {any} */ jax, /** @type {Head} */ head) {
  if (!("gpu" in navigator)) return null;
  try {
    if (!(await (/** @type {any} */ (navigator).gpu.requestAdapter()))) return null;
    if (!(await jax.init("webgpu")).includes("webgpu")) return null;
    return compile(jax, "webgpu", head);
  } catch {
    return null; // some browsers have the name only
  }
}

async function timed(/** @type {any} */ program, /** @type {any} */ part, /** @type {Head} */ head) {
  const network = new Network(program, initialState(0, head));
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

/** What `make` gives, made once for each key; what fails is made again when it is next asked for. */
function once(/** @type {Map<any, Promise<any>>} */ made, /** @type {any} */ key, /** @type {() => Promise<any>} */ make) {
  const known = made.get(key);
  if (known) return known;
  const fresh = make();
  fresh.catch(() => made.delete(key));
  made.set(key, fresh);
  return fresh;
}

/** Everything that is trained and tested on. @param {boolean} quick only the first 1,000 test signals */
async function load(quick) {
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
    const head = settings.head ?? "positions";
    const [program, examplesHere] = await Promise.all([once(programs, head, () => prepare(head)), once(data, Boolean(quick), () => load(quick))]);
    if ((await train(program, examplesHere, settings, { twin, tell, rest, from, startEpoch })) === null) tell({ kind: "stopped" });
  } catch (error) {
    tell({ kind: "failed", message: String(error instanceof Error ? error.message : error) });
  }
});
