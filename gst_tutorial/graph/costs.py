"""Count what a network costs without its pruned filters, before anything is cut."""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import nn

from gst_tutorial.graph.compact import channels_to_cut, opened, plan_of, units_of
from gst_tutorial.graph.labels import TRANSPOSED
from gst_tutorial.graph.running import borrowed

COUNTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, *TRANSPOSED)


class Costs:
    """Parameters and multiply-adds of the network that `compact` would give for a model's masks.

    A pruned filter counts as saved only if it can be cut out. A channel that another layer still writes or reads, as on a
    residual stream, stays and saves nothing.

    Args:
        model: a prunable network; masks may change between two calls of `now`.
        x: examples `(B, ...)`; one of them is run to see how often each layer is applied.

    Attributes:
        whole: parameters, and multiply-adds of convolutions and linear layers for one example, of the unpruned network.

    Raises:
        ValueError: `model` has no masks.
    """

    def __init__(self, model: nn.Module, x: torch.Tensor):
        _, self.network, self.layers = opened(model)
        self.plan = plan_of(self.network, self.layers, None)
        self.units = units_of(self.network, self.plan.coupling)
        self.tensors = {id(p): p for p in self.network.parameters()}
        self.axes = defaultdict(dict)  # id of a parameter -> dimension -> the channel of each position
        for axis in self.plan.coupling.axes:
            tensor = getattr(self.network.get_submodule(axis.module), axis.tensor)
            if id(tensor) in self.tensors:
                self.axes[id(tensor)][axis.dim] = axis.channels.long()
        self.positions = defaultdict(float)  # id of a weight -> how often one example multiplies by it
        with borrowed(model) as run, torch.no_grad():
            self._count_positions(run, x[:1])
        nothing = torch.zeros_like(self.units, dtype=torch.bool)
        self.whole = self._without(nothing)

    def _count_positions(self, run, x: torch.Tensor) -> None:
        def count(module: nn.Module, inputs, output: torch.Tensor) -> None:
            transposed = isinstance(module, TRANSPOSED)
            channels = module.weight.shape[0]
            self.positions[id(module.weight)] += (inputs[0] if transposed else output).numel() / channels

        hooks = [m.register_forward_hook(count) for m in self.network.modules() if isinstance(m, COUNTED)]
        try:
            run(x)
        finally:
            for hook in hooks:
                hook.remove()

    def now(self) -> tuple[int, int]:
        """Parameters and multiply-adds without the filters that are pruned now."""
        return self._without(channels_to_cut(self.network, self.layers, self.plan, self.units)[0])

    def saved(self) -> dict[str, float]:
        """Fractions of the parameters and of the multiply-adds that cutting the filters pruned now would save."""
        names = ("parameters", "multiply_adds")
        return {name: 1 - now / whole for name, now, whole in zip(names, self.now(), self.whole)}

    def _without(self, cut: torch.Tensor) -> tuple[int, int]:
        parameters = multiply_adds = 0
        for key, tensor in self.tensors.items():
            sizes = list(tensor.shape)
            for dim, channels in self.axes[key].items():
                sizes[dim] -= int(cut[channels].sum())
            parameters += math.prod(sizes)
            multiply_adds += round(self.positions.get(key, 0) * math.prod(sizes))
        return parameters, multiply_adds
