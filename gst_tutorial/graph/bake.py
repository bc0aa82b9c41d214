"""Write masks into the weights: the way out of this package for a network that has to keep its architecture."""

from __future__ import annotations

import copy

import torch
from torch import nn

from gst_tutorial.graph.compact import channels_of, channels_to_cut, closed, difference, opened, plan_of
from gst_tutorial.graph.labels import Coupling
from gst_tutorial.graph.make_prunable import remove_masks


def bake(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in which pruned filters have zero weights, and no masks are left.

    This is the step before anything that knows nothing of masks: saving for a plain network of the same architecture,
    `save_pretrained`, fusing, quantization, ONNX. Without it they give the *unpruned* network. The copy computes the same,
    which is checked as in `compact`. Further training would bring the filters back.

    Raises:
        ValueError: no masks, or a mask that also silences what other layers write, so that no weights of the layer's own
            give zeros. In a residual block, for example, the shortcut is not added on pruned channels.
    """
    prefix, network, layers = opened(model)
    plan = plan_of(network, layers, None)
    zero, reasons = channels_to_cut(network, layers, plan)  # nobody reads these, so their inputs may be zero, too
    own = torch.zeros_like(zero)  # for these, it is enough to write zeros into the layer and its norm
    holders = set()
    for name, layer in layers.items():
        holder = layer.mask.norm_name or name
        if layer.mask.sites == (holder,):
            own[channels_of(plan.coupling, layer)] = ~layer.mask.kept.cpu()
            holders |= {name, holder}
        elif name in reasons:
            raise ValueError(
                f"The mask of layer {name!r} cannot be written into weights: it acts at {layer.mask.sites}, where other "
                f"layers have their part. Prune what shares its channels, too, or restore the layer."
            )

    def baked(network: nn.Module, coupling: Coupling, channels: torch.Tensor) -> nn.Module:
        changed = copy.deepcopy(network)
        remove_masks(changed)
        _write_zeros(changed, coupling, zero, own, holders)
        return changed

    if problem := difference(network, plan, zero | own, baked):
        raise ValueError(f"The masks cannot be written into weights: {problem}.")
    return closed(model, prefix, baked(network, plan.coupling, zero))


@torch.no_grad()
def _write_zeros(
    network: nn.Module, coupling: Coupling, zero: torch.Tensor, own: torch.Tensor, holders: set[str]
) -> None:
    for axis in coupling.axes:
        channels = axis.channels.long()
        where = zero[channels] | (own[channels] if axis.module in holders and not axis.reads else False)
        if where.any() and axis.tensor != "running_var":  # a variance of zero would be divided by
            tensor = getattr(network.get_submodule(axis.module), axis.tensor)
            tensor.index_fill_(axis.dim, where.nonzero().flatten().to(tensor.device), 0)
