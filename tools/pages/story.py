"""The story map: the explanations of the book as a tree, each with what decided it, from recorded results.

python -m tools.pages.story            # write book/figures/story.html
python -m tools.pages.story --check    # exit 1 if the file is not what the recorded results give

An explanation predicts some numbers. Its tests are those in which explanations differ; they are evaluated as those of the
ledger are, corrected together (Holm). What becomes of it follows by rule, see `FATES`.
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
SUPPORTED, PARTLY, RULED_OUT, UNDECIDED = "supported", "supported in part", "ruled out", "open"
#: How the fate of an explanation follows, for the reader.
FATES = {
    SUPPORTED: "every test came out as the explanation predicts",
    PARTLY: "some did",
    RULED_OUT: "none did, and at least one shows the opposite, or that the effect is smaller than the bound",
    UNDECIDED: "none did, and none speaks against it",
}
COLORS = {AGREES: "blue", OPPOSITE: "vermilion", NEGLIGIBLE: "black", NO_EFFECT: "black", OPEN: "black"}


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One idea of why a network ends better after a hit.

    Attributes:
        name: in a few words. predicts: what should then be seen. chapters: where it is tested, by file name.
        tests: the ones that decide. draw: draws the deciding figure, small and without words; None: the tests' intervals.
        seen: what that drawing shows, for who cannot see it.
    """

    name: str
    predicts: str
    chapters: tuple[str, ...]
    tests: tuple[Test, ...]
    draw: Callable | None = None
    seen: str = ""


def fate(results: list[Result]) -> str:
    """The fate of an explanation, from the results of its tests, see `FATES`."""
    outcomes = {r.outcome for r in results}
    if AGREES in outcomes:
        return SUPPORTED if outcomes == {AGREES} else PARTLY
    return RULED_OUT if outcomes & {OPPOSITE, NEGLIGIBLE, NO_EFFECT} else UNDECIDED


# ---- the explanations ----

WAYS = {"at init": "none", "2 events": "largest", "19 events": "smallest"}


def _what(what: str, what_says: str, against: str, predicted: str, rate: float = 2e-3) -> Test:
    arms = ({"what": each, "learning_rate": rate} for each in (what, against))
    return gain(what_says, "anatomy", *arms, predicted)


def _beside_sam() -> Test:
    def values():
        runs = claims.recorded("flatness-cause")
        beside, alone = (
            statistics.paired_differences(
                runs, {"what": "redirect", "sam_radius": r}, {"what": "none", "sam_radius": r}
            )
            for r in (0.1, 0.0)
        )
        return (beside - alone).dropna()

    return Test("gain of new directions beside SAM (radius 0.1) minus without it", "flatness-cause", values, BELOW)


def _on_photographs(what: str, what_says: str, against: str, predicted: str) -> Test:
    return gain(f"photographs: {what_says}", "photographs", what, against, predicted)


UNSEEN = "filters shortened with no prediction changed, against no hit"
NEW = "filters turned to new directions, against no hit"


def dose_by_way(figure):
    """Gain against dose, at initialization and in two events."""
    runs = claims.recorded("dose-way-end")
    runs = runs[runs.end.isna() | (runs.end == 23)]
    ax = _small(figure, "dose", "gain")
    for way in ("at init", "2 events"):
        table = statistics.gains(runs[runs.way.isin(["none", way])])
        error = 100 * abs(table[["low", "high"]].sub(table.gain, axis=0).to_numpy().T)
        ax.errorbar(table.dose, 100 * table.gain, yerr=error, capsize=1, ms=5, **gst.figures.look(WAYS[way]))
    ax.axhline(0, **plots.ZERO)


def drop_by_way(figure):
    """Gain against instability at each dose: two events and nineteen joined."""
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
    """A row per test: its interval, its outcome in colour and marker."""

    def draw(figure):
        ax = _small(figure, "", "")
        for row, r in enumerate(results):
            scale = claims.BOUNDS[r.test.unit]  # of both units: 1 is what still counts as none
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
    "It holds on photographs",
    "Pruning gains on photographs, too; and what acted on signals, an unseen shrink, acts there.",
    ("08_real_images",),
    (
        _on_photographs("random, 80%", "80% of one layer in three events, against no pruning", "none", ABOVE),
        _on_photographs("the paper's protocol, unstable", "the paper's layers in few epochs, large events, against no pruning",
                        "none", ABOVE),
        _on_photographs("shrink, unseen", UNSEEN, "none", ABOVE),
    ),
)  # fmt: skip
TREE: dict[str, list[Explanation]] = {
    "Because something is gone": [
        Explanation(
            "Size: a smaller network overfits less",
            "Removed before training helps as much as removed in events; a hit that removes nothing does not help.",
            ("03_the_tradeoff", "04_noise_injection", "06_what_a_jolt_is_made_of", "08_real_images"),
            (
                *(
                    gain(f"{d:.0%} removed before training, against none", "dose-way-end", at_dose("at init", d),
                         {"way": "none"}, ABOVE)
                    for d in DOSES
                ),
                _what("prune 80%", "80% removed in events, against before training", "prune 80% at init", NO_GAIN),
                _what("zero", "half zeroed nine times, nothing removed, against no hit", "none", NO_GAIN),
                _on_photographs("at init, 80%", "80% removed before training, against none", "none", ABOVE),
            ),
            dose_by_way,
            "Gain against the share removed, for filters removed before training and in two events: both curves rise, then fall.",
        ),
    ],
    "Because something happened": [
        Explanation(
            "The drop: the less stable, the better",
            "At one dose, with the same first and last event, two large events beat nineteen small ones; and a drop alone helps.",
            ("03_the_tradeoff", "06_what_a_jolt_is_made_of", "08_real_images"),
            (
                *(
                    gain(f"{d:.0%} in two events, against nineteen", "dose-way-end", at_dose("2 events", d),
                         at_dose("19 events", d), ABOVE)
                    for d in DOSES
                ),
                *(
                    gain(f"a drop undone after one batch, {filters}, against no hit", "noise",
                         {"way": way, "batches": 1}, claims.NONE, ABOVE)
                    for way, filters in
                    (("zero and restore", "new filters"), ("zero cumulatively and restore", "all filters so far"))
                ),
                _on_photographs("random, 80%, 2 events", "80% in two events, against thirteen", "random, 80%, 13 events", ABOVE),
            ),
            drop_by_way,
            "Gain against the drop. A line joins two events (large drop) and nineteen (small drop) of one dose.",
        ),
        Explanation(
            "Noise: the disturbance at an event regularizes",
            "Nothing has to be removed; and a hit that changes no prediction at the event gains nothing, whatever happens later.",
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
            "Flatness: a jolt finds flat places",
            "At equal loss, less stable pruning ends flatter; flattening alone (SAM) gains; beside it a jolt gains less.",
            ("05_flatness",),
            (
                *(test for test in claims.CLAIMS["C6"].tests if test.role == CONTROL),
                gain("SAM (radius 0.1) alone, against plain training", "flatness-cause", {"what": "none", "sam_radius": 0.1},
                     {"what": "none", "sam_radius": 0.0}, ABOVE),
                _beside_sam(),
            ),
        ),
    ],
    "Because of what a hit changes": [
        Explanation(
            "Step length: short filters move further",
            "Shortening helps, seen or not; lengthening harms; a new direction of the old length does nothing.",
            ("06_what_a_jolt_is_made_of", "08_real_images"),
            (
                _what("shrink, unseen", UNSEEN, "none", ABOVE),
                _what("grow, unseen", "filters lengthened with no prediction changed, against no hit", "none", BELOW),
                _what("redirect", NEW, "none", NO_GAIN),
                _on_photographs("shrink, unseen", UNSEEN, "none", ABOVE),
            ),
        ),
        Explanation(
            "Forgetting: a part of the network starts again",
            "A new direction helps as much as zeroing; shortening, which forgets nothing, does nothing.",
            ("06_what_a_jolt_is_made_of", "08_real_images"),
            (
                _what("redirect", NEW, "none", ABOVE),
                _what("redirect", "filters turned to new directions, against zeroed", "zero", NO_LOSS),
                _what("shrink, unseen", UNSEEN, "none", NO_GAIN),
                _on_photographs("redirect", NEW, "none", ABOVE),
                _on_photographs("zero the head's inputs", "half of the head's inputs zeroed nine times", "none", ABOVE),
            ),
        ),
    ],
    "Because something was missing": [
        Explanation(
            "A larger learning rate",
            "With a larger rate, no hit helps any more.",
            ("06_what_a_jolt_is_made_of",),
            tuple(
                _what(what, f"{what} at a rate of 0.01, against no hit", "none", NO_GAIN, 1e-2)
                for what in ("shrink, unseen", "redirect", "zero", "prune 80%")
            ),
        ),
        Explanation(
            "Good practice: it makes up for what was left out",
            "Beside weight decay, augmentation or dropout, pruning gains no point.",
            ("07_standard_pipelines",),
            tuple(
                gain(f"{optimizer}, {added}: unstable pruning against none", "pipelines",
                     {"trained_with": optimizer, "added": added, "pruning": "unstable"},
                     {"trained_with": optimizer, "added": added, "pruning": "none"}, NO_GAIN)
                for optimizer, added in pipeline_configs() if added != "plain"
            ),
        ),
        Explanation(
            "A head that does not learn places by heart",
            "A head that reads means instead of positions gains by itself; beside it no hit gains a point.",
            ("08_real_images",),
            (
                gain("signals, nothing hit: pooled head against flattened", "head-by-data",
                     {"data": "signals", "head": "pooled", "what": "none"},
                     {"data": "signals", "head": "flattened", "what": "none"}, ABOVE),
                *(
                    gain(f"signals, pooled head: {what}, against no hit", "head-by-data",
                         {"data": "signals", "head": "pooled", "what": what},
                         {"data": "signals", "head": "pooled", "what": "none"}, NO_GAIN)
                    for what in ("prune 80%", "shrink, unseen", "redirect", "zero the head's inputs")
                ),
            ),
        ),
    ],
    "And elsewhere?": [PHOTOGRAPHS],
}  # fmt: skip


# ---- the page ----


def story() -> str:
    """The tree as one HTML string."""
    branches = "".join(
        f'<li><p class="gst-branch">{html.escape(branch)}</p><ul>{"".join(map(_leaf, leaves))}</ul></li>\n'
        for branch, leaves in TREE.items()
    )
    rules = "; ".join(f"<b>{word}</b>: {rule}" for word, rule in FATES.items())
    return f"""\
<div class="gst-story tex2jax_ignore mathjax_ignore">
<p class="gst-root">Why can a network end better after its filters were hit?</p>
<ul>
{branches}</ul>
<p class="gst-note">From recorded results. The tests are those in which the explanations differ. {rules}. In the pictures of \
intervals: filled and round, as predicted; a cross, the opposite; a hollow square, neither.</p>
</div>
"""


def _leaf(each: Explanation) -> str:
    e = html.escape
    results = claims.evaluate(list(each.tests))
    word = fate(results)
    agree = sum(r.outcome == AGREES for r in results)
    count = f"{agree} of {len(results)} tests came out as predicted" if results else FATES[UNDECIDED]
    links = ", ".join(f'<a href="{chapter}.html">chapter {int(chapter[:2])}</a>' for chapter in each.chapters)
    badge = f'<span class="gst-fate" data-fate="{word}">{word}</span>'
    return (
        f"<li>{_thumbnail(each, results)}<div><p><b>{e(each.name)}</b> {badge}</p>"
        f"<p>{e(each.predicts)}</p><p>{links}: {count}.</p></div></li>"
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
