"""Checks for the exercises: each says in a sentence what is right or what to look at again.

    gst.exercises.check("1.1", answer)

The checks of chapters 4 and 5 stand in files of their own. A check never trains a network for long and never shows the
solution. `grade` gives the same as a value, for scripts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from gst_tutorial import checks, exercises_flatness, exercises_noise
from gst_tutorial.answers import NotYet, letter, number
from gst_tutorial.config import RunConfig
from gst_tutorial.models import conv1d_net, prunable_layers
from gst_tutorial.pruning import PruneSchedule, kept_filters
from gst_tutorial.recording import recorded
from gst_tutorial.statistics import paired_difference


def check(exercise: str, answer) -> None:
    """Print whether `answer` solves the exercise, and what to look at again if it does not.

    Args:
        exercise: its number, such as "1.2".
        answer: what the exercise asks for: a number, a list, a config or a function.
    """
    solved, sentence = grade(exercise, answer)
    print(f"{'Right' if solved else 'Not yet'}. {sentence}")


def grade(exercise: str, answer) -> tuple[bool, str]:
    """(whether the answer is right, the sentence that `check` prints). Errors inside an answer are sentences, too."""
    checks.one_of("exercise", exercise, _CHECKS)
    if answer is None:
        return False, "Replace None with your answer, then run the cell again."
    try:
        return True, _CHECKS[exercise](answer)
    except NotYet as reason:
        return False, str(reason)
    except Exception as error:  # a reader's own function may fail in any way; say how
        return False, f"The answer could not be checked: {type(error).__name__}: {error}"


# --- chapter 1 -------------------------------------------------------------------------------------------------------


def _count(answer) -> str:
    expected = kept_filters(128, 0.7, 4)
    answer = [int(value) for value in answer]
    if len(answer) != 4:
        raise NotYet(f"There are four events, so four numbers; you gave {len(answer)}.")
    if answer[-1] == 38:
        raise NotYet("0.3 x 128 is 38.4, and what is left is rounded up.")
    if answer == [128 - kept for kept in expected]:
        raise NotYet("These are the filters removed; the question asks for those left.")
    if answer != expected:
        raise NotYet("The last should be ceil(0.3 x 128); the way there is a straight line, each step rounded up.")
    return "Four events, 39 filters left at the end."


def _negative_scale(answer) -> str:
    number(
        answer,
        2 / math.sqrt(2 * math.pi),
        0.006,
        {-2 / math.sqrt(2 * math.pi): "The spread is |gamma|: an expected relu cannot be negative.",
         1 / math.sqrt(2 * math.pi): "You have phi(0); it is still to be multiplied by |gamma| = 2.",
         0.0: "beta is 0, but relu keeps the positive half of the values, whose mean is not 0."},
    )  # fmt: skip
    return "With beta = 0, E[BN] is |gamma| phi(0); the sign of gamma does not matter."


def _scale_score(answer) -> str:
    if not callable(answer):
        raise NotYet("The answer should be the function itself: check('1.3', scale_score), without calling it.")
    layer = prunable_layers(conv1d_net(channels=(4, 4), strides=(1, 1)))["conv2"]
    scale = torch.tensor([-3.0, 1.0, 0.5, -0.25])
    with torch.no_grad():
        layer.norm.weight.copy_(scale)
    scores = answer(layer, None, None)
    if scores is None:
        raise NotYet("The function returns None so far.")
    scores = torch.as_tensor(scores)
    if scores.shape != (4,):
        raise NotYet(
            f"The score should be one number per filter, shape (4,) in this test; it is {tuple(scores.shape)}."
        )
    if torch.allclose(scores.float(), scale):
        raise NotYet("A filter with scale -3 speaks as loudly as one with +3: take the absolute value.")
    if not torch.allclose(scores.float(), scale.abs()):
        raise NotYet("The scores are not |gamma|; layer.norm.weight holds gamma.")
    if scores.requires_grad:
        raise NotYet("Right numbers, but they carry a gradient; detach them.")
    return "Any such function can be passed as score= to gst.prune_filters."


def _design(answer) -> str:
    letter(
        answer,
        "c",
        {"a": "More test examples say more about this one network, and nothing about the next.",
         "b": "Many shares of one network are still one network; another seed may turn the order round."},
    )  # fmt: skip
    return "The claim is about networks, so networks must be repeated; pairing removes what both targets share."


# --- chapter 2 -------------------------------------------------------------------------------------------------------


def _instability(answer) -> str:
    number(
        answer,
        (0.84 - 0.61) / 0.84,
        0.005,
        {0.23: "That is the drop in points. Divide by the accuracy before.",
         0.23 / 0.61: "Divide by the accuracy before the event, not after.",
         0.61 / 0.84: "That is the share that survived, the stability."},
    )  # fmt: skip
    return "27% of the accuracy was lost at that moment."


def _guessing(answer) -> str:
    number(
        answer,
        1 - 0.1 / 0.8,
        0.005,
        {1.0: "Even a network that guesses is right one time in ten.", 0.7: "Divide the drop by 0.8."},
    )
    return "Instability has a ceiling below 1, because guessing is sometimes right."


def _stable_schedule(answer) -> str:
    if not isinstance(answer, PruneSchedule):
        raise NotYet("The answer should be a gst.PruneSchedule(start, end, retrain_period).")
    if answer.start != 5 or answer.epochs[-1] != 23:
        raise NotYet(f"Its events are {answer.epochs}; the first should be 5 and the last 23.")
    if answer.n_events < 10:
        raise NotYet(f"{answer.n_events} events take {0.9 / answer.n_events:.0%} each; make more, smaller ones.")
    return f"{answer.n_events} events of {0.9 / answer.n_events:.1%} of the layer each."


def _error_bar(answer) -> str:
    letter(
        answer,
        "b",
        {"a": "A smaller drop does not make the test set larger; look at what the test set decides.",
         "c": "Retraining longer changes what is measured, not how precisely."},
    )  # fmt: skip
    return "The error falls with the square root of the number of test examples: four times as many, half the error."


def _specialists(answer) -> str:
    number(answer, 0.0, 1.0)
    if float(answer) > -0.3:
        return (
            "Weak, if it is there at all: being a specialist explains little of E[BN]'s ranking. "
            "Our reading was a guess, and it fails."
        )
    return (
        "Clearly negative: filters with a small E[BN] are more selective. That fits our reading, and does not prove it."
    )


# --- chapter 3 -------------------------------------------------------------------------------------------------------


def _confounder(answer) -> str:
    number(
        answer,
        11,
        0.1,
        {6: "The last event is at epoch 29: 5, 17, 29. The next would be 41.", 12: "That is the period itself."},
    )
    return "Eleven epochs at full learning rate; with period 2 it is one."


def _pairing(answer) -> str:
    frame = recorded("tradeoff")
    expected = 100 * paired_difference(frame, "random, period 12").value
    number(
        answer,
        expected,
        0.01,
        {expected / 100: "In points, please: multiply by 100.", -expected: "Gain is pruned minus none."},
    )
    return "The mean of differences is the difference of means; pairing matters for the interval."


def _unfair(answer) -> str:
    if not float(answer) < 0:
        raise NotYet("It should be negative: take only the pruned runs with prune_fraction 0.8 and 0.95.")
    number(answer, -0.5, 0.3)
    return "Negative. The colleague's runs lie on both sides of the optimum."


def _control(answer) -> str:
    if not isinstance(answer, RunConfig):
        raise NotYet("The answer should be a gst.RunConfig.")
    if answer.method != "prune" or answer.prune_fraction != 0.8:
        raise NotYet(
            f"It should prune 0.8 permanently; yours has method={answer.method!r}, prune_fraction={answer.prune_fraction}."
        )
    epochs = answer.schedule.epochs
    if epochs[0] != 5 or len(epochs) != 9:
        raise NotYet(f"Its events are {epochs}; there should be nine, from 5 on.")
    if epochs[-1] != 21:
        raise NotYet(f"The last event is {epochs[-1]}; nine evenly spaced events can end at 21.")
    return "Nine events, two epochs apart. Whether they gain less than three is for a sweep to say."


_CHECKS: dict[str, Callable[..., str]] = {
    "1.1": _count,
    "1.2": _negative_scale,
    "1.3": _scale_score,
    "1.4": _design,
    "2.1": _instability,
    "2.2": _guessing,
    "2.3": _stable_schedule,
    "2.4": _error_bar,
    "2.5": _specialists,
    "3.1": _confounder,
    "3.2": _pairing,
    "3.3": _unfair,
    "3.4": _control,
    **exercises_noise.CHECKS,
    **exercises_flatness.CHECKS,
}
