"""Flatness measurements against the libraries and loops that do the same.

    python -m benchmarks.flatness          # the tutorial's network, top 100 eigenvalues
    python -m benchmarks.flatness --quick  # a small network, top 20: a minute

Both sides run in one process on one thread, in turn, on the same trained network and examples; seconds are processor
time, which other processes disturb less than the clock. Before a ratio is printed, both sides' eigenvalues are compared
with a double-precision reference: ours must all be right, how many a peer misses stands in `note`. Where it misses
some, the ratio flatters the peer, which would need longer to find them.

The peers: pip install ".[bench-peers]". One that is not installed is left out, and the benchmark says so.
"""

from __future__ import annotations

import argparse
import copy
import functools
import importlib
import importlib.metadata
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator, eigsh
from threadpoolctl import threadpool_limits  # comes with scikit-learn
from torch import nn

import gst_tutorial as gst
from benchmarks._measure import alternating, row
from gst_tutorial.flatness.hessian import gradient_covariance_trace, hessian_eigenvalues, hessian_operator
from gst_tutorial.flatness.spectrum import top_eigenvalues

TOLERANCE = 1e-3  # relative error at which an eigenvalue counts as right; every solver is asked for at least this
REPEATS = 3
LONG = 60.0  # seconds: a side that takes longer is not repeated
PYHESSIAN, EIGENTHINGS, CURVLINOPS = "PyHessian", "hessian-eigenthings", "curvlinops-for-pytorch"  # as on PyPI


def trained_network(quick: bool):
    """The tutorial's network after training, and the first 512 (quick: 128) test examples."""
    torch.manual_seed(0)
    dataset = gst.load("mnist1d")
    model = gst.conv1d_net(channels=(8, 8, 8, 16) if quick else (32, 32, 32, 64))
    gst.train(model, dataset, gst.Recipe(epochs=3 if quick else 20, milestones=()))
    n = 128 if quick else 512
    return model.eval(), dataset.x_test[:n], dataset.y_test[:n]


def by_power_iteration(model, x, y, k, max_iterations=100):
    """Power iteration with deflation on our operator: the textbook method, stopped as PyHessian stops it."""
    operator, generator = hessian_operator(model, x, y), np.random.default_rng(0)
    n = operator.shape[0]
    found, vectors, products = [], np.zeros((0, n)), 0
    for _ in range(k):
        v, value = generator.standard_normal(n), np.inf
        for _ in range(max_iterations):
            v -= vectors.T @ (vectors @ v)
            v /= np.linalg.norm(v)
            image, products = operator @ v, products + 1
            last, value = value, float(v @ image)
            if abs(value - last) < TOLERANCE * abs(value):
                break
            v = image
        v = image - vectors.T @ (vectors @ image)
        vectors = np.vstack([vectors, v / np.linalg.norm(v)])
        found.append(value)
    return np.array(found), products


def by_pyhessian(model, x, y, k):
    """PyHessian: power iteration with deflation."""
    library = importlib.import_module("pyhessian.hessian")  # `import as` would find the class of the same name

    products, original = 0, library.hessian_vector_product

    def counted(*arguments):
        nonlocal products
        products += 1
        return original(*arguments)

    library.hessian_vector_product = counted  # it does not count its products itself
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Using backward.. with create_graph", category=UserWarning)
            peer = library.hessian(model, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
        values, _ = peer.eigenvalues(maxIter=100, tol=TOLERANCE, top_n=k)
    finally:
        library.hessian_vector_product = original
        model.zero_grad(set_to_none=True)
    return np.array(values), products


def by_hessian_eigenthings(model, x, y, k, steps):
    """hessian-eigenthings: Lanczos with re-orthogonalization, without which it returns eigenvalues twice."""
    from hessian_eigenthings import HessianOperator, lanczos

    def loss(network, batch):
        return F.cross_entropy(network(batch[0]), batch[1])

    operator = HessianOperator(model, [(x, y)], loss)
    result = lanczos(operator, k=k, max_iter=steps, tol=TOLERANCE, reorthogonalize=True, seed=0)
    return result.eigenvalues.numpy(), steps


def sufficient_steps(model, x, y, k, reference) -> int:
    """The fewest Lanczos steps, in half multiples of k, with which hessian-eigenthings gets all k right.

    Its default, 2 k, misses some, and it has no restarts; the user would have to find this number.
    """
    for steps in range(2 * k, 6 * k, k // 2):
        if not wrong_values(by_hessian_eigenthings(model, x, y, k, steps)[0], reference):
            break
    return steps


def by_curvlinops(model, x, y, k):
    """curvlinops and SciPy's eigsh as its documentation shows."""
    from curvlinops import HessianLinearOperator

    parameters = [p for p in model.parameters() if p.requires_grad]
    peer = HessianLinearOperator(model, nn.CrossEntropyLoss(), parameters, [(x, y)], check_deterministic=False)
    scipy_operator, products = peer.to_scipy(), 0

    def counted(v):
        nonlocal products
        products += 1
        return scipy_operator @ v

    values = eigsh(
        LinearOperator(scipy_operator.shape, matvec=counted, dtype=scipy_operator.dtype),
        k,
        tol=TOLERANCE,
        v0=np.random.default_rng(0).standard_normal(scipy_operator.shape[0]).astype(scipy_operator.dtype),
        return_eigenvectors=False,
    )
    return values, products


def by_us(model, x, y, k):
    """`gst.hessian_eigenvalues`, including the product that checks the residuals."""
    result = hessian_eigenvalues(model, x, y, k, tol=TOLERANCE)
    return result.eigenvalues, result.n_products


def gradient_loop(model, x, y):
    """Mean squared gradient norm by a backward pass per example."""
    total, parameters = 0.0, list(model.parameters())
    for x_one, y_one in zip(x.split(1), y.split(1), strict=True):
        gradients = torch.autograd.grad(F.cross_entropy(model(x_one), y_one), parameters)
        total += float(sum(g.square().sum() for g in gradients))
    return total / len(x)


def wrong_values(found, reference) -> int:
    """How many of the reference eigenvalues a method missed. A value found once stands for one eigenvalue, not two."""
    left, missed = list(found), 0
    for value in reference:
        nearest = min(left, key=lambda candidate: abs(candidate - value), default=np.inf)
        if abs(nearest - value) <= TOLERANCE * abs(value):
            left.remove(nearest)
        else:
            missed += 1
    return missed


def version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def in_turn(ours: Callable, peer: Callable, repeats: int):
    """Results of both, and their median processor seconds (once, if one of them takes longer than `LONG`)."""
    results = {}
    seconds = alternating(
        lambda: results.__setitem__("ours", ours()),
        lambda: results.__setitem__("peer", peer()),
        repeats,
        time.process_time,
        LONG,
    )
    return results["ours"], results["peer"], seconds


def with_products(products: tuple) -> dict:
    """The columns about matrix-vector products; the ratio is peer over ours."""
    ours, peer = products
    return {"ours_products": ours, "peer_products": peer, "ratio_products": peer / ours if ours else None}


def eigenvalue_rows(model, x, y, k: int, repeats: int) -> list[dict]:
    """A row per installed peer."""
    double = copy.deepcopy(model).double()
    reference = top_eigenvalues(hessian_operator(double, x.double(), y), k, tol=1e-8).eigenvalues
    peers = {
        "power iteration with deflation": (None, by_power_iteration),
        "PyHessian": (PYHESSIAN, by_pyhessian),
        "hessian-eigenthings, re-orthogonalized": (EIGENTHINGS, by_hessian_eigenthings),
        "curvlinops + eigsh": (CURVLINOPS, by_curvlinops),
    }
    found = []
    for name, (package, peer) in peers.items():
        if package and not version(package):
            print(f'{package} is not installed, left out: pip install ".[bench-peers]"', flush=True)
            continue
        remark = ""
        if package == EIGENTHINGS:
            steps = sufficient_steps(model, x, y, k, reference)
            peer, remark = functools.partial(peer, steps=steps), f"; its number of steps, {steps}, found by trial"
        (values, products), (peer_values, peer_products), seconds = in_turn(
            lambda: by_us(model, x, y, k), lambda peer=peer: peer(model, x, y, k), repeats
        )
        if wrong_values(values, reference):
            raise AssertionError("gst.hessian_eigenvalues misses the reference; the comparison would be unfair")
        wrong = wrong_values(peer_values, reference)
        error = abs(peer_values.sum() / reference.sum() - 1)
        note = f"wrong by more than {TOLERANCE:.1%}: ours 0, peer {wrong} of {k}; peer's sum off by {error:.2%}{remark}"
        label = f"{name} ({version(package)})" if package else name
        counts = with_products((products, peer_products))
        found.append(
            row(f"top {k} Hessian eigenvalues", "gst.flatness.hessian_eigenvalues", label, seconds, note, **counts)
        )
    return found


def gradient_row(model, x, y, repeats: int) -> dict:
    """Per-sample gradients against a loop of batch size 1."""
    ours, loop, seconds = in_turn(
        lambda: gradient_covariance_trace(model, x, y).uncentred, lambda: gradient_loop(model, x, y), repeats
    )
    if not np.isclose(ours, loop, rtol=1e-4):
        raise AssertionError(f"per-sample gradients differ: {ours} against {loop}")
    name, note = "trace of the gradient covariance", f"equal to {abs(ours / loop - 1):.0e}"
    ours_name = "gst.flatness.gradient_covariance_trace"
    return row(name, ours_name, "loop of batch size 1", seconds, note, **with_products((None, None)))


@threadpool_limits.wrap(limits=1)  # of NumPy's products, on either side; torch has a setting of its own
def rows(quick: bool = False) -> list[dict]:
    """One row per peer: seconds of both sides, `ratio` = peer's seconds / ours, and the same for the products."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model, x, y = trained_network(quick)
        k, repeats = (20, 1) if quick else (100, REPEATS)
        return [*eigenvalue_rows(model, x, y, k, repeats), gradient_row(model, x, y, 2 * repeats)]
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    for r in rows(parser.parse_args().quick):
        products = f"{r['ours_products']} against {r['peer_products']} products; " if r["ours_products"] else ""
        print(
            f"{r['benchmark']}: {r['ratio']:.1f} times as fast as {r['peer']} "
            f"({r['ours_seconds']:.2f} s against {r['peer_seconds']:.2f} s; {products}{r['note']})"
        )
