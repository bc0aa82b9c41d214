"""Events at the end of each epoch of a run, and the measurements around them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from gst_tutorial import masks, pruning, seeding
from gst_tutorial.aftermath import Aftermath
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.hits import Hits
from gst_tutorial.instability import PruningEvent, accuracy, correct, measure_instability
from gst_tutorial.interventions import Site, intervention
from gst_tutorial.masks import PrunableLayer
from gst_tutorial.scores import examples_for

if TYPE_CHECKING:
    from gst_tutorial.config import Due, RunConfig


class Events:
    """A training callback that makes the events of a config happen and measures the network after every epoch.

    Attributes:
        events: a `PruningEvent` per event so far.
        layers: the layers that an event can hit, by name.
        epochs: a dict per epoch so far: epoch, test_accuracy (nan where it was not measured), sparsity.

    Raises:
        ValueError: a hit that would not be over when the next event comes, so that nothing could be given back.
    """

    def __init__(self, config: RunConfig, model: nn.Module, dataset: Dataset, optimizer: torch.optim.Optimizer):
        self.config, self.model, self.dataset, self.optimizer = config, model, dataset, optimizer
        self.events: list[PruningEvent] = []
        self.epochs: list[dict] = []
        self.steps_per_epoch = config.steps_per_epoch(len(dataset.y_train))
        # One stream for the choice of filters, one for noise: two interventions then hit the same filters.
        self._targets = seeding.generator(config.seed, "random targets")
        self._noise = seeding.generator(config.seed, "noise")
        self.layers: dict[str, PrunableLayer] = layers_hit(config, model)
        for name, fraction, _ in config.plan if config.intervention != "none" else ():
            if self.layers[name].mask is not None:
                pruning.warn_of_nothing(name, self.layers[name].mask.n_filters, fraction)
        self.aftermath: Aftermath | None = None
        if "aftermath" in config.measures:
            self.aftermath = Aftermath(model, dataset, config.layers, self.steps_per_epoch)
        self._chosen: dict[str, torch.Tensor] = {}
        self._hits: Hits | None = None
        if config.intervention != "none":
            what = intervention(config.intervention)
            self._hits = Hits(what, self.steps_per_epoch, config.n_batches, config.size, config.restore)
            self._check_time_to_restore()

    def _check_time_to_restore(self) -> None:
        config = self.config
        if config.restore == "no":
            return
        schedules = [schedule for *_, schedule in config.plan]
        gap = min([s.retrain_period for s in schedules] + [config.epochs - 1 - s.epochs[-1] for s in schedules])
        if config.n_batches > gap * self.steps_per_epoch:
            raise ValueError(
                f"n_batches={config.n_batches} runs past the next event or the end of training, "
                f"{gap * self.steps_per_epoch} batches later; restore={config.restore!r} needs the filters back before."
            )

    def before_training(self) -> None:
        """Make the events happen that come before training: pruning at initialization."""
        for due in self.config.due_at_init:
            self._hit(due)

    def __call__(self, epoch: int, step: int) -> None:
        if self._hits is not None:
            self._hits(epoch, step)
        if self.aftermath is not None:
            self.aftermath(epoch, step)
        if step < self.steps_per_epoch:
            return
        due = self.config.due(epoch)
        if due:
            self.events.append(self._event(epoch, due))
            test_accuracy = self.events[-1].accuracy_after
        elif (epoch + 1) % self.config.evaluate_every == 0 or epoch + 1 == self.config.epochs:
            test_accuracy = accuracy(self.model, self.dataset)
        else:
            test_accuracy = math.nan
        self.epochs.append({"epoch": epoch, "test_accuracy": test_accuracy, "sparsity": self._sparsity()})

    def _event(self, epoch: int, due: list[Due]) -> PruningEvent:
        """Hit the layers that are due, and measure the accuracy before and after."""
        if self.aftermath is not None:
            self.aftermath.before_event()
        with measure_instability(lambda: correct(self.model, self.dataset)) as found:
            hit = {each.layer: self._hit(each) for each in due}
        if self.aftermath is not None:
            self.aftermath.after_event(epoch, hit)
        return PruningEvent(
            epoch=epoch,
            layers="+".join(each.layer for each in due),
            n_filters=sum(map(len, hit.values())),
            sparsity=self._sparsity(),
            accuracy_before=found.accuracy_before,
            accuracy_after=found.accuracy_after,
            instability=found.instability,
            standard_error=found.standard_error,
        )

    def _hit(self, due: Due) -> torch.Tensor:
        """Hit one layer as its event says. Returns the filters (or inputs) hit, int64 `(n,)`."""
        units, kept = self._choose(due)
        self._hits.begin(self._site(due.layer, units, kept))
        return units

    def _choose(self, due: Due) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices of the units that this event hits, and of those that no event so far has chosen; int64 each."""
        config, what = self.config, self._hits.intervention
        layer = self.layers[due.layer]
        chosen = self._chosen_so_far(layer)  # bool (C,)
        if what.hits == "optimizer":
            return chosen.nonzero().squeeze(1), (~chosen).nonzero().squeeze(1)
        if config.draws == "afresh":
            chosen[:] = False
            n_new = round(due.prune_fraction * len(chosen))
        else:
            n_kept = pruning.kept_filters(len(chosen), due.prune_fraction, due.n_events)[due.i - 1]
            n_new = max(0, len(chosen) - n_kept - int(chosen.sum()))
        if config.target == "random":
            scores = chosen  # not looked at
        elif what.uses_score:
            batch = examples_for(config.score, self.dataset.x_train, self.dataset.y_train)
            scores = pruning.filter_scores(self.model, due.layer, config.score, batch)
        else:
            scores = layer.conv.weight.detach().norm(dim=0)  # how much the layer listens to each input, (inputs,)
        new = pruning.choose_filters(scores, ~chosen, n_new, config.target, self._targets)
        chosen[new] = True
        units = chosen.nonzero().squeeze(1) if config.draws == "so far" else new
        return units, (~chosen).nonzero().squeeze(1)

    def _chosen_so_far(self, layer: PrunableLayer) -> torch.Tensor:
        """Bool `(C,)`: the units that earlier events have chosen. Pruned filters are remembered by their mask."""
        if self._hits.intervention.permanent:
            return ~layer.mask.kept
        if layer.name not in self._chosen:
            weight = layer.conv.weight
            n_units = weight.shape[1] if self._hits.intervention.hits == "inputs" else layer.conv.out_channels
            self._chosen[layer.name] = torch.zeros(n_units, dtype=torch.bool, device=weight.device)
        return self._chosen[layer.name]

    def _site(self, layer: str, units: torch.Tensor, kept: torch.Tensor) -> Site:
        device = self.config.device
        return Site(self.model, self.layers[layer], units.to(device), kept.to(device), self._noise, self.optimizer)

    def _sparsity(self) -> float:
        masked = [name for name in self.config.layers if self.layers[name].mask is not None]
        return masks.sparsity(self.model, masked) if masked else 0.0

    def state_dict(self) -> dict:
        """Everything noted and drawn so far, for a checkpoint."""
        return {
            "events": [dataclasses.asdict(event) for event in self.events],
            "epochs": self.epochs,
            "targets": self._targets.get_state(),
            "noise": self._noise.get_state(),
            "chosen": self._chosen,
            "aftermath": None if self.aftermath is None else self.aftermath.state_dict(),
            "hits": None if self._hits is None else self._hits.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from what `state_dict` returned."""
        self.events[:] = [PruningEvent(**event) for event in state["events"]]
        self.epochs[:] = state["epochs"]
        self._chosen = {name: chosen.to(self.config.device) for name, chosen in state["chosen"].items()}
        if self._hits is not None:
            self._hits.load_state_dict(state["hits"], self._site)
        if self.aftermath is not None:
            self.aftermath.load_state_dict(state["aftermath"])
        self._targets.set_state(state["targets"])
        self._noise.set_state(state["noise"])


def layers_hit(config: RunConfig, model: nn.Module) -> dict[str, PrunableLayer]:
    """The layers of `model` that the config's intervention can hit, by name: prunable ones, or linear ones for inputs."""
    if config.intervention == "none" or intervention(config.intervention).hits != "inputs":
        return masks.prunable_layers(model)
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return {name: PrunableLayer(name, module, None, None) for name, module in linear.items()}
