"""The tutorial's own networks: four convolutions and a linear head, small enough to train in seconds on a CPU."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.graph.labels import stated
from gst_tutorial.graph.make_prunable import put_masks


def conv1d_net(
    n_classes: int = 10,
    channels: Sequence[int] = (32, 32, 32, 64),
    strides: Sequence[int] = (2, 2, 1, 1),
    input_shape: Sequence[int] = (1, 40),
    dropout: float = 0.0,
    filter_dropout: float = 0.0,
    width: float = 1.0,
    pooled: bool = False,
) -> nn.Sequential:
    """A convolutional network for signals: the tutorial's default, about 19,000 parameters.

    Layers `conv1, bn1, relu1, ..., conv4, bn4, relu4`, then `flatten` and the linear `head`; kernels of 3 samples.

    Args:
        n_classes: outputs of the linear head.
        channels: filters of each convolution.
        strides: step of each convolution; 2 halves the length of the signal.
        input_shape: `(C, L)` of one signal.
        dropout: fraction of the head's inputs that are dropped in training.
        filter_dropout: fraction of the last convolution's filters that are dropped in training, per example.
        width: multiplies `channels`.
        pooled: the head reads the mean of each filter over all positions instead of every position separately.

    Returns:
        A prunable `nn.Sequential` from `(B, C, L)` to logits `(B, n_classes)`.

    Raises:
        ValueError, TypeError: an argument is out of its range.
    """
    kinds = nn.Conv1d, nn.BatchNorm1d, nn.Dropout1d, nn.AdaptiveAvgPool1d
    return _conv_net(kinds, n_classes, channels, strides, input_shape, dropout, filter_dropout, width, pooled)


def conv2d_net(
    n_classes: int = 10,
    channels: Sequence[int] = (16, 32, 32, 64),
    strides: Sequence[int] = (1, 2, 1, 2),
    input_shape: Sequence[int] = (1, 8, 8),
    dropout: float = 0.0,
    filter_dropout: float = 0.0,
    width: float = 1.0,
    pooled: bool = False,
) -> nn.Sequential:
    """The same network for images: 3x3 kernels, from `(B, C, H, W)` to logits `(B, n_classes)`. See `conv1d_net`."""
    kinds = nn.Conv2d, nn.BatchNorm2d, nn.Dropout2d, nn.AdaptiveAvgPool2d
    return _conv_net(kinds, n_classes, channels, strides, input_shape, dropout, filter_dropout, width, pooled)


def scaled(channels: Sequence[int], width: float) -> list[int]:
    """Numbers of filters times `width`, rounded, at least 1."""
    check.real("width", width, 0, open_low=True)
    return [max(1, round(width * n)) for n in channels]


def check_head(n_classes, dropout, filter_dropout) -> None:
    """Errors for the arguments that every network here has."""
    check.integer("n_classes", n_classes, 1, check.MOST)
    check.real("dropout", dropout, 0, 1, open_high=True)
    check.real("filter_dropout", filter_dropout, 0, 1, open_high=True)


def _conv_net(kinds, n_classes, channels, strides, input_shape, dropout, filter_dropout, width, pooled):
    conv, norm, drop_filters, pool = kinds
    for argument, values in (("channels", channels), ("strides", strides), ("input_shape", input_shape)):
        if not isinstance(values, (tuple, list)):
            raise TypeError(f"{argument}={check.shown(values)} must be a tuple of whole numbers.")
        for value in values:
            check.integer(argument, value, 1, check.MOST)
    if len(channels) != len(strides) or not channels:
        raise ValueError(
            f"channels={tuple(channels)} and strides={tuple(strides)} must have one entry per convolution."
        )
    shape = "(C, L)" if conv is nn.Conv1d else "(C, H, W)"
    if len(input_shape) != shape.count(",") + 1:
        raise ValueError(f"input_shape={tuple(input_shape)} must be {shape}.")
    channels = scaled(channels, width)
    check_head(n_classes, dropout, filter_dropout)
    check.flag("pooled", pooled)
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
    if pooled:
        layers["pool"], size = pool(1), [1]
    layers["flatten"] = nn.Flatten()
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    layers["head"] = nn.Linear(n_in * math.prod(size), n_classes)
    network = nn.Sequential(layers)
    masked = {f"conv{i}": (f"bn{i}",) for i in range(1, len(channels) + 1)}
    put_masks(network, stated(masked, None, torch.zeros(2, *input_shape)))
    return network
