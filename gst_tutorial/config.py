"""What decides a run's numbers, as one frozen and validated value: `RunConfig`."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from gst_tutorial import _arguments as check
from gst_tutorial import pruning
from gst_tutorial.data import dataset as data
from gst_tutorial.networks import cifar as image_models
from gst_tutorial.networks import small as small_models
from gst_tutorial.pruning import PruneSchedule
from gst_tutorial.training import Recipe

METHODS = ("none", "prune", "prune_at_init", "zero", "gaussian")
NETWORKS = {
    "conv1d": small_models.conv1d_net,
    "conv2d": small_models.conv2d_net,
    "vgg11": image_models.vgg11,
    "resnet18": image_models.resnet18,
    "resnet20": image_models.resnet20,
    "resnet56": image_models.resnet56,
}
RESULTS_VERSION = 1  # raise it when the same config would give other numbers; stored results then no longer match


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's numbers. Frozen, validated, and saved as JSON beside them.

    Attributes:
        data, n_train, n_test, data_seed, image_size: see `gst.load`.
        model: "conv1d" (signals), "conv2d", "vgg11", "resnet18", "resnet20" or "resnet56" (images).
        width: multiplies the number of filters of every layer.
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
        measures: extra measurements of the trained network: "flatness", see `gst.measure_flatness`; "curvature", the
            part of it that a larger network can afford, see `gst_tutorial.flatness.measure_curvature`.
        evaluate_every: measure test accuracy after every n-th epoch (and always at events and at the end). Changes no
            other number; studies that only need the final accuracy run in half the time with 10.
        device: "cpu", "cuda" or another of torch's; the data lie there, too. A GPU gives other numbers: its
            convolutions round to three digits (TF32) while training, and its dropout and augmentation draw from its own
            generators. A repeated run there agrees within that, not to the bit.
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
    image_size: int | None = None
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self):
        data.check_name("data", self.data)
        check.integer("data_seed", self.data_seed, low=0)
        check.one_of("model", self.model, NETWORKS)
        check.real("width", self.width, 0, open_low=True)
        for share in ("dropout", "filter_dropout"):
            check.real(share, getattr(self, share), 0, 1, open_high=True)
        check.real("weight_noise", self.weight_noise, 0)
        check.one_of("method", self.method, METHODS)
        check.one_of("score", self.score, pruning.SCORES)
        check.one_of("target", self.target, pruning.TARGETS)
        check.integer("noise_batches", self.noise_batches, low=1)
        check.real("noise_size", self.noise_size, 0)
        check.one_of("noise_reference", self.noise_reference, ("layer", "filter"))
        check.integer("evaluate_every", self.evaluate_every, low=1)
        check.device("device", self.device)
        check.integer("seed", self.seed, low=0)
        for size, low in (("n_train", 10), ("n_test", 10), ("image_size", 1)):
            if getattr(self, size) is not None:
                check.integer(size, getattr(self, size), low=low)
        if not isinstance(self.recipe, Recipe):
            raise TypeError(f"recipe={self.recipe!r} must be a gst.Recipe.")
        for flag in ("restore", "cumulative", "redraw"):
            check.flag(flag, getattr(self, flag))
        for field in ("layers", "measures"):
            value = getattr(self, field)
            if not isinstance(value, (tuple, list)):
                raise TypeError(f"{field}={value!r} must be a tuple of names, such as ('conv4',).")
            if len(set(value)) < len(value):
                raise ValueError(f"{field}={value!r} names one of them twice.")
            object.__setattr__(self, field, tuple(value))
        for measure in self.measures:
            check.one_of("measures", measure, ("flatness", "curvature"))
        if len(self.measures) > 1:
            raise ValueError(
                f"measures={self.measures!r}: 'flatness' has all of 'curvature', on more examples; name one."
            )
        self._check_pruning()
        check.plain_numbers(self)
        if isinstance(self.prune_fraction, tuple):
            object.__setattr__(self, "prune_fraction", tuple(map(float, self.prune_fraction)))
        else:
            object.__setattr__(self, "prune_fraction", float(self.prune_fraction))
        signals = self.model == "conv1d"
        if signals != (self.data == "mnist1d"):
            raise ValueError(
                f"model={self.model!r} does not fit data={self.data!r}: conv1d takes signals, all others take images."
            )
        if self.recipe.augment == ("crop_flip" if signals else "shift_noise"):
            raise ValueError(
                f"augment={self.recipe.augment!r} does not fit data={self.data!r}: "
                "shift_noise is for signals, crop_flip for images."
            )

    def _check_pruning(self):
        for flag in ("restore", "cumulative", "redraw"):
            if getattr(self, flag) and not self.temporary:
                raise ValueError(
                    f"{flag}=True needs a temporary method, 'zero' or 'gaussian', not method={self.method!r}."
                )
        if self.redraw and self.cumulative:
            raise ValueError("redraw=True chooses afresh at every event, so cumulative=True has nothing to add up.")
        if not self.layers and self.method != "none":
            raise ValueError(f"layers=() leaves method={self.method!r} nothing to prune.")
        for argument in ("prune_fraction", "schedule"):
            value = getattr(self, argument)
            if isinstance(value, (tuple, list)):
                object.__setattr__(self, argument, tuple(value))
                if len(value) != len(self.layers):
                    raise ValueError(
                        f"{argument} has {len(value)} entries for the {len(self.layers)} layers={self.layers}."
                    )
        for _, fraction, schedule in self.plan:
            check.real("prune_fraction", fraction, 0, 1, open_high=not self.redraw)
            if not isinstance(schedule, PruneSchedule):
                raise TypeError(f"schedule={schedule!r} must be a PruneSchedule(start, end, retrain_period).")
            last = schedule.epochs[-1]
            if self.method in ("prune", "zero", "gaussian") and last >= self.recipe.epochs:
                raise ValueError(
                    f"schedule has an event in epoch {last}, after the last epoch {self.recipe.epochs - 1}."
                )
            if self.temporary and last == self.recipe.epochs - 1:
                raise ValueError(
                    f"schedule has an event in epoch {last}, the last: no training batch is left to disturb."
                )

    @property
    def temporary(self) -> bool:
        """Whether filters are only disturbed, not removed."""
        return self.method in ("zero", "gaussian")

    @property
    def plan(self) -> list[tuple[str, float, PruneSchedule]]:
        """(layer, prune_fraction, schedule) of every pruned layer."""
        fractions, schedules = (
            value if isinstance(value, tuple) else (value,) * len(self.layers)
            for value in (self.prune_fraction, self.schedule)
        )
        return list(zip(self.layers, fractions, schedules))

    def replace(self, **changes) -> RunConfig:
        """A copy with some fields changed; `recipe` fields by their own names, e.g. `replace(epochs=30)`."""
        recipe_fields = {f.name for f in dataclasses.fields(Recipe)}
        own_fields = {f.name for f in dataclasses.fields(self)}
        for name in changes:
            check.one_of("changes", name, own_fields | recipe_fields)
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
        fields["schedule"] = (
            tuple(map(as_schedule, schedule)) if isinstance(schedule, (list, tuple)) else as_schedule(schedule)
        )
        fields["recipe"] = (
            Recipe(**fields["recipe"]) if isinstance(fields.get("recipe"), dict) else fields.get("recipe", Recipe())
        )
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
