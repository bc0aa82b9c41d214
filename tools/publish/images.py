"""Draw the social preview (_web/social-preview.png, 1200 x 630) and the icon for phones (_web/apple-touch-icon.png).

The curves are a drawing, not data. The SVG favicon and logo are written by hand beside them.

    python -m tools.publish.images
"""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

WEB = Path(__file__).resolve().parents[2] / "_web"
BLUE, ORANGE, GREY, INK = "#0072b2", "#e69f00", "#8a8a8a", "#1b2733"


def sketch_of_training(drops: dict[float, float], top: float) -> tuple[np.ndarray, np.ndarray]:
    """A smooth rise to `top` that falls by `drops[x]` at each x and recovers."""
    x = np.linspace(0, 10, 1000)
    y = top * (1 - np.exp(-x / 1.6))
    for start, depth in drops.items():
        after = x >= start
        y[after] -= depth * np.exp(-(x[after] - start) / 0.45)
    return x, y


def draw_curves(axes, width: float) -> None:
    axes.plot(*sketch_of_training({}, 0.80), color=GREY, lw=width * 0.7, ls=(0, (4, 2)))
    x, y = sketch_of_training({2.5: 0.30, 4.7: 0.36, 6.9: 0.42}, 0.93)
    axes.plot(x, y, color=BLUE, lw=width, solid_capstyle="round", solid_joinstyle="round")
    axes.plot(x[-1], y[-1], "o", color=ORANGE, ms=width * 2.6, clip_on=False)
    axes.set(xlim=(-0.1, 10.2), ylim=(-0.02, 1.02))
    axes.axis("off")


def social_preview() -> None:
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="white")
    figure.text(
        0.07,
        0.80,
        "The Generalization-Stability\nTradeoff",
        fontsize=44,
        weight="bold",
        color=INK,
        va="center",
        linespacing=1.1,
    )
    figure.text(
        0.07,
        0.62,
        "Prune a network, watch it fall, see where it ends. A book to run.",
        fontsize=21,
        color=INK,
        va="center",
    )
    draw_curves(figure.add_axes((0.07, 0.07, 0.86, 0.47)), width=6)
    figure.savefig(WEB / "social-preview.png", metadata={"Software": None})


def phone_icon() -> None:
    figure = plt.figure(figsize=(1.8, 1.8), dpi=100, facecolor=BLUE)
    axes = figure.add_axes((0.14, 0.18, 0.72, 0.62))
    x, y = sketch_of_training({2.5: 0.30, 4.7: 0.36, 6.9: 0.42}, 0.93)
    axes.plot(x, y, color="white", lw=6, solid_capstyle="round", solid_joinstyle="round")
    axes.plot(x[-1], y[-1], "o", color=ORANGE, ms=15, clip_on=False)
    axes.axis("off")
    figure.savefig(WEB / "apple-touch-icon.png", metadata={"Software": None})


if __name__ == "__main__":
    social_preview()
    phone_icon()
