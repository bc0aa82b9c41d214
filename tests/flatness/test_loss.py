"""The loss on a sample: its values and gradient against copies of the network, and what it refuses."""

import copy
import inspect
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gst_tutorial as gst
from gst_tutorial import flatness
from gst_tutorial.flatness.landscape import random_directions
from gst_tutorial.flatness.loss import SampleLoss, on_sample
from tests.flatness.references import gradient_of


@pytest.mark.parametrize("batch_size", [1, 4, 512])
def test_value_accuracy_outputs_and_gradient_are_those_of_the_network(net, sample, batch_size):
    x, y = sample
    at = SampleLoss(net, x, y, batch_size=batch_size)
    logits = net(x).detach()
    assert at.value() == pytest.approx(F.cross_entropy(logits, y).item())
    assert at.evaluate().accuracy == pytest.approx((logits.argmax(1) == y).double().mean().item())
    torch.testing.assert_close(at.outputs(), logits)
    np.testing.assert_allclose(at.gradient(), gradient_of(net, x, y), atol=1e-14)
    assert at.gradient().shape == (at.size,)


def test_offset_moves_the_parameters_and_leaves_the_network_alone(net, sample):
    (step,) = random_directions(net, 1)
    before, moved = copy.deepcopy(net.state_dict()), copy.deepcopy(net)
    at = SampleLoss(net, *sample)
    found = at.value(0.2 * step)
    with torch.no_grad():
        for name, p in moved.named_parameters():
            p += at.split(0.2 * step)[name]
    assert found == pytest.approx(SampleLoss(moved, *sample).value())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_sample_loss_follows_the_network_through_training(net, sample):
    at = SampleLoss(net, *sample)
    before = at.value()
    with torch.no_grad():
        net[0].weight.mul_(2)
        net[4].weight.mul_(2)
    assert at.value() == pytest.approx(SampleLoss(net, *sample).value())
    assert at.value() != before


def test_evaluation_mode_is_restored_even_after_an_error(net, sample):
    expected = SampleLoss(net, *sample).value()
    net.train()
    net[4].eval()
    flags = [m.training for m in net.modules()]
    assert SampleLoss(net, *sample).value() == expected
    with pytest.raises(ZeroDivisionError):
        SampleLoss(net, *sample, loss=lambda z, y: 1 / 0)
    assert [m.training for m in net.modules()] == flags


def test_accuracy_of_nan_logits_is_nan(net, sample):
    with torch.no_grad():
        net[4].bias[1] = math.nan
    assert math.isnan(SampleLoss(net, *sample).evaluate().accuracy)


def test_regression_has_a_loss_and_no_accuracy(bowl):
    found = SampleLoss(*bowl, loss=F.mse_loss).evaluate(np.array([1.0, 1.0]))
    assert found.loss == 2.5
    assert math.isnan(found.accuracy)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("hessian_eigenvalues", {"k": 3}),
        ("hessian_trace", {"n_probes": 3}),
        ("gradient_covariance_trace", {}),
        ("filter_normalized_sharpness", {"n_probes": 3}),
        ("flat_radius", {"directions": np.ones(95)}),
        ("perturbation_curve", {"directions": np.ones(95), "epsilons": [0.1]}),
        ("loss_surface", {"direction_1": np.ones(95), "direction_2": np.ones(95), "epsilons": [0.1]}),
    ],
)
def test_every_measure_takes_a_sample_loss_a_dataset_or_examples(net, sample, name, arguments):
    measure = getattr(flatness, name)
    spelled = measure(net, *sample, batch_size=4, **arguments)
    once = measure(SampleLoss(net, *sample, batch_size=4), **arguments)
    named = measure(model=net, x=sample[0], y=sample[1], batch_size=4, **arguments)
    of_dataset = measure(net, gst.Dataset("held out", *sample, *sample, 3), batch_size=4, **arguments)
    assert str(spelled) == str(once) == str(named) == str(of_dataset)


def test_signature_of_a_measure_includes_the_arguments_of_the_sample():
    @on_sample
    def power(at, exponent=2, *, offset=None):
        """A power of the loss."""
        return at.value(offset) ** exponent

    assert list(inspect.signature(power).parameters) == ["model", "x", "y", "exponent", "offset", "batch_size", "loss"]
    assert power.__doc__ == "A power of the loss."
    with pytest.raises(TypeError, match="required argument: 'y'"):
        power(nn.Linear(1, 1), torch.zeros(1, 1))
    with pytest.raises(TypeError, match="ofset"):
        power(nn.Linear(1, 1), torch.zeros(1, 1), torch.zeros(1, 1), ofset=1)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": torch.zeros(0, 1, 8)}, ValueError, "same number of examples"),
        ({"y": torch.zeros(5, dtype=torch.long)}, ValueError, "same number of examples"),
        ({"y": torch.tensor(1)}, ValueError, "same number of examples"),
        ({"x": np.zeros((11, 1, 8))}, TypeError, "x must be a torch.Tensor"),
        ({"x": torch.zeros(11, 1, 9).double()}, ValueError, r"x: the model does not take \(1, 1, 9\)"),
        ({"x": torch.zeros(11, 1, 8)}, ValueError, "x: the model does not take .*float32"),
        ({"y": torch.full((11,), 3)}, ValueError, r"classes from 0 to 2.*values 3 to 3"),
        ({"y": torch.full((11,), -100)}, ValueError, "classes from 0"),
        ({"y": torch.zeros(11, 1, dtype=torch.long)}, ValueError, r"y must be \(N,\) classes"),
        ({"y": torch.zeros(11)}, ValueError, "y: the loss does not take"),
        ({"loss": "cross_entropy"}, TypeError, "loss='cross_entropy'"),
        ({"loss": lambda z, y: F.cross_entropy(z, y, reduction="none").repeat(2)}, ValueError, "loss must return one"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 2.5}, TypeError, "batch_size"),
        ({"model": nn.Flatten()}, ValueError, "no parameter"),
        ({"model": nn.LSTM(8, 3).double()}, TypeError, "model must return a tensor, not tuple"),
        ({"model": "vgg11"}, TypeError, "model must be a torch.nn.Module"),
        ({"model": nn.Sequential(nn.BatchNorm1d(1, track_running_stats=False))}, ValueError, "running statistics"),
    ],
)
def test_bad_input_is_named(net, sample, change, error, words):
    arguments = {"model": net, "x": sample[0], "y": sample[1]} | change
    with pytest.raises(error, match=words):
        flatness.hessian_operator(**arguments)
