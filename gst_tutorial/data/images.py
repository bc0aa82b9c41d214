"""Photographs and other real images: CIFAR-10, CIFAR-100, MNIST, Fashion-MNIST, and any folder of class folders.

Read through torchvision and decoded once into memory: a data loader that opens files in every epoch would take longer
than the small networks of this book train.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from gst_tutorial.data._torchvision import torchvision

DOWNLOADED = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
FOLDER = "folder:"

Examples = tuple[np.ndarray, np.ndarray]  # float32 (N, C, H, W) in [0, 255], int64 (N,)


def cache_folder() -> Path:
    """Where data is kept that was generated or downloaded: `$GST_CACHE`, or `gst-tutorial` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GST_CACHE") or Path(base) / "gst-tutorial")


def read(
    name: str, n_train: int | None, n_test: int | None, seed: int, image_size: int | None
) -> tuple[Examples, Examples, int]:
    """Training examples, test examples, and the number of classes of a data set that `gst.load` names.

    The examples are a random subset of the set's own training and test parts, the same for the same seed.
    """
    parts, n_classes = [], None
    for split, wanted in (("train", n_train), ("test", n_test)):
        if name in DOWNLOADED:
            images, labels, found = _downloaded(name, split)
        else:
            images, labels, found = _Folder(find_folder(name.removeprefix(FOLDER)), split, image_size).parts
        if n_classes not in (None, found):
            raise ValueError(f"name={name!r} has {n_classes} classes in train and {found} in test.")
        n_classes = found
        if wanted is not None and wanted > len(labels):
            raise ValueError(f"n_{split}={wanted} is more than the {len(labels)} {split} images of {name!r}.")
        order = np.random.default_rng([seed, split == "test"]).permutation(len(labels))[:wanted]
        pixels = images[order]  # (N, H, W) or (N, H, W, C), uint8
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        parts.append((np.ascontiguousarray(pixels, dtype=np.float32), labels[order]))
    return *parts, n_classes


def _downloaded(name: str, split: str):
    kind, root = getattr(torchvision().datasets, DOWNLOADED[name]), cache_folder() / "torchvision"
    train = split == "train"
    try:
        try:
            found = kind(root, train=train, download=False)
        except RuntimeError:  # not here, or its checksum is wrong
            found = kind(root, train=train, download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConnectionError(
            f"{name!r} is not in {root} and could not be downloaded ({reason}). Connect once, copy the files there, or "
            "use data that needs no network: 'mnist1d' or 'digits'."
        ) from error
    return np.asarray(found.data), np.asarray(found.targets, dtype=np.int64), len(found.classes)


def find_folder(path: str) -> Path:
    """The folder of that name: as given, or below `$GST_DATA`.

    Raises:
        FileNotFoundError: says where it was looked for.
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


class _Folder:
    """Class folders as an array that decodes only the pictures one asks for."""

    def __init__(self, folder: Path, split: str, image_size: int | None):
        found = torchvision().datasets.ImageFolder(folder / split)
        self.paths, self.load = [path for path, _ in found.samples], found.loader
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
        picture = self.load(path)
        if self.image_size is not None:
            functional = torchvision().transforms.v2.functional
            size = [self.image_size] * 2
            picture = functional.center_crop(functional.resize(picture, size[:1], antialias=True), size)
        return np.asarray(picture)
