"""torchvision is importable with any torch, and `make_prunable` works on its networks."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gst_tutorial as gst
from gst_tutorial.data import torchvision

ROOT = Path(__file__).resolve().parents[2]


# --- the import ----------------------------------------------------------------------------------------------


def in_a_new_process(code):
    """Run `code` in a fresh interpreter and return the JSON of its last line."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_torchvision_loads_even_where_its_operators_do_not():
    code = """
import json, sys
try:
    import torchvision
    plain = "works"
except RuntimeError as error:
    plain = str(error)
from gst_tutorial.data import torchvision as load
tv = load()
import torch, torchvision
image = tv.transforms.v2.functional.horizontal_flip(torch.arange(4).view(1, 2, 2))
print(json.dumps([plain, load() is tv is torchvision, hasattr(tv.datasets, "CIFAR10"), image.flatten().tolist(),
                  list(tv.models.resnet18(num_classes=3)(torch.zeros(2, 3, 32, 32)).shape)]))
"""
    plain, the_same, has_cifar10, flipped, shape = in_a_new_process(code)
    assert plain == "works" or "torchvision::nms does not exist" in plain  # both kinds of installation are fine
    assert the_same and has_cifar10
    assert flipped == [1, 0, 3, 2]
    assert shape == [2, 3]


# Replace torchvision by small stand-ins, and report for each how `torchvision()` ended and how often it declared operators.
STAND_INS = """
import json, sys, tempfile
from pathlib import Path
package = Path(tempfile.mkdtemp()) / "torchvision"
(package / "transforms").mkdir(parents=True)
for name in ("datasets.py", "models.py", "transforms/__init__.py", "transforms/v2.py"):
    (package / name).write_text("")
sys.path.insert(0, str(package.parent))
sys.dont_write_bytecode = True
from gst_tutorial.data import images
declared = []
declare = images._declare_operators
images._declare_operators = lambda: declared.append(1) or declare()
ends = []
for body in BODIES:
    (package / "__init__.py").write_text(body)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    images.torchvision.cache_clear()
    try:
        end = images.torchvision().__name__
    except Exception as error:
        end = repr(error)
    ends.append([end, len(declared)])
print(json.dumps(ends))
"""
LACKS_OPERATORS = """
import torch
if not hasattr(torch.ops.torchvision, "nms"):
    raise RuntimeError("operator torchvision::nms does not exist")
"""


def test_operators_are_declared_only_after_they_were_missed():
    failures = ["RuntimeError('something else')", "ImportError('no such file')"]
    bodies = ["", *(f"raise {failure}" for failure in failures), LACKS_OPERATORS]
    ends = in_a_new_process(f"BODIES = {bodies!r}\n{STAND_INS}")
    assert ends[0] == ["torchvision", 0]
    assert ends[1:3] == [[failure, 0] for failure in failures]  # any other failure is passed on
    assert ends[3] == ["torchvision", 1]


def test_package_imports_torchvision_through_this_function_only():
    sources = {path: path.read_text() for path in (ROOT / "gst_tutorial").rglob("*.py")}
    assert len(sources) > 50
    assert [path for path, code in sources.items() if re.search(r"^\s*(import|from) torchvision\b", code, re.M)] == []


# --- its networks --------------------------------------------------------------------------------------------

NAMES = ["resnet18", "vgg11_bn", "vgg11", "mobilenet_v3_small"]
PRUNED = [1, 4, 6]
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def network(name):
    """A torchvision network with ten classes, in evaluation mode, whose batch norms have seen something."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        model = getattr(torchvision().models, name)(num_classes=10)
        if name.startswith("vgg"):  # its 4,096 hidden units become 16: a hundred million more weights test nothing more
            model.classifier[0], model.classifier[6] = nn.Linear(512 * 49, 16), nn.Linear(16, 10)
            model.classifier[3] = nn.Linear(16, 16)
    model.to_empty(device="cpu")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.5, generator=generator)
            nn.init.normal_(module.running_mean, 0, 0.2, generator=generator)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.2, generator=generator)
    return model.eval()


@pytest.fixture
def images():
    return IMAGES


def mask_out(model, layer, indices=PRUNED):
    gst.prunable_layers(model)[layer].mask.mask[indices] = 0


def inputs_of(model, name, images):
    """Return the input of the module `name` when the model is given the images."""
    seen = []
    handle = model.get_submodule(name).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    with torch.no_grad():
        model(images)
    handle.remove()
    return seen[0]


def zeroed(model, *names, indices=PRUNED):
    """The official pruning: in the named convolutions and batch norms, weights and biases of the filters are zero."""
    with torch.no_grad():
        for name in names:
            module = model.get_submodule(name)
            module.weight[indices] = 0
            if module.bias is not None:
                module.bias[indices] = 0
    return model


# --- the result is that of zeros in the weights (tests/zoo shakes pruned filters in many more networks) -------


@pytest.mark.parametrize(
    ("name", "layer", "official"),
    [
        ("resnet18", "conv1", ["conv1", "bn1"]),
        ("resnet18", "layer3.1.conv1", ["layer3.1.conv1", "layer3.1.bn1"]),
        # With a projection shortcut, no shortcut on a channel is a zero in the projection's batch norm.
        ("resnet18", "layer2.0.conv2", ["layer2.0.conv2", "layer2.0.bn2", "layer2.0.downsample.1"]),
        ("vgg11_bn", "features.8", ["features.8", "features.9"]),
        ("vgg11", "features.6", ["features.6"]),
        # The depthwise convolution behind an expansion has a batch norm, whose shift has to go with the filter.
        ("mobilenet_v3_small", "features.2.block.0.0",
         [f"features.2.block.{i}.{j}" for i in (0, 1) for j in (0, 1)]),
        ("mobilenet_v3_small", "features.1.block.2.0", ["features.1.block.2.0", "features.1.block.2.1"]),
    ],
)  # fmt: skip
def test_mask_gives_the_logits_of_zeroed_weights_scales_and_shifts(name, layer, official, images):
    model = gst.make_prunable(network(name), IMAGES)
    unpruned = model(images)
    mask_out(model, layer)
    expected = zeroed(network(name), *official)(images)
    assert torch.allclose(model(images), expected, atol=1e-5)
    assert not torch.allclose(expected, unpruned, atol=1e-3)


def test_in_resnet18_an_identity_shortcut_is_not_added_on_pruned_channels(images):
    """Against the block's formula written out."""
    model, plain = gst.make_prunable(network("resnet18"), IMAGES), network("resnet18")
    mask_out(model, "layer1.1.conv2")
    zeroed(plain, "layer1.1.conv2", "layer1.1.bn2")
    block, kept = plain.layer1[1], torch.ones(1, 64, 1, 1)
    kept[:, PRUNED] = 0
    x = inputs_of(plain, "layer1.1", images)
    expected = F.relu(block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x))))) + x * kept)
    assert torch.allclose(inputs_of(model, "layer2", images), expected, atol=1e-6)
