"""Measures of flatness that can be compared between runs, and functions that compute all of them at the end of a run.

The plain Hessian misleads in two ways. Rescaling weights in front of batch norm changes the Hessian but not the function
(see `filter_normalized_operator`). And the Hessian of cross-entropy shrinks with the loss, even if no decision changes (see
`match_loss`). `measure_sharpness` corrects for both.
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
    """A network whose logits are `scale` times those of `model`: same parameters and predictions, other confidence."""

    def __init__(self, model: nn.Module, scale: float):
        super().__init__()
        self.model, self.scale = check.model("model", model), check.real("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.model(x)


class OutOfReach(ValueError):
    """Raised if no scale of the logits gives the target loss."""


def match_loss(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, target_loss: float, *, batch_size: int = 512
) -> ScaledLogits:
    """Scale the model's logits so that its mean cross-entropy on `(x, y)` is `target_loss`.

    Once all examples are classified correctly, training goes on to enlarge the logits. This shrinks the cross-entropy and
    with it the Hessian (its Gauss-Newton part has the factors p (1 - p)), so a network that was trained longer looks
    flatter. At equal loss this explanation is ruled out.

    The loss L(s) at scale s is convex in s, and L(0) = log(classes). The scale that is returned is on the falling branch,
    where it is unique. Two limits: since all examples have their logits multiplied by the same number, two networks agree
    in their mean loss afterwards but not in how it is distributed over examples; and equal loss is one choice among several
    (equal entropy would be another). It does not replace stopping training earlier.

    Args:
        model: the network; it is not modified.
        x, y: examples and their classes.
        target_loss: in nats, between 0 and log(classes).
        batch_size: number of examples that are evaluated at a time.

    Raises:
        OutOfReach: no scale reaches the target, because some predictions are wrong.
        ValueError: the target is not in (0, log(classes)), or model and examples do not fit together.
        FloatingPointError: a logit is not finite.
    """
    check.real("target_loss", target_loss, 0, open_low=True)
    return _matched(SampleLoss(model, x, y, batch_size=batch_size), "target_loss", target_loss)


def _matched(at: SampleLoss, argument: str, target_loss: float) -> ScaledLogits:
    z, y = at.outputs().cpu().double(), at.y.cpu()  # (N, classes), (N,)
    if z.dim() != 2 or y.dtype != torch.int64:
        raise ValueError(
            f"model, y: logits (N, classes) and int64 classes are needed, got {tuple(z.shape)}, {y.dtype}."
        )
    if not z.isfinite().all():
        raise FloatingPointError("model: its logits are not finite; has the training diverged?")
    check.real(argument, target_loss, low=0, high=math.log(z.shape[1]), open_low=True, open_high=True)

    def excess(scale: float) -> float:  # L(s) - target
        return float(F.cross_entropy(scale * z, y)) - target_loss

    def slope(scale: float) -> float:  # dL/ds = mean over examples of (sum_c p_c z_c - z_y)
        expected = (torch.softmax(scale * z, dim=1) * z).sum(dim=1)
        return float((expected - z.gather(1, y[:, None])[:, 0]).mean())

    # Double the scale until the loss is below the target or rises again.
    low, high = 0.0, 1e-3 / max(float(z.abs().max()), 1e-30)
    while excess(high) > 0 and slope(high) < 0 and high < 1e12:
        low, high = high, 2 * high
    if excess(high) > 0 and slope(low) < 0 < slope(high):
        high = brentq(slope, low, high)  # the target may still be reached between, at the bottom of the convex curve
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
    """Compute every measure of flatness, on a fixed random sample of training and of test examples.

    The result has the measures of `measure_curvature` and the following ones, each with the prefixes `train_` and `test_`:

    - `flat_radius`: see `flat_radius`, along the top eigenvector.
    - `normalized_max`, `normalized_trace`: top eigenvalue and trace of the `filter_normalized_operator`, the trace (see
      `filter_normalized_sharpness`) to about 5%.

    On the tutorial's network this takes about 260 Hessian-vector products, ten seconds of one core.

    Args:
        model: a network for the examples; it may be in training mode, which is restored.
        dataset: has `x_train, y_train, x_test, y_test`, with classes as targets.
        n_train_examples, n_test_examples: size of the samples; all examples if there are fewer.
        k: number of eigenvalues.
        n_probes: number of random probes for each trace.
        matched_loss: mean loss on the training sample, in nats, at which `matched_...` are measured.
        seed: of samples and probes.

    Raises:
        ValueError: an argument is out of its range.
        TypeError: the data set lacks one of its tensors.
        FloatingPointError: the network has diverged.
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
    """Compute the paper's measures of flatness and the Hessian at equal loss, which are affordable for photographs.

    The result has each of these with the prefixes `train_` and `test_`:

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
    """Compute the curvature at equal loss per relative change of the weights.

    These numbers can be compared between runs that differ in loss, in the length of their weights and in size. The result
    has each of them with the prefixes `train_` and `test_`:

    - `matched_normalized_max`: the eigenvalue of D H D that is largest by magnitude.
    - `matched_normalized_trace`: its trace, see `filter_normalized_sharpness`, to about 5% with 5 probes.

    H is the Hessian when the logits are scaled so that the loss of the *training* sample is `matched_loss`
    (`match_loss`); both numbers are NaN if no scale reaches it. D is that of the `filter_normalized_operator`, with one
    difference, the last of these points:

    - The weights of convolutions and linear layers take part, including the rows of the head. Biases and batch norm's scale
      and shift do not (D = 0), because they have no filter whose length their change could be compared with.
    - Changes that leave the function the same leave the numbers the same: a longer filter in front of batch norm (with
      its running statistics); a head whose weights and biases are multiplied, since the scale of the logits undoes it;
      two layers of a ReLU network, one multiplied and the next divided. *Not* covered is a single filter made larger while
      the next layer's weights that read it are made smaller, because this changes how long those filters are.
    - A weight counts in its filter's root mean square only if the sample's loss depends on it. The weights of a pruned
      filter and those that read one do not count: they are never trained again, but what is left in them would still
      influence D. As a result, a masked network has the same numbers as the compacted one (`gst.compact`).

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
    """Return (measures by name, top eigenvalues with vectors) for one sample."""
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
    """Draw the samples: [(split, loss of the model, loss at the matched scale or None if it is out of reach)].

    Both splits use the scale that is matched on the training sample.
    """
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
            raise TypeError(f"dataset must have tensors x_{split} and y_{split}; {type(dataset).__name__} does not.")
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
    # Runs of a study differ by far more than 0.1%, so we save the products that would check the residuals.
    top = top_eigenvalues(operator, k, tol=1e-3, check_residuals=False, return_vectors=True)
    return top, hutchinson_trace(operator, n_probes, seed=seed, deflate=top).trace
