"""The exercises of each chapter as a notebook for a class."""

import re

import nbformat
import pytest

from gst_tutorial.book.exercises import CHECKS
from tools.notebooks import grade
from tools.publish import exercises as make_exercises


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    files = make_exercises.write(tmp_path_factory.mktemp("exercises"))
    return {path: nbformat.read(path, as_version=4) for path in files}


def test_every_exercise_is_in_one_notebook_and_its_solution_in_none(made):
    asked = []
    for notebook in made.values():
        text = "\n".join(cell.source for cell in notebook.cells)
        asked += re.findall(r'^gst\.exercises\.check\("([\d.]+)"', text, flags=re.MULTILINE)
        assert not re.search(r"@title Solution|^# Solution|<details>", text, flags=re.MULTILINE)
        assert not any(cell.get("outputs") for cell in notebook.cells)
    assert sorted(asked) == sorted(CHECKS)


def test_cells_to_answer_in_are_open_and_the_chapters_are_folded(made):
    for notebook in made.values():
        for cell in notebook.cells:
            if "answer = None" in cell.source:
                assert "jupyter" not in cell.metadata
            if "%pip install" in cell.source:
                assert cell.metadata["cellView"] == "form"


@pytest.mark.slow
def test_a_filled_in_notebook_is_graded(made, tmp_path):
    path, notebook = next((path, each) for path, each in made.items() if path.name.startswith("exercises_04"))
    for cell in notebook.cells:
        if 'check("4.2"' in cell.source:
            cell.source = 'answer = -0.1\ngst.exercises.check("4.2", answer)'
        if 'check("4.4"' in cell.source:  # the names that the chapter gave are there
            cell.source = 'assert short != jolt\nanswer = None\ngst.exercises.check("4.4", answer)'
    nbformat.write(notebook, tmp_path / path.name)
    rows = {row["exercise"]: row["result"] for row in grade.grade(tmp_path / path.name)}
    assert rows == {"4.1": "untouched", "4.2": "right", "4.3": "untouched", "4.4": "untouched"}
