"""Chapter 7: a head that reads positions and one that averages, on a signal that moves to the side."""

from __future__ import annotations

import numpy as np

from gst_tutorial.book.figures.mechanisms.frame import frame, path, player, plot

POSITIONS = 20
CENTRE, WIDTH = 9, 1.6
FURTHEST = 9


def channel(shift: int = 0) -> np.ndarray:
    """Response of a filter at each position when its pattern is `shift` positions to the right, `(20,)`."""
    return np.exp(-(((np.arange(POSITIONS) - CENTRE - shift) / WIDTH) ** 2) / 2)


def scores(shift: int) -> tuple[float, float]:
    """Class score of the head that reads positions, and of the one that averages; both are 1 where the pattern was learned."""
    learned, now = channel(), channel(shift)
    return float(learned @ now / (learned @ learned)), float(now.mean() / learned.mean())


def build() -> str:
    """The figure."""
    across = (np.arange(POSITIONS) + 0.5) / POSITIONS
    shifts = range(-FURTHEST, FURTHEST + 1)
    table = [scores(shift) for shift in shifts]

    def bars(heights: np.ndarray, look: str, part: str) -> str:
        return "".join(
            path([(x, 0), (x, 0.9 * height)], look, f"{part}-{i}")
            for i, (x, height) in enumerate(zip(across, heights, strict=True))
        )

    def curve(which: int, look: str) -> str:
        return path([(i / (len(table) - 1), row[which] / 1.2) for i, row in enumerate(table)], look)

    middle = (0.5, 1 / 1.2)
    ground = path([(0, 0), (1, 0)], "zero")
    left = (
        '<div class="gst-panel"><p class="gst-head">The filter\'s output at each of 20 positions (bars), and the weights of '
        '<span class="gst-key gst-of-hit">the head that reads positions</span> (dashed)</p>'
        + plot(ground, bars(channel(), "bar", "bar"), path(zip(across, 0.9 * channel(), strict=True), "dashed"))
        + '<div class="gst-ends"><span>position 0</span><span>position 19</span></div></div>'
    )
    right = (
        '<div class="gst-panel"><p class="gst-head">Class score of <span class="gst-key gst-of-hit">the head that reads '
        'positions</span> and of <span class="gst-key gst-of-accent">the head that averages</span>, for each shift</p>'
        + plot(
            ground,
            path([(0.5, 0), (0.5, 1)], "zero"),
            curve(1, "accent"),
            curve(0, "hit"),
            path([middle], "dot", "averages"),
            path([middle], "dot", "positions"),
        )
        + f'<div class="gst-ends"><span>{FURTHEST} to the left</span><span>0</span><span>{FURTHEST} to the right</span></div>'
        + "</div>"
    )
    return frame(
        "head",
        "The same pattern, a little to the side",
        alt="Left: twenty bars with a bump in the middle, and a dashed bump at the same place, the weights of a head. Right: two "
        "class scores against the shift; one is a narrow peak, the other is level until the bump leaves the signal.",
        drawing=f'<div class="gst-panels">{left}{right}</div>',
        controls=player("shift of the signal", FURTHEST, 0, -FURTHEST),
        sentence="Not shifted: both heads give the class the score 1.00. Both were designed for the pattern in this place.",
        without=f"With scripts you could shift the signal. By 3 positions, the head that reads positions gives "
        f"{scores(3)[0]:.2f}; the one that averages still gives {scores(3)[1]:.2f}.",
        caption="A model, computed in the page: one channel and one class. The head that reads positions multiplies the "
        "channel by its own copy of the pattern, position by position; the head that averages sees only the channel's mean. "
        "That mean cannot tell a pattern on the left from one on the right, which some tasks need.",
        data={"positions": POSITIONS, "centre": CENTRE, "width": WIDTH, "furthest": FURTHEST},
    )
