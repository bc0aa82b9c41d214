"""torchvision, importable beside any torch. Nothing else in the package imports torchvision directly.

A torchvision wheel whose compiled operators do not fit the installed torch (a CPU-only build, most often) dies on import with
"operator torchvision::nms does not exist", although data sets, transforms and models need no such operator.
Declaring the missing operators, without an implementation, is enough for everything but object detection.
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType

import torch

_NON_MAXIMUM_SUPPRESSION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@functools.cache
def torchvision() -> ModuleType:
    """The torchvision package, with its data sets, models and transforms imported.

    Raises:
        ImportError: torchvision is not installed, or fails for another reason than its missing operators.
    """
    try:
        return _import()
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    _declare_operators()
    return _import()


def _import() -> ModuleType:
    try:
        for part in ("datasets", "models", "transforms.v2"):
            importlib.import_module(f"torchvision.{part}")
    except ModuleNotFoundError as error:
        if error.name == "torchvision":
            raise ImportError('Photographs need torchvision: pip install "gst-tutorial[vision]"') from error
        raise
    return sys.modules["torchvision"]


@functools.cache  # a library's definitions live as long as the object does: keep it
def _declare_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + _NON_MAXIMUM_SUPPRESSION)
    return library
