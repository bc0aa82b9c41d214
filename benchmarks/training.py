"""Does compiling pay? A training step as it is, beside the same step compiled or in bf16, on every device that is here."""

from __future__ import annotations

import time

import torch
from torch.nn import functional as F

import gst_tutorial as gst
from benchmarks.engine import alternating, row

# (network, width, shape of an example, batch size)
CASES = (("conv1d_net", 1.0, (1, 40), 100), ("vgg11", 0.25, (3, 32, 32), 100), ("resnet20", 1.0, (3, 32, 32), 128))


def _steps(name: str, width: float, shape: tuple, batch: int, device: str, n_steps: int, *, compiled=False, bf16=False):
    """A function that makes `n_steps` training steps, and the seconds of its first step, which compiles."""
    torch.manual_seed(0)
    model = getattr(gst, name)(width=width).to(device).train()
    mode = "reduce-overhead" if device == "cuda" else None
    forward = torch.compile(model, dynamic=False, mode=mode) if compiled else model
    optimizer = gst.Recipe().build_optimizer(model)
    x, y = torch.randn(batch, *shape, device=device), torch.arange(batch, device=device) % 10

    def steps(n: int = n_steps) -> None:
        for _ in range(n):
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(forward(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    start = time.perf_counter()
    steps(1)
    first = time.perf_counter() - start
    steps(3)  # CUDA graphs are recorded in the steps after the first
    return steps, first


def rows(quick: bool = False) -> list[dict]:
    """Run the benchmarks; `quick` takes the smallest network and fewer repeats."""
    torch.set_num_threads(1)
    repeats, n_steps = (1, 3) if quick else (5, 10)
    found = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for case in CASES[:1] if quick else CASES:
            plain, _ = _steps(*case, device, n_steps)
            for how in ("compiled", "bf16"):
                ours, first = _steps(*case, device, n_steps, **{how: True})
                note = f"{n_steps} steps" + (f"; the first took {first:.0f} s" if how == "compiled" else "")
                title = f"{case[0]}, width {case[1]}, {device}"
                found.append(row(title, how, "as it is", alternating(ours, plain, repeats), note))
    return found
