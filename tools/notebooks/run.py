"""Run the notebooks of the book and keep their files tidy.

    python -m tools.notebooks.run run book/01_*.ipynb      # run, store the outputs, tidy
    python -m tools.notebooks.run tidy book/*.ipynb        # tidy only (never runs anything)
    python -m tools.notebooks.run check book/*.ipynb       # say what is not tidy; exit 1 if anything is not

Tidy means that a second run on the same machine changes nothing: no times of execution, no versions of the kernel, no
state of live widgets (a static page could only show it as dead controls). It also means that what the page folds is folded
in JupyterLab and Colab (see folding.py). How long the cells of a notebook took is written
into `run_times.json` beside it, from which `tools/pages/status.py` makes a page.
"""

import argparse
import base64
import copy
import datetime
import io
import json
import os
import platform
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.validator import normalize

from tools.notebooks.folding import code, fold

RUN_TIMES = "run_times.json"
PNG = r"(data:image/png;base64,)([A-Za-z0-9+/=]+)"
WIDGET = "application/vnd.jupyter.widget-view+json"
KEPT_CELL_METADATA = {"tags", "mystnb", "slideshow", "jupyter", "cellView"}
FIX = "run `python -m tools.notebooks.run tidy` on it"
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}


def small_picture(png: str, colours: int = 64) -> str:
    """A PNG (base64) with a palette: a third of the size, and plots have no more colours. Done once, then kept."""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        if picture.mode == "P":
            return png
        clear = picture.mode == "RGBA" and picture.getextrema()[3][0] < 255
        method = Image.Quantize.FASTOCTREE if clear else Image.Quantize.MEDIANCUT  # the other cannot see through
        palette = picture.convert("RGBA" if clear else "RGB").quantize(colours, method=method, dither=Image.Dither.NONE)
    file = io.BytesIO()
    palette.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def tidy_outputs(cell) -> list:
    """The outputs of a code cell as they are stored: no live widgets, adjacent prints joined, alt text on images, small."""
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    colours = 256 if "photograph" in cell.metadata.get("tags", []) else 64
    outputs = []
    for output in cell.outputs:
        if WIDGET in output.get("data", {}):
            if "text/html" not in output.data:
                continue
            # What the widget shows first, without its controls.
            first = re.sub(PNG, lambda found: found[1] + small_picture(found[2]), output.data["text/html"])
            output.data = {"text/html": first}
        if outputs and output.output_type == "stream" == outputs[-1].output_type and output.name == outputs[-1].name:
            outputs[-1].text += output.text
            continue
        if output.output_type in ("display_data", "execute_result"):
            image_types = [kind for kind in output.data if kind.startswith("image/")]
            ground = {key: output.metadata[key] for key in ("needs_background",) if key in output.metadata}
            output.metadata = {
                kind: {"alt": alt} for kind in image_types if alt
            } | ground  # paper behind clear pictures
            if "image/png" in output.data:
                output.data["image/png"] = small_picture(output.data["image/png"], colours)
        outputs.append(output)
    return outputs


def tidy(notebook):
    """A tidy copy of a notebook."""
    notebook = copy.deepcopy(notebook)
    _, notebook = normalize(notebook)  # every cell has a unique id
    notebook.metadata = nbformat.from_dict(copy.deepcopy(NOTEBOOK_METADATA))
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA})
        if cell.cell_type != "code":
            continue
        if any(WIDGET in output.get("data", {}) for output in cell.outputs):
            # Of a live widget no more is stored than what it shows first: there is nothing to compare a new run with.
            tags = cell.metadata.setdefault("tags", [])
            tags.extend({"nbval-ignore-output"} - set(tags))
        cell.outputs = tidy_outputs(cell)
        fold(cell)
    return notebook


def _folding(cell) -> tuple:
    return cell.source, cell.metadata.get("jupyter"), cell.metadata.get("cellView")


def problems(notebook) -> list[str]:
    """Return the reasons why a notebook must not be committed, in sentences."""
    found = []
    tidied = tidy(notebook)
    for number, (cell, as_it_should_be) in enumerate(zip(notebook.cells, tidied.cells), start=1):
        if _folding(cell) != _folding(as_it_should_be):
            found.append(f"cell {number} is not folded in JupyterLab and Colab as its tags ask: {FIX}")
    if not found and notebook != tidied:
        found.append(f"contains metadata or widget state that changes from run to run: {FIX}")
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        tags = cell.metadata.get("tags", [])
        if cell.execution_count is None and "nbval-skip" not in tags:
            found.append(f"cell {number} has not been run: {code(cell).splitlines()[0]!r}")
        if any(output.output_type == "error" for output in cell.outputs) and "raises-exception" not in tags:
            found.append(f"cell {number} stores an error: {code(cell).splitlines()[0]!r}")
    return found


def run(path: Path, timeout: float) -> float:
    """Run a notebook in its own folder, store outputs and run time, return that; a failing cell leaves both as they were."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=True,  # in the cells' metadata, which `tidy` takes away again
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        skip_cells_with_tag="nbval-skip",
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    seconds = run_time(notebook)
    nbformat.write(tidy(notebook), path)
    record_run_time(path, seconds)
    return seconds


def run_time(notebook) -> float:
    """Seconds that all cells of a notebook took together, from the times that the run left in their metadata."""
    total = 0.0
    for cell in notebook.cells:
        times = cell.metadata.get("execution", {})
        if {"iopub.execute_input", "shell.execute_reply"} <= times.keys():
            start, end = (times[key].replace("Z", "+00:00") for key in ("iopub.execute_input", "shell.execute_reply"))
            total += (datetime.datetime.fromisoformat(end) - datetime.datetime.fromisoformat(start)).total_seconds()
    return total


def record_run_time(path: Path, seconds: float) -> None:
    """Write how long a notebook took, and where, into `run_times.json` beside it; the other notebooks' lines stay."""
    from gst_tutorial.studies.provenance import processor

    file = path.with_name(RUN_TIMES)
    times = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    times[path.stem] = {
        "seconds": round(seconds, 1),
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    file.write_text(json.dumps(times, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["run", "tidy", "check"])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one cell may take (default: 600)")
    arguments = parser.parse_args()

    failed = False
    for path in arguments.notebooks:
        if arguments.action == "run":
            print(f"running {path}", flush=True)
            print(f"  its cells took {run(path, arguments.timeout):.1f} s", flush=True)
        elif arguments.action == "tidy":
            nbformat.write(tidy(nbformat.read(path, as_version=4)), path)
        else:
            for problem in problems(nbformat.read(path, as_version=4)):
                failed = True
                print(f"{path}: {problem}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
