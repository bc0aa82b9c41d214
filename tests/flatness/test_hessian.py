"""Hessian products, eigenvalues, traces and gradient covariance against dense matrices and closed forms."""

import copy
import doctest
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from torch import nn
from torch.func import functional_call

import gst_tutorial as gst
from gst_tutorial.flatness import hessian as curvature
from gst_tutorial.flatness import spectrum
from gst_tutorial.flatness.hessian import (
    gradient_covariance_trace,
    hessian_eigenvalues,
    hessian_operator,
    hessian_trace,
)
from gst_tutorial.flatness.spectrum import hutchinson_trace, top_eigenvalues


@pytest.fixture
def net():
    """A small convolutional network with batch norm whose running statistics are not the initial ones."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(1, 3, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(18, 3)
    ).double()
    model(torch.randn(20, 1, 8).double())
    return model.eval()


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, 1, 8, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (7,), generator=generator)


def dense_hessian(model, x, y):
    """The whole Hessian by torch.func.hessian: an independent (forward over reverse) path through autograd."""
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    blocks = torch.func.hessian(lambda p: F.cross_entropy(functional_call(model, p, (x,)), y))(parameters)
    sizes = {name: p.numel() for name, p in parameters.items()}
    rows = [torch.cat([blocks[a][b].reshape(sizes[a], sizes[b]) for b in sizes], dim=1) for a in sizes]
    return torch.cat(rows).numpy()


def as_dense(operator):
    return operator @ np.eye(operator.shape[0])


@pytest.mark.parametrize("module", [curvature, spectrum])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_products_equal_the_dense_hessian_for_batches_of_unequal_sizes(net, sample, batch_size):
    H = as_dense(hessian_operator(net, *sample, batch_size=batch_size))
    np.testing.assert_allclose(H, dense_hessian(net, *sample), atol=1e-12)


@pytest.mark.parametrize("affine", [True, False])
def test_products_are_right_with_batch_norm_for_images_and_in_place_relu(affine):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(2, affine=affine)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), norm, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(18, 2)).double()
    x, y = torch.randn(5, 1, 4, 4).double(), torch.tensor([0, 1, 0, 1, 1])
    model(x)  # moves the running statistics
    model.eval()
    np.testing.assert_allclose(as_dense(hessian_operator(model, x, y)), dense_hessian(model, x, y), atol=1e-12)


def test_softmax_regression_has_its_analytic_hessian(sample):
    x, y = sample[0].flatten(1), sample[1]
    model = nn.Linear(8, 3, bias=False).double()
    p = torch.softmax(model(x), dim=1).detach()
    expected = sum(torch.kron(torch.diag(q) - torch.outer(q, q), torch.outer(z, z)) for q, z in zip(p, x, strict=True))
    np.testing.assert_allclose(as_dense(hessian_operator(model, x, y)), expected.numpy() / 7, atol=1e-14)


def test_products_equal_those_of_curvlinops(net, sample):
    curvlinops = pytest.importorskip("curvlinops")
    x, y = sample
    parameters = list(net.parameters())
    theirs = curvlinops.HessianLinearOperator(
        net, nn.CrossEntropyLoss(), parameters, [(x[:4], y[:4]), (x[4:], y[4:])], check_deterministic=False
    ).to_scipy()
    v = np.random.default_rng(0).standard_normal(theirs.shape[0])
    np.testing.assert_allclose(hessian_operator(net, x, y) @ v, theirs @ v, atol=1e-12)


def test_parameters_without_gradient_are_left_out(net, sample):
    net[0].requires_grad_(False)
    H = as_dense(hessian_operator(net, *sample))
    assert H.shape[0] == sum(p.numel() for p in net.parameters()) - 12
    np.testing.assert_allclose(H, dense_hessian(net, *sample), atol=1e-12)


def test_a_pruned_filter_has_rows_of_zeros_and_the_traces_still_hold():
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


def test_eigenvalues_are_those_of_the_dense_hessian_by_magnitude(net, sample):
    values = np.linalg.eigvalsh(dense_hessian(net, *sample))
    values = values[np.argsort(-np.abs(values))]
    result = hessian_eigenvalues(net, *sample, k=30, return_vectors=True)
    assert (values[:30] < 0).any(), "the example should have negative eigenvalues"
    np.testing.assert_allclose(result.eigenvalues, values[:30], atol=1e-6 * values[0])
    np.testing.assert_allclose(result.vectors @ result.vectors.T, np.eye(30), atol=1e-8)
    assert result.converged.all()


def test_negative_eigenvalues_are_kept_by_magnitude_and_the_ends_can_be_asked_for():
    A = aslinearoperator(np.diag(np.concatenate([[-9.0, 8.0, -7.0], np.linspace(0, 1, 297)])))
    np.testing.assert_allclose(top_eigenvalues(A, 3).eigenvalues, [-9, 8, -7], rtol=1e-6)
    np.testing.assert_allclose(top_eigenvalues(A, 1, which="LA").eigenvalues, [8], rtol=1e-6)
    np.testing.assert_allclose(top_eigenvalues(A, 2, which="SA").eigenvalues, [-9, -7], rtol=1e-6)


def test_pairs_that_did_not_converge_are_marked_and_spoil_the_sum():
    A = aslinearoperator(np.diag(np.linspace(1, 1.01, 2000)))  # nearly equal eigenvalues: the slowest case
    with pytest.warns(RuntimeWarning, match="did not converge"):
        result = top_eigenvalues(A, 10, tol=1e-12, max_restarts=1)
    assert result.eigenvalues.shape == result.residuals.shape == result.converged.shape == (10,)
    assert not result.converged.all()
    assert np.isnan(result.eigenvalues[~result.converged]).all()
    assert np.isnan(result.sum)


def test_a_pair_that_the_solver_believes_in_is_marked_if_its_residual_says_otherwise():
    generator, d = np.random.default_rng(0), np.linspace(0, 1, 300) ** 8
    noisy = LinearOperator((300, 300), matvec=lambda v: d * v.ravel() + 0.01 * generator.standard_normal(300))
    with pytest.warns(RuntimeWarning, match="did not converge"):
        result = top_eigenvalues(noisy, 5, tol=1e-4)
    assert not result.converged.any()
    assert (result.residuals > 0.01).all()


def test_a_matrix_of_low_rank_gives_the_same_bits_twice():
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((400, 3)))[0]
    A = aslinearoperator(basis @ np.diag([3.0, 2.0, 1.0]) @ basis.T)
    first, second = top_eigenvalues(A, 6), top_eigenvalues(A, 6)
    np.testing.assert_allclose(first.eigenvalues, [3, 2, 1, 0, 0, 0], atol=1e-10)
    assert np.array_equal(first.eigenvalues, second.eigenvalues)


def test_the_zero_matrix_has_zero_eigenvalues():
    assert not top_eigenvalues(LinearOperator((500, 500), matvec=np.zeros_like, dtype=float), 4).eigenvalues.any()


def test_every_product_is_counted():
    calls = []
    A = LinearOperator((300, 300), matvec=lambda v: calls.append(1) or np.arange(300) * v.ravel(), dtype=float)
    calls.clear()
    assert top_eigenvalues(A, 4).n_products == len(calls)


def test_without_residuals_the_solver_needs_k_products_less():
    A = aslinearoperator(np.diag(0.9 ** np.arange(300)))
    checked, trusted = top_eigenvalues(A, 5), top_eigenvalues(A, 5, check_residuals=False)
    assert trusted.n_products == checked.n_products - 5
    assert np.array_equal(trusted.eigenvalues, checked.eigenvalues)
    assert np.isnan(trusted.residuals).all()
    assert trusted.converged.all()


def test_hutchinson_is_within_its_error_and_deflation_makes_the_error_smaller():
    root = np.random.default_rng(0).standard_normal((200, 200)) / 200
    A = root @ root.T + 5 * np.outer(root[0], root[0])
    plain = hutchinson_trace(aslinearoperator(A), 200, seed=1)
    top = top_eigenvalues(aslinearoperator(A), 20, return_vectors=True)
    deflated = hutchinson_trace(aslinearoperator(A), 200, seed=1, deflate=top)
    assert abs(plain.trace - np.trace(A)) < 4 * plain.standard_error
    assert abs(deflated.trace - np.trace(A)) < 4 * deflated.standard_error
    assert deflated.standard_error < plain.standard_error
    off_diagonal = A - np.diag(np.diag(A))
    assert plain.standard_error == pytest.approx(np.sqrt(2 * np.square(off_diagonal).sum() / 200), rel=0.2)


def test_the_hessian_trace_is_that_of_the_dense_hessian_and_depends_on_the_seed_only(net, sample):
    found = hessian_trace(net, *sample, n_probes=300, seed=3)
    assert abs(found.trace - np.trace(dense_hessian(net, *sample))) < 4 * found.standard_error
    assert found == hessian_trace(net, *sample, n_probes=300, seed=3)
    assert found != hessian_trace(net, *sample, n_probes=300, seed=4)


def gradient_of(model, x, y):
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), [p for p in model.parameters() if p.requires_grad])
    return torch.cat([g.flatten() for g in gradients]).numpy()


@pytest.mark.parametrize("chunk_size", [1, 3, 64])
def test_gradient_covariance_equals_a_loop_over_single_examples(net, sample, chunk_size):
    x, y = sample
    gradients = np.stack([gradient_of(net, x[i : i + 1], y[i : i + 1]) for i in range(7)])
    found = gradient_covariance_trace(net, x, y, chunk_size=chunk_size)
    assert found.uncentred == pytest.approx(np.mean(np.sum(gradients**2, axis=1)))
    assert found.centred == pytest.approx(np.trace(np.cov(gradients.T, bias=True)))


def test_flags_parameters_and_global_generators_are_left_alone(net, sample):
    net.train()
    net[1].eval()
    flags = [m.training for m in net.modules()]
    before = copy.deepcopy(net.state_dict())
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    hessian_eigenvalues(net, *sample, k=3)
    hessian_trace(net, *sample, n_probes=2)
    gradient_covariance_trace(net, *sample)
    assert [m.training for m in net.modules()] == flags
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert python_state == random.getstate()


def test_flags_are_restored_after_an_error(net, sample):
    net.train()
    with pytest.raises(ZeroDivisionError):
        hessian_eigenvalues(net, *sample, k=3, loss=lambda z, y: 1 / 0)
    assert all(m.training for m in net.modules())


@pytest.mark.parametrize("layer", [1, 4])
def test_the_operator_refuses_batch_norm_and_dropout_in_training_mode(net, sample, layer):
    operator = hessian_operator(net, *sample)
    net[layer].train()
    with pytest.raises(ValueError, match="training mode"):
        operator @ np.ones(operator.shape[0])
    with pytest.raises(ValueError, match="training mode"):
        hessian_operator(net, *sample)


@pytest.mark.parametrize("batch_size", [3, 7])
def test_an_operator_is_refused_once_the_parameters_have_changed(net, sample, batch_size):
    operator = hessian_operator(net, *sample, batch_size=batch_size)
    with torch.no_grad():
        net[0].weight.mul_(2)
    with pytest.raises(RuntimeError, match="changed"):
        operator @ np.ones(operator.shape[0])


def test_a_diverged_network_is_reported(net, sample):
    with torch.no_grad():
        net[0].weight.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="not finite"):
        hessian_eigenvalues(net, *sample, k=3)


def test_products_can_be_made_inside_no_grad(net, sample):
    with torch.no_grad():
        np.testing.assert_allclose(as_dense(hessian_operator(net, *sample)), dense_hessian(net, *sample), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": torch.zeros(0, 1, 8)}, ValueError, "same number of examples"),
        ({"y": torch.zeros(5, dtype=torch.long)}, ValueError, "same number of examples"),
        ({"x": np.zeros((7, 1, 8))}, TypeError, "x must be a torch.Tensor"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 2.5}, TypeError, "batch_size"),
        ({"model": nn.Flatten()}, ValueError, "no parameter"),
        ({"model": nn.Sequential(nn.BatchNorm1d(1, track_running_stats=False))}, ValueError, "running statistics"),
    ],
)
def test_bad_input_is_named(net, sample, change, error, words):
    arguments = {"model": net, "x": sample[0], "y": sample[1]} | change
    with pytest.raises(error, match=words):
        hessian_operator(**arguments)


@pytest.mark.parametrize("change", [{"k": 0}, {"k": 11}, {"which": "LR"}, {"tol": -1.0}, {"max_restarts": 0}])
def test_bad_solver_arguments_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        top_eigenvalues(aslinearoperator(np.eye(10)), **({"k": 2} | change))


def convolution_precision():
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision if hasattr(cudnn, "conv") else cudnn.allow_tf32


def test_products_do_without_tf32_which_would_spoil_them_on_a_gpu_and_the_setting_comes_back(net, sample):
    seen, before = [], convolution_precision()

    def watched(z, y):
        seen.append(convolution_precision())
        return F.cross_entropy(z, y)

    for batch_size in (3, 7):
        operator = hessian_operator(net, *sample, batch_size=batch_size, loss=watched)
        operator @ np.ones(operator.shape[0])
    assert seen and set(seen) <= {"ieee", False}
    assert convolution_precision() == before
    with pytest.raises(ZeroDivisionError):
        hessian_operator(net, *sample, loss=lambda z, y: 1 / 0)
    assert convolution_precision() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_eigenvalues(net, sample):
    expected = hessian_eigenvalues(net, *sample, k=5).eigenvalues
    found = hessian_eigenvalues(net.cuda(), *sample, k=5).eigenvalues  # the data is moved to the model
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_single_precision_on_a_gpu_converges_to_the_eigenvalues_of_the_cpu():
    model, x, y = gst.conv1d_net().eval(), torch.randn(64, 1, 40), torch.arange(64) % 10
    expected = hessian_eigenvalues(model, x, y, k=5).eigenvalues
    found = hessian_eigenvalues(model.cuda(), x, y, k=5)  # with TF32 no pair would pass its residual test
    assert found.converged.all()
    np.testing.assert_allclose(found.eigenvalues, expected, rtol=1e-3)
