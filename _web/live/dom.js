/** Small helpers for building what a figure is made of. */

let ids = 0;
/** An id that no other element of the page has. */
export const uniqueId = () => `gst-live-${++ids}`;

/**
 * @param {string} tag @param {Record<string, any>} [attributes] "on..." are listeners; false and null are left out
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** An element of a drawing. @param {string} tag @param {Record<string, any>} attributes @param {...Node} children @returns {any} */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * A few buttons of which one is pressed.
 * @param {string} name @param {[string, string][]} options value and words @param {(value: string) => void} change
 */
export function choice(name, options, change) {
  const id = uniqueId();
  const field = el("div", { class: "gst-choice", role: "group", "aria-labelledby": id }, el("span", { id }, name),
    el("span", { class: "gst-options" }, ...options.map(([value, words]) => el("button", { type: "button", "aria-pressed": "false", "data-value": value }, words))));
  return attachChoice(field, change);
}

/** The same, where the buttons are in the page already. @param {HTMLElement} field @param {(value: string) => void} change */
export function attachChoice(field, change) {
  const buttons = /** @type {HTMLButtonElement[]} */ ([...field.querySelectorAll("button")]);
  const set = (/** @type {string | undefined} */ value) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.value === value)));
  buttons.forEach((button) => button.addEventListener("click", () => {
    set(button.dataset.value);
    change(button.dataset.value ?? "");
  }));
  return { field, buttons, set };
}

/** A choice with its name. @param {string} name @param {[string, string][]} options value and words @param {(value: string) => void} change */
export function select(name, options, change) {
  const control = el("select", { "aria-label": name, onchange: () => change(control.value), autocomplete: "off" },
    ...options.map(([value, words]) => el("option", { value }, words)));
  return { control, field: el("label", { class: "gst-field" }, el("span", {}, name), control) };
}

/** A slider with its name and its value in words. */
export function range(/** @type {string} */ name, /** @type {number} */ min, /** @type {number} */ max, /** @type {number} */ step,
  /** @type {(value: number) => string} */ words, /** @type {(value: number) => void} */ change) {
  const shown = el("b", {});
  const control = el("input", { type: "range", min, max, step, "aria-label": name, autocomplete: "off", oninput: () => { say(); change(Number(control.value)); } });
  const say = () => {
    shown.textContent = words(Number(control.value));
    control.setAttribute("aria-valuetext", shown.textContent);
  };
  return {
    control,
    field: el("label", { class: "gst-field" }, el("span", {}, `${name}: `, shown), control),
    set(/** @type {number} */ value) { control.value = String(value); say(); },
  };
}

/** A sample of a line for a legend. @param {string} colour CSS variable @param {string} words @param {boolean} [dashed] */
export function key(colour, words, dashed = false) {
  return el("span", { class: "gst-key" },
    el("i", { class: dashed ? "gst-dashed" : "", style: `border-color:var(${colour})`, "aria-hidden": "true" }), words);
}

/** Calls `start` once, when half of the element is in view. @param {Element} element @param {() => void} start */
export function whenSeen(element, start) {
  const watch = new IntersectionObserver((seen) => {
    if (!seen.some(({ isIntersecting }) => isIntersecting)) return;
    watch.disconnect();
    start();
  }, { threshold: 0.5 });
  watch.observe(element);
}
