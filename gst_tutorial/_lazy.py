"""PyTorch, and the modules that cannot do without it, each imported when one of its names is first used.

Recorded results, statistics, figures and most exercises need no PyTorch. What they import takes it from here, so that they
also work where it is not installed, such as in a browser.
"""

from __future__ import annotations

import importlib
import types
from typing import TYPE_CHECKING, Any


class LazyModule(types.ModuleType):
    """A module that is imported when one of its names is first used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


if TYPE_CHECKING:
    import torch as torch
    from torch import nn as nn
    from torch.nn import functional as F

    from gst_tutorial import batches as batches
    from gst_tutorial import checkpoint as checkpoint
    from gst_tutorial import experiment as experiment
    from gst_tutorial import instability as instability
    from gst_tutorial import masks as masks
    from gst_tutorial import step_lengths as step_lengths
    from gst_tutorial import steps as steps
    from gst_tutorial import weights as weights
    from gst_tutorial.graph import make_prunable as make_prunable
    from gst_tutorial.networks import cifar as cifar
    from gst_tutorial.networks import small as small
else:
    torch = LazyModule("torch")
    nn = LazyModule("torch.nn")
    F = LazyModule("torch.nn.functional")
    batches = LazyModule("gst_tutorial.batches")
    checkpoint = LazyModule("gst_tutorial.checkpoint")
    experiment = LazyModule("gst_tutorial.experiment")
    instability = LazyModule("gst_tutorial.instability")
    masks = LazyModule("gst_tutorial.masks")
    step_lengths = LazyModule("gst_tutorial.step_lengths")
    steps = LazyModule("gst_tutorial.steps")
    weights = LazyModule("gst_tutorial.weights")
    make_prunable = LazyModule("gst_tutorial.graph.make_prunable")
    cifar = LazyModule("gst_tutorial.networks.cifar")
    small = LazyModule("gst_tutorial.networks.small")
