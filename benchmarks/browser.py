"""How fast and how heavy the book's figures are in a browser, beside matplotlib's own slider figure (`to_jshtml`).

`rows()` gives one dict per measurement. `ratio` is peer / ours: how many times faster, or lighter, ours is. Rows about
weight have no seconds. Run it alone: python -m benchmarks.browser
"""

from __future__ import annotations

import gzip
import math
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._measure import row
from gst_tutorial.book.figures import figure_frames, house_style, slider_figure
from tools.browser import chromium, serve, visit

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "_build" / "html"
PAINT_LIMIT = 0.050  # seconds, 95th percentile
LOAD_LIMIT = 450_000  # bytes, compressed
STATES = 20
SIZE = (5.0, 3.2)

# From the event that a hand on the slider makes to the first task after the frame that shows the new, decoded picture.
MOVE_AND_TIME = """async (moves) => {
  const slider = document.querySelector("input[type=range]"), image = document.querySelector("img");
  const last = Number(slider.max), seconds = [];
  const afterPaint = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(null);
  }));
  for (let i = 0; i < moves; i++) {
    await afterPaint();
    slider.value = (7 * i + 1) % (last + 1);  // jumps: no neighbour that might be ready already
    const start = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await image.decode();
    await afterPaint();
    seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}"""


def draw(figure, phase: float):
    epochs = np.arange(60)
    axes = figure.subplots()
    for line in range(3):
        axes.plot(epochs, 0.85 - 0.6 * np.exp(-epochs / 8) - 0.02 * line - 0.1 * np.sin(epochs / 9 + phase) ** 8)
    axes.set(ylim=(0, 1), xlabel="epoch", ylabel="test accuracy")


def ours() -> str:
    phases = np.linspace(0, 3, STATES)
    labels = [f"{phase:.2f}" for phase in phases]
    return slider_figure(
        figure_frames(draw, phases, size=SIZE),
        labels=labels,
        texts=[f"The dip stands at phase {label}." for label in labels],
        name="fig-bench",
        title="A benchmark",
        control_label="phase",
    )


def peer() -> str:
    """The same pictures by matplotlib.animation's `to_jshtml`: PNG, a slider and buttons, no kernel."""
    import matplotlib
    from matplotlib import pyplot
    from matplotlib.animation import FuncAnimation

    with matplotlib.rc_context(house_style(SIZE[0])):
        figure = pyplot.figure(figsize=SIZE)

        def frame(phase):
            figure.clear()
            draw(figure, phase)

        page = FuncAnimation(figure, frame, frames=np.linspace(0, 3, STATES)).to_jshtml(default_mode="once")
        pyplot.close(figure)
    return page


def rows(quick: bool = False) -> list[dict]:
    figures = {"ours": ours(), "peer": peer()}
    moves = 40 if quick else 200
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        for name, figure in figures.items():
            head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
            Path(folder, f"{name}.html").write_text(f"{head}<main>{figure}</main></html>", encoding="utf-8")
        with serve(Path(folder)) as address:
            seconds = {name: _moves(browser, address, name, moves) for name in figures}
        found = [_paint_row(seconds, moves), _weight_row(figures)]
        if BOOK.is_dir():
            with serve(BOOK) as address:
                found += [_load_row(browser, address, page) for page in _chapters()]
    return found


def _moves(browser, address: str, name: str, moves: int) -> np.ndarray:
    with visit(browser, address) as here:
        here.open(f"{name}.html")
        here.page.wait_for_timeout(500)
        here.page.evaluate(MOVE_AND_TIME, 5)  # warm-up
        return np.array(here.page.evaluate(MOVE_AND_TIME, moves))


def _paint_row(seconds: dict[str, np.ndarray], moves: int) -> dict:
    own, other = (float(np.quantile(seconds[name], 0.95)) for name in ("ours", "peer"))
    verdict = "within" if own <= PAINT_LIMIT else "OVER"
    note = f"{moves} moves, median {1000 * np.median(seconds['ours']):.0f} ms; {verdict} {1000 * PAINT_LIMIT:.0f} ms"
    name = "slider to painted picture, 95th percentile"
    return row(name, "slider_figure", "matplotlib to_jshtml", (own, other), note)


def _weight_row(figures: dict[str, str]) -> dict:
    own, other = (len(gzip.compress(figures[name].encode(), 6)) for name in ("ours", "peer"))
    name = f"weight of a figure with {STATES} pictures, gzip"
    sides = f"slider_figure, {own / 1000:.0f} KB", f"matplotlib to_jshtml, {other / 1000:.0f} KB"
    return row(name, *sides, None, "limit 60 KB", ratio=other / own)


def _chapters() -> list[str]:
    return sorted(f"book/{path.name}" for path in (BOOK / "book").glob("[0-9][0-9]_*.html"))


def _load_row(browser, address: str, page: str) -> dict:
    with visit(browser, address) as here:
        weights = here.first_load(page)
    total = sum(weights.values())
    heaviest = max(weights, key=weights.get)
    sides = f"{total / 1000:.0f} KB in {len(weights)} files", f"limit, {LOAD_LIMIT / 1000:.0f} KB"
    note = f"heaviest: {heaviest.removeprefix(address)} ({weights[heaviest] / 1000:.0f} KB)"
    return row(f"first load of {page}, gzip", *sides, None, note, ratio=LOAD_LIMIT / total)


if __name__ == "__main__":
    for found in rows():
        own, other = (f"{1000 * found[key]:.1f} ms" for key in ("ours_seconds", "peer_seconds"))
        timing = "" if math.isnan(found["ours_seconds"]) else f" ({own} against {other})"
        print(
            f"{found['benchmark']}: {found['ours']} / {found['peer']}{timing}, ratio {found['ratio']:.2f}; {found['note']}"
        )
