"""A study of your own: do filters that a rule of yours chooses recover as well as the smallest?

    gst cost my_study.py                      # what it takes here
    gst run my_study.py                       # every core; stop it and run it again to go on
    gst show my_study.py --figure my_study.png

Wherever a config names something (data, model, score, schedule, intervention, loss, measure) it also takes a function of this
file. Your own network is `model=my_network`, a function of `n_classes` and `input_shape`.
"""

import torch

import gst_tutorial as gst


def spread(layer, model, batch):
    """A score, `(C,)`: the standard deviation of each filter's weights. Small ones are pruned first."""
    return layer.conv.weight.detach().flatten(1).std(1)


def confidence(model, dataset):
    """A measure of the trained network: the mean probability of the class that it names."""
    with torch.no_grad():
        return model(dataset.x_test).softmax(1).max(1).values.mean().item()


NONE = gst.RunConfig(data="mnist1d", model="conv1d", epochs=30, evaluate_every=30, measures=(confidence,))
PRUNED = NONE.replace(intervention="prune", layers=("conv4",), prune_fraction=0.8, schedule=(5, 10, 15))

STUDY = gst.Study(
    name="my_study",
    sentence="Does it matter which filters are pruned?",
    arms=[
        gst.Arm(NONE, {"method": "none"}),
        *(gst.Arm(PRUNED.replace(target=target), {"target": target}) for target in ("smallest", "random")),
        gst.Arm(PRUNED.replace(score=spread), {"target": "smallest", "score": "spread"}),
    ],
    seeds=range(5),
)
