"""Everything that decides a run's numbers, as one frozen and validated value: `RunConfig`.

Wherever a field names an entry of a table (data, model, optimizer, loss, intervention, score, measures, a schedule), it also
takes a function of your own, as it is or as "package.module:function"; see `gst_tutorial.references`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import Field

from gst_tutorial import _arguments as check
from gst_tutorial import interventions, references, scores
from gst_tutorial._fields import (
    Count,
    Fraction,
    Index,
    Named,
    NonNegative,
    Positive,
    checked_by,
    config_class,
    named,
    names,
)
from gst_tutorial.data.dataset import check_name, kind_of
from gst_tutorial.data.images import FOLDER, folder_fingerprint
from gst_tutorial.networks import NETWORKS, network
from gst_tutorial.schedules import INIT, PruneSchedule, Schedule, as_schedule
from gst_tutorial.training import MILESTONES, Recipe, usual_milestones

RESULTS_VERSION = 2  # raise it when the same config would give other numbers; stored results then no longer match
MEASURES = ("flatness", "curvature", "sharpness", "aftermath")


class Due(NamedTuple):
    """One layer's part in a pruning event: event number `i` of `n_events` (from 1) of that layer."""

    layer: str
    prune_fraction: float
    i: int
    n_events: int


def _layers(value: Any) -> tuple[str, ...] | None:
    return None if value is None else names("layers", value)


def _measures(argument: str, value: Any) -> tuple[str, ...]:
    return tuple(references.known_or_reference(argument, each, MEASURES) for each in names(argument, value))


def _fractions(argument: str, value: Any) -> float | tuple[float, ...]:
    if isinstance(value, (tuple, list)):
        return tuple(float(check.real(argument, each, 0, 1)) for each in value)
    return float(check.real(argument, value, 0, 1))


def _schedules(argument: str, value: Any) -> Schedule | str | tuple[Schedule | str, ...]:
    """One schedule, or a tuple of one per layer; a function of the user's becomes its name, see `_ask_for_epochs`."""
    per_layer = isinstance(value, (tuple, list)) and any(
        isinstance(each, (dict, list, tuple)) or hasattr(each, "epochs") or callable(each) for each in value
    )
    if per_layer:
        return tuple(_schedules(argument, each) for each in value)
    if callable(value) and not hasattr(value, "epochs"):
        return references.name_of(argument, value)
    if value == INIT or references.is_reference(value):
        return value
    if isinstance(value, (Schedule, dict, tuple, list)) or hasattr(value, "epochs"):
        return as_schedule(value)
    raise TypeError(
        f"{argument}={check.shown(value)} must be a PruneSchedule(start, end, retrain_period), a tuple of epochs, 'init', "
        "or a function that returns epochs."
    )


# Stored results keep the fields in these groups, and hashes are made of what is stored.
GROUPS = {
    "task": (
        "data", "n_train", "n_test", "data_seed", "image_size", "model", "width", "dropout", "filter_dropout",
    ),
    "recipe": tuple(field.name for field in dataclasses.fields(Recipe)),
    "events": (
        "intervention", "layers", "prune_fraction", "schedule", "score", "target", "draws", "size", "n_batches", "restore",
        "mask",
    ),
}  # fmt: skip


@config_class
class RunConfig(Recipe):
    """Everything that decides a run's numbers. Frozen, validated, and saved as JSON with them.

    A config is a recipe and more: besides the fields below it has those of `gst.Recipe`, such as `epochs` and
    `learning_rate`. They can also be given together, as `recipe`; a field given by its own name then overrides it.

    Attributes:
        recipe: the fields of `gst.Recipe`, as one.
        data, n_train, n_test, image_size: see `gst.load`. Your own function may take any of `n_train`, `n_test`, `seed` and
            `image_size`, and returns a `gst.Dataset`.
        data_seed: which examples, see `gst.load`. None follows the run's seed, so that an interval over seeds also covers
            the choice of examples.
        model: an entry of `gst.networks.NETWORKS`. Your own function may take any of `n_classes` (or `num_classes`),
            `input_shape`, `width`, `dropout`, `filter_dropout`, and returns a network; if it has no masks,
            `gst.make_prunable` adds them: "torchvision.models:resnet18".
        width: multiplies the number of filters of every layer.
        dropout, filter_dropout: layers of the network, see `gst.conv1d_net`.
        intervention: what an event does: "none", an entry of `gst.interventions.INTERVENTIONS`, or your own function of a
            `gst.interventions.Site` (and, if it has one, a `size`).
        layers: names of the layers hit. Default: those of the network's entry in `gst.networks.NETWORKS`.
        prune_fraction: fraction of a layer's original filters, over all events together; or a tuple, one for each layer.
        schedule: when events come: a `PruneSchedule` or anything else with `epochs`; the epochs themselves, such as
            `(5, 7, 23)`; "init": everything at once, before training; or your own function of the run's number of epochs
            that returns the epochs. Or a tuple of these, one for each layer.
        score, target: which filters, see `gst.filter_scores` and `gst.choose_filters`.
        draws: for interventions other than "prune": an event hits the filters that pruning would choose next ("new"), all
            chosen so far ("so far"), or `prune_fraction` of *all* filters, chosen anew each time ("afresh").
        size: how strong, in the intervention's own unit. Default: its usual size.
        n_batches: number of training batches after an event that are hit: the event itself is the hit before the first.
        restore: what the hit filters get back after `n_batches`: nothing ("no"), their weights and batch norm as they were
            before the event ("values"), or the length of their weights ("norm").
        mask: for "prune": the mask acts on the output of batch norm ("norm"), or on that of the convolution ("conv"), where
            batch norm's constant remains, as in the paper's figure 5; see
            `gst_tutorial.graph.make_prunable.mask_convolutions_alone`.
        measures: extra measurements of the trained network: "flatness", see `gst.flatness.measure_flatness`; "curvature",
            the part of it that a larger network can afford; "sharpness", see `gst.flatness.measure_sharpness`, which can
            compare runs that differ in loss, weights and size; or your own function of the trained network and its
            `gst.Dataset` (and of `config`, if it has such an argument) that returns a number, or a dict of numbers by name.
        evaluate_every: measure test accuracy after every n-th epoch (and always at events and at the end). No other number
            depends on it; studies that only need the final accuracy run in half the time with 10.
        device: "cpu", "cuda" or another of torch's. A GPU gives other numbers: its convolutions round to three digits (TF32)
            in training, and its dropout and augmentation use their own generators. A repeated run there agrees within
            that, not to the bit.
        seed: of initialization, batch order, dropout, augmentation, noise and random targets. Each has its own stream, so
            two configs with one seed share initial weights and batches.

    >>> RunConfig(intervention="prune", target="largest", epochs=30, milestones=(20, 26)).target
    'largest'

    Raises:
        ValueError, TypeError: a field that is unknown or out of its range, or fields that contradict each other; names them.
    """

    data: Annotated[Named, checked_by(check_name)] = "mnist1d"
    n_train: Annotated[Count, Field(ge=10)] | None = None
    n_test: Annotated[Count, Field(ge=10)] | None = None
    data_seed: Index | None = 0
    image_size: Count | None = None
    model: Annotated[Named, named(lambda: NETWORKS)] = "conv1d"
    width: Positive = 1.0
    dropout: Fraction = 0.0
    filter_dropout: Fraction = 0.0
    intervention: Annotated[Named, named(lambda: ("none", *interventions.INTERVENTIONS))] = "none"
    layers: Annotated[tuple[str, ...], pydantic.PlainValidator(_layers)] = None  # type: ignore[assignment]  (found from the model)
    prune_fraction: Annotated[float | tuple[float, ...], checked_by(_fractions)] = 0.9
    schedule: Annotated[Any, checked_by(_schedules)] = PruneSchedule(5, 23, 9)
    score: Annotated[Named, named(lambda: scores.SCORES | scores.PAPER_SCORES)] = "l2"
    target: Literal["smallest", "largest", "random"] = "smallest"
    draws: Literal["new", "so far", "afresh"] = "new"
    size: NonNegative | None = None
    n_batches: Count = 1
    restore: Literal["no", "values", "norm"] = "no"
    mask: Literal["norm", "conv"] = "norm"
    measures: Annotated[tuple[Named, ...], checked_by(_measures)] = ()
    evaluate_every: Count = 1
    device: Annotated[str, checked_by(check.device)] = "cpu"
    seed: Index = 0

    if TYPE_CHECKING:
        recipe: Recipe = Recipe()
    else:

        @property
        def recipe(self) -> Recipe:
            return Recipe(**_recipe_fields(self))

    @pydantic.model_validator(mode="before")
    @classmethod
    def _take_recipe_apart(cls, given: Any) -> Any:
        fields = dict(given.kwargs or {})
        if "recipe" not in fields:
            return given
        recipe = fields.pop("recipe")
        if not isinstance(recipe, Recipe):
            raise TypeError(f"recipe={check.shown(recipe)} must be a gst.Recipe.")
        return type(given)(given.args, {**_recipe_fields(recipe), **fields})

    def __post_init__(self):
        super().__post_init__()
        self._check_data()
        self._find_layers()
        self._ask_for_epochs()
        self._check_intervention()
        self._check_events()
        if {"flatness", "curvature"} <= set(self.measures):
            raise ValueError(f"measures={self.measures}: 'flatness' includes all of 'curvature'; name one.")

    def _check_data(self) -> None:
        takes, kind = network(self.model).takes, kind_of(self.data)
        if None not in (takes, kind) and takes != kind:  # None: the user's own function, known when it is called
            raise ValueError(
                f"model={self.model!r} takes {takes} and does not fit data={self.data!r}, which are {kind}."
            )
        if self.augment == {"signals": "crop_flip", "images": "shift_noise"}.get(kind):
            raise ValueError(
                f"augment={self.augment!r} does not fit data={self.data!r}: shift_noise is for signals, crop_flip for "
                "images."
            )

    def _find_layers(self) -> None:
        usual = network(self.model).layers
        for name in ("prune_fraction", "schedule"):
            value = getattr(self, name)
            if isinstance(value, tuple) and self.layers is None:
                raise ValueError(f"{name} has an entry for each layer: name the layers, too.")
            if isinstance(value, tuple) and len(value) != len(self.layers):
                raise ValueError(f"{name} has {len(value)} entries for the {len(self.layers)} layers={self.layers}.")
        if self.intervention != "none":
            if self.layers == ():
                raise ValueError(f"layers=() leaves intervention={self.intervention!r} nothing to hit.")
            if self.layers is None and not usual:
                raise ValueError(
                    f"layers=None: name the layers of model={self.model!r} that events hit; `gst.prunable_layers` lists "
                    "them."
                )
        if self.layers is None:
            object.__setattr__(self, "layers", usual)

    def _ask_for_epochs(self) -> None:
        """Replace a schedule that is a user's function by the epochs that it returns: they decide the numbers."""

        def asked(schedule: Schedule | str) -> Schedule | str:
            if not references.is_reference(schedule):
                return schedule
            try:
                return as_schedule(references.function_of("schedule", schedule)(self.epochs))
            except TypeError as error:  # most often: a function of another number of arguments
                raise TypeError(f"schedule={schedule!r} failed for {self.epochs} epochs: {error}") from error

        schedule = self.schedule
        found = tuple(map(asked, schedule)) if isinstance(schedule, tuple) else asked(schedule)
        object.__setattr__(self, "schedule", found)

    def _check_intervention(self) -> None:
        """Refuse what has no effect: two configs of one meaning would have two hashes."""
        name = self.intervention
        what = None if name == "none" else interventions.intervention(name)
        if self.mask != "norm" and name != "prune":
            raise ValueError(f"mask={self.mask!r} is for intervention='prune'; intervention={name!r} sets no mask.")
        if not self.temporary:
            for argument, unused in (("draws", "new"), ("restore", "no"), ("n_batches", 1)):
                if getattr(self, argument) != unused:
                    raise ValueError(
                        f"{argument}={check.shown(getattr(self, argument))} is for interventions that remove nothing, "
                        f"not for intervention={name!r}."
                    )
        if what is None:
            return
        if self.size is not None and what.usual_size is None:
            raise ValueError(f"size={self.size!r}: intervention={name!r} has no size.")
        if self.size == what.usual_size:
            object.__setattr__(self, "size", None)
        if self.score != "l2" and not what.uses_score:
            raise ValueError(
                f"score={self.score!r} has no effect: intervention={name!r} hits {what.hits}, not filters."
            )
        if getattr(scores.score_function(self.score), "watch", None) is not None:
            if self.at_init:
                raise ValueError(f"score={self.score!r} needs training, and schedule='init' comes before it.")
            if self.compiled:
                raise ValueError(f"score={self.score!r} watches training batches: it needs compiled=False.")

    def _check_events(self) -> None:
        for fraction in self.prune_fraction if isinstance(self.prune_fraction, tuple) else (self.prune_fraction,):
            check.real("prune_fraction", fraction, 0, 1, open_high=self.draws != "afresh")
        last = max(self.event_epochs, default=-1)
        if last >= self.epochs:
            raise ValueError(
                f"schedule has an event in epoch {last}, after the last epoch {self.epochs - 1} of epochs={self.epochs}."
            )
        if self.temporary and last == self.epochs - 1:
            raise ValueError(f"schedule has an event in epoch {last}, the last: no training batch is left to disturb.")
        if self.temporary and self.at_init:
            raise ValueError(
                f"schedule='init': before training there is nothing that intervention={self.intervention!r} could disturb."
            )

    def __repr__(self) -> str:
        changed = {name: getattr(self, name) for name in _FIELDS if self._stored(name) != _DEFAULTS[name]}
        return f"RunConfig({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    @property
    def temporary(self) -> bool:
        """True if filters are only hit, and not removed."""
        return self.intervention != "none" and not interventions.intervention(self.intervention).permanent

    @property
    def at_init(self) -> bool:
        """True if everything happens before training."""
        return self.intervention != "none" and self.schedule == INIT

    @property
    def plan(self) -> list[tuple[str, float, Schedule]]:
        """(layer, prune_fraction, schedule) of every layer that events hit; a schedule may be "init"."""
        fractions, schedules = (
            value if isinstance(value, tuple) else (value,) * len(self.layers)
            for value in (self.prune_fraction, self.schedule)
        )
        return list(zip(self.layers, fractions, schedules))

    @property
    def event_epochs(self) -> tuple[int, ...]:
        """The epochs that end with an event, of any layer."""
        if self.intervention == "none" or self.at_init:
            return ()
        return tuple(sorted({epoch for *_, schedule in self.plan for epoch in schedule.epochs}))

    def due(self, epoch: int) -> list[Due]:
        """The layers that the event after this epoch hits; empty if there is none."""
        if epoch not in self.event_epochs:
            return []
        return [
            Due(name, fraction, schedule.epochs.index(epoch) + 1, schedule.n_events)
            for name, fraction, schedule in self.plan
            if epoch in schedule.epochs
        ]

    @property
    def due_at_init(self) -> list[Due]:
        """The layers that are hit before training."""
        return [Due(name, fraction, 1, 1) for name, fraction, _ in self.plan] if self.at_init else []

    @staticmethod
    def field_names() -> list[str]:
        """The names of all fields: those of data and network, of the recipe, of the events, then the others."""
        return list(_FIELDS)

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with some fields changed, e.g. `replace(epochs=30, target="random")`."""
        fields = {**{n: getattr(self, n) for n in _FIELDS if n not in GROUPS["recipe"]}, **_recipe_fields(self)}
        fields["layers"] = self._stored("layers")  # so that those of another model are found anew
        if isinstance(changes.get("recipe"), Recipe):
            fields = {n: value for n, value in fields.items() if n != "milestones"} | _recipe_fields(
                changes.pop("recipe")
            )
        return RunConfig(**{**fields, **changes})

    def without_events(self) -> RunConfig:
        """The same run without events: the twin that a run is compared with."""
        return self.replace(**{name: _DEFAULTS[name] for name in GROUPS["events"]})

    def _stored(self, name: str) -> Any:
        """A field's value as it is stored: the usual layers count as not given."""
        value = getattr(self, name)
        if name != "layers" or isinstance(self.prune_fraction, tuple) or isinstance(self.schedule, tuple):
            return value
        return None if value == network(self.model).layers else value

    def to_dict(self) -> dict:
        """Plain JSON types, in the groups of `GROUPS`; `RunConfig.from_dict` is the inverse."""
        plain = {name: _plain(self._stored(name)) for name in _FIELDS}
        groups = {group: {name: plain.pop(name) for name in fields} for group, fields in GROUPS.items()}
        return {**groups, **plain}

    @classmethod
    def from_dict(cls, fields: dict) -> RunConfig:
        """Return the config that `to_dict` described, also after a round trip through JSON."""
        fields = dict(check.instance("fields", fields, dict))
        groups = [check.instance(group, fields.pop(group, {}), dict) for group in GROUPS]
        return cls(**{name: value for group in (*groups, fields) for name, value in group.items()})

    @property
    def sources(self) -> dict[str, str]:
        """The user's own functions and folder of pictures, by name, each with a hash of what decides the numbers."""
        values = [self.data, self.model, self.optimizer, self.loss, *self.measures]
        values += [self.intervention, self.score] if self.intervention != "none" else []
        own = {v for v in values if references.is_reference(v) and not v.startswith(FOLDER)}
        found = {name: references.source_hash(name) for name in sorted(own)}
        if self.data.startswith(FOLDER):
            with contextlib.suppress(FileNotFoundError):  # it may lie on other machines only
                found[self.data] = folder_fingerprint(self.data.removeprefix(FOLDER))
        return found

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name what decides the numbers.

        Fields at their default do not count, so that a new field renames no run; nor do those of events that never come.
        """
        fields, default = self.to_dict(), _default()
        if self.intervention == "none":
            fields["events"] = default["events"]
        canonical = json.dumps([RESULTS_VERSION, _differences(fields, default)], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@functools.cache
def _default() -> dict:
    return RunConfig().to_dict()


def _recipe_fields(recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe, by name, without the usual milestones: other epochs have others."""
    usual = recipe.annealing == "cosine" or recipe.milestones == usual_milestones(recipe.epochs)
    return {name: getattr(recipe, name) for name in GROUPS["recipe"] if name != "milestones" or not usual}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.to_dict() if isinstance(value, Schedule) else value


def _differences(fields: dict, defaults: dict) -> dict:
    """The entries that are not at their default; of the groups, too, only those."""
    return {
        name: _differences(value, defaults[name]) if name in GROUPS else value
        for name, value in fields.items()
        if value != defaults[name]
    }


# Every field, in the order of the groups; and the values that they have unless they are given.
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(RunConfig)} | {"milestones": MILESTONES}
_FIELDS = [*(name for group in GROUPS.values() for name in group)]
_FIELDS += [name for name in _DEFAULTS if name not in _FIELDS]
