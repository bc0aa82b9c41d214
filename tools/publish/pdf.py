"""Print the built book into two PDFs, with Chromium: one for teachers, with solutions, and one for students, without.

The pages are joined into one HTML document in the order of the table of contents, so that links between them lead to places in
the PDF. Figures with a slider show their first state; folded answers are open; code that pages hide is left out, as are figures
that live on scripts and the reference of the package. The document is printed twice: where the first print put the chapters
gives the page numbers of the contents.

    make pdf        # or: python -m tools.publish.pdf _build/html _build
"""

import argparse
import functools
import re
import shutil
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup

from tools.browser import chromium

ROOT = Path(__file__).resolve().parents[2]
TITLE = "The Generalization-Stability Tradeoff"
JOINED = "book/printed.html"
LEFT_OUT = {"book/api", "book/live"}
FOR_TEACHERS = {"book/teaching"}
CHAPTER = re.compile(r"book/(\d\d|[A-Z])_")  # each begins on a page of its own; other pages follow one another
REFERENCE = "Reference"

STYLE = """
  @page { size: A4; margin: 20mm 17mm 20mm; }
  html, body { background: #fff; font-size: 10.5pt; overflow: visible; height: auto; }
  body { display: block; }
  article.bd-article { display: block; max-width: none; padding: 0; }
  article.bd-article h1 { margin-top: 0; }
  article.reference + article.reference { margin-top: 12mm; }
  h1, h2, h3, h4 { break-after: avoid; }
  p, li { orphans: 3; widows: 3; }
  pre, .cell_output, figure, img, svg, mjx-container[display="true"], tr { break-inside: avoid; }
  div.highlight pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 8.5pt; }
  .long pre { break-inside: auto !important; }
  section[id$="--take-away"] { break-inside: avoid; }
  img, svg { max-width: 100%; }
  .cell_output img { max-height: 100mm; width: auto; }
  .gst-slider .gst-picture img { max-height: 85mm; width: auto; margin: 0 auto; }
  table { font-size: 9pt; width: 100%; }
  td, th { overflow-wrap: break-word; }
  .cell_output .output { overflow: visible; }
  details > summary { list-style: none; }
  .printed-solution { border-left: 3px solid #009e73; padding-left: 4mm; margin: 4mm 0; }
  .printed-title h1 { font-size: 26pt; margin-top: 50mm !important; }
  .printed-contents { list-style: none; padding: 0; margin-top: 15mm; }
  .printed-contents a { display: flex; color: inherit; text-decoration: none; }
  .printed-contents a::before { content: ""; order: 1; flex: 1; border-bottom: 1px dotted #767f88; margin: 0 2mm 1mm; }
  .printed-contents .number { order: 2; min-width: 2em; text-align: right; }
"""
# The head of a part's pages, and their number.
PAGE_STYLE = """
  @page {page} {{
    @top-left {{ content: "{head}"; font: 8pt sans-serif; color: #57606a; }}
    @top-right {{ content: "{title}"; font: 8pt sans-serif; color: #57606a; }}
    @bottom-center {{ content: counter(page); font: 8pt sans-serif; color: #57606a; }}
  }}
  .on-{page} {{ page: {page}; }}
"""


def order(toc: str, edition: str = "teachers") -> list[str]:
    """Names of an edition's pages, as _toc.yml lists them: "book/index", "book/01_pruning_basics", ..."""
    left_out = LEFT_OUT if edition == "teachers" else LEFT_OUT | FOR_TEACHERS
    return [page for page in re.findall(r"book/[\w-]+", toc) if page not in left_out]


def name_of(page: str) -> str:
    return page.rsplit("/", 1)[-1]


def prepared(article, name: str, names: set[str], edition: str = "teachers"):
    """An article as the PDF has it: ids are unique, links stay inside, what is folded is open."""
    for tag in article.select("a.headerlink, script, [data-gst-live]"):
        tag.decompose()
    for paragraph in article.find_all("p"):
        # Announces a figure that is not printed, or links to the page that follows anyway, often alone on a page.
        if re.match("On the book.s page|Next: ", paragraph.get_text()):
            paragraph.decompose()
    if edition == "students":
        for solution in article.select(".cell.tag_hide-cell, section#exercises details"):
            solution.decompose()
    for cell in article.select(".cell.tag_hide-input > details"):
        cell.decompose()  # the code of a figure: it is in the notebook
    for details in article.find_all("details"):
        details["open"] = ""
        if "hide" in details.get("class", []):  # a solution: on paper there is nothing to show or hide
            details.summary.decompose()
            details.name, details["class"] = "div", "printed-solution"
    for picture in article.find_all("img", loading="lazy"):
        del picture["loading"]  # on paper every picture is there at once
    for comment in article.select("pre .c1"):  # `# @title` is for Colab
        comment.string = comment.get_text().replace("# @title ", "# ", 1)
    for pre in article.find_all("pre"):
        if pre.get_text().count("\n") > 40:  # longer than what fits below other things on a page
            pre.parent["class"] = [*pre.parent.get("class", []), "long"]

    moved = set()
    for tag in article.find_all(id=True):
        if not tag.find_parent("svg") and not tag.find_parent(class_="gst-slider"):
            moved.add(tag["id"])
            tag["id"] = f"{name}--{tag['id']}"
    article["id"] = name
    for link in article.find_all("a", href=True):
        parts = urlsplit(link["href"])
        target = Path(parts.path).stem
        if parts.scheme or parts.netloc:
            continue
        if not parts.path and parts.fragment in moved:
            link["href"] = f"#{name}--{parts.fragment}"
        elif parts.path.endswith(".html") and target in names:
            link["href"] = f"#{target}--{parts.fragment}" if parts.fragment else f"#{target}"
        elif parts.path:
            link.unwrap()  # a page that is not in the PDF
    return article


def joined(html: Path, toc: str, version: str, edition: str = "teachers", numbers: dict[str, int] | None = None) -> str:
    """All pages of an edition of the built book as one HTML document; `numbers` are the PDF's pages on which they begin."""
    pages = order(toc, edition)
    names = {name_of(page) for page in pages}
    soups = {page: BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser") for page in pages}
    head = soups[pages[0]].head
    styles = "".join(str(tag) for tag in head.find_all("link", rel="stylesheet"))
    mathjax = "".join(str(tag) for tag in head.find_all("script") if "MathJax" in str(tag) or "mathjax" in str(tag))
    articles = {page: prepared(soups[page].find("article"), name_of(page), names, edition) for page in pages}

    rules, contents = PAGE_STYLE.format(page="reference", head=REFERENCE, title=TITLE), ""
    for page, article in articles.items():
        title = article.h1.get_text().strip()
        number = (numbers or {}).get(name_of(page), "")
        contents += f'<li><a href="#{article["id"]}"><span class="number">{number}</span>{title}</a></li>'
        if page == pages[0] or CHAPTER.match(page):
            of = f"part-{name_of(page).replace('_', '-').lower()}"
            rules += PAGE_STYLE.format(page=of, head=title.replace("\\", "").replace('"', "'"), title=TITLE)
            article["class"] = [*article.get("class", []), f"on-{of}"]
        else:
            article["class"] = [*article.get("class", []), "reference", "on-reference"]
    words = {
        "teachers": "Edition for teachers, with solutions.",
        "students": "Edition for students, without solutions.",
    }
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{TITLE}</title>{styles}<style>{STYLE}{rules}</style>{mathjax}</head>
<body>
<article class="bd-article"><div class="printed-title">
<h1>{TITLE}</h1>
<p>{words[edition]} Version {version}. Text and figures: the GST tutorial authors, CC BY 4.0. Code: MIT.</p>
<p>The book itself is a set of notebooks and pages. There the figures move, and every cell can be run.</p>
<ul class="printed-contents">{contents}</ul>
</div></article>
{"".join(map(str, articles.values()))}
</body></html>
"""


def first_pages(pdf: bytes) -> dict[str, int]:
    """The page, from 1, of each named place in a PDF that Chromium wrote."""
    objects = {
        int(number): body for number, body in re.findall(rb"(?<!\d)(\d+) 0 obj(.*?)endobj", pdf, flags=re.DOTALL)
    }

    def leaves(number: int) -> list[int]:
        kids = re.search(rb"/Kids\s*\[(.*?)\]", objects[number], flags=re.DOTALL)
        if not kids:
            return [number]
        return [leaf for kid in re.findall(rb"(\d+) 0 R", kids[1]) for leaf in leaves(int(kid))]

    catalog = next(body for body in objects.values() if b"/Type /Catalog" in body)
    root = re.search(rb"/Pages (\d+) 0 R", catalog)
    page_of = {leaf: position for position, leaf in enumerate(leaves(int(root[1])), start=1)}
    places = re.findall(rb"/([\w#.-]+)\s*\[(\d+) 0 R\s*/XYZ", b"".join(objects.values()))
    decoded = lambda name: re.sub(rb"#(..)", lambda code: bytes([int(code[1], 16)]), name).decode()  # noqa: E731
    return {decoded(name): page_of[int(page)] for name, page in places}


def write(html: Path, folder: Path, toc: Path = ROOT / "_toc.yml") -> list[Path]:
    """Print both editions of the book that was built in `html` into `folder`; returns the PDFs' paths.

    Raises:
        FileNotFoundError: if the book has not been built, or if there is no Chromium.
    """
    if not (html / "index.html").is_file():
        raise FileNotFoundError(f"no built book in {html}: run `make book`")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory() as copy, chromium() as browser:
        shutil.copytree(html, copy, dirs_exist_ok=True)
        for edition in ("teachers", "students"):
            text = functools.partial(joined, html, toc.read_text(encoding="utf-8"), version, edition)
            first = _printed(browser, Path(copy, JOINED), text())
            pdf = folder / f"gst-tutorial-{version}-{edition}.pdf"
            pdf.write_bytes(_printed(browser, Path(copy, JOINED), text(first_pages(first))))
            written.append(pdf)
    return written


def _printed(browser, file: Path, text: str) -> bytes:
    file.write_text(text, encoding="utf-8")
    tab = browser.new_context(offline=True, color_scheme="light").new_page()
    tab.emulate_media(media="print")
    tab.goto(file.as_uri(), wait_until="load", timeout=300_000)
    tab.evaluate("Promise.resolve(window.MathJax?.startup.promise).then(() => document.fonts.ready).then(() => true)")
    if untypeset := tab.locator("mjx-merror").count():
        raise ValueError(f"{untypeset} formulas could not be typeset")
    pdf = tab.pdf(prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    tab.context.close()
    return pdf


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("html", type=Path, help="folder of the built book")
    parser.add_argument("folder", type=Path, help="folder to write into")
    parser.add_argument(
        "--toc", type=Path, default=ROOT / "_toc.yml", help="the table of contents (default: the book's)"
    )
    arguments = parser.parse_args()
    for pdf in write(arguments.html, arguments.folder, arguments.toc):
        print(f"{pdf} ({pdf.stat().st_size / 1e6:.1f} MB)")
