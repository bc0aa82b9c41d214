"""Texts that try to become scripts, wherever the package and the book's tools put texts into HTML.

Each page is opened in Chromium, and every slider, choice, button, fold and link on it is used. A text has come through when
it ran (it sets `window.hit`) or asked the network for something.
"""

import dataclasses
import functools
from unittest import mock

import nbformat
import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from nbconvert import HTMLExporter

import gst_tutorial as gst
from gst_tutorial.book.exercises.answers import NotYet
from gst_tutorial.book.figures import folded, predict, slider_figure
from gst_tutorial.book.figures.effect import effect
from gst_tutorial.book.studies.claims import Claim
from gst_tutorial.book.widgets.answers import error_html, new_axes
from gst_tutorial.book.widgets.run_explorer import recorded_run, runs_html, shown_result
from tools.pages import claims, status

HERE = "http://page.test/"
AWAY = "https://elsewhere.test/"
TEXTS = [
    "<script>window.hit=1</script>", "</script><script>window.hit=1</script>", "</style><script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>", '"><img src=x onerror=window.hit=1>', "'><svg onload=window.hit=1>", "--><svg/onload=window.hit=1>",
    '" autofocus onfocus="window.hit=1" x="', "' autofocus onfocus='window.hit=1' x='", "<!--<script>", "]]><script>window.hit=1</script>",
    "</details></summary></pre><iframe srcdoc='<script>parent.hit=1</script>'></iframe>", "</noscript></title></textarea><img src=x onerror=window.hit=1>",
    "[a](javascript:window.hit=1)", f"![a]({AWAY}a.png)", f"<{AWAY}>", "` | <img src=x onerror=window.hit=1> | `", "<a href=javascript:window.hit=1>a</a>",
    "${window.hit=1}`+(window.hit=1)//", "\\u003cimg src=x onerror=window.hit=1\\u003e", "&lt;img src=x onerror=window.hit=1&gt;",
    f"<link rel=stylesheet href={AWAY}a.css>", f"<style>@import '{AWAY}b.css';</style>", f"url({AWAY}c.png);}} * {{ background: url({AWAY}d.png)",
    "<math><mtext><mglyph><style><img src=x onerror=window.hit=1>", "\u2028window.hit=1//\"'", "<base href=https://elsewhere.test/><b>",
]  # fmt: skip
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" width="10" height="10">{}</svg>'
USE = """() => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  const change = (input) => ["input", "change"].forEach((kind) => input.dispatchEvent(new Event(kind, { bubbles: true })));
  for (const slider of document.querySelectorAll("input[type=range]"))
    for (const at of [slider.max, slider.min, 1]) { slider.value = at; change(slider); }
  for (const choice of document.querySelectorAll("input[type=radio]")) choice.click();
  for (const button of document.querySelectorAll("button")) button.click();
  for (const link of document.querySelectorAll("a")) link.click();
  for (const each of document.querySelectorAll("*"))
    for (const kind of ["mouseover", "focus", "error"]) if (each.getAttribute("on" + kind)) each.dispatchEvent(new Event(kind));
}"""


class Answer:
    """An answer to an exercise whose repr is the given text."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text

    def __float__(self):
        raise ValueError(self.text)


def _predict(**texts) -> str:
    given = {"question": "?", "name": "guess", "explanation": "So."}
    return predict(**{**given, **texts}).data


def _cell(text: str) -> str:
    """Return what `check` prints, as a notebook shows it."""
    printed = nbformat.v4.new_output("stream", text="".join(str(gst.exercises.grade("1.2", Answer(text)))))
    cell = nbformat.v4.new_code_cell("check(...)", outputs=[printed])
    return HTMLExporter(template_name="basic").from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))[0]


def _status(text: str) -> str:
    """Return a row of the status page, made from a study's JSON, as the book renders Markdown."""
    row = f"| study | says |\n|---|---|\n| `{status.plain(text)}` | {status.plain(text)} |\n\n{status.plain(text)}\n"
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(row)


@functools.cache
def _tests() -> list:
    return claims.evaluate(claims.CLAIMS["C2"].tests)


def _ledger(text: str) -> str:
    """Return the forest plot of the claims, with the text in place of each test's sentence."""
    results = [dataclasses.replace(each, test=dataclasses.replace(each.test, what=text)) for each in _tests()]
    with (
        mock.patch.object(claims, "CLAIMS", {"A": Claim(text, "", {}, ())}),
        mock.patch.object(claims, "evaluate", return_value=results),
    ):
        return claims.plot()


def _run(text: str) -> str:
    result = recorded_run(gst.studies.get("explorers").runs[0][1])
    return runs_html(new_axes(4, 3), [shown_result(text, "now", result)])


def _raised(text: str) -> str:
    try:
        raise NotYet(text) from ValueError(text)
    except NotYet as error:
        return error_html(error)


#: From a text to HTML, by every way that the package and the tools have.
PLACES = {
    "slider: words": lambda t: slider_figure(
        [SVG.format("")] * 2, labels=[t, f"{t}2"], texts=[t, t], name="f", title=t, control_label=t, caption=t
    ),
    "slider: choices": lambda t: slider_figure(
        {t: [SVG.format("")] * 2, "b": [SVG.format("")] * 2}, labels=["a", t], texts={t: [t, t], "b": [t, t]},
        name="f", title="t", control_label="c", second=t,
    ),
    "slider: pictures": lambda t: slider_figure(
        [SVG.format("<script>window.hit=1</script>"), SVG.format(f'<image href="{AWAY}e.png"/>')],
        labels=["a", "b"], texts=[t, t], name="f", title=t, control_label="c",
    ),
    "predict: bars": lambda t: _predict(
        question=t, truth={t: 1.0, "b": 0.5}, usual="b", model=t, explanation=t, unit=t, caption=t
    ),
    "predict: ranges": lambda t: _predict(truth=1.0, options={t: (0, 2), "b": (-2, 0)}, usual=t, model=t, unit=t),
    "predict: a place": lambda t: _predict(truth=1.0, axis=(-2, 2), label=t, usual=-1.0, model=t, unit=t, caption=t),
    "predict: a curve": lambda t: _predict(
        truth={1: 1.0, 2: 0.5}, axis=(-2, 2), label=t, x_label=t, x_unit=t, unit=t, usual={1: 0.0, 2: 0.0}, model=t
    ),
    "folded: words": lambda t: folded(pd.DataFrame({t: [t, 1]}, index=[t, "b"]), t).data,
    "folded: names of levels": lambda t: folded(
        pd.DataFrame(np.eye(2), columns=pd.MultiIndex.from_product([[t], ["a", t]], names=[t, t])), t
    ).data,
    "widgets: an error": _raised,
    "widgets: words and classes": lambda t: effect(t, (0.9, 0.5), [(t, 0.9, 0.5)], np.ones(4), np.arange(4) < 2),
    "widgets: a run's name": _run,
    "exercises: a message": _cell,
    "status: a study": _status,
    "claims: a test": _ledger,
}  # fmt: skip


@pytest.fixture(scope="module")
def page(browser):
    """An empty page that answers nothing but its own address, and notes what else it asks for."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.html, page.asked = "", []

    def answer(route):
        if route.request.url == HERE:
            body = f"<!doctype html><meta charset=utf-8><title>t</title><body>{page.html}"
            route.fulfill(body=body, content_type="text/html")
        else:
            page.asked.append(route.request.url)
            route.abort()

    context.route("**/*", answer)
    yield page
    context.close()


def came_through(page, html: str) -> str:
    """Show the HTML, use everything on it, and return what a text did; "" if nothing."""
    page.html, page.asked = html, []
    page.goto(HERE, wait_until="load")
    page.evaluate(USE)
    page.wait_for_timeout(50)  # for what an event has started
    ran = page.evaluate("window.hit")
    return f"{'it ran; ' if ran else ''}{'it asked for ' + page.asked[0] if page.asked else ''}"


def in_place(place: str, text: str) -> str:
    try:
        return PLACES[place](text)
    except (TypeError, ValueError):  # refused, which is safe
        return ""


@pytest.mark.browser
@pytest.mark.parametrize("place", PLACES)
def test_texts_cannot_become_scripts_or_requests(page, place):
    pages = {text: in_place(place, text) for text in TEXTS}
    if came_through(page, "\n".join(pages.values())):  # then one by one, to say which
        assert {text: did for text, html in pages.items() if (did := came_through(page, html))} == {}


@pytest.mark.browser
@pytest.mark.parametrize("text", [text for text in TEXTS if text.startswith(("<script", "<img", "<link", "<style"))])
def test_unescaped_text_would_be_noticed(page, text):
    assert came_through(page, text)
