"""Networks whose filters can be switched off.

Read `FilterMask` first: it is all that pruning is in this book. `make_prunable` puts one behind every
convolution of a network; the networks themselves are ordinary modules.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from gst_tutorial import checks

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
        self.register_buffer("mask", torch.ones(checks.integer("n_filters", n_filters, low=1)))

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


def _apply_last_conv_mask(block: nn.Module, inputs, output: torch.Tensor) -> torch.Tensor:
    # relu(0 + shortcut) * 0 is what a block without shortcut on that channel would give: the shortcut is not added.
    return block.get_submodule(block.last_masked).filter_mask(output)


def make_prunable(model: nn.Module, layers: Iterable[str] | None = None, *, verbose: bool = False) -> nn.Module:
    """Put a `FilterMask` behind every convolution of `model`, or behind the named ones. The model is changed in place.

    The mask multiplies the output of the batch norm that follows the convolution: the next module registered in the
    same parent, if it is a batch norm of as many channels. Where there is none, the mask multiplies the convolution's
    own output (its bias is then masked, too). In a residual block (a module with a `shortcut` or `downsample` beside
    its convolutions) the shortcut is not added on channels pruned in the block's last convolution.
    Depthwise convolutions and those inside a shortcut are left alone: their channels are not theirs to remove.

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
    wanted = set(pairs if layers is None else [checks.one_of("layers", name, pairs) for name in layers])
    names = [name for name in pairs if name in wanted]  # in the order of registration
    for name in names:
        conv = model.get_submodule(name)
        masked = model.get_submodule(pairs[name] or name)
        mask = FilterMask(conv.out_channels).to(conv.weight.device)
        mask.conv_name, mask.norm_name = name, pairs[name]  # how `prunable_layers` finds the three together again
        masked.filter_mask = mask
        masked.register_forward_hook(_apply_filter_mask)
    for block_name, block in model.named_modules():
        last = [name for name in pairs if name.rpartition(".")[0] == block_name][-1:]  # the block's last convolution
        if _is_residual_block(block) and last and last[0] in wanted:
            block.last_masked = (pairs[last[0]] or last[0]).rpartition(".")[2]
            block.register_forward_hook(_apply_last_conv_mask)
    if verbose:
        for layer in prunable_layers(model).values():
            behind = "conv output" if layer.norm is None else type(layer.norm).__name__
            print(f"{layer.name}: {layer.mask.n_filters} filters, mask behind {behind}")
    return model


def _is_residual_block(module: nn.Module) -> bool:
    return hasattr(module, "shortcut") or hasattr(module, "downsample")


def _conv_norm_pairs(model: nn.Module):
    """Yield (name of a convolution, name of the batch norm behind it or None), in the order of registration."""
    for parent_name, parent in model.named_modules():
        prefix = f"{parent_name}." if parent_name else ""
        children = list(parent.named_children())
        for (name, conv), (next_name, following) in zip(children, [*children[1:], ("", None)]):
            if not isinstance(conv, CONVOLUTIONS) or {"shortcut", "downsample"} & set((prefix + name).split(".")):
                continue
            if conv.groups == conv.in_channels > 1:
                continue  # depthwise: its filters belong to the layer before
            has_norm = isinstance(following, BATCH_NORMS) and following.num_features == conv.out_channels
            yield prefix + name, prefix + next_name if has_norm else None


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


def conv1d_net(
    n_classes: int = 10,
    channels: Sequence[int] = (32, 32, 32, 64),
    strides: Sequence[int] = (2, 2, 1, 1),
    input_shape: Sequence[int] = (1, 40),
    dropout: float = 0.0,
    filter_dropout: float = 0.0,
    width: float = 1.0,
) -> nn.Sequential:
    """A convolutional network for signals: the tutorial's default, about 19,000 parameters.

    Layers `conv1, bn1, relu1, ..., conv4, bn4, relu4`, then `flatten` and the linear `head`; kernels of 3 samples.

    Args:
        n_classes: outputs of the linear head.
        channels: filters of each convolution.
        strides: step of each convolution; 2 halves the length of the signal.
        input_shape: `(C, L)` of one signal.
        dropout: share of the head's inputs dropped in training.
        filter_dropout: share of the last convolution's filters dropped in training, per example.
        width: multiplies `channels`.

    Returns:
        A prunable `nn.Sequential` from `(B, C, L)` to logits `(B, n_classes)`.
    """
    return _conv_net(
        (nn.Conv1d, nn.BatchNorm1d, nn.Dropout1d),
        n_classes,
        channels,
        strides,
        input_shape,
        dropout,
        filter_dropout,
        width,
    )


def conv2d_net(
    n_classes: int = 10,
    channels: Sequence[int] = (16, 32, 32, 64),
    strides: Sequence[int] = (1, 2, 1, 2),
    input_shape: Sequence[int] = (1, 8, 8),
    dropout: float = 0.0,
    filter_dropout: float = 0.0,
    width: float = 1.0,
) -> nn.Sequential:
    """The same network for images: 3x3 kernels, from `(B, C, H, W)` to logits `(B, n_classes)`. See `conv1d_net`."""
    return _conv_net(
        (nn.Conv2d, nn.BatchNorm2d, nn.Dropout2d),
        n_classes,
        channels,
        strides,
        input_shape,
        dropout,
        filter_dropout,
        width,
    )


def scaled(channels: Sequence[int], width: float) -> list[int]:
    """Numbers of filters times `width`, rounded, at least 1."""
    checks.real("width", width, 0, open_low=True)
    return [max(1, round(width * n)) for n in channels]


def check_head(n_classes, dropout, filter_dropout) -> None:
    """Errors for the arguments that every network here has."""
    checks.integer("n_classes", n_classes, low=1)
    checks.real("dropout", dropout, 0, 1, open_high=True)
    checks.real("filter_dropout", filter_dropout, 0, 1, open_high=True)


def _conv_net(kinds, n_classes, channels, strides, input_shape, dropout, filter_dropout, width):
    conv, norm, drop_filters = kinds
    for argument, values in (("channels", channels), ("strides", strides), ("input_shape", input_shape)):
        if not isinstance(values, (tuple, list)):
            raise TypeError(f"{argument}={values!r} must be a tuple of whole numbers.")
        for value in values:
            checks.integer(argument, value, low=1)
    if len(channels) != len(strides) or not channels:
        raise ValueError(
            f"channels={tuple(channels)} and strides={tuple(strides)} must have one entry per convolution."
        )
    n_dims = 1 if conv is nn.Conv1d else 2
    if len(input_shape) != 1 + n_dims:
        raise ValueError(
            f"input_shape={tuple(input_shape)} must be {('(C, L)', '(C, H, W)')[n_dims - 1]} for a {n_dims}-D network."
        )
    channels = scaled(channels, width)
    check_head(n_classes, dropout, filter_dropout)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    n_in, *size = input_shape
    for i, (n_out, stride) in enumerate(zip(channels, strides), start=1):
        # Batch norm subtracts the mean again, so a bias in the convolution would do nothing.
        layers[f"conv{i}"] = conv(n_in, n_out, kernel_size=3, stride=stride, padding=1, bias=False)
        layers[f"bn{i}"] = norm(n_out)
        layers[f"relu{i}"] = nn.ReLU()
        n_in, size = n_out, [(s - 1) // stride + 1 for s in size]
    if filter_dropout:
        layers["filter_dropout"] = drop_filters(filter_dropout)
    layers["flatten"] = nn.Flatten()
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    n_features = n_in * int(torch.tensor(size).prod())
    layers["head"] = nn.Linear(n_features, n_classes)
    return make_prunable(nn.Sequential(layers))
