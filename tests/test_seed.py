"""A seed promises the same numbers: to the bit on one machine, and nearly on another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gst_tutorial as gst

CONFIG = gst.RunConfig(n_train=200, n_test=500, epochs=6, milestones=(), intervention="prune", schedule=(1, 3), seed=3)


def numbers(result):
    return [result.final_accuracy, result.instability, *result.epochs.train_loss]


def in_a_new_process(**environment):
    """The same run in another process, with these environment variables."""
    program = (
        "import gst_tutorial as gst\n"
        "from tests.test_seed import CONFIG, numbers\n"
        "print(*map(float.hex, map(float, numbers(gst.run(CONFIG)))))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return [float.fromhex(text) for text in done.stdout.split()]


@pytest.fixture(scope="module")
def here():
    return numbers(gst.run(CONFIG))


def test_run_repeats_bit_for_bit_in_one_process_and_in_another(here):
    torch.manual_seed(7)  # the global generators play no part
    assert numbers(gst.run(CONFIG)) == here
    assert in_a_new_process() == here


def test_threads_set_by_the_caller_change_nothing(here):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert numbers(gst.run(CONFIG)) == here
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert in_a_new_process(OMP_NUM_THREADS="2") == here


@pytest.mark.parametrize("other", ["default", "avx2", "two threads"])
def test_other_cpu_kernels_agree_until_rounding_has_grown(here, other):
    """They add in another order; training amplifies the difference. The first epoch's loss shows how small it begins."""
    two = other == "two threads"
    there = numbers(gst.run(CONFIG, threads=2)) if two else in_a_new_process(ATEN_CPU_CAPABILITY=other)
    assert there[2] == pytest.approx(here[2], abs=1e-4)  # mean training loss of the first epoch
    assert there[0] == pytest.approx(here[0], abs=0.06)  # final test accuracy
