"""Run somebody else's network without leaving a mark on it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_flatten

# A function `(example, training)` that gives the network's output. An example that is a tuple or list holds several
# arguments, one that is a dict holds named ones.
Run = Callable[[Any, bool], Any]


@contextlib.contextmanager
def borrowed(model: nn.Module) -> Iterator[Run]:
    """Give a function that runs `model`; at the end of the block restore modes, parameters, buffers and generators.

    Each run starts from the same random numbers, so that two runs draw the same dropout.
    """
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(tensor, tensor.detach().clone()) for tensor in model.parameters()]
    buffers = [
        (module, name, tensor, tensor.clone())
        for module in model.modules()
        for name, tensor in module._buffers.items()
        if tensor is not None
    ]
    devices = {tensor.device for tensor, _ in parameters if tensor.device.type == "cuda"}
    generators = random.getstate(), np.random.get_state()  # noqa: NPY002 (a user may still draw from it)

    def run(example: Any, training: bool = False) -> Any:
        model.train(training)
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        if isinstance(example, dict):
            return model(**example)
        return model(*example) if isinstance(example, (tuple, list)) else model(example)

    try:
        with torch.random.fork_rng([device.index for device in devices]), _eager():
            yield run
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])  # noqa: NPY002
        with torch.no_grad():
            for tensor, before in parameters:
                tensor.copy_(before)
            for module, name, tensor, before in buffers:
                module._buffers[name] = tensor.copy_(before)
        for module, mode in modes:
            module.training = mode


def _eager():
    """Run the modules themselves where a network is compiled: compiled code would not call our hooks."""
    stance = getattr(torch.compiler, "set_stance", None)  # since torch 2.6
    return stance("force_eager") if stance else contextlib.nullcontext()


def tensors_in(tree: Any, _seen: frozenset[int] = frozenset()) -> list[torch.Tensor]:
    """All tensors in nested tuples, lists, dicts and objects, such as the dataclasses of other libraries."""
    found = []
    for leaf in tree_flatten(tree)[0]:
        if isinstance(leaf, torch.Tensor):
            found.append(leaf)
        elif not isinstance(leaf, (nn.Module, type)) and hasattr(leaf, "__dict__") and id(leaf) not in _seen:
            found += tensors_in(dict(vars(leaf)), _seen | {id(leaf)})  # an object may contain itself
    return found


def shake(model: nn.Module) -> None:
    """Make all scales, shifts and running statistics random, in place.

    As created, many networks hide mistakes: a scale of zero switches a whole branch off, a shift of zero keeps zeros zero.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            is_mask = name.rpartition(".")[0].endswith("filter_mask")
            if tensor.numel() == max(tensor.shape, default=0) and tensor.is_floating_point() and not is_mask:
                values = torch.rand(tensor.shape, generator=generator) + 0.5
                if not name.endswith("var"):
                    values *= torch.randn(tensor.shape, generator=generator).sign()
                tensor.copy_(values)
