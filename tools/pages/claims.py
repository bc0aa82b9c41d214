"""Write the page of the claims ledger, which `gst_tutorial.studies.claims` computes from the recorded results.

python -m tools.pages.claims            # write book/claims.md
python -m tools.pages.claims --check    # exit 1 if the page is not what the recorded results give
"""

from __future__ import annotations

import sys
from pathlib import Path

from gst_tutorial.studies.claims import AGREES, BOUNDS, CLAIMS, RULES, Result, evaluate, verdict_of

PAGE = Path(__file__).resolve().parents[2] / "book" / "claims.md"


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
            "This page is computed from the recorded results by `gst_tutorial/studies/claims.py`. Each test has one number per seed; its",
            "interval is Student's t, its p-value that of a t test, corrected within the claim (Holm). *Controls* hold fixed what the",
            "paper's protocol lets vary: the ends of pruning, the dose, what a hit does besides the drop. A test whose p-value is above",
            f"0.05 is *open*, unless it shows that there is no effect beyond a bound: {bound}.",
            "Correlations are Kendall's, over the runs of one seed. All of it is at the scale of this book: small networks, small data.",
            "",
            *(f"- **{word}**: {rule}." for word, rule in RULES.items()),
            "",
            "| id | claim | verdict | agree |",
            "|---|---|---|---:|",
            *rows,
            "",
            "\n\n".join(sections),
            "",
        ]
    )


def _row(r: Result) -> str:
    scale, digits, unit = (100, 1, " points") if r.test.unit == "points" else (1, 2, "")
    e = r.estimate
    interval = f"{scale * e.low:+.{digits}f} to {scale * e.high:+.{digits}f}"
    what = f"control: {r.test.what}" if r.test.control else r.test.what
    p = "< 0.001" if r.p < 0.001 else f"{r.p:.3f}"
    estimate = f"{scale * e.value:+.{digits}f}{unit}"
    return f"| {what} | `{r.test.study}` | {estimate} | {interval} | {e.n_seeds} | {p} | {r.test.predicted} | {r.outcome} |"


if __name__ == "__main__":
    page = ledger()
    if "--check" in sys.argv[1:]:
        sys.exit(not (PAGE.exists() and PAGE.read_text(encoding="utf-8") == page))
    PAGE.write_text(page, encoding="utf-8")
    print(PAGE)
