"""One seeded run, from data to numbers: `run(config)` is a pure function of its frozen `RunConfig`."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import interventions, masks, pruning, references, seeding
from gst_tutorial.checkpoint import Checkpoint
from gst_tutorial.config import Due, RunConfig
from gst_tutorial.data import dataset as data
from gst_tutorial.graph.make_prunable import mask_convolutions_alone
from gst_tutorial.instability import PruningEvent, accuracy, correct, measure_instability
from gst_tutorial.interventions import Interventions, Site
from gst_tutorial.masks import PrunableLayer
from gst_tutorial.networks import network
from gst_tutorial.training import Callback, Diverged, train

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass
class RunResult:
    """What a run gave. Accuracies are shares in [0, 1].

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
    model: nn.Module | None = dataclasses.field(default=None, repr=False)
    dataset: data.Dataset | None = dataclasses.field(default=None, repr=False)

    @property
    def numbers(self) -> dict[str, float]:
        """The results that are one number each, by name: what a study keeps of a run."""
        names = ("final_accuracy", "best_accuracy", "train_accuracy", "instability", "seconds")
        return {name: getattr(self, name) for name in names} | self.measures


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
    names = _layers_with_inputs(model) if _hits_inputs(config) else masks.prunable_layers(model)
    for name in config.layers:
        check.one_of("layers", name, names)
    return model.to(config.device)


def _hits_inputs(config: RunConfig) -> bool:
    return config.intervention != "none" and interventions.find(config.intervention).hits == "inputs"


def _layers_with_inputs(model: nn.Module) -> dict[str, PrunableLayer]:
    return {
        name: PrunableLayer(name, module, None, None)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }


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

    Raises:
        ValueError: a device that is not here, a layer that the network does not have, data and network that do not fit.
    """

    def __init__(self, config: RunConfig):
        with _turn:
            self._build(config)

    def _build(self, config: RunConfig) -> None:
        self.config = config
        check.device_here("device", config.device)
        data_seed = config.seed if config.data_seed is None else config.data_seed
        if config.data_seed is None and config.data in config.sources:
            references.accepted(f"data={config.data!r}", references.find("data", config.data), {}, ["seed"])
        dataset = data.load(config.data, config.n_train, config.n_test, data_seed, config.image_size)
        self.dataset = dataset.to(config.device)
        self.model = build_model(config, self.dataset)
        self.optimizer = config.recipe.build_optimizer(self.model)
        self.layers = _layers_with_inputs(self.model) if _hits_inputs(config) else masks.prunable_layers(self.model)
        self.steps_per_epoch = config.recipe.steps_per_epoch(len(self.dataset.y_train))
        self.events: list[PruningEvent] = []
        self.epochs: list[dict] = []
        self._targets = seeding.generator(config.seed, "random targets")
        self._noise = seeding.generator(config.seed, "noise")
        self._interventions: Interventions | None = None
        self._chosen: dict[str, torch.Tensor] = {}
        if config.events.temporary:
            self._check_time_to_restore()
            # What no mask remembers: the units that earlier events have chosen.
            self._chosen = {
                name: torch.zeros(self._n_units(name), dtype=torch.bool, device=config.device) for name in config.layers
            }
            self._interventions = Interventions(
                config.intervention, self.steps_per_epoch, config.n_batches, config.size, config.restore
            )

    def _n_units(self, name: str) -> int:
        module = self.layers[name].conv
        return module.in_features if _hits_inputs(self.config) else module.out_channels

    def _check_time_to_restore(self) -> None:
        schedules = [schedule for *_, schedule in self.config.plan]
        gap = min([s.retrain_period for s in schedules] + [self.config.epochs - 1 - s.epochs[-1] for s in schedules])
        if self.config.restore != "no" and self.config.n_batches > gap * self.steps_per_epoch:
            raise ValueError(
                f"n_batches={self.config.n_batches} runs past the next event or the end of training, "
                f"{gap * self.steps_per_epoch} batches later; restore={self.config.restore!r} needs the filters back before."
            )

    def state_dict(self) -> dict:
        """What the run has noted and drawn so far, for a `Checkpoint`; network and optimizer are kept beside it."""
        seen = {name: getattr(layer.mask, "running_activation", None) for name, layer in self._masked().items()}
        return {
            "events": [dataclasses.asdict(event) for event in self.events],
            "epochs": self.epochs,
            "seconds": time.perf_counter() - self._start,
            "targets": self._targets.get_state(),
            "noise": self._noise.get_state(),
            "running_activation": {name: value for name, value in seen.items() if value is not None},
            "chosen": self._chosen,
            "hits": [] if self._interventions is None else self._interventions.state(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from what `state_dict` gave."""
        self.events[:] = [PruningEvent(**event) for event in state["events"]]
        self.epochs[:] = state["epochs"]
        self._start -= state["seconds"]
        self._targets.set_state(state["targets"])
        self._noise.set_state(state["noise"])
        device = self.config.device
        for name, value in state["running_activation"].items():
            self._masked()[name].mask.running_activation = value.to(device)
        for name, value in state["chosen"].items():
            self._chosen[name][:] = value.to(device)
        if self._interventions is not None:
            site = lambda layer, units, kept: Site(  # noqa: E731
                self.model, self.layers[layer], units.to(device), kept.to(device), self._noise, self.optimizer
            )
            self._interventions.load_state(state["hits"], site)

    def _masked(self) -> dict[str, PrunableLayer]:
        return {name: layer for name, layer in self.layers.items() if layer.mask is not None}

    def run(
        self,
        callbacks: Iterable[Callback] = (),
        progress: bool = False,
        checkpoint: str | os.PathLike | None = None,
        every: float = 60.0,
    ) -> RunResult:
        """Train, with events as the config says. See `gst.run`."""
        with _turn:
            return self._run(callbacks, progress, checkpoint, every)

    def _run(self, callbacks, progress, checkpoint, every) -> RunResult:
        config = self.config
        self._start = time.perf_counter()
        if self.epochs:
            raise RuntimeError("An Experiment is run once; make a new one with gst.Experiment(config).")
        if config.events.at_init:
            for name, fraction, _ in config.plan:
                self._prune(Due(name, fraction, 1, 1))
        ours: list[Callback] = [self._end_of_epoch]
        if config.score == "running_activation" and config.intervention != "none":
            ours.insert(0, pruning.RunningActivation(self.model, self.steps_per_epoch, config.layers))
        if self._interventions is not None:
            ours.insert(0, self._interventions)
        with one_thread(), _progress_bar(progress, config, self.steps_per_epoch) as bar:
            kept = None
            if checkpoint is not None:
                kept = Checkpoint(checkpoint, _identity(config), every)
                kept.follow(experiment=self)
            every_one = [*ours, *callbacks, *bar]
            try:
                losses = train(self.model, self.dataset, config.recipe, config.seed, every_one, self.optimizer, kept)
            except (Diverged, FloatingPointError) as error:  # the loss, or what the network says of the test set
                if kept is not None:
                    kept.remove()  # it would diverge again
                raise Diverged(f"{error} The run was {config}.") from None
            train_accuracy = accuracy(self.model, self.dataset.x_train, self.dataset.y_train)
            measures = self._measure()
        if kept is not None:
            kept.remove()
        import pandas as pd

        epochs = pd.DataFrame(self.epochs).assign(train_loss=losses)
        events = pd.DataFrame(
            [dataclasses.asdict(e) for e in self.events], columns=[f.name for f in dataclasses.fields(PruningEvent)]
        )
        return RunResult(
            config=config,
            final_accuracy=float(epochs.test_accuracy.iloc[-1]),
            best_accuracy=float(epochs.test_accuracy.max()),
            train_accuracy=train_accuracy,
            instability=float(events.instability.mean()) if len(events) else 0.0,
            events=events,
            epochs=epochs,
            measures=measures,
            seconds=time.perf_counter() - self._start,
            model=self.model,
            dataset=self.dataset,
        )

    def _measure(self) -> dict[str, float]:
        if not self.config.measures:
            return {}
        from gst_tutorial import flatness

        found = {}
        for name in self.config.measures:
            if references.is_reference(name):
                found |= _own_measure(name, self.model, self.dataset)
            else:
                found |= getattr(flatness, f"measure_{name}")(self.model, self.dataset)
        return found

    def _end_of_epoch(self, epoch: int, step: int) -> None:
        if step < self.steps_per_epoch:
            return
        due = self.config.due(epoch)
        if due:
            self.events.append(self._event(epoch, due))
            test_accuracy = self.events[-1].accuracy_after
        elif (epoch + 1) % self.config.evaluate_every == 0 or epoch + 1 == self.config.epochs:
            test_accuracy = accuracy(self.model, self.dataset.x_test, self.dataset.y_test)
        else:
            test_accuracy = math.nan
        self.epochs.append({"epoch": epoch, "test_accuracy": test_accuracy, "sparsity": self._sparsity()})

    def _sparsity(self) -> float:
        return 0.0 if _hits_inputs(self.config) else masks.sparsity(self.model, self.config.layers)

    def _event(self, epoch: int, due: list[Due]) -> PruningEvent:
        """Hit the layers that are due, and measure around it."""
        hit = self._disturb if self.config.events.temporary else self._prune
        with measure_instability(lambda: correct(self.model, self.dataset.x_test, self.dataset.y_test)) as found:
            n_hit = sum(hit(each) for each in due)
        return PruningEvent(
            epoch=epoch,
            layers="+".join(each.layer for each in due),
            n_filters=n_hit,
            sparsity=self._sparsity(),
            accuracy_before=found.accuracy_before,
            accuracy_after=found.accuracy_after,
            instability=found.instability,
            standard_error=found.standard_error,
        )

    def _prune(self, due: Due) -> int:
        """Prune one layer as its event says. Returns the number of filters newly pruned."""
        keep = pruning.kept_filters(self._n_units(due.layer), due.prune_fraction, due.n_events)[due.i - 1]
        pruned = pruning.prune_filters(
            self.model,
            due.layer,
            keep=keep,
            score=self.config.score,
            target=self.config.target,
            generator=self._targets,
            x=self.dataset.x_train,
        )
        return len(pruned)

    def _disturb(self, due: Due) -> int:
        """Hit the units of one layer that pruning would take. Returns how many."""
        layer, chosen = self.layers[due.layer], self._chosen[due.layer]
        if self.config.draws == "afresh":
            chosen[:] = False
            n_new = round(due.prune_fraction * len(chosen))
        else:
            kept = pruning.kept_filters(len(chosen), due.prune_fraction, due.n_events)[due.i - 1]
            n_new = len(chosen) - kept - int(chosen.sum())
        if self.config.target == "random":
            scores = chosen
        elif _hits_inputs(self.config):
            scores = layer.conv.weight.detach().norm(dim=0)  # (inputs,)
        else:
            scores = pruning.filter_scores(self.model, due.layer, self.config.score, self.dataset.x_train)
        new = pruning.choose_filters(scores, ~chosen, n_new, self.config.target, self._targets)
        chosen[new] = True
        units = chosen.nonzero().squeeze(1) if self.config.draws == "so far" else new
        kept = (~chosen).nonzero().squeeze(1)
        self._interventions.begin(Site(self.model, layer, units, kept, self._noise, self.optimizer))
        return len(units)


def _own_measure(name: str, model: nn.Module, dataset: data.Dataset) -> dict[str, float]:
    """What a function of the reader's measures, as numbers by name, on the network in evaluation mode."""
    function = references.find("measures", name)
    with masks.evaluation_mode(model):
        found = function(model, dataset)
    found = found if isinstance(found, dict) else {function.__name__: found}
    try:
        numbers = {str(key): float(value) for key, value in found.items()}
    except (TypeError, ValueError) as error:
        raise TypeError(f"measures={name!r} gave {found!r}, not a number or a dict of numbers: {error}") from None
    taken = {field.name for field in dataclasses.fields(RunResult)} & numbers.keys()
    if taken:
        raise ValueError(f"measures={name!r} gave {sorted(taken)}, which every run has already.")
    return numbers


def _identity(config: RunConfig) -> str:
    """What a checkpoint must share with a run that goes on from it."""
    import gst_tutorial

    return repr((config.hash, config.sources, config.device, torch.__version__, gst_tutorial.__version__))


def run(
    config: RunConfig,
    callbacks: Iterable[Callback] = (),
    progress: bool = False,
    checkpoint: str | os.PathLike | None = None,
    every: float = 60.0,
) -> RunResult:
    """One seeded run: same config, same machine, same numbers, bit for bit. Uses one CPU thread (faster at this size).

    Returns:
        A `RunResult`: accuracies, instability, a row per event and per epoch, the trained network.

    Args:
        config: what to run.
        callbacks: further functions `(epoch, step) -> None`, see `gst.train`; they run after the run's own.
        progress: show a bar over the epochs.
        checkpoint: a file that keeps where the run stands, so that it can be stopped and called again with the same
            result, to the bit; removed at the end. `callbacks` that remember something must remember it themselves.
        every: seconds between two writings of it.

    Raises:
        Diverged: the training loss became infinite or NaN; says the epoch and the config.
        ValueError: a layer that the network does not have, or a network and data that do not fit.
    """
    return Experiment(config).run(callbacks, progress, checkpoint, every)


@contextlib.contextmanager
def one_thread():
    """One CPU thread inside the block: at this size two are slower, and a study fills the cores with processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _progress_bar(show: bool, config: RunConfig, steps_per_epoch: int):
    """Yields a list with one callback that moves a bar, or an empty one."""
    if not show:
        yield []
        return
    from tqdm.auto import tqdm

    with tqdm(total=config.recipe.epochs, desc=f"{config.intervention}, seed {config.seed}", unit="epoch") as bar:
        yield [lambda epoch, step: bar.update(step == steps_per_epoch)]
