"""The kernel-free figures before the reader's eyes: themes, widths, paper, no scripts, axe; in Chromium, no network."""

import pytest

from tests.book import figure_pages
from tests.book.figure_pages import HOSTILE
from tools.browser import FIGURE, NARROW, WIDE, accessibility_problems, colour, contrast, sideways_overflow

pytestmark = pytest.mark.browser

# pytest finds fixtures by the names of the module
address, open_page = figure_pages.address, figure_pages.open_page


@pytest.mark.parametrize(
    ("page", "scheme", "theme"),
    [
        ("page.html", "light", "light"),
        ("page.html", "dark", "dark"),
        ("dark.html", "light", "dark"),  # the page's theme is stronger than the system's
        ("light.html", "dark", "light"),
    ],
)
def test_text_is_legible_in_light_and_dark(open_page, page, scheme, theme):
    for figure in open_page(page, color_scheme=scheme).figures():
        card = colour(figure, "background-color")
        assert contrast(card, "#ffffff") < 1.5 if theme == "light" else contrast(card, "#ffffff") > 10
        for part in (
            ".gst-title",
            "output",
            "output b",
            ".gst-range label",
            ".gst-at b",
            ".gst-ends span",
            "button",
            "figcaption",
        ):
            for found in figure.locator(part).all():
                assert contrast(colour(found, "color"), card) >= 4.5
        assert contrast(colour(figure.locator("button"), "border-top-color"), card) >= 3
        assert contrast(colour(figure.locator("input[type=range]"), "accent-color"), card) >= 3
        image = figure.locator("img")
        assert colour(image, "background-color") == "rgba(0, 0, 0, 0)"
        assert colour(image, "filter") == ("none" if theme == "light" else "invert(1) hue-rotate(180deg)")


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["360 px", "1280 px"])
def test_no_figure_is_wider_than_the_window(open_page, viewport):
    here = open_page(viewport=viewport)
    assert sideways_overflow(here.page) <= 0
    for figure in here.figures():
        for part in (figure, figure.locator("img"), figure.locator("input[type=range]"), figure.locator("button")):
            box = part.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= viewport["width"]
        assert figure.locator("button").bounding_box()["height"] >= 44  # a finger's width


def test_slider_without_scripts_shows_a_picture_and_its_sentence(open_page):
    figure = open_page(java_script_enabled=False).figures()[1]
    assert figure.locator("img").is_visible()
    assert figure.locator("output").inner_text() == "a tenth, smallest: a tenth, the smallest filters."
    assert not figure.locator("input").first.is_visible()
    assert not figure.locator("button").is_visible()
    assert figure.locator("noscript").is_visible()


def test_the_picture_is_the_same_with_and_without_scripts(open_page):
    with_scripts = open_page().figures()[0].locator("img")
    without = open_page(java_script_enabled=False).figures()[0].locator("img")
    assert with_scripts.get_attribute("src") == without.get_attribute("src")
    boxes = [image.bounding_box() for image in (with_scripts, without)]  # beside its controls it may be smaller
    first, second = (box["width"] / box["height"] for box in boxes)
    assert first == pytest.approx(second, rel=0.01) and min(box["width"] for box in boxes) > 250


def test_print_shows_the_chosen_state_without_controls(open_page):
    here = open_page(color_scheme="dark")
    figure = here.figures()[0]
    figure.locator("input[type=range]").press("End")
    here.page.emulate_media(media="print")
    assert not figure.locator(".gst-controls").is_visible()
    assert figure.locator("img").is_visible()
    assert figure.locator("output").inner_text().startswith("nearly all:")
    assert colour(figure, "background-color") == "rgb(255, 255, 255)"
    assert colour(figure.locator("img"), "filter") == "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_say(open_page, scheme):
    here = open_page(color_scheme=scheme)
    assert accessibility_problems(here.page, within=FIGURE) == []
    here.figures()[1].locator("input[type=range]").press("End")
    assert accessibility_problems(here.page) == []


def test_keyboard_reaches_controls_in_reading_order_with_visible_focus(open_page):
    here = open_page()
    reached = []
    for _ in range(5):
        here.page.keyboard.press("Tab")
        reached.append(here.page.evaluate("document.activeElement.type"))
        assert here.page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    assert reached == ["button", "range", "button", "range", "radio"]


def test_text_with_markup_in_it_is_shown_as_text(open_page):
    here = open_page("hostile.html")
    figure = here.figures()[0]
    figure.locator("input[type=range]").press("End")
    assert here.page.title() == "Figures"
    assert figure.locator("img").count() == 1
    assert figure.locator("input[type=range]").get_attribute("aria-valuetext") == f"{HOSTILE} nearly all"
    assert figure.locator("output").inner_text() == f"{HOSTILE} nearly all, {HOSTILE}: {HOSTILE} nearly all"
    assert figure.locator(".gst-title").inner_text() == HOSTILE
