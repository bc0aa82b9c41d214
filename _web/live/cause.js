/** Two causes of a drop against each other (chapter 6), and a twin without any, all from one seed. */
import { DEFAULTS } from "./settings.js";
import { curves } from "./charts.js";
import { percent, signed } from "./statistics.js";
import { after, progress, race } from "./race.js";
import { switches } from "./switches.js";
import { Stopped, Trainer, trainer } from "./trainer.js";
import { el, key } from "./dom.js";

/** @typedef {import("./training.js").Settings} Settings */
const NINE = { target: /** @type {"random"} */ ("random"), dose: 0.5, events: 9, first: 5, last: 37 };

/** @type {{name: string, question: string, a: [string, Partial<Settings>], b: [string, Partial<Settings>]}[]} */
const CASES = [
  {
    name: "visible or invisible",
    question: "Nine times, half of the filters shrink to a quarter of their length. In one network, predictions change. In the other, batch norm's statistics shrink with the filters, so no prediction changes. Which one ends up better?",
    a: ["shortened", { ...NINE, intervention: "scale" }],
    b: ["shortened, batch norm adjusted", { ...NINE, intervention: "rescale" }],
  },
  {
    name: "length or direction",
    question: "Nine times, half of the filters lose what they knew: they are set to zero, or turned in a random direction without becoming shorter. The drops are about equally deep. Are the gains equal, too?",
    a: ["set to zero", { ...NINE, intervention: "zero" }],
    b: ["turned to a new direction", { ...NINE, intervention: "redirect" }],
  },
  {
    name: "early or late",
    question: "Both networks lose 90% of their filters in two large steps. The second step comes after epoch 23 in one, and after epoch 39, just before the learning rate falls, in the other. Which one ends better?",
    a: ["second step at 23", { intervention: "prune", target: "smallest", dose: 0.9, events: 2, first: 5, last: 23 }],
    b: ["second step at 39", { intervention: "prune", target: "smallest", dose: 0.9, events: 2, first: 5, last: 39 }],
  },
];

/** @param {HTMLElement} root */
export function mount(root) {
  let chosen = 0, busy = false, seed = 0;
  let base = { ...DEFAULTS };
  const question = el("p", { class: "gst-question" }), labels = [el("b", {}), el("b", {})];
  const table = el("dl", { class: "gst-facts" });
  const text = el("output", { class: "gst-text", "aria-live": "polite" }, "Decide what you expect, then train both.");
  const buttons = CASES.map(({ name }, i) => el("button", { type: "button", "aria-pressed": "false", onclick: () => { if (!busy) { chosen = i; fill(); } } }, name));
  const go = el("button", { type: "button", class: "gst-main", onclick: () => (busy ? trainer.tell("stop") : work()) }, "Train both");
  const box = el("div", { class: "gst-chart gst-tall", role: "img", "aria-label": "Test accuracy over the epochs" });
  const names = [key("--gst-hit", ""), key("--gst-other", "", true)];
  const bar = progress();
  const recipe = switches((some) => { if (!busy) { base = { ...base, ...some }; fill(); } });
  const chart = curves(box, [
    { key: "twin", colour: "--gst-twin", dash: [2, 4], width: 2 },
    { key: "b", colour: "--gst-other", dash: [9, 4] },
    { key: "a", colour: "--gst-hit" },
  ], { empty: "Press “Train both”, and the curves are drawn as the networks train." });
  names.forEach((name, i) => name.append(labels[i]));
  root.replaceChildren(el("figure", { class: "gst-live gst-cause", "aria-label": "Two jolts, compared" },
    el("p", { class: "gst-title" }, "Two jolts, one seed"),
    el("div", { class: "gst-presets", role: "group", "aria-label": "Which two" }, ...buttons),
    question,
    recipe.field,
    el("div", { class: "gst-controls" }, go),
    el("p", { class: "gst-keys" }, ...names, key("--gst-twin", "their twin, left alone", true)),
    box, bar.element, table, text,
    el("p", { class: "gst-note" }, "Each click uses the next seed.")));

  function fill() {
    const here = CASES[chosen];
    question.textContent = here.question;
    labels[0].textContent = here.a[0];
    labels[1].textContent = here.b[0];
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen)));
    table.replaceChildren();
    chart.clear("a", "b", "twin");
    seed = 0;
  }

  async function work() {
    if (!Trainer.possible()) {
      text.textContent = "This browser cannot train here. The chapter's recorded runs have the answer.";
      return;
    }
    busy = true;
    go.textContent = "Stop";
    const here = CASES[chosen], settings = { ...base, seed };
    try {
      chart.clear("a", "b", "twin");
      const ends = [];
      for (const [line, [name, some]] of /** @type {[string, [string, Partial<Settings>]][]} */ ([["a", here.a], ["b", here.b]])) {
        text.textContent = `Training: ${name}.`;
        if (line === "b") chart.clear("twin"); // the same twin, remembered
        const { hit, gain, epoch } = await race({ ...settings, ...some }, {
          chart, progress: bar, lines: { hit: line, twin: "twin" }, say: (sentence) => { text.textContent = `${name}: ${sentence}`; },
        });
        ends.push({ name, hit, gain, epoch });
      }
      table.replaceChildren(...ends.map(({ name, hit, gain, epoch }) => el("div", {}, el("dt", {}, hit.instability === undefined ? `${name}, ${after(epoch).toLowerCase()}` : `${name}: instability ${hit.instability.toFixed(2)}`), el("dd", {}, `${signed(gain)} points`))));
      const sentence = ends.map(({ name, hit, gain }) => `${name}: ${percent(hit.accuracy)}, a gain of ${signed(gain)} points`).join("; ");
      text.textContent = `Seed ${seed}. ${sentence}. One seed proves little; press again for the next.`;
      box.setAttribute("aria-label", `Test accuracy over the epochs. ${sentence}`);
      seed++;
      root.dataset.seeds = String(seed);
    } catch (error) {
      text.textContent = error instanceof Stopped ? "Stopped." : `Training did not work (${error instanceof Error ? error.message : error}). Press the button to try again.`;
    } finally {
      busy = false;
      go.textContent = "Train both";
    }
  }
  fill();
}
