"""The parts that all moving figures share: the card around them, their controls and the small plots that scripts redraw."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path

from gst_tutorial.book.figures import card

_HERE = Path(__file__).parent


def frame(
    kind: str,
    title: str,
    *,
    alt: str,
    drawing: str,
    controls: str,
    sentence: str,
    without: str,
    caption: str,
    data: dict,
) -> str:
    """One self-contained figure: `drawing` and `sentence` in their first state, and the script of `kind` that changes them.

    Args:
        alt: describes the drawing to a reader who cannot see it; the sentence below gives the numbers.
        controls: hidden until the script runs.
        without: a sentence for readers without scripts: what the controls would have shown.
        data: the constants of the model, for the script.
    """
    e = html.escape
    script = "".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in ("frame", kind))
    return f"""\
<figure class="gst-mechanism gst-card {card.PLAIN_TEXT}" id="mechanism-{kind}" data-kind="{kind}" aria-label="{e(title)}">
<style>
{card.sheet()}{(_HERE / "frame.css").read_text(encoding="utf-8")}</style>
<p class="gst-title">{e(title)}</p>
<div class="gst-drawing" role="img" aria-label="{e(alt)}">{drawing}</div>
<div class="gst-controls" style="display:none">{controls}</div>
<output class="gst-text" aria-live="polite">{e(sentence)}</output>
<noscript><p class="gst-note">{e(without)}</p></noscript>
<figcaption>{e(caption)}</figcaption>
<script type="application/json">{card.embedded(data)}</script>
</figure>
<script>
(() => {{
{script}}})();
</script>
"""


def slider(part: str, label: str, first: float, last: float, step: float, value: float) -> str:
    """A range input whose script writes its value in words into the `<b>`."""
    return (
        f'<label class="gst-slide"><span>{html.escape(label)}: <b></b></span><input type="range" data-part="{part}" '
        f'min="{first:g}" max="{last:g}" step="{step:g}" value="{value:g}" {card.KEYS}></label>'
    )


def player(label: str, last: int, value: int = 0, first: int = 0) -> str:
    """A slider along time or place with a button that moves it; with reduced motion the button moves it by one step."""
    button = '<button type="button" data-part="play" data-lm-suppress-shortcuts="true">Play</button>'
    return f'<div class="gst-player">{button}{slider("at", label, first, last, 1, value)}</div>'


def tick(part: str, label: str) -> str:
    """A checkbox."""
    return (
        f'<label class="gst-tick"><input type="checkbox" data-part="{part}" {card.KEYS}> {html.escape(label)}</label>'
    )


def plot(*shapes: str, ratio: str = "none") -> str:
    """A small picture over the unit square, y upwards, stretched to its box unless `ratio` keeps its shape."""
    return f'<svg viewBox="0 0 1 1" preserveAspectRatio="{ratio}" aria-hidden="true" focusable="false">{"".join(shapes)}</svg>'


def path(points: Iterable[tuple[float, float]], look: str, part: str = "") -> str:
    """A line through points of the unit square. A line of one point is a dot."""
    return f'<path class="gst-{look}"{f" data-part={part!r}" if part else ""} d="{line(points)}"/>'.replace("'", '"')


def line(points: Iterable[tuple[float, float]]) -> str:
    """The `d` of a line through points, as the script writes it."""
    steps = "L".join(f"{x:.4f} {1 - y:.4f}" for x, y in points)
    return f"M{steps}" + ("" if "L" in steps else "h0")
