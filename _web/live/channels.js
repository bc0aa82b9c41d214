/** What one filter says about one signal (chapter 1): the signal, the filter's channel before and after the mask, its score. */
import { CLASSES, FILTERS, LENGTHS, POSITIONS } from "./shapes.js";
import { traces } from "./charts.js";

const SHOWN = 50; // signals that can be asked for

/** @param {HTMLElement} element  made by tools/pages/click_figure.py */
export function listener(element) {
  let filter = 0, signal = 0;
  /** @type {ArrayLike<number>} */
  let mask = new Uint8Array(FILTERS).fill(1);
  /** @type {any} */
  let here = null, lines = /** @type {any} */ (null);
  const boxes = /** @type {HTMLElement[]} */ ([...element.querySelectorAll(".gst-chart")]);
  const words = /** @type {HTMLElement[]} */ ([...element.querySelectorAll("section > .gst-note")]);
  const next = /** @type {HTMLButtonElement} */ (element.querySelector("button"));
  next.addEventListener("click", () => { signal = (signal + 1) % SHOWN; draw(); });

  function draw() {
    if (!here) return;
    const { network, signals, activations, ranks, largest } = here;
    const channelOf = (/** @type {number} */ s) => Array.from({ length: POSITIONS }, (_, p) => activations[(s * POSITIONS + p) * FILTERS + filter]);
    const channel = channelOf(signal), loudest = Math.max(0.1, ...Array.from({ length: SHOWN }, (_, s) => channelOf(s)).flat());
    const kept = Boolean(mask[filter]);
    lines[0]([-largest, largest], signals.subarray(signal * LENGTHS[0], (signal + 1) * LENGTHS[0]));
    lines[1]([0, loudest], channel, channel.map((value) => (kept ? value : 0)));
    const says = answer(network, signal, mask), is = network.labels[signal];
    words[0].textContent = `This signal is a ${is}, and the network says ${says}${says === is ? "" : ", which is wrong"}.`;
    words[1].textContent = `Filter ${filter + 1}: score (length of its weights) ${network.norms[filter].toFixed(2)}, rank ${ranks[filter]} of 64, smallest first. `
      + (kept ? "The head reads this channel." : "It is cut: its channel (grey) is multiplied by 0.");
    boxes.forEach((box, i) => box.setAttribute("aria-label", words[i].textContent));
  }
  return {
    show(/** @type {number} */ c, /** @type {ArrayLike<number>} */ now) { filter = c; mask = now; draw(); },
    start(/** @type {any} */ network, /** @type {Float32Array} */ signals, /** @type {Float32Array} */ activations) {
      const largest = signals.subarray(0, SHOWN * LENGTHS[0]).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      lines ??= [
        traces(boxes[0], [{ key: "signal", colour: "--gst-ink" }], { x: "sample", n: LENGTHS[0] }),
        traces(boxes[1], [{ key: "before", colour: "--gst-twin", dash: [4, 4], width: 1.5 }, { key: "after", colour: "--gst-hit", width: 2.5 }],
          { x: "position", n: POSITIONS }),
      ];
      const ranks = network.norms.map((/** @type {number} */ norm) => 1 + network.norms.filter((/** @type {number} */ other) => other < norm).length);
      here = { network, signals, activations, ranks, largest };
      next.disabled = false;
      draw();
    },
  };
}

/** The class that the network with this mask gives to one of the signals. */
function answer(/** @type {any} */ { parts, labels, state }, /** @type {number} */ signal, /** @type {ArrayLike<number>} */ mask) {
  const sums = Array.from(state.weights.bh, Number);
  for (let c = 0; c < FILTERS; c++) {
    if (mask[c]) for (let k = 0; k < CLASSES; k++) sums[k] += parts[(c * labels.length + signal) * CLASSES + k];
  }
  return sums.indexOf(Math.max(...sums));
}
