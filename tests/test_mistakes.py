"""The mistakes of a first day: each ends in an error that names the argument, before any work is done."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import gst_tutorial as gst
from gst_tutorial import networks, statistics


def network():
    return gst.conv1d_net(n_classes=3, channels=(3, 4), strides=(2, 2), input_shape=(1, 8))


def data() -> gst.Dataset:
    x, y = torch.randn(12, 1, 8, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
    return gst.Dataset("small", x, y, x.clone(), y.clone(), 3)


def runs() -> pd.DataFrame:
    rows = [(f"arm {arm}", seed, arm * 0.1, 0.5 + 0.01 * seed) for arm in range(3) for seed in range(4)]
    return pd.DataFrame(rows, columns=["label", "seed", "instability", "final_accuracy"])


MODEL, DATA, RUNS, CONFIG = network(), data(), runs(), gst.RunConfig()
X, Y = DATA.x_test, DATA.y_test
FLAT = gst.flatness

#: (the call, the argument that its error must name)
MISSPELT = [
    (lambda: gst.load("mnist1"), "name"),
    (lambda: gst.RunConfig(epcohs=3), "epcohs"),
    (lambda: gst.RunConfig(target="bigest"), "target"),
    (lambda: gst.RunConfig(data="cifar"), "data"),
    (lambda: gst.RunConfig(model="resnet-20"), "model"),
    (lambda: gst.RunConfig(intervention="prun"), "intervention"),
    (lambda: gst.Recipe(optimizer="addam"), "optimizer"),
    (lambda: gst.prune_filters(MODEL, "conv9", keep=2), "layer"),
    (lambda: gst.filter_scores(MODEL, "conv2", score="l3"), "score"),
    (lambda: gst.sparsity(MODEL, layers=["convv2"]), "layers"),
    (lambda: gst.studies.get("tradeof"), "name"),
    (lambda: gst.recorded("tradeof"), "name"),
    (lambda: CONFIG.replace(laerning_rate=0.1), "laerning_rate"),
    (lambda: statistics.paired_difference(RUNS, "arm 7", "arm 0"), "a"),
    (lambda: statistics.correlation(RUNS, "instabilty", "final_accuracy"), "x"),
    (lambda: statistics.means(RUNS, "method", "final_accuracy"), "by"),
    (lambda: gst.exercises.grade("1.9", 1), "exercise"),
    (lambda: gst.Recipe(lr=0.1), "Did you mean 'learning_rate"),
    (lambda: CONFIG.replace(wd=0.1), "Did you mean 'weight_decay"),
]
WRONG_TYPE = [
    (lambda: gst.RunConfig(seed="3"), "seed"),
    (lambda: gst.RunConfig(seed=1.5), "seed"),
    (lambda: gst.RunConfig(prune_fraction="half"), "prune_fraction"),
    (lambda: gst.RunConfig(layers="conv4"), "layers"),
    (lambda: gst.RunConfig(schedule={"start": 1}), "schedule"),
    (lambda: gst.Recipe(compiled=1), "compiled"),
    (lambda: gst.load("mnist1d", n_train="all"), "n_train"),
    (lambda: gst.accuracy(MODEL, X.numpy(), Y), "x"),
    (lambda: gst.accuracy("conv1d", X, Y), "model"),
    (lambda: gst.train(MODEL, X), "dataset"),
    (lambda: gst.train(MODEL, DATA, callbacks=print), "callbacks"),
    (lambda: gst.Study("s", "?", arms={"a": 1}), "arms"),
    (lambda: gst.Study("s", "?", arms={"a": CONFIG}, seeds=3), "seeds"),
    (lambda: gst.Arm("none"), "config"),
    (lambda: gst.ResultStore(3), "path"),
    (lambda: gst.sweep(gst.Study("s", "?", {"a": CONFIG}), n_jobs="all"), "n_jobs"),
    (lambda: statistics.mean_estimate(["good"] * 3, "gain"), "values"),
    (lambda: statistics.means({"label": []}, "label", "seed"), "frame"),
    (lambda: statistics.holm([0.1, 0.2]), "p_values"),
    (lambda: FLAT.measure_flatness(MODEL, X), "dataset"),
    (lambda: gst.compact("model"), "model"),
    (lambda: gst.run({}), r"config must be a gst.RunConfig, not dict. Write gst.RunConfig\(\*\*config"),
    (lambda: gst.sweep(CONFIG), r"study must be a gst.Study, not RunConfig. For one run, use gst.run\(config"),
    (lambda: gst.restore_filters(MODEL, indices=torch.tensor([0])), "indices=.* needs layer"),
]
WRONG_SHAPE_OR_RANGE = [
    (lambda: gst.RunConfig(prune_fraction=60), "prune_fraction"),
    (lambda: gst.RunConfig(width=-1), "width"),
    (lambda: gst.RunConfig(seed=-1), "seed"),
    (lambda: gst.Recipe(learning_rate=0), "learning_rate"),
    (lambda: gst.Recipe(learning_rate=math.nan), "learning_rate"),
    (lambda: gst.PruneSchedule(10, 5, 1), "end"),
    (lambda: gst.load("mnist1d", n_train=0), "n_train"),
    (lambda: gst.accuracy(MODEL, X[0], Y), "x"),
    (lambda: gst.accuracy(MODEL, X, Y[:3]), "y"),
    (lambda: gst.correct(MODEL, X, Y[:, None]), "y"),
    (lambda: gst.correct(MODEL, X, Y + 1), "y"),
    (lambda: gst.correct(nn.Conv1d(1, 3, 1), X, Y), "model"),
    (lambda: gst.prune_filters(MODEL, "conv2", prune_fraction=1.5), "prune_fraction"),
    (lambda: gst.kept_filters(10, 0.5, 0), "n_events"),
    (lambda: gst.choose_filters(torch.rand(4), torch.ones(3, dtype=torch.bool), 2, "smallest"), "candidates"),
    (lambda: FLAT.hessian_eigenvalues(MODEL, X, Y, k=0), "k"),
    (lambda: gst.Study("s", "?", {"a": CONFIG}, seeds=(1, 1)), "seeds"),
    (lambda: statistics.mean_estimate(np.array([0.1, math.nan, 0.2]), "gain"), "values"),
    (lambda: statistics.power(0.01, 0.0, 20), "sd"),
    (lambda: gst.Dataset.from_arrays(np.zeros((3, 1, 8)), np.arange(2), np.zeros((3, 1, 8)), np.arange(3)), "y_train"),
]
NONE = [
    (lambda: gst.RunConfig(target=None), "target"),
    (lambda: gst.RunConfig(seed=None), "seed"),
    (lambda: gst.Recipe(epochs=None), "epochs"),
    (lambda: gst.accuracy(MODEL, None, Y), "x"),
    (lambda: gst.accuracy(None, X, Y), "model"),
    (lambda: gst.train(MODEL, None), "dataset"),
    (lambda: gst.prune_filters(MODEL, None, keep=2), "layer"),
    (lambda: gst.filter_scores(MODEL, "conv2", score=None), "score"),
    (lambda: gst.filter_scores(MODEL, "conv2", score="activation", x=None), "x"),
    (lambda: gst.compact(None), "model"),
    (lambda: gst.load(None), "name"),
    (lambda: gst.ResultStore(None), "path"),
    (lambda: statistics.paired_difference(RUNS, None, "arm 0"), "a"),
]
SWAPPED = [
    (lambda: gst.accuracy(X, MODEL, Y), "model"),
    (lambda: gst.accuracy(MODEL, Y, X), "x"),
    (lambda: gst.train(DATA, MODEL), "model"),
    (lambda: gst.prune_filters("conv2", MODEL, keep=2), "model"),
    (lambda: gst.Arm({"way": "none"}, CONFIG), "config"),
    (lambda: gst.kept_filters(0.5, 10, 3), "n_filters"),
    (lambda: statistics.mean_estimate("gain", np.ones(3)), "name"),
    (lambda: statistics.means("label", RUNS, "final_accuracy"), "frame"),
    (lambda: FLAT.measure_flatness(DATA, MODEL), "dataset"),
    (lambda: networks.conv1d_net((3, 4), 3), "channels"),
]
KINDS = {
    "misspelt": MISSPELT,
    "type": WRONG_TYPE,
    "shape or range": WRONG_SHAPE_OR_RANGE,
    "None": NONE,
    "swapped": SWAPPED,
}
CASES = [
    pytest.param(call, argument, id=f"{kind}: {argument} {i}")
    for kind, calls in KINDS.items()
    for i, (call, argument) in enumerate(calls)
]


@pytest.mark.parametrize(("call", "argument"), CASES)
def test_mistake_is_refused_with_the_name_of_the_argument(call, argument):
    with pytest.raises((TypeError, ValueError), match=rf"\b{argument}\b"):
        call()


def test_skipped_layer_is_refused_with_its_reason():
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Conv1d(4, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    gst.make_prunable(model, X, layers=["0"])
    with pytest.raises(ValueError, match="layer='2' has no mask: not among layers"):
        gst.prune_filters(model, "2", 0.5)


def test_optimizer_of_another_network_is_refused():
    optimizer = torch.optim.SGD(network().parameters(), 0.1)
    with pytest.raises(ValueError, match="optimizer has none of the model's parameters"):
        gst.train(network(), DATA, gst.Recipe(epochs=1), optimizer=optimizer)


def test_fraction_of_less_than_one_filter_is_warned_of():
    with pytest.warns(UserWarning, match="prune_fraction=0.01 of the 4 filters of 'conv2' is less than one"):
        gst.prune_filters(network(), "conv2", 0.01)
    config = gst.RunConfig(n_train=20, n_test=20, intervention="prune", prune_fraction=0.01)
    with pytest.warns(UserWarning, match="of the 64 filters of 'conv4' is less than one"):
        gst.Experiment(config)


@pytest.mark.parametrize(("shape", "where"), [((32, 32, 3), r"\(N, C, H, W\)"), ((40, 1), r"\(N, C, L\)")])
def test_channels_that_seem_to_be_last_are_warned_of(shape, where):
    x, y = np.random.default_rng(0).random((12, *shape)), np.arange(6) % 2
    with pytest.warns(UserWarning, match=rf"If these are not channels, move the axes to {where}"):
        gst.Dataset.from_arrays(x[:6], y, x[6:], y)


def test_training_set_as_test_set_is_refused_and_overlap_warned_of():
    x, y = np.random.default_rng(0).random((12, 1, 20)), np.arange(12) % 2
    with pytest.raises(ValueError, match="x_test: every test example is a training example"):
        gst.Dataset.from_arrays(x, y, x[:6], y[:6])
    with pytest.warns(UserWarning, match="x_test: 2 of 6 test examples are training examples"):
        gst.Dataset.from_arrays(x[:8], y[:8], x[6:], y[6:])


def test_diverged_network_is_refused_where_it_would_give_a_wrong_number():
    lost = network()
    with torch.no_grad():
        for p in lost.parameters():
            p.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="model: some of its logits are NaN"):
        gst.accuracy(lost, X, Y)
    with pytest.raises((ValueError, FloatingPointError), match="diverged"):
        FLAT.flat_radius(lost, X, Y, [1.0] * 86)
