"""Figures that respond without a kernel: pictures, a slider and a few lines of script in one HTML string. ::

    frames = figure_frames(draw, shares)              # draw(figure, share) -> None, called once per share
    show(slider_figure(frames, labels=["a tenth", "half", "nearly all"], texts=[...], name="fig-dose",
                       title="...", control_label="share of filters removed"))

The string needs no library and makes no request, so it works in the built book, in JupyterLab and in Colab. Without scripts
(in print, or in a notebook that is not trusted yet) it shows one picture and its sentence, and no controls. Pictures are SVG
images in `data:` addresses: they cannot interfere with each other or with the page, and "save image" works.
"""

from __future__ import annotations

import html
import io
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from gst_tutorial import _arguments as check
from gst_tutorial.book.figures import card
from gst_tutorial.book.figures.style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Frame = Figure | str  # a matplotlib figure, or the text of an SVG picture

SHEET = card.sheet("slider")
SCRIPT = card.script("slider")

_SVG = "{http://www.w3.org/2000/svg}"
# Fonts of matplotlib's formulas that browsers do not have: a prime set in cmsy10 would appear as a zero.
_FORMULA_FONT = re.compile(r"(cm(?:b|ex|mi|r|ss|sy|tt)\d+|STIX\w+|DejaVu Sans Display)")
_GEOMETRY = {"d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "points", "transform", "width", "height"}


def slider_figure(
    frames: Sequence[Frame] | Mapping[str, Sequence[Frame]],
    *,
    labels: Sequence[str],
    texts: Sequence[str] | Mapping[str, Sequence[str]],
    name: str,
    title: str,
    control_label: str,
    second: str | None = None,
    start: int = 0,
    caption: str = "",
) -> str:
    """Build one self-contained HTML figure whose slider chooses among pictures of equal size.

    Args:
        frames: one matplotlib Figure or SVG string per label; with `second`, a mapping from each choice to such a list.
        labels: the name of each slider position, in plain words ("half"); they must differ.
        texts: one sentence per state that says what the picture shows, in the shape of `frames`. It appears below the
            picture, and screen readers read it aloud when the state changes.
        name: the id of the figure on its page: a letter, then letters, digits, "-" or "_". One page, one figure per name.
        title: the heading.
        control_label: the name of the slider.
        second: the name of a second control, which chooses among the keys of `frames`.
        start: the slider position shown first; the choice shown first is the first key.
        caption: the line below the figure.

    Returns:
        HTML in which every text is escaped. Equal arguments give an equal string. If the browser prefers reduced motion,
        the play button reads "Next" and moves one position per press.

    Raises:
        ValueError, TypeError: an argument does not fit the others; nothing is drawn.
    """
    card.text("title", title)
    card.text("control_label", control_label)
    card.text("caption", caption, empty=True)
    card.identifier(name)
    labels = card.texts("labels", labels)
    if len(labels) < 2:
        raise ValueError(f"labels={labels!r} must name at least 2 slider positions.")
    if len(set(labels)) < len(labels):
        raise ValueError(f"labels={labels!r} must all differ.")
    if check.integer("start", start, 0) >= len(labels):
        raise ValueError(f"start={check.shown(start)} must be at most {len(labels) - 1}, the last slider position.")
    choices, rows = _rows("frames", frames, len(labels), second)
    text_choices, text_rows = _rows("texts", texts, len(labels), second)
    if choices != text_choices:
        raise ValueError(f"texts has the choices {text_choices!r}; frames has {choices!r}. They must be the same.")
    text_rows = [card.texts("texts", row) for row in text_rows]

    pictures = [[picture(frame, f"frames[{i}]") for i, frame in enumerate(row)] for row in rows]
    width, height = pictures[0][0][1]
    for row in pictures:
        for i, (_, size) in enumerate(row):
            if size != (width, height):
                raise ValueError(f"frames[{i}] is {size} px; the first is {(width, height)} px. They must be equal.")

    def state(choice: str, label: str) -> str:
        return f"{label}, {choice}" if second else label

    states = [[state(choice, label) for label in labels] for choice in choices]
    data = {
        "labels": labels,
        "states": states,
        "alts": [[f"{title}: {each}" for each in row] for row in states],
        "texts": text_rows,
        "frames": [[address for address, _ in row] for row in pictures],
    }
    embedded = card.embedded(data)

    e = html.escape
    keys = card.KEYS
    said = {True: ' style="visibility:hidden"', False: ""}  # not repeated where it would equal the name under the thumb
    radios = "".join(
        f'<label><input type="radio" name="{name}-choice" value="{i}" {keys}{" checked" * (i == 0)}>{e(choice)}</label>'
        for i, choice in enumerate(choices)
    )
    choice_box = f'<fieldset class="gst-choice"><legend>{e(second)}</legend>{radios}</fieldset>' if second else ""
    return f"""\
<figure class="gst-slider gst-card {card.PLAIN_TEXT}" id="{name}" aria-label="{e(title)}" \
style="max-width:{max(720, min(760, round(1.25 * width) + 34))}px">
<style>
{SHEET}</style>
<p class="gst-title">{e(title)}</p>
<div class="gst-body">
<div class="gst-picture"><img decoding="sync" width="{width}" height="{height}" \
alt="{e(data["alts"][0][start])}" src="{e(data["frames"][0][start])}"></div>
<div class="gst-controls" style="display:none">
<button type="button" data-lm-suppress-shortcuts="true" data-verb="Play">Play</button>
<div class="gst-range"><label><span>{e(control_label)}</span> <input type="range" min="0" max="{len(labels) - 1}" \
step="1" value="{start}" aria-valuetext="{e(labels[start])}" {keys}></label>
<div class="gst-at" aria-hidden="true" style="--gst-at:{start / (len(labels) - 1):.4g}"><b>{e(labels[start])}</b></div>
<div class="gst-ends" aria-hidden="true"><span{said[start == 0]}>{e(labels[0])}</span>\
<span{said[start == len(labels) - 1]}>{e(labels[-1])}</span></div></div>
{choice_box}</div>
</div>
<output class="gst-text" aria-live="polite"><b>{e(states[0][start])}:</b> <span>{e(text_rows[0][start])}</span></output>
<noscript><p class="gst-note">This is one of {len(labels) * len(choices)} pictures; \
the slider that shows the others needs scripts.</p></noscript>
<figcaption>{e(caption)}</figcaption>
<script type="application/json">{embedded}</script>
</figure>
<script>
{SCRIPT}</script>
""".replace("<figcaption></figcaption>\n", "")


def figure_frames(
    draw: Callable[[Figure, Any], object], values: Iterable, *, size: tuple[float, float] = (5.0, 3.2)
) -> list[str]:
    """Draw one SVG picture per value: `draw(figure, value)` draws on an empty figure of `size` inches in the book's style.

    Make axes with `figure.subplots()`. Give every picture the same limits; otherwise the axes seem to move instead of the
    data. On a telephone 360 px wide, a 5-inch figure has letters about 9.5 px high, so stack two panels rather than widen
    the figure.
    """
    check.function("draw", draw)
    values = check.many("values", values, "values")
    if not (isinstance(size, (tuple, list)) and len(size) == 2):
        raise TypeError(f"size={check.shown(size)} must be (width, height) in inches.")
    for side in size:
        check.real("size", side, 0.1, 100)
    if not values:
        raise ValueError("values is empty: there must be one value per picture.")
    import matplotlib
    from matplotlib.figure import Figure

    frames = []
    with matplotlib.rc_context(house_style(size[0])):
        for value in values:
            figure = Figure(
                figsize=size, layout="constrained"
            )  # not registered with pyplot, so there is nothing to close
            try:
                draw(figure, value)
            except TypeError as error:  # most often, a function with another number of arguments
                raise TypeError(f"draw={check.shown(draw)} failed for {check.shown(value)}: {error}") from error
            frames.append(_svg(figure))
    return frames


def _rows(argument: str, given, length: int, second: str | None) -> tuple[list[str], list[list]]:
    """Return the choices of the second control and a list of `length` items for each; one unnamed choice without it."""
    if isinstance(given, Mapping) != (second is not None):
        shape = "a mapping from each choice to a list" if second is not None else "a list"
        raise ValueError(
            f"{argument} must be {shape}, because second={check.shown(second)}; it is a {type(given).__name__}."
        )
    if second is not None and not (isinstance(second, str) and second.strip()):
        raise ValueError(f"second={check.shown(second)} must be the name of the second control, or None.")
    choices = [str(choice) for choice in given] if second is not None else [""]
    if not choices:
        raise ValueError(f"{argument} is empty: it must have at least one choice.")
    if len(set(choices)) < len(choices):
        raise ValueError(f"{argument} has the choices {choices!r}: they must all differ.")
    rows = [
        check.many(argument, row, "pictures or texts") for row in (given.values() if second is not None else [given])
    ]
    for choice, row in zip(choices, rows, strict=True):
        where = f"{argument}[{choice!r}]" if choice else argument
        if not row:
            raise ValueError(f"{where} is empty: there must be one item per label.")
        if len(row) != length:
            raise ValueError(f"{where} has {len(row)} items; labels has {length}. There must be one item per label.")
    return choices, rows


def _svg(figure: Figure) -> str:
    import matplotlib

    buffer = io.StringIO()
    # Keep letters as text, which is small and sharp in the browser's fonts; fix ids and date, so that reruns are identical.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gst-tutorial", "savefig.bbox": None}):
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    return buffer.getvalue()


def picture(frame: Frame, where: str) -> tuple[str, tuple[int, int]]:
    """Return the `data:` address of one picture, without anything invisible, and its (width, height) in px."""
    if not isinstance(frame, str) and not hasattr(frame, "savefig"):
        raise TypeError(f"{where} must be a matplotlib figure or a string of SVG, not {type(frame).__name__}.")
    try:
        root = ElementTree.fromstring(frame if isinstance(frame, str) else _svg(frame))
    except ElementTree.ParseError as error:
        raise ValueError(f"{where} is not well-formed SVG: {error}.") from None
    box = root.get("viewBox", "").replace(",", " ").split()
    if root.tag != f"{_SVG}svg" or len(box) != 4:
        raise ValueError(f"{where} must be an <svg> element with a viewBox, in the SVG namespace.")
    for metadata in root.findall(f"{_SVG}metadata"):
        root.remove(metadata)
    for element in root.iter():
        style = element.get("style", "")
        if missing := _FORMULA_FONT.search(style):
            raise ValueError(
                f"{where} has a formula in {missing[1]}, a font that browsers do not have: write it in Unicode."
            )
        if "'DejaVu Sans'" in style:  # the only font that matplotlib names for formulas
            element.set("style", re.sub(r"'DejaVu Sans'(?=\s*(;|$))", "'DejaVu Sans', Verdana, sans-serif", style))
        letters = element.tag in (f"{_SVG}text", f"{_SVG}tspan", f"{_SVG}style")
        element.text = element.text if letters else None
        element.tail = element.tail if element.tail and element.tail.strip() else None
        for key in _GEOMETRY.intersection(element.attrib):
            value = re.sub(r"(\.\d{2})\d+", r"\1", element.attrib[key])  # a hundredth of a point cannot be seen
            element.set(key, " ".join(value.split()))
    for prefix, uri in (("", _SVG[1:-1]), ("xlink", "http://www.w3.org/1999/xlink")):
        ElementTree.register_namespace(prefix, uri)
    address = urllib.parse.quote(ElementTree.tostring(root, encoding="unicode"), safe=" /:;=,.-()'")
    pixels = tuple(round(float(number) * 96 / 72) for number in box[2:])  # matplotlib counts in points
    return "data:image/svg+xml," + address, pixels
