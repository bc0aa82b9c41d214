"""Train a run from controls: the reader turns a chapter's knobs, and sees the run beside its twin that nobody pruned.

`KNOBS` is the table of controls: what each is called, which values it has and how one enters a config. What they mean
together (`config_from`) and the pictures (`runs_html`, `intervals_html`) are plain functions; `RunExplorer` only connects
them. Training has a thread of its own, so that the kernel can still hear the stop button.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import math
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gst_tutorial import _arguments as check
from gst_tutorial.book.figures.style import PALETTE, STYLE
from gst_tutorial.book.recorded import recorded
from gst_tutorial.book.widgets.answers import box_with_still, card_html, clear, error_html, new_axes, picture_html
from gst_tutorial.book.widgets.answers import controls as ipywidgets
from gst_tutorial.config import Events, RunConfig
from gst_tutorial.data import dataset as data
from gst_tutorial.experiment import Experiment, RunResult
from gst_tutorial.pruning import TARGETS, PruneSchedule
from gst_tutorial.statistics import Estimate, mean_estimate
from gst_tutorial.studies import cost
from gst_tutorial.studies.study import Study

DRAW_EVERY = 5  # epochs; a picture takes about as long as half an epoch of training
SEEDS = range(40)
MORE = 5  # seeds that one press of a button adds
MOST_DRAWN = 4  # earlier curves in grey; more could not be told apart, and the table has them all
SHARPNESS = "test_matched_normalized_trace"  # of `measure_sharpness`
WAITING = "Choose, then press Train."
BASE = RunConfig(intervention="prune", prune_fraction=0.9, schedule=PruneSchedule(5, 40, 9))


# --- the controls ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Knob:
    """A control.

    Attributes:
        label: what stands before it.
        values: its values, by the words in which they are offered.
        enter: function of (config, value): what changes in the config, by the name of the field.
        read: function of a config: the value that is in it.
        counts: function of a config: whether the knob makes a difference to it.
        said: how a value is said in the name of a run, with `{}` for its words; empty: not at all.
        quiet: whether the name of a run leaves out the value that the base has.
    """

    label: str
    values: Mapping[str, Any]
    enter: Callable[[RunConfig, Any], dict]
    read: Callable[[RunConfig], Any]
    counts: Callable[[RunConfig], bool] = lambda config: True
    said: str = "{}"
    quiet: bool = False


def _field(label: str, name: str, values: Iterable, words: str = "{}", **others) -> Knob:
    """The knob of one field of the config."""
    return Knob(
        label,
        {words.format(value): value for value in values},
        lambda config, value: {name: value},
        lambda config: getattr(config, name),
        **others,
    )


# What a jolt does, in the words of chapter 6: intervention, size, and the layers if they are not the usual ones.
JOLTS = {
    "zero": ("zero", None, None),
    "shrink": ("scale", 0.25, None),
    "shrink, unseen": ("rescale", 0.25, None),
    "grow": ("scale", 4.0, None),
    "grow, unseen": ("rescale", 4.0, None),
    "redirect": ("redirect", None, None),
    "noise": ("gaussian", None, None),
    "noise, same norm": ("gaussian_same_norm", None, None),
    "zero the head's inputs": ("zero_inputs", None, ("head",)),
    "reset the moments": ("reset_moments", None, None),
    "prune": ("prune", None, None),
}


def _does(config: RunConfig, intervention: str, size: float | None = None, layers: tuple | None = None) -> dict:
    """What an intervention changes in a config. Pruning is for good: it has no batches and gives nothing back."""
    for_good = {"draws": "new", "n_batches": 1, "restore": "no"} if intervention == "prune" else {}
    return {"intervention": intervention, "size": size, "layers": layers or config.events.layers, **for_good}


def _jolt_of(config: RunConfig) -> str | None:
    changes = {name: config.replace(**_does(config, *jolt)).events for name, jolt in JOLTS.items()}
    return next((name for name, events in changes.items() if events == config.events), None)


_aims = lambda config: config.intervention != "reset_moments"  # noqa: E731  at some filters and not at others
_lasts = lambda config: config.events.temporary  # noqa: E731

KNOBS = {
    "intervention": Knob(
        "intervention",
        {name: name for name in ("prune", "zero", "silence", "gaussian")},
        lambda config, value: _does(config, value),
        lambda config: config.intervention,
    ),
    "jolt": Knob(
        "jolt",
        {name: name for name in JOLTS},
        lambda config, value: _does(config, *JOLTS[value]),
        _jolt_of,
    ),
    "optimizer": Knob(
        "optimizer",
        {"Adam": ("adam", 2e-3), "AdamW": ("adamw", 2e-3), "SGD": ("sgd", 0.1)},
        lambda config, value: dict(zip(("optimizer", "learning_rate"), value)),
        lambda config: (config.optimizer, config.learning_rate),
    ),
    "learning_rate": _field(
        "learning rate", "learning_rate", (1e-3, 2e-3, 5e-3, 1e-2, 2e-2), "{:g}", said="learning rate {}", quiet=True
    ),
    "weight_decay": _field(
        "weight decay", "weight_decay", (0.0, 3e-3, 1e-2, 3e-2, 0.1, 0.3), "{:g}", said="decay {}", quiet=True
    ),
    "augment": Knob(
        "augmentation",
        {"no": "none", "shift and noise": "shift_noise"},
        lambda config, value: {"augment": value},
        lambda config: config.augment,
        lambda config: data.kind_of(config.data) == "signals",
        said="augmentation: {}",
        quiet=True,
    ),
    "dropout": _field("dropout", "dropout", (0.0, 0.3, 0.5, 0.7), "{:g}", said="dropout {}", quiet=True),
    "sam_radius": _field("SAM's radius", "sam_radius", (0.0, 0.05, 0.1, 0.2), "{:g}", said="SAM {}", quiet=True),
    "prune_fraction": _field(
        "dose", "prune_fraction", (0.05, 0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.95), "{:.0%}", counts=_aims
    ),
    "target": _field("target", "target", TARGETS, counts=_aims),
    "end": Knob(
        "window ends",
        {f"epoch {end}": end for end in (23, 31, 35, 40)},
        lambda config, value: {"schedule": dataclasses.replace(config.schedule, end=value)},
        lambda config: config.schedule.end,
        said="to {}",
    ),
    "retrain_period": Knob(
        "an event every",
        {"epoch" if n == 1 else f"{n} epochs": n for n in (1, 2, 4, 6, 9, 12, 18)},
        lambda config, value: {"schedule": dataclasses.replace(config.schedule, retrain_period=value)},
        lambda config: config.schedule.retrain_period,
        said="every {}",
    ),
    "n_batches": Knob(
        "hit lasts",
        {"1 batch" if n == 1 else f"{n} batches": n for n in (1, 10, 20, 40, 90)},
        lambda config, value: {"n_batches": value},
        lambda config: config.n_batches,
        _lasts,
        quiet=True,
    ),
    "restore": Knob(
        "given back",
        {"nothing": "no", "weights": "values", "their length": "norm"},
        lambda config, value: {"restore": value},
        lambda config: config.restore,
        _lasts,
        said="given back: {}",
        quiet=True,
    ),
    "flatness": Knob(
        "sharpness",
        {"not measured": (), "measured at the end": ("sharpness",)},
        lambda config, value: {"measures": value},
        lambda config: config.measures,
        said="",
    ),
    "seed": _field("seed", "seed", SEEDS, said="seed {}"),
}
USUAL = ("intervention", "prune_fraction", "target", "retrain_period", "seed")
FIRST = {"unstable: two events": {"retrain_period": 18}, "gentle: eighteen events": {"retrain_period": 2}}


def config_from(settings: Mapping[str, Any], base: RunConfig = BASE) -> RunConfig:
    """The run that the controls ask for.

    Args:
        settings: a value by the name of its knob. They enter in the order of `KNOBS`; one that makes no difference to
            what those before it say is left out, so that two settings of the same meaning are the same run.
        base: everything that they leave open.

    Raises:
        ValueError: a name that is no knob, or values that do not fit each other.
    """
    for name in settings:
        check.one_of("knobs", name, KNOBS)
    config = base.replace(evaluate_every=1)
    for name, knob in KNOBS.items():
        if name in settings and knob.counts(config):
            config = config.replace(**knob.enter(config, settings[name]))
    return config


def twin_of(config: RunConfig) -> RunConfig:
    """The same run with nobody pruning: same seed, same recipe."""
    return config.replace(events=Events())


def why_not(config: RunConfig) -> str:
    """A sentence that says why these choices do not go together; empty if they do."""
    gap = config.schedule.retrain_period
    if len(config.event_epochs) < 2:
        gap = config.epochs
    gap = min(gap, config.epochs - 1 - config.event_epochs[-1])
    batches = gap * config.recipe.steps_per_epoch(config.n_train or data.source(config.data).n_train)
    if config.restore != "no" and config.n_batches > batches:
        return (
            f"A hit of {config.n_batches} batches lasts beyond the next event, {batches} batches later, so nothing could "
            "be given back. Choose a shorter hit, or give back nothing."
        )
    return ""


def plan_words(config: RunConfig) -> str:
    """What happens in this run, in a sentence."""
    epochs = config.event_epochs
    events = (
        f"{len(epochs)} events, the last after epoch {epochs[-1]}"
        if epochs[1:]
        else f"1 event, after epoch {epochs[0]}"
    )
    if not _aims(config):
        return f"{events}."
    every = config.draws == "afresh"
    share = config.prune_fraction if every else config.prune_fraction / len(epochs)
    what = "inputs" if config.intervention == "zero_inputs" else "filters"
    return (
        f"{events}; each {'prunes' if config.intervention == 'prune' else 'hits'} {100 * share:.3g}% of the {what} of "
        + (f"{' and '.join(config.layers)}.")
    )


def _fits(knob: Knob, config: RunConfig, value: Any) -> bool:
    """Whether a value of a knob can enter this config at all; where not, it is not offered."""
    try:
        config.replace(**knob.enter(config, value))
    except ValueError:
        return False
    return True


def name_of(config: RunConfig, knobs: Sequence[str], base: RunConfig = BASE, seed: bool = True) -> str:
    """A run in the words of these knobs, those that make a difference to it."""
    words = []
    for name in knobs:
        knob, value = KNOBS[name], KNOBS[name].read(config)
        told = knob.said and knob.counts(config) and (seed or name != "seed")
        if told and not (knob.quiet and value == knob.read(base)):
            words.append(knob.said.format(_words(knob, value)))
    return ", ".join(words)


def _words(knob: Knob, value: Any) -> str:
    return next((words for words, each in knob.values.items() if each == value), str(value))


# --- what is shown ---------------------------------------------------------------------------------------------------


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
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


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
        ax = plots.forest(estimates, figure.add_subplot(), 100, "gain over the twin nobody pruned (points)")
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


@functools.cache
def _seconds_of(config: RunConfig) -> float:
    try:
        return 3600 * cost.study_cost(Study("time", "How long?", {"run": config}, (0,)), n_steps=10)["hours"]
    except Exception:  # data that are not here yet, a function of the reader's that fails: the run will say so
        return math.nan


def seconds_of(config: RunConfig) -> float:
    """What a run takes here, in seconds, from a few batches that are timed once; NaN where that cannot be told.

    Not while another run trains: both would be slower, and they would draw from the same global generator.
    """
    # Neither a seed nor an event takes time, so one timing serves all runs of a recipe.
    return _seconds_of(twin_of(config).replace(seed=0, data_seed=0, measures=()))


def time_words(seconds: float) -> str:
    """A duration to wait for.

    >>> time_words(7.4), time_words(130)
    ('about 8 s', 'about 3 min')
    """
    return f"about {math.ceil(seconds)} s" if seconds < 100 else f"about {math.ceil(seconds / 60)} min"


# --- the widget ------------------------------------------------------------------------------------------------------


class _Stopped(Exception):
    """The reader pressed Stop."""


class RunExplorer:
    """The controls of `run_explorer` and what they do. `box` is the widget; `runs` holds what is shown, `pairs` the seeds.

    One explorer of a process trains at a time: a run borrows torch's global settings, so two would mix them up. Random
    numbers that other cells draw from torch's global generator while a run trains are not the ones they usually get.
    """

    _active: RunExplorer | None = None

    def __init__(
        self,
        knobs: Sequence[str] = USUAL,
        base: RunConfig = BASE,
        first: Mapping[str, Mapping[str, Any]] | None = None,
    ):
        widgets = ipywidgets()
        self.knobs = tuple(check.one_of("knobs", name, KNOBS) for name in check.many("knobs", knobs, "names"))
        if not isinstance(base, RunConfig):
            raise TypeError(f"base={base!r} must be a gst.RunConfig.")
        if not isinstance(base.schedule, PruneSchedule) or not isinstance(base.prune_fraction, float):
            raise ValueError(
                "base needs one schedule of regular events and one prune_fraction; the controls vary them."
            )
        if base.intervention == "none":
            base = base.replace(intervention="prune")  # the twin is the run without events
        if first is None:
            first = FIRST if base == BASE and "retrain_period" in self.knobs else {}
        check.instance("first", first, Mapping)
        self.base = base
        # What is shown first, and trained on the first press where it is not recorded.
        self.waiting = {name: config_from(settings, base) for name, settings in first.items()}
        self.runs: list[Shown] = []
        self.pairs: dict[str, Pairs] = {}
        self.training = False  # whether a run is being trained
        self.thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._twins: dict[str, RunResult] = {}
        self._pace = 1.0  # what a run took, over what a few batches had promised
        start = next(iter(self.waiting.values()), base)
        self.controls = {name: self._control(widgets, name, start) for name in self.knobs}
        button = functools.partial(widgets.Button, layout=widgets.Layout(width="auto", min_width="90px"))
        self.train_button = button(description="Train", button_style="primary")
        self.more_button = button(description="Five more seeds")
        self.stop_button = button(description="Stop", disabled=True)
        self.clear_button = button(description="Clear")
        self.plan, self.status = widgets.HTML(), widgets.HTML()
        self._ax = new_axes(4.6, 3.2)
        self._show_first()
        self.curves, self.intervals = widgets.HTML(self._curves_html()), widgets.HTML()
        self._still = self.curves.value
        rows = widgets.Layout(flex_flow="row wrap")
        self.box = box_with_still(
            [
                widgets.HBox(list(self.controls.values()), layout=rows),
                self.plan,
                widgets.HBox([self.train_button, self.more_button, self.stop_button, self.clear_button], layout=rows),
                self.status,
                self.curves,
                self.intervals,
            ],
            lambda: self._still,
        )
        for control in self.controls.values():
            control.observe(self._show_plan, "value")
        self._show_plan()
        self.train_button.on_click(self.train)
        self.more_button.on_click(self.five_more)
        self.stop_button.on_click(self.stop)
        self.clear_button.on_click(self.clear)

    @staticmethod
    def _control(widgets, name: str, start: RunConfig):
        """The control of a knob, at the value that is in the config `start`."""
        knob = KNOBS[name]
        look = {
            "description": knob.label,
            "style": {"description_width": "100px"},
            "layout": widgets.Layout(width="300px", max_width="100%"),
        }
        value = knob.read(start)
        if name == "seed":
            return widgets.IntSlider(min=min(SEEDS[0], value), max=max(SEEDS[-1], value), value=value, **look)
        options = [(words, each) for words, each in knob.values.items() if _fits(knob, start, each)]
        if value not in knob.values.values():
            options.insert(0, ("as given" if value is None or isinstance(value, tuple) else str(value), value))
        return widgets.Dropdown(options=options, value=value, **look)

    @property
    def settings(self) -> dict[str, Any]:
        """The value of every knob, by its name."""
        # "as given" stands for what the base has and no value of the knob says.
        return {name: control.value for name, control in self.controls.items() if control.value is not None}

    @property
    def config(self) -> RunConfig:
        """The run that the controls ask for now."""
        return config_from(self.settings, self.base)

    def train(self, button=None) -> None:
        """Train the run that is chosen, and its twin, in the background; nothing if one is being trained already."""
        self._begin(lambda: [self.config])

    def five_more(self, button=None) -> None:
        """Train the setting with the next five seeds, each beside its twin, and draw the interval of the mean gain."""

        def configs() -> list[RunConfig]:
            config = self.config
            done = self._pairs_of(config).by_seed
            seeds = [seed for seed in range(config.seed, config.seed + len(done) + MORE) if seed not in done]
            return [config.replace(seed=seed) for seed in seeds[:MORE]]

        self._begin(configs, several=True)

    def stop(self, button=None) -> None:
        """End the run before its next batch. It leaves no curve: its final accuracy is unknown."""
        self._stop.set()

    def clear(self, button=None) -> None:
        """Forget all curves and intervals; the twins are kept, since they cannot change."""
        if self.training:
            return
        self.runs, self.pairs, self.waiting = [], {}, {}
        self.intervals.value, self.curves.value = "", self._curves_html()
        self._say(WAITING)

    def _begin(self, configs: Callable[[], list[RunConfig]], several: bool = False) -> None:
        if self.training:
            return
        try:
            if RunExplorer._active is not None and RunExplorer._active.training:
                RunExplorer._active.stop()
                RunExplorer._active.thread.join()
            self._say("Loading the data\N{HORIZONTAL ELLIPSIS}")
            self._stop.clear()
            chosen = configs()
            for config in (*self.waiting.values(), *chosen):
                seconds_of(config)  # here and not in the thread; there it is known
            arguments = (chosen, several)
            self.thread = threading.Thread(target=self._train, args=arguments, name="gst run", daemon=True)
            self._set_training(True)
            self.thread.start()
            RunExplorer._active = self
        except Exception as error:  # whatever went wrong, the reader sees it
            self._set_training(False)
            self.status.value = error_html(error)

    def _train(self, configs: list[RunConfig], several: bool) -> None:
        """Train each config after its twin; before them what should have been shown first and was not recorded."""
        waiting = dict(self.waiting)
        todo = [*waiting.values(), *configs]
        self._n_left = sum(1 + (twin_of(config).hash not in self._twins) for config in todo)
        began = time.perf_counter()
        try:
            for name, config in waiting.items():
                run, twin = self._pair(config)
                self.runs.append(shown_result(name, "earlier", run, twin))
                self.waiting.pop(name)
            for config in configs:
                run, twin = self._pair(config)
                pairs = self._pairs_of(config)
                pairs.by_seed[config.seed] = (run, twin)
                if not several:
                    self._keep(run, twin)
                self.intervals.value = intervals_html(self.pairs.values())
            if several:
                words = f"{pairs.name}: {len(pairs.by_seed)} seeds, in {time.perf_counter() - began:.0f} s."
                self._say(f"{words} The mean gain and its interval stand below the curves.")
            else:
                self.status.value = self._result_words(run, twin, time.perf_counter() - began)
        except _Stopped:
            self._say("Stopped; the run that was being trained leaves no curve.")
        except Exception as error:
            self.status.value = error_html(error)
        finally:
            self.curves.value = self._curves_html()
            self._set_training(False)

    def _pair(self, config: RunConfig) -> tuple[RunResult, RunResult]:
        """(the run, its twin), trained one after the other; a twin that is known is not trained again."""
        plain = twin_of(config)
        if plain.hash not in self._twins:
            self._twins[plain.hash] = self._run(plain, "twin", None)
        twin = self._twins[plain.hash]
        return self._run(config, "now", twin), twin

    def _run(self, config: RunConfig, role: str, twin: RunResult | None) -> RunResult:
        experiment = Experiment(config)
        n_epochs, began, expected = config.epochs, time.perf_counter(), seconds_of(config)
        name = "twin nobody pruned" if role == "twin" else name_of(config, self.knobs, self.base)

        def watch(epoch: int, step: int) -> None:
            if self._stop.is_set():
                raise _Stopped
            if step == experiment.steps_per_epoch:
                taken = time.perf_counter() - began
                left = taken / (epoch + 1) * (n_epochs * self._n_left - epoch - 1)
                self._say(f"Training: {name}, {epoch + 1} of {n_epochs} epochs done; {time_words(left)} left in all.")
                if (epoch + 1) % DRAW_EVERY == 0 or epoch + 1 == n_epochs:
                    self.curves.value = self._curves_html(self._growing(experiment, name, role, twin))

        result = dataclasses.replace(experiment.run(callbacks=[watch]), model=None, dataset=None)
        self._n_left -= 1
        if expected > 0:
            self._pace = result.seconds / expected
        return result

    def _growing(self, experiment: Experiment, name: str, role: str, twin: RunResult | None) -> list[Shown]:
        """A run in training, after its twin if that has ended."""
        epochs = pd.DataFrame(experiment.epochs, columns=["epoch", "test_accuracy"])
        columns = ("epoch", "accuracy_before", "accuracy_after")
        events = [{column: getattr(event, column) for column in columns} for event in experiment.events]
        growing = Shown(name, role, epochs, pd.DataFrame(events, columns=columns), experiment.config)
        return [growing] if twin is None else [shown_result("twin nobody pruned", "twin", twin), growing]

    def _pairs_of(self, config: RunConfig) -> Pairs:
        setting = config.replace(seed=0).hash
        return self.pairs.setdefault(setting, Pairs(name_of(config, self.knobs, self.base, seed=False)))

    def _keep(self, run: RunResult, twin: RunResult) -> None:
        """Put the run in front; what was there turns grey and gets a number."""
        earlier = [each for each in self.runs if each.role != "twin"]
        for each in earlier:
            each.role = "earlier"
        now = shown_result(name_of(run.config, self.knobs, self.base), "now", run, twin)
        self.runs = [*earlier, shown_result("twin nobody pruned", "twin", twin), now]

    def _show_first(self) -> None:
        """Put what is recorded in front: the twin, the first of the two runs, the second beside it."""
        for role, (name, config) in zip(("now", "beside"), list(self.waiting.items())):
            run, twin = recorded_run(config), recorded_run(twin_of(config))
            if run is not None and twin is not None:
                if not self.runs:
                    self.runs.append(shown_result("twin nobody pruned", "twin", twin))
                self.runs.append(shown_result(name, role, run, twin))
                self.waiting.pop(name)

    def _curves_html(self, front: Sequence[Shown] | None = None) -> str:
        """The curves: in front those given, otherwise the last ones; the others in grey, numbered from the first."""
        front = [each for each in self.runs if each.role != "earlier"] if front is None else front
        behind = [each for each in self.runs if each.role != "twin" and not any(each is one for one in front)]
        numbered = [
            dataclasses.replace(each, name=f"{i}: {each.name}", role="earlier")
            for i, each in enumerate(behind, start=1)
        ]
        return runs_html(self._ax, front, numbered, self.base.epochs)

    def _result_words(self, run: RunResult, twin: RunResult, seconds: float) -> str:
        gain = 100 * (run.final_accuracy - twin.final_accuracy)
        words = (
            f"Final test accuracy <b>{run.final_accuracy:.1%}</b>, {abs(gain):.1f} points "
            f"{'above' if gain >= 0 else 'below'} its twin; instability <b>{run.instability:.3f}</b>"
        )
        if SHARPNESS in run.measures:
            ratio = run.measures[SHARPNESS] / twin.measures[SHARPNESS]
            words += f"; sharpness <b>{ratio:.2f}</b> times its twin's"
        return f"<p>{words}. In {seconds:.0f} s. One seed is an anecdote.</p>"

    def _say(self, sentence: str) -> None:
        self.status.value = f"<p>{html.escape(sentence)}</p>"

    def _set_training(self, training: bool) -> None:
        self.training = training  # before the buttons: whoever sees one enabled may press it at once
        self.clear_button.disabled = training
        self.stop_button.disabled = not training
        self._show_plan(status=False)

    def _show_plan(self, change=None, status: bool = True) -> None:
        """Say what the chosen run is and how long it takes here; grey out what makes no difference to it."""
        sentence, fits = "", False
        try:
            config = self.config
            for name, control in self.controls.items():
                control.disabled = not KNOBS[name].counts(config)
            sentence = why_not(config)
            fits = not sentence
            sentence = sentence or plan_words(config)
        except Exception as error:  # a choice that the table does not foresee: it is said, and not raised
            sentence = str(error)
        self.plan.value = f"<p>{html.escape(sentence)}</p>"
        self.train_button.disabled = self.more_button.disabled = self.training or not fits
        if status and fits and not self.training:
            self._say(f"{WAITING} {self._time_words(config)}")

    def _time_words(self, config: RunConfig) -> str:
        other = RunExplorer._active
        if other is not None and other.training:  # a timing beside a run that trains would be wrong for both
            return ""
        seconds = self._pace * seconds_of(config)
        if math.isnan(seconds):
            return ""
        known = twin_of(config).hash in self._twins
        what = "The run takes" if known else "The run and its twin take"
        return f"{what} {time_words(seconds * (2 - known))} here, by the batches timed just now."


def run_explorer(
    knobs: Sequence[str] = USUAL,
    base: RunConfig = BASE,
    first: Mapping[str, Mapping[str, Any]] | None = None,
):
    """Controls for a run; buttons that train it beside its twin nobody pruned, add five seeds, stop and clear.

    A run is drawn with its twin: same seed, same recipe, no event. Earlier curves stay in grey, and a table has the numbers
    of all. Five more seeds give the mean paired gain with its 95% interval.

    Args:
        knobs: names of the controls, in the order in which they are shown: keys of
            `gst_tutorial.book.widgets.run_explorer.KNOBS`.
        base: everything that they leave open.
        first: what is shown before anybody trains: the values of knobs, by the name of the run. The controls start at the
            first of them. A run that is not recorded is trained on the first press.

    Returns:
        An ipywidgets `VBox`. Where no kernel runs, what it shows first stays on the page.

    Raises:
        ImportError: ipywidgets is not installed. TypeError, ValueError: a knob that is not known, or a base that the
            controls cannot vary.
    """
    return RunExplorer(knobs, base, first).box
