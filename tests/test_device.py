"""What a GPU asks of the training loop: steps that wait for nothing, compiled networks, the same results as a processor."""

import shutil

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import gst_tutorial as gst

EVENTS = gst.PruneSchedule(0, 1, 1)
SMALL = gst.RunConfig(n_train=200, n_test=200, schedule=EVENTS).replace(epochs=3, milestones=(), batch_size=50)
IMAGES = SMALL.replace(data="digits", model="conv2d", augment="crop_flip")
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero", "equal"}


class Waits(TorchDispatchMode):
    """Collects every operation whose result the processor must see, or whose shape depends on the numbers."""

    def __init__(self):
        super().__init__()
        self.step, self.found = None, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        by_booleans = name.startswith("index") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in args[1] or ()
        )
        # Batches 0 to n - 2 and all callbacks between them. An epoch's end may wait: there it evaluates and prunes.
        if self.step is not None and (name in WAITING or by_booleans):
            self.found.append(f"{name} in step {self.step}")
        return func(*args, **(kwargs or {}))

    def watch(self, n_steps):
        return lambda epoch, step: setattr(self, "step", step if step < n_steps - 1 else None)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SMALL.replace(augment="shift_noise", dropout=0.5, filter_dropout=0.5, label_smoothing=0.1, weight_decay=0.1),
        SMALL.replace(optimizer="sgd", precision="bf16"),
        SMALL.replace(weight_noise=0.1),
        SMALL.replace(method="zero", noise_batches=6, cumulative=True),
        SMALL.replace(method="zero", noise_batches=3, restore=True, score="ebn"),
        SMALL.replace(method="gaussian", noise_batches=6, target="random"),
        SMALL.replace(method="gaussian", noise_batches=6, redraw=True, noise_reference="filter"),
        IMAGES.replace(method="prune"),
    ],
)
def test_no_training_step_waits_for_a_number(config):
    experiment, waits = gst.Experiment(config), Waits()
    with waits:
        experiment.run([waits.watch(experiment.steps_per_epoch)])
    assert waits.found == []


def test_a_step_that_waits_is_found():
    experiment, waits = gst.Experiment(SMALL), Waits()
    weight = experiment.layers["conv4"].conv.weight.detach()
    with waits:
        experiment.run(
            [waits.watch(experiment.steps_per_epoch), lambda epoch, step: (float(weight.sum()), weight[weight > 0])]
        )
    assert {"_local_scalar_dense in step 0", "index in step 2"} <= set(waits.found)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_learns_the_same_and_sees_the_masks_set_while_it_trains():
    pruned = SMALL.replace(method="prune", prune_fraction=0.5)
    plain, compiled = gst.run(pruned), gst.run(pruned.replace(compiled=True))
    assert compiled.epochs.train_loss.tolist() == pytest.approx(plain.epochs.train_loss.tolist(), rel=0.02)
    assert compiled.epochs.train_loss.iloc[0] == pytest.approx(plain.epochs.train_loss.iloc[0], rel=1e-3)
    layer = gst.prunable_layers(compiled.model)["conv4"]
    assert gst.sparsity(compiled.model, ["conv4"]) == 0.5
    # A pruned filter gets no gradient in the compiled step, either: what the last steps did to it is momentum alone.
    grads = layer.conv.weight.grad.flatten(1).abs().sum(1)
    assert (grads[~layer.mask.kept] == 0).all() and (grads[layer.mask.kept] > 0).all()


@NEEDS_GPU
@pytest.mark.parametrize("speed", [{}, {"precision": "bf16"}, {"compiled": True}])
def test_a_gpu_gives_the_results_of_the_processor_within_the_noise_over_seeds(speed):
    base = gst.RunConfig(method="prune", evaluate_every=10)
    study = gst.Study("here", "?", {"cpu": base, "gpu": base.replace(device="cuda", **speed)}, range(6))
    frame = gst.sweep(study, n_jobs=1)
    gap = gst.statistics.paired_difference(frame, "gpu", "cpu")
    assert gap.low <= 0 <= gap.high or abs(gap.value) < 0.005
    assert np.isfinite(frame.final_accuracy).all()
