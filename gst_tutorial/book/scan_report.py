"""Draw a scan (`figure`) and write it as one HTML file that needs nothing else (`report`)."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from gst_tutorial import __version__
from gst_tutorial.book.figures.style import PALETTE, house_style, look
from gst_tutorial.scanning import RANDOM, summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4  # panels in a row of the figure
MARKERS = {"s": "■", "^": "▲", "P": "✚", "X": "✖", "v": "▼", "D": "◆"}
OTHERS = (("blue", "s", "-"), ("vermilion", "^", "--"), ("purple", "P", ":"), ("orange", "X", "-"), ("sky", "v", "--"))
CSS = """
body { font: 1rem/1.55 system-ui, sans-serif; color: #1d1d1d; background: #fff; max-width: 70rem; margin: auto; padding: 1rem }
h1 { font-size: 1.6rem; line-height: 1.2; overflow-wrap: anywhere } h2 { font-size: 1.2rem; margin-top: 2rem }
p, li { max-width: 44rem } code { overflow-wrap: anywhere }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: .5rem }
.panels img { width: 100%; height: auto }
.table { overflow-x: auto } .table:focus-visible { outline: 2px solid #0072b2 }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600 }
td, th { padding: .2rem .7rem; border-bottom: 1px solid #ccc; white-space: nowrap } td { text-align: right }
td:first-child { text-align: left } summary { cursor: pointer; font-weight: 600 }
"""


def figure(frame: pd.DataFrame, layers: Iterable[str] | None = None, columns: int = COLUMNS) -> Figure:
    """Draw instability against the fraction pruned: a panel per layer, a line per score, a point per random draw.

    Args:
        frame: as `gst.scan` returns it. layers: those to draw; None takes all. columns: panels in a row.

    Returns:
        A matplotlib figure. Bands are two standard errors to each side, from the finite number of held-out examples.
    """
    import matplotlib
    from matplotlib.figure import Figure

    layers = list(frame.layer.unique() if layers is None else layers)
    columns = min(columns, len(layers))
    rows = -(-len(layers) // columns)
    table, looks = summary(frame), _looks(frame)
    low, high = min(0, frame.instability.min()) - 0.05, max(1, frame.instability.max()) + 0.05
    with matplotlib.rc_context({**house_style(4), "savefig.facecolor": "white"}):
        drawn = Figure(figsize=(3.1 * columns, 2.5 * rows), layout="constrained")
        axes = drawn.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for ax in axes.flat[len(layers) :]:
            ax.set_axis_off()
        for ax, layer in zip(axes.flat, layers):
            for name, style in looks.items():
                line = table[(table.layer == layer) & (table.score == name)]
                x, error = 100 * line.fraction, 2 * line.standard_error
                ax.plot(x, line.instability, label=name, markersize=4, **style)
                band = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
                ax.fill_between(x, line.instability - error, line.instability + error, **band)
            draws = frame[(frame.layer == layer) & (frame.score == RANDOM)]
            ax.plot(100 * draws.fraction, draws.instability, ".", color=PALETTE["green"], markersize=3)
            ax.set(title=_short(layer), xlim=(0, 100), ylim=(low, high))
        for ax in axes.flat[max(0, len(layers) - columns) : len(layers)]:  # the lowest of each column
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("filters pruned (%)")
        for ax in axes[:, 0]:
            ax.set_ylabel("instability")
        if len(layers) > 1:
            drawn.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper left", ncols=4, handlelength=2.4)
    return drawn


def _looks(frame: pd.DataFrame) -> dict[str, dict]:
    others = iter(OTHERS * len(frame.score.unique()))
    looks = {}
    for name in frame.score.unique():
        color, marker, linestyle = next(others) if name != RANDOM else (None, None, None)
        own = {"color": PALETTE.get(color), "marker": marker, "linestyle": linestyle}
        looks[name] = look(RANDOM) if name == RANDOM else own
    return looks


def _short(layer: str) -> str:
    text = layer.replace("$", r"\$")  # matplotlib would read a formula
    return text if len(text) <= 28 else f"…{text[-27:]}"


def report(frame: pd.DataFrame, name: str, comparison: pd.DataFrame | None = None) -> str:
    """Write a scan as one HTML page, with its figures inside.

    Args:
        frame: as `gst.scan` returns it. name: of the network, any text.
        comparison: as `planning.compare` returns it; None leaves the plan out.

    Returns:
        The page's text. It loads nothing, and texts in it are escaped.
    """
    table, facts = summary(frame), frame.attrs
    title = f"Scan of {html.escape(name)}"
    parts = [
        f"<h1>{title}</h1>",
        f"<p>We cut filters from one layer at a time, {len(frame)} cuts in all, and looked at {facts['n_examples']:,} held-out "
        f"examples. The uncut network gets {facts['accuracy']:.1%} of them right; it has {facts['parameters']:,} parameters "
        f"and needs {facts['multiply_adds']:,} multiply-adds for an example. <em>Instability</em> is the fraction of that "
        "accuracy that is lost at the moment of the cut: 0 means that nothing changed, 0.5 that half of it is gone, and below 0 "
        "that the accuracy rose.</p>",
        "<h2>Which layers can be cut?</h2>",
        f"<p>{_extremes(table)}</p>",
        f"<p>{_key(frame)}</p>",
        f'<div class="panels">{"".join(_panel(frame, table, layer) for layer in frame.layer.unique())}</div>',
        "<p>A line for each score that chose the filters; the band is two standard errors wide to each side. Each small green "
        "dot is one random draw, and the green line is their mean.</p>",
        "<h2>Does the score know which filters matter?</h2>",
        f"<p>{_against_random(table)}</p>",
        *([] if comparison is None else _plan(comparison, frame.layer.unique())),
        "<h2>All numbers</h2>",
        "<details><summary>Every layer, fraction and score</summary>",
        _table(_all_numbers(table), "All cuts"),
        "</details>",
        "<h2>What we did not show</h2><ul>",
        "<li>The standard error contains the finite number of held-out examples and nothing else. Another training run of the "
        "same network may have another ranking of layers.</li>",
        "<li>Each cut is measured alone. The losses of several cuts need not add up, which is why a plan is measured as a "
        "whole, on other examples.</li>",
        "<li>Instability is the loss at once. Training afterwards may win it back; scan with a recipe to see how much.</li>",
        "<li>A cut saves parameters only where a filter can be taken out. On a residual stream, other layers still write to "
        "the channel, so one layer alone saves nothing.</li></ul>",
        f"<p><small>Written by gst-tutorial {__version__}.</small></p>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{CSS}</style></head>\n<body><main>\n' + (
        "\n".join(parts) + "\n</main></body></html>\n"
    )


def _key(frame: pd.DataFrame) -> str:
    return " &ensp; ".join(
        f'<span style="color: {each["color"]}" aria-hidden="true">{MARKERS[each["marker"]]}</span>&nbsp;{html.escape(name)}'
        for name, each in _looks(frame).items()
    )


def _in_words(row) -> str:
    return f"{row.instability:.2f} ± {2 * row.standard_error:.2f}"


def _extremes(table: pd.DataFrame) -> str:
    middle = min(table.fraction, key=lambda fraction: abs(fraction - 0.5))
    rows = table[(table.fraction == middle) & (table.score == table.score.iloc[0])].sort_values("instability")
    first, last = rows.iloc[0], rows.iloc[-1]
    text = (
        f"With {middle:.0%} of its filters cut by {html.escape(first.score)}, <code>{html.escape(first.layer)}</code> has the "
        f"smallest instability, {_in_words(first)}"
    )
    if len(rows) > 1:
        text += f", and <code>{html.escape(last.layer)}</code> the largest, {_in_words(last)}"
    return text + " (two standard errors)."


def _against_random(table: pd.DataFrame) -> str:
    wide = table.pivot_table(index=["layer", "fraction"], columns="score", values="instability")
    if RANDOM not in wide or wide.shape[1] == 1:
        return "That needs a score and random draws in the same scan: <code>--scores l2,random</code>."
    counts = [
        f"{html.escape(name)} lost less than the mean of the random draws in {int((wide[name] < wide[RANDOM]).sum())} of "
        f"{len(wide)} cuts, and more in {int((wide[name] > wide[RANDOM]).sum())}"
        for name in wide.columns.drop(RANDOM)
    ]
    return f"{'; '.join(counts)}. A score that knows nothing would come out about as often on either side."


def _panel(frame: pd.DataFrame, table: pd.DataFrame, layer: str) -> str:
    file = io.BytesIO()
    figure(frame, [layer]).savefig(file, format="svg", metadata={"Date": None})
    picture = base64.b64encode(file.getvalue()).decode()
    ends = [
        f"{name}: {rows.instability.iloc[0]:.2f} at {rows.fraction.iloc[0]:.0%} of the filters pruned, "
        f"{rows.instability.iloc[-1]:.2f} at {rows.fraction.iloc[-1]:.0%}"
        for name, rows in table[table.layer == layer].groupby("score", sort=False)
    ]
    alt = html.escape(f"Instability of layer {layer}. {'; '.join(ends)}.")
    return f'<img src="data:image/svg+xml;base64,{picture}" alt="{alt}">'


def _plan(comparison: pd.DataFrame, layers: Iterable[str]) -> list[str]:
    facts = comparison.attrs
    e, (unit, left) = facts["difference"], facts["budget"]
    verdict = {
        1: "The greedy plan is better here",
        -1: "The uniform cut is better here",
        0: "The two are not distinguishable here",
    }
    keep = pd.DataFrame({"greedy": facts["greedy"], "uniform": facts["uniform"]})
    keep = keep.reindex([layer for layer in layers if layer in keep.index])
    keep = keep.map(lambda n: "all" if pd.isna(n) else f"{n:.0f}").rename_axis("filters kept in layer").reset_index()
    shown = comparison.rename_axis("network").reset_index()
    for column in ("accuracy", "parameters", "multiply_adds"):
        shown[column] = shown[column].map("{:.1%}".format)
    shown = shown.rename(
        columns={
            "parameters": "parameters saved",
            "multiply_adds": "multiply-adds saved",
            "milliseconds": f"ms for {min(100, facts['n_examples'])} examples",
            "standard_error": "standard error",
        }
    )
    return [
        f"<h2>A plan that leaves {left:.0%} of the {html.escape(unit)}</h2>",
        f"<p>The plan cuts, step by step, where this scan found the least instability for what the cut saves. Layers that "
        "save nothing when they are cut alone are left out. We compare it with cutting the others by one same fraction, on "
        f"{facts['n_examples']:,} examples that the scan has not seen. "
        f"{verdict[e.sign]}: its accuracy minus that of the uniform cut is {100 * e.value:+.1f} percentage points (95% "
        f"interval over examples: {100 * e.low:+.1f} to {100 * e.high:+.1f}), before any training.</p>",
        _table(shown.round(3), "The plan and the uniform cut, measured"),
        _table(keep, "Filters that each layer keeps"),
    ]


def _all_numbers(table: pd.DataFrame) -> pd.DataFrame:
    columns = [*("layer", "fraction", "score", "kept", "instability", "standard_error", "spread", "parameters")]
    columns += ["multiply_adds", *(["trained_accuracy"] if "trained_accuracy" in table else [])]
    names = {"kept": "filters kept", "standard_error": "standard error", "spread": "spread over draws"}
    names |= {"parameters": "parameters saved", "multiply_adds": "multiply-adds saved"}
    return table[columns].round(3).rename(columns={**names, "trained_accuracy": "accuracy after training"})


def _table(table: pd.DataFrame, label: str) -> str:
    text = table.to_html(index=False, border=0, na_rep="", justify="unset")
    return f'<div class="table" tabindex="0" role="region" aria-label="{html.escape(label)}">{text}</div>'
