"""The builder of predictions: what is in the HTML string, read back with an HTML parser."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup

import gst_tutorial as gst
from gst_tutorial.book.figures.prediction import SHEET
from gst_tutorial.statistics import Estimate
from tests.figures.prediction_pages import KINDS, WHY, bars, curve, estimate, place, ranges
from tools.browser import contrast

ROOT = Path(__file__).resolve().parents[2]


def parse(figure: str) -> BeautifulSoup:
    return BeautifulSoup(figure, "html.parser")


def data(figure: str) -> dict:
    return json.loads(parse(figure).find("script", type="application/json").string)


def folded(figure: str) -> str:
    return " ".join(parse(figure).find("details").get_text(" ").split())


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_without_scripts_is_a_question_and_a_folded_answer(kind):
    page = parse(KINDS[kind]())
    assert not page.details.has_attr("open")
    assert WHY in page.details.get_text()
    assert "Measured:" in page.details.get_text()
    assert "A tempting guess:" in page.details.get_text()
    assert [tag["class"] for tag in page.find_all(style=re.compile("display: *none"))] == [["gst-controls"]]
    page.details.decompose()
    for script in page.find_all(["script", "style"]):
        script.decompose()
    assert WHY not in page.get_text()  # nothing outside the fold gives it away
    assert "interval" not in page.get_text()


def test_answer_of_the_bars_follows_from_the_numbers():
    found = data(bars())
    assert (found["answer"], found["usual"]) == (1, 0)
    assert found["measured"] == "the largest, +3.1 points (95% interval +2.7 to +3.5, 20 seeds)"
    assert data(bars(pick="smallest"))["answer"] == 0
    assert "random ones: -1.3 points" in folded(bars())  # a float has no interval
    assert "Choose: the smallest / the largest / random ones." in parse(bars()).get_text()


def test_bars_start_at_zero_and_share_one_axis():
    found = data(bars(truth={"a": 0.02, "b": -0.02}, usual="a"))
    assert found["zero"] == 0.5
    assert [bar["at"] for bar in found["bars"]] == [1, 0]
    assert [bar["ends"] for bar in found["bars"]] == [[None, None]] * 2
    assert data(bars(truth={"a": 0.02, "b": 0.01}, usual="a"))["zero"] == 0


def test_right_range_is_the_one_that_holds_the_number():
    assert data(ranges())["answer"] == 1
    assert data(ranges(truth=estimate(2.0)))["answer"] == 0
    assert data(ranges(truth=-0.02))["measured"] == "lower, -2.0 points"


def test_place_has_a_slider_whose_stops_are_words():
    found = data(place())
    slider = parse(place()).find("input", type="range")
    assert slider["aria-valuetext"] == "+0.0 points"
    assert found["stops"][int(slider["value"])] == "+0.0 points"
    assert (found["stops"][0], found["stops"][-1], len(found["stops"])) == ("-10.0 points", "+10.0 points", 41)
    assert found["truth"][0]["at"] == pytest.approx(0.655)
    assert found["truth"][0]["ends"] == [pytest.approx(0.635), pytest.approx(0.675)]
    assert found["usual"] == [{"at": 0.25, "text": "-5.0 points"}]
    assert len(data(place(step=0.1))["stops"]) == 201


def test_guess_starts_at_zero_or_in_the_middle_and_never_at_the_answer():
    assert parse(place(axis=(20, 80), truth=0.7, usual=None)).input["aria-valuetext"] == "+50.0 points"
    starts = {parse(place(truth=estimate(points))).input["value"] for points in (-4, 0, 3)}
    assert len(starts) == 1


def test_curve_has_a_named_slider_for_each_x_in_order():
    found = data(curve(truth={95: -0.06, 20: 0.005, 40: 0.015, 60: 0.03}))
    assert found["names"] == ["20%", "40%", "60%", "95%"]
    assert found["x"] == sorted(found["x"])
    labels = [label.get_text() for label in parse(curve()).find_all("label")]
    assert [label.split(":")[0] for label in labels] == [f"removed {x}" for x in found["names"]]
    assert "removed 95%: -6.0 points (95% interval -6.4 to -5.6, 20 seeds)" in folded(curve())


def test_usual_guess_and_interval_are_optional():
    assert "usual" not in folded(place(usual=None, model=""))
    assert data(place(usual=None, model=""))["usual"] == []
    assert data(ranges(usual=None, model=""))["usual"] is None
    lonely = Estimate("one run", 0.02, np.nan, np.nan, 1)
    assert "interval" not in folded(place(truth=lonely))
    assert "+2.0 points" in folded(place(truth=np.float32(0.02)))


def test_prediction_is_self_contained_and_the_same_in_another_process():
    figure = "".join(build() for build in KINDS.values())
    assert not re.search(r"url\(|@import|fetch\(|https?:(?!//www\.w3\.org)", figure)
    program = "from tests.figures.prediction_pages import KINDS; print(*(build() for build in KINDS.values()), sep='', end='')"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert figure == there


@pytest.mark.parametrize("kind", KINDS)
def test_controls_are_native_and_keep_their_keys_in_jupyterlab(kind):
    controls = parse(KINDS[kind]()).find_all(["input", "button"])
    assert all(control["data-lm-suppress-shortcuts"] == "true" for control in controls)
    assert all(control.find_parent("label") for control in controls if control.name == "input")
    assert controls[-1].get_text() == "This is my guess"


def test_prediction_is_displayed_as_the_value_of_a_cell():
    found = gst.figures.predict("Up?", {"up": 1.0, "down": -1.0}, name="up", explanation="It went up.")
    assert found._repr_html_() == found.data
    assert callable(gst.figures.predict)  # after its module was loaded, too


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colour_of_the_usual_guess_has_enough_contrast(theme):
    card = re.search(rf"--gst-card:(#\w+);[^}}]*color-scheme:{theme}", SHEET)[1]
    usual = re.findall(rf"data-theme={theme}\][^}}]*\.gst-predict\{{--gst-usual:(#\w+)", SHEET)
    assert contrast(usual[0], card) >= 3


@pytest.mark.parametrize(
    ("build", "changes", "error", "message"),
    [
        (bars, {"question": " "}, ValueError, "question"),
        (bars, {"truth": {"only": 1.0}}, ValueError, "at least 2"),
        (bars, {"truth": {"a": 1.0, "b": 1.0}, "usual": "a"}, ValueError, "truth has several options"),
        (bars, {"truth": {"a": 1.0, "b": "x"}}, TypeError, r"truth\['b'\]='x' must be a number"),
        (bars, {"usual": "the smalest"}, ValueError, "usual.*the smallest"),
        (bars, {"model": ""}, ValueError, "model"),
        (bars, {"pick": "best"}, ValueError, "pick"),
        (bars, {"axis": (0, 1)}, ValueError, r"axis=\(0, 1\) does not go with numbers by name"),
        (bars, {"number": "d"}, ValueError, "number='d' must be a format"),
        (ranges, {"options": ["up", "down"]}, TypeError, "options="),
        (ranges, {"options": {"up": 1, "down": 2}}, TypeError, r"options\['up'\]=1 must be two numbers"),
        (ranges, {"options": {"up": (1, 0), "down": (2, 3)}}, ValueError, r"options\['up'\]=\(1, 0\)"),
        (ranges, {"options": {"up": (5, 9), "down": (-9, -5)}}, ValueError, "truth, .0.2 points, are none"),
        (ranges, {"options": {"up": (0, 9), "more": (0, 5)}}, ValueError, "'up' and 'more'"),
        (ranges, {"axis": (0, 1)}, ValueError, "axis"),
        (place, {"axis": None}, ValueError, "name the options to choose among, or the axis"),
        (place, {"axis": (0, float("inf"))}, ValueError, "axis"),
        (place, {"axis": (-10, 2)}, ValueError, "must hold truth, which is 3.1"),
        (place, {"usual": -11}, ValueError, "must hold usual, which is -11"),
        (place, {"label": ""}, ValueError, "label"),
        (place, {"step": 0.01}, ValueError, "step=0.01 makes 2000 steps"),
        (curve, {"truth": dict.fromkeys(range(9), 0.0)}, ValueError, "truth has 9 points"),
        (curve, {"truth": {1: 0.0, "b": 0.0}}, TypeError, "x of truth='b'"),
        (curve, {"axis": None}, ValueError, "axis is missing"),
        (curve, {"x_label": ""}, ValueError, "x_label"),
        (curve, {"usual": {20: 1}}, ValueError, "usual has the x"),
        (curve, {"options": {"a": (0, 1)}}, ValueError, "options"),
    ],
)
def test_bad_input_is_named(build, changes, error, message):
    with pytest.raises(error, match=message):
        build(**changes)
