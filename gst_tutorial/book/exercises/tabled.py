"""Checks that are tables: a row for each answer that is expected, right or wrong, with the sentence that it gets.

Python and the page read the same table, so an exercise says the same in both: a check that is called with an answer looks it up
here, and `box.answer_box` sends the table to the page, where a script looks it up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


class NotYet(Exception):
    """Raised if an answer is not right; the message says what to look at again."""


@dataclass(frozen=True)
class Row:
    """One row: the answers it is about, whether they are right, and what the reader is told.

    `about` is a letter, or [lowest, highest] of a number, or a list of numbers in which None stands for any.
    """

    about: Any
    right: bool
    sentence: str


NO_NUMBER = "The answer should be a number."


def a_number(answer) -> float:
    """Return the answer as a float, or raise `NotYet` if it is not a number."""
    if isinstance(answer, bool) or not hasattr(answer, "__float__"):
        raise NotYet(NO_NUMBER)
    if math.isnan(value := float(answer)):
        raise NotYet("The answer is NaN, which is no number: look for a division by zero or for missing values.")
    return value


class Table:
    """A check made of rows; the first row that fits decides. `malformed` answers what cannot be an answer at all."""

    kind: str
    rows: Sequence[Row]
    malformed: str
    otherwise: str

    def read(self, answer) -> Any:
        """Return the answer in the form that the rows know, or raise `NotYet`."""
        raise NotImplementedError

    def fits(self, row: Row, given) -> bool:
        """Return whether the row is about this answer."""
        return row.about == given

    def __call__(self, answer) -> str:
        given = self.read(answer)
        row = next((row for row in self.rows if self.fits(row, given)), Row(None, False, self.otherwise))
        if not row.right:
            raise NotYet(row.sentence)
        return row.sentence

    def data(self) -> dict[str, Any]:
        """Return the table for the page."""
        rows = [[row.about, row.right, row.sentence] for row in self.rows]
        return {"kind": self.kind, "rows": rows, "malformed": self.malformed, "otherwise": self.otherwise}


@dataclass(frozen=True)
class Number(Table):
    """A check that accepts a number, correctly rounded.

    Attributes:
        expected: the exact answer.
        decimals: how many the exercise asks for. Any answer that rounds to the right one is right, and so is the answer with
            more digits; where the exact answer needs no rounding, only that one is right.
        right: the sentence that a right answer gets.
        wrong: a sentence for each plausible wrong number, which may be rounded in the same way.
        fraction: whether the answer lies between 0 and 1, so that somebody may give it in percent.
    """

    expected: float
    decimals: int
    right: str
    wrong: Mapping[float, str] = field(default_factory=dict)
    fraction: bool = False

    kind = "number"
    malformed = NO_NUMBER
    otherwise = "That is not it, and it is none of the mistakes we expected. Write down each step."

    @cached_property
    def rows(self) -> list[Row]:
        low, high = self._rounded(self.expected)
        rows = [Row([low, high], True, self.right)]
        rows += [Row(self._rounded(mistake), False, sentence) for mistake, sentence in self.wrong.items()]
        if self.fraction:
            percent = "That is the right number in percent. Give it as a fraction between 0 and 1: divide by 100."
            rows.append(Row([100 * low, 100 * high], False, percent))
        if self.decimals:
            unit = max(10.0**-self.decimals, 0.02 * abs(self.expected))
            digits = f"{self.decimals} decimal{'s' * (self.decimals > 1)}"
            close = f"Close. Keep every digit until the end, and only then round to {digits}."
            rows.append(Row([low - unit, high + unit], False, close))
        return rows

    def _rounded(self, value: float) -> list[float]:
        """The range of answers that are `value`, as exactly as the exercise asks for it; a count is exact."""
        slack = 1e-6 * max(1.0, abs(value))
        if self.decimals and abs(round(value, self.decimals) - value) > slack:
            slack += 0.5 * 10.0**-self.decimals
        return [value - slack, value + slack]

    def read(self, answer) -> float:
        return a_number(answer)

    def fits(self, row: Row, given: float) -> bool:
        return row.about[0] <= given <= row.about[1]


@dataclass(frozen=True)
class Letter(Table):
    """A check that accepts one letter; each of the others has a sentence."""

    expected: str
    right: str
    wrong: Mapping[str, str]

    kind = "letter"

    @property
    def letters(self) -> list[str]:
        """The letters to choose from."""
        return sorted([self.expected, *self.wrong])

    @property
    def malformed(self) -> str:
        return f"Answer with one of the letters {', '.join(self.letters)}."

    otherwise = malformed

    @cached_property
    def rows(self) -> list[Row]:
        return [Row(self.expected, True, self.right), *(Row(letter, False, say) for letter, say in self.wrong.items())]

    def read(self, answer) -> str:
        return str(answer).strip().strip("()").lower()


@dataclass(frozen=True)
class Counts(Table):
    """A check that accepts a list of whole numbers; `wrong` has a sentence for each list, where None stands for any number."""

    expected: tuple[int, ...]
    right: str
    wrong: Mapping[tuple[int | None, ...], str]
    otherwise: str

    kind = "counts"

    @property
    def malformed(self) -> str:
        return f"The answer should be a list of {len(self.expected)} whole numbers."

    @cached_property
    def rows(self) -> list[Row]:
        rows = [Row(list(self.expected), True, self.right)]
        return rows + [Row(list(mistake), False, sentence) for mistake, sentence in self.wrong.items()]

    def read(self, answer) -> list:
        if (
            isinstance(answer, str)
            or not hasattr(answer, "__iter__")
            or len(found := list(answer)) != len(self.expected)
        ):
            raise NotYet(self.malformed)
        return found

    def fits(self, row: Row, given: list) -> bool:
        return all(wanted in (None, found) for wanted, found in zip(row.about, given, strict=True))


@dataclass(frozen=True)
class Measured:
    """A check whose number comes from recorded runs: `make` builds it when it is first needed."""

    make: Callable[[], Number]

    @cached_property
    def table(self) -> Number:
        """The check itself."""
        return self.make()

    def __call__(self, answer) -> str:
        return self.table(answer)
