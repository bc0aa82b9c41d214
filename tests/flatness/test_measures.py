"""Curves, radii, scale-free sharpness and matched loss against quadratics, dense matrices and closed forms."""

import copy
import math
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gst_tutorial as gst
from gst_tutorial.flatness.hessian import gradient_covariance_trace, hessian_eigenvalues, hessian_operator
from gst_tutorial.flatness.landscape import flat_radius, loss_surface, perturbation_curve, random_directions
from gst_tutorial.flatness.measures import (
    ScaledLogits,
    filter_normalized_operator,
    filter_normalized_sharpness,
    match_loss,
    measure_flatness,
)
from gst_tutorial.flatness.spectrum import top_eigenvalues


def half_squared_error(z, y):
    return 0.5 * F.mse_loss(z, y)


@pytest.fixture
def bowl():
    """A linear model at the minimum of 1/2 w^T diag(0.5, 2) w + 0: curvatures 0.5 and 2 along the axes."""
    model = nn.Linear(2, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    return model, torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double(), torch.zeros(2, 1).double()


@pytest.fixture
def net():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(1, 4, 3, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)
    ).double()
    model(torch.randn(30, 1, 8).double())
    model[1].eps = 0.0  # with it, rescaled filters are the same function exactly
    return model.eval()


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(11, 1, 8, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (11,), generator=generator)


def rescaled(model):
    """The same function with each filter multiplied by a number of its own, as batch norm allows."""
    model, a = copy.deepcopy(model), torch.tensor([0.1, 0.5, 3.0, 20.0]).double()
    with torch.no_grad():
        model[0].weight.mul_(a.view(4, 1, 1))
        model[1].running_mean.mul_(a)
        model[1].running_var.mul_(a**2)
    return model


def test_the_curve_in_a_bowl_is_a_parabola(bowl):
    curve = perturbation_curve(*bowl, np.eye(2), [-0.4, 0.0, 0.2], loss=half_squared_error)
    assert list(curve.columns) == ["direction", "epsilon", "loss", "accuracy"]
    assert list(curve.direction) == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(curve.loss, np.array([0.5] * 3 + [2] * 3) / 2 * curve.epsilon**2)
    assert curve.accuracy.isna().all()  # a regression has none


def test_the_curve_along_an_eigenvector_bends_by_its_eigenvalue(net, sample):
    top = hessian_eigenvalues(net, *sample, k=2, return_vectors=True)
    curve = perturbation_curve(net, *sample, top.vectors, [-1e-4, 0, 1e-4])
    for row, eigenvalue in enumerate(top.eigenvalues):
        left, middle, right = curve[curve.direction == row].loss
        assert (left - 2 * middle + right) / 1e-8 == pytest.approx(eigenvalue, rel=1e-3)


def test_loss_and_accuracy_are_those_of_the_moved_network_in_batches_of_any_size(net, sample):
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


def test_plain_random_directions_have_unit_length_and_leave_the_global_generators_alone(net):
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    d = random_directions(net, 3, filter_normalized=False)
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_the_loss_does_not_change_along_a_pruned_filter():
    model = gst.conv1d_net(channels=(4, 4), strides=(2, 2))
    (pruned,) = gst.prune_filters(model, "conv1", keep=3)
    direction = np.zeros(sum(p.numel() for p in model.parameters()))
    direction[3 * pruned : 3 * pruned + 3] = 1
    curve = perturbation_curve(model, torch.randn(5, 1, 40), torch.arange(5), direction, [0, 1, 100])
    assert curve.loss.nunique() == 1


def test_the_surface_contains_the_curves_on_its_axes(net, sample):
    d_1, d_2 = random_directions(net, 2)
    epsilons = np.array([-0.5, 0.0, 0.5])
    surface = loss_surface(net, *sample, d_1, d_2, epsilons)
    assert len(surface) == 9
    for axis, d in ((1, d_1), (2, d_2)):
        on_axis = surface[surface[f"epsilon_{3 - axis}"] == 0]
        np.testing.assert_allclose(on_axis.loss, perturbation_curve(net, *sample, d, epsilons).loss)


@pytest.mark.parametrize("rise", [0.1, 1e-3])
def test_the_flat_radius_of_a_bowl_is_the_root_of_two_rise_over_curvature(bowl, rise):
    radii = flat_radius(*bowl, np.eye(2), rise=rise, loss=half_squared_error)
    np.testing.assert_allclose(radii, np.sqrt(2 * rise / np.array([0.5, 2])), rtol=2e-4)


def test_the_flat_radius_is_infinite_where_the_loss_does_not_rise_in_range(bowl):
    assert flat_radius(*bowl, np.array([1.0, 0.0]), max_epsilon=0.6, loss=half_squared_error) == math.inf


def test_the_flat_radius_takes_the_nearer_side(bowl):
    model, x, y = bowl
    nn.init.constant_(model.weight, 1.0)  # on a slope now: L(eps) = (1 + eps)^2 / 4 + 1 along the first axis
    found = flat_radius(model, x, y, np.array([-1.0, 0.0]), loss=half_squared_error)
    assert found == pytest.approx(math.sqrt(1.4) - 1, rel=2e-4)


def test_a_loss_that_is_not_finite_counts_as_risen(bowl):
    def breaks(z, y):
        return half_squared_error(z, y) if z.abs().max() < 0.05 else torch.tensor(math.nan)

    assert flat_radius(*bowl, np.array([1.0, 0.0]), loss=breaks) == pytest.approx(0.05, rel=2e-4)


def test_rescaled_filters_change_the_hessian_and_not_the_filter_normalized_one(net, sample):
    other = rescaled(net)
    torch.testing.assert_close(net(sample[0]), other(sample[0]), rtol=1e-12, atol=1e-12)
    plain, plain_other = (hessian_eigenvalues(m, *sample, k=1).eigenvalues[0] for m in (net, other))
    assert plain_other > 5 * plain  # Dinh et al.: as sharp as one likes, the same function
    normal, normal_other = (top_eigenvalues(filter_normalized_operator(m, *sample), 10) for m in (net, other))
    np.testing.assert_allclose(normal_other.eigenvalues, normal.eigenvalues, rtol=1e-9)
    traces = [filter_normalized_sharpness(m, *sample, n_probes=4).trace for m in (net, other)]
    assert traces[0] == pytest.approx(traces[1], rel=1e-10)


def test_filter_normalized_sharpness_is_the_weighted_trace_of_the_filters_blocks(net, sample):
    H = hessian_operator(net, *sample) @ np.eye(95)
    expected = sum(
        float(w.square().sum()) / 3 * np.trace(H[i : i + 3, i : i + 3])
        for i, w in zip(range(0, 12, 3), net[0].weight.detach(), strict=True)
    )
    expected += sum(
        float(w.square().sum()) / 24 * np.trace(H[i : i + 24, i : i + 24])
        for i, w in zip(range(20, 92, 24), net[4].weight.detach(), strict=True)
    )
    found = filter_normalized_sharpness(net, *sample, n_probes=400)
    assert abs(found.trace - expected) < 4 * found.standard_error
    directions = random_directions(net, 4000)
    bends = np.einsum("ij,jk,ik->i", directions, H, directions)  # d^T H d along filter-normalized directions
    assert abs(bends.mean() - expected) < 4 * bends.std() / math.sqrt(4000)


class Fixed(nn.Module):
    """One example with logits (margin, 0), whatever the input."""

    def __init__(self, margin):
        super().__init__()
        self.margin = nn.Parameter(torch.tensor(margin, dtype=torch.float64))

    def forward(self, x):
        return torch.stack([self.margin.expand(len(x)), torch.zeros(len(x), dtype=torch.float64)], dim=1)


@pytest.mark.parametrize(("margin", "target"), [(5.0, 0.3), (0.01, 1e-4), (300.0, 0.6)])
def test_the_matching_scale_of_one_example_is_known_in_closed_form(margin, target):
    matched = match_loss(Fixed(margin), torch.zeros(1, 1), torch.tensor([0]), target)
    # loss = log(1 + exp(-scale margin))
    assert matched.scale == pytest.approx(-math.log(math.expm1(target)) / margin, rel=1e-9)


def test_matching_changes_the_loss_and_no_prediction(net, sample):
    x, y = sample[0], net(sample[0]).argmax(dim=1)  # targets that the network gets right
    net.train()
    matched = match_loss(net, x, y, 0.5, batch_size=4)
    assert net.training
    matched.eval()
    assert F.cross_entropy(matched(x), y).item() == pytest.approx(0.5)
    assert torch.equal(matched(x).argmax(dim=1), y)


def test_the_scale_lies_on_the_falling_branch_when_some_predictions_are_wrong(net, sample):
    x, y = sample[0], net(sample[0]).argmax(dim=1)
    y[0] = (y[0] + 1) % 3
    z = net(x).detach()
    losses = [float(F.cross_entropy(s * z, y)) for s in np.geomspace(1e-3, 100, 3000)]
    lowest = min(losses)
    assert lowest > 0.05
    scale = match_loss(net, x, y, lowest * 1.001).scale
    assert scale <= np.geomspace(1e-3, 100, 3000)[int(np.argmin(losses))] * 1.01
    with pytest.raises(ValueError, match="out of reach"):
        match_loss(net, x, y, lowest * 0.99)


def test_a_network_worse_than_chance_reaches_no_loss_below_chance():
    with pytest.raises(ValueError, match="out of reach"):
        match_loss(Fixed(1.0), torch.zeros(1, 1), torch.tensor([1]), 0.3)


def test_scaling_the_logits_by_one_changes_no_curvature(net, sample):
    plain = hessian_eigenvalues(net, *sample, k=3).eigenvalues
    np.testing.assert_allclose(hessian_eigenvalues(ScaledLogits(net, 1.0), *sample, k=3).eigenvalues, plain)


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(60, 1, 40, generator=generator), torch.arange(60) % 3
    return types.SimpleNamespace(x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])


@pytest.fixture
def trained(dataset):
    torch.manual_seed(0)
    model = gst.conv1d_net(n_classes=3, channels=(4, 4), strides=(2, 2))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(model(dataset.x_train), dataset.y_train).backward()
        optimizer.step()
    return model


def test_every_measure_of_a_run_is_finite_repeatable_and_what_the_single_functions_say(trained, dataset):
    gst.prune_filters(trained, "conv2", 0.5)
    flags = [m.training for m in trained.modules()]
    found = measure_flatness(trained, dataset, k=8, matched_loss=0.9)
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())
    assert {name.split("_", 1)[0] for name in found} == {"train", "test"}
    assert found == measure_flatness(trained, dataset, k=8, matched_loss=0.9)
    assert [m.training for m in trained.modules()] == flags
    # 40 and 20 examples are fewer than 512: the samples are all of them
    for split in ("train", "test"):
        x, y = getattr(dataset, f"x_{split}"), getattr(dataset, f"y_{split}")
        top = hessian_eigenvalues(trained, x, y, k=8)
        assert found[f"{split}_hessian_sum"] == pytest.approx(top.sum, rel=1e-3)
        assert found[f"{split}_hessian_max"] == pytest.approx(top.eigenvalues[0], rel=1e-3)
        covariance = gradient_covariance_trace(trained, x, y)
        assert found[f"{split}_gradient_covariance"] == pytest.approx(covariance.uncentred, rel=1e-4)
        assert found[f"{split}_hessian_trace"] == pytest.approx(
            np.trace(hessian_operator(trained.eval(), x, y) @ np.eye(sum(p.numel() for p in trained.parameters()))),
            rel=0.1,
        )
        trained.train()


def test_any_study_records_flatness_at_the_end_of_its_runs_on_training_and_held_out_data(tmp_path):
    quick = gst.RunConfig(width=0.25, n_train=100, n_test=100).replace(epochs=2, batch_size=50, milestones=())
    pruned = quick.replace(intervention="prune", schedule=gst.PruneSchedule(0, 0, 1), measures=("flatness",))
    study = gst.Study("mine", "Is it flat?", {"none": quick, "prune": pruned}, range(1))
    frame = gst.sweep(study, n_jobs=1, store=gst.ResultStore(tmp_path)).set_index("label")
    result = gst.run(pruned.replace(seed=0))
    expected = measure_flatness(result.model, result.dataset)  # of the network as training left it
    assert expected["train_hessian_trace"] != expected["test_hessian_trace"]
    assert frame.loc["prune", list(expected)].astype(float).to_dict() == pytest.approx(expected, nan_ok=True)
    assert frame.loc["none", list(expected)].isna().all()  # not asked for, not measured


def test_a_matched_loss_out_of_reach_is_nan_and_the_rest_is_measured(trained, dataset):
    dataset.y_train = dataset.y_train.roll(1)  # labels that the network gets wrong
    found = measure_flatness(trained, dataset, k=2, matched_loss=0.01)
    assert math.isnan(found["train_matched_hessian_max"])
    assert math.isfinite(found["train_hessian_sum"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x, y: perturbation_curve(m, x, y, np.ones(3), [0.1]), "95 entries"),
        (lambda m, x, y: perturbation_curve(m, x, y, np.full(95, np.nan), [0.1]), "directions"),
        (lambda m, x, y: perturbation_curve(m, x, y, np.ones(95), []), "epsilons"),
        (lambda m, x, y: flat_radius(m, x, y, np.ones(95), rise=0), "rise"),
        (lambda m, x, y: flat_radius(m, x, y, np.ones(95), max_epsilon=-1), "max_epsilon"),
        (lambda m, x, y: random_directions(m, 0), "n=0"),
        (lambda m, x, y: match_loss(m, x, y, 2.0), "target_loss"),
    ],
)
def test_bad_input_is_named(net, sample, call, words):
    with pytest.raises(ValueError, match=words):
        call(net, *sample)
