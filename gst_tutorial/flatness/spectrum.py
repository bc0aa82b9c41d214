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

# Up to so many pairs ARPACK is asked: for few, its restarts cost little. The recorded studies take 20 at most.
FEW = 20
# Bytes of the basis of `_lanczos`. A basis that would be larger is held in single precision, and restarted when it is full:
# the top 100 of a million parameters then fit in 1.5 GB, with all that PyTorch brings.
LARGE_BASIS = 500_000_000

# From SciPy 1.17 on, eigsh draws its rare restart vectors from `rng`. Fixed, equal operators give equal results.
FIXED_RESTARTS = {"rng": 0} if "rng" in inspect.signature(eigsh).parameters else {}


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """Eigenpairs of a symmetric operator `(n, n)`, by magnitude, largest first.

    Attributes:
        eigenvalues: `(k,)`; NaN where the solver found none.
        residuals: `(k,)`, `|A v - lambda v|`: an eigenvalue of A lies within this distance of lambda. NaN: not checked.
        converged: bool `(k,)`.
        n_products: operator-vector products used, those that check the residuals included.
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
    r"""The k extreme eigenvalues of a symmetric operator by the Lanczos iteration, restarted where memory asks for it.

    Up to 20 pairs are found by ARPACK (Lehoucq, Sorensen, Yang, *ARPACK Users' Guide*, 1998) through
    `scipy.sparse.linalg.eigsh`. For more, a basis grows, orthogonal to all it has, until every pair has converged: that
    takes about a third fewer products than restarts do. Only a basis that would take more than half a gigabyte is kept
    smaller, in single precision, and restarted. An operator hardly larger than k is made dense. The start vector is fixed,
    so equal operators give equal results.

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
        max_restarts: how often the basis may be filled, to k + max(20, k / 2) vectors or more, before giving up.
        precision: relative error of one product; None takes the rounding unit of the operator's dtype.
        check_residuals: for up to 20 pairs, measure each residual, with k more products. For more, the iteration gives the
            residuals by itself; one product with a random combination of all vectors sees whether they are true, and if not,
            each is measured. False trusts the solver.
        return_vectors: keep the eigenvectors.

    Returns:
        `Eigenvalues`. Pairs that the solver did not find are NaN and marked False in `converged`; a RuntimeWarning
        says how many are unconverged.

    Raises:
        ValueError, TypeError: an argument out of its range.
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

    precision = float(np.finfo(operator.dtype).eps) if precision is None else precision

    def noise(values):
        return 10 * precision * np.abs(values).max(initial=0.0)

    basis_size = k + max(20, k // 2)
    estimates = None
    if basis_size >= n:
        dense = np.stack([product(unit) for unit in np.eye(n)], axis=1)
        values, vectors = np.linalg.eigh((dense + dense.T) / 2)
        order = _wanted_first(values, which)[:k]
        values, vectors = values[order], vectors[:, order]
    elif k <= FEW and basis_size * n * 8 <= LARGE_BASIS:
        start = np.random.default_rng(0).standard_normal(n)
        if not product(start).any():  # only the zero operator maps a random vector to zero, and ARPACK fails on it
            values, vectors = np.zeros(k), np.eye(n, k)
        else:
            counted = LinearOperator((n, n), matvec=product, dtype=np.float64)
            options = dict(which=which, tol=tol, ncv=basis_size, v0=start, maxiter=max_restarts, **FIXED_RESTARTS)
            try:
                values, vectors = eigsh(counted, k, **options)
            except ArpackNoConvergence as error:
                values, vectors = error.eigenvalues, error.eigenvectors
    else:
        fits = LARGE_BASIS // (8 * n)  # vectors in double precision
        dtype, size = (np.float64, fits) if fits >= basis_size else (np.float32, max(2 * fits, k + max(20, k // 4)))
        size = min(size, 6 * k, n)  # slower than this, a spectrum is better restarted
        precision = max(precision, float(np.finfo(dtype).eps))
        values, vectors, estimates = _lanczos(
            product, n, k, which, lambda values: tol * np.abs(values) + noise(values), max_restarts, size, dtype
        )

    order = np.argsort(-np.abs(values), kind="stable")
    eigenvalues, residuals = np.full(k, np.nan), np.full(k, np.nan)
    eigenvalues[: len(order)] = values[order]
    converged = np.isfinite(eigenvalues)
    if check_residuals:
        if estimates is not None and _are_true(estimates, product, values, vectors, noise(values)):
            residuals[: len(order)] = estimates[order]
        else:
            for row, column in enumerate(order):
                residuals[row] = np.linalg.norm(product(vectors[:, column]) - eigenvalues[row] * vectors[:, column])
        precision = max(precision, float(np.finfo(vectors.dtype).eps))
        converged = residuals <= tol * np.abs(eigenvalues) + noise(values)  # False for NaN
    if not converged.all():
        warnings.warn(f"{k - converged.sum()} of {k} eigenpairs did not converge", RuntimeWarning, stacklevel=2)
    rows = None
    if return_vectors:
        in_place = estimates is not None and np.array_equal(order, np.arange(k))  # a copy of these may be large
        rows = vectors.T if in_place else np.full((k, n), np.nan, dtype=vectors.dtype)
        if not in_place:
            rows[: len(order)] = vectors.T[order]
    return Eigenvalues(eigenvalues, residuals, converged, products, rows)


def _size(argument: str, operator: LinearOperator) -> int:
    shape = check.instance(argument, operator, LinearOperator).shape
    if shape[0] != shape[1]:
        raise ValueError(f"{argument} must be square; it is {shape}.")
    return shape[0]


def _wanted_first(values: np.ndarray, which: str) -> np.ndarray:
    """The order in which the wanted end of a spectrum comes first."""
    return np.argsort({"LM": -np.abs(values), "LA": -values, "SA": values}[which], kind="stable")


def _are_true(estimates: np.ndarray, product, values: np.ndarray, vectors: np.ndarray, noise: float) -> bool:
    """Whether the residuals r_i = A v_i - lambda_i v_i are as long as the iteration says, from one product.

    For random signs c, A (sum_i c_i v_i) - sum_i c_i lambda_i v_i = sum_i c_i r_i, whose expected squared length is the sum
    of those of the r_i.
    """
    if not len(values):
        return True
    signs = np.random.default_rng(2).choice([-1.0, 1.0], len(values)).astype(vectors.dtype)  # no copy of the vectors
    found = product(vectors @ signs) - vectors @ (signs * values).astype(vectors.dtype)
    return bool(np.linalg.norm(found) <= 3 * np.linalg.norm(estimates) + noise * np.sqrt(len(values)))


def _lanczos(product, n: int, k: int, which: str, allowed, max_restarts: int, size: int, dtype):
    """The extreme eigenvalues `(<= k,)` that converged, their vectors `(n, <= k)` and residuals, in one basis.

    The basis grows until each of the k pairs has a residual that is `allowed` (values `(k,)` to `(k,)`). If it is full
    before, its best approximate eigenvectors replace it, and the iteration goes on from them (Wu, Simon, *Thick-restart
    Lanczos method for large symmetric eigenvalue problems*, 2000). In exact arithmetic this is ARPACK's implicit restart;
    here the vectors are rotated in place, a few columns at a time.
    """
    generator, eps = np.random.default_rng(1), np.finfo(dtype).eps
    basis = np.empty((size + 1, n), dtype)  # rows, orthonormal; the system gives memory as they are filled
    projected = np.zeros((size, size))  # basis A basis^T
    start = np.random.default_rng(0).standard_normal(n)
    basis[0] = start / np.linalg.norm(start)
    kept = 0
    for restart in range(max_restarts):
        look = max(k, kept + 1)
        for j in range(kept, size):
            image, known = product(basis[j]).astype(dtype), basis[: j + 1]
            length = np.linalg.norm(image)
            # Nearly all of it lies along the two vectors before, or, behind a restart, along all that were kept.
            column, vector = _orthogonalized(image, known, 0 if j == kept else j - 1)
            projected[: j + 1, j] = projected[j, : j + 1] = column
            coupling = float(np.linalg.norm(vector))
            if coupling <= eps * length:  # A maps the span of the basis into itself: go on in a new direction
                coupling = 0.0
                vector = _orthogonalized(generator.standard_normal(n).astype(dtype), known, 0)[1]
            basis[j + 1] = vector / np.linalg.norm(vector)
            if j + 1 == size or j + 1 >= look:
                look = j + 1 + max(1, j // 40)  # looking takes j^3 operations
                values, rotation = np.linalg.eigh(projected[: j + 1, : j + 1])
                order = _wanted_first(values, which)
                values, rotation = values[order], rotation[:, order]
                residuals = coupling * np.abs(rotation[-1, :k])
                converged = residuals <= allowed(values[:k])
                if converged.all():
                    break
        done = converged.all() or restart == max_restarts - 1
        # More than k are kept as pairs converge, or the last ones would converge slowly.
        kept = k if done else k + min(int(converged.sum()), (size - k) // 2)
        last = basis[j + 1].copy()
        _rotate(basis[: j + 1], rotation[:, :kept].astype(dtype))
        basis[kept] = last
        projected[:] = 0
        projected[range(kept), range(kept)] = values[:kept]
        if done:
            break
    found = slice(k) if converged.all() else np.flatnonzero(converged)
    return values[:k][found], basis[:k][found].T, residuals[found]


def _orthogonalized(vector: np.ndarray, basis: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """A vector's coefficients in the rows of an orthonormal basis, and what remains of it.

    Once from row `first` on, where nearly all of it lies, then from all rows, and again if that took much away: what little
    remains must be orthogonal, too ("twice is enough", Kahan; Daniel, Gragg, Kaufman, Stewart, 1976).
    """
    total, part = np.zeros(len(basis)), slice(first, None)
    for _ in range(4):
        before = np.linalg.norm(vector)
        coefficients = basis[part] @ vector
        vector = vector - coefficients @ basis[part]
        total[part] += coefficients
        if part.start is None and np.linalg.norm(vector) > 0.7 * before:
            break
        part = slice(None)
    return total, vector


def _rotate(basis: np.ndarray, rotation: np.ndarray, columns: int = 10_000) -> None:
    """Replace the first rows of `basis` by `rotation^T basis`, without a second basis."""
    for first in range(0, basis.shape[1], columns):
        block = basis[:, first : first + columns]
        block[: rotation.shape[1]] = rotation.T @ block


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
    check.integer("n_probes", n_probes, 2, check.MOST)
    generator = np.random.default_rng(check.integer("seed", seed, low=0))
    n, known, exact = _size("operator", operator), None, 0.0
    if deflate is not None:
        if check.instance("deflate", deflate, Eigenvalues).vectors is None or deflate.vectors.shape[1] != n:
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
