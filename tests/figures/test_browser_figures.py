"""The kernel-free figures in the reader's hands: keyboard, mouse, finger, film; in Chromium, with no network."""

import pytest

from tests.book import figure_pages
from tests.book.figure_pages import INSERT, two_controls
from tools.browser import NARROW, WIDE, drag, painted, state

pytestmark = pytest.mark.browser

# pytest finds fixtures by the names of the module
address, open_page = figure_pages.address, figure_pages.open_page


@pytest.fixture
def stopped_clock(open_page):
    """Like open_page, but time stands still on the page until the test lets `page.clock.run_for(milliseconds)` pass."""

    def open_stopped(**options):
        here = open_page(**options)
        here.page.clock.install()
        here.page.reload()
        return here

    return open_stopped


def test_arrow_keys_home_and_end_move_the_slider_and_the_picture(open_page):
    here = open_page()
    figure = here.figures()[0]
    slider = figure.locator("input[type=range]")
    seen = [painted(figure)]
    slider.focus()
    for key, label in (("ArrowRight", "a tenth"), ("End", "nearly all"), ("ArrowLeft", "half")):
        slider.press(key)
        assert slider.get_attribute("aria-valuetext") == label
        assert figure.locator("output").inner_text().startswith(f"{label}: With {label} removed")
        assert figure.locator("img").get_attribute("alt") == f"How hard the pruning hits: {label}"
        seen.append(painted(figure))
    slider.press("Home")
    assert len(set(seen)) == 4  # four positions, four pictures
    assert painted(figure) == seen[0]


def test_mouse_drags_the_slider_and_the_picture(open_page):
    here = open_page()
    figure = here.figures()[0]
    first = painted(figure)
    drag(here.page, figure.locator("input[type=range]"), 0, 1)
    assert state(figure)[0] == 3
    last = painted(figure)
    assert last != first
    drag(here.page, figure.locator("input[type=range]"), 1, 1 / 3)
    assert state(figure)[0] == 1
    assert painted(figure) not in (first, last)


def test_finger_moves_the_slider(open_page):
    here = open_page(viewport=NARROW, has_touch=True)
    figure = here.figures()[0]
    first = painted(figure)
    box = figure.locator("input[type=range]").bounding_box()
    here.page.touchscreen.tap(box["x"] + box["width"] - 9, box["y"] + box["height"] / 2)
    assert state(figure)[0] == 3
    assert painted(figure) != first


def test_second_control_changes_the_picture_and_not_the_slider(open_page):
    figure = open_page().figures()[1]
    assert state(figure)[0] == 1
    smallest = painted(figure)
    figure.get_by_label("largest").check()
    assert state(figure)[0] == 1
    assert figure.locator("output").inner_text() == "a tenth, largest: a tenth, the largest filters."
    largest = painted(figure)
    assert largest != smallest
    figure.get_by_label("largest").press("ArrowLeft")
    assert figure.get_by_label("smallest").is_checked()
    assert painted(figure) == smallest


def test_play_stops_at_the_last_state_and_restarts_at_the_first(stopped_clock):
    here = stopped_clock()
    figure = here.figures()[0]
    button, output = figure.locator("button"), figure.locator("output")
    assert button.inner_text() == "Play"
    button.click()
    assert button.inner_text() == "Pause"
    assert output.get_attribute("aria-live") == "off"  # not read aloud at every step
    assert state(figure)[0] == 1
    here.page.clock.run_for(1300)
    assert state(figure)[0] == 2
    here.page.clock.run_for(5000)
    assert state(figure)[0] == 3
    assert button.inner_text() == "Play"
    assert output.get_attribute("aria-live") == "polite"
    button.click()
    assert state(figure)[0] == 0
    button.click()


def test_pause_and_a_hand_on_the_slider_stop_the_film(stopped_clock):
    here = stopped_clock()
    figure = here.figures()[0]
    button, slider = figure.locator("button"), figure.locator("input[type=range]")
    for stop in (button.click, lambda: slider.press("ArrowLeft")):
        slider.press("Home")
        button.click()
        assert button.inner_text() == "Pause"
        stop()
        assert button.inner_text() == "Play"
        held = state(figure)
        here.page.clock.run_for(5000)
        assert state(figure) == held


def test_play_starts_at_the_first_state_and_goes_on_where_it_was_paused(stopped_clock):
    here = stopped_clock()
    figure = here.figures()[0]
    button, slider = figure.locator("button"), figure.locator("input[type=range]")
    slider.press("Home")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    button.click()
    assert state(figure)[0] == 0
    here.page.clock.run_for(1300)
    assert state(figure)[0] == 1
    button.click()
    assert state(figure)[0] == 1
    button.click()
    assert state(figure)[0] == 2
    button.click()


def test_position_name_is_under_the_thumb_and_inside_the_figure(open_page):
    for viewport in (NARROW, WIDE):
        figure = open_page(viewport=viewport).figures()[0]
        slider, name = figure.locator("input[type=range]"), figure.locator(".gst-at b")
        last = int(slider.get_attribute("max"))
        for position in range(last + 1):
            slider.press("Home" if position == 0 else "ArrowRight")
            track, box = slider.bounding_box(), name.bounding_box()
            thumb = track["x"] + 8 + position / last * (track["width"] - 16)
            assert name.inner_text() == slider.get_attribute("aria-valuetext")
            ends = [end.is_visible() for end in figure.locator(".gst-ends span").all()]
            assert ends == [position > 0, position < last]  # what stands under the thumb is not said twice
            assert box["x"] - 8 <= thumb <= box["x"] + box["width"] + 8
            assert track["x"] - 1 <= box["x"]
            assert box["x"] + box["width"] <= track["x"] + track["width"] + 1


def test_nothing_plays_by_itself(stopped_clock):
    here = stopped_clock()
    before = [state(figure) for figure in here.figures()]
    here.page.clock.run_for(5000)
    assert [state(figure) for figure in here.figures()] == before


def test_with_reduced_motion_the_button_moves_one_state_at_a_time(stopped_clock):
    here = stopped_clock(reduced_motion="reduce")
    figure = here.figures()[0]
    button = figure.locator("button")
    assert button.inner_text() == "Next"
    button.click()
    assert state(figure)[0] == 1
    here.page.clock.run_for(5000)
    assert state(figure)[0] == 1
    for _ in range(3):
        button.click()
    assert state(figure)[0] == 0  # after the last comes the first


def test_figure_that_a_notebook_draws_again_works_beside_the_old_one(open_page):
    """A cell run twice puts a second figure of one name on the page, by innerHTML and script elements made anew."""
    here = open_page()
    here.page.evaluate(
        INSERT,
        two_controls(),
    )
    _, old, new = here.figures()
    old.get_by_label("largest").check()
    new.locator("input[type=range]").press("End")
    assert old.get_by_label("largest").is_checked()
    assert new.get_by_label("smallest").is_checked()
    assert (state(old)[0], state(new)[0]) == (1, 3)


def test_new_state_is_painted_soon_after_the_key(open_page):
    """No stopwatch here (see benchmarks/browser.py): the picture has been replaced before the next frame but one."""
    here = open_page()
    waited = here.page.evaluate(
        """async () => {
          const figure = document.querySelector(".gst-slider"), image = figure.querySelector("img");
          const range = figure.querySelector("input[type=range]"), frames = [];
          for (const value of [1, 2, 3, 0, 3]) {
            await new Promise(requestAnimationFrame);
            range.value = value;
            range.dispatchEvent(new Event("input", { bubbles: true }));
            let count = 0;
            while (!image.complete) { count += 1; await new Promise(requestAnimationFrame); }
            frames.push(count);
          }
          return frames;
        }"""
    )
    assert max(waited) <= 2
