"""The figure on the book's first page, from recorded results: how hard pruning hits, and what comes of it.

python -m tools.pages.landing            # write book/figures/landing.html
python -m tools.pages.landing --check    # exit 1 if the file is not what the recorded results give
"""

import sys
from pathlib import Path

import gst_tutorial as gst
from gst_tutorial.statistics import mean_estimate, paired_difference

PAGE = Path(__file__).resolve().parents[2] / "book" / "figures" / "landing.html"
STOPS = {"a nudge": 0.2, "a push": 0.4, "a blow": 0.6, "a shock": 0.8, "nearly all": 0.95}
TARGETS = ("smallest", "largest", "random")


def landing() -> str:
    """The figure as one HTML string."""
    epochs, events = (gst.recorded("landing", kind) for kind in ("epochs", "events"))
    dose, study = gst.recorded("dose"), gst.studies.get("dose").replace(seeds=(0,))
    n_seeds = dose.seed.nunique()
    means = {label: mean_estimate(runs.final_accuracy, label) for label, runs in dose.groupby("label")}
    final = {label: 100 * e.value for label, e in means.items()}
    half = {label: 50 * (e.high - e.low) for label, e in means.items()}

    arms = {(arm.factors["target"], arm.factors["dose"]): arm.label for arm, _ in study.runs if "dose" in arm.factors}

    def draw(figure, state):
        target, _ = state
        label = arms[state]
        top, bottom = figure.subplots(2, 1, height_ratios=[2.6, 1])
        for name, look, text in (
            ("none", "none", "no pruning"),
            (label, target, "pruned at three events"),
        ):
            gst.figures.curve(epochs[epochs.label == name], events[events.label == name], top, look, text)
        top.set(ylim=(0, 100), xlim=(0, 59))
        top.legend(loc="lower right")
        for i, (name, look) in enumerate((("none", "none"), (label, target))):
            style = gst.figures.look(look)
            bottom.errorbar(final[name], i, xerr=half[name], fmt=style["marker"], color=style["color"], capsize=4)
        bottom.set_yticks([0, 1], ["no pruning", "pruned"])
        bottom.set(xlim=(72, 90), ylim=(1.6, -0.6), xlabel=f"final test accuracy (%), {n_seeds} networks")

    def sentence(state):
        _, share = state
        hits = events[events.label == arms[state]]
        gain = paired_difference(dose, arms[state])
        return (
            f"{share:.0%} of the filters go, in three events. This network's accuracy drops by up to "
            f"{100 * (hits.accuracy_before - hits.accuracy_after).max():.0f} points at an event. "
            f"Over {n_seeds} networks, the end is "
            f"{100 * gain.value:+.1f} points against no pruning (95% interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f})."
        )

    states = {target: [(target, dose) for dose in STOPS.values()] for target in TARGETS}
    return gst.figures.slider_figure(
        {target: gst.figures.figure_frames(draw, row, size=(5, 4.6)) for target, row in states.items()},
        labels=list(STOPS),
        texts={target: [sentence(state) for state in row] for target, row in states.items()},
        name="fig-landing",
        title="How much does pruning hurt, and where does the network end up?",
        control_label="fraction of the last layer's filters removed",
        second="which filters are removed",
        start=3,
        caption="Recorded runs on MNIST-1D. Above: one network during training; each vertical drop is a pruning event.",
    )


if __name__ == "__main__":
    text = landing()
    if "--check" in sys.argv[1:]:
        sys.exit(not (PAGE.exists() and PAGE.read_text(encoding="utf-8") == text))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)
