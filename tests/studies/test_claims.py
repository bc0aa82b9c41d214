"""Verdicts follow from intervals by rule."""

import pytest

import gst_tutorial as gst
from gst_tutorial.statistics import Estimate
from gst_tutorial.studies import claims
from tools.pages.claims import ledger


@pytest.mark.parametrize(
    ("agreements", "expected"),
    [([True, True], "reproduced"), ([True, False], "partly"), ([False], "not reproduced"), ([], "not tested yet")],
)
def test_a_verdict_counts_the_tests_that_agree(agreements, expected):
    assert claims.verdict(agreements) == expected


@pytest.mark.parametrize(
    ("low", "high", "predicted", "agrees"),
    [
        (0.1, 0.2, claims.ABOVE, True),
        (-0.1, 0.2, claims.ABOVE, False),
        (-0.2, -0.1, claims.BELOW, True),
        (-0.1, 0.2, claims.BELOW, False),
        (-0.1, 0.2, claims.NOT_ABOVE, True),
        (0.1, 0.2, claims.NOT_ABOVE, False),
    ],
)
def test_agreement_needs_the_whole_interval_on_the_predicted_side(low, high, predicted, agrees):
    estimate = Estimate("x", (low + high) / 2, low, high, 20)
    assert claims.AGREES[predicted](estimate.sign) is agrees


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ([(20, True), (20, False), (5, False)], "partly"),  # without the third it would be the same
        ([(20, True), (5, False)], "partly, on few seeds"),
        ([(5, True)], "reproduced, on few seeds"),
        ([(20, True), (10, True)], "reproduced"),
    ],
)
def test_a_verdict_says_when_it_needs_tests_of_few_seeds(tests, expected):
    results = [("what", "study", Estimate("x", 1, 0, 2, n), claims.ABOVE, agrees) for n, agrees in tests]
    assert claims.outcome_of(results) == expected


def test_every_claim_of_the_paper_has_a_row():
    assert list(claims.CLAIMS) == [f"C{i}" for i in range(1, 9)]
    page = ledger()
    assert all(f"| C{i} |" in page for i in range(1, 9))


def test_every_test_of_a_claim_names_a_study_of_the_book():
    for _, _, tests in claims.CLAIMS.values():
        for what, study, _, _ in tests:
            assert study in gst.studies.names(), what
