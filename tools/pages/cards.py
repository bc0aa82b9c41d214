"""Write a card for each score and each intervention, from the tables and docstrings of the package.

python -m tools.pages.cards            # write book/cards.md
python -m tools.pages.cards --check    # exit 1 if the page differs from what the package says
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

from gst_tutorial.interventions import INTERVENTIONS
from gst_tutorial.scores import PAPER_SCORES, SCORES

PAGE = Path(__file__).resolve().parents[2] / "book" / "cards.md"
FIELDS = ("When", "Values", "Source")
HEAD = """# Scores and interventions

*One card for each score and each intervention in the package: what it does, when to use it, which values we tried, and where it
comes from.*

A **score** assigns a number to every filter, so that you can prune one end of the ranking. You choose it with
`gst.filter_scores(model, layer, score=NAME)` or `RunConfig(score=NAME)`. An **intervention** is what happens to the selected
filters at an event: `RunConfig(intervention=NAME, size=...)`. Instead of a name
you can pass your own function, either directly or as `"package.module:function"`. [Chapter 10](10_your_own_network) shows how to
write a score.
"""


def card(name: str, function: Callable, further: str = "") -> str:
    """Return one card in Markdown, from the function's docstring and its fields When, Values and Source."""
    what, *rest = re.split(rf"^({'|'.join(FIELDS)}): ", inspect.getdoc(function) or "", flags=re.MULTILINE)
    fields = dict(zip(rest[::2], rest[1::2]))
    missing = [field for field in FIELDS if not fields.get(field, "").strip()]
    if missing:
        raise ValueError(f"{function.__qualname__}: its docstring lacks {', '.join(missing)}.")
    lines = "\n".join(f"- **{field}**: {' '.join(fields[field].split())}" for field in FIELDS)
    return f"### `{name}`\n\n{' '.join(what.split())}{further}\n\n{lines}\n"


def page() -> str:
    """Return the whole page in Markdown."""
    parts = [HEAD, "## Scores\n", *(card(name, score) for name, score in (SCORES | PAPER_SCORES).items())]
    parts.append("## Interventions\n")
    for name, entry in INTERVENTIONS.items():
        size = entry.usual_size
        parts.append(card(name, entry.apply, "" if size is None else f" Usual size: {size:g}."))
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(not (PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()))
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
