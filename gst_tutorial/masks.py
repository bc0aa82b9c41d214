"""Networks whose filters can be switched off.

Read `FilterMask` first: it is all that pruning is in this book. `make_prunable` puts one where it silences a filter, in any
network; where that is, tracing.py finds out. The networks themselves are ordinary modules, in networks/.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import proof, tracing
from gst_tutorial.tracing import CONVOLUTIONS, Placement, Plan, Site

BEHIND = ("norm", "conv")


class FilterMask(nn.Module):
    """Multiplies each channel by 1 (kept) or 0 (pruned).

    Put behind batch normalization, a 0 removes the filter's scale *and* its shift, so the next layer sees exactly
    zero. This equals zeroing the convolution's weights together with batch norm's weight and bias. The gradient
    passes through the same product, so a pruned filter gets none.

    Args:
        n_filters: C, at least 1.

    Attributes:
        mask: float buffer `(C,)` of ones and zeros; part of the state dict.

    Raises:
        ValueError, TypeError: `n_filters` is no whole number of at least 1.
    """

    def __init__(self, n_filters: int):
        super().__init__()
        self.register_buffer("mask", torch.ones(check.integer("n_filters", n_filters, 1, check.MOST)))

    @property
    def n_filters(self) -> int:
        """Number of filters, pruned ones included."""
        return self.mask.numel()

    @property
    def kept(self) -> torch.Tensor:
        """Bool `(C,)`: True where the filter is still there."""
        return self.mask.bool()

    @property
    def sparsity(self) -> float:
        """Fraction of the filters that are pruned, in [0, 1]."""
        return 1.0 - self.mask.float().mean().item()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if _all_ones(self.mask):
            return x
        shape = (1, -1) + (1,) * (x.dim() - 2)  # (1, C, 1) for signals, (1, C, 1, 1) for images
        return x * self.mask.to(x.dtype).view(shape)

    def extra_repr(self) -> str:
        return f"{int(self.mask.sum())} of {self.n_filters} kept"


def _all_ones(mask: torch.Tensor) -> bool:
    """Whether multiplying by the mask can be left out: the same numbers to the bit, without two passes over the activations.

    Asked anew each time, so that a mask may be changed in any way. Not on a GPU, which would have to be waited for, and not
    where the network is being translated, since the answer would become a part of the translation.
    """
    if mask.device.type != "cpu" or mask.requires_grad or type(mask) is not torch.Tensor:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    try:
        values = mask.tolist()
    except RuntimeError:  # many masks at once (vmap), or a mask without numbers
        return False
    return values.count(1.0) == len(values)


@dataclasses.dataclass(frozen=True)
class PrunableLayer:
    """A convolution, the batch norm behind it (None if the network has none), and the mask on their output."""

    name: str
    conv: nn.Module
    norm: nn.Module | None
    mask: FilterMask


class PrunableLayers(dict):
    """Name of a convolution -> `PrunableLayer`, and `skipped`: name -> reason, for the convolutions without a mask."""

    def __init__(self, layers: dict[str, PrunableLayer], skipped: dict[str, str]):
        super().__init__(layers)
        self.skipped = skipped

    def __str__(self) -> str:
        lines = []
        for layer in self.values():
            behind = "conv output" if layer.norm is None else type(layer.norm).__name__
            more = len(layer.mask.sites) - 1
            lines.append(f"{layer.name}: {layer.mask.n_filters} filters, mask behind {behind}"
                         + (f" and at {more} more place{'s' * (more > 1)}" if more else ""))  # fmt: skip
        return "\n".join([*lines, *(f"{name}: no mask, {reason}" for name, reason in self.skipped.items())])


def _apply_masks(module: nn.Module, inputs, output: torch.Tensor) -> torch.Tensor:
    """The hook of every module whose output is masked. What it multiplies by lies in `module.masked_by`."""
    for mask, dim, index in module.masked_by:
        if mask is module._modules.get("filter_mask"):
            output = mask(output)
        elif not _all_ones(mask.mask):
            factor = mask.mask if index is None else _spread(mask.mask, index)
            shape = [1] * output.dim()
            shape[dim] = -1
            output = output * factor.to(output.device, output.dtype).view(shape)
    return output


def _spread(mask: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The mask's value for each position along a dimension that also holds other channels: there, 1."""
    index = index.to(mask.device)
    return torch.where(index < 0, 1.0, mask[index.clamp_min(0)])


def make_prunable(
    model: nn.Module,
    example_input: Any = None,
    layers: Iterable[str] | None = None,
    *,
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

    The result is proved before it is returned: with half of each layer pruned at random, no layer reads anything but
    zeros there, no weight of a pruned filter changes the output by a bit, and none gets a gradient.

    Args:
        model: any torch network with `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d` modules.
        example_input: a small batch of what the network reads, such as `x_train[:2]`, on the network's device; a tuple
            stands for several arguments, a dict for named ones. The package's own networks have their masks already.
        layers: names of convolutions as in `model.named_modules()`; None takes all that can be masked.
        verbose: print the table of layers and reasons.

    Returns:
        The same `model`. Load pretrained weights before, since the masks join the state dict.

    Raises:
        ValueError: no example, one that does not fit, no convolution that could be masked, a name that is unknown or
            cannot be masked (with its reason), or a model that has masks already.
        RuntimeError: a mask that does not silence its filters; the message names the layer and its reader.
    """
    check.network("model", model)
    if any(isinstance(module, FilterMask) for module in model.modules()):
        raise ValueError("model has filter masks already; make_prunable is called once per network.")
    if not any(isinstance(module, CONVOLUTIONS) for module in model.modules()):
        raise ValueError(f"model={type(model).__name__} has no convolution whose filters could be masked.")
    if layers is not None:
        layers = check.many("layers", layers)
    check.flag("verbose", verbose)
    if isinstance(example_input, str) or (
        isinstance(example_input, (list, tuple)) and any(isinstance(item, str) for item in example_input)
    ):
        raise TypeError(f"example_input={example_input!r} must be data; names go to layers={example_input!r}.")
    if example_input is None:
        raise ValueError(
            f"example_input is missing: make_prunable follows data through model={type(model).__name__} and does not "
            f"guess their shape. Give a small batch of what the network reads, such as example_input=x_train[:2]."
        )
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in model.parameters()):
        raise ValueError(f"model={type(model).__name__} has lazy layers: run it once on example_input first.")

    plan = tracing.follow(model, example_input)
    if layers is not None:
        wanted = {check.one_of("layers", name, [*plan.placements, *plan.skipped]) for name in layers}
        for name in wanted & plan.skipped.keys():
            raise ValueError(f"layers={name!r} cannot be masked: {plan.skipped[name]}.")
        plan.skipped.update({name: "not among layers" for name in plan.placements if name not in wanted})
        plan.placements = {name: found for name, found in plan.placements.items() if name in wanted}
    if not plan.placements:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(plan.skipped.items())[:4])
        raise ValueError(f"model={type(model).__name__} has no convolution whose filters could be masked ({reasons}).")
    put_masks(model, plan)
    try:
        proof.prove(model, example_input, prunable_layers(model), plan)
    except BaseException:
        remove_masks(model)
        raise
    if hasattr(model, "_orig_mod") or any(hasattr(module, "_orig_mod") for module in model.modules()):
        torch._dynamo.reset()  # what is compiled already knows nothing of the masks
    if verbose:
        print(prunable_layers(model))
    return model


def put_masks(model: nn.Module, plan: Plan) -> None:
    """Place the masks of a `tracing.Plan`, unchecked. The networks of this package state theirs, see `tracing.stated`."""
    for name, reason in plan.skipped.items():
        model.get_submodule(name).without_mask = reason
    for name, placement in plan.placements.items():
        conv = model.get_submodule(name)
        holder = placement.norm or name
        mask = FilterMask(conv.out_channels).to(conv.weight.device)
        # How `prunable_layers` finds the parts together again, and how a lost mask is noticed.
        mask.conv_name, mask.norm_name = name, placement.norm
        mask.sites = tuple(site.module for site in placement.sites)
        conv.has_mask = (mask,)  # in a tuple it is no submodule: one mask, one entry in the state dict
        model.get_submodule(holder).filter_mask = mask
        for site in placement.sites:
            module = model.get_submodule(site.module)
            if _apply_masks not in module._forward_hooks.values():
                module.masked_by = ()
                module.register_forward_hook(_apply_masks)
            index = None if site.index is None else torch.tensor(site.index)
            module.masked_by = (*module.masked_by, (mask, site.dim, index))


def remove_masks(model: nn.Module, keep: Iterable[str] = ()) -> None:
    """Take the masks and all that was noted about them out of `model`, but leave those of the layers named in `keep`."""
    kept = {model.get_submodule(name).has_mask[0] for name in keep}
    for module in list(model.modules()):
        if "masked_by" in module.__dict__:
            module.masked_by = tuple(entry for entry in module.masked_by if entry[0] in kept)
            if not module.masked_by:
                del module.masked_by
                for key, hook in list(module._forward_hooks.items()):
                    if hook is _apply_masks:
                        del module._forward_hooks[key]
        mask = getattr(module, "filter_mask", None)
        if isinstance(mask, FilterMask) and mask not in kept:
            del module.filter_mask
        if "has_mask" in module.__dict__ and module.has_mask[0] not in kept:
            del module.has_mask
        module.__dict__.pop("without_mask", None)


def mask_convolutions_alone(model: nn.Module) -> None:
    """Put each mask of `model` behind its convolution and nothing else, in place; filters that were pruned are back.

    A batch norm behind it turns the zeros into a constant, which goes on learning: what the paper calls pruning where it
    compares it with noise (figure 5).

    Raises:
        ValueError: a network with residual blocks, where the shortcut is masked, too.
    """
    layers = prunable_layers(model)
    for name, layer in layers.items():
        if len(layer.mask.sites) > 1:
            raise ValueError(
                f"mask='conv' is for networks without residual blocks: layer {name!r} is masked at {layer.mask.sites}."
            )
    remove_masks(model)
    put_masks(model, Plan({name: Placement(None, [Site(name)]) for name in layers}, layers.skipped))


def prunable_layers(model: nn.Module) -> PrunableLayers:
    """The layers of `model` that have a mask, by the name of their convolution, in the order of registration.

    Returns:
        A dict; its attribute `skipped` gives the reason for each convolution without a mask, and `print` shows both.

    Raises:
        ValueError: a mask is there that nothing applies any more, or a convolution whose mask is gone: after fusing,
            converting or replacing modules.
    """
    check.network("model", model)
    layers, found = {}, set()
    for path, mask in model.named_modules():
        if not isinstance(mask, FilterMask) or not hasattr(mask, "conv_name"):
            continue
        found.add(mask)
        path = path.removesuffix(".filter_mask") if path != "filter_mask" else ""
        name, norm_name = (_renamed(n, mask, path) for n in (mask.conv_name, mask.norm_name))
        if name is None:  # `model` is a part of a network, and the convolution is not in it
            continue
        holder = model.get_submodule(norm_name if mask.norm_name else name)
        if not _applies(holder, mask):
            raise _lost(name, f"{type(holder).__name__} {path!r} does not apply it")
        for site in mask.sites:
            site = _renamed(site, mask, path)
            try:
                applied = site is None or _applies(model.get_submodule(site), mask)
            except AttributeError:
                applied = False
            if not applied:
                raise _lost(name, f"{site!r} does not apply it")
        layers[name] = PrunableLayer(
            name, model.get_submodule(name), model.get_submodule(norm_name) if norm_name else None, mask
        )
    skipped = {}
    for path, module in model.named_modules():
        if "without_mask" in module.__dict__:
            skipped[path] = module.without_mask
        if "has_mask" in module.__dict__ and module.has_mask[0] not in found:
            raise _lost(path, "the module that held it is gone")
    return PrunableLayers(layers, skipped)


def _applies(module: nn.Module, mask: FilterMask) -> bool:
    hooked = _apply_masks in module._forward_hooks.values()
    return hooked and any(mine is mask for mine, _, _ in module.__dict__.get("masked_by", ()))


def _lost(layer: str, how: str) -> ValueError:
    return ValueError(
        f"The mask of layer {layer!r} is lost: {how}. Fusing, converting or replacing modules drops masks. Do that before "
        f"make_prunable, or on the network that compact(model) gives."
    )


def _renamed(name: str | None, mask: FilterMask, path: str) -> str | None:
    """A name from the time of make_prunable as it is in a model where the mask's holder is called `path`.

    A wrapper (DataParallel, torch.compile) puts a prefix before every name; a part of a network lacks one.
    """
    if name is None:
        return None
    old, new = (mask.norm_name or mask.conv_name).split("."), path.split(".") if path else []
    while old and new and old[-1] == new[-1]:
        old.pop()
        new.pop()
    before, after = ".".join(old), ".".join(new)
    if before and name != before and not name.startswith(before + "."):
        return None
    rest = name[len(before) :].removeprefix(".") if before else name
    return ".".join(part for part in (after, rest) if part)


@contextlib.contextmanager
def evaluation_mode(model: nn.Module):
    """Evaluation mode inside the block; afterwards every module has the mode it had (a frozen batch norm stays frozen)."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def sparsity(model: nn.Module, layers: Iterable[str] | None = None) -> float:
    """Fraction of the filters pruned, over the named prunable layers of `model` together (None: all), in [0, 1].

    Raises:
        ValueError: no masks, an unknown name, or masks that nothing applies any more (see `prunable_layers`).
    """
    found = prunable_layers(model)
    if not found:
        raise ValueError("model has no filter masks; call make_prunable(model, example_input) first.")
    names = found if layers is None else [check.one_of("layers", name, found) for name in check.many("layers", layers)]
    masks = [found[name].mask.mask for name in names]
    return 1.0 - torch.cat(masks).float().mean().item() if masks else 0.0
