"""Curvature of a network's loss, and the disagreement of single examples about its slope.

The Hessian H of the mean loss has one row and one column per trainable parameter, far too many to store.
`hessian_operator` multiplies vectors by H without ever forming it, and everything else in this file needs only such
products.

A pruned filter gets no gradient, so its rows and columns of H are zero: it adds zeros to the spectrum and nothing to the
trace. `SampleLoss` explains flat vectors, evaluation mode, `batch_size` and `loss`; every function here takes one instead
of `model, x, y`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator
from torch.func import functional_call, grad, vmap
from torch.overrides import TorchFunctionMode

from gst_tutorial import _arguments as check
from gst_tutorial.flatness.loss import SampleLoss, filter_scales, flat, on_sample
from gst_tutorial.flatness.spectrum import Eigenvalues, TraceEstimate, hutchinson_trace, top_eigenvalues


class AffineBatchNorm(TorchFunctionMode):
    """Context manager inside which batch norm in evaluation mode is computed as y = scale * x + shift.

    In evaluation mode batch norm is nothing more than that, and the numbers are the same. But differentiating torch's own
    batch norm twice makes many passes over the activations; without them a Hessian-vector product takes about three
    quarters of the time.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return (self._affine if func is F.batch_norm else func)(*args, **(kwargs or {}))

    @staticmethod
    def _affine(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        if training or running_mean is None:
            return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        # weight * (x - mean) / sqrt(var + eps) + bias, with everything that does not depend on x collected.
        scale = (running_var + eps).rsqrt() * (1.0 if weight is None else weight)  # (C,)
        shift = (0.0 if bias is None else bias) - running_mean * scale
        shape = (1, -1) + (1,) * (x.dim() - 2)  # broadcasts against x, (B, C) or (B, C, L) or (B, C, H, W)
        return (x * scale.view(shape) + shift.view(shape)).to(x.dtype)


@on_sample
def hessian_operator(at: SampleLoss) -> LinearOperator:
    """Return the Hessian H of the mean loss on `(x, y)` as a SciPy operator that maps v to H v.

    H v is the derivative of the gradient in the direction v, so it is the gradient of the number (gradient . v): two
    backward passes, at the cost of a few gradients (Pearlmutter, *Fast exact multiplication by the Hessian*, 1994). A
    mini-batch of B of the N examples is weighted by B / N, so batches of unequal sizes average correctly.

    Vectors are float64 and stay on the CPU. The arithmetic is the model's own, on its device: float32 gives about six
    digits. This holds on a GPU as well, since TF32 is switched off for convolutions here; for matrix products torch leaves
    it off unless you allow it.

    For a linear model and squared error, H = X^T X / N:

    >>> x, model = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.nn.Linear(2, 1, bias=False)
    >>> hessian_operator(model, x, torch.zeros(2, 1), loss=lambda z, y: 0.5 * F.mse_loss(z, y)) @ np.eye(2)
    array([[0.5, 0. ],
           [0. , 2. ]])

    If all N examples fit in one batch, the graph of the gradient is kept, which halves the time of a product.

    Args:
        at: or `model, x, y`.

    Returns:
        A symmetric operator `(n, n)`, valid as long as the model's parameters and buffers do not change.

    Raises:
        RuntimeError: a product is asked for after parameters or buffers have changed.
        FloatingPointError: a product is not finite.
    """
    parameters = list(at.parameters.values())

    def versions():
        # Torch counts the in-place changes of each tensor, so this is different after any of them has been written to.
        return [(t.data_ptr(), t._version) for t in (*at.model.parameters(), *at.model.buffers())]

    created = versions()
    # The graph of the gradient is the same for every v. Keeping it saves the first of the two backward passes; for more
    # than one batch it would take too much memory.
    with at.fixed(), AffineBatchNorm(), torch.enable_grad():
        kept = at.batch_gradient(*at.batches[0], create_graph=True) if len(at.batches) == 1 else None

    def product(vector):
        if versions() != created:
            raise RuntimeError("parameters or buffers have changed since the operator was made; make a new operator.")
        directions = list(at.split(vector).values())
        total = [torch.zeros_like(p) for p in parameters]
        with at.fixed(), AffineBatchNorm(), torch.enable_grad():
            for batch in at.batches:
                pairs = list(zip(kept or at.batch_gradient(*batch, create_graph=True), directions, strict=True))
                # If the loss is linear in a parameter, its gradient is constant and has no graph: a row of zeros in H.
                curved = [(g, v) for g, v in pairs if g.requires_grad]
                if curved:
                    outputs, weights = zip(*curved, strict=True)
                    keep = kept is not None
                    # gradient of sum_j g_j . v_j with respect to all parameters; v_j has the shape of g_j
                    parts = torch.autograd.grad(outputs, parameters, weights, retain_graph=keep, materialize_grads=True)
                    total = [a + b for a, b in zip(total, parts, strict=True)]
        result = flat(total).numpy()
        if not np.isfinite(result).all():
            raise FloatingPointError("a Hessian-vector product is not finite; has the training diverged?")
        return result

    return LinearOperator((at.size, at.size), matvec=product, rmatvec=product, dtype=np.float64)


@on_sample
def hessian_eigenvalues(
    at: SampleLoss, k: int = 100, *, which: str = "LM", tol: float = 1e-4, return_vectors: bool = False
) -> Eigenvalues:
    """Return the `top_eigenvalues` of the `hessian_operator`, by default the largest by magnitude, negative ones included.

    The paper's measure of flatness is `.sum` for k = 100 on 512 test examples.

    Args:
        at: or `model, x, y`.
        k, which, tol, return_vectors: see `top_eigenvalues`.
    """
    # A product is as exact as the model's own arithmetic (float32, most often), not as the float64 vectors.
    precision = max(torch.finfo(p.dtype).eps for p in at.parameters.values())
    options = dict(precision=precision, tol=tol, which=which, return_vectors=return_vectors)
    return top_eigenvalues(hessian_operator(at), k, **options)


@on_sample
def hessian_trace(at: SampleLoss, n_probes: int = 50, *, seed: int = 0) -> TraceEstimate:
    """Estimate the trace of the Hessian by `hutchinson_trace`.

    The trace says how much weight noise costs: to second order, Gaussian noise of standard deviation s on every parameter
    raises the mean loss by E[noise^T H noise] / 2 = s^2 / 2 tr H.

    Args:
        at: or `model, x, y`.
        n_probes, seed: see `hutchinson_trace`.
    """
    return hutchinson_trace(hessian_operator(at), n_probes, seed=seed)


@on_sample
def filter_normalized_operator(at: SampleLoss, scales: np.ndarray | None = None) -> LinearOperator:
    """Return D H D with D = diag(`filter_scales`): the curvature per *relative* change of the weights.

    The plain Hessian depends on the scale of the weights even where the function does not. Multiply the weights of a
    filter f in front of batch norm by a > 0 (and its running statistics accordingly, as training would). Batch norm
    divides by a again, so the function is the same: L(a w_f) = L(w_f). Differentiate twice with respect to w_f:
    a^2 H_ff(a w_f) = H_ff(w_f). In words, filters that are ten times as long look a hundred times flatter, although no
    prediction has changed (Dinh, Pascanu, Bengio, Bengio, *Sharp minima can generalize for deep nets*, 2017).

    D_ff grows with a, which cancels this: every entry of D H D stays the same, and with it the eigenvalues and the trace.
    (This is exact if batch norm's epsilon is 0, and nearly so otherwise.) The same holds if one layer of a ReLU network
    without biases is multiplied by a and another one divided by it. Biases and the parameters of batch norm have D = 0:
    they do not take part.

    Args:
        at: or `model, x, y`.
        scales: the diagonal of D, flat `(n,)`; None takes the `filter_scales` of the whole network.
    """
    operator = hessian_operator(at)
    scales = filter_scales(at.model) if scales is None else at.directions("scales", scales)

    def product(vector):
        return scales * operator.matvec(scales * np.asarray(vector).reshape(-1))

    return LinearOperator(operator.shape, matvec=product, rmatvec=product, dtype=np.float64)


@on_sample
def filter_normalized_sharpness(at: SampleLoss, n_probes: int = 50, *, seed: int = 0) -> TraceEstimate:
    """Estimate the trace of the `filter_normalized_operator` D H D: the sum over filters f of `|w_f|^2 / n_f` tr H_ff.

    This is the mean curvature E[d^T H d] along a random filter-normalized direction d (Li, Xu, Taylor, Studer, Goldstein,
    *Visualizing the loss landscape of neural nets*, 2018): the part of d in filter f is uniform on the sphere of radius
    `|w_f|` in n_f dimensions, so `E[d_f d_f^T] = |w_f|^2 / n_f I`. A step eps d raises the loss by eps^2 / 2 times this
    number on average.

    Args:
        at: or `model, x, y`.
        n_probes, seed: see `hutchinson_trace`.
    """
    return hutchinson_trace(filter_normalized_operator(at), n_probes, seed=seed)


@dataclass(frozen=True)
class GradientCovariance:
    """Two traces: of the per-sample gradients' second moment (`uncentred`, the paper's) and covariance (`centred`)."""

    uncentred: float
    centred: float


@on_sample
def gradient_covariance_trace(at: SampleLoss, *, chunk_size: int = 64) -> GradientCovariance:
    """Return the mean squared length of the per-sample gradients g_i, and of their differences from the mean gradient g.

    The first is the paper's measure, uncentred = `1/N sum |g_i|^2`. The second, centred = `1/N sum |g_i - g|^2 =
    uncentred - |g|^2`, is the trace of the covariance of SGD's noise (divided by N, not N - 1). At a minimum g = 0 and the
    two agree.

    For a linear model with squared error and targets 0, g_i = (w . x_i) x_i. Here w = (1, 1):

    >>> model, x = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 0.0], [0.0, 2.0]])   # g = (1, 0) and (0, 4)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> gradient_covariance_trace(model, x, torch.zeros(2, 1), loss=lambda z, y: 0.5 * F.mse_loss(z, y))
    GradientCovariance(uncentred=8.5, centred=4.25)

    Args:
        at: or `model, x, y`; each example has a gradient of its own, whatever the batch size.
        chunk_size: number of per-sample gradients in memory at a time, each as large as the parameters.
    """
    check.integer("chunk_size", chunk_size, 1, check.MOST)
    parameters = {name: p.detach() for name, p in at.parameters.items()}

    def example_loss(values, x, y):
        return at.loss(functional_call(at.model, values, (x[None],)), y[None])  # a batch of one example

    squares, total = 0.0, 0.0  # sum of |g_i|^2, and sum of g_i as a flat vector (n,)
    with at.fixed():
        for x, y in zip(at.x.split(chunk_size), at.y.split(chunk_size), strict=True):
            gradients = vmap(grad(example_loss), in_dims=(None, 0, 0))(parameters, x, y).values()
            squares += sum(float(g.square().sum()) for g in gradients)  # g: (chunk, *parameter)
            total = total + flat(g.sum(dim=0) for g in gradients)
    uncentred = squares / len(at.x)
    return GradientCovariance(uncentred, uncentred - float((total / len(at.x)).square().sum()))
