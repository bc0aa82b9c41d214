"""Data sets as tensors in memory: `Dataset`, `load`, and `DATASETS`, the table of data sets that have a name.

mnist1d.py generates signals; images.py reads images (digits, CIFAR-10 and others, a folder of your own).
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from gst_tutorial import _arguments as check
from gst_tutorial import references
from gst_tutorial._lazy import torch
from gst_tutorial.data import images, mnist1d

_TENSORS = ("x_train", "y_train", "x_test", "y_test")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training and test examples, ready for a network. Make one with `load`, `from_arrays` or `from_torch`.

    Attributes:
        name: the name given to `load`.
        x_train, x_test: float32, `(N, C, L)` for signals or `(N, C, H, W)` for images, normalized with the mean and
            standard deviation of the *training* examples.
        y_train, y_test: int64 class labels, `(N,)`, from 0 to n_classes - 1.
        n_classes: number of classes.

    Raises:
        TypeError, ValueError: no network could be trained on these shapes or labels; the message says which.
    """

    name: str
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    n_classes: int = 10

    def __post_init__(self):
        check.integer("n_classes", self.n_classes, low=2)
        for part in ("train", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            _check_examples(part, x, y, self.n_classes)
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise ValueError(
                f"x_train has examples of shape {tuple(self.x_train.shape[1:])}, x_test of {tuple(self.x_test.shape[1:])}."
            )

    @classmethod
    def from_arrays(cls, x_train, y_train, x_test, y_test, name: str = "arrays", normalize: bool = True) -> Dataset:
        """Make a data set from NumPy arrays or tensors.

        Args:
            x_train, x_test: `(N, C, L)` or `(N, C, H, W)`, any kind of number.
            y_train, y_test: `(N,)`, whole numbers from 0; the number of classes is the largest plus 1.
            name: of the data set.
            normalize: subtract the training examples' mean and divide by their standard deviation, channel by channel.

        Raises:
            TypeError, ValueError: no network could be trained on these arrays, or every test example is a training example;
                the message says which one. A warning says that some are, or that channels seem to be last.
        """
        x_train, x_test = (_as_numbers(f"x_{part}", x) for part, x in (("train", x_train), ("test", x_test)))
        y_train, y_test = (_as_labels(f"y_{part}", y) for part, y in (("train", y_train), ("test", y_test)))
        n_classes = 1 + max((int(y.max()) for y in (y_train, y_test) if len(y)), default=1)
        found = cls(name, x_train, y_train, x_test, y_test, n_classes)  # checks the shapes before anything is computed
        _warn_of_channels_last(x_train)
        _check_overlap(x_train, x_test)
        return (
            dataclasses.replace(found, **_normalized("x_train", x_train.numpy(), x_test.numpy()))
            if normalize
            else found
        )

    @classmethod
    def from_torch(cls, train, test, name: str = "torch", normalize: bool = False) -> Dataset:
        """Make a data set from two torch `Dataset`s or `DataLoader`s of `(example, label)`, read once into memory.

        Args:
            train, test: of a `DataLoader`, all batches are read. Transforms are applied once, not in every epoch.
            name, normalize: see `from_arrays`; a torch data set usually normalizes its examples itself.

        Raises:
            TypeError, ValueError: as in `from_arrays`, or an example is neither a tensor nor an array.
        """
        (x_train, y_train), (x_test, y_test) = (
            _in_memory(part, found) for part, found in (("train", train), ("test", test))
        )
        return cls.from_arrays(x_train, y_train, x_test, y_test, name, normalize)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, without the batch dimension: `(C, L)` or `(C, H, W)`."""
        return tuple(self.x_train.shape[1:])

    def to(self, device: str) -> Dataset:
        """Return the same data on another device."""
        moved = {part: getattr(self, part).to(device) for part in _TENSORS}
        return dataclasses.replace(self, **moved)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self.y_train)} train, {len(self.y_test)} test, input {self.input_shape})"


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """A data set that has a name.

    Attributes:
        kind: "signals" `(N, C, L)` or "images" `(N, C, H, W)`.
        shape: of one example, `(C, L)` or `(C, H, W)`.
        n_classes: number of classes.
        n_train, n_test: number of examples that `load` returns by default.
        read: function `(n_train, n_test, seed)`, where None means all examples, that returns ((x, y) for training, (x, y)
            for test, number of classes), with x float32 in any range and y int64.
    """

    kind: str
    shape: tuple[int, ...]
    n_classes: int
    n_train: int
    n_test: int
    read: Callable[[int | None, int | None, int], tuple] | None


DATASETS = {
    "mnist1d": DatasetEntry("signals", (1, 40), 10, mnist1d.N_TRAIN, mnist1d.N_TEST, mnist1d.read),
    "digits": DatasetEntry("images", (1, 8, 8), 10, images.N_TRAIN_DIGITS, images.N_TEST_DIGITS, images.read_digits),
    "photographs": DatasetEntry("images", (3, 32, 32), 10, 200, 100, images.read_photographs),
    "cifar10": DatasetEntry("images", (3, 32, 32), 10, 50_000, 10_000, images.downloaded("cifar10", "CIFAR10")),
    "cifar100": DatasetEntry("images", (3, 32, 32), 100, 50_000, 10_000, images.downloaded("cifar100", "CIFAR100")),
    "mnist": DatasetEntry("images", (1, 28, 28), 10, 60_000, 10_000, images.downloaded("mnist", "MNIST")),
    "fashion_mnist": DatasetEntry(
        "images", (1, 28, 28), 10, 60_000, 10_000, images.downloaded("fashion_mnist", "FashionMNIST")
    ),
}


def _check_examples(part: str, x, y, n_classes: int) -> None:
    for argument, tensor in ((f"x_{part}", x), (f"y_{part}", y)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{argument} is a {type(tensor).__name__}, not a tensor; see Dataset.from_arrays.")
    if x.dim() < 3 or not x.is_floating_point():
        raise ValueError(
            f"x_{part} is {x.dtype} of shape {tuple(x.shape)}; it must be float, (N, C, L) for signals or (N, C, H, W) for "
            "images: add the dimension of channels."
        )
    if y.shape != x.shape[:1] or len(y) == 0:
        raise ValueError(
            f"y_{part} has shape {tuple(y.shape)} for {len(x)} examples; it must be ({len(x)},), at least one."
        )
    if y.dtype != torch.int64:
        raise ValueError(f"y_{part} is {y.dtype}; labels are int64.")
    if y.device.type != "cpu":
        return  # `to` has moved checked labels there; reading them again would wait for the device
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= n_classes:
        hint = " Do your labels begin at 1? Subtract it." if low == 1 and high == n_classes else ""
        raise ValueError(
            f"y_{part} has labels from {low} to {high}; {n_classes} classes are 0 to {n_classes - 1}.{hint}"
        )


def _warn_of_channels_last(x: torch.Tensor) -> None:
    """Warn if pictures look like `(N, H, W, C)`, or signals like `(N, L, C)`."""
    first, *others = x.shape[1:]
    picture = x.dim() == 4 and others[-1] in (1, 3, 4) and min(first, others[0]) >= 8
    signal = x.dim() == 3 and others[-1] <= 16 and first >= 4 * others[-1]
    if picture or signal:
        shape = "(N, C, H, W): x.transpose(0, 3, 1, 2)" if picture else "(N, C, L): x.transpose(0, 2, 1)"
        warnings.warn(
            f"x_train has examples of shape {tuple(x.shape[1:])}, {first} channels. If these are not channels, move the "
            f"axes to {shape}.",
            stacklevel=3,
        )


def _check_overlap(x_train: torch.Tensor, x_test: torch.Tensor) -> None:
    """Refuse a training set as test set, and warn of test examples that are training examples, too."""
    known = {hash(x.tobytes()) for x in x_train.numpy()}
    n = sum(hash(x.tobytes()) in known for x in x_test.numpy())
    if n == len(x_test):
        raise ValueError(
            "x_test: every test example is a training example, so the test would say nothing. Split the data."
        )
    if n:
        warnings.warn(f"x_test: {n} of {len(x_test)} test examples are training examples, too.", stacklevel=3)


def _as_numbers(argument: str, x) -> torch.Tensor:
    x = _as_tensor(argument, x).float()
    if not x.isfinite().all():
        raise ValueError(f"{argument} contains NaN or infinity.")
    return x


def _as_labels(argument: str, y) -> torch.Tensor:
    y = _as_tensor(argument, y)
    if y.is_floating_point() and (y != y.round()).any():
        raise ValueError(f"{argument} has labels that are not whole numbers.")
    if y.dtype == torch.bool or y.is_complex():
        raise TypeError(f"{argument} is {y.dtype}; labels are whole numbers from 0.")
    y = y.long()
    missing = (
        sorted(set(range(int(y.max()) + 1)) - set(y.flatten().tolist())) if len(y) and argument == "y_train" else []
    )
    if missing:
        hint = " Do your labels begin at 1? Subtract it." if missing == [0] else ""
        raise ValueError(
            f"{argument} has no example of class {missing[0]}; labels are 0, 1, 2, ... without a gap.{hint}"
        )
    return y


def _as_tensor(argument: str, values) -> torch.Tensor:
    try:
        return torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{argument} is a {type(values).__name__} that cannot be read as an array of numbers: {error}"
        ) from None


def _in_memory(part: str, found) -> tuple[torch.Tensor, torch.Tensor]:
    """Read all examples `(N, ...)` and labels `(N,)` of a torch data set or loader."""
    is_loader = isinstance(found, torch.utils.data.DataLoader)
    xs, ys = [], []
    for i, pair in enumerate(found if is_loader else (found[i] for i in range(len(found)))):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{part}[{i}] is a {type(pair).__name__}, not a pair (example, label).")
        x, y = pair
        if not isinstance(x, (torch.Tensor, np.ndarray)):
            raise TypeError(f"{part}[{i}] has a {type(x).__name__} as example; add a transform that returns tensors.")
        xs.append(torch.as_tensor(x))
        ys.append(torch.as_tensor(y))
        if xs[-1].shape[is_loader:] != xs[0].shape[is_loader:]:
            raise ValueError(f"{part}[{i}] has shape {tuple(xs[-1].shape)}, {part}[0] has {tuple(xs[0].shape)}.")
    if not xs:
        raise ValueError(f"{part} has no examples.")
    join = torch.cat if is_loader else torch.stack
    return join(xs), join(ys)


def check_name(argument: str, name) -> str:
    """Return `name` if `load` knows it: one of `DATASETS`, "folder:" and a path, or "package.module:function"."""
    if isinstance(name, str) and name.startswith(images.FOLDER):
        if name == images.FOLDER:
            raise ValueError(f"{argument}={name!r} names no folder; write '{images.FOLDER}PATH'.")
        return name
    return references.known_or_reference(argument, name, [*DATASETS, f"{images.FOLDER}PATH"])


def kind_of(name: str) -> str | None:
    """Return "signals" or "images" without loading the data; None for a user-supplied function."""
    if name.startswith(images.FOLDER):
        return "images"
    return DATASETS[name].kind if name in DATASETS else None


def entry(name: str, image_size: int | None = None) -> DatasetEntry:
    """Return the entry of `DATASETS`, or make one: for a folder from the number of its files and the size of one picture,
    for a user-supplied function by calling it."""
    name = check_name("name", name)
    if name not in DATASETS and not name.startswith(images.FOLDER):
        found = load(name, image_size=image_size)
        kind = {3: "signals", 4: "images"}.get(found.x_train.dim(), "volumes")
        return DatasetEntry(kind, found.input_shape, found.n_classes, len(found.y_train), len(found.y_test), None)
    if name.startswith(images.FOLDER):
        return DatasetEntry("images", *images.look_into_folder(name.removeprefix(images.FOLDER), image_size))
    return DATASETS[name]


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
            `"photographs"` (300 of CIFAR-10's, recompressed, which come with the package: to look at, not to train on);
            `"cifar10"`, `"cifar100"`, `"mnist"`, `"fashion_mnist"` (downloaded once by torchvision, which checks the
            files); or `"folder:PATH"`, a folder with `train/CLASS/*.png` and `test/CLASS/*.png` (or other pictures).
            A relative PATH is looked up in the current folder and then in `$GST_DATA`, so that the same config works on
            several machines. Or your own function, given as it is or as "package.module:function"; it may take any of
            `n_train, n_test, seed, image_size` and returns a `Dataset`.
        n_train, n_test: number of training and test examples, drawn at random; None takes the data set's usual size
            (1,000 and 4,000 for MNIST-1D; 1,000 and 797 for digits; otherwise all examples).
        seed: decides which data set is generated (MNIST-1D), how the images are split (digits), or which examples are
            drawn (others). This is not the seed of a run.
        image_size: of `"folder:PATH"` only: pictures are resized and cropped to this many pixels a side. With None,
            pictures are not resized and must all have the same size.

    Returns:
        A `Dataset`; training and test examples never overlap.

    Raises:
        ValueError: the name is unknown, there are fewer examples than asked for, or a channel is constant. For a folder:
            train and test have different classes, every test picture is a training picture, a link leads back to a folder
            above, or a picture is broken or has 16 bits.
        FileNotFoundError: there is no such folder, or it has no pictures.
        ConnectionError: the data set has to be downloaded, and that failed.
    """
    name = check_name("name", name)
    for argument, size in (("n_train", n_train), ("n_test", n_test)):
        if size is not None:
            check.integer(argument, size, low=10)
    check.integer("seed", seed, 0, 2**32 - 1)
    if image_size is not None:
        check.integer("image_size", image_size, low=1)
        if name in DATASETS:
            raise ValueError(
                f"image_size={check.shown(image_size)} applies to '{images.FOLDER}PATH' only, not to name={name!r}."
            )
    found = _load_once(name, n_train, n_test, seed, image_size)
    # Return copies, so that a caller who modifies the tensors does not change what the next call returns.
    return dataclasses.replace(found, **{part: getattr(found, part).clone() for part in _TENSORS})


# Data sets already read, the latest at the end: a sweep asks for the same one in every run.
_CACHE: OrderedDict[tuple, Dataset] = OrderedDict()
CACHE_BYTES = 2**30  # CIFAR-10 takes 0.7 GB


def _load_once(*request) -> Dataset:
    """Read a data set, or take it from the cache, which forgets the least recently used ones beyond `CACHE_BYTES`."""
    found = _CACHE.pop(request, None) or _read(*request)
    _CACHE[request] = found
    while _CACHE and sum(map(_n_bytes, _CACHE.values())) > CACHE_BYTES:
        _CACHE.popitem(last=False)
    return found


def _n_bytes(dataset: Dataset) -> int:
    return sum(getattr(dataset, part).nbytes for part in _TENSORS)


def _read(name: str, n_train: int | None, n_test: int | None, seed: int, image_size: int | None) -> Dataset:
    if name.startswith(images.FOLDER):
        found = images.read_folder(name.removeprefix(images.FOLDER), n_train, n_test, seed, image_size)
    elif name not in DATASETS:
        return _asked(name, n_train, n_test, seed, image_size)
    else:
        found = DATASETS[name].read(n_train, n_test, seed)
    (x_train, y_train), (x_test, y_test), n_classes = found
    y_train, y_test = (torch.from_numpy(part).long() for part in (y_train, y_test))
    return Dataset(
        name, y_train=y_train, y_test=y_test, n_classes=n_classes, **_normalized(f"name={name!r}", x_train, x_test)
    )


def _asked(name: str, n_train: int | None, n_test: int | None, seed: int, image_size: int | None) -> Dataset:
    """Call a user-supplied function, and check that it returned the data set asked for."""
    function = references.function_of("data", name)
    asked = {"n_train": n_train, "n_test": n_test, "seed": seed, "image_size": image_size}
    # An argument that is None is left out, so that the function's own default applies.
    offered = {argument: value for argument, value in asked.items() if value is not None}
    needed = [argument for argument in offered if argument != "seed"]
    found = function(**references.accepted(f"name={name!r}", function, offered, needed))
    if not isinstance(found, Dataset):
        raise TypeError(f"name={name!r} returned a {type(found).__name__}, not a gst.Dataset.")
    for part, wanted in (("train", n_train), ("test", n_test)):
        n = len(getattr(found, f"y_{part}"))
        if wanted not in (None, n):
            raise ValueError(f"name={name!r} returned {n} {part} examples for n_{part}={wanted}.")
    return found


def _normalized(what: str, x_train: np.ndarray, x_test: np.ndarray) -> dict[str, torch.Tensor]:
    axes = (0, *range(2, x_train.ndim))
    constant = np.flatnonzero(x_train.min(axis=axes) == x_train.max(axis=axes))
    if len(constant):
        raise ValueError(
            f"{what}: channel {', '.join(map(str, constant))} is the same number in all training examples, so "
            "it carries no information and cannot be normalized."
        )
    mean, std = _per_channel(x_train)
    parts = {"x_train": x_train, "x_test": x_test}
    return {part: torch.from_numpy((x - mean) / std).float() for part, x in parts.items()}


def _per_channel(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean and standard deviation of each channel of x `(N, C, ...)`, in a shape that broadcasts against x."""
    if x.shape[1] == 1:
        return x.mean(), x.std()
    axes = (0, *range(2, x.ndim))
    # Sum in float64, because a float32 sum over 50,000 photographs loses digits.
    return tuple(f(x, axis=axes, keepdims=True, dtype=np.float64).astype(np.float32) for f in (np.mean, np.std))
