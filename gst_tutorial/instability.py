"""Instability: the accuracy that one change to a network costs at that moment.

The instability of a pruning event is (accuracy before - accuracy after) / accuracy before, on the test set, in
evaluation mode, without recalibrating batch norm (Bartoldson et al. 2020). `measure_instability` measures it around
any change, made by this package or by another.

Any other metric will do: of one that should be high it is (before - after) / |before|, of a loss, where larger is worse,
(after - before) / |before|, so that 0.1 always means "a tenth worse". For a loss it has no upper limit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import batches
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.masks import evaluation_mode, prunable_layers

METRICS = ("accuracy", "higher", "lower")  # "higher" is better, "lower" is better


@torch.no_grad()
def check_logits(model: nn.Module, x: torch.Tensor, n_classes: int, what: str = "model") -> None:
    """Check that `model` turns `x`, `(B, ...)`, into `(B, n_classes)`, without changing the model or any generator.

    Raises:
        ValueError: it does not; says so in one sentence, before torch would raise an error of its own.
    """
    try:
        with evaluation_mode(model):
            logits = model(x)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{what} does not take an input of shape {tuple(x.shape[1:])}: {reason}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (len(x), n_classes):
        given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ValueError(
            f"{what} gives {given} for {len(x)} examples of {n_classes} classes, not {(len(x), n_classes)}."
        )


@torch.no_grad()
def correct(
    model: nn.Module, x: torch.Tensor | Dataset | Iterable, y: torch.Tensor | None = None, batch_size: int = 1000
) -> torch.Tensor:
    """Return which examples the network classifies correctly, bool `(N,)`. Uses evaluation mode, then restores the modes.

    Args:
        model: a classifier from `(B, ...)` to logits `(B, n_classes)`, or to an object, dict or tuple that contains them.
        x: `(N, ...)` examples; or a `gst.Dataset`, of which the test examples are taken; or a `DataLoader` (or a list) of
            pairs (examples, labels), or of dicts with "labels", which are moved to the model's device.
        y: `(N,)` int64 labels; of a data set or a loader they are known.
        batch_size: examples per forward pass.

    Raises:
        ValueError: no examples, another number of labels, outputs that are no logits, labels that are no classes of
            theirs, or a mask of the model is lost (see `prunable_layers`).
        FloatingPointError: a logit is NaN, so that the largest of them is not a guess.
    """
    prunable_layers(model)
    if isinstance(x, Dataset):
        if y is not None:
            raise TypeError("y: the labels of a gst.Dataset are its own; give x and y, or only the data set.")
        x, y = x.x_test, x.y_test
    if y is None and isinstance(x, Iterable) and not isinstance(x, torch.Tensor):
        pairs: Iterable = (batches.parted(batches.moved(batch, model)) for batch in x)
    else:
        check.examples("x", x)
        _check_labels(x, y)
        check.integer("batch_size", batch_size, 1, check.MOST)
        pairs = zip(x.split(batch_size), y.split(batch_size))
    found, largest, labels = [], [], []
    with evaluation_mode(model):
        for x_part, y_part in pairs:
            if y_part is None:
                raise ValueError("x: a batch has no labels.")
            logits = check.output_of(model, x_part)  # (B, n_classes)
            if logits.dim() != 2 or len(logits) != len(y_part):
                raise ValueError(
                    f"model must give logits (B, n_classes), not {tuple(logits.shape)}, for {len(y_part)} x."
                )
            found.append(logits.argmax(1) == y_part)
            largest.append(logits.amax(1))  # NaN where a logit is
            labels.append(y_part)
    if not found:
        raise ValueError("x has no batch.")
    y = torch.cat(labels)
    if torch.cat(largest).isnan().any():  # once, at the end: each look waits for a GPU
        raise FloatingPointError("model: some of its logits are NaN; has the training diverged?")
    if not 0 <= int(y.min()) <= int(y.max()) < logits.shape[1]:
        raise ValueError(
            f"y has classes from {int(y.min())} to {int(y.max())}, and the model {logits.shape[1]} logits."
        )
    return torch.cat(found)


def _check_labels(x: torch.Tensor, y: torch.Tensor | None) -> None:
    check.instance("y", y, torch.Tensor)
    if y.dim() != 1 or len(x) != len(y) or y.is_floating_point() or y.is_complex():
        raise ValueError(
            f"x has {len(x)} examples and y is {tuple(y.shape)}, {y.dtype}: there must be one class, int64, for each."
        )


def accuracy(
    model: nn.Module, x: torch.Tensor | Dataset | Iterable, y: torch.Tensor | None = None, batch_size: int = 1000
) -> float:
    """Fraction of the examples that the network gets right, in [0, 1]. `accuracy(model, dataset)` is on the test set.

    Args:
        model, x, y, batch_size: see `correct`.

    Raises:
        ValueError, FloatingPointError: as `correct`.
    """
    return correct(model, x, y, batch_size).double().mean().item()


@dataclasses.dataclass
class Instability:
    """Result of `measure_instability`. The numbers are NaN until its `with` block has ended.

    Attributes:
        accuracy_before, accuracy_after: in [0, 1]; of another metric, its values.
        instability: (before - after) / before; 0 if nothing was lost, negative if accuracy rose. Of a loss, where lower is
            better, (after - before) / abs(before).
        standard_error: of the instability, from the finite number of test examples.
        n_examples: number of test examples, or None if unknown.
    """

    accuracy_before: float = math.nan
    accuracy_after: float = math.nan
    instability: float = math.nan
    standard_error: float = math.nan
    n_examples: int | None = None

    @property
    def stability(self) -> float:
        """1 - instability."""
        return 1 - self.instability


@dataclasses.dataclass(frozen=True)
class PruningEvent:
    """One moment at which filters were pruned or disturbed, a row of `RunResult.events`.

    Attributes:
        epoch: 0-based; the event came after this epoch's training.
        layers: names of the layers hit, joined by "+".
        n_filters: filters newly pruned or disturbed, all layers together.
        sparsity: fraction of the filters of the run's pruned layers that is masked after the event.
        accuracy_before, accuracy_after, instability, standard_error: see `Instability`.
    """

    epoch: int
    layers: str
    n_filters: int
    sparsity: float
    accuracy_before: float
    accuracy_after: float
    instability: float
    standard_error: float


def instability_of(
    before: float | torch.Tensor, after: float | torch.Tensor, n_examples: int | None = None, metric: str = "accuracy"
) -> Instability:
    """Instability and its standard error from two evaluations of the same test examples.

    Args:
        before, after: either accuracies in [0, 1], or bool `(N,)` tensors that say which examples were right. Of another
            metric any numbers, or `(N,)` tensors of a number per example, such as its loss.
        n_examples: size of the test set, if accuracies are given; without it the standard error is NaN.
        metric: "accuracy"; or "higher" or "lower", for any metric of which higher or lower numbers are better. The
            instability is then (before - after) / abs(before) or (after - before) / abs(before).

    The standard error is the delta method's for r = a' / a: with n examples, Var(a) = a(1 - a)/n,
    Var(a') likewise and Cov = (p - a a')/n, where p is the fraction right both times,
    Var(r) = (Var(a') + r^2 Var(a) - 2 r Cov) / a^2. With accuracies only, p is unknown; the covariance is then
    taken as 0, which overstates the error, because the examples that are right both times no longer cancel. For numbers
    v and v' per example the same formula is Var(r) = Var(v' - r v) / (n a^2).

    >>> instability_of(0.8, 0.6).instability
    0.25
    >>> instability_of(2.0, 3.0, metric="lower").instability
    0.5

    Raises:
        ValueError: the metric before is 0 (nothing could be lost), or the two evaluations differ in length.
    """
    check.one_of("metric", metric, METRICS)
    if n_examples is not None:
        check.integer("n_examples", n_examples, 1, 2**63)
    a, n = _mean("before", before, n_examples, metric)
    a_after, n_after = _mean("after", after, n_examples, metric)
    if n != n_after:
        raise ValueError(f"before has {n} examples and after has {n_after}: both must be of the same test set.")
    if a == 0:
        what = {"accuracy": "Accuracy"}.get(metric, "The metric")
        raise ValueError(f"{what} before the event is 0, so the instability, (before - after) / before, is undefined.")
    ratio = a_after / a
    paired = isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor) and before.dim() == 1
    standard_error = math.nan
    if metric != "accuracy":
        if paired:
            spread = (after.detach().double() - ratio * before.detach().double()).std(correction=0).item()
            standard_error = spread / math.sqrt(n) / abs(a)
        lost = a - a_after if metric == "higher" else a_after - a
        return Instability(a, a_after, lost / abs(a), standard_error, n)
    right_twice = (before & after).double().mean().item() if paired else a * a_after
    if n:
        variance = a_after * (1 - a_after) + ratio**2 * a * (1 - a) - 2 * ratio * (right_twice - a * a_after)
        standard_error = math.sqrt(max(variance, 0.0) / n) / a
    return Instability(a, a_after, (a - a_after) / a, standard_error, n)


def _mean(
    argument: str, evaluation: float | torch.Tensor, n_examples: int | None, metric: str
) -> tuple[float, int | None]:
    where = f"{argument}, returned by evaluate,"
    n = n_examples
    evaluation = evaluation.detach() if isinstance(evaluation, torch.Tensor) else evaluation
    if isinstance(evaluation, torch.Tensor) and evaluation.dim() == 1:
        if len(evaluation) == 0:
            raise ValueError(f"{where} has no example, so there is no accuracy.")
        if evaluation.dtype != torch.bool and metric == "accuracy":
            raise TypeError(
                f"{where} is a {evaluation.dtype} tensor; per-example results must be bool (right or wrong)."
            )
        evaluation, n = evaluation.double().mean(), len(evaluation)
    try:
        value = float(evaluation)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise TypeError(f"{where} is {check.shown(evaluation)}; it must be an accuracy or bool (N,).") from None
    if metric == "accuracy" and not 0 <= value <= 1:
        raise ValueError(
            f"{where} is accuracy {value!r}; it must lie in [0, 1] (a fraction, not a percentage). For another metric give "
            "metric='higher' or 'lower', whichever is better."
        )
    if not math.isfinite(value):
        raise FloatingPointError(f"{where} is {value}; has the training diverged?")
    return value, n


@contextlib.contextmanager
def measure_instability(
    evaluate: Callable[[], float | torch.Tensor], n_examples: int | None = None, metric: str = "accuracy"
) -> Iterator[Instability]:
    """Measure the instability of whatever the `with` block does to a network.

    >>> accuracies = iter([0.9, 0.45])
    >>> with measure_instability(lambda: next(accuracies)) as event:
    ...     pass  # prune something here
    >>> event.instability
    0.5

    Args:
        evaluate: called before and after the block. Returns the accuracy in [0, 1], or, better, which test examples
            are right as a bool `(N,)` tensor: `lambda: gst.correct(model, x_test, y_test)`. Only then are examples
            paired in the standard error.
        n_examples: size of the test set when `evaluate` returns an accuracy.
        metric: of another metric than the accuracy, which is better, "higher" or "lower"; see `instability_of`.

    Yields:
        An `Instability`, filled when the block ends. If the block raises, it stays NaN.

    Raises:
        ValueError, TypeError: `evaluate` returned no accuracy and no bool per example, or one of another test set.
    """
    check.function("evaluate", evaluate)
    check.one_of("metric", metric, METRICS)
    if n_examples is not None:
        check.integer("n_examples", n_examples, low=1)
    found = Instability()
    before = _evaluated(evaluate)
    yield found
    vars(found).update(vars(instability_of(before, _evaluated(evaluate), n_examples, metric)))


def _evaluated(evaluate: Callable[[], float | torch.Tensor]) -> float | torch.Tensor:
    try:
        return evaluate()
    except TypeError as error:  # most often: a function that needs arguments
        raise TypeError(f"evaluate={check.shown(evaluate)} failed: {error}") from error
