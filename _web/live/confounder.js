/**
 * Move the pruning events along the training (chapter 3): 90% of the last layer is removed, and only the events move. Two tracks
 * compare the schedule with the one before. Instability and gain come from recorded runs where there are some, and are trained in
 * the page where there are none.
 */
import { loadJson } from "./data.js";
import { scatter } from "./charts.js";
import { timeline } from "./timeline.js";
import { EPOCHS, MILESTONES, epochsLeft, eventEpochs } from "./schedule.js";
import { DEFAULTS, LAST_EPOCH, MOST_EVENTS, TARGETS, valid } from "./settings.js";
import { signed } from "./statistics.js";
import { duration, pace, points } from "./commentary.js";
import { switches } from "./switches.js";
import { Stopped, Trainer, trainer } from "./trainer.js";
import { el, range, select } from "./dom.js";

const DOSE = 0.9;
const COLUMNS = ["first", "last", "events", "target", "dose", "instability", "gain", "low", "high", "seeds"];

/** The first preset is the paper's protocol with a period of two epochs; each other one changes one thing of its neighbour. */
const PRESETS = /** @type {[string, {first: number, last: number, events: number}][]} */ ([
  ["18 small, last at 39", { first: 5, last: 39, events: 18 }],
  ["19 small, last at 23", { first: 5, last: 23, events: 19 }],
  ["2 large, last at 23", { first: 5, last: 23, events: 2 }],
  ["3 large, last at 23", { first: 5, last: 23, events: 3 }],
  ["3 large, last at 29", { first: 5, last: 29, events: 3 }],
]);

const plural = (/** @type {number} */ n, /** @type {string} */ thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

/** A schedule as a strip on the scale of the timeline: its events, and the epochs left at the full learning rate. */
function track(/** @type {string} */ colour) {
  const words = el("p", { class: "gst-note", style: "margin:0" });
  const strip = el("div", { "aria-hidden": "true", style: "position:relative;height:14px;margin:0 14px;border-bottom:1px solid var(--gst-line)" });
  const place = (/** @type {number} */ epoch) => (100 * epoch) / LAST_EPOCH;
  return {
    element: el("div", { class: "gst-track", style: "margin-top:.4rem" }, words, strip),
    set(/** @type {string} */ name, /** @type {{first: number, last: number, events: number}} */ { first, last, events }) {
      const when = eventEpochs(first, last, events), end = when[when.length - 1], left = epochsLeft(when);
      words.textContent = `${name}: ${plural(when.length, "event")}, the last after epoch ${end}; ${plural(left, "epoch")} left at the full learning rate`;
      strip.replaceChildren(
        el("span", { style: `position:absolute;bottom:0;height:8px;left:${place(end)}%;width:${left ? place(MILESTONES[0]) - place(end) : 0}%;background:var(${colour});opacity:.3` }),
        ...when.map((epoch) => el("span", { style: `position:absolute;bottom:0;height:14px;width:3px;margin-left:-1.5px;left:${place(epoch)}%;background:var(${colour})` })),
      );
    },
  };
}

/** What is different between two schedules, in words. */
function difference(/** @type {any} */ before, /** @type {any} */ now) {
  const [events, last] = [before, now].map(({ first, last, events }) => eventEpochs(first, last, events)).reduce((a, b) =>
    /** @type {any} */ ([[a.length, b.length], [a[a.length - 1], b[b.length - 1]]]));
  const found = [];
  // 18 events every two epochs and 19 every epoch are the same thing to the eye, but not to the letter.
  const alike = Math.max(...events) <= 1.1 * Math.min(...events);
  if (!alike) found.push("the number of events");
  if (before.first !== now.first) found.push("the first event");
  if (last[0] !== last[1]) found.push("the last event");
  if (before.target !== now.target) found.push("which filters are removed");
  if (!found.length) return "";
  return `Changed: ${found.length > 1 ? `${found.slice(0, -1).join(", ")} and ${found[found.length - 1]}` : `only ${found[0]}`}${alike && events[0] !== events[1] ? " (and the number of events by one)" : ""}. `;
}

/** @param {HTMLElement} root */
export function mount(root) {
  let settings = valid({ ...DEFAULTS, target: "smallest", dose: DOSE, ...PRESETS[0][1] });
  let before = settings;
  /** @type {any[]} */
  let recorded = [];
  /** @type {Map<string, {instability: number, gain: number}>} */
  const trained = new Map();
  let busy = false, touched = false;
  const keyOf = (/** @type {any} */ s) => [s.first, s.last, s.events, s.target, s.weightDecay ?? 0, s.head ?? DEFAULTS.head].join(" ");

  const change = (/** @type {any} */ some) => { settings = valid({ ...settings, ...some }); touched = true; picture.hidden = numbers.hidden = false; showRecorded(); update(); };
  // A press compares with the setting before it; a drag, which passes many, with the one where it began.
  const press = (/** @type {any} */ some) => { before = settings; change(some); };
  const begin = () => { before = settings; };
  const line = timeline((first, last) => change({ first, last }));
  const events = range("events", 1, MOST_EVENTS, 1, String, (value) => change({ events: value }));
  const target = select("which filters", TARGETS.map((name) => [name, name === "random" ? "at random" : `${name} weights`]), (value) => change({ target: value }));
  const presets = PRESETS.map(([name, some]) => el("button", { type: "button", "aria-pressed": "false", onclick: () => press(some) }, name));
  const tracks = { now: track("--gst-hit"), before: track("--gst-cloud") };
  const facts = Object.fromEntries(["instability", "epochs left", "gain"].map((name) => [name, el("dd", {}, "–")]));
  const text = el("output", { class: "gst-text", "aria-live": "polite" }, "Choose one of the five settings, or drag the two handles.");
  const train = el("button", { type: "button", class: "gst-main", onclick: () => (busy ? trainer.tell("stop") : work()) }, "Train this setting here");
  const boxes = ["instability", "epochs left"].map((name) => el("div", { class: "gst-chart", role: "img", "aria-label": `Gain against ${name}: recorded settings, and yours` }));
  // There is nothing to see in these before the reader has asked for an answer, so they come with it.
  const numbers = el("div", { hidden: true }, el("dl", { class: "gst-facts" }, ...Object.entries(facts).map(([name, value]) => el("div", {}, el("dt", {}, name), value))));
  const picture = el("div", { hidden: true }, el("div", { class: "gst-clouds" }, ...boxes.map((box, i) =>
    el("section", {}, el("p", { class: "gst-head" }, `Gain against ${i ? "epochs left" : "instability"}`), box))),
    el("p", { class: "gst-note" }, "Grey: recorded settings, mean of twenty seeds. Orange: yours; a hollow one is a single pair, trained here. Epochs left: at the full learning rate, after the last event."));
  const recipe = switches((some) => { if (!busy) change(some); });
  const figure = el("figure", { class: "gst-live gst-confounder", "aria-label": "Move the pruning events along the training" },
    el("p", { class: "gst-title" }, "The same 90% of the filters, removed at different times: where does the gain come from?"),
    el("div", { class: "gst-presets", role: "group", "aria-label": "Settings" }, ...presets),
    line.element, tracks.now.element, tracks.before.element,
    el("div", { class: "gst-fields" }, events.field, target.field),
    recipe.field,
    numbers, text, picture,
    el("div", { class: "gst-controls" }, train));
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

  for (const part of [line.element, events.field, target.field]) part.addEventListener("focusin", begin);
  line.element.addEventListener("pointerdown", begin, { capture: true });
  for (const event of ["pointerenter", "focusin", "touchstart"]) figure.addEventListener(event, () => showRecorded(), { passive: true });

  function update() {
    line.set(settings.first, settings.last, settings.events);
    events.set(settings.events);
    target.control.value = settings.target;
    tracks.now.set("Now", settings);
    tracks.before.set("Before", before);
    tracks.before.element.hidden = !difference(before, settings);
    recipe.set(settings);
    presets.forEach((button, i) => button.setAttribute("aria-pressed",
      String(Object.entries(PRESETS[i][1]).every(([name, value]) => settings[/** @type {keyof typeof settings} */ (name)] === value))));
    const when = eventEpochs(settings.first, settings.last, settings.events), left = epochsLeft(when);
    facts["epochs left"].textContent = String(left);
    if (!touched) return;
    const row = recorded.find((each) => keyOf(each) === keyOf({ ...settings, last: when[when.length - 1], events: when.length }));
    const single = trained.get(keyOf(settings));
    const found = row ?? single;
    facts.instability.textContent = found ? found.instability.toFixed(2) : "–";
    facts.gain.textContent = found ? `${signed(found.gain)} points` : "–";
    text.textContent = difference(before, settings) + (row
      ? `Recorded: ${row.seeds} pairs, mean gain ${signed(row.gain)} points (95% interval ${signed(row.low)} to ${signed(row.high)}) at instability ${row.instability.toFixed(2)}, with ${left} epochs left.`
      : single ? `Trained here: ${points(single.gain)} at instability ${single.instability.toFixed(2)}, with ${left} epochs left. This is a single pair of networks, so chance plays a large part.`
        : recorded.length ? "This one was not recorded. You can train a pair here." : "");
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
      train.textContent = "Train this setting here";
    }
  }
  update();
}
