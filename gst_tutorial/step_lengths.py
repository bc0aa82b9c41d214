"""Longer and shorter steps for chosen filters.

Behind batch norm the length of a filter does not change the function of the network, only how far a step turns the filter. To
test whether step length is what a jolt changes, its two halves must come apart: a shrink whose steps shrink with it, and
longer steps without a shrink. Both are a factor on what the optimizer adds to a filter.
"""

from __future__ import annotations

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.masks import PrunableLayer, prunable_layers


class StepLengths:
    """Multiply what each step of an optimizer adds to a filter by the filter's own factor.

    After a step that moved a filter from w to w', the filter is put at w + factor * (w' - w). Layers whose filters all have
    factor 1 are not touched, so a run that changes no factor gives the same numbers to the bit. `StepLengths.of(optimizer)`
    returns the one object of an optimizer. It is also a training callback, so that a checkpoint keeps its state.
    """

    def __init__(self, optimizer: torch.optim.Optimizer):
        self.optimizer = optimizer
        self.factors: list[tuple[nn.Parameter, torch.Tensor]] = []  # (C, ...) and its factors, (C,)
        self.next_step = 1.0  # factor of the next step, for all parameters
        self._before: list[tuple[nn.Parameter, torch.Tensor, torch.Tensor | float]] = []
        optimizer.register_step_pre_hook(self._remember)
        optimizer.register_step_post_hook(self._lengthen)

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer) -> StepLengths:
        """The step lengths of an optimizer, the same object each time. TypeError: no optimizer, as in a `Site` outside a run."""
        check.instance("optimizer", optimizer, torch.optim.Optimizer)
        found = getattr(optimizer, "step_lengths", None)
        if found is None:
            found = optimizer.step_lengths = cls(optimizer)
        return found

    def factors_of(self, layer: PrunableLayer) -> torch.Tensor:
        """The factors of a layer's filters, `(C,)`; change them in place."""
        weight = layer.conv.weight
        for known, factors in self.factors:
            if known is weight:
                return factors
        self.factors.append((weight, torch.ones(len(weight), device=weight.device)))
        return self.factors[-1][1]

    @torch.no_grad()
    def _remember(self, *_) -> None:
        self._before = [
            (weight, weight.detach().clone(), factors.view(-1, *[1] * (weight.dim() - 1)))
            for weight, factors in self.factors
            if (factors != 1).any()
        ]
        if self.next_step != 1:
            every = [p for group in self.optimizer.param_groups for p in group["params"]]
            self._before = [(p, p.detach().clone(), self.next_step) for p in every] + self._before
            self.next_step = 1.0

    @torch.no_grad()
    def _lengthen(self, *_) -> None:
        for weight, before, factor in self._before:
            weight.copy_(before + factor * (weight - before))

    def __call__(self, epoch: int, step: int) -> None:
        """Nothing happens between steps."""

    def state_dict(self) -> dict:
        """The factors, for a checkpoint."""
        return {"factors": [factors for _, factors in self.factors], "next_step": self.next_step}

    def load_state_dict(self, state: dict) -> None:
        """Continue from what `state_dict` returned; the layers are those that the interventions have named again."""
        self.next_step = state["next_step"]
        for (_, factors), value in zip(self.factors, state["factors"]):
            factors[:] = value


class UnitFilters:
    """A training callback that keeps every prunable filter at length 1.

    Behind batch norm this changes no prediction, and each step turns a filter by an angle that does not depend on how long
    the filter has grown. Put it before other callbacks, so that they see normalized filters.

    Source: compare Lyle et al., *Normalization and effective learning rates in reinforcement learning*, NeurIPS 2024.
    """

    def __init__(self, model: nn.Module):
        self.weights = [layer.conv.weight for layer in prunable_layers(model).values()]

    @torch.no_grad()
    def __call__(self, epoch: int, step: int) -> None:
        for weight in self.weights:
            length = weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.dim() - 1))
            weight.copy_(torch.where(length > 0, weight / length.clamp_min(torch.finfo(weight.dtype).tiny), weight))
