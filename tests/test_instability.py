"""Instability: a drop made by hand, its standard error against simulation, and somebody else's pruning."""

import contextlib
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

import gst_tutorial as gst


class Knows(nn.Module):
    """A 'network' that classifies one-hot examples by a matrix: right where its diagonal is the row's largest entry."""

    def __init__(self, n_classes: int = 4):
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(n_classes))
        self.norm = nn.BatchNorm1d(n_classes, affine=False)
        self.drop = nn.Dropout(0.9)

    def forward(self, x):
        return x @ self.matrix + 0 * self.norm(x)


@pytest.fixture
def balanced():
    """100 one-hot examples of each of four classes."""
    y = torch.arange(4).repeat(100)
    return torch.eye(4)[y], y


def test_a_hand_made_drop_from_all_right_to_three_quarters_is_a_quarter(balanced):
    model = Knows()
    with gst.measure_instability(lambda: gst.correct(model, *balanced)) as event, torch.no_grad():
        model.matrix[3, 3] = 0  # class 3 is now taken for class 0
    assert event.accuracy_before == 1.0
    assert event.accuracy_after == 0.75
    assert event.instability == 0.25
    assert event.stability == 0.75
    assert event.n_examples == 400


def test_the_drop_is_relative_to_the_accuracy_before():
    assert gst.instability_of(0.8, 0.6).instability == pytest.approx(0.25)
    assert gst.instability_of(0.4, 0.2).instability == pytest.approx(0.5)
    assert gst.instability_of(0.5, 0.5).instability == 0
    assert gst.instability_of(0.5, 0.6).instability == pytest.approx(-0.2)  # pruning that helps is more than stable
    assert gst.instability_of(0.5, 0.0).instability == 1


def test_it_measures_the_pruning_of_another_library():
    torch.manual_seed(0)
    dataset = gst.load("mnist1d", n_train=200, n_test=200)
    model = gst.conv1d_net()
    gst.train(model, dataset, gst.Recipe(epochs=15, batch_size=25, milestones=()))

    def by_hand():
        model.eval()
        with torch.no_grad():
            return (model(dataset.x_test).argmax(1) == dataset.y_test).float().mean().item()

    before = by_hand()
    with gst.measure_instability(lambda: gst.correct(model, dataset.x_test, dataset.y_test)) as event:
        torch_prune.ln_structured(model.conv4, "weight", amount=0.9, n=2, dim=0)
    after = by_hand()
    assert before > 0.2  # something can be lost
    assert after != before
    assert event.accuracy_before == pytest.approx(before, abs=1e-6)
    assert event.accuracy_after == pytest.approx(after, abs=1e-6)
    assert event.instability == pytest.approx((before - after) / before, abs=1e-5)
    assert 0 < event.standard_error < 0.2


def test_measuring_recalibrates_no_statistics_and_changes_no_weight(balanced):
    model = Knows()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with gst.measure_instability(lambda: gst.correct(model, *balanced)):
        pass
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_numbers_are_nan_until_the_block_ends_without_an_error():
    with contextlib.suppress(ZeroDivisionError), gst.measure_instability(lambda: 0.5) as event:
        assert math.isnan(event.instability)
        assert math.isnan(event.accuracy_before)
        _ = 1 / 0
    assert math.isnan(event.instability)
    assert math.isnan(event.standard_error)


def test_the_standard_error_is_known_only_with_the_number_of_examples():
    assert math.isnan(gst.instability_of(0.8, 0.6).standard_error)
    assert gst.instability_of(0.8, 0.6, n_examples=100).standard_error > 0
    with gst.measure_instability(lambda: 0.8, n_examples=100) as event:
        pass
    assert event.n_examples == 100
    assert event.standard_error == gst.instability_of(0.8, 0.8, 100).standard_error


# Shares of the examples that are right (before and after), (only before), (only after), (never).
@pytest.mark.parametrize(
    "shares", [(0.6, 0.2, 0.05, 0.15), (0.05, 0.8, 0.05, 0.1), (0.3, 0.1, 0.3, 0.3), (0.84, 0.01, 0.01, 0.14)]
)
@pytest.mark.parametrize("n_examples", [400, 4000])
def test_paired_standard_error_is_the_spread_over_test_sets(shares, n_examples):
    generator = np.random.default_rng(1)
    counts = generator.multinomial(n_examples, shares, size=20_000)
    before, after = counts[:, 0] + counts[:, 1], counts[:, 0] + counts[:, 2]
    spread = ((before - after) / before).std()
    outcome = torch.from_numpy(np.repeat(np.arange(4), (np.array(shares) * n_examples).round().astype(int)))
    found = gst.instability_of((outcome == 0) | (outcome == 1), (outcome == 0) | (outcome == 2))
    assert found.standard_error == pytest.approx(spread, rel=0.04)


@pytest.mark.parametrize("accuracies", [(0.8, 0.6), (0.3, 0.3), (0.9, 0.1)])
def test_unpaired_standard_error_is_the_spread_over_two_test_sets(accuracies):
    generator, n = np.random.default_rng(2), 1000
    before, after = (generator.binomial(n, a, size=20_000) / n for a in accuracies)
    spread = ((before - after) / before).std()
    assert gst.instability_of(*accuracies, n_examples=n).standard_error == pytest.approx(spread, rel=0.04)


def test_event_that_changes_no_prediction_has_no_paired_error():
    right = torch.arange(100) < 70
    assert gst.instability_of(right, right).standard_error == pytest.approx(0, abs=1e-9)
    assert gst.instability_of(0.7, 0.7, 100).standard_error > 0.05


@pytest.mark.parametrize(
    ("before", "after", "error", "message"),
    [
        (84.0, 61.0, ValueError, r"84\.0.*must lie in \[0, 1\].*not a percentage"),
        (0.8, -0.1, ValueError, r"-0\.1"),
        (0.8, math.nan, ValueError, "nan"),
        (0.0, 0.0, ValueError, "before the event is 0"),
        (torch.zeros(5, dtype=torch.bool), torch.ones(5, dtype=torch.bool), ValueError, "before the event is 0"),
        (torch.ones(5, dtype=torch.bool), torch.ones(6, dtype=torch.bool), ValueError, "5 examples and after has 6"),
        (torch.ones(5), torch.ones(5), TypeError, "must be bool"),
        (torch.ones(5, dtype=torch.bool), 0.5, ValueError, "5 examples and after has None"),
        (torch.ones(0, dtype=torch.bool), torch.ones(0, dtype=torch.bool), ValueError, "no example"),
    ],
)
def test_evaluations_that_make_no_sense_are_named(before, after, error, message):
    with pytest.raises(error, match=message):
        gst.instability_of(before, after)


# --- accuracy ------------------------------------------------------------------------------------------------


def test_accuracy_is_the_share_of_right_examples_whatever_the_batch_size(balanced):
    x, y = balanced
    model = Knows()
    wrong = y.clone()
    wrong[:40] = (wrong[:40] + 1) % 4
    assert gst.accuracy(model, x, wrong) == 0.9
    for batch_size in (1, 7, 400, 10_000):
        assert torch.equal(gst.correct(model, x, wrong, batch_size), y == wrong)


def test_evaluation_restores_every_modules_own_mode(balanced):
    model = Knows().train()
    model.norm.eval()
    gst.correct(model, *balanced)
    assert model.training
    assert model.drop.training
    assert not model.norm.training


def test_evaluation_restores_modes_also_when_the_network_raises(balanced):
    model = Knows().train()
    with pytest.raises(ValueError, match="x: the model does not take"):
        gst.correct(model, torch.zeros(3, 9), balanced[1][:3])
    assert all(module.training for module in model.modules())


def test_evaluation_is_in_evaluation_mode_and_keeps_no_gradient(balanced):
    modes = []
    model = Knows().train()
    model.register_forward_hook(lambda module, inputs, output: modes.append((module.training, output.requires_grad)))
    gst.correct(model, *balanced)
    assert modes == [(False, False)]


@pytest.mark.parametrize("n_labels", [1, 100, 300])
def test_as_many_labels_as_examples_are_needed(balanced, n_labels):
    with pytest.raises(ValueError, match=rf"400.*{n_labels}|{n_labels}.*400"):
        gst.correct(Knows(), balanced[0], balanced[1][:n_labels], batch_size=100)


def test_accuracy_on_a_data_set_is_that_on_its_test_examples():
    data = gst.load("mnist1d", n_train=20, n_test=30)
    model = gst.conv1d_net(width=0.125)
    assert gst.accuracy(model, data) == gst.accuracy(model, data.x_test, data.y_test)
    with pytest.raises(TypeError, match=r"labels of a gst\.Dataset are its own"):
        gst.accuracy(model, data, data.y_test)
