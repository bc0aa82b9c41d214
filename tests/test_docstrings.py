"""Every public name documents its arguments and errors; docstrings and test names follow the style guide."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import gst_tutorial as gst

ROOT = Path(__file__).resolve().parents[1]
# Classes whose instances only the package makes, and functions that cannot fail.
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


def definitions(folder):
    """Yield (name, docstring) of every module, class and function in the folder."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                yield getattr(node, "name", path.stem), ast.get_docstring(node) or ""


def test_docstrings_begin_with_a_verb_or_a_noun_phrase():
    question = re.compile(r"\W*(What|Whether|Where|How)\b")
    found = definitions("gst_tutorial")
    assert [name for name, docstring in found if question.match(docstring)] == []


def test_test_names_have_at_most_70_characters():
    names = [name for name, _ in definitions("tests") if name.startswith("test_")]
    assert len(names) > 100
    assert [name for name in names if len(name) > 70] == []
