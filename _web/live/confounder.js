/**
 * Move the pruning events along the training (chapter 3): 90% of the last layer goes, and only the events move. Instability,
 * epochs left and gain, from the recorded runs where there are such runs; trained on the spot where there are none.
 */
import { loadJson } from "./data.js";
import { scatter } from "./charts.js";
import { timeline } from "./timeline.js";
import { EPOCHS, epochsLeft, eventEpochs } from "./schedule.js";
import { DEFAULTS, MOST_EVENTS, TARGETS, valid } from "./settings.js";
import { signed } from "./statistics.js";
import { duration, pace, points } from "./commentary.js";
import { switches } from "./switches.js";
import { Stopped, Trainer, trainer } from "./trainer.js";
import { el, range, select } from "./dom.js";

const DOSE = 0.9;
const COLUMNS = ["first", "last", "events", "target", "dose", "instability", "gain", "low", "high", "seeds"];

/** @param {HTMLElement} root */
export function mount(root) {
  let settings = valid({ ...DEFAULTS, target: "smallest", dose: DOSE, events: 2, first: 5, last: 23 });
  /** @type {any[]} */
  let recorded = [];
  /** @type {Map<string, {instability: number, gain: number}>} */
  const trained = new Map();
  let busy = false;
  const keyOf = (/** @type {any} */ s) => [s.first, s.last, s.events, s.target, s.weightDecay ?? 0, s.head ?? DEFAULTS.head].join(" ");

  const change = (/** @type {any} */ some) => { settings = valid({ ...settings, ...some }); showRecorded(); update(); };
  const line = timeline((first, last) => change({ first, last }));
  const events = range("events", 1, MOST_EVENTS, 1, String, (value) => change({ events: value }));
  const target = select("which filters", TARGETS.map((name) => [name, name === "random" ? "at random" : `${name} weights`]), (value) => change({ target: value }));
  const stops = /** @type {[string, any][]} */ ([
    ["18 small, late", { first: 5, last: 39, events: 18 }],
    ["2 big, early", { first: 5, last: 23, events: 2 }],
    ["19 small, early", { first: 5, last: 23, events: 19 }],
    ["2 big, late", { first: 4, last: 40, events: 2 }],
  ]);
  const presets = stops.map(([name, some]) => el("button", { type: "button", "aria-pressed": "false", onclick: () => change(some) }, name));
  const facts = Object.fromEntries(["instability", "epochs left", "gain"].map((name) => [name, el("dd", {}, "–")]));
  const text = el("output", { class: "gst-text", "aria-live": "polite" }, "Drag the two handles, or press one of the four buttons.");
  const train = el("button", { type: "button", class: "gst-main", onclick: () => (busy ? trainer.tell("stop") : work()) }, "Train this one here");
  const boxes = ["instability", "epochs left"].map((name) => el("div", { class: "gst-chart", role: "img", "aria-label": `Gain against ${name}: recorded settings, and yours` }));
  const recipe = switches((some) => { if (!busy) change(some); });
  const figure = el("figure", { class: "gst-live gst-confounder", "aria-label": "Move the pruning events along the training" },
    el("p", { class: "gst-title" }, "The same 90% of filters, pruned at other times. What makes the gain?"),
    el("div", { class: "gst-presets", role: "group", "aria-label": "Settings" }, ...presets),
    line.element,
    el("div", { class: "gst-fields" }, events.field, target.field),
    recipe.field,
    el("dl", { class: "gst-facts" }, ...Object.entries(facts).map(([name, value]) => el("div", {}, el("dt", {}, name), value))),
    text,
    el("div", { class: "gst-clouds" }, ...boxes.map((box, i) => el("section", {}, el("p", { class: "gst-head" }, `Gain against ${i ? "epochs left" : "instability"}`), box))),
    el("div", { class: "gst-controls" }, train),
    el("p", { class: "gst-note" }, "Grey: recorded settings, each the mean of twenty seeds. Orange: yours; a hollow diamond is a single pair, trained here. Epochs left: how many epochs at the full learning rate follow the last event."));
  root.replaceChildren(figure);

  const cloud = { key: "recorded", colour: "--gst-cloud", marker: /** @type {"circle"} */ ("circle"), size: 3.5 };
  const own = { colour: "--gst-hit", marker: /** @type {"diamond"} */ ("diamond"), size: 6 };
  const clouds = [cloud, { key: "mine", ...own }, { key: "single", ...own, hollow: true }];
  const both = { y: "gain (points)", yRange: /** @type {[number, number]} */ ([-6, 5]) };
  const charts = [
    scatter(boxes[0], clouds, { ...both, x: "instability", xRange: [0, 0.7] }),
    scatter(boxes[1], clouds, { ...both, x: "epochs left", xRange: [-1, 40] }),
  ];

  // Recorded runs come when the reader comes near.
  /** @type {Promise<void> | null} */
  let asked = null;
  const showRecorded = () => (asked ??= loadJson("clouds.json").then(({ settings: table }) => {
    recorded = table.rows.map((/** @type {any[]} */ row) => Object.fromEntries(COLUMNS.map((name, i) => [name, row[i]])))
      .filter((/** @type {any} */ row) => row.dose === DOSE);
    charts[0].set("recorded", recorded.map((row) => ({ x: row.instability, y: row.gain })));
    charts[1].set("recorded", recorded.map((row) => ({ x: epochsLeft([row.last]), y: row.gain })));
    update();
  }).catch((error) => {
    asked = null;
    text.textContent = `The recorded runs could not be loaded (${error.message}). The next touch tries again.`;
  }));

  for (const event of ["pointerenter", "focusin", "touchstart"]) figure.addEventListener(event, () => showRecorded(), { passive: true });

  function update() {
    line.set(settings.first, settings.last, settings.events);
    events.set(settings.events);
    target.control.value = settings.target;
    recipe.set(settings);
    presets.forEach((button, i) => button.setAttribute("aria-pressed",
      String(Object.entries(stops[i][1]).every(([name, value]) => settings[/** @type {keyof typeof settings} */ (name)] === value))));
    const when = eventEpochs(settings.first, settings.last, settings.events), left = epochsLeft(when);
    facts["epochs left"].textContent = String(left);
    if (!asked) return;
    const row = recorded.find((each) => keyOf(each) === keyOf({ ...settings, last: when[when.length - 1], events: when.length }));
    const single = trained.get(keyOf(settings));
    const found = row ?? single;
    facts.instability.textContent = found ? found.instability.toFixed(2) : "–";
    facts.gain.textContent = found ? `${signed(found.gain)} points` : "–";
    text.textContent = row
      ? `Recorded: ${row.seeds} pairs, mean gain ${signed(row.gain)} points (95% interval ${signed(row.low)} to ${signed(row.high)}) at instability ${row.instability.toFixed(2)}, with ${left} epochs left.`
      : single ? `Trained here: ${points(single.gain)} at instability ${single.instability.toFixed(2)}, with ${left} epochs left. One pair is one pair.`
        : recorded.length ? "This one was not recorded. You can train a pair here." : text.textContent;
    charts.forEach((/** @type {any} */ chart, /** @type {number} */ i) => {
      const dot = (/** @type {any} */ each, /** @type {number} */ epochs) => ({ x: i ? epochs : each.instability, y: each.gain, low: each.low, high: each.high });
      chart.set("mine", row ? [dot(row, left)] : []);
      chart.set("single", [...trained].map(([name, each]) => dot(each, epochsLeft([Number(name.split(" ")[1])]))));
    });
  }

  async function work() {
    if (!Trainer.possible()) {
      text.textContent = "This browser cannot train here. The recorded settings still answer.";
      return;
    }
    busy = true;
    train.textContent = "Stop";
    const chosen = settings, clock = pace(EPOCHS);
    text.textContent = "Starting…";
    try {
      const { hit, twin } = await trainer.pair(chosen, (who, message) => {
        if (message.kind !== "epoch") return;
        clock.epoch(who, performance.now());
        if (who === "hit" && message.epoch % 10 === 2) text.textContent = `Training: ${duration(clock.left())} left.`;
      });
      trained.set(keyOf(chosen), { instability: hit.instability, gain: 100 * (hit.accuracy - twin.accuracy) });
      settings = chosen;
      update();
      root.dataset.trained = String(trained.size);
    } catch (error) {
      text.textContent = error instanceof Stopped ? "Stopped." : `Training did not work (${error instanceof Error ? error.message : error}). Press the button to try again.`;
    } finally {
      busy = false;
      train.textContent = "Train this one here";
    }
  }
  update();
}
