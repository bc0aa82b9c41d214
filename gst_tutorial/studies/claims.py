"""The claims ledger: what the paper claims, and what the recorded results of this book say about it.

A claim is a list of tests. Each test is an estimate with a 95% interval and the sign that the claim predicts for it. All
as predicted: reproduced. Some: partly. None: not reproduced. Nobody writes a verdict by hand.
"""

from __future__ import annotations

from collections.abc import Callable

from gst_tutorial.statistics import Estimate, correlation, paired_difference
from gst_tutorial.studies.recorded import recorded, recorded_names

ENOUGH_SEEDS = 10  # a verdict that needs a test with fewer is provisional: one more seed may turn it
ABOVE, BELOW, NOT_ABOVE = "above zero", "below zero", "not above zero"
AGREES = {ABOVE: lambda sign: sign == 1, BELOW: lambda sign: sign == -1, NOT_ABOVE: lambda sign: sign < 1}

Test = tuple[str, str, Callable[[], Estimate], str]  # what, study, estimate, what the claim predicts


def gain(study: str, label: str, baseline: str = "none") -> Callable[[], Estimate]:
    return lambda: paired_difference(recorded(study), label, baseline)


def tau(study: str, query: str, y: str = "final_accuracy") -> Callable[[], Estimate]:
    return lambda: correlation(recorded(study).query(query), "instability", y)


CLAIMS: dict[str, tuple[str, str, list[Test]]] = {
    "C1": (
        "Pruning can raise test accuracy while it removes many parameters.",
        "03_the_tradeoff",
        [(f"60% of the last layer, target {t}", "dose", gain("dose", f"{t}, 60%"), ABOVE) for t in ("smallest", "largest", "random")],
    ),
    "C2": (
        "Pruning's benefit to generalization increases with its instability.",
        "03_the_tradeoff",
        [
            ("Kendall correlation of instability and accuracy, the paper's protocol", "tradeoff", tau("tradeoff", "method == 'prune'"), ABOVE),
            ("the same, control with the same first and last event", "tradeoff-aligned", tau("tradeoff-aligned", "design == 'same ends'"), ABOVE),
            ("photographs (CIFAR-10, JPEG copy), the paper's protocol: unstable against stable", "cifar10-small",
             gain("cifar10-small", "S, period 2", "S, period 1"), ABOVE),
            ("the same correlation by dose, up to 80%", "dose", tau("dose", "method == 'prune' and prune_fraction <= 0.8"), ABOVE),
        ],
    ),
    "C3": (
        "This holds across targets, scores and iterative rates: a higher rate is less stable and generalizes better, up to a point.",
        "03_the_tradeoff",
        [
            *((f"two events against eighteen, target {t}", "tradeoff", gain("tradeoff", f"{t}, period 18", f"{t}, period 2"), ABOVE)
              for t in ("smallest", "largest", "random")),
            *((f"two events against nineteen with the same ends, target {t}", "tradeoff-aligned",
               gain("tradeoff-aligned", f"same ends, {t}, period 18", f"same ends, {t}, period 1"), ABOVE)
              for t in ("smallest", "largest", "random")),
            ("past the point: 95% of the layer against 80%", "dose", gain("dose", "random, 95%", "random, 80%"), BELOW),
        ],
    ),
    "C4": (
        "It holds in standard pipelines: SGD with momentum, weight decay, augmentation, residual networks.",
        "07_standard_pipelines",
        [
            *((f"unstable pruning, {pipeline}", "pipelines", gain("pipelines", f"{pipeline}, unstable", f"{pipeline}, none"), ABOVE)
              for pipeline in ("SGD, plain", *(f"{o}, {added}" for o in ("Adam", "SGD")
                                               for added in ("weight decay", "augmentation", "dropout", "all three")))),
            *((f"unstable against stable pruning, {pipeline}", "pipelines",
               gain("pipelines", f"{pipeline}, unstable", f"{pipeline}, stable"), ABOVE)
              for pipeline in ("SGD, plain", "SGD, weight decay", "SGD, augmentation")),
        ],
    ),
    "C5": (
        "Pruning regularizes like noise injection; the benefit does not depend on permanent removal.",
        "04_noise_injection",
        [
            ("half of the layer zeroed once at each of nine events, free to regrow", "jolts", gain("jolts", "one layer, 50%"), ABOVE),
            ("pruning's own targets zeroed for 90 batches", "noise", gain("noise", "zero, 90 batches"), ABOVE),
            ("the same, then restored", "noise", gain("noise", "zero and restore, 90 batches"), ABOVE),
            ("Gaussian noise on the same targets for 90 batches", "noise", gain("noise", "gaussian, 90 batches"), ABOVE),
        ],
    ),
    "C6": (
        "Less stable pruning leads to flatter models.",
        "05_flatness",
        [
            *((f"Kendall correlation of instability and {what}, {on} examples", "flatness",
               tau("flatness", "method == 'prune'", f"{on}_{column}"), BELOW)
              for what, column in (("the Hessian's eigenvalue sum", "hessian_sum"), ("the gradient covariance trace", "gradient_covariance"),
                                   ("the Hessian's trace at matched loss", "matched_hessian_trace"))
              for on in ("test", "train")),
            *((f"Kendall correlation of instability and {what}, photographs, {kind}, test images", "cifar10-small",
               tau("cifar10-small", query, f"test_{column}"), BELOW)
              for kind, query in (("the paper's protocol", "method == 'prune' and design.isna()"),
                                  ("one layer alone", "design in ['same ends', 'dose']"))
              for what, column in (("the Hessian's trace", "hessian_trace"), ("the Hessian's trace at matched loss", "matched_hessian_trace"))),
        ],
    ),
    "C7": (
        "Pruning at initialization and very stable pruning do not give the benefit: parameter count is not the cause.",
        "03_the_tradeoff",
        [
            ("prune at init against no pruning", "tradeoff", gain("tradeoff", "prune at init"), NOT_ABOVE),
            ("two events against prune at init", "tradeoff", gain("tradeoff", "random, period 18", "prune at init"), ABOVE),
            ("eighteen small events against no pruning", "tradeoff", gain("tradeoff", "random, period 2"), NOT_ABOVE),
            ("nineteen small events that end early, against no pruning", "tradeoff-aligned", gain("tradeoff-aligned", "same ends, random, period 1"), NOT_ABOVE),
        ],
    ),
    "C8": (
        "E[BN], a score built for batch-normalized filters, shows the same tradeoff.",
        "03_the_tradeoff",
        [
            ("40% by E[BN], smallest", "scores", gain("scores", "ebn, smallest, 40%"), ABOVE),
            ("40% by E[BN], largest", "scores", gain("scores", "ebn, largest, 40%"), ABOVE),
            ("more against less: 40% against 20% by E[BN], smallest", "scores", gain("scores", "ebn, smallest, 40%", "ebn, smallest, 20%"), ABOVE),
            ("past the point: 95% against 40% by E[BN], smallest", "scores", gain("scores", "ebn, smallest, 95%", "ebn, smallest, 40%"), BELOW),
        ],
    ),
}  # fmt: skip


def verdict(agreements: list[bool]) -> str:
    """Reproduced, partly or not, from whether each test came out as the claim predicts."""
    if not agreements:
        return "not tested yet"
    return "reproduced" if all(agreements) else "partly" if any(agreements) else "not reproduced"


def evaluate(tests: list[Test]) -> list[tuple[str, str, Estimate, str, bool]]:
    """The tests whose study is recorded, with their estimates and whether they agree."""
    here = set(recorded_names())
    found = [(what, study, estimate(), predicted) for what, study, estimate, predicted in tests if study in here]
    return [(*row, AGREES[row[3]](row[2].sign)) for row in found]


def outcome_of(results: list[tuple[str, str, Estimate, str, bool]]) -> str:
    """The verdict, and whether it needs tests of few seeds."""
    outcome = verdict([agrees for *_, agrees in results])
    without_few = verdict([agrees for _, _, e, _, agrees in results if e.n_seeds >= ENOUGH_SEEDS])
    return outcome if outcome == without_few else f"{outcome}, on few seeds"
