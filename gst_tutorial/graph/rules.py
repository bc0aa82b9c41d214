"""The effect of each tensor operation on labels: one small function per kind of operation, and a table of their names.

A rule takes an `Operation` and returns the labels of its outputs. On the way it reports to the trace what it noticed: that
channels are read, that zeros become something else, that channels can only be cut together, or that they cannot be
followed any further. In the examples, the channels of a tensor are labelled 1, 2, 3, and a star
marks those that are no longer clean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from gst_tutorial.graph.labels import Labels, Value, squeezed
from gst_tutorial.graph.running import tensors_in

if TYPE_CHECKING:
    from gst_tutorial.graph.trace import Trace


class Unknown(Exception):
    """Raised by a rule where labels cannot be followed; the message continues "the channel ..."."""


@dataclasses.dataclass
class Operation:
    """One call of a PyTorch operator, seen from below autograd."""

    function: Any  # the operator, such as torch.ops.aten.add.Tensor
    args: tuple
    kwargs: dict
    tensors: list[torch.Tensor]  # all tensors among the arguments
    values: list[Value]  # what was known about them before the call
    outputs: list[torch.Tensor]
    trace: Trace

    @property
    def name(self) -> str:
        return plain_name(self.function)

    @property
    def labels(self) -> Labels | None:
        """The labels of the first tensor."""
        return self.values[0].labels

    def argument(self, name: str, default: Any = None) -> Any:
        names = [argument.name for argument in self.function._schema.arguments]
        return (dict(zip(names, self.args)) | self.kwargs).get(name, default)

    def unknown(self) -> Unknown:
        return Unknown(f"goes into {self.name}() in {self.trace.here()}")


Rule = Callable[[Operation], "list[Labels | None]"]


def plain_name(function: Any) -> str:
    """The operator's name without the underscore of its in-place form."""
    name = function._schema.name.partition("::")[2]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def rule_for(function: Any) -> Rule | None:
    """The rule for an operator; None for one that we know nothing about."""
    name = plain_name(function)
    if name in RULES:
        return RULES[name]
    for part, rule in RULES_BY_PART.items():
        if part in name:
            return rule
    return elementwise if torch.Tag.pointwise in function.tags else None


# --- operations that move numbers -------------------------------------------------------------------------------------


def copied(op: Operation) -> list[Labels | None]:
    """The same numbers at the same places.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: x.clone(), (1, 3, 2))
    '1 2 3'
    """
    return [op.labels]


def overwritten(op: Operation) -> list[Labels | None]:
    """The second tensor's numbers, in the first one's memory.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: torch.ones(1, 3, 2).copy_(x), (1, 3, 2))
    '1 2 3'
    """
    source = op.values[1].labels
    return [None if source is None else source.expand(op.outputs[0].shape)]


def moved(op: Operation) -> list[Labels | None]:
    """Numbers change places, and labels move with them: the operation itself is run on the labels.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: x.flatten(1), (1, 3, 2))
    '1 1 2 2 3 3'
    """
    name, trace = op.name, op.trace
    if name in ("index", "gather", "index_select") and any(value.labels is not None for value in op.values[1:]):
        raise Unknown(f"is an index in {trace.here()}")
    if name == "as_strided" and tuple(op.args[1]) != tuple(op.args[0].shape):
        raise op.unknown()  # else: the same numbers, laid out in memory in another order
    if op.function._schema.name.endswith("_") and name not in ("view", "as_strided", "constant_pad_nd"):
        raise Unknown(f"goes into {name}_() in {trace.here()}")
    channels = _run_on(op, lambda labels: labels.channel, nothing=0.0)
    states = _run_on(op, lambda labels: labels.clean.double(), nothing=1.0) if _some_unclean(op) else None
    found = [
        Labels.of(channel) if states is None else Labels(channel, states[i].bool())
        for i, channel in enumerate(channels)
    ]
    _couple_moved(op, found)
    return found


def _some_unclean(op: Operation) -> bool:
    return any(value.labels is not None and not squeezed(value.labels.clean).all() for value in op.values)


def _run_on(op: Operation, field: Callable[[Labels], torch.Tensor], nothing: float) -> list[torch.Tensor]:
    """Call the operation with a field of the labels in place of its tensors, and `nothing` where there are no labels."""
    values = {id(tensor): value for tensor, value in zip(op.tensors, op.values)}

    def in_place_of(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if values[id(leaf)].labels is not None:
            return field(values[id(leaf)].labels)
        if leaf.is_floating_point():
            return torch.tensor(nothing, dtype=torch.float64).expand(leaf.shape)
        return leaf.cpu()  # an index

    args, kwargs = tree_map(in_place_of, (list(op.args), dict(op.kwargs)))
    if op.name in ("view", "_unsafe_view"):  # expanded labels cannot be viewed in every shape
        return [args[0].reshape(args[1])]
    if op.name == "as_strided":
        return [args[0]]
    if op.name == "constant_pad_nd":
        args = args[:2]  # padding belongs to no channel
    return tensors_in(op.function(*args, **kwargs))


def padded(op: Operation) -> list[Labels | None]:
    """A border around each channel belongs to the channel. A border of zeros keeps it clean.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: torch.nn.functional.pad(x, (1, 1), value=0.5), (1, 3, 2))
    '1* 2* 3*'
    """
    labels, pad = op.labels, op.argument("pad")
    per_channel = None if labels is None or len(pad) // 2 > labels.channel.dim() - 2 else _one_per_channel(labels)
    if per_channel is None:
        return moved(op)
    found = _over_channels(per_channel, op.outputs[0].shape)
    return [found if op.argument("value", 0) == 0 else op.trace.changed(found, op.trace.here())]


def _one_per_channel(labels: Labels) -> Labels | None:
    """Labels of shape `(B, C)` if all numbers of a channel, dimensions 2 and up, have the same label."""
    if labels.channel.dim() < 2:
        return None
    rows = labels.each(squeezed).each(lambda field: field.flatten(2) if field.dim() > 2 else field.unsqueeze(2))
    if not all((field == field[..., :1]).all() for field in (rows.channel, rows.clean)):
        return None
    return rows.each(lambda field: field[..., 0]).expand(labels.channel.shape[:2])


def _over_channels(labels: Labels, shape) -> Labels:
    """Expand labels of shape `(B, C)` to `(B, C, ...)`."""
    return labels.each(lambda field: field.view(*field.shape, *[1] * (len(shape) - 2))).expand(shape)


def pooled(op: Operation) -> list[Labels | None]:
    """Each channel is pooled or resized on its own.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: torch.nn.functional.avg_pool1d(x, 2), (1, 3, 4))
    '1 2 3'
    """
    shape = op.outputs[0].shape
    if op.labels is None or op.labels.channel.dim() < 3 or op.labels.channel.shape[:2] != shape[:2]:
        raise op.unknown()
    per_channel = _one_per_channel(op.labels)
    if per_channel is None:
        raise op.unknown()
    return [_over_channels(per_channel, shape)]


# --- operations that mix numbers --------------------------------------------------------------------------------------


def convolved(op: Operation) -> list[Labels | None]:
    """A convolution reads its channels and ends their labels; a depthwise one passes each channel on.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: torch.conv1d(x, torch.ones(3, 1, 1), groups=3), (1, 3, 2))
    '1 2 3'
    """
    trace, labels, weight = op.trace, op.labels, op.tensors[1]
    trace.refuse(op.values[1:], f"is a weight of a convolution in {trace.here()}")
    transposed, groups, channels = op.argument("transposed", False), op.argument("groups", 1), op.tensors[0].shape[1]
    depthwise = groups == channels > 1 and not transposed
    if not depthwise:
        _couple_written(op, weight, groups, int(transposed))
    if labels is None:
        return [None]
    if depthwise and weight.dim() == op.tensors[0].dim():
        per_channel = _one_per_channel(labels)
        if per_channel is None:
            raise Unknown(f"meets others within one channel of {trace.here()}")
        times = op.outputs[0].shape[1] // channels
        own = per_channel.each(lambda field: field.repeat_interleave(times, dim=1))
        for tensor in op.tensors[1:]:
            trace.couple_stored(tensor, 0, own, 1)
        own = _over_channels(own, op.outputs[0].shape)
        return [own if op.argument("bias") is None else trace.changed(own, trace.here())]
    trace.read(labels, trace.here())
    if groups == 1:
        trace.couple_stored(weight, int(not transposed), labels, 1, reads=True)
    else:
        trace.fix(labels, f"is read by {trace.here()} in {groups} groups, which must stay equally large")
    return [None]


def _couple_written(op: Operation, weight: torch.Tensor, groups: int, dim: int) -> None:
    """Note that a convolution's weight and bias have an entry for each channel that it writes."""
    labels = op.trace.written_by_the_innermost_module()
    if labels is not None:
        if groups > 1:
            op.trace.fix(labels, f"is computed in {groups} groups, which must stay equally large")
        op.trace.couple_stored(weight, dim, labels, 0)
        for bias in op.tensors[2:]:
            op.trace.couple_stored(bias, 0, labels, 0)


def normalized(op: Operation) -> list[Labels | None]:
    """Batch norm works channel by channel, and its shift makes zeros something else.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: torch.batch_norm(x, None, None, None, None, True, 0, 1e-5, False), (2, 3, 2))
    '1* 2* 3*'
    """
    trace, labels = op.trace, op.labels
    trace.refuse(op.values[1:], f"is a scale or a shift of {op.name}() in {trace.here()}")
    if labels is None:
        return [None]
    rows = squeezed(labels.channel).transpose(0, 1).flatten(1)
    if not (rows == rows[:, :1]).all():
        return mixing_norm(op)
    for tensor in op.tensors[1:]:
        trace.couple_stored(tensor, 0, labels, 1)
    return [trace.changed(labels, trace.here())]


def mixing_norm(op: Operation) -> list[Labels | None]:
    """Group and layer norms take means over several channels, so they read them.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: torch.group_norm(x, 1), (1, 3, 2))
    '1* 2* 3*'
    """
    trace, labels = op.trace, op.labels
    trace.refuse(op.values[1:], f"is a scale or a shift of {op.name}() in {trace.here()}")
    if labels is None:
        return [None]
    trace.read(labels, trace.here())
    trace.fix(labels, f"goes into {trace.here()}, which takes means over several channels")
    return [trace.changed(labels, trace.here())]


def multiplied(op: Operation) -> list[Labels | None]:
    """A matrix product, such as a linear layer, reads the channels that it sums over and passes on the others.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: x @ torch.ones(2, 5), (3, 2), dim=0)
    '1 2 3'
    """
    trace, factors, bias = op.trace, list(zip(op.tensors, op.values)), None
    if op.name in ("addmm", "baddbmm", "addmv"):
        bias, factors = factors[0], factors[1:]
    elif op.name == "linear":
        bias, factors = (factors[2] if len(factors) > 2 else None), factors[:2]
    if bias is not None and bias[1].labels is not None:
        raise Unknown(f"is added in {op.name}() in {trace.here()}")
    (_, a), (other, b) = factors
    if a.origins and b.origins:
        raise Unknown(f"is multiplied with other data (attention) in {trace.here()}")
    on_the_left = a.labels is not None
    labels = a.labels if on_the_left else b.labels
    dim = -1 if on_the_left else -2 if labels.channel.dim() > 1 else -1
    first = labels.each(lambda field: field.narrow(dim, 0, 1))
    if (labels.channel == first.channel).all() and first.channel.dim() == op.outputs[0].dim():
        passed = first.expand(op.outputs[0].shape)  # each row belongs to one channel: no sum is over several
        return [passed if bias is None else trace.changed(passed, trace.here())]
    trace.read(labels, trace.here())
    if on_the_left and other.dim() == 2:
        weight = other if op.name == "linear" else other.t()  # (out, in)
        trace.couple_stored(weight, 1, labels, labels.channel.dim() - 1, reads=True)
    else:
        trace.fix(labels, f"goes into {op.name}() in {trace.here()}")
    return [None]


def reduced(op: Operation) -> list[Labels | None]:
    """A mean, sum or maximum within a channel is a number of that channel; one over several channels reads them.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: x.mean(2), (1, 3, 4))
    '1 2 3'
    """
    trace, labels = op.trace, op.labels
    if labels is None or any(value.labels is not None for value in op.values[1:]):
        raise op.unknown()
    dims, keep = op.argument("dim"), op.argument("keepdim", False)
    if dims is None or op.outputs[0].dim() == 0:
        dims = list(range(labels.channel.dim()))
    dims = sorted(dim % labels.channel.dim() for dim in ([dims] if isinstance(dims, int) else dims))
    channel = squeezed(labels.channel)
    low, high = torch.amin(channel, dims, True), torch.amax(channel, dims, True)
    clean = squeezed(labels.clean).double().amin(dims, True).bool()
    whole = low == high
    if not whole.all():
        mixed = labels.where(~whole.expand(labels.channel.shape))
        trace.read(mixed, trace.here())
        trace.fix(mixed, f"goes into {op.name}() over several channels in {trace.here()}")
    found = Labels(torch.where(whole, high, 0.0), clean)
    if not keep or op.outputs[0].dim() == 0:
        for dim in reversed(dims):
            found = found.each(lambda field, dim=dim: field.squeeze(dim))
    if op.name == "prod":
        found = trace.changed(found, trace.here())
    return [found.expand(output.shape) for output in op.outputs]


# --- operations number by number --------------------------------------------------------------------------------------


def elementwise(op: Operation) -> list[Labels | None]:
    """Numbers keep their places. They stay clean if the operation takes zero to zero, which is tried out.

    >>> from gst_tutorial.graph.trace import labels_after
    >>> labels_after(lambda x: torch.relu(x), (1, 3, 2)), labels_after(lambda x: torch.sigmoid(x), (1, 3, 2))
    ('1 2 3', '1* 2* 3*')
    """
    trace, shape = op.trace, op.outputs[0].shape
    _couple_met(op)
    # All that follows is done on labels whose expanded dimensions are cut to one; they broadcast as the tensors do.
    spread: list[Labels | None] = []
    for value in op.values:
        spread.append(None if value.labels is None else value.labels.expand(shape).each(squeezed))
    data = [i for i, value in enumerate(op.values) if value.origins and op.tensors[i].numel() > 0]
    if len(data) < 2:
        labels = next(labels for labels in spread if labels is not None)
        return [(labels if _keeps_zeros(op) else trace.changed(labels, trace.here())).expand(shape)]
    if len(data) > 2:
        raise Unknown(f"meets other data in {op.name}() in {trace.here()}")
    a, b = (spread[i] for i in data)
    if a is not None and b is not None and (a.channel == b.channel).all():  # such as x * sigmoid(x)
        if not _keeps_zeros(op):
            return [trace.changed(a, trace.here()).expand(shape)]
        clean = a.clean | b.clean if op.name in ("mul", "div") else a.clean & b.clean
        return [Labels(a.channel.expand(shape), clean.expand(shape))]
    return [_met(op, data, spread).expand(shape)]


SUMS = {"add", "sub", "rsub"}


def _met(op: Operation, data: list[int], spread: list[Labels | None]) -> Labels:
    """Labels where two tensors of data meet: for each convolution on either side, decide whether its labels go on."""
    trace = op.trace
    shapes = [labels.channel.shape for labels in spread if labels is not None]
    result = Labels.of(torch.zeros(torch.broadcast_shapes(*shapes), dtype=torch.float64))
    for i, j in (data, data[::-1]):
        for owner in trace.owners_in(spread[i]):
            mine = trace.of(owner, spread[i])
            own = spread[i].where(mine)
            other = spread[j]
            if other is not None and ((other.channel == own.channel) | ~mine).all():  # itself, on both sides
                kept = Labels(own.channel, own.clean & other.clean) if op.name in SUMS else own
            elif op.name in SUMS:
                kept = _summed(op, owner, own, i, j)
            elif op.name in ("mul", "div"):
                kept = _scaled(op, owner, own, i, j, other)
            else:
                trace.skip(owner, f"meets other data in {op.name}() in {trace.here()}")
                kept = None
            if kept is not None:
                result = kept.where(mine & (result.channel == 0), result)
    # The other labels go on where no mask depends on them, so that cutting still knows the channel.
    for labels in spread:
        if labels is not None:
            result = labels.where(trace.without_mask(labels) & (result.channel == 0), result)
            trace.fix(labels.where(result.channel == 0), f"ends in {op.name}() in {trace.here()}")
    return result


def _summed(op: Operation, owner: nn.Module, own: Labels, i: int, j: int) -> Labels | None:
    """The labels of a convolution's channels in a sum with other numbers; None if they end there."""
    trace, value, other = op.trace, op.values[i], op.values[j]
    derived = trace.number[owner] in other.origins
    if derived and other.labels is None:
        dim, _ = own.along_one_dimension()
        if dim is not None:
            tensor, offset = op.tensors[j], own.channel.dim() - op.tensors[j].dim()
            if dim < offset or tensor.shape[dim - offset] == 1 < own.channel.shape[dim]:
                trace.cause[owner] = f"a shift in {trace.here()}"
                return own.changed()  # a mean over the channels themselves, as in a norm written out
    if derived:  # it is the shortcut: the other side was computed from it
        trace.read(own, f"the sum in {trace.here()}")
        return None
    only_other = other.origins - trace.input_origins[owner]
    only_own = value.origins - other.origins
    # A single convolution on the other side of a longer branch is the shortcut's projection.
    if only_other and not len(only_other) == 1 < len(only_own):
        is_projection = len(only_own) == 1 < len(only_other)
        trace.skip(owner, f"the shortcut of the sum in {trace.here()}" if is_projection
                   else f"a sum with other channels, in {trace.here()}")  # fmt: skip
        return None
    # The last convolution of a residual branch: on its pruned channels the shortcut is not added either.
    trace.cause[owner] = f"the sum in {trace.here()}"
    return own.changed()


def _scaled(op: Operation, owner: nn.Module, own: Labels, i: int, j: int, other: Labels | None) -> Labels | None:
    """The labels of a convolution's channels in a product; None if the convolution is the gate that scales others."""
    trace = op.trace
    derived = trace.number[owner] in op.values[j].origins
    if op.name == "div" and i > j:
        trace.skip(owner, f"divides other channels in {trace.here()}")
        return None
    unclean = (~own.clean & (own.channel > 0)).any()
    others = [found for found in trace.owners_in(other) if found is not owner]
    if (unclean or others) and not derived:  # of two convolutions, the later one is the gate
        trace.gates.add(owner)
        trace.skip(owner, f"a gate: it multiplies other channels, in {trace.here()}")
        return None
    return own


def _keeps_zeros(op: Operation) -> bool:
    """Return True if zeros in the labelled places stay zeros, tried with two other numbers in all other places."""
    labelled = {id(tensor): value.labels is not None for tensor, value in zip(op.tensors, op.values)}
    for other in (0.37, -1.9):

        def sample(leaf: Any, other: float = other) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            if labelled.get(id(leaf), False):
                return torch.zeros(2, dtype=leaf.dtype)
            return torch.full((2,), other if leaf.is_floating_point() else other > 0, dtype=leaf.dtype)

        try:
            out = op.function(*tree_map(sample, list(op.args)), **tree_map(sample, dict(op.kwargs)))
        except Exception:  # some operations do not take two numbers alone: then we cannot know
            return False
        if any((tensor != 0).any() for tensor in tensors_in(out)[:1]):
            return False
    return True


# --- what can only be cut together ------------------------------------------------------------------------------------


def _couple_moved(op: Operation, found: list[Labels]) -> None:
    """A cut tensor must still fit the operation: all channels in one dimension, in the same order as before.

    A split at a given channel, for example, would be at the wrong place once channels are missing.
    """
    before = [value.labels for value in op.values if value.labels is not None]
    lines = [labels.along_one_dimension() for labels in before]
    after = [labels.along_one_dimension() for labels in found]
    fits = len(found) == 1 and all(dim is not None for dim, _ in (*lines, *after))
    if fits:
        order = torch.cat([line.channel.unique_consecutive() for _, line in lines])
        now = after[0][1].channel.unique_consecutive()
        # Numbers without a channel may come in between where tensors are concatenated, but no padding.
        fits = torch.equal(order[order > 0], now[now > 0]) and (op.name == "cat" or torch.equal(order, now))
    if not fits:
        for labels in before:
            op.trace.fix(labels, f"is taken apart by {op.name}() in {op.trace.here()}")


def _couple_met(op: Operation) -> None:
    """Channels at the same place of two tensors can only be cut together, and entries of parameters with them."""
    trace, shape = op.trace, op.outputs[0].shape
    lines: list[tuple[int, torch.Tensor]] = []  # dimension of the output, channels along it
    for tensor, value in zip(op.tensors, op.values):
        if value.labels is None:
            continue
        dim, line = value.labels.along_one_dimension()
        at = None if dim is None else dim + len(shape) - tensor.dim()
        if at is None or tensor.shape[dim] != shape[at]:
            trace.fix(value.labels, f"meets several channels at once in {trace.here()}")
        else:
            lines.append((at, line.channel))
    if not lines:
        return
    (at, first), *others = lines
    for dim, line in others:
        if dim == at:
            trace.couple(first, line, f"meets numbers without a channel in {trace.here()}")
        else:
            for each in (first, line):
                trace.fix(Labels.of(each), f"meets several channels at once in {trace.here()}")
    for tensor, value in zip(op.tensors, op.values):
        dim = at - len(shape) + tensor.dim()
        if value.labels is not None or dim < 0 or tensor.shape[dim] == 1:
            continue  # the same number for all channels
        if value.origins:
            trace.fix(Labels.of(first), f"meets other data in {op.name}() in {trace.here()}")
        elif value.stored:
            trace.couple_stored(tensor, dim, Labels.of(first), 0)


# --- the table --------------------------------------------------------------------------------------------------------

RULES: dict[str, Rule] = {
    **dict.fromkeys(("clone", "_to_copy", "detach", "alias", "contiguous", "lift_fresh", "lift"), copied),
    "copy": overwritten,
    **dict.fromkeys((
        "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "slice", "select", "unsqueeze", "squeeze",
        "expand", "split", "split_with_sizes", "chunk", "unbind", "narrow", "flatten", "cat", "stack", "roll", "flip",
        "pixel_shuffle", "pixel_unshuffle", "index_select", "index", "gather", "repeat", "channel_shuffle",
        "native_channel_shuffle", "im2col", "as_strided", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
        "replication_pad1d", "replication_pad2d", "replication_pad3d", "unfold", "rot90", "movedim", "diagonal",
    ), moved),
    "constant_pad_nd": padded,
    **dict.fromkeys(("convolution", "_convolution", "conv_depthwise2d", "mkldnn_convolution"), convolved),
    **dict.fromkeys(("native_group_norm", "native_layer_norm", "_fused_rms_norm", "rms_norm"), mixing_norm),
    **dict.fromkeys(("addmm", "mm", "bmm", "linear", "matmul", "baddbmm", "mv", "addmv", "dot"), multiplied),
    **dict.fromkeys((
        "mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "linalg_vector_norm", "norm", "prod",
    ), reduced),
    **dict.fromkeys((
        "hardswish", "hardtanh", "hardsigmoid", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus",
        "_prelu_kernel", "prelu", "relu6", "softshrink", "hardshrink", "log_sigmoid_forward", "threshold",
        "native_dropout", "rrelu_with_noise", "clamp", "relu", "sigmoid", "tanh", "add", "sub", "rsub", "mul", "div",
    ), elementwise),
}  # fmt: skip
# For the many variants of an operation, by a part of their names.
RULES_BY_PART: dict[str, Rule] = {
    "batch_norm": normalized, "max_pool": pooled, "avg_pool": pooled, "upsample_": pooled, "max_unpool": pooled,
}  # fmt: skip
# New tensors that take at most the size of their arguments, none of the numbers.
WITHOUT_DATA = {
    "empty_like", "zeros_like", "ones_like", "rand_like", "randn_like", "full_like", "new_empty", "new_zeros", "new_ones",
    "new_full", "new_empty_strided", "bernoulli", "fill", "zero", "uniform", "normal",
}  # fmt: skip
