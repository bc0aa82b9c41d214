"""Effect of one event on a network: bars for the accuracy on all examples and on each class, and the filters it pruned.

We draw it as HTML instead of with matplotlib, because a slider that is being dragged needs a new picture every few
hundredths of a second, and because letters stay legible at any width.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from gst_tutorial.book.figures.card import PLAIN_TEXT, sheet

MOST_CLASSES = 20  # rows; if there are more classes, those that changed most are shown


def effect(
    sentence: str,
    accuracy: tuple[float, float],
    classes: Sequence[tuple[str, float, float]],
    scores: np.ndarray,
    pruned: np.ndarray,
) -> str:
    """Return the figure as HTML.

    Args:
        sentence: plain text above the bars; it is escaped.
        accuracy: on all examples, before and after, in [0, 1].
        classes: (name, before, after) of each class.
        scores: of all filters, `(C,)`.
        pruned: bool `(C,)`, after the event.
    """
    most = sorted(range(len(classes)), key=lambda i: -abs(classes[i][1] - classes[i][2]))[:MOST_CLASSES]
    shown = [classes[i] for i in sorted(most)]
    rows = [_row("all", *accuracy), *(_row(f"{name}", *shares) for name, *shares in shown)]
    some = f" The {MOST_CLASSES} of {len(classes)} classes that changed most." if len(shown) < len(classes) else ""
    lost = min(shown, key=lambda row: row[2] - row[1], default=None)
    said = f"Accuracy before and after: all examples {accuracy[0]:.1%}, then {accuracy[1]:.1%}." + (
        f" The class that lost most: {lost[0]}, from {lost[1]:.0%} to {lost[2]:.0%}." if lost else ""
    )
    won = ', <i class="gst-key gst-won"></i>won' if any(after > before for _, before, after in shown) else ""
    return (
        f'<style>{sheet("effect")}</style><div class="gst-card gst-effect {PLAIN_TEXT}">'
        f'<p class="gst-text">{html.escape(sentence)}</p>'
        f'<div class="gst-rows" role="img" aria-label="{html.escape(said)}">{"".join(rows)}</div>'
        f'<p class="gst-note">Test accuracy of all examples and of each class.{html.escape(some)} '
        '<i class="gst-key gst-kept"></i>after the event, <i class="gst-key gst-lost"></i>lost'
        f"{won}.</p>"
        f"{_strip(scores, pruned)}</div>"
    )


def _row(name: str, before: float, after: float) -> str:
    """Return a bar: the accuracy that is left, then the part that was lost or won, and both numbers in percent."""
    low, high, change = min(before, after), max(before, after), "lost" if after < before else "won"
    moved = f'<i class="gst-{change}" style="left:{low:.2%};width:{high - low:.2%}"></i>' if high > low else ""
    digits = 1 if name == "all" else 0
    return (
        f'<div class="gst-row"><span class="gst-name">{html.escape(name)}</span><span class="gst-track">'
        f'<i class="gst-kept" style="left:0;width:{low:.2%}"></i>{moved}</span>'
        f'<span class="gst-number">{100 * before:.{digits}f} &rarr; {100 * after:.{digits}f}%</span></div>'
    )


def _strip(scores: np.ndarray, pruned: np.ndarray) -> str:
    """Return a stroke per filter at its score, above the line for filters that stay and below it for pruned ones."""
    low, high = float(scores.min()), float(scores.max())
    x = 1000 * (scores - low) / (high - low) if high > low else np.full(len(scores), 500.0)
    strokes = lambda which, path: "".join(f"M{at:.0f} {path}" for at in x[which])  # noqa: E731
    n = int(pruned.sum())
    said = f"Scores of {len(scores)} filters from {low:.3g} to {high:.3g}; {n} are pruned."
    return (
        f'<svg class="gst-strip" viewBox="0 0 1000 44" preserveAspectRatio="none" role="img" aria-label="{said}">'
        f'<path class="gst-stays" d="{strokes(~pruned, "2V20")}"/><path class="gst-goes" d="{strokes(pruned, "24V42")}"/>'
        '<path class="gst-axis" d="M0 22H1000"/></svg>'
        f'<div class="gst-ends"><span>{low:.3g}</span><span>score of each filter: kept above the line, pruned below</span>'
        f"<span>{high:.3g}</span></div>"
    )
