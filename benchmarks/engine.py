"""What the engine costs: parallel sweeps, the training loop, masks, start-up. Each is measured beside its peer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import gst_tutorial as gst
from benchmarks._measure import alternating, row


def _with_dataloader(data: gst.Dataset, epochs: int) -> None:
    """The same training as `gst.train`, as most tutorials write it."""
    torch.manual_seed(0)
    model = gst.conv1d_net()
    loader = DataLoader(TensorDataset(data.x_train, data.y_train), batch_size=100, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _step(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    optimizer = gst.Recipe().build_optimizer(model.train())

    def step():
        for _ in range(50):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    return step


def _without_masks() -> torch.nn.Module:
    model = gst.conv1d_net()
    for layer in gst.prunable_layers(model).values():
        layer.norm._forward_hooks.clear()
    return model


def rows(quick: bool = False) -> list[dict]:
    """Run the benchmarks; `quick` takes fewer repeats."""
    repeats, epochs = (1, 2) if quick else (3, 10)
    torch.set_num_threads(1)
    data = gst.load()
    base = gst.RunConfig(evaluate_every=10).replace(epochs=5 if quick else 20, milestones=())
    study = gst.Study("bench", "How much faster are two processes?", {"none": base}, range(4 if quick else 8))
    gst.sweep(study.replace(seeds=(0, 1)), n_jobs=2)  # the worker processes start once
    found = [
        row(
            "sweep",
            "2 processes",
            "1 process",
            alternating(lambda: gst.sweep(study, n_jobs=2), lambda: gst.sweep(study, n_jobs=1), repeats),
            f"{len(study)} runs of {base.recipe.epochs} epochs",
        )
    ]
    recipe = gst.Recipe(epochs=epochs, milestones=())
    loop = alternating(
        lambda: gst.train(gst.conv1d_net(), data, recipe), lambda: _with_dataloader(data, epochs), repeats
    )
    found.append(row("training loop", "tensors in memory", "DataLoader", loop, f"{epochs} epochs"))
    x, y = data.x_train[:100], data.y_train[:100]
    masked = alternating(_step(gst.conv1d_net(), x, y), _step(_without_masks(), x, y), repeats)
    found.append(
        row("training step", "with masks", "without masks", masked, "50 steps; below 1 is the price of the masks")
    )
    config = "gst.RunConfig().replace(epochs=1, milestones=())"
    whole = alternating(
        lambda: subprocess.run([sys.executable, "-c", f"import gst_tutorial as gst; gst.run({config})"], check=True),
        lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True),
        repeats,
    )
    found.append(row("start-up", "a process with one run of one epoch", "a process that imports torch", whole))
    return found
