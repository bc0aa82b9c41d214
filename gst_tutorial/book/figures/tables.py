"""Tables that stay out of the way: the numbers behind a figure, behind a line that opens them."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from IPython.display import HTML


def folded(table: pd.DataFrame, summary: str) -> HTML:
    """A table in a fold, as the value of a notebook's cell; such as `folded(statistics.verdicts(estimates, 100), "The numbers")`.

    Args:
        summary: the line that is always there and opens the table.

    Raises:
        TypeError: not a table, or not a text. ValueError: an empty summary.
    """
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table must be a DataFrame, not {type(table).__name__}.")
    if not isinstance(summary, str):
        raise TypeError(f"summary={summary!r} must be a string, not {type(summary).__name__}.")
    if not summary.strip():
        raise ValueError(f"summary={summary!r} must not be empty.")
    from IPython.display import HTML

    return HTML(f"<details><summary>{html.escape(summary)}</summary>\n{table.to_html(border=0)}\n</details>")
