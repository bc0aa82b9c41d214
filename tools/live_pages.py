"""A bare page beside the modules of _web/live, in Chromium: what a test of them needs, without the built book."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from tools.browser import Visit, serve, visit

ROOT = Path(__file__).resolve().parents[1]
LIVE = ROOT / "_web" / "live"
BARE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Live</title><main><h1>Live</h1>{body}</main></html>'


#: Starts the library on WebAssembly in the page itself, so that a test sees every number of a step.
PROGRAM = """
  const { compile, Network, patchesOf } = await import("/live/network.js");
  const { batchOf } = await import("/live/training.js");
  const jax = await import("/live/vendor/jax/index.js");
  await jax.init("wasm"); jax.defaultDevice("wasm");
  const programFor = (head) => compile(jax, "wasm", head);
  const typed = (table) => Object.fromEntries(Object.entries(table).map(([name, values]) => [name, Float32Array.from(values)]));
  const stateOf = ({ weights, statistics, mask }) =>
    ({ weights: typed(weights), statistics: typed(statistics), mask: Float32Array.from(mask) });
"""


@contextlib.contextmanager
def bare_page(browser, folder: Path, body: str = "", **options) -> Iterator[Visit]:
    """A page at `/index.html` with `body`, and the modules at `/live/`; nothing else can be reached."""
    (folder / "index.html").write_text(BARE.format(body=body), encoding="utf-8")
    link = folder / "live"
    if not link.exists():
        link.symlink_to(LIVE)
    with serve(folder) as address, visit(browser, address, **options) as here:
        yield here.open("index.html")


def as_json(model: torch.nn.Module) -> dict:
    """The page's state of a network, as playwright can carry it."""
    from tools.pages.live import page_state

    state = {name: values.ravel().tolist() for name, values in page_state(model).items()}
    mask = dict(model.named_buffers())
    kept = next(values for name, values in mask.items() if name.endswith("mask") and values.numel() == 64)
    statistics = {name: state.pop(name) for name in list(state) if name[0] in "mv"}
    return {"weights": state, "statistics": statistics, "mask": kept.float().tolist()}


def from_json(state: dict) -> dict[str, np.ndarray]:
    """A page's state as `load_page_state` takes it."""
    return {
        name: np.array(values, np.float32) for part in ("weights", "statistics") for name, values in state[part].items()
    }
