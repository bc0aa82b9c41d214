"""Train a run from controls: `run_explorer` draws it with its twin, the same run without pruning.

`RunExplorer` connects the controls (knobs.py) and the pictures (run_pictures.py). It trains in a thread, so that the kernel
can still hear the stop button.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from gst_tutorial import _arguments as check
from gst_tutorial.book.widgets.answers import box_with_still, error_html, new_axes
from gst_tutorial.book.widgets.answers import controls as ipywidgets
from gst_tutorial.book.widgets.knobs import (
    BASE,
    FIRST,
    KNOBS,
    SEEDS,
    USUAL,
    config_from,
    fits,
    name_of,
    plan_words,
    twin_of,
    why_not,
)
from gst_tutorial.book.widgets.run_pictures import (
    SHARPNESS,
    Pairs,
    Shown,
    intervals_html,
    recorded_run,
    runs_html,
    shown_result,
)
from gst_tutorial.config import RunConfig
from gst_tutorial.experiment import Experiment, RunResult
from gst_tutorial.schedules import Schedule
from gst_tutorial.studies import cost
from gst_tutorial.studies.study import Study

DRAW_EVERY = 5  # epochs; a picture takes about as long as half an epoch of training
MORE = 5  # seeds that one press of a button adds
WAITING = "Choose, then press Train."


@functools.cache
def _seconds_of(config: RunConfig) -> float:
    try:
        return 3600 * cost.study_cost(Study("time", "How long?", {"run": config}, (0,)), n_steps=10)["hours"]
    except Exception:  # data that are not here yet, a function of the reader's that fails: the run will say so
        return math.nan


def seconds_of(config: RunConfig) -> float:
    """Duration of a run here, in seconds, from a few batches that are timed once; NaN where that cannot be told.

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
        if (
            not isinstance(base.schedule, Schedule)
            or not base.schedule.is_regular
            or not isinstance(base.prune_fraction, float)
        ):
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
        options = [(words, each) for words, each in knob.values.items() if fits(knob, start, each)]
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
        name = "undisturbed twin" if role == "twin" else name_of(config, self.knobs, self.base)

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
        return [growing] if twin is None else [shown_result("undisturbed twin", "twin", twin), growing]

    def _pairs_of(self, config: RunConfig) -> Pairs:
        setting = config.replace(seed=0).hash
        return self.pairs.setdefault(setting, Pairs(name_of(config, self.knobs, self.base, seed=False)))

    def _keep(self, run: RunResult, twin: RunResult) -> None:
        """Put the run in front; what was there turns grey and gets a number."""
        earlier = [each for each in self.runs if each.role != "twin"]
        for each in earlier:
            each.role = "earlier"
        now = shown_result(name_of(run.config, self.knobs, self.base), "now", run, twin)
        self.runs = [*earlier, shown_result("undisturbed twin", "twin", twin), now]

    def _show_first(self) -> None:
        """Put what is recorded in front: the twin, the first of the two runs, the second beside it."""
        for role, (name, config) in zip(("now", "beside"), list(self.waiting.items())):
            run, twin = recorded_run(config), recorded_run(twin_of(config))
            if run is not None and twin is not None:
                if not self.runs:
                    self.runs.append(shown_result("undisturbed twin", "twin", twin))
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
        sentence, fitting = "", False
        try:
            config = self.config
            for name, control in self.controls.items():
                control.disabled = not KNOBS[name].counts(config)
            sentence = why_not(config)
            fitting = not sentence
            sentence = sentence or plan_words(config)
        except Exception as error:  # a choice that the table does not foresee: it is said, and not raised
            sentence = str(error)
        self.plan.value = f"<p>{html.escape(sentence)}</p>"
        self.train_button.disabled = self.more_button.disabled = self.training or not fitting
        if status and fitting and not self.training:
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
    """Controls for a run; buttons that train it beside its undisturbed twin, add five seeds, stop and clear.

    A run is drawn with its twin: same seed, same recipe, no event. Earlier curves stay in grey, and a table has the numbers
    of all. Five more seeds give the mean paired gain with its 95% interval.

    Args:
        knobs: names of the controls, in the order in which they are shown: keys of
            `gst_tutorial.book.widgets.knobs.KNOBS`.
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
