"""Checks for the exercises of chapter 8, see `gst_tutorial.book.exercises`."""

from __future__ import annotations

import functools

from gst_tutorial import networks
from gst_tutorial._lazy import torch
from gst_tutorial.book.exercises.answers import Check, instability_of, interval, own_numbers
from gst_tutorial.book.exercises.tabled import Letter, NotYet, Number
from gst_tutorial.config import RunConfig
from gst_tutorial.data import load


def _papers_protocol(answer) -> str:
    from gst_tutorial import studies

    if not isinstance(answer, RunConfig):
        raise NotYet(
            "The answer should be a gst.RunConfig: take one from the study by its label and use .replace(...)."
        )
    study = studies.get("paper-fig2-vgg11")
    wanted = study["L, period 40"].replace(score="ebn", device="cuda", precision="bf16", seed=3)
    for name in (
        "score",
        "target",
        "device",
        "seed",
        "schedule",
        "prune_fraction",
        "layers",
        "intervention",
        "model",
        "data",
    ):
        if getattr(answer, name) != getattr(wanted, name):
            raise NotYet(f"{name}={getattr(answer, name)!r}; it should be {getattr(wanted, name)!r}.")
    if answer.recipe.precision != "bf16":
        raise NotYet(f"precision={answer.recipe.precision!r}: on a recent GPU, bf16 is the faster one.")
    if answer != wanted:
        raise NotYet(
            "Everything else should be as in the study's config: change only score, device, precision and seed."
        )
    return "gst.run(answer) starts it on a machine with a GPU; without one, it tells you so."


@functools.lru_cache(maxsize=1)
def _photographs():
    return networks.trained_vgg11(), load("photographs")


def middle_minus_last(seed: int) -> float:
    """Instability of pruning a random half of conv4, minus that of a random half of conv8, in the trained VGG11."""
    middle, last = (
        instability_of(*_photographs(), layer, 0.5, target="random", generator=torch.Generator().manual_seed(seed))
        for layer in ("conv4", "conv8")
    )
    return middle - last


def _layers_compared(answer) -> str:
    wrong_way = "The sign is turned: conv4 minus conv8."
    found = own_numbers(answer, middle_minus_last, 0.001, wrong_way)
    return (
        f"{interval(found, points=False).capitalize()}. The interval is over draws of filters, for one network and these 100 "
        "photographs: other networks may differ."
    )


CHECKS: dict[str, Check] = {
    "8.1": Number(
        13,
        0,
        "Twelve filters would be fewer than a tenth: the number kept is rounded up.",
        {
            12.8: "A filter is kept or pruned, never in part; the number kept is rounded up.",
            12: "The number kept is rounded up: ceil((1 - 0.9) * 128).",
            115: "That is how many are pruned; how many are kept?",
            52: "That is 512 filters pruned by 0.9. A quarter of the width has 128.",
        },
    ),
    "8.2": Number(
        68,
        0,
        "68 events of about seven filters each, compared with 7 events of about 66: the same total, in steps a tenth of "
        "the size.",
        {
            67: "Both ends count: range(6, 276, 4) begins with 6 itself.",
            69: "275 is a bound, not an event: the last one is 6 + 67 * 4 = 274.",
            7: "That is the number of events at period 40; the stable schedule has period 4.",
            37: "That is conv5, whose pruning ends at epoch 150.",
        },
    ),
    "8.3": Letter(
        "b",
        "The mask takes the shortcut with it: otherwise a pruned channel would still carry the block's input.",
        {
            "a": "In this package, as in the paper, the shortcut is not added on channels pruned in a block's last layer.",
            "c": "The mask multiplies the batch norm's output: its shift is gone, too.",
        },
    ),
    "8.4": _papers_protocol,
    "8.5": _layers_compared,
}
