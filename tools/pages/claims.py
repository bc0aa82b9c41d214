"""Write the page of the claims ledger, which `gst_tutorial.book.studies.claims` computes from the recorded results.

python -m tools.pages.claims            # write book/claims.md and its plot, book/figures/ledger.html
python -m tools.pages.claims --check    # exit 1 if they are not what the recorded results give
"""

from __future__ import annotations

import html
import math
import sys
from pathlib import Path

from gst_tutorial.book.studies.claims import AGREES, BOUNDS, CLAIMS, NO_EFFECT, RULES, Result, evaluate, verdict_of

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGE, PLOT = BOOK / "claims.md", BOOK / "figures" / "ledger.html"


def ledger() -> str:
    """The page as Markdown."""
    rows, sections = [], []
    for key, (claim, chapter, tests) in CLAIMS.items():
        results = evaluate(tests)
        word, where = verdict_of(results), f"{{doc}}`{chapter}`"
        count = f"{sum(r.outcome == AGREES for r in results)} of {len(results)}"
        rows.append(f"| {key} | {claim} | **{word}** | {count} |")
        table = [
            "| what | study | estimate | 95% interval | seeds | p | predicted | outcome |",
            "|---|---|---:|---|---:|---:|---|---|",
        ]
        sections.append(
            f"## {key}: {word}\n\n{claim} Tested in {where}; {count} tests agree.\n\n"
            + "\n".join(table + [_row(r) for r in results])
        )
    bound = f"{100 * BOUNDS['points']:.0f} point of accuracy (about the span of the paper's figure 3) or {BOUNDS['correlation']} in a correlation"
    return "\n".join(
        [
            "# What the paper claims, and what we found",
            "",
            "*Each claim of the paper, the numbers in this book that speak to it, and a verdict that follows from them by rule.*",
            "",
            "This page is computed from the recorded results by `gst_tutorial/book/studies/claims.py`. Each test has one number per seed; its",
            "interval is Student's t, its p-value that of a t test, corrected within the claim (Holm). *Controls* hold fixed what the",
            "paper's protocol lets vary: the ends of pruning, the dose, what a hit does besides the drop. A test whose p-value is above",
            f"0.05 is *open*, unless it shows that there is no effect beyond a bound: {bound}.",
            "The printed intervals are not corrected; the outcomes are. Where a claim says *no gain of a point*, it agrees if a gain of a",
            "point can be excluded; if not, a gain above zero is the opposite. Correlations are Kendall's, over the runs of one seed.",
            "All of it is at the scale of this book: small networks, small data; but for C4 no other regularizer. Rows that do not name",
            "photographs are about short signals and a head that reads every position; with one that reads means, most gains on",
            "signals are gone ([section 8.4](08_real_images.ipynb)).",
            "",
            *(f"- **{word}**: {rule}." for word, rule in RULES.items()),
            "",
            "| id | claim | verdict | agree |",
            "|---|---|---|---:|",
            *rows,
            "",
            "## All tests in one plot",
            "",
            "```{raw} html",
            ":file: figures/ledger.html",
            "```",
            "",
            "## What becomes of the explanations",
            "",
            "The claims are the paper's. The book goes on to ask *why*; this is the same map as on the first page.",
            "",
            "```{raw} html",
            ":file: figures/story.html",
            "```",
            "",
            "\n\n".join(sections),
            "",
        ]
    )


SHORT = {NO_EFFECT: "no effect"}  # beside the band that shows the bound


def plot() -> str:
    """Every test of the ledger as a row of one forest plot, in HTML: its letters are the page's, on every screen. The
    roles are named, since narrow screens lay the rows out anew.

    The two units share an axis: what still counts as no effect, a point of accuracy or a tenth in a correlation, is 1.
    """
    found = {key: evaluate(tests) for key, (_, _, tests) in CLAIMS.items()}
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
        what = f"control: {r.test.what}" if r.test.control else r.test.what
        words = html.escape(f"{_estimate(r)}, 95% interval {_interval(r)}")
        return (
            f'<tr role="row"><th role="rowheader" scope="row">{html.escape(what)}</th><td role="cell" class="gst-drawn"><span class="gst-strip" role="img" aria-label="{words}" '
            f'title="{words}" data-outcome="{r.outcome}"><i class="gst-none" style="{span(-1, 1)}"></i>'
            f'<i class="gst-origin" style="left:{at(0)}"></i><i class="gst-interval" style="{span(left, right)}"></i>'
            f'<i class="gst-value" style="left:{at(value)}"></i></span></td><td role="cell" class="gst-word">{SHORT.get(r.outcome, r.outcome)}</td></tr>\n'
        )

    blocks = "".join(
        f'<tbody role="rowgroup"><tr role="row" class="gst-claim"><th role="rowheader" colspan="3" scope="rowgroup"><b>{key}: {verdict_of(results)}.</b> '
        f"{html.escape(CLAIMS[key][0])}</th></tr>\n{''.join(map(row, results))}</tbody>\n"
        for key, results in found.items()
    )
    point, tenth = f"{100 * BOUNDS['points']:g} point of accuracy", f"{BOUNDS['correlation']:g} of a correlation"
    return f"""\
<div class="gst-ledger tex2jax_ignore mathjax_ignore">
<p class="gst-note">A row per test: estimate and 95% interval. One axis from {low} to {high}, where 1 is {point} or {tenth}; within the \
grey band an effect counts as none. Filled and round: as the claim predicts. A cross: the opposite. A hollow square: neither.</p>
<table role="table">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">test</th><th role="columnheader" scope="col" class="gst-drawn"><span class="gst-axis"><span>{low}</span><span>{high:+d}</span></span></th>\
<th role="columnheader" scope="col" class="gst-word">outcome</th></tr></thead>
{blocks}</table>
</div>
"""


def _row(r: Result) -> str:
    what = f"control: {r.test.what}" if r.test.control else r.test.what
    p = "< 0.001" if r.p < 0.001 else f"{r.p:.3f}"
    return f"| {what} | `{r.test.study}` | {_estimate(r)} | {_interval(r)} | {r.estimate.n_seeds} | {p} | {r.test.predicted} | {r.outcome} |"


def _scale(r: Result) -> tuple[float, int, str]:
    return (100, 1, " points") if r.test.unit == "points" else (1, 2, "")


def _estimate(r: Result) -> str:
    scale, digits, unit = _scale(r)
    return f"{scale * r.estimate.value:+.{digits}f}{unit}"


def _interval(r: Result) -> str:
    scale, digits, _ = _scale(r)
    return f"{scale * r.estimate.low:+.{digits}f} to {scale * r.estimate.high:+.{digits}f}"


if __name__ == "__main__":
    written = {PAGE: ledger(), PLOT: plot()}
    if "--check" in sys.argv[1:]:
        sys.exit(not all(path.exists() and path.read_text(encoding="utf-8") == text for path, text in written.items()))
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
        print(path)
