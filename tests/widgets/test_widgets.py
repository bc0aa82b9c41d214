"""`prune_explorer`: every value of every control, what it shows, errors that the reader sees."""

import functools
import importlib
import itertools
import re
import sys

import pytest
import torch

import gst_tutorial as gst
from gst_tutorial import pruning

widgets = importlib.import_module("gst_tutorial.book.widgets.prune_explorer")  # not the function of that name
live = importlib.import_module("gst_tutorial.book.widgets.run_explorer")

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
def test_every_control_value_is_answered_and_leaves_the_masks_alone(network, score):
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


def test_moving_a_control_changes_the_answer_and_reset_restores_it(network):
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


def test_a_network_without_masks_and_data_of_another_kind_are_refused(network):
    model, data = network
    with pytest.raises(ValueError, match=r"no filter masks; call make_prunable"):
        widgets.prune_explorer(torch.nn.Sequential(torch.nn.Linear(2, 2)), data)
    with pytest.raises(TypeError, match=r"data must be a gst.Dataset, not tuple"):
        widgets.prune_explorer(model, (1, 2))
    with pytest.raises(ValueError, match=r"n_examples=0 must be at least 1"):
        widgets.prune_explorer(model, data, n_examples=0)
