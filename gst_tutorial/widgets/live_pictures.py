"""Small pictures drawn as strings of SVG: in a fraction of a millisecond, where matplotlib would hold up the training
that the picture shows.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable

WIDTH, HEIGHT = 440, 280
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 42  # margins for ticks and labels
DASHES = {"-": "", "--": "6 3", "-.": "6 3 1 3", ":": "2 3"}
MARKER_NAMES = {
    "o": "circles",
    "s": "squares",
    "^": "triangles",
    "v": "triangles on their tip",
    "D": "diamonds",
    "P": "plus signs",
    "X": "crosses",
}
Place = Callable[[float, float], "tuple[float, float]"]


def ticks(low: float, high: float, at_most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) in [low, high], at most `at_most` of them.

    >>> ticks(0, 100)
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / at_most))
    for step in (power * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < at_most:
            break
    return [round(i * step, 10) for i in range(first, last + 1)]


def axes_svg(
    draw: Callable[[Place], str],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    labels: tuple[str, str],
    text: str,
) -> str:
    """A white picture with axes. `draw(place)` gives what stands in it; `place(x, y)` turns numbers into positions.

    Args:
        x_range, y_range: (low, high). labels: of the two axes. text: what the picture shows, for screen
            readers.
    """
    (x_low, x_high), (y_low, y_high) = x_range, y_range
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x_low) / (x_high - x_low) * (right - LEFT),
            bottom - (y - y_low) / (y_high - y_low) * (bottom - TOP),
        )

    parts = []
    for tick in ticks(x_low, x_high):
        x = place(tick, y_low)[0]
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#e6e6e6"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    for tick in ticks(y_low, y_high):
        y = place(x_low, tick)[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#e6e6e6"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    x_label, y_label = map(html.escape, labels)
    middle = (TOP + bottom) / 2
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(text)}" font-family="sans-serif" '
        f'font-size="12" fill="#222" style="background:white;width:{WIDTH}px;max-width:100%">{"".join(parts)}'
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" stroke="#222" fill="none"/>'
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{x_label}</text>'
        f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">{y_label}</text>'
        f"{draw(place)}</svg>"
    )


def line(place: Place, points: Iterable[tuple[float, float]], style: dict) -> str:
    """A line through points, in the look of `plots.LOOKS`. Points that are not finite are left out."""
    positions = [place(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not positions:
        return ""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in positions)
    dashes = DASHES[style["linestyle"]]
    return f'<path d="M{path}" fill="none" stroke="{style["color"]}" stroke-width="1.8" stroke-dasharray="{dashes}"/>'


def markers(
    place: Place,
    points: Iterable[tuple[float, float]],
    style: dict,
    radius: float,
    opacity: float = 1,
    number: int | None = None,
) -> str:
    """A marker at each point, in the look of `plots.LOOKS`; with a number beside it, if one is given."""
    positions = [place(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    shapes = "".join(_shape(style["marker"], x, y, radius) for x, y in positions)
    colour = style["color"]
    found = (
        f'<path d="{shapes}" fill="{colour}" stroke="{colour}" stroke-width="1.5" opacity="{opacity:g}"/>'
        if shapes
        else ""
    )
    if number is not None:
        for x, y in positions:
            found += f'<text x="{x + radius + 2:.1f}" y="{y - radius:.1f}" font-weight="bold">{number}</text>'
    return found


def _shape(marker: str, x: float, y: float, r: float) -> str:
    """The path of one of matplotlib's markers."""
    d = 2 * r
    return {
        "o": f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 {-d} 0z",
        "s": f"M{x - r:.1f} {y - r:.1f}h{d}v{d}h{-d}z",
        "^": f"M{x:.1f} {y - r:.1f}l{r} {d}h{-d}z",
        "v": f"M{x:.1f} {y + r:.1f}l{r} {-d}h{-d}z",
        "D": f"M{x:.1f} {y - r:.1f}l{r} {r}l{-r} {r}l{-r} {-r}z",
        "P": f"M{x - r:.1f} {y:.1f}h{d}M{x:.1f} {y - r:.1f}v{d}",
        "X": f"M{x - r:.1f} {y - r:.1f}l{d} {d}m0 {-d}l{-d} {d}",
    }[marker]
