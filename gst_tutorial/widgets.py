"""Figures for the reader's hands: pictures with a slider that need no kernel, and live controls that do.

The kernel-free builder is in `sliders`; its names are here too, so that a notebook needs only `gst.widgets`.
Live widgets run with ipywidgets 7.7 (Colab) and 8. What a control does is a plain function here (`explore`); the widget
only calls it. An error is shown where the answer would stand.
"""

from __future__ import annotations

import dataclasses
import html
import traceback

import torch
from torch import nn

from gst_tutorial import checks, pruning
from gst_tutorial.data import Dataset
from gst_tutorial.instability import Instability, correct, measure_instability
from gst_tutorial.models import prunable_layers
from gst_tutorial.plots import PALETTE
from gst_tutorial.sliders import figure_frames, show, slider_figure

__all__ = ["Exploration", "explore", "figure_frames", "prune_explorer", "show", "slider_figure"]

SHARES = tuple(round(0.05 * i, 2) for i in range(20))  # 0 to 0.95


@dataclasses.dataclass(frozen=True)
class Exploration:
    """What `explore` found: the event's `Instability`, every filter's score `(C,)`, and which are pruned, bool `(C,)`."""

    event: Instability
    scores: torch.Tensor
    pruned: torch.Tensor


def explore(
    model: nn.Module, data: Dataset, layer: str, prune_fraction: float, score: str = "l2", target: str = "smallest", n_examples: int = 1000
) -> Exploration:
    """Prune some filters of one layer, measure, and put the mask back as it was.

    Args:
        model: a prunable, trained network; unchanged afterwards.
        data: its data; the first `n_examples` test examples are used.
        layer, prune_fraction, score, target: see `gst.prune_filters`. Random targets are the same at every call.
    """
    mask = pruning.find_layer(model, layer).mask
    x, y = data.x_test[:n_examples], data.y_test[:n_examples]
    before = mask.mask.clone()
    try:
        scores = pruning.filter_scores(model, layer, score, data.x_train[:200])
        with measure_instability(lambda: correct(model, x, y)) as event:
            generator = torch.Generator().manual_seed(0)
            pruning.prune_filters(
                model, layer, prune_fraction, score=score, target=target, generator=generator, x=data.x_train[:200]
            )
            pruned = ~mask.kept
    finally:
        mask.mask.copy_(before)
    return Exploration(event, scores, pruned)


def prune_explorer(model: nn.Module, data: Dataset, n_examples: int = 1000):
    """Controls for layer, score, target and share; shows accuracy before and after, instability, and the scores' cut.

    Args:
        model: a prunable, trained network; its masks are unchanged afterwards.
        data: its data. n_examples: test examples used, so that an answer takes a few hundredths of a second.

    Returns:
        An ipywidgets `VBox`.
    """
    import ipywidgets as widgets

    layers = list(prunable_layers(model))
    checks.integer("n_examples", n_examples, low=1)
    start = {"layer": layers[-1], "score": "l2", "target": "smallest", "prune_fraction": 0.5}
    controls = {
        "layer": widgets.Dropdown(options=layers, description="layer"),
        "score": widgets.Dropdown(options=list(pruning.SCORES), description="score"),
        "target": widgets.ToggleButtons(options=list(pruning.TARGETS), description="target"),
        "prune_fraction": widgets.SelectionSlider(
            options=[(f"{share:.0%}", share) for share in SHARES], description="share", continuous_update=False
        ),
    }
    reset = widgets.Button(description="Reset")
    answer = widgets.HTML()

    resetting = False  # the controls move one by one; the answer is wanted once, at the end

    def update(change=None):
        if resetting:
            return
        try:
            found = explore(model, data, **{name: control.value for name, control in controls.items()}, n_examples=n_examples)
            answer.value = exploration_html(found)
        except Exception:  # whatever went wrong, the reader sees it
            answer.value = error_html()

    def put_back(button=None):
        nonlocal resetting
        resetting = True
        for name, control in controls.items():
            control.value = start[name]
        resetting = False
        update()

    for control in controls.values():
        control.observe(update, "value")
    reset.on_click(put_back)
    put_back()
    return widgets.VBox([*controls.values(), reset, answer])


def error_html() -> str:
    """The exception being handled, for a reader: its last line first, the traceback folded below."""
    full = traceback.format_exc()
    summary = full.strip().splitlines()[-1]
    return f"<details role='alert'><summary><b>{html.escape(summary)}</b></summary><pre>{html.escape(full)}</pre></details>"


def exploration_html(found: Exploration) -> str:
    """Accuracies and instability in words, and a bar per filter in the order of its score, as SVG."""
    event = found.event
    words = (
        f"Accuracy {event.accuracy_before:.1%} &rarr; <b>{event.accuracy_after:.1%}</b>, "
        f"instability <b>{event.instability:.3f}</b> &plusmn; {event.standard_error:.3f} "
        f"(standard error of {event.n_examples} test examples). "
        f"{int(found.pruned.sum())} of {len(found.pruned)} filters pruned."
    )
    order = found.scores.argsort()
    top = float(found.scores.max()) or 1.0
    width, height = 600, 120
    step = width / len(order)
    bars = []
    for rank, filter_index in enumerate(order.tolist()):
        size = max(1.0, height * float(found.scores[filter_index]) / top)
        look = (
            f'fill="white" stroke="{PALETTE["vermilion"]}" stroke-dasharray="2 1"'
            if found.pruned[filter_index]
            else f'fill="{PALETTE["blue"]}"'
        )
        bars.append(f'<rect x="{rank * step + 1:.1f}" y="{height - size:.1f}" width="{max(1, step - 2):.1f}" height="{size:.1f}" {look}/>')
    return (
        f"<p>{words}</p><svg viewBox='0 0 {width} {height}' style='background:white;max-width:{width}px;width:100%' role='img' "
        f"aria-label='Scores of the filters in ascending order; pruned filters are outlined, kept ones filled'>{''.join(bars)}</svg>"
        "<p>Filters by rank of their score; outlined: pruned, filled: kept.</p>"
    )
