(() => {
  for (const root of document.querySelectorAll(".gst-answer[role]:not([data-bound])")) {
    root.dataset.bound = "";
    const find = (selector) => root.querySelector(selector);
    const inputs = [...root.querySelectorAll("input")], output = find("output");
    const bytes = Uint8Array.from(atob(JSON.parse(find("script[type='application/json']").textContent)), (each) => each.charCodeAt(0));
    const { kind, rows, malformed, otherwise } = JSON.parse(new TextDecoder().decode(bytes));
    window.gstFigures = (window.gstFigures || 0) + 1;
    for (const input of inputs) if (input.type === "radio") input.name += `-${window.gstFigures}`;

    // What the reader typed, as the rows know it; undefined if it cannot be an answer.
    const number = (text) => {
      const plain = text.trim().replace(/\u2212/g, "-").replace(/ *%$/, "");
      const value = Number(/^-?[1-9]\d{0,2}(,\d{3})+$/.test(plain) ? plain.replace(/,/g, "") : plain.replace(",", "."));
      return plain && Number.isFinite(value) ? value : undefined;
    };
    const read = {
      letter: () => inputs.find((input) => input.checked)?.value,
      number: () => number(inputs[0].value),
      counts: () => {
        const given = inputs[0].value.split(/[^\d.-]+/).filter(Boolean).map(Number);
        return given.length === rows[0][0].length ? given : undefined;
      },
    }[kind];
    const fits = {
      letter: (about, given) => about === given,
      number: ([low, high], given) => low <= given && given <= high,
      counts: (about, given) => about.every((wanted, i) => wanted === null || wanted === given[i]),
    }[kind];

    const check = () => {
      const given = read();
      const [, right, sentence] = rows.find(([about]) => given !== undefined && fits(about, given)) ?? [null, false, given === undefined ? malformed : otherwise];
      output.dataset.right = right;
      output.textContent = `${right ? "Right" : "Not yet"}. ${sentence}`;
    };
    find("button").addEventListener("click", check);
    if (kind !== "letter") inputs[0].addEventListener("keydown", (event) => { if (event.key === "Enter") check(); });
    find(".gst-controls").style.display = "";
  }
})();
