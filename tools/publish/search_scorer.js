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
