"""Train a run from controls: the reader chooses, watches the curve, and sees the run join a growing scatter.

What the controls mean (`config_from`) and the pictures (`draw_curve`, `draw_scatter`) are plain functions; `RunExplorer`
only connects them. Training has a thread of its own, so that the kernel can still hear the stop button.
"""

from __future__ import annotations

import dataclasses
import html
import threading
from collections.abc import Sequence

import pandas as pd

from gst_tutorial.config import RunConfig
from gst_tutorial.experiment import Experiment, RunResult
from gst_tutorial.figures.style import look, look_name
from gst_tutorial.pruning import TARGETS, PruneSchedule
from gst_tutorial.studies.recorded import recorded
from gst_tutorial.studies.study import method_of
from gst_tutorial.widgets.answers import clear, error_html, new_axes, picture_html
from gst_tutorial.widgets.answers import controls as ipywidgets

INTERVENTIONS = ("none", "prune", "zero", "gaussian")
DRAW_EVERY = 5  # epochs; a picture takes about as long as half an epoch of training
PERIODS = (2, 4, 6, 9, 12, 18)  # epochs between events, as in the recorded study "tradeoff"
BATCHES = (1, 10, 20)  # the longest still fits into the shortest retrain period
SEEDS = range(40)  # recorded runs have the seeds 0 to 19
BASE = RunConfig(prune_fraction=0.9, schedule=PruneSchedule(5, 40, 9))
WAITING = "Choose, then press Train. A run takes a few seconds."


def config_from(
    intervention: str, target: str, retrain_period: int, n_batches: int, seed: int, base: RunConfig = BASE
) -> RunConfig:
    """The run that the controls ask for. What an intervention does not use keeps its value from `base`, or its default.

    Args:
        intervention: one of `INTERVENTIONS`. target, n_batches, seed: see `gst.RunConfig`.
        retrain_period: epochs between events. Their window and total are those of `base`, so a long period means few
            and large events: iterative_rate = prune_fraction / events.
    """
    changes = {"intervention": intervention, "seed": seed, "evaluate_every": 1, "size": None}
    if intervention != "none":
        changes |= {"target": target, "schedule": PruneSchedule(base.schedule.start, base.schedule.end, retrain_period)}
    if "n_batches" in controls_in_use(intervention):
        changes["n_batches"] = n_batches
    else:
        changes |= {"n_batches": 1, "draws": "new", "restore": "no"}
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


def controls_in_use(intervention: str) -> set[str]:
    """Names of the controls that make a difference to a run with this intervention."""
    used = {"intervention", "seed"}
    if intervention != "none":
        used |= {"target", "retrain_period"}
    if intervention not in ("none", "prune"):
        used.add("n_batches")
    return used


def look_of(config: RunConfig) -> str:
    """The name under which `LOOKS` has the run's colour and marker."""
    return look_name({"method": method_of(config), "target": config.target})


def draw_curve(ax, epochs: Sequence[dict], events: Sequence, config: RunConfig) -> str:
    """Draw the training curve so far on `ax`; returns what it shows, in a sentence.

    Args:
        epochs: `Experiment.epochs`. events: `Experiment.events`.
    """
    from gst_tutorial.figures import plots

    clear(ax)
    epochs = pd.DataFrame(list(epochs), columns=["epoch", "test_accuracy"])
    columns = ("epoch", "accuracy_before", "accuracy_after")
    events = pd.DataFrame([{name: getattr(event, name) for name in columns} for event in events], columns=columns)
    plots.curve(epochs, events, ax, look_of(config))
    ax.set(xlim=(0, max(1, config.epochs - 1)), ylim=(0, 100))
    last = epochs.iloc[-1] if len(epochs) else None
    ends = "nothing trained yet" if last is None else f"{last.test_accuracy:.1%} after epoch {int(last.epoch)}"
    return f"Training curve: test accuracy is {ends}, with {len(events)} events."


def recorded_cloud(name: str = "tradeoff") -> tuple[pd.DataFrame, str]:
    """Recorded runs (columns label, method, target, instability, final_accuracy; empty if there are none) and a sentence
    about them."""
    columns = ["label", "method", "target", "instability", "final_accuracy"]
    try:
        frame = recorded(name)
    except ValueError:
        return pd.DataFrame(columns=columns), f"There is no recorded study “{name}” yet: you see your own runs only."
    runs = frame[columns].dropna()
    return runs, f"Small and pale: {len(runs)} recorded runs of the study “{name}”, their means larger."


def draw_scatter(ax, runs: Sequence[RunResult], cloud: pd.DataFrame) -> None:
    """Draw (instability, final accuracy) of the reader's runs, numbered and large, on the recorded ones.

    Args:
        runs: in the order in which they were trained. cloud: see `recorded_cloud`.
    """
    from gst_tutorial.figures import plots

    clear(ax)
    plots.accuracy_against_instability(cloud, ax)
    ax.set_xlabel("instability (mean over events)")  # the long one does not fit
    for number, run in enumerate(runs, start=1):
        style, point = look(look_of(run.config)), (run.instability, 100 * run.final_accuracy)
        ax.plot(*point, color=style["color"], marker=style["marker"], markersize=11, markeredgecolor="black")
        ax.annotate(str(number), point, textcoords="offset points", xytext=(7, 5), fontweight="bold")


def scatter_html(ax, runs: Sequence[RunResult], cloud: pd.DataFrame, sentence: str) -> str:
    """The picture of `draw_scatter`, what is in it, and a table of the reader's runs."""
    draw_scatter(ax, runs, cloud)
    text = f"Final test accuracy against instability. {sentence} Your {len(runs)} runs are in the table below."
    legend = f"{sentence} Large, with a number: your runs."
    rows = "".join(_row(number, run) for number, run in enumerate(runs, start=1))
    names = ("run", "intervention", "events", "seed", "instability", "accuracy")
    head = "".join(f"<th scope='col'>{name}&emsp;</th>" for name in names)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if runs else ""
    return f"{picture_html(ax.figure, text)}<p>{html.escape(legend)}</p>{table}"


def _row(number: int, run: RunResult) -> str:
    config = run.config
    does = config.intervention
    if does != "none":
        does += f", {config.target}"
    if config.events.temporary:
        does += f", {_batches(config.n_batches)}"
    cells = [number, does, len(run.events), config.seed, f"{run.instability:.3f}", f"{run.final_accuracy:.1%}"]
    return f"<tr>{''.join(f'<td>{html.escape(str(cell))}&emsp;</td>' for cell in cells)}</tr>"


def _batches(n: int) -> str:
    return f"{n} batch" if n == 1 else f"{n} batches"


class _Stopped(Exception):
    """The reader pressed Stop."""


class RunExplorer:
    """The controls of `run_explorer` and what they do. `box` is the widget, `runs` holds the finished runs.

    One explorer of a process trains at a time: a run borrows torch's global settings, so two would mix them up. Random
    numbers that other cells draw from torch's global generator while a run trains are not the ones they usually get.
    """

    _active: RunExplorer | None = None

    def __init__(self, base: RunConfig = BASE):
        widgets = ipywidgets()
        if not isinstance(base, RunConfig):
            raise TypeError(f"base={base!r} must be a gst.RunConfig.")
        if not isinstance(base.schedule, PruneSchedule) or not isinstance(base.prune_fraction, float):
            raise ValueError("base has a schedule or prune_fraction for each layer; the controls need one for all.")
        self.base, self.runs = base, []
        self.thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._cloud = recorded_cloud()
        batches = [(f"{_batches(n)} after an event", n) for n in BATCHES]
        wide = {"style": {"description_width": "110px"}, "layout": widgets.Layout(width="480px", max_width="100%")}
        self.controls = {
            "intervention": widgets.Dropdown(options=INTERVENTIONS, value="prune", description="intervention", **wide),
            "target": widgets.Dropdown(options=TARGETS, description="target", **wide),
            "retrain_period": widgets.Dropdown(options=periods(base), description="iterative rate", **wide),
            "n_batches": widgets.Dropdown(options=batches, description="noise lasts", **wide),
            "seed": widgets.IntSlider(min=SEEDS[0], max=SEEDS[-1], description="seed", **wide),
        }
        self.train_button = widgets.Button(description="Train", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.status = widgets.HTML(f"<p>{WAITING}</p>")
        self._axes = {"curve": new_axes(4.4, 3.0), "scatter": new_axes(4.4, 3.0)}
        self.curve = widgets.HTML()
        self._draw_curve([], [], self.config)
        self.scatter = widgets.HTML(scatter_html(self._axes["scatter"], [], *self._cloud))
        pictures = widgets.HBox([self.curve, self.scatter], layout=widgets.Layout(flex_flow="row wrap"))
        buttons = widgets.HBox([self.train_button, self.stop_button])
        self.box = widgets.VBox([*self.controls.values(), buttons, self.status, pictures])
        self.controls["intervention"].observe(self._show_what_is_in_use, "value")
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
        n_epochs = experiment.config.epochs

        def watch(epoch: int, step: int) -> None:
            if self._stop.is_set():
                raise _Stopped
            if step == experiment.steps_per_epoch:
                if (epoch + 1) % DRAW_EVERY == 0 or epoch + 1 == n_epochs:
                    self._draw_curve(experiment.epochs, experiment.events, experiment.config)
                self.status.value = f"<p>Training: {epoch + 1} of {n_epochs} epochs done.</p>"

        try:
            result = experiment.run(callbacks=[watch])
            self.runs.append(dataclasses.replace(result, model=None, dataset=None))
            self.scatter.value = scatter_html(self._axes["scatter"], self.runs, *self._cloud)
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

    def _draw_curve(self, epochs: Sequence[dict], events: Sequence, config: RunConfig) -> None:
        text = draw_curve(self._axes["curve"], epochs, events, config)
        self.curve.value = picture_html(self._axes["curve"].figure, text)

    def _set_training(self, training: bool) -> None:
        self.train_button.disabled = training
        self.stop_button.disabled = not training

    def _show_what_is_in_use(self, change=None) -> None:
        used = controls_in_use(self.controls["intervention"].value)
        for name, control in self.controls.items():
            control.disabled = name not in used


def run_explorer(base: RunConfig = BASE):
    """Controls for intervention, target, iterative rate, noise and seed; buttons that train and stop; curve and scatter.

    The recorded runs of the paper's protocol (study "tradeoff") lie below the reader's own.

    Args:
        base: everything that the controls leave open: data, network, recipe, and the window of the events.

    Returns:
        An ipywidgets `VBox`.

    Raises:
        ImportError: ipywidgets is not installed. TypeError, ValueError: the controls cannot vary this base.
    """
    return RunExplorer(base).box
