"""A study of one's own: does pruning help torchvision's ResNet-18 on a folder of pictures?

    python examples/make_pictures.py             # or put a folder of your own in `pictures` below
    gst cost examples/study.py                   # what it takes here
    gst run examples/study.py                    # every core; stop it and run it again to go on
    gst show examples/study.py --out results

Whatever a config can name may be a function of this file: here data, a score, a schedule and a measure.
"""

from pathlib import Path

import torch

import gst_tutorial as gst

LAYER = "layer4.1.conv1"


def pictures(seed=0):
    """The data: as a function, since a config that named this folder would be of this machine only."""
    return gst.load(f"folder:{Path(__file__).parent / 'pictures'}", seed=seed)


def mean_weight(layer, model, x):
    """A score: which filters go first, (C,)."""
    return layer.conv.weight.detach().flatten(1).mean(1)


def in_the_first_half(epochs):
    """A schedule: the epochs after which filters are removed."""
    return range(1, epochs // 2, 2)


def confidence(model, dataset):
    """A measure of the trained network: the mean probability of the class that it names."""
    with torch.no_grad():
        return model(dataset.x_test).softmax(1).max(1).values.mean().item()


NONE = gst.RunConfig(
    data=pictures,
    model="torchvision.models:resnet18",
    recipe=gst.Recipe(learning_rate=1e-3, batch_size=20, epochs=8, milestones=(6,)),
    measures=(confidence,),
    evaluate_every=8,
)
PRUNED = NONE.replace(intervention="prune", layers=(LAYER,), prune_fraction=0.8, schedule=in_the_first_half)

STUDY = gst.Study(
    name="pictures",
    sentence="ResNet-18 on a folder of pictures: does pruning help, and does it matter which filters go?",
    arms=[
        gst.Arm(NONE, {"method": "none"}),
        *(gst.Arm(PRUNED.replace(target=target), {"target": target}) for target in ("smallest", "largest", "random")),
        gst.Arm(PRUNED.replace(score=mean_weight), {"target": "smallest", "score": "mean weight"}),
        gst.Arm(PRUNED.replace(intervention="redirect"), {"method": "redirect"}),
    ],
    seeds=range(5),
    predictions={"the paper": "Pruning gains, and most where accuracy falls most."},
)
