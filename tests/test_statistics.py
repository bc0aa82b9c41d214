"""Intervals cover what they should, and agree with SciPy and with simulation."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gst_tutorial import statistics as s


def runs(n_seeds=20, n_methods=6, seed=0, slope=1.0, seed_effect=0.0):
    """Runs whose accuracy rises with instability; those of one seed share an offset."""
    rng = np.random.default_rng(seed)
    offset = seed_effect * rng.normal(size=n_seeds)
    rows = [
        {
            "seed": i,
            "label": f"m{m}",
            "instability": m / 10,
            "final_accuracy": slope * m / 10 + offset[i] + 0.1 * rng.normal(),
        }
        for i in range(n_seeds)
        for m in range(n_methods)
    ]
    return pd.DataFrame(rows)


def test_correlations_are_those_of_scipy():
    frame = runs()
    pearson = s.correlation(frame, "instability", "final_accuracy", "pearson", cluster=None)
    expected = stats.pearsonr(frame.instability, frame.final_accuracy)
    assert pearson.value == pytest.approx(expected.statistic)
    assert (pearson.low, pearson.high) == pytest.approx(tuple(expected.confidence_interval()))
    kendall = s.correlation(frame, "instability", "final_accuracy", "kendall")
    assert kendall.value == pytest.approx(stats.kendalltau(frame.instability, frame.final_accuracy).statistic)
    assert kendall.low < kendall.value < kendall.high
    assert kendall.n_seeds == 20


def test_with_independent_runs_the_jackknife_agrees_with_fishers_interval():
    frame = runs(40)
    fisher = s.correlation(frame, "instability", "final_accuracy", "pearson", cluster=None)
    jackknife = s.correlation(frame.assign(seed=range(len(frame))), "instability", "final_accuracy", "pearson")
    assert (jackknife.low, jackknife.high) == pytest.approx((fisher.low, fisher.high), abs=0.02)


def test_kendall_interval_is_not_pulled_towards_within_seeds():
    """With a large effect of the seed, tau over all runs is far below tau within a seed; the interval stays around the former."""
    found = s.correlation(runs(seed_effect=0.5), "instability", "final_accuracy", "kendall")
    assert found.value < 0.6  # within a seed it is about 0.9
    assert found.value - found.low == pytest.approx(found.high - found.value, abs=0.05)


def test_clustered_correlation_interval_covers_the_truth_at_95_percent():
    truth = s.correlation(
        runs(1500, 4, seed=99, seed_effect=0.3), "instability", "final_accuracy", cluster=None, kind="pearson"
    ).value
    covered = 0
    for seed in range(60):
        found = s.correlation(runs(20, 4, seed=seed, seed_effect=0.3), "instability", "final_accuracy", "pearson")
        covered += found.low <= truth <= found.high
    assert covered >= 52


@pytest.mark.parametrize("n_seeds", [3, 5, 20])
def test_interval_covers_the_truth_at_95_percent_even_with_few_seeds(n_seeds):
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = s.mean_estimate(rng.normal(0.3, 1.0, size=n_seeds), "mean")
        covered += found.low <= 0.3 <= found.high
    assert 0.89 <= covered / 200 <= 0.99  # resampling three or five values reaches 0.75 and 0.84


def test_three_seeds_that_agree_by_chance_give_no_certain_correlation():
    one = pd.DataFrame({"x": [1, 2, 3], "y": [1, 3, 2]})
    frame = pd.concat([one.assign(seed=seed) for seed in range(3)])  # leaving out any one of them changes nothing
    found = s.correlation(frame, "x", "y")
    assert 0 < found.value < 1
    assert found.sign == 0


def test_pairing_by_seed_removes_what_the_seeds_share():
    frame = runs(seed_effect=5.0)
    paired = s.paired_difference(frame, "m5", "m0")
    assert paired.value == pytest.approx(0.5, abs=0.1)
    assert paired.high - paired.low < 0.2  # unpaired, the interval would be about 6 wide


def test_gains_has_a_row_per_method_and_none_for_the_baseline():
    table = s.gains(runs(), baseline="m0")
    assert list(table.index) == ["m1", "m2", "m3", "m4", "m5"]
    assert table.gain.is_monotonic_increasing
    assert ((table.low < table.gain) & (table.gain < table.high)).all()


def test_gains_by_width_has_a_row_per_size_and_width():
    base = {"final_accuracy": 0.6, "train_accuracy": 1.0, "instability": 0.0}
    rows = [
        {**base, "seed": seed, "n_train": n, "width": width, "method": method}
        for seed in range(4) for n in (250, 4000) for width in (0.5, 1.0, 2.0) for method in ("none", "prune")
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    pruned = frame.method == "prune"
    frame.loc[pruned, "final_accuracy"] += frame.width / 100 + 1e-3 * frame.seed
    frame.loc[pruned, "train_accuracy"] = 0.9
    table = s.gains_by_width(frame)
    assert list(table.index) == [(n, width) for n in (250, 4000) for width in (0.5, 1.0, 2.0)]
    assert table.gain.to_list() == pytest.approx([0.0065, 0.0115, 0.0215] * 2)
    assert ((table.low < table.gain) & (table.gain < table.high)).all()
    assert (table.fits == 1).all() and table["fits pruned"].to_list() == pytest.approx([0.9] * 6)
    with pytest.raises(ValueError, match="n_train is missing"):
        s.gains_by_width(frame.assign(n_train=None))


def test_the_optimum_of_a_parabola_is_found_with_its_interval():
    rng = np.random.default_rng(0)
    doses = np.array([0.1, 0.2, 0.4, 0.6, 0.8])
    rows = [{"seed": i, "dose": d, "gain": -((d - 0.4) ** 2) + 0.02 * rng.normal()} for i in range(20) for d in doses]
    found = s.optimum(pd.DataFrame(rows), "dose")
    assert found.value == 0.4
    assert found.low <= 0.4 <= found.high and found.high - found.low <= 0.4


def test_the_interval_of_a_mean_is_scipys_interval_of_a_t_test():
    values = np.random.default_rng(3).normal(size=15)
    found = s.mean_estimate(values, "mean")
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_an_arm_can_be_named_by_its_factors_if_they_pick_exactly_one():
    frame = runs().assign(
        target=lambda f: np.where(f.label < "m3", "smallest", "largest"), dose=lambda f: f.instability
    )
    by_factors = s.paired_difference(frame, {"target": "largest", "dose": 0.5}, {"dose": 0.0})
    assert by_factors == s.paired_difference(frame, "m5", "m0")
    with pytest.raises(ValueError, match="fit 3 arms: 'm3', 'm4', 'm5'; they must pick exactly one"):
        s.paired_difference(frame, {"target": "largest"}, "m0")
    with pytest.raises(ValueError, match="fit no arm"):
        s.paired_difference(frame, {"target": "random"}, "m0")
    with pytest.raises(ValueError, match="Did you mean 'target'"):
        s.paired_difference(frame, {"targets": "largest"}, "m0")


def test_gains_carry_the_factors_that_are_one_value_within_an_arm():
    frame = runs().assign(target=lambda f: np.where(f.label < "m3", "smallest", "largest"), size=None)
    table = s.gains(frame, baseline="m0")
    assert list(table.columns) == ["gain", "low", "high", "n_seeds", "instability", "target", "size"]
    assert table.target.to_list() == ["smallest", "smallest", "largest", "largest", "largest"]


def test_means_have_one_estimate_per_level():
    frame = runs(5)
    found = s.means(frame[(frame.label != "m1") | (frame.seed < 2)], "label", "final_accuracy")
    assert list(found) == ["m0", "m1", "m2", "m3", "m4", "m5"]
    assert found["m2"] == s.mean_estimate(frame[frame.label == "m2"].final_accuracy, "m2")
    assert found["m1"].n_seeds == 2 and np.isnan(found["m1"].low) and found["m1"].sign == 0


def test_means_over_a_factor_rest_on_seeds_and_not_on_runs():
    """Five arms share each level: 20 runs are 4 seeds, and the interval is that of the seeds' means."""
    frame = runs(4, 10, seed_effect=0.5).assign(half=lambda f: np.where(f.label < "m5", "low", "high"))
    found = s.means(frame, "half", "final_accuracy")["low"]
    of_seeds = frame[frame.half == "low"].groupby("seed").final_accuracy.mean()
    assert found == s.mean_estimate(of_seeds, "low") and found.n_seeds == 4


def test_run_that_is_in_the_frame_twice_is_refused():
    frame = runs(5).assign(hash=lambda f: f.label + f.seed.astype(str))
    twice = pd.concat([frame, frame[frame.seed == 0]])
    for call in (
        lambda: s.means(twice, "label", "final_accuracy"),
        lambda: s.correlation(twice, "instability", "final_accuracy"),
        lambda: s.within_seed_correlation(twice, "instability", "final_accuracy"),
    ):
        with pytest.raises(ValueError, match="frame has the run m00 twice"):
            call()
    s.means(frame, "label", "final_accuracy")


def test_row_that_is_repeated_in_all_columns_is_refused():
    frame = pd.DataFrame({"label": ["a"] * 4, "seed": range(4), "final_accuracy": [0.5, 0.6, 0.6, 0.7]})
    assert s.means(frame, "label", "final_accuracy")["a"].n_seeds == 4
    with pytest.raises(ValueError, match=r"frame has 'a' with seed 0 twice; keep one: frame.drop_duplicates\(\)"):
        s.means(pd.concat([frame, frame]), "label", "final_accuracy")


def test_paired_differences_warn_about_seeds_that_only_one_arm_has():
    frame = runs(5).query("not (label == 'm1' and seed == 3)")
    with pytest.warns(UserWarning, match=r"'m1' and 'm0' are compared without the seeds \[3\]"):
        assert list(s.paired_differences(frame, "m1", "m0").index) == [0, 1, 2, 4]


def test_a_correlation_within_seeds_does_not_see_what_seeds_differ_in():
    frame = runs(seed_effect=5.0)
    found = s.within_seed_correlation(frame, "instability", "final_accuracy", "pearson")
    each = [np.corrcoef(part.instability, part.final_accuracy)[0, 1] for _, part in frame.groupby("seed")]
    assert found.value == pytest.approx(np.mean(each))
    assert 0.85 < found.low < found.high <= 1
    assert s.correlation(frame, "instability", "final_accuracy", "pearson").value < 0.5


@pytest.mark.parametrize("mean", [0.0, 0.4, -0.7, 2.0])
def test_equivalence_is_the_larger_of_scipys_two_one_sided_tests(mean):
    values = np.random.default_rng(4).normal(mean, 1.0, size=12)
    above = stats.ttest_1samp(values, -1.0, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 1.0, alternative="less").pvalue
    assert s.equivalence(values, 1.0) == pytest.approx(max(above, below))


def test_holm_is_the_closed_test_with_bonferroni_on_every_subset():
    p = dict(zip("abcde", [0.002, 0.04, 0.011, 0.3, 0.013]))
    closed = {
        name: max(
            min(1.0, len(subset) * min(p[other] for other in subset))
            for size in range(1, 6) for subset in itertools.combinations(p, size) if name in subset
        )
        for name in p
    }  # fmt: skip
    assert s.holm(p) == pytest.approx(closed)
    assert list(s.holm(p)) == list(p)


def test_power_is_how_often_the_paired_t_test_finds_the_effect():
    draws = np.random.default_rng(5).normal(0.5, 1.0, size=(4000, 20))
    found = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert s.power(0.5, 1.0, 20) == pytest.approx(found, abs=0.03)
    assert s.power(0.0, 1.0, 20) == pytest.approx(0.05)
    assert s.power(-0.5, 1.0, 20) == s.power(0.5, 1.0, 20)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.03, "above zero"), (-0.03, -0.01, "below zero"), (-0.01, 0.03, "not distinguishable from zero")],
)
def test_the_verdict_follows_from_the_interval(low, high, words):
    assert words in s.verdict(s.Estimate("a against b", (low + high) / 2, low, high, 20))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: s.correlation(f.assign(instability=0.0), "instability", "final_accuracy"), "does not vary"),
        (lambda f: s.correlation(f, "instability", "final_accuracy", "kendal"), "Did you mean 'kendall'"),
        (lambda f: s.correlation(f[f.seed < 2], "instability", "final_accuracy"), "at least 3"),
        (lambda f: s.paired_difference(f, "m9", "m0"), "'m9' is not in column 'label'"),
        (lambda f: s.paired_difference(pd.concat([f, f]), "m1", "m0"), "several runs"),
        (lambda f: s.mean_estimate([1.0, 2.0], "x"), "at least 3"),
        (lambda f: s.equivalence([1.0, 2.0, 3.0], 0.0), "bound=0.0 must lie in"),
        (lambda f: s.holm({"a": 1.5}), "p_values"),
        (lambda f: s.optimum(f[f.seed < 2], "instability", "final_accuracy"), "at least 3 seeds"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(runs())
