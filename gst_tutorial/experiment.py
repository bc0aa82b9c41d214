"""One seeded run, from data to numbers: `run(config)` is a pure function of its frozen `RunConfig`."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterable

import pandas as pd
import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import interventions as noise
from gst_tutorial import masks as models
from gst_tutorial import pruning, seeding
from gst_tutorial.config import NETWORKS, RunConfig
from gst_tutorial.data import dataset as data
from gst_tutorial.flatness import measures as flatness
from gst_tutorial.instability import PruningEvent, accuracy, correct, measure_instability
from gst_tutorial.pruning import PruneSchedule
from gst_tutorial.training import Callback, Diverged, train


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


def build_model(config: RunConfig, dataset: data.Dataset) -> nn.Module:
    """The network of a run with its initial weights, which depend on the seed and the network only."""
    with seeding.global_torch_stream(config.seed, "initialization"):
        model = NETWORKS[config.model](
            dataset.n_classes,
            input_shape=dataset.input_shape,
            width=config.width,
            dropout=config.dropout,
            filter_dropout=config.filter_dropout,
        )
    for name in config.layers:
        check.one_of("layers", name, models.prunable_layers(model))
    return model.to(config.device)


class Experiment:
    """A run that can be watched: built from a config, with `events` and `epochs` that grow while `run` trains.

    `gst.run(config)` is all that most uses need. Callbacks that want the network build the experiment first:

        experiment = gst.Experiment(config)
        result = experiment.run(callbacks=[lambda epoch, step: print(epoch, experiment.model)])
    """

    def __init__(self, config: RunConfig):
        self.config = config
        check.device_here("device", config.device)
        dataset = data.load(config.data, config.n_train, config.n_test, config.data_seed, config.image_size)
        self.dataset = dataset.to(config.device)
        self.model = build_model(config, self.dataset)
        self.layers = models.prunable_layers(self.model)
        self.steps_per_epoch = config.recipe.steps_per_epoch(len(self.dataset.y_train))
        self.events: list[PruningEvent] = []
        self.epochs: list[dict] = []
        self._targets = seeding.generator(config.seed, "random targets")
        # A filter is chosen once, whether it is then masked or only disturbed.
        self._chosen = {
            name: torch.zeros(layer.mask.n_filters, dtype=torch.bool, device=config.device)
            for name, layer in self.layers.items()
        }
        self._noise = None
        if config.temporary:
            schedules = [schedule for *_, schedule in config.plan]
            gap = min(
                [s.retrain_period for s in schedules] + [config.recipe.epochs - 1 - s.epochs[-1] for s in schedules]
            )
            if config.restore and config.noise_batches > gap * self.steps_per_epoch:
                raise ValueError(
                    f"noise_batches={config.noise_batches} runs past the next event or the end of training, "
                    f"{gap * self.steps_per_epoch} batches later; restore=True needs the filters back before."
                )
            self._noise = noise.TemporaryNoise(
                config.method,
                config.noise_batches,
                self.steps_per_epoch,
                seeding.generator(config.seed, "noise"),
                size=config.noise_size,
                reference=config.noise_reference,
                restore=config.restore,
            )

    def run(self, callbacks: Iterable[Callback] = (), progress: bool = False) -> RunResult:
        """Train, with events as the config says. See `gst.run`."""
        config, start = self.config, time.perf_counter()
        if self.epochs:
            raise RuntimeError("An Experiment is run once; make a new one with gst.Experiment(config).")
        if config.method == "prune_at_init":
            for name, fraction, _ in config.plan:
                keep = pruning.kept_in_the_end(self.layers[name].mask.n_filters, fraction)
                self._prune(name, self.layers[name].mask.n_filters - keep)
        ours: list[Callback] = [self._end_of_epoch]
        if self._noise is not None:
            ours.insert(0, self._noise)
        if config.weight_noise:
            generator = seeding.generator(config.seed, "weight noise")
            ours.insert(0, noise.WeightNoise(self.model, config.weight_noise, self.steps_per_epoch, generator))
        with one_thread(), _progress_bar(progress, config, self.steps_per_epoch) as bar:
            try:
                losses = train(self.model, self.dataset, config.recipe, config.seed, [*ours, *callbacks, *bar])
            except Diverged as error:
                raise Diverged(f"{error} The run was {config}.") from None
            train_accuracy = accuracy(self.model, self.dataset.x_train, self.dataset.y_train)
            measures = {}
            if "flatness" in config.measures:
                measures |= flatness.measure_flatness(self.model, self.dataset)
            if "curvature" in config.measures:
                measures |= flatness.measure_curvature(self.model, self.dataset)
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
            seconds=time.perf_counter() - start,
            model=self.model,
            dataset=self.dataset,
        )

    def _end_of_epoch(self, epoch: int, step: int) -> None:
        if step < self.steps_per_epoch:
            return
        due = [entry for entry in self.config.plan if epoch in entry[2].epochs]
        if due and self.config.method not in ("none", "prune_at_init"):
            self.events.append(self._event(epoch, due))
            test_accuracy = self.events[-1].accuracy_after
        elif (epoch + 1) % self.config.evaluate_every == 0 or epoch + 1 == self.config.recipe.epochs:
            test_accuracy = accuracy(self.model, self.dataset.x_test, self.dataset.y_test)
        else:
            test_accuracy = math.nan
        self.epochs.append(
            {
                "epoch": epoch,
                "test_accuracy": test_accuracy,
                "sparsity": models.sparsity(self.model, self.config.layers),
            }
        )

    def _event(self, epoch: int, due: list[tuple[str, float, PruneSchedule]]) -> PruningEvent:
        """Hit the layers that are due, and measure around it."""
        n_hit = 0
        with measure_instability(lambda: correct(self.model, self.dataset.x_test, self.dataset.y_test)) as found:
            for name, fraction, schedule in due:
                n_hit += self._hit(name, fraction, schedule.epochs.index(epoch) + 1, schedule.n_events)
        return PruningEvent(
            epoch=epoch,
            layers="+".join(name for name, _, _ in due),
            n_filters=n_hit,
            sparsity=models.sparsity(self.model, self.config.layers),
            accuracy_before=found.accuracy_before,
            accuracy_after=found.accuracy_after,
            instability=found.instability,
            standard_error=found.standard_error,
        )

    def _hit(self, name: str, fraction: float, i: int, n_events: int) -> int:
        """Event i of n in one layer: prune or disturb. Returns the number of filters hit."""
        mask, chosen = self.layers[name].mask, self._chosen[name]
        if self.config.redraw:
            chosen[:] = False
            n_new = round(fraction * mask.n_filters)
        else:
            n_new = mask.n_filters - pruning.kept_filters(mask.n_filters, fraction, n_events)[i - 1] - int(chosen.sum())
        if not self.config.temporary:
            return len(self._prune(name, n_new))
        new = self._choose(name, n_new)
        hit = chosen.nonzero().squeeze(1) if self.config.cumulative else new
        self._noise.begin(self.layers[name], hit, (~chosen).nonzero().squeeze(1))
        return len(hit)

    def _choose(self, name: str, n_new: int) -> torch.Tensor:
        scores = pruning.filter_scores(self.model, name, self.config.score, self.dataset.x_train)
        new = pruning.choose_filters(scores, ~self._chosen[name], n_new, self.config.target, self._targets)
        self._chosen[name][new] = True
        return new

    def _prune(self, name: str, n_new: int) -> torch.Tensor:
        new = self._choose(name, n_new)
        self.layers[name].mask.mask[new] = 0
        return new


def run(config: RunConfig, callbacks: Iterable[Callback] = (), progress: bool = False) -> RunResult:
    """One seeded run: same config, same machine, same numbers, bit for bit. Uses one CPU thread (faster at this size).

    Args:
        config: what to run.
        callbacks: further functions `(epoch, step) -> None`, see `gst.train`; they run after the run's own.
        progress: show a bar over the epochs.

    Raises:
        Diverged: the training loss became infinite or NaN; says the epoch and the config.
        ValueError: a layer that the network does not have.
    """
    return Experiment(config).run(callbacks, progress)


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

    with tqdm(total=config.recipe.epochs, desc=f"{config.method}, seed {config.seed}", unit="epoch") as bar:
        yield [lambda epoch, step: bar.update(step == steps_per_epoch)]
