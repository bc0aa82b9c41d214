"""One plain training loop. Read `train` from top to bottom; everything else is a callback."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn import functional as F

from gst_tutorial import _arguments as check
from gst_tutorial import references, seeding
from gst_tutorial.checkpoint import Checkpoint
from gst_tutorial.data.augment import AUGMENTATIONS
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.instability import check_logits
from gst_tutorial.interventions import WeightNoise
from gst_tutorial.steps import UnitFilters

Callback = Callable[[int, int], None]


class Diverged(RuntimeError):
    """The training loss is no longer a finite number."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained: optimizer, learning-rate schedule and what regularizes the loss.

    Attributes:
        optimizer: "adam", "adamw", "sgd" (with `momentum`), or your own function of the parameters that takes what it likes
            of `lr`, `weight_decay`, `momentum`: "torch.optim:RMSprop".
        learning_rate: of the first epoch after `warmup_epochs`, see `annealing`.
        annealing: "steps": multiplied by `gamma` after each epoch in `milestones` (number of epochs trained by then);
            "cosine": after t of T epochs, half of 1 + cos(pi t / T) of it (Loshchilov & Hutter, ICLR 2017), both counted
            from the end of the warm-up; `milestones` and `gamma` then have no meaning.
        warmup_epochs: w: epoch i of the first w is trained at (i + 1) / (w + 1) of the learning rate.
        clip_norm: the largest length of a batch's gradient over all parameters; longer ones are shortened to it. 0: none.
        loss: "cross_entropy", or your own function of logits `(B, n_classes)` and labels `(B,)`.
        batch_size: examples per step. epochs: passes over the training set.
        weight_decay: as in `torch.optim`: of "adam" and "sgd" an L2 penalty, *coupled*: Adam divides its gradient, too, by
            the gradient's size; of "adamw" *decoupled* (Loshchilov & Hutter 2019): weights shrink by the factor
            1 - learning rate * weight_decay at every step.
        momentum: of SGD; Adam ignores it.
        label_smoothing: as in `torch.nn.functional.cross_entropy`.
        augment: "none", "shift_noise" (signals) or "crop_flip" (images).
        label_noise: share of the training examples whose label is another class, drawn at random once. Accuracy on the
            training set is measured with the right labels.
        sam_radius: rho of sharpness-aware minimization (Foret et al., ICLR 2021): each step takes the gradient at the
            weights plus rho times the normalized gradient, at twice the cost; 0 for none.
        weight_noise: see `gst.interventions.WeightNoise`; 0 for none. Needs a prunable network.
        precision: "float32", or "bf16": forward and backward pass in bfloat16 where torch deems it safe, weights and
            evaluation in float32. For GPUs of compute capability 8 or newer (older ones refuse); it also pays for
            networks for images on processors with such arithmetic, see benchmarks/training.py.
        unit_filters: keep every prunable filter at length 1, see `gst_tutorial.steps.UnitFilters`.
        compiled: translate the network's forward and backward pass by `torch.compile` before the first step, on a GPU
            into CUDA graphs: for small networks there, most of a step is the launching of its many small operations.
            Same function, rounded and (with dropout) drawn differently. On the processor of the benchmarks it does not
            pay. Needs a C++ compiler, torch 2.5, a network that can be translated whole, and some time (seconds to minutes)
            for each shape of network and batch.

    Raises:
        ValueError, TypeError: a field out of its range, or two that contradict each other; names the field.
    """

    optimizer: str = "adam"
    learning_rate: float = 2e-3
    batch_size: int = 100
    epochs: int = 60
    milestones: tuple[int, ...] = (40, 52)
    gamma: float = 0.1
    weight_decay: float = 0.0
    momentum: float = 0.9
    label_smoothing: float = 0.0
    augment: str = "none"
    label_noise: float = 0.0
    sam_radius: float = 0.0
    weight_noise: float = 0.0
    precision: str = "float32"
    compiled: bool = False
    annealing: str = "steps"
    warmup_epochs: int = 0
    clip_norm: float = 0.0
    loss: str = "cross_entropy"
    unit_filters: bool = False

    def __post_init__(self):
        for name, known in (("optimizer", ("adam", "adamw", "sgd")), ("loss", ("cross_entropy",))):
            object.__setattr__(self, name, references.known_or_reference(name, getattr(self, name), known))
        check.real("learning_rate", self.learning_rate, 0, open_low=True)
        check.integer("batch_size", self.batch_size, low=1)
        check.integer("epochs", self.epochs, low=1)
        if not isinstance(self.milestones, (tuple, list)):
            raise TypeError(f"milestones={check.shown(self.milestones)} must be a tuple of epochs, such as (40, 52).")
        object.__setattr__(self, "milestones", tuple(check.integer("milestones", m, low=1) for m in self.milestones))
        check.real("gamma", self.gamma, 0, 1, open_low=True)
        check.real("weight_decay", self.weight_decay, 0)
        check.real("sam_radius", self.sam_radius, 0)
        for share in ("momentum", "label_smoothing", "label_noise"):
            check.real(share, getattr(self, share), 0, 1, open_high=True)
        check.one_of("augment", self.augment, AUGMENTATIONS)
        check.real("weight_noise", self.weight_noise, 0)
        check.one_of("precision", self.precision, ("float32", "bf16"))
        check.flag("compiled", self.compiled)
        check.flag("unit_filters", self.unit_filters)
        check.one_of("annealing", self.annealing, ("steps", "cosine"))
        if self.annealing == "cosine":  # one meaning, one hash
            defaults = {field.name: field.default for field in dataclasses.fields(self)}
            for unused in ("milestones", "gamma"):
                object.__setattr__(self, unused, defaults[unused])
        check.integer("warmup_epochs", self.warmup_epochs, low=0)
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs={check.shown(self.warmup_epochs)} leaves nothing of epochs={self.epochs}.")
        check.real("clip_norm", self.clip_norm, 0)
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(
                f"label_smoothing={self.label_smoothing} is of the cross entropy, not of loss={self.loss!r}."
            )
        check.plain_numbers(self)

    def steps_per_epoch(self, n_train: int) -> int:
        """Number of batches in one pass over `n_train` examples."""
        return math.ceil(n_train / self.batch_size)

    def build_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over all parameters of `model`."""
        common = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if references.is_reference(self.optimizer):
            function, needed = (
                references.find("optimizer", self.optimizer),
                ["lr"] + ["weight_decay"] * bool(self.weight_decay),
            )
            offered = {**common, "momentum": self.momentum}
            what = f"optimizer={self.optimizer!r}"
            optimizer = function(model.parameters(), **references.accepted(what, function, offered, needed))
            if not isinstance(optimizer, torch.optim.Optimizer):
                raise TypeError(f"{what} gave a {type(optimizer).__name__}, not a torch optimizer.")
            return optimizer
        if self.optimizer != "sgd":
            kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.optimizer]
            return kind(model.parameters(), fused=True, **common)
        return torch.optim.SGD(model.parameters(), momentum=self.momentum, **common)

    def build_scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """The schedule of the learning rate; its `step` is called after every epoch."""
        schedulers, w = torch.optim.lr_scheduler, self.warmup_epochs
        if self.annealing == "cosine":
            after = schedulers.CosineAnnealingLR(optimizer, self.epochs - w)
        else:
            after = schedulers.MultiStepLR(optimizer, [m - w for m in self.milestones if m > w], self.gamma)
        if not w:
            return after
        return schedulers.SequentialLR(optimizer, [schedulers.LinearLR(optimizer, 1 / (w + 1), 1, w), after], [w])

    def build_loss(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """The loss of logits `(B, n_classes)` and labels `(B,)`."""
        if references.is_reference(self.loss):
            return references.find("loss", self.loss)
        return functools.partial(F.cross_entropy, label_smoothing=self.label_smoothing)


def train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe = Recipe(),
    seed: int = 0,
    callbacks: Iterable[Callback] = (),
    optimizer: torch.optim.Optimizer | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[float]:
    """Train `model` in place.

    Args:
        model: from `(B, *input_shape)` to logits `(B, n_classes)`.
        dataset: see `gst.load`; on the model's device. Nothing in an epoch waits for that device.
        recipe: optimizer, schedule and what regularizes the loss. (Dropout is a layer of the network.)
        seed: of batch order, augmentation, label noise and dropout, each a stream of its own.
        callbacks: functions `(epoch, step) -> None`, called before every batch with `step` = batches trained so far in
            this epoch, and once more when the epoch's last batch is trained (`step == recipe.steps_per_epoch(n)`),
            before the learning rate changes. Pruning events happen in that last call.
        optimizer: of the model's parameters, for callbacks that must know it; None builds the recipe's.
        checkpoint: a `gst_tutorial.checkpoint.Checkpoint`: training goes on from where it stands, and moves it on.

    Returns:
        Mean training loss of each epoch.

    Raises:
        Diverged: the loss of an epoch is not finite.
        ValueError: a network that does not take these examples, `augment` for another kind of data, or
            `precision="bf16"` on a GPU that has no such arithmetic.
    """
    check.network("model", model)
    check.instance("dataset", dataset, Dataset)
    check.instance("recipe", recipe, Recipe)
    if isinstance(callbacks, torch.Tensor):  # iterable by name only
        raise TypeError(f"callbacks={check.shown(callbacks)} must be functions.")
    callbacks = [check.function("callbacks", each) for each in check.instance("callbacks", callbacks, Iterable)]
    if next(model.parameters(), None) is None:
        raise ValueError("model has no weights to train.")
    optimizer = recipe.build_optimizer(model) if optimizer is None else optimizer
    check.instance("optimizer", optimizer, torch.optim.Optimizer)
    scheduler = recipe.build_scheduler(optimizer)
    if recipe.unit_filters:
        UnitFilters(model, optimizer)
    criterion = recipe.build_loss()
    order = seeding.generator(seed, "batches")
    x_train = dataset.x_train  # (N, C, ...)
    y_train = noisy_labels(dataset.y_train, recipe.label_noise, dataset.n_classes, seed)  # (N,)
    augment = AUGMENTATIONS[recipe.augment]
    if {"shift_noise": 3, "crop_flip": 4}.get(recipe.augment, x_train.dim()) != x_train.dim():
        raise ValueError(f"augment={recipe.augment!r} does not fit examples of shape {dataset.input_shape}.")
    augmentation = seeding.generator(seed, "augmentation", x_train.device)
    reduced = torch.autocast(x_train.device.type, torch.bfloat16, enabled=recipe.precision == "bf16")
    if recipe.precision == "bf16":
        _check_bf16(x_train.device)
    # The compiled function shares the model's tensors, so masks and noise set by callbacks reach it.
    forward = _compiled(model, x_train.device) if recipe.compiled else model

    def loss_at(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with reduced:
            return criterion(forward(x), y)  # of logits (B, n_classes)

    if recipe.weight_noise:  # first, so that all others see clean weights
        noise = seeding.generator(seed, "weight noise")
        n_steps = recipe.steps_per_epoch(len(y_train))
        callbacks.insert(0, WeightNoise(model, recipe.weight_noise, n_steps, noise))
    losses: list[float] = []
    with seeding.global_torch_stream(seed, "dropout"):
        if checkpoint is not None:
            streams = {
                "batches": order,
                "augmentation": augmentation,
                **({"weight noise": noise} if recipe.weight_noise else {}),
            }
            checkpoint.follow(model=model, optimizer=optimizer, scheduler=scheduler, losses=losses, **streams)
            checkpoint.load()
        for epoch in range(len(losses), recipe.epochs):
            model.train()
            total = torch.zeros((), device=x_train.device)
            batches = torch.randperm(len(y_train), generator=order).to(x_train.device).split(recipe.batch_size)
            for step, batch in enumerate(batches):
                for callback in callbacks:
                    callback(epoch, step)
                x, y = augment(x_train[batch], augmentation), y_train[batch]
                try:
                    loss = loss_at(x, y)
                except (RuntimeError, ValueError, TypeError, IndexError):
                    check_logits(model, x[:2], dataset.n_classes)  # if these do not fit: a sentence about that instead
                    raise
                optimizer.zero_grad()
                loss.backward()
                total += loss.detach() * len(batch)  # before another forward pass: CUDA graphs reuse its memory
                if recipe.sam_radius:
                    _gradient_above(model, recipe.sam_radius, lambda x=x, y=y: loss_at(x, y))
                if recipe.clip_norm:
                    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                optimizer.step()
            losses.append(total.item() / len(y_train))
            if not math.isfinite(losses[-1]):
                raise Diverged(f"Training loss is {losses[-1]} in epoch {epoch} with {recipe}.")
            for callback in callbacks:
                callback(epoch, len(batches))
            scheduler.step()
            if checkpoint is not None:
                checkpoint.epoch_ended()
    if recipe.compiled:
        optimizer.zero_grad()  # CUDA graphs own the memory of the gradients, and the next run's overwrite it
    return losses


def noisy_labels(y: torch.Tensor, share: float, n_classes: int, seed: int) -> torch.Tensor:
    """A copy of the labels `y`, int64 `(N,)`, of which round(share * N) are another class, each equally likely."""
    if not share:
        return y
    generator = seeding.generator(seed, "label noise")
    wrong = torch.randperm(len(y), generator=generator)[: round(share * len(y))]
    shift = torch.randint(1, n_classes, (len(wrong),), generator=generator)
    noisy = y.clone()
    noisy[wrong.to(y.device)] = (y.cpu()[wrong] + shift).remainder(n_classes).to(y.device)
    return noisy


def _gradient_above(model: nn.Module, radius: float, loss: Callable[[], torch.Tensor]) -> None:
    """Replace the gradient by the one at weights + radius * gradient / |gradient|; the weights come back to the bit.

    Batch norm's running statistics belong to the weights, not to the point above them, and are left alone.
    """
    with torch.no_grad():
        parameters = [p for p in model.parameters() if p.grad is not None]
        length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in parameters]))
        at = [p.detach().clone() for p in parameters]
        for p in parameters:
            p += p.grad * (radius / length.clamp_min(torch.finfo(p.dtype).tiny))
            p.grad = None
    statistics = [m for m in model.modules() if getattr(m, "track_running_stats", False)]
    kept = [(m, m.momentum) for m in statistics]
    for m in statistics:
        m.momentum = 0.0
    try:
        loss().backward()
    finally:
        for m, momentum in kept:
            m.momentum = momentum
        with torch.no_grad():
            for p, value in zip(parameters, at):
                p.copy_(value)


def _compiled(model: nn.Module, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch._dynamo

    # Past its limit (8 shapes of network and batch in a process) torch would go on uncompiled and say nothing;
    # with fullgraph it says so, and a study has more shapes than 8.
    torch._dynamo.config.cache_size_limit = max(256, torch._dynamo.config.cache_size_limit)
    mode = "reduce-overhead" if device.type == "cuda" else None
    return torch.compile(model, dynamic=False, fullgraph=True, mode=mode)


def _check_bf16(device: torch.device) -> None:
    # Older GPUs emulate bfloat16, slower than float32, and torch.compile fails there.
    if device.type == "cuda" and not torch.version.hip and torch.cuda.get_device_capability(device) < (8, 0):
        name = torch.cuda.get_device_name(device)
        raise ValueError(f"precision='bf16' needs a GPU of compute capability 8.0 or newer; {name} is older.")
