"""Exercises of chapters 1 and 2: a set of plausible wrong answers to each is refused, and a right one is not."""

import pytest

import gst_tutorial as gst
from gst_tutorial import statistics
from gst_tutorial.book.exercises import grade


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
