"""One seeded run, from data to numbers: `run(config)` is a pure function of its frozen `RunConfig`."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import json
import math
import time
from collections.abc import Iterable

import pandas as pd
import torch
from torch import nn

from gst_tutorial import checks, data, models, noise, pruning, seeding
from gst_tutorial.instability import PruningEvent, accuracy, correct, measure_instability
from gst_tutorial.pruning import PruneSchedule
from gst_tutorial.training import Callback, Diverged, Recipe, train

METHODS = ("none", "prune", "prune_at_init", "zero", "gaussian")
NETWORKS = {"conv1d": models.conv1d_net, "conv2d": models.conv2d_net}
RESULTS_VERSION = 1  # raise it when the same config would give other numbers; stored results then no longer match


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's numbers. Frozen, validated, and saved as JSON beside them.

    Attributes:
        data, n_train, n_test, data_seed: see `gst.load`.
        model: "conv1d" or "conv2d". width: multiplies the number of filters of every layer.
        dropout, filter_dropout: layers of the network, see `gst.conv1d_net`.
        weight_noise: see `gst.noise.WeightNoise`; 0 for none.
        recipe: optimizer, learning-rate schedule, epochs, batch size.
        method: "none"; "prune" (permanently, at the schedule's events); "prune_at_init" (the same total, before
            training); "zero" or "gaussian" (temporary: hit the filters that an event would have pruned).
        layers: names of the layers pruned. prune_fraction and schedule are one value for all, or a tuple of as many.
        prune_fraction: fraction of a layer's original filters, over all events together.
        schedule: the epochs of the events.
        score, target: which filters go, see `gst.filter_scores` and `gst.choose_filters`.
        noise_batches: temporary methods: how many training batches after an event are hit.
        noise_size: "zero": share of the weight taken away; "gaussian": standard deviations.
        noise_reference: "layer" or "filter", see `gst.noise.add_gaussian`.
        restore: temporary methods: give the filters their old values back after `noise_batches`.
        cumulative: temporary methods: hit all filters chosen so far, not only the newly chosen ones.
        redraw: temporary methods: every event hits `prune_fraction` of *all* filters, chosen afresh. `prune_fraction`
            may then be 1.
        measures: extra measurements of the trained network; "flatness" is the one there is.
        evaluate_every: measure test accuracy after every n-th epoch (and always at events and at the end). Changes no
            other number; studies that only need the final accuracy run in half the time with 10.
        seed: of initialization, batch order, dropout, augmentation, noise and random targets; each has a stream of its
            own, so two methods with one seed share initial weights and batches.
    """

    data: str = "mnist1d"
    n_train: int | None = None
    n_test: int | None = None
    data_seed: int = 0
    model: str = "conv1d"
    width: float = 1.0
    dropout: float = 0.0
    filter_dropout: float = 0.0
    weight_noise: float = 0.0
    recipe: Recipe = Recipe()
    method: str = "none"
    layers: tuple[str, ...] = ("conv4",)
    prune_fraction: float | tuple[float, ...] = 0.9
    schedule: PruneSchedule | tuple[PruneSchedule, ...] = PruneSchedule(5, 23, 9)
    score: str = "l2"
    target: str = "smallest"
    noise_batches: int = 1
    noise_size: float = 1.0
    noise_reference: str = "layer"
    restore: bool = False
    cumulative: bool = False
    redraw: bool = False
    measures: tuple[str, ...] = ()
    evaluate_every: int = 1
    seed: int = 0

    def __post_init__(self):
        checks.one_of("data", self.data, data.DEFAULT_SIZES)
        checks.integer("data_seed", self.data_seed, low=0)
        checks.one_of("model", self.model, NETWORKS)
        checks.real("width", self.width, 0, open_low=True)
        for share in ("dropout", "filter_dropout"):
            checks.real(share, getattr(self, share), 0, 1, open_high=True)
        checks.real("weight_noise", self.weight_noise, 0)
        checks.one_of("method", self.method, METHODS)
        checks.one_of("score", self.score, pruning.SCORES)
        checks.one_of("target", self.target, pruning.TARGETS)
        checks.integer("noise_batches", self.noise_batches, low=1)
        checks.real("noise_size", self.noise_size, 0)
        checks.one_of("noise_reference", self.noise_reference, ("layer", "filter"))
        checks.integer("evaluate_every", self.evaluate_every, low=1)
        checks.integer("seed", self.seed, low=0)
        for size in ("n_train", "n_test"):
            if getattr(self, size) is not None:
                checks.integer(size, getattr(self, size), low=10)
        if not isinstance(self.recipe, Recipe):
            raise TypeError(f"recipe={self.recipe!r} must be a gst.Recipe.")
        for flag in ("restore", "cumulative", "redraw"):
            if not isinstance(getattr(self, flag), bool):
                raise TypeError(f"{flag}={getattr(self, flag)!r} must be True or False.")
        for field in ("layers", "measures"):
            value = getattr(self, field)
            if not isinstance(value, (tuple, list)):
                raise TypeError(f"{field}={value!r} must be a tuple of names, such as ('conv4',).")
            if len(set(value)) < len(value):
                raise ValueError(f"{field}={value!r} names one of them twice.")
            object.__setattr__(self, field, tuple(value))
        for measure in self.measures:
            checks.one_of("measures", measure, ("flatness",))
        self._check_pruning()
        checks.plain_numbers(self)
        if isinstance(self.prune_fraction, tuple):
            object.__setattr__(self, "prune_fraction", tuple(map(float, self.prune_fraction)))
        else:
            object.__setattr__(self, "prune_fraction", float(self.prune_fraction))
        signals = self.model == "conv1d"
        if signals != (self.data == "mnist1d"):
            raise ValueError(f"model={self.model!r} does not fit data={self.data!r}: conv1d takes signals, conv2d takes images.")
        if self.recipe.augment == ("crop_flip" if signals else "shift_noise"):
            raise ValueError(f"augment={self.recipe.augment!r} does not fit data={self.data!r}: shift_noise is for signals, crop_flip for images.")

    def _check_pruning(self):
        for flag in ("restore", "cumulative", "redraw"):
            if getattr(self, flag) and not self.temporary:
                raise ValueError(f"{flag}=True needs a temporary method, 'zero' or 'gaussian', not method={self.method!r}.")
        if self.redraw and self.cumulative:
            raise ValueError("redraw=True chooses afresh at every event, so cumulative=True has nothing to add up.")
        if not self.layers and self.method != "none":
            raise ValueError(f"layers=() leaves method={self.method!r} nothing to prune.")
        for argument in ("prune_fraction", "schedule"):
            value = getattr(self, argument)
            if isinstance(value, (tuple, list)):
                object.__setattr__(self, argument, tuple(value))
                if len(value) != len(self.layers):
                    raise ValueError(f"{argument} has {len(value)} entries for the {len(self.layers)} layers={self.layers}.")
        for _, fraction, schedule in self.plan:
            checks.real("prune_fraction", fraction, 0, 1, open_high=not self.redraw)
            if not isinstance(schedule, PruneSchedule):
                raise TypeError(f"schedule={schedule!r} must be a PruneSchedule(start, end, retrain_period).")
            last = schedule.epochs[-1]
            if self.method in ("prune", "zero", "gaussian") and last >= self.recipe.epochs:
                raise ValueError(f"schedule has an event in epoch {last}, after the last epoch {self.recipe.epochs - 1}.")
            if self.temporary and last == self.recipe.epochs - 1:
                raise ValueError(f"schedule has an event in epoch {last}, the last: no training batch is left to disturb.")

    @property
    def temporary(self) -> bool:
        """Whether filters are only disturbed, not removed."""
        return self.method in ("zero", "gaussian")

    @property
    def plan(self) -> list[tuple[str, float, PruneSchedule]]:
        """(layer, prune_fraction, schedule) of every pruned layer."""
        fractions, schedules = (
            value if isinstance(value, tuple) else (value,) * len(self.layers) for value in (self.prune_fraction, self.schedule)
        )
        return list(zip(self.layers, fractions, schedules))

    def replace(self, **changes) -> RunConfig:
        """A copy with some fields changed; `recipe` fields by their own names, e.g. `replace(epochs=30)`."""
        recipe_fields = {f.name for f in dataclasses.fields(Recipe)}
        own_fields = {f.name for f in dataclasses.fields(self)}
        for name in changes:
            checks.one_of("changes", name, own_fields | recipe_fields)
        recipe_changes = {name: changes.pop(name) for name in list(changes) if name in recipe_fields}
        if recipe_changes:
            changes["recipe"] = dataclasses.replace(changes.get("recipe", self.recipe), **recipe_changes)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict:
        """Plain JSON types; `RunConfig.from_dict` is the inverse."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict) -> RunConfig:
        """A config from `to_dict`, also after a round trip through JSON."""
        fields = dict(fields)
        as_schedule = lambda value: PruneSchedule(**value) if isinstance(value, dict) else value  # noqa: E731
        schedule = fields.get("schedule", cls.schedule)
        fields["schedule"] = tuple(map(as_schedule, schedule)) if isinstance(schedule, (list, tuple)) else as_schedule(schedule)
        fields["recipe"] = Recipe(**fields["recipe"]) if isinstance(fields.get("recipe"), dict) else fields.get("recipe", Recipe())
        return cls(**fields)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name this config. Fields at their default do not count: a new field renames nothing."""
        changed = _differences(self.to_dict(), _DEFAULTS)
        canonical = json.dumps([RESULTS_VERSION, changed], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


_DEFAULTS = RunConfig().to_dict()


def _differences(fields: dict, defaults: dict) -> dict:
    """The entries that are not at their default; of the recipe, too, only those."""
    changed = {name: value for name, value in fields.items() if value != defaults.get(name)}
    if "recipe" in changed:
        changed["recipe"] = _differences(changed["recipe"], defaults["recipe"])
    return changed


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
    network = NETWORKS[config.model]
    channels = [max(1, round(config.width * c)) for c in inspect.signature(network).parameters["channels"].default]
    with seeding.global_torch_stream(config.seed, "initialization"):
        model = network(
            dataset.n_classes,
            channels=channels,
            input_shape=dataset.input_shape,
            dropout=config.dropout,
            filter_dropout=config.filter_dropout,
        )
    for name in config.layers:
        checks.one_of("layers", name, models.prunable_layers(model))
    return model


class Experiment:
    """A run that can be watched: built from a config, with `events` and `epochs` that grow while `run` trains.

    `gst.run(config)` is all that most uses need. Callbacks that want the network build the experiment first:

        experiment = gst.Experiment(config)
        result = experiment.run(callbacks=[lambda epoch, step: print(epoch, experiment.model)])
    """

    def __init__(self, config: RunConfig):
        self.config = config
        self.dataset = data.load(config.data, config.n_train, config.n_test, config.data_seed)
        self.model = build_model(config, self.dataset)
        self.layers = models.prunable_layers(self.model)
        self.steps_per_epoch = config.recipe.steps_per_epoch(len(self.dataset.y_train))
        self.events: list[PruningEvent] = []
        self.epochs: list[dict] = []
        self._targets = seeding.generator(config.seed, "random targets")
        # A filter is chosen once, whether it is then masked or only disturbed.
        self._chosen = {name: torch.zeros(layer.mask.n_filters, dtype=torch.bool) for name, layer in self.layers.items()}
        self._noise = None
        if config.temporary:
            schedules = [schedule for *_, schedule in config.plan]
            gap = min([s.retrain_period for s in schedules] + [config.recipe.epochs - 1 - s.epochs[-1] for s in schedules])
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
        with _one_thread(), _progress_bar(progress, config, self.steps_per_epoch) as bar:
            try:
                losses = train(self.model, self.dataset, config.recipe, config.seed, [*ours, *callbacks, *bar])
            except Diverged as error:
                raise Diverged(f"{error} The run was {config}.") from None
            train_accuracy = accuracy(self.model, self.dataset.x_train, self.dataset.y_train)
            measures = {}
            if "flatness" in config.measures:
                from gst_tutorial.flatness import measure_flatness

                measures = measure_flatness(self.model, self.dataset)
        epochs = pd.DataFrame(self.epochs).assign(train_loss=losses)
        events = pd.DataFrame([dataclasses.asdict(e) for e in self.events], columns=[f.name for f in dataclasses.fields(PruningEvent)])
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
            {"epoch": epoch, "test_accuracy": test_accuracy, "sparsity": models.sparsity(self.model, self.config.layers)}
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
        self._noise.begin(self.layers[name], hit, ~chosen)
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
def _one_thread():
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
