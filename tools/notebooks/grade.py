"""Grade the exercises of students' notebooks: run each, and write what every check said into a table.

    python -m tools.notebooks.grade submissions/*.ipynb --csv grades.csv
    python -m tools.notebooks.grade submissions/*.ipynb --csv grades.csv --exercises 1.1 1.2 2.1

Each notebook runs from top to bottom in an empty folder, without the outputs that it came with; a cell that fails or takes too
long is noted, and the rest still runs. Solutions that came with the book (cells that begin with `# @title Solution`) are left
out. If a notebook checks an exercise more than once, the last time counts. The table has a row for each notebook and exercise:
right, claimed, not yet, untouched or missing, with the sentence that the check gave; and a row for each cell that failed.

Of what a notebook says, only its answers are believed: they are graded again outside its kernel. An answer that is a function
cannot leave the kernel, where a student could change the check: it is "claimed", and reading it tells whether it is right.

A notebook runs in a process of its own, which is ended with its kernel when it takes too long: nothing that one does keeps the
next from being graded. It still runs with your rights: use an account or a container with nothing in it to lose.
"""

import argparse
import contextlib
import csv
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

import nbformat
import pandas as pd
from nbclient import NotebookClient

from gst_tutorial import RunConfig
from gst_tutorial._arguments import error_text
from gst_tutorial.book.exercises import CHECKS
from gst_tutorial.book.exercises import grade as graded
from gst_tutorial.book.exercises.answers import NotAFunction, NotYet
from gst_tutorial.schedules import as_schedule
from gst_tutorial.statistics import Estimate
from tools.notebooks.folding import is_solution

COLUMNS = ("notebook", "exercise", "result", "sentence")
SAID = "application/vnd.gst-tutorial.check+json"
GRACE = 10  # seconds in which a cell may still heed the interrupt
WHOLE = 10  # times the time of a cell: what a notebook may take
LARGEST = 10_000_000  # characters of outputs, and bytes of a notebook
LONGEST = 500  # characters of a sentence in the table
# Runs before the first cell: every check then leaves the answer in the outputs of the cell that called it, as JSON. What JSON
# has no word for becomes a dictionary with one key, its kind; `_answer` makes the thing itself of it again.
RECORDER = f"""
import dataclasses
import json

import pandas
from IPython.display import display

import gst_tutorial.book.exercises
from gst_tutorial.statistics import Estimate


def check(exercise, answer):
    def plain(value):
        if isinstance(value, gst_tutorial.RunConfig):
            return {{"config": value.to_dict()}}
        if isinstance(value, Estimate):
            return {{"estimate": plain(list(dataclasses.asdict(value).values()))}}
        if isinstance(value, pandas.DataFrame):
            return {{"frame": [[str(name), plain(value[name].tolist())] for name in value]}}
        if isinstance(value, dict):
            return {{"dict": [[plain(key), plain(each)] for key, each in value.items()]}}
        if hasattr(value, "n_events") and hasattr(value, "epochs"):
            return {{"schedule": list(value.epochs)}}
        if isinstance(value, (list, tuple)):
            return [plain(each) for each in value]
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        return plain(value.tolist()) if hasattr(value, "tolist") else {{"other": type(value).__name__}}

    solved, sentence = gst_tutorial.book.exercises.grade(exercise, answer)
    print(f"{{'Right' if solved else 'Not yet'}}. {{sentence}}")
    said = {{"exercise": exercise, "answer": plain(answer), "solved": solved, "sentence": sentence}}
    display({{"{SAID}": json.dumps(said)}}, raw=True)


gst_tutorial.book.exercises.check = check
"""


class _Client(NotebookClient):
    """Ends a kernel whose cell goes on after the interrupt, and keeps at most `LARGEST` characters of outputs."""

    kept = 0
    pid = late = None

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] == "execute_input":  # the kernel has come to this cell, so the one before has ended
            self.watch(self.timeout + GRACE)
        self.kept += len(str(msg["content"])) if "execution_state" not in msg["content"] else 0
        too_much = self.kept > LARGEST and msg["msg_type"] in ("stream", "display_data", "execute_result", "error")
        return None if too_much else super().process_message(msg, cell, cell_index)

    def watch(self, seconds: float) -> None:
        self.unwatch()
        self.late = threading.Timer(seconds, _kill, [self.pid])
        self.late.start()

    def unwatch(self) -> None:
        if self.late is not None:
            self.late.cancel()


def run(notebook, timeout: float, started=lambda pid: None) -> str:
    """Run a notebook in an empty folder, past cells that fail; returns why it could not be run to the end, or ""."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        client = _Client(
            notebook,
            timeout=timeout,
            interrupt_on_timeout=True,
            allow_errors=True,
            kernel_name="python3",
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            resources={"metadata": {"path": folder}},
        )

        def begins(cell, cell_index):
            if client.pid is None:
                client.pid = client.km.provisioner.pid
                started(client.pid)

        client.on_cell_execute = begins
        try:
            client.execute()
        except Exception as error:  # a dead kernel, or messages that nbclient cannot read
            return error_text(error).strip().splitlines()[-1]
        finally:
            client.unwatch()
    return f"more than {LARGEST} characters of output: the rest is left out" if client.kept > LARGEST else ""


def _kill(pid: int) -> None:
    """End a kernel and what it has started: it leads a group of processes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _answer(plain):
    """The answer that the recorder wrote down as JSON."""
    if isinstance(plain, list):
        return [_answer(each) for each in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, value),) = plain.items()
    if kind == "config":
        return RunConfig.from_dict(value)
    if kind == "schedule":
        return as_schedule(value)
    if kind == "estimate":
        return Estimate(*value)
    if kind == "dict":
        return {_answer(key): _answer(each) for key, each in value}
    if kind == "frame":
        return pd.DataFrame({name: [tuple(v) if isinstance(v, list) else v for v in _answer(c)] for name, c in value})
    return plain


def _wants_function(exercise: str) -> bool:
    try:
        CHECKS[exercise](0)
    except NotAFunction:
        return True
    except NotYet:
        pass
    return False


def _verdict(said) -> tuple[str, str, str]:
    """(exercise, result, sentence) of what a kernel says that a check was asked. It may say anything."""
    said = json.loads(said)
    exercise = said["exercise"]
    if exercise not in CHECKS:
        raise ValueError(f"there is no exercise {exercise!r}")
    if said["answer"] is None:
        return exercise, "untouched", graded(exercise, None)[1]
    if _wants_function(exercise):
        return exercise, "claimed" if said["solved"] is True else "not yet", str(said["sentence"])
    solved, sentence = graded(exercise, _answer(said["answer"]))
    return exercise, "right" if solved else "not yet", sentence


def _graded(path: str, timeout: float, send) -> None:
    """In a process of its own: send the kernel's process id, again and again, and at the end what it said."""
    rows, failed = {}, []
    try:
        notebook = nbformat.read(path, as_version=4)
        cells = [cell for cell in notebook.cells if not is_solution(cell)]
        for cell in cells:
            if cell.cell_type == "code":
                cell.outputs = []  # what came with it is nobody's word
    except Exception as error:  # JSON in any shape
        send.send_bytes(json.dumps([[], [["error", f"not a notebook: {error_text(error)}"]]]).encode())
        return
    notebook.cells = [nbformat.v4.new_code_cell(RECORDER), *cells]
    stopped = run(notebook, timeout, lambda pid: send.send_bytes(json.dumps(pid).encode()))
    if any(output.output_type == "error" for output in notebook.cells[0].outputs):
        stopped = f"the grader could not start: {notebook.cells[0].outputs[-1].evalue}"
    for number, cell in enumerate(notebook.cells[1:], start=1):
        for output in cell.get("outputs", []):
            try:
                if output.output_type == "error":
                    failed.append(("error", f"cell {number}: {output.ename}: {output.evalue}"))
                elif SAID in output.get("data", {}):
                    exercise, *verdict = _verdict(output.data[SAID])
                    rows[exercise] = verdict
            except Exception as error:  # not what the recorder would have said
                failed.append(("error", f"cell {number}: not from a check: {error_text(error)}"))
    failed += [("error", stopped)] if stopped else []
    send.send_bytes(json.dumps([[(exercise, *rest) for exercise, rest in rows.items()], failed]).encode())


def grade(path: Path, exercises: list[str] | None = None, timeout: float = 120) -> list[dict[str, str]]:
    """The rows of one notebook: one for each exercise, then one for each cell that failed.

    Args:
        path: the notebook; the file is not changed.
        exercises: the numbers to report; by default, all of the chapters from which the notebook checks an exercise.
        timeout: seconds that one cell may take; a whole notebook gets `WHOLE` times as many.
    """

    def row(exercise: str, result: str, sentence: str) -> dict[str, str]:
        return dict(zip(COLUMNS, map(_cell, (path.name, exercise, result, sentence))))

    if not path.is_file() or path.stat().st_size > LARGEST:
        return [row("", "error", f"not a notebook: no file of at most {LARGEST // 10**6} MB")]
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_graded, args=(str(path), timeout, send), daemon=True)
    process.start()
    send.close()
    kernel, found = None, [[], [("error", f"nothing came back within {WHOLE * timeout:g} s: ended")]]
    patience = threading.Timer(WHOLE * timeout, process.kill)
    patience.start()
    try:
        while isinstance(message := json.loads(receive.recv_bytes()), int):
            kernel = message
        found = message
    except EOFError:  # the process has ended, or was ended
        pass
    finally:
        patience.cancel()
        process.kill()
        process.join()
        if kernel is not None:
            _kill(kernel)
    said, failed = {exercise: row(exercise, *rest) for exercise, *rest in found[0]}, found[1]
    chapters = {exercise.split(".")[0] for exercise in said}
    wanted = exercises or [exercise for exercise in CHECKS if exercise.split(".")[0] in chapters]
    rows = [
        said.get(exercise, row(exercise, "missing", "The notebook never checks this exercise.")) for exercise in wanted
    ]
    return rows + [row("", *rest) for rest in failed]


def _cell(text: str) -> str:
    """A text that a spreadsheet takes for a text: short, of characters that can be written, and never a formula."""
    text = text[:LONGEST].encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) or text[:1] in ("\t", "\r", "\n") else text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--csv", type=Path, required=True, help="the table to write")
    parser.add_argument("--exercises", nargs="+", choices=list(CHECKS), metavar="N", help="numbers to report: 1.1 2.3")
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
            claimed = f", {exercises.count('claimed')} claimed" if "claimed" in exercises else ""
            right = f"{exercises.count('right')} of {len(exercises)} right{claimed}"
            print(f"{_cell(path.name)}: {right}, {errors} errors", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
