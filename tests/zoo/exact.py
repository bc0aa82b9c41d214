"""Whether masks are exact, judged without what `make_prunable` knows.

Half of the filters of every layer are pruned; then their own parameters are changed wildly. The outputs must stay the
same to the bit, in evaluation and in training mode, and no gradient may arrive at those parameters. Where torch-pruning
is installed, its dependency graph says who reads a filter, and those readers must see zeros.
"""

import pytest
import torch
from torch import nn

import gst_tutorial as gst


def shaken(model):
    """Shifts, scales and running statistics of their own, so that nothing is zero or one by initialization."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() <= 1 and "original" not in name:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer += 0.3 * torch.randn(buffer.shape, generator=generator).to(buffer.dtype)
    return model


def own_parameters(layer):
    modules = [layer.conv] + ([layer.norm] if layer.norm is not None else [])
    n = layer.mask.n_filters
    return [p for module in modules for p in module.parameters() if p.dim() and p.shape[0] == n]


def prune_half(model):
    generator = torch.Generator().manual_seed(11)
    for layer in gst.prunable_layers(model).values():
        n = layer.mask.n_filters
        layer.mask.mask[torch.randperm(n, generator=generator)[: n // 2]] = 0


def outputs_of(model, x):
    def tensors(thing):
        if isinstance(thing, torch.Tensor):
            return [thing]
        values = thing.values() if isinstance(thing, dict) else thing
        return [tensor for value in values if value is not None for tensor in tensors(value)]

    torch.manual_seed(0)
    return tensors(model(*x) if isinstance(x, tuple) else model(x))


def assert_exact(model, x, training=True):
    """Nothing of a pruned filter has any influence."""
    prune_half(model)
    layers = gst.prunable_layers(model)
    for mode in (False, True) if training else (False,):
        model.train(mode)
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        model.zero_grad()
        before = outputs_of(model, x)
        sum(
            (output.float() * torch.linspace(1, 2, output.numel()).view(output.shape)).sum() for output in before
        ).backward()
        assert max(output.detach().float().std() for output in before) > 0
        got_something = 0
        for name, layer in layers.items():
            pruned = ~layer.mask.kept
            for parameter in own_parameters(layer):
                if parameter.grad is not None:
                    assert (parameter.grad[pruned] == 0).all(), (name, mode, "gradient")
                    got_something += int((parameter.grad[~pruned] != 0).any())
        assert got_something, mode
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
        saved = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            for layer in layers.values():
                pruned = ~layer.mask.kept
                for parameter in own_parameters(layer):
                    noise = 9 * torch.randn(parameter[pruned].shape, generator=generator)
                    parameter[pruned] += noise.to(parameter.dtype)
        after = outputs_of(model, x)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(saved[name])
        for a, b in zip(before, after, strict=True):
            assert torch.equal(a.nan_to_num(), b.nan_to_num()), (mode, (a - b).abs().max())
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])


def readers_that_see_zeros(model, plain, x):
    """By torch-pruning's dependency graph, for filters that belong to no coupled group. Returns how many layers it judged."""
    tp = pytest.importorskip("torch_pruning")
    graph = tp.DependencyGraph().build_dependency(plain, example_inputs=x)
    WRITES = (tp.prune_conv_out_channels, tp.prune_linear_out_channels, tp.prune_parameter_out_channels)
    layers = gst.prunable_layers(model)
    expected = []  # (reader, channels that must be zero)
    for name, layer in layers.items():
        pruned = (~layer.mask.kept).nonzero().flatten().tolist()
        conv = plain.get_submodule(name)
        if conv.groups > 1 or not pruned:
            continue
        group = graph.get_pruning_group(conv, tp.prune_conv_out_channels, idxs=pruned)
        names = {module: found for found, module in plain.named_modules()}
        writers = [dep for dep, _ in group if dep.handler in WRITES]
        if len(writers) == 1:
            for dep, indices in group:
                if dep.handler in (tp.prune_conv_in_channels, tp.prune_linear_in_channels):
                    expected.append((name, names[dep.target.module], list(indices)))
    handles = []
    for name, reader, indices in expected:

        def hook(module, inputs, name=name, reader=reader, indices=indices):
            dim = inputs[0].dim() - 1 if isinstance(module, nn.Linear) else 1
            assert (inputs[0].movedim(dim, 0)[indices] == 0).all(), (name, reader)

        handles.append(model.get_submodule(reader).register_forward_pre_hook(hook))
    with torch.no_grad():
        model.eval()(x)
    for handle in handles:
        handle.remove()
    return len({name for name, _, _ in expected})
