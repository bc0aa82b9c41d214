"""Scores: how important is each filter of a layer?"""

from __future__ import annotations

import math
from collections.abc import Callable

from gst_tutorial import _arguments as check
from gst_tutorial import references
from gst_tutorial._lazy import masks, nn, torch
from gst_tutorial.running_activation import running_activation_score

Score = Callable[["masks.PrunableLayer", "nn.Module", "torch.Tensor | None"], "torch.Tensor"]


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


def activation_score(layer: masks.PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """Mean absolute activation of each filter over the examples `x`, `(C,)`; evaluation mode.

    The activation is the output of batch norm (of the convolution, without one), before mask and nonlinearity.

    When: there is no batch norm, or the response to your own examples should count.
    Values: `x=dataset.x_train[:1000]`.
    Source: compared with others by Molchanov et al., *Pruning convolutional neural networks for resource efficient
    inference*, ICLR 2017.
    """
    if x is None:
        raise ValueError("score='activation' needs examples: pass x, e.g. x=dataset.x_train.")
    check.examples("x", x)
    captured = []
    handle = layer.mask.register_forward_hook(lambda module, inputs, output: captured.append(inputs[0].detach()))
    try:
        total = 0.0
        with torch.no_grad(), masks.evaluation_mode(model):
            for batch in x.split(1000):
                captured.clear()
                check.output_of(model, batch)
                share = len(batch) / len(x)
                total += share * captured[-1].abs().transpose(0, 1).flatten(1).mean(1)  # (B, C, ...) -> (C,)
    finally:
        handle.remove()
    return total


SCORES: dict[str, Score] = {"l1": l1_score, "l2": l2_score, "ebn": ebn_score, "activation": activation_score}


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


def filter_scores(
    model: nn.Module, layer: str, score: str | Score = "l2", x: torch.Tensor | None = None
) -> torch.Tensor:
    """Importance of every filter of a layer, `(C,)`, pruned filters included.

    Args:
        model: a prunable network.
        layer: name of the layer, see `prunable_layers`.
        score: a name in `SCORES` or `PAPER_SCORES`, or your own function `(layer, model, x) -> (C,)`, also as
            "package.module:function". One that must see the training declares a function
            `watch(model, steps_per_epoch, layers)` as its attribute: a run calls the training callback that it returns.
        x: examples `(B, ...)`; only "activation" needs them.

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
        return references.find("score", score)
    known = SCORES | PAPER_SCORES
    return known[check.one_of("score", score, known)]


def find_layer(model: nn.Module, layer: str) -> masks.PrunableLayer:
    """The prunable layer of that name; a ValueError lists the names there are."""
    layers = masks.prunable_layers(model)
    if not layers:
        raise ValueError("model has no filter masks; call make_prunable(model, example_input) first.")
    return layers[check.one_of("layer", layer, layers)]
