"""The courses for teachers name sections, exercises and targets that exist."""

import re

import pytest

from gst_tutorial.book.exercises import CHECKS


@pytest.fixture(scope="module")
def page(root):
    return (root / "book" / "teaching.md").read_text(encoding="utf-8")


def test_every_section_that_is_named_is_a_section_of_a_chapter(page, notebooks):
    prose = "\n\n".join(cell.source for notebook in notebooks.values() for cell in notebook.cells)
    sections = set(re.findall(r"^## ((?:\d+|A)\.\d+) ", prose, flags=re.MULTILINE))
    text = re.sub(r"```.*?```|`[^`]*`", "", page, flags=re.DOTALL)
    text = re.sub(r"exercises? \d+\.\d(?:(?:,| and) \d+\.\d)*", "", text)
    named = set(re.findall(r"(?<![\w.])((?:\d+|A)\.\d+)(?!\w)", text))
    assert named
    assert named <= sections


def test_every_exercise_that_is_named_has_a_check(page):
    named = set(re.findall(r"\d+\.\d", " ".join(re.findall(r"(?:exercises? |--exercises )([\d. and,]+)", page))))
    assert named
    assert named <= set(CHECKS)


def test_every_make_target_that_is_named_exists(page, root):
    makefile = (root / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", page):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_chapter_answers_a_misconception(page, chapters):
    section = page.split("(teaching-misconceptions)=")[1].split("(teaching-questions)=")[0]
    answered = re.findall(r"^\| \[(\d+)\]\((\w+\.ipynb)\)", section, flags=re.MULTILINE)
    assert {(str(int(name[:2])), name) for name in chapters} <= set(answered)
