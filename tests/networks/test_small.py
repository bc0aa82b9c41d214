"""The tutorial's own networks compute what their docstrings say."""

import pytest
import torch
from torch.nn import functional

import gst_tutorial as gst
from gst_tutorial import networks


@pytest.mark.parametrize(("build", "shape"), [(gst.conv1d_net, (1, 40)), (networks.conv2d_net, (3, 16, 16))])
def test_pooled_head_reads_means_and_flattened_head_reads_positions(build, shape):
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    for pooled in (False, True):
        model = build(input_shape=shape, pooled=pooled).eval()
        maps = model[: list(dict(model.named_children())).index("relu4") + 1](x)  # (B, C, ...)
        features = maps.flatten(2).mean(2) if pooled else maps.flatten(1)
        assert model.head.in_features == (64 if pooled else 64 * maps[0, 0].numel())
        assert torch.allclose(model(x), functional.linear(features, model.head.weight, model.head.bias), atol=1e-6)


def test_pooled_is_a_flag():
    with pytest.raises(TypeError, match="pooled=2"):
        gst.conv1d_net(pooled=2)
