"""The controls of `run_explorer`: what each is called, which values it has, and what they mean together.

`KNOBS` is the table of controls. `config_from` makes a config from their values; `plan_words` and `why_not` say what will
happen and why it cannot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gst_tutorial import _arguments as check
from gst_tutorial.config import RunConfig
from gst_tutorial.data import dataset as data
from gst_tutorial.interventions import INTERVENTIONS, intervention
from gst_tutorial.pruning import TARGETS
from gst_tutorial.schedules import PruneSchedule

SEEDS = range(40)
BASE = RunConfig(intervention="prune", prune_fraction=0.9, schedule=PruneSchedule(5, 40, 9))


@dataclasses.dataclass(frozen=True)
class Knob:
    """A control.

    Attributes:
        label: what stands before it.
        values: its values, by the words in which they are offered.
        enter: function of (config, value): what changes in the config, by the name of the field.
        read: function of a config: the value that is in it.
        counts: function of a config: whether the knob makes a difference to it.
        said: how a value is said in the name of a run, with `{}` for its words; empty: not at all.
        quiet: whether the name of a run leaves out the value that the base has.
    """

    label: str
    values: Mapping[str, Any]
    enter: Callable[[RunConfig, Any], dict]
    read: Callable[[RunConfig], Any]
    counts: Callable[[RunConfig], bool] = lambda config: True
    said: str = "{}"
    quiet: bool = False


def _field(label: str, name: str, values: Iterable, words: str = "{}", **others) -> Knob:
    """The knob of one field of the config."""
    return Knob(
        label,
        {words.format(value): value for value in values},
        lambda config, value: {name: value},
        lambda config: getattr(config, name),
        **others,
    )


# The jolts of chapter 6 in its words: intervention and size, from the table of interventions.
JOLTS = {words: (name, size) for name, entry in INTERVENTIONS.items() for words, size in entry.words.items()}


def _does(config: RunConfig, intervention: str, size: float | None = None) -> dict:
    """The changes that make a config use this intervention."""
    entry, changes = INTERVENTIONS[intervention], {"intervention": intervention, "size": size}
    if entry.hits == "inputs":
        changes["layers"] = ("head",)
    if entry.permanent:  # it lasts no number of batches and gives nothing back
        changes |= {"draws": "new", "n_batches": 1, "restore": "no"}
    return changes


def _jolt_of(config: RunConfig) -> str | None:
    return next((words for words, jolt in JOLTS.items() if jolt == (config.intervention, config.size)), None)


def _aims(config: RunConfig) -> bool:
    """True if the intervention hits some units and not others."""
    return config.intervention == "none" or intervention(config.intervention).hits != "optimizer"


def _lasts(config: RunConfig) -> bool:
    return config.temporary


def _events(config: RunConfig, **changes: int) -> dict:
    """The changes that give the config other times of its events."""
    times = {name: getattr(config.schedule, name) for name in ("start", "end", "retrain_period")}
    return {"schedule": PruneSchedule(**{**times, **changes})}


KNOBS = {
    "intervention": Knob(
        "intervention",
        {name: name for name in ("prune", "zero", "silence", "gaussian")},
        lambda config, value: _does(config, value),
        lambda config: config.intervention,
    ),
    "jolt": Knob(
        "jolt",
        {name: name for name in JOLTS},
        lambda config, value: _does(config, *JOLTS[value]),
        _jolt_of,
    ),
    "optimizer": Knob(
        "optimizer",
        {"Adam": ("adam", 2e-3), "AdamW": ("adamw", 2e-3), "SGD": ("sgd", 0.1)},
        lambda config, value: dict(zip(("optimizer", "learning_rate"), value)),
        lambda config: (config.optimizer, config.learning_rate),
    ),
    "learning_rate": _field(
        "learning rate", "learning_rate", (1e-3, 2e-3, 5e-3, 1e-2, 2e-2), "{:g}", said="learning rate {}", quiet=True
    ),
    "weight_decay": _field(
        "weight decay", "weight_decay", (0.0, 3e-3, 1e-2, 3e-2, 0.1, 0.3), "{:g}", said="decay {}", quiet=True
    ),
    "augment": Knob(
        "augmentation",
        {"no": "none", "shift and noise": "shift_noise"},
        lambda config, value: {"augment": value},
        lambda config: config.augment,
        lambda config: data.kind_of(config.data) == "signals",
        said="augmentation: {}",
        quiet=True,
    ),
    "dropout": _field("dropout", "dropout", (0.0, 0.3, 0.5, 0.7), "{:g}", said="dropout {}", quiet=True),
    "sam_radius": _field("SAM's radius", "sam_radius", (0.0, 0.05, 0.1, 0.2), "{:g}", said="SAM {}", quiet=True),
    "prune_fraction": _field(
        "dose", "prune_fraction", (0.05, 0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.95), "{:.0%}", counts=_aims
    ),
    "target": _field("target", "target", TARGETS, counts=_aims),
    "end": Knob(
        "window ends",
        {f"epoch {end}": end for end in (23, 31, 35, 40)},
        lambda config, value: _events(config, end=value),
        lambda config: config.schedule.end,
        said="to {}",
    ),
    "retrain_period": Knob(
        "an event every",
        {"epoch" if n == 1 else f"{n} epochs": n for n in (1, 2, 4, 6, 9, 12, 18)},
        lambda config, value: _events(config, retrain_period=value),
        lambda config: config.schedule.retrain_period,
        said="every {}",
    ),
    "n_batches": Knob(
        "hit lasts",
        {"1 batch" if n == 1 else f"{n} batches": n for n in (1, 10, 20, 40, 90)},
        lambda config, value: {"n_batches": value},
        lambda config: config.n_batches,
        _lasts,
        quiet=True,
    ),
    "restore": Knob(
        "given back",
        {"nothing": "no", "weights": "values", "their length": "norm"},
        lambda config, value: {"restore": value},
        lambda config: config.restore,
        _lasts,
        said="given back: {}",
        quiet=True,
    ),
    "flatness": Knob(
        "sharpness",
        {"not measured": (), "measured at the end": ("sharpness",)},
        lambda config, value: {"measures": value},
        lambda config: config.measures,
        said="",
    ),
    "seed": _field("seed", "seed", SEEDS, said="seed {}"),
}
USUAL = ("intervention", "prune_fraction", "target", "retrain_period", "seed")
FIRST = {"unstable: two events": {"retrain_period": 18}, "gentle: eighteen events": {"retrain_period": 2}}


def config_from(settings: Mapping[str, Any], base: RunConfig = BASE) -> RunConfig:
    """The run that the controls ask for.

    Args:
        settings: a value by the name of its knob. They enter in the order of `KNOBS`; one that makes no difference to
            what those before it say is left out, so that two settings of the same meaning are the same run.
        base: everything that they leave open.

    Raises:
        ValueError: a name that is no knob, or values that do not fit each other.
    """
    for name in settings:
        check.one_of("knobs", name, KNOBS)
    config = base.replace(evaluate_every=1)
    for name, knob in KNOBS.items():
        if name in settings and knob.counts(config):
            config = config.replace(**knob.enter(config, settings[name]))
    return config


def twin_of(config: RunConfig) -> RunConfig:
    """The same run without pruning: same seed, same recipe."""
    return config.without_events()


def why_not(config: RunConfig) -> str:
    """A sentence that says why these choices do not go together; empty if they do."""
    gap = config.schedule.retrain_period
    if len(config.event_epochs) < 2:
        gap = config.epochs
    gap = min(gap, config.epochs - 1 - config.event_epochs[-1])
    batches = gap * config.steps_per_epoch(config.n_train or data.entry(config.data).n_train)
    if config.restore != "no" and config.n_batches > batches:
        return (
            f"A hit of {config.n_batches} batches lasts beyond the next event, {batches} batches later, so nothing could "
            "be given back. Choose a shorter hit, or give back nothing."
        )
    return ""


def plan_words(config: RunConfig) -> str:
    """Describe this run in a sentence."""
    epochs = config.event_epochs
    events = (
        f"{len(epochs)} events, the last after epoch {epochs[-1]}"
        if epochs[1:]
        else f"1 event, after epoch {epochs[0]}"
    )
    if not _aims(config):
        return f"{events}."
    every = config.draws == "afresh"
    share = config.prune_fraction if every else config.prune_fraction / len(epochs)
    what = intervention(config.intervention).hits
    does = "hits" if config.temporary else "prunes"
    return f"{events}; each {does} {100 * share:.3g}% of the {what} of {' and '.join(config.layers)}."


def fits(knob: Knob, config: RunConfig, value: Any) -> bool:
    """Return True if a value of a knob is valid in this config; other values are not offered."""
    try:
        config.replace(**knob.enter(config, value))
    except ValueError:
        return False
    return True


def name_of(config: RunConfig, knobs: Sequence[str], base: RunConfig = BASE, seed: bool = True) -> str:
    """A run in the words of these knobs, those that make a difference to it."""
    words = []
    for name in knobs:
        knob, value = KNOBS[name], KNOBS[name].read(config)
        told = knob.said and knob.counts(config) and (seed or name != "seed")
        if told and not (knob.quiet and value == knob.read(base)):
            words.append(knob.said.format(value_words(knob, value)))
    return ", ".join(words)


def value_words(knob: Knob, value: Any) -> str:
    return next((words for words, each in knob.values.items() if each == value), str(value))
