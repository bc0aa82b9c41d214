"""The first code cell of every notebook: in Colab it installs the package, anywhere else it does nothing.

Every notebook holds this cell unchanged, so that each one runs in Colab from its .ipynb alone. `--no-deps` keeps pip
from touching what Colab brings (torch above all); what Colab lacks is named beside the package.

    python -m tools.notebooks.setup_cell                      # print the cell
    python -m tools.notebooks.setup_cell book/*.ipynb         # write it into notebooks, as their first code cell
"""

import sys
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
# The published page leaves the cell out: its readers run nothing.
TAGS = ["remove-cell"]
NOT_IN_COLAB = ["mnist1d"]


def repository(root: Path = ROOT) -> str:
    """`owner/name` of the repository, from the one place that names it."""
    return tomllib.loads((root / "pyproject.toml").read_text())["tool"]["gst_tutorial"]["repository"]


def source(repository: str) -> str:
    """The text of the setup cell for a repository given as `owner/name`."""
    archive = f"https://github.com/{repository}/archive/refs/heads/main.zip"
    return "\n".join(
        [
            "# In Colab, this cell installs the tutorial. Anywhere else it does nothing.",
            "import sys",
            "",
            'if "google.colab" in sys.modules:',
            f"    %pip install --quiet --no-deps {archive} {' '.join(NOT_IN_COLAB)}",
        ]
    )


def is_setup_cell(cell) -> bool:
    """Whether a notebook cell is a setup cell, for this repository or another one."""
    return cell.cell_type == "code" and "google.colab" in cell.source and "%pip install" in cell.source


def write(path: Path, repository: str) -> bool:
    """Make the setup cell the first code cell of a notebook; return whether the file changed."""
    notebook = nbformat.read(path, as_version=4)
    position = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), len(notebook.cells))
    if position == len(notebook.cells) or not is_setup_cell(notebook.cells[position]):
        cell = nbformat.v4.new_code_cell(id="setup", metadata={"tags": list(TAGS)})
        notebook.cells.insert(position, cell)
    cell = notebook.cells[position]
    if (cell.source, cell.metadata.get("tags")) == (source(repository), TAGS):
        return False
    cell.source = source(repository)
    cell.metadata["tags"] = list(TAGS)
    nbformat.write(notebook, path)
    return True


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(source(repository()))
    for name in sys.argv[1:]:
        print(f"{name}: {'written' if write(Path(name), repository()) else 'unchanged'}")
