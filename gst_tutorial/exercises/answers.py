"""What the checks of exercises share: accepting a number or a letter, and saying what is wrong with another.

A check is anything that takes an answer and returns the sentence that closes the exercise, or raises `NotYet` with what to
look at again. `Number` and `Letter` are checks that are written as data; the others are functions, which may use `number`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

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
        raise NotYet(f"{value:g} is too {'large' if value > expected else 'small'}.")
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
