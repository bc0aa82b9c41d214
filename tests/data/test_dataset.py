"""Data: normalized with training statistics, never overlapping, generated once and read from a checked cache."""

import random

import numpy as np
import pytest
import torch

import gst_tutorial as gst
from gst_tutorial.data import dataset as data
from gst_tutorial.data import mnist1d

BOTH = pytest.mark.parametrize("name", ["mnist1d", "digits"])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and no data set in memory."""
    monkeypatch.setenv("GST_CACHE", str(tmp_path))
    data._CACHE.clear()
    yield tmp_path
    data._CACHE.clear()


@pytest.fixture
def no_generator(monkeypatch):
    """A function after whose call generating MNIST-1D is an error, so that only the cache can answer."""

    def forbid():
        data._CACHE.clear()
        monkeypatch.setattr(mnist1d, "generate", lambda n, seed: pytest.fail("generated again"))

    return forbid


def rows(x: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


@pytest.mark.parametrize(("name", "shape"), [("mnist1d", (1, 40)), ("digits", (1, 8, 8))])
def test_shapes_and_types_are_those_a_network_expects(name, shape):
    dataset = gst.load(name, n_train=200, n_test=100)
    assert dataset.x_train.shape == (200, *shape)
    assert dataset.x_test.shape == (100, *shape)
    assert dataset.y_train.shape == (200,)
    assert dataset.y_test.shape == (100,)
    assert dataset.x_train.dtype == dataset.x_test.dtype == torch.float32
    assert dataset.y_train.dtype == dataset.y_test.dtype == torch.int64
    assert dataset.input_shape == shape
    assert dataset.n_classes == 10
    assert dataset.name in repr(dataset)


@BOTH
def test_training_examples_have_mean_0_and_standard_deviation_1(name):
    dataset = gst.load(name, n_train=200, n_test=200)
    assert dataset.x_train.mean().item() == pytest.approx(0, abs=1e-5)
    assert dataset.x_train.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_test_examples_are_normalized_by_training_statistics():
    from sklearn.datasets import load_digits

    dataset = gst.load("digits", n_train=200, n_test=1597)
    images = {tuple(image.ravel()) for image in load_digits().images}
    grey = torch.unique(dataset.x_train)  # the 17 grey values 0..16 of the training images
    step, black = grey.diff().mean(), grey[0]
    raw = ((dataset.x_test - black) / step).round().flatten(1)
    assert torch.allclose(raw * step + black, dataset.x_test.flatten(1), atol=1e-5)
    assert all(tuple(image) in images for image in raw.double().numpy())


@BOTH
def test_training_and_test_examples_never_overlap(name):
    dataset = gst.load(name)
    train, test = rows(dataset.x_train), rows(dataset.x_test)
    assert not train & test
    assert len(train) == len(dataset.x_train)  # nor is an example there twice
    assert len(test) == len(dataset.x_test)


def test_mnist1d_has_equally_many_signals_of_each_class():
    dataset = gst.load("mnist1d", n_train=200, n_test=200)
    counts = torch.cat([dataset.y_train, dataset.y_test]).bincount(minlength=10)
    assert counts.tolist() == [40] * 10


@BOTH
def test_every_class_is_in_the_training_and_in_the_test_set(name):
    dataset = gst.load(name, n_train=300, n_test=300)
    assert set(dataset.y_train.tolist()) == set(dataset.y_test.tolist()) == set(range(10))


@pytest.mark.parametrize(("name", "seed"), [("digits", 3), ("mnist1d", 2)])
def test_number_of_classes_is_ten_even_if_a_sample_misses_one(name, seed):
    dataset = gst.load(name, n_train=10, n_test=11 if name == "mnist1d" else 10, seed=seed)
    assert dataset.n_classes == 10


def test_digit_keeps_its_label():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    label_of = {tuple(image.ravel()): label for image, label in zip(bunch.images, bunch.target, strict=True)}
    dataset = gst.load("digits", n_train=200, n_test=50)
    grey = torch.unique(dataset.x_train)
    raw = ((dataset.x_train - grey[0]) / grey.diff().mean()).round().flatten(1).double().numpy()
    assert [label_of[tuple(image)] for image in raw] == dataset.y_train.tolist()


@BOTH
def test_seed_decides_the_data_set(name, cache):
    first = gst.load(name, n_train=100, n_test=50, seed=1)
    data._CACHE.clear()
    again, other = (gst.load(name, n_train=100, n_test=50, seed=seed) for seed in (1, 2))
    assert torch.equal(first.x_train, again.x_train)
    assert torch.equal(first.y_test, again.y_test)
    assert not torch.equal(first.x_train, other.x_train)


@BOTH
def test_loading_neither_reads_nor_changes_the_callers_random_state(name, cache):
    loaded = []
    for state in (1, 2):
        random.seed(state)
        np.random.seed(state)  # noqa: NPY002
        torch.manual_seed(state)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        loaded.append(gst.load(name, n_train=100, n_test=50))
        after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        assert before == after
        data._CACHE.clear()
        for file in cache.iterdir():
            file.unlink()
    assert torch.equal(loaded[0].x_train, loaded[1].x_train)


def test_generated_data_are_written_once_and_then_read(cache, no_generator):
    first = gst.load("mnist1d", n_train=100, n_test=50)
    assert [path.suffix for path in cache.iterdir()] == [".npz"]  # and no temporary file is left
    no_generator()
    again = gst.load("mnist1d", n_train=100, n_test=50)
    assert torch.equal(first.x_train, again.x_train)
    assert torch.equal(first.y_train, again.y_train)


def truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def replace_with_text(path):
    path.write_text("not an archive")


def change_a_number_but_not_the_checksum(path):
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["x"][0, 0, 0] += 1
    np.savez_compressed(path, **arrays)


def lose_an_array(path):
    with np.load(path) as stored:
        np.savez_compressed(path, x=stored["x"])


@pytest.mark.parametrize(
    "damage", [truncate, flip_a_bit, empty, replace_with_text, change_a_number_but_not_the_checksum, lose_an_array]
)
def test_damaged_cache_is_reported_by_name_and_rebuilt(cache, no_generator, damage):
    first = gst.load("mnist1d", n_train=100, n_test=50)
    (path,) = cache.iterdir()
    damage(path)
    data._CACHE.clear()
    with pytest.warns(UserWarning, match=path.name):
        rebuilt = gst.load("mnist1d", n_train=100, n_test=50)
    assert torch.equal(first.x_train, rebuilt.x_train)
    no_generator()
    assert torch.equal(first.x_train, gst.load("mnist1d", n_train=100, n_test=50).x_train)


def test_cache_is_in_the_folder_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.delenv("GST_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert mnist1d.cache_folder() == tmp_path / "gst-tutorial"
    monkeypatch.setenv("GST_CACHE", str(tmp_path / "mine"))
    assert mnist1d.cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "mnist2d"}, ValueError, "name='mnist2d'.*Did you mean 'mnist1d'"),
        ({"name": None}, ValueError, "name=None"),
        ({"n_train": 0}, ValueError, "n_train=0 must be at least"),
        ({"n_train": 100.0}, TypeError, r"n_train=100\.0 must be a whole number"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"seed": 0.5}, TypeError, r"seed=0\.5"),
        ({"name": "digits", "n_train": 1000, "n_test": 798}, ValueError, "n_train.*1798.*1797"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_generated(arguments, error, message, cache):
    with pytest.raises(error, match=message):
        gst.load(**{"name": "mnist1d", **arguments})
    assert list(cache.iterdir()) == []


def test_data_set_moves_to_another_device_as_a_whole():
    dataset = gst.load("mnist1d", n_train=100, n_test=50)
    moved = dataset.to("meta")
    assert {t.device.type for t in (moved.x_train, moved.y_train, moved.x_test, moved.y_test)} == {"meta"}
    assert moved.n_classes == dataset.n_classes
    assert dataset.x_train.device.type == "cpu"


# --- user-supplied data ------------------------------------------------------------------------------------------------


def arrays(n=30, shape=(1, 8, 8), n_classes=3):
    generator = np.random.default_rng(0)
    x, y = generator.normal(5, 2, (2 * n, *shape)), np.arange(2 * n) % n_classes
    return x[:n], y[:n], x[n:], y[n:]


def test_arrays_become_a_data_set_normalized_by_its_training_examples():
    x_train, y_train, x_test, y_test = arrays(shape=(2, 40))
    dataset = gst.Dataset.from_arrays(x_train, y_train.astype(float), x_test.tolist(), y_test)
    mean, deviation = x_train.mean((0, 2), keepdims=True), x_train.std((0, 2), keepdims=True)
    np.testing.assert_allclose(dataset.x_test, (x_test - mean) / deviation, atol=1e-5)
    assert dataset.n_classes == 3 and dataset.y_train.dtype == torch.int64 and dataset.input_shape == (2, 40)
    as_they_are = gst.Dataset.from_arrays(*arrays(), normalize=False)
    np.testing.assert_allclose(as_they_are.x_train, arrays()[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda x, y, u, v: (x, y + 1, u, v + 1), "y_train has no example of class 0.*begin at 1"),
        (lambda x, y, u, v: (x, y[:, None], u, v), r"y_train has shape \(30, 1\) for 30 examples"),
        (lambda x, y, u, v: (x, y - 1, u, v), "y_train has labels from -1"),
        (lambda x, y, u, v: (x, y + 0.5, u, v), "y_train has labels that are not whole numbers"),
        (lambda x, y, u, v: (x, 2 * y, u, v), "y_train has no example of class 1"),
        (lambda x, y, u, v: (x[:, 0], y, u[:, 0, :, 0], v), "x_test is .* add the dimension of channels"),
        (lambda x, y, u, v: (x, y, u[:, :, :4], v), "x_train has examples of shape"),
        (lambda x, y, u, v: (np.where(x > 0, x, np.nan), y, u, v), "x_train contains NaN"),
        (lambda x, y, u, v: (x[:0], y[:0], u, v), "at least one"),
        (lambda x, y, u, v: (None, y, u, v), "x_train is a NoneType"),
        (lambda x, y, u, v: (x, ["cat"] * 30, u, v), "y_train is a list that cannot be read"),
    ],
)
def test_unusable_arrays_are_refused_by_name(change, error):
    with pytest.raises((ValueError, TypeError), match=error):
        gst.Dataset.from_arrays(*change(*arrays()))


@pytest.mark.parametrize("loader", [False, True])
def test_torch_data_sets_and_loaders_are_read_once(loader):
    parts = []
    for x, y in (arrays()[:2], arrays()[2:]):
        part = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
        parts.append(torch.utils.data.DataLoader(part, batch_size=7) if loader else part)
    dataset = gst.Dataset.from_torch(*parts)
    np.testing.assert_allclose(dataset.x_train, arrays()[0], rtol=1e-6)
    assert dataset.y_test.tolist() == arrays()[3].tolist()


@pytest.mark.parametrize(
    ("examples", "error"),
    [
        ([("picture", 0)] * 20, r"train\[0\] has a str as example"),
        ([torch.zeros(1, 8)] * 20, r"train\[0\] is a Tensor, not a pair"),
        ([(torch.zeros(1, 8 + i), 0) for i in range(3)], r"train\[1\] has shape \(1, 9\)"),
        ([], "train has no example"),
    ],
)
def test_torch_data_without_tensors_are_refused(examples, error):
    with pytest.raises((TypeError, ValueError), match=error):
        gst.Dataset.from_torch(examples, examples)


def test_loaded_data_are_copies():
    first = gst.load("mnist1d", n_train=20, n_test=20)
    x, y = first.x_train.clone(), first.y_test.clone()
    first.x_train[:] = 0
    first.y_test.numpy()[:] = 7
    again = gst.load("mnist1d", n_train=20, n_test=20)
    assert torch.equal(again.x_train, x)
    assert torch.equal(again.y_test, y)


@pytest.mark.parametrize("place", ["a file", "/dev/null/below"])
def test_unwritable_cache_warns_and_data_are_the_same(tmp_path, monkeypatch, cache, place):
    expected = gst.load("mnist1d", n_train=20, n_test=20)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("GST_CACHE", str(tmp_path / place))
    data._CACHE.clear()
    with pytest.warns(UserWarning, match="cannot be written"):
        found = gst.load("mnist1d", n_train=20, n_test=20)
    assert torch.equal(found.x_train, expected.x_train)


def test_constant_channel_is_refused_by_its_number(monkeypatch):
    x, y = np.random.default_rng(0).random((20, 3, 4, 4), dtype=np.float32), np.arange(20) % 10
    x[:, 1] = np.float32(0.1)
    grey = data.DatasetEntry("images", (3, 4, 4), 10, 20, 20, lambda *_: ((x, y), (x, y), 10))
    monkeypatch.setitem(data.DATASETS, "grey", grey)
    with pytest.raises(ValueError, match="name='grey': channel 1 is the same number"):
        gst.load("grey")


def test_cache_forgets_the_data_used_longest_ago_beyond_its_bytes(monkeypatch, cache):
    sizes = [20, 21, 22]
    requests = [("digits", n, 20, 0, None) for n in sizes]
    first = gst.load("digits", n_train=20, n_test=20)
    monkeypatch.setattr(
        data, "CACHE_BYTES", 2.5 * sum(t.nbytes for t in (first.x_train, first.x_test, first.y_train, first.y_test))
    )
    for n in sizes:
        gst.load("digits", n_train=n, n_test=20)
    assert list(data._CACHE) == requests[1:]
