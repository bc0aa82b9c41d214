"""The named studies: those of the chapters (`book`) and the paper's protocols (`paper`)."""

from gst_tutorial.book.studies import book, paper
from gst_tutorial.studies.study import Study


def studies() -> list[Study]:
    """All named studies, in the order of the book."""
    return [*book.studies(), *paper.studies()]
