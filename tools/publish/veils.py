"""A Sphinx extension: a page with guesses loads the script that hides each result until its guess is made."""

from __future__ import annotations

GUESS = 'class="gst-predict '


def setup(app):
    app.connect("html-page-context", add_veil)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def add_veil(app, page: str, template: str, context: dict, doctree) -> None:
    """Put the script right behind the text: it runs before the reader can scroll to what it hides."""
    if GUESS in context.get("body", ""):
        source = context["pathto"]("_static/scripts/veil.js", resource=True)
        context["body"] += f'<script src="{source}"></script>'
