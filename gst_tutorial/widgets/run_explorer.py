"""Train a run from controls: the reader chooses, watches the curve, and sees the run join a growing scatter.

What the controls mean (`config_from`) and the pictures (`curve_svg`, `scatter_html`) are plain functions; `RunExplorer`
only connects them. Training has a thread of its own, so that the kernel can still hear the stop button.
"""

from __future__ import annotations

import dataclasses
import html
import threading
import traceback
from collections.abc import Sequence

import pandas as pd

from gst_tutorial.experiment import Experiment, RunConfig, RunResult
from gst_tutorial.figures.plots import LOOKS, look
from gst_tutorial.pruning import TARGETS, PruneSchedule
from gst_tutorial.studies.recorded import recorded
from gst_tutorial.widgets.live_pictures import MARKER_NAMES, axes_svg, line, markers

METHODS = ("none", "prune", "zero", "gaussian")
PERIODS = (2, 4, 6, 9, 12, 18)  # epochs between events, as in the recorded study "tradeoff"
NOISE_BATCHES = (1, 10, 20)  # the longest still fits into the shortest retrain period
SEEDS = range(40)  # recorded runs have the seeds 0 to 19
BASE = RunConfig(prune_fraction=0.9, schedule=PruneSchedule(5, 40, 9))
WAITING = "Choose, then press Train. A run takes a few seconds."


def config_from(
    method: str, target: str, retrain_period: int, noise_batches: int, seed: int, base: RunConfig = BASE
) -> RunConfig:
    """The run that the controls ask for. What a method does not use keeps its value from `base`.

    Args:
        method: "none", "prune", "zero" or "gaussian". target, noise_batches, seed: see `gst.RunConfig`.
        retrain_period: epochs between events. Their window and total are those of `base`, so a long period means few
            and large events: iterative_rate = prune_fraction / events.
    """
    changes = {"method": method, "seed": seed, "evaluate_every": 1}
    if method != "none":
        changes |= {"target": target, "schedule": PruneSchedule(base.schedule.start, base.schedule.end, retrain_period)}
    if method in ("zero", "gaussian"):
        changes["noise_batches"] = noise_batches
    return base.replace(**changes)


def periods(base: RunConfig = BASE) -> list[tuple[str, int]]:
    """(iterative rate in words, retrain period) of every choice that fits the base's window."""
    window = base.schedule.end - base.schedule.start
    choices = []
    for period in [period for period in PERIODS if period <= window] or [window + 1]:
        n_events = PruneSchedule(base.schedule.start, base.schedule.end, period).n_events
        rate = f"{100 * base.prune_fraction / n_events:.3g}%"
        choices.append((f"{rate} per event ({n_events} events, one every {period} epochs)", period))
    return choices


def controls_in_use(method: str) -> set[str]:
    """Names of the controls that make a difference to a run with this method."""
    used = {"method", "seed"}
    if method != "none":
        used |= {"target", "retrain_period"}
    if method in ("zero", "gaussian"):
        used.add("noise_batches")
    return used


def look_of(config: RunConfig) -> str:
    """The name under which `plots.LOOKS` has the run's colour and marker: its target if it prunes, else its method."""
    return config.target if config.method == "prune" else config.method


def curve_svg(epochs: Sequence[dict], events: Sequence, config: RunConfig) -> str:
    """The training curve so far, as SVG; an event is a vertical drop with a marker at its end.

    Args:
        epochs: `Experiment.epochs`. events: `Experiment.events`.
    """
    points = {float(row["epoch"]): 100 * row["test_accuracy"] for row in epochs}
    for event in events:  # before and after an event are two points at nearly the same place
        points[event.epoch - 1e-3] = 100 * event.accuracy_before
    after = [(event.epoch, 100 * event.accuracy_after) for event in events]
    ends = f"{epochs[-1]['test_accuracy']:.1%} after epoch {epochs[-1]['epoch']}" if epochs else "nothing trained yet"
    style = look(look_of(config))
    return axes_svg(
        lambda place: line(place, sorted(points.items()), style) + markers(place, after, style, radius=3.5),
        x_range=(0, max(1, config.recipe.epochs - 1)),
        y_range=(0, 100),
        labels=("epoch", "test accuracy (%)"),
        text=f"Training curve: test accuracy is {ends}, with {len(events)} events.",
    )


def recorded_cloud(name: str = "tradeoff") -> tuple[pd.DataFrame, str]:
    """Recorded runs (columns label, instability, final_accuracy; empty if there are none) and a sentence about them."""
    columns = ["label", "instability", "final_accuracy"]
    try:
        frame = recorded(name)
    except ValueError:
        return pd.DataFrame(columns=columns), f"There is no recorded study “{name}” yet: you see your own runs only."
    runs = frame[columns].dropna()
    return runs, f"Small and pale: {len(runs)} recorded runs of the study “{name}”."


def scatter_html(runs: Sequence[RunResult], cloud: pd.DataFrame, sentence: str) -> str:
    """(instability, final accuracy) of the reader's runs, numbered and large, beside the recorded ones; and a table.

    Args:
        runs: in the order in which they were trained.
        cloud, sentence: see `recorded_cloud`.
    """
    groups = cloud.groupby(cloud.label.map(lambda label: next((key for key in LOOKS if key in label), "none")))
    own = [(run.instability, 100 * run.final_accuracy) for run in runs]
    everything = [*own, *_points(cloud)]
    x = [0.0, 0.1, *(point[0] for point in everything)]
    y = [point[1] for point in everything] or [0.0, 100.0]

    def draw(place) -> str:
        pale = [markers(place, _points(group), look(name), radius=2, opacity=0.4) for name, group in groups]
        large = [
            markers(place, [point], look(look_of(run.config)), radius=6, number=number)
            for number, (point, run) in enumerate(zip(own, runs, strict=True), start=1)
        ]
        return "".join([*pale, *large])

    picture = axes_svg(
        draw,
        x_range=(min(x) - 0.02, max(x) + 0.04),
        y_range=(max(0.0, min(y) - 2), min(100.0, max(y) + 2)),
        labels=("instability (mean over events)", "final test accuracy (%)"),
        text=f"Final test accuracy against instability. {sentence} Your {len(runs)} runs are in the table below.",
    )
    shapes = ", ".join(f"{MARKER_NAMES[look(name)['marker']]}: {name}" for name, _ in groups)
    legend = f"{sentence}{f' {shapes.capitalize()}.' if shapes else ''} Large, with a number: your runs."
    rows = "".join(_row(number, run) for number, run in enumerate(runs, start=1))
    head = "".join(
        f"<th scope='col'>{name}&emsp;</th>" for name in ("run", "method", "events", "seed", "instability", "accuracy")
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if runs else ""
    return f"{picture}<p>{html.escape(legend)}</p>{table}"


def _points(frame: pd.DataFrame) -> list[tuple[float, float]]:
    return list(zip(frame.instability, 100 * frame.final_accuracy, strict=True))


def _row(number: int, run: RunResult) -> str:
    config = run.config
    method = f"prune, {config.target}" if config.method == "prune" else config.method
    if config.temporary:
        method = f"{config.method}, {config.target}, {_batches(config.noise_batches)}"
    cells = [number, method, len(run.events), config.seed, f"{run.instability:.3f}", f"{run.final_accuracy:.1%}"]
    return f"<tr>{''.join(f'<td>{html.escape(str(cell))}&emsp;</td>' for cell in cells)}</tr>"


def _batches(n: int) -> str:
    return f"{n} batch" if n == 1 else f"{n} batches"


def error_html(error: Exception) -> str:
    """An exception for a reader: what it says first, the traceback folded below."""
    summary = html.escape(f"{type(error).__name__}: {error}")
    full = html.escape("".join(traceback.format_exception(error)))
    return f"<details role='alert'><summary><b>{summary}</b></summary><pre>{full}</pre></details>"


class _Stopped(Exception):
    """The reader pressed Stop."""


class RunExplorer:
    """The controls of `run_explorer` and what they do. `box` is the widget, `runs` holds the finished runs.

    One explorer of a process trains at a time: a run borrows torch's global settings, so two would mix them up. Random
    numbers that other cells draw from torch's global generator while a run trains are not the ones they usually get.
    """

    _active: RunExplorer | None = None

    def __init__(self, base: RunConfig = BASE):
        import ipywidgets as widgets

        if not isinstance(base, RunConfig):
            raise TypeError(f"base={base!r} must be a gst.RunConfig.")
        if not isinstance(base.schedule, PruneSchedule) or not isinstance(base.prune_fraction, float):
            raise ValueError("base has a schedule or prune_fraction for each layer; the controls need one for all.")
        self.base, self.runs = base, []
        self.thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._cloud = recorded_cloud()
        batches = [(f"{_batches(n)} after an event", n) for n in NOISE_BATCHES]
        wide = {"style": {"description_width": "110px"}, "layout": widgets.Layout(width="480px", max_width="100%")}
        self.controls = {
            "method": widgets.Dropdown(options=METHODS, value="prune", description="method", **wide),
            "target": widgets.Dropdown(options=TARGETS, description="target", **wide),
            "retrain_period": widgets.Dropdown(options=periods(base), description="iterative rate", **wide),
            "noise_batches": widgets.Dropdown(options=batches, description="noise lasts", **wide),
            "seed": widgets.IntSlider(min=SEEDS[0], max=SEEDS[-1], description="seed", **wide),
        }
        self.train_button = widgets.Button(description="Train", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.status = widgets.HTML(f"<p>{WAITING}</p>")
        self.curve = widgets.HTML(curve_svg([], [], self.config))
        self.scatter = widgets.HTML(scatter_html([], *self._cloud))
        pictures = widgets.HBox([self.curve, self.scatter], layout=widgets.Layout(flex_flow="row wrap"))
        buttons = widgets.HBox([self.train_button, self.stop_button])
        self.box = widgets.VBox([*self.controls.values(), buttons, self.status, pictures])
        self.controls["method"].observe(self._show_what_is_in_use, "value")
        self._show_what_is_in_use()
        self.train_button.on_click(self.train)
        self.stop_button.on_click(self.stop)

    @property
    def config(self) -> RunConfig:
        """The run that the controls ask for now."""
        return config_from(**{name: control.value for name, control in self.controls.items()}, base=self.base)

    @property
    def training(self) -> bool:
        """Whether a run is being trained."""
        return self.thread is not None and self.thread.is_alive()

    def train(self, button=None) -> None:
        """Begin a run in the background; nothing if one is being trained already."""
        if self.training:
            return
        try:
            if RunExplorer._active is not None and RunExplorer._active.training:
                RunExplorer._active.stop()
                RunExplorer._active.thread.join()
            self.status.value = "<p>Loading the data&hellip;</p>"
            self._stop.clear()
            # Built here and not in the thread: the initial weights come from torch's global generator.
            experiment = Experiment(self.config)
            self.thread = threading.Thread(target=self._train, args=(experiment,), name="gst run", daemon=True)
            self._set_training(True)
            self.thread.start()
            RunExplorer._active = self
        except Exception as error:  # whatever went wrong, the reader sees it
            self._set_training(False)
            self.status.value = error_html(error)

    def stop(self, button=None) -> None:
        """End the run before its next batch. It gets no point: its final accuracy is unknown."""
        self._stop.set()

    def _train(self, experiment: Experiment) -> None:
        n_epochs = experiment.config.recipe.epochs

        def watch(epoch: int, step: int) -> None:
            if self._stop.is_set():
                raise _Stopped
            if step == experiment.steps_per_epoch:
                self.curve.value = curve_svg(experiment.epochs, experiment.events, experiment.config)
                self.status.value = f"<p>Training: {epoch + 1} of {n_epochs} epochs done.</p>"

        try:
            result = experiment.run(callbacks=[watch])
            self.runs.append(dataclasses.replace(result, model=None, dataset=None))
            self.scatter.value = scatter_html(self.runs, *self._cloud)
            self.status.value = (
                f"<p>Run {len(self.runs)}: final test accuracy <b>{result.final_accuracy:.1%}</b>, instability "
                f"<b>{result.instability:.3f}</b>, in {result.seconds:.0f} s.</p>"
            )
        except _Stopped:
            self.status.value = (
                f"<p>Stopped after {len(experiment.epochs)} of {n_epochs} epochs; the run gets no point.</p>"
            )
        except Exception as error:
            self.status.value = error_html(error)
        finally:
            self._set_training(False)

    def _set_training(self, training: bool) -> None:
        self.train_button.disabled = training
        self.stop_button.disabled = not training

    def _show_what_is_in_use(self, change=None) -> None:
        used = controls_in_use(self.controls["method"].value)
        for name, control in self.controls.items():
            control.disabled = name not in used


def run_explorer(base: RunConfig = BASE):
    """Controls for method, target, iterative rate, noise and seed; buttons that train and stop; curve and scatter.

    The recorded runs of the paper's protocol (study "tradeoff") lie below the reader's own.

    Args:
        base: everything that the controls leave open: data, network, recipe, and the window of the events.

    Returns:
        An ipywidgets `VBox`.
    """
    return RunExplorer(base).box
