"""Prune some filters of one layer by hand, and see at once what it costs.

What the controls do is a plain function (`explore`); the widget only calls it. It runs with ipywidgets 7.7 (Colab) and 8.
An error is shown where the answer would stand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import pruning
from gst_tutorial.book.figures.effect import effect
from gst_tutorial.book.widgets.answers import controls as ipywidgets
from gst_tutorial.book.widgets.answers import error_html
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.instability import Instability, correct, measure_instability
from gst_tutorial.masks import prunable_layers
from gst_tutorial.scores import examples_for

SHARES = tuple(round(0.05 * i, 2) for i in range(20))  # 0 to 0.95
N_SCORED = 200  # training examples that the score "activation" looks at


@dataclasses.dataclass(frozen=True)
class Exploration:
    """Result of `explore`.

    It has the event's `Instability`, the score of every filter `(C,)`, the filters pruned after the event and before it,
    bool `(C,)` each, and the accuracy of each class before and after, `(2, n_classes)`; NaN for a class without a test
    example.
    """

    event: Instability
    scores: torch.Tensor
    pruned: torch.Tensor
    pruned_before: torch.Tensor
    by_class: torch.Tensor


def explore(
    model: nn.Module,
    data: Dataset,
    layer: str,
    prune_fraction: float,
    score: str = "l2",
    target: str = "smallest",
    n_examples: int = 1000,
) -> Exploration:
    """Prune some filters of one layer, measure, and put the mask back as it was.

    Args:
        model: a prunable, trained network; unchanged afterwards.
        data: its data; the first `n_examples` test examples are used.
        layer, prune_fraction, score, target: see `gst.prune_filters`. Random targets are the same at every call.
    """
    mask = pruning.find_layer(model, layer).mask
    check.instance("data", data, Dataset)
    check.integer("n_examples", n_examples, low=1)
    check.real("prune_fraction", prune_fraction, 0, 1, open_high=True)
    x, y = data.x_test[:n_examples], data.y_test[:n_examples]  # views: no data is copied
    before = mask.mask.clone()
    batch = examples_for(score, data.x_train[:N_SCORED], data.y_train[:N_SCORED])
    scores = pruning.filter_scores(model, layer, score, batch)
    keep = pruning.kept_in_the_end(mask.n_filters, prune_fraction)  # all of them, perhaps: no reason to warn
    generator = torch.Generator().manual_seed(0)
    flags: list[torch.Tensor] = []  # which examples are right: before, after

    def right() -> torch.Tensor:
        flags.append(correct(model, x, y))
        return flags[-1]

    try:
        with measure_instability(right) as event:
            # The scores are known already, so they are not computed again.
            pruning.prune_filters(model, layer, keep=keep, score=lambda *_: scores, target=target, generator=generator)
            pruned = ~mask.kept
    finally:
        mask.mask.copy_(before)
    by_class = torch.stack([_shares(each, y, data.n_classes) for each in flags])
    return Exploration(event, scores, pruned, ~before.bool(), by_class)


def _shares(flags: torch.Tensor, y: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Share of true flags within each class, `(n_classes,)`."""
    return torch.bincount(y, flags.float(), n_classes) / torch.bincount(y, minlength=n_classes)


def answer_html(model: nn.Module, data: Dataset, n_examples: int = 1000, **choice) -> str:
    """Return the HTML that `prune_explorer` shows for a `layer`, `prune_fraction`, `score` and `target`, or for an error."""
    try:
        found = explore(model, data, **choice, n_examples=n_examples)
        return exploration_html(found, getattr(data, "classes", None))
    except Exception as error:  # whatever went wrong, the reader sees it
        return error_html(error)


def prune_explorer(model: nn.Module, data: Dataset, n_examples: int = 1000):
    """Controls for layer, score, target and share; shows the accuracy of all examples and of each class before and after
    as bars, the instability, and the scores of the filters that go and stay.

    Args:
        model: a prunable, trained network; its masks are unchanged afterwards.
        data: its data. n_examples: test examples used, so that an answer takes a few hundredths of a second.

    Returns:
        An ipywidgets `VBox`.

    Raises:
        ImportError: ipywidgets is not installed. TypeError, ValueError: the model has no masks, or the data are no data.
    """
    widgets = ipywidgets()
    check.integer("n_examples", n_examples, low=1)
    check.instance("data", data, Dataset)
    layers = list(prunable_layers(model))
    if not layers:
        raise ValueError("model has no filter masks; call make_prunable(model, example_input) first.")
    start = {"layer": layers[-1], "score": "l2", "target": "smallest", "prune_fraction": 0.5}
    controls = {
        "layer": widgets.Dropdown(options=layers, description="layer"),
        "score": widgets.Dropdown(options=list(pruning.SCORES), description="score"),
        "target": widgets.ToggleButtons(options=list(pruning.TARGETS), description="target"),
        "prune_fraction": widgets.SelectionSlider(
            options=[(f"{share:.0%}", share) for share in SHARES], description="share"
        ),
    }
    reset = widgets.Button(description="Reset")
    answer = widgets.HTML()
    resetting = False  # the controls move one by one; the answer is wanted once, at the end

    def update(change=None):
        if not resetting:
            choice = {name: control.value for name, control in controls.items()}
            answer.value = answer_html(model, data, n_examples, **choice)

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


def exploration_html(found: Exploration, names: Sequence[str] | None = None) -> str:
    """The accuracies as bars, of all examples and by class, and the filters' scores.

    Args:
        names: of the classes; None numbers them.
    """
    event = found.event
    n_before = int(found.pruned_before.sum())
    sentence = (
        f"{int(found.pruned.sum())} of {len(found.pruned)} filters pruned"
        f"{f', {n_before} of them before' if n_before else ''}: instability {event.instability:.3f} \u00b1 "
        f"{event.standard_error:.3f} ({event.n_examples} test examples)."
    )
    before, after = found.by_class.tolist()
    names = [f"class {i}" for i in range(len(before))] if names is None else list(map(str, names))
    classes = [row for row in zip(names, before, after) if row[1] == row[1]]  # those that have test examples
    accuracies = (event.accuracy_before, event.accuracy_after)
    return effect(sentence, accuracies, classes, found.scores.cpu().numpy(), found.pruned.cpu().numpy())
