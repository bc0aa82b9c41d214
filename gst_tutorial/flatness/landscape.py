"""The loss around a trained network: curves and surfaces of it, and how far one can go before it rises.

A *direction* d is a flat vector (see `SampleLoss`). The network at w + eps d is evaluated with substituted parameters
(`torch.func.functional_call`): the model itself is never written to, so there is nothing to restore.
Along a pruned filter's parameters the loss does not change at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.flatness.loss import SampleLoss, check_finite, filter_scales, on_sample, trainable_parameters

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
    check.integer("n", n, 1, check.MOST)
    check.flag("filter_normalized", filter_normalized)
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


@on_sample
def perturbation_curve(
    at: SampleLoss, directions: np.ndarray | Mapping[str, np.ndarray], epsilons: np.ndarray
) -> pd.DataFrame:
    """Loss and accuracy at w + eps d.

    Args:
        at: or `model, x, y`.
        directions: rows `(k, n)`, such as `Eigenvalues.vectors` or `random_directions`; one flat vector; or named ones.
        epsilons: steps; the paper takes them from [-0.4, 0.4] along unit eigenvectors.

    Returns:
        One row per direction and step: `direction` (row number or name), `epsilon`, `loss`, `accuracy` in [0, 1].
    """
    if not isinstance(directions, Mapping):
        directions = dict(enumerate(np.atleast_2d(at.directions("directions", directions))))
    directions = {name: at.directions("directions", d) for name, d in directions.items()}
    epsilons = np.ravel(check_finite("epsilons", epsilons))
    rows = [(name, eps, *at.evaluate(eps * d)) for name, d in directions.items() for eps in epsilons]
    return pd.DataFrame(rows, columns=["direction", "epsilon", "loss", "accuracy"])


@on_sample
def loss_surface(
    at: SampleLoss, direction_1: np.ndarray, direction_2: np.ndarray, epsilons: np.ndarray
) -> pd.DataFrame:
    """Loss and accuracy on the grid w + eps_1 d_1 + eps_2 d_2: columns `epsilon_1`, `epsilon_2`, `loss`, `accuracy`."""
    d_1, d_2 = (
        at.directions(name, np.ravel(d)) for name, d in (("direction_1", direction_1), ("direction_2", direction_2))
    )
    epsilons = np.ravel(check_finite("epsilons", epsilons))
    rows = [(a, b, *at.evaluate(a * d_1 + b * d_2)) for a in epsilons for b in epsilons]
    return pd.DataFrame(rows, columns=["epsilon_1", "epsilon_2", "loss", "accuracy"])


@on_sample
def flat_radius(
    at: SampleLoss, directions: np.ndarray, *, rise: float = 0.1, max_epsilon: float = 10.0
) -> float | np.ndarray:
    """The smallest `|eps|` at which the loss at w + eps d is `rise` above the loss at w, per direction.

    A coarse scan outwards on both sides (ten steps per decade, from `max_epsilon` / 10,000) finds the first step at
    which the loss has risen; bisection then finds the radius to a relative 1e-4. A rise that comes and goes within one
    step of the scan, a quarter of its radius, is missed. A loss that is not finite counts as risen.
    In a quadratic bowl 1/2 lambda eps^2 the radius is sqrt(2 rise / lambda).

    Args:
        at: or `model, x, y`.
        directions: one flat vector, or rows `(k, n)`.
        rise: in units of the loss, > 0.
        max_epsilon: the end of the scan, > 0.

    Returns:
        A float for one vector, an array `(k,)` for rows. Infinity says: not within `max_epsilon`.

    Raises:
        FloatingPointError: the loss at w is not finite, so nothing can rise above it.
    """
    check.real("rise", rise, low=0, open_low=True)
    check.real("max_epsilon", max_epsilon, low=0, open_low=True)
    directions = at.directions("directions", directions)
    limit = at.value() + rise
    if not math.isfinite(limit):
        raise FloatingPointError(f"the loss of the network itself is {limit - rise}; has the training diverged?")
    steps = round(-math.log10(FIRST_RADIUS) * RADII_PER_DECADE)
    radii = max_epsilon * np.geomspace(FIRST_RADIUS, 1.0, steps + 1)

    def radius(direction) -> float:
        def risen(eps: float) -> bool:
            return not at.value(eps * direction) < limit  # also true for NaN

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
