"""Do compiling and bf16 pay? `gst.train` as it is, beside itself with one of them, on every device that is here."""

from __future__ import annotations

import time

import torch

import gst_tutorial as gst
from benchmarks._measure import alternating, row

# (network, width, shape of an example, batch size)
CASES = (("conv1d_net", 1.0, (1, 40), 100), ("vgg11", 0.25, (3, 32, 32), 100), ("resnet20", 1.0, (3, 32, 32), 128))


def _training(case: tuple, device: str, n_steps: int, **changes):
    """A function that trains for `n_steps` steps of one batch, and the seconds of the first steps, which compile."""
    name, width, shape, batch = case
    torch.manual_seed(0)
    model = getattr(gst, name)(width=width).to(device)
    x, y = torch.randn(batch, *shape), torch.arange(batch) % 10
    dataset = gst.Dataset(name, x, y, x, y).to(device)

    def train(epochs: int = n_steps) -> None:
        gst.train(model, dataset, gst.Recipe(batch_size=batch, epochs=epochs, milestones=(), **changes))
        if device == "cuda":
            torch.cuda.synchronize()

    start = time.perf_counter()
    train(4)  # CUDA graphs are recorded in the steps after the first
    return train, time.perf_counter() - start


def rows(quick: bool = False) -> list[dict]:
    """Run the benchmarks; `quick` takes the smallest network and fewer repeats."""
    torch.set_num_threads(1)
    repeats, n_steps = (1, 3) if quick else (5, 10)
    found = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for case in CASES[:1] if quick else CASES:
            plain, _ = _training(case, device, n_steps)
            for how, changes in {"compiled": {"compiled": True}, "bf16": {"precision": "bf16"}}.items():
                ours, first = _training(case, device, n_steps, **changes)
                note = f"{n_steps} steps; the first 4 took {first:.0f} s"
                title = f"{case[0]}, width {case[1]}, {device}"
                found.append(row(title, how, "as it is", alternating(ours, plain, repeats), note))
    return found
