"""A table in a fold: all numbers in the page, behind one line."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from gst_tutorial import statistics
from gst_tutorial.book.figures import folded


def test_the_table_stands_in_a_fold_behind_its_summary_and_text_stays_text():
    estimates = {"a < b & c": statistics.Estimate("gain", 0.02, 0.01, 0.03, 20)}
    page = BeautifulSoup(folded(statistics.verdicts(estimates, 100), "Numbers <here>").data, "html.parser")
    assert page.details.summary.get_text() == "Numbers <here>"
    assert not page.details.has_attr("open")
    assert [cell.get_text() for cell in page.details.table.tbody.find_all(["th", "td"])] == [
        "a < b & c", "2.0", "1.0", "3.0", "20", "above zero",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "summary", "error", "words"),
    [
        ([1], "numbers", TypeError, "table must be a DataFrame, not list"),
        (pd.DataFrame(), 3, TypeError, "summary=3 must be a string"),
        (pd.DataFrame(), " ", ValueError, "must not be empty"),
    ],
)
def test_what_is_no_table_or_has_no_summary_is_refused(table, summary, error, words):
    with pytest.raises(error, match=words):
        folded(table, summary)
