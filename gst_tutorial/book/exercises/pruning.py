"""Checks for the exercises of chapter 1, see `gst_tutorial.book.exercises`."""

from __future__ import annotations

import math

from gst_tutorial._lazy import instability, masks, small, torch
from gst_tutorial.book.exercises.answers import Check, interval, own_network, own_numbers, scores_by
from gst_tutorial.book.exercises.tabled import Counts, Letter, NotYet, Number
from gst_tutorial.pruning import kept_filters, prune_filters, restore_filters


def _scale_score(answer) -> str:
    layer = masks.prunable_layers(small.conv1d_net(channels=(4, 4), strides=(1, 1)))["conv2"]
    scale = torch.tensor([-3.0, 1.0, 0.5, -0.25])
    with torch.no_grad():
        layer.norm.weight.copy_(scale)
    scores = scores_by(answer, layer, "check('1.3', scale_score)")
    if torch.allclose(scores.float(), scale):
        raise NotYet("A filter with scale -3 speaks as loudly as one with +3: take the absolute value.")
    if not torch.allclose(scores.float(), scale.abs()):
        raise NotYet("The scores are not |gamma|; layer.norm.weight holds gamma.")
    if scores.requires_grad:
        raise NotYet("Right numbers, but they carry a gradient; detach them.")
    return "Any such function can be passed as score= to gst.prune_filters."


def smallest_minus_largest(seed: int) -> float:
    """Accuracy left when half of conv4 goes, the smallest filters against the largest, in the network of a seed."""
    model, data = own_network(seed)
    left = {}
    for target in ("smallest", "largest"):
        prune_filters(model, "conv4", 0.5, target=target)
        left[target] = instability.accuracy(model, data.x_test, data.y_test)
        restore_filters(model)
    return left["smallest"] - left["largest"]


def _own_targets(answer) -> str:
    found = own_numbers(answer, smallest_minus_largest, 0.002, "The difference is the other way round.")
    says = {
        1: "The largest were missed more.",
        -1: "The smallest were missed more.",
        0: "That is too few networks to decide.",
    }[found.sign]
    return f"{interval(found).capitalize()}. {says}"


_LEFT = kept_filters(128, 0.7, 4)

CHECKS: dict[str, Check] = {
    "1.1": Counts(
        tuple(_LEFT),
        "Four events, 39 filters left at the end.",
        {
            (None, None, None, 38): "0.3 x 128 is 38.4, and what is left is rounded up.",
            tuple(128 - left for left in _LEFT): "These are the filters removed; the question asks for those left.",
        },
        "The last should be ceil(0.3 x 128); the way there is a straight line, each step rounded up.",
    ),
    "1.2": Number(
        2 / math.sqrt(2 * math.pi),
        2,
        "With beta = 0, E[BN] is |gamma| phi(0); the sign of gamma does not matter.",
        {
            -2 / math.sqrt(2 * math.pi): "The spread is |gamma|: an expected relu cannot be negative.",
            1 / math.sqrt(2 * math.pi): "You have phi(0); it is still to be multiplied by |gamma| = 2.",
            0.0: "beta is 0, but relu keeps the positive half of the values, whose mean is not 0.",
        },
    ),
    "1.3": _scale_score,
    "1.4": Letter(
        "c",
        "The claim is about networks in general, so the experiment has to be repeated over networks. Pairing removes the "
        "variation that both targets share.",
        {
            "a": "More test examples say more about this one network, and nothing about the next.",
            "b": "Many shares of one network are still one network; another seed may turn the order round.",
        },
    ),
    "1.5": _own_targets,
}
