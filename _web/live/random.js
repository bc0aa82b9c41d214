/**
 * Random numbers from a seed: one stream for each thing that is drawn (weights, batches, targets, directions), as in the
 * package, so that two networks of one seed share their first weights and their batches whatever else is drawn.
 *
 * @typedef {() => number} Random  uniform in [0, 1)
 */

/** A 32-bit hash of a text (FNV-1a). @param {string} text */
function hash(text) {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/**
 * A generator (sfc32) for the named stream of a seed.
 * @param {number} seed @param {string} name @returns {Random}
 */
export function stream(seed, name) {
  let a = seed >>> 0, b = hash(name), c = hash(`${name} ${seed}`), counter = 1;
  const next = () => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 20; i++) next(); // the seed must have reached every bit
  return next;
}

/** The numbers 0..n-1 in random order (Fisher-Yates). @param {number} n @param {Random} random */
export function permutation(n, random) {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** One number from the standard normal distribution (Box-Muller). @param {Random} random */
export function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
