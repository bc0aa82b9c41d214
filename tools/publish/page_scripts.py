"""A Sphinx extension: small scripts of the book, on the pages that need them.

`veil.js` hides each result until its guess is made; `formulas.js` lets the keyboard scroll a formula that is wider than a
telephone. Both stand right behind the text, so they have run before the reader scrolls to what they change.
"""

from __future__ import annotations

#: Scripts by the mark in a page that needs them.
SCRIPTS = {'class="gst-predict ': "veil.js", '<div class="math ': "formulas.js"}


def setup(app):
    app.connect("html-page-context", add_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def add_scripts(app, page: str, template: str, context: dict, doctree) -> None:
    """Add to a page the scripts that it needs."""
    body = context.get("body", "")
    for name in (name for mark, name in SCRIPTS.items() if mark in body):
        source = context["pathto"](f"_static/scripts/{name}", resource=True)
        context["body"] += f'<script src="{source}"></script>'
