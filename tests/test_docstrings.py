"""Every public name says what it takes and what it raises."""

import inspect
import re

import pytest

import gst_tutorial as gst

# Classes whose values are made by the package and never by a reader, and what cannot go wrong.
NOTHING_TO_RAISE = {"PruningEvent", "RunResult", "Diverged", "recorded_names"}
NAMES = [name for name in gst.__all__ if not inspect.ismodule(getattr(gst, name))]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_documents_its_arguments_and_errors(name):
    found = getattr(gst, name)
    documented = inspect.getdoc(found) or ""
    if name == "RunConfig":  # it has the fields of a recipe, too
        documented += inspect.getdoc(gst.Recipe)
    parameters = [] if name == "Diverged" else inspect.signature(found).parameters
    assert [p for p in parameters if not re.search(rf"\b{p}\b", documented)] == []
    if name not in NOTHING_TO_RAISE:
        assert "Raises:" in documented


@pytest.mark.parametrize("name", NAMES)
def test_a_public_function_that_gives_something_says_what(name):
    found = getattr(gst, name)
    gives = inspect.isfunction(found) and inspect.signature(found).return_annotation not in ("None", None)
    said = inspect.getdoc(found) or ""
    first = said.split("\n\n")[0]
    assert (
        not gives
        or "Returns:" in said
        or re.match(r"How many|Which|Share|Fraction|Instability|Names|A copy|Measure", first)
    )
