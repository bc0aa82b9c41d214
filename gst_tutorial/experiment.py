"""One seeded run, from data to numbers: `run(config)` is a pure function of its frozen `RunConfig`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import masks, references, scores, seeding
from gst_tutorial.checkpoint import Checkpoint
from gst_tutorial.config import RunConfig
from gst_tutorial.data import dataset as data
from gst_tutorial.events import Events, layers_hit
from gst_tutorial.graph.make_prunable import mask_convolutions_alone
from gst_tutorial.instability import PruningEvent, accuracy
from gst_tutorial.networks import network
from gst_tutorial.steps import Callback
from gst_tutorial.training import Diverged, train

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass
class RunResult:
    """The results of a run. Accuracies are fractions in [0, 1].

    Attributes:
        config: the `RunConfig`.
        final_accuracy: test accuracy after the last epoch, the headline.
        best_accuracy: best test accuracy after any evaluated epoch (the paper's; it looks at the test set, so it is optimistic).
        train_accuracy: of the trained network on the training set.
        instability: mean over the events; 0 without events.
        events: DataFrame, a row per event, see `gst.PruningEvent`.
        epochs: DataFrame, a row per epoch: epoch, test_accuracy (after the epoch's event, if any), train_loss, sparsity.
        measures: further numbers by name, see `RunConfig.measures`.
        seconds: wall time of the run.
        threads: CPU threads it used.
        model, dataset: the trained network and its data; not part of what is saved.
    """

    config: RunConfig
    final_accuracy: float
    best_accuracy: float
    train_accuracy: float
    instability: float
    events: pd.DataFrame
    epochs: pd.DataFrame
    measures: dict[str, float]
    seconds: float
    threads: int = 1
    model: nn.Module | None = dataclasses.field(default=None, repr=False)
    dataset: data.Dataset | None = dataclasses.field(default=None, repr=False)

    @property
    def numbers(self) -> dict[str, float]:
        """The results that are single numbers, by name: a study keeps them."""
        names = ("final_accuracy", "best_accuracy", "train_accuracy", "instability", "seconds")
        return {name: getattr(self, name) for name in names} | self.measures


def load_data(config: RunConfig) -> data.Dataset:
    """The data of a run, on its device."""
    data_seed = config.seed if config.data_seed is None else config.data_seed
    if (
        config.data_seed is None
        and references.is_reference(config.data)
        and not config.data.startswith(data.images.FOLDER)
    ):  # then the function must take a seed
        references.accepted(f"data={config.data!r}", references.function_of("data", config.data), {}, ["seed"])
    dataset = data.load(config.data, config.n_train, config.n_test, data_seed, config.image_size)
    return dataset.to(config.device)


def build_model(config: RunConfig, dataset: data.Dataset) -> nn.Module:
    """The network of a run with its initial weights, which depend on the seed and the network only."""
    with seeding.global_torch_stream(config.seed, "initialization"):
        model = network(config.model).build(
            dataset.n_classes,
            input_shape=dataset.input_shape,
            width=config.width,
            dropout=config.dropout,
            filter_dropout=config.filter_dropout,
        )
    if config.mask == "conv":
        mask_convolutions_alone(model)
    names = layers_hit(config, model)
    for name in config.layers:
        check.one_of("layers", name, names)
    return model.to(config.device)


# A run sets torch's global generators and number of threads, so in one process runs take turns, whatever thread asks.
_turn = threading.RLock()


class Experiment:
    """A run that can be watched: built from a config, with `events` and `epochs` that grow while `run` trains.

    `gst.run(config)` is all that most uses need. Callbacks that want the network build the experiment first:

        experiment = gst.Experiment(config)
        result = experiment.run(callbacks=[lambda epoch, step: print(epoch, experiment.model)])

    Runs in several threads of one process are made one after another.

    Args:
        config: what to run.

    Attributes:
        dataset, model, optimizer: of the run. layers: the layers that events can hit, by name.
        steps_per_epoch: batches in an epoch.
        events: a `gst.PruningEvent` per event so far. epochs: a dict per epoch so far.

    Raises:
        ValueError: a device that is not here, a layer that the network does not have, data and network that do not fit.
    """

    def __init__(self, config: RunConfig):
        if not isinstance(config, RunConfig):
            hint = " Write gst.RunConfig(**config)." if isinstance(config, dict) else ""
            raise TypeError(f"config must be a gst.RunConfig, not {type(config).__name__}.{hint}")
        with _turn:
            self.config = config
            check.device_here("device", config.device)
            self.dataset = load_data(config)
            self.model = build_model(config, self.dataset)
            self.optimizer = config.build_optimizer(self.model)
            self._recorder = Events(config, self.model, self.dataset, self.optimizer)
        self.layers, self.steps_per_epoch = self._recorder.layers, self._recorder.steps_per_epoch
        self.events: list[PruningEvent] = self._recorder.events
        self.epochs: list[dict] = self._recorder.epochs
        self._start = 0.0

    def run(
        self,
        callbacks: Iterable[Callback] = (),
        progress: bool = False,
        checkpoint: str | os.PathLike | None = None,
        every: float = 60.0,
        threads: int = 1,
    ) -> RunResult:
        """Train, with events as the config says. See `gst.run`."""
        with _turn, cpu_threads(threads):
            return self._run(callbacks, progress, checkpoint, every, threads)

    def _run(self, callbacks, progress, checkpoint, every, threads) -> RunResult:
        config, recorder = self.config, self._recorder
        if self.epochs:
            raise RuntimeError("An Experiment is run once; make a new one with gst.Experiment(config).")
        self._start = time.perf_counter()
        watch = self._watch_for_score()
        recorder.before_training()
        kept = None
        if checkpoint is not None:
            kept = Checkpoint(checkpoint, _identity(config), every)
            kept.follow(clock=self, events=recorder, **dict(zip(["score"], watch)))
        with _progress_bar(progress, config, self.steps_per_epoch) as bar:
            try:
                all_callbacks = [*watch, recorder, *callbacks, *bar]
                losses = train(
                    self.model, self.dataset, config.recipe, config.seed, all_callbacks, self.optimizer, kept
                )
            except (Diverged, FloatingPointError) as error:  # the loss, or the network's outputs for the test set
                if kept is not None:
                    kept.remove()  # a run that continued from it would diverge again
                raise Diverged(f"{error} The run was {config}.") from None
        result = self._result(losses, threads)
        if kept is not None:
            kept.remove()
        return result

    def _watch_for_score(self) -> list[Callback]:
        """The training callback that the score declares, if it has one and there are events."""
        watch = getattr(scores.score_function(self.config.score), "watch", None)
        if watch is None or self.config.intervention == "none":
            return []
        return [watch(self.model, self.steps_per_epoch, self.config.layers)]

    def _result(self, losses: list[float], threads: int) -> RunResult:
        """Measure the trained network, and put everything together."""
        import pandas as pd

        train_accuracy = accuracy(self.model, self.dataset.x_train, self.dataset.y_train)
        of_network = [name for name in self.config.measures if name != "aftermath"]  # that one is of the events
        measures = measured(of_network, self.model, self.dataset, self.config)
        epochs = pd.DataFrame(self.epochs).assign(train_loss=losses)
        columns = [field.name for field in dataclasses.fields(PruningEvent)]
        events = pd.DataFrame([dataclasses.asdict(event) for event in self.events], columns=columns)
        if self._recorder.aftermath is not None:
            events = events.join(pd.DataFrame(self._recorder.aftermath.columns(losses)))
        return RunResult(
            config=self.config,
            final_accuracy=float(epochs.test_accuracy.iloc[-1]),
            best_accuracy=float(epochs.test_accuracy.max()),
            train_accuracy=train_accuracy,
            instability=float(events.instability.mean()) if len(events) else 0.0,
            events=events,
            epochs=epochs,
            measures=measures,
            seconds=time.perf_counter() - self._start,
            threads=threads,
            model=self.model,
            dataset=self.dataset,
        )

    def state_dict(self) -> dict:
        """The time taken so far, for a checkpoint."""
        return {"seconds": time.perf_counter() - self._start}

    def load_state_dict(self, state: dict) -> None:
        """Count the time before a stop, too."""
        self._start -= state["seconds"]


def measured(names: Iterable[str], model: nn.Module, dataset: data.Dataset, config: RunConfig) -> dict[str, float]:
    """The measures of `RunConfig.measures`, each a number by its name."""
    found: dict[str, float] = {}
    for name in names:
        if references.is_reference(name):
            found |= _own_measure(name, model, dataset, config)
        else:
            from gst_tutorial import flatness

            found |= getattr(flatness, f"measure_{name}")(model, dataset)
    return found


def _own_measure(name: str, model: nn.Module, dataset: data.Dataset, config: RunConfig) -> dict[str, float]:
    """The numbers, by name, that a user's function measures on the network in evaluation mode."""
    function = references.function_of("measures", name)
    with masks.evaluation_mode(model):
        found = function(model, dataset, **references.accepted(f"measures={name!r}", function, {"config": config}))
    found = found if isinstance(found, dict) else {function.__name__: found}
    try:
        numbers = {str(key): float(value) for key, value in found.items()}
    except (TypeError, ValueError) as error:
        raise TypeError(f"measures={name!r} returned {found!r}, not a number or a dict of numbers: {error}") from None
    taken = {field.name for field in dataclasses.fields(RunResult)} & numbers.keys()
    if taken:
        raise ValueError(f"measures={name!r} returned {sorted(taken)}, which every run has already.")
    return numbers


def _identity(config: RunConfig) -> str:
    """Return what a checkpoint and a run that continues from it must have in common."""
    import gst_tutorial

    return repr((config.hash, config.sources, config.device, torch.__version__, gst_tutorial.__version__))


def run(
    config: RunConfig,
    callbacks: Iterable[Callback] = (),
    progress: bool = False,
    checkpoint: str | os.PathLike | None = None,
    every: float = 60.0,
    threads: int = 1,
) -> RunResult:
    """One seeded run: same config, same machine, same numbers, bit for bit.

    Returns:
        A `RunResult`: accuracies, instability, a row per event and per epoch, the trained network.

    Args:
        config: what to run.
        callbacks: further functions `(epoch, step) -> None`, see `gst.train`; they are called after the run's own.
        progress: show a bar over the epochs.
        checkpoint: a file that keeps the state of the run, so that it can be stopped and called again with the same
            result, to the bit; removed at the end. `callbacks` that remember something must remember it themselves.
        every: seconds between two writings of it.
        threads: CPU threads. One is fastest for networks as small as the book's; a ResNet on photographs is faster with
            more. Another number rounds differently, so it is kept with the result.

    Raises:
        Diverged: the training loss became infinite or NaN; says the epoch and the config.
        ValueError: a layer that the network does not have, or a network and data that do not fit.
    """
    return Experiment(config).run(callbacks, progress, checkpoint, every, threads)


@contextlib.contextmanager
def cpu_threads(threads: int = 1) -> Iterator[None]:
    """Let torch use this many CPU threads inside the block. A study fills the cores with processes of one thread each."""
    check.integer("threads", threads, low=1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _progress_bar(show: bool, config: RunConfig, steps_per_epoch: int) -> Iterator[list[Callback]]:
    """Yield a list with one callback that moves a bar, or an empty one."""
    if not show:
        yield []
        return
    from tqdm.auto import tqdm

    with tqdm(total=config.epochs, desc=f"{config.intervention}, seed {config.seed}", unit="epoch") as bar:
        yield [lambda epoch, step: bar.update(step == steps_per_epoch)]
