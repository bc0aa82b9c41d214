"""The named studies: those of the chapters on signals (`book`), on photographs, on fresh seeds, and the paper's protocols."""

from gst_tutorial.book.studies import barriers, book, fresh_seeds, paper, photographs, shifts
from gst_tutorial.studies.study import Study


def studies() -> list[Study]:
    """All named studies, in the order of the book."""
    return [
        *book.studies(),
        *photographs.studies(),
        *fresh_seeds.studies(),
        barriers.barriers(),
        shifts.unshifted_signals(),
        shifts.headroom(),
        *paper.studies(),
    ]
