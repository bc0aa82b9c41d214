"""The story map follows from recorded results."""

import re
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup

import gst_tutorial as gst
from gst_tutorial.book.studies import claims
from gst_tutorial.book.studies.claims import ABOVE, AGREES, NO_EFFECT, OPEN, OPPOSITE
from tools.pages import story

RESULTS = {
    each.name: claims.evaluate(list(each.tests)) for leaves in story.TREE.values() for each in leaves
}  # by the explanation's name


def result(outcome: str) -> claims.Result:
    estimate = gst.statistics.Estimate("a", 0.01, 0.0, 0.02, 20)
    return claims.Result(claims.Test("a", "dose", dict, ABOVE), estimate, 0.01, 0.9, outcome)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], story.UNDECIDED),
        ([AGREES, AGREES], story.SUPPORTED),
        ([AGREES, OPEN], story.PARTLY),
        ([OPEN, OPPOSITE], story.RULED_OUT),
        ([NO_EFFECT], story.RULED_OUT),
        ([OPEN, OPEN], story.UNDECIDED),
    ],
)
def test_a_fate_follows_by_rule(outcomes, expected):
    assert story.fate([result(outcome) for outcome in outcomes]) == expected
    assert expected in story.FATES


def test_the_map_is_what_the_recorded_results_give():
    assert story.PAGE.read_text(encoding="utf-8") == story.story(), "run `python -m tools.pages.story`"


def test_every_explanation_has_chapters_a_fate_and_a_described_picture():
    page = BeautifulSoup(story.PAGE.read_text(encoding="utf-8"), "html.parser")
    leaves = page.select("ul ul > li")
    assert [leaf.b.get_text() for leaf in leaves] == list(RESULTS)
    explanations = [each for part in story.TREE.values() for each in part]
    for leaf, each in zip(leaves, explanations, strict=True):
        results = RESULTS[each.name]
        assert leaf.select_one(".gst-fate").get_text() == story.fate(results)
        assert [link["href"] for link in leaf.find_all("a")] == [f"{chapter}.html" for chapter in each.chapters]
        assert all((story.ROOT / "book" / f"{chapter}.ipynb").is_file() for chapter in each.chapters)
        if results:
            assert all(r.outcome in leaf.img["alt"] for r in results)
            assert len({r.test.what for r in results}) == len(each.tests)
            sizes = re.findall(r"<text[^>]*font-size: ([0-9.]+)px", unquote(leaf.img["src"]))
            assert (
                all(float(size) >= 12 for size in sizes) and leaf.img["width"] == "230"
            )  # shown as wide as it is drawn
    assert {test.study for each in explanations for test in each.tests} <= set(gst.recorded_names())


def test_closed_row_shows_its_name_and_chapters_but_no_outcome():
    page = BeautifulSoup(story.PAGE.read_text(encoding="utf-8"), "html.parser")
    for row in page.select("ul ul > li details"):
        assert "open" in row.attrs, "without scripts every row is open"
        numbers = [str(int(link["href"][:2])) for link in row.find_all("a")]
        assert re.findall(r"\d+", re.search(r"\(chapters? (.+)\)", row.summary.get_text())[1]) == numbers
        assert not row.summary.select(".gst-fate, img, a")


def test_every_chapter_of_a_row_asks_for_a_guess_that_opens_it(chapters):
    for each in (each for part in story.TREE.values() for each in part):
        for chapter in each.chapters:
            assert any("figures.predict(" in cell.source for cell in chapters[f"{chapter}.ipynb"].cells), chapter
