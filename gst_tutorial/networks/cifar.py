"""The paper's networks for 32x32 images: VGG11, ResNet-18, ResNet-20 and ResNet-56, each with a `width`.

Ordinary modules whose convolutions have a `FilterMask`, like those of small.py. Images of other sizes work as well, since
every halving rounds up. Weights are stored channels-last, which is up to twice as fast on a CPU.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from gst_tutorial import _arguments as check
from gst_tutorial.graph.labels import stated
from gst_tutorial.graph.make_prunable import put_masks
from gst_tutorial.networks.small import check_head, scaled

# Written by tools/photographs.py; the file's metadata say how.
VGG11_WEIGHTS = Path(__file__).parent / "vgg11.safetensors"


def vgg11(
    n_classes: int = 10,
    input_shape: Sequence[int] = (3, 32, 32),
    width: float = 1.0,
    dropout: float = 0.0,
    filter_dropout: float = 0.0,
) -> nn.Sequential:
    """VGG11 with batch norm in its form for CIFAR: eight convolutions and one linear layer; 9.2 million parameters.

    Layers `conv1, bn1, relu1, pool1, ..., conv8, bn8, relu8, pool5, flatten, head`. The paper prunes `conv5` to
    `conv8`. Simonyan & Zisserman, *Very deep convolutional networks for large-scale image recognition*, ICLR 2015.

    Args:
        n_classes: outputs of the linear head.
        input_shape: `(C, H, W)` of one image.
        width: multiplies the number of filters of every layer (64, 128, 256, 256, 512, 512, 512, 512).
        dropout: fraction of the head's inputs that are dropped in training.
        filter_dropout: fraction of the last convolution's filters that are dropped in training, per example.

    Returns:
        A prunable `nn.Sequential` from `(B, C, H, W)` to logits `(B, n_classes)`.
    """
    n_in, *size = _image_shape(input_shape)
    check_head(n_classes, dropout, filter_dropout)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    pools_after = {1: 1, 2: 2, 4: 3, 6: 4, 8: 5}  # convolution -> number of the pooling layer after it
    for i, n_out in enumerate(scaled((64, 128, 256, 256, 512, 512, 512, 512), width), start=1):
        layers[f"conv{i}"] = nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=False)
        layers[f"bn{i}"] = nn.BatchNorm2d(n_out)
        layers[f"relu{i}"] = nn.ReLU()
        if i in pools_after:
            layers[f"pool{pools_after[i]}"] = nn.MaxPool2d(2, ceil_mode=True)
            size = [(s + 1) // 2 for s in size]
        n_in = n_out
    if filter_dropout:
        layers["filter_dropout"] = nn.Dropout2d(filter_dropout)
    layers["flatten"] = nn.Flatten()
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    layers["head"] = nn.Linear(n_in * size[0] * size[1], n_classes)
    return _finished(nn.Sequential(layers), input_shape, {f"conv{i}": (f"bn{i}",) for i in range(1, 9)})


def trained_vgg11() -> nn.Sequential:
    """Load a `vgg11` of an eighth of the usual width, trained on 50,000 photographs; chapter 8 prunes it.

    The weights come with the package as float16. `gst.load("photographs")` has pictures of the same ten classes.

    Returns:
        The network in evaluation mode, float32, `(B, 3, 32, 32)` to `(B, 10)`.

    Source: tools/photographs.py; the file's metadata contain the config, the test accuracy, versions and date.
    """
    from safetensors.torch import load_file

    model = vgg11(width=0.125)
    model.load_state_dict(load_file(VGG11_WEIGHTS))  # copied into float32
    return model.eval()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them: relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)).

    Shapes: `(B, n_in, H, W)` to `(B, n_out, H / stride, W / stride)`.
    """

    def __init__(self, n_in: int, n_out: int, stride: int, shortcut: nn.Module):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class PadShortcut(nn.Module):
    """Shortcut without parameters, as in the narrow ResNets: take every `stride`-th pixel, fill missing channels with 0."""

    def __init__(self, n_extra: int, stride: int):
        super().__init__()
        self.n_extra, self.stride = n_extra, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        before = self.n_extra // 2
        return F.pad(x, (0, 0, 0, 0, before, self.n_extra - before))


def _projection(n_in: int, n_out: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(n_in, n_out, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(n_out))


def _padding(n_in: int, n_out: int, stride: int) -> nn.Module:
    return PadShortcut(n_out - n_in, stride)


class ResNet(nn.Module):
    """A stem, stages of residual blocks, a mean over pixels, and a linear head. Every stage but the first halves the image.

    He, Zhang, Ren, Sun, *Deep residual learning for image recognition*, CVPR 2016. Layers `conv1, bn1`, stages `layer1`
    to `layer4` (or `layer3`) of blocks `0, 1, ...` with `conv1, bn1, conv2, bn2, shortcut`, and `head`: the last
    convolution of ResNet-18 is `layer4.1.conv2`.
    """

    def __init__(self, channels, blocks_per_stage, shortcut, n_classes, n_in, dropout, filter_dropout):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, channels[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.n_stages = len(channels)
        n_in = channels[0]
        for stage, n_out in enumerate(channels, start=1):
            blocks = []
            for i in range(blocks_per_stage):
                stride = 2 if stage > 1 and i == 0 else 1
                changes = stride > 1 or n_in != n_out
                blocks.append(
                    ResidualBlock(n_in, n_out, stride, shortcut(n_in, n_out, stride) if changes else nn.Identity())
                )
                n_in = n_out
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.filter_dropout = nn.Dropout2d(filter_dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_in, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))  # (B, C, H, W)
        for stage in range(1, self.n_stages + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        x = self.filter_dropout(x).mean((2, 3))  # (B, C)
        return self.head(self.dropout(x))


def resnet18(n_classes=10, input_shape=(3, 32, 32), width=1.0, dropout=0.0, filter_dropout=0.0) -> ResNet:
    """ResNet-18 in its form for CIFAR (a 3x3 stem, no pooling): 64, 128, 256, 512 filters; 11.2 million parameters.

    Shortcuts that change shape are 1x1 convolutions with batch norm. Arguments are those of `vgg11`.
    """
    return _resnet((64, 128, 256, 512), 2, _projection, n_classes, input_shape, width, dropout, filter_dropout)


def resnet20(n_classes=10, input_shape=(3, 32, 32), width=1.0, dropout=0.0, filter_dropout=0.0) -> ResNet:
    """ResNet-20 for CIFAR: 16, 32, 64 filters, shortcuts without parameters; 0.27 million parameters. See `vgg11`."""
    return _resnet((16, 32, 64), 3, _padding, n_classes, input_shape, width, dropout, filter_dropout)


def resnet56(n_classes=10, input_shape=(3, 32, 32), width=1.0, dropout=0.0, filter_dropout=0.0) -> ResNet:
    """ResNet-56 for CIFAR: as `resnet20` with nine blocks a stage instead of three; 0.85 million parameters."""
    return _resnet((16, 32, 64), 9, _padding, n_classes, input_shape, width, dropout, filter_dropout)


def _resnet(filters, blocks_per_stage, shortcut, n_classes, input_shape, width, dropout, filter_dropout) -> ResNet:
    n_in, *_ = _image_shape(input_shape)
    check_head(n_classes, dropout, filter_dropout)
    channels = scaled(filters, width)
    network = ResNet(channels, blocks_per_stage, shortcut, n_classes, n_in, dropout, filter_dropout)
    masked, skipped = {"conv1": ("bn1",)}, {}
    for name, block in network.named_modules():
        if isinstance(block, ResidualBlock):
            masked[f"{name}.conv1"] = (f"{name}.bn1",)
            masked[f"{name}.conv2"] = (f"{name}.bn2", name)  # and after the sum: a pruned channel gets no shortcut
            if isinstance(block.shortcut, nn.Sequential):
                skipped[f"{name}.shortcut.0"] = f"the shortcut of the sum in ResidualBlock {name!r}"
    return _finished(network, input_shape, masked, skipped)


def _image_shape(input_shape) -> list[int]:
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError(f"input_shape={check.shown(input_shape)} must be (C, H, W), the shape of one image.")
    return [check.integer("input_shape", value, low=1) for value in input_shape]


def _finished(network: nn.Module, input_shape, masked: dict, skipped: dict | None = None) -> nn.Module:
    put_masks(network, stated(masked, skipped, torch.zeros(2, *input_shape)))
    return network.to(memory_format=torch.channels_last)
