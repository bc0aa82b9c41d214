"""Curvature of a network's loss, and how much single examples disagree about its slope.

The Hessian H of the mean loss has a row per trainable parameter. `hessian_operator` multiplies by it without
storing it.

Vectors are *flat*: they hold the parameters that require a gradient, in the order of `model.named_parameters()`.
A pruned filter (its batch-norm output multiplied by zero) gets no gradient, so its rows and columns of H are zero: it
adds zeros to the spectrum and nothing to the traces, and vectors keep the length they had before pruning.

All measurements are made in evaluation mode, where the loss is a fixed function of the parameters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import LinearOperator
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.overrides import TorchFunctionMode

from gst_tutorial import _arguments as check
from gst_tutorial.flatness.spectrum import Eigenvalues, TraceEstimate, hutchinson_trace, top_eigenvalues
from gst_tutorial.masks import evaluation_mode

BATCH_NORM = nn.modules.batchnorm._BatchNorm
DROPOUT = nn.modules.dropout._DropoutNd


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that a flat vector holds, by name and in order; a ValueError if there is none."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise ValueError(f"model={type(model).__name__} has no parameter that requires a gradient.")
    return parameters


def split_vector(vector: np.ndarray, parameters: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """Cut a flat vector `(n,)` into tensors of the parameters' shapes, dtypes and devices, by name."""
    n = sum(p.numel() for p in parameters.values())
    vector = np.asarray(vector)
    if vector.size != n:
        raise ValueError(f"a flat vector must have {n} entries, one per trainable parameter, got shape {vector.shape}.")
    parts = torch.from_numpy(vector.reshape(-1)).split([p.numel() for p in parameters.values()])
    pairs = zip(parameters.items(), parts, strict=True)
    return {name: part.to(p.dtype).to(p.device).view_as(p) for (name, p), part in pairs}


def check_sample(model: nn.Module, x: torch.Tensor, y: torch.Tensor, batch_size: int, argument: str = "batch_size"):
    """Return `x` and `y` on the model's device, or raise a ValueError or TypeError that says what does not fit."""
    for name, value in (("x", x), ("y", y)):
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, not {type(value).__name__}.")
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"x and y must have the same number of examples, at least one, got {len(x)} and {len(y)}.")
    check.integer(argument, batch_size, low=1)
    for name, module in model.named_modules():
        if isinstance(module, BATCH_NORM) and module.running_mean is None:
            raise ValueError(f"model: batch norm {name!r} keeps no running statistics: examples are not independent.")
    device = next(iter(trainable_parameters(model).values())).device
    return x.to(device), y.to(device)


def _refuse_training_mode(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if module.training and isinstance(module, (BATCH_NORM, DROPOUT)):
            raise ValueError(
                f"model: {type(module).__name__} {name!r} is in training mode, where the loss is not a fixed "
                "function of the parameters. Call model.eval() first."
            )


class AffineBatchNorm(TorchFunctionMode):
    """Inside `with AffineBatchNorm():`, batch norm in evaluation mode is computed as the scale and shift that it is.

    The numbers are the same, but double backward through torch's own batch norm makes many passes over the
    activations: without them a Hessian-vector product takes about three quarters of the time.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return (self._affine if func is F.batch_norm else func)(*args, **(kwargs or {}))

    @staticmethod
    def _affine(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        if training or running_mean is None:
            return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        scale = (running_var + eps).rsqrt() * (1.0 if weight is None else weight)  # (C,)
        shift = (0.0 if bias is None else bias) - running_mean * scale
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return (x * scale.view(shape) + shift.view(shape)).to(x.dtype)


@contextlib.contextmanager
def exact_convolutions() -> Iterator[None]:
    """Inside, a GPU convolves single precision as it is, not rounded to TF32, torch's default.

    TF32 keeps three digits: every residual would be above its tolerance, and every eigenvalue marked as unconverged.
    """
    cudnn = torch.backends.cudnn
    if hasattr(cudnn, "conv"):  # since torch 2.9
        owner, name, exact = cudnn.conv, "fp32_precision", "ieee"
    else:
        owner, name, exact = cudnn, "allow_tf32", False
    before = getattr(owner, name)
    setattr(owner, name, exact)
    try:
        yield
    finally:
        setattr(owner, name, before)


def hessian_operator(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, batch_size: int = 512, loss: Callable = F.cross_entropy
) -> LinearOperator:
    """The Hessian H of the mean loss on `(x, y)` as a SciPy operator, v -> H v = gradient of (gradient(w) . v).

    This is double backward (Pearlmutter, *Fast exact multiplication by the Hessian*, 1994): a product costs a few
    gradients. A mini-batch of B of the N examples weighs B / N, so batches of unequal sizes average correctly.
    Vectors are float64 and stay on the CPU; the arithmetic is the model's own, on its device (float32 gives about six
    digits, also on a GPU: its convolutions do without TF32 here; matrix products do, unless you have allowed it there).

    For a linear model and squared error, H = X^T X / N:

    >>> x, model = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), nn.Linear(2, 1, bias=False)
    >>> hessian_operator(model, x, torch.zeros(2, 1), loss=lambda z, y: 0.5 * F.mse_loss(z, y)) @ np.eye(2)
    array([[0.5, 0. ],
           [0. , 2. ]])

    Args:
        model: any network that is a function of one input; batch norm and dropout in evaluation mode.
        x: inputs `(N, ...)`.
        y: targets `(N, ...)`, as `loss(model(x), y)` takes them.
        batch_size: examples in memory at a time. If all N fit in one batch the gradient's graph is kept, which saves
            half the time of each product.
        loss: the *mean* loss of a batch.

    Returns:
        A symmetric operator `(n, n)` at the parameters and buffers that the model has now. A product puts the model in
        evaluation mode and restores every module's flag.

    Raises:
        ValueError: batch norm or dropout is in training mode, here or when a product is made.
        RuntimeError: a product is made after parameters or buffers changed.
        FloatingPointError: a product is not finite.
    """
    x, y = check_sample(model, x, y, batch_size)
    _refuse_training_mode(model)
    named = trainable_parameters(model)
    parameters = list(named.values())
    batches = list(zip(x.split(batch_size), y.split(batch_size), strict=True))

    def gradient(x_batch, y_batch):
        value = loss(model(x_batch), y_batch) * (len(x_batch) / len(x))
        return torch.autograd.grad(value, parameters, create_graph=True, materialize_grads=True)

    def versions():
        return [(t.data_ptr(), t._version) for t in (*model.parameters(), *model.buffers())]

    created = versions()
    with evaluation_mode(model), AffineBatchNorm(), exact_convolutions(), torch.enable_grad():
        kept = gradient(*batches[0]) if len(batches) == 1 else None

    def product(vector):
        _refuse_training_mode(model)
        if versions() != created:
            raise RuntimeError("parameters or buffers changed since the operator was made; make a new operator.")
        directions = list(split_vector(vector, named).values())
        total = [torch.zeros_like(p) for p in parameters]
        with evaluation_mode(model), AffineBatchNorm(), exact_convolutions(), torch.enable_grad():
            for batch in batches:
                pairs = list(zip(kept or gradient(*batch), directions, strict=True))
                # Where the loss is linear in a parameter the gradient is constant: no graph, and a row of zeros.
                curved = [(g, v) for g, v in pairs if g.requires_grad]
                if curved:
                    outputs, weights = zip(*curved, strict=True)
                    keep = kept is not None
                    parts = torch.autograd.grad(outputs, parameters, weights, retain_graph=keep, materialize_grads=True)
                    total = [a + b for a, b in zip(total, parts, strict=True)]
        result = torch.cat([part.detach().reshape(-1) for part in total]).cpu().double().numpy()
        if not np.isfinite(result).all():
            raise FloatingPointError("a Hessian-vector product is not finite; has the training diverged?")
        return result

    n = sum(p.numel() for p in parameters)
    return LinearOperator((n, n), matvec=product, rmatvec=product, dtype=np.float64)


def hessian_eigenvalues(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    k: int = 100,
    *,
    which: str = "LM",
    tol: float = 1e-4,
    return_vectors: bool = False,
    batch_size: int = 512,
    loss: Callable = F.cross_entropy,
) -> Eigenvalues:
    """`top_eigenvalues` of the `hessian_operator`, with the model in evaluation mode (flags are restored).

    `.sum` for k = 100 on 512 test examples is the paper's flatness measure. "By magnitude" keeps negative eigenvalues.
    """
    with evaluation_mode(model):
        operator = hessian_operator(model, x, y, batch_size=batch_size, loss=loss)
        # the relative error of a product is that of the model's arithmetic, not of the float64 vectors
        precision = max(torch.finfo(p.dtype).eps for p in trainable_parameters(model).values())
        return top_eigenvalues(operator, k, precision=precision, tol=tol, which=which, return_vectors=return_vectors)


def hessian_trace(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    n_probes: int = 50,
    *,
    seed: int = 0,
    batch_size: int = 512,
    loss: Callable = F.cross_entropy,
) -> TraceEstimate:
    """`hutchinson_trace` of the `hessian_operator`, with the model in evaluation mode (flags are restored).

    Gaussian noise of standard deviation s on every parameter raises the mean loss by E[noise^T H noise] / 2 =
    s^2 / 2 tr H, to second order: the trace is the price of weight noise.
    """
    with evaluation_mode(model):
        return hutchinson_trace(hessian_operator(model, x, y, batch_size=batch_size, loss=loss), n_probes, seed=seed)


def filter_scales(model: nn.Module) -> np.ndarray:
    """Per trainable parameter, the root-mean-square weight of its filter, flat `(n,)`; 0 for biases and batch norm.

    A filter is everything that makes one output: `weight[f]` of a convolution, a row of a linear layer.
    """
    scales = []
    for p in trainable_parameters(model).values():
        weights = p.detach().cpu().double().reshape(p.shape[0] if p.dim() > 1 else 1, -1)  # (filters, weights of each)
        rms = weights.square().mean(dim=1, keepdim=True).sqrt() * (p.dim() > 1)
        scales.append(rms.expand_as(weights).reshape(-1))
    return torch.cat(scales).numpy()


@dataclass(frozen=True)
class GradientCovariance:
    """Traces of the per-sample gradients' second moment (`uncentred`, the paper's) and covariance (`centred`)."""

    uncentred: float
    centred: float


def gradient_covariance_trace(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, chunk_size: int = 64, loss: Callable = F.cross_entropy
) -> GradientCovariance:
    """Mean squared length of the per-sample gradients g_i, with the model in evaluation mode (flags are restored).

    uncentred = `1/N sum |g_i|^2`, the paper's measure. centred = `1/N sum |g_i - g|^2 = uncentred - |g|^2` with their mean
    g: the trace of the covariance of SGD's noise (divided by N, not N - 1). At a minimum g = 0 and the two agree.

    For a linear model with squared error and targets 0, g_i = (w . x_i) x_i. Here w = (1, 1):

    >>> model, x = nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 0.0], [0.0, 2.0]])   # g = (1, 0) and (0, 4)
    >>> _ = nn.init.ones_(model.weight)
    >>> gradient_covariance_trace(model, x, torch.zeros(2, 1), loss=lambda z, y: 0.5 * F.mse_loss(z, y))
    GradientCovariance(uncentred=8.5, centred=4.25)

    Args:
        model, x, y, loss: as for `hessian_operator`.
        chunk_size: per-sample gradients held at a time (by `vmap(grad(...))`), each as large as the parameters.
    """
    x, y = check_sample(model, x, y, chunk_size, "chunk_size")
    parameters = {name: p.detach() for name, p in trainable_parameters(model).items()}

    def sample_loss(values, x_one, y_one):
        return loss(functional_call(model, values, (x_one[None],)), y_one[None])

    squares, total = 0.0, 0.0
    with evaluation_mode(model), exact_convolutions():
        for x_chunk, y_chunk in zip(x.split(chunk_size), y.split(chunk_size), strict=True):
            gradients = vmap(grad(sample_loss), in_dims=(None, 0, 0))(parameters, x_chunk, y_chunk).values()
            squares += sum(float(g.square().sum()) for g in gradients)  # g: (chunk, *parameter)
            total = total + torch.cat([g.sum(dim=0).reshape(-1).cpu().double() for g in gradients])
    uncentred = squares / len(x)
    return GradientCovariance(uncentred, uncentred - float((total / len(x)).square().sum()))
