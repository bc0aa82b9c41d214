"""What a GPU asks of the training loop: steps that wait for nothing, compiled networks, the same results as a processor."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import gst_tutorial as gst

EVENTS = gst.PruneSchedule(0, 1, 1)
SMALL = gst.RunConfig(n_train=200, n_test=200, schedule=EVENTS).replace(epochs=3, milestones=(), batch_size=50)
IMAGES = SMALL.replace(data="digits", model="conv2d", augment="crop_flip")
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
NEEDS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero", "equal"}


class Waits(TorchDispatchMode):
    """Collects every operation whose result the processor must see, or whose shape depends on the numbers."""

    def __init__(self):
        super().__init__()
        self.step, self.found = None, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        indices = args[1] if name.startswith("index") and isinstance(args[1], (list, tuple)) else ()
        by_booleans = any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices)
        # Batches 0 to n - 2 and all callbacks between them. An epoch's end may wait: there it evaluates and prunes.
        if self.step is not None and (name in WAITING or by_booleans):
            self.found.append(f"{name} in step {self.step}")
        return func(*args, **(kwargs or {}))

    def watch(self, n_steps):
        return lambda epoch, step: setattr(self, "step", step if step < n_steps - 1 else None)


EVERY_CALLBACK = pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SMALL.replace(augment="shift_noise", dropout=0.5, filter_dropout=0.5, label_smoothing=0.1, weight_decay=0.1),
        SMALL.replace(optimizer="sgd", precision="bf16"),
        SMALL.replace(weight_noise=0.1),
        SMALL.replace(intervention="zero", n_batches=6, draws="so far"),
        SMALL.replace(intervention="zero", n_batches=3, restore="values", score="ebn"),
        SMALL.replace(intervention="gaussian", n_batches=6, target="random"),
        SMALL.replace(intervention="gaussian_relative", n_batches=6, draws="afresh"),
        IMAGES.replace(intervention="prune"),
    ],
)


@EVERY_CALLBACK
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


@NEEDS_GPU
@EVERY_CALLBACK
def test_no_training_step_on_a_gpu_synchronizes(config):
    experiment = gst.Experiment(config.replace(device="cuda"))
    last = experiment.steps_per_epoch - 1
    try:
        experiment.run([lambda epoch, step: torch.cuda.set_sync_debug_mode("error" if step < last else "default")])
    finally:
        torch.cuda.set_sync_debug_mode("default")


@NEEDS_GPU
def test_a_run_on_the_processor_does_not_touch_the_gpu():
    code = "import torch, gst_tutorial as gst; gst.run(gst.RunConfig().replace(epochs=1, milestones=())); "
    subprocess.run([sys.executable, "-c", code + "assert not torch.cuda.is_initialized()"], check=True)


@NEEDS_COMPILER
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_compiled_network_learns_the_same_and_sees_new_masks(device):
    grads = {}
    pruned = SMALL.replace(
        intervention="prune", prune_fraction=0.5, batch_size=60, device=device
    )  # the last batch has 20

    def keep_gradients(epoch, step):
        if (epoch, step) == (2, 4):
            grads["conv4"] = experiment.layers["conv4"].conv.weight.grad.flatten(1).abs().sum(1)

    for seed in (0, 1):  # the second run reuses what the first compiled
        plain = gst.run(pruned.replace(seed=seed)).epochs.train_loss
        experiment = gst.Experiment(pruned.replace(compiled=True, seed=seed))
        losses = experiment.run([keep_gradients]).epochs.train_loss
        assert losses.iloc[0] == pytest.approx(plain.iloc[0], rel=1e-3 if device == "cpu" else 2e-2)
        assert losses.tolist() == pytest.approx(plain.tolist(), rel=0.02 if device == "cpu" else 0.1)
        kept = experiment.layers["conv4"].mask.kept
        assert gst.sparsity(experiment.model, ["conv4"]) == 0.5
        assert (grads["conv4"][~kept] == 0).all() and (grads["conv4"][kept] > 0).all()


@NEEDS_COMPILER
def test_a_network_that_cannot_be_compiled_is_an_error_not_a_slow_run():
    class Undecided(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(40, 10)

        def forward(self, x):  # (B, 1, 40)
            return self.head(x[:, 0]) if x.sum() > 0 else self.head(-x[:, 0])  # looks at a number

    data = gst.load("mnist1d", n_train=200, n_test=200)
    with pytest.raises(torch._dynamo.exc.Unsupported):
        gst.train(Undecided(), data, gst.Recipe(epochs=1, milestones=(), compiled=True))


@NEEDS_GPU
@pytest.mark.parametrize("speed", [{}, {"precision": "bf16"}, {"compiled": True}])
def test_gpu_results_equal_the_cpu_within_seed_noise(speed):
    if "precision" in speed and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no bfloat16")
    base = gst.RunConfig(intervention="prune", evaluate_every=10)
    study = gst.Study("here", "?", {"cpu": base, "gpu": base.replace(device="cuda", **speed)}, range(6))
    frame = gst.sweep(study, n_jobs=1)
    gap = gst.statistics.paired_difference(frame, "gpu", "cpu")
    assert gap.low <= 0 <= gap.high or abs(gap.value) < 0.005
    assert np.isfinite(frame.final_accuracy).all()
