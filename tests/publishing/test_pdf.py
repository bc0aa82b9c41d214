"""The printed book: pages in order, links that stay inside, nothing folded."""

import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from bs4 import BeautifulSoup

from tools.publish import pdf as make_pdf

TOC = "root: book/index\nchapters:\n  - file: book/01_one\n  - file: book/api\n"
INDEX = """<html><head></head><body><nav>not printed</nav><article class="bd-article"><section id="start"><h1>Start</h1>
<a href="01_one.html">one</a> <a href="01_one.html#end">its end</a> <a href="api.html#x">left out</a>
<a href="https://example.org">far</a></section></article></body></html>"""
ONE = """<html><head></head><body><article class="bd-article"><section id="start"><h1>One<a class="headerlink" href="#start">#</a>
</h1><details><summary>Answer</summary>folded</details><a href="#end">down</a><p id="end">end</p>
<div class="cell tag_hide-input"><details class="hide"><summary>Show</summary>code</details><p>figure</p></div>
<div class="cell tag_hide-cell"><details class="hide"><summary>Show</summary>solution</details></div>
<pre><span class="c1"># @title Solution 1.1</span></pre><p>Next: <a href="api.html">more</a></p>
<p>On the book’s page, filters can be cut:</p><div data-gst-live="click"><p>a live figure</p></div>
</section></article></body></html>"""


@pytest.fixture
def built(tmp_path):
    html = tmp_path / "html"
    (html / "book").mkdir(parents=True)
    (html / "index.html").write_text("start")
    (html / "book" / "index.html").write_text(INDEX)
    (html / "book" / "01_one.html").write_text(ONE)
    return html


def test_every_link_between_pages_leads_to_a_place_in_the_document(built):
    page = BeautifulSoup(make_pdf.joined(built, TOC, "1.0"), "html.parser")
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    links = {link.get_text(): link["href"] for link in page.article.find_next("article").find_all("a")}
    assert links == {"one": "#01_one", "its end": "#01_one--end", "far": "https://example.org"}
    assert all(link["href"][1:] in ids for link in page.find_all("a") if link["href"].startswith("#"))


def test_folds_are_open_and_hidden_parts_are_left_out(built):
    text = make_pdf.joined(built, TOC, "1.0")
    page = BeautifulSoup(text, "html.parser")
    assert all(details.has_attr("open") for details in page.find_all("details"))
    for shown in ("folded", "solution", "figure"):
        assert shown in page.get_text()
    for hidden in ("code", "Show", "not printed", "On the book", "a live figure", "Next", "@title"):
        assert hidden not in page.body.get_text()


def test_students_edition_has_no_solutions_and_no_teaching_page(built, root):
    students = BeautifulSoup(make_pdf.joined(built, TOC, "1.0", "students"), "html.parser")
    assert "solution" not in "".join(article.get_text() for article in students.find_all("article")[1:])
    toc = (root / "_toc.yml").read_text()
    assert set(make_pdf.order(toc, "teachers")) - set(make_pdf.order(toc, "students")) == {"book/teaching"}


def test_every_page_but_the_reference_and_the_live_one_is_printed(root):
    toc = (root / "_toc.yml").read_text()
    assert set(re.findall(r"book/[\w-]+", toc)) - set(make_pdf.order(toc)) == {"book/api", "book/live"}


def test_book_that_was_not_built_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="make book"):
        make_pdf.write(tmp_path / "html", tmp_path)


@pytest.mark.browser
def test_chromium_prints_a_page_for_the_title_and_for_every_part(built, tmp_path, root):
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    (tmp_path / "toc.yml").write_text(TOC)
    command = [sys.executable, "-m", "tools.publish.pdf", built, tmp_path, "--toc", tmp_path / "toc.yml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for pdf in (tmp_path / f"gst-tutorial-{version}-{edition}.pdf" for edition in ("teachers", "students")):
        data = pdf.read_bytes()
        assert data.startswith(b"%PDF")
        assert len(re.findall(rb"/Type /Page\b", data)) == 3
        places = make_pdf.first_pages(data)
        assert (places["index"], places["01_one"], places["01_one--end"]) == (2, 3, 3)
