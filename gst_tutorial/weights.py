"""Ways to change the weights of some filters in place: scale them, add noise, set their length, save and restore them."""

from __future__ import annotations

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.masks import PrunableLayer


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
    noise = random_weights(weight, units, generator)  # (n, C_in, ...)
    if reference == "filter":
        deviation = _per_filter(weight[units].flatten(1).square().mean(1).sqrt(), weight)
    else:
        deviation = (weight[kept] if kept is not None and len(kept) else weight).std()
    weight[units] += size * deviation * noise


def _weight(layer: PrunableLayer) -> nn.Parameter:
    return check.instance("layer", layer, PrunableLayer, "layer of prunable_layers(model)").conv.weight


def random_weights(weight: torch.Tensor, units: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
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
