"""Checks of arguments: one sentence per mistake, raised before any work is done."""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
from collections.abc import Iterable

import torch


def one_of(argument: str, value, allowed: Iterable[str]):
    """Return `value` if it is one of `allowed`; otherwise raise a ValueError with the nearest allowed name."""
    allowed = list(allowed)
    if not isinstance(value, str) or value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{argument}={value!r} is not known.{hint} Allowed: {', '.join(map(repr, allowed))}.")
    return value


def real(argument: str, value, low: float = -math.inf, high: float = math.inf, *, open_low=False, open_high=False):
    """Return `value` if it is a number in [low, high] (or the half-open interval asked for)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{argument}={value!r} must be a number, not {type(value).__name__}.")
    if math.isinf(value):
        raise ValueError(f"{argument}={value!r} must be finite.")
    inside = (value > low if open_low else value >= low) and (value < high if open_high else value <= high)
    if not inside or math.isnan(value):
        interval = f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
        raise ValueError(f"{argument}={value!r} must lie in {interval}.")
    return value


def integer(argument: str, value, low: int | None = None, high: int | None = None):
    """Return `value` as an int if it is a whole number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{argument}={value!r} must be a whole number, not {type(value).__name__}.")
    if low is not None and value < low:
        raise ValueError(f"{argument}={value!r} must be at least {low}.")
    if high is not None and value > high:
        raise ValueError(f"{argument}={value!r} must be at most {high}.")
    return int(value)


def flag(argument: str, value):
    """Return `value` if it is True or False; 0, 1 and "yes" are not."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument}={value!r} must be True or False.")
    return value


def device(argument: str, value):
    """Return `value` if it names a kind of device that torch knows, here or not, such as "cpu" or "cuda:1"."""
    try:
        if isinstance(value, str):
            torch.device(value)
            return value
    except RuntimeError:
        pass
    raise ValueError(f"{argument}={value!r} must name a device of torch, such as 'cpu' or 'cuda'.")


def device_here(argument: str, value: str) -> str:
    """Return `value` if tensors can be made on that device on this machine."""
    try:
        torch.empty(1, device=value)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(f"{argument}={value!r} is not available here: {error}") from None
    return value


def plain_numbers(config) -> None:
    """Turn the numbers of a frozen dataclass into Python's own, as its annotations say: 0 and 0.0, or NumPy's 3 and 3,
    are then one config with one hash."""
    kinds = {"int": int, "float": float, "int | None": lambda value: None if value is None else int(value)}
    for field in dataclasses.fields(config):
        if field.type in kinds:
            object.__setattr__(config, field.name, kinds[field.type](getattr(config, field.name)))
