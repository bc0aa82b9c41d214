"""Slides of the key figures, made from the chapters: what the book shows, the slides show.

Each chapter gives one slide with its title and its one-sentence answer, one for every code cell tagged `slide` (its
stored output, under the heading that it stands below), one for every text cell tagged `slide`, and one with its
take-away. A chapter without tags gives its first slider figure and its first image. No slide needs a network.

    make slides        # or: python -m tools.publish.slides _build/slides
"""

import argparse
import html
import re
import shutil
from pathlib import Path

import nbformat
from nbconvert.filters import markdown2html

from tools.publish.fonts import embed_fonts

ROOT = Path(__file__).resolve().parents[2]
TITLE = "The Generalization-Stability Tradeoff"

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<link rel="stylesheet" href="reveal/reveal.css">
<style>
  body {{ background: #fff; color: #1b2733; font: 26px/1.45 system-ui, sans-serif; }}
  .reveal h1 {{ font-size: 1.9em; line-height: 1.15; margin: 0 0 0.5em; }}
  .reveal h2 {{ font-size: 1.3em; line-height: 1.2; margin: 0 0 0.6em; }}
  .reveal section {{ text-align: left; }}
  .reveal img, .reveal svg {{ max-width: 100%; max-height: 375px; width: auto; }}
  .reveal > .slides > section > figure > img {{ max-height: 540px; min-height: 380px; }}
  .reveal .figure > * {{ margin-inline: auto; }}
  .reveal figure {{ margin: 0; text-align: center; }}
  .reveal .figure {{ font-size: 18px; }}
  .reveal .answer {{ font-style: italic; }}
  .reveal a {{ color: #0072b2; }}
</style>
<script>
  MathJax = {{
    loader: {{ load: ["core", "input/tex", "output/chtml", "a11y/assistive-mml"] }},
    tex: {{ inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]] }},
    options: {{ enableAssistiveMml: true }},
  }};
</script>
<script defer src="mathjax/startup.js"></script>
</head>
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
<script src="reveal/reveal.js"></script>
<script>
  Reveal.initialize({{ hash: true, slideNumber: "c/t", width: 1120, height: 700, margin: 0.05, transition: "none" }});
</script>
</body>
</html>
"""


def text_slide(heading: str, markdown: str, level: int = 2, kind: str = "") -> str:
    body = markdown2html(markdown)
    return f'<section>\n<h{level}>{html.escape(heading)}</h{level}>\n<div class="{kind}">{body}</div>\n</section>'


def figure_slide(heading: str, cell) -> str | None:
    """A slide with the first picture or HTML figure that a cell stores; None if it stores neither."""
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            alt = html.escape(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", heading), quote=True)
            figure = f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"].strip()}">'
        elif "text/html" in data:
            figure = data["text/html"]
        else:
            continue
        return f'<section>\n<h2>{html.escape(heading)}</h2>\n<figure class="figure">{figure}</figure>\n</section>'
    return None


def without_answer(markdown: str) -> str:
    """Text up to a folded answer: on a slide, the question comes without it."""
    return markdown.split("<details>")[0].strip()


def key_cells(notebook) -> set[int]:
    """Indices of the cells that become slides."""
    tagged = {i for i, cell in enumerate(notebook.cells) if "slide" in cell.metadata.get("tags", [])}
    if tagged:
        return tagged
    kinds = {
        "slider": lambda data: 'type="range"' in data.get("text/html", ""),
        "image": lambda data: "image/png" in data,
    }
    code = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    found = (
        next((i for i, cell in code if any(is_kind(o.get("data", {})) for o in cell.outputs)), None)
        for is_kind in kinds.values()
    )
    return {i for i in found if i is not None}


def chapter_slides(path: Path) -> list[str]:
    """The slides of one chapter."""
    notebook = nbformat.read(path, as_version=4)
    opening = notebook.cells[0].source
    title = re.search(r"^# +(.+)$", opening, flags=re.MULTILINE)[1]
    answer = re.search(r"^\*(.+?)\*$", opening, flags=re.MULTILINE | re.DOTALL)
    slides = [text_slide(title, answer[1] if answer else "", level=1, kind="answer")]
    heading, chosen = title, key_cells(notebook)
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            headings = list(re.finditer(r"^##+ +(.+)$", cell.source, flags=re.MULTILINE))
            heading = headings[-1][1] if headings else heading
            if i in chosen:
                slides.append(
                    text_slide(heading, without_answer(re.sub(r"^#+ .*$", "", cell.source, flags=re.MULTILINE)))
                )
            if headings and headings[-1][1].strip().lower() == "take-away":
                slides.append(text_slide(f"Take-away: {title}", cell.source[headings[-1].end() :]))
        elif i in chosen and (slide := figure_slide(heading, cell)):
            slides.append(slide)
    return slides


def write(folder: Path) -> Path:
    """Write the slides into `folder`; return the page to open."""
    chapters = sorted(ROOT.glob("book/[0-9][0-9]_*.ipynb"))
    subtitle = "Slides of the key figures. Text and figures: the GST tutorial authors, CC BY 4.0."
    slides = [text_slide(TITLE, subtitle, level=1)] + [slide for path in chapters for slide in chapter_slides(path)]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    web = ROOT / "_web"
    libraries = [path for name in ("reveal", "mathjax") for path in (web / name).rglob("*") if path.is_file()]
    for name, data in embed_fonts({path.relative_to(web).as_posix(): path.read_bytes() for path in libraries}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    page = folder / "index.html"
    page.write_text(PAGE.format(title=TITLE, slides="\n".join(slides)), encoding="utf-8")
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to write; what is in it is removed")
    page = write(parser.parse_args().folder)
    print(f"Slides: {page.resolve()} ({page.read_text().count('<section>')} slides)")
