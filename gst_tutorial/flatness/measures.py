"""Flatness that survives two objections, and every measure of flatness in one call at a run's end.

Objection one: weights rescaled under batch norm change the Hessian, not the function; see `filter_normalized_operator`.
Objection two: the Hessian of cross-entropy shrinks as the loss does, at the same decisions; see `match_loss`.
`measure_sharpness` answers both at once.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.flatness.hessian import filter_normalized_operator, gradient_covariance_trace, hessian_operator
from gst_tutorial.flatness.landscape import flat_radius
from gst_tutorial.flatness.loss import SampleLoss, filter_scales
from gst_tutorial.flatness.spectrum import Eigenvalues, hutchinson_trace, top_eigenvalues


class ScaledLogits(nn.Module):
    """`scale` times the logits of `model`: a softmax of temperature 1 / scale. Same parameters, same predictions."""

    def __init__(self, model: nn.Module, scale: float):
        super().__init__()
        self.model, self.scale = check.network("model", model), check.real("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.model(x)


class OutOfReach(ValueError):
    """No scale of the logits gives the loss asked for."""


def match_loss(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, target_loss: float, *, batch_size: int = 512
) -> ScaledLogits:
    """The model with its logits scaled so that its mean cross-entropy on `(x, y)` is `target_loss`.

    Why: once all examples are right, growing logits shrink cross-entropy and with it the Hessian (whose Gauss-Newton
    part holds the factors p (1 - p)), so a network trained longer looks flatter. At equal loss this reason is gone.

    The loss L(s) at scale s is convex in s and L(0) = log(classes); the scale returned lies on the falling branch,
    where it is unique. What it does not do: it multiplies every example's logits by the same number, so two networks
    then agree in their mean loss, not in how it is spread over examples; it is no substitute for stopping training
    earlier; and it is one choice among several (equal entropy would be another).

    Raises:
        OutOfReach: no scale reaches the target (some predictions are wrong).
        ValueError: the target is not in (0, log(classes)); or model and examples do not fit.
        FloatingPointError: a logit is not finite.
    """
    check.real("target_loss", target_loss, 0, open_low=True)
    return _matched(SampleLoss(model, x, y, batch_size=batch_size), "target_loss", target_loss)


def _matched(at: SampleLoss, argument: str, target_loss: float) -> ScaledLogits:
    z, y = at.outputs().cpu().double(), at.y.cpu()
    if z.dim() != 2 or y.dtype != torch.int64:
        raise ValueError(
            f"model, y: logits (N, classes) and int64 classes are needed, got {tuple(z.shape)}, {y.dtype}."
        )
    if not z.isfinite().all():
        raise FloatingPointError("model: its logits are not finite; has the training diverged?")
    check.real(argument, target_loss, low=0, high=math.log(z.shape[1]), open_low=True, open_high=True)

    def excess(scale: float) -> float:
        return float(F.cross_entropy(scale * z, y)) - target_loss

    def slope(scale: float) -> float:
        expected = (torch.softmax(scale * z, dim=1) * z).sum(dim=1)
        return float((expected - z.gather(1, y[:, None])[:, 0]).mean())

    low, high = 0.0, 1e-3 / max(float(z.abs().max()), 1e-30)
    while excess(high) > 0 and slope(high) < 0 and high < 1e12:
        low, high = high, 2 * high
    if excess(high) > 0 and slope(low) < 0 < slope(high):
        high = brentq(slope, low, high)  # the bottom of the convex curve
    if not excess(high) <= 0:
        raise OutOfReach(
            f"{argument}={target_loss!r} is out of reach: scaled logits get down to {excess(high) + target_loss:.4g}."
        )
    return ScaledLogits(at.model, brentq(excess, 0.0, high, xtol=1e-12 * high))


def measure_flatness(
    model: nn.Module,
    dataset,
    n_train_examples: int = 512,
    n_test_examples: int = 512,
    *,
    k: int = 20,
    n_probes: int = 5,
    matched_loss: float = 0.5,
    seed: int = 0,
) -> dict[str, float]:
    """Every measure of flatness on a fixed random sample of training and of test examples, for a run's end.

    Each name comes with the prefix `train_` and `test_`. Those of `measure_curvature`, and:

    - `flat_radius`: see `flat_radius`, along the top eigenvector.
    - `normalized_max`, `normalized_trace`: top eigenvalue and trace of the `filter_normalized_operator`, the trace (see
      `filter_normalized_sharpness`) to about 5%.

    On the tutorial's network this takes about 260 Hessian-vector products, ten seconds of one core.

    Args:
        model: takes `dataset.x_train` and `dataset.x_test`; in any mode, which is restored.
        dataset: has `x_train, y_train, x_test, y_test`; classes as targets.
        n_train_examples, n_test_examples: size of the samples; all examples if there are fewer.
        k: eigenvalues; n_probes: random probes of each trace; seed: of samples and probes.
        matched_loss: mean loss on the training sample, in nats, at which `matched_...` are measured.

    Raises:
        ValueError: a number of examples, eigenvalues or probes below 1.
    """
    check.integer("k", k, low=1)
    check.integer("n_probes", n_probes, 2, check.MOST)
    measures = {}
    for split, at, matched in _samples(model, dataset, n_train_examples, n_test_examples, matched_loss, seed):
        values, top = _curvature(at, matched, k, n_probes, seed)
        scaled, scaled_trace = _top_and_trace(filter_normalized_operator(at), min(k, 5), n_probes, seed)
        values |= {
            "flat_radius": flat_radius(at, top.vectors[0]) if top.converged[0] else math.nan,
            "normalized_max": float(scaled.eigenvalues[0]),
            "normalized_trace": scaled_trace,
        }
        measures |= {f"{split}_{name}": value for name, value in values.items()}
    return measures


def measure_curvature(
    model: nn.Module,
    dataset,
    n_train_examples: int = 256,
    n_test_examples: int = 256,
    *,
    k: int = 5,
    n_probes: int = 5,
    matched_loss: float = 0.5,
    seed: int = 0,
) -> dict[str, float]:
    """The paper's measures of flatness, and the Hessian at equal loss: what a network for photographs can afford.

    Each name comes with the prefix `train_` and `test_`:

    - `sample_loss`: mean loss of the sample.
    - `gradient_covariance`, `gradient_covariance_centred`: see `gradient_covariance_trace`.
    - `hessian_sum`: sum of the top k Hessian eigenvalues by magnitude (the paper: k = 100 on 512 test images).
    - `hessian_max`: the largest of them. `hessian_trace`: see `hutchinson_trace`, deflated by the k eigenvectors, which
      leaves a standard error of 1 to 3% with 5 probes and k = 20.
    - `matched_hessian_max`, `matched_hessian_trace`: those of the Hessian when the logits are scaled so that the loss
      of the *training* sample is `matched_loss`; NaN if no scale reaches it.

    With k = 5, about 130 Hessian-vector products: on VGG11 at a quarter of its width a minute of one core. Arguments
    and errors as in `measure_flatness`.
    """
    check.integer("k", k, low=1)
    check.integer("n_probes", n_probes, 2, check.MOST)
    return {
        f"{split}_{name}": value
        for split, at, matched in _samples(model, dataset, n_train_examples, n_test_examples, matched_loss, seed)
        for name, value in _curvature(at, matched, k, n_probes, seed)[0].items()
    }


def measure_sharpness(
    model: nn.Module,
    dataset,
    n_train_examples: int = 256,
    n_test_examples: int = 256,
    *,
    k: int = 5,
    n_probes: int = 5,
    matched_loss: float = 0.5,
    seed: int = 0,
) -> dict[str, float]:
    """Curvature at equal loss per relative change of the weights: to compare runs that differ in loss, weights and size.

    Each name comes with the prefix `train_` and `test_`:

    - `matched_normalized_max`: the eigenvalue of D H D that is largest by magnitude.
    - `matched_normalized_trace`: its trace, see `filter_normalized_sharpness`, to about 5% with 5 probes.

    H is the Hessian when the logits are scaled so that the loss of the *training* sample is `matched_loss`
    (`match_loss`); both are NaN if no scale reaches it. D is that of the `filter_normalized_operator`, with one
    difference. What takes part, and what the numbers do not see:

    - The weights of convolutions and linear layers do, the head's rows among them. Biases and batch norm's scale and
      shift do not (D = 0): they have no filter whose length their change could be compared with.
    - A filter in front of batch norm made longer, its running statistics with it: the same numbers. Likewise a head
      whose weights and biases are multiplied (the logits' scale undoes it), and two layers of a ReLU network, one
      multiplied and the next divided. *Not* covered: one filter made larger and the next layer's weights that read it
      smaller, which changes how long those filters are.
    - The difference: a weight counts in its filter's root mean square only if the sample's loss depends on it. Those
      of a pruned filter and those that read one do not. They never learn again, but their leftovers would go on
      setting D. So a masked network has the numbers of the same network with its filters cut out (`gst.compact`).

    With k = 5, about 64 Hessian-vector products: half a second of one core on the tutorial's network. Arguments
    and errors as in `measure_flatness`.
    """
    check.integer("k", k, low=1)
    check.integer("n_probes", n_probes, 2, check.MOST)
    measures = {}
    for split, _, matched in _samples(model, dataset, n_train_examples, n_test_examples, matched_loss, seed):
        largest = trace = math.nan
        if matched is not None:
            scales = filter_scales(matched.model, counted=matched.gradient() != 0)
            operator = filter_normalized_operator(matched, scales)
            top, trace = _top_and_trace(operator, min(k, matched.size), n_probes, seed)
            largest = float(top.eigenvalues[0])
        measures |= {f"{split}_matched_normalized_max": largest, f"{split}_matched_normalized_trace": trace}
    return measures


def _curvature(at: SampleLoss, matched: SampleLoss | None, k: int, n_probes: int, seed: int):
    """(Measures by name, top eigenvalues with vectors) of one sample."""
    top, trace = _top_and_trace(hessian_operator(at), k, n_probes, seed)
    covariance = gradient_covariance_trace(at)
    values = {
        "sample_loss": at.value(),
        "gradient_covariance": covariance.uncentred,
        "gradient_covariance_centred": covariance.centred,
        "hessian_sum": top.sum,
        "hessian_max": float(top.eigenvalues[0]),
        "hessian_trace": trace,
        "matched_hessian_max": math.nan,
        "matched_hessian_trace": math.nan,
    }
    if matched is not None:
        again, trace = _top_and_trace(hessian_operator(matched), min(k, 5), n_probes, seed)
        values |= {"matched_hessian_max": float(again.eigenvalues[0]), "matched_hessian_trace": trace}
    return values, top


def _samples(model: nn.Module, dataset, n_train_examples: int, n_test_examples: int, matched_loss: float, seed: int):
    """[(split, loss of the model, loss of the model with the training sample's loss matched or None)], drawn at random."""
    check.real("matched_loss", matched_loss, low=0, open_low=True)
    generator = np.random.default_rng(check.integer("seed", seed, low=0))
    wanted = {
        "train": check.integer("n_train_examples", n_train_examples, low=1),
        "test": check.integer("n_test_examples", n_test_examples, low=1),
    }
    losses = {}
    for split, n in wanted.items():
        x, y = getattr(dataset, f"x_{split}", None), getattr(dataset, f"y_{split}", None)
        if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor):
            raise TypeError(f"dataset must have tensors x_{split} and y_{split}; {type(dataset).__name__} has not.")
        chosen = torch.from_numpy(generator.permutation(len(x))[:n]).to(x.device)
        x = x[chosen]
        if x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)  # faster on a CPU
        losses[split] = SampleLoss(model, x, y[chosen])
    try:
        scaled = _matched(losses["train"], "matched_loss", matched_loss)
    except OutOfReach:
        scaled = None
    return [(split, at, scaled and SampleLoss(scaled, at.x, at.y)) for split, at in losses.items()]


def _top_and_trace(operator: LinearOperator, k: int, n_probes: int, seed: int) -> tuple[Eigenvalues, float]:
    # A study compares runs that differ by far more than 0.1%, so it need not pay for residuals.
    top = top_eigenvalues(operator, k, tol=1e-3, check_residuals=False, return_vectors=True)
    return top, hutchinson_trace(operator, n_probes, seed=seed, deflate=top).trace
