"""The claims ledger: what the paper claims, and what the recorded results of this book say about it.

A claim is a family of tests. Each test has one number per seed: a paired difference in accuracy, or a correlation over the runs
of that seed. Its outcome follows from two p-values (is there an effect, and is it smaller than a bound?), all of them
corrected together within the claim (Holm). The verdict follows from the outcomes, see `RULES`, and is "fragile" when another
reasonable analysis of the same numbers, see `OTHER_ANALYSES`, gives another one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping

import pandas as pd
from scipy import stats

from gst_tutorial.book.recorded import recorded as read_recorded
from gst_tutorial.book.recorded import recorded_names
from gst_tutorial.book.studies.book import pipeline_configs
from gst_tutorial.statistics import Estimate, holm, mean_estimate, paired_differences, within_seed_correlations
from gst_tutorial.studies import get

ENOUGH_SEEDS = 10  # a test with fewer is shown, and does not count
LEVEL = 0.05
#: Smaller effects count as none: a percentage point of accuracy, the span of the paper's figure 3; 0.1 in a correlation.
BOUNDS = {"points": 0.01, "correlation": 0.1}
# What a claim can predict for the mean over seeds.
ABOVE, BELOW, NO_GAIN, NO_LOSS = "above zero", "below zero", "no gain of a point", "no loss of a point"
# What a test can turn out to be.
AGREES, OPPOSITE, NEGLIGIBLE = "agrees", "the opposite", "smaller than the bound"
NO_EFFECT, OPEN, TOO_FEW = "no effect beyond the bound", "open", "too few seeds"
# What a test is for: the paper's own protocol; a control holds fixed what that protocol lets vary; context does not count.
PROTOCOL, CONTROL, CONTEXT = "protocol", "control", "context"

# Verdicts on a claim; `RULES` says how each follows.
REPRODUCED, PROTOCOL_ONLY = "reproduced", "reproduced, but a control is open"
CONTRADICTED, MIXED = "contradicted by a control", "mixed"
IN_PART, REVERSED, NOT_REPRODUCED = "reproduced in part", "not reproduced, and reversed in places", "not reproduced"
NOT_TESTABLE = "not testable here"

recorded = functools.lru_cache(read_recorded)  # a claim's tests read the same few studies


@dataclasses.dataclass(frozen=True)
class Test:
    """A claim's prediction for one number per seed.

    Attributes:
        what: the comparison in words.
        study: name of the recorded study that the numbers come from.
        values: returns the numbers, indexed by seed.
        predicted: `ABOVE`, `BELOW`, `NO_GAIN` or `NO_LOSS`.
        role: `PROTOCOL`, `CONTROL` or `CONTEXT`.
        unit: "points" (differences in accuracy, as fractions) or "correlation".
    """

    __test__ = False  # pytest, this is no test class

    what: str
    study: str
    values: Callable[[], pd.Series]
    predicted: str
    role: str = PROTOCOL
    unit: str = "points"


@dataclasses.dataclass(frozen=True)
class Result:
    """A test with its estimate, its outcome and its two p-values, corrected within the claim.

    Attributes:
        effect: p-value of the hypothesis that there is no effect: the mean is zero, or, where the claim predicts no gain (or
            loss) of a point, that the mean is within the bound.
        within: p-value of the hypothesis that the mean lies beyond the bound.
    """

    test: Test
    estimate: Estimate
    effect: float
    within: float
    outcome: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        text: the claim, in the paper's words where it is in quotation marks.
        chapter: file name of the chapter that tests it.
        answers: what we found in one plain sentence, by verdict: another verdict needs another sentence.
        tests: what speaks to the claim.
        networks: architectures that the claim names; those that no recorded study trains are listed as untested.
        note: Markdown shown below the claim's table.
    """

    text: str
    chapter: str
    answers: Mapping[str, str]
    tests: tuple[Test, ...]
    networks: tuple[str, ...] = ()
    note: str = ""

    @property
    def untested(self) -> list[str]:
        """Architectures named in the claim that no recorded study trains."""
        trained = {arm.config.model for name in recorded_names() for arm in get(name).arms}
        return [network for network in self.networks if network not in trained]


@dataclasses.dataclass(frozen=True)
class Analysis:
    """A way to analyse a test's numbers: the bound as a multiple of `BOUNDS`, some of the seeds, ranks instead of means."""

    bound: float = 1.0
    seeds: slice | None = None  # of the seeds in order
    rank_test: bool = False


STANDARD = Analysis()
#: Other analyses that a careful reader might have chosen instead.
OTHER_ANALYSES = {
    "half the bound": Analysis(bound=0.5),
    "twice the bound": Analysis(bound=2),
    "the first ten seeds only": Analysis(seeds=slice(10)),
    "the other seeds only": Analysis(seeds=slice(10, None)),
    "Wilcoxon's signed-rank test": Analysis(rank_test=True),
}
ONE_FAMILY = "a single correction over all claims"


# ---- the tests of each claim ----


def gain(what: str, study: str, arm, baseline, predicted: str, role: str = PROTOCOL) -> Test:
    """A paired difference in test accuracy; arms are labels or factors."""
    return Test(what, study, lambda: paired_differences(recorded(study), arm, baseline), predicted, role)


def tau(what: str, study: str, query: str, predicted: str, y: str = "final_accuracy", role: str = PROTOCOL) -> Test:
    """The rank correlation of instability and `y` over the runs of one seed."""
    values = lambda: within_seed_correlations(recorded(study).query(query), "instability", y)  # noqa: E731
    return Test(what, study, values, predicted, role, "correlation")


def _tau_within_dose(study: str, query: str) -> pd.Series:
    """The rank correlation of instability and accuracy over a seed's runs of one dose, averaged over doses."""
    doses = recorded(study).query(query).groupby("dose")
    found = [within_seed_correlations(runs, "instability", "final_accuracy") for _, runs in doses]
    return pd.concat(found, axis=1).mean(axis=1)


TARGETS = ("smallest", "largest", "random")
DOSES = (0.2, 0.4, 0.6, 0.8, 0.9)
NONE = {"method": "none"}
WAYS_OF_NOISE = ("zero", "zero and restore", "zero cumulatively and restore", "gaussian")
TARGET_WORDS = {"smallest": "smallest filters", "largest": "largest filters", "random": "random filters"}


def at_dose(way: str, dose: float) -> dict:
    """The factors of an arm of `dose-way-end`."""
    return {"way": way, "dose": dose} | ({} if way == "at init" else {"end": 23})


def _anatomy(what: str, rate: float = 2e-3) -> dict:
    return {"what": what, "learning_rate": rate}


# The ways to train of `way-dose-rate-head`.
TRAININGS = ("Adam, rate 0.002", "Adam, rate 0.01", "AdamW, decay 3")


def _way(way: str, training: str, dose: float = 0.8, head: str = "positions") -> dict:
    """The factors of an arm of `way-dose-rate-head`."""
    return {"way": way, "dose": dose, "training": training, "head": head}


def _averaging(what: str) -> dict:
    """The factors of an arm of `head-by-data`: signals, and a head that averages over positions."""
    return {"data": "signals", "head": "pooled", "what": what}


CLAIMS: dict[str, Claim] = {
    "C1": Claim(
        "“A wide variety of pruning approaches increase test accuracy despite sometimes massive reductions in parameter counts.”",
        "03_the_tradeoff",
        {REPRODUCED: "Yes, pruning can: it raised accuracy in the settings we counted. But on photographs we found such a setting only by "
            "searching for it. Our first attempts gained nothing or lost, the paper's own four layers lose there, and with a head that averages over positions pruning gains less than a percentage point on signals, too."},
        (
            *(gain(f"60% of the last layer, {TARGET_WORDS[t]}, against no pruning", "dose-splits", {"target": t, "dose": 0.6}, NONE, ABOVE)
              for t in TARGETS),
            *(gain(f"photographs: 80% of the last convolution, {TARGET_WORDS[t]}, against no pruning", "photographs", f"{t}, 80%", "none", ABOVE)
              for t in TARGETS),
            gain("learning rate 0.01: 80% of the last layer, against no pruning", "anatomy", _anatomy("prune 80%", 1e-2), _anatomy("none", 1e-2),
                 ABOVE, CONTEXT),
            gain("averaging head: 80% of the last layer, against no pruning", "head-by-data", _averaging("prune 80%"), _averaging("none"), ABOVE, CONTEXT),
            *(gain(f"photographs: the paper's four layers, {word} pruning, against none", "photographs", f"the paper's protocol, {word}", "none",
                   ABOVE, CONTEXT) for word in ("stable", "unstable")),
            *(gain(f"photographs, first attempt: {what}, against no pruning", "cifar10-small", arm, "none", ABOVE, CONTEXT)
              for arm, what in {"S, period 2": "the paper's four layers", "dose, 80%": "80% of the last convolution"}.items()),
            gain("photographs, first attempt: 60% of the last convolution, 1,250 pictures", "cifar10-width",
                 {"n_train": 1250, "width": 0.25, "pruning": "pruned"}, {"n_train": 1250, "width": 0.25, "pruning": "none"}, ABOVE, CONTEXT),
        ),
    ),
    "C2": Claim(
        "“Pruning's benefit to generalization increases with pruning's instability (defined as the drop in test accuracy immediately "
        "following pruning).”",
        "03_the_tradeoff",
        {CONTRADICTED: "In the paper's protocol, yes. But there unstable pruning also finishes earlier. When both schedules start and finish "
            "together, a larger drop adds less than a percentage point at 20 to 60% pruned; at 80 and 90% the question is open."},
        (
            *(tau(f"instability and accuracy, {TARGET_WORDS[t]}", "tradeoff-splits", f"method == 'prune' and target == '{t}'", ABOVE)
              for t in TARGETS),
            *(tau(f"instability and accuracy, same first and last event, {TARGET_WORDS[t]}", "tradeoff-aligned",
                  f"design == 'same ends' and target == '{t}'", ABOVE, role=CONTROL) for t in TARGETS),
            *(gain(f"{d:.0%} pruned: two events against nineteen, same first and last event", "dose-way-end", at_dose("2 events", d),
                   at_dose("19 events", d), ABOVE, CONTROL) for d in DOSES),
            *(gain(f"fresh seeds, {trained}: 80% pruned, two events against nineteen", "way-dose-rate-head", _way("2 events", trained),
                   _way("19 events", trained), ABOVE, CONTROL) for trained in TRAININGS),
            gain("a drop that is undone after one batch (instability about 0.1), against no pruning", "noise",
                 {"way": "zero and restore", "batches": 1}, NONE, ABOVE, CONTROL),
            gain("a larger drop that is undone after one batch (instability about 0.4), against no pruning", "noise",
                 {"way": "zero cumulatively and restore", "batches": 1}, NONE, ABOVE, CONTROL),
            gain("photographs: the paper's four layers, unstable against stable pruning", "photographs", "the paper's protocol, unstable",
                 "the paper's protocol, stable", ABOVE),
            gain("photographs: 80% of one layer, two events against thirteen, same first and last event", "photographs",
                 "random, 80%, 2 events", "random, 80%, 13 events", ABOVE, CONTROL),
            gain("photographs, first attempt: the paper's four layers, unstable against stable pruning", "cifar10-small", "S, period 2",
                 "S, period 1", ABOVE, CONTEXT),
        ),
        note="""\
**Proved, not tested.** Chapter 6 also compares a shrink of filters that lowers accuracy at the event with the same shrink after
which batch norm's running statistics are repaired, so that no prediction changes. Both have the same weights and differ only in running
statistics, which training never reads, so every later gradient is the same; and those statistics are moving averages that forget the
difference within a few epochs, so both end as the same network. So their difference of zero is an identity rather than evidence, and it does not count here. A drop that is undone after one batch is the real test.""",
    ),
    "dose": Claim(
        "The benefit increases with how much is pruned, up to a point. (Our question, not the paper's: in many of its experiments instability and "
        "the fraction pruned vary together.)",
        "03_the_tradeoff",
        {REPRODUCED: "The more we prune, the better, up to about 80%. At 95%, accuracy falls again, by about ten percentage points."},
        (
            *(gain(f"60% against 20%, {TARGET_WORDS[t]}", "dose-splits", {"target": t, "dose": 0.6}, {"target": t, "dose": 0.2}, ABOVE)
              for t in TARGETS),
            *(gain(f"too much: 95% against 80%, {TARGET_WORDS[t]}", "dose-splits", {"target": t, "dose": 0.95}, {"target": t, "dose": 0.8}, BELOW)
              for t in TARGETS),
            *(gain(f"60% against 20%, {way}", "dose-way-end", at_dose(way, 0.6), at_dose(way, 0.2), ABOVE, CONTROL)
              for way in ("at init", "2 events", "19 events")),
            gain("photographs: 80% against 20%, three events", "photographs", "random, 80%", "random, 20%", ABOVE, CONTROL),
        ),
    ),
    "C3": Claim(
        "The tradeoff “is present across a wide variety of pruning settings”: targets, scores and iterative rates. A higher rate is less "
        "stable and generalizes better, up to a point.",
        "03_the_tradeoff",
        {PROTOCOL_ONLY: "In the paper's protocol a few large events clearly beat many small ones, whichever filters are the target. When both "
            "start and finish together we see no advantage, though the intervals leave room for a small difference either way."},
        (
            *(gain(f"two events against eighteen, {TARGET_WORDS[t]}", "tradeoff-splits", {"target": t, "period": 18}, {"target": t, "period": 2}, ABOVE)
              for t in TARGETS),
            *(gain(f"two events against nineteen, same first and last event, {TARGET_WORDS[t]}", "tradeoff-aligned",
                   {"design": "same ends", "target": t, "period": 18}, {"design": "same ends", "target": t, "period": 1}, ABOVE, CONTROL)
              for t in TARGETS),
        ),
    ),
    "C4": Claim(
        "The tradeoff holds in standard pipelines: SGD with momentum, weight decay, augmentation, residual networks (ResNet-18, -20, -56).",
        "07_standard_pipelines",
        {REVERSED: "Not here: with weight decay, augmentation or dropout, unstable pruning never gained a percentage point, and in two "
            "pipelines it lost clearly."},
        tuple(
            gain(f"{trained_with}, {added}: unstable pruning against {'no' if against == 'none' else 'stable'} pruning", "pipelines",
                 {"trained_with": trained_with, "added": added, "pruning": "unstable"},
                 {"trained_with": trained_with, "added": added, "pruning": against}, ABOVE, CONTEXT if added == "plain" else PROTOCOL)
            for against in ("none", "stable") for trained_with, added in pipeline_configs()
        ),
        networks=("resnet18", "resnet20", "resnet56"),
        note="The *plain* pipelines are shown for comparison only: without weight decay, augmentation or dropout they are not what the claim is about.",
    ),
    "C5": Claim(
        "“Pruning regularizes similarly to noise injection”, and “the benefits of pruning do not depend on permanent parameter removal.”",
        "04_noise_injection",
        {IN_PART: "Filters that are zeroed or disturbed for a while and then recover do bring a benefit. Whether it is as large as the "
            "benefit of permanent pruning depends on the method, and for two of four methods it remains open."},
        (
            gain("half of the layer zeroed at nine events, free to regrow, against no pruning", "anatomy", _anatomy("zero"), _anatomy("none"), ABOVE),
            *(gain(f"{way}, 90 batches, against pruning the same filters permanently", "noise", {"way": way, "batches": 90},
                   {"way": "prune"}, NO_LOSS) for way in WAYS_OF_NOISE),
            *(gain(f"{way}, 90 batches, against no pruning", "noise", {"way": way, "batches": 90}, NONE, ABOVE) for way in WAYS_OF_NOISE),
            gain("learning rate 0.01: half of the layer zeroed at nine events, against no pruning", "anatomy", _anatomy("zero", 1e-2),
                 _anatomy("none", 1e-2), ABOVE, CONTEXT),
            *(gain(f"averaging head: {words}, against no pruning", "head-by-data", _averaging(what), _averaging("none"), ABOVE, CONTEXT)
              for what, words in {"redirect": "half of the filters turned to new directions at nine events",
                                  "zero the head's inputs": "half of the head's inputs zeroed at nine events"}.items()),
        ),
    ),
    "C6": Claim(
        "“Less pruning stability leads to more model flatness.”",
        "05_flatness",
        {MIXED: "It depends on which examples we measure: less stable pruning ends flatter on training examples and sharper on test examples. "
            "At matched loss it ends flatter on both. When the scale of the weights is removed as well and all schedules start and "
            "finish together, the question is open."},
        (
            *(tau(f"instability and {what}, {on} examples", "flatness", "method == 'prune'", BELOW, f"{on}_{column}", role)
              for what, column, role in (("the sum of Hessian eigenvalues", "hessian_sum", PROTOCOL),
                                         ("the trace of the gradient covariance", "gradient_covariance", PROTOCOL),
                                         ("the Hessian's trace at matched loss", "matched_hessian_trace", CONTROL))
              for on in ("test", "train")),
            *(tau(f"instability and the Hessian's trace at matched loss, per relative change of the weights, same first and last event, {on} examples",
                  "flatness-cause", "what == 'prune 80%' and sam_radius == 0", BELOW, f"{on}_matched_normalized_trace", CONTROL)
              for on in ("test", "train")),
        ),
    ),
    "C7": Claim(
        "Pruning at initialization, and very stable pruning, do not give the benefit: the number of parameters is not the cause.",
        "03_the_tradeoff",
        {CONTRADICTED: "Not here: networks pruned at initialization gain at 60 and 80%, and so do networks pruned in many small events that end early. "
            "Whether events beat initialization depends on the learning rate: there is no clear difference at 0.002 and about two "
            "percentage points at 0.01."},
        (
            gain("schedules of the paper: 90% pruned at initialization, against no pruning", "tradeoff-splits", {"method": "prune at init"}, NONE, NO_GAIN),
            gain("schedules of the paper: 90% in two events, against at initialization", "tradeoff-splits", {"target": "random", "period": 18}, {"method": "prune at init"}, ABOVE),
            gain("schedules of the paper: 90% in eighteen small events, against no pruning", "tradeoff-splits", {"target": "random", "period": 2}, NONE, NO_GAIN),
            *(gain(f"{d:.0%} pruned at initialization, against no pruning", "dose-way-end", at_dose("at init", d), {"way": "none"}, NO_GAIN, CONTROL)
              for d in DOSES),
            *(gain(f"{d:.0%} in two events, against at initialization", "dose-way-end", at_dose("2 events", d), at_dose("at init", d), ABOVE, CONTROL)
              for d in DOSES),
            *(gain(f"{d:.0%} in nineteen small events that end early, against no pruning", "dose-way-end", at_dose("19 events", d), {"way": "none"},
                   NO_GAIN, CONTROL) for d in DOSES),
            gain("learning rate 0.002: 80% in three events, against at initialization", "anatomy", _anatomy("prune 80%"), _anatomy("prune 80% at init"),
                 ABOVE, CONTROL),
            gain("learning rate 0.01: 80% in three events, against at initialization", "anatomy", _anatomy("prune 80%", 1e-2),
                 _anatomy("prune 80% at init", 1e-2), ABOVE, CONTROL),
            gain("learning rate 0.01: 80% pruned at initialization, against no pruning", "anatomy", _anatomy("prune 80% at init", 1e-2), _anatomy("none", 1e-2),
                 NO_GAIN, CONTROL),
            *(gain(f"fresh seeds, {trained}, head: {head}: 80% in two events, against at initialization", "way-dose-rate-head",
                   _way("2 events", trained, head=head), _way("at init", trained, head=head), ABOVE, CONTROL)
              for head in ("positions", "averages") for trained in TRAININGS),
            gain("averaging head: 80% in three events, against at initialization", "head-by-data", _averaging("prune 80%"), _averaging("prune 80% at init"),
                 ABOVE, CONTROL),
            gain("averaging head: 80% pruned at initialization, against no pruning", "head-by-data", _averaging("prune 80% at init"), _averaging("none"),
                 NO_GAIN, CONTROL),
            gain("photographs: 80% in three events, against at initialization", "photographs", "random, 80%", "at init, 80%", ABOVE, CONTROL),
            gain("photographs: 80% pruned at initialization, against no pruning", "photographs", "at init, 80%", "none", NO_GAIN, CONTROL),
        ),
    ),
    "C8": Claim(
        "E[BN], a score built for batch-normalized filters, shows the same tradeoff.",
        "03_the_tradeoff",
        {PROTOCOL_ONLY: "As with other scores, accuracy rises with instability as long as at most 40% is pruned, and falls at 95%. But among "
            "runs with the same fraction pruned we find no correlation. In this comparison, too, it is mostly the fraction that varies."},
        (
            tau("instability and accuracy over targets and fractions up to 40%", "scores", "score == 'ebn' and method == 'prune' and dose < 0.5", ABOVE),
            *(gain(f"too much: 95% against 40%, {TARGET_WORDS[t]}", "scores", {"score": "ebn", "target": t, "dose": 0.95},
                   {"score": "ebn", "target": t, "dose": 0.4}, BELOW) for t in ("smallest", "largest")),
            Test("instability and accuracy at one and the same fraction (20%, 40%)", "scores",
                 lambda: _tau_within_dose("scores", "score == 'ebn' and method == 'prune' and dose < 0.5"), ABOVE, CONTROL, "correlation"),
        ),
    ),
}  # fmt: skip

#: How a verdict follows from the outcomes, for the reader; the first line that fits is the verdict.
RULES = {
    NOT_TESTABLE: f"no test in the paper's protocol has {ENOUGH_SEEDS} seeds",
    MIXED: "in the paper's protocol some tests agree with the claim and some show the opposite",
    REVERSED: "in the paper's protocol no test agrees and some show the opposite",
    NOT_REPRODUCED: "in the paper's protocol no test agrees, and none shows the opposite",
    CONTRADICTED: "tests in the paper's protocol agree, but a control shows the opposite, or that the effect is smaller than the bound",
    IN_PART: "some tests in the paper's protocol agree and the others are inconclusive",
    PROTOCOL_ONLY: "all tests in the paper's protocol agree; a control is inconclusive",
    REPRODUCED: "all tests agree, controls too",
}


def outcome(test: Test, center: float, effect: float, within: float) -> str:
    """The outcome of a test from its mean (or median) and its corrected p-values (see `Result`)."""
    if test.predicted in (NO_GAIN, NO_LOSS):
        return AGREES if within < LEVEL else OPPOSITE if effect < LEVEL else OPEN
    if effect < LEVEL:
        if within < LEVEL:
            return NEGLIGIBLE
        return AGREES if (center > 0) == (test.predicted == ABOVE) else OPPOSITE
    return NO_EFFECT if within < LEVEL else OPEN


def verdict(outcomes: Iterable[tuple[str, str]]) -> str:
    """A claim's verdict from the (outcome, role) of its tests, see `RULES`."""
    outcomes = [(found, role) for found, role in outcomes if found != TOO_FEW]
    protocol = [found for found, role in outcomes if role == PROTOCOL]
    controls = [found for found, role in outcomes if role == CONTROL]
    if not protocol:
        return NOT_TESTABLE
    if OPPOSITE in protocol:
        return MIXED if AGREES in protocol else REVERSED
    if AGREES not in protocol:
        return NOT_REPRODUCED
    if {OPPOSITE, NEGLIGIBLE, NO_EFFECT} & set(controls):
        return CONTRADICTED
    if set(protocol) != {AGREES}:
        return IN_PART
    return PROTOCOL_ONLY if OPEN in controls else REPRODUCED


def verdict_of(results: Iterable[Result]) -> str:
    """A claim's verdict from the results of its tests."""
    return verdict((result.outcome, result.test.role) for result in results)


@functools.lru_cache
def _values(test: Test) -> pd.Series:
    return test.values()


def evaluate(tests: Iterable[Test], analysis: Analysis = STANDARD) -> list[Result]:
    """A result for every test that has numbers, all p-values corrected as one family.

    A test with fewer than `ENOUGH_SEEDS` seeds is outside the family: its p-values are nan, its outcome is `TOO_FEW`.
    """
    found, p_values = [], {}
    for test in tests:
        values, enough = _values(test), len(_values(test)) >= ENOUGH_SEEDS
        if analysis.seeds is not None:
            values = values.sort_index().iloc[analysis.seeds]
        if len(values) < ENOUGH_SEEDS // 2:
            continue
        if enough:
            p_values[len(found), "effect"], p_values[len(found), "within"] = _p_values(test, values, analysis)
        found.append((test, values))
    p_values = holm(p_values)
    results = []
    for i, (test, values) in enumerate(found):
        effect, within = (p_values.get((i, kind), math.nan) for kind in ("effect", "within"))
        center = values.median() if analysis.rank_test else values.mean()
        word = TOO_FEW if math.isnan(effect) else outcome(test, center, effect, within)
        results.append(Result(test, mean_estimate(values, test.what), effect, within, word))
    return results


def _p_values(test: Test, values: pd.Series, analysis: Analysis) -> tuple[float, float]:
    """Uncorrected (effect, within) of a test, see `Result`."""
    bound = analysis.bound * BOUNDS[test.unit]

    def p(null: float, alternative: str) -> float:
        if analysis.rank_test:
            return float(stats.wilcoxon(values - null, alternative=alternative).pvalue)
        return float(stats.ttest_1samp(values, null, alternative=alternative).pvalue)

    if test.predicted == NO_GAIN:
        return p(bound, "greater"), p(bound, "less")
    if test.predicted == NO_LOSS:
        return p(-bound, "less"), p(-bound, "greater")
    return p(0, "two-sided"), max(p(-bound, "greater"), p(bound, "less"))


def fragility(key: str) -> dict[str, str]:
    """The other analyses that change a claim's verdict, with the verdict that they give; empty if it survives all of them."""
    word = verdict_of(evaluate(CLAIMS[key].tests))
    others = {name: verdict_of(evaluate(CLAIMS[key].tests, analysis)) for name, analysis in OTHER_ANALYSES.items()}
    others[ONE_FAMILY] = verdict_of(_as_one_family()[key])
    return {name: other for name, other in others.items() if other != word}


@functools.cache
def _as_one_family() -> dict[str, list[Result]]:
    """The results of all claims, corrected together."""
    owners = [key for key, claim in CLAIMS.items() for _ in claim.tests]
    results = evaluate(test for claim in CLAIMS.values() for test in claim.tests)
    return {key: [r for r, owner in zip(results, owners, strict=True) if owner == key] for key in CLAIMS}
