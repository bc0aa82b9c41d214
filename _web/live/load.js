/* The one script of a page with live figures; it may stand there several times. Browsers import no modules from the file
   system, so there it says in a sentence what to do. */
(function () {
  var here = document.currentScript.src;
  function start() {
    if (location.protocol !== "file:") {
      import(new URL("page.js", here).href);
      return;
    }
    document.querySelectorAll("[data-gst-live]:not([data-live])").forEach(function (root) {
      root.dataset.live = "";
      root.dataset.dead = "";
      var words = document.createElement("p");
      words.textContent = "Browsers do not let a page that was opened from a file train. Run \"python -m http.server\" in the unzipped folder and open http://localhost:8000/ instead.";
      root.append(words);
    });
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
