"""The status page: how long each chapter runs, with which versions, and on which recorded studies the book stands.

    python -m tools.pages.status            # write book/status.md
    python -m tools.pages.status --check    # exit 1 if the page is not what the measurements give
    python -m tools.pages.status --draft    # while a chapter is being written: say "not measured yet" instead of failing

Nothing on the page is written by hand. `make notebooks` measures the chapters (book/run_times.json); versions are those of
requirements.in and pyproject.toml; studies are described by the provenance that is recorded with them.
"""

from __future__ import annotations

import html
import io
import json
import math
import re
import sys
import tomllib
from pathlib import Path

import nbformat
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book" / "status.md"
FIGURE = ROOT / "book" / "figures" / "scaling.svg"
LIMIT = 180  # seconds that all cells of a chapter may take together, on a slow machine and with one thread a process


def titles(root: Path = ROOT) -> dict[str, str]:
    """The title of every chapter, by the name of its notebook."""
    paths = sorted(root.glob("book/[0-9][0-9]_*.ipynb"))
    return {path.stem: opening(path).splitlines()[0].removeprefix("# ") for path in paths}


def opening(path: Path) -> str:
    """The text of a notebook before its first section: title, question, and what it asks of the reader."""
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown").split("\n## ")[0]


def stated_seconds(text: str) -> float:
    """The longest run time that a chapter's opening promises: "under a minute", "about 2 minutes", "24 s"."""
    found = re.search(r"cells? (?:together )?(?:runs?|takes?) (?:in )?(?:under |about |less than )?(\w+) (\w+)", text)
    if found is None:
        raise ValueError(f"no sentence such as 'Every cell together runs in under a minute': {text[-200:]!r}")
    count = 1.0 if found[1] in ("a", "one") else float(found[1])
    return count * (60 if found[2].startswith("min") else 1)


def run_times(root: Path = ROOT, draft: bool = False) -> dict[str, dict]:
    """What `tools/notebooks/run.py run` recorded for every chapter: seconds, date, processor, cores, python.

    With `draft`, chapters that have not been measured are left out.

    Raises:
        ValueError: if a chapter has not been measured; says which, and how to do it.
    """
    file = root / "book" / "run_times.json"
    measured = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    missing = [f"book/{name}.ipynb" for name in titles(root) if name not in measured]
    if missing and not draft:
        raise ValueError(f'not measured yet: run `make notebooks NOTEBOOKS="{" ".join(missing)}"`')
    return {name: measured[name] for name in titles(root) if name in measured}


def versions(root: Path = ROOT) -> list[tuple[str, str, str]]:
    """(package, version that the book is made with, oldest version that the package works with or "") for direct pins."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]  # those for users of the package; the others are for working on the book
    wanted = [*project["dependencies"], *extras["vision"], *extras["cluster"]]
    oldest = {canonicalize_name(each.name): str(each.specifier).removeprefix(">=") for each in map(Requirement, wanted)}
    pins = (root / "requirements.in").read_text(encoding="utf-8")
    lines = [line for line in pins.splitlines() if line and not line.startswith("#")]
    found = [(each.name, str(each.specifier).removeprefix("==")) for each in map(Requirement, lines)]
    return [(name, version, oldest.get(canonicalize_name(name), "")) for name, version in found]


def studies(root: Path = ROOT) -> list[dict]:
    """The provenance of every recorded study, in the order of their names."""
    paths = sorted(root.glob("gst_tutorial/book/recorded/*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def scaling(root: Path = ROOT) -> list[dict]:
    """What grows with what, as `python -m benchmarks scaling` measured it."""
    return json.loads((root / "benchmarks" / "results.json").read_text(encoding="utf-8"))["scaling"]["rows"]


def draw_scaling(rows: list[dict]) -> str:
    """Seconds against size, both relative to the smallest size, as SVG."""
    from matplotlib import pyplot as plt

    import gst_tutorial as gst
    from gst_tutorial.book.figures.style import STYLE

    with plt.rc_context({**STYLE, "svg.hashsalt": "scaling"}):
        figure, ax = plt.subplots(figsize=(5, 5.2))
        for row, look in zip(rows, ("none", "smallest", "largest", "random", "zero", "gaussian", "prune at init")):
            size, seconds = ([value / values[0] for value in values] for values in (row["sizes"], row["seconds"]))
            ax.plot(size, seconds, label=f"{row['what']}: {row['grows']}", **gst.figures.look(look))
        ax.set(xscale="log", yscale="log", xlabel="size, relative to the smallest", ylabel="time, relative to it")
        ax.legend(fontsize=9, loc="lower center", bbox_to_anchor=(0.45, 1.0))
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return file.getvalue()


def scaling_lines(rows: list[dict]) -> list[str]:
    """The rows of the table of the page."""

    def span(values, form):
        return f"{form(values[0])} to {form(values[-1])}" if values else ""

    def power(value):
        return "" if value is None or math.isnan(value) else f"{value:.1f}"

    return [
        f"| {plain(row['what'])} | {plain(row['grows'])}, {span(row['sizes'], '{:g}'.format)} "
        f"| {span(row['seconds'], '{:.2g}'.format)} | {power(row['exponent'])} "
        f"| {span(row['megabytes'], '{:.0f}'.format)} | {power(row['memory_exponent'])} | {plain(row['limit'])} |"
        for row in rows
    ]


def plain(text) -> str:
    """What a JSON file says, as text in the cell of a Markdown table: no element, no link, no end of the cell."""
    return re.sub(r"([\\`|]|\](?=[(\[]))", r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


def duration(seconds: float) -> str:
    """24 s, 12 min or 3.1 h."""
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def page(root: Path = ROOT, draft: bool = False) -> str:
    """The page as Markdown."""
    times, recorded = run_times(root, draft), studies(root)
    python = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    chapters = []
    for name, title in titles(root).items():
        time = times.get(name)
        cells = (
            [f"{time['seconds']:.0f}", *(plain(time[name]) for name in ("processor", "cores", "date"))]
            if time
            else ["not measured yet", "", "", ""]
        )
        chapters.append(f"| [{title}]({name}.ipynb) | {' | '.join(map(str, cells))} |")
    packages = [f"| {name} | {version} | {oldest} |" for name, version, oldest in versions(root)]
    rows = [
        f"| `{plain(study['study'])}` | {plain(study['sentence'])} | {len(study['seeds'])} | {plain(study['runs'])} "
        f"| {plain(study['failed'])} | {duration(study['processor_seconds'])} | {plain(study['date'])} |"
        for study in recorded
    ]
    total = duration(sum(study["processor_seconds"] for study in recorded))
    made_with = " and ".join(sorted({plain(entry["python"]) for entry in times.values()}))
    return "\n".join(
        [
            "# Status",
            "",
            "*How long each chapter runs, with which versions the book is made, and on which recorded results it stands.*",
            "",
            "This page is written by `tools/pages/status.py` from measurements; nothing on it is typed by hand.",
            "",
            "## Run time of the chapters",
            "",
            "Seconds from the start of the first cell to the end of the last, without the start of Python. They are measured",
            f"whenever `make notebooks` runs a chapter. The limit is {LIMIT} seconds for each; a test keeps it.",
            "",
            "| chapter | seconds | processor | cores | measured |",
            "|---|---:|---|---:|---|",
            *chapters,
            "",
            "## How time and memory grow",
            "",
            "Measured by `python -m benchmarks scaling`, each point in a process of its own, one thread a process. An exponent",
            "of 1 means: twice as large takes twice as long. Memory is what comes on top of the imported package. Where more",
            "than half of the time at the largest size does not depend on the size, the limit is start-up; else arithmetic where",
            "more than a third of the speed of a matrix product is reached, and memory traffic where it is not.",
            "",
            "| what | grows | seconds | exponent | megabytes | exponent | limit |",
            "|---|---|---:|---:|---:|---:|---|",
            *scaling_lines(scaling(root)),
            "",
            "![Time against size in logarithms, both relative to the smallest size, a line for each row of the table above.]"
            "(figures/scaling.svg)",
            "",
            "## Versions",
            "",
            f"The chapters ran with Python {made_with} and the versions in the second column. The package alone needs Python",
            f"{python.removeprefix('>=')} or newer and, of the packages that it uses, the version in the third column or newer.",
            "",
            ":::{dropdown} All versions",
            "",
            "| package | this book | oldest |",
            "|---|---|---|",
            *packages,
            "",
            ":::",
            "",
            "## Recorded studies",
            "",
            f"Each is the result of `gst run NAME`. All together took {total} of processor time;",
            "`runs` that did not finish are counted under *failed* and stay in the tables.",
            "",
            "| study | question | seeds | runs | failed | processor time | recorded |",
            "|---|---|---:|---:|---:|---:|---|",
            *rows,
            "",
        ]
    )


def main() -> int:
    try:
        text = page(draft="--draft" in sys.argv[1:])
    except ValueError as error:
        print(f"status: {error}", file=sys.stderr)
        return 1
    if "--check" in sys.argv[1:]:
        return int(not (PAGE.exists() and PAGE.read_text(encoding="utf-8") == text))
    PAGE.write_text(text, encoding="utf-8")
    FIGURE.write_text(draw_scaling(scaling()), encoding="utf-8")
    print(PAGE, FIGURE, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
