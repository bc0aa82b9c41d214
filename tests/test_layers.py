"""The library is read without the book, from the bottom up: nothing imports what comes later, or in a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

import gst_tutorial as gst

PACKAGE = Path(gst.__file__).parent
# The two doors through which a user comes in know both: the public names, and the command line.
DOORS = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
LIBRARY = sorted(p for p in PACKAGE.rglob("*.py") if PACKAGE / "book" not in p.parents and p not in DOORS)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_library_never_imports_the_book(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        assert not any(module.startswith("gst_tutorial.book") for module in modules), ast.unparse(node)


# The order in which a student reads; each file may import those before it.
ORDER = ["masks", "pruning", "schedules", "instability", "training", "interventions", "experiment"]


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports when it is loaded itself, by dotted name without `gst_tutorial`."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gst_tutorial"):
            inside = node.module.removeprefix("gst_tutorial").removeprefix(".")
            for (
                alias
            ) in node.names:  # `from gst_tutorial import masks` is a module, `from gst_tutorial.masks import x` a name
                name = f"{inside}.{alias.name}".removeprefix(".")
                is_module = any((PACKAGE / name.replace(".", "/")).with_suffix(end).exists() for end in ("", ".py"))
                found.add(name if is_module else inside)
    return found


GRAPH = {
    str(path.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix(".__init__"): imports(path)
    for path in PACKAGE.rglob("*.py")
    if path not in DOORS
}


def test_no_modules_import_each_other_in_a_circle():
    list(graphlib.TopologicalSorter(GRAPH).static_order())  # CycleError names the circle


@pytest.mark.parametrize("name", ORDER)
def test_a_module_imports_nothing_that_comes_after_it(name):
    reached, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        reached.add(current)
        waiting += GRAPH.get(current, set()) - reached
    assert not reached & set(ORDER[ORDER.index(name) + 1 :])
