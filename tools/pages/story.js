(() => {
  // A row opens once the reader has made a guess in each of its chapters. prediction.js keeps this browser's guesses in
  // "gst-guesses". Without this script, and on paper, every row is open.
  const map = document.currentScript.previousElementSibling;
  const rows = [...map.querySelectorAll("details")], note = map.querySelector(".gst-closed"), button = note.querySelector("button");
  const number = (page) => page.slice(0, 2);
  const guessed = () => {
    try {
      return new Set(Object.values(JSON.parse(localStorage.getItem("gst-guesses") || "{}")).map((guess) => number(guess.page)));
    } catch {
      return new Set(); // the browser keeps nothing, or something else
    }
  };
  const show = () => {
    const done = guessed();
    for (const row of rows) {
      const missing = [...row.querySelectorAll("a")].filter((link) => !done.has(number(link.getAttribute("href"))));
      const waiting = row.nextElementSibling;
      waiting.replaceChildren("Opens with your guess in ");
      missing.forEach((link, i) => waiting.append(i ? ", " : "", link.cloneNode(true)));
      set(row, row.open || !missing.length);
    }
    note.hidden = rows.every((row) => row.open);
  };
  const name = (row) => { // that of a closed row would give the answer of its chapter away
    const [its, another] = row.querySelectorAll("summary > *");
    its.hidden = !row.open;
    another.hidden = row.open;
    row.nextElementSibling.hidden = row.open;
  };
  const set = (row, open) => {
    row.open = open;
    name(row); // the event comes too late for the printer
  };
  for (const row of rows) {
    set(row, false);
    row.addEventListener("toggle", () => name(row));
  }
  button.addEventListener("click", () => {
    for (const row of rows) set(row, true);
    rows[0].querySelector("summary").focus(); // because the button disappears
    note.hidden = true;
  });
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = rows.filter((row) => !row.open);
    for (const row of closed) set(row, true);
  });
  addEventListener("afterprint", () => { for (const row of closed) set(row, false); });
  addEventListener("pageshow", show); // the reader may come back from a chapter
  addEventListener("storage", show);
  show();
})();
