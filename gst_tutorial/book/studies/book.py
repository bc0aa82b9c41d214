"""The book's studies on signals, one function each, in the order of the chapters. `gst list` prints them.

Reported seeds are 0 to 19. Whatever had to be chosen (a strength, a learning rate) was chosen on seeds from 100 up.
"""

from __future__ import annotations

from gst_tutorial.config import RunConfig
from gst_tutorial.pruning import TARGETS
from gst_tutorial.schedules import INIT, PruneSchedule
from gst_tutorial.studies.study import Arm, Study

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


def studies() -> list[Study]:
    """All of them."""
    return [
        landing(), explorers(), tradeoff(), tradeoff_aligned(), dose(), scores(), data(), jolts(), noise(),
        regularizers_tuning(), regularizers(), flatness(), flatness_corrected(), anatomy_tuning(), anatomy(),
        dose_way_end(), resets_and_decay(), flatness_cause(), dose_splits(), tradeoff_splits(), pipelines_tuning(),
        pipelines(), pipelines_doses(), width(),
    ]  # fmt: skip
