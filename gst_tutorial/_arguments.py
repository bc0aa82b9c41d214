"""Checks of arguments. Each raises one sentence that names the argument, its value and what is allowed."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping, Sized
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # recorded results, statistics and figures check their arguments here, and work without torch
    import torch

# More filters, events, epochs or seeds than anybody needs; larger numbers would fill the memory before they failed.
MOST = 10**6
LENGTH = 200  # of a value in a message


def shown(value) -> str:
    """`repr(value)` in one line, shortened for a message."""
    text = repr(value) if isinstance(value, str) else " ".join(repr(value).split())
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"


def error_text(error: BaseException) -> str:
    """Name and message of an exception."""
    return f"{type(error).__name__}: {error}"


def one_of(argument: str, value, allowed: Iterable[str]):
    """Return `value` if it is one of `allowed`; otherwise raise a ValueError with the nearest allowed name."""
    allowed = list(allowed)
    if not isinstance(value, str) or value not in allowed:
        names = [name for name in allowed if isinstance(name, str)]
        near = [
            name for name in names if str(value) == "".join(word[:1] for word in name.split("_"))
        ]  # lr: learning_rate
        near = near or difflib.get_close_matches(str(value), names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{argument}={shown(value)} is not known.{hint} Allowed: {', '.join(map(repr, allowed))}.")
    return value


def real(argument: str, value, low: float = -math.inf, high: float = math.inf, *, open_low=False, open_high=False):
    """Return `value` if it is a number in [low, high] (or the half-open interval asked for)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{argument}={shown(value)} must be a number, not {type(value).__name__}.")
    if math.isinf(value):
        raise ValueError(f"{argument}={shown(value)} must be finite.")
    inside = (value > low if open_low else value >= low) and (value < high if open_high else value <= high)
    if not inside or math.isnan(value):
        interval = f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
        raise ValueError(f"{argument}={shown(value)} must lie in {interval}.")
    return value


def integer(argument: str, value, low: int | None = None, high: int | None = None):
    """Return `value` as an int if it is a whole number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{argument}={shown(value)} must be a whole number, not {type(value).__name__}.")
    if low is not None and value < low:
        raise ValueError(f"{argument}={shown(value)} must be at least {low}.")
    if high is not None and value > high:
        raise ValueError(f"{argument}={shown(value)} must be at most {high}.")
    return int(value)


def flag(argument: str, value):
    """Return `value` if it is True or False; 0, 1 and "yes" are not."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument}={shown(value)} must be True or False.")
    return value


def instance(argument: str, value, kind: type, what: str = ""):
    """Return `value` if it is of that kind; `what` is another name for it."""
    if not isinstance(value, kind):
        package = kind.__module__.partition(".")[0]
        what = what or (kind.__name__ if package in ("builtins", "collections") else f"{package}.{kind.__name__}")
        raise TypeError(f"{argument} must be a {what.replace('gst_tutorial.', 'gst.')}, not {type(value).__name__}.")
    return value


def model(argument: str, value):
    """Return `value` if it is a module of torch."""
    import torch

    return instance(argument, value, torch.nn.Module, "torch.nn.Module")


def function(argument: str, value):
    """Return `value` if it can be called."""
    if not callable(value):
        raise TypeError(f"{argument}={shown(value)} must be a function, not {type(value).__name__}.")
    return value


def many(argument: str, value, what: str = "names") -> list:
    """`value` as a list, if it is a tuple, a list or the like; a string is not, nor is what has no end."""
    if isinstance(value, Sized) and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) > 0:
        return list(value)
    raise TypeError(f"{argument}={shown(value)} must be a list of {what}, not {type(value).__name__}.")


def examples(argument: str, value, n: int | None = None):
    """Return `value` if it is a tensor of examples, at least one (of `n`, if that is given)."""
    import torch

    instance(argument, value, torch.Tensor)
    if value.dim() == 0 or len(value) == 0 or (n is not None and len(value) != n):
        wanted = "at least one example" if n is None else f"{n} examples"
        raise ValueError(f"{argument} must hold {wanted}; its shape is {tuple(value.shape)}.")
    return value


def output_of(model, x) -> torch.Tensor:
    """Return a network's output for `x`, a tensor or a dict of named arguments; of an object, a dict or a tuple, its logits.

    Raises:
        ValueError: the network does not take `x`. TypeError: its output contains no logits.
    """
    import torch

    try:
        output = model(**x) if isinstance(x, dict) else model(x)
    except (RuntimeError, TypeError, IndexError, ValueError, AttributeError, NotImplementedError) as error:
        given = f"{tuple(x.shape)}, {x.dtype}" if isinstance(x, torch.Tensor) else shown(type(x).__name__)
        raise ValueError(f"x: the model does not take {given}: {error_text(error)}") from error
    logits = output
    if isinstance(output, Mapping):
        logits = output.get("logits", output.get("out"))
    elif hasattr(output, "logits"):
        logits = output.logits
    elif isinstance(output, (tuple, list)) and output:
        logits = output[0]
    if not isinstance(logits, torch.Tensor):
        raise TypeError(
            f"model must return a tensor, or an object, dict or tuple with logits, not {type(output).__name__}."
        )
    return logits


def numbers_of(argument: str, value) -> np.ndarray:
    """`value` as finite numbers, `(n,)`, float64."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(math.nan)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{argument} must be finite numbers, (n,), got {shown(value)}.")
    return array


def index(argument: str, value, size: int) -> torch.Tensor:
    """Return `value` if it says which of `size` filters are meant: whole numbers below it, or a bool for each."""
    import torch

    instance(argument, value, torch.Tensor)
    if value.dtype == torch.bool and value.shape == (size,):
        return value
    if value.dim() != 1 or value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise ValueError(
            f"{argument} must be whole numbers, (n,), or bool ({size},); it is {value.dtype} {tuple(value.shape)}."
        )
    # On a GPU a look at the numbers would wait for all that it has still to do, and some are checked in every step.
    if value.numel() and value.is_cpu:
        numbers = value.detach().numpy()
        if not (numbers.min() >= -size and numbers.max() < size):
            raise ValueError(f"{argument}={shown(value)} must be below {size}, the number of filters.")
    return value


def frame(argument: str, value, /, **columns):
    """Return `value` if it is a DataFrame that has the columns, each given by the name of the argument that says which."""
    import pandas as pd

    instance(argument, value, pd.DataFrame)
    for name, column in columns.items():
        if not isinstance(column, str) or column not in value.columns:
            one_of(f"{argument}: {name}", column, value.columns)
    return value


def device(argument: str, value):
    """Return `value` if it names a kind of device that torch knows, here or not, such as "cpu" or "cuda:1"."""
    if value == "cpu":  # always there: recorded studies are read without torch
        return value
    import torch

    try:
        if isinstance(value, str):
            torch.device(value)
            return value
    except RuntimeError:
        pass
    raise ValueError(f"{argument}={shown(value)} must name a device of torch, such as 'cpu' or 'cuda'.")


def device_here(argument: str, value: str) -> str:
    """Return `value` if tensors can be made on that device on this machine."""
    import torch

    try:
        torch.empty(1, device=value)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(f"{argument}={shown(value)} is not available here: {error}") from None
    return value
