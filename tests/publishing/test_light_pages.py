"""A page loads what it uses: the theme's style sheet without the icons that the book does not show."""

from tools.publish.light_pages import icons, without_icons

BARS = '.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}'
TRUCK = '.fa-truck-monster:before{content:"\\f63b"}'
OTHERS = ".fa-lg{font-size:1.25em}.bd-search .fa-bars{left:0}"


def test_icons_that_no_page_names_leave_the_style_sheet():
    assert without_icons(BARS + TRUCK + OTHERS, icons('<i class="fa-solid fa-bars"></i>')) == BARS + OTHERS


def test_icon_stays_under_any_of_its_names():
    assert without_icons(BARS, {"fa-navicon"}) == BARS


def test_every_icon_of_the_built_book_has_its_rule(html):
    sheet = (html / "_static/styles/pydata-sphinx-theme.css").read_text()
    for page in html.glob("book/*.html"):
        for name in icons(page.read_text()) & {"fa-bars", "fa-list", "fa-magnifying-glass", "fa-download", "fa-expand"}:
            assert f".{name}:before" in sheet, (page.name, name)
    assert ".fa-truck-monster" not in sheet
