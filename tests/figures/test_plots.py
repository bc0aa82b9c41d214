"""Plots draw the estimates they are given, in the look of the factors."""

import types

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import gst_tutorial as gst
from gst_tutorial import statistics
from gst_tutorial.book.figures import plots
from gst_tutorial.book.figures.style import LOOKS


@pytest.fixture
def ax():
    return Figure().subplots()


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    arms = [("none", "smallest", 0.0), ("prune", "largest", 0.4), ("zero", "random", 0.4)]
    return pd.DataFrame(
        {"label": f"arm {i}", "method": method, "target": target, "dose": dose, "seed": seed, "instability": i / 10,
         "final_accuracy": 0.6 + rng.normal(0, 0.01)}
        for i, (method, target, dose) in enumerate(arms) for seed in range(6)
    )  # fmt: skip


def bars(ax) -> np.ndarray:
    """Ends of all vertical error bars, (n, 2)."""
    return np.array([segment[:, 1] for c in ax.containers for segment in c.lines[2][0].get_segments()])


def test_arms_have_the_interval_of_the_statistics_and_their_look(ax):
    plots.accuracy_against_instability(frame(), ax)
    found = statistics.means(frame(), "label", "final_accuracy")
    assert bars(ax) == pytest.approx(np.array([[100 * e.low, 100 * e.high] for e in found.values()]))
    looks = [LOOKS[name] for name in ("none", "largest", "zero")]
    assert [c.lines[0].get_color() for c in ax.containers] == [style["color"] for style in looks]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["none", "largest", "zero"]


def test_arms_that_differ_in_more_than_numbers_never_share_a_look(ax):
    arms = [("none", "smallest", "l2", 0.0), ("prune", "smallest", "l2", 0.4), ("prune", "smallest", "l2", 0.8),
            ("prune", "smallest", "mine:score", 0.4), ("prune", "largest", "l2", 0.4),
            ("my turn", "smallest", "l2", 0.4)]  # fmt: skip
    rows = [
        {"label": f"arm {i}", "method": method, "target": target, "score": score, "dose": dose, "seed": seed,
         "instability": 0.1 * i, "final_accuracy": 0.5}
        for i, (method, target, score, dose) in enumerate(arms) for seed in range(3)
    ]  # fmt: skip
    plots.accuracy_against_instability(pd.DataFrame(rows), ax)
    colors = [container.lines[0].get_color() for container in ax.containers]
    assert colors[1] == colors[2]  # only the dose differs
    assert len(set(colors)) == 5
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert entries == ["none", "smallest", "largest", "arm 3", "arm 5"]


def test_line_of_means_has_the_interval_of_the_statistics(ax):
    plots.means(frame(), "instability", "final_accuracy", ax, name="largest", scale=100)
    found = statistics.means(frame(), "instability", "final_accuracy")
    assert bars(ax) == pytest.approx(np.array([[100 * e.low, 100 * e.high] for e in found.values()]))


def test_gain_against_width_has_a_line_per_size_of_the_training_set(ax):
    index = pd.MultiIndex.from_product([(250, 4000), (0.5, 1.0, 2.0)], names=["n_train", "width"])
    gain = np.linspace(0, 0.05, 6)
    plots.gain_against_width(pd.DataFrame({"gain": gain, "low": gain - 0.01, "high": gain + 0.01}, index=index), ax)
    lines = {c.get_label(): c.lines[0].get_xydata() for c in ax.containers}
    assert set(lines) == {"250 training examples", "4,000 training examples"}
    assert lines["250 training examples"].ravel().tolist() == pytest.approx([0.5, 0, 1, 1, 2, 2], rel=0.02)


def forest_of(**estimates):
    return {
        name.replace("_", " "): statistics.Estimate(name, value, low, high, 20)
        for name, (value, low, high) in estimates.items()
    }


def test_forest_has_a_label_an_interval_and_numbers_in_each_row(ax):
    estimates = forest_of(up=(0.02, 0.01, 0.03), flat=(0.0, -0.01, 0.01), down=(-0.02, -0.0301, -0.01))
    plots.forest(estimates, ax, scale=100, unit="points")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["up", "flat", "down"]
    numbers = [text.get_text().replace("\u2212", "-") for text in ax.texts[:3]]
    assert numbers == ["+2.0\n[+1.0, +3.0]", "+0.0\n[-1.0, +1.0]", "-2.0\n[-3.0, -1.0]"]
    assert [c.lines[0].get_markerfacecolor() == "white" for c in ax.containers] == [False, True, False]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is on top
    with pytest.raises(ValueError, match="estimates is empty"):
        plots.forest({}, ax)


def test_forest_draws_the_estimates_it_is_given(ax):
    estimates = forest_of(gain=(0.0213, 0.0111, 0.0309), loss=(-0.5, -0.75, 0.25), none=(0.0, 0.0, 0.0))
    plots.forest(estimates, ax, scale=100)
    drawn = [(c.lines[0].get_xdata()[0], *c.lines[2][0].get_segments()[0][:, 0]) for c in ax.containers]
    given = [(100 * e.value, 100 * e.low, 100 * e.high) for e in estimates.values()]
    assert np.array(drawn) == pytest.approx(np.array(given))
    assert [c.lines[0].get_ydata()[0] for c in ax.containers] == list(ax.get_yticks())


def test_forest_texts_stay_inside_apart_and_off_the_zero_line():
    estimates = forest_of(short=(0.1, 0, 0.2), **{"a_long_name " * 9: (0.0, -1, 1)}, last=(-1, -2, -0.5))
    ax = plots.forest(estimates, unit="points")
    figure = ax.figure
    figure.canvas.draw()
    texts = [*ax.get_yticklabels(), *ax.texts]
    boxes = [text.get_window_extent() for text in texts]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height for box in boxes)
    assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[i + 1 :])
    assert not any(box.overlaps(ax.get_window_extent()) for box in boxes)
    on_a_telephone = 310 / (72 * figure.get_figwidth())  # px per point of a figure that is shown 310 px wide
    assert min(text.get_fontsize() for text in texts) * on_a_telephone >= 8.5
    assert figure.get_facecolor()[3] == 0  # transparent
    pyplot.close(figure)


def test_training_curve_drops_at_its_event_in_the_look_of_its_config(ax):
    result = types.SimpleNamespace(
        epochs=pd.DataFrame({"epoch": [0, 1, 2], "test_accuracy": [0.2, 0.3, 0.5]}),
        events=pd.DataFrame({"epoch": [1], "accuracy_before": [0.8], "accuracy_after": [0.3]}),
        config=gst.RunConfig(intervention="gaussian", target="largest"),
    )
    [line] = plots.training_curve(result, ax).lines
    assert line.get_label() == "gaussian" and to_hex(line.get_color()) == LOOKS["gaussian"]["color"].lower()
    assert line.get_ydata().tolist() == pytest.approx([20, 80, 30, 50])


def test_pruned_filters_are_hatched_in_the_order_of_their_scores(ax):
    plots.filter_scores([3.0, 1.0, 2.0], np.array([False, True, False]), ax)
    kept, pruned = ax.collections
    heights = [[path.vertices[:, 1].max() for path in bars.get_paths()] for bars in (kept, pruned)]
    assert heights == [[2, 3], [1]]
    assert pruned.get_hatch()
