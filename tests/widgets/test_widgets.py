"""Live widgets: every value of every control, errors that the reader sees, runs that start and really stop."""

import base64
import dataclasses
import functools
import importlib
import itertools
import re
import sys
import threading

import pandas as pd
import pytest
import torch

import gst_tutorial as gst
from gst_tutorial import pruning, studies
from gst_tutorial.widgets.answers import error_html, new_axes

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


def png_of(html: str) -> bytes:
    return base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', html)[1])


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
        kept = pruning.kept_in_the_end(len(before[layer]), share)
        assert f"{len(before[layer]) - kept} of {len(before[layer])} filters pruned" in html
        assert html.count('<div class="gst-row">') == 1 + len(data.y_test[:20].unique())
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
    assert "6 of 8 filters pruned, 4 of them before: instability" in widgets.exploration_html(found)


def test_each_class_has_its_own_accuracy_and_together_they_are_that_of_all(network):
    model, data = network
    found = widgets.explore(model, data, "conv3", 0.5, n_examples=80)
    counts = torch.bincount(data.y_test[:80], minlength=10)
    assert counts.min() > 0
    for shares, whole in zip(found.by_class, (found.event.accuracy_before, found.event.accuracy_after)):
        assert float((shares * counts).sum() / 80) == pytest.approx(whole)
    nothing = widgets.explore(model, data, "conv3", 0.0, n_examples=80)
    assert torch.equal(*nothing.by_class)


def test_a_class_without_test_examples_has_no_bar(network):
    model, data = network
    few = widgets.explore(model, data, "conv3", 0.5, n_examples=8)
    present = set(data.y_test[:8].tolist())
    shown = widgets.exploration_html(few)
    assert {i for i in range(10) if f">class {i}<" in shown} == present


def test_classes_have_their_names_where_the_data_know_them_escaped(network):
    model, data = network
    found = widgets.explore(model, data, "conv3", 0.5, n_examples=50)
    shown = widgets.exploration_html(found, ["<b>cat</b>", *"123456789"])
    assert "&lt;b&gt;cat&lt;/b&gt;" in shown and "<b>" not in shown


def test_the_cut_falls_between_two_strokes_and_every_filter_has_one(network):
    model, data = network
    shown = widgets.exploration_html(widgets.explore(model, data, "conv3", 0.5, n_examples=50))
    stays, goes = (
        [int(x) for x in re.findall(r"M(\d+)", re.search(f'class="gst-{name}" d="([^"]*)"', shown)[1])]
        for name in ("stays", "goes")
    )
    assert (len(stays), len(goes)) == (4, 4)
    assert min(goes) == 0 and max(goes) < min(stays) and max(stays) == 1000
    assert 'aria-label="Scores of 8 filters from' in shown and "4 are pruned" in shown


def test_without_ipywidgets_the_error_says_what_to_install(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match="pip install ipywidgets"):
        widgets.prune_explorer(*network)
    with pytest.raises(ImportError, match="pip install ipywidgets"):
        live.run_explorer()


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
    choices = itertools.product(live.INTERVENTIONS, pruning.TARGETS, live.PERIODS, live.BATCHES)
    for method, target, period, batches in choices:
        config = live.config_from(method, target, period, batches, seed=3)
        assert (config.intervention, config.seed) == (method, 3)
        assert method == "none" or (config.target, config.schedule.retrain_period) == (target, period)
        assert not config.events.temporary or config.n_batches == batches
    assert [live.config_from("none", "smallest", 2, 1, seed).seed for seed in live.SEEDS] == list(range(40))


def test_a_run_with_a_recorded_seed_is_the_recorded_run():
    study = {config.hash: arm.label for arm, config in studies.get("tradeoff").runs}
    for target, period in itertools.product(pruning.TARGETS, live.PERIODS):
        config = live.config_from("prune", target, period, 1, seed=0).replace(evaluate_every=10)
        assert study[config.hash] == f"{target}, period {period}"


def test_what_a_method_does_not_use_changes_nothing():
    first = live.config_from("none", "smallest", 2, 1, seed=0)
    assert live.config_from("none", "largest", 18, 20, seed=0) == first
    assert live.config_from("prune", "largest", 18, 20, 0) == live.config_from("prune", "largest", 18, 1, 0)
    assert live.controls_in_use("none") == {"intervention", "seed"}
    assert live.controls_in_use("prune") == {"intervention", "seed", "target", "retrain_period"}
    assert live.controls_in_use("gaussian") == live.controls_in_use("zero") == set(explorer().controls)


def test_the_iterative_rate_is_named_with_its_events():
    words = {period: label for label, period in live.periods()}
    assert words[2] == "5% per event (18 events, one every 2 epochs)"
    assert words[9] == "22.5% per event (4 events, one every 9 epochs)"
    assert [period for _, period in live.periods(TINY)] == [2]
    assert live.periods(TINY.replace(schedule=gst.PruneSchedule(1, 1, 1)))[0][1] == 1


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.fixture
def ax():
    return new_axes(4.4, 3.0)


def test_the_curve_drops_at_an_event_and_is_drawn_from_nothing_too(ax):
    epochs = [{"epoch": i, "test_accuracy": value} for i, value in enumerate([0.2, 0.3, 0.5])]
    event = gst.PruningEvent(1, "conv4", 8, 0.5, 0.8, 0.3, 0.6, 0.01)
    text = live.draw_curve(ax, epochs, [event], live.BASE)
    assert text == "Training curve: test accuracy is 50.0% after epoch 2, with 1 events."
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([20, 80, 30, 50])
    assert "nothing trained yet, with 0 events" in live.draw_curve(ax, [], [], live.BASE)
    assert len(ax.lines) == 1


def test_the_scatter_has_a_marker_per_run_and_escapes_what_it_is_told(ax):
    cloud = pd.DataFrame(
        {
            "label": ["a", "b", "c"],
            "method": ["none", "prune", "prune at init"],
            "target": ["smallest"] * 3,
            "instability": [0, 0.2, 0],
            "final_accuracy": [0.6, 0.7, 0.5],
        }
    )
    run = dataclasses.replace(trained(), instability=0.3)
    html = live.scatter_html(ax, [run, run], cloud, "A <b>sentence</b>.")
    assert "<b>" not in html
    assert [text.get_text() for text in ax.texts] == ["1", "2"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["none", "smallest", "prune at init"]
    assert html.count("<tr>") == 3
    alone = live.scatter_html(ax, [], cloud.iloc[:0], "Nothing recorded.")
    assert "<table" not in alone and not ax.texts
    assert png_of(alone)


def test_the_recorded_cloud_is_there_or_its_absence_is_said():
    cloud, sentence = live.recorded_cloud()
    assert {"label", "method", "target", "instability", "final_accuracy"} == set(cloud.columns)
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
    assert f"test accuracy is {expected.final_accuracy:.1%} after epoch 4, with 2 events" in here.curve.value
    assert f"{expected.final_accuracy:.1%}" in here.status.value
    assert before[0] != here.curve.value
    assert before[1] != here.scatter.value
    here.controls["intervention"].value = "gaussian"
    here.train_button.click()
    finish(here)
    assert [run.config.intervention for run in here.runs] == ["prune", "gaussian"]
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
    for method in live.INTERVENTIONS:
        here.controls["intervention"].value = method
        enabled = {name for name, control in here.controls.items() if not control.disabled}
        assert enabled == live.controls_in_use(method)


def test_a_base_with_a_plan_for_each_layer_is_refused():
    with pytest.raises(ValueError, match=r"schedule or prune_fraction for each layer"):
        live.run_explorer(TINY.replace(layers=("conv3", "conv4"), prune_fraction=(0.5, 0.9)))
    with pytest.raises(TypeError, match=r"base=3 must be a gst.RunConfig"):
        live.run_explorer(3)


def test_the_explorer_of_runs_is_a_box_with_everything_in_it():
    box = live.run_explorer()
    assert {"intervention", "target", "iterative rate", "noise lasts", "seed", "Train", "Stop"} <= set(children(box))


def test_an_error_that_cannot_say_what_it_is_is_still_shown():
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    shown = error_html(Silent())
    assert "<b>Silent (its message cannot be shown)</b>" in shown
    assert gst.exercises.grade("1.3", lambda *_: (_ for _ in ()).throw(Silent()))[1].startswith("The answer could not")
