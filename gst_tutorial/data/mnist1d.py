"""MNIST-1D: ten classes of signals with 40 samples each, generated offline in about two seconds.

Greydanus & Kobak, *Scaling Down Deep Learning with MNIST-1D*, ICML 2024; hard enough that a small network overfits. The
generator is the authors' library; what it makes is kept in a cache with a checksum.
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
_GENERATING = threading.Lock()  # the generator draws from NumPy's global state: two threads would mix their numbers


def cache_folder() -> Path:
    """Where data is kept that was generated or downloaded: `$GST_CACHE`, or `gst-tutorial` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GST_CACHE") or Path(base) / "gst-tutorial")


def read(n_train: int | None, n_test: int | None, seed: int):
    """(x, y) of training and of test examples, and the number of classes: float32 `(N, 1, 40)`, int64 `(N,)`."""
    n_train, n_test = N_TRAIN if n_train is None else n_train, N_TEST if n_test is None else n_test
    x, y = _cached(n_train + n_test, seed)  # shuffled already
    return (x[:n_train], y[:n_train]), (x[n_train : n_train + n_test], y[n_train : n_train + n_test]), 10


def _cached(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Generate `n` signals, or read them from the cache. The checksum inside the file tells whether it is damaged."""
    path = cache_folder() / f"mnist1d-{n}-{seed}.npz"
    if os.path.exists(path):  # unlike Path.exists, False where one may not look
        try:
            with np.load(path, allow_pickle=False) as stored:
                x, y, checksum = stored["x"], stored["y"], str(stored["checksum"])
            if checksum == _checksum(x, y):
                return x, y
            raise ValueError("its checksum does not match")
        except Exception as error:  # zip, numpy and our own check each raise their own kind; all mean "damaged"
            warnings.warn(f"Rebuilding the damaged data cache {path} ({error}).", stacklevel=6)
    x, y = _generate(n, seed)
    try:
        _write(path, x, y)
    except OSError as error:  # a full disk, a folder that is not ours: there are data all the same
        warnings.warn(f"The data cache {path} cannot be written ({error}): data are generated anew.", stacklevel=6)
    return x, y


def _write(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written under a name of its own first: neither a second process nor a second thread ever sees half a file.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npz")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez_compressed(file, x=x, y=y, checksum=_checksum(x, y))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _generate(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from mnist1d.data import get_dataset_args, make_dataset

    args = get_dataset_args()
    args.num_samples = -(-n // 10) * 10  # the generator makes equally many of each of the ten classes
    args.train_split = 1.0  # we split ourselves
    args.seed = seed
    with _GENERATING, seeding.untouched_global_state():  # the generator seeds every global random state
        made = make_dataset(args)
    return made["x"][:n, None].astype(np.float32), made["y"][:n].astype(np.int64)  # (N, 1, 40), (N,)


def _checksum(x: np.ndarray, y: np.ndarray) -> str:
    return hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
