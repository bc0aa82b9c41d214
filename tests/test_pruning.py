"""Pruning: how many, when, which, and what is left; each rule against the paper's numbers or an independent formula."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn
from torch.nn import functional as F

import gst_tutorial as gst
from gst_tutorial.running_activation import RunningActivation


@pytest.fixture
def net():
    torch.manual_seed(0)
    return gst.conv1d_net()


@pytest.fixture
def x():
    return torch.randn(30, 1, 40, generator=torch.Generator().manual_seed(3))


def kept(model, layer="conv4"):
    return gst.prunable_layers(model)[layer].mask.kept.clone()


# --- how many ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((512, 0.9, 7), [447, 381, 315, 250, 184, 118, 52]),
        ((512, 0.3, 4), [474, 436, 398, 359]),
        ((64, 0.9, 1), [7]),
        ((64, 0.0, 3), [64, 64, 64]),
        ((1, 0.99, 2), [1, 1]),
        ((10, 0.7, 1), [3]),  # (1 - 0.7) * 10 is 3.0000000000000004 in binary: still 3
        ((10, 0.9, 1), [1]),
    ],
)
def test_kept_filters_are_those_of_the_paper(arguments, expected):
    assert gst.kept_filters(*arguments) == expected


@pytest.mark.parametrize("n_filters", [1, 7, 64, 512])
@pytest.mark.parametrize("prune_fraction", [0.0, 0.1, 0.25, 0.5, 0.95])
@pytest.mark.parametrize("n_events", [1, 3, 40])
def test_kept_filters_never_rise_and_end_at_the_rounded_up_rest(n_filters, prune_fraction, n_events):
    numbers = gst.kept_filters(n_filters, prune_fraction, n_events)
    assert len(numbers) == n_events
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == math.ceil(round((1 - prune_fraction) * n_filters, 6)) >= 1
    assert all(type(number) is int for number in numbers)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((64, 1.0, 3), ValueError, "prune_fraction=1 would leave no filter"),
        ((64, 1.1, 3), ValueError, r"prune_fraction=1\.1 must lie in"),
        ((64, float("nan"), 3), ValueError, "prune_fraction=nan"),
        ((64, "0.5", 3), TypeError, "prune_fraction='0.5'"),
        ((0, 0.5, 3), ValueError, "n_filters=0"),
        ((64, 0.5, 0), ValueError, "n_events=0"),
    ],
)
def test_bad_numbers_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        gst.kept_filters(*arguments)


# --- when ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(3, 150, 4), (6, 275, 40), (5, 23, 9), (0, 0, 1), (5, 22, 9), (4, 4, 100)])
def test_events_fall_on_the_range_from_start_to_end_inclusive(arguments):
    start, end, period = arguments
    schedule = gst.PruneSchedule(start, end, period)
    assert list(schedule.epochs) == list(range(start, end + 1, period))
    assert schedule.n_events == len(schedule.epochs)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((5, 4, 1), ValueError, "start=5 is after end=4"),
        ((0, 4, 0), ValueError, "retrain_period=0"),
        ((0, "4", 1), TypeError, "end='4'"),
        ((True, 4, 1), TypeError, "start=True"),
    ],
)
def test_an_impossible_schedule_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        gst.PruneSchedule(*arguments)


def test_schedule_keeps_its_window_and_names_a_contradiction():
    schedule = gst.PruneSchedule(5, 40, 18)
    assert (schedule.epochs, schedule.end, gst.Schedule((5, 23)).end) == ((5, 23), 40, 23)
    assert schedule != gst.Schedule((5, 23)) == gst.PruneSchedule(5, 23, 18)
    with pytest.raises(ValueError, match="end=7 and retrain_period=2 contradict"):
        gst.Schedule((1, 3, 9), end=7)


# --- scores --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("score", "power"), [("l1", 1), ("l2", 2)])
def test_norm_scores_are_the_norms_of_the_kernels_without_bias(score, power):
    torch.manual_seed(0)
    model = gst.make_prunable(nn.Sequential(nn.Conv2d(3, 5, 3, bias=True), nn.Conv2d(5, 2, 1)), torch.randn(2, 3, 6, 6))
    kernels = model[0].weight.detach().double().numpy().reshape(5, -1)
    with torch.no_grad():
        model[0].bias += 100
    norms = (np.abs(kernels) ** power).sum(1) ** (1 / power)
    assert gst.filter_scores(model, "0", score).numpy() == pytest.approx(norms)


@pytest.mark.parametrize(
    ("beta", "gamma"),
    [(0, 1), (1, 1), (-1, 1), (0.5, -2), (-0.7, -0.4), (0.3, 0), (-0.3, 0), (0, 0), (-3, 1), (2, 1e-6)],
)
def test_ebn_is_the_mean_of_relu_of_normal_draws_for_any_sign_of_gamma(net, beta, gamma):
    with torch.no_grad():
        net.bn4.weight.fill_(gamma)
        net.bn4.bias.fill_(beta)
    draws = np.random.default_rng(0).normal(size=1_000_000) * gamma + beta
    positive = np.maximum(draws, 0)
    error = 5 * positive.std() / 1000 + 1e-6
    assert gst.filter_scores(net, "conv4", "ebn").tolist() == pytest.approx([positive.mean()] * 64, abs=error)


def test_ebn_is_exact_for_filters_that_hardly_ever_fire(net):
    beta = torch.linspace(-7, 3, 64)
    with torch.no_grad():
        net.bn4.weight.copy_(torch.where(torch.arange(64) % 2 == 0, 1.0, -1.0))
        net.bn4.bias.copy_(beta)
    exact = beta.double().numpy() * norm.cdf(beta.double()) + norm.pdf(beta.double())
    assert gst.filter_scores(net, "conv4", "ebn").tolist() == pytest.approx(exact.tolist(), rel=1e-3)


def test_ebn_needs_a_batch_norm():
    model = gst.make_prunable(nn.Sequential(nn.Conv1d(1, 4, 3), nn.Conv1d(4, 2, 1)), torch.randn(2, 1, 9))
    with pytest.raises(ValueError, match=r"score='ebn'.*batch norm.*'0'"):
        gst.filter_scores(model, "0", "ebn")


def test_activation_score_is_the_mean_absolute_output_of_batch_norm(net, x):
    net(x)  # running statistics that differ from the batch's
    expected, h = {}, x
    with torch.no_grad():
        for i in range(1, 5):
            conv, bn = getattr(net, f"conv{i}"), getattr(net, f"bn{i}")
            h = F.conv1d(h, conv.weight, stride=conv.stride, padding=conv.padding)
            h = F.batch_norm(h, bn.running_mean, bn.running_var, bn.weight, bn.bias)
            expected[f"conv{i}"] = h.abs().mean((0, 2))
            h = h.relu()
    for name, values in expected.items():
        assert torch.allclose(gst.filter_scores(net, name, "activation", x), values, atol=1e-6)


def test_activation_score_leaves_modes_hooks_and_statistics_alone(net, x):
    net.train()
    net.bn1.eval()
    statistics = net.bn4.running_mean.clone()
    hooks = len(net.bn4.filter_mask._forward_hooks)
    gst.filter_scores(net, "conv4", "activation", x)
    assert torch.equal(net.bn4.running_mean, statistics)
    assert len(net.bn4.filter_mask._forward_hooks) == hooks
    assert net.training
    assert net.bn4.training
    assert not net.bn1.training


def test_the_activation_score_restores_modes_also_when_the_network_raises(net):
    net.train()
    with pytest.raises(ValueError, match="x: the model does not take"):
        gst.filter_scores(net, "conv4", "activation", torch.randn(3, 7, 40))
    assert all(module.training for module in net.modules())
    assert len(net.bn4.filter_mask._forward_hooks) == 0


def test_the_activation_score_asks_for_examples(net):
    with pytest.raises(ValueError, match="score='activation' needs examples"):
        gst.filter_scores(net, "conv4", "activation")


def test_a_score_may_be_the_callers_own_function(net):
    seen = gst.filter_scores(net, "conv4", lambda layer, model, x: torch.arange(64.0) * (layer.name == "conv4"))
    assert seen.tolist() == list(range(64))
    with pytest.raises(ValueError, match=r"shape \(3,\).*64 filters"):
        gst.filter_scores(net, "conv4", lambda layer, model, x: torch.zeros(3))


def test_unknown_scores_and_layers_are_named_with_the_nearest(net):
    with pytest.raises(ValueError, match=r"score='l3'.*Allowed: 'l1', 'l2', 'ebn', 'activation'"):
        gst.filter_scores(net, "conv4", "l3")
    with pytest.raises(ValueError, match=r"layer='conv5'.*Did you mean 'conv"):
        gst.filter_scores(net, "conv5")
    with pytest.raises(ValueError, match="make_prunable"):
        gst.filter_scores(nn.Sequential(nn.Conv1d(1, 2, 3)), "0")


# --- which ---------------------------------------------------------------------------------------------------


ALL = torch.ones(6, dtype=torch.bool)
SCORES = torch.tensor([5.0, 1.0, 4.0, 0.0, 3.0, 2.0])


def test_smallest_and_largest_go_by_score():
    assert gst.choose_filters(SCORES, ALL, 2).tolist() == [3, 1]
    assert gst.choose_filters(SCORES, ALL, 2, "largest").tolist() == [0, 2]


@pytest.mark.parametrize("target", ["smallest", "largest", "random"])
def test_only_candidates_are_chosen(target):
    candidates = torch.tensor([False, True, True, False, True, False])
    chosen = gst.choose_filters(SCORES, candidates, 3, target)
    assert sorted(chosen.tolist()) == [1, 2, 4]


@pytest.mark.parametrize("target", ["smallest", "largest"])
def test_ties_are_broken_in_the_order_of_topk(target):
    scores = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    candidates = torch.tensor([True, False, True, True, True, True, False, True])
    alive = candidates.nonzero().squeeze(1)
    for n in range(len(alive) + 1):
        expected = alive[scores[alive].topk(n, largest=target == "largest").indices]
        chosen = gst.choose_filters(scores, candidates, n, target)
        assert chosen.tolist() == expected.tolist()
        assert len(set(chosen.tolist())) == n  # ties never remove more, or other, filters than asked for


def test_random_targets_ignore_scores():
    choices = [
        gst.choose_filters(scores, ALL, 3, "random", torch.Generator().manual_seed(4)).tolist()
        for scores in (SCORES, -SCORES, torch.full((6,), math.nan))
    ]
    assert choices[0] == choices[1] == choices[2]


def test_random_targets_reach_every_filter_equally_often():
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(6)
    for _ in range(3000):
        counts[gst.choose_filters(SCORES, ALL, 2, "random", generator)] += 1
    assert ((counts - 1000).abs() < 5 * math.sqrt(3000 * (1 / 3) * (2 / 3))).all()


@pytest.mark.parametrize(
    ("n", "target", "error", "message"),
    [
        (7, "smallest", ValueError, "n_chosen=7 must be at most 6"),
        (-1, "smallest", ValueError, "n_chosen=-1"),
        (1.0, "smallest", TypeError, "n_chosen"),
        (1, "biggest", ValueError, "target='biggest'"),
    ],
)
def test_bad_choices_are_named(n, target, error, message):
    with pytest.raises(error, match=message):
        gst.choose_filters(SCORES, ALL, n, target)


# --- pruning and undoing it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["smallest", "largest", "random"])
@pytest.mark.parametrize("score", ["l1", "l2", "ebn", "activation"])
def test_a_filter_pruned_before_is_still_pruned(net, x, score, target):
    with torch.no_grad():
        net.bn4.bias.normal_()
    before = kept(net)
    for prune_fraction in (0.1, 0.3, 0.3, 0.9):
        new = gst.prune_filters(net, "conv4", prune_fraction, score=score, target=target, x=x)
        after = kept(net)
        assert not (after & ~before).any()
        assert sorted(new.tolist()) == (before & ~after).nonzero().squeeze(1).tolist()
        assert int(after.sum()) == gst.kept_filters(64, prune_fraction, 1)[0]
        before = after


def test_pruning_one_layer_leaves_the_others_alone(net):
    gst.prune_filters(net, "conv2", 0.5)
    assert [layer.mask.sparsity for layer in gst.prunable_layers(net).values()] == [0, 0.5, 0, 0]


def test_pruning_smallest_takes_the_smallest_norms_of_the_unpruned(net):
    norms = net.conv4.weight.detach().double().flatten(1).norm(dim=1)
    order = norms.argsort().tolist()
    assert gst.prune_filters(net, "conv4", keep=60).tolist() == order[:4]
    assert gst.prune_filters(net, "conv4", keep=57, target="largest").tolist() == order[::-1][:3]
    assert gst.prune_filters(net, "conv4", keep=55).tolist() == order[4:6]


def test_pruning_to_more_than_is_left_prunes_nothing(net):
    gst.prune_filters(net, "conv4", keep=10)
    assert gst.prune_filters(net, "conv4", keep=20).numel() == 0
    assert gst.prune_filters(net, "conv4", 0.0).numel() == 0
    assert int(kept(net).sum()) == 10


def test_a_dead_filter_that_is_not_pruned_is_still_a_candidate(net):
    dead = [7, 20, 33]
    with torch.no_grad():
        net.conv4.weight[dead] = 0
    gst.prune_filters(net, "conv4", keep=60, target="largest")
    assert kept(net)[dead].all()
    assert sorted(gst.prune_filters(net, "conv4", keep=57).tolist()) == dead


def test_random_pruning_depends_on_its_generator_and_not_on_the_weights():
    chosen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = gst.conv1d_net()
        generator = torch.Generator().manual_seed(9)
        chosen.append(gst.prune_filters(model, "conv4", 0.5, target="random", generator=generator).tolist())
    assert chosen[0] == chosen[1]


def test_pruning_is_undone_by_restoring(net, x):
    before = net.eval()(x)
    gst.prune_filters(net, "conv4", 0.9)
    gst.prune_filters(net, "conv1", 0.5)
    assert not torch.equal(net(x), before)
    gst.restore_filters(net, "conv1")
    assert gst.sparsity(net, ["conv1"]) == 0
    assert gst.sparsity(net, ["conv4"]) > 0.8
    gst.restore_filters(net)
    assert torch.equal(net(x), before)


def test_single_filters_can_be_restored(net):
    pruned = gst.prune_filters(net, "conv4", keep=60)
    gst.restore_filters(net, "conv4", pruned[:1])
    assert kept(net)[pruned].tolist() == [True, False, False, False]
    with pytest.raises(ValueError, match="layer='conv9'"):
        gst.restore_filters(net, "conv9")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer": "conv7", "prune_fraction": 0.5}, ValueError, "layer='conv7'.*Did you mean"),
        ({"prune_fraction": 1.0}, ValueError, "prune_fraction=1 would leave no filter"),
        ({}, ValueError, "prune_fraction=None or keep=None"),
        ({"prune_fraction": 0.5, "keep": 3}, ValueError, r"prune_fraction=0\.5 or keep=3"),
        ({"keep": 0}, ValueError, "keep=0 must be at least 1"),
        ({"keep": 65}, ValueError, "keep=65 must be at most 64"),
        ({"prune_fraction": 0.5, "score": "nope", "target": "random"}, ValueError, "score='nope'"),
        ({"prune_fraction": 0.5, "target": "middle"}, ValueError, "target='middle'"),
        ({"prune_fraction": 0.5, "score": "activation"}, ValueError, "needs examples"),
    ],
)
def test_bad_arguments_prune_nothing(net, arguments, error, message):
    with pytest.raises(error, match=message):
        gst.prune_filters(net, **{"layer": "conv4", **arguments})
    assert gst.sparsity(net) == 0


# --- scores of the paper's ResNets ---------------------------------------------------------------------------


def test_signed_ebn_is_the_official_formula(net):
    bn = net.bn4
    with torch.no_grad():
        bn.weight.copy_(torch.randn(64, generator=torch.Generator().manual_seed(1)))
        bn.bias.copy_(torch.randn(64, generator=torch.Generator().manual_seed(2)))
        bn.weight[:3], bn.bias[:3] = 0, torch.tensor([1.0, -1.0, 0.0])
    found = gst.filter_scores(net, "conv4", "ebn_signed").double()
    gamma, beta = bn.weight.detach().double(), bn.bias.detach().double()
    alpha = (-beta / gamma)[3:]  # the official code: where the nonlinearity cuts the standard normal distribution
    share = torch.from_numpy(1 - norm.cdf(alpha))  # of it that is left
    cut = (beta[3:] + torch.from_numpy(norm.pdf(alpha)) / share * gamma[3:]).where(share > 0, 0.0)
    assert torch.allclose(found[3:], share * cut, atol=1e-6)
    assert found[:3].tolist() == [1, 0, 0]
    assert torch.equal(found[gamma >= 0].float(), gst.filter_scores(net, "conv4", "ebn")[gamma >= 0])


def official_forward(block, x):
    """A block of the official code with its activation score (sums there, means here; the mask is ours)."""
    out = block.bn1(block.conv1(x))
    if block.training:
        block.counter += 1
        if block.counter % 10 == 0:
            block.mean_1 = 0.1 * out.abs().mean(dim=[0, 2, 3]).detach() + 0.9 * block.mean_1
    out = block.bn2(block.conv2(F.relu(out)))
    kept = block.bn2.filter_mask.kept
    out[:, kept] += block.shortcut(x)[:, kept]
    if block.training and block.counter % 10 == 0:
        block.mean_2 = 0.1 * out.abs().mean(dim=[0, 2, 3]).detach() + 0.9 * block.mean_2
    return F.relu(out)


@pytest.mark.parametrize("build", [gst.networks.resnet18, gst.networks.resnet20])
def test_running_activations_are_those_of_the_official_code(build):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 3, 8, 8, generator=generator).double(), torch.arange(30) % 10
    dataset = gst.Dataset("noise", x, y, x, y, 10)
    recipe = gst.Recipe(batch_size=5, epochs=4, milestones=())  # 24 batches: the 10th and the 20th are watched
    torch.manual_seed(0)
    ours = build(width=0.125).double()  # rounding grows fast with batches of five
    last = [name for name in gst.prunable_layers(ours) if name.startswith("layer")][-2:]
    for name in last:
        gst.prune_filters(ours, name, 0.25)
    official = copy.deepcopy(ours)
    blocks = [module for module in official.modules() if hasattr(module, "shortcut")]
    for block in blocks:
        block.counter, block.mean_1, block.mean_2 = 0, 0.0, 0.0
        block.forward = official_forward.__get__(block)
    watch = RunningActivation(ours, recipe.steps_per_epoch(30))
    evaluate = lambda epoch, step: step == 6 and gst.accuracy(ours, x, y)  # noqa: E731  (not counted)
    losses = gst.train(ours, dataset, recipe, callbacks=[watch, evaluate])
    assert losses == pytest.approx(gst.train(official, dataset, recipe), rel=1e-6)
    names = [name for name, module in official.named_modules() if hasattr(module, "shortcut")]
    for name, block in zip(names, blocks, strict=True):
        for conv, expected in (("conv1", block.mean_1), ("conv2", block.mean_2)):
            found = gst.filter_scores(ours, f"{name}.{conv}", "running_activation")
            assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-7)
    layer = gst.prunable_layers(ours)[last[-1]]
    assert (layer.mask.running_activation == 0).equal(~layer.mask.kept)  # pruned: nothing, the shortcut included


def test_a_run_prunes_by_what_was_active_while_it_trained():
    config = gst.RunConfig(width=0.25, n_train=100, n_test=100, epochs=8, batch_size=50, milestones=())
    config = config.replace(intervention="prune", schedule=gst.PruneSchedule(6, 6, 1), score="running_activation")
    seen = []
    experiment = gst.Experiment(config.replace(target="largest", prune_fraction=0.5))
    original = experiment._recorder._hit

    def prune(due):
        seen.append(experiment.layers["conv4"].mask.running_activation.clone())
        return original(due)

    experiment._recorder._hit = prune
    experiment.run()
    kept = experiment.layers["conv4"].mask.kept
    assert seen[0][~kept].min() >= seen[0][kept].max()
    early = config.replace(schedule=gst.PruneSchedule(1, 1, 1))  # four batches: none is the tenth
    with pytest.raises(ValueError, match="needs 10 training batches"):
        gst.run(early)
