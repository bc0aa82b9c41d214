"""The barrier between two networks: how far accuracy falls on the straight line from the weights of one to the other.

Two networks without a barrier between them lie in one valley of the loss, however curved it is at either place. That is
another question than flatness, and it needs no scale: it compares accuracies.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.graph.bake import bake
from gst_tutorial.instability import accuracy
from gst_tutorial.masks import prunable_layers


def error_barrier(first: nn.Module, second: nn.Module, dataset: Dataset, n_points: int = 11) -> float:
    """Return the largest fall of test accuracy below the straight line between two networks' accuracies, in [0, 1].

    At each of `n_points` places w = (1 - a) w_first + a w_second, batch norm's running statistics are those of the whole
    training set: averages of the statistics of two networks belong to neither. Pruned filters are zeros on the way, too.

    Args:
        first, second: networks of one architecture; left as they are.
        dataset: test accuracy is measured on it, statistics come from its training examples.
        n_points: places, both ends among them. The ends set the line, so the barrier is never below zero.

    Raises:
        ValueError: two networks whose weights differ in names or shapes, or fewer than 3 places.

    Source: Frankle, Dziugaite, Roy and Carbin, *Linear mode connectivity and the lottery ticket hypothesis*, ICML 2020;
    statistics after Jordan et al., *REPAIR*, ICLR 2023.
    """
    check.integer("n_points", n_points, low=3)
    start, end = (dict(_unmasked(model).named_parameters()) for model in (first, second))
    if {k: p.shape for k, p in start.items()} != {k: p.shape for k, p in end.items()}:
        raise ValueError("first and second must be of one architecture: their weights differ in names or shapes.")
    between = _unmasked(first)
    found = []
    for a in torch.linspace(0, 1, n_points).tolist():
        with torch.no_grad():
            for name, parameter in between.named_parameters():
                parameter.copy_(torch.lerp(start[name], end[name], a))
        recalibrate(between, dataset)
        found.append(accuracy(between, dataset))
    accuracies = torch.tensor(found, dtype=torch.float64)  # (n_points,)
    line = torch.lerp(accuracies[0], accuracies[-1], torch.linspace(0, 1, n_points, dtype=torch.float64))
    return (line - accuracies).max().item()


@torch.no_grad()
def recalibrate(model: nn.Module, dataset: Dataset, batch_size: int = 500) -> None:
    """Set batch norm's running statistics to averages over the training set. Nothing else changes."""
    norms = [module for module in model.modules() if getattr(module, "track_running_stats", False)]
    before = model.training, [norm.momentum for norm in norms]
    model.eval()  # no dropout
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
    for x in dataset.x_train.split(batch_size):
        model(x)
    model.train(before[0])
    for norm, momentum in zip(norms, before[1]):
        norm.momentum = momentum


def _unmasked(model: nn.Module) -> nn.Module:
    """A copy in which pruned filters are zeros."""
    layers = prunable_layers(model).values()
    pruned = any(layer.mask is not None and not layer.mask.kept.all() for layer in layers)
    return bake(model) if pruned else copy.deepcopy(model)
