"""The book's figures, each drawn from a DataFrame or a result. Colours are Okabe and Ito's, which colour-blind readers
can tell apart; a marker or a line style always says the same as the colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gst_tutorial.experiment import RunResult

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
# One look per thing, the same in every chapter.
LOOKS = {
    "none": {"color": PALETTE["black"], "marker": "o", "linestyle": "-"},
    "smallest": {"color": PALETTE["blue"], "marker": "s", "linestyle": "-"},
    "largest": {"color": PALETTE["vermilion"], "marker": "^", "linestyle": "--"},
    "random": {"color": PALETTE["green"], "marker": "D", "linestyle": "-."},
    "prune at init": {"color": PALETTE["purple"], "marker": "v", "linestyle": ":"},
    "zero": {"color": PALETTE["sky"], "marker": "P", "linestyle": "--"},
    "gaussian": {"color": PALETTE["orange"], "marker": "X", "linestyle": ":"},
}
STYLE = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "font.size": 10,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "svg.hashsalt": "gst",
}


def use_style() -> None:
    """Give matplotlib the book's look, for the rest of the session."""
    import matplotlib

    matplotlib.rcParams.update(STYLE)


def _axes(ax: Axes | None, size: tuple[float, float] = (6.4, 3.6)) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        return pyplot.subplots(figsize=size)[1]


def look(name: str) -> dict:
    """Colour, marker and line style for a method or target; unknown names get those of the first that they contain."""
    return LOOKS.get(name) or next((style for key, style in LOOKS.items() if key in str(name)), LOOKS["none"])


def training_curve(result: RunResult, ax: Axes | None = None, name: str = "none") -> Axes:
    """Test accuracy after every epoch, with each event's vertical drop drawn at its epoch."""
    return curve(result.epochs, result.events, ax, name)


def curve(
    epochs: pd.DataFrame, events: pd.DataFrame, ax: Axes | None = None, name: str = "none", label: str | None = None
) -> Axes:
    """As `training_curve`, from the frames of `RunResult.epochs` and `RunResult.events`."""
    ax = _axes(ax)
    points = {float(row.epoch): 100 * row.test_accuracy for row in epochs.dropna(subset=["test_accuracy"]).itertuples()}
    for event in events.itertuples():  # before and after an event are two points at nearly the same place
        points[event.epoch - 1e-3] = 100 * event.accuracy_before
        points[float(event.epoch)] = 100 * event.accuracy_after
    x = sorted(points)
    style = {**look(name), "marker": None}
    ax.plot(x, [points[i] for i in x], label=label or name, linewidth=1.6, **style)
    ax.set(xlabel="epoch", ylabel="test accuracy (%)")
    return ax


def accuracy_against_instability(
    frame: pd.DataFrame, ax: Axes | None = None, by: str = "label", names: bool = False
) -> Figure:
    """A point per run (instability, final test accuracy) and, larger, the mean of each method with its 95% interval.

    Args:
        frame: a row per run with `instability`, `final_accuracy` and the column `by`.
        names: write each method's name beside its mean.
    """
    ax = _axes(ax)
    for method, runs in frame.groupby(by, sort=False):
        style = look(method)
        ax.scatter(
            runs.instability,
            100 * runs.final_accuracy,
            s=9,
            alpha=0.35,
            color=style["color"],
            marker=style["marker"],
            linewidths=0,
        )
        mean, half = 100 * runs.final_accuracy.mean(), 100 * half_width(runs.final_accuracy)
        ax.errorbar(
            runs.instability.mean(),
            mean,
            yerr=half,
            color=style["color"],
            marker=style["marker"],
            ms=6,
            mec="white",
            capsize=2,
        )
        if names:
            ax.annotate(method, (runs.instability.mean(), mean), textcoords="offset points", xytext=(5, 4), fontsize=8)
    _target_legend(ax, frame[by].unique())
    ax.set(
        xlabel="instability: share of test accuracy lost at an event (mean over events)",
        ylabel="final test accuracy (%)",
    )
    return ax.figure


def _target_legend(ax: Axes, methods) -> None:
    from matplotlib.lines import Line2D

    present = [key for key in LOOKS if any(key in str(method) for method in methods)]
    handles = [
        Line2D([], [], color=LOOKS[k]["color"], marker=LOOKS[k]["marker"], linestyle="", label=k) for k in present
    ]
    if handles:
        ax.legend(handles=handles, fontsize=8)


def half_width(values: pd.Series) -> float:
    """Half of a 95% interval of the mean (Student's t)."""
    from scipy import stats

    n = values.notna().sum()
    return float(stats.t.ppf(0.975, n - 1) * values.std() / np.sqrt(n)) if n > 1 else 0.0


def means(
    frame: pd.DataFrame,
    x: str,
    y: str,
    ax: Axes | None = None,
    name: str = "none",
    label: str | None = None,
    scale: float = 1.0,
) -> Axes:
    """Mean of column `y` at each value of column `x`, with a 95% interval, as one line."""
    ax = _axes(ax)
    grouped = frame.groupby(x)[y]
    style = look(name)
    centre, half = scale * grouped.mean(), scale * grouped.apply(half_width)
    ax.errorbar(centre.index, centre, yerr=half, label=label or name, capsize=2, ms=5, **style)
    return ax


def gains_against_instability(
    table: pd.DataFrame, ax: Axes | None = None, name: str = "none", label: str | None = None
) -> Axes:
    """Paired gain over no pruning, in points, against mean instability; `table` comes from `statistics.gains`."""
    ax = _axes(ax)
    table = table.sort_values("instability")
    error = 100 * np.vstack([table.gain - table.low, table.high - table.gain])
    ax.errorbar(table.instability, 100 * table.gain, yerr=error, label=label or name, capsize=2, ms=5, **look(name))
    ax.axhline(0, color="#767676", linewidth=0.8)
    ax.set(xlabel="instability (mean over events)", ylabel="gain over no pruning (points)")
    return ax


def gain_against_width(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Gain of pruning in points against the network's width, a line per size of the training set, with intervals.

    Args:
        table: as `gst.statistics.gains_by_width` returns it; up to four sizes of the training set.
    """
    ax = _axes(ax)
    sizes = list(table.groupby(level="n_train"))
    for i, ((n, part), name) in enumerate(zip(sizes, ("smallest", "random", "largest", "zero"))):
        error = 100 * np.vstack([part.gain - part.low, part.high - part.gain])
        # Side by side, so that intervals can be told apart.
        widths = part.index.get_level_values("width") * 1.03 ** (i - (len(sizes) - 1) / 2)
        ax.errorbar(widths, 100 * part.gain, yerr=error, capsize=3, label=f"{n:,} training examples", **look(name))
    ax.axhline(0, color="#767676", linewidth=0.8)
    ticks = sorted(set(table.index.get_level_values("width")))
    ax.set(xscale="log", xlabel="width of the network", ylabel="gain of pruning (points)")
    ax.set_xticks(ticks, [f"{width:g}" for width in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    return ax


def filter_scores(scores, chosen, ax: Axes | None = None) -> Axes:
    """Scores of a layer's filters in ascending order; the chosen ones hatched in another colour.

    Args:
        scores: `(C,)`. chosen: bool `(C,)`, True where the filter is pruned.
    """
    ax = _axes(ax)
    order = np.argsort(np.asarray(scores), kind="stable")
    scores, chosen = np.asarray(scores)[order], np.asarray(chosen)[order]
    rank = np.arange(len(scores))
    ax.bar(rank[~chosen], scores[~chosen], color=PALETTE["blue"], label="kept")
    ax.bar(rank[chosen], scores[chosen], color="white", edgecolor=PALETTE["vermilion"], hatch="////", label="pruned")
    ax.set(xlabel="filter, by rank of its score", ylabel="score")
    ax.legend(fontsize=8)
    return ax
