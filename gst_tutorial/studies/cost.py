"""Cost of a study, estimated before it runs by timing a few training steps."""

from __future__ import annotations

import dataclasses
import math
import time

import torch

from gst_tutorial import _arguments as check
from gst_tutorial.config import RunConfig
from gst_tutorial.data import dataset as data
from gst_tutorial.experiment import build_model, cpu_threads
from gst_tutorial.instability import correct
from gst_tutorial.studies.study import Study
from gst_tutorial.training import train


def study_cost(study: Study, n_steps: int = 3) -> dict[str, float | int | str]:
    """Estimate how long a study takes on this machine, one thread per run (or on the GPU that its configs name).

    Timed on random examples of the right shape, once for each network and batch size in the study: `n_steps` training
    steps (on a GPU at least 20) after some to warm up and to compile, and the evaluation of at least 256 examples.
    Measures of flatness are not counted.

    Raises:
        ValueError: a device that this machine does not have.

    Returns:
        study; runs; steps (of training, all runs together); step_seconds (their mean); hours (of one core, or of the
        GPU, all runs together).
    """
    measured: dict[tuple, tuple[float, float]] = {}
    steps = step_seconds = evaluation_seconds = 0
    for config in (arm.config for arm in study.arms):
        entry = data.entry(config.data, config.image_size)  # nothing is generated or downloaded to estimate a cost
        shape, recipe = entry.shape, config.recipe
        speed = (config.device, recipe.precision, recipe.compiled)
        key = (shape, config.model, config.width, recipe.batch_size, *speed)
        if key not in measured:
            measured[key] = _measure(config, shape, entry.n_classes, n_steps)
        config_steps = recipe.epochs * recipe.steps_per_epoch(config.n_train or entry.n_train)
        steps += config_steps
        step_seconds += config_steps * measured[key][0]
        evaluation_seconds += _n_evaluations(config) * (config.n_test or entry.n_test) * measured[key][1]
    return {
        "study": study.name,
        "runs": len(study),
        "steps": steps * len(study.seeds),
        "step_seconds": step_seconds / steps,
        "hours": (step_seconds + evaluation_seconds) * len(study.seeds) / 3600,
    }


def _n_evaluations(config: RunConfig) -> int:
    """Count passes over the test set: two at each event, one at every other epoch that is evaluated."""
    events = set(config.event_epochs)
    epochs = {e for e in range(config.recipe.epochs) if (e + 1) % config.evaluate_every == 0}
    return 2 * len(events) + len((epochs | {config.recipe.epochs - 1}) - events)


def _measure(config: RunConfig, shape, n_classes: int, n_steps: int) -> tuple[float, float]:
    """Return the seconds of one training step and of the evaluation of one example."""
    check.device_here("device", config.device)
    generator = torch.Generator().manual_seed(0)
    n = config.recipe.batch_size
    x, y = torch.randn((max(n, 256), *shape), generator=generator), torch.arange(max(n, 256)) % n_classes
    dataset = data.Dataset(config.data, x[:n], y[:n], x, y, n_classes).to(config.device)
    model = build_model(config, dataset)
    on_gpu = config.device.startswith("cuda")
    # CUDA graphs are recorded in the steps after the first.
    warm_up, n_steps = (4, max(n_steps, 20)) if on_gpu else (1, n_steps)
    with cpu_threads(1):
        train(model, dataset, dataclasses.replace(config.recipe, milestones=(), epochs=warm_up))
        correct(model, dataset.x_test, dataset.y_test)
        start = _now(config.device)
        train(model, dataset, dataclasses.replace(config.recipe, milestones=(), epochs=n_steps))
        step_seconds = (_now(config.device) - start) / n_steps
        start = _now(config.device)
        correct(model, dataset.x_test, dataset.y_test)
        return step_seconds, (_now(config.device) - start) / len(x)


def _now(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()  # one thread, so this is the wall time of an idle core


def in_words(hours: float) -> str:
    """Return a duration in words, rounded for planning.

    >>> in_words(0.3), in_words(5.2), in_words(700)
    ('18 min', '5 h', '29 days')
    """
    if hours < 2:
        return f"{math.ceil(60 * hours)} min"
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"
