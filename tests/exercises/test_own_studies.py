"""An exercise that asks for a small study accepts one with the right arms and the verdict that its interval allows."""

import pandas as pd
import pytest

import gst_tutorial as gst
from gst_tutorial.book.exercises import grade
from gst_tutorial.studies.study import run_row

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
    "not distinguishable": (-0.01, 0.02, 0.0, -0.02, 0.01),
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
def test_own_study_is_judged_by_its_interval(exercise, verdict):
    frame = sweep(STUDIES[exercise], DIFFERENCES[verdict])
    for said in DIFFERENCES:
        solved, sentence = grade(exercise, (frame, said))
        assert solved == (said == verdict), sentence
        assert ("5 seeds" in sentence) == solved


@pytest.mark.parametrize("exercise", STUDIES)
def test_own_study_needs_the_arms_and_seeds_asked_for(exercise):
    arms, (first, second) = STUDIES[exercise], STUDIES[exercise]
    differences = DIFFERENCES["below zero"]
    later = tuple(epoch + 1 for epoch in arms[second].schedule.epochs)
    wrong = {
        "seeds": sweep(arms, differences[:4]),
        "epochs": sweep({name: arm.replace(epochs=40) for name, arm in arms.items()}, differences),
        "learning rate": sweep({name: arm.replace(milestones=(25,)) for name, arm in arms.items()}, differences),
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
