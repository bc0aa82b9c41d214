/* Hides each result that answers a guess of the page until the guess is made, or the reader asks to see it. The result is the
   output of the cells between the guess and the next heading, "What happens" not counted. Without scripts, and on paper,
   nothing is hidden: custom.css hides on screens alone. A link to a figure opens it. */
(function () {
  var kept = {}, veils = [];
  try { kept = JSON.parse(localStorage.getItem("gst-guesses")) || {}; } catch (error) { /* storage is switched off */ }

  function outputsAfter(figure) {
    var found = [], all = Array.from(document.querySelectorAll("section > :is(h1, h2, h3, h4), .cell > .cell_output, .gst-predict"));
    for (var each of all.slice(all.indexOf(figure) + 1)) {
      if (each.matches(".cell_output")) found.push(each);
      else if (!/What happens/.test(each.textContent)) break;
    }
    // The next guess is in an output of its own.
    return found.filter(function (output) { return !output.querySelector(".gst-predict"); });
  }

  function veil(figure) {
    var outputs = outputsAfter(figure), notes;
    function open() {
      notes.forEach(function (note) { note.remove(); });
      outputs.forEach(function (output) { output.classList.remove("gst-veiled"); });
    }
    notes = outputs.map(function (output) {
      var note = document.createElement("p"), button = document.createElement("button");
      note.className = "gst-covered";
      button.type = "button";
      button.textContent = "Show it now";
      button.addEventListener("click", function () {
        open();
        output.tabIndex = -1; // where the focus goes, now that its button is gone
        output.focus({ preventScroll: true });
      });
      note.append("This result is hidden until you have made your guess. ", button);
      output.classList.add("gst-veiled");
      output.before(note);
      return note;
    });
    new MutationObserver(open).observe(figure, { attributeFilter: ["data-state"] });
    if (outputs.length) veils.push({ outputs: outputs, open: open });
  }

  function openTarget() {
    var target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    veils.forEach(function (each) {
      if (!target || !each.outputs.some(function (output) { return output.contains(target); })) return;
      each.open();
      target.scrollIntoView();
    });
  }

  document.querySelectorAll(".gst-predict[id]").forEach(function (figure) { if (!kept[figure.id]) veil(figure); });
  addEventListener("hashchange", openTarget);
  openTarget();
})();
