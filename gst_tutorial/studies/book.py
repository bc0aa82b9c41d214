"""Every figure of the book as a named study. `python -m gst_tutorial list` prints them.

Reported seeds are 0 to 19. Whatever had to be chosen (a strength, a learning rate) was chosen on seeds from 100 up.
"""

from __future__ import annotations

from gst_tutorial import _arguments as check
from gst_tutorial.config import RunConfig
from gst_tutorial.pruning import TARGETS, PruneSchedule
from gst_tutorial.studies import paper as image_studies
from gst_tutorial.studies.sweep import Study

BASE = RunConfig(evaluate_every=10)
NONE = {"none": BASE}
PERMANENT = BASE.replace(method="prune")

# Three events; the first after the network has learned something, the last long before the learning rate falls.
THREE_EVENTS = PruneSchedule(5, 23, 9)
DOSES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
TEN_SEEDS = tuple(range(10))


def _tradeoff() -> Study:
    """The paper's protocol: one total, one window of epochs, retrain periods from 2 to 18 epochs."""
    grid = NONE | {"prune at init": PERMANENT.replace(method="prune_at_init")}
    for target in TARGETS:
        for period in (2, 4, 6, 9, 12, 18):
            grid[f"{target}, period {period}"] = PERMANENT.replace(target=target, schedule=PruneSchedule(5, 40, period))
    return Study("tradeoff", "Does less stable pruning generalize better, in the paper's own protocol?", grid)


def _tradeoff_aligned() -> Study:
    """The control: what a longer retrain period changes besides the size of the events is held fixed.

    "same ends": first event in epoch 5, last in 23, whatever their number. Evenly spaced events between the same ends
    have the same mean sparsity, too. "same mean": events centred on epoch 22, as many as the paper's protocol has with
    that period; the mean sparsity over training is the same for one event as for eighteen, the ends are not.
    """
    grid = dict(NONE)
    for target in TARGETS:
        for period in (1, 3, 9, 18):
            grid[f"same ends, {target}, period {period}"] = PERMANENT.replace(
                target=target, schedule=PruneSchedule(5, 23, period)
            )
    for period in (2, 4, 6, 12, 18, 36):
        reach = (36 // period - 1) * period // 2
        grid[f"same mean, smallest, period {period}"] = PERMANENT.replace(
            schedule=PruneSchedule(22 - reach, 22 + reach, period)
        )
    return Study("tradeoff-aligned", "Does the tradeoff survive when only the size of the events varies?", grid)


def _dose() -> Study:
    grid = dict(NONE)
    for target in TARGETS:
        for dose in DOSES:
            grid[f"{target}, {dose:.0%}"] = PERMANENT.replace(target=target, prune_fraction=dose, schedule=THREE_EVENTS)
    return Study("dose", "How does the benefit depend on how much is pruned at three fixed events?", grid)


def _landing() -> Study:
    """One seed with its whole training curve, for the figure on the book's first page."""
    grid = {"none": RunConfig()}
    for target in TARGETS:
        for dose in DOSES[2:]:
            grid[f"{target}, {dose:.0%}"] = RunConfig(
                method="prune", target=target, prune_fraction=dose, schedule=THREE_EVENTS
            )
    return Study(
        "landing", "What does a training curve look like when pruning hits?", grid, (0,), curves=("events", "epochs")
    )


def _scores() -> Study:
    grid = dict(NONE)
    for score in ("l1", "l2", "ebn", "activation"):
        for target in ("smallest", "largest"):
            for dose in (0.2, 0.4, 0.95):
                config = PERMANENT.replace(score=score, target=target, prune_fraction=dose, schedule=THREE_EVENTS)
                grid[f"{score}, {target}, {dose:.0%}"] = config
    return Study("scores", "Is the dose-response curve the same for other scores, E[BN] among them?", grid)


def _data() -> Study:
    settings = {
        "digits": {"data": "digits", "model": "conv2d"},
        "500 examples": {"n_train": 500},
        "4,000 examples": {"n_train": 4000},
        "half width": {"width": 0.5},
        "double width": {"width": 2.0},
    }
    grid = {}
    for name, changes in settings.items():
        grid[f"{name}, none"] = BASE.replace(**changes)
        for dose in (0.2, 0.6, 0.95):
            grid[f"{name}, {dose:.0%}"] = PERMANENT.replace(prune_fraction=dose, schedule=THREE_EVENTS, **changes)
    return Study(
        "data", "Is the dose-response curve the same on images, with other training sets and widths?", grid, TEN_SEEDS
    )


# Nine events, four epochs apart: the schedule of all experiments with small disturbances.
NINE_EVENTS = PruneSchedule(5, 37, 4)
JOLT = BASE.replace(method="zero", redraw=True, target="random", schedule=NINE_EVENTS)


def _jolts() -> Study:
    grid = dict(NONE)
    for share in (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0):
        grid[f"one layer, {share:.0%}"] = JOLT.replace(prune_fraction=share)
        grid[f"two layers, {share:.0%}"] = JOLT.replace(prune_fraction=share, layers=("conv3", "conv4"))
    for size in (0.25, 0.5, 0.75):
        grid[f"half the filters, weights scaled by {1 - size}"] = JOLT.replace(prune_fraction=0.5, noise_size=size)
    for size in (0.5, 1.0, 2.0):
        grid[f"half the filters, Gaussian noise of {size} x their norm"] = JOLT.replace(
            prune_fraction=0.5, method="gaussian", noise_size=size, noise_reference="filter"
        )
    return Study(
        "jolts", "Nothing is removed, one thing varies: how does the benefit depend on the size of the jolt?", grid
    )


def _noise() -> Study:
    pruned = PERMANENT.replace(prune_fraction=0.6, schedule=THREE_EVENTS)
    grid = NONE | {"prune": pruned}
    for batches in (1, 10, 30, 90):  # 90 batches are the whole retrain period
        zero = pruned.replace(method="zero", noise_batches=batches)
        grid[f"zero, {batches} batches"] = zero
        grid[f"gaussian, {batches} batches"] = zero.replace(method="gaussian")
        grid[f"zero and restore, {batches} batches"] = zero.replace(restore=True)
        grid[f"zero cumulatively and restore, {batches} batches"] = zero.replace(restore=True, cumulative=True)
    return Study(
        "noise", "Do the filters need to stay away? Temporary against permanent pruning of the same filters.", grid
    )


REGULARIZERS = {
    "filter dropout": [BASE.replace(filter_dropout=share) for share in (0.1, 0.25, 0.5)],
    "weight noise": [BASE.replace(weight_noise=size) for size in (0.03, 0.1, 0.3)],
    "weight decay": [BASE.replace(weight_decay=strength) for strength in (3e-2, 1e-1, 3e-1)],
    "pruning": [PERMANENT.replace(prune_fraction=dose, schedule=THREE_EVENTS) for dose in (0.4, 0.6, 0.8)],
}


def _regularizers_tuning() -> Study:
    grid = {
        f"{name}, strength {i}": config
        for name, configs in REGULARIZERS.items()
        for i, config in enumerate(configs, start=1)
    }
    return Study(
        "regularizers-tuning",
        "Which strength of each regularizer is best? (Seeds that are not reported.)",
        grid,
        tuple(range(100, 105)),
    )


def _regularizers() -> Study:
    """Each with its best strength of `regularizers-tuning`: 25% dropout, noise of 0.1, decay of 0.3, a dose of 80%."""
    best = {"filter dropout": 1, "weight noise": 1, "weight decay": 2, "pruning": 2}
    grid = NONE | {name: REGULARIZERS[name][strength] for name, strength in best.items()}
    return Study(
        "regularizers", "Where does pruning stand among the regularizers one knows, each at its best strength?", grid
    )


def _flatness() -> Study:
    """Runs that differ in stability, each with its flatness at the end. Same recipe as in the other studies."""
    measured = {"measures": ("flatness",)}
    pruned = PERMANENT.replace(**measured)
    grid = {"none": BASE.replace(**measured), "prune at init": pruned.replace(method="prune_at_init")}
    for target in TARGETS:
        for period in (2, 18):
            grid[f"{target}, period {period}"] = pruned.replace(target=target, schedule=PruneSchedule(5, 40, period))
    noisy = pruned.replace(prune_fraction=0.6, schedule=THREE_EVENTS, noise_batches=90)
    grid["zero, 90 batches"] = noisy.replace(method="zero")
    grid["gaussian, 90 batches"] = noisy.replace(method="gaussian")
    return Study(
        "flatness", "Does less stable pruning end in flatter minima, and does flatness go with accuracy?", grid
    )


# Pipelines of chapter 6. SGD's learning rate and momentum are the paper's (half the rate did better on the seeds of
# `pipelines-tuning`); the strengths of the regularizers are the best found there.
OPTIMIZERS = {"Adam": BASE, "SGD": BASE.replace(optimizer="sgd", learning_rate=0.1)}
DECAYS = {"Adam": (0.1, 0.3, 0.6), "SGD": (3e-3, 1e-2, 3e-2)}
DROPOUTS = (0.3, 0.5, 0.7, 0.85)
JOINT = {"Adam": [(decay, dropout) for decay in (0.03, 0.3) for dropout in (0.3, 0.7)],
         "SGD": [(decay, dropout) for decay in (1e-3, 1e-2) for dropout in (0.3, 0.7)]}  # fmt: skip


def _pipelines_tuning() -> Study:
    grid = {f"SGD, learning rate {rate}": OPTIMIZERS["SGD"].replace(learning_rate=rate) for rate in (0.05, 0.1, 0.2)}
    for name, base in OPTIMIZERS.items():
        grid |= {f"{name}, weight decay {decay}": base.replace(weight_decay=decay) for decay in DECAYS[name]}
        grid |= {f"{name}, dropout {dropout}": base.replace(dropout=dropout) for dropout in DROPOUTS}
        for decay, dropout in JOINT[name]:
            grid[f"{name}, all three, weight decay {decay}, dropout {dropout}"] = base.replace(
                weight_decay=decay, dropout=dropout, augment="shift_noise"
            )
    return Study(
        "pipelines-tuning",
        "Which strength of weight decay and dropout is best for each optimizer? (Seeds that are not reported.)",
        grid,
        tuple(range(100, 105)),
    )


def pipelines() -> dict[str, RunConfig]:
    """The ten training pipelines of `pipelines`, without pruning: "Adam, plain", "SGD, weight decay", ..."""
    grid = {}
    for name, base in OPTIMIZERS.items():
        decay, dropout = {"Adam": 0.3, "SGD": 1e-2}[name], 0.7
        joint_decay, joint_dropout = {"Adam": (0.03, 0.3), "SGD": (1e-2, 0.3)}[name]
        grid |= {
            f"{name}, plain": base,
            f"{name}, weight decay": base.replace(weight_decay=decay),
            f"{name}, augmentation": base.replace(augment="shift_noise"),
            f"{name}, dropout": base.replace(dropout=dropout),
            f"{name}, all three": base.replace(weight_decay=joint_decay, dropout=joint_dropout, augment="shift_noise"),
        }
    return grid


def _pipelines() -> Study:
    """Each pipeline without pruning, with stable and with unstable pruning of the same number of filters.

    80% of the last layer, the best dose of `regularizers-tuning` (Adam, three events). First event after epoch 5, last
    after 23 in both: nineteen small events, or two large ones.
    """
    grid = {}
    for name, config in pipelines().items():
        pruned = config.replace(method="prune", prune_fraction=0.8)
        grid |= {
            f"{name}, none": config,
            f"{name}, stable": pruned.replace(schedule=PruneSchedule(5, 23, 1)),
            f"{name}, unstable": pruned.replace(schedule=PruneSchedule(5, 23, 18)),
        }
    return Study("pipelines", "Does pruning still help in standard training pipelines?", grid)


def _pipelines_doses() -> Study:
    """Every pipeline with smaller doses of the unstable pruning: was 80%, the best for a plain one, only too much?"""
    grid = {}
    for name, config in pipelines().items():
        grid[f"{name}, none"] = config
        for dose in (0.2, 0.4, 0.8):
            grid[f"{name}, {dose:.0%}"] = config.replace(
                method="prune", prune_fraction=dose, schedule=PruneSchedule(5, 23, 18)
            )
    return Study("pipelines-doses", "Does a smaller dose of pruning help a regularized network?", grid, TEN_SEEDS)


WIDTHS, TRAINING_SETS = (0.125, 0.25, 0.5, 1.0), (250, 1000, 4000)


def _width() -> Study:
    """Every width with every size of the training set. The batch is a tenth of the set, so all runs take as many steps."""
    grid = {}
    for n in TRAINING_SETS:
        for width in WIDTHS:
            config = BASE.replace(n_train=n, width=width, batch_size=n // 10)
            grid[f"{n} examples, width {width}, none"] = config
            grid[f"{n} examples, width {width}, pruned"] = config.replace(
                method="prune", prune_fraction=0.6, schedule=THREE_EVENTS
            )
    return Study("width", "From which width and training-set size on does pruning help?", grid)


_IN_ORDER = [
    _landing(), _tradeoff(), _tradeoff_aligned(), _dose(), _scores(), _data(), _jolts(), _noise(), _regularizers_tuning(),
    _regularizers(), _flatness(), _pipelines_tuning(), _pipelines(), _pipelines_doses(), _width(), *image_studies.studies(),
]  # fmt: skip
_ALL = {study.name: study for study in _IN_ORDER}


def names() -> list[str]:
    """The names of all studies, in the order of the book."""
    return list(_ALL)


def get(name: str) -> Study:
    """The study of that name; a ValueError suggests the nearest."""
    return _ALL[check.one_of("study", name, _ALL)]
