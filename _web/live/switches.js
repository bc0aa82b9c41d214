/**
 * The two switches that make the effect vanish, weight decay and the head, and what recorded runs say about a setting.
 */
import { loadJson } from "./data.js";
import { DEFAULTS } from "./settings.js";
import { eventEpochs } from "./schedule.js";
import { signed } from "./statistics.js";
import { attachChoice, choice, el } from "./dom.js";

/** @typedef {import("./training.js").Settings} Settings */

/** What "on" means: the penalty of the recorded runs (study resets-and-decay). */
const DECAY = 0.03;
/** @type {[string, string][]} */
export const GUESSES = [["above", "above its twin"], ["level", "about the same"], ["below", "below it"]];
const LEVEL = 1; // percentage points: two networks that differ in their seed alone end about this far apart

/** @param {(some: Partial<Settings>) => void} change */
export function switches(change) {
  const field = el("div", { class: "gst-switches" },
    choice("Weight decay", [["off", "off"], ["on", "on"]], () => {}).field,
    choice("The head reads", [["positions", "positions"], ["averages", "averages"]], () => {}).field);
  field.children[0].dataset.switch = "decay";
  field.children[1].dataset.switch = "head";
  return { field, ...attachSwitches(field, change) };
}

/** @param {HTMLElement} field @param {(some: Partial<Settings>) => void} change */
export function attachSwitches(field, change) {
  let { weightDecay, optimizer, head } = DEFAULTS;
  const find = (/** @type {string} */ name) => /** @type {HTMLElement} */ (field.querySelector(`[data-switch="${name}"]`));
  const tell = () => change({ weightDecay, optimizer, head });
  const decays = attachChoice(find("decay"), (value) => { weightDecay = value === "on" ? DECAY : 0; optimizer = "adam"; tell(); });
  const heads = attachChoice(find("head"), (value) => { head = /** @type {Settings["head"]} */ (value); tell(); });
  const set = (/** @type {Pick<Settings, "weightDecay" | "optimizer" | "head">} */ some) => {
    ({ weightDecay, optimizer, head } = some);
    decays.set(weightDecay === 0 ? "off" : weightDecay === DECAY && optimizer === "adam" ? "on" : undefined);
    heads.set(head);
  };
  set(DEFAULTS);
  return {
    set,
    buttons: [...decays.buttons, ...heads.buttons],
    /** The half-trained network that belongs to the switches: the name of its files. */
    network: () => ["trained", ...(weightDecay ? ["decay"] : []), ...(head === "averages" ? ["averages"] : [])].join("-"),
  };
}

/** The recorded mean of a setting, or nothing if it was not recorded. @param {Settings} settings */
export async function recordedGain(settings) {
  const { columns, rows } = await loadJson("recorded.json");
  const when = eventEpochs(settings.first, settings.last, settings.events);
  const wanted = { ...settings, first: when[0], last: when[when.length - 1], events: when.length };
  const keys = columns.filter((/** @type {string} */ name) => name in DEFAULTS);
  const row = rows.find((/** @type {any[]} */ each) => keys.every((/** @type {string} */ name) => each[columns.indexOf(name)] === /** @type {any} */ (wanted)[name]));
  return row ? Object.fromEntries(columns.map((/** @type {string} */ name, /** @type {number} */ i) => [name, row[i]])) : null;
}

/** A sentence on what was recorded with PyTorch, to go behind the reader's own result. @param {Settings} settings */
export async function recordedSentence(settings) {
  const found = await recordedGain(settings).catch(() => null);
  if (!found) return "";
  const { gain, low, high, seeds, events } = found;
  const how = settings.intervention === "prune" ? ` of pruning ${Math.round(100 * settings.dose)}% in ${events === 1 ? "one step" : `${events} steps`}` : "";
  return ` Recorded in PyTorch with these switches, mean gain${how} over ${seeds} seeds: ${signed(gain)} points (95% interval ${signed(low)} to ${signed(high)}).`;
}

/** How a guess compares with what happened. @param {string} guess @param {number} gain in percentage points */
export function guessSentence(guess, gain) {
  if (!guess) return "";
  const is = Math.abs(gain) < LEVEL ? "level" : gain > 0 ? "above" : "below";
  const where = { above: "above its twin", level: "about level with its twin (within a point)", below: "below its twin" };
  return guess === is ? ` You guessed right: ${where[is]}.` : ` You guessed ${GUESSES.find(([value]) => value === guess)?.[1]}; it ended ${where[is]}.`;
}
