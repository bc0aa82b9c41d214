"""Chapter 6: a filter in front of batch norm as an arrow. Only its direction counts, so each step is at right angles to it."""

from __future__ import annotations

import math

import numpy as np

from gst_tutorial.book.figures.mechanisms.frame import frame, path, player, plot, slider, tick

RATE = 0.02  # learning rate
DECAY = 0.25  # decoupled: each step also multiplies the weights by 1 - RATE * DECAY
PULL = 1.0  # where two batches pull: this many radians to one side, then to the other
STEPS = 400
START = 0.5
LONGEST = 1.5
REACH = 1.65  # half of the circle's picture


def walk(length: float, decay: float, steps: int = STEPS) -> np.ndarray:
    """Weights after each step, `(steps + 1, 2)`, from straight up with the given length.

    The loss of a batch is 1 - cos of the angle between the arrow and the direction that this batch asks for, so the length
    plays no part and the gradient is sin(angle) / length, at right angles to the arrow.
    """
    weights = [np.array([0.0, length])]
    for step in range(steps):
        x, y = weights[-1]
        size, angle = math.hypot(x, y), math.atan2(y, x)
        asked = math.pi / 2 + (PULL if step % 2 == 0 else -PULL)
        gradient = math.sin(angle - asked) / size * np.array([-math.sin(angle), math.cos(angle)])
        weights.append((1 - RATE * decay) * weights[-1] - RATE * gradient)
    return np.array(weights)


def turn(length: float) -> float:
    """Angle in degrees by which the first step turns an arrow of this length."""
    x, y = walk(length, 0, 1)[1]
    return math.degrees(math.atan2(y, x)) - 90


def _place(weights) -> list[tuple[float, float]]:
    return [(0.5 + x / (2 * REACH), 0.5 + y / (2 * REACH)) for x, y in weights]


def build() -> str:
    """The figure."""
    free, decayed = (np.linalg.norm(walk(START, decay), axis=1) for decay in (0, DECAY))
    circle = [(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 73)]
    # At the start the step that comes next is drawn twelve times as long, or nobody would see it.
    here = walk(START, 0, 1)
    step = [here[0], here[0] + 12 * (here[1] - here[0])]

    def lengths(values: np.ndarray, look: str, part: str) -> str:
        return path([(i / STEPS, value / (1.2 * LONGEST)) for i, value in enumerate(values) if i % 4 == 0], look, part)

    left = (
        '<div class="gst-panel"><p class="gst-head">The filter as an arrow, with '
        '<span class="gst-key gst-of-hit">its next step</span> drawn 12 times as long. Circle: length 1</p>'
        + plot(
            path(_place(circle), "faint"),
            path(_place([(0, 0), here[0]]), "accent", "arrow"),
            path(_place([here[0]]), "tip", "tip"),
            path(_place(step), "hit", "step"),
            ratio="xMidYMid meet",
        )
        + "</div>"
    )
    right = (
        '<div class="gst-panel"><p class="gst-head">Its length after each step: '
        '<span class="gst-key gst-of-accent">without decay</span> it only grows, '
        '<span class="gst-key gst-of-hit">with decay</span> (dashed) it settles</p>'
        + plot(
            path([(0, 0), (1, 0)], "zero"),
            path([(0, 1 / (1.2 * LONGEST)), (1, 1 / (1.2 * LONGEST))], "zero"),
            lengths(free, "accent", "free"),
            lengths(decayed, "dashed", "decayed"),
            path([(0, START / (1.2 * LONGEST))], "dot", "now"),
        )
        + f'<div class="gst-ends"><span>step 0</span><span>thin line: length 1</span><span>step {STEPS}</span></div></div>'
    )
    return frame(
        "arrow",
        "Why does the same training turn a short filter further?",
        alt="Left: an arrow that points up from the centre of a circle, and at its tip the next step, at right angles. Right: "
        "the arrow's length against the number of steps, one curve without weight decay and one with it.",
        drawing=f'<div class="gst-panels">{left}{right}</div>',
        controls=slider("length", "length at the start", 0.25, LONGEST, 0.05, START)
        + player("step", STEPS)
        + tick("decay", "weight decay: each step also shortens the arrow by 0.5%"),
        sentence=f"At step 0 the filter is {START:.2f} long, and its next step turns it by {turn(START):.1f} degrees. A filter "
        f"of length 1.00 would be turned by {turn(1):.1f} degrees.",
        without=f"With scripts you could set the length. At 0.25 the first step turns the arrow by {turn(0.25):.1f} degrees, "
        f"at 1.00 by {turn(1):.1f}: an arrow a quarter as long is turned about sixteen times as far.",
        caption="A model with two weights, computed in the page. Batch norm ignores the length of a filter, so the gradient is "
        "at right angles to it and grows as 1/length. A step at right angles always makes the arrow longer. The batches pull to "
        f"the two sides in turns; plain gradient descent, learning rate {RATE}.",
        data={"rate": RATE, "decay": DECAY, "pull": PULL, "steps": STEPS, "longest": LONGEST, "reach": REACH},
    )
