/** A timeline of the training: two handles (first and last event), a tick for every event, the phases of the learning rate. */
import { EPOCHS, MILESTONES, eventEpochs } from "./schedule.js";
import { LAST_EPOCH } from "./settings.js";
import { el } from "./dom.js";

/**
 * @param {(first: number, last: number) => void} change
 * @returns {{element: HTMLElement, set: (first: number, last: number, events: number) => void}}
 */
export function timeline(change) {
  let values = [5, 23], events = 3;
  const place = (/** @type {number} */ epoch) => `${(100 * epoch) / LAST_EPOCH}%`;
  const ends = [0, ...MILESTONES, EPOCHS];
  const phases = el("div", { class: "gst-phases", "aria-hidden": "true" }, ...["full learning rate", "÷10", "÷100"].map((words, i) =>
    el("span", { style: `flex:${ends[i + 1] - ends[i]} 1 0` }, el("b", {}, words))));
  const ticks = el("div", { "aria-hidden": "true" });
  const handles = ["first event", "last event"].map((name, i) => el("button", {
    type: "button", role: "slider", class: `gst-handle${i ? " gst-last" : ""}`, "aria-label": `${name}, epoch`,
    "aria-valuemin": 0, "aria-valuemax": LAST_EPOCH, "data-lm-suppress-shortcuts": "true",
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5, Home: -EPOCHS, End: EPOCHS }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      move(i, values[i] + step);
    },
    onpointerdown: (/** @type {any} */ event) => {
      event.preventDefault();
      event.target.focus({ preventScroll: true });
      event.target.setPointerCapture(event.pointerId);
    },
    onpointermove: (/** @type {any} */ event) => {
      if (!event.target.hasPointerCapture(event.pointerId)) return;
      const { left, width } = element.getBoundingClientRect();
      move(i, Math.round(((event.clientX - left) / width) * LAST_EPOCH));
    },
  }));
  const element = el("div", { class: "gst-timeline", role: "group", "aria-label": "When events happen, in epochs" }, phases, ticks, ...handles);

  function move(/** @type {number} */ i, /** @type {number} */ epoch) {
    const low = i ? values[0] : 0, high = i ? LAST_EPOCH : values[1];
    const next = Math.min(high, Math.max(low, epoch));
    if (next === values[i]) return;
    values[i] = next;
    draw();
    change(values[0], values[1]);
  }
  function draw() {
    handles.forEach((handle, i) => {
      handle.style.left = place(values[i]);
      handle.dataset.epoch = String(values[i]); // shown below it
      handle.setAttribute("aria-valuenow", String(values[i]));
      handle.setAttribute("aria-valuetext", `epoch ${values[i]}`);
    });
    // With both at one place the first would lie under the last, and could not go left.
    handles[0].style.zIndex = values[0] > LAST_EPOCH / 2 ? "2" : "1";
    handles[1].style.zIndex = values[0] > LAST_EPOCH / 2 ? "1" : "2";
    ticks.replaceChildren(...eventEpochs(values[0], values[1], events).map((epoch) => el("span", { class: "gst-event", style: `left:${place(epoch)}` })));
  }
  return {
    element,
    set(first, last, n) {
      values = [first, last];
      events = n;
      draw();
    },
  };
}
