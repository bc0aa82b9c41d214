"""Results that answer a guess stay hidden until the guess is made; readers without scripts, and paper, see them all."""

import re
from pathlib import Path

import pytest

from tools.browser import NARROW, serve, visit

pytestmark = pytest.mark.browser

SHIFT_LIMIT = 0.05
SHIFTS = """window.shifted = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""
# The guesses of each chapter whose results the veil must find, and how many outputs answer them.
RESULTS = {
    "01_pruning_basics": 2,
    "02_measuring_instability": 1,
    "03_the_tradeoff": 2,
    "04_noise_injection": 2,
    "05_flatness": 1,
    "06_what_a_jolt_is_made_of": 2,
    "07_standard_pipelines": 3,
    "08_real_images": 1,
    "10_your_own_network": 1,
}
each_chapter = pytest.mark.parametrize("chapter", RESULTS)
VEILED, NOTE = ".cell_output.gst-veiled", ".bd-article .cell > .gst-covered"


@pytest.fixture(scope="module")
def address(html):
    with serve(html) as address:
        yield address


def page_of(chapter):
    return f"book/{chapter}.html"


def guess(here, figure):
    """Answer a guess in whichever way it asks."""
    radios = figure.locator("input[type=radio]")
    if radios.count():
        radios.first.check()
    button = figure.get_by_role("button", name="This is my guess")
    button.click()
    if not radios.count():  # a marker that was not moved: pressed again, it stays where it is
        button.click()


@each_chapter
def test_results_are_hidden_until_each_guess_is_made(browser, address, chapter):
    with visit(browser, address) as here:
        here.open(page_of(chapter))
        hidden = here.page.locator(VEILED)
        assert hidden.count() >= RESULTS[chapter]
        assert not any(each.is_visible() for each in hidden.all())
        assert here.page.locator(NOTE).count() == hidden.count()
        for figure in here.page.locator(".gst-predict").all():
            guess(here, figure)
        here.page.wait_for_function(f"!document.querySelector('{VEILED}')")
        assert here.page.locator(NOTE).count() == 0
        here.page.reload()
        assert here.page.locator(VEILED).count() == 0, "a guess that was made is kept"
        assert here.problems == []


@each_chapter
def test_veils_move_nothing_and_hide_nothing_without_scripts(browser, address, chapter):
    with visit(browser, address, viewport=NARROW) as here:
        here.page.add_init_script(SHIFTS)
        here.open(page_of(chapter))
        here.page.wait_for_load_state("networkidle")
        note = here.page.locator(NOTE).first
        note.scroll_into_view_if_needed()
        here.page.wait_for_timeout(500)
        note.get_by_role("button").click()
        here.page.wait_for_timeout(500)
        assert here.page.evaluate("window.shifted") <= SHIFT_LIMIT
    with visit(browser, address, java_script_enabled=False) as here:
        here.open(page_of(chapter))
        assert here.page.locator(VEILED).count() == 0


def test_result_is_shown_by_keyboard_and_takes_the_focus(browser, address):
    with visit(browser, address) as here:
        here.open(page_of("02_measuring_instability"))
        button = here.page.locator(NOTE).get_by_role("button", name="Show it now")
        button.focus()
        here.page.keyboard.press("Enter")
        focused = here.page.locator(":focus")
        assert "instability 0." in focused.inner_text()
        assert focused.is_visible()
        assert here.page.locator(VEILED).count() == 0


def test_paper_shows_hidden_results_and_no_button(browser, address):
    with visit(browser, address) as here:
        here.open(page_of("02_measuring_instability"))
        here.page.emulate_media(media="print")
        assert here.page.locator(VEILED).first.is_visible()
        assert not here.page.locator(NOTE).first.is_visible()


def test_link_to_a_hidden_figure_opens_it(browser, address):
    with visit(browser, address) as here:
        here.open(page_of("05_flatness"))
        assert not here.page.locator("#fig-walk").is_visible()
        here.page.evaluate("location.hash = 'fig-walk'")
        here.page.locator("#fig-walk").wait_for()


def test_every_chapter_with_a_guess_is_in_the_list(html):
    pages = {
        path.stem for path in Path(html, "book").glob("*.html") if re.search('class="gst-predict ', path.read_text())
    }
    assert pages == set(RESULTS)
