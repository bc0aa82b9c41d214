"""The built book, page by page: nothing failed, everything is described, every link leads somewhere, no network needed.

`make test` builds the book before it runs these tests.
"""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from tools.notebooks import setup_cell

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
PAGES = sorted(str(path.relative_to(HTML)) for path in HTML.rglob("*.html") if "_static" not in path.parts)
CONTENT_PAGES = [page for page in PAGES if page.startswith("book/")]

each_page = pytest.mark.parametrize("page", PAGES)
each_content_page = pytest.mark.parametrize("page", CONTENT_PAGES)
pytestmark = pytest.mark.usefixtures("html")


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(path: Path) -> frozenset[str]:
    return frozenset(
        tag.get("id") or tag.get("name") for tag in soup(path).find_all(lambda tag: tag.get("id") or tag.get("name"))
    )


def is_external(url: str) -> bool:
    return bool(urlsplit(url).scheme or urlsplit(url).netloc)


def test_every_page_of_the_table_of_contents_was_built(html):
    for name in re.findall(r"book/[\w-]+", (ROOT / "_toc.yml").read_text()):
        assert (html / f"{name}.html").is_file()


@each_content_page
def test_no_page_holds_a_traceback(page):
    assert "Traceback (most recent call last)" not in soup(HTML / page).get_text()


@each_content_page
def test_pictures_wait_until_they_are_near_and_hold_their_place(page):
    for picture in soup(HTML / page).find("article").select('img[src*="/_images/"]'):
        assert picture["loading"] == "lazy"
        assert int(picture["width"]) > 0 and int(picture["height"]) > 0


@each_page
def test_page_loads_an_extension_only_where_it_is_used(page):
    html = soup(HTML / page)
    loaded = " ".join(tag.get("href") or tag.get("src") for tag in html.select("link[rel=stylesheet], script[src]"))
    body = html.find("article") or html
    assert ("sphinx-design" in loaded) == bool(body.select('[class^="sd-"]'))
    assert ("copybutton.js" in loaded) == bool(body.select('[class^="highlight"]'))


@each_content_page
def test_no_page_shows_markup_that_was_not_understood(page):
    article = soup(HTML / page).find("article")
    # Code may show markup on purpose.
    strings = [string for string in article.find_all(string=True) if not string.find_parent(["pre", "code", "script"])]
    prose = " ".join(strings)
    assert re.findall(r"\{[a-z][\w:-]*\}`|:{3,}\s*\{|`{3,}", prose) == []
    assert "problematic" not in {name for tag in article.find_all(class_=True) for name in tag["class"]}


@each_page
def test_every_image_is_described(page):
    for image in soup(HTML / page).find_all("img"):
        alt = (image.get("alt") or "").strip()
        decorative = image.get("alt") == "" and (
            image.get("role") == "presentation" or image.get("aria-hidden") == "true"
        )
        launch_icon = image.find_parent(class_="btn") is not None  # the button beside it says where it leads
        in_article = page in CONTENT_PAGES and image.find_parent("article") is not None
        assert decorative or launch_icon or alt, f"no alt text: {image}"
        if in_article and not decorative:
            assert not re.search(r"\.(png|svg|jpe?g)$|^_images|^image$|^figure$", alt), f"not a description: {image}"
            assert len(alt.split()) >= 3, f"too short to describe anything: {image}"


@each_content_page
def test_every_drawing_in_the_text_is_described(page):
    for svg in soup(HTML / page).find("article").find_all("svg"):
        if svg.find_parent("svg") or svg.find_parent(attrs={"aria-hidden": "true"}) or svg.get("aria-hidden") == "true":
            continue
        described = svg.find_parent(attrs={"role": "img", "aria-label": True}) or svg.find_parent(
            attrs={"role": "img", "aria-labelledby": True}
        )
        assert described or svg.get("aria-label") or svg.get("aria-labelledby") or svg.find("title"), (
            f"not described: {str(svg)[:200]}"
        )


@each_page
def test_every_internal_link_leads_somewhere(page):
    path = HTML / page
    broken = []
    for tag, attribute in (("a", "href"), ("link", "href"), ("script", "src"), ("img", "src"), ("source", "src")):
        for element in soup(path).find_all(tag, **{attribute: True}):
            url = element[attribute]
            if is_external(url) or url in ("", "#"):
                continue
            parts = urlsplit(url)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if page == "404.html" and parts.path.startswith("/"):
                continue  # served at any depth, so its links begin at the root of the site
            if not target.is_file() or (
                parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target)
            ):
                broken.append(url)
    assert broken == []


@each_page
def test_a_page_loads_nothing_from_the_network(page):
    loaded = [
        element.get("src") or element.get("href")
        for element in soup(HTML / page).find_all(["script", "img", "iframe", "source", "link", "video"])
        if not {"canonical", "search", "next", "prev", "alternate", "author"} & set(element.get("rel", []))
    ]
    assert [url for url in loaded if url and is_external(url) and urlsplit(url).scheme != "data"] == []
    styles = " ".join(style.get_text() for style in soup(HTML / page).find_all("style"))
    assert re.findall(r"(?:url\(|@import)\s*['\"]?https?:[^)]*", styles) == []


@each_content_page
def test_a_notebook_page_opens_in_colab_from_a_file_that_exists(page):
    links = [a["href"] for a in soup(HTML / page).find_all("a", href=re.compile("^https://colab.research.google.com"))]
    if (ROOT / page).with_suffix(".ipynb").is_file():
        assert links
    for link in links:
        expected = f"https://colab.research.google.com/github/{setup_cell.repository()}/blob/main/"
        assert link.startswith(expected)
        assert (ROOT / link.removeprefix(expected)).is_file()


@each_content_page
def test_a_page_can_be_shared_and_found(page):
    head = soup(HTML / page).head
    owner, name = setup_cell.repository().split("/")
    address = f"https://{owner}.github.io/{name}/"
    assert head.find("link", rel="canonical")["href"] == address + page
    assert head.find("meta", property="og:title")["content"]
    assert head.find("meta", property="og:image")["content"] == address + "_static/social-preview.png"
    assert (HTML / "_static" / "social-preview.png").is_file()
    assert len(head.find("meta", attrs={"name": "description"})["content"]) >= 40


def test_the_sitemap_lists_every_page_of_the_book(html):
    owner, name = setup_cell.repository().split("/")
    listed = set(re.findall(r"<loc>(.*?)</loc>", (html / "sitemap.xml").read_text()))
    assert {f"https://{owner}.github.io/{name}/{page}" for page in CONTENT_PAGES} <= listed


def test_an_address_that_does_not_exist_gets_a_page_that_leads_home(html):
    owner, name = setup_cell.repository().split("/")
    links = [a["href"] for a in soup(html / "404.html").find_all("a")]
    assert f"/{name}/" in links or f"https://{owner}.github.io/{name}/" in links


@pytest.mark.browser
@each_page
def test_a_page_opens_from_the_file_system_without_network_or_errors(browser, page):
    """No request leaves the machine, the console stays free of errors, and every formula is typeset."""
    context = browser.new_context(offline=True)
    tab = context.new_page()
    errors, requests = [], []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto((HTML / page).as_uri())
    tab.wait_for_load_state("load")
    if tab.locator(".math").count():
        tab.wait_for_selector(".math mjx-container", state="attached")
        assert tab.locator("mjx-merror").count() == 0
    context.close()
    assert errors == []
    assert [url for url in requests if urlsplit(url).scheme not in ("file", "data", "blob")] == []
