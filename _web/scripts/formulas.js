/* A formula that is wider than the window scrolls sideways. It takes part in the order of Tab, so that keys can scroll it. */
(function () {
  var watch = new ResizeObserver(function (changes) {
    changes.forEach(function (change) {
      var formula = change.target, wide = formula.scrollWidth > formula.clientWidth;
      if (wide) formula.setAttribute("tabindex", "0");
      else formula.removeAttribute("tabindex");
    });
  });
  document.querySelectorAll("div.math").forEach(function (formula) { watch.observe(formula); });
})();
