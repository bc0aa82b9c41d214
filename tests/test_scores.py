"""Gradient scores and FPGM, each against an independent computation."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gst_tutorial as gst
from tests.loops import small


@pytest.fixture
def network():
    """A network in float64 whose batch norm has seen data, with one filter pruned, and a batch with labels."""
    torch.manual_seed(0)
    model = small.net().double()
    x, y = torch.randn(16, 1, 8, dtype=torch.float64), torch.arange(16) % 3
    model(x)
    model[1].weight.data.uniform_(-1, 1)
    model[1].bias.data.uniform_(-1, 1)
    gst.prune_filters(model, "3", keep=4)
    return model, (x, y)


def loss(model, batch):
    return F.cross_entropy(model.eval()(batch[0]), batch[1])


def test_taylor_is_the_squared_slope_of_the_loss_along_a_filter(network):
    """Reference: finite differences of the loss as the filter's scale and shift in batch norm are multiplied by 1 + e."""
    model, batch = network
    score = gst.filter_scores(model, "0", "taylor", batch)
    for c in range(4):
        losses = []
        for e in (1e-5, -1e-5):
            moved = copy.deepcopy(model)
            with torch.no_grad():
                moved[1].weight[c] *= 1 + e
                moved[1].bias[c] *= 1 + e
                losses.append(loss(moved, batch).item())
        assert score[c].item() == pytest.approx(((losses[0] - losses[1]) / 2e-5) ** 2, rel=1e-6)


def test_snip_is_the_slope_at_gates_on_single_weights(network):
    """Reference: Lee et al.'s own definition, gates c = 1 that multiply the weights of a functional convolution."""
    model, batch = network
    gates = torch.ones_like(model[0].weight, requires_grad=True)
    weights = {"0.weight": model[0].weight.detach() * gates}
    logits = torch.func.functional_call(model.eval(), weights, (batch[0],))
    (slope,) = torch.autograd.grad(F.cross_entropy(logits, batch[1]), gates)
    assert torch.allclose(gst.filter_scores(model, "0", "snip", batch), slope.abs().sum((1, 2)), rtol=1e-12)


def test_fpgm_sums_distances_to_the_kept_filters(network):
    model, _ = network
    kernels, kept = model[3].weight.tolist(), gst.prunable_layers(model)["3"].mask.kept.tolist()
    flat = [[v for row in kernel for v in row] for kernel in kernels]
    expected = [
        sum(sum((a - b) ** 2 for a, b in zip(one, other)) ** 0.5 for other, stays in zip(flat, kept) if stays)
        for one in flat
    ]
    assert gst.filter_scores(model, "3", "fpgm").tolist() == pytest.approx(expected)


@pytest.mark.parametrize("score", ["taylor", "snip", "fpgm"])
def test_scores_leave_the_network_and_its_gradients_alone(network, score):
    model, batch = network
    before, mode = copy.deepcopy(model.state_dict()), model.training
    gst.filter_scores(model, "3", score, batch)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training is mode and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("score", ["taylor", "snip"])
def test_gradient_score_without_labels_says_so(network, score):
    with pytest.raises(ValueError, match="x has no labels"):
        gst.filter_scores(network[0], "3", score, network[1][0])


@pytest.mark.parametrize("score", ["taylor", "snip", "fpgm"])
def test_run_gives_gradient_scores_their_labels(score):
    config = gst.RunConfig(
        n_train=100, n_test=100, epochs=2, milestones=(), intervention="prune", schedule=(0,), score=score
    )
    assert gst.run(config).events.n_filters.tolist() == [57]


def test_gradient_score_takes_dicts_and_outputs_with_logits():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small.net()

        def forward(self, signal):
            return {"logits": self.net(signal)}

    torch.manual_seed(0)
    model = Named()
    x, y = torch.randn(8, 1, 8), torch.arange(8) % 3
    found = gst.filter_scores(model, "net.0", "taylor", {"signal": x, "labels": y})
    assert torch.equal(found, gst.filter_scores(model.net, "0", "taylor", (x, y)))
