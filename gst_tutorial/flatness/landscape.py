"""The loss around a trained network: curves, surfaces, and the distance at which it has risen.

A *direction* d is a flat vector (see `SampleLoss`). To evaluate the network at w + eps d we substitute the parameters
(`torch.func.functional_call`) and never write to the model, so there is nothing to restore afterwards. Along the
parameters of a pruned filter the loss does not change at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial.flatness.loss import SampleLoss, check_finite, filter_scales, on_sample, trainable_parameters

FIRST_RADIUS = 1e-4  # as a fraction of max_epsilon: the first step that flat_radius tries
RADII_PER_DECADE = 10


def random_directions(model: nn.Module, n: int, *, seed: int = 0, filter_normalized: bool = True) -> np.ndarray:
    """Draw Gaussian directions `(n, n_parameters)`; the global random state is not used.

    Args:
        model: the network whose trainable parameters the directions change.
        n: number of directions.
        seed: of the generator.
        filter_normalized: True gives each filter's part of the direction the length of that filter's weights, and leaves
            biases and batch norm alone (Li et al., *Visualizing the loss landscape of neural nets*, 2018). A step eps is
            then *relative*: eps = 0.1 changes every filter by a tenth of its length. False gives directions of unit
            length, like eigenvectors.
    """
    check.integer("n", n, 1, check.MOST)
    check.flag("filter_normalized", filter_normalized)
    size = sum(p.numel() for p in trainable_parameters(model).values())
    directions = np.random.default_rng(check.integer("seed", seed, low=0)).standard_normal((n, size))
    if not filter_normalized:
        return directions / np.linalg.norm(directions, axis=1, keepdims=True)
    # Give each filter's part a root mean square of 1, then multiply by that of the filter's weights: equal lengths.
    scales, start = filter_scales(model), 0
    for p in trainable_parameters(model).values():
        stop = start + p.numel()
        n_filters = p.shape[0] if p.dim() > 1 else 1
        filters = directions[:, start:stop].reshape(n, n_filters, -1)  # (n, filters, weights of each), a view
        filters /= np.sqrt(np.mean(filters**2, axis=2, keepdims=True))
        start = stop
    return directions * scales


@on_sample
def perturbation_curve(
    at: SampleLoss, directions: np.ndarray | Mapping[str, np.ndarray], epsilons: np.ndarray
) -> pd.DataFrame:
    """Evaluate loss and accuracy at w + eps d for every direction d and every step eps.

    Args:
        at: or `model, x, y`.
        directions: rows `(k, n)`, such as `Eigenvalues.vectors` or `random_directions`; or one flat vector; or a mapping
            from names to flat vectors.
        epsilons: steps; the paper takes them from [-0.4, 0.4] along eigenvectors of unit length.

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
    """Evaluate loss and accuracy on the grid w + eps_1 d_1 + eps_2 d_2.

    Args:
        at: or `model, x, y`.
        direction_1, direction_2: flat vectors `(n,)`.
        epsilons: steps along both directions.

    Returns:
        One row per point of the grid: `epsilon_1`, `epsilon_2`, `loss`, `accuracy`.
    """
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
    """Find the smallest `|eps|` at which the loss at w + eps d is `rise` above the loss at w, for each direction d.

    In a quadratic bowl 1/2 lambda eps^2 this radius is sqrt(2 rise / lambda), so a sharp direction has a small radius.

    A coarse scan outwards on both sides (ten steps per decade, from `max_epsilon` / 10,000) finds the first step at
    which the loss has risen; bisection then refines the radius to a relative 1e-4. A rise that comes and goes between two
    steps of the scan, which are a quarter of the radius apart, is missed. A loss that is not finite counts as risen.

    Args:
        at: or `model, x, y`.
        directions: one flat vector, or rows `(k, n)`.
        rise: in units of the loss, greater than 0.
        max_epsilon: the end of the scan, greater than 0.

    Returns:
        A float for one vector, an array `(k,)` for rows; infinity if the loss does not rise enough within `max_epsilon`.

    Raises:
        FloatingPointError: the loss at w is not finite, so nothing can be above it.
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
            # Only the sides on which the loss has risen by now can hold the crossing; bisect between the last two steps.
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
