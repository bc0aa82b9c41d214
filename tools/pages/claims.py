"""Write the page of the claims ledger, which `gst_tutorial.book.studies.claims` computes from the recorded results.

python -m tools.pages.claims            # write book/claims.md and its plot, book/figures/ledger.html
python -m tools.pages.claims --check    # exit 1 if they are not what the recorded results give
"""

from __future__ import annotations

import html
import math
import sys
from pathlib import Path

from gst_tutorial.book.recorded import recorded_names
from gst_tutorial.book.studies import history
from gst_tutorial.book.studies.claims import (
    AGREES,
    BOUNDS,
    CLAIMS,
    CONTEXT,
    CONTROL,
    ENOUGH_SEEDS,
    NEGLIGIBLE,
    NO_EFFECT,
    ONE_FAMILY,
    OPPOSITE,
    OTHER_ANALYSES,
    RULES,
    TOO_FEW,
    Result,
    evaluate,
    fragility,
    recorded,
    verdict_of,
)
from gst_tutorial.statistics import mean_estimate, paired_differences

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGE, PLOT = BOOK / "claims.md", BOOK / "figures" / "ledger.html"
HALF = OTHER_ANALYSES["half the bound"]


# ---- the page ----


def ledger() -> str:
    """The page as Markdown."""
    overview, sections = [], []
    for key, claim in CLAIMS.items():
        results = evaluate(claim.tests)
        word, others = verdict_of(results), fragility(key)
        short = f"**{word}**" + (" (fragile)" if others else "")
        overview.append(f"| [{key}](claim-{key.lower()}) | {claim.text} | {claim.answers[word]} | {short} |")
        sections.append(_section(key, results, word, others))
    return "\n\n".join(
        [
            "# What the paper claims, and what we found",
            "*Each claim of the paper, every number in this book that bears on it, and a verdict computed from those numbers by fixed rules.*",
            "| id | what the paper claims | what we found | verdict |\n|---|---|---|---|\n" + "\n".join(overview),
            _how_to_read(),
            "## All tests in one plot\n\n```{raw} html\n:file: figures/ledger.html\n```",
            "## What became of the explanations\n\nThe claims above are the paper's. This book also asks *why* pruning helps, and the "
            "map on the first page, repeated here, shows which explanations survived.\n\n```{raw} html\n:file: figures/story.html\n```",
            *sections,
            _history(),
        ]
    ) + "\n"  # fmt: skip


def _how_to_read() -> str:
    example = next(r for r in evaluate(CLAIMS["C1"].tests) if r.outcome == AGREES)
    bound = f"{100 * BOUNDS['points']:.0f} percentage point of accuracy"
    analyses = ", ".join([*OTHER_ANALYSES, ONE_FAMILY])
    rules = "\n".join(f"- **{word}**: {rule}." for word, rule in RULES.items())
    return f"""\
## How to read it

Each row below is one comparison. For example, the first row of C1 says: *{example.test.what}; {_estimate(example)}*. For every seed
we trained one network of each kind from the same initial weights and took the difference in test accuracy; the row shows the
mean over {example.estimate.n_seeds} seeds and its 95% confidence interval (Student's t). "Points" are percentage points of test accuracy.
Where a row is about a correlation, we computed Kendall's tau over the runs of each seed.

There are three kinds of rows, and the first words of a row tell you its kind. Most rows test the claim the way the paper does. A row
marked *control* holds something fixed that varies in the paper's protocol, such as the epoch of the last pruning event. Rows marked *not
counted* give context: baselines outside the claim, and studies with fewer than {ENOUGH_SEEDS} seeds.

Each row ends with an outcome. It compares the result with what the claim predicts, and it needs two p-values. The first asks whether
there is an effect at all, the second whether the effect is smaller than a bound: {bound} (about the span of
the paper's figure 3), or {BOUNDS["correlation"]} in a correlation. Both are corrected for the number of tests within the claim (Holm); the printed intervals are not.

- **{AGREES}**, **{OPPOSITE}**: there is an effect, in the predicted direction or against it.
- **{NEGLIGIBLE}**: there is an effect, but too small to matter.
- **{NO_EFFECT}**: there may be no effect at all, and we can exclude one as large as the bound.
- **open**: neither. An open test is evidence neither for the claim nor against it.

Where a claim predicts *no gain of a point*, a row agrees if we can exclude such a gain, and shows the opposite only if the gain is
significantly larger than a point. In brackets we add what the outcome would be with half the bound ({100 * BOUNDS["points"] / 2:g} points), if it differs.

The verdict is the first of these that applies:

{rules}

A verdict is **fragile** if another reasonable analysis would change it. We try six: {analyses}.

Everything here is at the scale of this book: small networks and little data. Except in C4, nothing else regularizes the networks, and
unless a row says "photographs", the data are short signals, and the network's head reads every position. With a head that averages
over positions, most of the gains on signals disappear ([section 7.7](07_standard_pipelines.ipynb))."""


def _section(key: str, results: list[Result], word: str, others: dict[str, str]) -> str:
    claim = CLAIMS[key]
    at_half = evaluate(claim.tests, HALF)
    count = counted(results)
    agree = sum(r.outcome == AGREES for r in count)
    survives = "The verdict survives all six other analyses."
    if others:
        survives = (
            "The verdict is fragile: "
            + "; ".join(f"with {name} it is *{other}*" for name, other in others.items())
            + "."
        )
    untested = f" Untested: {', '.join(claim.untested)}; no recorded study trains them." if claim.untested else ""
    header = "| comparison | study | estimate | seeds | predicted | p: effect, within bound | outcome |\n|---|---|---|---:|---|---|---|"
    rows = [_row(r, half) for r, half in zip(results, at_half, strict=True)]
    parts = [
        f"(claim-{key.lower()})=\n## {key}: {word}",
        f"**Claim.** {claim.text} Tested in {{doc}}`{claim.chapter}`.",
        f"**What we found.** {claim.answers[word]}",
        f"{agree} of the {len(count)} tests that count agree.{untested} {survives}",
        "\n".join([header, *rows]),
        claim.note,
    ]
    return "\n\n".join(part for part in parts if part)


def _history() -> str:
    """The caveats that no interval shows: how the studies came about."""
    names = recorded_names()
    first, _ = history.RECORDINGS["photographs"]
    gains = paired_differences(recorded("photographs"), "random, 80%", "none")
    early, late = (mean_estimate(part, "gain") for part in (gains[gains.index < first], gains[gains.index >= first]))
    grown = ", ".join(f"`{name}` ({' → '.join(map(str, counts))})" for name, counts in history.RECORDINGS.items())
    pilots = "\n".join(f"  - `{name}`: {said}." for name, said in history.PILOTS.items())
    superseded = "\n".join(f"  - `{old}`, by `{new}`" for old, new in history.SUPERSEDED.items())
    looks = sum(len(counts) - 1 for counts in history.RECORDINGS.values())
    rows = sum(len(claim.tests) for claim in CLAIMS.values())
    return f"""\
## What the intervals do not show

An interval assumes that its numbers were collected once, independently, by people who had not seen them. Where that isn't the case, you should know.

- **How often we looked.** {len(names)} studies are recorded. On {looks} occasions, a study was recorded again with more seeds after its
  results had been seen, and this page asks {rows} questions of them all. We correct for the number of tests within each claim (and, in one of
  the six other analyses, over all claims). Nothing corrects for the chapters, the figures, or the studies that appear in no row.
- **Seeds added after the results were seen** (number of seeds at each recording): {grown}. It can matter: on photographs, 80% pruned at random gained
  {100 * early.value:+.2f} percentage points over the first {early.n_seeds} seeds and {100 * late.value:+.2f} over the {late.n_seeds} that were added later.
- **Predictions after a pilot.** The predictions of each explanation were written down before the study ran, but not always before
  anything was known:
{pilots}
- **One split of the data.** In these studies every seed trains and tests on the same examples, so that their intervals say nothing about
  other data of the same kind: {_listed(history.on_one_split())}.
- **Shared runs.** {history.shared_runs()} runs belong to more than one study, most of them baselines. Two studies that share a
  baseline are not independent.
- **Tuning.** {_listed(history.tuning_studies())} chose hyper-parameters on seeds that are not reported, but by accuracy on test examples, not on
  a validation set. If a study also appears under "One split", it even chose on the very examples that we report.
- **Superseded studies.** A recorded study is never deleted. When a later study asks the same question better, the earlier one stays on record:
{superseded}"""


def counted(results: list[Result]) -> list[Result]:
    """The results that the verdict depends on."""
    return [r for r in results if r.test.role != CONTEXT and r.outcome != TOO_FEW]


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(r: Result, half: Result) -> str:
    p = "–" if r.outcome == TOO_FEW else f"{_p(r.effect)}, {_p(r.within)}"
    word = r.outcome if half.outcome == r.outcome else f"{r.outcome} [half the bound: {half.outcome}]"
    return (
        f"| {_what(r)} | `{r.test.study}` | {_estimate(r)} | {r.estimate.n_seeds} | {r.test.predicted} | {p} | {word} |"
    )


def _what(r: Result) -> str:
    prefix = {CONTROL: "*control:* ", CONTEXT: "*not counted:* "}.get(r.test.role, "")
    return prefix + r.test.what


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _estimate(r: Result) -> str:
    scale, digits, unit = (100, 1, " points") if r.test.unit == "points" else (1, 2, "")
    value, low, high = (f"{scale * x:+.{digits}f}" for x in (r.estimate.value, r.estimate.low, r.estimate.high))
    return f"{value}{unit}, {low} to {high}"


# ---- the plot ----


SHORT = {NO_EFFECT: "no effect", NEGLIGIBLE: "too small"}  # next to the band that shows the bound


def plot() -> str:
    """Every counted test of the ledger as a row of one forest plot, as HTML, so that text keeps the page's font and size.

    Rows have ARIA roles because narrow screens lay them out anew. Both units share an axis, on which the bound (a point of
    accuracy, 0.1 in a correlation) is 1.
    """
    found = {key: counted(evaluate(claim.tests)) for key, claim in CLAIMS.items()}
    ends = [
        end / BOUNDS[r.test.unit]
        for results in found.values()
        for r in results
        for end in (r.estimate.low, r.estimate.high)
    ]
    low, high = math.floor(min(ends)), math.ceil(max(ends))

    def at(value: float) -> str:
        return f"{100 * (value - low) / (high - low):.2f}%"

    def span(a: float, b: float) -> str:
        return f"left:{at(a)};width:{100 * (b - a) / (high - low):.2f}%"

    def row(r: Result) -> str:
        value, left, right = (
            number / BOUNDS[r.test.unit] for number in (r.estimate.value, r.estimate.low, r.estimate.high)
        )
        what = f"control: {r.test.what}" if r.test.role == CONTROL else r.test.what
        words = html.escape(_estimate(r))
        return (
            f'<tr role="row"><th role="rowheader" scope="row">{html.escape(what)}</th><td role="cell" class="gst-drawn"><span class="gst-strip" role="img" aria-label="{words}" '
            f'title="{words}" data-outcome="{r.outcome}"><i class="gst-none" style="{span(-1, 1)}"></i>'
            f'<i class="gst-origin" style="left:{at(0)}"></i><i class="gst-interval" style="{span(left, right)}"></i>'
            f'<i class="gst-value" style="left:{at(value)}"></i></span></td><td role="cell" class="gst-word">{SHORT.get(r.outcome, r.outcome)}</td></tr>\n'
        )

    blocks = "".join(
        f'<tbody role="rowgroup"><tr role="row" class="gst-claim"><th role="rowheader" colspan="3" scope="rowgroup"><b>{key}: {verdict_of(results)}.</b> '
        f"{html.escape(CLAIMS[key].text)}</th></tr>\n{''.join(map(row, results))}</tbody>\n"
        for key, results in found.items()
    )
    point, tenth = f"{100 * BOUNDS['points']:g} point of accuracy", f"{BOUNDS['correlation']:g} of a correlation"
    return f"""\
<div class="gst-ledger tex2jax_ignore mathjax_ignore">
<p class="gst-note">Each row is one counted test, with its estimate and 95% interval. The axis runs from {low} to {high}, where 1 is {point} or {tenth}; \
inside the grey band an effect is too small to matter. A filled circle agrees with the claim, a cross shows the opposite, and a hollow square does neither.</p>
<table role="table">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">test</th><th role="columnheader" scope="col" class="gst-drawn"><span class="gst-axis"><span>{low}</span><span>{high:+d}</span></span></th>\
<th role="columnheader" scope="col" class="gst-word">outcome</th></tr></thead>
{blocks}</table>
</div>
"""


if __name__ == "__main__":
    written = {PAGE: ledger(), PLOT: plot()}
    if "--check" in sys.argv[1:]:
        sys.exit(not all(path.exists() and path.read_text(encoding="utf-8") == text for path, text in written.items()))
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
        print(path)
