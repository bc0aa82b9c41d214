"""A prediction in the reader's hands: mouse, finger, keyboard, screen reader, no scripts; in Chromium, with no network."""

import pytest

from tests.book import figure_pages
from tests.book.figure_pages import INSERT, PAGE
from tests.figures.prediction_pages import GAINS, HOSTILE, KINDS, WHY, curve, hostile
from tools.browser import NARROW, accessibility_problems, colour, contrast, serve, sideways_overflow

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictions")
    figures = "".join(build() for build in KINDS.values())
    for name, theme, body in (
        ("page", "", figures),
        ("dark", ' data-theme="dark"', figures),
        ("hostile", "", hostile()),
    ):
        (folder / f"{name}.html").write_text(PAGE.format(theme=theme, figures=body), encoding="utf-8")
    with serve(folder) as address:
        yield address


open_page = figure_pages.open_page


def commit(figure):
    figure.get_by_role("button").click()


def tell_all(page):
    """Commit to some guess on every figure of the page."""
    for figure in page.locator(".gst-predict").all():
        if figure.locator("input[type=radio]").count():
            figure.locator("input").first.check()
        else:
            figure.locator("input").first.press("ArrowRight")
        commit(figure)


def told(figure) -> bool:
    return figure.get_attribute("data-state") == "told"


def centre(mark) -> tuple[float, float]:
    box = mark.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_nothing_is_told_before_the_guess(open_page):
    page = open_page().page
    for figure in page.locator(".gst-predict").all():
        assert not told(figure)
        assert WHY not in figure.inner_text()
        assert "Measured" not in figure.inner_text()
        assert figure.locator(".gst-measured, .gst-usual, .gst-bar").count() == 0


def test_choice_by_mouse_stays_beside_the_answer(open_page):
    figure = open_page().page.locator("#bars")
    figure.get_by_text("random ones", exact=True).click()
    commit(figure)
    lines = figure.locator("output li").all_inner_texts()
    assert lines == [
        "Your guess: random ones.",
        "Measured: the largest, +3.1 points (95% interval +2.7 to +3.5, 20 seeds).",
        "A tempting guess: the smallest. They do little.",
    ]
    assert figure.locator("output p").inner_text() == WHY
    rows = figure.locator("label")
    assert rows.nth(2).locator(".gst-mark.gst-guess").is_visible()
    assert rows.nth(1).locator(".gst-mark.gst-measured").is_visible()
    assert rows.nth(0).locator(".gst-mark.gst-usual").is_visible()
    assert figure.get_by_label("random ones").is_checked()
    assert figure.get_by_label("random ones").is_disabled()
    tallest, other = (rows.nth(i).locator(".gst-bar i").first.bounding_box()["width"] for i in (1, 2))
    assert tallest / other == pytest.approx(3.1 / 1.3, rel=0.02)


def test_choice_by_keyboard_keeps_the_focus_and_is_final(open_page):
    page = open_page().page
    figure = page.locator("#ranges")
    figure.locator("input").first.focus()
    for key in ("Space", "ArrowDown", "Tab", "Enter"):
        page.keyboard.press(key)
    assert figure.locator("output li").first.inner_text() == "Your guess: no difference. That is what was measured."
    button = figure.get_by_role("button")
    assert button.evaluate("button => button === document.activeElement")
    assert button.get_attribute("aria-disabled") == "true"
    before = figure.inner_text()
    page.keyboard.press("Enter")
    assert figure.inner_text() == before


def test_guess_must_be_made_first(open_page):
    page = open_page().page
    bars, place = page.locator("#bars"), page.locator("#place")
    commit(bars)
    assert (bars.locator("output").inner_text(), told(bars)) == ("Choose an answer first.", False)
    commit(place)
    assert "Move the marker first" in place.locator("output").inner_text()
    assert not told(place)
    commit(place)  # the middle may be somebody's guess
    assert told(place)


def test_place_by_keyboard(open_page):
    figure = open_page().page.locator("#place")
    slider = figure.get_by_role("slider")
    for _ in range(6):
        slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "+3.0 points"
    assert figure.locator("label").inner_text().strip() == "gain: +3.0 points"
    commit(figure)
    lines = figure.locator("output li").all_inner_texts()
    assert lines[0] == "Your guess: +3.0 points, which agrees with what was measured."
    assert lines[1] == "Measured: +3.1 points (95% interval +2.7 to +3.5, 20 seeds)."
    guess, measured, usual = (
        centre(figure.locator(f".gst-plot .gst-{who}"))[0] for who in ("guess", "measured", "usual")
    )
    assert usual < guess < measured
    ends = figure.locator(".gst-ends-of").bounding_box()
    assert ends["x"] < measured < ends["x"] + ends["width"]
    thumb = slider.bounding_box()  # the marker stands under the slider's thumb
    assert guess == pytest.approx(thumb["x"] + 8 + (thumb["width"] - 16) * 0.65, abs=2)


def test_curve_is_drawn_with_one_stroke_of_the_mouse(open_page):
    page = open_page().page
    figure = page.locator("#curve")
    plot = figure.locator(".gst-plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 0.75 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 0.25 * box["height"], steps=40)
    page.mouse.up()
    values = [int(slider.input_value()) for slider in figure.locator("input").all()]
    assert values == sorted(values)
    assert values[0] < 15 < 25 < values[-1]
    commit(figure)
    page.mouse.click(box["x"] + 5, box["y"] + 5)  # the guess stands
    assert [int(slider.input_value()) for slider in figure.locator("input").all()] == values
    cells = figure.locator("tbody tr").nth(3).locator("th, td").all_inner_texts()
    assert cells[0] == "95%"
    assert cells[2:] == ["-6.0 points (-6.4 to -5.6)", "-9.0 points"]
    assert figure.locator("caption").inner_text() == "In brackets: 95% intervals, 20 seeds."
    for who in ("guess", "measured", "usual"):
        assert figure.locator(f"polyline.gst-{who}").count() == 1
        assert figure.locator(f".gst-plot .gst-mark.gst-{who}").count() == len(GAINS)


def test_curve_by_keyboard_and_a_finger(open_page):
    page = open_page(viewport=NARROW, has_touch=True).page
    figure = page.locator("#curve")
    figure.get_by_label("removed 60%").press("End")
    heights = [centre(mark)[1] for mark in figure.locator(".gst-mark.gst-guess").all()]
    assert heights[2] < heights[0] == heights[1] == heights[3]
    plot = figure.locator(".gst-plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.touchscreen.tap(box["x"] + 8, box["y"] + box["height"] - 3)
    assert int(figure.get_by_label("removed 20%").input_value()) <= 1
    commit(figure)
    assert told(figure)


def test_predictions_on_one_page_are_independent_even_if_run_twice(open_page):
    page = open_page().page
    page.evaluate(
        INSERT,
        KINDS["bars"](),
    )
    old, new = page.locator("figure#bars").all()
    old.get_by_label("random ones").check()
    new.get_by_label("the largest").check()
    assert old.get_by_label("random ones").is_checked()
    commit(new)
    assert [told(figure) for figure in page.locator(".gst-predict").all()] == [False] * 4 + [True]


def test_without_scripts_it_is_a_text_with_a_folded_answer(open_page):
    page = open_page(java_script_enabled=False).page
    for figure in page.locator(".gst-predict").all():
        assert not figure.locator(".gst-controls").is_visible()
        assert figure.locator("summary").is_visible()
        assert not figure.get_by_text(WHY).is_visible()
        figure.locator("summary").click()
        assert figure.get_by_text(WHY).is_visible()


def test_print_shows_the_text_in_place_of_the_controls(open_page):
    page = open_page().page
    page.emulate_media(media="print")
    for figure in page.locator(".gst-predict").all():
        assert figure.locator(".gst-plain").is_visible()
        assert not figure.locator(".gst-controls").is_visible()


def test_no_label_becomes_markup(open_page):
    page = open_page("hostile.html").page
    tell_all(page)
    assert page.locator("figure img").count() == 0
    assert page.title() == "Figures"
    for figure in page.locator(".gst-predict").all():
        assert figure.locator("output p").inner_text() == HOSTILE
    assert sideways_overflow(page) == 0


@pytest.mark.parametrize("name", ["page.html", "dark.html", "hostile.html"])
def test_at_360_px_nothing_scrolls_sideways_and_no_text_leaves_its_card(open_page, name):
    page = open_page(name, viewport=NARROW).page
    for before in (True, False):
        assert sideways_overflow(page) == 0
        outside = page.evaluate(
            """() => [...document.querySelectorAll(".gst-predict")].flatMap((card) => {
              const box = card.getBoundingClientRect();
              return [...card.querySelectorAll("p, li, td, th, label, span, button, b")].filter((part) => {
                const own = part.getBoundingClientRect();
                return own.width && (own.left < box.left || own.right > box.right + 0.5);
              }).map((part) => part.outerHTML.slice(0, 200));
            })"""
        )
        assert outside == []
        if before:
            tell_all(page)


@pytest.mark.parametrize("name", ["page.html", "dark.html"])
def test_prediction_is_accessible_before_and_after_in_light_and_dark(open_page, name):
    page = open_page(name).page
    assert accessibility_problems(page, within=".gst-predict") == []
    for figure in page.locator(".gst-predict").all():
        assert figure.locator("output").get_attribute("aria-live") == "polite"
    tell_all(page)
    assert accessibility_problems(page, within=".gst-predict") == []
    card = colour(page.locator("#curve"), "background-color")
    for part in ("output p", "output li", "caption", "td", "th", "figcaption"):
        assert contrast(colour(page.locator(f"#curve {part}").first, "color"), card) >= 4.5


def test_it_works_in_a_frame_that_may_only_run_scripts(open_page):
    """Colab shows an output in such a frame: no storage, no parent."""
    page = open_page().page
    page.evaluate(
        """(figure) => {
          const frame = document.createElement("iframe");
          frame.sandbox = "allow-scripts";
          frame.srcdoc = figure;
          frame.style = "width: 700px; height: 900px";
          document.querySelector("main").prepend(frame);
        }""",
        curve(),
    )
    figure = page.frame_locator("iframe").locator("#curve")
    figure.locator("input").first.press("ArrowRight")
    commit(figure)
    assert figure.locator("output p").inner_text() == WHY
