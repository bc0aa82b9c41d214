"""What the experiment in the page reads: signals, networks in the middle of their training, recorded runs, words.

python -m tools.pages.live            # write _web/live/made/
python -m tools.pages.live --check    # exit 1 if signals or recorded runs there are not what the package gives

Signals take 128 levels (half a level is 3.5% of their standard deviation) and are stored as differences, deflated:
140 KB instead of 800. The networks are trained here, so another processor writes other last digits; `--check` leaves them out.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

import gst_tutorial as gst
from gst_tutorial.interventions import INTERVENTIONS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "_web" / "live" / "made"
LEVELS = 128
CURVE = 1000  # test signals behind every point of a curve in the page
SEED = 0
LAYERS = ("conv1", "conv2", "conv3", "conv4")
# Still at the full learning rate, with 47 epochs to go: a cut has time to heal. 76% of the signals are right by then.
EPOCHS_TRAINED = 13
DECAY = 0.03  # of the switch, as in the study resets-and-decay
#: The networks that the switches choose between: name of the files, model, weight decay.
NETWORKS = (
    ("trained", "conv1d", 0.0),
    ("trained-decay", "conv1d", DECAY),
    ("trained-averages", "conv1d_pooled", 0.0),
    ("trained-decay-averages", "conv1d_pooled", DECAY),
)
CLOUDS = ("dose", "tradeoff", "tradeoff-aligned")
RECORDED = (*CLOUDS, "anatomy", "head-by-data", "resets-and-decay")


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
    state["wh"] = head.weight.unflatten(1, (64, -1)).permute(2, 1, 0).flatten(0, 1)  # (10, C * L) -> (L * C, 10)
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
    named["head"].weight.copy_(tensors["wh"].reshape(-1, 64, 10).permute(2, 1, 0).flatten(1))
    named["head"].bias.copy_(tensors["bh"].flatten())


class Interrupted(Exception):
    """Training stopped where the page goes on."""


def half_trained(model_name: str, weight_decay: float) -> tuple[torch.nn.Module, list[float]]:
    """A network, seed 0, after `EPOCHS_TRAINED` epochs; accuracy on the first 1,000 test signals after each."""
    dataset = gst.load()
    model = gst.Experiment(gst.RunConfig(seed=SEED, model=model_name)).model
    recipe = gst.Recipe(weight_decay=weight_decay)
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


def stored_network(name: str) -> torch.nn.Module:
    """A network as the page has it, up to half a unit of 16 bits."""
    about = json.loads((FOLDER / f"{name}.json").read_text())
    return _as_in_page((FOLDER / f"{name}.bin").read_bytes(), about["scales"], about["head"])


def _as_in_page(packed: bytes, scales: dict[str, float], head: str) -> torch.nn.Module:
    model = gst.conv1d_net(pooled=head == "averages")
    integers = np.frombuffer(zlib.decompress(packed), "<i2")
    shapes = {name: values.size for name, values in page_state(model).items()}
    ends = np.cumsum([shapes[name] for name in scales])
    load_page_state(model, {name: part * scales[name] for name, part in zip(scales, np.split(integers, ends[:-1]))})
    return model.eval()


def network_files(name: str, model_name: str, weight_decay: float) -> dict[str, bytes]:
    """A network in the middle of its training, and what the page shows of it at first, by file name."""
    model, curve = half_trained(model_name, weight_decay)
    packed, scales = pack_state(page_state(model))
    head = "averages" if model_name.endswith("pooled") else "positions"
    # The first picture shows what the page will compute, hence from weights as the page has them.
    first = first_numbers(_as_in_page(packed, scales, head)) | {"curve": [round(a, 4) for a in curve]}
    about = {"seed": SEED, "epochs": EPOCHS_TRAINED, "head": head, "scales": scales, "first": first}
    return {f"{name}.bin": packed, f"{name}.json": _json(about)}


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


#: What a recorded run must be for the page to be able to repeat it: the book's network, data and recipe.
PLAIN = {
    "batch_size": 100,
    "epochs": 60,
    "width": 1.0,
    "dropout": 0.0,
    "filter_dropout": 0.0,
    "label_noise": 0.0,
    "sam_radius": 0.0,
    "weight_noise": 0.0,
    "label_smoothing": 0.0,
    "restore": "no",
}
SIGNALS = (gst.RunConfig().data, "signals")  # a study with two kinds of data has a column of its own for them
#: What tells the settings of such runs apart, with the names of settings.js.
SETTING = {
    "intervention": "intervention", "target": "target", "prune_fraction": "dose", "events": "events", "first": "first",
    "last": "last", "learning_rate": "learningRate", "weight_decay": "weightDecay", "optimizer": "optimizer", "head": "head",
}  # fmt: skip
OURS = ("prune", "zero", "scale", "rescale", "redirect", "zero_inputs")  # the page's interventions


def recorded() -> dict:
    """Mean gain, in percentage points, of every recorded setting that the page can train, with its 95% interval."""
    frames = []
    for name in RECORDED:
        runs = gst.recorded(name)
        runs = runs[runs.status.eq("finished") & runs.data.isin(SIGNALS)]
        for column, value in PLAIN.items():
            runs = runs[runs[column] == value]
        runs = runs[runs.n_train.isna() & runs["size"].isna() if "size" in runs else runs.n_train.isna()]
        runs = runs.assign(head=runs.model.map({"conv1d": "positions", "conv1d_pooled": "averages"}))
        twin = ["seed", "learning_rate", "weight_decay", "optimizer", "head"]
        twins = runs[runs.method == "none"].set_index(twin).final_accuracy.rename("twin_accuracy")
        hit = runs[runs.method.ne("none") & runs.n_events.gt(0) & runs.intervention.isin(OURS)]
        hit = hit[hit.intervention.eq("prune") | hit.draws.eq("afresh")].join(twins, on=twin)
        frames.append(hit.assign(gain=100 * (hit.final_accuracy - hit.twin_accuracy), study=name, **_schedule(hit)))
    runs = pd.concat(frames, ignore_index=True)
    rows = {}
    for (_, *key), group in runs.groupby(["study", *SETTING], sort=False):
        assert group.seed.is_unique, f"two recorded settings look alike to the page: {key}"
        mean, n = group.gain.mean(), len(group)
        half = stats.t.ppf(0.975, n - 1) * group.gain.std() / n**0.5
        numbers = (group.instability.mean(), mean, mean - half, mean + half)
        row = [*(_plain(value) for value in key), *(round(float(x), 3) for x in numbers), n]
        # Two studies may hold one setting: the one with more networks counts.
        if n > rows.get(tuple(key), [0])[-1]:
            rows[tuple(key)] = row
    columns = [*SETTING.values(), "instability", "gain", "low", "high", "seeds"]
    return {"columns": columns, "rows": list(rows.values())}


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
    active = model[: list(dict(model.named_children())).index("relu4") + 1](x)  # (N, 64, 10)
    head = model.head.weight.unflatten(1, (64, -1))  # (10, 64, 10), or (10, 64, 1) for means
    if head.shape[2] == 1:
        active = active.mean(dim=2, keepdim=True)
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


def words() -> bytes:
    """A module with the words of the interventions that the page offers: those of the package's table."""
    offered = {
        name: {"words": next(iter(entry.words)), "sentence": entry.sentence, "removes": entry.permanent}
        for name, entry in INTERVENTIONS.items()
        if entry.sentence
    }
    head = "// Written by tools/pages/live.py from the table in gst_tutorial/interventions.py.\n"
    return f"{head}export const WORDS = {json.dumps(offered, indent=2)};\n".encode()


def _json(value) -> bytes:
    return (json.dumps(value, separators=(",", ":")) + "\n").encode()


def data_files() -> dict[str, bytes]:
    """Everything that is the same on every machine, by file name."""
    tables = {"clouds.json": _json(clouds()), "recorded.json": _json(recorded()), "words.js": words()}
    return signal_files(gst.load()) | tables


if __name__ == "__main__":
    files = data_files()
    if "--check" in sys.argv[1:]:
        sys.exit(
            any(not (FOLDER / name).exists() or (FOLDER / name).read_bytes() != data for name, data in files.items())
        )
    for network in NETWORKS:
        files |= network_files(*network)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)
        print(f"{FOLDER / name}  {len(data) / 1000:.1f} KB")
