"""The training loop: against a loop written independently, its callbacks, its random streams, and how it stops."""

import copy
import dataclasses
import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gst_tutorial as gst
from gst_tutorial import seeding
from gst_tutorial.steps import noisy_labels

QUICK = gst.Recipe(epochs=3, batch_size=60, milestones=())


@pytest.fixture(scope="module")
def dataset():
    return gst.load("mnist1d", n_train=200, n_test=200)


def fresh(**arguments):
    torch.manual_seed(0)
    return gst.conv1d_net(channels=(8, 8, 8, 8), **arguments)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# --- the loop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "build"),
    [
        ({}, lambda p: torch.optim.Adam(p, 2e-3, fused=False)),
        ({"weight_decay": 0.1}, lambda p: torch.optim.Adam(p, 2e-3, weight_decay=0.1, fused=False)),
        ({"label_smoothing": 0.2}, lambda p: torch.optim.Adam(p, 2e-3, fused=False)),
        (
            {"optimizer": "adamw", "weight_decay": 3.0},
            lambda p: torch.optim.AdamW(p, 2e-3, weight_decay=3.0, fused=False),
        ),
        (
            {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.5, "weight_decay": 0.01},
            lambda p: torch.optim.SGD(p, 0.05, momentum=0.5, weight_decay=0.01),
        ),
    ],
)
def test_it_trains_as_a_loop_written_independently(dataset, changes, build):
    recipe = dataclasses.replace(QUICK, milestones=(1, 2), gamma=0.5, **changes)
    ours, theirs = fresh(), fresh()
    losses = gst.train(ours, dataset, recipe, seed=3)
    optimizer, order = build(theirs.parameters()), seeding.generator(3, "batches")
    expected = []
    for _ in range(3):
        permutation, total = torch.randperm(200, generator=order), 0.0
        for first in range(0, 200, 60):
            batch = permutation[first : first + 60]  # the last batch has 20 examples
            log_probabilities = theirs(dataset.x_train[batch]).log_softmax(1)
            likelihood = log_probabilities.gather(1, dataset.y_train[batch][:, None]).squeeze(1)
            smoothing = recipe.label_smoothing
            loss = -((1 - smoothing) * likelihood + smoothing * log_probabilities.mean(1)).mean()
            theirs.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        expected.append(total / 200)
        optimizer.param_groups[0]["lr"] *= 0.5
    assert losses == pytest.approx(expected, rel=1e-3)
    assert torch.allclose(weights(ours), weights(theirs), atol=1e-3)


def test_sam_uses_the_gradient_uphill_and_the_batch_norm_below(dataset):
    radius, recipe = 0.3, gst.Recipe("sgd", 0.1, batch_size=200, epochs=2, milestones=(), momentum=0.0)
    ours, theirs, once = fresh(), fresh(), fresh()
    gst.train(ours, dataset, dataclasses.replace(recipe, sam_radius=radius), seed=3)
    gst.train(once, dataset, dataclasses.replace(recipe, epochs=1), seed=3)
    order = seeding.generator(3, "batches")
    for _ in range(2):  # Foret et al. 2021, equations 2 and 3, on the whole training set as one batch
        batch = torch.randperm(200, generator=order)
        x, y, names = dataset.x_train[batch], dataset.y_train[batch], [name for name, _ in theirs.named_parameters()]
        below = dict(theirs.named_parameters())
        gradient = torch.autograd.grad(F.cross_entropy(theirs(x), y), [below[n] for n in names])
        length = torch.cat([g.flatten() for g in gradient]).norm()
        above = copy.deepcopy(theirs)
        with torch.no_grad():
            for p, g in zip(above.parameters(), gradient):
                p += radius * g / length
        gradient = torch.autograd.grad(F.cross_entropy(above(x), y), list(above.parameters()))
        with torch.no_grad():
            for n, g in zip(names, gradient):
                below[n] -= 0.1 * g
    assert torch.allclose(weights(ours), weights(theirs), atol=1e-5)
    assert torch.allclose(ours.bn1.running_var, theirs.bn1.running_var, atol=1e-5)
    assert not torch.allclose(weights(ours), weights(once), atol=1e-3)


def test_label_noise_changes_as_many_labels_as_asked_and_no_batch(dataset):
    y = dataset.y_train
    noisy = noisy_labels(y, 0.2, 10, seed=3)
    assert int((noisy != y).sum()) == 40 and noisy.min() >= 0 and noisy.max() <= 9
    assert torch.equal(noisy, noisy_labels(y, 0.2, 10, seed=3))
    assert not torch.equal(noisy, noisy_labels(y, 0.2, 10, seed=4))
    many = noisy_labels(torch.zeros(90_000, dtype=torch.int64), 1 - 1e-9, 10, seed=0)
    counts = torch.bincount(many, minlength=10)
    assert counts[0] == 0 and (counts[1:] - 10_000).abs().max() < 500  # five standard deviations
    # Batches stay the same: with no label changed by a tiny share, nothing changes.
    plain, tiny = fresh(), fresh()
    gst.train(plain, dataset, QUICK, seed=3)
    gst.train(tiny, dataset, dataclasses.replace(QUICK, label_noise=1e-9), seed=3)
    assert torch.equal(weights(plain), weights(tiny))


def test_callbacks_come_before_each_batch_and_after_the_last_of_an_epoch(dataset):
    calls = []
    gst.train(fresh(), dataset, QUICK, callbacks=[lambda epoch, step: calls.append((epoch, step))])
    assert QUICK.steps_per_epoch(200) == 4
    assert calls == [(epoch, step) for epoch in range(3) for step in range(5)]


def test_callbacks_are_called_in_their_order_and_may_come_from_an_iterator(dataset):
    calls = []
    both = (lambda epoch, step, name=name: calls.append(name) for name in "ab")
    gst.train(fresh(), dataset, QUICK, callbacks=both)
    assert calls == ["a", "b"] * 15


def test_a_callback_sees_the_weights_after_as_many_steps_as_it_is_told(dataset):
    model, seen = fresh(), []
    recipe = dataclasses.replace(QUICK, epochs=1)
    gst.train(model, dataset, recipe, callbacks=[lambda epoch, step: seen.append(weights(model).clone())])
    assert torch.equal(seen[0], weights(fresh()))
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(seen))
    assert torch.equal(seen[-1], weights(model))


def test_the_learning_rate_falls_after_the_last_callback_of_an_epoch(dataset, monkeypatch):
    built, rates = [], []
    build = gst.Recipe.build_optimizer
    monkeypatch.setattr(gst.Recipe, "build_optimizer", lambda self, model: built.append(build(self, model)) or built[0])
    recipe = dataclasses.replace(QUICK, epochs=4, milestones=(1, 3), gamma=0.1)
    gst.train(fresh(), dataset, recipe, callbacks=[lambda epoch, step: rates.append(built[0].param_groups[0]["lr"])])
    expected = [2e-3] * 5 + [2e-4] * 10 + [2e-5] * 5  # five calls an epoch
    assert rates == pytest.approx(expected)


def test_training_mode_returns_after_an_evaluation_in_a_callback(dataset):
    model, modes = fresh(), []
    model.register_forward_pre_hook(lambda module, inputs: modes.append((len(inputs[0]), module.training)))
    gst.train(model, dataset, QUICK, callbacks=[lambda e, s: gst.correct(model, dataset.x_test, dataset.y_test)])
    assert {training for n, training in modes if n <= 60} == {True}
    assert {training for n, training in modes if n == 200} == {False}


# --- random streams ------------------------------------------------------------------------------------------


class Recorder(nn.Module):
    """Learns nothing; remembers which examples it saw. Example i is the constant signal 10 i."""

    def __init__(self):
        super().__init__()
        self.scale, self.seen = nn.Parameter(torch.zeros(10)), []

    def forward(self, x):
        self.seen.append((x.mean((1, 2)) / 10).round().int().tolist())
        return self.scale.expand(len(x), 10)


def batches(seed=0, **changes):
    x = (10 * torch.arange(50.0))[:, None, None].expand(50, 1, 40)
    dataset = gst.Dataset("constant", x, torch.arange(50) % 10, x, torch.arange(50) % 10)
    model = Recorder()
    gst.train(model, dataset, dataclasses.replace(QUICK, batch_size=20, **changes), seed=seed)
    return model.seen


def test_every_epoch_shows_every_example_once_in_a_new_order():
    seen = batches()
    epochs = [list(itertools.chain(*seen[i : i + 3])) for i in (0, 3, 6)]
    assert [len(batch) for batch in seen[:3]] == [20, 20, 10]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_seed_alone_decides_the_batches():
    assert batches(1) == batches(1)
    assert batches(1) != batches(2)
    assert batches(1) == batches(1, augment="shift_noise") == batches(1, optimizer="sgd", weight_decay=0.1)


def test_dropout_has_a_stream_of_its_own(dataset):
    trained = []
    for state in (1, 2):
        model = fresh(dropout=0.5, filter_dropout=0.2)
        torch.manual_seed(state)  # the caller's state does not matter
        gst.train(model, dataset, QUICK, seed=4)
        trained.append(weights(model))
    assert torch.equal(*trained)
    model = fresh(dropout=0.5, filter_dropout=0.2)
    gst.train(model, dataset, QUICK, seed=5)
    assert not torch.equal(weights(model), trained[0])


def test_augmentation_changes_what_is_learned(dataset):
    plain, augmented = fresh(), fresh()
    gst.train(plain, dataset, QUICK)
    gst.train(augmented, dataset, dataclasses.replace(QUICK, augment="shift_noise"))
    assert not torch.equal(weights(plain), weights(augmented))


@pytest.mark.parametrize("learning_rate", [2e-3, 1e30])
def test_training_leaves_the_random_state_alone_even_if_it_diverges(dataset, learning_rate):
    model = fresh(dropout=0.5)
    states = lambda: (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: E731, NPY002
    before = states()
    try:
        gst.train(model, dataset, dataclasses.replace(QUICK, learning_rate=learning_rate))
    except gst.Diverged:
        assert learning_rate == 1e30
    assert states() == before


def test_random_streams_differ_by_name_and_by_seed():
    names = ("initialization", "batches", "dropout", "augmentation", "noise", "random targets", "weight noise")
    seeds = {(seed, name): seeding.stream_seed(seed, name) for seed in range(20) for name in names}
    assert len(set(seeds.values())) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds.values())
    assert seeding.stream_seed(3, "noise") == seeds[3, "noise"]
    with pytest.raises(ValueError, match="seed=-1"):
        seeding.stream_seed(-1, "noise")


# --- stopping ------------------------------------------------------------------------------------------------


def test_a_diverged_epoch_is_named_when_it_comes_later(dataset):
    model = fresh()

    def poison(epoch, step):
        if (epoch, step) == (2, 1):
            with torch.no_grad():
                model.head.bias[0] = float("nan")

    with pytest.raises(gst.Diverged, match="in epoch 2 "):
        gst.train(model, dataset, QUICK, callbacks=[poison])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"optimizer": None}, ValueError, "optimizer=None"),
        ({"learning_rate": -1e-3}, ValueError, r"learning_rate=-0\.001"),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate=inf"),
        ({"batch_size": 10.0}, TypeError, r"batch_size=10\.0"),
        ({"milestones": (0,)}, ValueError, "milestones=0"),
        ({"milestones": (3, 4.5)}, TypeError, r"milestones=4\.5"),
        ({"gamma": 0}, ValueError, "gamma=0"),
        ({"gamma": 1.5}, ValueError, r"gamma=1\.5"),
        ({"weight_decay": -1}, ValueError, "weight_decay=-1"),
        ({"momentum": 1.0}, ValueError, r"momentum=1\.0"),
        ({"augment": "crop"}, ValueError, "augment='crop'.*'crop_flip'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        gst.Recipe(**changes)


def test_a_recipe_is_frozen_and_takes_milestones_as_a_list():
    assert gst.Recipe(milestones=[10, 20]) == gst.Recipe(milestones=(10, 20))
    assert hash(gst.Recipe(milestones=[10, 20])) == hash(gst.Recipe(milestones=(10, 20)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        gst.Recipe().epochs = 3


def test_a_bad_seed_stops_before_the_first_batch(dataset):
    model = fresh()
    before = weights(copy.deepcopy(model))
    with pytest.raises(ValueError, match="seed=-1"):
        gst.train(model, dataset, QUICK, seed=-1)
    with pytest.raises(TypeError, match=r"seed=0\.5"):
        gst.train(model, dataset, QUICK, seed=0.5)
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize(("n_train", "batch_size", "steps"), [(1000, 100, 10), (1001, 100, 11), (5, 100, 1), (9, 1, 9)])
def test_steps_per_epoch_count_the_last_smaller_batch(n_train, batch_size, steps):
    assert gst.Recipe(batch_size=batch_size).steps_per_epoch(n_train) == steps


def test_reported_loss_is_the_mean_over_examples_not_batches(dataset):
    class Fixed(nn.Module):  # cannot learn: its loss is that of a uniform guess plus a constant of the batch size
        def __init__(self):
            super().__init__()
            self.zero = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return (0 * self.zero).expand(len(x), 10) + torch.tensor([float(len(x))] + [0.0] * 9)

    recipe = dataclasses.replace(QUICK, epochs=1)
    loss = gst.train(Fixed(), dataset, recipe, seed=0)[0]
    order = torch.randperm(200, generator=seeding.generator(0, "batches"))
    expected = 0.0
    for batch in order.split(60):
        logits = torch.tensor([float(len(batch))] + [0.0] * 9).expand(len(batch), 10)
        expected += F.cross_entropy(logits, dataset.y_train[batch], reduction="sum").item() / 200
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "model", [gst.networks.vgg11, lambda: gst.conv1d_net(n_classes=3), lambda: gst.conv1d_net(input_shape=(2, 40))]
)
def test_a_network_that_does_not_fit_the_data_is_refused_in_a_sentence(model, dataset):
    with pytest.raises(
        ValueError, match=r"^model (does not take an input of shape \(1, 40\)|gives \(2, 3\) for 2 examples)"
    ):
        gst.train(model(), dataset, QUICK)
