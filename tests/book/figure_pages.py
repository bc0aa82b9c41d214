"""A small page with two kernel-free figures, served to the browser tests, and the fixtures that open it."""

import contextlib

import pytest

from gst_tutorial.book.figures.slider import figure_frames, slider_figure
from tools.browser import serve, visit

LABELS = ["a nudge", "a tenth", "half", "nearly all"]
TARGETS = ["smallest", "largest"]
HOSTILE = "</script><img src=x onerror=document.title='broken'> & \"quotes\" <b>"
PAGE = """<!doctype html><html lang="en"{theme}><head><meta charset="utf-8"><title>Figures</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>html[data-theme=dark] {{ background: #14181e; color: #ced6dd }}</style></head>
<body><main><h1>Figures</h1>{figures}</main></body></html>"""
# Puts a figure's HTML into the page as a notebook does: what innerHTML brings of scripts does not run by itself.
INSERT = """(figure) => {
  const output = document.createElement("div");
  output.innerHTML = figure;
  for (const old of output.querySelectorAll("script")) {
    const script = document.createElement("script");
    for (const { name, value } of old.attributes) script.setAttribute(name, value);
    script.textContent = old.textContent;
    old.replaceWith(script);
  }
  document.querySelector("main").append(output);
}"""


@contextlib.contextmanager
def served(folder, figures: str):
    """Serve `page.html` and, in the dark theme, `dark.html`, both with these figures; gives their address."""
    for name, theme in (("page", ""), ("dark", ' data-theme="dark"')):
        (folder / f"{name}.html").write_text(PAGE.format(theme=theme, figures=figures), encoding="utf-8")
    with serve(folder) as address:
        yield address


def pictures(slope: float) -> list[str]:
    def draw(figure, height):
        axes = figure.subplots()
        axes.plot([0, 1], [0, height * slope], label="pruned")
        axes.set(ylim=(0, 3), xlabel="epoch", ylabel="test accuracy")
        axes.legend()

    return figure_frames(draw, [0.2, 1, 2, 3])


def one_control() -> str:
    return slider_figure(
        pictures(1),
        labels=LABELS,
        texts=[f"With {label} removed the curve is steeper." for label in LABELS],
        name="fig-one",
        title="How hard the pruning hits",
        control_label="share of filters removed",
        caption="Drawn by the test.",
    )


def two_controls() -> str:
    return slider_figure(
        {target: pictures(1 - 0.3 * i) for i, target in enumerate(TARGETS)},
        labels=LABELS,
        texts={target: [f"{label}, the {target} filters." for label in LABELS] for target in TARGETS},
        name="fig-two",
        title="Which filters go",
        control_label="share of filters removed",
        second="target",
        start=1,
    )


def hostile() -> str:
    texts = [f"{HOSTILE} {label}" for label in LABELS]
    return slider_figure(
        {HOSTILE: pictures(1)},
        labels=texts,
        texts={HOSTILE: texts},
        name="fig-hostile",
        title=HOSTILE,
        control_label=HOSTILE,
        second=HOSTILE,
        caption=HOSTILE,
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    figures = one_control() + two_controls()
    pages = {
        "page.html": PAGE.format(theme="", figures=figures),
        "dark.html": PAGE.format(theme=' data-theme="dark"', figures=figures),
        "light.html": PAGE.format(theme=' data-theme="light"', figures=figures),
        "hostile.html": PAGE.format(theme="", figures=hostile()),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    with serve(folder) as address:
        yield address


@pytest.fixture
def open_page(browser, address):
    """A function (page name, options of the context) -> Visit; whatever it opened must have stayed without problems."""
    visits = []
    with contextlib.ExitStack() as stack:

        def open_page(name="page.html", **options):
            visits.append(stack.enter_context(visit(browser, address, **options)))
            return visits[-1].open(name)

        yield open_page
        assert [problem for here in visits for problem in here.problems] == []
