/** The page of its own: settings, two networks that train side by side, ten seeds, and where the reader's runs lie among the recorded ones. */
import { INTERVENTIONS } from "./interventions.js";
import { DECAYS, DEFAULTS, LEARNING_RATES, MOST_EVENTS, PRESETS, TARGETS, fromAddress, inWords, toAddress, toCsv, valid } from "./settings.js";
import { loadJson } from "./data.js";
import { curves, scatter } from "./charts.js";
import { timeline } from "./timeline.js";
import { estimate, percent, signed } from "./statistics.js";
import { points } from "./commentary.js";
import { after, progress, race } from "./race.js";
import { GUESSES, guessSentence, recordedSentence, switches } from "./switches.js";
import { Stopped, Trainer, trainer } from "./trainer.js";
import { choice, el, key, range, select, whenSeen } from "./dom.js";

const SEEDS = 10;
/** @typedef {import("./training.js").Settings} Settings */

/** @param {HTMLElement} root */
export function mount(root) {
  let settings = fromAddress(location.hash);
  /** @type {import("./settings.js").Run[]} */
  const runs = [];
  let busy = false, paused = false, guess = "";
  /** @type {any} */
  let charts = null;

  // ---- settings ----
  const change = (/** @type {Partial<Settings>} */ some) => {
    settings = valid({ ...settings, ...some });
    history.replaceState(null, "", `#${toAddress(settings)}`);
    fill();
  };
  const line = timeline((first, last) => change({ first, last }));
  const what = select("what an event does", Object.entries(INTERVENTIONS).map(([name, { words }]) => [name, words]), (intervention) => change({ intervention }));
  const target = select("which filters", TARGETS.map((name) => [name, name === "random" ? "at random" : `${name} weights`]), (value) => change({ target: /** @type {any} */ (value) }));
  const dose = range("share", 5, 100, 5, (value) => `${value}%`, (value) => change({ dose: value / 100 }));
  const events = range("events", 1, MOST_EVENTS, 1, String, (value) => change({ events: value }));
  const rate = select("learning rate", LEARNING_RATES.map((value) => [String(value), String(value)]), (value) => change({ learningRate: Number(value) }));
  const decay = select("strength of decay", DECAYS.map(({ name }, i) => [String(i), name]), (i) => {
    const { weightDecay, optimizer } = DECAYS[Number(i)];
    change({ weightDecay, optimizer });
  });
  const recipe = switches(change);
  const guesses = choice("Your guess: it will end", GUESSES, (value) => { guess = value; });
  const seed = el("input", { type: "number", min: 0, max: 999999, step: 1, autocomplete: "off", onchange: () => change({ seed: Number(seed.value) }) });
  const words = el("p", { class: "gst-note" });
  const presets = PRESETS.map(({ name, words: about, settings: some }) =>
    el("button", { type: "button", "aria-pressed": "false", title: about, onclick: () => change({ ...DEFAULTS, seed: settings.seed, ...some }) }, name));

  function fill() {
    line.set(settings.first, settings.last, settings.events);
    what.control.value = settings.intervention;
    target.control.value = settings.target;
    target.control.disabled = settings.intervention === "zero_inputs"; // it chooses inputs, at random
    dose.control.max = INTERVENTIONS[settings.intervention].removes ? 95 : 100;
    dose.set(Math.round(100 * settings.dose));
    events.set(settings.events);
    // An address may hold a value that is not on the list.
    if (!LEARNING_RATES.includes(settings.learningRate)) rate.control.append(el("option", { value: String(settings.learningRate) }, String(settings.learningRate)));
    rate.control.value = String(settings.learningRate);
    decay.control.value = String(DECAYS.findIndex(({ weightDecay, optimizer }) => weightDecay === settings.weightDecay && optimizer === settings.optimizer));
    recipe.set(settings);
    seed.value = String(settings.seed);
    words.textContent = inWords(settings);
    presets.forEach((button, i) => button.setAttribute("aria-pressed",
      String(Object.entries({ ...DEFAULTS, ...PRESETS[i].settings, seed: settings.seed }).every(([name, value]) => settings[/** @type {keyof Settings} */ (name)] === value))));
  }
  addEventListener("hashchange", () => { settings = fromAddress(location.hash); fill(); });

  // ---- what it shows ----
  const curveBox = el("div", { class: "gst-chart gst-tall", role: "img", "aria-label": "Test accuracy over the epochs" }),
    seedBox = el("div", { class: "gst-chart", role: "img", "aria-label": "Gain of each pair, and the mean with its 95% interval" }),
    instabilityBox = el("div", { class: "gst-chart", role: "img", "aria-label": "Gain against instability" }),
    doseBox = el("div", { class: "gst-chart", role: "img", "aria-label": "Gain against dose" });
  const text = el("output", { class: "gst-text", "aria-live": "polite" }, "Choose what happens to the network, then train it alongside its twin.");
  const result = el("p", { class: "gst-result", role: "status" });
  const button = (/** @type {string} */ name, /** @type {() => void} */ onclick, /** @type {any} */ more = {}) => el("button", { type: "button", onclick, ...more }, name);
  const one = button("Train a pair", () => work(1), { class: "gst-main" });
  const ten = button("Ten seeds", () => work(SEEDS));
  const pause = button("Pause", () => {
    paused = !paused;
    trainer.tell(paused ? "pause" : "go on");
    pause.textContent = paused ? "Resume" : "Pause";
    text.textContent = paused ? "Paused." : "Both networks are training again.";
  }, { disabled: true });
  const stop = button("Stop", () => trainer.tell("stop"), { disabled: true });
  const csv = button("Download your runs (CSV)", () => download(toCsv(runs)), { disabled: true });
  const share = button("Copy the address", async () => {
    history.replaceState(null, "", `#${toAddress(settings)}`);
    try {
      await navigator.clipboard.writeText(location.href);
      text.textContent = "The address of this experiment is copied. It repeats the same run in the same browser; another browser engine rounds differently, so its last digits may differ.";
    } catch {
      text.textContent = `The address of this experiment: ${location.href} (another browser engine rounds differently, so its last digits may differ).`;
    }
  });
  const clouds = el("div", { class: "gst-clouds" },
    el("section", {}, el("p", { class: "gst-head" }, "Gain against instability"), instabilityBox),
    el("section", {}, el("p", { class: "gst-head" }, "Gain against dose"), doseBox),
    el("section", { class: "gst-wide" }, el("p", { class: "gst-head" }, "Ten seeds: your pairs, their mean and its 95% interval"), seedBox));
  const bar = progress();
  const figure = el("figure", { class: "gst-live gst-experiment", "aria-label": "Train two networks side by side, one of them damaged" },
    el("p", { class: "gst-title" }, "Damage a network while it trains. Its twin is left alone."),
    el("div", { class: "gst-presets", role: "group", "aria-label": "Presets" }, ...presets),
    line.element,
    el("div", { class: "gst-columns" },
      el("div", { class: "gst-fields" }, what.field, target.field, dose.field, events.field, rate.field, decay.field,
        el("label", { class: "gst-field" }, el("span", {}, "seed"), seed)),
      el("div", { class: "gst-side" },
        el("p", { class: "gst-keys" }, key("--gst-hit", "your network"), key("--gst-twin", "its twin, left alone", true)),
        curveBox)),
    recipe.field,
    guesses.field,
    el("div", { class: "gst-controls" }, one, ten, pause, stop),
    bar.element,
    words,
    text,
    result,
    clouds,
    el("p", { class: "gst-note" }, "Grey: recorded pruning runs, one dot for each network, twenty seeds for each setting, tested on 4,000 signals like yours. Orange: your runs, if they use the recorded learning rate, no weight decay and a head that reads positions."),
    el("div", { class: "gst-controls" }, csv, share));
  root.replaceChildren(figure);
  // The recorded runs come when the reader comes near, the library that trains only when it is asked to train.
  const recall = () => { if (!("recorded" in root.dataset)) showRecorded().catch(() => {}); };
  for (const event of ["pointerenter", "focusin", "touchstart"]) figure.addEventListener(event, recall, { passive: true });
  whenSeen(instabilityBox, recall);
  fill();

  const curve = curves(curveBox, [{ key: "twin", colour: "--gst-twin", dash: [7, 4], width: 2 }, { key: "hit", colour: "--gst-hit" }],
    { empty: "Press “Train a pair”, and both curves are drawn as the networks train." });
  {
    const mine = { key: "mine", colour: "--gst-hit", marker: /** @type {"diamond"} */ ("diamond"), size: 5 };
    const cloud = { key: "recorded", colour: "--gst-cloud", marker: /** @type {"circle"} */ ("circle"), size: 2, alpha: 0.5 };
    const axes = { y: "gain (points)", yRange: /** @type {[number, number]} */ ([-12, 8]) };
    charts = {
      curve,
      byInstability: scatter(instabilityBox, [cloud, mine], { ...axes, x: "instability", xRange: [-0.02, 0.9] }),
      byDose: scatter(doseBox, [cloud, mine], { ...axes, x: "dose (%)", xRange: [0, 100] }),
      bySeed: scatter(seedBox, [{ ...mine, alpha: 0.45, size: 4 }, { key: "mean", colour: "--gst-ink", marker: "square", size: 4 }],
        { x: "number of pairs", y: "gain (points)", xRange: [0, SEEDS + 0.7], yRange: [-2, 6], empty: "Press “Ten seeds”, and a mark is drawn for each pair." }),
    };
  }
  /** The recorded runs; a failure costs the grey dots only. */
  async function showRecorded() {
    const { instability, gain, dose: doses } = (await loadJson("clouds.json")).runs;
    charts.byInstability.set("recorded", gain.map((/** @type {number} */ y, /** @type {number} */ i) => ({ x: instability[i], y })));
    charts.byDose.set("recorded", gain.map((/** @type {number} */ y, /** @type {number} */ i) => ({ x: 100 * doses[i], y })));
    root.dataset.recorded = "";
  }

  // ---- training ----
  async function work(/** @type {number} */ n) {
    if (busy) return;
    if (!Trainer.possible()) {
      text.textContent = "This browser cannot train here (it lacks WebAssembly or workers). Open a chapter in Colab instead: the rocket at its top.";
      return;
    }
    busy = true;
    paused = false;
    one.disabled = ten.disabled = true;
    pause.disabled = stop.disabled = false;
    const start = settings;
    /** @type {number[]} */
    const gains = [];
    try {
      text.textContent = "Loading what trains…";
      result.textContent = "";
      if (n > 1) charts.bySeed.set("mine", []), charts.bySeed.set("mean", []);
      for (let i = 0; i < n; i++) {
        const run = await pair({ ...start, seed: start.seed + i }, n > 1 ? `Seed ${start.seed + i}: ` : "");
        gains.push(run.gain);
        if (n > 1) showSeeds(gains);
      }
      if (n > 1) text.textContent = `${n} pairs are done.`;
    } catch (error) {
      text.textContent = error instanceof Stopped ? "Stopped." : `Training did not work (${error instanceof Error ? error.message : error}). Press the button to try again.`;
    } finally {
      busy = false;
      one.disabled = ten.disabled = false;
      pause.disabled = stop.disabled = true;
      pause.textContent = "Pause";
      root.dataset.runs = String(runs.length);
    }
  }

  async function pair(/** @type {Settings} */ chosen, /** @type {string} */ who) {
    charts.curve.clear("hit", "twin");
    const { hit, twin, gain, verdict, epoch } = await race(chosen, {
      chart: charts.curve, progress: bar, say: (sentence) => { text.textContent = who + sentence; },
      onHit: (message) => { if (message.epoch === 0) text.textContent = `${who}both networks are training.`; },
    });
    const early = hit.instability === undefined, run = { settings: chosen, hit, twin, gain };
    const sentence = `${after(epoch)} ${percent(hit.accuracy)} against ${percent(twin.accuracy)} for its twin: ${points(gain)}${early ? "" : `, at instability ${hit.instability.toFixed(2)}`}.`;
    text.textContent = `${who}${verdict} ${sentence}${guessSentence(guess, gain)}${who ? "" : " One pair is one pair; ten seeds say more."}${await recordedSentence(chosen)}`;
    curveBox.setAttribute("aria-label", `Test accuracy over the epochs. ${sentence}`);
    if (early) return run; // not comparable with runs that went to the end
    runs.push(run);
    csv.disabled = false;
    const mine = runs.filter(({ settings: s }) => s.learningRate === DEFAULTS.learningRate && s.weightDecay === DEFAULTS.weightDecay && s.head === DEFAULTS.head);
    charts.byInstability.set("mine", mine.map((each) => ({ x: each.hit.instability, y: each.gain })));
    charts.byDose.set("mine", mine.map((each) => ({ x: 100 * each.settings.dose, y: each.gain })));
    return run;
  }

  function showSeeds(/** @type {number[]} */ gains) {
    const { mean, low, high, n } = estimate(gains);
    charts.bySeed.set("mine", gains.map((y, i) => ({ x: i + 1, y })));
    charts.bySeed.set("mean", gains.map((_, i) => {
      const upTo = estimate(gains.slice(0, i + 1));
      return { x: i + 1.25, y: upTo.mean, low: upTo.low, high: upTo.high };
    }).slice(1));
    const sentence = n > 1 ? `Mean gain over ${n} pairs: ${signed(mean)} points (95% interval ${signed(low)} to ${signed(high)}).` : `One pair: ${signed(mean)} points.`;
    result.textContent = sentence;
    seedBox.setAttribute("aria-label", `Gain of each pair. ${sentence}`);
  }
}

function download(/** @type {string} */ content) {
  const address = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
  el("a", { href: address, download: "gst-runs.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
