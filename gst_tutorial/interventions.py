"""Disturb filters instead of removing them.

Temporary pruning asks whether the benefit of pruning needs the filters to stay away. The filters that an event would
have pruned are hit before each of the next N training batches and are then free to recover:

* zeroing multiplies their weights by 1 - size (size 1: zero);
* Gaussian noise adds size times a standard deviation, of the layer's kept filters or of the filter itself;
* restoring gives them back, after N batches, exactly the weights and batch-norm values they had.

Batch norm is left alone unless restored, as in the paper. In evaluation mode a zeroed filter therefore still emits a
constant: (0 - running mean) * scale / running deviation + shift.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.masks import PrunableLayer, prunable_layers


@torch.no_grad()
def scale_weights(layer: PrunableLayer, indices: torch.Tensor, size: float = 1.0) -> None:
    """Multiply the weights (and bias) of the filters `indices` by 1 - `size`; size 1 zeroes them."""
    layer.conv.weight[indices] *= 1 - size
    if layer.conv.bias is not None:
        layer.conv.bias[indices] *= 1 - size


@torch.no_grad()
def add_gaussian(
    layer: PrunableLayer,
    indices: torch.Tensor,
    size: float,
    generator: torch.Generator,
    reference: str = "layer",
    kept: torch.Tensor | None = None,
) -> None:
    """Add Gaussian noise to the weights of the filters `indices`.

    Args:
        layer: a prunable layer; changed in place.
        indices: int64, the filters to disturb.
        size: standard deviation in units of the reference.
        generator: source of the noise, on the CPU (so that a GPU run gets the same noise).
        reference: "layer": the standard deviation of all weights of the `kept` filters, one number; "filter": each
            filter's own root mean square weight, so that `size` is the ratio of noise norm to filter norm. Batch norm
            makes a filter's output independent of its norm, so only the second is the same disturbance for all.
        kept: int64 `(m,)`, indices of the filters that are not targeted; None or none left takes all filters.
    """
    weight = layer.conv.weight
    noise = torch.randn(weight[indices].shape, generator=generator)  # (n, C_in, ...)
    if weight.is_cuda:
        noise = noise.pin_memory()  # or the copy would wait for what the GPU has still to do
    noise = noise.to(weight.device, non_blocking=True)
    if reference == "filter":
        per_filter = weight[indices].flatten(1).square().mean(1).sqrt()  # (n,)
        deviation = per_filter.view(-1, *[1] * (weight.dim() - 1))
    else:
        deviation = (weight[kept] if kept is not None and len(kept) else weight).std()
    weight[indices] += size * deviation * noise


def save_filters(layer: PrunableLayer, indices: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Copies of everything that belongs to the filters `indices`: weights, bias, and batch norm's four values."""
    norm = layer.norm
    tensors = [layer.conv.weight, layer.conv.bias]
    tensors += [norm.weight, norm.bias, norm.running_mean, norm.running_var] if norm is not None else []
    return [(tensor, tensor.detach()[indices].clone()) for tensor in tensors if tensor is not None]


@torch.no_grad()
def load_filters(saved: list[tuple[torch.Tensor, torch.Tensor]], indices: torch.Tensor) -> None:
    """Put back, bit for bit, what `save_filters` kept."""
    for tensor, values in saved:
        tensor[indices] = values


@dataclasses.dataclass
class _Hit:
    layer: PrunableLayer
    indices: torch.Tensor
    kept: torch.Tensor  # int64, as indices: picking by booleans would wait for the GPU at every batch
    batches_left: int
    saved: list | None
    fresh: bool = True  # hit at the event; that was the hit before the next batch


class TemporaryNoise:
    """A training callback that hits chosen filters before each of the next `n_batches` training batches.

    `begin` at an event makes the first hit at once, so that the event's instability can be measured around it; that hit
    is the one before the first batch. The following hits come when the training loop announces batches 2 to N. With
    `restore`, the filters get their old values back as soon as batch N is trained.

    Args:
        kind: "zero" or "gaussian".
        n_batches: N, number of *training* batches that are disturbed.
        size: see `scale_weights` and `add_gaussian`.
        reference: see `add_gaussian`.
        restore: give the filters back what they had before the event.
        generator: of the Gaussian noise.
        steps_per_epoch: batches in an epoch, to tell a batch from the end of an epoch.
    """

    def __init__(
        self,
        kind: str,
        n_batches: int,
        steps_per_epoch: int,
        generator: torch.Generator,
        size: float = 1.0,
        reference: str = "layer",
        restore: bool = False,
    ):
        self.kind = check.one_of("kind", kind, ("zero", "gaussian"))
        self.n_batches = check.integer("n_batches", n_batches, low=1)
        self.reference = check.one_of("reference", reference, ("layer", "filter"))
        self.steps_per_epoch, self.generator, self.size, self.restore = steps_per_epoch, generator, size, restore
        self.hits: list[_Hit] = []

    def begin(self, layer: PrunableLayer, indices: torch.Tensor, kept: torch.Tensor) -> None:
        """Hit the filters `indices` now, and before batches 2 to N. `kept`: int64 `(m,)`, the untargeted."""
        saved = save_filters(layer, indices) if self.restore else None
        hit = _Hit(layer, indices, kept, self.n_batches, saved)
        self.hits = [other for other in self.hits if other.layer.name != layer.name] + [hit]
        self._apply(hit)

    def __call__(self, epoch: int, step: int) -> None:
        for hit in [hit for hit in self.hits if hit.batches_left == 0]:
            self.hits.remove(hit)
            if hit.saved is not None:
                load_filters(hit.saved, hit.indices)
        if step < self.steps_per_epoch:
            for hit in self.hits:
                if not hit.fresh:
                    self._apply(hit)
                hit.fresh = False
                hit.batches_left -= 1

    def _apply(self, hit: _Hit) -> None:
        if self.kind == "zero":
            scale_weights(hit.layer, hit.indices, self.size)
        else:
            add_gaussian(hit.layer, hit.indices, self.size, self.generator, self.reference, hit.kept)


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
    """

    def __init__(self, model: nn.Module, size: float, steps_per_epoch: int, generator: torch.Generator):
        self.layers = [
            (layer, torch.arange(layer.mask.n_filters, device=layer.conv.weight.device))
            for layer in prunable_layers(model).values()
        ]
        self.size, self.steps_per_epoch, self.generator = size, steps_per_epoch, generator
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
