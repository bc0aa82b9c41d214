"""Costs of the named studies, measured on the machine that recorded them."""

from __future__ import annotations

import pandas as pd

from gst_tutorial.book.recorded import FOLDER, recorded, recorded_names
from gst_tutorial.studies.cost import study_cost
from gst_tutorial.studies.provenance import processor
from gst_tutorial.studies.study import Study

COSTS = FOLDER / "costs.csv"


def spread(study: Study, otherwise: str = "dose-splits") -> tuple[float, str]:
    """(standard deviation over seeds of a paired difference in test accuracy, the study it comes from), for `power`.

    The median over the arms, each against the first one: of the study itself where it is recorded, else of `otherwise`.
    """
    name = study.name if study.name in recorded_names() else otherwise
    frame = recorded(name)
    accuracy = frame.pivot(index="seed", columns="label", values="final_accuracy")
    first = frame.label.iloc[0]
    return float(accuracy.drop(columns=first).sub(accuracy[first], axis=0).std().median()), f"study {name!r}"


def record_cost(study: Study) -> dict[str, float | int | str]:
    """As `study_cost`; kept for `gst list` beside the costs measured before."""
    known = recorded_costs().set_index("study", drop=False).to_dict("index") if COSTS.exists() else {}
    cost = study_cost(study)
    known[study.name] = cost | {"processor": processor()}
    pd.DataFrame(known.values()).to_csv(COSTS, index=False, float_format="%.3g")
    return cost


def recorded_costs() -> pd.DataFrame:
    """Costs measured on the machine that recorded the studies, a row per study as `study_cost` gives it, with `processor`."""
    return pd.read_csv(COSTS)
