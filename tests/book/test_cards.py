"""The page of scores and interventions is what the package says."""

import re

import pytest

from gst_tutorial import studies
from gst_tutorial.interventions import INTERVENTIONS
from gst_tutorial.scores import PAPER_SCORES, SCORES
from tools.pages import cards


def test_the_page_is_up_to_date_and_has_a_card_for_each():
    text = cards.PAGE.read_text(encoding="utf-8")
    assert text == cards.page(), "run `python -m tools.pages.cards`"
    assert re.findall(r"^### `(\w+)`$", text, re.MULTILINE) == [*SCORES, *PAPER_SCORES, *INTERVENTIONS]


def test_studies_named_on_a_card_use_its_intervention():
    for name, entry in INTERVENTIONS.items():
        values = (entry.apply.__doc__ or "").split("Values:")[1].split("Source:")[0]
        for named in re.findall(r"`([\w-]+)`", " ".join(re.findall(r"stud(?:y|ies) (`[^)]*)\)", values))):
            assert name in {arm.config.intervention for arm in studies.get(named).arms}, (name, named)


def test_a_function_without_its_fields_gets_no_card():
    def score(layer, model, x):
        """What it does.

        When: always.
        """

    with pytest.raises(ValueError, match="lacks Values, Source"):
        cards.card("mine", score)
