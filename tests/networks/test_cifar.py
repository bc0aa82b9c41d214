"""The paper's networks have the published sizes, the layers that its protocols name, and masks where they belong."""

import itertools
import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

import gst_tutorial as gst
from gst_tutorial.networks import cifar as image_models
from gst_tutorial.networks.cifar import VGG11_WEIGHTS

ALL = pytest.mark.parametrize("name", ["vgg11", "resnet18", "resnet20", "resnet56"])


def n_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet20", 0.27), ("resnet56", 0.85)],  # He et al. 2016, table 6
)
def test_narrow_resnets_have_the_published_number_of_parameters(name, millions):
    assert n_parameters(getattr(gst.networks, name)()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_resnet18_has_torchvisions_parameters_except_the_stem():
    from gst_tutorial.data import torchvision

    theirs = torchvision().models.resnet18(num_classes=10)
    stems = (3 * 64 * 9, 3 * 64 * 49)  # a 3x3 stem for small pictures in place of 7x7
    assert n_parameters(gst.networks.resnet18()) - stems[0] == n_parameters(theirs) - stems[1]


def test_vgg11_has_the_parameters_that_its_filters_add_up_to():
    filters = (3, 64, 128, 256, 256, 512, 512, 512, 512)
    convolutions = sum(9 * a * b + 2 * b for a, b in itertools.pairwise(filters))
    assert n_parameters(gst.networks.vgg11()) == convolutions + 512 * 10 + 10


@ALL
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8)])
def test_images_of_several_sizes_give_logits(name, shape):
    model = getattr(gst.networks, name)(n_classes=7, input_shape=shape, width=0.25)
    assert model(torch.randn(2, *shape)).shape == (2, 7)


@ALL
def test_width_multiplies_the_filters_of_every_layer(name):
    whole, half = (gst.prunable_layers(getattr(gst.networks, name)(width=w)) for w in (1.0, 0.5))
    assert [2 * layer.mask.n_filters for layer in half.values()] == [layer.mask.n_filters for layer in whole.values()]


@pytest.mark.parametrize(("name", "n_layers"), [("vgg11", 8), ("resnet18", 17), ("resnet20", 19), ("resnet56", 55)])
def test_every_convolution_except_shortcuts_is_prunable(name, n_layers):
    layers = gst.prunable_layers(getattr(gst.networks, name)(width=0.25))
    assert len(layers) == n_layers
    assert all(isinstance(layer.norm, nn.BatchNorm2d) for layer in layers.values())


@pytest.mark.parametrize("study", [name for name in gst.studies.names() if name.startswith(("paper", "cifar10"))])
def test_every_layer_that_a_papers_protocol_prunes_exists(study):
    for config in (arm.config for arm in gst.studies.get(study).arms):
        model = gst.networks.NETWORKS[config.model].build(10, input_shape=(3, 32, 32), width=0.1)
        assert set(config.layers) <= set(gst.prunable_layers(model))


def test_shortcut_is_not_added_on_pruned_channels():
    torch.manual_seed(0)
    model = gst.networks.resnet20(width=0.5).eval()
    block, seen = model.layer2[1], []
    block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    gst.prune_filters(model, "layer2.1.conv2", 0.5)
    pruned = ~gst.prunable_layers(model)["layer2.1.conv2"].mask.kept
    model(torch.randn(2, 3, 32, 32))
    assert (seen[0][:, pruned] == 0).all()
    assert (seen[0][:, ~pruned] != 0).any()


def test_padding_shortcut_skips_pixels_and_adds_empty_channels():
    x = torch.arange(2 * 4 * 4.0).view(1, 2, 4, 4)
    out = image_models.PadShortcut(n_extra=2, stride=2)(x)
    assert out.shape == (1, 4, 2, 2)
    assert torch.equal(out[:, 1:3], x[:, :, ::2, ::2])
    assert (out[:, [0, 3]] == 0).all()


@ALL
def test_dropout_acts_in_training_only(name):
    torch.manual_seed(0)
    model, x = getattr(gst.networks, name)(width=0.25, dropout=0.5, filter_dropout=0.2), torch.randn(4, 3, 32, 32)
    model.eval()
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("name", ["vgg11", "resnet20"])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"width": 0}, ValueError, "width=0"),
        ({"dropout": 1.0}, ValueError, "dropout=1.0"),
        ({"n_classes": 2.5}, TypeError, "n_classes=2.5"),
        ({"input_shape": (32, 32)}, ValueError, r"input_shape=\(32, 32\)"),
        ({"input_shape": (3, 0, 32)}, ValueError, "input_shape=0"),
    ],
)
def test_bad_arguments_are_named(name, arguments, error, message):
    with pytest.raises(error, match=message):
        getattr(gst.networks, name)(**arguments)


def test_trained_vgg11_classifies_unseen_photographs():
    model, data = gst.networks.trained_vgg11(), gst.load("photographs")
    with safe_open(VGG11_WEIGHTS, "pt") as file:
        made = file.metadata()
    config = gst.RunConfig.from_dict(json.loads(made["config"]))
    assert (config.model, config.width, config.n_train) == ("vgg11", 0.125, None)
    expected, n = float(made["test_accuracy"]), len(data.y_test)
    # its accuracy on the whole test set, within four standard errors of 100 pictures
    found = float(gst.accuracy(model, data.x_test, data.y_test))
    assert abs(found - expected) < 4 * (expected * (1 - expected) / n) ** 0.5
    assert not model.training
    assert all(layer.mask.kept.all() for layer in gst.prunable_layers(model).values())
