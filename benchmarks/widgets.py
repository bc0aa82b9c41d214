"""How quickly the live widgets answer, beside doing the same on a copy of the network.

`rows()` gives one dict per measurement. `ratio` is peer / ours: how many times faster ours is. One CPU thread.
Run it alone: python -m benchmarks.widgets
"""

from __future__ import annotations

import copy
import importlib
import itertools

import numpy as np
import torch
from torch.nn.utils import prune

import gst_tutorial as gst
from benchmarks._measure import alternating, row
from gst_tutorial import pruning

widgets = importlib.import_module("gst_tutorial.book.widgets.prune_explorer")  # not the function of that name

EXPLORER_LIMIT = 1.3
ANSWER_LIMIT = 0.040  # seconds, 95th percentile
N_EXAMPLES = 1000


def answer_by_copy(model, data, layer: str, prune_fraction: float, score: str, target: str) -> float:
    """The same question answered as PyTorch's own tool suggests: prune a copy for good, and compare the networks."""
    x, y = data.x_test[:N_EXAMPLES].clone(), data.y_test[:N_EXAMPLES].clone()
    pruned = copy.deepcopy(model)
    if target == "smallest" and score in ("l1", "l2"):
        conv = gst.prunable_layers(pruned)[layer].conv
        prune.remove(prune.ln_structured(conv, "weight", prune_fraction, n=int(score[1]), dim=0), "weight")
    else:  # what torch.nn.utils.prune cannot say
        gst.prune_filters(pruned, layer, prune_fraction, score=score, target=target, x=data.x_train[:200])
    before, after = gst.accuracy(model, x, y), gst.accuracy(pruned, x, y)
    return (before - after) / before


def rows(quick: bool = False) -> list[dict]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = gst.run(gst.RunConfig(evaluate_every=10).replace(epochs=3, milestones=())).model
        return [_answers(model, gst.load("mnist1d"), 24 if quick else 240), _explored(1 if quick else 5)]
    finally:
        torch.set_num_threads(threads)


def _answers(model, data, n: int) -> dict:
    """Ours and the copy's in turn, so that a busy moment of the machine hits both."""
    choices = list(itertools.product(gst.prunable_layers(model), pruning.SCORES, pruning.TARGETS, widgets.SHARES))
    chosen = [choices[i] for i in np.random.default_rng(0).permutation(len(choices))[:n]]
    ours, peer = [], []
    for layer, score, target, share in chosen:
        choice = {"layer": layer, "score": score, "target": target, "prune_fraction": share}
        seconds = alternating(
            lambda: widgets.answer_html(model, data, N_EXAMPLES, **choice),  # noqa: B023  called at once
            lambda: answer_by_copy(model, data, **choice),  # noqa: B023
            1,
        )
        ours.append(seconds[0])
        peer.append(seconds[1])
    own, other = float(np.quantile(ours, 0.95)), float(np.quantile(peer, 0.95))
    verdict = "within" if own <= ANSWER_LIMIT else "OVER"
    note = f"{n} choices, median {1000 * np.median(ours):.0f} ms; {verdict} {1000 * ANSWER_LIMIT:.0f} ms"
    return row("answer of prune_explorer, 95th percentile", "masks", "a copy of network and data", (own, other), note)


def _explored(repeats: int) -> dict:
    """A run of 60 epochs, its twin trained already, as the reader starts it and as `gst.run` makes it."""
    explorer = importlib.import_module("gst_tutorial.book.widgets.run_explorer").RunExplorer()
    explorer.train_button.click()  # the twin, once
    explorer.thread.join()

    def live() -> None:
        explorer.train_button.click()
        explorer.thread.join()

    seconds = alternating(live, lambda: gst.run(explorer.config), repeats)
    verdict = "within" if seconds[0] <= EXPLORER_LIMIT * seconds[1] else "OVER"
    note = f"curves drawn while it trains; {verdict} {EXPLORER_LIMIT} times"
    return row("a run of 60 epochs", "run_explorer", "gst.run", seconds, note)


if __name__ == "__main__":
    for found in rows():
        own, other = (f"{1000 * found[key]:.1f} ms" for key in ("ours_seconds", "peer_seconds"))
        compared = f"{found['ours']} / {found['peer']} ({own} against {other})"
        print(f"{found['benchmark']}: {compared}, ratio {found['ratio']:.2f}; {found['note']}")
