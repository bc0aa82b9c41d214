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
PAGES = {FIRST: 1, LIVE: 4, CHAPTER_1: 1, CHAPTER_3: 1}  # and their live figures
THEME_RULES = ("label-content-name-mismatch", "region")  # what the book's theme breaks by itself
ASKED_LIMIT = 300_000  # bytes, compressed, for a reader who trains
FIRST_LOAD_LIMIT = 450_000
# Everything that trains, and the data it trains on.
HEAVY = re.compile(r"live/(vendor/|made/|worker\.js|network\.js)")
FORMS = {"click": ".gst-click", "timeline": ".gst-confounder", "cause": ".gst-cause"}


@pytest.fixture(scope="module")
def address(html):
    with serve(html) as address:
        yield address


def form(here, kind):
    return here.page.locator(FORMS[kind]).first


def text_of(figure):
    return figure.locator("output").first.inner_text()


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
        box = form(here, "click").bounding_box()
        assert box["y"] + box["height"] <= 800
        assert here.page.locator(".gst-click .gst-filter").count() == 64
        assert re.search(r"\d\d\.\d%\s*right", form(here, "click").inner_text())
        assert not here.page.locator("#fig-landing").is_visible(), "the recorded figure is folded away below"
        assert here.problems == []


def test_cutting_by_mouse_keyboard_and_drag_updates_every_display(browser, address):
    with visit(browser, address) as here:
        here.open(FIRST)
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
        pressed = figure.locator(".gst-filter[aria-pressed=true]").count()
        assert pressed == 10
        assert text_of(figure).startswith(f"10 of 64 filters cut: accuracy falls from {whole} to {number.inner_text()}")
        assert number.inner_text() != whole
        assert figure.locator(".gst-classes i").evaluate_all(bars) != classes
        figure.get_by_role("button", name="Cut 80%").click()
        assert figure.locator(".gst-filter[aria-pressed=true]").count() == 51
        figure.get_by_role("button", name="All back").click()
        assert number.inner_text() == whole
        assert figure.locator(".gst-filter[aria-pressed=true]").count() == 0
        assert here.problems == []


@pytest.mark.slow
def test_after_a_hard_cut_the_network_learns_on_and_passes_its_twin(browser, address):
    answers = []
    with visit(browser, address) as here:
        here.open(FIRST)
        here.page.wait_for_load_state("networkidle")
        here.page.context.on("response", lambda answer: answers.append(answer))
        figure = form(here, "click")
        figure.get_by_role("button", name="Cut 80%").click()
        here.page.wait_for_function("document.querySelectorAll('.gst-filter[aria-pressed=true]').length === 51")
        fallen = float(figure.locator(".gst-number b").inner_text().rstrip("%"))
        figure.get_by_role("button", name="Train on").click()
        here.page.wait_for_selector("[data-gst-live=click][data-gain]", timeout=120_000)
        end = float(figure.locator(".gst-number b").inner_text().rstrip("%"))
        assert end > fallen + 20
        # One point less than the least of six cuts of this kind in PyTorch, other seeds included, was 4.
        assert float(here.page.locator("[data-gst-live=click]").get_attribute("data-gain")) > 1
        assert "One pair is one pair" in text_of(figure)
        assert "13 filters" in text_of(figure)
        assert weight(answers) <= ASKED_LIMIT
        assert here.problems == []


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
        assert re.search(r"\d\d\.\d% against \d\d\.\d% for its twin: [+−]\d+\.\d points", text_of(figure))
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


def test_moved_events_show_the_recorded_answer_or_say_there_is_none(browser, address):
    with visit(browser, address) as here:
        here.open(LIVE)
        figure = form(here, "timeline")
        answers = {}
        for name in ("18 small, late", "2 big, early", "19 small, early"):
            figure.get_by_role("button", name=name).click()
            here.page.wait_for_function(
                "document.querySelector('.gst-confounder output').textContent.startsWith('Recorded')"
            )
            answers[name] = figure.locator("dd").all_inner_texts()
        instability, left, gain = zip(*answers.values())
        assert left == ("0", "16", "16")
        assert float(instability[1]) > 2 * float(instability[2])  # big steps hit harder than small ones
        assert len(set(gain)) == 3
        figure.get_by_role("button", name="2 big, late").click()
        assert text_of(figure).startswith("Nobody has recorded this one")
        assert figure.locator("dd").all_inner_texts() == ["–", "0", "–"]
        assert here.problems == []


def test_chapter_1_filter_shows_its_score_and_goes_silent_when_cut(browser, address):
    with visit(browser, address) as here:
        here.open(CHAPTER_1)
        figure = form(here, "click")
        near(here, figure)
        words = figure.locator(".gst-listen .gst-note")
        figure.locator(".gst-filter").nth(20).hover()
        assert re.match(r"Filter 21: score \(length of its weights\) \d\.\d\d, \d+ of 64", words.nth(1).inner_text())
        assert "what the head reads" in words.nth(1).inner_text()
        figure.locator(".gst-filter").nth(20).click()
        assert "multiplied by 0" in words.nth(1).inner_text()
        before = words.nth(0).inner_text()
        assert re.match(r"It is a \d; the network says \d", before)
        answers = {before}
        for _ in range(5):
            figure.get_by_role("button", name="Another signal").click()
            answers.add(words.nth(0).inner_text())
        assert len(answers) > 1
        assert here.problems == []


@pytest.mark.slow
def test_a_jolt_that_nobody_sees_ends_where_the_visible_one_ends(browser, address):
    with visit(browser, address) as here:
        here.open(LIVE)
        figure = form(here, "cause")
        figure.get_by_role("button", name="Train both").click()
        here.page.wait_for_selector("[data-gst-live=cause][data-seeds]", timeout=180_000)
        seen, unseen = figure.locator("dt").all_inner_texts()
        assert float(seen[-4:]) > 0.05
        assert unseen.endswith("instability 0.00")
        gains = [float(gain.replace("−", "-").split()[0]) for gain in figure.locator("dd").all_inner_texts()]
        # The same function of the same weights, in exact arithmetic; rounding lets the two drift a little.
        assert gains[0] == pytest.approx(gains[1], abs=1.0)
        assert here.problems == []


# --- every reader ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_live_figures_are_accessible_in_both_themes_and_fit_a_telephone(browser, address, page, theme):
    with visit(browser, address, color_scheme=theme, viewport=NARROW, reduced_motion="reduce") as here:
        here.open(page)
        if page != CHAPTER_3:
            near(here, form(here, "click"))
            form(here, "click").get_by_role("button", name="Cut half").click()
        if page in (LIVE, CHAPTER_3):
            form(here, "timeline").get_by_role("button", name="2 big, early").click()
        if page == LIVE:
            here.page.locator(".gst-experiment").hover()
            here.page.wait_for_selector(".gst-experiment .uplot")
        for viewport in (NARROW, WIDE):
            here.page.set_viewport_size(viewport)
            assert sideways_overflow(here.page) <= 0
        assert here.problems == []
        assert accessibility_problems(here.page, within="main", allowed=THEME_RULES) == []


@pytest.mark.parametrize("page", PAGES)
def test_without_scripts_words_stand_in_every_place_and_lead_somewhere(browser, address, page):
    with visit(browser, address, java_script_enabled=False) as here:
        here.open(page)
        places = here.page.locator("[data-gst-live]")
        assert places.count() == PAGES[page]
        for place in places.all():
            assert place.is_visible()
            assert len(place.inner_text()) > 80
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
        figure.locator(".gst-filter").first.click()
        assert text_of(figure).startswith("1 of 64 filters cut")
        figure.get_by_role("button", name="Train on").click()
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
        form(here, "click").get_by_role("button", name="Train on").click()
        here.page.wait_for_selector("[data-gst-live=click][data-gain]", timeout=120_000)
        assert here.problems == []


def test_scripts_of_the_experiment_are_on_no_page_that_has_none(html):
    for path in sorted((html / "book").glob("*.html")):
        text = path.read_text()
        assert ("_static/live/" in text) == ("data-gst-live" in text), path.name
