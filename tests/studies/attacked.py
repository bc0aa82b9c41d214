"""A run that tells when it begins and ends, and notices if it goes on twice at once. For `tests.attacks`.

The learning rate names the run; the optimizer is a function of this file, called once as training begins, and the measure is
called as the run ends. In between the process holds a lock on a file of that run's, which ends with the process.
"""

import fcntl
import os
import time
from pathlib import Path

import torch

import gst_tutorial as gst

LOG = "GST_ATTACK_LOG"  # the folder to tell it in
_held = []


def started(parameters, lr):
    folder = Path(os.environ[LOG])
    file = open(folder / f"{lr!r}.run", "a")  # noqa: SIM115 (the lock lasts as long as the run)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        twice = 0
    except BlockingIOError:
        twice = 1
    _held[:] = [file]
    with open(folder / "starts", "a") as log:
        log.write(f"{lr!r} {time.time_ns()} {twice}\n")  # one write, so lines of several processes do not mix
    return torch.optim.Adam(parameters, lr=lr)


def ended(model, dataset):
    _held.clear()
    return 0.0


def study(n: int) -> gst.Study:
    """`n` runs of a tenth of a second."""
    base = gst.RunConfig(
        n_train=100, n_test=100, width=0.25, intervention="prune", prune_fraction=0.5, schedule=(1,),
        measures=(ended,), optimizer=started, batch_size=50, epochs=3, milestones=(),
    )  # fmt: skip
    arms = [gst.Arm(base.replace(learning_rate=1e-3 + i * 1e-6), {"run": i}) for i in range(n)]
    return gst.Study("attacked", "Does it survive?", arms, (0,))


def starts(folder: Path) -> list[tuple[float, int, int]]:
    """(learning rate, nanoseconds since 1970, whether it was going on already) of every start."""
    file = folder / "starts"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(float(rate), int(when), int(twice)) for rate, when, twice in map(str.split, lines)]
