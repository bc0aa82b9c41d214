(() => {
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");
  const SECONDS_PER_STATE = 1.2;
  for (const root of document.querySelectorAll(".gst-slider:not([data-bound])")) {
    root.dataset.bound = "";
    const find = (selector) => root.querySelector(selector);
    const data = JSON.parse(find("script[type='application/json']").textContent);
    const image = find("img"), range = find("input[type=range]"), button = find("button");
    const text = find("output"), radios = [...root.querySelectorAll("input[type=radio]")];
    const last = data.labels.length - 1;
    let timer = 0;
    window.gstFigures = (window.gstFigures || 0) + 1;
    for (const radio of radios) radio.name = `${root.id}-choice-${window.gstFigures}`;

    const draw = () => {
      const row = Math.max(0, radios.findIndex((radio) => radio.checked)), i = Number(range.value);
      image.src = data.frames[row][i];
      image.alt = data.alts[row][i];
      range.setAttribute("aria-valuetext", data.labels[i]);
      find(".gst-ends b").textContent = data.labels[i];
      text.querySelector("b").textContent = data.states[row][i] + ":";
      text.querySelector("span").textContent = data.texts[row][i];
    };
    const name = (verb) => { button.dataset.verb = button.textContent = verb; };
    const pause = () => {
      clearInterval(timer);
      timer = 0;
      text.setAttribute("aria-live", "polite");
      name(reduced.matches ? "Next" : "Play");
    };
    const move = (i) => { range.value = i; draw(); };
    const tick = () => {
      if (!root.isConnected) return pause();
      move(Number(range.value) + 1);
      if (Number(range.value) >= last) pause();
    };
    button.addEventListener("click", () => {
      const next = Number(range.value) >= last ? 0 : Number(range.value) + 1;
      if (timer) return pause();
      if (reduced.matches) return move(next);
      text.setAttribute("aria-live", "off"); // a film is not to be read aloud frame by frame
      name("Pause");
      move(next);
      if (next < last) timer = setInterval(tick, 1000 * SECONDS_PER_STATE);
      else pause();
    });
    range.addEventListener("input", () => { pause(); draw(); });
    for (const radio of radios) radio.addEventListener("change", () => { pause(); draw(); });
    reduced.addEventListener("change", pause);
    find(".gst-controls").style.display = "";
    pause();
  }
})();
