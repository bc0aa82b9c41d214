"""Temporary pruning: which batches are hit, what comes back, and what is left alone."""

import pytest
import torch

import gst_tutorial as gst
from gst_tutorial import masks
from gst_tutorial.hits import Hits
from gst_tutorial.interventions import INTERVENTIONS, Site, WeightNoise, add_gaussian, intervention, scale_weights
from gst_tutorial.weights import load_units, save_units

STEPS = 10  # batches per epoch


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return gst.prunable_layers(gst.conv1d_net())["conv4"]


def site(layer, units, kept=None, model=None, seed=1):
    kept = torch.arange(64) if kept is None else kept
    return Site(model, layer, units, kept, torch.Generator().manual_seed(seed))


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
    noise = Hits(INTERVENTIONS["zero"], STEPS, n_batches)
    noise.begin(site(layer, indices))

    def train():  # a step that lets every filter regrow
        with torch.no_grad():
            layer.conv.weight += 1.0

    zeroed = [bool((w[indices] == 0).all()) for w in snapshots(noise, layer, n_batches + 5, train)]
    assert zeroed == [True] * n_batches + [False] * 5


@pytest.mark.parametrize("n_batches", [1, 4, 10, 12])
def test_gaussian_noise_is_added_n_times_and_only_to_the_targeted_filters(layer, n_batches):
    indices = torch.tensor([0, 9])
    start = layer.conv.weight.detach().clone()
    noise = Hits(INTERVENTIONS["gaussian"], STEPS, n_batches)
    noise.begin(site(layer, indices))
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
    noise = Hits(INTERVENTIONS[kind], STEPS, n_batches, restore="values")
    noise.begin(site(layer, indices))

    def train():
        with torch.no_grad():
            for tensor in tensors:
                tensor.add_(0.123)

    snapshots(noise, layer, n_batches, train)
    noise(99, STEPS)  # the end of an epoch comes before any evaluation
    assert all(torch.equal(tensor.detach()[indices], old) for tensor, old in zip(tensors, before))


def test_restoring_some_filters_leaves_the_training_of_others(layer):
    noise = Hits(INTERVENTIONS["zero"], STEPS, 2, restore="values")
    noise.begin(site(layer, torch.tensor([0])))
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


def test_save_and_load_cover_a_convolution_without_batch_norm():
    model = gst.make_prunable(
        torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3), torch.nn.Conv1d(4, 2, 1)), torch.randn(2, 1, 9)
    )
    layer = gst.prunable_layers(model)["0"]
    saved = save_units(layer, torch.tensor([1]))
    scale_weights(layer, torch.tensor([1]), 0.0)
    assert layer.conv.bias[1] == 0
    load_units(saved, torch.tensor([1]))
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
    result = gst.run(short(intervention="zero", n_batches=4))
    assert gst.sparsity(result.model) == 0
    assert list(result.events.n_filters) == [19, 19, 19]


def test_cumulative_noise_hits_every_filter_chosen_so_far():
    result = gst.run(short(intervention="zero", n_batches=4, draws="so far"))
    assert list(result.events.n_filters) == [19, 38, 57]


def test_redrawn_noise_hits_the_same_share_at_every_event_and_may_hit_all():
    result = gst.run(short(intervention="zero", draws="afresh", prune_fraction=1.0, target="random"))
    assert list(result.events.n_filters) == [64, 64, 64]


def test_noise_hits_the_filters_that_pruning_would_have_chosen():
    pruned = gst.Experiment(short(intervention="prune"))
    zeroed = gst.Experiment(short(intervention="zero"))
    first = gst.PruneSchedule(1, 1, 1)
    pruned, zeroed = (gst.Experiment(e.config.replace(schedule=first)) for e in (pruned, zeroed))
    pruned.run()
    zeroed.run()
    assert torch.equal(~pruned.layers["conv4"].mask.kept, zeroed._recorder._chosen["conv4"])
    assert pruned.events[0].accuracy_before == zeroed.events[0].accuracy_before


def test_gaussian_noise_of_size_zero_changes_no_number():
    quiet = gst.run(short(intervention="gaussian", size=0.0, n_batches=3))
    none = gst.run(short(intervention="none"))
    assert quiet.epochs.test_accuracy.tolist() == none.epochs.test_accuracy.tolist()
    assert quiet.instability == 0


# --- what must stay equal stays equal ----------------------------------------------------------------------------------

HALF = torch.arange(0, 64, 2)
OTHERS = torch.arange(1, 64, 2)


@pytest.fixture(scope="module")
def trained():
    """A network that has learned something, its data, and the run's optimizer."""
    experiment = gst.Experiment(short())
    experiment.run()
    return experiment


def applied(trained, name, units=HALF, **size):
    """The network after one intervention on half of conv4 (or of the head's inputs), and before it."""
    import copy

    before, after = copy.deepcopy(trained.model).eval(), copy.deepcopy(trained.model).eval()
    hits_inputs = INTERVENTIONS[name].hits == "inputs"
    layer = masks.PrunableLayer("head", after.head, None, None) if hits_inputs else gst.prunable_layers(after)["conv4"]
    optimizer = gst.Recipe().build_optimizer(after)
    place = Site(after, layer, units, OTHERS, torch.Generator().manual_seed(0), optimizer)
    with torch.no_grad():
        INTERVENTIONS[name].apply(place, **size)
    return before, after, trained.dataset.x_test


@pytest.mark.parametrize("size", [0.25, 0.5, 4.0])
def test_rescale_changes_no_prediction(trained, size):
    before, after, x = applied(trained, "rescale", size=size)
    with torch.no_grad():
        assert torch.allclose(before(x), after(x), rtol=1e-3, atol=1e-4)
        assert torch.equal(before(x).argmax(1), after(x).argmax(1))
    assert torch.allclose(after.conv4.weight[HALF], size * before.conv4.weight[HALF])


def test_scale_is_seen_in_evaluation_and_not_by_batch_norm_in_training(trained):
    before, after, x = applied(trained, "scale")
    with torch.no_grad():
        assert not torch.allclose(before(x), after(x), atol=0.1)
        assert torch.allclose(before.train()(x), after.train()(x), atol=0.02)


@pytest.mark.parametrize("name", ["redirect", "gaussian_same_norm"])
def test_a_new_direction_keeps_the_length_of_each_filter(trained, name):
    before, after, _ = applied(trained, name)
    lengths = [model.conv4.weight.flatten(1).norm(dim=1) for model in (before, after)]
    assert torch.allclose(*lengths, rtol=1e-5)
    cosine = torch.nn.functional.cosine_similarity(
        before.conv4.weight[HALF].flatten(1), after.conv4.weight[HALF].flatten(1)
    )
    if name == "redirect":  # random directions in 96 dimensions are nearly orthogonal, 1 / sqrt(96) = 0.10 apart
        assert cosine.abs().mean() < 0.2
    else:  # noise as long as the filter turns it by 45 degrees on average
        assert cosine.mean().item() == pytest.approx(0.5**0.5, abs=0.06)


def test_silence_makes_the_filters_say_nothing(trained):
    _, after, x = applied(trained, "silence")
    with torch.no_grad():
        assert (after[:11](x)[:, HALF] == 0).all()  # the output of bn4


def test_figure_d2_filters_are_silent_for_n_batches_then_restored():
    """The definition in a few lines: before each of N batches weights, scale and shift times 0; then all values back."""
    schedule, n_batches, per_epoch = gst.PruneSchedule(0, 2, 2), 5, 3
    config = gst.RunConfig(
        width=0.25, n_train=150, n_test=50, batch_size=50, epochs=5, milestones=(), schedule=schedule, prune_fraction=0.5,
        target="largest", intervention="silence", draws="so far", restore="values", n_batches=n_batches,
    )  # fmt: skip
    experiment = gst.Experiment(config)
    conv, bn = experiment.layers["conv4"].conv, experiment.layers["conv4"].norm
    tensors = (conv.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var)
    before, silent = {}, []

    def copies():
        return [tensor.detach().clone() for tensor in tensors]

    original = experiment._recorder._event

    def event(epoch, due):
        before[epoch] = copies()
        return original(epoch, due)

    def watch(epoch, step):  # after the interventions' own call
        since = epoch * per_epoch + step - max([(e + 1) * per_epoch for e in before], default=10**6)
        if since < 0 or step == per_epoch:
            return
        hit, now = experiment._recorder._chosen["conv4"], copies()
        if since < n_batches:
            assert all((tensor[hit] == 0).all() for tensor in now[:3])
            silent.append(int(hit.sum()))
        elif since == n_batches:
            assert all(torch.equal(tensor[hit], old[hit]) for tensor, old in zip(now, before[max(before)], strict=True))

    experiment._recorder._event = event
    experiment.run(callbacks=[watch])
    assert silent == [4] * 5 + [8] * 5  # 16 filters: a quarter, then with those chosen before a half


@pytest.mark.parametrize("name", [name for name, entry in INTERVENTIONS.items() if entry.hits == "filters"])
def test_filters_that_are_not_hit_are_left_alone_to_the_bit(trained, name):
    before, after, _ = applied(trained, name)
    for (path, old), new in zip(before.state_dict().items(), after.state_dict().values()):
        if path.startswith(("conv4.", "bn4.")) and old.dim():
            assert torch.equal(old[OTHERS], new[OTHERS]), path
        else:
            assert torch.equal(old, new), path


def test_zeroed_inputs_change_the_head_and_nothing_else(trained):
    before, after, _ = applied(trained, "zero_inputs", torch.arange(0, 640, 2))
    assert (after.head.weight[:, ::2] == 0).all()
    assert torch.equal(after.head.weight[:, 1::2], before.head.weight[:, 1::2])
    changed = [path for path, old in before.state_dict().items() if not torch.equal(old, after.state_dict()[path])]
    assert changed == ["head.weight"]


def test_resetting_the_moments_changes_no_weight_and_empties_the_optimizer(trained):
    experiment = gst.Experiment(short(intervention="reset_moments", schedule=gst.PruneSchedule(2, 2, 1)))
    steps = []
    experiment.run(
        callbacks=[lambda epoch, step: steps.append(len(experiment.optimizer.state)) if epoch == 2 else None]
    )
    assert steps[0] > 0 and steps[-1] == 0
    assert (experiment.events[0].instability, experiment.events[0].n_filters) == (0, 0)


def test_the_old_length_comes_back_after_one_batch():
    experiment = gst.Experiment(
        short(intervention="zero", restore="norm", draws="afresh", target="random", prune_fraction=0.5)
    )
    weight, lengths = experiment.layers["conv4"].conv.weight, {}

    def look(epoch, step):
        if (epoch, step) in ((1, 3), (2, 1), (2, 2)):
            lengths[epoch, step] = weight.detach().flatten(1).norm(dim=1)

    experiment.run(callbacks=[look])
    before, after = lengths[1, 3], lengths[2, 1]
    assert torch.allclose(before, after, rtol=0.2)  # one step of training lies between, which moves the others, too
    assert (after > 0).all()


def test_half_of_the_head_s_inputs_are_hit_at_every_event():
    config = short(intervention="zero_inputs", layers=("head",), draws="afresh", target="random", prune_fraction=0.5)
    result = gst.run(config)
    assert list(result.events.n_filters) == [320, 320, 320]
    assert (result.events.instability > 0).any()


@pytest.mark.parametrize(("name", "size"), [("zero", None), ("scale", 0.25), ("rescale", 0.25), ("gaussian", 1.0)])
def test_the_usual_size_is_that_of_the_function(name, size):
    assert intervention(name).usual_size == size
    if size is not None:
        assert gst.RunConfig(intervention=name, size=size).hash == gst.RunConfig(intervention=name).hash


def test_rescaling_to_nothing_or_without_batch_norm_is_refused(trained):
    with pytest.raises(ValueError, match="size=0"):
        applied(trained, "rescale", size=0)
    bare = gst.make_prunable(
        torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3), torch.nn.Conv1d(4, 2, 1)), torch.randn(2, 1, 9)
    )
    with pytest.raises(ValueError, match="batch norm behind layer '0'"):
        INTERVENTIONS["rescale"].apply(site(gst.prunable_layers(bare)["0"], torch.tensor([1])))


def test_weight_noise_without_masks_is_refused():
    with pytest.raises(ValueError, match="weight_noise"):
        WeightNoise(torch.nn.Linear(2, 2), 0.1, STEPS, torch.Generator())
