"""Cut the masked filters out of a network. Afterwards it is smaller and faster, and it computes the same.

A pruned filter costs as much as any other: the mask multiplies its output by zero after the work is done. `compact`
removes the filter itself: a row of the convolution, an entry of the batch norm, and the inputs of the layers that read it.
Channels that meet in a sum have to go together. Which ones these are, the trace has found out (`labels.Coupling`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from gst_tutorial import _arguments as check
from gst_tutorial.graph import trace
from gst_tutorial.graph.labels import TRANSPOSED, Coupling, Plan
from gst_tutorial.graph.make_prunable import put_masks, remove_masks
from gst_tutorial.graph.running import borrowed, shake, tensors_in
from gst_tutorial.masks import PrunableLayer, prunable_layers


def compact(model: nn.Module, *, skip_uncuttable: bool = False, example_input: Any = None) -> nn.Module:
    """Return a copy of `model` without its pruned filters, and without masks. `model` itself is not changed.

    With K of a layer's C filters kept, the convolution's weight `(C, C_in, ...)` becomes `(K, C_in, ...)`, its batch
    norm keeps K entries, and each layer that reads it loses C - K inputs: a convolution's weight `(C_out, C, ...)`
    becomes `(C_out, K, ...)`; a linear layer behind a flatten reads S numbers per channel, so its weight
    `(C_out, C * S)` becomes `(C_out, K * S)`. The output is the masked network's up to rounding, which is checked on the
    example: in evaluation mode, and in training mode where no dropout draws random numbers.

    Layers that are added together, as in residual networks, share their channels. Such a channel is cut from all of them
    once every layer that reads it finds it pruned. A channel that somebody still reads stays, and so does one that goes
    where it cannot be cut out: into the network's output, a group norm, a split at a given channel.

    The copy is an ordinary network of smaller layers. Call `make_prunable` on it, with an example, to prune it further;
    an optimizer has to be made anew.

    Args:
        model: a prunable network, see `make_prunable`.
        skip_uncuttable: cut what can be cut, and leave the mask on every other pruned filter instead of raising an error.
            Those layers are then `prunable_layers` of the copy, and their `mask.uncut` says why.
        example_input: a small batch of what the network reads. None: the one that `make_prunable` was given.

    Raises:
        ValueError: no masks, a layer with every filter pruned, or a pruned filter that cannot be cut out; the message
            says why.
    """
    check.flag("skip_uncuttable", skip_uncuttable)
    prefix, network, layers = opened(model)
    plan = plan_of(network, layers, example_input)

    cut, reasons = channels_to_cut(network, layers, plan)
    if difference(network, plan, cut):
        # The trace did not see something: find out which layers can be cut.
        cut, failed = _cut_one_by_one(network, layers, plan, cut)
        reasons |= failed
    if reasons and not skip_uncuttable:
        raise ValueError(next(iter(reasons.values())))
    smaller = without(network, plan.coupling, cut)
    if reasons:
        _mask_again(smaller, layers, plan, cut, reasons)
    return closed(model, prefix, smaller)


def opened(model: nn.Module) -> tuple[str, nn.Module, dict[str, PrunableLayer]]:
    """Return the name of the network that `make_prunable` was called on ("" for the model itself), it, and its layers.

    The model may be a wrapper around it; inside, modules have the names of the plan.
    """
    found = prunable_layers(model)
    if not found:
        raise ValueError("model has no filter masks; call make_prunable(model, example_input) first.")
    prefix = _prefix(found)
    network = model.get_submodule(prefix)
    return prefix, network, dict(prunable_layers(network))


def closed(model: nn.Module, prefix: str, network: nn.Module) -> nn.Module:
    """The network in a copy of what is wrapped around it."""
    if not prefix:
        return network
    wrapped = copy.deepcopy(model)
    wrapped.set_submodule(prefix, network)
    return wrapped


def _prefix(layers: dict[str, PrunableLayer]) -> str:
    """The name, in the given model, of the network that `make_prunable` was called on; "" if it is the model itself."""
    name, layer = next(iter(layers.items()))
    original = layer.mask.conv_name
    if name != original and not name.endswith("." + original):
        raise ValueError("model is a part of a prunable network; call compact on the whole network.")
    return name[: -len(original)].rstrip(".")


def plan_of(network: nn.Module, layers: dict[str, PrunableLayer], example: Any) -> Plan:
    """The plan that the masks came from; made now for a network of this package, or where an example is given."""
    plan = next(iter(layers.values())).mask.plan
    if plan.coupling is not None and example is None:
        return plan
    plain = copy.deepcopy(network)
    remove_masks(plain)
    examples = plan.examples if example is None else [example]
    with borrowed(plain) as run:
        return trace.follow(plain, run, [_fitting(each, plain) for each in examples])


def _fitting(example: Any, network: nn.Module) -> Any:
    """The example on the device of the network's weights, and of their type."""
    weight = next(network.parameters())

    def fit(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        return leaf.to(weight.device, weight.dtype if leaf.is_floating_point() else leaf.dtype)

    return tree_map(fit, example)


# --- which channels? --------------------------------------------------------------------------------------------------


def channels_to_cut(
    network, layers: dict[str, PrunableLayer], plan: Plan, unit: torch.Tensor | None = None
) -> tuple[torch.Tensor, dict[str, str]]:
    """Return which channels can be cut, a bool per number of a channel, and a reason for each layer that keeps a mask.

    `unit` is `units_of(network, plan.coupling)`, where that is known already.
    """
    coupling, unit = plan.coupling, units_of(network, plan.coupling) if unit is None else unit
    n = len(unit)
    pruned, misplaced = torch.zeros(n, dtype=torch.bool), []
    for name, layer in layers.items():
        planned = plan.placements.get(name)
        if planned is not None and tuple(site.module for site in planned.sites) == layer.mask.sites:
            pruned[channels_of(coupling, layer)] = ~layer.mask.kept.cpu()
        else:
            misplaced.append(name)
    stays: dict[int, str] = {}  # number of a unit -> why it has to stay
    told = torch.zeros(n, dtype=torch.bool)  # the units in `stays`

    def stay(channels: torch.Tensor, why: str) -> None:
        numbers = unit[channels]
        new = numbers[~told[numbers]].unique()
        told[new] = True
        stays.update(dict.fromkeys(new.tolist(), why))

    for channels, reason in coupling.fixed:
        stay(channels[channels > 0].long(), f"its output {reason}")
    read = torch.zeros(n, dtype=torch.bool)
    for axis in coupling.axes:
        if axis.reads:
            channels = axis.channels[axis.channels > 0].long()
            read[unit[channels]] = True
            stay(
                channels[~pruned[channels]],
                f"it shares channels with another layer that keeps them, which {axis.module!r} reads",
            )
    cut = read[unit] & ~told[unit]
    cut[0] = False
    _leave_something(coupling, unit, cut, stays)

    reasons = {}
    for name, layer in layers.items():
        own = channels_of(coupling, layer)
        left = (~layer.mask.kept.cpu() & ~cut[own]).nonzero().flatten()
        if len(left):
            why = stays.get(int(unit[own][left[0]]), "no layer reads it")
            if name in misplaced:
                why = "its mask is not behind the norm, which makes the zeros a constant"
            if not layer.mask.kept.any():
                why = "it has no filter left: nothing would reach the layers behind it"
            reasons[name] = _refusal(name, why)
    return cut, reasons


def channels_of(coupling: Coupling, layer: PrunableLayer) -> slice:
    first = coupling.first[layer.mask.conv_name]
    return slice(first, first + layer.mask.n_filters)


def units_of(network: nn.Module, coupling: Coupling) -> torch.Tensor:
    """For each channel the number of its unit: the channels that can only be cut together."""
    n = 1 + sum(network.get_submodule(name).out_channels for name in coupling.first)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs, seen = list(coupling.pairs), {}
    for axis in coupling.axes:
        # Weights that are used twice lose the same rows for both uses.
        before = seen.setdefault((axis.module, axis.tensor, axis.dim), axis.channels)
        both = (before > 0) & (axis.channels > 0)
        pairs.append(torch.stack([before[both], axis.channels[both]]))
        differing = (before > 0) != (axis.channels > 0)
        if differing.any():
            lost = torch.cat([before[differing], axis.channels[differing]])
            coupling.fixed.append((lost, "is read by weights that also read something else"))
    a, b = (torch.cat(pairs, 1) if pairs else torch.zeros(2, 0)).long().numpy()
    graph = coo_array(([True] * len(a), (a, b)), shape=(n, n))
    return torch.from_numpy(connected_components(graph, directed=False)[1]).long()


def _leave_something(coupling: Coupling, unit: torch.Tensor, cut: torch.Tensor, stays: dict[int, str]) -> None:
    """Keep the units without which a weight would have no row or no column left."""
    again = True
    while again:
        again = False
        for axis in coupling.axes:
            channels = axis.channels.long()
            if cut[channels].all():
                numbers = unit[channels].unique()
                cut[torch.isin(unit, numbers)] = False
                stays.update(dict.fromkeys(numbers.tolist(), f"nothing would be left of {axis.module!r}"))
                again = True


def _refusal(layer: str, why: str) -> str:
    return (
        f"Layer {layer!r} cannot be compacted: {why}. Restore the layer with restore_filters(model, {layer!r}), prune what "
        f"shares its channels, too, or leave it masked with skip_uncuttable=True."
    )


# --- cutting ----------------------------------------------------------------------------------------------------------


def without(network: nn.Module, coupling: Coupling, cut: torch.Tensor) -> nn.Module:
    """A copy of the network without masks and without these channels."""
    small = copy.deepcopy(network)
    remove_masks(small)
    _select(small, coupling, cut)
    return small


TOLERANCE = 1e-9  # of the largest output, in float64


def difference(network: nn.Module, plan: Plan, cut: torch.Tensor, change: Callable = without) -> str:
    """A sentence if the network without these channels computes something else than with their masks, or else "".

    What is meant by "without" is `change(network, coupling, channels)`, which returns a copy.

    Compared are float64 networks with random scales, shifts and statistics, in evaluation and in training mode.
    """
    masked = copy.deepcopy(network).double()
    shake(masked)
    for layer in prunable_layers(masked).values():
        layer.mask.mask[~cut[channels_of(plan.coupling, layer)]] = 1
    try:
        small = change(masked, plan.coupling, cut)
        for example, training in plan.paths:
            a, b = (_outputs(each, _fitting(example, masked), training) for each in (masked, small))
            if not all(torch.allclose(x, y, rtol=0, atol=TOLERANCE * float(x.abs().max())) for x, y in zip(a, b)):
                return (
                    f"without them the network gives another output in {'training' if training else 'evaluation'} mode"
                )
    except Exception as error:  # a forward pass that counts on the number of channels fails in its own way
        return " ".join(f"without them the network fails ({error})".split())[:300]
    return ""


class _WithoutDropout(TorchFunctionMode):
    """Leaves dropout out: with fewer channels it would draw other numbers."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return args[0] if "dropout" in getattr(function, "__name__", "") else function(*args, **(kwargs or {}))


@torch.no_grad()
def _outputs(network: nn.Module, example: Any, training: bool) -> list[torch.Tensor]:
    with borrowed(network) as run, _WithoutDropout():
        return [tensor for tensor in tensors_in(run(example, training)) if tensor.is_floating_point()]


def _cut_one_by_one(network, layers, plan: Plan, cut: torch.Tensor) -> tuple[torch.Tensor, dict[str, str]]:
    """Return the channels that can be cut after all, and a reason for each layer that cannot."""
    unit, done, reasons = units_of(network, plan.coupling), torch.zeros_like(cut), {}
    for name, layer in layers.items():
        own = torch.zeros_like(cut)
        own[channels_of(plan.coupling, layer)] = True
        more = cut & torch.isin(unit, unit[cut & own & ~done])
        if more.any():
            error = difference(network, plan, done | more)
            if error:
                reasons[name] = _refusal(name, error)
            else:
                done |= more
    return done, reasons


def _select(network: nn.Module, coupling: Coupling, cut: torch.Tensor) -> None:
    """Cut the channels out of every parameter and buffer of the network that has an entry for them."""
    smaller: dict[int, list] = {}  # id of a tensor -> the tensor, what is left of it
    done = set()
    for axis in coupling.axes:
        kept = ~cut[axis.channels.long()]
        if kept.all() or (axis.module, axis.tensor, axis.dim) in done:
            continue
        done.add((axis.module, axis.tensor, axis.dim))
        tensor = getattr(network.get_submodule(axis.module), axis.tensor)
        entry = smaller.setdefault(id(tensor), [tensor, tensor.detach()])
        entry[1] = entry[1].index_select(axis.dim, kept.nonzero().flatten().to(tensor.device))
    for module in network.modules():  # all of them, since modules may share a tensor
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if id(tensor) in smaller:
                    left = smaller[id(tensor)][1]
                    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
                        left = left.contiguous(memory_format=torch.channels_last)  # fast where the original was
                    if isinstance(tensor, nn.Parameter):
                        left = nn.Parameter(left, requires_grad=tensor.requires_grad)
                    tensors[name] = left
                    _note_sizes(module)


def _note_sizes(module: nn.Module) -> None:
    """Correct the sizes that a module keeps beside its weights."""
    weight = module._parameters.get("weight")
    if isinstance(module, nn.modules.conv._ConvNd):
        rows, columns = weight.shape[:2]
        if isinstance(module, TRANSPOSED):
            module.in_channels, module.out_channels = rows, columns * module.groups
        elif module.groups > 1:  # depthwise: as many groups as channels
            module.groups = module.in_channels = rows // (module.out_channels // module.in_channels)
            module.out_channels = rows
        else:
            module.out_channels, module.in_channels = rows, columns
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = weight.shape
    elif hasattr(module, "num_features"):  # batch norms
        module.num_features = len(module.running_mean if weight is None else weight)


def _mask_again(network: nn.Module, layers, plan: Plan, cut: torch.Tensor, reasons: dict[str, str]) -> None:
    """Mask the pruned filters that could not be cut; the smaller network is followed anew for that."""
    with borrowed(network) as run:
        new = trace.follow(network, run, [_fitting(example, network) for example in plan.examples])
    new.placements = {name: new.placements[name] for name in layers if name in reasons}
    new.skipped = {}
    put_masks(network, new)
    for name, layer in prunable_layers(network).items():
        old = layers[name].mask
        layer.mask.mask = old.mask[~cut[channels_of(plan.coupling, layers[name])].to(old.mask.device)].clone()
        layer.mask.uncut = reasons[name]
