"""The built book in a wide and in a narrow font: no page scrolls sideways, and no code or output is cut.

A reader's browser chooses the font, so the tests choose it: DejaVu, which comes with matplotlib, and Liberation, which
has the widths of Arial and Courier New. `make book` builds the book.
"""

from functools import partial
from pathlib import Path

import matplotlib
import pytest
from matplotlib.font_manager import FontProperties, findfont

from tests.book.browser import NARROW, WIDE, sideways_overflow, visit
from tests.book.test_browser_book import address, each_page  # noqa: F401  the fixture

pytestmark = pytest.mark.browser

MATPLOTLIB = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FACES = [("Text", "normal"), ("Text", "bold"), ("Code", "normal"), ("Code", "bold")]
DEJAVU = [MATPLOTLIB / f"DejaVuSans{name}.ttf" for name in ("", "-Bold", "Mono", "Mono-Bold")]
# Icons and formulas have fonts of their own.
STYLE = """
*:not(:is([class*="fa-"], .fas, .far, .fab, mjx-container, mjx-container *)) { font-family: Text !important; }
:is(pre, code, kbd, samp, tt), :is(pre, code, kbd, samp, tt) * { font-family: Code !important; }
"""
PROBE = "What a pruned network has learned"
TEXT_WIDTH = f"""() => {{
  const probe = document.body.appendChild(document.createElement("span"));
  probe.textContent = "{PROBE}";
  probe.style = "position: absolute; font-size: 100px; white-space: nowrap; letter-spacing: 0; visibility: hidden";
  const width = probe.getBoundingClientRect().width;
  probe.remove();
  return width / 100;
}}"""
# Boxes of code and output whose content is wider than they are: it is cut, or must be scrolled to be read.
CUT = """() => [...document.querySelectorAll(".bd-article :is(pre, code, .highlight, .cell_input, .cell_output, .output)")]
  .filter((box) => box.clientWidth > 0 && box.scrollWidth > box.clientWidth)
  .map((box) => `${box.tagName} ${box.className}: ${box.scrollWidth} px in ${box.clientWidth}: ${box.innerText}`)"""


def liberation() -> list[Path]:
    """Its files; on a machine without them, what matplotlib brings: a narrower text, and code of the same width."""
    kinds = [(family, weight) for family in ("Liberation Sans", "Liberation Mono") for weight in ("normal", "bold")]
    try:
        return [Path(findfont(FontProperties(family=f, weight=w), fallback_to_default=False)) for f, w in kinds]
    except ValueError:
        return [MATPLOTLIB / "STIXGeneral.ttf", MATPLOTLIB / "STIXGeneralBol.ttf", *DEJAVU[2:]]


def text_width(font: Path) -> float:
    """Width of PROBE in the font, in units of the font's size."""
    face = matplotlib.ft2font.FT2Font(str(font))
    face.set_size(1000, 72)
    return sum(face.load_char(ord(letter)).linearHoriAdvance for letter in PROBE) / 65536 / 1000


def send(file: Path, route):
    route.fulfill(path=file)


FONTS = {"wide": DEJAVU, "narrow": liberation()}


@pytest.fixture(scope="module", params=FONTS)
def here(request, browser, address):  # noqa: F811
    """A page that shows every text in one of the two fonts."""
    files = FONTS[request.param]
    with visit(browser, address) as here:
        faces = "".join(
            f"@font-face {{ font-family: {family}; font-weight: {weight}; src: url({address}/tested-fonts/{number}.ttf); }}"
            for number, (family, weight) in enumerate(FACES)
        )
        for number, file in enumerate(files):
            here.page.route(f"{address}/tested-fonts/{number}.ttf", partial(send, file))
        here.style, here.text_width = faces + STYLE, text_width(files[0])
        yield here


def test_the_wide_font_is_wider_than_the_narrow_one():
    assert text_width(FONTS["wide"][0]) > 1.1 * text_width(FONTS["narrow"][0])


@each_page
def test_a_page_fits_every_window_and_no_code_or_output_is_cut(here, page):
    here.page.set_viewport_size(WIDE)
    here.open(page)
    here.page.add_style_tag(content=here.style)
    here.figures()
    here.page.evaluate("Promise.all([...document.fonts].map((face) => face.load()))")
    assert here.page.evaluate(TEXT_WIDTH) == pytest.approx(here.text_width, rel=0.02), "the font is not in use"
    for viewport in (WIDE, NARROW):
        here.page.set_viewport_size(viewport)
        assert here.page.evaluate(CUT) == [], f"cut at {viewport['width']} px"
        assert sideways_overflow(here.page) <= 0, f"scrolls sideways at {viewport['width']} px"
    assert here.problems == []
