"""What happens to a filter's channel: where it must be silenced, who reads it, and whether silence is possible at all.

`follow` runs the network once in evaluation and once in training mode and watches every tensor operation, whatever the
forward pass looks like. Each number that a convolution gives carries a label, the filter that it belongs to. Operations
that move numbers move labels; operations that take channel by channel keep them; one that mixes channels is a *reader*,
and ends them. A label also says whether zeros in its place are still zeros (`clean`) or have become something else, as
behind the shift of a batch norm. Where a module gives unclean channels, its output is masked as well.

`gst_tutorial.proof` then puts the finding to the test on the masked network itself. Shown in chapter 10.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

# Operations by the name that PyTorch gives them, without the underscore of their in-place forms.
MOVING = {
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "slice", "select", "unsqueeze", "squeeze", "expand",
    "split", "split_with_sizes", "chunk", "unbind", "narrow", "flatten", "cat", "stack", "constant_pad_nd", "roll", "flip",
    "pixel_shuffle", "pixel_unshuffle", "index_select", "index", "gather", "repeat", "channel_shuffle",
    "native_channel_shuffle", "im2col", "as_strided", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
    "replication_pad1d", "replication_pad2d", "replication_pad3d", "unfold", "rot90", "movedim", "diagonal",
}  # fmt: skip
COPYING = {"clone", "_to_copy", "detach", "alias", "contiguous", "lift_fresh", "lift"}
ELEMENTWISE = {
    "hardswish", "hardtanh", "hardsigmoid", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus",
    "_prelu_kernel", "prelu", "relu6", "softshrink", "hardshrink", "log_sigmoid_forward", "threshold", "native_dropout",
    "rrelu_with_noise", "clamp", "relu", "sigmoid", "tanh", "add", "sub", "rsub", "mul", "div",
}  # fmt: skip
POOLING = (
    "max_pool", "avg_pool", "_adaptive_avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "fractional_max_pool",
    "upsample_", "_upsample_", "max_unpool", "mkldnn_max_pool", "mkldnn_adaptive_avg_pool",
)  # fmt: skip
REDUCTIONS = {
    "mean",
    "sum",
    "amax",
    "amin",
    "max",
    "min",
    "var",
    "std",
    "var_mean",
    "linalg_vector_norm",
    "norm",
    "prod",
}
SUMS = {"add", "sub", "rsub"}
MIXING_NORMS = {"native_group_norm", "native_layer_norm", "_fused_rms_norm", "rms_norm"}
PRODUCTS = {"addmm", "mm", "bmm", "linear", "matmul", "baddbmm", "mv", "addmv", "dot"}
WITHOUT_DATA = {
    "empty_like", "zeros_like", "ones_like", "rand_like", "randn_like", "full_like", "new_empty", "new_zeros", "new_ones",
    "new_full", "new_empty_strided", "bernoulli", "fill", "zero", "uniform", "normal",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Site:
    """A module whose output is multiplied by a mask.

    Attributes:
        module: its name.
        dim: the dimension of its output that runs over channels.
        index: for each position along `dim`, the filter it belongs to, -1 for none. None: position c is filter c.
    """

    module: str
    dim: int = 1
    index: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Reader:
    """A module that reads channels of a filter: its input must be zero where the filter is pruned. Fields as of `Site`."""

    module: str
    dim: int
    index: tuple[int, ...]


@dataclasses.dataclass
class Placement:
    """Where one convolution's mask goes.

    Attributes:
        norm: name of the batch norm that alone reads the convolution, or None. It holds the mask, else the convolution.
        sites: outputs that the mask multiplies, the holder's among them.
        readers: modules that must see zeros.
    """

    norm: str | None = None
    sites: list[Site] = dataclasses.field(default_factory=list)
    readers: list[Reader] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Plan:
    """What `follow` found: a `Placement` for each convolution that can be masked, a reason for each that cannot."""

    placements: dict[str, Placement]
    skipped: dict[str, str]


def stated(masked: dict[str, tuple[str, ...]], skipped: dict[str, str] | None = None) -> Plan:
    """A plan for a network that one knows: convolution -> its norm, then further modules whose outputs are masked."""
    placements = {name: Placement(sites[0], [Site(site) for site in sites]) for name, sites in masked.items()}
    return Plan(placements, skipped or {})


def call(model: nn.Module, example: Any) -> Any:
    """`model(example)`; a tuple is several arguments, a dict named ones."""
    if isinstance(example, dict):
        return model(**example)
    return model(*example) if isinstance(example, (tuple, list)) else model(example)


def follow(model: nn.Module, example: Any) -> Plan:
    """Find out for every convolution of `model` where a mask has to go.

    The network comes back as it was: modes, parameters, running statistics and random generators.

    Args:
        model: any network that runs on `example`, also one whose forward pass branches on the data.
        example: what the network reads; a small batch is enough.

    Raises:
        ValueError: the forward pass fails on the example.
    """
    unpaired: set[str] = set()
    while True:
        with untouched(model), torch.no_grad():
            model.eval()
            try:
                found = [_run(model, example, unpaired)]
            except Exception as error:
                raise ValueError(
                    f"example_input does not pass through model={type(model).__name__}: {type(error).__name__}: {error}"
                ) from error
            model.train()
            # One example of one pixel has no variance, and SyncBatchNorm trains on GPUs only: then evaluation has to do.
            with contextlib.suppress(Exception):
                found.append(_run(model, example, unpaired))
        norms = [{name: placement.norm for name, placement in plan.placements.items()} for plan in found]
        # A dropout between convolution and norm is nothing in evaluation: then the mask goes behind the convolution.
        differing = {name for name in norms[0] if norms[0][name] != norms[-1].get(name, norms[0][name])}
        if not differing - unpaired:
            return _joined(found)
        unpaired |= differing


def _run(model: nn.Module, example: Any, unpaired: set[str]) -> Plan:
    first = _Watch(model, unpaired)
    with first.attached(), first:
        call(model, example)
    trace = _Trace(model, first)
    for tensor in tensors_in(example):
        trace.store(tensor, _Value(origins=1))
    with trace.attached(), trace:
        output = call(model, example)
        trace.paused = True
    return trace.plan(output)


def _joined(plans: list[Plan]) -> Plan:
    """One plan for both modes: masked only if both allow it, at the sites of either."""
    skipped: dict[str, str] = {}
    for plan in plans:  # a convolution that only training reaches (an auxiliary head) is judged there
        for name, reason in plan.skipped.items():
            if not (reason == NOT_REACHED and any(name in other.placements for other in plans)):
                skipped.setdefault(name, reason)
    placements: dict[str, Placement] = {}
    for plan in plans:
        for name, new in plan.placements.items():
            if name in skipped:
                continue
            old = placements.setdefault(name, new)
            if old is new:
                continue
            old.sites += [site for site in new.sites if site not in old.sites]
            old.readers += [reader for reader in new.readers if reader not in old.readers]
    return Plan({name: found for name, found in placements.items() if name not in skipped}, skipped)


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(tensor, tensor.detach().clone()) for tensor in model.parameters()]
    buffers = [(module, name, tensor, tensor.clone()) for module in model.modules()
               for name, tensor in module._buffers.items() if tensor is not None]  # fmt: skip
    devices = {tensor.device for tensor, _ in parameters if tensor.device.type == "cuda"}
    try:
        with torch.random.fork_rng([device.index for device in devices]), _eager():
            yield
    finally:
        with torch.no_grad():
            for tensor, before in parameters:
                tensor.copy_(before)
            for module, name, tensor, before in buffers:
                module._buffers[name] = tensor.copy_(before)
        for module, mode in modes:
            module.training = mode


def _eager():
    """torch.compile would look through the watchers or past them: run the modules themselves."""
    stance = getattr(torch.compiler, "set_stance", None)  # since torch 2.6
    return stance("force_eager") if stance else contextlib.nullcontext()


def _key(tensor: torch.Tensor):
    """The same for two tensor objects that are the same numbers in the same order."""
    try:
        memory = tensor.untyped_storage().data_ptr()
    except Exception:  # a tensor without such a storage (sparse, on no device)
        return id(tensor)
    return memory, tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """All tensors in nested tuples, lists, dicts and objects with attributes."""
    found = []
    for leaf in tree_flatten(tree)[0]:
        if isinstance(leaf, torch.Tensor):
            found.append(leaf)
        elif not isinstance(leaf, nn.Module) and hasattr(leaf, "__dict__") and not isinstance(leaf, type):
            found += [value for value in vars(leaf).values() if isinstance(value, torch.Tensor)]
    return found


def _plain(func) -> str:
    name = func._schema.name.partition("::")[2]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


NOT_REACHED = "not reached by the forward pass of example_input"


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

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        with self.watching(func, args, kwargs) as done:
            output = func(*args, **kwargs)
            done(output)
        return output

    @contextlib.contextmanager
    def watching(self, func, args, kwargs) -> Iterator[Callable[[Any], None]]:
        raise NotImplementedError


class _Watch(_Modules):
    """The first pass: how often each module is called, and which convolutions only a batch norm reads."""

    def __init__(self, model: nn.Module, unpaired: set[str]):
        super().__init__(model)
        self.unpaired = unpaired
        self.calls: Counter[nn.Module] = Counter()
        self.outputs: dict[Any, nn.Module] = {}  # key of a convolution's output -> the convolution
        self.consumers: dict[nn.Module, list[nn.Module | None]] = {}  # the batch norm of each use; None: another use

    def entered(self, module: nn.Module, inputs) -> None:
        self.calls[module] += 1

    def left(self, module: nn.Module, output) -> None:
        if isinstance(module, CONVOLUTIONS) and isinstance(output, torch.Tensor):
            self.outputs[_key(output)] = module
            self.consumers.setdefault(module, [])

    @contextlib.contextmanager
    def watching(self, func, args, kwargs):
        for i, tensor in enumerate(tensors_in((args, kwargs))):
            conv = self.outputs.get(_key(tensor))
            if conv is not None:
                inside = self.stack[-1] if self.stack else None
                first = i == 0 and "batch_norm" in _plain(func)
                is_norm = first and getattr(inside, "num_features", None) == conv.out_channels
                self.consumers[conv].append(inside if is_norm and tensor.dim() > 1 else None)

        def done(output):
            for tensor in tensors_in(output):
                self.outputs.pop(_key(tensor), None)

        yield done

    def norm_of(self, conv: nn.Module) -> nn.Module | None:
        consumers = [] if self.names.get(conv) in self.unpaired else self.consumers.get(conv, [])
        alone = len(set(consumers)) == 1 and consumers[0] is not None and conv is not consumers[0]
        same = alone and len(consumers) == self.calls[conv] == self.calls[consumers[0]]
        return consumers[0] if same else None


@dataclasses.dataclass
class _Value:
    """What is known of a tensor.

    Attributes:
        origins: bit 0 if the network's input is among what it was computed from, bit k for the k-th convolution.
        labels: float64, of the tensor's shape (expanded): 0, or the number of a filter; negative if not clean.
        tainted: convolutions whose labels were lost in a write through another view.
    """

    origins: int = 0
    labels: torch.Tensor | None = None
    tainted: frozenset = frozenset()


class _Trace(_Modules):
    """The second pass: labels ride along, and each convolution collects sites, readers, or the reason why not."""

    def __init__(self, model: nn.Module, watch: _Watch):
        super().__init__(model)
        self.watch = watch
        self.values: dict[Any, _Value] = {}
        self.by_memory: dict[int, set] = {}
        self.placements: dict[nn.Module, Placement] = {}
        self.skipped: dict[nn.Module, str] = {}
        self.cause: dict[nn.Module, str] = {}  # what last made a convolution's zeros something else
        self.given: dict[nn.Module, torch.Tensor | None] = {}  # labels of what a module was given first
        self.gates: set[nn.Module] = set()
        self.read_by: dict[nn.Module, set[nn.Module | None]] = {}
        self.bit: dict[nn.Module, int] = {}
        self.input_origins: dict[nn.Module, int] = {}
        self.first_label: dict[nn.Module, int] = {}  # labels of filters 0 .. C - 1 are first .. first + C - 1
        self.owners: list[nn.Module] = []
        self.starts = torch.zeros(0, dtype=torch.float64)
        self.weights: dict[Any, nn.Module] = {}
        owner_of: dict[nn.Parameter, set] = {}
        for module in self.names:
            for parameter in module.parameters(recurse=False):
                owner_of.setdefault(parameter, set()).add(module)
        n = 1
        for module in self.names:
            if not isinstance(module, (*CONVOLUTIONS, *TRANSPOSED)):
                continue
            self.bit[module] = 1 << (len(self.bit) + 1)
            if isinstance(module, TRANSPOSED):
                self.skipped[module] = "a transposed convolution has no filters in the rows of its weight"
                continue
            self.first_label[module] = n
            self.owners.append(module)
            n += module.out_channels
            if module.groups == module.in_channels > 1:
                self.skipped[module] = "depthwise: its channels belong to the layer before"
            for parameter in module.parameters():
                others = owner_of.get(parameter, set()) - set(module.modules())
                if others:
                    self.skip(module, f"its weights are also those of {self.names[next(iter(others))]!r}")
                self.weights[_key(parameter)] = module
        self.starts = torch.tensor([self.first_label[owner] for owner in self.owners], dtype=torch.float64)

    # --- the record ---

    def skip(self, conv: nn.Module, reason: str) -> None:
        self.skipped.setdefault(conv, reason)

    def here(self) -> str:
        """The innermost module at work, as words."""
        names = [(self.names[module], type(module).__name__) for module in self.stack if module in self.names]
        return f"{names[-1][1]} {names[-1][0]!r}" if names and names[-1][0] else "the network's own forward"

    def value(self, tensor: torch.Tensor) -> _Value:
        return self.values.get(_key(tensor)) or _Value()

    def store(self, tensor: torch.Tensor, value: _Value) -> None:
        if tensor.numel() == 0:
            return
        key = _key(tensor)
        self.values[key] = value
        if isinstance(key, tuple):
            self.by_memory.setdefault(key[0], set()).add(key)

    def owners_in(self, labels: torch.Tensor | None, *, unclean: bool = False) -> list[nn.Module]:
        """The convolutions (none that is skipped already) with a label, or with an unclean label."""
        if labels is None:
            return []
        numbers = _small(labels).unique()
        numbers = (-numbers[numbers < 0]) if unclean else numbers[numbers != 0].abs()
        places = torch.searchsorted(self.starts, numbers.unique(), right=True) - 1
        owners = [self.owners[i] for i in places.unique().tolist()]
        return [owner for owner in owners if owner not in self.skipped]

    def of(self, owner: nn.Module, labels: torch.Tensor) -> torch.Tensor:
        """Bool, of the labels' shape: where they are the owner's."""
        first = self.first_label[owner]
        return (labels.abs() >= first) & (labels.abs() < first + owner.out_channels)

    def unclean(self, labels: torch.Tensor | None, cause: str) -> torch.Tensor | None:
        for owner in self.owners_in(labels):
            self.cause[owner] = cause
        return None if labels is None else -labels.abs()

    # --- modules ---

    def entered(self, module: nn.Module, inputs) -> None:
        self.given[module] = self.value(inputs[0]).labels if inputs and isinstance(inputs[0], torch.Tensor) else None

    def left(self, module: nn.Module, output) -> Any:
        if not isinstance(output, torch.Tensor):
            return None
        value = self.value(output)
        if isinstance(module, (*CONVOLUTIONS, *TRANSPOSED)):
            value = dataclasses.replace(value, origins=value.origins | self.bit[module])
            self.store(output, value)
        if module in self.first_label and module not in self.skipped:
            return self._labelled(module, output, value)
        unclean = [  # where a norm holds the mask, no module before it is masked
            owner
            for owner in self.owners_in(value.labels, unclean=True)
            if self.placements[owner].sites or self.watch.norm_of(owner) is module
        ]
        if not unclean or (self.watch.calls[module] > 1 and not self._is_paired(module, unclean)):
            return None
        dim, index = _along_one_dimension(value.labels)
        if dim is None:
            return None
        labels = value.labels
        for owner in unclean:
            own = index.abs() - self.first_label[owner]
            inside = (own >= 0) & (own < owner.out_channels)
            if not (index[inside] < 0).any():
                continue
            self._add_site(owner, module, dim, torch.where(inside, own, -1))
            labels = torch.where(self.of(owner, labels), labels.abs(), labels)
        return self._as_new(output, dataclasses.replace(value, labels=labels))

    def _is_paired(self, module: nn.Module, owners: list[nn.Module]) -> bool:
        return all(self.watch.norm_of(owner) is module for owner in owners)

    def _as_new(self, output: torch.Tensor, value: _Value) -> torch.Tensor:
        """What a mask gives: another tensor. Who holds the old one still sees what is in it."""
        new = output.clone()
        self.store(new, value)
        return new

    def _labelled(self, conv: nn.Module, output: torch.Tensor, value: _Value) -> torch.Tensor | None:
        if output.dim() != conv.weight.dim() or output.shape[1] != conv.out_channels:
            self.skip(conv, f"its output of shape {tuple(output.shape)} has no dimension 1 over its filters")
            return None
        first = self.first_label[conv]
        labels = torch.arange(first, first + conv.out_channels, dtype=torch.float64)
        labels = labels.view(1, -1, *[1] * (output.dim() - 2)).expand(output.shape)
        placement = self.placements.setdefault(conv, Placement())
        self.input_origins[conv] = self.input_origins.get(conv, 0) | (value.origins & ~self.bit[conv])
        norm = self.watch.norm_of(conv)
        if norm is not None and norm in self.names:
            placement.norm = self.names[norm]
            self.cause[conv] = f"its norm {self.names[norm]!r}"
            self.store(output, dataclasses.replace(value, labels=-labels))
            return None
        self._add_site(conv, conv, 1, torch.arange(conv.out_channels))
        return self._as_new(output, dataclasses.replace(value, labels=labels))

    def _add_site(self, owner: nn.Module, module: nn.Module, dim: int, index: torch.Tensor) -> None:
        index = index.long()
        whole = len(index) == owner.out_channels and torch.equal(index, torch.arange(owner.out_channels))
        site = Site(self.names[module], dim, None if whole else tuple(index.tolist()))
        sites = self.placements[owner].sites
        if site not in sites:
            sites.append(site)

    # --- operations ---

    @contextlib.contextmanager
    def watching(self, func, args, kwargs):
        tensors = tensors_in((args, kwargs))
        before = [self.value(tensor) for tensor in tensors]
        for tensor, value in zip(tensors, before):
            for owner in value.tainted:
                self.skip(owner, f"{self.here()} reads what was written through another view")
            conv = self.weights.get(_key(tensor))
            if conv is not None and conv not in self.stack:
                self.skip(conv, f"its weights are used outside of it, in {self.here()}")

        def done(output):
            paused, self.paused = self.paused, True
            try:
                self._after(func, args, kwargs, output, tensors, before)
            finally:
                self.paused = paused

        yield done

    def _after(self, func, args, kwargs, output, tensors, before) -> None:
        name = _plain(func)
        origins = 0
        if name not in WITHOUT_DATA:
            for value in before:
                origins |= value.origins
        outputs = [output] if isinstance(output, torch.Tensor) else [t for t in tensors_in(output)]
        labels: list[torch.Tensor | None] = [None] * len(outputs)
        if outputs and any(value.labels is not None for value in before) and name not in WITHOUT_DATA:
            try:
                labels = self._labels(name, func, args, kwargs, outputs, tensors, before)
            except _Unknown as unknown:
                self._refuse_all(before, str(unknown))
            except (
                RuntimeError,
                TypeError,
                ValueError,
                IndexError,
                NotImplementedError,
            ):  # labels cannot take that step
                self._refuse_all(before, f"goes into {name}() in {self.here()}")
            labels = [*labels, *[None] * len(outputs)][: len(outputs)]
        self._written(func, args, kwargs)
        for tensor, label in zip(outputs, labels):
            self.store(tensor, _Value(origins, None if label is None else _compressed(label.expand(tensor.shape))))
        for i, argument in enumerate(func._schema.arguments):  # copy_ and others that write into an argument
            if argument.alias_info is not None and argument.alias_info.is_write:
                written = args[i] if i < len(args) else kwargs.get(argument.name)
                if isinstance(written, torch.Tensor) and not any(written is tensor for tensor in outputs):
                    self.store(written, _Value(origins, None))

    def _written(self, func, args, kwargs) -> None:
        """Other views of memory that is written to: their labels are no longer known."""
        for i, argument in enumerate(func._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            written = args[i] if i < len(args) else kwargs.get(argument.name)
            for tensor in tensors_in(written):
                key = _key(tensor)
                if not isinstance(key, tuple):
                    continue
                old = self.values.get(key, _Value())
                source = [self.value(t) for t in tensors_in((args, kwargs))]
                touched = {owner for value in (old, *source) for owner in self.owners_in(value.labels)}
                for other in self.by_memory.get(key[0], set()):
                    if other != key and (touched or self.values[other].labels is not None):
                        value = self.values[other]
                        lost = touched | set(self.owners_in(value.labels)) | value.tainted
                        self.values[other] = _Value(value.origins | old.origins, None, frozenset(lost))

    def _refuse_all(self, values, reason: str) -> None:
        for value in values:
            for owner in self.owners_in(value.labels):
                self.skip(owner, reason)

    def _labels(self, name, func, args, kwargs, outputs, tensors, before) -> list[torch.Tensor | None]:
        if name in COPYING:
            return [before[0].labels]
        if name == "copy":
            return [None if before[1].labels is None else before[1].labels.expand(outputs[0].shape)]
        if name in MOVING:
            return self._moved(name, func, args, kwargs, tensors, before, outputs)
        if name in ("convolution", "_convolution", "conv_depthwise2d", "mkldnn_convolution"):
            return [self._convolved(tensors, before, outputs[0], args, kwargs)]
        if "batch_norm" in name or name in MIXING_NORMS:
            return [self._normalized(name, before)]
        if name in PRODUCTS:
            return [self._multiplied(name, tensors, before, outputs[0])]
        if name.startswith(POOLING):
            return [self._pooled(before[0], outputs[0], name)]
        if name in REDUCTIONS:
            return self._reduced(func, args, kwargs, before, outputs, name)
        if name in ELEMENTWISE or torch.Tag.pointwise in func.tags:
            return [self._elementwise(name, func, args, kwargs, tensors, before, outputs[0])]
        raise _Unknown(f"goes into {name}() in {self.here()}")

    def _moved(self, name, func, args, kwargs, tensors, before, outputs):
        by_key = {_key(tensor): value for tensor, value in zip(tensors, before)}
        if name in ("index", "gather", "index_select") and any(value.labels is not None for value in before[1:]):
            raise _Unknown(f"is an index in {self.here()}")

        def as_labels(leaf):
            if not isinstance(leaf, torch.Tensor):
                return leaf
            value = by_key[_key(leaf)]
            if value.labels is not None:
                return value.labels
            if leaf.is_floating_point():
                return torch.zeros((), dtype=torch.float64).expand(leaf.shape)
            return leaf.cpu()

        moved_args, moved_kwargs = tree_map(as_labels, (list(args), dict(kwargs)))
        if name in ("view", "_unsafe_view"):
            return [moved_args[0].reshape(moved_args[1])]
        if name == "as_strided":
            if tuple(moved_args[1]) != tuple(moved_args[0].shape):
                raise _Unknown(f"goes into {name}() in {self.here()}")
            return [moved_args[0]]  # the same numbers, said to lie in memory in another order
        if name == "constant_pad_nd":
            labels, pad, value = moved_args[0], moved_args[1], (moved_args[2] if len(moved_args) > 2 else 0)
            rows = labels.flatten(2) if labels.dim() > 2 else labels.unsqueeze(-1)
            if len(pad) // 2 <= labels.dim() - 2 and (rows == rows[..., :1]).all():  # a channel gets a border
                own = rows[..., 0].view(*labels.shape[:2], *[1] * (labels.dim() - 2)).expand(outputs[0].shape)
                return [own if value == 0 else self.unclean(own, self.here())]
            moved_args = moved_args[:2]  # the padding belongs to nobody
        if func._schema.name.endswith("_"):
            raise _Unknown(f"goes into {name}_() in {self.here()}")
        return tensors_in(func(*moved_args, **moved_kwargs))

    def _read(self, labels: torch.Tensor | None, text: str) -> None:
        """Channels end here, in a sum over them. They must be zeros where filters are pruned."""
        for owner in self.owners_in(labels, unclean=True):
            self.skip(
                owner, f"{self.cause.get(owner, 'an operation')} takes its zeros to other values, which {text} reads"
            )
        owners = self.owners_in(labels)
        leaf = self.stack[-1] if self.stack else None
        for owner in owners:
            self.read_by.setdefault(owner, set()).add(leaf)
        labels = self.given.get(leaf)
        if labels is None or self.watch.calls[leaf] != 1:
            return
        dim, index = _along_one_dimension(labels)
        if dim is None:
            return
        for owner in owners:
            own = index.abs() - self.first_label[owner]
            inside = (own >= 0) & (own < owner.out_channels)
            if inside.any() and not (index[inside] < 0).any():
                reader = Reader(self.names[leaf], dim, tuple(torch.where(inside, own, -1).long().tolist()))
                if reader not in self.placements[owner].readers:
                    self.placements[owner].readers.append(reader)

    def _convolved(self, tensors, before, output, args, kwargs):
        x, labels, weight = tensors[0], before[0].labels, tensors[1]
        self._refuse_all(before[1:], f"is a weight of a convolution in {self.here()}")
        if labels is None:
            return None
        arguments = dict(zip(("input", "weight", "bias", "stride", "padding", "dilation", "transposed", "output_padding",
                              "groups"), args)) | kwargs  # fmt: skip
        groups, channels = arguments.get("groups", 1), x.shape[1]
        if groups == channels > 1 and not arguments.get("transposed", False) and weight.dim() == x.dim():
            rows = labels.flatten(2) if labels.dim() > 2 else labels.unsqueeze(2)
            if not (rows == rows[..., :1]).all():
                raise _Unknown(f"meets others within one channel of {self.here()}")
            own = rows[..., 0].repeat_interleave(output.shape[1] // channels, dim=1)
            own = own.view(*own.shape, *[1] * (output.dim() - 2)).expand(output.shape)
            return own if arguments.get("bias") is None else self.unclean(own, self.here())
        self._read(labels, self.here())
        return None

    def _normalized(self, name, before):
        labels = before[0].labels
        self._refuse_all(before[1:], f"is a scale or a shift of {name}() in {self.here()}")
        if labels is None:
            return None
        if "batch_norm" in name:
            rows = _small(labels).transpose(0, 1).flatten(1)
            channelwise = (rows == rows[:, :1]).all()
        else:
            channelwise = False
        if not channelwise:  # its mean and variance are over several channels: it reads them
            self._read(labels, self.here())
        return self.unclean(labels, self.here())

    def _multiplied(self, name, tensors, before, output):
        factors = list(zip(tensors, before))
        bias = None
        if name in ("addmm", "baddbmm", "addmv"):
            bias, factors = factors[0], factors[1:]
        elif name == "linear":
            bias, factors = (factors[2] if len(factors) > 2 else None), factors[:2]
        if bias is not None and bias[1].labels is not None:
            raise _Unknown(f"is added in {name}() in {self.here()}")
        (_, a), (_, b) = factors
        if a.origins and b.origins:
            raise _Unknown(f"is multiplied with other data (attention) in {self.here()}")
        labels, dim = (a.labels, -1) if a.labels is not None else (b.labels, -2 if b.labels.dim() > 1 else -1)
        first = labels.narrow(dim, 0, 1)
        if (labels == first).all() and first.dim() == output.dim():
            passed = first.expand(output.shape)  # each row belongs to one filter: it is multiplied, not summed over
            return passed if bias is None else self.unclean(passed, self.here())
        self._read(labels, self.here())
        return None

    def _pooled(self, value, output, name):
        labels = value.labels
        if labels is None or labels.dim() < 3 or labels.shape[:2] != output.shape[:2]:
            raise _Unknown(f"goes into {name}() in {self.here()}")
        rows = labels.flatten(2)
        if not (rows == rows[..., :1]).all():
            raise _Unknown(f"goes into {name}() in {self.here()}")
        return rows[..., 0].view(*output.shape[:2], *[1] * (output.dim() - 2)).expand(output.shape)

    def _reduced(self, func, args, kwargs, before, outputs, name):
        labels = before[0].labels
        if labels is None or any(value.labels is not None for value in before[1:]):
            raise _Unknown(f"goes into {name}() in {self.here()}")
        if outputs[0].dim() == 0:
            low, high = labels.min(), labels.max()
        else:
            arguments = {argument.name: value for argument, value in zip(func._schema.arguments, args)} | kwargs
            dims, keep = arguments.get("dim"), arguments.get("keepdim", False)
            dims = list(range(labels.dim())) if dims is None else dims
            low, high = torch.amin(labels, dims, keep), torch.amax(labels, dims, keep)
        whole = low == high  # numbers of one filter were reduced to one number of that filter
        if not whole.all():
            gone = torch.where(_broadcast_back(whole, labels, args, kwargs, func), 0.0, labels)
            self._read(gone, self.here())
        found = torch.where(whole, high, 0.0)
        if name == "prod":
            found = self.unclean(found, self.here())
        return [found.expand(output.shape) for output in outputs]

    def _elementwise(self, name, func, args, kwargs, tensors, before, output):
        shape = output.shape
        spread = [None if value.labels is None else value.labels.expand(shape) for value in before]
        data = [i for i, value in enumerate(before) if value.origins and tensors[i].numel() > 0]
        if len(data) < 2:
            labels = next(labels for labels in spread if labels is not None)
            return (
                labels if self._keeps_zeros(func, args, kwargs, tensors, before) else self.unclean(labels, self.here())
            )
        if len(data) > 2 or len(before) < 2:
            raise _Unknown(f"meets other data in {name}() in {self.here()}")
        a, b = data
        if spread[a] is not None and spread[b] is not None:
            both = spread[a].abs() == spread[b].abs()
            if both.all():  # the same filters on both sides, as in x * sigmoid(x)
                if self._keeps_zeros(func, args, kwargs, tensors, before):
                    product = name in ("mul", "div")
                    clean = (spread[a] > 0) | (spread[b] > 0) if product else (spread[a] >= 0) & (spread[b] >= 0)
                    return torch.where(clean, spread[a].abs(), -spread[a].abs())
                return self.unclean(spread[a], self.here())
        result = torch.zeros(shape, dtype=torch.float64)
        for i, j in ((a, b), (b, a)):
            for owner in self.owners_in(spread[i]):
                mine = self.of(owner, spread[i])
                own = torch.where(mine, spread[i], 0.0)
                if spread[j] is not None and (spread[j].abs() == own.abs())[mine].all():
                    kept = own if name not in SUMS else torch.minimum(own, torch.where(mine, spread[j], 0.0))
                elif name in SUMS:
                    kept = self._summed(owner, own, before[i], before[j], tensors[j])
                elif name in ("mul", "div"):
                    kept = self._times(owner, own, name, i == b, before[i], before[j], spread[j])
                else:
                    self.skip(owner, f"meets other data in {name}() in {self.here()}")
                    kept = None
                if kept is not None:
                    result = torch.where(mine & (result == 0), kept, result)
        return result

    def _keeps_zeros(self, func, args, kwargs, tensors, before) -> bool:
        """Whether the elementwise operation takes zeros in the labelled places to zeros, tried on one number."""
        labelled = {_key(tensor): value.labels is not None for tensor, value in zip(tensors, before)}
        for other in (0.37, -1.9):

            def sample(leaf, other=other):
                if not isinstance(leaf, torch.Tensor):
                    return leaf
                if labelled.get(_key(leaf), False):
                    return torch.zeros(2, dtype=leaf.dtype)
                return torch.full((2,), other if leaf.is_floating_point() else other > 0, dtype=leaf.dtype)

            try:
                out = func(*tree_map(sample, list(args)), **tree_map(sample, dict(kwargs)))
            except Exception:
                return False
            if any((tensor != 0).any() for tensor in tensors_in(out)[:1]):
                return False
        return True

    def _summed(self, owner, own, value, other, other_tensor):
        """A filter's channels meet other numbers in a sum. Returns their labels in the sum, or None if they end there."""
        dim, _ = _along_one_dimension(own)
        if dim is not None and other.labels is None:
            spread = own.dim() - other_tensor.dim()
            if other.origins & self.bit[owner] and (
                dim < spread or other_tensor.shape[dim - spread] == 1 < own.shape[dim]
            ):
                self.cause[owner] = f"a shift in {self.here()}"
                return -own.abs()  # a mean of the channels themselves, as in a norm written out
        if other.origins & self.bit[owner]:
            self._read(own, f"the sum in {self.here()}")  # it is the shortcut: the other side was computed from it
            return None
        only_other = other.origins & ~self.input_origins[owner]
        only_own = value.origins & ~other.origins
        if only_other and not (only_other.bit_count() == 1 < only_own.bit_count()):
            is_shortcut = only_own.bit_count() == 1 < only_other.bit_count()
            self.skip(owner, f"the shortcut of the sum in {self.here()}" if is_shortcut
                      else f"a sum with other channels, in {self.here()}")  # fmt: skip
            return None
        # The last convolution of a residual branch: on its pruned channels the shortcut is not added either.
        self.cause[owner] = f"the sum in {self.here()}"
        return -own.abs()

    def _times(self, owner, own, name, is_second, value, other, other_labels):
        """A filter's channels are multiplied by other numbers: scaled by a gate, or themselves the gate."""
        derived = bool(other.origins & self.bit[owner])
        if name == "div" and is_second:
            self.skip(owner, f"divides other channels in {self.here()}")
            return None
        if (own < 0).any() and not derived:
            return self._gate(owner)
        others = [o for o in self.owners_in(other_labels) if o is not owner]
        if others and not derived:  # another convolution's channels: the later one is the gate
            return self._gate(owner)
        return own

    def _gate(self, owner) -> None:
        self.gates.add(owner)
        self.skip(owner, f"a gate: it multiplies other channels, in {self.here()}")

    # --- the finding ---

    def plan(self, output: Any) -> Plan:
        for tensor in tensors_in(output):
            value = self.value(tensor)
            for owner in [*self.owners_in(value.labels), *value.tainted]:
                self.skip(owner, "its channels are the network's output")
        inside = set(self.gates)
        changed = True
        while changed:  # a convolution that only a gate reads is part of the gate
            changed = False
            for owner, readers in self.read_by.items():
                if owner not in self.skipped and readers and readers <= inside:
                    self.skip(owner, "inside a gate")
                    inside.add(owner)
                    changed = True
        for owner in self.owners:
            if not self.watch.calls[owner]:
                self.skipped[owner] = NOT_REACHED
            elif owner not in self.skipped:
                if owner not in self.placements or not self.placements[owner].sites:
                    self.skip(owner, "no module gives its channels, so there is nowhere to put a mask")
                else:
                    reason = _shared_among_filters(owner)
                    if reason:
                        self.skip(owner, reason)
        placements = {self.names[o]: self.placements[o] for o in self.owners if o not in self.skipped}
        return Plan(placements, {self.names[owner]: reason for owner, reason in self.skipped.items()})


class _Unknown(Exception):
    """An operation through which labels cannot be followed."""


def _small(labels: torch.Tensor) -> torch.Tensor:
    """The same labels with expanded dimensions cut to one."""
    for dim, (size, stride) in enumerate(zip(labels.shape, labels.stride())):
        if stride == 0 and size > 1:
            labels = labels.narrow(dim, 0, 1)
    return labels


def _compressed(labels: torch.Tensor) -> torch.Tensor | None:
    """The same labels, expanded from the one dimension that they vary along where there is one; None if all are 0."""
    if not any(stride == 0 and size > 1 for size, stride in zip(labels.shape, labels.stride())):
        dim, index = _along_one_dimension(labels)
        if dim is not None:
            labels = index.view([-1 if i == dim else 1 for i in range(labels.dim())]).expand(labels.shape)
    return labels if _small(labels).any() else None


def _along_one_dimension(labels: torch.Tensor) -> tuple[int | None, torch.Tensor]:
    """The one dimension that labels vary along, and the labels along it; None if there are several."""
    if labels.dim() == 0:
        return None, labels
    small = _small(labels)
    dims = [1, *[dim for dim in range(labels.dim()) if dim != 1]] if labels.dim() > 1 else [0]
    for dim in dims:
        rows = small.transpose(0, dim).flatten(1) if small.dim() > 1 else small.unsqueeze(1)
        if (rows == rows[:, :1]).all():
            return dim, rows[:, 0].expand(labels.shape[dim]) if rows.shape[0] == 1 else rows[:, 0]
    return None, torch.zeros(0)


def _broadcast_back(whole, labels, args, kwargs, func):
    arguments = {argument.name: value for argument, value in zip(func._schema.arguments, args)} | kwargs
    dims = arguments.get("dim")
    if dims is None or whole.dim() == labels.dim():
        return whole.expand(labels.shape)
    dims = [dims] if isinstance(dims, int) else list(dims)
    for dim in sorted(dim % labels.dim() for dim in dims):
        whole = whole.unsqueeze(dim)
    return whole.expand(labels.shape)


def _shared_among_filters(conv: nn.Module) -> str | None:
    """A reason if one filter's own weights have a share in other filters, as under spectral norm; tried out."""
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
