"""Networks that hide mistakes from a single look: two modes, several paths, outputs in objects, weights that are computed."""

import copy
import dataclasses
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

import gst_tutorial as gst
from tests.zoo.exact import assert_exact, shaken

X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))


class Net(nn.Module):
    """Two convolutions, a norm behind each, and a linear head; `middle` is what subclasses do between the two."""

    def __init__(self):
        super().__init__()
        self.a, self.norm_a = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.b, self.norm_b = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def middle(self, x):
        return F.relu(self.norm_a(x))

    def forward(self, x):
        return self.head(F.relu(self.norm_b(self.b(self.middle(self.a(x))))).mean((2, 3)))


def pruned(model, *layers):
    for name in layers:
        gst.prune_filters(model, name, 0.5)
    return model


# --- training mode, and several paths --------------------------------------------------------------------------------


class NeedsTargets(Net):
    def __init__(self):
        super().__init__()
        self.auxiliary = nn.Linear(8, 4)

    def forward(self, x, targets=None):
        x = self.a(x)
        logits = self.head(F.relu(self.norm_a(x)).mean((2, 3)))
        if not self.training:
            return logits
        return logits, F.cross_entropy(self.auxiliary(F.relu(self.norm_b(x)).mean((2, 3))), targets)


def test_a_network_that_fails_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"NeedsTargets in training mode: .*example_inputs=\[\.\.\.\]"):
        gst.make_prunable(NeedsTargets(), X)
    with pytest.raises(ValueError, match="in training mode: ValueError: Expected more than 1 value per channel"):
        gst.make_prunable(nn.Sequential(Net(), nn.BatchNorm1d(4)), X[:1])


def test_several_examples_cover_both_modes():
    targets = torch.tensor([0, 1, 2, 3])
    model = gst.make_prunable(NeedsTargets(), example_inputs=[X, (X, targets)])
    assert list(gst.prunable_layers(model)) == ["a"]
    assert_exact(shaken(model), (X, targets))


class TwoDomains(Net):
    def __init__(self):
        super().__init__()
        self.norm_of_large = nn.BatchNorm2d(8)

    def middle(self, x):
        return F.relu(self.norm_a(x) if x.shape[-1] < 10 else self.norm_of_large(x))


def test_a_path_without_the_mask_raises_an_alarm_once_filters_are_pruned():
    model, large = gst.make_prunable(TwoDomains(), X), torch.randn(4, 3, 12, 12)
    model(large)  # nothing is pruned yet, so nothing is wrong
    pruned(model, "a")
    model(X)
    with pytest.raises(RuntimeError, match=r"Layer 'a' is pruned and ran, but its mask was not applied"):
        model(large)
    model(X)


def test_with_an_example_of_each_path_there_is_no_alarm():
    large = torch.randn(4, 3, 12, 12)
    model = gst.make_prunable(TwoDomains(), example_inputs=[X, large])
    assert_exact(shaken(copy.deepcopy(model)), X)
    assert_exact(shaken(model), large)


class EarlyReturn(nn.Module):
    """Stochastic depth as it is often written: in training, a block is sometimes left out."""

    def __init__(self, draw):
        super().__init__()
        self.stem, self.draw = nn.Conv2d(3, 8, 3, padding=1), draw
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.stem(x))
        if not (self.training and self.draw() < 0.5):
            x = x + self.norm(self.conv(x))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("draw", [random.random, lambda: torch.rand(())])
def test_stochastic_depth_gets_the_same_masks_from_any_random_state(draw):
    found = set()
    for seed in range(8):
        torch.manual_seed(seed)
        random.seed(seed)
        layers = gst.prunable_layers(gst.make_prunable(EarlyReturn(draw), X))
        found.add((*layers, *layers.skipped.items()))
    assert len(found) == 1


# --- what leaves the network, or PyTorch -----------------------------------------------------------------------------


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    hidden_states: list


class InAnObject(Net):
    def forward(self, x):
        hidden = self.a(x)
        return Output(self.head(self.norm_b(self.b(hidden)).mean((2, 3))), [{"first": hidden}])


def test_channels_that_leave_inside_an_object_get_no_mask():
    layers = gst.prunable_layers(gst.make_prunable(InAnObject(), X))
    assert list(layers) == ["b"] and "output" in layers.skipped["a"]


class Detour(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(1 / (1 + abs(x.detach().numpy())))

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class ThroughNumPy(Net):
    def middle(self, x):
        return Detour.apply(x)


def test_a_detour_through_numpy_is_refused():
    layers = gst.prunable_layers(gst.make_prunable(ThroughNumPy(), X))
    assert list(layers) == ["b"] and "leaves PyTorch through numpy()" in layers.skipped["a"]


# --- cutting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap", [parametrizations.weight_norm, lambda conv: prune.random_unstructured(conv, "weight", 0.5)]
)
def test_weights_that_are_computed_in_the_forward_pass_are_not_cut(wrap):
    model = Net()
    wrap(model.b)
    gst.make_prunable(model, X)
    pruned(model, "a", "b")
    with pytest.raises(ValueError, match=r"'[ab]' cannot be compacted: its output meets weights that are computed"):
        gst.compact(model)
    small = gst.compact(model, skip_uncuttable=True)
    assert torch.allclose(small.eval()(X), model.eval()(X), atol=1e-6)


class ZeroScales(nn.Module):
    """As timm creates residual networks: the last norm of a branch has scale 0, so the branch says nothing yet."""

    def __init__(self):
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 8, 3, padding=1), Block(), nn.Linear(8, 4)
        nn.init.zeros_(self.block.norm.weight)

    def forward(self, x):
        return self.head(self.block(F.relu(self.stem(x))).mean((2, 3)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x):
        return F.relu(x + self.norm(self.conv(x)))


@pytest.mark.parametrize("training", [False, True])
def test_a_cut_before_training_is_exact_once_scales_are_no_longer_zero(training):
    model = gst.make_prunable(ZeroScales(), X)
    for layer in gst.prunable_layers(model).values():
        layer.mask.mask[:4] = 0
    model = shaken(model.double()).train(training)
    small = gst.compact(model).train(training)
    assert small.stem.out_channels == small.block.conv.out_channels == small.head.in_features == 4
    x = torch.randn(6, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(small(x), model(x), rtol=0, atol=1e-9)
