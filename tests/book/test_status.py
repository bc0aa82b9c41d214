"""The status page is current, every chapter is measured and quick, and no chapter promises more than was measured."""

import json
import re

import nbformat
import pytest

from tools.notebooks import run as notebooks
from tools.pages import status

CHAPTERS = sorted(status.titles())
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS)


@each_chapter
def test_a_chapter_was_measured_and_stays_below_the_limit(chapter):
    measured = status.run_times(draft=True)
    assert chapter in measured, f'not measured yet: run `make notebooks NOTEBOOKS="book/{chapter}.ipynb"`'
    assert measured[chapter]["seconds"] < status.LIMIT


@each_chapter
def test_the_time_that_a_chapter_states_is_not_below_what_was_measured(chapter):
    measured = status.run_times(draft=True)
    stated = status.stated_seconds(status.opening(status.ROOT / "book" / f"{chapter}.ipynb"))
    assert chapter not in measured or measured[chapter]["seconds"] <= stated


def test_the_page_is_what_the_measurements_give():
    assert status.PAGE.read_text(encoding="utf-8") == status.page(), "run `python -m tools.pages.status`"


@pytest.mark.parametrize(
    ("sentence", "seconds"),
    [
        ("Every cell together runs in under a minute on a laptop.", 60),
        ("Every cell together runs in about a minute on a laptop.", 60),
        ("every cell together runs in 24 s on a laptop", 24),
        ("All cells together take about 2 minutes.", 120),
    ],
)
def test_a_stated_time_is_read_in_seconds(sentence, seconds):
    assert status.stated_seconds(f"**Time**: 20 minutes to read. {sentence}") == seconds


def test_a_chapter_without_a_stated_time_is_reported():
    with pytest.raises(ValueError, match="Every cell together"):
        status.stated_seconds("**Time**: 20 minutes to read.")


def small_book(root, sources):
    """A book of one chapter with these cells."""
    (root / "book").mkdir()
    path = root / "book" / "01_one.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# 1. One"), *map(nbformat.v4.new_code_cell, sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_chapter_that_was_not_measured_stops_the_page_and_is_named(tmp_path):
    small_book(tmp_path, ["1"])
    with pytest.raises(ValueError, match=r'not measured yet: run `make notebooks NOTEBOOKS="book/01_one\.ipynb"`'):
        status.run_times(tmp_path)
    assert status.run_times(tmp_path, draft=True) == {}


def test_run_records_the_time_of_its_own_chapter_only(tmp_path):
    path = small_book(tmp_path, ["import time", "time.sleep(1)"])
    times = path.with_name("run_times.json")
    times.write_text(json.dumps({"02_other": {"seconds": 3.0}}))
    seconds = notebooks.run(path, timeout=60)
    recorded = json.loads(times.read_text())
    assert list(recorded) == ["01_one", "02_other"]
    assert recorded["02_other"] == {"seconds": 3.0}
    assert recorded["01_one"]["seconds"] == pytest.approx(seconds, abs=0.06)
    assert 1 <= seconds < 30
    assert set(recorded["01_one"]) == {"seconds", "date", "processor", "cores", "python"}
    assert notebooks.problems(nbformat.read(path, as_version=4)) == []


def test_every_direct_pin_is_listed_with_its_oldest_version():
    listed = {name: (version, oldest) for name, version, oldest in status.versions()}
    assert {"torch", "numpy", "matplotlib", "ipywidgets", "jupyter-book", "sphinx", "ipykernel"} <= set(listed)
    assert all(version[0].isdigit() for version, _ in listed.values())
    assert listed["ipywidgets"][1] == "7.7.1"
    assert listed["jupyter-book"][1] == ""


def test_every_recorded_study_is_on_the_page():
    page = status.page(draft=True)
    for study in status.studies():
        assert f"| `{study['study']}` | {study['sentence']} | {len(study['seeds'])} | {study['runs']} |" in page


@pytest.mark.parametrize(("seconds", "words"), [(24, "24 s"), (720, "12 min"), (11160, "3.1 h")])
def test_a_duration_is_given_in_the_unit_that_fits(seconds, words):
    assert status.duration(seconds) == words


def test_what_a_json_file_says_stays_text_on_the_page(tmp_path, monkeypatch):
    (study, *_) = status.studies()
    evil = "<script>alert(1)</script> | [a](javascript:b) `\n\n# c"
    monkeypatch.setattr(status, "studies", lambda root: [study | {"study": evil, "sentence": evil, "date": evil}])
    times = {name: time | {"processor": evil, "python": evil} for name, time in status.run_times(draft=True).items()}
    monkeypatch.setattr(status, "run_times", lambda root, draft: times)
    page = status.page(draft=True)
    assert "<script" not in page
    assert not re.search(r"(?<!\\)\]\(javascript", page)
    assert "\n# c" not in page
    (row,) = [line for line in page.splitlines() if line.startswith("| `&lt;script")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 8
