"""Functions of one's own in a config: "package.module:function".

A config travels to other processes and machines and is kept on disk, so it names a function instead of holding it.
The name counts in the config's hash; `source_hash` says whether the function behind a name is still the same.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gst_tutorial import _arguments as check


def is_reference(value: Any) -> bool:
    """Whether `value` is a text "package.module:function"."""
    if not isinstance(value, str) or value.count(":") != 1:
        return False
    module, _, name = value.partition(":")
    return all(part.isidentifier() for text in (module, name) for part in text.split("."))


def known_or_reference(argument: str, value: Any, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed` or names a function that can be imported; a function becomes its name.

    Raises:
        ValueError: names the argument and what is wrong.
    """
    if callable(value):
        value = name_of(argument, value)
    if is_reference(value):
        find(argument, value)
        return value
    return check.one_of(argument, value, [*allowed, "package.module:function"])


def name_of(argument: str, function: Callable) -> str:
    """The "module:name" under which a function can be imported anywhere.

    A function of the script that is running is named by the script's file, which its folder on `sys.path` can import.

    Raises:
        ValueError: a function without such a name: a lambda, one inside another, or one typed into a notebook.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        module = Path(file).stem if file else None
    reference = f"{module}:{name}"
    if module is None or not is_reference(reference):
        raise ValueError(
            f"{argument}={function!r} cannot be imported by another process: write it at the top level of a .py file "
            "and give it, or 'file:function'."
        )
    return reference


def find(argument: str, reference: str) -> Callable:
    """The function that "package.module:function" names.

    Raises:
        ValueError: nothing there, or it cannot be called; names the argument.
    """
    module, _, name = reference.partition(":")
    try:
        found = _imported(module)
        for part in name.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise ValueError(
            f"{argument}={reference!r}: {error}. The module must lie in a folder of sys.path, here and where runs work."
        ) from error
    except AttributeError:
        names = sorted(n for n, value in vars(_imported(module)).items() if inspect.isfunction(value))
        raise ValueError(f"{argument}={reference!r}: {module!r} has no {name!r}. Its functions: {names}.") from None
    if not callable(found):
        raise ValueError(f"{argument}={reference!r} is a {type(found).__name__}, not a function.")
    return found


def _imported(module: str):
    if module.partition(".")[0] in ("torchvision", "timm"):
        from gst_tutorial.data import torchvision

        torchvision()  # makes it importable beside a torch built for CPUs only
    return importlib.import_module(module)


def accepted(argument: str, function: Callable, offered: dict[str, Any], needed: Iterable[str] = ()) -> dict[str, Any]:
    """Those of the `offered` keyword arguments that a function takes, by the names in its signature.

    Args:
        argument: what the function is to the config; for the error.
        needed: names that must not get lost, since the config says something by them.

    Raises:
        ValueError: a needed one that the function does not take.
    """
    parameters = inspect.signature(function).parameters.values()
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for name in needed:
        if name not in names:
            raise ValueError(f"{argument}: {function.__name__} takes no argument {name!r}, which the config sets.")
    return {name: value for name, value in offered.items() if name in names}


@functools.cache
def source_hash(reference: str) -> str:
    """16 hexadecimal digits of what a function does: its code and that of its module which it uses, without comments.

    Followed are functions, classes and constants of the function's own module. Of a module that it imports only the name
    counts; an installed package is known by the versions that are kept with each run.
    """
    module, _, name = reference.partition(":")
    function = inspect.unwrap(find("function", reference))
    try:
        tree = ast.parse(inspect.getsource(sys.modules[getattr(function, "__module__", module)]))
    except (OSError, TypeError, KeyError):  # compiled: no source to read
        return hashlib.sha256(reference.encode()).hexdigest()[:16]
    defined: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for bound in _bound(statement):
            defined.setdefault(bound, []).append(statement)
    first = getattr(function, "__qualname__", name).partition(".")[0]
    used, waiting = {}, [first]
    while waiting:
        current = waiting.pop()
        if current in used or current not in defined:
            continue
        used[current] = [ast.dump(_without_docstring(statement)) for statement in defined[current]]
        waiting += [n.id for s in defined[current] for n in ast.walk(s) if isinstance(n, ast.Name)]
    return hashlib.sha256(repr(sorted(used.items())).encode()).hexdigest()[:16]


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a statement of a module gives a value."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
    names = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
    return [n.id for n in names if isinstance(n.ctx, ast.Store)]


def _without_docstring(statement: ast.stmt) -> ast.stmt:
    for node in ast.walk(statement):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return statement
