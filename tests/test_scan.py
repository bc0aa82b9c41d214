"""A scan measures what cutting one layer at a time does, the fast way, and leaves the network alone."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import gst_tutorial as gst
from gst_tutorial import __main__ as cli
from gst_tutorial import references
from gst_tutorial.book import scan_report
from gst_tutorial.graph.costs import Costs
from gst_tutorial.graph.running import borrowed, shake
from gst_tutorial.masks import evaluation_mode
from gst_tutorial.planning import compare
from gst_tutorial.prefix import Prefix
from gst_tutorial.scanning import summary


def torchvision_network(name, size=32):
    torch.manual_seed(0)
    model = references.function_of("model", f"torchvision.models:{name}")(num_classes=10)
    shake(model)
    x = torch.randn(6, 3, size, size)
    return gst.make_prunable(model, x[:2]).eval(), x


class Branches(nn.Module):
    """Everything that could spoil what is remembered: writes into inputs, a module used twice, results that are views."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.two = nn.Sequential(nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6))
        self.relu, self.same, self.flat = nn.ReLU(inplace=True), nn.Identity(), nn.Flatten()
        self.after = nn.Conv2d(14, 10, 3)
        self.last = nn.Conv2d(10, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        a = self.one(x)  # changes x
        b = self.two(x)
        b *= 3  # changes what a module returned
        y = torch.cat([self.relu(a), b], 1)
        z = self.same(y)
        z *= 2  # changes y
        z = self.relu(self.after(y + z))
        z = F.gelu(self.last(z))
        return self.head(self.flat(F.adaptive_avg_pool2d(z, 1)))


def branches():
    torch.manual_seed(0)
    model = Branches()
    shake(model)
    x = torch.randn(6, 3, 9, 9)
    return gst.make_prunable(model, x[:2]).eval(), x


NETWORKS = {
    "resnet18": lambda: torchvision_network("resnet18"),
    "googlenet": lambda: torchvision_network("googlenet", 64),
    "mobilenet_v3_small": lambda: torchvision_network("mobilenet_v3_small"),
    "branches": branches,
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_replayed_logits_equal_the_plain_ones_to_the_bit(name):
    model, x = NETWORKS[name]()
    generator = torch.Generator().manual_seed(1)
    skipped = 0
    for layer in list(gst.prunable_layers(model).values())[:: 4 if name == "googlenet" else 1]:
        with borrowed(model) as run:
            prefix = Prefix(model, run, layer.mask.sites, x[:2])
            prefix.record(x)
            skipped += len(prefix.calls)
            for _ in range(2):
                layer.mask.mask.copy_(torch.rand(layer.mask.n_filters, generator=generator) < 0.5)
                assert torch.equal(prefix.replay(x), model(x))
    assert skipped
    assert not any("forward" in module.__dict__ for module in model.modules())


def trained():
    data = gst.load("mnist1d", n_train=500, n_test=200)
    torch.manual_seed(0)
    model = gst.conv1d_net(channels=(8, 8, 8, 16))
    gst.train(model, data, gst.Recipe(epochs=5, milestones=()))
    return model, data


@pytest.fixture(scope="module", name="trained")
def trained_once():
    return trained()


FEW = {"fractions": (0.3, 0.7), "draws": 2}


def test_scan_equals_pruning_one_layer_after_another(trained):
    model, data = trained
    frame = gst.scan(model, data, scores=("l2", "activation", "random"), batch_size=64, **FEW)
    assert len(frame) == 4 * 2 * 4
    for row in frame[frame.score != "random"].itertuples():
        cut = copy.deepcopy(model)
        before = gst.correct(cut, data)
        gst.prune_filters(cut, row.layer, row.fraction, score=row.score, x=data.x_train)
        after = gst.instability_of(before, gst.correct(cut, data))
        assert (row.instability, row.standard_error) == (after.instability, after.standard_error)
        assert row.kept == int(gst.prunable_layers(cut)[row.layer].mask.kept.sum())
        small, whole = (counted(each, data.x_test[:1]) for each in (gst.compact(cut), model))
        assert [row.parameters, row.multiply_adds] == pytest.approx(list(1 - small / whole), abs=1e-12)


def test_scan_of_a_network_that_can_be_worked_out_by_hand():
    network = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4, 4))
    with torch.no_grad():  # filter c alone answers for class c, and filter 3 is the shortest
        network[0].weight.copy_(torch.diag(torch.tensor([4.0, 3, 2, 1])).view(4, 4, 1, 1))
        network[3].weight.copy_(torch.eye(4))
        network[3].bias.zero_()
    y = torch.arange(40) % 4
    x = F.one_hot(y, 4).float().view(40, 4, 1, 1)
    frame = gst.scan(gst.make_prunable(network, x[:2]), x, y, fractions=(0.25, 0.5, 0.75), scores=("l2",))
    assert frame.instability.tolist() == pytest.approx([0.25, 0.5, 0.75])
    assert frame.standard_error.tolist() == pytest.approx([math.sqrt(p * (1 - p) / 40) for p in (0.25, 0.5, 0.75)])
    assert frame.parameters.tolist() == pytest.approx([f * (16 + 16) / (16 + 16 + 4) for f in (0.25, 0.5, 0.75)])


def test_random_draws_differ_and_repeat_with_the_seed(trained):
    model, data = trained
    settings = {"layers": ["conv3"], "scores": ("random",), "fractions": (0.5,), "draws": 4}
    first, again, other = (gst.scan(model, data, seed=seed, **settings) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert first.accuracy.nunique() > 1
    assert first.accuracy.tolist() != other.accuracy.tolist()
    mean = summary(first).iloc[0]
    assert mean.spread == pytest.approx(first.instability.std())
    assert mean.standard_error == pytest.approx(first.standard_error.mean())


def state(model):
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = [(m.training, set(m.__dict__), len(m._forward_hooks)) for m in model.modules()]
    return tensors, modules, torch.get_rng_state()


def assert_same(before, after):
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1] == after[1]
    assert torch.equal(before[2], after[2])


@pytest.mark.parametrize("fails", [False, True])
def test_scan_leaves_the_network_untouched(fails):
    model, data = trained()
    model.train()
    model.bn2.eval()
    gst.prune_filters(model, "conv2", 0.25)
    before, calls = state(model), 0

    def fail(module, inputs):
        nonlocal calls
        calls += 1
        if fails and calls == 12:
            raise KeyboardInterrupt

    hook = model.relu2.register_forward_pre_hook(fail)
    try:
        gst.scan(model, data, **FEW)
    except KeyboardInterrupt:
        assert fails
    hook.remove()
    assert calls > 12 or fails
    assert_same(before, state(model))


def test_interrupted_and_resumed_scan_equals_an_undisturbed_one(trained, tmp_path):
    model, data = trained
    whole, path = gst.scan(model, data, **FEW), tmp_path / "scan.jsonl"
    gst.scan(model, data, layers=["conv1", "conv3"], path=path, **FEW)
    with path.open("a") as file:
        file.write('{"key": ["conv2", 0.3')  # killed while it wrote
    resumed = gst.scan(model, data, path=path, **FEW)
    pd.testing.assert_frame_equal(whole, resumed)
    assert whole.attrs == resumed.attrs
    lines = path.read_text().splitlines()
    assert len(lines) == 1 + len(whole)
    assert all(json.loads(line) for line in lines)
    pd.testing.assert_frame_equal(whole, gst.scan(model, data, path=path, **FEW))
    assert path.read_text().splitlines() == lines


def test_results_of_another_network_or_other_data_are_refused(trained, tmp_path):
    model, data = trained
    few = {**FEW, "layers": ["conv4"], "path": tmp_path / "scan.jsonl"}
    gst.scan(model, data, **few)
    other = copy.deepcopy(model)
    other.head.bias.data[0] += 1
    with pytest.raises(ValueError, match="another network"):
        gst.scan(other, data, **few)
    with pytest.raises(ValueError, match="another data"):
        gst.scan(model, data.x_test[:100], data.y_test[:100], x_score=data.x_train[:1000], **few)
    with pytest.raises(ValueError, match="another settings"):
        gst.scan(model, data, target="largest", **few)
    (tmp_path / "scan.jsonl").write_text("layer,fraction\n")
    with pytest.raises(ValueError, match="not a file of scan"):
        gst.scan(model, data, **few)


def test_recipe_trains_each_cut_network(trained):
    model, data = trained
    recipe = gst.Recipe(epochs=1, milestones=(), learning_rate=1e-3)
    frame = gst.scan(model, data, layers=["conv4"], fractions=(0.5,), scores=("l2",), recipe=recipe)
    by_hand = copy.deepcopy(model)
    gst.prune_filters(by_hand, "conv4", 0.5)
    gst.train(by_hand, data, recipe)
    assert frame.trained_accuracy.tolist() == [gst.accuracy(by_hand, data)]
    uncut = copy.deepcopy(model)
    gst.train(uncut, data, recipe)
    assert frame.attrs["trained_accuracy"] == gst.accuracy(uncut, data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fractions": (0.5, 1.0)}, "fractions=1.0 must lie in"),
        ({"scores": ("l3",)}, "score='l3' is not known"),
        ({"layers": ["conv9"]}, "layers='conv9' is not known"),
        ({"target": "random"}, "target='random' is not known"),
    ],
)
def test_wrong_argument_is_named_before_any_work(trained, changes, message):
    with pytest.raises(ValueError, match=message):
        gst.scan(*trained, **changes)


def test_recipe_without_training_data_is_refused(trained):
    model, data = trained
    with pytest.raises(ValueError, match=r"give a gst\.Dataset"):
        gst.scan(model, data.x_test, data.y_test, recipe=gst.Recipe())


def counted(model, x):
    """Parameters and multiply-adds, the latter counted by torch."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), evaluation_mode(model):
        model(x)
    return np.array([sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 2])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "branches"])
def test_costs_equal_those_counted_by_torch_in_the_compact_network(name):
    model, x = NETWORKS[name]()
    costs = Costs(model, x)
    assert (costs.whole == counted(model, x[:1])).all()
    for every in (5, 1):
        for layer in list(gst.prunable_layers(model).values())[::every]:
            layer.mask.mask[::2] = False
        small = gst.compact(model, skip_uncuttable=True)
        assert (costs.now() == counted(small, x[:1])).all()


def made_up(model, data, costly):
    """A scan in which only these layers lose anything."""
    frame = gst.scan(model, data, scores=("l2",))
    frame["instability"] = frame.fraction * frame.layer.isin(costly)
    return frame


def pruned(model, plan):
    cut = copy.deepcopy(model)
    for layer, keep in plan.items():
        gst.prune_filters(cut, layer, keep=keep)
    return cut


@pytest.mark.parametrize("unit", ["parameters", "multiply-adds"])
def test_plan_takes_the_layers_that_cost_nothing_and_meets_the_budget(trained, unit):
    model, data = trained
    frame = made_up(model, data, ["conv1", "conv2", "conv3"])
    for how in ("greedy", "uniform"):
        chosen = gst.plan(model, frame, (unit, 0.8), data.x_test, how=how)
        assert list(chosen) == (["conv4"] if how == "greedy" else ["conv1", "conv2", "conv3", "conv4"])

        def left(plan):
            small, whole = (counted(each, data.x_test[:1]) for each in (gst.compact(pruned(model, plan)), model))
            return (small / whole)[int(unit == "multiply-adds")]

        assert left(chosen) <= 0.8 < left({layer: keep + 1 for layer, keep in chosen.items()})


def test_budget_out_of_reach_is_refused_with_what_can_be_left(trained):
    model, data = trained
    frame = gst.scan(model, data, layers=["conv1"], scores=("l2",))
    with pytest.raises(ValueError, match=r"the largest cuts of the scan leave 0\.\d+"):
        gst.plan(model, frame, ("parameters", 0.1), data.x_test)
    with pytest.raises(ValueError, match="budget='seconds' is not known"):
        gst.plan(model, frame, ("seconds", 0.1), data.x_test)


def test_comparison_measures_both_plans_on_the_given_examples(trained):
    model, data = trained
    frame = gst.scan(model, data.x_test[:100], data.y_test[:100], scores=("l2",))
    found = compare(model, frame, ("parameters", 0.6), data.x_test[100:], data.y_test[100:])
    for how in ("greedy", "uniform"):
        cut = pruned(model, gst.plan(model, frame, ("parameters", 0.6), data.x_test, how=how))
        assert found.accuracy[how] == gst.accuracy(cut, data.x_test[100:], data.y_test[100:])
        assert found.parameters[how] >= 0.4
    assert found.attrs["difference"].value == pytest.approx(found.accuracy["greedy"] - found.accuracy["uniform"])


def test_scores_that_need_labels_are_scanned(trained):
    model, data = trained
    frame = gst.scan(model, data, layers=["conv4"], fractions=(0.5,), scores=("taylor", "snip"))
    assert list(frame.score) == ["taylor", "snip"]
    assert all(p.grad is None for p in copy.deepcopy(model).parameters())


# --- the report and the command line ----------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>"


def test_report_escapes_names_and_loads_nothing(trained):
    model, data = trained
    frame = gst.scan(model, data, layers=["conv1", "conv4"], **FEW).replace({"conv1": EVIL, "l2": f"{EVIL}$x$"})
    page = scan_report.report(frame, EVIL)
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("<img") == page.count('alt="Instability of layer') == 2


MODEL = """
import torch
import gst_tutorial as gst
from torch import nn

def build(seed=0):
    torch.manual_seed(seed)
    norm, relu = nn.BatchNorm2d(8), nn.ReLU()
    model = nn.Sequential(nn.Conv2d(1, 8, 3), norm, relu, nn.Conv2d(8, 8, 3), relu, nn.Flatten(), nn.Linear(128, 10))
    gst.train(model, gst.load("digits"), gst.Recipe(epochs=3, milestones=()))
    return model

def another():
    return build(1)
"""


def test_command_writes_frame_figure_and_report_and_resumes(tmp_path, capsys):
    file, out = tmp_path / "a_scanned_model.py", tmp_path / "out"
    file.write_text(MODEL)
    command = ["scan", f"{file}:build", "--data", "digits", "--out", str(out), "--fractions", ".3,.6", "--budget", ".6"]
    assert cli.main(command) == 0
    assert "16 cuts; scan.csv, scan.png and scan.html are in" in capsys.readouterr().out
    frame, log = pd.read_csv(out / "scan.csv", dtype={"layer": str}), (out / "scan.jsonl").read_text()
    assert list(frame.layer.unique()) == ["0", "3"]
    assert (out / "scan.png").read_bytes().startswith(b"\x89PNG")
    assert "A plan that leaves 60% of the parameters" in (out / "scan.html").read_text()
    (out / "scan.html").unlink()
    assert cli.main(command) == 0
    assert (out / "scan.jsonl").read_text() == log
    assert (out / "scan.html").exists()
    assert cli.main([*command[:1], f"{file}:another", *command[2:]]) == 2
    assert "the results of a scan with another network" in capsys.readouterr().err


def test_report_fits_wide_and_narrow_windows(browser, trained, tmp_path):
    from tools.browser import accessibility_problems, serve, sideways_overflow, visit

    model, data = trained
    frame = gst.scan(model, data.x_test[:100], data.y_test[:100], **FEW)
    found = compare(model, frame, ("parameters", 0.7), data.x_test[100:], data.y_test[100:])
    Path(tmp_path / "scan.html").write_text(scan_report.report(frame, "a.very.long.name" * 9, found), encoding="utf-8")
    with serve(tmp_path) as address:
        for width in (1280, 360):
            with visit(browser, address, viewport={"width": width, "height": 800}) as here:
                here.open("scan.html")
                assert here.problems == []
                assert sideways_overflow(here.page) == 0
                assert accessibility_problems(here.page) == []
