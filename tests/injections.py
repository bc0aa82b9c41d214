"""Texts that try to become a script, wherever the package and the book's tools put texts into HTML, opened in Chromium.

    python -m tests.injections 405     # every text in every place

Each page is opened, and everything on it that can be used is used: sliders, choices, buttons, folds, links. A text has come
through when it ran (it sets `window.hit`) or asked the network for something.
"""

import dataclasses
import functools
import sys
from unittest import mock

import nbformat
import numpy as np
import pandas as pd
from markdown_it import MarkdownIt
from nbconvert import HTMLExporter

import gst_tutorial as gst
from gst_tutorial.book.exercises.answers import NotYet
from gst_tutorial.book.figures import folded, predict, slider_figure
from gst_tutorial.book.figures.effect import effect
from gst_tutorial.book.studies.claims import Claim
from gst_tutorial.book.widgets.answers import error_html, new_axes
from gst_tutorial.book.widgets.run_explorer import recorded_run, runs_html, shown_result
from tools.browser import chromium
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
    """A reader's answer that shows itself as it likes."""

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
    """What `check` prints, as a notebook shows it."""
    printed = nbformat.v4.new_output("stream", text="".join(str(gst.exercises.grade("1.2", Answer(text)))))
    cell = nbformat.v4.new_code_cell("check(...)", outputs=[printed])
    return HTMLExporter(template_name="basic").from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))[0]


def _status(text: str) -> str:
    """A row of the status page, from a study's JSON, as the book renders Markdown."""
    row = f"| study | says |\n|---|---|\n| `{status.plain(text)}` | {status.plain(text)} |\n\n{status.plain(text)}\n"
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(row)


@functools.cache
def _tests() -> list:
    return claims.evaluate(claims.CLAIMS["C2"].tests)


def _ledger(text: str) -> str:
    """The forest plot of the claims, with what a test says replaced."""
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


class Watch:
    """A page, and what came through on it."""

    def __init__(self, browser):
        self.context = browser.new_context()
        self.page = self.context.new_page()
        self.page.on("dialog", lambda dialog: dialog.dismiss())
        self.page.set_default_timeout(20_000)
        self.context.route("**/*", self._answer)
        self.html, self.asked = "", []

    def _answer(self, route):
        if route.request.url == HERE:
            route.fulfill(
                body=f"<!doctype html><meta charset=utf-8><title>t</title><body>{self.html}", content_type="text/html"
            )
        else:
            self.asked.append(route.request.url)
            route.abort()

    def came_through(self, html: str) -> str:
        """What a text in this HTML did; "" if nothing."""
        self.html, self.asked = html, []
        self.page.goto(HERE, wait_until="load")
        self.page.evaluate(USE)
        self.page.wait_for_timeout(20)  # what an event has started
        ran = self.page.evaluate("window.hit")
        return f"{'it ran; ' if ran else ''}{'it asked for ' + self.asked[0] if self.asked else ''}"


def attack(row, n: int) -> None:
    """`n` texts, by turns in every place."""
    tries = [(place, text) for text in TEXTS for place in PLACES]
    with chromium() as browser:
        watch = Watch(browser)
        # What is not escaped is seen, by both ways: else zeros would say nothing.
        assert "it ran" in watch.came_through(TEXTS[3]) and "it asked" in watch.came_through(TEXTS[21])
        for place, text in tries[:n]:
            row.tries += 1
            try:
                html = PLACES[place](text)
            except (TypeError, ValueError) as error:  # refused, which is safe; but by name
                row.add("unnamed", f"{place}: {text!r}: {error}")
                continue
            try:
                if did := watch.came_through(html):
                    row.add("damaged", f"{place}: {text!r}: {did}")
            except Exception as error:  # playwright's: the page did not end loading
                row.add("hung", f"{place}: {text!r}: {error}")
                watch = Watch(browser)


if __name__ == "__main__":
    from tests.attacks import Row, table

    row = Row("scripts in texts, in Chromium")
    attack(row, int(sys.argv[1]))
    print(table([row]), *row.found, sep="\n")
