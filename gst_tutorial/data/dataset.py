"""Data sets as tensors in memory.

The default is MNIST-1D (Greydanus & Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024): ten classes of
signals with 40 samples each, generated offline in about two seconds and hard enough that a small network overfits.
Photographs (CIFAR-10 and the like, or a folder of your own) are read in images.py.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import warnings

import numpy as np
import torch

from gst_tutorial import _arguments as check
from gst_tutorial import seeding
from gst_tutorial.data import images


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training and test examples, ready for the network.

    Attributes:
        name: the name given to `load`.
        x_train, x_test: float32, `(N, C, L)` for signals or `(N, C, H, W)` for images, normalized with the mean and
            standard deviation of the *training* examples.
        y_train, y_test: int64 class labels, `(N,)`.
        n_classes: number of classes.
    """

    name: str
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    n_classes: int = 10

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, without the batch dimension."""
        return tuple(self.x_train.shape[1:])

    def to(self, device: str) -> Dataset:
        """The same data on another device."""
        moved = {f: getattr(self, f).to(device) for f in ("x_train", "y_train", "x_test", "y_test")}
        return dataclasses.replace(self, **moved)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self.y_train)} train, {len(self.y_test)} test, input {self.input_shape})"


# (n_train, n_test); digits has 1,797 images in all. None: all there are.
DEFAULT_SIZES = {
    "mnist1d": (1000, 4000),
    "digits": (1000, 797),
    **dict.fromkeys(images.DOWNLOADED, (None, None)),
}


def check_name(argument: str, name) -> str:
    """Return `name` if `load` knows it: one of `DEFAULT_SIZES`, or "folder:" and a path."""
    if isinstance(name, str) and name.startswith(images.FOLDER):
        if name == images.FOLDER:
            raise ValueError(f"{argument}={name!r} names no folder; write '{images.FOLDER}PATH'.")
        return name
    return check.one_of(argument, name, [*DEFAULT_SIZES, f"{images.FOLDER}PATH"])


def load(
    name: str = "mnist1d",
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    image_size: int | None = None,
) -> Dataset:
    """Load a data set by name.

    Args:
        name: `"mnist1d"` (generated, cached on disk); `"digits"` (scikit-learn's 8x8 images of handwritten digits);
            `"cifar10"`, `"cifar100"`, `"mnist"`, `"fashion_mnist"` (downloaded once by torchvision, which checks the
            files); or `"folder:PATH"`, a folder with `train/CLASS/*.png` and `test/CLASS/*.png` (or other pictures).
            A relative PATH is looked up in the current folder and then in `$GST_DATA`, so that a config names no
            folder of one machine.
        n_train, n_test: number of training and test examples, drawn at random; None takes the data set's usual size
            (1,000 and 4,000 for MNIST-1D; 1,000 and 797 for digits; otherwise all there are).
        seed: which data set is generated (MNIST-1D), how the images are split (digits), or which are drawn (others).
            Not the seed of a run.
        image_size: of `"folder:PATH"`: pictures are resized and cropped to this many pixels a side; None takes them as
            they are, and they must then all have one size.

    Returns:
        A `Dataset`; training and test examples never overlap.

    Raises:
        ValueError: unknown name, or more examples than there are.
        FileNotFoundError: no such folder, or no pictures in it.
        ConnectionError: a data set that is not here yet could not be downloaded.
    """
    check_name("name", name)
    default_train, default_test = DEFAULT_SIZES.get(name, (None, None))
    sizes = []
    for argument, size, default in (("n_train", n_train, default_train), ("n_test", n_test, default_test)):
        size = default if size is None else size
        sizes.append(None if size is None else check.integer(argument, size, low=10))
    check.integer("seed", seed, low=0)
    if image_size is not None:
        check.integer("image_size", image_size, low=1)
        if not name.startswith(images.FOLDER):
            raise ValueError(f"image_size={image_size} applies to '{images.FOLDER}PATH' only, not to name={name!r}.")
    return _load_once(name, *sizes, seed, image_size)


@functools.lru_cache(maxsize=8)  # a sweep asks for the same data in every run
def _load_once(name: str, n_train: int | None, n_test: int | None, seed: int, image_size: int | None) -> Dataset:
    if name in _GENERATED:
        x, y = _GENERATED[name](n_train + n_test, seed)  # shuffled already
        train, test = (x[:n_train], y[:n_train]), (x[n_train : n_train + n_test], y[n_train : n_train + n_test])
        n_classes = 10
    else:
        train, test, n_classes = images.read(name, n_train, n_test, seed, image_size)
    (x_train, y_train), (x_test, y_test) = train, test
    mean, std = _per_channel(x_train)
    x_train, x_test = (torch.from_numpy((part - mean) / std).float() for part in (x_train, x_test))
    y_train, y_test = (torch.from_numpy(part).long() for part in (y_train, y_test))
    return Dataset(name, x_train, y_train, x_test, y_test, n_classes)


def _per_channel(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of `(N, C, ...)`, in a shape that broadcasts against `x`."""
    if x.shape[1] == 1:
        return x.mean(), x.std()
    axes = (0, *range(2, x.ndim))
    # Summed in float64: the float32 sum of 50,000 photographs loses digits.
    return tuple(f(x, axis=axes, keepdims=True, dtype=np.float64).astype(np.float32) for f in (np.mean, np.std))


def _digits(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    if n > len(bunch.target):
        raise ValueError(f"n_train + n_test = {n} is more than the {len(bunch.target)} images that digits has.")
    order = np.random.default_rng(seed).permutation(len(bunch.target))[:n]
    return bunch.images[order][:, None].astype(np.float32), bunch.target[order]  # (N, 1, 8, 8), (N,)


def _mnist1d(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Generate `n` signals, or read them from the cache. The checksum inside the file tells whether it is damaged."""
    path = images.cache_folder() / f"mnist1d-{n}-{seed}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as stored:
                x, y, checksum = stored["x"], stored["y"], str(stored["checksum"])
            if checksum == _checksum(x, y):
                return x, y
            raise ValueError("its checksum does not match")
        except Exception as error:  # zip, numpy and our own check each raise their own kind; all mean "damaged"
            warnings.warn(f"Rebuilding the damaged data cache {path} ({error}).", stacklevel=5)
    x, y = _generate_mnist1d(n, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written under another name first: a second process never sees half a file.
    temporary = path.with_suffix(f".{os.getpid()}.npz")
    np.savez_compressed(temporary, x=x, y=y, checksum=_checksum(x, y))
    os.replace(temporary, path)
    return x, y


def _generate_mnist1d(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from mnist1d.data import get_dataset_args, make_dataset

    args = get_dataset_args()
    args.num_samples = -(-n // 10) * 10  # the generator makes equally many of each of the ten classes
    args.train_split = 1.0  # we split ourselves
    args.seed = seed
    with seeding.untouched_global_state():  # the generator seeds every global random state
        made = make_dataset(args)
    return made["x"][:n, None].astype(np.float32), made["y"][:n].astype(np.int64)  # (N, 1, 40), (N,)


def _checksum(x: np.ndarray, y: np.ndarray) -> str:
    return hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()


_GENERATED = {"mnist1d": _mnist1d, "digits": _digits}
