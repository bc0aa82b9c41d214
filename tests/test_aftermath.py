"""Steps of chosen filters are lengthened as asked, and the epochs after an event are measured as they were."""

import copy

import pytest
import torch
from torch.nn import functional as F

import gst_tutorial as gst
from gst_tutorial.step_lengths import StepLengths

SHORT = gst.RunConfig(epochs=8, milestones=(6,), seed=3, n_train=300, n_test=500)
HALF = SHORT.replace(intervention="zero", target="random", draws="afresh", prune_fraction=0.5, schedule=(1, 3))


def one_step(lengthen):
    """conv4's weights before and after one step of SGD, (64, 32, 3)."""
    torch.manual_seed(0)
    model, x, y = gst.conv1d_net(), torch.randn(20, 1, 40), torch.arange(20) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    layer = gst.prunable_layers(model)["conv4"]
    before = layer.conv.weight.detach().clone()
    lengthen(StepLengths.of(optimizer), layer)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    return before, layer.conv.weight.detach().clone()


def test_steps_of_chosen_filters_are_multiplied():
    before, plain = one_step(lambda steps, layer: None)
    same, longer = one_step(lambda steps, layer: steps.factors_of(layer).__setitem__(slice(0, 5), 4.0))
    assert torch.equal(before, same)
    torch.testing.assert_close(longer[:5] - before[:5], 4 * (plain[:5] - before[:5]))
    torch.testing.assert_close(longer[5:], plain[5:])


def test_next_step_of_everything_is_multiplied_once():
    before, plain = one_step(lambda steps, layer: None)
    _, longer = one_step(lambda steps, layer: setattr(steps, "next_step", 10.0))
    torch.testing.assert_close(longer - before, 10 * (plain - before), rtol=1e-3, atol=1e-6)


def test_shrink_with_shorter_steps_follows_the_twin():
    twin = gst.run(SHORT).model.conv4.weight
    angles = {}
    for name in ("rescale", "rescale_compensated"):
        weight = gst.run(HALF.replace(intervention=name)).model.conv4.weight
        angles[name] = F.cosine_similarity(twin.flatten(1), weight.flatten(1)).mean()  # over 64 filters
    assert angles["rescale_compensated"] > 0.99 > angles["rescale"] + 0.05


def test_unit_filters_have_length_one():
    model = gst.run(SHORT.replace(unit_filters=True, epochs=2, milestones=())).model
    for layer in gst.prunable_layers(model).values():
        torch.testing.assert_close(layer.conv.weight.flatten(1).norm(dim=1), torch.ones(len(layer.conv.weight)))


def test_placebo_changes_nothing_and_is_measured():
    events = gst.run(HALF.replace(intervention="placebo", measures=("aftermath",)))
    assert events.final_accuracy == gst.run(SHORT).final_accuracy
    assert (events.events.kl.abs() < 1e-6).all() and (events.events.instability_training == 0).all()


def test_accuracy_after_an_event_is_that_of_the_epochs_that_follow():
    result = gst.run(HALF.replace(intervention="zero", schedule=(2,), measures=("aftermath",)))
    row, epochs = result.events.iloc[0], result.epochs.set_index("epoch")
    for k in (1, 2, 3):
        assert row[f"accuracy_{k}"] == epochs.test_accuracy[2 + k]
        assert row[f"train_loss_{k}"] == epochs.train_loss[2 + k]
    assert row.kl > 1e-4 and 0 < row.cosine_hit < row.cosine_rest


def test_measuring_leaves_the_run_as_it_is():
    zero = HALF.replace(intervention="zero")
    plain, measured = (gst.run(config).model.state_dict() for config in (zero, zero.replace(measures=("aftermath",))))
    assert [name for name in plain if not torch.equal(plain[name], measured[name])] == []


@pytest.mark.parametrize("name", ["rescale_compensated", "lengthen_steps"])
def test_run_with_step_lengths_resumes_to_the_bit(name, tmp_path):
    config = HALF.replace(intervention=name, measures=("aftermath",))
    whole = gst.run(config)

    def stop(epoch, step):
        if epoch == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gst.run(config, callbacks=[stop], checkpoint=tmp_path / "run", every=0)
    resumed = gst.run(copy.deepcopy(config), checkpoint=tmp_path / "run", every=0)
    assert resumed.final_accuracy == whole.final_accuracy
    assert resumed.events.fillna(-1).equals(whole.events.fillna(-1))


def test_step_lengths_outside_a_run_name_the_missing_optimizer():
    model = gst.conv1d_net()
    layer = gst.prunable_layers(model)["conv4"]
    site = gst.interventions.Site(model, layer, torch.arange(3), torch.arange(3, 64), torch.Generator())
    for name in ("lengthen_steps", "raise_learning_rate", "rescale_compensated"):
        with pytest.raises(TypeError, match=r"optimizer must be a torch\.Optimizer, not NoneType"):
            gst.interventions.INTERVENTIONS[name].apply(site)
