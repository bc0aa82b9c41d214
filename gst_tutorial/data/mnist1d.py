"""MNIST-1D: ten classes of signals with 40 samples each, generated offline in about two seconds.

Greydanus & Kobak, *Scaling Down Deep Learning with MNIST-1D*, ICML 2024. The data are hard enough for a small network to
overfit. The authors' library generates them, and we keep the result in a cache with a checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np

from gst_tutorial import seeding

N_TRAIN, N_TEST = 1000, 4000
_GENERATING = threading.Lock()  # the generator uses NumPy's global random state, which two threads must not share


def cache_folder() -> Path:
    """Folder for generated and downloaded data: `$GST_CACHE`, or `gst-tutorial` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GST_CACHE") or Path(base) / "gst-tutorial")


def read(n_train: int | None, n_test: int | None, seed: int):
    """Return (x, y) for training, (x, y) for test, and the number of classes; x float32 `(N, 1, 40)`, y int64 `(N,)`."""
    n_train, n_test = N_TRAIN if n_train is None else n_train, N_TEST if n_test is None else n_test
    x, y = _cached(n_train + n_test, seed)  # the generator has shuffled them
    return (x[:n_train], y[:n_train]), (x[n_train : n_train + n_test], y[n_train : n_train + n_test]), 10


def _cached(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Read `n` signals from the cache; generate them if they are not there or their checksum shows damage."""
    path = cache_folder() / f"mnist1d-{n}-{seed}.npz"
    if os.path.exists(path):  # unlike Path.exists, False for a folder without permission
        try:
            with np.load(path, allow_pickle=False) as stored:
                x, y, checksum = stored["x"], stored["y"], str(stored["checksum"])
            if checksum == _checksum(x, y):
                return x, y
            raise ValueError("its checksum does not match")
        except Exception as error:  # zip, NumPy and our own check raise different errors; all mean "damaged"
            warnings.warn(f"Rebuilding the damaged data cache {path} ({error}).", stacklevel=6)
    x, y = generate(n, seed)
    try:
        _write(path, x, y)
    except OSError as error:  # a full disk or a read-only folder: warn, and return the data anyway
        warnings.warn(
            f"The data cache {path} cannot be written ({error}); the data will be generated again next time.",
            stacklevel=6,
        )
    return x, y


def _write(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Write under a temporary name first, so that no other process or thread ever reads half a file.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npz")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez_compressed(file, x=x, y=y, checksum=_checksum(x, y))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def generate(n: int, seed: int, **settings) -> tuple[np.ndarray, np.ndarray]:
    """Return n signals, float32 `(n, 1, 40)`, and their classes, int64 `(n,)`. `settings`: as `mnist1d` names them."""
    from mnist1d.data import get_dataset_args, make_dataset

    args = get_dataset_args()
    vars(args).update(settings)
    args.num_samples = -(-n // 10) * 10  # the generator makes the same number for each of the ten classes
    args.train_split = 1.0  # no test part: we split the examples ourselves
    args.seed = seed
    with _GENERATING, seeding.untouched_global_state():  # the generator seeds every global random state
        made = make_dataset(args)
    return made["x"][:n, None].astype(np.float32), made["y"][:n].astype(np.int64)  # (N, 1, 40), (N,)


def _checksum(x: np.ndarray, y: np.ndarray) -> str:
    return hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
