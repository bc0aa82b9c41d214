"""Put masks into a network where they silence its filters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.graph import proof, trace
from gst_tutorial.graph.labels import CONVOLUTIONS, Placement, Plan, Site
from gst_tutorial.graph.running import borrowed
from gst_tutorial.masks import FilterMask, apply_masks, check_masks, expect_mask, prunable_layers


def make_prunable(
    model: nn.Module,
    example_input: Any = None,
    layers: Iterable[str] | None = None,
    *,
    example_inputs: list | None = None,
    verbose: bool = False,
) -> nn.Module:
    """Put a `FilterMask` behind every convolution of `model` whose filters can be silenced. The model is changed in place.

    One example is passed through the network to see where each filter's channel goes, whatever the modules are called.
    The mask multiplies the output of the batch norm that alone reads the convolution, else the convolution's own output
    (its bias is then masked, too). Where zeros become something else further on (a group norm's shift, a depthwise
    convolution's bias, a batch norm behind a concatenation) it multiplies that module's output as well, so that each
    layer that reads the channel sees exactly zero. On channels pruned in the last convolution of a residual branch the
    shortcut is not added.

    Left out, each with its reason in `prunable_layers(model).skipped`: convolutions whose channels are the network's
    output, gates, shortcuts, parts of other sums, depthwise and transposed convolutions, and those whose channels
    cannot be followed.

    The result is checked before it is returned, in evaluation and in training mode and with random scales, shifts and
    statistics: with half of each layer pruned at random, no layer reads anything but zeros there, no weight of a pruned
    filter changes the output by a bit, and none gets a gradient. A forward pass may take other paths on other data. If
    it later runs a pruned layer on a path without its mask, it raises an error; give an example of each path.

    Args:
        model: any torch network with `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d` modules.
        example_input: a small batch of what the network reads, such as `x_train[:2]`, on the network's device; a tuple
            stands for several arguments, a dict for named ones. The package's own networks have their masks already.
        layers: names of convolutions as in `model.named_modules()`; None takes all that can be masked.
        example_inputs: instead of one example a list of them, one for each path through the network or for each mode, such
            as `[x, (x, targets)]` for a network that needs targets in training.
        verbose: print the table of layers and reasons.

    Returns:
        The same `model`. Load pretrained weights before, since the masks join the state dict.

    Raises:
        ValueError: no example, one that does not fit, no convolution that could be masked, a name that is unknown or
            cannot be masked (with its reason), or a model that has masks already.
        RuntimeError: a mask that does not silence its filters; the message names the layer and its reader.
    """
    examples = [example_input] if example_inputs is None else list(example_inputs)
    _check(model, examples)
    names = None if layers is None else check.many("layers", layers)
    check.flag("verbose", verbose)
    with borrowed(model) as run:
        plan = trace.follow(model, run, examples)
        if names is not None:
            _choose(plan, names)
        if not plan.placements:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(plan.skipped.items())[:4])
            kind = type(model).__name__
            raise ValueError(f"model={kind} has no convolution whose filters could be masked ({reasons}).")
        put_masks(model, plan)
        found = prunable_layers(model)
        try:
            proof.prove(model, run, found, plan)
        except BaseException:
            remove_masks(model)
            raise
    if any(hasattr(module, "_orig_mod") for module in model.modules()):
        torch._dynamo.reset()  # what is compiled already knows nothing of the masks
    if verbose:
        print(found)
    return model


def _check(model: nn.Module, examples: list) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module, not {type(model).__name__}.")
    if any(isinstance(module, FilterMask) for module in model.modules()):
        raise ValueError("model has filter masks already; make_prunable is called once per network.")
    if not any(isinstance(module, CONVOLUTIONS) for module in model.modules()):
        raise ValueError(f"model={type(model).__name__} has no convolution whose filters could be masked.")
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in model.parameters()):
        raise ValueError(f"model={type(model).__name__} has lazy layers: run it once on example_input first.")
    if not examples or examples == [None]:
        raise ValueError(
            f"example_input is missing: make_prunable follows data through model={type(model).__name__} and does not "
            f"guess their shape. Give a small batch of what the network reads, such as example_input=x_train[:2]."
        )
    for example in examples:
        parts = example if isinstance(example, (list, tuple)) else [example]
        if any(isinstance(part, str) for part in parts):
            raise TypeError(f"example_input={example!r} must be data; names go to layers={example!r}.")


def _choose(plan: Plan, names: list[str]) -> None:
    """Leave only the named layers in the plan."""
    wanted = {check.one_of("layers", name, [*plan.placements, *plan.skipped]) for name in names}
    for name in wanted & plan.skipped.keys():
        raise ValueError(f"layers={name!r} cannot be masked: {plan.skipped[name]}.")
    for name in plan.placements.keys() - wanted:
        del plan.placements[name]
        plan.skipped[name] = "not among layers"


def put_masks(model: nn.Module, plan: Plan) -> None:
    """Place the masks of a plan, unchecked. The networks of this package state their plans, see `labels.stated`."""
    for name, reason in plan.skipped.items():
        model.get_submodule(name).without_mask = reason
    for name, placement in plan.placements.items():
        conv = model.get_submodule(name)
        mask = FilterMask(conv.out_channels).to(conv.weight.device)
        # With these, `prunable_layers` finds the parts again and notices a lost mask, and `compact` knows what to cut.
        mask.conv_name, mask.norm_name, mask.plan = name, placement.norm, plan
        mask.sites = tuple(site.module for site in placement.sites)
        conv.has_mask = (mask,)  # in a tuple it is no submodule: one mask, one entry in the state dict
        mask.paths = placement.paths
        conv.register_forward_hook(expect_mask)
        model.get_submodule(placement.norm or name).filter_mask = mask
        for site in placement.sites:
            module = model.get_submodule(site.module)
            if apply_masks not in module._forward_hooks.values():
                module.masked_by = ()
                module.register_forward_hook(apply_masks)
            index = None if site.index is None else torch.tensor(site.index)
            module.masked_by = (*module.masked_by, (mask, site, index))
    model.has_masks = tuple(model.get_submodule(name).has_mask[0] for name in plan.placements)
    model.register_forward_hook(check_masks)


def remove_masks(model: nn.Module) -> None:
    """Take the masks, and all that was noted about them, out of `model`."""
    for module in list(model.modules()):
        for key, hook in list(module._forward_hooks.items()):
            if hook in (apply_masks, expect_mask, check_masks):
                del module._forward_hooks[key]
        if isinstance(getattr(module, "filter_mask", None), FilterMask):
            del module.filter_mask
        for note in ("masked_by", "has_mask", "has_masks", "without_mask"):
            module.__dict__.pop(note, None)


def mask_convolutions_alone(model: nn.Module) -> None:
    """Put each mask of `model` behind its convolution and nothing else, in place; filters that were pruned are back.

    A batch norm behind it turns the zeros into a constant, which is trained further: what the paper calls pruning where
    it compares pruning with noise (figure 5).

    Raises:
        ValueError: a network with residual blocks, where the shortcut is masked, too.
    """
    layers = prunable_layers(model)
    for name, layer in layers.items():
        if len(layer.mask.sites) > 1:
            raise ValueError(
                f"mask='conv' is for networks without residual blocks: layer {name!r} is masked at {layer.mask.sites}."
            )
    paths = [path for layer in layers.values() for path in layer.mask.plan.paths][:2]
    remove_masks(model)
    placements = {name: Placement(None, [Site(name)], paths=[frozenset([name])]) for name in layers}
    put_masks(model, Plan(placements, layers.skipped, paths=paths))
