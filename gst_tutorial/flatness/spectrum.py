"""Eigenvalues and traces of matrices that are too large to store.

Nothing here knows about networks. A matrix A is a `scipy.sparse.linalg.LinearOperator`, which answers one question only:
what is A v for this vector v? `hessian.py` makes such operators from the loss of a network.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from gst_tutorial import _arguments as check

# Up to so many pairs, each residual is measured by a product of its own; more share a single one.
FEW = 20
# A basis of more bytes than this is held in single precision, so that the top 100 of a million parameters fit in 2 GB.
LARGE_BASIS = 500_000_000

# From SciPy 1.17 on, eigsh draws its rare restart vectors from `rng`. We fix it, so that equal operators give equal results.
FIXED_RESTARTS = {"rng": 0} if "rng" in inspect.signature(eigsh).parameters else {}


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """Eigenpairs of a symmetric operator `(n, n)`, by magnitude, largest first.

    Attributes:
        eigenvalues: `(k,)`; NaN for pairs that the solver did not find.
        residuals: `(k,)`, `|A v - lambda v|`; A has an eigenvalue within this distance of lambda. NaN if not measured.
        converged: bool `(k,)`.
        n_products: number of operator-vector products, including those that check the residuals.
        vectors: `(k, n)`, rows of unit length, or None if they were not asked for.
    """

    eigenvalues: np.ndarray
    residuals: np.ndarray
    converged: np.ndarray
    n_products: int
    vectors: np.ndarray | None = None

    @property
    def sum(self) -> float:
        """Sum of the eigenvalues; NaN unless all have converged, since a partial sum would look like a flatter network."""
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
    r"""Compute the k extreme eigenvalues of a symmetric operator by the restarted Lanczos iteration.

    The work is done by ARPACK (Lehoucq, Sorensen, Yang, *ARPACK Users' Guide*, 1998) through
    `scipy.sparse.linalg.eigsh`, with a basis of k + max(20, k / 2) vectors; for a Hessian's top 100 that takes about as
    many products as a basis that is never restarted. An operator hardly larger than k is made dense instead. The start
    vector is fixed, so equal operators give equal results.

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
        max_restarts: number of times that the basis may be filled before the solver gives up.
        precision: relative error of one product; None takes the rounding unit of the operator's dtype.
        check_residuals: for up to 20 pairs, measure each residual, which takes k more products. For more pairs, one product
            with a random combination of all vectors shows whether the solver's claim holds; only if it does not, each
            residual is measured. False trusts the solver.
        return_vectors: keep the eigenvectors.

    Returns:
        `Eigenvalues`. Pairs that the solver did not find are NaN and marked False in `converged`; a RuntimeWarning
        says how many are unconverged.

    Raises:
        ValueError, TypeError: an argument is out of its range.
    """
    n = _size("operator", operator)
    k = check.integer("k", k, low=1, high=n)
    check.one_of("which", which, ("LM", "LA", "SA"))
    check.real("tol", tol, low=0)
    check.real("precision", 0.0 if precision is None else precision, low=0)
    check.integer("max_restarts", max_restarts, low=1)
    check.flag("check_residuals", check_residuals)
    check.flag("return_vectors", return_vectors)
    products = 0

    def product(vector):
        nonlocal products
        products += 1
        return operator.matvec(np.asarray(vector, dtype=np.float64).reshape(-1))

    basis_size = k + max(20, k // 2)
    if basis_size >= n:
        values, vectors = _dense(product, n, k, which)
    else:
        values, vectors = _arpack(product, n, k, which, tol, basis_size, max_restarts)
    order = np.argsort(-np.abs(values), kind="stable")
    values, vectors = values[order], vectors.T[order]  # (m,), (m, n) for the m <= k pairs that were found

    # A product is off by about precision |lambda_1|, and no residual can be expected to be smaller than that.
    precision = float(np.finfo(operator.dtype).eps) if precision is None else precision
    precision = max(precision, float(np.finfo(vectors.dtype).eps))
    allowed = tol * np.abs(values) + 10 * precision * np.abs(values).max(initial=0.0)  # (m,)
    residuals, true = np.full(len(values), np.nan), np.full(len(values), True)
    if check_residuals and (len(values) <= FEW or not _jointly_small(product, values, vectors, allowed)):
        for i, (value, vector) in enumerate(zip(values, vectors)):
            residuals[i] = np.linalg.norm(product(vector) - value * vector)
        true = residuals <= allowed

    converged = _padded(true, k, False)
    if not converged.all():
        warnings.warn(f"{k - converged.sum()} of {k} eigenpairs did not converge", RuntimeWarning, stacklevel=2)
    rows = _padded(vectors, k, np.nan) if return_vectors else None
    return Eigenvalues(_padded(values, k, np.nan), _padded(residuals, k, np.nan), converged, products, rows)


def _size(argument: str, operator: LinearOperator) -> int:
    shape = check.instance(argument, operator, LinearOperator).shape
    if shape[0] != shape[1]:
        raise ValueError(f"{argument} must be square; it is {shape}.")
    return shape[0]


def _dense(product, n: int, k: int, which: str) -> tuple[np.ndarray, np.ndarray]:
    """Build the matrix column by column and return its k wanted eigenvalues `(k,)` and their vectors `(n, k)`."""
    matrix = np.stack([product(unit) for unit in np.eye(n)], axis=1)
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)  # rounding makes the columns slightly unsymmetric
    wanted = np.argsort({"LM": -np.abs(values), "LA": -values, "SA": values}[which], kind="stable")[:k]
    return values[wanted], vectors[:, wanted]


def _arpack(product, n: int, k: int, which: str, tol: float, basis_size: int, max_restarts: int):
    """Return the eigenvalues `(m,)` and vectors `(n, m)` of the m <= k pairs on which ARPACK has converged."""
    start = np.random.default_rng(0).standard_normal(n)
    if not product(start).any():  # only the zero operator maps a random vector to zero, and ARPACK fails on it
        return np.zeros(k), np.eye(n, k)
    dtype = np.float64 if basis_size * n * 8 <= LARGE_BASIS else np.float32
    counted = LinearOperator((n, n), matvec=lambda vector: product(vector).astype(dtype), dtype=dtype)
    options = dict(which=which, tol=tol, ncv=basis_size, v0=start.astype(dtype), maxiter=max_restarts)
    try:
        return eigsh(counted, k, **options, **FIXED_RESTARTS)
    except ArpackNoConvergence as error:
        return error.eigenvalues, error.eigenvectors


def _jointly_small(product, values: np.ndarray, vectors: np.ndarray, allowed: np.ndarray) -> bool:
    """Check with one product that the residuals r_i = A v_i - lambda_i v_i are, taken together, as small as allowed.

    For random signs c, A (sum_i c_i v_i) - sum_i c_i lambda_i v_i = sum_i c_i r_i. The signs are independent, so the
    expected squared length of this sum is the sum of the squared lengths of the r_i.
    """
    signs = np.random.default_rng(2).choice([-1.0, 1.0], len(values)).astype(vectors.dtype)  # (m,)
    combined = product(signs @ vectors) - (signs * values).astype(vectors.dtype) @ vectors  # (n,)
    return bool(np.linalg.norm(combined) <= np.linalg.norm(allowed))


def _padded(rows: np.ndarray, k: int, missing) -> np.ndarray:
    """Append rows of `missing` until there are k."""
    if len(rows) == k:
        return rows
    padding = np.full((k - len(rows), *rows.shape[1:]), missing, dtype=rows.dtype)
    return np.concatenate([rows, padding])


@dataclass(frozen=True)
class TraceEstimate:
    """Estimate of a trace, its standard error over the random probes, and the number of probes."""

    trace: float
    standard_error: float
    n_probes: int


def hutchinson_trace(
    operator: LinearOperator, n_probes: int = 50, *, seed: int = 0, deflate: Eigenvalues | None = None
) -> TraceEstimate:
    r"""Estimate the trace of a square operator from products with vectors z of random signs.

    The signs are independent, so E[z_i z_j] is 1 for i = j and 0 otherwise, and E[z^T A z] = sum_ij A_ij E[z_i z_j] = tr A.
    For a symmetric A the variance of one probe is 2 sum_{i != j} A_ij^2 (Hutchinson, *A stochastic estimator of the
    trace of the influence matrix*, 1989). It becomes much smaller if the part of A along its top eigenvectors, the rows of
    V, is computed exactly and only the rest is probed: tr A = sum_i lambda_i + tr((I - V^T V) A (I - V^T V)). This is the
    idea of Hutch++ (Meyer, Musco, Musco, Woodruff, 2021).

    A diagonal matrix has no off-diagonal entries, so its trace is found without error:

    >>> from scipy.sparse.linalg import aslinearoperator
    >>> hutchinson_trace(aslinearoperator(np.diag([3.0, 2.0, -1.0])), n_probes=4)
    TraceEstimate(trace=4.0, standard_error=0.0, n_probes=4)

    Args:
        operator: square, `(n, n)`; symmetric if `deflate` is given.
        n_probes: number of random vectors, at least 2 so that there is a standard error.
        seed: of the probes; the global random state is not used.
        deflate: eigenpairs of the same operator, with vectors, to be treated exactly.

    Raises:
        ValueError, TypeError: an argument is out of its range, or `deflate` does not fit the operator.
    """
    check.integer("n_probes", n_probes, 2, check.MOST)
    generator = np.random.default_rng(check.integer("seed", seed, low=0))
    n, known, exact = _size("operator", operator), None, 0.0
    if deflate is not None:
        if check.instance("deflate", deflate, Eigenvalues).vectors is None or deflate.vectors.shape[1] != n:
            raise ValueError(f"deflate must have eigenvectors of length {n}; compute it with return_vectors=True.")
        found = np.isfinite(deflate.eigenvalues)
        known, exact = deflate.vectors[found], float(deflate.eigenvalues[found].sum())
    samples = []
    for _ in range(n_probes):
        z = generator.choice([-1.0, 1.0], size=n)
        if known is not None:
            z -= known.T @ (known @ z)  # (I - V^T V) z
        samples.append(float(z @ operator.matvec(z)))
    error = float(np.std(samples, ddof=1) / np.sqrt(n_probes))
    return TraceEstimate(exact + float(np.mean(samples)), error, n_probes)
