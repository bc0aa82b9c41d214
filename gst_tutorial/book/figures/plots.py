"""The book's plots, each drawn from a DataFrame, a result or estimates. They draw intervals and compute none: those come
from `gst.statistics`. How things look stands in `style`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gst_tutorial import _arguments as check
from gst_tutorial import statistics
from gst_tutorial.book.figures.style import LOOKS, PALETTE, STYLE, look, look_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gst_tutorial.experiment import RunResult

ZERO = {"color": "#767676", "linewidth": 0.8}  # the line where an effect is none
FOREST_LETTERS = 48  # a line of a row's name: what fits into the width of the axes


def _axes(ax: Axes | None, size: tuple[float, float] = (5.0, 3.4)) -> Axes:
    if ax is not None:
        if not hasattr(ax, "errorbar"):
            raise TypeError(f"ax={check.shown(ax)} must be matplotlib axes, not {type(ax).__name__}.")
        return ax
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        return pyplot.subplots(figsize=size)[1]


def training_curve(result: RunResult, ax: Axes | None = None, name: str | None = None) -> Axes:
    """Test accuracy in percent after every epoch, with each event's vertical drop drawn at its epoch.

    Args:
        name: a key of `LOOKS`; None takes the look, and the label, of what the run's config does.
    """
    if name is None:
        from gst_tutorial.studies.study import method_of

        name = look_name({"method": method_of(result.config), "target": result.config.target})
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
    """A point per run (instability, final test accuracy) and, larger, the mean of each arm with its 95% interval.

    Args:
        frame: a row per run with `instability`, `final_accuracy`, the column `by`, and the factors `method` and `target`,
            which give an arm its look.
        names: write each arm's name beside its mean.

    Raises:
        ValueError: an arm whose factors have no look.
    """
    check.frame("frame", frame, by=by)
    for column in ("instability", "final_accuracy"):
        check.frame("frame", frame, frame=column)
    check.flag("names", names)
    ax = _axes(ax)
    used = set()
    found = statistics.means(frame, by, "final_accuracy")
    for arm, runs in frame.groupby(by, sort=False):
        used.add(look_name(runs.iloc[0]))
        style = look(runs.iloc[0])
        color, marker = style["color"], style["marker"]
        ax.scatter(
            runs.instability, 100 * runs.final_accuracy, s=9, alpha=0.35, color=color, marker=marker, linewidths=0
        )
        if arm in found:  # not where every run failed
            x, e = runs.instability.mean(), found[arm]
            ax.errorbar(
                x, 100 * e.value, yerr=_error([e], 100), color=color, marker=marker, ms=6, mec="white", capsize=2
            )
            if names:
                ax.annotate(arm, (x, 100 * e.value), textcoords="offset points", xytext=(5, 4), fontsize=8)
    _legend(ax, used)
    ax.set(
        xlabel="instability: share of test accuracy lost at an event (mean over events)",
        ylabel="final test accuracy (%)",
    )
    return ax.figure


def _legend(ax: Axes, names: set[str]) -> None:
    """A marker for each of these keys of `LOOKS`."""
    from matplotlib.lines import Line2D

    present = [(name, LOOKS[name]) for name in LOOKS if name in names]
    handles = [Line2D([], [], color=s["color"], marker=s["marker"], linestyle="", label=name) for name, s in present]
    if handles:
        ax.legend(handles=handles, fontsize=8)


def _error(estimates: list[statistics.Estimate], scale: float) -> np.ndarray:
    """Lengths of error bars below and above, `(2, n)`."""
    return scale * np.array([[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]])


def means(
    frame: pd.DataFrame,
    x: str,
    y: str,
    ax: Axes | None = None,
    name: str = "none",
    label: str | None = None,
    scale: float = 1.0,
) -> Axes:
    """Mean of column `y` at each value of column `x`, with its 95% interval (`statistics.means`), as one line."""
    check.frame("frame", frame, x=x, y=y)
    check.one_of("name", name, LOOKS)
    check.real("scale", scale, 0, open_low=True)
    ax = _axes(ax)
    found = dict(sorted(statistics.means(frame, x, y).items()))
    centre = [scale * e.value for e in found.values()]
    error = _error(list(found.values()), scale)
    ax.errorbar(list(found), centre, yerr=error, label=label or name, capsize=2, ms=5, **look(name))
    return ax


def forest(
    estimates: Mapping[Hashable, statistics.Estimate], ax: Axes | None = None, scale: float = 1.0, unit: str = ""
) -> Axes:
    """A row per estimate, from the top: its name and value, below them its interval, a line at zero and, at the right, what
    it shows, in a word. Names stand above the intervals, so that the letters are large enough on a telephone.

    Args:
        estimates: by the name to write at the row. scale: 100 for points of accuracy. unit: of the axis below.

    Raises:
        ValueError: no estimates.
    """
    for key, e in check.instance("estimates", estimates, Mapping).items():
        check.instance(f"estimates[{key!r}]", e, statistics.Estimate)
    check.real("scale", scale, 0, open_low=True)
    check.instance("unit", unit, str)
    if not estimates:
        raise ValueError("estimates is empty: a forest plot needs at least one row.")
    names = [textwrap.wrap(str(name), FOREST_LETTERS) for name in estimates]
    bottoms = np.cumsum([len(lines) + 1.3 for lines in names])  # in lines of text
    ax = _axes(ax, (5.0, 0.65 + 0.19 * bottoms[-1]))
    for lines, bottom, e in zip(names, bottoms, estimates.values()):
        color = {1: PALETTE["blue"], -1: PALETTE["vermilion"], 0: "#595959"}[e.sign]
        filled = {"markerfacecolor": color if e.sign else "white"}  # hollow: not told apart from zero
        marker, at = {1: ">", -1: "<", 0: "o"}[e.sign], bottom - 0.8
        ax.errorbar(scale * e.value, at, xerr=_error([e], scale), marker=marker, color=color, capsize=3, ms=6, **filled)
        right = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 10}
        name = {**right, "xytext": (0, 0), "va": "top"}
        ax.annotate("\n".join(lines), (0, bottom - len(lines) - 1.25), **name)
        ax.annotate(statistics.conclusion(e), (1, at), **right, xytext=(8, 0), va="center", color=color)
        digits = 1 if scale > 1 else 2
        value = f"{round(scale * e.value, digits) + 0.0:+.{digits}f}"  # no "-0.0"
        ax.annotate(value, (1, bottom - len(lines) - 1.25), **{**name, "xytext": (8, 0)}, color=color)
    ax.axvline(0, **ZERO)
    ax.grid(False, axis="y")
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set(ylim=(bottoms[-1] + 0.1, 0), xlabel=unit)
    return ax


def gains_against_instability(
    table: pd.DataFrame, ax: Axes | None = None, name: str = "none", label: str | None = None
) -> Axes:
    """Paired gain over no pruning, in points, against mean instability; `table` comes from `statistics.gains`."""
    for column in ("instability", "gain", "low", "high"):
        check.frame("table", table, table=column)
    check.one_of("name", name, LOOKS)
    ax = _axes(ax)
    table = table.sort_values("instability")
    error = 100 * np.vstack([table.gain - table.low, table.high - table.gain])
    ax.errorbar(table.instability, 100 * table.gain, yerr=error, label=label or name, capsize=2, ms=5, **look(name))
    ax.axhline(0, **ZERO)
    ax.set(xlabel="instability (mean over events)", ylabel="gain over no pruning (points)")
    return ax


def gain_against_width(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Gain of pruning in points against the network's width, a line per size of the training set, with intervals.

    Args:
        table: as `gst.statistics.gains_by_width` returns it; up to four sizes of the training set.
    """
    for column in ("gain", "low", "high"):
        check.frame("table", table, table=column)
    ax = _axes(ax)
    sizes = list(table.groupby(level="n_train"))
    for i, ((n, part), name) in enumerate(zip(sizes, ("smallest", "random", "largest", "zero"))):
        error = 100 * np.vstack([part.gain - part.low, part.high - part.gain])
        # Side by side, so that intervals can be told apart.
        widths = part.index.get_level_values("width") * 1.03 ** (i - (len(sizes) - 1) / 2)
        ax.errorbar(widths, 100 * part.gain, yerr=error, capsize=3, label=f"{n:,} training examples", **look(name))
    ax.axhline(0, **ZERO)
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
    scores, chosen = check.numbers_of("scores", scores), np.asarray(chosen)
    if chosen.dtype != bool or chosen.shape != scores.shape or not len(scores):
        raise ValueError(f"chosen must be bool, one for each of {len(scores)} scores; got {check.shown(chosen)}.")
    ax = _axes(ax)
    order = np.argsort(scores, kind="stable")
    scores, chosen = scores[order], chosen[order]
    from matplotlib.collections import PolyCollection

    def bars(which: np.ndarray, **style) -> None:  # one collection: drawn several times as fast as a patch per bar
        corners = [((i - 0.4, 0), (i - 0.4, scores[i]), (i + 0.4, scores[i]), (i + 0.4, 0)) for i in which.nonzero()[0]]
        ax.add_collection(PolyCollection(corners, **style))

    bars(~chosen, facecolor=PALETTE["blue"], label="kept")
    bars(chosen, facecolor="white", edgecolor=PALETTE["vermilion"], hatch="////", label="pruned")
    ax.autoscale_view()
    ax.set_ylim(bottom=min(0.0, float(scores.min())))
    ax.set(xlabel="filter, by rank of its score", ylabel="score")
    ax.legend(fontsize=8, loc="upper left")  # ascending: free; looking for the best place takes time
    return ax
