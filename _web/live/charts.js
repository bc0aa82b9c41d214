/**
 * Charts, drawn by uPlot, which comes when the first is asked for. Colours follow the page's theme; what a colour says, a
 * dash or a marker says too.
 *
 * @typedef {[number, number][]} Points
 * @typedef {{key: string, colour: string, dash?: number[], width?: number}} Line  `colour` is a CSS variable of .gst-live
 */
import { EPOCHS, MILESTONES } from "./schedule.js";

/** @type {Promise<any> | null} */
let library = null;

export function loadCharts() {
  library ??= (async () => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = new URL("./vendor/uplot/uPlot.min.css", import.meta.url).href;
    document.head.append(sheet);
    return (await import("./vendor/uplot/uPlot.esm.js")).default;
  })();
  return library;
}

const colourOf = (/** @type {Element} */ element, /** @type {string} */ name) => getComputedStyle(element).getPropertyValue(name).trim();

/** The theme may change while a chart stands: the book has a switch, and the system another. */
function onTheme(/** @type {() => void} */ redraw) {
  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

function axis(/** @type {Element} */ element, /** @type {any} */ more) {
  return {
    stroke: () => colourOf(element, "--gst-ink"),
    grid: { stroke: () => colourOf(element, "--gst-grid"), width: 1 },
    ticks: { show: false },
    font: "13px system-ui, sans-serif",
    labelFont: "13px system-ui, sans-serif",
    labelSize: 18,
    ...more,
  };
}

/** A chart that fills its element, redrawn at most once a frame. */
async function chart(/** @type {HTMLElement} */ element, /** @type {any} */ options, /** @type {() => any} */ data) {
  const uPlot = await loadCharts();
  element.replaceChildren();
  const size = () => ({ width: Math.max(120, element.clientWidth), height: Math.max(120, element.clientHeight) });
  const plot = new uPlot({ ...size(), legend: { show: false }, cursor: { show: false }, ...options }, data(), element);
  plot.root.querySelector("canvas").setAttribute("aria-hidden", "true"); // the element around it has the words
  let asked = 0;
  const draw = () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      plot.setData(data());
    });
  };
  new ResizeObserver(() => {
    const { width, height } = size();
    if (width !== plot.width || height !== plot.height) plot.setSize({ width, height });
  }).observe(element);
  onTheme(() => plot.redraw(false, true));
  return { draw, plot };
}

/**
 * Test accuracy over the epochs, a line for each network. A drop at an event is two points at one epoch.
 * @param {HTMLElement} element @param {Line[]} lines @param {{low?: number}} [options]
 */
export async function curves(element, lines, { low = 10 } = {}) {
  /** @type {Record<string, Points>} */
  const points = Object.fromEntries(lines.map(({ key }) => [key, []]));

  // uPlot wants one column of x for all lines: the union, an x twice where some line has two points there.
  function data() {
    /** @type {Map<number, number>} */
    const times = new Map();
    for (const { key } of lines) {
      const here = new Map();
      for (const [x] of points[key]) here.set(x, (here.get(x) ?? 0) + 1);
      for (const [x, n] of here) times.set(x, Math.max(n, times.get(x) ?? 0));
    }
    const xs = [...times.keys()].sort((a, b) => a - b).flatMap((x) => new Array(times.get(x)).fill(x));
    const columns = lines.map(({ key }) => {
      const left = [...points[key]];
      return xs.map((x) => (left.length && left[0][0] === x ? /** @type {[number, number]} */ (left.shift())[1] * 100 : null));
    });
    return [xs, ...columns];
  }

  const { draw } = await chart(
    element,
    {
      scales: { x: { time: false, range: () => [0, EPOCHS - 1] }, y: { range: () => [low, 95] } },
      axes: [
        axis(element, { label: "epoch", size: 30 }),
        axis(element, { label: "test accuracy (%)", size: 38, incrs: [20, 40] }),
      ],
      series: [
        {},
        ...lines.map(({ colour, dash, width = 2.5 }) => ({
          stroke: () => colourOf(element, colour), dash, width, spanGaps: true, points: { show: false },
        })),
      ],
      hooks: { drawClear: [(/** @type {any} */ plot) => milestones(element, plot)] },
    },
    data,
  );
  return {
    /** @param {string} key @param {Points} line */
    set(key, line) { points[key] = line; draw(); },
    /** @param {string} key @param {number} x @param {number} y */
    add(key, x, y) { points[key].push([x, y]); draw(); },
    clear(/** @type {string[]} */ ...keys) { keys.forEach((key) => (points[key] = [])); draw(); },
    points,
  };
}

/**
 * A few values side by side: a signal, a channel. What it returns takes the range and a list for each line.
 * @param {HTMLElement} element @param {Line[]} lines @param {{x: string, n: number}} options
 */
export async function traces(element, lines, { x, n }) {
  const positions = Array.from({ length: n }, (_, i) => i + 1);
  let values = lines.map(() => new Array(n).fill(0)), range = [0, 1];
  const { draw } = await chart(element, {
    scales: { x: { time: false }, y: { range: () => range } },
    axes: [axis(element, { label: x, size: 30 }), axis(element, { size: 28, incrs: [0.1, 0.2, 0.5, 1, 2, 5] })],
    series: [{}, ...lines.map(({ colour, dash, width = 2 }) => ({ stroke: () => colourOf(element, colour), dash, width, points: { show: false } }))],
  }, () => [positions, ...values]);
  return (/** @type {[number, number]} */ limits, /** @type {ArrayLike<number>[]} */ ...next) => { range = limits; values = next; draw(); };
}

/** Where the learning rate falls. */
function milestones(/** @type {Element} */ element, /** @type {any} */ plot) {
  const { ctx, bbox } = plot, ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colourOf(element, "--gst-soft");
  ctx.lineWidth = ratio;
  ctx.font = `${10 * ratio}px system-ui, sans-serif`;
  ctx.setLineDash([2 * ratio, 3 * ratio]);
  ctx.textAlign = "left"; // the axes leave their own
  ctx.textBaseline = "alphabetic";
  MILESTONES.forEach((epoch, i) => {
    const x = plot.valToPos(epoch - 0.5, "x", true);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(i ? "÷100" : bbox.width < 230 * ratio ? "÷10" : "rate ÷10", x + 3 * ratio, bbox.top + bbox.height - 5 * ratio);
  });
  ctx.restore();
}

/**
 * Points in two dimensions.
 * @typedef {{x: number, y: number, low?: number, high?: number}} Dot
 * @typedef {{key: string, colour: string, marker: "circle" | "diamond" | "square", size: number, alpha?: number, hollow?: boolean}} Cloud
 * @param {HTMLElement} element @param {Cloud[]} clouds
 * @param {{x: string, y: string, xRange: [number, number], yRange: [number, number]}} options
 */
export async function scatter(element, clouds, { x, y, xRange, yRange }) {
  /** @type {Record<string, Dot[]>} */
  const dots = Object.fromEntries(clouds.map(({ key }) => [key, []]));
  const range = () => {
    const all = Object.values(dots).flat();
    return all.length ? [Math.min(yRange[0], ...all.map((dot) => dot.y - 1)), Math.max(yRange[1], ...all.map((dot) => dot.y + 1))] : yRange;
  };
  const { draw } = await chart(
    element,
    {
      scales: { x: { time: false, range: () => xRange }, y: { range } },
      axes: [axis(element, { label: x, size: 30, incrs: [0.2, 0.5, 1, 2, 5, 10, 20, 50] }), axis(element, { label: y, size: 38, incrs: [1, 2, 5, 10, 20] })],
      series: [{}, { show: false }],
      hooks: {
        draw: [(/** @type {any} */ plot) => {
          const { ctx, bbox } = plot, ratio = devicePixelRatio;
          ctx.save();
          ctx.strokeStyle = colourOf(element, "--gst-soft"); // no gain, no loss
          ctx.lineWidth = ratio;
          ctx.beginPath();
          ctx.moveTo(bbox.left, plot.valToPos(0, "y", true));
          ctx.lineTo(bbox.left + bbox.width, plot.valToPos(0, "y", true));
          ctx.stroke();
          for (const cloud of clouds) paint(element, plot, cloud, dots[cloud.key]);
          ctx.restore();
        }],
      },
    },
    () => [xRange, [null, null]],
  );
  return {
    /** @param {string} key @param {Dot[]} points */
    set(key, points) { dots[key] = points; draw(); },
    dots,
  };
}

function paint(/** @type {Element} */ element, /** @type {any} */ plot, /** @type {Cloud} */ cloud, /** @type {Dot[]} */ dots) {
  const { ctx } = plot, r = cloud.size * devicePixelRatio;
  ctx.fillStyle = ctx.strokeStyle = colourOf(element, cloud.colour);
  ctx.globalAlpha = cloud.alpha ?? 1;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  for (const { x, y, low, high } of dots) {
    const at = [plot.valToPos(x, "x", true), plot.valToPos(y, "y", true)];
    ctx.beginPath();
    if (low !== undefined && high !== undefined && Number.isFinite(low)) {
      ctx.moveTo(at[0], plot.valToPos(low, "y", true));
      ctx.lineTo(at[0], plot.valToPos(high, "y", true));
      ctx.stroke();
      ctx.beginPath();
    }
    if (cloud.marker === "circle") ctx.arc(at[0], at[1], r, 0, 2 * Math.PI);
    else if (cloud.marker === "square") ctx.rect(at[0] - r, at[1] - r, 2 * r, 2 * r);
    else {
      ctx.moveTo(at[0], at[1] - 1.3 * r);
      ctx.lineTo(at[0] + 1.3 * r, at[1]);
      ctx.lineTo(at[0], at[1] + 1.3 * r);
      ctx.lineTo(at[0] - 1.3 * r, at[1]);
      ctx.closePath();
    }
    if (cloud.hollow) ctx.stroke();
    else ctx.fill();
  }
  ctx.globalAlpha = 1;
}
