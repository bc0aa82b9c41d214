"""Every notebook is tidy, runs alone in Colab, and follows the frame that all chapters share."""

import re
from pathlib import Path

import pytest

from tools.notebooks import setup_cell
from tools.notebooks.folding import code, is_solution
from tools.notebooks.run import problems

BOOK = Path(__file__).resolve().parents[2] / "book"
NOTEBOOKS = sorted(path.name for path in BOOK.glob("*.ipynb"))
CHAPTERS = [name for name in NOTEBOOKS if name[:2].isdigit()]
VERDICT = "09_the_verdict.ipynb"  # short, and it sums up: no guess, no exercise, no figure to play with
SECTIONS_AT_THE_END = ["what we did not show", "exercises", "take-away"]

each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)
each_chapter = pytest.mark.parametrize("name", [name for name in CHAPTERS if name != VERDICT])
every_chapter = pytest.mark.parametrize("name", CHAPTERS)


def cells(notebook, kind):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def text(notebook):
    """All prose of a notebook as one string."""
    return "\n\n".join(cell.source for cell in cells(notebook, "markdown"))


def headings(notebook):
    """(level, lower-case text without numbers) of every heading."""
    prose = re.sub(r"```.*?```", "", text(notebook), flags=re.DOTALL)
    found = re.findall(r"^(#+) +(.+?) *$", prose, flags=re.MULTILINE)
    return [(len(marks), re.sub(r"^[\d. ]+", "", title).lower()) for marks, title in found]


def tags(cell):
    return set(cell.metadata.get("tags", []))


@each_notebook
def test_a_notebook_is_tidy_and_was_run_without_errors(notebooks, name):
    assert problems(notebooks[name]) == []


@each_notebook
def test_lab_and_colab_fold_what_the_page_folds(notebooks, name):
    for cell in cells(notebooks[name], "code"):
        waits_for_the_reader = "answer = None" in cell.source or "return None\n" in cell.source
        folded = (
            bool(tags(cell) & {"hide-input", "remove-input", "hide-cell", "remove-cell"}) and not waits_for_the_reader
        )
        assert cell.metadata.get("jupyter", {}).get("source_hidden", False) == folded, cell.source
        assert (cell.metadata.get("cellView") == "form") == folded, cell.source
        assert cell.source.startswith("# @title ") == folded, cell.source


@each_notebook
def test_a_figure_that_needs_the_page_links_to_its_place_there(notebooks, name):
    for cell in cells(notebooks[name], "markdown"):
        if "data-gst-live" in cell.source:
            place = re.search(r'<div id="([\w-]+)" data-gst-live', cell.source)[1]
            assert f'/book/{name.removesuffix(".ipynb")}.html#{place}">' in cell.source


@each_notebook
def test_the_first_code_cell_is_the_one_setup_cell(notebooks, name):
    first = cells(notebooks[name], "code")[0]
    assert first.source == setup_cell.source(setup_cell.repository())
    assert first.metadata.tags == setup_cell.TAGS
    assert not first.outputs


@each_notebook
def test_the_title_comes_before_the_setup_cell(notebooks, name):
    first = notebooks[name].cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert [level for level, _ in headings(notebooks[name])].count(1) == 1


@each_notebook
def test_prose_holds_nothing_that_only_sphinx_understands(notebooks, name):
    """Colab and Jupyter show MyST directives and roles as raw text."""
    prose = text(notebooks[name])
    assert re.findall(r"^ *(?:`{3,}|:{3,})\{.*", prose, flags=re.MULTILINE) == []
    assert re.findall(r"\{[a-z][\w:-]*\}`[^`]+`", prose) == []


@each_notebook
def test_no_live_widget_is_stored(notebooks, name):
    assert "widgets" not in notebooks[name].metadata
    for cell in cells(notebooks[name], "code"):
        for output in cell.outputs:
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


@each_notebook
def test_every_stored_image_has_alt_text(notebooks, name):
    for cell in cells(notebooks[name], "code"):
        if any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt.split()) >= 4, f"no alt text (mystnb.image.alt) on the figure of the cell:\n{cell.source}"


@each_notebook
def test_a_live_number_is_asserted(notebooks, name):
    """A cell whose output is not compared is followed, before the next heading, by one that asserts something."""
    waiting = None
    for cell in notebooks[name].cells:
        if cell.cell_type == "code":
            asserts = "assert" in cell.source or "exercises.check" in cell.source
            prints_numbers = any(
                output.output_type == "stream"
                or (
                    "text/plain" in output.get("data", {})
                    and not any(kind.startswith("image/") for kind in output.data)
                )
                for output in cell.outputs
            )
            if asserts:
                waiting = None
            elif "nbval-ignore-output" in tags(cell) and prints_numbers:
                waiting = waiting or cell.source
        elif re.search(r"^## ", cell.source, flags=re.MULTILINE):
            assert waiting is None, f"no assertion follows this cell, whose output is not compared:\n{waiting}"


@each_notebook
def test_no_line_of_printed_output_is_wider_than_the_page(notebooks, name):
    for cell in cells(notebooks[name], "code"):
        for output in cell.outputs:
            drawn = any(kind.startswith(("image/", "text/html")) for kind in output.get("data", {}))
            printed = output.get("text", "" if drawn else output.get("data", {}).get("text/plain", ""))
            wide = [line for line in printed.splitlines() if len(line) > 80]
            assert wide == [], f"longer than 80 characters; draw it (gst.figures.forest) or wrap it:\n{cell.source}"


@each_chapter
def test_a_chapter_shows_its_figure_first_and_no_code_before_it(notebooks, name):
    """Title and question, then the figure; code is folded; what the reader will learn and needs stands below."""
    title, *rest = notebooks[name].cells
    assert "**You will learn**" not in title.source
    for cell in rest:
        if cell.cell_type == "code":
            assert tags(cell) & {"remove-cell", "hide-cell", "hide-input", "remove-input"}, (
                f"not folded:\n{cell.source}"
            )
            if any('class="gst-slider' in output.get("data", {}).get("text/html", "") for output in cell.outputs):
                break
        else:
            assert "**You will learn**" not in cell.source
    else:
        pytest.fail("no slider figure")


@each_chapter
def test_checks_and_drawing_are_folded(notebooks, name):
    for cell in cells(notebooks[name], "code"):
        if code(cell).startswith("assert ") or any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert tags(cell) & {"remove-cell", "hide-cell", "hide-input", "remove-input"}, (
                f"not folded:\n{cell.source}"
            )


@each_chapter
def test_a_chapter_opens_with_its_answer_and_what_it_asks_of_the_reader(notebooks, name):
    opening = text(notebooks[name]).split("\n## ")[0]
    title, answer = opening.split("\n\n")[:2] if "\n\n" in opening else opening.split("\n")[:2]
    assert title.startswith("# ")
    assert re.fullmatch(r"\*[^*].*[^*]\*", answer.strip(), flags=re.DOTALL), f"not one sentence in italics: {answer!r}"
    for label in ("**You will learn**", "**Before you start**", "**Time**"):
        assert label in opening


@each_chapter
def test_a_chapter_asks_for_a_guess_before_it_answers(notebooks, name):
    guesses, answers = [], []
    for number, cell in enumerate(notebooks[name].cells):
        asks = "figures.predict(" in cell.source or ("guess" in cell.source and "<details>" in cell.source)
        guesses += [number] if asks else []
        answers += [number] if re.search(r"^### What (happens|it means)", cell.source, flags=re.MULTILINE) else []
    assert guesses and answers and guesses[0] <= answers[0]


@each_chapter
def test_a_chapter_has_a_live_widget(notebooks, name):
    assert any(re.search(r"\b(widgets|interact)\b", cell.source) for cell in cells(notebooks[name], "code"))


@each_chapter
def test_chapter_closes_with_limits_exercises_and_take_away(notebooks, name):
    sections = [title for level, title in headings(notebooks[name]) if level == 2]
    closing = [section for section in sections if section in SECTIONS_AT_THE_END]
    assert closing == SECTIONS_AT_THE_END


@each_chapter
def test_every_exercise_has_a_folded_solution(notebooks, name):
    exercise, has_solution = None, {}
    for cell in notebooks[name].cells:
        if cell.cell_type == "markdown" and (
            title := re.search(r"^### +(Exercise [\d.]+)", cell.source, flags=re.MULTILINE)
        ):
            exercise = title[1]
            has_solution[exercise] = False
        elif cell.cell_type == "markdown" and re.search(r"^## ", cell.source, flags=re.MULTILINE):
            exercise = None
        if exercise and ("<details>" in cell.source or tags(cell) & {"hide-cell", "hide-input"}):
            has_solution[exercise] = True
    assert 3 <= len(has_solution) <= 5
    assert all(has_solution.values()), f"no folded solution: {[k for k, v in has_solution.items() if not v]}"


@each_notebook
def test_a_solution_passes_its_check_and_the_untouched_exercise_does_not(notebooks, name):
    for cell in cells(notebooks[name], "code"):
        if "exercises.check(" in cell.source:
            printed = "".join(output.get("text", "") for output in cell.outputs)
            verdict = "Right." if is_solution(cell) else "Not yet."
            assert re.search(rf"^{re.escape(verdict)}", printed, flags=re.MULTILINE), (
                f"{cell.source}\n\nprinted: {printed}"
            )


@every_chapter
def test_a_chapter_leads_to_the_next(notebooks, name):
    following = CHAPTERS[CHAPTERS.index(name) + 1 :]
    if following:
        assert following[0] in cells(notebooks[name], "markdown")[-1].source


def test_every_chapter_and_page_is_in_the_table_of_contents(root):
    listed = set(re.findall(r"book/[\w-]+", (root / "_toc.yml").read_text()))
    written = {f"book/{path.stem}" for path in (root / "book").iterdir() if path.suffix in (".md", ".ipynb")}
    assert listed == written
