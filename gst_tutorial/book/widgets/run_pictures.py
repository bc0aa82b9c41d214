"""The pictures of `run_explorer`: training curves with a table, and the intervals of mean gains, as HTML."""

from __future__ import annotations

import dataclasses
import functools
import html
import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gst_tutorial.book.figures.style import PALETTE, STYLE
from gst_tutorial.book.recorded import recorded
from gst_tutorial.book.widgets.answers import card_html, clear, picture_html
from gst_tutorial.config import RunConfig
from gst_tutorial.experiment import RunResult
from gst_tutorial.statistics import Estimate, mean_estimate

MOST_DRAWN = 4  # earlier curves in grey; nobody could distinguish more, and the table has them all
SHARPNESS = "test_matched_normalized_trace"  # of `measure_sharpness`


@dataclasses.dataclass
class Shown:
    """A curve and a row of the table.

    Attributes:
        name: in words.
        role: how it looks, a key of `ROLES`.
        epochs, events: frames as of `RunResult`.
        config: of the run.
        result: of a run that has ended; None while it trains.
        twin: the result of its twin, if that is known.
    """

    name: str
    role: str
    epochs: pd.DataFrame
    events: pd.DataFrame
    config: RunConfig
    result: RunResult | None = None
    twin: RunResult | None = None

    @property
    def gain(self) -> float | None:
        """Final accuracy minus that of the twin."""
        if self.result is None or self.twin is None or self.role == "twin":
            return None
        return self.result.final_accuracy - self.twin.final_accuracy


ROLES = {
    "twin": {"color": PALETTE["black"], "linestyle": (0, (5, 1, 1, 1)), "linewidth": 1.4},
    "now": {"color": PALETTE["vermilion"], "linestyle": "-", "linewidth": 2.2},
    "beside": {"color": PALETTE["blue"], "linestyle": (0, (4, 1.5)), "linewidth": 1.8},
    "earlier": {"color": "#8c8c8c", "linestyle": "-", "linewidth": 1.1},
}


def shown_result(name: str, role: str, result: RunResult, twin: RunResult | None = None) -> Shown:
    """A run that has ended, as it is shown."""
    return Shown(name, role, result.epochs, result.events, result.config, result, twin)


def draw_runs(ax, shown: Sequence[Shown], n_epochs: int) -> str:
    """Draw training curves on `ax`; returns what they show, in a sentence.

    Args:
        shown: the last one is drawn on top.
        n_epochs: of the axis.
    """
    from gst_tutorial.book.figures import plots

    clear(ax)
    said, n_earlier = [], 0
    for each in shown:
        if each.epochs.test_accuracy.notna().any():
            plots.curve(each.epochs, each.events, ax, "none", each.name)
            ax.lines[-1].set(**ROLES[each.role])
            last = each.epochs.dropna(subset=["test_accuracy"]).iloc[-1]
            said.append(
                f"{each.name}: {last.test_accuracy:.1%} after epoch {int(last.epoch)}, with {len(each.events)} events"
            )
            if each.role == "earlier":  # grey lines look alike: a number stands on each
                at = each.epochs.dropna(subset=["test_accuracy"]).iloc[-1 - 6 * n_earlier % len(each.epochs)]
                point = (at.epoch, 100 * at.test_accuracy)
                above = {"textcoords": "offset points", "xytext": (0, 2), "ha": "right"}
                ax.annotate(each.name.split(":")[0], point, **above, fontsize=9, fontweight="bold", color="#595959")
                n_earlier += 1
    ax.set(xlim=(0, max(1, n_epochs - 1)), ylim=(0, 100), xlabel="epoch", ylabel="test accuracy (%)")
    return f"Training curves. {'; '.join(said) or 'Nothing trained yet'}."


def runs_html(ax, shown: Sequence[Shown], earlier: Sequence[Shown] = (), n_epochs: int = 60) -> str:
    """Curves and, beside them, a table with the numbers at their end.

    Args:
        ax: see `draw_runs`. shown: the curves that are in colour. earlier: those before them, in grey; the latest are drawn.
    """
    drawn = earlier[-MOST_DRAWN:]
    text = draw_runs(ax, [*drawn, *shown], n_epochs)
    rows = [*shown, *reversed(earlier)]
    measured = any(each.result is not None and SHARPNESS in each.result.measures for each in rows)
    names = ["", "run", "instability", "accuracy", "gain (points)", *["sharpness"] * measured]
    head = "".join(
        f'<th scope="col">{name}</th>' if name else "<td></td>" for name in names
    )  # the first column is the curve's colour
    body = "".join(_row(each, measured, any(each is one for one in (*drawn, *shown))) for each in rows)
    table = (
        f'<table style="--gst-numbers:{len(names) - 2}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        if rows
        else ""
    )
    return card_html(
        f'<div class="gst-sides"><div>{picture_html(ax.figure, text)}</div><div>{table}</div></div>', _style()
    )


def _row(shown: Shown, measured: bool, drawn: bool) -> str:
    cells = ["", html.escape(shown.name), "", "", ""]
    if drawn:
        style = ROLES[shown.role]
        dashes = "" if isinstance(style["linestyle"], str) else " ".join(f"{2 * n:g}" for n in style["linestyle"][1])
        cells[0] = (
            f'<svg viewBox="0 0 28 14" aria-hidden="true"><path d="M0 7H28" stroke="{style["color"]}" '
            f'stroke-width="{1.3 * style["linewidth"]:.1f}" stroke-dasharray="{dashes}"/></svg>'
        )
    result = shown.result
    if result is not None:
        cells[2:4] = [f"{result.instability:.3f}" if len(result.events) else "", f"{result.final_accuracy:.1%}"]
        cells[4] = "" if shown.gain is None else f"{100 * shown.gain:+.1f}".replace("-", "\N{MINUS SIGN}")
    if measured:
        sharpness = math.nan if result is None else result.measures.get(SHARPNESS, math.nan)
        cells.append("" if math.isnan(sharpness) else f"{sharpness:.1f}")
    marked = ' class="gst-now"' if shown.role == "now" else ""
    return f"<tr{marked}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


@functools.cache
def _style() -> str:
    return Path(__file__).with_name("run_explorer.css").read_text(encoding="utf-8")


@functools.cache
def recorded_run(config: RunConfig) -> RunResult | None:
    """The run as it was recorded for the widgets (study "explorers"), with its curve; None if it was not."""
    from gst_tutorial.studies import get

    try:
        frame, epochs, events = (recorded("explorers", kind) for kind in ("runs", "epochs", "events"))
        arm = next(arm for arm, each in get("explorers").runs if each.hash == config.hash)
    except (ValueError, StopIteration):
        return None
    row = frame[frame["hash"] == config.hash].iloc[0]
    epochs, events = (part[part.label == arm.label].reset_index(drop=True) for part in (epochs, events))
    sharpness = row.get(SHARPNESS, math.nan)
    return RunResult(
        config=config,
        **{name: float(row[name]) for name in ("final_accuracy", "best_accuracy", "train_accuracy", "instability")},
        events=events,
        epochs=epochs,
        measures={} if math.isnan(sharpness) else {SHARPNESS: float(sharpness)},
        seconds=float(row.seconds),
    )


@dataclasses.dataclass
class Pairs:
    """The runs of one setting with several seeds, each beside its twin: (run, twin) by seed."""

    name: str
    by_seed: dict[int, tuple[RunResult, RunResult]] = dataclasses.field(default_factory=dict)

    @property
    def gain(self) -> Estimate:
        """Mean paired gain, with its interval. At least 3 seeds."""
        gains = [run.final_accuracy - twin.final_accuracy for run, twin in self.by_seed.values()]
        return mean_estimate(np.array(gains), self.name)

    @property
    def sharpness(self) -> Estimate | None:
        """Mean of log(sharpness / that of the twin); None unless both were measured with at least 3 seeds."""
        both = [[each.measures.get(SHARPNESS, math.nan) for each in pair] for pair in self.by_seed.values()]
        logs = [math.log(run / twin) for run, twin in both if run > 0 and twin > 0]
        return mean_estimate(np.array(logs), self.name) if len(logs) >= 3 else None


def intervals_html(settings: Iterable[Pairs]) -> str:
    """A forest plot of the mean paired gain of every setting with at least 3 seeds; empty if there is none."""
    settings = [pairs for pairs in settings if len(pairs.by_seed) >= 3]
    if not settings:
        return ""
    import matplotlib
    from matplotlib.figure import Figure

    from gst_tutorial.book.figures import plots

    estimates = {f"{pairs.name} ({len(pairs.by_seed)} seeds)": pairs.gain for pairs in settings}
    lines = sum(len(textwrap.wrap(name, plots.FOREST_LETTERS)) + 1.3 for name in estimates)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 0.75 + 0.19 * lines), layout="constrained")
        ax = plots.forest(estimates, figure.add_subplot(), 100, "gain over the undisturbed twin (points)")
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, -0.5), max(high, 0.5))  # so that the line at zero has two sides
    said = "; ".join(
        f"{name}: {100 * e.value:+.1f} points, 95% interval {100 * e.low:+.1f} to {100 * e.high:+.1f}"
        for name, e in estimates.items()
    )
    words = [
        f"{pairs.name}: sharpness {math.exp(e.value):.2f} times its twin's, 95% interval {math.exp(e.low):.2f} to "
        f"{math.exp(e.high):.2f}."
        for pairs in settings
        if (e := pairs.sharpness) is not None
    ]
    notes = "".join(f'<p class="gst-note">{html.escape(each)}</p>' for each in words)
    return card_html(f"{picture_html(figure, f'Mean gains over the twin. {said}.')}{notes}", _style())
