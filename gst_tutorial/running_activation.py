"""The running mean of each filter's activation, by which the paper's ResNets rank their filters."""

from __future__ import annotations

from collections.abc import Iterable

from gst_tutorial import _arguments as check
from gst_tutorial._lazy import masks, nn, torch


def running_activation_score(layer: masks.PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """The mean that `RunningActivation` has kept of each filter in training, `(C,)`.

    When: only to repeat the paper's ResNets.
    Values: a run watches every tenth batch.
    Source: the official code; Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020.
    """
    seen = getattr(layer.mask, "running_activation", None)
    if seen is None:
        raise ValueError(
            f"score='running_activation' of layer {layer.name!r} needs {RunningActivation.EVERY} training batches "
            "watched by a gst_tutorial.running_activation.RunningActivation, a callback of gst.train; a run has one."
        )
    return seen


class RunningActivation:
    """A training callback that keeps a running mean of each filter's absolute activation, in training mode.

    With every tenth training batch, r becomes 0.9 r + 0.1 a; r starts at 0. a is the mean over examples and positions of
    the absolute value of what goes into the filter's nonlinearity, as the official code takes it: batch norm's masked
    output; of the last convolution of a residual block, this plus the shortcut. (The code adds up where this takes
    means: the same order of filters, but for batches of unequal size.) `running_activation_score` reads r.

    Args:
        model: a prunable network; its residual blocks have their shortcut as a module `shortcut`.
        steps_per_epoch: batches in an epoch. layers: names of the layers to watch; None takes all.

    Raises:
        ValueError: a layer that is not there, or masked in a block without a module `shortcut`.
    """

    EVERY, SHARE = 10, 0.1

    def __init__(self, model: nn.Module, steps_per_epoch: int, layers: Iterable[str] | None = None):
        self.steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, low=1)
        found = masks.prunable_layers(model)
        names = [
            check.one_of("layers", name, found) for name in (found if layers is None else check.many("layers", layers))
        ]
        self.watched = [(found[name].mask, self._summands(model, found[name].mask)) for name in names]
        self._handles: list = []

    def __call__(self, epoch: int, step: int) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if step < self.steps_per_epoch and (epoch * self.steps_per_epoch + step + 1) % self.EVERY == 0:
            for mask, summands in self.watched:
                self._watch(mask, summands)

    @staticmethod
    def _summands(model: nn.Module, mask: masks.FilterMask) -> list[nn.Module]:
        """The modules whose outputs are added up before the nonlinearity: the norm, and a residual block's shortcut."""
        first, *blocks = mask.sites
        for block in blocks:
            if not hasattr(model.get_submodule(block), "shortcut"):
                raise ValueError(f"model: {block!r} adds to what is masked and has no module 'shortcut' to be watched.")
        return [model.get_submodule(first), *(model.get_submodule(block).shortcut for block in blocks)]

    def _watch(self, mask: masks.FilterMask, summands: list[nn.Module]) -> None:
        """Until the next call, take the activation of each forward pass: there is one, the batch's."""
        parts = []

        def take(module, inputs, output):
            parts.append(output.detach().float())
            if len(parts) == len(summands):
                # The shortcut is not added on pruned channels. (B, C, ...) -> (C,)
                now = mask(sum(parts)).abs().transpose(0, 1).flatten(1).mean(1)
                before = getattr(mask, "running_activation", None)
                before = torch.zeros_like(now) if before is None else before
                mask.running_activation = (1 - self.SHARE) * before + self.SHARE * now

        self._handles += [part.register_forward_hook(take) for part in summands]

    def state_dict(self) -> dict:
        """The means so far, for a checkpoint; None where no batch was watched yet."""
        return {"means": [getattr(mask, "running_activation", None) for mask, _ in self.watched]}

    def load_state_dict(self, state: dict) -> None:
        """Continue from what `state_dict` returned."""
        for (mask, _), mean in zip(self.watched, state["means"]):
            if mean is not None:
                mask.running_activation = mean.to(mask.mask.device)


running_activation_score.watch = RunningActivation  # a run that ranks filters by it makes one and calls it
