"""The exercises as notebooks for a class: one file for each chapter, with the cells to answer in and without solutions.

Each notebook begins with the cell that sets up Colab, then runs what its exercises need from the chapter, and leaves the answers
to the student. What comes back is graded by `tools.notebooks.grade`.

    make exercises        # or: python -m tools.publish.exercises _build/exercises
"""

import argparse
import copy
import re
import symtable
from pathlib import Path

import nbformat
import yaml

from tools.notebooks.folding import code, is_exercise, is_solution
from tools.notebooks.run import tidy
from tools.notebooks.setup_cell import is_setup_cell

ROOT = Path(__file__).resolve().parents[2]
INTRODUCTION = """# Exercises: {title}

These exercises belong to the chapter [{title}]({address}). Replace each `None` with your answer and run the cell: the check says
whether it is right, or what to look at again. When you are done, save this notebook and hand it in.
"""


def split(notebook) -> tuple[list, list]:
    """(code cells above the heading "Exercises", the cells below it); the heading itself and what stands above it is cut off."""
    above, below, inside = [], [], False
    for cell in copy.deepcopy(notebook.cells):
        if cell.cell_type == "markdown":
            *before, rest = re.split(r"^## +Exercises *$", cell.source, flags=re.MULTILINE)
            inside = bool(before) or (inside and not re.search(r"^## ", cell.source, flags=re.MULTILINE))
            cell.source = rest
        if inside:
            below.append(cell)
        elif cell.cell_type == "code" and not is_setup_cell(cell):
            above.append(cell)
    return above, below


def without_folded(markdown: str) -> str:
    """Prose without its folded parts: in the exercises of a chapter these are solutions."""
    return re.sub(r"<details>.*?</details>\n*", "", markdown, flags=re.DOTALL).strip()


def names(source: str) -> tuple[set[str], set[str]]:
    """(global names that some code gives a value, global names that it reads)."""
    top = symtable.symtable(re.sub(r"^\s*%.*$", "", source, flags=re.MULTILINE), "cell", "exec")
    given = {each.get_name() for each in top.get_symbols() if each.is_assigned() or each.is_imported()}
    read, tables = set(), [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        read |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (table is top or s.is_global())}
    return given, read


def needed(cells: list, wanted: set[str]) -> list:
    """The code cells that some names come from, with what those cells need in turn, in their order."""
    found = []
    for cell in reversed(cells):
        given, read = names(code(cell))
        if given & wanted:
            found.append(cell)
            wanted = (wanted - given) | (read - given)
    return found[::-1]


def for_students(cell) -> bool:
    """Return True if a cell below "Exercises" is handed out: neither a solution nor a form that only the page has."""
    return not is_solution(cell) and "exercises.answer_box(" not in cell.source


def exercise_notebook(notebook, title: str, address: str):
    """The exercises of one chapter as a notebook of their own, after the cells of the chapter that a solution goes on from."""
    above, below = split(notebook)
    given, wanted = {"answer"}, set()
    for cell in below:
        if cell.cell_type == "code":
            gives, reads = names(code(cell))
            given |= gives
            wanted |= reads - given
    setup = next(cell for cell in notebook.cells if is_setup_cell(cell))
    introduction = nbformat.v4.new_markdown_cell(INTRODUCTION.format(title=title, address=address))
    cells = [introduction, copy.deepcopy(setup), *needed(above, wanted), *filter(for_students, below)]
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = without_folded(cell.source)
        else:
            cell.outputs, cell.execution_count = [], None
            if is_exercise(cell):
                cell.metadata = nbformat.from_dict({})
    return tidy(nbformat.v4.new_notebook(cells=[cell for cell in cells if cell.source]))


def write(folder: Path) -> list[Path]:
    """Write a notebook of exercises for each chapter into `folder`; return the files."""
    site = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["html"]["baseurl"]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(ROOT.glob("book/[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if not split(notebook)[1]:
            continue
        title = re.search(r"^# +(.+)$", notebook.cells[0].source, flags=re.MULTILINE)[1]
        file = folder / f"exercises_{path.name}"
        nbformat.write(exercise_notebook(notebook, title, f"{site}book/{path.stem}.html"), file)
        written.append(file)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to write into")
    for file in write(parser.parse_args().folder):
        print(file)
