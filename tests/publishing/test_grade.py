"""Students' notebooks are graded by running them: what each check says ends up in a table."""

import csv
import json
import os
import subprocess
import sys
import time

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
    'from gst_tutorial.book.exercises import check\nprint("Right.")\ncheck("2.3", gst.PruneSchedule(5, 23, 1))',
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


def test_last_answer_to_an_exercise_counts(table):
    assert result(table, "2.1") == ("right", "27% of the accuracy was lost at that moment.")


def test_wrong_answer_comes_with_the_sentence_that_helps(table):
    assert result(table, "2.2") == ("not yet", "Even a network that guesses is right one time in ten.")


def test_unchecked_exercise_is_missing_and_none_is_untouched(table):
    assert result(table, "2.5")[0] == "missing"
    assert result(table, "2.4")[0] == "untouched"


def test_book_solutions_do_not_count_and_imported_checks_do(table):
    assert result(table, "2.4")[0] != "right"
    assert result(table, "2.3")[0] == "right"


def test_failing_cell_and_damaged_file_are_rows_and_stop_nothing(table):
    errors = [(row["notebook"], row["sentence"]) for row in table if row["result"] == "error"]
    assert errors[0][0] == "broken.ipynb"
    assert errors[1] == ("student.ipynb", "cell 5: NameError: name 'undefined_name' is not defined")
    assert len(errors) == 2


def test_cell_that_takes_too_long_is_stopped_and_the_rest_still_runs(tmp_path):
    path = tmp_path / "slow.ipynb"
    sources = ["import time\ntime.sleep(600)", 'import gst_tutorial as gst\ngst.exercises.check("1.4", "c")']
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    rows = grade.grade(path, ["1.4"], timeout=30)
    assert [(row["exercise"], row["result"]) for row in rows] == [("1.4", "right"), ("", "error")]


def notebook(path, *sources):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]), path)
    return path


def results(rows):
    return [(row["exercise"], row["result"]) for row in rows]


def display_of(payload):
    return f"from IPython.display import display\ndisplay({{{grade.SAID!r}: {json.dumps(payload)!r}}}, raw=True)"


CORRECT = 'import gst_tutorial as gst\ngst.exercises.check("1.4", "c")'


def test_right_cannot_be_forged(tmp_path):
    path = notebook(
        tmp_path / "forged.ipynb",
        "%%javascript\n0",
        display_of({"exercise": "1.4", "answer": "a", "result": "right", "solved": True, "sentence": "Well done."}),
        "import gst_tutorial.book.exercises as e\n"
        "e.grade = lambda *_: (True, 'Right.')\ne.check('1.2', 5.0)\ne.check('1.3', abs)",
        display_of({"exercise": "12.7", "answer": "a"}),
        display_of(["right"]),
    )
    forged = nbformat.read(path, as_version=4)
    said = {"exercise": "1.1", "result": "right", "answer": [106, 84, 61, 39], "solved": True, "sentence": ""}
    forged.cells[0].outputs = [nbformat.v4.new_output("display_data", data={grade.SAID: json.dumps(said)})]
    forged.cells[0].metadata["tags"] = ["skip-execution"]  # a cell that never runs keeps what it came with
    nbformat.write(forged, path)
    rows = grade.grade(path, ["1.1", "1.2", "1.3", "1.4"])
    assert results(rows)[:4] == [("1.1", "missing"), ("1.2", "not yet"), ("1.3", "claimed"), ("1.4", "not yet")]
    assert [row["result"] for row in rows[4:]] == ["error"] * 2
    assert all("not from a check" in row["sentence"] for row in rows[4:])


OWN_STUDY = """
import pandas as pd
arm = dict(epochs=30, intervention="prune", target="random", prune_fraction=0.8, layers="conv4", n_events=2, start=3)
arm |= dict(milestones=[(20, 26)] * 5, seed=range(5), instability=0.5)
early = pd.DataFrame(arm | dict(label="early", end=11, final_accuracy=[0.80, 0.81, 0.79, 0.80, 0.82]))
late = pd.DataFrame(arm | dict(label="late", end=19, final_accuracy=[0.78, 0.78, 0.77, 0.77, 0.80]))
frame = pd.concat([early, late]).assign(hash=range(10))
gst.exercises.check("3.5", (frame, "below zero"))
"""
OWN_NUMBERS = """
from gst_tutorial.book.exercises.pruning import smallest_minus_largest
numbers = {seed: 0.1 * seed for seed in range(5)} | {5: smallest_minus_largest(5)}
for verdict in ("above zero", "not distinguishable from zero", "below zero"):
    if gst.exercises.grade("1.5", (numbers, verdict))[0]:
        gst.exercises.check("1.5", (numbers, verdict))
"""


def test_answers_of_every_kind_are_graded_again_outside_the_kernel(tmp_path):
    path = notebook(
        tmp_path / "good.ipynb",
        "import gst_tutorial as gst, numpy as np, torch",
        'gst.exercises.check("1.1", np.array(gst.kept_filters(128, 0.7, 4)))',
        'gst.exercises.check("1.2", torch.tensor(0.798))',
        'gst.exercises.check("2.3", gst.PruneSchedule(5, 23, 1))',
        'c = gst.RunConfig(intervention="prune", prune_fraction=0.8, schedule=gst.PruneSchedule(5, 21, 2))',
        'gst.exercises.check("3.4", c)',
        'gst.exercises.check("4.4", gst.statistics.Estimate("mine", 0.026, 0.012, 0.040, 5))',
        OWN_STUDY,
        OWN_NUMBERS,
    )
    rows = grade.grade(path)
    right = {exercise for exercise, result in results(rows) if result == "right"}
    assert right == {"1.1", "1.2", "1.5", "2.3", "3.4", "3.5", "4.4"}, rows
    assert "error" not in {row["result"] for row in rows}, rows


STUBBORN = """
import time
while True:
    try:
        time.sleep(1)
    except KeyboardInterrupt:
        pass
"""


def test_misbehaving_notebook_stops_no_other(tmp_path, root, monkeypatch):
    paths = [
        notebook(tmp_path / "a stubborn.ipynb", CORRECT, STUBBORN, STUBBORN, STUBBORN),
        notebook(tmp_path / "b floods.ipynb", CORRECT, "while True: print('x' * 10**6)"),
        notebook(tmp_path / "c parent.ipynb", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"),
        notebook(
            tmp_path / "=d formula.ipynb",
            CORRECT,
            "raise ValueError('\\ud800')",
            "raise type('=1+1', (Exception,), {})('x')",
        ),
        tmp_path / "e shape.ipynb",
        notebook(tmp_path / "f good.ipynb", CORRECT),
    ]
    paths[4].write_text(
        '{"cells": [1, {"cell_type": "code", "outputs": 3}], "metadata": [], "nbformat": 4, "nbformat_minor": 5}'
    )
    os.mkfifo(tmp_path / "g fifo.ipynb")
    command = [
        sys.executable,
        "-m",
        "tools.notebooks.grade",
        *paths,
        tmp_path / "g fifo.ipynb",
        "--csv",
        tmp_path / "grades.csv",
    ]
    start = time.monotonic()
    done = subprocess.run(
        [*command, "--exercises", "1.4", "--timeout", "15"], capture_output=True, text=True, cwd=root, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 300
    with (tmp_path / "grades.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    right = [row["notebook"] for row in rows if (row["exercise"], row["result"]) == ("1.4", "right")]
    assert right == ["a stubborn.ipynb", "b floods.ipynb", "'=d formula.ipynb", "f good.ipynb"]
    failed = {row["notebook"] for row in rows if row["result"] == "error"}
    assert failed == {
        "a stubborn.ipynb",
        "b floods.ipynb",
        "c parent.ipynb",
        "'=d formula.ipynb",
        "e shape.ipynb",
        "g fifo.ipynb",
    }
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n=1"])
def test_no_cell_of_the_table_is_a_formula(text):
    assert grade._cell(text) == f"'{text}"
    assert len(grade._cell("a" * 10**6)) == grade.LONGEST
