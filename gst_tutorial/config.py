"""What decides a run's numbers, as one frozen and validated value: `RunConfig`.

Its fields stand in three groups, by what they say: `Task` (data and network), `Recipe` (training, in training.py) and
`Events` (what happens to the network, when, and to which filters). A reader need not know the groups: every field is given
and read by its own name, `RunConfig(data="digits", epochs=30, target="largest")`, `config.epochs`.

What is named in a table (data, model, optimizer, loss, intervention, score, measures, a schedule) may also be a function
of one's own, given as it is or as "package.module:function"; see `gst_tutorial.references`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from typing import NamedTuple

from gst_tutorial import _arguments as check
from gst_tutorial import interventions, masks, pruning, references
from gst_tutorial.data import dataset as data
from gst_tutorial.networks import NETWORKS, network
from gst_tutorial.pruning import EventEpochs, PruneSchedule, as_schedule
from gst_tutorial.training import Recipe

RESULTS_VERSION = 2  # raise it when the same config would give other numbers; stored results then no longer match
MEASURES = ("flatness", "curvature", "sharpness")
INIT = "init"  # the schedule of pruning at initialization


@dataclasses.dataclass(frozen=True)
class Task:
    """Data and network.

    Attributes:
        data, n_train, n_test, image_size: see `gst.load`.
        data_seed: which examples, see `gst.load`; None follows the run's seed, so that an interval over seeds covers the
            choice of examples, too.
            Your own function takes what it likes of `n_train, n_test, seed, image_size` and gives a `gst.Dataset`.
        model: "conv1d", "conv1d_pooled" (signals), "conv2d", "conv2d_pooled", "vgg11", "resnet18", "resnet20" or
            "resnet56" (images). Your own function takes what it likes of `n_classes` (or `num_classes`), `input_shape`,
            `width`, `dropout`, `filter_dropout` and gives a network; without masks, `gst.make_prunable` sets them:
            "torchvision.models:resnet18".
        width: multiplies the number of filters of every layer.
        dropout, filter_dropout: layers of the network, see `gst.conv1d_net`.
    """

    data: str = "mnist1d"
    n_train: int | None = None
    n_test: int | None = None
    data_seed: int | None = 0
    image_size: int | None = None
    model: str = "conv1d"
    width: float = 1.0
    dropout: float = 0.0
    filter_dropout: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "data", data.check_name("data", self.data))
        for size, low in (("n_train", 10), ("n_test", 10), ("image_size", 1), ("data_seed", 0)):
            if getattr(self, size) is not None:
                check.integer(size, getattr(self, size), low=low)
        object.__setattr__(self, "model", references.known_or_reference("model", self.model, NETWORKS))
        check.real("width", self.width, 0, open_low=True)
        for share in ("dropout", "filter_dropout"):
            check.real(share, getattr(self, share), 0, 1, open_high=True)
        check.plain_numbers(self)
        takes, kind = network(self.model).takes, data.kind_of(self.data)
        if None not in (takes, kind) and takes != kind:  # None: a function of the reader's, known when it is called
            raise ValueError(
                f"model={self.model!r} takes {takes} and does not fit data={self.data!r}, which are {kind}."
            )


class Due(NamedTuple):
    """One layer's part in a pruning event: event number `i` of `n_events` (from 1) of that layer."""

    layer: str
    prune_fraction: float
    i: int
    n_events: int


def _as_schedules(value):
    """The schedule that is meant by a schedule, by epochs, by what either is in JSON, or by one of these per layer."""
    if isinstance(value, dict):
        if set(value) == {"epochs"}:
            return as_schedule(value["epochs"])
        if set(value) == {field.name for field in dataclasses.fields(PruneSchedule)}:
            return PruneSchedule(**value)
        raise ValueError(f"schedule={check.shown(value)} must have epochs, or start, end and retrain_period.")
    if isinstance(value, EventEpochs):
        return as_schedule(value.epochs)
    if isinstance(value, (tuple, list)) and value:
        if not any(isinstance(each, (dict, list, tuple)) or hasattr(each, "epochs") for each in value):
            return as_schedule(value)
        return tuple(map(_as_schedules, value))
    if hasattr(value, "epochs") and type(value) not in (PruneSchedule, EventEpochs):
        return as_schedule(value.epochs)  # a class of the reader's: what decides the numbers is when its events come
    if callable(value):
        return references.name_of("schedule", value)
    return value


@dataclasses.dataclass(frozen=True)
class Events:
    """What happens to the network while it trains, when, and to which filters.

    Attributes:
        intervention: what an event does: "none"; "prune" (for good); another of `gst.interventions.INTERVENTIONS`; or
            your own function of a `gst_tutorial.interventions.Site` (and, if it has one, a `size`).
        layers: names of the layers hit; None takes those of the network's entry in `gst.networks.NETWORKS`.
            `prune_fraction` and `schedule` are one value for all layers, or a tuple of as many.
        prune_fraction: fraction of a layer's original filters, over all events together.
        schedule: when events come: a `PruneSchedule` or whatever has `epochs`; the epochs themselves, such as `(5, 7, 23)`;
            "init": the whole fraction at once, before training; or your own function of `epochs`, their number in the run,
            which gives the epochs. It is called once, here: the config keeps the epochs.
        score, target: which filters, see `gst.filter_scores` and `gst.choose_filters`.
        draws: interventions other than "prune": each event hits the filters that pruning would choose next ("new"), all
            chosen so far ("so far"), or `prune_fraction` of *all* filters, chosen afresh ("afresh"; may then be 1).
        size: how strong, in the intervention's own unit; None takes the intervention's usual size.
        n_batches: how many training batches after an event are hit: the event itself is the hit before the first.
        restore: what the hit filters get back after `n_batches`: "no" (nothing), "values" (weights and batch norm as
            they were before the event) or "norm" (the length of their weights).
        mask: intervention "prune": the mask stands behind batch norm ("norm"), or behind the convolution ("conv"), and
            then batch norm's constant stays, as in the paper's figure 5; see `gst_tutorial.graph.make_prunable.mask_convolutions_alone`.
    """

    intervention: str = "none"
    layers: tuple[str, ...] | None = None
    prune_fraction: float | tuple[float, ...] = 0.9
    schedule: PruneSchedule | EventEpochs | str | tuple = PruneSchedule(5, 23, 9)
    score: str = "l2"
    target: str = "smallest"
    draws: str = "new"
    size: float | None = None
    n_batches: int = 1
    restore: str = "no"
    mask: str = "norm"

    def __post_init__(self):
        known = {"intervention": ("none", *interventions.INTERVENTIONS), "score": pruning.SCORES | pruning.PAPER_SCORES}
        for name, table in known.items():
            object.__setattr__(self, name, references.known_or_reference(name, getattr(self, name), table))
        check.one_of("target", self.target, pruning.TARGETS)
        check.one_of("draws", self.draws, ("new", "so far", "afresh"))
        check.one_of("restore", self.restore, interventions.RESTORE)
        check.one_of("mask", self.mask, masks.BEHIND)
        if self.mask != "norm" and self.intervention != "prune":
            raise ValueError(
                f"mask={self.mask!r} is for intervention='prune'; intervention={self.intervention!r} sets no mask."
            )
        check.integer("n_batches", self.n_batches, low=1)
        if self.size is not None:
            check.real("size", self.size, 0)
            if self.intervention != "none":
                usual = interventions.usual_size(self.intervention)
                if usual is None:
                    raise ValueError(f"size={self.size!r}: intervention={self.intervention!r} has no size.")
                if self.size == usual:  # one meaning, one hash
                    object.__setattr__(self, "size", None)
        if self.layers is not None:
            object.__setattr__(self, "layers", _names("layers", self.layers))
            if not self.layers and self.intervention != "none":
                raise ValueError(f"layers=() leaves intervention={self.intervention!r} nothing to hit.")
        object.__setattr__(self, "schedule", _as_schedules(self.schedule))
        for schedule in self.schedule if isinstance(self.schedule, tuple) else (self.schedule,):
            init = isinstance(self.schedule, str) and self.schedule == INIT
            if not (init or isinstance(schedule, (PruneSchedule, EventEpochs)) or references.is_reference(schedule)):
                raise TypeError(
                    f"schedule={check.shown(schedule)} must be a PruneSchedule(start, end, retrain_period), a tuple of "
                    "epochs, 'init', or a function that gives epochs."
                )
        for argument in ("prune_fraction", "schedule"):
            value = getattr(self, argument)
            if isinstance(value, (tuple, list)):
                if self.layers is None:
                    raise ValueError(f"{argument} has an entry for each layer: name the layers, too.")
                if len(value) != len(self.layers):
                    raise ValueError(
                        f"{argument} has {len(value)} entries for the {len(self.layers)} layers={self.layers}."
                    )
                object.__setattr__(self, argument, tuple(value))
        for fraction in self.prune_fraction if isinstance(self.prune_fraction, tuple) else (self.prune_fraction,):
            check.real("prune_fraction", fraction, 0, 1, open_high=self.draws != "afresh")
        if self.intervention in ("none", "prune"):
            for argument, unused in (("draws", "new"), ("restore", "no"), ("n_batches", 1)):
                if getattr(self, argument) != unused:
                    raise ValueError(
                        f"{argument}={check.shown(getattr(self, argument))} is for interventions that remove nothing, "
                        f"not for intervention={self.intervention!r}."
                    )
        check.plain_numbers(self)
        as_floats = lambda f: tuple(map(float, f)) if isinstance(f, tuple) else float(f)  # noqa: E731
        object.__setattr__(self, "prune_fraction", as_floats(self.prune_fraction))

    @property
    def temporary(self) -> bool:
        """Whether filters are only hit, and stay."""
        return self.intervention not in ("none", "prune")

    @property
    def at_init(self) -> bool:
        """Whether everything happens before training."""
        return self.intervention != "none" and self.schedule == INIT


_GROUPS = {"task": Task, "recipe": Recipe, "events": Events}
_GROUP_OF = {field.name: group for group, kind in _GROUPS.items() for field in dataclasses.fields(kind)}


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class RunConfig:
    """Everything that decides a run's numbers. Frozen, validated, and saved as JSON beside them.

    Every field of the three groups is given and read by its own name; what is not given has its default.

    Attributes:
        task: data and network, see `Task`.
        recipe: training, see `Recipe`.
        events: what happens, when, and to which filters, see `Events`.
        measures: extra measurements of the trained network: "flatness", see `gst.flatness.measure_flatness`; "curvature",
            the part of it that a larger network can afford; "sharpness", see `gst.flatness.measure_sharpness`, which
            compares runs that differ in loss, weights and size; your own function of the trained network and its
            `gst.Dataset`, which gives a number or a dict of them by name.
        evaluate_every: measure test accuracy after every n-th epoch (and always at events and at the end). Changes no
            other number; studies that only need the final accuracy run in half the time with 10.
        device: "cpu", "cuda" or another of torch's; the data lie there, too. A GPU gives other numbers: its
            convolutions round to three digits (TF32) while training, and its dropout and augmentation draw from its own
            generators. A repeated run there agrees within that, not to the bit.
        seed: of initialization, batch order, dropout, augmentation, noise and random targets; each has a stream of its
            own, so two configs with one seed share initial weights and batches.

    >>> RunConfig(intervention="prune", target="largest", epochs=30, milestones=(20, 26)).target
    'largest'

    Raises:
        ValueError, TypeError: a field that is unknown or out of its range, or fields that do not fit each other; names them.
    """

    task: Task = Task()
    recipe: Recipe = Recipe()
    events: Events = Events()
    measures: tuple[str, ...] = ()
    evaluate_every: int = 1
    device: str = "cpu"
    seed: int = 0

    def __init__(self, **fields):
        for name in fields:
            check.one_of("field", name, [*(f.name for f in dataclasses.fields(RunConfig)), *_GROUP_OF])
        for field in dataclasses.fields(RunConfig):
            object.__setattr__(self, field.name, fields.pop(field.name, field.default))
        for group, kind in _GROUPS.items():
            if not isinstance(getattr(self, group), kind):
                raise TypeError(f"{group}={getattr(self, group)!r} must be a {kind.__name__}.")
            changes = {name: value for name, value in fields.items() if _GROUP_OF[name] == group}
            if changes:
                object.__setattr__(self, group, dataclasses.replace(getattr(self, group), **changes))
        self._check()

    def _check(self) -> None:
        own = references.known_or_reference
        measures = tuple(own("measures", measure, MEASURES) for measure in _names("measures", self.measures))
        object.__setattr__(self, "measures", measures)
        self._ask_for_epochs()
        if {"flatness", "curvature"} <= set(self.measures):
            raise ValueError(
                f"measures={self.measures!r}: 'flatness' has all of 'curvature', on more examples; name one."
            )
        check.integer("evaluate_every", self.evaluate_every, low=1)
        check.device("device", self.device)
        check.integer("seed", self.seed, low=0)
        check.plain_numbers(self)
        usual = network(self.model).layers
        if not usual and self.events.layers is None and self.intervention != "none":
            raise ValueError(
                f"layers=None: name those of model={self.model!r} that events hit; `gst.prunable_layers` lists them."
            )
        one_for_all = not isinstance(self.prune_fraction, tuple) and not isinstance(self.schedule, tuple)
        if usual and one_for_all and self.events.layers == usual:  # one meaning, one hash
            object.__setattr__(self, "events", dataclasses.replace(self.events, layers=None))
        kind = data.kind_of(self.data)
        if self.recipe.augment == {"signals": "crop_flip", "images": "shift_noise"}.get(kind):
            raise ValueError(
                f"augment={self.recipe.augment!r} does not fit data={self.data!r}: "
                "shift_noise is for signals, crop_flip for images."
            )
        if self.score == "running_activation" and self.intervention != "none":
            if self.events.at_init:
                raise ValueError("score='running_activation' needs training, and schedule='init' comes before it.")
            if self.recipe.compiled:
                raise ValueError("score='running_activation' watches training batches: it needs compiled=False.")
        last = max(self.event_epochs, default=-1)
        if last >= self.recipe.epochs:
            raise ValueError(
                f"schedule has an event in epoch {last}, after the last epoch {self.recipe.epochs - 1} of "
                f"epochs={self.recipe.epochs}."
            )
        if self.events.temporary and last == self.recipe.epochs - 1:
            raise ValueError(f"schedule has an event in epoch {last}, the last: no training batch is left to disturb.")
        if self.events.temporary and self.events.at_init:
            raise ValueError(
                f"schedule='init': before training there is nothing that intervention={self.intervention!r} could disturb."
            )

    def _ask_for_epochs(self) -> None:
        """Replace a schedule that is a function of the reader's by the epochs that it gives."""
        schedules = self.events.schedule if isinstance(self.events.schedule, tuple) else (self.events.schedule,)
        if any(references.is_reference(schedule) for schedule in schedules):
            asked = tuple(self._asked(each) if isinstance(each, str) else each for each in schedules)
            asked = asked if isinstance(self.events.schedule, tuple) else asked[0]
            object.__setattr__(self, "events", dataclasses.replace(self.events, schedule=asked))

    def _asked(self, schedule: str) -> PruneSchedule | EventEpochs:
        try:
            return as_schedule(references.find("schedule", schedule)(self.recipe.epochs))
        except TypeError as error:  # most often: a function of another number of arguments
            raise TypeError(f"schedule={schedule!r} failed for {self.recipe.epochs} epochs: {error}") from error

    def __getattr__(self, name: str):
        if name in _GROUP_OF:  # asked for only where the config itself has no such field
            return getattr(object.__getattribute__(self, _GROUP_OF[name]), name)
        raise AttributeError(f"RunConfig has no field {name!r}")

    def __repr__(self) -> str:
        changed = {}
        for group in (self.task, self.recipe, self.events, self):
            for field in dataclasses.fields(group):
                value = getattr(group, field.name)
                if field.name not in _GROUPS and value != field.default:
                    changed[field.name] = value
        return f"RunConfig({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that events hit: those that are named, or the network's own."""
        return network(self.model).layers if self.events.layers is None else self.events.layers

    @property
    def plan(self) -> list[tuple[str, float, PruneSchedule | EventEpochs | str]]:
        """(layer, prune_fraction, schedule) of every layer that events hit."""
        fractions, schedules = (
            value if isinstance(value, tuple) else (value,) * len(self.layers)
            for value in (self.prune_fraction, self.schedule)
        )
        return list(zip(self.layers, fractions, schedules))

    @property
    def event_epochs(self) -> tuple[int, ...]:
        """The epochs that end with an event, of any layer."""
        if self.intervention == "none" or self.events.at_init:
            return ()
        return tuple(sorted({epoch for *_, schedule in self.plan for epoch in schedule.epochs}))

    def due(self, epoch: int) -> list[Due]:
        """What the event after this epoch hits; empty if there is none."""
        if epoch not in self.event_epochs:
            return []
        return [
            Due(name, fraction, schedule.epochs.index(epoch) + 1, schedule.n_events)
            for name, fraction, schedule in self.plan
            if epoch in schedule.epochs
        ]

    def replace(self, **changes) -> RunConfig:
        """A copy with some fields changed, each by its own name, e.g. `replace(epochs=30, target="random")`."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return RunConfig(**{**own, **changes})

    def to_dict(self) -> dict:
        """Plain JSON types, in the groups; `RunConfig.from_dict` is the inverse."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict) -> RunConfig:
        """A config from `to_dict`, also after a round trip through JSON, also from version 1 of the results."""
        check.instance("fields", fields, dict)
        fields = _from_version_1(fields) if "method" in fields else dict(fields)
        groups = {name: check.instance(name, fields.pop(name, {}), dict) for name in _GROUPS}
        for group, given in groups.items():
            for name in given:
                check.one_of(f"field of {group}", name, [f.name for f in dataclasses.fields(_GROUPS[group])])
        return cls(**{name: kind(**groups[name]) for name, kind in _GROUPS.items()}, **fields)

    @property
    def sources(self) -> dict[str, str]:
        """The reader's own functions that decide the numbers, by name, each with its `references.source_hash`."""
        values = [self.data, self.model, self.optimizer, self.loss, *self.measures]
        values += [self.intervention, self.score] if self.intervention != "none" else []
        named = {v for v in values if references.is_reference(v) and not v.startswith(data.images.FOLDER)}
        return {name: references.source_hash(name) for name in sorted(named)}

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name what decides the numbers.

        Fields at their default do not count, so a new field renames nothing; nor do those of events that never come.
        """
        fields = self.to_dict()
        if self.intervention == "none":
            fields["events"] = _DEFAULTS["events"]
        canonical = json.dumps([RESULTS_VERSION, _differences(fields, _DEFAULTS)], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


RunConfig.__signature__ = inspect.Signature(  # what an editor shows: every field by its own name
    [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default)
        for group in (Task, Recipe, Events, RunConfig)
        for field in dataclasses.fields(group)
    ]
)


def _names(argument: str, value) -> tuple[str, ...]:
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{argument}={check.shown(value)} must be a tuple of names, such as ('conv4',).")
    if not all(isinstance(each, str) or callable(each) for each in value):
        raise TypeError(f"{argument}={check.shown(value)} must be names.")
    if len(set(value)) < len(value):
        raise ValueError(f"{argument}={check.shown(value)} names one of them twice.")
    return tuple(value)


def _differences(fields: dict, defaults: dict) -> dict:
    """The entries that are not at their default; of the groups, too, only those."""
    return {
        name: _differences(value, defaults[name]) if name in _GROUPS else value
        for name, value in fields.items()
        if value != defaults.get(name)
    }


def _from_version_1(old: dict) -> dict:
    """The groups of today from the one flat list of fields that results of version 1 were stored with."""
    old = dict(old)
    take = lambda *names: {name: old.pop(name) for name in names if name in old}  # noqa: E731
    task = take(*(field.name for field in dataclasses.fields(Task)))
    recipe = old.pop("recipe", {}) | take("weight_noise")
    method = old.pop("method")
    noise = take("noise_batches", "noise_size", "noise_reference", "restore", "cumulative", "redraw")
    events = take("layers", "prune_fraction", "schedule", "score", "target")
    events["intervention"] = "prune" if method == "prune_at_init" else method
    if method == "prune_at_init":
        events["schedule"] = INIT
    if method in ("zero", "gaussian"):
        size = noise.get("noise_size", 1.0)
        if method == "zero" and size != 1:  # it took a share of the weights away
            events["intervention"], events["size"] = "scale", 1 - size
        elif method == "gaussian":
            relative = noise.get("noise_reference") == "filter"
            events["intervention"], events["size"] = "gaussian_relative" if relative else "gaussian", size
        events["n_batches"] = noise.get("noise_batches", 1)
        events["restore"] = "values" if noise.get("restore") else "no"
        events["draws"] = "afresh" if noise.get("redraw") else "so far" if noise.get("cumulative") else "new"
    return {"task": task, "recipe": recipe, "events": events, **old}


_DEFAULTS = RunConfig().to_dict()
