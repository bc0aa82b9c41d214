"""A stopped run resumes from its checkpoint and gives, bit for bit, the numbers of an undisturbed run."""

import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

import gst_tutorial as gst
from gst_tutorial.checkpoint import Checkpoint

BASE = gst.RunConfig(n_train=100, n_test=100, epochs=6, batch_size=25, milestones=(3,))
JOLT = BASE.replace(intervention="zero", draws="afresh", target="random", prune_fraction=0.5, schedule=(1, 3))
RUNS = {
    "plain, sgd with momentum": BASE.replace(optimizer="sgd", learning_rate=0.05),
    "pruned at random": BASE.replace(intervention="prune", target="random", prune_fraction=0.8, schedule=(1, 3)),
    "pruned at init": BASE.replace(intervention="prune", target="random", schedule="init"),
    "noise in mid-air, values come back": JOLT.replace(intervention="gaussian", n_batches=6, restore="values"),
    "zeroed in mid-air, length comes back": JOLT.replace(intervention="zero", n_batches=6, restore="norm"),
    "all chosen so far": JOLT.replace(intervention="redirect", draws="so far", n_batches=3),
    "inputs of the head": JOLT.replace(intervention="zero_inputs", layers=("head",), n_batches=6, restore="values"),
    "dropout, augmentation, weight noise, wrong labels": BASE.replace(
        dropout=0.2, filter_dropout=0.1, augment="shift_noise", weight_noise=0.1, label_noise=0.2
    ),
    "SAM, AdamW, cosine after a warm-up, clipped": BASE.replace(
        sam_radius=0.1, optimizer="adamw", weight_decay=0.1, annealing="cosine", warmup_epochs=2, clip_norm=1.0
    ),
    "running activation": BASE.replace(
        intervention="prune", score="running_activation", prune_fraction=0.5, schedule=(2, 4), batch_size=10
    ),
    "photographs, channels last": gst.RunConfig(
        data="digits", model="vgg11", width=0.05, n_train=60, n_test=60, epochs=4, batch_size=20, milestones=(2,),
        intervention="prune", layers=("conv8",), target="random", prune_fraction=0.5, schedule=(0, 1), augment="crop_flip",
    ),
}  # fmt: skip


class Stopped(Exception):
    pass


def stop_at(epoch):
    def callback(now, step):
        if (now, step) == (epoch, 1):
            raise Stopped

    return callback


@pytest.mark.parametrize("name", RUNS)
def test_stopped_run_gives_the_same_numbers_bit_for_bit(name, tmp_path):
    config, file = RUNS[name], tmp_path / "run.checkpoint"
    whole = gst.run(config)
    for epoch in (2, 3):  # stopped twice
        with pytest.raises(Stopped):
            gst.run(config, callbacks=[stop_at(epoch)], checkpoint=file, every=0)
        assert file.exists()
    seen = []
    resumed = gst.run(config, callbacks=[lambda epoch, step: seen.append(epoch)], checkpoint=file, every=0)
    assert min(seen) == 3, "it started over"
    assert not file.exists()
    assert resumed.numbers | {"seconds": 0} == whole.numbers | {"seconds": 0}
    assert resumed.events.equals(whole.events) and resumed.epochs.equals(whole.epochs)
    state = resumed.model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in whole.model.state_dict().items())


def test_killed_run_leaves_a_whole_checkpoint(tmp_path):
    config, file = BASE.replace(epochs=300, n_train=200), tmp_path / "run.checkpoint"
    child = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import gst_tutorial as gst
gst.run(gst.RunConfig.from_dict({config.to_dict()!r}), checkpoint={str(file)!r}, every=0)
"""
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", child])
        deadline, seen = time.monotonic() + 120, file.stat().st_mtime_ns if file.exists() else 0
        while not file.exists() or file.stat().st_mtime_ns == seen:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        experiment = gst.Experiment(config)
        kept = Checkpoint(file, "", every=0)
        with pytest.warns(UserWarning, match="belongs to another run"):
            assert not kept.load()  # whole: it could be read as far as whose it is
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        epochs = []
        with pytest.raises(Stopped):
            experiment.run(callbacks=[lambda e, s: epochs.append(e), stop_at(250)], checkpoint=file)
    assert epochs[0] > 0


@pytest.mark.parametrize("what", ["another config", "another function", "damaged", "empty"])
def test_checkpoint_that_does_not_fit_is_reported_and_not_used(tmp_path, what):
    file = tmp_path / "run.checkpoint"
    with pytest.raises(Stopped):
        gst.run(BASE.replace(seed=1) if what == "another config" else BASE, [stop_at(3)], checkpoint=file, every=0)
    if what == "another function":
        file.write_bytes(file.read_bytes().replace(torch.__version__.encode(), b"1" * len(torch.__version__)))
    elif what != "another config":
        file.write_bytes(file.read_bytes()[:1000] if what == "damaged" else b"")
    with pytest.warns(UserWarning, match="is not used"):
        result = gst.run(BASE, checkpoint=file)
    assert result.final_accuracy == gst.run(BASE).final_accuracy


def test_short_run_writes_no_checkpoint(tmp_path):
    gst.run(BASE.replace(epochs=2, milestones=()), callbacks=[lambda *_: None], checkpoint=tmp_path / "run.checkpoint")
    assert list(tmp_path.iterdir()) == []
