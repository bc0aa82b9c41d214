"""The generalization-stability tradeoff in neural network pruning, to run and to measure.

    import gst_tutorial as gst
    config = gst.RunConfig(intervention="prune", target="largest", prune_fraction=0.6)
    result = gst.run(config)
    print(result.final_accuracy, result.instability)

Here are the names that most uses need; `gst.networks`, `gst.interventions`, `gst.statistics`, `gst.studies`, `gst.flatness`,
`gst.figures`, `gst.widgets` and `gst.exercises` hold the rest. Everything is loaded when it is first asked for.
"""

import importlib
import warnings

__version__ = "0.1.0"

_NAMES = {
    "masks": ("FilterMask", "make_prunable", "prunable_layers", "sparsity"),
    "pruning": ("PruneSchedule", "choose_filters", "filter_scores", "kept_filters", "prune_filters", "restore_filters"),
    "instability": ("PruningEvent", "accuracy", "correct", "instability_of", "measure_instability"),
    "training": ("Diverged", "Recipe", "train"),
    "config": ("RunConfig",),
    "experiment": ("Experiment", "RunResult", "run"),
    "data": ("Dataset", "load"),
    "networks": ("conv1d_net",),
    "compaction": ("compact",),
    "studies.study": ("Arm", "Study"),
    "studies.sweep": ("sweep",),
    "studies.store": ("ResultStore",),
    "studies.recorded": ("recorded", "recorded_names"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = ("exercises", "figures", "flatness", "interventions", "networks", "statistics", "studies", "widgets")
# Names of version 0.0 and where they are now; they go with version 0.2.
_MOVED = {
    **dict.fromkeys(("Instability",), "instability"),
    **dict.fromkeys(("PrunableLayer",), "masks"),
    **dict.fromkeys(("conv2d_net", "resnet18", "resnet20", "resnet56", "vgg11"), "networks"),
    **dict.fromkeys(
        ("filter_normalized_sharpness", "flat_radius", "gradient_covariance_trace", "hessian_eigenvalues",
         "hessian_operator", "hessian_trace", "loss_surface", "match_loss", "measure_flatness", "perturbation_curve",
         "random_directions"), "flatness"),
}  # fmt: skip
_MOVED_MODULES = {"noise": "interventions", "plots": "figures"}

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(f"gst_tutorial.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"gst_tutorial.{name}")
    if name in _MOVED:
        found = getattr(importlib.import_module(f"gst_tutorial.{_MOVED[name]}"), name)
        new = f"{_MOVED[name]}.{name}"
    elif name in _MOVED_MODULES:
        new = _MOVED_MODULES[name]
        found = importlib.import_module(f"gst_tutorial.{new}")
    else:
        raise AttributeError(f"module 'gst_tutorial' has no attribute {name!r}")
    warnings.warn(f"gst.{name} is now gst.{new}; the old name goes with version 0.2.", DeprecationWarning, stacklevel=2)
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
