"""What the checks of exercises share: accepting a number or a letter, and saying what is wrong with another.

A check is anything that takes an answer and returns the sentence that closes the exercise, or raises `NotYet` with what to
look at again. `Number` and `Letter` are checks that are written as data; the others are functions, which may use `number`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from gst_tutorial import statistics
from gst_tutorial.masks import PrunableLayer

Check = Callable[..., str]


class NotYet(Exception):
    """The answer is not right; the message says what to look at."""


@dataclass(frozen=True)
class Number:
    """A check that accepts a number within `tolerance` of `expected`; each plausible wrong number has a sentence."""

    expected: float
    tolerance: float
    right: str
    wrong: dict[float, str] = field(default_factory=dict)

    def __call__(self, answer) -> str:
        number(answer, self.expected, self.tolerance, self.wrong)
        return self.right


@dataclass(frozen=True)
class Letter:
    """A check that accepts one letter; each of the others has a sentence."""

    expected: str
    right: str
    wrong: dict[str, str]

    def __call__(self, answer) -> str:
        given = str(answer).strip().strip("()").lower()
        if given != self.expected:
            letters = ", ".join(sorted([self.expected, *self.wrong]))
            raise NotYet(self.wrong.get(given, f"Answer with one of the letters {letters}."))
        return self.right


def number(answer, expected: float, tolerance: float, wrong: dict[float, str] | None = None) -> float:
    """Return `answer` as a float if it is within `tolerance` of `expected`; `wrong` maps plausible numbers to sentences."""
    if isinstance(answer, bool) or (not isinstance(answer, (int, float)) and not hasattr(answer, "__float__")):
        raise NotYet(f"The answer should be a number, not {type(answer).__name__}.")
    value = float(answer)
    if math.isnan(value):
        raise NotYet("The answer is NaN, which is no number: look for a division by zero or for missing values.")
    for mistake, sentence in (wrong or {}).items():
        if math.isclose(value, mistake, abs_tol=tolerance):
            raise NotYet(sentence)
    if not abs(value - expected) <= tolerance:
        raise NotYet(f"{value:g} is not it, and it is none of the mistakes known here: write down each step.")
    return value


def scores_by(answer, layer: PrunableLayer, call: str) -> torch.Tensor:
    """What the reader's score function gives for a layer, `(C,)`; `call` is how its exercise is checked."""
    if not callable(answer):
        raise NotYet(f"The answer should be the function itself: {call}, without calling it.")
    scores = answer(layer, None, None)
    if scores is None:
        raise NotYet("The function returns None so far.")
    scores, n = torch.as_tensor(scores), layer.mask.n_filters
    if scores.shape != (n,):
        raise NotYet(
            f"The score should be one number per filter, shape ({n},) in this test; it is {tuple(scores.shape)}."
        )
    return scores


def own_networks(answer, again: Callable[[int], float], tolerance: float, wrong_way: str, n_seeds: int = 6):
    """The estimate that a reader's own networks give, one number each; the reader's verdict must fit its interval.

    Args:
        answer: ({seed: number}, verdict), the verdict a word or two of `statistics.conclusion`.
        again: trains the network of a seed once more and measures its number. The last seed is tried.
        tolerance: how far the reader's number may be from that. wrong_way: what to say if its sign is turned.
    """
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not isinstance(answer[0], Mapping):
        raise NotYet("The answer should be (numbers by seed, verdict): ({0: ..., 1: ..., ...}, 'above zero').")
    numbers, said = answer
    if len(numbers) < n_seeds:
        raise NotYet(f"There are {len(numbers)} networks; train at least {n_seeds}, each with a seed of its own.")
    if not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in numbers):
        raise NotYet("The keys should be the seeds, whole numbers from 0 up.")
    numbers = {seed: number(value, 0.0, math.inf) for seed, value in numbers.items()}
    if any(abs(value) > 1 for value in numbers.values()):
        raise NotYet("Each number lies between -1 and 1; accuracies are shares here, not percentages.")
    if len(set(numbers.values())) == 1:
        raise NotYet("All networks give the same number. Is each trained with its own seed?")
    words = {word.removesuffix(" from zero") for word in statistics.CONCLUSIONS.values()}
    said = str(said).strip().lower().removesuffix(" from zero")
    if said not in words:
        raise NotYet(f"The verdict should be one of {', '.join(sorted(map(repr, words)))}.")
    found = statistics.mean_estimate(list(numbers.values()), "the mean")
    if said != statistics.conclusion(found):
        raise NotYet("Look at the interval of the mean again: does it hold zero, and if not, on which side is it?")
    seed = list(numbers)[-1]
    expected = again(seed)
    if abs(numbers[seed] - expected) > tolerance:
        turned = abs(numbers[seed] + expected) <= tolerance
        raise NotYet(
            wrong_way
            if turned
            else f"Trained again, the network of seed {seed} gives another number: compare recipe, layer, share and score."
        )
    return found


def own_network(seed: int):
    """The trained network of a seed as the exercises of chapters 1 and 2 ask for it, and its data."""
    from gst_tutorial.config import RunConfig
    from gst_tutorial.experiment import run

    result = run(RunConfig(seed=seed).replace(epochs=15, milestones=(), evaluate_every=15))
    return result.model, result.dataset
