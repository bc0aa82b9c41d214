"""Print the built book into one PDF, with Chromium: every page in the order of the table of contents.

The pages are joined into one HTML document, so that links between them lead to places in the PDF. Figures with a slider show
their first state; folded answers and solutions are open; code that pages hide is left out, and so is the reference of the
package, which is for looking things up.

    make pdf        # or: python -m tools.publish.pdf _build/html _build
"""

import argparse
import re
import shutil
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
TITLE = "The Generalization-Stability Tradeoff"
JOINED = "book/printed.html"
LEFT_OUT = {"book/api"}

STYLE = """
  @page { size: A4; margin: 18mm 17mm 20mm; }
  html, body { background: #fff; font-size: 10.5pt; overflow: visible; height: auto; }
  body { display: block; }
  article.bd-article { display: block; max-width: none; padding: 0; break-before: page; }
  article.bd-article h1 { margin-top: 0; }
  h1, h2, h3, h4 { break-after: avoid; }
  p, li { orphans: 3; widows: 3; }
  pre, .cell_output, figure, img, svg, mjx-container[display="true"], tr { break-inside: avoid; }
  div.highlight pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 8.5pt; }
  .long pre { break-inside: auto !important; }
  img, svg { max-width: 100%; }
  .cell_output img { max-height: 150mm; width: auto; }
  table { font-size: 9pt; width: 100%; }
  td, th { overflow-wrap: break-word; }
  .cell_output .output { overflow: visible; }
  details > summary { list-style: none; }
  .printed-solution { border-left: 3px solid #009e73; padding-left: 4mm; margin: 4mm 0; }
  .printed-title { min-height: 220mm; display: flex; flex-direction: column; justify-content: center; }
  .printed-title h1 { font-size: 26pt; }
"""


def order(toc: str) -> list[str]:
    """Names of the pages, as _toc.yml lists them: "book/index", "book/01_pruning_basics", ..."""
    return [page for page in re.findall(r"book/[\w-]+", toc) if page not in LEFT_OUT]


def name_of(page: str) -> str:
    return page.rsplit("/", 1)[-1]


def prepared(article, name: str, names: set[str]):
    """An article as it stands in the PDF: ids are unique, links stay inside, what is folded is open."""
    for tag in article.select("a.headerlink, script"):
        tag.decompose()
    for cell in article.select(".cell.tag_hide-input > details"):
        cell.decompose()  # the code of a figure: it is in the notebook
    for details in article.find_all("details"):
        details["open"] = ""
        if "hide" in details.get("class", []):  # a solution: on paper there is nothing to show or hide
            details.summary.decompose()
            details.name, details["class"] = "div", "printed-solution"
    for picture in article.find_all("img", loading="lazy"):
        del picture["loading"]  # on paper every picture is there at once
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


def joined(html: Path, toc: str, version: str) -> str:
    """All pages of the built book as one HTML document."""
    pages = order(toc)
    names = {name_of(page) for page in pages}
    soups = {page: BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser") for page in pages}
    head = soups[pages[0]].head
    styles = "".join(str(tag) for tag in head.find_all("link", rel="stylesheet"))
    mathjax = "".join(str(tag) for tag in head.find_all("script") if "MathJax" in str(tag) or "mathjax" in str(tag))
    articles = [prepared(soups[page].find("article"), name_of(page), names) for page in pages]
    contents = "".join(f'<li><a href="#{a["id"]}">{a.h1.get_text().strip()}</a></li>' for a in articles[1:])
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{TITLE}</title>{styles}<style>{STYLE}</style>{mathjax}</head>
<body>
<article class="bd-article" style="break-before: auto"><div class="printed-title">
<h1>{TITLE}</h1>
<p>Version {version}. Text and figures: the GST tutorial authors, CC BY 4.0. Code: MIT.</p>
<p>The book itself is a set of notebooks and pages. There the figures move, and every cell can be run.</p>
<ul>{contents}</ul>
</div></article>
{"".join(map(str, articles))}
</body></html>
"""


def write(html: Path, folder: Path, toc: Path = ROOT / "_toc.yml") -> Path:
    """Print the book that was built in `html` into `folder`; returns the PDF's path.

    Raises:
        FileNotFoundError: if the book has not been built, or if there is no Chromium.
    """
    if not (html / "index.html").is_file():
        raise FileNotFoundError(f"no built book in {html}: run `make book`")
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    executable = next((path for path in found if path), None)
    if executable is None:
        raise FileNotFoundError("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    folder.mkdir(parents=True, exist_ok=True)
    pdf = folder / f"gst-tutorial-{version}.pdf"
    with tempfile.TemporaryDirectory() as copy, sync_playwright() as playwright:
        shutil.copytree(html, copy, dirs_exist_ok=True)
        page_file = Path(copy, JOINED)
        page_file.write_text(joined(html, toc.read_text(encoding="utf-8"), version), encoding="utf-8")
        options = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        tab = browser.new_context(offline=True, color_scheme="light").new_page()
        tab.emulate_media(media="print")
        tab.goto(page_file.as_uri(), wait_until="load", timeout=120_000)
        tab.evaluate(
            "Promise.resolve(window.MathJax?.startup.promise).then(() => document.fonts.ready).then(() => true)"
        )
        untypeset = tab.locator("mjx-merror").count()
        if untypeset:
            raise ValueError(f"{untypeset} formulas could not be typeset")
        number = '<div style="font-size: 8pt; width: 100%; text-align: center"><span class="pageNumber"></span></div>'
        tab.pdf(
            path=pdf,
            prefer_css_page_size=True,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=number,
            outline=True,
            tagged=True,
        )
        browser.close()
    return pdf


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("html", type=Path, help="folder of the built book")
    parser.add_argument("folder", type=Path, help="folder to write into")
    parser.add_argument(
        "--toc", type=Path, default=ROOT / "_toc.yml", help="the table of contents (default: the book's)"
    )
    arguments = parser.parse_args()
    pdf = write(arguments.html, arguments.folder, arguments.toc)
    print(f"{pdf} ({pdf.stat().st_size / 1e6:.1f} MB)")
