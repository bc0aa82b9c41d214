"""Write the page of the claims ledger, which `gst_tutorial.studies.claims` computes from the recorded results.

python -m tools.pages.claims            # write book/claims.md
python -m tools.pages.claims --check    # exit 1 if the page is not what the recorded results give
"""

from __future__ import annotations

import sys
from pathlib import Path

from gst_tutorial.studies.claims import CLAIMS, ENOUGH_SEEDS, evaluate, outcome_of

PAGE = Path(__file__).resolve().parents[2] / "book" / "claims.md"


def ledger() -> str:
    """The page as Markdown."""
    rows, sections = [], []
    for key, (claim, chapter, tests) in CLAIMS.items():
        results = evaluate(tests)
        outcome = outcome_of(results)
        where = f"{{doc}}`{chapter}`" if results else "no chapter yet"
        rows.append(f"| {key} | {claim} | {where} | **{outcome}** |")
        if not results:
            continue
        table = [
            "| what | study | estimate | 95% interval | seeds | predicted | agrees |",
            "|---|---|---:|---|---:|---|---|",
        ]
        for what, study, e, predicted, agrees in results:
            correlates = "correlation" in e.name
            scale, digits, unit = (1, 2, "") if correlates else (100, 1, " points")
            interval = f"{scale * e.low:+.{digits}f} to {scale * e.high:+.{digits}f}"
            table.append(
                f"| {what} | `{study}` | {scale * e.value:+.{digits}f}{unit} | {interval} | {e.n_seeds} | {predicted} | {'yes' if agrees else 'no'} |"
            )
        sections.append(f"## {key}: {outcome}\n\n{claim} Tested in {where}.\n\n" + "\n".join(table))
    return "\n".join(
        [
            "# What the paper claims, and what we found",
            "",
            "*Each claim of the paper, the numbers in this book that speak to it, and a verdict that follows from them by rule.*",
            "",
            "This page is computed from the recorded results by `gst_tutorial/studies/claims.py`. A test agrees with a claim when its whole 95%",
            "interval lies where the claim predicts. A claim is *reproduced* if all its tests agree, *partly* if some do. The tests",
            "include controls that the paper did not run, so *partly* often means: in the paper's protocol yes, in the control no.",
            f"A verdict that would be another one without the tests of fewer than {ENOUGH_SEEDS} seeds says so and is provisional.",
            "All of it is at the scale of this book: small networks, small data.",
            "",
            "| id | claim | where | verdict |",
            "|---|---|---|---|",
            *rows,
            "",
            "\n\n".join(sections),
            "",
        ]
    )


if __name__ == "__main__":
    page = ledger()
    if "--check" in sys.argv[1:]:
        sys.exit(not (PAGE.exists() and PAGE.read_text(encoding="utf-8") == page))
    PAGE.write_text(page, encoding="utf-8")
    print(PAGE)
