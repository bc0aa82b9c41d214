/** Finds the places of a page that ask for a live figure, and puts it there. Each kind is a module of its own. */

const KINDS = {
  click: () => import("./filters.js"),
  experiment: () => import("./experiment.js"),
  timeline: () => import("./confounder.js"),
  cause: () => import("./cause.js"),
  try: () => import("./try.js"),
};
/** Figures that open a page are there with it. The others stand far below, and come when the reader is near. */
const EARLY = new Set(["click", "experiment"]);
const NEAR = "1500px 0px";

const sheet = new URL("./live.css", import.meta.url).href;
if (![...document.styleSheets].some(({ href }) => href?.split("?")[0] === sheet)) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = sheet;
  document.head.append(link);
  await new Promise((done) => { link.onload = link.onerror = done; });
}

export const mountAll = () => Promise.all([...document.querySelectorAll("[data-gst-live]")].map(async (root) => {
  if (!EARLY.has(/** @type {HTMLElement} */ (root).dataset.gstLive ?? "")) await near(root);
  return mountOne(root);
}));

/** Resolves when the reader has come within a screen or two of a place. @param {Element} root @returns {Promise<void>} */
const near = (root) => new Promise((done) => {
  const watch = new IntersectionObserver((seen) => {
    if (!seen.some(({ isIntersecting }) => isIntersecting)) return;
    watch.disconnect();
    done();
  }, { rootMargin: NEAR });
  watch.observe(root);
});

/** Puts the figure into a place, unless it is there already. */
export async function mountOne(/** @type {Element} */ root) {
  if ("live" in /** @type {HTMLElement} */ (root).dataset) return;
  const kind = /** @type {HTMLElement} */ (root).dataset.gstLive ?? "";
  if (!Object.hasOwn(KINDS, kind)) return;
  /** @type {any} */ (root).dataset.live = "loading"; // its place stays as tall as it is until the figure is there
  // What stood there (words, for readers without scripts) stays if the figure cannot be made.
  const words = [...root.childNodes];
  try {
    const { mount } = await KINDS[/** @type {keyof typeof KINDS} */ (kind)]();
    await mount(/** @type {HTMLElement} */ (root));
    /** @type {any} */ (root).dataset.live = "";
  } catch (error) {
    /** @type {HTMLElement} */ (root).dataset.dead = ""; // no button is shown that would do nothing
    const note = document.createElement("p");
    note.textContent = "Part of this page did not arrive, so the figure does not answer. Reload the page to try again.";
    root.replaceChildren(...words, note);
    console.warn(error);
  }
}
