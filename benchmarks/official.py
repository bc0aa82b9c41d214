"""The training loop beside that of the paper's own code: VGG11 on images, one thread, the data in memory.

Their code is not part of this repository. Clone github.com/bbartoldson/GeneralizationStabilityTradeoff and say where:

    GST_OFFICIAL=/path/to/the/clone python -m benchmarks official

Without it there are no rows. It runs as it is, but for two things of its time: without a GPU `.cuda()` stays where it is, and
a transposed tensor is copied, because today's torch refuses the `.view(-1)` in their `accuracy`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from unittest import mock

import torch

import gst_tutorial as gst
from benchmarks._measure import alternating, row
from gst_tutorial.data import torchvision

BATCH = 128
N_BATCHES = 4


def _theirs(x: torch.Tensor, y: torch.Tensor):
    """A function that trains their prunable VGG11 for one epoch with their `train`."""
    torchvision()  # their utils imports it
    models, utils = importlib.import_module("models"), importlib.import_module("utils")
    with contextlib.redirect_stdout(io.StringIO()):
        settings = {"prune_frac": [0.3, 0.3, 0.3, 0.9], "target_large": False, "scoring": "L2", "prune_random": False}
        model = models.vgg11_bn(dataset="cifar10", num_classes=10, noise=None, **settings)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loader = list(zip(x.split(BATCH), y.split(BATCH)))

    def train():
        with contextlib.redirect_stdout(io.StringIO()):
            utils.train(loader, model, torch.nn.CrossEntropyLoss(), optimizer, 0)

    return train, sum(p.numel() for p in model.parameters())


def _ours(x: torch.Tensor, y: torch.Tensor, precision: str):
    model = gst.networks.vgg11()
    dataset = gst.Dataset("images", x, y, x[:1], y[:1])
    recipe = gst.Recipe("adam", 1e-3, batch_size=BATCH, epochs=1, milestones=(), precision=precision)
    return lambda: gst.train(model, dataset, recipe), sum(p.numel() for p in model.parameters())


def rows(quick: bool = False) -> list[dict]:
    """float32 and bf16 beside their float32."""
    folder = os.environ.get("GST_OFFICIAL")
    if not folder:
        print("official: no GST_OFFICIAL, no rows")
        return []
    torch.set_num_threads(1)
    torch.manual_seed(0)
    n = BATCH * (1 if quick else N_BATCHES)
    x, y = torch.randn(n, 3, 32, 32), torch.arange(n) % 10
    on_cpu = mock.patch.object(torch.Tensor, "cuda", lambda self, *_, **__: self)
    copied = mock.patch.object(torch.Tensor, "t", lambda self: self.transpose(0, 1).contiguous())
    found = []
    with mock.patch.object(sys, "path", [folder, *sys.path]), on_cpu, copied:
        theirs, n_theirs = _theirs(x, y)
        theirs()
        for precision in ("float32", "bf16"):
            ours, n_ours = _ours(x, y, precision)
            ours()
            note = f"VGG11, {n_ours:,} parameters (theirs {n_theirs:,}), batches of {BATCH}, one thread"
            seconds = alternating(ours, theirs, 1 if quick else 5)
            found.append(
                row("one epoch of training", f"gst.train, {precision}", "the paper's train(), float32", seconds, note)
            )
    return found
