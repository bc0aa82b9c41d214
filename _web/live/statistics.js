/** A mean and its 95% interval (Student's t), as the package computes them. */

// The 97.5% quantile of Student's t for 1, 2, ... degrees of freedom.
const T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042];

/** @param {number[]} values @returns {{mean: number, low: number, high: number, n: number}} without an interval (NaN) for one value */
export function estimate(values) {
  const n = values.length, mean = values.reduce((a, b) => a + b, 0) / n;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  const half = n > 1 ? (T[n - 2] ?? 1.96) * Math.sqrt(variance / n) : NaN;
  return { mean, low: mean - half, high: mean + half, n };
}

/** "+1.2", "−0.3" (with a real minus sign). @param {number} value */
export const signed = (value, digits = 1) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
/** "84.3%". @param {number} share */
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;
