"""Write the map of the argument: every explanation that the book tests, and what the recorded results say about it.

python -m tools.pages.story            # write book/figures/story.html
python -m tools.pages.story --check    # exit 1 if the file differs from what the recorded results give

Each explanation makes predictions. Its tests are the comparisons in which the explanations predict different things. They are
evaluated like the tests of the claims ledger, with one Holm correction for all tests of an explanation. The verdict follows from
them by the rules in `FATES`.

On the page, a row of the map stays closed until the reader has made a guess in each of its chapters (`story.js`).
"""

from __future__ import annotations

import dataclasses
import html
import re
import sys
from collections.abc import Callable
from pathlib import Path

import gst_tutorial as gst
from gst_tutorial import statistics
from gst_tutorial.book.figures import plots
from gst_tutorial.book.figures.slider import figure_frames, picture
from gst_tutorial.book.studies import claims
from gst_tutorial.book.studies.book import pipeline_configs
from gst_tutorial.book.studies.claims import (
    ABOVE,
    AGREES,
    BELOW,
    CONTROL,
    DOSES,
    NEGLIGIBLE,
    NO_EFFECT,
    NO_GAIN,
    NO_LOSS,
    OPEN,
    OPPOSITE,
    Result,
    Test,
    at_dose,
    gain,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book" / "figures" / "story.html"
SCRIPT = Path(__file__).with_name("story.js")
SUPPORTED, PARTLY, RULED_OUT, UNDECIDED = "supported", "supported in part", "not supported", "open"
#: How the verdict on an explanation follows, in words for the reader.
FATES = {
    SUPPORTED: "every test came out as predicted",
    PARTLY: "some did, and some did not",
    RULED_OUT: "none did, and at least one shows the opposite, or an effect too small to matter",
    UNDECIDED: "none did, but none contradicts the explanation either",
}
COLORS = {AGREES: "blue", OPPOSITE: "vermilion", NEGLIGIBLE: "black", NO_EFFECT: "black", OPEN: "black"}


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One possible reason why pruning or a jolt improves a network.

    Attributes:
        name: the explanation in a few words.
        predicts: what we should see if it is right.
        chapters: file names of the chapters that test it.
        tests: the comparisons that decide.
        draw: draws the deciding figure, small and without words; by default the intervals of the tests.
        seen: alternative text for that drawing.
    """

    name: str
    predicts: str
    chapters: tuple[str, ...]
    tests: tuple[Test, ...]
    draw: Callable | None = None
    seen: str = ""


def fate(results: list[Result]) -> str:
    """Return the verdict on an explanation, one of `FATES`, from the results of its tests."""
    outcomes = {r.outcome for r in results}
    if AGREES in outcomes:
        return SUPPORTED if outcomes == {AGREES} else PARTLY
    return RULED_OUT if outcomes & {OPPOSITE, NEGLIGIBLE, NO_EFFECT} else UNDECIDED


# ---- the explanations ----

WAYS = {"at init": "none", "2 events": "largest", "19 events": "smallest"}


def _what(what: str, what_says: str, against: str, predicted: str, rate: float = 2e-3) -> Test:
    arms = ({"what": each, "learning_rate": rate} for each in (what, against))
    return gain(what_says, "anatomy", *arms, predicted)


def _with_sam() -> Test:
    def values():
        runs = claims.recorded("flatness-cause")
        together, alone = (
            statistics.paired_differences(
                runs, {"what": "redirect", "sam_radius": r}, {"what": "none", "sam_radius": r}
            )
            for r in (0.1, 0.0)
        )
        return (together - alone).dropna()

    return Test("gain of new directions with SAM (radius 0.1) minus without", "flatness-cause", values, BELOW)


def _on_photographs(what: str, what_says: str, against: str, predicted: str) -> Test:
    return gain(f"photographs: {what_says}", "photographs", what, against, predicted)


UNSEEN = "filters shortened without changing a prediction, against no jolt"
NEW = "filters turned to new directions, against no jolt"


def dose_by_way(figure):
    """Draw the gain against the dose, for pruning at initialization and in two events."""
    runs = claims.recorded("dose-way-end")
    runs = runs[runs.end.isna() | (runs.end == 23)]
    ax = _small(figure, "dose", "gain")
    for way in ("at init", "2 events"):
        table = statistics.gains(runs[runs.way.isin(["none", way])])
        error = 100 * abs(table[["low", "high"]].sub(table.gain, axis=0).to_numpy().T)
        ax.errorbar(table.dose, 100 * table.gain, yerr=error, capsize=1, ms=5, **gst.figures.look(WAYS[way]))
    ax.axhline(0, **plots.ZERO)


def drop_by_way(figure):
    """Draw the gain against instability, with a line from two events to nineteen at each dose."""
    runs = claims.recorded("dose-way-end")
    runs = runs[(runs.end == 23) | (runs.way == "none")]
    ax = _small(figure, "instability", "gain")
    table = statistics.gains(runs[runs.way.isin(["none", "2 events", "19 events"])])
    for dose, part in table.groupby("dose"):
        if dose < 0.9:
            ax.plot(part.instability, 100 * part.gain, color="#767676", linewidth=1)
            for way, row in part.set_index("way").iterrows():
                style = {**gst.figures.look(WAYS[way]), "linestyle": ""}
                error = [[100 * (row.gain - row.low)], [100 * (row.high - row.gain)]]
                ax.errorbar(row.instability, 100 * row.gain, yerr=error, ms=6, capsize=1, **style)
    ax.axhline(0, **plots.ZERO)


def intervals(results: list[Result]) -> Callable:
    """Return a function that draws one row per test: its interval, with the outcome as color and marker."""

    def draw(figure):
        ax = _small(figure, "", "")
        for row, r in enumerate(results):
            scale = claims.BOUNDS[r.test.unit]  # so that 1 is the bound, in both units
            ends = [[(r.estimate.value - r.estimate.low) / scale], [(r.estimate.high - r.estimate.value) / scale]]
            color = gst.figures.PALETTE[COLORS[r.outcome]]
            filled = {"markerfacecolor": color if r.outcome in (AGREES, OPPOSITE) else "white"}
            marker = {AGREES: "o", OPPOSITE: "X"}.get(r.outcome, "s")
            ax.errorbar(r.estimate.value / scale, row, xerr=ends, marker=marker, ms=6, color=color, capsize=1, **filled)
        ax.axvline(0, **plots.ZERO)
        ax.set(ylim=(len(results) - 0.5, -0.5), yticks=[], xticks=[0])
        ax.set_xticklabels(["no effect"], fontsize=12)
        ax.tick_params(labelbottom=True)
        ax.spines["left"].set_visible(False)

    return draw


def _small(figure, x: str, y: str):
    ax = figure.subplots()
    ax.set_xlabel(x, fontsize=12)
    ax.set_ylabel(y, fontsize=12)
    ax.tick_params(labelbottom=False, labelleft=False, length=0)
    ax.grid(False)
    return ax


PHOTOGRAPHS = Explanation(
    "It works on photographs, too",
    "Pruning improves networks on photographs, and so does shortening filters, which helped on signals.",
    ("08_real_images",),
    (
        _on_photographs("random, 80%", "80% of one layer in three events, against no pruning", "none", ABOVE),
        _on_photographs("the paper's protocol, unstable", "the paper's four layers, in large events, against no pruning",
                        "none", ABOVE),
        _on_photographs("shrink, unseen", UNSEEN, "none", ABOVE),
    ),
)  # fmt: skip
TREE: dict[str, list[Explanation]] = {
    "Because something was removed": [
        Explanation(
            "Size: a smaller network overfits less",
            "Removing filters before training helps as much as during it, and a jolt that removes nothing doesn't help.",
            ("03_the_tradeoff", "04_noise_injection", "06_what_a_jolt_is_made_of", "08_real_images"),
            (
                *(
                    gain(f"{d:.0%} removed before training, against none", "dose-way-end", at_dose("at init", d),
                         {"way": "none"}, ABOVE)
                    for d in DOSES
                ),
                _what("prune 80%", "80% removed in events, against before training", "prune 80% at init", NO_GAIN),
                _what("zero", "half zeroed nine times, nothing removed, against no jolt", "none", NO_GAIN),
                _on_photographs("at init, 80%", "80% removed before training, against none", "none", ABOVE),
            ),
            dose_by_way,
            "Gain against the fraction removed, before training and in two events. Both curves rise, then fall.",
        ),
    ],
    "Because something was disturbed": [
        Explanation(
            "The drop: the more an event hurts, the better",
            "At equal dose, with the same first and last event, two large events beat nineteen small ones, and a drop "
            "helps even on its own.",
            ("03_the_tradeoff", "06_what_a_jolt_is_made_of", "08_real_images"),
            (
                *(
                    gain(f"{d:.0%} in two events, against nineteen", "dose-way-end", at_dose("2 events", d),
                         at_dose("19 events", d), ABOVE)
                    for d in DOSES
                ),
                *(
                    gain(f"a drop undone after one batch, {filters}, against no pruning", "noise",
                         {"way": way, "batches": 1}, claims.NONE, ABOVE)
                    for way, filters in
                    (("zero and restore", "new filters"), ("zero cumulatively and restore", "all filters so far"))
                ),
                _on_photographs("random, 80%, 2 events", "80% in two events, against thirteen", "random, 80%, 13 events", ABOVE),
            ),
            drop_by_way,
            "Gain against the drop. At each dose, a line joins two events (a large drop) and nineteen events (a small drop).",
        ),
        Explanation(
            "Noise: the disturbance at an event regularizes",
            "Nothing has to be removed. But a jolt that changes no prediction at the event gains nothing.",
            ("04_noise_injection", "06_what_a_jolt_is_made_of"),
            (
                *(
                    gain(f"{way} for 90 batches, against no pruning", "noise", {"way": way, "batches": 90}, claims.NONE, ABOVE)
                    for way in ("zero and restore", "gaussian")
                ),
                _what("shrink, unseen", UNSEEN, "none", NO_GAIN),
            ),
        ),
        Explanation(
            "Flatness: disturbances push the network into flatter places",
            "At equal loss, less stable pruning ends flatter. Flattening the network on purpose (with SAM) helps, and "
            "leaves less for jolts to gain.",
            ("05_flatness",),
            (
                *(test for test in claims.CLAIMS["C6"].tests if test.role == CONTROL),
                gain("SAM (radius 0.1) alone, against plain training", "flatness-cause", {"what": "none", "sam_radius": 0.1},
                     {"what": "none", "sam_radius": 0.0}, ABOVE),
                _with_sam(),
            ),
        ),
    ],
    "Because of what the disturbance changes": [
        Explanation(
            "Step length: shorter filters change direction faster",
            "Shortening filters helps even if no prediction changes, lengthening them hurts, and a new direction at the old "
            "length does nothing.",
            ("06_what_a_jolt_is_made_of", "08_real_images"),
            (
                _what("shrink, unseen", UNSEEN, "none", ABOVE),
                _what("grow, unseen", "filters lengthened without changing a prediction, against no jolt", "none", BELOW),
                _what("redirect", NEW, "none", NO_GAIN),
                _on_photographs("shrink, unseen", UNSEEN, "none", ABOVE),
            ),
        ),
        Explanation(
            "Forgetting: part of the network starts over",
            "Turning filters to new directions helps as much as zeroing them. Shortening, which forgets nothing, doesn't help.",
            ("06_what_a_jolt_is_made_of", "08_real_images"),
            (
                _what("redirect", NEW, "none", ABOVE),
                _what("redirect", "filters turned to new directions, against zeroed", "zero", NO_LOSS),
                _what("shrink, unseen", UNSEEN, "none", NO_GAIN),
                _on_photographs("redirect", NEW, "none", ABOVE),
                _on_photographs("zero the head's inputs", "half of the head's inputs zeroed, against no jolt", "none", ABOVE),
            ),
        ),
    ],
    "Because training lacked something": [
        Explanation(
            "The learning rate was simply too small",
            "With a larger learning rate, jolts no longer help.",
            ("06_what_a_jolt_is_made_of",),
            tuple(
                _what(what, f"{what} at a learning rate of 0.01, against no jolt", "none", NO_GAIN, 1e-2)
                for what in ("shrink, unseen", "redirect", "zero", "prune 80%")
            ),
        ),
        Explanation(
            "Good practice: nothing else regularized the network",
            "With weight decay, augmentation or dropout, pruning gains less than a percentage point.",
            ("07_standard_pipelines",),
            tuple(
                gain(f"{optimizer}, {added}: unstable pruning against none", "pipelines",
                     {"trained_with": optimizer, "added": added, "pruning": "unstable"},
                     {"trained_with": optimizer, "added": added, "pruning": "none"}, NO_GAIN)
                for optimizer, added in pipeline_configs() if added != "plain"
            ),
        ),
        Explanation(
            "The head: it could memorize positions",
            "A head that averages over positions is already better on its own. With it, and on signals that are not shifted, "
            "no treatment gains a percentage point.",
            ("07_standard_pipelines",),
            (
                gain("signals, no treatment: a head that averages against one that reads positions", "head-by-data",
                     {"data": "signals", "head": "pooled", "what": "none"},
                     {"data": "signals", "head": "flattened", "what": "none"}, ABOVE),
                *(
                    gain(f"signals, a head that averages: {what}, against no treatment", "head-by-data",
                         {"data": "signals", "head": "pooled", "what": what},
                         {"data": "signals", "head": "pooled", "what": "none"}, NO_GAIN)
                    for what in ("prune 80%", "shrink, unseen", "redirect", "zero the head's inputs")
                ),
                *(
                    gain(f"signals that are not shifted, a head that reads positions: {what}, against no treatment", "unshifted",
                         {"signals": "not shifted", "head": "positions", "what": what},
                         {"signals": "not shifted", "head": "positions", "what": "none"}, NO_GAIN)
                    for what in ("prune 80%", "shrink, unseen", "redirect", "zero the head's inputs")
                ),
            ),
        ),
    ],
    "And on other data?": [PHOTOGRAPHS],
}  # fmt: skip


# ---- the page ----


def story() -> str:
    """Return the map as one HTML string."""
    branches = "".join(
        f'<li><p class="gst-branch">{html.escape(branch)}</p><ul>{"".join(map(_leaf, leaves))}</ul></li>\n'
        for branch, leaves in TREE.items()
    )
    rules = "; ".join(f"<b>{word}</b>: {rule}" for word, rule in FATES.items())
    return f"""\
<div class="gst-story tex2jax_ignore mathjax_ignore">
<p class="gst-root">Why can a network get better when its filters are pruned or disturbed? Possible answers:</p>
<p class="gst-closed" hidden>\
<button type="button">Open the whole map</button></p>
<ul>
{branches}</ul>
<p class="gst-note">Everything here is computed from recorded results. We count only comparisons in which the explanations \
predict different results. {rules}. In the small pictures of intervals, a filled circle means that a test came out as predicted, \
a cross means the opposite, and a hollow square neither.</p>
</div>
<script>
{SCRIPT.read_text(encoding="utf-8")}</script>
"""


def _leaf(each: Explanation) -> str:
    e = html.escape
    results = claims.evaluate(list(each.tests))
    word = fate(results)
    agree = sum(r.outcome == AGREES for r in results)
    count = f"{agree} of {len(results)} tests came out as predicted" if results else FATES[UNDECIDED]
    numbers = [str(int(chapter[:2])) for chapter in each.chapters]
    where = f"chapter {numbers[0]}" if len(numbers) == 1 else f"chapters {', '.join(numbers[:-1])} and {numbers[-1]}"
    links = ", ".join(
        f'<a href="{chapter}.html">chapter {n}</a>' for chapter, n in zip(each.chapters, numbers, strict=True)
    )
    badge = f'<span class="gst-fate" data-fate="{word}">{word}</span>'
    return (
        f"<li><details open><summary><b>{e(each.name)}</b><span hidden>An explanation</span> ({where})</summary>"
        f'<div class="gst-outcome">{_thumbnail(each, results)}<div><p>{badge} {count} ({links}).</p>'
        f'<p>It predicts: {e(each.predicts)}</p></div></div></details><p class="gst-waiting" hidden></p></li>'
    )


def _thumbnail(each: Explanation, results: list[Result]) -> str:
    if not results:
        return '<span class="gst-thumbnail"></span>'
    draw = each.draw or intervals(results)
    [svg] = figure_frames(lambda figure, _: draw(figure), [None], size=(2.4, 1.6))
    address, (width, height) = picture(svg, each.name)
    found = "; ".join(f"{r.test.what}: {_number(r)}, {r.outcome}" for r in results)
    alt = f"{each.seen} {found}." if each.seen else f"Intervals of the tests. {found}."
    return (
        f'<img class="gst-thumbnail" width="{width}" height="{height}" loading="lazy" alt="{html.escape(alt.strip())}" '
        f'src="{html.escape(address)}">'
    )


def _number(r: Result) -> str:
    points = r.test.unit == "points"
    value = f"{100 * r.estimate.value:+.1f} points" if points else f"{r.estimate.value:+.2f}"
    return re.sub(r"-(0\.0+\b)", r"\1", value)


if __name__ == "__main__":
    text = story()
    if "--check" in sys.argv[1:]:
        sys.exit(not (PAGE.exists() and PAGE.read_text(encoding="utf-8") == text))
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)
