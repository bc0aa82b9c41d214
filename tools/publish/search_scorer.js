// How the search weighs what it finds: texts before names of the package, which Sphinx would put first.
var Scorer = {
  objNameMatch: 4, // a name that is the query
  objPartialMatch: 1,
  objPrio: { 0: 1, 1: 0, 2: -1 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 9,
  term: 5,
  partialTerm: 2,
};

// An excerpt is prose: Sphinx would quote folded code, its "Show code cell source", buttons, and the labels of controls as well.
if (typeof Search !== "undefined") {
  const textOf = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const noProse = ".bd-header-article, .prev-next-footer, details.hide, summary, .highlight, .gst-card, .cell_output";
    page.querySelectorAll(noProse).forEach((each) => each.remove());
    return textOf(page.documentElement.outerHTML, anchor);
  };
}
