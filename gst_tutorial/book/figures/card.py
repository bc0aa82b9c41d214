"""The card that every figure without a kernel is drawn on: its frame and colours, and checks of the texts it shows.

Such a figure is one string of HTML that carries its own style and script. It needs no library and makes no request, so it
works in the built book, in JupyterLab and in Colab. `slider` and `prediction` make such strings; `show` displays one as the
output of a notebook's cell. `folded` puts a table behind a line that opens it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gst_tutorial import _arguments as check

if TYPE_CHECKING:
    import pandas as pd
    from IPython.display import HTML

# About card.css: on the card's background, the colours named ink and soft have a contrast of at least 4.5, the others of at
# least 3. Later rules override earlier ones, so the themes come in this order: the system's preference, the page's own
# setting (the book, JupyterLab, Colab), print. Rules marked !important undo the light panel, the padding and the dimming
# that the book's dark theme gives to every output.
# About the scripts: running a cell again inserts a second figure with the same id, and some notebooks run a script away
# from the figure it came with. A script therefore initializes every figure of its kind that has not been initialized yet,
# and gives each group of radio buttons a name that no other group has.
_HERE = Path(__file__).parent

#: Attributes of every control. Without the first, JupyterLab takes the arrow keys; without the second, a browser that
#: reloads the page restores the controls but not the picture.
KEYS = 'data-lm-suppress-shortcuts="true" autocomplete="off"'
#: Classes of every figure that keep MathJax from typesetting a dollar sign in a label.
PLAIN_TEXT = "tex2jax_ignore mathjax_ignore"


def sheet(*kinds: str) -> str:
    """CSS of the card, followed by that of each of these kinds of figure."""
    return "".join(_read(f"{kind}.css") for kind in ("card", *kinds))


def script(kind: str) -> str:
    """JavaScript of a kind of figure."""
    return _read(f"{kind}.js")


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def show(figure_html: str) -> HTML:
    """Return the figure as an object that a notebook displays."""
    if not check.instance("figure_html", figure_html, str).lstrip().startswith("<"):
        raise ValueError(f"figure_html={check.shown(figure_html)} must be HTML, such as the result of slider_figure.")
    from IPython.display import HTML

    found = HTML()
    found.data = figure_html  # HTML(figure_html) would take a short string for the name of a file
    return found


def folded(table: pd.DataFrame, summary: str) -> HTML:
    """A table behind a line that opens it, such as `folded(statistics.verdicts(estimates, 100), "The numbers")`.

    Args:
        table: shown in full once it is open.
        summary: the line that is always visible.

    Raises:
        TypeError: `table` is not a DataFrame, or `summary` not a string.
        ValueError: `summary` is empty.
    """
    if not hasattr(table, "to_html"):
        raise TypeError(f"table must be a DataFrame, not {type(table).__name__}.")
    summary = html.escape(text("summary", summary))
    return show(f"<details><summary>{summary}</summary>\n{table.to_html(border=0)}\n</details>")


def embedded(data) -> str:
    """Return `data` as JSON that is safe inside a script element."""
    # A "<" in a text could end the script element; escaping ">" and "&" as well keeps the page valid as XHTML.
    text = json.dumps(data, indent=0)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def identifier(name: str) -> str:
    """Return `name` if it is a valid id of a figure; raise a ValueError otherwise."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(f"name={check.shown(name)} must be a letter followed by letters, digits, '-' or '_'.")
    return name


def text(argument: str, value: str, *, empty: bool = False) -> str:
    """Return `value` if it is a string that is not blank; with `empty`, a blank one is accepted too."""
    if not isinstance(value, str):
        raise TypeError(f"{argument}={check.shown(value)} must be a string, not {type(value).__name__}.")
    if not value.strip() and not empty:
        raise ValueError(f"{argument}={check.shown(value)} must not be empty.")
    return value


def texts(argument: str, values: Sequence[str]) -> list[str]:
    """Return the strings as a list if none of them is blank."""
    values = check.many(argument, values, "strings")
    return [text(f"{argument}[{i}]", value) for i, value in enumerate(values)]
