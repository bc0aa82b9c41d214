"""The answer box of an exercise: in the page, without a kernel, it says what `gst.exercises.check` says in Python."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path

from gst_tutorial.book.exercises.tabled import Letter, Measured, Table
from gst_tutorial.book.figures import card

_HERE = Path(__file__).parent
_ASKS = {"number": "Your number", "letter": "Your choice", "counts": "Your numbers, separated by spaces"}


def box_html(exercise: str, check) -> str:
    """The box for an exercise's check: a field or a choice for a table, a hint where to write code for any other."""
    table = check.table if isinstance(check, Measured) else check
    sheet = f"<style>\n{card.sheet()}{(_HERE / 'box.css').read_text(encoding='utf-8')}</style>\n"
    name = f"answer-{exercise.replace('.', '-')}"
    if not isinstance(table, Table):
        return (
            f'<div class="gst-answer gst-card" id="{name}">\n{sheet}'
            "<p>This exercise is answered in code. Open the chapter in Colab, with the rocket at the top of the page, or in "
            f"Jupyter: the cell for exercise {exercise} checks what you write.</p>\n</div>\n"
        )
    if isinstance(table, Letter):
        field = "".join(
            f'<label class="gst-letter"><input type="radio" name="{name}" value="{letter}" {card.KEYS}> ({letter})</label>'
            for letter in table.letters
        )
        field = f"<fieldset><legend>{_ASKS['letter']}</legend>{field}</fieldset>"
    else:
        mode = "decimal" if table.kind == "number" else "text"
        field = (
            f'<label><span>{_ASKS[table.kind]}</span> <input type="text" inputmode="{mode}" spellcheck="false" '
            f"{card.KEYS}></label>"
        )
    # Base64, so that nobody reads the answer by accident in the page's source. It is no secret.
    data = base64.b64encode(json.dumps(table.data()).encode()).decode()
    return f"""\
<div class="gst-answer gst-card {card.PLAIN_TEXT}" id="{name}" role="group" \
aria-label="{html.escape(f"Your answer to exercise {exercise}")}">
{sheet}<div class="gst-controls" style="display:none">{field}
<button type="button" data-lm-suppress-shortcuts="true">Check</button></div>
<output class="gst-text" aria-live="polite"></output>
<noscript><p class="gst-note">With scripts you could check your answer here.</p></noscript>
<script type="application/json">{card.embedded(data)}</script>
</div>
<script>
{(_HERE / "box.js").read_text(encoding="utf-8")}</script>
"""
