/**
 * Plays the recorded run on the first page, once: filters are cut, the curve falls, recovers and overtakes. About eight
 * seconds; any touch of the figure ends it. It needs no library and no further request.
 */
import { standing } from "./commentary.js";
import { percent } from "./statistics.js";

const TELL = 1400, EPOCH = 95, AFTER = 1200; // milliseconds: to read what is cut; for each epoch; before the last sentence

/**
 * @param {any} film  see tools/pages/film.py
 * @param {{cut: (gone: Set<number>) => void, show: (accuracy: number, classes: number[] | null, kept: number) => void,
 *   curves: (hit: [number, number][], twin: [number, number][]) => void, say: (sentence: string) => void, end: () => void}} stage
 */
export function player(film, stage) {
  const start = film.epochs, kept = 64 - film.cut.length;
  const both = standing();
  /** @type {[number, number][]} */
  const hit = [], twin = [];
  /** @type {{wait: number, run: () => void}[]} */
  const scenes = [
    { wait: 0, run: () => { stage.cut(new Set()); stage.curves([], []); stage.show(film.accuracy, null, 64); stage.say(`After ${start} of 60 epochs, this network gets ${percent(film.accuracy)} of new signals right.`); } },
    { wait: TELL, run: () => {
      hit.push([start - 1, film.accuracy], [start - 1, film.after]);
      twin.push([start - 1, film.accuracy]);
      stage.cut(new Set(film.cut));
      stage.curves(hit, twin);
      stage.show(film.after, null, kept);
      stage.say(`${film.cut.length} of its 64 filters are cut: accuracy falls to ${percent(film.after)}. Now it keeps training, next to a twin that keeps all 64.`);
    } },
    ...film.hit.map((/** @type {number} */ accuracy, /** @type {number} */ i) => ({ wait: i ? EPOCH : TELL, run: () => {
      hit.push([start + i, accuracy]);
      twin.push([start + i, film.twin[i]]);
      stage.curves(hit, twin);
      stage.show(accuracy, film.classes[i], kept);
      const sentence = both.tell(start + i, accuracy, film.twin[i]);
      if (sentence) stage.say(sentence);
    } })),
    { wait: AFTER, run: () => { stage.end(); } },
  ];
  let at = 0, timer = 0;
  const next = () => {
    scenes[at++].run();
    if (at < scenes.length) timer = window.setTimeout(next, scenes[at].wait);
  };
  return {
    get over() { return at >= scenes.length; },
    get playing() { return Boolean(timer) && at < scenes.length; },
    play() { timer = window.setTimeout(next, at ? scenes[at].wait : 0); },
    pause() { clearTimeout(timer); timer = 0; },
  };
}
