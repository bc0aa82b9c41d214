// What all moving figures share; the script of one kind follows in the same function and calls bind.
const reduced = matchMedia("(prefers-reduced-motion: reduce)");
const line = (points) => "M" + points.map(([x, y]) => `${x.toFixed(4)} ${(1 - y).toFixed(4)}`).join("L") + (points.length > 1 ? "" : "h0");
const fixed = (x, digits = 2) => (Math.abs(x) < 0.5 * 10 ** -digits ? 0 : x).toFixed(digits); // never "-0.00"

// make(figure) is called once per figure and returns draw(), which shows what the controls say.
// The film moves the slider by stride every so many milliseconds. jump: what one press moves when motion is reduced.
const bind = (kind, make, { milliseconds = 80, stride = 1, jump = 1 } = {}) => {
  for (const root of document.querySelectorAll(`.gst-mechanism[data-kind="${kind}"]:not([data-bound])`)) {
    root.dataset.bound = "";
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const output = root.querySelector("output"), play = part("play"), at = part("at");
    const inputs = [...root.querySelectorAll("input")];
    window.gstFigures = (window.gstFigures || 0) + 1;
    for (const input of inputs) if (input.type === "radio") input.name += `-${window.gstFigures}`;
    const draw = make({
      root,
      data: JSON.parse(root.querySelector("script[type='application/json']").textContent),
      value: (name) => Number(part(name).value),
      ticked: (name) => part(name).checked,
      write: (name, text) => { part(name).textContent = text; },
      trace: (name, points) => part(name).setAttribute("d", line(points)),
      word: (name, text) => { // the value of a slider in words, to see and to hear
        part(name).setAttribute("aria-valuetext", text);
        part(name).parentElement.querySelector("b").textContent = text;
      },
      say: (text) => { if (output.textContent !== text) output.textContent = text; },
    });
    let timer = 0;
    const pause = () => {
      clearInterval(timer);
      timer = 0;
      output.setAttribute("aria-live", "polite");
      play.textContent = reduced.matches ? "Next" : "Play";
    };
    const move = (to) => { at.value = to; draw(); };
    play.addEventListener("click", () => {
      if (timer) return pause();
      const here = Number(at.value), from = here >= Number(at.max) ? Number(at.min) : here;
      if (reduced.matches) return move(here === from ? here + jump : from);
      output.setAttribute("aria-live", "off"); // a film is not to be read aloud picture by picture
      play.textContent = "Pause";
      move(from);
      timer = setInterval(() => {
        if (!root.isConnected) return pause();
        move(Number(at.value) + stride);
        if (Number(at.value) >= Number(at.max)) pause();
      }, milliseconds);
    });
    for (const input of inputs) input.addEventListener("input", () => { if (input === at) pause(); draw(); });
    reduced.addEventListener("change", pause);
    draw();
    pause();
    root.querySelector(".gst-controls").style.display = "";
  }
};

