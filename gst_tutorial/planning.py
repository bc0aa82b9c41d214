"""Plan how much of each layer to prune, from a scan (`plan`), and compare that with pruning every layer alike."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.graph.compact import compact
from gst_tutorial.graph.costs import Costs
from gst_tutorial.instability import correct, instability_of
from gst_tutorial.masks import evaluation_mode, prunable_layers
from gst_tutorial.pruning import kept_in_the_end, prune_filters
from gst_tutorial.scanning import RANDOM, summary
from gst_tutorial.statistics import mean_estimate

COLUMNS = {"parameters": "parameters", "multiply-adds": "multiply_adds"}  # of a scan, by what a budget counts
N_TIMED = 7  # forward passes of each network, in turns


def plan(
    model: nn.Module,
    frame: pd.DataFrame,
    budget: tuple[str, float],
    x: torch.Tensor,
    *,
    how: str = "greedy",
    score: str | None = None,
    x_score: Any = None,
) -> dict[str, int]:
    """Plan a pruning that meets a budget: for each layer, the number of filters to keep.

    "greedy" deepens, step by step, the cut that adds least instability per parameter (or multiply-add) saved, by what the
    scan measured, and finally makes the last cut as shallow as the budget allows. Two things it does not know: the scan cut
    one layer at a time, and losses need not add up; and it takes the smallest of many noisy numbers, so measure a plan on
    other examples than those of the scan. "uniform", the usual baseline, cuts the same fraction of every layer, apart from
    layers that save nothing when they are cut alone.

    Args:
        model: the network that was scanned; not changed.
        frame: as `scan` returns it.
        budget: a pair such as `("parameters", 0.3)` or `("multiply-adds", 0.3)`: at most this share of the unpruned network
            may be left, in (0, 1), counted exactly (see `Costs`).
        x: examples `(B, ...)`, for their shape.
        how: "greedy" or "uniform".
        score: the score in `frame` to go by; None takes the first that is not "random".
        x_score: what the score looks at, see `filter_scores`.

    Returns:
        Layer -> number of filters to keep, for `prune_filters(model, layer, keep=...)`. Layers that are left alone are not
        in it.

    Raises:
        ValueError: an unknown score, or a budget that the fractions in `frame` cannot meet; says what they can.
    """
    check.one_of("how", how, ("greedy", "uniform"))
    planner = _Planner(model, frame, budget, x, score, x_score)
    return planner.greedy() if how == "greedy" else planner.uniform()


class _Planner:
    """Finds plans by trying them on a copy of the network."""

    def __init__(self, model: nn.Module, frame: pd.DataFrame, budget, x, score: str | None, x_score: Any):
        names = [name for name in check.frame("frame", frame, frame="score").score.unique() if name != RANDOM]
        self.score = names[0] if score is None and names else check.one_of("score", score, names)
        self.budget, (self.unit, left) = budget, budget
        check.one_of("budget", self.unit, COLUMNS)
        self.goal = 1 - check.real("budget", left, 0, 1, open_low=True, open_high=True)
        self.target, self.x_score = frame.attrs.get("target", "smallest"), x_score
        self.table = summary(frame)
        self.table = self.table[self.table.score == self.score].assign(saved=self.table[COLUMNS[self.unit]])
        self.model = copy.deepcopy(check.model("model", model))
        self.masks = {name: layer.mask for name, layer in prunable_layers(self.model).items()}
        self.before = {name: mask.mask.clone() for name, mask in self.masks.items()}
        self.costs = Costs(self.model, x)

    def apply(self, chosen: dict[str, int]) -> nn.Module:
        """Give the copy, with a plan carried out."""
        for name, mask in self.masks.items():
            mask.mask.copy_(self.before[name])
        for layer, keep in chosen.items():
            prune_filters(self.model, layer, keep=keep, score=self.score, target=self.target, x=self.x_score)
        return self.model

    def saved(self, chosen: dict[str, int]) -> float:
        self.apply(chosen)
        return self.costs.saved()[COLUMNS[self.unit]]

    def greedy(self) -> dict[str, int]:
        chosen: dict[str, int] = {}
        here = {layer: (0.0, 0.0) for layer in self.table.layer}  # instability and saving of the cut so far
        while (saved := self.saved(chosen)) < self.goal:
            steps = [row for row in self.table.itertuples() if row.saved - here[row.layer][1] > 1e-12]
            if not steps:
                raise ValueError(
                    f"budget={self.budget} cannot be met: the largest cuts of the scan leave {1 - saved:.3f}."
                )
            best = min(steps, key=lambda row: (row.instability - here[row.layer][0]) / (row.saved - here[row.layer][1]))
            layer, most = best.layer, chosen.get(best.layer, self.masks[best.layer].n_filters)
            here[layer], chosen[layer] = (best.instability, best.saved), int(best.kept)
        chosen[layer] = _largest(chosen[layer], most, lambda keep: self.saved({**chosen, layer: keep}) >= self.goal)
        return chosen

    def uniform(self) -> dict[str, int]:
        saves = self.table.groupby("layer", sort=False).saved.max() > 0
        filters = {layer: self.masks[layer].n_filters for layer in saves.index[saves]}

        def at(thousandths: int) -> dict[str, int]:
            return {layer: max(1, kept_in_the_end(n, 1 - thousandths / 1000)) for layer, n in filters.items()}

        if (saved := self.saved(at(1))) < self.goal:
            raise ValueError(f"budget={self.budget} cannot be met: one filter in every layer leaves {1 - saved:.3f}.")
        chosen = at(_largest(1, 1000, lambda thousandths: self.saved(at(thousandths)) >= self.goal))
        for layer, n in filters.items():  # layers of one size lose their next filter all together; some can keep it
            more = {**chosen, layer: min(n, chosen[layer] + 1)}
            chosen = more if self.saved(more) >= self.goal else chosen
        return chosen


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest number in [low, high) that fits, if all numbers up to it do and `low` does."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def compare(
    model: nn.Module,
    frame: pd.DataFrame,
    budget: tuple[str, float],
    x: torch.Tensor,
    y: torch.Tensor,
    score: str | None = None,
    x_score: Any = None,
) -> pd.DataFrame:
    """Measure the greedy and the uniform plan for a budget, on examples that the scan has not seen.

    Args:
        model, frame, budget, score, x_score: see `plan`.
        x, y: `(N, ...)` and `(N,)`: other held-out examples than those of the scan, which chose the plan.

    Returns:
        DataFrame with the rows "uncut", "greedy" and "uniform". Columns: `accuracy`; `instability` and `standard_error`, of
        cutting all layers together; `parameters` and `multiply_adds`, fractions saved; `milliseconds`, median time of a
        forward pass of up to 100 examples once the filters are cut out. Attributes: `greedy` and `uniform`, the plans;
        `difference`, accuracy of the greedy minus that of the uniform one, an `Estimate` whose 95% interval is about the
        finite number of examples, `n_seeds` of them, for this one network; `budget`, `score`, `n_examples`.

    Raises:
        ValueError: see `plan`.
    """
    planner = _Planner(model, frame, budget, x, score, x_score)
    before, networks = correct(model, x, y), {"uncut": model}
    plans, right = {"greedy": planner.greedy(), "uniform": planner.uniform()}, {"uncut": before}
    rows = {"uncut": dict.fromkeys(("parameters", "multiply_adds"), 0.0)}
    for name, chosen in plans.items():
        masked = planner.apply(chosen)
        right[name], rows[name] = correct(masked, x, y), planner.costs.saved()
        networks[name] = compact(masked, skip_uncuttable=True)
    for name, row in rows.items():
        after = instability_of(before, right[name])
        row |= {"accuracy": after.accuracy_after, "instability": after.instability}
        row["standard_error"] = after.standard_error
    table = pd.DataFrame.from_dict(rows, orient="index").iloc[:, [2, 3, 4, 0, 1]]
    table["milliseconds"] = pd.Series(_milliseconds(networks, x[:100]))
    gain = (right["greedy"].double() - right["uniform"].double()).cpu().numpy()
    table.attrs = {**plans, "difference": mean_estimate(gain, "greedy minus uniform"), "n_examples": len(x)}
    table.attrs |= {"budget": budget, "score": planner.score}
    return table


@torch.no_grad()
def _milliseconds(networks: dict[str, nn.Module], x: torch.Tensor) -> dict[str, float]:
    """Median time of a forward pass of each network, measured in turns so that a busy moment hits them all."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(1 + N_TIMED):
        for name, network in networks.items():
            with evaluation_mode(network):
                start = time.perf_counter()
                network(x).sum().item()  # waits for a GPU
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(each[1:]) for name, each in times.items()}  # the first one warms up
