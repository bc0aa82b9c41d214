"""Flatness measurements against the libraries and loops that do the same.

    python -m benchmarks.flatness          # the tutorial's network, top 100 eigenvalues
    python -m benchmarks.flatness --quick  # a small network, top 20: a minute

Both sides run in one process on one thread, in turn, on the same trained network and examples; seconds are processor
time, which other processes disturb less than the clock. Before a ratio is printed, both sides' eigenvalues are compared
with a double-precision reference; how many a peer misses stands in `note`.
"""

from __future__ import annotations

import argparse
import copy
import functools
import importlib
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn

import gst_tutorial as gst
from gst_tutorial.curvature import gradient_covariance_trace, hessian_eigenvalues, hessian_operator
from gst_tutorial.spectrum import top_eigenvalues

TOLERANCE = 1e-3  # relative error at which an eigenvalue counts as right; every solver is asked for at least this
REPEATS = 3
LONG = 60.0  # seconds: a side that takes longer is not repeated


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
    """PyHessian 0.1: power iteration with deflation."""
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
    """hessian-eigenthings 1.0: Lanczos with re-orthogonalization, without which it returns eigenvalues twice."""
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
    """curvlinops 3.0 and SciPy's eigsh as its documentation shows."""
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
    """`gst.hessian_eigenvalues`, the k products that check the residuals included."""
    result = hessian_eigenvalues(model, x, y, k, tol=TOLERANCE)
    return result.eigenvalues, result.n_products


def gradient_loop(model, x, y):
    """Mean squared gradient norm by a backward pass per example."""
    total, parameters = 0.0, list(model.parameters())
    for x_one, y_one in zip(x.split(1), y.split(1), strict=True):
        gradients = torch.autograd.grad(F.cross_entropy(model(x_one), y_one), parameters)
        total += float(sum(g.square().sum() for g in gradients))
    return total / len(x)


def alternating(ours: Callable, peer: Callable, repeats: int):
    """Results of both, and their median seconds when run in turn (once, if one of them takes longer than `LONG`)."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        results = []
        for function, times in zip((ours, peer), seconds, strict=True):
            start = time.process_time()
            results.append(function())
            times.append(time.process_time() - start)
        if max(seconds[0][0], seconds[1][0]) > LONG:
            break
    return *results, statistics.median(seconds[0]), statistics.median(seconds[1])


def wrong_values(found, reference) -> int:
    """How many of the reference eigenvalues a method missed, both sorted by magnitude."""
    found = found[np.argsort(-np.abs(found))]
    return int((np.abs(found - reference) > TOLERANCE * np.abs(reference)).sum())


def row(name, ours, peer, ours_seconds, peer_seconds, note) -> dict:
    return {
        "benchmark": name,
        "ours": ours,
        "peer": peer,
        "ours_seconds": ours_seconds,
        "peer_seconds": peer_seconds,
        "ratio": peer_seconds / ours_seconds,
        "note": note,
    }


def rows(quick: bool = False) -> list[dict]:
    """One row per peer: seconds of both sides, `ratio` = peer's seconds / ours, and what each side computed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model, x, y = trained_network(quick)
        k, repeats = (20, 1) if quick else (100, REPEATS)
        double = copy.deepcopy(model).double()
        reference = top_eigenvalues(hessian_operator(double, x.double(), y), k, tol=1e-8).eigenvalues
        steps = sufficient_steps(model, x, y, k, reference)
        peers = {
            "power iteration with deflation": by_power_iteration,
            "PyHessian": by_pyhessian,
            "hessian-eigenthings, re-orthogonalized": functools.partial(by_hessian_eigenthings, steps=steps),
            "curvlinops + eigsh": by_curvlinops,
        }
        found = []
        for peer_name, peer in peers.items():
            (values, products), (peer_values, peer_products), ours_seconds, peer_seconds = alternating(
                lambda: by_us(model, x, y, k), lambda peer=peer: peer(model, x, y, k), repeats
            )
            if wrong_values(values, reference):
                raise AssertionError("gst.hessian_eigenvalues misses the reference; the comparison would be unfair")
            wrong = wrong_values(peer_values, reference)
            note = (
                f"products {products} against {peer_products}; wrong by more than {TOLERANCE}: 0 against {wrong} of {k}"
            )
            name = f"top {k} Hessian eigenvalues"
            found.append(row(name, "gst.hessian_eigenvalues", peer_name, ours_seconds, peer_seconds, note))

        ours, loop, ours_seconds, loop_seconds = alternating(
            lambda: gradient_covariance_trace(model, x, y).uncentred, lambda: gradient_loop(model, x, y), 2 * repeats
        )
        if not np.isclose(ours, loop, rtol=1e-4):
            raise AssertionError(f"per-sample gradients differ: {ours} against {loop}")
        name, note = "trace of the gradient covariance", f"equal to {abs(ours / loop - 1):.0e}"
        function = "gst.gradient_covariance_trace"
        found.append(row(name, function, "loop of batch size 1", ours_seconds, loop_seconds, note))
        return found
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    for r in rows(parser.parse_args().quick):
        print(
            f"{r['benchmark']}: {r['ratio']:.1f} times as fast as {r['peer']} "
            f"({r['ours_seconds']:.2f} s against {r['peer_seconds']:.2f} s; {r['note']})"
        )
