"""Which filters to prune, how many, and when.

Scores say how important each filter is, a target says which end of the ranking goes, `PruneSchedule` says at which
epochs, `kept_filters` how many are left after each, and `prune_filters` does it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import references
from gst_tutorial.masks import FilterMask, PrunableLayer, evaluation_mode, prunable_layers

TARGETS = ("smallest", "largest", "random")


@dataclasses.dataclass(frozen=True)
class PruneSchedule:
    """Pruning events after the training of epochs `start`, `start + retrain_period`, ... up to `end` (0-based).

    >>> PruneSchedule(start=5, end=23, retrain_period=9).epochs
    (5, 14, 23)

    Raises:
        ValueError, TypeError: a number out of its range, or `start` after `end`.
    """

    start: int
    end: int
    retrain_period: int

    def __post_init__(self):
        check.integer("start", self.start, 0, check.MOST)
        check.integer("end", self.end, 0, check.MOST)
        check.integer("retrain_period", self.retrain_period, 1, check.MOST)
        if self.start > self.end:
            raise ValueError(f"start={self.start} is after end={self.end}; a schedule needs start <= end.")
        check.plain_numbers(self)

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs that end with a pruning event."""
        return tuple(range(self.start, self.end + 1, self.retrain_period))

    @property
    def n_events(self) -> int:
        """Number of pruning events."""
        return len(self.epochs)


@dataclasses.dataclass(frozen=True)
class EventEpochs:
    """Pruning events after the training of these epochs (0-based), not evenly spaced. `as_schedule` makes it.

    >>> EventEpochs((5, 7, 23)).n_events
    3
    """

    epochs: tuple[int, ...]

    def __post_init__(self):
        epochs = check.many("schedule: epochs", self.epochs, "epochs")
        epochs = tuple(check.integer("schedule: epochs", epoch, 0, check.MOST) for epoch in epochs)
        object.__setattr__(self, "epochs", epochs)
        if not self.epochs or any(a >= b for a, b in zip(self.epochs, self.epochs[1:])):
            raise ValueError(f"schedule={check.shown(self.epochs)} must be epochs that increase, at least one.")
        check.plain_numbers(self)

    start = property(lambda self: self.epochs[0], doc="The first event's epoch.")
    end = property(lambda self: self.epochs[-1], doc="The last event's epoch.")
    n_events = property(lambda self: len(self.epochs), doc="Number of pruning events.")

    @property
    def retrain_period(self) -> int:
        """The shortest time between two events, in epochs."""
        return min(b - a for a, b in zip(self.epochs, self.epochs[1:]))


def as_schedule(epochs: Iterable[int]) -> PruneSchedule | EventEpochs:
    """Events after these epochs. Evenly spaced ones are a `PruneSchedule`: one meaning, one value.

    >>> as_schedule([5, 14, 23])
    PruneSchedule(start=5, end=23, retrain_period=9)
    >>> as_schedule([5, 7, 23])
    EventEpochs(epochs=(5, 7, 23))
    """
    schedule = EventEpochs(epochs)
    steps = {b - a for a, b in zip(schedule.epochs, schedule.epochs[1:])} or {1}
    return PruneSchedule(schedule.start, schedule.end, steps.pop()) if len(steps) == 1 else schedule


def kept_filters(n_filters: int, prune_fraction: float, n_events: int) -> list[int]:
    """How many of a layer's filters are kept after each of `n_events` pruning events.

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


def _ceil(x: float) -> int:
    return math.ceil(round(x, 9))  # (1 - 0.9) * 10 is 0.9999999999999998 and (1 - 0.7) * 10 is 3.0000000000000004


# --- scores: how important is each filter? ---------------------------------------------------------------------------

Score = Callable[[PrunableLayer, nn.Module, "torch.Tensor | None"], torch.Tensor]


def l1_score(layer: PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """Sum of the absolute weights of each filter's kernel (no bias), `(C,)`.

    When: the usual baseline of filter pruning.
    Values: target "smallest".
    Source: Li et al., *Pruning filters for efficient convnets*, ICLR 2017.
    """
    return layer.conv.weight.detach().flatten(1).abs().sum(1)


def l2_score(layer: PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """Euclidean norm of each filter's kernel (no bias), `(C,)`.

    When: the default of this package.
    Values: target "smallest"; the largest cost about as much at the event (study `scores`).
    Source: weight magnitude, as `l1_score`, in the norm that chapter 1 explains.
    """
    return layer.conv.weight.detach().flatten(1).norm(dim=1)


def ebn_score(layer: PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """E[BN]: the expected activation E[relu(z)], z ~ N(beta, gamma^2), of each filter, `(C,)`.

    Batch norm gives filter c outputs with mean beta_c and standard deviation |gamma_c|. If they are normal,
    E[relu(z)] = beta * Phi(beta / |gamma|) + |gamma| * phi(beta / |gamma|), where Phi and phi are the standard normal
    distribution and density (derived in chapter 1; Bartoldson et al. 2020, appendix B). Where gamma is 0, z is the
    constant beta and the score is relu(beta).

    When: a batch norm and a ReLU follow: it predicts how much of the filter its readers see.
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


def activation_score(layer: PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """Mean absolute activation of each filter over the examples `x`, `(C,)`; evaluation mode.

    The activation is the output of batch norm (of the convolution, without one), before mask and nonlinearity.

    When: there is no batch norm, or what the filters say of your examples should count.
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
        with torch.no_grad(), evaluation_mode(model):
            for batch in x.split(1000):
                captured.clear()
                check.output_of(model, batch)
                share = len(batch) / len(x)
                total += share * captured[-1].abs().transpose(0, 1).flatten(1).mean(1)  # (B, C, ...) -> (C,)
    finally:
        handle.remove()
    return total


SCORES: dict[str, Score] = {"l1": l1_score, "l2": l2_score, "ebn": ebn_score, "activation": activation_score}


# --- scores of the paper's ResNets, for its protocols (studies/paper.py) ----------------------------------------------


def ebn_signed_score(layer: PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """`ebn_score` with gamma's sign left in: beta * Phi(beta / gamma) + gamma * phi(beta / gamma), `(C,)`.

    Where gamma is positive it is E[BN]. Where gamma is negative it is no expected activation but -E[relu(-z)]: such
    filters count as the least important.

    When: only to repeat the paper's ResNet-18.
    Values: target "smallest".
    Source: the official code, EBN_alt.
    """
    score = ebn_score(layer, model, x)  # E[relu(z)] - E[relu(-z)] = E[z] = beta
    return torch.where(layer.norm.weight.detach() < 0, layer.norm.bias.detach() - score, score)


def running_activation_score(layer: PrunableLayer, model: nn.Module, x: torch.Tensor | None) -> torch.Tensor:
    """What `RunningActivation` has seen of each filter in training, `(C,)`.

    When: only to repeat the paper's ResNets.
    Values: a run watches every tenth batch.
    Source: the official code; Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020.
    """
    seen = getattr(layer.mask, "running_activation", None)
    if seen is None:
        raise ValueError(
            f"score='running_activation' of layer {layer.name!r} needs {RunningActivation.EVERY} training batches "
            "watched by a gst_tutorial.pruning.RunningActivation, a callback of gst.train; a run has one."
        )
    return seen


class RunningActivation:
    """A training callback that keeps a running mean of each filter's absolute activation, in training mode.

    With every tenth training batch, r becomes 0.9 r + 0.1 a; r starts at 0. a is the mean over examples and positions of
    the absolute value of what goes into the filter's nonlinearity, as the official code takes it: batch norm's masked
    output; of the last convolution of a residual block, this plus the shortcut. (The code adds up where this takes
    means: the same order of filters, but for batches of unequal size.) `running_activation_score` reads r.

    Args:
        model: a prunable network; its residual blocks have their shortcut as a module `shortcut`.
        steps_per_epoch: batches in an epoch. layers: names of the layers to watch; None takes all.

    Raises:
        ValueError: a layer that is not there, or masked in a block without a module `shortcut`.
    """

    EVERY, SHARE = 10, 0.1

    def __init__(self, model: nn.Module, steps_per_epoch: int, layers: Iterable[str] | None = None):
        self.steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, low=1)
        found = prunable_layers(model)
        names = [
            check.one_of("layers", name, found) for name in (found if layers is None else check.many("layers", layers))
        ]
        self.watched = [(found[name].mask, self._summands(model, found[name].mask)) for name in names]
        self._handles: list = []

    def __call__(self, epoch: int, step: int) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if step < self.steps_per_epoch and (epoch * self.steps_per_epoch + step + 1) % self.EVERY == 0:
            for mask, summands in self.watched:
                self._watch(mask, summands)

    @staticmethod
    def _summands(model: nn.Module, mask: FilterMask) -> list[nn.Module]:
        """The modules whose outputs are added up before the nonlinearity: the norm, and a residual block's shortcut."""
        first, *blocks = mask.sites
        for block in blocks:
            if not hasattr(model.get_submodule(block), "shortcut"):
                raise ValueError(f"model: {block!r} adds to what is masked and has no module 'shortcut' to be watched.")
        return [model.get_submodule(first), *(model.get_submodule(block).shortcut for block in blocks)]

    def _watch(self, mask: FilterMask, summands: list[nn.Module]) -> None:
        """Until the next call, take the activation of each forward pass: there is one, the batch's."""
        parts = []

        def take(module, inputs, output):
            parts.append(output.detach().float())
            if len(parts) == len(summands):
                # The shortcut is not added on pruned channels. (B, C, ...) -> (C,)
                now = mask(sum(parts)).abs().transpose(0, 1).flatten(1).mean(1)
                before = getattr(mask, "running_activation", None)
                before = torch.zeros_like(now) if before is None else before
                mask.running_activation = (1 - self.SHARE) * before + self.SHARE * now

        self._handles += [part.register_forward_hook(take) for part in summands]


PAPER_SCORES: dict[str, Score] = {"ebn_signed": ebn_signed_score, "running_activation": running_activation_score}


def filter_scores(
    model: nn.Module, layer: str, score: str | Score = "l2", x: torch.Tensor | None = None
) -> torch.Tensor:
    """Importance of every filter of a layer, `(C,)`, pruned filters included.

    Args:
        model: a prunable network.
        layer: name of the layer, see `prunable_layers`.
        score: `"l1"`, `"l2"`, `"ebn"`, `"activation"`, one of the paper's ResNets (`"ebn_signed"`,
            `"running_activation"`), or your own function `(layer, model, x) -> (C,)`, also as "package.module:function".
        x: examples `(B, ...)`; only `"activation"` needs them.

    Returns:
        One number per filter, `(C,)`; larger is more important.

    Raises:
        ValueError: an unknown layer or score, or a score that gives NaN or another shape.
    """
    found = find_layer(model, layer)
    function = _score(score)
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


def _score(score: str | Score) -> Score:
    """The function that is meant; a ValueError suggests the nearest name."""
    if callable(score):
        return score
    if references.is_reference(score):
        return references.find("score", score)
    known = SCORES | PAPER_SCORES
    return known[check.one_of("score", score, known)]


# --- pruning ---------------------------------------------------------------------------------------------------------


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
        keep = kept_in_the_end(mask.n_filters, prune_fraction)
    check.integer("keep", keep, low=1, high=mask.n_filters)
    check.one_of("target", target, TARGETS)
    _score(score)
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
        ValueError: an unknown layer.
    """
    for name in prunable_layers(model) if layer is None else [layer]:
        mask = find_layer(model, name).mask
        mask.mask[slice(None) if indices is None else check.index("indices", indices, mask.n_filters)] = 1


def find_layer(model: nn.Module, layer: str) -> PrunableLayer:
    """The prunable layer of that name; a ValueError lists the names there are."""
    layers = prunable_layers(model)
    if not layers:
        raise ValueError("model has no filter masks; call make_prunable(model, example_input) first.")
    return layers[check.one_of("layer", layer, layers)]
