/* The one script of a page with a live figure. Browsers import no modules from the file system, so there it says what to do. */
(function () {
  var here = document.currentScript.src;
  if (location.protocol !== "file:") {
    import(new URL("page.js", here).href);
    return;
  }
  document.querySelectorAll("[data-gst-live]").forEach(function (root) {
    var words = document.createElement("p");
    words.textContent = "Opened from a file, a page may not train: run \"python -m http.server\" in the unzipped folder and open http://localhost:8000/ instead.";
    root.append(words);
  });
})();
