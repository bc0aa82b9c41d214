"""Figures that move: small models drawn and computed in the page, each of one mechanism that a chapter explains. ::

    gst.figures.mechanism("arrow")

The reader sets a slider or presses Play; a short script in the figure computes what follows and writes it down in a sentence.
Nothing is loaded and no kernel is needed. Without scripts the first state stays on the page as a picture with its sentence:
Python draws that one, from the same formulas, so `tests/figures/test_mechanisms.py` can hold the script against it.

A mechanism is a module here (`signal`, `valley`, `arrow`, `head`) with a `build()` and a script of the same name;
`frame` is what they share.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gst_tutorial import _arguments as check
from gst_tutorial.book.figures import card

if TYPE_CHECKING:
    from IPython.display import HTML

#: What each mechanism shows.
MECHANISMS = {
    "signal": "a signal passes through a filter, batch norm, the mask and a relu (chapter 1)",
    "valley": "a ball that is shaken in a sharp and in a flat valley (chapter 5)",
    "arrow": "a filter as an arrow that gradient steps turn and lengthen (chapter 6)",
    "head": "a head that reads positions and one that averages, on a shifted signal (chapter 7)",
}

__all__ = ["MECHANISMS", "mechanism"]


def mechanism(name: str) -> HTML:
    """Return one of the moving figures, a name of `MECHANISMS`, as the value of a notebook's cell."""
    check.one_of("name", name, MECHANISMS)
    return card.show(importlib.import_module(f"{__name__}.{name}").build())
