/* The one script of a page with live figures. It is right after the first of them, which answers before the rest of a long
   page has arrived. Browsers import no modules from the file system, so there it says in a sentence what to do. */
(function () {
  var here = document.currentScript.src, first = document.currentScript.previousElementSibling;
  function start() {
    if (location.protocol !== "file:") {
      import(new URL("page.js", here).href).then(function (page) {
        if (document.readyState !== "loading") return page.mountAll();
        if (first && first.dataset.gstLive === "click") page.mountOne(first);
        document.addEventListener("DOMContentLoaded", page.mountAll);
      });
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
  if (location.protocol === "file:" && document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
