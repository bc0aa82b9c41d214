"""Checks for the exercises of chapter 3, see `gst_tutorial.book.exercises`."""

from __future__ import annotations

from gst_tutorial.book.exercises.answers import Check, interval, milestones_in_all_runs, own_study, same_in_arms
from gst_tutorial.book.exercises.tabled import Measured, NotYet, Number
from gst_tutorial.book.recorded import recorded
from gst_tutorial.config import RunConfig
from gst_tutorial.statistics import correlation, paired_difference, within_seed_correlation


def _pairing() -> Number:
    expected = 100 * paired_difference(recorded("tradeoff"), "random, period 12").value
    return Number(
        expected,
        2,
        "The mean of differences is the difference of means; pairing matters for the interval.",
        {expected / 100: "In points, please: multiply by 100.", -expected: "Gain is pruned minus none."},
    )


def _unfair() -> Number:
    runs = recorded("dose")
    pruned = runs[runs.method == "prune"]
    part = pruned[pruned.dose.isin([0.8, 0.95])]

    def within(frame, kind="kendall") -> float:
        return within_seed_correlation(frame, "instability", "final_accuracy", kind).value

    return Number(
        within(part),
        2,
        "Negative. The colleague's runs lie on both sides of the optimum.",
        {
            correlation(
                part, "instability", "final_accuracy"
            ).value: "That pools all seeds. What one seed's runs have in "
            "common should play no part: correlate within a seed.",
            -within(part): "Look at the sign: which of the two doses is less stable, and which ends better?",
            within(pruned): "That takes all doses. The colleague has 80% and 95% only.",
            within(part, "pearson"): "That is Pearson's correlation.",
            within(runs[(runs.method == "none") | runs.dose.isin([0.8, 0.95])]): "Leave the unpruned runs out.",
        },
    )


def _control(answer) -> str:
    if not isinstance(answer, RunConfig):
        raise NotYet("The answer should be a gst.RunConfig.")
    if answer.intervention != "prune" or answer.at_init or answer.prune_fraction != 0.8:
        raise NotYet(
            f"It should prune 0.8 permanently; yours has intervention={answer.intervention!r} and "
            f"prune_fraction={answer.prune_fraction}."
        )
    if answer.layers != ("conv4",):
        raise NotYet(f"layers={answer.layers}: the dose study prunes conv4.")
    epochs = answer.schedule.epochs
    if epochs[0] != 5 or len(epochs) != 9:
        raise NotYet(f"Its events are {epochs}; there should be nine, from 5 on.")
    if epochs[-1] != 21:
        raise NotYet(f"The last event is {epochs[-1]}; nine evenly spaced events can end at 21.")
    return "Nine events, two epochs apart. Whether they gain less than three events do is a question for a sweep."


def _own_study(answer) -> str:
    frame, found = own_study(answer, "late", "early")
    pruned = {"epochs": 30, "intervention": "prune", "target": "random", "prune_fraction": 0.8, "layers": "conv4"}
    events = {"n_events": 2, "start": 3}
    same_in_arms(frame, {arm: pruned | events | {"end": end} for arm, end in (("early", 11), ("late", 19))})
    milestones_in_all_runs(frame, (20, 26))
    return f"{interval(found)}. The dose and the number of events were the same; only the date of the second event differed."


CHECKS: dict[str, Check] = {
    "3.1": Number(
        10,
        0,
        "Epochs 30 to 39, at the full learning rate. With a period of 2, none are left.",
        {
            11: "The last event comes after the training of epoch 29; which epochs are trained between that and epoch 40?",
            4: "The last event is at epoch 29: 5, 17, 29. The next would be 41.",
            12: "That is the period itself.",
        },
    ),
    "3.2": Measured(_pairing),
    "3.3": Measured(_unfair),
    "3.4": _control,
    "3.5": _own_study,
}
