"""A Sphinx extension: a page loads what it uses, and its pictures when the reader comes near them.

Without it a chapter's first load brings all of its figures, the style sheets and scripts of extensions that only other pages
use, and the names of 1,400 icons of which the book shows twenty. Width and height go with a picture, so that nothing jumps
when it arrives.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import imagesize

PICTURE = re.compile(r'<img (?P<attributes>[^>]*?src="[^"]*?_images/(?P<name>[^"]+)"[^>]*?)(?P<end>\s*/?>)')
#: By the marks in a page that need them: files that an extension adds to every page.
ONLY_WITH = {
    'class="sd-': ("sphinx-design.min.css", "design-tabs.js"),
    'class="highlight': ("clipboard.min.js", "copybutton.js", "copybutton.css"),
}
#: The theme's style sheet, a third of which are rules for icons; and such a rule, with all the names of one icon.
SHEET = "_static/styles/pydata-sphinx-theme.css"
ICON = re.compile(r'(?P<names>(?:\.fa-[\w-]+:before,?)+)\{content:"[^"]*"\}')


def setup(app):
    app.connect("html-page-context", lighten)
    app.connect("build-finished", drop_icons)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def lighten(app, page: str, template: str, context: dict, doctree) -> None:
    """Leave out files that the page does not use; add `loading`, `width` and `height` to its pictures."""
    body = context.get("body", "")
    unused = tuple(file for mark, files in ONLY_WITH.items() if mark not in body for file in files)
    for kind in ("css_files", "script_files"):
        context[kind] = [file for file in context[kind] if not Path(str(file.filename)).name.startswith(unused)]
    sources = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}

    def lazy(found: re.Match) -> str:
        source = sources.get(unquote(found["name"]))
        width, height = imagesize.get(source) if source else (-1, -1)
        size = f' width="{round(width)}" height="{round(height)}"' if width > 0 else ""
        return f'<img {found["attributes"]} loading="lazy"{size}{found["end"]}'

    if body:
        context["body"] = PICTURE.sub(lazy, body)


def drop_icons(app, error: Exception | None) -> None:
    """Take the icons that no page or script of the built book names out of the theme's style sheet."""
    out = Path(app.outdir)
    sheet = out / SHEET
    if error or app.builder.format != "html" or not sheet.is_file():
        return
    named = {name for file in (*out.rglob("*.html"), *out.rglob("*.js")) for name in icons(file.read_text("utf-8"))}
    sheet.write_text(without_icons(sheet.read_text("utf-8"), named), "utf-8")


def icons(text: str) -> set[str]:
    """Every name of an icon in a text: "fa-bars"."""
    return set(re.findall(r"\bfa-[a-z0-9-]+", text))


def without_icons(sheet: str, named: set[str]) -> str:
    """The style sheet without the rules for icons that are not among `named`; all other rules stay as they are."""
    return ICON.sub(lambda rule: rule[0] if icons(rule["names"]) & named else "", sheet)
