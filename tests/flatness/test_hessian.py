"""Hessian products, eigenvalues, traces and gradient covariance against dense matrices and closed forms."""

import copy
import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gst_tutorial as gst
from gst_tutorial.flatness.hessian import (
    filter_normalized_operator,
    filter_normalized_sharpness,
    gradient_covariance_trace,
    hessian_eigenvalues,
    hessian_operator,
    hessian_trace,
)
from gst_tutorial.flatness.landscape import random_directions
from gst_tutorial.flatness.spectrum import top_eigenvalues
from tests.flatness.references import as_dense, dense_hessian, gradient_of, rescaled


@pytest.fixture
def smooth():
    """A small convolutional network with batch norm whose running statistics are not the initial ones."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(1, 3, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(18, 3)
    ).double()
    model(torch.randn(20, 1, 8).double())
    return model.eval()


@pytest.fixture
def seven():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, 1, 8, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (7,), generator=generator)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_products_equal_the_dense_hessian_for_batches_of_unequal_sizes(smooth, seven, batch_size):
    H = as_dense(hessian_operator(smooth, *seven, batch_size=batch_size))
    np.testing.assert_allclose(H, dense_hessian(smooth, *seven), atol=1e-12)


@pytest.mark.parametrize("affine", [True, False])
def test_products_are_right_with_batch_norm_for_images_and_in_place_relu(affine):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(2, affine=affine)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), norm, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(18, 2)).double()
    x, y = torch.randn(5, 1, 4, 4).double(), torch.tensor([0, 1, 0, 1, 1])
    model(x)  # moves the running statistics
    model.eval()
    np.testing.assert_allclose(as_dense(hessian_operator(model, x, y)), dense_hessian(model, x, y), atol=1e-12)


def test_softmax_regression_has_its_analytic_hessian(seven):
    x, y = seven[0].flatten(1), seven[1]
    model = nn.Linear(8, 3, bias=False).double()
    p = torch.softmax(model(x), dim=1).detach()
    expected = sum(torch.kron(torch.diag(q) - torch.outer(q, q), torch.outer(z, z)) for q, z in zip(p, x, strict=True))
    np.testing.assert_allclose(as_dense(hessian_operator(model, x, y)), expected.numpy() / 7, atol=1e-14)


def test_products_equal_those_of_curvlinops(smooth, seven):
    curvlinops = pytest.importorskip("curvlinops")
    x, y = seven
    parameters = list(smooth.parameters())
    theirs = curvlinops.HessianLinearOperator(
        smooth, nn.CrossEntropyLoss(), parameters, [(x[:4], y[:4]), (x[4:], y[4:])], check_deterministic=False
    ).to_scipy()
    v = np.random.default_rng(0).standard_normal(theirs.shape[0])
    np.testing.assert_allclose(hessian_operator(smooth, x, y) @ v, theirs @ v, atol=1e-12)


def test_parameters_without_gradient_are_left_out(smooth, seven):
    smooth[0].requires_grad_(False)
    H = as_dense(hessian_operator(smooth, *seven))
    assert H.shape[0] == sum(p.numel() for p in smooth.parameters()) - 12
    np.testing.assert_allclose(H, dense_hessian(smooth, *seven), atol=1e-12)


def test_pruned_filter_has_rows_of_zeros_in_the_hessian():
    model = gst.conv1d_net(n_classes=3, channels=(4, 4), strides=(2, 2)).double().eval()
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(6, 1, 40, generator=generator).double(), torch.tensor([0, 1, 2, 0, 1, 2])
    (pruned,) = gst.prune_filters(model, "conv1", keep=3)
    H = as_dense(hessian_operator(model, x, y))
    np.testing.assert_allclose(H, dense_hessian(model, x, y), atol=1e-12)
    start = 3 * int(pruned)
    assert not H[start : start + 3].any()
    assert not H[:, start : start + 3].any()
    assert H[(start + 3) % 12 : (start + 3) % 12 + 3].any()
    rows = [gradient_of(model, x[i : i + 1], y[i : i + 1]) for i in range(6)]
    assert gradient_covariance_trace(model, x, y).uncentred == pytest.approx(np.square(rows).sum() / 6)


def test_eigenvalues_are_those_of_the_dense_hessian_by_magnitude(smooth, seven):
    values = np.linalg.eigvalsh(dense_hessian(smooth, *seven))
    values = values[np.argsort(-np.abs(values))]
    result = hessian_eigenvalues(smooth, *seven, k=30, return_vectors=True)
    assert (values[:30] < 0).any(), "the example should have negative eigenvalues"
    np.testing.assert_allclose(result.eigenvalues, values[:30], atol=1e-6 * values[0])
    np.testing.assert_allclose(result.vectors @ result.vectors.T, np.eye(30), atol=1e-8)
    assert result.converged.all()


def test_hessian_trace_is_that_of_the_dense_hessian(smooth, seven):
    found = hessian_trace(smooth, *seven, n_probes=300, seed=3)
    assert abs(found.trace - np.trace(dense_hessian(smooth, *seven))) < 4 * found.standard_error
    assert found == hessian_trace(smooth, *seven, n_probes=300, seed=3)
    assert found != hessian_trace(smooth, *seven, n_probes=300, seed=4)


@pytest.mark.parametrize("chunk_size", [1, 3, 64])
def test_gradient_covariance_equals_a_loop_over_single_examples(smooth, seven, chunk_size):
    x, y = seven
    gradients = np.stack([gradient_of(smooth, x[i : i + 1], y[i : i + 1]) for i in range(7)])
    found = gradient_covariance_trace(smooth, x, y, chunk_size=chunk_size)
    assert found.uncentred == pytest.approx(np.mean(np.sum(gradients**2, axis=1)))
    assert found.centred == pytest.approx(np.trace(np.cov(gradients.T, bias=True)))


def test_flags_parameters_and_global_generators_are_left_alone(smooth, seven):
    smooth.train()
    smooth[1].eval()
    flags = [m.training for m in smooth.modules()]
    before = copy.deepcopy(smooth.state_dict())
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    hessian_eigenvalues(smooth, *seven, k=3)
    hessian_trace(smooth, *seven, n_probes=2)
    gradient_covariance_trace(smooth, *seven)
    assert [m.training for m in smooth.modules()] == flags
    assert all(torch.equal(before[name], value) for name, value in smooth.state_dict().items())
    assert all(p.grad is None for p in smooth.parameters())
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert python_state == random.getstate()


@pytest.mark.parametrize("batch_size", [3, 7])
def test_operator_is_refused_once_the_parameters_have_changed(smooth, seven, batch_size):
    operator = hessian_operator(smooth, *seven, batch_size=batch_size)
    with torch.no_grad():
        smooth[0].weight.mul_(2)
    with pytest.raises(RuntimeError, match="changed"):
        operator @ np.ones(operator.shape[0])


def test_diverged_network_is_reported(smooth, seven):
    with torch.no_grad():
        smooth[0].weight.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="not finite"):
        hessian_eigenvalues(smooth, *seven, k=3)


def test_products_can_be_made_inside_no_grad(smooth, seven):
    with torch.no_grad():
        np.testing.assert_allclose(
            as_dense(hessian_operator(smooth, *seven)), dense_hessian(smooth, *seven), atol=1e-12
        )


def convolution_precision():
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision if hasattr(cudnn, "conv") else cudnn.allow_tf32


def test_products_switch_tf32_off_and_restore_the_setting(smooth, seven):
    seen, before = [], convolution_precision()

    def watched(z, y):
        seen.append(convolution_precision())
        return F.cross_entropy(z, y)

    for batch_size in (3, 7):
        operator = hessian_operator(smooth, *seven, batch_size=batch_size, loss=watched)
        operator @ np.ones(operator.shape[0])
    assert seen and set(seen) <= {"ieee", False}
    assert convolution_precision() == before
    with pytest.raises(ZeroDivisionError):
        hessian_operator(smooth, *seven, loss=lambda z, y: 1 / 0)
    assert convolution_precision() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_gives_the_same_eigenvalues(smooth, seven):
    expected = hessian_eigenvalues(smooth, *seven, k=5).eigenvalues
    found = hessian_eigenvalues(smooth.cuda(), *seven, k=5).eigenvalues  # the data is moved to the model
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_single_precision_on_a_gpu_converges_to_the_eigenvalues_of_the_cpu():
    model, x, y = gst.conv1d_net().eval(), torch.randn(64, 1, 40), torch.arange(64) % 10
    expected = hessian_eigenvalues(model, x, y, k=5).eigenvalues
    found = hessian_eigenvalues(model.cuda(), x, y, k=5)  # with TF32 no pair would pass its residual test
    assert found.converged.all()
    np.testing.assert_allclose(found.eigenvalues, expected, rtol=1e-3)


def test_filter_normalized_curvature_ignores_rescaled_filters(net, sample):
    other = rescaled(net)
    torch.testing.assert_close(net(sample[0]), other(sample[0]), rtol=1e-12, atol=1e-12)
    plain, plain_other = (hessian_eigenvalues(m, *sample, k=1).eigenvalues[0] for m in (net, other))
    assert plain_other > 5 * plain  # Dinh et al.: as sharp as one likes, the same function
    normal, normal_other = (top_eigenvalues(filter_normalized_operator(m, *sample), 10) for m in (net, other))
    np.testing.assert_allclose(normal_other.eigenvalues, normal.eigenvalues, rtol=1e-9)
    traces = [filter_normalized_sharpness(m, *sample, n_probes=4).trace for m in (net, other)]
    assert traces[0] == pytest.approx(traces[1], rel=1e-10)


def test_filter_normalized_sharpness_is_a_weighted_trace_of_blocks(net, sample):
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
