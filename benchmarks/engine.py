"""What the engine costs: parallel sweeps, the training loop, masks, start-up. Each is measured beside its peer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
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


WORKER = """
import sys
import torch
import gst_tutorial as gst
torch.set_num_threads(1)
epochs, seeds = int(sys.argv[1]), [int(seed) for seed in sys.argv[2:]]
gst.load()
gst.run(gst.RunConfig().replace(epochs=1, milestones=()))  # warm, as the pool's workers are
for line in sys.stdin:
    for seed in seeds:
        gst.run(gst.RunConfig(seed=seed, evaluate_every=10).replace(epochs=epochs, milestones=()))
    print("done", flush=True)
"""


def _two_processes(epochs: int, n_runs: int) -> tuple[Callable[[], None], list[subprocess.Popen]]:
    """Two processes that know nothing of each other, each with half of the runs: what the machine can reach."""
    halves = [[str(seed) for seed in range(which, n_runs, 2)] for which in (0, 1)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(epochs), *seeds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for seeds in halves
    ]

    def work():
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout.readline() == "done\n"

    return work, processes


def sweep_rows(quick: bool, repeats: int) -> list[dict]:
    """A sweep on two processes beside one process, and beside two independent ones."""
    n_runs, epochs = (4, 5) if quick else (8, 30)
    base = gst.RunConfig(evaluate_every=10).replace(epochs=epochs, milestones=())
    study = gst.Study("bench", "How much faster are two processes?", {"none": base}, range(n_runs))
    gst.sweep(study.replace(seeds=(0, 1)), n_jobs=2)  # the worker processes start once
    apart, processes = _two_processes(epochs, n_runs)
    try:
        apart()
        note = f"{n_runs} runs of {epochs} epochs"
        two = alternating(lambda: gst.sweep(study, n_jobs=2), apart, repeats)
        one = alternating(lambda: gst.sweep(study, n_jobs=2), lambda: gst.sweep(study, n_jobs=1), repeats)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [
        row("sweep", "2 processes", "2 independent processes", two, f"{note}; 1 is all that the machine can do"),
        row("sweep", "2 processes", "1 process", one, note),
    ]


def mask_rows(data: gst.Dataset, repeats: int) -> list[dict]:
    """A training step with masks: with none pruned, and with half of one layer pruned."""
    x, y = data.x_train[:100], data.y_train[:100]
    pruned = gst.conv1d_net()
    gst.prune_filters(pruned, "conv4", 0.5)
    cases = {"with masks, nothing pruned": gst.conv1d_net(), "with masks, half of conv4 pruned": pruned}
    return [
        row(
            "training step",
            what,
            "without masks",
            alternating(_step(model, x, y), _step(_without_masks(), x, y), 5 * repeats, time.process_time),
            "50 steps; below 1 is the price of the masks",
        )
        for what, model in cases.items()
    ]


def start_rows(repeats: int) -> list[dict]:
    """Importing the package, and a first run, each as a process beside one that imports torch alone."""
    config = "gst.RunConfig().replace(epochs=1, milestones=())"
    core = "import gst_tutorial as gst; gst.RunConfig, gst.prunable_layers"  # by itself it imports what is asked for
    first_run = f"import gst_tutorial as gst; gst.run({config})"
    optimizer = "import torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)])"  # imports torch's compiler
    pairs = [
        ("a process that imports gst_tutorial", core, "a process that imports torch", "import torch"),
        ("a process with one run of one epoch", first_run, "a process that imports torch", "import torch"),
        ("a process with one run of one epoch", first_run, "a process that makes one optimizer of torch", optimizer),
    ]

    def process(program):
        return lambda: subprocess.run([sys.executable, "-c", program], check=True)

    gst.load()  # the data are in the cache, as after the first time
    return [
        row("start-up", what, peer, alternating(process(ours), process(theirs), 2 * repeats))
        for what, ours, peer, theirs in pairs
    ]


def rows(quick: bool = False) -> list[dict]:
    """Run the benchmarks; `quick` takes fewer repeats."""
    repeats, epochs = (1, 2) if quick else (3, 10)
    torch.set_num_threads(1)
    data = gst.load()
    found = sweep_rows(quick, repeats)
    recipe = gst.Recipe(epochs=epochs, milestones=())
    loop = alternating(
        lambda: gst.train(gst.conv1d_net(), data, recipe), lambda: _with_dataloader(data, epochs), repeats
    )
    found.append(row("training loop", "tensors in memory", "DataLoader", loop, f"{epochs} epochs"))
    return [*found, *mask_rows(data, repeats), *start_rows(repeats)]
