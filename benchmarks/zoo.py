"""Networks of others: how many convolutions get a mask, how many torch-pruning can cut, and what is cut in the end.

A mask silences one layer, and leaves the rest of the network alone. torch-pruning cuts, and what shares a sum or a
concatenation it cuts together; its layers are counted as `alone` and `in a group with others`. Random weights.
"""

from __future__ import annotations

import copy
import signal
import time
import warnings

import torch
from torch.utils.flop_counter import FlopCounterMode

import gst_tutorial as gst
from gst_tutorial.data import torchvision
from gst_tutorial.graph.compact import compact
from gst_tutorial.graph.labels import CONVOLUTIONS

NAMES = (
    "torchvision/resnet18", "torchvision/squeezenet1_1", "torchvision/densenet121", "torchvision/googlenet",
    "torchvision/shufflenet_v2_x0_5", "torchvision/mobilenet_v2", "torchvision/mobilenet_v3_small",
    "torchvision/regnet_x_400mf", "torchvision/efficientnet_b0", "torchvision/convnext_tiny", "timm/resnetv2_50",
    "timm/seresnet18", "timm/dla34", "timm/ghostnet_050", "timm/rexnet_100", "timm/hrnet_w18_small", "timm/repvgg_a0",
    "timm/test_nfnet", "timm/convnext_atto", "timm/swiftformer_xs",
)  # fmt: skip


def _network(name: str) -> torch.nn.Module:
    library, _, name = name.partition("/")
    torch.manual_seed(0)
    models = torchvision().models
    if library == "torchvision":
        return getattr(models, name)(num_classes=10)
    import timm

    return timm.create_model(name, num_classes=10)


def _theirs(model: torch.nn.Module, x: torch.Tensor, seconds: int) -> tuple[int | None, int | None]:
    """Layers that torch-pruning can cut alone, and together with others; None if it fails or takes longer."""
    import torch_pruning as tp

    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        graph = tp.DependencyGraph().build_dependency(model, example_inputs=x)
        writes = (tp.prune_conv_out_channels, tp.prune_linear_out_channels)
        alone = together = 0
        for conv in model.modules():
            if isinstance(conv, CONVOLUTIONS) and conv.groups == 1:
                group = graph.get_pruning_group(conv, tp.prune_conv_out_channels, idxs=[0])
                n_writers = len({dep.target.module for dep, _ in group if dep.handler in writes})
                alone, together = alone + (n_writers == 1), together + (n_writers > 1)
        return alone, together
    except Exception:  # it has many ways to fail, a time limit is one
        return None, None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _cost(model: torch.nn.Module, x: torch.Tensor) -> tuple[int, int]:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(x)
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops()


def _milliseconds(model: torch.nn.Module, x: torch.Tensor, repeats: int) -> float:
    best = float("inf")
    with torch.no_grad():
        for _ in range(repeats):
            start = time.perf_counter()
            model(x)
            best = min(best, time.perf_counter() - start)
    return 1000 * best


def rows(quick: bool = False) -> list[dict]:
    """Half of the filters of every masked layer are pruned at random and, where that is possible, cut out."""
    torch.set_num_threads(1)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    found = []
    for name in NAMES[:3] if quick else NAMES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _network(name)
            alone, together = _theirs(copy.deepcopy(model), x, 5 if quick else 20)
        row = {"network": name, "convolutions": sum(isinstance(m, CONVOLUTIONS) for m in model.modules())}
        start = time.perf_counter()
        try:
            gst.make_prunable(model, x)
        except ValueError:
            found.append({**row, "masked": 0, "theirs_alone": alone, "theirs_together": together})
            continue
        seconds = time.perf_counter() - start
        layers = gst.prunable_layers(model)
        generator = torch.Generator().manual_seed(0)
        for layer in layers:
            gst.prune_filters(model, layer, 0.5, target="random", generator=generator)
        small = compact(model, skip_uncuttable=True)
        with torch.no_grad():
            masked, cut = model.eval()(x), small.eval()(x)
        parameters, operations = zip(_cost(model, x), _cost(small, x))
        times = [_milliseconds(network, x, 2 if quick else 5) for network in (model, small)]
        found.append(
            {
                **row,
                "masked": len(layers),
                "theirs_alone": alone,
                "theirs_together": together,
                "make_prunable_seconds": seconds,
                "layers_cut": len(layers) - len(gst.prunable_layers(small)),
                "parameters_left": parameters[1] / parameters[0],
                "operations_left": operations[1] / operations[0],
                "time_left": times[1] / times[0],
                "difference": ((masked - cut).abs().max() / masked.abs().max()).item(),
                **_coupled(model, x),
            }
        )
    return found


def _coupled(model: torch.nn.Module, x: torch.Tensor) -> dict[str, float]:
    """The same with half of the channels pruned at the same places in every layer, and coupled layers cut together."""
    for layer in gst.prunable_layers(model).values():
        layer.mask.mask[:] = 1
        layer.mask.mask[: layer.mask.n_filters // 2] = 0
    start = time.perf_counter()
    small = compact(model, skip_uncuttable=True)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        masked, cut = model.eval()(x), small.eval()(x)
    parameters, operations = zip(_cost(model, x), _cost(small, x))
    times = [_milliseconds(network, x, 2) for network in (model, small)]
    return {
        "coupled_layers_cut": len(gst.prunable_layers(model)) - len(gst.prunable_layers(small)),
        "coupled_parameters_left": parameters[1] / parameters[0],
        "coupled_operations_left": operations[1] / operations[0],
        "coupled_time_left": times[1] / times[0],
        "coupled_difference": ((masked - cut).abs().max() / masked.abs().max()).item(),
        "coupled_seconds": seconds,
    }
