"""The book's look: one colour, marker and line style per thing, the same in every chapter.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; a marker or a line style always says the same as
the colour. matplotlib is imported only where something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gst_tutorial import _arguments as check
from gst_tutorial.interventions import INTERVENTIONS

if TYPE_CHECKING:
    import pandas as pd

# Okabe & Ito, "Color Universal Design" (2008), without the yellow, which is too pale for lines on white.
PALETTE = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
}


def _looks(**rows: tuple[str, str, str]) -> dict[str, dict[str, str]]:
    return {
        name.replace("_", " "): {"color": PALETTE[color], "marker": marker, "linestyle": linestyle}
        for name, (color, marker, linestyle) in rows.items()
    }


#: Looks of the targets of pruning, and of everything else that a run does. A colour may come twice, a marker never does.
LOOKS = _looks(
    none=("black", "o", "-"),
    smallest=("blue", "s", "-"),
    largest=("vermilion", "^", "--"),
    random=("green", "D", "-."),
    prune_at_init=("purple", "v", ":"),
    **{name: entry.look for name, entry in INTERVENTIONS.items() if not entry.permanent},
)
STYLE = {
    # Transparent: a page in the dark turns black ink into white, a notebook puts paper behind (Jupyter's needs_background).
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#8080803a",
    "axes.axisbelow": True,
    "font.size": 10,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "svg.hashsalt": "gst",
}
#: The colours that reach a contrast of 3 on white, each with its own line style: colour alone says nothing.
LINES = {
    PALETTE["blue"]: "-",
    PALETTE["vermilion"]: "--",
    PALETTE["green"]: "-.",
    PALETTE["purple"]: ":",
    PALETTE["black"]: (0, (5, 1, 1, 1, 1, 1)),
}


def look(key: str | Mapping[str, Any] | pd.Series) -> dict[str, str]:
    """Colour, marker and line style, as matplotlib's keywords `color`, `marker` and `linestyle`.

    Args:
        key: see `look_name`.

    >>> look({"method": "prune", "target": "largest", "dose": 0.4})["color"] == PALETTE["vermilion"]
    True
    """
    return dict(LOOKS[look_name(key)])


def look_name(key: str | Mapping[str, Any] | pd.Series) -> str:
    """The key of `LOOKS` that fits.

    Args:
        key: a key of `LOOKS`; or the factors of an arm, a mapping or a row of a study's frame. Its `method` says how it
            looks; where that is "prune", or not there, its `target` does.

    Raises:
        ValueError: no such look, with the nearest name. TypeError: neither a name nor factors.

    >>> look_name({"method": "zero", "target": "random"})
    'zero'
    """
    if isinstance(key, str):
        return check.one_of("key", key, LOOKS)
    if not hasattr(key, "get"):
        raise TypeError(
            f"key={check.shown(key)}: it must be a name or the factors of an arm, not {type(key).__name__}."
        )
    if (method := key.get("method", "prune")) != "prune":
        return check.one_of("key: method", method, LOOKS)
    return check.one_of("key: target", key.get("target"), LOOKS)


def use_style() -> None:
    """Give matplotlib the book's look, for the rest of the session."""
    import matplotlib

    matplotlib.rcParams.update(STYLE)


def house_style(width: float = 5.0) -> dict[str, Any]:
    """matplotlib rcParams: the book's style with letters that bear shrinking when the figure is `width` inches wide."""
    from cycler import cycler

    check.real("width", width, 0, open_low=True)
    letters = min(13.0, max(10.0, 2.2 * width))  # points
    return {
        **STYLE,
        "axes.prop_cycle": cycler(color=list(LINES), linestyle=list(LINES.values())),
        "axes.labelsize": letters,
        "axes.titlesize": letters,
        "font.family": ["sans-serif"],
        # DejaVu comes with matplotlib and is wide: a text that fits in it fits in each of the others.
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
        "font.size": letters,
        "legend.fontsize": letters - 1,
        "lines.linewidth": 1.8,
        "xtick.labelsize": letters - 1,
        "ytick.labelsize": letters - 1,
    }
