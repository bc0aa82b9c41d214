"""Exercises in which the reader does a small experiment: its numbers are judged by their interval, and done again."""

import math

import pytest

from gst_tutorial.book.exercises import grade, images, instability, network, pruning

OWN = {
    "1.5": pruning.smallest_minus_largest,
    "2.5": instability.selectivity_against_ebn,
    "8.5": images.middle_minus_last,
    "10.5": network.folded_minus_plain,
}


@pytest.fixture(scope="module", params=OWN)
def own(request):
    """An exercise and what its last seed, the one that the check does again, gives."""
    return request.param, OWN[request.param](5)


def numbers(last, others):
    return dict(enumerate([*others, last]))


def test_own_numbers_are_judged_by_their_interval(own):
    exercise, last = own
    cases = {
        ("below zero", "above zero")[last > 0]: [last * share for share in (0.8, 0.9, 1.0, 1.1, 1.2)],
        "not distinguishable": [-last, last / 2, -last / 2, last / 3, -last],
    }
    for verdict, others in cases.items():
        for said in ("below zero", "above zero", "not distinguishable"):
            solved, sentence = grade(exercise, (numbers(last, others), said))
            assert solved == (said == verdict), sentence
            assert ("6 seeds" in sentence) == solved


def test_own_numbers_must_have_been_measured(own):
    exercise, last = own
    others = [last * share for share in (0.8, 0.9, 1.0, 1.1, 1.2)]
    verdict = "above zero" if last > 0 else "below zero"
    opposite = "below zero" if last > 0 else "above zero"
    for wrong, said, hint in [
        (numbers(last + math.copysign(0.02, last), others), verdict, "another number"),
        (numbers(-last, [-each for each in others]), opposite, ""),
        (numbers(100 * last, [100 * each for each in others]), verdict, "between -1 and 1"),
        (numbers(last, [last] * 5), verdict, "its own seed"),
        (numbers(last, others[:4]), verdict, "at least 6"),
        (numbers(last, others), "yes", "The verdict should be"),
        (numbers(float("nan"), others), verdict, "NaN"),
        (dict(zip("abcdef", [*others, last], strict=True)), verdict, "the seeds"),
    ]:
        solved, sentence = grade(exercise, (wrong, said))
        assert not solved
        assert hint in sentence
