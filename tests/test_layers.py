"""The library is read without the book: it never imports from gst_tutorial.book."""

import ast
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
