"""Checks for the exercises: each says in a sentence what is right or what to look at again.

    gst.exercises.check("1.1", answer)

The checks of each chapter stand in a file of their own, as a table `CHECKS` from the exercise's number to its check (see
`gst_tutorial.answers`). A check never trains a network for long and never shows the solution. `grade` gives the same as a
value, for scripts.
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
from gst_tutorial.book.exercises.answers import Check, NotYet

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
        answer: what the exercise asks for: a number, a list, a config or a function.
    """
    solved, sentence = grade(exercise, answer)
    print(textwrap.fill(f"{'Right' if solved else 'Not yet'}. {sentence}", 80, break_on_hyphens=False))


def grade(exercise: str, answer) -> tuple[bool, str]:
    """(whether the answer is right, the sentence that `check` prints). Errors inside an answer are sentences, too."""
    _arguments.one_of("exercise", exercise, CHECKS)
    if answer is None:
        return False, "Replace None with your answer, then run the cell again."
    try:
        return True, CHECKS[exercise](answer)
    except NotYet as reason:
        return False, str(reason)
    except Exception as error:  # a reader's own function may fail in any way; say how
        return False, f"The answer could not be checked: {_arguments.error_text(error)}"
