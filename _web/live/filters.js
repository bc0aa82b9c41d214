/**
 * Click the filters: cut some of the last layer's 64, see at once what the network can still do, let it learn on.
 * Nothing is fetched before the reader comes near; nothing that trains before the reader asks to train.
 */
import { activations, contributions, logits, score } from "./forward.js";
import { CLASSES, FILTERS, copyState } from "./shapes.js";
import { norms, choose } from "./interventions.js";
import { loadJson, loadSignals, loadState } from "./data.js";
import { loadCharts, curves } from "./charts.js";
import { listener } from "./channels.js";
import { stream } from "./random.js";
import { DEFAULTS } from "./settings.js";
import { percent, signed } from "./statistics.js";
import { Stopped, Trainer, trainer } from "./trainer.js";
import { el, key } from "./dom.js";

const SLICE = 8; // milliseconds of computing before the page may draw again
const EARLIER = 4; // tries that stay on the chart

const yieldToPage = () => new Promise((done) => setTimeout(done));

/**
 * @param {HTMLElement} root the first picture's numbers stand in its data-first, or come in a small file; with data-channels
 *   (chapter 1) it shows what a filter says about one signal
 */
export async function mount(root) {
  const first = root.dataset.first ? JSON.parse(root.dataset.first) : await loadJson("first.json");
  const mask = new Uint8Array(FILTERS).fill(1);
  /** @type {{state: any, about: any, parts: Float32Array, labels: Uint8Array, whole: any, norms: number[]} | null} */
  let network = null;
  /** @type {Awaited<ReturnType<typeof curves>> | null} */
  let chart = null;
  let training = false, cursor = 0, tries = 0;

  // ---- what is there ----
  const tiles = Array.from({ length: FILTERS }, (_, c) =>
    el("button", { type: "button", class: "gst-filter", "aria-pressed": "false", "aria-label": `filter ${c + 1}`, tabindex: c ? -1 : 0, "data-filter": c },
      profile(first.profiles.slice(10 * c, 10 * c + 10))));
  const grid = el("div", { class: "gst-filters", role: "group", "aria-label": "The 64 filters of the last layer; pressed means cut" }, ...tiles);
  const number = el("b", {}), kept = el("span", {});
  const bars = Array.from({ length: CLASSES }, (_, k) => el("i", { style: "height:0" }));
  const classes = el("div", { class: "gst-classes", role: "img" }, ...bars.map((bar, k) => el("span", {}, el("s", {}, bar), String(k))));
  const chartBox = el("div", { class: "gst-chart", role: "img", "aria-label": "Test accuracy over the epochs" },
    el("p", { class: "gst-note" }, "It has learned for 13 of 60 epochs. Cut something, and see the curve fall; train on, and see what becomes of it."));
  const channels = "channels" in root.dataset ? listener() : null;
  const text = el("output", { class: "gst-text", "aria-live": "polite" }, "Sweep over many, or let chance choose.");
  const cut = (/** @type {string} */ words, /** @type {number} */ n, /** @type {any} */ target) =>
    el("button", { type: "button", onclick: () => cutSome(n, target) }, words);
  const go = el("button", { type: "button", class: "gst-main", onclick: () => (training ? trainer.tell("stop") : trainOn()) }, "Train on");
  const quick = [cut("Cut half", 32, "random"), cut("Cut 80%", 51, "random"), el("button", { type: "button", onclick: () => set(() => 1) }, "All back")];
  const figure = el("figure", { class: "gst-live gst-click", "aria-label": "Cut filters of a trained network, and let it learn on" },
    el("p", { class: "gst-title" }, "Click filters to cut them. Then let the network learn on."),
    el("div", { class: "gst-columns" },
      el("div", {}, grid, el("div", { class: "gst-controls" }, ...quick)),
      el("div", { class: "gst-side" },
        el("div", { class: "gst-now" }, el("p", { class: "gst-number" }, number, el("span", {}, " right"), kept), classes),
        el("p", { class: "gst-keys" }, key("--gst-hit", "yours"), key("--gst-twin", "its twin that nobody cuts", true)),
        chartBox,
        el("div", { class: "gst-controls" }, go))),
    text,
    channels?.element ?? "",
    el("p", { class: "gst-note" }, "A small network in the middle of its training, and 1,000 signals it has never seen. Little bars: for which of the ten classes a filter speaks. ",
      el("a", { href: new URL("../../book/live.html", import.meta.url).href }, "More to try"), "."));
  root.replaceChildren(figure);

  // ---- what it shows ----
  const show = (/** @type {number} */ accuracy, /** @type {number[]} */ shares) => {
    number.textContent = percent(accuracy);
    const n = mask.reduce((a, b) => a + b);
    kept.textContent = ` with ${n} of 64 filters`;
    bars.forEach((bar, k) => (bar.style.height = `${100 * shares[k]}%`));
    classes.setAttribute("aria-label", "Right per class: " + shares.map((share, k) => `${k}: ${Math.round(100 * share)}%`).join(", "));
    return n;
  };
  const update = () => {
    tiles.forEach((tile, c) => tile.setAttribute("aria-pressed", String(!mask[c])));
    channels?.show(cursor, mask);
    if (!network) return null;
    const found = score(logits(network.parts, mask, network.state.weights.bh), network.labels);
    const n = show(found.accuracy, found.right.map((right, k) => right / found.all[k]));
    const at = network.about.epochs - 1, last = network.about.curve[at];
    // The drop stands on the chart before anybody trains.
    chart?.set("hit", n < FILTERS ? [[at, last], [at, found.accuracy]] : []);
    return found.accuracy;
  };
  const say = (/** @type {number | null} */ accuracy) => {
    if (accuracy === null || !network) return;
    const n = mask.reduce((a, b) => a + b), before = network.whole.accuracy;
    text.textContent = n === FILTERS
      ? `All 64 filters: ${percent(before)} right.`
      : `${FILTERS - n} of 64 filters cut: accuracy falls from ${percent(before)} to ${percent(accuracy)}. Let it learn on?`;
  };

  const set = (/** @type {(c: number) => number} */ value) => {
    if (training) return;
    for (let c = 0; c < FILTERS; c++) mask[c] = value(c);
    restart();
    say(update());
    prepare();
  };
  const cutSome = async (/** @type {number} */ n, /** @type {any} */ target) => {
    await prepare();
    if (!network) return;
    const gone = new Set(choose(network.norms, [...mask.keys()], n, target, stream(++tries, "cut")));
    set((c) => (gone.has(c) ? 0 : 1));
  };

  // ---- clicking and sweeping: a press takes the new state along to every filter that the pointer passes ----
  let sweep = -1;
  const hitTile = (/** @type {number} */ c, /** @type {number} */ value) => {
    if (training || mask[c] === value) return;
    mask[c] = value;
    restart();
    update();
  };
  const tileOf = (/** @type {any} */ target) => target?.closest?.(".gst-filter");
  /** @type {any} a finger's first filter: it may be about to scroll, so nothing is cut before it moves sideways or lifts */
  let touched = null;
  const begin = (/** @type {any} */ tile) => {
    const c = Number(tile.dataset.filter);
    sweep = mask[c] ? 0 : 1;
    hitTile(c, sweep);
    focusTile(c);
    prepare();
  };
  grid.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    const tile = tileOf(event.target);
    if (!tile || event.button) return;
    if (event.pointerType === "touch") touched = tile;
    else begin(tile);
  });
  grid.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const tile = tileOf(document.elementFromPoint(event.clientX, event.clientY)); // a finger keeps its first element
    if (touched && tile !== touched) {
      begin(touched);
      touched = null;
    }
    if (tile && grid.contains(tile)) channels?.show(Number(tile.dataset.filter), mask);
    if (sweep >= 0 && tile && grid.contains(tile)) hitTile(Number(tile.dataset.filter), sweep);
  });
  const stopSweep = () => {
    if (sweep < 0) return;
    sweep = -1;
    if (network) say(update());
  };
  addEventListener("pointerup", () => {
    if (touched) begin(touched);
    touched = null;
    stopSweep();
  });
  addEventListener("pointercancel", () => {
    touched = null;
    stopSweep();
  });
  // A click without a pointer before it comes from the keyboard or a screen reader.
  grid.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const tile = tileOf(event.target);
    if (!tile || event.detail) return;
    const c = Number(tile.dataset.filter);
    hitTile(c, mask[c] ? 0 : 1);
    prepare().then(() => say(update()));
  });
  const focusTile = (/** @type {number} */ c) => {
    tiles[cursor].tabIndex = -1;
    cursor = c;
    tiles[c].tabIndex = 0;
    tiles[c].focus({ preventScroll: true });
    channels?.show(c, mask);
  };
  grid.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 8, ArrowUp: -8, Home: -cursor, End: FILTERS - 1 - cursor }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // a theme turns pages by arrow keys, a notebook moves between cells
    if (cursor + move >= 0 && cursor + move < FILTERS) focusTile(cursor + move);
  });

  // ---- what is fetched: when the reader comes near ----
  /** @type {Promise<void> | null} */
  let preparing = null;
  const prepare = () => (preparing ??= fetchAll().catch((error) => {
    preparing = null;
    text.textContent = `The network could not be loaded (${error.message}). Try again, or look at the recorded figure below.`;
  }));
  async function fetchAll() {
    const [{ state, about }, test] = await Promise.all([loadState("trained"), loadSignals("test"), loadCharts()]);
    const steps = activations(state, test.signals);
    let step = steps.next(), since = performance.now();
    while (!step.done) {
      if (performance.now() - since > SLICE) {
        await yieldToPage();
        since = performance.now();
      }
      step = steps.next();
    }
    await yieldToPage();
    const parts = contributions(step.value, state.weights.wh);
    const whole = score(logits(parts, new Uint8Array(FILTERS).fill(1), state.weights.bh), test.labels);
    await yieldToPage();
    chart = await curves(chartBox, [
      ...Array.from({ length: EARLIER }, (_, i) => ({ key: `earlier${i}`, colour: "--gst-pale", width: 1.5 })),
      { key: "twin", colour: "--gst-twin", dash: [7, 4], width: 2 },
      { key: "past", colour: "--gst-twin", width: 2 },
      { key: "hit", colour: "--gst-hit" },
    ]);
    network = { state, about, parts, labels: test.labels, whole, norms: norms(state) };
    await channels?.start(network, test.signals, step.value);
    chart.set("past", about.curve.map((/** @type {number} */ accuracy, /** @type {number} */ epoch) => [epoch, accuracy]));
    root.dataset.ready = "";
    const accuracy = update();
    if (mask.includes(0)) say(accuracy);
  }
  for (const event of ["pointerenter", "focusin", "touchstart"]) figure.addEventListener(event, () => prepare(), { once: true, passive: true });

  // ---- training ----
  let finished = false;
  const restart = () => {
    // A new cut is made in the network as it was: the last try becomes a thin line.
    if (!finished || !chart) return;
    finished = false;
    for (let i = EARLIER - 1; i > 0; i--) chart.set(`earlier${i}`, chart.points[`earlier${i - 1}`]);
    chart.set("earlier0", chart.points.hit);
  };
  async function trainOn() {
    await prepare();
    if (!network || !chart || training) return;
    if (!Trainer.possible()) {
      text.textContent = "This browser cannot train here. The recorded figure below shows what comes of it.";
      return;
    }
    restart();
    update();
    training = true;
    go.textContent = "Stop";
    figure.classList.add("gst-busy");
    quick.forEach((button) => (button.disabled = true));
    const { state, about } = network, at = about.epochs - 1, last = about.curve[at];
    const hitFrom = copyState(state);
    hitFrom.mask.set(mask);
    const n = mask.reduce((a, b) => a + b), cutNow = FILTERS - n;
    const accuracy = score(logits(network.parts, mask, state.weights.bh), network.labels).accuracy;
    let passed = false;
    /** @type {Record<string, Map<number, number>>} */
    const seen = { hit: new Map(), twin: new Map() };
    chart.set("twin", [[at, last]]);
    chart.set("hit", cutNow ? [[at, last], [at, accuracy]] : [[at, last]]);
    text.textContent = cutNow ? `${cutNow} filters are gone and stay gone. It learns on, and so does its twin that has all 64.` : "Nothing is cut, so it will do what its twin does.";
    try {
      const { hit, twin } = await trainer.pair({ ...DEFAULTS, seed: about.seed }, (who, message) => {
        if (message.kind !== "epoch" || !chart) return;
        chart.add(who, message.epoch, message.accuracy);
        seen[who].set(message.epoch, message.accuracy);
        const other = seen[who === "hit" ? "twin" : "hit"].get(message.epoch);
        if (other !== undefined) {
          const ahead = /** @type {number} */ (seen.hit.get(message.epoch)) - /** @type {number} */ (seen.twin.get(message.epoch));
          if (!passed && cutNow && ahead > 0) {
            passed = true;
            text.textContent = `Epoch ${message.epoch + 1}: with ${n} filters it has caught up with its twin that has 64.`;
          }
        }
        if (who === "hit") show(message.accuracy, message.classes);
      }, { from: state, hitFrom, startEpoch: about.epochs, quick: true });
      const gain = 100 * (hit.accuracy - twin.accuracy);
      finished = true;
      text.textContent = `In the end ${percent(hit.accuracy)} with ${n} filters, ${percent(twin.accuracy)} for the twin with all 64: ${signed(gain)} points. One pair is one pair, measured on 1,000 signals; another cut, another answer.`;
      chartBox.setAttribute("aria-label", `Test accuracy over the epochs: after the cut ${percent(accuracy)}, in the end ${percent(hit.accuracy)}; the twin ${percent(twin.accuracy)}`);
      root.dataset.gain = gain.toFixed(2);
    } catch (error) {
      if (error instanceof Stopped) text.textContent = "Stopped. The network is as it was before; cut, or train on again.";
      else text.textContent = `Training did not work in this browser (${error instanceof Error ? error.message : error}). The recorded figure below shows what comes of it.`;
      chart.clear("twin", "hit");
      update();
    } finally {
      training = false;
      go.textContent = "Train on";
      figure.classList.remove("gst-busy");
      quick.forEach((button) => (button.disabled = false));
    }
  }

  show(first.accuracy, first.classes);
}

/** For which of the ten classes a filter speaks. @param {string} digits 5 is nothing, 9 most */
function profile(digits) {
  return el("span", { "aria-hidden": "true" }, ...Array.from(digits, (digit) =>
    el("i", { style: `height:${Math.max(4, 25 * (Number(digit) - 5))}%` })));
}
