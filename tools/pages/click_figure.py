"""The HTML of the figure with 64 filters to click. It is made when the book is built; _web/live/filters.js only attaches to it.

So the figure is whole before any script has arrived, nothing moves when one does, and it can be read without scripts.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

EPOCHS, MILESTONES, LOW, HIGH = 60, (40, 52), 10, 100  # as in schedule.js and charts.js
LINES = {  # name: colour, dash, width; the order in which they are drawn
    "earlier3": ("--gst-pale", "", 1.5),
    "earlier2": ("--gst-pale", "", 1.5),
    "earlier1": ("--gst-pale", "", 1.5),
    "earlier0": ("--gst-pale", "", 1.5),
    "twin": ("--gst-twin", "7 4", 2),
    "past": ("--gst-twin", "", 2),
    "hit": ("--gst-hit", "", 2.5),
}


def click_figure(first: dict, film: dict | None = None, channels: bool = False) -> str:
    """The figure as one HTML string.

    Args:
        first: profiles of the filters, accuracy and accuracy per class of the network before anything is cut.
        film: a recorded run, which the figure shows until the reader takes over (first page).
        channels: room for one filter's answer to one signal (chapter 1).
    """
    cut = set(film["cut"]) if film else set()
    accuracy, classes = (film["hit"][-1], film["classes"][-1]) if film else (first["accuracy"], first["classes"])
    lines = {"past": list(enumerate(first["curve"]))}
    if film:
        lines |= film_lines(film)
    kept = 64 - len(cut)
    return f"""<figure class="gst-live gst-click" aria-label="Cut filters of a half-trained network, then let it keep training">
<p class="gst-title">{_title(film)}</p>
<div class="gst-columns">
<div class="gst-watch">
<div class="gst-now"><p class="gst-number"><b>{
        100 * accuracy:.1f}%</b><span> correct</span><span class="gst-kept">with {kept} of 64 filters</span></p>{
        _classes(classes)
    }</div>
<p class="gst-keys">{_key("--gst-hit", "your network")}{_key("--gst-twin", "its twin, never pruned", dashed=True)}</p>
{chart(lines, _moments(film) if film else [], _chart_words(film, first))}
</div>
<div class="gst-board">
<div class="gst-filters" role="group" aria-label="The 64 filters of the last layer. A pressed filter is cut.">{
        "".join(_tile(c, first["profiles"][10 * c : 10 * c + 10], c in cut) for c in range(64))
    }</div>
<div class="gst-controls gst-quick"><button type="button" data-cut="32">Prune half</button><button type="button" data-cut="51">Prune 80%</button><button type="button" data-cut="0">Restore all</button></div>
<div class="gst-switches">{SWITCHES}</div>
</div>
<div class="gst-side">
<div class="gst-choice gst-guess" role="group" aria-label="Your guess: where will the cut network end?"><span>Your guess: it will end</span><span class="gst-options"><button type="button" aria-pressed="false" data-value="above">above its twin</button><button type="button" aria-pressed="false" data-value="level">about the same</button><button type="button" aria-pressed="false" data-value="below">below it</button></span></div>
<div class="gst-controls"><button type="button" class="gst-main">{
        "Your turn" if film else "Prune some filters first"
    }</button>{'<button type="button" class="gst-film">Play</button>' if film else ""}</div>
<div class="gst-progress" data-idle><progress max="100" value="0" aria-label="Training"></progress><span></span><button type="button" hidden>Finish now</button></div>
</div>
</div>
<output class="gst-text" aria-live="polite">{_sentence(film)}</output>
{
        LISTEN if channels else ""
    }<p class="gst-note">A small network after 13 of its 60 epochs of training, tested on 1,000 signals it has never seen. The bars in a tile show how strongly that filter responds to each of the ten classes. {
        "" if film is None else _record(film)
    }<a href="live.html">More experiments</a></p>
</figure>"""


def _title(film: dict | None) -> str:
    if film is None:
        return "Click filters to prune them, then let the network keep training."
    return f"While it trains, a network loses {len(film['cut'])} of the 64 filters in its last layer."


def film_lines(film: dict) -> dict[str, list[tuple[int, float]]]:
    """The two curves of a film after the cut, as (epoch, accuracy)."""
    start = film["epochs"]
    drop = [(start - 1, film["accuracy"]), (start - 1, film["after"])]
    hit = [(start + i, value) for i, value in enumerate(film["hit"])]
    twin = [(start - 1, film["accuracy"])] + [(start + i, value) for i, value in enumerate(film["twin"])]
    return {"twin": twin, "hit": drop + hit}


def _moments(film: dict) -> list[tuple[int, float, str]]:
    """The three moments of a film, as (epoch, accuracy, words)."""
    start = film["epochs"]
    return [
        (start - 1, film["after"], "1 cut"),
        (film["overtook"], film["hit"][film["overtook"] - start], "2 overtakes"),
        (EPOCHS - 1, film["hit"][-1], "3 end"),
    ]


def _sentence(film: dict | None) -> str:
    if film is None:
        return "Click a filter, drag across several, or cut some at random with the buttons."
    return (
        f"1: pruning {len(film['cut'])} filters drops accuracy from {_percent(film['accuracy'])} to {_percent(film['after'])}. "
        f"2: after epoch {film['overtook'] + 1}, the network has overtaken its twin, which keeps all 64. "
        f"3: it ends at {_percent(film['hit'][-1])}, and its twin at {_percent(film['twin'][-1])}."
    )


def _record(film: dict) -> str:
    ahead, n = sum(gain > 0 for gain in film["gains"]), len(film["gains"])
    return (
        f"The animation replays a run recorded in this page (seed {film['seed']}). Was it luck? We made a similar cut in {n} other "
        f"networks, and {'all' if ahead == n else ahead} of them ended ahead of their twins. "
    )


def _chart_words(film: dict | None, first: dict) -> str:
    if film is None:
        return f"Test accuracy over the epochs: {_percent(first['accuracy'])} after 13 epochs"
    return f"Test accuracy over the epochs: {_sentence(film)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _tile(c: int, digits: str, cut: bool) -> str:
    bars = "".join(f'<i style="height:{max(4, 25 * (int(digit) - 5))}%"></i>' for digit in digits)
    focus = 0 if c == 0 else -1
    return (
        f'<button type="button" class="gst-filter" aria-pressed="{str(cut).lower()}" aria-label="filter {c + 1}" '
        f'tabindex="{focus}" data-filter="{c}"><span aria-hidden="true">{bars}</span></button>'
    )


def _classes(shares: Sequence[float]) -> str:
    words = "Correct in each class: " + ", ".join(f"{k}: {100 * share:.0f}%" for k, share in enumerate(shares))
    bars = "".join(
        f'<span><s><i style="height:{100 * share:.1f}%"></i></s>{k}</span>' for k, share in enumerate(shares)
    )
    return f'<div class="gst-classes" role="img" aria-label="{words}">{bars}</div>'


def _key(colour: str, words: str, dashed: bool = False) -> str:
    style = "gst-dashed" if dashed else ""
    return f'<span class="gst-key"><i class="{style}" style="border-color:var({colour})" aria-hidden="true"></i>{words}</span>'


def chart(lines: dict[str, Sequence[tuple[int, float]]], moments: Sequence[tuple[int, float, str]], words: str) -> str:
    """The frame that charts.js would draw, with lines in it that it can move."""
    drawn = "".join(
        f'<path class="gst-line" data-line="{name}" style="stroke:var({colour});stroke-width:{width}px'
        f'{f";stroke-dasharray:{dash}" if dash else ""}" d="{_path(lines.get(name, ()))}"/>'
        for name, (colour, dash, width) in LINES.items()
    )
    grid = "".join(f"M0 {_top(y):.2f}H100" for y in (20, 40, 60, 80))
    rates = "".join(f'<path class="gst-milestone" d="M{_left(m - 0.5):.2f} 0V100"/>' for m in MILESTONES)
    spans = [
        ("gst-milestone-name", f"left:{_left(m - 0.5):.2f}%", name) for m, name in zip(MILESTONES, ("rate ÷10", "÷100"))
    ]
    spans += [("gst-tick gst-tick-x", f"left:{_left(x):.2f}%", str(x)) for x in (0, 20, 40)]
    spans += [("gst-tick gst-tick-y", f"top:{_top(y):.2f}%", str(y)) for y in (20, 40, 60, 80)]
    spans += [
        ("gst-moment", f"left:{_left(x):.2f}%;top:{_top(100 * y):.2f}%", f"<b>{text[0]}</b>{text[1:]}")
        for x, y, text in moments
    ]
    labels = "".join(f'<span class="{kind}" style="{style}">{text}</span>' for kind, style, text in spans)
    return (
        f'<div class="gst-chart" role="img" aria-label="{html.escape(words)}"><div class="gst-plot" aria-hidden="true">'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none"><path class="gst-gridlines" d="{grid}"/>{rates}{drawn}</svg><svg></svg>'
        f'<span class="gst-axis-y">test accuracy (%)</span><span class="gst-axis-x">epoch</span>{labels}</div></div>'
    )


def _left(epoch: float) -> float:
    return 100 * epoch / (EPOCHS - 1)


def _top(percent: float) -> float:
    return 100 - 100 * (percent - LOW) / (HIGH - LOW)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if i else 'M'}{_left(x):.2f} {_top(100 * y):.2f}" for i, (x, y) in enumerate(points))


def _choice(name: str, kind: str, options: dict[str, str], pressed: str) -> str:
    buttons = "".join(
        f'<button type="button" aria-pressed="{str(value == pressed).lower()}" data-value="{value}">{words}</button>'
        for value, words in options.items()
    )
    return f'<div class="gst-choice" role="group" aria-label="{name}" data-switch="{kind}"><span>{name}</span><span class="gst-options">{buttons}</span></div>'


SWITCHES = _choice("Weight decay", "decay", {"off": "off", "on": "on"}, "off") + _choice(
    "The head reads", "head", {"positions": "positions", "averages": "averages"}, "positions"
)

LISTEN = """<div class="gst-listen"><section><p class="gst-head">One signal goes in</p><div class="gst-chart" role="img" aria-label="A test signal"></div><p class="gst-note"></p><div class="gst-controls"><button type="button" disabled>Try another signal</button></div></section>
<section><p class="gst-head">and this filter responds</p><div class="gst-chart" role="img" aria-label="One filter's channel"><p class="gst-note">Point at a filter.</p></div><p class="gst-note"></p></section></div>
"""


def container(first: dict, words: str, film: dict | None = None, channels: bool = False) -> str:
    """The figure in the element that asks for it; `words` are what a reader without scripts is told beside it."""
    kept = {name: first[name] for name in ("accuracy", "classes", "profiles", "curve")}
    data = f" data-first='{html.escape(json.dumps(kept, separators=(',', ':')), quote=False)}'"
    if film:
        data += f" data-film='{html.escape(json.dumps(film, separators=(',', ':')), quote=False)}'"
    return f'<div data-gst-live="click"{" data-channels" if channels else ""}{data}>\n<noscript>{words}</noscript>\n{click_figure(first, film, channels)}\n</div>'
