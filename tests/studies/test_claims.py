"""Verdicts follow from numbers by rule."""

import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from scipy import stats

import gst_tutorial as gst
from gst_tutorial.book.studies import claims
from gst_tutorial.book.studies.claims import ABOVE, AGREES, BELOW, NO_EFFECT, NO_GAIN, NO_LOSS, OPEN, OPPOSITE, Test
from tools.pages.claims import PAGE, PLOT, SHORT, ledger, plot

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
        (0.001, 0.005, ABOVE, NO_EFFECT),  # bounded: by a quarter of a point, well below one
        (0.001, 0.05, ABOVE, OPEN),  # too few seeds to tell
        (0.001, 0.005, NO_GAIN, AGREES),
        (-0.03, 0.01, NO_GAIN, AGREES),
        (0.03, 0.01, NO_GAIN, OPPOSITE),
        (0.008, 0.02, NO_GAIN, OPEN),
        (0.03, 0.01, NO_LOSS, AGREES),
        (-0.03, 0.01, NO_LOSS, OPPOSITE),
    ],
)
def test_an_outcome_says_whether_the_numbers_agree_and_no_effect_needs_the_bound(mean, deviation, predicted, expected):
    assert claims.evaluate([a_test(mean, deviation, predicted)])[0].outcome == expected


def test_p_values_are_corrected_within_the_claim():
    alone = claims.evaluate([a_test(0.003, 0.005, ABOVE)])[0]
    family = [Test(f"test {i}", "dose", lambda: 0.003 + 0.005 * SPREAD, ABOVE) for i in range(20)]
    assert alone.p == pytest.approx(stats.ttest_1samp(0.003 + 0.005 * SPREAD, 0).pvalue)
    assert [r.p for r in claims.evaluate(family)] == pytest.approx([min(1, 20 * alone.p)] * 20)
    assert alone.outcome == AGREES
    assert claims.evaluate(family)[0].outcome != AGREES


@pytest.mark.parametrize(
    ("protocol", "controls", "expected"),
    [
        ([AGREES, AGREES], [AGREES], claims.REPRODUCED),
        ([AGREES], [], claims.REPRODUCED),
        ([AGREES], [AGREES, OPEN], claims.PROTOCOL_ONLY),
        ([AGREES], [OPEN, NO_EFFECT], claims.CONTRADICTED),
        ([AGREES], [OPPOSITE], claims.CONTRADICTED),
        ([AGREES, OPEN], [AGREES], claims.IN_PART),
        ([AGREES, OPEN], [OPPOSITE], claims.CONTRADICTED),
        ([OPEN, OPPOSITE], [AGREES], claims.NOT_REPRODUCED),
        ([], [AGREES], claims.NOT_TESTABLE),
    ],
)
def test_a_verdict_follows_from_outcomes_in_the_protocol_and_in_controls(protocol, controls, expected):
    outcomes = [(outcome, False) for outcome in protocol] + [(outcome, True) for outcome in controls]
    assert claims.verdict(outcomes) == expected
    assert expected in claims.RULES


def test_few_seeds_give_no_verdict():
    few = Test("few", "dose", lambda: 0.03 + 0.01 * SPREAD[:5], ABOVE)
    assert claims.evaluate([few]) == []
    assert claims.verdict_of([]) == claims.NOT_TESTABLE


def test_a_drop_alone_that_changes_no_number_is_no_effect():
    zeros = Test("zeros", "dose", lambda: 0 * SPREAD, ABOVE, control=True)
    assert claims.evaluate([zeros])[0].outcome == NO_EFFECT


def test_every_claim_of_the_paper_has_a_row():
    assert [key for key in claims.CLAIMS if key != "dose"] == [f"C{i}" for i in range(1, 9)]
    page = ledger()
    assert all(f"| {key} |" in page for key in claims.CLAIMS)


def test_every_test_of_a_claim_names_a_study_of_the_book_and_is_named_once():
    for _, _, tests in claims.CLAIMS.values():
        assert len({test.what for test in tests}) == len(tests)
        for test in tests:
            assert test.study in gst.studies.names(), test.what


def test_the_pages_are_what_the_recorded_results_give():
    assert PAGE.read_text(encoding="utf-8") == ledger(), "run `python -m tools.pages.claims`"
    assert PLOT.read_text(encoding="utf-8") == plot(), "run `python -m tools.pages.claims`"


def test_the_plot_has_a_row_per_test_with_its_outcome_and_its_interval_where_it_belongs():
    page = BeautifulSoup(plot(), "html.parser")
    found = {key: claims.evaluate(tests) for key, (_, _, tests) in claims.CLAIMS.items()}
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
