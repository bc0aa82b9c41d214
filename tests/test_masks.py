"""Masks: what a zero does, that it equals the official masking, where `make_prunable` puts it, and how it is stored."""

import copy
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

import gst_tutorial as gst
from gst_tutorial.graph.make_prunable import mask_convolutions_alone
from gst_tutorial.masks import FilterMask

PRUNED = torch.tensor([0, 3, 4, 9, 17, 40, 63])


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(20, 1, 40, generator=generator), torch.randint(10, (20,), generator=generator)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return gst.conv1d_net()


def mask_out(model, layer, indices):
    gst.prunable_layers(model)[layer].mask.mask[indices] = 0


# --- the mask ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 5), (2, 4, 5, 6), (2, 4, 5, 6, 7)])
def test_a_mask_multiplies_whole_channels(shape):
    mask = gst.FilterMask(4)
    mask.mask[1] = 0
    x = torch.randn(shape)
    y = mask(x)
    assert (y[:, 1] == 0).all()
    assert torch.equal(y[:, [0, 2, 3]], x[:, [0, 2, 3]])


def test_a_mask_knows_its_sparsity_and_what_is_kept():
    mask = gst.FilterMask(8)
    assert mask.sparsity == 0
    mask.mask[[2, 5]] = 0
    assert mask.sparsity == 0.25
    assert mask.kept.tolist() == [i not in (2, 5) for i in range(8)]
    assert "6 of 8 kept" in repr(mask)


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), ("4", TypeError)])
def test_a_mask_needs_a_positive_number_of_filters(n, error):
    with pytest.raises(error, match="n_filters"):
        gst.FilterMask(n)


def test_sparsity_is_over_all_the_named_layers_together(net):
    mask_out(net, "conv4", torch.arange(16))
    mask_out(net, "conv1", torch.arange(8))
    assert gst.sparsity(net) == pytest.approx(24 / 160)
    assert gst.sparsity(net, ["conv4"]) == pytest.approx(16 / 64)
    assert gst.sparsity(net, ["conv1", "conv4"]) == pytest.approx(24 / 96)


# --- equal to the official masking ---------------------------------------------------------------------------


class OfficialNet(nn.Module):
    """The official way: conv weight, BN weight and BN bias are multiplied by the mask in every forward pass."""

    def __init__(self, ours: nn.Sequential):
        super().__init__()
        self.net = copy.deepcopy(ours)
        self.masks = {f"conv{i}": torch.ones(getattr(ours, f"conv{i}").out_channels) for i in range(1, 5)}

    def forward(self, x):
        for i in range(1, 5):
            conv, norm = getattr(self.net, f"conv{i}"), getattr(self.net, f"bn{i}")
            mask = self.masks[f"conv{i}"].to(x.dtype)
            x = F.conv1d(x, conv.weight * mask[:, None, None], stride=conv.stride, padding=conv.padding)
            statistics, scale, shift = (norm.running_mean, norm.running_var), norm.weight * mask, norm.bias * mask
            x = F.batch_norm(x, *statistics, scale, shift, self.training, norm.momentum)
            x = x.relu()
        return self.net.head(x.flatten(1))


@pytest.mark.parametrize(
    ("optimizer", "options", "dtype", "tolerance"),
    [
        (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}, torch.float32, 1e-6),
        (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}, torch.float64, 1e-12),
        (torch.optim.Adam, {"lr": 2e-3}, torch.float64, 1e-9),
    ],
)
def test_masked_network_equals_the_official_in_loss_gradients_and_logits(
    net, batch, optimizer, options, dtype, tolerance
):
    ours, (x, y) = net.to(dtype), (batch[0].to(dtype), batch[1])
    official = OfficialNet(ours)
    steppers = [optimizer(model.parameters(), **options) for model in (ours, official)]
    for step in range(8):
        if step == 3:  # some steps of training, then pruning, then more steps with the moments as they are
            mask_out(ours, "conv4", PRUNED)
            mask_out(ours, "conv2", torch.arange(0, 32, 3))
            official.masks["conv4"][PRUNED] = 0
            official.masks["conv2"][::3] = 0
        losses = [F.cross_entropy(model(x), y) for model in (ours, official)]
        for stepper, loss in zip(steppers, losses, strict=True):
            stepper.zero_grad()
            loss.backward()
        assert torch.allclose(*losses, rtol=0, atol=tolerance)
        for (name, p), q in zip(ours.named_parameters(), official.net.parameters(), strict=True):
            assert torch.allclose(p.grad, q.grad, rtol=0, atol=tolerance), name
        for stepper in steppers:
            stepper.step()
        with torch.no_grad():
            logits = [model.eval()(x) for model in (ours, official)]
        assert torch.allclose(*logits, rtol=0, atol=10 * tolerance if dtype == torch.float32 else tolerance)
        for model in (ours, official):
            model.train()


def test_only_running_statistics_of_pruned_filters_differ_from_official(net, batch):
    official = OfficialNet(net)
    mask_out(net, "conv4", PRUNED)
    official.masks["conv4"][PRUNED] = 0
    for _ in range(5):
        net(batch[0])
        official(batch[0])
    kept = net.bn4.filter_mask.kept
    assert torch.allclose(net.bn4.running_var[kept], official.net.bn4.running_var[kept])
    assert not torch.allclose(net.bn4.running_var[~kept], official.net.bn4.running_var[~kept])  # they reach no logit


def test_the_next_layer_sees_exact_zeros_of_a_pruned_filter(net, batch):
    with torch.no_grad():
        net.bn4.bias += 1  # a shift that would pass the nonlinearity
    mask_out(net, "conv4", PRUNED)
    seen = []
    net.flatten.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    net(batch[0])
    net.eval()(batch[0])
    for activation in seen:
        assert (activation[:, PRUNED] == 0).all()
        kept = gst.prunable_layers(net)["conv4"].mask.kept
        assert (activation[:, kept].amax((0, 2)) > 0).all()


# --- saved, loaded, copied -----------------------------------------------------------------------------------


def test_masks_survive_safetensors(net, batch, tmp_path):
    mask_out(net, "conv4", PRUNED)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    other = gst.conv1d_net()
    other.load_state_dict(load_file(tmp_path / "net.safetensors"))
    assert gst.sparsity(other, ["conv4"]) == pytest.approx(len(PRUNED) / 64)
    assert torch.equal(net.eval()(batch[0]), other.eval()(batch[0]))


def test_a_deep_copy_has_masks_of_its_own(net, batch):
    mask_out(net, "conv4", PRUNED)
    twin = copy.deepcopy(net)
    mask_out(twin, "conv4", torch.arange(32))
    gst.restore_filters(net)
    assert gst.sparsity(net) == 0
    assert gst.sparsity(twin, ["conv4"]) == pytest.approx(len({*range(32), *PRUNED.tolist()}) / 64)
    seen = []
    twin.flatten.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    twin(batch[0])
    assert (seen[0][:, :32] == 0).all()


# --- the networks --------------------------------------------------------------------------------------------


def test_the_default_network_has_four_convolutions_and_19114_parameters(net, batch):
    assert list(gst.prunable_layers(net)) == ["conv1", "conv2", "conv3", "conv4"]
    assert [layer.mask.n_filters for layer in gst.prunable_layers(net).values()] == [32, 32, 32, 64]
    convolutions = 3 * (1 * 32 + 32 * 32 + 32 * 32 + 32 * 64)
    batch_norms, head = 2 * (32 + 32 + 32 + 64), (64 * 10 + 1) * 10
    assert sum(p.numel() for p in net.parameters()) == convolutions + batch_norms + head
    assert convolutions + batch_norms + head == 19_114
    assert net(batch[0]).shape == (20, 10)


@pytest.mark.parametrize("size", [(1, 8, 8), (3, 32, 32), (3, 7, 9)])
def test_the_image_network_takes_images_of_any_size(size):
    model = gst.networks.conv2d_net(n_classes=4, input_shape=size)
    assert model(torch.randn(5, *size)).shape == (5, 4)
    assert list(gst.prunable_layers(model)) == ["conv1", "conv2", "conv3", "conv4"]


def test_the_signal_network_takes_signals_of_any_length_and_any_depth():
    model = gst.conv1d_net(3, channels=(5, 6), strides=(3, 1), input_shape=(2, 31))
    assert model(torch.randn(4, 2, 31)).shape == (4, 3)
    assert list(gst.prunable_layers(model)) == ["conv1", "conv2"]


def test_dropout_acts_in_training_and_filter_dropout_drops_filters(batch):
    model = gst.conv1d_net(dropout=0.3, filter_dropout=0.5)
    assert torch.equal(model.eval()(batch[0]), model(batch[0]))
    assert not torch.equal(model.train()(batch[0]), model(batch[0]))
    seen = []
    model.flatten.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model.bn4.bias += 10  # every activation is above zero unless its filter was dropped
    model(batch[0])
    dropped = seen[0] == 0
    assert torch.equal(dropped.all(2), dropped.any(2))
    assert 0.3 < dropped.float().mean() < 0.7


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"channels": (8, 8)}, ValueError, "channels=.*strides="),
        ({"channels": (), "strides": ()}, ValueError, "channels"),
        ({"channels": (8, 0, 8, 8)}, ValueError, "channels=0"),
        ({"dropout": 1.0}, ValueError, r"dropout=1\.0"),
        ({"channels": 8}, TypeError, "channels=8"),
        ({"strides": (2, 0, 1, 1)}, ValueError, "strides"),
        ({"input_shape": (1, 8, 8)}, ValueError, "input_shape"),
    ],
)
def test_bad_arguments_of_a_network_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        gst.conv1d_net(**arguments)


# --- make_prunable on any network ----------------------------------------------------------------------------


def plain():
    """Convolutions with and without batch norm, nested, depthwise, grouped."""
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
            bare=nn.Conv2d(6, 8, 3),
            act=nn.ReLU(),
            depthwise=nn.Conv2d(8, 8, 3, groups=8),
            grouped=nn.Conv2d(8, 4, 1, groups=2),
            relu_between=nn.ReLU(),
            late_norm=nn.BatchNorm2d(4),
            head=nn.Conv2d(4, 3, 1),
        )
    )


IMAGES = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(9))


def test_masks_go_behind_the_batch_norm_or_else_behind_the_convolution():
    model = gst.make_prunable(plain(), IMAGES)
    layers = gst.prunable_layers(model)
    assert list(layers) == ["stem.0", "bare", "grouped"]
    assert layers["stem.0"].norm is model.stem[1]
    assert layers["bare"].norm is None
    assert layers["grouped"].norm is None  # a batch norm that does not follow directly is not this convolution's
    assert all(layer.conv is model.get_submodule(name) for name, layer in layers.items())


def test_a_depthwise_convolution_is_left_alone_with_its_reason():
    layers = gst.prunable_layers(gst.make_prunable(plain(), IMAGES))
    assert set(layers.skipped) == {"depthwise", "head"}
    assert "depthwise" in layers.skipped["depthwise"] and "network's output" in layers.skipped["head"]
    with pytest.raises(ValueError, match="layers='depthwise' cannot be masked: depthwise"):
        gst.make_prunable(plain(), IMAGES, layers=["depthwise"])


def test_convolution_of_one_input_channel_is_not_depthwise():
    model = nn.Sequential(nn.Conv1d(1, 3, 3), nn.Conv1d(3, 2, 1))
    assert list(gst.prunable_layers(gst.make_prunable(model, torch.randn(2, 1, 9)))) == ["0"]


def test_make_prunable_changes_neither_outputs_nor_parameters():
    model, x = plain(), torch.randn(2, 1, 12, 12)
    before, parameters = model.eval()(x), list(model.parameters())
    assert gst.make_prunable(model, x) is model
    assert torch.equal(model(x), before)
    assert all(p is q for p, q in zip(parameters, model.parameters(), strict=True))


def test_only_the_named_layers_get_masks():
    model = gst.make_prunable(plain(), IMAGES, layers=["bare"])
    assert list(gst.prunable_layers(model)) == ["bare"]


def test_an_unknown_layer_is_named_with_the_nearest_known_one():
    with pytest.raises(ValueError, match=r"layers='stem\.1'.*Did you mean 'stem\.0'"):
        gst.make_prunable(plain(), IMAGES, layers=["stem.1"])
    assert gst.prunable_layers(gst.make_prunable(plain(), IMAGES, layers=["bare", "stem.0"])).keys() == {
        "stem.0",
        "bare",
    }


def test_an_unknown_layer_leaves_the_network_without_any_mask():
    model = plain()
    with pytest.raises(ValueError, match="layers='nope'"):
        gst.make_prunable(model, IMAGES, layers=["bare", "nope"])
    assert gst.prunable_layers(model) == {}


def test_one_name_as_a_string_is_an_error_that_says_so():
    with pytest.raises(TypeError, match="layers='bare'"):
        gst.make_prunable(plain(), IMAGES, layers="bare")


def test_a_second_call_is_refused():
    with pytest.raises(ValueError, match="masks already"):
        gst.make_prunable(gst.make_prunable(plain(), IMAGES), IMAGES)
    with pytest.raises(ValueError, match="masks already"):
        gst.make_prunable(gst.conv1d_net())


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(ValueError, match="Linear has no convolution"):
        gst.make_prunable(nn.Linear(3, 3))


def test_the_layers_found_are_printed_on_request_only(capsys):
    gst.make_prunable(plain(), IMAGES)
    assert capsys.readouterr().out == ""
    gst.make_prunable(plain(), IMAGES, verbose=True)
    printed = capsys.readouterr().out
    assert "stem.0: 6 filters, mask behind BatchNorm2d" in printed
    assert "bare: 8 filters, mask behind conv output" in printed


# --- residual blocks -----------------------------------------------------------------------------------------


class Block(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)); None is the identity."""

    def __init__(self, shortcut: nn.Module | None):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(6, 6, 3, padding=1), nn.BatchNorm1d(6)
        self.conv2, self.bn2 = nn.Conv1d(6, 6, 3, padding=1), nn.BatchNorm1d(6)
        self.shortcut = shortcut

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


SHORTCUTS = {
    "identity": lambda: Block(None),
    "projection": lambda: Block(nn.Sequential(nn.Conv1d(6, 6, 1), nn.BatchNorm1d(6))),
}


@pytest.fixture
def signals():
    return torch.randn(8, 6, 10, generator=torch.Generator().manual_seed(1)) + 3


def prunable(block: nn.Module) -> nn.Sequential:
    """The block, made prunable in a network with a head (else its channels would be the network's output); without it."""
    model = nn.Sequential(block, nn.Flatten(), nn.Linear(60, 2))
    return gst.make_prunable(model, torch.randn(2, 6, 10))[:1]


@pytest.mark.parametrize("kind", SHORTCUTS)
def test_shortcut_is_not_added_on_channels_pruned_in_the_last_convolution(kind, signals):
    torch.manual_seed(0)
    model = prunable(SHORTCUTS[kind]())
    assert list(gst.prunable_layers(model)) == ["0.conv1", "0.conv2"]
    before = model.eval()(signals)
    mask_out(model, "0.conv2", torch.tensor([1, 4]))
    after = model(signals)
    assert (after[:, [1, 4]] == 0).all()
    assert torch.equal(after[:, [0, 2, 3, 5]], before[:, [0, 2, 3, 5]])
    gst.restore_filters(model)
    assert torch.equal(model(signals), before)


def test_shortcut_is_added_on_channels_pruned_in_the_first_convolution(signals):
    model = prunable(SHORTCUTS["identity"]()).eval()
    with torch.no_grad():
        model[0].bn2.weight.zero_()  # the residual branch gives nothing, so only the shortcut is left
    mask_out(model, "0.conv1", torch.tensor([1]))
    assert torch.equal(model(signals), signals.relu())


# --- behind the convolution alone ---------------------------------------------------------------------------


def test_mask_behind_the_convolution_leaves_batch_norms_constant():
    """The definition in a few lines: conv(x; w * mask), then batch norm with all of its scales and shifts."""
    torch.manual_seed(0)
    conv, norm = nn.Conv1d(2, 4, 3, bias=False), nn.BatchNorm1d(4)
    nn.init.normal_(norm.bias)
    model = gst.make_prunable(
        nn.Sequential(conv, norm, nn.ReLU(), nn.Flatten(), nn.Linear(28, 3)), torch.randn(2, 2, 9)
    )
    mask_convolutions_alone(model)
    features = model[:3]
    gst.prunable_layers(model)["0"].mask.mask[:2] = 0
    weight = (conv.weight * torch.tensor([0.0, 0.0, 1.0, 1.0])[:, None, None]).detach()
    x, (mean, variance) = torch.randn(8, 2, 9), (torch.zeros(4), torch.ones(4))
    for training in (True, True, False):
        expected = F.batch_norm(F.conv1d(x, weight), mean, variance, norm.weight, norm.bias, training).relu()
        assert torch.allclose(features.train(training)(x), expected, atol=1e-6)
    assert (expected[:, :2].std((0, 2)) < 1e-6).all()  # pruned: a constant, not zero
    assert expected[:, :2].max() > 0.1
    model(x).sum().backward()
    assert (conv.weight.grad[:2] == 0).all()
    assert norm.bias.grad[:2].abs().max() > 0  # and it learns


def test_masks_behind_convolutions_are_refused_by_resnets_and_compact():
    with pytest.raises(ValueError, match="mask='conv' is for networks without residual blocks"):
        mask_convolutions_alone(gst.networks.resnet20(width=0.25))
    model = gst.conv1d_net()
    mask_convolutions_alone(model)
    gst.prune_filters(model, "conv3", 0.5)
    with pytest.raises(ValueError, match="conv3"):
        gst.compact(model)


def test_a_run_prunes_behind_the_convolution_from_the_same_initial_weights():
    config = gst.RunConfig(width=0.25, n_train=100, n_test=100, epochs=3, batch_size=50, milestones=())
    config = config.replace(intervention="prune", schedule=gst.PruneSchedule(1, 1, 1), prune_fraction=0.5)
    norm, conv = (gst.Experiment(config.replace(mask=mask)) for mask in ("norm", "conv"))
    parameters = (dict(each.model.named_parameters()) for each in (norm, conv))
    first, second = parameters
    assert first.keys() == second.keys()
    assert all(torch.equal(p, second[name]) for name, p in first.items())
    results = norm.run(), conv.run()
    assert [result.epochs.train_loss[0] for result in results] == [results[0].epochs.train_loss[0]] * 2
    assert results[0].epochs.train_loss[2] != results[1].epochs.train_loss[2]
    assert [result.epochs.sparsity.iloc[-1] for result in results] == [0.5, 0.5]
    assert results[0].events.accuracy_before[0] == results[1].events.accuracy_before[0]


def test_mask_of_ones_changes_no_bit_and_any_change_of_it_acts():
    mask, x = FilterMask(4), torch.randn(3, 4, 5)
    assert torch.equal(mask(x), x)
    mask.mask[1] = 0  # in place
    copied = copy.deepcopy(mask)
    for each in (mask, copied):
        assert torch.equal(each(x), x * torch.tensor([1.0, 0, 1, 1]).view(1, 4, 1))
    mask.mask = torch.tensor([True, True, False, True])  # another tensor
    assert torch.equal(mask(x), x * mask.mask.view(1, 4, 1))
    mask.load_state_dict({"mask": torch.ones(4)})
    assert torch.equal(mask(x), x)


def test_network_traced_before_any_pruning_still_prunes():
    model, x = gst.conv1d_net().eval(), torch.randn(2, 1, 40)
    traced = torch.jit.trace(copy.deepcopy(model), x)
    exported = torch.export.export(copy.deepcopy(model), (x,)).module()
    for other in (traced, exported):
        buffers = dict(other.named_buffers())
        name = next(name for name in buffers if name.endswith("mask") and "bn4" in name)
        buffers[name].zero_()
        assert torch.allclose(other(x), model.head.bias.expand(2, -1), atol=1e-6)


def test_many_masks_at_once_and_gradients_with_respect_to_a_mask():
    model, x = gst.conv1d_net().eval(), torch.randn(2, 1, 40)
    name = next(name for name in model.state_dict() if name.endswith("mask") and "bn4" in name)
    masks = torch.stack([torch.ones(64), torch.zeros(64)])
    found = torch.func.vmap(lambda m: torch.func.functional_call(model, {name: m}, (x,)))(masks)
    assert torch.allclose(found[0], model(x), atol=1e-6)
    assert torch.allclose(found[1], model.head.bias.expand(2, -1), atol=1e-6)
    ones = torch.ones(64, requires_grad=True)
    torch.func.functional_call(model, {name: ones}, (x,)).sum().backward()
    assert ones.grad.abs().sum() > 0
