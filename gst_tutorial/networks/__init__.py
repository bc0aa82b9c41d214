"""The networks of the book, and `NETWORKS`, the table of those that a config can name: another is one more line here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import nn

from gst_tutorial.networks.cifar import resnet18, resnet20, resnet56, vgg11
from gst_tutorial.networks.small import conv1d_net, conv2d_net

__all__ = ["NETWORKS", "Network", "conv1d_net", "conv2d_net", "resnet18", "resnet20", "resnet56", "vgg11"]


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that has a name.

    Attributes:
        build: function `(n_classes, input_shape=, width=, dropout=, filter_dropout=) -> nn.Module`, prunable.
        takes: "signals" `(B, C, L)` or "images" `(B, C, H, W)`.
        layers: those that events hit unless a config names others: the ones the book or the paper prunes.
    """

    build: Callable[..., nn.Module]
    takes: str
    layers: tuple[str, ...]


NETWORKS = {
    "conv1d": Network(conv1d_net, "signals", ("conv4",)),
    "conv2d": Network(conv2d_net, "images", ("conv4",)),
    "vgg11": Network(vgg11, "images", ("conv5", "conv6", "conv7", "conv8")),
    "resnet18": Network(resnet18, "images", ("layer4.0.conv1", "layer4.0.conv2", "layer4.1.conv1", "layer4.1.conv2")),
    "resnet20": Network(resnet20, "images", ("layer3.2.conv1", "layer3.2.conv2")),
    "resnet56": Network(resnet56, "images", ("layer3.8.conv1", "layer3.8.conv2")),
}
