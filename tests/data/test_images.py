"""Real images: read from torchvision's files and from folders, drawn by seed, and refused with a sentence when missing."""

import gzip
import pickle
import shutil
import struct

import numpy as np
import pytest
import torch
from PIL import Image

import gst_tutorial as gst
from gst_tutorial.data import dataset as data
from gst_tutorial.data import torchvision

CLASSES = ("cat", "dog", "owl")


def picture(i: int, size: int = 8) -> np.ndarray:
    """A picture that says which one it is: red is its number, green its row, blue its column."""
    rows, columns = np.mgrid[:size, :size]
    return np.stack([np.full((size, size), i), rows, columns], axis=-1).astype(np.uint8)


@pytest.fixture(autouse=True)
def nothing_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("GST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GST_DATA", raising=False)
    data._CACHE.clear()
    yield
    data._CACHE.clear()


@pytest.fixture
def folder(tmp_path):
    """40 training and 20 test pictures of 8x8 pixels in three class folders; picture i is of class i % 3."""
    for split, numbers in (("train", range(40)), ("test", range(100, 120))):
        for i in numbers:
            path = tmp_path / "animals" / split / CLASSES[i % 3] / f"{i:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(i)).save(path)
    return tmp_path / "animals"


def numbers(x: torch.Tensor, dataset: gst.Dataset, folder) -> list[int]:
    """Which pictures are these? Undo the normalization of the red channel."""
    red = np.array([np.asarray(Image.open(p))[0, 0, 0] for p in sorted((folder / "train").glob("*/*.png"))], float)
    chosen = x[:, 0, 0, 0].double()
    scale = np.polyfit(chosen.sort().values, np.sort(red), 1) if len(chosen) == len(red) else None
    assert scale is not None
    return [round(float(np.polyval(scale, value))) for value in chosen]


def test_class_folders_become_tensors_with_the_label_of_their_folder(folder):
    dataset = gst.load(f"folder:{folder}")
    assert dataset.x_train.shape == (40, 3, 8, 8)
    assert dataset.x_test.shape == (20, 3, 8, 8)
    assert dataset.n_classes == 3
    assert [n % 3 for n in numbers(dataset.x_train, dataset, folder)] == dataset.y_train.tolist()


def test_pixels_keep_their_place_rows_before_columns(folder):
    x = gst.load(f"folder:{folder}").x_train
    assert (x[:, 1].diff(dim=1) > 0).all()  # green grows down the rows
    assert (x[:, 1].diff(dim=2) == 0).all()
    assert (x[:, 2].diff(dim=2) > 0).all()  # blue grows along the columns


def test_each_channel_of_the_training_pictures_is_standardized(folder):
    x = gst.load(f"folder:{folder}").x_train
    assert x.mean((0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
    assert x.std((0, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, abs=1e-5)


def test_seed_decides_which_pictures_are_drawn(folder):
    draw = lambda seed: gst.load(f"folder:{folder}", n_train=15, n_test=10, seed=seed)  # noqa: E731
    assert torch.equal(draw(0).x_train, draw(0).x_train)
    assert not torch.equal(draw(0).y_train, draw(1).y_train) or not torch.equal(draw(0).x_train, draw(1).x_train)
    assert len(draw(0).y_train) == 15
    assert len(draw(0).y_test) == 10


def test_relative_folder_is_looked_up_below_gst_data(folder, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"animals.*GST_DATA"):
        gst.load("folder:animals")
    monkeypatch.setenv("GST_DATA", str(folder.parent))
    assert len(gst.load("folder:animals").y_train) == 40


def test_pictures_of_several_sizes_are_refused_or_brought_to_one(folder):
    Image.fromarray(picture(200, size=12)).save(folder / "train" / "cat" / "200.png")
    with pytest.raises(ValueError, match=r"pixels and .* has \((8, 8|12, 12)\): give image_size"):
        gst.load(f"folder:{folder}")
    assert gst.load(f"folder:{folder}", image_size=6).x_train.shape == (41, 3, 6, 6)
    config = gst.RunConfig(data=f"folder:{folder}", image_size=6, model="conv2d", layers=("conv4",))
    assert gst.Experiment(config).dataset.input_shape == (3, 6, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_train": 41}, "n_train=41 is more than the 40 train images"),
        ({"n_test": 21}, "n_test=21 is more than the 20 test images"),
        ({"image_size": 0}, "image_size=0"),
    ],
)
def test_more_pictures_than_there_are_is_refused(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        gst.load(f"folder:{folder}", **arguments)


@pytest.mark.parametrize("name", ["folder:", "cifar", "folder"])
def test_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match="name="):
        gst.load(name)
    with pytest.raises(ValueError, match="data="):
        gst.RunConfig(data=name, model="conv2d")


def test_image_size_is_for_folders_only():
    with pytest.raises(ValueError, match="image_size=8 applies"):
        gst.load("digits", image_size=8)


def write_mnist(root, n_train=30, n_test=20):
    """Files in MNIST's own format: image i is filled with i, its label is i % 10."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, n in (("train", n_train), ("t10k", n_test)):
        pixels = np.repeat(np.arange(n, dtype=np.uint8), 28 * 28)
        images = struct.pack(">IIII", 2051, n, 28, 28) + pixels.tobytes()
        labels = struct.pack(">II", 2049, n) + (np.arange(n) % 10).astype(np.uint8).tobytes()
        for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
            (raw / f"{split}-{kind}-ubyte").write_bytes(content)
            with gzip.open(raw / f"{split}-{kind}-ubyte.gz", "wb") as file:
                file.write(content)


def test_downloaded_mnist_is_read_without_a_network(tmp_path):
    write_mnist(tmp_path / "cache" / "torchvision")
    dataset = gst.load("mnist")
    assert dataset.x_train.shape == (30, 1, 28, 28)
    order = dataset.x_train[:, 0, 0, 0].argsort()
    assert dataset.y_train[order].tolist() == [i % 10 for i in range(30)]


def write_cifar10(root, monkeypatch, n_per_file=10):
    """Files in CIFAR-10's own format, with checksums of their own in torchvision's list."""
    import hashlib

    kind = torchvision().datasets.CIFAR10
    folder = root / kind.base_folder
    folder.mkdir(parents=True)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(first):
        pixels = np.stack([picture(first + i, size=32).transpose(2, 0, 1).ravel() for i in range(n_per_file)])
        return {"data": pixels, "labels": [(first + i) % 10 for i in range(n_per_file)]}

    monkeypatch.setattr(kind, "train_list", [write(f"data_batch_{k}", batch(10 * k)) for k in range(1, 6)])
    monkeypatch.setattr(kind, "test_list", [write("test_batch", batch(100))])
    names = write("batches.meta", {"label_names": [str(c) for c in range(10)]})
    monkeypatch.setattr(kind, "meta", {"filename": names[0], "key": "label_names", "md5": names[1]})
    return folder


def test_downloaded_cifar10_is_read_with_its_labels(tmp_path, monkeypatch):
    write_cifar10(tmp_path / "cache" / "torchvision", monkeypatch)
    dataset = gst.load("cifar10")
    assert dataset.x_train.shape == (50, 3, 32, 32)
    order = dataset.x_train[:, 0, 0, 0].argsort()
    assert dataset.y_train[order].tolist() == [i % 10 for i in range(10, 60)]
    assert (dataset.x_train[:, 1].diff(dim=1) > 0).all()


@pytest.fixture
def no_network(monkeypatch):
    """Every download fails as it does without a connection."""
    import urllib.error

    def fail(*arguments, **options):
        raise urllib.error.URLError("no network in this test")

    monkeypatch.setattr("urllib.request.urlopen", fail)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_failed_download_names_data_that_need_no_network(name, no_network):
    with pytest.raises(ConnectionError, match=rf"{name}.*could not be downloaded.*mnist1d"):
        gst.load(name)


def test_damaged_file_is_not_read(tmp_path, monkeypatch, no_network):
    folder = write_cifar10(tmp_path / "cache" / "torchvision", monkeypatch)
    file = folder / "data_batch_3"
    file.write_bytes(file.read_bytes()[:-20] + b"\0" * 20)
    with pytest.raises(ConnectionError, match="cifar10"):
        gst.load("cifar10")


def test_run_on_a_folder_trains_and_prunes_the_papers_network(folder):
    config = gst.RunConfig(
        data=f"folder:{folder}", model="vgg11", width=0.05, intervention="prune", layers=("conv7", "conv8"),
        schedule=gst.PruneSchedule(0, 1, 1), prune_fraction=0.5,
    ).replace(epochs=3, milestones=(2,), batch_size=20, augment="crop_flip")  # fmt: skip
    result = gst.run(config)
    assert len(result.events) == 2
    assert gst.sparsity(result.model, config.layers) == pytest.approx(0.5, abs=0.05)


def test_different_classes_in_train_and_test_are_named(folder):
    (folder / "test" / "owl").rename(folder / "test" / "eagle")
    with pytest.raises(ValueError, match=r"train has 3 classes and test 3.* eagle, owl is in one"):
        gst.load(f"folder:{folder}")
    with pytest.raises(ValueError, match="eagle, owl"):
        data.entry(f"folder:{folder}")


def test_training_pictures_among_test_pictures_are_reported(folder):
    shutil.copy(folder / "train" / "cat" / "000.png", folder / "test" / "cat" / "other name.png")
    with pytest.warns(UserWarning, match="1 of 21 test pictures of .* are also training pictures"):
        gst.load(f"folder:{folder}")
    shutil.rmtree(folder / "test")
    (folder / "test").symlink_to(folder / "train")
    data._CACHE.clear()
    with pytest.raises(ValueError, match="each of the 40 test pictures is also a training picture"):
        gst.load(f"folder:{folder}")


def test_link_to_a_folder_above_is_refused_and_others_are_followed(folder):
    for name in ("again", "once more"):
        (folder / "train" / "cat" / name).symlink_to(folder / "train")
    with pytest.raises(ValueError, match=r"is a link to .*train, a folder that contains it"):
        gst.load(f"folder:{folder}")
    for name in ("again", "once more"):
        (folder / "train" / "cat" / name).unlink()
    (folder / "train" / "owl").rename(folder / "owls")
    (folder / "train" / "owl").symlink_to(folder / "owls")
    assert len(gst.load(f"folder:{folder}").y_train) == 40


@pytest.mark.parametrize("content", [b"", b"not a picture", "cut"])
def test_broken_picture_is_named(folder, content):
    path = folder / "train" / "cat" / "003.png"
    path.write_bytes(path.read_bytes()[:60] if content == "cut" else content)
    with pytest.raises(ValueError, match=r"003\.png cannot be read as a picture"):
        gst.load(f"folder:{folder}")


def test_picture_of_16_bits_is_refused(folder):
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(folder / "train" / "cat" / "003.png")
    with pytest.raises(ValueError, match=r"003\.png has more than 8 bits"):
        gst.load(f"folder:{folder}")


def test_photographs_have_ten_classes_and_no_picture_twice():
    data = gst.load("photographs")
    assert (data.x_train.shape, data.x_test.shape) == ((200, 3, 32, 32), (100, 3, 32, 32))
    assert data.y_train.bincount().tolist() == [20] * 10
    assert data.y_test.bincount().tolist() == [10] * 10
    assert not {x.numpy().tobytes() for x in data.x_train} & {x.numpy().tobytes() for x in data.x_test}
    assert torch.allclose(data.x_train.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    neighbours = (data.x_test[..., 1:] - data.x_test[..., :-1]).abs().mean()
    across = (data.x_test[..., 16:] - data.x_test[..., :16]).abs().mean()
    assert neighbours < across / 3  # pixels in their order: neighbours look alike
