"""What every figure that answers without a kernel has in common: its frame and colours, its texts checked and escaped.

Such a figure is one string of HTML with style and script in it. It needs no library and makes no request: it works in the
built book, JupyterLab and Colab. `slider` and `predict` make them, `show` makes one the value of a notebook's cell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gst_tutorial import _arguments as check

if TYPE_CHECKING:
    from IPython.display import HTML

# What every figure carries with it. The style's colours: ink and soft reach a contrast of 4.5 on card, the others 3. Its
# themes stand in this order: the system's wish, then what the page says (the book; JupyterLab; Colab), then paper. Rules
# marked !important undo the light panel, the padding and the dimming of the book's dark theme.
# A script binds every figure of its kind that is not bound yet: a cell that is run again brings a new figure of the same
# name, and some notebooks run a script away from its place. Radio groups get a name of their own for the same reason.
_HERE = Path(__file__).parent

#: Attributes of every control, else JupyterLab takes the arrow keys and a reload keeps half of the state.
KEYS = 'data-lm-suppress-shortcuts="true" autocomplete="off"'
#: Attributes of every figure's class list, so that no page typesets a dollar sign in a label.
PLAIN_TEXT = "tex2jax_ignore mathjax_ignore"


def sheet(*kinds: str) -> str:
    """The style of a kind of figure: the card's rules, then its own. Without a kind, the card's."""
    return "".join(_read(f"{kind}.css") for kind in ("card", *kinds))


def script(kind: str) -> str:
    """The script of a kind of figure."""
    return _read(f"{kind}.js")


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def show(figure_html: str) -> HTML:
    """The figure as the value of a notebook's cell."""
    if not check.instance("figure_html", figure_html, str).lstrip().startswith("<"):
        raise ValueError(f"figure_html={check.shown(figure_html)} must be HTML, as slider_figure gives it.")
    from IPython.display import HTML

    found = HTML()
    found.data = figure_html  # HTML(figure_html) would read a file of that name
    return found


def embedded(data) -> str:
    """`data` as JSON for a script element."""
    # "<" would let a text end the script element; the other two keep the string valid inside XHTML.
    text = json.dumps(data, indent=0)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def identifier(name: str) -> str:
    """Return `name` if it can be the id of a figure."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(f"name={check.shown(name)} must be a letter followed by letters, digits, '-' or '_'.")
    return name


def text(argument: str, value: str, *, empty: bool = False) -> str:
    """Return `value` if it is a string that says something, or may be `empty`."""
    if not isinstance(value, str):
        raise TypeError(f"{argument}={check.shown(value)} must be a string, not {type(value).__name__}.")
    if not value.strip() and not empty:
        raise ValueError(f"{argument}={check.shown(value)} must not be empty.")
    return value


def texts(argument: str, values: Sequence[str]) -> list[str]:
    """The strings as a list, if each of them says something."""
    values = check.many(argument, values, "strings")
    return [text(f"{argument}[{i}]", value) for i, value in enumerate(values)]
