"""What the checks of exercises share: accepting a number or a letter, and saying what is wrong with another.

A check is anything that takes an answer and returns the sentence that closes the exercise, or raises `NotYet` with what to
look at again. `Number` and `Letter` are checks that are written as data; the others are functions, which may use `number`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

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
