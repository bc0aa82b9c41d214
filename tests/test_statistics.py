"""Intervals cover what they should, and agree with SciPy and with simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import gst_tutorial as gst
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


def test_the_interval_of_kendall_is_not_pulled_towards_the_correlation_within_seeds():
    """With a large effect of the seed, tau over all runs is far below tau within a seed; the interval stays around the former."""
    found = s.correlation(runs(seed_effect=0.5), "instability", "final_accuracy", "kendall")
    assert found.value < 0.6  # within a seed it is about 0.9
    assert found.value - found.low == pytest.approx(found.high - found.value, abs=0.05)


def test_the_interval_of_a_clustered_correlation_covers_the_truth_about_95_times_in_100():
    truth = s.correlation(
        runs(1500, 4, seed=99, seed_effect=0.3), "instability", "final_accuracy", cluster=None, kind="pearson"
    ).value
    covered = 0
    for seed in range(60):
        found = s.correlation(runs(20, 4, seed=seed, seed_effect=0.3), "instability", "final_accuracy", "pearson")
        covered += found.low <= truth <= found.high
    assert covered >= 52


@pytest.mark.parametrize("n_seeds", [3, 5, 20])
def test_an_interval_covers_the_truth_about_95_times_in_100_also_with_few_seeds(n_seeds):
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


def test_a_seed_that_lacks_one_method_is_left_out():
    frame = runs(5).drop(index=0)
    assert list(s.paired_differences(frame, "m1", "m0").index) == [1, 2, 3, 4]


def test_gains_has_a_row_per_method_and_none_for_the_baseline():
    table = s.gains(runs(), baseline="m0")
    assert list(table.index) == ["m1", "m2", "m3", "m4", "m5"]
    assert table.gain.is_monotonic_increasing
    assert ((table.low < table.gain) & (table.gain < table.high)).all()


def test_gains_by_width_has_a_row_per_size_and_width_and_is_drawn_as_a_line_per_size():
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
    ax = gst.plots.gain_against_width(table)
    lines = {container.get_label(): container.lines[0].get_xydata() for container in ax.containers}
    assert set(lines) == {"250 training examples", "4,000 training examples"}
    assert lines["250 training examples"].ravel().tolist() == pytest.approx([0.5, 0.65, 1, 1.15, 2, 2.15], rel=0.02)
    with pytest.raises(ValueError, match="n_train is missing"):
        s.gains_by_width(frame.assign(n_train=None))


def test_the_optimum_of_a_parabola_is_found_with_its_interval():
    rng = np.random.default_rng(0)
    doses = np.array([0.1, 0.2, 0.4, 0.6, 0.8])
    rows = [{"seed": i, "dose": d, "gain": -((d - 0.4) ** 2) + 0.02 * rng.normal()} for i in range(20) for d in doses]
    found = s.optimum(pd.DataFrame(rows), "dose")
    assert found.value == 0.4
    assert found.low <= 0.4 <= found.high and found.high - found.low <= 0.4


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.03, "above zero"), (-0.03, -0.01, "below zero"), (-0.01, 0.03, "not told apart from zero")],
)
def test_the_verdict_follows_from_the_interval(low, high, words):
    assert words in s.verdict(s.Estimate("a against b", (low + high) / 2, low, high, 20))


def test_equal_data_give_equal_intervals():
    assert s.correlation(runs(), "instability", "final_accuracy") == s.correlation(
        runs(), "instability", "final_accuracy"
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: s.correlation(f.assign(instability=0.0), "instability", "final_accuracy"), "does not vary"),
        (lambda f: s.correlation(f, "instability", "final_accuracy", "kendal"), "Did you mean 'kendall'"),
        (lambda f: s.correlation(f[f.seed < 2], "instability", "final_accuracy"), "at least 3"),
        (lambda f: s.paired_difference(f, "m9", "m0"), "'m9' is not in column 'label'"),
        (lambda f: s.paired_difference(pd.concat([f, f]), "m1", "m0"), "several runs"),
        (lambda f: s.mean_estimate([1.0, 2.0], "x"), "at least 3"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(runs())
