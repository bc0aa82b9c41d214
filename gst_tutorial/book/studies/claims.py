"""The claims ledger: what the paper claims, and what the recorded results of this book say about it.

A claim is a family of tests, each on one number per seed: a paired difference in accuracy, or the correlation over the runs
of that seed. Some tests follow the paper's protocol; controls hold fixed what the protocol lets vary. p-values are corrected
within the family (Holm). "No effect" needs a bound (two one-sided tests). Nobody writes a verdict by hand.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable

import pandas as pd
from scipy import stats

from gst_tutorial.book.recorded import recorded as read_recorded
from gst_tutorial.book.recorded import recorded_names
from gst_tutorial.book.studies.book import pipeline_configs
from gst_tutorial.statistics import (
    Estimate,
    equivalence,
    holm,
    mean_estimate,
    paired_differences,
    within_seed_correlations,
)

ENOUGH_SEEDS = 10  # a claim without a test of as many is not testable here
LEVEL = 0.05
#: What still counts as no effect: one point of accuracy, the span of the paper's figure 3; a tenth in a correlation.
BOUNDS = {"points": 0.01, "correlation": 0.1}
ABOVE, BELOW, NO_GAIN, NO_LOSS = "above zero", "below zero", "no gain of a point", "no loss of a point"
AGREES, OPPOSITE, NO_EFFECT, OPEN = "agrees", "the opposite", "no effect beyond the bound", "open"


recorded = functools.lru_cache(read_recorded)  # a claim's tests read the same few studies


@dataclasses.dataclass(frozen=True)
class Test:
    """Prediction of a claim about one number per seed.

    Attributes:
        what: in words. study: where the numbers come from. values: gives them, indexed by seed.
        predicted: `ABOVE`, `BELOW`, `NO_GAIN` or `NO_LOSS`.
        control: whether it holds something fixed that varies in the paper's protocol.
        unit: "points" (differences in accuracy, shares) or "correlation".
    """

    __test__ = False  # pytest, this is no test class

    what: str
    study: str
    values: Callable[[], pd.Series]
    predicted: str
    control: bool = False
    unit: str = "points"


@dataclasses.dataclass(frozen=True)
class Result:
    """A test with its estimate, its outcome, and two p-values corrected within the claim's family: that the mean is zero, and
    that it lies beyond the bound (`no_effect`)."""

    test: Test
    estimate: Estimate
    p: float
    no_effect: float
    outcome: str


def gain(what: str, study: str, arm, baseline, predicted: str, control: bool = False) -> Test:
    """A paired difference in test accuracy; arms are labels or factors."""
    return Test(what, study, lambda: paired_differences(recorded(study), arm, baseline), predicted, control)


def tau(what: str, study: str, query: str, predicted: str, y: str = "final_accuracy", control: bool = False) -> Test:
    """The rank correlation of instability and `y` over the runs of one seed."""
    values = lambda: within_seed_correlations(recorded(study).query(query), "instability", y)  # noqa: E731
    return Test(what, study, values, predicted, control, "correlation")


TARGETS = ("smallest", "largest", "random")
DOSES = (0.2, 0.4, 0.6, 0.8, 0.9)
NONE = {"method": "none"}


def at_dose(way: str, dose: float) -> dict:
    """The factors of an arm of `dose-way-end`."""
    return {"way": way, "dose": dose} | ({} if way == "at init" else {"end": 23})


def _anatomy(what: str) -> dict:
    return {"what": what, "learning_rate": 2e-3}


CLAIMS: dict[str, tuple[str, str, list[Test]]] = {
    "C1": (
        "Pruning can raise test accuracy while it removes many parameters.",
        "03_the_tradeoff",
        [
            *(gain(f"60% of the last layer, target {t}", "dose-splits", {"target": t, "dose": 0.6}, NONE, ABOVE) for t in TARGETS),
            *(gain(f"photographs, 80% of the last convolution, target {t}", "photographs", f"{t}, 80%", "none", ABOVE) for t in TARGETS),
        ],
    ),
    "C2": (
        "Pruning's benefit to generalization increases with its instability.",
        "03_the_tradeoff",
        [
            *(tau(f"instability and accuracy, the paper's protocol, target {t}", "tradeoff-splits", f"target == '{t}' and n_events > 0", ABOVE)
              for t in TARGETS),
            *(tau(f"the same with the same first and last event, target {t}", "tradeoff-aligned", f"design == 'same ends' and target == '{t}'",
                  ABOVE, control=True) for t in TARGETS),
            *(gain(f"two events against nineteen, both from epoch 5 to 23, dose {d:.0%}", "dose-way-end", at_dose("2 events", d),
                   at_dose("19 events", d), ABOVE, control=True) for d in DOSES),
            gain("the drop alone: a shrink that is seen against the same unseen", "anatomy", _anatomy("shrink"), _anatomy("shrink, unseen"),
                 ABOVE, control=True),
            gain("photographs, the paper's layers and shares: unstable against stable", "photographs", "the paper's protocol, unstable",
                 "the paper's protocol, stable", ABOVE),
            gain("photographs, 80% of one layer: two events against thirteen with the same ends", "photographs", "random, 80%, 2 events",
                 "random, 80%, 13 events", ABOVE, control=True),
        ],
    ),
    "dose": (
        "The benefit increases with how much is pruned, up to a point (what varies with instability in many experiments).",
        "03_the_tradeoff",
        [
            *(gain(f"60% against 20%, target {t}", "dose-splits", {"target": t, "dose": 0.6}, {"target": t, "dose": 0.2}, ABOVE) for t in TARGETS),
            *(gain(f"past the point: 95% against 80%, target {t}", "dose-splits", {"target": t, "dose": 0.95}, {"target": t, "dose": 0.8}, BELOW)
              for t in TARGETS),
            *(gain(f"60% against 20%, {way}", "dose-way-end", at_dose(way, 0.6), at_dose(way, 0.2), ABOVE, control=True)
              for way in ("at init", "2 events", "19 events")),
            gain("photographs: 80% against 20%, three events", "photographs", "random, 80%", "random, 20%", ABOVE, control=True),
        ],
    ),
    "C3": (
        "This holds across targets, scores and iterative rates: a higher rate is less stable and generalizes better, up to a point.",
        "03_the_tradeoff",
        [
            *(gain(f"two events against eighteen, target {t}", "tradeoff-splits", {"target": t, "period": 18}, {"target": t, "period": 2}, ABOVE)
              for t in TARGETS),
            *(gain(f"two events against nineteen with the same ends, target {t}", "tradeoff-aligned",
                   {"design": "same ends", "target": t, "period": 18}, {"design": "same ends", "target": t, "period": 1}, ABOVE, control=True)
              for t in TARGETS),
        ],
    ),
    "C4": (
        "It holds in standard pipelines: SGD with momentum, weight decay, augmentation, residual networks.",
        "07_standard_pipelines",
        [
            gain(f"unstable pruning against {against}, {trained_with}, {added}", "pipelines",
                 {"trained_with": trained_with, "added": added, "pruning": "unstable"},
                 {"trained_with": trained_with, "added": added, "pruning": against}, ABOVE)
            for against in ("none", "stable") for trained_with, added in pipeline_configs()
        ],
    ),
    "C5": (
        "Pruning regularizes like noise injection; the benefit does not depend on permanent removal.",
        "04_noise_injection",
        [
            gain("half of the layer zeroed at each of nine events, free to regrow", "anatomy", _anatomy("zero"), _anatomy("none"), ABOVE),
            *(gain(f"the filters of pruning, {way} for 90 batches, against pruned for good", "noise", {"way": way, "batches": 90},
                   {"way": "prune"}, NO_LOSS)
              for way in ("zero", "zero and restore", "zero cumulatively and restore", "gaussian")),
            *(gain(f"the filters of pruning, {way} for 90 batches, against no pruning", "noise", {"way": way, "batches": 90}, NONE, ABOVE)
              for way in ("zero", "zero and restore", "zero cumulatively and restore", "gaussian")),
        ],
    ),
    "C6": (
        "Less stable pruning leads to flatter models.",
        "05_flatness",
        [
            *(tau(f"instability and {what}, {on} examples", "flatness", "method == 'prune'", BELOW, f"{on}_{column}", control)
              for what, column, control in (("the Hessian's eigenvalue sum", "hessian_sum", False),
                                            ("the gradient covariance trace", "gradient_covariance", False),
                                            ("the Hessian's trace at matched loss", "matched_hessian_trace", True))
              for on in ("test", "train")),
            *(tau(f"instability and the trace at matched loss and per relative change, 2 to 19 events with equal ends, {on} examples",
                  "flatness-cause", "what == 'prune 80%' and sam_radius == 0", BELOW, f"{on}_matched_normalized_trace", True)
              for on in ("test", "train")),
        ],
    ),
    "C7": (
        "Pruning at initialization and very stable pruning do not give the benefit: parameter count is not the cause.",
        "03_the_tradeoff",
        [
            gain("90% pruned at init against no pruning", "tradeoff-splits", {"method": "prune at init"}, NONE, NO_GAIN),
            gain("90% in two events against at init", "tradeoff-splits", {"target": "random", "period": 18}, {"method": "prune at init"}, ABOVE),
            gain("90% in eighteen small events against no pruning", "tradeoff-splits", {"target": "random", "period": 2}, NONE, NO_GAIN),
            *(gain(f"dose {d:.0%}: at init against no pruning", "dose-way-end", at_dose("at init", d), {"way": "none"}, NO_GAIN, control=True)
              for d in DOSES),
            *(gain(f"dose {d:.0%}: two events against at init", "dose-way-end", at_dose("2 events", d), at_dose("at init", d), ABOVE, control=True)
              for d in DOSES),
            *(gain(f"dose {d:.0%}: nineteen small events that end early, against no pruning", "dose-way-end", at_dose("19 events", d), {"way": "none"},
                   NO_GAIN, control=True) for d in DOSES),
            gain("photographs: 80% at init against no pruning", "photographs", "at init, 80%", "none", NO_GAIN, control=True),
            gain("photographs: 80% in three events against at init", "photographs", "random, 80%", "at init, 80%", ABOVE, control=True),
        ],
    ),
    "C8": (
        "E[BN], a score built for batch-normalized filters, shows the same tradeoff.",
        "03_the_tradeoff",
        [
            tau("instability and accuracy over targets and doses up to 40%, filters chosen by E[BN]", "scores", "score == 'ebn' and method == 'prune' and dose < 0.5",
                ABOVE),
            *(gain(f"past the point: 95% against 40% by E[BN], {t}", "scores", {"score": "ebn", "target": t, "dose": 0.95},
                   {"score": "ebn", "target": t, "dose": 0.4}, BELOW) for t in ("smallest", "largest")),
        ],
    ),
}  # fmt: skip

REPRODUCED, PROTOCOL_ONLY, CONTRADICTED = "reproduced", "in the paper's protocol only", "contradicted by a control"
IN_PART, NOT_REPRODUCED, NOT_TESTABLE = "reproduced in part", "not reproduced", "not testable here"
#: How a verdict follows, for the reader.
RULES = {
    REPRODUCED: "every test came out as the claim predicts",
    PROTOCOL_ONLY: "every test in the paper's protocol did; a control shows nothing, either way",
    CONTRADICTED: "tests in the paper's protocol did; a control shows the opposite, or no effect beyond the bound",
    IN_PART: "some tests in the paper's protocol did",
    NOT_REPRODUCED: "no test in the paper's protocol did",
    NOT_TESTABLE: f"no recorded test has {ENOUGH_SEEDS} seeds",
}


def outcome(test: Test, mean: float, p: float, no_effect: float) -> str:
    """Outcome of a test for the claim, from its mean and the corrected p-values (see `Result`)."""
    if test.predicted in (NO_GAIN, NO_LOSS):
        if no_effect < LEVEL:
            return AGREES
        return OPPOSITE if p < LEVEL and (mean > 0) == (test.predicted == NO_GAIN) else OPEN
    if p < LEVEL:
        return AGREES if (mean > 0) == (test.predicted == ABOVE) else OPPOSITE
    return NO_EFFECT if no_effect < LEVEL else OPEN


def verdict(outcomes: Iterable[tuple[str, bool]]) -> str:
    """The claim's verdict from (outcome, whether the test is a control) of its tests, see `RULES`."""
    outcomes = list(outcomes)
    protocol = [found == AGREES for found, control in outcomes if not control]
    controls = [found for found, control in outcomes if control]
    if not protocol:
        return NOT_TESTABLE
    if not any(protocol):
        return NOT_REPRODUCED
    if OPPOSITE in controls or NO_EFFECT in controls:
        return CONTRADICTED
    if not all(protocol):
        return IN_PART
    return PROTOCOL_ONLY if OPEN in controls else REPRODUCED


def evaluate(tests: list[Test]) -> list[Result]:
    """The tests whose study is recorded with enough seeds, corrected as one family."""
    here = set(recorded_names())
    found = [(test, test.values()) for test in tests if test.study in here]
    found = [(test, values) for test, values in found if len(values) >= ENOUGH_SEEDS]
    p = holm({test.what: _p_value(values) for test, values in found})
    no_effect = holm({test.what: _no_effect(test, values) for test, values in found})
    return [
        Result(
            test,
            mean_estimate(values, test.what),
            p[test.what],
            no_effect[test.what],
            outcome(test, values.mean(), p[test.what], no_effect[test.what]),
        )
        for test, values in found
    ]


def _p_value(values: pd.Series) -> float:
    """Of the two-sided t test that the mean is zero; numbers that are all zero give 1."""
    return 1.0 if values.std() == 0 and values.mean() == 0 else float(stats.ttest_1samp(values, 0).pvalue)


def _no_effect(test: Test, values: pd.Series) -> float:
    """Of the test that the mean lies within the bound: on both sides, or on the one that the claim names."""
    bound = BOUNDS[test.unit]
    if test.predicted == NO_GAIN:
        return float(stats.ttest_1samp(values, bound, alternative="less").pvalue)
    if test.predicted == NO_LOSS:
        return float(stats.ttest_1samp(values, -bound, alternative="greater").pvalue)
    return equivalence(values, bound)


def verdict_of(results: list[Result]) -> str:
    """The claim's verdict from the results of its tests."""
    return verdict((result.outcome, result.test.control) for result in results)
