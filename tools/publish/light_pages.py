"""A Sphinx extension: a page loads what it uses, and its pictures when the reader comes near them.

Without it a chapter's first load brings all of its figures, and the style sheets and scripts of extensions that only other
pages use. Width and height go with a picture, so that nothing jumps when it arrives.
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


def setup(app):
    app.connect("html-page-context", lighten)
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
