"""The story map: what it says follows from recorded results, and the first page says nothing that they contradict."""

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


def test_every_explanation_names_its_chapters_its_fate_and_has_a_described_picture():
    page = BeautifulSoup(story.story(), "html.parser")
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
            assert "<text" not in unquote(leaf.img["src"])  # no letters that a telephone makes too small
    assert {test.study for each in explanations for test in each.tests} <= set(gst.recorded_names())


def test_the_first_page_says_nothing_that_the_data_contradict():
    page = (story.ROOT / "book" / "index.md").read_text(encoding="utf-8")
    verdicts = {key: claims.verdict_of(claims.evaluate(claim.tests)) for key, claim in claims.CLAIMS.items()}
    assert "come out as printed, some in part, and some only until a control is run" in page
    assert {claims.REPRODUCED, claims.IN_PART, claims.CONTRADICTED} <= set(verdicts.values())
    assert "it can end up **more** accurate" in page
    assert verdicts["C1"] == claims.REPRODUCED
    assert "how *much* is removed matters and how far accuracy falls does not" in page
    assert verdicts["dose"] == claims.REPRODUCED
    assert story.fate(RESULTS["The drop: the less stable, the better"]) == story.RULED_OUT
    assert "a network can gain although nothing is removed" in page
    zeroed = claims.evaluate(claims.CLAIMS["C5"].tests)[0]
    assert (zeroed.outcome, zeroed.estimate.sign) == (AGREES, 1)
    assert (
        "pruning gains less than a point beside weight decay, augmentation or dropout, or in a network whose head"
        in page
    )
    assert story.fate(RESULTS["Good practice: it makes up for what was left out"]) == story.SUPPORTED
    head = {r.test.what: r for r in RESULTS["A head that does not learn places by heart"]}
    assert head["signals, pooled head: prune 80%, against no hit"].outcome == AGREES
