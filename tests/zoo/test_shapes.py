"""Networks of all shapes, made by hand: each layer is exact or refused with its reason. See exact.py for how it is judged."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import gst_tutorial as gst
from gst_tutorial.data import torchvision
from gst_tutorial.graph import make_prunable, trace
from gst_tutorial.graph.running import borrowed
from gst_tutorial.networks import NETWORKS
from tests.zoo.exact import assert_exact, shaken

X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))


class Net(nn.Module):
    """Modules by name, and what to do with them."""

    def __init__(self, forward, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.steps = forward

    def forward(self, *x, **named):
        return self.steps(self, *x, **named)


def conv(n_in, n_out, kernel=3, **options):
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, **options)


def end(m, x):
    return m.head(x.mean((2, 3)))


def stem_and(forward, **modules):
    """A stem of 8 channels, then what is given, then a linear head."""
    steps = lambda m, x: end(m, forward(m, m.stem(x)))  # noqa: E731
    return Net(steps, stem=conv(3, 8), **{"head": nn.Linear(8, 4), **modules})


def registered_late():
    def forward(m, x):
        return end(m, F.relu(m.bn2(m.conv2(F.relu(m.bn1(m.conv1(x)))))))

    return Net(
        forward, conv1=conv(3, 8), conv2=conv(8, 8), bn2=nn.BatchNorm2d(8), bn1=nn.BatchNorm2d(8), head=nn.Linear(8, 4)
    )


class PreActivation(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(8), conv(8, 8)
        self.bn2, self.conv2 = nn.BatchNorm2d(8), conv(8, 8)

    def forward(self, x):
        return x + self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))


class Residual(nn.Module):
    """No attribute says that it is a residual block."""

    def __init__(self, projected=False):
        super().__init__()
        self.a, self.norm_a, self.b, self.norm_b = conv(8, 8), nn.BatchNorm2d(8), conv(8, 8), nn.BatchNorm2d(8)
        self.other = conv(8, 8, 1) if projected else None

    def forward(self, x):
        y = self.norm_b(self.b(F.relu(self.norm_a(self.a(x)))))
        y += x if self.other is None else self.other(x)
        return F.relu(y)


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = conv(8, 4, 1), conv(4, 8, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def u_net():
    def forward(m, x):
        high = F.relu(m.bn1(m.down1(x)))
        low = F.relu(m.bn2(m.down2(F.max_pool2d(high, 2))))
        up = F.interpolate(m.middle(low), scale_factor=2, mode="bilinear")
        return m.pixels(F.relu(m.merge(torch.cat([up, high], 1))))

    return Net(forward, down1=conv(3, 8), down2=conv(8, 8), bn1=nn.BatchNorm2d(8), bn2=nn.BatchNorm2d(8),
               middle=conv(8, 6), merge=conv(14, 8), pixels=conv(8, 4, 1))  # fmt: skip


def concatenation():
    def forward(m, x):
        return end(m, m.last(F.relu(m.norm(torch.cat([m.one(x), x, m.two(x)], 1)))))

    return stem_and_all(forward, one=conv(8, 4), two=conv(8, 4), norm=nn.BatchNorm2d(16), last=conv(16, 8))


def stem_and_all(forward, **modules):
    return Net(lambda m, x: forward(m, m.stem(x)), stem=conv(3, 8), head=nn.Linear(8, 4), **modules)


def tied():
    model = stem_and(lambda m, x: m.b(F.relu(m.a(x))), a=conv(8, 8), b=conv(8, 8))
    model.b.weight = model.a.weight
    return model


def shared():
    forward = lambda m, x: F.relu(m.n2(m.conv(F.relu(m.n1(m.conv(x))))))  # noqa: E731
    return stem_and(forward, conv=conv(8, 8), n1=nn.BatchNorm2d(8), n2=nn.BatchNorm2d(8))


def written_out_norm(m, x):
    x = m.conv(x)
    return m.after(F.relu((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)))


def writes_into_a_slice(m, x):
    out = torch.zeros_like(x)
    out[:, :4] = m.conv(x)
    return m.after(out)


def volumes():
    layers = nn.Conv3d(1, 6, 3), nn.BatchNorm3d(6), nn.ReLU(), nn.Conv3d(6, 8, 3), nn.GroupNorm(2, 8), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 4))


def frozen(n):
    torchvision()
    from torchvision.ops import FrozenBatchNorm2d

    norm = FrozenBatchNorm2d(n)
    norm.bias += 0.7
    return norm


def plain(norm=None, activation=None):
    return nn.Sequential(conv(3, 8), norm or nn.BatchNorm2d(8), activation or nn.ReLU(), conv(8, 8), nn.ReLU(),
                         nn.Flatten(), nn.Linear(8 * 256, 4))  # fmt: skip


def added_to_itself(m, x):
    return m.b(m.norm(x) + x)


def attention(x):
    tokens = x.flatten(2)  # (B, C, H W)
    return (torch.softmax(tokens @ tokens.transpose(1, 2), -1) @ tokens).view(x.shape)


def branches(m, x):
    return m.a(x) if x.mean() > 1e9 else m.b(x)


# Name -> (network, layers that get a mask, a word of the reason for each layer that does not).
SHAPES = {
    "norms registered in the other order": (registered_late, ["conv1", "conv2"], {}),
    "pre-activation": (
        lambda: stem_and(lambda m, x: m.two(m.one(x)), one=PreActivation(), two=PreActivation()),
        ["stem", "one.conv1", "one.conv2", "two.conv1", "two.conv2"], {}),
    "residual": (lambda: stem_and(lambda m, x: m.block(x), block=Residual()), ["stem", "block.a", "block.b"], {}),
    "residual with a projection": (
        lambda: stem_and(lambda m, x: m.block(x), block=Residual(True)),
        ["stem", "block.a", "block.b"], {"block.other": "shortcut"}),
    "residual without a block": (
        lambda: stem_and(lambda m, x: m.c(F.relu(x + m.b(F.relu(m.a(x))))), a=conv(8, 8), b=conv(8, 8), c=conv(8, 8)),
        ["stem", "a", "c"], {"b": "sum"}),
    "a main path that is called downsample": (
        lambda: stem_and(lambda m, x: m.downsample(F.relu(x)), downsample=nn.Sequential(conv(8, 8), nn.BatchNorm2d(8))),
        ["stem", "downsample.0"], {}),
    "concatenation, one norm behind it": (concatenation, ["stem", "one", "two", "last"], {}),
    "parallel branches in a sum": (
        lambda: stem_and(lambda m, x: F.relu(m.a(x) + m.b(x)), a=conv(8, 8), b=conv(8, 8, 1)),
        ["stem"], {"a": "sum with other", "b": "sum with other"}),
    "a shared convolution with two norms": (shared, ["stem", "conv"], {}),
    "shared weights": (tied, ["stem"], {"a": "weights", "b": "weights"}),
    "3-D": (volumes, ["0", "3"], {}),
    "transposed": (
        lambda: stem_and(lambda m, x: m.back(F.relu(m.up(F.relu(x)))), up=nn.ConvTranspose2d(8, 6, 2, 2), back=conv(6, 8)),
        ["stem", "back"], {"up": "transposed"}),
    "U-Net": (u_net, ["down1", "down2", "middle", "merge"], {"pixels": "output"}),
    "depthwise": (
        lambda: stem_and(lambda m, x: m.point(F.relu(m.norm(m.depth(x)))), depth=conv(8, 16, groups=8),
                         norm=nn.BatchNorm2d(16), point=conv(16, 8, 1)),
        ["stem", "point"], {"depth": "depthwise"}),
    "groups": (lambda: stem_and(lambda m, x: m.b(F.relu(m.a(x))), a=conv(8, 8, groups=2), b=conv(8, 8)), ["stem", "a", "b"], {}),
    "a gate": (lambda: stem_and(lambda m, x: m.gate(F.relu(x)), gate=Gate()), ["stem"],
               {"gate.down": "inside a gate", "gate.up": "a gate"}),
    "weight_norm": (
        lambda: stem_and(lambda m, x: m.b(F.relu(m.a(x))), a=parametrizations.weight_norm(conv(8, 8)), b=conv(8, 8)),
        ["stem", "a", "b"], {}),
    "spectral_norm": (
        lambda: stem_and(lambda m, x: m.b(F.relu(m.a(x))), a=parametrizations.spectral_norm(conv(8, 8)), b=conv(8, 8)),
        ["stem", "b"], {"a": "share in all"}),
    "a frozen norm": (lambda: plain(frozen(8)), ["0", "3"], {}),
    "GroupNorm": (lambda: plain(nn.GroupNorm(2, 8)), ["0", "3"], {}),
    "InstanceNorm": (lambda: plain(nn.InstanceNorm2d(8, affine=True)), ["0", "3"], {}),
    "LayerNorm": (lambda: plain(LayerNorm2d(8)), ["0", "3"], {}),
    "a norm written out": (
        lambda: stem_and(written_out_norm, conv=conv(8, 8), after=conv(8, 8)), ["stem", "after"], {"conv": "shift"}),
    "sigmoid as a module": (lambda: plain(activation=nn.Sigmoid()), ["0", "3"], {}),
    "sigmoid as a function": (
        lambda: stem_and(lambda m, x: m.b(torch.sigmoid(m.a(x))), a=conv(8, 8), b=conv(8, 8)),
        ["stem", "b"], {"a": "to other values"}),
    "weights used elsewhere": (
        lambda: stem_and(lambda m, x: m.b(m.a(x)) + m.a.weight.mean(), a=conv(8, 8), b=conv(8, 8)),
        ["stem"], {"a": "outside", "b": "to other values"}),
    "written into a slice": (
        lambda: stem_and(writes_into_a_slice, conv=conv(8, 4), after=conv(8, 8)), ["stem", "after"], {"conv": "view"}),
    "channel shuffle": (
        lambda: stem_and(lambda m, x: m.b(m.n(m.s(m.a(x)))),
                         a=conv(8, 8), s=nn.ChannelShuffle(2), n=nn.BatchNorm2d(8), b=conv(8, 8)),
        ["stem", "a", "b"], {}),
    "a branch that is not taken": (
        lambda: stem_and(branches, a=conv(8, 8), b=conv(8, 8)), ["stem", "b"], {"a": "not reached"}),
    "features flattened into a norm": (
        lambda: nn.Sequential(conv(3, 4), nn.Flatten(), nn.BatchNorm1d(1024), nn.ReLU(), nn.Linear(1024, 4)), ["0"], {}),
    "dropout before the norm": (
        lambda: stem_and(lambda m, x: m.b(F.relu(m.norm(m.drop(m.a(x))))),
                         a=conv(8, 8), drop=nn.Dropout2d(0.5), norm=nn.BatchNorm2d(8), b=conv(8, 8)),
        ["stem", "a", "b"], {}),
    "a norm added to what it normalizes": (
        lambda: stem_and(lambda m, x: added_to_itself(m, m.a(x)), a=conv(8, 8), norm=nn.BatchNorm2d(8), b=conv(8, 8)),
        ["stem", "a", "b"], {}),
    "the larger of two": (
        lambda: stem_and(lambda m, x: torch.maximum(m.a(x), m.b(x)), a=conv(8, 8), b=conv(8, 8)),
        ["stem"], {"a": "other data in maximum", "b": "other data in maximum"}),
    "attention": (
        lambda: stem_and(lambda m, x: attention(m.a(x)), a=conv(8, 8)), ["stem"], {"a": "attention"}),
    "sorted channels": (
        lambda: stem_and(lambda m, x: m.b(m.a(x).sort(1)[0]), a=conv(8, 8), b=conv(8, 8)), ["stem", "b"], {"a": "sort()"}),
    "a block that is used twice": (
        lambda: stem_and(lambda m, x: m.block(m.block(x)), block=nn.Sequential(conv(8, 8), nn.BatchNorm2d(8), nn.ReLU())),
        ["stem", "block.0"], {}),
    "pooled and unpooled": (
        lambda: stem_and(lambda m, x: m.b(F.max_unpool2d(*F.max_pool2d(m.a(x), 2, return_indices=True), 2)),
                         a=conv(8, 8), b=conv(8, 8)),
        ["stem", "a", "b"], {}),
    "an LSTM behind a convolution": (
        lambda: Net(lambda m, x: m.head(m.lstm(m.b(F.relu(m.a(x))).flatten(2).transpose(1, 2))[0][:, -1]),
                    a=conv(3, 8), b=conv(8, 8), lstm=nn.LSTM(8, 8, batch_first=True), head=nn.Linear(8, 4)),
        None, {}),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_network_of_any_shape_is_exact_or_refused_with_its_reason(shape):
    build, expected, reasons = SHAPES[shape]
    torch.manual_seed(0)
    x = torch.randn(2, 1, 8, 8, 8) if shape == "3-D" else X
    model = build()
    before = copy.deepcopy(model.state_dict())
    same = model.eval()(x)
    gst.make_prunable(model, x)
    layers = gst.prunable_layers(model)
    assert torch.equal(model(x), same)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    if expected is not None:
        assert set(layers) == set(expected), layers.skipped
        assert set(layers.skipped) == set(reasons)
    for name, word in reasons.items():
        assert word in layers.skipped[name], layers.skipped[name]
    assert_exact(shaken(model), x)


def test_group_norm_emits_zeros_on_pruned_channels():
    model = gst.make_prunable(plain(nn.GroupNorm(2, 8)), X)
    gst.prunable_layers(model)["0"].mask.mask[[1, 5]] = 0
    nn.init.ones_(model[1].bias)
    out = model[:3](X)
    assert (out[:, [1, 5]] == 0).all() and (out[:, [0, 2]] != 0).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_networks_of_another_precision_keep_it(dtype):
    model = registered_late().to(dtype)
    gst.make_prunable(model, X.to(dtype))
    assert gst.prunable_layers(model)["conv1"].norm is model.bn1
    assert model.eval()(X.to(dtype)).dtype == dtype
    assert_exact(shaken(model), X.to(dtype), training=False)


def test_autocast_is_not_promoted_by_a_mask():
    model = gst.make_prunable(nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 4)), X)
    with torch.autocast("cpu", torch.bfloat16):
        assert model[:2](X).dtype == torch.bfloat16


def test_channels_last_stays():
    model = registered_late().to(memory_format=torch.channels_last)
    x = X.contiguous(memory_format=torch.channels_last)
    gst.make_prunable(model, x)
    assert model.bn1(model.conv1(x)).is_contiguous(memory_format=torch.channels_last)
    assert_exact(shaken(model), x)


def test_data_parallel_prefixes_names_and_its_module_does_not():
    wrapped = gst.make_prunable(nn.DataParallel(registered_late()), X)
    assert list(gst.prunable_layers(wrapped)) == ["module.conv2", "module.conv1"]
    gst.prune_filters(wrapped, "module.conv1", 0.5)
    assert gst.sparsity(wrapped.module, ["conv1"]) == 0.5
    assert_exact(shaken(wrapped), X)


def test_a_part_of_a_network_has_its_layers_and_a_network_around_it_too():
    model = Net(lambda m, x: end(m, m.backbone(x)), head=nn.Linear(8, 4),
                backbone=nn.Sequential(conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(), conv(8, 8), nn.ReLU()))  # fmt: skip
    gst.make_prunable(model, X)
    assert list(gst.prunable_layers(model)) == ["backbone.0", "backbone.3"]
    inner = gst.prunable_layers(model.backbone)
    assert list(inner) == ["0", "3"] and inner["0"].norm is model.backbone[1]
    assert list(gst.prunable_layers(nn.Sequential(nn.Identity(), model.backbone))) == ["1.0", "1.3"]
    gst.prune_filters(model.backbone, "0", 0.5)
    assert gst.sparsity(model, ["backbone.0"]) == 0.5


@pytest.mark.slow
def test_a_compiled_network_applies_masks_that_came_after_it():
    model = registered_late().eval()
    compiled = torch.compile(model, backend="aot_eager")
    before = compiled(X)
    gst.make_prunable(compiled, X)
    assert torch.allclose(compiled(X), before, atol=1e-6)
    layers = gst.prunable_layers(compiled)
    assert set(layers) == {"_orig_mod.conv1", "_orig_mod.conv2"}
    for layer in layers.values():
        layer.mask.mask[:4] = 0
    pruned = compiled(X)
    assert torch.allclose(pruned, model(X), atol=1e-6) and not torch.allclose(pruned, before, atol=1e-3)


def test_several_inputs_and_named_ones():
    model = Net(
        lambda m, a, b: end(m, m.one(a * (1 + b.mean()))),
        one=nn.Sequential(conv(3, 8), nn.ReLU()),
        head=nn.Linear(8, 4),
    )
    assert list(gst.prunable_layers(gst.make_prunable(copy.deepcopy(model), (X, X)))) == ["one.0"]
    assert list(gst.prunable_layers(gst.make_prunable(copy.deepcopy(model), {"a": X, "b": X}))) == ["one.0"]


# --- what is asked, what is said -----------------------------------------------------------------------------


def test_without_an_example_the_shape_is_asked_for():
    with pytest.raises(ValueError, match="example_input is missing"):
        gst.make_prunable(plain())
    with pytest.raises(TypeError, match=r"example_input=.*names go to layers"):
        gst.make_prunable(plain(), ["0"])
    with pytest.raises(ValueError, match="example_input does not pass through model=Sequential"):
        gst.make_prunable(plain(), X[:, :2])


def test_a_refused_layer_that_is_asked_for_is_an_error_with_its_reason():
    model = stem_and(lambda m, x: m.gate(F.relu(x)), gate=Gate())
    with pytest.raises(ValueError, match=r"layers='gate\.up' cannot be masked: a gate"):
        gst.make_prunable(model, X, layers=["stem", "gate.up"])
    assert not [name for name, _ in model.named_buffers()]
    with pytest.raises(
        ValueError, match=r"no convolution whose filters could be masked \(0: its channels are the network's"
    ):
        gst.make_prunable(nn.Sequential(conv(3, 8)), X)


def test_a_mask_that_does_not_silence_is_an_error_that_names_the_layer(monkeypatch):
    model = concatenation()
    follow = trace.follow

    def forgetful(*arguments):
        plan = follow(*arguments)
        for placement in plan.placements.values():
            placement.sites = placement.sites[:1]  # the norm behind the concatenation is forgotten
        return plan

    monkeypatch.setattr(trace, "follow", forgetful)
    with pytest.raises(
        RuntimeError, match=r"layer '(one|two|stem)' does not silence.*(Conv2d 'last'|gradient|weights)"
    ):
        gst.make_prunable(model, X)  # its norms' shifts are zero, which must not hide the mistake
    assert not any(isinstance(module, gst.FilterMask) for module in model.modules())


def test_neither_generators_nor_modes_nor_statistics_are_touched():
    model = registered_late()
    model.bn2.eval()
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    gst.make_prunable(model, X)
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training and model.bn1.training and not model.bn2.training
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_of_the_package_state_what_following_the_data_finds(name):
    shape = {"conv1d": (1, 40), "conv2d": (1, 8, 8)}.get(name.removesuffix("_pooled"), (3, 32, 32))
    model = NETWORKS[name].build(input_shape=shape, width=0.25, filter_dropout=0.1)
    layers = gst.prunable_layers(model)
    stated = {name: layer.mask.sites for name, layer in layers.items()}
    norms = {name: layer.norm for name, layer in layers.items()}
    make_prunable.remove_masks(model)
    with borrowed(model) as run:
        plan = trace.follow(model, run, [torch.randn(2, *shape)])
    assert plan.skipped == layers.skipped
    assert {name: tuple(site.module for site in found.sites) for name, found in plan.placements.items()} == stated
    assert {name: model.get_submodule(found.norm) for name, found in plan.placements.items()} == norms
    assert all(site.dim == 1 and site.index is None for found in plan.placements.values() for site in found.sites)


# --- lost masks ----------------------------------------------------------------------------------------------


class TwoConvolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = conv(3, 8), nn.BatchNorm2d(8), conv(8, 8), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))).mean((2, 3)))


def half_pruned():
    model = gst.make_prunable(TwoConvolutions(), X)
    gst.prune_filters(model, "conv1", 0.5)
    return model.eval()


def fused(model):
    from torch.fx.experimental.optimization import fuse

    return fuse(model)


def with_another_norm(model):
    model.bn1 = nn.BatchNorm2d(8).eval()
    return model


def with_fused_modules(model):
    model.conv1 = nn.utils.fusion.fuse_conv_bn_eval(model.conv1, model.bn1)
    model.bn1 = nn.Identity()
    return model


def without_hooks(model):
    model.bn1._forward_hooks.clear()
    return model


CHANGES = [nn.SyncBatchNorm.convert_sync_batchnorm, with_another_norm, with_fused_modules, without_hooks, fused]


@pytest.mark.parametrize("change", CHANGES)
def test_a_mask_that_nothing_applies_is_an_error_not_a_sparsity(change):
    model = half_pruned()
    assert gst.sparsity(model, ["conv1"]) == 0.5
    model = change(model)
    labels = torch.tensor([0, 1])
    for read in (
        lambda: gst.sparsity(model),
        lambda: gst.prunable_layers(model),
        lambda: gst.correct(model, X, labels),
    ):
        with pytest.raises(ValueError, match=r"The mask of layer 'conv[12]' is lost.*before make_prunable"):
            read()


def test_a_network_without_masks_has_no_sparsity():
    with pytest.raises(ValueError, match="no filter masks"):
        gst.sparsity(registered_late())
    with pytest.raises(ValueError, match="layers='conv9'"):
        gst.sparsity(half_pruned(), ["conv9"])


def test_a_copy_and_a_pickle_keep_their_masks(tmp_path):
    model = half_pruned()
    torch.save(model.bn1, tmp_path / "norm.pt")
    twin = copy.deepcopy(model)
    assert gst.sparsity(twin, ["conv1"]) == 0.5
    gst.restore_filters(model)
    assert gst.sparsity(twin, ["conv1"]) == 0.5
    assert_exact(twin, X)
