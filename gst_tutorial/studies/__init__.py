"""Studies: grids of runs, from their definition (`study`, `book`, `paper`) to their recorded results (`recorded`)."""

import functools

from gst_tutorial import _arguments
from gst_tutorial.studies import book, paper
from gst_tutorial.studies.study import Arm, Study

__all__ = ["Arm", "Study", "get", "names"]


@functools.cache
def _all() -> dict[str, Study]:
    return {study.name: study for study in [*book.studies(), *paper.studies()]}


def names() -> list[str]:
    """The names of all studies, in the order of the book."""
    return list(_all())


def get(name: str) -> Study:
    """The study of that name; a ValueError suggests the nearest."""
    return _all()[_arguments.one_of("study name", name, _all())]
