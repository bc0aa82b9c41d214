/**
 * What is said while a network and its twin train: how the two compare, and how long it will take. No library, no page:
 * the recorded film on the first page and a run by the reader are told by the same rules.
 */
import { signed } from "./statistics.js";

const IN_A_ROW = 3; // one epoch ahead is chance; an overtaking lasts this many

/**
 * Follows two accuracies, epoch by epoch, from the last event on. `tell` returns a sentence when something happens:
 * the hit network has fallen behind and is level again, or has been ahead for three epochs.
 */
export function standing() {
  let behind = false, caughtUp = -1, ahead = 0, overtook = -1;
  return {
    /** @param {number} epoch @param {number} hit @param {number} twin shares @returns {string} a sentence, or nothing */
    tell(epoch, hit, twin) {
      if (hit < twin) behind = true;
      ahead = hit > twin ? ahead + 1 : 0;
      if (behind && caughtUp < 0 && hit >= twin) {
        caughtUp = epoch;
        return `Epoch ${epoch + 1}: it has caught up with its twin.`;
      }
      if (overtook < 0 && ahead === IN_A_ROW) {
        overtook = epoch;
        return `Epoch ${epoch + 1}: it has overtaken its twin.`;
      }
      return "";
    },
    /** How it ended. @param {number} gain in percentage points */
    verdict(gain) {
      if (gain > 0) return overtook < 0 ? "It has caught up with its twin." : "It has overtaken its twin.";
      if (gain === 0) return "The two end level.";
      return caughtUp >= 0 || overtook >= 0 ? "It caught up with its twin, but did not stay ahead." : "It never caught up with its twin.";
    },
    get caughtUp() { return caughtUp; },
    get overtook() { return overtook; },
  };
}

/** "+5.0 percentage points". @param {number} gain */
export const points = (gain) => `${signed(gain)} percentage point${Math.abs(gain).toFixed(1) === "1.0" ? "" : "s"}`;

/**
 * How long the rest will take, from the epochs that are done. Two networks train at once, and the slower one counts.
 * The clock starts after the first epoch, because before it the library is fetched and compiled.
 * @param {number} epochs that each network has to train
 */
export function pace(epochs) {
  /** @type {Record<string, {first: number, last: number, n: number}>} */
  const seen = {};
  return {
    /** @param {string} who @param {number} now milliseconds */
    epoch(who, now) {
      const { first, n } = seen[who] ?? { first: now, n: 0 };
      seen[who] = { first, last: now, n: n + 1 };
    },
    /** Seconds that are left, NaN before two epochs are done. */
    left() {
      const each = Object.values(seen).map(({ first, last, n }) => (n > 1 ? ((last - first) / (n - 1)) * (epochs - n) : NaN));
      return each.length ? Math.max(...each) / 1000 : NaN;
    },
    /** Share of the work that is done. */
    done() {
      const counts = Object.values(seen).map(({ n }) => n);
      return counts.length ? Math.min(...counts) / epochs : 0;
    },
  };
}

/** "about 40 seconds", "about 2 minutes". @param {number} seconds */
export function duration(seconds) {
  if (seconds < 8) return "a few seconds";
  if (seconds < 90) return `about ${Math.max(10, Math.round(seconds / 10) * 10)} seconds`;
  return `about ${Math.round(seconds / 60)} minutes`;
}
