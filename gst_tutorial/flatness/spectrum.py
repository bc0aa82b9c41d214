"""Eigenvalues and traces of matrices that are too large to store.

Nothing here knows about networks: a matrix A is a `scipy.sparse.linalg.LinearOperator`, which can only be asked for
products A v. `hessian.py` makes such operators from a network's loss.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from gst_tutorial import _arguments as check

# A Lanczos basis larger than this (bytes) is kept in single precision: the top 100 of a million parameters then fit
# in 2 GB, eigenvectors included.
LARGE_BASIS = 500_000_000

# From SciPy 1.17 on, eigsh draws its rare restart vectors from `rng`. Fixed, equal operators give equal results.
FIXED_RESTARTS = {"rng": 0} if "rng" in inspect.signature(eigsh).parameters else {}


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """Eigenpairs of a symmetric operator `(n, n)`, by magnitude, largest first.

    Attributes:
        eigenvalues: `(k,)`; NaN where the solver found none.
        residuals: `(k,)`, `|A v - lambda v|`: an eigenvalue of A lies within this distance of lambda. NaN: not measured.
        converged: bool `(k,)`.
        n_products: operator-vector products used, those that measure the residuals included.
        vectors: `(k, n)`, rows of unit length, or None if they were not asked for.
    """

    eigenvalues: np.ndarray
    residuals: np.ndarray
    converged: np.ndarray
    n_products: int
    vectors: np.ndarray | None = None

    @property
    def sum(self) -> float:
        """Sum of the eigenvalues; NaN if a pair is unconverged: a partial sum would look like a flatter network."""
        return float(self.eigenvalues.sum()) if self.converged.all() else float("nan")


def top_eigenvalues(
    operator: LinearOperator,
    k: int = 100,
    *,
    which: str = "LM",
    tol: float = 1e-4,
    max_restarts: int = 100,
    precision: float | None = None,
    check_residuals: bool = True,
    return_vectors: bool = False,
) -> Eigenvalues:
    r"""The k extreme eigenvalues of a symmetric operator by implicitly restarted Lanczos.

    The solver is ARPACK's (Lehoucq, Sorensen, Yang, *ARPACK Users' Guide*, 1998) through `scipy.sparse.linalg.eigsh`.
    Its start vector is fixed, so equal operators give equal results. An operator hardly larger than k is made dense.

    The second-difference matrix of size n has the eigenvalues 2 - 2 cos(j pi / (n + 1)), j = 1 ... n:

    >>> from scipy.sparse.linalg import aslinearoperator
    >>> A = 2 * np.eye(100) - np.eye(100, k=1) - np.eye(100, k=-1)
    >>> result = top_eigenvalues(aslinearoperator(A), k=3)
    >>> bool(np.allclose(result.eigenvalues, 2 - 2 * np.cos(np.pi * np.array([100, 99, 98]) / 101)))
    True

    Args:
        operator: symmetric, `(n, n)`.
        k: number of eigenvalues, 1 to n.
        which: "LM" the largest by magnitude (negative ones included), "LA" the largest, "SA" the smallest.
        tol: a pair has converged when `|A v - lambda v| <= tol |lambda| + 10 precision |lambda_1|`.
        max_restarts: restarts (each at most max(20, k / 2) products) before giving up.
        precision: relative error of one product; None takes the rounding unit of the operator's dtype.
        check_residuals: measure every residual, with k more products. False trusts the solver's own estimate of them.
        return_vectors: keep the eigenvectors.

    Returns:
        `Eigenvalues`. Pairs that the solver did not find are NaN and marked False in `converged`; a RuntimeWarning
        says how many are unconverged.

    Raises:
        ValueError, TypeError: an argument out of its range.
    """
    n = operator.shape[0]
    k = check.integer("k", k, low=1, high=n)
    check.one_of("which", which, ("LM", "LA", "SA"))
    check.real("tol", tol, low=0)
    check.real("precision", 0.0 if precision is None else precision, low=0)
    check.integer("max_restarts", max_restarts, low=1)
    products = 0

    def product(vector):
        nonlocal products
        products += 1
        return operator.matvec(np.asarray(vector, dtype=np.float64).reshape(-1))

    basis_size = k + max(20, k // 2)  # fewer products and less memory than SciPy's default, 2 k + 1
    if basis_size >= n:
        dense = np.stack([product(unit) for unit in np.eye(n)], axis=1)
        values, vectors = np.linalg.eigh((dense + dense.T) / 2)
        order = np.argsort({"LM": -np.abs(values), "LA": -values, "SA": values}[which], kind="stable")[:k]
        values, vectors = values[order], vectors[:, order]
    else:
        dtype = np.float32 if basis_size * n * 8 > LARGE_BASIS else np.float64
        start = np.random.default_rng(0).standard_normal(n).astype(dtype)
        if not product(start).any():  # only the zero operator maps a random vector to zero, and ARPACK fails on it
            values, vectors = np.zeros(k), np.eye(n, k)
        else:
            counted = LinearOperator((n, n), matvec=product, dtype=dtype)
            options = dict(which=which, tol=tol, ncv=basis_size, v0=start, maxiter=max_restarts, **FIXED_RESTARTS)
            try:
                values, vectors = eigsh(counted, k, **options)
            except ArpackNoConvergence as error:
                values, vectors = error.eigenvalues, error.eigenvectors

    order = np.argsort(-np.abs(values), kind="stable")
    eigenvalues, residuals = np.full(k, np.nan), np.full(k, np.nan)
    eigenvalues[: len(order)] = values[order]
    converged = np.isfinite(eigenvalues)
    if check_residuals:
        for row, column in enumerate(order):
            residuals[row] = np.linalg.norm(product(vectors[:, column]) - eigenvalues[row] * vectors[:, column])
        precision = float(np.finfo(operator.dtype).eps) if precision is None else precision
        noise = 10 * precision * np.abs(values).max(initial=0.0)
        converged = residuals <= tol * np.abs(eigenvalues) + noise  # False for NaN
    if not converged.all():
        warnings.warn(f"{k - converged.sum()} of {k} eigenpairs did not converge", RuntimeWarning, stacklevel=2)
    rows = None
    if return_vectors:
        rows = np.full((k, n), np.nan, dtype=vectors.dtype)
        rows[: len(order)] = vectors.T[order]
    return Eigenvalues(eigenvalues, residuals, converged, products, rows)


@dataclass(frozen=True)
class TraceEstimate:
    """A trace, its standard error over the random probes, and the number of probes."""

    trace: float
    standard_error: float
    n_probes: int


def hutchinson_trace(
    operator: LinearOperator, n_probes: int = 50, *, seed: int = 0, deflate: Eigenvalues | None = None
) -> TraceEstimate:
    r"""Trace of a square operator from products with random signs z, since E[z^T A z] = sum_ij A_ij E[z_i z_j] = tr A.

    For a symmetric A the variance of one probe is 2 sum_{i != j} A_ij^2 (Hutchinson, *A stochastic estimator of the
    trace of the influence matrix*, 1989). It shrinks a lot if the top eigenvectors, the rows of V, are dealt with
    exactly and only the rest is probed, tr A = sum_i lambda_i + tr((I - V^T V) A (I - V^T V)): the idea of Hutch++
    (Meyer, Musco, Musco, Woodruff, 2021).

    A diagonal matrix has no off-diagonal entries, hence no error:

    >>> from scipy.sparse.linalg import aslinearoperator
    >>> hutchinson_trace(aslinearoperator(np.diag([3.0, 2.0, -1.0])), n_probes=4)
    TraceEstimate(trace=4.0, standard_error=0.0, n_probes=4)

    Args:
        operator: square, `(n, n)`; symmetric if `deflate` is given.
        n_probes: random vectors, at least 2 (for a standard error).
        seed: of the probes' own generator; the global ones are left alone.
        deflate: eigenpairs of the same operator, with vectors.
    """
    check.integer("n_probes", n_probes, low=2)
    generator = np.random.default_rng(check.integer("seed", seed, low=0))
    n, known, exact = operator.shape[0], None, 0.0
    if deflate is not None:
        if deflate.vectors is None or deflate.vectors.shape[1] != n:
            raise ValueError(f"deflate must hold eigenvectors of length {n}; see return_vectors=True.")
        found = np.isfinite(deflate.eigenvalues)
        known, exact = deflate.vectors[found], float(deflate.eigenvalues[found].sum())
    samples = []
    for _ in range(n_probes):
        z = generator.choice([-1.0, 1.0], size=n)
        if known is not None:
            z -= known.T @ (known @ z)
        samples.append(float(z @ operator.matvec(z)))
    error = float(np.std(samples, ddof=1) / np.sqrt(n_probes))
    return TraceEstimate(exact + float(np.mean(samples)), error, n_probes)
