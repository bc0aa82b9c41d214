"""Batches and outputs as other people's loaders and networks have them, taken apart in one place.

A batch is a tensor of examples `(B, ...)`, a pair `(examples, labels)`, or a dict whose entries the network takes by name,
such as `{"pixel_values": x, "labels": y}`. An output is a tensor, or an object, a dict or a tuple that contains the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from gst_tutorial import _arguments as check

LABELS = ("labels", "label", "targets", "target", "y")


def moved(batch: Any, model: nn.Module) -> Any:
    """Return the batch with its tensors on the device of `model`."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, torch.Tensor) else leaf, batch)


def parted(batch: Any) -> tuple[Any, torch.Tensor | None]:
    """Return examples and labels of a batch; no labels: None.

    Raises:
        TypeError: a batch of another kind.
    """
    if isinstance(batch, torch.Tensor):
        return batch, None
    if isinstance(batch, Mapping):
        name = next((name for name in LABELS if name in batch), None)
        return {key: value for key, value in batch.items() if key != name}, None if name is None else batch[name]
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return tuple(batch)
    raise TypeError(
        f"A batch is {check.shown(type(batch))}; it must be a tensor, a pair (examples, labels), or a dict."
    )


def loss_of(model: nn.Module, batch: Any, loss: Callable | None = None) -> torch.Tensor:
    """Return `loss(logits, labels)` of a batch, a scalar with a gradient; the default is the cross-entropy.

    Raises:
        ValueError: the batch has no labels.
    """
    examples, labels = parted(batch)
    if labels is None:
        raise ValueError(f"x has no labels; give (examples, labels), or a dict with one of {', '.join(LABELS)}.")
    return (loss or F.cross_entropy)(check.output_of(model, examples), labels)
