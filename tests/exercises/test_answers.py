"""A right answer to each exercise is accepted; plausible wrong ones and things that are no answer are refused."""

import pytest

import gst_tutorial as gst
from gst_tutorial import statistics
from gst_tutorial.book.exercises import grade

PRUNED = gst.RunConfig(intervention="prune", prune_fraction=0.8, schedule=gst.PruneSchedule(5, 21, 2))
CAREFUL = gst.RunConfig(intervention="prune", prune_fraction=0.8, schedule=gst.PruneSchedule(5, 23, 18)).replace(
    optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.01, augment="shift_noise"
)


def scale_score(layer, model, x):
    return layer.norm.weight.detach().abs()


def unseen(weight, mean, var, factor):
    return factor * weight, factor * mean, factor**2 * var


RIGHT = {
    "1.1": [106, 84, 62, 39],
    "1.2": 0.8,
    "1.3": scale_score,
    "1.4": "c",
    "2.1": 0.27,
    "2.2": 0.875,
    "2.3": gst.PruneSchedule(5, 23, 1),
    "2.4": "b",
    "3.1": 10,
    "3.2": 100 * statistics.paired_difference(gst.recorded("tradeoff"), "random, period 12").value,
    "3.4": PRUNED,
    "6.1": 16,
    "6.2": unseen,
    "6.3": "b",
    "7.1": CAREFUL,
    "7.2": 0.549,
    "7.3": 1,
    "7.4": "c",
}
NOT_AN_ANSWER = [0, 1e9, float("nan"), True, "all of them", "", [], {}, gst.RunConfig(), lambda *_: 0, statistics]
# Of the exercises whose checks are functions; those that are tables of numbers and letters are in test_checks.py.
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
    "1.3": [
        lambda layer, model, x: None,
        lambda layer, model, x: layer.norm.weight.detach(),
        lambda layer, model, x: layer.norm.weight.abs(),
        lambda layer, model, x: layer.norm.weight.detach() ** 2,
        lambda layer, model, x: layer.norm.bias.detach().abs(),
        lambda layer, model, x: layer.conv.weight.detach().flatten(1).norm(dim=1),
        lambda layer, model, x: layer.norm.weight.detach().abs().sum(),
    ],
    "1.5": [-0.05, (-0.05, "below zero"), ({0: -0.05}, "below zero"), [-0.05] * 6],
    "2.3": [gst.PruneSchedule(5, 23, 9), gst.PruneSchedule(5, 23, 2), gst.PruneSchedule(5, 24, 1), (5, 23, 1), 19],
    "2.5": [-0.2, (-0.2, "below zero"), ({0: -0.2}, "below zero"), [-0.2] * 6],
    "3.4": [
        PRUNED.replace(schedule=gst.PruneSchedule(5, 23, 9)),
        PRUNED.replace(schedule=gst.PruneSchedule(5, 29, 3)),
        PRUNED.replace(prune_fraction=0.9),
        PRUNED.replace(intervention="zero"),
        PRUNED.replace(layers=("conv3",)),
    ],
    "6.2": [
        lambda weight, mean, var, factor: (weight, mean, var),
        lambda weight, mean, var, factor: (factor * weight, mean, var),
        lambda weight, mean, var, factor: (factor * weight, factor * mean, var),
        lambda weight, mean, var, factor: (factor * weight, factor * mean, factor * var),
        lambda weight, mean, var, factor: (factor * weight, factor**2 * mean, factor**2 * var),
        lambda weight, mean, var, factor: factor * weight,
    ],
    "7.1": [
        CAREFUL.replace(optimizer="adam"),
        CAREFUL.replace(weight_decay=0.3),
        CAREFUL.replace(augment="none"),
        CAREFUL.replace(prune_fraction=0.2),
        CAREFUL.replace(schedule=gst.PruneSchedule(5, 23, 9)),
    ],
}


@pytest.mark.parametrize(("exercise", "answer"), RIGHT.items())
def test_right_answer_passes(exercise, answer):
    assert grade(exercise, answer)[0]


@pytest.mark.parametrize("exercise", RIGHT | WRONG)
def test_plausible_wrong_answers_are_refused(exercise):
    for answer in [*WRONG.get(exercise, []), *(each for each in NOT_AN_ANSWER if each != RIGHT.get(exercise))]:
        solved, sentence = grade(exercise, answer)
        assert not solved, f"{answer!r} was accepted: {sentence}"
        assert "too large" not in sentence, "a sentence by which one can bisect"
        assert "too small" not in sentence, "a sentence by which one can bisect"
