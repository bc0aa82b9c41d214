/** What an experiment is made of: defaults, limits, presets in words, the address that holds it, a row of CSV. */
import { INTERVENTIONS } from "./interventions.js";
import { EPOCHS, epochsLeft, eventEpochs } from "./schedule.js";

/** @typedef {import("./training.js").Settings} Settings */

/** @type {Settings} */
export const DEFAULTS = {
  intervention: "prune", target: "random", dose: 0.8, events: 3, first: 5, last: 23, learningRate: 0.002, weightDecay: 0, optimizer: "adam", head: "positions", seed: 0,
};
export const TARGETS = ["smallest", "largest", "random"];
export const LEARNING_RATES = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02];
/** @type {{name: string, weightDecay: number, optimizer: Settings["optimizer"]}[]} the ones that the recorded runs have */
export const DECAYS = [
  { name: "none", weightDecay: 0, optimizer: "adam" },
  { name: "0.03, in the gradient (Adam)", weightDecay: 0.03, optimizer: "adam" },
  { name: "0.1, in the gradient (Adam)", weightDecay: 0.1, optimizer: "adam" },
  { name: "3, decoupled (AdamW)", weightDecay: 3, optimizer: "adamw" },
];
/** @type {{name: string, head: Settings["head"]}[]} */
export const HEADS = [{ name: "positions", head: "positions" }, { name: "averages", head: "averages" }];
export const LAST_EPOCH = EPOCHS - 2; // an event after the last epoch would have nothing to heal in
export const MOST_EVENTS = 19;

/** @type {{name: string, words: string, settings: Partial<Settings>}[]} */
export const PRESETS = [
  {
    name: "the paper's stable",
    words: "90% of the filters, smallest weights first, in 18 small steps up to epoch 39.",
    settings: { target: "smallest", dose: 0.9, events: 18, first: 5, last: 39 },
  },
  {
    name: "the paper's unstable",
    words: "The same 90% in two big steps, the last one at epoch 23. What else has changed?",
    settings: { target: "smallest", dose: 0.9, events: 2, first: 5, last: 23 },
  },
  {
    name: "same first and last event",
    words: "19 small steps, between the same two epochs as the two big ones.",
    settings: { target: "smallest", dose: 0.9, events: 19, first: 5, last: 23 },
  },
  {
    name: "a jolt that changes no prediction",
    words: "Nine times, a random half of the filters shrinks, and batch norm's statistics with it. No prediction changes.",
    settings: { intervention: "rescale", target: "random", dose: 0.5, events: 9, first: 5, last: 37 },
  },
  {
    name: "zero the head's inputs",
    words: "Nine times, the last layer forgets a random half of its inputs. No filter is touched.",
    settings: { intervention: "zero_inputs", target: "random", dose: 0.5, events: 9, first: 5, last: 37 },
  },
];

/** The nearest settings that make sense; what is missing or is no number is the default's. @param {Partial<Settings>} wish @returns {Settings} */
export function valid(wish) {
  const number = (/** @type {keyof Settings} */ name, /** @type {number} */ low, /** @type {number} */ high, whole = true) => {
    const value = Number(wish[name] ?? DEFAULTS[name]);
    const found = Number.isFinite(value) ? value : Number(DEFAULTS[name]);
    return Math.min(high, Math.max(low, whole ? Math.round(found) : found));
  };
  const intervention = Object.hasOwn(INTERVENTIONS, wish.intervention ?? "") ? String(wish.intervention) : DEFAULTS.intervention;
  const first = number("first", 0, LAST_EPOCH), last = Math.max(first, number("last", 0, LAST_EPOCH));
  return {
    intervention,
    target: /** @type {any} */ (TARGETS.includes(wish.target ?? "") ? wish.target : DEFAULTS.target),
    dose: Math.round(100 * number("dose", 0.05, INTERVENTIONS[intervention].removes ? 0.95 : 1, false)) / 100,
    events: number("events", 1, Math.min(MOST_EVENTS, last - first + 1)),
    first,
    last,
    learningRate: number("learningRate", 1e-5, 0.1, false),
    weightDecay: number("weightDecay", 0, 10, false),
    optimizer: wish.optimizer === "adamw" ? "adamw" : "adam",
    head: wish.head === "averages" ? "averages" : "positions",
    seed: number("seed", 0, 999999),
  };
}

/** The part of an address after "#" that holds what differs from the defaults. @param {Settings} settings */
export function toAddress(settings) {
  const changed = Object.entries(settings).filter(([name, value]) => value !== DEFAULTS[/** @type {keyof Settings} */ (name)] && name in DEFAULTS);
  return new URLSearchParams(changed.map(([name, value]) => [name, String(value)])).toString();
}

/** @param {string} address with or without "#" @returns {Settings} */
export function fromAddress(address) {
  return valid(/** @type {any} */ (Object.fromEntries(new URLSearchParams(address.replace(/^#/, "")))));
}

/** @typedef {{settings: Settings, hit: {accuracy: number, instability: number}, twin: {accuracy: number}, gain: number}} Run */

/** The reader's runs with the columns that the package gives its own, and the twin beside them. @param {Run[]} runs */
export function toCsv(runs) {
  const columns = ["intervention", "layers", "target", "prune_fraction", "start", "end", "n_events", "learning_rate", "weight_decay",
    "seed", "final_accuracy", "instability", "twin_accuracy", "gain", "optimizer", "model"];
  const rows = runs.map(({ settings: s, hit, twin, gain }) => {
    const when = eventEpochs(s.first, s.last, s.events);
    return [s.intervention, s.intervention === "zero_inputs" ? "head" : "conv4", s.target, s.dose, when[0], when[when.length - 1], when.length,
      s.learningRate, s.weightDecay, s.seed, hit.accuracy.toFixed(5), hit.instability.toFixed(5), twin.accuracy.toFixed(5), gain.toFixed(3),
      s.optimizer, s.head === "averages" ? "conv1d_pooled" : "conv1d"];
  });
  return [columns, ...rows].map((row) => row.join(",")).join("\n") + "\n";
}

const percent = (/** @type {number} */ share) => `${Math.round(100 * share)}%`;

/** What will happen, in one or two sentences. @param {Settings} s */
export function inWords(s) {
  const when = eventEpochs(s.first, s.last, s.events), n = when.length;
  const { sentence, removes } = INTERVENTIONS[s.intervention];
  const whose = s.target === "random" ? "chosen at random" : `with the ${s.target} weights`;
  const what = s.intervention === "zero_inputs" ? `${percent(s.dose)} of the head's inputs` : `${percent(s.dose)} of the last layer's 64 filters, ${whose}`;
  const how = removes ? `in ${n === 1 ? "one step" : `${n} steps`}` : n === 1 ? "once" : `at each of ${n} events`;
  const at = n === 1 ? `after epoch ${when[0]}` : `from epoch ${when[0]} to ${when[n - 1]}`;
  const left = epochsLeft(when);
  return `${what}, ${how}, ${at}. ${sentence} After the last event, ${left} epochs at the full learning rate are left.`;
}
