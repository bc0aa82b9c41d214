"""Real images: digits, CIFAR-10, CIFAR-100, MNIST, Fashion-MNIST, and any folder of class folders.

torchvision reads them, and we decode them once into memory: opening files in every epoch would take longer than the small
networks of this book take to train.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import itertools
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np

from gst_tutorial import _arguments as check
from gst_tutorial._lazy import torch
from gst_tutorial.data.mnist1d import cache_folder

FOLDER = "folder:"
N_TRAIN_DIGITS, N_TEST_DIGITS = 1000, 797

PHOTOGRAPHS = Path(__file__).parent / "photographs.npz"  # made by tools/photographs.py

Examples = tuple[np.ndarray, np.ndarray]  # float32 (N, C, H, W) in [0, 255], int64 (N,)
Parts = tuple[Examples, Examples, int]  # training, test, number of classes


def read_digits(n_train: int | None, n_test: int | None, seed: int) -> Parts:
    """Read scikit-learn's 1,797 handwritten digits in an order drawn from `seed`: x `(N, 1, 8, 8)`, y `(N,)`."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("'digits' comes with scikit-learn: pip install scikit-learn") from error

    n_train, n_test = N_TRAIN_DIGITS if n_train is None else n_train, N_TEST_DIGITS if n_test is None else n_test
    bunch, n = load_digits(), n_train + n_test
    if n > len(bunch.target):
        raise ValueError(f"n_train + n_test = {n} is more than the {len(bunch.target)} images that digits has.")
    order = np.random.default_rng(seed).permutation(len(bunch.target))[:n]
    x, y = bunch.images[order][:, None].astype(np.float32), bunch.target[order]
    return (x[:n_train], y[:n_train]), (x[n_train:], y[n_train:]), 10


@functools.lru_cache(maxsize=1)
def _photographs() -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """Decode the package's own pictures: for "train" and "test" uint8 (N, 32, 32, 3), int64 (N,), number of classes."""
    from PIL import Image

    with np.load(PHOTOGRAPHS) as file:
        jpeg, offset, label, train, classes = (file[name] for name in ("jpeg", "offset", "label", "train", "classes"))
    files = [jpeg[a:b].tobytes() for a, b in itertools.pairwise(offset)]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])
    return {split: (pixels[part], label[part], len(classes)) for split, part in (("train", train), ("test", ~train))}


def read_photographs(n_train: int | None, n_test: int | None, seed: int) -> Parts:
    """Read 300 pictures of CIFAR-10, recompressed as JPEG, which come with the package: `(N, 3, 32, 32)`, `(N,)`."""
    return _drawn(_photographs().get, n_train, n_test, seed, "'photographs'")


def downloaded(name: str, kind: str):
    """Return a function for `DatasetEntry.read` that reads torchvision's data set `kind`, downloading it the first time."""
    return functools.partial(_read_downloaded, name, kind)


def _read_downloaded(name: str, kind: str, n_train: int | None, n_test: int | None, seed: int) -> Parts:
    return _drawn(lambda split: _torchvision_part(name, kind, split), n_train, n_test, seed, repr(name))


def read_folder(path: str, n_train: int | None, n_test: int | None, seed: int, image_size: int | None) -> Parts:
    """Read the pictures of class folders, see `gst.load`."""
    train, test = _folders(path, image_size)
    name = f"'{FOLDER}{path}'"
    parts = _drawn({"train": train.parts, "test": test.parts}.get, n_train, n_test, seed, name)
    seen = {picture.tobytes() for picture in parts[0][0]}
    shared = sum(picture.tobytes() in seen for picture in parts[1][0])
    if shared == len(parts[1][0]):
        raise ValueError(f"name={name}: each of the {shared} test pictures is also a training picture.")
    if shared:
        warnings.warn(
            f"{shared} of {len(parts[1][0])} test pictures of {name} are also training pictures.", stacklevel=5
        )
    return parts


def look_into_folder(path: str, image_size: int | None) -> tuple[tuple[int, ...], int, int, int, None]:
    """Return shape of a picture, number of classes, of training and of test pictures. Decodes a single picture only."""
    train, test = _folders(path, image_size)
    height, width, channels = train[[0]].shape[1:]
    return (channels, height, width), train.parts[2], len(train.paths), len(test.paths), None


def _drawn(part_of, n_train: int | None, n_test: int | None, seed: int, name: str) -> Parts:
    """Draw a random subset of the data set's own training and test parts, the same for the same seed."""
    parts, n_classes = [], None
    for split, wanted in (("train", n_train), ("test", n_test)):
        images, labels, found = part_of(split)
        if n_classes not in (None, found):
            raise ValueError(f"name={name} has {n_classes} classes in train and {found} in test.")
        n_classes = found
        if wanted is not None and wanted > len(labels):
            raise ValueError(f"n_{split}={wanted} is more than the {len(labels)} {split} images of {name}.")
        order = np.random.default_rng([seed, split == "test"]).permutation(len(labels))[:wanted]
        pixels = images[order]  # (N, H, W) or (N, H, W, C), uint8
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        parts.append((np.ascontiguousarray(pixels, dtype=np.float32), labels[order]))
    return *parts, n_classes


def _torchvision_part(name: str, kind: str, split: str):
    kind, root = getattr(torchvision().datasets, kind), cache_folder() / "torchvision"
    train = split == "train"
    try:
        try:
            found = kind(root, train=train, download=False)
        except RuntimeError:  # not downloaded yet, or its checksum is wrong
            found = kind(root, train=train, download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConnectionError(
            f"{name!r} is not in {root} and could not be downloaded ({reason}). Connect once, copy the files there, or "
            "use data that needs no network: 'mnist1d' or 'digits'."
        ) from error
    return np.asarray(found.data), np.asarray(found.targets, dtype=np.int64), len(found.classes)


def find_folder(path: str) -> Path:
    """Find the folder as given, or else below `$GST_DATA`.

    Raises:
        FileNotFoundError: it is in neither place; the message names both.
    """
    places = [Path(path).expanduser()]
    if os.environ.get("GST_DATA"):
        places.append(Path(os.environ["GST_DATA"]) / path)
    for place in places:
        if (place / "train").is_dir() and (place / "test").is_dir():
            return place
    raise FileNotFoundError(
        f"No folder with train/CLASS/ and test/CLASS/ at {' or '.join(map(str, places))}. "
        "A relative path is also looked up below the folder that the environment variable GST_DATA names."
    )


@functools.cache
def folder_fingerprint(path: str) -> str:
    """16 hexadecimal digits that change if a picture of a folder is added, removed, renamed, or gets another size in bytes.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = find_folder(path)
    pictures = itertools.chain.from_iterable((folder / part).rglob("*") for part in ("train", "test"))
    files = sorted((f.relative_to(folder).as_posix(), f.stat().st_size) for f in pictures if f.is_file())
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]


def _folders(path: str, image_size: int | None) -> tuple[_Folder, _Folder]:
    train, test = (_Folder(find_folder(path), split, image_size) for split in ("train", "test"))
    if other := set(train.classes) ^ set(test.classes):
        raise ValueError(
            f"name='{FOLDER}{path}': train has {len(train.classes)} classes and test {len(test.classes)}; they must be the "
            f"same, and {', '.join(sorted(other)[:5])} is in one of them only."
        )
    return train, test


def _refuse_loops(folder: Path) -> None:
    """Raise a ValueError for a link to a folder above, which would yield the same pictures again and again."""
    for place, inside, _ in os.walk(folder, followlinks=True):
        for name in inside:
            target = os.path.realpath(os.path.join(place, name))
            if os.path.commonpath([target, os.path.realpath(place)]) == target:
                raise ValueError(f"{os.path.join(place, name)} is a link to {target}, a folder that contains it.")


class _Folder:
    """Class folders as an array of pictures that decodes only those that are indexed."""

    def __init__(self, folder: Path, split: str, image_size: int | None):
        _refuse_loops(folder / split)
        found = torchvision().datasets.ImageFolder(folder / split)
        self.paths, self.classes = [path for path, _ in found.samples], found.classes
        self.parts = self, np.array([label for _, label in found.samples], dtype=np.int64), len(found.classes)
        self.image_size = image_size

    def __getitem__(self, order: np.ndarray) -> np.ndarray:
        pictures = [self._decode(self.paths[i]) for i in order]
        for i, picture in zip(order, pictures):
            if picture.shape != pictures[0].shape:
                raise ValueError(
                    f"{self.paths[i]} has {picture.shape[:2]} pixels and {self.paths[order[0]]} has "
                    f"{pictures[0].shape[:2]}: give image_size to bring all to one size."
                )
        return np.stack(pictures)  # (N, H, W, 3)

    def _decode(self, path: str) -> np.ndarray:
        from PIL import Image

        try:
            with Image.open(path) as opened:
                bits = opened.mode
                picture = opened.convert("RGB")
        except Exception as error:  # every format has its own ways to fail on a broken picture
            raise ValueError(f"{path} cannot be read as a picture: {check.error_text(error)}") from error
        if bits.startswith(("I", "F")):  # convert() would set all values above 255 to 255
            raise ValueError(f"{path} has more than 8 bits per pixel (mode {bits}); convert it to 8 bits first.")
        if self.image_size is not None:
            functional = torchvision().transforms.v2.functional
            size = [self.image_size] * 2
            picture = functional.center_crop(functional.resize(picture, size[:1], antialias=True), size)
        return np.asarray(picture)


@functools.cache
def torchvision() -> ModuleType:
    """The torchvision package with its data sets, models and transforms imported, whichever build of torch is installed.

    A torchvision wheel whose compiled operators do not match torch (most often because torch is a CPU-only build) stops
    on import with "operator torchvision::nms does not exist". Data sets, transforms and classifiers need no such
    operator, so we declare the missing ones, without an implementation, and import again. The rest of the package
    calls this function and never imports torchvision directly.

    Raises:
        ImportError: torchvision is not installed, or its import fails for another reason.
    """
    try:
        return _import_torchvision()
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    # The failed import left half-initialized modules behind; Python would not run them again.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare_operators()
    return _import_torchvision()


def _import_torchvision() -> ModuleType:
    try:
        for part in ("datasets", "models", "transforms.v2"):
            importlib.import_module(f"torchvision.{part}")
    except ModuleNotFoundError as error:
        if error.name == "torchvision":
            raise ImportError('Photographs need torchvision: pip install "gst-tutorial[vision]"') from error
        raise
    return sys.modules["torchvision"]


@functools.cache  # the declarations last only as long as the Library object, so keep it
def _declare_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):  # the two that torchvision looks up while it is being imported
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
