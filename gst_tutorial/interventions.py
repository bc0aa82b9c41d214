"""What an event does to the filters it hits.

An intervention is a small function of a `Site` (a layer, the chosen filters, a generator) and a size, named in one table,
`INTERVENTIONS`. Pruning removes; all others only disturb, and the filters are free to recover: they ask what of pruning the
benefit needs. Is it that filters stay away, that accuracy drops, that weights get shorter, that something is forgotten?

An intervention hits at the event, where the instability is measured around it, and may hit again before each of the next
training batches; afterwards the filters may get back what they had (`Interventions`, a training callback).
Batch norm is left alone unless a card says otherwise, as in the paper: in evaluation mode a zeroed filter therefore still
emits a constant, (0 - running mean) * scale / running deviation + shift.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import references
from gst_tutorial.masks import PrunableLayer, prunable_layers
from gst_tutorial.steps import StepLengths


@dataclasses.dataclass
class Site:
    """Where an intervention acts: some units of one layer of a network in training.

    Attributes:
        model: the network.
        layer: the layer; of a linear layer, whose *inputs* are hit, only `name` and `conv` (the layer itself) are there.
        units: int64 `(n,)`, indices of the filters (or inputs) to hit.
        kept: int64 `(m,)`, indices of those that no event has chosen.
        generator: source of randomness, on the CPU, so that a GPU run gets the same numbers.
        optimizer: of the run; None outside one.
        steps: the run's step lengths; None outside one.
    """

    model: nn.Module
    layer: PrunableLayer
    units: torch.Tensor
    kept: torch.Tensor
    generator: torch.Generator
    optimizer: torch.optim.Optimizer | None = None
    steps: StepLengths | None = None

    @property
    def weight(self) -> torch.Tensor:
        """Weights of the layer, `(C, ...)`: a row per filter, or `(classes, inputs)`."""
        return self.layer.conv.weight


# --- the interventions: each changes the network in place -------------------------------------------------------------


def prune(site: Site) -> None:
    """Mask the filters, for good: their batch-norm output is zero from now on.

    When: filters are to stay away: the network can then be cut with `gst.compact`.
    Values: `prune_fraction` 0.4 to 0.9, in one to nineteen events (study `dose-way-end`); "init" as control.
    Source: Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020, section 3.
    """
    site.layer.mask.mask[site.units] = 0


def zero(site: Site) -> None:
    """Set the filters' weights (and biases) to zero; they may regrow at once.

    When: to ask whether filters must stay away at all.
    Values: half of a layer, nine times (study `jolts`); `n_batches` 1 to 90 (study `noise`).
    Source: Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020, figure 5.
    """
    scale_weights(site.layer, site.units, 0.0)


def silence(site: Site) -> None:
    """Zero weights, biases, and batch norm's scale and shift: the filters are silent.

    When: a filter is to be absent for some batches, as if pruned, and come back as it was.
    Values: `restore="values"`, `n_batches` of some epochs (study `paper-figD2`).
    Source: Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020, figure D2.
    """
    scale_weights(site.layer, site.units, 0.0)
    if site.layer.norm is not None and site.layer.norm.weight is not None:
        site.layer.norm.weight[site.units] = 0
        site.layer.norm.bias[site.units] = 0


def scale(site: Site, size: float = 0.25) -> None:
    """Multiply the filters' weights by `size`. *Visible*: evaluation divides by the old running deviation, so outputs
    shrink until batch norm has caught up; a size above 1 makes them grow.

    When: to ask whether shorter filters alone help; visible in the accuracy at the event.
    Values: 0.25 (study `anatomy`); above 1 as the control that should hurt.
    Source: "shrink" of Ash and Adams, *On warm-starting neural network training*, NeurIPS 2020.
    """
    scale_weights(site.layer, site.units, check.real("size", size, 0, check.MOST))


def rescale(site: Site, size: float = 0.25) -> None:
    """Multiply the filters' weights by `size` and batch norm's running statistics with them. *Function-preserving*: no
    prediction changes, but each later step turns the filters' direction further (by about 1 / size^2 for SGD).

    When: step length is to change and nothing else: the instability is 0 by construction.
    Values: 0.25 (studies `anatomy`, `flatness-cause`).
    Source: ours; for the step length van Laarhoven, *L2 regularization versus batch and weight normalization*, 2017.
    """
    _rescale_units(site.layer, site.units, size)


@torch.no_grad()
def _rescale_units(layer: PrunableLayer, units: torch.Tensor, size: float) -> None:
    norm = layer.norm
    if norm is None or norm.running_mean is None:
        raise ValueError(f"intervention='rescale' needs batch norm behind layer {layer.name!r}.")
    check.real("size", size, 0, check.MOST, open_low=True)  # a filter of length 0 has no direction to keep
    scale_weights(layer, units, size)
    norm.running_mean[units] *= size
    # (z - mean) / sqrt(var + eps) must stay: size^2 (var + eps) is the new var + eps.
    variance = size**2 * (norm.running_var[units] + norm.eps) - norm.eps
    if (variance < 0).any():
        raise ValueError(
            f"size={size!r} is too small for layer {layer.name!r}: a running variance would fall below zero."
        )
    norm.running_var[units] = variance


@torch.no_grad()
def rescale_compensated(site: Site, size: float = 0.25) -> None:
    """As `rescale`, and from then on the filters' steps are multiplied by `size`, too: each step turns a filter by the angle by
    which it would have turned the long one. The filters of the event before get their length and their steps back.

    When: as the control of `rescale`: short filters without long steps.
    Values: 0.25 (study `aftermath`).
    Source: ours. Adam's moments are rescaled with the gradient, which grows by 1 / size.
    """
    factors = site.steps.of(site.layer)
    for units, factor in (((factors != 1).nonzero().squeeze(1), 1 / size), (site.units, size)):
        _rescale_units(site.layer, units, factor)
        factors[units] *= factor
        state = site.optimizer.state.get(site.weight, {})
        for name, power in (("exp_avg", 1), ("exp_avg_sq", 2), ("momentum_buffer", 1)):
            if name in state:
                state[name][units] /= factor**power


def lengthen_steps(site: Site, size: float = 4.0) -> None:
    """Multiply each step of the filters by `size` until the layer's next event. No weight changes at the event.

    When: longer steps are to come without a shrink.
    Values: 4 and 16 (study `aftermath`).
    Source: ours.
    """
    factors = site.steps.of(site.layer)
    factors[:] = 1
    factors[site.units] = size


def raise_learning_rate(site: Site, size: float = 10.0) -> None:
    """Multiply the next step of *all* parameters by `size`; with `n_batches`, each of as many.

    When: a shake of the whole network, without choosing filters.
    Values: 10 for 10 batches (study `aftermath`).
    Source: compare Lewkowycz et al., *The large learning rate phase of deep learning: the catapult mechanism*, 2020.
    """
    site.steps.next_step = size


def placebo(site: Site) -> None:
    """Change nothing. Its events are measured like any other: the twin that a run with events is compared with.

    When: what happens after an event is compared with what happens without one.
    Values: no size.
    Source: ours.
    """


def gaussian(site: Site, size: float = 1.0) -> None:
    """Add Gaussian noise of `size` times the standard deviation of all weights of the layer's untouched filters.

    When: to reproduce the noise that the paper compares pruning with.
    Values: 1 (study `noise`).
    Source: Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020, figure 5.
    """
    add_gaussian(site.layer, site.units, size, site.generator, "layer", site.kept)


def gaussian_relative(site: Site, size: float = 1.0) -> None:
    """Add Gaussian noise of `size` times each filter's own root mean square weight: noise as long as the filter at 1.
    Batch norm makes a filter's output independent of its norm, so this is the same disturbance for all.

    When: noise is to mean the same for short and long filters.
    Values: 0.5 to 2 (study `jolts`).
    Source: ours; batch norm makes the absolute size meaningless (see chapter 4).
    """
    add_gaussian(site.layer, site.units, size, site.generator, "filter")


def gaussian_same_norm(site: Site, size: float = 1.0) -> None:
    """As `gaussian_relative`, then each filter gets its old length back: only directions change.

    When: directions are to change and lengths, hence step lengths, are not.
    Values: 1 (study `anatomy`).
    Source: ours.
    """
    before = norms(site.weight, site.units)
    add_gaussian(site.layer, site.units, size, site.generator, "filter")
    set_norms(site.weight, site.units, before)


def redirect(site: Site) -> None:
    """Give each filter a new random direction of its old length: all it knew is forgotten, its step length stays.

    When: all that a filter has learned is to go, and its step length is to stay.
    Values: half of a layer, nine times (study `anatomy`).
    Source: ours; compare Zhou, Vani, Larochelle and Courville, *Fortuitous forgetting*, ICLR 2022.
    """
    before = norms(site.weight, site.units)
    site.weight[site.units] = _normal(site.weight, site.units, site.generator)
    set_norms(site.weight, site.units, before)


def zero_inputs(site: Site) -> None:
    """Set the weights of a linear layer for some of its inputs to zero: the head forgets what it read from them. Nothing
    before it changes.

    When: what reads the filters is to forget, and the filters are not.
    Values: half of the inputs of "head", nine times (study `anatomy`).
    Source: after Li et al., RIFLE, ICML 2020, which re-initializes the whole head.
    """
    site.weight[:, site.units] = 0


def reset_moments(site: Site) -> None:
    """Forget the optimizer's running averages of all parameters. No weight changes, hence no prediction.

    When: as a control: is it the optimizer that is shaken?
    Values: no size.
    Source: ours.
    """
    if site.optimizer is None:
        raise ValueError("intervention='reset_moments' needs the optimizer of a run.")
    site.optimizer.state.clear()


@dataclasses.dataclass(frozen=True)
class Intervention:
    """An entry of `INTERVENTIONS`: the function, and whether it hits "filters" or "inputs" of a layer."""

    apply: Callable[..., None]
    hits: str = "filters"


INTERVENTIONS = {
    "prune": Intervention(prune),
    "zero": Intervention(zero),
    "silence": Intervention(silence),
    "scale": Intervention(scale),
    "rescale": Intervention(rescale),
    "gaussian": Intervention(gaussian),
    "gaussian_relative": Intervention(gaussian_relative),
    "gaussian_same_norm": Intervention(gaussian_same_norm),
    "redirect": Intervention(redirect),
    "zero_inputs": Intervention(zero_inputs, hits="inputs"),
    "reset_moments": Intervention(reset_moments),
    "rescale_compensated": Intervention(rescale_compensated),
    "lengthen_steps": Intervention(lengthen_steps),
    "raise_learning_rate": Intervention(raise_learning_rate),
    "placebo": Intervention(placebo),
}
RESTORE = ("no", "values", "norm")
HITS = ("filters", "inputs")


def find(name: str) -> Intervention:
    """The entry of `INTERVENTIONS`, or, for "package.module:function", one made of the function that is named.

    It hits filters, or the inputs of a linear layer if the function has an attribute `hits = "inputs"`.
    """
    if not references.is_reference(name):
        return INTERVENTIONS[check.one_of("name", name, INTERVENTIONS)]
    function = references.find("intervention", name)
    return Intervention(function, check.one_of(f"{name}.hits", getattr(function, "hits", "filters"), HITS))


def usual_size(name: str) -> float | None:
    """The size that an intervention has unless told otherwise; None if it has no size."""
    size = inspect.signature(find(name).apply).parameters.get("size")
    return None if size is None else size.default


# --- what they are made of --------------------------------------------------------------------------------------------


@torch.no_grad()
def scale_weights(layer: PrunableLayer, units: torch.Tensor, factor: float) -> None:
    """Multiply the weights (and bias) of the filters `units`, int64 `(n,)`, by `factor`; 0 zeroes them."""
    check.index("units", units, len(_weight(layer)))
    check.real("factor", factor, -check.MOST, check.MOST)
    layer.conv.weight[units] *= factor
    if layer.conv.bias is not None:
        layer.conv.bias[units] *= factor


@torch.no_grad()
def add_gaussian(
    layer: PrunableLayer,
    units: torch.Tensor,
    size: float,
    generator: torch.Generator,
    reference: str = "layer",
    kept: torch.Tensor | None = None,
) -> None:
    """Add Gaussian noise to the weights of the filters `units`.

    Args:
        layer: a prunable layer; changed in place.
        units: int64 `(n,)`, the filters to disturb.
        size: standard deviation in units of the reference.
        generator: source of the noise, on the CPU.
        reference: "layer": the standard deviation of all weights of the `kept` filters, one number; "filter": each
            filter's own root mean square weight, so that `size` is the ratio of noise norm to filter norm.
        kept: int64 `(m,)`, indices of the filters that are not targeted; None or none left takes all filters.

    Raises:
        ValueError: an unknown reference.
    """
    check.one_of("reference", reference, ("layer", "filter"))
    weight = _weight(layer)
    check.index("units", units, len(weight))
    check.real("size", size, 0, check.MOST)
    check.instance("generator", generator, torch.Generator)
    if kept is not None:
        check.index("kept", kept, len(weight))
    noise = _normal(weight, units, generator)  # (n, C_in, ...)
    if reference == "filter":
        deviation = _per_filter(weight[units].flatten(1).square().mean(1).sqrt(), weight)
    else:
        deviation = (weight[kept] if kept is not None and len(kept) else weight).std()
    weight[units] += size * deviation * noise


def _weight(layer: PrunableLayer) -> nn.Parameter:
    return check.instance("layer", layer, PrunableLayer, "layer of prunable_layers(model)").conv.weight


def _normal(weight: torch.Tensor, units: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal numbers in the shape of the filters `units`, `(n, C_in, ...)`, on the weight's device."""
    noise = torch.randn(weight[units].shape, generator=generator)
    if weight.is_cuda:
        noise = noise.pin_memory()  # or the copy would wait for what the GPU has still to do
    return noise.to(weight.device, weight.dtype, non_blocking=True)


def _per_filter(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return values.view(-1, *[1] * (weight.dim() - 1))  # (n,) -> (n, 1, ...)


def norms(weight: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Euclidean length of the filters `units`, `(n,)`."""
    if check.examples("weight", weight).dim() < 2:
        raise ValueError(f"weight must be (C, ...), filters and what each of them reads; it is {tuple(weight.shape)}.")
    return weight.detach()[check.index("units", units, len(weight))].flatten(1).norm(dim=1)


@torch.no_grad()
def set_norms(weight: torch.Tensor, units: torch.Tensor, wanted: torch.Tensor) -> None:
    """Give the filters `units` the lengths `wanted`, `(n,)`, in their present direction; a filter of zeros stays zero."""
    present = norms(weight, units)
    if check.instance("wanted", wanted, torch.Tensor).shape != present.shape or not wanted.is_floating_point():
        raise ValueError(
            f"wanted must be {len(present)} lengths, one per unit; it is {wanted.dtype} {tuple(wanted.shape)}."
        )
    factor = torch.where(present > 0, wanted / present.clamp_min(torch.finfo(weight.dtype).tiny), 0.0)
    weight[units] *= _per_filter(factor, weight)


def save_units(layer: PrunableLayer, units: torch.Tensor, hits: str = "filters") -> list[tuple]:
    """Copies of everything that belongs to the units: weights, bias and batch norm's four values; of inputs, weights."""
    if hits == "inputs":
        return [(layer.conv.weight, 1, layer.conv.weight.detach().index_select(1, units))]
    norm = layer.norm
    tensors = [layer.conv.weight, layer.conv.bias]
    tensors += [norm.weight, norm.bias, norm.running_mean, norm.running_var] if norm is not None else []
    return [(tensor, 0, tensor.detach().index_select(0, units)) for tensor in tensors if tensor is not None]


@torch.no_grad()
def load_units(saved: list[tuple], units: torch.Tensor) -> None:
    """Put back, bit for bit, what `save_units` kept."""
    for tensor, dimension, values in saved:
        tensor.index_copy_(dimension, units, values)


# --- during training --------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Hit:
    site: Site
    batches_left: int
    saved: list[tuple] | torch.Tensor | None
    fresh: bool = True  # hit at the event; that was the hit before the next batch


class Interventions:
    """A training callback that hits chosen filters before each of the next `n_batches` training batches.

    `begin` at an event makes the first hit at once, so that the event's instability can be measured around it; that hit
    is the one before the first batch. The following hits come when the training loop announces batches 2 to N. With
    `restore`, the filters get back what they had as soon as batch N is trained.

    Args:
        name: of the intervention, a key of `INTERVENTIONS` or "package.module:function".
        steps_per_epoch: batches in an epoch, to tell a batch from the end of an epoch.
        n_batches: N, number of *training* batches that are disturbed.
        size: None takes the intervention's usual size.
        restore: "no", "values" or "norm", see `gst_tutorial.config.Events`.

    Raises:
        ValueError: names the argument.
    """

    def __init__(
        self, name: str, steps_per_epoch: int, n_batches: int = 1, size: float | None = None, restore: str = "no"
    ):
        self.intervention = find(name)
        self.n_batches = check.integer("n_batches", n_batches, low=1)
        self.restore = check.one_of("restore", restore, RESTORE)
        self.steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, low=1)
        self.sized = {} if size is None else {"size": check.real("size", size, 0)}
        self.hits: list[_Hit] = []

    def begin(self, site: Site) -> None:
        """Hit the units of `site` now, and before batches 2 to N."""
        check.instance("site", site, Site)
        saved = None
        if self.restore == "values":
            saved = save_units(site.layer, site.units, self.intervention.hits)
        elif self.restore == "norm":
            saved = norms(site.weight, site.units)
        hit = _Hit(site, self.n_batches, saved)
        self.hits = [other for other in self.hits if other.site.layer.name != site.layer.name] + [hit]
        self._apply(hit)

    def __call__(self, epoch: int, step: int) -> None:
        for hit in [hit for hit in self.hits if hit.batches_left == 0]:
            self.hits.remove(hit)
            if self.restore == "values":
                load_units(hit.saved, hit.site.units)
            elif self.restore == "norm":
                set_norms(hit.site.weight, hit.site.units, hit.saved)
        if step < self.steps_per_epoch:
            for hit in self.hits:
                if not hit.fresh:
                    self._apply(hit)
                hit.fresh = False
                hit.batches_left -= 1

    def state(self) -> list[dict]:
        """The hits that are under way, for a `Checkpoint`."""
        return [
            {
                "layer": hit.site.layer.name,
                "units": hit.site.units,
                "kept": hit.site.kept,
                "batches_left": hit.batches_left,
                "fresh": hit.fresh,
                "saved": [values for *_, values in hit.saved] if isinstance(hit.saved, list) else hit.saved,
            }
            for hit in self.hits
        ]

    def load_state(self, hits: list[dict], site: Callable[[str, torch.Tensor, torch.Tensor], Site]) -> None:
        """Go on from what `state` gave; `site(layer, units, kept)` makes the place again."""
        self.hits = []
        for hit in hits:
            place, saved = site(hit["layer"], hit["units"], hit["kept"]), hit["saved"]
            if isinstance(saved, list):
                now = save_units(place.layer, place.units, self.intervention.hits)
                saved = [(tensor, dim, values.to(tensor.device)) for (tensor, dim, _), values in zip(now, saved)]
            elif saved is not None:
                saved = saved.to(place.weight.device)
            self.hits.append(_Hit(place, hit["batches_left"], saved, hit["fresh"]))

    @torch.no_grad()
    def _apply(self, hit: _Hit) -> None:
        self.intervention.apply(hit.site, **self.sized)


class WeightNoise:
    """A training callback: the gradient of each batch is taken at weights plus fresh Gaussian noise.

    The noise goes onto every prunable convolution before a batch and is taken off again at the next call, so that the
    optimizer's step lands on the clean weights: w + n - step - n. Put it first among the callbacks: evaluations then
    see clean weights.

    Args:
        model: a prunable network.
        size: standard deviation in units of each filter's own root mean square weight.
        steps_per_epoch: batches in an epoch. generator: of the noise, on the CPU: for networks of millions of weights
            this draw takes longer than a GPU's step.

    Raises:
        ValueError: the network has no filter masks, so there is nothing that the noise would go onto.
    """

    def __init__(self, model: nn.Module, size: float, steps_per_epoch: int, generator: torch.Generator):
        self.layers = [
            (layer, torch.arange(layer.mask.n_filters, device=layer.conv.weight.device))
            for layer in prunable_layers(model).values()
        ]
        if not self.layers:
            raise ValueError(
                "weight_noise needs a network with filter masks; call make_prunable(model, example_input) first."
            )
        self.size = check.real("size", size, 0, check.MOST)
        self.steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, low=1)
        self.generator = check.instance("generator", generator, torch.Generator)
        self._on: list[tuple[torch.Tensor, torch.Tensor]] = []

    @torch.no_grad()
    def __call__(self, epoch: int, step: int) -> None:
        for weight, noise in self._on:
            weight -= noise
        self._on = []
        if step < self.steps_per_epoch:
            for layer, filters in self.layers:
                weight, before = layer.conv.weight, layer.conv.weight.clone()
                add_gaussian(layer, filters, self.size, self.generator, "filter")
                self._on.append((weight, weight - before))
