"""The paper's protocols at their own scale: CIFAR-10 and CIFAR-100.

Networks, fractions, schedules and optimizers are those of Bartoldson et al. 2020; where the paper is silent, those of its
code (github.com/bbartoldson/GeneralizationStabilityTradeoff, config.py). They are meant for a GPU:
`gst run paper-fig2-vgg11 --device cuda --precision bf16`.
"""

from __future__ import annotations

import dataclasses

from gst_tutorial.config import RunConfig
from gst_tutorial.schedules import INIT, PruneSchedule, Schedule
from gst_tutorial.studies.study import Arm, Study
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
    score="running_activation",
)


def every(period: int, starts=(3, 4, 5, 6), ends=(150, 150, 150, 275)) -> tuple[Schedule, ...]:
    return tuple(PruneSchedule(start, end, period) for start, end in zip(starts, ends))


def resnet_every(period: int, starts=(7, 8, 9, 10)) -> tuple[Schedule, ...]:
    return every(period, starts, ends=(150, 150, 170, 275))


def figure_6(model, dataset) -> dict[str, float]:
    """The measure of figure 6: `gst.flatness.measure_flatness` with the paper's 100 eigenvalues on 512 examples.

    The paper takes test images, after 315 of 325 epochs; here at the end, on training and on test images.
    """
    from gst_tutorial.flatness import measure_flatness  # SciPy's solvers, for this measure only

    return measure_flatness(model, dataset, n_train_examples=512, n_test_examples=512, k=100)


def _pruned(config: RunConfig, settings: dict[str, tuple], events=every) -> list[Arm]:
    """From {"S": (4, 40), ...}: arms "S, period 4" with target "smallest" and retrain period 4, and so on."""
    arms = []
    for letter, periods in settings.items():
        for period in periods:
            pruned = config.replace(intervention="prune", target=LETTERS[letter], schedule=events(period))
            factors = {"target": LETTERS[letter], "period": period}
            arms.append(Arm(pruned, factors, f"{letter}, period {period}"))
    return arms


def figure_2(config: RunConfig, settings: dict[str, tuple], events=every, **at_init) -> list[Arm]:
    """No pruning, pruning at initialization (with the changes `at_init`), and the arms of `settings`."""
    if config.score == "running_activation":
        at_init = {"score": "l2", **at_init}  # nothing is active yet
    scratch = config.replace(intervention="prune", schedule=INIT, **at_init)
    return [
        Arm(config, {"method": "none"}),
        Arm(scratch, {"method": "prune at init"}),
        *_pruned(config, settings, events),
    ]


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
    arms = [Arm(config, {"method": "none"}), *_pruned(config, {"S": (30, 60)}, lambda p: PruneSchedule(40, 100, p))]
    return Study(f"paper-fig4-{model}", f"Figure 4: {model} with SGD, weight decay and augmentation", arms, TEN_SEEDS)


def _beside_noise() -> list[Arm]:
    """No pruning, and Prune_L as it is where noise runs: only the convolution's output is masked, not batch norm's."""
    none, pruned = Arm(VGG, {"method": "none"}), _pruned(VGG, {"L": (40,)})[0]
    return [none, dataclasses.replace(pruned, config=pruned.config.replace(mask="conv"))]


def _figure_5() -> Study:
    arms = _beside_noise()
    for batches in (1, 50, 1105):
        for name in ("zero", "gaussian"):
            config = arms[1].config.replace(intervention=name, mask="norm", n_batches=batches)
            arms.append(Arm(config, {"method": name, "batches": batches}))
    return Study(
        "paper-fig5", "Figure 5: zeroing and Gaussian noise on the filters that pruning would take", arms, TEN_SEEDS
    )


def _figure_d2() -> Study:
    arms = _beside_noise()
    for batches in (89, 630, 1220, 2480):
        config = arms[1].config.replace(
            intervention="silence", mask="norm", draws="so far", restore="values", n_batches=batches
        )
        arms.append(Arm(config, {"way": "silence cumulatively and restore", "batches": batches}))
    return Study("paper-figD2", "Figure D2: all filters chosen so far silenced, then given back", arms, TEN_SEEDS)


def _figure_c3() -> Study:
    config = RunConfig(
        data="cifar10",
        model="resnet18",
        recipe=SGD,
        layers=_all_block_convs("resnet18"),
        prune_fraction=0.1,
        score="l1",
    )
    arms = [Arm(config, {"method": "none"})]
    for fraction in (0.1, 0.06):
        pruned = config.replace(intervention="prune", prune_fraction=fraction, schedule=PruneSchedule(24, 100, 1))
        arms.append(Arm(pruned, {"dose": fraction}, f"S, fraction {fraction}"))
    return Study("paper-figC3", "Figure C3: ResNet-18 pruned a little after every epoch", arms, TEN_SEEDS)


def _table_f1() -> Study:
    recipe = Recipe("adam", 1e-4, batch_size=128, epochs=4000, milestones=(2000,), augment="crop_flip")
    config = RunConfig(
        data="cifar100", model="resnet18", recipe=recipe, layers=("layer4.1.conv2",), prune_fraction=0.7, score="l1"
    )
    arms = figure_2(
        config,
        {"S": (750,), "L": (750,)},
        lambda period: PruneSchedule(2500, 3500, period),
        score="l2",
        target="largest",
    )
    return Study("paper-tableF1", "Table F1: ResNet-18 on CIFAR-100, trained for 4,000 epochs", arms, TEN_SEEDS)


def studies() -> list[Study]:
    """All of them, in the order of the paper's figures."""
    return [
        Study(
            "paper-fig2-vgg11",
            "Figures 2 and 6: VGG11, stable and unstable pruning",
            figure_2(VGG.replace(measures=(figure_6,)), {"S": (4, 40), "R": (40,), "L": (40,)}),
            TEN_SEEDS,
        ),
        Study(
            "paper-fig2-resnet18",
            "Figure 2: ResNet-18, stable and unstable pruning",
            figure_2(RESNET18, {"S": (4, 40), "L": (40,)}, resnet_every),
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
            figure_2(VGG.replace(score="ebn"), {"S": (4, 40), "R": (40,), "L": (40,)}),
            TEN_SEEDS,
        ),
        Study(
            "paper-figB2-resnet18",
            "Figure B2: ResNet-18 with the E[BN] score",
            figure_2(
                RESNET18.replace(score="ebn_signed"),
                {"S": (4, 40), "L": (40,)},
                lambda period: resnet_every(period, starts=(3, 4, 5, 6)),
            ),
            TEN_SEEDS,
        ),
        Study(
            "paper-tableC1",
            "Table C1: ResNet-18 with larger fractions",
            figure_2(
                RESNET18.replace(prune_fraction=(0.25, 0.8, 0.25, 0.95)), {"S": (4, 40), "L": (40,)}, resnet_every
            ),
            TEN_SEEDS,
        ),
        _figure_c3(),
        _figure_d2(),
        _table_f1(),
    ]
