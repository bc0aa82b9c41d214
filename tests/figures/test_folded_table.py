"""A table behind a line that opens it."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from gst_tutorial import statistics
from gst_tutorial.book.figures import folded


def test_folded_table_is_closed_complete_and_escaped():
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
def test_folded_table_names_bad_arguments(table, summary, error, words):
    with pytest.raises(error, match=words):
        folded(table, summary)
