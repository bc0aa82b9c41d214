"""A user's own functions in a config, by name: "package.module:function".

A config is sent to other processes and stored on disk, so it names a function instead of containing it. The name is part of
the config's hash. `source_hash` tells whether the code behind the name has changed since a result was stored.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import itertools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gst_tutorial import _arguments as check


def is_reference(value: Any) -> bool:
    """Return True if `value` is a string such as "package.module:function"."""
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
        function_of(argument, value)
        return value
    return check.one_of(argument, value, [*allowed, "package.module:function"])


def name_of(argument: str, function: Callable) -> str:
    """Return the "module:name" under which other processes can import a function.

    A function of the running script is named after the script's file.

    Raises:
        ValueError: a function that cannot be imported: a lambda, a nested function, or one defined in a notebook.
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


def function_of(argument: str, reference: str) -> Callable:
    """Return the function that "package.module:function" names.

    Raises:
        ValueError: there is no such function; the message names the argument.
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
    """Return those of the `offered` keyword arguments that a function's signature has.

    Args:
        argument: the field of the config that names the function, for the error.
        needed: arguments that the function must take, because the config sets them explicitly.

    Raises:
        ValueError: the function does not take a needed argument.
    """
    parameters = inspect.signature(function).parameters.values()
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for name in needed:
        if name not in names:
            raise ValueError(f"{argument}: {function.__name__} takes no argument {name!r}, which the config sets.")
    return {name: value for name, value in offered.items() if name in names}


@functools.cache
def source_hash(reference: str) -> str:
    """Return 16 hexadecimal digits that change whenever the user's code behind a function changes.

    The digits cover the whole text of the function's file and of every other file of the user's that it imports, directly
    or not; a changed comment counts, too. Installed packages count by name only, since their versions are kept with each
    run. Files of data count if the function names them: `my_data.files = ["signals.csv"]`, from the folder of its module.

    Raises:
        FileNotFoundError: a file of data is missing.
    """
    function = function_of("function", reference)
    modules = _user_files(reference.partition(":")[0])
    texts = {name: file.read_bytes() for name, file in modules.items()}
    for file in check.many("files", getattr(function, "files", []), "paths"):
        folder = Path(inspect.getfile(function)).parent
        texts[f"file {file}"] = hashlib.sha256((folder / file).read_bytes()).digest()
    return hashlib.sha256(repr([reference, sorted(texts.items())]).encode()).hexdigest()[:16]


def _user_files(module: str) -> dict[str, Path]:
    """Source files by module: this one and all that it imports, as far as they are the user's."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        spec = _spec(name) if name not in found and _is_users(name.partition(".")[0]) else None
        if spec is None or not str(spec.origin).endswith(".py"):
            continue
        found[name] = Path(spec.origin)
        for node in ast.walk(ast.parse(found[name].read_bytes())):
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), spec.parent)
                imported = [f"{base}.{alias.name}" for alias in node.names]  # a function, or a module of the package
            else:
                continue
            for each in imported:  # importing a.b.c runs the packages a and a.b first
                waiting += itertools.accumulate(each.split("."), "{}.{}".format)
    return found


def _is_users(top: str) -> bool:
    """Return False for a top-level module of the standard library, an installed package, and this package."""
    spec = None if top == "gst_tutorial" or top in sys.stdlib_module_names else _spec(top)
    places = [] if spec is None else [str(spec.origin), *(spec.submodule_search_locations or ())]
    return bool(places) and not any({"site-packages", "dist-packages"} & set(Path(place).parts) for place in places)


def _spec(module: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError):  # "a.b" where a is no package, so that b is one of its functions
        return None
