"""Cutting the masked filters out: same output, smaller network, the original untouched, and a refusal where it cannot be."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gst_tutorial as gst
from gst_tutorial.data import torchvision
from gst_tutorial.graph.compact import compact
from gst_tutorial.networks import cifar as image_models

TOLERANCE = 1e-5
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(7))


def with_random_state(model):
    """Weights whose outputs do not fade with depth, and batch norms that have seen something: each channel has a shift, a
    scale of either sign and running statistics of its own."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor, low, high in (
                (module.weight, -1.5, 1.5),
                (module.bias, -1, 1),
                (module.running_mean, -1, 1),
                (module.running_var, 0.5, 2),
            ):
                nn.init.uniform_(tensor, low, high, generator=generator)
        elif isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=generator)
    return model


def prune_randomly(model, layers=None, prune_fraction=0.6):
    generator = torch.Generator().manual_seed(2)
    for name in layers or gst.prunable_layers(model):
        gst.prune_filters(model, name, prune_fraction, target="random", generator=generator)
    return model


def pruned(model, layers=None):
    return prune_randomly(with_random_state(model), layers).eval()


def n_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def largest_difference(model, small, x):
    """Relative to the largest output; the outputs must differ between examples, or the comparison would say nothing."""
    with torch.no_grad():
        expected = model(x)
        assert expected.std(0).max() > 0.001 * expected.abs().max() > 0
        return ((expected - small(x)).abs().max() / expected.abs().max()).item()


class Functional(nn.Module):
    """The same steps as functions and methods instead of modules, one convolution without batch norm, two readers."""

    def __init__(self):
        super().__init__()
        self.conv1, self.other = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 5, 1)
        self.conv2, self.bn2 = nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6)
        self.head, self.side = nn.Linear(6 * 4, 3), nn.Linear(5, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        side = F.adaptive_avg_pool2d(self.other(x), 1).flatten(start_dim=1)
        x = F.dropout(F.adaptive_avg_pool2d(self.bn2(self.conv2(x)).relu(), 2), 0.5, self.training)
        return self.head(torch.flatten(x, 1)) + self.side(side)


NETWORKS = {
    "conv1d_net": (lambda: gst.conv1d_net(dropout=0.3, filter_dropout=0.2), (1, 40)),
    "conv2d_net": (gst.networks.conv2d_net, (1, 8, 8)),
    "vgg11": (lambda: image_models.vgg11(width=0.25), (3, 32, 32)),
    "functions instead of modules": (lambda: gst.make_prunable(Functional(), torch.randn(2, 1, 20, 20)), (1, 20, 20)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_output_is_that_of_the_masked_network(name):
    network, shape = NETWORKS[name]
    model = pruned(network())
    small = compact(model)
    assert largest_difference(model, small, torch.randn(8, *shape)) < TOLERANCE
    assert n_parameters(small) < 0.6 * n_parameters(model)


@pytest.mark.parametrize("name", ["vgg11_bn", "vgg11"])
def test_vgg_keeps_its_output_where_a_channel_owns_49_columns(name):
    with torch.device("meta"):  # its 4,096 hidden units become 16: a hundred million more weights test nothing more
        network = getattr(torchvision().models, name)(num_classes=5, init_weights=False)
        network.classifier[0], network.classifier[3] = nn.Linear(512 * 49, 16), nn.Linear(16, 16)
        network.classifier[6] = nn.Linear(16, 5)
    network.to_empty(device="cpu")
    for module in network.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    model = pruned(gst.make_prunable(network, torch.randn(2, 3, 48, 40)))
    small = compact(model)
    assert largest_difference(model, small, torch.randn(2, 3, 48, 40)) < TOLERANCE  # 48x40: pooled up to 7x7
    kept = int(list(gst.prunable_layers(model).values())[-1].mask.kept.sum())
    assert small.classifier[0].in_features == 49 * kept


def test_training_mode_gives_the_same_output_and_the_same_gradients():
    model = pruned(gst.conv1d_net()).train()
    small = compact(model)
    x, y = torch.randn(50, 1, 40), torch.randint(10, (50,))
    outputs = [network(x) for network in (model, small)]
    assert torch.allclose(*outputs, atol=TOLERANCE)
    for output in outputs:
        F.cross_entropy(output, y).backward()
    kept = [gst.prunable_layers(model)[name].mask.kept for name in ("conv3", "conv4")]
    expected = model.conv4.weight.grad[kept[1]][:, kept[0]]
    assert torch.allclose(small.conv4.weight.grad, expected, atol=TOLERANCE)
    assert torch.allclose(small.bn4.running_var, model.bn4.running_var[kept[1]], atol=TOLERANCE)


def test_what_is_left_are_the_kept_rows_and_columns():
    model = pruned(gst.conv1d_net(), ["conv2", "conv4"])
    small = compact(model)
    two, four = (gst.prunable_layers(model)[name].mask.kept for name in ("conv2", "conv4"))
    assert torch.equal(small.conv1.weight, model.conv1.weight)
    assert torch.equal(small.conv2.weight, model.conv2.weight[two])
    assert torch.equal(small.conv3.weight, model.conv3.weight[:, two])
    assert torch.equal(small.bn4.bias, model.bn4.bias[four])
    columns = model.head.weight.view(10, 64, -1)[:, four]  # (10, K, 10 samples)
    assert torch.equal(small.head.weight, columns.flatten(1))
    sizes = small.conv4.out_channels, small.bn4.num_features, small.head.in_features, small.conv3.in_channels
    assert sizes == (int(four.sum()), int(four.sum()), 10 * int(four.sum()), int(two.sum()))


def test_the_given_network_is_untouched_and_shares_nothing_with_the_copy():
    model = pruned(gst.conv1d_net())
    before, x = copy.deepcopy(model.state_dict()), torch.randn(4, 1, 40)
    output = model(x)
    small = compact(model)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(model(x), output)


def test_the_copy_has_no_masks_and_can_be_made_prunable_again():
    small = compact(pruned(gst.conv1d_net()))
    assert gst.prunable_layers(small) == {}
    assert not [name for name in small.state_dict() if "mask" in name]
    assert not any(module._forward_hooks for module in small.modules())
    x = torch.randn(4, 1, 40)
    output = small(x)
    again = prune_randomly(gst.make_prunable(small, x), ["conv4"], 0.5).eval()
    assert not torch.equal(again(x), output)
    assert largest_difference(again, compact(again), x) < TOLERANCE


def test_a_cut_keeps_frozen_weights_modes_dtype_and_memory_order():
    model = pruned(image_models.vgg11(width=0.125)).double().train()
    model.bn2.eval()
    model.conv3.weight.requires_grad_(False)
    small = compact(model)
    assert [p.requires_grad for p in small.parameters()] == [p.requires_grad for p in model.parameters()]
    assert [m.training for m in small.children()] == [m.training for m in model.children()]
    assert all(parameter.dtype == torch.float64 for parameter in small.parameters())
    assert small.conv4.weight.is_contiguous(memory_format=torch.channels_last)


def test_without_a_pruned_filter_the_copy_is_the_network_without_its_masks():
    model = with_random_state(gst.make_prunable(torchvision().models.resnet18(num_classes=4), IMAGES)).eval()
    small, x = compact(model), torch.randn(2, 3, 32, 32)
    assert torch.equal(small(x), model(x))
    assert n_parameters(small) == n_parameters(model)


# --- residual networks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network", [lambda: gst.make_prunable(torchvision().models.resnet18(num_classes=4), IMAGES), image_models.resnet20]
)
def test_the_inner_convolutions_of_residual_blocks_are_cut_out(network):
    model = network()
    inner = [name for name in gst.prunable_layers(model) if name.startswith("layer") and name.endswith("conv1")]
    model = pruned(model, inner)
    small = compact(model)
    assert largest_difference(model, small, torch.randn(2, 3, 32, 32)) < TOLERANCE
    assert n_parameters(small) < 0.5 * n_parameters(model)


@pytest.mark.parametrize("layer", ["conv1", "layer1.0.conv2", "layer4.1.conv2"])
def test_a_channel_that_a_shortcut_still_carries_is_refused(layer):
    model = pruned(gst.make_prunable(torchvision().models.resnet18(num_classes=4), IMAGES), [layer])
    with pytest.raises(ValueError, match=rf"'{layer}'.*shares channels with another layer that keeps them.*restore"):
        compact(model)


# --- refusals ------------------------------------------------------------------------------------------------


def chain(*between, head=None):
    """A convolution of 4 filters, one of them pruned, then `between`, then a layer that reads it."""
    layers = OrderedDict(conv=nn.Conv1d(1, 4, 3, padding=1))
    layers.update({f"step{i}": module for i, module in enumerate(between)})
    layers["reader"] = nn.Conv1d(4, 2, 1) if head is None else head
    model = gst.make_prunable(nn.Sequential(layers), torch.randn(3, 1, 12), ["conv"])
    gst.prunable_layers(model)["conv"].mask.mask[1] = 0
    return model.eval()


@pytest.mark.parametrize(
    "module",
    [
        nn.ReLU(), nn.LeakyReLU(), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.ELU(), nn.Tanh(), nn.Identity(),
        nn.Dropout(), nn.MaxPool1d(2), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(3),
    ],
    ids=repr,
)  # fmt: skip
def test_what_keeps_zeros_zero_may_stand_between(module):
    model = chain(module)
    assert largest_difference(model, compact(model), torch.randn(3, 1, 12)) < TOLERANCE


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.GroupNorm(2, 4), r"GroupNorm 'step1', which takes means over several channels"),
        (nn.Conv1d(4, 4, 1, groups=2), r"Conv1d 'step1' in 2 groups"),
        (nn.Softmax(1), r"_softmax\(\) in Softmax 'step1'"),
    ],
)
def test_what_mixes_channels_before_the_reader_is_refused_by_name(module, reason):
    layers = OrderedDict(conv=nn.Conv1d(1, 4, 3), step0=nn.ReLU(), step1=module, reader=nn.Conv1d(4, 2, 1))
    if isinstance(module, nn.Softmax):
        with pytest.raises(ValueError, match=reason):
            gst.make_prunable(nn.Sequential(layers), torch.randn(3, 1, 12), ["conv"])
        return
    with pytest.raises(ValueError, match=rf"layer 'conv'.*{reason}".replace("layer", "Layer")):
        compact(chain(nn.ReLU(), module))


@pytest.mark.parametrize("module", [nn.Sigmoid(), nn.Softplus(), nn.BatchNorm1d(4)], ids=repr)
def test_what_turns_zeros_into_something_else_is_masked_too_and_cut(module):
    model = chain(nn.ReLU(), module)
    small = compact(model)
    assert small.conv.out_channels == small.reader.in_channels == 3
    assert largest_difference(model, small, torch.randn(3, 1, 12)) < TOLERANCE


def test_a_linear_layer_along_a_signal_keeps_its_channels():
    with pytest.raises(ValueError, match="taken apart by view"):
        compact(chain(nn.Linear(12, 2)))


def test_pooling_over_flattened_channels_is_refused():
    with pytest.raises(ValueError, match="max_pool"):
        chain(nn.Flatten(), nn.MaxPool1d(2), head=nn.Linear(24, 2))


def test_a_layer_with_no_filter_left_is_refused():
    model = gst.conv1d_net()
    gst.prunable_layers(model)["conv3"].mask.mask.zero_()
    with pytest.raises(ValueError, match=r"'conv3'.* no filter left"):
        compact(model)


def test_weights_that_are_used_twice_lose_the_same_channels_for_both_uses():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.shared = nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 1)

        def forward(self, x):
            return self.shared(self.shared(self.first(x)).relu())

    model = gst.make_prunable(Twice(), torch.randn(2, 4, 6), ["first"])
    gst.prune_filters(model, "first", 0.5)
    with pytest.raises(ValueError, match="'first' cannot be compacted: its output is the network's output"):
        compact(model)


def test_filters_in_groups_are_refused():
    model = gst.make_prunable(
        nn.Sequential(nn.Conv1d(4, 6, 1, groups=2), nn.Conv1d(6, 2, 1)), torch.randn(2, 4, 6), ["0"]
    )
    gst.prune_filters(model, "0", 0.5)
    with pytest.raises(ValueError, match=r"'0'.*2 groups"):
        compact(model)


def test_a_forward_pass_with_branches_is_cut_along_the_path_of_its_example():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv1d(1, 4, 1), nn.Conv1d(4, 2, 1)

        def forward(self, x):
            return self.head(self.conv(x) if x.sum() > 0 else self.conv(-x))

    x = torch.randn(2, 1, 6)
    model = gst.make_prunable(Branching(), x, ["conv"])
    gst.prune_filters(model, "conv", 0.5)
    small = compact(model)
    assert torch.allclose(small(x), model(x), atol=TOLERANCE) and torch.allclose(small(-x), model(-x), atol=TOLERANCE)


def test_a_forward_pass_that_counts_on_the_number_of_channels_is_refused():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv1d(1, 4, 1), nn.Linear(24, 2)

        def forward(self, x):
            return self.head(self.conv(x).view(-1, 24))

    model = gst.make_prunable(Counting(), torch.randn(2, 1, 6))
    gst.prune_filters(model, "conv", 0.5)
    with pytest.raises(ValueError, match=r"'conv'.*the network fails"):
        compact(model)


def test_a_network_without_masks_and_something_else_are_refused():
    with pytest.raises(ValueError, match="no filter masks"):
        compact(nn.Sequential(nn.Conv1d(1, 2, 3)))
    with pytest.raises(TypeError, match="not str"):
        compact("model")


# --- cutting what can be cut ---------------------------------------------------------------------------------


def test_what_cannot_be_cut_stays_masked_with_its_reason():
    model = gst.make_prunable(torchvision().models.resnet18(num_classes=4), IMAGES)
    inner = [name for name in gst.prunable_layers(model) if name.startswith("layer") and name.endswith("conv1")]
    model = pruned(model, [*inner, "layer1.0.conv2"])
    small = compact(model, skip_uncuttable=True)
    assert largest_difference(model, small, IMAGES) < TOLERANCE
    assert n_parameters(small) < 0.7 * n_parameters(model)
    left = gst.prunable_layers(small)
    assert list(left) == ["layer1.0.conv2"]
    assert "shares channels with another layer" in left["layer1.0.conv2"].mask.uncut
    assert gst.sparsity(small, ["layer1.0.conv2"]) == gst.sparsity(model, ["layer1.0.conv2"])
    gst.prune_filters(small, "layer1.0.conv2", keep=1)  # and can be pruned further
    assert gst.sparsity(small, ["layer1.0.conv2"]) == 63 / 64


def test_an_empty_layer_stays_masked():
    model = pruned(gst.conv1d_net())
    gst.prunable_layers(model)["conv3"].mask.mask.zero_()
    small = compact(model, skip_uncuttable=True)
    assert "conv3" in gst.prunable_layers(small)
    assert torch.allclose(small(torch.ones(2, 1, 40)), model(torch.ones(2, 1, 40)), atol=TOLERANCE)


# --- coupled layers ---------------------------------------------------------------------------------------------------


def test_channels_pruned_in_all_layers_of_a_shortcut_are_cut():
    model = with_random_state(gst.make_prunable(torchvision().models.resnet18(num_classes=10), IMAGES)).eval()
    layers = gst.prunable_layers(model)
    for name in ("conv1", "layer1.0.conv2", "layer1.1.conv2"):
        layers[name].mask.mask[:20] = 0
    layers["layer1.1.conv2"].mask.mask[30] = 0  # this one only here: it stays, masked
    small = compact(model, skip_uncuttable=True)
    assert (small.conv1.out_channels, small.layer1[0].conv2.out_channels, small.layer2[0].conv1.in_channels) == (
        44,
    ) * 3
    left = gst.prunable_layers(small)
    assert list(left) == ["layer1.1.conv2"] and left["layer1.1.conv2"].mask.mask.sum() == 43
    with torch.no_grad():
        torch.testing.assert_close(small.eval()(2 * IMAGES), model(2 * IMAGES), rtol=1e-4, atol=1e-4)


def test_a_depthwise_convolution_is_cut_with_the_layer_before_it():
    network = torchvision().models.mobilenet_v2(num_classes=10, width_mult=0.35)
    model = with_random_state(gst.make_prunable(network, IMAGES)).eval()
    gst.prunable_layers(model)["features.2.conv.0.0"].mask.mask[:10] = 0
    small = compact(model)
    depthwise = small.features[2].conv[1][0]
    assert depthwise.groups == depthwise.out_channels == model.features[2].conv[1][0].out_channels - 10
    with torch.no_grad():
        torch.testing.assert_close(small.eval()(2 * IMAGES), model(2 * IMAGES), rtol=1e-4, atol=1e-4)
