"""Verdicts follow from intervals by rule."""

import pytest

import claims
import gst_tutorial as gst
from gst_tutorial.statistics import Estimate


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


def test_every_claim_of_the_paper_has_a_row():
    assert list(claims.CLAIMS) == [f"C{i}" for i in range(1, 9)]
    page = claims.ledger()
    assert all(f"| C{i} |" in page for i in range(1, 9))


def test_every_test_of_a_claim_names_a_study_of_the_book():
    for _, _, tests in claims.CLAIMS.values():
        for what, study, _, _ in tests:
            assert study in gst.studies.names(), what
