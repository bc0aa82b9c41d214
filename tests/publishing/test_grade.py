"""Students' notebooks are graded by running them: what each check says ends up in a table."""

import csv
import subprocess
import sys

import nbformat
import pytest

from tools.notebooks import grade

CELLS = [
    "import gst_tutorial as gst",
    'gst.exercises.check("2.1", 0.5)',  # tried, and corrected below
    'answer = 0.23 / 0.84\ngst.exercises.check("2.1", answer)',
    'answer = 1.0\ngst.exercises.check("2.2", answer)',
    "answer = undefined_name",
    'answer = None\ngst.exercises.check("2.4", answer)',
    '# Solution 2.4\nanswer = "b"\ngst.exercises.check("2.4", answer)',
    'from gst_tutorial.exercises import check\nprint("Right.")\ncheck("2.5", -0.1)',
]


@pytest.fixture(scope="module")
def table(tmp_path_factory, root):
    """The table for one student's notebook and one file that is no notebook, as the command writes it."""
    folder = tmp_path_factory.mktemp("submissions")
    student, broken = folder / "student.ipynb", folder / "broken.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), student)
    broken.write_text("no JSON")
    before = student.read_bytes()
    command = [sys.executable, "-m", "tools.notebooks.grade", broken, student, "--csv", folder / "grades.csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "student.ipynb: 2 of 5 right, 1 errors" in done.stdout
    assert student.read_bytes() == before
    with (folder / "grades.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def result(table, exercise):
    (found,) = [row for row in table if row["exercise"] == exercise]
    return found["result"], found["sentence"]


def test_the_last_answer_to_an_exercise_counts(table):
    assert result(table, "2.1") == ("right", "27% of the accuracy was lost at that moment.")


def test_a_wrong_answer_comes_with_the_sentence_that_helps(table):
    assert result(table, "2.2") == ("not yet", "Even a network that guesses is right one time in ten.")


def test_an_exercise_that_nobody_checked_is_missing_and_one_left_at_none_is_untouched(table):
    assert result(table, "2.3")[0] == "missing"
    assert result(table, "2.4")[0] == "untouched"


def test_solutions_that_came_with_the_book_do_not_count_and_a_check_under_another_name_does(table):
    assert result(table, "2.4")[0] != "right"
    assert result(table, "2.5")[0] == "right"


def test_a_failing_cell_and_a_damaged_file_are_rows_of_their_own_and_stop_nothing(table):
    errors = [(row["notebook"], row["sentence"]) for row in table if row["result"] == "error"]
    assert errors[0][0] == "broken.ipynb"
    assert errors[1] == ("student.ipynb", "cell 5: NameError: name 'undefined_name' is not defined")
    assert len(errors) == 2


def test_a_cell_that_takes_too_long_is_stopped_and_the_rest_still_runs(tmp_path):
    path = tmp_path / "slow.ipynb"
    sources = ["import time\ntime.sleep(600)", 'import gst_tutorial as gst\ngst.exercises.check("1.4", "c")']
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    rows = grade.grade(path, ["1.4"], timeout=30)
    assert [(row["exercise"], row["result"]) for row in rows] == [("1.4", "right"), ("", "error")]
