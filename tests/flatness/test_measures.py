"""Matched loss, and every measure of a run, against closed forms and the single functions."""

import copy
import math
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator
from torch import nn

import gst_tutorial as gst
from gst_tutorial.flatness import measures
from gst_tutorial.flatness.hessian import gradient_covariance_trace, hessian_eigenvalues, hessian_operator
from gst_tutorial.flatness.measures import (
    match_loss,
    measure_curvature,
    measure_flatness,
    measure_sharpness,
)


class Fixed(nn.Module):
    """One example with logits (margin, 0), whatever the input."""

    def __init__(self, margin):
        super().__init__()
        self.margin = nn.Parameter(torch.tensor(margin, dtype=torch.float64))

    def forward(self, x):
        return torch.stack([self.margin.expand(len(x)), torch.zeros(len(x), dtype=torch.float64)], dim=1)


@pytest.mark.parametrize(("margin", "target"), [(5.0, 0.3), (0.01, 1e-4), (300.0, 0.6)])
def test_matching_scale_of_one_example_is_known_in_closed_form(margin, target):
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


def test_matching_scale_is_on_the_falling_branch(net, sample):
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


def test_network_worse_than_chance_reaches_no_loss_below_chance():
    with pytest.raises(ValueError, match="out of reach"):
        match_loss(Fixed(1.0), torch.zeros(1, 1), torch.tensor([1]), 0.3)


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


def test_measures_are_repeatable_and_equal_the_single_functions(trained, dataset):
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


def test_study_records_flatness_on_training_and_held_out_data(tmp_path):
    quick = gst.RunConfig(width=0.25, n_train=100, n_test=100).replace(epochs=2, batch_size=50, milestones=())
    pruned = quick.replace(intervention="prune", schedule=gst.PruneSchedule(0, 0, 1), measures=("flatness",))
    study = gst.Study("mine", "Is it flat?", {"none": quick, "prune": pruned}, range(1))
    frame = gst.sweep(study, n_jobs=1, store=gst.ResultStore(tmp_path)).set_index("label")
    result = gst.run(pruned.replace(seed=0))
    expected = measure_flatness(result.model, result.dataset)  # of the network as training left it
    assert expected["train_hessian_trace"] != expected["test_hessian_trace"]
    assert frame.loc["prune", list(expected)].astype(float).to_dict() == pytest.approx(expected, nan_ok=True)
    assert frame.loc["none", list(expected)].isna().all()  # not asked for, not measured


def test_matched_loss_out_of_reach_is_nan_and_the_rest_is_measured(trained, dataset):
    dataset.y_train = dataset.y_train.roll(1)  # labels that the network gets wrong
    found = measure_flatness(trained, dataset, k=2, matched_loss=0.01)
    assert math.isnan(found["train_matched_hessian_max"])
    assert math.isfinite(found["train_hessian_sum"])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"matched_loss": math.nan}, ValueError, "matched_loss=nan"),
        ({"matched_loss": 0}, ValueError, "matched_loss=0"),
        ({"matched_loss": 2.0}, ValueError, "matched_loss=2.0"),  # more than log 3, the loss of a guess
        ({"k": 0}, ValueError, "k=0"),
        ({"n_probes": 1}, ValueError, "n_probes=1"),
        ({"n_test_examples": 0}, ValueError, "n_test_examples=0"),
        ({"dataset": None}, TypeError, "dataset"),
    ],
)
def test_bad_argument_of_a_set_of_measures_is_named_before_any_work(trained, dataset, change, error, words):
    for measure in (measure_flatness, measure_curvature, measure_sharpness):
        with pytest.raises(error, match=words):
            measure(**{"model": trained, "dataset": dataset} | change)


def test_diverged_network_is_refused(trained, dataset):
    with torch.no_grad():
        trained.head.bias[0] = math.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        measure_flatness(trained, dataset)
    with pytest.raises(FloatingPointError, match="not finite"):
        match_loss(trained, dataset.x_train, dataset.y_train, 0.5)


# --- sharpness: at equal loss, per relative change of the weights -------------------------------------------------


def plain(x, y):
    """A dataset whose training and test examples are the same."""
    return types.SimpleNamespace(x_train=x, y_train=y, x_test=x, y_test=y)


def sharpness(model, dataset, **options):
    return measure_sharpness(model, dataset, **({"matched_loss": 0.9} | options))


def test_sharpness_of_softmax_regression_is_its_closed_form():
    generator = torch.Generator().manual_seed(3)
    x, model = torch.randn(30, 2, generator=generator).double(), nn.Linear(2, 3).double()
    y = model(x).argmax(dim=1)
    y[:4] = (y[:4] + 1) % 3
    found = measure_sharpness(model, plain(x, y), matched_loss=0.9)
    s = match_loss(model, x, y, 0.9).scale
    p = torch.softmax(s * model(x), dim=1).detach().numpy()
    # H = 1/N sum s^2 (diag(p) - p p^T) (x) x x^T in the weights; D = |w_c| / sqrt(2) for the row w_c of class c
    hessian = sum(
        s**2 * np.kron(np.diag(each) - np.outer(each, each), np.outer(a, a)) for each, a in zip(p, x.numpy())
    ) / len(x)
    d = np.repeat(model.weight.detach().norm(dim=1).numpy() / math.sqrt(2), 2)
    normalized = d[:, None] * hessian * d
    for split in ("train", "test"):
        # five eigenvalues are all that are not zero, so that the trace is exact
        assert found[f"{split}_matched_normalized_max"] == pytest.approx(np.linalg.eigvalsh(normalized)[-1], rel=1e-6)
        assert found[f"{split}_matched_normalized_trace"] == pytest.approx(np.trace(normalized), rel=1e-6)


@pytest.fixture
def exact(trained):
    """`trained` in double precision, with a vanishing epsilon in batch norm: rescaled filters are then the same function."""
    for module in trained.double().modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eps = 1e-12
    return trained


def in_double(dataset):
    return types.SimpleNamespace(
        **{name: value.double() if name[0] == "x" else value for name, value in vars(dataset).items()}
    )


@torch.no_grad()
def lengthen_filters(model, factors):
    layer = gst.prunable_layers(model)["conv2"]
    layer.conv.weight *= factors[:, None, None]
    layer.norm.running_mean *= factors
    layer.norm.running_var *= factors**2


@torch.no_grad()
def scale_the_head(model, factor):
    model.head.weight *= factor
    model.head.bias *= factor


@torch.no_grad()
def move_from_batch_norm_to_the_head(model, factor):
    norm = gst.prunable_layers(model)["conv2"].norm
    norm.weight *= factor
    norm.bias *= factor
    model.head.weight /= factor


@pytest.mark.parametrize(
    "change",
    [
        lambda model: lengthen_filters(model, torch.tensor([0.2, 1.0, 3.0, 10.0]).double()),
        lambda model: scale_the_head(model, 7.0),
        lambda model: move_from_batch_norm_to_the_head(model, 3.0),
    ],
    ids=["longer filters under batch norm", "larger logits", "two layers of a ReLU network"],
)
def test_sharpness_ignores_changes_that_keep_every_decision(exact, dataset, change):
    dataset = in_double(dataset)
    before, other = sharpness(exact, dataset), copy.deepcopy(exact)
    change(other)
    assert torch.equal(*(m.eval()(dataset.x_test).argmax(dim=1) for m in (exact, other)))
    assert sharpness(other, dataset) == pytest.approx(before, rel=1e-4)
    # what it is for: the plain Hessian does see it
    traces = [gst.flatness.hessian_trace(m, dataset.x_train, dataset.y_train).trace for m in (exact, other)]
    assert abs(traces[1] / traces[0] - 1) > 0.2


def test_masked_network_is_as_sharp_as_the_compacted_one(exact, dataset):
    dataset = in_double(dataset)
    whole = sharpness(exact, dataset, matched_loss=1.05)
    for name in ("conv1", "conv2"):
        gst.prune_filters(exact, name, 0.5)
    # with every eigenvalue known the trace has no error of its probes: the two networks differ in size, hence in probes
    n = sum(p.numel() for p in gst.compact(exact).parameters())
    masked = sharpness(exact, dataset, k=n, matched_loss=1.05)
    assert all(map(math.isfinite, masked.values()))
    assert masked != pytest.approx(whole, rel=0.01)
    assert sharpness(gst.compact(exact), dataset, k=n, matched_loss=1.05) == pytest.approx(masked, rel=1e-6)
    with torch.no_grad():  # pruned filters, and what reads them, may hold anything
        for layer in gst.prunable_layers(exact).values():
            layer.conv.weight[~layer.mask.kept] *= 100
        exact.head.weight.view(3, 4, -1)[:, ~gst.prunable_layers(exact)["conv2"].mask.kept] += 5
    assert sharpness(exact, dataset, k=n, matched_loss=1.05) == pytest.approx(masked, rel=1e-6)


def test_run_can_record_sharpness_with_the_other_measures():
    config = gst.RunConfig(width=0.25, n_train=100, n_test=100, epochs=2, batch_size=50, milestones=())
    result = gst.run(config.replace(measures=("curvature", "sharpness"), schedule=gst.PruneSchedule(0, 0, 1)))
    alone = measure_sharpness(result.model, result.dataset)
    assert set(alone) == {f"{s}_matched_normalized_{name}" for s in ("train", "test") for name in ("max", "trace")}
    assert not set(alone) & set(measure_flatness(result.model, result.dataset, 20, 20, k=2))
    assert {name: result.numbers[name] for name in alone} == pytest.approx(alone, rel=1e-3, nan_ok=True)


def test_sharpness_takes_about_32_products_per_sample(exact, dataset, monkeypatch):
    products, real = [], measures.filter_normalized_operator

    def counted(at, scales):
        operator = real(at, scales)
        return LinearOperator(operator.shape, lambda v: products.append(1) or operator.matvec(v), dtype=np.float64)

    monkeypatch.setattr(measures, "filter_normalized_operator", counted)
    sharpness(exact, in_double(dataset))
    assert len(products) <= 70


def test_sharpness_out_of_reach_is_nan(trained, dataset):
    dataset.y_train = dataset.y_train.roll(1)  # labels that the network gets wrong
    assert all(math.isnan(value) for value in measure_sharpness(trained, dataset, matched_loss=0.01).values())
