(() => {
  for (const root of document.querySelectorAll(".gst-predict:not([data-bound])")) {
    root.dataset.bound = "";
    const find = (selector) => root.querySelector(selector);
    const data = JSON.parse(find("script[type='application/json']").textContent);
    const button = find("button"), output = find("output"), plot = find(".gst-plot");
    const inputs = [...root.querySelectorAll("input")];
    const choose = data.kind === "choose", curve = data.kind === "curve";
    let told = false, moved = false;
    window.gstFigures = (window.gstFigures || 0) + 1;
    if (choose) for (const input of inputs) input.name = `${root.id}-${window.gstFigures}`;

    const make = (tag, className, text, parent) => {
      const element = document.createElement(tag);
      if (className) element.className = className;
      if (text) element.textContent = text;
      return parent ? parent.appendChild(element) : element;
    };
    const mark = (who, parent) => {
      const element = make("span", `gst-mark gst-${who}`, "", parent);
      element.setAttribute("aria-hidden", "true");
      return element;
    };
    const put = (element, places) => {
      for (const [key, value] of Object.entries(places)) element.style.setProperty(`--${key}`, value);
    };

    // ---- a place or a curve: a marker per slider, joined by a line ----
    const line = (who) => {
      const name = "http://www.w3.org/2000/svg";
      let svg = plot.querySelector("svg");
      if (!svg) {
        svg = plot.appendChild(document.createElementNS(name, "svg"));
        svg.setAttribute("viewBox", "0 0 1 1");
        svg.setAttribute("preserveAspectRatio", "none");
      }
      const made = svg.appendChild(document.createElementNS(name, "polyline"));
      made.setAttribute("class", `gst-${who}`);
      return (heights) => made.setAttribute("points", heights.map((at, i) => `${data.x[i]},${1 - at}`).join(" "));
    };
    const guess = () => inputs.map((input) => Number(input.value));
    const marks = choose ? [] : inputs.map(() => mark("guess", plot));
    const joined = curve ? line("guess") : () => {};
    const draw = () => {
      const at = guess().map((i) => data.at[i]);
      inputs.forEach((input, i) => {
        const text = data.stops[Number(input.value)];
        input.setAttribute("aria-valuetext", text);
        input.closest("label").querySelector("b").textContent = text;
        put(marks[i], { at: at[i], x: data.x[i] });
      });
      joined(at);
    };
    const lay = (who, points) => {
      if (curve) line(who)(points.map((point) => point.at));
      points.forEach((point, i) => {
        if (point.ends && point.ends[0] !== null) {
          put(make("i", "gst-ends-of", "", plot), { low: point.ends[0], high: point.ends[1], x: data.x[i] });
        }
        put(mark(who, plot), { at: point.at, x: data.x[i] });
      });
    };

    // ---- what is told once the guess stands ----
    const list = () => make("ul", "", "", output);
    const item = (to, who, text) => {
      const row = make("li", "", "", to);
      mark(who, row);
      make("span", "", text, row);
    };
    const stop = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);
    const tellChoice = (chosen) => {
      const labels = inputs.map((input) => input.closest("label"));
      const tags = labels.map((label) => make("span", "gst-tags", "", label));
      mark("guess", tags[chosen]);
      mark("measured", tags[data.answer]);
      if (data.usual !== null) mark("usual", tags[data.usual]);
      if (data.bars) data.bars.forEach((bar, i) => {
        make("span", "", bar.short, tags[i]);
        const box = make("span", "gst-bar", "", labels[i]);
        box.setAttribute("aria-hidden", "true");
        const stretch = (className, low, high) => {
          const part = make("i", className, "", box);
          part.style.left = `${100 * low}%`;
          part.style.width = `${Math.max(0.3, 100 * (high - low))}%`;
        };
        stretch(i === data.answer ? "gst-right" : "", Math.min(bar.at, data.zero), Math.max(bar.at, data.zero));
        if (bar.ends[0] !== null) stretch("gst-whisker", ...bar.ends);
        make("i", "gst-origin", "", box).style.left = `${100 * data.zero}%`;
      });
      const rows = list();
      item(rows, "guess", `Your guess: ${data.options[chosen]}. ${chosen === data.answer ? "That is what was measured." : ""}`);
      item(rows, "measured", `Measured: ${data.measured}.`);
      if (data.usual !== null) item(rows, "usual", `A tempting guess: ${data.options[data.usual]}. ${stop(data.model)}`);
    };
    const tellPlace = () => {
      const rows = list(), [i] = guess(), [{ at, ends, text }] = data.truth;
      const inside = ends[0] !== null && data.at[i] >= ends[0] && data.at[i] <= ends[1];
      item(rows, "guess", `Your guess: ${data.stops[i]}${inside || data.at[i] === at ? ", which agrees with what was measured" : ""}.`);
      item(rows, "measured", `Measured: ${text}.`);
      if (data.usual.length) item(rows, "usual", `A tempting guess: ${data.usual[0].text}. ${stop(data.model)}`);
    };
    const tellCurve = () => {
      const rows = list(), chosen = guess();
      item(rows, "guess", "Your curve (dashed)");
      item(rows, "measured", "Measured (solid)");
      if (data.usual.length) item(rows, "usual", `A tempting guess (dotted): ${stop(data.model)}`);
      const table = make("table", "", "", output);
      if (data.caption) make("caption", "", data.caption, table);
      const head = make("tr", "", "", make("thead", "", "", table));
      const columns = [data.x_label, "your guess", "measured", ...(data.usual.length ? ["tempting guess"] : [])];
      for (const column of columns) make("th", "", column, head).scope = "col";
      const body = make("tbody", "", "", table);
      data.names.forEach((name, i) => {
        const row = make("tr", "", "", body);
        make("th", "", name, row).scope = "row";
        make("td", "", data.stops[chosen[i]], row);
        make("td", "", data.truth[i].cell, row);
        if (data.usual.length) make("td", "", data.usual[i].text, row);
      });
    };
    const say = (text) => { output.textContent = text; };
    // The verdict's page lists all guesses. They stay in this browser, and a browser that keeps nothing loses nothing else.
    const remember = (guessed) => {
      const measured = choose ? data.measured : curve ? "see the figure" : data.truth[0].text;
      const question = find(".gst-title").lastChild.textContent.trim();
      try {
        const kept = JSON.parse(localStorage.getItem("gst-guesses") || "{}");
        kept[root.id] = { page: location.pathname.split("/").pop(), question, guessed, measured };
        localStorage.setItem("gst-guesses", JSON.stringify(kept));
      } catch { /* storage is switched off */ }
    };
    button.addEventListener("click", () => {
      if (told) return;
      const chosen = inputs.findIndex((input) => input.checked);
      if (choose && chosen < 0) return say("Choose an answer first.");
      if (!choose && !moved) {
        moved = true;
        return say(`Move the marker${curve ? "s" : ""} first, or press again to leave ${curve ? "them where they are" : "it where it is"}.`);
      }
      told = true;
      root.dataset.state = "told";
      say("");
      for (const input of inputs) input.disabled = true;
      button.setAttribute("aria-disabled", "true"); // not disabled: the focus stays where the reader left it
      button.textContent = "Your guess stands";
      if (choose) tellChoice(chosen);
      else {
        lay("measured", data.truth);
        if (data.usual.length) lay("usual", data.usual);
        for (const each of marks) plot.append(each); // the guess on top
        (curve ? tellCurve : tellPlace)();
      }
      make("p", "", data.explanation, output);
      remember(choose ? data.options[chosen] : curve ? "a curve" : data.stops[guess()[0]]);
    });

    if (!choose) {
      for (const input of inputs) input.addEventListener("input", () => { moved = true; say(""); draw(); });
      draw();
    }
    if (curve) {
      const drawHere = (event) => {
        const box = plot.getBoundingClientRect();
        const x = (event.clientX - box.left) / box.width, at = 1 - (event.clientY - box.top) / box.height;
        const nearest = (places, here) => places.reduce((best, place, i) => (Math.abs(place - here) < Math.abs(places[best] - here) ? i : best), 0);
        inputs[nearest(data.x, x)].value = nearest(data.at, at);
        moved = true;
        say("");
        draw();
      };
      plot.addEventListener("pointerdown", (event) => {
        if (told || event.button) return;
        event.preventDefault();
        plot.setPointerCapture(event.pointerId);
        drawHere(event);
      });
      plot.addEventListener("pointermove", (event) => {
        if (!told && plot.hasPointerCapture(event.pointerId)) drawHere(event);
      });
    }
    find(".gst-plain").style.display = "none";
    find(".gst-controls").style.display = "";
  }
})();
