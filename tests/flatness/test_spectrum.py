"""Eigenvalues and traces of matrices that are known."""

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from gst_tutorial.flatness import spectrum
from gst_tutorial.flatness.spectrum import hutchinson_trace, top_eigenvalues


def test_which_selects_by_magnitude_or_an_end_of_the_spectrum():
    A = aslinearoperator(np.diag(np.concatenate([[-9.0, 8.0, -7.0], np.linspace(0, 1, 297)])))
    np.testing.assert_allclose(top_eigenvalues(A, 3).eigenvalues, [-9, 8, -7], rtol=1e-6)
    np.testing.assert_allclose(top_eigenvalues(A, 1, which="LA").eigenvalues, [8], rtol=1e-6)
    np.testing.assert_allclose(top_eigenvalues(A, 2, which="SA").eigenvalues, [-9, -7], rtol=1e-6)


def test_unconverged_pairs_are_marked_and_make_the_sum_nan():
    A = aslinearoperator(np.diag(np.linspace(1, 1.01, 2000)))  # nearly equal eigenvalues: the slowest case
    with pytest.warns(RuntimeWarning, match="did not converge"):
        result = top_eigenvalues(A, 10, tol=1e-12, max_restarts=1)
    assert result.eigenvalues.shape == result.residuals.shape == result.converged.shape == (10,)
    assert not result.converged.all()
    assert np.isnan(result.eigenvalues[~result.converged]).all()
    assert np.isnan(result.sum)


def test_pair_with_a_large_residual_is_marked_despite_the_solver():
    generator, d = np.random.default_rng(0), np.linspace(0, 1, 300) ** 8
    noisy = LinearOperator((300, 300), matvec=lambda v: d * v.ravel() + 0.01 * generator.standard_normal(300))
    with pytest.warns(RuntimeWarning, match="did not converge"):
        result = top_eigenvalues(noisy, 5, tol=1e-4)
    assert not result.converged.any()
    assert (result.residuals > 0.01).all()


def test_matrix_of_low_rank_gives_the_same_bits_twice():
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((400, 3)))[0]
    A = aslinearoperator(basis @ np.diag([3.0, 2.0, 1.0]) @ basis.T)
    first, second = top_eigenvalues(A, 6), top_eigenvalues(A, 6)
    np.testing.assert_allclose(first.eigenvalues, [3, 2, 1, 0, 0, 0], atol=1e-10)
    assert np.array_equal(first.eigenvalues, second.eigenvalues)


def test_zero_matrix_has_zero_eigenvalues():
    assert not top_eigenvalues(LinearOperator((500, 500), matvec=np.zeros_like, dtype=float), 4).eigenvalues.any()


@pytest.fixture(scope="module")
def decaying():
    """A symmetric matrix whose eigenvalues decay as those of a network's Hessian do, and its eigenvalues by magnitude."""
    d = np.where(np.arange(1500) % 7 == 3, -1, 1) * 1000 / (1 + np.arange(1500.0)) ** 1.5
    turned = np.linalg.qr(np.random.default_rng(5).standard_normal((1500, 1500)))[0]
    return turned @ np.diag(d) @ turned.T, d


def test_many_pairs_are_checked_by_a_single_product(decaying):
    A, d = decaying
    found, trusted = (top_eigenvalues(aslinearoperator(A), 60, tol=1e-3, check_residuals=c) for c in (True, False))
    np.testing.assert_allclose(found.eigenvalues, d[:60], rtol=1e-3)
    assert found.converged.all()
    assert found.n_products == trusted.n_products + 1


@pytest.mark.parametrize("k", [5, 30])
def test_residuals_reveal_noise_in_the_products(decaying, k):
    generator, (A, d) = np.random.default_rng(0), decaying
    noisy = LinearOperator(
        A.shape, matvec=lambda v: A @ v.ravel() + 0.01 * generator.standard_normal(len(d)), dtype=float
    )
    with pytest.warns(RuntimeWarning, match="did not converge"):
        result = top_eigenvalues(noisy, k, tol=1e-4, max_restarts=3)
    assert not (result.residuals < 0.3).any()  # a product is wrong by about 0.01 sqrt(1500); NaN: not found at all
    assert not result.converged[result.residuals > 1e-4 * np.abs(result.eigenvalues)].any()


@pytest.mark.parametrize("rank", [0, 3, 40])
def test_many_pairs_of_a_matrix_of_low_rank(rank):
    d = np.concatenate([np.arange(rank, 0, -1.0), np.zeros(500 - rank)])
    result = top_eigenvalues(aslinearoperator(np.diag(d)), 30, return_vectors=True)
    np.testing.assert_allclose(result.eigenvalues, d[:30], atol=1e-9)
    np.testing.assert_allclose(result.vectors @ result.vectors.T, np.eye(30), atol=1e-9)


@pytest.fixture
def large(monkeypatch):
    """Treat every operator as a very large one, which is solved in single precision."""
    monkeypatch.setattr(spectrum, "LARGE_BASIS", 0)


@pytest.mark.parametrize("which", ["LM", "LA", "SA"])
def test_very_large_operator_is_solved_in_single_precision(large, which):
    d = np.where(np.arange(2000) % 3 == 0, -1, 1) * 0.95 ** np.arange(2000)
    result = top_eigenvalues(aslinearoperator(np.diag(d)), 40, which=which, precision=1e-7, return_vectors=True)
    ends = {"LM": d, "LA": np.sort(d)[::-1], "SA": np.sort(d)}[which][:40]
    assert result.n_products > 60 + 1  # more than one basis full: it was restarted
    assert result.converged.all()
    np.testing.assert_allclose(result.eigenvalues, ends, atol=1e-5)
    np.testing.assert_allclose(result.vectors @ result.vectors.T, np.eye(40), atol=1e-5)
    np.testing.assert_allclose(d * result.vectors, result.eigenvalues[:, None] * result.vectors, atol=1e-4)


def test_very_large_operator_of_low_rank_gives_the_same_bits_twice(large):
    A = aslinearoperator(np.diag(np.concatenate([[3.0, 2.0, 1.0], np.zeros(397)])))
    first, second = top_eigenvalues(A, 6), top_eigenvalues(A, 6)
    np.testing.assert_allclose(first.eigenvalues, [3, 2, 1, 0, 0, 0], atol=1e-6)
    assert np.array_equal(first.eigenvalues, second.eigenvalues)


def test_unconverged_pairs_of_a_very_large_operator_are_marked(large):
    A = aslinearoperator(np.diag(np.concatenate([[5.0, -4.0], np.linspace(1, 1.01, 1998)])))
    with pytest.warns(RuntimeWarning, match="did not converge"):
        result = top_eigenvalues(A, 10, tol=1e-5, precision=1e-7, max_restarts=1, return_vectors=True)
    np.testing.assert_allclose(result.eigenvalues[:2], [5, -4], rtol=1e-5)
    assert result.converged.tolist() == np.isfinite(result.eigenvalues).tolist() == [True] * 2 + [False] * 8
    assert np.isnan(result.vectors[2:]).all()


def test_every_product_is_counted():
    calls = []
    A = LinearOperator((300, 300), matvec=lambda v: calls.append(1) or np.arange(300) * v.ravel(), dtype=float)
    calls.clear()
    assert top_eigenvalues(A, 4).n_products == len(calls)


def test_skipping_the_residuals_saves_k_products():
    A = aslinearoperator(np.diag(0.9 ** np.arange(300)))
    checked, trusted = top_eigenvalues(A, 5), top_eigenvalues(A, 5, check_residuals=False)
    assert trusted.n_products == checked.n_products - 5
    assert np.array_equal(trusted.eigenvalues, checked.eigenvalues)
    assert np.isnan(trusted.residuals).all()
    assert trusted.converged.all()


def test_hutchinson_is_within_its_error_which_deflation_reduces():
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


@pytest.mark.parametrize("change", [{"k": 0}, {"k": 11}, {"which": "LR"}, {"tol": -1.0}, {"max_restarts": 0}])
def test_bad_solver_arguments_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        top_eigenvalues(aslinearoperator(np.eye(10)), **({"k": 2} | change))
