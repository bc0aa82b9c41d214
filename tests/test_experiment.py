"""A run is a pure function of its config: the same numbers to the bit, paired by seed, events where the config says."""

import dataclasses
import functools
import inspect
import itertools
import json
import math
import random

import numpy as np
import pydantic
import pytest
import torch

import gst_tutorial as gst

SMALL = gst.RunConfig(n_train=200, n_test=200, schedule=gst.PruneSchedule(1, 3, 1)).replace(
    epochs=6, batch_size=50, milestones=(4,)
)


@functools.cache  # tests read the same runs; none changes them
def run_once(**changes) -> gst.RunResult:
    return gst.run(SMALL.replace(**changes))


def same_numbers(a: gst.RunResult, b: gst.RunResult) -> bool:
    """Everything but the wall time, bit for bit."""
    return (
        a.epochs.equals(b.epochs)
        and a.events.equals(b.events)
        and (a.final_accuracy, a.train_accuracy, a.instability) == (b.final_accuracy, b.train_accuracy, b.instability)
        and all(torch.equal(tensor, b.model.state_dict()[name]) for name, tensor in a.model.state_dict().items())
    )


# --- events --------------------------------------------------------------------------------------------------


def test_events_come_after_the_epochs_of_the_schedule_and_follow_the_paper():
    result = run_once(intervention="prune")
    kept = gst.kept_filters(64, 0.9, 3)
    assert list(result.events.epoch) == [1, 2, 3]
    assert list(result.events.layers) == ["conv4"] * 3
    assert list(result.events.n_filters) == [64 - kept[0], kept[0] - kept[1], kept[1] - kept[2]]
    assert list(result.events.sparsity) == pytest.approx([1 - k / 64 for k in kept])
    assert list(result.epochs.sparsity) == pytest.approx([1 - k / 64 for k in (64, *kept, kept[2], kept[2])])
    assert gst.sparsity(result.model, ["conv4"]) == pytest.approx(1 - kept[2] / 64)


def test_instability_of_a_run_is_the_mean_over_its_events():
    result = run_once(intervention="prune")
    events = result.events
    expected = (events.accuracy_before - events.accuracy_after) / events.accuracy_before
    assert list(events.instability) == pytest.approx(list(expected))
    assert result.instability == pytest.approx(events.instability.mean())
    assert (events.standard_error >= 0).all()
    assert (events.standard_error < 0.5).all()


def test_the_accuracy_of_an_epoch_is_measured_after_its_event():
    result = run_once(intervention="prune")
    after = dict(zip(result.events.epoch, result.events.accuracy_after, strict=True))
    assert [result.epochs.test_accuracy[epoch] for epoch in after] == list(after.values())


def test_event_comes_between_the_last_batch_and_the_next_epoch():
    experiment, seen = gst.Experiment(SMALL.replace(intervention="prune")), {}
    experiment.run(callbacks=[lambda *when: seen.setdefault(when, gst.sparsity(experiment.model, ["conv4"]))])
    assert seen[1, 3] == 0  # before the last of four batches
    assert seen[1, 4] == seen[2, 0] == pytest.approx(1 - gst.kept_filters(64, 0.9, 3)[0] / 64)


def test_masks_are_monotone_during_a_run():
    experiment, masks = gst.Experiment(SMALL.replace(intervention="prune", target="random")), []
    mask = gst.prunable_layers(experiment.model)["conv4"].mask
    experiment.run(callbacks=[lambda epoch, step: masks.append(mask.mask.clone())])
    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(masks))
    assert masks[-1].sum() < masks[0].sum()


def test_several_layers_are_pruned_each_on_its_own_schedule():
    config = SMALL.replace(
        intervention="prune",
        layers=("conv2", "conv4"),
        prune_fraction=(0.25, 0.9),
        schedule=(gst.PruneSchedule(0, 2, 2), gst.PruneSchedule(2, 4, 1)),
    )
    result = gst.run(config)
    assert list(result.events.epoch) == [0, 2, 3, 4]
    assert list(result.events.layers) == ["conv2", "conv2+conv4", "conv4", "conv4"]
    narrow, wide = [32, *gst.kept_filters(32, 0.25, 2)], [64, *gst.kept_filters(64, 0.9, 3)]
    hit = [narrow[0] - narrow[1], narrow[1] - narrow[2] + wide[0] - wide[1], wide[1] - wide[2], wide[2] - wide[3]]
    assert list(result.events.n_filters) == hit
    assert gst.sparsity(result.model, ["conv2"]) == 0.25
    assert gst.sparsity(result.model, ["conv4"]) == pytest.approx(1 - 7 / 64)
    assert gst.sparsity(result.model, ["conv1", "conv3"]) == 0
    assert list(result.events.sparsity)[-1] == pytest.approx((8 + 57) / 96)


def test_schedule_is_any_epochs_and_hashes_by_them():
    uneven = SMALL.replace(intervention="prune", schedule=(0, 1, 4))
    assert uneven.event_epochs == (0, 1, 4)
    assert gst.RunConfig.from_dict(json.loads(json.dumps(uneven.to_dict()))) == uneven
    assert gst.run(uneven).events.epoch.tolist() == [0, 1, 4]
    even = SMALL.replace(intervention="prune", schedule=(0, 2, 4))
    assert even.hash == SMALL.replace(intervention="prune", schedule=gst.PruneSchedule(0, 4, 2)).hash != uneven.hash
    per_layer = SMALL.replace(
        intervention="prune", layers=("conv3", "conv4"), schedule=((0, 1, 4), gst.PruneSchedule(2, 2, 1))
    )
    assert per_layer.event_epochs == (0, 1, 2, 4)
    with pytest.raises(ValueError, match=r"schedule=.*increase"):
        SMALL.replace(intervention="prune", schedule=(4, 1))


def test_pruning_at_initialization_is_no_event_and_has_instability_0():
    result = run_once(intervention="prune", schedule="init")
    assert result.events.empty
    assert list(result.events.columns) == [f.name for f in dataclasses.fields(gst.PruningEvent)]
    assert result.instability == 0
    assert list(result.epochs.sparsity) == pytest.approx([1 - 7 / 64] * 6)


def test_a_run_without_pruning_has_no_event_and_instability_0():
    result = run_once(intervention="none")
    assert result.events.empty
    assert result.instability == 0
    assert gst.sparsity(result.model) == 0


def test_events_on_dead_filters_count():
    """Filters that emit nothing: pruning them is an event of instability 0, and counts in the mean."""
    config = SMALL.replace(intervention="prune", prune_fraction=0.5, schedule=gst.PruneSchedule(1, 2, 1))
    experiment = gst.Experiment(config)
    dead = torch.arange(16)

    def kill(epoch, step):
        with torch.no_grad():
            experiment.model.conv4.weight[dead] = 0
            experiment.model.bn4.bias[dead] = -1  # relu then gives 0, and no gradient brings the filter back

    result = experiment.run(callbacks=[kill])
    kept = gst.prunable_layers(experiment.model)["conv4"].mask.kept
    assert list(result.events.n_filters) == [16, 16]
    assert not kept[dead].any()  # the dead ones went first
    assert result.events.instability[0] == 0
    assert result.instability == result.events.instability[1] / 2


def test_random_targets_depend_on_the_seed_and_not_on_the_score():
    def masks(**changes):
        return gst.prunable_layers(run_once(intervention="prune", target="random", **changes).model)["conv4"].mask.mask

    assert torch.equal(masks(), masks(score="l1"))
    assert torch.equal(masks(), masks(score="activation"))
    assert not torch.equal(masks(), masks(seed=1))


def test_activation_score_is_taken_of_the_training_examples():
    result = run_once(intervention="prune", score="activation", target="largest")
    assert result.events.n_filters.sum() == 57


# --- what a run reports --------------------------------------------------------------------------------------


def test_the_reported_accuracies_are_those_of_the_trained_network():
    result = run_once(intervention="prune")
    data = result.dataset
    assert result.final_accuracy == gst.accuracy(result.model, data.x_test, data.y_test)
    assert result.train_accuracy == gst.accuracy(result.model, data.x_train, data.y_train)
    assert result.final_accuracy == result.epochs.test_accuracy.iloc[-1]
    assert result.best_accuracy == result.epochs.test_accuracy.max()
    assert 0 < result.seconds < 600


def test_evaluating_less_often_changes_no_other_number():
    often, seldom = run_once(intervention="prune"), run_once(intervention="prune", evaluate_every=5)
    assert often.events.equals(seldom.events)
    assert often.final_accuracy == seldom.final_accuracy
    assert list(often.epochs.train_loss) == list(seldom.epochs.train_loss)
    assert [math.isnan(a) for a in seldom.epochs.test_accuracy] == [True, False, False, False, False, False]


def test_a_run_is_silent_and_shows_a_bar_on_request(capsys):
    gst.run(SMALL)
    assert capsys.readouterr() == ("", "")
    gst.run(SMALL, progress=True)
    printed = "".join(capsys.readouterr())
    assert "6/6" in printed


def test_images_train_and_prune_with_the_image_network():
    result = gst.run(
        SMALL.replace(data="digits", model="conv2d", intervention="prune", prune_fraction=0.5, batch_size=20)
    )
    assert result.dataset.input_shape == (1, 8, 8)
    assert result.final_accuracy > 0.3
    assert len(result.events) == 3


def test_a_device_that_is_not_here_is_named_before_training():
    with pytest.raises(ValueError, match="device='cuda:99' is not available"):
        gst.Experiment(gst.RunConfig(device="cuda:99"))


def test_bf16_changes_digits_only_and_keeps_weights_in_float32():
    full, reduced = run_once(), run_once(precision="bf16")
    assert full.epochs.train_loss.tolist() != reduced.epochs.train_loss.tolist()
    assert reduced.train_accuracy == pytest.approx(full.train_accuracy, abs=0.1)
    assert {p.dtype for p in reduced.model.parameters()} == {torch.float32}


def test_the_cheap_measures_are_the_same_numbers_that_the_whole_set_gives():
    trained = run_once(measures=("curvature",))
    whole = gst.flatness.measure_flatness(trained.model, trained.dataset, 256, 256, k=5)
    alone = {
        f"{split}_{name}"
        for split in ("train", "test")
        for name in ("flat_radius", "normalized_max", "normalized_trace")
    }
    shared = {name: value for name, value in whole.items() if name not in alone}
    assert trained.measures == pytest.approx(shared, rel=1e-3, nan_ok=True)  # a run measures on one thread
    assert set(whole) == {*trained.measures, *alone}


def test_width_multiplies_the_filters_of_every_layer():
    for width, expected in ((0.5, [16, 16, 16, 32]), (2, [64, 64, 64, 128]), (0.001, [1, 1, 1, 1])):
        layers = gst.Experiment(SMALL.replace(width=width)).layers.values()
        assert [layer.mask.n_filters for layer in layers] == expected


def test_an_experiment_runs_once():
    experiment = gst.Experiment(SMALL)
    experiment.run()
    with pytest.raises(RuntimeError, match="run"):
        experiment.run()


# --- the same numbers ----------------------------------------------------------------------------------------


def test_the_seed_changes_the_numbers():
    assert not same_numbers(run_once(intervention="none"), run_once(intervention="none", seed=1))


def first_batches(config, n=8):
    """What the network of a run is fed, up to the first event."""
    experiment, fed = gst.Experiment(config), []
    weights = [p.detach().clone() for p in experiment.model.parameters()]
    experiment.model.register_forward_pre_hook(
        lambda module, inputs: fed.append(inputs[0].clone()) if module.training and len(fed) < n else None
    )
    experiment.run()
    return weights, fed


def test_two_methods_with_one_seed_share_initial_weights_and_batches():
    weights, fed = first_batches(SMALL)
    other_weights, other_fed = first_batches(SMALL.replace(intervention="prune", schedule="init"))
    assert all(torch.equal(p, q) for p, q in zip(weights, other_weights, strict=True))
    assert len(fed) == 8
    assert all(torch.equal(p, q) for p, q in zip(fed, other_fed, strict=True))


@pytest.mark.parametrize("method", ["prune", "zero", "gaussian"])
def test_two_methods_with_one_seed_are_one_run_until_the_first_event(method):
    regularizer = {"dropout": 0.3, "augment": "shift_noise"}
    plain, other = run_once(intervention="none", **regularizer), run_once(intervention=method, **regularizer)
    assert plain.epochs.train_loss[:2].tolist() == other.epochs.train_loss[:2].tolist()
    assert plain.epochs.test_accuracy[0] == other.epochs.test_accuracy[0]
    assert plain.epochs.test_accuracy[1] == other.events.accuracy_before[0]
    assert plain.epochs.train_loss[2:].tolist() != other.epochs.train_loss[2:].tolist()


def test_a_run_neither_reads_nor_changes_the_callers_random_state():
    config = SMALL.replace(intervention="prune", target="random", dropout=0.3, augment="shift_noise")
    results = []
    for state in (1, 2):
        random.seed(state)
        np.random.seed(state)  # noqa: NPY002
        torch.manual_seed(state)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        results.append(gst.run(config))
        assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    assert same_numbers(*results)


def test_noise_on_one_layer_goes_on_when_another_layer_has_its_event():
    """conv3 is zeroed for 8 batches from epoch 1 on; an event of conv4 after epoch 2 must not spare it a batch."""
    config = SMALL.replace(
        intervention="zero",
        layers=("conv3", "conv4"),
        n_batches=8,
        schedule=(gst.PruneSchedule(1, 1, 1), gst.PruneSchedule(2, 2, 1)),
    )
    experiment, zeroed = gst.Experiment(config), []

    def look(epoch, step):
        if epoch >= 2 and step < 4:
            weight = experiment.layers["conv3"].conv.weight[experiment._recorder._chosen["conv3"]]
            zeroed.append(bool((weight == 0).all()))

    experiment.run(callbacks=[look])
    assert zeroed == [True] * 8 + [False] * 8


# --- configs -------------------------------------------------------------------------------------------------

SEVERAL = gst.RunConfig(
    data="digits",
    model="conv2d",
    intervention="gaussian",
    layers=("conv3", "conv4"),
    prune_fraction=(0.5, 0.9),
    schedule=(gst.PruneSchedule(1, 3, 1), gst.PruneSchedule(2, 8, 3)),
    target="largest",
    size=0.5,
    n_batches=7,
    seed=3,
).replace(epochs=12, milestones=(8,))


@pytest.mark.parametrize("config", [gst.RunConfig(), SMALL, SEVERAL, SMALL.replace(measures=("flatness",))])
def test_a_config_comes_back_from_json_equal_with_the_same_hash(config):
    back = gst.RunConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert back == config
    assert back.hash == config.hash
    assert hash(back) == hash(config)


def test_reading_a_config_does_not_change_what_was_read():
    fields = json.loads(json.dumps(SEVERAL.to_dict()))
    before = json.dumps(fields)
    gst.RunConfig.from_dict(fields)
    assert json.dumps(fields) == before
    assert gst.RunConfig.from_dict({}) == gst.RunConfig()
    assert gst.RunConfig.from_dict({"seed": 3, "recipe": {"epochs": 30}}) == gst.RunConfig(seed=3).replace(epochs=30)


OTHER_VALUES = {
    "data": "digits", "n_train": 300, "n_test": 300, "data_seed": 1, "model": "conv2d", "width": 2.0, "dropout": 0.1,
    "filter_dropout": 0.1, "weight_noise": 0.1, "intervention": "prune", "layers": ("conv3",), "prune_fraction": 0.8,
    "schedule": gst.PruneSchedule(5, 23, 3), "score": "l1", "target": "largest", "n_batches": 2, "size": 0.5,
    "restore": "values", "draws": "so far", "mask": "conv", "measures": ("flatness",),
    "evaluate_every": 10, "image_size": 16, "device": "cuda", "seed": 1,
    "optimizer": "sgd", "learning_rate": 1e-3, "batch_size": 50, "epochs": 61, "milestones": (40,), "gamma": 0.2,
    "weight_decay": 1e-4, "momentum": 0.8, "label_smoothing": 0.1, "augment": "shift_noise", "precision": "bf16",
    "compiled": True, "label_noise": 0.1, "sam_radius": 0.1, "annealing": "cosine", "warmup_epochs": 3, "clip_norm": 1.0,
    "loss": "tests.studies.own_functions:focal", "unit_filters": True,
}  # fmt: skip


def test_every_field_changes_the_hash():
    base = gst.RunConfig(intervention="scale")  # so that restore, draws and size are allowed
    # what does not go alone
    partner = {
        "data": {"model": "conv2d"},
        "model": {"data": "digits"},
        "mask": {"intervention": "prune"},
        "momentum": {"optimizer": "sgd"},
    }
    names = set(inspect.signature(gst.RunConfig).parameters) - {"task", "recipe", "events"}
    assert set(OTHER_VALUES) == names
    hashes = {name: base.replace(**{name: value}, **partner.get(name, {})).hash for name, value in OTHER_VALUES.items()}
    assert hashes.pop("data") == hashes.pop("model") != base.hash
    assert len({base.hash, *hashes.values()}) == len(OTHER_VALUES) - 1
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in hashes.values())


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"seed": np.int64(3)}, {"seed": 3}),
        ({"prune_fraction": np.float64(0.5)}, {"prune_fraction": 0.5}),
        ({"prune_fraction": 0}, {"prune_fraction": 0.0}),
        ({"width": np.int32(2)}, {"width": 2.0}),
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
        ({"epochs": np.int64(40)}, {"epochs": 40}),
        ({"layers": ["conv4"]}, {"layers": ("conv4",)}),
        ({"milestones": [1, 2]}, {"milestones": (1, 2)}),
    ],
)
def test_equal_configs_have_one_hash_whatever_their_number_types(changes, same):
    one, other = gst.RunConfig().replace(**changes), gst.RunConfig().replace(**same)
    assert one == other
    assert one.hash == other.hash
    assert json.dumps(one.to_dict()) == json.dumps(other.to_dict())


def test_replace_reaches_the_fields_of_the_recipe_and_leaves_the_original():
    config = gst.RunConfig()
    changed = config.replace(epochs=30, seed=4, milestones=(20,))
    assert (changed.recipe.epochs, changed.seed, changed.recipe.milestones) == (30, 4, (20,))
    assert changed.recipe.learning_rate == config.recipe.learning_rate
    assert config == gst.RunConfig()
    both = config.replace(recipe=gst.Recipe(optimizer="sgd"), epochs=31)
    assert (both.recipe.optimizer, both.recipe.epochs) == ("sgd", 31)


def test_replace_checks_the_result_and_names_unknown_fields():
    with pytest.raises(ValueError, match=r"field='epoch'.*Did you mean 'epochs'"):
        gst.RunConfig().replace(epoch=30)
    with pytest.raises(ValueError, match="event in epoch 23, after the last epoch 9"):
        gst.RunConfig(intervention="prune").replace(epochs=10)


def test_json_schema_describes_every_field():
    schema = pydantic.TypeAdapter(gst.RunConfig).json_schema()
    assert set(schema["properties"]) == set(inspect.signature(gst.RunConfig).parameters)
    assert schema["properties"]["target"]["enum"] == list(gst.pruning.TARGETS)


def test_threads_are_kept_with_the_result_and_given_back():
    before = torch.get_num_threads()
    assert gst.run(SMALL.replace(epochs=1, milestones=()), threads=2).threads == 2
    assert torch.get_num_threads() == before


# --- bad input -----------------------------------------------------------------------------------------------

ONE = gst.PruneSchedule(1, 3, 1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dropout": 1}, ValueError, "dropout=1"),
        ({"recipe": "adam"}, TypeError, "recipe='adam'"),
        ({"intervention": "scratch"}, ValueError, "intervention='scratch'.*Allowed: .*'rescale'"),
        ({"layers": "conv4"}, TypeError, r"layers='conv4' must be a tuple.*\('conv4',\)"),
        ({"layers": (), "intervention": "prune"}, ValueError, r"layers=\(\)"),
        ({"layers": ("conv4", "conv4")}, ValueError, "layers=.*'conv4'.*(twice|once|repeat)"),
        ({"prune_fraction": 1.0, "intervention": "prune"}, ValueError, r"prune_fraction=1\.0 must lie in \[0, 1\)"),
        ({"prune_fraction": (0.5, 0.9)}, ValueError, "prune_fraction has an entry for each layer"),
        ({"prune_fraction": (0.5, 2), "layers": ("conv3", "conv4")}, ValueError, "prune_fraction=2"),
        ({"schedule": (ONE, ONE)}, ValueError, "schedule has an entry for each layer"),
        ({"schedule": (ONE, ONE), "layers": ("conv4",)}, ValueError, "schedule has 2 entries"),
        ({"schedule": 5}, TypeError, "schedule=5 must be a PruneSchedule"),
        (
            {"schedule": gst.PruneSchedule(5, 60, 5), "intervention": "prune"},
            ValueError,
            "epoch 60, after the last epoch 59",
        ),
        ({"schedule": gst.PruneSchedule(5, 59, 6), "intervention": "zero"}, ValueError, "event in epoch 59, the last"),
        ({"score": "ebn", "intervention": "zero_inputs", "layers": ("head",)}, ValueError, "score='ebn' has no effect"),
        ({"score": "l1", "intervention": "reset_moments"}, ValueError, "score='l1' has no effect"),
        ({"schedule": ()}, ValueError, "the schedule is empty"),
        ({"size": -1}, ValueError, "size=-1"),
        ({"size": 0.5, "intervention": "zero"}, ValueError, "'zero' has no size"),
        (
            {"restore": "values", "intervention": "prune"},
            ValueError,
            "restore='values' is for interventions that remove",
        ),
        ({"score": "running_activation", "intervention": "prune", "schedule": "init"}, ValueError, "schedule='init'"),
        ({"score": "running_activation", "intervention": "prune", "compiled": True}, ValueError, "compiled=False"),
        ({"mask": "conv", "intervention": "zero"}, ValueError, "mask='conv' is for intervention='prune'"),
        ({"draws": "afresh"}, ValueError, "draws='afresh' is for interventions that remove"),
        ({"n_batches": 3, "intervention": "prune"}, ValueError, "n_batches=3 is for interventions that remove"),
        ({"schedule": "init", "intervention": "zero"}, ValueError, "schedule='init'.*intervention='zero'"),
        ({"measures": "flatness"}, TypeError, "measures='flatness' must be a tuple"),
        ({"measures": ("flatness", "curvature")}, ValueError, "measures=.*name one"),
        ({"device": "gpu"}, ValueError, "device='gpu'"),
    ],
)
def test_a_config_that_makes_no_sense_is_named_before_any_work(changes, error, message):
    with pytest.raises(error, match=message):
        gst.RunConfig(**changes)


def no_training(epoch, step):
    pytest.fail("training began")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ("conv5",), "intervention": "prune"}, "layers='conv5'.*Did you mean 'conv"),
        ({"layers": ("head",), "intervention": "prune"}, "layers='head'"),
        ({"intervention": "zero", "restore": "values", "n_batches": 5}, "n_batches=5 runs past the next event"),
        (
            {"intervention": "zero", "restore": "values", "n_batches": 12, "schedule": gst.PruneSchedule(4, 4, 3)},
            "n_batches=12",  # only 4 batches are left: the filters would never come back
        ),
        ({"data": "digits"}, "model='conv1d'"),
        ({"model": "conv2d"}, "model='conv2d'"),
        ({"data": "digits", "model": "conv2d", "augment": "shift_noise"}, "augment='shift_noise'"),
        ({"augment": "crop_flip"}, "augment='crop_flip'"),
        ({"data": "digits", "model": "conv2d", "n_train": 1000, "n_test": 1000}, "1797"),
    ],
)
def test_missing_layer_data_or_time_is_named_before_training(changes, message):
    with pytest.raises(ValueError, match=message):
        gst.run(SMALL.replace(**changes), callbacks=[no_training])


def test_an_unknown_field_in_a_stored_config_is_an_error():
    with pytest.raises((TypeError, ValueError), match="sed"):
        gst.RunConfig.from_dict({"sed": 3})


def test_a_run_that_diverges_says_the_epoch_and_the_whole_config():
    config = SMALL.replace(intervention="prune", learning_rate=1e30, seed=5)
    with pytest.raises(gst.Diverged, match=r"epoch 0 .*learning_rate=1e\+30") as caught:
        gst.run(config)
    assert "seed=5" in str(caught.value)
    assert "intervention='prune'" in str(caught.value)
