"""Studies: grids of runs, and the named ones among them (`names`, `get`, `find`)."""

import functools
import importlib
import sys
from pathlib import Path

from gst_tutorial import _arguments
from gst_tutorial.studies.study import Arm, Study

__all__ = ["Arm", "Study", "find", "from_file", "get", "names"]


# The module that defines the named studies, in a function `studies()`. It is imported only when somebody asks for one of
# them, since the library does not need the book.
CATALOGUE = "gst_tutorial.book.studies"


@functools.cache
def _all() -> dict[str, Study]:
    return {study.name: study for study in importlib.import_module(CATALOGUE).studies()}


def names() -> list[str]:
    """Return the names of all studies, in the order of the book."""
    return list(_all())


def get(name: str) -> Study:
    """Return the study of that name; a ValueError suggests the nearest."""
    return _all()[_arguments.one_of("name", name, _all())]


def find(name: str) -> list[Study]:
    """Return the study of that name, or those of a file: "study.py", "folder/study.py:NAME".

    Raises:
        ValueError: an unknown name, or a file that defines no study.
        FileNotFoundError: no such file.
    """
    file, _, wanted = name.rpartition(":") if name.partition(":")[0].endswith(".py") and ":" in name else (name, "", "")
    if not file.endswith(".py"):
        return [_all()[_arguments.one_of("study", name, _all())]]
    found = {study.name: study for study in from_file(file)}
    return [found[_arguments.one_of("study", wanted, found)]] if wanted else list(found.values())


def from_file(path: str | Path) -> list[Study]:
    """Return the studies that a Python file defines at its top level, in their order.

    The file is imported as a module, and its folder is added to `sys.path` so that workers find its functions, too.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file defines no study, or another module of its name is imported already.
    """
    module = sys.modules[import_file(path)]
    values = [[value] if isinstance(value, Study) else value for value in vars(module).values()]
    found = [each for value in values if isinstance(value, (list, tuple)) for each in value if isinstance(each, Study)]
    if not found:
        raise ValueError(f"{str(path)!r} defines no gst.Study at its top level.")
    return list({study.name: study for study in found}.values())


def import_file(path: str | Path) -> str:
    """Import a Python file as a module, add its folder to `sys.path`, and return the module's name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another module of its name is imported already.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file {str(path)!r}.")
    known = sys.modules.get(path.stem)
    is_another = known is not None and Path(getattr(known, "__file__", None) or "").resolve() != path.resolve()
    if is_another or path.stem in sys.stdlib_module_names:  # on sys.path it would shadow that module
        raise ValueError(f"{str(path)!r}: another module is called {path.stem!r}; give the file another name.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(path.stem).__name__
