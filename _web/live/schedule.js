/** When events happen, and how many filters are left after each: the rules of the package (and of the paper). */

/** Rounds up, but not because of the last bit: (1 - 0.9) * 10 is 0.9999999999999998. @param {number} x */
const ceil = (x) => Math.ceil(Math.round(x * 1e9) / 1e9);

/**
 * How many filters are kept after each of n pruning events; in the end ceil((1 - share) * filters).
 * @param {number} filters @param {number} share @param {number} events @returns {number[]}
 */
export function keptFilters(filters, share, events) {
  const final = ceil((1 - share) * filters);
  return Array.from({ length: events }, (_, i) => ceil(final + ((filters - final) * (events - 1 - i)) / events));
}

/**
 * Epochs (counted from 0) after whose training an event happens: evenly spaced, the first and the last as asked.
 * @param {number} first @param {number} last @param {number} events @returns {number[]}
 */
export function eventEpochs(first, last, events) {
  if (events <= 1 || last <= first) return [first];
  const n = Math.min(events, last - first + 1); // at most one event an epoch
  return Array.from({ length: n }, (_, i) => Math.round(first + ((last - first) * i) / (n - 1)));
}

/** Epochs after which the learning rate falls to a tenth, as in `gst.Recipe()`. */
export const MILESTONES = [40, 52];
export const EPOCHS = 60;

/** @param {number} epoch @param {number} start the learning rate of the first epoch */
export function learningRate(epoch, start) {
  return start * 0.1 ** MILESTONES.filter((milestone) => epoch >= milestone).length;
}

/** Epochs at the full learning rate after the last event: the time that is left to heal. @param {number[]} epochs */
export function epochsLeft(epochs) {
  return epochs.length ? Math.max(0, MILESTONES[0] - 1 - epochs[epochs.length - 1]) : MILESTONES[0];
}
