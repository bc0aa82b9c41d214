"""A program as a reader writes it. A type checker finds nothing in it, and finds each line marked as wrong."""

from typing import assert_type

import torch
from torch import nn

import gst_tutorial as gst

data = gst.load("mnist1d", n_train=100)
assert_type(data, gst.Dataset)
model: nn.Module = gst.make_prunable(nn.Sequential(nn.Conv1d(1, 8, 3), nn.ReLU()), data.x_train[:2])
losses = gst.train(model, data, gst.Recipe(epochs=1, annealing="cosine"), seed=0)
assert_type(losses, list[float])

with gst.measure_instability(lambda: gst.accuracy(model, data.x_test, data.y_test)) as event:
    pruned = gst.prune_filters(model, "0", prune_fraction=0.5)
assert_type(pruned, torch.Tensor)
assert_type(event.instability, float)

config = gst.RunConfig(intervention="prune", schedule=gst.PruneSchedule(5, 23, 9))
result = gst.run(config, checkpoint="run.checkpoint")
assert_type(result, gst.RunResult)
assert_type(result.final_accuracy, float)
assert_type(config.replace(seed=1), gst.RunConfig)

study = gst.Study("mine", "?", [gst.Arm(config, {"what": "mine"})], seeds=range(3))
same = gst.Study("mine", "?", {"none": gst.RunConfig()})
print(gst.sweep(study, store="results"), same)

assert_type(config.epochs, int)
assert_type(config.recipe, gst.Recipe)

gst.RunConfig(epcohs=3)  # type: ignore[call-arg]
config.epochs + "a"  # type: ignore[operator]
gst.RunConfig(target="smalest")  # type: ignore[arg-type]
gst.load(12)  # type: ignore[arg-type]
gst.accuracy(model, 3)  # type: ignore[arg-type]
gst.PruneSchedule("a", 2, 3)  # type: ignore[arg-type]
gst.run("dose")  # type: ignore[arg-type]
print(result.final_acuracy)  # type: ignore[attr-defined]
print(gst.prune_filter)  # type: ignore[attr-defined]
