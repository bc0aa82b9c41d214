(() => {
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");
  const SECONDS_PER_STATE = 1.2;
  for (const root of document.querySelectorAll(".gst-slider:not([data-bound])")) {
    root.dataset.bound = "";
    const find = (selector) => root.querySelector(selector);
    const data = JSON.parse(find("script[type='application/json']").textContent);
    const image = find("img"), range = find("input[type=range]"), button = find("button");
    const text = find("output"), radios = [...root.querySelectorAll("input[type=radio]")];
    const last = data.labels.length - 1, ends = root.querySelectorAll(".gst-ends span");
    let timer = 0, held = 0; // held: where the film was paused; from there, and from the first state, it goes on
    window.gstFigures = (window.gstFigures || 0) + 1;
    for (const radio of radios) radio.name = `${root.id}-choice-${window.gstFigures}`;

    const draw = () => {
      const row = Math.max(0, radios.findIndex((radio) => radio.checked)), i = Number(range.value);
      image.src = data.frames[row][i];
      image.alt = data.alts[row][i];
      range.setAttribute("aria-valuetext", data.labels[i]);
      find(".gst-at b").textContent = data.labels[i];
      find(".gst-at").style.setProperty("--gst-at", i / last);
      for (const [j, end] of [0, last].entries()) ends[j].style.visibility = i === end ? "hidden" : ""; // said already
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
      const at = Number(range.value), following = at >= last ? 0 : at + 1;
      if (timer) { held = at; return pause(); }
      if (reduced.matches) return move(following);
      const next = at === 0 || at === held ? following : 0; // a film starts at its first state
      text.setAttribute("aria-live", "off"); // a film is not to be read aloud frame by frame
      name("Pause");
      move(next);
      if (next < last) timer = setInterval(tick, 1000 * SECONDS_PER_STATE);
      else pause();
    });
    range.addEventListener("input", () => { held = 0; pause(); draw(); });
    for (const radio of radios) radio.addEventListener("change", () => { pause(); draw(); });
    reduced.addEventListener("change", pause);
    find(".gst-controls").style.display = "";
    pause();
  }
})();
