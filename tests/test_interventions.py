"""Temporary pruning: which batches are hit, what comes back, and what is left alone."""

import pytest
import torch

import gst_tutorial as gst
from gst_tutorial.interventions import (
    TemporaryNoise,
    WeightNoise,
    add_gaussian,
    load_filters,
    save_filters,
    scale_weights,
)

STEPS = 10  # batches per epoch


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return gst.prunable_layers(gst.conv1d_net())["conv4"]


def snapshots(noise, layer, n_calls, train=lambda: None):
    """What a training loop would see: the layer's weights at each batch after an event at the end of an epoch."""
    seen, epoch, step = [], 1, 0
    while len(seen) < n_calls:
        noise(epoch, step)
        if step < STEPS:
            seen.append(layer.conv.weight.detach().clone())
            train()
            step += 1
        else:
            epoch, step = epoch + 1, 0
    return seen


@pytest.mark.parametrize("n_batches", [1, 3, 10, 17])
def test_zeroing_for_n_batches_hits_exactly_n_training_batches(layer, n_batches):
    indices = torch.tensor([3, 5])
    noise = TemporaryNoise("zero", n_batches, STEPS, torch.Generator())
    noise.begin(layer, indices, torch.arange(64))

    def train():  # a step that lets every filter regrow
        with torch.no_grad():
            layer.conv.weight += 1.0

    zeroed = [bool((w[indices] == 0).all()) for w in snapshots(noise, layer, n_batches + 5, train)]
    assert zeroed == [True] * n_batches + [False] * 5


@pytest.mark.parametrize("n_batches", [1, 4, 10, 12])
def test_gaussian_noise_is_added_n_times_and_only_to_the_targeted_filters(layer, n_batches):
    indices = torch.tensor([0, 9])
    start = layer.conv.weight.detach().clone()
    noise = TemporaryNoise("gaussian", n_batches, STEPS, torch.Generator().manual_seed(1))
    noise.begin(layer, indices, torch.arange(64))
    seen = snapshots(noise, layer, n_batches + 6)
    changes = [bool((a != b).any()) for a, b in zip([start, *seen], seen)]
    assert changes == [True] * n_batches + [False] * 6
    others = torch.ones(64, dtype=torch.bool)
    others[indices] = False
    assert torch.equal(seen[-1][others], start[others])


@pytest.mark.parametrize("kind", ["zero", "gaussian"])
@pytest.mark.parametrize("n_batches", [1, 10, 13])
def test_restored_filters_are_equal_to_the_bit_weights_and_batch_norm(layer, kind, n_batches):
    indices = torch.tensor([7, 1])
    tensors = [layer.conv.weight, layer.norm.weight, layer.norm.bias, layer.norm.running_mean, layer.norm.running_var]
    with torch.no_grad():
        for tensor in tensors:
            tensor.copy_(torch.randn_like(tensor).abs())
    before = [tensor.detach()[indices].clone() for tensor in tensors]
    noise = TemporaryNoise(kind, n_batches, STEPS, torch.Generator(), restore=True)
    noise.begin(layer, indices, torch.arange(64))

    def train():
        with torch.no_grad():
            for tensor in tensors:
                tensor.add_(0.123)

    snapshots(noise, layer, n_batches, train)
    noise(99, STEPS)  # the end of an epoch comes before any evaluation
    assert all(torch.equal(tensor.detach()[indices], old) for tensor, old in zip(tensors, before))


def test_filters_that_were_not_hit_keep_what_training_gave_them_when_others_are_restored(layer):
    noise = TemporaryNoise("zero", 2, STEPS, torch.Generator(), restore=True)
    noise.begin(layer, torch.tensor([0]), torch.arange(64))
    start = layer.conv.weight.detach()[1].clone()

    def train():
        with torch.no_grad():
            layer.conv.weight += 1.0

    snapshots(noise, layer, 3, train)
    assert torch.allclose(layer.conv.weight[1], start + 3)


def test_layer_noise_has_the_standard_deviation_of_the_kept_filters(layer):
    kept = torch.arange(32, 64)
    with torch.no_grad():
        layer.conv.weight[:32] = 0
        layer.conv.weight[32:] = 5 * torch.randn(32, 32, 3)
    before = layer.conv.weight.detach().clone()
    add_gaussian(layer, torch.arange(32), 2.0, torch.Generator().manual_seed(0), "layer", kept)
    added = (layer.conv.weight.detach() - before)[:32]
    assert added.std().item() == pytest.approx(10.0, rel=0.05)


def test_filter_noise_is_relative_to_each_filters_own_norm(layer):
    with torch.no_grad():
        layer.conv.weight *= torch.logspace(-3, 3, 64)[:, None, None]
    before = layer.conv.weight.detach().clone()
    add_gaussian(layer, torch.arange(64), 0.5, torch.Generator().manual_seed(0), "filter")
    ratio = (layer.conv.weight.detach() - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
    assert ratio.mean().item() == pytest.approx(0.5, rel=0.03)
    assert ratio.std().item() < 0.06


def test_a_partial_jolt_scales_the_weights(layer):
    before = layer.conv.weight.detach().clone()
    scale_weights(layer, torch.tensor([2]), 0.25)
    assert torch.allclose(layer.conv.weight[2], 0.75 * before[2])
    assert torch.equal(layer.conv.weight[3], before[3])


def test_save_and_load_cover_a_convolution_without_batch_norm():
    model = gst.make_prunable(torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3)))
    layer = gst.prunable_layers(model)["0"]
    saved = save_filters(layer, torch.tensor([1]))
    scale_weights(layer, torch.tensor([1]))
    assert layer.conv.bias[1] == 0
    load_filters(saved, torch.tensor([1]))
    assert layer.conv.bias[1] != 0


def test_weight_noise_is_off_again_at_the_next_call():
    model = gst.conv1d_net()
    before = [layer.conv.weight.detach().clone() for layer in gst.prunable_layers(model).values()]
    noise = WeightNoise(model, 0.3, STEPS, torch.Generator())
    noise(0, 0)
    weights = [layer.conv.weight for layer in gst.prunable_layers(model).values()]
    assert all(not torch.equal(w, b) for w, b in zip(weights, before))
    noise(0, STEPS)
    assert all(torch.allclose(w, b, atol=1e-6) for w, b in zip(weights, before))


def short(**changes):
    schedule = gst.PruneSchedule(1, 3, 1)
    return gst.RunConfig(n_train=200, n_test=200, schedule=schedule).replace(
        epochs=6, batch_size=50, milestones=(), **changes
    )


def test_a_temporary_method_leaves_no_filter_masked():
    result = gst.run(short(method="zero", noise_batches=4))
    assert gst.sparsity(result.model) == 0
    assert list(result.events.n_filters) == [19, 19, 19]


def test_cumulative_noise_hits_every_filter_chosen_so_far():
    result = gst.run(short(method="zero", noise_batches=4, cumulative=True))
    assert list(result.events.n_filters) == [19, 38, 57]


def test_redrawn_noise_hits_the_same_share_at_every_event_and_may_hit_all():
    result = gst.run(short(method="zero", redraw=True, prune_fraction=1.0, target="random"))
    assert list(result.events.n_filters) == [64, 64, 64]


def test_the_noise_event_chooses_the_filters_that_pruning_would_have_chosen():
    pruned = gst.Experiment(short(method="prune"))
    zeroed = gst.Experiment(short(method="zero"))
    first = gst.PruneSchedule(1, 1, 1)
    pruned, zeroed = (gst.Experiment(e.config.replace(schedule=first)) for e in (pruned, zeroed))
    pruned.run()
    zeroed.run()
    assert torch.equal(pruned._chosen["conv4"], zeroed._chosen["conv4"])
    assert pruned.events[0].accuracy_before == zeroed.events[0].accuracy_before


def test_gaussian_noise_of_size_zero_changes_no_number():
    quiet = gst.run(short(method="gaussian", noise_size=0.0, noise_batches=3))
    none = gst.run(short(method="none"))
    assert quiet.epochs.test_accuracy.tolist() == none.epochs.test_accuracy.tolist()
    assert quiet.instability == 0
