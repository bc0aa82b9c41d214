"""Studies on CIFAR-10: the paper's protocols at their own scale, and two studies that a laptop can run.

The paper's networks, fractions, schedules and optimizers are those of Bartoldson et al. 2020. Their full scale is meant
for a GPU: `python -m gst_tutorial run paper-fig2-vgg11 --device cuda --precision bf16`.
"""

from __future__ import annotations

from gst_tutorial.config import RunConfig
from gst_tutorial.pruning import PruneSchedule
from gst_tutorial.studies.sweep import Study
from gst_tutorial.training import Recipe

TEN_SEEDS = tuple(range(10))
FIVE_SEEDS = tuple(range(5))
LETTERS = {"S": "smallest", "L": "largest", "R": "random"}  # Prune_S, Prune_L, Prune_R

ADAM = Recipe("adam", 1e-3, batch_size=128, epochs=325, milestones=(150, 300))
SGD = Recipe(
    "sgd", 0.1, batch_size=128, epochs=165, milestones=(83, 125), momentum=0.9, weight_decay=1e-4, augment="crop_flip"
)
VGG = RunConfig(
    data="cifar10",
    model="vgg11",
    recipe=ADAM,
    layers=("conv5", "conv6", "conv7", "conv8"),
    prune_fraction=(0.3, 0.3, 0.3, 0.9),
    schedule=PruneSchedule(3, 150, 40),
)
RESNET18 = VGG.replace(
    model="resnet18",
    layers=("layer4.0.conv1", "layer4.0.conv2", "layer4.1.conv1", "layer4.1.conv2"),
    prune_fraction=(0.25, 0.4, 0.25, 0.95),
    score="activation",
)


def _every(period: int, starts=(3, 4, 5, 6), ends=(150, 150, 150, 275)) -> tuple[PruneSchedule, ...]:
    return tuple(PruneSchedule(start, end, period) for start, end in zip(starts, ends))


def _resnet_every(period: int) -> tuple[PruneSchedule, ...]:
    return _every(period, starts=(7, 8, 9, 10), ends=(150, 150, 170, 275))


def _pruned(config: RunConfig, settings: dict[str, tuple], every=_every) -> dict[str, RunConfig]:
    """ "S, period 4" -> the config with target "smallest" and retrain period 4, from {"S": (4, 40), ...}."""
    return {
        f"{letter}, period {period}": config.replace(method="prune", target=LETTERS[letter], schedule=every(period))
        for letter, periods in settings.items()
        for period in periods
    }


def _figure_2(config: RunConfig, settings, every=_every) -> dict[str, RunConfig]:
    return {"none": config, "prune at init": config.replace(method="prune_at_init")} | _pruned(config, settings, every)


def _all_block_convs(model: str) -> tuple[str, ...]:
    stages, blocks = {"resnet18": (4, 2), "resnet20": (3, 3), "resnet56": (3, 9)}[model]
    return tuple(
        f"layer{stage}.{block}.conv{conv}"
        for stage in range(1, stages + 1)
        for block in range(blocks)
        for conv in (1, 2)
    )


def _figure_4(model: str) -> Study:
    config = RunConfig(
        data="cifar10", model=model, recipe=SGD, layers=_all_block_convs(model), prune_fraction=0.1, score="l1"
    )
    grid = {"none": config} | {
        f"S, period {period}": config.replace(method="prune", schedule=PruneSchedule(40, 100, period))
        for period in (30, 60)
    }
    return Study(f"paper-fig4-{model}", f"Figure 4: {model} with SGD, weight decay and augmentation", grid, TEN_SEEDS)


def _figure_5() -> Study:
    largest = VGG.replace(method="prune", target="largest", schedule=_every(40))
    grid = {"none": VGG, "L, period 40": largest}
    for batches in (1, 50, 1105):
        grid[f"zero, {batches} batches"] = largest.replace(method="zero", noise_batches=batches)
        grid[f"gaussian, {batches} batches"] = largest.replace(method="gaussian", noise_batches=batches)
    return Study(
        "paper-fig5", "Figure 5: zeroing and Gaussian noise on the filters that pruning would take", grid, TEN_SEEDS
    )


def _figure_d2() -> Study:
    largest = VGG.replace(method="prune", target="largest", schedule=_every(40))
    grid = {"none": VGG, "L, period 40": largest} | {
        f"zero cumulatively and restore, {batches} batches": largest.replace(
            method="zero", cumulative=True, restore=True, noise_batches=batches
        )
        for batches in (89, 630, 1220, 2480)
    }
    return Study("paper-figD2", "Figure D2: all filters chosen so far zeroed, then given back", grid, TEN_SEEDS)


def _figure_c3() -> Study:
    config = RunConfig(
        data="cifar10",
        model="resnet18",
        recipe=SGD,
        layers=_all_block_convs("resnet18"),
        prune_fraction=0.1,
        score="l1",
    )
    grid = {"none": config} | {
        f"S, fraction {fraction}": config.replace(
            method="prune", prune_fraction=fraction, schedule=PruneSchedule(24, 100, 1)
        )
        for fraction in (0.1, 0.06)
    }
    return Study("paper-figC3", "Figure C3: ResNet-18 pruned a little after every epoch", grid, TEN_SEEDS)


def _table_f1() -> Study:
    recipe = Recipe("adam", 1e-4, batch_size=128, epochs=4000, milestones=(2000,), augment="crop_flip")
    config = RunConfig(
        data="cifar100", model="resnet18", recipe=recipe, layers=("layer4.1.conv2",), prune_fraction=0.7, score="l1"
    )
    every = lambda period: PruneSchedule(2500, 3500, period)  # noqa: E731
    return Study(
        "paper-tableF1",
        "Table F1: ResNet-18 on CIFAR-100, trained for 4,000 epochs",
        _figure_2(config, {"S": (750,), "L": (750,)}, every),
        FIVE_SEEDS,
    )


# 5,000 training images, VGG11 at a quarter of its width, 16 epochs. Data: class folders of CIFAR-10 below
# `$GST_DATA/cifar10-jpeg`, recompressed as JPEG: "CIFAR-10 (JPEG copy)".
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


def _cifar10_small() -> Study:
    """The paper's protocol and the controlled designs of chapters 3 and 4, at a scale for two CPU cores.

    The paper's epochs are scaled by 16 / 325, so the unstable runs have the paper's number of events (period 2 for 40);
    the stable ones prune after every epoch.
    """
    every = lambda period: _every(period, starts=(1,) * 4, ends=(7, 7, 7, 13))  # noqa: E731
    measured = {"measures": ("curvature",)}
    config = SMALL.replace(layers=VGG.layers, prune_fraction=VGG.prune_fraction, schedule=every(2), **measured)
    grid = _figure_2(config, {"S": (1, 2), "R": (2,), "L": (2,)}, every)
    last = LAST_CONV.replace(**measured)
    for period in (1, 4):
        grid[f"same ends, period {period}"] = last.replace(method="prune", schedule=PruneSchedule(1, 5, period))
    for dose in (0.4, 0.8):
        grid[f"dose, {dose:.0%}"] = last.replace(method="prune", prune_fraction=dose)
    for share in (0.25, 0.75):
        grid[f"jolts, {share:.0%}"] = last.replace(
            method="zero", redraw=True, target="random", prune_fraction=share, schedule=PruneSchedule(1, 13, 2)
        )
    return Study(
        "cifar10-small", "CIFAR-10 (JPEG copy), small: does the tradeoff hold on photographs?", grid, FIVE_SEEDS
    )


def _cifar10_width() -> Study:
    """Every width with both sizes of the training set. The batch is a fiftieth of the set, so all take as many steps."""
    grid = {}
    for n in (1250, 5000):
        for width in (1 / 16, 1 / 8, 1 / 4):
            config = LAST_CONV.replace(n_train=n, width=width, batch_size=n // 50)
            grid[f"{n} examples, width {width}, none"] = config
            grid[f"{n} examples, width {width}, pruned"] = config.replace(method="prune", prune_fraction=0.6)
    return Study(
        "cifar10-width",
        "CIFAR-10 (JPEG copy), small: from which width and size on does pruning help?",
        grid,
        FIVE_SEEDS,
    )


def studies() -> list[Study]:
    """All studies on photographs: `cifar10-small`, then the paper's figures in their order."""
    ebn = {"score": "ebn"}
    return [
        _cifar10_small(),
        _cifar10_width(),
        Study(
            "paper-fig2-vgg11",
            "Figures 2 and 6: VGG11, stable and unstable pruning",
            _figure_2(VGG.replace(measures=("flatness",)), {"S": (4, 40), "R": (40,), "L": (40,)}),
            TEN_SEEDS,
        ),
        Study(
            "paper-fig2-resnet18",
            "Figure 2: ResNet-18, stable and unstable pruning",
            _figure_2(RESNET18, {"S": (4, 40), "L": (40,)}, _resnet_every),
            TEN_SEEDS,
        ),
        Study(
            "paper-fig3",
            "Figures 3, C1, C2: VGG11 at seven iterative rates and three targets",
            _pruned(VGG, dict.fromkeys(LETTERS, (4, 20, 40, 60, 100, 200, 300))),
            FIVE_SEEDS,
        ),
        *map(_figure_4, ("resnet18", "resnet20", "resnet56")),
        _figure_5(),
        Study(
            "paper-figB2-vgg11",
            "Figure B2: VGG11 with the E[BN] score",
            _figure_2(VGG.replace(**ebn), {"S": (4, 40), "R": (40,), "L": (40,)}),
            TEN_SEEDS,
        ),
        Study(
            "paper-figB2-resnet18",
            "Figure B2: ResNet-18 with the E[BN] score",
            _figure_2(RESNET18.replace(**ebn), {"S": (4, 40), "L": (40,)}, _resnet_every),
            TEN_SEEDS,
        ),
        Study(
            "paper-tableC1",
            "Table C1: ResNet-18 with larger fractions",
            _figure_2(
                RESNET18.replace(prune_fraction=(0.25, 0.8, 0.25, 0.95)), {"S": (4, 40), "L": (40,)}, _resnet_every
            ),
            TEN_SEEDS,
        ),
        _figure_c3(),
        _figure_d2(),
        _table_f1(),
    ]
