"""The book's plots, each drawn from a DataFrame, a result or estimates.

A plot draws intervals but computes none: they come from `gst.statistics`. Colours and markers come from `style`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gst_tutorial import _arguments as check
from gst_tutorial import statistics
from gst_tutorial.book.figures.style import FILTERS, LOOKS, PALETTE, STYLE, look, look_name, shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gst_tutorial.experiment import RunResult

ZERO = {"color": "#767676", "linewidth": 0.8}  # the line that marks no effect
UNDECIDED = "#595959"  # of an interval that contains zero
FOREST_LETTERS = 25  # in a line of a row's name: a third of a figure that is 5 inches wide


def _axes(ax: Axes | None, size: tuple[float, float] = (5.0, 3.4)) -> Axes:
    if ax is not None:
        if not hasattr(ax, "errorbar"):
            raise TypeError(f"ax={check.shown(ax)} must be matplotlib axes, not {type(ax).__name__}.")
        return ax
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        return pyplot.subplots(figsize=size)[1]


def training_curve(result: RunResult, ax: Axes | None = None, name: str | None = None) -> Axes:
    """Plot test accuracy in percent after every epoch, with a vertical drop at each event.

    Args:
        result: of a run.
        ax: axes to draw on; None makes new ones.
        name: the look (a key of `LOOKS`) and label; None takes those of the intervention in the run's config.
    """
    if name is None:
        from gst_tutorial.studies.study import method_of

        name = look_name({"method": method_of(result.config), "target": result.config.target})
    return curve(result.epochs, result.events, ax, name)


def curve(
    epochs: pd.DataFrame, events: pd.DataFrame, ax: Axes | None = None, name: str = "none", label: str | None = None
) -> Axes:
    """Plot the same as `training_curve`, from the frames `RunResult.epochs` and `RunResult.events`."""
    ax = _axes(ax)
    points = {float(row.epoch): 100 * row.test_accuracy for row in epochs.dropna(subset=["test_accuracy"]).itertuples()}
    for event in events.itertuples():  # two points at nearly the same epoch make the line vertical
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
    """Plot final test accuracy against instability: a small point per run, a large one with its 95% interval per arm.

    Args:
        frame: a row per run with `instability`, `final_accuracy`, the column `by`, and the factors `method` and `target`,
            which decide an arm's colour and marker. Arms of your own methods, and arms that differ in more than numbers, get
            a colour and marker of their own.
        ax: axes to draw on; None makes new ones.
        by: the column that says which arm a run belongs to.
        names: whether to write each arm's name next to its mean.

    Raises:
        ValueError: a column is missing.
    """
    check.frame("frame", frame, by=by)
    for column in ("instability", "final_accuracy"):
        check.frame("frame", frame, frame=column)
    check.flag("names", names)
    ax = _axes(ax)
    looks = _looks_of_arms(frame, by)
    found = statistics.means(frame, by, "final_accuracy")
    for arm, runs in frame.groupby(by, sort=False):
        style = looks[arm][1]
        color, marker = style["color"], style["marker"]
        ax.scatter(
            runs.instability, 100 * runs.final_accuracy, s=9, alpha=0.35, color=color, marker=marker, linewidths=0
        )
        if arm in found:  # an arm all of whose runs failed has no mean
            x, e = runs.instability.mean(), found[arm]
            ax.errorbar(
                x, 100 * e.value, yerr=_error([e], 100), color=color, marker=marker, ms=6, mec="white", capsize=2
            )
            if names:
                ax.annotate(arm, (x, 100 * e.value), textcoords="offset points", xytext=(5, 4), fontsize=8)
    _legend(ax, dict(looks.values()))
    ax.set(
        xlabel="instability: fraction of test accuracy lost at an event (mean over events)",
        ylabel="final test accuracy (%)",
    )
    return ax.figure


# Fields of a config that are no numbers: arms that differ in one of them get different looks.
_OF_NETWORK = ("data", "model", "optimizer", "loss", "augment", "annealing")
_OF_EVENTS = ("target", "score", "layers", "draws", "restore", "mask")


def _looks_of_arms(frame: pd.DataFrame, by: str) -> dict[Hashable, tuple[str, dict]]:
    """For each arm the legend's entry and the look: its concept's, or a new one if that is taken or unknown."""
    varying = [c for c in (*_OF_NETWORK, *_OF_EVENTS) if c in frame and frame[c].nunique(dropna=False) > 1]
    taken: dict[tuple, tuple[str, dict]] = {}
    spare = [(color, marker) for marker in "o^sDvP*X<>" for color in list(PALETTE.values())[1:]]
    arms = {}
    for arm, runs in frame.groupby(by, sort=False):
        row = runs.iloc[0]
        try:
            name = look_name(row)
        except ValueError:
            name = str(row.get("method"))
        kinds = [c for c in varying if row.get("method") != "none" or c in _OF_NETWORK]
        key = (name, *(row[c] for c in kinds))
        if key not in taken:
            entry, style = name, LOOKS.get(name)
            if style is None or style in [s for _, s in taken.values()]:
                entry, colors = str(arm), {s["color"] for _, s in taken.values()}
                pairs = {(s["color"], s["marker"]) for _, s in taken.values()}
                free = [pair for pair in spare if pair not in pairs]
                color, marker = next((pair for pair in free if pair[0] not in colors), free[0])
                style = {"color": color, "marker": marker, "linestyle": "-"}
            taken[key] = entry, style
        arms[arm] = taken[key]
    return arms


def _legend(ax: Axes, looks: Mapping[str, dict]) -> None:
    """Draw a legend with a marker for each look, by name; those of `LOOKS` come first, in its order."""
    from matplotlib.lines import Line2D

    present = sorted(looks, key=lambda name: list(LOOKS).index(name) if name in LOOKS else len(LOOKS))
    handles = [
        Line2D([], [], color=looks[name]["color"], marker=looks[name]["marker"], linestyle="", label=name)
        for name in present
    ]
    if handles:
        ax.legend(handles=handles, fontsize=8)


def _error(estimates: list[statistics.Estimate], scale: float) -> np.ndarray:
    """Return the lengths of the error bars below and above each estimate, `(2, n)`."""
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
    """Plot the mean of column `y` at each value of column `x` as one line with 95% intervals (`statistics.means`)."""
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
    """Plot estimates as rows: on the left the name, then the 95% interval around a dot, on the right both as numbers.

    A filled dot marks an interval that excludes zero, a hollow grey one an interval that contains it.

    Args:
        estimates: from the name of a row, which is wrapped if it is long, to its estimate; the first is on top.
        ax: axes to draw on; None makes new ones, as high as the rows need.
        scale: factor from the estimates to the numbers shown; 100 for percentage points of accuracy.
        unit: label of the horizontal axis.

    Raises:
        ValueError: there are no estimates.
    """
    for key, e in check.instance("estimates", estimates, Mapping).items():
        check.instance(f"estimates[{key!r}]", e, statistics.Estimate)
    check.real("scale", scale, 0, open_low=True)
    check.instance("unit", unit, str)
    if not estimates:
        raise ValueError("estimates is empty: a forest plot needs at least one row.")
    names = ["\n".join(textwrap.wrap(str(name), FOREST_LETTERS)) for name in estimates]
    heights = np.array([max(2, name.count("\n") + 1) + 0.7 for name in names])  # lines of text, and a gap
    rows = np.cumsum(heights) - heights / 2
    ax = _axes(ax, (5.0, 0.95 + 0.16 * heights.sum()))
    for row, e in zip(rows, estimates.values()):
        style = {"color": "black"} if e.sign else {"color": UNDECIDED, "markerfacecolor": "white"}
        ax.errorbar(scale * e.value, row, xerr=_error([e], scale), marker="o", capsize=3, ms=6, **style)
        _beside(ax, row, _numbers(e, scale))
    _beside(ax, -0.9, "value\n[95% interval]", color=UNDECIDED)
    ax.axvline(0, **ZERO)
    ax.grid(False, axis="y")
    ax.margins(x=0.08)
    ax.set_yticks(rows, names, linespacing=1.05)
    ax.tick_params(axis="y", length=0, labelsize=10)
    ax.spines["left"].set_visible(False)
    ax.set(ylim=(heights.sum(), 0), xlabel=unit)
    return ax


def _numbers(e: statistics.Estimate, scale: float) -> str:
    """Write an estimate and, on a second line, its interval."""
    digits = 1 if scale > 1 else 2
    rounded = (round(scale * x, digits) + 0.0 for x in (e.value, e.low, e.high))  # adding 0.0 turns -0.0 into 0.0
    value, low, high = (f"{x:+.{digits}f}".replace("-", "\u2212") for x in rounded)
    return f"{value}\n[{low}, {high}]"


def _beside(ax: Axes, row: float, text: str, **style) -> None:
    """Write into the column to the right of the axes, level with `row`."""
    place = {"xytext": (10, 0), "textcoords": "offset points", "xycoords": ("axes fraction", "data")}
    ax.annotate(text, (1, row), **place, va="center", fontsize=10, linespacing=1.05, annotation_clip=False, **style)


def gains_against_instability(
    table: pd.DataFrame, ax: Axes | None = None, name: str = "none", label: str | None = None
) -> Axes:
    """Plot the paired gain over no pruning, in percentage points, against mean instability.

    Args:
        table: a row per arm with its gain and interval, as `gst.statistics.gains` returns it.
        ax: axes to draw on; None makes new ones.
        name: the look, a key of `LOOKS`.
        label: in the legend; None takes `name`.
    """
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
    """Plot the gain of pruning against the network's width, one line with intervals per size of the training set.

    Args:
        table: as `gst.statistics.gains_by_width` returns it, with up to four sizes of the training set.
        ax: axes to draw on; None makes new ones.
    """
    for column in ("gain", "low", "high"):
        check.frame("table", table, table=column)
    ax = _axes(ax)
    sizes = list(table.groupby(level="n_train"))
    for i, (n, part) in enumerate(sizes):
        error = 100 * np.vstack([part.gain - part.low, part.high - part.gain])
        # Shift each line a little sideways, so that intervals at the same width do not cover each other.
        widths = part.index.get_level_values("width") * 1.03 ** (i - (len(sizes) - 1) / 2)
        ax.errorbar(widths, 100 * part.gain, yerr=error, capsize=3, label=f"{n:,} training examples", **shade(i))
    ax.axhline(0, **ZERO)
    ticks = sorted(set(table.index.get_level_values("width")))
    ax.set(xscale="log", xlabel="width of the network", ylabel="gain of pruning (points)")
    ax.set_xticks(ticks, [f"{width:g}" for width in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    return ax


def filter_scores(scores, chosen, ax: Axes | None = None) -> Axes:
    """Plot the scores of a layer's filters as bars in ascending order, those that are pruned hatched.

    Args:
        scores: `(C,)`.
        chosen: bool `(C,)`, True where the filter is pruned.
        ax: axes to draw on; None makes new ones.
    """
    scores, chosen = check.numbers_of("scores", scores), np.asarray(chosen)
    if chosen.dtype != bool or chosen.shape != scores.shape or not len(scores):
        raise ValueError(f"chosen must be bool, one for each of {len(scores)} scores; got {check.shown(chosen)}.")
    ax = _axes(ax)
    order = np.argsort(scores, kind="stable")
    scores, chosen = scores[order], chosen[order]
    from matplotlib.collections import PolyCollection

    def bars(which: np.ndarray, label: str) -> None:  # one collection draws several times as fast as a patch per bar
        corners = [((i - 0.4, 0), (i - 0.4, scores[i]), (i + 0.4, scores[i]), (i + 0.4, 0)) for i in which.nonzero()[0]]
        ax.add_collection(PolyCollection(corners, label=label, **FILTERS[label]))

    bars(~chosen, "kept")
    bars(chosen, "pruned")
    ax.autoscale_view()
    ax.set_ylim(bottom=min(0.0, float(scores.min())))
    ax.set(xlabel="filter, by rank of its score", ylabel="score")
    ax.legend(fontsize=8, loc="upper left")  # free, since scores ascend; "best" would be slow
    return ax
