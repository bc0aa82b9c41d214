"""The paper's protocols as studies: what its table says, written down a second time."""

import math

import pytest
import torch

import gst_tutorial as gst
from gst_tutorial import references, studies
from gst_tutorial.book.studies import costs
from gst_tutorial.studies import cost

PAPER = [name for name in studies.names() if name.startswith("paper")]


def plan(config):
    return {layer: (fraction, schedule.epochs) for layer, fraction, schedule in config.plan}


def test_figure_2_prunes_the_last_four_convolutions_of_vgg11():
    grid = studies.get("paper-fig2-vgg11")
    assert {arm.label for arm in grid.arms} == {
        "none",
        "prune at init",
        "S, period 4",
        "S, period 40",
        "R, period 40",
        "L, period 40",
    }
    unstable = plan(grid["S, period 40"])
    assert unstable["conv5"] == (0.3, (3, 43, 83, 123))
    assert unstable["conv8"] == (0.9, (6, 46, 86, 126, 166, 206, 246))
    assert len(plan(grid["S, period 4"])["conv8"][1]) == 68
    recipe = grid["none"].recipe
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size, recipe.epochs) == ("adam", 1e-3, 128, 325)
    assert (recipe.milestones, recipe.weight_decay, recipe.augment) == ((150, 300), 0, "none")


def test_figure_6_sums_the_hundred_largest_eigenvalues_of_512_examples():
    (measure,) = studies.get("paper-fig2-vgg11")["none"].measures
    data = gst.load("mnist1d")
    few = gst.Dataset.from_arrays(data.x_train[:512], data.y_train[:512], data.x_test[:512], data.y_test[:512])
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 6), torch.nn.Tanh(), torch.nn.Linear(6, 10))
    found = references.function_of("measures", measure)(net, few)
    named = dict(net.double().named_parameters())
    shapes = [p.shape for p in named.values()]

    def loss(flat):  # 316 weights: the Hessian as a matrix
        parts = [part.view(shape) for part, shape in zip(flat.split([s.numel() for s in shapes]), shapes)]
        logits = torch.func.functional_call(net, dict(zip(named, parts)), few.x_test.double())
        return torch.nn.functional.cross_entropy(logits, few.y_test)

    flat = torch.cat([p.detach().flatten() for p in named.values()])
    eigenvalues = torch.linalg.eigvalsh(torch.func.hessian(loss)(flat))
    top = eigenvalues[eigenvalues.abs().argsort(descending=True)[:100]]
    assert found["test_hessian_sum"] == pytest.approx(float(top.sum()), rel=1e-3)
    assert not math.isclose(float(top.sum()), float(top[:20].sum()), rel_tol=1e-2)  # 20 would not do


def test_beside_noise_only_the_convolutions_output_is_masked():
    for name in ("paper-fig5", "paper-figD2"):
        grid = studies.get(name)
        pruned = grid["L, period 40"]
        assert pruned.mask == "conv"
        assert pruned.replace(mask="norm") == studies.get("paper-fig2-vgg11")["L, period 40"].replace(measures=())
        assert {arm.config.mask for arm in grid.arms if arm.config != pruned} == {"norm"}


def test_figure_d2_silences_all_filters_chosen_so_far_and_gives_them_back():
    grid = studies.get("paper-figD2")
    away = [arm.config for arm in grid.arms[2:]]
    assert [config.n_batches for config in away] == [89, 630, 1220, 2480]
    for config in away:
        # the official code zeroes batch norm's scale and shift with the weights, so that no constant is left
        assert (config.intervention, config.draws, config.restore) == ("silence", "so far", "values")
        assert config.target == "largest"
        assert plan(config) == plan(grid["L, period 40"])


def test_small_sibling_removes_the_papers_shares_at_its_landmarks():
    big = studies.get("paper-fig2-vgg11")["S, period 40"]
    small = studies.get("photographs")["the paper's protocol, unstable"]
    assert (small.layers, small.prune_fraction) == (big.layers, big.prune_fraction)
    for config in (
        big,
        small,
    ):  # conv5 to conv7 until the learning rate first falls, conv8 until four fifths of training
        *early, last = config.schedule
        assert all(0.8 < schedule.epochs[-1] / config.milestones[0] <= 1 for schedule in early)
        assert 0.7 < last.epochs[-1] / config.epochs < 0.85


def test_arms_on_photographs_differ_in_their_factors_only():
    grid = studies.get("photographs")
    for arm in grid.arms:
        plain = arm.config.without_events().replace(weight_decay=0.0, sam_radius=0.0)
        assert plain == grid["none"]
    two, thirteen = (grid[f"random, 80%, {n} events"].event_epochs for n in (2, 13))
    assert (two[0], two[-1]) == (thirteen[0], thirteen[-1])


def test_every_study_has_a_measured_cost():
    assert set(costs.recorded_costs().study) == set(studies.names())


def test_the_cost_of_a_study_grows_with_its_seeds_and_counts_its_steps():
    from tests.studies.small_study import study

    one, three = (cost.study_cost(study(n), n_steps=2) for n in (1, 3))
    assert one["steps"] == 4 * 3 * 2  # four methods, three epochs, two batches
    assert three["steps"] == 3 * one["steps"]
    assert one["step_seconds"] > 0
    assert three["hours"] > one["hours"]


def test_evaluations_are_counted_as_a_run_makes_them(monkeypatch):
    from gst_tutorial import events

    calls = []
    for name in ("correct", "accuracy"):
        original = getattr(events, name)
        count = lambda *arguments, original=original: calls.append(1) or original(*arguments)  # noqa: E731
        monkeypatch.setattr(events, name, count)
    config = gst.RunConfig(n_train=50, n_test=50, intervention="prune", schedule=gst.PruneSchedule(1, 5, 2)).replace(
        epochs=8, milestones=(), evaluate_every=3
    )
    gst.run(config)
    assert len(calls) == cost._n_evaluations(config)
