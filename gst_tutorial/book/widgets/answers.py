"""Answers of both widgets as HTML: a picture, an error, or what to install where there are no controls."""

from __future__ import annotations

import base64
import html
import io
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from gst_tutorial._arguments import error_text
from gst_tutorial.book.figures.card import PLAIN_TEXT, sheet
from gst_tutorial.book.figures.style import STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 125  # of the picture; it is shown at 100, so that letters stay sharp on fine screens


def controls():
    """The module ipywidgets.

    Raises:
        ImportError: it is not installed; says how to.
    """
    try:
        import ipywidgets
    except ImportError as error:
        raise ImportError(f"Live controls need ipywidgets: pip install ipywidgets ({error})") from error
    return ipywidgets


def new_axes(width: float, height: float) -> Axes:
    """Axes on a figure of its own, in inches and in the book's style. To be drawn on again and again: that saves time."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout=None)
        figure.set_layout_engine("none")  # laying out anew would take as long as drawing
        return figure.add_axes((0.62 / width, 0.5 / height, 1 - 0.72 / width, 1 - 0.6 / height))


def clear(ax: Axes) -> None:
    """Empty the axes, in the book's style."""
    import matplotlib

    with matplotlib.rc_context({name: STYLE[name] for name in ("axes.grid", "grid.color", "axes.axisbelow")}):
        ax.clear()


def picture_html(figure: Figure, text: str) -> str:
    """The figure as a PNG image in HTML; `text` says what it shows, for those who do not see it.

    The picture is as clear as the book's; on a card in the dark its black ink becomes white.
    """
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):  # ticks and grid lines are made when they are drawn, in the style of then
        figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, pil_kwargs={"compress_level": 1})
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(100 * figure.get_figwidth())
    return (
        f'<img src="data:image/png;base64,{data}" alt="{html.escape(text)}" style="display:block;width:{width}px;'
        f"max-width:100%;height:auto;margin:0;padding:0!important;background:none!important;filter:var(--gst-picture)"
        '!important">'
    )


def card_html(inside: str, style: str = "") -> str:
    """HTML on a card like that of the book's figures, in light and in dark.

    Args:
        style: further rules.
    """
    return f'<style>{sheet()}{style}</style><div class="gst-card gst-answer {PLAIN_TEXT}">{inside}</div>'


def error_html(error: Exception) -> str:
    """An exception for a reader: what it says first, the traceback folded below."""
    summary = html.escape(error_text(error))
    full = html.escape("".join(traceback.format_exception(error)))
    return f"<details role='alert'><summary><b>{summary}</b></summary><pre>{full}</pre></details>"


def box_with_still(children: list, still: Callable[[], str]):
    """A `VBox` that leaves, where no kernel runs, what it showed first: a page that is built from the notebook has HTML.

    With ipywidgets 7, which offers a notebook nothing but the widget, it is a `VBox` like any other.

    Args:
        still: gives that HTML.
    """
    widgets = controls()

    class WithStill(widgets.VBox):
        def _repr_mimebundle_(self, **kwargs):
            return {**super()._repr_mimebundle_(**kwargs), "text/html": still()}

    return WithStill(children)
