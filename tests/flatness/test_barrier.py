"""Barriers between networks whose distance is known: none, a symmetry of the network, another solution."""

import copy

import pytest
import torch
from torch import nn

import gst_tutorial as gst
from gst_tutorial.flatness import error_barrier

RECIPE = gst.Recipe(epochs=8, milestones=())


@pytest.fixture(scope="module")
def dataset():
    return gst.load("mnist1d", n_train=500, n_test=500)


def trained(dataset, seed):
    torch.manual_seed(seed)
    model = gst.conv1d_net(width=0.5)
    gst.train(model, dataset, RECIPE, seed)
    return model


@pytest.fixture(scope="module")
def network(dataset):
    return trained(dataset, 0)


def test_no_barrier_to_itself_and_a_high_one_to_another_solution(network, dataset):
    assert error_barrier(network, network, dataset) == 0
    assert error_barrier(network, trained(dataset, 1), dataset) > 0.1


def test_no_barrier_to_the_same_function_with_longer_filters(network, dataset):
    longer = copy.deepcopy(network)
    with torch.no_grad():  # batch norm divides the length out, at every place on the way
        for layer in gst.prunable_layers(longer).values():
            layer.conv.weight *= 4
    assert error_barrier(network, longer, dataset) <= 1 / 500  # an example on the boundary


def test_same_function_with_permuted_filters_lies_behind_a_barrier(network, dataset):
    permuted = copy.deepcopy(network)
    layers = list(gst.prunable_layers(permuted).values())
    order = torch.randperm(layers[0].conv.out_channels, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        norm = layers[0].norm
        for tensor in (layers[0].conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(tensor[order])
        layers[1].conv.weight.copy_(layers[1].conv.weight[:, order])
    assert gst.accuracy(permuted, dataset) == pytest.approx(gst.accuracy(network, dataset), abs=1 / 500)
    assert error_barrier(network, permuted, dataset) > 0.02


def test_barrier_is_the_largest_fall_below_the_line():
    """One weight w and logits (w, 0): class 0 wins until w falls below zero, so accuracy is 3/4, and then 1/4."""
    ends = [nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False)) for _ in range(2)]
    for end, w in zip(ends, (1.0, -1.0)):
        end[1].weight.data = torch.tensor([[w], [0.0]])
    x, y = torch.ones(4, 1, 1), torch.tensor([0, 0, 0, 1])
    # At w = 1, 1/2, 0, -1/2, -1 the line is at 6/8, 5/8, 4/8, 3/8, 2/8.
    assert error_barrier(*ends, gst.Dataset("line", x, y, x, y, 2), n_points=5) == pytest.approx(3 / 8 - 1 / 4)


def test_pruned_filters_are_zeros_on_the_way(network, dataset):
    pruned = copy.deepcopy(network)
    gst.prune_filters(pruned, "conv1", 0.5, target="random", generator=torch.Generator().manual_seed(0))
    before = gst.accuracy(pruned, dataset)
    assert 0 <= error_barrier(network, pruned, dataset) < 1
    assert gst.accuracy(pruned, dataset) == before and gst.sparsity(pruned) > 0  # left as they were


def test_networks_of_two_sizes_are_refused(network, dataset):
    with pytest.raises(ValueError, match="one architecture"):
        error_barrier(network, gst.conv1d_net(width=0.25), dataset)
