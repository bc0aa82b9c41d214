"""The networks of the book, and `NETWORKS`, the table of networks that a config can name.

To add a network, add a line to the table. A config may also name a user-supplied function; `network` handles both.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gst_tutorial import references
from gst_tutorial._lazy import cifar, instability, make_prunable, masks, nn, small, torch

if TYPE_CHECKING:
    from gst_tutorial.networks.cifar import resnet18 as resnet18
    from gst_tutorial.networks.cifar import resnet20 as resnet20
    from gst_tutorial.networks.cifar import resnet56 as resnet56
    from gst_tutorial.networks.cifar import trained_vgg11 as trained_vgg11
    from gst_tutorial.networks.cifar import vgg11 as vgg11
    from gst_tutorial.networks.small import conv1d_net as conv1d_net
    from gst_tutorial.networks.small import conv2d_net as conv2d_net

__all__ = [
    "NETWORKS", "Network", "conv1d_net", "conv2d_net", "network", "resnet18", "resnet20", "resnet56", "trained_vgg11",
    "vgg11",
]  # fmt: skip
_SMALL = ("conv1d_net", "conv2d_net")


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(small if name in _SMALL else cifar, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that has a name.

    Attributes:
        build: function `(n_classes, input_shape=, width=, dropout=, filter_dropout=) -> nn.Module`, prunable.
        takes: "signals" `(B, C, L)` or "images" `(B, C, H, W)`; None if that is not known before it is built.
        layers: the layers that the book or the paper prunes; the default of a config.
    """

    build: Callable[..., nn.Module]
    takes: str | None
    layers: tuple[str, ...]


def _builder(name: str, **fixed: Any) -> Callable[..., nn.Module]:
    """A function that builds a network; its module is imported when it is first called."""
    return lambda *args, **options: __getattr__(name)(*args, **fixed, **options)


NETWORKS = {
    "conv1d": Network(_builder("conv1d_net"), "signals", ("conv4",)),
    "conv2d": Network(_builder("conv2d_net"), "images", ("conv4",)),
    "conv1d_pooled": Network(_builder("conv1d_net", pooled=True), "signals", ("conv4",)),
    "conv2d_pooled": Network(_builder("conv2d_net", pooled=True), "images", ("conv4",)),
    "vgg11": Network(_builder("vgg11"), "images", ("conv5", "conv6", "conv7", "conv8")),
    "resnet18": Network(
        _builder("resnet18"), "images", ("layer4.0.conv1", "layer4.0.conv2", "layer4.1.conv1", "layer4.1.conv2")
    ),
    "resnet20": Network(_builder("resnet20"), "images", ("layer3.2.conv1", "layer3.2.conv2")),
    "resnet56": Network(_builder("resnet56"), "images", ("layer3.8.conv1", "layer3.8.conv2")),
}


def network(name: str) -> Network:
    """Return the entry of `NETWORKS`, or one for the function that "package.module:function" names."""
    if not references.is_reference(name):
        return NETWORKS[name]
    return Network(functools.partial(_build, name), None, ())


def _build(name: str, n_classes: int, **offered) -> nn.Module:
    """Call a user-supplied function with the arguments it accepts; make the network prunable and check its logits."""
    function = references.function_of("model", name)
    # An argument that a config has set to another value than this default must not be ignored by the function.
    usual = {"width": 1.0, "dropout": 0.0, "filter_dropout": 0.0}
    needed = [argument for argument, value in usual.items() if offered[argument] != value]
    given = references.accepted(f"model={name!r}", function, offered, needed)
    takes = inspect.signature(function).parameters
    if "n_classes" in takes:
        given["n_classes"] = n_classes
    elif "num_classes" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values()):  # torchvision's and timm's
        given["num_classes"] = n_classes
    model = function(**given)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model={name!r} returned a {type(model).__name__}, not an nn.Module.")
    example = torch.randn((2, *offered["input_shape"]), generator=torch.Generator().manual_seed(0))
    if not masks.prunable_layers(model):
        make_prunable.make_prunable(model, example)
    instability.check_logits(model, example, n_classes, f"model={name!r}")
    return model
