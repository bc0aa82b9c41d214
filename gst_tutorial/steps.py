"""Additions of a `Recipe` to a plain training step: one small function or class each, which `Step` puts together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn

from gst_tutorial import _arguments as check
from gst_tutorial import seeding
from gst_tutorial.data.augment import AUGMENTATIONS
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.instability import check_logits
from gst_tutorial.masks import prunable_layers
from gst_tutorial.step_lengths import UnitFilters
from gst_tutorial.weights import add_gaussian

if TYPE_CHECKING:
    from gst_tutorial.training import Recipe

Callback = Callable[[int, int], None]  # of (epoch, step), see `train`


class Step:
    """The loss and the gradient of one batch, as a recipe wants them. `Recipe.build_step` makes it.

    Attributes:
        labels: int64 `(N,)`, the training labels, some of them wrong if the recipe says so.
        callbacks: to be called before all others, see `train`.
        generators: the random streams that a checkpoint must keep, by name.

    Raises:
        ValueError: an augmentation for another kind of data, or arithmetic that the device does not have.
    """

    def __init__(self, recipe: Recipe, model: nn.Module, dataset: Dataset, seed: int):
        device = dataset.x_train.device
        self.recipe, self.model, self.n_classes = recipe, model, dataset.n_classes
        self.labels = noisy_labels(dataset.y_train, recipe.label_noise, dataset.n_classes, seed)
        self.loss_function = recipe.build_loss()
        self.augmentation = AUGMENTATIONS[recipe.augment]
        n_dims = {"shift_noise": 3, "crop_flip": 4}.get(recipe.augment, dataset.x_train.dim())
        if n_dims != dataset.x_train.dim():
            raise ValueError(f"augment={recipe.augment!r} does not fit examples of shape {dataset.input_shape}.")
        if recipe.precision == "bf16":
            _check_bf16(device)
        self.arithmetic = torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16")
        # The compiled function shares the model's tensors, so masks and noise set by callbacks reach it.
        self.forward = _compiled(model, device) if recipe.compiled else model
        self.generators = {"augmentation": seeding.generator(seed, "augmentation", device)}
        self.callbacks: list[Callback] = [UnitFilters(model)] if recipe.unit_filters else []
        if recipe.weight_noise:
            noise = self.generators["weight noise"] = seeding.generator(seed, "weight noise")
            n_steps = recipe.steps_per_epoch(len(self.labels))
            self.callbacks.append(WeightNoise(model, recipe.weight_noise, n_steps, noise))

    def augment(self, x: torch.Tensor) -> torch.Tensor:
        """Examples `(B, C, ...)` as the network sees them in this step."""
        return self.augmentation(x, self.generators["augmentation"])

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean loss of a batch, a tensor without dimensions."""
        try:
            with self.arithmetic:
                return self.loss_function(self.forward(x), y)  # of logits (B, n_classes)
        except (RuntimeError, ValueError, TypeError, IndexError):
            check_logits(self.model, x[:2], self.n_classes)  # where the shapes do not fit, say so in a sentence
            raise

    def adjust_gradient(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Change the gradient that `loss(x, y).backward()` has left in the parameters."""
        if self.recipe.sam_radius:
            with uphill(self.model, self.recipe.sam_radius):
                self.loss(x, y).backward()
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)


def noisy_labels(y: torch.Tensor, share: float, n_classes: int, seed: int) -> torch.Tensor:
    """Return the labels `y`, int64 `(N,)`, with round(share * N) of them replaced by another class, each equally likely."""
    if not share:
        return y
    generator = seeding.generator(seed, "label noise")
    wrong = torch.randperm(len(y), generator=generator)[: round(share * len(y))]
    shift = torch.randint(1, n_classes, (len(wrong),), generator=generator)
    noisy = y.clone()
    noisy[wrong.to(y.device)] = (y.cpu()[wrong] + shift).remainder(n_classes).to(y.device)
    return noisy


@contextlib.contextmanager
def uphill(model: nn.Module, radius: float) -> Iterator[None]:
    """Move the weights by `radius` along their gradient inside the block, for sharpness-aware minimization.

    On entry the gradients are cleared, so that a backward pass inside the block leaves those of the point uphill. On exit
    the weights come back to the bit. Batch norm's running statistics belong to the weights, not to the point uphill, and
    stay as they are.

    Source: Foret et al., *Sharpness-aware minimization*, ICLR 2021.
    """
    with torch.no_grad():
        parameters = [p for p in model.parameters() if p.grad is not None]
        length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in parameters]))
        before = [p.detach().clone() for p in parameters]
        for p in parameters:
            p += p.grad * (radius / length.clamp_min(torch.finfo(p.dtype).tiny))
            p.grad = None
    momenta = [(m, m.momentum) for m in model.modules() if getattr(m, "track_running_stats", False)]
    for module, _ in momenta:
        module.momentum = 0.0  # keeps the running statistics
    try:
        yield
    finally:
        for module, momentum in momenta:
            module.momentum = momentum
        with torch.no_grad():
            for p, value in zip(parameters, before):
                p.copy_(value)


class WeightNoise:
    """A training callback: the gradient of each batch is taken at weights plus fresh Gaussian noise.

    The noise goes onto every prunable convolution before a batch and is taken off again at the next call, so that the
    optimizer's step lands on the clean weights: w + n - step - n. Put it first among the callbacks: evaluations then
    see clean weights.

    Args:
        model: a prunable network.
        size: standard deviation in units of each filter's own root mean square weight.
        steps_per_epoch: batches in an epoch. generator: of the noise, on the CPU: for networks of millions of weights
            this draw takes longer than a GPU's step.

    Raises:
        ValueError: the network has no filter masks, so there is nothing that the noise would go onto.
    """

    def __init__(self, model: nn.Module, size: float, steps_per_epoch: int, generator: torch.Generator):
        self.layers = [
            (layer, torch.arange(layer.mask.n_filters, device=layer.conv.weight.device))
            for layer in prunable_layers(model).values()
        ]
        if not self.layers:
            raise ValueError(
                "weight_noise needs a network with filter masks; call make_prunable(model, example_input) first."
            )
        self.size = check.real("size", size, 0, check.MOST)
        self.steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, low=1)
        self.generator = check.instance("generator", generator, torch.Generator)
        self._on: list[tuple[torch.Tensor, torch.Tensor]] = []

    @torch.no_grad()
    def __call__(self, epoch: int, step: int) -> None:
        for weight, noise in self._on:
            weight -= noise
        self._on = []
        if step < self.steps_per_epoch:
            for layer, filters in self.layers:
                weight, before = layer.conv.weight, layer.conv.weight.clone()
                add_gaussian(layer, filters, self.size, self.generator, "filter")
                self._on.append((weight, weight - before))


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
