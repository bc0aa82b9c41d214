"""Networks whose filters can be switched off.

Read `FilterMask` first: it is all that pruning is in this book. `gst.make_prunable`, in graph/, puts one into any network
where it silences a filter; the networks of the book, in networks/, are ordinary modules that have their masks already.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable

import torch
import torch.fx
from torch import nn

from gst_tutorial import _arguments as check


class FilterMask(nn.Module):
    """Multiplies each channel by 1 (kept) or 0 (pruned).

    Put behind batch normalization, a 0 removes the filter's scale *and* its shift, so the next layer sees exactly
    zero. This equals zeroing the convolution's weights together with batch norm's weight and bias. The gradient
    passes through the same product, so a pruned filter gets none.

    Args:
        n_filters: C, at least 1.

    Attributes:
        mask: bool buffer `(C,)`, True where a filter is kept; part of the state dict. As bool, it cannot be averaged like
            weights: a mask of .4 would be neither kept nor pruned.

    Raises:
        ValueError, TypeError: `n_filters` is no whole number of at least 1.
    """

    def __init__(self, n_filters: int):
        super().__init__()
        n_filters = check.integer("n_filters", n_filters, 1, check.MOST)
        self.register_buffer("mask", torch.ones(n_filters, dtype=torch.bool))
        self.applied: set[str] | None = None  # since the convolution ran, the modules at which the mask was applied

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

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        """Also take the zeros and ones of an older version's float masks; the method is PyTorch's way to do that."""
        given = state_dict.get(prefix + "mask")
        if given is not None:
            _check_values(given)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return f"{int(self.mask.sum())} of {self.n_filters} kept"


def _all_ones(mask: torch.Tensor) -> bool:
    """Return True if multiplying by the mask can be left out, which saves two passes over the activations.

    This is asked in every forward pass, so that a mask may be changed in any way. The answer is always False on a GPU,
    which we would have to wait for, and while the network is compiled or traced, where it would become part of the result.
    """
    if mask.device.type != "cpu" or mask.requires_grad or type(mask) is not torch.Tensor:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    try:
        values = mask.tolist()
    except RuntimeError:  # many masks at once (vmap), or a mask without numbers
        return False
    if mask.dtype != torch.bool:
        _check_values(mask)
    return values.count(True) == len(values)


def _check_values(mask: torch.Tensor) -> None:
    other = mask[(mask != 0) & (mask != 1)]
    if other.numel():
        raise ValueError(
            f"A filter mask holds {other[0].item():.3g}, and may hold only 0 (pruned) and 1 (kept). Average weights, not "
            f"masks: leave buffers whose name ends in 'filter_mask.mask' out."
        )


@dataclasses.dataclass(frozen=True)
class PrunableLayer:
    """A convolution, the batch norm that alone reads it (None if there is none), and the mask on their output."""

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


def apply_masks(module: nn.Module, inputs, output: torch.Tensor) -> torch.Tensor:
    """Multiply a module's output by the masks in `module.masked_by`; the forward hook of every masked module."""
    if isinstance(output, torch.fx.Proxy):
        raise RuntimeError(
            f"torch.fx cannot trace the mask on the output of {type(module).__name__}. Trace gst.bake(model) or "
            f"gst.compact(model), which have no masks."
        )
    for mask, site, index in module.masked_by:
        if mask.applied is not None:
            mask.applied.add(site.module)
        if mask is module._modules.get("filter_mask"):
            output = mask(output)
        elif not _all_ones(mask.mask):
            factor = mask.mask if index is None else _spread(mask.mask, index)
            shape = [1] * output.dim()
            shape[site.dim] = -1
            output = output * factor.to(output.device, output.dtype).view(shape)
    return output


def expect_mask(conv: nn.Module, inputs, output: torch.Tensor) -> None:
    """Note that a masked convolution ran, so that its mask has to be applied; runs before `apply_masks`."""
    mask = conv.has_mask[0]
    if not torch.compiler.is_compiling() and output.device == mask.mask.device:  # else: a replica of DataParallel
        mask.applied = mask.applied or set()


def check_masks(model: nn.Module, inputs, output) -> None:
    """Raise an error if a pruned layer ran without its mask; the forward hook of the whole network."""
    if torch.compiler.is_compiling():
        return
    for mask in model.has_masks:
        applied, mask.applied = mask.applied, None
        if applied is not None and not any(path <= applied for path in mask.paths) and not _all_ones(mask.mask):
            prunable_layers(model)  # raises an error that says so if the mask was lost
            raise RuntimeError(
                f"Layer {mask.conv_name!r} is pruned and ran, but its mask was not applied: the forward pass took a path "
                f"that the example of make_prunable did not take. Give an example of each path with example_inputs=[...]."
            )


def _spread(mask: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The mask's value at each position along a dimension, and 1 at the positions of other channels (index -1)."""
    index = index.to(mask.device)
    return torch.where(index < 0, 1.0, mask[index.clamp_min(0)])


def prunable_layers(model: nn.Module) -> PrunableLayers:
    """The layers of `model` that have a mask, by the name of their convolution, in the order of registration.

    Returns:
        A dict; its attribute `skipped` gives the reason for each convolution without a mask, and `print` shows both.

    Raises:
        ValueError: no module applies one of the masks any more, or a convolution has lost its mask, because modules were
            fused, converted or replaced.
    """
    check.model("model", model)
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
    hooked = apply_masks in module._forward_hooks.values()
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


def rewind(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load earlier weights, such as `copy.deepcopy(model.state_dict())` from before training, and keep the masks of now.

    Args:
        model: a prunable network.
        state: a state dict of the same network, with masks or without.

    Raises:
        ValueError: no masks. RuntimeError: the state of another network.
    """
    if not prunable_layers(model):
        raise ValueError("model has no filter masks; load_state_dict is enough.")
    masks = {name: tensor for name, tensor in model.state_dict().items() if name.endswith("filter_mask.mask")}
    model.load_state_dict({**state, **masks})


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
