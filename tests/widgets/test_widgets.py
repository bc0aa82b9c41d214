"""Live widgets: every value of every control, errors that the reader sees, runs that start and really stop."""

import dataclasses
import functools
import importlib
import itertools
import threading
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch

import gst_tutorial as gst
from gst_tutorial import pruning
from gst_tutorial.studies import book as studies
from gst_tutorial.widgets import live_pictures

widgets = importlib.import_module("gst_tutorial.widgets.prune_explorer")  # not the function of that name
live = importlib.import_module("gst_tutorial.widgets.run_explorer")

TINY = gst.RunConfig(
    n_train=100, n_test=100, width=0.25, schedule=gst.PruneSchedule(0, 3, 2), layers=("conv3",)
).replace(epochs=5, batch_size=50, milestones=())


@functools.cache
def trained() -> gst.RunResult:
    return gst.run(TINY.replace(epochs=12))


@pytest.fixture
def network():
    """(model, data), the model with masks as after training; a test that changes them does so to its own copy."""
    result = trained()
    gst.restore_filters(result.model)
    return result.model, result.dataset


def masks(model) -> dict[str, torch.Tensor]:
    return {name: layer.mask.mask.clone() for name, layer in gst.prunable_layers(model).items()}


def same(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def children(box) -> dict[str, object]:
    """The controls of a widget by their descriptions; those without one by their place."""
    found = {}
    for child in box.children:
        found |= children(child) if hasattr(child, "children") else {}
        found[getattr(child, "description", "") or str(len(found))] = child
    return found


def answer(box):
    return box.children[-1]


def svg_of(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])


# --- pruning by hand -------------------------------------------------------------------------------------------------


def test_an_exploration_measures_what_pruning_a_copy_measures(network):
    model, data = network
    found = widgets.explore(model, data, "conv3", 0.5, "l1", "largest", n_examples=80)
    x, y = data.x_test[:80], data.y_test[:80]
    before = gst.accuracy(model, x, y)
    chosen = gst.prune_filters(model, "conv3", 0.5, score="l1", target="largest")
    after = gst.accuracy(model, x, y)
    assert (found.event.accuracy_before, found.event.accuracy_after) == (before, after)
    assert found.event.instability == pytest.approx((before - after) / before)
    assert found.pruned.nonzero().flatten().tolist() == sorted(chosen.tolist())
    assert not found.pruned_before.any()


@pytest.mark.parametrize("score", pruning.SCORES)
def test_every_value_of_every_control_is_answered_and_leaves_the_masks_alone(network, score):
    model, data = network
    before = masks(model)
    pairs = itertools.cycle(itertools.product(before, pruning.TARGETS))  # 12 of them, and 20 shares
    for (layer, target), share in zip(pairs, widgets.SHARES, strict=False):
        html = widgets.answer_html(model, data, 20, layer=layer, score=score, target=target, prune_fraction=share)
        assert "role='alert'" not in html
        bars = svg_of(html).findall("rect")
        kept = pruning.kept_in_the_end(len(before[layer]), share)
        assert len(bars) == len(before[layer])
        assert sum(bar.get("fill") != "white" for bar in bars) == kept
    assert same(before, masks(model))


def test_moving_a_control_changes_the_answer_and_reset_brings_the_first_back(network):
    model, data = network
    box = widgets.prune_explorer(model, data, n_examples=50)
    controls, first, before = children(box), answer(box).value, masks(model)
    controls["share"].value = 0.95
    assert answer(box).value != first
    controls["layer"].value = "conv1"
    controls["score"].value = "activation"
    controls["target"].value = "random"
    controls["Reset"].click()
    assert answer(box).value == first
    assert [controls[name].value for name in ("layer", "score", "target", "share")] == ["conv4", "l2", "smallest", 0.5]
    assert same(before, masks(model))


def test_an_error_is_shown_escaped_and_the_next_answer_replaces_it(network, monkeypatch):
    model, data = network
    box = widgets.prune_explorer(model, data, n_examples=50)
    before = masks(model)

    def fail(*_, **__):
        raise RuntimeError("<script>alert(1)</script> and\na second line")

    with monkeypatch.context() as patch:
        patch.setattr(widgets, "correct", fail)
        children(box)["share"].value = 0.1
    shown = answer(box).value
    assert "RuntimeError: &lt;script&gt;alert(1)&lt;/script&gt; and\na second line</b>" in shown
    assert "Traceback" in shown
    assert "<script" not in shown
    assert same(before, masks(model))
    children(box)["share"].value = 0.2
    assert "Traceback" not in answer(box).value


def test_an_error_halfway_through_puts_the_mask_back(network, monkeypatch):
    model, data = network
    before, calls = masks(model), iter([True, False])
    ours = widgets.correct
    monkeypatch.setattr(widgets, "correct", lambda *args: ours(*args) if next(calls) else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        widgets.explore(model, data, "conv3", 0.5)
    assert same(before, masks(model))


def test_filters_pruned_before_are_told_apart(network):
    model, data = network
    gst.prune_filters(model, "conv3", 0.5, target="largest")
    found = widgets.explore(model, data, "conv3", 0.75, n_examples=50)
    assert (int(found.pruned_before.sum()), int(found.pruned.sum())) == (4, 6)
    assert "6 of 8 filters pruned, 4 of them before." in widgets.exploration_html(found)
    assert widgets.cut_rank(found.pruned[found.scores.argsort()]) is None  # some at each end


def test_the_cut_lies_between_the_pruned_and_the_kept_filters():
    flags = functools.partial(torch.tensor, dtype=torch.bool)
    assert widgets.cut_rank(flags([1, 1, 0, 0, 0])) == 2
    assert widgets.cut_rank(flags([0, 0, 0, 1])) == 3
    assert widgets.cut_rank(flags([0, 0, 0])) is None
    assert widgets.cut_rank(flags([0, 1, 0])) is None


def test_data_are_looked_at_and_not_copied(network, monkeypatch):
    model, data = network
    seen = []
    ours = widgets.correct
    monkeypatch.setattr(widgets, "correct", lambda model, x, y: seen.append(x) or ours(model, x, y))
    widgets.explore(model, data, "conv3", 0.5, n_examples=50)
    assert {x.data_ptr() for x in seen} == {data.x_test.data_ptr()}


def test_a_network_without_masks_and_data_of_another_kind_are_refused(network):
    model, data = network
    with pytest.raises(ValueError, match=r"no filter masks; call make_prunable"):
        widgets.prune_explorer(torch.nn.Sequential(torch.nn.Linear(2, 2)), data)
    with pytest.raises(TypeError, match=r"data must be a gst.Dataset, not tuple"):
        widgets.prune_explorer(model, (1, 2))
    with pytest.raises(ValueError, match=r"n_examples=0 must be at least 1"):
        widgets.prune_explorer(model, data, n_examples=0)


# --- what the controls of a run mean ---------------------------------------------------------------------------------


def test_every_setting_of_the_controls_is_a_run_that_can_be_trained():
    choices = itertools.product(live.METHODS, pruning.TARGETS, live.PERIODS, live.NOISE_BATCHES)
    for method, target, period, batches in choices:
        config = live.config_from(method, target, period, batches, seed=3)
        assert (config.method, config.seed) == (method, 3)
        assert method == "none" or (config.target, config.schedule.retrain_period) == (target, period)
        assert not config.temporary or config.noise_batches == batches
    assert [live.config_from("none", "smallest", 2, 1, seed).seed for seed in live.SEEDS] == list(range(40))


def test_a_run_with_a_recorded_seed_is_the_recorded_run():
    study = {config.hash: label for label, config in studies.get("tradeoff").runs}
    for target, period in itertools.product(pruning.TARGETS, live.PERIODS):
        config = live.config_from("prune", target, period, 1, seed=0).replace(evaluate_every=10)
        assert study[config.hash] == f"{target}, period {period}"


def test_what_a_method_does_not_use_changes_nothing():
    first = live.config_from("none", "smallest", 2, 1, seed=0)
    assert live.config_from("none", "largest", 18, 20, seed=0) == first
    assert live.config_from("prune", "largest", 18, 20, 0) == live.config_from("prune", "largest", 18, 1, 0)
    assert live.controls_in_use("none") == {"method", "seed"}
    assert live.controls_in_use("prune") == {"method", "seed", "target", "retrain_period"}
    assert live.controls_in_use("gaussian") == live.controls_in_use("zero") == set(explorer().controls)


def test_the_iterative_rate_is_named_with_its_events():
    words = {period: label for label, period in live.periods()}
    assert words[2] == "5% per event (18 events, one every 2 epochs)"
    assert words[9] == "22.5% per event (4 events, one every 9 epochs)"
    assert [period for _, period in live.periods(TINY)] == [2]
    assert live.periods(TINY.replace(schedule=gst.PruneSchedule(1, 1, 1)))[0][1] == 1


# --- pictures --------------------------------------------------------------------------------------------------------


def test_the_curve_drops_at_an_event():
    epochs = [{"epoch": i, "test_accuracy": value} for i, value in enumerate([0.2, 0.3, 0.5])]
    event = gst.PruningEvent(1, "conv4", 8, 0.5, 0.8, 0.3, 0.6, 0.01)
    svg = svg_of(live.curve_svg(epochs, [event], live.BASE))
    assert svg.get("aria-label") == "Training curve: test accuracy is 50.0% after epoch 2, with 1 events."
    path = next(e.get("d") for e in svg.iter("path") if e.get("stroke-width") == "1.8")
    x, y = np.array([list(map(float, point.split())) for point in path[1:].split("L")]).T
    assert len(x) == 4
    assert x[2] == x[1]  # straight down,
    assert y[2] > y[1]  # which is up in SVG's numbers
    svg_of(live.curve_svg([], [], live.BASE))  # nothing trained yet


def test_the_scatter_has_a_marker_per_run_and_escapes_what_it_is_told():
    cloud = pd.DataFrame(
        {
            "label": ["none", "smallest, period 2", "prune at init"],
            "instability": [0, 0.2, 0],
            "final_accuracy": [0.6, 0.7, 0.5],
        }
    )
    run = dataclasses.replace(trained(), instability=0.3)
    html = live.scatter_html([run, run], cloud, "A <b>sentence</b>.")
    assert "<b>" not in html
    assert [text.text for text in svg_of(html).iter("text") if text.get("font-weight")] == ["1", "2"]
    assert html.count("<tr>") == 3
    assert "Squares: smallest" in html or "squares: smallest" in html
    alone = live.scatter_html([], cloud.iloc[:0], "Nothing recorded.")
    assert "<table" not in alone
    svg_of(alone)


def test_every_method_of_the_book_has_a_marker_that_can_be_drawn():
    for style in gst.plots.LOOKS.values():
        assert "path" in live_pictures.markers(lambda x, y: (x, y), [(1, 2)], style, radius=3)
        assert style["marker"] in live_pictures.MARKER_NAMES
        assert style["linestyle"] in live_pictures.DASHES


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 59), (-0.02, 0.14), (55.3, 71), (0, 100), (99.5, 99.9)])
def test_ticks_are_few_and_lie_inside(low, high):
    found = live_pictures.ticks(low, high)
    assert 2 <= len(found) <= 6
    assert low - 1e-9 <= found[0] < found[-1] <= high + 1e-9


def test_the_recorded_cloud_is_there_or_its_absence_is_said():
    cloud, sentence = live.recorded_cloud()
    assert {"label", "instability", "final_accuracy"} == set(cloud.columns)
    assert f"{len(cloud)} recorded runs" in sentence or (cloud.empty and "no recorded study" in sentence)
    nothing, sentence = live.recorded_cloud("no such study")
    assert nothing.empty
    assert "no recorded study “no such study”" in sentence


# --- training from the controls --------------------------------------------------------------------------------------


def explorer(base=TINY) -> live.RunExplorer:
    return live.RunExplorer(base)


def finish(explorer) -> None:
    if explorer.thread is not None:
        explorer.thread.join(120)
        assert not explorer.thread.is_alive()
    assert not explorer.train_button.disabled
    assert explorer.stop_button.disabled


def test_a_run_is_trained_drawn_and_joins_the_scatter():
    here = explorer()
    before = here.curve.value, here.scatter.value
    here.controls["seed"].value = 2
    here.train_button.click()
    finish(here)
    expected = gst.run(here.config)
    assert here.runs[0].epochs.equals(expected.epochs)
    assert here.runs[0].instability == expected.instability
    assert here.curve.value == live.curve_svg(
        expected.epochs.to_dict("records"), list(expected.events.itertuples()), expected.config
    )
    assert f"{expected.final_accuracy:.1%}" in here.status.value
    assert before[0] != here.curve.value
    assert before[1] != here.scatter.value
    here.controls["method"].value = "gaussian"
    here.train_button.click()
    finish(here)
    assert [run.config.method for run in here.runs] == ["prune", "gaussian"]
    assert here.runs[0].model is None  # a long evening of runs keeps no networks


def test_stop_ends_a_run_that_would_last_for_hours_and_the_next_one_runs():
    here = explorer(TINY.replace(epochs=1_000_000))
    here.train_button.click()
    thread = here.thread
    here.train_button.click()  # a second press changes nothing
    assert here.thread is thread
    assert not here.stop_button.disabled
    here.stop_button.click()
    finish(here)
    assert "Stopped after" in here.status.value
    assert here.runs == []
    here.base = TINY
    here.train_button.click()
    finish(here)
    assert len(here.runs) == 1


def test_a_new_explorer_ends_the_run_of_the_one_before():
    first, second = explorer(TINY.replace(epochs=1_000_000)), explorer()
    threads, generator = torch.get_num_threads(), torch.get_rng_state()
    first.train()
    second.train()
    assert not first.training
    finish(first)
    finish(second)
    assert len(second.runs) == 1
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), generator)
    assert not [thread for thread in threading.enumerate() if thread.name == "gst run"]


def test_a_run_that_fails_shows_its_error():
    here = explorer(TINY.replace(learning_rate=1e30))
    here.train_button.click()
    finish(here)
    assert "Diverged: Training loss is" in here.status.value
    assert here.runs == []


def test_a_run_that_cannot_begin_shows_its_error():
    here = explorer(TINY.replace(layers=("conv9",)))
    here.train_button.click()
    finish(here)
    assert "ValueError: layers=&#x27;conv9&#x27; is not known" in here.status.value


def test_the_controls_that_a_method_does_not_use_are_greyed_out():
    here = explorer()
    for method in live.METHODS:
        here.controls["method"].value = method
        enabled = {name for name, control in here.controls.items() if not control.disabled}
        assert enabled == live.controls_in_use(method)


def test_a_base_with_a_plan_for_each_layer_is_refused():
    with pytest.raises(ValueError, match=r"schedule or prune_fraction for each layer"):
        widgets.run_explorer(TINY.replace(layers=("conv3", "conv4"), prune_fraction=(0.5, 0.9)))
    with pytest.raises(TypeError, match=r"base=3 must be a gst.RunConfig"):
        widgets.run_explorer(3)


def test_the_explorer_of_runs_is_a_box_with_everything_in_it():
    box = widgets.run_explorer()
    assert {"method", "target", "iterative rate", "noise lasts", "seed", "Train", "Stop"} <= set(children(box))
