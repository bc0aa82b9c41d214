"""Prune filters: how many (`kept_filters`), which (`choose_filters`), and do it (`prune_filters`)."""

from __future__ import annotations

import math
import warnings

from gst_tutorial import _arguments as check
from gst_tutorial._lazy import masks, nn, torch
from gst_tutorial.scores import SCORES, Score, filter_scores, find_layer, score_function

__all__ = ["SCORES", "TARGETS", "choose_filters", "filter_scores", "find_layer", "kept_filters", "kept_in_the_end",
           "prune_filters", "restore_filters"]  # fmt: skip

TARGETS = ("smallest", "largest", "random")


def kept_filters(n_filters: int, prune_fraction: float, n_events: int) -> list[int]:
    """Return the numbers of filters that a layer keeps after each of `n_events` pruning events.

    At the end ceil((1 - f) N) are kept; the way there is linear and also rounded up (official code of the paper).

    >>> kept_filters(512, 0.9, 7)
    [447, 381, 315, 250, 184, 118, 52]

    Args:
        n_filters: N, filters of the unpruned layer.
        prune_fraction: f in [0, 1), fraction of the original filters that is pruned in the end.
        n_events: number of pruning events, at least 1.

    Raises:
        ValueError: an argument out of its range; `prune_fraction` 1 would leave no filter.
    """
    check.integer("n_filters", n_filters, 1, check.MOST)
    check.integer("n_events", n_events, 1, check.MOST)
    final = kept_in_the_end(n_filters, prune_fraction)
    return [_ceil(final + (n_filters - final) * (n_events - i) / n_events) for i in range(1, n_events + 1)]


def kept_in_the_end(n_filters: int, prune_fraction: float) -> int:
    """ceil((1 - prune_fraction) * n_filters)."""
    if check.real("prune_fraction", prune_fraction, 0, 1) == 1:
        raise ValueError("prune_fraction=1 would leave no filter in the layer; it must lie in [0, 1).")
    return _ceil((1 - prune_fraction) * n_filters)


def warn_of_nothing(layer: str, n_filters: int, prune_fraction: float) -> None:
    """Warn if a fraction above 0 is less than one filter of a layer, so that none would be pruned."""
    if 0 < prune_fraction < 1 and kept_in_the_end(n_filters, prune_fraction) == n_filters:
        warnings.warn(
            f"prune_fraction={prune_fraction} of the {n_filters} filters of {layer!r} is less than one: none is pruned.",
            stacklevel=3,
        )


def _ceil(x: float) -> int:
    return math.ceil(round(x, 9))  # (1 - 0.9) * 10 is 0.9999999999999998 and (1 - 0.7) * 10 is 3.0000000000000004


def choose_filters(
    scores: torch.Tensor,
    candidates: torch.Tensor,
    n_chosen: int,
    target: str = "smallest",
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Choose `n_chosen` of the candidate filters. Pure: nothing is pruned.

    Args:
        scores: `(C,)`, importance of each filter; ignored by target "random".
        candidates: bool `(C,)`, the filters to choose among (usually those not pruned yet).
        n_chosen: how many.
        target: "smallest", "largest" (by score) or "random".
        generator: source of randomness for "random"; None uses torch's global one.

    Returns:
        int64 `(n_chosen,)`, indices into the C filters. Equal scores are taken in `torch.topk`'s order.

    Raises:
        ValueError, TypeError: an unknown target, or more filters than there are candidates.
    """
    check.one_of("target", target, TARGETS)
    check.instance("scores", scores, torch.Tensor)
    check.instance("candidates", candidates, torch.Tensor)
    if candidates.dtype != torch.bool or candidates.dim() != 1 or candidates.shape != scores.shape:
        raise ValueError(
            f"candidates must be bool (C,) and scores (C,); they are {candidates.dtype} {tuple(candidates.shape)} and "
            f"{tuple(scores.shape)}."
        )
    if generator is not None:
        check.instance("generator", generator, torch.Generator)
    indices = candidates.nonzero().squeeze(1)
    check.integer("n_chosen", n_chosen, low=0, high=len(indices))
    if target == "random":
        picked = torch.randperm(len(indices), generator=generator)[:n_chosen].to(indices.device)
    else:
        picked = scores[indices].topk(n_chosen, largest=target == "largest").indices
    return indices[picked]


def prune_filters(
    model: nn.Module,
    layer: str,
    prune_fraction: float | None = None,
    *,
    keep: int | None = None,
    score: str | Score = "l2",
    target: str = "smallest",
    generator: torch.Generator | None = None,
    x: torch.Tensor | None = None,
) -> torch.Tensor:
    """Prune filters of one layer until ceil((1 - prune_fraction) * C), or `keep`, of its C original filters are left.

    Only unpruned filters are scored and chosen; a filter pruned before stays pruned.

    Args:
        model: a prunable network; changed in place.
        layer: name of the layer, see `prunable_layers`.
        prune_fraction: fraction of the layer's *original* filters that is pruned afterwards, in [0, 1).
        keep: instead of `prune_fraction`, the number of filters left afterwards.
        score, target, generator, x: see `filter_scores` and `choose_filters`.

    Returns:
        int64, indices of the newly pruned filters; empty if there were few enough left already.

    Raises:
        ValueError: unknown layer, score or target, a fraction outside [0, 1), or no filter left.
    """
    mask = find_layer(model, layer).mask
    if (prune_fraction is None) == (keep is None):
        raise ValueError(f"Give either prune_fraction={prune_fraction!r} or keep={keep!r}, not both or neither.")
    if keep is None:
        warn_of_nothing(layer, mask.n_filters, prune_fraction)
        keep = kept_in_the_end(mask.n_filters, prune_fraction)
    check.integer("keep", keep, low=1, high=mask.n_filters)
    check.one_of("target", target, TARGETS)
    score_function(score)
    if generator is not None:
        check.instance("generator", generator, torch.Generator)
    scores = mask.mask if target == "random" else filter_scores(model, layer, score, x)
    n_new = max(0, int(mask.kept.sum()) - keep)
    new = choose_filters(scores, mask.kept, n_new, target, generator)
    mask.mask[new] = 0
    return new


def restore_filters(model: nn.Module, layer: str | None = None, indices: torch.Tensor | None = None) -> None:
    """Undo pruning: set masks back to 1.

    A filter's weights are what they were when it was pruned, apart from what momentum and weight decay did to them.

    Args:
        model: a prunable network; changed in place.
        layer: name of the layer; None takes all.
        indices: int64, the filters of the layer to restore; None takes all.

    Raises:
        ValueError: an unknown layer, or indices without the layer that they belong to.
    """
    if layer is None and indices is not None:
        raise ValueError(f"indices={check.shown(indices)} needs layer=, the name of the layer whose filters these are.")
    for name in masks.prunable_layers(model) if layer is None else [layer]:
        mask = find_layer(model, name).mask
        mask.mask[slice(None) if indices is None else check.index("indices", indices, mask.n_filters)] = 1
