"""The first code cell of every notebook: in Colab it installs the package, anywhere else it does nothing.

Every notebook holds this cell unchanged, so that each one runs in Colab from its .ipynb alone. `--no-deps` keeps pip
from touching what Colab brings (torch above all). The package comes as the archive of one revision, a tag or a commit; what
Colab lacks beside it comes in the version of the lock, and pip refuses a file that has not one of the lock's checksums. The
archive has none: it holds this cell, which cannot hold its checksum. Two calls, since pip wants checksums for all or for none.

    python -m tools.notebooks.setup_cell                      # print the cell
    python -m tools.notebooks.setup_cell book/*.ipynb         # write it into notebooks, as their first code cell
"""

import re
import sys
import tomllib
from pathlib import Path

import nbformat

from tools.notebooks.folding import fold

ROOT = Path(__file__).resolve().parents[2]
# The published page leaves the cell out: its readers run nothing.
TAGS = ["remove-cell"]
NOT_IN_COLAB = "mnist1d"


def _settings(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["tool"]["gst_tutorial"]


def repository(root: Path = ROOT) -> str:
    """`owner/name` of the repository, from the one place that names it."""
    return _settings(root)["repository"]


def revision(root: Path = ROOT) -> str:
    """The tag or commit that Colab installs, from the one place that names it."""
    return _settings(root)["revision"]


def pinned(package: str, root: Path = ROOT) -> tuple[str, list[str]]:
    """("name==version", checksums of the files of that version), from the lock with checksums."""
    lock = (root / "requirements-hashes.txt").read_text()
    (found,) = re.findall(rf"^({re.escape(package)}==\S+)((?:\s+\\?\s*--hash=\S+)+)", lock, flags=re.MULTILINE)
    return found[0], re.findall(r"--hash=(\S+)", found[1])


def source(repository: str, revision: str = revision()) -> str:
    """The text of the setup cell for a repository given as `owner/name` and a tag or a commit of it."""
    if re.fullmatch(r"v\d+(\.\d+)+\S*", revision):
        archive = f"refs/tags/{revision}"
    elif re.fullmatch(r"[0-9a-f]{40}", revision):
        archive = revision
    else:
        raise ValueError(
            f"revision={revision!r} must be a version's tag (v0.1.0) or a commit (40 digits); a branch moves."
        )
    pin, checksums = pinned(NOT_IN_COLAB)
    return "\n".join(
        [
            "# @title Set up Colab (anywhere else this does nothing)",
            "import sys",
            "",
            'if "google.colab" in sys.modules:',
            '    with open("colab-requirements.txt", "w") as file:  # pip takes no other file than one with these checksums',
            f'        file.write("{pin}")',
            *(f'        file.write(" --hash={checksum}")' for checksum in checksums),
            "    %pip install --quiet --no-deps --require-hashes -r colab-requirements.txt",
            f"    %pip install --quiet --no-deps https://github.com/{repository}/archive/{archive}.zip",
        ]
    )


def is_setup_cell(cell) -> bool:
    """Return True if a notebook cell is a setup cell, for this repository or another one."""
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
    fold(cell)
    nbformat.write(notebook, path)
    return True


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(source(repository()))
    for name in sys.argv[1:]:
        print(f"{name}: {'written' if write(Path(name), repository()) else 'unchanged'}")
