"""What the experiment in the page reads: signals, a network in the middle of its training, recorded runs.

python tools/pages/live.py            # write _web/live/made/ and book/figures/live_click.html
python tools/pages/live.py --check    # exit 1 if signals or recorded runs there are not what the package gives

Signals take 128 levels (half a level is 3.5% of their standard deviation) and are stored as differences, deflated:
140 KB instead of 800. The network is trained here, so another processor writes other last digits; `--check` leaves it out.
"""

import html
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

import gst_tutorial as gst

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "_web" / "live" / "made"
FIGURE = ROOT / "book" / "figures" / "live_click.html"
LEVELS = 128
CURVE = 1000  # test signals behind every point of a curve in the page
SEED = 0
LAYERS = ("conv1", "conv2", "conv3", "conv4")
# Still at the full learning rate, with 47 epochs to go: a cut has time to heal. 76% of the signals are right by then.
EPOCHS_TRAINED = 13
CLOUDS = ("dose", "tradeoff", "tradeoff-aligned")


# --- signals ---------------------------------------------------------------------------------------------------------


def levels(dataset: gst.Dataset) -> dict[str, float]:
    """The lowest level and the step between levels, so that the range of all signals is covered."""
    low = min(dataset.x_train.min().item(), dataset.x_test.min().item())
    high = max(dataset.x_train.max().item(), dataset.x_test.max().item())
    return {"low": low, "step": (high - low) / (LEVELS - 1)}


def pack_signals(x: torch.Tensor, y: torch.Tensor, low: float, step: float) -> bytes:
    """Signals `(N, 1, 40)` and labels `(N,)`: each sample as its difference, modulo 128, from the one before."""
    level = np.rint((x[:, 0].double().numpy() - low) / step).astype(np.int64)  # (N, 40)
    difference = np.diff(level, axis=1, prepend=0) % LEVELS
    return zlib.compress(difference.astype(np.uint8).tobytes() + y.numpy().astype(np.uint8).tobytes(), 9)


def unpack_signals(packed: bytes, low: float, step: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The inverse of `pack_signals`, up to half a level."""
    raw = np.frombuffer(zlib.decompress(packed), np.uint8)
    n = len(raw) // 41
    level = raw[: 40 * n].reshape(n, 40).cumsum(axis=1) % LEVELS
    return torch.tensor(low + step * level).float()[:, None], torch.tensor(raw[40 * n :]).long()


def signal_files(dataset: gst.Dataset) -> dict[str, bytes]:
    """The three parts of the data set by file name."""
    scale = levels(dataset)
    parts = {
        "train": (dataset.x_train, dataset.y_train),
        "test": (dataset.x_test[:CURVE], dataset.y_test[:CURVE]),
        "test-more": (dataset.x_test[CURVE:], dataset.y_test[CURVE:]),
    }
    files = {f"{name}.bin": pack_signals(*part, **scale) for name, part in parts.items()}
    return files | {"levels.json": _json(scale)}


# --- a network -------------------------------------------------------------------------------------------------------


def page_state(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """The tensors of `gst.conv1d_net()` by their names and in the layout of _web/live/shapes.js."""
    named = dict(model.named_modules())
    state = {}
    for i, layer in enumerate(LAYERS, start=1):
        norm = named[f"bn{i}"]
        state[f"w{i}"] = named[layer].weight.permute(2, 1, 0).flatten(0, 1)  # (out, in, tap) -> (tap * in, out)
        state |= {f"g{i}": norm.weight, f"b{i}": norm.bias}
    head = named["head"]
    state["wh"] = head.weight.unflatten(1, (64, 10)).permute(2, 1, 0).flatten(0, 1)  # (10, C * L) -> (L * C, 10)
    state["bh"] = head.bias
    for i in range(1, 5):
        state |= {f"m{i}": named[f"bn{i}"].running_mean, f"v{i}": named[f"bn{i}"].running_var}
    return {name: tensor.detach().numpy().copy() for name, tensor in state.items()}


@torch.no_grad()
def load_page_state(model: torch.nn.Module, state: dict[str, np.ndarray]) -> None:
    """The inverse of `page_state`: copy the page's tensors into a `gst.conv1d_net()`."""
    named = dict(model.named_modules())
    tensors = {name: torch.as_tensor(np.asarray(values, dtype=np.float32)) for name, values in state.items()}
    for i, layer in enumerate(LAYERS, start=1):
        weight, norm = named[layer].weight, named[f"bn{i}"]
        weight.copy_(tensors[f"w{i}"].reshape(3, weight.shape[1], -1).permute(2, 1, 0))
        for name, target in (("g", norm.weight), ("b", norm.bias), ("m", norm.running_mean), ("v", norm.running_var)):
            target.copy_(tensors[f"{name}{i}"].flatten())
    named["head"].weight.copy_(tensors["wh"].reshape(10, 64, 10).permute(2, 1, 0).flatten(1))
    named["head"].bias.copy_(tensors["bh"].flatten())


class Interrupted(Exception):
    """Training stopped where the page goes on."""


def half_trained() -> tuple[torch.nn.Module, list[float]]:
    """The book's network, seed 0, after `EPOCHS_TRAINED` epochs; accuracy on the first 1,000 test signals after each."""
    dataset = gst.load()
    model = gst.Experiment(gst.RunConfig(seed=SEED)).model
    recipe = gst.Recipe()
    last_step = recipe.steps_per_epoch(len(dataset.y_train))
    curve = []

    def watch(epoch: int, step: int) -> None:
        if step == last_step:
            curve.append(gst.accuracy(model, dataset.x_test[:CURVE], dataset.y_test[:CURVE]))
            if len(curve) == EPOCHS_TRAINED:
                raise Interrupted

    try:
        gst.train(model, dataset, recipe, SEED, [watch])
    except Interrupted:
        return model, curve
    raise AssertionError(f"training ended before epoch {EPOCHS_TRAINED}")


def pack_state(state: dict[str, np.ndarray]) -> tuple[bytes, dict[str, float]]:
    """16-bit integers of every tensor, one after the other, and the scale of each."""
    scales = {name: float(np.abs(values).max()) / 32767 or 1.0 for name, values in state.items()}
    integers = [np.rint(values / scales[name]).astype("<i2").ravel() for name, values in state.items()]
    return zlib.compress(np.concatenate(integers).tobytes(), 9), scales


def unpack_state(packed: bytes, scales: dict[str, float]) -> dict[str, np.ndarray]:
    """The inverse of `pack_state`, up to half a unit of 16 bits; flat tensors."""
    integers = np.frombuffer(zlib.decompress(packed), "<i2")
    shapes = {name: values.size for name, values in page_state(gst.conv1d_net()).items()}
    ends = np.cumsum([shapes[name] for name in scales])
    return {name: part * scales[name] for name, part in zip(scales, np.split(integers, ends[:-1]))}


def network_files() -> tuple[dict[str, bytes], torch.nn.Module]:
    """The network in the middle of its training, by file name."""
    model, curve = half_trained()
    packed, scales = pack_state(page_state(model))
    about = {"seed": SEED, "epochs": EPOCHS_TRAINED, "curve": [round(a, 4) for a in curve], "scales": scales}
    return {"trained.bin": packed, "trained.json": _json(about)}, model


# --- recorded runs ---------------------------------------------------------------------------------------------------


def clouds() -> dict:
    """Recorded runs, each with its gain over the unpruned run of its seed, and the mean of every setting.

    `runs` has columns, one entry per run; `settings` a row per setting: schedule, target, dose, mean instability, mean
    gain in points, its 95% interval (Student's t over seeds) and the number of seeds.
    """
    frames = []
    for name in CLOUDS:
        runs = gst.recorded(name)
        runs = runs[runs.status == "finished"]
        twins = runs[runs.method == "none"].set_index("seed").final_accuracy
        pruned = runs[runs.method == "prune"]
        frames.append(pruned.assign(gain=100 * (pruned.final_accuracy - pruned.seed.map(twins)), **_schedule(pruned)))
    keys = ["first", "last", "events", "target", "prune_fraction"]
    # Two studies may hold the same events under two names: 5 to 40 every 18 epochs is 5 and 23.
    runs = pd.concat(frames, ignore_index=True).drop_duplicates([*keys, "seed"])
    settings = []
    for key, group in runs.groupby(keys):
        mean, n = group.gain.mean(), len(group)
        half = stats.t.ppf(0.975, n - 1) * group.gain.std() / n**0.5
        numbers = (group.instability.mean(), mean, mean - half, mean + half)
        settings.append([*(_plain(value) for value in key), *(round(float(x), 3) for x in numbers), n])
    return {
        "runs": {
            "instability": [round(x, 3) for x in runs.instability],
            "gain": [round(x, 2) for x in runs.gain],
            "dose": [round(x, 2) for x in runs.prune_fraction],
        },
        "settings": {"columns": [*keys, "instability", "gain", "low", "high", "seeds"], "rows": settings},
    }


def _schedule(runs: pd.DataFrame) -> dict[str, pd.Series]:
    """First and last event and their number: the end of a schedule need not be an event."""
    first, period = runs.start.astype(int), runs.retrain_period.astype(int)
    events = (runs.end.astype(int) - first) // period + 1
    return {"first": first, "events": events, "last": first + (events - 1) * period}


def _plain(value):
    return value.item() if hasattr(value, "item") else value


# --- the first picture of the filters, which needs no download -------------------------------------------------------


@torch.no_grad()
def profiles(model: torch.nn.Module) -> str:
    """What every filter says about every class, as 640 digits: 5 is nothing, 9 speaks most for the class, 1 against it.

    A filter's part of a logit, averaged over the signals of the class, minus its average over all signals.
    """
    dataset = gst.load()
    x, y = dataset.x_test[:CURVE], dataset.y_test[:CURVE]
    model.eval()
    active = model[:-2](x)  # (N, 64, 10), up to relu4: flatten and head are left out
    head = model.head.weight.unflatten(1, (64, 10))  # (10, 64, 10)
    parts = torch.einsum("ncl,kcl->nck", active, head)  # (N, 64, 10)
    means = torch.stack([parts[y == k, :, k].mean(0) - parts[:, :, k].mean(0) for k in range(10)], dim=1)  # (64, 10)
    scale = means.abs().max(dim=1, keepdim=True).values.clamp_min(1e-9)
    return "".join(str(int(d)) for d in (5 + 4 * means / scale).round().flatten())


@torch.no_grad()
def first_numbers(model: torch.nn.Module) -> dict:
    """What the first picture of the filters shows; on the signals as the page has them, so that loading them changes nothing."""
    scale = levels(gst.load())
    x, y = unpack_signals(signal_files(gst.load())["test.bin"], **scale)
    right = gst.correct(model, x, y)
    classes = [right[y == k].float().mean().item() for k in range(10)]
    accuracy = round(right.float().mean().item(), 4)
    return {"profiles": profiles(model), "accuracy": accuracy, "classes": [round(c, 3) for c in classes]}


def first_state(first: dict) -> str:
    """The container of the figure on the first page: the numbers stand in it, so that its first picture waits for nothing."""
    return f"""<div data-gst-live="click" data-first="{html.escape(json.dumps(first, separators=(",", ":")))}">
<p>A network of four convolutions has learned to tell ten kinds of signals apart for {EPOCHS_TRAINED} of 60 rounds, and is
right on {100 * first["accuracy"]:.0f} of 100 signals that it has never seen. Its last layer has 64 filters. With scripts you
could cut some of them here, and let it learn on.</p>
</div>
"""


def _json(value) -> bytes:
    return (json.dumps(value, separators=(",", ":")) + "\n").encode()


if __name__ == "__main__":
    files = signal_files(gst.load()) | {"clouds.json": _json(clouds())}
    if "--check" in sys.argv[1:]:
        sys.exit(
            any(not (FOLDER / name).exists() or (FOLDER / name).read_bytes() != data for name, data in files.items())
        )
    network, model = network_files()
    # The first picture shows what the page will compute, hence from weights as the page has them.
    load_page_state(model, unpack_state(network["trained.bin"], json.loads(network["trained.json"])["scales"]))
    first = first_numbers(model)
    network["first.json"] = _json(first)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in (files | network).items():
        (FOLDER / name).write_bytes(data)
        print(f"{FOLDER / name}  {len(data) / 1000:.1f} KB")
    FIGURE.write_text(first_state(first), encoding="utf-8")
    print(FIGURE)
