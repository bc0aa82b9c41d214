"""Chapter 1: a signal passes through one filter, batch norm, the mask and a relu; zero the parts and see what still speaks."""

from __future__ import annotations

import numpy as np

from gst_tutorial.book.figures.mechanisms.frame import frame, path, player, plot, tick

SAMPLES = 40
KERNEL = (-0.5, 1.2, -0.2)
SCALE, SHIFT = 1.0, 0.2  # gamma and beta
LIMITS = {"x": 1.2, "u": 1.2, "z": 2.6, "masked": 2.6, "relu": 2.6}  # half of the height of each plot
START = 12
NAMES = {
    "x": "signal x",
    "u": "filter's output u",
    "z": "after batch norm, z",
    "masked": "after the mask, m · z",
    "relu": "after the relu",
}


def signal() -> np.ndarray:
    """A bump and a deeper dip with a ripple on both, `(40,)`."""
    at = np.arange(SAMPLES)
    bumps = 0.8 * np.exp(-(((at - 12) / 4) ** 2)) - 1.0 * np.exp(-(((at - 27) / 5) ** 2))
    return np.round(bumps + 0.15 * np.sin(2 * at), 2)


def filtered(x: np.ndarray, kernel=KERNEL) -> np.ndarray:
    """Output of the filter, as `torch.nn.functional.conv1d` with padding 1 gives it, `(40,)`."""
    return np.correlate(np.pad(x, 1), kernel, "valid")


def statistics() -> tuple[float, float]:
    """Running mean and standard deviation of batch norm: of the untouched filter's output."""
    u = filtered(signal())
    return round(float(u.mean()), 4), round(float(u.std()), 4)


def build() -> str:
    """The figure."""
    x, (mean, deviation) = signal(), statistics()
    u = filtered(x)
    z = SCALE * (u - mean) / deviation + SHIFT
    values = {"x": x, "u": u, "z": z, "masked": z, "relu": np.maximum(z, 0)}
    across = np.arange(SAMPLES) / (SAMPLES - 1)
    rows = []
    for name, label in NAMES.items():
        heights = 0.5 + values[name] / (2 * LIMITS[name])
        shapes = [path([(0, 0.5), (1, 0.5)], "zero")]
        if name == "x":
            left, right = across[START - 1], across[START + 1]
            shapes.append(path([(left, 0), (right, 0), (right, 1), (left, 1)], "window", "window"))
        shapes.append(path(zip(across, heights, strict=True), "faint" if name == "x" else "accent", name))
        shapes.append(path([(across[START], heights[START])], "dot", f"{name}-dot"))
        number = f'<b data-part="{name}-number">{values[name][START]:.2f}</b>'
        rows.append(f'<div class="gst-row"><span>{label}</span>{plot(*shapes)}{number}</div>')
    ticks = "".join(
        tick(part, label)
        for part, label in (
            ("no-weights", "set the weights to 0"),
            ("no-scale", "set batch norm's scale γ to 0"),
            ("no-shift", "set batch norm's shift β to 0"),
            ("no-mask", "set the mask m to 0"),
        )
    )
    return frame(
        "signal",
        "What does it take to silence a filter?",
        alt="Five curves over forty samples, one below the other: the signal, the filter's output, the same after batch norm, "
        "after the mask and after the relu. A dot on each marks one sample.",
        drawing="".join(rows),
        controls=player("sample", SAMPLES - 1, START) + f'<div class="gst-ticks">{ticks}</div>',
        sentence=f"At sample {START} the filter gives u = {u[START]:.2f}. Batch norm turns it into z = {z[START]:.2f}, the mask "
        f"m = 1 leaves that as it is, and the relu passes on {max(z[START], 0):.2f}.",
        without="With scripts you could set the weights to 0 here: u becomes 0, but batch norm still sends the constant "
        f"β − γμ/σ = {SHIFT - SCALE * mean / deviation:.2f}. Only the mask silences the filter by itself.",
        caption=f"One filter with the weights {KERNEL[0]}, {KERNEL[1]} and {KERNEL[2]}, in evaluation mode: batch norm computes "
        f"z = γ(u − μ)/σ + β with γ = {SCALE:.0f}, β = {SHIFT} and the running μ = {mean:.2f} and σ = {deviation:.2f}.",
        data={"x": x.tolist(), "kernel": KERNEL, "scale": SCALE, "shift": SHIFT, "mean": mean, "deviation": deviation}
        | {"limits": LIMITS},
    )
