"""The effects that an event can have on the filters it hits.

An intervention is a small function of a `Site` (a layer, the chosen filters, a generator) and a size. `INTERVENTIONS`
lists them, and says of each what it hits and what it is called; the run, its checks, the widgets, the colours of the
figures and the experiment in the page read that table. Pruning removes filters. All others only disturb them, and the
filters are free to recover: that is how we ask which part of pruning helps. Is it that filters stay away, that accuracy
drops, that weights get shorter, that something is forgotten?

Unless its docstring says otherwise, an intervention leaves batch norm alone, as in the paper: in evaluation mode a zeroed
filter therefore still emits a constant, (0 - running mean) * scale / running deviation + shift.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from gst_tutorial import _arguments as check
from gst_tutorial import references
from gst_tutorial._lazy import masks, nn, step_lengths, steps, torch, weights

if TYPE_CHECKING:
    from gst_tutorial.steps import WeightNoise as WeightNoise
    from gst_tutorial.weights import add_gaussian as add_gaussian
    from gst_tutorial.weights import norms as norms
    from gst_tutorial.weights import scale_weights as scale_weights
    from gst_tutorial.weights import set_norms as set_norms

__all__ = [
    "INTERVENTIONS", "Intervention", "Site", "WeightNoise", "add_gaussian", "intervention", "norms", "scale_weights",
    "set_norms",
]  # fmt: skip
_ELSEWHERE = {"WeightNoise": steps, **dict.fromkeys(("add_gaussian", "norms", "scale_weights", "set_norms"), weights)}


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(_ELSEWHERE[name], name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclasses.dataclass
class Site:
    """The place where an intervention acts: some units of one layer of a network in training.

    Attributes:
        model: the network.
        layer: the layer. Of a linear layer, whose *inputs* are hit, `conv` is the layer itself; `norm` and `mask` are None.
        units: int64 `(n,)`, indices of the filters (or inputs) to hit.
        kept: int64 `(m,)`, indices of the units that no event has chosen yet.
        generator: random numbers, drawn on the CPU so that a GPU run gets the same ones.
        optimizer: the run's; None outside a run.
    """

    model: nn.Module
    layer: masks.PrunableLayer
    units: torch.Tensor
    kept: torch.Tensor
    generator: torch.Generator
    optimizer: torch.optim.Optimizer | None = None

    @property
    def weight(self) -> torch.Tensor:
        """The layer's weights, `(C, ...)`: a row per filter; or `(classes, inputs)`."""
        return self.layer.conv.weight


# --- the interventions: each changes the network in place -------------------------------------------------------------


def prune(site: Site) -> None:
    """Mask the filters permanently: later layers receive zeros from them.

    When: you want the filters gone permanently. `gst.compact` can then cut them out of the network.
    Values: `prune_fraction` 0.4 to 0.9, in one to nineteen events (study `dose-way-end`); "init" as control.
    Source: Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020, section 3.
    """
    site.layer.mask.mask[site.units] = 0


def zero(site: Site) -> None:
    """Set the filters' weights (and biases) to zero. They can grow back, starting with the next batch.

    When: you want to know whether filters have to stay away at all.
    Values: half of a layer, nine times (study `jolts`); `n_batches` 1 to 90 (study `noise`).
    Source: Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020, figure 5.
    """
    weights.scale_weights(site.layer, site.units, 0.0)


def silence(site: Site) -> None:
    """Set weights, biases, and batch norm's scale and shift to zero, so that the filters output nothing.

    When: filters should be absent for some batches, as if they were pruned, and then return unchanged.
    Values: `restore="values"`, with `n_batches` of some epochs (study `paper-figD2`).
    Source: Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020, figure D2.
    """
    weights.scale_weights(site.layer, site.units, 0.0)
    if site.layer.norm is not None and site.layer.norm.weight is not None:
        site.layer.norm.weight[site.units] = 0
        site.layer.norm.bias[site.units] = 0


def scale(site: Site, size: float = 0.25) -> None:
    """Multiply the filters' weights by `size`. *Visible*: evaluation divides by the old running deviation, so outputs
    shrink until batch norm has caught up; a size above 1 makes them grow.

    When: you want to know whether shorter filters help, and accuracy may drop at the event.
    Values: 0.25 (study `anatomy`); above 1 as the control that should hurt.
    Source: "shrink" of Ash and Adams, *On warm-starting neural network training*, NeurIPS 2020.
    """
    weights.scale_weights(site.layer, site.units, check.real("size", size, 0, check.MOST))


def rescale(site: Site, size: float = 0.25) -> None:
    """Multiply the filters' weights by `size` and batch norm's running statistics with them. *Function-preserving*: no
    prediction changes, but each later step turns the filters' direction further (by about 1 / size^2 for SGD).

    When: you want to change the step length and nothing else. The instability is 0 by construction.
    Values: 0.25 (studies `anatomy`, `flatness-cause`).
    Source: ours; for the step length van Laarhoven, *L2 regularization versus batch and weight normalization*, 2017.
    """
    _rescale_units(site.layer, site.units, size)


def _rescale_units(layer: masks.PrunableLayer, units: torch.Tensor, size: float) -> None:
    norm = layer.norm
    if norm is None or norm.running_mean is None:
        raise ValueError(f"intervention='rescale' needs batch norm behind layer {layer.name!r}.")
    check.real("size", size, 0, check.MOST, open_low=True)  # a filter of length 0 has no direction to keep
    weights.scale_weights(layer, units, size)
    norm.running_mean[units] *= size
    # (z - mean) / sqrt(var + eps) must stay: size^2 (var + eps) is the new var + eps.
    variance = size**2 * (norm.running_var[units] + norm.eps) - norm.eps
    if (variance < 0).any():
        raise ValueError(
            f"size={size!r} is too small for layer {layer.name!r}: a running variance would fall below zero."
        )
    norm.running_var[units] = variance


def rescale_compensated(site: Site, size: float = 0.25) -> step_lengths.StepLengths:
    """Shrink as `rescale` does, and from then on multiply the filters' steps by `size`, too. A step then turns a filter by
    the angle by which it would have turned the long one. The filters of the event before get their length and steps back.

    When: you need a control for `rescale`: short filters whose steps stay short, too.
    Values: 0.25 (study `aftermath`).
    Source: ours. Adam's averages are rescaled with the gradient, which grows by 1 / size.
    """
    lengths = step_lengths.StepLengths.of(site.optimizer)
    factors = lengths.factors_of(site.layer)
    for units, factor in (((factors != 1).nonzero().squeeze(1), 1 / size), (site.units, size)):
        _rescale_units(site.layer, units, factor)
        factors[units] *= factor
        averages = site.optimizer.state.get(site.weight, {})
        for name, power in (("exp_avg", 1), ("exp_avg_sq", 2), ("momentum_buffer", 1)):
            if name in averages:
                averages[name][units] /= factor**power
    return lengths


def lengthen_steps(site: Site, size: float = 4.0) -> step_lengths.StepLengths:
    """Multiply each step of the filters by `size` until the layer's next event. No weight changes at the event.

    When: steps should get longer although the filters keep their length.
    Values: 4, 16 and 64 (study `aftermath`).
    Source: ours.
    """
    lengths = step_lengths.StepLengths.of(site.optimizer)
    factors = lengths.factors_of(site.layer)
    factors[:] = 1
    factors[site.units] = size
    return lengths


def raise_learning_rate(site: Site, size: float = 10.0) -> step_lengths.StepLengths:
    """Multiply the next step of *all* parameters by `size`; with `n_batches`, each of as many steps.

    When: you want to shake the whole network, without choosing filters.
    Values: 10 for 10 batches (study `aftermath`).
    Source: compare Lewkowycz et al., *The large learning rate phase of deep learning: the catapult mechanism*, 2020.
    """
    lengths = step_lengths.StepLengths.of(site.optimizer)
    lengths.next_step = size
    return lengths


def placebo(site: Site) -> None:
    """Change nothing. Its events are measured like any others, so it is the twin of a run with events.

    When: you compare the time after an event with the same time without one.
    Values: it has no size.
    Source: ours.
    """


def gaussian(site: Site, size: float = 1.0) -> None:
    """Add Gaussian noise of `size` times the standard deviation of all weights of the layer's untouched filters.

    When: you want to reproduce the noise that the paper compares with pruning.
    Values: 1 (study `noise`).
    Source: Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020, figure 5.
    """
    weights.add_gaussian(site.layer, site.units, size, site.generator, "layer", site.kept)


def gaussian_relative(site: Site, size: float = 1.0) -> None:
    """Add Gaussian noise of `size` times each filter's own root mean square weight: noise as long as the filter at 1.
    Batch norm makes a filter's output independent of its norm, so this is the same disturbance for all.

    When: the noise should have the same effect on short and on long filters.
    Values: 0.5 to 2 (study `jolts`).
    Source: ours; with batch norm, the absolute size of the noise means nothing (see chapter 4).
    """
    weights.add_gaussian(site.layer, site.units, size, site.generator, "filter")


def gaussian_same_norm(site: Site, size: float = 1.0) -> None:
    """Add noise as `gaussian_relative` does, then restore each filter's length, so that only its direction changes.

    When: the directions of filters should change, but their lengths (and so their step lengths) should not.
    Values: 1 (study `anatomy`).
    Source: ours.
    """
    before = weights.norms(site.weight, site.units)
    weights.add_gaussian(site.layer, site.units, size, site.generator, "filter")
    weights.set_norms(site.weight, site.units, before)


def redirect(site: Site) -> None:
    """Turn each filter to a new random direction and keep its length. It forgets everything it has learned.

    When: a filter should forget what it has learned, without a change in step length.
    Values: half of a layer, nine times (study `anatomy`).
    Source: ours; compare Zhou, Vani, Larochelle and Courville, *Fortuitous forgetting*, ICLR 2022.
    """
    before = weights.norms(site.weight, site.units)
    site.weight[site.units] = weights.random_weights(site.weight, site.units, site.generator)
    weights.set_norms(site.weight, site.units, before)


def zero_inputs(site: Site) -> None:
    """Set the weights that a linear layer gives some of its inputs to zero. The layers before it do not change.

    When: the layer that reads the filters should forget, but the filters themselves should not.
    Values: half of the inputs of "head", nine times (study `anatomy`).
    Source: after Li et al., RIFLE, ICML 2020, which re-initializes the whole head.
    """
    site.weight[:, site.units] = 0


def reset_moments(site: Site) -> None:
    """Clear the optimizer's running averages for all parameters. No weight changes, and so no prediction changes.

    When: you need a control that disturbs the optimizer and nothing else.
    Values: it has no size.
    Source: ours.
    """
    if site.optimizer is None:
        raise ValueError("intervention='reset_moments' needs the optimizer of a run.")
    site.optimizer.state.clear()


# --- the table --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Intervention:
    """An entry of `INTERVENTIONS`.

    Attributes:
        apply: function of a `Site`, and of a `size` if it has one, that changes the network in place. It may return a
            callback `(epoch, step) -> None`, which the run then calls before every batch (with `state_dict` and
            `load_state_dict`, if the run should be resumable).
        hits: the things that it changes: "filters", "inputs" of a linear layer, or the "optimizer".
        permanent: True if the filters do not come back.
        unit: what its size is a multiple of; empty without a size.
        words: what the book calls it, by size; None is the usual size. Only these are offered as controls.
        sentence: the same, explained to a reader; the experiment in the page offers the interventions that have one.
        look: colour (of `gst.figures.style.PALETTE`), marker and line style in figures.
    """

    apply: Callable[..., Any]
    hits: Literal["filters", "inputs", "optimizer"] = "filters"
    permanent: bool = False
    unit: str = ""
    words: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    sentence: str = ""
    look: tuple[str, str, str | tuple] = ("black", "o", "--")

    @property
    def uses_score(self) -> bool:
        """True if a score ranks what it hits: only filters have scores."""
        return self.hits == "filters"

    @property
    def usual_size(self) -> float | None:
        """The size it has unless told otherwise; None if it has no size."""
        size = inspect.signature(self.apply).parameters.get("size")
        return None if size is None else size.default


DASH_DOT_DOT = (0, (5, 1, 1, 1, 1, 1))  # matplotlib names no fifth line style
INTERVENTIONS = {
    "prune": Intervention(
        prune,
        permanent=True,
        words={"prune": None},
        sentence="Pruned filters never come back.",
        look=("green", "s", "-"),
    ),
    "zero": Intervention(
        zero,
        words={"set to zero": None},
        sentence="Their weights are set to zero. Nothing is removed: they can grow back from the next step on.",
        look=("sky", "P", "--"),
    ),
    "silence": Intervention(silence, look=("sky", "p", ":")),
    "scale": Intervention(
        scale,
        unit="the filters' weights",
        words={"shorten": None, "lengthen": 4.0},
        sentence="Their weights shrink to a quarter. Batch norm's statistics stay as they were, so predictions change.",
        look=("purple", "<", "--"),
    ),
    "rescale": Intervention(
        rescale,
        unit="the filters' weights",
        words={"shorten, adjust batch norm": None, "lengthen, adjust batch norm": 4.0},
        sentence="Their weights shrink to a quarter, and batch norm's statistics with them, so no prediction changes.",
        look=("purple", ">", "-."),
    ),
    "redirect": Intervention(
        redirect,
        words={"turn to a new direction": None},
        sentence="They get new random weights of the same length: what they had learned is gone, but they are no shorter.",
        look=("sky", "*", "-"),
    ),
    "gaussian": Intervention(
        gaussian,
        unit="the standard deviation of the layer's weights",
        words={"noise": None},
        look=("orange", "X", ":"),
    ),
    "gaussian_relative": Intervention(
        gaussian_relative, unit="each filter's root mean square weight", look=("orange", "h", "-.")
    ),
    "gaussian_same_norm": Intervention(
        gaussian_same_norm,
        unit="each filter's root mean square weight",
        words={"noise, same norm": None},
        look=("orange", "d", "--"),
    ),
    "zero_inputs": Intervention(
        zero_inputs,
        hits="inputs",
        words={"zero the head's inputs": None},
        sentence="The filters stay as they are; the last layer's weights for a random fraction of its inputs are set to zero.",
        look=("sky", "H", "-."),
    ),
    "rescale_compensated": Intervention(
        rescale_compensated,
        unit="the filters' weights",
        words={"shrink, steps compensated": None},
        look=("purple", "^", ":"),
    ),
    "lengthen_steps": Intervention(
        lengthen_steps, unit="the filters' steps", words={"longer steps": None}, look=("purple", "D", DASH_DOT_DOT)
    ),
    "raise_learning_rate": Intervention(
        raise_learning_rate,
        hits="optimizer",
        unit="the learning rate",
        words={"learning rate times 10": None},
        look=("black", "v", "-."),
    ),
    "placebo": Intervention(placebo, look=("black", ".", "--")),
    "reset_moments": Intervention(
        reset_moments, hits="optimizer", words={"reset the moments": None}, look=("black", "8", ":")
    ),
}


def intervention(name: str) -> Intervention:
    """The entry of `INTERVENTIONS`, or, for "package.module:function", one made of that function.

    A user's function hits filters, unless it has an attribute `hits`: "inputs" (of a linear layer) or "optimizer".
    """
    if not references.is_reference(name):
        return INTERVENTIONS[check.one_of("intervention", name, INTERVENTIONS)]
    function = references.function_of("intervention", name)
    hits: Any = check.one_of(f"{name}.hits", getattr(function, "hits", "filters"), ("filters", "inputs", "optimizer"))
    return Intervention(function, hits)
