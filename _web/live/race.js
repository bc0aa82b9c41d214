/**
 * A network and its twin, trained side by side and drawn as they go: what every form of the book does when its button is
 * pressed. Says how the two compare, how long it will take on this machine, and offers to finish early when that is long.
 */
import { duration, pace, standing } from "./commentary.js";
import { EPOCHS, eventEpochs } from "./schedule.js";
import { Stopped, trainer } from "./trainer.js";
import { el } from "./dom.js";

const LONG = 60; // seconds; a run that takes longer can be cut short
const LEAST = 8; // epochs after the last event before that is offered: the two must have had time to compare

/** A progress bar with the time that is left, and a button that ends a long run early. @param {HTMLElement} [built] in the page already */
export function progress(built) {
  const element = built ?? el("div", { class: "gst-progress", "data-idle": "" },
    el("progress", { max: 100, value: 0, "aria-label": "Training" }), el("span", {}), el("button", { type: "button", hidden: true }, "Finish now"));
  const [bar, words, early] = element.children;
  return {
    element, early,
    start() { element.removeAttribute("data-idle"); bar.removeAttribute("value"); words.textContent = "Starting…"; early.hidden = true; },
    show(/** @type {number} */ done, /** @type {number} */ left, /** @type {boolean} */ canFinish) {
      bar.value = 100 * done;
      words.textContent = Number.isFinite(left) ? `${duration(left)} left` : "Training…";
      early.hidden = !(canFinish && left > LONG);
    },
    stop() { element.setAttribute("data-idle", ""); words.textContent = ""; early.hidden = true; },
  };
}

/**
 * @param {import("./training.js").Settings} settings
 * @param {Object} how
 * @param {any} how.chart  from `curves`
 * @param {ReturnType<typeof progress>} how.progress
 * @param {(sentence: string) => void} how.say
 * @param {Record<string, string>} [how.lines]  the chart's line for "hit" and "twin"
 * @param {(message: any) => void} [how.onHit]  every epoch of the hit network
 * @param {any} [how.options]  of `Trainer.pair`
 * @returns {Promise<{hit: any, twin: any, gain: number, epoch: number, verdict: string}>} `epoch` is the last one that was trained
 */
export async function race(settings, { chart, progress: bar, say, lines = { hit: "hit", twin: "twin" }, onHit, options = {} }) {
  const epochs = settings.epochs ?? EPOCHS, from = options.startEpoch ?? 0;
  const when = options.hitFrom ? [from - 1] : eventEpochs(settings.first, settings.last, settings.events);
  const clock = pace(epochs - from), both = standing();
  /** @type {Record<string, Map<number, number>>} */
  const seen = { hit: new Map(), twin: new Map() };
  let common = -1, wantsEnd = false;
  bar.start();
  bar.early.onclick = () => { wantsEnd = true; trainer.tell("stop"); };
  const hear = (/** @type {"hit" | "twin"} */ who, /** @type {any} */ message) => {
    if (message.kind === "event") {
      chart.add(lines[who], message.epoch, message.after);
      // One sentence an event; nineteen would drown a screen reader.
      if (when.length <= 5) say(`Event ${message.index + 1}, after epoch ${message.epoch + 1}: accuracy goes from ${share(message.before)} to ${share(message.after)}.`);
    }
    if (message.kind !== "epoch") return;
    const { epoch, accuracy } = message;
    chart.add(lines[who], epoch, accuracy);
    seen[who].set(epoch, accuracy);
    clock.epoch(who, performance.now());
    if (who === "hit") onHit?.(message);
    while (seen.hit.has(common < from ? from : common + 1) && seen.twin.has(common < from ? from : common + 1)) {
      common = common < from ? from : common + 1;
      const sentence = common > when[when.length - 1] ? both.tell(common, /** @type {number} */ (seen.hit.get(common)), /** @type {number} */ (seen.twin.get(common))) : "";
      if (sentence) say(sentence);
    }
    bar.show(clock.done(), clock.left(), common > when[when.length - 1] + LEAST);
  };
  try {
    const { hit, twin } = await trainer.pair(settings, hear, options);
    const gain = 100 * (hit.accuracy - twin.accuracy);
    return { hit, twin, gain, epoch: epochs - 1, verdict: both.verdict(gain) };
  } catch (error) {
    if (!(error instanceof Stopped && wantsEnd && common >= from)) throw error;
    const [hit, twin] = [seen.hit, seen.twin].map((each) => ({ accuracy: /** @type {number} */ (each.get(common)) }));
    const gain = 100 * (hit.accuracy - twin.accuracy);
    return { hit, twin, gain, epoch: common, verdict: both.verdict(gain) };
  } finally {
    bar.stop();
  }
}

const share = (/** @type {number} */ value) => `${(100 * value).toFixed(0)}%`;

/** "after 60 epochs", or fewer when the reader ended the run. @param {number} epoch the last one */
export const after = (epoch) => (epoch === EPOCHS - 1 ? "In the end" : `You stopped after ${epoch + 1} of ${EPOCHS} epochs:`);
