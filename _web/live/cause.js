/** Two causes of a drop against each other (chapter 6), and a twin without any, all from one seed. */
import { DEFAULTS } from "./settings.js";
import { curves } from "./charts.js";
import { percent, signed } from "./statistics.js";
import { Stopped, Trainer, trainer } from "./trainer.js";
import { el, key } from "./dom.js";

/** @typedef {import("./training.js").Settings} Settings */
const NINE = { target: /** @type {"random"} */ ("random"), dose: 0.5, events: 9, first: 5, last: 37 };

/** @type {{name: string, question: string, a: [string, Partial<Settings>], b: [string, Partial<Settings>]}[]} */
const CASES = [
  {
    name: "seen and unseen",
    question: "Nine times, half of the filters shrink to a quarter. In one network predictions change, in the other batch norm's memory shrinks along and none does. Which ends better?",
    a: ["shrink, visibly", { ...NINE, intervention: "scale" }],
    b: ["shrink, unseen", { ...NINE, intervention: "rescale" }],
  },
  {
    name: "size and direction",
    question: "Nine times, half of the filters lose what they knew: set to zero, or turned to a random direction at full size. The drops are about as deep. The gains?",
    a: ["set to zero", { ...NINE, intervention: "zero" }],
    b: ["redirect", { ...NINE, intervention: "redirect" }],
  },
  {
    name: "early and late",
    question: "90% goes in two big steps, in both networks. In one the second comes at epoch 23, in the other at 39, one epoch before the learning rate falls.",
    a: ["second step at 23", { intervention: "prune", target: "smallest", dose: 0.9, events: 2, first: 5, last: 23 }],
    b: ["second step at 39", { intervention: "prune", target: "smallest", dose: 0.9, events: 2, first: 5, last: 39 }],
  },
];

/** @param {HTMLElement} root */
export function mount(root) {
  let chosen = 0, busy = false, seed = 0;
  /** @type {any} */
  let chart = null;
  const question = el("p", { class: "gst-question" }), labels = [el("b", {}), el("b", {})];
  const table = el("dl", { class: "gst-facts" });
  const text = el("output", { class: "gst-text", "aria-live": "polite" }, "Make a guess, then train both.");
  const buttons = CASES.map(({ name }, i) => el("button", { type: "button", "aria-pressed": "false", onclick: () => { if (!busy) { chosen = i; fill(); } } }, name));
  const go = el("button", { type: "button", class: "gst-main", onclick: () => (busy ? trainer.tell("stop") : work()) }, "Train both");
  const box = el("div", { class: "gst-chart gst-tall", role: "img", "aria-label": "Test accuracy over the epochs" });
  const names = [key("--gst-hit", ""), key("--gst-other", "", true)];
  box.append(el("p", { class: "gst-note" }, "Three curves grow here."));
  names.forEach((name, i) => name.append(labels[i]));
  root.replaceChildren(el("figure", { class: "gst-live gst-cause", "aria-label": "The same drop, another cause" },
    el("p", { class: "gst-title" }, "Two jolts, one seed"),
    el("div", { class: "gst-presets", role: "group", "aria-label": "Which two" }, ...buttons),
    question,
    el("div", { class: "gst-controls" }, go),
    el("p", { class: "gst-keys" }, ...names, key("--gst-twin", "nobody hits it", true)),
    box, table, text,
    el("p", { class: "gst-note" }, "Each training of both takes about half a minute; the next press takes the next seed.")));

  function fill() {
    const here = CASES[chosen];
    question.textContent = here.question;
    labels[0].textContent = here.a[0];
    labels[1].textContent = here.b[0];
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen)));
    table.replaceChildren();
    chart?.clear("a", "b", "twin");
    seed = 0;
  }

  async function work() {
    if (!Trainer.possible()) {
      text.textContent = "This browser cannot train here. The chapter's recorded runs have the answer.";
      return;
    }
    busy = true;
    go.textContent = "Stop";
    const here = CASES[chosen], settings = { ...DEFAULTS, seed };
    try {
      chart ??= await curves(box, [
        { key: "twin", colour: "--gst-twin", dash: [2, 4], width: 2 },
        { key: "b", colour: "--gst-other", dash: [9, 4] },
        { key: "a", colour: "--gst-hit" },
      ]);
      chart.clear("a", "b", "twin");
      const ends = [];
      for (const [line, [name, some]] of /** @type {[string, [string, Partial<Settings>]][]} */ ([["a", here.a], ["b", here.b]])) {
        text.textContent = `Training: ${name}.`;
        const isFirst = line === "a";
        const { hit, twin } = await trainer.pair({ ...settings, ...some }, (who, message) => {
          const to = who === "twin" ? "twin" : line;
          if (who === "twin" && !isFirst) return; // the same twin, remembered
          if (message.kind === "epoch") chart.add(to, message.epoch, message.accuracy);
          if (message.kind === "event") chart.add(to, message.epoch, message.after);
        });
        ends.push({ name, hit, gain: 100 * (hit.accuracy - twin.accuracy) });
      }
      table.replaceChildren(...ends.map(({ name, hit, gain }) => el("div", {}, el("dt", {}, `${name}: instability ${hit.instability.toFixed(2)}`), el("dd", {}, `${signed(gain)} points`))));
      const sentence = ends.map(({ name, hit, gain }) => `${name}: ${percent(hit.accuracy)}, a gain of ${signed(gain)} points at instability ${hit.instability.toFixed(2)}`).join("; ");
      text.textContent = `Seed ${seed}. ${sentence}. One seed is one seed; press again for the next.`;
      box.setAttribute("aria-label", `Test accuracy over the epochs. ${sentence}`);
      seed++;
      root.dataset.seeds = String(seed);
    } catch (error) {
      text.textContent = error instanceof Stopped ? "Stopped." : `It did not work: ${error instanceof Error ? error.message : error}.`;
    } finally {
      busy = false;
      go.textContent = "Train both";
    }
  }
  fill();
}
