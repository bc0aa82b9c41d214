"""Checks for the exercises of chapter 3, see `gst_tutorial.exercises`."""

from __future__ import annotations

import math

from gst_tutorial.config import RunConfig
from gst_tutorial.exercises.answers import Check, NotYet, Number, number
from gst_tutorial.statistics import paired_difference
from gst_tutorial.studies.recorded import recorded


def _pairing(answer) -> str:
    expected = 100 * paired_difference(recorded("tradeoff"), "random, period 12").value
    wrong = {expected / 100: "In points, please: multiply by 100.", -expected: "Gain is pruned minus none."}
    number(answer, expected, 0.01, wrong)
    return "The mean of differences is the difference of means; pairing matters for the interval."


def _unfair(answer) -> str:
    if not number(answer, 0.0, math.inf) < 0:
        raise NotYet("It should be negative: take only the pruned runs with prune_fraction 0.8 and 0.95.")
    number(answer, -0.5, 0.3)
    return "Negative. The colleague's runs lie on both sides of the optimum."


def _control(answer) -> str:
    if not isinstance(answer, RunConfig):
        raise NotYet("The answer should be a gst.RunConfig.")
    if answer.intervention != "prune" or answer.events.at_init or answer.prune_fraction != 0.8:
        raise NotYet(
            f"It should prune 0.8 permanently; yours has intervention={answer.intervention!r} and "
            f"prune_fraction={answer.prune_fraction}."
        )
    epochs = answer.schedule.epochs
    if epochs[0] != 5 or len(epochs) != 9:
        raise NotYet(f"Its events are {epochs}; there should be nine, from 5 on.")
    if epochs[-1] != 21:
        raise NotYet(f"The last event is {epochs[-1]}; nine evenly spaced events can end at 21.")
    return "Nine events, two epochs apart. Whether they gain less than three is for a sweep to say."


CHECKS: dict[str, Check] = {
    "3.1": Number(
        10,
        0.1,
        "Epochs 30 to 39, at full learning rate; with period 2 there is none.",
        {
            11: "The last event comes after the training of epoch 29; which epochs are trained between that and epoch 40?",
            4: "The last event is at epoch 29: 5, 17, 29. The next would be 41.",
            12: "That is the period itself.",
        },
    ),
    "3.2": _pairing,
    "3.3": _unfair,
    "3.4": _control,
}
