"""Checks for the exercises of chapter 6, see `gst_tutorial.book.exercises`."""

from __future__ import annotations

from gst_tutorial._lazy import F, torch
from gst_tutorial.book.exercises.answers import (
    Check,
    function,
    interval,
    milestones_in_all_runs,
    own_study,
    same_in_arms,
)
from gst_tutorial.book.exercises.tabled import Letter, NotYet, Number


def _unseen_shrink(answer) -> str:
    function(answer, "check('6.2', unseen)")
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 4, 3, generator=generator)
    mean, var = torch.randn(6, generator=generator), torch.rand(6, generator=generator) + 0.5
    x = torch.randn(8, 4, 20, generator=generator)
    found = answer(weight.clone(), mean.clone(), var.clone(), 0.25)
    if found is None:
        raise NotYet("The function returns None so far.")
    if not isinstance(found, (tuple, list)) or len(found) != 3:
        raise NotYet("The function should return three tensors: weight, running mean, running variance.")
    after = [torch.as_tensor(part) for part in found]
    if not torch.allclose(after[0], 0.25 * weight):
        raise NotYet("The weights should be multiplied by the factor.")
    if not torch.allclose(after[1], 0.25 * mean, rtol=1e-4, atol=1e-6):
        raise NotYet("The running mean is off: the output of the convolution is 1/4 as large, and so is its mean.")
    if torch.allclose(after[2], 0.25 * var, rtol=1e-4):
        raise NotYet("A variance is a mean of squares: when all values shrink by a factor, it shrinks by its square.")
    output = lambda w, m, v: F.batch_norm(F.conv1d(x, w), m, v, eps=0.0)  # noqa: E731
    if not torch.allclose(output(*after), output(weight, mean, var), rtol=1e-3, atol=1e-4):
        raise NotYet("The output behind batch norm changed: look at the running variance again.")
    return "The weights, the mean and the variance change together, so no prediction changes."


def _own_study(answer) -> str:
    frame, found = own_study(answer, "short", "long")
    if "size" in frame:
        frame = frame.assign(size=frame["size"].astype(float).fillna(0.25))  # its default, which a config leaves out
    same = {"epochs": 30, "intervention": "rescale", "target": "random", "prune_fraction": 0.5, "layers": "conv4"}
    events = {"draws": "afresh", "n_events": 9, "start": 2, "end": 18}
    same_in_arms(frame, {arm: same | events | {"size": size} for arm, size in (("long", 4.0), ("short", 0.25))})
    milestones_in_all_runs(frame, (20, 26))
    return f"{interval(found)}. No prediction changed at any event, so the drop at the event plays no part in it."


CHECKS: dict[str, Check] = {
    "6.1": Number(
        16.0,
        0,
        "The gradient is four times as large and the filter a quarter as long: the two multiply.",
        {
            4.0: "That is one of two effects. The gradient of a scale-free function also grows when the weights shrink.",
            0.25: "A shorter filter turns further, not less.",
            1.0: "The function is the same, the geometry is not: a step has a length, and so has the filter.",
            0.0625: "That is the factor upside down: a shorter filter turns further.",
        },
    ),
    "6.2": _unseen_shrink,
    "6.3": Letter(
        "b",
        "The new direction erases what the filter had learned, but its length, and so the length of its steps, stays the "
        "same. It still helps, so forgetting must play a part.",
        {
            "a": "Zeroing drops accuracy, forgets, and makes the filters short: three suspects act at once.",
            "c": "An unseen shrink forgets nothing; what it gains is evidence for step length.",
            "d": "Moments hold no knowledge of the task beyond some batches; nothing is forgotten by resetting them.",
        },
    ),
    "6.4": _own_study,
}
