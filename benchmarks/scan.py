"""Does a scan gain by computing what lies before a layer once? `gst.scan` and a plain forward pass for every cut, in turns."""

from __future__ import annotations

import time

import torch

import gst_tutorial as gst
from benchmarks._measure import alternating, row
from gst_tutorial import references


def _plain(model, x, y, fractions, scores) -> None:
    """Cut, measure, restore, without what `gst.scan` adds: no savings, no errors."""
    for layer, found in gst.prunable_layers(model).items():
        for score in scores:
            for fraction in fractions:
                gst.prune_filters(model, layer, fraction, score=score)
                gst.correct(model, x, y, batch_size=500)
                found.mask.mask.fill_(True)


def rows(quick: bool = False) -> list[dict]:
    """Scan torchvision's ResNet-18, all layers, nine fractions, two scores (quick: two fractions of fewer images)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = references.function_of("model", "torchvision.models:resnet18")(num_classes=10)
    n, fractions = (100, (0.3, 0.6)) if quick else (1000, tuple(i / 10 for i in range(1, 10)))
    x, y = torch.randn(n, 3, 32, 32), torch.arange(n) % 10
    gst.make_prunable(model, x[:2])
    scores = ("l1", "l2")
    seconds = alternating(
        lambda: gst.scan(model, x, y, fractions=fractions, scores=scores),
        lambda: _plain(model, x, y, fractions, scores),
        repeats=1,
        clock=time.process_time,  # other processes disturb it less,
    )
    cuts = len(fractions) * len(scores) * len(gst.prunable_layers(model))
    return [row(f"scan of ResNet-18, {n} images, {cuts} cuts", "gst.scan", "one forward pass per cut", seconds)]
