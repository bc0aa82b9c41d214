"""The generalization-stability tradeoff in neural network pruning, to run and to measure.

    import gst_tutorial as gst
    config = gst.RunConfig(intervention="prune", target="largest", prune_fraction=0.6)
    result = gst.run(config)
    print(result.final_accuracy, result.instability)

Here are the names that most uses need; `gst.networks`, `gst.interventions`, `gst.statistics`, `gst.studies`, `gst.flatness`,
`gst.figures`, `gst.widgets` and `gst.exercises` hold the rest. Everything is loaded when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers, which cannot see what `__getattr__` gives
    from gst_tutorial import flatness as flatness
    from gst_tutorial import interventions as interventions
    from gst_tutorial import networks as networks
    from gst_tutorial import statistics as statistics
    from gst_tutorial import studies as studies
    from gst_tutorial.book import exercises as exercises
    from gst_tutorial.book import figures as figures
    from gst_tutorial.book import widgets as widgets
    from gst_tutorial.book.recorded import recorded as recorded
    from gst_tutorial.book.recorded import recorded_names as recorded_names
    from gst_tutorial.config import RunConfig as RunConfig
    from gst_tutorial.data import Dataset as Dataset
    from gst_tutorial.data import load as load
    from gst_tutorial.experiment import Experiment as Experiment
    from gst_tutorial.experiment import RunResult as RunResult
    from gst_tutorial.experiment import run as run
    from gst_tutorial.graph.bake import bake as bake
    from gst_tutorial.graph.compact import compact as compact
    from gst_tutorial.graph.make_prunable import make_prunable as make_prunable
    from gst_tutorial.instability import PruningEvent as PruningEvent
    from gst_tutorial.instability import accuracy as accuracy
    from gst_tutorial.instability import correct as correct
    from gst_tutorial.instability import instability_of as instability_of
    from gst_tutorial.instability import measure_instability as measure_instability
    from gst_tutorial.masks import FilterMask as FilterMask
    from gst_tutorial.masks import prunable_layers as prunable_layers
    from gst_tutorial.masks import rewind as rewind
    from gst_tutorial.masks import sparsity as sparsity
    from gst_tutorial.networks import conv1d_net as conv1d_net
    from gst_tutorial.planning import plan as plan
    from gst_tutorial.pruner import Pruner as Pruner
    from gst_tutorial.pruning import choose_filters as choose_filters
    from gst_tutorial.pruning import kept_filters as kept_filters
    from gst_tutorial.pruning import prune_filters as prune_filters
    from gst_tutorial.pruning import restore_filters as restore_filters
    from gst_tutorial.scanning import scan as scan
    from gst_tutorial.schedules import PruneSchedule as PruneSchedule
    from gst_tutorial.schedules import Schedule as Schedule
    from gst_tutorial.scores import filter_scores as filter_scores
    from gst_tutorial.studies.store import ResultStore as ResultStore
    from gst_tutorial.studies.study import Arm as Arm
    from gst_tutorial.studies.study import Study as Study
    from gst_tutorial.studies.sweep import sweep as sweep
    from gst_tutorial.training import Diverged as Diverged
    from gst_tutorial.training import Recipe as Recipe
    from gst_tutorial.training import train as train

__version__ = "0.1.0"

_NAMES = {
    "masks": ("FilterMask", "prunable_layers", "rewind", "sparsity"),
    "graph.make_prunable": ("make_prunable",),
    "graph.compact": ("compact",),
    "graph.bake": ("bake",),
    "scores": ("filter_scores",),
    "pruning": ("choose_filters", "kept_filters", "prune_filters", "restore_filters"),
    "pruner": ("Pruner",),
    "schedules": ("PruneSchedule", "Schedule"),
    "instability": ("PruningEvent", "accuracy", "correct", "instability_of", "measure_instability"),
    "scanning": ("scan",),
    "planning": ("plan",),
    "training": ("Diverged", "Recipe", "train"),
    "config": ("RunConfig",),
    "experiment": ("Experiment", "RunResult", "run"),
    "data": ("Dataset", "load"),
    "networks": ("conv1d_net",),
    "studies.study": ("Arm", "Study"),
    "studies.sweep": ("sweep",),
    "studies.store": ("ResultStore",),
    "book.recorded": ("recorded", "recorded_names"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = {
    **{name: name for name in ("flatness", "interventions", "networks", "statistics", "studies")},
    **{name: f"book.{name}" for name in ("exercises", "figures", "widgets")},
}
__all__ = [*_HOME, *_MODULES]


def _find(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"gst_tutorial.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"gst_tutorial.{_MODULES[name]}")
    raise AttributeError(f"module 'gst_tutorial' has no attribute {name!r}")


if not TYPE_CHECKING:  # where it is seen, no misspelt name would be found
    __getattr__ = _find


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
