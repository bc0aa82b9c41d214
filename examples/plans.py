"""Is a greedy plan from a scan better than cutting every layer alike? On two networks, over seeds, with paired intervals.

    python examples/plans.py            # about a quarter of an hour on one core; writes examples/plans.csv
    python examples/plans.py --show     # the intervals of what is in examples/plans.csv

For each seed we train a network, scan it on one part of the test examples, plan for three budgets, and measure both plans on
the other part: right after the cut, and after a few more epochs of training. Both plans leave the same share of the
parameters, to within one filter.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pandas as pd
import torch

import gst_tutorial as gst
from gst_tutorial.graph.costs import Costs
from gst_tutorial.statistics import mean_estimate, verdict

TABLE = Path(__file__).with_suffix(".csv")
SEEDS, LEFT, FRACTIONS = range(6), (0.75, 0.5, 0.25), tuple(i / 10 for i in range(1, 10))
AFTER = gst.Recipe(epochs=3, learning_rate=5e-4, annealing="cosine")  # the training after a cut
NETWORKS = {
    "conv1d on MNIST-1D": (gst.conv1d_net, ("mnist1d", 1000, 3000), gst.Recipe(epochs=30, annealing="cosine")),
    "ResNet-20 on digits": (
        lambda: gst.networks.resnet20(input_shape=(1, 8, 8), width=0.25),
        ("digits", 1000, 797),
        gst.Recipe(epochs=8, annealing="cosine"),
    ),
}


def one_seed(network: str, seed: int, left: tuple[float, ...] = LEFT) -> pd.DataFrame:
    """A row for each budget and plan: what is left, and the accuracy after the cut and after training."""
    build, (name, n_train, n_test), recipe = NETWORKS[network]
    data = gst.load(name, n_train, n_test)
    torch.manual_seed(seed)
    model = build()
    gst.train(model, data, recipe, seed)
    half = len(data.y_test) // 2
    frame = gst.scan(model, data.x_test[:half], data.y_test[:half], fractions=FRACTIONS, scores=("l2",))
    x, y = data.x_test[half:], data.y_test[half:]
    rows = []
    for share in left:
        for how in ("greedy", "uniform"):
            cut = copy.deepcopy(model)
            for layer, keep in gst.plan(model, frame, ("parameters", share), x, how=how).items():
                gst.prune_filters(cut, layer, keep=keep)
            left_over = 1 - Costs(cut, x).saved()["parameters"]
            row = {"network": network, "seed": seed, "budget": share, "plan": how, "left": left_over}
            row |= {"before": gst.accuracy(model, x, y), "at once": gst.accuracy(cut, x, y)}
            gst.train(cut, data, AFTER, seed)
            rows.append({**row, "after training": gst.accuracy(cut, x, y)})
    return pd.DataFrame(rows)


def show(table: pd.DataFrame) -> None:
    """Print the paired differences, greedy minus uniform, with 95% intervals over seeds."""
    print(
        table.groupby(["network", "budget", "plan"], sort=False)[["left", "before", "at once", "after training"]]
        .mean()
        .round(3)
    )
    for (network, budget), part in table.groupby(["network", "budget"], sort=False):
        for when in ("at once", "after training"):
            wide = part.pivot(index="seed", columns="plan", values=when)
            name = f"{network}, {budget:.0%} left, {when}"
            print(verdict(mean_estimate(wide["greedy"] - wide["uniform"], name), " percentage points", 100))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if "--show" not in sys.argv:
        found = []
        for network in NETWORKS:
            for seed in SEEDS:
                found.append(one_seed(network, seed))
                pd.concat(found).to_csv(TABLE, index=False)
                print(network, seed, flush=True)
    show(pd.read_csv(TABLE))
