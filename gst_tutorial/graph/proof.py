"""Try out on the masked network itself whether the masks silence their filters, whatever the trace found before."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from gst_tutorial.graph.labels import Plan, Reader
from gst_tutorial.graph.running import Run, shake, tensors_in
from gst_tutorial.masks import PrunableLayer


def prove(model: nn.Module, run: Run, layers: dict[str, PrunableLayer], plan: Plan) -> None:
    """Prune half of every layer at random, and check that no pruned filter is read, counts, or gets a gradient.

    Scales, shifts and statistics are made random for that: as created, many of them are zero and would hide a mistake.

    Args:
        model: the network with its masks in place; afterwards no filter is pruned.
        run: as `running.borrowed` gives it for the network; it also restores the weights.
        layers: name -> `PrunableLayer`.
        plan: where the masks were put, and on which paths it was found.

    Raises:
        RuntimeError: one of the three fails; the message names the layer, and what it reaches.
    """
    generator = torch.Generator().manual_seed(0)
    for layer in layers.values():
        n = layer.mask.n_filters
        layer.mask.mask[torch.randperm(n, generator=generator)[: n // 2].to(layer.mask.mask.device)] = 0
    shake(model)
    for i, (example, training) in enumerate(plan.paths):
        run_path = functools.partial(_run_with_own_buffers, model, run, example, training)
        with _checked_readers(model, layers, plan, i):
            _check_gradients(run_path, layers, generator)
        _check_influence(run_path, layers)
    for layer in layers.values():
        layer.mask.mask[:] = 1


def _run_with_own_buffers(model: nn.Module, run: Run, example: Any, training: bool) -> Any:
    """Run on copies of all buffers: in training, statistics and a spectral norm's vectors differ from run to run."""
    buffers = [(m, name, t) for m in model.modules() for name, t in m._buffers.items() if t is not None]
    for module, name, tensor in buffers:
        module._buffers[name] = tensor.clone()
    try:
        return run(example, training)
    finally:
        for module, name, tensor in buffers:
            module._buffers[name] = tensor


def _failed(layer: str, what: str) -> RuntimeError:
    return RuntimeError(
        f"The mask of layer {layer!r} does not silence its filters: {what}. The network does something that "
        f"make_prunable did not see. Leave the layer out with layers=[...], and please report the network."
    )


def _own_parameters(layer: PrunableLayer) -> list[nn.Parameter]:
    """The parameters of the convolution and its norm that have a row for each filter."""
    modules = [layer.conv] if layer.norm is None else [layer.conv, layer.norm]
    return [p for m in modules for p in m.parameters() if p.dim() > 0 and p.shape[0] == layer.mask.n_filters]


@contextlib.contextmanager
def _checked_readers(model: nn.Module, layers: dict[str, PrunableLayer], plan: Plan, path: int) -> Iterator[None]:
    """Inside the block, whatever reads a layer on this path raises an error unless it sees zeros."""
    handles = []
    for name, layer in layers.items():
        for reader in plan.placements[name].readers:
            if reader.path == path:
                hook = _reads_zeros(name, reader, layer.mask.kept)
                handles.append(model.get_submodule(reader.module).register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _reads_zeros(name: str, reader: Reader, kept: torch.Tensor) -> Callable:
    """A hook for a module that reads layer `name`: where filters are pruned, its input has to be zero."""
    index = torch.tensor(reader.index)
    pruned = (index >= 0) & ~kept.cpu()[index.clamp_min(0)]

    def hook(module: nn.Module, inputs: tuple) -> None:
        x = inputs[0] if inputs else None
        if isinstance(x, torch.Tensor) and x.dim() > reader.dim and x.shape[reader.dim] == len(index):
            seen = x.detach().movedim(reader.dim, 0)[pruned.to(x.device)]
            if (seen != 0).any():
                raise _failed(name, f"{type(module).__name__} {reader.module!r} reads {seen.abs().max():.2g} there")

    return hook


def _check_gradients(run: Callable[[], Any], layers: dict[str, PrunableLayer], generator: torch.Generator) -> None:
    """Differentiate a random sum of the outputs: the rows of pruned filters must get exactly zero."""
    own = [(name, p) for name, layer in layers.items() for p in _own_parameters(layer)]
    frozen = [p for _, p in own if not p.requires_grad]
    try:
        for p in frozen:
            p.requires_grad_(True)
        with torch.enable_grad():
            outputs = [t for t in tensors_in(run()) if t.requires_grad]
            weights = [torch.randn(t.shape, generator=generator).to(t.device) for t in outputs]
            loss = sum((t.float() * weight).sum() for t, weight in zip(outputs, weights))
        gradients = torch.autograd.grad(loss, [p for _, p in own], allow_unused=True) if outputs else []
    finally:
        for p in frozen:
            p.requires_grad_(False)
    for (name, p), gradient in zip(own, gradients):
        if gradient is not None and (gradient[~layers[name].mask.kept.to(p.device)] != 0).any():
            raise _failed(name, "pruned filters get a gradient")


def _check_influence(run: Callable[[], Any], layers: dict[str, PrunableLayer]) -> None:
    """Change the weights of pruned filters, first in all layers together: no output may change by a bit."""
    outputs = _outputs(run)
    if _changes(run, outputs, layers.values()):
        for name, layer in layers.items():
            if _changes(run, outputs, [layer]):
                raise _failed(name, "its own weights still change the network's output")
        raise _failed(next(iter(layers)), "weights of pruned filters still change the network's output")


@torch.no_grad()
def _outputs(run: Callable[[], Any]) -> list[torch.Tensor]:
    return [tensor for tensor in tensors_in(run()) if tensor.is_floating_point()]


@torch.no_grad()
def _changes(run: Callable[[], Any], outputs: list[torch.Tensor], layers: Iterable[PrunableLayer]) -> bool:
    """Return True if other weights in the pruned filters of these layers change any output."""
    saved = []
    for layer in layers:
        for p in _own_parameters(layer):
            saved.append((p, p.detach().clone()))
            p[~layer.mask.kept.to(p.device)] += 3
    try:
        after = _outputs(run)
    finally:
        for p, before in saved:
            p.copy_(before)
    return any(not torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in zip(outputs, after))
