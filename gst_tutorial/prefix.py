"""Run a network from the middle: compute what lies before a layer once, and what lies behind it many times.

To try eighteen masks on the last layer, everything before it need not be computed eighteen times. A `Prefix` keeps the
outputs of the modules that end before the mask acts, and gives them back instead of computing them again. The rest of the
forward pass is the network's own code on the same numbers, so the result is the same to the last bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_map

from gst_tutorial.graph.running import Run, tensors_in
from gst_tutorial.masks import FilterMask


@dataclasses.dataclass
class _Call:
    """One call of a module in a forward pass, with the calls inside it."""

    module: nn.Module | None
    inside: list[_Call] = dataclasses.field(default_factory=list)
    ended: bool = False  # before a mask of the layer acted
    replaceable: bool = True  # all that it does is to return new tensors
    outputs: list[tuple[torch.Tensor, int]] = dataclasses.field(default_factory=list)  # each with its version

    @property
    def overwritten(self) -> bool:
        """True if the network wrote into the output later on, as an in-place ReLU does."""
        return any(tensor._version != version for tensor, version in self.outputs)

    def outermost(self) -> Iterator[_Call]:
        """The largest calls that can be replaced by what they returned."""
        for call in self.inside:
            if call.ended and call.replaceable:
                yield call
            else:
                yield from call.outermost()


class Prefix:
    """The part of a forward pass that no mask of one layer can change, computed once for each batch.

    Args:
        model: a prunable network.
        run: as `running.borrowed` gives it for the network, which also sees to it that nothing is left behind.
        sites: names of the modules whose outputs the layer's mask multiplies.
        x: two examples, `(2, ...)`, to find the order in which modules are called.
    """

    def __init__(self, model: nn.Module, run: Run, sites: Iterable[str], x: torch.Tensor):
        self.model, self.run = model, run
        sites, whole, open_calls = {model.get_submodule(site) for site in sites}, _Call(None), []
        open_calls.append(whole)
        reached = False

        def note(module: nn.Module, forward: Callable, *args, **kwargs) -> Any:
            nonlocal reached
            if reached:
                return forward(*args, **kwargs)
            call = _Call(module)
            open_calls[-1].inside.append(call)
            open_calls.append(call)
            given = [(tensor, tensor._version) for tensor in tensors_in((args, kwargs))]
            output = forward(*args, **kwargs)
            open_calls.pop()
            call.ended, reached = not reached, reached or module in sites
            call.replaceable = _only_returns(given, output)
            call.outputs = [(tensor, tensor._version) for tensor in tensors_in(output)]
            return output

        with _around_every_forward(model, note):
            run(x)
        # On the way to the mask, these modules are called in this order; what is called in between contains the mask.
        self.calls = [(call.module, call.overwritten) for call in whole.outermost()]
        self.kept: list[Any] = []

    def record(self, x: torch.Tensor) -> None:
        """Run the network on a batch as far as the mask, and remember what the modules before it return."""
        self.kept = []

        def remember(module: nn.Module, forward: Callable, *args, **kwargs) -> Any:
            position = len(self.kept)
            output = forward(*args, **kwargs)
            if position < len(self.calls) and module is self.calls[position][0]:
                self.kept.append(tree_map(_copy, output) if self.calls[position][1] else output)
                if len(self.kept) == len(self.calls):
                    raise _Complete
            return output

        with contextlib.suppress(_Complete), _around_every_forward(self.model, remember):
            self.run(x)
        if len(self.kept) < len(self.calls):  # these examples take another path: leave nothing out
            self.calls, self.kept = [], []

    def replay(self, x: torch.Tensor) -> Any:
        """Run the network on the batch last recorded, with the masks as they are now; give the output."""
        position = 0

        def recall(module: nn.Module, forward: Callable, *args, **kwargs) -> Any:
            nonlocal position
            if position == len(self.kept) or module is not self.calls[position][0]:
                return forward(*args, **kwargs)
            output, overwritten = self.kept[position], self.calls[position][1]
            position += 1
            return tree_map(_copy, output) if overwritten else output

        with _around_every_forward(self.model, recall):
            return self.run(x)


class _Complete(BaseException):
    """Ends a forward pass of which the rest is not needed; no error, so that no network catches it."""


def _copy(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


def _only_returns(given: list[tuple[torch.Tensor, int]], output: Any) -> bool:
    """Return True if a call wrote into none of its inputs, and gives tensors that share no memory with them."""
    if not all(leaf is None or isinstance(leaf, (torch.Tensor, bool, int, float)) for leaf in tree_flatten(output)[0]):
        return False
    memory = {tensor.untyped_storage().data_ptr() for tensor, _ in given}
    shared = any(tensor.untyped_storage().data_ptr() in memory for tensor in tensors_in(output))
    return not shared and all(tensor._version == version for tensor, version in given)


@contextlib.contextmanager
def _around_every_forward(model: nn.Module, around: Callable) -> Iterator[None]:
    """Inside the block, each module's forward is `around(module, forward, *args, **kwargs)`; its hooks stay as they are."""
    roots = [module for module in model.modules() if "has_masks" in module.__dict__]
    masks = [(module, module.has_masks) for module in roots]
    before = [
        (module, module.__dict__.get("forward"))
        for module in model.modules()
        if not isinstance(module, (FilterMask, torch.jit.ScriptModule))
    ]
    try:
        for root in roots:  # modules that are left out do not report that they applied their masks
            root.has_masks = ()
        for module, _ in before:
            module.__dict__["forward"] = functools.partial(around, module, module.forward)
        yield
    finally:
        for module, own in before:
            module.__dict__.pop("forward", None)
            if own is not None:
                module.__dict__["forward"] = own
        for root, kept in masks:
            root.has_masks = kept
            for mask in kept:
                mask.applied = None
