"""The builder of kernel-free figures: what is in the HTML string, read back with an HTML parser."""

import gzip
import json
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup

from gst_tutorial.book.figures.card import show
from gst_tutorial.book.figures.slider import SHEET, figure_frames, slider_figure
from gst_tutorial.book.figures.style import LINES, house_style
from tools.browser import contrast

ROOT = Path(__file__).resolve().parents[2]
LABELS = ["a nudge", "half", "nearly all"]
TEXTS = ["Accuracy stays at 84%.", "Accuracy falls to 61%.", "Accuracy falls to 12%."]


def square(side: int, inner: str = "") -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 36">'
        f'<rect width="{side}" height="{side}"/><text y="9">{inner}</text></svg>'
    )


TALL = square(3).replace("72 36", "72 72")


def build(**changes) -> str:
    arguments = {
        "frames": [square(side) for side in (1, 2, 3)],
        "labels": LABELS,
        "texts": TEXTS,
        "name": "fig-dose",
        "title": "How hard the pruning hits",
        "control_label": "share of filters removed",
    }
    arguments.update(changes)
    return slider_figure(arguments.pop("frames"), **arguments)


def two_controls(**changes) -> str:
    targets = ["smallest", "largest"]
    frames = {target: [square(10 * i + j) for j in (1, 2, 3)] for i, target in enumerate(targets)}
    texts = {target: [f"{text} ({target})" for text in TEXTS] for target in targets}
    return build(**{"frames": frames, "texts": texts, "second": "target", **changes})


def parse(figure: str) -> BeautifulSoup:
    return BeautifulSoup(figure, "html.parser")


def data(figure: str) -> dict:
    return json.loads(parse(figure).find("script", type="application/json").string)


def picture(address: str) -> ElementTree.Element:
    kind, _, svg = address.partition(",")
    assert kind == "data:image/svg+xml"
    return ElementTree.fromstring(urllib.parse.unquote(svg))


def sides(frames: list[str]) -> list[str]:
    return [picture(frame)[0].get("width") for frame in frames]


def draw(figure, height):
    axes = figure.subplots()
    axes.plot([0, 1], [0, height], label="pruned")
    axes.set(ylim=(0, 3), xlabel="epoch", ylabel="test accuracy")
    axes.legend()


def test_first_state_is_in_the_page_before_any_script_runs():
    page = parse(build())
    assert sides([page.img["src"]]) == ["1"]
    assert page.img["alt"] == "How hard the pruning hits: a nudge"
    assert page.figure["aria-label"] == "How hard the pruning hits"
    assert page.find("output").get_text() == "a nudge: Accuracy stays at 84%."
    assert not page.img.has_attr("hidden")
    assert [tag["class"] for tag in page.find_all(style=re.compile("display: *none"))] == [["gst-controls"]]


def test_figure_can_begin_at_a_later_state():
    page = parse(build(start=2))
    assert sides([page.img["src"]]) == ["3"]
    assert page.input["value"] == "2"
    assert page.input["aria-valuetext"] == "nearly all"
    assert "12%" in page.find("output").get_text()


def test_every_state_has_its_picture_its_name_and_its_sentence():
    content = data(two_controls())
    assert [sides(row) for row in content["frames"]] == [["1", "2", "3"], ["11", "12", "13"]]
    assert content["labels"] == LABELS
    assert content["texts"][1] == [f"{text} (largest)" for text in TEXTS]
    assert content["states"][1] == ["a nudge, largest", "half, largest", "nearly all, largest"]
    assert content["alts"][0][2] == "How hard the pruning hits: nearly all, smallest"


def test_controls_are_native_named_and_keep_their_keys_in_jupyterlab():
    page = parse(two_controls())
    slider = page.find("input", type="range")
    assert (slider["min"], slider["max"], slider["step"]) == ("0", "2", "1")
    assert slider.find_parent("label").get_text().strip() == "share of filters removed"
    radios = page.find_all("input", type="radio")
    assert [radio.find_parent("label").get_text() for radio in radios] == ["smallest", "largest"]
    assert [radio.has_attr("checked") for radio in radios] == [True, False]
    assert page.legend.get_text() == "target"
    controls = page.find_all(["input", "button", "select"])
    assert len(controls) == 4
    assert all(control["data-lm-suppress-shortcuts"] == "true" for control in controls)


def test_there_is_no_second_control_unless_it_is_asked_for():
    assert parse(build()).find("fieldset") is None
    assert parse(build()).find("input", type="radio") is None


def test_equal_arguments_give_an_equal_string_in_another_process_too():
    program = (
        "from tests.figures.test_slider import build, draw; from gst_tutorial.book.figures.slider import figure_frames;"
        "print(build(frames=figure_frames(draw, [1, 2, 3])), end='')"
    )
    here = build(frames=figure_frames(draw, [1, 2, 3]))
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert here == there


def test_figure_makes_no_request():
    figure = build(frames=figure_frames(draw, [1, 2, 3]))
    page = parse(figure)
    for tag in page.find_all(True):
        for key in ("src", "href", "srcset", "data", "action"):
            assert tag.get(key, "data:").startswith("data:")
    assert "url(" not in figure.replace("url(%23", "")  # a clip path inside the picture
    assert "@import" not in figure
    assert "fetch(" not in figure


def test_twenty_pictures_weigh_less_than_sixty_kilobytes():
    heights = [i / 10 for i in range(20)]
    labels = [f"{height:.1f}" for height in heights]
    figure = build(frames=figure_frames(draw, heights), labels=labels, texts=[f"Height {label}." for label in labels])
    assert len(gzip.compress(figure.encode())) < 60_000


def test_letters_of_a_figure_stay_text_in_common_fonts():
    [frame] = figure_frames(draw, [1])
    root = picture(data(build(frames=[frame] * 3))["frames"][0][0])
    texts = [element for element in root.iter() if element.tag.endswith("}text")]
    assert {"epoch", "test accuracy", "pruned"} <= {element.text for element in texts}
    assert all("sans-serif" in element.get("style") for element in texts if element.text)


def test_formula_names_a_font_that_readers_have_or_is_refused():
    def label(figure, text):
        figure.subplots().set_xlabel(text)

    [fine, broken] = figure_frames(label, [r"$\lambda_1$", "$a'$"])
    root = picture(data(build(frames=[fine] * 3))["frames"][0][0])
    spans = [element for element in root.iter() if element.tag.endswith("}tspan")]
    assert spans
    assert all("sans-serif" in span.get("style") for span in spans)
    with pytest.raises(ValueError, match=r"frames\[1\] has a formula in cmsy10"):
        build(frames=[fine, broken, fine])


def test_matplotlib_figures_and_svg_strings_can_be_given():
    from matplotlib.figure import Figure

    figures = []
    for height in (1, 2, 3):
        figures.append(Figure(figsize=(4, 2)))
        draw(figures[-1], height)
    page = parse(build(frames=figures))
    assert (page.img["width"], page.img["height"]) == ("384", "192")


def test_drawing_leaves_no_figure_open_and_no_setting_changed():
    import matplotlib
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    figure_frames(draw, [1, 2])
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def test_show_displays_the_string_as_html():
    figure = build()
    assert show(figure)._repr_html_() == figure
    with pytest.raises(TypeError, match="figure_html"):
        show(None)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"frames": []}, ValueError, "frames is empty"),
        ({"frames": [square(1)]}, ValueError, "frames has 1 items; labels has 3"),
        ({"frames": {"smallest": [square(1)] * 3}}, ValueError, "frames must be a list"),
        ({"second": "target"}, ValueError, "frames must be a mapping"),
        ({"frames": [1, 2, 3]}, TypeError, r"frames\[0\] must be a matplotlib figure"),
        ({"frames": [square(1), "<svg", square(3)]}, ValueError, r"frames\[1\] is not well-formed SVG"),
        ({"frames": ["<p>no picture</p>"] * 3}, ValueError, r"frames\[0\] must be an <svg> element"),
        ({"frames": [square(1), square(2), TALL]}, ValueError, r"frames\[2\] is \(96, 96\)"),
        ({"labels": ["only one"]}, ValueError, "at least 2"),
        ({"labels": ["half", "half", "all"]}, ValueError, "labels=.* must all differ"),
        ({"labels": ["half", "most"]}, ValueError, "labels has 2"),
        ({"labels": "abc"}, TypeError, "labels='abc' must be a list"),
        ({"labels": [0.1, 0.5, 0.9]}, TypeError, r"labels\[0\]=0.1 must be a string"),
        ({"texts": TEXTS[:2]}, ValueError, "texts has 2 items; labels has 3"),
        ({"texts": ["", "b", "c"]}, ValueError, r"texts\[0\]='' must not be empty"),
        ({"texts": {"smallest": TEXTS}}, ValueError, "texts must be a list"),
        ({"name": "two words"}, ValueError, "name='two words'"),
        ({"title": " "}, ValueError, "title"),
        ({"control_label": ""}, ValueError, "control_label"),
        ({"start": 3}, ValueError, "start=3 must be at most 2"),
    ],
)
def test_bad_input_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        build(**changes)


def test_choices_must_be_the_same_for_pictures_and_sentences():
    with pytest.raises(ValueError, match=r"texts has the choices \['largest'\]"):
        two_controls(frames={"smallest": [square(1)] * 3}, texts={"largest": TEXTS})
    with pytest.raises(ValueError, match=r"frames\['largest'\] is empty"):
        two_controls(frames={"smallest": [square(1)] * 3, "largest": []})
    with pytest.raises(ValueError, match="must all differ"):
        two_controls(frames={1: [square(1)] * 3, "1": [square(1)] * 3}, texts={1: TEXTS, "1": TEXTS})
    with pytest.raises(ValueError, match="frames is empty: it must have at least one choice"):
        two_controls(frames={}, texts={})


def test_frames_cannot_be_drawn_from_nothing():
    with pytest.raises(ValueError, match="values is empty"):
        figure_frames(draw, [])
    with pytest.raises(TypeError, match="draw=3"):
        figure_frames(3, [1])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_of_the_card_have_enough_contrast(theme):
    rules = {rule for rule in re.findall(r"\{(--gst-[^{}]*)\}", SHEET) if rule.endswith(f"color-scheme:{theme}")}
    assert len(rules) == 1  # wherever the theme is set, it is the same
    colours = dict(re.findall(r"--gst-(\w+):(#\w{6});", rules.pop()))
    for role, least in {"ink": 4.5, "soft": 4.5, "line": 3, "accent": 3}.items():
        assert contrast(colours[role], colours["card"]) >= least


def test_lines_are_distinguishable_on_white_and_without_colour():
    assert all(contrast(colour, "#ffffff") >= 3 for colour in LINES)
    assert len(set(LINES.values())) == len(LINES)


def test_letters_are_at_least_nine_pixels_high_on_a_telephone():
    width_on_screen = 360 - 50  # the margins of page and figure
    for width in (4.5, 5.0, 5.5):
        points = house_style(width)["font.size"]
        assert points / (72 * width) * width_on_screen >= 9


@pytest.mark.parametrize("text", ["/etc/hostname", "https://example.org/a.html", "", "words"])
def test_show_takes_html_and_reads_neither_files_nor_addresses(text, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"figure_html=.* must be HTML"):
        show(text)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "<p>").write_text("the file")
    assert show("<p>").data == "<p>"
