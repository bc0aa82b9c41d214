"""Longer and shorter steps for chosen filters.

Behind batch norm the length of a filter does not matter for what the network computes, only for how far a step turns it. To
ask whether step length is what a jolt changes, we need its two halves apart: a shrink whose steps shrink with it, and longer
steps without a shrink. Both are a factor on what the optimizer adds to a filter.
"""

from __future__ import annotations

import torch
from torch import nn

from gst_tutorial.masks import PrunableLayer, prunable_layers


class StepLengths:
    """Multiply what each step of an optimizer adds to a filter by the filter's own factor.

    After a step that moved a filter from w to w', the filter is put at w + factor * (w' - w). Filters at factor 1 are not
    touched, so a run that changes no factor gives the same numbers to the bit.

    Args:
        optimizer: whose steps are changed.
    """

    def __init__(self, optimizer: torch.optim.Optimizer):
        self.optimizer = optimizer
        self.factors: dict[str, torch.Tensor] = {}  # layer -> (C,)
        self.next_step = 1.0  # factor of the next step of all parameters
        self._weights: dict[str, nn.Parameter] = {}
        self._before: list[tuple[nn.Parameter, torch.Tensor, torch.Tensor | float]] = []
        optimizer.register_step_pre_hook(self._remember)
        optimizer.register_step_post_hook(self._lengthen)

    def of(self, layer: PrunableLayer) -> torch.Tensor:
        """The factors of a layer's filters, `(C,)`; change them in place."""
        weight = layer.conv.weight
        if layer.name not in self.factors:
            self.factors[layer.name] = torch.ones(len(weight), device=weight.device)
        self._weights[layer.name] = weight
        return self.factors[layer.name]

    @torch.no_grad()
    def _remember(self, *_) -> None:
        self._before = []
        if self.next_step != 1.0:
            every = [p for group in self.optimizer.param_groups for p in group["params"]]
            self._before = [(p, p.detach().clone(), self.next_step) for p in every]
            self.next_step = 1.0
        for name, factor in self.factors.items():
            if (factor != 1).any():
                weight = self._weights[name]
                self._before.append((weight, weight.detach().clone(), factor.view(-1, *[1] * (weight.dim() - 1))))

    @torch.no_grad()
    def _lengthen(self, *_) -> None:
        for weight, before, factor in self._before:
            weight.copy_(before + factor * (weight - before))

    def state_dict(self) -> dict:
        """Factors by layer, for a checkpoint."""
        return {"factors": dict(self.factors), "next_step": self.next_step}

    def load_state_dict(self, state: dict, layers: dict[str, PrunableLayer]) -> None:
        """Go on from `state_dict`."""
        self.next_step = state["next_step"]
        for name, factor in state["factors"].items():
            self.of(layers[name])[:] = factor


class UnitFilters:
    """Keep every prunable filter at length 1: normalize at the start and after each step of the optimizer.

    Behind batch norm this changes no prediction, and every step turns every filter by an angle that does not depend on how
    long the filter has grown (compare Lyle et al., NeurIPS 2024, normalize and project).
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer):
        self.weights = [layer.conv.weight for layer in prunable_layers(model).values()]
        self._normalize()
        optimizer.register_step_post_hook(self._normalize)

    @torch.no_grad()
    def _normalize(self, *_) -> None:
        for weight in self.weights:
            length = weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.dim() - 1))
            weight.copy_(torch.where(length > 0, weight / length.clamp_min(torch.finfo(weight.dtype).tiny), weight))
