"""One seed, many independent streams of random numbers.

A run has one seed, but initialization, batch order, dropout, augmentation, noise and random targets
each draw from a stream of their own. Two methods with the same seed then share their initial weights and
their batches even though only one of them draws noise: the comparison is *paired*.
"""

from __future__ import annotations

import contextlib
import random
import zlib

import numpy as np

from gst_tutorial import _arguments as check
from gst_tutorial._lazy import torch


def stream_seed(seed: int, stream: str) -> int:
    """A 63-bit seed for the named stream of a run (numpy's SeedSequence mixes both, so streams do not overlap)."""
    check.integer("seed", seed, low=0)
    state = np.random.SeedSequence([seed, zlib.crc32(stream.encode())]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))  # torch takes seeds below 2**63


def generator(seed: int, stream: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for the named stream of a run."""
    return torch.Generator(device).manual_seed(stream_seed(seed, stream))


@contextlib.contextmanager
def global_torch_stream(seed: int, stream: str):
    """Make the *global* torch generators follow one named stream inside the block, then restore the caller's state.

    `nn.Dropout` and the initializers of `nn.Module` can only draw from the global generators, so this is the way to give
    them their own stream.
    """
    with torch.random.fork_rng(devices=_gpus()):
        # torch would remember the seed and apply it when the GPU is first used; a GPU not in use yet should keep its state.
        asleep = torch.cuda.is_available() and not torch.cuda.is_initialized()
        (torch.default_generator.manual_seed if asleep else torch.manual_seed)(stream_seed(seed, stream))
        yield


def _gpus() -> list[int]:
    """The GPUs that this process already uses. Asking another for its state would allocate memory on it."""
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []


@contextlib.contextmanager
def untouched_global_state():
    """Restore the global generators of Python, NumPy and torch after the block."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=_gpus()):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
