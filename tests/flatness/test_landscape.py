"""Curves, surfaces and radii of the loss against quadratics, copies of the network and closed forms."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gst_tutorial as gst
from gst_tutorial.flatness.hessian import hessian_eigenvalues
from gst_tutorial.flatness.landscape import flat_radius, loss_surface, perturbation_curve, random_directions
from tests.flatness.references import half_squared_error


def test_curve_in_a_bowl_is_a_parabola(bowl):
    curve = perturbation_curve(*bowl, np.eye(2), [-0.4, 0.0, 0.2], loss=half_squared_error)
    assert list(curve.columns) == ["direction", "epsilon", "loss", "accuracy"]
    assert list(curve.direction) == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(curve.loss, np.array([0.5] * 3 + [2] * 3) / 2 * curve.epsilon**2)
    assert curve.accuracy.isna().all()  # a regression has none


def test_curve_along_an_eigenvector_bends_by_its_eigenvalue(net, sample):
    top = hessian_eigenvalues(net, *sample, k=2, return_vectors=True)
    curve = perturbation_curve(net, *sample, top.vectors, [-1e-4, 0, 1e-4])
    for row, eigenvalue in enumerate(top.eigenvalues):
        left, middle, right = curve[curve.direction == row].loss
        assert (left - 2 * middle + right) / 1e-8 == pytest.approx(eigenvalue, rel=1e-3)


def test_curve_has_loss_and_accuracy_of_the_moved_network(net, sample):
    (d,) = random_directions(net, 1)
    moved = copy.deepcopy(net)
    with torch.no_grad():
        nn.utils.vector_to_parameters(
            nn.utils.parameters_to_vector(net.parameters()) + 0.3 * torch.from_numpy(d), moved.parameters()
        )
        logits = moved(sample[0])
    for batch_size in (4, 512):
        curve = perturbation_curve(net, *sample, {"random": d}, [0.3], batch_size=batch_size)
        assert curve.direction[0] == "random"
        assert curve.loss[0] == pytest.approx(F.cross_entropy(logits, sample[1]).item())
        assert curve.accuracy[0] == pytest.approx((logits.argmax(1) == sample[1]).double().mean().item())


def test_parameters_and_flags_are_untouched_to_the_bit_even_after_an_error(net, sample):
    net.train()
    net[1].eval()
    before, versions = copy.deepcopy(net.state_dict()), [p._version for p in net.parameters()]
    flags, calls = [m.training for m in net.modules()], []

    def fails_at_the_third_call(z, y):
        calls.append(1)
        return F.cross_entropy(z, y) if len(calls) < 3 else 1 / 0

    perturbation_curve(net, *sample, random_directions(net, 2), np.linspace(-1, 1, 5))
    with pytest.raises(ZeroDivisionError):
        perturbation_curve(net, *sample, random_directions(net, 1), [-1, 0, 1], loss=fails_at_the_third_call)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert [p._version for p in net.parameters()] == versions
    assert [m.training for m in net.modules()] == flags


def test_filter_normalized_directions_are_as_long_as_each_filter(net):
    d = random_directions(net, 2, seed=5)
    conv, norm, head, bias = d[:, :12].reshape(2, 4, 3), d[:, 12:20], d[:, 20:92].reshape(2, 3, 24), d[:, 92:]
    for part, weight in ((conv, net[0].weight), (head, net[4].weight)):
        expected = weight.detach().flatten(1).norm(dim=1).numpy()
        np.testing.assert_allclose(np.linalg.norm(part, axis=2), np.broadcast_to(expected, part.shape[:2]))
    assert not norm.any()
    assert not bias.any()
    assert np.array_equal(d, random_directions(net, 2, seed=5))
    assert not np.array_equal(d, random_directions(net, 2, seed=6))


def test_plain_directions_have_unit_length_and_own_generators(net):
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    d = random_directions(net, 3, filter_normalized=False)
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_loss_does_not_change_along_a_pruned_filter():
    model = gst.conv1d_net(channels=(4, 4), strides=(2, 2))
    (pruned,) = gst.prune_filters(model, "conv1", keep=3)
    direction = np.zeros(sum(p.numel() for p in model.parameters()))
    direction[3 * pruned : 3 * pruned + 3] = 1
    curve = perturbation_curve(model, torch.randn(5, 1, 40), torch.arange(5), direction, [0, 1, 100])
    assert curve.loss.nunique() == 1


def test_surface_contains_the_curves_on_its_axes(net, sample):
    d_1, d_2 = random_directions(net, 2)
    epsilons = np.array([-0.5, 0.0, 0.5])
    surface = loss_surface(net, *sample, d_1, d_2, epsilons)
    assert len(surface) == 9
    for axis, d in ((1, d_1), (2, d_2)):
        on_axis = surface[surface[f"epsilon_{3 - axis}"] == 0]
        np.testing.assert_allclose(on_axis.loss, perturbation_curve(net, *sample, d, epsilons).loss)


@pytest.mark.parametrize("rise", [0.1, 1e-3])
def test_flat_radius_of_a_bowl_is_the_root_of_two_rise_over_curvature(bowl, rise):
    radii = flat_radius(*bowl, np.eye(2), rise=rise, loss=half_squared_error)
    np.testing.assert_allclose(radii, np.sqrt(2 * rise / np.array([0.5, 2])), rtol=2e-4)


def test_flat_radius_is_infinite_where_the_loss_does_not_rise_in_range(bowl):
    assert flat_radius(*bowl, np.array([1.0, 0.0]), max_epsilon=0.6, loss=half_squared_error) == math.inf


def test_flat_radius_takes_the_nearer_side(bowl):
    model, x, y = bowl
    nn.init.constant_(model.weight, 1.0)  # on a slope now: L(eps) = (1 + eps)^2 / 4 + 1 along the first axis
    found = flat_radius(model, x, y, np.array([-1.0, 0.0]), loss=half_squared_error)
    assert found == pytest.approx(math.sqrt(1.4) - 1, rel=2e-4)


def test_loss_that_is_not_finite_counts_as_risen(bowl):
    def breaks(z, y):
        return half_squared_error(z, y) if z.abs().max() < 0.05 else torch.tensor(math.nan)

    assert flat_radius(*bowl, np.array([1.0, 0.0]), loss=breaks) == pytest.approx(0.05, rel=2e-4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x, y: perturbation_curve(m, x, y, np.ones(3), [0.1]), "95 entries"),
        (lambda m, x, y: perturbation_curve(m, x, y, np.full(95, np.nan), [0.1]), "directions"),
        (lambda m, x, y: perturbation_curve(m, x, y, np.ones(95), []), "epsilons"),
        (lambda m, x, y: flat_radius(m, x, y, np.ones(95), rise=0), "rise"),
        (lambda m, x, y: flat_radius(m, x, y, np.ones(95), max_epsilon=-1), "max_epsilon"),
        (lambda m, x, y: random_directions(m, 0), "n=0"),
        (lambda m, x, y: perturbation_curve(m, x, y, {"up": "far"}, [0.1]), "directions"),
        (lambda m, x, y: perturbation_curve(m, x, y, np.ones((5, 19)), [0.1]), r"95 entries.*\(5, 19\)"),
        (lambda m, x, y: loss_surface(m, x, y, np.ones(95), np.ones(94), [0.1]), "direction_2"),
    ],
)
def test_bad_input_is_named(net, sample, call, words):
    with pytest.raises(ValueError, match=words):
        call(net, *sample)


def test_diverged_network_has_no_flat_radius(net, sample):
    with torch.no_grad():
        net[4].bias[0] = math.nan
    with pytest.raises(FloatingPointError, match="loss of the network itself is nan"):
        flat_radius(net, *sample, np.ones(95))
