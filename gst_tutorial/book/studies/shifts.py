"""The study of signals that are not shifted: where something lies then says what it is."""

from __future__ import annotations

from gst_tutorial.book.studies.book import HALF, SPLITS, anatomy_configs
from gst_tutorial.book.studies.fresh_seeds import FRESH_SEEDS
from gst_tutorial.data import mnist1d
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.studies.study import Arm, Study

NOISE = 0.1  # five times MNIST-1D's: without shifts the task would be too easy to overfit


def unshifted(n_train: int = 1000, n_test: int = 4000, seed: int = 0) -> Dataset:
    """Return MNIST-1D whose patterns all begin at the left edge, with more noise on each sample."""
    x, y = mnist1d.generate(n_train + n_test, seed, max_translation=1, iid_noise_scale=NOISE)
    return Dataset.from_arrays(x[:n_train], y[:n_train], x[n_train:][:n_test], y[n_train:][:n_test], "unshifted")


def unshifted_signals() -> Study:
    """Ask chapter 7's account of the gain a question that it could fail.

    Seen before these predictions were written: one network of each head on seed 300, not pruned, which set the noise so that
    the head that reads positions gets 82% right, as on shifted signals; the head that averages gets as many.
    """
    jolts = anatomy_configs()
    ways = ("none", "prune 80%", "prune 80% at init", "shrink, unseen", "redirect")
    arms = []
    for signals, data in (("shifted", SPLITS.data), ("not shifted", f"{__name__}:unshifted")):
        for head, model in (("positions", "conv1d"), ("averages", "conv1d_pooled")):
            configs = {what: jolts[what] for what in ways}
            configs["zero the head's inputs"] = HALF.replace(intervention="zero_inputs", layers=("head",))
            for what, config in configs.items():
                factors = {"signals": signals, "head": head, "what": what}
                arms.append(Arm(config.replace(data=data, model=model), factors))
    return Study(
        "unshifted",
        "Do treatments help a head that reads positions when positions are no accident?",
        arms,
        FRESH_SEEDS[:10],
        predictions={
            "positions": "If pruning and jolts help because they disturb a memory of accidental positions, then on signals that "
            "are not shifted each gains less than half of what it gains on shifted ones, with the head that reads positions.",
            "overfitting": "If they help against overfitting of any kind, the gains are about as large on both.",
        },
    )


def headroom() -> Study:
    """Ask whether anything could be gained on signals that are not shifted: a positive control for `unshifted`."""
    data = f"{__name__}:unshifted"
    arms = []
    for head, model in (("positions", "conv1d"), ("averages", "conv1d_pooled")):
        config = SPLITS.replace(data=data, model=model)
        arms.append(Arm(config, {"head": head, "what": "none"}))
        arms.append(Arm(config.replace(optimizer="adamw", weight_decay=3.0), {"head": head, "what": "decoupled decay"}))
        arms.append(Arm(config.replace(weight_decay=0.1), {"head": head, "what": "coupled decay"}))
    return Study(
        "unshifted-headroom",
        "Could anything be gained where signals are not shifted?",
        arms,
        FRESH_SEEDS[:10],
        predictions={
            "headroom": "Weight decay gains at least two percentage points there, with the head that reads positions: so there "
            "was something to gain, and treatments that gain nothing fail for another reason.",
        },
    )
