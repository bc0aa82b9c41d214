"""Plan how much of each layer to prune for a budget, from a scan (`plan`), or alike everywhere (`uniform_plan`)."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable

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
from gst_tutorial.scores import Score
from gst_tutorial.statistics import mean_estimate

BUDGETS = ("parameters", "multiply_adds")


def plan(
    model: nn.Module,
    frame: pd.DataFrame,
    budget: float,
    x: torch.Tensor,
    by: str = "parameters",
    score: str | None = None,
) -> dict[str, int]:
    """Plan a pruning that saves a budget and costs little accuracy: greedy on the instabilities that a scan measured.

    Step by step, the plan deepens the cut that adds least instability per parameter (or multiply-add) saved. The last cut
    is then made as shallow as the budget allows. Two things that a greedy plan does not know: the scan cut one layer at a
    time, and the instabilities of several cuts need not add up; and it takes the smallest of many noisy numbers, so
    measure the plan on other examples than those of the scan. What it saves is counted exactly (see `Costs`).

    Args:
        model: the network that was scanned; not changed.
        frame: as `scan` returns it.
        budget: fraction of the unpruned network's parameters (or multiply-adds) to save, in (0, 1).
        x: examples `(B, ...)`, for the shapes, and for a score that needs examples.
        by: "parameters" or "multiply_adds".
        score: the score in `frame` to go by; None takes the first that is not "random".

    Returns:
        Layer -> number of filters to keep, for `apply_plan`. Layers that are left alone are not in it.

    Raises:
        ValueError: an unknown score, or a budget that the fractions in `frame` cannot reach; says what they can.
    """
    score = _score_of(frame, score)
    planner = _Planner(model, x, budget, by, score, frame.attrs.get("target", "smallest"))
    table = summary(frame)
    table = table[table.score == score]
    here = {layer: (0.0, 0.0, planner.layers[layer].mask.n_filters) for layer in table.layer.unique()}
    chosen: dict[str, int] = {}
    while planner.saved(chosen) < budget:
        steps = []  # (instability per saving, -saving, layer, where that leads)
        for row in table.itertuples():
            instability, saved, _ = here[row.layer]
            more = getattr(row, by) - saved
            if more > 1e-12:
                to = (row.instability, getattr(row, by), int(row.kept))
                steps.append(((row.instability - instability) / more, -more, row.layer, to))
        if not steps:
            raise ValueError(
                f"budget={budget} of the {by} is more than the scan's largest fractions save together, "
                f"{planner.saved(chosen):.3f}."
            )
        _, _, layer, to = min(steps)
        last, here[layer] = (layer, here[layer][2]), to
        chosen[layer] = to[2]
    layer, most = last
    chosen[layer] = _largest(chosen[layer], most, lambda keep: planner.saved({**chosen, layer: keep}) >= budget)
    return chosen


def uniform_plan(
    model: nn.Module,
    frame: pd.DataFrame,
    budget: float,
    x: torch.Tensor,
    by: str = "parameters",
    score: str | None = None,
) -> dict[str, int]:
    """Plan the usual baseline: the same fraction of every layer, the smallest that saves the budget.

    Layers in which no cut of the scan saves anything by itself are left out, as they are by `plan`.

    Args:
        model, frame, budget, x, by, score: see `plan`.

    Returns:
        Layer -> number of filters to keep.

    Raises:
        ValueError: an unknown score, or a budget out of reach.
    """
    score = _score_of(frame, score)
    planner = _Planner(model, x, budget, by, score, frame.attrs.get("target", "smallest"))
    saves = frame.groupby("layer", sort=False)[by].max() > 0
    filters = {layer: planner.layers[layer].mask.n_filters for layer in saves.index[saves]}
    if not filters or planner.saved(dict.fromkeys(filters, 1)) < budget:
        raise ValueError(f"budget={budget} of the {by} cannot be reached by a fraction of every layer.")

    def at(keep: int) -> dict[str, int]:
        return {layer: max(1, kept_in_the_end(n, 1 - keep / 1000)) for layer, n in filters.items()}

    chosen = at(_largest(0, 1000, lambda keep: planner.saved(at(keep)) >= budget))
    for layer, n in filters.items():  # layers of one size lose their next filter all together; some can keep it
        more = {**chosen, layer: min(n, chosen[layer] + 1)}
        chosen = more if planner.saved(more) >= budget else chosen
    return chosen


def apply_plan(
    model: nn.Module, plan: dict[str, int], score: str | Score, target: str = "smallest", x: torch.Tensor | None = None
) -> None:
    """Prune every layer of a plan, in place; filters pruned before stay pruned.

    Args:
        model: a prunable network. plan: layer -> number of filters to keep.
        score, target, x: see `prune_filters`.

    Raises:
        ValueError: an unknown layer, or more filters to keep than there are.
    """
    for layer, keep in check.instance("plan", plan, dict).items():
        prune_filters(model, layer, keep=keep, score=score, target=target, x=x)


def _score_of(frame: pd.DataFrame, score: str | None) -> str:
    names = [name for name in check.frame("frame", frame, frame="score").score.unique() if name != RANDOM]
    if score is None and names:
        return names[0]
    return check.one_of("score", score, names)


class _Planner:
    """Counts what plans save, on a copy of the network."""

    def __init__(self, model: nn.Module, x: torch.Tensor, budget: float, by: str, score: str, target: str):
        check.real("budget", budget, 0, 1, open_low=True, open_high=True)
        self.by, self.score, self.target, self.x = check.one_of("by", by, BUDGETS), score, target, x
        self.model = copy.deepcopy(check.network("model", model))
        self.layers, self.costs = prunable_layers(self.model), Costs(self.model, x)
        self.before = {name: layer.mask.mask.clone() for name, layer in self.layers.items()}

    def saved(self, plan: dict[str, int]) -> float:
        """The fraction of the budget's unit that the plan saves."""
        for name, layer in self.layers.items():
            layer.mask.mask.copy_(self.before[name])
        apply_plan(self.model, plan, self.score, self.target, self.x)
        return self.costs.saved()[self.by]


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest number in [low, high) that fits, if all numbers up to it do and `low` does."""
    while high - low > 1:
        middle = math.floor((low + high) / 2)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


N_TIMED = 7  # forward passes of each network, in turns


def compare(
    model: nn.Module,
    frame: pd.DataFrame,
    budget: float,
    x: torch.Tensor,
    y: torch.Tensor,
    by: str = "parameters",
    score: str | None = None,
    x_score: torch.Tensor | None = None,
) -> pd.DataFrame:
    """Measure a greedy plan and the uniform one at the same budget, on examples that the scan has not seen.

    Args:
        model, frame, budget, by, score: see `plan`.
        x, y: `(N, ...)` and `(N,)`: other held-out examples than those of the scan, which chose the plan.
        x_score: examples for a score that needs some; None takes x.

    Returns:
        DataFrame with the rows "uncut", "plan" and "uniform". Columns: `accuracy`; `instability` and `standard_error`, of
        cutting all layers together; `parameters` and `multiply_adds`, fractions saved; `milliseconds`, median time of a
        forward pass of up to 100 examples once the filters are cut out. Attributes: `plan` and `uniform`, layer -> number
        of filters to keep; `difference`, accuracy of the plan minus that of the uniform one, an `Estimate` whose 95%
        interval is about the finite number of examples, `n_seeds` of them, for this one network; `budget`, `by`, `score`.

    Raises:
        ValueError: see `plan`.
    """
    score, x_score = _score_of(frame, score), x if x_score is None else x_score
    plans = {"plan": plan(model, frame, budget, x_score, by, score)}
    plans["uniform"] = uniform_plan(model, frame, budget, x_score, by, score)
    before, right, networks, rows = correct(model, x, y), {}, {"uncut": model}, {}
    rows["uncut"] = {"accuracy": before.double().mean().item(), "instability": 0.0, "standard_error": 0.0}
    rows["uncut"] |= dict.fromkeys(BUDGETS, 0.0)
    for name, keep in plans.items():
        masked = copy.deepcopy(model)
        apply_plan(masked, keep, score, frame.attrs.get("target", "smallest"), x_score)
        right[name] = correct(masked, x, y)
        after = instability_of(before, right[name])
        rows[name] = {"accuracy": after.accuracy_after, "instability": after.instability}
        rows[name] |= {"standard_error": after.standard_error, **Costs(masked, x).saved()}
        networks[name] = compact(masked, skip_uncuttable=True)
    table = pd.DataFrame.from_dict(rows, orient="index")
    table["milliseconds"] = pd.Series(_milliseconds(networks, x[:100]))
    gain = right["plan"].double() - right["uniform"].double()
    difference = mean_estimate(gain.cpu().numpy(), "plan minus uniform")
    table.attrs = {**plans, "difference": difference, "budget": budget, "by": by, "score": score, "n_examples": len(x)}
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
