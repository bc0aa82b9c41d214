"""Run notebooks as Colab does: each alone in an empty folder, `google.colab` loaded, the package not installed before.

The setup cell of each notebook installs the package from `--source` (a folder or a wheel) instead of the published
archive. Fails when a cell fails, or when anything has touched the installed torch.

    python -m tools.notebooks.colab --source . book/*.ipynb
"""

import argparse
import re
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ARCHIVE = re.compile(r"https://github\.com/\S+/archive/\S+\.zip")
SOLUTION = "# @title Solution"
# In Colab the module is loaded before the first cell runs; elsewhere an empty one stands in for it.
STUB = """
import importlib.util, sys, types
if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.colab") is None:
    sys.modules.setdefault("google", types.ModuleType("google"))
    sys.modules["google.colab"] = types.ModuleType("google.colab")
else:
    import google.colab
"""


def installed_torch() -> tuple[str, float]:
    """Version and time of installation of torch, without importing it."""
    distribution = metadata.distribution("torch")
    return distribution.version, Path(distribution.locate_file("torch/version.py")).stat().st_mtime


def as_in_colab(notebook, source: str):
    """The notebook with a stand-in for `google.colab`, and with `source` in place of the published archive."""
    replaced = 0
    for cell in notebook.cells:
        if cell.cell_type == "code" and "google.colab" in cell.source:
            cell.source, n = ARCHIVE.subn(lambda _: source, cell.source)
            replaced += n
    if replaced != 1:
        raise ValueError(f"the setup cell should name the archive of the package once; it does so {replaced} times")
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STUB))
    return notebook


def wrong_solutions(notebook) -> list[str]:
    """First lines of the solutions that did not pass their check."""
    solutions = [cell for cell in notebook.cells if cell.source.startswith(SOLUTION) and "check(" in cell.source]
    printed = {cell.source.splitlines()[0]: "".join(o.get("text", "") for o in cell.outputs) for cell in solutions}
    return [name for name, text in printed.items() if not re.search("^Right[.]", text, flags=re.MULTILINE)]


def run(path: Path, source: str, timeout: float) -> None:
    """Run one notebook in an empty folder; raise if a cell fails or a solution does not pass its check."""
    folder = tempfile.mkdtemp(prefix="colab-")
    try:
        notebook = as_in_colab(nbformat.read(path, as_version=4), source)
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=resources).execute()
        if wrong := wrong_solutions(notebook):
            raise AssertionError(f"{path}: not right: {', '.join(wrong)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, type=Path, help="folder or wheel of the package")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one cell may take (default: 600)")
    parser.add_argument("notebooks", nargs="+", type=Path)
    arguments = parser.parse_args()

    before = installed_torch()
    print(f"Python {sys.version.split()[0]}, torch {before[0]}")
    for path in arguments.notebooks:
        run(path, str(arguments.source.resolve()), arguments.timeout)
        if installed_torch() != before:
            print(f"{path}: torch was installed again: {before[0]} became {installed_torch()[0]}")
            return 1
        print(f"{path}: ran to its end", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
