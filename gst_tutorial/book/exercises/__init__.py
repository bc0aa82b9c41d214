"""Checks for the exercises: each replies in one sentence, which confirms the answer or says what to look at again.

    gst.exercises.check("1.1", answer)

Each chapter has a file with a table `CHECKS` from the number of an exercise to its check (see `answers` and `tabled`). A
check never trains a network for long and never shows the solution. `grade` returns the result as a value, for scripts, and
`answer_box` puts a check into the page.
"""

from __future__ import annotations

import textwrap

from gst_tutorial import _arguments
from gst_tutorial.book.exercises import (
    anatomy,
    flatness,
    images,
    instability,
    network,
    noise,
    pipelines,
    pruning,
    tradeoff,
)
from gst_tutorial.book.exercises.answers import Check
from gst_tutorial.book.exercises.tabled import NotYet

CHECKS: dict[str, Check] = {
    **pruning.CHECKS,
    **instability.CHECKS,
    **tradeoff.CHECKS,
    **noise.CHECKS,
    **flatness.CHECKS,
    **anatomy.CHECKS,
    **pipelines.CHECKS,
    **images.CHECKS,
    **network.CHECKS,
}


def check(exercise: str, answer) -> None:
    """Print whether `answer` solves the exercise, and what to look at again if it does not.

    Args:
        exercise: its number, such as "1.2".
        answer: a number, a list, a config or a function, whichever the exercise asks for.
    """
    solved, sentence = grade(exercise, answer)
    print(textwrap.fill(f"{'Right' if solved else 'Not yet'}. {sentence}", 80, break_on_hyphens=False))


def answer_box(exercise: str):
    """Return the exercise's answer box as the value of a notebook's cell: it needs no kernel, and says what `check` says.

    An exercise that is answered in code gets a hint where to write it.
    """
    from gst_tutorial.book.exercises.box import box_html
    from gst_tutorial.book.figures import card

    _arguments.one_of("exercise", exercise, CHECKS)
    return card.show(box_html(exercise, CHECKS[exercise]))


def grade(exercise: str, answer) -> tuple[bool, str]:
    """Return (True if the answer is right, the sentence that `check` prints). An error in an answer is a sentence as well."""
    _arguments.one_of("exercise", exercise, CHECKS)
    if answer is None:
        return False, "Replace None with your answer, then run the cell again."
    try:
        return True, CHECKS[exercise](answer)
    except NotYet as reason:
        return False, str(reason)
    except Exception as error:  # a user-supplied function may raise anything
        return False, f"The answer could not be checked: {_arguments.error_text(error)}"
