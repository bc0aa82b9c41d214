"""Whether masks silence their filters: tried out on the masked network itself, whatever `tracing` found before."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn

from gst_tutorial.tracing import Plan, Reader, call, tensors_in, untouched


def prove(model: nn.Module, example: Any, layers: dict[str, Any], plan: Plan) -> None:
    """Prune half of every layer at random and see: no reader gets anything, no weight matters, no gradient arrives.

    Args:
        model: the network with masks in place; it comes back as it was.
        example: as of `follow`.
        layers: name -> `PrunableLayer`.
        plan: where `follow` put the masks.

    Raises:
        RuntimeError: one of the three fails; the message names the layer, and what it reaches.
    """
    generator = torch.Generator().manual_seed(0)
    with untouched(model):
        model.eval()
        for layer in layers.values():
            n = layer.mask.n_filters
            layer.mask.mask[torch.randperm(n, generator=generator)[: n // 2].to(layer.mask.mask.device)] = 0
        own = {name: _own_parameters(layer) for name, layer in layers.items()}
        _read_and_differentiate(model, example, layers, plan, own, generator)
        outputs = _outputs(model, example)  # again: without gradients, attention may take other kernels
        if _changed(model, example, outputs, own, layers):
            for name in layers:
                if _changed(model, example, outputs, {name: own[name]}, layers):
                    raise _failed(name, "its own weights still change the network's output")
            raise _failed(next(iter(layers)), "weights of pruned filters still change the network's output")


def _failed(layer: str, what: str) -> RuntimeError:
    return RuntimeError(
        f"The mask of layer {layer!r} does not silence its filters: {what}. The network does something that "
        f"make_prunable did not see. Leave the layer out with layers=[...], and please report the network."
    )


def _own_parameters(layer) -> list[nn.Parameter]:
    """Those with a row for each filter."""
    modules = [layer.conv] if layer.norm is None else [layer.conv, layer.norm]
    n = layer.mask.n_filters
    return [p for m in modules for p in m.parameters() if p.dim() > 0 and p.shape[0] == n]


@contextlib.contextmanager
def _same_random_numbers():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def _read_and_differentiate(model, example, layers, plan, own, generator) -> None:
    handles = []

    def checked(name: str, reader: Reader, kept: torch.Tensor):
        index = torch.tensor(reader.index)
        pruned = (index >= 0) & ~kept.cpu()[index.clamp_min(0)]

        def hook(module, inputs):
            x = inputs[0] if inputs else None
            if isinstance(x, torch.Tensor) and x.dim() > reader.dim and x.shape[reader.dim] == len(index):
                seen = x.detach().movedim(reader.dim, 0)[pruned.to(x.device)]
                if (seen != 0).any():
                    raise _failed(name, f"{type(module).__name__} {reader.module!r} reads {seen.abs().max():.2g} there")

        return hook

    for name in layers:
        for reader in plan.placements[name].readers:
            if reader.module not in ("",):
                module = model.get_submodule(reader.module)
                hook = checked(name, reader, layers[name].mask.kept)
                handles.append(module.register_forward_pre_hook(hook))
    parameters = [p for tensors in own.values() for p in tensors]
    frozen = [p for p in parameters if not p.requires_grad]
    try:
        for p in frozen:
            p.requires_grad_(True)
        with torch.enable_grad(), _same_random_numbers():
            outputs = [t for t in tensors_in(call(model, example)) if t.is_floating_point()]
            loss = 0
            for tensor in outputs:
                weights = torch.randn(tensor.shape, generator=generator).to(tensor.device)
                loss = loss + (tensor.float() * weights).sum()
            gradients = None
            if isinstance(loss, torch.Tensor) and loss.requires_grad:
                gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
        for p in frozen:
            p.requires_grad_(False)
    if gradients is not None:
        by_parameter = dict(zip(map(id, parameters), gradients))
        for name, layer in layers.items():
            for p in own[name]:
                gradient = by_parameter[id(p)]
                if gradient is not None and (gradient[~layer.mask.kept.to(p.device)] != 0).any():
                    raise _failed(name, "pruned filters get a gradient")


@torch.no_grad()
def _outputs(model, example) -> list[torch.Tensor]:
    with _same_random_numbers():
        return [tensor for tensor in tensors_in(call(model, example)) if tensor.is_floating_point()]


@torch.no_grad()
def _changed(model, example, outputs, own, layers) -> bool:
    """Whether other weights in the pruned filters of the layers in `own` change any output, to the bit."""
    saved = []
    for name, parameters in own.items():
        pruned = ~layers[name].mask.kept
        for p in parameters:
            saved.append((p, p.detach().clone()))
            p[pruned.to(p.device)] += 3
    try:
        after = _outputs(model, example)
    finally:
        for p, before in saved:
            p.copy_(before)
    return any(not torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in zip(outputs, after))
