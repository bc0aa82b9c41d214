"""The training that follows an event, measured.

The instability of an event is measured at one moment. A jolt may cost nothing at that moment and still throw training off
course some steps later, so a run with `measures=("aftermath",)` also keeps, for each event:

    instability_training   as the instability, with batch statistics in place of batch norm's running ones
    kl                     mean KL divergence of the predictions before from those after, in nats
    loss_0, ..., loss_100  training loss when that percentage of the next epoch is done, all examples, batch statistics
    accuracy_1, _2, _3     test accuracy after each of the next three epochs
    train_loss_1, _2, _3   mean training loss in each of them
    cosine_hit, cosine_rest   mean cosine between a filter before the event and at the end of training: those hit, the others

The *delayed drop* is how far accuracy_1 to accuracy_3 fall below those of the undisturbed twin: a run of the same seed with
the intervention "placebo", whose events measure and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from gst_tutorial.data.dataset import Dataset
from gst_tutorial.instability import accuracy
from gst_tutorial.masks import evaluation_mode, prunable_layers

N_EPOCHS = 3
PERCENT = (0, 20, 40, 60, 80, 100)  # of the epoch after an event


class Aftermath:
    """A training callback, and two calls around each event.

    Args:
        model, dataset: of the run.
        layers: names of the layers that events hit. The filters of the first are followed to the end of training; of a layer
            that is not a prunable one (the head), those of the last prunable layer are.
        steps_per_epoch: batches in an epoch.
    """

    def __init__(self, model: nn.Module, dataset: Dataset, layers: Iterable[str], steps_per_epoch: int):
        self.model, self.dataset, self.steps_per_epoch = model, dataset, steps_per_epoch
        known = prunable_layers(model)
        self.layer = next((name for name in layers if name in known), list(known)[-1])
        self.weight = known[self.layer].conv.weight  # (C, ...)
        self.rows: list[dict] = []
        self.filters: list[torch.Tensor] = []  # (C, ...) before each event
        self.hit: list[torch.Tensor] = []  # int64 (n,) of each event
        self.moments = {round(share / 100 * steps_per_epoch): share for share in PERCENT}

    def before_event(self) -> None:
        """Note predictions and filters."""
        self._predictions = self._log_probabilities()
        self._accuracy = self._accuracy_in_training_mode()
        self.filters.append(self.weight.detach().clone())

    def after_event(self, epoch: int, hit: Mapping[str, torch.Tensor]) -> None:
        """Note what the event after `epoch` did. `hit`: layer -> int64 `(n,)`, the filters (or inputs) hit."""
        now = self._log_probabilities()
        kl = F.kl_div(now, self._predictions, reduction="batchmean", log_target=True).item()
        lost = (self._accuracy - self._accuracy_in_training_mode()) / max(self._accuracy, 1e-12)
        self.rows.append({"epoch": epoch, "instability_training": lost, "kl": kl})
        self.hit.append(hit.get(self.layer, torch.empty(0, dtype=torch.int64)).cpu())

    def __call__(self, epoch: int, step: int) -> None:
        """Measure on the way through the epochs after an event, and before the next one."""
        if step == self.steps_per_epoch:
            due = [row for row in self.rows if 1 <= epoch - row["epoch"] <= N_EPOCHS]
            now = accuracy(self.model, self.dataset) if due else None
            for row in due:
                row[f"accuracy_{epoch - row['epoch']}"] = now
        if self.rows and self.rows[-1]["epoch"] == epoch - 1 and step in self.moments:
            self.rows[-1][f"loss_{self.moments[step]}"] = self._training_loss()

    def columns(self, train_losses: list[float]) -> list[dict]:
        """One dict per event, once training has ended."""
        names = [f"loss_{share}" for share in PERCENT] + [f"accuracy_{k + 1}" for k in range(N_EPOCHS)]
        found = []
        for row, filters, hit in zip(self.rows, self.filters, self.hit):
            after = train_losses[row["epoch"] + 1 : row["epoch"] + 1 + N_EPOCHS]
            losses = {f"train_loss_{k + 1}": loss for k, loss in enumerate(after)}
            cosine = F.cosine_similarity(filters.flatten(1), self.weight.detach().flatten(1))  # (C,)
            chosen = torch.zeros(len(cosine), dtype=torch.bool)
            chosen[hit] = True
            both = {"cosine_hit": cosine[chosen].mean().item(), "cosine_rest": cosine[~chosen].mean().item()}
            found.append(
                {k: v for k, v in row.items() if k != "epoch"} | {n: row.get(n) for n in names} | losses | both
            )
        return found

    def state_dict(self) -> dict:
        """For a checkpoint."""
        return {"rows": self.rows, "filters": self.filters, "hit": self.hit}

    def load_state_dict(self, state: dict) -> None:
        """Go on from `state_dict`."""
        self.rows[:] = state["rows"]
        self.filters[:] = [each.to(self.weight.device) for each in state["filters"]]
        self.hit[:] = state["hit"]

    @torch.no_grad()
    def _log_probabilities(self) -> torch.Tensor:
        with evaluation_mode(self.model):
            return torch.cat([self.model(x).log_softmax(1) for x in self.dataset.x_test.split(1000)])  # (N, n_classes)

    @torch.no_grad()
    def _accuracy_in_training_mode(self) -> float:
        x, y = self.dataset.x_test, self.dataset.y_test
        return torch.cat(list(self._with_batch_statistics(x))).argmax(1).eq(y).double().mean().item()

    @torch.no_grad()
    def _training_loss(self) -> float:
        logits = torch.cat(list(self._with_batch_statistics(self.dataset.x_train)))
        return F.cross_entropy(logits, self.dataset.y_train).item()

    def _with_batch_statistics(self, x: torch.Tensor):
        """Logits as in training, but without dropout, and the running statistics are left alone."""
        norms = [m for m in self.model.modules() if getattr(m, "track_running_stats", False)]
        kept = [(m, m.momentum, m.num_batches_tracked.clone()) for m in norms]
        with evaluation_mode(self.model):
            try:
                for m in norms:
                    m.train()
                    m.momentum = 0.0
                for part in x.split(1000):
                    yield self.model(part)
            finally:
                for m, momentum, count in kept:
                    m.momentum = momentum
                    m.num_batches_tracked.copy_(count)
