"""The built book in the engines that are not Chromium: Firefox, and WebKit, which is Safari's."""

import os

import pytest

from tools.engines import ARROW_RIGHT, ENGINES, missing, serve_recorded

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FIRST, LIVE, CHAPTER = "book/index.html", "book/live.html", "book/03_the_tradeoff.html"
SLIDER = ".gst-slider input[type=range]"
PICTURE = "document.querySelector('.gst-slider img').src"


@pytest.fixture(scope="module")
def address(html):
    with serve_recorded(html) as address:
        yield address


@pytest.fixture(scope="module", params=ENGINES)
def tab(request):
    if reason := missing().get(request.param):
        pytest.fail(reason) if os.environ.get("REQUIRE_ENGINES") else pytest.skip(reason)
    with ENGINES[request.param]() as tab:
        yield tab


def button(tab, name: str, within: str) -> str:
    """A selector for the button with this text, once it is there."""
    find = f"[...document.querySelectorAll('{within} button')].find((each) => each.textContent.trim() === '{name}')"
    tab.wait(find)
    tab.js(f"void ({find}).setAttribute('data-test', '{name}')")
    return f"{within} [data-test='{name}']"


def test_landing_page_trains_to_a_gain_above_one_point(tab, address):
    tab.open(f"{address}/{FIRST}")
    tab.click("[data-gst-live=click] .gst-filter")
    tab.wait("document.querySelector('.gst-filter').getAttribute('aria-pressed') === 'true'")
    tab.click(button(tab, "Prune 80%", "[data-gst-live=click]"))
    tab.wait("document.querySelectorAll('.gst-filter[aria-pressed=true]').length === 51")
    tab.click(button(tab, "Keep training", "[data-gst-live=click]"))
    tab.wait("document.querySelector('[data-gst-live=click][data-gain]')", seconds=400)
    assert float(tab.js("document.querySelector('[data-gst-live=click]').dataset.gain")) > 1
    assert tab.errors() == []


def test_chapter_answers_slider_by_key_and_mouse_and_a_guess(tab, address):
    tab.open(f"{address}/{CHAPTER}")
    tab.click(SLIDER, across=0.02)
    start = tab.js(PICTURE)
    tab.press(SLIDER, ARROW_RIGHT)
    tab.wait(f"{PICTURE} !== {start!r}")
    by_key = tab.js(PICTURE)
    tab.click(SLIDER, across=0.98)
    tab.wait(f"{PICTURE} !== {by_key!r}")

    tab.click(".gst-predict input[type=radio]")
    before = tab.js("document.querySelector('.gst-predict').innerText")
    tab.click(button(tab, "This is my guess", ".gst-predict"))
    tab.wait(f"document.querySelector('.gst-predict').innerText.length > {len(before)}")
    assert tab.errors() == []


def test_training_page_draws_its_figures_without_an_error(tab, address):
    tab.open(f"{address}/{LIVE}")
    tab.place(".gst-experiment")
    tab.js("void document.querySelector('[data-gst-live=timeline]').scrollIntoView()")  # it is fetched when it is near
    tab.click(button(tab, "2 large, last at 23", "[data-gst-live=timeline]"))
    tab.wait("document.querySelectorAll('[data-gst-live] svg, [data-gst-live] canvas, .gst-filter').length > 64")
    assert tab.errors() == []
