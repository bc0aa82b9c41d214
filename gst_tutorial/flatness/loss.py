"""The mean loss of one network on one sample of examples, as a function of the network's parameters w.

Every measure of flatness studies this function. `SampleLoss` represents it: the examples in batches, the parameters, and
methods that evaluate it. The measures are functions of a `SampleLoss`; thanks to `on_sample` each can also be called with
`(model, x, y)`.

Vectors are *flat*, `(n,)`: all parameters that require a gradient in one row, in the order of `model.named_parameters()`.
The parameters of a pruned filter are still in it, although they have no influence on the loss.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from gst_tutorial import _arguments as check
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.masks import evaluation_mode


class Evaluation(NamedTuple):
    """Mean loss and accuracy of a sample. The accuracy is NaN if the targets are not classes or a logit is NaN."""

    loss: float
    accuracy: float


class SampleLoss:
    """The mean loss L(w) of `model` on the examples `(x, y)`, in evaluation mode.

    In evaluation mode (running statistics in batch norm, no dropout) the loss is a fixed function of w. Each call evaluates
    the model as it is at that moment, and restores every module's training flag afterwards. It never writes to parameters.

    >>> model, x = nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> _ = nn.init.zeros_(model.weight)
    >>> at = SampleLoss(model, x, torch.zeros(2, 1), loss=F.mse_loss)
    >>> at.value(), at.value(offset=np.array([1.0, 1.0]))  # at w = (0, 0), and at (1, 1): (1 + 4) / 2
    (0.0, 2.5)

    Args:
        model: any network with a single input; its batch norm must keep running statistics.
        x: inputs `(N, ...)`; they are moved to the model's device.
        y: targets `(N, ...)` for `loss(model(x), y)`; for cross-entropy, classes `(N,)` from 0.
        batch_size: number of examples that are evaluated at a time.
        loss: function that returns the *mean* loss of a batch, a scalar.

    Raises:
        TypeError: `model` is not a module, or `x` or `y` not a tensor.
        ValueError: model, examples, targets and loss do not fit together; the message says which.
    """

    def __init__(
        self, model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, batch_size: int = 512, loss=F.cross_entropy
    ):
        self.parameters = trainable_parameters(model)
        for name, value in (("x", x), ("y", y)):
            check.instance(name, value, torch.Tensor)
        if x.dim() == 0 or y.dim() == 0 or len(x) == 0 or len(x) != len(y):
            raise ValueError(
                "x and y must have the same number of examples, at least one, got shapes "
                f"{tuple(x.shape)} and {tuple(y.shape)}."
            )
        check.integer("batch_size", batch_size, 1, check.MOST)
        check.function("loss", loss)
        for name, module in model.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
                raise ValueError(
                    f"model: batch norm {name!r} keeps no running statistics, so examples would influence each other."
                )
        self.model, self.loss = model, loss
        device = next(iter(self.parameters.values())).device
        self.x, self.y = x.to(device), y.to(device)
        self.batches = list(zip(self.x.split(batch_size), self.y.split(batch_size), strict=True))
        self._check_one_example()

    def _check_one_example(self) -> None:
        """Raise a ValueError unless the model accepts the inputs and the loss accepts its outputs."""
        x, y = self.x[:1], self.y[:1]
        with self.fixed(), torch.no_grad():
            check.output_of(self.model, x)
            z = self.model(x)
            if not isinstance(z, torch.Tensor):
                raise TypeError(f"model must return a tensor, not {type(z).__name__}.")
            classes = z.shape[1] if z.dim() == 2 and self.loss is F.cross_entropy and y.dtype == torch.int64 else None
            if classes and not (self.y.dim() == 1 and int(self.y.min()) >= 0 and int(self.y.max()) < classes):
                raise ValueError(
                    f"y must be (N,) classes from 0 to {classes - 1}, as the model has {classes} outputs; got shape "
                    f"{tuple(self.y.shape)}, values {int(self.y.min())} to {int(self.y.max())}."
                )
            try:
                value = self.loss(z, y)
            except (RuntimeError, TypeError, IndexError, ValueError) as error:
                shapes = f"outputs {tuple(z.shape)} and targets {tuple(y.shape)}, {y.dtype}"
                raise ValueError(f"y: the loss does not take {shapes}: {error}") from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise ValueError("loss must return one number, the mean over a batch.")

    @property
    def size(self) -> int:
        """n, the number of trainable parameters."""
        return sum(p.numel() for p in self.parameters.values())

    @contextlib.contextmanager
    def fixed(self) -> Iterator[None]:
        """Context manager that makes the loss a fixed function: evaluation mode, and no TF32 in a GPU's convolutions."""
        with evaluation_mode(self.model), exact_convolutions():
            yield

    def split(self, vector: np.ndarray) -> dict[str, torch.Tensor]:
        """Cut a flat vector `(n,)` into tensors of the parameters' shapes, dtypes and devices, by name."""
        vector = np.asarray(vector)
        if vector.size != self.size:
            raise ValueError(
                f"a flat vector must have {self.size} entries, one per trainable parameter, got shape {vector.shape}."
            )
        parts = torch.from_numpy(vector.reshape(-1)).split([p.numel() for p in self.parameters.values()])
        pairs = zip(self.parameters.items(), parts, strict=True)
        return {name: part.to(p.dtype).to(p.device).view_as(p) for (name, p), part in pairs}

    def directions(self, argument: str, value) -> np.ndarray:
        """Return `value` as finite flat vectors, `(n,)` or rows `(k, n)`; a ValueError names `argument` otherwise."""
        value = check_finite(argument, value)
        if value.ndim not in (1, 2) or value.shape[-1] != self.size:
            raise ValueError(
                f"{argument} must be flat vectors of {self.size} entries, one per trainable parameter: shape "
                f"({self.size},) or (k, {self.size}), got {value.shape}."
            )
        return value

    def evaluate(self, offset: np.ndarray | None = None) -> Evaluation:
        """Compute loss and accuracy at w + offset, where `offset` is a flat vector `(n,)`; None evaluates at w itself."""
        values = {name: p.detach() for name, p in self.parameters.items()}
        if offset is not None:
            values = {name: values[name] + step for name, step in self.split(offset).items()}
        total, hits = 0.0, 0.0
        with self.fixed(), torch.no_grad():
            for x, y in self.batches:
                logits = functional_call(self.model, values, (x,))
                total += float(self.loss(logits, y)) * len(x)  # batches may have different sizes
                classes = y.dim() == 1 and logits.dim() == 2 and not logits.isnan().any()
                hits += int((logits.argmax(dim=1) == y).sum()) if classes else math.nan
        return Evaluation(total / len(self.x), hits / len(self.x))

    def value(self, offset: np.ndarray | None = None) -> float:
        """Compute L(w + offset) in the units of `loss` (nats for cross-entropy)."""
        return self.evaluate(offset).loss

    def outputs(self) -> torch.Tensor:
        """Compute the model's outputs for all examples, `(N, ...)`, without gradients."""
        with self.fixed(), torch.no_grad():
            return torch.cat([self.model(x) for x, _ in self.batches])

    def batch_gradient(self, x: torch.Tensor, y: torch.Tensor, create_graph: bool = False) -> tuple[torch.Tensor, ...]:
        """Compute a batch's contribution to the gradient, one tensor per parameter; B of the N examples weigh B / N."""
        value = self.loss(self.model(x), y) * (len(x) / len(self.x))
        parameters = list(self.parameters.values())
        return torch.autograd.grad(value, parameters, create_graph=create_graph, materialize_grads=True)

    def gradient(self) -> np.ndarray:
        """Compute the gradient of L at w, flat float64 `(n,)`."""
        with self.fixed(), torch.enable_grad():
            return sum(flat(self.batch_gradient(x, y)) for x, y in self.batches).numpy()


def on_sample(measure: Callable) -> Callable:
    """Decorate `measure(at: SampleLoss, ...)` so that `measure(model, x, y, ..., batch_size=512, loss=...)` works as well.

    The decorated function's signature is the second form, so that `help` and editors show both sets of arguments. In place
    of `x, y` it also takes a `gst.Dataset`, of which the test examples are used.
    """
    sample, own = inspect.signature(SampleLoss).parameters, inspect.signature(measure)
    names = ("model", "x", "y", "batch_size", "loss")
    of_sample, rest = [sample[name] for name in names], list(own.parameters.values())[1:]
    signature = own.replace(parameters=[*of_sample[:3], *rest, *of_sample[3:]])

    @functools.wraps(measure)
    def public(*arguments, **keywords):
        if arguments and isinstance(arguments[0], SampleLoss):
            return measure(*arguments, **keywords)
        if len(arguments) > 1 and isinstance(arguments[1], Dataset):
            model, dataset, *others = arguments
            arguments = (model, dataset.x_test, dataset.y_test, *others)
        given = signature.bind(*arguments, **keywords).arguments
        at = SampleLoss(**{name: given.pop(name) for name in names if name in given})
        return measure(at, **given)

    public.__signature__ = signature
    return public


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that make up a flat vector, by name and in order; a ValueError if there are none."""
    check.model("model", model)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise ValueError(f"model={type(model).__name__} has no parameter that requires a gradient.")
    return parameters


def filter_scales(model: nn.Module, counted: np.ndarray | None = None) -> np.ndarray:
    """Compute for every trainable parameter the root-mean-square weight of its filter, flat `(n,)`.

    A filter is all weights that produce one output: `weight[f]` of a convolution, a row of a linear layer. Biases and
    batch norm have no filter and get 0.

    Args:
        model: the network.
        counted: flat bool `(n,)`, the weights over which the mean is taken (for example those that pruning has left); None
            takes all. A filter none of whose weights is counted gets 0.
    """
    parameters = trainable_parameters(model)
    if counted is None:
        parts = [torch.ones(p.numel(), dtype=torch.bool) for p in parameters.values()]
    else:
        parts = torch.from_numpy(counted).split([p.numel() for p in parameters.values()])
    scales = []
    for p, part in zip(parameters.values(), parts, strict=True):
        weights = p.detach().cpu().double().reshape(p.shape[0] if p.dim() > 1 else 1, -1)  # (filters, weights of each)
        part = part.reshape(weights.shape)
        # rms of filter f = sqrt(sum of its counted squared weights / their number), and 0 for biases and batch norm
        squares, n = (weights.square() * part).sum(dim=1, keepdim=True), part.sum(dim=1, keepdim=True).clamp_min(1)
        rms = (squares / n).sqrt() * (p.dim() > 1)  # (filters, 1)
        scales.append(rms.expand_as(weights).reshape(-1))
    return torch.cat(scales).numpy()


def flat(tensors) -> torch.Tensor:
    """Join one tensor per parameter into a float64 vector `(n,)` on the CPU."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu().double()


def check_finite(argument: str, values) -> np.ndarray:
    """Return `values` as a float64 array of finite numbers; a ValueError names the argument otherwise."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        array = np.array([np.nan])
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{argument} must be finite numbers, at least one, got {check.shown(values)}.")
    return array


@contextlib.contextmanager
def exact_convolutions() -> Iterator[None]:
    """Context manager that keeps a GPU from rounding the inputs of convolutions to TF32, which is torch's default.

    TF32 has about three digits. Every residual would be above its tolerance, and every eigenvalue marked as unconverged.
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
