"""What the checks of exercises share: accepting a number or a letter, and saying what is wrong with another."""

from __future__ import annotations

import math


class NotYet(Exception):
    """The answer is not right; the message says what to look at."""


def number(answer, expected: float, tolerance: float, hints: dict[float, str] | None = None) -> None:
    """Accept a number within `tolerance` of `expected`; `hints` maps plausible wrong answers to what went wrong."""
    if isinstance(answer, bool) or (not isinstance(answer, (int, float)) and not hasattr(answer, "__float__")):
        raise NotYet(f"The answer should be a number, not {type(answer).__name__}.")
    value = float(answer)
    for wrong, hint in (hints or {}).items():
        if math.isclose(value, wrong, abs_tol=tolerance):
            raise NotYet(hint)
    if not abs(value - expected) <= tolerance:
        raise NotYet(f"{value:g} is too {'large' if value > expected else 'small'}.")


def letter(answer, expected: str, hints: dict[str, str]) -> None:
    """Accept one letter; `hints` has a sentence for each of the others."""
    given = str(answer).strip().strip("()").lower()
    if given != expected:
        raise NotYet(hints.get(given, f"Answer with one of the letters {', '.join(sorted([expected, *hints]))}."))
