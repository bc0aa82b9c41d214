"""One colour, marker and line style for each concept, the same in every chapter.

The colours are those of Okabe and Ito, which people with any kind of colour vision can distinguish. Because there are
fewer colours than concepts, a colour stands for a family and the marker (or line style) for one member of it::

    black       nothing is done                   green    filters are pruned
    blue        the gentle side of a contrast     sky      filters forget: zeroed, redrawn, dropped
    vermilion   the harsh side of it              orange   weights are perturbed
                                                  purple   weights change their length

matplotlib is imported only where something is drawn.
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
DOTTED_TIGHTLY = (0, (1, 0.7))


def _looks(**rows: tuple) -> dict[str, dict[str, Any]]:
    return {
        name.replace("_", " "): {"color": PALETTE[color], "marker": marker, "linestyle": linestyle}
        for name, (color, marker, linestyle) in rows.items()
    }


#: Colour, marker and line style of each concept. No two concepts share colour and marker, or colour and line style.
LOOKS = _looks(
    none=("black", "o", "-"),
    # The two sides of a contrast: which filters are pruned, in how many events, and how curved the loss is in the end.
    smallest=("blue", "s", "-"),
    largest=("vermilion", "^", "--"),
    stable=("blue", "d", "--"),
    unstable=("vermilion", "X", ":"),
    flatter=("blue", "o", ":"),
    sharper=("vermilion", "*", "-."),
    # Filters are removed permanently.
    random=("green", "D", "-."),
    prune_at_init=("green", "v", ":"),
    # Events, see the table of interventions. Green: filters are removed permanently. Sky: they lose what they have learned.
    # Orange: weights are moved a little. Purple: they become shorter or longer. Black: no weight changes.
    **{name: entry.look for name, entry in INTERVENTIONS.items()},
    # Dropout: filters lose what they have learned, for a single step.
    dropout=("sky", "v", DOTTED_TIGHTLY),
    # SAM: weights are moved a little, uphill.
    SAM=("orange", "s", "-"),
    # Weights become shorter in every step.
    weight_decay=("purple", "v", "-"),
)
#: What the text calls some of them.
OTHER_NAMES = {
    "shrink": "scale",
    "shrink, unseen": "rescale",
    "head jolt": "zero inputs",
    "zero the head's inputs": "zero inputs",
    "decay": "weight decay",
}
#: Bars of filters: matplotlib's keywords for those that are kept and those that are pruned.
FILTERS = {
    "kept": {"facecolor": PALETTE["blue"]},
    "pruned": {"facecolor": "white", "edgecolor": PALETTE["vermilion"], "hatch": "////"},
}
#: Shades for a series that has an order but no concept of its own, such as sizes of the training set.
SHADES = (("#000000", "o", "-"), ("#4a4a4a", "s", "--"), ("#767676", "^", "-."), ("#949494", "D", ":"))
STYLE = {
    # Transparent, because the book's dark theme inverts pictures, and Jupyter puts a white background behind them
    # (its `needs_background` metadata).
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
#: Colours with a contrast of at least 3 on white, each with a line style of its own so that colour is never the only cue.
LINES = {
    PALETTE["blue"]: "-",
    PALETTE["vermilion"]: "--",
    PALETTE["green"]: "-.",
    PALETTE["purple"]: ":",
    PALETTE["black"]: (0, (5, 1, 1, 1, 1, 1)),
}


def look(key: str | Mapping[str, Any] | pd.Series) -> dict[str, Any]:
    """Return the colour, marker and line style of a concept as matplotlib's keywords `color`, `marker`, `linestyle`.

    Args:
        key: see `look_name`.

    >>> look({"method": "prune", "target": "largest", "dose": 0.4})["color"] == PALETTE["vermilion"]
    True
    """
    return dict(LOOKS[look_name(key)])


def look_name(key: str | Mapping[str, Any] | pd.Series) -> str:
    """Return the key of `LOOKS` for a concept or for an arm of a study.

    Args:
        key: a key of `LOOKS` or one of `OTHER_NAMES`; or the factors of an arm, as a mapping or a row of a study's frame.
            The arm's `method` decides; if that is "prune" or missing, its `target` does, where it has one.

    Raises:
        ValueError: nothing is known by that name; the message suggests the nearest one.
        TypeError: `key` is neither a name nor factors.

    >>> look_name({"method": "zero", "target": "random"})
    'zero'
    """
    if isinstance(key, str):
        return check.one_of("key", OTHER_NAMES.get(key, key), LOOKS)
    if not hasattr(key, "get"):
        raise TypeError(
            f"key={check.shown(key)}: it must be a name or the factors of an arm, not {type(key).__name__}."
        )
    if (method := key.get("method", "prune")) != "prune":
        return check.one_of("key: method", method, LOOKS)
    return check.one_of("key: target", key.get("target", "prune"), LOOKS)


def shade(i: int) -> dict[str, Any]:
    """Return the look of the i-th line of an ordered series, the darkest first; there are four."""
    return dict(zip(("color", "marker", "linestyle"), SHADES[check.integer("i", i, 0, len(SHADES) - 1)]))


def use_style() -> None:
    """Make the book's style matplotlib's default for the rest of the session."""
    import matplotlib

    matplotlib.rcParams.update(STYLE)


def house_style(width: float = 5.0) -> dict[str, Any]:
    """Return matplotlib rcParams for a figure `width` inches wide, with letters that stay legible on a telephone."""
    from cycler import cycler

    check.real("width", width, 0, open_low=True)
    letters = min(13.0, max(10.0, 2.2 * width))  # points
    return {
        **STYLE,
        "axes.prop_cycle": cycler(color=list(LINES), linestyle=list(LINES.values())),
        "axes.labelsize": letters,
        "axes.titlesize": letters,
        "font.family": ["sans-serif"],
        # DejaVu comes with matplotlib and is the widest of these: a text that fits in it also fits in the others.
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
        "font.size": letters,
        "legend.fontsize": letters - 1,
        "lines.linewidth": 1.8,
        "xtick.labelsize": letters - 1,
        "ytick.labelsize": letters - 1,
    }
