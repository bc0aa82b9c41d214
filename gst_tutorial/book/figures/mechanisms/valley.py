"""Chapter 5: a ball that is shaken in a sharp and in a flat valley of the same depth."""

from __future__ import annotations

import math

import numpy as np

from gst_tutorial.book.figures.mechanisms.frame import frame, path, player, plot, slider

SHARP, FLAT = 16.0, 1.0  # second derivatives
BOTTOMS = (0.0, 2.5)
EDGES = (-0.9, 5.2)
TOP = 3.2  # the highest loss in the picture
RATE = 0.05
STEPS = 1000
START = 0.15  # standard deviation of the noise that is added to each step
MOST = 0.6
SEED = 5
BINS = 40


def loss(x: float | np.ndarray):
    """The lower of two parabolas: at 0 a sharp valley, at 2.5 a flat one."""
    return np.minimum(SHARP / 2 * (x - BOTTOMS[0]) ** 2, FLAT / 2 * (x - BOTTOMS[1]) ** 2)


def ridge() -> float:
    """The place between the valleys where both parabolas are equally high."""
    a, b = math.sqrt(SHARP), math.sqrt(FLAT)
    return (a * BOTTOMS[0] + b * BOTTOMS[1]) / (a + b)


def uniform(seed: int):
    """Pseudo-random numbers in [0, 1), the generator mulberry32: the page has the same one, so both draw equal noise."""
    while True:
        seed = (seed + 0x6D2B79F5) & 0xFFFFFFFF
        mixed = ((seed ^ (seed >> 15)) * (seed | 1)) & 0xFFFFFFFF
        mixed ^= (mixed + ((mixed ^ (mixed >> 7)) * (mixed | 61))) & 0xFFFFFFFF
        yield ((mixed ^ (mixed >> 14)) & 0xFFFFFFFF) / 2**32


def walk(noise: float, start: float, seed: int = SEED, steps: int = STEPS) -> np.ndarray:
    """Place of the ball after each step of gradient descent with normal noise, `(steps + 1,)`."""
    draw = uniform(seed)
    places = [start]
    for _ in range(steps):
        normal = math.sqrt(-2 * math.log(1 - next(draw))) * math.cos(2 * math.pi * next(draw))
        x = places[-1]
        slope = SHARP * (x - BOTTOMS[0]) if x < ridge() else FLAT * (x - BOTTOMS[1])
        places.append(x - RATE * slope + noise * normal)
    return np.array(places)


def _at(x: float, y: float) -> tuple[float, float]:
    return (x - EDGES[0]) / (EDGES[1] - EDGES[0]), y


def build() -> str:
    """The figure."""
    grid = np.linspace(*EDGES, 241)
    valley = [_at(x, 0.25 + 0.75 * y / TOP) for x, y in zip(grid, np.minimum(loss(grid), TOP), strict=True)]
    start = _at(BOTTOMS[0], 0.25)
    bars = "".join(path([((i + 0.5) / BINS, 0), ((i + 0.5) / BINS, 0)], "visits", f"visits-{i}") for i in range(BINS))
    radios = "".join(
        f'<label class="gst-tick"><input type="radio" name="mechanism-valley-start" data-part="{part}" '
        f'data-lm-suppress-shortcuts="true" autocomplete="off"{" checked" * (part == "from-sharp")}> {label}</label>'
        for part, label in (("from-sharp", "in the sharp valley"), ("from-flat", "in the flat valley"))
    )
    names = "".join(
        f'<span style="left:{100 * _at(x, 0)[0]:.0f}%">{name} valley</span>'
        for name, x in zip(("sharp", "flat"), BOTTOMS, strict=True)
    )
    final = walk(START, BOTTOMS[0])
    share = float(np.mean(final[1:] > ridge()))
    return frame(
        "valley",
        "Where does noise take the ball?",
        alt="A curve with two valleys of the same depth: a narrow one on the left and a wide one on the right, with a ridge "
        "between them. A ball lies at the bottom of the narrow one. Bars below the curve will show where the ball has been.",
        drawing='<div class="gst-panel"><p class="gst-head">Loss as a function of one weight. Bars: how often the ball has '
        f"visited each place</p>{plot(bars, path(valley, 'accent'), path([start], 'ball', 'ball'))}"
        f'<div class="gst-under">{names}</div></div>',
        controls=slider("noise", "noise added to each step", 0, MOST, 0.05, START)
        + player("step", STEPS)
        + f"<fieldset><legend>The ball starts</legend>{radios}</fieldset>",
        sentence=f"Step 0: the ball lies at the bottom of the sharp valley. Press Play, or move the step slider; the noise has "
        f"a standard deviation of {START:.2f}.",
        without=f"With scripts the ball would move. After {STEPS:,} steps with this noise it has spent {share:.0%} of its steps "
        "in the flat valley, although it started in the sharp one.",
        caption=f"A simulation in the page: gradient descent with learning rate {RATE} plus normal noise, on a loss with the "
        f"second derivative {SHARP:.0f} in the sharp valley and {FLAT:.0f} in the flat one. Both are equally deep, so neither "
        "fits the data better. It shows where noise leads, and says nothing about which valley would do better on new examples.",
        data={
            "sharp": SHARP,
            "flat": FLAT,
            "bottoms": BOTTOMS,
            "edges": EDGES,
            "top": TOP,
            "rate": RATE,
            "steps": STEPS,
        }
        | {"seed": SEED, "bins": BINS, "ridge": ridge()},
    )
