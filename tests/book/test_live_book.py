"""The experiment as it stands in the built book: it answers, trains, can be read without scripts, and loads when asked."""

import gzip
import re
import shutil

import pytest

from tools.browser import NARROW, WIDE, accessibility_problems, serve, sideways_overflow, visit
from tools.publish import archive as make_archive

pytestmark = pytest.mark.browser

FIRST, LIVE = "book/index.html", "book/live.html"
CHAPTER_1, CHAPTER_3 = "book/01_pruning_basics.html", "book/03_the_tradeoff.html"
CHAPTERS = (
    "02_measuring_instability",
    "04_noise_injection",
    "05_flatness",
    "06_what_a_jolt_is_made_of",
    "07_standard_pipelines",
)
PAGES = {
    FIRST: 1,
    LIVE: 4,
    CHAPTER_1: 1,
    CHAPTER_3: 2,
    **{f"book/{name}.html": 2 if name.startswith("06") else 1 for name in CHAPTERS},
}  # and their live figures
THEME_RULES = ("label-content-name-mismatch", "region")  # what the book's theme breaks by itself
SHIFT_LIMIT = 0.05
ASKED_LIMIT = 300_000  # bytes, compressed, for a reader who trains
FIRST_LOAD_LIMIT = 450_000
# Everything that trains, and the data it trains on; the words of the forms are made, too, but small.
HEAVY = re.compile(r"live/(vendor/|made/(?!words\.js)|worker\.js|network\.js)")
FORMS = {"click": ".gst-click", "timeline": ".gst-confounder", "cause": ".gst-cause", "try": ".gst-try"}


@pytest.fixture(scope="module")
def address(html):
    with serve(html) as address:
        yield address


def form(here, kind):
    return here.page.locator(FORMS[kind]).first


def come_to(here, kind):
    """The reader comes near a figure that stands further down, and it is there."""
    here.page.wait_for_selector(f"[data-gst-live={kind}]", state="attached")
    here.page.evaluate(f"document.querySelector('[data-gst-live={kind}]').scrollIntoView()")
    here.page.wait_for_selector(f"[data-gst-live={kind}][data-live='']")
    return form(here, kind)


def text_of(figure):
    return figure.locator("output").first.inner_text()


#: Sums what Chromium reports of contents that moved without the reader's doing.
SHIFTS = """window.shifted = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""
TELEPHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "reduced_motion": "reduce"}


def take_over(here):
    """End the film, as the reader's first press does."""
    here.page.get_by_role("button", name="Your turn").click()


def pressed(here):
    return here.page.locator(".gst-filter[aria-pressed=true]").count()


def wait_for_pressed(here, n):
    here.page.wait_for_function(f"document.querySelectorAll('.gst-filter[aria-pressed=true]').length === {n}")


def near(here, figure):
    """The mouse comes near, and what is fetched then has arrived."""
    figure.scroll_into_view_if_needed()
    figure.locator(".gst-filter").first.hover()
    here.page.wait_for_selector("[data-gst-live=click][data-ready]")


def weight(answers):
    """Compressed bytes of all that came, each address once: both workers ask, and the browser's cache answers the second
    (which playwright switches off)."""
    once = {answer.url: answer for answer in answers if answer.status == 200}
    return sum(len(gzip.compress(answer.body(), 6)) for answer in once.values())


# --- the first page --------------------------------------------------------------------------------------------------


def test_filters_are_above_the_fold_and_fetch_lazily(browser, address):
    asked = []
    with visit(browser, address, viewport={"width": 1280, "height": 800}) as here:
        here.page.on("request", lambda request: asked.append(request.url))
        first = here.first_load(FIRST)
        assert [url for url in asked if HEAVY.search(url)] == []
        assert sum(first.values()) <= FIRST_LOAD_LIMIT
        for part in (".gst-filters", ".gst-switches", ".gst-chart", ".gst-main", ".gst-text"):
            box = form(here, "click").locator(part).first.bounding_box()
            assert box["y"] + box["height"] <= 800, part
        assert here.page.locator(".gst-click .gst-filter").count() == 64
        assert re.search(r"\d\d\.\d%\s*correct", form(here, "click").inner_text())
        assert not here.page.locator("#fig-landing").is_visible(), "the recorded figure is folded away below"
        assert here.problems == []


def test_cutting_by_mouse_keyboard_and_drag_updates_every_display(browser, address):
    with visit(browser, address) as here:
        here.open(FIRST)
        take_over(here)
        figure = form(here, "click")
        near(here, figure)
        tiles, number = figure.locator(".gst-filter"), figure.locator(".gst-number b")
        whole = number.inner_text()
        bars = "nodes => nodes.map(node => node.style.height)"
        classes = figure.locator(".gst-classes i").evaluate_all(bars)
        tiles.nth(0).click()
        assert tiles.nth(0).get_attribute("aria-pressed") == "true"
        tiles.nth(0).press("ArrowDown")
        here.page.keyboard.press("ArrowRight")
        here.page.keyboard.press("Space")
        assert tiles.nth(9).get_attribute("aria-pressed") == "true"
        start, end = tiles.nth(16).bounding_box(), tiles.nth(23).bounding_box()
        here.page.mouse.move(start["x"] + 9, start["y"] + 9)
        here.page.mouse.down()
        here.page.mouse.move(end["x"] + 9, end["y"] + 9, steps=20)
        here.page.mouse.up()
        assert pressed(here) == 10
        assert text_of(figure).startswith(f"10 of 64 filters cut: accuracy falls from {whole} to {number.inner_text()}")
        assert number.inner_text() != whole
        assert figure.locator(".gst-classes i").evaluate_all(bars) != classes
        figure.get_by_role("button", name="Prune 80%").click()
        assert pressed(here) == 51
        figure.get_by_role("button", name="Restore all").click()
        assert number.inner_text() == whole
        assert pressed(here) == 0
        assert here.problems == []


@pytest.mark.slow
def test_after_a_hard_cut_the_network_overtakes_its_twin(browser, address):
    answers = []
    with visit(browser, address) as here:
        here.open(FIRST)
        here.page.wait_for_load_state("networkidle")
        here.page.context.on("response", lambda answer: answers.append(answer))
        figure = form(here, "click")
        figure.get_by_role("button", name="Prune 80%").click()
        wait_for_pressed(here, 51)
        figure.get_by_role("button", name="above its twin").click()
        fallen = float(figure.locator(".gst-number b").inner_text().rstrip("%"))
        figure.get_by_role("button", name="Keep training").click()
        here.page.wait_for_selector("[data-gst-live=click][data-gain]", timeout=300_000)
        end = float(figure.locator(".gst-number b").inner_text().rstrip("%"))
        assert end > fallen + 20
        # One point less than the least of six cuts of this kind in PyTorch, other seeds included, was 4.
        assert float(here.page.locator("[data-gst-live=click]").get_attribute("data-gain")) > 1
        assert text_of(figure).startswith("It has overtaken its twin.")
        assert "You guessed right" in text_of(figure)
        assert "13 filters" in text_of(figure)
        assert re.search(r"Recorded in PyTorch .* over \d+ seeds: \+\d\.\d points", text_of(figure))
        assert weight(answers) <= ASKED_LIMIT
        assert here.problems == []


# --- the film on the first page ---------------------------------------------------------------------------------------


def test_film_plays_once_overtakes_and_hands_over(browser, address):
    with visit(browser, address) as here:
        here.open(FIRST)
        figure = form(here, "click")
        here.page.wait_for_selector("[data-film=playing]")
        here.page.wait_for_function(
            "document.querySelector('.gst-click output').textContent.includes('overtaken')", timeout=60_000
        )
        here.page.wait_for_selector("[data-film=over]", timeout=60_000)
        assert pressed(here) == 51
        assert not figure.locator(".gst-film").is_visible()
        take_over(here)
        assert pressed(here) == 0
        figure.get_by_role("button", name="Prune some filters first").click()
        assert text_of(figure).startswith("Prune some filters first")
        assert here.problems == []


@pytest.mark.parametrize("height", [740, 844])
def test_film_plays_by_itself_on_a_telephone(browser, address, height):
    with visit(browser, address, viewport={"width": 390, "height": height}, has_touch=True) as here:
        here.open(FIRST)
        here.page.wait_for_selector("[data-film=playing]")
        for part in (".gst-number", ".gst-chart"):
            box = here.page.locator(f".gst-click {part}").first.bounding_box()
            assert box["y"] + box["height"] <= height, part


def test_film_pauses_and_a_cut_ends_it(browser, address):
    with visit(browser, address) as here:
        here.open(FIRST)
        figure = form(here, "click")
        figure.get_by_role("button", name="Pause").click()
        words, number = text_of(figure), figure.locator(".gst-number").inner_text()
        here.page.wait_for_timeout(2000)
        assert (text_of(figure), figure.locator(".gst-number").inner_text()) == (words, number)
        near(here, figure)
        figure.locator(".gst-filter").nth(5).click()
        assert pressed(here) == 1
        assert text_of(figure).startswith("1 of 64 filters cut")


def test_film_stands_still_for_readers_who_want_less_motion(browser, address):
    with visit(browser, address, reduced_motion="reduce") as here:
        here.open(FIRST)
        figure = form(here, "click")
        here.page.wait_for_selector("[data-live='']")
        words = text_of(figure)
        assert [moment in words for moment in ("1:", "2:", "3:")] == [True] * 3
        assert figure.locator(".gst-moment").count() == 3
        here.page.wait_for_timeout(2000)
        assert text_of(figure) == words
        figure.get_by_role("button", name="Play").click()
        here.page.wait_for_selector("[data-film=playing]")


# --- fingers, bad connections, other eyes -----------------------------------------------------------------------------


def touch(here, *points):
    """A finger that goes down at the first point and moves over the others, by Chromium's own touch events."""
    client = here.page.context.new_cdp_session(here.page)
    for i, (x, y) in enumerate(points):
        client.send(
            "Input.dispatchTouchEvent", {"type": "touchMove" if i else "touchStart", "touchPoints": [{"x": x, "y": y}]}
        )
        here.page.wait_for_timeout(30)
    return client


def filters_in_view(here):
    """Where the first filter is, and how far apart filters are, with the reader's turn begun."""
    here.open(FIRST)
    here.page.wait_for_selector("[data-live='']")
    take_over(here)
    here.page.locator(".gst-filter").nth(24).evaluate("tile => tile.scrollIntoView({ block: 'center' })")
    first, second = (here.page.locator(".gst-filter").nth(i).bounding_box() for i in (24, 25))
    return first["x"] + 10, first["y"] + 10, second["x"] - first["x"]


def test_scrolling_with_a_finger_cuts_nothing(browser, address):
    with visit(browser, address, **TELEPHONE) as here:
        x, y, _ = filters_in_view(here)
        before = here.page.evaluate("scrollY")
        touch(here, *[(x + i, y - 15 * i) for i in range(10)]).send(
            "Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []}
        )
        here.page.wait_for_timeout(300)
        assert here.page.evaluate("scrollY") > before
        assert pressed(here) == 0


def test_sideways_stroke_cuts_and_a_tap_cuts_one(browser, address):
    with visit(browser, address, **TELEPHONE) as here:
        x, y, step = filters_in_view(here)
        touch(here, *[(x + i * step / 2, y) for i in range(7)]).send(
            "Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []}
        )
        wait_for_pressed(here, 4)
        here.page.touchscreen.tap(x + 6 * step, y)
        wait_for_pressed(here, 5)


def test_stroke_that_the_browser_takes_over_is_undone(browser, address):
    with visit(browser, address, **TELEPHONE) as here:
        x, y, step = filters_in_view(here)
        client = touch(here, *[(x + i * step / 2, y) for i in range(7)])
        wait_for_pressed(here, 4)
        client.send("Input.dispatchTouchEvent", {"type": "touchCancel", "touchPoints": []})
        wait_for_pressed(here, 0)


def test_number_and_curve_stay_in_sight_on_a_telephone(browser, address):
    with visit(browser, address, **TELEPHONE) as here:
        filters_in_view(here)
        last = here.page.locator(".gst-filter").last
        last.evaluate("tile => scrollBy(0, tile.getBoundingClientRect().bottom - innerHeight / 2)")
        for part in (".gst-number", ".gst-chart"):
            box = here.page.locator(f".gst-click {part}").first.bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= 500, part


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("page", [FIRST, LIVE, CHAPTER_1, CHAPTER_3])
def test_nothing_moves_while_the_page_loads(browser, address, page, width):
    with visit(browser, address, viewport={"width": width, "height": 844}) as here:
        here.page.add_init_script(SHIFTS)
        here.open(page)
        here.page.wait_for_load_state("networkidle")
        here.page.wait_for_timeout(1000)
        assert here.page.evaluate("window.shifted") <= SHIFT_LIMIT


def test_failed_request_is_retried_and_no_false_number_is_shown(browser, address):
    with visit(browser, address) as here:
        failed = []
        here.page.route("**/made/trained.bin", lambda route: (failed.append(1), route.abort()))
        here.open(FIRST)
        here.page.wait_for_selector("[data-live='']")
        take_over(here)
        figure = form(here, "click")
        figure.locator(".gst-filter").nth(2).click()
        here.page.wait_for_function(
            "document.querySelector('.gst-click output').textContent.includes('could not be loaded')"
        )
        assert figure.locator(".gst-number b").inner_text() == "…"
        here.page.unroute("**/made/trained.bin")
        figure.locator(".gst-filter").nth(3).click()
        here.page.wait_for_selector("[data-gst-live=click][data-ready]")
        assert failed
        assert text_of(figure).startswith("2 of 64 filters cut: accuracy falls from")
        assert re.match(r"\d\d\.\d%", figure.locator(".gst-number b").inner_text())


def test_training_is_retried_after_the_library_did_not_arrive(browser, address):
    with visit(browser, address) as here:
        here.page.context.route("**/vendor/jax/index.js", lambda route: route.abort())
        here.open(FIRST)
        figure = form(here, "click")
        figure.get_by_role("button", name="Prune half").click()
        wait_for_pressed(here, 32)
        figure.get_by_role("button", name="Keep training").click()
        here.page.wait_for_function(
            "document.querySelector('.gst-click output').textContent.includes('did not work')", timeout=60_000
        )
        here.page.context.unroute("**/vendor/jax/index.js")
        figure.get_by_role("button", name="Keep training").click()
        here.page.wait_for_function(
            "/left/.test(document.querySelector('.gst-click .gst-progress').textContent)", timeout=120_000
        )


def test_filters_and_bars_are_visible_in_forced_colors(browser, address):
    with visit(browser, address, forced_colors="active", reduced_motion="reduce") as here:
        here.open(FIRST)
        here.page.wait_for_selector("[data-live='']")
        ground = here.page.locator(".gst-click").evaluate("element => getComputedStyle(element).backgroundColor")
        for part in (".gst-filter i", ".gst-classes s i"):
            colour = here.page.locator(f".gst-click {part}").first.evaluate(
                "element => getComputedStyle(element).backgroundColor"
            )
            assert colour != ground, part
        line = here.page.locator(".gst-click [data-line=hit]").evaluate("element => getComputedStyle(element).stroke")
        assert line != ground
        here.open(LIVE)
        here.page.wait_for_selector(".gst-event")
        event = here.page.locator(".gst-event").first.evaluate("element => getComputedStyle(element).backgroundColor")
        assert event != here.page.locator(".gst-experiment").evaluate(
            "element => getComputedStyle(element).backgroundColor"
        )


# --- the page of its own ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pair_trains_joins_the_clouds_and_can_be_taken_home(browser, address, tmp_path):
    answers = []
    with visit(browser, address, accept_downloads=True) as here:
        here.open(f"{LIVE}#dose=0.5&events=1&first=1&seed=4")
        here.page.wait_for_load_state("networkidle")
        here.page.context.on("response", lambda answer: answers.append(answer))
        figure = here.page.locator(".gst-experiment")
        assert figure.get_by_label("seed").input_value() == "4"
        assert "50% of the last layer's 64 filters" in figure.inner_text()
        figure.get_by_role("button", name="Train a pair").click()
        here.page.wait_for_selector("[data-gst-live=experiment][data-runs]", timeout=120_000)
        assert re.search(r"\d\d\.\d% against \d\d\.\d% for its twin: [+−]\d+\.\d percentage point", text_of(figure))
        assert "One pair is one pair" in text_of(figure)
        with here.page.expect_download() as download:
            figure.get_by_role("button", name="Download").click()
        lines = download.value.path().read_text().splitlines()
        assert len(lines) == 2 and lines[1].startswith("prune,conv4,random,0.5,1,1,1,0.002,0,4,")
        assert weight(answers) <= ASKED_LIMIT
        assert here.problems == []


@pytest.mark.slow
def test_ten_seeds_show_a_growing_interval_and_can_be_stopped(browser, address):
    with visit(browser, address) as here:
        here.open(f"{LIVE}#dose=0.5&events=1&first=1")
        figure, words = (
            here.page.locator(".gst-experiment"),
            "document.querySelector('.gst-experiment .gst-{}').textContent",
        )
        figure.get_by_role("button", name="Ten seeds").click()
        result = words.format("result")
        here.page.wait_for_function(f"{result}.startsWith('Mean gain over 2 pairs')", timeout=180_000)
        number = r"[+−]\d+\.\d"
        assert re.match(
            rf"Mean gain over 2 pairs: {number} points \(95% interval {number} to {number}\)",
            here.page.evaluate(result),
        )
        figure.get_by_role("button", name="Stop").click()
        here.page.wait_for_function(f"{words.format('text')} === 'Stopped.'")
        assert figure.get_by_role("button", name="Ten seeds").is_enabled()
        assert here.problems == []


def test_presets_and_controls_change_settings_sentence_and_address(browser, address):
    with visit(browser, address) as here:
        here.open(LIVE)
        figure = here.page.locator(".gst-experiment")
        figure.wait_for()
        seen = set()
        for button in figure.locator(".gst-presets button").all():
            button.click()
            assert button.get_attribute("aria-pressed") == "true"
            seen.add((here.page.url, figure.locator(".gst-note").filter(has_text="epochs at the full").inner_text()))
        assert len(seen) == figure.locator(".gst-presets button").count() == 5
        last = figure.get_by_role("slider", name="last event")
        before = int(last.get_attribute("aria-valuenow"))
        last.press("ArrowLeft")
        last.press("PageDown")
        assert int(last.get_attribute("aria-valuenow")) == before - 6
        box = last.bounding_box()
        here.page.mouse.move(box["x"] + 14, box["y"] + 20)
        here.page.mouse.down()
        here.page.mouse.move(box["x"] + 90, box["y"] + 20, steps=5)
        here.page.mouse.up()
        moved = int(last.get_attribute("aria-valuenow"))
        assert moved > before - 6
        assert f"last={moved}" in here.page.url
        figure.get_by_label("what an event does").select_option("redirect")
        assert "intervention=redirect" in here.page.url
        here.page.reload()
        assert figure.get_by_label("what an event does").input_value() == "redirect"
        assert here.problems == []


def test_the_figure_and_its_controls_are_whole_within_the_first_screen(browser, address):
    with visit(browser, address, viewport={"width": 1280, "height": 800}) as here:
        here.open(LIVE)
        for part in (".gst-presets", ".gst-timeline", ".gst-fields", ".gst-chart", "button.gst-main"):
            box = here.page.locator(f".gst-experiment {part}").first.bounding_box()
            assert box["y"] + box["height"] <= 800, part


# --- the forms for chapters ------------------------------------------------------------------------------------------


def test_every_preset_of_the_timeline_has_a_recorded_answer(browser, address):
    with visit(browser, address) as here:
        here.open(LIVE)
        figure = come_to(here, "timeline")
        figure.get_by_role("button", name="2 large, last at 23").wait_for()
        assert not figure.locator(".gst-chart").first.is_visible()  # nothing blank before the first touch
        answers = {}
        for button in figure.locator(".gst-presets button").all():
            button.click()
            here.page.wait_for_function(
                "document.querySelector('.gst-confounder output').textContent.includes('Recorded')"
            )
            answers[button.inner_text()] = figure.locator("dd").all_inner_texts()
        instability, left, gain = zip(*answers.values())
        assert left == ("0", "16", "16", "16", "10")
        assert float(instability[2]) > 2 * float(instability[1])  # big steps hit harder than small ones
        points = [float(each.split()[0].replace("\N{MINUS SIGN}", "-")) for each in gain]
        assert points[0] < 0 < min(points[1:])  # what ends late loses, whatever the size of its steps
        assert here.problems == []


def test_timeline_says_what_changed_since_the_setting_before(browser, address):
    with visit(browser, address) as here:
        here.open(LIVE)
        figure = come_to(here, "timeline")
        figure.get_by_role("button", name="2 large, last at 23").wait_for()
        changes = []
        for button in figure.locator(".gst-presets button").all()[1:]:
            button.click()
            here.page.wait_for_function(
                "document.querySelector('.gst-confounder output').textContent.startsWith('Changed')"
            )
            changes.append(text_of(figure).split(".")[0])
        assert changes == [
            "Changed: only the last event (and the number of events by one)",
            "Changed: only the number of events",
            "Changed: only the number of events",
            "Changed: only the last event",
        ]
        now, before = figure.locator(".gst-track").all_inner_texts()
        assert now.startswith("Now: 3 events, the last after epoch 29; 10 epochs left")
        assert before.startswith("Before: 3 events, the last after epoch 23; 16 epochs left")
        figure.get_by_role("slider", name="last event").press("ArrowRight")
        assert "was not recorded" in text_of(figure)
        assert here.problems == []


def test_chapter_1_filter_shows_its_score_and_goes_silent_when_cut(browser, address):
    with visit(browser, address) as here:
        here.open(CHAPTER_1)
        figure = form(here, "click")
        near(here, figure)
        words = figure.locator(".gst-listen section > .gst-note")
        figure.locator(".gst-filter").nth(20).hover()
        assert re.match(
            r"Filter 21: score \(length of its weights\) \d\.\d\d, rank \d+ of 64", words.nth(1).inner_text()
        )
        assert "The head reads this channel" in words.nth(1).inner_text()
        figure.locator(".gst-filter").nth(20).click()
        assert "multiplied by 0" in words.nth(1).inner_text()
        before = words.nth(0).inner_text()
        assert re.match(r"This signal is a \d, and the network says \d", before)
        answers = {before}
        for _ in range(5):
            figure.get_by_role("button", name="Try another signal").click()
            answers.add(words.nth(0).inner_text())
        assert len(answers) > 1
        assert here.problems == []


@pytest.mark.slow
def test_a_jolt_that_nobody_sees_ends_where_the_visible_one_ends(browser, address):
    with visit(browser, address) as here:
        here.open(LIVE)
        figure = come_to(here, "cause")
        figure.get_by_role("button", name="Train both").click()
        here.page.wait_for_selector("[data-gst-live=cause][data-seeds]", timeout=180_000)
        seen, unseen = figure.locator("dt").all_inner_texts()
        assert float(seen[-4:]) > 0.05
        assert unseen.endswith("instability 0.00")
        gains = [float(gain.replace("−", "-").split()[0]) for gain in figure.locator("dd").all_inner_texts()]
        # The same function of the same weights, in exact arithmetic; rounding lets the two drift a little.
        assert gains[0] == pytest.approx(gains[1], abs=1.0)
        assert here.problems == []


def test_try_it_of_a_chapter_covers_the_recorded_answer_until_a_guess(browser, address):
    with visit(browser, address) as here:
        here.open("book/06_what_a_jolt_is_made_of.html")
        figure = come_to(here, "try")
        answer = here.page.locator("[data-gst-live=try] ~ .gst-answer")
        assert answer.count() == 1 and not answer.is_visible()
        figure.get_by_role("button", name="turn to a new direction").click()
        assert figure.get_by_label("what an event does").input_value() == "redirect"
        figure.get_by_role("button", name="averages").click()
        assert figure.get_by_role("button", name="averages").get_attribute("aria-pressed") == "true"
        figure.get_by_role("button", name="about the same").click()
        assert answer.is_visible()
        assert here.problems == []


@pytest.mark.slow
def test_with_weight_decay_the_gain_of_chapter_7_is_gone(browser, address):
    with visit(browser, address) as here:
        here.open("book/07_standard_pipelines.html")
        figure = come_to(here, "try")
        figure.get_by_role("button", name="on", exact=True).click()
        figure.get_by_role("button", name="Train it here").click()
        here.page.wait_for_selector("[data-gst-live=try][data-gain]", timeout=300_000)
        # Ten recorded seeds gain between -0.9 and 0.8 points with this decay, and between 1.5 and 6.3 without.
        assert float(here.page.locator("[data-gst-live=try]").get_attribute("data-gain")) < 1.9
        assert re.search(r"over 10 seeds: −0\.3 points", text_of(figure))


# --- every reader ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_live_figures_are_accessible_in_both_themes_and_fit_a_telephone(browser, address, page, theme):
    with visit(browser, address, color_scheme=theme, viewport=NARROW, reduced_motion="reduce") as here:
        here.open(page)
        kinds = set(here.page.locator("[data-gst-live]").evaluate_all("all => all.map(each => each.dataset.gstLive)"))
        if "click" in kinds:
            near(here, form(here, "click"))
            form(here, "click").get_by_role("button", name="Prune half").click()
        if "timeline" in kinds:
            come_to(here, "timeline").get_by_role("button", name="2 large, last at 23").click()
        for kind in kinds & {"try", "cause"}:
            come_to(here, kind)
        if page == LIVE:
            here.page.locator(".gst-experiment").hover()
            here.page.wait_for_selector("[data-gst-live=experiment][data-recorded]")
        for viewport in (NARROW, WIDE):
            here.page.set_viewport_size(viewport)
            assert sideways_overflow(here.page) <= 0
        assert here.problems == []  # before axe, which reads the style sheets again, from the wrong folder
        for viewport in (WIDE, NARROW):
            here.page.set_viewport_size(viewport)
            assert accessibility_problems(here.page, within="main", allowed=THEME_RULES) == [], viewport["width"]


@pytest.mark.parametrize("page", PAGES)
def test_without_scripts_words_stand_in_every_place_and_lead_somewhere(browser, address, page):
    with visit(browser, address, java_script_enabled=False) as here:
        here.open(page)
        places = here.page.locator("[data-gst-live]")
        assert places.count() == PAGES[page]
        for place in places.all():
            assert place.is_visible()
            assert len(place.inner_text()) > 60
        if page == FIRST:
            assert here.page.locator("#fig-landing img").is_visible()
        elif page == LIVE:
            assert places.first.locator("a[href^='https://colab.research.google.com/']").count() == 1


def test_without_workers_the_reader_is_told_and_the_filters_still_answer(browser, address):
    with visit(browser, address) as here:
        here.page.add_init_script("delete window.Worker")
        here.open(FIRST)
        figure = form(here, "click")
        near(here, figure)
        take_over(here)
        figure.locator(".gst-filter").first.click()
        assert text_of(figure).startswith("1 of 64 filters cut")
        figure.get_by_role("button", name="Keep training").click()
        assert "cannot train here" in text_of(figure)
        assert here.problems == []


@pytest.fixture(scope="module")
def unpacked(html, tmp_path_factory):
    """The book as a reader without a network has it: the archive, unzipped."""
    folder = tmp_path_factory.mktemp("archive")
    archive = make_archive.write(html, folder)
    shutil.unpack_archive(archive, folder)
    return folder / archive.stem


@pytest.mark.parametrize("page", PAGES)
def test_opened_from_a_file_the_archive_says_in_a_sentence_how_to_train(browser, unpacked, page):
    context = browser.new_context(offline=True)
    tab = context.new_page()
    errors = []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((unpacked / page).as_uri())
    places = tab.locator("[data-gst-live]").all()
    assert len(places) == PAGES[page]
    for place in places:
        assert "python -m http.server" in place.inner_text()
    if page == FIRST:
        assert tab.locator("#fig-landing img").is_visible()
    context.close()
    assert errors == []


def test_served_as_that_sentence_says_the_archive_trains(browser, unpacked):
    with serve(unpacked) as address, visit(browser, address) as here:
        here.open("index.html")
        here.page.wait_for_url(f"**/{FIRST}")
        figure = form(here, "click")
        figure.get_by_role("button", name="Prune half").click()
        figure.get_by_role("button", name="Keep training").click()
        here.page.wait_for_selector("[data-gst-live=click][data-gain]", timeout=300_000)
        assert here.problems == []


def test_scripts_of_the_experiment_are_on_no_page_that_has_none(html):
    for path in sorted((html / "book").glob("*.html")):
        text = path.read_text()
        assert ("_static/live/" in text) == ("data-gst-live" in text), path.name
