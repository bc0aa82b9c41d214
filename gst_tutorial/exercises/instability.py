"""Checks for the exercises of chapter 2, see `gst_tutorial.exercises`."""

from __future__ import annotations

from gst_tutorial.exercises.answers import Check, Letter, NotYet, Number, number
from gst_tutorial.pruning import PruneSchedule


def _stable_schedule(answer) -> str:
    if not isinstance(answer, PruneSchedule):
        raise NotYet("The answer should be a gst.PruneSchedule(start, end, retrain_period).")
    if answer.start != 5 or answer.epochs[-1] != 23:
        raise NotYet(f"Its events are {answer.epochs}; the first should be 5 and the last 23.")
    if answer.n_events < 10:
        raise NotYet(f"{answer.n_events} events take {0.9 / answer.n_events:.0%} each; make more, smaller ones.")
    return f"{answer.n_events} events of {0.9 / answer.n_events:.1%} of the layer each."


def _specialists(answer) -> str:
    if number(answer, 0.0, 1.0) > -0.3:
        return (
            "Weak, if it is there at all: being a specialist explains little of E[BN]'s ranking. "
            "Our reading was a guess, and it fails."
        )
    return (
        "Clearly negative: filters with a small E[BN] are more selective. That fits our reading, and does not prove it."
    )


CHECKS: dict[str, Check] = {
    "2.1": Number(
        (0.84 - 0.61) / 0.84,
        0.005,
        "27% of the accuracy was lost at that moment.",
        {
            0.23: "That is the drop in points. Divide by the accuracy before.",
            0.23 / 0.61: "Divide by the accuracy before the event, not after.",
            0.61 / 0.84: "That is the share that survived, the stability.",
        },
    ),
    "2.2": Number(
        1 - 0.1 / 0.8,
        0.005,
        "Instability has a ceiling below 1, because guessing is sometimes right.",
        {
            1.0: "Even a network that guesses is right one time in ten.",
            0.7: "Divide the drop by 0.8.",
        },
    ),
    "2.3": _stable_schedule,
    "2.4": Letter(
        "b",
        "The error falls with the square root of the number of test examples: four times as many, half the error.",
        {
            "a": "A smaller drop does not make the test set larger; look at what the test set decides.",
            "c": "Retraining longer changes what is measured, not how precisely.",
        },
    ),
    "2.5": _specialists,
}
