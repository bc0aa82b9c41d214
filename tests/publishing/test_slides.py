"""The slides: every chapter is there, guesses come before results, figures fill the slide, links lead somewhere."""

import re

import pytest
from bs4 import BeautifulSoup

from tools.browser import serve, visit
from tools.publish import slides as make_slides

ROOM = 720  # px, the height of a slide


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return make_slides.write(tmp_path_factory.mktemp("slides"))


@pytest.fixture(scope="module")
def slides(page):
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select(".slides > section")


def kind(slide):
    if slide.h1:
        return "title"
    if slide.select_one(".gst-predict"):
        return "guess"
    return "figure" if slide.select_one(".figure") else "text"


def test_every_chapter_has_question_figure_guesses_and_takeaway(chapters, slides):
    titles = [slide.h1.get_text() for slide in slides if slide.h1]
    assert titles[1:] == [notebook.cells[0].source.splitlines()[0].removeprefix("# ") for notebook in chapters.values()]
    order = " ".join(map(kind, slides))
    assert re.fullmatch(r"title( title figure( guess figure| guess)* text)+", order), order


def test_the_notes_have_the_minutes_of_the_lecture_and_the_misconceptions(slides):
    notes = " ".join(aside.get_text() for aside in (slide.aside for slide in slides) if aside)
    assert len(re.findall(r"Minutes \d+–\d+\.", notes)) >= 5
    assert notes.count("Students believe:") > 20


def test_links_on_slides_are_whole_addresses(slides, root):
    links = [link["href"] for slide in slides for link in slide.find_all("a", href=True)]
    assert len(links) > 10
    for link in links:
        assert link.startswith("https://"), link
        if page := re.fullmatch(rf"{re.escape(make_slides.published())}book/([\w-]+)\.html(#.*)?", link):
            assert list((root / "book").glob(f"{page[1]}.*")), link


def test_scripts_and_styles_of_the_slides_come_with_them(page):
    text = page.read_text(encoding="utf-8")
    needed = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]+)"', text)
    assert len(needed) >= 4
    assert all((page.parent / name).is_file() for name in needed)


@pytest.mark.browser
def test_figures_fill_their_slide_and_nothing_sticks_out(page, browser):
    with serve(page.parent) as address, visit(browser, address, viewport={"width": 1280, "height": ROOM}) as here:
        tab = here.open("index.html").page
        tab.wait_for_function("window.Reveal && Reveal.isReady()")
        for number in range(tab.evaluate("Reveal.getTotalSlides()")):
            tab.evaluate(f"Reveal.slide({number})")
            height, width, figure = tab.evaluate("""(() => {
              const slide = Reveal.getCurrentSlide(), figure = slide.querySelector(".figure");
              return [slide.scrollHeight, slide.scrollWidth, figure && figure.offsetHeight];
            })()""")
            assert height <= ROOM and width <= 1280, f"slide {number + 1} is {width} x {height} px"
            assert figure is None or figure > 0.7 * ROOM, f"the figure of slide {number + 1} is {figure} px high"
        assert here.problems == []
