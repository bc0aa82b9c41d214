"""The loss around a trained network: curves and surfaces of it, and how far one can go before it rises.

A *direction* d is a flat vector (see `curvature.py`). The network at w + eps d is evaluated with substituted parameters
(`torch.func.functional_call`): the model itself is never written to, so there is nothing to restore.
Along a pruned filter's parameters the loss does not change at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from gst_tutorial import _arguments as check
from gst_tutorial.flatness.hessian import (
    check_sample,
    exact_convolutions,
    filter_scales,
    split_vector,
    trainable_parameters,
)
from gst_tutorial.masks import evaluation_mode

FIRST_RADIUS = 1e-4  # of max_epsilon: where flat_radius begins to look
RADII_PER_DECADE = 10


def random_directions(model: nn.Module, n: int, *, seed: int = 0, filter_normalized: bool = True) -> np.ndarray:
    """Gaussian directions `(n, n_parameters)` from a generator of their own.

    Args:
        model: whose trainable parameters the directions move.
        n: number of directions.
        seed: of the generator.
        filter_normalized: True: each filter's part has the length of that filter's weights, and biases and batch norm
            do not move (Li et al., *Visualizing the loss landscape of neural nets*, 2018), so eps is a *relative* step:
            eps = 0.1 changes every filter by a tenth of itself. False: unit length, as eigenvectors have.
    """
    check.integer("n", n, low=1)
    size = sum(p.numel() for p in trainable_parameters(model).values())
    directions = np.random.default_rng(check.integer("seed", seed, low=0)).standard_normal((n, size))
    if not filter_normalized:
        return directions / np.linalg.norm(directions, axis=1, keepdims=True)
    scales, start = filter_scales(model), 0
    for p in trainable_parameters(model).values():
        stop = start + p.numel()
        filters = directions[:, start:stop].reshape(n, p.shape[0] if p.dim() > 1 else 1, -1)  # a view
        filters /= np.sqrt(np.mean(filters**2, axis=2, keepdims=True))
        start = stop
    return directions * scales


def loss_function(model, x, y, batch_size, loss):
    """A function from an offset of the parameters (flat vector, None for none) to (mean loss, accuracy)."""
    x, y = check_sample(model, x, y, batch_size)
    parameters = trainable_parameters(model)

    def at(offset: np.ndarray | None) -> tuple[float, float]:
        values = {name: p.detach() for name, p in parameters.items()}
        if offset is not None:
            values = {name: values[name] + step for name, step in split_vector(offset, parameters).items()}
        total, hits = 0.0, 0
        with evaluation_mode(model), exact_convolutions(), torch.no_grad():
            for x_batch, y_batch in zip(x.split(batch_size), y.split(batch_size), strict=True):
                logits = functional_call(model, values, (x_batch,))
                total += float(loss(logits, y_batch)) * len(x_batch)
                if y_batch.dim() == 1 and logits.dim() == 2:
                    hits += int((logits.argmax(dim=1) == y_batch).sum())
                else:
                    hits = math.nan  # no classes, no accuracy
        return total / len(x), hits / len(x)

    return at


def _finite(argument: str, values) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"{argument} must be finite numbers, at least one, got {values!r}.")
    return values


def perturbation_curve(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    directions: np.ndarray | Mapping[str, np.ndarray],
    epsilons: np.ndarray,
    *,
    batch_size: int = 512,
    loss: Callable = F.cross_entropy,
) -> pd.DataFrame:
    """Loss and accuracy at w + eps d, in evaluation mode.

    Args:
        model, x, y, batch_size, loss: as for `hessian_operator`.
        directions: rows `(k, n)`, such as `Eigenvalues.vectors` or `random_directions`; one flat vector; or named ones.
        epsilons: steps; the paper takes them from [-0.4, 0.4] along unit eigenvectors.

    Returns:
        One row per direction and step: `direction` (row number or name), `epsilon`, `loss`, `accuracy` in [0, 1].
    """
    if not isinstance(directions, Mapping):
        directions = dict(enumerate(np.atleast_2d(directions)))
    directions = {name: _finite("directions", d) for name, d in directions.items()}
    epsilons = np.atleast_1d(_finite("epsilons", epsilons))
    at = loss_function(model, x, y, batch_size, loss)
    rows = [(name, eps, *at(eps * d)) for name, d in directions.items() for eps in epsilons]
    return pd.DataFrame(rows, columns=["direction", "epsilon", "loss", "accuracy"])


def loss_surface(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    direction_1: np.ndarray,
    direction_2: np.ndarray,
    epsilons: np.ndarray,
    *,
    batch_size: int = 512,
    loss: Callable = F.cross_entropy,
) -> pd.DataFrame:
    """Loss and accuracy on the grid w + eps_1 d_1 + eps_2 d_2: columns `epsilon_1`, `epsilon_2`, `loss`, `accuracy`."""
    d_1, d_2 = _finite("direction_1", direction_1).ravel(), _finite("direction_2", direction_2).ravel()
    epsilons = np.atleast_1d(_finite("epsilons", epsilons))
    at = loss_function(model, x, y, batch_size, loss)
    rows = [(a, b, *at(a * d_1 + b * d_2)) for a in epsilons for b in epsilons]
    return pd.DataFrame(rows, columns=["epsilon_1", "epsilon_2", "loss", "accuracy"])


def flat_radius(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    directions: np.ndarray,
    *,
    rise: float = 0.1,
    max_epsilon: float = 10.0,
    batch_size: int = 512,
    loss: Callable = F.cross_entropy,
) -> float | np.ndarray:
    """The smallest `|eps|` at which the loss at w + eps d is `rise` above the loss at w, per direction.

    A coarse scan outwards on both sides (ten steps per decade, from `max_epsilon` / 10,000) finds the first step at
    which the loss has risen; bisection then finds the radius to a relative 1e-4. A rise that comes and goes within one
    step of the scan, a quarter of its radius, is missed. A loss that is not finite counts as risen.
    In a quadratic bowl 1/2 lambda eps^2 the radius is sqrt(2 rise / lambda).

    Args:
        model, x, y, batch_size, loss: as for `hessian_operator`.
        directions: one flat vector, or rows `(k, n)`.
        rise: in units of the loss, > 0.
        max_epsilon: the end of the scan, > 0.

    Returns:
        A float for one vector, an array `(k,)` for rows. Infinity says: not within `max_epsilon`.
    """
    check.real("rise", rise, low=0, open_low=True)
    check.real("max_epsilon", max_epsilon, low=0, open_low=True)
    directions = _finite("directions", directions)
    at = loss_function(model, x, y, batch_size, loss)
    limit = at(None)[0] + rise
    steps = round(-math.log10(FIRST_RADIUS) * RADII_PER_DECADE)
    radii = max_epsilon * np.geomspace(FIRST_RADIUS, 1.0, steps + 1)

    def radius(direction) -> float:
        def risen(eps: float) -> bool:
            return not at(eps * direction)[0] < limit  # also true for NaN

        inner = 0.0
        for outer in radii:
            sides = [sign for sign in (1.0, -1.0) if risen(sign * outer)]
            if sides:
                low, high = inner, float(outer)
                while high - low > 1e-4 * high:
                    middle = (low + high) / 2
                    sides_now = [sign for sign in sides if risen(sign * middle)]
                    low, high = (low, middle) if sides_now else (middle, high)
                return high
            inner = float(outer)
        return math.inf

    if directions.ndim == 1:
        return radius(directions)
    return np.array([radius(d) for d in directions])
