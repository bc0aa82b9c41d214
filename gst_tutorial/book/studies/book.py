"""The book's studies, one function each, in the order of the chapters. `gst list` prints them.

Reported seeds are 0 to 19. Whatever had to be chosen (a strength, a learning rate) was chosen on seeds from 100 up.
"""

from __future__ import annotations

from gst_tutorial.book.studies import paper
from gst_tutorial.config import RunConfig
from gst_tutorial.pruning import TARGETS
from gst_tutorial.schedules import INIT, PruneSchedule
from gst_tutorial.studies.study import Arm, Study
from gst_tutorial.training import Recipe

BASE = RunConfig(evaluate_every=10)
NONE = Arm(BASE, {"method": "none"})
PERMANENT = BASE.replace(intervention="prune")

# Three events; the first after the network has learned something, the last long before the learning rate falls.
THREE_EVENTS = PruneSchedule(5, 23, 9)
DOSES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
TEN_SEEDS, FIVE_SEEDS = tuple(range(10)), tuple(range(5))
TUNING_SEEDS = tuple(range(100, 105))


def tradeoff() -> Study:
    """The paper's protocol: one total, one window of epochs, retrain periods from 2 to 18 epochs."""
    arms = [NONE, Arm(PERMANENT.replace(schedule=INIT), {"method": "prune at init"})]
    for target in TARGETS:
        for period in (2, 4, 6, 9, 12, 18):
            config = PERMANENT.replace(target=target, schedule=PruneSchedule(5, 40, period))
            arms.append(Arm(config, {"target": target, "period": period}))
    return Study("tradeoff", "Does less stable pruning generalize better, in the paper's own protocol?", arms)


def tradeoff_aligned() -> Study:
    """The control: what a longer retrain period changes besides the size of the events is held fixed.

    "same ends": first event in epoch 5, last in 23, whatever their number. Evenly spaced events between the same ends
    have the same mean sparsity, too. "same mean": events centred on epoch 22, as many as the paper's protocol has with
    that period; the mean sparsity over training is the same for one event as for eighteen, the ends are not.
    """
    arms = [NONE]
    for target in TARGETS:
        for period in (1, 3, 9, 18):
            config = PERMANENT.replace(target=target, schedule=PruneSchedule(5, 23, period))
            arms.append(Arm(config, {"design": "same ends", "target": target, "period": period}))
    for period in (2, 4, 6, 12, 18, 36):
        reach = (36 // period - 1) * period // 2
        config = PERMANENT.replace(schedule=PruneSchedule(22 - reach, 22 + reach, period))
        arms.append(Arm(config, {"design": "same mean", "target": "smallest", "period": period}))
    return Study("tradeoff-aligned", "Does the tradeoff survive when only the size of the events varies?", arms)


def dose() -> Study:
    arms = [NONE]
    for target in TARGETS:
        for dose in DOSES:
            config = PERMANENT.replace(target=target, prune_fraction=dose, schedule=THREE_EVENTS)
            arms.append(Arm(config, {"target": target, "dose": dose}))
    return Study("dose", "How does the benefit depend on how much is pruned at three fixed events?", arms)


def landing() -> Study:
    """One seed with its whole training curve, for the figure on the book's first page."""
    arms = [Arm(RunConfig(), {"method": "none"})]
    for target in TARGETS:
        for dose in DOSES[2:]:
            config = RunConfig(intervention="prune", target=target, prune_fraction=dose, schedule=THREE_EVENTS)
            arms.append(Arm(config, {"target": target, "dose": dose}))
    return Study(
        "landing", "What does a training curve look like when pruning hits?", arms, (0,), curves=("events", "epochs")
    )


def explorers() -> Study:
    """One seed with its whole training curve: what each chapter's live widget shows before anybody trains."""
    paper, half = RunConfig(intervention="prune"), HALF.replace(evaluate_every=1)
    flat = {"measures": ("sharpness",)}
    two, many = PruneSchedule(5, 40, 18), PruneSchedule(5, 40, 2)
    first = {
        "tradeoff": (RunConfig(), paper.replace(schedule=two), paper.replace(schedule=many)),
        "noise": (None, half.replace(data_seed=0), half.replace(data_seed=0, prune_fraction=0.1)),
        "flatness": (RunConfig(**flat), paper.replace(schedule=two, **flat), paper.replace(schedule=many, **flat)),
        "anatomy": (RunConfig(data_seed=None), half, half.replace(intervention="rescale")),
        "pipelines": (
            None,
            paper.replace(prune_fraction=0.8, schedule=PruneSchedule(5, 23, 18)),
            paper.replace(prune_fraction=0.8, schedule=PruneSchedule(5, 23, 1)),
        ),
    }
    arms = [
        Arm(config, {"chapter": chapter, "run": run})
        for chapter, configs in first.items()
        for run, config in zip(("twin", "unstable", "gentle"), configs)
        if config is not None  # the twin of chapter 3 is that of others, too
    ]
    question = "What do the live widgets show before anybody trains?"
    return Study("explorers", question, arms, (0,), curves=("events", "epochs"))


def scores() -> Study:
    arms = [NONE]
    for score in ("l1", "l2", "ebn", "activation"):
        for target in ("smallest", "largest"):
            for dose in (0.2, 0.4, 0.95):
                config = PERMANENT.replace(score=score, target=target, prune_fraction=dose, schedule=THREE_EVENTS)
                arms.append(Arm(config, {"score": score, "target": target, "dose": dose}))
    return Study("scores", "Is the dose-response curve the same for other scores, E[BN] among them?", arms)


def data() -> Study:
    settings = {
        "digits": {"data": "digits", "model": "conv2d"},
        "500 examples": {"n_train": 500},
        "4,000 examples": {"n_train": 4000},
        "half width": {"width": 0.5},
        "double width": {"width": 2.0},
    }
    arms = []
    for setting, changes in settings.items():
        arms.append(Arm(BASE.replace(**changes), {"setting": setting, "method": "none"}))
        for dose in (0.2, 0.6, 0.95):
            config = PERMANENT.replace(prune_fraction=dose, schedule=THREE_EVENTS, **changes)
            arms.append(Arm(config, {"setting": setting, "dose": dose}))
    question = "Is the dose-response curve the same on images, with other training sets and widths?"
    return Study("data", question, arms, TEN_SEEDS)


# Nine events, four epochs apart: the schedule of all experiments with small disturbances.
NINE_EVENTS = PruneSchedule(5, 37, 4)
JOLT = BASE.replace(intervention="zero", draws="afresh", target="random", schedule=NINE_EVENTS)


def jolts() -> Study:
    arms = [NONE]
    for share in (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0):
        arms.append(Arm(JOLT.replace(prune_fraction=share), {"hit": "one layer", "dose": share}))
        two = JOLT.replace(prune_fraction=share, layers=("conv3", "conv4"))
        arms.append(Arm(two, {"hit": "two layers", "dose": share}))
    half = JOLT.replace(prune_fraction=0.5)
    for taken in (0.25, 0.5, 0.75):
        config = half.replace(intervention="scale", size=1 - taken)
        arms.append(Arm(config, {"size": 1 - taken}, f"half the filters, weights scaled by {1 - taken}"))
    for size in (0.5, 1.0, 2.0):
        config = half.replace(intervention="gaussian_relative", size=size)
        arms.append(Arm(config, {"size": size}, f"half the filters, Gaussian noise of {size} x their norm"))
    question = "Nothing is removed, one thing varies: how does the benefit depend on the size of the jolt?"
    return Study("jolts", question, arms)


def noise() -> Study:
    pruned = PERMANENT.replace(prune_fraction=0.6, schedule=THREE_EVENTS)
    arms = [NONE, Arm(pruned, {"way": "prune"})]
    for batches in (1, 10, 30, 90):  # 90 batches are the whole retrain period
        zero = pruned.replace(intervention="zero", n_batches=batches)
        ways = {
            "zero": zero,
            "gaussian": zero.replace(intervention="gaussian"),
            "zero and restore": zero.replace(restore="values"),
            "zero cumulatively and restore": zero.replace(restore="values", draws="so far"),
        }
        arms += [Arm(config, {"way": way, "batches": batches}) for way, config in ways.items()]
    question = "Do the filters need to stay away? Temporary against permanent pruning of the same filters."
    return Study("noise", question, arms)


REGULARIZERS = {
    "filter dropout": [BASE.replace(filter_dropout=share) for share in (0.1, 0.25, 0.5)],
    "weight noise": [BASE.replace(weight_noise=size) for size in (0.03, 0.1, 0.3)],
    "weight decay": [BASE.replace(weight_decay=strength) for strength in (3e-2, 1e-1, 3e-1)],
    "pruning": [PERMANENT.replace(prune_fraction=dose, schedule=THREE_EVENTS) for dose in (0.4, 0.6, 0.8)],
}


def regularizers_tuning() -> Study:
    arms = [
        Arm(config, {"regularizer": name, "strength": i})
        for name, configs in REGULARIZERS.items()
        for i, config in enumerate(configs, start=1)
    ]
    question = "Which strength of each regularizer is best? (Seeds that are not reported.)"
    return Study("regularizers-tuning", question, arms, TUNING_SEEDS)


def regularizers() -> Study:
    """Each with its best strength of `regularizers-tuning`: 25% dropout, noise of 0.1, decay of 0.3, a dose of 80%."""
    best = {"filter dropout": 1, "weight noise": 1, "weight decay": 2, "pruning": 2}
    arms = [NONE, *(Arm(REGULARIZERS[name][i], {"regularizer": name}) for name, i in best.items())]
    question = "Where does pruning stand among the regularizers one knows, each at its best strength?"
    return Study("regularizers", question, arms)


def flatness() -> Study:
    """Runs that differ in stability, each with its flatness at the end. Same recipe as in the other studies."""
    none, pruned = (config.replace(measures=("flatness",)) for config in (BASE, PERMANENT))
    arms = [
        Arm(none, {"method": "none"}),
        Arm(pruned.replace(schedule=INIT), {"method": "prune at init"}),
    ]
    for target in TARGETS:
        for period in (2, 18):
            config = pruned.replace(target=target, schedule=PruneSchedule(5, 40, period))
            arms.append(Arm(config, {"target": target, "period": period}))
    for name in ("zero", "gaussian"):
        config = pruned.replace(intervention=name, n_batches=90, prune_fraction=0.6, schedule=THREE_EVENTS)
        arms.append(Arm(config, {"method": name, "batches": 90}))
    return Study(
        "flatness", "Does less stable pruning end in flatter minima, and does flatness go with accuracy?", arms
    )


def flatness_corrected() -> Study:
    """The networks of `flatness` that were pruned, or not, once more: at equal loss and per relative change at once."""
    none, pruned = (config.replace(measures=("sharpness",)) for config in (BASE, PERMANENT))
    arms = [Arm(none, {"method": "none"})]
    for target in TARGETS:
        for period in (2, 18):
            config = pruned.replace(target=target, schedule=PruneSchedule(5, 40, period))
            arms.append(Arm(config, {"target": target, "period": period}))
    return Study(
        "flatness-corrected", "Which of two kinds of pruning ends flatter when loss and scale no longer count?", arms
    )


# Pipelines of chapter 7. SGD's learning rate and momentum are the paper's (half the rate did better on the seeds of
# `pipelines-tuning`); the strengths of the regularizers are the best found there.
OPTIMIZERS = {"Adam": BASE, "SGD": BASE.replace(optimizer="sgd", learning_rate=0.1)}
DECAYS = {"Adam": (0.1, 0.3, 0.6), "SGD": (3e-3, 1e-2, 3e-2)}
DROPOUTS = (0.3, 0.5, 0.7, 0.85)
JOINT = {"Adam": [(decay, dropout) for decay in (0.03, 0.3) for dropout in (0.3, 0.7)],
         "SGD": [(decay, dropout) for decay in (1e-3, 1e-2) for dropout in (0.3, 0.7)]}  # fmt: skip


def pipelines_tuning() -> Study:
    rates = (0.05, 0.1, 0.2)
    arms = [
        Arm(OPTIMIZERS["SGD"].replace(learning_rate=rate), {"pipeline": "SGD", "learning_rate": rate}) for rate in rates
    ]
    for name, base in OPTIMIZERS.items():
        for decay in DECAYS[name]:
            arms.append(Arm(base.replace(weight_decay=decay), {"pipeline": name, "weight_decay": decay}))
        for dropout in DROPOUTS:
            arms.append(Arm(base.replace(dropout=dropout), {"pipeline": name, "dropout": dropout}))
        for decay, dropout in JOINT[name]:
            config = base.replace(weight_decay=decay, dropout=dropout, augment="shift_noise")
            factors = {"pipeline": f"{name}, all three", "weight_decay": decay, "dropout": dropout}
            arms.append(Arm(config, factors))
    question = "Which strength of weight decay and dropout is best for each optimizer? (Seeds that are not reported.)"
    return Study("pipelines-tuning", question, arms, TUNING_SEEDS)


def pipeline_configs() -> dict[tuple[str, str], RunConfig]:
    """The ten training pipelines of `pipelines`, without pruning: "Adam, plain", "SGD, weight decay", ..."""
    grid = {}
    for name, base in OPTIMIZERS.items():
        decay, dropout = {"Adam": 0.3, "SGD": 1e-2}[name], 0.7
        joint_decay, joint_dropout = {"Adam": (0.03, 0.3), "SGD": (1e-2, 0.3)}[name]
        grid |= {
            (name, "plain"): base,
            (name, "weight decay"): base.replace(weight_decay=decay),
            (name, "augmentation"): base.replace(augment="shift_noise"),
            (name, "dropout"): base.replace(dropout=dropout),
            (name, "all three"): base.replace(weight_decay=joint_decay, dropout=joint_dropout, augment="shift_noise"),
        }
    return grid


def pipelines() -> Study:
    """Each pipeline without pruning, with stable and with unstable pruning of the same number of filters.

    80% of the last layer, the best dose of `regularizers-tuning` (Adam, three events). First event after epoch 5, last
    after 23 in both: nineteen small events, or two large ones.
    """
    arms = []
    for (trained_with, added), config in pipeline_configs().items():
        name = f"{trained_with}, {added}"
        pruned = config.replace(intervention="prune", prune_fraction=0.8)
        ways = {
            "none": config,
            "stable": pruned.replace(schedule=PruneSchedule(5, 23, 1)),
            "unstable": pruned.replace(schedule=PruneSchedule(5, 23, 18)),
        }
        factors = {"pipeline": name, "trained_with": trained_with, "added": added}
        arms += [Arm(config, {**factors, "pruning": way}, f"{name}, {way}") for way, config in ways.items()]
    return Study("pipelines", "Does pruning still help in standard training pipelines?", arms)


def pipelines_doses() -> Study:
    """Every pipeline with smaller doses of the unstable pruning: was 80%, the best for a plain one, only too much?"""
    arms = []
    for (trained_with, added), config in pipeline_configs().items():
        name = f"{trained_with}, {added}"
        factors = {"pipeline": name, "trained_with": trained_with, "added": added}
        arms.append(Arm(config, {**factors, "dose": 0.0}, f"{name}, none"))
        for dose in (0.2, 0.4, 0.8):
            pruned = config.replace(intervention="prune", prune_fraction=dose, schedule=PruneSchedule(5, 23, 18))
            arms.append(Arm(pruned, {**factors, "dose": dose}, f"{name}, {dose:.0%}"))
    question = "Does a smaller dose of pruning help a regularized network?"
    return Study("pipelines-doses", question, arms, TEN_SEEDS)


# --- what is a jolt made of? Each explanation says beforehand what it expects -----------------------------------------

# From here on the seed also chooses the examples, so that an interval covers the split.
SPLITS = BASE.replace(data_seed=None)
HALF = SPLITS.replace(intervention="zero", target="random", draws="afresh", prune_fraction=0.5, schedule=NINE_EVENTS)
HEAD = HALF.replace(intervention="zero_inputs", layers=("head",))
RANDOM_80 = SPLITS.replace(intervention="prune", target="random", prune_fraction=0.8, schedule=THREE_EVENTS)
RATES = (2e-3, 1e-2)
# The best of `anatomy-tuning`: the learning rate, and AdamW's decay by the share of wrong labels.
TUNED_RATE = 2e-2
ADAMW_DECAY = {0.0: 3.0, 0.2: 10.0}


def anatomy_tuning() -> Study:
    arms = [
        Arm(SPLITS.replace(learning_rate=rate), {"learning_rate": rate})
        for rate in (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)
    ]
    for share in ADAMW_DECAY:
        for decay in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0):
            config = SPLITS.replace(optimizer="adamw", weight_decay=decay, label_noise=share)
            arms.append(Arm(config, {"optimizer": "AdamW", "weight_decay": decay, "label_noise": share}))
    question = "Which learning rate, and which decay of AdamW, is best without pruning? (Seeds that are not reported.)"
    return Study("anatomy-tuning", question, arms, TUNING_SEEDS)


def anatomy_configs() -> dict[str, RunConfig]:
    """The jolts of `anatomy`, by the words of the book: nine events on a random half, unless they say otherwise."""
    hit = lambda name, **changes: HALF.replace(intervention=name, **changes)  # noqa: E731
    return {
        "none": SPLITS,
        "prune 80%": RANDOM_80,
        "prune 80% at init": RANDOM_80.replace(schedule=INIT),
        "prune half": HALF.replace(intervention="prune", draws="new"),
        "zero": hit("zero"),
        "zero, norm given back": hit("zero", restore="norm"),
        "shrink": hit("scale"),
        "shrink, unseen": hit("rescale"),
        "shrink all, unseen": hit("rescale", prune_fraction=1.0),
        "grow": hit("scale", size=4.0),
        "grow, unseen": hit("rescale", size=4.0),
        "redirect": hit("redirect"),
        "noise, same norm": hit("gaussian_same_norm"),
        "zero the head's inputs": HEAD,
        "reset the moments": hit("reset_moments"),
    }


def anatomy() -> Study:
    arms = [
        Arm(config.replace(learning_rate=rate), {"what": what, "learning_rate": rate})
        for rate in RATES
        for what, config in anatomy_configs().items()
    ]
    arms.append(Arm(SPLITS.replace(learning_rate=TUNED_RATE), {"what": "none", "learning_rate": TUNED_RATE}))
    return Study(
        "anatomy",
        "What is a jolt made of: the drop, the step length, forgetting, or size?",
        arms,
        predictions={
            "noise, instability": "The gain follows the drop: nothing from a shrink that nobody sees, most from the largest.",
            "step length": "The gain follows the norm after the event: shrinking helps, seen or unseen; growing harms; a "
            "new direction of the same norm does nothing.",
            "forgetting": "A new direction helps as much as zeroing; shrinking, which forgets nothing, does nothing.",
            "size": "Pruned at initialization gains what pruned in events gains; jolts, which remove nothing, do nothing.",
            "learning rate": "With the rate tuned, no jolt helps any more.",
        },
    )


def evenly(start: int, end: int, n_events: int) -> tuple[int, ...]:
    """Epochs of `n_events` events from `start` to `end`, as even as whole epochs allow."""
    return tuple(round(start + (end - start) * i / (n_events - 1)) for i in range(n_events))


def dose_way_end() -> Study:
    """Dose, number of events and last event varied separately: random filters, first event after epoch 5."""
    arms = [Arm(SPLITS, {"way": "none"})]
    for dose in (0.2, 0.4, 0.6, 0.8, 0.9):
        config = RANDOM_80.replace(prune_fraction=dose)
        arms.append(Arm(config.replace(schedule=INIT), {"way": "at init", "dose": dose}))
        for n in (2, 19):
            events = config.replace(schedule=evenly(5, 23, n))
            arms.append(Arm(events, {"way": f"{n} events", "dose": dose, "end": 23}))
    for dose in (0.8, 0.9):
        for n in (2, 9):
            for end in (23, 31, 35, 39):
                if (n, end) != (2, 23):
                    late = RANDOM_80.replace(prune_fraction=dose, schedule=evenly(5, end, n))
                    arms.append(Arm(late, {"way": f"{n} events", "dose": dose, "end": end}))
    return Study(
        "dose-way-end",
        "What decides the gain: how much is pruned, how abruptly, or how late?",
        arms,
        predictions={
            "instability": "At every dose two events gain more than nineteen, which gain more than none at all (at init).",
            "dose": "At every dose the three ways gain the same, and the gain grows with the dose up to some dose.",
            "time left": "At one dose and one instability the gain falls with the epoch of the last event.",
        },
    )


def resets_and_decay() -> Study:
    """Partial resets help least beside a tuned decay, and again under label noise (Zaidi et al. 2022)."""
    coupled = {f"coupled {decay}": {"weight_decay": decay} for decay in (0.03, 0.1, 0.3)}
    jolts = anatomy_configs()
    arms = []
    for share, tuned in ADAMW_DECAY.items():
        decoupled = {"AdamW, tuned": {"optimizer": "adamw", "weight_decay": tuned}}
        for decay, changes in ({"no decay": {}} | coupled | decoupled).items():
            for what in ("none", "prune 80%", "redirect", "zero the head's inputs"):
                config = jolts[what].replace(label_noise=share, **changes)
                arms.append(Arm(config, {"label_noise": share, "decay": decay, "what": what}))
    return Study(
        "resets-and-decay",
        "What is left of the gain beside a tuned weight decay, and under label noise?",
        arms,
        TEN_SEEDS,
        predictions={
            "resets (Zaidi et al.)": "The gain shrinks with the strength of the decay and comes back under label noise.",
            "regularization": "Beside a tuned decay, coupled or not, the gain is gone, with wrong labels as well.",
        },
    )


def flatness_cause() -> Study:
    """SAM looks for flat minima itself: if flatness is why a jolt helps, a jolt has less left to give beside it."""
    measured = {"measures": ("sharpness",)}
    jolts = anatomy_configs()
    arms = []
    for radius in (0.0, 0.05, 0.1, 0.2):
        for what in ("none", "prune 80%", "redirect", "shrink, unseen"):
            config = jolts[what].replace(sam_radius=radius, **measured)
            arms.append(Arm(config, {"what": what, "sam_radius": radius}))
    for n in (2, 7, 19):  # three events are "prune 80%"
        config = RANDOM_80.replace(schedule=evenly(5, 23, n), **measured)
        arms.append(Arm(config, {"what": "prune 80%", "n_events": n}))
    return Study(
        "flatness-cause",
        "Is it flatness that a jolt helps by?",
        arms,
        TEN_SEEDS,
        predictions={
            "flatness as the cause": "Jolts end flatter, SAM alone gains as they do, and the gain of a jolt shrinks with "
            "SAM's radius; more unstable pruning ends flatter.",
            "flatness beside the point": "Jolts gain as much beside SAM as without it, whatever the sharpness.",
        },
    )


def dose_splits() -> Study:
    doses = sorted((*DOSES, 0.85, 0.9, 0.92))
    arms = [Arm(SPLITS, {"method": "none"})]
    for target in TARGETS:
        for dose in doses:
            config = SPLITS.replace(intervention="prune", target=target, prune_fraction=dose, schedule=THREE_EVENTS)
            arms.append(Arm(config, {"target": target, "dose": dose}))
    return Study(
        "dose-splits",
        "Does the dose-response curve hold over twenty splits of the data?",
        arms,
        predictions={
            "as recorded": "The gains of `dose`, up to the width of the intervals; the fall begins beyond 85%."
        },
    )


def tradeoff_splits() -> Study:
    arms = [Arm(arm.config.replace(data_seed=None), arm.factors) for arm in tradeoff().arms]
    return Study(
        "tradeoff-splits",
        "Does the tradeoff in the paper's protocol hold over twenty splits of the data?",
        arms,
        predictions={"as recorded": "The mean within-seed correlation of `tradeoff`, up to the width of its interval."},
    )


# --- photographs: a setting in which pruning helps them, found by trial on seed 300 -----------------------------------

PHOTOS = RunConfig(
    data="folder:cifar10-jpeg",
    data_seed=None,
    n_train=1250,
    n_test=4000,
    model="vgg11",
    width=0.25,
    recipe=Recipe("adam", 1e-3, batch_size=25, epochs=48, milestones=(32, 41)),
    evaluate_every=48,
)
PHOTOS_80 = PHOTOS.replace(
    intervention="prune", layers=("conv8",), target="random", prune_fraction=0.8, schedule=PruneSchedule(3, 15, 6)
)
PHOTOS_HALF = PHOTOS_80.replace(
    intervention="zero", draws="afresh", prune_fraction=0.5, schedule=PruneSchedule(3, 27, 3)
)
PHOTOS_HEAD = PHOTOS_HALF.replace(intervention="zero_inputs", layers=("head",))
SAM_RADII = (0.02, 0.05, 0.1, 0.2)
# The best of `photographs-tuning`.
PHOTOS_SAM, PHOTOS_DECAY = 0.05, 1e-2


def photographs_tuning() -> Study:
    arms = [Arm(PHOTOS.replace(weight_decay=decay), {"weight_decay": decay}) for decay in (3e-3, 1e-2, 3e-2)]
    arms += [Arm(PHOTOS.replace(sam_radius=radius), {"sam_radius": radius}) for radius in SAM_RADII]
    question = "CIFAR-10 (JPEG copy): which weight decay and which radius of SAM? (Seeds that are not reported.)"
    return Study("photographs-tuning", question, arms, (100, 101))


def photographs() -> Study:
    """VGG11 at a quarter of its width on 1,250 pictures; what is pruned is conv8 unless an arm says otherwise."""
    every = lambda period: paper.every(period, starts=(1,) * 4, ends=(31, 31, 31, 40))  # noqa: E731
    whole = paper.VGG
    protocol = PHOTOS.replace(intervention="prune", layers=whole.layers, prune_fraction=whole.prune_fraction)
    arms = [
        Arm(PHOTOS, {"what": "none"}),
        *(
            Arm(PHOTOS_80.replace(prune_fraction=dose), {"what": "random", "dose": dose})
            for dose in (0.2, 0.4, 0.8, 0.9)
        ),
        *(
            Arm(PHOTOS_80.replace(schedule=evenly(3, 15, n)), {"what": "random", "dose": 0.8, "n_events": n})
            for n in (2, 13)
        ),
        *(Arm(PHOTOS_80.replace(target=target), {"what": target, "dose": 0.8}) for target in ("smallest", "largest")),
        Arm(PHOTOS_80.replace(schedule=INIT), {"what": "at init", "dose": 0.8}),
        Arm(PHOTOS_HEAD, {"what": "zero the head's inputs"}),
        Arm(PHOTOS_HALF.replace(intervention="redirect"), {"what": "redirect"}),
        Arm(PHOTOS_HALF.replace(intervention="rescale"), {"what": "shrink, unseen"}),
        *(
            Arm(protocol.replace(schedule=every(period)), {"what": f"the paper's protocol, {word}"})
            for word, period in (("stable", 1), ("unstable", 6))
        ),
        Arm(PHOTOS.replace(weight_decay=PHOTOS_DECAY), {"what": "weight decay"}),
        Arm(PHOTOS.replace(sam_radius=PHOTOS_SAM), {"what": "SAM"}),
    ]
    return Study(
        "photographs",
        "CIFAR-10 (JPEG copy): does pruning help photographs, and which part of it?",
        arms,
        predictions={
            "instability": "At 80% two events gain more than thirteen, and among targets the gain follows the drop.",
            "step length": "An unseen shrink helps, a new direction of the same norm does not.",
            "forgetting": "Zeroing the head's inputs and new directions help, an unseen shrink does not.",
            "size": "Pruning at initialization gains as much as pruning in events.",
        },
    )


def photographs_boundary() -> Study:
    """One thing at a time is changed from the setting of `photographs`. A batch is a fiftieth of the pictures."""
    settings = {
        "as found": lambda config: config,
        "width 1/8": lambda config: config.replace(width=0.125),
        "width 1/2": lambda config: config.replace(width=0.5),
        "5,000 pictures": lambda config: config.replace(n_train=5000, batch_size=100),
        "16 epochs": lambda config: _stretched(config, 16),
        "120 epochs": lambda config: _stretched(config, 120),
    }
    ways = {
        "none": PHOTOS,
        "prune 80%": PHOTOS_80,
        "prune 80% at init": PHOTOS_80.replace(schedule=INIT),
        "zero the head's inputs": PHOTOS_HEAD,
    }
    arms = [
        Arm(change(config), {"setting": setting, "what": what})
        for setting, change in settings.items()
        for what, config in ways.items()
    ]
    question = "CIFAR-10 (JPEG copy): from which width, number of pictures and epochs on does pruning help?"
    return Study("photographs-boundary", question, arms, FIVE_SEEDS)


# One network for signals and for small photographs, from the same code; its head reads every position by itself, or means.
SMALL_PHOTOS = {"data": "folder:cifar10-jpeg", "image_size": 16, "n_train": 1000, "n_test": 4000}
HEADS = {
    ("signals", "flattened"): {"model": "conv1d"},
    ("signals", "pooled"): {"model": "conv1d_pooled"},
    ("photographs", "flattened"): {"model": "conv2d", **SMALL_PHOTOS},
    ("photographs", "pooled"): {"model": "conv2d_pooled", **SMALL_PHOTOS},
}


def head_by_data() -> Study:
    """Both kinds of data have 1,000 examples of ten classes, four convolutions, and the same recipe."""
    ways = ("none", "prune 80%", "prune 80% at init", "shrink, unseen", "redirect", "zero the head's inputs")
    arms = [
        Arm(anatomy_configs()[what].replace(**changes), {"data": data, "head": head, "what": what})
        for (data, head), changes in HEADS.items()
        for what in ways
    ]
    return Study(
        "head-by-data",
        "Signals or photographs, a head that reads positions or means: which decides what part of a jolt helps?",
        arms,
        TEN_SEEDS,
        predictions={
            "head": "Shrinking unseen and new directions gain where the head is flattened, on either data; where it is "
            "pooled, neither gains. Then chapter 8's network, whose head reads 128 means, differs by its head.",
            "data": "They gain on signals under either head, and on photographs under none.",
            "memory of the head": "Zeroing the head's inputs gains more where it is flattened: more weights remember.",
        },
    )


def _stretched(config: RunConfig, epochs: int) -> RunConfig:
    """The same run in other many epochs: milestones and events keep their share of it."""
    scaled = lambda moments: tuple(round(moment * epochs / config.epochs) for moment in moments)  # noqa: E731
    schedule = {"schedule": scaled(config.event_epochs)} if config.event_epochs else {}
    return config.replace(epochs=epochs, milestones=scaled(config.milestones), evaluate_every=epochs, **schedule)


WIDTHS, TRAINING_SETS = (0.125, 0.25, 0.5, 1.0), (250, 1000, 4000)


def width() -> Study:
    """Every width with every size of the training set. The batch is a tenth of the set, so all runs take as many steps."""
    arms = []
    for n in TRAINING_SETS:
        for width in WIDTHS:
            config = BASE.replace(n_train=n, width=width, batch_size=n // 10)
            pruned = config.replace(intervention="prune", prune_fraction=0.6, schedule=THREE_EVENTS)
            for way, each in {"none": config, "pruned": pruned}.items():
                arms.append(Arm(each, {"n_train": n, "width": width, "pruning": way}))
    return Study("width", "From which width and training-set size on does pruning help?", arms)


# --- after the event, tuned baselines, more data: reported on seeds that no study before them has used -----------------

FRESH_SEEDS = tuple(range(2000, 2020))
# Every epoch after which an arm of `aftermath` has an event: the undisturbed twin is measured at all of them.
EVERY_EVENT = tuple(sorted({*range(5, 24), *NINE_EVENTS.epochs}))


def aftermath_configs() -> dict[tuple[str, str], RunConfig]:
    """The arms of `aftermath` by (what, detail)."""
    hit = lambda name, **changes: HALF.replace(intervention=name, **changes)  # noqa: E731
    jolts = anatomy_configs()
    again = ("prune 80%", "zero", "shrink", "shrink, unseen", "shrink all, unseen", "redirect", "zero the head's inputs",
             "reset the moments")  # fmt: skip
    short = {
        ("shrink, steps compensated", ""): hit("rescale_compensated"),
        ("shrink, unseen", "once, early"): hit("rescale", schedule=(5,)),
        ("shrink, unseen", "once, late"): hit("rescale", schedule=(37,)),
    }
    long = {("longer steps", f"times {size:.0f}"): hit("lengthen_steps", size=size) for size in (4.0, 16.0, 64.0)}
    spike = {("learning rate times 10", "10 batches"): hit("raise_learning_rate", n_batches=10)}
    pruned = {
        (f"prune 80%, {target}", f"{n} events"): RANDOM_80.replace(target=target, schedule=evenly(5, 23, n))
        for target in TARGETS
        for n in (2, 7, 19)
    }
    twin = {("twin", ""): hit("placebo", schedule=EVERY_EVENT)}
    return twin | {(what, ""): jolts[what] for what in again} | short | long | spike | pruned


def _measured(configs: dict[tuple[str, str], RunConfig]) -> list[Arm]:
    return [
        Arm(
            config.replace(measures=("aftermath",)),
            {"what": what, "detail": detail},
            ", ".join(filter(None, (what, detail))),
        )
        for (what, detail), config in configs.items()
    ]


def aftermath() -> Study:
    """Record the training that follows an event. The delayed drop of an arm is measured against "twin", seed by seed.

    Seen before these predictions were written: two audits in plain PyTorch (seeds 0 to 2, 101, 2101) found delayed drops of
    12 to 31 points after the unseen shrink, and that longer steps gained what a shrink gains; one pilot (seed 100) of this
    code found drops of at most 8 points there, compensated shrinks at the twin's accuracy, and longer steps short of it.
    """
    return Study(
        "aftermath",
        "What does training do in the epochs after an event, and does accuracy go with that?",
        _measured(aftermath_configs()),
        FRESH_SEEDS[:10],
        curves=("events",),
        predictions={
            "undisturbed": "An unseen shrink has no delayed drop: test accuracy stays within two points of the twin's.",
            "step length": "With steps compensated the unseen shrink ends within half a point of the twin; longer steps "
            "without a shrink gain at least half of what the shrink gains.",
            "training instability": "At equal dose and equal ends, the runs whose delayed drop is larger end more accurate, "
            "within seed.",
            "catapult": "A spike of the learning rate of the whole network gains, too.",
        },
    )


def aftermath_more() -> Study:
    """More arms of `aftermath`, predicted together with it: drops of function that are undone, and filters of length 1."""
    jolts = anatomy_configs()
    again = ("prune half", "zero, norm given back", "grow", "grow, unseen", "noise, same norm")
    twin = HALF.replace(intervention="placebo", schedule=NINE_EVENTS)
    unit = {"twin": twin, **{what: jolts[what] for what in ("zero", "redirect", "zero the head's inputs")}}
    restored = {
        (f"zero {share:.0%}, restored", f"after {n} batches"): HALF.replace(
            prune_fraction=share, schedule=THREE_EVENTS, restore="values", n_batches=n
        )
        for share in (0.25, 0.5, 0.75, 1.0)
        for n in (1, 10, 90)
    }
    configs = {("twin", ""): HALF.replace(intervention="placebo", schedule=EVERY_EVENT)}
    configs |= {(what, ""): jolts[what] for what in again}
    configs |= {(what, "filters of length 1"): config.replace(unit_filters=True) for what, config in unit.items()}
    return Study(
        "aftermath-more",
        "Is a drop of function that is undone worth anything, and do jolts help filters whose length is fixed?",
        _measured(configs | restored),
        FRESH_SEEDS,
        curves=("events",),
        predictions={
            "drop of function": "Filters that come back after 1 batch leave no gain of half a point, whatever their share; "
            "after 90 batches they leave one.",
            "filter length": "With all filters kept at length 1, redirecting and zeroing still gain.",
        },
    )


def way_dose_rate_head() -> Study:
    """C2 and C7 where an expert would ask: with a tuned rate, with decoupled decay, and with a head that averages.

    Rate and decay are the best of `anatomy-tuning` (other seeds, other signals). Seen before: with the rate 2e-3 events gain
    +.2 more than pruning at initialization at 80%, with 1e-2 +1.8 (`anatomy`); the averaging head leaves pruning +.2.
    """
    training = {
        "Adam, rate 0.002": {},
        "Adam, rate 0.01": {"learning_rate": 1e-2},
        "AdamW, decay 3": {"optimizer": "adamw", "weight_decay": 3.0},
    }
    ways = {"2 events": evenly(5, 23, 2), "19 events": evenly(5, 23, 19), "at init": INIT}
    arms = []
    for head, model in (("positions", "conv1d"), ("averages", "conv1d_pooled")):
        for trained, changes in training.items():
            base = {"head": head, "training": trained}
            arms.append(Arm(SPLITS.replace(model=model, **changes), {**base, "way": "none", "dose": 0.0}))
            for way, schedule in ways.items():
                for dose in (0.4, 0.8, 0.9):
                    config = RANDOM_80.replace(model=model, prune_fraction=dose, schedule=schedule, **changes)
                    arms.append(Arm(config, {**base, "way": way, "dose": dose}))
    return Study(
        "way-dose-rate-head",
        "With tuned training and either head: does the way of pruning matter, or only how much is pruned?",
        arms,
        FRESH_SEEDS,
        predictions={
            "instability (C2)": "Two events gain more than nineteen at each dose, whatever the training and the head.",
            "size (C7 fails)": "At initialization gains what events gain, at 40 and 80%.",
            "rate": "At the rate 0.01 events gain at least a point more than pruning at initialization, at 80%.",
            "generic overfitting": "With decoupled decay, or with a head that averages, no way at no dose gains a point.",
        },
    )


def gain_by_data() -> Study:
    """Vary the number of training signals. Batches of 100 and 60 epochs throughout."""
    decay = {"optimizer": "adamw", "weight_decay": 3.0}
    ways = {
        "none": SPLITS,
        "prune 80%": RANDOM_80,
        "prune 80% at init": RANDOM_80.replace(schedule=INIT),
        "decay": SPLITS.replace(**decay),
        "decay and prune 80%": RANDOM_80.replace(**decay),
    }
    arms = [
        Arm(config.replace(n_train=n), {"n_train": n, "what": what})
        for n in (500, 1000, 2000, 4000, 8000, 16000)
        for what, config in ways.items()
    ]
    return Study(
        "gain-by-data",
        "Does the gain vanish as the training set grows?",
        arms,
        FRESH_SEEDS[:10],
        predictions={
            "overfitting": "The gain of pruning falls as the training set grows, and is below half a point from 8,000 on; so "
            "is that of decay.",
            "substitutes": "At no size does pruning add half a point to decay.",
        },
    )


def tuning_validation() -> Study:
    """`regularizers-tuning` and `pipelines-tuning` once more, with signals of their own for each seed.

    Those two chose strengths on the test signals that are reported later. Here no signal is shared with a reported run.
    """
    arms = {}  # by hash: two strengths of weight decay are in both studies
    for study in (regularizers_tuning(), pipelines_tuning()):
        for arm in study.arms:
            config = arm.config.replace(data_seed=None)
            factors = {"tuning": study.name, "choice": arm.label}
            arms.setdefault(config.hash, Arm(config, factors, f"{study.name}: {arm.label}"))
    return Study(
        "tuning-validation",
        "Which strengths are best on signals that no reported run is tested on?",
        tuple(arms.values()),
        tuple(range(200, 205)),
        predictions={
            "unbiased": "The best strength of each regularizer is the one that was chosen, or within its interval."
        },
    )


# --- the first two studies on photographs, in which pruning helped nowhere; later studies supersede them -----------------

SMALL = RunConfig(
    data="folder:cifar10-jpeg",
    n_train=5000,
    n_test=2000,
    model="vgg11",
    width=0.25,
    recipe=Recipe("adam", 1e-3, batch_size=100, epochs=16, milestones=(7, 15)),
    evaluate_every=16,
)
LAST_CONV = SMALL.replace(layers=("conv8",), schedule=PruneSchedule(1, 5, 2))  # three events


def cifar10_small() -> Study:
    """The paper's protocol and the controls of chapters 3 and 4, with the paper's epochs scaled by 16 / 325.

    The unstable runs keep the paper's number of events (period 2 instead of 40); the stable ones prune after every epoch.
    """
    every = lambda period: paper.every(period, starts=(1,) * 4, ends=(7, 7, 7, 13))  # noqa: E731
    measured = {"measures": ("curvature",)}
    config = SMALL.replace(
        layers=paper.VGG.layers, prune_fraction=paper.VGG.prune_fraction, schedule=every(2), **measured
    )
    arms = paper.figure_2(config, {"S": (1, 2), "R": (2,), "L": (2,)}, every)
    last = LAST_CONV.replace(**measured)
    for period in (1, 4):
        config = last.replace(intervention="prune", schedule=PruneSchedule(1, 5, period))
        arms.append(Arm(config, {"design": "same ends", "period": period}))
    for dose in (0.4, 0.8):
        arms.append(Arm(last.replace(intervention="prune", prune_fraction=dose), {"design": "dose", "dose": dose}))
    jolt = last.replace(intervention="zero", draws="afresh", target="random", schedule=PruneSchedule(1, 13, 2))
    for share in (0.25, 0.75):
        arms.append(Arm(jolt.replace(prune_fraction=share), {"design": "jolts", "dose": share}))
    question = "CIFAR-10 (JPEG copy), small: does the tradeoff hold on photographs?"
    return Study("cifar10-small", question, arms, FIVE_SEEDS)


def cifar10_width() -> Study:
    """Three widths and two sizes of the training set. A batch is a fiftieth of the set, so all runs take as many steps."""
    arms = []
    for n in (1250, 5000):
        for width in (1 / 16, 1 / 8, 1 / 4):
            config = LAST_CONV.replace(n_train=n, width=width, batch_size=n // 50)
            pruned = config.replace(intervention="prune", prune_fraction=0.6)
            for way, each in {"none": config, "pruned": pruned}.items():
                arms.append(Arm(each, {"n_train": n, "width": width, "pruning": way}))
    question = "CIFAR-10 (JPEG copy), small: from which width and size on does pruning help?"
    return Study("cifar10-width", question, arms, FIVE_SEEDS)


def studies() -> list[Study]:
    """All of them."""
    return [
        landing(), explorers(), tradeoff(), tradeoff_aligned(), dose(), scores(), data(), jolts(), noise(),
        regularizers_tuning(), regularizers(), flatness(), flatness_corrected(), anatomy_tuning(), anatomy(),
        dose_way_end(), resets_and_decay(), flatness_cause(), dose_splits(), tradeoff_splits(), pipelines_tuning(),
        pipelines(), pipelines_doses(), width(), photographs_tuning(), photographs(), photographs_boundary(),
        head_by_data(), cifar10_small(), cifar10_width(), aftermath(), aftermath_more(), way_dose_rate_head(), gain_by_data(),
        tuning_validation(),
    ]  # fmt: skip
