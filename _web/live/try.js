/**
 * "Try it" of a chapter: that chapter's knobs, a guess, and a network that trains beside its twin. On the built page the form
 * stands before the recorded answer of the chapter's `run_explorer` cell, which stays covered until there is a guess.
 */
import { DEFAULTS, inWords, valid } from "./settings.js";
import { INTERVENTIONS } from "./interventions.js";
import { eventEpochs } from "./schedule.js";
import { curves } from "./charts.js";
import { percent } from "./statistics.js";
import { points } from "./commentary.js";
import { after, progress, race } from "./race.js";
import { GUESSES, guessSentence, recordedSentence, switches } from "./switches.js";
import { Stopped, Trainer, trainer } from "./trainer.js";
import { choice, el, key, range, select } from "./dom.js";

/** @typedef {import("./training.js").Settings} Settings */
const RANDOM_HALF = { target: /** @type {"random"} */ ("random"), dose: 0.5, events: 9, first: 5, last: 37 };

/**
 * A form for each chapter: where it starts, and a button for each pair of settings that are worth comparing.
 * @type {Record<string, {title: string, knobs: string[], base: Partial<Settings>, presets: [string, Partial<Settings>][], asks?: keyof ASKS}>}
 */
export const FORMS = {
  instability: {
    title: "How large a drop does an event make?",
    asks: "drop",
    knobs: ["dose", "events", "target"],
    base: { target: "smallest", dose: 0.5, events: 1, first: 5, last: 23 },
    presets: [["half, all at once", { dose: 0.5, events: 1 }], ["90%, all at once", { dose: 0.9, events: 1 }], ["90%, in nineteen events", { dose: 0.9, events: 19 }]],
  },
  tradeoff: {
    title: "Compare two schedules",
    knobs: ["dose", "events", "last", "target"],
    base: { target: "smallest", dose: 0.9, events: 2, first: 5, last: 23 },
    presets: [["two large events", { events: 2, last: 23 }], ["eighteen small ones", { events: 18, last: 39 }], ["nineteen small ones, all early", { events: 19, last: 23 }]],
  },
  noise: {
    title: "Damage without removal",
    knobs: ["intervention", "dose", "events"],
    base: { ...RANDOM_HALF, intervention: "zero" },
    presets: [["zero half", { intervention: "zero", dose: 0.5 }], ["zero a tenth", { intervention: "zero", dose: 0.1 }]],
  },
  flatness: {
    title: "A gentle schedule and a brutal one",
    knobs: ["intervention", "events", "last"],
    base: { target: "smallest", dose: 0.9, events: 2, first: 5, last: 23 },
    presets: [["two large events", { events: 2 }], ["nineteen small ones", { events: 19 }]],
  },
  anatomy: {
    title: "One jolt, compared with an undisturbed twin",
    knobs: ["intervention", "dose", "learningRate"],
    base: { ...RANDOM_HALF, intervention: "zero" },
    presets: [["set to zero: a drop", { intervention: "zero" }], ["shorten, adjust batch norm: no drop", { intervention: "rescale" }], ["turn to a new direction", { intervention: "redirect" }], ["zero the head's inputs", { intervention: "zero_inputs" }]],
  },
  pipelines: {
    title: "Does the gain survive good practice?",
    knobs: ["intervention", "dose", "events"],
    base: { target: "random", dose: 0.8, events: 3, first: 5, last: 23 },
    presets: [["prune 80%", { intervention: "prune", dose: 0.8, events: 3, last: 23 }], ["turn half to new directions, nine times", { ...RANDOM_HALF, intervention: "redirect" }]],
  },
};

/** @type {[string, string][]} */
const DROPS = [["small", "under 10%"], ["middle", "10% to 40%"], ["large", "more than 40%"]];
/**
 * What a form has the reader guess: how the run will end (every form but chapter 2's), or how much an event will destroy.
 * @type {Record<"gain" | "drop", {name: string, options: [string, string][], said: (run: any, guess: string) => string}>}
 */
const ASKS = {
  gain: {
    name: "Your guess: it will end",
    options: GUESSES,
    said: ({ hit, gain }, guess) => `${hit.instability === undefined ? "" : ` Each event destroyed ${percent(hit.instability, 0)} of its accuracy on average.`}${guessSentence(guess, gain)}`,
  },
  drop: {
    name: "Your guess: of its accuracy, an event destroys",
    options: DROPS,
    said: ({ hit, events }, guess) => {
      if (hit.instability === undefined) return "";
      const is = hit.instability < 0.1 ? "small" : hit.instability <= 0.4 ? "middle" : "large";
      const found = events === 1 ? `The event destroyed ${percent(hit.instability)} of its accuracy: instability ${hit.instability.toFixed(3)}.`
        : `Its ${events} events destroyed ${percent(hit.instability)} of its accuracy each, on average: instability ${hit.instability.toFixed(3)}.`;
      const answer = !guess ? "" : guess === is ? " You guessed right." : ` You guessed ${DROPS.find(([value]) => value === guess)?.[1]}.`;
      return ` ${found}${answer}`;
    },
  },
};

/** @param {HTMLElement} root its data-form names one of FORMS */
export function mount(root) {
  const form = FORMS[root.dataset.form ?? ""] ?? FORMS.tradeoff;
  const base = { ...DEFAULTS, ...form.base };
  const asks = ASKS[form.asks ?? "gain"];
  let settings = valid(base), guess = "", training = false;
  const answer = cover(root);

  const change = (/** @type {Partial<Settings>} */ some) => {
    if (training) return;
    settings = valid({ ...settings, ...some });
    fill();
  };
  const knobs = Object.fromEntries(Object.entries(KNOBS).filter(([name]) => form.knobs.includes(name)).map(([name, make]) => [name, make(change)]));
  const seed = el("input", { type: "number", min: 0, max: 999999, step: 1, autocomplete: "off", onchange: () => change({ seed: Number(seed.value) }) });
  const presets = form.presets.map(([name, some]) => el("button", { type: "button", "aria-pressed": "false", onclick: () => change({ ...form.base, ...some }) }, name));
  const recipe = switches(change);
  const guesses = choice(asks.name, asks.options, (value) => {
    guess = value;
    answer.uncover();
  });
  const words = el("p", { class: "gst-note" }), bar = progress();
  const text = el("output", { class: "gst-text", "aria-live": "polite" }, "Choose a setting, make a guess, and train. You can also train without guessing.");
  const go = el("button", { type: "button", class: "gst-main", onclick: () => (training ? trainer.tell("stop") : work()) }, "Train it here");
  const box = el("div", { class: "gst-chart gst-tall", role: "img", "aria-label": "Test accuracy over the epochs" });
  const figure = el("figure", { class: "gst-live gst-try", "aria-label": `${form.title}: train a network and its twin in this page` },
    el("p", { class: "gst-title" }, form.title),
    el("div", { class: "gst-presets", role: "group", "aria-label": "Settings to start from" }, ...presets),
    el("div", { class: "gst-columns" },
      el("div", {},
        el("div", { class: "gst-fields" }, ...Object.values(knobs).map(({ field }) => field), el("label", { class: "gst-field" }, el("span", {}, "seed"), seed)),
        recipe.field, words),
      el("div", { class: "gst-side" },
        el("p", { class: "gst-keys" }, key("--gst-hit", "your network"), key("--gst-twin", "its twin, left alone", true)), box, guesses.field)),
    el("div", { class: "gst-controls" }, go), bar.element, text);
  root.replaceChildren(figure);
  const chart = curves(box, [
    ...[2, 1, 0].map((i) => ({ key: `earlier${i}`, colour: "--gst-pale", width: 1.5 })),
    { key: "twin", colour: "--gst-twin", dash: [7, 4], width: 2 },
    { key: "hit", colour: "--gst-hit" },
  ], { empty: "Press “Train it here”, and both curves are drawn as the networks train." });

  function fill() {
    for (const [name, { set }] of Object.entries(knobs)) set(settings);
    seed.value = String(settings.seed);
    recipe.set(settings);
    words.textContent = inWords(settings);
    presets.forEach((button, i) => button.setAttribute("aria-pressed",
      String(Object.entries({ ...form.base, ...form.presets[i][1] }).every(([name, value]) => settings[/** @type {keyof Settings} */ (name)] === value))));
  }

  async function work() {
    if (!Trainer.possible()) {
      text.textContent = "This browser cannot train here. The recorded runs below answer the same question.";
      return;
    }
    training = true;
    go.textContent = "Stop";
    // The last try stays as a thin line.
    for (const i of [2, 1]) chart.set(`earlier${i}`, chart.points[`earlier${i - 1}`]);
    chart.set("earlier0", chart.points.hit);
    chart.clear("hit", "twin");
    text.textContent = "Both networks are training.";
    try {
      const { hit, twin, gain, verdict, epoch } = await race(settings, { chart, progress: bar, say: (sentence) => (text.textContent = sentence) });
      const events = eventEpochs(settings.first, settings.last, settings.events).length;
      text.textContent = `${verdict} ${after(epoch)} ${percent(hit.accuracy)}, its twin ${percent(twin.accuracy)}: ${points(gain)}.${asks.said({ hit, gain, events }, guess)} One pair is one pair; the next press takes the next seed.${await recordedSentence(settings)}`;
      box.setAttribute("aria-label", `Test accuracy over the epochs. ${text.textContent}`);
      answer.uncover();
      root.dataset.gain = gain.toFixed(2);
      settings = valid({ ...settings, seed: settings.seed + 1 });
      seed.value = String(settings.seed);
    } catch (error) {
      text.textContent = error instanceof Stopped ? "Stopped." : `Training did not work (${error instanceof Error ? error.message : error}). Press the button to try again.`;
    } finally {
      training = false;
      go.textContent = "Train it here";
    }
  }
  fill();
}

/** Controls by the setting that they change. @type {Record<string, (change: (some: any) => void) => {field: HTMLElement, set: (settings: Settings) => void}>} */
const KNOBS = {
  intervention: (change) => {
    const { control, field } = select("what an event does", Object.entries(INTERVENTIONS).map(([name, { words }]) => [name, words]), (intervention) => change({ intervention }));
    return { field, set: (settings) => { control.value = settings.intervention; } };
  },
  target: (change) => {
    const { control, field } = select("which filters", [["smallest", "smallest weights"], ["largest", "largest weights"], ["random", "at random"]], (target) => change({ target }));
    return { field, set: (settings) => { control.value = settings.target; } };
  },
  learningRate: (change) => {
    const { control, field } = select("learning rate", [["0.002", "0.002"], ["0.01", "0.01"]], (value) => change({ learningRate: Number(value) }));
    return { field, set: (settings) => { control.value = String(settings.learningRate); } };
  },
  dose: (change) => slider("fraction of the filters", 5, 100, 5, (value) => `${value}%`, (value) => change({ dose: value / 100 }), (settings) => 100 * settings.dose),
  events: (change) => slider("events", 1, 19, 1, String, (value) => change({ events: value }), (settings) => settings.events),
  last: (change) => slider("last event after epoch", 5, 50, 1, String, (value) => change({ last: value }), (settings) => settings.last),
};

function slider(/** @type {string} */ name, /** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ step,
  /** @type {(value: number) => string} */ words, /** @type {(value: number) => void} */ change, /** @type {(settings: Settings) => number} */ of) {
  const made = range(name, low, high, step, words, change);
  return { field: made.field, set: (/** @type {Settings} */ settings) => made.set(Math.round(of(settings))) };
}

/** Covers the recorded answer that follows the form, if there is one, until there is a guess or the reader wants to see it. */
function cover(/** @type {HTMLElement} */ root) {
  const answer = /** @type {HTMLElement | null} */ (root.parentElement?.querySelector(":scope > .gst-answer") ?? null);
  if (!answer) return { uncover() {} };
  answer.classList.add("gst-veiled"); // on screens; paper shows it
  const note = el("p", { class: "gst-covered" }, "A recorded run of this setting is hidden until you guess or train. ",
    el("button", { type: "button", onclick: () => {
      uncover();
      answer.tabIndex = -1; // where the focus goes, now that its button is gone
      answer.focus({ preventScroll: true });
    } }, "Show it now"));
  root.after(note);
  const uncover = () => {
    note.remove();
    answer.classList.remove("gst-veiled");
  };
  return { uncover };
}
