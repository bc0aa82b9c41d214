"""History of the recorded studies: what was superseded, looked at early, tried before, and shares runs or data.

A reader who weighs an interval needs to know these things, and none of them can be seen in it.
"""

from __future__ import annotations

import pandas as pd

from gst_tutorial.book.recorded import FOLDER, recorded_names
from gst_tutorial.studies import get

#: Studies whose question a later study asks better. They stay recorded: a study that found nothing is evidence, too.
SUPERSEDED = {
    "tradeoff": "tradeoff-splits",
    "dose": "dose-splits",
    "cifar10-small": "photographs",
    "cifar10-width": "photographs-boundary",
}

#: Studies recorded more than once, with the number of seeds each time: their results were seen before seeds were added.
RECORDINGS = {
    "cifar10-small": (3, 5),
    "data": (3, 10),
    "dose": (10, 20),
    "flatness": (2, 3, 20),
    "jolts": (3, 20),
    "noise": (3, 20),
    "photographs": (5, 20),
    "pipelines": (5, 20),
    "pipelines-doses": (5, 10),
    "regularizers": (5, 20),
    "regularizers-tuning": (3, 5),
    "scores": (6, 20),
    "tradeoff": (18, 20),
    "tradeoff-aligned": (10, 20),
    "width": (3, 5, 20),
}

#: Studies whose written predictions followed pilot runs on other seeds, and what those pilots had already shown.
PILOTS = {
    "anatomy": "six to eight seeds had shown what most of these interventions gain, shortening without a drop included",
    "dose-way-end": "pilot runs had compared initialization with events, few events with many, and early with late last events",
    "photographs": "the setting was found by trial on seed 300, and five other seeds had shown what most arms gain there",
}


def tuning_studies() -> list[str]:
    """Recorded studies that chose a hyper-parameter. Their seeds are not reported, but they chose by *test* accuracy."""
    return [name for name in recorded_names() if name.endswith("-tuning")]


def on_one_split() -> list[str]:
    """Studies in which every seed trains and tests on the same examples: their intervals do not cover the choice of data."""
    found = [get(name) for name in recorded_names()]
    return [s.name for s in found if len(s.seeds) > 1 and all(arm.config.data_seed == 0 for arm in s.arms)]


def shared_runs() -> int:
    """Number of runs that belong to more than one study; such studies are not independent evidence."""
    hashes = [pd.read_csv(FOLDER / f"{name}.csv", usecols=["hash"]).hash for name in recorded_names()]
    return int((pd.concat(hashes).value_counts() > 1).sum())
