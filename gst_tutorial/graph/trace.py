"""The driver: runs a network on an example, watches every tensor operation, and applies the rules to the labels.

`follow` runs the network in evaluation and in training mode, whatever its forward pass looks like. Each number that a
convolution writes carries a label. Operations that move numbers move labels; an operation that mixes channels reads them
and ends their labels. Where zeros become something else on the way (behind a batch norm's shift, say), the module that did
it is masked as well. `proof` then tries the plan out on the masked network.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gst_tutorial.graph.labels import (
    CONVOLUTIONS,
    TRANSPOSED,
    Axis,
    Coupling,
    Labels,
    Placement,
    Plan,
    Reader,
    Site,
    Value,
)  # fmt: skip
from gst_tutorial.graph.rules import WITHOUT_DATA, Operation, Unknown, plain_name, rule_for
from gst_tutorial.graph.running import Run, tensors_in

NOT_REACHED = "not reached by the forward pass of example_input"
INPUT = 0  # the origin of the network's input; convolutions count from 1


def follow(model: nn.Module, run: Run, examples: list[Any]) -> Plan:
    """Find out for every convolution of `model` where its mask has to go, and what would be cut with it.

    Args:
        model: any network, also one whose forward pass branches on the data.
        run: as `running.borrowed` gives it for the network.
        examples: small batches of what the network reads. Each mode must run on one of them at least.

    Raises:
        ValueError: the forward pass fails on the examples, in evaluation or in training mode.
    """
    unpaired: set[str] = set()
    while True:
        coupling, found, paths = Coupling({}), [], []
        for training in (False, True):
            for example in examples:
                try:
                    found.append(_run(model, run, example, training, unpaired, coupling))
                    paths.append((example, training))
                except Exception as error:  # anything may be wrong in somebody else's forward pass
                    failure = error
            if not any(path[1] == training for path in paths):
                raise _does_not_pass(model, training, failure) from failure
        norms: dict[str, set] = {}
        for plan in found:
            for name, placement in plan.placements.items():
                norms.setdefault(name, set()).add(placement.norm)
        # A dropout between convolution and norm is nothing in evaluation: then the mask goes behind the convolution.
        differing = {name for name, several in norms.items() if len(several) > 1}
        if not differing - unpaired:
            return _joined(found, coupling, paths)
        unpaired |= differing


def _does_not_pass(model: nn.Module, training: bool, error: Exception) -> ValueError:
    mode = " in training mode" if training else ""
    hint = (
        ". A mask has to hold in both modes. Give an example that passes (two images or more, say), or several with "
        "example_inputs=[...], such as one for evaluation and one with targets for training."
    )
    return ValueError(
        f"example_input does not pass through model={type(model).__name__}{mode}: {type(error).__name__}: {error}"
        f"{hint if training else ''}"
    )


@torch.no_grad()
def _run(model: nn.Module, run: Run, example: Any, training: bool, unpaired: set[str], coupling: Coupling) -> Plan:
    watch = Watch(model, unpaired)
    with watch.attached(), watch:
        run(example, training)
    trace = Trace(model, watch, coupling)
    for tensor in tensors_in(example):
        trace.store(tensor, Value(origins=frozenset({INPUT})))
    with trace.attached(), trace, _Leaving(trace):
        output = run(example, training)
        trace.paused = True
    return trace.plan(output)


def _joined(plans: list[Plan], coupling: Coupling, paths: list[tuple[Any, bool]]) -> Plan:
    """One plan for all paths: a convolution is masked only if all allow it, at the sites of each."""
    skipped: dict[str, str] = {}
    for plan in plans:  # a convolution that only training reaches (an auxiliary head) is judged there
        for name, reason in plan.skipped.items():
            if not (reason == NOT_REACHED and any(name in other.placements for other in plans)):
                skipped.setdefault(name, reason)
    placements: dict[str, Placement] = {}
    for i, plan in enumerate(plans):
        for name, new in plan.placements.items():
            if name not in skipped:
                old = placements.setdefault(name, Placement(new.norm))
                old.sites += [site for site in new.sites if site not in old.sites]
                old.readers += [dataclasses.replace(reader, path=i) for reader in new.readers]
                old.paths.append(frozenset(site.module for site in new.sites))
    return Plan(placements, skipped, coupling, paths)


def labels_after(function: Callable[[torch.Tensor], Any], shape: tuple[int, ...], dim: int = 1) -> str:
    """Return the labels along the channels of `function(x)`, where dimension `dim` of x runs over channels 1, 2, ...

    Unclean labels are marked with a star. This is for the examples in `rules`.
    """
    conv = nn.Conv1d(1, shape[dim], 1)
    trace = Trace(conv, Watch(conv, set()), Coupling({}))
    trace.placements[conv] = Placement()
    channels = torch.arange(1, shape[dim] + 1, dtype=torch.float64)
    x = torch.ones(shape)
    labels = Labels.of(channels.view([-1 if i == dim else 1 for i in range(len(shape))]).expand(shape))
    trace.store(x, Value(frozenset({1}), labels))
    with torch.no_grad(), trace:
        y = function(x)
    found = trace.value(y).labels
    if found is None:
        return "no labels"
    line = found.along_one_dimension()[1]
    return " ".join(
        f"{int(channel)}" if clean else f"{int(channel)}*" for channel, clean in zip(line.channel, line.clean)
    )


def _key(tensor: torch.Tensor) -> Any:
    """The same for two tensor objects that hold the same numbers in the same order in the same memory."""
    try:
        memory = tensor.untyped_storage().data_ptr()
    except Exception:  # a tensor without such a storage (sparse, or on no device)
        return id(tensor)
    return memory, tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype


class _Leaving(TorchFunctionMode):
    """Notices where numbers leave PyTorch, such as for NumPy: what comes back has no labels."""

    WAYS = ("numpy", "__array__", "__dlpack__", "tolist")

    def __init__(self, trace: Trace):
        super().__init__()
        self.trace = trace

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in self.WAYS and not self.trace.paused:
            reason = f"leaves PyTorch through {function.__name__}() in {self.trace.here()}"
            self.trace.refuse([self.trace.value(args[0])], reason)
        return function(*args, **(kwargs or {}))


class _Modules(TorchDispatchMode):
    """Sees every operation, and which modules are at work while it happens."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.names = {module: name for name, module in model.named_modules()}
        self.stack: list[nn.Module] = []
        self.paused = False

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        handles = []
        for module in self.names:
            # In front of the module's own hooks going in, behind them coming out, as the masks' will be.
            handles.append(module.register_forward_pre_hook(self._enter, prepend=True))
            handles.append(module.register_forward_hook(self._exit))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, inputs) -> None:
        self.stack.append(module)
        self.entered(module, inputs)

    def _exit(self, module: nn.Module, inputs, output):
        while self.stack and self.stack.pop() is not module:
            pass
        paused, self.paused = self.paused, True
        try:
            return self.left(module, output)
        finally:
            self.paused = paused

    def entered(self, module: nn.Module, inputs) -> None: ...

    def left(self, module: nn.Module, output) -> Any: ...

    def before(self, function, args, kwargs) -> Any: ...

    def after(self, function, args, kwargs, output, noted) -> None: ...

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        noted = self.before(func, args, kwargs)  # an operation in place changes what is known of its arguments
        output = func(*args, **kwargs)
        self.paused = True
        try:
            self.after(func, args, kwargs, output, noted)
        finally:
            self.paused = False
        return output


class Watch(_Modules):
    """The first pass: how often each module is called, and which convolutions only a batch norm reads."""

    def __init__(self, model: nn.Module, unpaired: set[str]):
        super().__init__(model)
        self.unpaired = unpaired  # convolutions that keep the mask themselves, since the modes differ in their norms
        self.calls: Counter[nn.Module] = Counter()
        self.outputs: dict[Any, nn.Module] = {}  # key of a convolution's output -> the convolution
        self.consumers: dict[nn.Module, list[nn.Module | None]] = {}  # the batch norm of each use; None: another use

    def entered(self, module: nn.Module, inputs) -> None:
        self.calls[module] += 1

    def left(self, module: nn.Module, output) -> None:
        if isinstance(module, CONVOLUTIONS) and isinstance(output, torch.Tensor):
            self.outputs[_key(output)] = module
            self.consumers.setdefault(module, [])

    def before(self, function, args, kwargs) -> None:
        for i, tensor in enumerate(tensors_in((args, kwargs))):
            conv = self.outputs.get(_key(tensor))
            if conv is not None:
                inside = self.stack[-1] if self.stack else None
                first = i == 0 and "batch_norm" in plain_name(function)
                is_norm = first and getattr(inside, "num_features", None) == conv.out_channels
                self.consumers[conv].append(inside if is_norm and tensor.dim() > 1 else None)

    def after(self, function, args, kwargs, output, noted) -> None:
        for tensor in tensors_in(output):  # the memory of a convolution's output may be used again
            self.outputs.pop(_key(tensor), None)

    def norm_of(self, conv: nn.Module) -> nn.Module | None:
        consumers = [] if self.names.get(conv) in self.unpaired else self.consumers.get(conv, [])
        alone = len(set(consumers)) == 1 and consumers[0] is not None and conv is not consumers[0]
        same = alone and len(consumers) == self.calls[conv] == self.calls[consumers[0]]
        return consumers[0] if same else None


class Trace(_Modules):
    """The second pass: labels ride along, and each convolution collects sites, readers, or the reason why not."""

    def __init__(self, model: nn.Module, watch: Watch, coupling: Coupling):
        super().__init__(model)
        self.watch, self.coupling = watch, coupling
        # About tensors.
        self.values: dict[Any, Value] = {}
        self.by_memory: dict[int, set] = {}  # memory -> keys of all tensors that were seen there
        self.tensors: dict[int, list[tuple[str, str, torch.Tensor]]] = {}  # memory -> module, name, stored tensor
        # About convolutions.
        self.owners: list[nn.Module] = []  # those whose output channels have labels, in the order of their numbers
        self.number: dict[nn.Module, int] = {}  # as in `Value.origins`
        self.first: dict[nn.Module, int] = {}  # the number of the first channel
        self.weights: dict[Any, nn.Module] = {}  # key of a weight -> its convolution
        self.placements: dict[nn.Module, Placement] = {}
        self.skipped: dict[nn.Module, str] = {}
        self.cause: dict[nn.Module, str] = {}  # what last made a convolution's zeros something else
        self.gates: set[nn.Module] = set()
        self.read_by: dict[nn.Module, set[nn.Module | None]] = {}
        self.input_origins: dict[nn.Module, frozenset[int]] = {}
        self.given: dict[nn.Module, Labels | None] = {}  # labels of a module's first input
        self._number_convolutions()
        for module, name in self.names.items():
            for attribute, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is not None and isinstance(key := _key(tensor), tuple):
                    self.tensors.setdefault(key[0], []).append((name, attribute, tensor))
                    self.store(tensor, Value(stored=True))

    def _number_convolutions(self) -> None:
        users: dict[nn.Parameter, set] = {}
        for module in self.names:
            for parameter in module.parameters(recurse=False):
                users.setdefault(parameter, set()).add(module)
        n = 1
        for module, name in self.names.items():
            if not isinstance(module, (*CONVOLUTIONS, *TRANSPOSED)):
                continue
            self.number[module] = len(self.number) + 1
            if isinstance(module, CONVOLUTIONS) and module.groups == module.in_channels > 1:
                self.skip(module, "depthwise: its channels belong to the layer before")
            self.owners.append(module)
            self.first[module] = self.coupling.first[name] = n
            n += module.out_channels
            if isinstance(module, TRANSPOSED):
                self.skip(module, "a transposed convolution has no filters in the rows of its weight")
            for parameter in module.parameters():
                others = users.get(parameter, set()) - set(module.modules())
                if others:
                    self.skip(module, f"its weights are also those of {self.names[next(iter(others))]!r}")
                self.weights[_key(parameter)] = module
        self.starts = torch.tensor([self.first[owner] for owner in self.owners], dtype=torch.float64)

    # --- what is known ---

    def here(self) -> str:
        """The innermost module at work, as words."""
        names = [(self.names[module], type(module).__name__) for module in self.stack if module in self.names]
        return f"{names[-1][1]} {names[-1][0]!r}" if names and names[-1][0] else "the network's own forward"

    def value(self, tensor: torch.Tensor) -> Value:
        return self.values.get(_key(tensor)) or Value()

    def store(self, tensor: torch.Tensor, value: Value) -> None:
        if tensor.numel() > 0:
            key = _key(tensor)
            self.values[key] = value
            if isinstance(key, tuple):
                self.by_memory.setdefault(key[0], set()).add(key)

    def _owners_of(self, channels: torch.Tensor) -> list[nn.Module]:
        places = torch.searchsorted(self.starts, channels[channels > 0], right=True) - 1
        return [self.owners[i] for i in places.unique().tolist()]

    def owners_in(self, labels: Labels | None, *, unclean: bool = False) -> list[nn.Module]:
        """The convolutions with a label, or with an unclean label, apart from those that get no mask."""
        if labels is None:
            return []
        return [owner for owner in self._owners_of(labels.distinct(unclean=unclean)) if owner not in self.skipped]

    def of(self, owner: nn.Module, labels: Labels) -> torch.Tensor:
        """Bool, of the labels' shape: where they are the owner's."""
        first = self.first[owner]
        return (labels.channel >= first) & (labels.channel < first + owner.out_channels)

    def without_mask(self, labels: Labels) -> torch.Tensor:
        """Bool, of the labels' shape: where they belong to a convolution that gets no mask."""
        found = torch.zeros_like(labels.channel, dtype=torch.bool)
        for owner in self._owners_of(labels.distinct()):
            if owner in self.skipped:
                found |= self.of(owner, labels)
        return found

    def written_by_the_innermost_module(self) -> Labels | None:
        """The labels, along one dimension, of what the module at work writes if it is a convolution."""
        conv = self.stack[-1] if self.stack else None
        return Labels.of(self._channels(conv)) if conv in self.first else None

    def _channels(self, conv: nn.Module) -> torch.Tensor:
        return torch.arange(self.first[conv], self.first[conv] + conv.out_channels, dtype=torch.float64)

    # --- what the rules report ---

    def skip(self, conv: nn.Module, reason: str) -> None:
        """Give the convolution no mask. The first reason counts."""
        self.skipped.setdefault(conv, reason)

    def refuse(self, values: list[Value], reason: str) -> None:
        """Give no mask to any convolution whose labels are in these values, and cut none of their channels."""
        for value in values:
            for owner in self.owners_in(value.labels):
                self.skip(owner, reason)
            if value.labels is not None:
                self.fix(value.labels, reason)

    def changed(self, labels: Labels, cause: str) -> Labels:
        """The labels where zeros become something else, because of `cause`."""
        for owner in self.owners_in(labels):
            self.cause[owner] = cause
        return labels.changed()

    def read(self, labels: Labels, text: str) -> None:
        """Note that channels end here, in a sum over them: they have to be zero where filters are pruned."""
        for owner in self.owners_in(labels, unclean=True):
            cause = self.cause.get(owner, "an operation")
            self.skip(owner, f"{cause} takes its zeros to other values, which {text} reads")
        owners = self.owners_in(labels)
        module = self.stack[-1] if self.stack else None
        for owner in owners:
            self.read_by.setdefault(owner, set()).add(module)
        # The proof checks the module's input, where the module reads just that and only once.
        given = self.given.get(module)
        dim, line = (None, None) if given is None or self.watch.calls[module] != 1 else given.along_one_dimension()
        if dim is None:
            return
        for owner in owners:
            inside = self.of(owner, line)
            if inside.any() and line.clean[inside].all():
                reader = Reader(self.names[module], dim, self._index(owner, line))
                if reader not in self.placements[owner].readers:
                    self.placements[owner].readers.append(reader)

    def fix(self, labels: Labels, reason: str) -> None:
        """Note that these channels cannot be cut out."""
        self.coupling.fixed.append((labels.distinct(), reason))

    def couple(self, a: torch.Tensor, b: torch.Tensor, reason: str) -> None:
        """Note that channels `a[i]` and `b[i]` can only be cut together; where one is 0, the other has to stay."""
        both = (a > 0) & (b > 0)
        if both.any():
            self.coupling.pairs.append(torch.stack([a[both], b[both]]))
        if not both.all():
            self.fix(Labels.of(torch.cat([a[~both], b[~both]])), reason)

    def couple_stored(self, tensor: torch.Tensor, dim: int, labels: Labels, along: int, *, reads: bool = False) -> None:
        """Note that dimension `dim` of a parameter runs over the channels that `labels` have along dimension `along`."""
        found_dim, line = labels.along_one_dimension()
        found = self._find_stored(tensor, dim)
        if found is None or found_dim != along or found[2].shape[found[3]] != line.channel.numel():
            self.fix(labels, f"meets weights that are computed in the forward pass, in {self.here()}")
        else:
            module, name, _, dim = found
            self.coupling.axes.append(Axis(module, name, dim, line.channel, reads))

    def _find_stored(self, tensor: torch.Tensor, dim: int) -> tuple[str, str, torch.Tensor, int] | None:
        """The parameter or buffer that a tensor is, or is a view of, and its dimension that the tensor's `dim` is."""
        key = _key(tensor)
        for module, name, stored in self.tensors.get(key[0] if isinstance(key, tuple) else 0, []):
            if stored.shape == tensor.shape and stored.stride() == tensor.stride():
                return module, name, stored, dim
            if stored.numel() == tensor.numel() == max(stored.shape) == tensor.shape[dim]:
                # One number per channel in another shape, such as weight.view(1, C, 1).
                return module, name, stored, list(stored.shape).index(stored.numel())
        return None

    # --- modules ---

    def entered(self, module: nn.Module, inputs) -> None:
        self.given[module] = self.value(inputs[0]).labels if inputs and isinstance(inputs[0], torch.Tensor) else None

    def left(self, module: nn.Module, output) -> Any:
        if not isinstance(output, torch.Tensor):
            return None
        value = self.value(output)
        if module in self.number:
            value = dataclasses.replace(value, origins=value.origins | {self.number[module]})
            self.store(output, value)
        if module in self.first and not getattr(module, "groups", 1) == module.in_channels > 1:
            return self._labelled(module, output, value)
        unclean = [  # where a norm holds the mask, no module before it is masked
            owner
            for owner in self.owners_in(value.labels, unclean=True)
            if self.placements[owner].sites or self.watch.norm_of(owner) is module
        ]
        paired = all(self.watch.norm_of(owner) is module for owner in unclean)
        if not unclean or (self.watch.calls[module] > 1 and not paired):
            return None
        dim, line = value.labels.along_one_dimension()
        if dim is None:
            return None
        labels = value.labels
        for owner in unclean:
            inside = self.of(owner, line)
            if not line.clean[inside].all():
                self._add_site(owner, module, dim, self._index(owner, line))
                mine = self.of(owner, labels)
                labels = Labels(labels.channel, labels.clean | mine)
        return self._masked(output, dataclasses.replace(value, labels=labels))

    def _masked(self, output: torch.Tensor, value: Value) -> torch.Tensor:
        """Return a copy, as a mask will do: whoever holds the module's own output still sees what is in it."""
        new = output.clone()
        self.store(new, value)
        return new

    def _labelled(self, conv: nn.Module, output: torch.Tensor, value: Value) -> torch.Tensor | None:
        """Label a convolution's output. Unclean if its norm holds the mask: what the norm gives will be masked."""
        if output.dim() != conv.weight.dim() or output.shape[1] != conv.out_channels:
            self.skip(conv, f"its output of shape {tuple(output.shape)} has no dimension 1 over its filters")
            self.coupling.fixed.append((self._channels(conv), "has channels in an unusual dimension"))
            return None
        labels = Labels.of(self._channels(conv).view(1, -1, *[1] * (output.dim() - 2)).expand(output.shape))
        if conv in self.skipped:
            self.store(output, dataclasses.replace(value, labels=labels.changed()))
            return None
        placement = self.placements.setdefault(conv, Placement())
        self.input_origins[conv] = self.input_origins.get(conv, frozenset()) | (value.origins - {self.number[conv]})
        norm = self.watch.norm_of(conv)
        if norm is not None and norm in self.names:
            placement.norm = self.names[norm]
            self.cause[conv] = f"its norm {self.names[norm]!r}"
            self.store(output, dataclasses.replace(value, labels=labels.changed()))
            return None
        self._add_site(conv, conv, 1, tuple(range(conv.out_channels)))
        return self._masked(output, dataclasses.replace(value, labels=labels))

    def _index(self, owner: nn.Module, line: Labels) -> tuple[int, ...]:
        """For each place along one dimension the owner's filter, or -1."""
        own = (line.channel - self.first[owner]).long()
        return tuple(torch.where(self.of(owner, line), own, -1).tolist())

    def _add_site(self, owner: nn.Module, module: nn.Module, dim: int, index: tuple[int, ...]) -> None:
        site = Site(self.names[module], dim, None if index == tuple(range(owner.out_channels)) else index)
        sites = self.placements[owner].sites
        if site not in sites:
            sites.append(site)

    # --- operations ---

    def before(self, function, args, kwargs) -> tuple[list[torch.Tensor], list[Value]]:
        tensors = tensors_in((args, kwargs))
        values = [self.value(tensor) for tensor in tensors]
        for tensor, value in zip(tensors, values):
            if value.lost is not None:
                here = self.here()
                self._refuse_channels(
                    value.lost,
                    f"{here} reads what was written through another view",
                    f"is written through another view, which {here} reads",
                )
            conv = self.weights.get(_key(tensor))
            if conv is not None and conv not in self.stack:
                self.skip(conv, f"its weights are used outside of it, in {self.here()}")
        return tensors, values

    def after(self, function, args, kwargs, output, noted) -> None:
        tensors, values = noted
        outputs = [output] if isinstance(output, torch.Tensor) else tensors_in(output)
        op = Operation(function, args, kwargs, tensors, values, outputs, self)
        takes_data = op.name not in WITHOUT_DATA
        labels: list[Labels | None] = []
        # A convolution is looked at even if it reads the network's input: its rows are those of its channels.
        labelled = any(value.labels is not None for value in values) or "convolution" in op.name
        if outputs and takes_data and labelled:
            labels = self._apply_rule(op)
        labels = [*labels, *[None] * len(outputs)][: len(outputs)]
        origins = frozenset().union(*[value.origins for value in values]) if takes_data else frozenset()
        stored = takes_data and any(value.stored for value in values)
        written = [tensor for tensor in tensors_in(self._written_arguments(op))]
        for tensor in written:
            self._lose_other_views(op, tensor)
        for tensor, label in zip(outputs, labels):
            label = None if label is None else label.expand(tensor.shape).compressed()
            self.store(tensor, Value(origins, label, stored=stored))
        for tensor in written:  # copy_ and others that write into an argument and return something else
            if not any(tensor is other for other in outputs):
                self.store(tensor, Value(origins, stored=stored))

    def _apply_rule(self, op: Operation) -> list[Labels | None]:
        rule = rule_for(op.function)
        try:
            if rule is None:
                raise op.unknown()
            return rule(op)
        except Unknown as unknown:
            self.refuse(op.values, str(unknown))
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):  # labels cannot take that step
            self.refuse(op.values, f"goes into {op.name}() in {self.here()}")
        return []

    @staticmethod
    def _written_arguments(op: Operation) -> list[Any]:
        return [
            op.argument(argument.name)
            for argument in op.function._schema.arguments
            if argument.alias_info is not None and argument.alias_info.is_write
        ]

    def _lose_other_views(self, op: Operation, tensor: torch.Tensor) -> None:
        """Other views of memory that is written to: their labels are no longer known."""
        key = _key(tensor)
        others = self.by_memory.get(key[0], set()) - {key} if isinstance(key, tuple) else ()
        old = self.values.get(key, Value())
        touched = [value.labels.distinct() for value in (old, *op.values) if value.labels is not None] if others else []
        for other in others:
            value = self.values[other]
            own = None if value.labels is None else value.labels.distinct()
            if touched or own is not None:
                lost = torch.cat(
                    [channels for channels in (*touched, own, value.lost) if channels is not None]
                ).unique()
                self.values[other] = Value(value.origins | old.origins, None, lost, value.stored)

    def _refuse_channels(self, channels: torch.Tensor, skipped: str, fixed: str) -> None:
        for owner in self._owners_of(channels):
            self.skip(owner, skipped)
        self.coupling.fixed.append((channels, fixed))

    # --- the finding ---

    def plan(self, output: Any) -> Plan:
        for tensor in tensors_in(output):
            value = self.value(tensor)
            channels = value.lost if value.labels is None else value.labels.distinct()
            if channels is not None:
                self._refuse_channels(channels, "its channels are the network's output", "is the network's output")
        self._skip_inside_gates()
        for owner in self.owners:
            if not self.watch.calls[owner]:
                self.skipped[owner] = NOT_REACHED
            elif owner not in self.skipped:
                if owner not in self.placements or not self.placements[owner].sites:
                    self.skip(owner, "no module gives its channels, so there is nowhere to put a mask")
                elif reason := _shared_among_filters(owner):
                    self.skip(owner, reason)
        placements = {self.names[o]: self.placements[o] for o in self.owners if o not in self.skipped}
        return Plan(placements, {self.names[owner]: reason for owner, reason in self.skipped.items()})

    def _skip_inside_gates(self) -> None:
        """A convolution that only a gate reads is part of the gate; so is one that only this one reads, and so on."""
        inside = set(self.gates)
        while True:
            more = [o for o, readers in self.read_by.items() if o not in self.skipped and readers and readers <= inside]
            for owner in more:
                self.skip(owner, "inside a gate")
            if not more:
                return
            inside.update(more)


def _shared_among_filters(conv: nn.Module) -> str | None:
    """A reason if each of a filter's own weights counts in all filters, as under spectral norm; tried out."""
    if type(conv) in CONVOLUTIONS and not conv._forward_pre_hooks and not nn.utils.parametrize.is_parametrized(conv):
        return None
    if conv.out_channels == 1:
        return None
    shape = (1, conv.in_channels, *[max(2 * k * d, 8) for k, d in zip(conv.kernel_size, conv.dilation)])
    x = torch.linspace(-1, 1, conv.in_channels).view(1, -1, *[1] * (len(shape) - 2)).expand(shape)
    x = x.to(conv.weight.device, conv.weight.dtype).contiguous()
    training = conv.training
    conv.eval()
    try:
        before = conv(x)
        parameters = [p for p in conv.parameters() if p.dim() > 0 and p.shape[0] == conv.out_channels]
        saved = [p.detach().clone() for p in parameters]
        for p in parameters:
            p[0] += 3
        after = conv(x)
        for p, old in zip(parameters, saved):
            p.copy_(old)
    except Exception as error:
        return f"its weights cannot be tried out: {error}"
    finally:
        conv.train(training)
    if not torch.equal(before[:, 1:], after[:, 1:]):
        return "each of its weights has a share in all of its filters (as under spectral norm)"
    return None
