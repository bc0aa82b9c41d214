/**
 * Charts as SVG: a frame with an axis on each side, and lines and marks that scripts move. Colours are CSS variables of
 * .gst-live, so that charts follow the page's theme by themselves; what a colour says, a dash or a marker says too.
 *
 * Lines live in a square of 100 by 100 units that is stretched over the chart; words are HTML, and are not stretched.
 *
 * @typedef {[number, number][]} Points
 * @typedef {{key: string, colour: string, dash?: number[], width?: number}} Line  `colour` is a CSS variable
 * @typedef {{name: string, range: [number, number], ticks?: number[]}} Axis
 */
import { EPOCHS, MILESTONES } from "./schedule.js";
import { el, svg } from "./dom.js";

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];

/** About four round numbers within a range. @param {[number, number]} range */
function roundNumbers([low, high]) {
  const step = STEPS.find((each) => (high - low) / each <= 4.5) ?? 100;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}

/**
 * An empty frame in the element, or the one that was made when the book was built (tools/pages/click_figure.py).
 * @param {HTMLElement} element @param {Axis} x @param {Axis} y
 */
function frame(element, x, y) {
  let plot = /** @type {HTMLElement | null} */ (element.querySelector(".gst-plot"));
  const built = plot !== null;
  if (!plot) {
    plot = el("div", { class: "gst-plot", "aria-hidden": "true" },
      svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" }, svg("path", { class: "gst-gridlines" })), svg("svg", {}),
      el("span", { class: "gst-axis-y" }, y.name), el("span", { class: "gst-axis-x" }, x.name));
    element.replaceChildren(plot);
  }
  const [area, over] = plot.querySelectorAll("svg"); // stretched, and not
  const left = (/** @type {number} */ value) => (100 * (value - x.range[0])) / (x.range[1] - x.range[0]);
  const top = (/** @type {number} */ value) => 100 - (100 * (value - y.range[0])) / (y.range[1] - y.range[0]);
  const ticks = () => {
    plot.querySelectorAll(".gst-tick").forEach((tick) => tick.remove());
    const xs = x.ticks ?? roundNumbers(x.range), ys = y.ticks ?? roundNumbers(y.range);
    const words = (/** @type {number} */ value) => String(value).replace("-", "−");
    area.querySelector(".gst-gridlines")?.setAttribute("d", ys.map((value) => `M0 ${top(value)}H100`).join(""));
    plot.append(
      ...xs.map((value) => el("span", { class: "gst-tick gst-tick-x", style: `left:${left(value)}%` }, words(value))),
      ...ys.map((value) => el("span", { class: "gst-tick gst-tick-y", style: `top:${top(value)}%` }, words(value))));
  };
  if (!built) ticks();
  return { plot, area, over, left, top, ticks, built };
}

const path = (/** @type {Points} */ points, /** @type {any} */ { left, top }) =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${left(x).toFixed(2)} ${top(y).toFixed(2)}`).join("");

/** A line of a frame, found or made. @param {SVGElement} area @param {Line} line */
function stroke(area, { key, colour, dash, width = 2.5 }) {
  const found = area.querySelector(`[data-line="${key}"]`);
  if (found) return found;
  const made = svg("path", { class: "gst-line", "data-line": key, style: `stroke:var(${colour});stroke-width:${width}px${dash ? `;stroke-dasharray:${dash.join(" ")}` : ""}` });
  area.append(made);
  return made;
}

/** Calls `draw` once before the next picture, however often it is asked. */
function once(/** @type {() => void} */ draw) {
  let asked = 0;
  return () => { asked ||= requestAnimationFrame(() => { asked = 0; draw(); }); };
}

/**
 * Test accuracy over the epochs, a line for each network. A drop at an event is two points at one epoch.
 * @param {HTMLElement} element @param {Line[]} lines
 * @param {{low?: number, empty?: string}} [options] `empty` stands in the frame until there is a line
 */
export function curves(element, lines, { low = 10, empty = "" } = {}) {
  const here = frame(element, { name: "epoch", range: [0, EPOCHS - 1], ticks: [0, 20, 40] }, { name: "test accuracy (%)", range: [low, 100], ticks: [20, 40, 60, 80] });
  if (!here.built) {
    MILESTONES.forEach((epoch, i) => {
      here.area.append(svg("path", { class: "gst-milestone", d: `M${here.left(epoch - 0.5)} 0V100` }));
      here.plot.append(el("span", { class: "gst-milestone-name", style: `left:${here.left(epoch - 0.5)}%` }, i ? "÷100" : "rate ÷10"));
    });
  }
  const note = el("span", { class: "gst-empty" }, empty);
  if (empty) here.plot.append(note);
  const strokes = Object.fromEntries(lines.map((line) => [line.key, stroke(here.area, line)]));
  /** @type {Record<string, Points>} */
  const points = Object.fromEntries(lines.map(({ key }) => [key, []]));
  /** Lines that have changed; the others may have been drawn when the book was built. @type {Set<string>} */
  const changed = new Set();
  const draw = once(() => {
    for (const key of changed) strokes[key].setAttribute("d", path(points[key].map(([x, y]) => [x, 100 * y]), here));
    changed.clear();
  });
  const set = (/** @type {string} */ key, /** @type {Points} */ line) => {
    if (line.length) note.remove();
    points[key] = line;
    changed.add(key);
    draw();
  };
  return {
    set,
    /** @param {string} key @param {number} x @param {number} y */
    add(key, x, y) { set(key, [...points[key], [x, y]]); },
    clear(/** @type {string[]} */ ...keys) { keys.forEach((key) => set(key, [])); },
    points,
  };
}

/**
 * A few values side by side: a signal, a channel. What it returns takes the range and a list for each line.
 * @param {HTMLElement} element @param {Line[]} lines @param {{x: string, n: number}} options
 */
export function traces(element, lines, { x, n }) {
  /** @type {Axis} */
  const y = { name: "", range: [0, 1] };
  const here = frame(element, { name: x, range: [1, n] }, y);
  const strokes = lines.map((line) => stroke(here.area, { width: 2, ...line }));
  return (/** @type {[number, number]} */ limits, /** @type {ArrayLike<number>[]} */ ...next) => {
    y.range = limits;
    here.ticks();
    strokes.forEach((each, i) => each.setAttribute("d", path(Array.from(next[i], (value, at) => [at + 1, value]), here)));
  };
}

/**
 * Points in two dimensions.
 * @typedef {{x: number, y: number, low?: number, high?: number}} Dot
 * @typedef {{key: string, colour: string, marker: "circle" | "diamond" | "square", size: number, alpha?: number, hollow?: boolean}} Cloud
 * @param {HTMLElement} element @param {Cloud[]} clouds
 * @param {{x: string, y: string, xRange: [number, number], yRange: [number, number], empty?: string}} options
 *   `empty` stands in the frame until there is a mark
 */
export function scatter(element, clouds, { x, y, xRange, yRange, empty = "" }) {
  /** @type {Record<string, Dot[]>} */
  const dots = Object.fromEntries(clouds.map(({ key }) => [key, []]));
  /** @type {Axis} */
  const side = { name: y, range: yRange };
  const here = frame(element, { name: x, range: xRange }, side);
  const zero = svg("path", { class: "gst-zero" }); // no gain, no loss
  here.area.append(zero);
  const note = el("span", { class: "gst-empty" }, empty);
  if (empty) here.plot.append(note);
  const layers = clouds.map(({ colour, marker, alpha = 1 }) => {
    const layer = svg("g", { style: `--gst-mark:var(${colour})`, opacity: alpha });
    (marker === "diamond" ? here.over : here.area).append(layer);
    return layer;
  });
  const draw = once(() => {
    const all = Object.values(dots).flat().map((dot) => dot.y);
    side.range = [Math.min(yRange[0], ...all.map((value) => value - 1)), Math.max(yRange[1], ...all.map((value) => value + 1))];
    here.ticks();
    zero.setAttribute("d", `M0 ${here.top(0)}H100`);
    clouds.forEach((cloud, i) => layers[i].replaceChildren(...marks(cloud, dots[cloud.key], here)));
  });
  draw();
  return {
    /** @param {string} key @param {Dot[]} points */
    set(key, points) {
      if (points.length) note.remove();
      dots[key] = points;
      draw();
    },
    dots,
  };
}

/**
 * The marks of a cloud. Hundreds of dots are one path: each is a line of no length whose ends are as wide as the mark, and
 * strokes are not stretched with the chart. Diamonds are few, and shapes of their own.
 */
function marks(/** @type {Cloud} */ { marker, size, hollow }, /** @type {Dot[]} */ dots, /** @type {any} */ { left, top }) {
  const sure = dots.filter(({ low }) => low !== undefined && Number.isFinite(low));
  if (marker === "diamond") {
    const shape = `M0 ${-1.3 * size}L${1.3 * size} 0L0 ${1.3 * size}L${-1.3 * size} 0Z`;
    return [
      ...sure.map(({ x, low, high }) => svg("line", { class: "gst-interval", x1: `${left(x)}%`, x2: `${left(x)}%`, y1: `${top(low)}%`, y2: `${top(high)}%` })),
      ...dots.map(({ x, y }) => svg("svg", { x: `${left(x)}%`, y: `${top(y)}%`, overflow: "visible" }, svg("path", { class: hollow ? "gst-hollow" : "gst-solid", d: shape }))),
    ];
  }
  const intervals = sure.map(({ x, low, high }) => `M${left(x)} ${top(low)}V${top(high)}`).join("");
  const d = dots.map(({ x, y }) => `M${left(x).toFixed(2)} ${top(y).toFixed(2)}h0`).join("");
  return [
    svg("path", { class: "gst-interval", d: intervals }),
    svg("path", { class: "gst-dots", d, style: `stroke-width:${2 * size}px;stroke-linecap:${marker === "circle" ? "round" : "square"}` }),
  ];
}
