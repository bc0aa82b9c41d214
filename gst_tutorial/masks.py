"""Networks whose filters can be switched off.

Read `FilterMask` first: it is all that pruning is in this book. `make_prunable` puts one behind every convolution of a
network. The networks themselves are ordinary modules, in networks/.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable

import torch
from torch import nn

from gst_tutorial import _arguments as check

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class FilterMask(nn.Module):
    """Multiplies each channel by 1 (kept) or 0 (pruned).

    Put behind batch normalization, a 0 removes the filter's scale *and* its shift, so the next layer sees exactly
    zero. This equals zeroing the convolution's weights together with batch norm's weight and bias. The gradient
    passes through the same product, so a pruned filter gets none.

    Attributes:
        mask: float buffer `(C,)` of ones and zeros; part of the state dict.
    """

    def __init__(self, n_filters: int):
        super().__init__()
        self.register_buffer("mask", torch.ones(check.integer("n_filters", n_filters, low=1)))

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
        return 1.0 - self.mask.mean().item()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (1, -1) + (1,) * (x.dim() - 2)  # (1, C, 1) for signals, (1, C, 1, 1) for images
        return x * self.mask.view(shape)

    def extra_repr(self) -> str:
        return f"{int(self.mask.sum())} of {self.n_filters} kept"


@dataclasses.dataclass(frozen=True)
class PrunableLayer:
    """A convolution, the batch norm behind it (None if the network has none), and the mask on their output."""

    name: str
    conv: nn.Module
    norm: nn.Module | None
    mask: FilterMask


def _apply_filter_mask(module: nn.Module, inputs, output: torch.Tensor) -> torch.Tensor:
    return module.filter_mask(output)


def _apply_mask_of_the_layer_before(module: nn.Module, inputs, output: torch.Tensor) -> torch.Tensor:
    # A depthwise convolution passes the zeros on, but the batch norm behind it would shift them.
    return module.masks_before[0](output)


def _apply_last_conv_mask(block: nn.Module, inputs, output: torch.Tensor) -> torch.Tensor:
    # relu(0 + shortcut) * 0 is what a block without shortcut on that channel would give: the shortcut is not added.
    return block.get_submodule(block.last_masked).filter_mask(output)


def make_prunable(model: nn.Module, layers: Iterable[str] | None = None, *, verbose: bool = False) -> nn.Module:
    """Put a `FilterMask` behind every convolution of `model`, or behind the named ones. The model is changed in place.

    The mask multiplies the output of the batch norm that follows the convolution: the next module registered in the
    same parent, if it is a batch norm of as many channels. Where there is none, the mask multiplies the convolution's
    own output (its bias is then masked, too). In a residual block (a module with a `shortcut` or `downsample` beside
    its convolutions, or torchvision's with `use_res_connect`) the shortcut is not added on channels pruned in the
    block's last convolution. Left alone are convolutions inside a shortcut, those of a squeeze-and-excitation gate (a
    zero there is not silence), and depthwise ones: their channels belong to the layer before, whose mask multiplies
    the depthwise output, too.

    Args:
        model: any torch network with `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d` modules.
        layers: names of convolutions as in `model.named_modules()`; None takes all.
        verbose: print the layers found.

    Returns:
        The same `model`. Load pretrained weights before, since the masks join the state dict.

    Raises:
        ValueError: no convolution found, an unknown layer name, or a model that has masks already.
    """
    if any(isinstance(module, FilterMask) for module in model.modules()):
        raise ValueError("model has filter masks already; make_prunable is called once per network.")
    pairs = dict(_conv_norm_pairs(model))
    if not pairs:
        raise ValueError(f"model={type(model).__name__} has no convolution whose filters could be masked.")
    if isinstance(layers, str):
        raise TypeError(f"layers={layers!r} must be a list of names, such as [{layers!r}].")
    wanted = set(pairs if layers is None else [check.one_of("layers", name, pairs) for name in layers])
    names = [name for name in pairs if name in wanted]  # in the order of registration
    for name in names:
        conv = model.get_submodule(name)
        masked = model.get_submodule(pairs[name] or name)
        mask = FilterMask(conv.out_channels).to(conv.weight.device)
        mask.conv_name, mask.norm_name = name, pairs[name]  # how `prunable_layers` finds the three together again
        masked.filter_mask = mask
        masked.register_forward_hook(_apply_filter_mask)
    for depthwise, before in _depthwise_layers(model):
        if before in wanted:
            masked = model.get_submodule(pairs[before] or before)
            # In a tuple it is no submodule: one mask, one entry in the state dict.
            depthwise.masks_before = (masked.filter_mask,)
            depthwise.register_forward_hook(_apply_mask_of_the_layer_before)
    for block_name, block in model.named_modules():
        last = _last_convolution(block_name, block, pairs)
        if last in wanted:
            block.last_masked = (pairs[last] or last).removeprefix(f"{block_name}.")
            block.register_forward_hook(_apply_last_conv_mask)
    if verbose:
        for layer in prunable_layers(model).values():
            behind = "conv output" if layer.norm is None else type(layer.norm).__name__
            print(f"{layer.name}: {layer.mask.n_filters} filters, mask behind {behind}")
    return model


def _last_convolution(block_name: str, block: nn.Module, names: Iterable[str]) -> str | None:
    """Name of the last convolution of a residual block; None if `block` is none."""
    if getattr(block, "use_res_connect", False):  # torchvision's MobileNets and EfficientNets keep theirs deeper inside
        inside = [name for name in names if name.startswith(f"{block_name}.")]
    elif hasattr(block, "shortcut") or hasattr(block, "downsample"):
        inside = [name for name in names if name.rpartition(".")[0] == block_name]
    else:
        return None
    return inside[-1] if inside else None


def _convolutions(model: nn.Module):
    """Yield (name of a convolution, name of the batch norm behind it or None), in the order of registration.

    Without those inside a shortcut or a squeeze-and-excitation gate (torchvision's have a `scale_activation`).
    """
    for parent_name, parent in model.named_modules():
        prefix = f"{parent_name}." if parent_name else ""
        children = list(parent.named_children())
        for (name, conv), (next_name, following) in zip(children, [*children[1:], ("", None)]):
            if not isinstance(conv, CONVOLUTIONS) or {"shortcut", "downsample"} & set((prefix + name).split(".")):
                continue
            if hasattr(parent, "scale_activation"):
                continue
            has_norm = isinstance(following, BATCH_NORMS) and following.num_features == conv.out_channels
            yield prefix + name, prefix + next_name if has_norm else None


def _is_depthwise(conv: nn.Module) -> bool:
    return conv.groups == conv.in_channels > 1


def _conv_norm_pairs(model: nn.Module):
    return [pair for pair in _convolutions(model) if not _is_depthwise(model.get_submodule(pair[0]))]


def _depthwise_layers(model: nn.Module):
    """Yield (module that gives a depthwise convolution's output, name of the convolution whose channels it reads)."""
    before = None
    for name, norm_name in _convolutions(model):
        conv = model.get_submodule(name)
        if not _is_depthwise(conv):
            before = name
        elif before and model.get_submodule(before).out_channels == conv.in_channels == conv.out_channels:
            yield model.get_submodule(norm_name or name), before


def prunable_layers(model: nn.Module) -> dict[str, PrunableLayer]:
    """The layers of `model` that have a mask, by the name of their convolution, in the order of registration."""
    layers = {}
    for path, mask in model.named_modules():
        if isinstance(mask, FilterMask) and hasattr(mask, "conv_name"):
            # A wrapper (DataParallel, torch.compile) puts a prefix before every name.
            prefix = path.removesuffix(f"{mask.norm_name or mask.conv_name}.filter_mask")
            norm = model.get_submodule(prefix + mask.norm_name) if mask.norm_name else None
            name = prefix + mask.conv_name
            layers[name] = PrunableLayer(name, model.get_submodule(name), norm, mask)
    return layers


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
    """Fraction of the filters pruned, over the named prunable layers of `model` together (None: all)."""
    found = prunable_layers(model)
    masks = [found[name].mask.mask for name in (found if layers is None else layers)]
    return 1.0 - torch.cat(masks).mean().item() if masks else 0.0
