"""The book's studies on photographs (chapter 8 and appendix A.8), one function each."""

from __future__ import annotations

from gst_tutorial.book.studies import paper
from gst_tutorial.book.studies.book import FIVE_SEEDS, TEN_SEEDS, anatomy_configs, evenly
from gst_tutorial.config import RunConfig
from gst_tutorial.schedules import INIT, PruneSchedule
from gst_tutorial.studies.study import Arm, Study
from gst_tutorial.training import Recipe

# A setting in which pruning helps, found by trial on seed 300.
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
        photographs_tuning(), photographs(), photographs_boundary(), head_by_data(), cifar10_small(), cifar10_width(),
    ]  # fmt: skip
