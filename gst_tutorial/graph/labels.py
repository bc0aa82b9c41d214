"""The data types of the trace: what we know about a tensor, and what the trace finds out about a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

# --- about a tensor ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Labels:
    """A label for each number of a tensor: the channel it belongs to, and whether pruning makes it zero.

    Both fields have the tensor's shape. Nearly always the labels vary along one dimension only, and the fields are
    expanded from that dimension, so they take little memory.
    """

    # 0 where a number belongs to no channel, else the channel's number. Every output channel of every convolution in the
    # network has its own. Whole numbers in float64, because every operation that moves numbers can move those.
    channel: torch.Tensor
    # True where the number is zero once its filter is pruned. False where an operation turned these zeros into something
    # else, for example a batch norm that adds its shift: a mask has to be applied there.
    clean: torch.Tensor

    @classmethod
    def of(cls, channel: torch.Tensor, clean: bool = True) -> Labels:
        """The same state for all numbers."""
        return cls(channel, torch.tensor(clean).expand(channel.shape))

    def changed(self) -> Labels:
        """The same channels, where zeros would no longer be zeros."""
        return Labels.of(self.channel, clean=False)

    def each(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Labels:
        """The same function of both fields."""
        return Labels(function(self.channel), function(self.clean))

    def expand(self, shape) -> Labels:
        return self.each(lambda field: field.expand(shape))

    def where(self, condition: torch.Tensor, other: Labels | None = None) -> Labels:
        """These labels where `condition` is true, elsewhere those of `other` (None: no label)."""
        if other is None:
            return Labels(torch.where(condition, self.channel, 0.0), self.clean)
        return Labels(
            torch.where(condition, self.channel, other.channel), torch.where(condition, self.clean, other.clean)
        )

    def distinct(self, *, unclean: bool = False) -> torch.Tensor:
        """The channels that occur, each once, or only those that occur where they are not clean."""
        channel = squeezed(self.channel)
        if unclean:
            clean = squeezed(self.clean)
            if clean.all():
                return channel[:0].flatten()
            if clean.any():
                channel = self.channel[~self.clean]
        return channel.unique()

    def along_one_dimension(self) -> tuple[int | None, Labels]:
        """The one dimension that the labels vary along, and the labels along it; None where there are several."""
        dim, channel = along_one_dimension(self.channel)
        if dim is None:
            return None, self
        if squeezed(self.clean).numel() == 1:
            return dim, Labels(channel, self.clean.flatten()[:1].expand(channel.shape))
        rows = self.clean.transpose(0, dim).flatten(1) if self.clean.dim() > 1 else self.clean.unsqueeze(1)
        if not (rows == rows[:, :1]).all():
            return None, self
        return dim, Labels(channel, rows[:, 0])

    def compressed(self) -> Labels | None:
        """The same labels, expanded from the one dimension that they vary along; None if no number has a label."""
        if not any(stride == 0 and size > 1 for size, stride in zip(self.channel.shape, self.channel.stride())):
            dim, line = self.along_one_dimension()
            if dim is not None:
                shape = [-1 if i == dim else 1 for i in range(self.channel.dim())]
                whole = line.each(lambda field: field.view(shape)).expand(self.channel.shape)
                return whole if line.channel.any() else None
        return self if squeezed(self.channel).any() else None


def squeezed(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers with expanded dimensions cut to one."""
    for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride())):
        if stride == 0 and size > 1:
            tensor = tensor.narrow(dim, 0, 1)
    return tensor


def along_one_dimension(tensor: torch.Tensor) -> tuple[int | None, torch.Tensor]:
    """The one dimension that a tensor varies along (1, where there is a choice), and its values along it.

    >>> along_one_dimension(torch.tensor([[5., 6.], [5., 6.]]))
    (1, tensor([5., 6.]))
    """
    if tensor.dim() == 0:
        return None, tensor
    small = squeezed(tensor)
    dims = [1, *[dim for dim in range(tensor.dim()) if dim != 1]] if tensor.dim() > 1 else [0]
    for dim in dims:
        rows = small.transpose(0, dim).flatten(1) if small.dim() > 1 else small.unsqueeze(1)
        if (rows == rows[:, :1]).all():
            return dim, rows[:, 0].expand(tensor.shape[dim]) if rows.shape[0] == 1 else rows[:, 0]
    return None, tensor


@dataclasses.dataclass(frozen=True)
class Value:
    """The origin of a tensor's values: the filter that wrote each channel."""

    # The convolutions among the operations that it was computed from, by number, and 0 for the network's input.
    origins: frozenset[int] = frozenset()
    # The channel of each number; None if no number belongs to a channel.
    labels: Labels | None = None
    # Channels (each once) whose labels were lost, because the memory was written to through another view.
    lost: torch.Tensor | None = None
    # Whether it was computed from parameters or buffers: its size then is that of the network, and cutting must know it.
    stored: bool = False


# --- about a network --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Site:
    """A module whose output is multiplied by a mask."""

    module: str  # its name
    dim: int = 1  # the dimension of its output that runs over channels
    # For each position along `dim` the filter that it belongs to, -1 for none. None: position c is filter c.
    index: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Reader:
    """A module that mixes channels: its input has to be zero where a filter is pruned."""

    module: str  # its name
    dim: int  # the dimension of its first input that runs over channels
    index: tuple[int, ...]  # for each position along `dim` the filter that it belongs to, -1 for none
    path: int = 0  # which of the plan's paths it was found on


@dataclasses.dataclass
class Placement:
    """The places where the mask of one convolution is applied."""

    # The batch norm that alone reads the convolution, or None. It holds the mask, else the convolution does.
    norm: str | None = None
    # The outputs that the mask multiplies, the holder's included, and the modules that have to see zeros.
    sites: list[Site] = dataclasses.field(default_factory=list)
    readers: list[Reader] = dataclasses.field(default_factory=list)
    # The modules among `sites` that a forward pass reaches, for each path that the examples took.
    paths: list[frozenset[str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Axis:
    """A dimension of a parameter or buffer that runs over channels, so that it shrinks where channels are cut out."""

    module: str  # the module that owns the tensor
    tensor: str  # the tensor's name in the module
    dim: int  # its dimension
    channels: torch.Tensor  # (size of the dimension,): the channel of each position, 0 for none
    reads: bool  # True for the inputs of a layer, which mix channels; False for what has an entry per channel


@dataclasses.dataclass
class Coupling:
    """Which channels have to be cut together, and which cannot be cut at all."""

    first: dict[str, int]  # convolution -> the number of its first channel; those of its other filters follow
    axes: list[Axis] = dataclasses.field(default_factory=list)
    pairs: list[torch.Tensor] = dataclasses.field(default_factory=list)  # (2, n) each: channels that only go together
    fixed: list[tuple[torch.Tensor, str]] = dataclasses.field(default_factory=list)  # channels, why they have to stay


@dataclasses.dataclass
class Plan:
    """The findings of a trace of a network."""

    placements: dict[str, Placement]  # for each convolution that can be masked
    skipped: dict[str, str]  # for each other convolution, why it cannot be masked
    coupling: Coupling | None = None  # None for the networks of this package until `compact` needs it
    # What the network was run on: pairs of an example and whether it was run in training mode.
    paths: list[tuple[Any, bool]] = dataclasses.field(default_factory=list)

    @property
    def examples(self) -> list[Any]:
        """Each example of `paths` once."""
        return list({id(example): example for example, _ in self.paths}.values())

    def __deepcopy__(self, memo: dict) -> Plan:
        return self  # copies of a network share its plan, which does not change any more


def stated(masked: dict[str, tuple[str, ...]], skipped: dict[str, str] | None, example: Any) -> Plan:
    """Return the plan of a network that one knows: convolution -> its norm, then further modules that are masked."""
    placements = {
        name: Placement(sites[0], [Site(site) for site in sites], paths=[frozenset(sites)])
        for name, sites in masked.items()
    }
    return Plan(placements, skipped or {}, paths=[(example, False), (example, True)])
