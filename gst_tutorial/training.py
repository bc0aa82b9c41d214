"""Training: `Recipe`, and `train`, a plain loop to read from top to bottom. Everything else is a callback."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from gst_tutorial import _arguments as check
from gst_tutorial import references, seeding
from gst_tutorial._fields import Count, Epochs, Fraction, Index, Named, NonNegative, Positive, config_class, named
from gst_tutorial._lazy import F, nn, steps, torch
from gst_tutorial._lazy import checkpoint as checkpoints
from gst_tutorial.data.dataset import Dataset

MILESTONES = (40, 52)  # of 60 epochs; of others, the same fractions
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}  # and their names in torch.optim


class Diverged(RuntimeError):
    """The training loss is no longer a finite number."""


def usual_milestones(epochs: int) -> tuple[int, ...]:
    """The default milestones of a run of so many epochs.

    >>> usual_milestones(60), usual_milestones(10)
    ((40, 52), (7, 9))
    """
    return tuple(dict.fromkeys(max(1, round(epochs * milestone / 60)) for milestone in MILESTONES))


@config_class
class Recipe:
    """Settings of a training run: optimizer, learning-rate schedule and regularization of the loss.

    Attributes:
        optimizer: a key of `OPTIMIZERS`, or your own function of the parameters, "torch.optim:RMSprop", which may take any
            of `lr`, `weight_decay`, `momentum`.
        learning_rate: of the first epoch after `warmup_epochs`.
        batch_size: examples per step. epochs: passes over the training set.
        milestones, gamma: with `annealing="steps"`, the learning rate is multiplied by `gamma` once that many epochs are
            trained. Default: (40, 52) for 60 epochs, and at the same fractions of another number.
        weight_decay: as in `torch.optim`. For "adam" and "sgd" it is an L2 penalty, *coupled*: Adam divides its gradient,
            too, by the gradient's size. For "adamw" it is *decoupled* (Loshchilov & Hutter 2019): every step shrinks the
            weights by the factor 1 - learning rate * weight_decay.
        momentum: for "sgd", or your own optimizer if it takes one; "adam" and "adamw" have none, so it is then ignored.
        label_smoothing: as in `torch.nn.functional.cross_entropy`.
        augment: "shift_noise" is for signals, "crop_flip" for images.
        label_noise: fraction of the training examples that get a wrong label, drawn at random once. Accuracy on the training
            set is measured with the right labels.
        sam_radius: rho of sharpness-aware minimization (Foret et al., ICLR 2021): each step uses the gradient at the
            weights plus rho times the normalized gradient, at twice the cost. 0: off.
        weight_noise: see `gst.interventions.WeightNoise`. 0: off. Needs a prunable network.
        precision: "bf16" computes forward and backward pass in bfloat16 where torch considers it safe; weights and
            evaluation stay in float32. For GPUs of compute capability 8 or newer (older ones raise an error); it also pays
            for image networks on processors with such arithmetic, see benchmarks/training.py.
        compiled: translate forward and backward pass by `torch.compile` before the first step, on a GPU into CUDA graphs:
            there, a small network spends most of a step on launching its many small operations. It computes the same
            function, rounded and (with dropout) drawn differently. Needs a C++ compiler, torch 2.5, a network that can be
            translated as a whole, and seconds to minutes for each shape of network and batch.
        annealing: "cosine": after t of T epochs the learning rate is multiplied by (1 + cos(pi t / T)) / 2 (Loshchilov &
            Hutter, ICLR 2017), counted from the end of the warm-up; `milestones` and `gamma` then have no effect.
        warmup_epochs: w: epoch i of the first w uses (i + 1) / (w + 1) of the learning rate.
        clip_norm: longest gradient of a batch, over all parameters; longer ones are shortened to it. 0: off.
        unit_filters: keep every prunable filter at length 1, see `gst_tutorial.step_lengths.UnitFilters`.
        loss: "cross_entropy", or your own function of logits `(B, n_classes)` and labels `(B,)`.

    Raises:
        ValueError, TypeError: a field out of its range, or two that contradict each other; names the field.
    """

    optimizer: Annotated[Named, named(lambda: OPTIMIZERS)] = "adam"
    learning_rate: Positive = 2e-3
    batch_size: Count = 100
    epochs: Count = 60
    milestones: Epochs = None  # type: ignore[assignment]  (found from the epochs)
    gamma: Annotated[Positive, Field(le=1)] = 0.1
    weight_decay: NonNegative = 0.0
    momentum: Fraction = 0.9
    label_smoothing: Fraction = 0.0
    augment: Literal["none", "shift_noise", "crop_flip"] = "none"
    label_noise: Fraction = 0.0
    sam_radius: NonNegative = 0.0
    weight_noise: NonNegative = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    compiled: bool = False
    annealing: Literal["steps", "cosine"] = "steps"
    warmup_epochs: Index = 0
    clip_norm: NonNegative = 0.0
    loss: Annotated[Named, named(lambda: ("cross_entropy",))] = "cross_entropy"
    unit_filters: bool = False

    def __post_init__(self):
        if self.milestones is None:
            object.__setattr__(self, "milestones", usual_milestones(self.epochs))
        # What has no effect is put to its default: one meaning, one hash.
        unused = {"milestones": MILESTONES, "gamma": 0.1} if self.annealing == "cosine" else {}
        unused |= {"momentum": 0.9} if self.optimizer in ("adam", "adamw") else {}
        for name, default in unused.items():
            object.__setattr__(self, name, default)
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs={self.warmup_epochs} leaves nothing of epochs={self.epochs}.")
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(f"label_smoothing={self.label_smoothing} needs loss='cross_entropy', not {self.loss!r}.")

    def steps_per_epoch(self, n_train: int) -> int:
        """Number of batches in one pass over `n_train` examples."""
        return math.ceil(n_train / self.batch_size)

    def build_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over all parameters of `model`."""
        common = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimizer == "sgd":
            return torch.optim.SGD(model.parameters(), momentum=self.momentum, **common)
        if self.optimizer in OPTIMIZERS:
            return getattr(torch.optim, OPTIMIZERS[self.optimizer])(model.parameters(), fused=True, **common)
        what, function = f"optimizer={self.optimizer!r}", references.function_of("optimizer", self.optimizer)
        needed = ["lr", "weight_decay"] if self.weight_decay else ["lr"]
        offered = {**common, "momentum": self.momentum}
        optimizer = function(model.parameters(), **references.accepted(what, function, offered, needed))
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"{what} returned a {type(optimizer).__name__}, not a torch optimizer.")
        return optimizer

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
            return references.function_of("loss", self.loss)
        return functools.partial(F.cross_entropy, label_smoothing=self.label_smoothing)

    def build_step(self, model: nn.Module, dataset: Dataset, seed: int) -> steps.Step:
        """Loss and gradient of a batch, with everything that this recipe adds to them."""
        return steps.Step(self, model, dataset, seed)


def train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe = Recipe(),
    seed: int = 0,
    callbacks: Iterable[steps.Callback] = (),
    optimizer: torch.optim.Optimizer | None = None,
    checkpoint: checkpoints.Checkpoint | None = None,
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
    callbacks = _checked(model, dataset, recipe, callbacks)
    optimizer = recipe.build_optimizer(model) if optimizer is None else optimizer
    check.instance("optimizer", optimizer, torch.optim.Optimizer)
    if not {id(p) for group in optimizer.param_groups for p in group["params"]} & set(map(id, model.parameters())):
        raise ValueError("optimizer has none of the model's parameters: it was made for another network, or a copy.")
    scheduler = recipe.build_scheduler(optimizer)
    step = recipe.build_step(model, dataset, seed)
    x_train, y_train = dataset.x_train, step.labels  # (N, C, ...), (N,)
    n_steps = recipe.steps_per_epoch(len(y_train))
    order = seeding.generator(seed, "batches")
    callbacks = [*step.callbacks, *callbacks, at_end_of_epoch(n_steps, scheduler.step)]
    losses: list[float] = []
    with seeding.global_torch_stream(seed, "dropout"):
        if checkpoint is not None:
            parts = {"optimizer": optimizer, "scheduler": scheduler, "batches": order, **step.generators}
            checkpoint.follow(model=model, losses=losses, **parts)
            checkpoint.load()
            callbacks.append(at_end_of_epoch(n_steps, checkpoint.epoch_ended))
        for epoch in range(len(losses), recipe.epochs):
            model.train()
            total = torch.zeros((), device=x_train.device)
            batches = torch.randperm(len(y_train), generator=order).to(x_train.device).split(recipe.batch_size)
            for i, batch in enumerate(batches):
                for callback in callbacks:
                    callback(epoch, i)
                x, y = step.augment(x_train[batch]), y_train[batch]
                loss = step.loss(x, y)
                optimizer.zero_grad()
                loss.backward()
                total += loss.detach() * len(batch)  # before another forward pass: CUDA graphs reuse its memory
                step.adjust_gradient(x, y)
                optimizer.step()
            losses.append(total.item() / len(y_train))
            if not math.isfinite(losses[-1]):
                raise Diverged(f"Training loss is {losses[-1]} in epoch {epoch} with {recipe}.")
            for callback in callbacks:
                callback(epoch, n_steps)
    optimizer.zero_grad()  # CUDA graphs own the memory of the gradients, and the next run's overwrite it
    return losses


def at_end_of_epoch(n_steps: int, act: Callable[[], Any]) -> steps.Callback:
    """A callback that calls `act()` after the last of an epoch's `n_steps` batches."""

    def callback(epoch: int, step: int) -> None:
        if step == n_steps:
            act()

    return callback


def _checked(
    model: nn.Module, dataset: Dataset, recipe: Recipe, callbacks: Iterable[steps.Callback]
) -> list[steps.Callback]:
    """The callbacks as a list, once all arguments of `train` are seen to be what they should be."""
    check.model("model", model)
    check.instance("dataset", dataset, Dataset)
    check.instance("recipe", recipe, Recipe)
    if next(model.parameters(), None) is None:
        raise ValueError("model has no weights to train.")
    if isinstance(callbacks, torch.Tensor):  # iterable by name only
        raise TypeError(f"callbacks={check.shown(callbacks)} must be functions.")
    return [check.function("callbacks", each) for each in check.instance("callbacks", callbacks, Iterable)]
