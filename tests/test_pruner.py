"""`gst.Pruner` in a plain loop: events, metrics, layers, budgets, resuming, and two processes."""

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import gst_tutorial as gst
from tests.loops import small


def train(model, pruner, epochs=range(4), seed=0):
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in epochs:
        for x, y in small.loader(shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        pruner.step(epoch)
    return pruner.events


def make(seed=0):
    torch.manual_seed(seed)
    return small.net()


def test_events_follow_the_schedule_and_keep_what_a_run_keeps():
    model = make()
    events = train(model, gst.Pruner(model, (0, 2, 3), prune_fraction=0.7, evaluate=small.loader()))
    assert events.epoch.tolist() == [0, 2, 3]
    assert events.layers.tolist() == ["0+3"] * 3
    kept = [sum(gst.kept_filters(n, 0.7, 3)[i] for n in (8, 6)) for i in range(3)]
    assert (14 - events.n_filters.cumsum()).tolist() == kept
    assert events.accuracy_before.between(1 / 3, 1).all()
    assert (events.instability * events.accuracy_before).tolist() == pytest.approx(
        (events.accuracy_before - events.accuracy_after).tolist()
    )


def test_watching_with_scores_on_batches_changes_no_random_number():
    logits = []
    for score, batches in (("l2", None), (lambda layer, model, batch: layer.conv.weight.flatten(1).norm(dim=1), True)):
        model = make()
        given = small.loader(shuffle=True) if batches else None
        train(model, gst.Pruner(model, (1,), score=score, prune_fraction=0.5, batches=given, n_batches=2))
        logits.append(model(small.tensors()[0]))
    assert torch.equal(*logits)


def test_score_is_the_mean_over_batches():
    model, y = make(), small.tensors()[1]
    seen = []

    def score(layer, model, batch):
        seen.append(batch)
        return gst.filter_scores(model, layer.name, "taylor", batch)

    gst.Pruner(model, (0,), score=score, prune_fraction=0.5, layers="0", batches=small.loader(), n_batches=3).step(0)
    assert torch.equal(torch.cat([labels for _, labels in seen]), y)
    pruned = ~gst.prunable_layers(model)["0"].mask.kept
    gst.restore_filters(model, "0")
    mean = sum(gst.filter_scores(model, "0", "taylor", batch) for batch in seen) / 3
    assert set(pruned.nonzero().flatten().tolist()) == set(mean.argsort()[:4].tolist())


def test_missed_epochs_are_made_up_for_and_repeated_ones_ignored():
    model = make()
    pruner = gst.Pruner(model, (1, 3), prune_fraction=0.5)
    assert pruner.step(0) is None
    assert pruner.step(5).n_filters == 7  # both events at once
    assert pruner.step(5) is None and len(pruner.events) == 1


def test_resumed_pruner_continues_with_the_same_random_filters():
    found = []
    for stop in (False, True):
        model = make()
        pruner = gst.Pruner(model, (0, 1), target="random", prune_fraction=0.5, seed=3)
        pruner.step(0)
        if stop:
            state, weights = pruner.state_dict(), model.state_dict()
            model = make(seed=1)
            model.load_state_dict(weights)
            pruner = gst.Pruner(model, (0, 1), target="random", prune_fraction=0.5, seed=4)
            pruner.load_state_dict(state)
        pruner.step(1)
        found.append(
            (pruner.events.to_csv(), [layer.mask.mask.tolist() for layer in gst.prunable_layers(model).values()])
        )
    assert found[0] == found[1]


# --- metrics ----------------------------------------------------------------------------------------------------------


def losses(model):
    x, y = small.tensors()
    with torch.no_grad():
        return F.cross_entropy(model.eval()(x), y, reduction="none")


def test_instability_of_a_loss_is_its_relative_rise():
    model = make()
    pruner = gst.Pruner(model, (3,), prune_fraction=0.6, evaluate=lambda: losses(model), metric="lower")
    event = train(model, pruner).iloc[0]
    assert event.accuracy_after == pytest.approx(losses(model).mean().item())
    assert event.instability == pytest.approx((event.accuracy_after - event.accuracy_before) / event.accuracy_before)
    assert event.instability > 0 and event.standard_error > 0


def test_standard_error_of_numbers_is_that_of_a_bootstrap():
    generator = torch.Generator().manual_seed(0)
    before = torch.rand(400, generator=generator) + 0.5
    after = before * 1.3 + 0.4 * torch.rand(400, generator=generator)
    found = gst.instability_of(before, after, metric="lower")
    draws = torch.randint(400, (4000, 400), generator=generator)
    assert found.standard_error == pytest.approx((after[draws].mean(1) / before[draws].mean(1)).std().item(), rel=0.05)


def test_right_or_wrong_as_numbers_gives_the_same_as_bool():
    before, after = torch.arange(20) % 5 > 0, torch.arange(20) % 3 > 0
    as_bool = gst.instability_of(before, after)
    as_numbers = gst.instability_of(before.double(), after.double(), metric="higher")
    assert vars(as_numbers) == pytest.approx(vars(as_bool))


def test_negative_metric_that_falls_is_worse():
    assert gst.instability_of(-2.0, -3.0, metric="higher").instability == 0.5
    assert gst.instability_of(-2.0, -3.0, metric="lower").instability == -0.5


def test_percentage_is_refused_with_the_other_metrics_named():
    with pytest.raises(ValueError, match=r"accuracy 80.0; it must lie in \[0, 1\].*metric='higher' or 'lower'"):
        gst.instability_of(80.0, 60.0)
    with pytest.raises(FloatingPointError, match="after, returned by evaluate, is nan"):
        gst.instability_of(2.0, float("nan"), metric="lower")


class Wrapped(nn.Module):
    """Another library's network: takes named inputs, and returns an object or a dict."""

    def __init__(self, kind):
        super().__init__()
        self.net, self.kind = make(), kind

    def forward(self, signal):
        logits = self.net(signal)
        return {"dict": {"logits": logits}, "tuple": (logits, None), "object": type("Output", (), {"logits": logits})}[
            self.kind
        ]


@pytest.mark.parametrize("kind", ["dict", "tuple", "object"])
def test_accuracy_takes_loaders_of_dicts_and_outputs_with_logits(kind):
    x, y = small.tensors()
    batches = [{"signal": x[i : i + 25], "label": y[i : i + 25]} for i in (0, 25, 50)]
    assert gst.accuracy(Wrapped(kind), batches) == gst.accuracy(make(), x, y)
    model = Wrapped(kind)
    pruner = gst.Pruner(model, (0,), score="activation", prune_fraction=0.5, batches=batches, evaluate=batches)
    assert pruner.step(0).n_filters == 7


# --- layers and budgets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", ["conv1", "conv2", "conv3", "conv4"]),
        ("conv[13]", ["conv1", "conv3"]),
        (["conv4", "conv1"], ["conv4", "conv1"]),
    ],
)
def test_layers_may_be_all_a_glob_or_a_list(layers, expected):
    assert list(gst.Pruner(gst.conv1d_net(), (0,), prune_fraction=0.5, layers=layers).fractions) == expected


def test_plan_gives_each_layer_its_fraction():
    pruner = gst.Pruner(gst.conv1d_net(), (0,), prune_fraction={"conv[12]": 0.25, "conv4": 0.75})
    pruner.step(0)
    kept = [gst.sparsity(pruner.model, [name]) for name in ("conv1", "conv2", "conv3", "conv4")]
    assert kept == [0.25, 0.25, 0, 0.75]


def count(model, what):
    if what == "parameters":
        return sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(2, 1, 40))
    return counter.get_total_flops()


@pytest.mark.parametrize("what", ["parameters", "multiply-adds"])
@pytest.mark.parametrize("target", ["smallest", "random"])
def test_budget_is_met_by_the_compacted_network_and_hardly_missed(what, target):
    model = gst.conv1d_net()
    pruner = gst.Pruner(model, (0, 1), target=target, budget=(what, 0.3), example_input=torch.randn(2, 1, 40))
    full, left = count(model, what), []
    for epoch in (0, 1):
        pruner.step(epoch)
        left.append(count(gst.compact(model), what) / full)
    assert 0.6 < left[0] <= 0.65 and 0.27 < left[1] <= 0.3


def test_budget_in_milliseconds_is_measured_on_what_is_left(monkeypatch):
    from gst_tutorial import pruner as module

    monkeypatch.setattr(
        module, "_seconds", lambda model, example: count(model, "multiply-adds") * 1e-9
    )  # a quiet clock
    model = gst.conv1d_net()
    pruner = gst.Pruner(model, (0,), budget=("milliseconds", 0.5), example_input=torch.randn(2, 1, 40))
    pruner.step(0)
    assert 0.46 < count(gst.compact(model), "multiply-adds") / count(gst.conv1d_net(), "multiply-adds") <= 0.5


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "Give either prune_fraction=None or budget=None"),
        ({"prune_fraction": 1.0}, "prune_fraction=1 would leave no filter"),
        ({"prune_fraction": 0.5, "layers": "conv9"}, "layer='conv9' is not known. Did you mean"),
        ({"prune_fraction": 0.5, "metric": "loss"}, "metric='loss' is not known"),
        ({"prune_fraction": 0.5, "score": "running_activation"}, "watches training batches"),
        ({"budget": ("flops", 0.5)}, "budget='flops' is not known"),
        ({"budget": ("multiply-adds", 0.5)}, "needs example_input"),
        ({"budget": ("parameters", 0.5), "layers": "conv1"}, "cannot be met: with 99% of the filters"),
    ],
)
def test_unusable_argument_is_refused_with_its_name(arguments, error):
    with pytest.raises(ValueError, match=error):
        gst.Pruner(gst.conv1d_net(), (0,), **arguments).step(0)


# --- two processes ----------------------------------------------------------------------------------------------------


def _on_one_rank(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    torch.manual_seed(rank)  # other weights, until DDP makes them equal
    model = nn.parallel.DistributedDataParallel(small.net())
    x, y = small.tensors()
    mine = [(x[rank::2], y[rank::2])]
    pruner = gst.Pruner(model, (0, 2), score="taylor", prune_fraction=0.6, batches=mine, evaluate=mine)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(4):
        optimizer.zero_grad()
        F.cross_entropy(model(mine[0][0]), mine[0][1]).backward()
        optimizer.step()
        pruner.step(epoch)
    local = gst.filter_scores(model.module, "0", "taylor", mine[0])
    torch.save((model.module.state_dict(), pruner.events, local), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_masks_stay_identical_on_two_ranks(tmp_path):
    multiprocessing.spawn(_on_one_rank, (str(tmp_path),), nprocs=2)
    (first, events, scores), (second, _, others) = (
        torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1)
    )
    assert not torch.equal(scores, others)  # each rank alone would have had another opinion
    assert events.n_filters.tolist() == [3, 4]
    assert [name for name in first if not torch.equal(first[name], second[name]) and "running" not in name] == []
