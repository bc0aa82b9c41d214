"""Exercises of chapters 1 and 2: a set of plausible wrong answers to each is refused, and a right one is not."""

import math

import pytest

import gst_tutorial as gst
from gst_tutorial import statistics
from gst_tutorial.exercises import grade, instability, pruning


def scale_score(layer, model, x):
    return layer.norm.weight.detach().abs()


RIGHT = {
    "1.1": [106, 84, 62, 39],
    "1.2": 0.8,
    "1.3": scale_score,
    "1.4": "c",
    "2.1": 0.27,
    "2.2": 0.875,
    "2.3": gst.PruneSchedule(5, 23, 1),
    "2.4": "b",
}
NOT_AN_ANSWER = [0, 1e9, float("nan"), True, "all of them", "", [], {}, gst.RunConfig(), lambda *_: 0, statistics]
WRONG = {
    "1.1": [
        [106, 84, 62, 38],
        [22, 44, 66, 89],
        [106, 84, 62],
        [39] * 4,
        [105.75, 83.5, 61.25, 39],
        "106 84 62 39",
        39,
    ],
    "1.2": [-0.8, 0.4, 1, 2, 1.6, 0.56],
    "1.3": [
        lambda layer, model, x: None,
        lambda layer, model, x: layer.norm.weight.detach(),
        lambda layer, model, x: layer.norm.weight.abs(),
        lambda layer, model, x: layer.norm.weight.detach() ** 2,
        lambda layer, model, x: layer.norm.bias.detach().abs(),
        lambda layer, model, x: layer.conv.weight.detach().flatten(1).norm(dim=1),
        lambda layer, model, x: layer.norm.weight.detach().abs().sum(),
    ],
    "1.4": ["a", "b", "d"],
    "1.5": [-0.05, (-0.05, "below zero"), ({0: -0.05}, "below zero"), [-0.05] * 6],
    "2.1": [0.23, 0.377, 0.726, 0.61, 27, -0.27],
    "2.2": [1, 0.7, 0.9, 0.8, 0.1, 0.125],
    "2.3": [gst.PruneSchedule(5, 23, 9), gst.PruneSchedule(5, 23, 2), gst.PruneSchedule(5, 24, 1), (5, 23, 1), 19],
    "2.4": ["a", "c", "d"],
    "2.5": [-0.2, (-0.2, "below zero"), ({0: -0.2}, "below zero"), [-0.2] * 6],
}
OWN = {"1.5": pruning.smallest_minus_largest, "2.5": instability.selectivity_against_ebn}


@pytest.mark.parametrize(("exercise", "answer"), RIGHT.items())
def test_the_right_answer_passes(exercise, answer):
    assert grade(exercise, answer)[0]


@pytest.mark.parametrize("exercise", WRONG)
def test_plausible_wrong_answers_are_refused(exercise):
    for answer in [*WRONG[exercise], *NOT_AN_ANSWER]:
        solved, sentence = grade(exercise, answer)
        assert not solved, f"{answer!r} was accepted: {sentence}"
        assert "too large" not in sentence, "a sentence by which one can bisect"
        assert "too small" not in sentence, "a sentence by which one can bisect"


@pytest.fixture(scope="module", params=OWN)
def own(request):
    """An exercise and what the network of its last seed, the one that the check trains again, gives."""
    return request.param, OWN[request.param](5)


def numbers(last, others):
    return dict(enumerate([*others, last]))


def test_networks_of_the_reader_s_own_are_judged_by_their_interval(own):
    exercise, last = own
    cases = {
        ("below zero", "above zero")[last > 0]: [last * share for share in (0.8, 0.9, 1.0, 1.1, 1.2)],
        "not told apart": [-last, last / 2, -last / 2, last / 3, -last],
    }
    for verdict, others in cases.items():
        for said in ("below zero", "above zero", "not told apart"):
            solved, sentence = grade(exercise, (numbers(last, others), said))
            assert solved == (said == verdict), sentence
            assert ("6 seeds" in sentence) == solved


def test_networks_of_the_reader_s_own_must_have_been_trained(own):
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
