"""The generalization-stability tradeoff in neural network pruning, to run and to measure.

    import gst_tutorial as gst
    config = gst.RunConfig(method="prune", target="largest", prune_fraction=0.6)
    result = gst.run(config)
    print(result.final_accuracy, result.instability)

The files are read in the order of the book's chapters: data, images, models, small_models, image_models, pruning, instability,
training, config, experiment, store, sweep, studies, image_studies, costs, statistics, noise, curvature, flatness, compact.
`gst.studies`, `gst.statistics`, `gst.noise`, `gst.plots`, `gst.widgets` and `gst.exercises` are modules.
"""

import importlib

from gst_tutorial.compact import compact
from gst_tutorial.config import RunConfig
from gst_tutorial.curvature import (
    gradient_covariance_trace,
    hessian_eigenvalues,
    hessian_operator,
    hessian_trace,
)
from gst_tutorial.data import Dataset, load
from gst_tutorial.experiment import Experiment, RunResult, run
from gst_tutorial.flatness import filter_normalized_sharpness, match_loss, measure_flatness
from gst_tutorial.image_models import resnet18, resnet20, resnet56, vgg11
from gst_tutorial.instability import Instability, PruningEvent, accuracy, correct, instability_of, measure_instability
from gst_tutorial.landscape import flat_radius, loss_surface, perturbation_curve, random_directions
from gst_tutorial.models import (
    FilterMask,
    PrunableLayer,
    make_prunable,
    prunable_layers,
    sparsity,
)
from gst_tutorial.pruning import (
    PruneSchedule,
    choose_filters,
    filter_scores,
    kept_filters,
    prune_filters,
    restore_filters,
)
from gst_tutorial.recording import recorded, recorded_names
from gst_tutorial.small_models import conv1d_net, conv2d_net
from gst_tutorial.store import ResultStore
from gst_tutorial.sweep import Study, sweep
from gst_tutorial.training import Diverged, Recipe, train

__version__ = "0.1.0"

_MODULES = ("exercises", "noise", "plots", "statistics", "studies", "widgets")

__all__ = [
    "Dataset", "Diverged", "Experiment", "FilterMask", "Instability", "PrunableLayer", "PruneSchedule",
    "PruningEvent", "Recipe", "ResultStore", "RunConfig", "RunResult", "Study", "accuracy", "choose_filters", "compact",
    "conv1d_net", "conv2d_net", "correct", "filter_normalized_sharpness", "filter_scores", "flat_radius",
    "gradient_covariance_trace", "hessian_eigenvalues", "hessian_operator", "hessian_trace", "instability_of",
    "kept_filters", "load", "loss_surface", "make_prunable", "match_loss", "measure_flatness", "measure_instability",
    "perturbation_curve", "prunable_layers", "prune_filters", "random_directions", "recorded", "recorded_names",
    "resnet18", "resnet20", "resnet56", "restore_filters", "run", "sparsity", "sweep", "train", "vgg11",
    *_MODULES,
]  # fmt: skip


def __getattr__(name: str):
    # Modules come when they are first asked for, so that `import gst_tutorial` stays quick.
    if name in _MODULES:
        return importlib.import_module(f"gst_tutorial.{name}")
    raise AttributeError(f"module 'gst_tutorial' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
