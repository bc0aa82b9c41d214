"""Costs of the named studies, as measured on the machine that recorded them."""

from __future__ import annotations

import pandas as pd

from gst_tutorial.book.recorded import FOLDER, recorded, recorded_names
from gst_tutorial.studies import get
from gst_tutorial.studies.cost import study_cost
from gst_tutorial.studies.provenance import processor
from gst_tutorial.studies.study import Study

COSTS = FOLDER / "costs.csv"


def spread(study: Study) -> tuple[float, str] | None:
    """Return how much paired differences in test accuracy vary between seeds, for `power`, and the study that says so.

    The standard deviation over seeds, its median over the arms, each against the first one: of the study itself where it
    is recorded, else of "dose-splits". None if neither has the network and the data of this study: another network's
    differences may vary several times as much.
    """
    for name in (study.name, "dose-splits"):
        if name in recorded_names() and _tasks(get(name)) == _tasks(study):
            frame = recorded(name)
            accuracy = frame.pivot(index="seed", columns="label", values="final_accuracy")
            first = frame.label.iloc[0]
            return float(accuracy.drop(columns=first).sub(accuracy[first], axis=0).std().median()), f"study {name!r}"
    return None


def _tasks(study: Study) -> set:
    return {(c.data, c.n_train, c.model, c.width) for c in (arm.config for arm in study.arms)}


def record_cost(study: Study) -> dict[str, float | int | str]:
    """Return `study_cost`, and add it to the costs that `gst list` prints."""
    known = recorded_costs().set_index("study", drop=False).to_dict("index") if COSTS.exists() else {}
    cost = study_cost(study)
    known[study.name] = cost | {"processor": processor()}
    pd.DataFrame(known.values()).to_csv(COSTS, index=False, float_format="%.3g")
    return cost


def recorded_costs() -> pd.DataFrame:
    """Return the recorded costs: a row per study with the entries of `study_cost`, and `processor`."""
    return pd.read_csv(COSTS)
