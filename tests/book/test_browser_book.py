"""The built book in Chromium, page by page: quiet, offline, accessible, and every figure answers to keyboard and mouse.

`make book` builds it. Pages come from the table of contents; BOOK_HTML names another built book than _build/html.
"""

import gzip
import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.book.browser import (
    FIGURE,
    NARROW,
    WIDE,
    accessibility_problems,
    colour,
    contrast,
    drag,
    painted,
    serve,
    sideways_overflow,
    state,
    visit,
)

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("BOOK_HTML", ROOT / "_build" / "html"))

#: axe's rules that the book's theme breaks by itself, on every page and on the bibliography.
THEME_RULES = ("label-content-name-mismatch", "region")
BIBLIOGRAPHY_RULES = ("aria-required-children", "aria-allowed-role", "aria-deprecated-role")
FIRST_LOAD_LIMIT = 450_000  # bytes, compressed
FIGURE_LIMIT = 60_000


def contents(entry) -> list[str]:
    """The pages that a table of contents names, in its order."""
    if isinstance(entry, list):
        return [page for item in entry for page in contents(item)]
    here = [entry[key] for key in ("root", "file") if key in entry]
    return here + [page for key in ("parts", "chapters", "sections") for page in contents(entry.get(key, []))]


TOC = HTML.parents[1] / "_toc.yml"
PAGES = [f"{page}.html" for page in contents(yaml.safe_load(TOC.read_text()))] if TOC.is_file() else []
each_page = pytest.mark.parametrize("page", PAGES)


@pytest.fixture(scope="module")
def address():
    missing = [page for page in PAGES if not (HTML / page).is_file()]
    if missing or not PAGES:
        # In CI nothing may be missing; elsewhere a book that was never built is no fault of the code.
        fail = pytest.fail if os.environ.get("CI") or HTML.is_dir() else pytest.skip
        fail(f"not built: {', '.join(missing) or HTML}. Run `make book`.")
    with serve(HTML) as address:
        yield address


def test_every_chapter_and_the_first_page_have_a_figure_that_answers(address):
    without = [page for page in PAGES if is_chapter(page) and 'class="gst-slider' not in (HTML / page).read_text()]
    assert without == []


def is_chapter(page: str) -> bool:
    return page == PAGES[0] or is_numbered(page)


def is_numbered(page: str) -> bool:
    """A chapter with its figure first; the verdict is a page to read, of words and tables."""
    return Path(page).name[:2].isdigit() and "the_verdict" not in page


@each_page
def test_a_page_is_quiet_asks_nothing_of_the_network_and_fits_every_window(browser, address, page):
    with visit(browser, address) as here:
        weights = here.first_load(page)
        identifiers = here.page.eval_on_selector_all(f"{FIGURE}[id]", "figures => figures.map(figure => figure.id)")
        assert len(set(identifiers)) == len(identifiers)
        for viewport in (WIDE, NARROW):
            here.page.set_viewport_size(viewport)
            assert sideways_overflow(here.page) <= 0, f"scrolls sideways at {viewport['width']} px"
        assert sum(weights.values()) <= FIRST_LOAD_LIMIT, Counter(weights).most_common(8)
        assert here.problems == []


@pytest.mark.parametrize("page", [page for page in PAGES if is_numbered(page)])
def test_first_figure_and_its_controls_fit_on_the_first_screen(browser, address, page):
    with visit(browser, address, viewport={"width": 1280, "height": 800}) as here:
        here.open(page)
        here.page.wait_for_load_state("networkidle")
        figure = here.page.locator(FIGURE).first
        for part in (".gst-picture", ".gst-controls", "input[type=range]"):  # texts grow with the reader's font
            box = figure.locator(part).bounding_box()
            assert box["y"] + box["height"] <= 800, part
        assert figure.locator(".gst-controls").is_visible()


@each_page
def test_axe_finds_only_what_the_theme_brings(browser, address, page):
    bibliography = 'class="citation' in (HTML / page).read_text()
    allowed = THEME_RULES + BIBLIOGRAPHY_RULES * bibliography
    with visit(browser, address, color_scheme="light") as here:
        here.open(page)
        assert accessibility_problems(here.page, allowed=allowed) == []


@each_page
def test_every_figure_answers_to_keyboard_mouse_and_play(browser, address, page):
    if not has_figures(page):
        pytest.skip("a page without a figure")
    with visit(browser, address) as here:
        here.page.clock.install()  # the film waits for the test, not the test for the film
        here.open(page)
        here.page.clock.resume()
        for figure in here.figures():
            moves_by_keyboard(figure)
            moves_by_mouse(here.page, figure)
            plays_and_pauses(here.page, figure)
            changes_by_its_second_control(figure)
            weight = len(gzip.compress(figure.evaluate("figure => figure.outerHTML").encode()))
            assert weight <= FIGURE_LIMIT
        assert here.problems == []


def has_figures(page: str) -> bool:
    return 'class="gst-slider' in (HTML / page).read_text()


def moves_by_keyboard(figure):
    slider = figure.locator("input[type=range]")
    last = int(slider.get_attribute("max"))
    slider.press("Home")
    pictures, names = [painted(figure)], [slider.get_attribute("aria-valuetext")]
    sources = [figure.locator("img").get_attribute("src")]
    for position in range(1, last + 1):
        slider.press("ArrowRight")
        assert state(figure)[0] == position
        pictures.append(painted(figure))
        sources.append(figure.locator("img").get_attribute("src"))
        names.append(slider.get_attribute("aria-valuetext"))
        assert state(figure)[2].startswith(names[-1])
    assert all(one != next_one for one, next_one in pairwise(pictures)), "a step that changes nothing"
    assert len(set(names)) == last + 1
    slider.press("Home")
    # Sources, not screenshots: a text of another length above or below moves the picture by part of a pixel.
    assert figure.locator("img").get_attribute("src") == sources[0]
    slider.press("End")
    assert figure.locator("img").get_attribute("src") == sources[-1]


def moves_by_mouse(page, figure):
    slider = figure.locator("input[type=range]")
    before = painted(figure)
    drag(page, slider, 1, 0)
    assert state(figure)[0] == 0
    assert painted(figure) != before


def plays_and_pauses(page, figure):
    button = figure.locator("button")
    figure.locator("input[type=range]").press("Home")
    before = painted(figure)
    button.click()
    assert painted(figure) != before
    last = int(figure.locator("input[type=range]").get_attribute("max"))
    if last > 1:
        assert button.inner_text() == "Pause"
        button.click()
    assert button.inner_text() == "Play"
    held = state(figure)
    page.clock.run_for(5000)
    assert state(figure) == held


def changes_by_its_second_control(figure):
    radios = figure.locator("input[type=radio]")
    seen = []
    for radio in radios.all():
        radio.check()
        seen.append((painted(figure), state(figure)[2]))
    assert len({sentence for _, sentence in seen}) == len(seen)
    assert len(seen) < 2 or len({picture for picture, _ in seen}) > 1


@each_page
def test_every_figure_can_be_read_on_a_telephone_in_the_dark_theme(browser, address, page):
    """(In the light theme axe has read the whole page above.)"""
    if not has_figures(page):
        pytest.skip("a page without a figure")
    with visit(browser, address, color_scheme="dark", viewport=NARROW) as here:
        here.open(page)
        assert here.page.locator("html").get_attribute("data-theme") == "dark"
        for figure in here.figures():
            card = colour(figure, "background-color")
            assert contrast(card, "#ffffff") > 10
            assert contrast(colour(figure.locator(".gst-title"), "color"), card) >= 4.5
            assert colour(figure.locator("img"), "filter") == "invert(1) hue-rotate(180deg)"
            box = figure.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= NARROW["width"]
        assert accessibility_problems(here.page, within=FIGURE) == []


@each_page
def test_figures_without_scripts_show_their_first_state_and_no_control(browser, address, page):
    if not has_figures(page):
        pytest.skip("a page without a figure")
    with visit(browser, address, java_script_enabled=False) as here:
        here.open(page)
        for figure in here.page.locator(FIGURE).all():
            if not figure.is_visible():
                continue  # inside a fold that the reader opens
            assert figure.locator("img").evaluate("image => image.complete && image.naturalWidth > 0")
            assert figure.locator("img").is_visible()
            assert figure.locator("output").inner_text().strip()
            assert not figure.locator("button").is_visible()


@pytest.mark.parametrize("word", ["instability", "mask", "flatness", "seed", "accuracy", "prune_fraction"])
def test_the_search_shows_texts_before_names_of_the_package(browser, address, word):
    with visit(browser, address) as here:
        here.open(f"search.html?q={word}")
        results = here.page.locator("ul.search li")
        results.nth(3).wait_for()
        first = results.first.locator("a").first.get_attribute("href")
        assert re.match(r"book/(\d\d_|A_|glossary)", first), first


def test_search_and_index_fit_a_phone_and_quote_prose(browser, address):
    with visit(browser, address, viewport=NARROW) as here:
        here.open("genindex.html")
        assert sideways_overflow(here.page) <= 0
        here.open("search.html?q=measure_instability")
        here.page.locator("ul.search p.context").nth(2).wait_for()
        here.page.wait_for_load_state("networkidle")
        assert sideways_overflow(here.page) <= 0
        excerpts = here.page.locator("ul.search p.context").all_inner_texts()
        assert not [text for text in excerpts if "Show code" in text or text in ("...Colab", "...Repository")]


def test_the_search_finds_a_name_of_the_package(browser, address):
    with visit(browser, address) as here:
        here.open("search.html?q=measure_instability")
        found = here.page.locator("ul.search li a[href*='api.html#gst_tutorial']")
        found.first.wait_for()
        assert "measure_instability" in found.first.inner_text()


FIRST, FLATNESS = "book/index.html", "book/05_flatness.html"
MAP, ROW = ".gst-story", ".gst-story details"


def open_rows(here) -> list[str]:
    return here.page.locator(f"{ROW}[open] b:visible").all_inner_texts()


def test_map_row_opens_with_the_guess_of_its_chapter(browser, address):
    with visit(browser, address) as here:
        here.open(FIRST)
        assert here.page.locator(f"{MAP} :is(.gst-fate, summary b):visible").count() == 0
        row = here.page.locator(f"{MAP} ul ul > li", has_text="Flatness")
        waiting = row.locator(".gst-waiting")
        assert waiting.inner_text() == "Opens with your guess in chapter 5"
        waiting.locator("a").click()
        here.page.wait_for_url(f"**/{FLATNESS}")
        guess = here.page.locator("#guess-flat")
        guess.locator("input").first.check()
        guess.get_by_role("button").click()
        here.open(FIRST)
        assert [name.split(":")[0] for name in open_rows(here)] == ["Flatness"]
        assert row.locator(".gst-fate").is_visible() and not waiting.is_visible()
        assert here.problems == []


def test_closed_map_can_be_read_by_everybody(browser, address):
    with visit(browser, address) as here:  # on its own: the check reads the style sheets again, from the wrong folder
        here.open(FIRST)
        assert accessibility_problems(here.page, within=MAP) == []


def test_whole_map_opens_by_keyboard_and_prints_open(browser, address):
    with visit(browser, address) as here:
        here.open(FIRST)
        rows = here.page.locator(ROW).count()
        here.page.evaluate(
            "([rows]) => addEventListener('beforeprint', () => { window.printed = document.querySelectorAll(rows).length; })",
            [f"{ROW}[open]"],
        )
        here.page.pdf()
        assert here.page.evaluate("window.printed") == rows
        assert open_rows(here) == []
        here.page.get_by_role("button", name="Open the whole map").press("Enter")
        assert len(open_rows(here)) == rows
        assert here.page.evaluate("document.activeElement.tagName") == "SUMMARY"
        assert here.page.locator(f"{MAP} :is(.gst-waiting, .gst-closed):visible").count() == 0
        for viewport in (WIDE, NARROW):
            here.page.set_viewport_size(viewport)
            assert sideways_overflow(here.page) <= 0
        assert accessibility_problems(here.page, within=MAP) == []


def test_map_is_open_without_scripts(browser, address):
    with visit(browser, address, java_script_enabled=False) as here:
        here.open(FIRST)
        assert here.page.locator(f"{MAP} .gst-fate:visible").count() == here.page.locator(ROW).count()
        assert not here.page.locator(f"{MAP} .gst-closed").is_visible()
