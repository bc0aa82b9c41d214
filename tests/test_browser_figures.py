"""The kernel-free figures as people use them: a small page with two figures, in Chromium, with no network."""

import contextlib

import pytest

from gst_tutorial.sliders import figure_frames, slider_figure
from tests.browser import (
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

LABELS = ["a nudge", "a tenth", "half", "nearly all"]
TARGETS = ["smallest", "largest"]
HOSTILE = "</script><img src=x onerror=document.title='broken'> & \"quotes\" <b>"
PAGE = """<!doctype html><html lang="en"{theme}><head><meta charset="utf-8"><title>Figures</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>html[data-theme=dark] {{ background: #14181e; color: #ced6dd }}</style></head>
<body><main><h1>Figures</h1>{figures}</main></body></html>"""


def pictures(slope: float) -> list[str]:
    def draw(figure, height):
        axes = figure.subplots()
        axes.plot([0, 1], [0, height * slope], label="pruned")
        axes.set(ylim=(0, 3), xlabel="epoch", ylabel="test accuracy")
        axes.legend()

    return figure_frames(draw, [0.2, 1, 2, 3])


def one_control() -> str:
    return slider_figure(
        pictures(1),
        labels=LABELS,
        texts=[f"With {label} removed the curve is steeper." for label in LABELS],
        name="fig-one",
        title="How hard the pruning hits",
        control_label="share of filters removed",
        caption="Drawn by the test.",
    )


def two_controls() -> str:
    return slider_figure(
        {target: pictures(1 - 0.3 * i) for i, target in enumerate(TARGETS)},
        labels=LABELS,
        texts={target: [f"{label}, the {target} filters." for label in LABELS] for target in TARGETS},
        name="fig-two",
        title="Which filters go",
        control_label="share of filters removed",
        second="target",
        start=1,
    )


def hostile() -> str:
    texts = [f"{HOSTILE} {label}" for label in LABELS]
    return slider_figure(
        {HOSTILE: pictures(1)},
        labels=texts,
        texts={HOSTILE: texts},
        name="fig-hostile",
        title=HOSTILE,
        control_label=HOSTILE,
        second=HOSTILE,
        caption=HOSTILE,
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    figures = one_control() + two_controls()
    pages = {
        "page.html": PAGE.format(theme="", figures=figures),
        "dark.html": PAGE.format(theme=' data-theme="dark"', figures=figures),
        "light.html": PAGE.format(theme=' data-theme="light"', figures=figures),
        "hostile.html": PAGE.format(theme="", figures=hostile()),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    with serve(folder) as address:
        yield address


@pytest.fixture
def open_page(browser, address):
    """A function (page name, options of the context) -> Visit; whatever it opened must have stayed without problems."""
    visits = []
    with contextlib.ExitStack() as stack:

        def open_page(name="page.html", **options):
            visits.append(stack.enter_context(visit(browser, address, **options)))
            return visits[-1].open(name)

        yield open_page
        assert [problem for here in visits for problem in here.problems] == []


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


def test_the_mouse_drags_the_slider_and_the_picture(open_page):
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


def test_a_finger_moves_the_slider(open_page):
    here = open_page(viewport=NARROW, has_touch=True)
    figure = here.figures()[0]
    first = painted(figure)
    box = figure.locator("input[type=range]").bounding_box()
    here.page.touchscreen.tap(box["x"] + box["width"] - 9, box["y"] + box["height"] / 2)
    assert state(figure)[0] == 3
    assert painted(figure) != first


def test_figures_on_one_page_do_not_move_each_other(open_page):
    one, two = open_page().figures()
    before = state(two), painted(two)
    one.locator("input[type=range]").press("End")
    assert state(one)[0] == 3
    assert (state(two), painted(two)) == before


def test_the_second_control_changes_the_picture_and_leaves_the_slider_where_it_is(open_page):
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


def test_play_runs_to_the_last_state_and_stops_and_starts_again_from_the_first(stopped_clock):
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


@pytest.mark.parametrize(
    ("page", "scheme", "theme"),
    [
        ("page.html", "light", "light"),
        ("page.html", "dark", "dark"),
        ("dark.html", "light", "dark"),  # the page's theme is stronger than the system's
        ("light.html", "dark", "light"),
    ],
)
def test_text_can_be_read_in_light_and_in_dark_and_the_picture_stays_white(open_page, page, scheme, theme):
    for figure in open_page(page, color_scheme=scheme).figures():
        card = colour(figure, "background-color")
        assert contrast(card, "#ffffff") < 1.5 if theme == "light" else contrast(card, "#ffffff") > 10
        for part in (".gst-title", "output", "output b", ".gst-range label", ".gst-ends span", "button", "figcaption"):
            for found in figure.locator(part).all():
                assert contrast(colour(found, "color"), card) >= 4.5
        assert contrast(colour(figure.locator("button"), "border-top-color"), card) >= 3
        assert contrast(colour(figure.locator("input[type=range]"), "accent-color"), card) >= 3
        assert colour(figure.locator("img"), "background-color") == "rgb(255, 255, 255)"


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


def test_without_scripts_the_first_picture_and_its_sentence_are_there_and_no_dead_control(open_page):
    figure = open_page(java_script_enabled=False).figures()[1]
    assert figure.locator("img").is_visible()
    assert figure.locator("output").inner_text() == "a tenth, smallest: a tenth, the smallest filters."
    assert not figure.locator("input").first.is_visible()
    assert not figure.locator("button").is_visible()
    assert figure.locator("noscript").is_visible()


def test_the_picture_is_the_same_with_and_without_scripts(open_page):
    with_scripts = open_page().figures()[0].locator("img")
    without = open_page(java_script_enabled=False).figures()[0].locator("img")
    assert with_scripts.screenshot() == without.screenshot()


def test_on_paper_the_state_that_was_chosen_is_there_and_the_controls_are_not(open_page):
    here = open_page(color_scheme="dark")
    figure = here.figures()[0]
    figure.locator("input[type=range]").press("End")
    here.page.emulate_media(media="print")
    assert not figure.locator(".gst-controls").is_visible()
    assert figure.locator("img").is_visible()
    assert figure.locator("output").inner_text().startswith("nearly all:")
    assert colour(figure, "background-color") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_say(open_page, scheme):
    here = open_page(color_scheme=scheme)
    assert accessibility_problems(here.page, within=FIGURE) == []
    here.figures()[1].locator("input[type=range]").press("End")
    assert accessibility_problems(here.page) == []


def test_the_keyboard_reaches_every_control_in_reading_order_and_focus_is_seen(open_page):
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


def test_a_figure_that_a_notebook_draws_again_works_beside_the_old_one(open_page):
    """A cell run twice puts a second figure of one name on the page, by innerHTML and script elements made anew."""
    here = open_page()
    here.page.evaluate(
        """(figure) => {
          const output = document.createElement("div");
          output.innerHTML = figure;
          for (const old of output.querySelectorAll("script")) {
            const script = document.createElement("script");
            for (const { name, value } of old.attributes) script.setAttribute(name, value);
            script.textContent = old.textContent;
            old.replaceWith(script);
          }
          document.querySelector("main").append(output);
        }""",
        two_controls(),
    )
    _, old, new = here.figures()
    old.get_by_label("largest").check()
    new.locator("input[type=range]").press("End")
    assert old.get_by_label("largest").is_checked()
    assert new.get_by_label("smallest").is_checked()
    assert (state(old)[0], state(new)[0]) == (1, 3)


def test_a_new_state_is_painted_soon_after_the_key(open_page):
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
