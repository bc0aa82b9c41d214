"""How time and memory grow: of a run, of a sweep and of the Hessian. Each point is measured in a process of its own.

A row holds one thing that grows: its `sizes`, the `seconds` and `megabytes` (beyond what importing the package takes) at
each, the `exponent` of both (of the last three sizes, by least squares in logarithms) and the `limit` that it is close to:

- start-up: more than half of the time at the largest size does not depend on the size (a straight line through all points);
- arithmetic: the growing part uses more than a third of the multiplications and additions that a matrix product reaches
  in the same process;
- memory traffic: neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable

import numpy as np

import gst_tutorial as gst

POINT = """
import json, re, sys, time
from pathlib import Path
import torch
import gst_tutorial as gst

torch.set_num_threads(1)


def peak():
    found = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024


def fastest(work, rounds):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def operations(work):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted:
        work()
    return counted.get_total_flops()


def of_run(width, n_train, n_layers, epochs):
    layers = ("conv4", "conv3", "conv2", "conv1")[:n_layers]
    config = gst.RunConfig(width=width, n_train=n_train, n_test=1000, layers=layers, evaluate_every=epochs)
    events = gst.PruneSchedule(1, epochs - 1, 1)
    config = config.replace(intervention="prune", prune_fraction=0.5, schedule=events, epochs=epochs, milestones=())
    return lambda: gst.run(config)


def of_hessian(width, k):
    torch.manual_seed(0)
    model = gst.conv1d_net(width=width)
    data = gst.load()
    gst.train(model, data, gst.Recipe(epochs=3, milestones=()))
    return lambda: gst.flatness.hessian_eigenvalues(model, data.x_train[:256], data.y_train[:256], k=k, tol=1e-2)


def of_sweep(n_runs, n_processes):
    config = gst.RunConfig(n_test=1000, evaluate_every=10).replace(epochs=10, milestones=())
    study = gst.Study("scaling", "How long?", {"none": config}, seeds=range(n_runs))
    return lambda: gst.sweep(study, n_jobs=n_processes)


kind, arguments, rounds = json.loads(sys.argv[1])
gst.run(gst.RunConfig().replace(epochs=1, milestones=()))  # what torch imports late
data = gst.load("mnist1d", n_train=arguments.get("n_train", 1000), n_test=1000)  # made once a process, whatever is run
before = peak()
work = {"run": of_run, "hessian": of_hessian, "sweep": of_sweep}[kind](**arguments)
if kind == "sweep":
    gst.sweep(gst.Study("warm", "Warm?", {"none": gst.RunConfig(n_test=1000).replace(epochs=1, milestones=())}, seeds=range(2)),
              n_jobs=arguments["n_processes"])
first = fastest(work, 1)
megabytes = peak() - before
seconds = min(first, fastest(work, rounds)) if rounds else first
a = torch.randn(512, 512)
product = fastest(lambda: a @ a, 50)
counted = operations(work) if kind != "sweep" else 0
print(json.dumps({"seconds": seconds, "megabytes": megabytes, "operations": counted, "fastest": 2 * 512**3 / product}))
"""


def point(kind: str, rounds: int, **arguments) -> dict:
    """`seconds`, `megabytes`, `operations` and `fastest` (operations per second of a matrix product) of one size."""
    command = [sys.executable, "-c", POINT, json.dumps([kind, arguments, rounds])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def exponent(sizes: Iterable[float], values: Iterable[float]) -> float:
    """The power of the size with which the values grow, over the last three sizes; NaN where one of them is 0."""
    sizes, values = np.asarray(list(sizes), float)[-3:], np.asarray(list(values), float)[-3:]
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0]) if (values > 0).all() else float("nan")


def limit(sizes: list[float], seconds: list[float], operations: list[float], fastest: float) -> str:
    """See the text above; "" where the operations were not counted, or more of the thing makes it faster."""
    counted = len(set(operations)) > 1
    slope, start = np.polyfit(operations if counted else sizes, seconds, 1)
    if slope <= 0:
        return ""
    if start > seconds[-1] / 2:
        return "start-up"
    if not counted:
        return ""
    return "arithmetic" if 1 / slope > fastest / 3 else "memory traffic"


def rows(quick: bool = False) -> list[dict]:
    """What grows, one thing a row."""
    rounds = 0 if quick else 2
    own = {"width": 1.0, "n_train": 1000, "n_layers": 1, "epochs": 6}  # the tutorial's network and data
    series = [
        ("a run", "width of the network", "run", "width", [0.5, 1.0, 2.0, 4.0, 8.0], own),
        ("a run", "training examples", "run", "n_train", [500, 1000, 2000, 4000], own),
        ("a run", "layers pruned", "run", "n_layers", [1, 2, 3, 4], own),
        ("a sweep", "runs", "sweep", "n_runs", [4, 8, 16], {"n_processes": 2}),
        ("a sweep of 8 runs", "processes", "sweep", "n_processes", [1, 2], {"n_runs": 8}),
        ("the 20 largest eigenvalues", "parameters", "hessian", "width", [0.5, 1.0, 2.0, 4.0], {"k": 20}),
        ("the largest eigenvalues", "their number", "hessian", "k", [5, 20, 50, 100], {"width": 1.0}),
    ]
    found = []
    for what, grows, kind, name, sizes, others in series:
        sizes = sizes[:3] if quick else sizes
        points = [point(kind, rounds, **{**others, name: size}) for size in sizes]
        seconds, megabytes = ([each[key] for each in points] for key in ("seconds", "megabytes"))
        if kind == "sweep":
            megabytes = []  # its workers have it, each as much as a run
        counted = [each["operations"] for each in points]
        if grows == "parameters":
            sizes = [sum(p.numel() for p in gst.conv1d_net(width=width).parameters()) for width in sizes]
        found.append(
            {
                "what": what,
                "grows": grows,
                "sizes": sizes,
                "seconds": seconds,
                "megabytes": megabytes,
                "exponent": exponent(sizes, seconds),
                "memory_exponent": exponent(sizes, megabytes) if megabytes else float("nan"),
                "limit": limit(sizes, seconds, counted, points[-1]["fastest"]),
            }
        )
    return found
