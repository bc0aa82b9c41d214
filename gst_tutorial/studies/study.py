"""A study: arms described by factors, each run with every seed, and the frame of its results."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gst_tutorial import _arguments as check
from gst_tutorial.config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("runs", "events", "epochs")
# How a factor's value is written in a label; all others are written as they are.
_SAID = {
    "dose": "{:.0%}",
    "period": "period {}",
    "batches": "{} batches",
    "strength": "strength {}",
    "n_train": "{} examples",
    "width": "width {}",
    "n_events": "{} events",
    "end": "end {}",
    "learning_rate": "learning rate {}",
    "weight_decay": "weight decay {}",
    "dropout": "dropout {}",
    "sam_radius": "SAM {}",
    "label_noise": "{:.0%} wrong labels",
    "epochs": "{} epochs",
}


@dataclasses.dataclass(frozen=True)
class Arm:
    """One setting of a study.

    Attributes:
        config: what is run; its seed is ignored.
        factors: what distinguishes the arm within its study, by name: {"target": "largest", "dose": 0.4}. They become
            columns of the study's frame. Nothing reads them from the label.
        name: the label, for people. By default the factors' values: "largest, 40%".

    Raises:
        ValueError: neither factors nor a name.
        TypeError: `config` is not a `RunConfig`.
    """

    config: RunConfig
    factors: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str | None = None

    def __post_init__(self):
        if not isinstance(self.config, RunConfig):
            raise TypeError(f"config={check.shown(self.config)} must be a gst.RunConfig.")
        check.instance("factors", self.factors, Mapping)
        if not self.factors and not self.name:
            raise ValueError("An arm needs factors or a name, to tell it from the others.")

    @property
    def label(self) -> str:
        """Name of the arm for people to read."""
        if self.name is not None:
            return self.name
        return ", ".join(_SAID.get(factor, "{}").format(value) for factor, value in self.factors.items())


@dataclasses.dataclass(frozen=True)
class Study:
    """A named grid of arms, each run with every seed.

    Attributes:
        name: what the command line calls it.
        sentence: the question it answers, or what its authors predict.
        arms: the settings; also accepted as a mapping from labels to configs.
        seeds: the reported seeds.
        curves: frames that are recorded with the package in addition to a row per run: "events", "epochs".
        predictions: the outcome that each explanation predicts, by its name; written down before the study ran.

    Raises:
        ValueError: no arm; two arms with the same label, or with configs that differ in nothing but the seed; no seed, or
            one seed twice.
    """

    name: str
    sentence: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...] = tuple(range(20))
    curves: tuple[str, ...] = ()
    predictions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    if TYPE_CHECKING:  # the constructor accepts more types than the fields have

        def __init__(
            self,
            name: str,
            sentence: str,
            arms: Iterable[Arm] | Mapping[str, RunConfig],
            seeds: Iterable[int] = ...,
            curves: Iterable[str] = ...,
            predictions: Mapping[str, str] = ...,
        ) -> None: ...

    def __post_init__(self):
        arms = self.arms
        if isinstance(arms, Mapping):
            for label, config in arms.items():
                check.instance(f"arms[{check.shown(label)}]", config, RunConfig)
            arms = [Arm(config, name=str(label)) for label, config in arms.items()]
        arms = tuple(check.instance("arms", arm, Arm) for arm in check.many("arms", arms, "arms"))
        object.__setattr__(self, "arms", arms)
        if not self.arms:
            raise ValueError(f"arms of study {self.name!r} are empty.")
        labels = [arm.label for arm in self.arms]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise ValueError(f"arms of study {self.name!r}: {twice!r} is the label of two.")
        known: dict[str, str] = {}
        for arm in self.arms:
            other = known.setdefault(arm.config.replace(seed=0).hash, arm.label)
            if other != arm.label:
                raise ValueError(
                    f"arms of study {self.name!r}: {other!r} and {arm.label!r} are the same config, so their runs would "
                    "be counted twice. Give only one, or check the field that should differ."
                )
        seeds = tuple(check.integer("seeds", seed, low=0) for seed in check.many("seeds", self.seeds, "whole numbers"))
        object.__setattr__(self, "seeds", seeds)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={self.seeds} must be at least one, and each only once.")

    def __len__(self) -> int:
        return len(self.arms) * len(self.seeds)

    def __getitem__(self, label: str) -> RunConfig:
        """The config of the arm with that label."""
        grid = {arm.label: arm.config for arm in self.arms}
        return grid[check.one_of("label", label, grid)]

    @property
    def runs(self) -> list[tuple[Arm, RunConfig]]:
        """Every (arm, config with its seed). Seeds vary slowest: a study stopped early still compares all its arms."""
        return [(arm, arm.config.replace(seed=seed)) for seed in self.seeds for arm in self.arms]

    @property
    def configs(self) -> list[RunConfig]:
        """Every config with its seed, in the order of `runs`."""
        return [config for _, config in self.runs]

    def replace(self, **changes) -> Study:
        """A copy with some fields changed, e.g. `study.replace(seeds=range(3))`."""
        return dataclasses.replace(self, **changes)

    def replace_in_runs(self, **changes) -> Study:
        """A copy whose configs all have some fields changed, e.g. `study.replace_in_runs(device="cuda")`."""
        arms = [dataclasses.replace(arm, config=arm.config.replace(**changes)) for arm in self.arms]
        return self.replace(arms=tuple(arms))

    def frame(self, records: Mapping[str, dict], kind: str = "runs") -> pd.DataFrame:
        """Return results as one tidy DataFrame, in the order of `runs`, without the runs that have no record.

        Args:
            records: by the config's hash, as `gst_tutorial.studies.sweep.run_record` gives them.
            kind: "runs" (a row per run: label, factors, every field of the config, hash, then every result), "events" or
                "epochs" (a row each, after label and seed).

        Returns:
            DataFrame; `.attrs["mixed"]` maps each version, processor, device or number of threads that differs among the
            runs to its values.
        """
        import pandas as pd

        check.one_of("kind", kind, KINDS)
        rows = []
        for arm, config in self.runs:
            record = records.get(config.hash)
            if record is None:
                continue
            if kind == "runs":
                state = {"status": record["status"], "error": record["error"]}
                rows.append({**run_row(arm, config), "hash": config.hash, **record["result"], **state})
            else:
                rows += [{"label": arm.label, "seed": config.seed, **row} for row in record[kind]]
        frame = pd.DataFrame(rows)
        frame.attrs["study"] = self.name
        made = [records[config.hash].get("made", {}) for _, config in self.runs if config.hash in records]
        values = {
            name: sorted({str(m[name]) for m in made if name in m})
            for name in dict.fromkeys(name for m in made for name in m)
        }
        frame.attrs["mixed"] = {name: each for name, each in values.items() if len(each) > 1 and name != "date"}
        return frame


def run_row(arm: Arm, config: RunConfig) -> dict:
    """Describe a run as one flat row: label, factors, then the config."""
    standard = {"method": method_of(config), "dose": 0.0 if config.intervention == "none" else config.prune_fraction}
    if isinstance(standard["dose"], tuple):
        standard["dose"] = "+".join(map(str, standard["dose"]))
    row = {**config_row(config), **standard, **arm.factors}
    first = ["method", *arm.factors]
    return {"label": arm.label, **{name: row[name] for name in first}, **row}


def method_of(config: RunConfig) -> str:
    """Name the intervention of a run: "none", "prune", "prune at init", or the intervention's own name."""
    return "prune at init" if config.at_init else config.intervention.rpartition(":")[2].replace("_", " ")


def config_row(config: RunConfig) -> dict:
    """A config as one flat row; the values of several layers are joined by "+"."""
    row = {name: getattr(config, name) for name in config.field_names()}
    plan, at_init = config.plan, config.at_init
    columns: dict[str, Iterable] = {
        "layers": [name for name, _, _ in plan],
        "prune_fraction": [fraction for _, fraction, _ in plan],
    }
    if at_init:
        row |= {"schedule": "init", "start": None, "end": None, "retrain_period": None, "n_events": 0}
    else:
        del row["schedule"]
        columns |= {
            "start": [schedule.start for *_, schedule in plan],
            "end": [schedule.epochs[-1] for *_, schedule in plan],
            "retrain_period": [schedule.retrain_period for *_, schedule in plan],
            "n_events": [schedule.n_events for *_, schedule in plan],
            "iterative_rate": [fraction / schedule.n_events for _, fraction, schedule in plan],
        }
    for name, values in columns.items():
        row[name] = values[0] if len(set(values)) == 1 and name != "layers" else "+".join(map(str, values))
    row["milestones"] = "+".join(map(str, config.milestones))
    row["measures"] = "+".join(config.measures)
    return row
