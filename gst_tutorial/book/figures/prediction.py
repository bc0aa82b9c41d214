"""Questions that ask for a guess first and then show what was measured next to it. ::

    predict("Half of the filters go. Which network ends higher?", {"pruned": gain, "left alone": 0.0}, name="guess-end",
            usual="left alone", model="Fewer filters, less capacity", explanation="...")

The measured numbers are arguments of the call: estimates or floats. The page contains them from the start, folded, so that
question and answer can be read as text without scripts or in print. The numbers decide the kind of question:

- numbers by name: which of the bars is the tallest?
- one number, with `options`: in which of these ranges does it lie?
- one number, with `axis`: where on this line?
- numbers by number, with `axis`: draw the curve.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gst_tutorial import _arguments as check
from gst_tutorial.book.figures import card

if TYPE_CHECKING:
    from IPython.display import HTML

    from gst_tutorial.statistics import Estimate

    Number = Estimate | float

SHEET = card.sheet("prediction")
SCRIPT = card.script("prediction")
MOST_STOPS = 400  # of one slider; on a telephone, more would be finer than a pixel
MOST_POINTS = 8  # of a curve, since each has its own slider


def predict(
    question: str,
    truth: Number | Mapping[str, Number] | Mapping[float, Number],
    *,
    name: str,
    explanation: str,
    options: Mapping[str, tuple[float, float]] | None = None,
    pick: str = "largest",
    axis: tuple[float, float] | None = None,
    step: float | None = None,
    usual: str | float | Mapping[float, float] | None = None,
    model: str = "",
    label: str = "",
    x_label: str = "",
    x_unit: str = "",
    scale: float = 1.0,
    unit: str = "",
    number: str = "+.1f",
    caption: str = "",
) -> HTML:
    """Build a question that shows what was measured only after the reader has committed to a guess.

    Args:
        question: one sentence that can be answered by a guess.
        truth: the measured values, as estimates (drawn with their intervals) or floats. A mapping from names asks which
            option is the largest; one number asks for a range (`options`) or a place (`axis`); a mapping from 2 to 8
            numbers asks for a curve over them.
        name: the id of the figure on its page, as in `slider_figure`.
        explanation: one sentence that says why, shown with the answer.
        options: with one number, the answers to choose among, each with its range in the unit of the text (after
            `scale`): {"falls": (-100, -1), "stays": (-1, 1)}. The right one is the one whose range contains the number.
        pick: with numbers by name, whether the "largest" or the "smallest" is right.
        axis: with a place or a curve, the ends of the axis of guesses, in the unit of the text.
        step: between two guesses on the axis; None takes a round number that gives 20 to 50 steps.
        usual: the prediction of a common wrong model, in the form of an answer: an option, a number, or a number per x.
        model: that model in a few words, required with `usual`: "Fewer filters, less capacity".
        label: the name of the guessed number, required with `axis`.
        x_label, x_unit: name and unit of the curve's x.
        scale: factor from `truth` to the text; 100 for percentage points of accuracy.
        unit: text after each number: " points".
        number: format of a number in the text, as in f"{3.14:+.1f}".
        caption: the line below the figure.

    Returns:
        IPython's `HTML`, the value of a cell: one self-contained string (its `data`), escaped, equal for equal arguments.

    Raises:
        ValueError, TypeError: an argument does not fit the others.

    >>> predict("Up or down?", 0.02, name="guess", explanation="It was measured.",
    ...         options={"up": (0, 100), "down": (-100, 0)}, scale=100, unit=" points").data[:7]
    '<figure'
    """
    card.text("question", question)
    card.text("explanation", explanation)
    for argument, value in (("label", label), ("x_label", x_label), ("x_unit", x_unit), ("unit", unit)):
        card.text(argument, value, empty=True)
    card.text("caption", caption, empty=True)
    card.text("model", model, empty=usual is None)
    card.identifier(name)
    check.real("scale", scale)
    say = _Words(scale, unit, number)
    if isinstance(truth, Mapping) and truth and all(isinstance(key, str) for key in truth):
        _unused("numbers by name", options=options, axis=axis, step=step)
        parts = _bars(truth, pick, usual, say)
    elif isinstance(truth, Mapping):
        _unused("a curve", options=options)
        parts = _axis("curve", _points(truth), axis, step, usual, label, say, x_label, x_unit)
    elif options is not None:
        _unused("ranges", axis=axis, step=step)
        parts = _ranges(truth, options, usual, say)
    elif axis is not None:
        parts = _axis("place", {None: truth}, axis, step, usual, label, say, x_label, x_unit)
    else:
        raise ValueError("truth is one number: name the options to choose among, or the axis to place it on.")
    controls, data, measured, expected = parts
    return card.show(_figure(question, name, explanation, model, caption, controls, data, measured, expected))


class _Words:
    """Formats numbers for the text, with `scale` and `unit`."""

    def __init__(self, scale: float, unit: str, number: str):
        try:
            format(0.0, number)
        except (ValueError, TypeError):
            raise ValueError(f"number={number!r} must be a format of a float, such as '+.1f'.") from None
        self.scale, self.unit, self.number = scale, unit, number

    def bare(self, value: float) -> str:
        return format(value, self.number)

    def short(self, value: float) -> str:
        return f"{self.bare(value)}{self.unit}"

    def read(self, argument: str, value: Number) -> dict:
        """Return value and interval in the unit of the text, and as text."""
        ends, seeds = (None, None), 0
        if hasattr(value, "low"):
            ends, seeds, value = (value.low, value.high), value.n_seeds, value.value
        value = float(self.scale * check.real(argument, value))
        if not math.isfinite(value):
            raise ValueError(f"{argument} is {value!r}; it must be finite.")
        found = {"value": value, "short": self.short(value), "low": None, "high": None}
        found["text"] = found["cell"] = found["short"]
        if None not in ends and all(math.isfinite(end) for end in ends):
            found["low"], found["high"] = sorted(float(self.scale * end) for end in ends)
            interval = f"{self.bare(found['low'])} to {self.bare(found['high'])}"
            found["text"] += f" (95% interval {interval}, {seeds} seeds)"
            found["cell"] += f" ({interval})"
            found["seeds"] = seeds
        return found


def _unused(kind: str, **arguments) -> None:
    for argument, value in arguments.items():
        if value is not None:
            raise ValueError(f"{argument}={value!r} does not go with {kind}.")


def _choose(options: list[str], answer: int, usual, data: dict) -> tuple[str, dict]:
    """Return the radio buttons and the data that the script needs for them."""
    card.texts("options", options)
    if len(options) < 2:
        raise ValueError(f"options={options!r} must be at least 2.")
    if usual is not None:
        check.one_of("usual", usual, options)
    rows = "".join(
        f'<label><input type="radio" name="gst" value="{i}" {card.KEYS}><span class="gst-option">{html.escape(option)}'
        f"</span></label>"
        for i, option in enumerate(options)
    )
    data |= {
        "kind": "choose",
        "options": options,
        "answer": answer,
        "usual": None if usual is None else options.index(usual),
    }
    return f'<fieldset class="gst-options"><legend>Your guess</legend>{rows}</fieldset>', data


def _bars(truth: Mapping[str, Number], pick: str, usual, say: _Words):
    check.one_of("pick", pick, ("largest", "smallest"))
    options = list(truth)
    found = [say.read(f"truth[{option!r}]", value) for option, value in truth.items()]
    values = [each["value"] for each in found]
    best = (max if pick == "largest" else min)(values)
    if values.count(best) > 1:
        raise ValueError(f"truth has several options that are the {pick} ({best:g}): no guess would be the right one.")
    ends = [0.0, *(each[end] for each in found for end in ("value", "low", "high") if each[end] is not None)]
    low, high = min(ends), max(ends)
    data = {"bars": [_shares(each, low, high) for each in found], "zero": _share(0.0, low, high)}
    controls, data = _choose(options, values.index(best), usual, data)
    data["measured"] = f"{options[data['answer']]}, {found[data['answer']]['text']}"
    measured = [f"{option}: {each['text']}" for option, each in zip(options, found, strict=True)]
    return controls, data, measured, [usual] if usual is not None else []


def _ranges(truth: Number, options: Mapping[str, tuple[float, float]], usual, say: _Words):
    if not isinstance(options, Mapping):
        raise TypeError(f"options={options!r} must be a mapping from each answer to its range (low, high).")
    found = say.read("truth", truth)
    holds = []
    for option, ends in options.items():
        low, high = _ends(f"options[{option!r}]", ends)
        if low <= found["value"] < high:
            holds.append(option)
    if len(holds) != 1:
        which = " and ".join(map(repr, holds)) or "none"
        raise ValueError(
            f"options: the ranges that hold the truth, {found['short']}, are {which}; it must be exactly one."
        )
    controls, data = _choose(list(options), list(options).index(holds[0]), usual, {"bars": None})
    data["measured"] = f"{holds[0]}, {found['text']}"
    return controls, data, [data["measured"]], [usual] if usual is not None else []


def _ends(argument: str, ends) -> tuple[float, float]:
    try:
        low, high = ends
    except (TypeError, ValueError):
        raise TypeError(f"{argument}={ends!r} must be two numbers (low, high).") from None
    low, high = (float(check.real(f"{argument}[{i}]", end)) for i, end in enumerate((low, high)))
    if not low < high:
        raise ValueError(f"{argument}={ends!r}: the first number must be below the second.")
    return low, high


def _points(truth: Mapping[float, Number]) -> dict[float, Number]:
    if not 2 <= len(truth) <= MOST_POINTS:
        raise ValueError(f"truth has {len(truth)} points; a curve has 2 to {MOST_POINTS}.")
    points = {float(check.real("x of truth", x)): value for x, value in truth.items()}
    if not all(map(math.isfinite, points)):
        raise ValueError(f"x of truth must be finite, not {list(points)!r}.")
    return dict(sorted(points.items()))


def _axis(kind: str, truth: Mapping, axis, step, usual, label: str, say: _Words, x_label: str, x_unit: str):
    """Build a place (one point, whose x is None) or a curve, with a slider per point."""
    if axis is None:
        raise ValueError("axis is missing: a curve needs the ends of the axis of guesses, (low, high).")
    low, high = _ends("axis", axis)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"axis={axis!r} must be finite.")
    card.text("label", label)
    if kind == "curve":
        card.text("x_label", x_label)
    stops = _stops(low, high, step)
    names = [None if x is None else f"{x:g}{x_unit}" for x in truth]
    where = ["truth" if x is None else f"truth[{x:g}]" for x in truth]
    found = [say.read(at, value) for at, value in zip(where, truth.values(), strict=True)]
    guesses = _usual(kind, truth, usual)
    for at, each in [*zip(where, found, strict=True), *(("usual", {"value": g}) for g in guesses)]:
        if not low <= each["value"] <= high:
            raise ValueError(f"axis={axis!r} must hold {at}, which is {each['value']:g}.")
    start = min(range(len(stops)), key=lambda i: (abs(stops[i] - (0 if low <= 0 <= high else (low + high) / 2)), i))
    xs = list(truth)
    span = (xs[-1] - xs[0]) if kind == "curve" else 0
    data = {
        "kind": kind,
        "stops": [say.short(stop) for stop in stops],
        "at": [_share(stop, low, high) for stop in stops],
        "x": [round(0.06 + 0.88 * (x - xs[0]) / span, 4) for x in xs] if span else [0],
        "names": names,
        "x_label": x_label,
        "caption": _intervals(found),
        "truth": [_shares(each, low, high) for each in found],
        "usual": [{"at": _share(g, low, high), "text": say.short(g)} for g in guesses],
    }
    e = html.escape
    sliders = "".join(
        f"<label><span>{e(label) if x is None else f'{e(x_label)} {e(x)}'}: <b>{e(say.short(stops[start]))}</b></span> "
        f'<input type="range" min="0" max="{len(stops) - 1}" step="1" value="{start}" '
        f'aria-valuetext="{e(say.short(stops[start]))}" {card.KEYS}></label>'
        for x in names
    )
    zero = f'<i class="gst-zero" style="--at:{_share(0.0, low, high)}"></i>' if low < 0 < high else ""
    ends = f"<span>{e(say.bare(low))}</span><span>{e(say.bare(high))}</span>"
    if kind == "place":
        plot = (
            f'<div class="gst-plot gst-line" aria-hidden="true">{zero}</div>'
            f'<div class="gst-low-high" aria-hidden="true">{ends}</div>'
        )
        controls = f'<div class="gst-sliders">{sliders}</div>{plot}'
    else:
        ticks = "".join(f'<span style="--x:{x}">{e(tick)}</span>' for x, tick in zip(data["x"], names, strict=True))
        heading = e(f"{label} ({say.unit.strip()})" if say.unit.strip() else label)
        plot = (
            f'<p class="gst-note" aria-hidden="true">{heading}: draw with the mouse or a finger, or use the sliders.</p>'
            f'<div class="gst-graph" aria-hidden="true"><div class="gst-low-high">{ends}</div>'
            f'<div class="gst-plot gst-curve">{zero}</div><div class="gst-ticks" style="--n:{len(names)}">{ticks}</div>'
            f'<p class="gst-note">{e(x_label)}</p></div>'
        )
        controls = f'{plot}<fieldset class="gst-sliders"><legend>{e(label)}</legend>{sliders}</fieldset>'
    measured = [
        each["text"] if x is None else f"{x_label} {x}: {each['text']}" for x, each in zip(names, found, strict=True)
    ]
    expected = [
        say.short(g) if x is None else f"{x_label} {x}: {say.short(g)}"
        for x, g in zip(names, guesses, strict=bool(guesses))
    ]
    return controls, data, measured, expected


def _usual(kind: str, truth: Mapping, usual) -> list[float]:
    if usual is None:
        return []
    if kind == "place":
        return [float(check.real("usual", usual))]
    if not isinstance(usual, Mapping):
        raise TypeError(f"usual={usual!r} must be a mapping from each x to a number, as truth is.")
    usual = {float(check.real("x of usual", x)): value for x, value in usual.items()}
    if set(usual) != set(truth):
        raise ValueError(f"usual has the x {sorted(usual)!r}; truth has {list(truth)!r}. They must be the same.")
    return [float(check.real(f"usual[{x:g}]", usual[x])) for x in truth]


def _stops(low: float, high: float, step: float | None) -> list[float]:
    """Return the guesses at which the slider can stop."""
    if step is None:
        wanted = (high - low) / 50
        power = 10 ** math.floor(math.log10(wanted))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted * (1 - 1e-9))
    check.real("step", step, 0, high - low, open_low=True)
    n = math.floor((high - low) / step * (1 + 1e-9))
    if n > MOST_STOPS:
        raise ValueError(f"step={step!r} makes {n} steps on axis=({low:g}, {high:g}); at most {MOST_STOPS}.")
    return [round(low + i * step, 10) for i in range(n + 1)]


def _intervals(found: list[dict]) -> str:
    """Explain the brackets in the table of a curve; empty if there are none."""
    seeds = sorted({each["seeds"] for each in found if "seeds" in each})
    several = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else "".join(map(str, seeds))
    return f"In brackets: 95% intervals, {several} seeds." if seeds else ""


def _share(value: float, low: float, high: float) -> float:
    """Return the position of a value along the axis, 0 to 1."""
    return round(min(max((value - low) / (high - low), 0.0), 1.0), 4) if high > low else 0.0


def _shares(found: dict, low: float, high: float) -> dict:
    ends = [None if found[end] is None else _share(found[end], low, high) for end in ("low", "high")]
    return {
        "at": _share(found["value"], low, high),
        "ends": ends,
        **{key: found[key] for key in ("text", "short", "cell")},
    }


def _figure(question, name, explanation, model, caption, controls, data, measured, expected) -> str:
    e = html.escape
    data |= {"model": model, "explanation": explanation}
    listed = f"<p>Choose: {e(' / '.join(data['options']))}.</p>" if data["kind"] == "choose" else ""
    wrong = f"<p>A tempting guess: {e('; '.join(expected))}. {e(_sentence(model))}</p>" if expected else ""
    return f"""\
<figure class="gst-predict gst-card {card.PLAIN_TEXT}" id="{name}" aria-label="{e("Predict: " + question)}">
<style>
{SHEET}</style>
<p class="gst-title"><span>Predict</span> {e(question)}</p>
<div class="gst-controls" style="display:none">{controls}
<button type="button" data-lm-suppress-shortcuts="true">This is my guess</button></div>
<output class="gst-text" aria-live="polite"></output>
<div class="gst-plain">{listed}
<details><summary>Guess first; then open the answer</summary>
<p>Measured: {e("; ".join(measured))}.</p>{wrong}
<p>{e(explanation)}</p></details></div>
<figcaption>{e(caption)}</figcaption>
<script type="application/json">{card.embedded(data)}</script>
</figure>
<script>
{SCRIPT}</script>
""".replace("<figcaption></figcaption>\n", "")


def _sentence(words: str) -> str:
    return words if words.rstrip().endswith((".", "!", "?")) else words.rstrip() + "."
