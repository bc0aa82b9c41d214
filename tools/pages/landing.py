"""The figure on the book's first page, from recorded results: how hard pruning hits, and what comes of it.

python -m tools.pages.landing            # write book/figures/landing.html
python -m tools.pages.landing --check    # exit 1 if the file is not what the recorded results give
"""

import sys
from pathlib import Path

import gst_tutorial as gst
from gst_tutorial.statistics import paired_difference

PAGE = Path(__file__).resolve().parents[2] / "book" / "figures" / "landing.html"
STOPS = {"a nudge": 0.2, "a push": 0.4, "a blow": 0.6, "a shock": 0.8, "nearly all": 0.95}
TARGETS = ("smallest", "largest", "random")


def landing() -> str:
    """The figure as one HTML string."""
    epochs, events = (gst.recorded("landing", kind) for kind in ("epochs", "events"))
    dose = gst.recorded("dose")
    n_seeds = dose.seed.nunique()
    final = {label: 100 * runs.final_accuracy.mean() for label, runs in dose.groupby("label")}
    half = {label: 100 * gst.plots.half_width(runs.final_accuracy) for label, runs in dose.groupby("label")}

    def draw(figure, label):
        top, bottom = figure.subplots(2, 1, height_ratios=[2.6, 1])
        for name, look, text in (
            ("none", "none", "no pruning"),
            (label, label.split(",")[0], "pruned at three events"),
        ):
            gst.plots.curve(epochs[epochs.label == name], events[events.label == name], top, look, text)
        top.set(ylim=(0, 100), xlim=(0, 59))
        top.legend(loc="lower right")
        for i, name in enumerate(("none", label)):
            colour = gst.plots.look(name)["color"]
            bottom.errorbar(
                final[name], i, xerr=half[name], fmt=gst.plots.look(name)["marker"], color=colour, capsize=4
            )
        bottom.set_yticks([0, 1], ["no pruning", "pruned"])
        bottom.set(xlim=(72, 90), ylim=(1.6, -0.6), xlabel=f"final test accuracy (%), {n_seeds} networks")

    def sentence(label):
        hits = events[events.label == label]
        gain = paired_difference(dose, label)
        share = label.split(", ")[1]
        return (
            f"{share} of the filters go, in three events. This network's accuracy drops by up to "
            f"{100 * (hits.accuracy_before - hits.accuracy_after).max():.0f} points at an event. "
            f"Over {n_seeds} networks, the end is "
            f"{100 * gain.value:+.1f} points against no pruning (95% interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f})."
        )

    labels = {target: [f"{target}, {dose:.0%}" for dose in STOPS.values()] for target in TARGETS}
    return gst.widgets.slider_figure(
        {target: gst.widgets.figure_frames(draw, row, size=(5, 4.6)) for target, row in labels.items()},
        labels=list(STOPS),
        texts={target: [sentence(label) for label in row] for target, row in labels.items()},
        name="fig-landing",
        title="How hard does the pruning hit, and what comes of it?",
        control_label="share of the last layer's filters removed",
        second="which filters go",
        start=3,
        caption="Recorded runs on MNIST-1D. Above: one network through training; each vertical drop is a pruning event.",
    )


if __name__ == "__main__":
    text = landing()
    if "--check" in sys.argv[1:]:
        sys.exit(not (PAGE.exists() and PAGE.read_text(encoding="utf-8") == text))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)
