"""Slow connections, large letters, no mouse, and a page that stays smooth while it trains.

How many seconds a slow connection takes: `python -m benchmarks live`.
"""

import json
import re

import pytest

from tools.browser import serve, sideways_overflow, visit

pytestmark = pytest.mark.browser

FIRST, LIVE = "book/index.html", "book/live.html"
CHAPTER_1, CHAPTER_2 = "book/01_pruning_basics.html", "book/02_measuring_instability.html"
TASK_LIMIT = 0.050  # seconds of processor time; the clock would also count how long a busy machine lets the page wait
#: Everything that a press of a filter does not need: what is fetched when the reader is near, and the library that trains.
LATER = ("**/live/made/*.bin", "**/live/made/*.json", "**/live/vendor/**", "**/live/worker.js", "**/mathjax/**")
COVERED = """(control) => {
  control.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
  const { left, right, top, width, height } = control.getBoundingClientRect();
  if (left < -1 || right > innerWidth + 1) return "outside: " + control.outerHTML.slice(0, 80);
  const there = document.elementFromPoint(left + width / 2, top + Math.min(height / 2, 20));
  const hit = there && (control.contains(there) || there.contains(control));
  return hit ? "" : `under ${there?.className}: ${control.outerHTML.slice(0, 80)}`;
}"""
OUTLINE = "parseFloat(getComputedStyle(document.activeElement).outlineWidth)"


@pytest.fixture(scope="module")
def address(html):
    with serve(html) as address:
        yield address


def output(here, figure):
    return here.page.locator(f"{figure} output").first.inner_text()


def test_filter_answers_before_the_network_has_arrived(browser, address):
    with visit(browser, address, viewport={"width": 1280, "height": 800}) as here:
        held, free = [], []
        for pattern in LATER:
            here.page.route(pattern, lambda route: route.continue_() if free else held.append(route))
        here.page.goto(f"{address}/{FIRST}", wait_until="commit")
        here.page.wait_for_selector("[data-gst-live=click][data-live='']")
        tile = here.page.locator(".gst-filter").nth(5)
        tile.click()
        assert tile.get_attribute("aria-pressed") == "true"
        assert here.page.locator(".gst-number").first.inner_text().split() == [
            "…",
            "correct",
            "with",
            "63",
            "of",
            "64",
            "filters",
        ]
        assert output(here, ".gst-click").startswith("1 of 64 filters cut. The network is being loaded")
        free.append(True)
        for route in held:
            route.continue_()
        here.page.wait_for_selector("[data-gst-live=click][data-ready]")
        assert output(here, ".gst-click").startswith("1 of 64 filters cut: accuracy falls from")


@pytest.mark.parametrize("page", [FIRST, LIVE, CHAPTER_1, CHAPTER_2])
def test_at_400_percent_every_control_of_the_text_is_in_reach(browser, address, page):
    zoomed = {"viewport": {"width": 320, "height": 256}, "device_scale_factor": 4, "reduced_motion": "reduce"}
    with visit(browser, address, **zoomed) as here:
        here.open(page)
        here.page.wait_for_load_state("networkidle")
        assert sideways_overflow(here.page) <= 0
        for place in here.page.locator("[data-gst-live]").all():
            place.evaluate("place => place.scrollIntoView()")
        here.page.wait_for_function("!document.querySelector('[data-gst-live]:not([data-live=\"\"])')")
        assert sideways_overflow(here.page) <= 0
        controls = here.page.locator("article :is(button, input, select, summary)").all()
        assert len(controls) > 10
        assert [found for each in controls if each.is_visible() and (found := each.evaluate(COVERED))] == []


def test_no_task_is_longer_than_50_ms_while_two_networks_train(browser, address):
    with visit(browser, address) as here:
        here.open(LIVE)
        here.page.get_by_role("button", name="Train a pair").click()
        here.page.wait_for_function(
            "/left/.test(document.querySelector('.gst-experiment .gst-progress').textContent)", timeout=120_000
        )
        browser.start_tracing(page=here.page, categories=["toplevel"])
        here.page.wait_for_timeout(5000)
        events = json.loads(browser.stop_tracing())["traceEvents"]
        assert here.page.get_by_role("button", name="Stop").is_enabled(), "it was still training"
    pages = {
        (e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        e["tdur"] / 1e6
        for e in events
        if e["name"].endswith("::RunTask") and "tdur" in e and (e["pid"], e["tid"]) in pages
    ]
    assert len(tasks) > 20
    assert max(tasks) <= TASK_LIMIT


# --- keyboard only ----------------------------------------------------------------------------------------------------


def tab_to(here, wanted, most=60):
    """Press Tab until the focus is on a control with these words; each stop on the way shows that it has the focus."""
    for _ in range(most):
        here.page.keyboard.press("Tab")
        name = here.page.evaluate("document.activeElement.textContent.trim() || document.activeElement.ariaLabel || ''")
        if here.page.evaluate("Boolean(document.activeElement.closest('.gst-live'))"):
            assert here.page.evaluate(OUTLINE) >= 2, name
        if name.startswith(wanted):
            return
    raise AssertionError(f"Tab does not reach {wanted!r}")


def test_first_page_is_played_by_keyboard_alone(browser, address):
    with visit(browser, address, reduced_motion="reduce") as here:
        here.open(FIRST)
        here.page.wait_for_selector("[data-live='']")
        title = here.page.locator("article h1").first
        title.evaluate("title => { title.tabIndex = -1; title.focus(); }")
        tab_to(here, "Your turn")
        here.page.keyboard.press("Enter")
        assert output(here, ".gst-click").startswith("Click a filter")
        here.page.wait_for_selector("[data-ready]")
        title.focus()
        tab_to(here, "Prune 80%")
        here.page.keyboard.press("Enter")
        here.page.wait_for_function("document.querySelectorAll('.gst-filter[aria-pressed=true]').length === 51")
        title.focus()
        tab_to(here, "above its twin")
        here.page.keyboard.press("Space")
        title.focus()
        tab_to(here, "Keep training")
        here.page.keyboard.press("Enter")
        here.page.wait_for_function("document.querySelector('.gst-click .gst-main').textContent === 'Stop'")
        here.page.keyboard.press("Enter")
        here.page.wait_for_function("document.querySelector('.gst-click output').textContent.startsWith('Stopped')")
        assert here.problems == []


def test_form_of_chapter_2_is_used_by_keyboard_alone(browser, address):
    with visit(browser, address) as here:
        here.open(CHAPTER_2)
        here.page.evaluate("document.querySelector('[data-gst-live=try]').scrollIntoView()")
        here.page.wait_for_selector(".gst-try")
        preset = here.page.get_by_role("button", name="half, all at once")
        preset.focus()
        tab_to(here, "90%, in nineteen events")
        here.page.keyboard.press("Enter")
        assert "in 19 steps" in here.page.locator(".gst-try").inner_text()
        tab_to(here, "under 10%")
        here.page.keyboard.press("Space")
        tab_to(here, "Train it here")
        here.page.keyboard.press("Enter")
        here.page.wait_for_function("document.querySelector('.gst-try .gst-main').textContent === 'Stop'")
        here.page.keyboard.press("Enter")
        here.page.wait_for_function("document.querySelector('.gst-try output').textContent === 'Stopped.'")
        assert here.problems == []


@pytest.mark.slow
def test_form_of_chapter_2_prints_the_instability_of_the_event(browser, address):
    with visit(browser, address) as here:
        here.open(CHAPTER_2)
        here.page.evaluate("document.querySelector('[data-gst-live=try]').scrollIntoView()")
        figure = here.page.locator(".gst-try")
        figure.get_by_role("button", name="90%, all at once").click()
        figure.get_by_role("button", name="more than 40%").click()
        figure.get_by_role("button", name="Train it here").click()
        here.page.wait_for_selector("[data-gst-live=try][data-gain]", timeout=300_000)
        found = re.search(
            r"The event destroyed \d+\.\d% of its accuracy: instability (0\.\d{3})\. You guessed",
            output(here, ".gst-try"),
        )
        # Six seeds in PyTorch lose between 0.41 and 0.70 of it in one event of this size after epoch 5.
        assert 0.3 < float(found[1]) < 0.8
        assert here.problems == []
