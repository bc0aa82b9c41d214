"""Grade the exercises of students' notebooks: run each, and write what every check said into a table.

    python -m tools.notebooks.grade submissions/*.ipynb --csv grades.csv
    python -m tools.notebooks.grade submissions/*.ipynb --csv grades.csv --exercises 1.1 1.2 2.1

Each notebook runs from top to bottom in an empty folder; a cell that fails or takes too long is noted, and the rest still
runs. Cells that begin with `# Solution` came with the book and are left out. If a notebook checks an exercise more than once,
the last time counts. The table has a row for each notebook and exercise: right, not yet, untouched or missing, with the
sentence that the check gave; and a row for each cell that failed.

This runs code that others wrote, with your rights: use an account or a container with nothing in it to lose.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from gst_tutorial.exercises import _CHECKS

COLUMNS = ("notebook", "exercise", "result", "sentence")
SAID = "application/vnd.gst-tutorial.check+json"
SOLUTION = "# Solution"
# Runs before the first cell: every check then leaves what it said in the outputs of the cell that called it.
RECORDER = f"""
import gst_tutorial.exercises
from IPython.display import display


def check(exercise, answer):
    solved, sentence = gst_tutorial.exercises.grade(exercise, answer)
    result = "right" if solved else "untouched" if answer is None else "not yet"
    display({{"{SAID}": {{"exercise": exercise, "result": result, "sentence": sentence}}}}, raw=True)


gst_tutorial.exercises.check = check
"""


def run(notebook, timeout: float) -> str:
    """Run a notebook in an empty folder, past cells that fail; returns why it could not be run to the end, or ""."""
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            interrupt_on_timeout=True,
            allow_errors=True,
            kernel_name="python3",
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute()
        except (CellExecutionError, DeadKernelError, RuntimeError) as error:
            return f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
    return ""


def grade(path: Path, exercises: list[str] | None = None, timeout: float = 120) -> list[dict[str, str]]:
    """The rows of one notebook: one for each exercise, then one for each cell that failed.

    Args:
        path: the notebook; the file is not changed.
        exercises: the numbers to report; by default, all of the chapters from which the notebook checks an exercise.
        timeout: seconds that one cell may take.
    """

    def row(exercise: str, result: str, sentence: str) -> dict[str, str]:
        return dict(zip(COLUMNS, (path.name, exercise, result, sentence)))

    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        return [row("", "error", f"not a notebook: {error}")]
    cells = [cell for cell in notebook.cells if not cell.source.startswith(SOLUTION)]
    notebook.cells = [nbformat.v4.new_code_cell(RECORDER), *cells]
    stopped = run(notebook, timeout)

    said, failed = {}, []
    for number, cell in enumerate(notebook.cells):  # the recorder is cell 0, so the student's first cell is 1
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                failed.append(row("", "error", f"cell {number}: {output.ename}: {output.evalue}"))
            elif SAID in output.get("data", {}):
                found = output.data[SAID]
                said[found["exercise"]] = row(found["exercise"], found["result"], found["sentence"])
    chapters = {exercise.split(".")[0] for exercise in said}
    wanted = exercises or [exercise for exercise in _CHECKS if exercise.split(".")[0] in chapters]
    rows = [
        said.get(exercise, row(exercise, "missing", "The notebook never checks this exercise.")) for exercise in wanted
    ]
    return rows + failed + ([row("", "error", stopped)] if stopped else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--csv", type=Path, required=True, help="the table to write")
    parser.add_argument("--exercises", nargs="+", choices=list(_CHECKS), metavar="N", help="numbers to report: 1.1 2.3")
    parser.add_argument("--timeout", type=float, default=120, help="seconds that one cell may take (default: 120)")
    arguments = parser.parse_args()

    with arguments.csv.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for path in arguments.notebooks:
            rows = grade(path, arguments.exercises, arguments.timeout)
            table.writerows(rows)
            file.flush()  # what is graded stays, whatever the next notebook does
            exercises = [row["result"] for row in rows if row["exercise"]]
            errors = sum(row["result"] == "error" for row in rows)
            print(f"{path.name}: {exercises.count('right')} of {len(exercises)} right, {errors} errors", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
