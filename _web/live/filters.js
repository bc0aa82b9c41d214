/**
 * Click the filters: cut some of the last layer's 64, see at once what the network can still do, let it keep training.
 * The figure is in the page already (tools/pages/click_figure.py); this attaches to it. The network is fetched when the
 * reader comes near, what trains when the reader asks to train.
 */
import { activations, contributions, logits, score } from "./forward.js";
import { FILTERS, copyState } from "./shapes.js";
import { norms, choose } from "./interventions.js";
import { loadSignals, loadState } from "./data.js";
import { curves } from "./charts.js";
import { listener } from "./channels.js";
import { stream } from "./random.js";
import { DEFAULTS } from "./settings.js";
import { percent } from "./statistics.js";
import { points } from "./commentary.js";
import { after, progress, race } from "./race.js";
import { player } from "./film.js";
import { attachChoice, whenSeen } from "./dom.js";
import { attachSwitches, recordedSentence, guessSentence } from "./switches.js";
import { Stopped, Trainer, trainer } from "./trainer.js";

const SLICE = 8; // milliseconds of computing before the page may draw again
const INVITATION = "Click a filter, drag across several, or cut some at random with the buttons.";
const EARLIER = 4; // tries that stay on the chart

const yieldToPage = () => new Promise((done) => setTimeout(done));
/** @typedef {{accuracy: number, classes: number[], profiles: string, curve: number[]}} First */
/** @typedef {{state: any, about: any, parts: Float32Array, labels: Uint8Array, accuracy: number, norms: number[]}} Network */

/** @param {HTMLElement} root its data-first has the first picture's numbers, its data-film a recorded run (first page) */
export function mount(root) {
  const find = (/** @type {string} */ selector) => /** @type {any} */ (root.querySelector(selector));
  const figure = find("figure"), grid = find(".gst-filters"), tiles = /** @type {HTMLElement[]} */ ([...grid.children]);
  const number = find(".gst-number b"), kept = find(".gst-kept"), classes = find(".gst-classes"), chartBox = find(".gst-watch .gst-chart");
  const bars = /** @type {HTMLElement[]} */ ([...classes.querySelectorAll("i")]);
  const text = find(".gst-text"), go = find(".gst-main"), filmButton = find(".gst-film"), title = find(".gst-title");
  const quick = /** @type {HTMLButtonElement[]} */ ([...root.querySelectorAll("[data-cut]")]);
  const channels = "channels" in root.dataset ? listener(find(".gst-listen")) : null;
  /** @type {First} */
  let first = JSON.parse(root.dataset.first ?? "{}");
  const film = root.dataset.film ? JSON.parse(root.dataset.film) : null;
  const mask = new Uint8Array(FILTERS).fill(1);
  /** @type {Network | null} */
  let network = null;
  let training = false, finished = false, cursor = 0, tries = 0, guess = "";
  let settings = { ...DEFAULTS };

  const chart = curves(chartBox, [
    ...Array.from({ length: EARLIER }, (_, i) => ({ key: `earlier${i}`, colour: "--gst-pale", width: 1.5 })),
    { key: "twin", colour: "--gst-twin", dash: [7, 4], width: 2 },
    { key: "past", colour: "--gst-twin", width: 2 },
    { key: "hit", colour: "--gst-hit" },
  ]);
  const past = () => chart.set("past", first.curve.map((accuracy, epoch) => [epoch, accuracy]));
  past();
  const bar = progress(find(".gst-progress"));
  attachChoice(find(".gst-guess"), (value) => { guess = value; });
  const say = (/** @type {string} */ sentence) => { text.textContent = sentence; };
  const cutNow = () => FILTERS - mask.reduce((a, b) => a + b);

  // ---- what it shows ----
  /** @param {number | null} accuracy null: not known @param {number[] | null} shares */
  const show = (accuracy, shares, n = FILTERS - cutNow()) => {
    number.textContent = accuracy === null ? "…" : percent(accuracy);
    kept.textContent = `with ${n} of 64 filters`;
    if (!shares) return;
    bars.forEach((each, k) => (each.style.height = `${100 * shares[k]}%`));
    classes.setAttribute("aria-label", "Correct in each class: " + shares.map((share, k) => `${k}: ${Math.round(100 * share)}%`).join(", "));
  };
  const press = (/** @type {(c: number) => boolean} */ isCut) => tiles.forEach((tile, c) => tile.setAttribute("aria-pressed", String(isCut(c))));
  const profile = () => tiles.forEach((tile, c) => [...(tile.firstElementChild?.children ?? [])].forEach((each, k) => {
    /** @type {HTMLElement} */ (each).style.height = `${Math.max(4, 25 * (Number(first.profiles[10 * c + k]) - 5))}%`;
  }));
  const label = () => {
    if (!playing()) go.textContent = training ? "Stop" : cutNow() ? "Keep training" : "Prune some filters first";
  };
  /** Shows the mask; an accuracy only if it belongs to this mask. */
  const update = () => {
    press((c) => !mask[c]);
    label();
    channels?.show(cursor, mask);
    const n = cutNow(), at = first.curve.length - 1;
    if (!network) {
      show(n ? null : first.accuracy, n ? null : first.classes);
      chart.set("hit", []);
      return null;
    }
    const found = score(logits(network.parts, mask, network.state.weights.bh), network.labels);
    show(found.accuracy, found.right.map((right, k) => right / found.all[k]));
    // The drop is on the chart before anybody trains.
    chart.set("hit", n ? [[at, first.curve[at]], [at, found.accuracy]] : []);
    return found.accuracy;
  };
  const sayCut = () => {
    const accuracy = update(), n = cutNow();
    if (accuracy === null || !network) {
      if (preparing && n) say(`${n} of 64 filters cut. The network is being loaded; then you see what it can still do.`);
      return;
    }
    say(n ? `${n} of 64 filters cut: accuracy falls from ${percent(network.accuracy)} to ${percent(accuracy)}.` : `All 64 filters: ${percent(network.accuracy)} correct.`);
  };

  // ---- the film ----
  const movie = film ? player(film, {
    cut: (gone) => press((c) => gone.has(c)),
    show: (accuracy, shares, n) => show(accuracy, shares ?? first.classes, n),
    curves: (hit, twin) => { chart.set("hit", hit); chart.set("twin", twin); },
    say,
    end: () => { say(`${percent(film.hit[film.hit.length - 1])} with ${FILTERS - film.cut.length} filters, ${percent(film.twin[film.twin.length - 1])} for the twin that kept all 64. Does that hold for any cut? Your turn.`); root.dataset.film = "over"; filmButton.hidden = true; },
  }) : null;
  let onFilm = Boolean(movie);
  function playing() { return onFilm; }
  /** The reader takes over: all 64 filters are back, and the film is gone. */
  const takeOver = () => {
    if (!onFilm) return;
    onFilm = false;
    movie?.pause();
    root.dataset.film = "over";
    filmButton.hidden = true;
    root.querySelectorAll(".gst-moment").forEach((each) => each.remove());
    title.textContent = "Your turn: click filters to cut them. Then let the network keep training.";
    chart.clear("hit", "twin");
    past();
    say(INVITATION);
    update();
  };
  if (movie) {
    const start = () => { root.querySelectorAll(".gst-moment").forEach((each) => each.remove()); movie.play(); root.dataset.film = "playing"; filmButton.textContent = "Pause"; };
    filmButton.addEventListener("click", () => {
      if (!movie.playing) return start();
      movie.pause();
      root.dataset.film = "paused";
      filmButton.textContent = "Play";
    });
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) whenSeen(find(".gst-watch"), () => { if (onFilm && root.dataset.film !== "playing") start(); });
  }

  // ---- cutting ----
  const set = (/** @type {(c: number) => number} */ value) => {
    if (training) return;
    takeOver();
    for (let c = 0; c < FILTERS; c++) mask[c] = value(c);
    restart();
    sayCut();
  };
  quick.forEach((button) => button.addEventListener("click", async () => {
    const n = Number(button.dataset.cut);
    if (!n) return set(() => 1);
    takeOver();
    if (!(await prepare()) || !network) return;
    const gone = new Set(choose(network.norms, [...mask.keys()], n, "random", stream(++tries, "cut")));
    set((c) => (gone.has(c) ? 0 : 1));
  }));

  // A press takes the new state along to every filter that the pointer passes.
  let stroke = -1;
  const hitTile = (/** @type {number} */ c, /** @type {number} */ value) => {
    if (training || mask[c] === value) return;
    mask[c] = value;
    restart();
    update();
  };
  const tileOf = (/** @type {any} */ target) => target?.closest?.(".gst-filter");
  /** A finger that has not shown yet whether it scrolls, strokes or taps. @type {{tile: any, x: number, y: number} | null} */
  let finger = null;
  /** The mask before the stroke, for when the browser takes the gesture over. @type {Uint8Array | null} */
  let before = null;
  const begin = (/** @type {any} */ tile) => {
    takeOver();
    const c = Number(tile.dataset.filter);
    before = mask.slice();
    stroke = mask[c] ? 0 : 1;
    hitTile(c, stroke);
    focusTile(c);
    prepare();
  };
  grid.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    const tile = tileOf(event.target);
    if (!tile || event.button) return;
    if (event.pointerType === "mouse") begin(tile);
    else finger = { tile, x: event.clientX, y: event.clientY };
  });
  grid.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const tile = tileOf(document.elementFromPoint(event.clientX, event.clientY)); // a finger keeps its first element
    if (finger && tile !== finger.tile) {
      // Upwards or downwards is a scroll, and cuts nothing.
      if (Math.abs(event.clientX - finger.x) > Math.abs(event.clientY - finger.y)) begin(finger.tile);
      finger = null;
    }
    if (!tile || !grid.contains(tile)) return;
    channels?.show(Number(tile.dataset.filter), mask);
    if (stroke >= 0) hitTile(Number(tile.dataset.filter), stroke);
  });
  addEventListener("pointerup", () => {
    if (finger) begin(finger.tile); // a tap
    finger = null;
    if (stroke < 0) return;
    stroke = -1;
    sayCut();
  });
  addEventListener("pointercancel", () => {
    finger = null;
    if (stroke < 0) return;
    stroke = -1;
    if (before) mask.set(before);
    sayCut();
  });
  // A click without a pointer before it comes from the keyboard or a screen reader.
  grid.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const tile = tileOf(event.target);
    if (!tile || event.detail) return;
    takeOver();
    const c = Number(tile.dataset.filter);
    hitTile(c, mask[c] ? 0 : 1);
    sayCut();
    prepare();
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
  /** @type {Promise<boolean> | null} */
  let preparing = null;
  /** Whether the network is there; after a failure the next call tries again. */
  const prepare = () => (preparing ??= fetchAll().then(() => true, (error) => {
    preparing = null;
    say(`The network could not be loaded (${error.message}). Check your connection; the next click tries again.`);
    return false;
  }));
  async function fetchAll() {
    const name = switches.network(), wanted = settings;
    const [{ state, about }, test] = await Promise.all([loadState(name), loadSignals("test")]);
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
    await yieldToPage();
    if (wanted !== settings) return fetchAll(); // a switch was turned meanwhile
    network = { state, about, parts, labels: test.labels, accuracy: about.first.accuracy, norms: norms(state) };
    first = about.first;
    channels?.start(network, test.signals, step.value);
    root.dataset.ready = name;
    if (onFilm) return;
    profile();
    past();
    if (text.textContent === INVITATION) update();
    else sayCut();
  }
  for (const event of ["pointerenter", "focusin", "touchstart"]) figure.addEventListener(event, () => prepare(), { once: true, passive: true });

  const switches = attachSwitches(find(".gst-switches"), (some) => {
    if (training) return;
    takeOver();
    settings = { ...settings, ...some };
    network = null;
    preparing = null;
    finished = false;
    delete root.dataset.ready;
    chart.clear("hit", "twin", ...Array.from({ length: EARLIER }, (_, i) => `earlier${i}`));
    number.textContent = "…";
    prepare();
  });

  // ---- training ----
  const restart = () => {
    // A new cut is made in the network as it was: the last try becomes a thin line.
    if (!finished) return;
    finished = false;
    for (let i = EARLIER - 1; i > 0; i--) chart.set(`earlier${i}`, chart.points[`earlier${i - 1}`]);
    chart.set("earlier0", chart.points.hit);
    chart.clear("twin");
  };
  go.addEventListener("click", () => {
    if (onFilm) return takeOver();
    if (training) return trainer.tell("stop");
    if (!cutNow()) return say("Prune some filters first: click them, drag across several, or press Prune half.");
    keepTraining();
  });
  async function keepTraining() {
    if (!(await prepare()) || !network || training) return;
    if (!Trainer.possible()) return say("This browser cannot train here. The recorded figure below shows what comes of it.");
    restart();
    update();
    training = true;
    label();
    figure.classList.add("gst-busy");
    [...quick, ...switches.buttons].forEach((button) => (button.disabled = true));
    const { state, about } = network, at = about.epochs - 1, last = first.curve[at], n = FILTERS - cutNow();
    const hitFrom = copyState(state);
    hitFrom.mask.set(mask);
    const accuracy = score(logits(network.parts, mask, state.weights.bh), network.labels).accuracy;
    chart.set("twin", [[at, last]]);
    chart.set("hit", [[at, last], [at, accuracy]]);
    say(`Both keep training: yours with ${n} filters, its twin with all 64.`);
    try {
      const { hit, twin, gain, verdict, epoch } = await race({ ...settings, seed: about.seed }, {
        chart, progress: bar, say, onHit: (message) => show(message.accuracy, message.classes),
        options: { from: state, hitFrom, startEpoch: about.epochs, quick: true },
      });
      finished = true;
      const recorded = await recordedSentence({ ...settings, intervention: "prune", target: "random", dose: 0.8, events: 3, first: 5, last: 23 });
      say(`${verdict} ${after(epoch)} ${percent(hit.accuracy)} with ${n} filters, ${percent(twin.accuracy)} with all 64: ${points(gain)}.${guessSentence(guess, gain)} One run is one run; try another cut.${recorded}`);
      chartBox.setAttribute("aria-label", `Test accuracy over the epochs: after the cut ${percent(accuracy)}, in the end ${percent(hit.accuracy)}; the twin ${percent(twin.accuracy)}`);
      root.dataset.gain = gain.toFixed(2);
    } catch (error) {
      say(error instanceof Stopped ? "Stopped. The network is as it was before training; your cut is still there."
        : `Training did not work (${error instanceof Error ? error.message : error}). Press the button to try again.`);
      chart.clear("twin");
      update();
    } finally {
      training = false;
      label();
      figure.classList.remove("gst-busy");
      [...quick, ...switches.buttons].forEach((button) => (button.disabled = false));
    }
  }
  if (!onFilm) update();
}
