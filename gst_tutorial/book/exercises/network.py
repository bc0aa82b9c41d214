"""Checks for the exercises of chapter 10, see `gst_tutorial.book.exercises`."""

from __future__ import annotations

import itertools

from gst_tutorial._lazy import masks, small, torch
from gst_tutorial.book.exercises.answers import (
    Check,
    function,
    instability_of,
    interval,
    own_network,
    own_numbers,
    scores_by,
)
from gst_tutorial.book.exercises.tabled import Letter, NotYet, Number


def folded(layer: masks.PrunableLayer, model=None, x=None) -> torch.Tensor:
    """The norm of each kernel, times what batch norm multiplies it by: `(C,)`."""
    scale = layer.norm.weight / (layer.norm.running_var + layer.norm.eps).sqrt()
    return (scale.abs() * layer.conv.weight.flatten(1).norm(dim=1)).detach()


def _folded_score(answer) -> str:
    generator = torch.Generator().manual_seed(0)
    layer = masks.prunable_layers(small.conv1d_net(channels=(4, 4), strides=(1, 1)))["conv2"]
    with torch.no_grad():
        layer.conv.weight.copy_(torch.randn(layer.conv.weight.shape, generator=generator))
        layer.norm.weight.copy_(torch.tensor([-3.0, 1.0, 0.5, -0.25]))
        layer.norm.running_var.copy_(torch.tensor([0.5, 4.0, 1.0, 0.01]))
        norms = layer.conv.weight.flatten(1).norm(dim=1)
        scale = layer.norm.weight / (layer.norm.running_var + layer.norm.eps).sqrt()
    scores = scores_by(answer, layer, "check('10.2', folded_score)")
    if scores.requires_grad:
        raise NotYet("The scores carry a gradient; detach them.")
    mistakes = {
        "A negative scale turns the filter's sign, not its size: take the absolute value of gamma.": scale * norms,
        "The kernel's norm is missing: these are |gamma| / sigma.": scale.abs(),
        "Batch norm's scale is missing: these are the norms of the kernels.": norms,
        "Divide by the standard deviation; running_var is the variance.": (
            norms * layer.norm.weight.detach().abs() / (layer.norm.running_var + layer.norm.eps)
        ),
        "Divide by the standard deviation: so far these are |gamma| times the norm.": (
            norms * layer.norm.weight.detach().abs()
        ),
    }
    for sentence, mistake in mistakes.items():
        if torch.allclose(scores.float(), mistake, rtol=1e-3):
            raise NotYet(sentence)
    if not torch.allclose(scores.float(), folded(layer), rtol=1e-3):
        raise NotYet("The scores are not ||w|| |gamma| / sqrt(running_var + eps).")
    return "It is the size of the single kernel that convolution and batch norm form together."


def _geometric_schedule(answer) -> str:
    function(answer, "check('10.3', geometric)")
    if answer(1.0, 0.5) is None:
        raise NotYet("The function returns None so far.")
    if abs(float(answer(0.0, 0.5))) > 1e-6:
        raise NotYet("Before the first event nothing is pruned yet. Does your function give the share that is left?")
    for final in (0.5, 0.9):
        n_events = 4
        left = [1.0, *(1 - float(answer(event / n_events, final)) for event in range(1, n_events + 1))]
        if abs(left[-1] - (1 - final)) > 1e-6:
            raise NotYet(f"At the end a share of {final} should be gone; your function gives {1 - left[-1]:.3g}.")
        factors = [after / before for before, after in itertools.pairwise(left)]
        if max(factors) - min(factors) > 1e-6:
            shown = ", ".join(f"{1 - factor:.0%}" for factor in factors)
            raise NotYet(
                f"With final={final} in four events, yours take {shown} of the filters still there: not the same share."
            )
    return "Each event multiplies what is left by the same factor, (1 - final) to the power 1 / events."


def folded_minus_plain(seed: int) -> float:
    """Instability of pruning half of conv4 by the folded score, minus that by the norm, in the network of a seed."""
    network = own_network(seed)
    by_folded, by_norm = (instability_of(*network, "conv4", 0.5, score=score) for score in (folded, "l2"))
    return by_folded - by_norm


def _does_the_score_matter(answer) -> str:
    wrong_way = "The sign is turned: the folded score minus the plain norm."
    found = own_numbers(answer, folded_minus_plain, 0.01, wrong_way)
    return (
        f"{interval(found, points=False).capitalize()}. Batch norm makes all filters about equally loud, so a small folded "
        f"kernel is one whose pattern is strong in its input. That doesn't mean it can be spared."
    )


CHECKS: dict[str, Check] = {
    "10.1": Number(
        110_592,
        0,
        "36,864 weights in the filters themselves and 73,728 in the layer that reads them: the larger part is in the reader.",
        {
            36_864: "Those are the weights of the 64 filters; the next convolution reads 64 channels fewer, too.",
            73_728: "Those are the weights that read the 64 channels; the filters themselves go, too.",
            221_184: "That is the total of both layers; half of it goes.",
            147_456: "That is the whole second convolution; only the half of it that reads the pruned filters goes.",
        },
    ),
    "10.2": _folded_score,
    "10.3": _geometric_schedule,
    "10.4": Letter(
        "b",
        "Both layers write to the same channel of the sum, so it can't be cut while the other one still uses it.",
        {
            "a": "The largest of several zeros is zero, so a pruned channel stays zero through max-pooling.",
            "c": "Dropout multiplies by 0 or by a constant: zeros stay zeros.",
        },
    ),
    "10.5": _does_the_score_matter,
}
