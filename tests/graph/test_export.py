"""What other tools do with a pruned network: average it, load it without masks, trace it."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import gst_tutorial as gst

X = torch.randn(4, 1, 40, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = gst.conv1d_net()
    for name in ("conv2", "conv4"):
        gst.prune_filters(model, name, 0.5)
    with torch.no_grad():
        model.bn4.bias.normal_()
    return model.eval()


def test_averaging_masks_is_an_error(model):
    average = AveragedModel(gst.conv1d_net(), use_buffers=True)
    average.update_parameters(model)
    with pytest.raises(RuntimeError, match="bool"):
        average.update_parameters(model)


def test_a_mask_between_0_and_1_is_an_error_when_it_is_loaded_or_used(model):
    state = {name: tensor.float() for name, tensor in model.state_dict().items()}
    gst.conv1d_net().load_state_dict(state)  # zeros and ones of an older version
    state["bn4.filter_mask.mask"] *= 0.4
    with pytest.raises(ValueError, match=r"A filter mask holds 0\.4"):
        gst.conv1d_net().load_state_dict(state)
    model.bn4.filter_mask.mask = state["bn4.filter_mask.mask"]
    with pytest.raises(ValueError, match=r"A filter mask holds 0\.4"):
        model(X)


def test_a_baked_network_loads_into_a_plain_one_and_is_the_same(model):
    baked = gst.bake(model)
    plain = nn.Sequential(copy.deepcopy(gst.compact(gst.conv1d_net())))[0].eval()  # the same network without masks
    assert plain.state_dict().keys() == baked.state_dict().keys()
    plain.load_state_dict(baked.state_dict())
    assert torch.allclose(plain(X), model(X), atol=1e-6)
    assert not torch.allclose(gst.conv1d_net().eval()(X), model(X), atol=1e-3)
    assert gst.sparsity(model, ["conv4"]) == 0.5  # the given one is as it was


def test_a_mask_that_deletes_a_shortcut_cannot_be_baked_alone():
    model = gst.networks.resnet20(width=0.25)
    gst.prune_filters(model, "layer1.0.conv1", 0.5)
    x = torch.randn(2, 3, 32, 32)
    assert torch.allclose(gst.bake(model).eval()(x), model.eval()(x), atol=1e-5)
    gst.prune_filters(model, "layer1.0.conv2", 0.5)
    with pytest.raises(ValueError, match=r"'layer1\.0\.conv2' cannot be written into weights: it acts at"):
        gst.bake(model)


def test_rewinding_brings_weights_back_and_keeps_masks(model):
    initial = copy.deepcopy(gst.conv1d_net().state_dict())
    gst.rewind(model, initial)
    assert torch.equal(model.conv1.weight, initial["conv1.weight"])
    assert gst.sparsity(model, ["conv4"]) == 0.5


def test_a_symbolic_trace_keeps_masks_or_is_refused(model):
    traced = torch.fx.symbolic_trace(model)
    assert torch.equal(traced(X), model(X))
    with pytest.raises(RuntimeError, match=r"torch\.fx cannot trace the mask on the output of ResidualBlock"):
        torch.fx.symbolic_trace(gst.networks.resnet20(width=0.25))
