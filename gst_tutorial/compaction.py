"""Cut the masked filters out of a network. Afterwards it is smaller and faster, and it computes the same.

A pruned filter costs as much as any other: the mask multiplies its output by zero after the work is done. `compact`
removes the filter itself: a row of the convolution, an entry of the batch norm, and the inputs that read it.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from gst_tutorial import _arguments as check
from gst_tutorial.masks import PrunableLayer, evaluation_mode, prunable_layers, remove_masks
from gst_tutorial.tracing import CONVOLUTIONS, call

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

# What may stand between a pruned filter and the layer that reads it: each takes a channel of zeros to a channel of
# zeros, and no other channel is changed by it. A sigmoid or a batch norm would turn the zeros into a constant.
POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.Tanh,
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
)  # fmt: skip
POOLING = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip
POINTWISE_FUNCTIONS = {
    torch.relu, F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish, F.mish, torch.tanh,
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, "relu", "relu_", "tanh", "contiguous",
}  # fmt: skip
POOLING_FUNCTIONS = {
    F.max_pool1d, F.max_pool2d, F.max_pool3d, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d,
    F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
}  # fmt: skip
FLATTEN_FUNCTIONS = {torch.flatten, "flatten"}


def compact(model: nn.Module, *, skip_uncuttable: bool = False, example_input: Any = None) -> nn.Module:
    """A copy of `model` without its pruned filters, and without masks. `model` itself is not changed.

    With K of a layer's C filters kept, the convolution's weight `(C, C_in, ...)` becomes `(K, C_in, ...)`, its batch
    norm keeps K entries, and each layer that reads it loses C - K inputs: a convolution's weight `(C_out, C, ...)`
    becomes `(C_out, K, ...)`; a linear layer behind a flatten reads S numbers per channel, so its weight
    `(C_out, C * S)` becomes `(C_out, K * S)`. The output is the masked network's up to rounding: in evaluation mode,
    and in training mode where no dropout draws random numbers.

    The copy is an ordinary network of smaller layers. Call `make_prunable` on it, with an example, to prune it further;
    an optimizer has to be made anew.

    The path from filter to reader is followed with `torch.fx`, and may hold pooling, flatten, dropout and activations
    that map 0 to 0. Sequential networks and torchvision's VGG have nothing else; in residual networks it is true of
    the convolutions inside a block, not of the block's last one: removing its filters removes channels from every layer on
    the same shortcut. With an `example_input` such coupled layers are cut, too, through the library torch-pruning: a channel
    goes where every layer that writes it has it pruned, and the result is compared with the masked network on the example.

    Args:
        model: a prunable network, see `make_prunable`.
        example_input: a small batch of what the network reads, to cut layers that are coupled by sums, concatenations or
            depthwise convolutions; needs the extra `coupled`. None cuts only what stands alone.
        skip_uncuttable: cut what can be cut, and leave the mask on every other pruned layer instead of an error. Those
            layers are then `prunable_layers` of the copy, and their `mask.uncut` says why.

    Raises:
        ImportError: an `example_input` without torch-pruning.
        ValueError: no masks, a layer with every filter pruned, or a pruned filter whose output goes where it cannot be
            cut out (an addition, a depthwise convolution, a sigmoid, the network's output, ...); the message says where.
    """
    check.flag("skip_uncuttable", skip_uncuttable)
    layers = prunable_layers(model)
    if not layers:
        raise ValueError("model has no filter masks; call make_prunable(model, example_input) first.")
    pruned = {name: layer for name, layer in layers.items() if not layer.mask.kept.all()}
    readers, uncut = _find_readers(model, pruned) if pruned else ({}, {})
    if uncut and not skip_uncuttable and example_input is None:
        raise next(iter(uncut.values()))

    small = copy.deepcopy(model)
    own = prunable_layers(small)
    for name, found in readers.items():
        kept = layers[name].mask.kept
        _keep_outputs(own[name], kept)
        for reader in found:
            _keep_inputs(small.get_submodule(reader), kept)
    for name, reason in uncut.items():
        own[name].mask.uncut = str(reason)
    remove_masks(small, keep=uncut)
    if uncut and example_input is not None:
        small = _cut_coupled(small, example_input)
        left = prunable_layers(small)
        if left and not skip_uncuttable:
            raise ValueError(next(iter(left.values())).mask.uncut)
    return small


# --- who reads a filter? ---------------------------------------------------------------------------------------------


class _Tracer(fx.Tracer):
    """Norms of other libraries are steps, too, as PyTorch's own are."""

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return isinstance(module, BATCH_NORMS) or super().is_leaf_module(module, path)


def _find_readers(
    model: nn.Module, layers: dict[str, PrunableLayer]
) -> tuple[dict[str, list[str]], dict[str, ValueError]]:
    """For each layer, the names of the convolutions and linear layers that read its filters, or why it cannot be cut."""
    parts = {
        name: (layer.conv.groups, _name_of(model, layer.norm), bool(layer.mask.kept.any()))
        for name, layer in layers.items()
    }
    model = copy.deepcopy(model)  # followed without its masks: they are no steps of its own
    remove_masks(model)
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # a forward pass with `if` on the data, a wrapper: tracing fails in many ways
        refusal = ValueError(
            f"model={type(model).__name__} cannot be compacted: torch.fx could not follow its forward pass ({error})."
        )
        refusal.__cause__ = error
        return {}, dict.fromkeys(layers, refusal)
    readers, uncut = {}, {}
    for name, (groups, norm, any_kept) in parts.items():
        try:
            if not any_kept:
                raise ValueError(f"Layer {name!r} has no filter left: nothing would reach the layers behind it.")
            last = _only_call(model, graph, name, name)
            if norm is not None:
                following = _only_call(model, graph, norm, name)
                if list(last.users) != [following]:
                    raise _refusal(name, "is read by others than its batch norm")
                last = following
            if groups != 1:
                raise _refusal(name, f"is computed in {groups} groups, which must stay equally large")
            readers[name] = _readers_of(last, model, graph, name)
        except ValueError as refusal:
            uncut[name] = refusal
    return readers, uncut


def _name_of(model: nn.Module, wanted: nn.Module | None) -> str | None:
    return next((name for name, module in model.named_modules() if module is wanted), None)


def _readers_of(start: fx.Node, model: nn.Module, graph: fx.Graph, layer: str) -> list[str]:
    found = []
    todo = [(user, False) for user in start.users]  # (what happens next, whether channels are flattened by then)
    while todo:
        node, flat = todo.pop()
        module = model.get_submodule(node.target) if node.op == "call_module" else None
        step = node.target if node.op in ("call_function", "call_method") else None
        if type(module) in POINTWISE or step in POINTWISE_FUNCTIONS:
            todo += [(user, flat) for user in node.users]
        elif not flat and (type(module) in POOLING or step in POOLING_FUNCTIONS):
            todo += [(user, False) for user in node.users]
        elif not flat and _flattens_all_but_the_batch(module, step, node):
            todo += [(user, True) for user in node.users]
        elif (flat and type(module) is nn.Linear) or (not flat and type(module) in CONVOLUTIONS and module.groups == 1):
            found.append(_only_call(model, graph, node.target, layer).target)
        else:
            raise _refusal(layer, f"goes into {_describe(node, module)}")
    return found


def _flattens_all_but_the_batch(module: nn.Module | None, step, node: fx.Node) -> bool:
    if type(module) is nn.Flatten:
        return (module.start_dim, module.end_dim) == (1, -1)
    if step not in FLATTEN_FUNCTIONS:
        return False
    arguments = dict(zip(("start_dim", "end_dim"), node.args[1:])) | node.kwargs
    return (arguments.get("start_dim", 0), arguments.get("end_dim", -1)) == (1, -1)


def _only_call(model: nn.Module, graph: fx.Graph, name: str, layer: str) -> fx.Node:
    """The one call of the module `name`; a module called twice serves two inputs and cannot be cut for one of them."""
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == name]
    if len(calls) != 1:
        raise _refusal(layer, f"passes {name!r}, which is called {len(calls)} times in a forward pass, not once")
    return calls[0]


def _describe(node: fx.Node, module: nn.Module | None) -> str:
    if node.op == "output":
        return "the network's output"
    if module is None:
        step = node.target if isinstance(node.target, str) else node.target.__name__
        return "an addition (a shortcut)" if step in ("add", "iadd", "add_") else f"{step}()"
    depthwise = "depthwise " if isinstance(module, CONVOLUTIONS) and module.groups > 1 else ""
    return f"the {depthwise}{type(module).__name__} {node.target!r}"


def _refusal(layer: str, reason: str) -> ValueError:
    return ValueError(
        f"The pruned filters of layer {layer!r} cannot be cut out: its output {reason}. compact removes filters that only "
        f"activations, pooling and flatten separate from a convolution or linear layer. Restore this layer with "
        f"restore_filters(model, {layer!r}), leave it masked (skip_uncuttable=True), or give an example_input: layers "
        "that write the same channels are then cut together, by torch-pruning."
    )


# --- coupled layers, through torch-pruning ---------------------------------------------------------------------------


def _cut_coupled(model: nn.Module, example: Any) -> nn.Module:
    """Cut, layer by layer, the channels that are pruned wherever they are written. What stays masked says why."""
    try:
        import torch_pruning
    except ImportError as error:
        raise ImportError('Coupled layers need torch-pruning: pip install "gst-tutorial[coupled]"') from error
    for name in list(prunable_layers(model)):
        layer = prunable_layers(model).get(name)
        if layer is None or layer.mask.kept.all():  # cut together with one before it
            continue
        smaller = copy.deepcopy(model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of parameters that it leaves alone, all of which are to be left alone
                _cut_with_its_group(smaller, name, example, torch_pruning)
            if not _same_outputs(model, smaller, example):
                raise ValueError("the cut changed an output")
        except Exception as error:  # torch-pruning fails in many ways on what it cannot follow
            reason = " ".join(str(error).split())[:200]
            layer.mask.uncut = f"The pruned filters of layer {name!r} cannot be cut out together with others: {reason}."
            continue
        model = smaller
    remove_masks(model, keep=[name for name, layer in prunable_layers(model).items() if not layer.mask.kept.all()])
    return model


def _cut_with_its_group(model: nn.Module, name: str, example: Any, torch_pruning) -> None:
    layers = prunable_layers(model)
    masked = {layer.conv: layer.mask for layer in layers.values()}
    conv = layers[name].conv
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example)
    cut_outputs = torch_pruning.prune_conv_out_channels
    write = (cut_outputs, torch_pruning.prune_linear_out_channels, torch_pruning.prune_depthwise_conv_out_channels)

    def written(channels: list[int]):
        """(module, indices) of all that writes these channels of `conv`."""
        group = graph.get_pruning_group(conv, cut_outputs, idxs=channels)
        found = [(dep.target.module, list(at)) for dep, at in group if dep.handler in write]
        # A depthwise convolution without a mask of its own only passes on what it reads.
        return group, [(m, at) for m, at in found if m in masked or getattr(m, "groups", 1) == 1]

    def pruned_everywhere(channels: list[int]) -> bool:
        return all(module in masked and not masked[module].kept[at].any() for module, at in written(channels)[1])

    channels = (~layers[name].mask.kept).nonzero().flatten().tolist()
    if not pruned_everywhere(channels):
        channels = [channel for channel in channels if pruned_everywhere([channel])]
    if not channels:
        raise ValueError("every channel that is pruned here is written by another layer that keeps it")
    group, writers = written(channels)
    for module, indices in writers:
        mask = masked[module]
        entries = [entry for other in model.modules() for entry in other.__dict__.get("masked_by", ())]
        if any(own is mask and index is not None for own, _, index in entries):
            raise ValueError("its channels are counted from another place in a concatenation")
        stay = torch.ones_like(mask.kept)
        stay[indices] = False
        if not stay.any():
            raise ValueError("no filter of the group would be left")
        mask.mask = mask.mask[stay]
    group.prune()


@torch.no_grad()
def _same_outputs(model: nn.Module, other: nn.Module, example: Any) -> bool:
    """Whether both give the same on the example, in evaluation mode, up to rounding."""
    with evaluation_mode(model), evaluation_mode(other):
        first, second = (call(each, example) for each in (model, other))
    return first.shape == second.shape and bool((first - second).abs().max() <= 1e-4 * first.abs().max())


# --- cutting ---------------------------------------------------------------------------------------------------------


def _keep_outputs(layer: PrunableLayer, kept: torch.Tensor) -> None:
    for module in (layer.conv, layer.norm):
        if module is not None:
            for name in ("weight", "bias", "running_mean", "running_var"):
                _select(module, name, kept, dim=0)
    layer.conv.out_channels = int(kept.sum())
    if layer.norm is not None:
        layer.norm.num_features = int(kept.sum())


def _keep_inputs(reader: nn.Module, kept: torch.Tensor) -> None:
    if isinstance(reader, nn.Linear):
        kept = kept.repeat_interleave(reader.in_features // len(kept))  # (C * S,): the columns of one channel adjoin
        reader.in_features = int(kept.sum())
    else:
        reader.in_channels = int(kept.sum())
    _select(reader, "weight", kept, dim=1)


def _select(module: nn.Module, name: str, kept: torch.Tensor, dim: int) -> None:
    tensor = getattr(module, name, None)
    if tensor is None:
        return
    selected = tensor.detach().index_select(dim, kept.nonzero().squeeze(1))
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        selected = selected.contiguous(memory_format=torch.channels_last)  # fast where the original was
    if isinstance(tensor, nn.Parameter):
        selected = nn.Parameter(selected, requires_grad=tensor.requires_grad)
    setattr(module, name, selected)
