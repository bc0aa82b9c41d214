"""The claims ledger: outcomes and verdicts follow from numbers by rule."""

import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from scipy import stats

import gst_tutorial as gst
from gst_tutorial.book.studies import claims, history
from gst_tutorial.book.studies.claims import (
    ABOVE,
    AGREES,
    BELOW,
    CONTROL,
    NEGLIGIBLE,
    NO_EFFECT,
    NO_GAIN,
    NO_LOSS,
    OPEN,
    OPPOSITE,
    PROTOCOL,
    TOO_FEW,
    Analysis,
    Test,
)
from tools.pages.claims import PAGE, PLOT, SHORT, counted, ledger, plot

# Twenty numbers with mean 0 and standard deviation 1.
SPREAD = pd.Series(stats.zscore(np.random.default_rng(0).normal(size=20), ddof=1))


def a_test(mean, deviation, predicted, **changes):
    return Test("what", "dose", lambda: mean + deviation * SPREAD, predicted, **changes)


@pytest.mark.parametrize(
    ("mean", "deviation", "predicted", "expected"),
    [
        (0.03, 0.01, ABOVE, AGREES),
        (0.03, 0.01, BELOW, OPPOSITE),
        (-0.03, 0.01, ABOVE, OPPOSITE),
        (-0.03, 0.01, BELOW, AGREES),
        (0.003, 0.003, ABOVE, NEGLIGIBLE),
        (-0.003, 0.003, ABOVE, NEGLIGIBLE),
        (0.001, 0.005, ABOVE, NO_EFFECT),  # bounded: by a quarter of a point, well below one
        (0.001, 0.05, ABOVE, OPEN),  # the interval is too wide to decide
        (0.001, 0.005, NO_GAIN, AGREES),
        (-0.03, 0.01, NO_GAIN, AGREES),
        (0.03, 0.01, NO_GAIN, OPPOSITE),
        (0.0078, 0.02, NO_GAIN, OPEN),
        (0.012, 0.005, NO_GAIN, OPEN),  # above zero for sure, above a point perhaps
        (0.03, 0.01, NO_LOSS, AGREES),
        (-0.03, 0.01, NO_LOSS, OPPOSITE),
        (-0.012, 0.005, NO_LOSS, OPEN),
    ],
)
def test_outcome_follows_from_effect_and_bound(mean, deviation, predicted, expected):
    assert claims.evaluate([a_test(mean, deviation, predicted)])[0].outcome == expected


def test_both_p_values_of_all_tests_are_one_holm_family():
    family = [Test(f"test {i}", "dose", lambda: 0.003 + 0.005 * SPREAD, ABOVE) for i in range(20)]
    effect = stats.ttest_1samp(0.003 + 0.005 * SPREAD, 0).pvalue
    within = stats.ttest_1samp(0.003 + 0.005 * SPREAD, 0.01, alternative="less").pvalue
    assert within < effect
    results = claims.evaluate(family)
    assert [r.within for r in results] == pytest.approx([40 * within] * 20)
    assert [r.effect for r in results] == pytest.approx([min(1, 20 * effect)] * 20)
    assert claims.evaluate(family[:1])[0].outcome != results[0].outcome


@pytest.mark.parametrize(
    ("protocol", "controls", "expected"),
    [
        ([AGREES, AGREES], [AGREES], claims.REPRODUCED),
        ([AGREES], [], claims.REPRODUCED),
        ([AGREES], [AGREES, OPEN], claims.PROTOCOL_ONLY),
        ([AGREES], [OPEN, NO_EFFECT], claims.CONTRADICTED),
        ([AGREES], [NEGLIGIBLE], claims.CONTRADICTED),
        ([AGREES], [OPPOSITE], claims.CONTRADICTED),
        ([AGREES, OPEN], [AGREES], claims.IN_PART),
        ([AGREES, NEGLIGIBLE], [], claims.IN_PART),
        ([AGREES, OPPOSITE], [AGREES], claims.MIXED),
        ([OPEN, OPPOSITE], [AGREES], claims.REVERSED),
        ([OPEN, NEGLIGIBLE], [AGREES], claims.NOT_REPRODUCED),
        ([], [AGREES], claims.NOT_TESTABLE),
        ([TOO_FEW], [AGREES], claims.NOT_TESTABLE),
    ],
)
def test_verdict_follows_from_protocol_and_controls(protocol, controls, expected):
    outcomes = [(outcome, PROTOCOL) for outcome in protocol] + [(outcome, CONTROL) for outcome in controls]
    assert claims.verdict(outcomes) == expected
    assert claims.verdict([*outcomes, (OPPOSITE, claims.CONTEXT)]) == expected
    assert expected in claims.RULES


def test_a_test_with_few_seeds_is_shown_but_not_counted():
    few = Test("few", "dose", lambda: 0.03 + 0.01 * SPREAD[:5], ABOVE)
    many = a_test(0.003, 0.005, ABOVE)
    results = claims.evaluate([few, many])
    assert [r.outcome for r in results] == [TOO_FEW, claims.evaluate([many])[0].outcome]
    assert results[1].effect == claims.evaluate([many])[0].effect
    assert counted(results) == results[1:]


def test_other_analyses_use_their_bound_their_seeds_and_ranks():
    test = a_test(0.007, 0.003, NO_GAIN)
    assert claims.evaluate([test])[0].outcome == AGREES
    assert claims.evaluate([test], Analysis(bound=0.5))[0].outcome == OPPOSITE
    [half] = claims.evaluate([test], Analysis(seeds=range(10)))
    assert half.estimate.value == pytest.approx((0.007 + 0.003 * SPREAD[:10]).mean())
    outlier = pd.Series([0.01] * 9 + [0.011] * 10 + [-0.3])
    one = Test("one bad seed", "dose", lambda: outlier, ABOVE)
    assert claims.evaluate([one])[0].outcome == OPEN
    assert claims.evaluate([one], Analysis(rank_test=True))[0].outcome == AGREES


def test_a_verdict_that_another_bound_changes_is_fragile(monkeypatch):
    solid, small = a_test(0.05, 0.01, ABOVE), a_test(0.015, 0.005, ABOVE)
    claim = claims.Claim("text", "chapter", {}, (solid,))
    monkeypatch.setattr(claims, "CLAIMS", {"A": claim, "B": claims.Claim("text", "chapter", {}, (small,))})
    monkeypatch.setattr(claims, "_as_one_family", claims._as_one_family.__wrapped__)
    assert claims.fragility("A") == {}
    assert claims.fragility("B") == {"twice the bound": claims.NOT_REPRODUCED}


def test_networks_without_a_recorded_run_are_untested():
    claim = claims.Claim("text", "chapter", {}, (), networks=("conv1d", "vgg11", "resnet56"))
    assert claim.untested == ["resnet56"]


def test_correlations_of_pruned_runs_leave_unpruned_ones_out():
    [test] = [t for t in claims.CLAIMS["C2"].tests if t.what == "instability and accuracy, smallest filters"]
    runs = gst.recorded("tradeoff-splits")
    runs = runs[(runs.label.str.startswith("smallest"))]
    by_hand = [stats.kendalltau(part.instability, part.final_accuracy).statistic for _, part in runs.groupby("seed")]
    assert test.values().mean() == pytest.approx(np.mean(by_hand))
    assert len(runs) == 6 * 20


def test_each_test_of_a_claim_names_a_study_and_is_named_once():
    for claim in claims.CLAIMS.values():
        assert len({test.what for test in claim.tests}) == len(claim.tests)
        assert {test.study for test in claim.tests} <= set(gst.recorded_names())


def test_history_names_recorded_studies_and_their_last_number_of_seeds():
    for name, counts in history.RECORDINGS.items():
        assert len(gst.recorded(name).attrs["provenance"]["seeds"]) == counts[-1], name
        assert list(counts) == sorted(set(counts))
    assert set(history.PILOTS) <= set(gst.recorded_names())
    assert {"noise", "cifar10-small"} <= set(history.on_one_split())
    assert not {"anatomy", "photographs", "landing"} & set(history.on_one_split())


def test_the_pages_are_what_the_recorded_results_give():
    assert PAGE.read_text(encoding="utf-8") == ledger(), "run `python -m tools.pages.claims`"
    assert PLOT.read_text(encoding="utf-8") == plot(), "run `python -m tools.pages.claims`"


def test_the_plot_draws_each_counted_test_where_its_interval_is():
    page = BeautifulSoup(plot(), "html.parser")
    found = {key: counted(claims.evaluate(claim.tests)) for key, claim in claims.CLAIMS.items()}
    results = [r for each in found.values() for r in each]
    rows = page.select("tbody tr:not(.gst-claim)")
    assert [row.select_one(".gst-word").get_text() for row in rows] == [
        SHORT.get(r.outcome, r.outcome) for r in results
    ]
    low, high = (int(end.get_text()) for end in page.select(".gst-axis span"))

    def number(tag, prop: str) -> float:
        return low + (high - low) * float(re.search(rf"{prop}:([-\d.]+)%", tag["style"])[1]) / 100

    for row, r in zip(rows, results, strict=True):
        bound = claims.BOUNDS[r.test.unit]
        assert number(row.select_one(".gst-value"), "left") == pytest.approx(r.estimate.value / bound, abs=0.01)
        assert number(row.select_one(".gst-interval"), "left") == pytest.approx(r.estimate.low / bound, abs=0.01)
        end = number(row.select_one(".gst-interval"), "left") + number(row.select_one(".gst-interval"), "width") - low
        assert end == pytest.approx(r.estimate.high / bound, abs=0.02)
    heads = [head.b.get_text() for head in page.select(".gst-claim")]
    assert heads == [f"{key}: {claims.verdict_of(each)}." for key, each in found.items()]
