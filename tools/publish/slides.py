"""Slides for a lecture, made from the chapters and from the teaching page: what the book shows, the slides show.

Each chapter gives a title slide with its question, its opening figure, and for every guess that it asks for two slides: the
guess, then the figure that answers it. It closes with the take-away. The speaker's notes (press S) come from the tables of
`book/teaching.md`: when the chapter's turn is in the 90-minute lecture, what to do, and what students wrongly believe. A slide
needs no network, except for its links into the published book.

    make slides        # or: python -m tools.publish.slides _build/slides
"""

import argparse
import base64
import html
import re
import shutil
import struct
from pathlib import Path

import nbformat
import yaml
from nbconvert.filters import markdown2html

from tools.publish.fonts import embed_fonts

ROOT = Path(__file__).resolve().parents[2]
TITLE = "The Generalization-Stability Tradeoff"
GUESS = 'class="gst-predict'
GENERIC = {"", "predict", "run", "explain", "what it means"}  # headings that say nothing on a slide of their own
TALL = 1.1  # a picture taller than this share of its width cannot fill a slide

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<link rel="stylesheet" href="reveal/reveal.css">
<style>
  body {{ background: #fff; color: #1b2733; font: 28px/1.4 system-ui, sans-serif; }}
  .reveal section {{ text-align: left; padding: 0 12px; box-sizing: border-box; }}
  .reveal h1 {{ font-size: 54px; line-height: 1.15; margin: 0 0 28px; }}
  .reveal h2 {{ font-size: 36px; line-height: 1.2; margin: 0 0 12px; }}
  .reveal .question {{ font-size: 36px; font-style: italic; line-height: 1.3; max-width: 1100px; }}
  .reveal .time {{ margin-top: 40px; color: #57606a; font-size: 24px; }}
  .reveal .figure {{ margin: 0; text-align: center; }}
  .reveal .figure > img {{ display: block; margin: 0 auto; max-width: 100%; max-height: none; width: 1240px; height: 630px;
    object-fit: contain; }}
  .reveal .figure > .gst-card {{ margin: 0 auto; }}
  .reveal .gst-picture img {{ width: auto; max-height: 400px; margin: 0 auto; }}
  .reveal .text {{ max-width: 1150px; }}
  .reveal .text p, .reveal .text li {{ margin: 0 0 14px; line-height: 1.3; }}
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
<script src="reveal/notes.js"></script>
<script>
  // A figure with controls is as large as the slide has room for; a text that is too long gets smaller.
  function fit(slide) {{
    const what = slide.querySelector(".figure > .gst-card, .text");
    if (!what) return;
    for (let zoom = what.matches(".text") ? 1 : 2.2; zoom > 0.5; zoom -= 0.05) {{
      what.style.zoom = zoom;
      what.style.maxWidth = "none";
      what.style.width = 1240 / zoom + "px";
      if (slide.scrollHeight <= 710) break;
    }}
    Reveal.layout();
  }}
  Reveal.on("ready", (event) => document.fonts.ready.then(() => fit(event.currentSlide)));
  Reveal.on("slidechanged", (event) => fit(event.currentSlide));
  Reveal.initialize({{
    hash: true, slideNumber: "c/t", width: 1280, height: 720, margin: 0.01, transition: "none", controls: false,
    plugins: [RevealNotes],
  }});
</script>
</body>
</html>
"""


def published() -> str:
    """Address of the published book, with a slash at its end."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["html"]["baseurl"]


def to_html(markdown: str) -> str:
    """Markdown of a chapter as HTML; a link to another page of the book leads to the published book."""
    return re.sub(
        r'href="(?!\w+:|#)([\w./-]+?)\.(?:ipynb|md|html)(#[^"]*)?"',
        lambda link: f'href="{published()}book/{link[1].rsplit("/", 1)[-1]}.html{link[2] or ""}"',
        markdown2html(markdown),
    )


def slide(heading: str, body: str, notes: str = "", level: int = 2) -> str:
    """One slide; `body` and `notes` are HTML."""
    aside = f'\n<aside class="notes">{notes}</aside>' if notes else ""
    return f"<section>\n<h{level}>{html.escape(heading)}</h{level}>\n{body}{aside}\n</section>"


def figure(cell) -> str | None:
    """The first picture or HTML figure that a cell stores, or None."""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            alt = html.escape(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""), quote=True)
            return f'<figure class="figure"><img alt="{alt}" src="data:image/png;base64,{data["image/png"].strip()}"></figure>'
        if "<figure" in data.get("text/html", ""):
            return f'<div class="figure">{data["text/html"]}</div>'
    return None


def is_tall(cell) -> bool:
    """Return True if the picture that a cell stores is too tall to fill a slide."""
    pictures = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    if not pictures:
        return False
    width, height = struct.unpack(">II", base64.b64decode(pictures[0])[16:24])
    return height > TALL * width


def table_rows(markdown: str, header: str) -> list[list[str]]:
    """Cells of the rows of a Markdown table, found by its header line."""
    lines = markdown[markdown.index(header) :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def teaching(markdown: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """From the teaching page, by chapter: the minutes in the lecture, what to do then, and what students believe (HTML)."""
    minutes, plan, beliefs = {}, {}, {}
    for when, what, where in table_rows(markdown, "| minutes | what | from |"):
        for chapter in re.findall(r"\((\d\d_\w+)\.ipynb", where):
            minutes[chapter] = when
            plan[chapter] = to_html(f"**Minutes {when}.** {what} ({where})")
    for where, belief, answer in table_rows(markdown, "| chapter | misconception | what answers it |"):
        for chapter in re.findall(r"\((\d\d_\w+)\.ipynb", where):
            item = f"<li>Students believe: {to_html(belief)} What answers it: {to_html(answer)}</li>"
            beliefs[chapter] = beliefs.get(chapter, "") + item
    return minutes, plan, {chapter: f"<ul>{items}</ul>" for chapter, items in beliefs.items()}


def sections(notebook):
    """(heading, cell) of each cell of a notebook below its first one, with the last heading above it; exercises left out."""
    heading, in_exercises = "", False
    for cell in notebook.cells[1:]:
        if cell.cell_type == "markdown":
            for marks, title in re.findall(r"^(##+) +(.+)$", cell.source, flags=re.MULTILINE):
                heading = re.sub(r"^[\d.]+ +", "", title)
                in_exercises = heading.lower() == "exercises" if marks == "##" else in_exercises
        if not in_exercises:
            yield heading, cell


def chapter_slides(path: Path, minutes: dict[str, str], plan: dict[str, str], beliefs: dict[str, str]) -> list[str]:
    """The slides of one chapter."""
    notebook, name = nbformat.read(path, as_version=4), path.stem
    opening = notebook.cells[0].source
    title = re.search(r"^# +(.+)$", opening, flags=re.MULTILINE)[1]
    question = re.search(r"^\*(.+?)\*$", opening, flags=re.MULTILINE | re.DOTALL)
    when = f"Minutes {minutes[name]} of the lecture" if name in minutes else "Not part of the 90-minute lecture"
    link = f'<a href="{published()}book/{name}.html">the chapter</a>'
    body = f'<div class="question">{to_html(question[1]) if question else ""}</div><p class="time">{when} · {link}</p>'
    slides = [slide(title, body, plan.get(name, "") + "<p>Ask for guesses before the next slide.</p>", level=1)]

    pending = []  # figures that may answer the last question; the first that fills a slide does

    def answer() -> None:
        if pending:
            wide = [each for each in pending if not each[0]]
            slides.append((wide or pending)[0][1])
        pending.clear()

    opened = guessed = False
    for heading, cell in sections(notebook):
        if cell.cell_type == "markdown":
            if heading.lower() == "take-away":
                answer()
                text = re.sub(r"^##+ +.*$", "", cell.source, flags=re.MULTILINE)
                text = re.sub(r"\n+(?:\*\*)?Next.*", "", text, flags=re.DOTALL)
                body = f'<div class="text">{to_html(text)}</div>'
                slides.append(slide(f"Take-away: {title}", body, beliefs.get(name, "")))
            continue
        if (shown := figure(cell)) is None:
            continue
        if not opened:
            slides.append(slide(title, shown))
        elif GUESS in shown:
            answer()
            notes = "<p>Let everybody commit to a guess, enter one of them, and only then show what was measured.</p>"
            slides.append(slide("Your guess", shown, notes))
            guessed = True
        elif guessed:
            caption = to_html(cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", ""))
            pending.append(
                (is_tall(cell), slide("What we found" if heading.lower() in GENERIC else heading, shown, caption))
            )
        opened = True
    return slides


def write(folder: Path) -> Path:
    """Write the slides into `folder`; return the page to open."""
    tables = teaching((ROOT / "book" / "teaching.md").read_text(encoding="utf-8"))
    subtitle = (
        '<p>Arrow keys turn the slides, S opens the speaker\'s notes, O shows all slides.</p><p class="time">'
        f'<a href="{published()}">The book</a>. Text and figures: the GST tutorial authors, CC BY 4.0.</p>'
    )
    slides = [slide(TITLE, subtitle, level=1)]
    for path in sorted(ROOT.glob("book/[0-9][0-9]_*.ipynb")):
        slides += chapter_slides(path, *tables)
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
    print(f"Slides: {page.resolve()} ({page.read_text(encoding='utf-8').count('<section>')} slides)")
