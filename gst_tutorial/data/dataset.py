"""Data sets as tensors in memory: `Dataset`, `load`, and `SOURCES`, the table of those that have a name.

Signals are made in mnist1d.py; images (digits, CIFAR-10 and the like, a folder of your own) are read in images.py.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import torch

from gst_tutorial import _arguments as check
from gst_tutorial.data import images, mnist1d

MOST_EXAMPLES = 10**7
_TENSORS = ("x_train", "y_train", "x_test", "y_test")


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
        moved = {part: getattr(self, part).to(device) for part in _TENSORS}
        return dataclasses.replace(self, **moved)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self.y_train)} train, {len(self.y_test)} test, input {self.input_shape})"


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set that has a name.

    Attributes:
        kind: "signals" `(N, C, L)` or "images" `(N, C, H, W)`.
        shape: of one example.
        n_classes: number of classes.
        n_train, n_test: examples that `load` gives when it is not told how many.
        read: function `(n_train, n_test, seed)`, None for all, to ((x, y) of training, (x, y) of test, classes): float32
            in any range, int64.
    """

    kind: str
    shape: tuple[int, ...]
    n_classes: int
    n_train: int
    n_test: int
    read: Callable[[int | None, int | None, int], tuple]


SOURCES = {
    "mnist1d": Source("signals", (1, 40), 10, mnist1d.N_TRAIN, mnist1d.N_TEST, mnist1d.read),
    "digits": Source("images", (1, 8, 8), 10, images.N_TRAIN_DIGITS, images.N_TEST_DIGITS, images.read_digits),
    "cifar10": Source("images", (3, 32, 32), 10, 50_000, 10_000, images.downloaded("cifar10", "CIFAR10")),
    "cifar100": Source("images", (3, 32, 32), 100, 50_000, 10_000, images.downloaded("cifar100", "CIFAR100")),
    "mnist": Source("images", (1, 28, 28), 10, 60_000, 10_000, images.downloaded("mnist", "MNIST")),
    "fashion_mnist": Source(
        "images", (1, 28, 28), 10, 60_000, 10_000, images.downloaded("fashion_mnist", "FashionMNIST")
    ),
}


def check_name(argument: str, name) -> str:
    """Return `name` if `load` knows it: one of `SOURCES`, or "folder:" and a path."""
    if isinstance(name, str) and name.startswith(images.FOLDER):
        if name == images.FOLDER:
            raise ValueError(f"{argument}={name!r} names no folder; write '{images.FOLDER}PATH'.")
        return name
    return check.one_of(argument, name, [*SOURCES, f"{images.FOLDER}PATH"])


def kind_of(name: str) -> str:
    """ "signals" or "images", without looking at the data."""
    return "images" if name.startswith(images.FOLDER) else SOURCES[name].kind


def source(name: str, image_size: int | None = None) -> Source:
    """The entry of `SOURCES`, or, for "folder:PATH", one made by counting its files and opening one of them."""
    check_name("name", name)
    if name.startswith(images.FOLDER):
        return Source("images", *images.look_into_folder(name.removeprefix(images.FOLDER), image_size))
    return SOURCES[name]


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
        ValueError: unknown name, or more examples than there are; a channel that is the same everywhere; of a folder, other
            classes in train than in test, test pictures that are all training pictures, links that lead back to a folder
            above, a picture that is broken or has 16 bits.
        FileNotFoundError: no such folder, or no pictures in it.
        ConnectionError: a data set that is not here yet could not be downloaded.
    """
    check_name("name", name)
    for argument, size in (("n_train", n_train), ("n_test", n_test)):
        if size is not None:
            check.integer(argument, size, 10, MOST_EXAMPLES)
    check.integer("seed", seed, 0, 2**32 - 1)
    if image_size is not None:
        check.integer("image_size", image_size, low=1)
        if not name.startswith(images.FOLDER):
            raise ValueError(f"image_size={image_size} applies to '{images.FOLDER}PATH' only, not to name={name!r}.")
    found = _load_once(name, n_train, n_test, seed, image_size)
    # Copies: what one caller writes into them must not be what the next one loads.
    return dataclasses.replace(found, **{part: getattr(found, part).clone() for part in _TENSORS})


@functools.lru_cache(maxsize=8)  # a sweep asks for the same data in every run
def _load_once(name: str, n_train: int | None, n_test: int | None, seed: int, image_size: int | None) -> Dataset:
    if name.startswith(images.FOLDER):
        found = images.read_folder(name.removeprefix(images.FOLDER), n_train, n_test, seed, image_size)
    else:
        found = SOURCES[name].read(n_train, n_test, seed)
    (x_train, y_train), (x_test, y_test), n_classes = found
    axes = (0, *range(2, x_train.ndim))
    constant = np.flatnonzero(x_train.min(axis=axes) == x_train.max(axis=axes))
    if len(constant):
        raise ValueError(
            f"name={name!r}: channel {', '.join(map(str, constant))} is the same number in all training examples: it "
            "says nothing, and its standard deviation is 0."
        )
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
