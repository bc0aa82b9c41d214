"""Scan a network: how much accuracy does each layer lose at each fraction, one cut at a time? See `scan`."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import references, seeding
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.graph.costs import Costs
from gst_tutorial.graph.running import borrowed, tensors_in
from gst_tutorial.instability import accuracy, correct, instability_of
from gst_tutorial.masks import prunable_layers
from gst_tutorial.prefix import Prefix
from gst_tutorial.pruning import TARGETS, choose_filters, kept_in_the_end
from gst_tutorial.scores import Score, filter_scores, score_function
from gst_tutorial.training import Diverged, Recipe, train

FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RANDOM = "random"  # not a score: filters are drawn, as a control
KEY = ("layer", "fraction", "score", "draw")
BATCH_NUMBERS = 1_536_000
N_SCORED = 1000  # training examples that scores such as "activation" see


def scan(
    model: nn.Module,
    x: torch.Tensor | Dataset,
    y: torch.Tensor | None = None,
    *,
    fractions: Iterable[float] = FRACTIONS,
    scores: Iterable[str | Score] = ("l2", RANDOM),
    draws: int = 3,
    layers: Iterable[str] | None = None,
    target: str = "smallest",
    x_score: Any = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    path: str | os.PathLike | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Cut each layer by each fraction, alone, and measure what that does to the accuracy on held-out examples.

    The model is not changed: every cut starts from the network as it is given. Modules before the cut are computed once
    per batch and not once per cut, which changes no logit (see `prefix`).

    Args:
        model: a prunable network, see `make_prunable`. It may have pruned filters already.
        x: held-out examples `(N, ...)`; or a `gst.Dataset`, of which the test examples are taken.
        y: `(N,)` int64 labels; None with a data set.
        fractions: of the layer's filters that are pruned, each in (0, 1).
        scores: names or functions, see `filter_scores`. "random" draws the filters instead, as a control: a score that does
            no better knows nothing about the filters.
        draws: how often "random" is repeated.
        layers: names of prunable layers; None takes all.
        target: the filters that a score chooses, "smallest" or "largest".
        x_score: what scores look at, see `filter_scores`; None takes the first 1,000 training examples of a data set.
        recipe: with one, each cut network is also trained, on the data set's training examples, which takes as long as it
            takes. None: no training.
        seed: of the draws and of the training.
        batch_size: examples per forward pass; the outputs of the modules before the cut must fit into memory. None takes as
            many as have 1.5 million numbers together (500 images of 3 x 32 x 32), at least 16 and at most 1,000.
        path: a file to which each finished cut is appended, as a line of JSON. If it exists, only what is missing is
            computed. None keeps nothing.
        progress: show a bar with the time left.

    Returns:
        DataFrame with a row per cut, ordered by layer, fraction, score, draw. Columns:
        `layer`, `fraction`, `score`, `draw` (from 0);
        `filters` and `kept`, numbers of filters of the layer, and of those left;
        `accuracy` in [0, 1], `instability` and its `standard_error`, see `instability_of`;
        `parameters` and `multiply_adds`, the fractions of the whole network's that cutting these filters out saves;
        `trained_accuracy`, with a recipe: after training.
        The standard error contains one thing, the finite number of held-out examples. It says nothing about other training
        runs of the network, nor about other random draws; the latter are seen by comparing draws, see `summary`.
        `frame.attrs` holds `accuracy` and `trained_accuracy` without a cut, `n_examples`, `parameters`, `multiply_adds`
        (of the whole network), `target` and `seed`.

    Raises:
        ValueError, TypeError: an argument is out of its range, no masks, an unknown layer or score, a recipe without a data
            set; or `path` holds the results of another network, of other data, or of other settings.
        FloatingPointError: a logit of the network is NaN.
    """
    whole = prunable_layers(model)
    if not whole:
        raise ValueError("model has no filter masks; call make_prunable(model, example_input) first.")
    names = list(whole) if layers is None else [check.one_of("layers", n, whole) for n in check.many("layers", layers)]
    fractions = [
        check.real("fractions", f, 0, 1, open_low=True, open_high=True) for f in check.many("fractions", fractions)
    ]
    scores = check.many("scores", scores)
    check.one_of("target", target, [name for name in TARGETS if name != RANDOM])
    check.integer("draws", draws, 1, check.MOST)
    check.flag("progress", progress)
    data = x if isinstance(x, Dataset) else None
    if recipe is not None and (check.instance("recipe", recipe, Recipe) and data is None):
        raise ValueError("recipe= needs training examples: give a gst.Dataset as x.")
    if data is not None and x_score is None:
        x_score = data.x_train[:N_SCORED], data.y_train[:N_SCORED]
    if batch_size is None:
        size = max(1, (data.x_test if data is not None else check.examples("x", x))[0].numel())
        batch_size = min(max(BATCH_NUMBERS // size, 16), 1000)
    before = correct(model, x, y, batch_size)  # also checks x, y and batch_size
    if not before.any():
        raise ValueError("model gets no example right, so no accuracy can be lost; is it trained?")
    x, y = (data.x_test, data.y_test) if data is not None else (x, y)

    by_name = {_name(score): score for score in scores}
    wanted = [
        (layer, fraction, name, draw)
        for layer in names
        for fraction in fractions
        for name in by_name
        for draw in range(draws if name == RANDOM else 1)
    ]
    log = _Log(path, _identity(model, x, y, by_name, target, x_score, recipe, data, seed))
    costs = Costs(model, x)
    if recipe is not None and ("uncut",) not in log.rows:
        log.add(("uncut",), {"trained_accuracy": _trained_accuracy(model, {}, data, recipe, seed)})
    missing = [key for key in wanted if key not in log.rows]
    kept = _kept_filters(whole, missing, _values(model, missing, by_name, x_score), target, seed)
    with _bar(progress, len(wanted), len(wanted) - len(missing)) as bar:
        for layer in dict.fromkeys(key[0] for key in missing):
            own, mask = [key for key in missing if key[0] == layer], whole[layer].mask
            right = _correct_with(model, layer, [kept[key] for key in own], x, y, batch_size, bar)
            for key in own:
                after = instability_of(before, right[_as_key(kept[key])])
                row = dict(zip(KEY, key), filters=mask.n_filters, kept=int(kept[key].sum()))
                row |= {"accuracy": after.accuracy_after, "instability": after.instability}
                row |= {"standard_error": after.standard_error, **_saved(costs, mask, kept[key])}
                if recipe is not None:
                    row["trained_accuracy"] = _trained_accuracy(model, {layer: kept[key]}, data, recipe, seed)
                log.add(key, row)
                bar.update()
    frame = pd.DataFrame([log.rows[key] for key in wanted])
    frame.attrs |= {
        "accuracy": before.double().mean().item(),
        "n_examples": len(x),
        **dict(zip(("parameters", "multiply_adds"), costs.whole)),
        **log.rows.get(("uncut",), {}),
        "target": target,
        "seed": seed,
    }
    return frame


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Average the random draws of a scan.

    Args:
        frame: as `scan` returns it.

    Returns:
        DataFrame with a row per layer, fraction and score, in the order of `frame`, and its numbers averaged over draws.
        Two columns say how sure the instability is: `standard_error`, mean over draws, is about the finite number of
        held-out examples (all draws see the same, so averaging does not reduce it); `spread`, the standard deviation over
        draws, is about which filters are drawn (nan for a single draw).

    Raises:
        ValueError: a column is missing.
    """
    for column in (*KEY, "instability", "standard_error"):
        check.frame("frame", frame, frame=column)
    groups = frame.groupby(list(KEY[:3]), sort=False)
    table = groups.mean(numeric_only=True).drop(columns="draw").reset_index()
    table.insert(table.columns.get_loc("standard_error") + 1, "spread", groups.instability.std().to_numpy())
    table.attrs = dict(frame.attrs)
    return table


def _name(score: str | Score) -> str:
    if score != RANDOM:
        score_function(score)  # a ValueError suggests the nearest name
    return score if isinstance(score, str) else getattr(score, "__name__", check.shown(score))


def _values(model, keys, scores, x_score) -> dict[tuple[str, str], torch.Tensor]:
    """The score of every filter, by layer and name; computed first, since a score may not fit a layer."""
    pairs = dict.fromkeys((key[0], key[2]) for key in keys if key[2] != RANDOM)
    return {(layer, name): filter_scores(model, layer, scores[name], x_score) for layer, name in pairs}


def _kept_filters(layers, keys, values, target, seed) -> dict[tuple, torch.Tensor]:
    """The filters of its layer that each cut keeps, bool `(C,)`."""
    found = {}
    for key in keys:
        layer, fraction, name, draw = key
        mask = layers[layer].mask
        n_new = max(0, int(mask.kept.sum()) - kept_in_the_end(mask.n_filters, fraction))
        generator = seeding.generator(seed, f"scan {layer} {fraction} {draw}")  # the same if a scan is resumed
        how = RANDOM if name == RANDOM else target
        pruned = choose_filters(values.get((layer, name), mask.mask), mask.kept, n_new, how, generator)
        found[key] = mask.kept.clone()
        found[key][pruned] = False
    return found


def _as_key(kept: torch.Tensor) -> tuple[bool, ...]:
    return tuple(kept.tolist())


@torch.no_grad()
def _correct_with(model, layer, kept, x, y, batch_size, bar) -> dict[tuple, torch.Tensor]:
    """For each set of kept filters, by `_as_key`: the examples that the network then gets right, bool `(N,)`."""
    different = {_as_key(each): each for each in kept}  # two scores often choose the same filters
    right = {key: [] for key in different}
    mask = prunable_layers(model)[layer].mask
    around = layer.removesuffix(mask.conv_name)  # a wrapper's prefix, as DataParallel's "module."
    with borrowed(model) as run:
        prefix = Prefix(model, run, [around + site for site in mask.sites], x[:2])
        for x_part, y_part in zip(x.split(batch_size), y.split(batch_size)):
            prefix.record(x_part)
            for key, each in different.items():
                mask.mask.copy_(each)
                logits = prefix.replay(x_part)
                if logits.isnan().any():
                    raise FloatingPointError(f"model: some of its logits are NaN with part of {layer!r} pruned.")
                right[key].append(logits.argmax(1) == y_part)
            bar.set_postfix_str(f"{layer}: {len(next(iter(right.values()))) * batch_size} examples")
    return {key: torch.cat(parts) for key, parts in right.items()}


@torch.no_grad()
def _saved(costs: Costs, mask, kept: torch.Tensor) -> dict[str, float]:
    before = mask.mask.clone()
    try:
        mask.mask.copy_(kept)
        return costs.saved()
    finally:
        mask.mask.copy_(before)


def _trained_accuracy(model, kept: dict[str, torch.Tensor], data, recipe, seed) -> float:
    """Test accuracy of a copy in which layers keep only these filters, after training; nan if that diverged."""
    trained = copy.deepcopy(model)
    for layer, filters in kept.items():
        prunable_layers(trained)[layer].mask.mask.copy_(filters)
    try:
        train(trained, data, recipe, seed)
        return accuracy(trained, data)
    except (Diverged, FloatingPointError):
        return math.nan


# --- resuming ---------------------------------------------------------------------------------------------------------


def _identity(model, x, y, scores, target, x_score, recipe, data, seed) -> dict[str, str]:
    """Checksums of everything that decides the numbers of a cut."""
    own = sorted(
        references.source_hash(s) for s in scores.values() if isinstance(s, str) and references.is_reference(s)
    )
    seen = [x, y, *tensors_in(x_score)]
    if recipe is not None:
        seen += [data.x_train, data.y_train]
    return {
        "network": _checksum(f"{type(model).__qualname__}", *model.state_dict().values()),
        "data": _checksum("", *seen),
        "settings": _checksum(f"{target} {seed} {recipe} {own}"),
    }


def _checksum(text: str, *tensors: torch.Tensor) -> str:
    digest = hashlib.sha256(text.encode())
    for tensor in tensors:
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()[:16]


class _Log:
    """Finished rows by their key, also in a file: a first line that says whose they are, then a line for each."""

    def __init__(self, path: str | os.PathLike | None, identity: dict[str, str]):
        self.path, self.rows = None if path is None else Path(path), {}
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        lines = text.splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):  # the process was killed while it wrote this line
            self.path.write_text("".join(lines[:-1]), encoding="utf-8")
            lines.pop()
        if not lines:
            self._write(identity)
            return
        try:
            found, *rows = (json.loads(line) for line in lines)
            changed = [name for name, value in identity.items() if found[name] != value]
            self.rows = {tuple(row.pop("key")): row for row in rows}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"path={check.shown(str(path))} is not a file of scan: {error}") from None
        if changed:
            raise ValueError(
                f"path={check.shown(str(path))} has the results of a scan with another {' and another '.join(changed)}. Give "
                f"another path, or delete the file."
            )

    def add(self, key: tuple, row: dict) -> None:
        self.rows[key] = row
        if self.path is not None:
            self._write({"key": key, **row})

    def _write(self, line: dict) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _bar(show: bool, total: int, done: int):
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, desc="scan", unit="cut", disable=not show)
