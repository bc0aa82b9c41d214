"""Scores: how important is each filter of a layer?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gst_tutorial import _arguments as check
from gst_tutorial import references
from gst_tutorial._lazy import batches, masks, nn, torch
from gst_tutorial.running_activation import running_activation_score

# The third argument is a batch: examples `(B, ...)`, a pair `(examples, labels)`, a dict (see batches.py), or None.
Score = Callable[["masks.PrunableLayer", "nn.Module", Any], "torch.Tensor"]


def l1_score(layer: masks.PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """Sum of the absolute weights of each filter's kernel (no bias), `(C,)`.

    When: the usual baseline of filter pruning.
    Values: target "smallest".
    Source: Li et al., *Pruning filters for efficient convnets*, ICLR 2017.
    """
    return layer.conv.weight.detach().flatten(1).abs().sum(1)


def l2_score(layer: masks.PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """Euclidean norm of each filter's kernel (no bias), `(C,)`.

    When: the default of this package.
    Values: target "smallest"; the largest cost about as much at the event (study `scores`).
    Source: weight magnitude, as `l1_score`, in the norm that chapter 1 explains.
    """
    return layer.conv.weight.detach().flatten(1).norm(dim=1)


def ebn_score(layer: masks.PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """E[BN]: the expected activation E[relu(z)], z ~ N(beta, gamma^2), of each filter, `(C,)`.

    Batch norm gives filter c outputs with mean beta_c and standard deviation |gamma_c|. If they are normal,
    E[relu(z)] = beta * Phi(beta / |gamma|) + |gamma| * phi(beta / |gamma|), where Phi and phi are the standard normal
    distribution and density (derived in chapter 1; Bartoldson et al. 2020, appendix B). Where gamma is 0, z is the
    constant beta and the score is relu(beta).

    When: a batch norm and a ReLU follow: it predicts how strongly later layers hear the filter.
    Values: target "smallest"; the largest cost about as much at the event (study `scores`).
    Source: Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020, appendix B.
    """
    if layer.norm is None or layer.norm.weight is None:
        raise ValueError(f"score='ebn' needs a batch norm with scale and shift behind layer {layer.name!r}.")
    # The two terms nearly cancel where beta is far below 0: in float32 nothing would be left of their sum.
    beta, spread = layer.norm.bias.detach().double(), layer.norm.weight.detach().double().abs()
    ratio = beta / spread.clamp_min(torch.finfo(torch.float64).tiny)
    density = torch.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    score = torch.where(spread > 0, beta * torch.special.ndtr(ratio) + spread * density, beta.relu())
    return score.to(layer.norm.bias.dtype)


def activation_score(layer: masks.PrunableLayer, model: nn.Module, x: Any) -> torch.Tensor:
    """Mean absolute activation of each filter over the examples `x`, `(C,)`; evaluation mode.

    The activation is the output of batch norm (of the convolution, without one), before mask and nonlinearity.

    When: there is no batch norm, or the response to your own examples should count.
    Values: `x=dataset.x_train[:1000]`.
    Source: compared with others by Molchanov et al., *Pruning convolutional neural networks for resource efficient
    inference*, ICLR 2017.
    """
    if x is None:
        raise ValueError("score='activation' needs examples: pass x, e.g. x=dataset.x_train.")
    x = batches.parted(x)[0]
    if not isinstance(x, dict):
        check.examples("x", x)
    captured = []
    handle = layer.mask.register_forward_hook(lambda module, inputs, output: captured.append(inputs[0].detach()))
    try:
        total = 0.0
        with torch.no_grad(), masks.evaluation_mode(model):
            for batch in [x] if isinstance(x, dict) else x.split(1000):
                captured.clear()
                check.output_of(model, batch)
                share = 1 if isinstance(x, dict) else len(batch) / len(x)
                total += share * captured[-1].abs().transpose(0, 1).flatten(1).mean(1)  # (B, C, ...) -> (C,)
    finally:
        handle.remove()
    return total


def fpgm_score(layer: masks.PrunableLayer, model: nn.Module, x: Any) -> torch.Tensor:
    """FPGM: sum of the Euclidean distances from each filter's kernel to the kernels of all filters that are kept, `(C,)`.

    A filter near the geometric median of its layer has a small sum: the others could replace it, however large it is.

    When: a small norm should not be what decides, for example because batch norm removes it.
    Values: target "smallest".
    Source: He et al., *Filter pruning via geometric median for deep convolutional neural networks acceleration*, CVPR 2019.
    """
    kernels = layer.conv.weight.detach().flatten(1)
    return torch.cdist(kernels, kernels[layer.mask.kept], compute_mode="donot_use_mm_for_euclid_dist").sum(1)


def taylor_score(
    layer: masks.PrunableLayer, model: nn.Module, batch: Any, loss: Callable | None = None
) -> torch.Tensor:
    """Squared derivative of the batch's loss with respect to each filter's mask, `(C,)`; evaluation mode.

    The mask m_c is 1; the loss without filter c is L(m_c = 0), about L - dL/dm_c. The score is therefore an estimate, to
    first order, of the squared change of the loss if the filter is pruned. Behind batch norm, dL/dm_c equals
    gamma_c dL/dgamma_c + beta_c dL/dbeta_c.

    When: you have labels, and filters of different layers should be comparable.
    Values: target "smallest"; the mean over several batches is less noisy (`gst.Pruner` takes it).
    Source: Molchanov et al., *Importance estimation for neural network pruning*, CVPR 2019, its gates behind batch norm.
    """
    mask = layer.mask
    before = mask.mask
    gate = before.to(layer.conv.weight.dtype, copy=True).requires_grad_()
    mask.mask = gate
    try:
        with torch.enable_grad(), masks.evaluation_mode(model):
            (gradient,) = torch.autograd.grad(batches.loss_of(model, batch, loss), gate)
    finally:
        mask.mask = before
    return gradient**2


def snip_score(layer: masks.PrunableLayer, model: nn.Module, batch: Any, loss: Callable | None = None) -> torch.Tensor:
    """SNIP: sum over each filter's weights w of |w dL/dw|, the loss L being that of one batch, `(C,)`; evaluation mode.

    |w dL/dw| is the sensitivity of the loss to the connection: to first order, the change if w were multiplied by 0.

    When: before training (`schedule="init"`), when weights say little about what they will become.
    Values: target "smallest".
    Source: Lee, Ajanthan and Torr, *SNIP: single-shot network pruning based on connection sensitivity*, ICLR 2019, which
    prunes single weights; summed over filters as by van Amersfoort et al., *Single shot structured pruning*, 2020.
    """
    weight = layer.conv.weight
    with torch.enable_grad(), masks.evaluation_mode(model):
        (gradient,) = torch.autograd.grad(batches.loss_of(model, batch, loss), weight)
    return (weight.detach() * gradient).abs().flatten(1).sum(1)


taylor_score.labelled = snip_score.labelled = True  # they need a batch with labels, and `examples_for` gives one

SCORES: dict[str, Score] = {
    "l1": l1_score,
    "l2": l2_score,
    "ebn": ebn_score,
    "activation": activation_score,
    "fpgm": fpgm_score,
    "taylor": taylor_score,
    "snip": snip_score,
}


def ebn_signed_score(layer: masks.PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """`ebn_score` with gamma's sign left in: beta * Phi(beta / gamma) + gamma * phi(beta / gamma), `(C,)`.

    Where gamma is positive this is E[BN]. Where gamma is negative it is -E[relu(-z)], which is no expected activation: such
    filters count as the least important.

    When: only to repeat the paper's ResNet-18.
    Values: target "smallest".
    Source: the official code, EBN_alt.
    """
    score = ebn_score(layer, model, x)  # E[relu(z)] - E[relu(-z)] = E[z] = beta
    return torch.where(layer.norm.weight.detach() < 0, layer.norm.bias.detach() - score, score)


# What the paper's ResNets are pruned by, see studies/paper.py.
PAPER_SCORES: dict[str, Score] = {"ebn_signed": ebn_signed_score, "running_activation": running_activation_score}


def filter_scores(model: nn.Module, layer: str, score: str | Score = "l2", x: Any = None) -> torch.Tensor:
    """Importance of every filter of a layer, `(C,)`, pruned filters included.

    Args:
        model: a prunable network.
        layer: name of the layer, see `prunable_layers`.
        score: a name in `SCORES` or `PAPER_SCORES`, or your own function `(layer, model, batch) -> (C,)`, also as
            "package.module:function". One whose attribute `labelled` is True gets labels from a run, too (those of the first
            1,000 training examples). One that must see the training declares a function
            `watch(model, steps_per_epoch, layers)` as its attribute: a run calls the training callback that it returns.
        x: the batch: examples `(B, ...)` for "activation"; a pair `(examples, labels)`, or a dict that contains both, for
            "taylor" and "snip", which follow the gradient of the cross entropy.

    Returns:
        One number per filter, `(C,)`; larger is more important.

    Raises:
        ValueError: an unknown layer or score, or a score that gives NaN or another shape.
    """
    found = find_layer(model, layer)
    function = score_function(score)
    try:
        scores = function(found, model, x)
    except TypeError as error:  # most often: a function of another number of arguments
        raise TypeError(f"score={check.shown(score)} failed for {layer!r}: {error}") from error
    given = scores.shape if isinstance(scores, torch.Tensor) else type(scores).__name__
    if given != (found.mask.n_filters,):
        given = f"shape {tuple(given)}" if isinstance(given, torch.Size) else given
        raise ValueError(
            f"score={check.shown(score)} gave {given} for the {found.mask.n_filters} filters of {layer!r}."
        )
    if scores.isnan().any():
        raise ValueError(f"score={check.shown(score)} gave NaN for a filter of {layer!r}: it has no rank.")
    return scores


def score_function(score: str | Score) -> Score:
    """The function of a score's name; a ValueError suggests the nearest name."""
    if callable(score):
        return score
    if references.is_reference(score):
        return references.function_of("score", score)
    known = SCORES | PAPER_SCORES
    return known[check.one_of("score", score, known)]


def examples_for(score: str | Score, x: torch.Tensor, y: torch.Tensor) -> Any:
    """The batch that a score is given: examples `x`, or, if it needs labels, the first 1,000 with theirs."""
    return (x[:1000], y[:1000]) if getattr(score_function(score), "labelled", False) else x


def find_layer(model: nn.Module, layer: str) -> masks.PrunableLayer:
    """The prunable layer of that name; a ValueError lists the names there are."""
    layers = masks.prunable_layers(model)
    if not layers:
        raise ValueError("model has no filter masks; call make_prunable(model, example_input) first.")
    if isinstance(layer, str) and layer in layers.skipped:
        raise ValueError(f"layer={layer!r} has no mask: {layers.skipped[layer]}.")
    return layers[check.one_of("layer", layer, layers)]
