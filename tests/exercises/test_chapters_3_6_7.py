"""Exercises of chapters 3, 6 and 7: a set of plausible wrong answers to each is refused, and a right one is not."""

import pandas as pd
import pytest

import gst_tutorial as gst
from gst_tutorial import statistics
from gst_tutorial.book.exercises import grade
from gst_tutorial.studies.study import run_row

PRUNED = gst.RunConfig(intervention="prune", prune_fraction=0.8, schedule=gst.PruneSchedule(5, 21, 2))
CAREFUL = gst.RunConfig(intervention="prune", prune_fraction=0.8, schedule=gst.PruneSchedule(5, 23, 18)).replace(
    optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.01, augment="shift_noise"
)


def unseen(weight, mean, var, factor):
    return factor * weight, factor * mean, factor**2 * var


RIGHT = {
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
NOT_AN_ANSWER = [0, 1e9, float("nan"), True, "all of them", "", [], gst.RunConfig(), lambda *_: 0, statistics]
WRONG = {
    "3.1": [11, 9, 12, 16, 0, 29],
    "3.2": [0, 0.018, -1.8, 84.9],
    "3.3": [-0.3, -0.46, 0.62, 0, -1, -0.7, -0.55],
    "3.4": [
        PRUNED.replace(schedule=gst.PruneSchedule(5, 23, 9)),
        PRUNED.replace(schedule=gst.PruneSchedule(5, 29, 3)),
        PRUNED.replace(prune_fraction=0.9),
        PRUNED.replace(intervention="zero"),
        PRUNED.replace(layers=("conv3",)),
    ],
    "6.1": [4, 0.25, 1, 8, 2, 0.0625],
    "6.2": [
        lambda weight, mean, var, factor: (weight, mean, var),
        lambda weight, mean, var, factor: (factor * weight, mean, var),
        lambda weight, mean, var, factor: (factor * weight, factor * mean, var),
        lambda weight, mean, var, factor: (factor * weight, factor * mean, factor * var),
        lambda weight, mean, var, factor: (factor * weight, factor**2 * mean, factor**2 * var),
        lambda weight, mean, var, factor: factor * weight,
    ],
    "6.3": ["a", "c", "d"],
    "7.1": [
        CAREFUL.replace(optimizer="adam"),
        CAREFUL.replace(weight_decay=0.3),
        CAREFUL.replace(augment="none"),
        CAREFUL.replace(prune_fraction=0.2),
        CAREFUL.replace(schedule=gst.PruneSchedule(5, 23, 9)),
    ],
    "7.2": [0.4, 0.001, 0.999, 0, 0.5, 0.6],
    "7.3": [4, 0.2, 20, 3.8, 0.8, 5],
    "7.4": ["a", "b"],
}


@pytest.mark.parametrize(("exercise", "answer"), RIGHT.items())
def test_the_right_answer_passes(exercise, answer):
    assert grade(exercise, answer)[0]


@pytest.mark.parametrize("exercise", WRONG)
def test_plausible_wrong_answers_are_refused(exercise):
    for answer in [*WRONG[exercise], *(each for each in NOT_AN_ANSWER if each != RIGHT.get(exercise))]:
        solved, sentence = grade(exercise, answer)
        assert not solved, f"{answer!r} was accepted: {sentence}"
        assert "too large" not in sentence, "a sentence by which one can bisect"
        assert "too small" not in sentence, "a sentence by which one can bisect"


SHORT = gst.RunConfig().replace(epochs=30, milestones=(20, 26), evaluate_every=30)
TWICE = SHORT.replace(intervention="prune", prune_fraction=0.8, target="random")
DECAY = SHORT.replace(optimizer="adamw", weight_decay=3.0)
HIDDEN = SHORT.replace(
    intervention="rescale", target="random", draws="afresh", prune_fraction=0.5, schedule=gst.PruneSchedule(2, 18, 2)
)
STUDIES = {
    "3.5": {"early": TWICE.replace(schedule=(3, 11)), "late": TWICE.replace(schedule=(3, 19))},
    "6.4": {"long": HIDDEN.replace(size=4.0), "short": HIDDEN.replace(size=0.25)},
    "7.5": {
        "decay": DECAY,
        "decay, pruned": DECAY.replace(intervention="prune", prune_fraction=0.8, target="random", schedule=(3, 12)),
    },
}
DIFFERENCES = {
    "below zero": (-0.06, -0.05, -0.07, -0.06, -0.05),
    "above zero": (0.06, 0.05, 0.07, 0.06, 0.05),
    "not told apart": (-0.01, 0.02, 0.0, -0.02, 0.01),
}


def sweep(arms, differences):
    """The frame of a sweep, without its runs: the second arm ends higher than the first by `differences`, seed by seed."""
    study = gst.Study("own", "?", arms, seeds=range(len(differences)))
    rows = [run_row(arm, config) | {"hash": config.hash, "instability": 0.1} for arm, config in study.runs]
    frame = pd.DataFrame(rows)
    second = frame.label == list(arms)[1]
    return frame.assign(final_accuracy=0.8 + second * frame.seed.map(dict(enumerate(differences))))


@pytest.mark.parametrize("exercise", STUDIES)
@pytest.mark.parametrize("verdict", DIFFERENCES)
def test_a_study_of_the_reader_s_own_is_judged_by_its_interval(exercise, verdict):
    frame = sweep(STUDIES[exercise], DIFFERENCES[verdict])
    for said in DIFFERENCES:
        solved, sentence = grade(exercise, (frame, said))
        assert solved == (said == verdict), sentence
        assert ("5 seeds" in sentence) == solved


@pytest.mark.parametrize("exercise", STUDIES)
def test_a_study_of_the_reader_s_own_has_the_arms_and_seeds_that_were_asked_for(exercise):
    arms, (first, second) = STUDIES[exercise], STUDIES[exercise]
    differences = DIFFERENCES["below zero"]
    later = tuple(epoch + 1 for epoch in arms[second].schedule.epochs)
    wrong = {
        "seeds": sweep(arms, differences[:4]),
        "epochs": sweep({name: arm.replace(epochs=40) for name, arm in arms.items()}, differences),
        "learning rate": sweep({name: arm.replace(milestones=(25,)) for name, arm in arms.items()}, differences),
        "the same run": sweep({first: arms[first], second: arms[first]}, differences),
        "start": sweep(arms | {second: arms[second].replace(schedule=later)}, differences),
        "prune_fraction": sweep(arms | {second: arms[second].replace(prune_fraction=0.9)}, differences),
        "intervention": sweep(arms | {second: arms[second].replace(intervention="zero", size=None)}, differences),
        "not there": sweep({first: arms[first], "another": arms[second]}, differences),
    }
    for hint, frame in wrong.items():
        solved, sentence = grade(exercise, (frame, "below zero"))
        assert not solved
        assert hint in sentence
    frame = sweep(arms, differences)
    for answer in (frame, (frame,), "below zero", (frame, -0.06), (frame.drop(columns="hash"), "below zero"), -0.06):
        assert not grade(exercise, answer)[0]
