"""Types of config fields, and errors about them that name the field, the value and what is allowed.

A config is a frozen pydantic dataclass: each field's annotation says what it may be, pydantic checks it, and editors,
type checkers and `pydantic.TypeAdapter(RunConfig).json_schema()` read the same annotation.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import numpy as np
import pydantic
from pydantic import BeforeValidator, Field, ValidationInfo
from typing_extensions import dataclass_transform

from gst_tutorial import _arguments as check
from gst_tutorial import references

T = TypeVar("T")

# NumPy's numbers become Python's, so that equal configs have one hash; pydantic is strict about everything else.
_Plain = BeforeValidator(lambda value: value.item() if isinstance(value, np.generic) else value)
# JSON has lists only, and a list is as good as a tuple to a user.
_Tuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)

Count = Annotated[int, _Plain, Field(ge=1)]
Index = Annotated[int, _Plain, Field(ge=0)]
Positive = Annotated[float, _Plain, Field(gt=0)]
NonNegative = Annotated[float, _Plain, Field(ge=0)]
Fraction = Annotated[float, _Plain, Field(ge=0, lt=1)]
# An entry of a table, or a user's function; kept as its name.
Named = Annotated[str | Callable[..., Any], pydantic.WithJsonSchema({"type": "string"})]
Epochs = Annotated[tuple[Count, ...], _Tuple]


def named(known: Callable[[], Any]) -> BeforeValidator:
    """A name in the table that `known()` returns, or a user's function, which becomes "package.module:function"."""
    return BeforeValidator(lambda value, info: references.known_or_reference(info.field_name, value, known()))


def names(argument: str, value: Any) -> tuple[str, ...]:
    """`value` as a tuple of different names (or functions)."""
    if not isinstance(value, (tuple, list)) or not all(isinstance(each, str) or callable(each) for each in value):
        raise TypeError(f"{argument}={check.shown(value)} must be a tuple of names, such as ('conv4',).")
    if len(set(value)) < len(value):
        raise ValueError(f"{argument}={check.shown(value)} names one of them twice.")
    return tuple(value)


def checked_by(function: Callable[[str, Any], Any]) -> BeforeValidator:
    """A check of our own: `function(argument, value)` returns the value to keep or raises."""

    def check_field(value: Any, info: ValidationInfo) -> Any:
        return function(str(info.field_name), value)

    return BeforeValidator(check_field)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def config_class(kind: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields pydantic checks, with errors in one sentence.

    Raises, when an instance is made:
        TypeError: a field of another type. ValueError: an unknown field, or a value that is not allowed.
    """
    strict = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    # repr=False keeps a `__repr__` that the class or its base defines.
    made = pydantic.dataclasses.dataclass(frozen=True, config=strict, repr="__repr__" not in vars(kind))(kind)
    unchecked = made.__init__

    @functools.wraps(unchecked)
    def __init__(self, *args, **fields):
        try:
            unchecked(self, *args, **fields)
        except pydantic.ValidationError as error:
            raise _in_a_sentence(made, error.errors()[0]) from None

    made.__init__ = __init__
    return made


def _in_a_sentence(kind: type, error: dict) -> Exception:
    """The exception that says what pydantic found, as the checks of `_arguments` would."""
    if error["type"] == "value_error":
        return error["ctx"]["error"]  # one of our own sentences
    field, value = str(error["loc"][0]), error["input"]
    if error["type"] == "unexpected_keyword_argument":
        return _unknown("field", field, [each.name for each in dataclasses.fields(kind)])
    if error["type"] == "literal_error":
        return _unknown(field, value, re.findall("'([^']*)'", error["ctx"]["expected"]))
    sentence = f"{field}={check.shown(value)} {error['msg'].replace('Input should', 'must')}."
    return TypeError(sentence) if error["type"].endswith("_type") else ValueError(sentence)


def _unknown(argument: str, value: Any, allowed: list[str]) -> ValueError:
    try:
        check.one_of(argument, value, allowed)
    except ValueError as error:
        return error
    raise AssertionError(f"{value!r} is one of {allowed}")
