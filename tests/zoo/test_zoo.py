"""Networks of torchvision and timm with random weights: what is masked is exact, what is not has its reason.

`python -m pytest -s tests/zoo/test_zoo.py` prints a table: layers masked here, layers that torch-pruning can cut, seconds.
"""

import copy
import time
import warnings

import pytest
import torch

import gst_tutorial as gst
from gst_tutorial.data import torchvision
from gst_tutorial.graph.labels import CONVOLUTIONS
from tests.zoo.exact import assert_exact, readers_that_see_zeros, shaken

torchvision()  # before timm, which imports it
timm = pytest.importorskip("timm")

# Name -> how many layers have a mask, how many have a reason. All small, or they would take minutes.
NETWORKS = {
    "torchvision": {
        "alexnet": (5, 0), "resnet18": (17, 3), "squeezenet1_1": (25, 1), "densenet_small": (22, 0), "googlenet": (59, 0),
        "shufflenet_v2_x0_5": (37, 19), "mobilenet_v2": (35, 17), "mobilenet_v3_small": (23, 29), "mnasnet0_5": (35, 17),
        "regnet_x_400mf": (67, 4), "efficientnet_b0": (33, 48),
    },
    "timm": {
        "test_byobnet": (10, 12), "test_convnext": (4, 9), "test_convnext2": (4, 4), "test_efficientnet": (11, 6),
        "test_efficientnet_evos": (11, 6), "test_efficientnet_gn": (11, 6), "test_efficientnet_ln": (11, 6),
        "test_mambaout": (5, 6), "test_nfnet": (21, 12), "test_resnet": (12, 3), "test_vit": None, "repvgg_a0": None,
        "resnet10t": (11, 3), "seresnet18": (17, 19), "skresnet18": (33, 11), "resnetblur18": (17, 3), "dla34": (33, 5),
        "hgnetv2_b0": (31, 12), "lcnet_035": (15, 17), "tinynet_e": (21, 30), "fbnetc_100": (44, 21),
        "ghostnet_050": (30, 65), "hardcorenas_a": (24, 27), "rexnet_100": (33, 42), "ese_vovnet19b_slim": (19, 4),
        "cs3darknet_focus_s": (31, 0), "convnext_atto": (28, 12), "poolformer_s12": (28, 0), "edgenext_xx_small": (4, 16),
        "efficientvit_b0": (27, 23), "repvit_m0_9": (57, 69), "starnet_s050": (17, 18), "swiftformer_xs": (45, 16),
        "mobilevit_xxs": (28, 7), "mobilevitv2_050": (37, 27), "inception_next_atto": (28, 36), "pvt_v2_b0": (10, 8),
        "regnety_002": (40, 30), "tf_mobilenetv3_small_minimal_100": (24, 11),
    },
}  # fmt: skip
CASES = [(library, name) for library, names in NETWORKS.items() for name in names]
# torch-pruning is asked who reads a filter where it answers within seconds and follows splits and reshapes rightly.
JUDGED = ("alexnet", "resnet18", "squeezenet1_1", "densenet_small", "mobilenet_v2", "mobilenet_v3_small",
          "regnet_x_400mf", "test_resnet", "test_nfnet", "test_efficientnet_gn", "seresnet18", "dla34", "fbnetc_100")  # fmt: skip


def network(library, name):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "timm":
            return timm.create_model(name, num_classes=10)
        models = torchvision().models
        if name == "densenet_small":
            return models.DenseNet(growth_rate=8, block_config=(2, 3, 2, 2), num_init_features=16, num_classes=10)
        model = getattr(models, name)(num_classes=10)
    if name == "alexnet":  # tens of millions of weights in the classifier test nothing more
        n_in = next(layer for layer in model.classifier if isinstance(layer, torch.nn.Linear)).in_features
        model.classifier = torch.nn.Sequential(torch.nn.Linear(n_in, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
    return model


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows
    if rows:
        print(f"\n{'network':<28}{'convolutions':>13}{'masked':>8}{'seconds':>9}{'readers agree':>15}")
        for row in rows:
            print("{:<28}{:>13}{:>8}{:>9.2f}{:>15}".format(*row))
        print(
            f"{len(rows)} networks, {sum(row[2] for row in rows)} of {sum(row[1] for row in rows)} convolutions masked"
        )


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name"), CASES, ids=[name for _, name in CASES])
def test_a_network_of_others_is_exact_or_refused_with_its_reason(library, name, table):
    model, x = network(library, name), torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    n = sum(isinstance(module, CONVOLUTIONS) for module in model.modules())
    start = time.perf_counter()
    plain = copy.deepcopy(model) if name in JUDGED else None
    if NETWORKS[library][name] is None:
        with pytest.raises(ValueError, match="no convolution whose filters could be masked"):
            gst.make_prunable(model, x)
        table.append((name, n, 0, time.perf_counter() - start, ""))
        return
    gst.make_prunable(model, x)
    seconds = time.perf_counter() - start
    layers = gst.prunable_layers(model)
    assert_exact(shaken(model), x)
    judged = readers_that_see_zeros(model, plain, x) if plain is not None else ""
    table.append((name, n, len(layers), seconds, judged))
    assert judged == "" or judged > 0
    assert (len(layers), len(layers.skipped)) == NETWORKS[library][name], layers.skipped
    assert all(layers.skipped.values())
